"""The promises for tables that close with the run: alerts, predictions, maintenance and others.

Seventeen days hold two Mondays with predictions. A position gets another unit, alerts are open
across the edges of blocks, some of them when the run ends.
"""

import csv
import itertools
import json
import shutil
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from fleetgen.schema import PARTED, TABLES
from tests import recompute_rul
from tests.conftest import Make
from tests.properties.plan import HERE, Changes, DataSet, keys, run_python

LONG: Changes = {"run.duration_days": 17, "run.sampling_seconds": 1800}
START = datetime.fromisoformat("2024-02-26T00:00:00+07:00")
CLOSING = [table for table in TABLES.values() if table not in PARTED]
NAMES = [table.name for table in CLOSING]
NEW = "NORTH-UPS-01-S1-J03-R2"

Row = dict[str, str]


@pytest.fixture(scope="module")
def long(make: Make) -> DataSet:
    return make(LONG)


def text(made: DataSet, name: str) -> str:
    return (made.path / f"{name}.csv").read_text()


def rows(made: DataSet, name: str) -> list[Row]:
    return list(csv.DictReader(text(made, name).splitlines()))


def time(value: str) -> datetime:
    return datetime.fromisoformat(value)


# --- the plan -------------------------------------------------------------------------------------


def midnights_between(first: str, last: str) -> int:
    return (time(last).date() - time(first).date()).days


def test_the_plan_is_one_on_which_a_broken_promise_would_show(long: DataSet) -> None:
    over = [r for r in rows(long, "alert") if r["resolved_at"]]
    crossing = [r for r in over if midnights_between(r["triggered_at"], r["resolved_at"]) > 0]
    assert {bool(r["sensor_id"]) for r in crossing} == {True, False}
    assert any(r["status"] == "open" for r in rows(long, "alert"))
    assert any(r["battery_id"] == NEW for r in rows(long, "alert"))
    predicted = rows(long, "rul_prediction")
    assert {r["predicted_at"][:10] for r in predicted} == {"2024-03-04", "2024-03-11"}
    assert len(predicted) == 2 * 74
    assert sum(r["battery_id"] == NEW for r in predicted) == 2
    kinds = {r["event_type"] for r in rows(long, "maintenance_event")}
    assert kinds >= {"replacement", "capacity_test", "equalize", "inspection"}
    assert len({r["split"] for r in rows(long, "split")}) == 3
    assert all(rows(long, name) for name in NAMES)


# --- 1: the same values ---------------------------------------------------------------------------


@pytest.mark.parametrize("days", [3, None])
def test_block_sizes_give_the_same_text(make: Make, long: DataSet, days: int | None) -> None:
    other = make({**LONG, "execution.block_days": days})
    for name in NAMES:
        assert text(other, name) == text(long, name), name
    assert other.states == long.states


@pytest.mark.parametrize(
    ("executor", "workers"),
    [("threads", 2), pytest.param("local", 2, marks=pytest.mark.slow)],
)
def test_executors_give_the_same_bytes(
    make: Make, long: DataSet, executor: str, workers: int
) -> None:
    other = make({**LONG, "execution.executor": executor, "execution.workers": workers})
    assert other.unlike(long) == []


def test_formats_give_the_same_text(make: Make, long: DataSet) -> None:
    """Histories are read from the files of their parts, here from packed text."""
    other = make({**LONG, "output.format": "csv.gz"})
    for name in NAMES:
        assert text(other, name) == text(long, name), name


# --- 2: a short run is the beginning of a long one ------------------------------------------------


def begun(name: str, row: Row, end: datetime) -> bool:
    """Whether a row of a longer run tells of what began before the end of a shorter one."""
    at = {
        "alert": "triggered_at",
        "rul_prediction": "predicted_at",
        "maintenance_event": "started_at",
        "anomaly": "start_ts",
    }.get(name)
    return at is None or time(row[at]) < end


def fixed(name: str, row: Row) -> Row:
    """A row without what is known at the end only."""
    return {c.name: row[c.name] for c in TABLES[name].columns if not c.known_at_end}


@pytest.mark.parametrize("days", [2.5, 5, 9.3, 14, 15])
def test_rows_of_a_short_run_are_those_of_the_long_run(
    make: Make, long: DataSet, days: float
) -> None:
    """Two and a half days end with alerts that are open, fourteen on a Monday."""
    short = make({**LONG, "run.duration_days": days})
    end = START + timedelta(days=days)
    for name in NAMES:
        found, expected = rows(short, name), rows(long, name)
        # What is told of the last hour or day is told at its end, which is that of the run, too.
        found = [r for r in found if begun(name, r, end)]
        if name == "battery":  # of a unit that came later the short run knows nothing
            came = {r["replacement_id"]: r["completed_at"] for r in replacements(long)}
            later = {unit for unit, at in came.items() if time(at) >= end}
            expected = [r for r in expected if r["battery_id"] not in later]
        elif name == "split":
            known = {r["battery_id"] for r in rows(short, "battery")}
            expected = [r for r in expected if r["battery_id"] in known]
        expected = [r for r in expected if begun(name, r, end)]
        assert [fixed(name, r) for r in found] == [fixed(name, r) for r in expected], name
        over = {"alert": "resolved_at", "maintenance_event": "completed_at"}.get(name)
        if over:  # what was over before the end is known in full
            done = [
                [r for r in each if r[over] and time(r[over]) < end] for each in (found, expected)
            ]
            assert done[0] == done[1], name


def replacements(made: DataSet) -> list[Row]:
    kept = [r for r in rows(made, "maintenance_event") if r["event_type"] == "replacement"]
    return [r for r in kept if r["replacement_id"]]


def test_predictions_of_a_run_that_ends_on_a_monday_are_those_of_the_long_run(
    make: Make, long: DataSet
) -> None:
    short = make({**LONG, "run.duration_days": 14})
    assert rows(short, "rul_prediction") == rows(long, "rul_prediction")


# --- 3: a part of the fleet -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"select.strings": "NORTH-UPS-01-S1", "select.limit_batteries": 4},
        {"select.limit_batteries": 30},
        {"select.locations": "SOUTH"},
    ],
)
def test_rows_of_a_part_are_those_of_the_whole(make: Make, long: DataSet, changes: Changes) -> None:
    part = make({**LONG, **changes})
    jars = {r["battery_id"] for r in rows(part, "battery")}
    others = {
        *(r["string_id"] for r in rows(part, "string")),
        *(r["sensor_id"] for r in rows(part, "environmental_sensor")),
    }

    def wanted(row: Row) -> bool:
        if row["battery_id"]:
            return row["battery_id"] in jars
        return (row.get("sensor_id") or row["string_id"]) in others

    for name in ("alert", "rul_prediction", "maintenance_event", "split"):
        expected = [r for r in rows(long, name) if wanted(r)]
        assert rows(part, name) == expected, name
        assert expected or name == "alert"


# --- made again, plainly --------------------------------------------------------------------------


def test_every_side_of_the_split(long: DataSet) -> None:
    """Of 75 units, 6 strings and 2 locations, and the two instants of a split by time."""
    found = {r.pop("battery_id"): tuple(r.values()) for r in rows(long, "split")}
    assert found == recompute_rul.split(long.path, 109, 17, START)
    assert len({side for _, _, side, *_ in found.values()}) == 3


# --- 8: no label leaks ----------------------------------------------------------------------------


def test_alerts_and_predictions_follow_from_what_was_measured(
    long: DataSet, tmp_path: Path
) -> None:
    """In a process without the simulation, from a data set without its truth."""
    place = tmp_path / "set"
    shutil.copytree(long.path, place)
    for table in TABLES.values():
        if table.role == "truth":
            shutil.rmtree(place / table.name, ignore_errors=True)
            for file in place.glob(f"{table.name}.*"):
                file.unlink()
    assert not (place / "_fleetgen" / "closing").exists()  # nor what was derived before
    for name in ("battery_states.json", "alert.csv", "rul_prediction.csv"):
        (place / name).unlink()
    for file in (place / "_fleetgen" / "receipts").rglob("*.json"):
        receipt = json.loads(file.read_text())
        file.write_text(json.dumps({**receipt, "states": {}, "statistics": {}}))
    done = run_python(HERE / "conclusions.py", json.dumps(keys(place, LONG)))
    assert done.code == 0, done.err[-4000:]
    found = json.loads(done.out)
    for name in ("alert", "rul_prediction"):
        lines = list(itertools.chain.from_iterable(t.splitlines() for t in found[name]))
        assert lines == text(long, name).splitlines()[1:], name
