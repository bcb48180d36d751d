"""Nouns that the layers share: the fleet, the clock, column chunks, jobs, receipts.

Plain standard-library dataclasses: a worker loads them without pydantic or Dask, and they pickle
small. A job holds all that its part needs and nothing else, so that any machine can make it alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fleetgen.units import (
    SECONDS_PER_DAY,
    SECONDS_PER_HOUR,
    SECONDS_PER_MINUTE,
    day_date,
    day_number,
    local_midnight_s,
)

SystemKind = Literal["UPS", "REC"]
DischargeType = Literal["A", "B"]
Monthly = tuple[float, ...]


# --- the fleet ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class BatteryModel:
    """A monobloc as its data sheet has it.

    `rated_capacity_ah` is C10 (to 1.80 V/cell, 25 degC); `discharge_type` names the fitted
    discharge family (A general purpose, B UPS).
    """

    model_id: str
    manufacturer: str
    discharge_type: DischargeType
    rated_capacity_ah: float
    nominal_voltage_v: float
    cells: int
    mass_kg: float
    design_life_years: float
    float_min_v: float
    float_max_v: float
    boost_min_v: float
    boost_max_v: float
    temperature_info_c: float
    temperature_warning_c: float
    temperature_critical_c: float


@dataclass(frozen=True)
class Climate:
    """Twelve monthly normals of a climate station, January first.

    `warm_sigma_c` and `cool_sigma_c` are the day-to-day deviations outside and inside
    November-February.
    """

    climate_id: str
    minimum_c: Monthly
    mean_c: Monthly
    maximum_c: Monthly
    humidity_pct: Monthly
    rainy_days: Monthly
    warm_sigma_c: float
    cool_sigma_c: float


@dataclass(frozen=True)
class Location:
    """A data centre: its place, climate and grid. `string_ids` are those of all its strings."""

    location_id: str
    name: str
    city: str
    region: str
    latitude: float
    longitude: float
    commissioned: date
    climate: Climate
    outages_per_year: float
    outage_median_min: float
    temperature_compensated: bool
    generator: bool
    string_ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class BatteryString:
    """Jars in series on one charger. `jar_ids` runs from J01 at the positive end."""

    string_id: str
    model: BatteryModel
    jar_ids: tuple[str, ...]


@dataclass(frozen=True)
class BatterySystem:
    """Strings in parallel on one bus: the atom of the slow path."""

    system_id: str
    kind: SystemKind
    strings: tuple[BatteryString, ...]

    @property
    def jars_per_string(self) -> int:
        """Jars in series in each string; equal in all strings, for they share the bus."""
        return len(self.strings[0].jar_ids)


@dataclass(frozen=True)
class Site:
    """A location with its systems and its environmental sensor."""

    location: Location
    systems: tuple[BatterySystem, ...]
    sensor_id: str


@dataclass(frozen=True)
class Fleet:
    """All that is simulated: sites in configuration order, one fixed-offset time zone."""

    sites: tuple[Site, ...]
    time_zone: str
    utc_offset_s: int


# --- what may happen -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Profile:
    """A degradation class at the reference condition (25 degC jar, compensated float).

    Rates are fractions of rated capacity and of new resistance per year; shares of all profiles
    add up to 1.
    """

    name: str
    share: float
    soh_per_year: float
    resistance_per_year: float


PROFILES = (
    Profile("healthy", 0.85, 0.02, 0.05),
    Profile("accelerated", 0.12, 0.08, 0.15),
    Profile("failing", 0.03, 0.25, 0.40),
)
"""Shares and rates of the usage guide."""

FailureMode = Literal["dry_out", "corrosion", "sulfation", "internal_short", "thermal_runaway"]

InjectionKind = Literal[
    "outage",
    "hvac_failure",
    "capacity_test",
    "profile",
    "failure_mode",
    "sensor_fault",
    "replacement",
]


@dataclass(frozen=True)
class Injection:
    """Something forced on a named entity in [start_s, start_s + duration_s).

    `target` is a location (outage, hvac_failure), a jar (profile, failure_mode, sensor_fault,
    replacement), a string (capacity_test, failure_mode thermal_runaway, sensor_fault) or an
    environmental sensor (sensor_fault). `value` names the profile, the failure mode or the kind of
    sensor fault, else it is empty. A capacity test ends at its cut-off or at the end. A failure
    mode begins at the start and is terminal at the end; a profile holds from the start of the run
    on; the unit that replaces a jar's is in service from `start_s` on. `channel` names the column
    of a sensor fault.
    """

    kind: InjectionKind
    target: str
    start_s: int
    duration_s: int
    value: str = ""
    channel: str = ""


@dataclass(frozen=True)
class Scenario:
    """What may happen to a fleet, and what its instruments are like.

    `hazard_scale` multiplies the rate at which failures begin. `sensor_errors` False removes noise,
    gain and offset errors; `sensor_faults` False removes dropouts, stuck values and their like.
    """

    profiles: tuple[Profile, ...] = PROFILES
    hazard_scale: float = 1.0
    sensor_errors: bool = True
    sensor_faults: bool = True
    injections: tuple[Injection, ...] = ()


DEFAULT_SCENARIO = Scenario()


# --- when somebody is called ----------------------------------------------------------------------

Gate = Literal["known", "float", "discharge"]


@dataclass(frozen=True)
class AlertRule:
    """When a measured value is alarming: the levels, and what they are held against.

    A reading beyond `warning` (below it if `below`, else above) for `persistence_s` calls somebody,
    one beyond `critical` more loudly, and one that is back by `clear` from `warning` ends it. A
    level that is None is the battery model's limit. Readings are samples, or means over `window_s`.
    `gate` says in which mode of the string they are taken: any that is known; float, `settled_s`
    after the last sample in another mode (or the start of the run); discharge, and outside it the
    value counts as back. `low` and `high` bound what the levels may be.
    """

    name: str
    quantity: str
    unit: str
    warning: float | None
    critical: float | None
    clear: float
    persistence_s: int
    low: float
    high: float
    below: bool = False
    window_s: int = 0
    gate: Gate = "float"
    settled_s: int = 0


_MINUTE, _HOUR, _DAY = SECONDS_PER_MINUTE, SECONDS_PER_HOUR, SECONDS_PER_DAY

ALERT_RULES = (
    AlertRule(
        "jar_voltage_low",
        "jar voltage on float",
        "V",
        *(13.2, 12.9, 0.1, 10 * _MINUTE, 0.0, 20.0),
        below=True,
        settled_s=_DAY,
    ),
    AlertRule(
        "jar_voltage_high",
        "jar voltage on float",
        "V",
        *(14.1, 14.4, 0.1, 10 * _MINUTE, 0.0, 20.0),
    ),
    AlertRule(
        "jar_voltage_deviation",
        "distance of the jar voltage from the string's median",
        "V",
        *(0.3, 0.6, 0.05, _DAY, 0.0, 20.0),
        window_s=_HOUR,
        settled_s=_DAY,
    ),
    AlertRule(
        "jar_voltage_deviation_first_year",
        "distance of the voltage of a jar in its first year from the string's median",
        "V",
        *(0.6, 0.9, 0.05, _DAY, 0.0, 20.0),
        window_s=_HOUR,
        settled_s=_DAY,
    ),
    AlertRule(
        "discharge_voltage_low",
        "jar voltage in discharge",
        "V",
        *(11.1, 10.5, 0.0, 5, 0.0, 20.0),
        below=True,
        gate="discharge",
    ),
    AlertRule(
        "jar_temperature",
        "jar temperature",
        "degC",
        *(None, None, 2.0, 10 * _MINUTE, -20.0, 120.0),
        gate="known",
    ),
    AlertRule(
        "jar_temperature_rise",
        "jar temperature over the room's mean of 6 h",
        "K",
        *(5.0, 10.0, 1.0, 30 * _MINUTE, 0.0, 100.0),
        window_s=_HOUR,
        settled_s=_DAY,
    ),
    AlertRule(
        "string_temperature_spread",
        "spread of the jar temperatures",
        "K",
        *(3.0, 5.0, 0.5, _HOUR, 0.0, 100.0),
        window_s=_HOUR,
        settled_s=_DAY,
    ),
    AlertRule(
        "resistance_increase",
        "growth of resistance at 25 degC since the acceptance test",
        "%",
        *(45.0, 50.0, 5.0, 2 * _DAY, 0.0, 10_000.0),
        window_s=_DAY,
        gate="known",
    ),
    AlertRule(
        "resistance_ahead_of_age",
        "growth of resistance at 25 degC beyond what the jar's age explains",
        "%",
        *(12.0, 30.0, 5.0, 7 * _DAY, -100.0, 10_000.0),
        window_s=_DAY,
        gate="known",
    ),
    AlertRule(
        "float_current",
        "float current per capacity",
        "mA/Ah",
        *(2.0, 3.0, 0.4, _HOUR, 0.0, 1000.0),
        window_s=_HOUR,
        settled_s=2 * _DAY,
    ),
    AlertRule(
        "ripple_current",
        "ripple current over C10",
        "%",
        *(5.0, 10.0, 0.5, _HOUR, 0.0, 1000.0),
        window_s=_HOUR,
    ),
    AlertRule(
        "string_voltage",
        "distance of the string voltage from the charger's set-point",
        "%",
        *(1.0, 2.0, 0.3, 5 * _MINUTE, 0.0, 100.0),
        window_s=_HOUR,
        settled_s=_DAY,
    ),
    AlertRule(
        "room_temperature",
        "room temperature",
        "degC",
        *(28.0, 32.0, 1.0, 10 * _MINUTE, -20.0, 70.0),
        gate="known",
    ),
)
"""Alarm table of the physics specification; see docs/decisions/0016-alerts.md, and of resistance
docs/decisions/0022-resistance-ahead-of-age.md."""


# --- the clock ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TimeGrid:
    """The sample clock: instants start + k * interval for k < ceil(duration / interval)."""

    start: date
    duration_s: int
    interval_s: int
    utc_offset_s: int
    time_zone: str

    @property
    def start_s(self) -> int:
        """Instant of the first sample [s since 1970-01-01T00Z]: local midnight."""
        return local_midnight_s(self.start, self.utc_offset_s)

    @property
    def end_s(self) -> int:
        """Instant at which the run ends, exclusive."""
        return self.start_s + self.duration_s

    @property
    def instants(self) -> int:
        """Samples per channel in the whole run."""
        return -(-self.duration_s // self.interval_s)

    @property
    def first_day(self) -> int:
        """Number of the first local day (days since 1970-01-01)."""
        return day_number(self.start)

    @property
    def end_day(self) -> int:
        """Number of the first local day that holds no part of the run."""
        return self.first_day + -(-self.duration_s // SECONDS_PER_DAY)

    def midnight_s(self, day: int) -> int:
        """Instant of local midnight at the start of local day `day`."""
        return local_midnight_s(day_date(day), self.utc_offset_s)

    def first_index(self, instant_s: int) -> int:
        """Index of the first sample at or after `instant_s`, at most `instants`."""
        index = -(-(instant_s - self.start_s) // self.interval_s)
        return max(0, min(self.instants, index))


@dataclass(frozen=True)
class Block:
    """Local days [first_day, end_day), within one calendar month."""

    first_day: int
    end_day: int

    @property
    def days(self) -> int:
        """Number of local days."""
        return self.end_day - self.first_day


# --- columns on their way to a file ---------------------------------------------------------------

NULL = np.iinfo(np.int64).min
"""Count that stands for a missing value."""


@dataclass(frozen=True, eq=False)
class Instants:
    """Evenly spaced instants [ms since 1970-01-01T00Z]."""

    first_ms: int
    step_ms: int
    rows: int


@dataclass(frozen=True, eq=False)
class Constant:
    """One text in every row."""

    text: str
    rows: int


@dataclass(frozen=True, eq=False)
class Codes:
    """Rows as codes into a short table of levels.

    `codes` is uint8 or uint16 (row,). `levels` are counts (see `schema.Column.per_unit`), int64
    (code,), of which the last may be `NULL`; in a column of texts they are texts, or None.
    """

    codes: NDArray[np.uint8] | NDArray[np.uint16]
    levels: NDArray[np.int64] | tuple[str | None, ...]

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.codes)


@dataclass(frozen=True, eq=False)
class Runs:
    """Rows as runs of equal counts: `lengths` and `counts`, both int64 (run,)."""

    lengths: NDArray[np.int64]
    counts: NDArray[np.int64]

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self.lengths.sum())


@dataclass(frozen=True, eq=False)
class Plain:
    """Rows as counts, int64 (row,), with `NULL` for a missing value."""

    counts: NDArray[np.int64]

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.counts)


@dataclass(frozen=True, eq=False)
class Values:
    """A column as readers find it, (row,): of floats NaN, of all else 0, where it is null.

    Of texts, codes into `levels`, of which the last stands for null.
    """

    values: NDArray[Any]
    nulls: int
    levels: tuple[str | None, ...] = ()


Chunk = Instants | Constant | Codes | Runs | Plain
RowGroup = dict[str, Chunk]


# --- work -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """What every job of a run has in common; `window_hours` is the length of feature windows."""

    seed: int
    grid: TimeGrid
    output_url: str
    format: Literal["parquet", "csv.gz", "none"]
    writer: Literal["direct", "pyarrow"]
    plan_digest: str
    scenario: Scenario = DEFAULT_SCENARIO
    storage_options: tuple[tuple[str, str], ...] = ()
    alerts: tuple[AlertRule, ...] = ALERT_RULES
    window_hours: int = 1


@dataclass(frozen=True)
class SlowPathJob:
    """Walk one system from the start of the run to its end and leave its checkpoints."""

    run: Run
    location: Location
    system: BatterySystem

    @property
    def key(self) -> str:
        """Stable name of the job."""
        return f"slow-{self.system.system_id}"


@dataclass(frozen=True)
class StringJob:
    """Sample one string over one block of days. `jar_ids` are the jars to be written."""

    run: Run
    location: Location
    system: BatterySystem
    sensor_id: str
    string_index: int
    jar_ids: tuple[str, ...]
    block: Block

    @property
    def string(self) -> BatteryString:
        """The string to be sampled."""
        return self.system.strings[self.string_index]

    @property
    def key(self) -> str:
        """Stable name of the job."""
        return f"{self.string.string_id}-{day_date(self.block.first_day)}-{self.block.days}"


@dataclass(frozen=True)
class RoomJob:
    """Sample the environmental sensor of one location over one block of days."""

    run: Run
    location: Location
    sensor_id: str
    block: Block

    @property
    def key(self) -> str:
        """Stable name of the job."""
        return f"{self.sensor_id}-{day_date(self.block.first_day)}-{self.block.days}"


PartJob = StringJob | RoomJob
Job = SlowPathJob | PartJob


@dataclass(frozen=True)
class HistoryJob:
    """Derive what follows from all that was measured of one string, or of one room.

    `parts` are its parts in order of time.
    """

    parts: tuple[PartJob, ...]

    @property
    def run(self) -> Run:
        """The run that the parts are of."""
        return self.parts[0].run

    @property
    def key(self) -> str:
        """Stable name of the job."""
        first = self.parts[0]
        return first.string.string_id if isinstance(first, StringJob) else first.sensor_id


@dataclass(frozen=True)
class FileEntry:
    """One file of the data set. `digests` maps a local day to its logical digest."""

    table: str
    path: str
    rows: int
    bytes: int
    sha256: str
    group: str
    digests: dict[str, str] = field(default_factory=dict)


@dataclass
class Sketch:
    """Sum, count and range of a column as integers: they add up to the same in any order."""

    rows: int = 0
    total: int = 0
    low: int = 2**62
    high: int = -(2**62)

    def add(self, rows: int, total: int, low: int, high: int) -> None:
        """Take in `rows` counts with their total and extremes."""
        self.rows += rows
        self.total += total
        self.low = min(self.low, low)
        self.high = max(self.high, high)

    def take(self, counted: Mapping[str, int]) -> None:
        """Take in what one part counted, by name as a receipt has it."""
        self.add(counted["rows"], counted["total"], counted["low"], counted["high"])


@dataclass(frozen=True)
class Receipt:
    """Proof that a part is whole; written last.

    `statistics` maps `table.column` to integer sketches (counts, never floats), also
    `schema.THROUGHPUT_TRUE` and `THROUGHPUT_ERROR`; `states` a battery to its truth at the end of
    the run, `swaps` each unit that came in the run to the instant [s], `events` are rows of
    maintenance (all of these in the last block only). `plan` is the digest of the plan that made
    the part.
    """

    job: str
    files: tuple[FileEntry, ...]
    statistics: dict[str, dict[str, int]] = field(default_factory=dict)
    states: dict[str, dict[str, Any]] = field(default_factory=dict)
    swaps: dict[str, int] = field(default_factory=dict)
    events: tuple[dict[str, Any], ...] = ()
    plan: str = ""


@dataclass(frozen=True)
class Done:
    """What a worker tells the client of a finished job: a few hundred bytes.

    `rows` are those that its plan foresees: of samples, hours and days.
    """

    job: str
    rows: int
    bytes: int
