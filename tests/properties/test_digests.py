"""A digest in the manifest is that of the rows in the files, every column of them.

All comparisons of digests stand on this. The oracle works on the values that pyarrow reads, row by
row in plain integers, after the definition: D = sum of A(id) B(ts) x over the rows, where x is the
sum of the mixed counts of all columns but the key's.
"""

import hashlib
from collections import defaultdict
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import pyarrow.parquet as pq
import pytest

from fleetgen.schema import TABLES, Column
from tests.conftest import Make
from tests.properties.plan import SAMPLED, differing

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


def digests(name: str, rows: list[dict[str, Any]]) -> dict[str, str]:
    """Digest of each local day of rows of one group."""
    table = TABLES[name]
    instant, entity, *_ = table.key
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for row in rows:
        x = sum(
            mixed(f"column {c.name}", count(c, row[c.name]) % WORD)
            for c in table.columns
            if c.name not in (instant, entity)
        )
        at: datetime = row[instant]
        ms = round(at.timestamp() * 1000)
        # A feature belongs to the day in which its window begins.
        day = at - timedelta(hours=row.get("feature_window_hours", 0))
        for lane in (0, 1):
            a = words(f"id {row[entity]}")[lane] | 1
            b = mixed(f"lane {lane}", ms) | 1
            sums[f"{day:%Y-%m-%d}"][lane] += a * b * x
    return {day: f"{a % WORD:016x}{b % WORD:016x}" for day, (a, b) in sums.items()}


@pytest.mark.parametrize("name", [*SAMPLED, "feature_store", "alert_condition"])
def test_digests_are_those_of_the_files(make: Make, name: str) -> None:
    made = make(
        {
            "select.strings": "SOUTH-UPS-01-S1,NORTH-REC-01-S1",
            "select.limit_batteries": 3,
            "execution.block_days": 2,
            "run.sampling_seconds": 1200,
        }
    )
    found = {}
    for entry in made.files:
        if entry["table"] == name and entry["digests"]:
            rows = pq.read_table(made.path / entry["path"], partitioning=None).to_pylist()
            assert len(rows) == entry["rows"]
            for day, value in digests(name, rows).items():
                found[name, entry["group"], day] = value
    assert len(found) >= 6
    assert differing(found, made.digests, {k for k in made.digests if k[0] == name}) == []
