"""Whether a run could be made here and there: machine, storage, workers, each with the way out."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Literal

from fleetgen import __version__
from fleetgen.config import output_at
from fleetgen.errors import FleetgenError, StorageError
from fleetgen.execute import (
    ExecutionSettings,
    available_cores,
    available_memory,
    key_files,
    open_engine,
    reach_scheduler,
)
from fleetgen.io.store import Store, open_store
from fleetgen.plan import CLIENT_BYTES, WORKER_BYTES
from fleetgen.wording import many
from fleetgen.workers import look_at

CLOCKS_APART_S = 5.0
"""Difference of two clocks that is worth a word; S3 refuses requests that are 15 minutes off."""

LITTLE_ROOM_BYTES = 1_000_000_000

_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Finding:
    """What was looked at, how it is, and what to do unless it is well."""

    level: Level
    what: str
    told: str

    def line(self) -> str:
        """All of it on one line."""
        return f"{self.level:<4}  {self.what}: {' '.join(self.told.split())}"


def examine(
    output: str | None = None,
    storage_options: Sequence[str] = (),
    scheduler: str | None = None,
    scheduler_file: str | None = None,
) -> Iterator[Finding]:
    """Look at this machine and, where they are given, at a data set's place and at a scheduler.

    Leaves nothing at the place but what was there. Findings come as they are made.
    """
    yield Finding("ok", "fleetgen", f"{__version__} on Python {platform.python_version()}")
    yield _packages()
    yield _cores()
    yield _memory()
    yield _room("temporary files", tempfile.gettempdir())
    yield _compile_cache()
    store = None
    if output is not None:
        try:
            place = output_at(output, storage_options)
            store = open_store(place.directory, place.to_options())
            store.preflight()
        except FleetgenError as error:
            yield Finding("fail", "storage", str(error))
            store = None
        else:
            yield Finding("ok", "storage", f"{store.url} can be listed, written, read and cleared")
            if not store.remote:
                yield _room("output", store.url)
    if scheduler or scheduler_file:
        where = ExecutionSettings("scheduler", scheduler=scheduler, scheduler_file=scheduler_file)
        yield from _cluster(where, store)


def _packages() -> Finding:
    """Whether what fleetgen needs is there, in the versions that it needs."""
    from packaging.requirements import Requirement

    try:
        wanted = [Requirement(text) for text in requires("fleetgen") or ()]
    except PackageNotFoundError:
        told = "fleetgen runs from a source tree that is not installed; pip install --editable ."
        return Finding("warn", "packages", told)
    bad, found = [], []
    for need in wanted:
        if need.marker and not need.marker.evaluate({"extra": ""}):
            continue
        try:
            there = version(need.name)
        except PackageNotFoundError:
            bad.append(f"{need.name} is absent")
            continue
        found.append(f"{need.name} {there}")
        if not need.specifier.contains(there, prereleases=True):
            bad.append(f"{need.name} is {there}, not {need.specifier}")
    if bad:
        return Finding("fail", "packages", f"{'; '.join(bad)}. pip install --upgrade fleetgen")
    return Finding("ok", "packages", ", ".join(found))


def _cores() -> Finding:
    cores = available_cores()
    try:
        quota, period = _CPU_QUOTA.read_text("ascii").split()
        allowed = int(quota) / int(period)
    except (OSError, ValueError):  # no control group, or "max"
        allowed = cores
    if allowed < cores:
        told = f"{cores}, of which this container may use {allowed:g}; give --workers "
        return Finding("warn", "cores", f"{told}{max(1, int(allowed))}")
    return Finding("ok", "cores", f"{cores}")


def _memory() -> Finding:
    free, cores = available_memory(), available_cores()
    needed = CLIENT_BYTES + cores * WORKER_BYTES
    run = f"a run on {many(cores, 'worker')}"
    told = f"{free / 1e9:.1f} GB are available; {run} takes {needed / 1e9:.1f}"
    if free >= needed:
        return Finding("ok", "memory", told)
    workers = max(1, (free - CLIENT_BYTES) // WORKER_BYTES)
    return Finding("warn", "memory", f"{told}. Give --workers {workers}, or more memory")


def _room(what: str, place: str) -> Finding:
    standing = Path(place)
    while not standing.exists():
        standing = standing.parent
    try:
        free = shutil.disk_usage(standing).free
    except OSError as error:
        return Finding("fail", what, f"{place}: {error.strerror}. Choose another place")
    told = f"{free / 1e9:.1f} GB are free at {place}"
    if free < LITTLE_ROOM_BYTES:
        return Finding("warn", what, f"{told}; free some, or choose another place")
    return Finding("ok", what, told)


def _compile_cache() -> Finding:
    from fleetgen import compiler

    directory = compiler.KEPT_IN
    way_out = "set XDG_CACHE_HOME to a directory that can be written"
    if not compiler.LASTS or not os.access(directory, os.W_OK):
        told = f"none can be written, so that each run compiles anew (half a minute); {way_out}"
        return Finding("warn", "compiled code", told)
    if compiler.COLD:
        return Finding("warn", "compiled code", f"none yet in {directory}: the first run makes it")
    return Finding("ok", "compiled code", f"kept in {directory}")


def _door(address: str) -> Finding:
    """Whether a scheduler that answers at an address with a scheme lets in whoever reaches it."""
    host = address.partition("://")[2].rpartition(":")[0]
    exposed = [file for file in key_files() if _readable_by_others(file)]
    if not address.startswith("tls:") and host not in _LOOPBACK:
        told = "answers without TLS: whoever reaches it runs code as its user; see cluster/"
    elif exposed:
        told = f"answers, and others can read its key {exposed[0]}; chmod 600 {exposed[0]}"
    else:
        return Finding("ok", "scheduler", f"{address} answers")
    return Finding("warn", "scheduler", f"{address} {told}")


def _readable_by_others(file: str) -> bool:
    try:
        return bool(os.stat(file).st_mode & 0o077)
    except OSError:
        return False


def _cluster(settings: ExecutionSettings, store: Store | None) -> Iterator[Finding]:
    """Scheduler and workers, each with a line."""
    try:
        address = reach_scheduler(settings)
        yield _door(address)
        with open_engine(settings, "doctor") as engine:
            found = look_at(engine, store)
    except StorageError as error:
        yield Finding("fail", "storage", str(error))
        return
    except FleetgenError as error:
        what = "scheduler" if "no scheduler" in str(error) else "workers"
        yield Finding("fail", what, str(error))
        return
    for worker in found:
        held = worker.memory_bytes
        limit = f"memory {held / 1e9:.1f} GB" if held else "no memory limit"
        about = f"{worker.address} ({worker.name}), {limit}"
        if worker.fault:
            yield Finding("fail", "worker", str(worker.fault))
        elif abs(worker.ahead_s) > CLOCKS_APART_S:
            told = f"{about}; its clock is {worker.ahead_s:+.0f} s off this one; set it by NTP"
            yield Finding("warn", "worker", told)
        else:
            written = ", can write the output" if store else ""
            yield Finding("ok", "worker", f"{about}, has the same versions{written}")
