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
    "compiler.py",
    "jit.py",
    "units.py",
    "schema.py",
    "elementary.py",
    "rng.py",
    "digest.py",
    "model/*.py",
    "derive/*.py",
    "io/csv.py",
)
"""Modules that hold kernels, and those whose constants they take."""


def _version() -> tuple[str, str]:
    """Python and digest of the kernels' sources; and digest of where these lie, and since when.

    numba knows a kernel by its file's path and age only; what it calls, and the constants that are
    compiled into it, may live in others. So each version has a directory of its own.
    """
    sources, places = hashlib.sha256(), hashlib.sha256()
    package = Path(__file__).parent
    for pattern in _KERNEL_SOURCES:
        for path in sorted(package.glob(pattern)):
            sources.update(path.relative_to(package).as_posix().encode() + path.read_bytes())
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
_PLAIN = os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")
COLD = not _PLAIN and not os.path.exists(_WHOLE)
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
def beside(*halves: str) -> Iterator[list[int]]:
    """Compile halves of the kernels while this process does something else, then wait for them.

    Gives a list that at the end has the exit code of each; none outlives what is cut short, nor
    hears the Ctrl-C that cuts it.
    """
    processes: list[subprocess.Popen[bytes]] = []
    codes: list[int] = []
    try:
        for half in halves:
            command = [sys.executable, "-c", f"from fleetgen import warm; warm.{half}"]
            processes.append(subprocess.Popen(command, start_new_session=True))
        yield codes
        codes += [process.wait() for process in processes]
    finally:
        for process in processes:
            if process.poll() is None:
                with suppress(OSError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def apart() -> bool:
    """Compile all kernels without loading one into this process; whether that went well."""
    with beside(PHYSICS, SAMPLING) as codes:
        pass
    if any(codes):
        return False
    keep()
    return True
