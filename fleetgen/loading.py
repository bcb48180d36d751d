"""A finished data set for training: features beside the truth of their day; `fleetgen.open`."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fleetgen.errors import ConfigError, StorageError
from fleetgen.export import open_at
from fleetgen.io import csv, dataset, manifest
from fleetgen.io.store import Store
from fleetgen.schema import FEATURE_STORE, TABLES, Table
from fleetgen.spec import FileEntry
from fleetgen.units import HOURS_PER_DAY

if TYPE_CHECKING:
    import pandas as pd

RUL_TRUTH = "rul_truth"
"""Table of the labels: a row for each battery and local midnight."""


def open(url: str, storage_options: Sequence[str] = ()) -> DataSet:
    """Open a finished data set.

    Parameters
    ----------
    url
        A directory, or `s3://bucket/prefix`.
    storage_options
        Texts `name=value`, for `s3://` alone.

    Raises
    ------
    ConfigError
        The URL or an option is none.
    StorageError
        Nothing finished lies there.
    """
    store = open_at(url, storage_options)
    if not manifest.is_marked(store):
        raise StorageError(
            f"{store.url!r} holds no finished data set; make it, or finish it with the command "
            "that began it"
        )
    return DataSet(store)


class DataSet:
    """A finished data set, read through its manifest, whatever its format and place."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._files = manifest.read_manifest(store).files
        fleet = manifest.read_run(store).identity.get("fleet")
        self._time_zone = str(fleet.get("time_zone") if isinstance(fleet, dict) else "UTC")

    def training_frame(
        self,
        columns: Sequence[str] | None = None,
        labels: Sequence[str] | None = None,
        batteries: Sequence[str] | None = None,
        at_hours: Sequence[int] | None = None,
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
            Local hours of the day, 0 to 23, at which a window must end; by default all.

        Returns
        -------
        DataFrame
            `feature_ts`, `battery_id`, the columns, `label_ts` and the labels, by battery and
            instant. A label is null where the truth has none.

        Raises
        ------
        ConfigError
            A column, battery or hour that there is not.
        StorageError
            The data set has no `rul_truth`, or a file cannot be read.
        """
        import pandas as pd

        truth = TABLES.get(RUL_TRUTH)
        if truth is None or not self._parts(RUL_TRUTH):
            raise StorageError(f"{self._store.url!r} has no table {RUL_TRUTH}, hence no labels")
        if odd := sorted({*(at_hours or ())} - {*range(HOURS_PER_DAY)}):
            raise ConfigError(f"at_hours = {odd[0]}: no hour of the day; allowed are 0 to 23")
        features = self._read(FEATURE_STORE, "columns", columns, batteries)
        if at_hours is not None:
            features = features[features["feature_ts"].dt.hour.isin([*at_hours])]
        found = self._read(truth, "labels", labels, batteries).rename(columns={"ts": "label_ts"})
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

    def _parts(self, table: str) -> list[FileEntry]:
        """Files of a table; its parts where it is a single file, too."""
        files = [entry for entry in self._files if entry.table == table]
        return [entry for entry in files if entry.path.startswith(f"{table}/")] or files

    def _read(
        self, table: Table, option: str, columns: Sequence[str] | None, batteries: Any
    ) -> pd.DataFrame:
        """Rows of a table as pandas has them: keys and some columns, of some batteries."""
        import pandas as pd

        if odd := [name for name in columns or () if name not in table.names]:
            raise ConfigError(f"{option}: {table.name} has no column {odd[0]!r}")
        values = table.names if columns is None else columns
        names = [*table.key, *(name for name in values if name not in table.key)]
        ids = None if batteries is None else {*batteries}
        frames = [self._frame(table, part, names, ids) for part in self._parts(table.name)]
        frame = pd.concat(frames, ignore_index=True)
        if ids is not None and (gone := sorted(ids - {*frame["battery_id"]})):
            raise ConfigError(f"batteries: {gone[0]!r} is not in {table.name}")
        return frame

    def _frame(
        self, table: Table, part: FileEntry, names: list[str], ids: set[str] | None
    ) -> pd.DataFrame:
        """Rows of one file; an id is plain text."""
        pieces = self._store.get_stream(part.path)
        try:
            if part.path.endswith(".parquet"):
                wanted = None if ids is None else [("battery_id", "in", ids)]
                rows = dataset.read_table(io.BytesIO(b"".join(pieces)), names, wanted)
            else:
                text = b"".join(csv.unpacked(pieces) if part.path.endswith(".gz") else pieces)
                rows = dataset.read_csv(table, io.BytesIO(text), self._time_zone).select(names)
        except (ValueError, KeyError, OSError) as error:
            raise StorageError(
                f"{self._store.url}/{part.path} cannot be read as {table.name} "
                f"({str(error).partition(chr(10))[0]}). `fleetgen verify URL --repair` makes it "
                "anew"
            ) from error
        frame = rows.to_pandas()
        frame["battery_id"] = frame["battery_id"].astype(object)
        return frame if ids is None else frame[frame["battery_id"].isin(ids)]
