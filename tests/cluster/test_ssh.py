"""Workers started by ssh on a host whose key is known, and none on another."""

import subprocess
from pathlib import Path

import psutil
import pytest

from tests.cluster.conftest import CLUSTER, SECRET, TINY
from tests.cluster.daemons import SshHost
from tests.properties.plan import DataSet, differing
from tests.servers import free_ports

pytestmark = pytest.mark.cluster


def run(
    node: SshHost, given: dict[str, str], place: Path, *more: str
) -> subprocess.CompletedProcess[str]:
    (place / "hosts").write_text("# host  workers\nnode 2\n")
    (port,) = free_ports(1)
    return subprocess.run(
        [CLUSTER / "ssh" / "run.sh", "hosts", "127.0.0.1", *more, *TINY],
        cwd=place,
        env={**given, "FLEETGEN_SSH": node.command, "FLEETGEN_PORT": str(port)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def workers_left() -> list[psutil.Process]:
    """Workers below any sshd."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if "worker" in (process.info["cmdline"] or []) and process.is_running()
    ]


def test_workers_of_another_host_make_the_data_of_a_serial_run(
    node: SshHost, given: dict[str, str], tmp_path: Path, undisturbed: DataSet
) -> None:
    before = {process.pid for process in workers_left()}
    done = run(node, given, tmp_path, f"--output-dir={tmp_path / 'set'}", "--progress=plain")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "tls://127.0.0.1" in done.stderr
    assert differing(DataSet(tmp_path / "set").digests, undisturbed.digests) == []
    assert SECRET not in done.stdout + done.stderr
    gone = [process for process in workers_left() if process.pid not in before]
    psutil.wait_procs(gone, timeout=30)
    assert {process.pid for process in workers_left()} <= before


def test_a_host_with_another_key_gets_nothing(
    node: SshHost, given: dict[str, str], tmp_path: Path
) -> None:
    known = node.known_hosts.read_text()
    key = tmp_path / "another"
    make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)]
    subprocess.run(make, check=True)
    other = " ".join([known.split()[0], *key.with_suffix(".pub").read_text().split()[:2]])
    try:
        for text in (f"{other}\n", ""):  # another key; none
            node.known_hosts.write_text(text)
            done = run(node, given, tmp_path, f"--output-dir={tmp_path / 'set'}")
            assert done.returncode == 5, done.stdout + done.stderr
            assert "Host key verification failed" in done.stderr
            assert "run.sh: no cluster" in done.stderr
    finally:
        node.known_hosts.write_text(known)
    assert not (tmp_path / "set").exists()
