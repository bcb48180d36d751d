"""Weather at a location: monthly normals, persistence, rain days, storms, the day's course.

Daily values hold at local noon and are interpolated between noons, so that nothing steps at
midnight. Every draw is keyed by its day: another run, or a longer one, meets the same weather.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fleetgen import rng
from fleetgen.elementary import cosine_of_half_turns, exponential
from fleetgen.jit import kernel
from fleetgen.model import params
from fleetgen.rng import EPOCH_DAY, Key, Stream
from fleetgen.spec import Climate, Location
from fleetgen.units import day_date

Floats = NDArray[np.float64]

SLOT_S = 300
SLOTS_PER_DAY = 288

ANOMALY_PERSISTENCE_DAYS = params.ANOMALY_PERSISTENCE.value
"""Correlation time of the daily anomaly: exp(-1 / 3.476) = 0.75."""

_MAGNUS_HPA = params.MAGNUS_PRESSURE.value
_MAGNUS = params.MAGNUS_FACTOR.value
_MAGNUS_C = params.MAGNUS_TEMPERATURE.value
_RAIN_AGAIN = params.RAIN_PERSISTENCE.value
_STORM_RISE_S = params.STORM_RISE.value
_STORM_FADE_S = params.STORM_FADE.value
_STORM_PCT = params.STORM_HUMIDITY.value
_DRIEST_PCT = params.HUMIDITY_MINIMUM.value
_COOLEST_H = params.COOLEST_HOUR.value
_HOTTEST_H = params.HOTTEST_HOUR.value
_WARMING_H = _HOTTEST_H - _COOLEST_H
_COOLING_H = 24.0 - _WARMING_H

_COOL_MONTHS = (11, 12, 1, 2)
_MONTH_DAYS = (31, 28.25, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


@dataclass(frozen=True)
class WeatherDays:
    """Daily values at local noon, each float64 (day,), from day `first_day` on.

    The first and the last row are there to be interpolated from; `outdoor` covers the days between.
    """

    first_day: int
    middle_c: Floats
    mean_c: Floats
    amplitude_k: Floats
    vapour_hpa: Floats
    rain: NDArray[np.bool_]
    storm_start_s: Floats
    storm_end_s: Floats
    storm_drop_k: Floats


@kernel
def saturation_pressure_hpa(temperature_c: float) -> float:
    """Saturation vapour pressure over water (Magnus; Sonntag 1990), -45 to 60 degC."""
    return _MAGNUS_HPA * exponential(_MAGNUS * temperature_c / (_MAGNUS_C + temperature_c))


@kernel
def _rain_days(k: Key, epoch_day: int, chance: Floats) -> NDArray[np.bool_]:
    """Two-state chain from the epoch: P(rain | rain) = p + 0.3 (1 - p), P(rain | dry) = 0.7 p."""
    rain = np.zeros(chance.size, np.bool_)
    for i in range(1, chance.size):
        p = chance[i]
        p = p + _RAIN_AGAIN * (1.0 - p) if rain[i - 1] else (1.0 - _RAIN_AGAIN) * p
        rain[i] = rng.uniform(k, epoch_day + i) < p
    return rain


@lru_cache(maxsize=64)
def monthly_at_noon(values: tuple[float, ...], first_day: int, days: int) -> Floats:
    """Periodic linear interpolation of monthly values through mid-month, float64 (day,); shared."""
    out = np.empty(days)
    for i in range(days):
        date = day_date(first_day + i)
        position = (date.day - 0.5) / _MONTH_DAYS[date.month - 1] - 0.5
        here = values[date.month - 1]
        other = values[(date.month - 2) % 12] if position < 0 else values[date.month % 12]
        out[i] = here + abs(position) * (other - here)
    return out


@lru_cache(maxsize=64)
def _rain(location: Location, seed: int, end_day: int) -> NDArray[np.bool_]:
    days = end_day - EPOCH_DAY
    monthly = tuple(
        min(1.0, n / d) for n, d in zip(location.climate.rainy_days, _MONTH_DAYS, strict=True)
    )
    chance = monthly_at_noon(monthly, EPOCH_DAY, days)
    return _rain_days(rng.key(seed, Stream.RAIN, location.location_id), EPOCH_DAY, chance)


def rain_days(location: Location, seed: int, first_day: int, end_day: int) -> NDArray[np.bool_]:
    """Whether it rains on each local day, bool (day,)."""
    # Whole decades, so that one chain serves all blocks of a run.
    horizon = EPOCH_DAY + -(-(end_day - EPOCH_DAY) // 3653) * 3653
    return _rain(location, seed, horizon)[first_day - EPOCH_DAY : end_day - EPOCH_DAY]


def anomaly_sigma_c(climate: Climate, first_day: int, days: int) -> Floats:
    """Day-to-day deviation of temperature [K] by season, interpolated, float64 (day,)."""
    monthly = tuple(
        climate.cool_sigma_c if m in _COOL_MONTHS else climate.warm_sigma_c for m in range(1, 13)
    )
    return monthly_at_noon(monthly, first_day, days)


@lru_cache(maxsize=8)
def daily_mean_c(location: Location, seed: int, first_day: int, end_day: int) -> Floats:
    """Outdoor mean temperature of each local day [degC], float64 (day,); shared."""
    days = end_day - first_day
    anomaly = rng.chain(
        rng.key(seed, Stream.DAILY_ANOMALY, location.location_id),
        first_day,
        days,
        ANOMALY_PERSISTENCE_DAYS,
    )
    climate = location.climate
    mean = monthly_at_noon(climate.mean_c, first_day, days)
    return mean + anomaly * anomaly_sigma_c(climate, first_day, days)


def weather_days(location: Location, seed: int, first_day: int, end_day: int) -> WeatherDays:
    """Daily weather for local days [first_day, end_day), with one day more on either side."""
    first, days = first_day - 1, end_day - first_day + 2
    climate, place = location.climate, location.location_id
    mean = daily_mean_c(location, seed, first, first + days)
    normal_mean = monthly_at_noon(climate.mean_c, first, days)
    low = monthly_at_noon(climate.minimum_c, first, days)
    high = monthly_at_noon(climate.maximum_c, first, days)
    humidity = monthly_at_noon(climate.humidity_pct, first, days)
    moist = rng.chain(
        rng.key(seed, Stream.HUMIDITY_ANOMALY, place),
        first,
        days,
        ANOMALY_PERSISTENCE_DAYS,
    )
    rain = rain_days(location, seed, first, first + days)
    vapour = np.array([saturation_pressure_hpa(t) for t in normal_mean])
    storm = np.array([_storm(rng.key(seed, Stream.STORM, place), first + i) for i in range(days)])
    wet, dry = params.RAIN_DAY_AMPLITUDE.value, params.DRY_DAY_AMPLITUDE.value
    amplitude = (high - low) / 2 * np.where(rain, wet, dry)
    # Relative humidity is convex in temperature: a day that swings would have a higher mean than
    # the normal says, by the square of (d ln e_s / dT x amplitude) / 2.
    swing = _MAGNUS * _MAGNUS_C / (_MAGNUS_C + normal_mean) ** 2 * amplitude
    vapour = vapour / (1 + swing * swing / 4)
    return WeatherDays(
        first_day=first,
        middle_c=(low + high) / 2 + (mean - normal_mean),
        mean_c=mean,
        amplitude_k=amplitude,
        vapour_hpa=humidity / 100 * vapour * (1 + params.HUMIDITY_ANOMALY.value * moist),
        rain=rain,
        storm_start_s=storm[:, 0],
        storm_end_s=storm[:, 1],
        storm_drop_k=np.where(rain, storm[:, 2], 0.0),
    )


def _storm(k: Key, day: int) -> tuple[float, float, float]:
    """Start and end [s of the day] and drop [K] of the storm that a rain day would have."""
    start_s = rng.weighted(params.STORM_HOUR_WEIGHTS, rng.uniform(k, 4 * day)) * 3600
    low, high = params.STORM_SHORTEST.value, params.STORM_LONGEST.value
    duration_s = (low + (high - low) * rng.uniform(k, 4 * day + 1)) * 3600
    low, high = params.STORM_DROP_MINIMUM.value, params.STORM_DROP_MAXIMUM.value
    return start_s, start_s + duration_s, low + (high - low) * rng.uniform(k, 4 * day + 2)


@kernel
def _storm_depth(second: float, start_s: float, end_s: float) -> float:
    """Fraction of a storm's drop at `second`: rises in 20 min, fades over 2 h after its end."""
    if second < start_s or second > end_s + _STORM_FADE_S:
        return 0.0
    if second < start_s + _STORM_RISE_S:
        return (second - start_s) / _STORM_RISE_S
    if second <= end_s:
        return 1.0
    return 1.0 - (second - end_s) / _STORM_FADE_S


@kernel
def _outdoor(
    middle_c: Floats,
    mean_c: Floats,
    amplitude_k: Floats,
    vapour_hpa: Floats,
    storm: Floats,
    temperature_c: Floats,
    humidity_pct: Floats,
) -> None:
    for day in range(temperature_c.shape[0]):
        for slot in range(SLOTS_PER_DAY + 1):
            hour = slot / 12.0
            late = hour >= 12.0
            a = day + 1 if late else day
            w = (hour - 12.0) / 24.0 if late else (hour + 12.0) / 24.0
            middle = middle_c[a] + w * (middle_c[a + 1] - middle_c[a])
            mean = mean_c[a] + w * (mean_c[a + 1] - mean_c[a])
            amplitude = amplitude_k[a] + w * (amplitude_k[a + 1] - amplitude_k[a])
            vapour = vapour_hpa[a] + w * (vapour_hpa[a + 1] - vapour_hpa[a])
            if _COOLEST_H <= hour < _HOTTEST_H:
                c = -cosine_of_half_turns((hour - _COOLEST_H) / _WARMING_H)
            else:
                c = cosine_of_half_turns(((hour + (24.0 - _HOTTEST_H)) % 24.0) / _COOLING_H)
            t = middle + amplitude * c + 2.0 * (mean - middle) * (1.0 - c * c)
            depth = 0.0
            drop = 0.0
            for k in range(2):  # a storm of the day before may last past midnight
                d = _storm_depth(
                    slot * 300.0 + k * 86400.0, storm[0, day + 1 - k], storm[1, day + 1 - k]
                )
                if d * storm[2, day + 1 - k] > drop:
                    drop = d * storm[2, day + 1 - k]
                    depth = d
            t -= drop
            humidity = 100.0 * vapour / saturation_pressure_hpa(t)
            if depth > 0.0:
                humidity += depth * (_STORM_PCT - humidity)
            temperature_c[day, slot] = t
            humidity_pct[day, slot] = min(100.0, max(_DRIEST_PCT, humidity))


def outdoor(weather: WeatherDays) -> tuple[Floats, Floats]:
    """Outdoor temperature [degC] and relative humidity [%], each float64 (day, 289).

    Values at the edges of the day's 288 five-minute slots, both midnights included. The minimum
    falls at 06:00 and the maximum at 14:30 local time; humidity stays within 25 to 100 %, the range
    of the law e / e_s with the day's vapour pressure.
    """
    days = len(weather.middle_c) - 2
    temperature_c = np.empty((days, SLOTS_PER_DAY + 1))
    humidity_pct = np.empty_like(temperature_c)
    storm = np.stack([weather.storm_start_s, weather.storm_end_s, weather.storm_drop_k])
    _outdoor(
        weather.middle_c,
        weather.mean_c,
        weather.amplitude_k,
        weather.vapour_hpa,
        storm,
        temperature_c,
        humidity_pct,
    )
    return temperature_c, humidity_pct
