"""Every table and column, declared once, in plain words; no Arrow here.

From it follow the Parquet schema and its metadata, the CSV header, the casts, the range checks, the
partition path and the data dictionary. A column's values are whole **counts**: value = count /
`per_unit`, so that the resolution is 1 / `per_unit`, equality is exact and files compress.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SCHEMA_VERSION = 3
"""Raised when a table or column changes."""

DATA_VERSION = 3
"""Raised when values change under the same configuration and seed."""

Role = Literal["dimension", "measured", "derived", "event", "truth"]
Kind = Literal["instant", "id", "category", "float", "int", "bool", "date", "text"]


@dataclass(frozen=True)
class Column:
    """One column. `per_unit` counts make one `unit`; `valid` bounds its values, inclusive."""

    name: str
    kind: Kind
    doc: str
    unit: str = ""
    per_unit: int = 1
    nullable: bool = False
    valid: tuple[float, float] | None = None
    known_at_end: bool = False
    truth: bool = False

    @property
    def resolution(self) -> float:
        """Smallest step between two values, in `unit`."""
        return 1 / self.per_unit


@dataclass(frozen=True)
class Table:
    """One table. `grain` says what a row is, `key` what makes it unique.

    `group` is the level at which parts are cut: a string, a location, either, or the whole table.
    """

    name: str
    role: Role
    grain: str
    key: tuple[str, ...]
    group: Literal["string", "location", "part", "table"]
    columns: tuple[Column, ...]
    doc: str

    @property
    def names(self) -> tuple[str, ...]:
        """Column names in file order."""
        return tuple(c.name for c in self.columns)

    def column(self, name: str) -> Column:
        """The column called `name`; KeyError if there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(f"{self.name} has no column {name}")

    def valid(self, name: str) -> tuple[float, float]:
        """Range of a column's values, inclusive; LookupError if it has none."""
        valid = self.column(name).valid
        if valid is None:
            raise LookupError(f"{self.name}.{name} has no valid range")
        return valid


_INSTANT_UNIT = "ms since 1970-01-01T00Z, shown in local time"


def _ts(doc: str = "instant of the sample") -> Column:
    return Column("ts", "instant", doc, unit=_INSTANT_UNIT)


_BATTERY_ID = Column("battery_id", "id", "the unit in service at the position at that instant")
_STRING_ID = Column("string_id", "id", "the string")
_LOCATION_ID = Column("location_id", "id", "the location")
_SYSTEM_ID = Column("system_id", "id", "the battery system: strings in parallel on one bus")
_MODEL_ID = Column("model_id", "id", "the battery model")

MODES = ("float", "boost", "equalize", "discharge", "idle")
"""Operating modes of a string; the position is the code used in the kernels."""

COOLING = ("ok", "degraded", "failed")
"""States of a room's cooling; the position is the code used in the kernels."""

JAR_RAW = Table(
    "telemetry_jar_raw",
    "measured",
    "jar, sample",
    ("ts", "battery_id"),
    "string",
    (
        _ts(),
        _BATTERY_ID,
        Column("voltage_v", "float", "jar voltage", "V", 1000, True, (0.0, 20.0)),
        Column("temperature_c", "float", "negative post temperature", "degC", 10, True, (-20, 120)),
        Column(
            "resistance_mohm",
            "float",
            "internal ohmic resistance at the jar's temperature, measured daily and held",
            "mOhm",
            1000,
            True,
            (0.0, 1000.0),
        ),
        Column(
            "conductance_s",
            "float",
            "1000 / resistance_mohm of the same reading",
            "S",
            100,
            True,
            (0.0, 10_000.0),
        ),
    ),
    "What the battery monitor reports for each jar.",
)

JAR_CALC = Table(
    "telemetry_jar_calc",
    "truth",
    "jar, sample",
    ("ts", "battery_id"),
    "string",
    (
        _ts(),
        _BATTERY_ID,
        Column(
            "soc_pct",
            "float",
            "charge present over present capacity",
            "%",
            100,
            valid=(0, 100),
            truth=True,
        ),
        Column(
            "soh_pct",
            "float",
            "present capacity over rated capacity at the 10-h rate and 25 degC",
            "%",
            1000,
            valid=(0, 120),
            truth=True,
        ),
    ),
    "The simulated truth of each jar: labels, never features.",
)

STRING_RAW = Table(
    "telemetry_string_raw",
    "measured",
    "string, sample",
    ("ts", "string_id"),
    "string",
    (
        _ts(),
        _STRING_ID,
        Column("voltage_v", "float", "string voltage", "V", 100, True, (0.0, 1000.0)),
        Column(
            "current_a",
            "float",
            "string current by Hall sensor, positive in charge",
            "A",
            100,
            True,
            (-5000.0, 5000.0),
        ),
        Column("mode", "category", "operating mode: " + ", ".join(MODES), nullable=True),
        Column(
            "ripple_voltage_rms_v", "float", "ripple voltage, RMS", "V", 1000, True, (0.0, 100.0)
        ),
        Column(
            "ripple_current_rms_a", "float", "ripple current, RMS", "A", 100, True, (0.0, 1000.0)
        ),
        Column("equalize_flag", "bool", "an equalising charge is under way"),
        Column("generator_test_flag", "bool", "a monthly self-test of UPS and generator runs"),
        Column("transfer_event_flag", "bool", "within 10 s after a transfer to or from battery"),
        Column(
            "float_current_a",
            "float",
            "float current by its own shunt channel; null where the string has none (UPS strings) "
            "and beyond its range of +-5 A",
            "A",
            1000,
            True,
            (-5.0, 5.0),
        ),
    ),
    "What the battery monitor reports for each string.",
)

STRING_CALC = Table(
    "telemetry_string_calc",
    "derived",
    "string, sample",
    ("ts", "string_id"),
    "string",
    (
        _ts(),
        _STRING_ID,
        Column(
            "power_w",
            "float",
            "voltage_v x current_a of the same row of telemetry_string_raw",
            "W",
            1,
            True,
            (-1e6, 1e6),
        ),
        Column(
            "thd_pct",
            "float",
            "total harmonic distortion of the charger's input current; null on battery",
            "%",
            10,
            True,
            (0.0, 100.0),
        ),
    ),
    "What the monitor computes for each string.",
)

ENV = Table(
    "telemetry_env",
    "measured",
    "environmental sensor, sample",
    ("ts", "sensor_id"),
    "location",
    (
        _ts(),
        Column("sensor_id", "id", "the environmental sensor"),
        Column("temperature_c", "float", "room temperature", "degC", 10, True, (-20, 70)),
        Column("humidity_pct", "float", "room relative humidity", "%", 10, True, (0, 100)),
        Column(
            "hvac_status",
            "category",
            "state of the room's cooling, by its own contact: " + ", ".join(COOLING),
        ),
        Column("outdoor_temperature_c", "float", "outdoor air", "degC", 10, True, (-20, 60)),
        Column("outdoor_humidity_pct", "float", "outdoor humidity", "%", 10, True, (0, 100)),
    ),
    "What the environmental sensor of each location reports.",
)

FEATURE_STORE = Table(
    "feature_store",
    "derived",
    "jar, window",
    ("feature_ts", "battery_id"),
    "string",
    (
        Column(
            "feature_ts",
            "instant",
            "end of the window, on the local hour, whole windows after midnight; the row uses "
            "[feature_ts - window, feature_ts)",
            unit=_INSTANT_UNIT,
        ),
        _BATTERY_ID,
        Column("feature_window_hours", "int", "length of the window", "h"),
        Column("v_mean", "float", "mean jar voltage", "V", 10_000, True),
        Column("v_std", "float", "population standard deviation of jar voltage", "V", 10_000, True),
        Column("v_min", "float", "lowest jar voltage", "V", 1000, True),
        Column("v_max", "float", "highest jar voltage", "V", 1000, True),
        Column(
            "v_balance_mean",
            "float",
            "v_mean less the mean voltage of all jars of the string in the window",
            "V",
            10_000,
            True,
        ),
        Column(
            "v_deviation_median",
            "float",
            "v_mean less the median of the v_mean of all jars of the string in the window",
            "V",
            10_000,
            True,
        ),
        Column("t_mean", "float", "mean jar temperature", "degC", 1000, True),
        Column("t_max", "float", "highest jar temperature", "degC", 10, True),
        Column(
            "t_delta_ambient_mean",
            "float",
            "t_mean less the mean room temperature in the window",
            "K",
            1000,
            True,
        ),
        Column(
            "r_internal_latest",
            "float",
            "resistance_mohm of the window's last sample",
            "mOhm",
            1000,
            True,
        ),
        Column(
            "r_internal_baseline_pct",
            "float",
            "r_internal_latest over initial_resistance_mohm, x 100",
            "%",
            100,
            True,
        ),
        Column(
            "r_internal_25c",
            "float",
            "r_internal_latest at 25 degC: divided by 1 - 0.006/K x (t_mean - 25 degC); the "
            "temperature is that of the window, the reading may be of the night before",
            "mOhm",
            1000,
            True,
        ),
        Column(
            "r_change_pct",
            "float",
            "r_internal_25c against the jar's own baseline, in % of it: the median over the last "
            "26 weeks of what was reported at local midnights, each reading at 25 degC by the "
            "temperature beside it; until the run is 4 weeks old, and of fewer than 4 midnights, "
            "initial_resistance_mohm",
            "%",
            100,
            True,
        ),
        Column(
            "discharge_cycles_count",
            "int",
            "discharges seen since the start of the run, or since the unit came in it",
        ),
        Column(
            "ah_throughput",
            "float",
            "discharged charge since the start of the run, or since the unit came in it: Hall "
            "current in mode discharge, less its median over the last hour of float before the "
            "discharge; samples missing within a discharge count as the mean of those around them, "
            "once the current is known again",
            "Ah",
            1000,
        ),
        Column(
            "last_discharge_depth_pct",
            "float",
            "charge of the last discharge, counted as in ah_throughput, so far if it goes on, over "
            "rated_capacity_ah; null before the first of the run",
            "%",
            100,
            True,
        ),
        Column(
            "recharge_acceptance_pct",
            "float",
            "charge returned in the first hour after the last discharge (mean Hall current x 1 h, "
            "less the same zero) over the charge of that discharge; held until the next one; null "
            "until the hour is over, after discharges of less than 1 % of C10, and where the "
            "sampling is coarser than an hour",
            "%",
            10,
            True,
        ),
        Column(
            "time_below_float_min",
            "float",
            "time in mode float below the model's float_min_v, corrected by -18 mV/K from 25 degC",
            "min",
            60,
        ),
        Column(
            "time_above_float_max",
            "float",
            "time in mode float above the model's float_max_v, corrected by -18 mV/K from 25 degC",
            "min",
            60,
        ),
        Column(
            "surge_events_count",
            "int",
            "transfers to or from battery, and steps of string current of at least 0.05 x C10 "
            "between samples at most 10 s apart",
        ),
        Column("ripple_rms_mean", "float", "mean ripple current, RMS", "A", 1000, True),
        Column("thd_mean", "float", "mean thd_pct", "%", 100, True),
    ),
    "Features of each jar, by the hour unless `features.window_hours` says otherwise, each from "
    "measured data of the window and before.",
)

RUL_TRUTH = Table(
    "rul_truth",
    "truth",
    "jar, day",
    ("ts", "battery_id"),
    "string",
    (
        _ts("local midnight"),
        _BATTERY_ID,
        Column(
            "soh_pct",
            "float",
            "present capacity over rated capacity at the 10-h rate and 25 degC",
            "%",
            1000,
            valid=(0, 120),
            truth=True,
        ),
        Column(
            "rul_days",
            "float",
            "days until SOH 80 % or the terminal event of a failure mode, as if nobody replaced "
            "the unit; 0 from then on; null: not within 20 years",
            "d",
            1000,
            True,
            truth=True,
        ),
        Column(
            "eol_reason",
            "category",
            "what ends it: wear_out, or mode (a failure mode); null: nothing within 20 years",
            nullable=True,
            truth=True,
        ),
        Column("rul_censored", "bool", "nothing ends it within 20 years", truth=True),
        Column(
            "failure_mode",
            "category",
            "failure mode under way or over: dry_out, corrosion, sulfation, internal_short or "
            "thermal_runaway; null: none has begun",
            nullable=True,
            truth=True,
        ),
    ),
    "Remaining useful life of each jar, day by day: labels, never features.",
)

_TEST_ID = Column("test_id", "category", "the capacity test: event_id of maintenance_event")
_ROUND_ID = Column("round_id", "category", "the impedance round: event_id of maintenance_event")
_TEST_CAPACITY = (
    "100 x t_a / (t_r x K_T): duration of the test over that of a rated new jar at 25 degC, at the "
    "temperature of the jar at its start"
)

CAPACITY_TEST_RAW = Table(
    "capacity_test_raw",
    "event",
    "jar, minute of a capacity test and its last second",
    ("ts", "battery_id"),
    "string",
    (
        _ts("instant of the reading"),
        _BATTERY_ID,
        _TEST_ID,
        Column("voltage_v", "float", "jar voltage, by the test's own logger", "V", 1000),
        Column("temperature_c", "float", "negative post temperature, likewise", "degC", 10),
        Column("current_a", "float", "string current, negative in discharge", "A", 100),
    ),
    "The log of each capacity test; its last row is of the last second under load.",
)

CAPACITY_TEST_CALC = Table(
    "capacity_test_calc",
    "event",
    "jar, capacity test",
    ("ts", "battery_id"),
    "string",
    (
        _ts("end of the test"),
        _BATTERY_ID,
        _TEST_ID,
        Column("started_at", "instant", "beginning of the discharge", unit=_INSTANT_UNIT),
        Column("ended_at", "instant", "end of the discharge", unit=_INSTANT_UNIT),
        Column("discharge_min", "float", "duration of the discharge", "min", 60),
        Column("end_voltage_v", "float", "jar voltage in the last second under load", "V", 1000),
        Column("start_temperature_c", "float", "jar temperature at the start", "degC", 10),
        Column("temperature_factor", "float", "K_T of start_temperature_c", "1", 10_000),
        Column("capacity_pct", "float", _TEST_CAPACITY, "%", 100),
        Column("capacity_censored", "bool", "another jar ended the test: it has at least this"),
        Column(
            "result",
            "category",
            "pass (at least 90 %), marginal, or fail (below 80 %); null: censored below 90 %",
            nullable=True,
        ),
    ),
    "Results of capacity tests that were not cut short.",
)

IMPEDANCE_MEASUREMENT_RAW = Table(
    "impedance_measurement_raw",
    "event",
    "jar, reading of an impedance round",
    ("ts", "battery_id"),
    "string",
    (
        _ts("instant of the reading"),
        _BATTERY_ID,
        _ROUND_ID,
        Column("reading", "int", "number of the reading, from 1"),
        Column("resistance_mohm", "float", "by a hand-held meter", "mOhm", 1000),
        Column("temperature_c", "float", "post temperature before the first", "degC", 10),
    ),
    "Readings of half-yearly impedance rounds, with a meter of their own.",
)

IMPEDANCE_MEASUREMENT_CALC = Table(
    "impedance_measurement_calc",
    "event",
    "jar, impedance round",
    ("ts", "battery_id"),
    "string",
    (
        _ts("instant of the jar's first reading"),
        _BATTERY_ID,
        _ROUND_ID,
        Column("resistance_mohm", "float", "median of the readings", "mOhm", 1000),
        Column("temperature_c", "float", "post temperature", "degC", 10),
        Column("resistance_25c_mohm", "float", "resistance_mohm at 25 degC", "mOhm", 1000),
        Column(
            "baseline_change_pct",
            "float",
            "resistance_25c_mohm over initial_resistance_mohm, less 1, x 100",
            "%",
            100,
        ),
    ),
    "Results of impedance rounds.",
)

LOCATION = Table(
    "location",
    "dimension",
    "location",
    ("location_id",),
    "table",
    (
        _LOCATION_ID,
        Column("name", "text", "name of the data centre"),
        Column("city", "text", "city"),
        Column("region", "text", "region of the country"),
        Column("latitude", "float", "north positive", "deg", 10_000, valid=(-90, 90)),
        Column("longitude", "float", "east positive", "deg", 10_000, valid=(-180, 180)),
        Column("timezone", "text", "time zone of the fleet"),
        Column("commissioned_date", "date", "day on which the location went into service"),
        Column("climate", "text", "climate station whose normals apply"),
        Column("temperature_compensated", "bool", "chargers compensate the float voltage"),
        Column("generator", "bool", "a generator backs the rectifiers"),
    ),
    "The data centres.",
)

BATTERY_MODEL = Table(
    "battery_model",
    "dimension",
    "battery model",
    ("model_id",),
    "table",
    (
        _MODEL_ID,
        Column("manufacturer", "text", "maker"),
        Column("discharge_type", "text", "discharge family: A general purpose, B UPS"),
        Column("nominal_voltage_v", "float", "nominal voltage", "V", 10),
        Column("rated_capacity_ah", "float", "C10 to 1.80 V/cell at 25 degC", "Ah", 10),
        Column("cells", "int", "2 V cells in series"),
        Column("mass_kg", "float", "mass", "kg", 10),
        Column("design_life_years", "float", "design life", "a", 10),
        Column("float_min_v", "float", "lower float limit at 25 degC", "V", 100),
        Column("float_max_v", "float", "upper float limit at 25 degC", "V", 100),
        Column("boost_min_v", "float", "lower boost and equalise limit", "V", 100),
        Column("boost_max_v", "float", "upper boost and equalise limit", "V", 100),
        Column("temperature_info_c", "float", "information limit", "degC", 10),
        Column("temperature_warning_c", "float", "warning limit", "degC", 10),
        Column("temperature_critical_c", "float", "critical limit", "degC", 10),
    ),
    "The battery models in service.",
)

BATTERY_SYSTEM = Table(
    "battery_system",
    "dimension",
    "battery system",
    ("system_id",),
    "table",
    (
        _SYSTEM_ID,
        _LOCATION_ID,
        Column("kind", "text", "UPS or REC (rectifier)"),
        Column("strings", "int", "strings in parallel"),
        Column("jars_per_string", "int", "jars in series"),
        Column("nominal_voltage_v", "float", "nominal bus voltage", "V", 10),
    ),
    "The battery systems: strings in parallel on one bus.",
)

STRING = Table(
    "string",
    "dimension",
    "string",
    ("string_id",),
    "table",
    (
        _STRING_ID,
        _SYSTEM_ID,
        _LOCATION_ID,
        _MODEL_ID,
        Column("position_in_system", "int", "from 1"),
        Column("jars", "int", "jars in series"),
        Column("nominal_voltage_v", "float", "nominal voltage", "V", 10),
        Column("float_current_channel", "bool", "the string has its own float current channel"),
    ),
    "The strings.",
)

BATTERY = Table(
    "battery",
    "dimension",
    "jar",
    ("battery_id",),
    "table",
    (
        _BATTERY_ID,
        _STRING_ID,
        _SYSTEM_ID,
        _LOCATION_ID,
        _MODEL_ID,
        Column("position_in_string", "int", "from 1 at the positive end"),
        Column("serial_number", "text", "serial number of the unit"),
        Column("manufacture_date", "date", "day of manufacture"),
        Column("installed_date", "date", "day of installation"),
        Column("warranty_expiry_date", "date", "end of the warranty"),
        Column(
            "initial_capacity_ah",
            "float",
            "capacity read in the acceptance test, with its instrument error",
            "Ah",
            10,
        ),
        Column(
            "initial_resistance_mohm",
            "float",
            "resistance read in the acceptance test, with its instrument error",
            "mOhm",
            1000,
        ),
        Column(
            "status", "category", "at the end of the run: in_service, replaced", known_at_end=True
        ),
        Column(
            "replacement_of",
            "text",
            "the unit that it replaced in the run",
            nullable=True,
            known_at_end=True,
        ),
        Column(
            "replaced_date",
            "date",
            "day on which another unit replaced it in the run",
            nullable=True,
            known_at_end=True,
        ),
    ),
    "The units in service at the start, and those that came in the run.",
)

ENVIRONMENTAL_SENSOR = Table(
    "environmental_sensor",
    "dimension",
    "environmental sensor",
    ("sensor_id",),
    "table",
    (
        Column("sensor_id", "id", "the environmental sensor"),
        _LOCATION_ID,
        Column("kind", "text", "what it measures"),
    ),
    "The environmental sensors.",
)

ANOMALY = Table(
    "anomaly",
    "truth",
    "episode",
    ("anomaly_id",),
    "table",
    (
        Column("anomaly_id", "text", "entity, channel, kind and start, joined by /"),
        Column(
            "entity_id",
            "id",
            "the jar (by the id of the first unit there), string or environmental sensor whose "
            "channel fails, or the location, string or jar to which an injected event happens",
        ),
        Column(
            "channel",
            "text",
            "the measured column that fails, with what is computed from it in the same row; null: "
            "all columns of a string and of its jars, or no sensor fault",
            nullable=True,
        ),
        Column(
            "kind",
            "text",
            "spike, drift, offset, loose_lead, stuck, dropout, communication_loss; of an injected "
            "event: outage, hvac_failure, capacity_test, the profile or the failure mode",
        ),
        Column("start_ts", "instant", "beginning", unit=_INSTANT_UNIT),
        Column(
            "end_ts",
            "instant",
            "end, exclusive; may lie after the run; of a capacity test, when it ends at the latest",
            unit=_INSTANT_UNIT,
        ),
        Column(
            "magnitude",
            "float",
            "size of a spike or offset, of a drift at its end, in the channel's unit; factor by "
            "which a loose lead multiplies voltage noise or resistance",
            "V, K or 1",
            per_unit=1000,
            nullable=True,
        ),
        Column("injected", "bool", "asked for, not drawn"),
    ),
    "What went wrong by itself or on demand: labels for anomaly detection.",
)

ALERT_LEVELS = ("unknown", "clear", "warning", "critical")
"""What the readings of an `alert_condition` lie beyond; `unknown`: there are none."""

ALERT_CONDITION = Table(
    "alert_condition",
    "derived",
    "asset, rule, level, span of readings",
    ("start_ts", "asset_id", "rule", "level"),
    "part",
    (
        Column(
            "start_ts",
            "instant",
            "first reading beyond the level: a sample, or the beginning of an hour or local day",
            unit=_INSTANT_UNIT,
        ),
        Column("asset_id", "id", "the jar, string or environmental sensor"),
        Column("rule", "category", "the rule of [alerts]"),
        Column(
            "level",
            "category",
            "what all readings of the span lie beyond: clear (what ends an alert), warning or "
            "critical; unknown: no reading from the beginning of the local day, of a string: of "
            "none of its jars",
        ),
        Column(
            "end_ts",
            "instant",
            "the next reading, or the first that the next local day may have",
            unit=_INSTANT_UNIT,
        ),
        Column("readings", "int", "readings in the span, one after the other"),
        Column(
            "extreme",
            "float",
            "the reading farthest beyond, in the rule's unit",
            "V, K, degC, % or mA/Ah",
            1000,
            True,
        ),
    ),
    "Where measured values lay beyond the levels of the alert rules, cut at local midnight: what "
    "alerts are made of. Only spans that an alert may need.",
)

ALERT = Table(
    "alert",
    "derived",
    "episode",
    ("alert_id",),
    "table",
    (
        Column("alert_id", "text", "asset, type and instant of the trigger, joined by /"),
        _LOCATION_ID,
        Column("system_id", "id", "the battery system; null for a room", nullable=True),
        Column("string_id", "id", "the string; null for a room", nullable=True),
        Column("battery_id", "id", "the jar, if the alert is of one", nullable=True),
        Column("sensor_id", "id", "the environmental sensor of a room", nullable=True),
        Column("alert_type", "category", "the rule of [alerts]"),
        Column("severity", "category", "warning or critical: the worst so far", known_at_end=True),
        Column("triggered_at", "instant", "when the value had stayed beyond long enough"),
        Column(
            "escalated_at",
            "instant",
            "when a warning became critical",
            nullable=True,
            known_at_end=True,
        ),
        Column(
            "resolved_at",
            "instant",
            "when the value was back; null if it was not by the end of the run",
            nullable=True,
            known_at_end=True,
        ),
        Column("status", "category", "open or resolved", known_at_end=True),
        Column("message", "text", "what was measured, and against what", known_at_end=True),
        Column(
            "value",
            "float",
            "the reading farthest beyond",
            "V, K, degC, % or mA/Ah",
            1000,
            known_at_end=True,
        ),
        Column(
            "threshold",
            "float",
            "the level of the severity",
            "V, K, degC, % or mA/Ah",
            1000,
            known_at_end=True,
        ),
    ),
    "Alerts raised over measured values: one open at a time of each asset and type.",
)

SPLITS = ("train", "validation", "test")
"""What a jar's rows may be used for, in the order of a model's life."""

RUL_HORIZON_DAYS = 7305
"""Longest remaining life that is predicted: 20 years. A life beyond it counts as this long."""

_RUL = (0, RUL_HORIZON_DAYS)

RUL_PREDICTION = Table(
    "rul_prediction",
    "derived",
    "jar, week",
    ("predicted_at", "battery_id"),
    "table",
    (
        Column(
            "predicted_at",
            "instant",
            "local Monday 00:00; the row uses what was measured before",
            unit=_INSTANT_UNIT,
        ),
        _BATTERY_ID,
        Column(
            "rul_days",
            "float",
            "expected remaining life: to 80 % SOH or a failure, at most 20 years; all are null "
            "without a reading of the resistance in the last four weeks",
            "d",
            nullable=True,
            valid=_RUL,
        ),
        Column(
            "rul_lower_ci_days",
            "float",
            "lower end of the 80 % interval: exceeded with probability 0.9",
            "d",
            nullable=True,
            valid=_RUL,
        ),
        Column(
            "rul_upper_ci_days",
            "float",
            "upper end of the 80 % interval: exceeded with probability 0.1",
            "d",
            nullable=True,
            valid=_RUL,
        ),
        Column(
            "failure_probability_30d",
            "float",
            "probability that the life ends within 30 days",
            "1",
            10_000,
            True,
            (0, 1),
        ),
        Column(
            "failure_probability_90d",
            "float",
            "probability that the life ends within 90 days",
            "1",
            10_000,
            True,
            (0, 1),
        ),
        Column(
            "confidence_score",
            "float",
            "1 - (upper - lower) / (upper + lower): 1 for a certain life, 0 for no idea of it",
            "1",
            1000,
            True,
            (0, 1),
        ),
    ),
    "Weekly predictions of each jar's remaining life by the baseline estimator (docs/rul.md), from "
    "measured data alone.",
)

SPLIT = Table(
    "split",
    "dimension",
    "jar",
    ("battery_id",),
    "table",
    (
        _BATTERY_ID,
        _STRING_ID,
        _LOCATION_ID,
        Column(
            "split",
            "text",
            "train, validation or test, the same for all jars of a string, which share its "
            "current; about 60, 20 and 20 % of the strings of each location",
        ),
        Column(
            "location_split",
            "text",
            "train, validation or test, the same for all jars of a location, which share its room "
            "and weather: the stricter question, how a model does at a place it never saw",
        ),
        Column(
            "train_until",
            "instant",
            "for a split by time: train on rows before it (70 % of the run); null in a run under "
            "10 days",
            unit=_INSTANT_UNIT,
            nullable=True,
            known_at_end=True,
        ),
        Column(
            "embargo_until",
            "instant",
            "for a split by time: test on rows from here on (80 % of the run), use none between, "
            "for features look back; null in a run under 10 days",
            unit=_INSTANT_UNIT,
            nullable=True,
            known_at_end=True,
        ),
    ),
    "Which rows a model may learn from and which judge it. Cross it with time: train on rows of "
    "train jars before train_until, test on rows of test jars from embargo_until on.",
)

EVENT_TYPES = (
    "inspection",
    "thermal_survey",
    "impedance_round",
    "torque_check",
    "equalize",
    "capacity_test",
    "replacement",
)
"""Types of maintenance; the first are those of the calendar, in the order of their codes."""

MAINTENANCE_EVENT = Table(
    "maintenance_event",
    "event",
    "piece of work on a string or a jar",
    ("event_id",),
    "table",
    (
        Column("event_id", "text", "string or replaced jar, type and start, joined by /"),
        Column("event_type", "category", ", ".join(EVENT_TYPES)),
        _LOCATION_ID,
        _SYSTEM_ID,
        _STRING_ID,
        Column("battery_id", "text", "the jar, if it is work on one", nullable=True),
        Column("started_at", "instant", "beginning", unit=_INSTANT_UNIT),
        Column(
            "completed_at",
            "instant",
            "end; null: not before the end of the run",
            unit=_INSTANT_UNIT,
            nullable=True,
            known_at_end=True,
        ),
        Column(
            "finding",
            "text",
            "what it showed; null: not complete",
            nullable=True,
            known_at_end=True,
        ),
        Column("cause", "text", "of a replacement: what had been found", nullable=True),
        Column(
            "found_at",
            "instant",
            "of a replacement: when that was found",
            unit=_INSTANT_UNIT,
            nullable=True,
        ),
        Column(
            "replacement_id",
            "text",
            "the unit in service from completed_at",
            nullable=True,
            known_at_end=True,
        ),
    ),
    "Maintenance that began in the run; nothing merely planned.",
)

TELEMETRY = (JAR_RAW, JAR_CALC, STRING_RAW, STRING_CALC, ENV, FEATURE_STORE, RUL_TRUTH)
"""Tables in parts of which each id has a row at each instant of its clock."""

RECORDS = (
    ALERT_CONDITION,
    CAPACITY_TEST_RAW,
    CAPACITY_TEST_CALC,
    IMPEDANCE_MEASUREMENT_RAW,
    IMPEDANCE_MEASUREMENT_CALC,
)
"""Tables in parts with a row for each thing that happens; a part in which nothing does has no file
of them."""

PARTED = (*TELEMETRY, *RECORDS)
"""Tables that lie in parts; all others close with the run."""

DIMENSIONS = (
    LOCATION,
    BATTERY_MODEL,
    BATTERY_SYSTEM,
    STRING,
    BATTERY,
    ENVIRONMENTAL_SENSOR,
    SPLIT,
)
EPISODES = (ANOMALY, MAINTENANCE_EVENT)
HISTORIES = (ALERT, RUL_PREDICTION)
"""Tables that follow from all that was measured of a string or a room, and close with the run."""

TABLES = {table.name: table for table in (*PARTED, *DIMENSIONS, *EPISODES, *HISTORIES)}

STATES_FILE = "battery_states.json"
"""Truth of each jar at the end of the run."""

THROUGHPUT_TRUE, THROUGHPUT_ERROR = "ah_throughput true", "ah_throughput error"
"""Sketches in receipts [mAh]: the truth at the end of the run, and the last feature row less it."""

SingleForm = Literal["csv.gz", "csv"]

SINGLE_FILES: dict[str, SingleForm] = {JAR_RAW.name: "csv.gz", JAR_CALC.name: "csv"}
"""Tables in parts that the usage guide has as single files, and in which form."""

REPORT_FILE, HTML_REPORT_FILE = "DATA_GENERATION_REPORT.md", "report.html"

CATALOGUE_FILES = (CROISSANT_FILE, PACKAGE_FILE) = ("croissant.json", "datapackage.json")
"""What catalogues read of a data set: Croissant JSON-LD, and a Frictionless data package."""
