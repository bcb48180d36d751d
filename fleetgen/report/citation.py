"""How a data set is cited: by what makes it again."""

from __future__ import annotations

from fleetgen import __version__
from fleetgen.spec import Run

AUTHORS = "fleetgen contributors"

TITLE = "Synthetic telemetry of a stationary battery fleet"


def citation(run: Run) -> str:
    """A line that names the generator, its version, the plan and the seed."""
    return (
        f"{AUTHORS}: {TITLE}. Simulated by fleetgen {__version__}, seed {run.seed}, "
        f"plan digest {run.plan_digest}."
    )
