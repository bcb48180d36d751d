"""A run on a cluster as a discrete-event simulation: who waits for whom, and for how long.

A part goes from the client to the scheduler to a worker and back, through stations that serve one
after the other: the client's process, the scheduler's, the worker's own. Between them it takes its
time, and puts its objects into a store that takes so many requests per second. A worker of two
threads computes one part while another is stored. As in the package's engine at most four parts per
worker are under way, so that the next is there when one ends.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice

from fleetgen import execute

Then = Callable[[], None]

PARTS_PER_WORKER = execute._JOBS_PER_WORKER
"""Parts under way for each worker."""


@dataclass(frozen=True)
class Costs:
    """CPU time that one part costs beside its own work [s]."""

    client_s: float
    scheduler_s: float
    worker_s: float


@dataclass(frozen=True)
class Place:
    """Where a run takes place.

    `hosts` processes hold the workers in equal shares, each a process of its own by default;
    `cores` is what client, scheduler and workers' processes have together, None where each has its
    own. A part makes `requests` to a store that takes `requests_per_s` of all parts together, and
    keeps each part waiting for `store_s` at least.
    """

    workers: int
    costs: Costs
    threads: int = 1
    hosts: int | None = None
    cores: int | None = None
    requests: int = 0
    requests_per_s: float = float("inf")
    store_s: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """What came of it: from the first submission to the last result."""

    seconds: float
    busy_s: float
    """Time in which workers computed, summed over them."""
    tail_s: float
    """From the moment at which the first worker had computed its last part to the end."""

    def efficiency(self, workers: int) -> float:
        """Share of the workers' time in which they computed."""
        return self.busy_s / (workers * self.seconds)


class _Station:
    """Serves one demand after the other, on one of the shared cores."""

    __slots__ = ("busy", "queue")

    def __init__(self) -> None:
        self.queue: deque[tuple[float, Then]] = deque()
        self.busy = False


class _Machine:
    """Time, stations on cores, and a store."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.now_s = 0.0
        self._events: list[tuple[float, int, Then]] = []
        self._count = 0
        self._free_cores = float(place.cores or "inf")
        self._ready: deque[_Station] = deque()
        self._request_due_s = 0.0

    def after(self, seconds: float, then: Then) -> None:
        """Go on after some time."""
        self._count += 1
        heapq.heappush(self._events, (self.now_s + seconds, self._count, then))

    def serve(self, station: _Station, seconds: float, then: Then) -> None:
        """Go on when a station has spent some CPU time on it."""
        station.queue.append((seconds, then))
        if not station.busy:
            station.busy = True
            self._ready.append(station)
            self._use_cores()

    def store(self, then: Then) -> None:
        """Go on when the store has taken a part."""
        place = self.place
        begun_s = max(self.now_s, self._request_due_s)
        self._request_due_s = begun_s + place.requests / place.requests_per_s
        self.after(max(self._request_due_s - self.now_s, place.store_s), then)

    def run(self) -> None:
        """Until nothing more is to come."""
        while self._events:
            self.now_s, _, then = heapq.heappop(self._events)
            then()

    def _use_cores(self) -> None:
        while self._ready and self._free_cores >= 1:
            self._free_cores -= 1
            station = self._ready.popleft()
            seconds, then = station.queue.popleft()
            self.after(seconds, partial(self._served, station, then))

    def _served(self, station: _Station, then: Then) -> None:
        self._free_cores += 1
        if station.queue:
            self._ready.append(station)
        else:
            station.busy = False
        then()
        self._use_cores()


class _Run(_Machine):
    """Parts on their way from the client to a worker and back."""

    def __init__(self, place: Place, parts: Iterable[float]) -> None:
        super().__init__(place)
        self.busy_s = self.ended_s = 0.0
        self.computed_s = [0.0] * place.workers
        self._left = iter(parts)
        self._client, self._scheduler = _Station(), _Station()
        self._hosts = [_Station() for _ in range(place.hosts or place.workers)]
        self._idle = deque(worker for _ in range(place.threads) for worker in range(place.workers))
        self._waiting: deque[float] = deque()  # parts for which no thread is free
        self._computing = [False] * place.workers
        self._turn: list[deque[float]] = [deque() for _ in range(place.workers)]

    def submit(self, count: int = 1) -> None:
        """Send the next parts, if there are any, together: nobody sees one before all are there."""
        parts = list(islice(self._left, count))
        if parts:
            assign = partial(self._assign, parts)
            self._by_client(partial(self._by_scheduler, assign, len(parts)), len(parts))

    def _by_client(self, then: Then, count: int = 1) -> None:
        self.serve(self._client, count * self.place.costs.client_s / 2, then)

    def _by_scheduler(self, then: Then, count: int = 1) -> None:
        self.serve(self._scheduler, count * self.place.costs.scheduler_s / 2, then)

    def _by_host(self, worker: int, then: Then) -> None:
        self.serve(self._hosts[worker % len(self._hosts)], self.place.costs.worker_s / 2, then)

    def _assign(self, parts: Sequence[float]) -> None:
        for seconds in parts:
            if self._idle:
                self._receive(self._idle.popleft(), seconds)
            else:
                self._waiting.append(seconds)

    def _receive(self, worker: int, seconds: float) -> None:
        self._turn[worker].append(seconds)
        self._by_host(worker, partial(self._compute, worker))

    def _compute(self, worker: int) -> None:
        if not self._computing[worker] and self._turn[worker]:
            self._computing[worker] = True
            seconds = self._turn[worker].popleft()
            self.after(seconds, partial(self._computed, worker, seconds))

    def _computed(self, worker: int, seconds: float) -> None:
        self.busy_s += seconds
        self.computed_s[worker] = self.now_s
        self._computing[worker] = False
        self._compute(worker)
        if self.place.requests:
            self.store(partial(self._end, worker))
        else:
            self._end(worker)

    def _end(self, worker: int) -> None:
        # The next part is on the worker already: it does not wait for the scheduler.
        if self._waiting:
            self._receive(worker, self._waiting.popleft())
        else:
            self._idle.append(worker)
        told = partial(self._by_scheduler, partial(self._by_client, self._finished))
        self._by_host(worker, told)

    def _finished(self) -> None:
        self.ended_s = self.now_s
        self.submit()


def simulate(place: Place, parts: Iterable[float]) -> Outcome:
    """Let a place do parts of these lengths [s]."""
    run = _Run(place, parts)
    run.submit(PARTS_PER_WORKER * place.workers)
    run.run()
    return Outcome(run.ended_s, run.busy_s, run.ended_s - min(run.computed_s))
