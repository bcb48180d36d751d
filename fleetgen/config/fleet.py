"""The fleet of a configuration: its full ids, its nouns, and the part of it that is written."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from fleetgen import spec
from fleetgen.config.sections import FleetSection, LocationTable, SelectSection, SystemTable


def sensor_id(location_id: str) -> str:
    """Id of the environmental sensor of a location."""
    return f"{location_id}-ENV-01"


def full_id(*names: str) -> str:
    """Id of a system or string from the names of its location, its system and itself."""
    return "-".join(names)


def jar_ids(string_id: str, jars: int) -> tuple[str, ...]:
    """Ids of the jars of a string, from its positive end."""
    return tuple(f"{string_id}-J{n:02d}" for n in range(1, jars + 1))


def to_sites(fleet: FleetSection) -> tuple[spec.Site, ...]:
    """Build the sites, in configuration order.

    Systems of a site and strings of a system stand in order of id, so that a sum over a bus does
    not depend on the order in a file.
    """
    models = {
        name: spec.BatteryModel(model_id=name, **dict(table))
        for name, table in fleet.models.items()
    }
    climates = {
        name: spec.Climate(climate_id=name, **dict(table)) for name, table in fleet.climates.items()
    }
    return tuple(
        _site(location_id, table, climates[table.climate], models)
        for location_id, table in fleet.locations.items()
    )


def strings_of(fleet: FleetSection) -> Iterator[tuple[str, str, int]]:
    """Each string in configuration order: its location, its id, its number of jars."""
    for location_id, location in fleet.locations.items():
        for system, table in location.systems.items():
            for name in table.strings:
                yield location_id, full_id(location_id, system, name), table.jars_per_string


def selected_jars(select: SelectSection, fleet: FleetSection) -> dict[str, int]:
    """Count the selected jars of each selected string; they are its first ones."""
    left = select.limit_batteries
    selection = {}
    for location_id, string_id, jars in strings_of(fleet):
        chosen = (select.locations is None or location_id in select.locations) and (
            select.strings is None or string_id in select.strings
        )
        count = jars if left is None else min(jars, left)
        if chosen and count:
            selection[string_id] = count
            left = None if left is None else left - count
    return selection


def without_unused(fleet: FleetSection) -> FleetSection:
    """Drop the models and stations that the fleet does not use."""
    climates = {location.climate for location in fleet.locations.values()}
    models = {
        model
        for location in fleet.locations.values()
        for system in location.systems.values()
        for model in system.strings.values()
    }
    return fleet.model_copy(
        update={
            "climates": {k: v for k, v in fleet.climates.items() if k in climates},
            "models": {k: v for k, v in fleet.models.items() if k in models},
        }
    )


def _site(
    location_id: str,
    table: LocationTable,
    climate: spec.Climate,
    models: Mapping[str, spec.BatteryModel],
) -> spec.Site:
    facts = dict(table) | {"climate": climate}
    systems = facts.pop("systems")
    string_ids = sorted(
        full_id(full_id(location_id, name), string)
        for name, system in systems.items()
        for string in system.strings
    )
    return spec.Site(
        spec.Location(location_id=location_id, string_ids=tuple(string_ids), **facts),
        tuple(
            _system(full_id(location_id, name), systems[name], models)
            for name in sorted(systems, key=_natural)
        ),
        sensor_id(location_id),
    )


def _system(
    system_id: str, table: SystemTable, models: Mapping[str, spec.BatteryModel]
) -> spec.BatterySystem:
    strings = []
    for name in sorted(table.strings, key=_natural):
        string_id = full_id(system_id, name)
        model = models[table.strings[name]]
        strings.append(
            spec.BatteryString(string_id, model, jar_ids(string_id, table.jars_per_string))
        )
    return spec.BatterySystem(system_id, table.kind, tuple(strings))


def _natural(name: str) -> tuple[list[str | int], str]:
    """Sort key under which S2 stands before S10."""
    return [int(p) if i % 2 else p for i, p in enumerate(re.split(r"(\d+)", name))], name
