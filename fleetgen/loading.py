"""A finished data set to work with: its tables, and features beside the truth of their day.

`fleetgen.open` is this module's.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from fleetgen.errors import ConfigError, StorageError
from fleetgen.export import open_at, utc_offset_s
from fleetgen.io import manifest
from fleetgen.io.dataset import Rows
from fleetgen.io.store import Store
from fleetgen.schema import BATTERY, FEATURE_STORE, PARTED, RECORDS, SPLIT, SPLITS, TABLES, Table
from fleetgen.selection import (
    Instant,
    Selection,
    instant_ms,
    listed,
    parts_within,
    place_of,
)
from fleetgen.spec import FileEntry
from fleetgen.units import HOURS_PER_DAY
from fleetgen.wording import nearest

if TYPE_CHECKING:
    import pandas as pd

RUL_TRUTH = "rul_truth"
"""Table of the labels: a row for each battery and local midnight."""


def open(url: str | os.PathLike[str], storage_options: Sequence[str] = ()) -> DataSet:
    """Open a finished data set.

    Parameters
    ----------
    url
        A directory, as a text or a path, or `s3://bucket/prefix`.
    storage_options
        Texts `name=value`, for `s3://` alone.

    Raises
    ------
    ConfigError
        The URL or an option is none.
    StorageError
        Nothing finished lies there.
    """
    if not isinstance(url, str | os.PathLike):
        raise ConfigError(f"url = {url!r:.60}: must be a directory or s3://bucket/prefix")
    store = open_at(os.fsdecode(url), storage_options)
    if not manifest.is_marked(store):
        raise manifest.unfinished(store)
    return DataSet(store)


class DataSet:
    """A finished data set, read through its manifest, whatever its format and place."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._files = manifest.read_manifest(store).files
        fleet = manifest.read_run(store).identity.get("fleet")
        self._time_zone = str(fleet.get("time_zone") if isinstance(fleet, dict) else "UTC")
        self._utc_offset_s = utc_offset_s(store)

    def __repr__(self) -> str:
        """Where it is and what it has, on one line."""
        return f"<data set at {self._store.url}: {', '.join(self.tables)}>"

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the tables that it has."""
        there = {entry.table for entry in self._files}
        return tuple(table.name for table in TABLES.values() if table.name in there)

    def table(
        self,
        name: str,
        columns: str | Iterable[str] | None = None,
        *,
        batteries: str | Iterable[str] | None = None,
        strings: str | Iterable[str] | None = None,
        locations: str | Iterable[str] | None = None,
        start: Instant | None = None,
        end: Instant | None = None,
    ) -> Selection:
        """Choose rows and columns of a table; no row is read yet.

        Files of other places and days are never opened, and of a Parquet file only the columns and
        row groups that may be wanted are fetched.

        Parameters
        ----------
        name
            The table, as in `tables`.
        columns
            Columns beside the keys of the table, which always come; by default all.
        batteries, strings, locations
            Ids; by default all.
        start, end
            From the one instant to before the other: dates, instants or their ISO texts, in local
            time of the fleet without an offset. They bound the table's first column that is an
            instant: `ts`, of features the end of the window, of `capacity_test_calc` the end of
            the test, of other events their beginning.

        Returns
        -------
        Selection
            With `pandas()`, `arrow()`, `dataset()`, `polars()`, `duckdb()` and `dask()`.

        Raises
        ------
        ConfigError
            A table, column or id that there is not, no instant, or a table without such a column.
        StorageError
            The data set lacks the table.
        """
        table = TABLES.get(name)
        if table is None:
            raise ConfigError(f"no such table {name!r:.60}; {nearest(name, TABLES)}")
        if name not in self.tables and table not in RECORDS:
            there = ", ".join(self.tables) or "none"
            raise StorageError(f"{self._store.url!r} has no table {name}; it has {there}")
        names = _ids("columns", columns)
        if odd := [each for each in names or () if each not in table.names]:
            raise ConfigError(
                f"columns: {name} has no column {odd[0]!r:.60}; {nearest(odd[0], table.names)}"
            )
        wanted = table.names if names is None else names
        chosen = (*table.key, *(each for each in wanted if each not in table.key))
        at = [_ids("strings", strings), _ids("locations", locations)]
        self._check("strings", at[0], self._strings)
        self._check("locations", at[1], self._locations)
        narrow = self._of_parts if table in PARTED else self._of_closing
        rows = self._span(table, start, end)
        rows, files = narrow(table, rows, _ids("batteries", batteries), *at)
        return Selection(self._store, table, chosen, files, rows, self._time_zone)

    def _span(self, table: Table, start: Instant | None, end: Instant | None) -> Rows:
        """Rows of a span of time."""
        given = instant_ms("start", start, self._utc_offset_s)
        until = instant_ms("end", end, self._utc_offset_s)
        if given is None and until is None:
            return Rows()
        instants = [c.name for c in table.columns if c.kind == "instant"]
        if table.role == "dimension" or not instants:
            raise ConfigError(f"start, end: {table.name} has no instants; leave them out")
        if given is not None and until is not None and given >= until:
            raise ConfigError(f"start = {start!r:.60}: must lie before end = {end!r:.60}")
        return Rows((), instants[0], given, until)

    def _of_parts(
        self,
        table: Table,
        rows: Rows,
        batteries: tuple[str, ...] | None,
        strings: tuple[str, ...] | None,
        locations: tuple[str, ...] | None,
    ) -> tuple[Rows, tuple[FileEntry, ...]]:
        """Narrow a table in parts to ids: files by their paths, rows by batteries alone."""
        if strings is not None and table.group == "location":
            raise ConfigError(f"strings: {table.name} has no strings; give locations")
        if batteries is not None:
            _want_column("batteries", table, "battery_id", "strings or locations")
            places = self._batteries(batteries)
            rows = _narrowed(rows, "battery_id", batteries)
            homes = {places[each][0] for each in batteries}
            strings = tuple(homes if strings is None else homes.intersection(strings))
        files = self._parts(table)
        return rows, parts_within(table, files, locations, strings, rows, self._utc_offset_s)

    def _of_closing(
        self,
        table: Table,
        rows: Rows,
        batteries: tuple[str, ...] | None,
        strings: tuple[str, ...] | None,
        locations: tuple[str, ...] | None,
    ) -> tuple[Rows, tuple[FileEntry, ...]]:
        """Narrow a table that closes with the run to ids, by its columns."""
        if batteries is not None:
            _want_column("batteries", table, "battery_id", "another table")
            self._batteries(batteries)
            rows = _narrowed(rows, "battery_id", batteries)
        for option, column, ids in (
            ("strings", "string_id", strings),
            ("locations", "location_id", locations),
        ):
            if ids is None:
                continue
            if column not in table.names:  # by the batteries that are there
                _want_column(option, table, "battery_id", "another table")
                at = option == "locations"
                ids = tuple(b for b, home in self._homes.items() if home[at] in ids)
                column = "battery_id"
            rows = _narrowed(rows, column, ids)
        return rows, tuple(entry for entry in self._files if entry.table == table.name)

    def _check(self, option: str, ids: tuple[str, ...] | None, known: Iterable[str]) -> None:
        names = dict.fromkeys(known) if ids else {}
        if odd := [each for each in ids or () if each not in names]:
            raise ConfigError(
                f"{option}: {odd[0]!r:.80} is not in this data set; {nearest(odd[0], names)}"
            )

    def _batteries(self, ids: tuple[str, ...]) -> dict[str, tuple[str, str]]:
        """String and location of each battery; ConfigError where one of `ids` is none."""
        self._check("batteries", ids, self._homes)
        return self._homes

    @cached_property
    def _homes(self) -> dict[str, tuple[str, str]]:
        """String and location of each battery."""
        found = self.table(BATTERY.name, ["string_id", "location_id"]).arrow().to_pydict()
        places = zip(found["string_id"], found["location_id"], strict=True)
        return dict(zip(found["battery_id"], places, strict=True))

    @cached_property
    def _places(self) -> dict[tuple[str, str | None], None]:
        parted = {table.name for table in PARTED}
        parts = (e for e in self._files if e.table in parted and "/" in e.path)
        return dict.fromkeys(place_of(entry) for entry in parts)

    @property
    def _locations(self) -> list[str]:
        return list(dict.fromkeys(location for location, _ in self._places))

    @property
    def _strings(self) -> list[str]:
        return [string for _, string in self._places if string is not None]

    def training_frame(
        self,
        columns: str | Iterable[str] | None = None,
        labels: str | Iterable[str] | None = None,
        batteries: str | Iterable[str] | None = None,
        at_hours: int | Iterable[int] | None = None,
        split: str | None = None,
    ) -> pd.DataFrame:
        """Feature rows, each with the truth of its day.

        A row gets the label of the last local midnight at or before `feature_ts`, at most a day
        back, never one of a later day. No column of the features is truth.

        Parameters
        ----------
        columns
            Columns of `feature_store` beside its keys; by default all.
        labels
            Columns of `rul_truth` beside its keys; by default all.
        batteries
            Ids to be read; by default all.
        at_hours
            Local hours of the day, 0 to 23, at which a window must end, one alone or several; by
            default all.
        split
            `train`, `validation` or `test`: read only strings that the column `split` of the table
            `split` puts there; by default all.

        Returns
        -------
        DataFrame
            `feature_ts`, `battery_id`, the columns, `label_ts` and the labels, by battery and
            instant. A label is null where the truth has none.

        Raises
        ------
        ConfigError
            A column, battery, hour or split that there is not.
        StorageError
            The data set has no `rul_truth` or no `split`, or a file cannot be read.
        """
        import pandas as pd

        if RUL_TRUTH not in self.tables:
            raise StorageError(f"{self._store.url!r} has no table {RUL_TRUTH}, hence no labels")
        hours, truth, names = _hours(at_hours), TABLES[RUL_TRUTH], _ids("labels", labels)
        if strange := [name for name in names or () if name not in truth.names]:
            raise ConfigError(
                f"labels: {RUL_TRUTH} has no column {strange[0]!r:.60}; "
                f"{nearest(strange[0], truth.names)}"
            )
        jars, strings = _ids("batteries", batteries), self._side(split)
        features = self._frame(FEATURE_STORE, columns, jars, strings)
        if hours is not None:
            features = features[features["feature_ts"].dt.hour.isin(hours)]
        found = self._frame(truth, names, jars, strings).rename(columns={"ts": "label_ts"})
        frame = pd.merge_asof(
            features.sort_values("feature_ts", kind="stable"),
            found.sort_values("label_ts", kind="stable").assign(
                feature_ts=lambda each: each["label_ts"]
            ),
            on="feature_ts",
            by="battery_id",
            tolerance=pd.Timedelta(days=1),
        )
        return frame.sort_values(["battery_id", "feature_ts"], ignore_index=True)

    def _side(self, split: str | None) -> tuple[str, ...] | None:
        """Strings on one side of the split; None where all are wanted."""
        if split is None:
            return None
        if split not in SPLITS:
            raise ConfigError(f"split = {split!r:.60}: no such split; {nearest(split, SPLITS)}")
        found = self.table(SPLIT.name, ["string_id", "split"]).arrow().to_pydict()
        sides = zip(found["string_id"], found["split"], strict=True)
        return tuple(dict.fromkeys(string for string, side in sides if side == split))

    def _frame(
        self,
        table: Table,
        columns: str | Iterable[str] | None,
        batteries: tuple[str, ...] | None,
        strings: tuple[str, ...] | None,
    ) -> pd.DataFrame:
        """Rows of a table as pandas has them; an id is plain text."""
        frame = self.table(table.name, columns, batteries=batteries, strings=strings).pandas()
        frame["battery_id"] = frame["battery_id"].astype(object)
        return frame

    def _parts(self, table: Table) -> list[FileEntry]:
        """Files of a table in parts, without the single file that some have, too."""
        return [entry for entry in self._files if entry.path.startswith(f"{table.name}/")]


def _narrowed(rows: Rows, column: str, ids: Iterable[str]) -> Rows:
    return replace(rows, values=(*rows.values, (column, tuple(ids))))


def _ids(option: str, given: object) -> tuple[str, ...] | None:
    """Names that were given, as `listed` does; ConfigError for what is no text and no list."""
    if given is None or isinstance(given, str | Iterable):
        return listed(given)
    raise ConfigError(f"{option} = {given!r:.60}: must be a name or a list of names")


def _hours(given: int | Iterable[int] | None) -> list[int] | None:
    """Hours of the day that were given, one alone or several; None where all are wanted."""
    if given is None:
        return None
    hours = [*given] if isinstance(given, Iterable) else [given]
    if odd := [hour for hour in hours if hour not in range(HOURS_PER_DAY)]:
        raise ConfigError(
            f"at_hours = {odd[0]!r:.60}: no hour of the day; give whole numbers from 0 to 23"
        )
    return hours


def _want_column(option: str, table: Table, column: str, way_out: str) -> None:
    if column not in table.names:
        raise ConfigError(f"{option}: {table.name} has no {column}; choose by {way_out}")
