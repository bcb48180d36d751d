"""The two passes over a system: its slow path with checkpoints, and any block of it again.

Pure: from a seed, a location, a system and a clock to arrays. `slow_path` walks the whole system
once and keeps its trace and a checkpoint of every string at every midnight; `replay` takes one
string through any block of days from there, and ends bit for bit in the next checkpoint.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleetgen import life, limits, rng, system
from fleetgen.crew import Swap
from fleetgen.elementary import total
from fleetgen.errors import SimulationError
from fleetgen.life import Lives
from fleetgen.maintenance import Evening, Upkeep
from fleetgen.measure import READINGS, Capacity
from fleetgen.model import electrical, stepper, thermal
from fleetgen.model.stepper import Replay, Trace
from fleetgen.spec import Block
from fleetgen.system import ServiceDays, SlowDays, SystemModel
from fleetgen.units import SECONDS_PER_DAY
from fleetgen.world import World, world

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_JAR_STATES = 3
_WORLD_DAYS = 32
"""Days of weather that the slow path holds at a time."""


@dataclass(frozen=True, eq=False)
class SlowPath:
    """Trace and checkpoints of a system, plain arrays.

    `states` (midnight, string, 3 jar + 6) and `bus` (midnight, 2 + 3 string) from the first
    midnight of the run to the last. Trace rows of day d are [row_offset[d], row_offset[d + 1]);
    `mode` is (string, row). The discharge currents of string s on day d are
    `currents[load_offset[s, d] : load_offset[s, d + 1]]`.

    `swap` (swap, 7) are the new units as `crew.Swap`, the last perhaps after the end. `end_days`,
    `by_mode`, `failure` and `onset_days` are the lives (see `life.Lives`) of all units: those of
    the start, string by string, then those of the swaps. `test` (test, 4) has string, start, end
    [s] and how it stands (`maintenance.Test`), `test_jar` (test, jar, 5) what `measure.Capacity`
    has; `round` (round, 2) string and start, `round_jar` (round, jar, 4) the readings of impedance
    rounds.
    """

    first_day: Ints
    states: Floats
    bus: Floats
    row_offset: Ints
    load_offset: Ints
    t_s: Ints
    dt_s: Ints
    bus_v: Floats
    mode: NDArray[np.uint8]
    currents: Floats
    swap: Ints
    end_days: Floats
    by_mode: NDArray[np.uint8]
    failure: Ints
    onset_days: Floats
    test: Ints
    test_jar: Ints
    round: Ints
    round_jar: Ints

    @property
    def swaps(self) -> tuple[Swap, ...]:
        """New units, in the order in which they went into service."""
        return tuple(Swap(*row) for row in self.swap.tolist())

    def unit_index(self, s: int, j: int, number: int) -> int:
        """Place of the `number`th unit of a position among the lives."""
        strings, jars = self.states.shape[1], self.states.shape[2] - stepper.STRING_STATES
        jars //= _JAR_STATES
        if number == 1:
            return int(s * jars + j)
        at = np.flatnonzero((self.swap[:, [0, 1, 6]] == (s, j, number)).all(axis=1))
        return int(strings * jars + at[0])

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

    def trace(self, s: int, day: int) -> Trace:
        """Trace of string `s` on local day `day`."""
        rows = self.day_rows(day)
        mode = self.mode[s : s + 1, rows].astype(np.int64)
        return Trace(self.t_s[rows], self.dt_s[rows], self.bus_v[rows], mode)

    def day_currents(self, s: int, day: int) -> Floats:
        """Currents of string `s` in its discharge rows of local day `day`."""
        d = day - int(self.first_day[0])
        return self.currents[int(self.load_offset[s, d]) : int(self.load_offset[s, d + 1])]

    def all_currents(self, s: int) -> Floats:
        """Currents of string `s` in all its discharge rows."""
        return self.currents[int(self.load_offset[s, 0]) : int(self.load_offset[s, -1])]

    def transfers_s(self, s: int, tested_s: Ints) -> Ints:
        """Instants at which the load went to string `s` or left it [s].

        Capacity tests, which begin at `tested_s`, do not transfer the load.
        """
        on_battery = self.mode[s] == stepper.DISCHARGE
        before = np.insert(on_battery[:-1], 0, False)
        edge = np.flatnonzero(on_battery != before)
        instants: Ints = self.t_s[edge]
        if not tested_s.size:
            return instants
        begins = on_battery[edge]
        of_test = np.isin(instants, tested_s) & begins
        # What ends a test is the first end after its beginning.
        for i in np.flatnonzero(of_test):
            later = np.flatnonzero(~begins[i:])
            if later.size:
                of_test[i + later[0]] = True
        transfers: Ints = instants[~of_test]
        return transfers

    def discharge_days(self, s: int, first_day: int, end_day: int) -> list[int]:
        """Local days in [first_day, end_day) with time on battery."""
        return [d for d in range(first_day, end_day) if len(self.day_currents(s, d))]


def initial_states(model: SystemModel, around: World, days: list[SlowDays]) -> Floats:
    """State of each string at the start, (string, 3 jar + 6): on float, in thermal balance.

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
        cells = days[s].cells[0]
        alive = total(cells.tolist())
        removed = days[s].leak[0] * constants.rated_ah[s] * days[s].soh[0]
        state[jars : 2 * jars] = removed
        for _ in range(20):
            control = float(state[jars // 2])
            cell_v = electrical.float_set_cell_v(control, model.location.temperature_compensated)
            current = electrical.float_voltages(
                cell_v * constants.cells * jars if alive else 0.0,
                cells,
                constants.rated_ah[s],
                days[s].ln_i0[0],
                state[:jars],
                work[stepper.JAR_V],
            )
            thermal.warm(
                state[:jars],
                room_c,
                unit.cabinet_rise_k,
                days[s].thermal_k_per_w[0],
                decay,
                current * work[stepper.JAR_V] + days[s].heat_w[0],
                work[stepper.SPARE],
            )
        for j in range(jars):
            soc = electrical.state_of_charge(removed[j], constants.rated_ah[s] * days[s].soh[0, j])
            true = electrical.resistance_ohmic_mohm(
                unit.new_mohm[j], days[s].growth[0, j], state[j], soc
            )
            noise = rng.normal(constants.reading_key[s, j], model.grid.start_s - SECONDS_PER_DAY)
            noise = 1.0 + constants.reading_noise[s] * noise
            state[2 * jars + j] = np.floor(
                true * constants.reading_gain[s, j] * noise * 1000.0 + 0.5
            )
    return states


class _Walk:
    """What a walk has left behind so far: lists that grow by day."""

    def __init__(self, model: SystemModel, first: int, end: int) -> None:
        strings, jars = len(model.populations), model.system.jars_per_string
        self.first = first
        self.states = np.empty(
            (end - first + 1, strings, _JAR_STATES * jars + stepper.STRING_STATES)
        )
        self.bus = np.zeros(
            (end - first + 1, stepper.BUS_STATES + stepper.BUS_STATES_PER_STRING * strings)
        )
        self.traces: list[tuple[Ints, Ints, Floats, NDArray[np.uint8]]] = []
        self.currents: list[list[Floats]] = [[] for _ in range(strings)]

    def take(self, buffer: Trace, rows: int, load_buffer: Floats, loads: Ints) -> None:
        """Keep the trace of a day."""
        self.traces.append(
            (
                buffer.t_s[:rows].copy(),
                buffer.dt_s[:rows].copy(),
                buffer.bus_v[:rows].copy(),
                buffer.mode[:, :rows].astype(np.uint8),
            )
        )
        for s, days in enumerate(self.currents):
            days.append(load_buffer[s, : loads[s]].copy())

    def path(self, first: int, end: int, **more: NDArray[Any]) -> SlowPath:
        """The path over local days [first, end), all of them walked."""
        days = slice(first - self.first, end - self.first)
        traces, currents = self.traces[days], [each[days] for each in self.currents]
        t_s, dt_s, bus_v, mode = zip(*traces, strict=True)
        ends = np.cumsum([len(day) for each in currents for day in each])
        ends = ends.reshape(len(currents), -1)
        begins = np.concatenate([[0], ends[:-1, -1]])
        none = np.zeros((0, 0), np.int64)
        nothing = {name: none for name in ("swap", "failure", "test", "test_jar", "round")}
        nothing |= {"round_jar": none, "by_mode": none.astype(np.uint8)}
        return SlowPath(
            first_day=np.array([first]),
            states=self.states[days.start : days.stop + 1],
            bus=self.bus[days.start : days.stop + 1],
            row_offset=np.cumsum([0, *(len(t) for t in t_s)]),
            load_offset=np.concatenate([begins[:, np.newaxis], ends], axis=1),
            t_s=np.concatenate(t_s),
            dt_s=np.concatenate(dt_s),
            bus_v=np.concatenate(bus_v),
            mode=np.concatenate(mode, axis=1),
            currents=np.concatenate([day for each in currents for day in each]),
            **{**nothing, "end_days": np.zeros(0), "onset_days": np.zeros(0), **more},
        )


def slow_path(model: SystemModel, end_day: int | None = None) -> SlowPath:  # noqa: C901, PLR0915
    """Walk the system from the start of the run to local midnight of `end_day` (its end)."""
    grid = model.grid
    first, end = grid.first_day, end_day or grid.end_day
    around = _world(model, Block(first, min(end, first + _WORLD_DAYS)))
    strings, jars = len(model.populations), model.system.jars_per_string
    slow = [system.slow_days(model, s, first, end) for s in range(strings)]
    days = SlowDays(*(np.stack(a) for a in zip(*slow, strict=True)))
    limits.check_days(model, days)
    lives = [life.lives(model, s) for s in range(strings)]
    services = [
        ServiceDays(
            grid.start_s, tuple(system.services(model, s, ())), SlowDays(*(a[s] for a in days))
        )
        for s in range(strings)
    ]
    constants = model.constants._replace(
        **{name: getattr(model.constants, name).copy() for name in _OF_UNITS}
    )
    heat = system.heat_j_per_k(model)
    walk = _Walk(model, first, end)
    states, bus = walk.states, walk.bus
    states[0] = initial_states(model, around, slow)
    bus[0, stepper.CONTROL_C] = total(states[0][:, jars // 2].tolist()) / strings
    bus[0, stepper.BOOST_SINCE] = stepper.NEVER
    upkeep = Upkeep(model, states[0])
    later: list[tuple[Lives, int]] = []
    works = np.zeros((strings, stepper.WORK_ROWS, jars))
    most = stepper.MOST_ROWS
    buffer = Trace(
        np.empty(most, np.int64),
        np.empty(most, np.int64),
        np.empty(most),
        np.empty((strings, most), np.int64),
    )
    load_buffer, loads = np.empty((strings, most)), np.zeros(strings, np.int64)

    def played(s: int, begin: int, until: int) -> tuple[Ints, Replay, ServiceDays]:
        block = Block(begin, until)
        part = walk.path(begin, until, swap=_table(upkeep.swaps, len(Swap._fields)))
        again = replay(model, part, s, _world(model, block), block)
        return again.t_s, again.replay, again.service

    def modes(s: int, since_s: int) -> Iterator[tuple[int, int, int]]:
        first_walked = max(0, (since_s - grid.start_s) // SECONDS_PER_DAY)
        for t_s, dt_s, _, mode in walk.traces[first_walked:]:
            rows = slice(int(np.searchsorted(t_s, since_s)), None)
            yield from zip(
                t_s[rows].tolist(), dt_s[rows].tolist(), mode[s, rows].tolist(), strict=True
            )

    for index, day in enumerate(range(first, end)):
        if day == around.first_day + len(around.midnights_s):
            around = _world(model, Block(day, min(end, day + _WORLD_DAYS)))
        for s in sorted({w.string for w in upkeep.begin(day)}):
            count = len(services[s].services)
            for service in system.services(model, s, upkeep.swaps)[count:]:
                services[s] = system.taken_over(model, s, services[s], service)
                new = life.lives(model, s, service)
                later += [(new, j) for j in service.jars]
            for all_days, mine in zip(days, services[s].days, strict=True):
                all_days[s] = mine
            limits.check_days(model, days)
        midnight_s = grid.midnight_s(day)
        turns = [turn for each in services for turn in each.turns_on(midnight_s)]
        states[index + 1] = states[index]
        bus[index + 1] = bus[index]
        status, n_rows, instant_s = stepper.walk_day(
            constants,
            system.day_constants(days, heat, index, turns),
            system.inputs(
                model,
                around,
                day,
                model.timeline,
                system.offline(model, upkeep.planned),
                constants,
                [turn.at_s for turn in turns],
            ),
            states[index + 1],
            bus[index + 1],
            works,
            buffer,
            load_buffer,
            loads,
        )
        if status == stepper.TOO_MANY_ROWS:
            raise SimulationError(
                f"{model.system.system_id}: a day has more than {stepper.MOST_ROWS} rows of its "
                "physical grid; too many events in one day: lower outages_per_year"
            )
        if status != stepper.OK:
            raise limits.of_walk(model, status, n_rows, instant_s, states[index + 1], works)
        walk.take(buffer, n_rows, load_buffer, loads)
        last = n_rows - 1
        upkeep.end(
            day,
            states[index],
            Evening(
                midnight_s + SECONDS_PER_DAY,
                states[index + 1],
                bus[index + 1],
                float(buffer.bus_v[last]),
                buffer.mode[:, last].copy(),
            ),
            bus[index],
            constants,
            services,
            played,
            modes,
        )
    tests = upkeep.tests(grid.midnight_s(end))
    of_units = [(each, j) for each in lives for j in range(jars)] + later
    none = np.zeros((jars, len(Capacity._fields)), np.int64)
    return walk.path(
        first,
        end,
        swap=_table(upkeep.begun(grid.midnight_s(end)), len(Swap._fields)),
        end_days=np.array([each.end_days[j] for each, j in of_units]),
        by_mode=np.array([each.by_mode[j] for each, j in of_units], np.uint8),
        failure=np.array([each.mode[j] for each, j in of_units], np.int64),
        onset_days=np.array([each.onset_days[j] for each, j in of_units]),
        test=_table([t[:4] for t in tests], 4),
        test_jar=np.array(
            [none if t.capacity is None else np.stack(t.capacity, axis=1) for t in tests],
            np.int64,
        ).reshape(-1, *none.shape),
        round=_table([each[:2] for each in upkeep.rounds], 2),
        round_jar=np.array([each[2] for each in upkeep.rounds], np.int64).reshape(
            -1, jars, READINGS + 1
        ),
    )


_OF_UNITS = ("new_mohm", "dead_cell_s", "open_s")
"""Constants that a change of units overwrites."""


def _table(rows: Sequence[Sequence[int]], columns: int) -> Ints:
    return np.array(rows, np.int64).reshape(-1, columns)


def _world(model: SystemModel, block: Block) -> World:
    return world(model.seed, model.location, model.grid, block, model.scenario)


@dataclass(frozen=True, eq=False)
class BlockReplay:
    """One string over a block of days on its physical grid.

    `t_s` and `mode` are (row,); `replay` holds (jar, row) and (row,) values; `readings` are the
    resistance counts [uOhm] at each midnight, (midnight, jar), and change at `reading_offset_s`;
    `turn_readings` (turn, 2) those before and after each of the `service`'s changes of units.
    """

    block: Block
    t_s: Ints
    mode: NDArray[np.uint8]
    replay: Replay
    readings: Floats
    reading_offset_s: int
    service: ServiceDays
    turn_readings: Floats
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
    service = system.service_days(model, s, block.first_day, block.end_day, path.swaps)
    days = SlowDays._make(a[np.newaxis] for a in service.days)
    heat = system.heat_j_per_k(model)[s : s + 1]
    constants = system.constants_of(model, s, service.crew_at(service.start_s))
    work = stepper.scratch(jars)
    state = path.states[block.first_day - first, s].copy()
    readings = np.empty((block.days + 1, jars))
    readings[0] = state[2 * jars : 3 * jars]
    turn_readings = [np.zeros((0, 2))]
    row = 0
    for index, day in enumerate(range(block.first_day, block.end_day)):
        trace = path.trace(s, day)
        where = day - around.first_day
        midnight_s = int(around.midnights_s[where])
        turns = [turn._replace(string=0) for turn in service.turns_on(midnight_s)]
        constants_of_day = system.day_constants(days, heat, index, turns)
        stepper.replay_day(
            constants,
            constants_of_day,
            0,
            around.room_slot_c[where],
            midnight_s,
            trace,
            path.day_currents(s, day),
            state,
            work,
            row,
            out,
        )
        turn_readings.append(constants_of_day.turns.reading)
        readings[index + 1] = state[2 * jars : 3 * jars]
        row += len(trace.t_s)
    return BlockReplay(
        block=block,
        t_s=path.t_s[rows],
        mode=path.mode[s, rows],
        replay=out,
        readings=readings,
        reading_offset_s=int(constants.reading_offset_s[0]),
        service=service,
        turn_readings=np.concatenate(turn_readings),
        end_state=state,
    )
