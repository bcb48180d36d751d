"""The units in service at the positions of a string, and those that take their places."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from itertools import groupby
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fleetgen.model import failures, params, population
from fleetgen.model.failures import Failures
from fleetgen.model.population import Population
from fleetgen.spec import BatteryString, BatterySystem, Location, Scenario, TimeGrid
from fleetgen.units import SECONDS_PER_DAY, day_date

CAUSES = (
    "high_resistance",
    "voltage_deviation",
    "internal_short",
    "thermal_trip",
    "capacity_test",
    "impedance",
    "string_renewal",
    "injected",
)
"""Why a unit is replaced; the position is the code used in arrays."""

(
    HIGH_RESISTANCE,
    VOLTAGE_DEVIATION,
    INTERNAL_SHORT,
    THERMAL_TRIP,
    CAPACITY_TEST,
    IMPEDANCE,
    STRING_RENEWAL,
    INJECTED,
) = range(len(CAUSES))


class Swap(NamedTuple):
    """A new unit at a position: in service from `at_s` on, a whole local hour.

    The string is off the bus from `off_s` on; the finding `cause` was made at `found_s`. `number`
    counts the units of the position, from 2.
    """

    string: int
    jar: int
    at_s: int
    off_s: int
    found_s: int
    cause: int
    number: int


def unit_id(jar_id: str, number: int) -> str:
    """Battery id of the `number`th unit at the position whose first unit is `jar_id`."""
    return jar_id if number == 1 else f"{jar_id}-R{number}"


@dataclass(frozen=True, eq=False)
class Crew:
    """The units of a string from one swap to the next; tuples and arrays are (jar,).

    `dries` tells units that dry out with their string: those that were there from the start.
    """

    unit_ids: tuple[str, ...]
    units: Population
    failures: Failures
    dries: NDArray[np.bool_]


class Service(NamedTuple):
    """What is in service from `at_s` on, and the positions whose units are new then."""

    at_s: int
    jars: tuple[int, ...]
    crew: Crew


def first_crew(
    seed: int,
    location: Location,
    system: BatterySystem,
    string: BatteryString,
    grid: TimeGrid,
    scenario: Scenario,
) -> Crew:
    """The units in service at the start of the run."""
    units = population.populate(seed, location, system, string, grid.start, scenario)
    failing = failures.draw(
        seed,
        string.jar_ids,
        grid.start_s,
        grid.start.year,
        units.age_days,
        units.rate_per_year,
        units.climate_factor,
        units.soh_new - units.loss - params.INITIAL_SOH_MINIMUM.value,
        scenario,
    )
    return Crew(string.jar_ids, units, failing, np.ones(len(string.jar_ids), np.bool_))


def services(
    seed: int,
    location: Location,
    string: BatteryString,
    grid: TimeGrid,
    scenario: Scenario,
    first: Crew,
    swaps: Iterable[Swap],
) -> list[Service]:
    """What is in service in a string, from the start of the run on; `swaps` are those of it."""
    found = [Service(grid.start_s, tuple(range(len(string.jar_ids))), first)]
    for at_s, group in groupby(sorted(swaps, key=lambda w: (w.at_s, w.jar)), lambda w: w.at_s):
        some = list(group)
        crew = _renewed(seed, location, string, grid, scenario, found[-1].crew, some)
        found.append(Service(at_s, tuple(w.jar for w in some), crew))
    return found


def local_day(grid: TimeGrid, instant_s: int) -> int:
    """Number of the local day that holds an instant."""
    return (instant_s + grid.utc_offset_s) // SECONDS_PER_DAY


def _renewed(
    seed: int,
    location: Location,
    string: BatteryString,
    grid: TimeGrid,
    scenario: Scenario,
    crew: Crew,
    swaps: Sequence[Swap],
) -> Crew:
    jars = [w.jar for w in swaps]
    new_ids = tuple(unit_id(string.jar_ids[w.jar], w.number) for w in swaps)
    day = local_day(grid, swaps[0].at_s)
    installed = day_date(day)
    units = population.renewed(
        seed,
        location,
        string,
        crew.units,
        tuple(jars),
        new_ids,
        installed,
        day - grid.first_day,
        scenario,
    )
    drawn = failures.draw(
        seed,
        new_ids,
        swaps[0].at_s,
        installed.year,
        np.zeros(len(jars)),
        units.rate_per_year[jars],
        units.climate_factor[jars],
        np.ones(len(jars)),
        scenario,
    )
    failing = {f.name: getattr(crew.failures, f.name).copy() for f in fields(Failures)}
    for name, values in failing.items():
        values[jars] = getattr(drawn, name)
    ids, dries = list(crew.unit_ids), crew.dries.copy()
    for jar, new in zip(jars, new_ids, strict=True):
        ids[jar] = new
    dries[jars] = False
    return Crew(tuple(ids), units, Failures(**failing), dries)
