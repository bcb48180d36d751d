"""Where compiled kernels are kept, whether all are there, and compiling in processes that end.

Compiled code is cached per user, version and kernel source. Two processes compile at the same time,
the physics and the sampling. The second begins with how strings share a load: the walk of a day
takes longest to compile, and finds that in the cache. What a compiler takes of memory goes with it.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path

import llvmlite.binding  # type: ignore[import-untyped]

PHYSICS = "physics()"
SAMPLING = "sharing(); warm.sampling(); warm.rare()"

_KERNEL_SOURCES = (
    "jit.py",
    "warm.py",
    "system.py",
    "units.py",
    "schema.py",
    "elementary.py",
    "rng.py",
    "digest.py",
    "model/*.py",
    "derive/*.py",
    "io/csv.py",
)
"""Modules that hold kernels, those whose constants they take, and the one that loads them all."""


def _version() -> tuple[str, str]:
    """Python and digest of the kernels' sources; and digest of where all sources lie, since when.

    numba knows a kernel by its file's path and age only; what it calls, and the constants that are
    compiled into it, may live in others. So each version has a directory of its own.
    """
    sources, places = hashlib.sha256(), hashlib.sha256()
    package = Path(__file__).parent
    for pattern in _KERNEL_SOURCES:
        for path in sorted(package.glob(pattern)):
            sources.update(path.relative_to(package).as_posix().encode() + path.read_bytes())
    for path in sorted(package.rglob("*.py")):  # what kernels are called with, others decide
        places.update(f"{path}\0{path.stat().st_mtime_ns}\0".encode(errors="replace"))
    python = f"py{sys.version_info.major}.{sys.version_info.minor}"
    return f"{python}-{sources.hexdigest()[:16]}", places.hexdigest()[:16]


def _cache_directory(version: str) -> tuple[str, bool]:
    """User cache of compiled code of a version, or one that goes with this process; which it is."""
    if given := os.environ.get("NUMBA_CACHE_DIR"):
        return given, True
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    directory = base / "fleetgen" / version
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        lasts = True
    except OSError:  # a home that cannot be written: workers still find what this process compiles
        directory, lasts = Path(tempfile.mkdtemp(prefix="fleetgen-")), False
        atexit.register(shutil.rmtree, directory, ignore_errors=True)
    os.environ["NUMBA_CACHE_DIR"] = str(directory)
    return str(directory), lasts


_VERSION, _PLACE = _version()
KEPT_IN, LASTS = _cache_directory(_VERSION)
"""Directory of compiled code, and whether it outlives this process."""

_WHOLE = Path(
    KEPT_IN,
    f"{_VERSION}-{_PLACE}-{version('numba')}-{llvmlite.binding.get_host_cpu_name()}.whole",
)
"""Stands beside compiled code that is all there: a first run may have been interrupted, numba may
be another by now, and a home may be shared by hosts of several kinds."""


def _plain() -> bool:
    """Whether nothing is compiled at all; numba, too, takes what is no number for no."""
    try:
        return bool(int(os.environ.get("NUMBA_DISABLE_JIT", "0")))
    except ValueError:
        return False


COLD = not _plain() and not os.path.exists(_WHOLE)
"""Whether kernels must be compiled that this process needs."""


def keep() -> None:
    """Note that all kernels are compiled by now, so that later processes find them."""
    global COLD
    if COLD:
        with suppress(OSError):
            _WHOLE.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _WHOLE.touch()
    COLD = False


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """Have a process be noted once it is there; it inherits the block, and is deaf to Ctrl-C."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def beside(*halves: str) -> Iterator[list[int]]:
    """Compile halves of the kernels while this process does something else, then wait for them.

    Gives a list that at the end has the exit code of each. They write nothing: a fault comes again
    where this process compiles instead. None hears the terminal's Ctrl-C; what is cut short here
    ends them.
    """
    processes: list[subprocess.Popen[bytes]] = []
    codes: list[int] = []
    try:
        for half in halves:
            # Of this package, wherever the run was started: `-c` looks there first.
            code = f"import sys; sys.path[:] = {sys.path!r}; from fleetgen import warm; warm.{half}"
            with _signals_blocked():
                command = [sys.executable, "-c", code]
                processes.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))
        yield codes
        codes += [process.wait() for process in processes]
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
                process.wait()


def apart() -> bool:
    """Compile all kernels without loading one into this process; whether that went well."""
    with beside(PHYSICS, SAMPLING) as codes:
        pass
    if any(codes):
        return False
    keep()
    return True
