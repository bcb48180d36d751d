"""Files of a table read whole: for what tests compare."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fleetgen.io.dataset import Source, counts_of
from fleetgen.io.parquet import TEXT_KINDS
from fleetgen.io.tables import arrow_schema
from fleetgen.schema import Table

Counts = dict[str, NDArray[Any]]


def read_table(
    sources: Source | Iterable[Source],
    columns: Sequence[str] | None = None,
    filters: Any = None,
) -> pa.Table:
    """Read Parquet files of one table, in the order given; filters as of `pyarrow.parquet`."""
    names = None if columns is None else list(columns)
    return pa.concat_tables(
        pq.read_table(source, columns=names, filters=filters, partitioning=None)
        for source in _listed(sources)
    )


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


def _listed(sources: Source | Iterable[Source]) -> Iterable[Source]:
    if isinstance(sources, str) or hasattr(sources, "read") or not isinstance(sources, Iterable):
        return [sources]
    return sources


def read_counts(
    table: Table,
    sources: Source | Iterable[Source],
    columns: Sequence[str] | None = None,
    filters: Any = None,
) -> Counts:
    """Read files of `table` as counts, see `iter_counts`."""
    names = table.names if columns is None else columns
    values = read_table(sources, names, filters)
    return {name: counts_of(table.column(name), values[name]) for name in names}


def iter_counts(
    table: Table, source: Source, columns: Sequence[str] | None = None
) -> Iterator[Counts]:
    """Read a file of `table` as counts, one row group in memory at a time.

    Yields
    ------
    column name -> (row,)
        Counts as int64 with `NULL` for a missing value; texts as objects with None.
    """
    names = list(table.names if columns is None else columns)
    texts = [name for name in names if table.column(name).kind in TEXT_KINDS]
    with pq.ParquetFile(source, read_dictionary=texts, pre_buffer=False) as file:
        for index in range(file.num_row_groups):
            values = file.read_row_group(index, columns=names)
            yield {name: counts_of(table.column(name), values[name]) for name in names}
