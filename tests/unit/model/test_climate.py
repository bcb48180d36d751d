"""Generated weather against the normals it is made from, and its course of a day."""

from dataclasses import replace
from datetime import date
from functools import lru_cache
from math import exp, sqrt

import numpy as np
import pytest

from fleetgen.config import load
from fleetgen.model import climate
from fleetgen.units import day_date, day_number

LOCATIONS = {s.location.climate.climate_id: s.location for s in load().to_fleet().sites}
FIRST, END = day_number(date(2001, 1, 1)), day_number(date(2031, 1, 1))
MONTH = np.array([day_date(d).month for d in range(FIRST, END)])
HAT_YAI = LOCATIONS["hat-yai"]
SLOT_HOURS = np.arange(289) / 12

# Published mean annual days with rain and normals, once more: the configuration is not its source.
PHUKET_RAIN = (4, 3, 5, 11, 21, 19, 19, 19, 23, 22, 16, 8)
BANGKOK_MEAN_C = (27.6, 28.7, 29.8, 30.8, 30.5, 29.8, 29.3, 29.1, 28.7, 28.5, 28.4, 27.4)


@lru_cache(maxsize=2)
def thirty_years(name, seed=42):
    """Weather, temperatures and humidities of 2001 to 2030."""
    days = climate.weather_days(LOCATIONS[name], seed, FIRST, END)
    return (days, *climate.outdoor(days))


def by_month(values):
    return np.array([values[m == MONTH].mean() for m in range(1, 13)])


def steady(**changes):
    """Three like days without rain."""
    days = np.full(5, 0.0)
    weather = climate.WeatherDays(
        first_day=20_000,
        middle_c=days + 28,
        mean_c=days + 27,
        amplitude_k=days + 6,
        vapour_hpa=days + 25,
        rain=np.zeros(5, np.bool_),
        storm_start_s=days,
        storm_end_s=days,
        storm_drop_k=days,
    )
    return replace(weather, **changes)


# --- saturation -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("temperature", "hpa"), [(0, 6.11), (10, 12.27), (20, 23.39), (30, 42.46), (40, 73.84)]
)
def test_saturation_pressure_by_the_steam_table(temperature, hpa):
    assert climate.saturation_pressure_hpa(float(temperature)) == pytest.approx(hpa, rel=0.003)


# --- monthly values -------------------------------------------------------------------------------


def test_monthly_values_stand_at_mid_month_and_do_not_step():
    values = tuple(float(v) for v in range(12))
    year = climate.monthly_at_noon(values, day_number(date(2025, 1, 1)), 365)
    for month in range(12):
        middle = day_number(date(2025, month + 1, 16)) - day_number(date(2025, 1, 1))
        assert year[middle] == pytest.approx(values[month], abs=0.05)
    edge = day_number(date(2025, 7, 1)) - day_number(date(2025, 1, 1))
    assert year[edge - 1 : edge + 1].mean() == pytest.approx((values[5] + values[6]) / 2, abs=0.02)
    assert np.abs(np.diff(year[20:340])).max() < 0.045  # a twenty-ninth of the step of a month
    # December leads back to January.
    turn = climate.monthly_at_noon(values, day_number(date(2025, 12, 31)), 2)
    assert turn.mean() == pytest.approx(5.5, abs=0.05)


def test_monthly_values_in_leap_years():
    values = tuple(float(v) for v in range(12))
    leap = climate.monthly_at_noon(values, day_number(date(2024, 2, 26)), 6)
    assert (np.diff(leap) > 0).all()
    assert np.diff(leap).max() < 0.07


# --- thirty years ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LOCATIONS)
def test_monthly_means_are_the_normals(name):
    """Within 0.8 K and 6 points in each month; rain days within 2.5."""
    weather, temperature, humidity = thirty_years(name)
    normals = LOCATIONS[name].climate
    assert by_month(temperature[:, :-1]) == pytest.approx(np.array(normals.mean_c), abs=0.8)
    assert by_month(humidity[:, :-1]) == pytest.approx(np.array(normals.humidity_pct), abs=6)
    wet = by_month(weather.rain[1:-1]) * np.bincount(MONTH)[1:] / 30
    assert wet == pytest.approx(np.array(normals.rainy_days), abs=2.5)
    assert wet.sum() == pytest.approx(sum(normals.rainy_days), rel=0.06)


def test_monthly_extremes_are_near_the_normals():
    for name in ("bangkok", "chiang-mai"):
        _, temperature, _ = thirty_years(name)
        normals = LOCATIONS[name].climate
        highest = by_month(temperature.max(axis=1))
        lowest = by_month(temperature.min(axis=1))
        assert highest == pytest.approx(np.array(normals.maximum_c), abs=1.0)
        assert lowest == pytest.approx(np.array(normals.minimum_c), abs=1.0)


def test_bangkok_and_phuket_by_published_normals():
    _, temperature, _ = thirty_years("bangkok")
    means = by_month(temperature[:, :-1])
    assert means == pytest.approx(np.array(BANGKOK_MEAN_C), abs=0.8)
    assert int(np.argmax(means)) + 1 in (3, 4, 5)  # the hot season, not June
    rain = climate.rain_days(LOCATIONS["phuket"], 42, FIRST, END)
    wet = by_month(rain) * np.bincount(MONTH)[1:] / 30
    assert wet == pytest.approx(np.array(PHUKET_RAIN), abs=2.5)


def test_anomalies_persist():
    """Day-to-day deviation of 1.3 K from March to October, correlated by 0.75 from day to day."""
    mean = climate.daily_mean_c(LOCATIONS["bangkok"], 42, FIRST, END)
    anomaly = mean - climate.monthly_at_noon(BANGKOK_MEAN_C, FIRST, END - FIRST)
    assert anomaly.std() == pytest.approx(1.3, rel=0.06)
    r = np.corrcoef(anomaly[:-1], anomaly[1:])[0, 1]
    assert r == pytest.approx(0.75, abs=0.03)
    assert pytest.approx(-1 / np.log(0.75), rel=1e-3) == climate.ANOMALY_PERSISTENCE_DAYS


def test_cool_months_of_the_north_vary_more():
    sigma = climate.anomaly_sigma_c(LOCATIONS["chiang-mai"].climate, FIRST, END - FIRST)
    assert sigma[MONTH == 12].mean() == pytest.approx(2.2, abs=0.03)
    assert sigma[MONTH == 7].mean() == pytest.approx(1.3, abs=0.03)


def test_rain_comes_in_spells():
    """P(rain | rain) = p + 0.3 (1 - p) and P(rain | dry) = 0.7 p."""
    rain = climate.rain_days(LOCATIONS["phuket"], 42, FIRST, END)
    season = np.isin(MONTH, (6, 7, 8))  # 19 of 30.7 days
    p = 19 / 30.67
    after_rain = rain[1:][season[1:] & rain[:-1]].mean()
    after_dry = rain[1:][season[1:] & ~rain[:-1]].mean()
    assert after_rain == pytest.approx(p + 0.3 * (1 - p), abs=0.03)
    assert after_dry == pytest.approx(0.7 * p, abs=0.04)


def test_weather_differs_between_seeds_and_places():
    means = [climate.daily_mean_c(HAT_YAI, seed, FIRST, FIRST + 3000) for seed in (1, 2)]
    means.append(climate.daily_mean_c(replace(HAT_YAI, location_id="DC-X"), 1, FIRST, FIRST + 3000))
    normal = climate.monthly_at_noon(HAT_YAI.climate.mean_c, FIRST, 3000)
    r = np.corrcoef([m - normal for m in means])
    # 3,000 days of this persistence are 430 independent ones.
    assert np.abs(r[np.triu_indices(3, 1)]).max() < 4 / sqrt(430)


# --- a day ----------------------------------------------------------------------------------------


def test_extremes_at_six_and_half_past_two():
    temperature, humidity = climate.outdoor(steady())
    for day in range(3):
        assert SLOT_HOURS[np.argmin(temperature[day, :-1])] == 6.0
        assert SLOT_HOURS[np.argmax(temperature[day])] == 14.5
        assert np.argmax(humidity[day, :-1]) == 72
    # (max + min) / 2 is the middle; the mean is the mean.
    assert temperature.max() == pytest.approx(34, abs=1e-9)
    assert temperature.min() == pytest.approx(22, abs=1e-9)
    assert temperature[:, :-1].mean() == pytest.approx(27, abs=0.01)


def test_extremes_of_generated_days_are_at_those_hours():
    weather, temperature, _ = thirty_years("bangkok")
    dry = ~weather.rain[1:-1] & ~weather.rain[:-2]  # a storm may reach into the next day
    highest = SLOT_HOURS[np.argmax(temperature[dry], axis=1)]
    lowest = SLOT_HOURS[np.argmin(temperature[dry][:, : 12 * 12], axis=1)]
    assert np.median(highest) == 14.5
    assert np.median(lowest) == 6.0
    # The day-to-day drift moves the turning points by a few slots.
    assert np.quantile(np.abs(highest - 14.5), 0.9) <= 0.75
    assert np.quantile(np.abs(lowest - 6.0), 0.9) <= 0.75


def test_nothing_steps_at_midnight():
    for name in ("bangkok", "chiang-mai"):
        _, temperature, humidity = thirty_years(name)
        assert temperature[:-1, -1] == pytest.approx(temperature[1:, 0], abs=1e-9)
        assert humidity[:-1, -1] == pytest.approx(humidity[1:, 0], abs=1e-9)


def test_nothing_steps_at_all():
    """A storm takes 20 min to cool the air by 6 K at the most."""
    _, temperature, _ = thirty_years("phuket")
    assert np.abs(np.diff(temperature, axis=1)).max() < 6 / 4 + 0.5


def test_storms_cool_and_moisten():
    storm = np.zeros(5)
    start, end, drop = storm + 0, storm + 0, storm + 0
    start[2], end[2], drop[2] = 16 * 3600, 18 * 3600, 5.0
    calm, dry = climate.outdoor(steady())
    temperature, humidity = climate.outdoor(
        steady(storm_start_s=start, storm_end_s=end, storm_drop_k=drop)
    )
    fall = calm - temperature
    assert fall[1, 17 * 12] == pytest.approx(5, abs=1e-9)
    assert fall[1, 16 * 12] == pytest.approx(0, abs=1e-9)
    assert fall[1, 16 * 12 + 2] == pytest.approx(2.5, abs=1e-9)  # ten minutes in
    assert fall[1, 19 * 12] == pytest.approx(2.5, abs=1e-9)  # an hour after
    assert (fall[0] == 0).all()
    assert humidity[1, 17 * 12] == pytest.approx(95, abs=1e-9)
    assert (humidity[1, 17 * 12 :] >= dry[1, 17 * 12 :] - 1e-9).all()


def test_a_storm_lasts_past_midnight():
    start, end, drop = np.zeros(5), np.zeros(5), np.zeros(5)
    start[1], end[1], drop[1] = 23 * 3600, 25 * 3600, 4.0
    calm, _ = climate.outdoor(steady())
    temperature, _ = climate.outdoor(
        steady(storm_start_s=start, storm_end_s=end, storm_drop_k=drop)
    )
    fall = calm - temperature
    assert fall[0, -1] == fall[1, 0] == pytest.approx(4, abs=1e-9)
    assert fall[1, 12] == pytest.approx(4, abs=1e-9)
    assert fall[1, 36] == pytest.approx(0, abs=1e-9)


def test_storms_fall_in_the_afternoon():
    weather, _, _ = thirty_years("phuket")
    wet = weather.rain
    hour = weather.storm_start_s[wet] / 3600
    assert ((hour >= 0) & (hour < 24)).all()
    assert ((hour >= 12) & (hour < 19)).mean() == pytest.approx(69 / 100, abs=0.03)
    length = (weather.storm_end_s - weather.storm_start_s)[wet] / 3600
    assert (length.min(), length.max()) == pytest.approx((1, 3), abs=0.01)
    drop = weather.storm_drop_k
    assert (drop[wet].min(), drop[wet].max()) == pytest.approx((3, 6), abs=0.01)
    assert (drop[~wet] == 0).all()


def test_rain_days_are_flatter():
    weather, _, _ = thirty_years("bangkok")
    july = np.r_[False, MONTH == 7, False]
    wet, dry = weather.rain & july, ~weather.rain & july
    swing = weather.amplitude_k
    assert swing[wet].mean() / swing[dry].mean() == pytest.approx(0.7 / 1.08, rel=0.01)


def test_humidity_stays_in_its_range():
    _, temperature, humidity = thirty_years("chiang-mai")
    assert humidity.min() >= 25
    assert humidity.max() <= 100
    # Warmer hours are drier: the vapour pressure hardly moves in a day.
    assert np.corrcoef(temperature[::30].ravel(), humidity[::30].ravel())[0, 1] < -0.3


def test_humidity_is_vapour_over_saturation():
    _, humidity = climate.outdoor(steady())
    t = 34.0
    es = 6.112 * exp(17.62 * t / (243.12 + t))
    assert humidity[1, 174] == pytest.approx(100 * 25 / es, rel=1e-9)


# --- any block alone ------------------------------------------------------------------------------


def test_days_are_the_same_in_any_block():
    first = day_number(date(2025, 2, 26))
    whole = climate.outdoor(climate.weather_days(HAT_YAI, 42, first, first + 8))
    for a, b in ((0, 1), (3, 5), (7, 8)):
        part = climate.outdoor(climate.weather_days(HAT_YAI, 42, first + a, first + b))
        for x, y in zip(part, whole, strict=True):
            assert x.tobytes() == y[a:b].tobytes()


def test_rain_does_not_depend_on_the_horizon():
    """Chains are made for whole decades; their edges show nowhere."""
    edge = 10_957 + 3653 * 3
    long = climate.rain_days(HAT_YAI, 42, edge - 40, edge + 40)
    assert climate.rain_days(HAT_YAI, 42, edge - 40, edge).tolist() == long[:40].tolist()
    assert climate.rain_days(HAT_YAI, 42, edge + 1, edge + 9).tolist() == long[41:49].tolist()
