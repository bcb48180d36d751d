"""The single way to obtain random numbers: keyed by what they describe, never drawn in sequence.

A draw is a hash of (seed, stream, entity, counter). The seed, the stream and the entity's text id
give a 128-bit key by SHA-256; the counter is an instant in whole seconds, a day, or the number of
an event. Any draw can therefore be made alone, on any machine, in any order, and neighbouring
seeds or ids share nothing. The bits are those of the SplitMix64 finaliser (Steele, Lea, Flood,
OOPSLA 2014, constants of Stafford's mix 13) with a second key between its rounds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from enum import StrEnum
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fleetgen.elementary import cosine_of_half_turns, exponential, logarithm, total
from fleetgen.jit import kernel

_WEYL = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_S11 = np.uint64(11)
_S27 = np.uint64(27)
_S30 = np.uint64(30)
_S31 = np.uint64(31)
_LANE_BITS = np.uint64(16)
_LANE_MASK = np.uint64(0xFFFF)

Key = NDArray[np.uint64]
"""Two words, uint64 (2,)."""


class Stream(StrEnum):
    """Names of the streams; a name never changes its meaning."""

    DAILY_ANOMALY = "climate.daily-anomaly"
    HUMIDITY_ANOMALY = "climate.humidity-anomaly"
    RAIN = "climate.rain"
    STORM = "climate.storm"
    FRAILTY = "outage.frailty"
    OUTAGE = "outage.month"
    GENERATOR = "outage.generator"
    SELF_TEST = "event.self-test"
    EQUALIZE = "event.equalize"
    ROOM = "room.site"
    ROOM_OU = "room.fluctuation"
    ROOM_HUMIDITY_OU = "room.humidity-fluctuation"
    LOAD = "load.system"
    LOAD_OU = "load.fluctuation"
    CHARGER = "charger.system"
    CHARGER_OU = "charger.regulation"
    STRING = "string.manufacture"
    JAR = "jar.manufacture"
    FLOAT_WANDER = "jar.float-wander"
    RESISTANCE_WANDER = "jar.resistance-wander"
    JAR_SENSOR = "sensor.jar"
    JAR_NOISE = "noise.jar"
    RESISTANCE_NOISE = "noise.resistance"
    STRING_SENSOR = "sensor.string"
    HALL_WANDER = "sensor.hall-wander"
    STRING_NOISE = "noise.string"
    STRING_NOISE_2 = "noise.string-2"
    ENV_SENSOR = "sensor.environment"
    ENV_NOISE = "noise.environment"
    ACCEPTANCE = "acceptance-test"
    FLOOD = "outage.flood"
    COOLING = "room.cooling"
    CHARGER_EPISODE = "charger.episode"
    CAPACITY_TEST = "event.capacity-test"
    FAILURE = "jar.failure"
    CORROSION_STEP = "jar.corrosion-step"
    RUNAWAY = "string.runaway"
    SENSOR_FAULT = "fault.channel"
    INJECTED_FAULT = "fault.injected"
    SPLIT = "split"
    TEST_LOGGER = "instrument.test-logger"
    HAND_METER = "instrument.hand-meter"
    VISIT = "maintenance.visit"
    CALENDAR = "maintenance.calendar"


def key(seed: int, stream: Stream, entity: str) -> Key:
    """Key of one stream of one entity, uint64 (2,)."""
    digest = hashlib.sha256(f"{seed}\n{stream.value}\n{entity}".encode()).digest()
    return np.frombuffer(digest[:16], dtype="<u8").astype(np.uint64)


@lru_cache(maxsize=512)
def keys(seed: int, stream: Stream, entities: tuple[str, ...]) -> NDArray[np.uint64]:
    """Keys of one stream of many entities, uint64 (entity, 2)."""
    return np.stack([key(seed, stream, entity) for entity in entities])


@kernel
def bits(k0: np.uint64, k1: np.uint64, counter: int) -> np.uint64:
    """64 random bits of a key at `counter`."""
    z = np.uint64(counter) * _WEYL + k0
    z = (z ^ (z >> _S30)) * _MIX_1
    z = z ^ k1
    z = (z ^ (z >> _S27)) * _MIX_2
    return z ^ (z >> _S31)


@kernel
def uniform(k: Key, counter: int) -> float:
    """Uniform draw in (0, 1) of a key at `counter`."""
    u = (np.float64(bits(k[0], k[1], counter) >> _S11) + 0.5) * 1.1102230246251565e-16
    return min(u, 0.9999999999999999)  # the last of 2**53 would round to 1


@kernel
def normal(k: Key, counter: int) -> float:
    """Standard normal draw of a key at `counter`."""
    return normal_quantile(uniform(k, counter))


@kernel
def normal_quantile(p: float) -> float:  # noqa: PLR0915 (the published coefficients)
    """Quantile of the standard normal distribution at p in (0, 1), relative error about 1e-16.

    Wichura, Algorithm AS 241 (PPND16), Applied Statistics 37 (1988) 477-484.
    """
    q = p - 0.5
    if abs(q) <= 0.425:
        r = 0.180625 - q * q
        a = 2509.0809287301226727 * r + 33430.575583588128105
        a = a * r + 67265.770927008700853
        a = a * r + 45921.953931549871457
        a = a * r + 13731.693765509461125
        a = a * r + 1971.5909503065514427
        a = a * r + 133.14166789178437745
        a = a * r + 3.3871328727963666080
        b = 5226.4952788528545610 * r + 28729.085735721942674
        b = b * r + 39307.895800092710610
        b = b * r + 21213.794301586595867
        b = b * r + 5394.1960214247511077
        b = b * r + 687.18700749205790830
        b = b * r + 42.313330701600911252
        b = b * r + 1.0
        return q * a / b
    r = np.sqrt(-logarithm(p if q < 0.0 else 1.0 - p))
    if r <= 5.0:
        r = r - 1.6
        a = 7.74545014278341407640e-4 * r + 0.0227238449892691845833
        a = a * r + 0.241780725177450611770
        a = a * r + 1.27045825245236838258
        a = a * r + 3.64784832476320460504
        a = a * r + 5.76949722146069140550
        a = a * r + 4.63033784615654529590
        a = a * r + 1.42343711074968357734
        b = 1.05075007164441684324e-9 * r + 5.47593808499534494600e-4
        b = b * r + 0.0151986665636164571966
        b = b * r + 0.148103976427480074590
        b = b * r + 0.689767334985100004550
        b = b * r + 1.67638483018380384940
        b = b * r + 2.05319162663775882187
        b = b * r + 1.0
    else:
        r = r - 5.0
        a = 2.01033439929228813265e-7 * r + 2.71155556874348757815e-5
        a = a * r + 0.00124266094738807843860
        a = a * r + 0.0265321895265761230930
        a = a * r + 0.296560571828504891230
        a = a * r + 1.78482653991729133580
        a = a * r + 5.46378491116411436990
        a = a * r + 6.65790464350110377720
        b = 2.04426310338993978564e-15 * r + 1.42151175831644588870e-7
        b = b * r + 1.84631831751005468180e-5
        b = b * r + 7.86869131145613259100e-4
        b = b * r + 0.0148753612908506148525
        b = b * r + 0.136929880922735805310
        b = b * r + 0.599832206555887937690
        b = b * r + 1.0
    return float(-a / b if q < 0.0 else a / b)


@kernel
def _quantiles(count: int) -> NDArray[np.float32]:
    table = np.empty(count, np.float32)
    for i in range(count):
        table[i] = normal_quantile((i + 0.5) / count)
    return table


@lru_cache(maxsize=1)
def normal_table() -> NDArray[np.float32]:
    """Standard normal quantiles at (i + 1/2) / 65536, float32 (65536,): noise by 16-bit lanes.

    One 64-bit draw feeds four channels. The tails end at 4.3 sigma; the variance is 0.99998.
    """
    table = _quantiles(65536)
    table.flags.writeable = False
    return table


@kernel
def lane(word: np.uint64, number: int) -> np.uint64:
    """16-bit lane `number` (0 to 3) of a 64-bit draw: an index into `normal_table`."""
    return (word >> (np.uint64(number) * _LANE_BITS)) & _LANE_MASK


def weighted(weights: Sequence[float], draw: float) -> float:
    """Position in [0, len(weights)) of density `weights` (constant between integers) at `draw`."""
    target = draw * total(weights)
    last = float(np.nextafter(len(weights), 0))
    for position, weight in enumerate(weights):
        if target < weight:
            return min(position + target / weight, last)
        target -= weight
    return last


EPOCH_DAY = 10_957
"""2000-01-01: where processes of daily values begin."""

WARM_UP = 12
"""Correlation times after which a fluctuation has forgotten its start (to 6e-6)."""


@kernel
def fluctuation(
    k: Key, first_s: int, step_s: int, count: int, time_s: float
) -> NDArray[np.float64]:
    """Unit Ornstein-Uhlenbeck process at first_s + i * step_s, float64 (count,).

    The recursion starts at zero `WARM_UP` correlation times `time_s` before `first_s`, from draws
    keyed by instant, so that any day can be made alone; a chain made day by day closes to 6e-6.
    """
    decay = exponential(-step_s / time_s)
    kick = np.sqrt(1.0 - decay * decay)
    before = np.int64(WARM_UP * time_s) // np.int64(step_s)
    x = 0.0
    out = np.empty(count, np.float64)
    for i in range(-before, count):
        x = decay * x + kick * normal(k, first_s + i * step_s)
        if i >= 0:
            out[i] = x
    return out


@kernel
def chain(k: Key, first_day: int, count: int, time_days: float) -> NDArray[np.float64]:
    """Unit AR(1) process of daily values since `EPOCH_DAY`, float64 (count,) from `first_day`."""
    decay = exponential(-1.0 / time_days)
    kick = np.sqrt(1.0 - decay * decay)
    x = 0.0
    out = np.empty(count, np.float64)
    for day in range(EPOCH_DAY, first_day + count):
        x = normal(k, day) if day == EPOCH_DAY else decay * x + kick * normal(k, day)
        if day >= first_day:
            out[day - first_day] = x
    return out


@kernel
def _wander_at(k: Key, day: int, knot_days: int) -> float:
    knot = day // knot_days
    u = 0.5 * (day - knot * knot_days) / knot_days
    z0 = normal(k, knot)
    z1 = normal(k, knot + 1)
    return z0 * cosine_of_half_turns(u) + z1 * cosine_of_half_turns(0.5 - u)


@kernel
def wander(
    ks: NDArray[np.uint64], first_day: int, count: int, knot_days: int
) -> NDArray[np.float64]:
    """Smooth processes of unit variance, one per key (entity, 2), float64 (day, entity).

    Normal knots every `knot_days`, and z0 cos(u pi/2) + z1 sin(u pi/2) between them: any day is
    found without those before it.
    """
    out = np.empty((count, ks.shape[0]), np.float64)
    for i in range(count):
        for entity in range(ks.shape[0]):
            out[i, entity] = _wander_at(ks[entity], first_day + i, knot_days)
    return out
