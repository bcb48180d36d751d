"""Scores against their definitions, row by row."""

import json
from math import exp

import numpy as np
import pytest

from fleetgen.derive import scores
from fleetgen.derive.scores import Scores
from fleetgen.schema import RUL_HORIZON_DAYS
from fleetgen.spec import NULL

COLUMNS = ("rul_days", "rul_lower_ci_days", "rul_upper_ci_days", "failure_probability_90d")


def predicted(*rows):
    return {
        name: np.array(values, np.int64)
        for name, values in zip(COLUMNS, zip(*rows, strict=True), strict=True)
    }


def scored(rows, truth):
    found = Scores()
    found.add(predicted(*rows), np.array(truth, float))
    return found


def many(count=4000, seed=5):
    draw = np.random.default_rng(seed)
    true = draw.exponential(600, count) + 1
    rul = np.floor(true * draw.lognormal(0, 0.4, count)).astype(np.int64)
    chance = np.floor(10_000 / (1 + np.exp((true - 90) / 100 + draw.normal(0, 1, count))))
    return np.stack([rul, rul * 6 // 10, rul * 15 // 10, chance.astype(np.int64)], axis=1), true


def test_by_hand():
    found = scored([(100, 50, 150, 9000), (400, 350, 500, 10)], [70.0, 700.0])
    assert found.rows == 2
    assert found.rmse_days == pytest.approx(np.sqrt((30**2 + 300**2) / 2))
    assert found.coverage == 0.5
    assert found.auc == 1.0
    # A month late, and ten months early.
    assert found.phm08 == pytest.approx((exp(1 / 10) - 1 + exp(10 / 13) - 1) / 2, abs=1e-6)
    assert found.r2 == pytest.approx(1 - (30**2 + 300**2) / (2 * 315**2))


def test_against_definitions():
    rows, true = many()
    found = scored(rows, true)
    days = np.floor(true + 0.5)
    error = rows[:, 0] - days
    assert found.rmse_days == pytest.approx(np.sqrt(np.mean(error**2)), rel=1e-12)
    assert found.r2 == pytest.approx(1 - np.mean(error**2) / np.var(days), rel=1e-9)
    assert found.coverage == np.mean((rows[:, 1] <= days) & (days <= rows[:, 2]))
    months = error / 30
    each = [exp(-d / 13) - 1 if d < 0 else exp(d / 10) - 1 for d in months]
    assert found.phm08 == pytest.approx(np.mean(each), abs=1e-6)
    p, soon = rows[:, 3], true <= 90
    pairs = p[soon][:, np.newaxis] - p[~soon]
    assert found.auc == pytest.approx(np.mean((pairs > 0) + 0.5 * (pairs == 0)), abs=0.005)


def test_sketches_add_up_in_any_order():
    rows, true = many()
    whole = scored(rows, true)
    parts = [scored(rows[i::3], true[i::3]) for i in range(3)]
    for order in ((0, 1, 2), (2, 0, 1)):
        found = Scores()
        for i in order:
            found.merge(Scores(**json.loads(json.dumps(parts[i].counts()))))
        assert found == whole


def test_a_life_without_an_end_counts_as_the_horizon():
    found = scored([(RUL_HORIZON_DAYS - 100, 7000, RUL_HORIZON_DAYS, 0)], [np.nan])
    assert found.rmse_days == 100
    assert found.coverage == 1


def test_what_has_ended_and_what_is_empty_is_not_scored():
    found = scored([(10, 5, 20, 9999), (NULL, NULL, NULL, NULL), (10, 5, 20, 9999)], [0, 50, -3])
    assert found.rows == 0
    assert found == Scores()
    assert found.rmse_days is found.r2 is found.phm08 is found.coverage is found.auc is None


def test_one_class_alone_has_no_auc():
    assert scored([(50, 5, 90, 9999)], [50]).auc is None
    assert scored([(500, 5, 900, 1)], [500]).auc is None
    assert scored([(50, 5, 90, 70), (500, 5, 900, 70)], [50, 500]).auc == 0.5


def test_a_sketch_is_small():
    """It travels in a receipt: the client may keep a kilobyte per part."""
    rows, true = many(24 * 52)
    assert len(json.dumps(scored(rows, true).counts())) < 1000
    assert scores.BINS < 100
