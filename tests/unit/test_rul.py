"""The estimator of remaining life against hand derivations and scipy's distributions."""

import ast
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import integrate, stats

from fleetgen.derive import past, rul
from fleetgen.schema import FEATURE_STORE, RUL_HORIZON_DAYS, RUL_PREDICTION
from fleetgen.spec import NULL

YEAR = 365.25

ONE_CLASS = rul.Constants(
    pace=(0.05, 0.15, 0.40),
    odds=(1.0, 0.0, 0.0),
    growth_per_loss=(2.5, 2.0, 1.5),
    pace_spread=1.0,
    level_error=1e-6,
    test_error=0.03,
    capacity_weight=1.0,
    life_error=100.0,
    hazard=1e-12,
    failing=-60.0,
    failing_trend=0.0,
    failing_deviation=0.0,
    failing_drift=0.0,
    failing_days=100.0,
)
"""Nothing but wear, at the pace that the level shows."""

THREE = replace(ONE_CLASS, odds=(1.0, 0.7, 0.4), pace_spread=0.2, level_error=0.03)


def jar(**known):
    """Evidence of one jar, four years old, that has grown by 5 % a year."""
    values = {
        "age_years": 4.0,
        "stress": 1.0,
        "capacity": 1.0,
        "level": 0.20,
        "lag_years": 0.0,
        "trend": np.nan,
        "deviation_v": np.nan,
        "drift_v": np.nan,
        "test_capacity": np.nan,
        "test_age_years": np.nan,
        "test_censored": 0.0,
        **known,
    }
    return rul.Evidence(**{name: np.array([float(value)]) for name, value in values.items()})


def one(known, c=ONE_CLASS):
    return {
        name: int(counts[0]) / RUL_PREDICTION.column(name).per_unit
        for name, counts in rul.predict(known, c).items()
    }


def test_wear_alone_by_hand():
    """2.5 x 20 % = 50 % of growth at 5 % a year: ten years, of which four are gone."""
    found = one(jar())
    assert found["rul_days"] == pytest.approx(6 * YEAR, abs=6)
    # The 10 and 90 % quantiles of a logistic distribution lie ln 9 scales from its mean.
    reach = np.log(9.0) * 100.0 * np.sqrt(3.0) / np.pi
    assert found["rul_lower_ci_days"] == pytest.approx(6 * YEAR - reach, abs=6)
    assert found["rul_upper_ci_days"] == pytest.approx(6 * YEAR + reach, abs=6)
    assert found["failure_probability_90d"] == 0
    width = found["rul_upper_ci_days"] - found["rul_lower_ci_days"]
    both = found["rul_upper_ci_days"] + found["rul_lower_ci_days"]
    assert found["confidence_score"] == pytest.approx(1 - width / both, abs=6e-4)


@pytest.mark.parametrize(
    ("known", "years"),
    [
        ({"stress": 2.0}, 6.0),  # twice the rate, in the past as in the future
        ({"capacity": 1.04}, 8.0),  # 2.5 x 24 % at 5 %: twelve years
        ({"level": 0.40}, 1.0),  # 10 % a year: five years
        ({"level": 0.20, "lag_years": 2.0}, 1.0),  # that it had grown two years ago
        ({"age_years": 8.0, "level": 0.40}, 2.0),
    ],
)
def test_wear_by_hand_elsewhere(known, years):
    assert one(jar(**known))["rul_days"] == pytest.approx(years * YEAR, abs=8)


def test_classes_are_weighed_by_normal_theory():
    """Evidence for a class: a normal density about its pace, of both variances."""
    known = jar(level=0.35, age_years=2.5, stress=1.2)
    years = 2.5 * 1.2
    expected = np.array(
        [
            odds * stats.norm.pdf(0.35, pace * years, np.hypot(0.03, 0.2 * pace * years))
            for pace, odds in zip(THREE.pace, THREE.odds, strict=True)
        ]
    )
    found = rul.outlook(known, THREE)
    np.testing.assert_allclose(found.weight[:, 0], expected / expected.sum(), rtol=1e-12)
    variance = 1 / (1 / (0.2 * 0.15) ** 2 + years**2 / 0.03**2)
    mean = variance * (0.15 / (0.2 * 0.15) ** 2 + years * 0.35 / 0.03**2)
    life = 2.0 * 0.20 / (mean * 1.2) * YEAR
    assert found.end_days[1, 0] == pytest.approx(life - 2.5 * YEAR, rel=1e-12)
    spread = np.sqrt(life**2 * variance / mean**2 + 100.0**2)
    assert found.scale_days[1, 0] == pytest.approx(spread * np.sqrt(3) / np.pi, rel=1e-12)


def test_a_capacity_test_is_a_second_reading_of_the_pace():
    """With its density beside the level's: by numerical integration over the pace."""
    known = jar(level=0.30, age_years=3.0, test_capacity=0.90, test_age_years=2.0)

    def density(r, pace, kappa):
        return (
            stats.norm.pdf(r, pace, 0.2 * pace)
            * stats.norm.pdf(0.30, r * 3.0, 0.03)
            * stats.norm.pdf(1.0 - 0.90, r * 2.0 / kappa, 0.03)
        )

    weights, means = [], []
    for pace, kappa, odds in zip(THREE.pace, THREE.growth_per_loss, THREE.odds, strict=True):
        grid = np.linspace(0.0, 0.8, 200_001)
        f = density(grid, pace, kappa)
        weights.append(odds * integrate.simpson(f, x=grid))
        means.append(integrate.simpson(f * grid, x=grid) / integrate.simpson(f, x=grid))
    found = rul.outlook(known, THREE)
    np.testing.assert_allclose(found.weight[:, 0], np.array(weights) / sum(weights), rtol=1e-6)
    life = np.array(THREE.growth_per_loss) * 0.20 / np.array(means) * YEAR
    np.testing.assert_allclose(found.end_days[:, 0], life - 3 * YEAR, rtol=1e-6)


def test_a_lower_bound_counts_only_where_it_is_news():
    plain = one(jar(), THREE)
    weak = one(jar(test_capacity=0.80, test_age_years=4.0, test_censored=1.0), THREE)
    strong = one(jar(test_capacity=0.97, test_age_years=4.0, test_censored=1.0), THREE)
    exact = one(jar(test_capacity=0.80, test_age_years=4.0), THREE)
    assert weak == plain
    assert strong["rul_days"] > plain["rul_days"] > exact["rul_days"]


def test_survival_is_that_of_the_mixture():
    c = replace(
        THREE,
        hazard=0.05,
        failing=-3.0,
        failing_trend=2.0,
        failing_deviation=4.0,
        failing_drift=0.5,
    )
    known = jar(trend=0.3, deviation_v=-0.2, drift_v=-0.4, level=0.3, stress=1.3)
    seen = rul.outlook(known, c)
    q = 1 / (1 + np.exp(-(-3.0 + 2.0 * 0.3 + 4.0 * 0.2 + 0.5 * 0.4)))
    assert seen.failing[0] == pytest.approx(q, rel=1e-12)
    inward = rul.outlook(known._replace(drift_v=np.array([0.4])), c)
    assert inward.failing[0] < seen.failing[0]

    def survival(t):
        worn = sum(
            w * stats.logistic.sf(t, end, scale)
            for w, end, scale in zip(
                seen.weight[:, 0], seen.end_days[:, 0], seen.scale_days[:, 0], strict=True
            )
        )
        return (1 - q) * np.exp(-0.05 * 1.3 * t / YEAR) * worn + q * np.exp(-t / 100.0)

    days = np.array([0.0, 10.0, 90.0, 700.0, 3000.0])
    expected = survival(days) / survival(0.0)
    np.testing.assert_allclose(rul.survival(seen, days)[0], expected, rtol=1e-12)
    mean = integrate.quad(lambda t: survival(t) / survival(0.0), 0, RUL_HORIZON_DAYS, limit=200)[0]
    found = one(known, c)
    assert found["rul_days"] == pytest.approx(mean, rel=0.01)
    assert found["failure_probability_30d"] == pytest.approx(
        1 - survival(30.0) / survival(0.0), abs=1e-4
    )
    for probability, name in ((0.9, "rul_lower_ci_days"), (0.1, "rul_upper_ci_days")):
        assert survival(found[name]) / survival(0.0) == pytest.approx(probability, abs=0.01)


def test_what_cannot_be_known_is_null():
    for unknown in ("level", "stress"):
        found = rul.predict(jar(**{unknown: np.nan}), rul.constants())
        assert all((counts == NULL).all() for counts in found.values())
    for spare in ("trend", "deviation_v", "drift_v", "test_capacity", "test_age_years"):
        found = rul.predict(jar(**{spare: np.nan}), rul.constants())
        assert all((counts != NULL).all() for counts in found.values())


@pytest.mark.parametrize("level", [-0.3, -0.05, 0.0, 0.05, 0.5, 1.5, 20.0])
@pytest.mark.parametrize("age", [-0.1, 0.0, 0.01, 3.0, 25.0])
def test_whatever_is_measured_predictions_are_in_range(level, age):
    c = rul.constants()
    known = jar(level=level, age_years=age, trend=-level, deviation_v=3.0, drift_v=-50.0)
    found = one(known, c)
    for name, value in found.items():
        low, high = RUL_PREDICTION.valid(name)
        assert low <= value <= high
    assert found["rul_lower_ci_days"] <= found["rul_days"] <= found["rul_upper_ci_days"]
    assert found["failure_probability_30d"] <= found["failure_probability_90d"]


def test_units_do_not_tell_of_each_other():
    """The same alone as among others, to the last bit."""
    jars = [jar(level=0.1 * i, age_years=1.0 + i, deviation_v=0.05 * i) for i in range(7)]
    together = rul.Evidence(*(np.concatenate(each) for each in zip(*jars, strict=True)))
    all_of_them = rul.predict(together, rul.constants())
    for i, alone in enumerate(jars):
        for name, counts in rul.predict(alone, rul.constants()).items():
            assert counts[0] == all_of_them[name][i]


def test_worse_signs_mean_a_shorter_life():
    c = rul.constants()
    base = one(jar(trend=0.05, deviation_v=0.02, drift_v=0.0), c)
    for worse in (
        {"level": 0.35},
        {"trend": 1.0},
        {"deviation_v": -0.5},
        {"drift_v": 2.0},
        {"capacity": 0.96},
    ):
        found = one(jar(**{"trend": 0.05, "deviation_v": 0.02, "drift_v": 0.0, **worse}), c)
        assert found["rul_days"] < base["rul_days"], worse
        assert found["failure_probability_90d"] >= base["failure_probability_90d"], worse


def test_the_constants_come_with_their_provenance():
    import tomllib

    text = Path(rul.__file__).with_name("rul_constants.toml").read_text()
    told = tomllib.loads(text)
    assert told["provenance"]["training_seeds"]
    assert len(rul.constants().pace) == len(rul.constants().odds) == 3
    page = (Path(rul.__file__).parents[2] / "docs" / "rul.md").read_text()
    seeds = told["provenance"]["training_seeds"]
    assert all(f"{seed}" in page for seed in seeds)


def test_no_truth_is_within_reach():
    """Predictions are made of declared, measured columns, in modules that import nothing else."""
    assert set(past.COLUMNS) <= set(FEATURE_STORE.names)
    assert FEATURE_STORE.role == "derived"
    assert not any(FEATURE_STORE.column(name).truth for name in past.COLUMNS)
    allowed = {"derive", "elementary", "jit", "schema", "spec", "units"}
    for module in (rul, past):
        tree = ast.parse(Path(module.__file__).read_text())
        names = {
            node.module
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module
        }
        own = {name.split(".")[1] for name in names if name.startswith("fleetgen.")}
        assert own <= allowed
