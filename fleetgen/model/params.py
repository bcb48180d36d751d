"""Every parameter of the model with its unit, the range its law is meant for, and its source.

A law module binds the `.value` of what it needs when it is imported, so that kernels compile it as
a constant. `ASSUMED` as source means an engineering assumption and `DERIVED` what follows from
other parameters; the note says why or how. `catalogue` lists them all.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, NamedTuple, get_type_hints

ASSUMED = "ASSUMED"
DERIVED = "DERIVED"
_SCHIFFER = "Schiffer et al. 2007, J. Power Sources 168, as coded in SLIDE Cell_PbA.hpp"
_BODE = "Bode 1977, Lead-Acid Batteries; OCV basis of PyBaMM Sulzer2019"
_ENERSYS = "EnerSys DataSafe HX manual US-HX-IOM-002"
_LEOCH = "Leoch MA12-100 data sheet, capacity over temperature"
_CD = "C&D manuals RS-1826 (Liberty 1000) and 41-7546 (DCS-100HIT)"
_GNB = "GNB/Exide manual 92.30, p. 14"
_CSB = "CSB GP data sheets (GP12400, GP645), cycle life"
_VINACHEM = "12V-40Ah data sheet (Vinachem), cycle life"
_OERLIKON = "accuoerlikon.com, heat generation of lead batteries"
_SKD = "konferencjaskd2024.pl, float current of VRLA (secondary)"
_RYS = "Rys et al. 2021, J. Power Technologies 101(2)"
_IEEE = "IEEE 1188 as tabulated by Fluke, Recommended battery tests"
_ROBOTINA = "Robotina BTMS and Alber BDS monitor specifications"
_SONNTAG = "Sonntag 1990, Z. Meteorol. 70 (Magnus form over water)"
_SI = "SI Brochure (BIPM), 9th ed."


@dataclass(frozen=True)
class Parameter:
    """One number of the model.

    `valid` is the range in which the law that uses it is meant to hold, inclusive.

    Raises
    ------
    ValueError
        If the value lies outside of its own range.
    """

    value: float
    unit: str
    valid: tuple[float, float]
    source: str
    note: str = ""

    def __post_init__(self) -> None:
        """Check that the value is one that the law is meant for."""
        low, high = self.valid
        if not low <= self.value <= high:
            raise ValueError(
                f"parameter of {self.value:g} {self.unit} must lie within {low:g} to {high:g}"
            )


class Meant(NamedTuple):
    """Unit and valid range of a law's constant; of a pair with a power of p, its amplitude's."""

    unit: str
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class DischargeFamily:
    """Fitted constants of a discharge family (per 100 Ah of C10)."""

    capacity_factor: Annotated[float, Meant("1", 1.0, 3.0)]
    knee_rate_per_h: Annotated[float, Meant("1/h", 0.05, 5.0)]
    rate_exponent: Annotated[float, Meant("1", 0.2, 1.5)]
    resistance_dc_mohm: Annotated[float, Meant("mOhm per jar, 100 Ah", 2.0, 12.0)]
    knee_v_per_cell: Annotated[float, Meant("V/cell", 0.01, 0.1)]
    resistance_ohmic_mohm: Annotated[float, Meant("mOhm per jar, 100 Ah", 2.0, 8.0)]
    source: str


DISCHARGE_FAMILIES = {
    "A": DischargeFamily(
        capacity_factor=2.009,
        knee_rate_per_h=0.196,
        rate_exponent=0.446,
        resistance_dc_mohm=5.91,
        knee_v_per_cell=0.0380,
        resistance_ohmic_mohm=4.9,
        source="fit to the CB12-115 data sheet, 72 points of current over time, RMS 4.5 % of time",
    ),
    "B": DischargeFamily(
        capacity_factor=1.428,
        knee_rate_per_h=1.665,
        rate_exponent=0.821,
        resistance_dc_mohm=4.72,
        knee_v_per_cell=0.0313,
        resistance_ohmic_mohm=3.4,
        source="fit to the CSB GP12400 data sheet, 48 points of current over time, RMS 5.1 %",
    ),
}

# Units and references
ICE_POINT = Parameter(273.15, "K", (273.15, 273.15), _SI, "0 degC")
BOLTZMANN = Parameter(8.617e-5, "eV/K", (8.617e-5, 8.6174e-5), "CODATA 2018")
REFERENCE_TEMPERATURE = Parameter(
    25.0, "degC", (20.0, 25.0), _ENERSYS, "ratings and set-points are given at it"
)
NOMINAL_CELL = Parameter(
    2.0,
    "V/cell",
    (1.9, 2.1),
    ASSUMED,
    "nominal voltage of a lead-acid cell; turns power to current",
)

# Open circuit
ACID_FULL_MOLAL = Parameter(
    6.2, "mol/kg", (5.5, 6.5), ASSUMED, "full AGM acid of 1.28-1.30 specific gravity"
)
ACID_EMPTY_MOLAL = Parameter(1.3, "mol/kg", (0.5, 2.0), ASSUMED, "end of discharge")
OCV_TEMPERATURE = Parameter(0.0002, "V/K per cell", (0.0001, 0.0004), _BODE)
ACID_RESERVE = Parameter(
    1.20, "1", (1.0, 1.5), ASSUMED, "acid left at the 10-h end point; fitted with the families"
)

# Float
TAFEL = Parameter(11.0, "1/V per cell", (8.0, 14.0), _SCHIFFER)
TAFEL_TEMPERATURE = Parameter(0.06, "1/K", (0.04, 0.08), _SCHIFFER)
FLOAT_REFERENCE = Parameter(2.27, "V/cell", (2.23, 2.30), _ENERSYS, "2.24-2.27 V/cell at 25 degC")
FLOAT_CURRENT = Parameter(
    0.50e-3,
    "A/Ah",
    (0.3e-3, 1.0e-3),
    _OERLIKON,
    "0.09 W per cell and 100 Ah are 0.4 mA/Ah; 1 mA/Ah is usual elsewhere",
)
FLOAT_COMPENSATION = Parameter(
    -0.003, "V/cell/K", (-0.005, -0.002), _ENERSYS, "2.21-2.24 V/cell at 35 degC"
)
FLOAT_SET_MINIMUM = Parameter(
    2.20, "V/cell", (2.17, 2.23), ASSUMED, "the compensation stops where a cell would discharge"
)
FLOAT_SET_MAXIMUM = Parameter(
    2.33, "V/cell", (2.30, 2.35), ASSUMED, "the compensation stops below the boost voltage"
)
CONTROL_TIME = Parameter(
    1800.0, "s", (300.0, 7200.0), ASSUMED, "low pass of the charger's temperature probe"
)
FLOAT_SPREAD_STRING = Parameter(
    0.20, "ln(A/Ah)", (0.0, 0.5), ASSUMED, "string to string: batches differ in saturation"
)
FLOAT_SPREAD_JAR = Parameter(
    0.15, "ln(A/Ah)", (0.0, 0.3), _ENERSYS, "+-2 % individual jar voltage, settled, as 3 sigma"
)
FLOAT_SPREAD_NEW = Parameter(
    0.20, "ln(A/Ah)", (0.0, 0.5), _ENERSYS, "+-5 % is common early in float life"
)
FLOAT_SETTLING = Parameter(180.0, "d", (30.0, 365.0), ASSUMED, "the early spread fades")
FLOAT_WANDER = Parameter(0.04, "ln(A/Ah)", (0.0, 0.1), ASSUMED, "slow wander of a jar")
FLOAT_WANDER_KNOT = Parameter(30, "d", (7, 90), ASSUMED, "knots of the wander")
FLOAT_POWER = Parameter(
    0.68, "W per jar, 100 Ah", (0.3, 1.5), DERIVED, "FLOAT_CURRENT of 100 Ah at 13.6 V"
)
CHARGER_OFFSET = Parameter(0.003, "1", (0.0, 0.01), ASSUMED, "set-point offset of a charger")
CHARGER_WANDER = Parameter(
    0.0005,
    "1",
    (0.0, 0.005),
    ASSUMED,
    "a charger holds its set-point within some tenths of a percent",
)
CHARGER_WANDER_TIME = Parameter(
    3600.0, "s", (600.0, 86_400.0), ASSUMED, "slow, as of a charger that warms and cools"
)

# Discharge
DEPLETION_TIME = Parameter(600.0, "s", (60.0, 3600.0), ASSUMED, "recovery of electrolyte depletion")
CAPACITY_COLD = Parameter(0.0056, "1/K", (0.003, 0.012), _LEOCH, "0 degC 86 %")
CAPACITY_WARM = Parameter(0.0020, "1/K", (0.0, 0.005), _LEOCH, "40 degC 103 %")
RESISTANCE_TEMPERATURE = Parameter(
    0.006, "1/K", (0.002, 0.012), ASSUMED, "electrolyte conductivity"
)
CABLE_RESISTANCE = Parameter(0.005, "ohm", (0.0, 0.05), ASSUMED, "string cabling")
EXHAUSTED = Parameter(
    0.9999, "1", (0.99, 0.99999), ASSUMED, "where the knee's law ends; the cut-off is long before"
)
FOUET_REST = Parameter(
    7200.0, "s", (600.0, 86_400.0), ASSUMED, "no coup de fouet after a shorter float"
)
FOUET_DEPTH = Parameter(
    20.0, "mV/cell", (10.0, 50.0), ASSUMED, "at C10/10; band of 10-50 mV/cell as remembered"
)
FOUET_SLOPE = Parameter(14.0, "mV/cell per decade", (0.0, 30.0), ASSUMED, "deeper at a higher rate")
FOUET_RATE = Parameter(
    0.1, "1/h", (0.05, 0.2), ASSUMED, "rate over C10 at which the depth is given"
)
FOUET_SHALLOWEST = Parameter(12.0, "mV/cell", (5.0, 20.0), ASSUMED, "band of 10-50 mV/cell")
FOUET_DEEPEST = Parameter(45.0, "mV/cell", (30.0, 60.0), ASSUMED, "band of 10-50 mV/cell")
FOUET_FLOAT_TIME = Parameter(
    43_200.0, "s", (3600.0, 172_800.0), ASSUMED, "float after which it has come back"
)
FOUET_RECOVERY = Parameter(
    0.015, "1", (0.005, 0.05), _RYS, "drawn share of C10; the dip is over within minutes"
)
FOUET_ONSET = Parameter(
    0.003, "1", (0.001, 0.005), _RYS, "drawn share of C10; trough in the first minutes"
)
FOUET_PEAK = Parameter(
    0.5824,
    "1",
    (0.58, 0.585),
    DERIVED,
    "greatest value of exp(-x / FOUET_RECOVERY) (1 - exp(-x / FOUET_ONSET)), 0.58236",
)
FOUET_GROWTH = Parameter(
    0.3, "1", (0.0, 1.0), ASSUMED, "power of the resistance: depth says little of health (Rys 2021)"
)
STRING_CUTOFF = Parameter(
    1.75, "V/cell", (1.60, 1.85), ASSUMED, "usual of UPS; 10.5 V per jar is in the CB12-115 table"
)
JAR_CUTOFF = Parameter(
    10.5, "V", (9.6, 10.8), ASSUMED, "keeps the weakest jar above its specified floor"
)
CUTOFF_DELAY = Parameter(10.0, "s", (0.0, 60.0), ASSUMED, "dwell before the disconnect opens")
UPS_RATED_POWER = Parameter(
    380.0,
    "W/cell per 100 Ah",
    (250.0, 450.0),
    ASSUMED,
    "15 min to 1.75 V/cell; LPX12-100 has 356 to 1.67 V, the families 334 and 399",
)
INVERTER_EFFICIENCY = Parameter(0.95, "1", (0.85, 0.99), ASSUMED, "double-conversion UPS")
LOAD_MINIMUM = Parameter(
    0.30, "1", (0.1, 1.0), ASSUMED, "UPS load factor, lower end over the systems"
)
LOAD_MAXIMUM = Parameter(
    0.65, "1", (0.1, 1.0), ASSUMED, "UPS load factor, upper end over the systems"
)
LOAD_OFFICE = Parameter(
    0.05,
    "1",
    (0.0, 0.3),
    ASSUMED,
    "IT load hardly follows the day; half the swing from mean to office hours",
)
LOAD_WANDER = Parameter(0.01, "1", (0.0, 0.1), ASSUMED, "many servers average out")
LOAD_WANDER_TIME = Parameter(3600.0, "s", (600.0, 86_400.0), ASSUMED, "jobs last about an hour")
RECTIFIER_MINIMUM = Parameter(
    0.12, "1/h", (0.05, 0.5), ASSUMED, "rectifier load over C10: 6 h autonomy"
)
RECTIFIER_MAXIMUM = Parameter(
    0.25, "1/h", (0.05, 0.5), ASSUMED, "rectifier load over C10: 4 h autonomy"
)

# Recharge
CHARGE_LIMIT = Parameter(
    0.10, "1/h", (0.05, 0.30), ASSUMED, "0.05-0.20 C10 is usual; CSB and Leoch allow 0.3"
)
CHARGE_EFFICIENCY = Parameter(
    0.97, "1", (0.85, 1.0), ASSUMED, "Coulombic; 2-10 % more is returned than was drawn"
)
CHARGE_POLARISATION = Parameter(
    0.05, "V/cell", (0.0, 0.1), ASSUMED, "activation overvoltage in charge"
)
CHARGE_POLARISATION_RATE = Parameter(
    0.01, "1/h", (0.001, 0.05), ASSUMED, "current over C10 at which the overvoltage is there"
)
CHARGE_ACCEPTANCE = Parameter(
    2.6e-3, "ohm per cell, 100 Ah", (1e-3, 1e-2), ASSUMED, "fitted to vendors' recharge times"
)
CHARGE_ACCEPTANCE_TEMPERATURE = Parameter(
    0.02, "1/K", (0.0, 0.05), ASSUMED, "a cold battery takes its charge more slowly"
)
FAMILY_CELLS = Parameter(
    6, "1", (6, 6), "CB12-115 and CSB GP12400 data sheets", "cells of the jars that were fitted"
)
BOOST_SET = Parameter(
    2.35,
    "V/cell",
    (2.30, 2.40),
    _ENERSYS,
    "commissioning charge; at its fast charge of 2.40 some jars would pass 14.5 V",
)
BOOST_DEFICIT = Parameter(0.05, "1", (0.0, 0.5), ASSUMED, "boost follows a deeper discharge")
BOOST_END = Parameter(0.01, "1/h", (0.002, 0.05), ASSUMED, "boost ends below this current over C10")
BOOST_LIMIT = Parameter(43_200.0, "s", (3600.0, 172_800.0), ASSUMED, "and after 12 h at the latest")
FULL_SOC = Parameter(0.999, "1", (0.98, 0.9999), ASSUMED, "recharge becomes float")
FINISHING_TIME = Parameter(
    3600.0, "s", (600.0, 86_400.0), ASSUMED, "the last 0.1 % returns on float"
)
RECHARGE_LENGTHENING = Parameter(
    1.2, "1", (1.0, 2.0), ASSUMED, "ageing's closed form of a recharge: the current tapers"
)
DISCHARGED_DEPTH = Parameter(
    0.1, "1", (0.05, 0.5), ASSUMED, "drawn share of C10 beyond which sulfates grow"
)

# Heat
HEAT_CAPACITY = Parameter(
    800.0, "J/kg/K", (660.0, 1000.0), ASSUMED, "660-1000 is remembered of Pesaran (NREL)"
)
THERMAL_RESISTANCE = Parameter(0.9, "K/W", (0.4, 2.0), ASSUMED, "hA of 8 W/m2K over 0.14 m2")
THERMAL_RESISTANCE_END = Parameter(0.7, "K/W", (0.4, 2.0), ASSUMED, "jars at a shelf end")
THERMAL_RESISTANCE_MIDDLE = Parameter(
    1.1, "K/W", (0.4, 2.0), ASSUMED, "jars in the middle of a shelf"
)
REVERSIBLE_HEAT = Parameter(
    2.0e-4, "V/K per cell", (1e-4, 4e-4), _BODE, "slope of the open-circuit voltage"
)
CABINET_RISE_UPS = Parameter(1.5, "K", (0.0, 5.0), ASSUMED, "closed cabinet")
CABINET_RISE_RACK = Parameter(0.5, "K", (0.0, 5.0), ASSUMED, "open rack")
CABINET_LOWEST = Parameter(
    0.3, "1", (0.0, 1.0), ASSUMED, "share of the rise at the ends of the lowest shelf"
)
CABINET_HEIGHT = Parameter(0.5, "1", (0.0, 1.0), ASSUMED, "more on the highest shelf")
CABINET_MIDDLE = Parameter(0.4, "1", (0.0, 1.0), ASSUMED, "more away from a shelf's ends")
CABINET_SPREAD = Parameter(0.2, "K", (0.0, 1.0), ASSUMED, "jar to jar")
NEIGHBOUR_SHARE = Parameter(0.15, "1", (0.0, 0.5), ASSUMED, "coupling to adjacent jars")
JAR_FOLLOWING_TIME = Parameter(
    21_600.0,
    "s",
    (16_900.0, 26_300.0),
    DERIVED,
    "in which a jar follows its room, as ageing takes it: RC is 4.7 to 7.3 h",
)
JAR_TEMPERATURE_LIMIT = Parameter(80.0, "degC", (60.0, 100.0), ASSUMED, "beyond any law used here")

# Room
ROOM_TARGET = Parameter(
    24.0, "degC", (18.0, 30.0), ASSUMED, "what the usage guide of the fleet asks for"
)
ROOM_SITE_SIGMA = Parameter(0.8, "K", (0.0, 3.0), ASSUMED, "site to site")
ROOM_OUTDOOR = Parameter(0.05, "1", (0.0, 0.3), ASSUMED, "leakage of outdoor temperature")
ROOM_WANDER = Parameter(
    0.3, "K", (0.0, 1.0), ASSUMED, "what the control lets pass, over some compressor cycles"
)
ROOM_WANDER_TIME = Parameter(
    2400.0, "s", (600.0, 14_400.0), ASSUMED, "of that fluctuation: some compressor cycles"
)
COMPRESSOR_SWING = Parameter(
    0.4,
    "K",
    (0.0, 2.0),
    ASSUMED,
    "peak to peak, of the air; a thermostat differential less the damping of the room",
)
COMPRESSOR_STEEPNESS = Parameter(
    3.0, "1", (1.0, 10.0), ASSUMED, "a cosine cut at a third of its height: nearly a square wave"
)
COMPRESSOR_MINIMUM = Parameter(
    1080.0,
    "s",
    (300.0, 3600.0),
    ASSUMED,
    "period; not so short as to wear the compressor",
)
COMPRESSOR_MAXIMUM = Parameter(
    1500.0, "s", (300.0, 3600.0), ASSUMED, "period at the other end over the locations"
)
ROOM_HUMIDITY = Parameter(50.0, "%", (30.0, 70.0), ASSUMED, "conditioned room")
ROOM_HUMIDITY_SIGMA = Parameter(
    4.0, "%", (0.0, 10.0), ASSUMED, "conditioned room: cooling dries it, doors let moisture in"
)
ROOM_HUMIDITY_TIME = Parameter(
    7200.0, "s", (600.0, 86_400.0), ASSUMED, "conditioned room: of that fluctuation"
)

COOLING_REFERENCE = Parameter(
    28.0, "degC", (24.0, 32.0), ASSUMED, "outdoors at which the room is at its target"
)
COOLING_FAILURES_NEW = Parameter(
    0.08, "1/a", (0.0, 1.0), ASSUMED, "the usage guide's 2 % a year and unit, 4 units"
)
COOLING_FAILURES_OLD = Parameter(
    0.32, "1/a", (0.0, 1.0), ASSUMED, "the usage guide's 8 % a year and unit, 4 units"
)
COOLING_OLD = Parameter(10.0, "a", (5.0, 20.0), ASSUMED, "age at which the cooling is old")
COOLING_HOT_SEASON = Parameter(
    1.5, "1", (1.0, 3.0), ASSUMED, "March to May: compressors at their limit fail more often"
)
COOLING_COOL_SEASON = Parameter(
    0.7, "1", (0.3, 1.0), ASSUMED, "November to February: compressors rest"
)
REPAIR_MEDIAN = Parameter(
    5.0, "h", (1.0, 24.0), ASSUMED, "lognormal; a technician is on call, parts are at hand"
)
REPAIR_SIGMA = Parameter(
    0.7, "ln", (0.0, 1.5), ASSUMED, "lognormal; now and then a part must be ordered"
)
REPAIR_LIMIT = Parameter(120.0, "h", (24.0, 240.0), ASSUMED, "a rented unit is there by then")
DEGRADED_EPISODES = Parameter(0.4, "1/a", (0.0, 5.0), ASSUMED, "one unit down or a clogged coil")
DEGRADED_SHORTEST = Parameter(2.0, "d", (0.5, 60.0), ASSUMED, "until it is noticed and mended")
DEGRADED_LONGEST = Parameter(15.0, "d", (0.5, 60.0), ASSUMED, "until it is noticed and mended")
DEGRADED_FAILS = Parameter(0.15, "1", (0.0, 1.0), ASSUMED, "episodes that end in failure")
DEGRADED_RISE = Parameter(2.0, "K", (0.0, 5.0), ASSUMED, "room above its target")
DEGRADED_OUTDOOR = Parameter(
    0.35, "1", (0.0, 1.0), ASSUMED, "of the outdoor excess over the normal room"
)
FAILED_RISE = Parameter(6.0, "K", (3.0, 10.0), ASSUMED, "UPS losses, 3-10 K over outdoors")
FAILED_CAP = Parameter(46.0, "degC", (40.0, 55.0), ASSUMED, "losses through the walls")
WARMING_TIME = Parameter(
    5400.0,
    "s",
    (2520.0, 10_800.0),
    ASSUMED,
    "0.7-3 h without IT load; with it minutes (Khankari 2011, Schneider WP 179)",
)
COOLING_TIME = Parameter(
    3600.0, "s", (600.0, 10_800.0), ASSUMED, "after a repair all units cool at full power"
)
DRIFT_TIME = Parameter(
    10_800.0, "s", (1800.0, 43_200.0), ASSUMED, "humidity ratio of an unconditioned room"
)
DEGRADED_DRIFT = Parameter(
    0.3, "1", (0.0, 1.0), ASSUMED, "share of outdoor humidity in a degraded room"
)

# Ageing
ACTIVATION = Parameter(
    0.60,
    "eV",
    (0.52, 0.70),
    _CD,
    "life halves per 10 K (0.55 eV); IEEE 1188 and 450, as remembered, per 8.3 K (0.66); middle",
)
AGEING_WARM = Parameter(
    30.0, "degC", (20.0, 45.0), ASSUMED, "where ageing is linearised for a day's swing"
)
OVERVOLTAGE_AGEING = Parameter(10.0, "1/V per cell", (5.0, 15.0), _GNB, "2.33 V/cell halves life")
OVERVOLTAGE_MINIMUM = Parameter(
    0.7, "1", (0.5, 1.0), ASSUMED, "range of the law: low voltage does not rest a battery for ever"
)
OVERVOLTAGE_MAXIMUM = Parameter(
    6.0, "1", (2.0, 10.0), ASSUMED, "range of the law: beyond, gassing decides"
)
END_OF_LIFE_SOH = Parameter(0.80, "1", (0.6, 0.9), _IEEE, "replace at 80 %")
WEAR_SPAN = Parameter(
    0.20, "1", (0.1, 0.4), ASSUMED, "SOH below the end of life over which wear comes to its limit"
)
WEAR_LIMIT = Parameter(
    3.0, "1", (1.0, 5.0), ASSUMED, "capacity falls ever faster below the end of life: why it is one"
)
JAR_AGEING_SPREAD = Parameter(
    0.12, "ln", (0.0, 0.4), ASSUMED, "jar to jar of one batch: filling, compression, place"
)
STRING_AGEING_SPREAD = Parameter(0.08, "ln", (0.0, 0.4), ASSUMED, "string to string: batches, duty")
CYCLING_LOSS = Parameter(
    0.20 / 260, "1", (0.0002, 0.002), _CSB, "over 260 cycles of full depth to 80 %"
)
CYCLING_EXPONENT = Parameter(1.3, "1", (1.0, 2.0), _VINACHEM, "200/600/1500 cycles at 100/50/30 %")
CYCLING_EXPECTED = Parameter(
    0.001, "1/a", (0.0, 0.01), ASSUMED, "share of a class's rate: a test and its events"
)
DISCHARGE_DEPTH_LIMIT = Parameter(
    0.85, "1", (0.5, 1.0), ASSUMED, "cut-off before C10 at these rates"
)
SULFATION_VOLTAGE = Parameter(2.20, "V/cell", (2.15, 2.23), ASSUMED, "undercharged below")
SULFATION_UNDERCHARGE = Parameter(
    0.01, "1/d per V/cell", (0.0, 0.05), ASSUMED, "0.04 %/d at 40 mV below"
)
SULFATION_DISCHARGED = Parameter(0.002, "1/d", (0.0, 0.01), ASSUMED, "below 90 % state of charge")
SULFATION_ACCEPTANCE = Parameter(
    15.0, "1", (0.0, 50.0), ASSUMED, "charging resistance per capacity lost"
)
EQUALIZE_RECOVERY = Parameter(
    0.4, "1", (0.0, 1.0), ASSUMED, "sulfated cells recover in part (Hund, Sandia, by its title)"
)
CAPACITY_SPREAD = Parameter(0.02, "1", (0.0, 0.05), ASSUMED, "new capacity, of one make")
RESISTANCE_SPREAD = Parameter(
    0.05, "1", (0.0, 0.15), ASSUMED, "new resistance, of one make and its connections"
)
RESISTANCE_WANDER = Parameter(
    0.015, "ln", (0.0, 0.05), ASSUMED, "slow wander: contacts and acid that settles"
)
RESISTANCE_WANDER_KNOT = Parameter(60, "d", (7, 180), ASSUMED, "knots of the wander")
OHMIC_CHARGE_LINEAR = Parameter(
    0.3, "1", (0.0, 1.0), ASSUMED, "a discharged jar reads higher; per missing charge"
)
OHMIC_CHARGE_CUBIC = Parameter(
    0.5, "1", (0.0, 2.0), ASSUMED, "a discharged jar reads higher; steeply at the end"
)
SOH_MINIMUM = Parameter(
    0.02, "1", (0.0, 0.2), ASSUMED, "a jar that failed long ago keeps it: no law goes to nothing"
)
INITIAL_SOH_MINIMUM = Parameter(
    0.805, "1", (0.8, 1.0), ASSUMED, "a worn unit would have been replaced"
)
OLDEST_STRING = Parameter(
    5.0, "a", (0.1, 10.0), ASSUMED, "replacement practice: five years in hot places"
)
YOUNGEST_STRING = Parameter(
    0.3, "a", (0.1, 10.0), ASSUMED, "replacement practice: commissioning is over"
)
STORED_SHORTEST = Parameter(30, "d", (0, 365), ASSUMED, "from manufacture to installation")
STORED_LONGEST = Parameter(120, "d", (0, 365), ASSUMED, "from manufacture to installation")
RUL_HORIZON = Parameter(20.0, "a", (1.0, 30.0), ASSUMED, "RUL beyond it is censored")
MODE_LOSS = Parameter(
    0.02, "1", (0.0, 0.1), ASSUMED, "capacity a mode must have cost to be the reason of an end"
)


# Failures
HAZARD_HEALTHY = Parameter(
    0.008, "1/a", (0.0, 0.05), ASSUMED, "failure modes begun, at 2 % SOH a year"
)
HAZARD_REFERENCE = Parameter(
    0.02, "1/a", (0.01, 0.05), ASSUMED, "SOH a year of the healthy profile, of which the hazard is"
)
HAZARD_EXPONENT = Parameter(1.16, "1", (0.5, 2.0), ASSUMED, "4 % at 8 %, 15 % at 25 % SOH a year")
HAZARD_LOOKBACK = Parameter(3, "a", (1, 5), ASSUMED, "so that some are under way at the start")
EARLY_SHARE = Parameter(0.30, "1", (0.0, 1.0), ASSUMED, "failures with little warning")
EARLY_LEAD = Parameter(0.25, "1", (0.05, 1.0), ASSUMED, "their lead over the usual")
AMPLITUDE_SPREAD = Parameter(0.25, "ln", (0.0, 0.5), ASSUMED, "no two precursors are alike")
EXPONENT_MINIMUM = Parameter(0.8, "1", (0.5, 2.0), ASSUMED, "no two precursors are alike")
EXPONENT_MAXIMUM = Parameter(1.3, "1", (0.5, 2.0), ASSUMED, "no two precursors are alike")
FLOAT_FLOOR = Parameter(
    1.4, "ln(A/Ah)", (0.5, 2.0), ASSUMED, "a jar cannot float below its open circuit"
)
FLOAT_FLOOR_MARGIN = Parameter(
    0.2, "ln(A/Ah)", (0.0, 0.5), ASSUMED, "of the floor, for the temperature of the jar"
)
FAILED_CELLS_LIMIT = Parameter(
    0.5, "1", (0.1, 1.0), ASSUMED, "of a cell in a soft short, whatever its amplitude"
)
LEAK_LIMIT = Parameter(
    0.5, "1", (0.1, 1.0), ASSUMED, "of the capacity in a soft short, whatever its amplitude"
)
SHORT_RESISTANCE_MINIMUM = Parameter(
    -0.05, "1", (-0.2, 0.5), ASSUMED, "change at the end of an internal short"
)
SHORT_RESISTANCE_MAXIMUM = Parameter(
    0.10, "1", (-0.2, 0.5), ASSUMED, "change at the end of an internal short"
)
PROGRESS_BEYOND = Parameter(
    0.2, "1", (0.01, 0.5), ASSUMED, "of a failure's progress still to come after its terminal event"
)
CORROSION_STEPS_FROM = Parameter(
    0.7, "1", (0.0, 1.0), ASSUMED, "progress from which the contact is intermittent"
)
CORROSION_STEP_SHARE = Parameter(0.6, "1", (0.0, 1.0), ASSUMED, "spans of days that have a step")
CORROSION_STEP_SHORTEST = Parameter(0.2, "1", (0.0, 1.0), ASSUMED, "of 5 d: 1 to 5 d")
CORROSION_STEP_MINIMUM = Parameter(
    0.1, "1", (0.0, 0.5), ASSUMED, "of the resistance; 10 to 30 %, either sign"
)
CORROSION_STEP_SPAN = Parameter(
    0.2, "1", (0.0, 0.5), ASSUMED, "of the resistance; 10 to 30 %, either sign"
)
CORROSION_STEP_UP = Parameter(0.6, "1", (0.0, 1.0), ASSUMED, "share of the steps that are upwards")
RUNAWAY_HAZARD = Parameter(
    0.10, "1/a", (0.0, 0.5), ASSUMED, "uncompensated strings that begin to dry out"
)
RUNAWAY_SHORTEST = Parameter(60.0, "d", (14.0, 365.0), ASSUMED, "precursor")
RUNAWAY_LONGEST = Parameter(180.0, "d", (14.0, 365.0), ASSUMED, "precursor")
RUNAWAY_RISE_MINIMUM = Parameter(1.2, "ln(A/Ah)", (0.5, 2.5), ASSUMED, "of the whole string")
RUNAWAY_RISE_MAXIMUM = Parameter(1.6, "ln(A/Ah)", (0.5, 2.5), ASSUMED, "of the whole string")
RUNAWAY_SPREAD = Parameter(0.3, "ln(A/Ah)", (0.0, 0.6), ASSUMED, "jar to jar")
RUNAWAY_SUSPECT = Parameter(
    0.6, "1", (0.3, 1.0), ASSUMED, "of the fold of the heat balance: beyond, the day is walked"
)
RUNAWAY_AFTERNOON = Parameter(
    1.6, "1", (1.0, 3.0), ASSUMED, "excess of a hot afternoon over that of its day"
)
RUNAWAY_LABELLED = Parameter(4, "1", (1, 24), ASSUMED, "most jars of a string that one takes")
TRIP_RISE = Parameter(10.0, "K", (5.0, 15.0), _CD, "not more than 10 degC above ambient")
TRIP_CURRENT = Parameter(3e-3, "A/Ah", (1e-3, 1e-2), _SKD, "over 3 mA/Ah is abnormal")
TRIP_CLIMB = Parameter(
    0.5, "K", (0.1, 3.0), ASSUMED, "over its own 6-h mean: a stable balance is an alarm"
)
TRIP_DELAY = Parameter(1800.0, "s", (60.0, 14_400.0), ASSUMED, "dwell of the protection")
TRIP_ROOM_TIME = Parameter(
    21_600.0, "s", (7200.0, 43_200.0), ASSUMED, "low pass of the room temperature: jars take 6 h"
)
TRIP_TEMPERATURE = Parameter(50.0, "degC", (45.0, 60.0), _CD, "never charge above 50 degC")
VISIT_SOONEST = Parameter(4.0, "h", (0.5, 168.0), ASSUMED, "after a trip")
VISIT_LATEST = Parameter(48.0, "h", (0.5, 168.0), ASSUMED, "after a trip")
OPEN_JAR_V = Parameter(9.0, "V", (0.0, 10.5), ASSUMED, "lowest that a monitor shows of an open jar")
TEST_RATE = Parameter(
    0.25, "1/h", (0.1, 1.0), ASSUMED, "current of the capacity test over C10: some three hours"
)
TEST_LIMIT = Parameter(6.0, "h", (3.0, 12.0), ASSUMED, "a test that lasts longer is ended")
TEST_REST = Parameter(
    72.0, "h", (24.0, 168.0), ASSUMED, "on float before a test, as remembered of IEEE 1188"
)
TEST_EARLIEST = Parameter(20.0, "h", (18.0, 24.0), ASSUMED, "local time of a test's start: night")
TEST_LATEST = Parameter(22.0, "h", (18.0, 24.0), ASSUMED, "local time of a test's start: night")
CHARGER_EPISODES = Parameter(0.03, "1/a", (0.0, 0.5), ASSUMED, "chargers out of adjustment")
CHARGER_DEVIATION_MINIMUM = Parameter(0.03, "V/cell", (0.0, 0.1), ASSUMED, "out of adjustment")
CHARGER_UNDERVOLTAGE_MINIMUM = Parameter(
    0.04, "V/cell", (0.0, 0.1), ASSUMED, "out of adjustment, too low"
)
CHARGER_DEVIATION_MAXIMUM = Parameter(0.08, "V/cell", (0.0, 0.1), ASSUMED, "out of adjustment")
CHARGER_SHORTEST = Parameter(10.0, "d", (1.0, 90.0), ASSUMED, "until it is noticed")
CHARGER_LONGEST = Parameter(60.0, "d", (1.0, 90.0), ASSUMED, "until it is noticed")


_NONE = (0.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class FailureLaw:
    """How a failure mode shows at progress p: amplitudes and exponents of p.

    Leads are in days; capacity in fractions of rated, resistance over new, the float constant in
    ln(A/Ah), heat in W, thermal resistance and charging resistance over their own, `cells` lost,
    `leak` as removed charge over capacity.
    """

    share: Annotated[float, Meant("1", 0.0, 1.0)]
    shortest_d: Annotated[float, Meant("d", 1.0, 2000.0)]
    longest_d: Annotated[float, Meant("d", 1.0, 2000.0)]
    soh: Annotated[tuple[float, float], Meant("1", 0.0, 1.0)] = _NONE
    resistance: Annotated[tuple[float, float], Meant("1", 0.0, 5.0)] = _NONE
    ln_i0: Annotated[tuple[float, float], Meant("ln(A/Ah)", -2.0, 2.0)] = _NONE
    heat_w: Annotated[tuple[float, float], Meant("W", 0.0, 5.0)] = _NONE
    thermal: Annotated[float, Meant("1", 0.0, 1.0)] = 0.0
    acceptance: Annotated[float, Meant("1", 0.0, 10.0)] = 0.0
    cells: Annotated[tuple[float, float], Meant("1", 0.0, 1.0)] = _NONE
    leak: Annotated[tuple[float, float], Meant("1", 0.0, 1.0)] = _NONE
    source: str = ASSUMED
    note: str = ""


FAILURE_LAWS = {
    "dry_out": FailureLaw(
        share=0.25,
        shortest_d=180,
        longest_d=730,
        soh=(0.35, 2.0),
        resistance=(1.5, 1.3),
        ln_i0=(1.0, 1.5),
        heat_w=(2.0, 2.0),
        thermal=0.4,
        note="recombination rises as it dries; conductance falls before capacity (pectecth)",
    ),
    "corrosion": FailureLaw(
        share=0.25,
        shortest_d=365,
        longest_d=1095,
        soh=(0.25, 1.0),
        resistance=(0.8, 2.0),
        note="grid or strap: resistance rises late and in steps; ends open under load",
    ),
    "sulfation": FailureLaw(
        share=0.22,
        shortest_d=90,
        longest_d=365,
        soh=(0.45, 1.0),
        resistance=(0.5, 1.0),
        ln_i0=(-0.7, 1.0),
        acceptance=4.0,
        note="capacity falls before conductance (pectecth, conductance and capacity)",
    ),
    "internal_short": FailureLaw(
        share=0.28,
        shortest_d=14,
        longest_d=56,
        soh=(0.15, 1.0),
        heat_w=(2.5, 3.0),
        cells=(0.15, 3.0),
        leak=(0.15, 3.0),
        note="soft for weeks, then a dead cell; resistance hardly moves",
    ),
    "thermal_runaway": FailureLaw(
        share=0.0,
        shortest_d=60,
        longest_d=180,
        soh=(0.2, 1.0),
        resistance=(0.6, 1.0),
        thermal=0.3,
        note="precursor of a whole string, drier than one jar; the rest is the heat balance's",
    ),
}
"""The five failure modes; precursors differ by design, so that they can be told apart."""

# Sensors
JAR_VOLTAGE_NOISE = Parameter(0.002, "V", (0.0, 0.02), _ROBOTINA)
JAR_VOLTAGE_GAIN = Parameter(0.0007, "1", (0.0, 0.01), _ROBOTINA, "specified +-0.2 %")
JAR_TEMPERATURE_NOISE = Parameter(0.1, "K", (0.0, 1.0), _ROBOTINA)
JAR_TEMPERATURE_OFFSET = Parameter(0.25, "K", (0.0, 2.0), _ROBOTINA, "specified +-0.5 K")
RESISTANCE_NOISE = Parameter(0.01, "1", (0.0, 0.05), _ROBOTINA)
RESISTANCE_GAIN = Parameter(0.01, "1", (0.0, 0.05), _ROBOTINA, "specified +-(1.5 % + 25 uOhm)")
RESISTANCE_REST = Parameter(
    86_400.0, "s", (0.0, 259_200.0), ASSUMED, "charge bears on the reading: not sooner after one"
)
READING_EARLIEST = Parameter(
    7200, "s", (0, 86_400), ASSUMED, "of the day: resistance is read when the load is lowest"
)
READING_SLOTS = Parameter(
    36, "1", (1, 288), ASSUMED, "five-minute slots of the strings: 02:00 to 05:00"
)
STRING_VOLTAGE_NOISE = Parameter(0.05, "V", (0.0, 0.5), _ROBOTINA)
STRING_VOLTAGE_GAIN = Parameter(0.002, "1", (0.0, 0.02), _ROBOTINA, "specified +-0.5 %")
HALL_NOISE = Parameter(0.05, "A", (0.0, 1.0), _ROBOTINA)
HALL_GAIN = Parameter(0.01, "1", (0.0, 0.05), _ROBOTINA, "specified +-2 %")
HALL_OFFSET = Parameter(
    0.15, "A", (0.0, 2.0), ASSUMED, "zero of an open-loop sensor: it hides the float current"
)
HALL_WANDER = Parameter(0.05, "A", (0.0, 0.5), ASSUMED, "wander of the zero offset over a month")
HALL_WANDER_KNOT = Parameter(30, "d", (7, 90), ASSUMED, "knots of the wander")
HALL_TEMPERATURE = Parameter(0.005, "A/K", (0.0, 0.05), ASSUMED, "tempco of the zero offset")
SHUNT_NOISE = Parameter(0.002, "A", (0.0, 0.02), ASSUMED, "float current channel")
SHUNT_OFFSET = Parameter(0.003, "A", (0.0, 0.02), ASSUMED, "float current channel")
SHUNT_RANGE = Parameter(5.0, "A", (1.0, 20.0), ASSUMED, "float current channel")
RIPPLE_BASE = Parameter(
    1.5, "A per 100 Ah", (0.0, 5.0), ASSUMED, "double-conversion UPS without load"
)
RIPPLE_LOAD = Parameter(2.0, "A per 100 Ah", (0.0, 5.0), ASSUMED, "more at full load")
RIPPLE_RECTIFIER = Parameter(0.3, "A per 100 Ah", (0.0, 5.0), ASSUMED, "rectifier")
RIPPLE_SPREAD = Parameter(
    0.15, "ln", (0.0, 0.5), ASSUMED, "string to string: length of cables, age of capacitors"
)
RIPPLE_DISCHARGE = Parameter(1.5, "1", (1.0, 3.0), ASSUMED, "inverter's second harmonic on battery")
RIPPLE_NOISE = Parameter(
    0.02, "1", (0.0, 0.1), ASSUMED, "reading of a Hall sensor at small currents"
)
THD_FULL_LOAD = Parameter(3.0, "%", (0.0, 30.0), ASSUMED, "rectifier input at full load")
THD_QUARTER_LOAD = Parameter(8.0, "%", (0.0, 30.0), ASSUMED, "rectifier input at 25 % load")
THD_LOW_LOAD = Parameter(0.25, "1", (0.1, 0.5), ASSUMED, "load of the second figure of THD")
THD_NOISE = Parameter(0.2, "%", (0.0, 1.0), ASSUMED, "reading of a power meter")
AMBIENT_TEMPERATURE_NOISE = Parameter(0.1, "K", (0.0, 1.0), _ROBOTINA)
AMBIENT_TEMPERATURE_OFFSET = Parameter(0.25, "K", (0.0, 2.0), _ROBOTINA, "specified +-0.5 K")
AMBIENT_HUMIDITY_NOISE = Parameter(0.5, "%", (0.0, 3.0), _ROBOTINA)
AMBIENT_HUMIDITY_OFFSET = Parameter(1.5, "%", (0.0, 5.0), _ROBOTINA, "specified +-3 %")
ACCEPTANCE_NOISE = Parameter(0.01, "1", (0.0, 0.05), ASSUMED, "acceptance test instruments")

# Sensor faults
SPIKE_RATE = Parameter(
    61.4, "1/a", (0.0, 1000.0), ASSUMED, "0.007 per hour of a jar voltage channel"
)
SPIKE_LENGTH = Parameter(1.0, "s", (1.0, 60.0), ASSUMED, "one whole second")
SPIKE_LOWEST = Parameter(0.5, "V", (0.0, 5.0), ASSUMED, "size of a spike, either sign")
SPIKE_HIGHEST = Parameter(2.0, "V", (0.0, 5.0), ASSUMED, "size of a spike, either sign")
DRIFT_RATE = Parameter(0.05, "1/a", (0.0, 12.0), ASSUMED, "jar thermometer")
DRIFT_SHORTEST = Parameter(10.0, "d", (1.0, 365.0), ASSUMED, "until it is noticed and mended")
DRIFT_LONGEST = Parameter(60.0, "d", (1.0, 365.0), ASSUMED, "until it is noticed and mended")
DRIFT_LOWEST = Parameter(0.5, "K", (0.0, 10.0), ASSUMED, "at the end of a drift, either sign")
DRIFT_HIGHEST = Parameter(2.0, "K", (0.0, 10.0), ASSUMED, "at the end of a drift, either sign")
OFFSET_RATE = Parameter(0.05, "1/a", (0.0, 12.0), ASSUMED, "thermometer knocked or badly replaced")
OFFSET_STEP = Parameter(2.0, "K", (0.0, 10.0), ASSUMED, "deviation of the step")
OFFSET_SHORTEST = Parameter(30.0, "d", (1.0, 365.0), ASSUMED, "until the next inspection mends it")
OFFSET_LONGEST = Parameter(90.0, "d", (1.0, 365.0), ASSUMED, "until the next inspection mends it")
LOOSE_LEAD_RATE = Parameter(0.02, "1/a", (0.0, 12.0), ASSUMED, "sense lead of a jar")
LOOSE_LEAD_SHORTEST = Parameter(5.0, "d", (1.0, 365.0), ASSUMED, "until it is tightened")
LOOSE_LEAD_LONGEST = Parameter(30.0, "d", (1.0, 365.0), ASSUMED, "until it is tightened")
LOOSE_LEAD_NOISE = Parameter(10.0, "1", (1.0, 100.0), ASSUMED, "times the voltage noise")
LOOSE_LEAD_RESISTANCE = Parameter(
    1.2, "1", (1.0, 3.0), ASSUMED, "times the resistance: the lead adds its own"
)
STUCK_RATE = Parameter(0.2, "1/a", (0.0, 12.0), ASSUMED, "each channel")
STUCK_SHORTEST = Parameter(1.0, "h", (0.1, 720.0), ASSUMED, "until the monitor is restarted")
STUCK_LONGEST = Parameter(72.0, "h", (0.1, 720.0), ASSUMED, "until the monitor is restarted")
DROPOUT_RATE = Parameter(12.0, "1/a", (0.0, 1000.0), ASSUMED, "each channel: once a month")
DROPOUT_LENGTH = Parameter(15.0, "s", (1.0, 600.0), ASSUMED, "mean of a burst")
COMMUNICATION_RATE = Parameter(2.0, "1/a", (0.0, 50.0), ASSUMED, "bus or gateway of a string")
COMMUNICATION_SHORTEST = Parameter(600.0, "s", (10.0, 172_800.0), ASSUMED, "a restart")
COMMUNICATION_LONGEST = Parameter(28_800.0, "s", (10.0, 172_800.0), ASSUMED, "a working day")

# Weather
ANOMALY_PERSISTENCE = Parameter(
    3.476, "d", (1.0, 10.0), ASSUMED, "correlation of daily anomalies: exp(-1 / 3.476) = 0.75"
)
HUMIDITY_ANOMALY = Parameter(0.05, "1", (0.0, 0.2), ASSUMED, "vapour pressure from day to day")
HUMIDITY_MINIMUM = Parameter(25.0, "%", (0.0, 40.0), ASSUMED, "driest air of the hot season")
MAGNUS_PRESSURE = Parameter(6.112, "hPa", (6.1, 6.12), _SONNTAG, "saturation at 0 degC")
MAGNUS_FACTOR = Parameter(17.62, "1", (17.2, 17.7), _SONNTAG, "-45 to 60 degC")
MAGNUS_TEMPERATURE = Parameter(243.12, "degC", (237.0, 244.0), _SONNTAG, "-45 to 60 degC")
COOLEST_HOUR = Parameter(6.0, "h", (4.0, 8.0), ASSUMED, "of the local day: sunrise")
HOTTEST_HOUR = Parameter(14.5, "h", (13.0, 16.0), ASSUMED, "of the local day: after noon")
RAIN_PERSISTENCE = Parameter(
    0.3, "1", (0.0, 0.9), ASSUMED, "rain follows rain; the share of rain days is the climate's"
)
RAIN_DAY_AMPLITUDE = Parameter(
    0.7, "1", (0.3, 1.0), ASSUMED, "of the day's course under clouds, over the month's"
)
DRY_DAY_AMPLITUDE = Parameter(
    1.08, "1", (1.0, 1.5), ASSUMED, "of the day's course under the sun, over the month's"
)
STORM_SHORTEST = Parameter(1.0, "h", (0.2, 12.0), ASSUMED, "convective storm")
STORM_LONGEST = Parameter(3.0, "h", (0.2, 12.0), ASSUMED, "convective storm")
STORM_DROP_MINIMUM = Parameter(3.0, "K", (0.0, 12.0), ASSUMED, "cold outflow")
STORM_DROP_MAXIMUM = Parameter(6.0, "K", (0.0, 12.0), ASSUMED, "cold outflow")
STORM_RISE = Parameter(1200.0, "s", (60.0, 3600.0), ASSUMED, "in which the air cools")
STORM_FADE = Parameter(7200.0, "s", (600.0, 21_600.0), ASSUMED, "in which the air warms again")
STORM_HUMIDITY = Parameter(95.0, "%", (80.0, 100.0), ASSUMED, "in the rain")
STORM_HOUR_WEIGHTS = (1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 3, 5, 7, 9, 11, 12, 12, 10, 8, 5, 3, 2, 1, 1)
"""Relative frequency of storms by local hour (ASSUMED; the afternoon peak is convective)."""

# Grid
FRAILTY_SHAPE = Parameter(
    8, "1", (1, 50), ASSUMED, "gamma shape of a site's year: counts are negative binomial"
)
STORM_DAY_FACTOR = Parameter(3.0, "1", (1.0, 10.0), ASSUMED, "outages on a rain day over a dry one")
OUTAGE_BASE_SHARE = Parameter(
    0.4, "1", (0.0, 1.0), ASSUMED, "outages that do not follow the month's rain"
)
MOMENTARY_SHARE = Parameter(0.30, "1", (0.0, 1.0), ASSUMED, "outages that a recloser ends")
MOMENTARY_SHORTEST = Parameter(5, "s", (1, 120), ASSUMED, "recloser")
MOMENTARY_LONGEST = Parameter(60, "s", (1, 120), ASSUMED, "recloser")
OUTAGE_SIGMA = Parameter(0.9, "ln", (0.0, 2.0), ASSUMED, "lognormal; the median is the location's")
OUTAGE_LIMIT = Parameter(480, "min", (60, 2880), ASSUMED, "a crew has been there by then")
PLANNED_WORK_FACTOR = Parameter(
    1.5, "1", (1.0, 3.0), ASSUMED, "outages from 8 to 17 h without a storm: planned work"
)
FLOODS_PER_YEAR = Parameter(0.1, "1/a", (0.0, 1.0), ASSUMED, "monsoon floods of the Gulf coast")
FLOOD_SHORTEST = Parameter(6.0, "h", (1.0, 72.0), ASSUMED, "outage in a flood")
FLOOD_LONGEST = Parameter(24.0, "h", (1.0, 72.0), ASSUMED, "outage in a flood")
GENERATOR_STARTS = Parameter(0.97, "1", (0.5, 1.0), ASSUMED, "with monthly trial runs")
GENERATOR_MEDIAN = Parameter(
    20.0, "s", (8.0, 120.0), ASSUMED, "start in 8-15 s, retransfer after 5-30 s"
)
GENERATOR_SIGMA = Parameter(0.4, "ln", (0.0, 1.0), ASSUMED, "lognormal")

# Planned events
SELF_TEST_LENGTH = Parameter(60, "s", (10, 600), ASSUMED, "monthly, at the site's load")
SELF_TEST_HOUR = Parameter(10, "h", (0, 23), ASSUMED, "local time, first Tuesday: staff is there")
SELF_TEST_SPREAD = Parameter(3600.0, "s", (0.0, 14_400.0), ASSUMED, "+-30 min")
EQUALIZE_EARLIEST = Parameter(18.0, "h", (0.0, 24.0), ASSUMED, "local time: an evening")
EQUALIZE_LATEST = Parameter(22.0, "h", (0.0, 24.0), ASSUMED, "local time: an evening")
EQUALIZE_SHORTEST = Parameter(
    8.0, "h", (4.0, 24.0), ASSUMED, "quarterly; EnerSys has 10-15 h at 2.40, here it is 2.35 V/cell"
)
EQUALIZE_LONGEST = Parameter(
    12.0,
    "h",
    (4.0, 24.0),
    ASSUMED,
    "quarterly; EnerSys has 10-15 h at 2.40, here it is 2.35 V/cell",
)


# Maintenance: its calendar, its instruments, and what leads to work
WORK_FIRST_HOUR = Parameter(9, "h", (6, 12), ASSUMED, "local time at which planned work begins")
WORK_LAST_HOUR = Parameter(15, "h", (12, 20), ASSUMED, "local time at which planned work begins")
REPLACEMENT_WORK = Parameter(
    1.0, "h", (1.0, 8.0), ASSUMED, "off the bus, before new units go into service"
)
CORRECTIVE_SOONEST = Parameter(3.0, "d", (1.0, 30.0), ASSUMED, "from a finding to its work")
CORRECTIVE_LATEST = Parameter(21.0, "d", (1.0, 60.0), ASSUMED, "from a finding to its work")
RENEWAL_SOONEST = Parameter(30.0, "d", (1.0, 180.0), ASSUMED, "from a failed test to its work")
RENEWAL_LATEST = Parameter(90.0, "d", (1.0, 365.0), ASSUMED, "from a failed test to its work")
RESISTANCE_CRITICAL = Parameter(
    1.5, "1", (1.2, 2.0), "Hioki 3554 manual, p. 56", "over that at commissioning, at 25 degC"
)
RESISTANCE_WARNING = Parameter(
    1.2, "1", (1.1, 1.5), _IEEE, "over that at commissioning, at 25 degC: told of, not acted on"
)
DEVIATION_CRITICAL = Parameter(0.60, "V", (0.3, 1.5), ASSUMED, "from the string's median on float")
DEVIATION_CRITICAL_NEW = Parameter(
    0.90, "V", (0.3, 2.0), ASSUMED, "from the string's median, of a unit that is settling"
)
DEVIATION_SETTLED = Parameter(365.0, "d", (90.0, 730.0), ASSUMED, "age at which a unit has settled")
SHORT_CELL_V = Parameter(
    12.4, "V", (11.5, 12.9), DERIVED, "half way from a jar of five cells on float to the lowest one"
)
CHECK_REST = Parameter(
    48.0, "h", (24.0, 168.0), ASSUMED, "since the last discharge: float voltages have settled"
)
WHOLE_STRING_SHARE = Parameter(
    0.20, "1", (0.05, 0.5), ASSUMED, "IEEE recommends a new string when more of its jars fail"
)
TEST_PASS = Parameter(0.90, "1", (0.8, 1.0), ASSUMED, "capacity; below it yearly tests are advised")
TEST_FAIL = Parameter(0.80, "1", (0.6, 0.9), "IEEE 1188, repeated by Fluke", "replace below it")
TEST_LOG_STEP = Parameter(60, "s", (10, 600), ASSUMED, "of the log of a capacity test")
LOGGER_VOLTAGE_GAIN = Parameter(0.0005, "1", (0.0, 0.01), ASSUMED, "logger of capacity tests")
LOGGER_TEMPERATURE_OFFSET = Parameter(0.25, "K", (0.0, 2.0), ASSUMED, "logger of capacity tests")
LOGGER_CURRENT_GAIN = Parameter(0.005, "1", (0.0, 0.02), ASSUMED, "shunt of the load bank")
LOGGER_CURRENT_NOISE = Parameter(0.02, "A", (0.0, 0.5), ASSUMED, "shunt of the load bank")
METER_GAIN = Parameter(0.03, "1", (0.0, 0.1), ASSUMED, "hand-held meter, one for each location")
METER_NOISE = Parameter(0.015, "1", (0.0, 0.05), ASSUMED, "hand-held meter, reading to reading")
METER_TEMPERATURE_NOISE = Parameter(0.5, "K", (0.0, 2.0), ASSUMED, "infrared spot thermometer")
METER_JAR_TIME = Parameter(120, "s", (30, 600), ASSUMED, "from jar to jar in an impedance round")
ROUND_LONGEST = Parameter(
    8.0, "h", (1.0, 8.0), ASSUMED, "of an impedance round; of a long string it goes faster"
)
METER_READING_TIME = Parameter(20, "s", (5, 60), ASSUMED, "from reading to reading of a jar")
METER_REST = Parameter(
    48.0, "h", (24.0, 168.0), ASSUMED, "since the last discharge: as a monitor's"
)
INSPECTION_LENGTH = Parameter(0.5, "h", (0.1, 8.0), ASSUMED, "of a string: look and voltages")
SURVEY_LENGTH = Parameter(0.5, "h", (0.1, 8.0), ASSUMED, "of a string: infrared camera")
TORQUE_LENGTH = Parameter(1.0, "h", (0.1, 8.0), ASSUMED, "of a string: all connections")


def catalogue() -> list[tuple[str, Parameter]]:
    """All parameters with their names, in order; those of fits and failure laws as `NAME.X.y`.

    An amplitude and its power of p are two; what a failure mode does not touch is left out.
    """
    found: list[tuple[str, Parameter]] = []
    for name, value in globals().items():
        if isinstance(value, Parameter):
            found.append((name, value))
        elif name == "DISCHARGE_FAMILIES":
            for key, family in DISCHARGE_FAMILIES.items():
                found += _constants(f"{name}.{key}", family)
        elif name == "FAILURE_LAWS":
            for key, law in FAILURE_LAWS.items():
                found += _constants(f"{name}.{key}", law)
    return found


def _constants(prefix: str, law: DischargeFamily | FailureLaw) -> list[tuple[str, Parameter]]:
    hints = get_type_hints(type(law), include_extras=True)
    note = law.note if isinstance(law, FailureLaw) else ""
    found = []
    for each in fields(law):
        value = getattr(law, each.name)
        meant = getattr(hints[each.name], "__metadata__", ())
        if not meant or value == each.default:
            continue
        name, (unit, low, high) = f"{prefix}.{each.name}", meant[0]
        amplitude = value[0] if isinstance(value, tuple) else value
        found.append((name, Parameter(amplitude, unit, (low, high), law.source, note)))
        if isinstance(value, tuple):
            power = Parameter(value[1], "1", _POWERS, law.source, f"power of p: {note}")
            found.append((f"{name}.power", power))
    return found


_POWERS = (1.0, 3.0)
