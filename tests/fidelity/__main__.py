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
makes the data sets and this page (seed {seed}); the references have
[their own page](../tests/data/README.md).

{inside} of {all} checks are inside their band.

"""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fidelity", description=__doc__)
    parser.add_argument("--seed", type=int, default=SEEDS[0], help=f"by default {SEEDS[0]}")
    parser.add_argument("--into", type=Path, help="keep the data sets here (else temporary)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="fleetgen-fidelity-") as temporary:
        place = options.into or Path(temporary)
        checks: list[Check] = []
        for found in run(options.seed, place):
            print(table(found).split("\n", 2)[2], end="", flush=True)
            checks += found
    checks.sort(key=lambda c: int(c.row))  # stable
    inside = sum(c.ok for c in checks)
    head = HEAD.format(seed=options.seed, inside=inside, all=len(checks))
    PAGE.write_text(head + table(checks), "utf-8")
    print(f"\n{inside} of {len(checks)} checks are inside their band; see docs/{PAGE.name}")
    return int(inside < len(checks))


if __name__ == "__main__":
    sys.exit(main())
