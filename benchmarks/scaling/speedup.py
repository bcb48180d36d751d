"""One worker against two, in Dask and as processes that know nothing of each other.

Strong scaling is the same run on twice the workers, weak scaling twice the run on them.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable

from benchmarks.bench import Bench
from benchmarks.command import WORKER_ENVIRONMENT, Size, run_together
from benchmarks.record import Figure, Result

SIZE, HALF = Size(4, 90), Size(2, 90)
REPETITIONS = 3


def measure(bench: Bench) -> Result:
    """All ways in turn, forwards and backwards."""
    ways = {
        "Dask, 1 worker": lambda: _dask(bench, 1),
        "Dask, 2 workers": lambda: _dask(bench, 2),
        "1 process": lambda: _processes(bench, 1),
        "2 processes": lambda: _processes(bench, 2),
        "Dask, 1 worker, half": lambda: _dask(bench, 1, HALF),
    }
    runs = in_turn(ways, 1 if bench.quick else REPETITIONS)
    wall_s = {name: min(wall for wall, _ in each) for name, each in runs.items()}
    parts_s = {name: min(parts for _, parts in each) for name, each in runs.items()}
    dask = wall_s["Dask, 1 worker"] / wall_s["Dask, 2 workers"]
    processes = wall_s["1 process"] / wall_s["2 processes"]
    return Result(
        figures=[
            Figure("speed-up by Dask", dask),
            Figure("speed-up by independent processes", processes),
            Figure("the one over the other", dask / processes, at_least=0.95),
            Figure(
                "the same for the parts alone",
                parts_s["Dask, 1 worker"]
                / parts_s["Dask, 2 workers"]
                / (parts_s["1 process"] / parts_s["2 processes"]),
            ),
            Figure(
                "weak: half the run on one worker over the whole on two",
                wall_s["Dask, 1 worker, half"] / wall_s["Dask, 2 workers"],
            ),
            *(Figure(f"wall time, {name}", seconds, "s") for name, seconds in wall_s.items()),
        ],
        runs=[runs],
        notes="The least disturbed of whole commands, each from its start. Two processes make half "
        "of the locations each with `--executor serial`, one process all of them.",
    )


def in_turn(
    ways: dict[str, Callable[[], tuple[float, float]]], repetitions: int
) -> dict[str, list[tuple[float, float]]]:
    """Observe each way several times, every second round backwards."""
    runs: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for repetition in range(repetitions):
        for name in list(ways)[:: 1 - 2 * (repetition % 2)]:
            runs[name].append(ways[name]())
    return runs


def _dask(bench: Bench, workers: int, size: Size = SIZE) -> tuple[float, float]:
    """Seconds of the whole command, and of its parts."""
    flags = {**bench.size(size).flags(), **bench.on_workers, "workers": workers}
    run = bench.generate(flags)
    return run.wall_s, run.parts_s


def _processes(bench: Bench, processes: int) -> tuple[float, float]:
    size = bench.size(SIZE)
    each = Size(size.locations // processes, size.days, size.sampling_s, size.one_string)
    outs = [bench.directory() for _ in range(processes)]
    requests = [
        {**each.flags(n * each.locations), "executor": "serial", "output_dir": out}
        for n, out in enumerate(outs)
    ]
    wall_s, observed = run_together(requests, WORKER_ENVIRONMENT)
    for out in outs:
        shutil.rmtree(out)
    return wall_s, max(run.parts_s for run in observed)
