"""Where the time of a part goes: its steps timed in one process, without Dask.

Every step counts its own time, less that of the steps inside it, so that the sum is the whole.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, TypeVar
from unittest import mock

from benchmarks.command import ROOT, WORKER_ENVIRONMENT, Flags
from fleetgen import task
from fleetgen.config import load
from fleetgen.plan import Plan, make_plan
from fleetgen.spec import Job, StringJob

T = TypeVar("T")

STEPS = {
    "replay (kernel)": ("fleetgen.simulate.replay", "fleetgen.task.world"),
    "instruments (kernel)": (
        "fleetgen.model.sensors.sample_jar",
        "fleetgen.model.sensors.sample_string",
        "fleetgen.model.sensors.sample_room",
        "fleetgen.model.sensors.sample_modes",
        "fleetgen.model.sensors.interpolated",
        "fleetgen.model.sensors.runs_of",
    ),
    "codes": ("fleetgen.sample.Tally.coded",),
    "features": (
        "fleetgen.derive.features.jar_hours",
        "fleetgen.sample.feature_group",
        "fleetgen.sample.string_account",
        "fleetgen.sample.jar_baselines",
    ),
    "alert conditions": (
        "fleetgen.derive.conditions.jar_samples",
        "fleetgen.sample.condition_group",
    ),
    "logical digests": ("fleetgen.sample.Tally.digest", "fleetgen.digest.instant_prefix"),
    "encode": (
        "fleetgen.io.parquet.DirectPartWriter.add",
        "fleetgen.io.parquet.DirectPartWriter.close",
    ),
    "compress (zstd)": ("fleetgen.io.tables.compress",),
    "feature CSV": ("fleetgen.io.csv.csv_gz_member",),
    "SHA-256": ("fleetgen.task.Part.commit",),
    "write and fsync": ("fleetgen.io.local.LocalStore.put_stream",),
    "receipt": ("fleetgen.io.manifest.write_receipt",),
    "read the slow path": ("fleetgen.task._slow_path",),
    "states at the end": ("fleetgen.truth.final_states",),
    "maintenance": ("fleetgen.records.events",),
    "remaining life (truth)": ("fleetgen.records.rul_group",),
}
OTHER = "everything else"
DERIVED = ("features", "alert conditions", "feature CSV", "maintenance")
"""Steps without which a run would leave telemetry and truth alone."""


@dataclass(frozen=True)
class Stages:
    """Seconds by step of some string parts, and the same parts without timers."""

    parts: int
    jar_rows: int
    untimed_s: float
    timed_s: float
    by_step_s: dict[str, float]
    slow_path_s: float
    """Mean time of a system's slow path."""

    @property
    def derived_share(self) -> float:
        """Share of the time in which tables are derived."""
        return sum(self.by_step_s[step] for step in DERIVED) / sum(self.by_step_s.values())


class _Clock:
    """Charges time to the innermost step."""

    def __init__(self) -> None:
        self.spent_s: dict[str, float] = defaultdict(float)
        self._steps = [OTHER]
        self._since_s = time.perf_counter()

    def switch(self) -> None:
        """Charge what has passed to the step under way."""
        now_s = time.perf_counter()
        self.spent_s[self._steps[-1]] += now_s - self._since_s
        self._since_s = now_s

    def timed(self, step: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function`, with its time charged to `step`."""

        def call(*args: Any, **named: Any) -> Any:
            self.switch()
            self._steps.append(step)
            try:
                return function(*args, **named)
            finally:
                self.switch()
                self._steps.pop()

        return call


@contextmanager
def _timers(clock: _Clock) -> Iterator[None]:
    with ExitStack() as stack:
        for step, names in STEPS.items():
            for name in names:
                timed = clock.timed(step, resolve_name(name))
                stack.enter_context(mock.patch(name, timed))
        yield


def measure(flags: Flags, out: Path, strings: int) -> Stages:
    """Make all parts of a few strings, spread evenly over the plan of a run, twice.

    In a process of its own, with the environment of a Dask worker.
    """
    context = multiprocessing.get_context("spawn")
    with (
        mock.patch.dict(os.environ, WORKER_ENVIRONMENT),
        ProcessPoolExecutor(1, context) as pool,
    ):
        return pool.submit(_measure, flags, out, strings).result()


def _measure(flags: Flags, out: Path, strings: int) -> Stages:
    plan = plan_of(flags, out)
    ids = spread(list(dict.fromkeys(job.string.string_id for job in plan.strings)), strings)
    chosen = [job for job in plan.strings if job.string.string_id in ids]
    systems = {job.system.system_id for job in chosen}
    slow = [job for job in plan.slow_paths if job.system.system_id in systems]
    _do([slow[0], chosen[0]])  # compiled code comes from its cache
    slow_s = _do(slow)
    untimed_s = _do(chosen)
    clock = _Clock()
    with _timers(clock):
        clock.switch()
        clock.spent_s.clear()
        timed_s = _do(chosen)
        clock.switch()
    rows = sum(jar_rows(plan, job) for job in chosen)
    return Stages(len(chosen), rows, untimed_s, timed_s, dict(clock.spent_s), slow_s / len(slow))


def plan_of(flags: Flags, out: Path) -> Plan:
    """The plan that `fleetgen generate` makes of these flags."""
    named = dict(flags)
    file = named.pop("config", None)
    return make_plan(load(None if file is None else ROOT / str(file), flags=named), str(out))


def spread(items: Sequence[T], count: int) -> list[T]:
    """At most `count` items at even distances."""
    count = min(count, len(items))
    return [items[(2 * n + 1) * len(items) // (2 * count)] for n in range(count)]


def jar_rows(plan: Plan, job: StringJob) -> int:
    """Jar samples of a part."""
    grid, block = plan.run.grid, job.block
    start_s, end_s = grid.midnight_s(block.first_day), grid.midnight_s(block.end_day)
    return (grid.first_index(end_s) - grid.first_index(start_s)) * len(job.jar_ids)


def _do(jobs: Sequence[Job]) -> float:
    start_s = time.perf_counter()
    for job in jobs:
        task.begin_job(job)()
    return time.perf_counter() - start_s
