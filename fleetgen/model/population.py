"""The units of a string: class, age, spread and place of each, at the start and after a swap."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from fleetgen import rng
from fleetgen.elementary import exponential, logarithm, total
from fleetgen.jit import kernel
from fleetgen.model import ageing, electrical, params, room, thermal
from fleetgen.rng import Stream
from fleetgen.spec import (
    DEFAULT_SCENARIO,
    BatteryModel,
    BatteryString,
    BatterySystem,
    Location,
    Profile,
    Scenario,
)
from fleetgen.units import DAYS_PER_YEAR

Floats = NDArray[np.float64]
_T = TypeVar("_T")

FLOAT_POWER_W = params.FLOAT_POWER.value
"""Heat of a 100 Ah jar on float: 50 mA at 13.6 V."""

_EARLY = params.FLOAT_SPREAD_NEW.value
_SETTLING_D = params.FLOAT_SETTLING.value
_FLOAT_WANDER = params.FLOAT_WANDER.value
_RESISTANCE_WANDER = params.RESISTANCE_WANDER.value


@dataclass(frozen=True, eq=False)
class Population:
    """Units of one string; arrays are (jar,) unless said.

    `age_days` is the age at the start of the run, below 0 of a unit that came later, `loss` that at
    the start or at its installation.
    `profile` indexes the scenario's profiles; `loss` is capacity lost so far in fractions of rated;
    `acceptance_uohm` is the resistance read in the acceptance test, with its instrument error;
    `ln_i0` the settled float constant and `ln_i0_unit` the unit deviation that fades with age;
    `rise_k` the jar's mean excess over the room on float, `climate_factor` its rate of ageing at
    the location's annual mean over that at the reference condition.
    """

    profile: NDArray[np.int64]
    age_days: Floats
    soh_new: Floats
    ageing_spread: Floats
    loss: Floats
    rate_per_year: Floats
    resistance_per_loss: Floats
    new_mohm: Floats
    acceptance_uohm: NDArray[np.int64]
    ln_i0: Floats
    ln_i0_unit: Floats
    cabinet_rise_k: Floats
    rise_k: Floats
    thermal_k_per_w: Floats
    heat_j_per_k: Floats
    climate_factor: Floats
    serial_number: tuple[str, ...]
    installed: tuple[date, ...]
    manufactured: tuple[date, ...]


def _lognormal_mean_one(sigma: float, z: float) -> float:
    return exponential(sigma * z - 0.5 * sigma * sigma)


def _profile(profiles: tuple[Profile, ...], draw: float) -> int:
    below = 0.0
    for index, profile in enumerate(profiles):
        below += profile.share
        if draw < below:
            return index
    return len(profiles) - 1


def populate(
    seed: int,
    location: Location,
    system: BatterySystem,
    string: BatteryString,
    start: date,
    scenario: Scenario = DEFAULT_SCENARIO,
) -> Population:
    """The jars of `string` as they stand at local midnight of `start`.

    A string is as old as its location or its last replacement (0.3 to 5 years); a jar is as old as
    its string unless it would be worn out, and was then replaced since. Its loss so far follows
    from the ageing law at the location's climatological temperature.
    """
    jars = len(string.jar_ids)
    model = string.model
    ks = rng.key(seed, Stream.STRING, string.string_id)
    kj = [rng.key(seed, Stream.JAR, jar) for jar in string.jar_ids]
    drawn = _draw(seed, string, string.jar_ids, scenario)

    height, at_end = thermal.shelf_position(jars)
    ups = system.kind == "UPS"
    cabinet = (params.CABINET_RISE_UPS if ups else params.CABINET_RISE_RACK).value
    lowest, middle = params.CABINET_LOWEST.value, params.CABINET_MIDDLE.value
    position = lowest + params.CABINET_HEIGHT.value * height + middle * ~at_end
    spread = np.array([rng.normal(k, 6) for k in kj])
    cabinet_rise = cabinet * position + params.CABINET_SPREAD.value * spread
    inner = params.THERMAL_RESISTANCE_MIDDLE.value if ups else params.THERMAL_RESISTANCE.value
    k_per_w = np.where(at_end, params.THERMAL_RESISTANCE_END.value, inner)
    own_rise = cabinet_rise + k_per_w * FLOAT_POWER_W * model.rated_capacity_ah / 100.0
    rise = own_rise / (1.0 - params.NEIGHBOUR_SHARE.value)

    factor = _climatological_factor(location, seed, rise, drawn.ln_i0)
    per_year = drawn.rate_per_year * drawn.ageing_spread * factor
    place_years = (start - location.commissioned).days / DAYS_PER_YEAR
    youngest, oldest = params.YOUNGEST_STRING.value, params.OLDEST_STRING.value
    string_years = min(place_years, youngest + (oldest - youngest) * rng.uniform(ks, 0))
    years = np.empty(jars)
    for j in range(jars):
        life = max(0.0, drawn.soh_new[j] - params.INITIAL_SOH_MINIMUM.value) / per_year[j]
        if string_years < life:
            years[j] = string_years
        else:
            years[j] = rng.uniform(kj[j], 5) * min(string_years, life)

    days = np.array([int(y * DAYS_PER_YEAR) for y in years])
    installed = tuple(start - timedelta(days=int(d)) for d in days)
    manufactured = _manufactured(installed, kj)
    return Population(
        profile=drawn.profile,
        age_days=days.astype(np.float64),
        soh_new=drawn.soh_new,
        ageing_spread=drawn.ageing_spread,
        loss=per_year * days / DAYS_PER_YEAR,
        rate_per_year=drawn.rate_per_year,
        resistance_per_loss=drawn.resistance_per_loss,
        new_mohm=drawn.new_mohm,
        acceptance_uohm=drawn.acceptance_uohm,
        ln_i0=drawn.ln_i0,
        ln_i0_unit=drawn.ln_i0_unit,
        cabinet_rise_k=cabinet_rise,
        rise_k=rise,
        thermal_k_per_w=k_per_w,
        heat_j_per_k=np.full(jars, model.mass_kg * params.HEAT_CAPACITY.value),
        climate_factor=factor,
        serial_number=_serial_numbers(model, manufactured, kj),
        installed=installed,
        manufactured=manufactured,
    )


def renewed(
    seed: int,
    location: Location,
    string: BatteryString,
    units: Population,
    jars: tuple[int, ...],
    unit_ids: tuple[str, ...],
    installed: date,
    days: int,
    scenario: Scenario,
) -> Population:
    """The string after new units, `unit_ids`, took the places of `jars` on the day `installed`.

    That day is `days` after the start of the run, whence their age is counted: they are of age 0 at
    its midnight. Place and cabinet stay; class, spread and serial number are drawn anew, keyed by
    the unit's own id.
    """
    at = list(jars)
    kj = [rng.key(seed, Stream.JAR, unit) for unit in unit_ids]
    drawn = _draw(seed, string, unit_ids, scenario)
    manufactured = _manufactured((installed,) * len(at), kj)
    serial_numbers = _serial_numbers(string.model, manufactured, kj)

    def put(old: NDArray[Any], new: NDArray[Any] | float) -> NDArray[Any]:
        values = old.copy()
        values[at] = new
        return values

    def put_each(old: tuple[_T, ...], new: Iterable[_T]) -> tuple[_T, ...]:
        put = dict(zip(at, new, strict=True))
        return tuple(put.get(j, value) for j, value in enumerate(old))

    ln_i0 = put(units.ln_i0, drawn.ln_i0)
    factor = _climatological_factor(location, seed, units.rise_k, ln_i0)
    return replace(
        units,
        profile=put(units.profile, drawn.profile),
        age_days=put(units.age_days, -float(days)),
        soh_new=put(units.soh_new, drawn.soh_new),
        ageing_spread=put(units.ageing_spread, drawn.ageing_spread),
        loss=put(units.loss, 0.0),
        rate_per_year=put(units.rate_per_year, drawn.rate_per_year),
        resistance_per_loss=put(units.resistance_per_loss, drawn.resistance_per_loss),
        new_mohm=put(units.new_mohm, drawn.new_mohm),
        acceptance_uohm=put(units.acceptance_uohm, drawn.acceptance_uohm),
        ln_i0=ln_i0,
        ln_i0_unit=put(units.ln_i0_unit, drawn.ln_i0_unit),
        climate_factor=put(units.climate_factor, factor[at]),
        serial_number=put_each(units.serial_number, serial_numbers),
        installed=put_each(units.installed, (installed,) * len(at)),
        manufactured=put_each(units.manufactured, manufactured),
    )


class _Drawn(NamedTuple):
    """What is drawn of units whatever their age and place, each (unit,); see `Population`."""

    profile: NDArray[np.int64]
    rate_per_year: Floats
    resistance_per_loss: Floats
    soh_new: Floats
    ageing_spread: Floats
    ln_i0: Floats
    ln_i0_unit: Floats
    new_mohm: Floats
    acceptance_uohm: NDArray[np.int64]


def _draw(
    seed: int, string: BatteryString, unit_ids: tuple[str, ...], scenario: Scenario
) -> _Drawn:
    model = string.model
    ks = rng.key(seed, Stream.STRING, string.string_id)
    kj = [rng.key(seed, Stream.JAR, unit) for unit in unit_ids]

    def normals(counter: int) -> Floats:
        return np.array([rng.normal(k, counter) for k in kj])

    profiles = scenario.profiles
    profile = np.array([_profile(profiles, rng.uniform(k, 0)) for k in kj], np.int64)
    names = [p.name for p in profiles]
    for injection in scenario.injections:
        if injection.kind == "profile" and injection.target in unit_ids:
            unit = unit_ids.index(injection.target)
            profile[unit] = names.index(injection.value)
    rate = np.array([profiles[i].soh_per_year for i in profile])
    growth_rate = np.array([profiles[i].resistance_per_year for i in profile])
    z_string = _lognormal_mean_one(params.STRING_AGEING_SPREAD.value, rng.normal(ks, 2))
    spread = z_string * np.array(
        [_lognormal_mean_one(params.JAR_AGEING_SPREAD.value, z) for z in normals(2)]
    )
    offset = params.FLOAT_SPREAD_STRING.value * rng.normal(ks, 1)
    ln_reference = float(logarithm(params.FLOAT_CURRENT.value))
    ln_unit = normals(4)
    new_mohm = (
        params.DISCHARGE_FAMILIES[model.discharge_type].resistance_ohmic_mohm
        * (100.0 / model.rated_capacity_ah)
        * (1.0 + params.RESISTANCE_SPREAD.value * normals(3))
    )
    error = params.ACCEPTANCE_NOISE.value if scenario.sensor_errors else 0.0
    accepted = [
        1.0 + error * rng.normal(rng.key(seed, Stream.ACCEPTANCE, unit), 0) for unit in unit_ids
    ]
    return _Drawn(
        profile,
        rate,
        growth_rate / rate,
        1.0 + params.CAPACITY_SPREAD.value * normals(1),
        spread,
        ln_reference + offset + params.FLOAT_SPREAD_JAR.value * ln_unit,
        ln_unit,
        new_mohm,
        np.floor(new_mohm * np.array(accepted) * 1000.0 + 0.5).astype(np.int64),
    )


def _manufactured(installed: Sequence[date], kj: list[rng.Key]) -> tuple[date, ...]:
    soonest, latest = int(params.STORED_SHORTEST.value), int(params.STORED_LONGEST.value)
    return tuple(
        day - timedelta(days=soonest + int((latest - soonest) * rng.uniform(k, 7)))
        for day, k in zip(installed, kj, strict=True)
    )


def _serial_numbers(
    model: BatteryModel, manufactured: Sequence[date], kj: list[rng.Key]
) -> tuple[str, ...]:
    return tuple(
        f"{model.model_id}-{day:%y%m}-{int(rng.bits(k[0], k[1], 8)) % 10**6:06d}"
        for day, k in zip(manufactured, kj, strict=True)
    )


def _climatological_factor(location: Location, seed: int, rise_k: Floats, ln_i0: Floats) -> Floats:
    """Ageing rate over the reference condition's, (jar,), at the location's annual mean."""
    annual = total(location.climate.mean_c) / 12.0
    target = room.target_c(location, seed)
    room_c = float(room.daily_mean_c(target, np.array([annual]))[0])
    jars = len(rise_k)
    mean_rise, mean_ln = total(rise_k.tolist()) / jars, total(ln_i0.tolist()) / jars
    set_v = electrical.float_set_cell_v(room_c + mean_rise, location.temperature_compensated)
    factor = np.empty(jars)
    for j in range(jars):
        jar_c = room_c + rise_k[j]
        excess_v = ageing.float_excess_cell_v(set_v, ln_i0[j], mean_ln, rise_k[j], mean_rise, jar_c)
        factor[j] = ageing.arrhenius_factor(jar_c) * ageing.overvoltage_factor(excess_v)
    return factor


@kernel
def float_constants(
    ln_i0: Floats,
    ln_i0_unit: Floats,
    age_days: Floats,
    first: int,
    wander: Floats,
    out: Floats,
) -> None:
    """ln I0 of each jar at midnights into `out`, (midnight, jar).

    The settled constant, the early spread that fades as exp(-age / 180 d), and a slow wander of
    unit variance, (midnight, jar). `first` is the first midnight in days since the start.
    """
    for d in range(out.shape[0]):
        for j in range(out.shape[1]):
            early = _EARLY * exponential(-(age_days[j] + first + d) / _SETTLING_D)
            out[d, j] = ln_i0[j] + early * ln_i0_unit[j] + _FLOAT_WANDER * wander[d, j]


@kernel
def resistance_growth(
    resistance_per_loss: Floats, loss: Floats, failed: Floats, wander: Floats, out: Floats
) -> None:
    """Resistance over new at midnights into `out`, (midnight, jar).

    1 + kappa L, what a failure mode adds (whose loss is not counted again), and a wander.
    """
    for d in range(out.shape[0]):
        for j in range(out.shape[1]):
            grown = 1.0 + resistance_per_loss[j] * loss[d, j] + failed[d, j]
            out[d, j] = grown * exponential(_RESISTANCE_WANDER * wander[d, j])
