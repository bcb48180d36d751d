"""The compile decorator: the only door to numba.

Kernels use + - * / sqrt and integers alone, never libm, so that they give equal bits on every CPU;
`fastmath` stays off for the same reason. With `NUMBA_DISABLE_JIT=1` the same source runs as plain
Python; a test compares both. Compiled code is kept where `compiler` says.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

from fleetgen import compiler

os.environ.setdefault("NUMBA_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_OPT", "2")  # as fast as 3 here, and compiles in two thirds of the time

import numba  # reads its settings when it is imported, which may have been before

numba.config.CACHE_DIR = compiler.KEPT_IN  # type: ignore[attr-defined]

_Function = TypeVar("_Function", bound=Callable[..., object])


def kernel(function: _Function) -> _Function:
    """`function`, compiled on first use: no GIL, IEEE semantics, cached."""
    compile_later = numba.njit(  # type: ignore[call-overload]
        nogil=True, cache=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True
    )
    compiled: _Function = compile_later(function)
    return compiled
