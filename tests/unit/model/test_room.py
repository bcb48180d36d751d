"""The conditioned room: its level, its wander, its compressor, and its edges."""

from dataclasses import replace
from math import sqrt

import numpy as np
import pytest

from fleetgen.config import load
from fleetgen.model import room
from fleetgen.model.cooling import Episodes

LOCATION = load().to_fleet().sites[0].location
START_S = 1_735_664_400
MIDNIGHTS = START_S + 86_400 * np.arange(40)
MILD = np.full((40, 289), 28.0)  # outdoors at the reference
NONE = np.zeros(0, np.int64)
WORKING = Episodes(NONE, NONE, NONE)


def places(count):
    return [replace(LOCATION, location_id=f"DC-{i}") for i in range(count)]


def days(place, midnights, outdoor, humidity=60.0):
    """A room with working cooling; the day before is like the first."""
    outside = np.concatenate([outdoor[:1], outdoor])
    return room.room_days(place, 42, midnights, outside, np.full(outside.shape, humidity), WORKING)


@pytest.fixture(scope="module")
def month():
    return days(LOCATION, MIDNIGHTS, MILD).temperature_c


def test_targets_are_24_degrees_give_or_take():
    targets = np.array([room.target_c(place, 42) for place in places(2000)])
    assert targets.mean() == pytest.approx(24, abs=4.5 * 0.8 / sqrt(2000))
    assert targets.std() == pytest.approx(0.8, rel=0.07)


def test_level_and_spread(month):
    """Fluctuation of 0.3 K and a compressor of 0.4 K peak to peak, around the target."""
    assert month.shape == (40, 1441)
    target = room.target_c(LOCATION, 42)
    assert month.mean() == pytest.approx(target, abs=0.05)
    # A cosine cut at a third of its height: mean square 0.79 of its square.
    phase = np.clip(3 * np.cos(np.linspace(0, 2 * np.pi, 10_001)), -1, 1)
    expected = sqrt(0.3**2 + 0.2**2 * np.mean(phase**2))
    assert month.std() == pytest.approx(expected, rel=0.06)
    assert np.abs(month - target).max() < 0.2 + 5 * 0.3


def test_a_twentieth_of_the_outdoor_deviation_leaks_in(month):
    hot = days(LOCATION, MIDNIGHTS, MILD + 10).temperature_c
    assert hot - month == pytest.approx(np.full(month.shape, 0.5), abs=1e-9)
    assert room.daily_mean_c(24.3, np.array([28.0, 38.0])) == pytest.approx([24.3, 24.8])
    slope = MILD + np.linspace(0, 12, 289)
    drift = days(LOCATION, MIDNIGHTS, slope).temperature_c - month
    assert drift[0, 720] == pytest.approx(0.05 * 6, abs=1e-9)
    assert drift[0, 2] == pytest.approx(0.05 * 12 * 0.4 / 288, abs=1e-9)  # between slots


def test_nothing_steps_at_midnight(month):
    gap = np.abs(month[:-1, -1] - month[1:, 0])
    assert gap.max() < 0.3 * 4 * 6.1e-6  # the fluctuation closes to exp(-12)


def test_compressor_cycles_every_18_to_25_minutes(month):
    periods = []
    for place in places(6):
        minutes = days(place, MIDNIGHTS[:8], MILD[:8]).temperature_c[:, :-1].ravel()
        power = np.abs(np.fft.rfft(minutes - minutes.mean())) ** 2
        frequency = np.fft.rfftfreq(len(minutes))
        fast = frequency > 1 / 60
        periods.append(1 / frequency[fast][np.argmax(power[fast])])
    assert min(periods) >= 17.9
    assert max(periods) <= 25.1
    assert max(periods) - min(periods) > 1  # each room its own


def test_fluctuation_has_forty_minutes(month):
    """Autocorrelation at multiples of the compressor's period, where the cycle repeats."""
    series = (month - month.mean())[:, :-1].ravel()
    power = np.abs(np.fft.rfft(series)) ** 2
    frequency = np.fft.rfftfreq(len(series))
    fast = frequency > 1 / 60
    period = round(1 / frequency[fast][np.argmax(power[fast])])
    lags = [period * n for n in (1, 2, 3)]
    cycle = 0.2**2 * np.mean(np.clip(3 * np.cos(np.linspace(0, 2 * np.pi, 10_001)), -1, 1) ** 2)
    for lag in lags:
        covariance = (series[:-lag] * series[lag:]).mean()
        assert covariance == pytest.approx(0.09 * np.exp(-lag / 40) + cycle, abs=0.012)


def test_any_day_alone(month):
    alone = days(LOCATION, MIDNIGHTS[7:9], MILD[:2]).temperature_c
    assert alone.tobytes() == month[7:9].tobytes()


def test_humidity_is_50_give_or_take_4():
    humidity = np.concatenate(
        [days(place, MIDNIGHTS[:10], MILD[:10]).humidity_pct for place in places(20)]
    )
    assert humidity.shape == (200, 289)
    assert humidity.mean() == pytest.approx(50, abs=0.4)
    assert humidity.std() == pytest.approx(4, rel=0.06)
    assert np.abs(humidity[0, -1] - humidity[1, 0]) < 4 * 4 * 6.1e-6


def test_slot_means_by_trapezium():
    minutes = np.random.default_rng(3).normal(size=1441)
    made = room.slot_means(minutes)
    plain = [np.trapezoid(minutes[5 * s : 5 * s + 6], dx=1) / 5 for s in range(288)]
    assert made == pytest.approx(np.array(plain), abs=1e-12)
    assert room.slot_means(np.full(1441, 24.0)) == pytest.approx(np.full(288, 24.0), abs=1e-12)
