"""Workers started by ssh on a host whose key is known, and none on another."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.cluster.conftest import CLUSTER, LONG, SECRET, TINY, until_parts
from tests.cluster.daemons import SshHost
from tests.properties.plan import DataSet, differing
from tests.servers import free_ports

pytestmark = pytest.mark.cluster


def started(
    node: SshHost, given: dict[str, str], place: Path, port: int, *arguments: str
) -> subprocess.Popen[str]:
    (place / "hosts").write_text("# host  workers\nnode 2")  # and no end of line
    return subprocess.Popen(
        [CLUSTER / "ssh" / "run.sh", "hosts", "127.0.0.1", *arguments],
        cwd=place,
        env={**given, "FLEETGEN_SSH": node.command, "FLEETGEN_PORT": str(port)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@pytest.fixture
def port() -> Iterator[int]:
    """A port for a scheduler, of which no worker is left."""
    (port,) = free_ports(1)
    yield port
    left = [
        process
        for process in psutil.process_iter(["cmdline"])
        if f"tls://127.0.0.1:{port}" in (process.info["cmdline"] or [])
    ]
    _, alive = psutil.wait_procs(left, timeout=30)
    assert not alive


def ended(process: subprocess.Popen[str]) -> str:
    """What it has said when it has ended."""
    try:
        return process.communicate(timeout=240)[0]
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def test_workers_of_another_host_make_the_data_of_a_serial_run(
    node: SshHost, given: dict[str, str], tmp_path: Path, port: int, undisturbed: DataSet
) -> None:
    run = started(node, given, tmp_path, port, "--output-dir=set", "--progress=plain", *TINY)
    said = ended(run)
    assert run.returncode == 0, said
    assert "tls://127.0.0.1" in said
    assert SECRET not in said
    assert differing(DataSet(tmp_path / "set").digests, undisturbed.digests) == []


def test_a_run_that_is_stopped_leaves_nothing_behind(
    node: SshHost, given: dict[str, str], tmp_path: Path, port: int
) -> None:
    run = started(node, given, tmp_path, port, "--output-dir=set", "--progress=plain", *LONG)
    try:
        until_parts(tmp_path / "set", run)
    finally:
        run.terminate()
        said = ended(run)
    assert run.returncode == 143, said
    assert re.search(r"interrupted; \d+ of 180 parts safe", said), said


def test_a_host_with_another_key_gets_nothing(
    node: SshHost, given: dict[str, str], tmp_path: Path, port: int
) -> None:
    known = node.known_hosts.read_text()
    key = tmp_path / "another"
    make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)]
    subprocess.run(make, check=True)
    other = " ".join([known.split()[0], *key.with_suffix(".pub").read_text().split()[:2]])
    try:
        for text in (f"{other}\n", ""):  # another key; none
            node.known_hosts.write_text(text)
            run = started(node, given, tmp_path, port, "--output-dir=set", *TINY)
            said = ended(run)
            assert run.returncode == 5, said
            assert "Host key verification failed" in said
            assert "run.sh: no cluster" in said
    finally:
        node.known_hosts.write_text(known)
    assert not (tmp_path / "set").exists()
