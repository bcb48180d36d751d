"""The door to pyarrow for reading: tables, and columns as the counts that were written.

On the caller's thread alone, but for what `scan` gives: a thread of Arrow's own that holds a Python
file when the interpreter ends takes the process down. Of an object store `scan` gives it
such files.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from operator import and_
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.dataset as ds
import pyarrow.fs
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fleetgen.io.parquet import TEXT_KINDS
from fleetgen.io.store import Data, ReadOnly, Store
from fleetgen.io.tables import arrow_schema, arrow_type
from fleetgen.schema import Column, Table
from fleetgen.spec import NULL, Chunk, Codes, FileEntry, Instants, Plain, RowGroup, Values

Source = Any
"""A path, or a file open for reading bytes."""

_CSV_BLOCK_BYTES = 1 << 23


def _conversion(
    table: Table, time_zone: str, names: Sequence[str] = ()
) -> pyarrow.csv.ConvertOptions:
    """How texts of CSV become values of all or some columns; instants bear their offset."""
    return pyarrow.csv.ConvertOptions(
        column_types={c.name: arrow_type(c, time_zone) for c in table.columns},
        include_columns=list(names),
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )


# --- chosen rows ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rows:
    """Which rows are wanted: values by column, and a half-open span of an instant [ms]."""

    values: tuple[tuple[str, tuple[str, ...]], ...] = ()
    instant: str = ""
    start_ms: int | None = None
    end_ms: int | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that must be known to choose."""
        bounded = self.start_ms is not None or self.end_ms is not None
        return (*(name for name, _ in self.values), *((self.instant,) if bounded else ()))


def read_rows(
    table: Table, store: Store, entry: FileEntry, names: Sequence[str], rows: Rows, time_zone: str
) -> pa.Table:
    """Columns of the wanted rows of one file; no more of the file is fetched than these need.

    Raises
    ------
    StorageError
        The store does not give the file.
    ValueError
        It is damaged, or not one of `table`.
    """
    schema = pa.schema([arrow_schema(table, time_zone).field(name) for name in names])
    wanted = _expression(rows, time_zone)
    source = _Ranges(store, entry.path, entry.bytes)
    if entry.path.endswith(".parquet"):
        with _damage_told():
            found = pq.read_table(
                source,
                columns=list(names),
                filters=wanted,
                partitioning=None,
                use_threads=False,
                pre_buffer=False,
            )
            return found.cast(schema)
    packed = entry.path.endswith(".gz")
    needed = list(dict.fromkeys((*names, *rows.columns)))
    kind = "gzip file of CSV" if packed else "CSV file"
    buffered = io.BufferedReader(source, _CSV_BLOCK_BYTES)
    with _damage_told(kind), pa.input_stream(buffered, "gzip" if packed else None) as text:
        reader = pyarrow.csv.open_csv(
            text,
            read_options=pyarrow.csv.ReadOptions(block_size=_CSV_BLOCK_BYTES, use_threads=False),
            convert_options=_conversion(table, time_zone, needed),
        )
        batches = [_chosen(pa.Table.from_batches([batch]), wanted, names) for batch in reader]
        empty = reader.schema.empty_table().select(list(names))
        return pa.concat_tables([empty, *batches]).cast(schema)


def _chosen(table: pa.Table, wanted: pc.Expression | None, names: Sequence[str]) -> pa.Table:
    return (table if wanted is None else table.filter(wanted)).select(list(names))


def no_rows(table: Table, names: Sequence[str], time_zone: str) -> pa.Table:
    """Columns of a table without any row."""
    schema = arrow_schema(table, time_zone)
    return pa.schema([schema.field(name) for name in names]).empty_table()


def joined(tables: Sequence[pa.Table]) -> pa.Table:
    """Tables of the same columns, one under the other."""
    return pa.concat_tables(tables)


def in_memory(table: pa.Table) -> ds.Dataset:
    """A table as a data set of Arrow."""
    return ds.dataset(table)


def scan(
    table: Table,
    store: Store,
    entries: Sequence[FileEntry],
    names: Sequence[str],
    rows: Rows,
    time_zone: str,
) -> ds.Dataset:
    """Files of one format as a data set of Arrow, which reads what is asked of it, on its threads.

    In an object store these are Python files: whoever begins to read must read to the end, or let
    go of the reader, before the interpreter ends.

    `names` must hold all columns that `rows` are chosen by.
    """
    schema = arrow_schema(table, time_zone)
    if entries[0].path.endswith(".parquet"):
        form: ds.FileFormat = ds.ParquetFileFormat()
    else:
        form = ds.CsvFileFormat(convert_options=_conversion(table, time_zone))
    files: Any = pyarrow.fs.PyFileSystem(_Files(store, entries))
    if store.url.startswith("/"):  # a directory, which Arrow reads by itself
        files = pyarrow.fs.SubTreeFileSystem(store.url, pyarrow.fs.LocalFileSystem())
    found = ds.dataset(
        [entry.path for entry in entries], schema=schema, format=form, filesystem=files
    )
    wanted = _expression(rows, time_zone)
    chosen = found if wanted is None else found.filter(wanted)
    return chosen.replace_schema(pa.schema([schema.field(name) for name in names]))


def _expression(rows: Rows, time_zone: str) -> pc.Expression | None:
    """The choice of rows as Arrow has it; None for all."""
    terms = [pc.field(name).isin(list(values)) for name, values in rows.values]
    kind = pa.timestamp("ms", time_zone)
    if rows.start_ms is not None:
        terms.append(pc.field(rows.instant) >= pa.scalar(rows.start_ms, kind))
    if rows.end_ms is not None:
        terms.append(pc.field(rows.instant) < pa.scalar(rows.end_ms, kind))
    return reduce(and_, terms) if terms else None


class _Ranges(ReadOnly):
    """An object of known size, of which only what is read is fetched."""

    def __init__(self, store: Store, key: str, size: int) -> None:
        super().__init__(size)
        self._store, self._key = store, key

    def piece(self, first: int, length: int) -> Data:
        """Fetch a piece."""
        return self._store.get_range(self._key, first, length)


class _Files(pyarrow.fs.FileSystemHandler):  # type: ignore[misc]
    """Files of a store as a file system of Arrow, for reading alone."""

    def __init__(self, store: Store, entries: Sequence[FileEntry]) -> None:
        self._store = store
        self._sizes = {entry.path: entry.bytes for entry in entries}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Files) and self._store == other._store

    def get_type_name(self) -> str:
        """Name of the kind of file system."""
        return "fleetgen"

    def normalize_path(self, path: str) -> str:
        """Give a path back, which is a key."""
        return path

    def get_file_info(self, paths: Sequence[str]) -> list[pyarrow.fs.FileInfo]:
        """Size of each file, by the manifest."""
        kinds = pyarrow.fs.FileType
        return [
            pyarrow.fs.FileInfo(path, kinds.File, size=self._sizes[path])
            if path in self._sizes
            else pyarrow.fs.FileInfo(path, kinds.NotFound)
            for path in paths
        ]

    def open_input_file(self, path: str) -> pa.NativeFile:
        """Open a file to be read in any order."""
        return pa.PythonFile(_Ranges(self._store, path, self._sizes[path]), mode="r")

    open_input_stream = open_input_file

    def _refused(self, *_: Any, **__: Any) -> NoReturn:
        raise NotImplementedError("a data set is only read")

    get_file_info_selector = _refused
    create_dir = delete_dir = delete_dir_contents = delete_root_dir_contents = _refused
    delete_file = move = copy_file = open_output_stream = open_append_stream = _refused


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
    options = _conversion(table, "UTC", [c.name for c in wanted])
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
    options = _conversion(table, "UTC")
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
