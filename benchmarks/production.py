"""The production run as a user starts it, and where its time goes."""

from __future__ import annotations

import csv
import shutil
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from benchmarks import stages
from benchmarks.bench import Bench
from benchmarks.command import Observed
from benchmarks.record import Figure, Grid, Result
from benchmarks.stages import Stages
from fleetgen.io import manifest
from fleetgen.io.store import open_store
from fleetgen.schema import TABLES, TELEMETRY
from fleetgen.timings import TIMINGS

PROFILED_STRINGS = 3

Contents = dict[str, tuple[int, int, int]]


@dataclass(frozen=True)
class _Jobs:
    """What the timings of a run tell: seconds by kind of job, and those idle at the end."""

    kinds_s: dict[str, float]
    idle_tail_s: float
    """Mean of the workers: from the end of its last job to that of all."""


def measure(bench: Bench) -> Result:
    """Run it watched for memory, without files, and for times; take a few of its parts apart."""
    contents: Contents = {}
    watched = bench.generate(
        bench.production_flags, watched="memory", look=lambda out: contents.update(_contents(out))
    )
    without_files = bench.generate({**bench.production_flags, "format": "none"})
    _, run = bench.production_set()
    jobs = _jobs(bench.scratch / "production")
    out = bench.directory()
    parts = stages.measure(bench.production_flags, out, PROFILED_STRINGS)
    shutil.rmtree(out)
    return Result(
        figures=_figures(run, watched, without_files, parts, contents) + _shares(run, parts, jobs),
        runs=[run, watched, without_files, parts],
        grids=[_tables(run, contents), _stages_of_run(run), _steps_of_parts(parts)],
        notes="Memory is the sum of the PSS of all processes, sampled at 10 Hz in a run of its "
        "own, because the sampling takes time. A cell is a row times a column. Dask's own time is "
        "the CPU time of the client while jobs run, and of the workers' main threads. To the "
        "derived layer are counted its steps in the parts, the histories, and all of the reduce.",
    )


def _contents(out: Path) -> Contents:
    """Files, rows and bytes by table, of what the manifest names; all files under ``."""
    found: Contents = {}
    for entry in manifest.read_manifest(open_store(str(out))).files:
        name = entry.table if entry.path.endswith(".parquet") else entry.path
        files, rows, size = found.get(name, (0, 0, 0))
        found[name] = (files + 1, rows + entry.rows, size + entry.bytes)
    sizes = [path.stat().st_size for path in out.rglob("*") if path.is_file()]
    found[""] = (len(sizes), 0, sum(sizes))
    return found


def _figures(
    run: Observed,
    watched: Observed,
    without_files: Observed,
    parts: Stages,
    contents: Contents,
) -> list[Figure]:
    cells = sum(run.rows[table.name] * len(table.columns) for table in TELEMETRY)
    files, _, size = contents[""]
    alone = parts.jar_rows / parts.untimed_s
    return [
        Figure("wall time", run.wall_s, "s", at_most=300),
        Figure("jar samples", run.jar_rows),
        Figure("jar samples/s", run.rate),
        Figure("cells/s, all tables", cells / run.wall_s),
        Figure("peak memory, all processes", watched.peak_bytes / 1e9, "GB", at_most=1.0),
        Figure("peak memory of a worker", max(watched.worker_peak_bytes, default=0) / 1e9, "GB"),
        Figure("on disk", size / 1e9, "GB", at_most=4.5),
        Figure("files", files),
        Figure("wall time while memory is sampled", watched.wall_s, "s"),
        Figure("wall time without files (`--format none`)", without_files.wall_s, "s"),
        Figure("CPU time of the workers", run.worker_cpu_s, "s"),
        Figure("CPU time of client and helpers (Dask, reduce)", run.other_cpu_s, "s"),
        Figure(
            "a worker's rate over that of one core without Dask",
            run.jar_rows / run.parts_s / 2 / alone,
        ),
    ]


def _jobs(out: Path) -> _Jobs:
    kinds_s: dict[str, float] = defaultdict(float)
    ended_s: dict[str, float] = defaultdict(float)
    for file in sorted((out / TIMINGS).glob("*.csv")):
        with file.open() as lines:
            for row in csv.DictReader(lines):
                computing_s = float(row["computing_seconds"])
                end_s = float(row["began"]) + computing_s + float(row["storing_seconds"])
                ended_s[row["worker"]] = max(ended_s[row["worker"]], end_s)
                name = row["job"]
                # slow-SYSTEM, ENTITY-YYYY-MM-DD-DAYS, or the ENTITY of a history
                dated = name.rpartition("-")[0][-10:-8] == "20"
                kind = "slow path" if name.startswith("slow-") else "part" if dated else "history"
                kinds_s[kind] += computing_s
    last_s = max(ended_s.values())
    return _Jobs(dict(kinds_s), sum(last_s - each for each in ended_s.values()) / len(ended_s))


def _shares(run: Observed, parts: Stages, jobs: _Jobs) -> list[Figure]:
    workers = int(str(run.flags["workers"]))
    reduce_s = workers * (run.began_s["complete"] - run.began_s["reduce"])
    derived_s = parts.derived_share * jobs.kinds_s["part"] + jobs.kinds_s["history"] + reduce_s
    rest_s = sum(jobs.kinds_s.values()) + reduce_s - derived_s
    cpu_s = run.worker_cpu_s + run.other_cpu_s
    return [
        Figure("Dask's own CPU time", 100 * run.dask_cpu_s / cpu_s, "%", at_most=1.0),
        Figure(
            "idle at the end, of the run", 100 * jobs.idle_tail_s / run.wall_s, "%", at_most=3.0
        ),
        Figure("derived layer over all else", 100 * derived_s / rest_s, "%", at_most=30.0),
    ]


def _tables(run: Observed, contents: Contents) -> Grid:
    named = {name: found for name, found in contents.items() if name}
    return Grid(
        "What is on disk",
        ("table or file", "files", "rows", "bytes", "bytes/row", "cells/row"),
        [
            (
                name,
                files,
                rows,
                size,
                size / rows if rows else "",
                len(TABLES[name].columns) if name in TABLES else "",
            )
            for name, (files, rows, size) in named.items()
        ],
    )


def _stages_of_run(run: Observed) -> Grid:
    began = run.began_s
    inside = began["complete"] - began["planned"]
    spans = {
        "interpreter, plan, exit": run.wall_s - inside,
        "cluster and imports": began["slow path"] - began["planned"],
        "start of the workers, slow paths": began["parts"] - began["slow path"],
        "parts": run.parts_s,
        "reduce": began["complete"] - began["reduce"],
    }
    return Grid(
        "Stages of the run",
        ("stage", "s", "% of the run"),
        [(name, span, 100 * span / run.wall_s) for name, span in spans.items()],
    )


def _steps_of_parts(parts: Stages) -> Grid:
    order = sorted(parts.by_step_s.items(), key=lambda item: -item[1])
    scale = 1e9 / parts.jar_rows
    total = sum(parts.by_step_s.values())
    rows = [(step, spent * scale, 100 * spent / total) for step, spent in order]
    rows.append(("all, timed", total * scale, 100))
    rows.append(("all, without timers", parts.untimed_s * scale, 100 * parts.untimed_s / total))
    return Grid(
        f"Steps of {parts.parts} string parts on one core without Dask (all tables; the slow path "
        f"of a system takes {parts.slow_path_s:.2f} s before)",
        ("step", "ns/jar sample", "%"),
        rows,
    )
