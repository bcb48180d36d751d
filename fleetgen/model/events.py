"""What happens to a system: outages, generator starts, self-tests, equalising, capacity tests.

Draws are keyed by calendar month, quarter or year and location, system or string; a longer run
changes nothing earlier. Times are whole seconds, whatever the sampling.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fleetgen import rng
from fleetgen.elementary import exponential, logarithm, total
from fleetgen.errors import SimulationError
from fleetgen.model import params
from fleetgen.rng import Stream
from fleetgen.spec import BatterySystem, Location, Scenario
from fleetgen.units import SECONDS_PER_DAY, SECONDS_PER_HOUR, day_date, day_number

Ints = NDArray[np.int64]

FLOOD_REGION = "southern"
FLOOD_MONTHS = (10, 11, 12)
PLAIN_HOUR_WEIGHTS = tuple(
    params.PLANNED_WORK_FACTOR.value if 8 <= hour < 17 else 1.0 for hour in range(24)
)
"""Outages without storm by local hour: planned work adds a half."""
_LIMIT_S = int(params.OUTAGE_LIMIT.value) * 60
_FRAILTY_SHAPE = int(params.FRAILTY_SHAPE.value)
_DRAWS_PER_OUTAGE = 8
_OUTAGES_PER_MONTH = 128


@dataclass(frozen=True)
class Timeline:
    """Events of one system in a span of days, sorted, int64 (event,) instants [s].

    The battery carries the load in [discharge_start_s, discharge_end_s), without overlap;
    `self_test` marks planned ones. The charger is asked to equalise in [equalize_start_s,
    equalize_end_s) and deviates by `charger_v` [V/cell] in [charger_start_s, charger_end_s). String
    number `test_string` is discharged for its capacity from `test_start_s` to its cut-off, at the
    latest to `test_end_s`.
    """

    discharge_start_s: Ints
    discharge_end_s: Ints
    self_test: NDArray[np.bool_]
    equalize_start_s: Ints
    equalize_end_s: Ints
    charger_start_s: Ints
    charger_end_s: Ints
    charger_v: NDArray[np.float64]
    test_string: Ints
    test_start_s: Ints
    test_end_s: Ints

    def tests_s(self, string: int) -> Ints:
        """Starts of the capacity tests of one string [s]."""
        starts: Ints = self.test_start_s[self.test_string == string]
        return starts


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
    steady, storm_factor = params.OUTAGE_BASE_SHARE.value, params.STORM_DAY_FACTOR.value
    share = steady + (1 - steady) * 12 * rainy[month - 1] / max(total(rainy), 1.0)
    expected = location.outages_per_year * _frailty(location, seed, year) * share / 12
    k = rng.key(seed, Stream.OUTAGE, location.location_id)
    base = (year * 12 + month) * _OUTAGES_PER_MONTH * _DRAWS_PER_OUTAGE
    count = poisson(expected, rng.uniform(k, base))
    if count >= _OUTAGES_PER_MONTH:
        raise SimulationError(
            f"{location.location_id}: {count} outages in {year}-{month:02d}, and a month can have "
            f"at most {_OUTAGES_PER_MONTH - 1}; lower outages_per_year"
        )
    found = []
    for i in range(1, count + 1):
        draw = [rng.uniform(k, base + i * _DRAWS_PER_OUTAGE + n) for n in range(6)]
        day = first + int(rng.weighted([storm_factor if r else 1.0 for r in rain], draw[0]))
        stormy = rain[day - first] and draw[1] < 1 - 1 / storm_factor
        hour = rng.weighted(params.STORM_HOUR_WEIGHTS if stormy else PLAIN_HOUR_WEIGHTS, draw[2])
        start = day * SECONDS_PER_DAY - utc_offset_s + int(hour * SECONDS_PER_HOUR)
        found.append((start, start + _length_s(location, draw[3], draw[4], draw[5])))
    if location.region == FLOOD_REGION and month in FLOOD_MONTHS:
        k = rng.key(seed, Stream.FLOOD, location.location_id)
        u = [rng.uniform(k, 4 * (12 * year + month) + n) for n in range(3)]
        if u[0] < params.FLOODS_PER_YEAR.value / len(FLOOD_MONTHS):
            start = first * SECONDS_PER_DAY - utc_offset_s + int(u[1] * len(rain) * SECONDS_PER_DAY)
            low, high = params.FLOOD_SHORTEST.value, params.FLOOD_LONGEST.value
            found.append((start, start + int((low + (high - low) * u[2]) * SECONDS_PER_HOUR)))
    return sorted(found)


def _length_s(location: Location, kind: float, momentary: float, lasting: float) -> int:
    """Length of an outage [s] from three uniform draws."""
    if kind < params.MOMENTARY_SHARE.value:
        low, high = int(params.MOMENTARY_SHORTEST.value), int(params.MOMENTARY_LONGEST.value)
        return min(low + int(momentary * (high - low + 1)), _LIMIT_S)
    factor = exponential(params.OUTAGE_SIGMA.value * rng.normal_quantile(lasting))
    return min(int(60 * location.outage_median_min * factor) + 1, _LIMIT_S)


def _frailty(location: Location, seed: int, year: int) -> float:
    """Gamma draw of shape 8 and mean 1 for one location's year: a sum of exponentials."""
    k = rng.key(seed, Stream.FRAILTY, location.location_id)
    draws = [rng.uniform(k, year * _FRAILTY_SHAPE + i) for i in range(_FRAILTY_SHAPE)]
    return -total(logarithm(u) for u in draws) / _FRAILTY_SHAPE


def poisson(mean: float, draw: float) -> int:
    """Poisson quantile by summing its terms."""
    term = below = exponential(-mean)
    count = 0
    while draw > below and count < 10_000:
        count += 1
        term *= mean / count
        below += term
    return count


def months_between(year: int, month: int, utc_offset_s: int) -> tuple[int, int]:
    """First and end instant [s] of a local calendar month."""
    first = day_number(date(year, month, 1))
    end = day_number(date(year + month // 12, month % 12 + 1, 1))
    return first * SECONDS_PER_DAY - utc_offset_s, end * SECONDS_PER_DAY - utc_offset_s


def months(first_day: int, end_day: int) -> list[tuple[int, int]]:
    """Calendar months (year, month) that hold any of the days [first_day, end_day)."""
    first, last = day_date(first_day), day_date(end_day - 1)
    count = (last.year - first.year) * 12 + last.month - first.month + 1
    index = first.year * 12 + first.month - 1
    return [((index + i) // 12, (index + i) % 12 + 1) for i in range(count)]


Rain = Callable[[int, int], NDArray[np.bool_]]
"""Flags the rain days of a location in [first_day, end_day)."""


def location_outages(
    location: Location,
    seed: int,
    first_day: int,
    end_day: int,
    utc_offset_s: int,
    rain: Rain,
    scenario: Scenario,
) -> list[tuple[int, int]]:
    """Outages (start, end) [s] that begin in the months of the days, and injected ones."""
    found = [
        (i.start_s, i.start_s + i.duration_s)
        for i in scenario.injections
        if i.kind == "outage" and i.target == location.location_id
    ]
    for year, month in months(first_day, end_day):
        a, b = (
            (s + utc_offset_s) // SECONDS_PER_DAY for s in months_between(year, month, utc_offset_s)
        )
        found += outages(location, seed, year, month, rain(a, b), utc_offset_s)
    return sorted(found)


def _generator_s(location: Location, seed: int, start: int) -> int | None:
    """Seconds until the generator carries the load; None if it does not start."""
    k = rng.key(seed, Stream.GENERATOR, location.location_id)
    if rng.uniform(k, 2 * start) >= params.GENERATOR_STARTS.value:
        return None
    late = exponential(params.GENERATOR_SIGMA.value * rng.normal(k, 2 * start + 1))
    return int(params.GENERATOR_MEDIAN.value * late) + 1


def cooling_stops(
    location: Location, seed: int, outages: list[tuple[int, int]]
) -> list[tuple[int, int]]:
    """Outages in which nothing drives the cooling: no generator, or one that does not start."""
    return [
        (start, end)
        for start, end in outages
        if not location.generator or _generator_s(location, seed, start) is None
    ]


def _on_battery_s(
    location: Location, system: BatterySystem, seed: int, start: int, end: int
) -> int:
    """Seconds for which an outage lies on the system's battery; UPS always have a generator."""
    seconds = _generator_s(location, seed, start)
    if seconds is None or (system.kind == "REC" and not location.generator):
        return end - start
    return min(end - start, seconds)


def _self_test_s(system: BatterySystem, seed: int, year: int, month: int, utc_offset_s: int) -> int:
    """Start of the month's self-test: first Tuesday, 10:00 +- 30 min local time [s]."""
    first = date(year, month, 1)
    tuesday = day_number(first) + (1 - first.weekday()) % 7
    draw = rng.uniform(rng.key(seed, Stream.SELF_TEST, system.system_id), year * 12 + month)
    hour, spread_s = int(params.SELF_TEST_HOUR.value), params.SELF_TEST_SPREAD.value
    start = tuesday * SECONDS_PER_DAY - utc_offset_s + hour * SECONDS_PER_HOUR
    return start + int(spread_s * (draw - 0.5))


def _equalize_s(
    system: BatterySystem, seed: int, year: int, quarter: int, utc_offset_s: int
) -> tuple[int, int]:
    """Start and end of the quarter's equalising charge: an evening, 8 to 12 h [s]."""
    k = rng.key(seed, Stream.EQUALIZE, system.system_id)
    draw = [rng.uniform(k, (year * 4 + quarter) * 4 + n) for n in range(3)]
    day = day_number(date(year, 3 * quarter + 1, 1)) + int(draw[0] * 90)
    low, high = params.EQUALIZE_EARLIEST.value, params.EQUALIZE_LATEST.value
    hour = low + (high - low) * draw[1]
    start = day * SECONDS_PER_DAY - utc_offset_s + int(hour * SECONDS_PER_HOUR)
    low, high = params.EQUALIZE_SHORTEST.value, params.EQUALIZE_LONGEST.value
    return start, start + int((low + (high - low) * draw[2]) * SECONDS_PER_HOUR)


def _charger_episodes(
    system: BatterySystem, seed: int, year: int, month: int, utc_offset_s: int
) -> list[tuple[int, int, float]]:
    """Deviations (start, end, V/cell) of a charger that begin in a month."""
    k = rng.key(seed, Stream.CHARGER_EPISODE, system.system_id)
    u = [rng.uniform(k, 8 * (12 * year + month) + n) for n in range(5)]
    if u[0] >= params.CHARGER_EPISODES.value / 12:
        return []
    first, end = months_between(year, month, utc_offset_s)
    start = first + int(u[1] * (end - first))
    low, high = params.CHARGER_SHORTEST.value, params.CHARGER_LONGEST.value
    length = int((low + (high - low) * u[2]) * SECONDS_PER_DAY)
    over = u[4] < 0.5
    lowest = params.CHARGER_DEVIATION_MINIMUM if over else params.CHARGER_UNDERVOLTAGE_MINIMUM
    low, high = lowest.value, params.CHARGER_DEVIATION_MAXIMUM.value
    size = low + (high - low) * u[3]
    return [(start, start + length, size if over else -size)]


@lru_cache(maxsize=128)
def _weekend_days(year: int, without: tuple[int, ...]) -> tuple[int, ...]:
    """Saturdays and Sundays of a year but for those in some months."""
    days = range(day_number(date(year, 1, 1)), day_number(date(year + 1, 1, 1)))
    dates = ((d, day_date(d)) for d in days)
    return tuple(d for d, day in dates if day.month not in without and day.weekday() >= 5)


def _test_s(location: Location, string_id: str, seed: int, year: int, utc_offset_s: int) -> int:
    """Start of a string's capacity test of the year [s]: a weekend night outside the storms.

    The year's weekend days outside the location's storm season are dealt out to the strings of the
    location in an order drawn for the year, so that no two share a day.
    """
    storms = (10, 11, 12) if location.region == FLOOD_REGION else (8, 9, 10)
    days = _weekend_days(year, storms)
    strings = sorted(
        location.string_ids,
        key=lambda name: rng.uniform(rng.key(seed, Stream.CAPACITY_TEST, name), 2 * year),
    )
    share = len(days) / len(strings)
    draw = rng.uniform(rng.key(seed, Stream.CAPACITY_TEST, string_id), 2 * year + 1)
    place = strings.index(string_id)
    day = days[min(int((place + draw * min(1.0, share) / share) * share), len(days) - 1)]
    low, high = params.TEST_EARLIEST.value, params.TEST_LATEST.value
    return (
        day * SECONDS_PER_DAY - utc_offset_s + int((low + (high - low) * draw) * SECONDS_PER_HOUR)
    )


def timeline(
    location: Location,
    system: BatterySystem,
    seed: int,
    first_day: int,
    end_day: int,
    utc_offset_s: int,
    rain: Rain,
    scenario: Scenario,
) -> Timeline:
    """All events of one system that begin at or after midnight of `first_day`, up to `end_day`.

    Some may begin later (up to the end of the last quarter). A charger's deviation may have begun
    before. A capacity test of the calendar waits for 72 h without an outage: else it is a week
    later.
    """
    start_s = first_day * SECONDS_PER_DAY - utc_offset_s
    spanned = months(first_day, end_day)
    carried = [
        (start, start + _on_battery_s(location, system, seed, start, end), False)
        for start, end in location_outages(
            location, seed, first_day, end_day, utc_offset_s, rain, scenario
        )
    ]
    outages_s = [start for start, _, _ in carried]
    for year, month in spanned:
        test = _self_test_s(system, seed, year, month, utc_offset_s)
        carried.append((test, test + int(params.SELF_TEST_LENGTH.value), True))
    discharges = _without_overlap(sorted(e for e in carried if e[0] >= start_s))
    quarters = sorted({(year, (month - 1) // 3) for year, month in spanned})
    equalizing = [_equalize_s(system, seed, y, q, utc_offset_s) for y, q in quarters]
    equalizing = [e for e in equalizing if e[0] >= start_s]
    deviating = [
        episode
        for year, month in months(first_day - int(params.CHARGER_LONGEST.value), end_day)
        for episode in _charger_episodes(system, seed, year, month, utc_offset_s)
        if episode[1] > start_s
    ]
    years = sorted({year for year, _ in spanned})
    tests = sorted(
        (start, end, s)
        for s, string in enumerate(system.strings)
        for start, end in _tests(
            location, string.string_id, seed, years, utc_offset_s, outages_s, scenario
        )
        if start >= start_s
    )
    starts, ends, planned = ([e[i] for e in discharges] for i in range(3))
    return Timeline(
        np.array(starts, np.int64),
        np.array(ends, np.int64),
        np.array(planned, np.bool_),
        np.array([e[0] for e in equalizing], np.int64),
        np.array([e[1] for e in equalizing], np.int64),
        np.array([e[0] for e in deviating], np.int64),
        np.array([e[1] for e in deviating], np.int64),
        np.array([e[2] for e in deviating], np.float64),
        np.array([s for _, _, s in tests], np.int64),
        np.array([start for start, _, _ in tests], np.int64),
        np.array([end for _, end, _ in tests], np.int64),
    )


def _tests(
    location: Location,
    string_id: str,
    seed: int,
    years: list[int],
    utc_offset_s: int,
    outages_s: list[int],
    scenario: Scenario,
) -> list[tuple[int, int]]:
    """Capacity tests (start, latest end) [s] of a string: the years' and injected ones."""
    limit_s = int(params.TEST_LIMIT.value * SECONDS_PER_HOUR)
    starts = [
        _rested(_test_s(location, string_id, seed, year, utc_offset_s), outages_s) for year in years
    ]
    found = [(start, start + limit_s, False) for start in starts]
    found += [
        (i.start_s, i.start_s + i.duration_s, False)
        for i in scenario.injections
        if i.kind == "capacity_test" and i.target == string_id
    ]
    return [(start, end) for start, end, _ in _without_overlap(sorted(found))]


def _rested(start_s: int, outages_s: list[int]) -> int:
    """Start of a test, put off by weeks until no outage was in the 72 h before it."""
    rest_s = int(params.TEST_REST.value * SECONDS_PER_HOUR)
    for _ in range(4):
        if not any(start_s - rest_s < outage <= start_s for outage in outages_s):
            break
        start_s += 7 * SECONDS_PER_DAY
    return start_s


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
