"""Files of a table read whole: for what tests compare."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow.parquet as pq
from numpy.typing import NDArray

from fleetgen.io.dataset import Source, counts_of, read_csv, read_table
from fleetgen.io.parquet import TEXT_KINDS
from fleetgen.schema import Table

__all__ = ["Counts", "iter_counts", "read_counts", "read_csv", "read_table"]

Counts = dict[str, NDArray[Any]]


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
