"""`fleetgen validate` against a plain scan of the same columns by pyarrow, in the same run."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import psutil
import pyarrow.parquet as pq

from benchmarks import command
from benchmarks.bench import Bench
from benchmarks.command import Size
from benchmarks.record import Figure, Grid, Result
from fleetgen.schema import PARTED

REPETITIONS = 3
SAMPLE_S = 0.05


def measure(bench: Bench) -> Result:
    """Both in turn, on as many processes; the files are in the system's memory."""
    grids: list[tuple[object, ...]] = []
    ratios: list[float] = []
    peaks: list[int] = []

    def look(out: Path) -> None:
        files = [
            str(path) for table in PARTED for path in sorted((out / table.name).rglob("*.parquet"))
        ]
        _scanned(files)
        for _ in range(1 if bench.quick else REPETITIONS):
            scan_s = _scanned(files)
            check_s, peak = _validated(out)
            grids.append((len(files), scan_s, check_s, check_s / scan_s, peak / 1e6))
            ratios.append(check_s / scan_s)
            peaks.append(peak)

    run = bench.generate({**bench.size(Size(1, 30)).flags(), **bench.on_workers}, look=look)
    return Result(
        figures=[
            Figure("validate over plain scan", median(ratios), at_most=3),
            Figure("peak memory, all processes", max(peaks) / 1e9, "GB", at_most=1),
            Figure("jar samples", run.jar_rows),
        ],
        runs=[run, grids],
        grids=[Grid("Each", ("files", "scan s", "validate s", "ratio", "MB"), grids)],
        notes="The scan reads every row group of every part with all columns on two processes and "
        "does nothing with them; validate is the whole command, with its start. Memory is the sum "
        "of the PSS of all processes, sampled.",
    )


def _scanned(files: list[str]) -> float:
    start_s = time.perf_counter()
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        rows = sum(pool.map(_rows, files, chunksize=4))
    if not rows:
        raise RuntimeError("nothing was scanned")
    return time.perf_counter() - start_s


def _rows(path: str) -> int:
    rows = 0
    with pq.ParquetFile(path, pre_buffer=False) as file:
        for index in range(file.num_row_groups):
            rows += len(file.read_row_group(index, use_threads=False))
    return rows


def _validated(out: Path) -> tuple[float, int]:
    """Seconds of the command and its peak memory [bytes]."""
    words = [sys.executable, "-m", "fleetgen", "validate", str(out), "--progress", "none"]
    start_s, peak = time.perf_counter(), 0
    with subprocess.Popen(words, cwd=command.ROOT, stdout=subprocess.PIPE) as process:
        try:
            while process.poll() is None:
                peak = max(peak, _memory(process.pid))
                time.sleep(SAMPLE_S)
        finally:
            process.kill()
        wall_s = time.perf_counter() - start_s
        output, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(output.decode())
    return wall_s, peak


def _memory(pid: int) -> int:
    """PSS of a process and all that it started."""
    total = 0
    try:
        first = psutil.Process(pid)
        for each in (first, *first.children(recursive=True)):
            total += each.memory_full_info().pss
    except psutil.Error:  # gone meanwhile
        return total
    return total
