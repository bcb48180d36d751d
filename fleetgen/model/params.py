"""Every parameter of the model with its unit and source.

A law module binds the `.value` of what it needs when it is imported, so that kernels compile it as
a constant. `ASSUMED` as source means an engineering assumption; the note says why.
"""

from __future__ import annotations

from dataclasses import dataclass

ASSUMED = "ASSUMED"
_SCHIFFER = "Schiffer et al. 2007, J. Power Sources 168, as coded in SLIDE Cell_PbA.hpp"
_BODE = "Bode 1977, Lead-Acid Batteries; OCV basis of PyBaMM Sulzer2019"
_ENERSYS = "EnerSys DataSafe HX manual US-HX-IOM-002"
_LEOCH = "Leoch discharge data, MA12-100"
_ROBOTINA = "Robotina BTMS and Alber BDS monitor specifications"


@dataclass(frozen=True)
class Parameter:
    """One number of the model."""

    value: float
    unit: str
    source: str
    note: str = ""


@dataclass(frozen=True)
class DischargeFamily:
    """Fitted constants of a discharge family (per 100 Ah of C10)."""

    capacity_factor: float
    knee_rate_per_h: float
    rate_exponent: float
    resistance_dc_mohm: float
    knee_v_per_cell: float
    resistance_ohmic_mohm: float
    source: str


DISCHARGE_FAMILIES = {
    "A": DischargeFamily(
        2.009, 0.196, 0.446, 5.91, 0.0380, 4.9, "fit to CB12-115 table, RMS 4.5 %"
    ),
    "B": DischargeFamily(1.428, 1.665, 0.821, 4.72, 0.0313, 3.4, "fit to CSB GP12400, RMS 5.1 %"),
}

# Open circuit
ACID_FULL_MOLAL = Parameter(6.2, "mol/kg", ASSUMED, "full AGM acid of 1.28-1.30 specific gravity")
ACID_EMPTY_MOLAL = Parameter(1.3, "mol/kg", ASSUMED, "end of discharge")
OCV_TEMPERATURE = Parameter(0.0002, "V/K per cell", _BODE)
ACID_RESERVE = Parameter(1.20, "1", ASSUMED, "acid left at the 10-h end point; fitted")

# Float
TAFEL = Parameter(11.0, "1/V per cell", _SCHIFFER)
TAFEL_TEMPERATURE = Parameter(0.06, "1/K", _SCHIFFER)
FLOAT_REFERENCE = Parameter(2.27, "V/cell", _ENERSYS)
FLOAT_CURRENT = Parameter(0.50e-3, "A/Ah", "Oerlikon recombination heat 0.09 W per cell, 100 Ah")
FLOAT_COMPENSATION = Parameter(-0.003, "V/cell/K", _ENERSYS)
FLOAT_SET_MINIMUM = Parameter(2.20, "V/cell", _ENERSYS)
FLOAT_SET_MAXIMUM = Parameter(2.33, "V/cell", _ENERSYS)
CONTROL_TIME = Parameter(1800.0, "s", ASSUMED, "low pass of the charger's temperature probe")
FLOAT_SPREAD_STRING = Parameter(0.20, "ln(A/Ah)", ASSUMED, "string to string")
FLOAT_SPREAD_JAR = Parameter(0.15, "ln(A/Ah)", "EnerSys: +-2 % individual jar voltage, settled")
FLOAT_SPREAD_NEW = Parameter(0.20, "ln(A/Ah)", "EnerSys: +-5 % common early in float life")
FLOAT_SETTLING = Parameter(180.0, "d", ASSUMED, "the early spread fades")
FLOAT_WANDER = Parameter(0.04, "ln(A/Ah)", ASSUMED, "slow wander of a jar")
FLOAT_WANDER_KNOT = Parameter(30, "d", ASSUMED, "knots of the wander")
CHARGER_OFFSET = Parameter(0.003, "1", ASSUMED, "set-point offset of a charger")
CHARGER_WANDER = Parameter(0.0005, "1", ASSUMED, "regulation")
CHARGER_WANDER_TIME = Parameter(3600.0, "s", ASSUMED, "regulation")

# Discharge
DEPLETION_TIME = Parameter(600.0, "s", ASSUMED, "recovery of electrolyte depletion")
CAPACITY_COLD = Parameter(0.0056, "1/K", _LEOCH, "0 degC 86 %")
CAPACITY_WARM = Parameter(0.0020, "1/K", _LEOCH, "40 degC 103 %")
RESISTANCE_TEMPERATURE = Parameter(0.006, "1/K", ASSUMED, "electrolyte conductivity")
CABLE_RESISTANCE = Parameter(0.005, "ohm", ASSUMED, "string cabling")
FOUET_REST = Parameter(7200.0, "s", ASSUMED, "no coup de fouet after a shorter float")
STRING_CUTOFF = Parameter(1.75, "V/cell", "IEEE 1188 practice")
JAR_CUTOFF = Parameter(10.5, "V", "keeps the jar above its specified floor")
CUTOFF_DELAY = Parameter(10.0, "s", ASSUMED, "dwell before the disconnect opens")
UPS_RATED_POWER = Parameter(380.0, "W/cell per 100 Ah", "15 min to 1.75 V/cell, LPX12-100 class")
INVERTER_EFFICIENCY = Parameter(0.95, "1", ASSUMED, "double-conversion UPS")
LOAD_MINIMUM = Parameter(0.30, "1", ASSUMED, "UPS load factor, lower end over the systems")
LOAD_MAXIMUM = Parameter(0.65, "1", ASSUMED, "UPS load factor, upper end over the systems")
LOAD_OFFICE = Parameter(0.05, "1", ASSUMED, "office-hours swing")
LOAD_WANDER = Parameter(0.01, "1", ASSUMED, "fluctuation of the load")
LOAD_WANDER_TIME = Parameter(3600.0, "s", ASSUMED, "fluctuation of the load")
RECTIFIER_MINIMUM = Parameter(0.12, "1/h", ASSUMED, "rectifier load over C10: 6 h autonomy")
RECTIFIER_MAXIMUM = Parameter(0.25, "1/h", ASSUMED, "rectifier load over C10: 4 h autonomy")

# Recharge
CHARGE_LIMIT = Parameter(0.10, "1/h", "vendor range 0.05-0.20 C10; maximum 0.3 (CSB, Leoch)")
CHARGE_EFFICIENCY = Parameter(0.97, "1", ASSUMED, "Coulombic efficiency")
CHARGE_POLARISATION = Parameter(0.05, "V/cell", ASSUMED, "activation overvoltage in charge")
CHARGE_ACCEPTANCE = Parameter(2.6e-3, "ohm per cell, 100 Ah", ASSUMED, "fitted to vendor recharge")
BOOST_SET = Parameter(2.35, "V/cell", "14.10 V per jar; 2.40 would put jars above 14.5 V")
BOOST_DEFICIT = Parameter(0.05, "1", ASSUMED, "boost follows a deeper discharge")
BOOST_END = Parameter(0.01, "1/h", ASSUMED, "boost ends below this current over C10")
BOOST_LIMIT = Parameter(43_200.0, "s", ASSUMED, "and after 12 h at the latest")
FULL_SOC = Parameter(0.999, "1", ASSUMED, "recharge becomes float")
FINISHING_TIME = Parameter(3600.0, "s", ASSUMED, "the last 0.1 % returns on float")

# Heat
HEAT_CAPACITY = Parameter(800.0, "J/kg/K", "Pesaran/NREL 660-1000")
THERMAL_RESISTANCE = Parameter(0.9, "K/W", ASSUMED, "hA of 8 W/m2K over 0.14 m2")
THERMAL_RESISTANCE_END = Parameter(0.7, "K/W", ASSUMED, "jars at a shelf end")
THERMAL_RESISTANCE_MIDDLE = Parameter(1.1, "K/W", ASSUMED, "jars in the middle of a shelf")
REVERSIBLE_HEAT = Parameter(2.0e-4, "V/K per cell", _BODE)
CABINET_RISE_UPS = Parameter(1.5, "K", ASSUMED, "closed cabinet")
CABINET_RISE_RACK = Parameter(0.5, "K", ASSUMED, "open rack")
NEIGHBOUR_SHARE = Parameter(0.15, "1", ASSUMED, "coupling to adjacent jars")
JAR_TEMPERATURE_LIMIT = Parameter(80.0, "degC", ASSUMED, "beyond any law used here")

# Room
ROOM_TARGET = Parameter(24.0, "degC", "usage guide")
ROOM_SITE_SIGMA = Parameter(0.8, "K", ASSUMED, "site to site")
ROOM_OUTDOOR = Parameter(0.05, "1", ASSUMED, "leakage of outdoor temperature")
ROOM_WANDER = Parameter(0.3, "K", ASSUMED, "control")
ROOM_WANDER_TIME = Parameter(2400.0, "s", ASSUMED, "control")
COMPRESSOR_SWING = Parameter(0.4, "K", ASSUMED, "peak to peak")
COMPRESSOR_MINIMUM = Parameter(1080.0, "s", ASSUMED, "period")
COMPRESSOR_MAXIMUM = Parameter(1500.0, "s", ASSUMED, "period")
ROOM_HUMIDITY = Parameter(50.0, "%", ASSUMED, "conditioned room")
ROOM_HUMIDITY_SIGMA = Parameter(4.0, "%", ASSUMED, "conditioned room")

COOLING_REFERENCE = Parameter(28.0, "degC", ASSUMED, "outdoors at which the room is at its target")
COOLING_FAILURES_NEW = Parameter(0.08, "1/a", "usage guide: 2 % a year and unit, 4 units")
COOLING_FAILURES_OLD = Parameter(0.32, "1/a", "usage guide: 8 % a year and unit, 4 units")
COOLING_OLD = Parameter(10.0, "a", ASSUMED, "age at which the cooling is old")
COOLING_HOT_SEASON = Parameter(1.5, "1", ASSUMED, "March to May")
COOLING_COOL_SEASON = Parameter(0.7, "1", ASSUMED, "November to February")
REPAIR_MEDIAN = Parameter(5.0, "h", ASSUMED, "lognormal")
REPAIR_SIGMA = Parameter(0.7, "ln", ASSUMED, "lognormal")
REPAIR_LIMIT = Parameter(120.0, "h", ASSUMED, "a rented unit is there by then")
DEGRADED_EPISODES = Parameter(0.4, "1/a", ASSUMED, "one unit down or a clogged coil")
DEGRADED_SHORTEST = Parameter(2.0, "d", ASSUMED, "until it is noticed and mended")
DEGRADED_LONGEST = Parameter(15.0, "d", ASSUMED, "until it is noticed and mended")
DEGRADED_FAILS = Parameter(0.15, "1", ASSUMED, "episodes that end in failure")
DEGRADED_RISE = Parameter(2.0, "K", ASSUMED, "room above its target")
DEGRADED_OUTDOOR = Parameter(0.35, "1", ASSUMED, "of the outdoor excess over 24 degC")
FAILED_RISE = Parameter(6.0, "K", ASSUMED, "UPS losses, 3-10 K over outdoors")
FAILED_CAP = Parameter(46.0, "degC", ASSUMED, "losses through the walls")
WARMING_TIME = Parameter(5400.0, "s", "battery room without IT load; Khankari 2011: 0.7-3 h")
COOLING_TIME = Parameter(3600.0, "s", ASSUMED, "after a repair")
DRIFT_TIME = Parameter(10_800.0, "s", ASSUMED, "humidity ratio of an unconditioned room")
DEGRADED_DRIFT = Parameter(0.3, "1", ASSUMED, "share of outdoor humidity in a degraded room")

# Ageing
ACTIVATION = Parameter(0.60, "eV", "C&D: life halves per 10 K; IEEE 1188/450 per 8.3 K; middle")
BOLTZMANN = Parameter(8.617e-5, "eV/K", "CODATA")
OVERVOLTAGE_AGEING = Parameter(10.0, "1/V per cell", "GNB 92.30: 2.33 V/cell halves life")
OVERVOLTAGE_MINIMUM = Parameter(0.7, "1", ASSUMED, "range of the law")
OVERVOLTAGE_MAXIMUM = Parameter(6.0, "1", ASSUMED, "range of the law")
END_OF_LIFE_SOH = Parameter(0.80, "1", "IEEE 1188")
WEAR_SPAN = Parameter(0.20, "1", ASSUMED, "SOH below the end of life over which wear triples")
JAR_AGEING_SPREAD = Parameter(0.12, "ln", ASSUMED, "jar to jar")
STRING_AGEING_SPREAD = Parameter(0.08, "ln", ASSUMED, "string to string")
CYCLING_LOSS = Parameter(0.20 / 260, "1", "CSB: over 260 cycles of full depth to 80 %")
CYCLING_EXPONENT = Parameter(1.3, "1", "12V-40Ah table: 200/600/1500 cycles at 100/50/30 %")
CYCLING_EXPECTED = Parameter(
    0.001, "1/a", ASSUMED, "share of a class's rate: a test and its events"
)
DISCHARGE_DEPTH_LIMIT = Parameter(0.85, "1", ASSUMED, "cut-off before C10 at these rates")
SULFATION_VOLTAGE = Parameter(2.20, "V/cell", ASSUMED, "undercharged below")
SULFATION_UNDERCHARGE = Parameter(0.01, "1/d per V/cell", ASSUMED, "0.04 %/d at 40 mV below")
SULFATION_DISCHARGED = Parameter(0.002, "1/d", ASSUMED, "below 90 % state of charge")
SULFATION_ACCEPTANCE = Parameter(15.0, "1", ASSUMED, "charging resistance per capacity lost")
EQUALIZE_RECOVERY = Parameter(0.4, "1", "Hund, Sandia: partial recovery of sulfated cells")
CAPACITY_SPREAD = Parameter(0.02, "1", ASSUMED, "new capacity")
RESISTANCE_SPREAD = Parameter(0.05, "1", ASSUMED, "new resistance")
RESISTANCE_WANDER = Parameter(0.015, "ln", ASSUMED, "slow wander")
RESISTANCE_WANDER_KNOT = Parameter(60, "d", ASSUMED, "knots of the wander")
INITIAL_SOH_MINIMUM = Parameter(0.805, "1", ASSUMED, "a worn unit would have been replaced")
OLDEST_STRING = Parameter(5.0, "a", ASSUMED, "replacement practice")
YOUNGEST_STRING = Parameter(0.3, "a", ASSUMED, "replacement practice")
RUL_HORIZON = Parameter(20.0, "a", ASSUMED, "RUL beyond it is censored")


# Failures
HAZARD_HEALTHY = Parameter(0.008, "1/a", ASSUMED, "failure modes begun, at 2 % SOH a year")
HAZARD_EXPONENT = Parameter(1.16, "1", ASSUMED, "4 % at 8 %, 15 % at 25 % SOH a year")
HAZARD_LOOKBACK = Parameter(3, "a", ASSUMED, "so that some are under way at the start")
EARLY_SHARE = Parameter(0.30, "1", ASSUMED, "failures with little warning")
EARLY_LEAD = Parameter(0.25, "1", ASSUMED, "their lead over the usual")
AMPLITUDE_SPREAD = Parameter(0.25, "ln", ASSUMED, "no two precursors are alike")
EXPONENT_MINIMUM = Parameter(0.8, "1", ASSUMED, "no two precursors are alike")
EXPONENT_MAXIMUM = Parameter(1.3, "1", ASSUMED, "no two precursors are alike")
FLOAT_FLOOR = Parameter(1.4, "ln(A/Ah)", ASSUMED, "a jar cannot float below its open circuit")
RUNAWAY_HAZARD = Parameter(0.10, "1/a", ASSUMED, "uncompensated strings that begin to dry out")
RUNAWAY_SHORTEST = Parameter(60.0, "d", ASSUMED, "precursor")
RUNAWAY_LONGEST = Parameter(180.0, "d", ASSUMED, "precursor")
RUNAWAY_RISE_MINIMUM = Parameter(1.2, "ln(A/Ah)", ASSUMED, "of the whole string")
RUNAWAY_RISE_MAXIMUM = Parameter(1.6, "ln(A/Ah)", ASSUMED, "of the whole string")
RUNAWAY_SPREAD = Parameter(0.3, "ln(A/Ah)", ASSUMED, "jar to jar")
TRIP_RISE = Parameter(10.0, "K", "C&D: not more than 10 C above ambient")
TRIP_CURRENT = Parameter(3e-3, "A/Ah", "over 3 mA/Ah is abnormal (konferencjaskd2024.pl)")
TRIP_CLIMB = Parameter(0.5, "K", ASSUMED, "over its own 6-h mean: a stable balance is an alarm")
TRIP_DELAY = Parameter(1800.0, "s", ASSUMED, "dwell of the protection")
TRIP_ROOM_TIME = Parameter(21_600.0, "s", ASSUMED, "low pass of the room temperature")
TRIP_TEMPERATURE = Parameter(50.0, "degC", "C&D: never charge above 50 C")
VISIT_SOONEST = Parameter(4.0, "h", ASSUMED, "after a trip")
VISIT_LATEST = Parameter(48.0, "h", ASSUMED, "after a trip")
OPEN_JAR_V = Parameter(9.0, "V", ASSUMED, "lowest that a monitor shows of an open jar")
TEST_RATE = Parameter(0.25, "1/h", ASSUMED, "current of the capacity test over C10")
TEST_LIMIT = Parameter(6.0, "h", ASSUMED, "a test that lasts longer is ended")
TEST_REST = Parameter(72.0, "h", "IEEE 1188: on float before a test")
CHARGER_EPISODES = Parameter(0.03, "1/a", ASSUMED, "chargers out of adjustment")
CHARGER_DEVIATION_MINIMUM = Parameter(0.03, "V/cell", ASSUMED, "out of adjustment")
CHARGER_UNDERVOLTAGE_MINIMUM = Parameter(0.04, "V/cell", ASSUMED, "out of adjustment, too low")
CHARGER_DEVIATION_MAXIMUM = Parameter(0.08, "V/cell", ASSUMED, "out of adjustment")
CHARGER_SHORTEST = Parameter(10.0, "d", ASSUMED, "until it is noticed")
CHARGER_LONGEST = Parameter(60.0, "d", ASSUMED, "until it is noticed")


@dataclass(frozen=True)
class FailureLaw:
    """How a failure mode shows at progress p: amplitudes and exponents of p.

    Leads are in days; capacity in fractions of rated, resistance over new, the float constant in
    ln(A/Ah), heat in W, thermal resistance and charging resistance over their own, `cells` lost,
    `leak` as removed charge over capacity.
    """

    share: float
    shortest_d: float
    longest_d: float
    soh: tuple[float, float] = (0.0, 1.0)
    resistance: tuple[float, float] = (0.0, 1.0)
    ln_i0: tuple[float, float] = (0.0, 1.0)
    heat_w: tuple[float, float] = (0.0, 1.0)
    thermal: float = 0.0
    acceptance: float = 0.0
    cells: tuple[float, float] = (0.0, 1.0)
    leak: tuple[float, float] = (0.0, 1.0)
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
        note="recombination rises as the separator dries; conductance falls before capacity",
    ),
    "corrosion": FailureLaw(
        share=0.25,
        shortest_d=365,
        longest_d=1095,
        soh=(0.25, 1.0),
        resistance=(0.8, 2.0),
        note="grid or strap; ends open under load",
    ),
    "sulfation": FailureLaw(
        share=0.22,
        shortest_d=90,
        longest_d=365,
        soh=(0.45, 1.0),
        resistance=(0.5, 1.0),
        ln_i0=(-0.7, 1.0),
        acceptance=4.0,
        note="capacity lower before conductance",
    ),
    "internal_short": FailureLaw(
        share=0.28,
        shortest_d=14,
        longest_d=56,
        soh=(0.15, 1.0),
        heat_w=(2.5, 3.0),
        cells=(0.15, 3.0),
        leak=(0.15, 3.0),
        note="soft, then a dead cell",
    ),
    "thermal_runaway": FailureLaw(
        share=0.0,
        shortest_d=60,
        longest_d=180,
        soh=(0.2, 1.0),
        resistance=(0.6, 1.0),
        thermal=0.3,
        note="precursor of a whole string; the rest emerges from heat balance",
    ),
}
"""The five failure modes; precursors differ by design, so that they can be told apart."""

SHORT_RESISTANCE = (-0.05, 0.10)
"""Change of resistance of an internally shorted jar at the end, drawn between (ASSUMED)."""

# Sensors
JAR_VOLTAGE_NOISE = Parameter(0.002, "V", _ROBOTINA)
JAR_VOLTAGE_GAIN = Parameter(0.0007, "1", _ROBOTINA, "specified +-0.2 %")
JAR_TEMPERATURE_NOISE = Parameter(0.1, "K", _ROBOTINA)
JAR_TEMPERATURE_OFFSET = Parameter(0.25, "K", _ROBOTINA, "specified +-0.5 K")
RESISTANCE_NOISE = Parameter(0.01, "1", _ROBOTINA)
RESISTANCE_GAIN = Parameter(0.01, "1", _ROBOTINA, "specified +-(1.5 % + 25 uOhm)")
RESISTANCE_REST = Parameter(86_400.0, "s", _ROBOTINA, "not measured sooner after a discharge")
STRING_VOLTAGE_NOISE = Parameter(0.05, "V", _ROBOTINA)
STRING_VOLTAGE_GAIN = Parameter(0.002, "1", _ROBOTINA)
HALL_NOISE = Parameter(0.05, "A", _ROBOTINA)
HALL_GAIN = Parameter(0.01, "1", _ROBOTINA)
HALL_OFFSET = Parameter(0.15, "A", _ROBOTINA)
HALL_WANDER = Parameter(0.05, "A", ASSUMED, "wander of the zero offset over a month")
HALL_WANDER_KNOT = Parameter(30, "d", ASSUMED, "knots of the wander")
HALL_TEMPERATURE = Parameter(0.005, "A/K", ASSUMED, "tempco of the zero offset")
SHUNT_NOISE = Parameter(0.002, "A", ASSUMED, "float current channel")
SHUNT_OFFSET = Parameter(0.003, "A", ASSUMED, "float current channel")
SHUNT_RANGE = Parameter(5.0, "A", ASSUMED, "float current channel")
RIPPLE_BASE = Parameter(1.5, "A per 100 Ah", ASSUMED, "double-conversion UPS without load")
RIPPLE_LOAD = Parameter(2.0, "A per 100 Ah", ASSUMED, "more at full load")
RIPPLE_RECTIFIER = Parameter(0.3, "A per 100 Ah", ASSUMED, "rectifier")
RIPPLE_SPREAD = Parameter(0.15, "ln", ASSUMED, "string to string")
RIPPLE_DISCHARGE = Parameter(1.5, "1", ASSUMED, "inverter's second harmonic on battery")
RIPPLE_NOISE = Parameter(0.02, "1", ASSUMED, "reading")
THD_FULL_LOAD = Parameter(3.0, "%", ASSUMED, "rectifier input at full load")
THD_QUARTER_LOAD = Parameter(8.0, "%", ASSUMED, "rectifier input at 25 % load")
THD_NOISE = Parameter(0.2, "%", ASSUMED, "reading")
AMBIENT_TEMPERATURE_NOISE = Parameter(0.1, "K", _ROBOTINA)
AMBIENT_TEMPERATURE_OFFSET = Parameter(0.25, "K", _ROBOTINA, "specified +-0.5 K")
AMBIENT_HUMIDITY_NOISE = Parameter(0.5, "%", _ROBOTINA)
AMBIENT_HUMIDITY_OFFSET = Parameter(1.5, "%", _ROBOTINA, "specified +-3 %")
ACCEPTANCE_NOISE = Parameter(0.01, "1", ASSUMED, "acceptance test instruments")

# Sensor faults
SPIKE_RATE = Parameter(61.4, "1/a", ASSUMED, "0.007 per hour of a jar voltage channel")
SPIKE_LENGTH = Parameter(1.0, "s", ASSUMED, "one whole second")
SPIKE_LOWEST = Parameter(0.5, "V", ASSUMED, "size of a spike, either sign")
SPIKE_HIGHEST = Parameter(2.0, "V", ASSUMED, "size of a spike, either sign")
DRIFT_RATE = Parameter(0.05, "1/a", ASSUMED, "jar thermometer")
DRIFT_SHORTEST = Parameter(10.0, "d", ASSUMED, "until it is noticed and mended")
DRIFT_LONGEST = Parameter(60.0, "d", ASSUMED, "until it is noticed and mended")
DRIFT_LOWEST = Parameter(0.5, "K", ASSUMED, "at the end of a drift, either sign")
DRIFT_HIGHEST = Parameter(2.0, "K", ASSUMED, "at the end of a drift, either sign")
OFFSET_RATE = Parameter(0.05, "1/a", ASSUMED, "thermometer knocked or badly replaced")
OFFSET_STEP = Parameter(2.0, "K", ASSUMED, "deviation of the step")
OFFSET_SHORTEST = Parameter(30.0, "d", ASSUMED, "until the next inspection mends it")
OFFSET_LONGEST = Parameter(90.0, "d", ASSUMED, "until the next inspection mends it")
LOOSE_LEAD_RATE = Parameter(0.02, "1/a", ASSUMED, "sense lead of a jar")
LOOSE_LEAD_SHORTEST = Parameter(5.0, "d", ASSUMED, "until it is tightened")
LOOSE_LEAD_LONGEST = Parameter(30.0, "d", ASSUMED, "until it is tightened")
LOOSE_LEAD_NOISE = Parameter(10.0, "1", ASSUMED, "times the voltage noise")
LOOSE_LEAD_RESISTANCE = Parameter(1.2, "1", ASSUMED, "times the resistance: the lead adds its own")
STUCK_RATE = Parameter(0.2, "1/a", ASSUMED, "each channel")
STUCK_SHORTEST = Parameter(1.0, "h", ASSUMED, "until the monitor is restarted")
STUCK_LONGEST = Parameter(72.0, "h", ASSUMED, "until the monitor is restarted")
DROPOUT_RATE = Parameter(12.0, "1/a", ASSUMED, "each channel: once a month")
DROPOUT_LENGTH = Parameter(15.0, "s", ASSUMED, "mean of a burst")
COMMUNICATION_RATE = Parameter(2.0, "1/a", ASSUMED, "bus or gateway of a string")
COMMUNICATION_SHORTEST = Parameter(600.0, "s", ASSUMED, "a restart")
COMMUNICATION_LONGEST = Parameter(28_800.0, "s", ASSUMED, "a working day")

# Weather and grid
STORM_HOUR_WEIGHTS = (1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 3, 5, 7, 9, 11, 12, 12, 10, 8, 5, 3, 2, 1, 1)
"""Relative frequency of storms by local hour (ASSUMED; the afternoon peak is convective)."""
