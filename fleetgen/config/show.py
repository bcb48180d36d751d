"""The configuration as it is in effect, as TOML that can be loaded again; and its JSON Schema."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from pydantic import create_model

from fleetgen.config.run import gathered, load
from fleetgen.config.sections import SECTIONS, ClimateTable, InjectTable, Table

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_INLINE_KEYS = 4
"""A table of at most so many keys stands on one line."""


def effective(file: Path | str | None, overrides: Sequence[str]) -> str:
    """Every key with its value, above it what is allowed, as TOML.

    A key that is not set stands there as a comment with an example.

    Raises
    ------
    ConfigError
        With a line for each fault.
    """
    config = load(file, overrides)
    _, raw = gathered(file, overrides)
    lines: list[str] = []
    for name in SECTIONS:
        if name != "fleet":
            lines += _section((name,), getattr(config, name))
    named = _named_fleet(raw.get("fleet"))
    if named is None:
        lines += _section(("fleet",), config.fleet)
    else:
        (key, place) = named
        lines += ["[fleet]", *_note(_FLEET[key]), f"{key} = {_value(place)}", ""]
    for each in config.inject:
        given = {name: value for name, value in each if value is not None}
        lines += ["[[inject]]", *(f"{_key(k)} = {_value(v)}" for k, v in given.items()), ""]
    return "\n".join(lines).rstrip("\n") + "\n"


_FLEET = {
    "catalogue": "the name of a fleet that comes with the package, as text",
    "file": "the path of a description of a fleet, TOML or YAML, as text",
}


def _named_fleet(raw: object) -> tuple[str, str] | None:
    """How a fleet is named that is not described in the configuration itself."""
    if raw is None or raw == {}:
        return "catalogue", "thailand"
    if isinstance(raw, Mapping) and len(raw) == 1:
        key, value = next(iter(raw.items()))
        if key == "catalogue":
            return "catalogue", str(value)
        if key == "file":
            return "file", str(Path(str(value)).absolute())
    return None


def _section(keys: tuple[str, ...], table: Table) -> list[str]:
    """A table with its header, then the tables below it."""
    own: list[str] = []
    below: list[str] = []
    told = ""
    for name, field in type(table).model_fields.items():
        value = getattr(table, name)
        note = field.description or ""
        if isinstance(value, Table) and not _is_short(value):
            below += _section((*keys, name), value)
        elif _is_tables(value) and not all(map(_is_short, value.values())):
            for inner, each in value.items():
                below += _section((*keys, name, inner), each)
        else:
            own += _note(note) if note != told else []
            told = note
            own += _assigned(name, value, field.examples)
    head = f"[{'.'.join(map(_key, keys))}]"
    return [head, *own, "", *below] if own else below


def _is_tables(value: object) -> bool:
    return isinstance(value, dict) and any(isinstance(each, Table) for each in value.values())


def _is_short(value: object) -> bool:
    """Whether a table fits on a line."""
    if not isinstance(value, Table):
        return False
    values = [each for _, each in value]
    return len(values) <= _INLINE_KEYS and not any(isinstance(v, dict | Table) for v in values)


def _assigned(name: str, value: Any, examples: Sequence[Any] | None) -> Iterator[str]:
    if value is None:
        if examples:
            yield f"# {_key(name)} = {_value(examples[0])}"
    elif _is_tables(value):
        for inner, each in value.items():
            yield f"{_key(name)}.{_key(inner)} = {_value(each)}"
    else:
        yield f"{_key(name)} = {_value(value)}"


def _note(text: str) -> list[str]:
    return [f"# {text}"] if text else []


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else json.dumps(name)


def _value(value: Any) -> str:
    """A value as TOML has it; an unset key of a table is left out."""
    if isinstance(value, Table):
        value = {name: each for name, each in value if each is not None}
    match value:
        case bool():
            return str(value).lower()
        case date():
            return value.isoformat()
        case dict():
            inner = ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items())
            return f"{{ {inner} }}" if inner else "{}"
        case list() | tuple():
            return f"[{', '.join(map(_value, value))}]"
        case str():
            return json.dumps(value, ensure_ascii=False)
        case _:
            return repr(value)


def json_schema() -> dict[str, Any]:
    """JSON Schema of a configuration, for editors; what concerns several keys is not in it."""
    keys: dict[str, Any] = {name: (table, ...) for name, table in SECTIONS.items()}
    keys |= {"inject": (list[InjectTable], ...), "climate": (ClimateTable, ...)}
    whole = create_model("Configuration", __base__=Table, **keys)
    schema = whole.model_json_schema()
    del schema["required"], schema["properties"]["climate"]
    schema["title"] = "A configuration of fleetgen"
    definitions = schema["$defs"]
    fleet = definitions["FleetSection"]["properties"]
    for key, note in _FLEET.items():
        fleet[key] = {"type": "string", "description": note}
    place = definitions["LocationTable"]["properties"]["climate"]
    place["anyOf"] = [{"type": place.pop("type")}, {"$ref": "#/$defs/ClimateTable"}]
    for names in ("locations", "strings"):  # also as text, separated by commas
        definitions["SelectSection"]["properties"][names]["anyOf"].append({"type": "string"})
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
