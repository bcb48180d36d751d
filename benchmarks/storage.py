"""Formats on the local disk and straight into an object store on loopback."""

from __future__ import annotations

import tempfile
from pathlib import Path
from unittest.mock import patch

from benchmarks import command
from benchmarks.bench import Bench
from benchmarks.command import Flags, Observed, Size, Watched
from benchmarks.record import Figure, Grid, Result
from fleetgen.cleaning import clean
from fleetgen.io.manifest import read_manifest
from fleetgen.io.store import open_store
from tests.servers import BUCKET, ObjectServer, object_server

FORMATS = ("parquet", "csv.gz")
PLACES = ("local", "s3")


def measure(bench: Bench) -> Result:
    """Each format on each place, timed and then watched; then the production run on the store."""
    size = bench.size(Size(1, 30))
    runs, rows, figures = [], [], []
    with tempfile.TemporaryDirectory(dir=bench.scratch) as directory:
        place = Path(directory)
        with object_server(place) as server:
            rate, memory = {}, {}
            for form in FORMATS:
                for where in PLACES:
                    flags: Flags = {**size.flags(), **bench.on_workers, "format": form}
                    timed, stored = _run(bench, flags, server if where == "s3" else None)
                    watched, _ = _run(
                        bench, flags, server if where == "s3" else None, watched="memory"
                    )
                    runs += [timed, watched]
                    rate[where] = timed.rate
                    memory[where] = max(watched.worker_peak_bytes, default=0)
                    per_row = stored / timed.jar_rows
                    rows.append(
                        (form, where, timed.wall_s, timed.rate, per_row, memory[where] / 1e6)
                    )
                figures.append(Figure(f"{form}: rate on S3 over local", rate["s3"] / rate["local"]))
                more = (memory["s3"] - memory["local"]) / 1e6
                figures.append(
                    Figure(f"{form}: memory of a worker over local", more, "MB", at_most=64)
                )
            whole, stored = _run(bench, bench.production_flags, server)
    figures += [
        Figure("production run straight to S3", whole.wall_s, "s"),
        Figure("production run: jar samples", whole.jar_rows),
        Figure("production run: jar samples/s", whole.rate),
        Figure("production run: stored", stored / 1e9, "GB"),
    ]
    heads = ("format", "place", "wall s", "jar samples/s", "B/jar sample", "MB of a worker")
    title = "A location, 30 days, 5 s, two workers, all tables"
    return Result(
        figures=figures,
        runs=[*runs, whole],
        grids=[Grid(title, heads, rows)],
        notes="The store is SeaweedFS on the same two cores, which it shares with the workers.",
    )


def _run(
    bench: Bench, flags: Flags, server: ObjectServer | None, *, watched: Watched = ""
) -> tuple[Observed, int]:
    """One run, and the bytes that it stored; what it stored is gone afterwards."""
    if server is None:
        sizes: list[int] = []

        def look(out: Path) -> None:
            sizes.append(sum(path.stat().st_size for path in out.rglob("*") if path.is_file()))

        return bench.generate(flags, watched=watched, look=look), sizes[0]
    url, option = f"s3://{BUCKET}/benchmark/set", f"endpoint_url={server.endpoint}"
    credentials = server.environment("writer")
    remote: Flags = {**flags, "output_dir": url, "storage_option": option}
    observed = command.run(remote, watched=watched, environment=credentials)
    with patch.dict("os.environ", credentials):
        store = open_store(url, (("endpoint_url", server.endpoint),))
        stored = sum(entry.bytes for entry in read_manifest(store).files)
        clean(url, everything=True, storage_options=(option,))
    return observed, stored
