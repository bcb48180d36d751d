"""The package against the obvious way of `baseline`, on the same two cores."""

from __future__ import annotations

import subprocess
import sys
import time
from statistics import median

from benchmarks import baseline
from benchmarks.bench import Bench
from benchmarks.command import ROOT, Size
from benchmarks.record import Figure, Result

SIZE = Size(4, 90)
PROCESSES = 2
HOURS = 20


def measure(bench: Bench) -> Result:
    """The obvious way, the package, the obvious way."""
    hours = 1 if bench.quick else HOURS
    seconds = [_obvious_way(bench, hours)]
    run = bench.generate({**bench.size(SIZE).flags(), **bench.on_workers})
    if not bench.quick:
        seconds.append(_obvious_way(bench, hours))
    rows = PROCESSES * hours * baseline.ROWS_PER_HOUR
    rate = rows / median(seconds)
    return Result(
        figures=[
            Figure("obvious way, jar samples/s and core", rate / PROCESSES, at_least=5000),
            Figure("package, jar samples/s and core", run.rate / PROCESSES),
            Figure("package over obvious way", run.rate / rate, at_least=1000),
        ],
        runs=[{"obvious_way_s": seconds, "jar_rows": rows}, run],
        notes="Two processes of `benchmarks/baseline.py` against two workers; whole commands, with "
        "their start.",
    )


def _obvious_way(bench: Bench, hours: int) -> float:
    start_s = time.perf_counter()
    module = [sys.executable, "-m", "benchmarks.baseline", str(hours)]
    processes = [
        subprocess.Popen([*module, str(seed), str(bench.directory())], cwd=ROOT)
        for seed in range(PROCESSES)
    ]
    codes = [process.wait() for process in processes]
    if any(codes):
        raise RuntimeError(f"benchmarks.baseline: exit codes {codes}")
    return time.perf_counter() - start_s
