"""The truth about a string's units: state at the end, remaining life, failures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleetgen import rng, system
from fleetgen.elementary import total
from fleetgen.model import ageing, failures, params, stepper
from fleetgen.rng import Stream
from fleetgen.simulate import SlowPath
from fleetgen.system import SystemModel
from fleetgen.units import DAYS_PER_YEAR, SECONDS_PER_DAY, day_date

Floats = NDArray[np.float64]

WEAR_OUT, MODE = "wear_out", "mode"


@dataclass(frozen=True, eq=False)
class Lives:
    """Ends of life of a string's jars, (jar,): days since the start of the run (NaN: not within 20
    years), whether a failure mode brings it, and the mode there is at some time, or none.
    """  # noqa: D205

    end_days: Floats
    by_mode: NDArray[np.bool_]
    mode: tuple[str | None, ...]
    onset_days: Floats


def lives(model: SystemModel, s: int) -> Lives:
    """Ends of life of the jars of string `s`: SOH 0.80, or the terminal event of a failure mode.

    The same law as in the run, walked on over the drawn conditions of the next 20 years whatever
    the duration, as if nobody replaced the unit.
    """
    grid = model.grid
    horizon = grid.first_day + int(params.RUL_HORIZON.value * DAYS_PER_YEAR)
    capacity = system.capacity_days(model, s, horizon)
    worn = ageing.end_of_life_day(capacity.soh)
    failed, precursor = model.failures[s], model.precursors[s]
    jars = len(failed.mode)
    begins = np.where(failed.mode >= 0, (failed.onset_s - grid.start_s) / SECONDS_PER_DAY, np.nan)
    ends = np.where(failed.mode >= 0, (failed.end_s - grid.start_s) / SECONDS_PER_DAY, np.inf)
    mode = [failures.MODES[m] if m >= 0 else None for m in failed.mode]
    if precursor is not None:  # what does not run away has dried out
        onset_days = (precursor.onset_s - grid.start_s) / SECONDS_PER_DAY
        for j in range(jars):
            if mode[j] is None:
                mode[j], begins[j] = "dry_out", onset_days
    if precursor is not None and model.trips[s]:
        k = rng.key(model.seed, Stream.RUNAWAY, model.system.strings[s].string_id)
        taken = 1 + int(params.RUNAWAY_LABELLED.value * rng.uniform(k, 2**41))
        trip = (model.trips[s][0][0] - grid.start_s) / SECONDS_PER_DAY
        for j in np.argsort(-precursor.ln_rise, kind="stable")[:taken]:
            if trip < ends[j]:
                ends[j] = trip
                mode[j] = "thermal_runaway"
                begins[j] = (precursor.onset_s - grid.start_s) / SECONDS_PER_DAY
    end_days, by_mode = worn.copy(), np.zeros(jars, np.bool_)
    for j in range(jars):
        if np.isnan(worn[j]) or ends[j] < worn[j]:
            end_days[j] = ends[j] if ends[j] < horizon - grid.first_day else np.nan
            by_mode[j] = True
        else:
            cost = capacity.failed.loss[min(int(worn[j]), len(capacity.soh) - 1), j]
            by_mode[j] = cost > params.MODE_LOSS.value
    return Lives(end_days, by_mode, tuple(mode), begins)


def final_states(model: SystemModel, path: SlowPath, s: int) -> dict[str, dict[str, Any]]:
    """Truth of each jar of string `s` at the end of the run, keyed by battery id.

    Remaining life is None where nothing ends it within 20 years.
    """
    grid, unit = model.grid, model.populations[s]
    days = grid.duration_s / SECONDS_PER_DAY
    last_day, frac = grid.first_day + int(days), days - int(days)
    slow = system.slow_days(model, s, last_day, last_day + 1)
    life = lives(model, s)
    before_end = path.t_s < grid.end_s
    on_battery = path.mode[s] == stepper.DISCHARGE
    begun = on_battery & ~np.insert(on_battery[:-1], 0, False)
    starts = int((begun & before_end).sum())
    seconds = np.clip(grid.end_s - path.t_s, 0, path.dt_s)[on_battery]
    drawn_ah = total((path.all_currents(s) * seconds).tolist()) / 3600.0
    rated_ah = model.system.strings[s].model.rated_capacity_ah
    states: dict[str, dict[str, Any]] = {}
    for j, jar_id in enumerate(model.system.strings[s].jar_ids):
        soh = float(slow.soh[0, j] + frac * (slow.soh[1, j] - slow.soh[0, j]))
        growth = float(slow.growth[0, j] + frac * (slow.growth[1, j] - slow.growth[0, j]))
        left = float(life.end_days[j]) - days
        failed = left <= 0.0
        profile = model.scenario.profiles[unit.profile[j]].name
        states[jar_id] = {
            "soh_pct": round(100 * soh, 3),
            "capacity_ah": round(rated_ah * soh, 3),
            "resistance_mohm": round(float(unit.new_mohm[j]) * growth, 3),
            "cycle_count": starts,
            "ah_throughput": round(drawn_ah, 3),
            "calendar_age_days": round(float(unit.age_days[j]) + days, 3),
            "rul_days": None if np.isnan(left) else round(max(0.0, left), 3),
            "failed": failed,
            "failure_date": _date(model, life.end_days[j]) if failed else None,
            "failure_mode": life.mode[j] if life.onset_days[j] <= days else None,
            "profile": profile,
            "degradation_profile": profile,
            "has_failed": failed,
        }
    return states


def _date(model: SystemModel, days: float) -> str:
    """Local day that lies `days` after the start."""
    return day_date(model.grid.first_day + int(days)).isoformat()
