"""A part's files read back: their keys, and the digests of their values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fleetgen import digest
from fleetgen.sample import BlockClock
from fleetgen.schema import FEATURE_STORE, JAR_CALC, JAR_RAW, RECORDS, RUL_TRUTH, Table
from fleetgen.spec import Chunk, Codes, PartJob, Plain, RowGroup, StringJob
from fleetgen.task import midnights_ms
from fleetgen.units import SECONDS_PER_DAY, day_date
from fleetgen.wording import many


def row_digests(job: PartJob, table: Table, groups: Iterable[RowGroup]) -> dict[str, str]:
    """Logical digest of each local day of a part's file, from the rows that were read of it.

    Raises
    ------
    ValueError
        Some id does not have each instant of the block once, in order; or a record is there twice,
        or of another part.
    """
    if table in RECORDS:
        return _record_digests(job, table, groups)
    first_ms, step_ms, rows, bounds = _clock(job, table)
    prefix = _prefix(first_ms, step_ms, rows)
    done = dict.fromkeys(_ids(job, table), 0)
    sums = np.zeros((len(bounds) - 1, 2), np.uint64)
    instant, entity = table.key
    for group in groups:
        stamps, codes = digest.instants_ms(group[instant]), group[entity]
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
            raise ValueError(f"{name}: {many(count, 'instant')} instead of {rows:,}")
    return _by_day(job, sums)


def _by_day(job: PartJob, sums: NDArray[np.uint64]) -> dict[str, str]:
    return {
        day_date(job.block.first_day + day).isoformat(): digest.hexadecimal(both)
        for day, both in enumerate(sums)
        if both.any()
    }


def _record_digests(job: PartJob, table: Table, groups: Iterable[RowGroup]) -> dict[str, str]:
    edges_ms = midnights_ms(job)
    sums = np.zeros((job.block.days, 2), np.uint64)
    seen: set[tuple[object, ...]] = set()
    rows = 0
    for group in groups:
        stamps = digest.instants_ms(group[table.key[0]])
        if len(stamps) and not edges_ms[0] <= stamps.min() <= stamps.max() < edges_ms[-1]:
            raise ValueError("a record is not of the days of its part")
        for name in (c.name for c in table.columns if c.name in OWNERS):
            for text in _texts(group[name]):
                if text is not None and not is_of_part(job, text):
                    raise ValueError(f"{text!r:.80} is not of this part")
        seen |= set(zip(*(_values(group[name]) for name in table.key), strict=True))
        rows += len(stamps)
        sums += digest.record_lanes(table, group, edges_ms)
    if len(seen) != rows:
        raise ValueError(f"{many(rows - len(seen), 'record is', 'records are')} there twice")
    return _by_day(job, sums)


OWNERS = ("asset_id", "battery_id", "string_id", "sensor_id")
"""Columns of a record that name whose it is."""


def is_of_part(job: PartJob, entity: str) -> bool:
    """Whether a part is of an entity: its string, a unit at one of its positions, or its sensor."""
    if not isinstance(job, StringJob):
        return entity == job.sensor_id
    position, _, later = entity.rpartition("-R")
    return (
        entity == job.string.string_id
        or entity in job.jar_ids
        or (later.isdecimal() and position in job.jar_ids)
    )


def _texts(chunk: Chunk) -> set[str | None]:
    if not isinstance(chunk, Codes) or not isinstance(chunk.levels, tuple):
        raise ValueError("no texts")
    return {chunk.levels[code] for code in np.unique(chunk.codes)}


def _values(chunk: Chunk) -> list[object]:
    if isinstance(chunk, Codes):
        return [chunk.levels[code] for code in chunk.codes]
    values: list[object] = digest.instants_ms(chunk).tolist()
    return values


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
    ends = clock.window_ends(job.run.window_hours)
    return ends.first_ms, ends.step_ms, ends.rows, clock.window_bounds(job.run.window_hours)


@lru_cache(maxsize=16)
def _prefix(first_ms: int, step_ms: int, rows: int) -> NDArray[np.uint64]:
    return digest.instant_prefix(first_ms, step_ms, rows)


def _ids(job: PartJob, table: Table) -> tuple[str, ...]:
    """Ids that a part's file of a table holds."""
    if not isinstance(job, StringJob):
        return (job.sensor_id,)
    of_jars = table in (JAR_RAW, JAR_CALC, FEATURE_STORE, RUL_TRUTH)
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
