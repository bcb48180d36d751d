"""How runs scale beyond this machine: a simulation, held against clusters that sleep.

Its costs are the CPU time that Dask's processes take for parts that sleep as long as parts last, on
other numbers of workers than those on which its time is held against the clock. Beyond 256 workers
nothing was measured: what is said there is extrapolated.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from unittest import mock

from benchmarks.bench import Bench
from benchmarks.command import ROOT, WORKER_ENVIRONMENT, Flags, Observed, Size
from benchmarks.record import Figure, Grid, Result
from benchmarks.scaling.simulation import Costs, Outcome, Place, simulate
from benchmarks.scaling.sleepers import cluster
from benchmarks.stages import plan_of, spread
from fleetgen.execute import available_cores

FITTED_ON = (8, 32, 128)
SHAPED_ON = (16, 64, 256)
"""Numbers of workers whose errors were seen while the form of the simulation was still changed."""
HELD_ON = (24, 96, 192)
"""Numbers of workers that were first looked at when its form no longer changed."""
WITHIN = 0.15
SLEEPS_PER_WORKER = 8
WORKERS = (1, 2, 8, 32, 128, 512, 1024, 2048, 4096, 10_000)
STRINGS_TIMED = 4
REDUCED = (1, 4)
"""Locations of two runs, of whose reduce one follows for any number of parts."""
MOST_PER_WORKER = 50
FIGURE = ROOT / "docs" / "figures" / "scaling.png"

# A part of a string and month, from a run through a proxy that counts: PUT of its files, of its
# piece of the feature file and of its receipt, and of the room's, which is shared by 9 strings.
REQUESTS = 10
# docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance.html: at least 3,500 PUT per
# second and prefix, and latencies of 100 to 200 ms for small objects.
REQUESTS_PER_S = 3500.0
# Files together, then the receipt: each put and then looked at.
STORE_S = 4 * 0.1
# One part in a hundred takes three times as long: assumed, for shared machines.
STRAGGLERS, SLOWER = 0.01, 3.0

# Published prices of us-east-1: m7g.large, 2 cores, on demand, June 2026 (factualminds.com, Amazon
# EC2 on-demand pricing); requests and a month of storage, S3 Standard (aws.amazon.com/s3/pricing).
# The times are of another processor.
DOLLARS_PER_CORE_H = 0.0816 / 2
DOLLARS_PER_PUT = 0.005 / 1000
DOLLARS_PER_GB_MONTH = 0.023
BYTES_PER_JAR_SAMPLE = 3.76e9 / 3_023_308_800


@dataclass(frozen=True)
class Times:
    """What jobs of the production run last in one process [s]."""

    slow_paths: Sequence[float]
    parts: Sequence[float]
    histories: Sequence[float]
    reduce: float
    reduce_per_part: float
    start: float


@dataclass(frozen=True)
class Workload:
    """A run: 81 strings of 24 batteries, or many times as many, sampled every 5 s."""

    name: str
    strings: int
    months: int

    @property
    def parts(self) -> int:
        """Parts of strings."""
        return self.strings * self.months

    @property
    def jar_samples(self) -> float:
        """Samples of 24 batteries a string, in months of 30.4 days."""
        return self.strings * 24 * self.months * 365 / 12 * 17280


WORKLOADS = (
    Workload("production run, 90 days", 81, 3),
    Workload("the fleet, a year", 81, 12),
    Workload("a million batteries, a year", 41_667, 12),
)
MODES = ("Dask", "Dask, 2 threads a worker", "array jobs")


def measure(bench: Bench) -> Result:
    """Fit, hold against measured points, extrapolate, draw."""
    times = _times(bench)
    fitted_on, shaped_on, held_on = (
        ((1, 2), (), (3,)) if bench.quick else (FITTED_ON, SHAPED_ON, HELD_ON)
    )
    costs = [_costs(workers, times.parts) for workers in fitted_on]
    shaped, held = (
        [_held(workers, costs[-1], times.parts) for workers in each]
        for each in (shaped_on, held_on)
    )
    grown = extrapolated(times, costs[-1], WORKERS[:3] if bench.quick else WORKERS)
    if not bench.quick:
        draw(grown, sorted([*shaped, *held]))
    worst = max(abs(row[3] - 1) for row in held)
    return Result(
        figures=[
            Figure(
                "worst error of the simulation where it was held against", worst, "", None, 0.15
            ),
            Figure("scheduler's CPU time per part", 1000 * costs[-1].scheduler_s, "ms"),
            Figure("client's CPU time per part", 1000 * costs[-1].client_s, "ms"),
            Figure("a part's time", fmean(times.parts), "s"),
        ],
        runs=[
            {
                "costs": [vars(c) for c in costs],
                "times": vars(times),
                "shaped": shaped,
                "held": held,
            }
        ],
        grids=[
            Grid(
                "Parts that sleep, simulated and measured",
                ("workers", "simulated, s", "measured, s", "simulated over measured"),
                held,
            ),
            Grid(
                "The same, seen while the form of the simulation was changed (twice)",
                ("workers", "simulated, s", "measured, s", "simulated over measured"),
                shaped,
            ),
            Grid(
                "Extrapolated, not measured: time, share of the workers' time in which they "
                "compute, and cost with a month of storage",
                ("run", "how", "workers", "minutes", "efficiency", "US$"),
                grown,
            ),
        ],
        notes=f"Costs are those on {fitted_on[-1]} workers; {fitted_on} were looked at. S3 with "
        f"{REQUESTS_PER_S:,.0f} PUT per second for the whole data set, {REQUESTS} of them and "
        f"{STORE_S} s per part; one part in {1 / STRAGGLERS:.0f} takes {SLOWER:g} times as long. "
        "Slow paths, parts and histories follow one another here, though they overlap by now: in "
        "that, times are upper bounds. The reduce is one process. Array jobs "
        "have no scheduler, start Python once each, and walk a system's slow path once per job.",
    )


# --- measured -------------------------------------------------------------------------------------


def _times(bench: Bench) -> Times:
    context = multiprocessing.get_context("spawn")
    size = bench.size(Size(9, 90))
    with (
        mock.patch.dict(os.environ, WORKER_ENVIRONMENT),
        ProcessPoolExecutor(1, context) as pool,
    ):
        timed = pool.submit(_timed, size.flags(), bench.directory()).result()
    small, large = (
        bench.generate({**bench.size(Size(locations, 90)).flags(), **bench.on_workers})
        for locations in REDUCED
    )
    parts = 3 * 9 * (REDUCED[1] - REDUCED[0])
    per_part = max(0.0, _reduce_s(large) - _reduce_s(small)) / parts
    rest_s = max(0.0, _reduce_s(small) - 3 * 9 * REDUCED[0] * per_part)
    start_s = large.began_s["slow path"]
    return replace(timed, reduce=rest_s, reduce_per_part=per_part, start=start_s)


def _reduce_s(run: Observed) -> float:
    return run.wall_s - run.began_s["reduce"]


def _timed(flags: Flags, out: Path) -> Times:
    """Jobs of a few strings, each timed, in this process."""
    from fleetgen.history import begin_history
    from fleetgen.task import begin_job

    plan = plan_of(flags, out)
    ids = spread(list(dict.fromkeys(job.string.string_id for job in plan.strings)), STRINGS_TIMED)
    strings = [job for job in plan.strings if job.string.string_id in ids]
    systems = {job.system.system_id for job in strings}
    slow = [job for job in plan.slow_paths if job.system.system_id in systems]
    histories = [j for j in plan.histories if {p.key for p in j.parts} <= {s.key for s in strings}]
    begin_job(slow[0])()
    begin_job(strings[0])()  # compiled code comes from its cache
    return Times(
        [_seconds(begin_job, job) for job in slow],
        [_seconds(begin_job, job) for job in strings],
        [_seconds(begin_history, job) for job in histories],
        *(0.0, 0.0, 0.0),
    )


def _seconds(begin: object, job: object) -> float:
    start_s = time.perf_counter()
    begin(job)()  # type: ignore[operator]
    return time.perf_counter() - start_s


def _costs(workers: int, lengths: Sequence[float]) -> Costs:
    with cluster(workers) as sleepers:
        parts = _drawn(workers, lengths)
        return sleepers.sleep(parts).costs(len(parts))


def _drawn(workers: int, lengths: Sequence[float]) -> list[float]:
    draw_of = random.Random(workers).choice
    return [draw_of(lengths) for _ in range(SLEEPS_PER_WORKER * workers)]


def _held(workers: int, costs: Costs, lengths: Sequence[float]) -> tuple[float, ...]:
    parts = _drawn(workers, lengths)
    with cluster(workers) as sleepers:
        place = Place(workers, costs, hosts=sleepers.hosts, cores=available_cores())
        said, seen = simulate(place, parts).seconds, sleepers.sleep(parts).wall_s
    return workers, said, seen, said / seen


# --- extrapolated ---------------------------------------------------------------------------------


def extrapolated(
    times: Times, costs: Costs, workers: Sequence[int]
) -> list[tuple[str, str, int, float, float, float]]:
    """Rows of run, mode, workers, minutes, efficiency, dollars."""
    return [
        (load.name, mode, count, *run(load, mode, count, times, costs))
        for load in WORKLOADS
        for mode in MODES
        for count in workers
        if count <= load.parts
    ]


def run(
    load: Workload, mode: str, workers: int, times: Times, costs: Costs
) -> tuple[float, float, float]:
    """Minutes, efficiency and dollars of a run: its stages one after the other."""
    free = Costs(0.0, 0.0, 0.0)
    array = mode == "array jobs"
    place = Place(
        workers,
        free if array else costs,
        threads=2 if "2 threads" in mode else 1,
        requests=REQUESTS,
        requests_per_s=REQUESTS_PER_S,
        store_s=STORE_S,
    )
    light = replace(place, requests=1)  # a checkpoint, a history
    growth = load.months / 3  # slow paths and histories grow with the duration
    systems = max(1, round(load.strings * 21 / 81))
    done: list[Outcome] = []
    # A share of an array walks each system of its parts; neighbours have one in common.
    walks = systems + workers - 1 if array else systems
    done.append(simulate(light, _lengths(times.slow_paths, walks, growth, 1)))
    done.append(_simulated(place, load.parts, lambda count: _lengths(times.parts, count, 1, 2)))
    finishing = replace(light, workers=2, costs=costs) if array else light
    done.append(simulate(finishing, _lengths(times.histories, load.strings, growth, 3)))
    reduce_s = times.reduce + times.reduce_per_part * load.parts
    wide_s = times.start + done[0].seconds + done[1].seconds + (0 if array else done[2].seconds)
    narrow_s = reduce_s + (done[2].seconds if array else 0)
    busy_s = sum(outcome.busy_s for outcome in done)
    core_s = workers * wide_s + (2 * narrow_s if array else workers * narrow_s)
    dollars = (
        core_s / 3600 * DOLLARS_PER_CORE_H
        + load.parts * REQUESTS * DOLLARS_PER_PUT
        + load.jar_samples * BYTES_PER_JAR_SAMPLE / 1e9 * DOLLARS_PER_GB_MONTH
    )
    return (wide_s + narrow_s) / 60, busy_s / core_s, dollars


def _simulated(place: Place, count: int, lengths: Callable[[int], Iterator[float]]) -> Outcome:
    """All parts, or, of very many for each worker, some of them for the rest."""
    some = min(count, max(MOST_PER_WORKER * place.workers, 10_000))
    outcome, times = simulate(place, lengths(some)), count / some
    return replace(outcome, seconds=times * outcome.seconds, busy_s=times * outcome.busy_s)


def _lengths(measured: Sequence[float], count: int, growth: float, seed: int) -> Iterator[float]:
    """Lengths of jobs, drawn from those measured; some lag behind."""
    draws = random.Random(seed)
    for _ in range(count):
        yield growth * draws.choice(measured) * (SLOWER if draws.random() < STRAGGLERS else 1.0)


# --- drawn ----------------------------------------------------------------------------------------


def draw(
    grown: Sequence[tuple[str, str, int, float, float, float]], held: Sequence[Sequence[float]]
) -> None:
    """Time and efficiency over workers."""
    import matplotlib as mpl

    mpl.use("svg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9.6, 4.2), layout="constrained")
    colours = dict(zip((w.name for w in WORKLOADS), ("#0b6e99", "#c2571a", "#5b5f97"), strict=True))
    for load in WORKLOADS:
        for mode, style in zip(MODES, (":", "-", "--"), strict=True):
            rows = [row for row in grown if row[:2] == (load.name, mode)]
            for axis, column in zip(axes, (3, 4), strict=True):
                label = load.name if style == "-" else None
                axis.plot(
                    [row[2] for row in rows],
                    [row[column] for row in rows],
                    style,
                    color=colours[load.name],
                    label=label,
                )
    for axis, name in zip(axes, ("minutes", "share of time spent computing"), strict=True):
        axis.set_xscale("log")
        axis.set_xlabel("workers (cores)")
        axis.set_title(name, loc="left", fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25)
    axes[0].set_yscale("log")
    axes[1].set_ylim(0, 1)
    axes[0].legend(frameon=False, fontsize=9)
    worst = max(abs(row[3] - 1) for row in held)
    figure.suptitle(
        "Extrapolated by a simulation within "
        f"{100 * worst:.0f} % of clusters of {held[0][0]} to {held[-1][0]} sleeping workers\n"
        "solid: Dask, 2 threads a worker; dotted: one thread; dashed: array jobs without Dask",
        fontsize=10,
        x=0.01,
        ha="left",
    )
    figure.savefig(FIGURE, dpi=120)
