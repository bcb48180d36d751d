"""What the workers of a given scheduler must be able to do before a run is given to them."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

from fleetgen.errors import ClusterError, FleetgenError, StorageError
from fleetgen.execute import Capacity, Engine
from fleetgen.io.store import PROBE_S, Store, open_store
from fleetgen.places import Options
from fleetgen.plan import WORKER_BYTES
from fleetgen.wording import many


@dataclass(frozen=True)
class Worker:
    """A worker as it was found.

    `memory_bytes` is its limit, 0 if it has none; `ahead_s` how much its clock is ahead of this
    process's at least [s], 0 if that cannot be told. `fault` is why it cannot take part.
    """

    address: str
    name: str
    memory_bytes: int
    ahead_s: float = 0.0
    fault: FleetgenError | None = None


def refuse_unfit(engine: Engine, store: Store) -> None:
    """Refuse workers of which one cannot see the output, write to it, or hold its parts.

    Raises
    ------
    StorageError, ClusterError
        One of them cannot; the message names it, and says how many there are.
    """
    found = look_at(engine, store)
    faults = [each.fault for each in found if each.fault]
    if faults:
        kind, first = type(faults[0]), str(faults[0])
        others = f" (and {len(faults) - 1:,} more of {many(len(found), 'worker')})"
        count = others if faults[1:] else ""
        raise kind(f"{first}{count}")


def look_at(engine: Engine, store: Store | None) -> list[Worker]:
    """Look at each worker of a given scheduler; with a store, whether it can write there."""
    capacities = engine.capacities()
    if not capacities:
        return []
    with nullcontext("") if store is None else store.mark() as mark:
        place = (store.url, store.options, mark) if store else None
        before_s = time.time()
        answers = engine.ask(partial(_answer, place))
        after_s = time.time()
    found = []
    for address, answer in sorted(answers.items()):
        capacity = capacities.get(address, Capacity(0, 1))
        if isinstance(answer, Exception):
            reason = str(answer).partition("\n")[0] or type(answer).__name__
            lost = ClusterError(
                f"worker {address} does not answer ({reason}). Start it again with the same "
                "fleetgen, then run the same command again"
            )
            found.append(Worker(address, "", capacity.memory_bytes, fault=lost))
            continue
        name, now_s, refused = answer
        ahead_s = max(0.0, now_s - after_s) + min(0.0, now_s - before_s)
        fault = next(_faults(f"worker {address} ({name})", capacity, refused), None)
        found.append(Worker(address, name, capacity.memory_bytes, ahead_s, fault))
    return found


def _faults(who: str, capacity: Capacity, refused: str) -> Iterator[FleetgenError]:
    limit, jobs = capacity.memory_bytes, capacity.jobs
    needed = jobs * WORKER_BYTES
    if 0 < limit < needed:
        told = f"a part needs about {WORKER_BYTES / 1e6:,.0f} MB"
        if jobs > 1:
            told = f"{told}, the {jobs:,} that it computes at a time {needed / 1e6:,.0f} MB"
        yield ClusterError(
            f"{who} may hold {limit / 1e6:,.0f} MB and {told}; start it with "
            f"`dask worker --nthreads {2 * jobs} --memory-limit {-(-needed // 10**9)}GB` or more"
            f"{', or with fewer threads' if jobs > 1 else ''}"
        )
    if refused:
        yield StorageError(
            f"{who}: {refused}. Client and workers must reach the same storage under the same "
            "URL, each with credentials of its own"
        )


def _answer(place: tuple[str, Options, str] | None) -> tuple[str, float, str]:
    """On a worker: its host and process, its clock [s], and why it cannot write if it cannot."""
    now_s, refused = time.time(), ""
    if place is not None:
        url, options, mark = place
        try:
            _write(open_store(url, options).within(PROBE_S), mark)
        except FleetgenError as error:
            refused = str(error)
    return f"{socket.gethostname()}:{os.getpid()}", now_s, refused


def _write(store: Store, mark: str) -> None:
    """See what the client has put, and put something of one's own."""
    if not store.exists(mark):
        raise StorageError(f"{store.url!r} is another place there, without what is written here")
    store.preflight()
