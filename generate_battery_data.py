"""`python generate_battery_data.py ...` is `fleetgen generate ...`."""

import sys

from fleetgen.cli import main

if __name__ == "__main__":
    sys.exit(main(["generate", *sys.argv[1:]]))
