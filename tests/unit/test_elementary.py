"""Elementary functions against 50-digit arithmetic, and compiled against plain Python."""

import json
import math
import os
import subprocess
import sys
from itertools import pairwise

import mpmath
import numpy as np
import pytest

from fleetgen import elementary

DIGITS = 50
SQRT_HALF = math.sqrt(0.5)


@pytest.fixture(autouse=True)
def fifty_digits():
    with mpmath.workdps(DIGITS):
        yield


def spread(low, high, count, seed):
    """Evenly spaced points, random ones, and the ends."""
    drawn = np.random.default_rng(seed).uniform(low, high, count)
    return [*np.linspace(low, high, count).tolist(), *drawn.tolist(), low, high]


def neighbours(x, reach=3):
    """Floats around x, in order."""
    below = above = x
    points = [x]
    for _ in range(reach):
        below, above = np.nextafter(below, -math.inf), np.nextafter(above, math.inf)
        points = [float(below), *points, float(above)]
    return points


# --- e**x -----------------------------------------------------------------------------------------

EXPONENTS = [
    *spread(-700.0, 700.0, 800, 1),
    *spread(-1.0, 1.0, 800, 2),
    *(n * math.log(2) / 2 for n in range(-200, 201)),  # where the reduction changes over
    *(sign * 10.0**-n for n in range(1, 300, 7) for sign in (1, -1)),
]


def test_exponential_is_right_to_3e_16():
    worst = max(abs(mpmath.mpf(elementary.exponential(x)) / mpmath.exp(x) - 1) for x in EXPONENTS)
    assert worst < 3e-16


def test_exponential_at_special_values():
    assert elementary.exponential(0.0) == 1.0
    assert elementary.exponential(-0.0) == 1.0
    assert elementary.exponential(5e-324) == 1.0
    assert elementary.exponential(700.0) == pytest.approx(1.0142320547350045e304, rel=3e-16)
    assert elementary.exponential(700.1) == math.inf
    assert elementary.exponential(math.inf) == math.inf
    assert elementary.exponential(-700.1) == 0.0
    assert elementary.exponential(-math.inf) == 0.0
    assert math.isnan(elementary.exponential(math.nan))


def test_exponential_never_falls_as_its_argument_rises():
    points = sorted({p for x in EXPONENTS[::5] for p in neighbours(x, 2) if abs(p) <= 700})
    values = [elementary.exponential(x) for x in points]
    ratios = [b / a for a, b in pairwise(values)]
    # A polynomial may step back by an ulp between neighbours, never by more than its error.
    assert min(ratios) > 1 - 6e-16
    coarse = np.linspace(-700, 700, 5001)
    assert (np.diff([elementary.exponential(x) for x in coarse]) > 0).all()


# --- ln x -----------------------------------------------------------------------------------------

POSITIVES = [
    *spread(1e-6, 2.0, 800, 3),
    *spread(SQRT_HALF, 2 * SQRT_HALF, 800, 4),
    *(10.0**p for p in spread(-300, 300, 500, 5)),
    *(2.0**n for n in range(-1000, 1001, 13)),
    *neighbours(1.0),
    *neighbours(math.sqrt(2)),  # where the reduction changes over
    *neighbours(SQRT_HALF),
    sys.float_info.min,
    sys.float_info.max,
]


def test_logarithm_is_right_to_2e_16():
    def error(x):
        exact = mpmath.log(x)
        return abs(elementary.logarithm(x) - exact) / max(1, abs(exact))

    assert max(error(x) for x in POSITIVES) < 2e-16


def test_logarithm_keeps_its_relative_accuracy_at_1():
    """ln(1 + d) is d for the smallest d: uniform draws next to 1 make exponential ones."""
    for d in (2.0**-52, 2.0**-40, 1e-9, 1e-6):
        exact = mpmath.log(mpmath.mpf(1 + d))
        assert abs(elementary.logarithm(1 + d) / exact - 1) < 4e-16
    assert elementary.logarithm(1.0) == 0.0


def test_logarithm_never_falls_as_its_argument_rises():
    points = sorted(x for x in POSITIVES if 1e-300 < x < 1e300)
    values = [elementary.logarithm(x) for x in points]
    assert all(b >= a - 2e-16 * max(1, abs(a)) for a, b in pairwise(values))


def test_decimal_logarithm_of_powers_of_ten():
    for n in range(-300, 301):
        assert elementary.logarithm10(10.0**n) == pytest.approx(n, abs=4e-16 * max(1, abs(n)))


def test_exponential_undoes_the_logarithm():
    for x in POSITIVES:
        if 1e-290 < x < 1e290:
            error = abs(elementary.exponential(elementary.logarithm(x)) / x - 1)
            assert error < 1e-15 * max(1, abs(math.log(x)))


# --- x**y, cos ------------------------------------------------------------------------------------


@pytest.mark.parametrize("exponent", [0.3, 0.446, 0.821, 1.0, 2.0, -0.5, 0.0])
def test_power(exponent):
    for x in (1e-6, 0.01, 0.196, 1.0, 1.665, 3.0, 1e6):
        exact = mpmath.mpf(x) ** mpmath.mpf(exponent)
        assert abs(elementary.power(x, exponent) / exact - 1) < 5e-15


def test_cosine_is_right_to_1e_14_up_to_2_to_the_40():
    small = spread(-4.0, 4.0, 1000, 6)
    large = [s * (2.0**40 - i * 0.1875) for i in range(300) for s in (1, -1)]
    worst = max(
        abs(elementary.cosine_of_half_turns(x) - mpmath.cos(mpmath.pi * mpmath.mpf(x)))
        for x in [*small, *large, *neighbours(0.5), *neighbours(1.0), *neighbours(1.5)]
    )
    assert worst < 1e-14


def test_cosine_at_quarter_turns():
    for turns in range(-8, 9):
        assert elementary.cosine_of_half_turns(2.0 * turns) == 1.0
        assert elementary.cosine_of_half_turns(2.0 * turns + 1.0) == pytest.approx(-1, abs=1e-15)
        assert elementary.cosine_of_half_turns(turns + 0.5) == pytest.approx(0, abs=1e-15)


def test_cosine_is_even_and_stays_within_1():
    for x in spread(0.0, 3.0, 500, 7):
        value = elementary.cosine_of_half_turns(x)
        assert elementary.cosine_of_half_turns(-x) == pytest.approx(value, abs=2e-15)
        assert -1.0 <= value <= 1.0


# --- compiled and plain ---------------------------------------------------------------------------

PLAIN = """
import json, sys
from fleetgen import elementary
functions = [elementary.exponential, elementary.logarithm, elementary.logarithm10,
             elementary.cosine_of_half_turns]
assert not any(hasattr(f, "py_func") for f in functions), "compiled all the same"
print(json.dumps([[float(f(float.fromhex(x))).hex() for x in xs]
                  for f, xs in zip(functions, json.load(sys.stdin))]))
"""


def test_plain_python_gives_equal_bits():
    arguments = [EXPONENTS, POSITIVES, POSITIVES, spread(-9.0, 9.0, 300, 8)]
    functions = [
        elementary.exponential,
        elementary.logarithm,
        elementary.logarithm10,
        elementary.cosine_of_half_turns,
    ]
    compiled = [[float(f(x)).hex() for x in xs] for f, xs in zip(functions, arguments, strict=True)]
    done = subprocess.run(
        [sys.executable, "-c", PLAIN],
        input=json.dumps([[float(x).hex() for x in xs] for xs in arguments]),
        env={**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == compiled
