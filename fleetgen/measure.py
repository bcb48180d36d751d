"""What maintenance measures with instruments of its own: capacity tests and impedance rounds.

Read from the physical grid of a replayed string, with errors keyed by instrument, position and
instant. The slow path decides by these readings and parts write the same ones.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fleetgen import rng
from fleetgen.model import electrical, params, sensors
from fleetgen.model.stepper import Replay
from fleetgen.rng import Stream
from fleetgen.spec import BatteryModel
from fleetgen.system import ServiceDays, SystemModel, discharge_law
from fleetgen.units import SECONDS_PER_HOUR

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Counts = NDArray[np.int32]

_THERMOMETER = 2**40
"""Draws of the thermometer lie beyond those of the meter."""

READINGS = 3
"""Readings of each jar in an impedance round."""

RESULTS = ("fail", "marginal", "pass")
"""Results of a capacity test; the position is the code used in arrays, -1 is none."""

FAIL, MARGINAL, PASS = range(3)
UNDECIDED = -1


class TestLog(NamedTuple):
    """Log of a capacity test: instants (row,), voltage [mV] and temperature [0.1 degC] (jar, row),
    current [0.01 A] (row,).
    """  # noqa: D205

    t_s: Ints
    voltage: Counts
    temperature: Counts
    current: Ints


def log_of_test(
    model: SystemModel, s: int, t_s: Ints, replay: Replay, start_s: int, end_s: int
) -> TestLog:
    """What a logger notes of a capacity test on the rows `t_s` of a replay.

    Once a minute from the start, and in the last second under load; of a test that reaches beyond
    the rows, what lies on them.
    """
    step_s, last_s = int(params.TEST_LOG_STEP.value), end_s - 1
    first = max(0, -(-(int(t_s[0]) - start_s) // step_s))
    until = min(last_s, int(t_s[-1]))
    regular = max(0, -(-(until - start_s) // step_s) - first)
    spans = [(start_s + first * step_s, step_s, regular)]
    if t_s[0] <= last_s < t_s[-1]:
        spans.append((last_s, 1, 1))
    instants = np.concatenate([a + step * np.arange(n) for a, step, n in spans])
    string = model.system.strings[s]
    errors = float(model.scenario.sensor_errors)
    jars = len(string.jar_ids)
    voltage, temperature = (np.empty((jars, len(instants)), np.int32) for _ in range(2))
    for j, jar_id in enumerate(string.jar_ids):
        fixed = partial(sensors.fixed_error, model.seed, Stream.TEST_LOGGER, jar_id)
        at = 0
        for begin, step, rows in spans:
            if not rows:
                continue
            sensors.sample_jar(
                t_s,
                replay.jar_v[j],
                replay.jar_c[j],
                begin,
                step,
                1.0 + errors * fixed(0, params.LOGGER_VOLTAGE_GAIN.value),
                errors * fixed(1, params.LOGGER_TEMPERATURE_OFFSET.value),
                rng.key(model.seed, Stream.TEST_LOGGER, jar_id),
                errors,
                rng.normal_table(),
                voltage[j, at : at + rows],
                temperature[j, at : at + rows],
            )
            at += rows
    k = rng.key(model.seed, Stream.TEST_LOGGER, string.string_id)
    gain = 1.0 + errors * params.LOGGER_CURRENT_GAIN.value * rng.normal(k, 0)
    noise = errors * params.LOGGER_CURRENT_NOISE.value
    amperes = [
        at_instant(t_s, replay.current_a, t) * gain + noise * rng.normal(k, t)
        for t in instants.tolist()
    ]
    current = np.floor(100.0 * np.array(amperes) + 0.5).astype(np.int64)
    return TestLog(instants, voltage, temperature, current)


class Capacity(NamedTuple):
    """Result of a capacity test, all int64 (jar,).

    Voltage at the end [mV] and temperature at the start [0.1 degC] of the log, capacity [0.01 %],
    whether it is a lower bound, and the code of the result.
    """

    end_mv: Ints
    start_dc: Ints
    capacity: Ints
    censored: Ints
    result: Ints


def capacity(model: SystemModel, s: int, log: TestLog, seconds: int, cut_off: bool) -> Capacity:
    """Capacity of each jar from the log of a whole test of `seconds`: 100 t_a / (t_r K_T).

    IEEE 1188's form: t_r is the time of a rated new jar at 25 degC, K_T the model's capacity over
    temperature, at the jar's own. Jars at their cut-off ended the test, at the least the lowest one
    (unless nothing was `cut_off`); of the others it tells a lower bound.
    """
    end_mv = log.voltage[:, -1].astype(np.int64)
    start_dc = log.temperature[:, 0].astype(np.int64)
    rated_s = rated_seconds(model.system.strings[s].model)
    jars = len(end_mv)
    count = np.empty(jars, np.int64)
    for j in range(jars):
        factor = electrical.capacity_at_temperature(start_dc[j] / 10.0)
        count[j] = int(10_000.0 * seconds / (rated_s * factor) + 0.5)
    ended = cut_off & (end_mv <= 1000.0 * params.JAR_CUTOFF.value)
    if cut_off:
        ended[np.argmin(end_mv)] = True
    result = np.full(jars, UNDECIDED, np.int64)
    good, bad = 10_000.0 * params.TEST_PASS.value, 10_000.0 * params.TEST_FAIL.value
    result[count >= good] = PASS
    result[ended & (count < good)] = MARGINAL
    result[ended & (count < bad)] = FAIL
    return Capacity(end_mv, start_dc, count, (~ended).astype(np.int64), result)


@lru_cache(maxsize=32)
def rated_seconds(model: BatteryModel) -> float:
    """Time in which a rated new jar at 25 degC falls to its cut-off at the test's current [s]."""
    current_a = params.TEST_RATE.value * model.rated_capacity_ah
    one = np.ones(1)
    out = np.empty(1)
    low, high = 0.0, model.rated_capacity_ah / params.TEST_RATE.value / current_a
    for _ in range(48):
        hours = 0.5 * (low + high)
        electrical.discharge_voltages(
            current_a,
            current_a,
            current_a * hours,
            0.0,
            model.cells * one,
            model.rated_capacity_ah,
            discharge_law(model),
            current_a * hours * one,
            one,
            one,
            params.REFERENCE_TEMPERATURE.value * one,
            out,
        )
        if out[0] > params.JAR_CUTOFF.value:
            low = hours
        else:
            high = hours
    return SECONDS_PER_HOUR * low


def impedance_round(
    model: SystemModel, s: int, t_s: Ints, replay: Replay, service: ServiceDays, start_s: int
) -> Ints:
    """Readings of each jar with a hand-held meter, and its temperature, int64 (jar, 4).

    Three resistances [uOhm] and the post's temperature [0.1 degC], on the rows `t_s` of a replay.
    The meter is one for all jars of a location.
    """
    string, seed = model.system.strings[s], model.seed
    errors = float(model.scenario.sensor_errors)
    meter = rng.key(seed, Stream.HAND_METER, model.location.location_id)
    gain = 1.0 + errors * params.METER_GAIN.value * rng.normal(meter, 0)
    out = np.empty((len(string.jar_ids), READINGS + 1), np.int64)
    for j, jar_id in enumerate(string.jar_ids):
        k = rng.key(seed, Stream.HAND_METER, jar_id)
        at_s = jar_read_s(start_s, j, len(string.jar_ids))
        new_mohm = float(service.crew_at(at_s).units.new_mohm[j])
        for n in range(READINGS):
            t = at_s + n * int(params.METER_READING_TIME.value)
            true = electrical.resistance_ohmic_mohm(
                new_mohm,
                service.at("growth", j, t),
                at_instant(t_s, replay.jar_c[j], t),
                at_instant(t_s, replay.jar_soc[j], t),
            )
            noise = 1.0 + errors * params.METER_NOISE.value * rng.normal(k, t)
            out[j, n] = int(1000.0 * true * gain * noise + 0.5)
        degrees = at_instant(t_s, replay.jar_c[j], at_s)
        degrees += (
            errors * params.METER_TEMPERATURE_NOISE.value * rng.normal(k, _THERMOMETER + at_s)
        )
        out[j, READINGS] = int(np.floor(10.0 * degrees + 0.5))
    return out


def jar_read_s(start_s: int, j: int, jars: int) -> int:
    """Instant at which an impedance round of so many jars comes to jar `j`."""
    return start_s + j * _jar_time_s(jars)


def round_length_s(jars: int) -> int:
    """Length of an impedance round, which ends on its day however long the string is."""
    return jars * _jar_time_s(jars)


def _jar_time_s(jars: int) -> int:
    longest_s = int(params.ROUND_LONGEST.value * SECONDS_PER_HOUR)
    return max(1, min(int(params.METER_JAR_TIME.value), longest_s // jars))


class Impedance(NamedTuple):
    """Result of an impedance round, int64 (jar,), [uOhm] at its temperature and at 25 degC."""

    median: Ints
    corrected: Ints


def impedance(readings: Ints) -> Impedance:
    """Median of the readings of each jar (jar, 4), and what it would be at 25 degC."""
    median = np.sort(readings[:, :READINGS], axis=1)[:, READINGS // 2]
    return Impedance(median, at_reference(median, readings[:, READINGS]))


def at_reference(uohm: Ints | Floats, decidegrees: Ints) -> Ints:
    """Resistance [uOhm] at 25 degC of one read at a temperature [0.1 degC]."""
    warmer_k = decidegrees / 10.0 - params.REFERENCE_TEMPERATURE.value
    corrected = uohm / (1.0 - params.RESISTANCE_TEMPERATURE.value * warmer_k)
    rounded: Ints = np.floor(corrected + 0.5).astype(np.int64)
    return rounded


def at_instant(t_s: Ints, values: Floats, instant_s: int) -> float:
    """Value at an instant of what is linear within a row and jumps at edges."""
    row = sensors.row_at(t_s, instant_s)
    span = float(t_s[row + 1] - t_s[row])
    slope = (float(values[row + 1]) - float(values[row])) / span if span else 0.0
    return float(values[row]) + slope * float(instant_s - t_s[row])
