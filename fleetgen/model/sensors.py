"""What instruments make of the physical values: errors, noise, resolution, the sample clock.

Samplers read the physical grid at evenly spaced instants, linear within a row and never across an
edge, and return counts. Noise is keyed by channel and instant in whole seconds, so that it does not
depend on the sampling interval; one 64-bit draw feeds up to four channels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fleetgen import rng
from fleetgen.jit import kernel
from fleetgen.model import params
from fleetgen.rng import Key, Stream

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Counts = NDArray[np.int32]

_JAR_V_NOISE = params.JAR_VOLTAGE_NOISE.value * 1000.0
_JAR_C_NOISE = params.JAR_TEMPERATURE_NOISE.value * 10.0
_STRING_V_NOISE = params.STRING_VOLTAGE_NOISE.value * 100.0
_HALL_NOISE = params.HALL_NOISE.value * 100.0
_HALL_T = params.HALL_TEMPERATURE.value
_REFERENCE_C = params.REFERENCE_TEMPERATURE.value
_SHUNT_NOISE = params.SHUNT_NOISE.value * 1000.0
_SHUNT_RANGE = params.SHUNT_RANGE.value * 1000.0
_RIPPLE_NOISE = params.RIPPLE_NOISE.value
_RIPPLE_DISCHARGE = params.RIPPLE_DISCHARGE.value
_THD_FULL = params.THD_FULL_LOAD.value
_THD_SLOPE = (params.THD_QUARTER_LOAD.value - params.THD_FULL_LOAD.value) / (
    1.0 / params.THD_LOW_LOAD.value - 1.0
)
_THD_NOISE = params.THD_NOISE.value
_AMBIENT_C_NOISE = params.AMBIENT_TEMPERATURE_NOISE.value * 10.0
_AMBIENT_PCT_NOISE = params.AMBIENT_HUMIDITY_NOISE.value * 10.0

DAY_S = 86_400
_DISCHARGE = 3
_IDLE = 4
NULL_COUNT = np.iinfo(np.int32).min
"""Null among int32 counts."""


def fixed_error(seed: int, stream: Stream, entity: str, number: int, sigma: float) -> float:
    """Gain or offset error that an instrument's channel has for good."""
    return sigma * rng.normal(rng.key(seed, stream, entity), number)


@kernel
def row_at(t_row: Ints, instant_s: int) -> int:
    """Last row at or before an instant that is not the closing one of an edge."""
    low = 0
    high = t_row.size - 1
    while high - low > 1:
        middle = (low + high) // 2
        if t_row[middle] <= instant_s:
            low = middle
        else:
            high = middle
    return low


@kernel
def sample_jar(
    t_row: Ints,
    jar_v: Floats,
    jar_c: Floats,
    first_s: int,
    step_s: int,
    gain: float,
    offset_c: float,
    k: Key,
    noise: float,
    table: NDArray[np.float32],
    out_v: Counts,
    out_c: Counts,
) -> None:
    """Voltage [mV] and temperature [0.1 degC] of one jar at each instant, counts (sample,).

    `noise` is 1, or 0 for ideal sensors.
    """
    n = out_v.size
    k0 = k[0]
    k1 = k[1]
    noise_v = noise * _JAR_V_NOISE
    noise_c = noise * _JAR_C_NOISE
    row = row_at(t_row, first_s)
    i = 0
    while i < n:
        t = first_s + i * step_s
        while t_row[row + 1] <= t:
            row += 1
        t0 = t_row[row]
        t1 = t_row[row + 1]
        end = min(n, (t1 - first_s + step_s - 1) // step_s)
        slope_v = (jar_v[row + 1] - jar_v[row]) / (t1 - t0) * gain * 1000.0
        slope_c = (jar_c[row + 1] - jar_c[row]) / (t1 - t0) * 10.0
        base_v = jar_v[row] * gain * 1000.0 + 0.5
        base_c = (jar_c[row] + offset_c) * 10.0 + 0.5
        # Views from their start: an index that cannot be negative needs no check.
        part_v = out_v[i:end]
        part_c = out_c[i:end]
        for m in range(part_v.size):
            instant = t + m * step_s
            since = np.float64(instant - t0)
            word = rng.bits(k0, k1, instant)
            v = base_v + slope_v * since + noise_v * table[rng.lane(word, 0)]
            c = base_c + slope_c * since + noise_c * table[rng.lane(word, 1)]
            part_v[m] = np.int32(np.floor(v))
            part_c[m] = np.int32(np.floor(c))
        i = end


@kernel
def read_jars(
    jar_v: Floats,
    jar_c: Floats,
    gain: Floats,
    offset_c: Floats,
    keys: NDArray[np.uint64],
    instant_s: int,
    noise: float,
    table: NDArray[np.float32],
    out: Ints,
) -> None:
    """Voltage [mV] and temperature [0.1 degC] of all jars of a string at an instant, (2, jar).

    What `sample_jar` makes of them then.
    """
    for j in range(jar_v.size):
        word = rng.bits(keys[j, 0], keys[j, 1], instant_s)
        v = jar_v[j] * gain[j] * 1000.0 + 0.5 + noise * _JAR_V_NOISE * table[rng.lane(word, 0)]
        c = (jar_c[j] + offset_c[j]) * 10.0 + 0.5 + noise * _JAR_C_NOISE * table[rng.lane(word, 1)]
        out[0, j] = np.int64(np.floor(v))
        out[1, j] = np.int64(np.floor(c))


@kernel
def runs_of(
    t_row: Ints,
    values: Floats,
    per_unit: float,
    first_s: int,
    step_s: int,
    n: int,
    lengths: Ints,
    counts: Ints,
) -> int:
    """Runs of equal counts of a piecewise linear truth at each instant; returns their number.

    `lengths` and `counts` must hold n entries.
    """
    runs = 0
    row = row_at(t_row, first_s)
    i = 0
    while i < n:
        t = first_s + i * step_s
        while t_row[row + 1] <= t:
            row += 1
        t0 = t_row[row]
        end = min(n, (t_row[row + 1] - first_s + step_s - 1) // step_s)
        slope = (values[row + 1] - values[row]) / (t_row[row + 1] - t0) * per_unit
        base = values[row] * per_unit + 0.5
        head = np.int64(np.floor(base + slope * np.float64(t - t0)))
        tail = np.int64(np.floor(base + slope * np.float64(first_s + (end - 1) * step_s - t0)))
        if head == tail:
            if runs > 0 and counts[runs - 1] == head:
                lengths[runs - 1] += end - i
            else:
                lengths[runs] = end - i
                counts[runs] = head
                runs += 1
        else:
            for m in range(i, end):
                since = np.float64(first_s + m * step_s - t0)
                count = np.int64(np.floor(base + slope * since))
                if runs > 0 and counts[runs - 1] == count:
                    lengths[runs - 1] += 1
                else:
                    lengths[runs] = 1
                    counts[runs] = count
                    runs += 1
        i = end
    return runs


@kernel
def sample_modes(
    t_row: Ints, mode_row: NDArray[np.uint8], first_s: int, step_s: int, out: NDArray[np.uint8]
) -> None:
    """Mode code at each instant, uint8 (sample,)."""
    n = out.size
    row = row_at(t_row, first_s)
    i = 0
    while i < n:
        t = first_s + i * step_s
        while t_row[row + 1] <= t:
            row += 1
        end = min(n, (t_row[row + 1] - first_s + step_s - 1) // step_s)
        for m in range(i, end):
            out[m] = mode_row[row]
        i = end


@kernel
def within(starts_s: Ints, ends_s: Ints, first_s: int, step_s: int, out: NDArray[np.uint8]) -> None:
    """1 where an instant lies in one of the intervals [start, end), else 0."""
    n = out.size
    for m in range(n):
        out[m] = 0
    for i in range(starts_s.size):
        low = max(0, (starts_s[i] - first_s + step_s - 1) // step_s)
        high = min(n, (ends_s[i] - first_s + step_s - 1) // step_s)
        for m in range(low, high):
            out[m] = 1


@kernel
def overlay(
    starts_s: Ints, ends_s: Ints, codes: Ints, first_s: int, step_s: int, out: NDArray[np.uint8]
) -> None:
    """Raise `out` to the code of each interval [start, end) at the instants that lie in it."""
    n = out.size
    for i in range(starts_s.size):
        low = max(0, (starts_s[i] - first_s + step_s - 1) // step_s)
        high = min(n, (ends_s[i] - first_s + step_s - 1) // step_s)
        for m in range(low, high):
            out[m] = max(out[m], codes[i])


@kernel
def interpolated(
    edges: Floats, edge_s: int, start_s: int, first_s: int, step_s: int, out: Floats
) -> None:
    """Values at each instant of a series given by day, float64 (sample,).

    `edges` (day, edge) holds the series every `edge_s` from each midnight to the next, both
    included, from the midnight `start_s` on; each day is interpolated between its own.
    """
    m = 0
    while m < out.size:
        since = first_s + m * step_s - start_s
        day = since // DAY_S
        since -= day * DAY_S
        cell = since // edge_s
        base = edges[day, cell]
        slope = (edges[day, cell + 1] - base) / edge_s
        since -= cell * edge_s
        end = min(out.size, m + (edge_s - since + step_s - 1) // step_s)
        part = out[m:end]
        for i in range(part.size):
            part[i] = base + slope * np.float64(since + i * step_s)
        m = end


@kernel
def sample_string(
    t_row: Ints,
    string_v: Floats,
    current_a: Floats,
    mode: NDArray[np.uint8],
    room_c: Floats,
    load_frac: Floats,
    hall_offset_a: Floats,
    string_ohm: Floats,
    ripple_a: float,
    ripple_load_a: float,
    first_s: int,
    step_s: int,
    gain_v: float,
    gain_a: float,
    shunt_offset_a: float,
    k: Key,
    k2: Key,
    noise: float,
    table: NDArray[np.float32],
    out: Counts,
) -> None:
    """All channels of one string at each instant into `out`, counts (7, sample).

    Rows: voltage [0.01 V], Hall current [0.01 A], ripple current [0.01 A], ripple voltage [mV],
    float current [mA] or null beyond the shunt's range, power [W], THD [0.1 %] or null on battery.
    The ripple current is `ripple_a` + `ripple_load_a` x load.
    """
    n = mode.size
    jitter = noise * _RIPPLE_NOISE
    row = row_at(t_row, first_s)
    i = 0
    while i < n:
        t = first_s + i * step_s
        while t_row[row + 1] <= t:
            row += 1
        t0 = t_row[row]
        span = t_row[row + 1] - t0
        end = min(n, (t_row[row + 1] - first_s + step_s - 1) // step_s)
        slope_v = (string_v[row + 1] - string_v[row]) / span
        slope_a = (current_a[row + 1] - current_a[row]) / span
        # Views from their start: an index that cannot be negative needs no check.
        volts, hall, ripple_i = out[0, i:end], out[1, i:end], out[2, i:end]
        ripple_v, shunts, power = out[3, i:end], out[4, i:end], out[5, i:end]
        thd = out[6, i:end]
        modes, rooms, loads = mode[i:end], room_c[i:end], load_frac[i:end]
        offsets, ohms = hall_offset_a[i:end], string_ohm[i:end]
        for m in range(volts.size):
            instant = t + m * step_s
            since = np.float64(instant - t0)
            a = rng.bits(k[0], k[1], instant)
            b = rng.bits(k2[0], k2[1], instant)
            v = string_v[row] + slope_v * since
            amps = current_a[row] + slope_a * since
            v_count = np.floor(
                v * gain_v * 100.0 + noise * _STRING_V_NOISE * table[rng.lane(a, 0)] + 0.5
            )
            zero = offsets[m] + noise * _HALL_T * (rooms[m] - _REFERENCE_C)
            a_count = np.floor(
                (amps * gain_a + zero) * 100.0 + noise * _HALL_NOISE * table[rng.lane(a, 1)] + 0.5
            )
            volts[m] = np.int32(v_count)
            hall[m] = np.int32(a_count)
            power[m] = np.int32(np.floor(v_count * a_count / 10000.0 + 0.5))
            ripple = ripple_a + ripple_load_a * loads[m]
            if modes[m] == _DISCHARGE:
                ripple *= _RIPPLE_DISCHARGE
            elif modes[m] == _IDLE:
                ripple = 0.0
            seen = ripple * (1.0 + jitter * table[rng.lane(a, 2)])
            ripple_i[m] = np.int32(np.floor(seen * 100.0 + 0.5))
            seen = ripple * ohms[m] * (1.0 + jitter * table[rng.lane(a, 3)])
            ripple_v[m] = np.int32(np.floor(seen * 1000.0 + 0.5))
            seen = (amps + shunt_offset_a) * 1000.0 + noise * _SHUNT_NOISE * table[rng.lane(b, 0)]
            shunts[m] = np.int32(np.floor(seen + 0.5)) if abs(seen) <= _SHUNT_RANGE else NULL_COUNT
            if modes[m] >= _DISCHARGE:
                thd[m] = NULL_COUNT
            else:
                seen = _THD_FULL + _THD_SLOPE * (1.0 / loads[m] - 1.0)
                seen += noise * _THD_NOISE * table[rng.lane(b, 1)]
                thd[m] = np.int32(np.floor(seen * 10.0 + 0.5))
        i = end


@kernel
def sample_room(
    room_c: Floats,
    room_pct: Floats,
    outdoor_c: Floats,
    outdoor_pct: Floats,
    first_s: int,
    step_s: int,
    offset_c: float,
    offset_pct: float,
    outdoor_offset_c: float,
    outdoor_offset_pct: float,
    k: Key,
    noise: float,
    table: NDArray[np.float32],
    out: Counts,
) -> None:
    """Room and outdoor temperature [0.1 degC] and humidity [0.1 %] into `out`, counts (4, sample).

    Rows: room temperature, room humidity, outdoor temperature, outdoor humidity. A hygrometer
    reads 100 % at the most.
    """
    for m in range(room_c.size):
        word = rng.bits(k[0], k[1], first_s + m * step_s)
        a = (room_c[m] + offset_c) * 10.0 + noise * _AMBIENT_C_NOISE * table[rng.lane(word, 0)]
        b = (room_pct[m] + offset_pct) * 10.0 + noise * _AMBIENT_PCT_NOISE * table[
            rng.lane(word, 1)
        ]
        c = (outdoor_c[m] + outdoor_offset_c) * 10.0
        c += noise * _AMBIENT_C_NOISE * table[rng.lane(word, 2)]
        d = (outdoor_pct[m] + outdoor_offset_pct) * 10.0
        d += noise * _AMBIENT_PCT_NOISE * table[rng.lane(word, 3)]
        out[0, m] = np.int32(np.floor(a + 0.5))
        out[1, m] = np.int32(max(0.0, min(1000.0, np.floor(b + 0.5))))
        out[2, m] = np.int32(np.floor(c + 0.5))
        out[3, m] = np.int32(max(0.0, min(1000.0, np.floor(d + 0.5))))


@kernel
def extent(counts: Counts) -> tuple[int, int, int, int]:
    """Number, sum, lowest and highest of the counts that are not null."""
    known = 0
    total = 0
    low = 2**62
    high = -(2**62)
    for i in range(counts.size):
        count = int(counts[i])
        if count != NULL_COUNT:
            known += 1
            total += count
            low = min(low, count)
            high = max(high, count)
    return known, total, low, high


@kernel
def code(counts: Counts, low: int, null: int, out: NDArray[np.uint8] | NDArray[np.uint16]) -> None:
    """Counts less `low` into `out`, `null` where they are null."""
    for i in range(counts.size):
        out[i] = null if counts[i] == NULL_COUNT else counts[i] - low


@kernel
def mark(counts: Counts, low: int, used: NDArray[np.bool_]) -> None:
    """Mark in `used` (count - low,) the counts that occur and are not null."""
    for i in range(counts.size):
        if counts[i] != NULL_COUNT:
            used[counts[i] - low] = True


@kernel
def rank(counts: Counts, low: int, ranks: NDArray[np.uint8], out: NDArray[np.uint8]) -> None:
    """Rank of each count by `ranks` (count - low,) into `out`, which is left alone at nulls."""
    for i in range(counts.size):
        if counts[i] != NULL_COUNT:
            out[i] = ranks[counts[i] - low]
