"""What a worker does with a job: the client names it, and need not load what it takes."""

from __future__ import annotations

from collections.abc import Callable

from fleetgen.spec import Done, HistoryJob, Job


def begin(job: Job | HistoryJob) -> Callable[[], Done]:
    """Compute a job; the call that is returned stores it."""
    from fleetgen import history  # kernels, pandas and pyarrow: a second where none is loaded

    return history.begin(job)
