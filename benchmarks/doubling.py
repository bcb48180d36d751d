"""Twice the fleet and twice the duration: twice the time, the same memory.

The whole command has a start that does not grow; its parts must take twice as long, give or take.
"""

from __future__ import annotations

from statistics import median

from benchmarks.bench import Bench
from benchmarks.command import Observed, Size
from benchmarks.record import Figure, Grid, Result

SIZES = {"1x": Size(4, 59), "fleet x2": Size(8, 59), "duration x2": Size(4, 118)}
"""59 and 118 days are whole months, of one length on average."""

REPETITIONS = 2


def measure(bench: Bench) -> Result:
    """All three in turn, forwards and backwards, memory watched."""
    runs: dict[str, list[Observed]] = {name: [] for name in SIZES}
    for repetition in range(1 if bench.quick else REPETITIONS):
        for name in list(SIZES)[:: 1 - 2 * (repetition % 2)]:
            size = SIZES[name] if not bench.quick else bench.size(SIZES[name])
            flags = {**size.flags(), **bench.on_workers}
            runs[name].append(bench.generate(flags, watched="memory"))
    medians = {name: _medians(each) for name, each in runs.items()}
    base = medians["1x"]
    figures = []
    for name in ("fleet x2", "duration x2"):
        wall, parts, total, worker = (a / b for a, b in zip(medians[name], base, strict=True))
        figures += [
            Figure(f"{name}: wall time", wall, "times", at_most=2.2),
            Figure(f"{name}: time of the parts", parts, "times", at_least=1.8, at_most=2.2),
            Figure(f"{name}: peak memory of a worker", worker, "times", at_most=1.1),
            Figure(f"{name}: peak memory of all processes", total, "times"),
        ]
    return Result(
        figures=figures,
        runs=[runs],
        grids=[
            Grid(
                "Medians",
                ("size", "wall time, s", "parts, s", "peak memory, MB", "of a worker, MB"),
                [
                    (name, wall, parts, total / 1e6, worker / 1e6)
                    for name, (wall, parts, total, worker) in medians.items()
                ],
            )
        ],
    )


def _medians(runs: list[Observed]) -> tuple[float, float, float, float]:
    """Wall time and parts [s], peak PSS of all processes and of the largest worker [B]."""
    return (
        median(run.wall_s for run in runs),
        median(run.parts_s for run in runs),
        median(run.peak_bytes for run in runs),
        median(max(run.worker_peak_bytes, default=run.peak_bytes) for run in runs),
    )
