"""What happens to a system: grid outages, generator starts, self-tests, equalising charges.

Draws are keyed by calendar month (or quarter) and location or system; a longer run changes nothing
earlier. Times are whole seconds, whatever the sampling.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from fleetgen import rng
from fleetgen.elementary import exponential, logarithm, total
from fleetgen.model.params import STORM_HOUR_WEIGHTS
from fleetgen.rng import Stream
from fleetgen.spec import BatterySystem, Location, TimeGrid
from fleetgen.units import SECONDS_PER_DAY, SECONDS_PER_HOUR, day_date, day_number

Ints = NDArray[np.int64]

FRAILTY_SHAPE = 8
STORM_DAY_FACTOR = 3.0
BASE_SHARE = 0.4
MOMENTARY_SHARE = 0.30
DURATION_SIGMA = 0.9
DURATION_LIMIT_S = 480 * 60
GENERATOR_STARTS = 0.97
GENERATOR_MEDIAN_S = 20.0
GENERATOR_SIGMA = 0.4
SELF_TEST_S = 60
PLAIN_HOUR_WEIGHTS = tuple(1.5 if 8 <= hour < 17 else 1.0 for hour in range(24))
"""Outages without storm by local hour: planned work adds a half."""
_DRAWS_PER_OUTAGE = 8
_OUTAGES_PER_MONTH = 128


@dataclass(frozen=True)
class Timeline:
    """Events of one system within a run, sorted and free of overlap, int64 (event,) instants [s].

    The battery carries the load in [discharge_start_s, discharge_end_s), `self_test` marks planned
    ones; the charger is asked to equalise in [equalize_start_s, equalize_end_s).
    """

    discharge_start_s: Ints
    discharge_end_s: Ints
    self_test: NDArray[np.bool_]
    equalize_start_s: Ints
    equalize_end_s: Ints


def outages(
    location: Location,
    seed: int,
    year: int,
    month: int,
    rain: NDArray[np.bool_],
    utc_offset_s: int,
) -> list[tuple[int, int]]:
    """Grid outages (start, end) [s] that begin in one calendar month; `rain` flags its days.

    An inhomogeneous Poisson process: the yearly rate follows the month's share of rain days and a
    gamma frailty of the location's year (so that counts are negative binomial); rain days and
    storm hours draw more; 30 % are momentary, the rest lognormal.
    """
    first = day_number(date(year, month, 1))
    rainy = location.climate.rainy_days
    share = BASE_SHARE + (1 - BASE_SHARE) * 12 * rainy[month - 1] / max(total(rainy), 1.0)
    expected = location.outages_per_year * _frailty(location, seed, year) * share / 12
    k = rng.key(seed, Stream.OUTAGE, location.location_id)
    base = (year * 12 + month) * _OUTAGES_PER_MONTH * _DRAWS_PER_OUTAGE
    count = min(_poisson(expected, rng.uniform(k, base)), _OUTAGES_PER_MONTH - 1)
    found = []
    for i in range(1, count + 1):
        draw = [rng.uniform(k, base + i * _DRAWS_PER_OUTAGE + n) for n in range(6)]
        day = first + int(rng.weighted([STORM_DAY_FACTOR if r else 1.0 for r in rain], draw[0]))
        stormy = rain[day - first] and draw[1] < 1 - 1 / STORM_DAY_FACTOR
        hour = rng.weighted(STORM_HOUR_WEIGHTS if stormy else PLAIN_HOUR_WEIGHTS, draw[2])
        start = day * SECONDS_PER_DAY - utc_offset_s + int(hour * SECONDS_PER_HOUR)
        if draw[3] < MOMENTARY_SHARE:
            length = 5 + int(draw[4] * 56)
        else:
            z = rng.normal_quantile(draw[5])
            length = int(60 * location.outage_median_min * exponential(DURATION_SIGMA * z)) + 1
        found.append((start, start + min(length, DURATION_LIMIT_S)))
    return sorted(found)


def _frailty(location: Location, seed: int, year: int) -> float:
    """Gamma draw of shape 8 and mean 1 for one location's year: a sum of exponentials."""
    k = rng.key(seed, Stream.FRAILTY, location.location_id)
    draws = [rng.uniform(k, year * FRAILTY_SHAPE + i) for i in range(FRAILTY_SHAPE)]
    return -total(logarithm(u) for u in draws) / FRAILTY_SHAPE


def _poisson(mean: float, draw: float) -> int:
    """Poisson quantile by summing its terms."""
    term = below = exponential(-mean)
    count = 0
    while draw > below and count < 10_000:
        count += 1
        term *= mean / count
        below += term
    return count


def _months(grid: TimeGrid) -> list[tuple[int, int]]:
    first, last = grid.start, day_date(grid.end_day - 1)
    count = (last.year - first.year) * 12 + last.month - first.month + 1
    return [divmod(first.year * 12 + first.month - 1 + i, 12) for i in range(count)]


def _on_battery_s(
    location: Location, system: BatterySystem, seed: int, start: int, end: int
) -> int:
    """Seconds for which an outage lies on the system's battery."""
    if system.kind == "REC" and not location.generator:
        return end - start
    k = rng.key(seed, Stream.GENERATOR, system.system_id)
    if rng.uniform(k, 2 * start) >= GENERATOR_STARTS:
        return end - start
    z = rng.normal(k, 2 * start + 1)
    return min(end - start, int(GENERATOR_MEDIAN_S * exponential(GENERATOR_SIGMA * z)) + 1)


def _self_test_s(system: BatterySystem, seed: int, year: int, month: int, utc_offset_s: int) -> int:
    """Start of the month's self-test: first Tuesday, 10:00 +- 30 min local time [s]."""
    first = date(year, month, 1)
    tuesday = day_number(first) + (1 - first.weekday()) % 7
    draw = rng.uniform(rng.key(seed, Stream.SELF_TEST, system.system_id), year * 12 + month)
    return (
        tuesday * SECONDS_PER_DAY - utc_offset_s + 10 * SECONDS_PER_HOUR + int(3600 * (draw - 0.5))
    )


def _equalize_s(
    system: BatterySystem, seed: int, year: int, quarter: int, utc_offset_s: int
) -> tuple[int, int]:
    """Start and end of the quarter's equalising charge: an evening, 8 to 12 h [s]."""
    k = rng.key(seed, Stream.EQUALIZE, system.system_id)
    draw = [rng.uniform(k, (year * 4 + quarter) * 4 + n) for n in range(3)]
    day = day_number(date(year, 3 * quarter + 1, 1)) + int(draw[0] * 90)
    start = day * SECONDS_PER_DAY - utc_offset_s + int((18 + 4 * draw[1]) * SECONDS_PER_HOUR)
    return start, start + int((8 + 4 * draw[2]) * SECONDS_PER_HOUR)


def timeline(
    location: Location,
    system: BatterySystem,
    seed: int,
    grid: TimeGrid,
    rain: Callable[[int, int], NDArray[np.bool_]],
) -> Timeline:
    """All events of one system from the start of the run to its end (and those that outlast it).

    `rain(first_day, end_day)` flags the location's rain days.
    """
    offset = grid.utc_offset_s
    months = _months(grid)
    carried: list[tuple[int, int, bool]] = []
    for year, month in months:
        first = day_number(date(year, month + 1, 1))
        end_of_month = day_number(date(year + (month + 1) // 12, (month + 1) % 12 + 1, 1))
        wet = rain(first, end_of_month)
        for start, end in outages(location, seed, year, month + 1, wet, offset):
            length = _on_battery_s(location, system, seed, start, end)
            carried.append((start, start + length, False))
        test = _self_test_s(system, seed, year, month + 1, offset)
        carried.append((test, test + SELF_TEST_S, True))
    discharges = _without_overlap(sorted(e for e in carried if e[0] > grid.start_s))
    quarters = sorted({(year, month // 3) for year, month in months})
    equalizing = [_equalize_s(system, seed, y, q, offset) for y, q in quarters]
    equalizing = [e for e in equalizing if e[0] > grid.start_s]
    starts, ends, tests = ([e[i] for e in discharges] for i in range(3))
    return Timeline(
        np.array(starts, np.int64),
        np.array(ends, np.int64),
        np.array(tests, np.bool_),
        np.array([e[0] for e in equalizing], np.int64),
        np.array([e[1] for e in equalizing], np.int64),
    )


def _without_overlap(events: list[tuple[int, int, bool]]) -> list[tuple[int, int, bool]]:
    """Discharges in order of start: an outage within an outage prolongs it, a test gives way."""
    kept: list[tuple[int, int, bool]] = []
    for start, end, test in events:
        if kept and start <= kept[-1][1]:
            before = kept[-1]
            if not test:
                kept[-1] = (before[0], max(before[1], end), before[2] and test)
        else:
            kept.append((start, end, test))
    return kept
