"""CSV and CSV.gz from column chunks: a level's text is made once, rows are copied from texts.

Instants are ISO 8601 in local time, whole seconds. A float is the shortest decimal of its count
where `per_unit` is a power of ten, hence free of digits below the resolution, else the shortest
text that reads back as the `float32` of the Parquet file. A null is empty, an empty text is `""`.

A gzip file has a member for the header line and one for the rows, without time or name: files of a
table are joined by leaving out all header members but the first.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterable, Iterator
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fleetgen.io import parquet
from fleetgen.jit import kernel
from fleetgen.schema import Column, Table
from fleetgen.spec import NULL, Chunk, Codes, Constant, Instants, Plain, RowGroup
from fleetgen.units import SECONDS_PER_DAY, SECONDS_PER_HOUR, SECONDS_PER_MINUTE, day_date

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int32]

PIECE_ROWS = 1 << 13
"""Rows of a piece of text: about half a megabyte, which the compressor finds in the cache."""

# It unpacks alone: isal at times packs the same text in another way (decision 0014).
_inflate: Any = import_module("isal.isal_zlib" if find_spec("isal") else "zlib")
_LEVEL = 1
_PIECE_BYTES = 1 << 20
_GZIP_WINDOW_BITS = 31
_DECIMAL_WIDTH = 24
_DATE_TIME_WIDTH = 19
_COMMA, _LINE_END = ord(","), ord("\n")
_SLACK = 8


def encoder() -> str:
    """Name what compresses: files of equal rows are equal byte by byte under the same name."""
    return f"zlib {zlib.ZLIB_RUNTIME_VERSION} level {_LEVEL}"


# --- kernels --------------------------------------------------------------------------------------


@kernel
def _write_decimals(
    counts: NDArray[np.int64], decimals: int, end: int, texts: Bytes, lengths: Ints
) -> None:
    """Write count / 10**`decimals` and `end` for each count into its row of `texts`.

    Zeros at the end of the fraction are left out; `NULL` is empty.
    """
    for row in range(len(counts)):
        count = counts[row]
        at = 0
        if count != NULL:
            left = decimals
            rest = abs(count)
            while left > 0 and rest % 10 == 0:
                rest //= 10
                left -= 1
            digits = 1
            above = rest // 10
            while above > 0 or digits <= left:
                digits += 1
                above //= 10
            if count < 0:
                texts[row, 0] = 45
                at = 1
            at += digits + (left > 0)
            place = at - 1
            for digit in range(digits):
                if digit == left and left > 0:
                    texts[row, place] = 46
                    place -= 1
                texts[row, place] = 48 + rest % 10
                rest //= 10
                place -= 1
        texts[row, at] = end
        lengths[row] = at + 1


@kernel
def _write_instants(seconds: NDArray[np.int64], suffix: Bytes, texts: Bytes) -> None:
    """Write local seconds since 1970-01-01T00 as `YYYY-MM-DDThh:mm:ss` and `suffix`, row by row.

    The date is worked out when it changes: days are counted from 0000-03-01 in cycles of 400 years,
    months from March on, so that the leap day is a year's last.
    """
    known = np.int64(-(2**62))
    date = np.zeros(10, np.uint8)
    for row in range(len(seconds)):
        day = seconds[row] // SECONDS_PER_DAY
        second = seconds[row] - day * SECONDS_PER_DAY
        if day != known:
            known = day
            shifted = day + 719_468
            cycle = shifted // 146_097
            of_cycle = shifted - cycle * 146_097
            year = (of_cycle - of_cycle // 1460 + of_cycle // 36_524 - of_cycle // 146_096) // 365
            of_year = of_cycle - (365 * year + year // 4 - year // 100)
            march = (5 * of_year + 2) // 153
            number = of_year - (153 * march + 2) // 5 + 1
            month = march + 3 if march < 10 else march - 9
            year += 400 * cycle + (month <= 2)
            date[0] = 48 + year // 1000
            date[1] = 48 + year // 100 % 10
            date[2] = 48 + year // 10 % 10
            date[3] = 48 + year % 10
            date[4] = 45
            date[5] = 48 + month // 10
            date[6] = 48 + month % 10
            date[7] = 45
            date[8] = 48 + number // 10
            date[9] = 48 + number % 10
        hour = second // 3600
        minute = second // 60 - 60 * hour
        second -= 60 * (60 * hour + minute)
        for place in range(10):
            texts[row, place] = date[place]
        texts[row, 10] = 84
        texts[row, 11] = 48 + hour // 10
        texts[row, 12] = 48 + hour % 10
        texts[row, 13] = 58
        texts[row, 14] = 48 + minute // 10
        texts[row, 15] = 48 + minute % 10
        texts[row, 16] = 58
        texts[row, 17] = 48 + second // 10
        texts[row, 18] = 48 + second % 10
        for place in range(len(suffix)):
            texts[row, 19 + place] = suffix[place]


@kernel
def _copy(source: Bytes, start: Any, length: Any, out: Bytes, at: Any) -> None:
    """Copy `length` bytes in words of eight: up to seven bytes more are read and written.

    Places are unsigned, for a signed one is looked at for being negative each time.
    """
    one, two, three, four = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(4)
    five, six, seven, eight = np.uint64(5), np.uint64(6), np.uint64(7), np.uint64(8)
    end = start + length
    while start < end:
        a, b, c, d = source[start], source[start + one], source[start + two], source[start + three]
        e, f = source[start + four], source[start + five]
        g, h = source[start + six], source[start + seven]
        out[at], out[at + one], out[at + two], out[at + three] = a, b, c, d
        out[at + four], out[at + five], out[at + six], out[at + seven] = e, f, g, h
        start += eight
        at += eight


@kernel
def _gather(
    stamps: Bytes,
    width: int,
    codes: Ints,
    first: int,
    end: int,
    starts: Ints,
    lengths: Ints,
    pool: Bytes,
    out: Bytes,
) -> int:
    """Copy the fields of rows [first, end) one behind the other into `out`; give their length.

    A row is its `width` bytes of `stamps`, then the text of each of its `codes` (column, row): text
    n is `lengths[n]` bytes of `pool` from `starts[n]` on. `stamps`, `pool` and `out` are `_SLACK`
    bytes longer than what they hold.
    """
    at = np.uint64(0)
    stamp = np.uint64(width)
    for row in range(first, end):
        _copy(stamps, np.uint64(row) * stamp, stamp, out, at)
        at += stamp
        for column in range(codes.shape[0]):
            code = codes[column, row]
            length = np.uint64(lengths[code])
            _copy(pool, np.uint64(starts[code]), length, out, at)
            at += length
    return int(at)


# --- the texts of a chunk -------------------------------------------------------------------------


class _Field(NamedTuple):
    """A column's texts, each with what ends it: `texts` (level, width) and `lengths` (level,).

    Row i has the text `codes[i]`; without codes, its own.
    """

    texts: Bytes
    lengths: Ints
    codes: NDArray[Any] | None


def _field(column: Column, chunk: Chunk, utc_offset_s: int, end: int) -> _Field:
    match chunk:
        case Constant(text, rows):
            return _listed([_quoted(text)], np.zeros(rows, np.uint8), end)
        case Codes(codes, tuple(texts)):
            _check(column, codes, np.array([text is None for text in texts]))
            return _listed([_quoted(text) for text in texts], codes, end)
        case Plain(counts):
            coded = parquet.as_codes(counts)
            if coded is not None and 2 * len(coded.levels) < len(counts):
                chunk = coded
    levels, index = parquet.chunk_levels(chunk)
    missing = levels == NULL
    _check(column, index, missing)
    if column.kind != "float":
        parquet.physical(column, levels[~missing])
    if column.kind == "instant":
        written = _instants(np.where(missing, 0, levels), utc_offset_s, end)
        lengths = np.full(len(levels), written.shape[1], np.int32)
        written[missing, 0], lengths[missing] = end, 1
        return _Field(written, lengths, index)
    if column.kind in ("int", "float") and column.per_unit in _DECIMALS:
        written = np.empty((len(levels), _DECIMAL_WIDTH), np.uint8)
        lengths = np.empty(len(levels), np.int32)
        _write_decimals(levels, _DECIMALS[column.per_unit], end, written, lengths)
        return _Field(written, lengths, index)
    distinct, ranks = np.unique(levels, return_inverse=True)
    listed = [_text(column, count) for count in distinct.tolist()]
    return _listed(listed, ranks if index is None else ranks[index], end)


_DECIMALS = {10**decimals: decimals for decimals in range(10)}


def _text(column: Column, count: int) -> str:
    if count == NULL:
        return ""
    if column.kind == "bool":
        return "true" if count else "false"
    if column.kind == "date":
        return day_date(count).isoformat()
    return np.format_float_positional(np.float32(count / column.per_unit), trim="-")


def _check(column: Column, index: NDArray[Any] | None, missing: NDArray[np.bool_]) -> None:
    """Raise ValueError when a level is not there, or null where the column is never so."""
    if index is not None and len(index) and int(index.max()) >= len(missing):
        raise ValueError(f"code {index.max()} has no level; there are {len(missing)}")
    if not column.nullable and missing.any():
        nulls = missing if index is None else missing[index]
        parquet.check_nulls(column, int(np.count_nonzero(nulls)))


def _listed(texts: list[str], index: NDArray[Any], end: int) -> _Field:
    ended = [text.encode() + bytes([end]) for text in texts]
    lengths = np.array([len(text) for text in ended], np.int32)
    padded = np.array(ended, f"S{lengths.max()}")
    return _Field(padded.view(np.uint8).reshape(len(ended), -1), lengths, index)


def _quoted(text: str | None) -> str:
    if text is None:
        return ""
    if text and not any(mark in text for mark in ',"\r\n'):
        return text
    return '"' + text.replace('"', '""') + '"'


def _instants(instants_ms: NDArray[np.int64], utc_offset_s: int, end: int) -> Bytes:
    seconds, milliseconds = np.divmod(instants_ms, 1000)
    if milliseconds.any():
        raise ValueError("CSV holds instants to the whole second")
    hours, rest_s = divmod(abs(utc_offset_s), SECONDS_PER_HOUR)
    sign = "-" if utc_offset_s < 0 else "+"
    suffix = f"{sign}{hours:02d}:{rest_s // SECONDS_PER_MINUTE:02d}".encode() + bytes([end])
    texts = np.empty((len(seconds), _DATE_TIME_WIDTH + len(suffix)), np.uint8)
    _write_instants(seconds + utc_offset_s, np.frombuffer(suffix, np.uint8), texts)
    return texts


@lru_cache(maxsize=4)
def _stamps(first_ms: int, step_ms: int, rows: int, utc_offset_s: int, end: int) -> Bytes:
    """Texts that the jars of a string have in common, one behind the other and some slack."""
    instants_ms, _ = parquet.chunk_levels(Instants(first_ms, step_ms, rows))
    texts = _instants(instants_ms, utc_offset_s, end)
    stamps = _spacious(texts.size)
    stamps[: texts.size] = texts.reshape(-1)
    return stamps


# --- rows -----------------------------------------------------------------------------------------


def header_line(table: Table) -> bytes:
    """Give the header line of a table."""
    return f"{','.join(table.names)}\n".encode()


def lines(table: Table, group: RowGroup, utc_offset_s: int) -> Iterator[Bytes]:
    """Yield the rows of a row group as text; a piece holds until the next is asked for.

    Raises
    ------
    ValueError
        If it is not a row group of `table`.
    """
    rows = parquet.check_group(table, group)
    if not rows:
        return
    stamps, width, fields = _spacious(0), 0, []
    for number, column in enumerate(table.columns):
        end = _COMMA if number < len(table.columns) - 1 else _LINE_END
        chunk = group[column.name]
        with parquet.faults_named(table, column):
            if number == 0 and isinstance(chunk, Instants):
                stamps = _stamps(chunk.first_ms, chunk.step_ms, rows, utc_offset_s, end)
                width = (len(stamps) - _SLACK) // rows
            else:
                fields.append(_field(column, chunk, utc_offset_s, end))
    pool = _spacious(sum(field.texts.size for field in fields))
    codes = np.empty((len(fields), rows), np.int32)
    starts, lengths = [np.empty(0, np.int32)], [np.empty(0, np.int32)]
    known = size = 0
    for row, (texts, lengths_of, index) in zip(codes, fields, strict=True):
        row[:] = np.arange(rows) if index is None else index
        row += known
        starts.append(np.arange(size, size + texts.size, texts.shape[1], dtype=np.int32))
        lengths.append(lengths_of)
        pool[size : size + texts.size] = texts.reshape(-1)
        known, size = known + len(texts), size + texts.size
    of_text = np.concatenate(starts), np.concatenate(lengths)
    longest = width + sum(int(field.lengths.max()) for field in fields)
    out = _spacious(longest * min(rows, PIECE_ROWS))
    for first in range(0, rows, PIECE_ROWS):
        end_row = min(first + PIECE_ROWS, rows)
        length = _gather(stamps, width, codes, first, end_row, *of_text, pool, out)
        yield out[:length]


def _spacious(size: int) -> Bytes:
    """Bytes of which `_copy` may take and leave some more than there are."""
    return np.empty(size + _SLACK, np.uint8)


def csv_bytes(
    table: Table, row_groups: Iterable[RowGroup], utc_offset_s: int, header: bool = True
) -> bytes:
    """Write row groups as CSV."""
    pieces = [
        piece.tobytes() for group in row_groups for piece in lines(table, group, utc_offset_s)
    ]
    return b"".join([header_line(table) if header else b"", *pieces])


def gzip_member(pieces: Iterable[Any]) -> Iterator[bytes]:
    """Yield one gzip member of pieces of text, never all in memory."""
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP_WINDOW_BITS)
    for piece in pieces:
        if packed := packer.compress(piece):
            yield packed
    yield packer.flush()


def csv_gz_member(table: Table, row_groups: Iterable[RowGroup], utc_offset_s: int) -> bytes:
    """Write row groups as CSV without a header line, in one gzip member."""
    return b"".join(
        gzip_member(piece for group in row_groups for piece in lines(table, group, utc_offset_s))
    )


def header_member(table: Table) -> bytes:
    """Give the gzip member that holds the header line of a table."""
    return b"".join(gzip_member([header_line(table)]))


class CsvPartWriter:
    """A part as CSV.gz in the making: see `tables.PartWriter`."""

    def __init__(self, table: Table, utc_offset_s: int) -> None:
        self._table = table
        self._utc_offset_s = utc_offset_s
        self._packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP_WINDOW_BITS)
        self._sink = io.BytesIO()
        self._sink.write(header_member(table))

    def add(self, row_group: RowGroup) -> None:
        """Append a row group."""
        for piece in lines(self._table, row_group, self._utc_offset_s):
            self._sink.write(self._packer.compress(piece.data))

    def close(self) -> bytes:
        """End the file and give its bytes."""
        self._sink.write(self._packer.flush())
        return self._sink.getvalue()


# --- joining files --------------------------------------------------------------------------------


def without_header(table: Table, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield a part's bytes behind its first member, which must hold the header line of `table`."""
    source = iter(pieces)
    unpacker = zlib.decompressobj(_GZIP_WINDOW_BITS)
    text = b""
    try:
        for piece in source:
            text += unpacker.decompress(piece, _PIECE_BYTES)
            if unpacker.eof or len(text) > _PIECE_BYTES:
                break
    except zlib.error:
        text = b""
    if not unpacker.eof or text != header_line(table):
        raise ValueError(f"it does not begin with the header of {table.name}")
    if unpacker.unused_data:
        yield unpacker.unused_data
    yield from source


def unpacked(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the text of gzip members, in pieces of at most 1 MiB; ValueError if they are none."""
    unpacker = None
    for piece in pieces:
        rest = piece
        while rest:
            if unpacker is None or unpacker.eof:
                unpacker = _inflate.decompressobj(_GZIP_WINDOW_BITS)
            try:
                text = unpacker.decompress(rest, _PIECE_BYTES)
            except _inflate.error as error:
                raise ValueError(f"it cannot be unpacked: {error}") from error
            if text:
                yield text
            rest = unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail
    if unpacker is None or not unpacker.eof:
        raise ValueError("it ends early")
