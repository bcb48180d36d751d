"""Wait until a scheduler has its workers: wait.py SCHEDULER WORKERS [SECONDS].

SCHEDULER is an address or a scheduler file. fleetgen compares versions and counts cores when it
starts, so that it should start when its workers are there. Ends with 0, or with 1 and a line.
"""

import sys

from distributed import Client


def main(scheduler: str, workers: int, seconds: float) -> int:
    """Exit code; `seconds` is for the scheduler, and again for the workers."""
    given = {"address": scheduler} if "://" in scheduler else {"scheduler_file": scheduler}
    try:
        with Client(**given, timeout=seconds, set_as_default=False) as client:
            client.wait_for_workers(workers, timeout=seconds)
    except (OSError, TimeoutError) as error:
        print(
            f"wait.py: {scheduler} has not {workers} workers after {seconds:g} s ({error}); "
            "look at the logs of the workers",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]) if sys.argv[3:] else 300.0))
