"""`python -m tests.fidelity`: make the data sets, hold them against the specification, say so.

Exit code 1 when a check lies outside its band.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.fidelity.check import Check, table
from tests.fidelity.suite import SEEDS, run

PAGE = Path(__file__).resolve().parents[2] / "docs" / "fidelity.md"

HEAD = """# Fidelity

Each row of the physics specification's table of checks, measured on generated files: a year of
the whole fleet at 300 s, a week at 5 s, and strings that are often on battery. `make fidelity`
makes the data sets and this page; the references have [their own page](../tests/data/README.md).
The columns are seeds, named before their first run; numbers of the model were chosen on another.
Bands and what was measured on are those of the first.

{inside} of {all} values are inside their band.

"""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fidelity", description=__doc__)
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=SEEDS[:1], help=f"by default {SEEDS[0]}"
    )
    parser.add_argument("--into", type=Path, help="keep the data sets here (else temporary)")
    options = parser.parse_args(arguments)
    runs: dict[int, list[Check]] = {}
    for seed in options.seeds:
        with tempfile.TemporaryDirectory(prefix="fleetgen-fidelity-") as temporary:
            checks = runs[seed] = []
            for found in run(seed, options.into or Path(temporary)):
                print(table({seed: found}).split("\n", 2)[2], end="", flush=True)
                checks += found
            checks.sort(key=lambda c: int(c.row))  # stable
    values = [c for checks in runs.values() for c in checks]
    inside = sum(c.ok for c in values)
    head = HEAD.format(inside=inside, all=len(values))
    PAGE.write_text(head + table(runs), "utf-8")
    print(f"\n{inside} of {len(values)} values are inside their band; see docs/{PAGE.name}")
    return int(inside < len(values))


if __name__ == "__main__":
    sys.exit(main())
