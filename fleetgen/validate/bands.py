"""Bands of plausible values, in which most samples of sound instruments and jars lie."""

from __future__ import annotations

from typing import NamedTuple


class Range(NamedTuple):
    """Lowest and highest plausible value."""

    low: float
    high: float


GUIDE_VOLTAGE_V = Range(11.5, 14.5)
GUIDE_TEMPERATURE_C = Range(20.0, 50.0)
"""The usage guide's checklist."""

MODE_VOLTAGE_V = {
    "float": Range(12.9, 14.5),
    "boost": Range(11.5, 14.7),
    "equalize": Range(12.9, 14.7),
    "discharge": Range(10.0, 13.8),
    "idle": Range(11.0, 13.8),
}
"""Of a jar by its string's mode: on float settled jars spread by 2 %, new ones by 5 %; boost begins
where a discharge ends, which is at 10.5 V at the lowest, and recovers at once by a volt."""

SHARE = 0.99
"""Share of samples within: the rest are failing cells, first seconds of a mode, and chance."""

FLOAT_MEAN_V = Range(13.2, 13.98)
"""Mean of all jars on float: 2.20 to 2.33 V/cell, the ends of the charger's compensation."""

JAR_MEAN_C = Range(20.0, 35.0)
ROOM_MEAN_C = Range(18.0, 30.0)
"""Means over a run: rooms are held at 24 degC, cabinets are warmer by some kelvin."""

JAR_RISE_K = Range(-2.0, 8.0)
"""Mean of a jar's temperature above its room, median over jars: sensors' offsets, cabinet, heat."""

GUIDE_MEAN_SOH_PCT = Range(90.0, 100.0)
SHORT_RUN_DAYS = 31.0
"""The usage guide wants a mean SOH of 90 to 100 % for short runs, and says not how short."""

LEAST_MEAN_SOH_PCT = 80.0
"""Of longer runs: nobody keeps a fleet whose mean jar is worn out."""

WEAR_AFTER_DAYS = 2.0
"""A run of so many days shows wear: 2 % a year are 11 counts of 0.001 % in two days."""

WORN_SHARE = 0.95
"""Share of units whose SOH must be seen to fall in such a run; in cool rooms some hardly do."""

PROFILE_SIGMA = 4.0
FEW_BATTERIES = 24
"""Fewer batteries have no distribution to judge."""

FEW_ALERTS = 30
"""Fewer alerts tell nothing of who raises them."""

DISCHARGE_CURRENT_A = -0.5
"""In discharge the string's current is below this: the smallest load, less the Hall sensor's zero
of three deviations."""
