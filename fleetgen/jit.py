"""The compile decorator: the only door to numba.

Kernels use + - * / sqrt and integers alone, never libm, so that they give equal bits on every CPU;
`fastmath` stays off for the same reason. With `NUMBA_DISABLE_JIT=1` the same source runs as plain
Python; a test compares both. Compiled code is cached per user, version and kernel source.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
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


def _cache_directory() -> Path:
    """User cache of compiled code, one directory per Python and digest of the kernels' sources.

    numba looks at the age of a kernel's own file only; what it calls, and the constants that are
    compiled into it, may live in others.
    """
    sources = hashlib.sha256()
    package = Path(__file__).parent
    for pattern in _KERNEL_SOURCES:
        for path in sorted(package.glob(pattern)):
            sources.update(path.relative_to(package).as_posix().encode() + path.read_bytes())
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    python = f"py{sys.version_info.major}.{sys.version_info.minor}"
    return base / "fleetgen" / f"{python}-{sources.hexdigest()[:16]}"


def _use_cache() -> bool:
    if "NUMBA_CACHE_DIR" in os.environ:
        return True
    directory = _cache_directory()
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:  # a home that cannot be written: compile each time
        return False
    os.environ["NUMBA_CACHE_DIR"] = str(directory)
    return True


def _is_cold() -> bool:
    directory = Path(os.environ.get("NUMBA_CACHE_DIR", ""))
    return _CACHE and next(directory.rglob("*.nbi"), None) is None


_CACHE = _use_cache()
COLD = _is_cold()
"""Whether the cache held no compiled kernel when this process began."""

os.environ.setdefault("NUMBA_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_OPT", "2")  # as fast as 3 here, and compiles in two thirds of the time

import numba  # noqa: E402  (reads the cache directory when it is imported)


def kernel(function: _Function) -> _Function:
    """`function`, compiled on first use: no GIL, IEEE semantics, cached."""
    compile_later = numba.njit(  # type: ignore[call-overload]
        nogil=True, cache=_CACHE, error_model="numpy", fastmath=False, no_cfunc_wrapper=True
    )
    compiled: _Function = compile_later(function)
    return compiled
