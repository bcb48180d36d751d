"""Calendar ageing: published factors, yearly losses of the profiles, limits."""

from math import exp, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetgen.model import ageing
from fleetgen.spec import PROFILES

RATES = {"healthy": (0.02, 0.05), "accelerated": (0.08, 0.15), "failing": (0.25, 0.40)}


def walked(
    years,
    rate,
    *,
    room=25.0,
    rise=0.0,
    ln_i0=0.0,
    compensated=True,
    spread=1.0,
    new=1.0,
    **events,
):
    """Loss at each midnight of like days, one jar unless arrays are given, (day + 1, jar)."""
    rise, ln_i0, rate, spread, new = (
        np.atleast_1d(np.asarray(x, float)) for x in (rise, ln_i0, rate, spread, new)
    )
    n = max(len(x) for x in (rise, ln_i0, rate, spread, new))
    rise, ln_i0, rate, spread, new = (
        np.broadcast_to(x, n).copy() for x in (rise, ln_i0, rate, spread, new)
    )
    count = round(years * 365.25)
    return aged(
        days(np.full(count, float(room)), **events), compensated, rise, ln_i0, rate, spread, new
    ).loss


def days(room_c, **more):
    """Days without events but those given, each a value or one a day."""
    room_c = np.asarray(room_c, float)
    plain = dict.fromkeys(ageing.Days._fields, 0.0) | {"heat_factor": 1.0} | more
    return ageing.Days(
        room_c, *(np.zeros(len(room_c)) + plain[name] for name in ageing.Days._fields[1:])
    )


def one_jar(rate):
    """Rise, ln I0, rate, spread and new capacity of one jar at the reference condition."""
    return tuple(np.array([x]) for x in (0.0, 0.0, rate, 1.0, 1.0))


def aged(each, compensated, rise, ln_i0, rate, spread, new, mode_loss=0.0):
    """Wear of jars through days, (day + 1, jar); `ln_i0` and `mode_loss` per jar or midnight."""
    shape = (len(each.room_c) + 1, len(rise))
    out = ageing.Wear(*(np.empty(shape) for _ in range(3)))
    ln_i0, mode_loss = (np.zeros(shape) + x for x in (ln_i0, mode_loss))
    ageing.walk(
        each, compensated, rise, ln_i0, rate, spread, new, mode_loss, np.zeros(len(rise)), out
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


DUTY = 0.001 / 365.25
"""Loss a day by the expected discharges: 0.10 % a year, a part of each class's rate."""


@pytest.mark.parametrize("profile", PROFILES, ids=lambda p: p.name)
def test_a_year_at_the_reference_condition(profile):
    """25 degC, compensated, design duty: 2, 8, 25 % of capacity, 5, 15, 40 % of resistance."""
    loss = walked(1, profile.soh_per_year, cycling=DUTY)[-1, 0]
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
    loss = walked(years + 0.5, rate, cycling=DUTY)
    day = ageing.end_of_life_day(1 - loss)[0]
    assert day / 365.25 == pytest.approx(years, rel=1e-3)
    kappa = {0.02: 2.5, 0.08: 1.875, 0.25: 1.6}[rate]
    profile = next(p for p in PROFILES if p.soh_per_year == rate)
    assert profile.resistance_per_year / rate == pytest.approx(kappa)


def test_without_discharges_the_calendar_alone():
    assert walked(1, 0.02)[-1, 0] == pytest.approx(0.019 * 365 / 365.25, rel=1e-9)


def test_a_hot_room_without_compensation_ages_faster_than_with():
    with_, without = (walked(1, 0.02, room=35.0, compensated=c)[-1, 0] for c in (True, False))
    assert with_ == pytest.approx(0.019 * 365 / 365.25 * 2.13, rel=0.005)
    assert without / with_ == pytest.approx(exp(10 * 0.030), rel=1e-9)


def test_discharges_wear_by_the_root_of_the_arrhenius_factor():
    """A full discharge costs 0.077 % at 25 degC, 1.46 times that at 35."""
    cycling = np.zeros(10)
    cycling[4] = 0.20 / 260
    for room, factor in ((25.0, 1.0), (35.0, sqrt(2.13))):
        kept = aged(days(np.full(10, room)), True, *one_jar(0.02)).loss[:, 0]
        worn = aged(days(np.full(10, room), cycling=cycling), True, *one_jar(0.02)).loss[:, 0]
        assert worn[:5] == pytest.approx(kept[:5], rel=1e-12)
        # What follows is the calendar's, which does not depend on health above 80 %.
        assert worn[5:] - kept[5:] == pytest.approx(0.00077 * factor, rel=0.005)


def test_charger_deviations_age_as_an_overvoltage():
    """GNB 92.30: 60 mV/cell too much, nearly twice the rate; too little, 0.7 at the least."""
    plain, high, low, lower = (
        walked(0.2, 0.02, charger_v=v)[-1, 0] for v in (0.0, 0.06, -0.02, -0.06)
    )
    assert high / plain == pytest.approx(exp(0.6), rel=1e-9)
    assert low / plain == pytest.approx(exp(-0.2), rel=1e-9)
    assert lower / plain == pytest.approx(0.7, rel=1e-9)


def test_undercharge_sulfates():
    """0.04 % a day at 2.16 V/cell; none above 2.20; the charging resistance grows 15 fold of it."""
    for set_v, a_day in ((2.16, 4e-4), (2.18, 2e-4), (2.20, 0.0), (2.23, 0.0)):
        each = days(np.full(100, 25.0), charger_v=set_v - 2.27)
        wear = aged(each, True, *one_jar(0.02))
        assert wear.sulfated[:, 0] == pytest.approx(a_day * np.arange(101), abs=1e-9)
        assert wear.acceptance[:, 0] == pytest.approx(1 + 15 * wear.sulfated[:, 0], abs=1e-9)


def test_hours_below_90_percent_sulfate():
    """0.2 % of capacity a day without recharge."""
    wear = aged(days(np.full(4, 25.0), discharged_h=[0, 24, 6, 0]), True, *one_jar(0.02))
    assert wear.sulfated[:, 0] == pytest.approx([0, 0, 0.002, 0.0025, 0.0025], abs=1e-12)


def test_equalising_recovers_acceptance_but_no_capacity():
    """40 % of the growth of the charging resistance; SOH does not rise."""
    each = days(np.full(3, 25.0), discharged_h=[24, 0, 0], equalized=[0, 0, 1])
    wear = aged(each, True, *one_jar(0.02))
    assert wear.acceptance[:, 0] == pytest.approx([1, 1.03, 1.03, 1.018], abs=1e-12)
    assert wear.sulfated[:, 0] == pytest.approx([0, 0.002, 0.002, 0.002], abs=1e-12)


def test_a_year_by_plain_sums():
    """Unlike jars of one string through a year of weather and events, term by term."""
    rng = np.random.default_rng(5)
    n = 365
    each = days(
        24 + rng.normal(0, 2, n),
        jar_excess_k=np.where(rng.random(n) < 0.1, rng.uniform(0, 12, n), 0),
        heat_factor=1 + 0.2 * rng.random(n),
        charger_v=np.where(rng.random(n) < 0.3, rng.uniform(-0.11, 0.08, n), 0),
        cycling=np.where(rng.random(n) < 0.1, rng.uniform(0, 8e-4, n), 0),
        discharged_h=np.where(rng.random(n) < 0.1, rng.uniform(0, 24, n), 0),
        equalized=rng.random(n) < 0.02,
    )
    rise, spread = rng.uniform(0.5, 2.5, 4), np.array([1.0, 0.9, 1.1, 1.0])
    ln_i0 = rng.normal(0, 0.2, 4) + 0.1 * rng.random((n + 1, 4))
    rate = np.array([0.02, 0.08, 0.25, 0.25])
    new = np.array([1.0, 0.98, 1.01, 0.85])
    failed = np.array([0, 0, 0, 0.001]) * np.arange(n + 1)[:, np.newaxis] / 2
    for compensated in (True, False):
        out = aged(each, compensated, rise, ln_i0, rate, spread, new, failed)
        loss, sulfated, grown = ([x] * 4 for x in (0.0, 0.0, 1.0))
        for d in range(n):
            room = each.room_c[d] + each.jar_excess_k[d]
            control = room + sum(rise) / 4
            v_set = 2.27 - 0.003 * (control - 25) if compensated else 2.27
            v_set += each.charger_v[d]
            mean = sum(ln_i0[d]) / 4 + 0.06 * (control - 25)
            for j in range(4):
                jar = room + rise[j]
                cell_v = v_set + (mean - ln_i0[d, j] - 0.06 * (jar - 25)) / 11
                excess = cell_v - (2.27 - 0.003 * (jar - 25))
                f_t = exp(0.60 / 8.617e-5 * (1 / 298.15 - 1 / (jar + 273.15)))
                f_t *= each.heat_factor[d]
                soh = new[j] - loss[j] - sulfated[j] - failed[d, j]
                worn = 1 + 2 * max(0.0, (0.80 - soh) / 0.20) if soh > 0.6 else 5 * soh
                calendar = (rate[j] - 0.001) / 365.25 * spread[j] * f_t * worn
                loss[j] += calendar * min(6.0, max(0.7, exp(10 * excess)))
                loss[j] += each.cycling[d] * sqrt(f_t)
                added = 0.0004 * max(0.0, (2.20 - cell_v) / 0.04)
                added += 0.002 * each.discharged_h[d] / 24
                sulfated[j] += added if soh > 0.6 else 0.0
                grown[j] += 15 * added if soh > 0.6 else 0.0
                if each.equalized[d]:
                    grown[j] -= 0.4 * (grown[j] - 1)
        assert out.loss[-1] == pytest.approx(loss, rel=1e-10)
        assert out.sulfated[-1] == pytest.approx(sulfated, rel=1e-10)
        assert out.acceptance[-1] == pytest.approx(grown, rel=1e-10)
        assert min(sulfated) > 0.001


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
    made = ageing.end_of_life_day(1 - losses)
    assert made[0] == pytest.approx(1.5, abs=1e-9)
    assert made[1] == 0.0
    assert np.isnan(made[2])


def test_end_of_life_counts_from_the_new_capacity():
    losses = np.linspace(0, 0.3, 31)[:, np.newaxis] * np.ones(2)
    made = ageing.end_of_life_day(np.array([1.0, 0.95]) - losses)
    assert made == pytest.approx([20, 15], abs=1e-9)
