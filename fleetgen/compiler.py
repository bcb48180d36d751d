"""Compile the kernels in processes that end: what a compiler takes of memory goes with them.

Two compile at the same time, the physics and the sampling. The second begins with how strings share
a load: the walk of a day takes longest to compile, and finds that in the cache.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

PHYSICS = "physics()"
SAMPLING = "sharing(); warm.sampling(); warm.rare()"


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
    from fleetgen import jit  # numba: 0.3 s

    with beside(PHYSICS, SAMPLING) as codes:
        pass
    if any(codes):
        return False
    jit.keep()
    return True
