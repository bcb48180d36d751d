"""The units in service: shares, ages, spreads, and that they follow from their ids alone."""

from dataclasses import replace
from datetime import date
from math import exp, log, sqrt

import numpy as np
import pytest
from scipy import stats

from fleetgen.config import load
from fleetgen.model import params, population, room

FLEET = load().to_fleet()
START = date(2025, 1, 1)
CASES = [
    (site.location, system, string)
    for site in FLEET.sites
    for system in site.systems
    for string in system.strings
]


def populate(case=0, seed=42, start=START):
    return population.populate(seed, *CASES[case], start)


@pytest.fixture(scope="module")
def fleet():
    """The populations of the whole fleet."""
    return [populate(i) for i in range(len(CASES))]


def joined(fleet, name):
    return np.concatenate([np.asarray(getattr(unit, name)) for unit in fleet])


def test_shares_of_the_profiles(fleet):
    """85, 12 and 3 %, within two points."""
    profile = joined(fleet, "profile")
    assert len(profile) == 1944
    shares = np.bincount(profile, minlength=3) / len(profile)
    assert shares == pytest.approx([0.85, 0.12, 0.03], abs=0.02)


def test_rates_are_those_of_the_profile(fleet):
    for unit in fleet:
        for j, index in enumerate(unit.profile):
            rate, grown = ((0.02, 0.05), (0.08, 0.15), (0.25, 0.40))[index]
            assert unit.rate_per_year[j] == rate
            assert unit.resistance_per_loss[j] == pytest.approx(grown / rate, rel=1e-12)


def test_nobody_is_worn_out_at_the_start(fleet):
    soh = joined(fleet, "soh_new") - joined(fleet, "loss")
    assert soh.min() >= 0.805 - 1e-4
    assert soh.mean() == pytest.approx(0.93, abs=0.015)
    assert joined(fleet, "loss").min() >= 0


def test_spreads_of_new_units(fleet):
    new = joined(fleet, "soh_new")
    assert (new.mean(), new.std()) == pytest.approx((1.0, 0.02), abs=0.002)
    ohmic = np.concatenate(
        [
            unit.new_mohm / (3.4 / 1.2 if string.model.discharge_type == "B" else 4.9)
            for unit, (_, _, string) in zip(fleet, CASES, strict=True)
        ]
    )
    assert (ohmic.mean(), ohmic.std()) == pytest.approx((1.0, 0.05), abs=0.004)
    accepted = joined(fleet, "acceptance_uohm") / joined(fleet, "new_mohm") / 1000 - 1
    assert (accepted.mean(), accepted.std()) == pytest.approx((0, 0.01), abs=0.001)


def test_float_constants_of_new_and_settled_strings(fleet):
    """0.15 between the jars of a settled string, 0.20 more when new; 0.20 between strings."""
    within = np.array([unit.ln_i0.std(ddof=1) for unit in fleet])
    assert sqrt((within**2).mean()) == pytest.approx(0.15, rel=0.05)
    means = [populate(i, seed).ln_i0.mean() for seed in range(4) for i in range(len(CASES))]
    sigma = sqrt(0.2**2 + 0.15**2 / 24)
    assert np.mean(means) == pytest.approx(log(0.5e-3), abs=4 * sigma / 18)
    assert np.std(means) == pytest.approx(sigma, rel=0.15)
    rate = np.exp(joined(fleet, "ln_i0"))
    assert np.quantile(rate, [0.02, 0.98]) == pytest.approx([0.3e-3, 1.0e-3], rel=0.25)
    unit = joined(fleet, "ln_i0_unit")
    assert stats.kstest(unit, "norm").pvalue > 1e-3


def test_ageing_spread_has_mean_one(fleet):
    spread = joined(fleet, "ageing_spread")
    assert spread.mean() == pytest.approx(1, abs=0.03)
    assert np.log(spread).std() == pytest.approx(sqrt(0.12**2 + 0.08**2), rel=0.1)


def test_ages(fleet):
    """A string is as old as its place, 0.3 to 5 years at the most; a jar not older than it."""
    for unit, (location, _, _) in zip(fleet, CASES, strict=True):
        place = (START - location.commissioned).days
        years = unit.age_days / 365.25
        assert years.min() >= 0
        assert unit.age_days.max() <= min(place, 5 * 365.25)
        healthy = unit.age_days[unit.profile == 0]
        assert healthy.max() - np.median(healthy) < 1  # as old as the string
        assert [(START - day).days for day in unit.installed] == unit.age_days.tolist()
        waits = [(a - b).days for a, b in zip(unit.installed, unit.manufactured, strict=True)]
        assert 30 <= min(waits) <= max(waits) < 120
    strings = np.array([unit.age_days.max() / 365.25 for unit in fleet])
    assert stats.kstest(strings, stats.uniform(0.3, 4.7).cdf).pvalue > 1e-3


def test_a_young_place_has_young_units():
    location = replace(CASES[0][0], commissioned=date(2024, 12, 1))
    unit = population.populate(42, location, *CASES[0][1:], START)
    assert unit.age_days.max() <= 31


def test_loss_so_far_is_the_laws(fleet):
    """At the place's mean climate: rate x spread x Arrhenius x over-voltage x age."""
    for case in (0, 20, 80):
        location, _, _ = CASES[case]
        unit = fleet[case]
        annual = sum(location.climate.mean_c) / 12
        room_c = room.target_c(location, 42) + 0.05 * (annual - 28)
        mean_ln, mean_rise = unit.ln_i0.mean(), unit.rise_k.mean()
        for j in range(24):
            jar_c = room_c + unit.rise_k[j]
            control = room_c + mean_rise
            v_set = 2.27 - 0.003 * (control - 25) if location.temperature_compensated else 2.27
            own = unit.ln_i0[j] + 0.06 * unit.rise_k[j]
            excess = v_set + (mean_ln + 0.06 * mean_rise - own) / 11
            excess -= 2.27 - 0.003 * (jar_c - 25)
            factor = min(6.0, max(0.7, exp(10 * excess)))
            factor *= exp(0.60 / 8.617e-5 * (1 / 298.15 - 1 / (jar_c + 273.15)))
            years = unit.age_days[j] / 365.25
            plain = unit.rate_per_year[j] * unit.ageing_spread[j] * factor * years
            assert unit.loss[j] == pytest.approx(plain, rel=1e-9)


def test_resistance_and_capacity_go_together_but_not_in_step(fleet):
    """Correlation of the ratio to new and SOH of -0.75 to -0.95; +25 to 60 % at SOH 0.80."""
    ratio, soh = [], []
    for unit in fleet:
        grown = 1 + unit.resistance_per_loss * unit.loss
        wander = np.exp(0.015 * np.random.default_rng(1).normal(size=len(grown)))
        ratio.append(grown * wander)
        soh.append(unit.soh_new - unit.loss)
    ratio, soh = np.concatenate(ratio), np.concatenate(soh)
    assert -0.97 <= np.corrcoef(ratio, soh)[0, 1] <= -0.75
    low = ratio[soh < 0.83]
    assert 1.2 <= low.min() <= low.max() <= 1.6


def test_places_in_the_cabinet(fleet):
    """Middle-top jars 0.5 to 2.5 K warmer than bottom-end ones, in closed cabinets."""
    ups = [u for u, (_, system, _) in zip(fleet, CASES, strict=True) if system.kind == "UPS"]
    rack = [u for u, (_, system, _) in zip(fleet, CASES, strict=True) if system.kind == "REC"]
    for units, low, high in ((ups, 0.5, 2.5), (rack, 0.1, 1.2)):
        rise = np.mean([unit.rise_k for unit in units], axis=0)
        assert low <= rise[[19, 20, 21, 22]].mean() - rise[[0, 5]].mean() <= high
    assert np.mean([u.cabinet_rise_k.mean() for u in ups]) == pytest.approx(
        1.5 * (0.3 + 0.5 * 0.5 + 0.4 * 4 / 6), abs=0.02
    )


def test_time_constants(fleet):
    """30 kg jars: 0.7 to 1.1 K/W and 24 kJ/K, 4.7 to 7.3 h."""
    for unit, (_, system, string) in zip(fleet, CASES, strict=True):
        hours = unit.thermal_k_per_w * unit.heat_j_per_k / 3600
        expected = unit.thermal_k_per_w * string.model.mass_kg * 800 / 3600
        assert hours == pytest.approx(expected, rel=1e-12)
        if string.model.mass_kg == 30 and system.kind == "UPS":
            assert (hours.min(), hours.max()) == pytest.approx((4.67, 7.33), abs=0.01)


def test_serial_numbers_are_unique_and_dated(fleet):
    serials = joined(fleet, "serial_number")
    assert len(set(serials)) == len(serials)
    unit, (_, _, string) = fleet[0], CASES[0]
    for serial, day in zip(unit.serial_number, unit.manufactured, strict=True):
        assert serial.startswith(f"{string.model.model_id}-{day:%y%m}-")
        assert len(serial.rsplit("-", 1)[1]) == 6


def test_a_unit_is_its_own_whatever_stands_beside_it():
    """Fewer jars, other strings and other places change no draw of a jar."""
    location, system, string = CASES[4]
    whole = population.populate(42, location, system, string, START)
    short = replace(string, jar_ids=string.jar_ids[:6])
    cut = population.populate(42, location, system, short, START)
    for name in ("profile", "soh_new", "ageing_spread", "new_mohm", "ln_i0", "acceptance_uohm"):
        assert np.asarray(getattr(cut, name)).tolist() == getattr(whole, name)[:6].tolist()
    other = population.populate(43, location, system, string, START)
    assert not np.intersect1d(whole.soh_new, other.soh_new).size


def test_draws_of_neighbours_do_not_correlate(fleet):
    new = np.stack([unit.soh_new for unit in fleet])  # (string, jar)
    for a, b in ((new[:, :-1], new[:, 1:]), (new[:-1], new[1:])):
        r = np.corrcoef(a.ravel(), b.ravel())[0, 1]
        assert abs(r) < 4 / sqrt(a.size)
    r = np.corrcoef(joined(fleet, "soh_new"), joined(fleet, "ln_i0_unit"))[0, 1]
    assert abs(r) < 4 / sqrt(1944)


# --- midnights ------------------------------------------------------------------------------------


def test_early_spread_fades():
    """Whole when new, 1/e of it after 180 days, and the wander of 0.04 on top."""
    ln_i0, unit = np.full(3, -7.6), np.array([1.0, -2.0, 0.0])
    out = np.empty((361, 3))
    population.float_constants(ln_i0, unit, np.zeros(3), 0, np.zeros((361, 3)), out)
    assert out[0] == pytest.approx(-7.6 + 0.20 * unit, abs=1e-12)
    assert out[180] == pytest.approx(-7.6 + 0.20 / np.e * unit, abs=1e-12)
    older = np.empty((1, 3))
    population.float_constants(ln_i0, unit, np.full(3, 100.0), 80, np.zeros((1, 3)), older)
    assert older[0] == pytest.approx(out[180], abs=1e-12)
    waved = np.empty((1, 3))
    population.float_constants(ln_i0, unit, np.full(3, 1e5), 0, np.ones((1, 3)), waved)
    assert waved[0] == pytest.approx(np.full(3, -7.56), abs=1e-12)


def test_resistance_grows_with_loss():
    """5 % for 2 % lost, linear; the wander is lognormal of 1.5 %."""
    loss = np.array([[0.0, 0.02], [0.2, 0.1]])
    out = np.empty((2, 2))
    none = np.zeros((2, 2))
    population.resistance_growth(np.full(2, 2.5), loss, none, none, out)
    assert out == pytest.approx(np.array([[1.0, 1.05], [1.5, 1.25]]), abs=1e-12)
    population.resistance_growth(np.full(2, 2.5), loss, none, np.ones((2, 2)), out)
    assert out[0, 0] == pytest.approx(exp(0.015), rel=1e-12)


def test_failures_add_to_the_resistance_of_a_new_jar():
    """Not to the grown one: +0.8 is 0.8 of new, whatever was lost."""
    loss, failed = np.array([[0.0, 0.02]]), np.array([[0.8, 0.8]])
    out = np.empty((1, 2))
    population.resistance_growth(np.full(2, 2.5), loss, failed, np.zeros((1, 2)), out)
    assert out[0] == pytest.approx([1.8, 1.85], abs=1e-12)


def test_constant_of_float_heat():
    """50 mA at 13.62 V; and the reference current's logarithm."""
    assert pytest.approx(0.05 * 13.62, abs=0.002) == population.FLOAT_POWER_W
    assert params.FLOAT_CURRENT.value == 0.5e-3
