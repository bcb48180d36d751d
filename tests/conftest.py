"""Data sets that tests share."""

from collections.abc import Callable

import pytest

from fleetgen.spec import Scenario
from tests.properties.plan import CLEAN, Changes, DataSet, generated

Make = Callable[..., DataSet]


@pytest.fixture(scope="session")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Make a data set of the plan with changes, each once a session or `again`.

    Under the scenario of the plan, or another.
    """
    made: dict[str, DataSet] = {}

    def make(
        changes: Changes | None = None,
        *,
        again: bool = False,
        scenario: Scenario | None = None,
    ) -> DataSet:
        key = repr((changes or {}, scenario))  # the order of a fleet's tables is part of it
        if key not in made or again:
            path = tmp_path_factory.mktemp("data") / "set"
            made[key] = generated(path, changes, scenario)
        return made[key]

    return make


@pytest.fixture(scope="session")
def whole(make: Make) -> DataSet:
    """The plan as it stands: serial, blocks of one day."""
    return make()


@pytest.fixture(scope="session")
def clean(make: Make) -> DataSet:
    """The plan without sensor faults."""
    return make(scenario=CLEAN)
