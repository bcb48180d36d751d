"""How long a newcomer waits: the guide's test run, its very first run, and the help."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from benchmarks.bench import Bench
from benchmarks.command import ROOT
from benchmarks.record import Figure, Result

TEST_RUN = (
    *("generate_battery_data.py", "--duration-days", "2", "--limit-batteries", "24"),
    *("--sampling-seconds", "300", "--output-dir"),
)


def measure(bench: Bench) -> Result:
    """Each command several times; the first runs with an empty cache of compiled code each."""
    repetitions, first_runs = (1, 0) if bench.quick else (7, 2)
    fleetgen = str(Path(sys.executable).with_name("fleetgen"))
    seconds = {
        "interpreter": [_time([sys.executable, "-c", "pass"]) for _ in range(repetitions)],
        "help": [_time([fleetgen, "--help"]) for _ in range(repetitions)],
        "warm": [_test_run(bench) for _ in range(repetitions)],
        "first": [_test_run(bench, empty_cache=True) for _ in range(first_runs)],
    }
    medians = {name: median(each) for name, each in seconds.items() if each}
    figures = [
        Figure("guide's test run, warm", medians["warm"], "s", at_most=5),
        Figure("`fleetgen --help`", medians["help"], "s", at_most=0.5),
        Figure("the interpreter alone", medians["interpreter"], "s"),
    ]
    if "first" in medians:
        first = Figure("guide's test run, nothing compiled yet", medians["first"], "s", at_most=20)
        figures.insert(1, first)
    return Result(figures=figures, runs=[seconds], notes="Medians of whole commands.")


def _test_run(bench: Bench, *, empty_cache: bool = False) -> float:
    environment = dict(os.environ)
    if empty_cache:
        environment.pop("NUMBA_CACHE_DIR", None)
        environment["XDG_CACHE_HOME"] = str(bench.directory())
    return _time([sys.executable, *TEST_RUN, str(bench.directory())], environment)


def _time(command: list[str], environment: dict[str, str] | None = None) -> float:
    start_s = time.perf_counter()
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    return time.perf_counter() - start_s
