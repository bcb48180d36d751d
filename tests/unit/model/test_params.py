"""Every parameter has a unit, a range and a source; what is assumed says why."""

import re
from dataclasses import fields

import numpy as np
import pytest

from fleetgen.model import params
from fleetgen.model.params import ASSUMED, DERIVED, Parameter

CATALOGUE = dict(params.catalogue())
PLAIN = {n: p for n, p in vars(params).items() if isinstance(p, Parameter)}


def test_the_catalogue_has_all() -> None:
    assert len(CATALOGUE) == len(params.catalogue()), "a name twice"
    assert {n: CATALOGUE[n] for n in PLAIN} == PLAIN
    assert len(PLAIN) > 250
    assert CATALOGUE["DISCHARGE_FAMILIES.A.knee_rate_per_h"].value == 0.196
    assert CATALOGUE["FAILURE_LAWS.dry_out.resistance"].value == 1.5
    assert CATALOGUE["FAILURE_LAWS.dry_out.resistance.power"].value == 1.3
    assert "FAILURE_LAWS.dry_out.leak" not in CATALOGUE


def test_all_have_a_source() -> None:
    assert [name for name, each in CATALOGUE.items() if not each.source.strip()] == []


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_parameter_says_what_it_is(name: str) -> None:
    each = CATALOGUE[name]
    assert each.unit
    assert each.valid[0] <= each.value <= each.valid[1]
    if each.source in (ASSUMED, DERIVED):
        assert each.note, f"{name} is {each.source} without a reason"
    else:  # a title, product or institution, not a reason
        assert re.search(r"[A-Z]{2}|[A-Z][a-z]+|\.com|\.pl", each.source), each.source
        assert not re.search(r"practice|keeps|guide|would", each.source), each.source


def test_a_value_out_of_its_range_cannot_be_declared() -> None:
    with pytest.raises(ValueError, match=r"2 V must lie within 0 to 1"):
        Parameter(2.0, "V", (0.0, 1.0), ASSUMED, "too high")
    with pytest.raises(ValueError, match=r"nan"):
        Parameter(float("nan"), "V", (0.0, 1.0), ASSUMED, "no number")


@pytest.mark.parametrize(
    ("low", "high"),
    [
        ("MINIMUM", "MAXIMUM"),
        ("SHORTEST", "LONGEST"),
        ("LOWEST", "HIGHEST"),
        ("EARLIEST", "LATEST"),
        ("SOONEST", "LATEST"),
        ("YOUNGEST_STRING", "OLDEST_STRING"),
    ],
)
def test_bounds_of_a_draw_are_in_order(low: str, high: str) -> None:
    ends = [(n, n.replace(low, high)) for n in PLAIN if n.endswith(low)]
    pairs = [(a, b) for a, b in ends if b in PLAIN]
    assert pairs
    for a, b in pairs:
        assert PLAIN[a].unit == PLAIN[b].unit
        assert PLAIN[a].value <= PLAIN[b].value, a


def test_discharge_families_are_the_published_fits() -> None:
    published = {
        "A": (2.009, 0.196, 0.446, 5.91, 0.0380, 4.9),
        "B": (1.428, 1.665, 0.821, 4.72, 0.0313, 3.4),
    }
    for name, numbers in published.items():
        family = params.DISCHARGE_FAMILIES[name]
        values = [getattr(family, f.name) for f in fields(family) if f.name != "source"]
        assert values == list(numbers)
        assert "data sheet" in family.source


def test_storm_hours() -> None:
    assert len(params.STORM_HOUR_WEIGHTS) == 24
    assert params.STORM_HOUR_WEIGHTS.index(max(params.STORM_HOUR_WEIGHTS)) in (15, 16)


# --- what follows from other parameters -----------------------------------------------------------


def test_the_dip_of_a_discharge_is_as_deep_as_declared() -> None:
    x = np.linspace(0.0, 0.05, 100_001)
    recovery, onset = params.FOUET_RECOVERY.value, params.FOUET_ONSET.value
    shape = np.exp(-x / recovery) * (1.0 - np.exp(-x / onset))
    assert shape.max() == pytest.approx(params.FOUET_PEAK.value, rel=2e-4)
    assert x[shape.argmax()] == pytest.approx(0.0054, abs=0.0001)


def test_the_heat_of_a_jar_on_float() -> None:
    assert pytest.approx(100 * params.FLOAT_CURRENT.value * 13.6) == params.FLOAT_POWER.value


def test_a_jar_follows_its_room_in_hours() -> None:
    kelvin_per_w = (params.THERMAL_RESISTANCE_END.value, params.THERMAL_RESISTANCE_MIDDLE.value)
    hours = [r * 30.0 * params.HEAT_CAPACITY.value / 3600.0 for r in kelvin_per_w]
    assert hours[0] < params.JAR_FOLLOWING_TIME.value / 3600.0 < hours[1]


def test_a_day_s_anomaly_is_three_quarters_of_the_day_before() -> None:
    assert np.exp(-1.0 / params.ANOMALY_PERSISTENCE.value) == pytest.approx(0.75, abs=1e-4)


def test_early_failures_and_modes_are_shares() -> None:
    assert sum(law.share for law in params.FAILURE_LAWS.values()) == pytest.approx(1.0)
