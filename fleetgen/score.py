"""How good alerts are: held against what was truly wrong. No alert knows anything of it.

A sketch is a mapping from a name to a whole number; sketches of strings and rooms add up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from fleetgen.model import failures
from fleetgen.simulate import SlowPath
from fleetgen.spec import Location, Scenario, TimeGrid
from fleetgen.system import SystemModel
from fleetgen.truth import units
from fleetgen.units import DAYS_PER_YEAR, SECONDS_PER_DAY
from fleetgen.world import cooling_episodes

Sketch = dict[str, int]

WORN, CHARGER, COOLING = "worn", "charger", "cooling"
NEAR_S = 30 * SECONDS_PER_DAY
"""An alert is true if its asset is in trouble during its life or this long after or before."""

FORESEEN_S = 365 * SECONDS_PER_DAY
"""An end of life so long after an alert was foreseen by it, whether or not it lies in the run."""

FALSE_CRITICAL_BAR = 1.0
"""Most false critical alerts per string and year that somebody on call would bear."""

JUDGED_FROM_YEARS = 3.0
"""String-years below which one such alert, by chance, would decide."""

_FOR_GOOD_S = 2**62


class Trouble(NamedTuple):
    """Something truly wrong with an asset in [start_s, end_s).

    `kind` is a failure mode, `WORN` (SOH below 0.80), `CHARGER` (a string's, out of adjustment) or
    `COOLING` (a room's, failed or degraded). `due_s` is when a jar's life ends by it, if it does.
    """

    asset_id: str
    kind: str
    start_s: int
    end_s: int = _FOR_GOOD_S
    due_s: int = _FOR_GOOD_S


def string_troubles(
    model: SystemModel, path: SlowPath, s: int, rooms: Sequence[Trouble]
) -> list[Trouble]:
    """What is wrong with string `s` and its units, and with its room, during the run.

    A unit's troubles end when another takes its place. `rooms` are the `room_troubles` of its
    location.
    """
    grid, string_id = model.grid, model.system.strings[s].string_id
    found = list(rooms)
    renewed_s = []
    for unit in units(model, path, s):
        at = path.unit_index(s, unit.jar, unit.number)
        gone_s = unit.to_s if unit.to_s < grid.end_s else _FOR_GOOD_S
        due_s = _instant_s(grid, float(path.end_days[at]))
        if due_s >= gone_s:
            due_s = _FOR_GOOD_S
        if path.failure[at] >= 0:
            onset_s = _instant_s(grid, float(path.onset_days[at]))
            kind = failures.MODES[path.failure[at]]
            due = due_s if path.by_mode[at] else _FOR_GOOD_S
            found.append(Trouble(unit.unit_id, kind, onset_s, gone_s, due))
        if not path.by_mode[at] and due_s < _FOR_GOOD_S:
            found.append(Trouble(unit.unit_id, WORN, due_s, gone_s, due_s))
        if unit.number == 1:
            renewed_s.append(gone_s)
    precursor = model.precursors[s]
    if precursor is not None:
        due_s = model.trips[s][0][0] if model.trips[s] else _FOR_GOOD_S
        dry = precursor.onset_s, max(renewed_s)
        found.append(Trouble(string_id, "thermal_runaway", *dry, due_s=due_s))
    t = model.timeline
    for start_s, end_s in zip(t.charger_start_s.tolist(), t.charger_end_s.tolist(), strict=True):
        found.append(Trouble(string_id, CHARGER, start_s, end_s))
    return found


def _instant_s(grid: TimeGrid, days: float) -> int:
    """Instant so many days after the start of the run; never comes if they are not known."""
    return grid.start_s + int(days * SECONDS_PER_DAY) if days == days else _FOR_GOOD_S


def room_troubles(
    seed: int, location: Location, sensor_id: str, grid: TimeGrid, scenario: Scenario
) -> list[Trouble]:
    """What is wrong with the cooling of a room during the run."""
    down = cooling_episodes(
        seed, location, grid.first_day, grid.end_day, grid.utc_offset_s, scenario
    )
    spans = zip(down.start_s.tolist(), down.end_s.tolist(), strict=True)
    return [Trouble(sensor_id, COOLING, start_s, end_s) for start_s, end_s in spans]


def score(
    alerts: Iterable[Mapping[str, Any]],
    troubles: Sequence[Trouble],
    grid: TimeGrid,
    strings: int = 1,
) -> Sketch:
    """Sketch of the alerts of a string (or of a room, with `strings` 0) and their truth.

    `alerts` are rows of `schema.ALERT`. Names in the sketch: `raised`, `true` and `false`, each
    followed by `/type/severity`; `foreseen/type/severity`, the true ones and those of a battery or
    string that comes to its end within `FORESEEN_S`; `due/kind` and `caught/kind` of jars and
    strings whose life ended in the run, the latter with an alert of their own that was raised
    before and not over by then; `lead_s/kind` from that alert to the end; `announced/type/severity`
    the same lives by the alerts that were open; `string_s` time under watch.

    An alert of a jar is true if the jar or its string is in trouble; of a temperature also if the
    cooling is, of a voltage or the float current if the charger is; one of a string also if one of
    its jars is. What only a faulty sensor shows is false.
    """
    found: Counter[str] = Counter(string_s=strings * grid.duration_s)
    rows = list(alerts)
    for row in rows:
        name = f"{row['alert_type']}/{row['severity']}"
        found[f"raised/{name}"] += 1
        true = _is_true(row, troubles, grid)
        found[f"{'true' if true else 'false'}/{name}"] += 1
        if true or any(_foresees(row, trouble, grid) for trouble in troubles):
            found[f"foreseen/{name}"] += 1
    for trouble in troubles:
        if not grid.start_s <= trouble.due_s < grid.end_s:
            continue
        found[f"due/{trouble.kind}"] += 1
        mine = [row for row in rows if _announces(row, trouble, grid)]
        if mine:
            first_s = min(row["triggered_at"] // 1000 for row in mine)
            found[f"caught/{trouble.kind}"] += 1
            found[f"lead_s/{trouble.kind}"] += trouble.due_s - first_s
        found.update({f"announced/{row['alert_type']}/{row['severity']}" for row in mine})
    return dict(found)


def _asset(row: Mapping[str, Any]) -> str:
    return str(row["battery_id"] or row["string_id"] or row["sensor_id"])


def _life_s(row: Mapping[str, Any], grid: TimeGrid) -> tuple[int, int]:
    resolved = row["resolved_at"]
    return row["triggered_at"] // 1000, grid.end_s if resolved is None else resolved // 1000


def _is_true(row: Mapping[str, Any], troubles: Iterable[Trouble], grid: TimeGrid) -> bool:
    first_s, end_s = _life_s(row, grid)
    asset, string = _asset(row), row["string_id"]
    warm = "temperature" in row["alert_type"]
    charged = "voltage" in row["alert_type"] or row["alert_type"] == "float_current"
    for trouble in troubles:
        if trouble.start_s >= end_s + NEAR_S or trouble.end_s <= first_s - NEAR_S:
            continue
        if trouble.kind == COOLING:
            if warm:
                return True
        elif trouble.kind == CHARGER:
            if charged and trouble.asset_id == string:
                return True
        elif trouble.asset_id in (asset, string) or asset == string:
            return True
    return False


def _announces(row: Mapping[str, Any], trouble: Trouble, grid: TimeGrid) -> bool:
    first_s, end_s = _life_s(row, grid)
    of_it = trouble.asset_id in (row["battery_id"], row["string_id"])
    return of_it and first_s < trouble.due_s <= end_s


def _foresees(row: Mapping[str, Any], trouble: Trouble, grid: TimeGrid) -> bool:
    first_s, _ = _life_s(row, grid)
    of_it = trouble.asset_id in (row["battery_id"], row["string_id"])
    return of_it and first_s < trouble.due_s <= first_s + FORESEEN_S


class RuleScore(NamedTuple):
    """Alerts of a type and severity: how many, how many of them true, and the two shares.

    `precision` is the share of the true ones, `foreseen` with those that came true within a year;
    None where none was raised. `recall` is the share of all lives that ended in the run at whose
    end such an alert was open, None where no life ended.
    """

    alert_type: str
    severity: str
    raised: int
    true: int
    precision: float | None
    foreseen: float | None
    recall: float | None


def by_rule(sketch: Mapping[str, int]) -> list[RuleScore]:
    """What was raised, by type and severity."""
    due = _total(sketch, "due")
    found = []
    for name in sorted(name for name in sketch if name.startswith("raised/")):
        what = name.partition("/")[2]
        kind, _, severity = what.rpartition("/")
        raised, true = sketch[name], sketch.get(f"true/{what}", 0)
        shares = (
            _ratio(true, raised),
            _ratio(sketch.get(f"foreseen/{what}", 0), raised),
            _ratio(sketch.get(f"announced/{what}", 0), due),
        )
        found.append(RuleScore(kind, severity, raised, true, *shares))
    return found


def string_years(sketch: Mapping[str, int]) -> float:
    """Time under watch, of all strings together [a]."""
    return sketch.get("string_s", 0) / (DAYS_PER_YEAR * SECONDS_PER_DAY)


def few_false_criticals(sketch: Mapping[str, int]) -> bool | None:
    """Whether false critical alerts are as few as the bar allows; None of too few years."""
    years = string_years(sketch)
    if years < JUDGED_FROM_YEARS:
        return None
    return _total(sketch, "false", "/critical") <= FALSE_CRITICAL_BAR * years


def told_false_criticals(sketch: Mapping[str, int]) -> tuple[str, bool | None] | None:
    """False critical alerts a year against their bar, in words, and the verdict; or None."""
    false = rates(sketch)["false_critical_per_string_year"]
    if false is None:
        return None
    words = (
        f"False critical alerts: {false:.3f} per string and year, in {string_years(sketch):,.1f} "
        f"string-years; at most {FALSE_CRITICAL_BAR:g} is wanted"
    )
    return words, few_false_criticals(sketch)


def _total(sketch: Mapping[str, int], verdict: str, ending: str = "") -> int:
    names = (n for n in sketch if n.startswith(f"{verdict}/") and n.endswith(ending))
    return sum(sketch[name] for name in names)


def _ratio(part: int, whole: float) -> float | None:
    return part / whole if whole else None


def rates(sketch: Mapping[str, int]) -> dict[str, float | None]:
    """Precision and recall of all, precision by severity, recall by kind, false criticals a year.

    None where nothing was raised, or nothing due.
    """

    def precision(ending: str = "") -> float | None:
        return _ratio(_total(sketch, "true", ending), _total(sketch, "raised", ending))

    found = {
        "precision": precision(),
        "precision_warning": precision("/warning"),
        "precision_critical": precision("/critical"),
        "false_critical_per_string_year": _ratio(
            _total(sketch, "false", "/critical"), string_years(sketch)
        ),
        "recall": _ratio(_total(sketch, "caught"), _total(sketch, "due")),
    }
    for name in sorted(name for name in sketch if name.startswith("due/")):
        kind = name.partition("/")[2]
        found[f"recall/{kind}"] = _ratio(sketch.get(f"caught/{kind}", 0), sketch[name])
    return found
