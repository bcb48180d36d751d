"""Where measured values lie beyond the levels of the alert rules: spans of readings, day by day.

A rule has a reading each sample, or a mean each hour or local day, unless its gate is closed or the
samples are missing: then there is none. Readings are whole thousandths of the rule's unit. A day's
spans follow from the day's readings and from the modes of at most 48 h before, so that no row
depends on the block of days in which it was made. `alerts` joins the days.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fleetgen.derive import features
from fleetgen.model import params
from fleetgen.rows import texts
from fleetgen.schema import ALERT_CONDITION, ALERT_LEVELS, MODES
from fleetgen.spec import (
    NULL,
    AlertRule,
    BatteryModel,
    Block,
    Gate,
    Plain,
    RowGroup,
    TimeGrid,
)
from fleetgen.units import DAYS_PER_YEAR, HOURS_PER_DAY, SECONDS_PER_DAY

Ints = NDArray[np.int64]
Counts = NDArray[np.int32]
Flags = NDArray[np.bool_]

UNKNOWN, CLEAR, WARNING, CRITICAL = ALERT_LEVELS
PER_UNIT = ALERT_CONDITION.column("extreme").per_unit
LOOK_BACK_DAYS = 2
"""Days over which the modes before a block are looked at: the longest `settled_s` of a rule."""

ROOM_HOURS = 6
YOUNG_DAYS = DAYS_PER_YEAR
EMPTY_V = 0.25
WORN_PCT = 100.0 * (params.RESISTANCE_CRITICAL.value - 1.0)
"""Growth of resistance that the whole of a design life explains: at its end a battery is worn."""

_FLOAT, _DISCHARGE = MODES.index("float"), MODES.index("discharge")
_NULL32 = np.iinfo(np.int32).min


class Condition(NamedTuple):
    """A row of `alert_condition`; instants in s, `extreme` in thousandths, or `NULL`."""

    start_s: int
    asset_id: str
    rule: str
    level: str
    end_s: int
    readings: int
    extreme: int


class Watched(NamedTuple):
    """A unit at a position from `from_s` on: its age at the block's first midnight [d], negative
    before it came, and its resistance at 25 degC when new [uOhm].
    """  # noqa: D205

    unit_id: str
    from_s: int
    age_days: int
    baseline_uohm: int


class Levels(NamedTuple):
    """Levels of a rule in thousandths, times -1 for one that lies below: beyond is above."""

    clear: int
    warning: int
    critical: int


def rules_of(rules: Iterable[AlertRule], model: BatteryModel) -> dict[str, AlertRule]:
    """Rules by name, their missing levels those of a battery model."""
    limits = model.temperature_warning_c, model.temperature_critical_c
    found = {}
    for rule in rules:
        warning, critical = (
            limit if level is None else level
            for level, limit in zip((rule.warning, rule.critical), limits, strict=True)
        )
        found[rule.name] = replace(rule, warning=warning, critical=critical)
    return found


def levels(rule: AlertRule) -> Levels:
    """Levels of a rule that has them both."""
    if rule.warning is None or rule.critical is None:
        raise ValueError(f"{rule.name}: no levels without a battery model")
    sign = -1 if rule.below else 1
    warning, critical = (sign * round(PER_UNIT * v) for v in (rule.warning, rule.critical))
    return Levels(warning - round(PER_UNIT * rule.clear), warning, critical)


def needed_s(rule: AlertRule) -> int:
    """Time from the first reading of a streak to the one that fulfils the persistence [s]."""
    return max(0, rule.persistence_s - rule.window_s)


@dataclass(frozen=True)
class Axis:
    """Possible readings of a rule in a block: `first_s` + n x `step_s`.

    Those of local day d are [bounds[d], bounds[d + 1]); `cuts_s` (day,) is the first possible one
    after the day.
    """

    first_s: int
    step_s: int
    bounds: Ints
    cuts_s: Ints


def axis(grid: TimeGrid, block: Block, window_s: int) -> Axis:
    """Readings of the window's length in a block; only complete windows have one."""
    midnights = np.array([grid.midnight_s(d) for d in range(block.first_day, block.end_day + 1)])
    step_s = window_s or grid.interval_s
    if window_s:
        end_s = grid.start_s + (grid.duration_s // window_s) * window_s
    else:
        end_s = grid.start_s + grid.instants * step_s
    first = -(-(midnights - grid.start_s) // step_s)
    first = np.minimum(first, (end_s - grid.start_s) // step_s)
    cuts_s = grid.start_s + first[1:] * step_s
    return Axis(int(grid.start_s + first[0] * step_s), step_s, first - first[0], cuts_s)


def end_s(grid: TimeGrid, rule: AlertRule) -> int:
    """First possible reading of a rule after the run."""
    return int(axis(grid, Block(grid.end_day - 1, grid.end_day), rule.window_s).cuts_s[-1])


def spans(
    asset: str, rule: AlertRule, level: Levels, axis: Axis, day: int, readings: Ints
) -> list[Condition]:
    """Rows of an asset on a day of the axis, from its readings, (reading,) with `NULL` for none.

    A streak is readings beyond a level one after the other, whatever is missing between them. It is
    told, in rows without gaps, if it lasts for the persistence or holds the day's first or last
    reading; one beyond the clear level also if it holds a streak that is told.
    """
    if not readings.size:
        return []
    start_s = axis.first_s + int(axis.bounds[day]) * axis.step_s
    cut_s = int(axis.cuts_s[day])
    if readings.size == 1:
        return _only(asset, rule, level, start_s, cut_s, int(readings[0]))
    known = np.flatnonzero(readings != NULL)
    if not known.size:
        return [Condition(start_s, asset, rule.name, UNKNOWN, cut_s, 0, NULL)]
    rows = []
    if known[0] > 0:
        first_s = start_s + axis.step_s * int(known[0])
        rows.append(Condition(start_s, asset, rule.name, UNKNOWN, first_s, 0, NULL))
    sign = -1 if rule.below else 1
    values = sign * readings[known]
    if not (values > level.clear).any():
        return rows
    at_s = start_s + axis.step_s * known
    until_s = np.append(at_s[1:], cut_s)
    told: list[tuple[int, int]] = []
    for name, limit in ((CRITICAL, level.critical), (WARNING, level.warning), (CLEAR, level.clear)):
        for a, b in _streaks(values > limit):
            long = name != CLEAR and at_s[b - 1] - at_s[a] >= needed_s(rule)
            if not (a == 0 or b == len(known) or long or any(a <= i < b for i, _ in told)):
                continue
            told.append((a, b))
            gaps = a + 1 + np.flatnonzero(np.diff(at_s[a:b]) > axis.step_s)
            for i, j in pairwise((a, *gaps.tolist(), b)):
                extreme = sign * int(values[i:j].max())
                row = int(at_s[i]), asset, rule.name, name, int(until_s[j - 1]), j - i, extreme
                rows.append(Condition(*row))
    return rows


def _owners(units: Sequence[Watched], rule_window_s: int, where: Axis, day: int) -> Ints:
    """Number of the unit that each reading of a day is of: who was there at its end."""
    a, b = where.bounds[day : day + 2].tolist()
    at_s = where.first_s + where.step_s * np.arange(a, b) + max(0, rule_window_s - 1)
    found: Ints = np.searchsorted([u.from_s for u in units[1:]], at_s, side="right")
    return found


def _unit_spans(
    units: Sequence[Watched], rule: AlertRule, level: Levels, where: Axis, day: int, readings: Ints
) -> list[Condition]:
    """`spans` of the units of a position: beyond its time a unit is beyond no level."""
    if len(units) == 1:
        return spans(units[0].unit_id, rule, level, where, day, readings)
    owners = _owners(units, rule.window_s, where, day)
    there = np.unique(owners).tolist()
    rows = []
    for n in there:
        mine = readings
        if len(there) > 1:
            mine = np.where(owners == n, readings, (-1 if rule.below else 1) * level.clear)
        rows += spans(units[n].unit_id, rule, level, where, day, mine)
    return rows


def _only(
    asset: str, rule: AlertRule, level: Levels, start_s: int, cut_s: int, reading: int
) -> list[Condition]:
    """`spans` of a day with one reading, which is the first and the last."""
    if reading == NULL:
        return [Condition(start_s, asset, rule.name, UNKNOWN, cut_s, 0, NULL)]
    beyond = -reading if rule.below else reading
    return [
        Condition(start_s, asset, rule.name, name, cut_s, 1, reading)
        for name, limit in zip((CLEAR, WARNING, CRITICAL), level, strict=True)
        if beyond > limit
    ]


def _streaks(flags: Flags) -> list[tuple[int, int]]:
    """Positions [first, end) of the runs of flags that are set."""
    edges = np.flatnonzero(np.diff(flags, prepend=False, append=False)).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))


# --- the gates of a string ------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Gates:
    """When the rules of a string have readings, from its measured modes.

    `mode` is uint8 (row,) from the block's first sample on, `string_cv` the voltage [0.01 V] of the
    `jars` in series; `unsettled_s` the instant of the last known sample in another mode than float
    before the block, or of the start of the run.
    """

    grid: TimeGrid
    block: Block
    mode: NDArray[np.uint8]
    string_cv: Counts
    jars: int
    hour_bounds: Ints
    unsettled_s: int

    @cached_property
    def samples(self) -> Axis:
        """The samples of the block."""
        return axis(self.grid, self.block, 0)

    def _settled(self, settled_s: int) -> Flags:
        """Whether samples are of a string that has been on float for so long, (row,)."""
        step_s = self.samples.step_s
        closed = (self.mode != _FLOAT) & (self.mode != features.NO_MODE)
        last = np.flatnonzero(closed & ~np.append(closed[1:], False))
        before = (self.unsettled_s - self.samples.first_s) // step_s
        reach = -(-settled_s // step_s)
        for row in (before, *last.tolist()):
            closed[max(0, row) : max(0, row + reach)] = True
        found: Flags = (self.mode == _FLOAT) & ~closed
        return found

    @cached_property
    def _open(self) -> dict[tuple[Gate, int], Flags]:
        return {}

    def open(self, rule: AlertRule) -> Flags:
        """Whether samples may be read, (row,).

        In discharge not once the string's mean is as near to the level as `EMPTY_V`: all its jars
        are about to be empty, and none is to blame.
        """
        key = rule.gate, rule.settled_s
        if key not in self._open:
            known = self.mode != features.NO_MODE
            if rule.gate == "float":
                found = self._settled(rule.settled_s)
            elif rule.gate == "discharge":
                limit_cv = self.jars * (-levels(rule).warning + round(PER_UNIT * EMPTY_V)) // 10
                emptied = (self.string_cv < limit_cv) & (self.string_cv != _NULL32)
                found = known & ~(emptied & (self.mode == _DISCHARGE))
            else:
                found = known
            self._open[key] = found
        return self._open[key]

    @cached_property
    def _firsts(self) -> dict[tuple[Gate, int], Ints]:
        return {}

    def firsts(self, rule: AlertRule) -> Ints:
        """Row of the first sample of each day that may be read, that of the next day if none."""
        key = rule.gate, rule.settled_s
        if key not in self._firsts:
            bounds = self.samples.bounds
            self._firsts[key] = _firsts(self.open(rule), bounds) + bounds[:-1]
        return self._firsts[key]

    @cached_property
    def _open_hours(self) -> dict[tuple[Gate, int], tuple[Flags, Flags]]:
        return {}

    def open_hours(self, rule: AlertRule) -> tuple[Flags, Flags]:
        """Whether the samples of each complete hour of known mode may all be read, or any."""
        key = rule.gate, rule.settled_s
        if key not in self._open_hours:
            of = _counted(self.open(rule), self.hour_bounds)
            known = _counted(self.mode != features.NO_MODE, self.hour_bounds)
            self._open_hours[key] = (of > 0) & (of == known), of > 0
        return self._open_hours[key]


def _counted(flags: Flags, bounds: Ints) -> Ints:
    """Number of flags set in each [bounds[n], bounds[n + 1])."""
    at = np.flatnonzero(flags) if np.count_nonzero(flags) * 8 < flags.size else None
    if at is not None:
        return np.diff(np.searchsorted(at, bounds))
    at = np.flatnonzero(~flags)
    return np.diff(bounds) - np.diff(np.searchsorted(at, bounds))


def _firsts(flags: Flags, bounds: Ints) -> Ints:
    """First position within each day at which a flag is set, the day's length if none is."""
    at = np.append(np.flatnonzero(flags), flags.size)
    first = at[np.searchsorted(at, bounds[:-1])]
    found: Ints = np.minimum(first, bounds[1:]) - bounds[:-1]
    return found


def _string_unknown(asset: str, rule: AlertRule, where: Axis, may: Flags) -> list[Condition]:
    """What no jar of a string has readings of, from the beginning of each day."""
    rows = []
    for day, first in enumerate(_firsts(may, where.bounds).tolist()):
        a, b = where.bounds[day : day + 2].tolist()
        if first and b > a:
            start_s = where.first_s + a * where.step_s
            end = start_s + first * where.step_s if first < b - a else int(where.cuts_s[day])
            rows.append(Condition(start_s, asset, rule.name, UNKNOWN, end, 0, NULL))
    return rows


# --- samples of a jar -----------------------------------------------------------------------------

_OF_SAMPLES = {
    "jar_voltage_low": (features.V_MIN, features.V_SAMPLES, 1),
    "jar_voltage_high": (features.V_MAX, features.V_SAMPLES, 1),
    "discharge_voltage_low": (features.V_MIN, features.V_SAMPLES, 1),
    "jar_temperature": (features.C_MAX, features.C_SAMPLES, PER_UNIT // 10),
}
"""Rules over a jar's samples: columns of the hour's extreme and number, thousandths in a count."""


def jar_samples(
    units: Sequence[Watched],
    rules: Mapping[str, AlertRule],
    gates: Gates,
    voltage_mv: Counts,
    temperature_dc: Counts,
    hours: Ints,
) -> list[Condition]:
    """Rows of a position's units by the rules over samples.

    Only days that an hour's extremes call for are read.

    `hours` (hour, 11) are the jar's `features.jar_hours`.
    """
    rows: list[Condition] = []
    where = gates.samples
    for name, (column, number, scale) in _OF_SAMPLES.items():
        rule, counts = rules[name], temperature_dc if name == "jar_temperature" else voltage_mv
        level, may = levels(rule), gates.open(rule)
        sign = -1 if rule.below else 1
        _, any_open = gates.open_hours(rule)
        crossed = (
            any_open & (hours[:, number] > 0) & (sign * scale * hours[:, column] > level.clear)
        )
        days = set()
        for hour in np.flatnonzero(crossed).tolist():
            a, b = gates.hour_bounds[hour : hour + 2].tolist()
            read = counts[a:b][may[a:b]]  # not all of an hour need be open
            far = read.max() if sign > 0 else -read.min(where=read != _NULL32, initial=2**30)
            if scale * int(far) > level.clear:
                days.add(hour // HOURS_PER_DAY)
        last, firsts = int(gates.hour_bounds[-1]), gates.firsts(rule)
        if last < counts.size:  # an hour without an end
            days.add(len(where.cuts_s) - 1)
        if int(hours[:, number].sum()) < last:
            inside = np.flatnonzero(firsts < where.bounds[1:])
            days |= set(inside[counts[firsts[inside]] == _NULL32].tolist())
        for day in sorted(days):
            part = slice(*where.bounds[day : day + 2].tolist())
            readings = np.where(
                may[part] & (counts[part] != _NULL32), scale * counts[part].astype(np.int64), NULL
            )
            if rule.gate == "discharge":
                back = may[part] & (gates.mode[part] != _DISCHARGE)
                readings = np.where(back, sign * level.clear, readings)
            rows += _own(_unit_spans(units, rule, level, where, day, readings), where, day, firsts)
    return rows


def _own(rows: list[Condition], where: Axis, day: int, firsts: Ints) -> list[Condition]:
    """Rows of a jar without what its string tells of all."""
    first = int(firsts[day])
    same = first == int(where.bounds[day + 1])
    of_string = int(where.cuts_s[day]) if same else where.first_s + first * where.step_s
    return [row for row in rows if row.level != UNKNOWN or row.end_s != of_string]


# --- hours and days of a string -------------------------------------------------------------------


def _mean(total: Ints, number: Ints, per_unit: int | Ints = 1) -> Ints:
    """Total times `per_unit` over number, rounded half up; NULL of nothing."""
    return features.ratio(per_unit * total, number)


def _median_twice(values: Ints) -> Ints:
    """Twice the median of those values (jar, hour) that are not `NULL`; NULL of nothing."""
    return features.medians(values.T)[1]


def _half(twice: Ints) -> Ints:
    """Half of counts, rounded half up."""
    return (twice + 1) // 2


class StringHours(NamedTuple):
    """Number and sum of a channel's known counts in each complete hour, int64 (hour, 2) each.

    String voltage [0.01 V], ripple current [0.01 A], float current [mA].
    """

    voltage: Ints
    ripple: Ints
    float_current: Ints


def hourly(counts: Counts, bounds: Ints) -> Ints:
    """Number and sum of the known counts in each hour, int64 (hour, 2)."""
    out = np.zeros((len(bounds) - 1, 2), np.int64)
    full = np.flatnonzero(bounds[1:] > bounds[:-1])
    if not full.size:
        return out
    part = counts[: bounds[-1]]
    known = part != _NULL32
    out[:, 0] = _counted(known, bounds)
    kept = part if known.all() else np.where(known, part, 0)
    out[full, 1] = np.add.reduceat(kept, bounds[:-1][full], dtype=np.int64)
    return out


@dataclass(frozen=True)
class Bank:
    """What is known of a string: the units at its positions, C10, design life, who is judged how.

    Rows of units at `wanted` positions are written.
    """

    string_id: str
    jars: tuple[tuple[Watched, ...], ...]
    wanted: tuple[bool, ...]
    cells: int
    rated_ah: float
    design_life_years: float
    compensated: bool
    float_current: bool

    def of_units(self, name: str, rule: AlertRule, gates: Gates) -> Ints:
        """A number of the unit that each reading of a rule is of, (jar, reading)."""
        where = axis(gates.grid, gates.block, rule.window_s)
        days = range(len(where.cuts_s))
        found = np.empty((len(self.jars), int(where.bounds[-1])), np.int64)
        for row, units in zip(found, self.jars, strict=True):
            values = np.array([getattr(unit, name) for unit in units])
            if len(units) == 1:
                row[:] = values[0]
            else:
                owners = [_owners(units, rule.window_s, where, day) for day in days]
                row[:] = values[np.concatenate(owners)]
        return found


def string_conditions(
    bank: Bank,
    rules: Mapping[str, AlertRule],
    gates: Gates,
    jar_hours: Ints,
    string: StringHours,
    room: Ints,
) -> list[Condition]:
    """Rows of a string and of its jars by the rules over hours and days.

    `jar_hours` (jar, hour, 11) are all jars' `features.jar_hours`; `room` (5 + hour, 2) number and
    sum of the room's temperatures [0.1 degC] in the hours from 5 before the block on, 0 before the
    start of the run. Also what no jar has readings of by the rules over samples.
    """
    rows: list[Condition] = []
    for name in _OF_SAMPLES:
        may = gates.open(rules[name])
        rows += _string_unknown(bank.string_id, rules[name], gates.samples, may)
    volts = _mean(jar_hours[:, :, features.V_SUM], jar_hours[:, :, features.V_SAMPLES])
    degrees = _mean(
        jar_hours[:, :, features.C_SUM], jar_hours[:, :, features.C_SAMPLES], PER_UNIT // 10
    )
    for name, readings in _of_jars(bank, rules, volts, degrees, jar_hours, room, gates).items():
        rows += _jar_rows(bank, rules[name], gates, readings)
    for name, reading in _of_string(bank, degrees, string).items():
        rows += _rows_of(bank.string_id, rules[name], gates, reading)
    return rows


def _of_jars(
    bank: Bank,
    rules: Mapping[str, AlertRule],
    volts: Ints,
    degrees: Ints,
    jar_hours: Ints,
    room: Ints,
    gates: Gates,
) -> dict[str, Ints]:
    """Readings (jar, reading) by rule, before the gate."""
    days = len(gates.samples.cuts_s)
    middle = _median_twice(volts)
    apart = np.where(volts == NULL, NULL, _half(np.abs(2 * volts - middle)))
    day_of = np.arange(volts.shape[1]) // HOURS_PER_DAY
    age_days = bank.of_units("age_days", rules["jar_voltage_deviation"], gates)
    young = age_days[:, : volts.shape[1]] + day_of < YOUNG_DAYS
    summed = np.concatenate([np.zeros((1, 2), np.int64), np.cumsum(room, axis=0)])
    number, total = (summed[ROOM_HOURS:] - summed[:-ROOM_HOURS]).T
    around = _mean(total, number, PER_UNIT // 10)
    rise = np.where((degrees == NULL) | (around == NULL), NULL, degrees - around)
    growth = _increase(
        bank.of_units("baseline_uohm", rules["resistance_increase"], gates), jar_hours, days
    )
    begun_days = bank.of_units("age_days", rules["resistance_ahead_of_age"], gates)
    due = _due(begun_days[:, : growth.shape[1]], bank.design_life_years)
    return {
        "jar_voltage_deviation": np.where(young & (apart != NULL), 0, apart),
        "jar_voltage_deviation_first_year": np.where(~young & (apart != NULL), 0, apart),
        "jar_temperature_rise": rise,
        "resistance_increase": growth,
        "resistance_ahead_of_age": np.where(growth == NULL, NULL, growth - due),
    }


def _due(begun_days: Ints, design_life_years: float) -> Ints:
    """Growth of resistance that age explains [0.001 %], of ages on a block's first day (jar, day).

    In proportion to the share of the design life that has passed; none before the unit came.
    """
    age_days = np.maximum(0, begun_days + np.arange(begun_days.shape[1]))
    share = age_days / (design_life_years * DAYS_PER_YEAR)
    found: Ints = np.floor(PER_UNIT * WORN_PCT * share + 0.5).astype(np.int64)
    return found


def _increase(baseline_uohm: Ints, jar_hours: Ints, days: int) -> Ints:
    """Daily resistance at 25 degC over the baseline [0.001 %], (jar, complete day).

    The day's last known reading, at the day's mean temperature of the jar.
    """
    whole = min(days, jar_hours.shape[1] // HOURS_PER_DAY)
    shape = len(jar_hours), whole, HOURS_PER_DAY
    parts = jar_hours[:, : whole * HOURS_PER_DAY].reshape(*shape, jar_hours.shape[2])
    found = parts[..., features.READING]
    position = np.where(found == NULL, -1, np.arange(HOURS_PER_DAY)).max(axis=2)
    last = np.take_along_axis(found, np.maximum(position, 0)[..., np.newaxis], 2)[..., 0]
    number = features.whole_sum(parts[..., features.C_SAMPLES], 2)
    degrees = _mean(features.whole_sum(parts[..., features.C_SUM], 2), number, PER_UNIT // 10)
    known = (position >= 0) & (number > 0)
    over_k = np.where(known, degrees, 0) / PER_UNIT - params.REFERENCE_TEMPERATURE.value
    at_25 = np.where(known, last, 0) / (1.0 - params.RESISTANCE_TEMPERATURE.value * over_k)
    ratio = at_25 / baseline_uohm[:, :whole] - 1.0
    return np.where(known, np.floor(100 * PER_UNIT * ratio + 0.5).astype(np.int64), NULL)


def _of_string(bank: Bank, degrees: Ints, string: StringHours) -> dict[str, Ints]:
    """Readings (hour,) by rule, before the gate."""
    known = degrees != NULL
    none = ~known.any(axis=0)
    high = np.where(known, degrees, np.iinfo(np.int64).min).max(axis=0)
    low = np.where(known, degrees, np.iinfo(np.int64).max).min(axis=0)
    rated = round(PER_UNIT * bank.rated_ah)
    found = {
        "string_temperature_spread": np.where(none, NULL, np.where(none, 0, high) - low),
        "string_voltage": _from_set_point(bank, degrees, string.voltage),
        "ripple_current": _mean(
            string.ripple[:, 1], string.ripple[:, 0] * rated, PER_UNIT * PER_UNIT
        ),
    }
    if bank.float_current:
        number, total = string.float_current.T
        found["float_current"] = _mean(total, number * rated, PER_UNIT * PER_UNIT)
    return found


def _from_set_point(bank: Bank, degrees: Ints, voltage: Ints) -> Ints:
    """Distance of the string voltage from its set-point [0.001 %], (hour,).

    The set-point is that of the charger's data sheet at the median of the jars' temperatures, as
    they are measured.
    """
    number, total = voltage.T
    middle = _median_twice(degrees)
    known = (number > 0) & (middle != NULL)
    cell_v = np.full(len(number), params.FLOAT_REFERENCE.value)
    if bank.compensated:
        celsius = np.where(known, middle, 0) / (2 * PER_UNIT)
        cell_v += params.FLOAT_COMPENSATION.value * (celsius - params.REFERENCE_TEMPERATURE.value)
        cell_v = np.clip(cell_v, params.FLOAT_SET_MINIMUM.value, params.FLOAT_SET_MAXIMUM.value)
    set_v = bank.cells * len(bank.jars) * cell_v
    measured = total / (100.0 * np.maximum(number, 1))
    apart = np.floor(100 * PER_UNIT * np.abs(measured / set_v - 1.0) + 0.5).astype(np.int64)
    return np.where(known, apart, NULL)


def _gated(rule: AlertRule, gates: Gates, readings: Ints) -> tuple[Ints, Flags]:
    """Readings, (..., reading), without those in which the gate is closed, and where it is open."""
    if rule.window_s == SECONDS_PER_DAY:
        return readings, np.ones(readings.shape[-1], np.bool_)
    may, _ = gates.open_hours(rule)
    return np.where(may, readings, NULL), may


def _jar_rows(bank: Bank, rule: AlertRule, gates: Gates, readings: Ints) -> list[Condition]:
    where = axis(gates.grid, gates.block, rule.window_s)
    readings, may = _gated(rule, gates, readings)
    level = levels(rule)
    rows = _string_unknown(bank.string_id, rule, where, may)
    firsts = _firsts(may, where.bounds) + where.bounds[:-1]
    for j, units in enumerate(bank.jars):
        if bank.wanted[j]:
            for day in _called(rule, level, where, readings[j], may):
                part = readings[j, slice(*where.bounds[day : day + 2].tolist())]
                rows += _own(_unit_spans(units, rule, level, where, day, part), where, day, firsts)
    return rows


def _called(rule: AlertRule, level: Levels, where: Axis, readings: Ints, may: Flags) -> list[int]:
    """Days that may have rows: something is beyond, or lacks though it may be read."""
    known = readings != NULL
    beyond = known & ((-1 if rule.below else 1) * readings > level.clear)
    if not beyond.any() and (known == may).all():
        return []
    at = np.flatnonzero(beyond | (known != may))
    days: list[int] = np.unique(np.searchsorted(where.bounds, at, side="right") - 1).tolist()
    return days


def _rows_of(asset: str, rule: AlertRule, gates: Gates, readings: Ints) -> list[Condition]:
    where = axis(gates.grid, gates.block, rule.window_s)
    readings, _ = _gated(rule, gates, readings)
    level, rows = levels(rule), []
    for day in _called(rule, level, where, readings, np.ones(readings.size, np.bool_)):
        part = readings[slice(*where.bounds[day : day + 2].tolist())]
        rows += spans(asset, rule, level, where, day, part)
    return rows


# --- rooms ----------------------------------------------------------------------------------------


def room_conditions(
    sensor_id: str, rule: AlertRule, grid: TimeGrid, block: Block, temperature_dc: Counts
) -> list[Condition]:
    """Rows of a room from the samples of its temperature [0.1 degC], (row,)."""
    where, level = axis(grid, block, 0), levels(rule)
    rows = []
    for day in range(block.days):
        part = temperature_dc[slice(*where.bounds[day : day + 2].tolist())]
        readings = np.where(part == _NULL32, NULL, PER_UNIT // 10 * part.astype(np.int64))
        rows += spans(sensor_id, rule, level, where, day, readings)
    return rows


# --- rows and columns -----------------------------------------------------------------------------


def row_group(rows: Iterable[Condition]) -> RowGroup:
    """Rows as a row group of `alert_condition`, in the order of its key."""
    order = {name: n for n, name in enumerate(ALERT_LEVELS)}
    ordered = sorted(rows, key=lambda row: (row.start_s, row.asset_id, row.rule, order[row.level]))
    columns = zip(*ordered, strict=True) if ordered else ((),) * len(Condition._fields)
    start, asset, rule, level, end, readings, extreme = columns
    return {
        "start_ts": Plain(1000 * np.array(start, np.int64)),
        "asset_id": texts(asset),
        "rule": texts(rule),
        "level": texts(level),
        "end_ts": Plain(1000 * np.array(end, np.int64)),
        "readings": Plain(np.array(readings, np.int64)),
        "extreme": Plain(np.array(extreme, np.int64)),
    }
