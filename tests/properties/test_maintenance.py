"""Tables of maintenance are true of the run: recomputed from files, by pandas alone."""

import csv
import json
from datetime import datetime

import numpy as np
import pandas as pd
import pytest

from tests.conftest import Make
from tests.properties.plan import CAPACITY_TEST, REPLACEMENT, Changes, DataSet, differing, position

OLD, NEW = "NORTH-UPS-01-S1-J03", "NORTH-UPS-01-S1-J03-R2"
AT = pd.Timestamp("2024-02-28T01:00:00+07:00")
IDEAL: Changes = {"select.strings": "NORTH-UPS-01-S1"}


def frame(made: DataSet, name: str) -> pd.DataFrame:
    return made.read(name).to_pandas()


def rows_of(made: DataSet, name: str) -> list[dict[str, str]]:
    with (made.path / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def events(made: DataSet, kind: str) -> list[dict[str, str]]:
    return [row for row in rows_of(made, "maintenance_event") if row["event_type"] == kind]


# --- a new unit -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["telemetry_jar_raw", "telemetry_jar_calc", "feature_store", "rul_truth"]
)
def test_a_position_has_one_unit_at_each_instant(whole: DataSet, name: str) -> None:
    table = frame(whole, name)
    stamp = "feature_ts" if name == "feature_store" else "ts"
    mine = table[table["battery_id"].map(position) == OLD]
    assert not mine.duplicated(stamp).any()
    others = table[table["battery_id"] == "NORTH-UPS-01-S1-J04"]
    assert set(mine[stamp]) == set(others[stamp])
    # The features of a window belong to the unit that was there in it.
    since = mine[stamp] - pd.Timedelta(hours=1 if name == "feature_store" else 0)
    assert (mine["battery_id"] == np.where(since >= AT, NEW, OLD)).all()
    assert set(mine["battery_id"]) == {OLD, NEW}


def test_the_telemetry_shows_the_new_unit(whole: DataSet) -> None:
    """Healthy at once, of another resistance; the string was idle for the hour before."""
    calc = frame(whole, "telemetry_jar_calc")
    calc = calc[calc["battery_id"].isin([OLD, NEW])].set_index("ts")["soh_pct"]
    before, after = calc[calc.index < AT].iloc[-1], calc[calc.index >= AT].iloc[0]
    assert calc.index[calc.index >= AT][0] == AT
    assert before < 96 < 99 < after
    raw = frame(whole, "telemetry_jar_raw")
    raw = raw[raw["battery_id"].isin([OLD, NEW])].set_index("ts")["resistance_mohm"].dropna()
    assert raw[raw.index < AT].iloc[-1] / raw[raw.index >= AT].iloc[0] > 1.1
    strings = frame(whole, "telemetry_string_raw")
    mode = strings[strings["string_id"] == "NORTH-UPS-01-S1"].set_index("ts")["mode"]
    work = (mode.index >= AT - pd.Timedelta(hours=1)) & (mode.index < AT)
    assert set(mode[work]) == {"idle"}
    assert mode[AT] == "float"
    assert mode[AT - pd.Timedelta(minutes=65)] == "float"


def test_battery_states_and_events_tell_the_same(whole: DataSet) -> None:
    battery = {row["battery_id"]: row for row in rows_of(whole, "battery")}
    assert battery.keys() == whole.states.keys()
    assert len(battery) == 74 + 1
    old, new = battery[OLD], battery[NEW]
    assert (old["status"], old["replaced_date"], old["replacement_of"]) == (
        "replaced",
        "2024-02-28",
        "",
    )
    assert (new["status"], new["replaced_date"], new["replacement_of"]) == ("in_service", "", OLD)
    assert new["installed_date"] == "2024-02-28"
    assert old["position_in_string"] == new["position_in_string"] == "3"
    (event,) = events(whole, "replacement")
    assert event["event_id"] == f"{OLD}/replacement/2024-02-28T00:00:00+07:00"
    assert (event["battery_id"], event["replacement_id"]) == (OLD, NEW)
    assert event["completed_at"] == "2024-02-28T01:00:00+07:00"
    assert event["cause"] == "injected"
    calc = frame(whole, "telemetry_jar_calc")
    last = calc[calc["battery_id"] == OLD]["soh_pct"].iloc[-1]
    assert whole.states[OLD]["soh_pct"] == pytest.approx(last, abs=0.005)
    assert whole.states[NEW]["calendar_age_days"] == 4.0


def test_remaining_life_falls_by_a_day_a_day(whole: DataSet) -> None:
    truth = frame(whole, "rul_truth")
    assert (truth["rul_censored"] == truth["rul_days"].isna()).all()
    assert (truth["eol_reason"].isna() == truth["rul_censored"]).all()
    for unit, rows in truth.groupby("battery_id"):
        days = rows["ts"].diff().dt.total_seconds().iloc[1:] / 86_400
        left = rows["rul_days"].diff().iloc[1:]
        alive = rows["rul_days"].iloc[1:] > 0
        assert np.allclose(left[alive], -days[alive], atol=2e-3), unit
        state = whole.states[str(unit)]
        end = AT if unit == OLD else pd.Timestamp("2024-03-03T00:00:00+07:00")
        since = (end - rows["ts"].iloc[-1]).total_seconds() / 86_400
        if state["rul_days"]:
            assert state["rul_days"] == pytest.approx(rows["rul_days"].iloc[-1] - since, abs=2e-3)


def test_a_replacement_changes_nothing_before_it_and_no_other_system(
    make: Make, whole: DataSet
) -> None:
    without = make({"inject": [e for e in whole_injections() if e["kind"] != "replacement"]})
    odd = differing(without.digests, whole.digests)
    assert {group for _, group, _ in odd} == {f"NORTH-UPS-01-S{n}" for n in (1, 2, 3)} & {
        group for _, group, _ in odd
    }
    assert "NORTH-UPS-01-S1" in {group for _, group, _ in odd}
    # Health is linear within a day, so nothing differs before the day of the swap.
    assert min(day for _, _, day in odd) == "2024-02-28"


def whole_injections() -> list[Changes]:
    from tests.properties.plan import HVAC_FAILURE

    return [HVAC_FAILURE, CAPACITY_TEST, REPLACEMENT]


@pytest.mark.parametrize("interval", [70, 3600])
def test_units_change_at_the_same_instant_whatever_the_sampling(make: Make, interval: int) -> None:
    made = make({**IDEAL, "run.sampling_seconds": interval, "run.duration_days": 4})
    raw = frame(made, "telemetry_jar_raw")
    mine = raw[raw["battery_id"].map(position) == OLD]
    assert (mine["battery_id"] == np.where(mine["ts"] >= AT, NEW, OLD)).all()


# --- capacity tests and impedance rounds ----------------------------------------------------------


def test_a_capacity_test_is_recomputed_from_its_log(whole: DataSet) -> None:
    """100 t_a / (t_r K_T), and who ended it."""
    log, calc = frame(whole, "capacity_test_raw"), frame(whole, "capacity_test_calc")
    assert set(log["test_id"]) == set(calc["test_id"])
    assert len(calc) == 6
    for row in calc.itertuples():
        mine = log[(log["battery_id"] == row.battery_id) & (log["test_id"] == row.test_id)]
        stamps = mine["ts"].sort_values()
        steps = stamps.diff().dt.total_seconds().iloc[1:-1]
        assert (steps == 60).all()
        seconds = (stamps.iloc[-1] - stamps.iloc[0]).total_seconds() + 1
        assert row.started_at == stamps.iloc[0]
        assert (row.ended_at - row.started_at).total_seconds() == seconds
        assert row.discharge_min == pytest.approx(seconds / 60, abs=1e-3)
        assert row.end_voltage_v == mine["voltage_v"].iloc[-1]
        degrees = float(mine["temperature_c"].iloc[0])
        assert row.start_temperature_c == pytest.approx(degrees)
        factor = 1 + (0.0056 if degrees < 25 else 0.0020) * (degrees - 25)
        assert row.temperature_factor == pytest.approx(factor, abs=6e-5)
        assert row.capacity_pct == pytest.approx(
            100 * seconds / (rated_hours(100.0) * 3600 * factor), abs=0.02
        )
        assert mine["current_a"].mean() == pytest.approx(-25, rel=0.02)
    lowest = calc["end_voltage_v"].idxmin()
    ended = calc["end_voltage_v"] <= 10.5
    ended[lowest] = True
    assert (calc["capacity_censored"] == ~ended).all()
    for row in calc.itertuples():
        good, censored = row.capacity_pct >= 90, row.capacity_censored
        expected = "pass" if good else None if censored else "marginal"
        assert row.result == expected


def rated_hours(c10: float) -> float:
    """Hours of a new jar of type A at 0.25 C10 to 10.5 V, 25 degC (PHYSICS 2.1)."""
    amperes, capacity = 0.25 * c10, 2.009 * c10 / (1 + (0.25 / 0.196) ** 0.446)
    low, high = 1.0, 0.999 * capacity / amperes
    for _ in range(60):
        charge = amperes * (low + high) / 2
        x = charge / capacity
        log = np.log10(1.3 + 4.9 * (1 - charge / (1.2 * c10)))
        ocv = 1.9228 + 0.147519 * log + 0.063552 * log**2 + 0.073772 * log**3 + 0.033612 * log**4
        volts = 6 * (ocv - 0.0380 * x / (1 - x)) - amperes * 5.91e-3 * 100 / c10
        low, high = ((low + high) / 2, high) if volts > 10.5 else (low, (low + high) / 2)
    return low


def test_the_telemetry_shows_the_capacity_test(whole: DataSet) -> None:
    """The string discharges from its start to its end; both monitors saw the same voltages."""
    (event,) = events(whole, "capacity_test")
    start, end = (datetime.fromisoformat(event[n]) for n in ("started_at", "completed_at"))
    assert event["finding"].split(", ")[0] == "pass"
    strings = frame(whole, "telemetry_string_raw")
    mode = strings[strings["string_id"] == "NORTH-UPS-01-S2"].set_index("ts")["mode"].dropna()
    assert set(mode[(mode.index >= start) & (mode.index < end)]) == {"discharge"}
    assert mode[mode.index >= end].iloc[0] != "discharge"
    assert mode[mode.index < start].iloc[-1] != "discharge"
    log = frame(whole, "capacity_test_raw").set_index(["battery_id", "ts"])["voltage_v"]
    raw = frame(whole, "telemetry_jar_raw").set_index(["battery_id", "ts"])["voltage_v"]
    both = pd.concat([log, raw], axis=1, join="inner").dropna()
    assert len(both) > 6 * 30
    off = (both.iloc[:, 0] - both.iloc[:, 1]).abs()
    assert off.median() < 0.02


def test_impedance_results_are_recomputed_from_their_readings(make: Make) -> None:
    made = make({"run.seed": 110})
    raw, calc = frame(made, "impedance_measurement_raw"), frame(made, "impedance_measurement_calc")
    battery = {row["battery_id"]: row for row in rows_of(made, "battery")}
    assert len(raw) == 3 * len(calc) > 0
    for row in calc.itertuples():
        mine = raw[(raw["battery_id"] == row.battery_id) & (raw["round_id"] == row.round_id)]
        assert mine["reading"].tolist() == [1, 2, 3]
        assert row.ts == mine["ts"].min()
        median = float(mine["resistance_mohm"].median())
        assert row.resistance_mohm == pytest.approx(median)
        at_25 = median / (1 - 0.006 * (float(row.temperature_c) - 25))
        assert row.resistance_25c_mohm == pytest.approx(at_25, abs=6e-4)
        baseline = float(battery[row.battery_id]["initial_resistance_mohm"])
        change = 100 * (round(at_25, 3) / baseline - 1)
        assert row.baseline_change_pct == pytest.approx(change, abs=0.04)
    rounds = {row["event_id"] for row in events(made, "impedance_round")}
    assert set(calc["round_id"]) == rounds


# --- events ---------------------------------------------------------------------------------------


def test_nothing_is_listed_that_has_not_begun_or_completed_that_has_not_ended(
    make: Make, whole: DataSet
) -> None:
    """A run that ends in the test and in the equalising charge of the longer one."""
    short = make({"run.duration_days": 2})
    for made, end in ((whole, "2024-03-03"), (short, "2024-02-28")):
        for row in rows_of(made, "maintenance_event"):
            assert row["started_at"] < end
            assert row["completed_at"] < end
            assert bool(row["finding"]) == bool(row["completed_at"])
    (mine,) = [e for e in events(short, "equalize") if e["string_id"] == "SOUTH-UPS-01-S1"]
    assert mine["completed_at"] == ""
    first = {row["event_id"] for row in rows_of(short, "maintenance_event")}
    whole_first = {
        row["event_id"]
        for row in rows_of(whole, "maintenance_event")
        if row["started_at"] < "2024-02-28"
    }
    assert first == whole_first


def test_a_test_under_way_at_the_end_has_a_log_and_no_result(make: Make) -> None:
    made = make({"run.duration_days": 3})
    (event,) = events(made, "capacity_test")
    assert (event["completed_at"], event["finding"]) == ("", "")
    assert len(frame(made, "capacity_test_raw")) == 6 * 120
    assert not made.paths("capacity_test_calc")


def test_states_are_json_of_every_unit(whole: DataSet) -> None:
    text = (whole.path / "battery_states.json").read_text()
    assert list(json.loads(text)).index(NEW) == list(json.loads(text)).index(OLD) + 1
