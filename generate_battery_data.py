"""`python generate_battery_data.py ...` is `fleetgen generate ...`."""

import sys

try:
    from fleetgen.cli import run
except ModuleNotFoundError as error:
    sys.exit(f"{error}: run `make run` first, then use .venv/bin/python (or activate .venv)")

if __name__ == "__main__":
    run(["generate", *sys.argv[1:]])
