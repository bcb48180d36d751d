"""What a run would take, by its plan and by this machine's own speed; nothing is written.

The first string of the plan is walked and sampled for about two seconds, in memory. Rows and files
follow from the plan alone; bytes from what the parts came to; time from how long they took.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

from fleetgen import pipeline
from fleetgen.config import RunConfig
from fleetgen.execute import ExecutionSettings, available_cores
from fleetgen.io import manifest
from fleetgen.plan import (
    SINGLE_BYTES_PER_ROW,
    Estimate,
    Plan,
    estimate,
    make_plan,
    rows_of,
    single_files,
)
from fleetgen.schema import FEATURE_STORE, TELEMETRY
from fleetgen.spec import FileEntry, PartJob, RoomJob, SlowPathJob, StringJob
from fleetgen.task import NOWHERE, make_part, slow_path_of, walk
from fleetgen.units import SECONDS_PER_DAY, day_date
from fleetgen.wording import duration, many

J = TypeVar("J", StringJob, RoomJob)

ENOUGH_S = 2.0
"""Time spent on parts, once kernels are loaded."""

PARTS_PER_WORKER = 4
"""Parts that each worker must have, for none to wait for another's last one."""

SINGLE_ROWS_PER_SECOND = 6_000_000
"""Rows per second of a single file, out of parts in Parquet."""

_SHORT_DAYS = 2
_SYSTEMS = 2
_MOST_PARTS = 60
_START_S = {"serial": 1.2, "threads": 1.4, "local": 4.5, "scheduler": 3.0}
"""Interpreter, plan, kernels and, where there is one, the cluster."""
_SHARED_CORE = 1.1
"""What a part takes longer beside others: memory and caches are shared."""
_STORE_S_PER_PART = 0.02
_HISTORY_S_PER_FEATURE = 3e-6
"""Alerts and predictions, of each row of features."""
_REDUCE_S = 0.3
_REDUCE_S_PER_PART = 0.004

_DIMENSION_BYTES = 162 + 120 + 329
"""Of each battery: `battery`, `split`, its final state."""
_EPISODE_BYTES_PER_DAY = 50.0
"""Of each battery: `anomaly`, `alert`, `maintenance_event`."""
_PREDICTION_BYTES = 84
_CONTROL_BYTES = 36_000
"""Plan in `run.json` and manifest, fleet."""
_READABLE_BYTES = 150_000
"""Two catalogues, which hardly change, and `report.html`, 40 to 134 kB."""
_ENTRY_SHARE = 0.7
"""Of a part's receipt, what the manifest repeats."""


@dataclass(frozen=True)
class Told:
    """An estimate with what it rests on.

    `seconds` is how long the run takes on this machine, its compiled code in place. `requests` are
    those of an object store, by method. `scales_to` are the workers beyond which the plan has too
    few parts. `part_seconds` is what a part of this plan takes one core here.
    """

    estimate: Estimate
    seconds: float
    requests: dict[str, int]
    workers: int
    executor: str
    scales_to: int
    parts: int
    part_seconds: float

    def as_json(self) -> dict[str, Any]:
        """All of it as JSON has it."""
        return asdict(self)

    def lines(self) -> Iterator[str]:
        """Tell it."""
        cost = self.estimate
        for name, rows in cost.rows.items():
            count, noun = many(rows, "row").split()
            yield f"{name:<24} {count:>16} {noun}"
        yield f"{'files of parts':<24} {cost.files:>16,}"
        yield f"{'on disk':<24} {cost.bytes / 1e6:>16,.1f} MB"
        yield f"{'memory':<24} {cost.memory_bytes / 1e6:>16,.0f} MB"
        yield f"{'time':<24} {duration(self.seconds):>16} with {many(self.workers, 'worker')}"
        asked = ", ".join(f"{count:,} {name}" for name, count in self.requests.items())
        if asked:
            yield f"on an object store, about {asked} requests"
        yield (
            f"{many(self.parts, 'part')} of {self.part_seconds:.2f} s: no faster with more than "
            f"{many(self.scales_to, 'worker')}"
        )


def estimated(config: RunConfig, tell: Callable[[str], None] = lambda _: None) -> Told:
    """What a run of this configuration would take; computes for about two seconds.

    `tell` is told when the model must be compiled before.

    Raises
    ------
    ConfigError
        As a run would.
    """
    plan = make_plan(config, config.output.directory)
    settings = pipeline.settings_of(config, plan)
    pipeline.compiled(tell)
    return told(plan, settings, measured(plan))


@dataclass(frozen=True)
class Speed:
    """What this machine took for parts of a plan, one core and no Dask.

    Seconds of the walk of a system, at once and for each day, and of a string's and a room's part
    for each row that `rows_of` tells. `row_bytes` is by table; `receipt_bytes` and `member_bytes`
    are of a part, beside its files and for each row of its features. `crowding` is the wall time of
    a second of computing: what else the machine does slows down what is not measured, too.
    """

    walk_s: float
    walk_s_per_day: float
    part_s_per_row: float
    room_s_per_row: float
    row_bytes: dict[str, float]
    receipt_bytes: float
    member_bytes: float
    crowding: float


def measured(plan: Plan) -> Speed:
    """Time the first parts of the first string of the plan's first two systems."""
    days = plan.run.grid.end_day - plan.run.grid.first_day
    firsts: dict[str, StringJob] = {}
    for job in plan.strings:
        firsts.setdefault(job.system.system_id, job)
    jobs = [_cut(job, days) for job in [*firsts.values()][:_SYSTEMS]]
    whole = jobs[0].run.grid.end_day - jobs[0].run.grid.first_day
    short = min(_SHORT_DAYS, whole)
    _timed_walk(jobs[0], short)  # kernels are loaded now
    quick_s, slow_s = (_timed_walk(jobs[0], n) for n in (short, whole))
    per_day = max(0.0, slow_s - quick_s) / (whole - short) if whole > short else 0.0
    for job in jobs:
        slow_path_of(job)
    _timed_part(jobs[0])
    room, room_s = _timed_part(_cut(plan.rooms[0], days))
    parts: list[_Made] = []
    seconds, cpu_s = 0.0, time.process_time()
    while len(parts) < len(jobs) or (seconds < ENOUGH_S and len(parts) < _MOST_PARTS):
        part, took_s = _timed_part(jobs[len(parts) % len(jobs)])
        parts.append(part)
        seconds += took_s
    cpu_s = time.process_time() - cpu_s
    sizes, rows = Counter[str](), Counter[str]()
    for part in (*parts, room):
        for entry in part.files:
            sizes[entry.table] += entry.bytes
            rows[entry.table] += entry.rows
    features = rows[FEATURE_STORE.name]
    return Speed(
        walk_s=max(0.0, quick_s - per_day * short),
        walk_s_per_day=per_day,
        part_s_per_row=seconds / sum(rows_of(part.job) for part in parts),
        room_s_per_row=room_s / max(1, rows_of(room.job)),
        row_bytes={name: size / max(1, rows[name]) for name, size in sizes.items()},
        receipt_bytes=sum(part.receipt_bytes for part in parts) / len(parts),
        member_bytes=sum(part.member_bytes for part in parts) / features if features else 0.0,
        crowding=max(1.0, seconds / cpu_s) if cpu_s else 1.0,
    )


@dataclass(frozen=True)
class _Made:
    job: PartJob
    files: tuple[FileEntry, ...]
    receipt_bytes: int
    member_bytes: int


def _cut(job: J, days: int) -> J:
    """Job of a run that ends a day after the job's block, if it goes on so long, and is nowhere."""
    grid = job.run.grid
    length_s = min(grid.duration_s, min(days, job.block.days + 1) * SECONDS_PER_DAY)
    run = replace(job.run, grid=replace(grid, duration_s=length_s), output_url=NOWHERE)
    return replace(job, run=run)


def _timed_walk(job: StringJob, days: int) -> float:
    grid = job.run.grid
    length_s = min(grid.duration_s, days * SECONDS_PER_DAY)
    run = replace(job.run, grid=replace(grid, duration_s=length_s))
    start_s = time.perf_counter()
    walk(SlowPathJob(run, job.location, job.system))
    return time.perf_counter() - start_s


def _timed_part(job: PartJob) -> tuple[_Made, float]:
    start_s = time.perf_counter()
    part = make_part(job)
    part.close()
    receipt = part.receipt()
    took_s = time.perf_counter() - start_s
    line = manifest.receipt_line(receipt)
    return _Made(job, receipt.files, len(line), len(part.member or b"")), took_s


def told(plan: Plan, settings: ExecutionSettings, speed: Speed) -> Told:
    """What a run of a plan would take, of a machine of that speed."""
    workers = settings.workers or 1
    cost = estimate(plan, workers)
    cores = workers if settings.executor == "scheduler" else min(workers, available_cores())
    parts = len(plan.parts)
    return Told(
        estimate=replace(
            cost,
            bytes=_bytes(plan, cost, speed) if plan.run.format != "none" else 0,
        ),
        seconds=_seconds(plan, cost, speed, settings.executor, cores),
        requests=_requests(plan),
        workers=workers,
        executor=settings.executor,
        scales_to=max(1, parts // PARTS_PER_WORKER),
        parts=parts,
        part_seconds=speed.part_s_per_row * sum(map(rows_of, plan.strings)) / len(plan.strings),
    )


def _seconds(plan: Plan, cost: Estimate, speed: Speed, executor: str, cores: int) -> float:
    days = plan.run.grid.end_day - plan.run.grid.first_day
    walks_s = len(plan.slow_paths) * (speed.walk_s + speed.walk_s_per_day * days)
    parts_s = speed.part_s_per_row * sum(map(rows_of, plan.strings))
    parts_s += speed.room_s_per_row * sum(map(rows_of, plan.rooms))
    written = plan.run.format != "none"
    parts_s += written * _STORE_S_PER_PART * len(plan.parts) * speed.crowding
    shared = _SHARED_CORE if cores > 1 else 1.0
    seconds = shared * (_on(cores, plan.slow_paths, walks_s) + _on(cores, plan.parts, parts_s))
    fixed_s = _START_S[executor]
    if written:
        fixed_s += _HISTORY_S_PER_FEATURE * cost.rows[FEATURE_STORE.name] / cores
        fixed_s += _REDUCE_S + _REDUCE_S_PER_PART * len(plan.parts)
        fixed_s += sum(cost.rows[name] for name in single_files(cost.rows)) / SINGLE_ROWS_PER_SECOND
    return seconds + fixed_s * speed.crowding


def _on(cores: int, jobs: Sequence[object], seconds: float) -> float:
    """Time of equal jobs on so many cores, the last turn of which may not be full."""
    return seconds * -(-len(jobs) // cores) / len(jobs)


def _bytes(plan: Plan, cost: Estimate, speed: Speed) -> int:
    grid = plan.run.grid
    days = grid.duration_s / SECONDS_PER_DAY
    jars = sum(map(len, plan.selected.values()))
    size = sum(cost.rows[table.name] * speed.row_bytes.get(table.name, 0.0) for table in TELEMETRY)
    size += cost.rows[FEATURE_STORE.name] * speed.member_bytes
    size += len(plan.parts) * speed.receipt_bytes * (1 + _ENTRY_SHARE)
    size += _CONTROL_BYTES + _READABLE_BYTES
    mondays = sum(day_date(d).weekday() == 0 for d in range(grid.first_day + 1, grid.end_day + 1))
    size += jars * (_DIMENSION_BYTES + _EPISODE_BYTES_PER_DAY * days + _PREDICTION_BYTES * mondays)
    for name, form in single_files(cost.rows).items():
        size += cost.rows[name] * SINGLE_BYTES_PER_ROW[form]
    return round(size)


def _requests(plan: Plan) -> dict[str, int]:
    """Requests to an object store: as the code asks, without trying again.

    A put is followed by a look; each part and history is a put or more, and histories read the
    receipts of their parts for each table.
    """
    strings, rooms, systems = len(plan.strings), len(plan.rooms), len(plan.slow_paths)
    histories = len(plan.histories)
    of_strings = histories - len({job.sensor_id for job in plan.rooms})
    if plan.run.format == "none":
        return {}
    single = len(single_files(estimate(plan, 1).rows))
    put = 9 * strings + 2 * rooms + systems + histories + single + 21
    return {
        "PUT": put,
        "GET": (
            (strings + rooms)
            + (4 * strings + of_strings + rooms)
            + (4 + single) * strings
            + 3 * histories
            + systems
            + 4
        ),
        "HEAD": put + 5,
        "LIST": 9 + (strings + rooms) // 1000,
    }
