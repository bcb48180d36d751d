"""What is made, and which check looks at it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import fleetgen
from tests.fidelity import ageing, electrical, float_, laboratory, sensors, thermal, world
from tests.fidelity.check import Check
from tests.fidelity.data import DataSet

HERE = Path(__file__).resolve().parent

SEEDS = (577, 2236, 1732)
"""Named before their first run; numbers and checks were chosen on others."""

STRESS = str(HERE / "stress.toml")
RECHARGE = str(HERE / "recharge.toml")
LABORATORY = str(HERE / "laboratory.toml")
IDEAL = {"scenario.sensor_errors": False, "scenario.sensor_faults": False}
"""The fields of `spec.Scenario`, as keys of a configuration."""

SETS: Mapping[str, Mapping[str, object]] = {
    "year": {"duration_days": 365, "sampling_seconds": 300},
    "week": {"duration_days": 7, "sampling_seconds": 5},
    "stress": {"config": STRESS, "locations": "LAB-01,LAB-02,LAB-03,LAB-04"},
    "recharge": {"config": RECHARGE},
    "laboratory": {"config": LABORATORY},
    "trips": {
        "config": STRESS,
        "locations": ",".join(f"LAB-{n:02d}" for n in range(5, 13)),
        "duration_days": 150,
        "sampling_seconds": 30,
    },
    "ideal": {
        "config": STRESS,
        "locations": "LAB-01",
        "duration_days": 10,
        "sampling_seconds": 60,
        "overrides": IDEAL,
    },
}
"""The arguments of `fleetgen.generate` for each data set: a year and a week of the whole fleet, a
few strings that are often on battery, sampled fast or for long, some that are discharged wholly,
and some with ideal sensors."""


def make(name: str, seed: int, place: Path, **changes: object) -> DataSet:
    """The data set `name` below `place`; one that is there already is left as it is."""
    directory = place / f"{name}-{seed}"
    arguments = {**SETS[name], **changes}
    config, overrides = arguments.pop("config", None), arguments.pop("overrides", None)
    fleetgen.generate(config, overrides, seed=seed, output_dir=str(directory), **arguments)
    return DataSet(directory)


def run(seed: int, place: Path) -> Iterator[list[Check]]:
    """All checks, as they come."""
    yield laboratory.check()
    yield world.grid_outages(seed)

    stress = make("stress", seed, place)
    yield electrical.coup_de_fouet(stress)
    yield electrical.load_steps(stress)
    whole = make("recharge", seed, place)
    yield electrical.recharge(whole)
    yield electrical.no_coup_de_fouet(whole)

    trips = make("trips", seed, place)
    yield electrical.constant_power(trips)
    yield thermal.fast_heat(trips)

    week, year = make("week", seed, place), make("year", seed, place)
    yield electrical.load_drop(week)
    yield sensors.voltage_limits(week)

    yield electrical.kirchhoff(year)
    yield float_.level(year)
    yield float_.spread(year)
    many = make("laboratory", seed, place)
    yield float_.new_spread(many)
    yield thermal.fold(many)
    yield ageing.arrhenius(many)
    yield ageing.rates(many)
    yield thermal.slow_heat(year)
    yield thermal.places(year)
    yield thermal.runaway(year)
    yield ageing.shares(year)
    yield ageing.resistance(year)
    yield ageing.remaining_life(week, year)
    yield ageing.static_columns(year)
    yield sensors.voltage_limits(year)
    yield sensors.resistance_readings(year)
    yield world.climate(year)
    yield world.contrasts(year)

    yield electrical.kirchhoff_ideal(make("ideal", seed, place))
