"""What `fleetgen estimate` says, against the run that follows, at three sizes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks import command
from benchmarks.bench import Bench
from benchmarks.command import Flags, Size
from benchmarks.record import Figure, Grid, Result
from fleetgen.io.manifest import read_manifest
from fleetgen.io.store import open_store
from fleetgen.schema import TELEMETRY

SIZES = {
    "test": Size(1, 2, 300, one_string=True),
    "a location, 30 days": Size(1, 30, 5),
    "nine locations, 10 days": Size(9, 10, 60),
}
BYTES_OFF, TIME_OFF = 0.20, 0.35
WALKS = 3


def measure(bench: Bench) -> Result:
    """Estimate, run, compare; each size on its own."""
    rows, runs, worst = [], [], {"bytes": 0.0, "time": 0.0, "rows": 0.0, "files": 0.0}
    for name, full in SIZES.items():
        size = bench.size(full)
        flags: Flags = {**size.flags()} if full.one_string else {**size.flags(), **bench.on_workers}
        told = _told(flags)
        cost = told["estimate"]
        found: dict[str, Any] = {}

        def look(out: Path, found: dict[str, Any] = found) -> None:
            found.update(_made(out))

        timed = [
            bench.generate(flags, look=look).wall_s for _ in range(1 if bench.quick else WALKS)
        ]
        wall_s = sorted(timed)[len(timed) // 2]
        off = {
            "rows": float(cost["rows"] != found["rows"]),
            "files": float(cost["files"] != found["files"]),
            "bytes": cost["bytes"] / found["bytes"] - 1,
            "time": told["seconds"] / wall_s - 1,
        }
        for what, share in off.items():
            worst[what] = max(worst[what], abs(share))
        rows.append(
            (
                name,
                cost["bytes"] / 1e6,
                found["bytes"] / 1e6,
                off["bytes"],
                told["seconds"],
                wall_s,
                off["time"],
            )
        )
        runs.append({"size": name, "told": told, "made": found, "wall_s": timed})
    return Result(
        figures=[
            Figure("sizes whose rows were not exact", worst["rows"], at_most=0),
            Figure("sizes whose files were not exact", worst["files"], at_most=0),
            Figure("bytes, the worst", worst["bytes"], at_most=BYTES_OFF),
            Figure("time, the worst", worst["time"], at_most=TIME_OFF),
        ],
        runs=runs,
        grids=[
            Grid(
                "Told and found",
                ("size", "MB told", "MB", "off", "s told", "s", "off"),
                rows,
            )
        ],
        notes="Time is that of the whole command, the median of three.",
    )


def _told(flags: Flags) -> dict[str, Any]:
    arguments = [
        text
        for name, value in flags.items()
        for text in (f"--{name.replace('_', '-')}", str(value))
    ]
    done = subprocess.run(
        [sys.executable, "-m", "fleetgen", "estimate", "--json", *arguments],
        cwd=command.ROOT,
        capture_output=True,
        check=True,
    )
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def _made(out: Path) -> dict[str, Any]:
    """Rows and files of tables in parts, and all bytes, of a data set."""
    names = {table.name for table in TELEMETRY}
    files = read_manifest(open_store(str(out))).files
    parts = [e for e in files if e.table in names and e.path.startswith(f"{e.table}/")]
    rows = dict.fromkeys((table.name for table in TELEMETRY), 0)
    for entry in parts:
        rows[entry.table] += entry.rows
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    return {"rows": rows, "files": len(parts), "bytes": size}
