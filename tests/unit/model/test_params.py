"""Every parameter has a unit and a source; what is assumed says why."""

from dataclasses import fields

import pytest

from fleetgen.model import params

PARAMETERS = {n: p for n, p in vars(params).items() if isinstance(p, params.Parameter)}


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_parameter_has_unit_and_source(name):
    parameter = PARAMETERS[name]
    assert parameter.unit
    assert parameter.source
    if parameter.source == params.ASSUMED:
        assert parameter.note, f"{name} is assumed without a reason"


def test_discharge_families_are_the_published_fits():
    published = {
        "A": (2.009, 0.196, 0.446, 5.91, 0.0380, 4.9),
        "B": (1.428, 1.665, 0.821, 4.72, 0.0313, 3.4),
    }
    for name, numbers in published.items():
        family = params.DISCHARGE_FAMILIES[name]
        values = [getattr(family, f.name) for f in fields(family) if f.name != "source"]
        assert values == list(numbers)
        assert family.source


def test_storm_hours():
    assert len(params.STORM_HOUR_WEIGHTS) == 24
    assert params.STORM_HOUR_WEIGHTS.index(max(params.STORM_HOUR_WEIGHTS)) in (15, 16)
