"""Jar temperature: closed forms, published rises, limits."""

from math import exp

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetgen.model import electrical, params, thermal
from tests import oracles

HEAT_J_PER_K = 30 * 800.0  # a jar of 30 kg


def warmed(temperature, dt, *, room=25.0, rise=0.0, k_per_w=0.9, heat=0.0):
    """Temperatures after one step of `dt` seconds; numbers stand for all jars."""
    t = np.array(temperature, float)
    n = len(t)
    k_per_w = np.broadcast_to(k_per_w, n).astype(float)
    decay = np.array([exp(-dt / (r * HEAT_J_PER_K)) for r in k_per_w])
    rise, heat = (np.broadcast_to(x, n).astype(float) for x in (rise, heat))
    thermal.warm(t, room, rise, k_per_w, decay, heat, np.empty(n))
    return t


# --- the step -------------------------------------------------------------------------------------


def test_a_lone_jar_follows_the_exponential():
    for dt in (1, 60, 300, 10_000, 1e6):
        made = warmed([25.0], dt, heat=10.0)[0]
        assert made == pytest.approx(25 + 9 * (1 - exp(-dt / 21_600)), abs=1e-10)


def test_the_step_is_exact_for_a_lone_jar():
    """Many short steps end where a long one does."""
    t = np.array([35.0])
    for _ in range(200):
        t = warmed(t, 90.0, heat=3.0)
    assert t[0] == pytest.approx(warmed([35.0], 18_000.0, heat=3.0)[0], abs=1e-9)


@pytest.mark.parametrize(("k_per_w", "hours"), [(0.7, 4.7), (0.9, 6.0), (1.1, 7.3)])
def test_time_constants(k_per_w, hours):
    """4.7 to 7.3 h: where 63 % of the way is gone."""
    made = warmed([25.0], hours * 3600, heat=10.0 / k_per_w, k_per_w=k_per_w)[0]
    assert (made - 25) / 10 == pytest.approx(1 - exp(-1), abs=0.005)


def test_balance_of_like_jars_on_float():
    """A jar's 0.68 W warms it by 0.61 K, a string of neighbours by 1 / (1 - 0.15) of it."""
    t = np.full(24, 25.0)
    for _ in range(600):
        t = warmed(t, 3600, heat=0.68)
    assert t == pytest.approx(np.full(24, 25 + 0.9 * 0.68 / 0.85), abs=1e-6)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(10, 60), st.floats(0, 2), st.floats(0.5, 1.5), st.floats(-20, 200)),
        min_size=1,
        max_size=24,
    ),
    st.floats(10, 45),
    st.integers(1, 3600),
)
def test_step_by_the_plain_law(jars, room, dt):
    temperature, rise, k_per_w, heat = (list(x) for x in zip(*jars, strict=True))
    made = warmed(temperature, dt, room=room, rise=rise, k_per_w=k_per_w, heat=heat)
    string = oracles.Cells(
        100.0,
        (),
        [
            oracles.Jar(
                r, HEAT_J_PER_K, lambda _, k=k: oracles.Slow(0, 1, 1, k_per_w=k), temperature_c=t
            )
            for t, r, k in zip(temperature, rise, k_per_w, strict=True)
        ],
    )
    string.warm(room, heat, dt)
    assert made == pytest.approx([jar.temperature_c for jar in string.jars], abs=1e-9)


def test_balance_of_unlike_jars_is_the_solution_of_its_equations():
    rng = np.random.default_rng(2)
    rise, k_per_w, heat = rng.uniform(0, 2, 6), rng.uniform(0.7, 1.1, 6), rng.uniform(0, 5, 6)
    t = np.full(6, 20.0)
    for _ in range(800):
        t = warmed(t, 3600, room=24.0, rise=rise, k_per_w=k_per_w, heat=heat)
    system = np.eye(6)
    for j in range(6):
        near = [k for k in (j - 1, j + 1) if 0 <= k < 6]
        for k in near:
            system[j, k] -= 0.15 / len(near)
    assert t - 24 == pytest.approx(np.linalg.solve(system, rise + k_per_w * heat), abs=1e-8)


def test_more_heat_is_warmer_and_no_heat_at_room_stays():
    assert warmed([25.0] * 5, 300.0) == pytest.approx([25.0] * 5, abs=1e-12)
    values = [warmed([25.0] * 5, 300.0, heat=w)[2] for w in range(0, 100, 10)]
    assert (np.diff(values) > 0).all()


# --- heat -----------------------------------------------------------------------------------------


def test_heat_in_discharge_is_polarisation_less_the_entropy():
    """100 A, 1.78 V under open circuit: 178 W less 100 x 6 x 0.2 mV/K x 298 K = 35.8 W."""
    made = thermal.discharge_heat_w(100.0, 11.0, 12.78, 25.0, 6.0)
    assert made == pytest.approx(178 - 35.778, abs=1e-9)


def test_a_slight_discharge_cools():
    assert thermal.discharge_heat_w(5.0, 12.7, 12.78, 25.0, 6.0) < 0


def test_heat_in_charge():
    """What gasses turns into heat wholly; what charges, as polarisation and entropy."""
    gassing = thermal.charge_heat_w(0.05, 0.0, 13.62, 12.78, 25.0, 6.0)
    assert gassing == pytest.approx(0.681, abs=1e-12)
    charging = thermal.charge_heat_w(10.0, 10.0, 13.0, 12.5, 25.0, 6.0)
    assert charging == pytest.approx(5 + 10 * 6 * 2e-4 * 298.15, abs=1e-9)
    both = thermal.charge_heat_w(10.0, 6.0, 14.0, 12.7, 25.0, 6.0)
    assert both == pytest.approx(6 * 1.3 + 6 * 6 * 2e-4 * 298.15 + 4 * 14, abs=1e-9)


def rise_in_discharge(current, end_v=10.5, dt=10.0):
    """Rise of a lone new jar, 100 Ah, at its room's temperature, and the time taken [K, min]."""
    f = params.DISCHARGE_FAMILIES["B"]
    family = np.array([1.428, 1.665, 0.821, 4.72, 0.0313])
    assert (f.capacity_factor, f.resistance_dc_mohm) == (1.428, 4.72)
    out, one, t, q, seconds = np.empty(1), np.ones(1), np.array([25.0]), 0.0, 0.0
    while True:
        electrical.discharge_voltages(
            current, current, q, 0.0, 6 * one, 100.0, family, np.array([q]), one, one, t, out
        )
        if out[0] <= end_v:
            return t[0] - 25, seconds / 60
        open_v = 6 * electrical.open_circuit_cell_v(electrical.acid_fraction(q, 100.0), t[0])
        heat = thermal.discharge_heat_w(current, float(out[0]), open_v, float(t[0]), 6.0)
        t = warmed(t, dt, heat=heat)
        q += current * dt / 3600
        seconds += dt


def test_rise_in_a_high_rate_discharge():
    """180 A to 10.5 V: 19.6 min, +6.0 K."""
    rise, minutes = rise_in_discharge(180.0)
    assert minutes == pytest.approx(19.6, rel=0.02)
    assert rise == pytest.approx(6.0, abs=0.3)


def test_rise_in_a_slow_discharge():
    """25 A to 10.5 V: 4.1 h, +0.4 to 0.7 K."""
    rise, minutes = rise_in_discharge(25.0)
    assert minutes / 60 == pytest.approx(4.1, rel=0.02)
    assert 0.4 <= rise <= 0.75  # of two digits


# --- places ---------------------------------------------------------------------------------------


def test_shelves_of_six():
    height, at_end = thermal.shelf_position(24)
    assert height.tolist() == [0.0] * 6 + [1 / 3] * 6 + [2 / 3] * 6 + [1.0] * 6
    assert at_end.tolist() == [True, False, False, False, False, True] * 4


def test_shelves_of_other_strings():
    height, at_end = thermal.shelf_position(1)
    assert (height.tolist(), at_end.tolist()) == ([0.0], [True])
    height, at_end = thermal.shelf_position(8)
    assert height.tolist() == [0.0] * 6 + [1.0] * 2
    assert at_end.tolist() == [True, False, False, False, False, True, True, True]
