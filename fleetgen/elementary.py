"""Elementary functions in + - * / alone: equal bits on every CPU generation.

The C library's and NumPy's transcendental functions differ in the last bit between CPUs with and
without FMA or AVX-512; these do not. Errors below are against 50-digit arithmetic (tests).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from fleetgen.jit import kernel

_LOG2_E = 1.4426950408889634
_LN2_HIGH = 0.6931471803691238
_LN2_LOW = 1.9082149292705877e-10
_SQRT2 = 1.4142135623730951
_LOG10_E = 0.4342944819032518
_MANTISSA = np.int64(0x000FFFFFFFFFFFFF)
_ONE_BITS = np.int64(0x3FF0000000000000)
EXP_LIMIT = 700.0


@kernel
def exponential(x: float) -> float:
    """e**x, relative error below 3e-16 for |x| <= 700; 0 below, infinity above."""
    if x < -EXP_LIMIT:
        return 0.0
    if x > EXP_LIMIT:
        return np.inf
    scale = np.floor(x * _LOG2_E + 0.5)
    r = (x - scale * _LN2_HIGH) - scale * _LN2_LOW
    p = 1.0 / 6227020800.0
    p = p * r + 1.0 / 479001600.0
    p = p * r + 1.0 / 39916800.0
    p = p * r + 1.0 / 3628800.0
    p = p * r + 1.0 / 362880.0
    p = p * r + 1.0 / 40320.0
    p = p * r + 1.0 / 5040.0
    p = p * r + 1.0 / 720.0
    p = p * r + 1.0 / 120.0
    p = p * r + 1.0 / 24.0
    p = p * r + 1.0 / 6.0
    p = p * r + 0.5
    p = p * r + 1.0
    p = p * r + 1.0
    return float(p * np.int64((np.int64(scale) + np.int64(1023)) << np.int64(52)).view(np.float64))


@kernel
def logarithm(x: float) -> float:
    """Natural logarithm of a normal positive x, absolute error below 2e-16 * max(1, |ln x|)."""
    bits = np.float64(x).view(np.int64)
    power = (bits >> np.int64(52)) - np.int64(1023)
    m = np.int64((bits & _MANTISSA) | _ONE_BITS).view(np.float64)
    if m > _SQRT2:
        m = m * 0.5
        power += np.int64(1)
    s = (m - 1.0) / (m + 1.0)
    z = s * s
    p = 1.0 / 21.0
    p = p * z + 1.0 / 19.0
    p = p * z + 1.0 / 17.0
    p = p * z + 1.0 / 15.0
    p = p * z + 1.0 / 13.0
    p = p * z + 1.0 / 11.0
    p = p * z + 1.0 / 9.0
    p = p * z + 1.0 / 7.0
    p = p * z + 1.0 / 5.0
    p = p * z + 1.0 / 3.0
    k = np.float64(power)
    return k * _LN2_HIGH + (2.0 * s + (2.0 * s * z * p + k * _LN2_LOW))


@kernel
def logarithm10(x: float) -> float:
    """Decimal logarithm of a normal positive x."""
    return logarithm(x) * _LOG10_E


@kernel
def power(x: float, exponent: float) -> float:
    """x**exponent for a normal positive x."""
    return exponential(exponent * logarithm(x))


@kernel
def cosine_of_half_turns(x: float) -> float:
    """cos(pi * x), absolute error below 1e-14 for |x| <= 2**40."""
    turns = x - 2.0 * np.floor(x * 0.5)
    sign = 1.0
    if turns > 1.0:
        turns = 2.0 - turns
    if turns > 0.5:
        turns = 1.0 - turns
        sign = -1.0
    y = turns * 3.141592653589793
    z = y * y
    p = 1.0 / 2432902008176640000.0
    p = p * z - 1.0 / 6402373705728000.0
    p = p * z + 1.0 / 20922789888000.0
    p = p * z - 1.0 / 87178291200.0
    p = p * z + 1.0 / 479001600.0
    p = p * z - 1.0 / 3628800.0
    p = p * z + 1.0 / 40320.0
    p = p * z - 1.0 / 720.0
    p = p * z + 1.0 / 24.0
    p = p * z - 0.5
    p = p * z + 1.0
    return float(sign * p)


def total(values: Iterable[float]) -> float:
    """Sum of `values` in their order, rounded at each step.

    Python's own `sum` compensates its rounding from 3.12 on, NumPy's adds in an order of its own.
    """
    result = 0.0
    for value in values:
        result += value
    return result
