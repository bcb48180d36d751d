"""Make a data set in this process and print the most memory that it held [bytes].

`python peak.py KEYS` with the keys of a configuration as JSON. Kernels are loaded and libraries
warmed first, by a run that is sampled seldom and long enough for maintenance and for all that looks
back, so that the figure is that of the data.
"""

import json
import sys
import tempfile

from fleetgen import plan
from fleetgen.config import load
from fleetgen.pipeline import generate


def held_bytes(line: str) -> int:
    """A line of this process's status: VmHWM is the peak, as RSS counts; VmRSS what is held now."""
    with open("/proc/self/status") as file:
        return next(1024 * int(text.split()[1]) for text in file if text.startswith(line))


def main() -> None:
    keys = json.loads(sys.argv[1])
    plan.SINGLE_FILE_ROWS = 0  # of two runs that are compared, the smaller alone would have them
    with tempfile.TemporaryDirectory() as place:
        short = {"run.duration_days": 240, "run.sampling_seconds": 3600, "output.directory": place}
        generate(load(overrides={**keys, **short}))
    generate(load(overrides=keys))
    print(held_bytes("VmHWM:"))


if __name__ == "__main__":
    main()
