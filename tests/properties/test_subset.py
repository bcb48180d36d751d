"""Promise 3: a part of the fleet has exactly the rows that it has in the whole fleet."""

import csv
import gzip
import tomllib
from pathlib import Path

import pytest

from fleetgen.schema import RECORDS
from tests.conftest import Make
from tests.properties.plan import HERE, SERIES, Changes, DataSet, differing

FLEET = tomllib.loads((HERE / "fleet.toml").read_text())


def batteries(made: DataSet) -> list[str]:
    return [row["battery_id"] for row in rows_of(made, "battery.csv")]


def rows_of(made: DataSet, name: str) -> list[dict[str, str]]:
    with (made.path / name).open(newline="") as file:
        return list(csv.DictReader(file))


def assert_part(part: DataSet, whole: DataSet, *, cut: frozenset[str] = frozenset()) -> None:
    """Everything in `part` is as in `whole`; groups in `cut` hold some of their jars."""
    jars = batteries(part)
    of_jars = ("telemetry_jar", "feature", "rul", "capacity", "impedance", "alert")
    uncut = {k for k in part.digests if k[1] not in cut or not k[0].startswith(of_jars)}
    assert uncut
    assert differing(part.digests, whole.digests, uncut) == []
    for name in ("telemetry_jar_raw", "telemetry_jar_calc", "feature_store", "rul_truth"):
        assert part.read(name).equals(whole.read(name, jars)), name
    others = {k[1] for k in part.digests if k[0] != "telemetry_env"} | {
        row["sensor_id"] for row in rows_of(part, "environmental_sensor.csv")
    }
    name = "alert_condition"
    assert part.read(name).equals(whole.read(name, [*jars, *others])), name
    assert part.states == {jar: whole.states[jar] for jar in jars}
    for name in (
        "location",
        "battery_model",
        "battery_system",
        "string",
        "battery",
        "maintenance_event",
    ):
        full = rows_of(whole, f"{name}.csv")
        found = rows_of(part, f"{name}.csv")
        assert found or name == "maintenance_event"
        assert [row for row in full if row in found] == found, name
    with gzip.open(part.path / "feature_store.csv.gz", "rt") as file:
        mine = set(file)
    with gzip.open(whole.path / "feature_store.csv.gz", "rt") as file:
        assert len(mine - set(file)) == 0


def test_a_limit_that_cuts_a_string(make: Make, whole: DataSet) -> None:
    part = make({"select.limit_batteries": 30})
    first = [f"NORTH-REC-01-S1-J{n:02d}" for n in range(1, 25)]
    assert batteries(part) == first + [f"NORTH-REC-01-S2-J{n:02d}" for n in range(1, 7)]
    assert_part(part, whole, cut=frozenset({"NORTH-REC-01-S2"}))
    groups = {k[1] for k in part.digests}
    assert groups == {"NORTH-REC-01-S1", "NORTH-REC-01-S2", "NORTH"}


def test_a_limit_of_one_battery(make: Make, whole: DataSet) -> None:
    part = make({"select.limit_batteries": 1})
    assert batteries(part) == ["NORTH-REC-01-S1-J01"]
    assert_part(part, whole, cut=frozenset({"NORTH-REC-01-S1"}))


def test_a_location(make: Make, whole: DataSet) -> None:
    """The last one, which is then the first."""
    part = make({"select.locations": "SOUTH"})
    assert batteries(part) == [f"SOUTH-UPS-01-S1-J{n:02d}" for n in range(1, 9)]
    assert_part(part, whole)
    assert {k[1] for k in part.digests} == {"SOUTH-UPS-01-S1", "SOUTH"}


def test_strings_of_two_locations(make: Make, whole: DataSet) -> None:
    part = make({"select.strings": "SOUTH-UPS-01-S1,NORTH-UPS-01-S3,NORTH-REC-01-S2"})
    assert len(batteries(part)) == 24 + 6 + 8
    assert_part(part, whole)


def test_strings_and_a_limit(make: Make, whole: DataSet) -> None:
    part = make({"select.strings": "NORTH-REC-01-S2", "select.limit_batteries": 5})
    assert batteries(part) == [f"NORTH-REC-01-S2-J{n:02d}" for n in range(1, 6)]
    assert_part(part, whole, cut=frozenset({"NORTH-REC-01-S2"}))


def backwards(table: dict[str, object]) -> dict[str, object]:
    return dict(reversed(table.items()))


def test_the_order_of_a_configuration(make: Make, whole: DataSet) -> None:
    """Locations, systems and strings backwards."""
    locations = {
        name: {
            **location,
            "systems": {
                system: {**table, "strings": backwards(table["strings"])}
                for system, table in backwards(location["systems"]).items()
            },
        }
        for name, location in backwards(FLEET["locations"]).items()
    }
    other = make({"fleet.file": None, "fleet.locations": locations})
    assert differing(whole.digests, other.digests) == []
    assert other.states == whole.states
    assert sorted(batteries(other)) == sorted(batteries(whole))


def test_a_larger_fleet(make: Make, whole: DataSet) -> None:
    """A location that comes to the front changes none of the others."""
    new = {**FLEET["locations"]["SOUTH"], "name": "New"}
    locations = {"AHEAD": new, **FLEET["locations"]}
    larger = make({"fleet.file": None, "fleet.locations": locations})
    assert {k[1] for k in larger.digests} - {k[1] for k in whole.digests} == {
        "AHEAD",
        "AHEAD-UPS-01-S1",
    }
    assert differing(whole.digests, larger.digests, whole.digests) == []


@pytest.mark.parametrize("changes", [{"select.limit_batteries": 30}, {"select.locations": "SOUTH"}])
def test_only_what_is_selected_is_written(make: Make, changes: Changes) -> None:
    part = make(changes)
    strings = {jar.rpartition("-")[0] for jar in batteries(part)}
    assert set(part.read("telemetry_jar_raw")["battery_id"].to_pylist()) == {*batteries(part)}
    assert set(part.read("telemetry_string_raw")["string_id"].to_pylist()) == strings
    assert {row["string_id"] for row in rows_of(part, "string.csv")} == strings
    written = {Path(f["path"]).parts[0] for f in part.files if f["digests"]}
    assert written - {table.name for table in RECORDS} == {*SERIES}
