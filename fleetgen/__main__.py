"""`python -m fleetgen`."""

import sys

from fleetgen.cli import main

if __name__ == "__main__":
    sys.exit(main())
