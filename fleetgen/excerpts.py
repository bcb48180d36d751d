"""What the report shows of a data set: few parts of it, read where they lie.

The truth says which: three units by their health, and the longest outage. Telemetry is read of that
outage alone; all else comes from receipts, hourly features, daily truth and the closing tables.
"""

from __future__ import annotations

import codecs
import csv
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fleetgen import digest
from fleetgen.crew import unit_id
from fleetgen.history import of_part
from fleetgen.io.store import Store
from fleetgen.model import climate, events
from fleetgen.plan import Plan
from fleetgen.report.content import (
    BINS,
    RUL_CELL_DAYS,
    RUL_CELLS,
    Binned,
    Calendar,
    Content,
    Ints,
    Lives,
    Outage,
    Place,
    Subject,
    binned,
)
from fleetgen.report.summary import Summary
from fleetgen.schema import (
    ALERT,
    FEATURE_STORE,
    JAR_RAW,
    RUL_HORIZON_DAYS,
    RUL_PREDICTION,
    RUL_TRUTH,
    STRING_RAW,
    Table,
)
from fleetgen.spec import NULL, Codes, PartJob, Receipt, RowGroup, Sketch, StringJob
from fleetgen.units import SECONDS_PER_DAY, SECONDS_PER_HOUR, SECONDS_PER_MINUTE, day_date

Receipts = Callable[[], Iterator[Receipt]]
State = dict[str, Any]
_Columns = dict[str, list[Ints]]
"""Pieces of columns, counts (row,), by their names."""

FEATURES = ("v_deviation_median", "t_mean", "r_internal_baseline_pct")
"""Hourly features that are shown of a unit."""

CALENDAR_BINS = 92
"""Most columns of the calendar."""

_BEFORE_S, _AFTER_S = 10 * SECONDS_PER_MINUTE, SECONDS_PER_HOUR
_LONGEST_S = 12 * SECONDS_PER_HOUR


def gather(plan: Plan, store: Store, receipts: Receipts, summary: Summary) -> Content:
    """Read what the report of a plan shows, of a data set in which all else is in place."""
    content = Content(calendar=_calendar(plan))
    content.outages, found = _outages(plan)
    places = {place.location_id: place for place in _places(plan)}
    content.places = list(places.values())
    predicted = _Predictions(plan.run.grid.end_s, store)
    chosen = _Chosen(plan, summary)
    weakest: tuple[int, str, dict[str, State]] | None = None
    for job, receipt in zip(plan.parts, receipts(), strict=True):
        _take_part(plan, content, places[job.location.location_id], job, receipt)
        if isinstance(job, StringJob) and receipt.states:
            chosen.take(job, receipt)
            predicted.take(job.string.string_id, receipt.states)
            least = min(map(_milli, receipt.states.values()))
            in_outage = found is not None and job.system.system_id == found.job.system.system_id
            if in_outage and (weakest is None or least < weakest[0]):
                weakest = least, job.string.string_id, receipt.states
    for row in _rows(store, ALERT):
        number = _bin(plan, content, 1000 * _instant_s(row["triggered_at"]))
        calendar = content.calendar
        critical = row["severity"] == "critical"
        _count(calendar.critical if critical else calendar.alerts, row["alert_type"], number)
        places[row["location_id"]].alerts += 1
    content.lives = predicted.lives
    content.subjects = [*_subjects(plan, store, chosen.units())]
    if found is not None and weakest is not None:
        content.outage = _shown(plan, store, found, *weakest[1:])
    return content


def _take_part(plan: Plan, content: Content, place: Place, job: PartJob, receipt: Receipt) -> None:
    """Add what the receipt of one part tells."""
    if not isinstance(job, StringJob):
        _take_climate(content, job, receipt)
    for row in receipt.events:
        number = _bin(plan, content, row["started_at"])
        _count(content.calendar.work, row["event_type"], number)
    place.replaced += len(receipt.swaps)
    for state in receipt.states.values():
        place.units += 1
        place.soh_milli_pct += _milli(state)
        place.worn += bool(state["failed"])
        _count(content.soh_bins, state["profile"], _milli(state) // 1000)


def _instant_s(text: str) -> int:
    """Instant of a text of CSV."""
    return int(datetime.fromisoformat(text).timestamp())


def _milli(state: State) -> int:
    milli: int = round(state["soh_pct"] * 1000)
    return milli


def _count(counters: dict[str, Counter[int]], name: str, number: int) -> None:
    counters.setdefault(name, Counter())[number] += 1


# --- places, seasons, calendar --------------------------------------------------------------------


def _places(plan: Plan) -> Iterator[Place]:
    for site in plan.fleet.sites:
        jars = [
            len(plan.selected[string.string_id])
            for system in site.systems
            for string in system.strings
            if plan.selected.get(string.string_id)
        ]
        place = site.location
        if jars:
            where = place.latitude, place.longitude
            names = place.location_id, place.name, place.region
            yield Place(*names, *where, strings=len(jars), jars=sum(jars))


def _take_climate(content: Content, job: PartJob, receipt: Receipt) -> None:
    """Add the temperatures of a room's part, which lies in one month."""
    day = day_date(job.block.first_day)
    key = job.location.region, day.year, day.month
    both = content.climate.setdefault(key, (Sketch(), Sketch()))
    names = "telemetry_env.outdoor_temperature_c", "telemetry_env.temperature_c"
    for sketch, name in zip(both, names, strict=True):
        if name in receipt.statistics:
            sketch.take(receipt.statistics[name])


def _calendar(plan: Plan) -> Calendar:
    days = plan.run.grid.end_day - plan.run.grid.first_day
    width = -(-days // CALENDAR_BINS)
    return Calendar(width, -(-days // width))


def _bin(plan: Plan, content: Content, instant_ms: int) -> int:
    seconds: int = instant_ms // 1000 - plan.run.grid.start_s
    number = seconds // (SECONDS_PER_DAY * content.calendar.bin_days)
    return min(number, content.calendar.bins - 1)  # what is told at the end is of the last day


# --- three units ----------------------------------------------------------------------------------


class _Unit(NamedTuple):
    """A unit, a part of its string, its state, and whether it is in service to the end."""

    job: StringJob
    unit_id: str
    state: State
    stays: bool


class _Chosen:
    """A unit of the mildest, the middle and the worst profile that there are.

    Of the worst the least healthy; of the others the one nearest to the mean of its profile that
    has no failure mode. Units that came in the run are left out; ties go to the first.
    """

    def __init__(self, plan: Plan, summary: Summary) -> None:
        there = [p.name for p in plan.run.scenario.profiles if summary.profiles[p.name]]
        few = [there[0], there[len(there) // 2], there[-1]] if there else []
        self._names = list(dict.fromkeys(few))
        self._summary = summary
        self._best: dict[str, tuple[tuple[int, int], _Unit]] = {}

    def take(self, job: StringJob, receipt: Receipt) -> None:
        """Look at the units of a string."""
        for unit, state in receipt.states.items():
            profile = state["profile"]
            if profile in self._names and unit not in receipt.swaps:
                rank = self._rank(profile, state)
                if profile not in self._best or rank < self._best[profile][0]:
                    stays = not _was_replaced(unit, receipt.states)
                    self._best[profile] = rank, _Unit(job, unit, state, stays)

    def _rank(self, profile: str, state: State) -> tuple[int, int]:
        if profile == self._names[-1] and len(self._names) > 1:
            return 0, _milli(state)
        count, total = self._summary.profiles[profile], self._summary.soh_of[profile]
        return int(state["failure_mode"] is not None), abs(_milli(state) * count - total)

    def units(self) -> list[_Unit]:
        """Units from the mildest profile to the worst."""
        return [self._best[name][1] for name in self._names if name in self._best]


def _subjects(plan: Plan, store: Store, chosen: list[_Unit]) -> Iterator[Subject]:
    """The units with their hours and days; the parts of a string are read once for all of them."""
    names = {FEATURE_STORE: ("feature_ts", *FEATURES), RUL_TRUTH: ("ts", "soh_pct")}
    found: dict[tuple[str, str], _Columns] = {
        (each.unit_id, table.name): {name: [] for name in columns}
        for each in chosen
        for table, columns in names.items()
    }
    for string_id in dict.fromkeys(each.job.string.string_id for each in chosen):
        units = [each.unit_id for each in chosen if each.job.string.string_id == string_id]
        for part in _parts_of(plan, string_id):
            for table, columns in names.items():
                for group in of_part(part, store, table, ("battery_id", *columns)):
                    for unit in units:
                        _keep(group, unit, found[unit, table.name])
    for each in chosen:
        channels: dict[str, Binned] = {}
        for table in names:
            channels |= _channels(plan, table, found[each.unit_id, table.name])
        profile = str(each.state["profile"])
        yield Subject(each.unit_id, profile, each.state, each.stays, channels)


def _keep(group: RowGroup, unit: str, found: _Columns) -> None:
    """Add the rows of a unit to what was found of each column."""
    names = group["battery_id"]
    if not isinstance(names, Codes):
        raise ValueError("no ids")
    rows = np.array([level == unit for level in names.levels], bool)[names.codes]
    if rows.any():
        for name, pieces in found.items():
            pieces.append(digest.instants_ms(group[name])[rows])


def _channels(plan: Plan, table: Table, found: _Columns) -> dict[str, Binned]:
    """Channels of what was found, binned over the run; the first column is the instant."""
    grid = plan.run.grid
    stamp, *names = found
    if not found[stamp]:
        return {}
    t_s = np.concatenate(found[stamp]) // 1000
    if table is FEATURE_STORE:
        t_s = t_s - plan.run.window_hours * SECONDS_PER_HOUR // 2  # its middle
    width = max(SECONDS_PER_HOUR, -(-grid.duration_s // BINS))
    return {
        name: binned(
            t_s, np.concatenate(found[name]), table.column(name).per_unit, grid.start_s, width
        )
        for name in names
    }


def _parts_of(plan: Plan, string_id: str) -> list[StringJob]:
    return [job for job in plan.strings if job.string.string_id == string_id]


# --- an outage ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Found:
    job: StringJob
    start_s: int
    end_s: int


def _outages(plan: Plan) -> tuple[int, _Found | None]:
    """Number of outages of the locations in the run, and the one that lay longest on a battery.

    Whole ones come before one that the end of the run cuts; then the first in time and in the plan.
    """
    run, grid = plan.run, plan.run.grid
    best: tuple[tuple[bool, int, int], _Found] | None = None
    counted: dict[str, int] = {}
    seen: set[str] = set()
    for job in plan.strings:
        if job.system.system_id in seen:
            continue
        seen.add(job.system.system_id)
        place = job.location

        def rain(first: int, end: int, place: Any = place) -> NDArray[np.bool_]:
            return climate.rain_days(place, run.seed, first, end)

        span = grid.first_day, grid.end_day, grid.utc_offset_s
        if place.location_id not in counted:
            all_there = events.location_outages(place, run.seed, *span, rain, run.scenario)
            inside = [s for s, _ in all_there if grid.start_s <= s < grid.end_s]
            counted[place.location_id] = len(inside)
        t = events.timeline(place, job.system, run.seed, *span, rain, run.scenario)
        planned = t.self_test.tolist()
        spans = zip(t.discharge_start_s.tolist(), t.discharge_end_s.tolist(), strict=True)
        for (start, end), test in zip(spans, planned, strict=True):
            if test or not grid.start_s <= start < grid.end_s:
                continue
            rank = end > grid.end_s, start - end, start
            if best is None or rank < best[0]:
                best = rank, _Found(job, start, end)
    return sum(counted.values()), best and best[1]


class _Bins:
    """A channel by bins of time, as `Binned` has it, that adds up while it is read."""

    def __init__(self, start_s: int, end_s: int, width_s: int) -> None:
        number = -(-(end_s - start_s) // width_s)
        self._start_s, self._width_s = start_s, width_s
        self._rows, self._after_s, self._total = np.zeros((3, number), np.int64)
        self._low = np.full(number, np.iinfo(np.int64).max)
        self._high = np.full(number, np.iinfo(np.int64).min)

    def take(self, t_s: Ints, counts: Ints) -> None:
        """Add instants within the span and their counts (row,), `NULL` where there is no value."""
        known = counts != NULL
        after_s, values = t_s[known] - self._start_s, counts[known]
        number = after_s // self._width_s
        np.add.at(self._rows, number, 1)
        np.add.at(self._after_s, number, after_s)
        np.add.at(self._total, number, values)
        np.minimum.at(self._low, number, values)
        np.maximum.at(self._high, number, values)

    def add(self, other: _Bins) -> None:
        """Add another channel of the same span."""
        self._rows += other._rows
        self._after_s += other._after_s
        self._total += other._total
        np.minimum(self._low, other._low, out=self._low)
        np.maximum(self._high, other._high, out=self._high)

    def binned(self, per_unit: int) -> Binned:
        """Bins that have a value."""
        some = self._rows > 0
        rows = self._rows[some]
        return Binned(
            t_s=self._start_s + self._after_s[some] // rows,
            rows=rows,
            total=self._total[some],
            low=self._low[some],
            high=self._high[some],
            per_unit=per_unit,
        )


@dataclass
class _Jar:
    """Voltages of a unit over the span, and of those in the outage their number and sum."""

    bins: _Bins
    rows: int = 0
    total: int = 0


def _shown(
    plan: Plan, store: Store, found: _Found, string_id: str, states: dict[str, State]
) -> Outage:
    """The outage as one string saw it, by the states of its units.

    Samples are binned as they are read: what is held are the bins of each unit and one row group.
    """
    grid = plan.run.grid
    length = min(found.end_s - found.start_s, _LONGEST_S)
    from_s = max(grid.start_s, found.start_s - max(_BEFORE_S, length // 4, 2 * grid.interval_s))
    to_s = min(grid.end_s, found.start_s + length + max(_AFTER_S, 2 * length, 12 * grid.interval_s))
    span = from_s, to_s, max(grid.interval_s, -(-(to_s - from_s) // BINS))
    span_ms = 1000 * from_s, 1000 * to_s
    current, samples = _Bins(*span), 0
    jars: dict[str, _Jar] = {}
    string_rows = jar_rows = 0
    for part in _parts_of(plan, string_id):
        if grid.midnight_s(part.block.end_day) <= from_s:
            continue
        if grid.midnight_s(part.block.first_day) >= to_s:
            break
        for group in of_part(part, store, STRING_RAW, ("ts", "current_a"), span_ms):
            rows, t_s = _within(group, span_ms)
            current.take(t_s, digest.instants_ms(group["current_a"])[rows])
            string_rows += len(t_s)
            samples += int(np.count_nonzero((t_s >= found.start_s) & (t_s < found.end_s)))
        for group in of_part(part, store, JAR_RAW, ("ts", "voltage_v", "battery_id"), span_ms):
            jar_rows += _take_jars(group, found, span, jars)
    shown = Outage(string_id, found.start_s, found.end_s, from_s, to_s, 0, len(jars))
    if not string_rows or not jar_rows:
        return shown
    volts = _Bins(*span)
    for jar in jars.values():
        volts.add(jar.bins)
    per_unit = JAR_RAW.column("voltage_v").per_unit
    channels = {
        "volts": volts.binned(per_unit),
        "current": current.binned(STRING_RAW.column("current_a").per_unit),
    }
    weakest = min(
        (unit for unit, jar in jars.items() if jar.rows),
        key=lambda unit: jars[unit].total / jars[unit].rows,
        default="",
    )
    if weakest:
        channels["weak"] = jars[weakest].bins.binned(per_unit)
    return replace(
        shown,
        samples=samples,
        weakest=weakest,
        profile=states[weakest]["profile"] if weakest in states else "",
        channels=channels,
    )


def _within(group: RowGroup, span_ms: tuple[int, int]) -> tuple[NDArray[np.bool_], Ints]:
    """Which rows of a group lie in a span, and their instants [s]."""
    stamps = digest.instants_ms(group["ts"])
    rows = (stamps >= span_ms[0]) & (stamps < span_ms[1])
    return rows, stamps[rows] // 1000


def _take_jars(
    group: RowGroup, found: _Found, span: tuple[int, int, int], jars: dict[str, _Jar]
) -> int:
    """Add the voltages of a row group to their units; gives its rows in the span."""
    rows, t_s = _within(group, (1000 * span[0], 1000 * span[1]))
    names = group["battery_id"]
    if not isinstance(names, Codes):
        raise ValueError("no ids")
    volts, codes = digest.instants_ms(group["voltage_v"])[rows], names.codes[rows]
    inside = (t_s >= found.start_s) & (t_s < found.end_s) & (volts != NULL)
    for code in np.unique(codes).tolist():
        mine = codes == code
        jar = jars.setdefault(str(names.levels[code]), _Jar(_Bins(*span)))
        jar.bins.take(t_s[mine], volts[mine])
        jar.rows += int(np.count_nonzero(mine & inside))
        jar.total += int(volts[mine & inside].sum())
    return len(t_s)


# --- remaining life -------------------------------------------------------------------------------


class _Predictions:
    """Predictions of the last Monday, held against the truth of that instant.

    The remaining life at the end of the run and the time until then are what remained on Monday,
    of units in service to the end whose life had not ended. Strings come in order of the plan.
    """

    def __init__(self, end_s: int, store: Store) -> None:
        self.lives = Lives()
        self._end_s = end_s
        self._strings = groupby(_rows(store, RUL_PREDICTION), _string_of)
        self._next = next(self._strings, None)

    def take(self, string_id: str, states: dict[str, State]) -> None:
        """Compare the predictions of a string, if there are any, with the states of its units."""
        if self._next is None or self._next[0] != string_id:
            return
        for row in self._next[1]:
            at_s = _instant_s(row["predicted_at"])
            if self.lives.at_s is None or at_s > self.lives.at_s:
                self.lives = Lives(at_s)
            if at_s == self.lives.at_s and row["rul_days"]:
                self._compare(row, states, (self._end_s - at_s) / SECONDS_PER_DAY)
        self._next = next(self._strings, None)

    def _compare(self, row: dict[str, str], states: dict[str, State], more: float) -> None:
        unit = row["battery_id"]
        left = states[unit]["rul_days"]
        if left == 0 or _was_replaced(unit, states):
            return
        true = float(RUL_HORIZON_DAYS) if left is None else min(left + more, RUL_HORIZON_DAYS)
        self.lives.cells[_cell(true), _cell(float(row["rul_days"]))] += 1
        self.lives.units += 1
        low, high = float(row["rul_lower_ci_days"]), float(row["rul_upper_ci_days"])
        self.lives.within += low <= true <= high


def _string_of(row: dict[str, str]) -> str:
    return row["battery_id"].rpartition("-J")[0]


def _cell(days: float) -> int:
    return min(RUL_CELLS - 1, int(days / RUL_CELL_DAYS))


def _was_replaced(unit: str, units: Container[str]) -> bool:
    """Whether the next unit of its position is among those of its string."""
    position, _, number = unit.rpartition("-R")
    first = not position or not number.isdecimal()
    return unit_id(unit if first else position, 2 if first else int(number) + 1) in units


def _rows(store: Store, table: Table) -> Iterator[dict[str, str]]:
    """Rows of a table that closes with the run, one in memory at a time."""
    texts = codecs.iterdecode(store.get_stream(f"{table.name}.csv"), "utf-8")
    return iter(csv.DictReader(_lines(texts)))


def _lines(pieces: Iterable[str]) -> Iterator[str]:
    rest = ""
    for piece in pieces:
        *lines, rest = (rest + piece).split("\n")
        yield from (f"{line}\n" for line in lines)
    if rest:
        yield rest
