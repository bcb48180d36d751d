"""A month of 100,000 batteries every five minutes: the memory of a fleet fifty times as large."""

from __future__ import annotations

from benchmarks.bench import Bench
from benchmarks.record import Figure, Grid, Result

FLAGS = {
    "config": "configs/scenarios/fleet-of-100000.toml",
    "duration_days": 31,  # January
    "sampling_seconds": 300,
}


def measure(bench: Bench) -> Result:
    """Run it watched."""
    tiny = {"duration_days": 1, "sampling_seconds": 3600, "locations": "DC-001"}
    run = bench.generate(
        {**FLAGS, **bench.on_workers, **(tiny if bench.quick else {})}, watched="memory"
    )
    return Result(
        figures=[
            Figure("peak memory, all processes", run.peak_bytes / 1e9, "GB", at_most=1.0),
            Figure("peak memory of a worker", max(run.worker_peak_bytes, default=0) / 1e9, "GB"),
            Figure("wall time", run.wall_s, "s"),
            Figure("jar samples", run.jar_rows),
            Figure("jar samples/s", run.rate),
        ],
        runs=[run],
        grids=[Grid("When its stages began", ("stage", "s"), [*run.began_s.items()])],
        notes="Strings of a month at five minutes are small parts: a sixtieth of the rows of the "
        "production run's, for the same truth, features and files.",
    )
