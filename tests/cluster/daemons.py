"""Daemons of a cluster on this machine, for tests: an sshd, and a SLURM of one node.

All are started here and ended by their pid. SLURM runs as root, which is for a test alone: a real
one has a user of its own.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.servers import free_ports

UP_S, DOWN_S = 60, 5


@contextmanager
def started(
    command: list[str], log: Path, env: Mapping[str, str] | None = None, **how: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process; ended by SIGTERM, and its session by SIGKILL if it does not."""
    with log.open("ab") as out:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env=env,
            start_new_session=True,
            **how,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(DOWN_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def until(ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + UP_S
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            said = log.read_text(errors="replace")[-3000:] if log.exists() else ""
            raise RuntimeError(f"{process.args!r} is not up:\n{said}")
        time.sleep(0.1)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


# --- SSH ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SshHost:
    """An sshd of our own, and the command that reaches it, and no other, as `node`."""

    command: str
    known_hosts: Path


def lacking_ssh() -> str:
    """Why there can be no sshd here."""
    if absent := _absent("sshd", "ssh", "ssh-keygen"):
        return f"no {', '.join(absent)}: apt-get install openssh-server"
    return "" if os.geteuid() == 0 else "an sshd of our own logs in as root: run as root"


@contextmanager
def ssh_host(directory: Path, environment: Path) -> Iterator[SshHost]:
    """Start an sshd on loopback with keys made for it, whose users have an environment file."""
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    for name in ("host_key", "user_key"):
        make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(directory / name)]
        subprocess.run(make, check=True)
    (port,) = free_ports(1)
    allowed = directory / "authorized_keys"
    allowed.write_text((directory / "user_key.pub").read_text())
    allowed.chmod(0o600)
    server = directory / "sshd_config"
    server.write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {directory / 'host_key'}\n"
        f"PidFile {directory / 'sshd.pid'}\nAuthorizedKeysFile {allowed}\nStrictModes no\n"
        "PasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\n"
        "PermitRootLogin prohibit-password\nSubsystem sftp internal-sftp\n"
        f"PermitUserEnvironment no\nAcceptEnv nothing\nSetEnv FLEETGEN_ENVIRONMENT={environment}\n"
    )
    known = directory / "known_hosts"
    kind, key_text, *_ = (directory / "host_key.pub").read_text().split()
    known.write_text(f"[127.0.0.1]:{port} {kind} {key_text}\n")
    client = directory / "ssh_config"
    client.write_text(
        f"Host node\n  HostName 127.0.0.1\n  Port {port}\n  User root\n"
        f"  IdentityFile {directory / 'user_key'}\n  IdentitiesOnly yes\n"
        f"  UserKnownHostsFile {known}\n  GlobalKnownHostsFile /dev/null\n"
    )
    log = directory / "sshd.log"
    with started([_path("sshd"), "-D", "-e", "-f", str(server)], log) as process:
        until(lambda: listens(port), process, log)
        yield SshHost(f"ssh -F {client}", known)


# --- SLURM ----------------------------------------------------------------------------------------

SLURM = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={directory}/munge/socket
CryptoType=crypto/munge
StateSaveLocation={directory}/state
SlurmdSpoolDir={directory}/spool
SlurmctldPidFile={directory}/slurmctld.pid
SlurmdPidFile={directory}/slurmd.pid
SlurmctldLogFile={directory}/slurmctld.log
SlurmdLogFile={directory}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
SchedulerParameters=sched_interval=1,bf_interval=1
MinJobAge=3600
KillWait=5
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory={memory} State=UNKNOWN
PartitionName=test Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


@dataclass(frozen=True)
class Slurm:
    """A running SLURM: the environment of its commands, and where its logs lie."""

    environment: dict[str, str]
    directory: Path


def lacking_slurm() -> str:
    """Why there can be no SLURM here."""
    if absent := _absent("munged", "mungekey", "slurmctld", "slurmd", "sbatch", "srun"):
        return f"no {', '.join(absent)}: apt-get install slurm-wlm munge"
    return "" if os.geteuid() == 0 else "SLURM's daemons are started by root: run as root"


@contextmanager
def slurm() -> Iterator[Slurm]:
    """Start a SLURM of one node, this machine."""
    host = socket.gethostname().partition(".")[0]
    controller, node = free_ports(2)
    with ExitStack() as stack:
        # Not below what pytest makes, where munge's user cannot come, with a path as short as a
        # socket's must be.
        directory = Path(stack.enter_context(TemporaryDirectory(prefix="fleetgen-slurm-")))
        directory.chmod(0o711)
        for name in ("munge", "state", "spool"):
            (directory / name).mkdir()
        configuration = directory / "slurm.conf"
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20
        configuration.write_text(
            SLURM.format(
                host=host,
                controller=controller,
                node=node,
                directory=directory,
                cores=os.cpu_count(),
                memory=memory * 9 // 10,
            )
        )
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "SBATCH_"))}
        environment = {**kept, "SLURM_CONF": str(configuration), "PATH": _paths()}
        _munge(directory / "munge", stack)
        for name, *arguments in (("slurmctld", "-i"), ("slurmd", "-N", host)):
            log = directory / f"{name}.log"
            command = [_path(name), "-D", "-f", str(configuration), *arguments]
            process = stack.enter_context(started(command, log, environment))
            until(partial(listens, controller if name == "slurmctld" else node), process, log)
        until(lambda: _is_idle(environment), process, log)
        yield Slurm(environment, directory)


def _munge(directory: Path, stack: ExitStack) -> None:
    """Start munged as its own user, with a key made for it."""
    user = pwd.getpwnam("munge")
    os.chown(directory, user.pw_uid, user.pw_gid)
    directory.chmod(0o711)
    become: dict[str, Any] = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    key = f"{directory}/key"
    subprocess.run([_path("mungekey"), "--create", f"--keyfile={key}"], check=True, **become)
    command = [
        *(_path("munged"), "--foreground", f"--key-file={key}", f"--socket={directory}/socket"),
        *(f"--pid-file={directory}/pid", f"--seed-file={directory}/seed"),
        f"--log-file={directory}/log",
    ]
    process = stack.enter_context(started(command, directory.parent / "munged.log", **become))
    until((directory / "socket").exists, process, directory.parent / "munged.log")


def _is_idle(environment: Mapping[str, str]) -> bool:
    command = ["sinfo", "--noheader", "--format=%t"]
    asked = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return asked.stdout.strip() == "idle"


# --- where daemons lie ----------------------------------------------------------------------------


def _paths() -> str:
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/bin", "/sbin", "/bin"])


def _path(name: str) -> str:
    path = shutil.which(name, path=_paths())
    assert path is not None, f"there is no {name}"
    return path


def _absent(*names: str) -> list[str]:
    return [name for name in names if shutil.which(name, path=_paths()) is None]
