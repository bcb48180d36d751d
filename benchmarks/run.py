"""`python -m benchmarks.run [NAME ...]`: measure, keep the raw output, renew RESULTS.md.

It should have the machine for itself. With `--quick` everything is tiny and the numbers mean
nothing; they are only shown, unless `--into` names a directory.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import (
    against,
    csv,
    doubling,
    estimate,
    large,
    overhead,
    production,
    readers,
    startup,
    storage,
    validate,
)
from benchmarks.bench import Bench
from benchmarks.record import Record, Result, render, save
from benchmarks.scaling import scheduler, speedup, study

HERE = Path(__file__).resolve().parent

MEASUREMENTS: dict[str, Callable[[Bench], Result]] = {
    "production": production.measure,
    "overhead": overhead.measure,
    "baseline": against.measure,
    "scaling": speedup.measure,
    "scheduler": scheduler.measure,
    "study": study.measure,
    "doubling": doubling.measure,
    "large": large.measure,
    "startup": startup.measure,
    "readers": readers.measure,
    "csv": csv.measure,
    "storage": storage.measure,
    "estimate": estimate.measure,
    "validate": validate.measure,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    names = list(MEASUREMENTS) if options.names in ([], ["all"]) else options.names
    if unknown := [name for name in names if name not in MEASUREMENTS]:
        parser.error(f"no measurement {', '.join(unknown)}; there are {', '.join(MEASUREMENTS)}")
    with tempfile.TemporaryDirectory(prefix="fleetgen-bench-") as shown_only:
        into = (options.into or (Path(shown_only) if options.quick else HERE)).resolve()
        scratch = into / "raw" / "tmp"
        scratch.mkdir(parents=True, exist_ok=True)
        bench = Bench(options.quick, Path(tempfile.mkdtemp(dir=scratch)))
        try:
            for name in names:
                save(_measured(name, bench), into / "raw")
                tables = render(list(MEASUREMENTS), into / "raw", into / "RESULTS.md")
        finally:
            shutil.rmtree(bench.scratch)
        print(tables)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join([*MEASUREMENTS, "all"]))
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it works")
    parser.add_argument("--into", type=Path, help="where raw/ and RESULTS.md are (default: here)")
    return parser


def _measured(name: str, bench: Bench) -> Record:
    print(f"{name} ...", file=sys.stderr, flush=True)
    load_before = os.getloadavg()[0]
    start_s = time.perf_counter()
    result = MEASUREMENTS[name](bench)
    return Record(
        name=name,
        command=f"python -m benchmarks.run {name}{' --quick' if bench.quick else ''}",
        seconds=time.perf_counter() - start_s,
        load_before=load_before,
        result=dataclasses.asdict(result),
    )


if __name__ == "__main__":
    sys.exit(main())
