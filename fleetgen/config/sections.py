"""Every key of a configuration, declared once: its type, limits, default and an example.

What is allowed stands in words, too (`description`), for the line that tells a fault.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, create_model

from fleetgen import places, spec
from fleetgen.schema import JAR_RAW, STRING_RAW
from fleetgen.units import HOURS_PER_DAY, SECONDS_PER_DAY, SECONDS_PER_MINUTE

JAR_LIMIT_V, STRING_LIMIT_V = (table.valid("voltage_v")[1] for table in (JAR_RAW, STRING_RAW))
"""Highest voltages [V] that the monitor reports."""

_LONGEST_DAYS = 18_262.5
_LONGEST_MINUTES = 26_298_000

SensorFault = Literal[
    "dropout", "stuck", "spike", "drift", "offset", "loose_lead", "communication_loss"
]


def _key(default: Any, allowed: str, example: object = None, **limits: Any) -> Any:
    """Declare a key: its default (`...` if it must be given), what is allowed, an example."""
    if example is None and default not in (..., None):
        example = default
    return Field(default=default, description=allowed, examples=[example], **limits)


def _whole_seconds(days: float) -> float:
    seconds = days * SECONDS_PER_DAY
    if not math.isfinite(seconds) or round(seconds) < 1 or abs(seconds - round(seconds)) > 1e-6:
        raise ValueError
    return days


def _whole_seconds_of_minutes(minutes: float) -> float:
    _whole_seconds(minutes * SECONDS_PER_MINUTE / SECONDS_PER_DAY)
    return minutes


def _divides_a_day(hours: int) -> int:
    if hours < 1 or HOURS_PER_DAY % hours:
        raise ValueError
    return hours


def _iso_date(value: object) -> object:
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value, re.ASCII):
        return date.fromisoformat(value)
    return value


def _iso_local(value: object) -> object:
    form = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?"
    if isinstance(value, str) and re.fullmatch(form, value, re.ASCII):
        return datetime.fromisoformat(value)
    return value


def _local_second(value: datetime) -> datetime:
    if value.tzinfo is not None or value.microsecond:
        raise ValueError
    return value


def _names(value: object) -> object:
    if isinstance(value, str):
        value = [name.strip() for name in value.split(",") if name.strip()]
    if not value:
        raise ValueError
    return tuple(value) if isinstance(value, list) else value


def _twelve(value: object) -> object:
    if not isinstance(value, list | tuple) or len(value) != 12:
        raise ValueError
    return tuple(value)


def _printable(text: str) -> str:
    if not text.isprintable() or text != text.strip():
        raise ValueError
    return text


Day = Annotated[date, BeforeValidator(_iso_date)]
LocalSecond = Annotated[datetime, BeforeValidator(_iso_local), AfterValidator(_local_second)]
Names = Annotated[tuple[str, ...], BeforeValidator(_names)]
Text = Annotated[str, Field(min_length=1, max_length=80), AfterValidator(_printable)]
Place = Annotated[str, Field(min_length=1, max_length=1024), AfterValidator(_printable)]
Celsius = Annotated[float, Field(ge=-45, le=60)]
Percent = Annotated[float, Field(ge=1, le=100)]
Days = Annotated[float, Field(ge=0, le=31)]
Celsius12 = Annotated[tuple[Celsius, ...], BeforeValidator(_twelve)]
Percent12 = Annotated[tuple[Percent, ...], BeforeValidator(_twelve)]
Days12 = Annotated[tuple[Days, ...], BeforeValidator(_twelve)]


class Table(BaseModel):
    """A table of keys; unknown keys, other types and numbers that are not finite are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class RunSection(Table):
    """What is simulated: how long, how often, from when, from which seed."""

    duration_days: Annotated[float, AfterValidator(_whole_seconds)] = _key(
        7.0,
        "a number of days above 0, at most 18262.5 (50 years), that makes whole seconds",
        gt=0,
        le=_LONGEST_DAYS,
    )
    sampling_seconds: int = _key(
        300, "a whole number of seconds, at least 1 and at most the duration", ge=1
    )
    seed: int = _key(42, "a whole number from 0 to 9223372036854775807", ge=0, le=2**63 - 1)
    start_date: Day = _key(
        date(2025, 1, 1),
        "a date YYYY-MM-DD from 2001-01-01 to 2100-12-31",
        ge=date(2001, 1, 1),
        le=date(2100, 12, 31),
    )

    @property
    def duration_s(self) -> int:
        """Length of the run [s]."""
        return round(self.duration_days * SECONDS_PER_DAY)


class OutputSection(Table):
    """Where the data set goes, and how it is written."""

    directory: Place = _key("./output", "a directory as text, 1 to 1024 printable characters")
    format: Literal["parquet", "csv.gz", "none"] = _key("parquet", "parquet, csv.gz or none")
    writer: Literal["direct", "pyarrow"] = _key("direct", "direct or pyarrow")
    storage_options: dict[str, Any] = _key(
        {}, "a table of storage options, for an output on s3://", {"region": "ap-southeast-1"}
    )

    def to_options(self) -> places.Options:
        """Storage options as they travel to the workers."""
        return places.to_options(self.storage_options)


class SelectSection(Table):
    """Which batteries are written; all of them by default."""

    locations: Names | None = _key(
        None, "a list of one or more location ids", "DC-CNX-01,DC-PKT-01"
    )
    strings: Names | None = _key(None, "a list of one or more string ids", "DC-CNX-01-REC-01-S1")
    limit_batteries: int | None = _key(
        None, "a whole number from 1 to the batteries of the fleet", 24, ge=1
    )


class ExecutionSection(Table):
    """On what the run is made; all but `block_days` leave the data as they are."""

    executor: Literal["local", "serial", "threads", "scheduler"] | None = _key(
        None, "local, serial, threads or scheduler", "local"
    )
    workers: int | None = _key(None, "a whole number from 1 to 4096", 2, ge=1, le=4096)
    scheduler: Place | None = _key(
        None, "the address of a Dask scheduler as text", "tcp://127.0.0.1:8786"
    )
    scheduler_file: Place | None = _key(
        None, "the path of a Dask scheduler file as text", "scheduler.json"
    )
    performance_report: Place | None = _key(
        None, "the path of a file for Dask's account of the run as text", "report.html"
    )
    parts: int | None = _key(
        None,
        "the number of shares of the parts, a whole number from 1 to 100000",
        8,
        ge=1,
        le=10**5,
    )
    part: int | None = _key(None, "which of the shares to make, from 1 on", 1, ge=1, le=100_000)
    block_days: int | None = _key(
        None, "the most days in one part, a whole number from 1 to 31", 7, ge=1, le=31
    )


class FeaturesSection(Table):
    """What the feature store is like."""

    window_hours: Annotated[int, AfterValidator(_divides_a_day)] = _key(
        1, "a whole number of hours that divides a day: 1, 2, 3, 4, 6, 8, 12 or 24", ge=1, le=24
    )


class ProfileTable(Table):
    """A degradation profile; see `spec.Profile`."""

    share: float = _key(..., "a share of the batteries from 0 to 1", 0.85, ge=0, le=1)
    soh_per_year: float = _key(
        ...,
        "a loss from 0.001 to 0.6 of rated capacity a year at 25 degC",
        0.02,
        ge=0.001,
        le=0.6,
    )
    resistance_per_year: float = _key(
        ..., "a gain from 0 to 2 of new resistance a year at 25 degC", 0.05, ge=0, le=2
    )


class ScenarioSection(Table):
    """What may happen to the fleet, and what its instruments are like; see `spec.Scenario`."""

    hazard_scale: float = _key(
        1.0, "a factor from 0 to 100 on the rate at which failures begin", ge=0, le=100
    )
    sensor_errors: bool = _key(True, "true or false")
    sensor_faults: bool = _key(True, "true or false")
    profiles: dict[str, ProfileTable] = _key(
        {
            profile.name: ProfileTable(
                share=profile.share,
                soh_per_year=profile.soh_per_year,
                resistance_per_year=profile.resistance_per_year,
            )
            for profile in spec.PROFILES
        },
        "a table of at least one degradation profile",
    )


class AlertTable(Table):
    """When a measured value is alarming; see `spec.AlertRule`. One class for each rule."""

    warning: float | None
    critical: float | None
    clear: float
    persistence_seconds: int


_PERSISTENCE = {"ge": 0, "le": 31 * SECONDS_PER_DAY}


def _alert_table(rule: spec.AlertRule) -> type[AlertTable]:
    """The keys of a rule: its own levels are the defaults."""
    level = f"a level from {rule.low:g} to {rule.high:g} {rule.unit}"
    kind: Any = float if rule.warning is not None else float | None
    limits = {"ge": rule.low, "le": rule.high}
    keys: dict[str, Any] = {
        "warning": (kind, _key(rule.warning, level, **limits)),
        "critical": (kind, _key(rule.critical, level, **limits)),
        "clear": (
            float,
            _key(rule.clear, f"a distance from 0 to 100 {rule.unit}", ge=0, le=100),
        ),
        "persistence_seconds": (
            int,
            _key(rule.persistence_s, "a whole number of seconds from 0 to 31 days", **_PERSISTENCE),
        ),
    }
    name = "".join(word.title() for word in rule.name.split("_"))
    table: type[AlertTable] = create_model(f"{name}Table", __base__=AlertTable, **keys)
    return table


def _alert_key(rule: spec.AlertRule) -> Any:
    table = _alert_table(rule)
    allowed = "a table of warning, critical, clear and persistence_seconds"
    return table, _key(
        table.model_validate({}), allowed, f"{{ persistence_seconds = {rule.persistence_s} }}"
    )


_ALERT_KEYS: dict[str, Any] = {rule.name: _alert_key(rule) for rule in spec.ALERT_RULES}

AlertsSection = create_model(
    "AlertsSection",
    __base__=Table,
    __doc__="When measured values are alarming: a table for each rule of `spec.ALERT_RULES`.",
    **_ALERT_KEYS,
)


def to_alert_rules(section: Table) -> tuple[spec.AlertRule, ...]:
    """Alert rules with the levels of the section `alerts`."""
    return tuple(
        replace(
            rule,
            warning=table.warning,
            critical=table.critical,
            clear=table.clear,
            persistence_s=table.persistence_seconds,
        )
        for rule in spec.ALERT_RULES
        for table in [getattr(section, rule.name)]
    )


class InjectTable(Table):
    """Something forced on a named entity; see `spec.Injection` and the rules in `scenario`."""

    kind: spec.InjectionKind = _key(
        ...,
        "outage, hvac_failure, capacity_test, profile, failure_mode, sensor_fault or replacement",
        "outage",
    )
    target: str = _key(
        ..., "the id of a location, string, jar or environmental sensor as text", "DC-CNX-01"
    )
    at: LocalSecond | None = _key(
        None,
        "a local date and time YYYY-MM-DDTHH:MM:SS without an offset",
        "2025-01-02T14:30:00",
    )
    duration_minutes: Annotated[float, AfterValidator(_whole_seconds_of_minutes)] | None = _key(
        None,
        f"a number of minutes above 0, at most {_LONGEST_MINUTES}, that makes whole seconds",
        30.0,
        gt=0,
        le=_LONGEST_MINUTES,
    )
    duration_days: Annotated[float, AfterValidator(_whole_seconds)] | None = _key(
        None,
        f"a number of days above 0, at most {_LONGEST_DAYS}, that makes whole seconds",
        1.5,
        gt=0,
        le=_LONGEST_DAYS,
    )
    value: str | None = _key(
        None, "the name of a profile, a failure mode or a kind of sensor fault as text", "dry_out"
    )
    channel: str | None = _key(None, "the name of a measured column as text", "voltage_v")

    @property
    def duration_s(self) -> int:
        """Length [s]; 0 if none is given."""
        if self.duration_minutes is not None:
            return round(self.duration_minutes * SECONDS_PER_MINUTE)
        return round((self.duration_days or 0.0) * SECONDS_PER_DAY)


_JAR_VOLTAGE = f"a jar voltage above 0 V and at most {JAR_LIMIT_V:g} V"


class ModelTable(Table):
    """A battery model; see `spec.BatteryModel`."""

    manufacturer: Text = _key(..., "text of 1 to 80 printable characters", "generic")
    discharge_type: spec.DischargeType = _key(..., "A (general purpose) or B (UPS)", "B")
    rated_capacity_ah: float = _key(..., "a capacity from 1 to 10000 Ah", 100.0, ge=1, le=10_000)
    nominal_voltage_v: float = _key(..., "12 V, the only jars that the model knows", ge=12, le=12)
    # Laws of a whole jar (its resistance, its heat on float) are those of six cells.
    cells: int = _key(..., "the whole number 6, as in any 12 V jar", ge=6, le=6)
    mass_kg: float = _key(..., "a mass from 0.1 to 2000 kg", 30.0, ge=0.1, le=2000)
    design_life_years: float = _key(..., "a life from 1 to 30 years", 10.0, ge=1, le=30)
    float_min_v: float = _key(..., _JAR_VOLTAGE, 13.5, gt=0, le=JAR_LIMIT_V)
    float_max_v: float = _key(..., _JAR_VOLTAGE, 13.8, gt=0, le=JAR_LIMIT_V)
    boost_min_v: float = _key(..., _JAR_VOLTAGE, 14.1, gt=0, le=JAR_LIMIT_V)
    boost_max_v: float = _key(..., _JAR_VOLTAGE, 14.4, gt=0, le=JAR_LIMIT_V)
    temperature_info_c: Celsius = _key(..., "a temperature from -45 to 60 degC", 35.0)
    temperature_warning_c: Celsius = _key(..., "a temperature from -45 to 60 degC", 45.0)
    temperature_critical_c: Celsius = _key(..., "a temperature from -45 to 60 degC", 50.0)


_TWELVE_CELSIUS = "twelve temperatures from -45 to 60 degC, January first"


class ClimateTable(Table):
    """The normals of a climate station; see `spec.Climate`."""

    minimum_c: Celsius12 = _key(..., _TWELVE_CELSIUS)
    mean_c: Celsius12 = _key(..., _TWELVE_CELSIUS)
    maximum_c: Celsius12 = _key(..., _TWELVE_CELSIUS)
    humidity_pct: Percent12 = _key(..., "twelve humidities from 1 to 100 %, January first")
    rainy_days: Days12 = _key(
        ..., "twelve numbers of days, none above the days of its month, January first"
    )
    warm_sigma_c: float = _key(1.3, "a deviation from 0 to 10 K", ge=0, le=10)
    cool_sigma_c: float = _key(1.3, "a deviation from 0 to 10 K", ge=0, le=10)


class SystemTable(Table):
    """A battery system: strings in parallel on one bus, each with its model."""

    kind: spec.SystemKind = _key(..., "UPS or REC (rectifier)", "UPS")
    jars_per_string: int = _key(..., "a whole number of jars from 1 to 500", 24, ge=1, le=500)
    strings: dict[str, str] = _key(
        ..., "a table of at least one string and its model", {"S1": "HX12-120"}, min_length=1
    )


class LocationTable(Table):
    """A data centre and its battery systems; see `spec.Location`."""

    name: Text = _key(..., "text of 1 to 80 printable characters", "Bangrak Data Center")
    city: Text = _key(..., "text of 1 to 80 printable characters", "Bangkok")
    region: Text = _key(..., "text of 1 to 80 printable characters", "central")
    latitude: float = _key(..., "a latitude from -90 to 90 degrees", 13.7248, ge=-90, le=90)
    longitude: float = _key(..., "a longitude from -180 to 180 degrees", 100.531, ge=-180, le=180)
    commissioned: Day = _key(
        ...,
        "a date YYYY-MM-DD from 1950-01-01 to 2100-12-31",
        date(2016, 11, 10),
        ge=date(1950, 1, 1),
        le=date(2100, 12, 31),
    )
    climate: str = _key(..., "the name of a climate station, or its table", "bangkok")
    outages_per_year: float = _key(..., "a number of outages from 0 to 100", 2.0, ge=0, le=100)
    outage_median_min: float = _key(..., "a length from 0.1 to 480 min", 25.0, ge=0.1, le=480)
    temperature_compensated: bool = _key(True, "true or false")
    generator: bool = _key(True, "true or false")
    systems: dict[str, SystemTable] = _key(..., "a table of battery systems")


class FleetSection(Table):
    """The fleet as it was resolved: with the models and stations that it uses, and no others."""

    time_zone: str = _key("Asia/Bangkok", "the name of a time zone as text")
    utc_offset_hours: float = _key(
        7.0, "a number of quarter hours from -12 to 14 h", ge=-12, le=14, multiple_of=0.25
    )
    models: dict[str, ModelTable] = _key({}, "a table of battery models")
    climates: dict[str, ClimateTable] = _key({}, "a table of climate stations")
    locations: dict[str, LocationTable] = _key({}, "a table of locations")


SECTIONS: dict[str, type[Table]] = {
    "run": RunSection,
    "output": OutputSection,
    "select": SelectSection,
    "execution": ExecutionSection,
    "features": FeaturesSection,
    "scenario": ScenarioSection,
    "alerts": AlertsSection,
    "fleet": FleetSection,
}
"""The sections of a configuration by name, in the order in which their faults are told."""
