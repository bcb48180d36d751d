"""Features, alert conditions, alerts and predictions of one string again, from what was measured.

Promise 8: no label leaks. The package's own derivations are given the columns of measured tables
and the dimension tables, and nothing else; what they give must be what lies in the files.
"""

from __future__ import annotations

import csv as texts
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from fleetgen import digest, history
from fleetgen.derive import conditions, features
from fleetgen.derive.conditions import Bank, Condition, Gates, Watched
from fleetgen.errors import StorageError
from fleetgen.io import csv, dataset
from fleetgen.io.store import Store
from fleetgen.rows import row_groups
from fleetgen.sample import BlockClock
from fleetgen.schema import (
    ALERT,
    ALERT_CONDITION,
    FEATURE_STORE,
    MODES,
    RUL_PREDICTION,
    Table,
)
from fleetgen.spec import (
    NULL,
    AlertRule,
    Block,
    Codes,
    HistoryJob,
    Instants,
    PartJob,
    RoomJob,
    RowGroup,
    StringJob,
)
from fleetgen.task import part_path
from fleetgen.units import HOURS_PER_DAY
from fleetgen.validate.measured import Measured, read_jars, read_string

Ints = NDArray[np.int64]
Row = dict[str, str]

_FLOAT = MODES.index("float")
_NULL32 = np.iinfo(np.int32).min
_OF_ALL_JARS = ("v_balance_mean", "v_deviation_median")
"""Features that need all jars of the string."""


@dataclass(frozen=True)
class RecomputeJob:
    """A string over the whole run: its parts, its room's, and what `battery` says of its jars.

    By position: resistance in the acceptance test [uOhm], and day of installation.
    """

    string: HistoryJob
    room: HistoryJob
    baseline_uohm: Mapping[str, int]
    installed_day: Mapping[str, int]

    @property
    def key(self) -> str:
        """Name of the job."""
        return self.string.key


@dataclass(frozen=True)
class Again:
    """What came of it: rows compared and rows that differ by table, and rows of closing tables.

    `fault` is why nothing could be compared.
    """

    job: str
    compared: Mapping[str, int]
    differing: Mapping[str, int]
    examples: Mapping[str, str]
    alerts: tuple[Row, ...] = ()
    predictions: tuple[Row, ...] = ()
    fault: str = ""


def begin_again(store: Store, job: RecomputeJob) -> Callable[[], Again]:
    """Derive a string again and compare."""
    return partial(_again, store, job)


def _again(store: Store, job: RecomputeJob) -> Again:
    try:
        found, predicted = history.conclusions(job.string, store)
        offset_s = job.string.run.grid.utc_offset_s
        alerts = _as_rows(ALERT, row_groups(ALERT, found), offset_s)
        predictions = _as_rows(RUL_PREDICTION, predicted, offset_s)
        strings = _String(job)
        with np.errstate(invalid="ignore"):  # what is no number differs
            for part in job.string.parts:
                if isinstance(part, StringJob):
                    strings.take(store, part)
            strings.compare_features(store)
    except (StorageError, ValueError, KeyError) as error:
        return Again(job.key, {}, {}, {}, fault=f"{job.key}: {str(error).partition(chr(10))[0]}")
    return Again(
        job.key, strings.compared, strings.differing, strings.examples, alerts, predictions
    )


def _as_rows(table: Table, groups: list[RowGroup], offset_s: int) -> tuple[Row, ...]:
    """Rows as whoever reads the CSV file finds them."""
    text = csv.csv_bytes(table, groups, offset_s, header=False).decode()
    return tuple(texts.DictReader(io.StringIO(text, newline=""), fieldnames=table.names))


class _String:
    """A string that is derived again, part after part."""

    def __init__(self, job: RecomputeJob) -> None:
        first = job.string.parts[0]
        if not isinstance(first, StringJob):
            raise ValueError("no string")
        self._job, self._first, self._grid = job, first, first.run.grid
        self._whole = len(first.jar_ids) == len(first.string.jar_ids)
        self._modes: list[NDArray[np.uint8]] = []
        self._channels: list[NDArray[np.int32]] = []
        self._hours: list[Ints] = []
        self._room: list[Ints] = []
        self._midnights: list[tuple[Ints, Ints]] = []
        self._units: dict[str, set[str]] = {jar: set() for jar in first.jar_ids}
        self.compared: dict[str, int] = {}
        self.differing: dict[str, int] = {}
        self.examples: dict[str, str] = {}

    def take(self, store: Store, part: StringJob) -> None:
        """Go on with the next part: hourly sums, and what is alarming in its samples."""
        block = part.block
        room = tuple(
            each
            for each in self._job.room.parts
            if isinstance(each, RoomJob)
            and each.block.first_day < block.end_day
            and each.block.end_day > block.first_day
        )
        measured = read_string(store, part, room)
        clock = BlockClock(self._grid, block)
        around = _room_hours(measured.room, clock.hour_bounds)
        rules = conditions.rules_of(part.run.alerts, part.string.model)
        gates = Gates(
            self._grid,
            block,
            measured.mode,
            measured.string["voltage_v"],
            part.system.jars_per_string,
            clock.hour_bounds,
            self._unsettled_s(block.first_day),
        )
        jars = len(part.jar_ids)
        hours = np.zeros((jars, clock.hours, features.JAR_COLUMNS), np.int64)
        midnights = tuple(np.full((jars, block.days), NULL) for _ in range(2))
        rows: list[Condition] = []
        for jar, units, counts in read_jars(store, part):
            j = part.jar_ids.index(jar)
            self._units[jar] |= units
            self._jar_hours(measured.mode, counts, clock, hours[j])
            at, sampled = self._midnight_rows(clock)
            for values, channel in zip(midnights, (counts[2], counts[1]), strict=True):
                some = channel[at[sampled]].astype(np.int64)
                values[j, sampled] = np.where(some == _NULL32, NULL, some)
            if self._whole:
                watched = (self._watched(jar, block),)
                rows += conditions.jar_samples(
                    watched, rules, gates, counts[0], counts[1], hours[j]
                )
        if self._whole:
            rows += self._string_conditions(part, measured, clock, rules, gates, hours, around)
            self._compare_conditions(rows, _conditions(store, part))
        channels = ("current_a", "ripple_current_rms_a", "thd_pct")
        self._modes.append(measured.mode)
        self._channels.append(np.stack([measured.string[name] for name in channels]))
        self._hours.append(hours)
        self._room.append(around)
        self._midnights.append((midnights[0], midnights[1]))

    def _jar_hours(
        self, mode: NDArray[np.uint8], counts: NDArray[np.int32], clock: BlockClock, out: Ints
    ) -> None:
        """Sums of a jar by hour into `out` (hour, 11)."""
        volts, degrees, ohm = counts
        model, bounds = self._first.string.model, clock.hour_bounds
        features.jar_hours(
            volts,
            degrees,
            mode,
            bounds,
            self._grid.interval_s,
            round(model.float_min_v * 1000),
            round(model.float_max_v * 1000),
            out,
        )
        if len(out):
            last = ohm[np.maximum(bounds[1:] - 1, 0)].astype(np.int64)
            unread = (last == _NULL32) | (bounds[1:] == bounds[:-1])
            out[:, features.READING] = np.where(unread, NULL, last)

    def _midnight_rows(self, clock: BlockClock) -> tuple[Ints, NDArray[np.bool_]]:
        """Rows at which the block's days begin, and whether they are at midnight, (day,)."""
        at = clock.day_bounds[:-1]
        midnight_s = np.array([self._grid.midnight_s(d) for d in _days(clock.block)])
        on_time = clock.first_s + at * self._grid.interval_s == midnight_s
        return at, on_time & (at < clock.rows)

    def _watched(self, jar: str, block: Block) -> Watched:
        age_days = block.first_day - self._job.installed_day[jar]
        return Watched(jar, self._grid.start_s, age_days, self._job.baseline_uohm[jar])

    # --- what is alarming -------------------------------------------------------------------------

    def _string_conditions(
        self,
        part: StringJob,
        measured: Measured,
        clock: BlockClock,
        rules: Mapping[str, AlertRule],
        gates: Gates,
        hours: Ints,
        around: Ints,
    ) -> list[Condition]:
        """Rows by the rules over hours and days."""
        string = part.string
        bank = Bank(
            string_id=string.string_id,
            jars=tuple((self._watched(jar, part.block),) for jar in part.jar_ids),
            wanted=(True,) * len(part.jar_ids),
            cells=string.model.cells,
            rated_ah=string.model.rated_capacity_ah,
            design_life_years=string.model.design_life_years,
            compensated=part.location.temperature_compensated,
            float_current=part.system.kind != "UPS",
        )
        names = ("voltage_v", "ripple_current_rms_a", "float_current_a")
        hourly = conditions.StringHours(
            *(conditions.hourly(measured.string[name], clock.hour_bounds) for name in names)
        )
        earlier = np.concatenate([np.zeros((conditions.ROOM_HOURS - 1, 2), np.int64), *self._room])
        room = np.concatenate([earlier[len(earlier) - conditions.ROOM_HOURS + 1 :], around])
        return conditions.string_conditions(bank, rules, gates, hours, hourly, room)

    def _compare_conditions(self, rows: list[Condition], there: list[Condition]) -> None:
        """Compare alert conditions, but for those of positions that changed their unit."""
        swapped = {unit for units in self._units.values() if len(units) > 1 for unit in units}
        made, found = (
            {row for row in each if row.asset_id not in swapped} for each in (rows, there)
        )
        odd = sorted(map(str, made ^ found))
        self._note("alert_condition", len(made | found), len(odd), min(odd, default=""))

    def _unsettled_s(self, first_day: int) -> int:
        """Last known sample in another mode than float, at most the look-back ago."""
        grid = self._grid
        begins_s = grid.midnight_s(max(grid.first_day, first_day - conditions.LOOK_BACK_DAYS))
        if not self._modes:
            return begins_s
        mode = np.concatenate(self._modes)
        other = np.flatnonzero((mode != _FLOAT) & (mode != features.NO_MODE))
        last_s = grid.start_s + int(other[-1]) * grid.interval_s if other.size else begins_s
        return max(last_s, begins_s)

    # --- features ---------------------------------------------------------------------------------

    def compare_features(self, store: Store) -> None:
        """Features of the whole run, of all positions that kept their unit."""
        grid, first = self._grid, self._first
        length = first.run.window_hours
        clock = BlockClock(grid, Block(grid.first_day, grid.end_day))
        windows = clock.windows(length)
        if not windows:
            return
        hours = np.concatenate(self._hours, axis=1)
        mode, channels = np.concatenate(self._modes), np.concatenate(self._channels, axis=1)
        rated_ah = first.string.model.rated_capacity_ah
        string = features.string_hours(mode, channels, clock.hour_bounds, grid.interval_s, rated_ah)
        shared = features.string_features(
            features.string_windows(string, length), features.Account(), rated_ah
        ) | {"feature_window_hours": np.full(windows, length)}
        jars = features.jar_windows(hours, np.diff(clock.hour_bounds), length)
        all_jars = features.whole_sum(jars[:, :, [features.V_SAMPLES, features.V_SUM]], 0)
        _, twice_median = features.medians(features.mean_volts(jars).T)
        room = features.room_windows(np.concatenate(self._room), length)
        day = np.arange(windows) * length // HOURS_PER_DAY
        ends = clock.window_ends(length)
        made: dict[str, dict[str, Ints]] = {}
        for j, jar in enumerate(first.jar_ids):
            if len(self._units[jar]) == 1:
                base = self._baseline(j, jar)[day]
                initial = self._job.baseline_uohm[jar]
                mine = features.jar_features(jars[j], all_jars, twice_median, room, initial, base)
                made[jar] = shared | mine
        names = [
            name for name in FEATURE_STORE.names[2:] if self._whole or name not in _OF_ALL_JARS
        ]
        for part in self._job.string.parts:
            self._compare_part(store, part, names, made, ends)

    def _baseline(self, j: int, jar: str) -> Ints:
        readings, degrees = (
            np.concatenate([each[n][j] for each in self._midnights]) for n in range(2)
        )
        values = features.at_25c(readings, np.where(degrees == NULL, NULL, 100 * degrees))
        return features.baselines(values, len(values), 0, self._job.baseline_uohm[jar])

    def _compare_part(
        self,
        store: Store,
        part: PartJob,
        names: list[str],
        made: dict[str, dict[str, Ints]],
        ends: Instants,
    ) -> None:
        path = part_path(part, FEATURE_STORE.name)
        if not BlockClock(self._grid, part.block).windows(part.run.window_hours):
            return
        for group in _groups(store, path, FEATURE_STORE):
            ids = group["battery_id"]
            if not isinstance(ids, Codes):
                raise ValueError(f"{path}: no ids")
            window = (digest.instants_ms(group["feature_ts"]) - ends.first_ms) // ends.step_ms
            for code, unit in enumerate(ids.levels):
                mine = made.get(str(unit))
                rows = np.flatnonzero(ids.codes == code)
                at = window[rows]
                if mine is None or not rows.size:
                    continue
                if at.min() < 0 or at.max() >= ends.rows:
                    raise ValueError(f"{path}: {unit} has a window outside of the run")
                odd = np.zeros(rows.size, np.bool_)
                first = ""
                for name in names:
                    unlike = digest.instants_ms(group[name])[rows] != mine[name][at]
                    first = first or (f"{unit}: {name}" if unlike.any() else "")
                    odd |= unlike
                self._note(FEATURE_STORE.name, rows.size, int(odd.sum()), first)

    def _note(self, table: str, compared: int, differing: int, example: str) -> None:
        self.compared[table] = self.compared.get(table, 0) + compared
        self.differing[table] = self.differing.get(table, 0) + differing
        if example:
            self.examples.setdefault(table, example)


def _days(block: Block) -> range:
    return range(block.first_day, block.end_day)


def _room_hours(degrees: NDArray[np.int32], bounds: Ints) -> Ints:
    """Number and sum of the room's temperature counts in each complete hour, (hour, 2)."""
    known = degrees != _NULL32
    sums = np.zeros((degrees.size + 1, 2), np.int64)
    np.cumsum(known, out=sums[1:, 0])
    np.cumsum(np.where(known, degrees, 0), out=sums[1:, 1])
    return np.diff(sums[bounds], axis=0)


def _groups(store: Store, path: str, table: Table) -> list[RowGroup]:
    read = dataset.iter_csv_groups if path.endswith(".csv.gz") else dataset.iter_groups
    return list(read(table, io.BytesIO(store.get(path))))


def _conditions(store: Store, part: StringJob) -> list[Condition]:
    """Rows of a part's alert conditions; there is no file of none."""
    path = part_path(part, ALERT_CONDITION.name)
    if not store.exists(path):
        return []
    return [
        Condition(*row)
        for group in _groups(store, path, ALERT_CONDITION)
        for row in history.rows_in(group, ALERT_CONDITION)
    ]
