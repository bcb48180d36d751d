"""What tests of clusters share: a run to compare with, an environment file, daemons."""

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleetgen.cli import main
from tests.cluster.daemons import Slurm, SshHost, lacking_slurm, lacking_ssh, slurm, ssh_host
from tests.properties.plan import ROOT, DataSet

CLUSTER = ROOT / "cluster"
TINY = ["--duration-days=2", "--limit-batteries=48", "--set=execution.block_days=1"]
"""Six parts: two strings and a room, two days."""

LONG = ["--duration-days=60", "--limit-batteries=48", "--sampling-seconds=30", TINY[-1]]
"""180 parts of the same, for runs that are stopped."""


def until_parts(place: Path, run: subprocess.Popen[str] | None = None) -> None:
    """Wait until some parts have receipts."""
    deadline = time.monotonic() + 120
    while len([*(place / "_fleetgen" / "receipts").glob("*")]) < 3:
        assert time.monotonic() < deadline, "no parts"
        assert run is None or run.poll() is None, "ended before it was to be stopped"
        time.sleep(0.05)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    """The tiny run, made in this process."""
    place = tmp_path_factory.mktemp("serial") / "set"
    arguments = [f"--output-dir={place}", *TINY, "--executor=serial", "--progress=none"]
    assert main(["generate", *arguments]) == 0
    return DataSet(place)


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates by the script as shipped."""
    place = tmp_path_factory.mktemp("certificates") / "tls"
    subprocess.run([CLUSTER / "tls" / "make.sh", place], check=True, capture_output=True)
    return place


@pytest.fixture(scope="session")
def environment_file(tmp_path_factory: pytest.TempPathFactory, tls: Path) -> Path:
    """An environment file of this Python and checkout, with a secret in it."""
    file = tmp_path_factory.mktemp("home") / "environment"
    programs = Path(sys.executable).parent
    file.write_text(
        f"export PATH={shlex.quote(str(programs))}:/usr/bin:/bin\n"
        f"export PYTHONPATH={shlex.quote(str(ROOT))}\n"
        f"export DASK_CONFIG={shlex.quote(str(tls / 'dask.yaml'))}\n"
        f"export AWS_SECRET_ACCESS_KEY={SECRET}\n"
    )
    file.chmod(0o600)
    return file


SECRET = "canary-Qz7vX2mT9kLpW4sR8"


@pytest.fixture(scope="session")
def given(environment_file: Path) -> dict[str, str]:
    """Environment of who starts a cluster: where the environment file is, and nothing of Dask."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("DASK_", "AWS_"))}
    return {**kept, "FLEETGEN_ENVIRONMENT": str(environment_file)}


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory, environment_file: Path) -> Iterator[SshHost]:
    """A host that ssh reaches as `node`, whose sessions know the environment file."""
    if lacking := lacking_ssh():
        unavailable(lacking)
    with ssh_host(tmp_path_factory.mktemp("sshd"), environment_file) as host:
        yield host


@pytest.fixture(scope="session")
def queue() -> Iterator[Slurm]:
    """A SLURM of one node."""
    if lacking := lacking_slurm():
        unavailable(lacking)
    with slurm() as system:
        yield system


def unavailable(reason: str) -> None:
    """Skip, unless what runs the tests has promised that all is there."""
    if os.environ.get("FLEETGEN_REQUIRE_SLURM") == "1":
        pytest.fail(f"FLEETGEN_REQUIRE_SLURM is set, and there is {reason}")
    pytest.skip(reason)
