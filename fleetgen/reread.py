"""A part's files read back: their keys, and the digests of their values."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fleetgen import digest
from fleetgen.derive.features import WINDOW_HOURS
from fleetgen.sample import BlockClock, Tally
from fleetgen.schema import FEATURE_STORE, JAR_CALC, JAR_RAW, SPANS, Table
from fleetgen.spec import Chunk, Codes, Instants, PartJob, Plain, RowGroup, StringJob
from fleetgen.units import SECONDS_PER_HOUR, day_date

_HOURS_PER_DAY = 24


def row_digests(job: PartJob, table: Table, groups: Iterable[RowGroup]) -> dict[str, str]:
    """Logical digest of each local day of a part's file, from the rows that were read of it.

    Raises
    ------
    ValueError
        Some id does not have each instant of the block once, in order.
    """
    if table in SPANS:
        return _span_digests(job, table, groups)
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
            name = str(codes.levels[codes.codes[a]])
            if name not in done:
                raise ValueError(f"{name!r:.80} is not of this part")
            first = done[name]
            ticks = first_ms + step_ms * np.arange(first, first + b - a)
            if first + b - a > rows or (stamps[a:b] != ticks).any():
                raise ValueError(f"{name}: an instant is missing, there twice or out of order")
            lanes = digest.lanes(table, _rows(table, group, a, b), prefix, first, bounds)
            sums += digest.identity(name) * lanes
            done[name] = first + b - a
    for name, count in done.items():
        if count != rows:
            raise ValueError(f"{name}: {count:,} instants instead of {rows:,}")
    return {
        day_date(job.block.first_day + day).isoformat(): digest.hexadecimal(both)
        for day, both in enumerate(sums)
        if both.any()
    }


def _span_digests(job: PartJob, table: Table, groups: Iterable[RowGroup]) -> dict[str, str]:
    """`row_digests` of rows at no fixed instants."""
    tally = Tally(job.block, job.run.grid.utc_offset_s)
    own = (*job.jar_ids, job.string.string_id) if isinstance(job, StringJob) else (job.sensor_id,)
    instant, entity = table.key[:2]
    days = job.run.grid.midnight_s(job.block.first_day), job.run.grid.midnight_s(job.block.end_day)
    for group in groups:
        stamps, codes = _instants(group[instant]), group[entity]
        if not isinstance(codes, Codes):
            raise ValueError(f"{table.name}.{entity}: no ids")
        strange = {str(name) for name in codes.levels} - set(own)
        if strange:
            raise ValueError(f"{min(strange)!r:.80} is not of this part")
        if (stamps < 1000 * days[0]).any() or (stamps >= 1000 * days[1]).any():
            raise ValueError(f"{table.name}: a row is of another day")
        plain = {c.name: group[c.name] for c in table.columns}
        for column in (c for c in table.columns if c.kind == "instant"):
            plain[column.name] = Plain(_instants(group[column.name]))
        tally.digest_rows(table, plain)
    return tally.day_digests(table) if table.name in tally.digests else {}


def _clock(job: PartJob, table: Table) -> tuple[int, int, int, NDArray[np.int64]]:
    """First instant [ms], step [ms] and rows of an id, and the rows at which days begin and end."""
    clock = BlockClock(job.run.grid, job.block)
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
    of_jars = table.name in (JAR_RAW.name, JAR_CALC.name, FEATURE_STORE.name)
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
