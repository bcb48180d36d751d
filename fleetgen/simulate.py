"""The physical side of a system: its world, its slow path with checkpoints, and any block again.

Pure: from a seed, a location, a system and a clock to arrays. `slow_path` walks the whole system
once and keeps its trace and a checkpoint of every string at every midnight; `replay` takes one
string through any block of days from there, and ends bit for bit in the next checkpoint.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleetgen import rng
from fleetgen.elementary import exponential, total
from fleetgen.errors import SimulationError
from fleetgen.model import (
    ageing,
    climate,
    electrical,
    events,
    params,
    population,
    room,
    stepper,
    thermal,
)
from fleetgen.model.population import Population
from fleetgen.model.stepper import DayConstants, Inputs, Replay, SystemConstants, Trace
from fleetgen.rng import Stream
from fleetgen.schema import MODES
from fleetgen.spec import (
    DEFAULT_SCENARIO,
    BatterySystem,
    Block,
    Location,
    Scenario,
    TimeGrid,
)
from fleetgen.units import DAYS_PER_YEAR, SECONDS_PER_DAY, day_date, iso_instant

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_JAR_STATES = 3
_WORLD_DAYS = 32
"""Days of weather that the slow path holds at a time."""


# --- the world of a location ----------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class World:
    """Weather and room of a location over a block of local days, each leading with (day,).

    Outdoor values and room humidity are at the 289 edges of five-minute slots, the room's
    temperature at 1,441 whole minutes, its slot means (288,).
    """

    first_day: int
    midnights_s: Ints
    outdoor_c: Floats
    outdoor_pct: Floats
    room_c: Floats
    room_slot_c: Floats
    room_pct: Floats


@lru_cache(maxsize=4)
def world(
    seed: int,
    location: Location,
    grid: TimeGrid,
    block: Block,
    scenario: Scenario = DEFAULT_SCENARIO,
) -> World:
    """Weather and room of `location` over `block`."""
    midnights = np.array([grid.midnight_s(d) for d in range(block.first_day, block.end_day)])
    weather = climate.weather_days(location, seed, block.first_day, block.end_day)
    outdoor_c, outdoor_pct = climate.outdoor(weather)
    room_c = room.temperature_c(location, seed, midnights, outdoor_c)
    return World(
        first_day=block.first_day,
        midnights_s=midnights,
        outdoor_c=outdoor_c,
        outdoor_pct=outdoor_pct,
        room_c=room_c,
        room_slot_c=np.stack([room.slot_means(day) for day in room_c]),
        room_pct=room.humidity_pct(location, seed, midnights),
    )


# --- a system -------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class SystemModel:
    """A system as the kernels see it; `populations` in order of its strings."""

    seed: int
    scenario: Scenario
    location: Location
    system: BatterySystem
    grid: TimeGrid
    populations: tuple[Population, ...]
    constants: SystemConstants
    timeline: events.Timeline
    charger_offset: float
    load_mean_frac: float
    rated_load_w: float

    def string_constants(self, s: int) -> SystemConstants:
        """Constants of string `s` alone, with a leading axis of one."""
        c = self.constants
        return SystemConstants._make([c.cells, *(array[s : s + 1] for array in c[1:])])


@lru_cache(maxsize=4)
def system_model(
    seed: int,
    location: Location,
    system: BatterySystem,
    grid: TimeGrid,
    scenario: Scenario = DEFAULT_SCENARIO,
) -> SystemModel:
    """The system's units, constants and events."""
    units = tuple(
        population.populate(seed, location, system, s, grid.start, scenario) for s in system.strings
    )
    rated_ah = np.array([s.model.rated_capacity_ah for s in system.strings], np.float64)
    families = [params.DISCHARGE_FAMILIES[s.model.discharge_type] for s in system.strings]
    time_constant = np.stack([u.time_constant_s for u in units])
    decay = {
        dt: np.array([[exponential(-dt / tau) for tau in row] for row in time_constant])
        for dt in (stepper.SLOT_S, stepper.RECHARGE_STEP_S)
    }
    reading_minutes = [
        5 * int(36 * rng.uniform(rng.key(seed, Stream.STRING, s.string_id), 4))
        for s in system.strings
    ]
    errors = float(scenario.sensor_errors)
    gains = [
        [errors * _sensor(seed, jar, 2, params.RESISTANCE_GAIN.value) for jar in s.jar_ids]
        for s in system.strings
    ]
    constants = SystemConstants(
        cells=float(system.strings[0].model.cells),
        rated_ah=rated_ah,
        family=np.array(
            [
                (
                    f.capacity_factor,
                    f.knee_rate_per_h,
                    f.rate_exponent,
                    f.resistance_dc_mohm,
                    f.knee_v_per_cell,
                )
                for f in families
            ]
        ),
        cabinet_rise_k=np.stack([u.cabinet_rise_k for u in units]),
        thermal_k_per_w=np.stack([u.thermal_k_per_w for u in units]),
        time_constant_s=time_constant,
        slot_decay=decay[stepper.SLOT_S],
        recharge_decay=decay[stepper.RECHARGE_STEP_S],
        new_mohm=np.stack([u.new_mohm for u in units]),
        reading_offset_s=np.array([7200 + 60 * m for m in reading_minutes], np.int64),
        reading_gain=1.0 + np.array(gains),
        reading_noise=np.full(len(gains), errors * params.RESISTANCE_NOISE.value),
        reading_key=np.stack(
            [rng.keys(seed, Stream.RESISTANCE_NOISE, s.jar_ids) for s in system.strings]
        ),
    )
    k_load = rng.key(seed, Stream.LOAD, system.system_id)
    k_charger = rng.key(seed, Stream.CHARGER, system.system_id)
    jars = system.jars_per_string
    if system.kind == "UPS":
        low, high = params.LOAD_MINIMUM.value, params.LOAD_MAXIMUM.value
        per_ah = params.UPS_RATED_POWER.value * constants.cells * jars / 100.0
        rated_w = per_ah * total(rated_ah.tolist()) / params.INVERTER_EFFICIENCY.value
    else:
        high = 1.0
        low = params.RECTIFIER_MINIMUM.value / params.RECTIFIER_MAXIMUM.value
        nominal_v = 2.0 * constants.cells * jars
        rated_w = params.RECTIFIER_MAXIMUM.value * total(rated_ah.tolist()) * nominal_v
    return SystemModel(
        seed=seed,
        scenario=scenario,
        location=location,
        system=system,
        grid=grid,
        populations=units,
        constants=constants,
        timeline=events.timeline(
            location,
            system,
            seed,
            grid,
            lambda first, end: climate.rain_days(location, seed, first, end),
        ),
        charger_offset=params.CHARGER_OFFSET.value * rng.normal(k_charger, 0),
        load_mean_frac=low + (high - low) * rng.uniform(k_load, 0),
        rated_load_w=rated_w,
    )


def _sensor(seed: int, entity: str, number: int, sigma: float) -> float:
    """Fixed error of one sensor channel."""
    return sigma * rng.normal(rng.key(seed, Stream.JAR_SENSOR, entity), number)


def losses(model: SystemModel, s: int, end_day: int) -> Floats:
    """Capacity lost by the jars of string `s` at midnights from the start on, (midnight, jar)."""
    unit, seed = model.populations[s], model.seed
    origin = model.grid.first_day
    outdoor = climate.daily_mean_c(model.location, seed, origin, end_day)
    target = room.target_c(model.location, seed)
    loss = np.empty((end_day - origin + 1, len(unit.loss)))
    ageing.walk(
        room.daily_mean_c(target, outdoor),
        model.location.temperature_compensated,
        unit.rise_k,
        unit.ln_i0,
        unit.rate_per_year,
        unit.ageing_spread,
        unit.soh_new,
        unit.loss,
        loss,
    )
    return loss


def slow_days(model: SystemModel, s: int, first_day: int, end_day: int) -> DayConstants:
    """ln I0, SOH and resistance growth of string `s` at midnights, each (midnight, jar).

    From local midnight of `first_day` to that of `end_day`, both included.
    """
    unit, seed = model.populations[s], model.seed
    origin = model.grid.first_day
    loss = losses(model, s, end_day)[first_day - origin :]
    ln_i0, growth = np.empty_like(loss), np.empty_like(loss)
    string = model.system.strings[s]
    float_wander, resistance_wander = (
        rng.wander(rng.keys(seed, stream, string.jar_ids), first_day, len(loss), int(knot.value))
        for stream, knot in (
            (Stream.FLOAT_WANDER, params.FLOAT_WANDER_KNOT),
            (Stream.RESISTANCE_WANDER, params.RESISTANCE_WANDER_KNOT),
        )
    )
    population.float_constants(
        unit.ln_i0, unit.ln_i0_unit, unit.age_days, first_day - origin, float_wander, ln_i0
    )
    population.resistance_growth(unit.resistance_per_loss, loss, resistance_wander, growth)
    return DayConstants(ln_i0, unit.soh_new - loss, growth)


def _day(days: DayConstants, index: int) -> DayConstants:
    """Constants of one day, from midnights (string, midnight, jar)."""
    return DayConstants(*(np.ascontiguousarray(a[:, index : index + 2]) for a in days))


def load_frac(model: SystemModel, midnight_s: int) -> Floats:
    """Load over rated load at the edges of a day's slots, float64 (289,)."""
    k = rng.key(model.seed, Stream.LOAD_OU, model.system.system_id)
    unit = rng.fluctuation(k, midnight_s, stepper.SLOT_S, 289, params.LOAD_WANDER_TIME.value)
    hour = np.arange(289) / 12.0
    office = np.interp(hour, [0, 7, 9, 17, 19, 24], [-1, -1, 1, 1, -1, -1])
    swing = params.LOAD_OFFICE.value * office
    return model.load_mean_frac * (1.0 + swing + params.LOAD_WANDER.value * unit)


def inputs(model: SystemModel, around: World, day: int) -> Inputs:
    """What the outside does to the system on local day `day`."""
    index = day - around.first_day
    midnight = int(around.midnights_s[index])
    k = rng.key(model.seed, Stream.CHARGER_OU, model.system.system_id)
    regulation = rng.fluctuation(k, midnight, stepper.SLOT_S, 289, params.CHARGER_WANDER_TIME.value)
    t = model.timeline
    return Inputs(
        midnight_s=midnight,
        room_c=around.room_slot_c[index],
        load_w=load_frac(model, midnight) * model.rated_load_w,
        regulation=model.charger_offset + params.CHARGER_WANDER.value * regulation,
        compensated=model.location.temperature_compensated,
        **{
            name: getattr(t, name)
            for name in (
                "discharge_start_s",
                "discharge_end_s",
                "equalize_start_s",
                "equalize_end_s",
            )
        },
    )


def _world_of(model: SystemModel, block: Block) -> World:
    return world(model.seed, model.location, model.grid, block, model.scenario)


# --- pass 1 ---------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class SlowPath:
    """Trace and checkpoints of a system, plain arrays.

    `states` (midnight, string, 3 jar + 8) and `bus` (midnight, 4) from the first midnight of the
    run to the last; trace rows of day d are [row_offset[d], row_offset[d + 1]), its discharge
    rows likewise by `load_offset` in `currents` (string, discharge row).
    """

    first_day: Ints
    states: Floats
    bus: Floats
    row_offset: Ints
    load_offset: Ints
    t_s: Ints
    dt_s: Ints
    mode: NDArray[np.uint8]
    bus_v: Floats
    currents: Floats

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays by name, for storage."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def covers(self, end_day: int) -> bool:
        """Whether the path reaches local midnight of `end_day`."""
        return end_day - int(self.first_day[0]) < len(self.states)

    def day_rows(self, day: int) -> slice:
        """Trace rows of local day `day`."""
        d = day - int(self.first_day[0])
        return slice(int(self.row_offset[d]), int(self.row_offset[d + 1]))

    def trace(self, day: int) -> Trace:
        """Trace of local day `day`."""
        rows = self.day_rows(day)
        mode = self.mode[rows].astype(np.int64)
        return Trace(self.t_s[rows], self.dt_s[rows], mode, self.bus_v[rows])

    def day_currents(self, s: int, day: int) -> Floats:
        """Currents of string `s` in the discharge rows of local day `day`."""
        d = day - int(self.first_day[0])
        return self.currents[s, int(self.load_offset[d]) : int(self.load_offset[d + 1])]

    @cached_property
    def transfers_s(self) -> Ints:
        """Instants at which the load went to the battery or left it [s]."""
        on_battery = self.mode == stepper.DISCHARGE
        instants: Ints = self.t_s[1:][on_battery[1:] != on_battery[:-1]]
        return instants

    def discharge_days(self, first_day: int, end_day: int) -> list[int]:
        """Local days in [first_day, end_day) with time on battery."""
        code = MODES.index("discharge")
        return [d for d in range(first_day, end_day) if (self.trace(d).mode == code).any()]


def initial_states(model: SystemModel, around: World, days: list[DayConstants]) -> Floats:
    """State of each string at the start, (string, 3 jar + 8): on float, in thermal balance.

    The last resistance reading is one taken a day before at the same conditions.
    """
    constants, jars = model.constants, model.system.jars_per_string
    work = stepper.scratch(jars)
    states = np.zeros((len(model.populations), _JAR_STATES * jars + stepper.STRING_STATES))
    room_c = float(around.room_slot_c[0, 0])
    decay = np.zeros(jars)
    for s, unit in enumerate(model.populations):
        state = states[s]
        state[:jars] = room_c + unit.rise_k
        book = _JAR_STATES * jars
        state[book + stepper.FULL] = 1.0
        state[book + stepper.LAST_END] = model.grid.start_s - 30 * SECONDS_PER_DAY
        state[book + stepper.MODE] = stepper.FLOAT
        cells = constants.cells
        for _ in range(20):
            control = float(state[jars // 2])
            cell_v = electrical.float_set_cell_v(control, model.location.temperature_compensated)
            current = electrical.float_voltages(
                cell_v * cells * jars,
                cells,
                constants.rated_ah[s],
                days[s].ln_i0[0],
                state[:jars],
                work.jar_v,
            )
            thermal.warm(
                state[:jars],
                room_c,
                unit.cabinet_rise_k,
                unit.thermal_k_per_w,
                decay,
                current * work.jar_v,
                work.work[1],
            )
        for j in range(jars):
            true = electrical.resistance_ohmic_mohm(
                unit.new_mohm[j], days[s].growth[0, j], state[j], 1.0
            )
            noise = rng.normal(constants.reading_key[s, j], model.grid.start_s - SECONDS_PER_DAY)
            noise = 1.0 + constants.reading_noise[s] * noise
            state[2 * jars + j] = np.floor(
                true * constants.reading_gain[s, j] * noise * 1000.0 + 0.5
            )
    return states


def slow_path(model: SystemModel, end_day: int | None = None) -> SlowPath:
    """Walk the system from the start of the run to local midnight of `end_day` (its end)."""
    grid = model.grid
    first, end = grid.first_day, end_day or grid.end_day
    around = _world_of(model, Block(first, min(end, first + _WORLD_DAYS)))
    strings, jars = len(model.populations), model.system.jars_per_string
    slow = [slow_days(model, s, first, end) for s in range(strings)]
    days = DayConstants(*(np.stack(a) for a in zip(*slow, strict=True)))
    states = np.empty((end - first + 1, strings, _JAR_STATES * jars + stepper.STRING_STATES))
    bus = np.empty((end - first + 1, stepper.BUS_STATES))
    states[0] = initial_states(model, around, slow)
    pilot = total(states[0][:, jars // 2].tolist()) / strings
    bus[0] = (pilot, stepper.NEVER, stepper.NEVER, 0.0)
    works = stepper.system_scratch(strings, jars)
    buffer = Trace(
        np.empty(stepper.MOST_ROWS, np.int64),
        np.empty(stepper.MOST_ROWS, np.int64),
        np.empty(stepper.MOST_ROWS, np.int64),
        np.empty(stepper.MOST_ROWS),
    )
    load_buffer = np.empty((strings, stepper.MOST_ROWS))
    rows, loads, traces, currents = [0], [0], [], []
    for index, day in enumerate(range(first, end)):
        if day == around.first_day + len(around.midnights_s):
            around = _world_of(model, Block(day, min(end, day + _WORLD_DAYS)))
        states[index + 1] = states[index]
        bus[index + 1] = bus[index]
        status, n_rows, n_loads = stepper.walk_day(
            model.constants,
            _day(days, index),
            inputs(model, around, day),
            states[index + 1],
            bus[index + 1],
            works,
            buffer,
            load_buffer,
        )
        if status != stepper.OK:
            raise _failed(model, status, n_rows, n_loads)
        rows.append(rows[-1] + n_rows)
        loads.append(loads[-1] + n_loads)
        traces.append([column[:n_rows].copy() for column in buffer])
        currents.append(load_buffer[:, :n_loads].copy())
    t_s, dt_s, mode, bus_v = (np.concatenate(c) for c in zip(*traces, strict=True))
    return SlowPath(
        np.array([first]),
        states,
        bus,
        np.array(rows),
        np.array(loads),
        t_s,
        dt_s,
        mode.astype(np.uint8),
        bus_v,
        np.concatenate(currents, axis=1),
    )


def _failed(model: SystemModel, status: int, where: int, instant_s: int) -> SimulationError:
    name = model.system.system_id
    if status == stepper.TOO_HOT:
        s, j = divmod(where, model.system.jars_per_string)
        jar = model.system.strings[s].jar_ids[j]
        limit = params.JAR_TEMPERATURE_LIMIT.value
        at = iso_instant(instant_s, model.grid.utc_offset_s)
        return SimulationError(
            f"{jar}: temperature_c above {limit:.1f} or not a number at {at} (thermal). Repeat "
            f"with: fleetgen generate ... --strings {model.system.strings[s].string_id} "
            "--executor serial"
        )
    return SimulationError(
        f"{name}: a day has more than {stepper.MOST_ROWS} rows of its physical grid; too many "
        "events in one day: lower outages_per_year"
    )


# --- pass 2 ---------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class BlockReplay:
    """One string over a block of days on its physical grid.

    `t_s` and `mode` are (row,); `replay` holds (jar, row) and (row,) values; `readings` are the
    resistance counts [uOhm] at each midnight, (midnight, jar), and change at `reading_offset_s`.
    `soh` is (midnight, jar).
    """

    block: Block
    t_s: Ints
    mode: NDArray[np.uint8]
    replay: Replay
    readings: Floats
    reading_offset_s: int
    soh: Floats
    growth: Floats
    end_state: Floats


def replay(model: SystemModel, path: SlowPath, s: int, around: World, block: Block) -> BlockReplay:
    """String `s` over `block`, from its checkpoint."""
    jars = model.system.jars_per_string
    first = int(path.first_day[0])
    rows = slice(path.day_rows(block.first_day).start, path.day_rows(block.end_day - 1).stop)
    count = rows.stop - rows.start
    out = Replay._make(
        [*(np.empty((jars, count)) for _ in range(3)), np.empty(count), np.empty(count)]
    )
    slow = slow_days(model, s, block.first_day, block.end_day)
    days = DayConstants(*(a[np.newaxis] for a in slow))
    constants = model.string_constants(s)
    work = stepper.scratch(jars)
    state = path.states[block.first_day - first, s].copy()
    readings = np.empty((block.days + 1, jars))
    readings[0] = state[2 * jars : 3 * jars]
    row = 0
    for index, day in enumerate(range(block.first_day, block.end_day)):
        trace = path.trace(day)
        where = day - around.first_day
        stepper.replay_day(
            constants,
            _day(days, index),
            0,
            around.room_slot_c[where],
            int(around.midnights_s[where]),
            trace,
            path.day_currents(s, day),
            state,
            work,
            row,
            out,
        )
        readings[index + 1] = state[2 * jars : 3 * jars]
        row += len(trace.t_s)
    return BlockReplay(
        block=block,
        t_s=path.t_s[rows],
        mode=path.mode[rows],
        replay=out,
        readings=readings,
        reading_offset_s=int(constants.reading_offset_s[0]),
        soh=slow.soh,
        growth=slow.growth,
        end_state=state,
    )


# --- the end --------------------------------------------------------------------------------------


def final_states(model: SystemModel, path: SlowPath, s: int) -> dict[str, dict[str, Any]]:
    """Truth of each jar of string `s` at the end of the run, keyed by battery id.

    Remaining life is found by running the ageing law on over the drawn weather of the next 20
    years; it is None where SOH stays above 0.80 for that long.
    """
    grid, unit = model.grid, model.populations[s]
    days = grid.duration_s / SECONDS_PER_DAY
    last_day, frac = grid.first_day + int(days), days - int(days)
    horizon = last_day + int(params.RUL_HORIZON.value * DAYS_PER_YEAR)
    slow = slow_days(model, s, last_day, last_day + 1)
    loss = losses(model, s, horizon)
    past = last_day - grid.first_day
    life = ageing.end_of_life_day(loss[past:], unit.soh_new) - frac
    worn_day = ageing.end_of_life_day(loss[: past + 2], unit.soh_new)
    before_end = path.t_s < grid.end_s
    modes = path.mode[before_end].astype(np.int64)
    on_battery = modes == stepper.DISCHARGE
    starts = int((on_battery & ~np.insert(on_battery[:-1], 0, False)).sum()) if len(modes) else 0
    seconds = np.minimum(path.dt_s, grid.end_s - path.t_s)[before_end][on_battery]
    amperes = path.currents[s][: len(seconds)]
    drawn_ah = total((amperes * seconds).tolist()) / 3600.0
    rated_ah = model.system.strings[s].model.rated_capacity_ah
    states: dict[str, dict[str, Any]] = {}
    for j, jar_id in enumerate(model.system.strings[s].jar_ids):
        soh = float(slow.soh[0, j] + frac * (slow.soh[1, j] - slow.soh[0, j]))
        growth = float(slow.growth[0, j] + frac * (slow.growth[1, j] - slow.growth[0, j]))
        worn = soh <= params.END_OF_LIFE_SOH.value
        profile = model.scenario.profiles[unit.profile[j]].name
        states[jar_id] = {
            "soh_pct": round(100 * soh, 3),
            "capacity_ah": round(rated_ah * soh, 3),
            "resistance_mohm": round(float(unit.new_mohm[j]) * growth, 3),
            "cycle_count": starts,
            "ah_throughput": round(drawn_ah, 3),
            "calendar_age_days": round(float(unit.age_days[j]) + days, 3),
            "rul_days": None if np.isnan(life[j]) else round(max(0.0, float(life[j])), 3),
            "failed": worn,
            "failure_date": _date(grid, worn_day[j]) if worn else None,
            "profile": profile,
            "degradation_profile": profile,
            "has_failed": worn,
        }
    return states


def _date(grid: TimeGrid, days: float) -> str:
    """Local day that lies `days` after the start."""
    return day_date(grid.first_day + int(days)).isoformat()
