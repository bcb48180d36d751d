"""Six readers open the same directory and see the same rows, with no help from this package."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Make
from tests.properties.plan import DataSet

# Readers warn of each other (Dask and fastparquet use what pandas will drop) and of themselves.
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"
)

ROWS = (2 * 24 + 3 * 6 + 8) * 6 * 288
COLUMNS = ["voltage_v", "temperature_c", "resistance_mohm", "conductance_s"]

Frame = dict[str, np.ndarray]
"""Columns by name: instants as int64 ms since 1970-01-01T00Z, texts as objects."""


def by_pyarrow(place: Path) -> Frame:
    import pyarrow as pa
    import pyarrow.dataset as ds

    table = ds.dataset(place, partitioning="hive").to_table()
    table = table.set_column(0, "ts", table["ts"].cast(pa.int64()))
    return {name: table[name].to_numpy() for name in table.column_names}


def from_pandas(frame: object) -> Frame:
    columns: Frame = {name: frame[name].to_numpy() for name in frame}
    instants = frame["ts"]
    if instants.dt.tz is not None:  # fastparquet gives UTC without saying so
        instants = instants.dt.tz_convert("UTC").dt.tz_localize(None)
    return columns | {"ts": instants.astype("datetime64[ms]").astype("int64").to_numpy()}


def by_pandas(place: Path) -> Frame:
    import pandas as pd

    return from_pandas(pd.read_parquet(place))


def by_duckdb(place: Path) -> Frame:
    import duckdb

    query = (
        "SELECT epoch_ms(ts) AS ts, * EXCLUDE (ts) "
        f"FROM read_parquet('{place}/**/*.parquet', hive_partitioning = true)"
    )
    columns = duckdb.connect().execute(query).fetchnumpy()
    return {
        name: values.filled(np.nan) if np.ma.is_masked(values) else values
        for name, values in columns.items()
    }


def by_polars(place: Path) -> Frame:
    import polars as pl

    frame = pl.scan_parquet(f"{place}/**/*.parquet", hive_partitioning=True).collect()
    frame = frame.with_columns(pl.col("ts").dt.epoch("ms"))
    return {name: frame[name].to_numpy() for name in frame.columns}


def by_fastparquet(place: Path) -> Frame:
    import fastparquet

    return from_pandas(fastparquet.ParquetFile(str(place)).to_pandas())


def by_dask(place: Path) -> Frame:
    import dask
    import dask.dataframe as dd

    with dask.config.set(scheduler="synchronous"):
        return from_pandas(dd.read_parquet(place).compute())


READERS = (by_pyarrow, by_pandas, by_duckdb, by_polars, by_fastparquet, by_dask)


def ordered(frame: Frame) -> Frame:
    ids = np.array([str(i) for i in frame["battery_id"]])
    order = np.lexsort((frame["ts"], ids))  # by unit
    return {name: np.asarray(values)[order] for name, values in frame.items()} | {
        "battery_id": ids[order]
    }


@pytest.fixture(scope="module", params=["direct", "pyarrow"])
def made(request: pytest.FixtureRequest, make: Make) -> DataSet:
    return make({"execution.block_days": 31, "output.writer": request.param})


@pytest.fixture(scope="module")
def expected(made: DataSet) -> Frame:
    """Read file by file, from what the manifest names."""
    import pyarrow as pa

    table = made.read("telemetry_jar_raw")
    table = table.set_column(0, "ts", table["ts"].cast(pa.int64()))
    return ordered({name: table[name].to_numpy() for name in table.column_names})


@pytest.mark.parametrize("read", READERS, ids=lambda read: read.__name__)
def test_a_reader_sees_all_rows_and_the_partition_columns(
    made: DataSet, expected: Frame, read: Callable[[Path], Frame]
) -> None:
    frame = ordered(read(made.path / "telemetry_jar_raw"))
    assert len(frame["ts"]) == ROWS
    assert set(frame) == {"ts", "battery_id", *COLUMNS, "location", "string", "month"}
    assert (frame["ts"] == expected["ts"]).all()
    assert (frame["battery_id"] == expected["battery_id"]).all()
    for name in COLUMNS:
        values = np.ma.getdata(frame[name]).astype(np.float32)
        assert np.array_equal(values, expected[name].astype(np.float32), equal_nan=True), name
    strings = np.char.rpartition(frame["battery_id"].astype(str), "-J")[:, 0]
    assert (np.array([str(s) for s in frame["string"]]) == strings).all()
    assert {str(m)[:7] for m in frame["month"]} == {"2024-02", "2024-03"}
    assert {str(place) for place in frame["location"]} == {"NORTH", "SOUTH"}
