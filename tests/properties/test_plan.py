"""The plan of the promises' tests is one on which a broken promise would show."""

from functools import cache

import pytest

from fleetgen.model import climate, events
from fleetgen.plan import Plan, make_plan
from fleetgen.units import day_date
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


@pytest.mark.parametrize(
    ("string", "mode", "day"),
    [("NORTH-REC-01-S1", "discharge", "2024-03-01"), ("SOUTH-UPS-01-S1", "equalize", "2024-02-28")],
)
def test_the_data_hold_both_events_on_either_side_of_midnight(
    whole: DataSet, string: str, mode: str, day: str
) -> None:
    rows = whole.read("telemetry_string_raw", [string])
    modes = rows["mode"].to_pylist()
    midnight = [f"{ts:%Y-%m-%d %H:%M}" for ts in rows["ts"].to_pylist()].index(f"{day} 00:00")
    assert modes[midnight - 1 : midnight + 1] == [mode, mode]


def test_every_mode_of_a_string_occurs(whole: DataSet) -> None:
    modes = set(whole.read("telemetry_string_raw")["mode"].to_pylist())
    assert modes - {None} == {"float", "boost", "equalize", "discharge", "idle"}
