"""What Dask costs per part: parts that take no time, by the thousand.

    python -m benchmarks.scaling.scheduler 100000

prints the same for a number of parts of one's own.
"""

from __future__ import annotations

import sys

from benchmarks.bench import Bench
from benchmarks.record import Figure, Grid, Result
from benchmarks.scaling.sleepers import Observed, Sleepers, cluster

WORKERS = 2
PARTS = (100, 1_000, 10_000)
COLUMNS = ("parts", "sent", "ms per part", "client", "scheduler", "worker")


def measure(bench: Bench) -> Result:
    """Batches as the engine sends them, and one by one."""
    with cluster(WORKERS) as sleepers:
        sleepers.sleep([0.0] * 50)
        rows = [
            (count, "one by one" if alone else "in batches", *_ms_per_part(sleepers, count, alone))
            for count in (PARTS[:1] if bench.quick else PARTS)
            for alone in (False, True)
        ]
    batched, alone = rows[-2:]
    return Result(
        figures=[
            Figure("wall time per part, sent in batches", batched[2], "ms"),
            Figure("wall time per part, one by one", alone[2], "ms"),
            Figure("one by one over batches", alone[2] / batched[2]),
            Figure("scheduler's CPU time per part", batched[4], "ms"),
        ],
        runs=rows,
        grids=[Grid("Wall and CPU time per part [ms]", COLUMNS, rows)],
        notes=f"Parts that take no time on {WORKERS} workers without CPU of their own; client, "
        "scheduler and workers are processes on the same cores. Workers ask for the next part as "
        "they end one, so that batches hold as many as end at the same moment.",
    )


def _ms_per_part(sleepers: Sleepers, count: int, alone: bool) -> tuple[float, ...]:
    seen: Observed = sleepers.sleep([0.0] * count, one_by_one=alone)
    times = seen.wall_s, seen.client_cpu_s, seen.scheduler_cpu_s, seen.hosts_cpu_s
    return tuple(1000 * seconds / count for seconds in times)


if __name__ == "__main__":
    with cluster(WORKERS) as running:
        for wanted in map(int, sys.argv[1:]):
            for one_by_one in (False, True):
                print(wanted, one_by_one, *_ms_per_part(running, wanted, one_by_one))
