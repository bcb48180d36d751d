"""Failure modes: how often they begin, how long they take, and what they show on the way."""

from dataclasses import replace
from functools import lru_cache
from math import e, exp, sqrt

import numpy as np
import pytest
from scipy import stats

from fleetgen.model import failures
from fleetgen.spec import DEFAULT_SCENARIO, PROFILES, Injection, Scenario

START_S = 1_735_664_400  # 2025-01-01T00:00+07:00
DAY_S = 86_400
YEAR_S = 365.25 * DAY_S
MODES = ("dry_out", "corrosion", "sulfation", "internal_short")
MONTH_D = 365.25 / 12
LEADS_D = {  # 6-24, 12-36 and 3-12 months, 2-8 weeks
    "dry_out": (6 * MONTH_D, 24 * MONTH_D),
    "corrosion": (12 * MONTH_D, 36 * MONTH_D),
    "sulfation": (3 * MONTH_D, 12 * MONTH_D),
    "internal_short": (14, 56),
}


def drawn(
    jars, rate=0.02, factor=1.0, years=10.0, headroom=1.0, scenario=DEFAULT_SCENARIO, name="J"
):
    """Failures of `jars` units of `years` of age."""
    ids = tuple(f"{name}{i}" for i in range(jars))
    age, rates, factors, room = (
        np.full(jars, float(x)) for x in (years * 365.25, rate, factor, headroom)
    )
    return failures.draw(42, ids, START_S, 2025, age, rates, factors, room, scenario)


@lru_cache(maxsize=1)
def many():
    """Failures that begin after the start: of a class that has many."""
    found = drawn(12_000, rate=0.25)
    return found, (found.mode >= 0) & (found.onset_s >= START_S)


def hazard(found, years):
    """Modes begun in the first years over jar-years at risk."""
    begun = at_risk = 0
    begins = np.where(found.mode >= 0, (found.onset_s - START_S) / YEAR_S, np.inf)
    for year in range(years):
        at_risk += int((begins >= year).sum())
        begun += int(((begins >= year) & (begins < year + 1)).sum())
    return begun, at_risk


# --- how often ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("profile", "yearly", "jars"),
    [("healthy", 0.008, 12_000), ("accelerated", 0.04, 6000), ("failing", 0.15, 4000)],
)
@pytest.mark.parametrize(("factor", "scale"), [(1.0, 1.0), (2.13, 1.0), (1.0, 2.0), (0.92, 0.5)])
def test_rates_by_class(profile, yearly, jars, factor, scale):
    """0.8, 4 and 15 % a year at 25 degC, by the jar's rate of ageing and the scenario's scale."""
    rate = next(p.soh_per_year for p in PROFILES if p.name == profile)
    found = drawn(jars, rate, factor, scenario=Scenario(hazard_scale=scale), name=profile)
    begun, at_risk = hazard(found, 8)
    chance = 1 - exp(-yearly * factor * scale)
    expected = at_risk * chance
    assert begun == pytest.approx(expected, abs=4 * sqrt(expected * (1 - chance)))


def test_without_hazard_nothing_fails():
    assert (drawn(3000, 0.25, scenario=Scenario(hazard_scale=0.0)).mode == -1).all()


def test_the_mix_of_modes():
    found, later = many()
    counts = np.bincount(found.mode[later], minlength=4)
    assert counts.sum() > 5000
    shares = np.array([0.25, 0.25, 0.22, 0.28])  # dry-out, corrosion, sulfation, short
    assert failures.MODES[:4] == MODES
    assert stats.chisquare(counts, shares * counts.sum()).pvalue > 1e-3


def test_leads():
    """Uniform in the mode's range; 30 % take a quarter of it."""
    found, later = many()
    for code, mode in enumerate(MODES):
        which = later & (found.mode == code)
        days = (found.end_s - found.onset_s)[which] / DAY_S
        low, high = LEADS_D[mode]
        usual, early = (stats.uniform(f * low, f * (high - low)) for f in (1.0, 0.25))

        def law(x, usual=usual, early=early):
            return 0.7 * usual.cdf(x) + 0.3 * early.cdf(x)

        # 1.95 / sqrt(n) is of 0.1 %; a month is of 30 days or of 30.4.
        assert stats.kstest(days, law).statistic < 1.95 / sqrt(len(days)) + 0.01
        assert 0.25 * low - 1 <= days.min() < 0.27 * low + 1
        assert 0.98 * high < days.max() <= high + 1
        if mode in ("corrosion", "internal_short"):  # of which the early ones lie apart
            share = (days < 0.999 * low).mean()
            assert share == pytest.approx(0.30, abs=3.5 * sqrt(0.21 / len(days)))


def test_no_two_failures_are_alike():
    """Amplitudes lognormal of 0.25, exponents uniform from 0.8 to 1.3, of the table's."""
    found, later = many()
    z = np.log(found.amplitude[later]) / 0.25
    assert stats.kstest(z, "norm").pvalue > 1e-3
    assert stats.kstest(found.exponent[later], stats.uniform(0.8, 0.5).cdf).pvalue > 1e-3
    short = later & (found.mode == failures.SHORT)
    assert stats.kstest(found.resistance[short], stats.uniform(-0.05, 0.15).cdf).pvalue > 1e-3
    assert not found.resistance[later & ~short].any()


def test_the_clock_began_three_years_before():
    """So that some are under way; none has ended, or begun before its unit."""
    found = drawn(12_000, rate=0.08)
    failing = found.mode >= 0
    assert (found.end_s[failing] > START_S).all()
    before = failing & (found.onset_s < START_S)
    assert 12_000 * 0.01 < before.sum() < 12_000 * 0.06
    years = (START_S - found.onset_s[before]) / YEAR_S
    assert 2 < years.max() <= 3
    young = drawn(12_000, rate=0.08, years=0.5)
    begun = young.mode >= 0
    assert (young.onset_s[begun] >= START_S - 183 * DAY_S).all()
    assert (young.onset_s[begun] < START_S).any()


def test_nobody_is_worn_out_by_a_mode_at_the_start():
    """A unit that it would have worn below 80 % has been replaced."""
    at_start = np.array([START_S])
    for headroom in (0.01, 0.1):
        found = drawn(6000, rate=0.25, headroom=headroom)
        lost = failures.effects(found, None, at_start, 6.0).loss[0]
        assert lost.max() <= headroom + 1e-9
        assert lost.max() > 0.5 * headroom


def test_a_jar_is_its_own_whatever_stands_beside_it():
    whole = drawn(400, rate=0.25)
    part = drawn(30, rate=0.25)
    for name in ("mode", "onset_s", "end_s", "amplitude", "exponent", "resistance"):
        assert getattr(part, name).tolist() == getattr(whole, name)[:30].tolist()


def test_more_hazard_moves_failures_nearer():
    """The same draws: a jar that fails at scale 1 does so at scale 2, at the latest then."""
    one, two = (drawn(4000, 0.08, scenario=Scenario(hazard_scale=x)) for x in (1.0, 2.0))
    later = (one.mode >= 0) & (one.onset_s >= START_S)
    assert (two.onset_s[later] <= one.onset_s[later]).all()
    assert (two.onset_s[later] < one.onset_s[later]).any()


# --- injected -------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_an_injected_failure_is_as_injected(mode):
    """At its instants, of the law's size, whatever the hazard; its neighbours are untouched."""
    onset, length = START_S - 20 * DAY_S, 111 * DAY_S + 5
    injected = Injection("failure_mode", "J1", onset, length, mode)
    for scale in (0.0, 1.0):
        scenario = Scenario(hazard_scale=scale, injections=(injected,))
        found = drawn(300, 0.25, scenario=scenario)
        assert failures.MODES[found.mode[1]] == mode
        assert (found.onset_s[1], found.end_s[1]) == (onset, onset + length)
        assert (found.amplitude[1], found.exponent[1], found.resistance[1]) == (1.0, 1.0, 0.0)
        plain = drawn(300, 0.25, scenario=replace(scenario, injections=()))
        others = np.arange(300) != 1
        assert found.mode[others].tolist() == plain.mode[others].tolist()
        assert found.end_s[others].tolist() == plain.end_s[others].tolist()


# --- what they show -------------------------------------------------------------------------------

TABLE = {  # at p = 0.5 and 1, from the amplitudes and powers of the table
    "dry_out": {
        "loss": (0.35 / 4, 0.35),
        "growth": (1.5 * 0.5**1.3, 1.5),
        "ln_i0": (0.5**1.5, 1.0),
        "heat_w": (0.5, 2.0),
        "thermal": (1.2, 1.4),
    },
    "corrosion": {"loss": (0.125, 0.25), "growth": (0.2, None)},  # and steps, near the end
    "sulfation": {
        "loss": (0.225, 0.45),
        "growth": (0.25, 0.5),
        "ln_i0": (-0.35, -0.7),
        "acceptance": (3.0, 5.0),
    },
    "internal_short": {
        "loss": (0.075, 0.15),
        "heat_w": (2.5 / 8, 2.5),
        "cells": (6 - 0.15 / 8, 5.85),
        "leak": (0.15 / 8, 0.15),
    },
}
UNHURT = dict(loss=0, growth=0, ln_i0=0, heat_w=0, cells=6, leak=0, thermal=1, acceptance=1)


def injected(mode, days=400, jars=3):
    """A mode in the second jar of a string, from the start on."""
    forced = Injection("failure_mode", "J1", START_S, days * DAY_S, mode)
    return drawn(jars, scenario=Scenario(hazard_scale=0.0, injections=(forced,)))


@pytest.mark.parametrize("mode", MODES)
def test_effects_of_a_mode(mode):
    """By the table of modes; before its onset and in other jars nothing."""
    midnights = START_S + DAY_S * np.array([-1, 0, 200, 400])
    made = failures.effects(injected(mode), None, midnights, 6.0)
    for name, plain in UNHURT.items():
        values = getattr(made, name)
        half, whole = TABLE[mode].get(name, (plain, plain))
        assert values[:, [0, 2]] == pytest.approx(np.full((4, 2), plain), abs=0)
        assert values[:2, 1] == pytest.approx([plain, plain], abs=0)
        assert values[2, 1] == pytest.approx(half, rel=1e-9)
        if whole is not None:
            assert values[3, 1] == pytest.approx(whole, rel=1e-9)


def test_effects_scale_with_amplitude_and_exponent():
    """Of a drawn failure: a x A p^(e b)."""
    found = injected("dry_out")
    found.amplitude[1], found.exponent[1] = 1.2, 0.9
    made = failures.effects(found, None, np.array([START_S + 100 * DAY_S]), 6.0)
    assert made.loss[0, 1] == pytest.approx(1.2 * 0.35 * 0.25**1.8, rel=1e-9)
    assert made.growth[0, 1] == pytest.approx(1.2 * 1.5 * 0.25**1.17, rel=1e-9)
    assert made.ln_i0[0, 1] == pytest.approx(1.2 * 0.25**1.35, rel=1e-9)
    assert made.thermal[0, 1] == pytest.approx(1 + 1.2 * 0.4 * 0.25, rel=1e-9)


def test_resistance_of_a_short_changes_by_its_draw():
    found = injected("internal_short", days=40)
    found.resistance[1] = -0.05
    made = failures.effects(found, None, START_S + DAY_S * np.array([20, 40]), 6.0)
    assert made.growth[:, 1] == pytest.approx([-0.025, -0.05], rel=1e-9)


def test_a_dry_jar_floats_above_its_open_circuit():
    """However large the draw, ln I0 rises by less than 1.4: 12.86 V of 13.62."""
    found = injected("dry_out")
    found.amplitude[1] = exp(0.25 * 5)
    made = failures.effects(found, None, np.array([START_S + 400 * DAY_S]), 6.0)
    assert 1.0 < made.ln_i0[0, 1] < 1.4


def test_corrosion_comes_and_goes_near_its_end():
    """10 to 30 % for 1 to 5 days once p > 0.7, upwards of the resistance, downwards of what
    corrosion has added; on the smooth law else."""
    days = 1000
    hours = START_S + 3600 * np.arange(24 * days + 1)
    ratios, lengths = [], []
    p = np.arange(len(hours)) / (24 * days)
    smooth = 1 + 0.8 * p**2
    for seed_name in range(4):
        forced = Injection("failure_mode", f"K{seed_name}-1", START_S, days * DAY_S, "corrosion")
        scenario = Scenario(hazard_scale=0.0, injections=(forced,))
        found = drawn(2, scenario=scenario, name=f"K{seed_name}-")
        change = 1 + failures.effects(found, None, hours, 6.0).growth[:, 1] - smooth
        assert change[p <= 0.7] == pytest.approx(np.zeros((p <= 0.7).sum()), abs=1e-12)
        ratio = 1 + np.where(change > 0, change / smooth, change / np.maximum(smooth - 1, 1e-9))
        ratio = np.round(ratio[p > 0.7], 9)
        edges = np.flatnonzero(np.diff(ratio)) + 1
        for run in np.split(ratio, edges)[1:-1]:
            if run[0] != 1:
                ratios.append(run[0])
                lengths.append(len(run) / 24)
    sizes = np.abs(np.array(ratios) - 1)
    assert len(sizes) > 50
    assert 0.1 - 1e-6 <= sizes.min() < 0.12 < 0.28 < sizes.max() <= 0.3 + 1e-6
    assert 1 - 1 / 24 <= min(lengths) < 1.7 < 4.3 < max(lengths) <= 5 + 1 / 24
    assert {r > 1 for r in ratios} == {True, False}


def test_what_has_begun_goes_on_after_the_end_at_a_fading_rate():
    """Dry-out costs 0.35 p^2; p follows 1.2 - 0.2 exp(-(t - 1) / 0.2) from the end on, without a
    kink. A dead cell stays one."""
    lead_s = 400 * DAY_S
    found = injected("dry_out", days=400)
    beyond = np.array([0.999, 1.0, 1.001, 1.2, 5.0])
    made = failures.effects(found, None, START_S + (beyond * lead_s).astype(np.int64), 6.0)
    p = [0.999, 1.0, 1.001, 1.2 - 0.2 / e, 1.2]
    assert made.loss[:, 1] == pytest.approx([0.35 * each**2 for each in p], abs=2e-6)
    later = START_S + DAY_S * np.array([30, 90])
    short = failures.effects(injected("internal_short", days=30), None, later, 6.0)
    assert short.loss[:, 1] == pytest.approx([0.15, 0.15])


def test_capacity_never_comes_back():
    """The loss by drawn failures never falls."""
    found = drawn(300, rate=0.25)
    weeks = START_S + 7 * DAY_S * np.arange(0, 20 * 52)
    made = failures.effects(found, None, weeks, 6.0)
    assert (np.diff(made.loss, axis=0) >= 0).all()
    failing = found.mode >= 0
    assert (made.loss[-1, failing & (found.end_s < weeks[-1])] > 0.05).all()
    assert not made.loss[:, ~failing].any()
    assert (np.diff(made.cells, axis=0) <= 0).all()
    assert (np.diff(made.leak, axis=0) >= 0).all()


# --- runaways -------------------------------------------------------------------------------------


def precursors(count=3000, compensated=False, scenario=DEFAULT_SCENARIO):
    return [
        failures.precursor(7, f"S{i}", 24, START_S, 2025, compensated, scenario)
        for i in range(count)
    ]


def test_strings_begin_to_dry_out_where_nobody_compensates():
    """0.10 a string-year there, none elsewhere; 60 to 180 days; +1.2 to 1.6, 0.3 jar to jar."""
    assert not any(precursors(500, compensated=True))
    assert not any(precursors(500, scenario=Scenario(hazard_scale=0.0)))
    for scale in (1.0, 2.0):
        found = precursors(scenario=Scenario(hazard_scale=scale))
        begins = np.array([(p.onset_s - START_S) / YEAR_S if p else np.inf for p in found])
        at_risk = sum(int((begins >= year).sum()) for year in range(5))
        begun = int(((begins >= 0) & (begins < 5)).sum())
        chance = 1 - exp(-0.10 * scale)
        assert begun == pytest.approx(at_risk * chance, abs=4 * sqrt(at_risk * chance))
        assert all(p.end_s > START_S for p in found if p)
    found = [p for p in found if p]
    days = np.array([(p.end_s - p.onset_s) / DAY_S for p in found if p.onset_s > START_S])
    assert stats.kstest(days, stats.uniform(60, 120).cdf).pvalue > 1e-3
    rises = np.stack([p.ln_rise for p in found])
    assert rises.mean() == pytest.approx(1.4, abs=0.02)
    assert rises.std(axis=1, ddof=1).mean() == pytest.approx(0.3, rel=0.05)
    assert rises.mean(axis=1).std() == pytest.approx(sqrt(0.4**2 / 12 + 0.09 / 24), rel=0.1)


def test_effects_of_a_precursor():
    """All jars: -0.2 p, +0.6 p, their rise p, thermal resistance x (1 + 0.3 p)."""
    forced = Injection("failure_mode", "S1", START_S, 100 * DAY_S, "thermal_runaway")
    scenario = Scenario(hazard_scale=0.0, injections=(forced,))
    for compensated in (True, False):
        found = failures.precursor(7, "S1", 24, START_S, 2025, compensated, scenario)
        assert (found.onset_s, found.end_s) == (START_S, START_S + 100 * DAY_S)
        assert failures.precursor(7, "S2", 24, START_S, 2025, compensated, scenario) is None
    assert 1.2 < found.ln_rise.mean() < 1.8
    days = START_S + DAY_S * np.array([-5, 0, 50, 100, 200])
    made = failures.effects(drawn(24, scenario=Scenario(hazard_scale=0.0)), found, days, 6.0)
    p = np.array([0, 0, 0.5, 1, 1])[:, np.newaxis]
    assert made.loss == pytest.approx(0.2 * p + np.zeros(24), rel=1e-12)
    assert made.growth == pytest.approx(0.6 * p + np.zeros(24), rel=1e-12)
    assert made.ln_i0 == pytest.approx(found.ln_rise * p, rel=1e-12)
    assert made.thermal == pytest.approx(1 + 0.3 * p + np.zeros(24), rel=1e-12)
    assert (made.cells == 6).all()
