"""Run jobs in this process, on threads, on local processes or on a Dask scheduler.

The only door to Dask. Jobs become delayed tasks, computed as futures in a sliding window. Results
are small and are taken as they come; no finished future is held, so that the death of the worker
that made it repeats nothing.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import pickle
import signal
import socket
import sys
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from multiprocessing import forkserver, resource_tracker
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Any, Literal, NoReturn, Protocol, TypeVar

from fleetgen import credentials, versions
from fleetgen.errors import (
    ClusterError,
    FleetgenError,
    SimulationError,
    StorageError,
)

_JOBS_PER_WORKER = 4
_THREADS_PER_WORKER = 2  # local: one computes, one waits for the disk
_CONNECT_S = 10
_NO_WORKERS_S = 45  # with what goes before and after, a lost cluster is told within a minute
_POLL_S = 2
_ANSWER_S = 5
_LOOK_S = 5  # at ten thousand workers, a look costs a scheduler some ten milliseconds
_SETTLE_S = 0.2
_AGAIN_S = 0.01
_THEN_AGAIN = "then run the same command again: finished parts are kept"

_WORKER_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    # Dask's own choice, to give freed memory back at once, costs a page fault for each page of each
    # array: 2.9 s instead of 0.6 s in a loop of 24 MB temporaries.
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 31),
    "MALLOC_ARENA_MAX": "1",  # the threads that wait for the disk need no heap of their own
}

_LOCAL_CONFIG = {
    "distributed.worker.multiprocessing-method": "forkserver",
    # Results are a few hundred bytes: nothing to spill.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    # What Dask watches by default, profiles among it, takes a tenth of a core with two workers.
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "2s",
    # Ten looks a second at each worker's memory were half of what Dask takes beside the jobs; one
    # that passes its limit is ended up to a second later.
    "distributed.worker.memory.monitor-interval": "1s",
}

# Each end of a line keeps so many messages, 1,000 by Dask's choice, jobs of 7 to 17 kB among them:
# what the client holds must not grow with the parts.
_LOGS = {"distributed.admin.low-level-log-length": 20}

_UNTOLD = {"distributed.worker.profile.enabled": False, **_LOGS}
"""Of a local cluster, when no account of the run is asked for."""


_ROLES = ("client", "scheduler", "worker")
"""Whom Dask tells apart by certificate."""

_CGROUP_MEMORY = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
    ),
)
"""Files of Linux that say what a container may hold, and what it holds: of version 2 and 1."""


class Keyed(Protocol):
    """A job with a name that no other job of the run has."""

    @property
    def key(self) -> str:
        """Name of the job."""


J = TypeVar("J", bound=Keyed)
R = TypeVar("R")
Begin = Callable[[J], Callable[[], R]]


@dataclass(frozen=True)
class ExecutionSettings:
    """Where jobs run; changes no value of the data.

    `workers` is one per available core by default. `memory_limit_bytes` is that of one local worker
    process. The executor "scheduler" takes an address, or the file that `dask scheduler
    --scheduler-file` writes.
    """

    executor: Literal["serial", "threads", "local", "scheduler"] = "local"
    workers: int | None = None
    memory_limit_bytes: int = 1 << 30
    scheduler: str | None = None
    scheduler_file: str | None = None
    performance_report: str | None = None
    """File for Dask's own account of the run, with a local cluster or a given scheduler."""


class Interrupted(KeyboardInterrupt):
    """SIGINT or SIGTERM has arrived."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


@dataclass(frozen=True)
class Capacity:
    """What a worker of a given scheduler may hold, 0 if that is not limited, and computes at once.

    A worker of two threads computes one job, while another is stored.
    """

    memory_bytes: int
    jobs: int


class Engine(ABC):
    """A place where jobs run, open as long as its context (see `open_engine`)."""

    workers: int
    """Jobs that run at the same time, as last known."""

    dashboard_url: str | None = None

    @abstractmethod
    def run(
        self,
        function: Begin[J, R],
        jobs: Iterable[J],
        then: Callable[[R], Iterable[J]] = lambda _: (),
    ) -> Iterator[R]:
        """Yield the result of each job, as it is finished.

        `then` gives the jobs that a result makes possible; they come after all of `jobs`.

        `function` computes a job and returns the call that ends it, of which most is waiting: local
        workers compute the next job meanwhile. Jobs are started in order, those of a window in
        any. The function is importable where it runs, and may run twice for one job. After a fault
        no further job is started.

        Raises
        ------
        FleetgenError
            The function's own; any other fault of it becomes a `SimulationError` with its job.
        ClusterError
            Workers or scheduler were lost.
        """

    def ask(self, function: Callable[[], R]) -> dict[str, R | Exception]:
        """What each worker of a given scheduler answers, by its address; elsewhere there is none.

        What a worker raises, or what keeps it from answering, stands in the place of its answer.
        """
        return {}

    def capacities(self) -> dict[str, Capacity]:
        """What each worker of a given scheduler can take, by address; elsewhere there is none."""
        return {}


@contextmanager
def open_engine(
    settings: ExecutionSettings, run_id: str, preload: Sequence[str] = ()
) -> Iterator[Engine]:
    """Open the engine of the settings.

    Local workers start in the background, with the modules `preload` imported. `run_id` keeps two
    runs on one scheduler apart. Inside, SIGINT and SIGTERM raise `Interrupted` once; outside, no
    process is left.
    """
    workers = settings.workers or available_cores()
    with Signals() as signals, ExitStack() as stack:
        engine: Engine
        match settings.executor:
            case "serial":
                engine = _Serial()
            case "threads":
                engine = _Threads(workers)
                stack.callback(engine.close)
            case "local":
                client = stack.enter_context(_local_cluster(settings, workers, preload, signals))
                engine = _Dask(client, workers, run_id, settings.memory_limit_bytes)
                stack.enter_context(_reported(client, settings.performance_report, signals))
            case "scheduler":
                client = stack.enter_context(_given_scheduler(settings, signals))
                workers = _computing(client.nthreads())
                engine = _Dask(client, workers, run_id, None)
                stack.enter_context(_reported(client, settings.performance_report, signals))
        stack.callback(signals.hold)
        yield engine


def available_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def available_memory() -> int:
    """Memory that this process may still take [bytes]: the machine's, or less by its control group.

    A group also counts the files that it has read or written lately; those that are not in use are
    given back when memory is wanted. Only a limit at the group's own place is seen, which is where
    containers have it.
    """
    import psutil

    free: int = psutil.virtual_memory().available
    for limit, used in _CGROUP_MEMORY:
        try:
            with open(limit, encoding="ascii") as most, open(used, encoding="ascii") as now:
                left = int(most.read()) - int(now.read())
        except (OSError, ValueError):  # "max" is no number
            continue
        return min(free, max(0, left + _given_back(os.path.dirname(used))))
    return free


def _given_back(group: str) -> int:
    """Memory of a control group that holds files which nobody uses [bytes]; 0 if it does not say.

    In version 1 only the total is of the same groups as what is held.
    """
    try:
        with open(os.path.join(group, "memory.stat"), encoding="ascii") as lines:
            told = dict(line.split() for line in lines)
        return int(told.get("total_inactive_file", told.get("inactive_file", 0)))
    except (OSError, ValueError):
        return 0


class Signals:
    """Raises `Interrupted` in the main thread at the first signal; further ones are ignored.

    A handler runs wherever the main thread is at that moment. What it raises in a finalizer or in a
    callback of the garbage collector goes no further than Python's hook for what cannot be raised;
    there it is caught, and raised again a moment later.
    """

    def __init__(self) -> None:
        self._caught: int | None = None
        self._held = False
        self._lost = False
        self._before: dict[int, Any] = {}
        self._unraisable_before = sys.unraisablehook

    def __enter__(self) -> Signals:
        """Take the signals over, in the main thread."""
        if threading.current_thread() is threading.main_thread():
            for signum in (signal.SIGINT, signal.SIGTERM):
                # Whoever ignores a signal (a shell's background job) goes on to ignore it.
                if signal.getsignal(signum) not in (signal.SIG_IGN, None):
                    self._before[signum] = signal.signal(signum, self._handle)
            self._unraisable_before, sys.unraisablehook = sys.unraisablehook, self._unraisable
        return self

    def hold(self) -> None:
        """Keep a signal until `release` or the end, for what must not be cut short."""
        self._held = True

    def release(self) -> None:
        """Raise the signal that came meanwhile."""
        self._held = False
        if self._caught is not None:
            raise Interrupted(self._caught)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Give the signals back, and raise the one that was held."""
        for signum, handler in self._before.items():
            signal.signal(signum, handler)
        if sys.unraisablehook == self._unraisable:
            sys.unraisablehook = self._unraisable_before
        if kind is None and self._caught is not None:
            raise Interrupted(self._caught)

    def _handle(self, signum: int, _: FrameType | None) -> None:
        if self._caught is None or self._lost:
            self._caught, self._lost = self._caught or signum, False
            if not self._held:
                raise Interrupted(self._caught)

    def _unraisable(self, what: Any) -> None:
        if not isinstance(what.exc_value, Interrupted):
            self._unraisable_before(what)
            return
        self._lost = True
        again = threading.Timer(_AGAIN_S, os.kill, (os.getpid(), what.exc_value.signum))
        again.daemon = True
        again.start()


# --- in this process ------------------------------------------------------------------------------


class _Serial(Engine):
    workers = 1

    def run(
        self,
        function: Begin[J, R],
        jobs: Iterable[J],
        then: Callable[[R], Iterable[J]] = lambda _: (),
    ) -> Iterator[R]:
        later: deque[J] = deque()
        for job in chain(jobs, _drained(later)):
            try:
                result = function(job)()
            except Exception as error:
                _raise(job.key, error)
            later.extend(then(result))
            yield result


def _drained(queue: deque[J]) -> Iterator[J]:
    while queue:
        yield queue.popleft()


class _Window(Engine):
    """The sliding window that threads and Dask share."""

    def run(
        self,
        function: Begin[J, R],
        jobs: Iterable[J],
        then: Callable[[R], Iterable[J]] = lambda _: (),
    ) -> Iterator[R]:
        waiting, later = iter(jobs), deque[J]()
        done: SimpleQueue[Any] = SimpleQueue()
        running: dict[Any, str] = {}

        def start() -> None:
            wanted = _JOBS_PER_WORKER * max(1, self._width())  # if all went, `_next` tells of it
            count = max(0, wanted - len(running))
            batch = list(islice(waiting, count))
            batch += islice(_drained(later), count - len(batch))
            for job, future in zip(batch, self._submit(function, batch), strict=True):
                running[future] = job.key
                future.add_done_callback(done.put)

        try:
            start()
            while running:
                ready = [self._next(done)]
                while not done.empty():
                    ready.append(done.get())
                results = [self._result(future, running) for future in ready]
                for future in ready:
                    del running[future]
                for result in results:
                    later.extend(then(result))
                start()
                yield from results
        finally:
            for future in running:
                self._drop(future)

    def _width(self) -> int:
        """Jobs that can run at the same time now."""
        return self.workers

    @abstractmethod
    def _submit(self, function: Begin[J, R], jobs: list[J]) -> list[Any]:
        """Futures of a batch of jobs."""

    @abstractmethod
    def _next(self, done: SimpleQueue[Any]) -> Any:
        """Wait for a finished future."""

    @abstractmethod
    def _result(self, future: Any, running: dict[Any, str]) -> Any:
        """Take the result of a finished future and let it go, or raise its fault.

        `running` maps futures to job keys, in order of submission.
        """

    @abstractmethod
    def _drop(self, future: Any) -> None:
        """Give up a future that is not finished."""


class _Threads(_Window):
    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="fleetgen")

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def _submit(self, function: Begin[J, R], jobs: list[J]) -> list[Any]:
        return [self._pool.submit(lambda job: function(job)(), job) for job in jobs]

    def _next(self, done: SimpleQueue[Any]) -> Any:
        return done.get()

    def _result(self, future: Any, running: dict[Any, str]) -> Any:
        if error := future.exception():
            _raise(running[future], error)
        return future.result()

    def _drop(self, future: Any) -> None:
        future.cancel()


def _raise(job: str, error: BaseException) -> NoReturn:
    if isinstance(error, FleetgenError):
        raise error
    raise SimulationError(
        f"{job}: {type(error).__name__}: {error}. Repeat with --executor serial to see where"
    ) from error


# --- on Dask --------------------------------------------------------------------------------------


class _Dask(_Window):
    def __init__(self, client: Any, workers: int, run_id: str, memory: int | None) -> None:
        from dask.delayed import delayed

        self.workers = workers
        self.dashboard_url = client.dashboard_link
        self._client = client
        self._task = delayed(_perform, pure=False)
        self._run_id = run_id
        self._memory = memory
        self._versions = versions.here()
        self._looked_s = time.monotonic()

    def ask(self, function: Callable[[], R]) -> dict[str, R | Exception]:
        if self._memory:
            return {}
        found: dict[str, R | Exception] = self._client.run(function, on_error="return")
        return found

    def capacities(self) -> dict[str, Capacity]:
        if self._memory:
            return {}
        told = self._client.scheduler_info(n_workers=-1)["workers"]
        return {
            name: Capacity(about["memory_limit"], _computing_threads(about["nthreads"]))
            for name, about in told.items()
        }

    def _width(self) -> int:
        # Workers of a given scheduler come and go; of a local cluster those that go come again.
        if not self._memory and time.monotonic() - self._looked_s > _LOOK_S:
            self._threads()
        return self.workers

    def _submit(self, function: Begin[J, R], jobs: list[J]) -> list[Any]:
        # Pickled here: to Dask a job is one opaque value, not a structure to look for tasks in.
        name = getattr(function, "__name__", "job")
        tasks = [
            self._task(
                pickle.dumps((self._versions, pickle.dumps((function, job), 5)), 5),
                dask_key_name=f"{name}-{self._run_id}-{job.key}",
            )
            for job in jobs
        ]
        # By default, what is submitted within a minute is of one rank, and the first task of each
        # submission goes before the others of all: of a window, some would wait for that minute.
        futures: list[Any] = self._client.compute(
            tasks, sync=False, optimize_graph=False, fifo_timeout=0
        )
        return futures

    def _next(self, done: SimpleQueue[Any]) -> Any:
        seen = time.monotonic()
        while True:
            try:
                return done.get(timeout=_POLL_S)
            except Empty:
                workers = self._threads()
                if workers:
                    seen = time.monotonic()
                elif time.monotonic() - seen > _NO_WORKERS_S:
                    raise ClusterError(
                        f"the scheduler has not answered for {_NO_WORKERS_S} s. Start it again, "
                        f"{_THEN_AGAIN}"
                        if workers is None
                        else _no_workers(local=self._memory is not None)
                    ) from None

    def _threads(self) -> dict[str, int] | None:
        """Threads of each worker that the scheduler knows; None if it does not answer."""
        scheduler = self._client.scheduler  # none once the client has given up
        try:
            found: dict[str, int] | None = scheduler and self._client.sync(
                scheduler.ncores, callback_timeout=_ANSWER_S
            )
        except (OSError, TimeoutError):
            return None
        finally:
            self._looked_s = time.monotonic()
        if found and not self._memory:
            self.workers = _computing(found)
        return found

    def _result(self, future: Any, running: dict[Any, str]) -> Any:
        from distributed import KilledWorker

        if future.status == "error":
            error = future.exception()
            if isinstance(error, KilledWorker):
                self._raise_killed(error, running)
            _raise(running[future], error)
        try:
            return future.result(timeout=_NO_WORKERS_S)
        except (OSError, CancelledError) as error:
            raise ClusterError(
                f"{running[future]}: no result, for the scheduler or the worker is gone. "
                f"Start them again, {_THEN_AGAIN}"
            ) from error
        finally:
            future.release()

    def _raise_killed(self, error: Any, running: dict[Any, str]) -> NoReturn:
        # Dask blames all that the dead workers held: the guilty part, and with it maybe one that
        # waited for it to end, of which word comes a moment later.
        time.sleep(_SETTLE_S)
        suspects = [job for future, job in running.items() if future.status == "error"]
        limit = f" (memory limit {self._memory / 1e6:,.0f} MB)" if self._memory else ""
        raise ClusterError(
            f"{' or '.join(suspects)}: {error.allowed_failures + 1} worker processes{limit} died "
            f"of it, most often for want of memory{'' if self._memory else ' or of fleetgen'}. "
            f"Give a worker more memory or take fewer of them, {_THEN_AGAIN}"
        ) from error

    def _drop(self, future: Any) -> None:
        future.release()


def _perform(packed: bytes) -> Any:
    """Run a job on a worker."""
    from distributed import get_worker

    function, job = _unpacked(packed)
    worker = get_worker()
    with _turn(worker.address, worker.state.nthreads):
        end = function(job)
    return end()


def _computing_threads(threads: int) -> int:
    """How many of a worker's threads compute, while as many wait for a disk or an object store."""
    return -(-threads // 2)


def _computing(threads: Mapping[str, int]) -> int:
    """How many threads of some workers compute."""
    return sum(map(_computing_threads, threads.values()))


_turns: dict[str, threading.Semaphore] = {}
_taking_turns = threading.Lock()


def _turn(worker: str, threads: int) -> threading.Semaphore:
    """What a job holds while it computes on a worker."""
    with _taking_turns:
        return _turns.setdefault(worker, threading.Semaphore(_computing_threads(threads)))


def _unpacked(packed: bytes) -> Any:
    """Function and job, for a worker of the client's versions: one may join at any time."""
    theirs, call = pickle.loads(packed)
    if rows := versions.differing(versions.here(), theirs):
        raise ClusterError(
            _mixed([f"{socket.gethostname()}:{os.getpid():<10} {row}" for row in rows])
        )
    return pickle.loads(call)


@contextmanager
def _local_cluster(
    settings: ExecutionSettings, workers: int, preload: Sequence[str], signals: Signals
) -> Iterator[Any]:
    """Client of a scheduler in this process and of worker processes that are still starting."""
    with ExitStack() as stack:
        stack.enter_context(_environment_restored())
        os.environ.update(_WORKER_ENVIRONMENT)
        signals.hold()
        with _told_of_start(), _interrupts_blocked():  # before all else, for it takes longest
            _start_forkserver(preload)
        signals.release()
        import dask
        import distributed.utils
        from distributed import Client, LocalCluster

        vars(distributed.utils)["_forkserver_preload_set"] = True  # or Dask puts its own list there
        scratch = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="fleetgen-", ignore_cleanup_errors=True)
        )
        ours = {**_LOCAL_CONFIG, "temporary-directory": scratch}
        if not settings.performance_report:
            ours |= _UNTOLD
        stack.enter_context(dask.config.set(ours))
        # A client or cluster whose construction is cut short hangs when it is collected.
        signals.hold()
        with _told_of_start(), _interrupts_blocked():
            cluster = LocalCluster(  # type: ignore[no-untyped-call]
                n_workers=0,
                threads_per_worker=_THREADS_PER_WORKER,
                host="127.0.0.1",
                security=_own_security(),
                dashboard_address="127.0.0.1:0",
                memory_limit=settings.memory_limit_bytes,
                preload=list(preload),
                silence_logs=logging.CRITICAL,
            )
        stack.callback(cluster.close)
        client = Client(cluster, set_as_default=False)  # type: ignore[no-untyped-call]
        stack.callback(client.close)
        signals.release()
        cluster.scale(workers)  # type: ignore[no-untyped-call]
        yield client


@contextmanager
def _told_of_start() -> Iterator[None]:
    """Say what keeps local workers from being started, and the way out."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        raise ClusterError(
            f"the local cluster did not start: {error}. Try --executor threads"
        ) from error


def _own_security() -> Any:
    """Credentials of this run alone, in memory: other users of the machine reach the ports, too."""
    from distributed import Security

    certificate, key = credentials.certificate()
    roles = {
        f"tls_{role}_{what}": text
        for role in _ROLES
        for what, text in (("cert", certificate), ("key", key))
    }
    return Security(require_encryption=True, tls_ca_file=certificate, **roles)  # type: ignore[no-untyped-call]


@contextmanager
def _given_scheduler(settings: ExecutionSettings, signals: Signals) -> Iterator[Any]:
    """Client of a scheduler that has workers, all of them with the versions of this process."""
    import dask
    from distributed import Client
    from distributed.utils import silence_logging_cmgr

    # Asked first, for a client that cannot connect leaves a tangle behind.
    address = reach_scheduler(settings)
    with ExitStack() as stack:
        stack.enter_context(silence_logging_cmgr(logging.CRITICAL))
        if not settings.performance_report:
            stack.enter_context(dask.config.set(_LOGS))
        signals.hold()
        client: Any = Client(address, timeout=_CONNECT_S, set_as_default=False)  # type: ignore[no-untyped-call]
        stack.callback(client.close)
        signals.release()
        try:
            client.wait_for_workers(1, timeout=_NO_WORKERS_S)
        except TimeoutError as error:
            raise ClusterError(_no_workers(local=False)) from error
        _refuse_mixed(client.run(versions.here, on_error="return"))
        yield client


def reach_scheduler(settings: ExecutionSettings) -> str:
    """Address of the given scheduler, with its scheme; ClusterError unless it answers there."""
    import asyncio

    from distributed.comm.addressing import normalize_address
    from distributed.utils import silence_logging_cmgr

    given = settings.scheduler or _address_in(settings.scheduler_file)
    address: str = normalize_address(given)
    try:
        with silence_logging_cmgr(logging.CRITICAL):
            asyncio.run(asyncio.wait_for(_answer(address), _CONNECT_S))
    except Exception as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ClusterError(
            f"no scheduler answers at {given!r} ({reason}). Start one with `dask scheduler` "
            "and give its HOST:PORT, or leave out --scheduler to use this machine"
        ) from error
    return address


def key_files() -> list[str]:
    """Files of private keys that Dask's configuration names."""
    import dask

    named = (dask.config.get(f"distributed.comm.tls.{role}.key", None) for role in _ROLES)
    return sorted({str(name) for name in named if name and "\n" not in str(name)})


async def _answer(address: str) -> None:
    """Wait for the answer of a scheduler."""
    from distributed import Security
    from distributed.core import rpc

    security = Security().get_connection_args("client")  # type: ignore[no-untyped-call]
    connection = rpc(address, timeout=_CONNECT_S, connection_args=security)  # type: ignore[no-untyped-call]
    async with connection as scheduler:
        await scheduler.identity()


def _address_in(scheduler_file: str | None) -> str:
    """Address in a scheduler file, which may be about to be written."""
    if scheduler_file is None:
        raise ClusterError("--executor scheduler needs --scheduler or --scheduler-file")
    deadline = time.monotonic() + _CONNECT_S
    while True:
        try:
            with open(scheduler_file, encoding="utf-8") as file:
                return str(json.load(file)["address"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            if time.monotonic() > deadline:
                raise ClusterError(
                    f"--scheduler-file {scheduler_file!r} gives no address: {error!r}. Start the "
                    "scheduler with `dask scheduler --scheduler-file` and the same path"
                ) from error
            time.sleep(0.1)


def _refuse_mixed(workers: dict[str, dict[str, str] | Exception]) -> None:
    """Refuse workers whose versions differ, for their bytes might."""
    here = versions.here()
    rows = []
    for address, there in sorted(workers.items()):
        if isinstance(there, Exception) and _cannot_import(there):
            there = {**here, "fleetgen": "absent"}
        elif isinstance(there, Exception):
            raise ClusterError(
                f"worker {address} does not answer: {there}. Start it again, {_THEN_AGAIN}"
            )
        rows += [f"{address:<28} {row}" for row in versions.differing(there, here)]
    if rows:
        raise ClusterError(_mixed(rows))


def _cannot_import(error: Exception) -> bool:
    """Whether a worker lacks a module; the scheduler tells the text of what fails before a call."""
    return isinstance(error, ImportError) or "ModuleNotFoundError" in str(error)


def _mixed(rows: list[str]) -> str:
    head = f"{'worker':<28} {versions.HEAD}"
    return "\n  ".join(["workers with other versions; install the same everywhere:", head, *rows])


@contextmanager
def _reported(client: Any, file: str | None, signals: Signals) -> Iterator[None]:
    """Dask's account of what is done inside, as a page; none of what is cut short."""
    if file is None:
        yield
        return
    from distributed import performance_report

    with client.as_current():
        report: Any = performance_report(filename=file)  # type: ignore[no-untyped-call]
        report.__enter__()
        yield
        signals.hold()
        try:
            report.__exit__(None, None, None)
        except Exception as error:  # of the scheduler, of bokeh there, or of this disk
            raise StorageError(
                f"--performance-report {file!r}: {error}. The data set is not concerned"
            ) from error


def _no_workers(*, local: bool) -> str:
    remedy = "Try --executor threads" if local else "Start some with `dask worker`"
    return f"there have been no workers for {_NO_WORKERS_S} s. {remedy}, {_THEN_AGAIN}"


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Keep SIGINT from threads made inside, and from the processes that these start.

    Ctrl-C goes to every process of a terminal. A worker that inherits the blocked signal is deaf to
    it from its first instruction, which a handler set by the worker itself would not be.
    """
    # Started first, for its start would lift the block.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_forkserver(preload: Sequence[str]) -> None:
    """Start the process of which workers are forked; it lives as long as this one.

    It imports `preload` once, and the workers share its memory: what they load of libraries and
    compiled code is most of what they hold.
    """
    multiprocessing.set_forkserver_preload(["distributed.nanny", *preload])
    forkserver.ensure_running()


@contextmanager
def _environment_restored() -> Iterator[None]:
    """Undo what Dask writes into the environment for its worker processes."""
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)
