"""Remaining life of each jar, week by week, from what was measured of it before.

A jar ages at a pace of its own: growth of its resistance per year at 25 degC and nominal float.
Jars fall into classes of pace; each class ends its life at a growth of its own, the greater the
better the jar began. The growth since the acceptance test, over the years since, tells of the pace,
and so does a capacity test, each with a normal error: so that a pace's distribution in each class
and the classes' weights have closed forms. A jar may also fail unforeseen, at a constant hazard, or
be failing already: so the likelier, the faster its resistance has grown of late (Theil-Sen) and the
further its voltage leaves that of its string.

All of it is one probability of surviving, S(t); expectation, interval and probabilities of failure
are read from it. Constants are fitted on seeds that nothing is judged by (`rul_constants.toml`;
docs/rul.md). Nothing here knows the truth.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from functools import lru_cache
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fleetgen.elementary import exponential
from fleetgen.jit import kernel
from fleetgen.schema import RUL_HORIZON_DAYS, RUL_PREDICTION
from fleetgen.spec import NULL
from fleetgen.units import DAYS_PER_YEAR

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

END_CAPACITY = 0.80
"""Capacity over rated at which a life ends: IEEE 1188."""

_MONTH, _QUARTER = 30.0, 90.0


@kernel
def _exponentials(x: Floats) -> Floats:
    out = np.empty_like(x)
    for i in range(x.size):
        out[i] = exponential(x[i]) if x[i] == x[i] else x[i]
    return out


def exponentials(x: Floats) -> Floats:
    """e**x of an array of any shape; NaN of NaN."""
    return _exponentials(np.ascontiguousarray(x).ravel()).reshape(x.shape)


class Evidence(NamedTuple):
    """What is known on a day, each (unit,); NaN is unknown.

    Years since installation; mean rate of ageing over that at 25 degC and nominal float [1];
    capacity over rated in the acceptance test; growth of resistance since then [1], years that this
    level lies back, its trend [1/a]; deviation of voltage from the string's mean [V] and its drift
    [V/a]; capacity over rated in the last capacity test, years since installation then, and whether
    that is a lower bound (1) or not (0).
    """

    age_years: Floats
    stress: Floats
    capacity: Floats
    level: Floats
    lag_years: Floats
    trend: Floats
    deviation_v: Floats
    drift_v: Floats
    test_capacity: Floats
    test_age_years: Floats
    test_censored: Floats


@dataclass(frozen=True)
class Constants:
    """Constants of the estimator; of three classes of pace where there are three.

    `pace` growth of resistance per year at reference conditions, `odds` of a class before anything
    is known of a jar, over the first's; `growth_per_loss` growth of resistance per capacity lost;
    `pace_spread` of the jars of a class, relative; `level_error` of the growth since acceptance
    [1], `test_error` of a capacity test [1];
    `capacity_weight` how far the acceptance test's capacity is believed; `life_error` [d] of an end
    of life; `hazard` of failing unforeseen [1/a]. The log odds of failing already are `failing`
    plus `failing_trend` x trend [a] + `failing_deviation` x |deviation| [1/V] + `failing_drift` x
    outward drift [a/V]; what fails already lasts `failing_days` on average.
    """

    pace: tuple[float, ...]
    odds: tuple[float, ...]
    growth_per_loss: tuple[float, ...]
    pace_spread: float
    level_error: float
    test_error: float
    capacity_weight: float
    life_error: float
    hazard: float
    failing: float
    failing_trend: float
    failing_deviation: float
    failing_drift: float
    failing_days: float


@lru_cache(maxsize=1)
def constants() -> Constants:
    """The fitted constants that come with the package."""
    text = files("fleetgen.derive").joinpath("rul_constants.toml").read_text()
    values = tomllib.loads(text)["constants"]
    names = [f.name for f in fields(Constants)]
    return Constants(*(_frozen(values[name]) for name in names))


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


class Outlook(NamedTuple):
    """Distribution of the remaining life, seen from now.

    Of each class (class, unit): weight, end of life [d] and its logistic scale [d]. Of each unit:
    hazard [1/d], probability of failing already, and how long that takes [d].
    """

    weight: Floats
    end_days: Floats
    scale_days: Floats
    hazard_per_day: Floats
    failing: Floats
    failing_days: float


_LOGISTIC_PER_SIGMA = 0.5513288954217921
"""Scale of a logistic distribution of unit variance: sqrt(3) / pi."""

_SLOWEST = 0.2
"""A jar's pace over its class's is at least this: a life has an end."""

_LEAST_RESERVE = 0.02
"""Capacity over 0.80 that any new jar has."""


def outlook(known: Evidence, c: Constants) -> Outlook:
    """What the evidence says of the remaining life; NaN where there is no level.

    In each class the pace r is normal before (pace, pace_spread x pace); what is measured is
    linear in it: level = r x stress x (age - lag), and by a test growth_per_loss x (capacity -
    test_capacity) = r x stress x age then. Its precision and mean afterwards, and the evidence for
    the class, are those of normal theory. A test's lower bound is taken as its result where the
    level alone makes a worse one likely.
    """
    reserve = np.maximum(
        _LEAST_RESERVE, 1.0 + c.capacity_weight * (known.capacity - 1.0) - END_CAPACITY
    )
    years = known.stress * np.maximum(0.0, known.age_years - known.lag_years)
    level_weight = 1.0 / (c.level_error * c.level_error)
    tested = ~np.isnan(known.test_capacity) & (known.test_age_years > 0.0)
    test_years = np.where(tested, known.stress * known.test_age_years, 0.0)
    lost = np.where(tested, reserve + END_CAPACITY - known.test_capacity, 0.0)
    weights, ends, scales = [], [], []
    for pace, odds, kappa in zip(c.pace, c.odds, c.growth_per_loss, strict=True):
        prior = 1.0 / (c.pace_spread * pace * (c.pace_spread * pace))
        precision = prior + years * years * level_weight
        pull = prior * pace + years * known.level * level_weight
        misfit = prior * pace * pace + known.level * known.level * level_weight
        worse = (pull / precision) * test_years > kappa * lost
        test_weight = np.where(
            tested & ((known.test_censored == 0.0) | worse),
            1.0 / (kappa * c.test_error * (kappa * c.test_error)),
            0.0,
        )
        precision = precision + test_years * test_years * test_weight
        pull = pull + test_years * (kappa * lost) * test_weight
        misfit = misfit + kappa * lost * (kappa * lost) * test_weight
        mean = pull / precision
        weights.append((odds * np.sqrt(prior / precision), 0.5 * (misfit - pull * mean)))
        slow = np.maximum(mean, _SLOWEST * pace)
        life = DAYS_PER_YEAR * kappa * reserve / (slow * known.stress)
        ends.append(life - DAYS_PER_YEAR * known.age_years)
        spread = life * life / (precision * slow * slow) + c.life_error * c.life_error
        scales.append(_LOGISTIC_PER_SIGMA * np.sqrt(spread))
    factor, exponent = (np.stack(part) for part in zip(*weights, strict=True))
    weight = factor * exponentials(exponent.min(axis=0) - exponent)
    deviation = np.where(np.isnan(known.deviation_v), 0.0, known.deviation_v)
    drift = np.where(np.isnan(known.drift_v), 0.0, known.drift_v)
    trend = np.where(np.isnan(known.trend), 0.0, known.trend)
    outward = np.where(deviation < 0.0, -drift, drift)
    log_odds = c.failing + c.failing_trend * trend
    log_odds = log_odds + c.failing_deviation * np.abs(deviation) + c.failing_drift * outward
    return Outlook(
        weight / (weight[0] + weight[1] + weight[2]),
        np.stack(ends),
        np.stack(scales),
        c.hazard / DAYS_PER_YEAR * known.stress,
        1.0 / (1.0 + exponentials(-log_odds)),
        c.failing_days,
    )


def survival(seen: Outlook, days: Floats) -> Floats:
    """Probability of living for `days` more, (unit, instant), given (unit, instant) or (instant,).

    (1 - q) exp(-h t) sum_c w_c F((end_c - t) / scale_c) + q exp(-t / failing_days), over the same
    at 0; F is the logistic distribution.
    """

    def at(t: Floats) -> Floats:
        worn = np.zeros(np.broadcast_shapes(t.shape, (len(seen.failing), 1)))
        for weight, end, scale in zip(seen.weight, seen.end_days, seen.scale_days, strict=True):
            late = (t - end[:, np.newaxis]) / scale[:, np.newaxis]
            worn = worn + weight[:, np.newaxis] / (1.0 + exponentials(late))
        sound = worn * exponentials(-seen.hazard_per_day[:, np.newaxis] * t)
        failing = exponentials(np.broadcast_to(-t / seen.failing_days, sound.shape))
        q = seen.failing[:, np.newaxis]
        return (1.0 - q) * sound + q * failing

    return at(np.atleast_2d(days)) / at(np.zeros((1, 1)))


def _nodes() -> Floats:
    days = [0]
    while days[-1] < RUL_HORIZON_DAYS:
        days.append(min(RUL_HORIZON_DAYS, days[-1] + max(5, days[-1] // 32)))
    return np.array(days, np.float64)


NODES = _nodes()
"""Days at which a distribution is evaluated."""


def _until(alive: Floats, probability: float) -> Floats:
    """Days for which a unit survives with at least `probability`, (unit,)."""
    i = np.maximum(1, np.minimum(np.count_nonzero(alive >= probability, axis=1), len(NODES) - 1))
    row = np.arange(len(alive))
    high, low = alive[row, i - 1], alive[row, i]
    step = np.where(high > low, (high - probability) / np.where(high > low, high - low, 1.0), 1.0)
    days: Floats = NODES[i - 1] + np.clip(step, 0.0, 1.0) * (NODES[i] - NODES[i - 1])
    return days


def predict(known: Evidence, c: Constants) -> dict[str, Ints]:
    """Columns of `rul_prediction` as counts, each (unit,); NULL where there is no level.

    The expectation is that of the life up to `RUL_HORIZON_DAYS`, held within the interval.
    """
    seen = outlook(known, c)
    alive = survival(seen, NODES)
    expected = np.zeros(len(alive))
    for i in range(1, len(NODES)):
        expected = expected + 0.5 * (alive[:, i - 1] + alive[:, i]) * (NODES[i] - NODES[i - 1])
    lower, upper = _until(alive, 0.9), _until(alive, 0.1)
    soon = 1.0 - survival(seen, np.array([_MONTH, _QUARTER]))
    values = {
        "rul_days": np.minimum(np.maximum(expected, lower), upper),
        "rul_lower_ci_days": lower,
        "rul_upper_ci_days": upper,
        "failure_probability_30d": soon[:, 0],
        "failure_probability_90d": soon[:, 1],
        "confidence_score": 1.0 - (upper - lower) / np.maximum(upper + lower, 1.0),
    }
    unknown = np.isnan(expected)
    return {
        name: np.where(
            unknown,
            NULL,
            np.floor(np.where(unknown, 0.0, v) * RUL_PREDICTION.column(name).per_unit + 0.5).astype(
                np.int64
            ),
        )
        for name, v in values.items()
    }
