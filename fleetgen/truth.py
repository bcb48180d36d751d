"""The truth about a string's units: state at the end of their service, remaining life, failures."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fleetgen import system
from fleetgen.crew import unit_id
from fleetgen.elementary import total
from fleetgen.model import failures, stepper
from fleetgen.model.population import Population
from fleetgen.simulate import SlowPath
from fleetgen.system import SystemModel
from fleetgen.units import SECONDS_PER_DAY, day_date

Floats = NDArray[np.float64]


class Unit(NamedTuple):
    """A unit in service at jar `jar` of a string in [from_s, to_s), as long as the run goes."""

    unit_id: str
    jar: int
    number: int
    from_s: int
    to_s: int
    units: Population


def units(model: SystemModel, path: SlowPath, s: int) -> list[Unit]:
    """Units of string `s` that are in service in the run, by position and in order."""
    grid = model.grid
    swaps = [w for w in path.swaps if w.string == s and w.at_s < grid.end_s]
    services = {each.at_s: each.crew for each in system.services(model, s, swaps)}
    found = []
    for j, jar_id in enumerate(model.system.strings[s].jar_ids):
        begins = [grid.start_s, *(w.at_s for w in swaps if w.jar == j)]
        ends = [*begins[1:], grid.end_s]
        for number, (a, b) in enumerate(zip(begins, ends, strict=True), 1):
            found.append(Unit(unit_id(jar_id, number), j, number, a, b, services[a].units))
    return found


def final_states(model: SystemModel, path: SlowPath, s: int) -> dict[str, dict[str, Any]]:
    """Truth of each unit of string `s` at the end of the run, or when it was replaced.

    Keyed by battery id. Remaining life is None where nothing ends it within 20 years.
    """
    grid = model.grid
    on_battery = path.mode[s] == stepper.DISCHARGE
    begun = on_battery & ~np.insert(on_battery[:-1], 0, False)
    currents = path.all_currents(s)
    rated_ah = model.system.strings[s].model.rated_capacity_ah
    states: dict[str, dict[str, Any]] = {}
    at_end: dict[tuple[int, int], tuple[int, float]] = {}
    service = system.service_days(model, s, grid.first_day, grid.end_day, path.swaps)
    for unit in units(model, path, s):
        j, to_s = unit.jar, unit.to_s
        days = (to_s - grid.start_s) / SECONDS_PER_DAY
        if (unit.from_s, to_s) not in at_end:
            starts = begun & (path.t_s >= unit.from_s) & (path.t_s < to_s)
            seconds = np.clip(to_s - path.t_s, 0, path.dt_s)[on_battery]
            seconds = np.where(path.t_s[on_battery] >= unit.from_s, seconds, 0)
            drawn_ah = total((currents * seconds).tolist()) / 3600.0
            at_end[unit.from_s, to_s] = int(starts.sum()), drawn_ah
        cycles, drawn_ah = at_end[unit.from_s, to_s]
        # A unit is what it was before the edge at which another takes its place.
        leaves = to_s < grid.end_s
        soh = service.at("soh", j, to_s, before=leaves)
        growth = service.at("growth", j, to_s, before=leaves)
        index = path.unit_index(s, j, unit.number)
        end_days, mode = float(path.end_days[index]), int(path.failure[index])
        left = end_days - days
        failed = left <= 0.0
        profile = model.scenario.profiles[unit.units.profile[j]].name
        begins = path.onset_days[index] <= days
        states[unit.unit_id] = {
            "soh_pct": round(100 * soh, 3),
            "capacity_ah": round(rated_ah * soh, 3),
            "resistance_mohm": round(float(unit.units.new_mohm[j]) * growth, 3),
            "cycle_count": cycles,
            "ah_throughput": round(drawn_ah, 3),
            "calendar_age_days": round(float(unit.units.age_days[j]) + days, 3),
            "rul_days": None if np.isnan(left) else round(max(0.0, left), 3),
            "failed": failed,
            "failure_date": _date(model, end_days) if failed else None,
            "failure_mode": failures.MODES[mode] if begins else None,
            "profile": profile,
            "degradation_profile": profile,
            "has_failed": failed,
        }
    return states


def _date(model: SystemModel, days: float) -> str:
    """Local day that lies `days` after the start."""
    return day_date(model.grid.first_day + int(days)).isoformat()
