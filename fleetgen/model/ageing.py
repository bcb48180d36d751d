"""Calendar ageing, day by day: capacity lost and resistance grown at the day's mean conditions.

This layer runs on drawn daily means, inside the data and beyond it alike, and never on the sampled
or the five-minute state: so the truth of remaining life does not depend on how long a run is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fleetgen.elementary import exponential
from fleetgen.jit import kernel
from fleetgen.model import params
from fleetgen.units import DAYS_PER_YEAR

Floats = NDArray[np.float64]

_ACTIVATION_K = params.ACTIVATION.value / params.BOLTZMANN.value
_SLOPE = params.OVERVOLTAGE_AGEING.value
_F_MIN = params.OVERVOLTAGE_MINIMUM.value
_F_MAX = params.OVERVOLTAGE_MAXIMUM.value
_END = params.END_OF_LIFE_SOH.value
_KNEE_SPAN = params.WEAR_SPAN.value
_DAYS_PER_YEAR = DAYS_PER_YEAR
_TAFEL = params.TAFEL.value
_TAFEL_T = params.TAFEL_TEMPERATURE.value


@kernel
def arrhenius_factor(temperature_c: float) -> float:
    """Rate of ageing relative to 25 degC [1]: exp(Ea/k (1/298.15 - 1/T)), Ea = 0.60 eV."""
    return exponential(_ACTIVATION_K * (1.0 / 298.15 - 1.0 / (temperature_c + 273.15)))


@kernel
def overvoltage_factor(excess_cell_v: float) -> float:
    """Rate of ageing at a float voltage above the compensated one [1]; exp(10 dV) in 0.7 to 6."""
    return min(_F_MAX, max(_F_MIN, exponential(_SLOPE * excess_cell_v)))


@kernel
def float_excess_cell_v(
    set_cell_v: float,
    ln_i0: float,
    mean_ln_i0: float,
    rise_k: float,
    mean_rise_k: float,
    jar_c: float,
) -> float:
    """A jar's float voltage over the compensated one for its temperature [V/cell].

    A jar that takes more current than its string's mean at equal voltage sits lower.
    """
    share = (mean_ln_i0 - ln_i0 + _TAFEL_T * (mean_rise_k - rise_k)) / _TAFEL
    return set_cell_v + share - (2.27 - 0.003 * (jar_c - 25.0))


@kernel
def daily_loss(rate_per_year: float, spread: float, f_t: float, f_v: float, soh: float) -> float:
    """Capacity lost in a day, in fractions of rated.

    Up to three times faster from 80 to 60 % SOH; below, in proportion to what is left, so that
    some always is.
    """
    worn = 1.0 + 2.0 * max(0.0, (_END - soh) / _KNEE_SPAN)
    if soh < _END - _KNEE_SPAN:
        worn = 3.0 * max(0.0, soh) / (_END - _KNEE_SPAN)
    return rate_per_year / _DAYS_PER_YEAR * spread * f_t * f_v * worn


@kernel
def walk(
    room_c: Floats,
    compensated: bool,
    rise_k: Floats,
    ln_i0: Floats,
    rate_per_year: Floats,
    spread: Floats,
    soh_new: Floats,
    loss: Floats,
    out_loss: Floats,
) -> None:
    """Loss at each midnight into `out_loss`, (day + 1, jar), from `loss` (jar,) at the first.

    `room_c` is the day's mean room temperature, (day,); `rise_k` the jar's mean excess over it.
    """
    jars = loss.size
    mean_ln = 0.0
    mean_rise = 0.0
    for j in range(jars):
        mean_ln += ln_i0[j]
        mean_rise += rise_k[j]
    mean_ln /= jars
    mean_rise /= jars
    for j in range(jars):
        out_loss[0, j] = loss[j]
    for d in range(room_c.size):
        control = room_c[d] + mean_rise
        v = 2.27 - 0.003 * (control - 25.0) if compensated else 2.27
        for j in range(jars):
            jar_c = room_c[d] + rise_k[j]
            excess = float_excess_cell_v(v, ln_i0[j], mean_ln, rise_k[j], mean_rise, jar_c)
            before = out_loss[d, j]
            out_loss[d + 1, j] = before + daily_loss(
                rate_per_year[j],
                spread[j],
                arrhenius_factor(jar_c),
                overvoltage_factor(excess),
                soh_new[j] - before,
            )


@kernel
def end_of_life_day(losses: Floats, soh_new: Floats) -> Floats:
    """Days from the first row to SOH 0.80, interpolated, (jar,); NaN where it is not reached."""
    days, jars = losses.shape
    out = np.full(jars, np.nan)
    for j in range(jars):
        limit = soh_new[j] - _END
        if losses[0, j] >= limit:
            out[j] = 0.0
            continue
        for d in range(1, days):
            if losses[d, j] >= limit:
                step = losses[d, j] - losses[d - 1, j]
                out[j] = d - 1 + (limit - losses[d - 1, j]) / step
                break
    return out
