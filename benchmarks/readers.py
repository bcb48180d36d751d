"""Reading the production set: one battery's whole series, one day of a whole location."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from statistics import median

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.bench import Bench
from benchmarks.record import Grid, Result

REPETITIONS = 5

Query = Callable[[], int]


def measure(bench: Bench) -> Result:
    """Every query by every reader, whole rows, from files that the system has in memory."""
    out, run = bench.production_set()
    root = out / "telemetry_jar_raw"
    string = sorted(path.name.removeprefix("string=") for path in root.glob("*/string=*"))[-1]
    one_jar = _one_jar(root, string, f"{string}-J12")
    one_day = _one_day(root, string)
    repetitions = 1 if bench.quick else REPETITIONS
    rows, runs = [], {}
    for name, readers in (("one battery, all days", one_jar), ("one location, a day", one_day)):
        for reader, query in readers.items():
            count, seconds = _timed(query, repetitions)
            runs[f"{name}, {reader}"] = seconds
            rows.append((name, reader, count, 1000 * median(seconds), count / median(seconds)))
        counts = {row[2] for row in rows if row[0] == name}
        if len(counts) != 1:
            raise RuntimeError(f"{name}: the readers disagree: {counts} rows")
    return Result(
        figures=[],
        runs=[run, runs],
        grids=[Grid("Medians", ("query", "reader", "rows", "ms", "rows/s"), rows)],
        notes="All columns of telemetry_jar_raw, from the directory of the table, with filters on "
        "the partition and on `battery_id` or `ts`; the first call of each is not counted.",
    )


def _timed(query: Query, repetitions: int) -> tuple[int, list[float]]:
    rows = query()
    seconds = []
    for _ in range(repetitions):
        start_s = time.perf_counter()
        query()
        seconds.append(time.perf_counter() - start_s)
    return rows, seconds


def _one_jar(root: Path, string: str, battery: str) -> dict[str, Query]:
    def by_pyarrow() -> int:
        filters = [("string", "=", string), ("battery_id", "=", battery)]
        return len(pq.read_table(root, filters=filters))

    def by_duckdb() -> int:
        where = "string = $string AND battery_id = $battery"
        return _duckdb(root, where, {"string": string, "battery": battery})

    def by_polars() -> int:
        where = (pl.col("string") == string) & (pl.col("battery_id") == battery)
        return _polars(root, where)

    return {"pyarrow": by_pyarrow, "DuckDB": by_duckdb, "polars": by_polars}


def _one_day(root: Path, string: str) -> dict[str, Query]:
    """The last 24 hours of the location at which the string stands."""
    directory = next(root.glob(f"*/string={string}"))
    location = directory.parent.name.removeprefix("location=")
    last_file = max(directory.rglob("*.parquet"))
    last = pc.max(pq.read_table(last_file, columns=["ts"])["ts"])
    end = last.as_py()
    start = end - timedelta(days=1)
    before = pa.scalar(start, last.type)

    def by_pyarrow() -> int:
        filters = [("location", "=", location), ("ts", ">", before), ("ts", "<=", last)]
        return len(pq.read_table(root, filters=filters))

    def by_duckdb() -> int:
        where = "location = $location AND ts > $start AND ts <= $end"
        return _duckdb(root, where, {"location": location, "start": start, "end": end})

    def by_polars() -> int:
        ts = pl.col("ts")
        return _polars(root, (pl.col("location") == location) & (ts > start) & (ts <= end))

    return {"pyarrow": by_pyarrow, "DuckDB": by_duckdb, "polars": by_polars}


def _duckdb(root: Path, where: str, values: dict[str, object]) -> int:
    files = f"read_parquet('{root}/**/*.parquet', hive_partitioning = true)"
    query = f"SELECT * FROM {files} WHERE {where}"
    return len(duckdb.sql(query, params=values).to_arrow_table())


def _polars(root: Path, where: pl.Expr) -> int:
    frame = pl.scan_parquet(f"{root}/**/*.parquet", hive_partitioning=True)
    return len(frame.filter(where).collect())
