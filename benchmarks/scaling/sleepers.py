"""A Dask cluster of many workers that use no CPU: their parts sleep.

    python -m benchmarks.scaling.sleepers WORKERS SCHEDULER_FILE

runs so many workers of one thread each in one process. Scheduler, workers and client are processes
of their own, on loopback; the client is the package's own engine.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import psutil

from benchmarks.command import ROOT
from benchmarks.scaling.simulation import Costs
from fleetgen.execute import Engine, ExecutionSettings, open_engine

PROCESSES = 4
"""Over which the workers are shared out: a process for each would need memory, not time."""

_UP_S = 120.0

# Hundreds of workers that look at themselves twice a second would need the cores that their parts
# do not: on a cluster each has its own.
_QUIET = {
    "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
    "DASK_DISTRIBUTED__ADMIN__SYSTEM_MONITOR__INTERVAL": "60s",
    "DASK_DISTRIBUTED__ADMIN__TICK__INTERVAL": "10s",
}
_HEARTBEAT = "30s"


@dataclass(frozen=True)
class Sleep:
    """A part that lasts so long and does nothing."""

    key: str
    seconds: float


def begin(job: Sleep) -> Callable[[], float]:
    """Do a part."""

    def end() -> float:
        time.sleep(job.seconds)
        return job.seconds

    return end


@dataclass(frozen=True)
class Observed:
    """Time in which parts were done, and the CPU time of each kind of process [s]."""

    wall_s: float
    client_cpu_s: float
    scheduler_cpu_s: float
    hosts_cpu_s: float

    def costs(self, parts: int) -> Costs:
        """CPU time of one of so many parts."""
        return Costs(
            self.client_cpu_s / parts, self.scheduler_cpu_s / parts, self.hosts_cpu_s / parts
        )


class Sleepers:
    """A running cluster, with the engine that uses it."""

    def __init__(self, engine: Engine, scheduler: int, hosts: Sequence[int]) -> None:
        self._engine = engine
        self._client = psutil.Process()
        self._scheduler = psutil.Process(scheduler)
        self._hosts = [psutil.Process(pid) for pid in hosts]

    @property
    def hosts(self) -> int:
        """Processes that hold the workers."""
        return len(self._hosts)

    def sleep(self, parts: Sequence[float], *, one_by_one: bool = False) -> Observed:
        """Do parts of these lengths [s]; `one_by_one` sends each to the scheduler for itself."""
        jobs = [Sleep(f"{time.monotonic_ns()}-{n}", seconds) for n, seconds in enumerate(parts)]
        together = self._engine._submit
        alone = lambda function, batch: [f for job in batch for f in together(function, [job])]  # noqa: E731
        before = self._cpu_s()
        start_s = time.perf_counter()
        with mock.patch.object(self._engine, "_submit", alone if one_by_one else together):
            for _ in self._engine.run(begin, jobs):
                pass
        wall_s = time.perf_counter() - start_s
        return Observed(wall_s, *(b - a for a, b in zip(before, self._cpu_s(), strict=True)))

    def _cpu_s(self) -> list[float]:
        groups = [self._client], [self._scheduler], self._hosts
        return [sum(sum(each.cpu_times()[:2]) for each in group) for group in groups]


@contextmanager
def cluster(workers: int) -> Iterator[Sleepers]:
    """Sleepers on a scheduler of their own; all processes are ended with the context."""
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        file = Path(place) / "scheduler.json"
        loopback = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
        command = ["distributed.cli.dask_scheduler", *loopback, "--scheduler-file", str(file)]
        scheduler = _start(stack, command)
        shares = [workers // PROCESSES + (n < workers % PROCESSES) for n in range(PROCESSES)]
        hosts = [_start(stack, [__name__, str(n), str(file)]) for n in shares if n]
        settings = ExecutionSettings("scheduler", scheduler_file=str(file))
        _wait(file, workers)
        with open_engine(settings, "sleepers") as engine:
            yield Sleepers(engine, scheduler, hosts)


def _start(stack: ExitStack, module: list[str]) -> int:
    """Start a module with its arguments; gives its pid."""
    process = subprocess.Popen(
        [sys.executable, "-m", *module],
        cwd=ROOT,
        env={**os.environ, **_QUIET},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    stack.callback(process.wait)
    stack.callback(process.kill)
    return process.pid


def _wait(file: Path, workers: int) -> None:
    """Return when the scheduler has its workers."""
    from distributed import Client

    deadline = time.monotonic() + _UP_S
    while not file.exists():
        if time.monotonic() > deadline:
            raise RuntimeError(f"no scheduler after {_UP_S:.0f} s")
        time.sleep(0.1)
    with Client(scheduler_file=str(file), set_as_default=False) as client:
        client.wait_for_workers(workers, timeout=_UP_S)


async def _work(workers: int, file: str) -> None:
    """Run workers until the scheduler is gone."""
    from distributed import Worker

    while not Path(file).exists():
        await asyncio.sleep(0.1)
    async with AsyncExitStack() as stack:
        for _ in range(workers):
            worker = Worker(
                scheduler_file=file,
                nthreads=1,
                host="127.0.0.1",
                memory_limit=0,
                dashboard=False,
                heartbeat_interval=_HEARTBEAT,
            )
            await stack.enter_async_context(worker)
        await worker.finished()


if __name__ == "__main__":
    asyncio.run(_work(int(sys.argv[1]), sys.argv[2]))
