"""Hosts on one machine: network namespaces with addresses of their own, joined by a bridge."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

_NETS = 200


@dataclass(frozen=True)
class Host:
    """A namespace, the address that it has, and the end of its cable at the bridge."""

    name: str
    address: str
    cable: str

    def start(
        self, *command: str, env: Mapping[str, str], log: Path, cwd: Path
    ) -> subprocess.Popen[bytes]:
        """A process of this host, of a session of its own."""
        with log.open("ab") as file:
            return subprocess.Popen(
                ["ip", "netns", "exec", self.name, *command],
                env=dict(env),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )

    def cut(self) -> None:
        """Pull the cable."""
        _ip("link", "set", self.cable, "down")

    def join(self) -> None:
        """Put the cable back."""
        _ip("link", "set", self.cable, "up")


@contextmanager
def hosts(count: int) -> Iterator[tuple[str, list[Host]]]:
    """Address of this machine on a bridge, and hosts at that bridge; skips where none can be."""
    if os.geteuid() or shutil.which("ip") is None:
        pytest.skip("needs root and the command `ip`, to make network namespaces")
    mark = f"fg{os.getpid():x}"
    with ExitStack() as stack:
        try:
            net = _bridge(stack, f"{mark}br")
            made = [_host(stack, mark, number, net) for number in range(count)]
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no network namespaces here: {error.stderr.decode().strip()}")
        yield f"{net}.1", made


def _bridge(stack: ExitStack, name: str) -> str:
    """A bridge in the first of our nets that nobody uses; gives what its addresses begin with."""
    used = subprocess.run(["ip", "-4", "addr"], capture_output=True, check=True).stdout.decode()
    first = os.getpid() % _NETS
    nets = [f"10.213.{(first + step) % _NETS}" for step in range(_NETS)]
    net = next(each for each in nets if f" {each}." not in used)
    _ip("link", "add", name, "type", "bridge")
    stack.callback(_ip, "link", "del", name)
    _ip("addr", "add", f"{net}.1/24", "dev", name)
    _ip("link", "set", name, "up")
    return net


def _host(stack: ExitStack, mark: str, number: int, net: str) -> Host:
    host = Host(f"{mark}-{number}", f"{net}.{number + 2}", f"{mark}v{number}")
    _ip("netns", "add", host.name)
    stack.callback(_ip, "netns", "del", host.name)
    _ip("link", "add", host.cable, "type", "veth", "peer", "name", "eth0", "netns", host.name)
    _ip("link", "set", host.cable, "master", f"{mark}br")
    _ip("link", "set", host.cable, "up")
    _ip("-n", host.name, "addr", "add", f"{host.address}/24", "dev", "eth0")
    _ip("-n", host.name, "link", "set", "eth0", "up")
    _ip("-n", host.name, "link", "set", "lo", "up")
    return host


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], capture_output=True, check=True)
