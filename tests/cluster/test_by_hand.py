"""The commands of the page "By hand" on loopback, with certificates, as they stand there."""

import re
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from ssl import PROTOCOL_TLS_CLIENT, SSLContext, SSLError

import psutil
import pytest

from tests.cluster.conftest import CLUSTER, TINY
from tests.cluster.daemons import started, until
from tests.properties.plan import ROOT, DataSet, differing
from tests.servers import free_ports

pytestmark = pytest.mark.cluster

FENCE = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class ByHand:
    """A scheduler and two workers, and the page's last commands."""

    address: str
    scheduler_file: Path
    commands: str
    processes: tuple[psutil.Process, ...]


@pytest.fixture(scope="module")
def by_hand(given: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[ByHand]:
    place = tmp_path_factory.mktemp("hand")
    (port,) = free_ports(1)
    page = (CLUSTER / "hand" / "README.md").read_text("utf-8")
    for written, here in (
        ("~/.config/fleetgen/environment", given["FLEETGEN_ENVIRONMENT"]),
        ("/shared/fleetgen", str(place)),
        ("10.0.0.1", "127.0.0.1"),
        ("--port 8786", f"--port {port}"),
        ("127.0.0.1:8787", "127.0.0.1:0"),
        ("--nworkers 8", "--nworkers 2"),
        ("scheduler.json 16", "scheduler.json 2"),
        ("--config configs/production.toml", " ".join(TINY)),
    ):
        assert written in page, written
        page = page.replace(written, here)
    scheduler, worker, client = FENCE.findall(page)
    with ExitStack() as stack:
        processes = []
        for name, commands in (("scheduler", scheduler), ("worker", worker)):
            log = place / f"{name}.log"
            shell = ["bash", "-c", commands.replace("\ndask", "\nexec dask")]
            process = stack.enter_context(started(shell, log, given))
            until((place / "scheduler.json").exists, process, log)
            processes.append(psutil.Process(process.pid))
        file = place / "scheduler.json"
        yield ByHand(f"tls://127.0.0.1:{port}", file, client, tuple(processes))


def test_the_commands_of_the_page_make_the_data_of_a_serial_run(
    by_hand: ByHand, given: dict[str, str], tmp_path: Path, undisturbed: DataSet
) -> None:
    commands = re.sub(r"--output-dir \S+", f"--output-dir {tmp_path / 'set'}", by_hand.commands)
    shell = ["bash", "-e", "-c", commands]
    done = subprocess.run(
        shell, cwd=ROOT, env=given, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert stat.S_IMODE(by_hand.scheduler_file.stat().st_mode) == 0o600
    assert differing(DataSet(tmp_path / "set").digests, undisturbed.digests) == []


CONNECT = """
import sys
from distributed import Client
with Client(sys.argv[1], timeout=10) as client:
    client.wait_for_workers(2, timeout=60)
    print(sorted(client.nthreads().values()))
"""


def connect(address: str, given: dict[str, str], config: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CONNECT, address],
        env={**given, "DASK_CONFIG": config},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_client_without_the_certificate_is_refused(
    by_hand: ByHand, given: dict[str, str], tls: Path, tmp_path: Path
) -> None:
    subprocess.run([CLUSTER / "tls" / "make.sh", tmp_path / "other"], check=True)
    other = str(tmp_path / "other" / "dask.yaml")
    plain = by_hand.address.replace("tls://", "tcp://")
    for address, config in ((by_hand.address, other), (by_hand.address, ""), (plain, "")):
        assert connect(address, given, config).returncode != 0
    invited = connect(by_hand.address, given, str(tls / "dask.yaml"))
    assert invited.stdout.strip() == "[2, 2]", invited.stderr


def test_certificates_may_be_variables(by_hand: ByHand, given: dict[str, str], tls: Path) -> None:
    """As the values of the dask chart give them, which mounts no files."""
    prefix = "DASK_DISTRIBUTED__COMM__"
    client = {
        f"{prefix}REQUIRE_ENCRYPTION": "true",
        f"{prefix}DEFAULT_SCHEME": "tls",
        f"{prefix}TLS__CA_FILE": (tls / "ca.pem").read_text(),
        f"{prefix}TLS__CLIENT__CERT": (tls / "cert.pem").read_text(),
        f"{prefix}TLS__CLIENT__KEY": (tls / "key.pem").read_text(),
    }
    invited = connect(by_hand.address.removeprefix("tls://"), {**given, **client}, "")
    assert invited.stdout.strip() == "[2, 2]", invited.stderr


def test_each_port_beyond_loopback_asks_for_a_certificate(by_hand: ByHand, tls: Path) -> None:
    """Also those of workers and their nannies, of which the scheduler tells."""
    ports = [
        connection.laddr
        for root in by_hand.processes
        for process in (root, *root.children(recursive=True))
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    ]
    beyond = {port for address, port in ports if address != "127.0.0.1"}
    assert beyond, "the workers' own"
    scheduler = int(by_hand.address.rpartition(":")[2])
    guest = SSLContext(PROTOCOL_TLS_CLIENT)
    guest.load_verify_locations(tls / "ca.pem")
    guest.check_hostname = False
    for port in {*beyond, scheduler}:
        # A server's objection comes with the first byte that is read after the handshake.
        with (
            socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
            pytest.raises(SSLError, match=r"CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE"),
            guest.wrap_socket(plain) as encrypted,
        ):
            encrypted.recv(1)


def test_keys_are_for_their_owner_alone(tls: Path) -> None:
    assert stat.S_IMODE(tls.stat().st_mode) == 0o700
    files = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tls.iterdir()}
    assert files == dict.fromkeys(("ca.pem", "cert.pem", "key.pem", "dask.yaml"), 0o600)
    strict = ["openssl", "verify", "-x509_strict", "-CAfile", str(tls / "ca.pem")]
    subprocess.run([*strict, str(tls / "cert.pem")], check=True, capture_output=True)
    again = subprocess.run(
        [CLUSTER / "tls" / "make.sh", tls], capture_output=True, text=True, check=False
    )
    assert again.returncode == 2
    assert "is there" in again.stderr
