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
from fleetgen.spec import NULL, Chunk, Codes, Instants, Plain, RowGroup, Values

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
    table: Table, source: Source, columns: Sequence[str] | None = None
) -> Iterator[RowGroup]:
    """Read a file of `table` as the row groups that it was made of, one in memory at a time.

    All columns, or some. Texts are `Codes`, even instants `Instants`, all other columns `Plain`
    counts. ValueError where the file is damaged, or not one of `table`.
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
            names = [c.name for c in wanted]
            values = file.read_row_group(index, columns=names, use_threads=False)
            yield {c.name: _chunk(c, values[c.name]) for c in wanted}


def iter_csv_groups(
    table: Table, source: Source, columns: Sequence[str] | None = None
) -> Iterator[RowGroup]:
    """Read a gzip file of CSV, open for reading bytes, as `iter_groups` does, a block at a time."""
    wanted = [c for c in table.columns if columns is None or c.name in columns]
    types = {c.name: arrow_type(c, "UTC") for c in table.columns}
    options = pyarrow.csv.ConvertOptions(
        column_types=types,
        include_columns=[c.name for c in wanted],
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    blocks = pyarrow.csv.ReadOptions(block_size=_CSV_BLOCK_BYTES, use_threads=False)
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


def iter_values(table: Table, source: Source, packed: bool) -> Iterator[dict[str, Values]]:
    """Read a file of `table`, a gzip file of CSV if `packed`, as `Values`, a piece at a time.

    For whoever looks at values and makes no counts of them, which takes longer than reading does.
    ValueError where the file is damaged, or not one of `table`.
    """
    batches = _csv_batches(table, source) if packed else _parquet_batches(table, source)
    for batch in batches:
        yield {c.name: _values(c, batch[c.name]) for c in table.columns}


def _parquet_batches(table: Table, source: Source) -> Iterator[pa.Table]:
    texts = [c.name for c in table.columns if c.kind in TEXT_KINDS]
    with (
        _damage_told(),
        pq.ParquetFile(source, read_dictionary=texts, pre_buffer=False) as file,
    ):
        _refuse_other_columns(table, file.schema_arrow)
        for index in range(file.num_row_groups):
            yield file.read_row_group(index, use_threads=False)


def _csv_batches(table: Table, source: Source) -> Iterator[pa.Table]:
    options = pyarrow.csv.ConvertOptions(
        column_types={c.name: arrow_type(c, "UTC") for c in table.columns},
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    blocks = pyarrow.csv.ReadOptions(block_size=_CSV_BLOCK_BYTES, use_threads=False)
    with (
        _damage_told("gzip file of CSV"),
        pa.CompressedInputStream(source, "gzip") as text,
        pyarrow.csv.open_csv(text, read_options=blocks, convert_options=options) as reader,
    ):
        _refuse_other_columns(table, reader.schema)
        for batch in reader:
            yield pa.Table.from_batches([batch])


def _refuse_other_columns(table: Table, schema: pa.Schema) -> None:
    if tuple(schema.names) != table.names:
        raise ValueError(f"its columns are not those of {table.name}")
    for column, field in zip(table.columns, schema, strict=True):
        wanted, found = arrow_type(column, "UTC"), field.type
        if pa.types.is_dictionary(found):
            found = found.value_type
        if pa.types.is_dictionary(wanted):
            wanted = wanted.value_type
        if pa.types.is_timestamp(found):
            found = pa.timestamp(found.unit, "UTC")
        if found != wanted:
            raise ValueError(f"{table.name}.{column.name} is {found} instead of {wanted}")


def _values(column: Column, values: pa.ChunkedArray) -> Values:
    if column.kind in TEXT_KINDS:
        coded = values.combine_chunks().dictionary_encode()
        levels = coded.dictionary.to_pylist()
        codes = coded.indices.fill_null(len(levels)).to_numpy()
        return Values(codes, coded.null_count, (*levels, None))
    if column.kind == "float":
        return Values(values.to_numpy(), values.null_count)
    if column.kind == "bool":
        return Values(values.fill_null(False).to_numpy(), values.null_count)
    stored = values.cast(pa.int32() if column.kind == "date" else pa.int64())
    return Values(stored.fill_null(0).to_numpy(), values.null_count)


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
