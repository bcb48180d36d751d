"""Ageing, day by day: capacity lost to calendar, cycles and sulfates at the day's conditions.

This layer runs on drawn daily means, inside the data and beyond it alike, and never on the sampled
or the five-minute state: so the truth of remaining life does not depend on how long a run is.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fleetgen.elementary import exponential
from fleetgen.jit import kernel
from fleetgen.model import params
from fleetgen.model.electrical import float_set_cell_v
from fleetgen.units import DAYS_PER_YEAR

Floats = NDArray[np.float64]

_ACTIVATION_K = params.ACTIVATION.value / params.BOLTZMANN.value
_SLOPE = params.OVERVOLTAGE_AGEING.value
_KELVIN = params.ICE_POINT.value
_REFERENCE_K = params.REFERENCE_TEMPERATURE.value + params.ICE_POINT.value
_F_MIN = params.OVERVOLTAGE_MINIMUM.value
_F_MAX = params.OVERVOLTAGE_MAXIMUM.value
_END = params.END_OF_LIFE_SOH.value
_KNEE_SPAN = params.WEAR_SPAN.value
_WORN = params.WEAR_LIMIT.value
_DAYS_PER_YEAR = DAYS_PER_YEAR
_EXPECTED = params.CYCLING_EXPECTED.value
_SULFATION_V = params.SULFATION_VOLTAGE.value
_UNDERCHARGE = params.SULFATION_UNDERCHARGE.value
_DISCHARGED = params.SULFATION_DISCHARGED.value
_ACCEPTANCE = params.SULFATION_ACCEPTANCE.value
_RECOVERY = params.EQUALIZE_RECOVERY.value
_TAFEL = params.TAFEL.value
_TAFEL_T = params.TAFEL_TEMPERATURE.value


@kernel
def arrhenius_factor(temperature_c: float) -> float:
    """Rate of ageing relative to 25 degC [1]: exp(Ea/k (1/298.15 - 1/T)), Ea = 0.60 eV."""
    return exponential(_ACTIVATION_K * (1.0 / _REFERENCE_K - 1.0 / (temperature_c + _KELVIN)))


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
    return set_cell_v + share - float_set_cell_v(jar_c, True)


@kernel
def daily_loss(rate_per_year: float, spread: float, f_t: float, f_v: float, soh: float) -> float:
    """Capacity lost in a day, in fractions of rated.

    Up to three times faster from 80 to 60 % SOH; below, in proportion to what is left, so that
    some always is.
    """
    worn = 1.0 + (_WORN - 1.0) * max(0.0, (_END - soh) / _KNEE_SPAN)
    if soh < _END - _KNEE_SPAN:
        worn = _WORN * max(0.0, soh) / (_END - _KNEE_SPAN)
    return rate_per_year / _DAYS_PER_YEAR * spread * f_t * f_v * worn


class Days(NamedTuple):
    """What a string lives through, day by day, each (day,).

    `room_c` is the mean of the room, `jar_excess_k` what failed cooling adds to the jars'
    temperature and `heat_factor` how much faster than at its mean such a day ages; `charger_v` is
    the charger's deviation [V/cell]; `cycling` the loss by the day's discharges at 25 degC,
    `discharged_h` the hours below 90 % of charge; `equalized` whether an equalising charge begins.
    """

    room_c: Floats
    jar_excess_k: Floats
    heat_factor: Floats
    charger_v: Floats
    cycling: Floats
    discharged_h: Floats
    equalized: Floats


class Wear(NamedTuple):
    """Each (midnight, jar): capacity lost to calendar and cycles, and to sulfation, in fractions of
    rated; growth of the charging resistance by sulfates, over its own.
    """  # noqa: D205

    loss: Floats
    sulfated: Floats
    acceptance: Floats


@kernel
def walk(
    days: Days,
    compensated: bool,
    rise_k: Floats,
    ln_i0: Floats,
    rate_per_year: Floats,
    spread: Floats,
    soh_new: Floats,
    mode_loss: Floats,
    first_loss: Floats,
    out: Wear,
) -> None:
    """Wear at each midnight into `out`, from `first_loss` (jar,) at the first.

    `rise_k` is the jar's mean excess over the room, (jar,); `ln_i0` and `mode_loss`, what failure
    modes cost, are (midnight, jar).
    """
    jars = first_loss.size
    mean_rise = 0.0
    for j in range(jars):
        mean_rise += rise_k[j]
        out.loss[0, j] = first_loss[j]
        out.sulfated[0, j] = 0.0
        out.acceptance[0, j] = 1.0
    mean_rise /= jars
    for d in range(days.room_c.size):
        mean_ln = 0.0
        for j in range(jars):
            mean_ln += ln_i0[d, j]
        mean_ln /= jars
        room_c = days.room_c[d] + days.jar_excess_k[d]
        set_v = float_set_cell_v(room_c + mean_rise, compensated) + days.charger_v[d]
        for j in range(jars):
            jar_c = room_c + rise_k[j]
            excess = float_excess_cell_v(set_v, ln_i0[d, j], mean_ln, rise_k[j], mean_rise, jar_c)
            f_t = arrhenius_factor(jar_c) * days.heat_factor[d]
            before = out.loss[d, j]
            soh = soh_new[j] - before - out.sulfated[d, j] - mode_loss[d, j]
            calendar = daily_loss(
                max(0.0, rate_per_year[j] - _EXPECTED),
                spread[j],
                f_t,
                overvoltage_factor(excess),
                soh,
            )
            cycling = 0.0
            if days.cycling[d] > 0.0 and soh > 0.0:
                cycling = days.cycling[d] * np.sqrt(f_t)
            out.loss[d + 1, j] = before + calendar + cycling
            low_v = _SULFATION_V - (excess + float_set_cell_v(jar_c, True))
            sulfated = max(0.0, low_v) * _UNDERCHARGE
            sulfated += days.discharged_h[d] / 24.0 * _DISCHARGED
            if soh <= _END - _KNEE_SPAN:  # nothing is left to lose at this rate
                sulfated = 0.0
            out.sulfated[d + 1, j] = out.sulfated[d, j] + sulfated
            grown = out.acceptance[d, j] + _ACCEPTANCE * sulfated
            if days.equalized[d] > 0.0:
                grown = 1.0 + (1.0 - _RECOVERY) * (grown - 1.0)
            out.acceptance[d + 1, j] = grown


@kernel
def end_of_life_day(soh: Floats) -> Floats:
    """Days from the first row to SOH 0.80, interpolated, (jar,); NaN where it is not reached.

    `soh` is (midnight, jar).
    """
    days, jars = soh.shape
    out = np.full(jars, np.nan)
    for j in range(jars):
        if soh[0, j] <= _END:
            out[j] = 0.0
            continue
        for d in range(1, days):
            if soh[d, j] <= _END:
                out[j] = d - 1 + (soh[d - 1, j] - _END) / (soh[d - 1, j] - soh[d, j])
                break
    return out
