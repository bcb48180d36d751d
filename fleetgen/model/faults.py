"""Faults of measuring channels: drawn in physical time, applied to what instruments report.

A fault holds over whole seconds [start, end). Its draws are keyed by entity, channel, kind and
local calendar month, so that any month can be drawn alone; one begun in an earlier month may last
into this one. Nothing here depends on samples, and nothing but what is reported depends on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fleetgen import rng
from fleetgen.elementary import exponential, logarithm
from fleetgen.errors import ConfigError
from fleetgen.jit import kernel
from fleetgen.model import params
from fleetgen.rng import Key, Stream
from fleetgen.spec import Injection, Scenario
from fleetgen.units import (
    DAYS_PER_YEAR,
    SECONDS_PER_DAY,
    SECONDS_PER_HOUR,
    day_date,
    local_midnight_s,
)

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Counts = NDArray[np.int32]

KINDS = ("spike", "drift", "offset", "loose_lead", "stuck", "dropout", "communication_loss")
"""Kinds of fault, in the order in which they act on a reading."""

SPIKE, DRIFT, OFFSET, LOOSE_LEAD, STUCK, DROPOUT, COMMUNICATION_LOSS = range(7)

ALL = -1
"""Channel of a fault of all channels at once."""

_EXPONENTIAL, _LOG_UNIFORM = range(2)
_NO_SIZE, _EITHER_SIGN, _NORMAL, _CONSTANT = range(4)
_DRAWS = 1024
_MOST_PER_MONTH = 128  # of an entity; the mean is below 10


class Law(NamedTuple):
    """How often one kind of fault befalls a channel, how long it lasts, how large it is.

    Channels with the same `drawn_as` fail together. Lengths are exponential with mean `shortest_s`,
    or log-uniform; sizes have the bounds `low` and `high`, the deviation `low`, or the value `low`.
    """

    kind: int
    channel: int
    drawn_as: int
    mean_gap_s: float
    length: int
    shortest_s: float
    longest_s: float
    size: int = _NO_SIZE
    low: float = np.nan
    high: float = np.nan


class Family(NamedTuple):
    """Entities that fail alike: their `channels`, columns of one table, and laws (law, field)."""

    channels: tuple[str, ...]
    laws: Floats
    longest_s: int


_UNIT_S = {"s": 1, "h": SECONDS_PER_HOUR, "d": SECONDS_PER_DAY}


def _gap_s(rate: params.Parameter) -> float:
    return DAYS_PER_YEAR * SECONDS_PER_DAY / rate.value


def _between(shortest: params.Parameter, longest: params.Parameter) -> tuple[int, float, float]:
    low, high = (p.value * _UNIT_S[p.unit] for p in (shortest, longest))
    return _LOG_UNIFORM, low, high


def _anywhere(channel: int) -> Iterator[Law]:
    """What befalls any channel. The least uniform draw makes a dropout of 37.4 means."""
    length = _between(params.STUCK_SHORTEST, params.STUCK_LONGEST)
    yield Law(STUCK, channel, channel, _gap_s(params.STUCK_RATE), *length)
    mean_s = params.DROPOUT_LENGTH.value
    length = _EXPONENTIAL, mean_s, 40.0 * mean_s
    yield Law(DROPOUT, channel, channel, _gap_s(params.DROPOUT_RATE), *length)


def _offset(channel: int) -> Law:
    length = _between(params.OFFSET_SHORTEST, params.OFFSET_LONGEST)
    size = _NORMAL, params.OFFSET_STEP.value
    return Law(OFFSET, channel, channel, _gap_s(params.OFFSET_RATE), *length, *size)


def _of_jars() -> Iterator[Law]:
    volts, degrees, ohms = range(3)
    length = _between(params.SPIKE_LENGTH, params.SPIKE_LENGTH)
    size = _EITHER_SIGN, params.SPIKE_LOWEST.value, params.SPIKE_HIGHEST.value
    yield Law(SPIKE, volts, volts, _gap_s(params.SPIKE_RATE), *length, *size)
    length = _between(params.DRIFT_SHORTEST, params.DRIFT_LONGEST)
    size = _EITHER_SIGN, params.DRIFT_LOWEST.value, params.DRIFT_HIGHEST.value
    yield Law(DRIFT, degrees, degrees, _gap_s(params.DRIFT_RATE), *length, *size)
    yield _offset(degrees)
    gap_s = _gap_s(params.LOOSE_LEAD_RATE)
    length = _between(params.LOOSE_LEAD_SHORTEST, params.LOOSE_LEAD_LONGEST)
    noise, ohmic = params.LOOSE_LEAD_NOISE.value, params.LOOSE_LEAD_RESISTANCE.value
    yield Law(LOOSE_LEAD, volts, volts, gap_s, *length, _CONSTANT, noise)
    yield Law(LOOSE_LEAD, ohms, volts, gap_s, *length, _CONSTANT, ohmic)


def _of_strings() -> Iterator[Law]:
    length = _between(params.COMMUNICATION_SHORTEST, params.COMMUNICATION_LONGEST)
    yield Law(COMMUNICATION_LOSS, ALL, ALL, _gap_s(params.COMMUNICATION_RATE), *length)


def _family(channels: tuple[str, ...], *own: Law) -> Family:
    laws = sorted([*own, *(law for c in range(len(channels)) for law in _anywhere(c))])
    longest_s = max(law.longest_s for law in laws)
    return Family(channels, np.array(laws, np.float64), round(longest_s))


_STRING = ("voltage_v", "current_a", "ripple_current_rms_a", "ripple_voltage_rms_v")

JAR = _family(("voltage_v", "temperature_c", "resistance_mohm"), *_of_jars())
UPS_STRING = _family(_STRING, *_of_strings())
RECTIFIER_STRING = _family((*_STRING, "float_current_a"), *_of_strings())
ROOM = _family(("temperature_c", "humidity_pct"), _offset(0))


# --- draws ----------------------------------------------------------------------------------------


class Episodes(NamedTuple):
    """Faults of one entity by kind, channel and start, each (fault,); NaN is no magnitude."""

    kind: Ints
    channel: Ints
    start_s: Ints
    end_s: Ints
    magnitude: Floats
    injected: NDArray[np.bool_]


_NO_INTS = np.zeros(0, np.int64)
_NONE = Episodes(_NO_INTS, _NO_INTS, _NO_INTS, _NO_INTS, np.zeros(0), np.zeros(0, np.bool_))


@kernel
def _length_s(law: Floats, draw: float) -> float:
    if law[4] == _EXPONENTIAL:
        return float(-law[5] * logarithm(draw))
    return float(law[5] * exponential(draw * logarithm(law[6] / law[5])))


@kernel
def _magnitude(law: Floats, draw: float) -> float:
    if law[7] == _EITHER_SIGN:
        size = law[8] + abs(2.0 * draw - 1.0) * (law[9] - law[8])
        return float(size if draw < 0.5 else -size)
    if law[7] == _NORMAL:
        return float(law[8] * rng.normal_quantile(draw))
    return float(law[8])


@kernel
def _draw(
    k: Key,
    laws: Floats,
    month: int,
    edges_s: Ints,
    first_s: int,
    end_s: int,
    whole: Ints,
    magnitude: Floats,
) -> int:
    """Faults that touch [first_s, end_s) into `whole` (4, fault) and `magnitude`; their number.

    `edges_s` are the midnights at which months begin, `month` is the number of the first.
    """
    n = 0
    for row in range(laws.shape[0]):
        law = laws[row]
        for m in range(edges_s.size - 1):
            if edges_s[m + 1] + law[6] <= first_s:
                continue
            counter = ((month + m) * 16 + (int(law[2]) & 15)) * 16 + int(law[0])
            counter *= _DRAWS
            since = 0.0
            start = edges_s[m] - 1
            for i in range(_DRAWS // 3):
                since -= law[3] * logarithm(rng.uniform(k, counter + 3 * i))
                # No two of a kind begin in one second: their ids name it.
                start = max(start + 1, edges_s[m] + np.int64(min(since, 1e9)))
                if start >= edges_s[m + 1]:
                    break
                length = _length_s(law, rng.uniform(k, counter + 3 * i + 1))
                end = start + max(1, np.int64(length + 0.5))
                if start < end_s and end > first_s and n < magnitude.size:
                    whole[0, n] = np.int64(law[0])
                    whole[1, n] = np.int64(law[1])
                    whole[2, n] = start
                    whole[3, n] = end
                    magnitude[n] = _magnitude(law, rng.uniform(k, counter + 3 * i + 2))
                    n += 1
    return n


@lru_cache(maxsize=64)
def _months(first_day: int, last_day: int, utc_offset_s: int) -> tuple[int, Ints]:
    """Number of the month of `first_day`, and the midnights at which it and those after it begin.

    The last edge is the end of the month of `last_day`.
    """
    first, last = day_date(first_day), day_date(last_day)
    number, end = 12 * first.year + first.month - 1, 12 * last.year + last.month
    edges = [date(m // 12, m % 12 + 1, 1) for m in range(number, end + 1)]
    return number, np.array([local_midnight_s(day, utc_offset_s) for day in edges])


def episodes(
    seed: int,
    scenario: Scenario,
    family: Family,
    entity: str,
    utc_offset_s: int,
    first_s: int,
    end_s: int,
) -> Episodes:
    """Faults of an entity that touch [first_s, end_s), drawn and injected.

    Raises
    ------
    ConfigError
        If the scenario injects a fault that the entity cannot have.
    """
    drawn = _NONE
    if scenario.sensor_faults:
        drawn = _drawn(entity, family, seed, utc_offset_s, first_s, end_s)
    forced = [
        fault
        for injection in scenario.injections
        if injection.kind == "sensor_fault" and injection.target == entity
        for fault in _injected(seed, family, injection)
        if injection.start_s < end_s and injection.start_s + injection.duration_s > first_s
    ]
    if not forced:
        return drawn
    joined = [np.append(a, b) for a, b in zip(drawn, zip(*forced, strict=True), strict=True)]
    order = np.lexsort((joined[2], joined[1], joined[0]))
    return Episodes(*(column[order] for column in joined))


def _drawn(
    entity: str, family: Family, seed: int, utc_offset_s: int, first_s: int, end_s: int
) -> Episodes:
    """Faults of an entity that touch [first_s, end_s), by the laws of its family."""
    seconds = first_s - family.longest_s, max(first_s, end_s - 1)
    days = [(t + utc_offset_s) // SECONDS_PER_DAY for t in seconds]
    month, edges_s = _months(days[0], days[1], utc_offset_s)
    most = _MOST_PER_MONTH * len(edges_s)
    whole, magnitude = np.empty((4, most), np.int64), np.empty(most)
    k = rng.key(seed, Stream.SENSOR_FAULT, entity)
    n = _draw(k, family.laws, month, edges_s, first_s, end_s, whole, magnitude)
    kind, channel, begin_s, over_s = whole[:, :n]
    return Episodes(kind, channel, begin_s, over_s, magnitude[:n], np.zeros(n, np.bool_))


def _injected(
    seed: int, family: Family, injection: Injection
) -> Iterator[tuple[int, int, int, int, float, bool]]:
    """Rows of `Episodes` for an injection, of all channels if of none; its magnitude is drawn."""
    codes = {name: n for n, name in enumerate(family.channels)}
    laws = [
        law
        for law in family.laws
        if KINDS[int(law[0])] == injection.value
        and (not injection.channel or law[2] == codes.get(injection.channel))
    ]
    if not laws:
        raise ConfigError(
            f"{injection.target}: cannot inject sensor_fault {injection.value!r} into channel "
            f"{injection.channel!r}; possible are {_possible(family)}"
        )
    entity = f"{injection.target} {injection.channel} {injection.value}"
    draw = rng.uniform(rng.key(seed, Stream.INJECTED_FAULT, entity), injection.start_s)
    end_s = injection.start_s + injection.duration_s
    for law in laws:
        size = _magnitude(law, draw)
        yield int(law[0]), int(law[1]), injection.start_s, end_s, size, True


def _possible(family: Family) -> str:
    found = sorted({(int(law[0]), int(law[2])) for law in family.laws})
    channels = (*family.channels, "")  # the last is ALL
    return ", ".join(f"{KINDS[kind]} into {channels[code]!r}" for kind, code in found)


# --- effects --------------------------------------------------------------------------------------


class Ticks(NamedTuple):
    """Evenly spaced instants first_s + row * step_s, row < rows."""

    first_s: int
    step_s: int
    rows: int

    @property
    def end_s(self) -> int:
        """The second after the last instant."""
        return self.first_s + (self.rows - 1) * self.step_s + 1


class Fault(NamedTuple):
    """A fault as samples see it: in rows [first, end), at least one."""

    kind: int
    channel: int
    first: int
    end: int
    start_s: int
    end_s: int
    magnitude: float

    @property
    def rows(self) -> slice:
        """The rows in which it shows."""
        return slice(self.first, self.end)


def seen(found: Episodes, ticks: Ticks) -> list[Fault]:
    """Faults that hold at one of the instants or more, in the order in which they act."""

    def row(edge_s: int) -> int:
        return max(0, min(ticks.rows, -((ticks.first_s - edge_s) // ticks.step_s)))

    shown = []
    for kind, channel, start_s, end_s, size in zip(*(c.tolist() for c in found[:5]), strict=True):
        first, end = row(start_s), row(end_s)
        if first < end:
            shown.append(Fault(kind, channel, first, end, start_s, end_s, size))
    return shown


@kernel
def _drift(
    counts: Counts, first_s: int, step_s: int, start_s: int, end_s: int, change: float
) -> None:
    slope = change / (end_s - start_s)
    for i in range(counts.size):
        since = np.float64(first_s + i * step_s - start_s)
        counts[i] += np.int32(np.floor(slope * since + 0.5))


@kernel
def _shake(
    counts: Counts, first_s: int, step_s: int, k: Key, sigma: float, table: NDArray[np.float32]
) -> None:
    for i in range(counts.size):
        word = rng.bits(k[0], k[1], first_s + i * step_s)
        counts[i] += np.int32(np.floor(sigma * table[rng.lane(word, 0)] + 0.5))


def falsify(fault: Fault, counts: Counts, ticks: Ticks, per_unit: float, noise_key: Key) -> None:
    """Let a fault of a kind before `STUCK` act on the counts (row,) of its channel, in place.

    A loose lead makes more of the noise of `noise_key`.
    """
    part, first_s = counts[fault.rows], ticks.first_s + fault.first * ticks.step_s
    size = fault.magnitude * per_unit
    if fault.kind == DRIFT:
        _drift(part, first_s, ticks.step_s, fault.start_s, fault.end_s, size)
    elif fault.kind == LOOSE_LEAD:
        sigma = (fault.magnitude - 1.0) * params.JAR_VOLTAGE_NOISE.value * per_unit
        _shake(part, first_s, ticks.step_s, noise_key, sigma, rng.normal_table())
    else:
        part += np.int32(np.floor(size + 0.5))
