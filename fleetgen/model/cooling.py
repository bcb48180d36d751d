"""The cooling of a battery room: when it is degraded or has failed, and what the room does then."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fleetgen import rng
from fleetgen.elementary import exponential
from fleetgen.jit import kernel
from fleetgen.model import params
from fleetgen.model.events import months, months_between, poisson
from fleetgen.rng import Stream
from fleetgen.spec import Location, Scenario
from fleetgen.units import DAYS_PER_YEAR, SECONDS_PER_DAY, SECONDS_PER_HOUR

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

OK, DEGRADED, FAILED = range(3)
"""Codes of `schema.COOLING`."""

_HOT, _COOL = (3, 4, 5), (11, 12, 1, 2)
_MEAN_SEASON = (
    len(_HOT) * params.COOLING_HOT_SEASON.value + len(_COOL) * params.COOLING_COOL_SEASON.value + 5
) / 12
_LONGEST_S = int(params.DEGRADED_LONGEST.value * SECONDS_PER_DAY) + int(
    params.REPAIR_LIMIT.value * SECONDS_PER_HOUR
)
_DRAWS = 64

_RISE = params.DEGRADED_RISE.value
_OUTDOOR = params.DEGRADED_OUTDOOR.value
_FAILED_RISE = params.FAILED_RISE.value
_CAP = params.FAILED_CAP.value
_WARM_S = params.WARMING_TIME.value
_COOL_S = params.COOLING_TIME.value
_DRIFT_S = params.DRIFT_TIME.value
_DEGRADED_DRIFT = params.DEGRADED_DRIFT.value


class Episodes(NamedTuple):
    """Times [start, end) in which the cooling does not work as it should, each int64 (episode,)."""

    start_s: Ints
    end_s: Ints
    status: Ints


def _season(month: int) -> float:
    if month in _HOT:
        return params.COOLING_HOT_SEASON.value / _MEAN_SEASON
    if month in _COOL:
        return params.COOLING_COOL_SEASON.value / _MEAN_SEASON
    return 1.0 / _MEAN_SEASON


def _repair_s(k: rng.Key, counter: int) -> int:
    hours = params.REPAIR_MEDIAN.value * exponential(
        params.REPAIR_SIGMA.value * rng.normal(k, counter)
    )
    return int(min(hours, params.REPAIR_LIMIT.value) * SECONDS_PER_HOUR)


@lru_cache(maxsize=4096)
def _month(
    location: Location, seed: int, year: int, month: int, utc_offset_s: int
) -> tuple[tuple[int, int, int], ...]:
    """Episodes (start, end, status) that begin in a calendar month."""
    first_s, end_s = months_between(year, month, utc_offset_s)
    k = rng.key(seed, Stream.COOLING, location.location_id)
    base = (year * 12 + month) * 2 * _DRAWS
    age = year + (month - 0.5) / 12 - location.commissioned.year
    low, high = params.COOLING_FAILURES_NEW.value, params.COOLING_FAILURES_OLD.value
    yearly = low + (high - low) * min(1.0, max(0.0, age / params.COOLING_OLD.value))
    length = end_s - first_s
    share = length / (DAYS_PER_YEAR * SECONDS_PER_DAY)
    found = []
    for i in range(poisson(yearly * _season(month) * share, rng.uniform(k, base))):
        start = first_s + int(length * rng.uniform(k, base + 2 * i + 1))
        found.append((start, start + _repair_s(k, base + 2 * i + 2), FAILED))
    base += _DRAWS
    for i in range(poisson(params.DEGRADED_EPISODES.value * share, rng.uniform(k, base))):
        u = [rng.uniform(k, base + 4 * i + n) for n in range(1, 4)]
        start = first_s + int(length * u[0])
        low, high = params.DEGRADED_SHORTEST.value, params.DEGRADED_LONGEST.value
        end = start + int((low + (high - low) * u[1]) * SECONDS_PER_DAY)
        found.append((start, end, DEGRADED))
        if u[2] < params.DEGRADED_FAILS.value:
            found.append((end, end + _repair_s(k, base + 4 * i + 4), FAILED))
    return tuple(found)


def episodes(
    location: Location,
    seed: int,
    start_s: int,
    end_s: int,
    utc_offset_s: int,
    stopped: list[tuple[int, int]],
    scenario: Scenario,
) -> Episodes:
    """Episodes that touch [start_s, end_s), in order of start.

    Failures are those of the cooling, injected ones, and `stopped`: outages of the grid in which no
    generator carries it.
    """
    found = [(a, b, FAILED) for a, b in stopped]
    for injection in scenario.injections:
        if injection.kind == "hvac_failure" and injection.target == location.location_id:
            found.append((injection.start_s, injection.start_s + injection.duration_s, FAILED))
    first, last = ((s + utc_offset_s) // SECONDS_PER_DAY for s in (start_s - _LONGEST_S, end_s - 1))
    for year, month in months(first, last + 1):
        found += _month(location, seed, year, month, utc_offset_s)
    kept = sorted(e for e in found if e[0] < end_s and e[1] > start_s)
    columns = np.array(kept, np.int64).reshape(-1, 3)
    return Episodes(*(np.ascontiguousarray(columns[:, i]) for i in range(3)))


@kernel
def status_at(t: int, start_s: Ints, end_s: Ints, status: Ints) -> int:
    """Worst status of the cooling at an instant."""
    worst = OK
    for i in range(start_s.size):
        if start_s[i] <= t < end_s[i]:
            worst = max(worst, status[i])
    return int(worst)


@kernel
def goal_excess_k(status: int, normal_c: float, outdoor_c: float) -> float:
    """Where the room tends to, over its temperature with working cooling [K].

    Failed: outdoors + 6 K, at most 46 degC. Degraded: 2 K and 0.35 of the outdoor excess.
    """
    if status == FAILED:
        return max(0.0, min(_CAP, outdoor_c + _FAILED_RISE) - normal_c)
    if status == DEGRADED:
        return _RISE + max(0.0, _OUTDOOR * (outdoor_c - normal_c))
    return 0.0


@kernel
def hourly_excess(  # noqa: C901 (one loop over hours)
    first_s: int,
    normal_c: Floats,
    outdoor_c: Floats,
    start_s: Ints,
    end_s: Ints,
    status: Ints,
    jar_time_s: float,
    sensitivity: float,
    out_mean: Floats,
    out_factor: Floats,
) -> None:
    """Mean excess of jar temperature by day [K], and the mean of exp(b (e - mean)), (day,).

    From daily means of the room and outdoors, hour by hour: ageing is convex in temperature, so
    that a hot afternoon counts for more than its mean (`sensitivity` b in 1/K). Jars follow the
    room with `jar_time_s`.
    """
    days = out_mean.size
    room_k = 0.0
    jar_k = 0.0
    follow = 1.0 - exponential(-3600.0 / jar_time_s)
    warm = 1.0 - exponential(-3600.0 / _WARM_S)
    cool = 1.0 - exponential(-3600.0 / _COOL_S)
    hours = np.zeros(24)
    i = 0
    for d in range(days):
        quiet = room_k < 1e-6 and jar_k < 1e-6
        while i < start_s.size and end_s[i] <= first_s + d * 86400:
            i += 1
        touched = False
        for n in range(i, start_s.size):
            if start_s[n] >= first_s + (d + 1) * 86400:
                break
            touched = touched or end_s[n] > first_s + d * 86400
        if quiet and not touched:
            room_k = 0.0
            jar_k = 0.0
            out_mean[d] = 0.0
            out_factor[d] = 1.0
            continue
        mean = 0.0
        for h in range(24):
            # Short episodes fall between whole hours: the hour counts by its share.
            a = first_s + d * 86400 + h * 3600
            down = 0.0
            worst = OK
            for n in range(i, start_s.size):
                if start_s[n] >= a + 3600:
                    break
                share = min(end_s[n], a + 3600) - max(start_s[n], a)
                if share > 0:
                    down = max(down, share / 3600.0)
                    worst = max(worst, status[n])
            goal = goal_excess_k(worst, normal_c[d], outdoor_c[d])
            before_k, hours[h] = room_k, jar_k
            room_k += down * (goal - room_k) * warm - (1.0 - down) * room_k * cool
            jar_k += (0.5 * (before_k + room_k) - jar_k) * follow
            hours[h] = 0.5 * (hours[h] + jar_k)
            mean += hours[h] / 24.0
        factor = 0.0
        for h in range(24):
            factor += exponential(sensitivity * (hours[h] - mean)) / 24.0
        out_mean[d] = mean
        out_factor[d] = factor


@kernel
def excess_and_drift(
    midnight_s: int,
    normal_c: Floats,
    outdoor_c: Floats,
    start_s: Ints,
    end_s: Ints,
    status: Ints,
    out_excess_k: Floats,
    out_status: Ints,
    out_drift: Floats,
) -> None:
    """Excess over the normal room [K] and status at each minute of a day, share of outdoor air.

    `normal_c` and `outdoor_c` are minutes of the day before and the day, (2881,); the room is taken
    to be normal a day before midnight, which it has forgotten by then (16 time constants).
    Outputs are (1441,), (1441,) and, at five-minute edges, (289,).
    """
    excess = 0.0
    drift = 0.0
    warm = 1.0 - exponential(-60.0 / _WARM_S)
    cool = 1.0 - exponential(-60.0 / _COOL_S)
    wet = 1.0 - exponential(-60.0 / _DRIFT_S)
    for m in range(-1440, 1441):
        t = midnight_s + 60 * m
        now = status_at(t, start_s, end_s, status)
        if m >= 0:
            out_excess_k[m] = excess
            out_status[m] = now
            if m % 5 == 0:
                out_drift[m // 5] = drift
        goal = goal_excess_k(now, normal_c[m + 1440], outdoor_c[m + 1440])
        excess += (goal - excess) * (cool if now == OK else warm)
        share = 1.0 if now == FAILED else (_DEGRADED_DRIFT if now == DEGRADED else 0.0)
        drift += (share - drift) * (cool if now == OK else wet)
