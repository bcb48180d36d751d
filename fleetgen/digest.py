"""Logical digests: a 128-bit sum over the rows of a table that does not depend on their order.

For each row, the mixed counts of its value columns are added up to x; the digest's two lanes are

    D = sum over rows of A(id) * B(ts) * x        (mod 2**64)

with odd multipliers A from the SHA-256 of the id and B from the mixed instant (of records, whose
keys are others, one of each column of the key). It depends on keys
and values alone: not on files, row order, encodings, versions, or who made the rows. Digests of
disjoint rows add.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fleetgen import rng
from fleetgen.jit import kernel
from fleetgen.rng import Key
from fleetgen.schema import Column, Table
from fleetgen.spec import NULL, Chunk, Codes, Constant, Instants, Plain, RowGroup, Runs

Words = NDArray[np.uint64]
Codes_ = NDArray[np.uint8] | NDArray[np.uint16]

_ONE = np.uint64(1)


@lru_cache(maxsize=4096)
def _words(text: str) -> Key:
    digest = hashlib.sha256(text.encode()).digest()
    return np.frombuffer(digest[:16], dtype="<u8").astype(np.uint64)


def column_key(name: str) -> Key:
    """Key with which the counts of a column are mixed."""
    return _words(f"column {name}")


def identity(entity_id: str) -> Words:
    """Multipliers A of an id, one per lane, uint64 (2,)."""
    return _words(f"id {entity_id}") | _ONE


def text_count(text: str) -> int:
    """Count that stands for a text in a category column."""
    return int(_words(f"text {text}").view(np.int64)[0])


@kernel
def _prefix(k0: Key, k1: Key, first_ms: int, step_ms: int, out: Words) -> None:
    out[0, 0] = 0
    out[1, 0] = 0
    for i in range(out.shape[1] - 1):
        t = first_ms + i * step_ms
        out[0, i + 1] = out[0, i] + (rng.bits(k0[0], k0[1], t) | _ONE)
        out[1, i + 1] = out[1, i] + (rng.bits(k1[0], k1[1], t) | _ONE)


def instant_prefix(first_ms: int, step_ms: int, rows: int) -> Words:
    """Prefix sums of the multipliers B of evenly spaced instants, uint64 (2, rows + 1)."""
    out = np.empty((2, rows + 1), np.uint64)
    _prefix(_words("lane 0"), _words("lane 1"), first_ms, step_ms, out)
    return out


def scattered_prefix(instants_ms: NDArray[np.int64]) -> Words:
    """Prefix sums of the multipliers B of any instants, uint64 (2, rows + 1)."""
    out = np.zeros((2, len(instants_ms) + 1), np.uint64)
    one = np.empty((2, 2), np.uint64)
    k0, k1 = _words("lane 0"), _words("lane 1")
    for i, instant in enumerate(instants_ms.tolist()):
        _prefix(k0, k1, instant, 1, one)
        out[:, i + 1] = out[:, i] + one[:, 1]
    return out


@kernel
def _mixed(k: Key, counts: NDArray[np.int64], out: Words) -> None:
    for i in range(counts.size):
        out[i] = rng.bits(k[0], k[1], counts[i])


def mixed(column: str, counts: NDArray[np.int64]) -> Words:
    """Mixed counts of a column, uint64 (count,)."""
    out = np.empty(len(counts), np.uint64)
    _mixed(column_key(column), np.ascontiguousarray(counts), out)
    return out


@kernel
def _add_mixed(keys: Words, counts: NDArray[np.int64], x: Words) -> None:
    """Add the mixed counts (column, row) of all columns, of `keys` (column, 2), to each row."""
    for c in range(counts.shape[0]):
        for i in range(x.size):
            x[i] += rng.bits(keys[c, 0], keys[c, 1], counts[c, i])


@kernel
def _add_codes(codes: Codes_, lut: Words, x: Words) -> None:
    for i in range(codes.size):
        x[i] += lut[codes[i]]


@kernel
def _weigh_codes(
    codes_a: Codes_,
    lut_a: Words,
    codes_b: Codes_,
    lut_b: Words,
    plus: Words,
    prefix: Words,
    first: int,
    edges: NDArray[np.int64],
    days: NDArray[np.int64],
    out: Words,
) -> None:
    """`_weigh` of the sum of two columns of codes, in one pass."""
    for e in range(days.size):
        a = np.uint64(0)
        b = np.uint64(0)
        rows = edges[e + 1] - edges[e]
        # Views from their start: an index that cannot be negative needs no check (4 times faster).
        part_a = codes_a[edges[e] - first :]
        part_b = codes_b[edges[e] - first :]
        p0 = prefix[0, edges[e] :]
        p1 = prefix[1, edges[e] :]
        for i in range(rows):
            word = lut_a[part_a[i]] + lut_b[part_b[i]] + plus[e]
            a += (p0[i + 1] - p0[i]) * word
            b += (p1[i + 1] - p1[i]) * word
        out[days[e], 0] += a
        out[days[e], 1] += b


@kernel
def _weigh(
    x: Words,
    plus: Words,
    prefix: Words,
    first: int,
    edges: NDArray[np.int64],
    days: NDArray[np.int64],
    out: Words,
) -> None:
    """Add sum B(ts) (x + plus) over rows [edges[e], edges[e + 1]) to day `days[e]` of `out`.

    `x` begins at row `first` of the block.
    """
    for e in range(days.size):
        a = np.uint64(0)
        b = np.uint64(0)
        part = x[edges[e] - first :]
        p0 = prefix[0, edges[e] :]
        p1 = prefix[1, edges[e] :]
        for i in range(edges[e + 1] - edges[e]):
            word = part[i] + plus[e]
            a += (p0[i + 1] - p0[i]) * word
            b += (p1[i + 1] - p1[i]) * word
        out[days[e], 0] += a
        out[days[e], 1] += b


def _levels(column: Column, levels: NDArray[np.int64] | tuple[str | None, ...]) -> Words:
    if isinstance(levels, tuple):
        return mixed(column.name, np.array([NULL if t is None else text_count(t) for t in levels]))
    return mixed(column.name, levels)


@kernel
def _weigh_runs(
    plus: Words,
    prefix: Words,
    edges: NDArray[np.int64],
    days: NDArray[np.int64],
    out: Words,
) -> None:
    """`_weigh` of rows that differ from piece to piece alone: no pass over the rows."""
    for e in range(days.size):
        for lane in range(2):
            weight = prefix[lane, edges[e + 1]] - prefix[lane, edges[e]]
            out[days[e], lane] += weight * plus[e]


@kernel
def _pieces(
    starts_a: NDArray[np.int64],
    words_a: Words,
    starts_b: NDArray[np.int64],
    words_b: Words,
    bounds: NDArray[np.int64],
    first: int,
    rows: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64], Words]:
    """Pieces of rows [first, first + rows) within one day and one run of each of two columns.

    Gives their edges (piece + 1,), days (piece,) and the sums of the runs' words (piece,). Starts
    count from `first` and begin with 0; a column that is not there has none.
    """
    most = starts_a.size + starts_b.size + bounds.size + 1
    edges = np.empty(most + 1, np.int64)
    days = np.empty(most, np.int64)
    plus = np.empty(most, np.uint64)
    end = first + rows
    a = 0
    b = 0
    day = 0
    n = 0
    at = first
    while at < end:
        while a + 1 < starts_a.size and first + starts_a[a + 1] <= at:
            a += 1
        while b + 1 < starts_b.size and first + starts_b[b + 1] <= at:
            b += 1
        while bounds[day + 1] <= at:
            day += 1
        edges[n] = at
        days[n] = day
        plus[n] = np.uint64(0)
        until = min(end, bounds[day + 1])
        if starts_a.size > 0:
            plus[n] += words_a[a]
            if a + 1 < starts_a.size:
                until = min(until, first + starts_a[a + 1])
        if starts_b.size > 0:
            plus[n] += words_b[b]
            if b + 1 < starts_b.size:
                until = min(until, first + starts_b[b + 1])
        n += 1
        at = until
    edges[n] = end
    return edges[: n + 1], days[:n], plus[:n]


_NO_RUNS = (np.zeros(0, np.int64), np.zeros(0, np.uint64))


@dataclass
class _Sorted:
    """Value columns of a row group by the shape of their chunks, mixed."""

    coded: list[tuple[Codes_, Words]] = field(default_factory=list)
    runs: list[tuple[NDArray[np.int64], Words]] = field(default_factory=list)
    plain: list[tuple[Key, NDArray[np.int64]]] = field(default_factory=list)


def _sort(table: Table, group: RowGroup) -> _Sorted:
    columns = _Sorted()
    for column in (c for c in table.columns if c.name not in table.key):
        match group[column.name]:
            case Codes(codes, levels):
                columns.coded.append((codes, _levels(column, levels)))
            case Runs(lengths, counts):
                starts = np.cumsum(lengths) - lengths
                columns.runs.append((starts, mixed(column.name, counts)))
            case Plain(counts):
                columns.plain.append((column_key(column.name), counts))
            case chunk:
                kind = type(chunk).__name__
                raise ValueError(f"{table.name}.{column.name}: {kind} is no value column")
    return columns


def lanes(
    table: Table, group: RowGroup, prefix: Words, first: int, bounds: NDArray[np.int64]
) -> Words:
    """Lanes of one id's row group by day, uint64 (day, 2), before the id's multiplier.

    The group holds rows [first, first + rows) of a block whose days begin at rows `bounds`
    (day + 1,); `prefix` is the block's `instant_prefix`. Key columns are not values.
    """
    rows = next(iter(group.values())).rows
    columns = _sort(table, group)
    runs = [*columns.runs, _NO_RUNS, _NO_RUNS]
    if len(columns.runs) > 2:
        raise ValueError(f"{table.name}: {len(columns.runs)} columns of runs; 2 are foreseen")
    (starts_a, words_a), (starts_b, words_b) = runs[:2]
    edges, days, plus = _pieces(starts_a, words_a, starts_b, words_b, bounds, first, rows)
    out = np.zeros((len(bounds) - 1, 2), np.uint64)
    if not columns.coded and not columns.plain:
        _weigh_runs(plus, prefix, edges, days, out)
        return out
    if len(columns.coded) == 2 and not columns.plain:  # the jars' measured table
        (codes_a, lut_a), (codes_b, lut_b) = columns.coded
        if codes_a.dtype == codes_b.dtype:
            _weigh_codes(codes_a, lut_a, codes_b, lut_b, plus, prefix, first, edges, days, out)
            return out
    x = np.zeros(rows, np.uint64)
    if columns.plain:
        keys, counts = (np.stack(each) for each in zip(*columns.plain, strict=True))
        _add_mixed(keys, counts.astype(np.int64), x)
    for codes, lut in columns.coded:
        _add_codes(codes, lut, x)
    _weigh(x, plus, prefix, first, edges, days, out)
    return out


def record_lanes(table: Table, group: RowGroup, edges_ms: NDArray[np.int64]) -> Words:
    """Lanes of a row group of records by day, uint64 (day, 2), all their keys in them.

    Day d holds the rows of which the first key, an instant, lies in [edges_ms[d], edges_ms[d + 1]).
    """
    instants = instants_ms(group[table.key[0]])
    weights = np.ones((2, len(instants)), np.uint64)
    words = np.full(len(instants), _ONE)
    for column in table.columns:
        chunk = group[column.name]
        if column.name in table.key:
            weights *= _key_words(column, chunk)
        else:
            words += _value_words(column, chunk)
    days = np.searchsorted(edges_ms, instants, side="right") - 1
    out = np.zeros((len(edges_ms) - 1, 2), np.uint64)
    for lane in range(2):
        np.add.at(out[:, lane], days, weights[lane] * words)
    return out


def instants_ms(chunk: Chunk) -> NDArray[np.int64]:
    """Instants of a column [ms since 1970-01-01T00Z]; ValueError if it holds none."""
    match chunk:
        case Plain(counts):
            return counts
        case Instants(first_ms, step_ms, rows):
            return first_ms + step_ms * np.arange(rows)
    raise ValueError(f"{type(chunk).__name__} is no column of instants")


def _key_words(column: Column, chunk: Chunk) -> Words:
    """Odd multipliers of a key column, one per lane, uint64 (2, row)."""
    match chunk:
        case Constant(text, rows):
            return np.repeat(identity(text)[:, np.newaxis], rows, axis=1)
        case Codes(codes, levels) if isinstance(levels, tuple):
            return np.stack([identity(str(text)) for text in levels], axis=1)[:, codes]
    counts = instants_ms(chunk)
    return np.stack([mixed(f"{column.name} {lane}", counts) | _ONE for lane in range(2)])


def _value_words(column: Column, chunk: Chunk) -> Words:
    match chunk:
        case Constant(text, rows):
            return np.repeat(_levels(column, (text,)), rows)
        case Codes(codes, levels):
            words: Words = _levels(column, levels)[codes]
            return words
    return mixed(column.name, instants_ms(chunk))


def hexadecimal(lanes_sum: Words) -> str:
    """32 hexadecimal digits of both lanes, (2,)."""
    return f"{int(lanes_sum[0]):016x}{int(lanes_sum[1]):016x}"
