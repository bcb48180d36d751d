"""CSV.gz beside Parquet: whole runs, one part by three encoders, single files out of parts."""

from __future__ import annotations

import gzip
import io
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from isal import igzip

from benchmarks.bench import Bench
from benchmarks.command import Flags, Observed, Size
from benchmarks.record import Figure, Grid, Result
from fleetgen.export import export
from fleetgen.io.csv import CsvPartWriter
from fleetgen.io.dataset import iter_groups
from fleetgen.schema import JAR_RAW

BAR = 2_500_000
UTC_OFFSET_S = 7 * 3600
PANDAS_ROWS = 300_000
FORMATS = ("parquet", "csv.gz")


def measure(bench: Bench) -> Result:
    """Runs, encoders and exports, each on what the one before left."""
    size = bench.size(Size(1, 30))
    made: dict[str, Path] = {}
    runs: list[object] = []
    rows = []
    figures = []
    for form in FORMATS:
        flags: Flags = {**size.flags(), **bench.on_workers, "format": form}
        timed, sizes, made[form] = _run(bench, flags)
        watched = bench.generate(flags, watched="memory")
        runs += [timed, watched]
        per_core = timed.jar_rows / timed.parts_s / 2
        cpu_s = watched.worker_cpu_s or float("inf")  # threads are no workers
        per_cpu = watched.jar_rows / cpu_s
        worker = max(watched.worker_peak_bytes, default=0) / 1e6
        per_row = sizes / timed.jar_rows
        rows.append((form, timed.wall_s, timed.rate, per_core, per_cpu, per_row, worker))
        if form == "csv.gz":
            figures.append(Figure("jar samples/s and core, CSV.gz", per_core, at_least=BAR))
    encoded = _encoders(max(made["parquet"].glob("telemetry_jar_raw/**/*.parquet")), bench.quick)
    exported = [(form, *_export(made[form])) for form in FORMATS]
    for path in made.values():
        shutil.rmtree(path)
    heads = ("format", "wall s", "jar samples/s", "and core", "and CPU", "B/jar sample", "MB")
    return Result(
        figures=figures,
        runs=[*runs, {"encoders": encoded}, {"exports": exported}],
        grids=[
            Grid("A location, 30 days, 5 s, two workers, all tables", heads, rows),
            Grid("A part of telemetry_jar_raw", ("encoder", "rows/s", "ns/row", "B/row"), encoded),
            Grid("Its single file, out of parts in", ("format", "s", "rows/s"), exported),
        ],
        notes="A jar sample is a row of both tables of jars. Per core: jar samples of the parts' "
        "stage, over its time and two workers; per CPU: over the CPU time of the workers, in a "
        "run whose memory is watched (MB: the most of a worker). The encoders take what lies in "
        "memory: counts, an Arrow table, a frame; pandas packs as it does by default, at level 9.",
    )


def _run(bench: Bench, flags: Flags) -> tuple[Observed, int, Path]:
    kept = bench.directory()
    seen = []

    def keep(out: Path) -> None:
        seen.append(sum(path.stat().st_size for path in out.rglob("*") if path.is_file()))
        shutil.copytree(out, kept, dirs_exist_ok=True)

    return bench.generate(flags, look=keep), seen[0], kept


def _encoders(path: Path, quick: bool) -> list[tuple[str, float, float, float]]:
    groups = list(iter_groups(JAR_RAW, path))
    table = pq.read_table(path, partitioning=None)
    frame = table.slice(0, PANDAS_ROWS).to_pandas()

    def ours() -> int:
        writer = CsvPartWriter(JAR_RAW, UTC_OFFSET_S)
        for group in groups:
            writer.add(group)
        return len(writer.close())

    def by_pyarrow() -> int:
        # Arrow writes instants in UTC: local ones as texts, made once and outside the time.
        sink = io.BytesIO()
        with igzip.open(sink, "wb", compresslevel=1) as file:
            pyarrow.csv.write_csv(texts, file)
        return len(sink.getvalue())

    def by_pandas() -> int:
        sink = io.BytesIO()
        with gzip.GzipFile(fileobj=sink, mode="wb", mtime=0) as file:
            frame.to_csv(file, index=False)
        return len(sink.getvalue())

    stamps = table["ts"].cast(pa.timestamp("s", "Asia/Bangkok")).cast(pa.string())
    texts = table.set_column(0, "ts", stamps)
    encoders: dict[str, tuple[Callable[[], int], int]] = {
        "fleetgen, zlib 1": (ours, table.num_rows),
        "pyarrow, isal 1": (by_pyarrow, table.num_rows),
        "pandas, gzip 9": (by_pandas, len(frame)),
    }
    found = []
    for name, (encode, count) in encoders.items():
        size, best = 0, float("inf")
        for _ in range(1 if quick or encode is by_pandas else 3):
            start_s = time.perf_counter()
            size = encode()
            best = min(best, time.perf_counter() - start_s)
        found.append((name, count / best, 1e9 * best / count, size / count))
    return found


def _export(path: Path) -> tuple[float, float]:
    start_s = time.perf_counter()
    (file,) = export(str(path), "csv.gz", [JAR_RAW.name])
    seconds = time.perf_counter() - start_s
    return seconds, file.rows / seconds
