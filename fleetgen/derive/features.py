"""Features of windows of whole hours from measured counts.

All sums are integers, so that no order of addition, block or machine can change a bit; a mean is
rounded once, half up. Null counts are left out; a window without samples of a channel gives nulls
for what is made of it, but sums of times and events of nothing are 0. Sums are taken by hour, and
those of a window are the sums of its hours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fleetgen.jit import kernel
from fleetgen.model import params
from fleetgen.schema import MODES
from fleetgen.spec import NULL
from fleetgen.units import SECONDS_PER_HOUR

Ints = NDArray[np.int64]
Counts = NDArray[np.int32]

FLOAT_SLOPE_MV_PER_K = 18
SURGE_FRACTION = 0.05
SURGE_WITHIN_S = 10
OFFSET_WINDOW_S = 3600
GAP_S = 12 * 3600
"""A discharge goes on over nulls as long as this, and a longer gap ends it; more than the longest
communication loss that is drawn, and less than the day by which a block knows what came before."""

RECHARGE_S = SECONDS_PER_HOUR
"""Of a recharge, the time over which the charge that is accepted is added up."""
LEAST_DEPTH = 0.01
"""Fraction of C10 below which a discharge says nothing of the recharge after it: Hall noise."""

BASELINE_DAYS = 26 * 7
"""Days of readings, at most, whose median is a jar's own baseline; see PHYSICS section 7."""
BASELINE_AFTER_DAYS = 4 * 7
"""Before so many days have passed, the reading of the acceptance test is the baseline."""
BASELINE_LEAST = 4
"""So many readings, at least, make a median."""

_REFERENCE_MC = round(1000 * params.REFERENCE_TEMPERATURE.value)
_PER_BILLION_MK = round(1e6 * params.RESISTANCE_TEMPERATURE.value)
_BILLION = 10**9

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


# Columns of `string_hours`: sums of the hour, then what is known of the last discharge at its end.
CYCLES, CHARGE, SURGES, RIPPLE_SUM, RIPPLE_SAMPLES, THD_SUM, THD_SAMPLES = range(7)
REMOVED, RETURNED, RETURNED_SAMPLES, SETTLED = range(7, 11)
STRING_COLUMNS = 11


@dataclass
class Account:
    """What runs on over hours: discharges seen, discharged charge [0.01 A x s], the last discharge.

    `last` are the columns of `string_hours` from `REMOVED` on; its charge is `NULL` before the
    first.
    """

    cycles: int = 0
    charge: int = 0
    last: tuple[int, ...] = (NULL, 0, 0, 0)

    def take(self, sums: Ints) -> None:
        """Go on over hours, (hour, 11)."""
        self.cycles += int(sums[:, CYCLES].sum())
        self.charge += int(sums[:, CHARGE].sum())
        if sums[-1, REMOVED] != NULL:
            self.last = tuple(sums[-1, REMOVED:].tolist())


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
def _charge(current: Counts, i: int, last: int, zero: int, step_s: int) -> int:
    """Charge [0.01 A s] that a sample of a discharge adds; `last` is that known before, or -1."""
    charge = (zero - int(current[i])) * step_s
    if last >= 0:
        twice = 2 * zero - int(current[last]) - int(current[i])
        charge += (i - last - 1) * step_s * twice // 2
    return charge


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
                out[h, CHARGE] += _charge(current, i, last, zeros[n], step_s)
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


@kernel
def _last_discharge(
    mode: NDArray[np.uint8],
    current: Counts,
    bounds: Ints,
    start: int,
    end: int,
    zero: int,
    step_s: int,
    out: Ints,
) -> None:
    """One discharge that begins with sample `start`, into the hours until the next, at `end`."""
    hour = 0 if step_s > RECHARGE_S else (RECHARGE_S + step_s - 1) // step_s
    removed = 0
    returned = 0
    samples = 0
    last = -1
    over = -1  # first sample after the discharge
    i = start
    for h in range(bounds.size - 1):
        if bounds[h + 1] <= start or bounds[h + 1] > end:
            continue
        while i < bounds[h + 1] and (over < 0 or i < over + hour):
            known = current[i] != _NULL32
            if mode[i] == _DISCHARGE and known:
                removed += _charge(current, i, last, zero, step_s)
                last = i
            if over < 0 and mode[i] != _DISCHARGE and mode[i] != NO_MODE:
                over = i
            if over >= 0 and i < over + hour and known:
                returned += current[i] - zero
                samples += 1
            i += 1
        out[h, REMOVED] = removed
        if over >= 0 and bounds[h + 1] >= over + hour:
            out[h, RETURNED] = returned
            out[h, RETURNED_SAMPLES] = samples
            out[h, SETTLED] = 1


@kernel
def _last_discharges(
    mode: NDArray[np.uint8],
    current: Counts,
    bounds: Ints,
    starts: Ints,
    zeros: Ints,
    step_s: int,
    out: Ints,
) -> None:
    for n in range(starts.size):
        end = starts[n + 1] if n + 1 < starts.size else mode.size
        _last_discharge(mode, current, bounds, starts[n], end, zeros[n], step_s, out)


def string_hours(
    mode: NDArray[np.uint8],
    counts: Counts,
    bounds: Ints,
    step_s: int,
    rated_ah: float,
) -> Ints:
    """Sums of one string by hour, (hour, 11), from the first sample given on.

    `counts` are the current, ripple and THD counts (3, sample). Cycles and charge are of the hour
    alone; the charge is that of the Hall sensor in mode discharge less its zero. At the end of the
    hour, `REMOVED` is the charge of the last discharge so far, `NULL` where none has begun in these
    samples. Once `RECHARGE_S` after its end are over, `SETTLED` is 1, and `RETURNED` the sum of the
    known currents of that time, less the zero.

    A discharge in which samples are missing remains one, and counts once. When its current is known
    again, the missing samples are taken to be the mean of the last known and that one, all in the
    hour of that one: no feature looks ahead. What is lost at the beginning or end of a discharge
    adds nothing, nor does a discharge of which no sample is known.
    """
    out = np.zeros((len(bounds) - 1, STRING_COLUMNS), np.int64)
    out[:, REMOVED] = NULL
    before = np.empty_like(mode)
    modes_before(mode, max(1, GAP_S // step_s), before)
    current, ripple, thd = counts
    starts, zeros = discharge_zeros(mode, before, current, step_s)
    surge_count = int(SURGE_FRACTION * rated_ah * 100)
    _string_hours(
        mode, before, current, ripple, thd, bounds, starts, zeros, step_s, surge_count, out
    )
    _last_discharges(mode, current, bounds, starts, zeros, step_s, out)
    return out


def pending(hours: Ints) -> bool:
    """Whether hourly sums of a string end before the recharge of their last discharge is known."""
    return bool(hours[-1, REMOVED] != NULL and not hours[-1, SETTLED])


def ratio(numerator: Ints, denominator: Ints) -> Ints:
    """numerator / denominator rounded half up; NULL where the denominator is 0."""
    safe = np.where(denominator == 0, 1, denominator)
    return np.where(denominator == 0, NULL, (2 * numerator + safe) // (2 * safe))


def whole_sum(counts: Ints, axis: int) -> Ints:
    """Sum of integers along an axis, equal in any order."""
    total: Ints = counts.sum(axis=axis)
    return total


def no_hour() -> Ints:
    """Sums of an hour in which a jar has no sample, (11,)."""
    found = np.zeros(JAR_COLUMNS, np.int64)
    found[READING] = NULL
    return found


def jar_windows(hours: Ints, rows: Ints, length: int) -> Ints:
    """Sums of windows of `length` hours, (jar, window, 11), from those of hours (jar, hour, 11).

    `rows` are the samples in each hour, null or not; hours beyond the last whole window are left.
    """
    jars, windows = len(hours), hours.shape[1] // length
    parts = hours[:, : windows * length].reshape(jars, windows, length, JAR_COLUMNS)
    out = whole_sum(parts, 2)
    if length == 1:
        return out
    volts, total = parts[..., V_SAMPLES], parts[..., V_SUM]
    squares = (parts[..., V_SQUARES] + total * total) // np.where(volts == 0, 1, volts)
    out[..., V_SQUARES] = out[..., V_SAMPLES] * whole_sum(squares, 2) - out[..., V_SUM] ** 2
    out[..., V_MIN] = np.where(volts == 0, -NULL - 1, parts[..., V_MIN]).min(axis=2)
    out[..., V_MAX] = np.where(volts == 0, NULL, parts[..., V_MAX]).max(axis=2)
    out[..., C_MAX] = np.where(parts[..., C_SAMPLES] == 0, NULL, parts[..., C_MAX]).max(axis=2)
    sampled = rows[: windows * length].reshape(windows, length) > 0
    last = length - 1 - np.argmax(sampled[:, ::-1], axis=1)
    out[..., READING] = parts[:, np.arange(windows), last, READING]
    return out


def string_windows(hours: Ints, length: int) -> Ints:
    """Sums of windows of `length` hours, (window, 11), from those of hours."""
    windows = len(hours) // length
    parts = hours[: windows * length].reshape(windows, length, STRING_COLUMNS)
    return np.concatenate([whole_sum(parts[:, :, :REMOVED], 1), parts[:, -1, REMOVED:]], axis=1)


def room_windows(hours: Ints, length: int) -> Ints:
    """Number and sum of temperatures in windows of `length` hours, (window, 2), from hours."""
    windows = len(hours) // length
    return whole_sum(hours[: windows * length].reshape(windows, length, 2), 1)


def at_25c(reading: Ints, temperature_mc: Ints) -> Ints:
    """Resistance at 25 degC of a reading at a temperature [0.001 degC]; NULL where one is NULL.

    The ohmic part falls with temperature as the electrolyte conducts better,
    R = R25 (1 - 0.006/K (T - 25 degC)): `params.RESISTANCE_TEMPERATURE`.
    """
    missing = (reading == NULL) | (temperature_mc == NULL)
    warmer = np.where(missing, _REFERENCE_MC, temperature_mc) - _REFERENCE_MC
    known = np.where(missing, 0, reading)
    law = _BILLION - _PER_BILLION_MK * warmer
    return np.where(missing, NULL, ratio(known * _BILLION, law))


def medians(values: Ints) -> tuple[Ints, Ints]:
    """Number of known values along the last axis, and twice their median (NULL of none)."""
    ordered = np.sort(values, axis=-1)  # null is the least of all
    known = np.count_nonzero(ordered != NULL, axis=-1)
    begin = values.shape[-1] - known
    least = np.minimum(begin + np.maximum(known - 1, 0) // 2, values.shape[-1] - 1)
    most = np.minimum(begin + known // 2, values.shape[-1] - 1)
    low, high = (np.take_along_axis(ordered, i[..., None], -1)[..., 0] for i in (least, most))
    return known, low + np.where(known == 0, 0, high)


def baselines(values: Ints, days: int, elapsed: int, initial: int) -> Ints:
    """Baseline of a jar's resistance at 25 degC on each of a block's local days, (day,).

    `values` are the resistances at the local midnights up to that of the last day, `NULL` where
    unknown, and as many before the block as there are, at most `BASELINE_DAYS` - 1; `elapsed` days
    lie between the unit's first midnight and the block.
    """
    padded = np.full(BASELINE_DAYS - 1 + days, NULL)
    padded[padded.size - values.size :] = values
    known, twice = medians(np.lib.stride_tricks.sliding_window_view(padded, BASELINE_DAYS))
    long = (elapsed + np.arange(days) >= BASELINE_AFTER_DAYS) & (known >= BASELINE_LEAST)
    return np.where(long, (np.where(long, twice, 0) + 1) // 2, initial)


def string_features(string: Ints, before: Account, rated_ah: float) -> dict[str, Ints]:
    """Feature columns that the jars of a string share, as counts, each (window,).

    `string` are sums of windows, `before` what ran up earlier, `rated_ah` C10 of the model.
    """
    rated = round(1000 * rated_ah)  # [mAh]; charge is in 0.01 A x s, a mAh has 360
    none = string[:, REMOVED] == NULL
    last = np.where(none[:, np.newaxis], before.last, string[:, REMOVED:])
    removed, returned, samples, _ = last.T
    unknown = removed == NULL
    removed = np.where(unknown, 0, removed)
    deep = removed >= round(LEAST_DEPTH * rated * 360)
    return {
        "discharge_cycles_count": before.cycles + np.cumsum(string[:, CYCLES]),
        "ah_throughput": ratio(before.charge + np.cumsum(string[:, CHARGE]), np.array(360)),
        "last_discharge_depth_pct": np.where(
            unknown, NULL, ratio(10_000 * removed, np.array(360 * rated))
        ),
        "recharge_acceptance_pct": ratio(
            1000 * RECHARGE_S * returned, np.where(deep, samples * removed, 0)
        ),
        "surge_events_count": string[:, SURGES],
        "ripple_rms_mean": ratio(10 * string[:, RIPPLE_SUM], string[:, RIPPLE_SAMPLES]),
        "thd_mean": ratio(10 * string[:, THD_SUM], string[:, THD_SAMPLES]),
    }


def mean_volts(jars: Ints) -> Ints:
    """Mean voltage [0.1 mV] of sums (..., 11), NULL of none."""
    return ratio(10 * jars[..., V_SUM], jars[..., V_SAMPLES])


def jar_features(
    jar: Ints,
    all_jars: Ints,
    twice_median: Ints,
    room: Ints,
    initial_count: int,
    baseline: Ints,
) -> dict[str, Ints]:
    """Feature columns of one jar alone as counts, each (window,).

    `jar` are its sums of windows, `all_jars` (window, 2) number and sum of the voltages of all jars
    of the string, `twice_median` twice the median of their mean voltages, `room` (window, 2) number
    and sum of the room's temperatures, `baseline` (window,) the resistance to compare with.
    """
    volts, degrees = jar[:, V_SAMPLES], jar[:, C_SAMPLES]
    no_volts = volts == 0
    spread = np.sqrt(jar[:, V_SQUARES].astype(np.float64)) / np.where(no_volts, 1, volts)
    reading = jar[:, READING]
    unread = reading == NULL
    initial = np.where(unread, 0, initial_count)
    v_mean, t_mean = mean_volts(jar), ratio(100 * jar[:, C_SUM], degrees)
    corrected = at_25c(reading, t_mean)
    lost = corrected == NULL
    change = np.where(lost, 0, corrected) - baseline

    def less(total: Ints, number: Ints, other: Ints, per_unit: int) -> Ints:
        """Mean less another one, of which `other` are number and sum."""
        difference = total * other[:, 0] - number * other[:, 1]
        return ratio(per_unit * difference, number * other[:, 0])

    above_median = 2 * np.where(no_volts, 0, v_mean) - np.where(no_volts, 0, twice_median)
    return {
        "v_mean": v_mean,
        "v_std": np.where(no_volts, NULL, np.floor(10 * spread + 0.5).astype(np.int64)),
        "v_min": np.where(no_volts, NULL, jar[:, V_MIN]),
        "v_max": np.where(no_volts, NULL, jar[:, V_MAX]),
        "v_balance_mean": less(jar[:, V_SUM], volts, all_jars, 10),
        "v_deviation_median": np.where(no_volts, NULL, (above_median + 1) // 2),
        "t_mean": t_mean,
        "t_max": np.where(degrees == 0, NULL, jar[:, C_MAX]),
        "t_delta_ambient_mean": less(jar[:, C_SUM], degrees, room, 100),
        "r_internal_latest": reading,
        "r_internal_baseline_pct": ratio(np.where(unread, 0, 10_000 * reading), initial),
        "r_internal_25c": corrected,
        "r_change_pct": ratio(10_000 * change, np.where(lost, 0, baseline)),
        "time_below_float_min": jar[:, BELOW_S],
        "time_above_float_max": jar[:, ABOVE_S],
    }
