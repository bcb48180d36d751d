"""Hourly features from measured counts.

All sums are integers, so that no order of addition, block or machine can change a bit; a mean is
rounded once, half up. A window without samples gives nulls.
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

_FLOAT = MODES.index("float")
_DISCHARGE = MODES.index("discharge")
_NULL32 = np.iinfo(np.int32).min

# Columns of `jar_hours`.
SAMPLES, V_SUM, V_SQUARES, V_MIN, V_MAX, C_SUM, C_MAX, BELOW_S, ABOVE_S = range(9)


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
    """Sums of one jar by hour into `out` (hour, 9); hour h holds samples [bounds[h], bounds[h+1]).

    `voltage_mv` in mV, `temperature_dc` in 0.1 degC; squares are of the deviation from the hour's
    first sample. The float limits fall by 18 mV/K above 25 degC.
    """
    for h in range(bounds.size - 1):
        first = bounds[h]
        end = bounds[h + 1]
        for c in range(9):
            out[h, c] = 0
        if end <= first:
            continue
        base = int(voltage_mv[first])
        low = base
        high = base
        hot = int(temperature_dc[first])
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
            hot = max(hot, c)
            shifted = 10 * v + FLOAT_SLOPE_MV_PER_K * (c - 250)
            floating = modes[i] == _FLOAT
            below += int(floating and shifted < 10 * float_min_mv)
            above += int(floating and shifted > 10 * float_max_mv)
        n = end - first
        out[h, SAMPLES] = n
        out[h, V_SUM] = sum_d + n * base
        out[h, V_SQUARES] = n * sum_q - sum_d * sum_d
        out[h, V_MIN] = low
        out[h, V_MAX] = high
        out[h, C_SUM] = sum_c
        out[h, C_MAX] = hot
        out[h, BELOW_S] = below * step_s
        out[h, ABOVE_S] = above * step_s


# Columns of `string_hours`.
CYCLES, CHARGE, SURGES, RIPPLE_SUM, THD_SUM, THD_SAMPLES = range(6)


@dataclass
class Account:
    """What runs on over hours: discharges seen and discharged charge [0.01 A x s]."""

    cycles: int = 0
    charge: int = 0


def discharge_zeros(mode: NDArray[np.uint8], current: Counts, step_s: int) -> tuple[Ints, Ints]:
    """First sample of each discharge and the Hall sensor's zero before it [0.01 A], (discharge,).

    The zero is the lower median of the counts in mode float over the hour before; 0 without any.
    """
    discharging = mode == _DISCHARGE
    starts = np.flatnonzero(discharging & ~np.append(False, discharging[:-1]))
    look_back = OFFSET_WINDOW_S // step_s
    zeros = np.zeros(len(starts), np.int64)
    for n, start in enumerate(starts):
        before = slice(max(0, start - look_back), start)
        floating = np.sort(current[before][mode[before] == _FLOAT])
        if floating.size:
            zeros[n] = floating[(floating.size - 1) // 2]
    return starts, zeros


@kernel
def _string_hours(
    mode: NDArray[np.uint8],
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
    for h in range(bounds.size - 1):
        for c in range(6):
            out[h, c] = 0
        for i in range(bounds[h], bounds[h + 1]):
            out[h, RIPPLE_SUM] += ripple[i]
            if thd[i] != _NULL32:
                out[h, THD_SUM] += thd[i]
                out[h, THD_SAMPLES] += 1
            if n + 1 < starts.size and starts[n + 1] == i:
                n += 1
                out[h, CYCLES] += 1
            discharging = mode[i] == _DISCHARGE
            if discharging:
                out[h, CHARGE] += (zeros[n] - current[i]) * step_s
            if i > 0:
                jump = abs(int(current[i]) - int(current[i - 1]))
                transfer = discharging != (mode[i - 1] == _DISCHARGE)
                out[h, SURGES] += int(transfer or (sudden_s and jump >= surge_count))


def string_hours(
    mode: NDArray[np.uint8],
    counts: Counts,
    bounds: Ints,
    step_s: int,
    rated_ah: float,
) -> Ints:
    """Sums of one string by hour, (hour, 6), from the first sample given on.

    `counts` are the current, ripple and THD counts (3, sample). Cycles and charge are of the hour
    alone; the charge is that of the Hall sensor in mode discharge less its zero.
    """
    out = np.zeros((len(bounds) - 1, 6), np.int64)
    starts, zeros = discharge_zeros(mode, counts[0], step_s)
    surge_count = int(SURGE_FRACTION * rated_ah * 100)
    current, ripple, thd = counts
    _string_hours(mode, current, ripple, thd, bounds, starts, zeros, step_s, surge_count, out)
    return out


def _ratio(numerator: Ints, denominator: Ints) -> Ints:
    """numerator / denominator rounded half up; NULL where the denominator is 0."""
    safe = np.where(denominator == 0, 1, denominator)
    return np.where(denominator == 0, NULL, (2 * numerator + safe) // (2 * safe))


def jar_features(
    jar: Ints,
    string_v_sum: Ints,
    jars: int,
    room_sum: Ints,
    string: Ints,
    before: Account,
    readings: Ints,
    initial_count: int,
) -> dict[str, Ints]:
    """Feature columns of one jar as counts, each (hour,).

    `jar` and `string` are the sums of `jar_hours` and `string_hours`, `string_v_sum` the sum of
    `V_SUM` over all `jars` of the string, `room_sum` of the room's temperature counts,
    `readings` the resistance count of each window's last sample, `before` what ran up earlier.
    """
    n = jar[:, SAMPLES]
    empty = n == 0
    spread = np.sqrt(jar[:, V_SQUARES].astype(np.float64)) / np.where(empty, 1, n)

    def known(counts: Ints) -> Ints:
        return np.where(empty, NULL, counts)

    return {
        "feature_window_hours": np.full(len(n), WINDOW_HOURS, np.int64),
        "v_mean": _ratio(10 * jar[:, V_SUM], n),
        "v_std": known(np.floor(10 * spread + 0.5).astype(np.int64)),
        "v_min": known(jar[:, V_MIN]),
        "v_max": known(jar[:, V_MAX]),
        "v_balance_mean": _ratio(10 * (jars * jar[:, V_SUM] - string_v_sum), jars * n),
        "t_mean": _ratio(100 * jar[:, C_SUM], n),
        "t_max": known(jar[:, C_MAX]),
        "t_delta_ambient_mean": _ratio(100 * (jar[:, C_SUM] - room_sum), n),
        "r_internal_latest": known(readings),
        "r_internal_baseline_pct": known(_ratio(10_000 * readings, np.full_like(n, initial_count))),
        "discharge_cycles_count": before.cycles + np.cumsum(string[:, CYCLES]),
        "ah_throughput": _ratio(
            1000 * (before.charge + np.cumsum(string[:, CHARGE])), np.full(len(n), 360_000)
        ),
        "time_below_float_min": jar[:, BELOW_S],
        "time_above_float_max": jar[:, ABOVE_S],
        "surge_events_count": string[:, SURGES],
        "ripple_rms_mean": _ratio(10 * string[:, RIPPLE_SUM], n),
        "thd_mean": _ratio(10 * string[:, THD_SUM], string[:, THD_SAMPLES]),
    }
