"""Parquet files straight from column chunks: the codes of a kernel are the bytes of its pages.

A general writer looks at every value to find the dictionary that the kernel had at hand. This one
knows only what the tables need: flat columns, data pages v1, at most one dictionary per column
chunk, exact statistics. It holds no Arrow; `tables.open_writer` gives it the compression and the
metadata.

References: Apache Parquet format 2.11, parquet.thrift and Encodings.md; Apache Thrift, compact
protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fleetgen.schema import Column, Kind, Table
from fleetgen.spec import NULL, Chunk, Codes, Constant, Instants, Plain, RowGroup, Runs

PAGE_ROWS = 34_560
"""Rows of a data page of codes, two days at 5 s: larger pages write faster, smaller ones let a
reader skip more."""

TEXT_KINDS = frozenset[Kind]({"id", "category", "text"})

_MAX_BYTE_CODES = 1 << 8
_MAX_CODES = 1 << 16

Compress = Callable[[Any], bytes]
Levels = NDArray[np.int64] | tuple[str | None, ...]
Bounds = tuple[Any, Any]


# --- what a chunk means ---------------------------------------------------------------------------


def check_group(table: Table, group: RowGroup) -> int:
    """Count the rows of a row group; ValueError when it is not one of `table`."""
    if group.keys() != set(table.names):
        missing = [name for name in table.names if name not in group]
        unknown = [name for name in group if name not in table.names]
        raise ValueError(f"{table.name}: missing columns {missing}, unknown columns {unknown}")
    rows = group[table.names[0]].rows
    for column in table.columns:
        chunk = group[column.name]
        with faults_named(table, column):
            if chunk.rows != rows:
                raise ValueError(f"{chunk.rows} rows, but {rows} in {table.names[0]}")
            if not _fits(column, chunk):
                kind = type(chunk).__name__
                raise ValueError(f"a column of kind {column.kind} cannot hold {kind}")
    return rows


@contextmanager
def faults_named(table: Table, column: Column) -> Iterator[None]:
    """Let a fault in a chunk name its table and column."""
    try:
        yield
    except (ValueError, IndexError) as fault:
        raise ValueError(f"{table.name}.{column.name}: {fault}") from fault


def check_nulls(column: Column, nulls: int) -> None:
    """Raise ValueError when a column that is never null holds `nulls` of them."""
    if nulls and not column.nullable:
        raise ValueError(f"{nulls} nulls in a column that is never null")


def _fits(column: Column, chunk: Chunk) -> bool:
    match chunk:
        case Constant() | Codes(levels=tuple()):
            return column.kind in TEXT_KINDS
        case Instants():
            return column.kind == "instant"
        case _:
            return column.kind not in TEXT_KINDS


def chunk_levels(chunk: Chunk) -> tuple[NDArray[np.int64], NDArray[Any] | None]:
    """Split a chunk without text into counts and, unless they are the rows', the index of each row.

    Row i has the count `levels[index[i]]`, `NULL` where a value is missing.
    """
    match chunk:
        case Plain(counts):
            return counts, None
        case Runs(lengths, counts):
            return counts, np.repeat(np.arange(len(counts)), lengths)
        case Instants(first_ms, step_ms, rows):
            return first_ms + step_ms * np.arange(rows, dtype=np.int64), None
        case Codes(codes, np.ndarray() as levels):
            return levels, codes
        case _:
            raise ValueError("a text has no counts")


def physical(column: Column, counts: NDArray[np.int64]) -> NDArray[Any]:
    """Convert counts to values as they are stored; ValueError when their type cannot hold them."""
    if column.kind == "float":
        return np.divide(counts, column.per_unit).astype(np.float32)
    values = counts.astype(_STORED[column.kind].code)
    if not np.array_equal(values, counts):
        raise ValueError(f"counts from {counts.min()} to {counts.max()} exceed {values.dtype}")
    return values


def as_codes(counts: NDArray[np.int64]) -> Codes | None:
    """Code counts by ascending levels, `NULL` last; None when they range over 65,536 or more."""
    present = counts != NULL
    values = counts[present]
    if not values.size:
        return Codes(np.zeros(counts.size, np.uint8), np.array([NULL]))
    low = int(values.min())
    if int(values.max()) - low >= _MAX_CODES:
        return None
    used = np.bincount(values - low) > 0
    levels = np.flatnonzero(used) + low
    if values.size < counts.size:
        levels = np.append(levels, NULL)
    if levels.size > _MAX_CODES:
        return None
    dtype = np.uint8 if levels.size <= _MAX_BYTE_CODES else np.uint16
    codes: Any = np.full(counts.size, levels.size - 1, dtype)
    codes[present] = (np.cumsum(used) - 1).astype(dtype)[values - low]
    return Codes(codes, levels)


# --- Thrift compact protocol: a struct maps field ids to (wire type, bytes) -----------------------

Field = tuple[int, bytes]

_BYTES = [bytes([number]) for number in range(0x100)]


def _varint(number: int) -> bytes:
    if number <= 0x7F:
        return _BYTES[number]
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _zigzag(number: int) -> bytes:
    return _varint((number << 1) ^ (number >> 63))


def _true() -> Field:
    return 1, b""


def _i32(number: int) -> Field:
    return 5, _zigzag(number)


def _i64(number: int) -> Field:
    return 6, _zigzag(number)


def _binary(value: bytes) -> Field:
    return 8, _varint(len(value)) + value


def _text(value: str) -> Field:
    return _binary(value.encode())


def _list(items: Sequence[Field], of: int = 12) -> Field:
    size = len(items)
    head = bytes([size << 4 | of]) if size < 15 else bytes([0xF0 | of]) + _varint(size)
    return 9, head + b"".join([item for _, item in items])


def _struct(fields: Mapping[int, Field]) -> Field:
    parts: list[bytes] = []
    last = 0
    for number, (wire, payload) in fields.items():
        parts += _BYTES[number - last << 4 | wire], payload
        last = number
    parts.append(b"\0")
    return 12, b"".join(parts)


# --- Parquet's own numbers ------------------------------------------------------------------------

_PLAIN, _RLE, _DELTA_BINARY_PACKED, _RLE_DICTIONARY = 0, 3, 5, 8
_DATA_PAGE, _DICTIONARY_PAGE = 0, 2
_UNCOMPRESSED, _ZSTD = 0, 6
_MOST_RUNS = 100
"""Most runs of nulls and values in a page that are written as such."""
_MIN_COMPRESSED = 512
"""Smallest column chunk [B] that is compressed: below, a frame's own bytes and time weigh more."""
_REQUIRED, _OPTIONAL = 0, 1
_MAGIC = b"PAR1"


class _Stored(NamedTuple):
    """How a kind is stored: physical type, NumPy and struct code, annotations in the schema."""

    physical_type: int
    code: str
    annotations: dict[int, Field]


_TEXT = _Stored(6, "O", {6: _i32(0), 10: _struct({1: _struct({})})})
_MILLISECONDS_UTC = _struct({1: _true(), 2: _struct({1: _struct({})})})
_STORED: dict[Kind, _Stored] = {
    "instant": _Stored(2, "<q", {6: _i32(9), 10: _struct({8: _MILLISECONDS_UTC})}),
    "id": _TEXT,
    "category": _TEXT,
    "text": _TEXT,
    "float": _Stored(4, "<f", {}),
    "int": _Stored(1, "<i", {}),
    "bool": _Stored(0, "<?", {}),
    "date": _Stored(1, "<i", {6: _i32(6), 10: _struct({6: _struct({})})}),
}


def _plain_values(values: Sequence[str | None] | NDArray[Any]) -> bytes:
    """Encode stored values or texts as PLAIN."""
    if not isinstance(values, np.ndarray):
        texts = [text.encode() for text in values if text is not None]
        return b"".join([len(text).to_bytes(4, "little") + text for text in texts])
    if values.dtype == np.bool_:
        return np.packbits(values, bitorder="little").tobytes()
    return values.tobytes()


def _bounds(column: Column, low: Any, high: Any) -> Bounds:
    """Convert the least and the greatest count or text to stored values."""
    if isinstance(low, str):
        return low, high
    stored = physical(column, np.array((low, high), np.int64))
    return stored[0], stored[1]


def _bound(value: Any, zero: float) -> Field:
    if isinstance(value, str):
        return _text(value)
    return _binary((value or value.dtype.type(zero)).tobytes())


def _statistics(bounds: Bounds | None, nulls: int) -> Field:
    """Make statistics; the format asks for bounds of zero to be -0.0 below and 0.0 above."""
    fields = {3: _i64(nulls)}
    if bounds is not None:
        low, high = bounds
        fields |= {5: _bound(high, 0.0), 6: _bound(low, -0.0), 7: _true(), 8: _true()}
    return _struct(fields)


# --- encodings: a chunk becomes the bodies of its pages -------------------------------------------


class _Page(NamedTuple):
    """A page before compression: `values` are its rows or, in a dictionary, its levels."""

    body: bytes
    values: int
    encoding: int
    type: int = _DATA_PAGE


class _Pages(NamedTuple):
    """A column chunk before compression; without `bounds` all of its rows are null."""

    pages: list[_Page]
    rows: int
    bounds: Bounds | None
    nulls: int = 0


@lru_cache(maxsize=1024)
def _all_present(nullable: bool, rows: int) -> bytes:
    """Give the definition levels of rows without a null; a required column has none."""
    return _definition(_run(rows, 1, 1)) if nullable else b""


def _definition(hybrid: bytes) -> bytes:
    return len(hybrid).to_bytes(4, "little") + hybrid


def _definition_levels(present: NDArray[np.bool_]) -> bytes:
    """Give the definition levels of rows with nulls: runs, or bits where those would be many."""
    if present.all():
        return _all_present(True, len(present))
    edges = np.flatnonzero(present[1:] != present[:-1])
    if len(edges) <= _MOST_RUNS:
        ends = [*(edges + 1).tolist(), len(present)]
        first = int(present[0])
        runs = [_run(b - a, first ^ n & 1, 1) for n, (a, b) in enumerate(pairwise([0, *ends]))]
        return _definition(b"".join(runs))
    bits = np.packbits(present, bitorder="little").tobytes()
    return _definition(_varint(len(bits) << 1 | 1) + bits)


@lru_cache(maxsize=4096)
def _run(length: int, value: int, size: int) -> bytes:
    """Make a run of the RLE hybrid whose values take `size` bytes."""
    return _varint(length << 1) + value.to_bytes(size, "little")


@lru_cache(maxsize=1024)
def _packed_head(values: int, width: int) -> bytes:
    """Start bit-packed indices: their width, and how many groups of eight follow."""
    return bytes([width]) + _varint((values + 7) // 8 << 1 | 1)


def _all_null(rows: int) -> _Pages:
    return _Pages([_Page(_definition(_run(rows, 0, 1)), rows, _PLAIN)], rows, None, rows)


def _dictionary(column: Column, levels: Levels) -> _Page:
    values = levels if isinstance(levels, tuple) else physical(column, levels)
    return _Page(_plain_values(values), len(levels), _PLAIN, _DICTIONARY_PAGE)


def _encode(column: Column, chunk: Chunk, page_rows: int) -> _Pages:
    if column.kind == "bool":
        return _values(column, chunk)
    match chunk:
        case Instants():
            return _instants(column, chunk)
        case Constant():
            return _constant(column, chunk.text, chunk.rows)
        case Codes():
            return _codes(column, chunk, page_rows)
        case Runs():
            return _runs(column, chunk)
        case Plain():
            return _plain(column, chunk, page_rows)


def _instants(column: Column, chunk: Instants) -> _Pages:
    """Equal steps in blocks of 128 deltas, four miniblocks each: all widths are zero."""
    head = _varint(128) + _varint(4) + _varint(chunk.rows) + _zigzag(chunk.first_ms)
    block = _zigzag(chunk.step_ms) + bytes(4)
    blocks = block * -(-(chunk.rows - 1) // 128)
    body = _all_present(column.nullable, chunk.rows) + head + blocks
    last_ms = chunk.first_ms + chunk.step_ms * (chunk.rows - 1)
    bounds = _bounds(column, min(chunk.first_ms, last_ms), max(chunk.first_ms, last_ms))
    return _Pages([_Page(body, chunk.rows, _DELTA_BINARY_PACKED)], chunk.rows, bounds)


def _constant(column: Column, level: Any, rows: int) -> _Pages:
    """One text or count in every row."""
    body = _all_present(column.nullable, rows) + b"\1" + _run(rows, 0, 1)
    levels = (level,) if isinstance(level, str) else np.array([level], np.int64)
    pages = [_dictionary(column, levels), _Page(body, rows, _RLE_DICTIONARY)]
    return _Pages(pages, rows, _bounds(column, level, level))


def _runs(column: Column, chunk: Runs) -> _Pages:
    runs = list(zip(chunk.lengths.tolist(), chunk.counts.tolist(), strict=True))
    if any(length < 0 for length, _ in runs):
        raise ValueError("a run has a negative length")
    runs = [run for run in runs if run[0]]
    levels = sorted({count for _, count in runs} - {NULL})
    if not levels:
        return _all_null(chunk.rows)
    nulls = sum(length for length, count in runs if count == NULL)
    present = _all_present(column.nullable, chunk.rows)
    if nulls:
        present = _definition(b"".join([_run(length, count != NULL, 1) for length, count in runs]))
    width = max(1, (len(levels) - 1).bit_length())
    size = (width + 7) // 8
    code = {level: code for code, level in enumerate(levels)}
    indices = [_run(length, code[count], size) for length, count in runs if count != NULL]
    body = b"".join((present, bytes([width]), *indices))
    dictionary = _dictionary(column, np.array(levels, np.int64))
    pages = [dictionary, _Page(body, chunk.rows, _RLE_DICTIONARY)]
    return _Pages(pages, chunk.rows, _bounds(column, levels[0], levels[-1]), nulls)


def _plain(column: Column, chunk: Plain, page_rows: int) -> _Pages:
    """Take a dictionary where it is the smaller, else the values one by one."""
    size = np.dtype(_STORED[column.kind].code).itemsize
    coded = as_codes(chunk.counts)
    if coded is not None and len(coded.levels) * size + coded.codes.nbytes < chunk.rows * size:
        return _codes(column, coded, page_rows)
    return _values(column, chunk)


def _values(column: Column, chunk: Chunk) -> _Pages:
    levels, index = chunk_levels(chunk)
    present = levels != NULL
    values = physical(column, np.where(present, levels, 0))
    if index is not None:
        present, values = present[index], values[index]
    nulls = chunk.rows - int(np.count_nonzero(present))
    if nulls == chunk.rows:
        return _all_null(chunk.rows)
    if nulls:
        definition, values = _definition_levels(present), values[present]
    else:
        definition = _all_present(column.nullable, chunk.rows)
    page = _Page(definition + _plain_values(values), chunk.rows, _PLAIN)
    return _Pages([page], chunk.rows, (values.min(), values.max()), nulls)


def _codes(column: Column, chunk: Codes, page_rows: int) -> _Pages:
    """Pack the indices into pages, at the narrowest of 4, 8 and 16 bits.

    Entropy coding wants whole codes in a byte; 8-bit codes go to the file as they are.
    """
    present, codes, levels = _without_null(chunk)
    if not codes.size:
        return _all_null(chunk.rows)
    low, high = int(codes.min()), int(codes.max())
    if low == high and present is None:
        return _constant(column, levels[low], chunk.rows)
    width = 8 * codes.itemsize
    if high - low < 1 << 4 and present is None:
        width = 4
    elif high - low < _MAX_BYTE_CODES:
        width = 8
    base = 0 if 8 * codes.itemsize == width == 8 else low
    indices = _packed(codes - codes.dtype.type(base) if base else codes, width)
    pages = [_dictionary(column, levels[base : high + 1])]
    first = 0
    for start in range(0, chunk.rows, page_rows):
        rows = values = min(page_rows, chunk.rows - start)
        if present is None:
            definition = _all_present(column.nullable, rows)
        else:
            definition = _definition_levels(present[start : start + rows])
            values = int(np.count_nonzero(present[start : start + rows]))
        data = indices[first * width // 8 : -(-(first + values) * width // 8)]
        padding = bytes(-(-values // 8) * width - len(data))
        body = b"".join((definition, _packed_head(values, width), data, padding))
        pages.append(_Page(body, rows, _RLE_DICTIONARY))
        first += values
    bounds = _bounds(column, *_extremes(codes, levels, low, high))
    return _Pages(pages, chunk.rows, bounds, chunk.rows - codes.size)


def _without_null(chunk: Codes) -> tuple[NDArray[np.bool_] | None, NDArray[Any], Levels]:
    """Split into rows present (None: all), their codes, and the levels without a null.

    A null that is the last level costs nothing where it does not occur.
    """
    codes, levels = np.ascontiguousarray(chunk.codes), chunk.levels
    top = int(codes.max())
    if top >= len(levels):
        raise ValueError(f"code {top} has no level; there are {len(levels)}")
    if isinstance(levels, tuple):
        nulls = [code for code, text in enumerate(levels[: top + 1]) if text is None]
    else:
        nulls = np.flatnonzero(levels[: top + 1] == NULL).tolist()
    if not nulls:
        return None, codes, levels
    if len(nulls) > 1:
        raise ValueError(f"null is at {len(nulls)} levels, not at one")
    null = nulls[0]
    present = codes != null
    codes = _compacted(codes, present)
    if null < top:
        codes = codes - np.greater(codes, null)
    kept: Levels = (
        levels[:null] + levels[null + 1 :]
        if isinstance(levels, tuple)
        else np.concatenate([levels[:null], levels[null + 1 :]])
    )
    return None if len(codes) == len(present) else present, codes, kept


def _compacted(codes: NDArray[Any], present: NDArray[np.bool_]) -> NDArray[Any]:
    """Give `codes[present]`, by whole pieces where nulls are few."""
    missing = np.flatnonzero(~present)
    if 100 * len(missing) > len(present):
        return codes[present]
    edges = zip([-1, *missing.tolist()], [*missing.tolist(), len(codes)], strict=True)
    return np.concatenate([codes[a + 1 : b] for a, b in edges])


def _extremes(codes: NDArray[Any], levels: Levels, low: int, high: int) -> Bounds:
    """Least and greatest of the levels that occur; codes range from `low` to `high`."""
    if isinstance(levels, tuple) or (levels[low + 1 : high + 1] <= levels[low:high]).any():
        occurring: Any = [levels[code] for code in np.flatnonzero(np.bincount(codes))]
        return min(occurring), max(occurring)
    return levels[low], levels[high]


def _packed(codes: NDArray[Any], width: int) -> Any:
    """Bit-pack codes to `width` 4, 8 or 16: a buffer of bytes."""
    if width > 4:
        return codes.astype(f"<u{width // 8}", copy=False).view(np.uint8).data
    if codes.size % 2:
        codes = np.append(codes, codes[:1])
    pairs = codes.astype(np.uint8, copy=False).view("<u2")
    return (pairs | pairs >> 4).astype(np.uint8).data


# --- the file: field ids are those of parquet.thrift ----------------------------------------------


class _Sealed(NamedTuple):
    """The pages of a column chunk as they lie in the file, and what the footer says of them.

    `described` and `statistics` are the fields of its ColumnMetaData before and after those that
    tell its place.
    """

    parts: list[bytes]
    size: int
    plain_size: int
    dictionary_size: int
    described: dict[int, Field]
    statistics: dict[int, Field]


@lru_cache(maxsize=1024)
def _page_header(plain_size: int, values: int, encoding: int, type: int) -> tuple[bytes, bytes]:
    """Split the header of a page where its compressed size belongs."""
    fields = {1: _i32(values), 2: _i32(encoding)}
    if type == _DATA_PAGE:
        fields |= {3: _i32(_RLE), 4: _i32(_RLE)}
    start = {1: _i32(type), 2: _i32(plain_size)}
    end = {7 if type == _DICTIONARY_PAGE else 5: _struct(fields)}
    split = len(_struct(start)[1])
    _, whole = _struct(start | {3: _i32(0)} | end)
    return whole[:split], whole[split + 1 :]


@lru_cache(maxsize=1024)
def _named(kind: Kind, name: str, *encodings: int) -> dict[int, Field]:
    encoded = [_i32(encoding) for encoding in sorted({_RLE, *encodings})]
    return {
        1: _i32(_STORED[kind].physical_type),
        2: _list(encoded, of=5),
        3: _list([_text(name)], of=8),
    }


def _seal(column: Column, pages: _Pages, compress: Compress) -> _Sealed:
    """Compress the pages and give them headers; a chunk of a few bytes stays as it is."""
    check_nulls(column, pages.nulls)
    plain_size = sum([len(page.body) for page in pages.pages])
    codec = _ZSTD if plain_size >= _MIN_COMPRESSED else _UNCOMPRESSED
    parts: list[bytes] = []
    size = dictionary_size = 0
    for page in pages.pages:
        body = compress(page.body) if codec == _ZSTD else page.body
        before, after = _page_header(len(page.body), page.values, page.encoding, page.type)
        header = before + _zigzag(len(body)) + after
        parts += header, body
        size += len(header) + len(body)
        plain_size += len(header)
        if page.type == _DICTIONARY_PAGE:
            dictionary_size = size
    described = _named(column.kind, column.name, pages.pages[0].encoding, pages.pages[-1].encoding)
    sizes = {4: _i32(codec), 5: _i64(pages.rows), 6: _i64(plain_size), 7: _i64(size)}
    statistics = {12: _statistics(pages.bounds, pages.nulls)}
    return _Sealed(parts, size, plain_size, dictionary_size, described | sizes, statistics)


@lru_cache(maxsize=512)
def _seal_shared(
    column: Column,
    make: type[Instants] | type[Constant],
    fields: tuple[Any, ...],
    compress: Compress,
) -> _Sealed:
    """Pages that many row groups have in common."""
    return _seal(column, _encode(column, make(*fields), PAGE_ROWS), compress)


class DirectPartWriter:
    """A part's file, one row group after the other.

    Parameters
    ----------
    table
        What the row groups hold.
    metadata
        Key-value metadata of the file.
    compress
        A buffer to one zstd frame.
    page_rows
        Rows of a data page of codes, a multiple of 8; the other chunks are one page each.
    """

    def __init__(
        self,
        table: Table,
        metadata: Mapping[str, str],
        compress: Compress,
        page_rows: int = PAGE_ROWS,
    ) -> None:
        if page_rows <= 0 or page_rows % 8:
            raise ValueError(f"page_rows = {page_rows} is not a positive multiple of 8")
        self._table = table
        self._metadata = metadata
        self._compress = compress
        self._page_rows = page_rows
        self._parts = [_MAGIC]
        self._size = len(_MAGIC)
        self._rows = 0
        self._row_groups: list[Field] = []

    def add(self, row_group: RowGroup) -> None:
        """Append a row group; one without rows leaves no trace.

        Raises
        ------
        ValueError
            If a column is missing, unknown, of another length, or holds what its kind cannot.
        """
        rows = check_group(self._table, row_group)
        if not rows:
            return
        start = self._size
        chunks = []
        plain_size = 0
        for column in self._table.columns:
            with faults_named(self._table, column):
                sealed = self._seal(column, row_group[column.name])
            place = {9: _i64(self._size + sealed.dictionary_size)}
            if sealed.dictionary_size:
                place[11] = _i64(self._size)
            described = _struct(sealed.described | place | sealed.statistics)
            chunks.append(_struct({2: _i64(0), 3: described}))
            plain_size += sealed.plain_size
            self._parts += sealed.parts
            self._size += sealed.size
        self._rows += rows
        self._row_groups.append(
            _struct(
                {
                    1: _list(chunks),
                    2: _i64(plain_size),
                    3: _i64(rows),
                    5: _i64(start),
                    6: _i64(self._size - start),
                }
            )
        )

    def close(self) -> bytes:
        """End the file and give its bytes."""
        columns = self._table.columns
        metadata = sorted(self._metadata.items())
        _, footer = _struct(
            {
                1: _i32(2),
                2: _list([_root(columns), *[_schema_element(column) for column in columns]]),
                3: _i64(self._rows),
                4: _list(self._row_groups),
                5: _list([_struct({1: _text(name), 2: _text(value)}) for name, value in metadata]),
                6: _text("fleetgen"),
                7: _list([_struct({1: _struct({})})] * len(columns)),
            }
        )
        return b"".join([*self._parts, footer, len(footer).to_bytes(4, "little"), _MAGIC])

    def _seal(self, column: Column, chunk: Chunk) -> _Sealed:
        match chunk:
            case Instants(first_ms, step_ms, rows):
                fields: tuple[Any, ...] = (first_ms, step_ms, rows)
                return _seal_shared(column, Instants, fields, self._compress)
            case Constant(text, rows):
                return _seal_shared(column, Constant, (text, rows), self._compress)
        return _seal(column, _encode(column, chunk, self._page_rows), self._compress)


def _root(columns: Sequence[Column]) -> Field:
    return _struct({4: _text("schema"), 5: _i32(len(columns))})


def _schema_element(column: Column) -> Field:
    stored = _STORED[column.kind]
    repetition = _OPTIONAL if column.nullable else _REQUIRED
    fields = {1: _i32(stored.physical_type), 3: _i32(repetition), 4: _text(column.name)}
    return _struct(fields | stored.annotations)
