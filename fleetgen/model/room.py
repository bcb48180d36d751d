"""The conditioned battery room while its cooling works."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fleetgen import rng
from fleetgen.elementary import cosine_of_half_turns
from fleetgen.jit import kernel
from fleetgen.model import params
from fleetgen.rng import Stream
from fleetgen.spec import Location

Floats = NDArray[np.float64]

MINUTES_PER_DAY = 1440
OUTDOOR_REFERENCE_C = 28.0

_OUTDOOR = params.ROOM_OUTDOOR.value
_WANDER = params.ROOM_WANDER.value
_SWING = params.COMPRESSOR_SWING.value


def target_c(location: Location, seed: int) -> float:
    """Room temperature [degC] that the location's controls hold at 28 degC outdoors."""
    k = rng.key(seed, Stream.ROOM, location.location_id)
    return params.ROOM_TARGET.value + params.ROOM_SITE_SIGMA.value * rng.normal(k, 0)


def daily_mean_c(target: float, outdoor_mean_c: Floats) -> Floats:
    """Mean room temperature of a day [degC] from the outdoor mean of the day."""
    return target + _OUTDOOR * (outdoor_mean_c - OUTDOOR_REFERENCE_C)


@kernel
def _room(
    target: float,
    period_s: float,
    midnight_s: int,
    outdoor_c: Floats,
    fluctuation: Floats,
    out: Floats,
) -> None:
    for minute in range(MINUTES_PER_DAY + 1):
        slot = min(minute // 5, 287)
        w = (minute - 5 * slot) / 5.0
        outside = outdoor_c[slot] + w * (outdoor_c[slot + 1] - outdoor_c[slot])
        phase = 2.0 * (midnight_s + 60 * minute) / period_s
        wave = 3.0 * cosine_of_half_turns(phase)  # a cosine cut at a third of its height
        wave = min(1.0, max(-1.0, wave))
        out[minute] = (
            target
            + _OUTDOOR * (outside - OUTDOOR_REFERENCE_C)
            + _WANDER * fluctuation[minute]
            + 0.5 * _SWING * wave
        )


def temperature_c(
    location: Location, seed: int, midnights_s: NDArray[np.int64], outdoor_c: Floats
) -> Floats:
    """Room temperature [degC] at whole minutes, float64 (day, 1441), both midnights included.

    Target, a twentieth of the outdoor deviation, a slow fluctuation, and the compressor's cycle of
    18 to 25 min. `outdoor_c` is (day, 289).
    """
    place = location.location_id
    target = target_c(location, seed)
    shortest, longest = params.COMPRESSOR_MINIMUM.value, params.COMPRESSOR_MAXIMUM.value
    draw = rng.uniform(rng.key(seed, Stream.ROOM, place), 1)
    period_s = shortest + (longest - shortest) * draw
    k = rng.key(seed, Stream.ROOM_OU, place)
    out = np.empty((len(midnights_s), MINUTES_PER_DAY + 1))
    for day, midnight_s in enumerate(midnights_s):
        fluctuation = rng.fluctuation(
            k, midnight_s, 60, MINUTES_PER_DAY + 1, params.ROOM_WANDER_TIME.value
        )
        _room(target, period_s, midnight_s, outdoor_c[day], fluctuation, out[day])
    return out


def humidity_pct(location: Location, seed: int, midnights_s: NDArray[np.int64]) -> Floats:
    """Relative humidity [%] at five-minute slot edges, float64 (day, 289)."""
    k = rng.key(seed, Stream.ROOM_HUMIDITY_OU, location.location_id)
    unit = np.stack([rng.fluctuation(k, m, 300, 289, 7200.0) for m in midnights_s])
    return params.ROOM_HUMIDITY.value + params.ROOM_HUMIDITY_SIGMA.value * unit


@kernel
def slot_means(minutes: Floats) -> Floats:
    """Mean over each five-minute slot of values at whole minutes, (1441,) to (288,)."""
    out = np.empty(288)
    for slot in range(288):
        m = 5 * slot
        total = 0.5 * (minutes[m] + minutes[m + 5])
        for i in range(1, 5):
            total += minutes[m + i]
        out[slot] = total / 5.0
    return out
