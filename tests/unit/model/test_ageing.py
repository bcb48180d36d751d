"""Calendar ageing: published factors, yearly losses of the profiles, limits."""

from math import exp

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetgen.model import ageing
from fleetgen.spec import PROFILES

RATES = {"healthy": (0.02, 0.05), "accelerated": (0.08, 0.15), "failing": (0.25, 0.40)}


def walked(years, rate, *, room=25.0, rise=0.0, ln_i0=0.0, compensated=True, spread=1.0, new=1.0):
    """Loss at each midnight of like days, one jar unless arrays are given, (day + 1, jar)."""
    rise, ln_i0, rate, spread, new = (
        np.atleast_1d(np.asarray(x, float)) for x in (rise, ln_i0, rate, spread, new)
    )
    n = max(len(x) for x in (rise, ln_i0, rate, spread, new))
    rise, ln_i0, rate, spread, new = (
        np.broadcast_to(x, n).copy() for x in (rise, ln_i0, rate, spread, new)
    )
    days = round(years * 365.25)
    out = np.empty((days + 1, n))
    ageing.walk(
        np.full(days, float(room)), compensated, rise, ln_i0, rate, spread, new, np.zeros(n), out
    )
    return out


# --- factors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("jar_c", "factor"), [(25, 1.0), (35, 2.13), (30, 1.47), (24, 0.92), (15, 1 / 2.25)]
)
def test_arrhenius_factor(jar_c, factor):
    """0.60 eV: x2.13 at 35 degC, x1.47 at 30, x0.92 at 24."""
    assert ageing.arrhenius_factor(float(jar_c)) == pytest.approx(factor, rel=0.005)


def test_arrhenius_factor_by_its_formula():
    for t in np.linspace(-10, 70, 81):
        plain = exp(0.60 / 8.617e-5 * (1 / 298.15 - 1 / (t + 273.15)))
        assert ageing.arrhenius_factor(t) == pytest.approx(plain, rel=1e-12)


def test_life_halves_for_nine_kelvin():
    """Between the vendors' 8.3 and 10 K."""
    values = [ageing.arrhenius_factor(25.0 + d) for d in (8.3, 10.0)]
    assert values[0] < 2 < values[1]


def test_overvoltage_factor():
    """GNB 92.30: 0.06 V/cell above halves life within 10 %; bounds of 0.7 and 6."""
    assert ageing.overvoltage_factor(0.0) == 1.0
    assert ageing.overvoltage_factor(np.log(2) / 10) == pytest.approx(2, rel=1e-12)
    assert ageing.overvoltage_factor(-0.2) == 0.7
    assert ageing.overvoltage_factor(0.5) == 6.0
    values = [ageing.overvoltage_factor(v) for v in np.linspace(-0.03, 0.17, 50)]
    assert (np.diff(values) > 0).all()


def test_excess_of_a_jar_at_its_strings_mean():
    """A jar like its string, at the control temperature, has the set-point's excess alone."""
    for jar_c in (20.0, 25.0, 35.0):
        compensated = 2.27 - 0.003 * (jar_c - 25)
        none = ageing.float_excess_cell_v(compensated, 0.3, 0.3, 1.0, 1.0, jar_c)
        assert none == pytest.approx(0, abs=1e-12)
    hot = ageing.float_excess_cell_v(2.27, 0.0, 0.0, 1.0, 1.0, 35.0)
    assert hot == pytest.approx(0.030, abs=1e-12)


def test_excess_follows_the_float_voltage():
    """A jar that gasses twice as much sits ln 2 / 11 V/cell lower, one 3 K hotter 16.4 mV."""
    low = ageing.float_excess_cell_v(2.27, np.log(2), 0.0, 0.0, 0.0, 25.0)
    assert low == pytest.approx(-np.log(2) / 11, abs=1e-12)
    hot = ageing.float_excess_cell_v(2.27, 0.0, 0.0, 3.0, 0.0, 28.0)
    assert hot == pytest.approx(-0.18 / 11 + 0.009, abs=1e-12)


def test_loss_speeds_up_below_80_percent():
    args = (0.08, 1.0, 1.0, 1.0)
    base = ageing.daily_loss(*args, 0.9)
    assert base == pytest.approx(0.08 / 365.25, rel=1e-12)
    assert ageing.daily_loss(*args, 0.80) == base
    assert ageing.daily_loss(*args, 0.70) == pytest.approx(2 * base, rel=1e-12)
    assert ageing.daily_loss(*args, 0.60) == pytest.approx(3 * base, rel=1e-12)


# --- years ----------------------------------------------------------------------------------------


def test_profiles_are_those_of_the_guide():
    made = {p.name: (p.soh_per_year, p.resistance_per_year) for p in PROFILES}
    assert made == RATES
    assert [p.share for p in PROFILES] == [0.85, 0.12, 0.03]


@pytest.mark.parametrize("profile", PROFILES, ids=lambda p: p.name)
def test_a_year_at_the_reference_condition(profile):
    """25 degC, compensated float: 2, 8, 25 % of capacity and 5, 15, 40 % of resistance."""
    loss = walked(1, profile.soh_per_year)[-1, 0]
    lost, grown = RATES[profile.name]
    years = 365 / 365.25
    if lost == 0.25:  # its last fifth lies below 80 % and goes faster
        assert years * lost < loss < 1.1 * lost
    else:
        assert loss == pytest.approx(years * lost, rel=1e-9)
        kappa = profile.resistance_per_year / profile.soh_per_year
        assert kappa * loss == pytest.approx(years * grown, rel=1e-9)


@pytest.mark.parametrize(("rate", "years"), [(0.02, 10.0), (0.08, 2.5), (0.25, 0.8)])
def test_years_to_80_percent(rate, years):
    loss = walked(years + 0.5, rate)
    day = ageing.end_of_life_day(loss, np.ones(1))[0]
    assert day / 365.25 == pytest.approx(years, rel=1e-3)
    kappa = {0.02: 2.5, 0.08: 1.875, 0.25: 1.6}[rate]
    profile = next(p for p in PROFILES if p.soh_per_year == rate)
    assert profile.resistance_per_year / rate == pytest.approx(kappa)


def test_a_hot_room_without_compensation_ages_faster_than_with():
    with_, without = (walked(1, 0.02, room=35.0, compensated=c)[-1, 0] for c in (True, False))
    assert with_ == pytest.approx(0.02 * 365 / 365.25 * 2.13, rel=0.005)
    assert without / with_ == pytest.approx(exp(10 * 0.030), rel=1e-9)


def test_a_year_by_plain_sums():
    """Unlike jars of one string through a year of weather, term by term."""
    rng = np.random.default_rng(5)
    room = 24 + rng.normal(0, 2, 365)
    rise, ln_i0 = rng.uniform(0.5, 2.5, 4), rng.normal(0, 0.2, 4)
    rate, spread = np.array([0.02, 0.08, 0.25, 0.25]), np.array([1.0, 0.9, 1.1, 1.0])
    new = np.array([1.0, 0.98, 1.01, 0.85])
    for compensated in (True, False):
        out = np.empty((366, 4))
        ageing.walk(room, compensated, rise, ln_i0, rate, spread, new, np.zeros(4), out)
        loss = [0.0] * 4
        for t in room:
            control = t + sum(rise) / 4
            v_set = 2.27 - 0.003 * (control - 25) if compensated else 2.27
            for j in range(4):
                jar = t + rise[j]
                own = ln_i0[j] + 0.06 * (jar - 25)
                mean = sum(ln_i0) / 4 + 0.06 * (control - 25)
                excess = v_set + (mean - own) / 11 - (2.27 - 0.003 * (jar - 25))
                factor = min(6.0, max(0.7, exp(10 * excess)))
                factor *= exp(0.60 / 8.617e-5 * (1 / 298.15 - 1 / (jar + 273.15)))
                soh = new[j] - loss[j]
                factor *= 1 + 2 * max(0.0, (0.80 - soh) / 0.20) if soh > 0.6 else 5 * soh
                loss[j] += rate[j] / 365.25 * spread[j] * factor
        assert out[-1] == pytest.approx(loss, rel=1e-10)


@settings(deadline=None, max_examples=30)
@given(
    st.lists(
        st.tuples(
            st.floats(0, 3),
            st.floats(-1, 1),
            st.sampled_from([0.02, 0.08, 0.25]),
            st.floats(0.5, 2),
            st.floats(0.9, 1.1),
        ),
        min_size=1,
        max_size=24,
    ),
    st.floats(15, 45),
    st.booleans(),
)
def test_soh_never_rises(jars, room, compensated):
    rise, ln_i0, rate, spread, new = zip(*jars, strict=True)
    out = walked(
        0.2,
        rate,
        room=room,
        rise=rise,
        ln_i0=ln_i0,
        compensated=compensated,
        spread=spread,
        new=new,
    )
    assert (np.diff(out, axis=0) > 0).all()


def test_a_worn_jar_keeps_a_capacity():
    """A failing jar that nobody replaces ends somewhere above nothing."""
    soh = 1 - walked(3, 0.25)[:, 0]
    assert soh.min() > 0


# --- the end --------------------------------------------------------------------------------------


def test_end_of_life_is_interpolated():
    losses = np.array([[0.10, 0.30, 0.10], [0.19, 0.31, 0.11], [0.21, 0.32, 0.12]])
    made = ageing.end_of_life_day(losses, np.ones(3))
    assert made[0] == pytest.approx(1.5, abs=1e-9)
    assert made[1] == 0.0
    assert np.isnan(made[2])


def test_end_of_life_counts_from_the_new_capacity():
    losses = np.linspace(0, 0.3, 31)[:, np.newaxis] * np.ones(2)
    made = ageing.end_of_life_day(losses, np.array([1.0, 0.95]))
    assert made == pytest.approx([20, 15], abs=1e-9)
