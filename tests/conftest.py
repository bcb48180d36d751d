"""Data sets that tests share."""

from collections.abc import Callable

import pytest

from fleetgen.pipeline import generate
from tests.properties.plan import Changes, DataSet, configured

Make = Callable[..., DataSet]


@pytest.fixture(scope="session")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Make a data set of the plan with changes, each once a session or `again`."""
    made: dict[str, DataSet] = {}

    def make(changes: Changes | None = None, *, again: bool = False) -> DataSet:
        key = repr(changes or {})  # the order of a fleet's tables is part of it
        if key not in made or again:
            path = tmp_path_factory.mktemp("data") / "set"
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("os.fsync", lambda _: None)  # no test pulls the plug
                generate(configured(path, changes))
            made[key] = DataSet(path)
        return made[key]

    return make


@pytest.fixture(scope="session")
def whole(make: Make) -> DataSet:
    """The plan as it stands: serial, blocks of one day."""
    return make()
