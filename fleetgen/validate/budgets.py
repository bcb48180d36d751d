"""Error budgets of the physical invariants, from the instruments' deviations in `params`.

What is fixed for an instrument (gain, offset) counts with `FIXED` deviations; there are a few
thousand instruments. What is drawn for each sample counts with `DRAWN`; there are up to 1e10
samples. Rounding counts in full. See docs/decisions/0021-error-budgets.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from fleetgen.model import params
from fleetgen.schema import JAR_CALC, JAR_RAW, STRING_RAW

FIXED = 6.0
DRAWN = 9.0

JAR_ROUNDING_V = 0.5 * JAR_RAW.column("voltage_v").resolution
STRING_ROUNDING_V = 0.5 * STRING_RAW.column("voltage_v").resolution
SOC_ROUNDING = 0.005 * JAR_CALC.column("soc_pct").resolution
SOH_ROUNDING = 0.005 * JAR_CALC.column("soh_pct").resolution


@dataclass(frozen=True)
class Kirchhoff:
    """Budget of the sum of `jars` voltages less the string's, as `fixed_frac` x V + `rest_v`.

    `rest_v` alone is that of the difference's changes on float.
    """

    fixed_frac: float
    rest_v: float


def kirchhoff(jars: int, sensor_errors: bool) -> Kirchhoff:
    """Kirchhoff's voltage law as instruments see it: gains of all of them, noise, rounding.

    Independent jars add up in squares. Ideal sensors round, and no more.
    """
    rounding_v = jars * JAR_ROUNDING_V + STRING_ROUNDING_V
    if not sensor_errors:
        return Kirchhoff(0.0, rounding_v)
    gain = math.hypot(
        params.STRING_VOLTAGE_GAIN.value, params.JAR_VOLTAGE_GAIN.value / math.sqrt(jars)
    )
    noise_v = math.hypot(
        params.STRING_VOLTAGE_NOISE.value, params.JAR_VOLTAGE_NOISE.value * math.sqrt(jars)
    )
    return Kirchhoff(FIXED * gain, DRAWN * noise_v + rounding_v)


def kirchhoff_terms(sensor_errors: bool) -> tuple[str, str]:
    """The same as two terms of SQL, of the number of `jars`."""
    rounding = f"{JAR_ROUNDING_V:g} * jars + {STRING_ROUNDING_V:g}"
    if not sensor_errors:
        return "0", f"({rounding})"
    gain = (params.STRING_VOLTAGE_GAIN.value, params.JAR_VOLTAGE_GAIN.value)
    noise_v = (params.STRING_VOLTAGE_NOISE.value, params.JAR_VOLTAGE_NOISE.value)
    return (
        f"{FIXED:g} * sqrt({gain[0]:g} ** 2 + {gain[1]:g} ** 2 / jars)",
        f"({DRAWN:g} * sqrt({noise_v[0]:g} ** 2 + {noise_v[1]:g} ** 2 * jars) + {rounding})",
    )


@dataclass(frozen=True)
class Charge:
    """Budget of the charge drawn less the charge missing: of the drawn, by the hour, and the rest.

    `sampling_frac` is what the trapezoid rule may make of a constant-power discharge.
    """

    drawn_frac: float
    per_hour_a: float
    rest_ah: float


_SAMPLING_FRAC = 0.02
_WARMING_K = 10.0


def charge(rated_ah: float, sensor_errors: bool) -> Charge:
    """Charge balance of a discharge: Hall gain and zero, the trapezoid rule, rounding of the truth.

    The truth is SOC x SOH x C10, each rounded, at both ends.
    """
    rest_ah = 4 * rated_ah * (SOC_ROUNDING + SOH_ROUNDING)
    if not sensor_errors:
        return Charge(_SAMPLING_FRAC, 0.5 * STRING_RAW.column("current_a").resolution, rest_ah)
    zero_a = math.hypot(params.HALL_OFFSET.value, params.HALL_WANDER.value)
    warm_a = _WARMING_K * params.HALL_TEMPERATURE.value
    return Charge(FIXED * params.HALL_GAIN.value + _SAMPLING_FRAC, FIXED * zero_a + warm_a, rest_ah)
