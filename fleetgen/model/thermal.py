"""Jar temperature: one heat capacity per jar, the cabinet, its neighbours, and the heat inside."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fleetgen.jit import kernel
from fleetgen.model import params

Floats = NDArray[np.float64]

_REVERSIBLE = params.REVERSIBLE_HEAT.value
_KELVIN = params.ICE_POINT.value
_NEIGHBOUR = params.NEIGHBOUR_SHARE.value

JARS_PER_SHELF = 6


@kernel
def discharge_heat_w(
    current_a: float, jar_v: float, open_jar_v: float, temperature_c: float, cells: float
) -> float:
    """Heat in discharge [W]: polarisation less the reversible cooling of the reaction."""
    reversible = current_a * cells * _REVERSIBLE * (temperature_c + _KELVIN)
    return current_a * (open_jar_v - jar_v) - reversible


@kernel
def charge_heat_w(
    current_a: float,
    main_a: float,
    jar_v: float,
    open_jar_v: float,
    temperature_c: float,
    cells: float,
) -> float:
    """Heat in charge [W]: the charging branch as in discharge, all of the gassing branch's power.

    With `main_a` = 0 this is float: full recombination turns all power into heat.
    """
    reversible = main_a * cells * _REVERSIBLE * (temperature_c + _KELVIN)
    return main_a * (jar_v - open_jar_v) + reversible + (current_a - main_a) * jar_v


@kernel
def warm(
    temperature_c: Floats,
    room_c: float,
    cabinet_rise_k: Floats,
    resistance_k_per_w: Floats,
    decay: Floats,
    heat_w: Floats,
    work: Floats,
) -> None:
    """Advance jar temperatures [degC] in place by the exact step of a first-order body.

    T += (T_env + R P - T) (1 - exp(-dt / RC)), T_env = room + cabinet rise + 0.15 x the mean excess
    of the neighbours. `decay` is exp(-dt / RC) of each jar; `work` is scratch, (jar,).
    """
    jars = temperature_c.size
    for j in range(jars):
        work[j] = temperature_c[j] - room_c
    for j in range(jars):
        if jars == 1:
            near = 0.0
        elif j == 0:
            near = work[1]
        elif j == jars - 1:
            near = work[j - 1]
        else:
            near = 0.5 * (work[j - 1] + work[j + 1])
        goal = room_c + cabinet_rise_k[j] + _NEIGHBOUR * near + resistance_k_per_w[j] * heat_w[j]
        temperature_c[j] += (goal - temperature_c[j]) * (1.0 - decay[j])


def shelf_position(jars: int) -> tuple[Floats, NDArray[np.bool_]]:
    """Height of each jar's shelf over the highest (0 to 1), and whether it is at a shelf end."""
    index = np.arange(jars)
    shelves = max(1, -(-jars // JARS_PER_SHELF))
    height = (index // JARS_PER_SHELF) / max(1, shelves - 1)
    place = index % JARS_PER_SHELF
    last = np.minimum(JARS_PER_SHELF, jars - index // JARS_PER_SHELF * JARS_PER_SHELF) - 1
    return height, (place == 0) | (place == last)
