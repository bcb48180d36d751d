"""The compile decorator: the only door to numba.

Kernels use + - * / sqrt and integers alone, never libm, so that they give equal bits on every CPU;
`fastmath` stays off for the same reason. With `NUMBA_DISABLE_JIT=1` the same source runs as plain
Python; a test compares both. Compiled code is cached per user, version and kernel source.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

_Function = TypeVar("_Function", bound=Callable[..., object])


_KERNEL_SOURCES = (
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

os.environ.setdefault("NUMBA_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_OPT", "2")  # as fast as 3 here, and compiles in two thirds of the time

import llvmlite.binding  # type: ignore[import-untyped]  # noqa: E402
import numba  # noqa: E402  (reads the cache directory when it is imported)

_WHOLE = Path(
    KEPT_IN,
    f"{_VERSION}-{_PLACE}-{numba.__version__}-{llvmlite.binding.get_host_cpu_name()}.whole",
)
"""Stands beside compiled code that is all there: a first run may have been interrupted, numba may
be another by now, and a home may be shared by hosts of several kinds."""
_PLAIN: bool = numba.config.DISABLE_JIT  # type: ignore[attr-defined]
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


def kernel(function: _Function) -> _Function:
    """`function`, compiled on first use: no GIL, IEEE semantics, cached."""
    compile_later = numba.njit(  # type: ignore[call-overload]
        nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True
    )
    compiled: _Function = compile_later(function)
    return compiled
