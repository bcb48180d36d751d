"""One part's files, each read once and unpacked a piece at a time."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from fleetgen.errors import StorageError
from fleetgen.io import dataset
from fleetgen.io.store import Store
from fleetgen.sample import BlockClock
from fleetgen.schema import (
    ALERT_CONDITION,
    ENV,
    FEATURE_STORE,
    JAR_CALC,
    JAR_RAW,
    RUL_TRUTH,
    STRING_CALC,
    STRING_RAW,
    TELEMETRY,
    Table,
)
from fleetgen.spec import PartJob, RoomJob, StringJob, Values
from fleetgen.task import part_path, part_tables
from fleetgen.units import SECONDS_PER_DAY
from fleetgen.validate.clock import Clock, Stretch
from fleetgen.validate.look import LookJob, Seen, fault_spans, impossible, milli
from fleetgen.validate.strings import Columns, StringLook

_OF_JARS = (JAR_RAW, JAR_CALC, FEATURE_STORE, RUL_TRUTH)
_COUNTDOWN_DAYS = 0.01
"""What a remaining life may differ by from a day less than the day before: two roundings."""

Take = Callable[[Stretch, Columns], None]


def begin_look(store: Store, job: LookJob) -> Callable[[], Seen]:
    """Look at a part."""
    return partial(_look, store, job)


@np.errstate(invalid="ignore", over="ignore")  # what is no number is told of, not warned of
def _look(store: Store, job: LookJob) -> Seen:
    part, seen = job.part, Seen()
    read = partial(_read, store, job, seen)
    if isinstance(part, StringJob):
        clock = clock_of(part, STRING_RAW)
        look = StringLook(job, part, clock.rows, clock.first_ms, seen)
        read(STRING_RAW, look.string_raw)
        look.string_end()
        read(STRING_CALC, look.string_calc)
        read(JAR_RAW, look.jar_raw)
        look.jars_end()
        read(JAR_CALC, look.jar_calc)
        look.calc_end()
        read(FEATURE_STORE, partial(_features, seen))
        read(RUL_TRUTH, partial(_truth, 1000 * part.run.grid.start_s, seen))
    else:
        read(ENV, partial(_room, job, part, seen))
    for table in part_tables(part):
        if table not in TELEMETRY:
            read(table)
    return seen


def _ignore(_: Stretch, __: Columns) -> None:
    """Take nothing from a stretch."""


def _read(store: Store, job: LookJob, seen: Seen, table: Table, take: Take = _ignore) -> None:
    """Read a file of a part, hold it against its clock if it has one, and hand on its stretches."""
    part, path = job.part, part_path(job.part, table.name)
    clock = clock_of(part, table) if table in TELEMETRY else None
    if path not in job.there:
        if clock is not None and clock.rows:
            seen.counts["files missing"] += 1
            seen.counts[f"{table.name} missing"] += clock.rows * len(clock.positions)
            seen.example("files", path)
        return
    seen.counts["files"] += 1
    pieces = _pieces(store, seen, table, path)
    if clock is None:
        _records(part, seen, table, pieces)
        return
    for columns in pieces:
        instants, entity = (columns[key] for key in table.key[:2])
        for stretch in clock.take(instants, entity):
            seen.units.add(stretch.unit)
            take(stretch, columns)
    for what in ("seen_rows", "missing", "doubled", "displaced", "strangers"):
        seen.counts[f"{table.name} {what}"] += getattr(clock, what)
    for kind in ("rows", "keys", "time"):
        seen.example(f"{kind}.{table.name}", f"{path}: {clock.example}" if clock.example else "")


def _pieces(store: Store, seen: Seen, table: Table, path: str) -> Iterator[dict[str, Values]]:
    """Read a file as far as it can be, and look for impossible values."""
    packed = path.endswith(".csv.gz")
    try:
        for columns in dataset.iter_values(table, io.BytesIO(store.get(path)), packed):
            for column, odd in impossible(table, columns).items():
                seen.counts[f"{table.name} impossible"] += odd
                seen.example(f"impossible.{table.name}", f"{path}: {column}")
            yield columns
    except (ValueError, StorageError) as error:
        seen.unreadable.append(f"{path}: {str(error).partition(chr(10))[0]}")


def _records(part: PartJob, seen: Seen, table: Table, pieces: Iterator[dict[str, Values]]) -> None:
    """Take in a file of things that happen."""
    rows, keys = 0, set[tuple[object, ...]]()
    for columns in pieces:
        rows += len(columns[table.key[0]].values)
        keys.update(zip(*(_texts(columns[key]) for key in table.key), strict=True))
        if table is ALERT_CONDITION:
            _alarming(part, seen, columns)
    seen.counts[f"{table.name} rows"] += rows
    seen.counts[f"{table.name} doubled"] += rows - len(keys)


def _texts(each: Values) -> list[object]:
    """Values of a key, texts as such."""
    if each.levels:
        return [each.levels[code] for code in each.values.tolist()]
    found: list[object] = each.values.tolist()
    return found


def clock_of(part: PartJob, table: Table) -> Clock:
    """Instants and positions of a part's file of a table."""
    grid, block = part.run.grid, part.block
    clock = BlockClock(grid, block)
    positions: tuple[str, ...]
    if isinstance(part, RoomJob):
        positions = (part.sensor_id,)
    else:
        positions = part.jar_ids if table in _OF_JARS else (part.string.string_id,)
    if table is RUL_TRUTH:
        first_ms = 1000 * grid.midnight_s(block.first_day)
        return Clock(first_ms, 1000 * SECONDS_PER_DAY, block.days, positions)
    if table is FEATURE_STORE:
        ends = clock.window_ends(part.run.window_hours)
        return Clock(ends.first_ms, ends.step_ms, ends.rows, positions)
    return Clock(1000 * clock.first_s, 1000 * grid.interval_s, clock.rows, positions)


def _features(seen: Seen, stretch: Stretch, columns: Columns) -> None:
    rise = columns["t_delta_ambient_mean"].values[stretch.a : stretch.b]
    rise = rise[rise == rise]
    seen.counts["rise of"] += rise.size
    seen.counts["rise mK"] += milli(rise)


def _alarming(part: PartJob, seen: Seen, columns: Columns) -> None:
    """Who was beyond a warning level, and who for so long that there must be an alert."""
    rules = {rule.name: rule for rule in part.run.alerts}
    began: dict[tuple[object, ...], tuple[int, int]] = {}
    texts = zip(*(_texts(columns[name]) for name in ("asset_id", "rule", "level")), strict=True)
    spans = (columns[name].values.tolist() for name in ("start_ts", "end_ts", "readings"))
    for (asset, name, level), start_ms, end_ms, readings in zip(texts, *spans, strict=True):
        rule = rules.get(str(name))
        if rule is None or level not in ("warning", "critical"):
            continue
        seen.beyond.add((str(asset), rule.name))
        key = asset, name, level
        first_ms, until_ms = began.get(key, (start_ms, start_ms))
        began[key] = first_ms if until_ms == start_ms else start_ms, end_ms  # cut at midnight
        step_s = rule.window_s or part.run.grid.interval_s
        lasted_s = (start_ms - began[key][0]) // 1000 + (readings - 1) * step_s
        if lasted_s >= max(0, rule.persistence_s - rule.window_s):
            seen.due.add((str(asset), rule.name))


def _truth(start_ms: int, seen: Seen, stretch: Stretch, columns: Columns) -> None:
    """A remaining life is a day less each day."""
    cut = slice(stretch.a, stretch.b)
    first = columns["ts"].values[cut] == start_ms
    seen.counts["failed at first"] += int((columns["rul_days"].values[cut][first] == 0).sum())
    days = columns["rul_days"].values[cut].astype(np.float64)
    fall = days[:-1] - days[1:]
    odd = (days[1:] > 0) & (np.abs(fall - 1) > _COUNTDOWN_DAYS)
    seen.counts["countdown"] += int(np.count_nonzero(odd))
    if odd.any():
        seen.example(
            "truth.countdown", f"{stretch.unit}: {days[:-1][odd][0]} d, then {days[1:][odd][0]} d"
        )


def _room(job: LookJob, part: RoomJob, seen: Seen, stretch: Stretch, columns: Columns) -> None:
    degrees = columns["temperature_c"].values[stretch.a : stretch.b]
    kept = degrees == degrees
    if stretch.at is not None and degrees.size:
        episodes = job.faults.get(part.sensor_id, ())
        first_ms, step_ms = int(columns["ts"].values[stretch.a]), 1000 * part.run.grid.interval_s
        for odd in fault_spans(episodes, "temperature_c", first_ms, step_ms, degrees.size):
            kept[odd] = False
    some = degrees[kept]
    seen.counts["room of"] += some.size
    seen.counts["room mK"] += milli(some)
