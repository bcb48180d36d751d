"""A battery system as the kernels see it: units, constants, events, and what ages it day by day."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fleetgen import crew, rng
from fleetgen.crew import Crew, Service, Swap, first_crew, local_day
from fleetgen.elementary import exponential, logarithm, total
from fleetgen.jit import kernel
from fleetgen.model import (
    ageing,
    climate,
    electrical,
    events,
    failures,
    load,
    params,
    population,
    sensors,
    stepper,
)
from fleetgen.model.failures import Failures, Precursor
from fleetgen.model.population import Population
from fleetgen.model.stepper import DayConstants, Inputs, SystemConstants
from fleetgen.rng import Stream
from fleetgen.spec import BatteryModel, BatterySystem, Block, Location, Scenario, TimeGrid
from fleetgen.units import SECONDS_PER_DAY, SECONDS_PER_HOUR
from fleetgen.world import World, room_ages, world

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_NEVER_S = 2**62
_MARGIN_DAYS = 31
"""Days over which events are drawn beyond a span: a later one may prolong one that began in it."""


@dataclass(frozen=True, eq=False)
class SystemModel:
    """A system as the kernels see it; units at the start and precursors in order of its strings."""

    seed: int
    scenario: Scenario
    location: Location
    system: BatterySystem
    grid: TimeGrid
    crews: tuple[Crew, ...]
    precursors: tuple[Precursor | None, ...]
    constants: SystemConstants
    timeline: events.Timeline
    charger_offset: float
    load_mean_frac: float
    rated_load_w: float

    def string_constants(self, s: int) -> SystemConstants:
        """Constants of string `s` alone, with a leading axis of one."""
        return SystemConstants._make(
            value[s : s + 1] if isinstance(value, np.ndarray) else value for value in self.constants
        )

    @cached_property
    def populations(self) -> tuple[Population, ...]:
        """The units at the start."""
        return tuple(crew.units for crew in self.crews)

    @cached_property
    def failures(self) -> tuple[Failures, ...]:
        """Failures of the units at the start."""
        return tuple(crew.failures for crew in self.crews)

    @cached_property
    def trips(self) -> tuple[tuple[tuple[int, int], ...], ...]:
        """Times [start, end) for which each string is off the charger after a thermal trip."""
        return tuple(_trips(self, s) for s in range(len(self.populations)))


@lru_cache(maxsize=4)
def system_model(
    seed: int, location: Location, system: BatterySystem, grid: TimeGrid, scenario: Scenario
) -> SystemModel:
    """The system's units, constants and events."""
    crews = tuple(first_crew(seed, location, system, s, grid, scenario) for s in system.strings)
    jars = system.jars_per_string
    precursors = tuple(
        failures.precursor(
            seed,
            string.string_id,
            jars,
            grid.start_s,
            grid.start.year,
            location.temperature_compensated,
            scenario,
        )
        for string in system.strings
    )
    constants = _constants(seed, system, crews, scenario)
    k_load = rng.key(seed, Stream.LOAD, system.system_id)
    k_charger = rng.key(seed, Stream.CHARGER, system.system_id)
    low, high = load.mean_range(system.kind)
    return SystemModel(
        seed=seed,
        scenario=scenario,
        location=location,
        system=system,
        grid=grid,
        crews=crews,
        precursors=precursors,
        constants=constants,
        timeline=_timeline(
            seed, location, system, grid.first_day, grid.end_day, grid.utc_offset_s, scenario
        ),
        charger_offset=params.CHARGER_OFFSET.value * rng.normal(k_charger, 0),
        load_mean_frac=low + (high - low) * rng.uniform(k_load, 0),
        rated_load_w=load.rated_w(
            system.kind,
            total(constants.rated_ah.tolist()),
            system.strings[0].model.cells,
            jars,
        ),
    )


def _constants(
    seed: int,
    system: BatterySystem,
    crews: tuple[Crew, ...],
    scenario: Scenario,
) -> SystemConstants:
    minutes = [
        5
        * int(
            params.READING_SLOTS.value * rng.uniform(rng.key(seed, Stream.STRING, s.string_id), 4)
        )
        for s in system.strings
    ]
    gains = [
        [
            sensors.fixed_error(seed, Stream.JAR_SENSOR, jar, 2, params.RESISTANCE_GAIN.value)
            for jar in s.jar_ids
        ]
        for s in system.strings
    ]
    errors = 1.0 if scenario.sensor_errors else 0.0

    return SystemConstants(
        cells=float(system.strings[0].model.cells),
        rated_ah=np.array([s.model.rated_capacity_ah for s in system.strings], np.float64),
        family=np.array([discharge_law(s.model) for s in system.strings]),
        cabinet_rise_k=np.stack([c.units.cabinet_rise_k for c in crews]),
        new_mohm=np.stack([c.units.new_mohm for c in crews]),
        reading_offset_s=np.array(
            [int(params.READING_EARLIEST.value) + 60 * m for m in minutes], np.int64
        ),
        reading_gain=1.0 + errors * np.array(gains),
        reading_noise=np.full(len(gains), errors * params.RESISTANCE_NOISE.value),
        reading_key=np.stack(
            [rng.keys(seed, Stream.RESISTANCE_NOISE, s.jar_ids) for s in system.strings]
        ),
        visit_key=rng.keys(seed, Stream.RUNAWAY, tuple(s.string_id for s in system.strings)),
        dead_cell_s=np.stack([_terminal_s(c, failures.SHORT) for c in crews]),
        open_s=np.stack([_terminal_s(c, failures.CORROSION) for c in crews]),
    )


def discharge_law(model: BatteryModel) -> Floats:
    """Capacity factor, knee rate, exponent, R [mOhm] and K [V/cell] of a model's family, (5,)."""
    family = params.DISCHARGE_FAMILIES[model.discharge_type]
    return np.array(
        (
            family.capacity_factor,
            family.knee_rate_per_h,
            family.rate_exponent,
            family.resistance_dc_mohm,
            family.knee_v_per_cell,
        )
    )


def _terminal_s(crew: Crew, mode: int) -> Ints:
    """Instant at which a mode is terminal in each unit, far away without it, (jar,)."""
    instants: Ints = np.where(crew.failures.mode == mode, crew.failures.end_s, _NEVER_S)
    return instants


def constants_of(model: SystemModel, s: int, crew: Crew) -> SystemConstants:
    """Constants of string `s` alone with the units of a crew, fit to be overwritten."""
    return model.string_constants(s)._replace(
        new_mohm=crew.units.new_mohm[np.newaxis].copy(),
        dead_cell_s=_terminal_s(crew, failures.SHORT)[np.newaxis],
        open_s=_terminal_s(crew, failures.CORROSION)[np.newaxis],
    )


@lru_cache(maxsize=8)
def _timeline(
    seed: int,
    location: Location,
    system: BatterySystem,
    first_day: int,
    end_day: int,
    utc_offset_s: int,
    scenario: Scenario,
) -> events.Timeline:
    return events.timeline(
        location,
        system,
        seed,
        first_day,
        end_day + _MARGIN_DAYS,
        utc_offset_s,
        lambda first, end: climate.rain_days(location, seed, first, end),
        scenario,
    )


# --- day by day -----------------------------------------------------------------------------------


class SlowDays(NamedTuple):
    """Slow quantities of a string at midnights, each (midnight, jar).

    ln I0 [ln A/Ah], SOH [fraction], resistance over new, live cells, removed charge that cannot be
    returned [fraction of capacity], charging resistance over its own, heat of a failure [W],
    thermal resistance [K/W].
    """

    ln_i0: Floats
    soh: Floats
    growth: Floats
    cells: Floats
    leak: Floats
    acceptance: Floats
    heat_w: Floats
    thermal_k_per_w: Floats


class CapacityDays(NamedTuple):
    """What the capacity of a string's jars follows from, each (midnight, jar).

    ln I0 [ln A/Ah], what failures do, wear, and SOH [fraction].
    """

    ln_i0: Floats
    failed: failures.Effects
    wear: ageing.Wear
    soh: Floats


def capacity_days(
    model: SystemModel, s: int, end_day: int, service: Service | None = None
) -> CapacityDays:
    """Capacity of string `s` up to local midnight of `end_day`, as it is in service.

    From the start of the run, with the units of then; or from midnight of the day of a service on,
    of whose units those that are new have a wear. A unit ages beside those that it came to, whoever
    replaces them later: so its remaining life does not hang on what maintenance does to others.
    Ageing is walked on drawn daily conditions alone.
    """
    grid, seed = model.grid, model.seed
    crew = model.crews[s] if service is None else service.crew
    origin = grid.first_day if service is None else local_day(grid, service.at_s)
    before, count = origin - grid.first_day, end_day - origin + 1
    unit = crew.units
    wander = _wander(seed, Stream.FLOAT_WANDER, crew, origin, count, params.FLOAT_WANDER_KNOT)
    midnights = grid.start_s + SECONDS_PER_DAY * (before + np.arange(count))
    failed = failures.effects(
        crew.failures, model.precursors[s], midnights, model.constants.cells, crew.dries
    )
    ln_i0 = np.empty((count, len(crew.unit_ids)))
    population.float_constants(unit.ln_i0, unit.ln_i0_unit, unit.age_days, before, wander, ln_i0)
    ln_i0 += failed.ln_i0
    wear = ageing.Wear(*(np.empty_like(ln_i0) for _ in range(3)))
    ageing.walk(
        ageing.Days._make(a[before:] for a in _days(model, s, end_day)),
        model.location.temperature_compensated,
        unit.rise_k,
        ln_i0,
        unit.rate_per_year,
        unit.ageing_spread,
        unit.soh_new,
        failed.loss,
        unit.loss,
        wear,
    )
    soh = np.maximum(
        unit.soh_new - wear.loss - wear.sulfated - failed.loss, params.SOH_MINIMUM.value
    )
    return CapacityDays(ln_i0, failed, wear, soh)


def slow_days(
    model: SystemModel, s: int, first_day: int, end_day: int, service: Service | None = None
) -> SlowDays:
    """Slow quantities of string `s` from local midnight of `first_day` to that of `end_day`.

    Of the units at the start, or of those of a service that began on `first_day` or before.
    """
    crew = model.crews[s] if service is None else service.crew
    origin = model.grid.first_day if service is None else local_day(model.grid, service.at_s)
    unit = crew.units
    ln_i0, failed, wear, soh = capacity_days(model, s, end_day, service)
    wander = _wander(
        model.seed, Stream.RESISTANCE_WANDER, crew, origin, len(soh), params.RESISTANCE_WANDER_KNOT
    )
    growth = np.empty_like(ln_i0)
    population.resistance_growth(unit.resistance_per_loss, wear.loss, failed.growth, wander, growth)
    all_days = SlowDays(
        ln_i0,
        soh,
        growth,
        failed.cells,
        failed.leak,
        wear.acceptance * failed.acceptance,
        failed.heat_w,
        unit.thermal_k_per_w * failed.thermal,
    )
    return SlowDays._make(a[first_day - origin :] for a in all_days)


class Turn(NamedTuple):
    """A change of units in the midst of a day.

    `old` are the `SlowDays` of the unit that leaves at the midnight after, `new` those of its
    successor at the midnight before, both (8,); the successor's new resistance [mOhm], and when a
    cell of it dies or it opens [s].
    """

    string: int
    jar: int
    at_s: int
    old: Floats
    new: Floats
    new_mohm: float
    dead_cell_s: int
    open_s: int


@dataclass(frozen=True, eq=False)
class ServiceDays:
    """Slow quantities of the units in service at midnights, from `start_s` on, and the changes.

    `services` run from the start of the run, `turns` within the days.
    """

    start_s: int
    services: tuple[Service, ...]
    days: SlowDays
    turns: tuple[Turn, ...] = ()

    def crew_at(self, instant_s: int) -> Crew:
        """Units in service at an instant."""
        return [s.crew for s in self.services if s.at_s <= instant_s or s is self.services[0]][-1]

    def turns_on(self, start_s: int) -> tuple[Turn, ...]:
        """Changes on the day that begins at `start_s`."""
        return tuple(t for t in self.turns if start_s <= t.at_s < start_s + SECONDS_PER_DAY)

    def at(self, name: str, j: int, instant_s: int, before: bool = False) -> float:
        """Slow quantity `name` of the unit in service as jar `j` at an instant, or just before."""
        which = SlowDays._fields.index(name)
        index, since_s = divmod(instant_s - self.start_s, SECONDS_PER_DAY)
        index = min(index, len(self.days[which]) - 2)
        since_s = instant_s - self.start_s - index * SECONDS_PER_DAY
        low, high = (float(v) for v in self.days[which][index : index + 2, j])
        for turn in self.turns_on(self.start_s + index * SECONDS_PER_DAY):
            if turn.jar == j and instant_s < turn.at_s + before:
                high = float(turn.old[which])
            elif turn.jar == j:
                low = float(turn.new[which])
        return low + (high - low) * (since_s / SECONDS_PER_DAY)


def services(model: SystemModel, s: int, swaps: Iterable[Swap]) -> list[Service]:
    """What is in service in string `s`, from the start of the run on."""
    return crew.services(
        model.seed,
        model.location,
        model.system.strings[s],
        model.grid,
        model.scenario,
        model.crews[s],
        (w for w in swaps if w.string == s),
    )


def service_days(
    model: SystemModel, s: int, first_day: int, end_day: int, swaps: Iterable[Swap]
) -> ServiceDays:
    """Slow quantities of string `s`, local midnights of `first_day` to `end_day`, after swaps."""
    grid = model.grid
    days = slow_days(model, s, first_day, end_day)
    first, *later = services(model, s, swaps)
    here = ServiceDays(grid.midnight_s(first_day), (first,), days)
    for service in later:
        if service.at_s < grid.midnight_s(end_day):
            here = taken_over(model, s, here, service)
    return here


def taken_over(model: SystemModel, s: int, here: ServiceDays, service: Service) -> ServiceDays:
    """Slow quantities when a further service begins, within the days or before them."""
    first_day = local_day(model.grid, here.start_s)
    end_day = first_day + len(here.days.soh) - 1
    day, at = local_day(model.grid, service.at_s), list(service.jars)
    known = (*here.services, service)
    new = slow_days(model, s, max(day, first_day), end_day, service)
    days = SlowDays._make(a.copy() for a in here.days)
    before = max(0, day - first_day + 1)
    for a, b in zip(days, new, strict=True):
        a[before:, at] = b[len(b) - len(a) + before :, at]
    if day < first_day:
        return ServiceDays(here.start_s, known, days, here.turns)
    turns = tuple(
        Turn(
            s,
            j,
            service.at_s,
            np.array([a[before, j] for a in here.days]),
            np.array([a[0, j] for a in new]),
            float(service.crew.units.new_mohm[j]),
            int(_terminal_s(service.crew, failures.SHORT)[j]),
            int(_terminal_s(service.crew, failures.CORROSION)[j]),
        )
        for j in at
    )
    return ServiceDays(here.start_s, known, days, (*here.turns, *turns))


def _wander(
    seed: int,
    stream: Stream,
    crew: Crew,
    first: int,
    count: int,
    knot: params.Parameter,
) -> Floats:
    """Slow fluctuation of each unit at midnights, (midnight, jar)."""
    return rng.wander(rng.keys(seed, stream, crew.unit_ids), first, count, int(knot.value))


def _days(model: SystemModel, s: int, end_day: int) -> ageing.Days:
    """What string `s` lives through from the start of the run to `end_day`."""
    grid, location = model.grid, model.location
    first, offset = grid.first_day, grid.utc_offset_s
    seed, scenario = model.seed, model.scenario
    count = end_day - first
    ages = room_ages(seed, location, first, end_day, offset, scenario)
    # Beyond the end, as the run's own: a later event may prolong one that began before it.
    last = end_day + _MARGIN_DAYS
    t = _timeline(seed, location, model.system, first, last, offset, scenario)
    charger, cycling, hours, equalized = (np.zeros(count) for _ in range(4))

    def day_of(instant_s: int) -> int:
        return (int(instant_s) - grid.start_s) // SECONDS_PER_DAY

    for start, end, deviation in zip(t.charger_start_s, t.charger_end_s, t.charger_v, strict=True):
        for day in range(max(0, day_of(start)), min(count, day_of(end) + 1)):
            midnight = grid.start_s + day * SECONDS_PER_DAY
            inside = min(int(end), midnight + SECONDS_PER_DAY) - max(int(start), midnight)
            charger[day] += deviation * max(0, inside) / SECONDS_PER_DAY
    for start in t.equalize_start_s:
        if (day := day_of(start)) < count:
            equalized[day] = 1.0
    rate_per_h = load.current_per_ah(
        model.load_mean_frac * model.rated_load_w,
        total(model.constants.rated_ah.tolist()),
        model.system.strings[0].model.cells,
        model.system.jars_per_string,
    )
    discharges = [
        (day_of(a), min(rate_per_h * (b - a) / SECONDS_PER_HOUR, _DEEPEST))
        for a, b in zip(t.discharge_start_s.tolist(), t.discharge_end_s.tolist(), strict=True)
    ]
    discharges += [
        (day_of(a), min(params.TEST_RATE.value * (b - a) / SECONDS_PER_HOUR, _DEEPEST))
        for a, b, string in zip(
            t.test_start_s.tolist(), t.test_end_s.tolist(), t.test_string, strict=True
        )
        if string == s
    ]
    for day, depth in discharges:
        if day < count and depth > 0.0:
            cycling[day] += _cycling_loss(depth)
            hours[day] = min(24.0, hours[day] + _hours_discharged(depth))
    return ageing.Days(
        ages.room_c, ages.jar_excess_k, ages.heat_factor, charger, cycling, hours, equalized
    )


_DEEPEST = params.DISCHARGE_DEPTH_LIMIT.value


def _cycling_loss(depth: float) -> float:
    """Capacity lost to a discharge of a depth [fraction of C10] at 25 degC: 0.20/260 DoD^1.3."""
    return params.CYCLING_LOSS.value * exponential(
        params.CYCLING_EXPONENT.value * float(logarithm(depth))
    )


def _hours_discharged(depth: float) -> float:
    """Hours below 90 % of charge while what a discharge took returns at the charger's limit."""
    beyond = max(0.0, depth - params.DISCHARGED_DEPTH.value)
    return params.RECHARGE_LENGTHENING.value * beyond / params.CHARGE_LIMIT.value


@kernel
def _decays(thermal_k_per_w: Floats, heat_j_per_k: Floats, out: Floats) -> None:
    for s in range(out.shape[0]):
        for n in range(out.shape[1]):
            for j in range(out.shape[2]):
                time_s = thermal_k_per_w[s, j] * heat_j_per_k[s, j]
                out[s, n, j] = exponential(-stepper.STEPS_S[n] / time_s)


def day_constants(
    days: SlowDays, heat_j_per_k: Floats, index: int, turns: Sequence[Turn] = ()
) -> DayConstants:
    """Constants of one day, from midnights (string, midnight, jar) and (string, jar).

    `turns` are the changes of units on it; their strings count along the axis of `days`.
    """
    knots = np.stack([a[:, index : index + 2] for a in days[:_KNOTS]])
    thermal = np.stack([*(a[:, index] for a in days[_KNOTS:]), heat_j_per_k])
    decay = np.empty((thermal.shape[1], len(stepper.STEPS_S), thermal.shape[2]))
    _decays(thermal[stepper.K_PER_W], heat_j_per_k, decay)
    if not turns:
        return DayConstants(knots, thermal, decay, stepper.NO_TURNS)
    for t in turns:
        knots[:, t.string, 1, t.jar] = t.old[:_KNOTS]
    after = np.stack(
        [
            np.stack([t.new[:_KNOTS], [a[t.string, index + 1, t.jar] for a in days[:_KNOTS]]])
            for t in turns
        ]
    )
    warmth = np.array([[*t.new[_KNOTS:], heat_j_per_k[t.string, t.jar]] for t in turns])
    faded = np.empty((1, len(stepper.STEPS_S), len(turns)))
    _decays(
        np.ascontiguousarray(warmth[np.newaxis, :, stepper.K_PER_W]),
        np.ascontiguousarray(warmth[np.newaxis, :, stepper.J_PER_K]),
        faded,
    )
    return DayConstants(
        knots,
        thermal,
        decay,
        stepper.Turns(
            np.array([(t.string, t.jar, t.at_s) for t in turns], np.int64),
            after,
            warmth,
            np.ascontiguousarray(faded[0].T),
            np.array([t.new_mohm for t in turns]),
            np.array([(t.dead_cell_s, t.open_s) for t in turns], np.int64),
            np.zeros((len(turns), 2)),
        ),
    )


_KNOTS = 6
"""Slow quantities that are interpolated within a day; the others hold for it."""


def heat_j_per_k(model: SystemModel) -> Floats:
    """Heat capacity of each jar, (string, jar)."""
    return np.stack([unit.heat_j_per_k for unit in model.populations])


def load_frac(model: SystemModel, midnight_s: int) -> Floats:
    """Load over rated load at the edges of a day's slots, float64 (289,)."""
    k = rng.key(model.seed, Stream.LOAD_OU, model.system.system_id)
    unit = rng.fluctuation(k, midnight_s, stepper.SLOT_S, 289, params.LOAD_WANDER_TIME.value)
    hour = np.arange(289) / 12.0
    office = np.interp(hour, [0, 7, 9, 17, 19, 24], [-1, -1, 1, 1, -1, -1])
    swing = params.LOAD_OFFICE.value * office
    return model.load_mean_frac * (1.0 + swing + params.LOAD_WANDER.value * unit)


def inputs(
    model: SystemModel,
    around: World,
    day: int,
    timeline: events.Timeline,
    offline: Offline,
    constants: SystemConstants | None = None,
    turns_s: Sequence[int] = (),
) -> Inputs:
    """What the outside does to the system on local day `day`.

    `constants` are those of the units in service on it, without any those at the start; units
    change at `turns_s`.
    """
    index = day - around.first_day
    midnight = int(around.midnights_s[index])
    end = midnight + SECONDS_PER_DAY
    k = rng.key(model.seed, Stream.CHARGER_OU, model.system.system_id)
    regulation = rng.fluctuation(k, midnight, stepper.SLOT_S, 289, params.CHARGER_WANDER_TIME.value)
    rows, deviation_v = _events_between(timeline, offline, midnight - 1, end)
    dying = (constants or model.constants).dead_cell_s.reshape(-1)
    turning = np.array(turns_s, np.int64)
    jumps = np.concatenate([dying, turning, rows[rows[:, 0] == stepper.DEVIATION, 2:].reshape(-1)])

    def today(instants: Ints) -> Ints:
        return np.unique(instants[(instants > midnight) & (instants < end)])

    return Inputs(
        midnight_s=midnight,
        room_c=around.room_slot_c[index],
        load_w=load_frac(model, midnight) * model.rated_load_w,
        regulation=model.charger_offset + params.CHARGER_WANDER.value * regulation,
        compensated=model.location.temperature_compensated,
        events=rows,
        deviation_v=deviation_v,
        edge_s=today(np.concatenate([jumps, rows[:, 2:].reshape(-1)])),
        jump_s=today(jumps),
    )


def _events_between(
    timeline: events.Timeline, offline: Offline, start_s: int, end_s: int
) -> tuple[Ints, Floats]:
    """Events that touch [start_s, end_s] as the stepper takes them, and their deviations."""
    t = timeline
    every = stepper.ALL_STRINGS
    kinds: list[tuple[int, int | Ints, Ints, Ints]] = [
        (stepper.OUTAGE, every, t.discharge_start_s, t.discharge_end_s),
        (stepper.EQUALIZING, every, t.equalize_start_s, t.equalize_end_s),
        (stepper.DEVIATION, every, t.charger_start_s, t.charger_end_s),
        (stepper.TEST, t.test_string, t.test_start_s, t.test_end_s),
        (stepper.OFF, offline.string, offline.start_s, offline.end_s),
    ]
    rows = np.concatenate(
        [
            np.stack(np.broadcast_arrays(np.int64(kind), np.asarray(s, np.int64), a, b), axis=1)
            for kind, s, a, b in kinds
        ]
    )
    deviation_v = np.zeros(len(rows))
    deviation_v[rows[:, 0] == stepper.DEVIATION] = t.charger_v
    touching = (rows[:, 3] >= start_s) & (rows[:, 2] <= end_s)
    return rows[touching], deviation_v[touching]


# --- thermal runaway ------------------------------------------------------------------------------


class Offline(NamedTuple):
    """Times [start, end) for which a string is off the charger, each int64 (episode,)."""

    string: Ints
    start_s: Ints
    end_s: Ints


def offline(model: SystemModel, swaps: Sequence[Swap] = ()) -> Offline:
    """Trips of the system's strings that matter to the run, and the work of swaps.

    What is left of a string's drying out ends when its last unit of the start has gone.
    """
    rows = [
        (s, start, end)
        for s, precursor in enumerate(model.precursors)
        if precursor is not None and precursor.onset_s < model.grid.end_s
        for start, end in model.trips[s]
        if start < _renewed_s(model, s, swaps)
    ]
    rows += sorted({(w.string, w.off_s, w.at_s) for w in swaps})
    columns = np.array(rows, np.int64).reshape(-1, 3)
    return Offline(*(np.ascontiguousarray(columns[:, i]) for i in range(3)))


def _renewed_s(model: SystemModel, s: int, swaps: Sequence[Swap]) -> int:
    """Instant from which on no unit of the start is in string `s`."""
    gone = {w.jar: w.at_s for w in swaps if w.string == s and w.number == 2}
    return max(gone.values()) if len(gone) == model.system.jars_per_string else _NEVER_S


def _trips(model: SystemModel, s: int) -> tuple[tuple[int, int], ...]:
    """Times for which string `s` is off after its protection tripped: by the heat balance.

    Walked alone, on float, on the days of the precursor that come near the fold of the balance
    (PHYSICS: e x 0.06 R V I0' > 1), so that the answer does not depend on how long a run is.
    """
    precursor = model.precursors[s]
    if precursor is None:
        return ()
    grid = model.grid
    first = max(
        grid.first_day, (precursor.onset_s - grid.start_s) // SECONDS_PER_DAY + grid.first_day
    )
    end = (precursor.end_s - grid.start_s) // SECONDS_PER_DAY + 1 + grid.first_day
    if end <= first:
        return ()
    slow = slow_days(model, s, first, end)
    days = [first + int(d) for d in np.flatnonzero(_near_fold(model, s, slow, first, end))]
    found: list[tuple[int, int]] = []
    while days:
        begin = max(grid.first_day, days[0] - 2)
        last = days[0]
        while days and days[0] <= last + 3:
            last = days.pop(0)
        tripped = _walk_alone(model, s, begin, last + 2)
        if tripped is not None:
            k = model.constants.visit_key[s]
            found.append((tripped, tripped + stepper.seconds_to_visit(k, tripped)))
    return tuple(found)


def _near_fold(
    model: SystemModel, s: int, slow: SlowDays, first: int, end: int
) -> NDArray[np.bool_]:
    """Days on which a string is near the fold of its heat balance, (day,)."""
    unit, grid = model.populations[s], model.grid
    days = _days(model, s, end)
    at = slice(first - grid.first_day, end - grid.first_day)
    # The afternoon of a hot day lies above its mean, and jars follow.
    excess_k = params.RUNAWAY_AFTERNOON.value * days.jar_excess_k[at]
    env_c = days.room_c[at] + excess_k + float(unit.rise_k.max())
    compensated = model.location.temperature_compensated
    near = np.zeros(end - first, np.bool_)
    steepness = 2.718281828 * params.TAFEL_TEMPERATURE.value  # e x 0.06 / K
    for d in range(end - first):
        set_v = electrical.float_set_cell_v(env_c[d], compensated) + days.charger_v[at][d]
        mean_ln = total(slow.ln_i0[d].tolist()) / slow.ln_i0.shape[1]
        current = model.constants.rated_ah[s] * exponential(
            mean_ln
            + params.TAFEL.value * (set_v - params.FLOAT_REFERENCE.value)
            + params.TAFEL_TEMPERATURE.value * (env_c[d] - params.REFERENCE_TEMPERATURE.value)
        )
        jar_v = model.constants.cells * set_v
        fold = steepness * float(slow.thermal_k_per_w[d].max()) * jar_v * current
        near[d] = fold > params.RUNAWAY_SUSPECT.value
    return near


def _walk_alone(model: SystemModel, s: int, first: int, end: int) -> int | None:
    """Instant at which the protection of string `s` trips on local days [first, end); or None."""
    grid = model.grid
    slow = SlowDays._make(a[np.newaxis] for a in slow_days(model, s, first, end))
    heat = heat_j_per_k(model)[s : s + 1]
    constants = model.string_constants(s)
    constants = constants._replace(reading_offset_s=np.array([-2]))
    span = _timeline(
        model.seed,
        model.location,
        model.system,
        first,
        end,
        grid.utc_offset_s,
        model.scenario,
    )
    work = stepper.scratch(model.system.jars_per_string)
    nothing = Offline(*(np.zeros(0, np.int64) for _ in range(3)))
    state = np.zeros(0)
    books = np.zeros(0)
    for index, day in enumerate(range(first, end)):
        around = world(model.seed, model.location, grid, Block(day, day + 1), model.scenario)
        x = inputs(model, around, day, span, nothing)
        today = day_constants(slow, heat, index)
        if not index:
            room_c = float(x.room_c[0])
            jars = model.system.jars_per_string
            state = np.zeros(3 * jars + stepper.STRING_STATES)
            state[:jars] = room_c + model.populations[s].rise_k
            state[3 * jars + stepper.FULL] = 1.0
            pilot_c = room_c + model.populations[s].rise_k[jars // 2]
            books = np.array([pilot_c, room_c, 0.0, float(state[:jars].max())])
        tripped = stepper.float_day(constants, today, 0, x, state, books, work)
        if tripped >= 0:
            return int(tripped)
    return None
