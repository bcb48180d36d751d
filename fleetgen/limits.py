"""What no simulated value can be: a run that gets there stops, and says where.

The walk of a system looks at every row, the slow quantities at every midnight, and the instruments
at every sample; nothing is bent back into its range.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from fleetgen.errors import SimulationError
from fleetgen.model import electrical, params, stepper
from fleetgen.schema import JAR_CALC, JAR_RAW, STRING_RAW, Table
from fleetgen.spec import NULL, Instants, Runs
from fleetgen.system import SlowDays, SystemModel
from fleetgen.units import SECONDS_PER_DAY, iso_instant

Floats = NDArray[np.float64]
Counts = NDArray[np.int32] | NDArray[np.int64]

_MS = 1000


def _error(entity: str, what: str, at: str, limit: str) -> SimulationError:
    if "-ENV-" in entity:
        part = f"--locations {entity.rpartition('-ENV-')[0]}"
    else:
        part = f"--strings {re.sub('-J[0-9]+$', '', entity)}"
    return SimulationError(
        f"{entity}: {what} at {at}, and {limit}. End the run before, or change what brings it "
        "about (an injection, the climate, the load); if nothing does, report it, with what "
        f"fleetgen generate ... {part} --executor serial says"
    )


def of_walk(
    model: SystemModel, status: int, where: int, instant_s: int, states: Floats, works: Floats
) -> SimulationError:
    """What to say of the jar, by its index over all strings, at which a walk stopped.

    `states` (string, 3 jar + 6) and `works` are as the walk left them.
    """
    s, j = divmod(where, model.system.jars_per_string)
    jars, string = model.system.jars_per_string, model.system.strings[s]
    rated_ah = string.model.rated_capacity_ah
    low, high = JAR_RAW.valid("voltage_v")
    value, unit = works[s, stepper.JAR_V, j], "V"
    what, why = "voltage_v", "the monitor's range, far beyond any law"
    if status == stepper.TEMPERATURE:
        what, value, unit = "temperature_c", states[s, j], "degC"
        low, high = JAR_RAW.valid("temperature_c")[0], params.JAR_TEMPERATURE_LIMIT.value
        why = "where laws end"
    elif status == stepper.CHARGE:
        what, value, unit, low = "removed charge", states[s, jars + j], "Ah", 0.0
        share = model.constants.family[s, 0] * electrical.capacity_at_temperature(states[s, j])
        high = rated_ah * float(works[s, stepper.SOH, j] * share)
        why = "all that it gives at the lowest rate"
    elif status == stepper.CURRENT:
        what, value, unit, low = "current_a of its string", works[s, stepper.SPARE, j], "A", 0.0
        charging = states[s, 3 * jars + stepper.MODE] < stepper.DISCHARGE
        high = STRING_RAW.valid("current_a")[1]
        why = "the sensor's range"
        if charging:
            high, why = params.CHARGE_LIMIT.value * rated_ah, "the charger's limit"
    return _error(
        string.jar_ids[j],
        f"{what} is {value:.6g} {unit}",
        iso_instant(instant_s, model.grid.utc_offset_s),
        f"can only be from {low:g} to {high:g} {unit} ({why})",
    )


def check_days(model: SystemModel, days: SlowDays) -> None:
    """Want health and resistance of a system at all midnights, (string, midnight, jar), to be
    possible.

    Raises
    ------
    SimulationError
        With the first jar that cannot be.
    """  # noqa: D205
    new_mohm = np.stack([unit.new_mohm for unit in model.populations])[:, np.newaxis]
    most_s, (_, most_mohm) = JAR_RAW.valid("conductance_s")[1], JAR_RAW.valid("resistance_mohm")
    for what, values, low, high, unit in (
        ("SOH", days.soh, params.SOH_MINIMUM.value, JAR_CALC.valid("soh_pct")[1] / 100.0, "C10"),
        ("resistance", new_mohm * days.growth, 1000.0 / most_s, most_mohm, "mOhm"),
    ):
        wrong = np.argwhere(~((values >= low) & (values <= high)))
        if len(wrong):
            s, day, j = min(wrong.tolist(), key=lambda at: (at[1], at[0], at[2]))
            raise _error(
                model.system.strings[s].jar_ids[j],
                f"{what} is {values[s, day, j]:.6g} {unit}",
                iso_instant(model.grid.start_s + day * SECONDS_PER_DAY, model.grid.utc_offset_s),
                f"can only be from {low:g} to {high:g} {unit}",
            )


def check_counts(
    table: Table,
    column: str,
    counts: Counts,
    extent: tuple[int, int],
    entity: str,
    stamp: Instants,
    utc_offset_s: int,
) -> None:
    """Want counts, whose lowest and highest are `extent`, to be within their column's range.

    Raises
    ------
    SimulationError
        With the first that is not.
    """
    declared = table.column(column)
    low, high = table.valid(column)
    lowest, highest = round(low * declared.per_unit), round(high * declared.per_unit)
    if lowest <= extent[0] and extent[1] <= highest:
        return
    null = np.iinfo(counts.dtype).min
    row = int(np.argmax((counts != null) & ((counts < lowest) | (counts > highest))))
    raise _error(
        entity,
        f"{column} reads {counts[row] / declared.per_unit:g} {declared.unit}",
        iso_instant((stamp.first_ms + row * stamp.step_ms) // _MS, utc_offset_s),
        f"{table.name}.{column} shows {low:g} to {high:g} {declared.unit}",
    )


def check_runs(
    table: Table, column: str, runs: Runs, entity: str, stamp: Instants, utc_offset_s: int
) -> None:
    """As `check_counts`, of runs."""
    known = runs.counts[runs.counts != NULL]
    if known.size:
        extent = int(known.min()), int(known.max())
        low, high = (limit * table.column(column).per_unit for limit in table.valid(column))
        if extent[0] < low or extent[1] > high:
            counts = np.repeat(runs.counts, runs.lengths)
            check_counts(table, column, counts, extent, entity, stamp, utc_offset_s)
