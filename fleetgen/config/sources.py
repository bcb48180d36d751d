"""What the user wrote: a file, flags and `--set`, laid over one another and not yet checked."""

from __future__ import annotations

import importlib
import math
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from fleetgen.config.faults import Faults, Keys
from fleetgen.config.sections import SECTIONS
from fleetgen.wording import nearest

FLAGS = {
    "--duration-days": "run.duration_days",
    "--sampling-seconds": "run.sampling_seconds",
    "--seed": "run.seed",
    "--start-date": "run.start_date",
    "--output-dir": "output.directory",
    "--format": "output.format",
    "--writer": "output.writer",
    "--storage-option": "output.storage_options",
    "--limit-batteries": "select.limit_batteries",
    "--locations": "select.locations",
    "--strings": "select.strings",
    "--executor": "execution.executor",
    "--workers": "execution.workers",
    "--scheduler": "execution.scheduler",
    "--scheduler-file": "execution.scheduler_file",
    "--performance-report": "execution.performance_report",
    "--parts": "execution.parts",
    "--part": "execution.part",
    "--block-days": "execution.block_days",
}
"""Flags of the command line and the keys that they set."""


_OPTION = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,39}")


def apply_flags(faults: Faults, raw: dict[str, object], flags: Mapping[str, object]) -> None:
    """Lay flags over `raw`; texts become numbers where the key is one."""
    for name, value in flags.items():
        flag = "--" + name.lstrip("-").replace("_", "-")
        if value is None:
            continue
        if flag not in FLAGS:
            faults.add((flag,), value, f"no such flag; {nearest(flag, FLAGS)}")
            continue
        section, key = FLAGS[flag].split(".")
        if flag == "--storage-option":
            for option, text in _options(faults, value):
                _put(faults, raw, (section, key, option), text, f"{flag} {option}")
            continue
        wanted = SECTIONS[section].model_fields[key].annotation
        if {int, float} & {wanted, *get_args(wanted)}:
            value = _number(value)
        _put(faults, raw, (section, key), value, flag)


def _options(faults: Faults, given: object) -> Iterator[tuple[str, object]]:
    """Read texts `name=value`, or a mapping; what is neither is not repeated."""
    if isinstance(given, Mapping):
        pairs: Iterable[Sequence[object]] = given.items()
    else:
        texts = given if isinstance(given, list | tuple) else [given]
        pairs = [str(text).split("=", 1) for text in texts]
    for pair in pairs:
        match tuple(pair):
            case (str(name), value) if _OPTION.fullmatch(name):
                yield name, value
            case _:
                rule = "must be name=value; for example region=ap-southeast-1"
                faults.lines.append(f"--storage-option {rule}")


def _number(value: object) -> object:
    """Read a flag's text as a number; leave anything else as it is, to be refused."""
    if isinstance(value, str):
        for read in (int, float):
            try:
                number = read(value)
            except ValueError:
                continue
            if isinstance(number, int) or math.isfinite(number):
                return number
    return value


def apply_overrides(
    faults: Faults, raw: dict[str, object], overrides: Mapping[str, object] | Sequence[str]
) -> None:
    """Lay `--set` over `raw`: texts `path=value`, or a mapping from dotted path to value."""
    if isinstance(overrides, Mapping):
        pairs = list(overrides.items())
    else:
        pairs = []
        for text in [overrides] if isinstance(overrides, str) else overrides:
            path, equals, words = text.partition("=")
            if equals:
                pairs.append((path.strip(), _toml_value(words.strip())))
            else:
                faults.add(("--set",), text, "must be section.key=value; for example run.seed=7")
    for path, value in pairs:
        keys = _dotted(path)
        if keys:
            _put(faults, raw, keys, value, f"--set {path}")
        else:
            faults.add(("--set",), path, "must be a dotted path of keys; for example run.seed")


def _toml(text: str) -> dict[str, Any]:
    """Read a line of TOML; empty if it is none."""
    try:
        return {} if "\n" in text else tomllib.loads(text)
    except (ValueError, RecursionError):
        return {}


def _toml_value(text: str) -> object:
    return _toml(f"value = {text}").get("value", text)


def _dotted(path: str) -> Keys:
    """Keys of a dotted path as TOML reads it; none if it cannot."""
    node: object = _toml(f"{path} = 0")
    keys = []
    while isinstance(node, dict) and node:
        key, node = next(iter(node.items()))
        keys.append(key)
    return tuple(keys)


def _put(faults: Faults, raw: dict[str, object], keys: Keys, value: object, label: str) -> None:
    """Set one key over the file's value, once."""
    if not faults.given(keys, value, label):
        return
    node: object = raw
    for key in keys[:-1]:
        node = node.setdefault(key, {}) if isinstance(node, dict) else None
    if isinstance(node, dict):  # else the section is no table, which is told when it is read
        node[keys[-1]] = value
    elif isinstance(node, list):
        faults.add(keys, value, "lies in a list; give the whole list, or write it in a file")


def anchor_fleet_file(raw: dict[str, object], directory: Path) -> None:
    """Let `fleet.file` in a file count from where that file lies."""
    fleet = raw.get("fleet")
    if isinstance(fleet, dict) and isinstance(fleet.get("file"), str):
        fleet["file"] = str(directory / fleet["file"])


def read_file(faults: Faults, keys: Keys, path: Path) -> dict[str, object]:
    """Read a TOML or YAML file that `keys` names; empty, and a fault, if it cannot be used."""
    suffix = path.suffix.lower()
    if suffix not in (".toml", ".yaml", ".yml"):
        faults.add(keys, str(path), "must be a file named .toml, .yaml or .yml")
        return {}
    try:
        text = path.read_text("utf-8-sig")
        document = tomllib.loads(text) if suffix == ".toml" else _yaml(text)
    except OSError as error:
        faults.add(keys, str(path), f"cannot be read ({error.strerror}); check the path")
    except RecursionError:
        faults.add(keys, str(path), "is nested too deeply; write flat tables")
    except (ValueError, ImportError) as error:
        faults.add(keys, str(path), " ".join(str(error).split()))
    else:
        if document is None or isinstance(document, dict):
            return document or {}
        faults.add(keys, str(path), "must hold tables of keys, not a list or a single value")
    return {}


def _yaml(text: str) -> Any:
    """Read a YAML text; ValueError also where a key is there twice, which YAML would let pass."""
    try:
        yaml = importlib.import_module("yaml")
    except ImportError:
        raise ImportError(
            'needs PyYAML; pip install "fleetgen[yaml]", or write the file as TOML'
        ) from None
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        _refuse_repeated_keys(yaml, root)
        return loader.construct_document(root) if root else None
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None
    except (ArithmeticError, AttributeError, LookupError, TypeError):  # PyYAML on `!!bool 7`
        raise ValueError("has a value that is not of the type of its tag") from None


def _refuse_repeated_keys(yaml: Any, root: Any) -> None:
    nodes, seen = [root], set()
    while nodes:
        node = nodes.pop()
        if id(node) in seen:  # an alias
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            nodes += node.value
        elif isinstance(node, yaml.MappingNode):
            keys = set()
            for key, value in node.value:
                if isinstance(key, yaml.ScalarNode):
                    if key.value in keys:
                        line = key.start_mark.line + 1
                        raise ValueError(f"line {line}: key {key.value!r} is there twice")
                    keys.add(key.value)
                nodes.append(value)
