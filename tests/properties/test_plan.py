"""The plan of the promises' tests is one on which a broken promise would show."""

from datetime import date
from functools import cache

import numpy as np
import pytest

from fleetgen.model import climate, events
from fleetgen.plan import Plan, make_plan
from fleetgen.units import day_date, day_number, local_midnight_s
from tests.properties.plan import DataSet, configured


@cache
def plan() -> Plan:
    return make_plan(configured("unused"), "unused")


def crossings(kind: str) -> dict[str, list[tuple[str, int]]]:
    """Midnights between two blocks that an event spans, with its seconds, by system."""
    grid, found = plan().run.grid, {}
    for site in plan().fleet.sites:
        for system in site.systems:
            timeline = events.timeline(
                site.location,
                system,
                plan().run.seed,
                grid.first_day,
                grid.end_day + 31,
                grid.utc_offset_s,
                lambda a, b, place=site.location: climate.rain_days(place, plan().run.seed, a, b),
                plan().run.scenario,
            )
            spans = zip(
                getattr(timeline, f"{kind}_start_s"),
                getattr(timeline, f"{kind}_end_s"),
                strict=True,
            )
            edges = {job.block.first_day for job in plan().strings if job.system == system} - {
                grid.first_day
            }
            found[system.system_id] = [
                (
                    day_date(day).isoformat(),
                    int(min(grid.midnight_s(day) - a, b - grid.midnight_s(day))),
                )
                for a, b in spans
                for day in edges
                if a < grid.midnight_s(day) < b
            ]
    return found


def test_there_are_two_systems_and_eight_parts_at_least() -> None:
    assert len(plan().slow_paths) == 3
    assert len(plan().strings) == 6 * 6
    assert len(plan().rooms) == 2 * 6
    assert len({job.location.location_id for job in plan().strings}) == 2


def test_an_outage_crosses_the_edge_of_blocks_and_of_months() -> None:
    long = {k: [day for day, s in v if s > 600] for k, v in crossings("discharge").items()}
    assert long["NORTH-REC-01"] == ["2024-03-01"]


def test_an_equalising_charge_crosses_the_edge_of_blocks() -> None:
    long = {k: [day for day, s in v if s > 3600] for k, v in crossings("equalize").items()}
    assert long["SOUTH-UPS-01"] == ["2024-02-28"]


def test_a_failure_of_the_cooling_and_a_capacity_test_cross_the_edge_of_blocks() -> None:
    at_s = {e.kind: (e.start_s, e.start_s + e.duration_s) for e in plan().run.scenario.injections}
    midnight_s = local_midnight_s(date(2024, 2, 29), plan().run.grid.utc_offset_s)
    for kind in ("hvac_failure", "capacity_test"):
        assert at_s[kind][0] + 3600 < midnight_s < at_s[kind][1] - 3600
    edges = {job.block.first_day for job in plan().strings}
    assert day_number(date(2024, 2, 29)) in edges


@pytest.mark.parametrize(
    ("string", "mode", "day"),
    [
        ("NORTH-REC-01-S1", "discharge", "2024-03-01"),
        ("SOUTH-UPS-01-S1", "equalize", "2024-02-28"),
        ("NORTH-UPS-01-S2", "discharge", "2024-02-29"),
    ],
)
def test_the_data_hold_events_of_the_bus_on_either_side_of_midnight(
    whole: DataSet, string: str, mode: str, day: str
) -> None:
    rows = whole.read("telemetry_string_raw", [string])
    modes = rows["mode"].to_pylist()
    midnight = [f"{ts:%Y-%m-%d %H:%M}" for ts in rows["ts"].to_pylist()].index(f"{day} 00:00")
    assert modes[midnight - 1 : midnight + 1] == [mode, mode]


def test_the_capacity_test_is_of_one_string_and_its_discharge_crosses_midnight(
    whole: DataSet,
) -> None:
    """Over an hour at 0.25 C10 on either side, and while it lasts nothing else discharges."""
    rows = whole.read("telemetry_string_raw")
    stamps = np.array([f"{ts:%Y-%m-%d %H:%M}" for ts in rows["ts"].to_pylist()])
    strings, modes = (np.array(rows[name].to_pylist()) for name in ("string_id", "mode"))
    current_a = rows["current_a"].to_numpy().astype(np.float64)
    north = np.char.startswith(strings, "NORTH")
    during = (stamps >= "2024-02-28 22:00") & (stamps <= "2024-02-29 01:00")
    tested = during & (strings == "NORTH-UPS-01-S2")
    assert set(modes[tested]) == {"discharge"}
    assert np.nanmedian(current_a[tested]) == pytest.approx(-25.0, abs=1.0)
    assert "discharge" not in modes[during & north & ~tested]


def test_the_data_hold_the_failure_of_the_cooling_on_either_side_of_midnight(
    whole: DataSet,
) -> None:
    rows = whole.read("telemetry_env", ["NORTH-ENV-01"])
    stamps = np.array([f"{ts:%Y-%m-%d %H:%M}" for ts in rows["ts"].to_pylist()])
    status = np.array(rows["hvac_status"].to_pylist())
    room_c = rows["temperature_c"].to_numpy().astype(np.float64)
    failed = (stamps >= "2024-02-28 18:00") & (stamps < "2024-02-29 04:00")
    assert set(status[failed]) == {"failed"}
    before = (stamps >= "2024-02-28 16:00") & (stamps < "2024-02-28 18:00")
    midnight = (stamps >= "2024-02-28 23:30") & (stamps < "2024-02-29 00:30")
    assert np.nanmean(room_c[midnight]) > np.nanmean(room_c[before]) + 2.0


def test_every_mode_of_a_string_occurs(whole: DataSet) -> None:
    modes = set(whole.read("telemetry_string_raw")["mode"].to_pylist())
    assert modes - {None} == {"float", "boost", "equalize", "discharge", "idle"}
