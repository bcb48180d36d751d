"""Wait until a scheduler has its workers: wait.py SCHEDULER WORKERS [SECONDS].

SCHEDULER is an address or a scheduler file, which may be about to be written. fleetgen compares
versions and counts cores when it starts, so that it should start when its workers are there. Ends
with 0, or with 1 and a line.
"""

import json
import os
import sys
import time

from distributed import Client


def address_of(scheduler: str, deadline: float) -> str:
    """Address that is given, or that the file of this name holds by `deadline` (monotonic, [s])."""
    if "://" in scheduler or (":" in scheduler and not os.path.exists(scheduler)):
        return scheduler
    while True:
        try:
            with open(scheduler, encoding="utf-8") as file:
                return str(json.load(file)["address"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            if time.monotonic() > deadline:
                raise TimeoutError(f"the scheduler file gives no address: {error!r}") from error
        time.sleep(0.2)


def main(scheduler: str, workers: int, seconds: float) -> int:
    """Exit code; `seconds` is for the scheduler, and again for the workers."""
    deadline = time.monotonic() + seconds
    try:
        address = address_of(scheduler, deadline)
        left = max(1.0, deadline - time.monotonic())
        with Client(address, timeout=left, set_as_default=False) as client:
            client.wait_for_workers(workers, timeout=seconds)
    except (OSError, ValueError, TimeoutError) as error:
        print(
            f"wait.py: {scheduler} has not {workers} workers after {seconds:g} s ({error}); "
            "look at the logs of the scheduler and the workers",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]) if sys.argv[3:] else 300.0))
