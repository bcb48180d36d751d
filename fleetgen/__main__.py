"""`python -m fleetgen`."""

from fleetgen.cli import run

if __name__ == "__main__":
    run()
