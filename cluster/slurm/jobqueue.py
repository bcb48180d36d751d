"""Run fleetgen on workers that SLURM starts as jobs of their own: a worker, a job.

    python cluster/slurm/jobqueue.py JOBS [flags of `fleetgen generate`]

Scheduler and client are this process, on a host that the nodes reach: a login node or a job. The
jobs are cancelled when it ends, and end by themselves soon after if it is killed. It runs in the
environment that the workers source (see environment.example), with `pip install fleetgen[slurm]`.
"""

import os
import shlex
import socket
import sys

from dask_jobqueue import SLURMCluster
from distributed import Security

from fleetgen.cli import main

WALLTIME = "01:00:00"
LIFETIME = ("55m", "4m")  # below the walltime: a worker that leaves by itself hands its part on
QUEUE_S = 3600  # how long all jobs may take to start


def cluster() -> SLURMCluster:
    """A scheduler here, and jobs of one worker on one core."""
    environment = os.environ.get("FLEETGEN_ENVIRONMENT", "~/.config/fleetgen/environment")
    lifetime, stagger = LIFETIME
    return SLURMCluster(
        cores=2,  # threads: one computes, one waits for storage
        job_cpu=1,
        processes=1,
        memory="1200MiB",
        walltime=WALLTIME,
        security=Security(),  # the files that DASK_CONFIG names: the script holds their paths only
        scheduler_options={"host": socket.gethostname(), "dashboard_address": "127.0.0.1:0"},
        job_extra_directives=["--export=HOME,FLEETGEN_ENVIRONMENT", "--output=fleetgen-%j.log"],
        job_script_prologue=[f". {shlex.quote(os.path.expanduser(environment))}"],
        worker_extra_args=[
            *("--lifetime", lifetime, "--lifetime-stagger", stagger),
            *("--dashboard-address", "127.0.0.1:0", "--preload", "fleetgen.warmed"),
        ],
        death_timeout=120,
    )


def run(jobs: int, arguments: list[str]) -> int:
    """Exit code of `fleetgen generate` on so many jobs."""
    with cluster() as place:
        place.scale(jobs=jobs)
        try:
            place.wait_for_workers(jobs, timeout=QUEUE_S)
        except TimeoutError:
            print(
                f"jobqueue.py: the queue has not started {jobs} jobs in {QUEUE_S} s; ask for fewer",
                file=sys.stderr,
            )
            return 5
        return main(["generate", *arguments, "--scheduler", place.scheduler_address])


if __name__ == "__main__":
    sys.exit(run(int(sys.argv[1]), sys.argv[2:]))
