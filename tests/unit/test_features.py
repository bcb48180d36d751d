"""The feature store against a recomputation from the written telemetry, row by row.

The recomputation (`tests/recompute.py`) knows the files and the data dictionary, nothing else.
"""

import json

import numpy as np
import pandas as pd
import pytest

from fleetgen import system, task
from fleetgen.config import RunConfig
from fleetgen.derive import features
from fleetgen.model import events
from fleetgen.pipeline import generate as run_it
from fleetgen.plan import estimate, make_plan, rows_of
from fleetgen.schema import FEATURE_STORE
from fleetgen.spec import Injection, Scenario
from fleetgen.verify import verify
from tests import recompute, tiny
from tests.recompute import HOUR_S, read

NULL32 = np.iinfo(np.int32).min
START_S = 1_738_083_600  # 2025-01-29T00:00+07:00: three days before a month begins
DAY_S = 86_400
SYSTEM = {
    "UPS-01": {
        "kind": "UPS",
        "jars_per_string": 3,
        "strings": {"S1": "HX12-120", "S2": "GPL12-100"},
    }
}
OUTAGES = [  # start from the start of the run [s], length [s]
    (5 * HOUR_S + 1234, 40),
    (9 * HOUR_S + 3590, 45),  # over an hour's edge
    (20 * HOUR_S, 600),  # on it
    (20 * HOUR_S + 1200, 300),  # again in the same hour, no float in between
    (DAY_S + 2 * HOUR_S + 17, 2 * HOUR_S),  # until the batteries are empty
    (2 * DAY_S + 600, 120),  # the hour before lies in another block
    (3 * DAY_S - 200, 460),  # over midnight and the edge of a month
    (4 * DAY_S - HOUR_S, 30),
]
SELF_TEST = (3 * DAY_S + 10 * HOUR_S, 60)


@pytest.fixture(autouse=True)
def own_events():
    """Events that a test puts in the place of the drawn ones are remembered by no other."""

    def forget():
        system.system_model.cache_clear()
        system._timeline.cache_clear()
        task._slow_path.cache_clear()

    forget()
    yield
    forget()


@pytest.fixture
def planned(monkeypatch):
    """Put the events above in the place of the drawn ones."""

    def timeline(*_):
        none = np.zeros(0, np.int64)
        on_battery = sorted([*((a, a + n, False) for a, n in OUTAGES), (*SELF_TEST, True)])
        return events.Timeline(
            np.array([START_S + a for a, _, _ in on_battery]),
            np.array([START_S + (b if not test else a + b) for a, b, test in on_battery]),
            np.array([test for *_, test in on_battery]),
            np.array([START_S + 2 * DAY_S + 20 * HOUR_S]),
            np.array([START_S + 3 * DAY_S + 5 * HOUR_S]),
            none,
            none,
            none / 1.0,
            none,
            none,
            none,
        )

    monkeypatch.setattr("fleetgen.system.events.timeline", timeline)


def stored(place):
    """The feature store as counts."""
    per_unit = {c.name: c.per_unit for c in FEATURE_STORE.columns if c.kind == "float"}
    return read(place, "feature_store", per_unit)


def differences(place, step_s, hours, window=1):
    """Cells that differ, as (hours since the start, id, column, stored, recomputed)."""
    order = ["battery_id", "feature_ts"]
    want = (
        pd.DataFrame(recompute.features(place, START_S, step_s, hours, window))
        .sort_values(order)
        .set_index(order)
    )
    have = stored(place).sort_values(order).set_index(order)
    assert list(have.index) == list(want.index)
    assert set(have.columns) == set(want.columns)
    found = []
    for name in want.columns:
        pairs = zip(want.index, have[name].tolist(), want[name].tolist(), strict=True)
        for (unit, instant), x, y in pairs:
            x, y = (None if pd.isna(c) else int(c) for c in (x, y))
            if x != y:
                found.append(((instant - START_S) / HOUR_S, unit, name, x, y))
    return found


def generate(tmp_path, **overrides):
    return tiny.generate(
        tmp_path / "set",
        SYSTEM,
        run__start_date="2025-01-29",
        run__seed=20_250_129,
        **overrides,
    )


@pytest.mark.usefixtures("planned")
class TestAgainstTheFiles:
    def test_five_minutes_over_a_month_edge(self, tmp_path):
        place = generate(tmp_path, run__sampling_seconds=300, run__duration_days=5)
        blocks = {p.name for p in (place / "feature_store").rglob("*.parquet")}
        assert blocks == {"part-2025-01-29-3.parquet", "part-2025-02-01-2.parquet"}
        assert differences(place, 300, 120) == []
        # What the events must have left behind: all but the first have a sample in them.
        last = stored(place).groupby("battery_id").last()
        assert (last.discharge_cycles_count == 8).all()
        modes = read(place, "telemetry_string_raw")["mode"]
        assert set(modes) == {"float", "boost", "equalize", "discharge", "idle"}

    @pytest.mark.parametrize("block_days", [1, 2])
    def test_each_minute_in_small_blocks(self, tmp_path, block_days):
        place = generate(
            tmp_path,
            run__sampling_seconds=60,
            run__duration_days=5,
            execution__block_days=block_days,
        )
        assert differences(place, 60, 120) == []

    def test_seven_seconds_do_not_divide_the_hour(self, tmp_path):
        place = generate(
            tmp_path,
            run__sampling_seconds=7,
            run__duration_days=1.5,
            execution__block_days=1,
        )
        samples = len(read(place, "telemetry_env"))
        assert samples == -(-36 * HOUR_S // 7)
        assert differences(place, 7, 36) == []

    def test_five_seconds_see_steps_of_current(self, tmp_path):
        place = generate(tmp_path, run__sampling_seconds=5, run__duration_days=0.5)
        assert differences(place, 5, 12) == []
        sums = stored(place).groupby("battery_id").surge_events_count.sum()
        assert (sums >= 4).all()

    def test_windows_without_samples_are_null(self, tmp_path):
        place = generate(tmp_path, run__sampling_seconds=7200, run__duration_days=5)
        frame = stored(place)
        empty = frame[((frame.feature_ts - START_S) // HOUR_S) % 2 == 0]
        assert len(empty) == len(frame) // 2
        for name in ("v_mean", "v_std", "v_min", "v_max", "v_balance_mean", "t_mean", "t_max"):
            assert empty[name].isna().all()
        for name in ("t_delta_ambient_mean", "ripple_rms_mean", "thd_mean", "r_internal_latest"):
            assert empty[name].isna().all()
        assert (empty.surge_events_count == 0).all()
        assert (empty.time_below_float_min == 0).all()
        assert differences(place, 7200, 120) == []

    def test_readings_are_those_of_the_samples(self, tmp_path):
        """A reading at 02:55 is first seen at 03:00, in the next window."""
        place = generate(tmp_path, run__sampling_seconds=1800, run__duration_days=3)
        assert differences(place, 1800, 72) == []

    def test_a_cut_string_has_the_features_of_the_whole_one(self, tmp_path):
        """`v_balance_mean` needs all jars of a string, written or not."""
        whole = stored(generate(tmp_path / "a", run__sampling_seconds=900))
        cut = stored(generate(tmp_path / "b", run__sampling_seconds=900, select__limit_batteries=4))
        assert cut.battery_id.nunique() == 4
        kept = whole[whole.battery_id.isin(cut.battery_id)]
        order = ["battery_id", "feature_ts"]
        pd.testing.assert_frame_equal(
            cut.sort_values(order).reset_index(drop=True),
            kept.sort_values(order).reset_index(drop=True),
        )

    def test_the_last_hour_counts_only_if_it_is_whole(self, tmp_path):
        place = generate(tmp_path, run__sampling_seconds=60, run__duration_days=0.4)  # 9.6 h
        assert differences(place, 60, 9) == []


UPS = "DC-T-01-UPS-01"


def fault(kind, entity, channel, start_s, length_s):
    target = f"{UPS}-{entity}" if entity else "DC-T-01-ENV-01"
    return Injection("sensor_fault", target, START_S + start_s, length_s, kind, channel)


def lost(entity, start_s, length_s):
    return fault("communication_loss", entity, "", start_s, length_s)


FAULTS = (
    lost("S1", DAY_S + 2 * HOUR_S + 600, 1800),  # within a discharge
    lost("S1", 2 * DAY_S + 300, 2 * HOUR_S),  # its beginning, its end, and a whole window
    lost("S1", 20 * HOUR_S + 400, 1000),  # the end of one and the beginning of the next
    lost("S2", 5 * HOUR_S, 2 * HOUR_S),  # all of one
    lost("S2", DAY_S + 2 * HOUR_S + 1000, 300),  # twice in one
    lost("S2", DAY_S + 2 * HOUR_S + 2000, 300),
    lost("S2", 3 * DAY_S - 100, 200),  # over midnight and the edge of a month
    lost("S1", 3 * DAY_S + 20 * HOUR_S, 40 * HOUR_S),  # longer than a discharge is carried over
    fault("dropout", "S1", "current_a", 9 * HOUR_S + 3500, 110),  # before, and into it
    fault("dropout", "S2", "current_a", DAY_S + 2 * HOUR_S + 1200, 700),
    fault("dropout", "S2", "ripple_current_rms_a", 7 * HOUR_S, HOUR_S),
    fault("dropout", "S1-J01", "voltage_v", 6 * HOUR_S, HOUR_S),
    fault("dropout", "S1-J01", "voltage_v", 8 * HOUR_S - 10, 1000),
    fault("dropout", "S1-J02", "temperature_c", 6 * HOUR_S, HOUR_S),
    fault("dropout", "S1-J02", "temperature_c", 8 * HOUR_S - 400, 300),
    fault("dropout", "S1-J02", "voltage_v", 8 * HOUR_S - 200, 300),
    fault("dropout", "S2-J03", "resistance_mohm", 10 * HOUR_S - 400, 500),
    fault("loose_lead", "S2-J02", "voltage_v", DAY_S, DAY_S),
    fault("stuck", "S1", "current_a", DAY_S + 2 * HOUR_S + 3000, 1800),
    fault("spike", "S2-J01", "voltage_v", 11 * HOUR_S, 1),
    fault("dropout", "", "temperature_c", 6 * HOUR_S, HOUR_S),
    fault("dropout", "", "temperature_c", 12 * HOUR_S - 100, HOUR_S),
    fault("offset", "", "temperature_c", 15 * HOUR_S, HOUR_S),
)


@pytest.mark.usefixtures("planned")
class TestWithFaults:
    @pytest.fixture(autouse=True)
    def faults(self, monkeypatch):
        scenario = Scenario(injections=FAULTS)
        monkeypatch.setattr(RunConfig, "to_scenario", lambda _: scenario)

    @pytest.mark.parametrize(("interval", "block_days"), [(60, 31), (60, 1), (300, 2)])
    def test_missing_counts_are_left_out(self, tmp_path, interval, block_days):
        place = generate(
            tmp_path,
            run__sampling_seconds=interval,
            run__duration_days=6,
            execution__block_days=block_days,
        )
        assert differences(place, interval, 144) == []
        frame = stored(place)
        hour = (frame.feature_ts - START_S) // HOUR_S - 1
        one = frame[(frame.battery_id == f"{UPS}-S1-J01") & (hour == 6)]
        assert one[["v_mean", "v_std", "v_min", "v_max", "v_balance_mean"]].isna().all(axis=None)
        assert one[["t_delta_ambient_mean"]].isna().all(axis=None)  # the room is not known
        assert one[["t_mean", "t_max", "r_internal_latest"]].notna().all(axis=None)
        two = frame[(frame.battery_id == f"{UPS}-S1-J02") & (hour == 6)]
        assert two[["t_mean", "t_max", "t_delta_ambient_mean"]].isna().all(axis=None)
        assert two[["v_mean", "v_balance_mean"]].notna().all(axis=None)
        reading = frame[(frame.battery_id == f"{UPS}-S2-J03") & (hour == 9)]
        assert reading[["r_internal_latest", "r_internal_baseline_pct"]].isna().all(axis=None)
        ripple = frame[frame.battery_id.str.startswith(f"{UPS}-S2") & (hour == 7)]
        assert ripple.ripple_rms_mean.isna().all()
        assert ripple.thd_mean.notna().all()
        silent = frame[frame.battery_id.str.startswith(f"{UPS}-S1") & (hour == 49)]
        for name in ("v_mean", "t_mean", "r_internal_latest", "ripple_rms_mean", "thd_mean"):
            assert silent[name].isna().all()

    def test_a_loss_within_a_discharge_costs_no_charge(self, tmp_path, monkeypatch):
        with_faults = stored(generate(tmp_path / "a", run__sampling_seconds=60))
        monkeypatch.setattr(RunConfig, "to_scenario", lambda _: Scenario(sensor_faults=False))
        without = stored(generate(tmp_path / "b", run__sampling_seconds=60))
        for frame in (with_faults, without):
            frame["hour"] = (frame.feature_ts - START_S) // HOUR_S
        # The long discharge of S2, with two losses and a dropout in it.
        drawn = []
        for frame in (with_faults, without):
            unit = frame[frame.battery_id == f"{UPS}-S2-J01"].set_index("hour")
            drawn.append(unit.ah_throughput[29] - unit.ah_throughput[26])
            assert unit.discharge_cycles_count[29] - unit.discharge_cycles_count[26] == 1
        assert drawn[1] > 20_000
        assert drawn[0] == pytest.approx(drawn[1], rel=0.005)

    def test_a_loss_longer_than_half_a_day_ends_a_discharge(self):
        """In samples of an hour: on battery before and after 11 and 12 nulls."""
        for nulls, discharges in ((11, 1), (12, 2)):
            mode = np.array([0, 3, *[features.NO_MODE] * nulls, 3, 0], np.uint8)
            current = np.array([10, -990, *[NULL32] * nulls, -790, 10], np.int32)
            counts = np.stack([current, current, current])
            bounds = np.array([0, len(mode)])
            sums = features.string_hours(mode, counts, bounds, HOUR_S, 100.0)[0]
            assert sums[features.CYCLES] == discharges
            known = (10 + 990 + 10 + 790 if discharges == 1 else 10 + 990 + 790) * HOUR_S
            hidden = nulls * 900 * HOUR_S if discharges == 1 else 0
            assert sums[features.CHARGE] == known + hidden


def test_features_of_drawn_events(tmp_path):
    """A rectifier without generator, its outages as they are drawn."""
    place = tiny.generate(
        tmp_path / "set",
        run__start_date="2025-01-29",
        run__sampling_seconds=300,
        run__duration_days=5,
        run__seed=345,
    )
    assert differences(place, 300, 120) == []
    assert stored(place).discharge_cycles_count.max() > 0


def test_the_single_file_holds_the_same_rows(tmp_path):
    place = tiny.generate(tmp_path / "set", run__start_date="2025-01-29", run__duration_days=1)
    one = pd.read_csv(place / "feature_store.csv.gz", parse_dates=["feature_ts"])
    assert (one.feature_ts.map(lambda t: t.utcoffset().total_seconds()) == 7 * HOUR_S).all()
    parts = stored(place)
    assert one.columns.tolist() == list(FEATURE_STORE.names)
    assert (one.battery_id.tolist(), len(one)) == (parts.battery_id.tolist(), 72)
    assert [int(t.timestamp()) for t in one.feature_ts] == parts.feature_ts.tolist()
    for column in FEATURE_STORE.columns[2:]:
        counts = np.rint(one[column.name] * column.per_unit).astype("Int64").tolist()
        assert counts == parts[column.name].astype("Int64").tolist()


class TestOverWeeks:
    """What a jar's resistance is compared with, which takes months to show."""

    def test_six_months_of_readings(self, tmp_path):
        """The median comes after four weeks, and its first days are given up after 26 weeks."""
        place = generate(
            tmp_path,
            run__sampling_seconds=4 * HOUR_S,
            run__duration_days=200,
            features__window_hours=24,
        )
        assert differences(place, 4 * HOUR_S, 200 * 24, 24) == []
        frame = stored(place)
        day = (frame.feature_ts - START_S) // DAY_S - 1
        change = frame.r_change_pct.groupby(day).mean()
        assert change[:28].min() > change[28:].max()  # it has aged since the acceptance test

    def test_blocks_of_days_and_faults_of_readings(self, tmp_path, monkeypatch):
        """Frozen, silent and loose before the block in which the median is taken."""
        unit = "DC-T-01-REC-01-S1"
        planned = (
            ("stuck", "J01", "resistance_mohm", 20 * DAY_S + 5, 9 * DAY_S),
            ("loose_lead", "J01", "voltage_v", 2 * DAY_S, 13 * DAY_S),
            ("stuck", "J02", "temperature_c", 18 * DAY_S + HOUR_S + 5, 13 * DAY_S),
            ("dropout", "J03", "temperature_c", 3 * DAY_S, 24 * DAY_S),
            ("offset", "J03", "temperature_c", 28 * DAY_S, 2 * DAY_S),
            ("communication_loss", "", "", 5 * DAY_S - 60, 3 * DAY_S),
        )
        faults = tuple(
            Injection("sensor_fault", f"{unit}-{j}".rstrip("-"), START_S + a, n, kind, channel)
            for kind, j, channel, a, n in planned
        )
        monkeypatch.setattr(RunConfig, "to_scenario", lambda _: Scenario(injections=faults))
        place = tiny.generate(
            tmp_path / "set",
            run__start_date="2025-01-29",
            run__sampling_seconds=1800,
            run__duration_days=31.3,
            execution__block_days=2,
        )
        assert differences(place, 1800, 751) == []

    @pytest.mark.parametrize(("interval", "compared"), [(7 * HOUR_S, True), (4999, False)])
    def test_midnights_without_samples(self, tmp_path, interval, compared):
        """Every 7 h there is a sample at each seventh midnight, every 4999 s at the first alone."""
        place = generate(tmp_path, run__sampling_seconds=interval, run__duration_days=30)
        assert differences(place, interval, 30 * 24) == []
        frame = stored(place)
        own = frame.r_change_pct - (frame.r_internal_baseline_pct - 10_000)
        late = (frame.feature_ts - START_S) // DAY_S >= 29
        # Corrected for temperature or not, the reading of the acceptance test is far below.
        assert (own[late].dropna().abs() > 550).all() == compared


@pytest.mark.usefixtures("planned")
class TestWindows:
    @pytest.mark.parametrize(("length", "interval"), [(2, 60), (6, 300), (24, 60), (24, 7)])
    def test_longer_windows(self, tmp_path, length, interval):
        place = generate(
            tmp_path,
            run__sampling_seconds=interval,
            run__duration_days=1.5 if interval == 7 else 4.3,
            execution__block_days=1,
            features__window_hours=length,
        )
        hours = 36 if interval == 7 else 103
        assert differences(place, interval, hours, length) == []
        units = stored(place).battery_id.nunique()
        assert len(stored(place)) == hours // length * units

    def test_a_window_of_one_sample(self, tmp_path):
        place = generate(tmp_path, run__sampling_seconds=HOUR_S, run__duration_days=3)
        assert differences(place, HOUR_S, 72) == []
        assert (stored(place).v_std == 0).all()

    @pytest.mark.parametrize("length", [4, 24])
    def test_fewer_samples_than_hours(self, tmp_path, length):
        place = generate(
            tmp_path,
            run__sampling_seconds=3 * HOUR_S,
            run__duration_days=4,
            features__window_hours=length,
        )
        assert differences(place, 3 * HOUR_S, 96, length) == []
        assert stored(place).recharge_acceptance_pct.isna().all()


def test_a_recharge_over_midnight(tmp_path, monkeypatch):
    """The discharge ends within the hour before it, and is the last for days: each day a block."""
    none = np.zeros(0, np.int64)

    def timeline(*_):
        start = np.array([START_S + DAY_S - 2400])
        test = np.array([False])
        gone = np.zeros(0)
        return events.Timeline(
            start, start + 1500, test, none, none, none, none, gone, none, none, none
        )

    monkeypatch.setattr("fleetgen.system.events.timeline", timeline)
    found = []
    for block_days in (1, 31):
        place = tiny.generate(
            tmp_path / str(block_days),
            SYSTEM,
            run__start_date="2025-01-29",
            run__sampling_seconds=60,
            run__duration_days=5,
            execution__block_days=block_days,
        )
        assert differences(place, 60, 120) == []
        found.append(stored(place).sort_values(["battery_id", "feature_ts"]))
    pd.testing.assert_frame_equal(*[f.reset_index(drop=True) for f in found])
    last = found[0].groupby("battery_id").last()
    assert last.last_discharge_depth_pct.between(1000, 8000).all()
    assert last.recharge_acceptance_pct.between(50, 1500).all()


ALONE = {"REC-01": {"kind": "REC", "jars_per_string": 1, "strings": {"S1": "HX12-120"}}}


class TestOddRuns:
    """Where there is nothing to tell, nothing is told; what is counted then is 0."""

    def test_shorter_than_a_window(self, tmp_path):
        for n, (days, window) in enumerate([(0.03, 1), (0.9, 24)]):
            place = tiny.generate(
                tmp_path / str(n), run__duration_days=days, features__window_hours=window
            )
            assert not (place / "feature_store").exists()
            frame = pd.read_csv(place / "feature_store.csv.gz")
            assert frame.columns.tolist() == list(FEATURE_STORE.names)
            assert len(frame) == 0
            report = (place / "DATA_GENERATION_REPORT.md").read_text()
            assert "Nothing to compare: the run does not end with a feature window." in report
            assert "| feature_store | 0 | 0 | yes |" in report

    def test_a_single_battery(self, tmp_path):
        place = tiny.generate(
            tmp_path / "set",
            ALONE,
            run__start_date="2025-01-29",
            run__seed=345,
            run__duration_days=5,
        )
        assert differences(place, 300, 120) == []
        frame = stored(place)
        assert frame.battery_id.nunique() == 1
        same = frame.v_mean.notna()
        assert (frame.v_deviation_median[same] == 0).all()
        assert (frame.v_balance_mean[same] == 0).all()

    def test_no_event_at_all(self, tmp_path, monkeypatch):
        none = np.zeros(0, np.int64)
        empty = events.Timeline(
            none, none, none.astype(bool), none, none, none, none, none / 1.0, none, none, none
        )
        monkeypatch.setattr("fleetgen.system.events.timeline", lambda *_: empty)
        monkeypatch.setattr(RunConfig, "to_scenario", lambda _: Scenario(sensor_faults=False))
        place = tiny.generate(tmp_path / "set", SYSTEM, run__start_date="2025-01-29")
        assert differences(place, 300, 48) == []
        frame = stored(place)
        for name in ("last_discharge_depth_pct", "recharge_acceptance_pct"):
            assert frame[name].isna().all()
        for name in ("discharge_cycles_count", "ah_throughput", "surge_events_count"):
            assert (frame[name] == 0).all()
        report = (place / "DATA_GENERATION_REPORT.md").read_text()
        assert "| 6 | 0.000 Ah | +0.000 Ah |  | +0.000 Ah | +0.000 Ah |" in report

    def test_all_batteries_failing(self, tmp_path):
        place = tiny.generate(
            tmp_path / "set",
            SYSTEM,
            run__start_date="2025-01-29",
            run__duration_days=5,
            run__seed=7,
            scenario__hazard_scale=100.0,
            scenario__profiles={
                "worn": {"share": 1.0, "soh_per_year": 0.6, "resistance_per_year": 2.0}
            },
        )
        assert differences(place, 300, 120) == []
        assert stored(place).r_internal_baseline_pct.mean() > 11_500

    def test_silence_from_beginning_to_end(self, tmp_path, monkeypatch):
        """A string that never reports has its rows, and no values."""
        silent = Scenario(
            injections=(
                Injection(
                    "sensor_fault",
                    "DC-T-01-REC-01-S1",
                    START_S,
                    30 * DAY_S,
                    "communication_loss",
                    "",
                ),
            )
        )
        monkeypatch.setattr(RunConfig, "to_scenario", lambda _: silent)
        place = tiny.generate(
            tmp_path / "set",
            run__start_date="2025-01-29",
            run__duration_days=29.5,
            run__sampling_seconds=HOUR_S,
        )
        assert differences(place, HOUR_S, 708) == []
        frame = stored(place)
        nullable = [c.name for c in FEATURE_STORE.columns if c.nullable]
        assert frame[nullable].isna().all(axis=None)
        assert (frame.discharge_cycles_count == 0).all()


@pytest.mark.usefixtures("planned")
def test_the_report_says_what_ah_throughput_is_off_by(tmp_path):
    """Taken from the report, and from the files that it is of."""
    place = generate(tmp_path, run__sampling_seconds=60, run__duration_days=5)
    states = json.loads((place / "battery_states.json").read_text())
    last = stored(place).sort_values("feature_ts").groupby("battery_id").ah_throughput.last()
    true = pd.Series({jar: round(1000 * state["ah_throughput"]) for jar, state in states.items()})
    error = (last.astype(int) - true) / 1000
    report = (place / "DATA_GENERATION_REPORT.md").read_text()
    line = report.partition("## Discharged charge, measured and true")[2].splitlines()[4]
    cells = [cell.strip().removesuffix(" Ah") for cell in line.strip("|").split("|")]
    assert int(cells[0]) == len(states) == 6
    assert float(cells[1]) == pytest.approx(true.mean() / 1000, abs=0.001)
    assert float(cells[2]) == pytest.approx(error.mean(), abs=0.001)
    assert float(cells[3].removesuffix("%")) == pytest.approx(
        100_000 * error.mean() / true.mean(), abs=0.01
    )
    assert [float(cell) for cell in cells[4:]] == pytest.approx([error.min(), error.max()])
    assert error.abs().max() > 0  # a sensor and samples, not the truth
    assert error.abs().max() < 0.05 * true.mean() / 1000


def test_rows_and_files_are_as_estimated(tmp_path):
    for n, (days, window, block_days) in enumerate(
        [(2.0, 1, 1), (2.04, 1, 1), (1.7, 6, 1), (1.2, 24, 1), (1.2, 12, 31)]
    ):
        run = tiny.config(
            tiny.TWO_SYSTEMS,
            run__duration_days=days,
            run__sampling_seconds=600,
            features__window_hours=window,
            execution__block_days=block_days,
            output__directory=str(tmp_path / str(n)),
        )
        planned = make_plan(run, run.output.directory)
        cost = estimate(planned, 1)
        run_it(run)
        entries = [
            entry
            for receipt in tiny.receipts(tmp_path / str(n))
            for entry in receipt["files"]
            if entry["table"] in cost.rows  # the others' rows follow from what happens
        ]
        rows = sum(e["rows"] for e in entries if e["table"] == "feature_store")
        assert rows == cost.rows["feature_store"] == 8 * int(days * 24 / window + 1e-9)
        assert len(entries) == cost.files
        assert sum(e["rows"] for e in entries) == sum(map(rows_of, planned.parts))


@pytest.mark.usefixtures("planned")
def test_months_of_any_cut_are_the_same(tmp_path):
    """Blocks, a shorter run and a part of the fleet, once the baseline is the jar's own."""
    keys = {"run__start_date": "2025-01-29", "run__sampling_seconds": 1800}
    order = ["battery_id", "feature_ts"]

    def made(name, **changes):
        place = tiny.generate(tmp_path / name, SYSTEM, **{**keys, **changes})
        return stored(place).sort_values(order).reset_index(drop=True)

    whole = made("whole", run__duration_days=33)
    assert whole.recharge_acceptance_pct.notna().any()
    for name, changes in {
        "blocks": {"run__duration_days": 33, "execution__block_days": 3},
        "short": {"run__duration_days": 30},
        "one": {"run__duration_days": 33, "select__limit_batteries": 1},
    }.items():
        found = made(name, **changes)
        kept = whole[
            whole.battery_id.isin(found.battery_id) & (whole.feature_ts <= found.feature_ts.max())
        ]
        pd.testing.assert_frame_equal(found, kept.reset_index(drop=True))


@pytest.mark.parametrize(("length", "form"), [(6, "parquet"), (24, "csv.gz")])
def test_longer_windows_are_read_back_and_made_again(tmp_path, length, form):
    """By `verify`, from the plan that the data set bears: the length is of it."""
    place = tiny.generate(
        tmp_path / "set",
        run__duration_days=2.3,
        features__window_hours=length,
        output__format=form,
        execution__block_days=1,
    )
    found = verify(str(place), values="all", rederive="all")
    assert [f"{each.path}: {each.what}" for each in found.bad] == []
