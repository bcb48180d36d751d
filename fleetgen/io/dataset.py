"""The door to pyarrow for reading: tables, and columns as the counts that were written.

On the caller's thread alone: one of Arrow's own that holds a Python file when the interpreter ends
takes the process down.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fleetgen.io.parquet import TEXT_KINDS
from fleetgen.io.tables import arrow_schema, arrow_type
from fleetgen.schema import Column, Table
from fleetgen.spec import NULL, Chunk, Codes, Instants, Plain, RowGroup

Source = Any
"""A path, or a file open for reading bytes."""

_CSV_BLOCK_BYTES = 1 << 23


def read_table(
    sources: Source | Iterable[Source],
    columns: Sequence[str] | None = None,
    filters: Any = None,
) -> pa.Table:
    """Read files of one table, in the order given.

    `filters` are those of `pyarrow.parquet.read_table`; row groups that cannot match are skipped.
    """
    names = None if columns is None else list(columns)
    return pa.concat_tables(
        pq.read_table(source, columns=names, filters=filters, partitioning=None, use_threads=False)
        for source in _listed(sources)
    )


def _listed(sources: Source | Iterable[Source]) -> Iterable[Source]:
    if isinstance(sources, str) or hasattr(sources, "read") or not isinstance(sources, Iterable):
        return [sources]
    return sources


def read_csv(table: Table, sources: Source | Iterable[Source], time_zone: str) -> pa.Table:
    """Read CSV files of `table`, packed or not, with the types of its Parquet files."""
    schema = arrow_schema(table, time_zone)
    utc = pa.timestamp("ms", "UTC")
    options = pyarrow.csv.ConvertOptions(
        column_types={f.name: utc if pa.types.is_timestamp(f.type) else f.type for f in schema},
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    files = [pyarrow.csv.read_csv(each, convert_options=options) for each in _listed(sources)]
    return pa.concat_tables(files).cast(schema)


@dataclass(frozen=True)
class Footer:
    """What a file says of itself; `plan` is the digest of the plan that it was made by."""

    rows: int
    plan: str


def read_footer(source: Source) -> Footer:
    """Footer of a Parquet file; ValueError where it is none."""
    with _damage_told(), pq.ParquetFile(source, pre_buffer=False) as file:
        metadata = file.metadata.metadata or {}
        return Footer(file.metadata.num_rows, metadata.get(b"plan", b"").decode(errors="replace"))


def iter_groups(
    table: Table,
    source: Source,
    columns: Sequence[str] | None = None,
    *,
    span_ms: tuple[int, int] | None = None,
) -> Iterator[RowGroup]:
    """Read a file of `table` as the row groups that it was made of, one in memory at a time.

    All columns, or some; with a span [ms], only row groups whose instants may lie in it. Texts are
    `Codes`, even instants `Instants`, all other columns `Plain` counts. ValueError where the file
    is damaged, or not one of `table`.
    """
    wanted = [c for c in table.columns if columns is None or c.name in columns]
    texts = [c.name for c in wanted if c.kind in TEXT_KINDS]
    with (
        _damage_told(),
        pq.ParquetFile(source, read_dictionary=texts, pre_buffer=False) as file,
    ):
        if tuple(file.schema_arrow.names) != table.names:
            raise ValueError(f"its columns are not those of {table.name}")
        for index in range(file.num_row_groups):
            if span_ms and not _meets(file, index, table.names.index(table.key[0]), span_ms):
                continue
            names = [c.name for c in wanted]
            values = file.read_row_group(index, columns=names, use_threads=False)
            yield {c.name: _chunk(c, values[c.name]) for c in wanted}


def _meets(file: pq.ParquetFile, index: int, column: int, span_ms: tuple[int, int]) -> bool:
    """Whether a row group may have an instant in [first, end) by its statistics, if it has any."""
    known = file.metadata.row_group(index).column(column).statistics
    if known is None or not known.has_min_max:
        return True
    return bool(known.min_raw < span_ms[1] and span_ms[0] <= known.max_raw)


def iter_csv_groups(
    table: Table,
    source: Source,
    columns: Sequence[str] | None = None,
    *,
    block_bytes: int = _CSV_BLOCK_BYTES,
) -> Iterator[RowGroup]:
    """Read a gzip file of CSV, open for reading bytes, as `iter_groups` does, a block at a time.

    Arrow holds some 20 blocks of text and what they become.
    """
    wanted = [c for c in table.columns if columns is None or c.name in columns]
    types = {c.name: arrow_type(c, "UTC") for c in table.columns}
    options = pyarrow.csv.ConvertOptions(
        column_types=types,
        include_columns=[c.name for c in wanted],
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    blocks = pyarrow.csv.ReadOptions(block_size=block_bytes, use_threads=False)
    with (
        _damage_told("gzip file of CSV"),
        pa.CompressedInputStream(source, "gzip") as text,
        pyarrow.csv.open_csv(text, read_options=blocks, convert_options=options) as reader,
    ):
        if columns is None and tuple(reader.schema.names) != table.names:
            raise ValueError(f"its columns are not those of {table.name}")
        for batch in reader:
            read = {c: pa.chunked_array([batch.column(c.name)]) for c in wanted}
            yield {c.name: _chunk(c, values) for c, values in read.items()}


@contextmanager
def _damage_told(kind: str = "Parquet file") -> Iterator[None]:
    """Turn what Arrow raises at a damaged file into a ValueError of one line."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"no whole {kind} ({str(error).partition(chr(10))[0]})") from error


def _chunk(column: Column, values: pa.ChunkedArray) -> Chunk:
    if column.kind in TEXT_KINDS:
        coded = values.combine_chunks().dictionary_encode()
        levels = coded.dictionary.to_pylist()
        codes = coded.indices.fill_null(len(levels)).to_numpy()
        codes = codes.astype(np.uint8 if len(levels) < 256 else np.uint16)
        return Codes(codes, (*levels, None) if coded.null_count else (*levels,))
    counts = counts_of(column, values)
    if column.kind == "instant" and len(counts) > 1:
        steps = np.diff(counts)
        if (steps == steps[0]).all():
            return Instants(int(counts[0]), int(steps[0]), len(counts))
    return Plain(counts)


def counts_of(column: Column, values: pa.ChunkedArray) -> NDArray[Any]:
    """Counts of a column's values, int64 (row,), `NULL` where there is none; texts as objects."""
    if column.kind in TEXT_KINDS:
        coded = values.combine_chunks().dictionary_encode()
        texts = np.array([*coded.dictionary.to_pylist(), None], dtype=object)
        decoded: NDArray[Any] = texts[coded.indices.fill_null(-1).to_numpy()]
        return decoded
    missing = values.is_null().to_numpy()
    if column.kind == "float":
        scaled = values.fill_null(0.0).to_numpy().astype(np.float64) * column.per_unit
        counts: NDArray[np.int64] = np.rint(scaled).astype(np.int64)
    else:
        stored = values.cast(pa.int32() if column.kind == "date" else pa.int64())
        counts = stored.fill_null(0).to_numpy().astype(np.int64)
    counts[missing] = NULL
    return counts
