"""Predictions and the truth of remaining life, made again plainly from the files of a run.

Four months of three small strings: long enough for every trend, with capacity tests, a jar that is
replaced, one that wears out, one that fails, and one whose resistance is not read for six weeks.
"""

import csv
import json
import tomllib
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import fleetgen
from tests import recompute_rul, tiny
from tests.recompute import read

DAY_S = 86_400
SEED, DAYS, STEP_S, OFFSET_S = 20_250_106, 125, 3600, 7 * 3600
START_S = int(pd.Timestamp("2025-01-03T00:00:00+07:00").timestamp())
REC, UPS = f"{tiny.LOCATION}-REC-01-S1", f"{tiny.LOCATION}-UPS-01-S1"
SILENT, RENEWED, WEARING, SHORTED = f"{REC}-J01", f"{REC}-J02", f"{UPS}-J01", f"{UPS}-J03"
FAILS_AT, LASTS_D = "2025-03-01T00:00:00", 30.0


def injection(kind, target, at=None, value=None, **others):
    keys = {"kind": kind, "target": target, "at": at, "value": value, **others}
    return {name: value for name, value in keys.items() if value is not None}


EVENTS = [
    injection("outage", tiny.LOCATION, "2025-01-12T10:00:00", duration_minutes=190.0),
    injection("replacement", RENEWED, "2025-02-12T10:00:00"),
    injection("capacity_test", REC, "2025-02-20T22:00:00", duration_minutes=360.0),
    injection("capacity_test", UPS, "2025-01-25T22:00:00", duration_minutes=360.0),
    injection("profile", WEARING, value="failing"),
    injection("failure_mode", SHORTED, FAILS_AT, "internal_short", duration_days=LASTS_D),
    injection(
        *("sensor_fault", SILENT, "2025-03-01T00:00:00", "dropout"),
        channel="resistance_mohm",
        duration_days=42.0,
    ),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tiny.generate(
        tmp_path_factory.mktemp("recomputed") / "set",
        tiny.TWO_SYSTEMS,
        {"outages_per_year": 20.0, "commissioned": "2023-06-15"},
        run__seed=SEED,
        run__start_date="2025-01-03",
        run__duration_days=DAYS,
        run__sampling_seconds=STEP_S,
        inject=EVENTS,
    )


@pytest.fixture(scope="module")
def truth(place):
    return read(place, "rul_truth").sort_values(["battery_id", "ts"])


@pytest.fixture(scope="module")
def served(place):
    """First and last instant of each unit in the telemetry [s], and the instant after it."""
    stamps = read(place, "telemetry_jar_raw").groupby("battery_id").ts
    return pd.DataFrame({"first": stamps.min(), "end": stamps.max() + STEP_S})


def rows(place, name):
    with (place / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


# --- predictions ----------------------------------------------------------------------------------

DECIMALS = {"failure_probability_30d": 4, "failure_probability_90d": 4, "confidence_score": 3}
"""Of values in the file; days are whole."""


def test_every_prediction(place):
    constants = Path(fleetgen.__file__).parent / "derive" / "rul_constants.toml"
    c = tomllib.loads(constants.read_text())["constants"]
    want = recompute_rul.predictions(place, c, OFFSET_S, START_S + DAYS * DAY_S)
    have = {}
    for row in rows(place, "rul_prediction"):
        at = pd.Timestamp(row.pop("predicted_at"))
        assert (at.day_name(), at.time().isoformat()) == ("Monday", "00:00:00")
        have[(at.tz_localize(None) - pd.Timestamp(0)).days, row.pop("battery_id")] = row
    assert have.keys() == want.keys()
    for key, (known, expected) in want.items():
        for name, text in have[key].items():
            if expected is None:
                assert text == "", key
                continue
            step = 10.0 ** -DECIMALS.get(name, 0)
            assert abs(float(text) - expected[name]) <= 0.5001 * step, (key, name, known)
    kinds = Counter()
    for known, expected in (found for _, found in want.items()):
        kinds["null"] += expected is None
        kinds["tested"] += known["test"] is not None
        kinds["trend"] += not np.isnan(known["trend"])
        kinds["no trend"] += np.isnan(known["trend"])
    assert min(kinds.values()) >= 2, kinds
    assert {u for (_, u), (_, e) in want.items() if e is None} == {SILENT}


# --- features of a unit that came in the run ------------------------------------------------------


def test_a_new_unit_has_its_own_count_of_discharges(place, served):
    """Counted in the telemetry from its first sample on, over months; charge likewise."""
    mode = read(place, "telemetry_string_raw").sort_values("ts")
    mode = mode[mode.string_id == REC].dropna(subset="mode")
    begins = mode.ts[(mode["mode"] == "discharge") & (mode["mode"].shift() != "discharge")]
    features = read(place, "feature_store").set_index("feature_ts")
    new, other = (features[features.battery_id == unit] for unit in (f"{RENEWED}-R2", SILENT))
    came_s = served["first"][f"{RENEWED}-R2"]
    assert new.index[0] == came_s + STEP_S
    want = [int(((begins >= came_s) & (begins < at)).sum()) for at in new.index]
    assert new.discharge_cycles_count.tolist() == want
    assert 0 < want[-1] < other.discharge_cycles_count.iloc[-1]
    drawn = other.ah_throughput - other.ah_throughput[came_s]
    assert np.allclose(new.ah_throughput, drawn[new.index], atol=2e-3)
    state = json.loads((place / "battery_states.json").read_text())[f"{RENEWED}-R2"]
    assert new.ah_throughput.iloc[-1] == pytest.approx(state["ah_throughput"], rel=0.3)


# --- truth ----------------------------------------------------------------------------------------


def test_truth_has_a_row_for_each_unit_and_midnight_of_its_service(truth, served):
    midnights = range(START_S, START_S + DAYS * DAY_S, DAY_S)
    want = {
        (unit, at)
        for unit, each in served.iterrows()
        for at in midnights
        if each["first"] <= at < each["end"]
    }
    assert {*zip(truth.battery_id, truth.ts, strict=True)} == want
    assert len(truth) == len(want)
    assert any(unit.endswith("-R2") for unit, _ in want)


def test_health_at_midnight_is_that_of_the_telemetry(place, truth):
    calc = read(place, "telemetry_jar_calc").merge(truth, on=["ts", "battery_id"])
    assert len(calc) == len(truth)
    assert (calc.soh_pct_x - calc.soh_pct_y).abs().max() < 0.0051


def test_a_life_ends_where_the_telemetry_shows_it(place, truth, served):
    """By wear when health passes 80 %, between two samples; by an injected failure at its end."""
    calc = read(place, "telemetry_jar_calc").sort_values("ts")
    ends = Counter()
    for unit, days in truth.groupby("battery_id"):
        soh = calc[calc.battery_id == unit]
        assert days.eol_reason.nunique(dropna=False) == 1
        assert (days.rul_censored == days.rul_days.isna()).all()
        assert (days.eol_reason.isna() == days.rul_censored).all()
        if days.rul_censored.any():
            continue
        end_s = days.ts + days.rul_days * DAY_S
        before = days.rul_days > 0
        assert end_s[before].max() - end_s[before].min() < 0.002 * DAY_S  # a day less each day
        assert not (end_s[before].max() > days.ts[~before]).any()
        at_s, reason = end_s.iloc[0], days.eol_reason.iloc[0]
        if reason == "mode" and unit == SHORTED:
            due_s = pd.Timestamp(f"{FAILS_AT}+07:00").timestamp() + LASTS_D * DAY_S
            assert at_s == pytest.approx(due_s, abs=0.002 * DAY_S)
            ends["injected"] += 1
        below = soh.ts[soh.soh_pct < 79.99]
        if at_s >= served.end[unit]:
            assert below.empty
            ends["later"] += 1
        elif reason == "wear_out":
            assert at_s - 0.2 * DAY_S <= below.min() <= at_s + 1.5 * DAY_S, unit
            ends["worn"] += 1
    assert ends["injected"] == 1
    assert min(ends["later"], ends["worn"]) >= 1, ends


def test_a_mode_is_told_of_from_its_onset(truth):
    for unit, days in truth.groupby("battery_id"):
        told = days.failure_mode.notna()
        assert not (told.shift(fill_value=False) & ~told).any(), unit
        assert days.failure_mode[told].nunique() <= 1
    mine = truth[truth.battery_id == SHORTED]
    begins_s = pd.Timestamp(f"{FAILS_AT}+07:00").timestamp()
    assert (mine.failure_mode == "internal_short").tolist() == (mine.ts >= begins_s).tolist()


def test_states_at_the_end_are_the_last_of_the_truth(place, truth, served):
    """Of each unit on its last midnight, and a day's part later when it leaves or the run ends."""
    states = json.loads((place / "battery_states.json").read_text())
    battery = {row["battery_id"]: row for row in rows(place, "battery")}
    assert states.keys() == battery.keys() == set(served.index)
    seen = Counter()
    for unit, days in truth.groupby("battery_id"):
        state, last = states[unit], days.iloc[-1]
        since_d = (served.end[unit] - last.ts) / DAY_S
        seen["gone" if battery[unit]["status"] == "replaced" else "there"] += 1
        if pd.isna(last.rul_days):
            assert state["rul_days"] is None
            assert not state["failed"]
            continue
        left = max(0.0, last.rul_days - since_d)
        assert state["rul_days"] == pytest.approx(left, abs=2e-3)
        assert state["failed"] == state["has_failed"] == (left == 0)
        if not state["failed"]:
            assert state["failure_date"] is None
            continue
        seen["failed"] += 1
        alive = days[days.rul_days > 0]
        if len(alive):
            end_s = alive.ts.iloc[-1] + alive.rul_days.iloc[-1] * DAY_S
            date = pd.Timestamp(end_s + OFFSET_S, unit="s").date().isoformat()
            assert state["failure_date"] == date
    assert min(seen[kind] for kind in ("gone", "there", "failed")) >= 1, seen


# --- what the monitor computes of a string --------------------------------------------------------


def test_every_power_and_distortion(place):
    """Power in whole watts of the same row's readings; distortion of a charger that works."""
    raw, calc = (read(place, f"telemetry_string_{kind}") for kind in ("raw", "calc"))
    both = raw.merge(calc, on=["ts", "string_id"])
    assert len(both) == len(raw) == len(calc) == 3 * DAYS * DAY_S // STEP_S
    volts, amperes = ((both[name] * 100).round() for name in ("voltage_v", "current_a"))
    product = (volts * amperes).astype(float) / 10_000
    assert (both.power_w.isna() == product.isna()).all()
    known = both.power_w.notna()
    assert ((both.power_w - product).abs()[known] <= 0.5).all()
    assert product[known].abs().max() > 100
    on_battery = both["mode"].isin(["discharge", "idle"])
    assert both.thd_pct[on_battery].isna().all()
    charging = both[both["mode"].isin(["float", "boost", "equalize"])]
    assert charging.thd_pct.notna().mean() > 0.95
    # 3 % at full load, more at part load, 0.2 % of noise: never below, seldom above.
    assert charging.thd_pct.between(2.0, 15.0).all()
