"""Hourly features from measured counts.

All sums are integers, so that no order of addition, block or machine can change a bit; a mean is
rounded once, half up. Null counts are left out; a window without samples of a channel gives nulls
for what is made of it, but sums of times and events of nothing are 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fleetgen.jit import kernel
from fleetgen.schema import MODES
from fleetgen.spec import NULL

Ints = NDArray[np.int64]
Counts = NDArray[np.int32]

WINDOW_HOURS = 1
FLOAT_SLOPE_MV_PER_K = 18
SURGE_FRACTION = 0.05
SURGE_WITHIN_S = 10
OFFSET_WINDOW_S = 3600
GAP_S = 12 * 3600
"""A discharge goes on over nulls as long as this, and a longer gap ends it; more than the longest
communication loss that is drawn, and less than the day by which a block knows what came before."""

_FLOAT = MODES.index("float")
_DISCHARGE = MODES.index("discharge")
NO_MODE = len(MODES)
"""Code of a mode that is null."""
_NULL32 = np.iinfo(np.int32).min

# Columns of `jar_hours`.
V_SAMPLES, V_SUM, V_SQUARES, V_MIN, V_MAX, C_SAMPLES, C_SUM, C_MAX, BELOW_S, ABOVE_S = range(10)
READING = 10
"""Resistance count of the window's last sample, or NULL; the caller's to fill."""
JAR_COLUMNS = 11


@kernel
def _known_only(
    volts: Counts,
    degrees: Counts,
    modes: NDArray[np.uint8],
    lower: int,
    upper: int,
    out: Ints,
) -> None:
    """Sums of one hour with nulls in it into `out` (column,), times in samples."""
    base = 0
    for i in range(volts.size):
        v = int(volts[i])
        c = int(degrees[i])
        if v != _NULL32:
            if out[V_SAMPLES] == 0:
                base = v
                out[V_MIN] = v
                out[V_MAX] = v
            out[V_SAMPLES] += 1
            out[V_SUM] += v - base
            out[V_SQUARES] += (v - base) * (v - base)
            out[V_MIN] = min(out[V_MIN], v)
            out[V_MAX] = max(out[V_MAX], v)
        if c != _NULL32:
            out[C_MAX] = c if out[C_SAMPLES] == 0 else max(out[C_MAX], c)
            out[C_SAMPLES] += 1
            out[C_SUM] += c
        if v != _NULL32 and c != _NULL32 and modes[i] == _FLOAT:
            shifted = 10 * v + FLOAT_SLOPE_MV_PER_K * (c - 250)
            out[BELOW_S] += int(shifted < lower)
            out[ABOVE_S] += int(shifted > upper)
    out[V_SQUARES] = out[V_SAMPLES] * out[V_SQUARES] - out[V_SUM] * out[V_SUM]
    out[V_SUM] += out[V_SAMPLES] * base


@kernel
def jar_hours(
    voltage_mv: Counts,
    temperature_dc: Counts,
    mode: NDArray[np.uint8],
    bounds: Ints,
    step_s: int,
    float_min_mv: int,
    float_max_mv: int,
    out: Ints,
) -> None:
    """Sums of one jar by hour into `out` (hour, 11); hour h holds samples [bounds[h], bounds[h+1]).

    `voltage_mv` in mV, `temperature_dc` in 0.1 degC; squares are of the deviation from the hour's
    first sample. The float limits fall by 18 mV/K above 25 degC.
    """
    for h in range(bounds.size - 1):
        first = bounds[h]
        end = bounds[h + 1]
        for c in range(READING):
            out[h, c] = 0
        if end <= first:
            continue
        base = int(voltage_mv[first])
        low = base
        high = base
        cold = int(temperature_dc[first])
        hot = cold
        sum_d = 0
        sum_q = 0
        sum_c = 0
        below = 0
        above = 0
        volts = voltage_mv[first:end]
        degrees = temperature_dc[first:end]
        modes = mode[first:end]
        for i in range(volts.size):
            v = int(volts[i])
            c = int(degrees[i])
            d = v - base
            sum_d += d
            sum_q += d * d
            low = min(low, v)
            high = max(high, v)
            sum_c += c
            cold = min(cold, c)
            hot = max(hot, c)
            shifted = 10 * v + FLOAT_SLOPE_MV_PER_K * (c - 250)
            floating = modes[i] == _FLOAT
            below += int(floating and shifted < 10 * float_min_mv)
            above += int(floating and shifted > 10 * float_max_mv)
        if low == _NULL32 or cold == _NULL32:  # null is the least of all counts
            _known_only(volts, degrees, modes, 10 * float_min_mv, 10 * float_max_mv, out[h])
        else:
            n = end - first
            out[h, V_SAMPLES] = n
            out[h, V_SUM] = sum_d + n * base
            out[h, V_SQUARES] = n * sum_q - sum_d * sum_d
            out[h, V_MIN] = low
            out[h, V_MAX] = high
            out[h, C_SAMPLES] = n
            out[h, C_SUM] = sum_c
            out[h, C_MAX] = hot
            out[h, BELOW_S] = below
            out[h, ABOVE_S] = above
        out[h, BELOW_S] *= step_s
        out[h, ABOVE_S] *= step_s


# Columns of `string_hours`.
CYCLES, CHARGE, SURGES, RIPPLE_SUM, RIPPLE_SAMPLES, THD_SUM, THD_SAMPLES = range(7)


@dataclass
class Account:
    """What runs on over hours: discharges seen and discharged charge [0.01 A x s]."""

    cycles: int = 0
    charge: int = 0


@kernel
def modes_before(mode: NDArray[np.uint8], reach: int, out: NDArray[np.uint8]) -> None:
    """Last mode known before each sample, at most `reach` samples back, else `NO_MODE`."""
    last = -reach - 1
    for i in range(mode.size):
        out[i] = mode[last] if i - last <= reach else NO_MODE
        if mode[i] != NO_MODE:
            last = i


def discharge_zeros(
    mode: NDArray[np.uint8], before: NDArray[np.uint8], current: Counts, step_s: int
) -> tuple[Ints, Ints]:
    """First sample of each discharge and the Hall sensor's zero before it [0.01 A], (discharge,).

    `before` are the `modes_before`. The zero is the lower median of the known counts in mode float
    over the hour before; 0 without any.
    """
    starts = np.flatnonzero((mode == _DISCHARGE) & (before != _DISCHARGE))
    look_back = OFFSET_WINDOW_S // step_s
    zeros = np.zeros(len(starts), np.int64)
    for n, start in enumerate(starts):
        hour = slice(max(0, start - look_back), start)
        floating = np.sort(current[hour][(mode[hour] == _FLOAT) & (current[hour] != _NULL32)])
        if floating.size:
            zeros[n] = floating[(floating.size - 1) // 2]
    return starts, zeros


@kernel
def _string_hours(
    mode: NDArray[np.uint8],
    before: NDArray[np.uint8],
    current: Counts,
    ripple: Counts,
    thd: Counts,
    bounds: Ints,
    starts: Ints,
    zeros: Ints,
    step_s: int,
    surge_count: int,
    out: Ints,
) -> None:
    sudden_s = step_s <= SURGE_WITHIN_S
    n = -1
    last = -1  # last known current of the discharge
    for h in range(bounds.size - 1):
        for i in range(bounds[h], bounds[h + 1]):
            if ripple[i] != _NULL32:
                out[h, RIPPLE_SUM] += ripple[i]
                out[h, RIPPLE_SAMPLES] += 1
            if thd[i] != _NULL32:
                out[h, THD_SUM] += thd[i]
                out[h, THD_SAMPLES] += 1
            if n + 1 < starts.size and starts[n + 1] == i:
                n += 1
                last = -1
                out[h, CYCLES] += 1
            known = current[i] != _NULL32
            discharging = mode[i] == _DISCHARGE
            if discharging and known:
                if last >= 0:
                    twice = 2 * zeros[n] - current[last] - current[i]
                    out[h, CHARGE] += (i - last - 1) * step_s * twice // 2
                out[h, CHARGE] += (zeros[n] - current[i]) * step_s
                last = i
            transfer = (
                mode[i] != NO_MODE
                and before[i] != NO_MODE
                and discharging != (before[i] == _DISCHARGE)
            )
            jump = 0
            if i > 0 and known and current[i - 1] != _NULL32:
                jump = abs(int(current[i]) - int(current[i - 1]))
            out[h, SURGES] += int(transfer or (sudden_s and jump >= surge_count))


def string_hours(
    mode: NDArray[np.uint8],
    counts: Counts,
    bounds: Ints,
    step_s: int,
    rated_ah: float,
) -> Ints:
    """Sums of one string by hour, (hour, 7), from the first sample given on.

    `counts` are the current, ripple and THD counts (3, sample). Cycles and charge are of the hour
    alone; the charge is that of the Hall sensor in mode discharge less its zero.

    A discharge in which samples are missing remains one, and counts once. When its current is known
    again, the missing samples are taken to be the mean of the last known and that one, all in the
    hour of that one: no feature looks ahead. What is lost at the beginning or end of a discharge
    adds nothing, nor does a discharge of which no sample is known.
    """
    out = np.zeros((len(bounds) - 1, 7), np.int64)
    before = np.empty_like(mode)
    modes_before(mode, max(1, GAP_S // step_s), before)
    current, ripple, thd = counts
    starts, zeros = discharge_zeros(mode, before, current, step_s)
    surge_count = int(SURGE_FRACTION * rated_ah * 100)
    _string_hours(
        mode, before, current, ripple, thd, bounds, starts, zeros, step_s, surge_count, out
    )
    return out


def _ratio(numerator: Ints, denominator: Ints) -> Ints:
    """numerator / denominator rounded half up; NULL where the denominator is 0."""
    safe = np.where(denominator == 0, 1, denominator)
    return np.where(denominator == 0, NULL, (2 * numerator + safe) // (2 * safe))


def jar_features(
    jar: Ints,
    all_jars: Ints,
    room: Ints,
    string: Ints,
    before: Account,
    initial_count: int,
) -> dict[str, Ints]:
    """Feature columns of one jar as counts, each (hour,).

    `jar` and `string` are the sums of `jar_hours` and `string_hours`, `all_jars` (hour, 2) number
    and sum of the voltages of all jars of the string, `room` (hour, 2) of the room's temperatures,
    `before` what ran up earlier.
    """
    volts, degrees = jar[:, V_SAMPLES], jar[:, C_SAMPLES]
    no_volts = volts == 0
    spread = np.sqrt(jar[:, V_SQUARES].astype(np.float64)) / np.where(no_volts, 1, volts)
    reading = jar[:, READING]
    unread = reading == NULL
    initial = np.where(unread, 0, initial_count)

    def less(total: Ints, number: Ints, other: Ints, per_unit: int) -> Ints:
        """Mean less another one, of which `other` are number and sum."""
        difference = total * other[:, 0] - number * other[:, 1]
        return _ratio(per_unit * difference, number * other[:, 0])

    return {
        "feature_window_hours": np.full(len(jar), WINDOW_HOURS, np.int64),
        "v_mean": _ratio(10 * jar[:, V_SUM], volts),
        "v_std": np.where(no_volts, NULL, np.floor(10 * spread + 0.5).astype(np.int64)),
        "v_min": np.where(no_volts, NULL, jar[:, V_MIN]),
        "v_max": np.where(no_volts, NULL, jar[:, V_MAX]),
        "v_balance_mean": less(jar[:, V_SUM], volts, all_jars, 10),
        "t_mean": _ratio(100 * jar[:, C_SUM], degrees),
        "t_max": np.where(degrees == 0, NULL, jar[:, C_MAX]),
        "t_delta_ambient_mean": less(jar[:, C_SUM], degrees, room, 100),
        "r_internal_latest": reading,
        "r_internal_baseline_pct": _ratio(np.where(unread, 0, 10_000 * reading), initial),
        "discharge_cycles_count": before.cycles + np.cumsum(string[:, CYCLES]),
        "ah_throughput": _ratio(
            1000 * (before.charge + np.cumsum(string[:, CHARGE])), np.full(len(jar), 360_000)
        ),
        "time_below_float_min": jar[:, BELOW_S],
        "time_above_float_max": jar[:, ABOVE_S],
        "surge_events_count": string[:, SURGES],
        "ripple_rms_mean": _ratio(10 * string[:, RIPPLE_SUM], string[:, RIPPLE_SAMPLES]),
        "thd_mean": _ratio(10 * string[:, THD_SUM], string[:, THD_SAMPLES]),
    }
