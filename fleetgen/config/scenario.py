"""The scenario of a configuration: what is wanted of its injections, and the noun it becomes."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from datetime import datetime, time, timedelta
from typing import get_args

from fleetgen import spec
from fleetgen.config.faults import MISSING, Faults, Keys
from fleetgen.config.fleet import full_id, jar_ids, sensor_id
from fleetgen.config.sections import (
    FleetSection,
    InjectTable,
    RunSection,
    ScenarioSection,
    SensorFault,
    SystemTable,
)
from fleetgen.model import params
from fleetgen.schema import ENV, JAR_RAW, STRING_RAW
from fleetgen.units import SECONDS_PER_DAY, SECONDS_PER_HOUR, local_instant_s
from fleetgen.wording import nearest

SHARE_TOLERANCE = 1e-9

EARLIEST_ONSET_DAYS = 1096
"""A failure may have begun so long before the run: three years, a leap day among them."""

LONGEST_TEST_S = round(params.TEST_LIMIT.value * SECONDS_PER_HOUR)
"""A capacity test that no cut-off has ended is ended then."""

_TABLES = {"jar": JAR_RAW, "string": STRING_RAW, "environmental sensor": ENV}
_CHANNELS = {
    kind: [c.name for c in table.columns if c.kind == "float" and c.name != "conductance_s"]
    for kind, table in _TABLES.items()  # a conductance is the reciprocal of a measured resistance
}
_WHOLE = ("loose_lead", "communication_loss")
"""Sensor faults that befall more than one channel."""


def to_scenario(
    scenario: ScenarioSection, inject: Iterable[InjectTable], start_s: int, utc_offset_s: int
) -> spec.Scenario:
    """Build the scenario, in an order that does not depend on the order in a file.

    Profiles stand from the mildest to the worst, injections by their start.
    """
    profiles = [spec.Profile(name=name, **dict(t)) for name, t in scenario.profiles.items()]
    injections = [
        spec.Injection(
            kind=each.kind,
            target=each.target,
            start_s=start_s if each.at is None else local_instant_s(each.at, utc_offset_s),
            duration_s=each.duration_s,
            value=each.value or "",
            channel=each.channel or "",
        )
        for each in inject
    ]
    return spec.Scenario(
        profiles=tuple(
            sorted(profiles, key=lambda p: (p.soh_per_year, p.resistance_per_year, p.name))
        ),
        hazard_scale=scenario.hazard_scale,
        sensor_errors=scenario.sensor_errors,
        sensor_faults=scenario.sensor_faults,
        injections=tuple(
            sorted(
                injections,
                key=lambda i: (i.start_s, i.kind, i.target, i.value, i.channel, i.duration_s),
            )
        ),
    )


class _Entities:
    """Ids of a fleet by what they name."""

    def __init__(self, fleet: FleetSection) -> None:
        self.systems: dict[str, SystemTable] = {
            full_id(location_id, name, string): system
            for location_id, location in fleet.locations.items()
            for name, system in location.systems.items()
            for string in system.strings
        }
        self.ids = {
            "location": list(fleet.locations),
            "string": list(self.systems),
            "environmental sensor": [sensor_id(name) for name in fleet.locations],
        }

    def are(self, name: str, kind: str) -> bool:
        """Whether `name` is the id of a location, string, jar or environmental sensor."""
        if kind == "jar":
            string_id = self.string_of(name)
            return string_id in self.systems and name in self.jars(string_id)
        return name in self.ids[kind]

    def jars(self, string_id: str) -> tuple[str, ...]:
        """Ids of the jars of a string."""
        return jar_ids(string_id, self.systems[string_id].jars_per_string)

    def string_of(self, name: str) -> str:
        """Id of the string of a jar; it may be none of this fleet."""
        return name.rpartition("-J")[0]

    def near(self, name: str, kinds: list[str]) -> str:
        """Offer ids of some kinds near to one that is not known."""
        others = [each for kind in kinds if kind != "jar" for each in self.ids[kind]]
        if others and not ("jar" in kinds and "-J" in name):
            return nearest(name, others)
        string_id = self.string_of(name)
        if string_id not in self.systems:
            string_id = (difflib.get_close_matches(name, self.systems, 1) or [*self.systems])[0]
        jars = self.jars(string_id)
        return f"those of {string_id} run from {jars[0]} to {jars[-1]}"


def check_scenario(
    faults: Faults,
    run: RunSection,
    scenario: ScenarioSection,
    inject: Mapping[str, InjectTable],
    fleet: FleetSection,
) -> None:
    """Add the faults between keys of the scenario; `inject` is by number in the list."""
    profiles = ("scenario", "profiles")
    if not scenario.profiles and faults.clean(profiles):
        faults.add(profiles, {}, "must hold at least one; leave it out for those of the guide")
    if faults.clean(profiles):
        shares = {name: table.share for name, table in scenario.profiles.items()}
        whole = math.fsum(shares.values())
        if abs(whole - 1.0) > SHARE_TOLERANCE:
            rule = f"shares must add up to 1, and they add up to {whole:.12g}; change one of them"
            faults.add(profiles, shares, rule)
    entities = _Entities(fleet) if inject and faults.clean(("fleet",)) else None
    first: dict[tuple[object, ...], str] = {}
    for number, each in inject.items():
        keys = ("inject", number)
        _check_value(faults, keys, each, scenario)
        found = None
        if entities is not None and faults.clean((*keys, "target")):
            found = _find_target(faults, keys, each, entities)
        _check_channel(faults, keys, each, found, entities)
        _check_time(faults, keys, each, run)
        _check_duration(faults, keys, each)
        once = each.kind in ("profile", "failure_mode")  # of those a jar has one
        what: tuple[object, ...] = (each.kind, each.target)
        if each.kind == "replacement" and each.at is not None:  # of a day, one
            what += (each.at.date(),)
        elif not once:
            what += (each.at, each.duration_s, each.value, each.channel)
        if what in first:
            rule = f"{first[what]} says the same, or of the same target; keep one"
            faults.add(keys, each.target, rule)
        first.setdefault(what, faults.where(keys))


def _values(each: InjectTable, scenario: ScenarioSection) -> list[str]:
    """List what the value may be; empty where there is none."""
    match each.kind:
        case "profile":
            return list(scenario.profiles)
        case "failure_mode":
            return list(get_args(spec.FailureMode))
        case "sensor_fault":
            return list(get_args(SensorFault))
    return []


def _check_value(faults: Faults, keys: Keys, each: InjectTable, scenario: ScenarioSection) -> None:
    here, allowed = (*keys, "value"), _values(each, scenario)
    if not faults.clean(here) or (
        each.kind == "profile" and not faults.clean(("scenario", "profiles"))
    ):
        return
    if not allowed and each.value is not None:
        faults.add(here, each.value, f"{each.kind} has none; leave it out")
    elif allowed and each.value is None:
        faults.add(here, MISSING, f"{each.kind} needs one; known: {', '.join(allowed)}")
    elif allowed and each.value not in allowed:
        faults.add(here, each.value, f"no such {each.kind}; {nearest(each.value, allowed)}")


def _kinds(each: InjectTable) -> list[str]:
    """List what the target may be."""
    match each.kind, each.value:
        case (("outage" | "hvac_failure"), _):
            return ["location"]
        case ("capacity_test", _) | ("failure_mode", "thermal_runaway"):
            return ["string"]
        case "failure_mode", value if value not in get_args(spec.FailureMode):
            return ["jar", "string"]
        case "sensor_fault", "loose_lead":
            return ["jar"]
        case "sensor_fault", "communication_loss":
            return ["string"]
        case "sensor_fault", _:
            return ["jar", "string", "environmental sensor"]
    return ["jar"]


def _find_target(faults: Faults, keys: Keys, each: InjectTable, entities: _Entities) -> str | None:
    """Say what the target is; None, and a fault, if it is not what the injection is for."""
    kinds = _kinds(each)
    for kind in kinds:
        if entities.are(each.target, kind):
            return kind
    what = each.value if each.kind in ("failure_mode", "sensor_fault") else each.kind
    wanted = " or ".join(kinds)
    for kind in (*entities.ids, "jar"):
        if entities.are(each.target, kind):
            rule = f"is a {kind}, and {what} is for a {wanted}"
            break
    else:
        rule = f"no such {wanted}"
    faults.add((*keys, "target"), each.target, f"{rule}; {entities.near(each.target, kinds)}")
    return None


def _check_channel(
    faults: Faults, keys: Keys, each: InjectTable, kind: str | None, entities: _Entities | None
) -> None:
    here = (*keys, "channel")
    if not faults.clean(here, (*keys, "value")):
        return
    if each.kind != "sensor_fault" or each.value in _WHOLE:
        if each.channel is not None:
            what = each.value if each.kind == "sensor_fault" else each.kind
            faults.add(here, each.channel, f"{what} is not of one channel; leave it out")
        return
    if each.channel is None:
        faults.add(here, MISSING, f"{each.value} needs a measured column; for example voltage_v")
        return
    if kind is None or entities is None:
        return
    channels = _CHANNELS[kind]
    if kind == "string" and entities.systems[each.target].kind == "UPS":
        channels = [name for name in channels if name != "float_current_a"]
    if each.channel not in channels:
        rule = f"{each.target} has no such channel; {nearest(each.channel, channels)}"
        faults.add(here, each.channel, rule)
        return
    possible = _befallen(str(each.value), kind)
    if each.channel not in possible:
        what = f"knows {each.value} only in {', '.join(possible)}"
        if not possible:
            what = f"knows no {each.value}"
        rule = f"the model {what} of a {kind}; choose another column or kind of fault"
        faults.add(here, each.channel, rule)


def _befallen(value: str, kind: str) -> list[str]:
    """List the channels that a kind of fault befalls, by the laws of the instruments."""
    from fleetgen.model import faults as laws  # loads kernels, which few configurations need

    families = {"jar": laws.JAR, "string": laws.RECTIFIER_STRING, "environmental sensor": laws.ROOM}
    family = families[kind]
    rows = [(laws.KINDS[int(law[0])], int(law[2])) for law in family.laws]
    return [family.channels[channel] for name, channel in rows if name == value]


def _check_time(faults: Faults, keys: Keys, each: InjectTable, run: RunSection) -> None:
    here = (*keys, "at")
    if not faults.clean(here, ("run", "start_date"), ("run", "duration_days")):
        return
    start = datetime.combine(run.start_date, time())
    end = start + timedelta(seconds=run.duration_s)
    if each.kind == "profile":
        if each.at not in (None, start):
            rule = "a profile holds from the start of the run on; leave it out"
            faults.add(here, each.at, rule)
    elif each.at is None:
        rule = f"{each.kind} needs a local date and time; for example {start.isoformat()}"
        faults.add(here, MISSING, rule)
    elif each.at >= end:
        rule = (
            f"must be before the end of the run, {end.isoformat()}; lengthen it or choose earlier"
        )
        faults.add(here, each.at, rule)
    elif each.kind == "failure_mode":
        _check_onset(faults, here, each, each.at, start)
    elif each.kind == "replacement" and (each.at.hour < 1 or each.at.minute or each.at.second):
        rule = "must be on the hour, from 01:00 to 23:00: new units go into service then"
        faults.add(here, each.at, rule)
    elif each.at < start:
        rule = f"must not be before the start of the run, {start.isoformat()}; choose later"
        faults.add(here, each.at, rule)


def _check_onset(
    faults: Faults, here: Keys, each: InjectTable, at: datetime, start: datetime
) -> None:
    """Want a failure to be under way in the run, and not older than failures are drawn."""
    earliest = start - timedelta(days=EARLIEST_ONSET_DAYS)
    if at < earliest:
        rule = f"must be at most 3 years before the run, {earliest.isoformat()}; choose later"
        faults.add(here, at, rule)
    elif each.duration_s and at + timedelta(seconds=each.duration_s) <= start:
        rule = (
            f"it would be over before the run starts at {start.isoformat()}, and what failed is "
            "replaced; choose later or a longer duration"
        )
        faults.add(here, at, rule)


def _check_duration(faults: Faults, keys: Keys, each: InjectTable) -> None:
    minutes, days = (*keys, "duration_minutes"), (*keys, "duration_days")
    if not faults.clean(minutes, days):
        return
    here, value = (
        (days, each.duration_days)
        if each.duration_minutes is None
        else (minutes, each.duration_minutes)
    )
    if each.duration_minutes is not None and each.duration_days is not None:
        faults.add(days, each.duration_days, "duration_minutes is given, too; keep one")
    elif each.kind in ("profile", "replacement"):
        if value is not None:
            why = "a profile holds to the end of the run"
            if each.kind == "replacement":
                why = "the work of a replacement takes an hour"
            faults.add(here, value, f"{why}; leave it out")
    elif value is None:
        faults.add(minutes, MISSING, f"{each.kind} needs it, or duration_days")
    elif each.kind == "failure_mode" and each.duration_s < SECONDS_PER_DAY:
        faults.add(here, value, "must be at least a day, the step in which a failure proceeds")
    elif each.kind == "capacity_test" and each.duration_s > LONGEST_TEST_S:
        hours = LONGEST_TEST_S / SECONDS_PER_HOUR
        faults.add(here, value, f"must be at most {hours:g} hours, after which any test is ended")
