"""Voltage and current of jars and strings: open circuit, float, discharge, recharge.

Currents are magnitudes here; the output's sign (positive in charge) is set where it is sampled.
Arrays run over the jars of one string, (jar,); voltages are per jar unless "cell" is said.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fleetgen.elementary import exponential, logarithm, logarithm10, power
from fleetgen.jit import kernel
from fleetgen.model import params

Floats = NDArray[np.float64]

_REFERENCE_C = params.REFERENCE_TEMPERATURE.value
_EMPTY = params.ACID_EMPTY_MOLAL.value
_ACID = params.ACID_FULL_MOLAL.value - params.ACID_EMPTY_MOLAL.value
_OCV_T = params.OCV_TEMPERATURE.value
_RESERVE = params.ACID_RESERVE.value
_TAFEL = params.TAFEL.value
_TAFEL_T = params.TAFEL_TEMPERATURE.value
_REFERENCE_V = params.FLOAT_REFERENCE.value
_COMPENSATION = params.FLOAT_COMPENSATION.value
_SET_MIN = params.FLOAT_SET_MINIMUM.value
_SET_MAX = params.FLOAT_SET_MAXIMUM.value
_COLD = params.CAPACITY_COLD.value
_WARM = params.CAPACITY_WARM.value
_RES_T = params.RESISTANCE_TEMPERATURE.value
_FOUET_REST_S = params.FOUET_REST.value
_FOUET_MV = params.FOUET_DEPTH.value
_FOUET_SLOPE = params.FOUET_SLOPE.value
_FOUET_RATE = params.FOUET_RATE.value
_FOUET_SHALLOWEST_MV = params.FOUET_SHALLOWEST.value
_FOUET_DEEPEST_MV = params.FOUET_DEEPEST.value
_FOUET_FLOAT_S = params.FOUET_FLOAT_TIME.value
_FOUET_RECOVERY = params.FOUET_RECOVERY.value
_FOUET_ONSET = params.FOUET_ONSET.value
_FOUET_PEAK = params.FOUET_PEAK.value
_FOUET_GROWTH = params.FOUET_GROWTH.value
_EXHAUSTED = params.EXHAUSTED.value
_LIMIT = params.CHARGE_LIMIT.value
_POLARISATION = params.CHARGE_POLARISATION.value
_POLARISATION_RATE = params.CHARGE_POLARISATION_RATE.value
_ACCEPTANCE = params.CHARGE_ACCEPTANCE.value
_ACCEPTANCE_T = params.CHARGE_ACCEPTANCE_TEMPERATURE.value
_FAMILY_CELLS = float(params.FAMILY_CELLS.value)
_OHMIC_LINEAR = params.OHMIC_CHARGE_LINEAR.value
_OHMIC_CUBIC = params.OHMIC_CHARGE_CUBIC.value

BISECTIONS = 40


@kernel
def open_circuit_cell_v(acid_frac: float, temperature_c: float) -> float:
    """Open-circuit voltage of a cell [V] from the acid fraction s_o in [0, 1].

    Bode's polynomial in log10 of the molality (Bode 1977, Lead-Acid Batteries, as PyBaMM's
    Sulzer2019 has it), molality linear in s_o; +0.2 mV/K.
    """
    x = logarithm10(_EMPTY + _ACID * acid_frac)
    v = 1.9228 + x * (0.147519 + x * (0.063552 + x * (0.073772 + x * 0.033612)))
    return v + _OCV_T * (temperature_c - _REFERENCE_C)


@kernel
def acid_fraction(removed_ah: float, capacity_ah: float) -> float:
    """Acid fraction s_o: 1 - q / (1.2 C), within [0, 1]; the range of the open-circuit law."""
    return min(1.0, max(0.0, 1.0 - removed_ah / (_RESERVE * capacity_ah)))


@kernel
def state_of_charge(removed_ah: float, capacity_ah: float) -> float:
    """Charge present over present capacity, 1 - q / C within [0, 1]; C = C10 x SOH."""
    return min(1.0, max(0.0, 1.0 - removed_ah / capacity_ah))


@kernel
def float_set_cell_v(control_temperature_c: float, compensated: bool) -> float:
    """Float set-point per cell [V]: 2.27 V less 3 mV/K above 25 degC, within 2.20 to 2.33 V."""
    if not compensated:
        return _REFERENCE_V
    v = _REFERENCE_V + _COMPENSATION * (control_temperature_c - _REFERENCE_C)
    return min(_SET_MAX, max(_SET_MIN, v))


@kernel
def float_voltages(
    bus_v: float,
    cells: Floats,
    rated_ah: float,
    ln_i0: Floats,
    temperature_c: Floats,
    out_v: Floats,
) -> float:
    """Jar voltages [V] of a full string on float into `out_v`; returns the string current [A].

    Tafel law of Schiffer 2007, I / C10 = I0 exp(11 (v - 2.27) + 0.06 (T - 25)), solved for the
    common current so that the jars add up to `bus_v` exactly: the voltages are linear in ln I.
    `cells` are those alive in each jar, fractions in a soft short.
    """
    jars = ln_i0.size
    total = 0.0
    alive = 0.0
    for j in range(jars):
        out_v[j] = ln_i0[j] + _TAFEL_T * (temperature_c[j] - _REFERENCE_C)
        total += cells[j] * out_v[j]
        alive += cells[j]
    ln_i = _TAFEL * (bus_v / alive - _REFERENCE_V) + total / alive
    for j in range(jars):
        out_v[j] = cells[j] * (_REFERENCE_V + (ln_i - out_v[j]) / _TAFEL)
    return rated_ah * exponential(ln_i)


@kernel
def resistance_dc_ohm(
    base_mohm: float, rated_ah: float, growth: float, temperature_c: float
) -> float:
    """Slope of a jar's voltage over load current [ohm]; `base_mohm` is per 100 Ah, new, 25 degC."""
    return (
        base_mohm
        * 1e-3
        * (100.0 / rated_ah)
        * growth
        * (1.0 - _RES_T * (temperature_c - _REFERENCE_C))
    )


@kernel
def capacity_at_temperature(temperature_c: float) -> float:
    """Capacity over capacity at 25 degC (Leoch data: 0 degC 86 %, 40 degC 103 %)."""
    d = temperature_c - _REFERENCE_C
    return 1.0 + (_COLD * d if d < 0.0 else _WARM * d)


@kernel
def coup_de_fouet_cell_v(
    rate_per_h: float, drawn_ah: float, rated_ah: float, rest_s: float, growth: float
) -> float:
    """Initial dip of a discharge per cell [V] after `drawn_ah` of it; minimum at 0.54 % of C10.

    Nothing after less than 2 h on charge; Rys et al. 2021 for its presence and timing.
    """
    if rest_s < _FOUET_REST_S or drawn_ah <= 0.0:
        return 0.0
    depth_mv = _FOUET_MV + _FOUET_SLOPE * logarithm10(rate_per_h / _FOUET_RATE)
    depth_mv = min(_FOUET_DEEPEST_MV, max(_FOUET_SHALLOWEST_MV, depth_mv))
    charged = 1.0 - exponential(-rest_s / _FOUET_FLOAT_S)
    x = drawn_ah / rated_ah
    shape = exponential(-x / _FOUET_RECOVERY) * (1.0 - exponential(-x / _FOUET_ONSET)) / _FOUET_PEAK
    return depth_mv * 1e-3 * charged * power(growth, _FOUET_GROWTH) * shape


@kernel
def discharge_voltages(
    current_a: float,
    depleting_a: float,
    drawn_ah: float,
    rest_s: float,
    cells: Floats,
    rated_ah: float,
    family: Floats,
    removed_ah: Floats,
    soh: Floats,
    growth: Floats,
    temperature_c: Floats,
    out_v: Floats,
) -> float:
    """Jar voltages [V] at load `current_a` into `out_v`; returns their sum.

    V = n (OCV - K x / (1 - x)) - I R - n V_cdf with x = q / C(I, T, SOH): flat to x = 0.9, then the
    knee. `depleting_a` is the current that depletion remembers; `family` is (capacity factor, knee
    rate, exponent, R mOhm, K V/cell). x ends at 0.9999, where the law does; the cut-off is first.
    An exhausted jar falls to 0 V: reversal is not modelled (decision 0010).
    """
    rate = depleting_a / rated_ah
    derating = 0.0
    if rate > 0.0:
        derating = power(rate / family[1], family[2])
    total = 0.0
    for j in range(removed_ah.size):
        t = temperature_c[j]
        full_ah = rated_ah * soh[j]
        usable_ah = full_ah * capacity_at_temperature(t) * family[0] / (1.0 + derating)
        x = min(removed_ah[j] / usable_ah, _EXHAUSTED)
        v = open_circuit_cell_v(acid_fraction(removed_ah[j], full_ah), t) - family[4] * x / (
            1.0 - x
        )
        if rate > 0.0:
            v -= coup_de_fouet_cell_v(rate, drawn_ah, rated_ah, rest_s, growth[j])
        loaded_v = cells[j] * v - current_a * resistance_dc_ohm(family[3], rated_ah, growth[j], t)
        out_v[j] = max(0.0, loaded_v)
        total += out_v[j]
    return total


@kernel
def shared_currents(
    power_w: float, source_v: Floats, resistance_ohm: Floats, out_a: Floats
) -> float:
    """Currents [A] of parallel strings that carry a constant power, into `out_a`; returns the bus.

    Kirchhoff: sum (E_k - V) / R_k x V = P. Returns 0 when they cannot carry it. A string whose
    source is below the bus gives nothing (its diode blocks).
    """
    lowest_v = -np.inf  # sources up to here are blocked
    while True:
        conductance = 0.0
        drive = 0.0
        for k in range(source_v.size):
            if source_v[k] > lowest_v:
                conductance += 1.0 / resistance_ohm[k]
                drive += source_v[k] / resistance_ohm[k]
        discriminant = drive * drive - 4.0 * conductance * power_w
        if discriminant < 0.0 or conductance == 0.0:
            return 0.0
        bus_v = (drive + np.sqrt(discriminant)) / (2.0 * conductance)
        blocked_v = lowest_v
        for k in range(source_v.size):
            out_a[k] = 0.0
            if source_v[k] > lowest_v:
                out_a[k] = (source_v[k] - bus_v) / resistance_ohm[k]
                if out_a[k] < 0.0:
                    blocked_v = max(blocked_v, source_v[k])
        if blocked_v == lowest_v:
            return float(bus_v)
        lowest_v = blocked_v


@kernel
def _recharge_sum(
    current_a: float,
    ln_rate: float,
    rated_ah: float,
    cells: Floats,
    open_v: Floats,
    charge_ohm: Floats,
    gas_v: Floats,
    out_v: Floats,
    main_a: Floats,
) -> float:
    eta = _POLARISATION * (1.0 - exponential(-current_a / (_POLARISATION_RATE * rated_ah)))
    total = 0.0
    for j in range(open_v.size):
        v_main = open_v[j] + eta + current_a * charge_ohm[j]
        v_gas = gas_v[j] + ln_rate / _TAFEL
        if v_main <= v_gas:
            main_a[j] = current_a
            out_v[j] = cells[j] * v_main
        else:
            main = (v_gas - open_v[j] - eta) / charge_ohm[j]
            main_a[j] = min(current_a, max(0.0, main))
            out_v[j] = cells[j] * v_gas
        total += out_v[j]
    return total


@kernel
def recharge_voltages(
    bus_v: float,
    cells: Floats,
    rated_ah: float,
    family: Floats,
    ln_i0: Floats,
    removed_ah: Floats,
    leak: Floats,
    soh: Floats,
    growth: Floats,
    acceptance: Floats,
    temperature_c: Floats,
    work: Floats,
    out_v: Floats,
    main_a: Floats,
) -> float:
    """Jar voltages [V] and charging currents `main_a` [A] in recharge; returns the string current.

    Main reaction and gassing branch share each cell's current; the string takes the charger's
    limit of 0.1 C10 or the current at which its jars add up to `bus_v`, found by bisection in
    ln I (the sum rises with the current). `leak` is the share of the capacity that a soft short
    takes for good, `acceptance` the growth of the charging resistance; `work` is scratch, (3, jar).
    """
    for j in range(removed_ah.size):
        t = temperature_c[j]
        full_ah = rated_ah * soh[j]
        work[0, j] = open_circuit_cell_v(acid_fraction(removed_ah[j], full_ah), t)
        lacking_ah = removed_ah[j] - leak[j] * full_ah
        missing = max(1.0 - state_of_charge(lacking_ah, full_ah), 1e-6)
        ohmic = family[3] * 1e-3 / _FAMILY_CELLS * growth[j] * (100.0 / rated_ah)
        cold = exponential(-_ACCEPTANCE_T * (t - _REFERENCE_C))
        polarising = _ACCEPTANCE * acceptance[j] * (100.0 / rated_ah)
        work[1, j] = ohmic + polarising / missing * cold
        work[2, j] = _REFERENCE_V - (ln_i0[j] + _TAFEL_T * (t - _REFERENCE_C)) / _TAFEL
    high = logarithm(_LIMIT)
    current_a = _LIMIT * rated_ah
    total = _recharge_sum(
        current_a, high, rated_ah, cells, work[0], work[1], work[2], out_v, main_a
    )
    if total <= bus_v:
        return current_a
    low = high - 16.0
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        current_a = rated_ah * exponential(middle)
        total = _recharge_sum(
            current_a, middle, rated_ah, cells, work[0], work[1], work[2], out_v, main_a
        )
        if total > bus_v:
            high = middle
        else:
            low = middle
    return current_a


@kernel
def resistance_ohmic_mohm(
    new_mohm: float, growth: float, temperature_c: float, soc_frac: float
) -> float:
    """What a monitor's ohmic measurement sees [mOhm] at the jar's temperature and charge."""
    missing = 1.0 - soc_frac
    charge = 1.0 + _OHMIC_LINEAR * missing + _OHMIC_CUBIC * missing * missing * missing
    return new_mohm * growth * charge * (1.0 - _RES_T * (temperature_c - _REFERENCE_C))
