"""How the units of a string end: by wear or by a failure mode, within the 20 years to come."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fleetgen import rng, system
from fleetgen.crew import Service, local_day
from fleetgen.model import ageing, failures, params
from fleetgen.rng import Stream
from fleetgen.system import SystemModel
from fleetgen.units import DAYS_PER_YEAR, SECONDS_PER_DAY

Floats = NDArray[np.float64]

EOL_REASONS = ("wear_out", "mode")
NONE = -1
"""Code of no failure mode."""


@dataclass(frozen=True, eq=False)
class Lives:
    """Ends of life of a string's units, (jar,): days since the start of the run (NaN: not within 20
    years of the unit's first day here), whether a failure mode brings it, and the code in
    `failures.MODES` of the mode that there is at some time, -1 without one.
    """  # noqa: D205

    end_days: Floats
    by_mode: NDArray[np.bool_]
    mode: NDArray[np.int64]
    onset_days: Floats


def lives(model: SystemModel, s: int, service: Service | None = None) -> Lives:
    """Ends of life of the units of string `s` at the start, or of those new in a service.

    SOH 0.80, or the terminal event of a failure mode. The same law as in the run, walked on over
    the drawn conditions of the next 20 years whatever the duration, as if nobody replaced the unit.
    """
    grid = model.grid
    crew = model.crews[s] if service is None else service.crew
    origin = grid.first_day if service is None else local_day(grid, service.at_s)
    horizon = origin + int(params.RUL_HORIZON.value * DAYS_PER_YEAR)
    capacity = system.capacity_days(model, s, horizon, service)
    worn = origin - grid.first_day + ageing.end_of_life_day(capacity.soh)
    failed, precursor = crew.failures, model.precursors[s]
    jars = len(failed.mode)
    begins = np.where(failed.mode >= 0, (failed.onset_s - grid.start_s) / SECONDS_PER_DAY, np.nan)
    ends = np.where(failed.mode >= 0, (failed.end_s - grid.start_s) / SECONDS_PER_DAY, np.inf)
    mode = failed.mode.copy()
    if precursor is not None:  # what does not run away has dried out
        onset_days = (precursor.onset_s - grid.start_s) / SECONDS_PER_DAY
        for j in np.flatnonzero(crew.dries & (mode < 0)).tolist():
            mode[j], begins[j] = failures.DRY_OUT, onset_days
    if precursor is not None and crew.dries.all() and model.trips[s]:
        k = rng.key(model.seed, Stream.RUNAWAY, model.system.strings[s].string_id)
        taken = 1 + int(params.RUNAWAY_LABELLED.value * rng.uniform(k, 2**41))
        trip = (model.trips[s][0][0] - grid.start_s) / SECONDS_PER_DAY
        for j in np.argsort(-precursor.ln_rise, kind="stable")[:taken].tolist():
            if trip < ends[j]:
                ends[j] = trip
                mode[j] = failures.RUNAWAY
                begins[j] = (precursor.onset_s - grid.start_s) / SECONDS_PER_DAY
    end_days, by_mode = worn.copy(), np.zeros(jars, np.bool_)
    for j in range(jars):
        if np.isnan(worn[j]) or ends[j] < worn[j]:
            end_days[j] = ends[j] if ends[j] < horizon - grid.first_day else np.nan
            by_mode[j] = True
        else:
            day = int(worn[j]) - (origin - grid.first_day)
            cost = capacity.failed.loss[min(day, len(capacity.soh) - 1), j]
            by_mode[j] = cost > params.MODE_LOSS.value
    return Lives(end_days, by_mode, mode, begins)
