"""Each check of `fleetgen validate` catches its fault, and a sound data set has none.

A small data set is made once; each case copies it and puts in exactly one fault, with pyarrow or
as text. Nothing of the package writes there.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from fleetgen import validate
from fleetgen.cli import main
from fleetgen.pipeline import generate
from tests import tiny
from tests.servers import ObjectServer

FLEET = {
    "REC-01": {"kind": "REC", "jars_per_string": 24, "strings": {"S1": "HX12-120"}},
    "UPS-01": {"kind": "UPS", "jars_per_string": 6, "strings": {"S1": "GPL12-100"}},
}
REC, UPS = "DC-T-01-REC-01-S1", "DC-T-01-UPS-01-S1"
CAPACITY_TEST = {
    "kind": "capacity_test",
    "target": UPS,
    "at": "2025-01-30T10:00:00",
    "duration_minutes": 360.0,
}
REPLACEMENT = {"kind": "replacement", "target": f"{UPS}-J03", "at": "2025-01-15T09:00:00"}
SETTINGS = {
    "run__start_date": "2025-01-01",
    "run__duration_days": 33,
    "run__sampling_seconds": 1800,
    "inject": [CAPACITY_TEST, REPLACEMENT],
    "alerts__resistance_increase": {"warning": 20.0},
}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set with sensor faults, a discharge, a replacement, a whole month, alerts."""
    return tiny.generate(tmp_path_factory.mktemp("sound") / "set", FLEET, **SETTINGS)


@pytest.fixture
def copy(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "set"))


def bad(path: Path) -> set[str]:
    """Checks that fell short."""
    return {each.name for each in validate.run(str(path), workers=1) if each.ok is False}


# --- faults ---------------------------------------------------------------------------------------


def part(path: Path, table: str, string: str = REC, n: int = 0) -> Path:
    below = "" if table == "telemetry_env" else f"string={string}/"
    return sorted((path / table).glob(f"*/{below}*/*.parquet"))[n]


def rewrite(file: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    table = pq.read_table(file, partitioning=None)
    pq.write_table(change(table).cast(table.schema), file)


def changed(table: pa.Table, column: str, values: object) -> pa.Table:
    field = table.schema.field(column)
    index = table.schema.get_field_index(column)
    return table.set_column(index, field.name, pa.array(values, field.type, from_pandas=True))


def numbers(table: pa.Table, column: str) -> np.ndarray:
    return table[column].to_numpy().astype(float).copy()


def in_part(
    table: str, change: Callable[[pa.Table], pa.Table], string: str = REC
) -> Callable[[Path], None]:
    return lambda path: rewrite(part(path, table, string), change)


def in_all(table: str, change: Callable[[pa.Table], pa.Table]) -> Callable[[Path], None]:
    def act(path: Path) -> None:
        for file in sorted((path / table).rglob("*.parquet")):
            rewrite(file, change)

    return act


def value(column: str, new: float, rows: slice = slice(100, 101)) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        values = numbers(table, column)
        values[rows] = new
        return changed(table, column, values)

    return change


def added(column: str, by: float, where: str = "", of: object = None) -> Callable[..., pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        values = numbers(table, column)
        rows = np.ones(len(values), bool)
        if where:
            rows = pc.equal(table[where], of).fill_null(False).to_numpy()
        values[rows] += by
        return changed(table, column, values)

    return change


def without_row(table: pa.Table) -> pa.Table:
    return pa.concat_tables([table.slice(0, 50), table.slice(51)])


def row_twice(table: pa.Table) -> pa.Table:
    return pa.concat_tables([table.slice(0, 51), table.slice(50)])


def rows_swapped(table: pa.Table) -> pa.Table:
    order = np.arange(len(table))
    order[[1, 2]] = [2, 1]
    return table.take(pa.array(order))


def off_the_clock(name: str) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        stamps = table[name].cast(pa.int64()).to_numpy().copy()
        stamps[1] += 1000
        index = table.schema.get_field_index(name)
        return table.set_column(index, name, pa.array(stamps).cast(table.schema.field(name).type))

    return change


def nothing(column: str) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        values = table[column].to_pylist()
        values[10] = None
        field = pa.field(column, table.schema.field(column).type, True)
        index = table.schema.get_field_index(column)
        return table.set_column(index, field, pa.array(values, field.type))

    return change


def null_in(table: str, column: str) -> Callable[[Path], None]:
    def act(path: Path) -> None:
        file = part(path, table)
        pq.write_table(nothing(column)(pq.read_table(file, partitioning=None)), file)

    return act


def rows_of(name: str, change: Callable[[list[dict[str, str]]], object]) -> Callable[[Path], None]:
    """Change the rows of a CSV file at the top."""

    def act(path: Path) -> None:
        with (path / f"{name}.csv").open(newline="") as file:
            reader = csv.DictReader(file)
            rows, names = list(reader), reader.fieldnames or []
        change(rows)
        with (path / f"{name}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(rows)

    return act


def states(change: Callable[[dict[str, dict[str, object]]], object]) -> Callable[[Path], None]:
    def act(path: Path) -> None:
        file = path / "battery_states.json"
        there = json.loads(file.read_text())
        change(there)
        file.write_text(json.dumps(there))

    return act


def lost(name: str) -> Callable[[Path], None]:
    return lambda path: (path / name).unlink()


def broken(path: Path) -> None:
    file = part(path, "telemetry_string_calc")
    file.write_bytes(file.read_bytes()[:-100])


def rising(table: pa.Table) -> pa.Table:
    values = numbers(table, "soh_pct")
    values[200:260] += 0.01
    return changed(table, "soh_pct", values)


def flat(table: pa.Table) -> pa.Table:
    return changed(table, "soh_pct", np.full(len(table), 95.0))


def no_alert_of(kind: str) -> Callable[[list[dict[str, str]]], object]:
    def change(rows: list[dict[str, str]]) -> None:
        assert any(row["alert_type"] == kind for row in rows)
        rows[:] = [row for row in rows if row["alert_type"] != kind]

    return change


SAMPLED = (
    ("telemetry_jar_raw", "ts", REC),
    ("telemetry_jar_calc", "ts", REC),
    ("telemetry_string_raw", "ts", UPS),
    ("telemetry_string_calc", "ts", UPS),
    ("telemetry_env", "ts", REC),
    ("feature_store", "feature_ts", REC),
    ("rul_truth", "ts", UPS),
)

FAULTS: dict[str, tuple[str, Callable[[Path], object]]] = {
    **{
        f"row missing in {t}": (f"rows.{t}", in_part(t, without_row, s)) for t, _, s in SAMPLED[:-1]
    },
    **{f"gap in {t}": (f"complete.{t}", in_part(t, without_row, s)) for t, _, s in SAMPLED[:-1]},
    **{f"row twice in {t}": (f"keys.{t}", in_part(t, row_twice, s)) for t, _, s in SAMPLED[:-1]},
    **{f"rows swapped in {t}": (f"time.{t}", in_part(t, rows_swapped, s)) for t, _, s in SAMPLED},
    **{
        f"off the clock: {t}": (f"time.{t}", in_part(t, off_the_clock(c), s)) for t, c, s in SAMPLED
    },
    "day missing in rul_truth": ("complete.rul_truth", in_part("rul_truth", lambda t: t.slice(1))),
    "alert condition twice": (
        "keys.alert_condition",
        in_part("alert_condition", lambda t: pa.concat_tables([t, t.slice(0, 1)])),
    ),
    "file missing": ("files", lambda path: part(path, "telemetry_jar_calc").unlink()),
    "file cut short": ("files", broken),
    "closing file missing": ("files.closing", lost("split.csv")),
    "closing file of another table": (
        "files.closing",
        lambda path: shutil.copy(path / "string.csv", path / "alert.csv"),
    ),
    "instant that is none": (
        "files.closing",
        rows_of("maintenance_event", lambda rows: rows[0].update(started_at="noon")),
    ),
    "instant without an offset": (
        "files.closing",
        rows_of("maintenance_event", lambda rows: rows[0].update(started_at="2025-01-03T09:00:00")),
    ),
    "resistance without a number": (
        "files.closing",
        rows_of("battery", lambda rows: rows[0].update(initial_resistance_mohm="nan")),
    ),
    "state without a number": (
        "files.closing",
        states(lambda s: s[f"{REC}-J01"].update(soh_pct=float("nan"))),
    ),
    "state beyond all numbers": (
        "files.closing",
        states(lambda s: s[f"{REC}-J01"].update(soh_pct=10**400)),
    ),
    "states that are none": (
        "files.closing",
        lambda path: (path / "battery_states.json").write_text("[1]"),
    ),
    "jar at 90 V": (
        "impossible.telemetry_jar_raw",
        in_part("telemetry_jar_raw", value("voltage_v", 90.0)),
    ),
    "jar at no finite voltage on float": (
        "impossible.telemetry_jar_raw",
        in_part("telemetry_jar_raw", value("voltage_v", float("inf"))),
    ),
    "all jars at no finite voltage": (
        "voltage.float",
        in_all("telemetry_jar_raw", value("voltage_v", float("inf"), slice(None))),
    ),
    "string at no finite voltage": (
        "impossible.telemetry_string_raw",
        in_all("telemetry_string_raw", value("voltage_v", float("-inf"), slice(None))),
    ),
    "power of no finite voltage": (
        "power",
        in_part("telemetry_string_raw", value("voltage_v", float("inf"))),
    ),
    "discharge of no finite current": (
        "impossible.telemetry_string_raw",
        in_all("telemetry_string_raw", added("current_a", float("-inf"), "mode", "discharge")),
    ),
    "charge without a number": (
        "impossible.telemetry_jar_calc",
        in_all("telemetry_jar_calc", value("soc_pct", float("inf"), slice(None))),
    ),
    "health without a number": (
        "impossible.telemetry_jar_calc",
        in_all("telemetry_jar_calc", value("soh_pct", float("inf"), slice(-1, None))),
    ),
    "jar without a number": (
        "impossible.telemetry_jar_raw",
        in_part("telemetry_jar_raw", value("temperature_c", float("inf"))),
    ),
    "SOC of 101 %": (
        "impossible.telemetry_jar_calc",
        in_part("telemetry_jar_calc", value("soc_pct", 101.0)),
    ),
    "SOH is null": ("impossible.telemetry_jar_calc", null_in("telemetry_jar_calc", "soh_pct")),
    "string at 2 kV": (
        "impossible.telemetry_string_raw",
        in_part("telemetry_string_raw", value("voltage_v", 2000.0)),
    ),
    "mode unheard of": (
        "impossible.telemetry_string_raw",
        in_part(
            "telemetry_string_raw",
            lambda t: changed(t, "mode", ["limbo", *t["mode"].to_pylist()[1:]]),
        ),
    ),
    "THD of 300 %": (
        "impossible.telemetry_string_calc",
        in_part("telemetry_string_calc", value("thd_pct", 300.0)),
    ),
    "humidity of 130 %": (
        "impossible.telemetry_env",
        in_part("telemetry_env", value("humidity_pct", 130.0)),
    ),
    "feature without a number": (
        "impossible.feature_store",
        in_part("feature_store", value("v_mean", float("inf"))),
    ),
    "SOH of 150 % in the truth": (
        "impossible.rul_truth",
        in_part("rul_truth", value("soh_pct", 150.0)),
    ),
    "jars at 11 V": ("voltage", in_all("telemetry_jar_raw", added("voltage_v", -2.6))),
    "jars at 60 degC": ("temperature", in_all("telemetry_jar_raw", added("temperature_c", 30.0))),
    "jars float at 14.6 V": ("voltage.float", in_all("telemetry_jar_raw", added("voltage_v", 1.1))),
    "jars above 13.8 V in discharge": (
        "voltage.discharge",
        in_all("telemetry_jar_raw", added("voltage_v", 3.5)),
    ),
    "discharge that charges": (
        "current.discharge",
        in_all("telemetry_string_raw", added("current_a", 200.0, "mode", "discharge")),
    ),
    "flag of no equalising charge": (
        "equalize_flag",
        in_part(
            "telemetry_string_raw",
            lambda t: changed(t, "equalize_flag", [True, *t["equalize_flag"].to_pylist()[1:]]),
        ),
    ),
    "power of another row": ("power", in_part("telemetry_string_calc", value("power_w", 5000.0))),
    "conductance of another reading": (
        "conductance",
        in_part("telemetry_jar_raw", added("conductance_s", 5.0)),
    ),
    "string 10 V above its jars": (
        "kirchhoff.level",
        in_part("telemetry_string_raw", added("voltage_v", 10.0)),
    ),
    "jar 2 V off for an hour": (
        "kirchhoff.change",
        in_part("telemetry_jar_raw", value("voltage_v", 15.5, slice(400, 402))),
    ),
    "charge out of nothing": (
        "charge",
        in_all("telemetry_string_raw", added("current_a", 15.0, "mode", "discharge")),
    ),
    "SOH rises": ("soh.rises", in_part("telemetry_jar_calc", rising)),
    "SOH stands still": ("soh.worn", in_all("telemetry_jar_calc", flat)),
    "final state of another day": (
        "soh.states",
        states(lambda s: s[f"{REC}-J01"].update(soh_pct=80.0)),
    ),
    "remaining life stands still": (
        "truth.countdown",
        in_part("rul_truth", value("rul_days", 500.0)),
    ),
    "jars float at 14.1 V": (
        "mean.float_voltage",
        in_all("telemetry_jar_raw", added("voltage_v", 0.55)),
    ),
    "jars at 37 degC": (
        "mean.jar_temperature",
        in_all("telemetry_jar_raw", added("temperature_c", 12.0)),
    ),
    "room at 34 degC": (
        "mean.room_temperature",
        in_all("telemetry_env", added("temperature_c", 9.0)),
    ),
    "jars 12 K above the room": (
        "mean.temperature_rise",
        in_all("feature_store", added("t_delta_ambient_mean", 10.0)),
    ),
    **{
        f"row twice in {name}.csv": (f"keys.{name}", rows_of(name, lambda r: r.append(r[0])))
        for name in (
            *("location", "battery_model", "battery_system", "string", "battery", "split"),
            *("environmental_sensor", "anomaly", "maintenance_event", "alert", "rul_prediction"),
        )
    },
    "unit unknown": ("units", rows_of("battery", lambda rows: rows.pop())),
    "unit without a state": ("units.states", states(lambda s: s.pop(f"{REC}-J02"))),
    **{
        f"too many of {name}": (
            f"profile.{name}",
            states(lambda s, name=name: [each.update(profile=name) for each in s.values()]),
        )
        for name in ("accelerated", "failing")
    },
    "nobody healthy": (
        "profile.healthy",
        states(lambda s: [each.update(profile="failing") for each in s.values()]),
    ),
    "worn out fleet": ("mean.soh", states(lambda s: [e.update(soh_pct=70.0) for e in s.values()])),
    "failures undone": (
        "failed.grows",
        in_part("rul_truth", lambda t: changed(t, "rul_days", np.zeros(len(t)))),
    ),
    "failure without a date": (
        "failed.dates",
        states(lambda s: s[f"{REC}-J01"].update(failed=True, failure_date=None)),
    ),
    "alert missing": ("alerts.raised", rows_of("alert", no_alert_of("resistance_increase"))),
    "alert of nothing": (
        "alerts.founded",
        rows_of("alert", lambda rows: rows[0].update(alert_type="ripple_current")),
    ),
    "alerts of sound jars": (
        "alerts.degraded",
        rows_of(
            "alert",
            lambda rows: rows.extend(
                {**rows[0], "alert_id": f"{n}", "battery_id": f"{UPS}-J01", "string_id": UPS}
                for n in range(200)
            ),
        ),
    ),
    "work of last year": (
        "maintenance.within",
        rows_of(
            "maintenance_event", lambda rows: rows[0].update(started_at="2024-12-01T09:00:00+07:00")
        ),
    ),
    "inspection missing": (
        "maintenance.inspections",
        rows_of(
            "maintenance_event",
            lambda rows: rows.remove(next(r for r in rows if r["event_type"] == "inspection")),
        ),
    ),
    "truth in a feature": (
        "leak.feature_store",
        in_all("feature_store", added("r_internal_latest", 0.5)),
    ),
    "alert condition that nobody measured": (
        "leak.alert_condition",
        in_all("alert_condition", lambda t: changed(t, "extreme", numbers(t, "extreme") + 1)),
    ),
    "alert that nobody measured": (
        "leak.alert",
        rows_of("alert", lambda rows: [row.update(value="99") for row in rows]),
    ),
    "prediction by the truth": (
        "leak.rul_prediction",
        rows_of("rul_prediction", lambda rows: [row.update(rul_days="1") for row in rows]),
    ),
}


def test_a_sound_data_set_has_none(sound: Path) -> None:
    found = validate.run(str(sound), workers=1)
    assert [(each.name, each.value, each.example) for each in found if each.ok is False] == []
    assert {each.name for each in found if each.ok is None} <= {
        "voltage.equalize",
        "voltage.boost",
        "voltage.idle",
        "alerts.degraded",
    }


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_caught_by_its_check(copy: Path, fault: str) -> None:
    check, act = FAULTS[fault]
    act(copy)
    assert check in bad(copy)


@pytest.mark.slow
def test_the_queries_give_the_values(sound: Path) -> None:
    """SQL by another reader over all rows at once: the oracle of what was added up by part."""
    with duckdb.connect() as connection:
        connection.sql("SET TimeZone = 'Asia/Bangkok'")
        compared = set()
        for each in validate.run(str(sound), workers=1):
            if each.value is not None and each.query.startswith(("SELECT", "WITH")):
                ((value,),) = connection.sql(each.query).fetchall() or ((None,),)
                assert value == pytest.approx(each.value, rel=1e-5, abs=1e-5), each.name
                compared.add(each.name)
    assert len(compared) > 60
    assert {"kirchhoff.level", "voltage.float", "soh.rises", "power", "conductance"} <= compared


def test_the_command_tells_and_exits(
    copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "checks.json"
    words = ["validate", str(copy), "--progress", "none", "--workers", "1", "--json", str(file)]
    assert main(words) == 0
    out = capsys.readouterr().out
    checks = json.loads(file.read_text())
    judged = sum(check["ok"] is not None for check in checks)
    assert f"all {judged} checks hold" in out.splitlines()[-1]
    assert all({"name", "value", "band", "query", "ok"} <= check.keys() for check in checks)
    part(copy, "telemetry_jar_calc").unlink()
    assert main(words) == 1
    assert "files: 1, must be = 0" in capsys.readouterr().out


def test_what_is_not_finite_is_told_as_text() -> None:
    endless = validate.Finding("power", "power", float("inf"), None, 1.0, "SELECT 1")
    lost = validate.Finding("mean", "mean", float("nan"), 0.0, 1.0, "SELECT 1")
    assert (endless.ok, lost.ok) == (False, False)
    assert "power: inf, must be <= 1: power" in validate.lines([endless, lost], "here")
    told = json.loads(json.dumps([endless.as_json(), lost.as_json()], allow_nan=False))
    assert [each["value"] for each in told] == ["inf", "nan"]


def test_findings_are_told_though_their_file_cannot_be_written(
    sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = str(tmp_path / "missing" / "checks.json")
    words = ["validate", str(sound), "--progress", "none", "--workers", "1", "--json", nowhere]
    assert main(words) == 3
    assert "checks hold" in capsys.readouterr().out


def test_what_is_not_finished_is_refused(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (copy / "_SUCCESS").unlink()
    assert main(["validate", str(copy), "--progress", "none"]) == 3
    assert "holds no finished data set" in capsys.readouterr().err


PRESETS: dict[str, dict[str, object]] = {
    "ideal sensors": {"scenario__sensor_errors": False, "scenario__sensor_faults": False},
    "clean": {"scenario__sensor_faults": False},
    "csv.gz": {"output__format": "csv.gz"},
    "one battery": {"select__limit_batteries": 1},
    "one hour": {"run__duration_days": 1 / 24, "run__sampling_seconds": 60},
    "windows of six hours": {"features__window_hours": 6},
    "off the day": {"run__duration_days": 2.3, "run__sampling_seconds": 7 * 60},
}


@pytest.mark.parametrize("preset", PRESETS)
def test_sound_data_of_all_kinds_are_told_sound(tmp_path: Path, preset: str) -> None:
    changes = {"run__duration_days": 4, "run__sampling_seconds": 900, **PRESETS[preset]}
    place = tiny.generate(tmp_path / "set", FLEET, **changes)
    found = validate.run(str(place), workers=1)
    assert [(each.name, each.value, each.example) for each in found if each.ok is False] == []
    assert sum(each.ok is True for each in found) > 60


def test_data_in_an_object_store(s3_url: str, object_store: ObjectServer) -> None:
    place = {"endpoint_url": object_store.endpoint}
    generate(tiny.config(output__directory=s3_url, output__storage_options=place))
    options = [f"endpoint_url={object_store.endpoint}"]
    found = validate.run(s3_url, workers=1, storage_options=options)
    assert [each.name for each in found if each.ok is False] == []


def test_on_two_processes_as_in_this_one(sound: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = validate.run(str(sound), workers=1)
    monkeypatch.setattr("fleetgen.pipeline.SMALL_RUN_ROWS", 0)
    assert validate.run(str(sound), workers=2) == here


def test_each_check_has_its_fault(sound: Path) -> None:
    """But for keys and ranges of tables of things that happen, which are those of others."""
    names = {each.name for each in validate.run(str(sound), workers=1)}
    caught = {check for check, _ in FAULTS.values()}
    assert caught <= names
    rest = {name for name in names - caught if not name.startswith(("keys.", "impossible."))}
    assert rest <= {"voltage.equalize", "voltage.boost", "voltage.idle", "rows.rul_truth"}
