"""Faults that concern several keys, looked for in whatever could be read of a configuration."""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import pairwise

from fleetgen import places
from fleetgen.config.faults import ID_RULE, MISSING, Faults, Keys, usable
from fleetgen.config.fleet import full_id, selected_jars, sensor_id, strings_of
from fleetgen.config.ranges import check_ranges
from fleetgen.config.scenario import check_scenario
from fleetgen.config.sections import (
    STRING_LIMIT_V,
    ClimateTable,
    ExecutionSection,
    FleetSection,
    InjectTable,
    LocationTable,
    ModelTable,
    Names,
    OutputSection,
    RunSection,
    ScenarioSection,
    SelectSection,
    SystemTable,
    Table,
    to_alert_rules,
)
from fleetgen.units import SECONDS_PER_DAY, SECONDS_PER_HOUR, day_date, day_number
from fleetgen.wording import nearest

_MONTH_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def check(
    faults: Faults,
    run: RunSection,
    output: OutputSection,
    select: SelectSection,
    execution: ExecutionSection,
    scenario: ScenarioSection,
    alerts: Table,
    inject: Mapping[str, InjectTable],
    fleet: FleetSection,
) -> None:
    """Add the faults between keys; a key that has a fault of its own is not blamed again."""
    _check_run(faults, run)
    _check_output(faults, output)
    _check_execution(faults, execution)
    _check_fleet(faults, fleet)
    check_ranges(faults, fleet)
    _check_zone(faults, run, fleet)
    _check_selection(faults, run, select, fleet)
    check_scenario(faults, run, scenario, inject, fleet)
    _check_alerts(faults, alerts)


def _check_alerts(faults: Faults, alerts: Table) -> None:
    for rule in to_alert_rules(alerts):
        here = ("alerts", rule.name, "critical")
        warning, critical = rule.warning, rule.critical
        if not faults.clean(here, ("alerts", rule.name, "warning")):
            continue
        if (warning is None) != (critical is None):
            told = "warning and critical are given together, or neither: the battery model's"
            faults.add(here, critical, f"{told}; give both or leave both out")
        elif warning is not None and critical is not None:
            short = warning < critical if rule.below else warning > critical
            if short:
                side = "most" if rule.below else "least"
                faults.add(here, critical, f"must be at {side} warning, {warning:g}; change one")


def check_output(faults: Faults, output: OutputSection) -> None:
    """Add the faults of a URL and of storage options."""
    place, options = ("output", "directory"), ("output", "storage_options")
    if places.holds_login(output.directory):
        faults.add(place, output.directory, places.NO_SECRETS)
    for name, value in output.storage_options.items():
        rule = places.option_fault(name, value)
        if rule is not None:
            faults.add((*options, name), value, rule)
    remote = output.directory.startswith("s3:")
    if output.storage_options and not remote and faults.clean(place, options):
        names = ", ".join(output.storage_options)
        faults.add(options, names, f"{names}: for an --output-dir on s3:// alone; leave them out")


def _check_run(faults: Faults, run: RunSection) -> None:
    interval, duration = ("run", "sampling_seconds"), ("run", "duration_days")
    if run.sampling_seconds > run.duration_s and faults.clean(interval, duration):
        faults.add(
            interval,
            run.sampling_seconds,
            f"must be at most the {run.duration_s} s of the run; sample more often or lengthen "
            f"{faults.where(duration)}",
        )


def _check_output(faults: Faults, output: OutputSection) -> None:
    if output.format == "csv.gz" and output.writer != "direct":
        rule = "is a writer of Parquet, and the format is csv.gz; leave one of them out"
        faults.add(("output", "writer"), output.writer, rule)


def _check_share(faults: Faults, execution: ExecutionSection) -> None:
    count, number = ("execution", "parts"), ("execution", "part")
    if not faults.clean(count, number):
        return
    for one, value, other in (
        (count, execution.parts, execution.part),
        (number, execution.part, execution.parts),
    ):
        if value is not None and other is None:
            rule = "one of --parts and --part is given alone; give both, as in --parts 8 --part 3"
            faults.add(one, value, rule)
    if execution.parts and execution.part and execution.part > execution.parts:
        rule = f"must be from 1 to {execution.parts}, the number of --parts"
        faults.add(number, execution.part, rule)


def _check_execution(faults: Faults, execution: ExecutionSection) -> None:
    _check_share(faults, execution)
    if not faults.clean(("execution", "executor")):
        return
    executor, workers = execution.executor, execution.workers
    address, file = execution.scheduler, execution.scheduler_file
    given = address is not None or file is not None
    if address is not None and file is not None:
        faults.add(("execution", "scheduler_file"), file, "the address is given, too; keep one")
    elif executor == "scheduler" or (executor is None and given):
        if (
            address is None
            and file is None
            and faults.clean(("execution", "scheduler"), ("execution", "scheduler_file"))
        ):
            rule = "needs its address or file; give --scheduler or --scheduler-file"
            faults.add(("execution", "executor"), executor, rule)
        if workers is not None:
            rule = "a given scheduler has its own workers; leave the number out"
            faults.add(("execution", "workers"), workers, rule)
    if executor not in (None, "scheduler"):
        rule = f"is for executor scheduler, not {executor}; leave one of them out"
        for key, value in (("scheduler", address), ("scheduler_file", file)):
            if value is not None:
                faults.add(("execution", key), value, rule)
    if executor == "serial" and workers is not None and workers > 1:
        rule = "the serial executor is one worker; take --executor local or threads"
        faults.add(("execution", "workers"), workers, rule)


def _check_fleet(faults: Faults, fleet: FleetSection) -> None:
    for name, model in fleet.models.items():
        _check_model(faults, ("fleet", "models", name), model)
    for name, climate in fleet.climates.items():
        _check_climate(faults, ("fleet", "climates", name), climate)
    taken: dict[str, str] = {}
    for name, location in fleet.locations.items():
        _check_location(faults, fleet, ("fleet", "locations", name), location, taken)
    if not fleet.locations and faults.clean(("fleet",)):
        faults.add(("fleet", "locations"), MISSING, "describe one, or leave [fleet] out")


def _rising(faults: Faults, keys: Keys, table: Table, *names: str) -> None:
    """Want each of the named values above the one before."""
    for low, high in pairwise(names):
        floor, value = getattr(table, low), getattr(table, high)
        if value <= floor:
            rule = f"must be above {low}, which is {floor}; raise it or lower {low}"
            faults.add((*keys, high), value, rule)


def _check_model(faults: Faults, keys: Keys, model: ModelTable) -> None:
    _rising(faults, keys, model, "float_min_v", "float_max_v", "boost_max_v")
    _rising(faults, keys, model, "boost_min_v", "boost_max_v")
    _rising(
        faults,
        keys,
        model,
        "temperature_info_c",
        "temperature_warning_c",
        "temperature_critical_c",
    )


def _check_climate(faults: Faults, keys: Keys, climate: ClimateTable) -> None:
    for month, days in enumerate(_MONTH_DAYS):
        low, mean, high = (
            values[month] for values in (climate.minimum_c, climate.mean_c, climate.maximum_c)
        )
        if not low <= mean <= high:
            rule = f"must lie between minimum_c and maximum_c of its month, {low} and {high}"
            faults.add((*keys, "mean_c", str(month)), mean, rule)
        if climate.rainy_days[month] > days:
            rule = f"must be at most the {days} days of its month"
            faults.add((*keys, "rainy_days", str(month)), climate.rainy_days[month], rule)


def _check_location(
    faults: Faults, fleet: FleetSection, keys: Keys, location: LocationTable, taken: dict[str, str]
) -> None:
    climate = location.climate
    if climate not in fleet.climates and faults.clean(("fleet", "climates", climate)):
        rule = f"no such climate station; {nearest(climate, fleet.climates)}"
        faults.add((*keys, "climate"), climate, rule)
    if not location.systems and faults.clean((*keys, "systems")):
        faults.add((*keys, "systems"), {}, "must hold at least one battery system; add one")
    _claim(faults, keys, keys[-1], taken)
    _claim(faults, keys, sensor_id(keys[-1]), taken)
    for name, system in location.systems.items():
        here = (*keys, "systems", name)
        _claim(faults, here, full_id(keys[-1], name), taken)
        for string in system.strings:
            if usable(string):
                _claim(faults, (*here, "strings", string), full_id(keys[-1], name, string), taken)
            else:
                faults.add((*here, "strings"), string, ID_RULE)
        _check_bus(faults, fleet, here, system)


def _claim(faults: Faults, keys: Keys, wanted: str, taken: dict[str, str]) -> None:
    """Want a full id that is short enough, and is unique where letter case does not count."""
    if not usable(wanted):
        faults.add(keys, wanted, "the id is longer than 64 characters; shorten its parts")
    elif wanted.lower() in taken:
        rule = f"is the id of {taken[wanted.lower()]}, too (letter case aside); rename one"
        faults.add(keys, wanted, rule)
    else:
        taken[wanted.lower()] = faults.where(keys)


def _check_bus(faults: Faults, fleet: FleetSection, keys: Keys, system: SystemTable) -> None:
    """Want models that are known, and a bus that the monitor can measure."""
    for string, model in system.strings.items():
        if model not in fleet.models and faults.clean(("fleet", "models", model)):
            rule = f"no such battery model; {nearest(model, fleet.models)}"
            faults.add((*keys, "strings", string), model, rule)
    models = [fleet.models[name] for name in system.strings.values() if name in fleet.models]
    if not models:
        return
    most = int(STRING_LIMIT_V // max(model.boost_max_v for model in models))
    if system.jars_per_string > most:
        rule = f"must be at most {most}, for a string of {STRING_LIMIT_V:g} V at boost"
        faults.add((*keys, "jars_per_string"), system.jars_per_string, rule)


def _check_zone(faults: Faults, run: RunSection, fleet: FleetSection) -> None:
    """Want a zone that keeps the fleet's offset all through the run."""
    keys = ("fleet", "time_zone")
    if not faults.clean(
        keys, ("fleet", "utc_offset_hours"), ("run", "duration_days"), ("run", "start_date")
    ):
        return
    try:
        zone = zoneinfo.ZoneInfo(fleet.time_zone)
    except (KeyError, ValueError, OSError):
        known = zoneinfo.available_timezones()
        if known:  # else this machine has no time zones to ask
            rule = f"no such time zone; {nearest(fleet.time_zone, sorted(known))}"
            faults.add(keys, fleet.time_zone, rule)
        return
    last = day_date(day_number(run.start_date) + run.duration_s // SECONDS_PER_DAY)
    offsets = {
        datetime(year, month, 1, tzinfo=zone).utcoffset()
        for year in range(run.start_date.year, last.year + 1)
        for month in range(1, 13)
    }
    hours = sorted(o.total_seconds() / SECONDS_PER_HOUR for o in offsets if o is not None)
    if hours != [fleet.utc_offset_hours]:
        shown = ", ".join(f"{h:g}" for h in hours)
        rule = (
            f"its offset is {shown} h during the run, and utc_offset_hours = "
            f"{fleet.utc_offset_hours:g}; name a zone of one offset, like Etc/GMT-7, and its hours"
        )
        faults.add(keys, fleet.time_zone, rule)


def _check_selection(
    faults: Faults, run: RunSection, select: SelectSection, fleet: FleetSection
) -> None:
    locations, strings, limit = (("select", key) for key in SelectSection.model_fields)
    if not fleet.locations or not faults.clean(locations, strings):
        return
    _check_names(faults, locations, "location", select.locations, fleet.locations)
    if not faults.clean(("fleet",)):
        return
    homes = {string_id: location_id for location_id, string_id, _ in strings_of(fleet)}
    _check_names(faults, strings, "string", select.strings, homes)
    total = sum(selected_jars(select.model_copy(update={"limit_batteries": None}), fleet).values())
    if not total and faults.clean(locations, strings):
        rule = "none of them is at the selected locations; widen one of the two"
        faults.add(strings, select.strings, rule)
    if (select.limit_batteries or 0) > total and faults.clean(locations, strings):
        rule = f"must be at most {total}, the batteries that are left; or leave it out"
        faults.add(limit, select.limit_batteries, rule)
    if not faults.clean(limit):  # the first battery is selected at least
        select = select.model_copy(update={"limit_batteries": 1})
    if faults.clean(("run", "start_date")):
        _check_start(faults, run, fleet, {homes[name] for name in selected_jars(select, fleet)})


def _check_names(
    faults: Faults, keys: Keys, kind: str, names: Names | None, known: Mapping[str, object]
) -> None:
    for name in names or ():
        if name not in known and faults.clean(("fleet", f"{kind}s", name)):
            meant = _of_place(name, known)
            hint = f"did you mean {' or '.join(meant)}?" if meant else nearest(name, known)
            faults.add(keys, name, f"no such {kind}; {hint}")


def _of_place(name: str, known: Mapping[str, object]) -> list[str]:
    """List the locations in a city or region, or of a name, that was given for an id."""
    word = name.strip().casefold()
    return [
        location_id
        for location_id, table in known.items()
        if isinstance(table, LocationTable)
        and word in (table.city.casefold(), table.region.casefold(), table.name.casefold())
    ]


def _check_start(
    faults: Faults, run: RunSection, fleet: FleetSection, selected: Iterable[str]
) -> None:
    for name in sorted(selected, key=list(fleet.locations).index):
        commissioned = fleet.locations[name].commissioned
        if run.start_date < commissioned:
            rule = (
                f"{name} went into service on {commissioned}; start on that day or later, or "
                "leave the location out with --locations"
            )
            faults.add(("run", "start_date"), run.start_date, rule)
