"""The load of a system: how large the law makes it, and what it takes from the strings."""

from __future__ import annotations

from fleetgen.model import params
from fleetgen.spec import SystemKind


def rated_w(kind: SystemKind, rated_ah: float, cells: int, jars: int) -> float:
    """Rated load [W] of strings of `rated_ah` in all, of `jars` in series."""
    if kind == "UPS":
        per_ah = params.UPS_RATED_POWER.value * cells * jars / 100.0
        return per_ah * rated_ah / params.INVERTER_EFFICIENCY.value
    return params.RECTIFIER_MAXIMUM.value * rated_ah * _nominal_v(cells, jars)


def mean_range(kind: SystemKind) -> tuple[float, float]:
    """Lowest and highest mean load over the rated one."""
    if kind == "UPS":
        return params.LOAD_MINIMUM.value, params.LOAD_MAXIMUM.value
    return params.RECTIFIER_MINIMUM.value / params.RECTIFIER_MAXIMUM.value, 1.0


def current_per_ah(power_w: float, rated_ah: float, cells: int, jars: int) -> float:
    """Current that a load takes at nominal voltage from strings of `rated_ah` in all, over it."""
    return power_w / _nominal_v(cells, jars) / rated_ah


def _nominal_v(cells: int, jars: int) -> float:
    return params.NOMINAL_CELL.value * cells * jars
