"""A digest in the manifest is that of the rows in the files, every column of them.

All comparisons of digests stand on this. The oracle works on the values that pyarrow reads, row by
row in plain integers, after the definition: D = sum of A(id) B(ts) x over the rows, where x is the
sum of the mixed counts of all columns but the key's. Of records there is a factor for each column
of the key, and x is one more.
"""

import hashlib
from collections import defaultdict
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import pyarrow.parquet as pq
import pytest

from fleetgen.schema import RECORDS, TABLES, Column
from tests.conftest import Make
from tests.properties.plan import SERIES, Changes, DataSet, differing

WORD = 2**64
NULL = 2**63


def words(text: str) -> tuple[int, int]:
    sha = hashlib.sha256(text.encode()).digest()
    return int.from_bytes(sha[:8], "little"), int.from_bytes(sha[8:16], "little")


@cache
def mixed(key: str, counter: int) -> int:
    """SplitMix64's finaliser with a second key between its rounds."""
    k0, k1 = words(key)
    z = (counter * 0x9E3779B97F4A7C15 + k0) % WORD
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % WORD
    z ^= k1
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % WORD
    return z ^ (z >> 31)


def count(column: Column, value: Any) -> int:
    if value is None:
        return NULL
    if column.kind == "instant":
        return round(value.timestamp() * 1000)
    if column.kind in ("category", "text", "id"):
        return words(f"text {value}")[0]
    return round(value * column.per_unit)


def factor(table: str, column: Column, value: Any, lane: int) -> int:
    """What a value of the key multiplies a row by."""
    if column.kind in ("id", "category", "text"):
        return words(f"id {value}")[lane] | 1
    # In the tables of samples the instant is the only key beside the id.
    name = f"column {column.name} {lane}" if table in OF_RECORDS else f"lane {lane}"
    return mixed(name, count(column, value) % WORD) | 1


OF_RECORDS = {table.name for table in RECORDS}


def digests(name: str, rows: list[dict[str, Any]]) -> dict[str, str]:
    """Digest of each local day of rows of one group."""
    table = TABLES[name]
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for row in rows:
        x = int(name in OF_RECORDS) + sum(
            mixed(f"column {c.name}", count(c, row[c.name]) % WORD)
            for c in table.columns
            if c.name not in table.key
        )
        at: datetime = row[table.key[0]]
        # A feature belongs to the day in which its window begins.
        day = at - timedelta(hours=row.get("feature_window_hours", 0))
        for lane in (0, 1):
            product = x
            for key in table.key:
                product *= factor(name, table.column(key), row[key], lane)
            sums[f"{day:%Y-%m-%d}"][lane] += product
    return {day: f"{a % WORD:016x}{b % WORD:016x}" for day, (a, b) in sums.items()}


def assert_digests_are_those_of_the_files(made: DataSet, name: str, fewest: int) -> None:
    found = {}
    for entry in made.files:
        if entry["table"] == name and entry["digests"]:
            rows = pq.read_table(made.path / entry["path"], partitioning=None).to_pylist()
            assert len(rows) == entry["rows"]
            for day, value in digests(name, rows).items():
                found[name, entry["group"], day] = value
    assert len(found) >= fewest
    assert differing(found, made.digests, {k for k in made.digests if k[0] == name}) == []


@pytest.mark.parametrize("name", [*SERIES, "alert_condition"])
def test_digests_are_those_of_the_files(make: Make, name: str) -> None:
    made = make(
        {
            "select.strings": "SOUTH-UPS-01-S1,NORTH-REC-01-S1",
            "select.limit_batteries": 3,
            "execution.block_days": 2,
            "run.sampling_seconds": 1200,
        }
    )
    assert_digests_are_those_of_the_files(made, name, 6)


OF_TEST: Changes = {}
OF_ROUND: Changes = {"run.seed": 110}


@pytest.mark.parametrize(
    ("name", "changes", "fewest"),
    [
        ("capacity_test_raw", OF_TEST, 2),
        ("capacity_test_calc", OF_TEST, 1),
        ("impedance_measurement_raw", OF_ROUND, 1),
        ("impedance_measurement_calc", OF_ROUND, 1),
    ],
)
def test_digests_of_what_happens_are_those_of_the_files(
    make: Make, name: str, changes: Changes, fewest: int
) -> None:
    """A capacity test over midnight, and a round of the calendar."""
    assert_digests_are_those_of_the_files(make(changes), name, fewest)
