"""Rows of a data set for whichever library is to have them; files without any are never opened."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta, timezone
from importlib import import_module
from typing import TYPE_CHECKING, Any

from fleetgen.errors import ConfigError, StorageError
from fleetgen.execute import available_cores
from fleetgen.io import dataset
from fleetgen.io.store import Store
from fleetgen.schema import FEATURE_STORE, Table
from fleetgen.spec import FileEntry
from fleetgen.units import SECONDS_PER_DAY
from fleetgen.wording import many

if TYPE_CHECKING:
    import dask.dataframe
    import duckdb
    import pandas as pd
    import polars as pl
    import pyarrow as pa
    import pyarrow.dataset

Instant = str | date
"""A date, an instant or its ISO text; local time of the fleet where it has no offset."""

_PART = re.compile(
    r"\w+/location=(?P<location>[^/]+)(/string=(?P<string>[^/]+))?/month=[^/]+/"
    r"part-(?P<first>\d{4}-\d\d-\d\d)-(?P<days>\d+)\.\S+"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


@dataclass(frozen=True)
class Selection:
    """Rows and columns of a table, of which nothing is read before a library is given them.

    `files` are those that may hold such rows, by the manifest.
    """

    store: Store
    table: Table
    columns: tuple[str, ...]
    files: tuple[FileEntry, ...]
    rows: dataset.Rows
    time_zone: str

    def __repr__(self) -> str:
        """What would be read, on one line."""
        size = sum(entry.bytes for entry in self.files)
        return (
            f"<{self.table.name}: at most {many(sum(e.rows for e in self.files), 'row')} of "
            f"{many(len(self.columns), 'column')} in {many(len(self.files), 'file')}, "
            f"{size / 1e6:,.1f} MB>"
        )

    def arrow(self) -> pa.Table:
        """All rows in memory, in the order of the manifest: string by string, block by block.

        Raises
        ------
        StorageError
            A file cannot be read.
        """
        with ThreadPoolExecutor(available_cores()) as pool:
            return dataset.joined([self._none(), *pool.map(self._read, self.files)])

    def pandas(self) -> pd.DataFrame:
        """All rows as a frame; an instant in local time. Raises as `arrow` does."""
        frame: pd.DataFrame = self.arrow().to_pandas()
        return frame

    def dataset(self) -> pyarrow.dataset.Dataset:
        """The rows as a data set of Arrow, which takes more filters and reads when it is scanned.

        Tables that lie in parts are not read before; others are read now.

        Raises
        ------
        StorageError
            A file is missing.
        """
        if not self.files or "/" not in self.files[0].path:
            return dataset.in_memory(self.arrow())
        for entry in self.files:
            if not self.store.remote and not self.store.exists(entry.path):  # Arrow follows links
                raise StorageError(
                    f"{self.store.url}/{entry.path} is missing, or behind a link that leads out of "
                    "the data set. `fleetgen verify URL --repair` makes it anew"
                )
        return dataset.scan(
            self.table, self.store, self.files, self.columns, self.rows, self.time_zone
        )

    def polars(self) -> pl.LazyFrame:
        """The rows as a lazy frame, which reads when it is collected.

        Raises
        ------
        ConfigError
            polars is not installed.
        """
        frame: pl.LazyFrame = _library("polars").scan_pyarrow_dataset(self.dataset())
        return frame

    def duckdb(self, connection: duckdb.DuckDBPyConnection | None = None) -> Any:
        """The rows as a relation, of `connection` or of that of `duckdb.sql`.

        Out of an object store they are read into memory here: DuckDB's threads may still be within
        Python's readers when the interpreter ends, which takes the process down.

        Raises
        ------
        ConfigError
            duckdb is not installed.
        """
        rows = self.arrow() if self.store.remote else self.dataset()
        return (connection or _library("duckdb")).from_arrow(rows)

    def dask(self) -> dask.dataframe.DataFrame:
        """The rows as a frame of Dask, a partition for each file.

        Raises
        ------
        ConfigError
            Dask's data frames are not installed.
        """
        frames = _library("dask.dataframe", "dask[dataframe]")
        each = [replace(self, files=(entry,)) for entry in self.files]
        empty = replace(self, files=())
        frame: dask.dataframe.DataFrame = frames.from_map(
            Selection.pandas, each or [empty], meta=empty.pandas()
        )
        return frame

    def _none(self) -> pa.Table:
        return dataset.no_rows(self.table, self.columns, self.time_zone)

    def _read(self, entry: FileEntry) -> pa.Table:
        try:
            return dataset.read_rows(
                self.table, self.store, entry, self.columns, self.rows, self.time_zone
            )
        except (ValueError, KeyError) as error:
            raise StorageError(
                f"{self.store.url}/{entry.path} cannot be read as {self.table.name} "
                f"({str(error).partition(chr(10))[0]}). `fleetgen verify URL --repair` makes it "
                "anew"
            ) from error


def listed(given: str | Iterable[str] | None) -> tuple[str, ...] | None:
    """Names that were given, one alone or several; None where all are wanted."""
    if given is None:
        return None
    return (given,) if isinstance(given, str) else tuple(dict.fromkeys(map(str, given)))


def instant_ms(option: str, given: Instant | None, utc_offset_s: int) -> int | None:
    """An instant that was given, in ms since 1970-01-01T00Z, rounded up.

    Raises
    ------
    ConfigError
        It is none.
    """
    if given is None:
        return None
    try:
        if isinstance(given, int | float):
            raise ValueError
        at = datetime.fromisoformat(given.isoformat() if isinstance(given, date) else str(given))
    except ValueError:
        raise ConfigError(
            f"{option} = {given!r:.60}: must be a date or an instant; for example 2025-01-02, "
            "2025-01-02T06:30 (local time) or 2025-01-01T23:30Z"
        ) from None
    if at.tzinfo is None:
        at = at.replace(tzinfo=timezone(timedelta(seconds=utc_offset_s)))
    return -((_EPOCH - at) // _MS)


def place_of(entry: FileEntry) -> tuple[str, str | None]:
    """Location and string of a part's file; no string where it is of a room."""
    found = _PART.fullmatch(entry.path)
    if found is None:
        raise StorageError(f"the manifest names {entry.path!r:.200}, which is no part's file")
    return found["location"], found["string"]


def parts_within(
    table: Table,
    entries: Sequence[FileEntry],
    locations: Sequence[str] | None,
    strings: Sequence[str] | None,
    rows: dataset.Rows,
    utc_offset_s: int,
) -> tuple[FileEntry, ...]:
    """Those files of a table in parts that may hold the wanted rows, by their paths."""
    kept = []
    for entry in entries:
        location, string = place_of(entry)
        there = locations is None or location in locations
        if (
            there
            and (strings is None or string in strings)
            and (_meets(table, entry, rows, utc_offset_s))
        ):
            kept.append(entry)
    return tuple(kept)


def _meets(table: Table, entry: FileEntry, rows: dataset.Rows, utc_offset_s: int) -> bool:
    """Whether the days of a part meet the wanted span; a window of features bears its end."""
    found = _PART.fullmatch(entry.path)
    if found is None:
        return True
    first = datetime.fromisoformat(found["first"]).replace(tzinfo=UTC)
    first_ms = (first - _EPOCH) // _MS - 1000 * utc_offset_s
    last_ms = first_ms + 1000 * SECONDS_PER_DAY * int(found["days"]) - (table != FEATURE_STORE)
    return (rows.end_ms is None or first_ms < rows.end_ms) and (
        rows.start_ms is None or rows.start_ms <= last_ms
    )


def _library(name: str, package: str = "") -> Any:
    """A library that need not be there."""
    try:
        return import_module(name)
    except ImportError as error:
        raise ConfigError(
            f"{name} is not installed here ({error}); pip install '{package or name}'"
        ) from error
