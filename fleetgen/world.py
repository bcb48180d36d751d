"""The world of a location: its weather, its outages, its room and the cooling of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fleetgen.model import climate, cooling, events, params, room
from fleetgen.model.cooling import Episodes
from fleetgen.spec import Block, Location, Scenario, TimeGrid
from fleetgen.units import SECONDS_PER_DAY

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_LEAD_DAYS = 3
"""Days after which a room has forgotten how it began."""

_JAR_TIME_S = params.JAR_FOLLOWING_TIME.value
_WARM_K = params.AGEING_WARM.value + params.ICE_POINT.value
_AGEING_PER_K = params.ACTIVATION.value / params.BOLTZMANN.value / _WARM_K**2


@dataclass(frozen=True, eq=False)
class World:
    """Weather and room of a location over a block of local days, each leading with (day,).

    Outdoor values and room humidity are at the 289 edges of five-minute slots, the room's
    temperature at 1,441 whole minutes, its slot means (288,).
    """

    first_day: int
    midnights_s: Ints
    outdoor_c: Floats
    outdoor_pct: Floats
    room_c: Floats
    room_slot_c: Floats
    room_pct: Floats
    cooling: Episodes


@lru_cache(maxsize=4)
def world(seed: int, location: Location, grid: TimeGrid, block: Block, scenario: Scenario) -> World:
    """Weather and room of `location` over `block`."""
    midnights = np.array([grid.midnight_s(d) for d in range(block.first_day, block.end_day)])
    weather = climate.weather_days(location, seed, block.first_day - 1, block.end_day)
    outdoor_c, outdoor_pct = climate.outdoor(weather)
    down = cooling_episodes(
        seed, location, block.first_day - 1, block.end_day, grid.utc_offset_s, scenario
    )
    days = room.room_days(location, seed, midnights, outdoor_c, outdoor_pct, down)
    return World(
        first_day=block.first_day,
        midnights_s=midnights,
        outdoor_c=outdoor_c[1:],
        outdoor_pct=outdoor_pct[1:],
        room_c=days.temperature_c,
        room_slot_c=np.stack([room.slot_means(day) for day in days.temperature_c]),
        room_pct=days.humidity_pct,
        cooling=down,
    )


def cooling_episodes(
    seed: int,
    location: Location,
    first_day: int,
    end_day: int,
    utc_offset_s: int,
    scenario: Scenario,
) -> Episodes:
    """Episodes of the cooling that touch local days [first_day, end_day)."""
    outages = events.location_outages(
        location,
        seed,
        first_day - 2,  # none lasts longer than a day
        end_day,
        utc_offset_s,
        lambda a, b: climate.rain_days(location, seed, a, b),
        scenario,
    )
    return cooling.episodes(
        location,
        seed,
        first_day * SECONDS_PER_DAY - utc_offset_s,
        end_day * SECONDS_PER_DAY - utc_offset_s,
        utc_offset_s,
        events.cooling_stops(location, seed, outages),
        scenario,
    )


@dataclass(frozen=True, eq=False)
class RoomAges:
    """A room as ageing sees it, each (day,).

    Its mean with working cooling, what failed cooling adds to the jars' mean, and how much faster
    than at its mean such a day ages.
    """

    room_c: Floats
    jar_excess_k: Floats
    heat_factor: Floats


@lru_cache(maxsize=8)
def room_ages(
    seed: int,
    location: Location,
    first_day: int,
    end_day: int,
    utc_offset_s: int,
    scenario: Scenario,
) -> RoomAges:
    """Daily means of a room in local days [first_day, end_day)."""
    begin = first_day - _LEAD_DAYS
    outdoor = climate.daily_mean_c(location, seed, begin, end_day)
    normal = room.daily_mean_c(room.target_c(location, seed), outdoor)
    down = cooling_episodes(seed, location, begin, end_day, utc_offset_s, scenario)
    excess, factor = np.empty(len(normal)), np.empty(len(normal))
    first_s = begin * SECONDS_PER_DAY - utc_offset_s
    cooling.hourly_excess(
        first_s, normal, outdoor, *down, _JAR_TIME_S, _AGEING_PER_K, excess, factor
    )
    return RoomAges(*(a[_LEAD_DAYS:] for a in (normal, excess, factor)))
