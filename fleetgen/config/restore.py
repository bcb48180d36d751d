"""The way back: the identity that a data set bears becomes the configuration that makes it again.

An identity comes from a file that nobody vouches for. It takes the same path of validation as what
a user writes, names no file, and must come out as it went in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fleetgen.config.faults import MISSING, Faults, Keys, show, usable
from fleetgen.config.run import RunConfig, checked
from fleetgen.config.sources import apply_flags, apply_overrides
from fleetgen.errors import ConfigError
from fleetgen.schema import DATA_VERSION, SCHEMA_VERSION
from fleetgen.units import SECONDS_PER_DAY, SECONDS_PER_MINUTE

FREE = (
    "run.duration_days",
    "output.directory",
    "output.storage_options",
    "execution.executor",
    "execution.workers",
    "execution.scheduler",
    "execution.scheduler_file",
    "execution.performance_report",
    "execution.parts",
    "execution.part",
)
"""Keys that may be given beside an identity: where and on what it is made, and how long it is."""

_PARTS = {
    "run": ("start_date", "sampling_seconds", "seed"),
    "output": ("format", "writer"),
    "execution": ("block_days",),
    "features": ("window_hours",),
    "select": ("batteries", "strings"),
}
_AT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)([+-])(\d\d):(\d\d)", re.ASCII)
_LONGEST_S = 10**12
_SHOWN_DIFFERENCES = 5


def from_identity(
    identity: Mapping[str, Any],
    duration_s: int | None = None,
    flags: Mapping[str, object] | None = None,
    overrides: Mapping[str, object] | Sequence[str] = (),
    source: str = "identity",
) -> RunConfig:
    """Make the configuration whose `identity` is that of a data set.

    Parameters
    ----------
    identity
        As `RunConfig.identity` gives it, through JSON or not. Its `version` is not looked at.
    duration_s
        Length of the run [s]; None where `flags` or `overrides` must give it.
    flags, overrides
        As for `load`, of the keys in `FREE` alone.
    source
        What the identity is called in faults.

    Raises
    ------
    ConfigError
        With one line for each fault, as `load`; or the identity is none, or not of this version's
        shape.
    """
    faults = Faults()
    raw = _raw(identity)
    given: dict[str, object] = {}
    apply_flags(faults, given, flags or {})
    apply_overrides(faults, given, overrides)
    _lay_over(faults, raw, given, source)
    if faults.lines:
        raise ConfigError("\n".join(dict.fromkeys(faults.lines)))
    run = raw["run"]
    if isinstance(run, dict) and "duration_days" not in run:
        if duration_s is None:
            raise ConfigError(f"{source} does not say how long the run is; give --duration-days")
        run["duration_days"] = _divided(duration_s, SECONDS_PER_DAY)
    for name in raw:
        faults.labels.setdefault((name,), f"{source}: {name}")
    found = checked(faults, raw)
    _check_same(found, identity, source)
    return found


def _lay_over(
    faults: Faults, raw: dict[str, Any], given: Mapping[str, object], source: str
) -> None:
    """Lay what was given beside an identity over it, where it may be."""
    for name, keys in given.items():
        for key, value in keys.items() if isinstance(keys, dict) else [(None, keys)]:
            if f"{name}.{key}" not in FREE:
                rule = f"the plan is that of {source}; leave one of the two out"
                faults.add((name,) if key is None else (name, key), value, rule)
            elif isinstance(raw[name], dict):
                raw[name][key] = value


def same_version(identity: Mapping[str, Any]) -> bool:
    """Whether this code makes the values and tables of the version that an identity names."""
    return identity.get("version") == {"data": DATA_VERSION, "schema": SCHEMA_VERSION}


def _raw(identity: Mapping[str, Any]) -> dict[str, Any]:
    """Sections as `load` has them; what is of the wrong shape is left as it is, to be told."""
    raw: dict[str, Any] = {}
    for name, keys in _PARTS.items():
        table = identity.get(name, {})
        if isinstance(table, Mapping):
            table = {key: table[key] for key in keys if key in table}
        raw[name] = table
    if isinstance(raw["select"], dict):
        raw["select"] = _selection(raw["select"])
    scenario = identity.get("scenario", {})
    injections = scenario.get("injections", []) if isinstance(scenario, Mapping) else []
    if isinstance(scenario, Mapping):
        scenario = {name: value for name, value in scenario.items() if name != "injections"}
    if isinstance(injections, list):
        injections = [_injection(each) for each in injections]
    whole = {name: identity.get(name, {}) for name in ("alerts", "fleet")}
    return raw | {"scenario": scenario, "inject": injections, **whole}


def _selection(select: dict[str, Any]) -> dict[str, Any]:
    """Say the selection as a user does: all but its last string are whole."""
    strings = select.get("strings")
    return {
        "strings": list(strings) if isinstance(strings, Mapping) else strings,
        "limit_batteries": select.get("batteries"),
    }


def _injection(injection: object) -> object:
    if not isinstance(injection, Mapping):
        return injection
    table = {key: value for key, value in injection.items() if value != ""}
    at, length_s = table.get("at"), table.pop("duration_seconds", 0)
    if isinstance(at, str) and (local := _AT.fullmatch(at)):
        table["at"] = local[1]
    if type(length_s) is not int or length_s:
        table["duration_minutes"] = _divided(length_s, SECONDS_PER_MINUTE)
    return table


def _divided(seconds: object, by: int) -> object:
    """Whole seconds in a longer unit; anything else as it is, to be refused."""
    return seconds / by if type(seconds) is int and abs(seconds) < _LONGEST_S else seconds


def _check_same(found: RunConfig, identity: Mapping[str, Any], source: str) -> None:
    """Want an identity to come out as it went in: nothing in it is lost, nothing made up."""
    again = found.identity()
    lines = [
        f"{source}: {line}"
        for name in sorted({*again, *identity} - {"version"}, key=str)
        for line in _odd(again.get(name, MISSING), identity.get(name, MISSING), (str(name),))
    ]
    if lines:
        more = len(lines) - _SHOWN_DIFFERENCES
        shown = lines[:_SHOWN_DIFFERENCES] + ([f"and {more} more"] if more > 0 else [])
        raise ConfigError("\n".join(shown))


def _odd(made: object, there: object, keys: Keys) -> Iterator[str]:
    if isinstance(made, Mapping) and isinstance(there, Mapping):
        for name in sorted({*made, *there}, key=str):
            inner = made.get(name, MISSING), there.get(name, MISSING)
            yield from _odd(*inner, (*keys, str(name)))
    elif made != there or type(made) is not type(there):
        where = ".".join(key if usable(key) else show(key) for key in keys)
        if there is MISSING:
            yield f"{where} is missing; the plan is not whole"
        else:
            means = "it means nothing" if made is MISSING else f"it comes out as {show(made)}"
            yield f"{where} = {show(there)}: {means}, so that this is no plan of fleetgen"
