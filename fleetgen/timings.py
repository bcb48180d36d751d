"""How long each part took, and where: kept beside the data set, and no part of it.

Each run that made parts leaves one numbered CSV below `_fleetgen/timings`. No digest, no manifest
and no comparison knows them, for no two runs take the same time.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, fields, replace
from functools import partial
from typing import Generic, TypeVar

from fleetgen.io.store import Store
from fleetgen.spec import Done

TIMINGS = "_fleetgen/timings"

_MOST = 10_000

J = TypeVar("J")


@dataclass(frozen=True)
class Timing:
    """A job that was done: by which process, from when on, and for how long.

    `began` is in seconds by the worker's clock, in a file since the first job of the run began;
    `storing_seconds` are mostly waiting, during which a local worker computes the next job. In a
    file `worker` is a number in order of appearance, for a data set names no machine.
    """

    job: str
    worker: str
    began: float
    computing_seconds: float
    storing_seconds: float
    rows: int
    bytes: int


class Timed(Generic[J]):
    """A function that begins a job, as `execute.Engine.run` takes it, with its times."""

    def __init__(self, begin: Callable[[J], Callable[[], Done]]) -> None:
        self.begin = begin
        self.__name__ = begin.__name__

    def __call__(self, job: J) -> Callable[[], tuple[Done, Timing]]:
        """Compute a job; the call that is returned stores it."""
        began, start = time.time(), time.perf_counter()
        end = self.begin(job)
        return partial(_ended, end, began, time.perf_counter() - start)


def _ended(end: Callable[[], Done], began: float, computing_s: float) -> tuple[Done, Timing]:
    start = time.perf_counter()
    done = end()
    storing_s = time.perf_counter() - start
    worker = f"{socket.gethostname()}:{os.getpid()}"
    times = round(began, 3), round(computing_s, 4), round(storing_s, 4)
    return done, Timing(done.job, worker, *times, done.rows, done.bytes)


def write(store: Store, timings: Sequence[Timing]) -> None:
    """Leave the times of a run under the first number that is free."""
    first_s = min(timing.began for timing in timings)
    numbers: dict[str, str] = {}
    lines = [",".join(field.name for field in fields(Timing))]
    for timing in timings:
        number = numbers.setdefault(timing.worker, str(len(numbers) + 1))
        row = replace(timing, worker=number, began=round(timing.began - first_s, 3))
        lines.append(",".join(map(str, astuple(row))))
    data = "".join(f"{line}\n" for line in lines).encode()
    first = len(store.keys(TIMINGS))
    for number_of_run in range(first, first + _MOST):
        if store.put_if_absent(f"{TIMINGS}/{number_of_run:04d}.csv", data):
            return
