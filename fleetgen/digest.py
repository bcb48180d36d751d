"""Logical digests: a 128-bit sum over the rows of a table that does not depend on their order.

For each row, the mixed counts of its value columns are added up to x; the digest's two lanes are

    D = sum over rows of A(id) * B(ts) * x        (mod 2**64)

with odd multipliers A from the SHA-256 of the id and B from the mixed instant. Of records, whose
keys are others, there is a multiplier for each column of the key, and x is one more: a row without
values counts, too. It depends on keys and values alone: not on files, row order, encodings,
versions, or who made the rows. Digests of disjoint rows add.
"""

from __future__ import annotations

import hashlib
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
def _weigh_plain(
    keys: Words,
    counts: NDArray[np.int64],
    prefix: Words,
    first: int,
    bounds: NDArray[np.int64],
    out: Words,
) -> None:
    """Add sum B(ts) x by day to `out`, x being the sum over the columns of counts (column, row).

    Row 0 is row `first` of the block; `keys` (column, 2) mix them.
    """
    end = first + counts.shape[1]
    for day in range(bounds.size - 1):
        for row in range(max(first, bounds[day]), min(end, bounds[day + 1])):
            word = np.uint64(0)
            for c in range(keys.shape[0]):
                word += rng.bits(keys[c, 0], keys[c, 1], counts[c, row - first])
            out[day, 0] += (prefix[0, row + 1] - prefix[0, row]) * word
            out[day, 1] += (prefix[1, row + 1] - prefix[1, row]) * word


@kernel
def _weigh_codes(
    codes_a: Codes_,
    lut_a: Words,
    codes_b: Codes_,
    lut_b: Words,
    prefix: Words,
    first: int,
    bounds: NDArray[np.int64],
    out: Words,
) -> None:
    """Do the same for two columns of codes in one pass, the mixed counts of which are in tables."""
    end = first + codes_a.size
    for day in range(bounds.size - 1):
        start = max(first, bounds[day])
        a = np.uint64(0)
        b = np.uint64(0)
        # Views from their start: an index that cannot be negative needs no check (4 times faster).
        part_a = codes_a[max(0, start - first) :]
        part_b = codes_b[max(0, start - first) :]
        p0 = prefix[0, start:]
        p1 = prefix[1, start:]
        for i in range(min(end, bounds[day + 1]) - start):
            word = lut_a[part_a[i]] + lut_b[part_b[i]]
            a += (p0[i + 1] - p0[i]) * word
            b += (p1[i + 1] - p1[i]) * word
        out[day, 0] += a
        out[day, 1] += b


@kernel
def _weigh_runs(
    k: Key,
    lengths: NDArray[np.int64],
    counts: NDArray[np.int64],
    prefix: Words,
    first: int,
    bounds: NDArray[np.int64],
    out: Words,
) -> None:
    """Do the same for a column of runs, without a pass over the rows."""
    day = 0
    row = first
    for run in range(lengths.size):
        word = rng.bits(k[0], k[1], counts[run])
        end = row + lengths[run]
        while row < end:
            while bounds[day + 1] <= row:
                day += 1
            until = min(end, bounds[day + 1])
            out[day, 0] += (prefix[0, until] - prefix[0, row]) * word
            out[day, 1] += (prefix[1, until] - prefix[1, row]) * word
            row = until


def _levels(column: Column, levels: NDArray[np.int64] | tuple[str | None, ...]) -> Words:
    if isinstance(levels, tuple):
        return mixed(column.name, np.array([NULL if t is None else text_count(t) for t in levels]))
    return mixed(column.name, levels)


def lanes(
    table: Table, group: RowGroup, prefix: Words, first: int, bounds: NDArray[np.int64]
) -> Words:
    """Lanes of one id's row group by day, uint64 (day, 2), before the id's multiplier.

    The group holds rows [first, first + rows) of a block whose days begin at rows `bounds`
    (day + 1,); `prefix` is the block's `instant_prefix`. Key columns are not values.
    """
    out = np.zeros((len(bounds) - 1, 2), np.uint64)
    where = (prefix, first, bounds, out)
    coded: list[tuple[Codes_, Words]] = []
    plain: list[tuple[Key, NDArray[np.int64]]] = []
    for column in (c for c in table.columns if c.name not in table.key):
        match group[column.name]:
            case Codes(codes, levels):
                coded.append((codes, _levels(column, levels)))
            case Runs(lengths, counts):
                _weigh_runs(column_key(column.name), lengths, counts, *where)
            case Plain(counts):
                plain.append((column_key(column.name), counts))
            case chunk:
                kind = type(chunk).__name__
                raise ValueError(f"{table.name}.{column.name}: {kind} is no value column")
    if plain:
        keys, rows = (np.stack(each) for each in zip(*plain, strict=True))
        _weigh_plain(keys, rows.astype(np.int64), *where)
    coded.sort(key=lambda each: -each[0].itemsize)  # fewer kinds of pairs to compile
    if len(coded) % 2:
        codes, lut = coded[-1]
        coded.append((codes, np.zeros_like(lut)))
    for (codes_a, lut_a), (codes_b, lut_b) in zip(coded[::2], coded[1::2], strict=True):
        _weigh_codes(codes_a, lut_a, codes_b, lut_b, *where)
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
