"""The battery room: what its cooling holds, and what it becomes without."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fleetgen import rng
from fleetgen.elementary import cosine_of_half_turns
from fleetgen.jit import kernel
from fleetgen.model import cooling, params
from fleetgen.model.climate import saturation_pressure_hpa
from fleetgen.model.cooling import Episodes
from fleetgen.rng import Stream
from fleetgen.spec import Location
from fleetgen.units import SECONDS_PER_DAY

Floats = NDArray[np.float64]

MINUTES_PER_DAY = 1440
OUTDOOR_REFERENCE_C = params.COOLING_REFERENCE.value

_OUTDOOR = params.ROOM_OUTDOOR.value
_WANDER = params.ROOM_WANDER.value
_SWING = params.COMPRESSOR_SWING.value
_STEEPNESS = params.COMPRESSOR_STEEPNESS.value


def target_c(location: Location, seed: int) -> float:
    """Room temperature [degC] that the location's controls hold at 28 degC outdoors."""
    k = rng.key(seed, Stream.ROOM, location.location_id)
    return params.ROOM_TARGET.value + params.ROOM_SITE_SIGMA.value * rng.normal(k, 0)


def daily_mean_c(target: float, outdoor_mean_c: Floats) -> Floats:
    """Mean room temperature of a day [degC] from the outdoor mean of the day."""
    return target + _OUTDOOR * (outdoor_mean_c - OUTDOOR_REFERENCE_C)


@kernel
def _normal(target: float, outdoor_c: Floats, out: Floats) -> None:
    """Room temperature with working cooling, without its fluctuation, at minutes of a day."""
    for minute in range(MINUTES_PER_DAY + 1):
        slot = min(minute // 5, 287)
        w = (minute - 5 * slot) / 5.0
        outside = outdoor_c[slot] + w * (outdoor_c[slot + 1] - outdoor_c[slot])
        out[minute] = target + _OUTDOOR * (outside - OUTDOOR_REFERENCE_C)


@kernel
def _minutes(slots: Floats, out: Floats) -> None:
    for minute in range(MINUTES_PER_DAY + 1):
        slot = min(minute // 5, 287)
        out[minute] = slots[slot] + (minute - 5 * slot) / 5.0 * (slots[slot + 1] - slots[slot])


@kernel
def _room(
    normal_c: Floats,
    excess_k: Floats,
    status: NDArray[np.int64],
    period_s: float,
    midnight_s: int,
    fluctuation: Floats,
    out: Floats,
) -> None:
    for minute in range(MINUTES_PER_DAY + 1):
        phase = 2.0 * (midnight_s + 60 * minute) / period_s
        wave = _STEEPNESS * cosine_of_half_turns(phase)  # cut at a third of its height
        wave = min(1.0, max(-1.0, wave)) if status[minute] == cooling.OK else 0.0
        out[minute] = (
            normal_c[minute]
            + excess_k[minute]
            + _WANDER * fluctuation[minute]
            + 0.5 * _SWING * wave
        )


@dataclass(frozen=True, eq=False)
class RoomDays:
    """A room over some days: temperature [degC] (day, 1441) at whole minutes, relative humidity [%]
    at five-minute edges (day, 289), and the episodes of its cooling.
    """  # noqa: D205

    temperature_c: Floats
    humidity_pct: Floats
    episodes: Episodes


def room_days(
    location: Location,
    seed: int,
    midnights_s: NDArray[np.int64],
    outdoor_c: Floats,
    outdoor_pct: Floats,
    episodes: Episodes,
) -> RoomDays:
    """Room of a location.

    Target, a twentieth of the outdoor deviation, a slow fluctuation, and the compressor's cycle of
    18 to 25 min; where the cooling is degraded or has failed, what that adds (`cooling`).
    Outdoor values are (day + 1, 289), from the day before the first on.
    """
    place = location.location_id
    target = target_c(location, seed)
    shortest, longest = params.COMPRESSOR_MINIMUM.value, params.COMPRESSOR_MAXIMUM.value
    draw = rng.uniform(rng.key(seed, Stream.ROOM, place), 1)
    period_s = shortest + (longest - shortest) * draw
    k, k_pct = (rng.key(seed, s, place) for s in (Stream.ROOM_OU, Stream.ROOM_HUMIDITY_OU))
    days, minutes = len(midnights_s), MINUTES_PER_DAY
    out_c, out_pct = np.empty((days, minutes + 1)), np.empty((days, 289))
    normal, outside = np.empty(2 * minutes + 1), np.empty(2 * minutes + 1)
    for day, midnight_s in enumerate(midnights_s):
        _normal(target, outdoor_c[day + 1], normal[minutes:])
        excess, drift = np.zeros(minutes + 1), np.zeros(289)
        status = np.zeros(minutes + 1, np.int64)
        near = (episodes.start_s < midnight_s + SECONDS_PER_DAY) & (
            episodes.end_s > midnight_s - SECONDS_PER_DAY
        )
        if near.any():
            _normal(target, outdoor_c[day], normal[: minutes + 1])
            _minutes(outdoor_c[day], outside[: minutes + 1])
            _minutes(outdoor_c[day + 1], outside[minutes:])
            start_s, end_s, code = (array[near] for array in episodes)
            cooling.excess_and_drift(
                int(midnight_s), normal, outside, start_s, end_s, code, excess, status, drift
            )
        fluctuation = rng.fluctuation(k, midnight_s, 60, minutes + 1, params.ROOM_WANDER_TIME.value)
        _room(normal[minutes:], excess, status, period_s, midnight_s, fluctuation, out_c[day])
        unit = rng.fluctuation(k_pct, midnight_s, 300, 289, params.ROOM_HUMIDITY_TIME.value)
        inside = params.ROOM_HUMIDITY.value + params.ROOM_HUMIDITY_SIGMA.value * unit
        _mix(inside, out_c[day], outdoor_c[day + 1], outdoor_pct[day + 1], drift, out_pct[day])
    return RoomDays(out_c, out_pct, episodes)


@kernel
def _mix(
    inside_pct: Floats,
    room_c: Floats,
    outdoor_c: Floats,
    outdoor_pct: Floats,
    drift: Floats,
    out: Floats,
) -> None:
    """Relative humidity between that of the conditioned room and outdoor air at its temperature."""
    for slot in range(out.size):
        if drift[slot] == 0.0:
            out[slot] = inside_pct[slot]
            continue
        vapour = outdoor_pct[slot] * saturation_pressure_hpa(outdoor_c[slot])
        free = min(100.0, vapour / saturation_pressure_hpa(room_c[5 * slot]))
        out[slot] = inside_pct[slot] + drift[slot] * (free - inside_pct[slot])


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
