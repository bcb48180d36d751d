"""Load-test a database and a lake with a data set: bulk load, typical queries, a replay.

    python examples/load_test.py URL [--rounds 20] [--database FILE] [--replay FACTOR]

URL is a directory or s3://. The lake is the files as they lie, read by Arrow; the database is
DuckDB with the rows loaded before, in memory unless `--database` names a new file. Each query is
asked once to warm up and then `--rounds` times, of other strings and days; both must give the same
answers. `--replay` inserts the first day's samples into the database FACTOR times faster than they
were taken, and tells how late they came. It needs DuckDB: `pip install fleetgen[examples]`.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import numpy as np
import pyarrow as pa

import fleetgen
from fleetgen.errors import FleetgenError
from fleetgen.loading import DataSet

TABLES = ("telemetry_jar_raw", "telemetry_string_raw")
"""What is loaded and asked: all that the monitors report of jars and strings."""


class Asked(NamedTuple):
    """What a query asks about: a string, one of its jars, a local day."""

    string_id: str
    battery_id: str
    start: datetime
    end: datetime


class Query(NamedTuple):
    """A question in SQL: `$string_id`, `$battery_id`, `$start`, `$end` say of what."""

    words: str
    table: str
    columns: tuple[str, ...]
    whole_string: bool
    sql: str


QUERIES = (
    Query(
        "one jar's day by the hour",
        "telemetry_jar_raw",
        ("voltage_v",),
        False,
        """SELECT epoch_ms(ts) // 3600000 AS hour, round(avg(voltage_v), 6), count(*)
           FROM telemetry_jar_raw WHERE battery_id = $battery_id AND ts >= $start AND ts < $end
           GROUP BY hour ORDER BY hour""",
    ),
    Query(
        "a string's jars, last reading of a day",
        "telemetry_jar_raw",
        ("voltage_v", "temperature_c"),
        True,
        """SELECT battery_id, arg_max(voltage_v, ts), arg_max(temperature_c, ts)
           FROM telemetry_jar_raw WHERE ts >= $start AND ts < $end
               AND starts_with(battery_id, $string_id || '-J')
           GROUP BY battery_id ORDER BY battery_id""",
    ),
    Query(
        "the jar farthest from its string",
        "telemetry_jar_raw",
        ("voltage_v",),
        True,
        """WITH jar AS (SELECT battery_id, avg(voltage_v) AS v FROM telemetry_jar_raw
               WHERE ts >= $start AND ts < $end AND starts_with(battery_id, $string_id || '-J')
               GROUP BY battery_id),
           string AS (SELECT median(v) AS middle FROM jar)
           SELECT battery_id, round(v - middle, 6) FROM jar, string
           ORDER BY abs(v - middle) DESC, battery_id LIMIT 1""",
    ),
    Query(
        "a string's day by mode",
        "telemetry_string_raw",
        ("mode", "current_a"),
        True,
        """SELECT mode, count(*), round(avg(current_a), 6) FROM telemetry_string_raw
           WHERE string_id = $string_id AND ts >= $start AND ts < $end
           GROUP BY mode ORDER BY mode""",
    ),
)


def questions(data: DataSet, rounds: int) -> list[Asked]:
    """Strings and whole days at random, the same each time; one more than `rounds`."""
    homes = data.table("battery", ["string_id", "replacement_of"]).arrow().to_pylist()
    strings: dict[str, list[str]] = {}
    for each in homes:
        if each["replacement_of"] is None:  # in service at the start
            strings.setdefault(each["string_id"], []).append(each["battery_id"])
    starts = midnights(data)
    draw = random.Random(0)
    found = []
    for _ in range(rounds + 1):
        string_id, start = draw.choice(sorted(strings)), draw.choice(starts)
        jar = draw.choice(strings[string_id])
        found.append(Asked(string_id, jar, start, start + timedelta(days=1)))
    return found


def midnights(data: DataSet) -> list[datetime]:
    """Local midnights of the run."""
    found: list[datetime] = data.table("rul_truth", []).arrow()["ts"].unique().sort().to_pylist()
    return found


def scan(data: DataSet, name: str) -> int:
    """Read all rows of a table, batch by batch, and let them go; their number."""
    return sum(batch.num_rows for batch in data.table(name).dataset().to_batches())


def load(data: DataSet, database: duckdb.DuckDBPyConnection, name: str) -> int:
    """Copy a table into the database; the number of its rows."""
    data.table(name).duckdb(database).create(name)
    return database.table(name).shape[0]


def ask_database(database: duckdb.DuckDBPyConnection, query: Query, asked: Asked) -> list[Any]:
    """Answer from rows that were loaded."""
    names = [name for name in Asked._fields if f"${name}" in query.sql]
    return database.execute(query.sql, {n: getattr(asked, n) for n in names}).fetchall()


def ask_lake(data: DataSet, query: Query, asked: Asked) -> list[Any]:
    """Answer from the files: only those of the string and day are opened."""
    jars = None if query.whole_string else asked.battery_id
    strings = asked.string_id if query.whole_string else None
    rows = data.table(
        query.table,
        query.columns,
        batteries=jars,
        strings=strings,
        start=asked.start,
        end=asked.end,
    )
    with duckdb.connect() as passing:
        passing.register(query.table, rows.arrow())
        return ask_database(passing, query, asked)


def timed(
    ask: Callable[[Asked], list[Any]], asked: Sequence[Asked]
) -> tuple[list[Any], list[float]]:
    """Answers, and how long each took [s], without the first question."""
    ask(asked[0])
    answers, seconds = [], []
    for each in asked[1:]:
        begun = time.perf_counter()
        answers.append(ask(each))
        seconds.append(time.perf_counter() - begun)
    return answers, seconds


def replay(
    data: DataSet, database: duckdb.DuckDBPyConnection, factor: float
) -> tuple[int, np.ndarray]:
    """Insert the first day's jar samples when they are due, one transaction for each instant.

    Returns
    -------
    tuple
        Rows, and how late each instant was stored [s].
    """
    name = TABLES[0]
    first = midnights(data)[0]
    rows = data.table(name, start=first, end=first + timedelta(days=1)).arrow().sort_by("ts")
    database.execute(f"CREATE TABLE replayed AS SELECT * FROM {name} LIMIT 0")
    begun, late, at = time.perf_counter(), [], 0
    for instant, group in groupby(rows["ts"].to_pylist()):
        count = len(list(group))
        due = begun + (instant - first).total_seconds() / factor
        time.sleep(max(0.0, due - time.perf_counter()))
        database.from_arrow(pa.table(rows.slice(at, count))).insert_into("replayed")
        late.append(time.perf_counter() - due)
        at += count
    return at, np.array(late)


def main(argv: Sequence[str] | None = None) -> None:
    """Load, ask, replay, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("url", metavar="URL", help="data set, a directory or s3://")
    parser.add_argument("--rounds", type=int, default=20, help="how often each query is asked")
    parser.add_argument("--database", default=":memory:", metavar="FILE", help="a new file")
    parser.add_argument("--replay", type=float, metavar="FACTOR", help="times real time")
    parser.add_argument("--storage-option", metavar="NAME=VALUE", action="append", default=[])
    given = parser.parse_args(argv)
    if Path(given.database).exists():
        parser.error(f"--database {given.database}: is there already; name a new file")
    data = fleetgen.open(given.url, given.storage_option)
    with duckdb.connect(given.database) as database:
        for place, fill in (("lake", scan), ("database", lambda *a: load(a[0], database, a[1]))):
            for name in TABLES:
                begun = time.perf_counter()
                rows = fill(data, name)
                seconds = time.perf_counter() - begun
                print(
                    f"{place:9} all of {name:21}{rows:12,} rows {seconds:8.2f} s"
                    f" {rows / seconds / 1e6:8.2f} M rows/s"
                )
        asked = questions(data, given.rounds)
        print(f"\n{'':42}{'lake p50':>10}{'p95':>8}{'database p50':>14}{'p95':>8}   [ms]")
        for query in QUERIES:
            lake, slow = timed(lambda each, q=query: ask_lake(data, q, each), asked)
            kept, fast = timed(lambda each, q=query: ask_database(database, q, each), asked)
            same = "" if lake == kept else "   ANSWERS DIFFER"
            told = [1000 * np.quantile(each, q) for each in (slow, fast) for q in (0.5, 0.95)]
            print("{:42}{:10.1f}{:8.1f}{:14.1f}{:8.1f}".format(query.words, *told) + same)
        if given.replay:
            rows, late = replay(data, database, given.replay)
            p50, p95 = np.quantile(late, [0.5, 0.95]) * 1000
            print(
                f"\nreplay x {given.replay:g}: {rows:,} rows of {len(late):,} instants, stored "
                f"{p50:.1f} ms after they were due at p50, {p95:.1f} ms at p95"
            )


if __name__ == "__main__":
    try:
        main()
    except FleetgenError as error:
        sys.exit(str(error))
