"""A part's files read back: their keys, and the digests of their values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fleetgen import digest
from fleetgen.derive.features import WINDOW_HOURS
from fleetgen.sample import BlockClock, Tally
from fleetgen.schema import FEATURE_STORE, JAR_CALC, JAR_RAW, RUL_TRUTH, SCATTERED, Table
from fleetgen.spec import Chunk, Codes, Instants, PartJob, Plain, RowGroup, StringJob
from fleetgen.units import SECONDS_PER_DAY, SECONDS_PER_HOUR, day_date

_HOURS_PER_DAY = 24


def row_digests(job: PartJob, table: Table, groups: Iterable[RowGroup]) -> dict[str, str]:
    """Logical digest of each local day of a part's file, from the rows that were read of it.

    Raises
    ------
    ValueError
        Some id does not have each instant of the block once, in order.
    """
    if table in SCATTERED:
        return _scattered_digests(job, table, groups)
    first_ms, step_ms, rows, bounds = _clock(job, table)
    prefix = _prefix(first_ms, step_ms, rows)
    done = dict.fromkeys(_ids(job, table), 0)
    sums = np.zeros((len(bounds) - 1, 2), np.uint64)
    instant, entity = table.key
    for group in groups:
        stamps, codes = _instants(group[instant]), group[entity]
        if not isinstance(codes, Codes):
            raise ValueError(f"{table.name}.{entity}: no ids")
        edges = [0, *(np.flatnonzero(np.diff(codes.codes)) + 1).tolist(), codes.rows]
        for a, b in pairwise(edges if codes.rows else []):
            unit = str(codes.levels[codes.codes[a]])
            name = _position(unit, done)
            first = done[name]
            ticks = first_ms + step_ms * np.arange(first, first + b - a)
            if first + b - a > rows or (stamps[a:b] != ticks).any():
                raise ValueError(f"{unit}: an instant is missing, there twice or out of order")
            lanes = digest.lanes(table, _rows(table, group, a, b), prefix, first, bounds)
            sums += digest.identity(unit) * lanes
            done[name] = first + b - a
    for name, count in done.items():
        if count != rows:
            raise ValueError(f"{name}: {count:,} instants instead of {rows:,}")
    return _by_day(job, sums)


def _scattered_digests(job: PartJob, table: Table, groups: Iterable[RowGroup]) -> dict[str, str]:
    """Digests of rows that lie at any instants of the block."""
    sums = np.zeros((job.block.days, 2), np.uint64)
    positions = dict.fromkeys(_ids(job, table), 0)
    instant, entity = table.key
    tally = Tally(job.block, job.run.grid.utc_offset_s)
    first_ms, end_ms = (
        1000 * job.run.grid.midnight_s(day) for day in (job.block.first_day, job.block.end_day)
    )
    for group in groups:
        stamps, codes = _instants(group[instant]), group[entity]
        if not isinstance(codes, Codes):
            raise ValueError(f"{table.name}.{entity}: no ids")
        for code, level in enumerate(codes.levels):
            rows = np.flatnonzero(codes.codes == code)
            name, at = str(level), stamps[rows]
            if not rows.size:
                continue
            _position(name, positions)
            if (np.diff(at) <= 0).any() or at[0] < first_ms or at[-1] >= end_ms:
                raise ValueError(f"{name}: an instant is out of order, or not of this part")
            tally.scattered(table, name, _picked(group, rows), at)
    sums = tally.digests.get(table.name, sums)
    return _by_day(job, sums)


def _picked(group: RowGroup, rows: NDArray[np.int64]) -> RowGroup:
    picked: RowGroup = {}
    for name, chunk in group.items():
        match chunk:
            case Plain(counts):
                picked[name] = Plain(counts[rows])
            case Codes(codes, levels):
                picked[name] = Codes(codes[rows], levels)
            case Instants():
                picked[name] = Plain(_instants(chunk)[rows])
    return picked


def _by_day(job: PartJob, sums: NDArray[np.uint64]) -> dict[str, str]:
    return {
        day_date(job.block.first_day + day).isoformat(): digest.hexadecimal(both)
        for day, both in enumerate(sums)
        if both.any()
    }


def _position(unit: str, positions: Mapping[str, int]) -> str:
    """Position of a unit, or the id itself of what is none; ValueError if it is not known."""
    first, _, number = unit.rpartition("-R")
    name = first if first in positions and number.isdecimal() else unit
    if name not in positions:
        raise ValueError(f"{unit!r:.80} is not of this part")
    return name


def _clock(job: PartJob, table: Table) -> tuple[int, int, int, NDArray[np.int64]]:
    """First instant [ms], step [ms] and rows of an id, and the rows at which days begin and end."""
    clock = BlockClock(job.run.grid, job.block)
    if table.name == RUL_TRUTH.name:
        first_ms = 1000 * job.run.grid.midnight_s(job.block.first_day)
        days = np.arange(job.block.days + 1)
        return first_ms, 1000 * SECONDS_PER_DAY, job.block.days, days
    if table.name != FEATURE_STORE.name:
        step_ms = 1000 * job.run.grid.interval_s
        return 1000 * clock.first_s, step_ms, clock.rows, clock.day_bounds
    window_ms = 1000 * SECONDS_PER_HOUR * WINDOW_HOURS
    first_ms = 1000 * job.run.grid.midnight_s(job.block.first_day) + window_ms
    days = np.arange(job.block.days + 1)
    return first_ms, window_ms, clock.hours, np.minimum(_HOURS_PER_DAY * days, clock.hours)


@lru_cache(maxsize=16)
def _prefix(first_ms: int, step_ms: int, rows: int) -> NDArray[np.uint64]:
    return digest.instant_prefix(first_ms, step_ms, rows)


def _instants(chunk: Chunk) -> NDArray[np.int64]:
    match chunk:
        case Plain(counts):
            return counts
        case Instants(first_ms, step_ms, rows):
            return first_ms + step_ms * np.arange(rows)
    raise ValueError(f"{type(chunk).__name__} is no column of instants")


def _ids(job: PartJob, table: Table) -> tuple[str, ...]:
    """Ids that a part's file of a table holds."""
    if not isinstance(job, StringJob):
        return (job.sensor_id,)
    of_jars = table in (JAR_RAW, JAR_CALC, FEATURE_STORE, RUL_TRUTH, *SCATTERED)
    return job.jar_ids if of_jars else (job.string.string_id,)


def _rows(table: Table, group: RowGroup, a: int, b: int) -> RowGroup:
    """Rows [a, b) of the value columns of a row group; key columns stay as they are."""
    cut: RowGroup = {}
    for name, chunk in group.items():
        match chunk:
            case Plain(counts):
                cut[name] = Plain(counts[a:b])
            case Codes(codes, levels):
                cut[name] = Codes(codes[a:b], levels)
    return cut
