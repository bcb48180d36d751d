"""The entities of a run as tables: what there is, and what goes wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from functools import partial
from types import MappingProxyType

from fleetgen import rng
from fleetgen.crew import INJECTED, Swap, first_crew, local_day, services, unit_id
from fleetgen.model import faults, params
from fleetgen.model.population import Population
from fleetgen.rng import Stream
from fleetgen.rows import Row, row_groups
from fleetgen.schema import (
    ANOMALY,
    BATTERY,
    BATTERY_MODEL,
    BATTERY_SYSTEM,
    ENVIRONMENTAL_SENSOR,
    LOCATION,
    STRING,
    Table,
)
from fleetgen.spec import (
    DEFAULT_SCENARIO,
    BatteryString,
    BatterySystem,
    Fleet,
    Location,
    RowGroup,
    Run,
    Scenario,
    TimeGrid,
)
from fleetgen.units import day_date, iso_instant

WARRANTY_YEARS = 3
"""Warranty from installation (an assumption: usual for stationary VRLA)."""

_ENTITIES_AT_A_TIME = 24


def dimension_tables(
    fleet: Fleet,
    selected: dict[str, tuple[str, ...]],
    seed: int,
    grid: TimeGrid,
    scenario: Scenario = DEFAULT_SCENARIO,
    swaps: Mapping[str, int] = MappingProxyType({}),
) -> dict[Table, list[RowGroup]]:
    """Row groups of each dimension table; an entity appears when a selected jar is of it.

    `swaps` are the units that came in the run, with the instants [s].
    """
    rows: dict[Table, list[Row]] = {
        table: []
        for table in (
            LOCATION,
            BATTERY_MODEL,
            BATTERY_SYSTEM,
            STRING,
            BATTERY,
            ENVIRONMENTAL_SENSOR,
        )
    }
    models: dict[str, Row] = {}
    for site in fleet.sites:
        chosen = [s for s in site.systems if any(t.string_id in selected for t in s.strings)]
        if not chosen:
            continue
        rows[LOCATION].append(_location_row(site.location, fleet.time_zone))
        rows[ENVIRONMENTAL_SENSOR].append(
            {
                "sensor_id": site.sensor_id,
                "location_id": site.location.location_id,
                "kind": "temperature and humidity, room and outdoor",
            }
        )
        for system in chosen:
            rows[BATTERY_SYSTEM].append(_system_row(site.location, system))
            for s, string in enumerate(system.strings):
                if string.string_id not in selected:
                    continue
                model = string.model
                models.setdefault(
                    model.model_id, {n: getattr(model, n) for n in BATTERY_MODEL.names}
                )
                rows[STRING].append(_string_row(site.location, system, s))
                rows[BATTERY] += battery_rows(
                    site.location,
                    system,
                    s,
                    set(selected[string.string_id]),
                    seed,
                    grid,
                    scenario,
                    swaps,
                )
    rows[BATTERY_MODEL] = [models[name] for name in sorted(models)]
    return {table: row_groups(table, entries) for table, entries in rows.items()}


def _location_row(location: Location, time_zone: str) -> Row:
    return {
        "location_id": location.location_id,
        "name": location.name,
        "city": location.city,
        "region": location.region,
        "latitude": location.latitude,
        "longitude": location.longitude,
        "timezone": time_zone,
        "commissioned_date": location.commissioned,
        "climate": location.climate.climate_id,
        "temperature_compensated": location.temperature_compensated,
        "generator": location.generator,
    }


def _system_row(location: Location, system: BatterySystem) -> Row:
    return {
        "system_id": system.system_id,
        "location_id": location.location_id,
        "kind": system.kind,
        "strings": len(system.strings),
        "jars_per_string": system.jars_per_string,
        "nominal_voltage_v": system.jars_per_string * system.strings[0].model.nominal_voltage_v,
    }


def _string_row(location: Location, system: BatterySystem, s: int) -> Row:
    string = system.strings[s]
    return {
        "string_id": string.string_id,
        "system_id": system.system_id,
        "location_id": location.location_id,
        "model_id": string.model.model_id,
        "position_in_system": s + 1,
        "jars": len(string.jar_ids),
        "nominal_voltage_v": len(string.jar_ids) * string.model.nominal_voltage_v,
        "float_current_channel": system.kind == "REC",
    }


def battery_rows(
    location: Location,
    system: BatterySystem,
    s: int,
    wanted: set[str],
    seed: int,
    grid: TimeGrid,
    scenario: Scenario,
    swaps: Mapping[str, int],
) -> list[Row]:
    """Rows of `battery` of the wanted jars of string number `s`."""
    string = system.strings[s]
    first = first_crew(seed, location, system, string, grid, scenario)
    came = list(_came(s, string, swaps))
    by_start = services(seed, location, string, grid, scenario, first, came)
    crews = {each.at_s: each.crew for each in by_start}
    rows = []
    for j, jar_id in enumerate(string.jar_ids):
        if jar_id not in wanted:
            continue
        starts = [grid.start_s, *(w.at_s for w in came if w.jar == j)]
        ids = [unit_id(jar_id, number) for number in range(1, len(starts) + 1)]
        for n, (unit, start_s) in enumerate(zip(ids, starts, strict=True)):
            row = _battery_row(
                location, system, string, j, unit, crews[start_s].units, seed, scenario
            )
            gone = n + 1 < len(starts)
            rows.append(
                {
                    **row,
                    "status": "replaced" if gone else "in_service",
                    "replacement_of": ids[n - 1] if n else None,
                    "replaced_date": day_date(local_day(grid, starts[n + 1])) if gone else None,
                }
            )
    return rows


def _came(s: int, string: BatteryString, swaps: Mapping[str, int]) -> Iterator[Swap]:
    """Units that came to a string, position by position and in order."""
    for j, jar_id in enumerate(string.jar_ids):
        number = 2
        while (name := unit_id(jar_id, number)) in swaps:
            at_s = swaps[name]
            yield Swap(s, j, at_s, at_s, at_s, INJECTED, number)
            number += 1


def _battery_row(
    location: Location,
    system: BatterySystem,
    string: BatteryString,
    j: int,
    unit: str,
    units: Population,
    seed: int,
    scenario: Scenario,
) -> Row:
    read = partial(rng.normal, rng.key(seed, Stream.ACCEPTANCE, unit))
    error = params.ACCEPTANCE_NOISE.value if scenario.sensor_errors else 0.0
    installed = units.installed[j]
    return {
        "battery_id": unit,
        "string_id": string.string_id,
        "system_id": system.system_id,
        "location_id": location.location_id,
        "model_id": string.model.model_id,
        "position_in_string": j + 1,
        "serial_number": units.serial_number[j],
        "manufacture_date": units.manufactured[j],
        "installed_date": installed,
        "warranty_expiry_date": _years_later(installed, WARRANTY_YEARS),
        "initial_capacity_ah": string.model.rated_capacity_ah
        * units.soh_new[j]
        * (1 + error * read(1)),
        "initial_resistance_mohm": units.acceptance_uohm[j] / 1000.0,
    }


def _years_later(day: date, years: int) -> date:
    if (day.month, day.day) == (2, 29):
        return date(day.year + years, 2, 28)
    return day.replace(year=day.year + years)


def anomaly_groups(
    fleet: Fleet, selected: dict[str, tuple[str, ...]], run: Run
) -> Iterator[RowGroup]:
    """Row groups of `anomaly`: what befalls selected entities and touches the run.

    Ends may lie after that of the run. All follows from the run's plan.
    """
    grid = run.grid
    entities: set[str] = set()
    for site in fleet.sites:
        families: dict[str, faults.Family] = {}
        for system in site.systems:
            of_string = faults.UPS_STRING if system.kind == "UPS" else faults.RECTIFIER_STRING
            for string in system.strings:
                if string.string_id in selected:
                    families[string.string_id] = of_string
                    families |= dict.fromkeys(selected[string.string_id], faults.JAR)
        if families:
            families[site.sensor_id] = faults.ROOM
            entities |= {site.location.location_id, *families}
            named = list(families.items())
            for first in range(0, len(named), _ENTITIES_AT_A_TIME):
                some = named[first : first + _ENTITIES_AT_A_TIME]
                rows = [row for item in some for row in _fault_rows(run, *item)]
                yield from row_groups(ANOMALY, rows)
    others = ("sensor_fault", "replacement")
    events = (e for e in run.scenario.injections if e.kind not in others)
    rows = [
        _anomaly_row(grid, event.target, None, event.value or event.kind, *span, None, True)
        for event in events
        for span in [(event.start_s, event.start_s + event.duration_s)]
        if event.target in entities and span[0] < grid.end_s and span[1] > grid.start_s
    ]
    yield from row_groups(ANOMALY, rows)


def _fault_rows(run: Run, entity: str, family: faults.Family) -> Iterator[Row]:
    grid = run.grid
    span = grid.utc_offset_s, grid.start_s, grid.end_s
    found = faults.episodes(run.seed, run.scenario, family, entity, *span)
    for kind, code, start_s, end_s, size, injected in zip(
        *(column.tolist() for column in found), strict=True
    ):
        channel = None if code == faults.ALL else family.channels[code]
        magnitude = None if size != size else size  # NaN
        name = faults.KINDS[kind]
        yield _anomaly_row(grid, entity, channel, name, start_s, end_s, magnitude, injected)


def _anomaly_row(
    grid: TimeGrid,
    entity: str,
    channel: str | None,
    kind: str,
    start_s: int,
    end_s: int,
    magnitude: float | None,
    injected: bool,
) -> Row:
    start = iso_instant(start_s, grid.utc_offset_s)
    return {
        "anomaly_id": f"{entity}/{channel or 'all'}/{kind}/{start}",
        "entity_id": entity,
        "channel": channel,
        "kind": kind,
        "start_ts": 1000 * start_s,
        "end_ts": 1000 * end_s,
        "magnitude": magnitude,
        "injected": injected,
    }
