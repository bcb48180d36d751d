"""Sensor faults change what is reported within the episodes of `anomaly`, and nothing else."""

import csv
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from fleetgen import simulate
from fleetgen.model import faults
from fleetgen.plan import make_plan
from fleetgen.schema import TABLES
from fleetgen.spec import Block, Injection, Scenario
from fleetgen.system import system_model
from fleetgen.world import world
from tests.conftest import Make
from tests.properties.plan import (
    CLEAN,
    IDEAL,
    PLANNED,
    SAMPLED,
    Changes,
    DataSet,
    configured,
    differing,
    generated,
    position,
)

FIRST_S = 1_708_880_400  # 2024-02-26T00:00+07:00
DAY_S = 86_400
OFTEN = 20.0
STRING = "NORTH-REC-01-S1"


def event(kind: str, target: str, channel: str, start_s: int, length_s: int) -> Injection:
    return Injection("sensor_fault", target, FIRST_S + start_s, length_s, kind, channel)


FAULTY = replace(
    PLANNED,
    injections=(
        *PLANNED.injections,
        # What got stuck in one block is stuck in the next ones; before the run, at its start.
        event("stuck", "NORTH-REC-01-S1-J03", "voltage_v", DAY_S - 7_777, 2 * DAY_S),
        event("stuck", "NORTH-REC-01-S1-J04", "resistance_mohm", DAY_S - 7_777, 3 * DAY_S),
        event("stuck", "NORTH-REC-01-S1-J05", "temperature_c", -5_000, DAY_S + 10_000),
        event("stuck", "NORTH-REC-01-S2", "current_a", DAY_S - 1_003, DAY_S),
        event("stuck", "NORTH-REC-01-S2", "float_current_a", 1_003, 2 * DAY_S),
        event("stuck", "NORTH-UPS-01-S1", "voltage_v", -1, 2 * DAY_S),
        event("stuck", "NORTH-ENV-01", "temperature_c", DAY_S - 1_003, 2 * DAY_S),
        event("dropout", "NORTH-ENV-01", "temperature_c", DAY_S + 5, 4_000),
        event("spike", "NORTH-REC-01-S1-J06", "voltage_v", 3_000, 1),
        event("drift", "NORTH-REC-01-S1-J07", "temperature_c", -DAY_S, 6 * DAY_S),
        event("offset", "NORTH-REC-01-S1-J08", "temperature_c", 100, 9 * DAY_S),
        event("offset", "NORTH-ENV-01", "temperature_c", 3 * DAY_S, DAY_S),
        event("loose_lead", "NORTH-REC-01-S1-J09", "voltage_v", 2 * DAY_S, DAY_S),
        # A lead that is loose when the channel gets stuck, and silent meanwhile.
        event("loose_lead", "NORTH-REC-01-S1-J10", "voltage_v", DAY_S, DAY_S),
        event("stuck", "NORTH-REC-01-S1-J10", "voltage_v", 2 * DAY_S - 333, DAY_S),
        event("stuck", "NORTH-REC-01-S1-J10", "resistance_mohm", 2 * DAY_S - 333, DAY_S),
        event("dropout", "NORTH-REC-01-S1-J10", "voltage_v", 2 * DAY_S + 500, 2_000),
        event("communication_loss", "SOUTH-UPS-01-S1", "", 2 * DAY_S - 1_800, 3_600),
        event("communication_loss", "NORTH-REC-01-S1", "", 3 * DAY_S + 70_000, 20_000),
    ),
)


def often(patch: pytest.MonkeyPatch) -> None:
    """Let drawn faults come twenty times as often."""
    for name in ("JAR", "UPS_STRING", "RECTIFIER_STRING", "ROOM"):
        family = getattr(faults, name)
        laws = family.laws.copy()
        laws[:, faults.Law._fields.index("mean_gap_s")] /= OFTEN
        patch.setattr(faults, name, family._replace(laws=laws))


Faulty = Callable[..., DataSet]


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faulty]:
    made: dict[str, DataSet] = {}

    def make(changes: Changes | None = None, scenario: Scenario = FAULTY) -> DataSet:
        key = repr((changes, scenario))
        if key not in made:
            made[key] = generated(tmp_path_factory.mktemp("data") / "set", changes, scenario)
        return made[key]

    with pytest.MonkeyPatch.context() as patch:
        often(patch)
        yield make


def anomalies(made: DataSet) -> list[dict[str, Any]]:
    with (made.path / "anomaly.csv").open(newline="") as file:
        rows: list[dict[str, Any]] = list(csv.DictReader(file))
    for row in rows:
        for end in ("start", "end"):
            row[f"{end}_s"] = int(datetime.fromisoformat(row[f"{end}_ts"]).timestamp())
        row["magnitude"] = float(row["magnitude"]) if row["magnitude"] else None
    return rows


COMPUTED = {"conductance_s": ("resistance_mohm",), "power_w": ("voltage_v", "current_a")}


def covering(
    every: list[dict[str, Any]], table: str, entity: str, column: str
) -> list[dict[str, Any]]:
    """Episodes that may change a column of an entity, by the words of the data dictionary."""
    declared = TABLES[table]
    if declared.role == "truth" or declared.column(column).kind == "bool":
        return []
    channels = COMPUTED.get(column, (column,))
    string = entity.rpartition("-J")[0] or entity
    return [
        row
        for row in every
        if (row["entity_id"] == position(entity) and row["channel"] in channels)
        or (row["entity_id"] == string and row["kind"] == "communication_loss")
    ]


def cells(made: DataSet, table: str) -> Iterator[tuple[str, str, np.ndarray, list[Any]]]:
    """Entity, column, instants [s] and values."""
    rows = made.read(table)
    stamp, key = TABLES[table].key
    for entity in pc.unique(rows[key]).to_pylist():
        own = rows.filter(pc.equal(rows[key], entity))
        seconds = pc.cast(own[stamp], pa.int64()).to_numpy() // 1000
        for column in own.column_names:
            if column not in (stamp, key):
                yield entity, column, seconds, own[column].to_pylist()


@pytest.mark.parametrize("table", SAMPLED)
def test_runs_differ_only_within_listed_episodes(
    faulty: Faulty, clean: DataSet, table: str
) -> None:
    every = anomalies(faulty())
    pairs = zip(cells(faulty(), table), cells(clean, table), strict=True)
    kinds: Counter[str] = Counter()
    for (entity, column, seconds, found), (*same, _, true) in pairs:
        assert same == [entity, column]
        differs = np.array([a != b for a, b in zip(found, true, strict=True)])
        null = np.array([a is None for a in found])
        listed = np.zeros(len(seconds), bool)
        for row in covering(every, table, entity, column):
            inside = (seconds >= row["start_s"]) & (seconds < row["end_s"])
            listed |= inside
            kinds[row["kind"]] += int((inside & differs).sum())
            if row["kind"] in ("dropout", "communication_loss"):
                assert null[inside].all(), (entity, column, row)
        assert not (differs & ~listed).any(), (entity, column, seconds[differs & ~listed] - FIRST_S)
    wanted = {
        "telemetry_jar_raw": {*faults.KINDS},
        "telemetry_jar_calc": set(),
        "telemetry_string_raw": {"stuck", "dropout", "communication_loss"},
        "telemetry_string_calc": {"stuck", "dropout", "communication_loss"},
        "telemetry_env": {"stuck", "dropout", "offset"},
    }
    assert {kind for kind, count in kinds.items() if count} == wanted[table]


def value_at(made: DataSet, table: str, entity: str, column: str, instant_s: int) -> Any:
    for name, other, seconds, values in cells(made, table):
        if (name, other) == (entity, column):
            return values[seconds.tolist().index(instant_s)]
    raise KeyError(entity)


@pytest.mark.parametrize(
    "stuck", [e for e in FAULTY.injections if e.value == "stuck"], ids=lambda e: e.target
)
def test_a_stuck_channel_repeats_its_reading_of_that_second(
    faulty: Faulty, stuck: Injection
) -> None:
    """What that is, a run tells that has a sample there, with all faults but this."""
    others = tuple(e for e in FAULTY.injections if e.value != "stuck")
    since_s = max(0, stuck.start_s - FIRST_S)
    changes: Changes = {
        "run.sampling_seconds": max(1, since_s),
        "run.duration_days": max(1, since_s + 1) / DAY_S,
    }
    table = {"E": "telemetry_env", "J": "telemetry_jar_raw", "S": "telemetry_string_raw"}
    name = table[stuck.target.rpartition("-")[2][0].replace("0", "E")]
    reference = faulty(changes, Scenario(injections=others))
    expected = value_at(reference, name, stuck.target, stuck.channel, FIRST_S + since_s)
    assert expected is not None
    dropouts = [
        row
        for row in covering(anomalies(faulty()), name, stuck.target, stuck.channel)
        if row["kind"] != "stuck"
    ]
    shown = 0
    for entity, column, seconds, values in cells(faulty(), name):
        if (entity, column) != (stuck.target, stuck.channel):
            continue
        for t, value in zip(seconds.tolist(), values, strict=True):
            if stuck.start_s <= t < stuck.start_s + stuck.duration_s and value is not None:
                assert value == expected, t - FIRST_S
                shown += 1
    assert shown > 200
    assert len(dropouts) >= 1


# --- promises, with faults ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"execution.block_days": 3},
        {"execution.block_days": None},
        {"output.writer": "pyarrow"},
    ],
)
def test_blocks_and_writers_give_the_same(faulty: Faulty, changes: Changes) -> None:
    other = faulty(changes)
    assert differing(faulty().digests, other.digests) == []
    assert (other.path / "anomaly.csv").read_bytes() == (faulty().path / "anomaly.csv").read_bytes()
    for name in (*SAMPLED, "feature_store"):
        assert other.read(name).equals(faulty().read(name)), name


@pytest.mark.parametrize(("interval", "common"), [(60, 300), (7, 2_100)])
def test_common_instants_have_common_values(faulty: Faulty, interval: int, common: int) -> None:
    changes: Changes = {"run.duration_days": 3, "select.strings": STRING}
    other = faulty({**changes, "run.sampling_seconds": interval})
    for table in SAMPLED:
        expected, found = (at(made.read(table), common) for made in (faulty(changes), other))
        assert expected.num_rows > 100
        assert found.equals(expected), table


def at(rows: pa.Table, every_s: int) -> pa.Table:
    """Rows at instants that are a multiple of `every_s` after the start."""
    since_s = pc.cast(rows["ts"], pa.int64()).to_numpy() // 1000 - FIRST_S
    return rows.filter(pa.array(since_s % every_s == 0))


def test_a_short_run_is_the_beginning_of_a_long_one(faulty: Faulty) -> None:
    short = faulty({"run.duration_days": 4})
    assert differing(short.digests, faulty().digests, short.digests) == []
    long_rows, short_rows = anomalies(faulty()), anomalies(short)
    assert short_rows == [r for r in long_rows if r["start_s"] < FIRST_S + 4 * DAY_S]
    assert len(short_rows) < len(long_rows)


def test_a_selection_has_the_rows_of_the_whole(faulty: Faulty) -> None:
    few = faulty({"select.strings": STRING, "select.limit_batteries": 10})
    jars = pc.unique(few.read("telemetry_jar_raw")["battery_id"]).to_pylist()
    assert len(jars) == 10
    for table in ("telemetry_jar_raw", "feature_store"):
        assert few.read(table).equals(faulty().read(table, jars)), table
    for table in ("telemetry_string_raw", "telemetry_string_calc"):
        assert few.read(table).equals(faulty().read(table, [STRING])), table
    entities = {*jars, STRING, "NORTH-ENV-01", "NORTH"}
    assert anomalies(few) == [r for r in anomalies(faulty()) if r["entity_id"] in entities]


def test_the_slow_path_does_not_see_faults() -> None:
    for job in make_plan(configured("unused"), "unused").slow_paths:
        paths = [
            simulate.slow_path(
                system_model(job.run.seed, job.location, job.system, job.run.grid, scenario)
            ).arrays()
            for scenario in (FAULTY, CLEAN)
        ]
        for name, array in paths[0].items():
            unknown = array.dtype.kind == "f"  # NaN
            assert np.array_equal(array, paths[1][name], equal_nan=unknown), name


def test_final_states_do_not_see_faults(faulty: Faulty, clean: DataSet) -> None:
    assert faulty().states == clean.states


# --- the table ------------------------------------------------------------------------------------


def test_the_table_lists_what_is_injected_and_what_is_drawn(faulty: Faulty) -> None:
    rows = anomalies(faulty())
    assert len({row["anomaly_id"] for row in rows}) == len(rows)
    for row in rows:
        start = row["start_ts"]
        parts = (row["entity_id"], row["channel"] or "all", row["kind"], start)
        assert row["anomaly_id"] == "/".join(parts)
        assert start.endswith("+07:00")
        assert row["end_s"] > max(FIRST_S, row["start_s"])
        assert row["start_s"] < FIRST_S + 6 * DAY_S
    injected = Counter(
        (row["entity_id"], row["kind"], row["channel"], row["start_s"], row["end_s"])
        for row in rows
        if row["injected"] == "true"
    )
    leads = [e for e in FAULTY.injections if e.value == "loose_lead"]
    wanted = [(e, e.channel) for e in FAULTY.injections if e.kind != "replacement"]
    wanted += [(e, "resistance_mohm") for e in leads]
    assert injected == Counter(
        (e.target, e.value or e.kind, channel, e.start_s, e.start_s + e.duration_s)
        for e, channel in wanted
    )
    drawn = Counter(row["kind"] for row in rows if row["injected"] == "false")
    assert {*drawn} == {*faults.KINDS}
    spikes = 74 * 6 * 24 * 0.007 * OFTEN
    assert abs(drawn["spike"] - spikes) < 5 * np.sqrt(spikes)


def test_other_events_are_listed_when_they_touch_the_run_and_a_selected_entity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other(kind: Any, target: str, value: str, start_s: int, length_s: int) -> Injection:
        return Injection(kind, target, FIRST_S + start_s, length_s, value)

    listed = (
        other("outage", "NORTH", "", 3_600, 60),
        other("hvac_failure", "NORTH", "", -DAY_S, 2 * DAY_S),
        other("failure_mode", "NORTH-REC-01-S1-J01", "dry_out", 0, 90 * DAY_S),
    )
    unlisted = (
        other("outage", "SOUTH", "", 3_600, 60),
        other("outage", "NORTH", "", -DAY_S, DAY_S),
        other("outage", "NORTH", "", DAY_S, 60),
        other("failure_mode", "NORTH-REC-01-S2-J01", "dry_out", 0, 90 * DAY_S),
    )
    scenario = Scenario(sensor_faults=False, injections=(*listed, *unlisted))
    made = generated(
        tmp_path / "set",
        {"run.duration_days": 1, "run.sampling_seconds": 3600, "select.strings": STRING},
        scenario,
    )
    rows = anomalies(made)
    assert [
        (r["entity_id"], r["kind"], r["channel"], r["start_s"], r["end_s"], r["injected"])
        for r in rows
    ] == [
        (e.target, e.value or e.kind, "", e.start_s, e.start_s + e.duration_s, "true")
        for e in listed
    ]


def test_a_clean_run_has_no_anomaly_but_what_is_injected(clean: DataSet) -> None:
    assert [r["kind"] for r in anomalies(clean)] == ["hvac_failure", "capacity_test"]
    for table in SAMPLED:
        for entity, column, _, values in cells(clean, table):
            if column not in ("float_current_a", "thd_pct"):
                assert None not in values, (entity, column)


# --- ideal sensors --------------------------------------------------------------------------------


def test_ideal_voltages_add_up_but_for_rounding(make: Make) -> None:
    ideal = make(scenario=IDEAL)
    for string, jars in (("NORTH-REC-01-S1", 24), ("SOUTH-UPS-01-S1", 8)):
        names = [f"{string}-J{n:02d}" for n in range(1, jars + 1)]
        total = ideal.values("telemetry_jar_raw", "voltage_v", names).sum(axis=0)
        measured = ideal.values("telemetry_string_raw", "voltage_v", [string])[0]
        assert np.abs(total - measured).max() <= jars * 0.0005 + 0.005 + 1e-4


def between(values: np.ndarray, row: np.ndarray, part: np.ndarray) -> np.ndarray:
    inside: np.ndarray = values[row] + part * (values[row + 1] - values[row])
    return inside


def test_ideal_sensors_read_the_physics(make: Make) -> None:
    ideal = make(scenario=IDEAL)
    for job in make_plan(configured("unused"), "unused").slow_paths:
        grid, seed = job.run.grid, job.run.seed
        model = system_model(seed, job.location, job.system, grid, IDEAL)
        assert (model.constants.reading_gain == 1.0).all()
        assert (model.constants.reading_noise == 0.0).all()
        path = simulate.slow_path(model)
        block = Block(grid.first_day, grid.end_day)
        around = world(seed, job.location, grid, block, IDEAL)
        for s, string in enumerate(job.system.strings):
            played = simulate.replay(model, path, s, around, block)
            instants = FIRST_S + 300 * np.arange(6 * 288)
            # Rows at one instant: the last holds. Between rows there is no sample of 300 s but
            # in a discharge, where values are linear.
            row = np.searchsorted(played.t_s, instants, side="right") - 1
            part = (instants - played.t_s[row]) / np.maximum(
                1, played.t_s[row + 1] - played.t_s[row]
            )

            found = ideal.values("telemetry_string_raw", "current_a", [string.string_id])[0]
            assert np.abs(found - between(played.replay.current_a, row, part)).max() <= 0.005 + 1e-5
            volts, degrees = (
                ideal.values("telemetry_jar_raw", column, string.jar_ids)
                for column in ("voltage_v", "temperature_c")
            )
            for j in range(len(string.jar_ids)):
                jar_v = between(played.replay.jar_v[j], row, part)
                jar_c = between(played.replay.jar_c[j], row, part)
                assert np.abs(volts[j] - jar_v).max() <= 0.0005 + 1e-5
                assert np.abs(degrees[j] - jar_c).max() <= 0.05 + 1e-5
        room = ideal.values("telemetry_env", "temperature_c")
        minutes = np.arange(0, 1440, 5)
        places = ["NORTH", "SOUTH"]
        own = room[places.index(job.location.location_id)].reshape(6, 288)
        assert np.abs(own - around.room_c[:, minutes]).max() <= 0.05 + 1e-5
