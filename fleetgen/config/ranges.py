"""Where the laws of the model hold, and what its instruments can show.

What lies beyond is refused, with the range and where it comes from; `cautions` warn where a law is
only stretched.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from fleetgen.config.faults import Faults, Keys
from fleetgen.config.fleet import sensor_id, strings_of
from fleetgen.config.sections import (
    ClimateTable,
    FleetSection,
    InjectTable,
    LocationTable,
    ModelTable,
    SystemTable,
)
from fleetgen.model import load, params
from fleetgen.schema import ENV, JAR_RAW, STRING_CALC, STRING_RAW
from fleetgen.units import SECONDS_PER_DAY
from fleetgen.wording import many

LONGEST_OUTAGE_S = SECONDS_PER_DAY
"""A flood's, the longest outage that is known of the grid."""

SIGMAS = 4.0
"""Deviations from a mean that a run hardly ever exceeds."""


_POWER_W = -STRING_CALC.valid("power_w")[0]
_CURRENT_A = -STRING_RAW.valid("current_a")[0]
_CONDUCTANCE_S = JAR_RAW.valid("conductance_s")[1]
_OUTDOOR_C = ENV.valid("outdoor_temperature_c")


def check_ranges(faults: Faults, fleet: FleetSection) -> None:
    """Add what no law or instrument reaches; a key that has a fault is not blamed again."""
    for name, model in fleet.models.items():
        _check_model(faults, ("fleet", "models", name), model)
    for name, climate in fleet.climates.items():
        _check_climate(faults, ("fleet", "climates", name), climate)
    for name, location in fleet.locations.items():
        for system_name, system in location.systems.items():
            _check_system(
                faults, fleet, ("fleet", "locations", name, "systems", system_name), system
            )


def _check_model(faults: Faults, keys: Keys, model: ModelTable) -> None:
    for name, low, high, set_point in (
        ("float", model.float_min_v, model.float_max_v, params.FLOAT_REFERENCE),
        ("boost", model.boost_min_v, model.boost_max_v, params.BOOST_SET),
    ):
        volts = round(set_point.value * model.cells, 6)
        for end, limit, wrong in (("min", low, low > volts), ("max", high, high < volts)):
            here = (*keys, f"{name}_{end}_v")
            if wrong and faults.clean((*keys, f"{name}_min_v"), (*keys, f"{name}_max_v")):
                side = "most" if end == "min" else "least"
                rule = (
                    f"must be at {side} the chargers' set-point, {volts:g} V "
                    f"({set_point.value:g} V/cell, {set_point.source})"
                )
                faults.add(here, limit, rule)
    family = params.DISCHARGE_FAMILIES[model.discharge_type]
    most_ah = _CONDUCTANCE_S * family.resistance_ohmic_mohm / 10.0  # of 100 Ah: 1000 / R siemens
    here = (*keys, "rated_capacity_ah")
    if model.rated_capacity_ah > most_ah and faults.clean(here):
        rule = (
            f"must be at most {most_ah:g}, for the {_CONDUCTANCE_S:g} S of "
            f"{JAR_RAW.name}.conductance_s; describe jars in parallel as strings"
        )
        faults.add(here, model.rated_capacity_ah, rule)


def _check_climate(faults: Faults, keys: Keys, climate: ClimateTable) -> None:
    lowest, highest = _OUTDOOR_C
    for name, values in (("minimum_c", climate.minimum_c), ("maximum_c", climate.maximum_c)):
        for month, value in enumerate(values):
            here = (*keys, name, str(month))
            if not lowest <= value <= highest and faults.clean(here):
                rule = (
                    f"must be within {lowest:g} to {highest:g} degC, the range of "
                    f"{ENV.name}.outdoor_temperature_c"
                )
                faults.add(here, value, rule)


def _highest_load_w(system: SystemTable, rated_ah: float, cells: int) -> float:
    """Highest load [W] of strings of `rated_ah` in all: the law's rating, office hours, wander."""
    swing = 1.0 + params.LOAD_OFFICE.value + SIGMAS * params.LOAD_WANDER.value
    _, highest = load.mean_range(system.kind)
    return load.rated_w(system.kind, rated_ah, cells, system.jars_per_string) * highest * swing


def _beyond(system: SystemTable, rated_ah: float, cells: int) -> str:
    """What a string would show beyond its range if it carried the load of `rated_ah`; or empty."""
    power_w = _highest_load_w(system, rated_ah, cells)
    current_a = power_w / (params.STRING_CUTOFF.value * cells * system.jars_per_string)
    if power_w > _POWER_W:
        return (
            f"{power_w / 1000:,.0f} kW, and {STRING_CALC.name}.power_w ends at "
            f"{_POWER_W / 1000:,.0f} kW"
        )
    if current_a > _CURRENT_A:
        return f"{current_a:,.0f} A, and {STRING_RAW.name}.current_a ends at {_CURRENT_A:,.0f} A"
    return ""


def _check_system(faults: Faults, fleet: FleetSection, keys: Keys, system: SystemTable) -> None:
    for string, name in system.strings.items():
        model = fleet.models.get(name)
        if model is None:
            continue
        beyond = _beyond(system, model.rated_capacity_ah, model.cells)
        if beyond and faults.clean((*keys, "strings", string), (*keys, "jars_per_string")):
            rule = f"its share of the load may reach {beyond}; take a smaller model or fewer jars"
            faults.add((*keys, "strings", string), name, rule)


def cautions(
    fleet: FleetSection, inject: Iterable[InjectTable], strings: Collection[str]
) -> Iterator[str]:
    """Say where the laws of a checked configuration are stretched: where, what, and by how much.

    `strings` are those that are written: what is injected elsewhere may not show.
    """
    for name, climate in fleet.climates.items():
        yield from _climate_cautions(f"fleet.climates.{name}", climate)
    for name, location in fleet.locations.items():
        yield from _location_cautions(fleet, f"fleet.locations.{name}", location)
    homes = {string_id: fleet.locations[place] for place, string_id, _ in strings_of(fleet)}
    places = {place for place, string_id, _ in strings_of(fleet) if string_id in strings}
    shown = {*strings, *places, *map(sensor_id, places)}
    for number, each in enumerate(inject):
        where = f"inject.{number}"
        if (each.target.rpartition("-J")[0] or each.target) not in shown:
            yield f"{where}: {each.target} is not among what is written, and may not show"
        if each.kind == "outage" and each.duration_s > LONGEST_OUTAGE_S:
            days = many(each.duration_s / SECONDS_PER_DAY, "day")
            yield (
                f"{where}: an outage of {days} is longer than "
                "any that is known of the grid, a day of flood"
            )
        runaway = each.kind == "failure_mode" and each.value == "thermal_runaway"
        if runaway and homes[each.target].temperature_compensated:
            yield (
                f"{where}: {each.target} has temperature-compensated chargers, and the law of "
                "thermal runaway is that of strings without"
            )


def _climate_cautions(where: str, climate: ClimateTable) -> Iterator[str]:
    spread_k = SIGMAS * max(climate.warm_sigma_c, climate.cool_sigma_c)
    lowest, highest = min(climate.minimum_c) - spread_k, max(climate.maximum_c) + spread_k
    if lowest < _OUTDOOR_C[0] or highest > _OUTDOOR_C[1]:
        yield (
            f"{where}: the weather may reach {lowest:.1f} to {highest:.1f} degC, and the sensors' "
            f"range is {_OUTDOOR_C[0]:g} to {_OUTDOOR_C[1]:g} degC; beyond it the run stops"
        )


def _location_cautions(fleet: FleetSection, where: str, location: LocationTable) -> Iterator[str]:
    for name, system in location.systems.items():
        models = [fleet.models[model] for model in system.strings.values()]
        whole_ah = sum(model.rated_capacity_ah for model in models)
        beyond = _beyond(system, whole_ah, models[0].cells)
        if beyond:
            yield (
                f"{where}.systems.{name}: a string that is left alone may carry {beyond}; beyond "
                "it the run stops"
            )
