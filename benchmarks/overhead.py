"""The whole run against its writer alone: what everything but the encoding and storing costs."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections import defaultdict
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import count
from multiprocessing.synchronize import Barrier
from pathlib import Path
from unittest import mock

from benchmarks.bench import Bench
from benchmarks.command import WORKER_ENVIRONMENT, Flags, Size
from benchmarks.record import Figure, Result
from benchmarks.stages import plan_of, spread
from fleetgen import task
from fleetgen.io import tables
from fleetgen.io.store import open_store
from fleetgen.schema import JAR_RAW, TABLES, Table
from fleetgen.spec import PartJob, RowGroup

SIZE = Size(4, 90)
PROCESSES = 2
STRING_PARTS = 3
"""String parts that a process keeps in memory."""

WAIT_S = 120

Ready = dict[str, list[RowGroup]]


@dataclass(frozen=True)
class Written:
    """What one process wrote."""

    jar_rows: int
    bytes: int
    parts: int
    seconds: float

    @property
    def rate(self) -> float:
        """Jar samples per second."""
        return self.jar_rows / self.seconds


def measure(bench: Bench) -> Result:
    """Writers alone, the whole run, writers alone."""
    flags = bench.size(SIZE).flags()
    seconds = 0.1 if bench.quick else 15.0
    context = multiprocessing.get_context("spawn")
    with (
        mock.patch.dict(os.environ, WORKER_ENVIRONMENT),
        ProcessPoolExecutor(
            PROCESSES, context, _prepare, (flags, bench.directory(), context.Barrier(PROCESSES))
        ) as pool,
    ):
        before = list(pool.map(_write, [seconds] * PROCESSES))
        run = bench.generate({**flags, **bench.on_workers})
        after = list(pool.map(_write, [seconds] * PROCESSES))
    rates = [sum(written.rate for written in each) for each in (before, after)]
    writer = sum(rates) / len(rates)
    return Result(
        figures=[
            Figure("writer alone, jar samples/s", writer),
            Figure("whole run, jar samples/s", run.rate),
            Figure("whole run over writer alone", run.rate / writer, at_least=0.6),
            Figure("writer before over after", rates[0] / rates[1]),
        ],
        runs=[before, run, after],
        notes=f"{PROCESSES} processes encode, compress and store (with fsync) all tables of parts "
        "whose row groups lie ready in memory, string and room parts in the proportion of the run; "
        "no logical digest, no SHA-256, no CSV copy of the features, no receipts.",
    )


class _Writer:
    """A process that keeps some parts of a run in memory."""

    def __init__(self, flags: Flags, directory: Path, barrier: Barrier) -> None:
        self._directory, self._barrier = directory / str(os.getpid()), barrier
        plan = plan_of({**flags, "format": "none"}, self._directory / "unwritten")
        self._run = plan.run
        self._strings = [_ready(job) for job in spread(plan.strings, STRING_PARTS)]
        self._room = _ready(plan.rooms[0])
        self._strings_per_room = round(len(plan.strings) / len(plan.rooms))

    def write(self, seconds: float) -> Written:
        """Write the parts again and again, all processes at the same time."""
        jar_rows = size = 0
        self._barrier.wait(WAIT_S)
        start_s = time.perf_counter()
        for done in count(1):
            part = self._strings[done % len(self._strings)]
            size += self._store(part, f"{start_s}-{done}")
            if done % self._strings_per_room == 0:
                size += self._store(self._room, f"{start_s}-{done}-room")
            jar_rows += sum(group["ts"].rows for group in part[JAR_RAW.name])
            elapsed_s = time.perf_counter() - start_s
            if elapsed_s >= seconds:
                break
        return Written(jar_rows, size, done, elapsed_s)

    def _store(self, part: Ready, name: str) -> int:
        """Write a part as a worker does; gives its bytes."""
        store, size = open_store(str(self._directory)), 0
        for table, groups in part.items():
            writer = tables.open_writer(
                self._run.writer, TABLES[table], self._run.grid.time_zone, {}
            )
            for group in groups:
                writer.add(group)
            data = writer.close()
            store.put(f"{table}/{name}.parquet", data)
            size += len(data)
        return size


_writer: list[_Writer] = []
"""The writer of this process."""


def _prepare(flags: Flags, directory: Path, barrier: Barrier) -> None:
    _writer.append(_Writer(flags, directory, barrier))


def _write(seconds: float) -> Written:
    return _writer[0].write(seconds)


def _ready(job: PartJob) -> Ready:
    """Row groups of a part by table."""
    made: Ready = defaultdict(list)

    class Keeper:
        def __init__(self, table: Table) -> None:
            self._groups = made[table.name]

        def add(self, row_group: RowGroup) -> None:
            self._groups.append(row_group)

        def close(self) -> bytes:
            return b""

    def keep(kind: str, table: Table, time_zone: str, metadata: Mapping[str, str]) -> Keeper:
        return Keeper(table)

    with mock.patch.object(tables, "open_writer", keep):
        task.begin_job(job)()
    return dict(made)
