"""The loop that couples the laws: one system over a day of its physical grid.

Two passes share it. `walk_day` advances all strings of a system, decides modes and writes the
**trace**: the rows of the grid with step, the mode of each string, and what drives the strings.
`replay_day` takes one string through the same rows from its checkpoint and keeps what there is to
sample. Both call `_evaluate` and `_advance`, so a replayed day ends bit for bit in the next day's
checkpoint.

The grid has a row at each local midnight and every 300 s on float; it is refined to 1, 5 and 10 s
in discharge (30 s in a capacity test) and to 60 s in recharge, whatever the sampling. Each day
closes with a row of zero length, and so does whatever ends in a step: nothing is interpolated
across an edge.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fleetgen import rng
from fleetgen.elementary import exponential
from fleetgen.jit import kernel
from fleetgen.model import electrical, params, thermal
from fleetgen.schema import JAR_RAW, STRING_RAW

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FLOAT, BOOST, EQUALIZE, DISCHARGE, IDLE = range(5)
"""Codes of `schema.MODES`; in the first three the charger holds the bus."""

SLOT_S = 300
RECHARGE_STEP_S = 60
DAY_S = 86_400
SLOTS = DAY_S // SLOT_S
MOST_ROWS = 30_000
"""Rows that one day can have at most: beyond it the walk stops with an error."""

STEPS_S = (300, 60, 30, 10, 5, 1)
"""Steps of which the decays of temperature lie ready."""

# Columns of a string's state: (3 x jar) temperature, removed charge, held reading; then these.
DEPLETING, DRAWN, FULL, LAST_END, REST, MODE = range(6)
STRING_STATES = 6

# Entries of the bus state: two, then three for each string.
CONTROL_C, BOOST_SINCE = range(2)
CUT_UNTIL, LOW_FOR_S, TESTED_UNTIL = range(2, 5)
BUS_STATES, BUS_STATES_PER_STRING = 2, 3
NEVER = -1.0

OK, TOO_MANY_ROWS, TEMPERATURE, VOLTAGE, CHARGE, CURRENT = range(6)
"""How a walk ends: well, in too many rows, or at a jar of which this is impossible."""

_FULL_SOC = params.FULL_SOC.value
_FINISHING_S = params.FINISHING_TIME.value
_EFFICIENCY = params.CHARGE_EFFICIENCY.value
_DEPLETION_S = params.DEPLETION_TIME.value
_CONTROL_S = params.CONTROL_TIME.value
_BOOST_SET = params.BOOST_SET.value
_BOOST_DEFICIT = params.BOOST_DEFICIT.value
_BOOST_END = params.BOOST_END.value
_BOOST_LIMIT_S = params.BOOST_LIMIT.value
_CELL_CUTOFF = params.STRING_CUTOFF.value
_JAR_CUTOFF_V = params.JAR_CUTOFF.value
_CUT_DELAY_S = params.CUTOFF_DELAY.value
_REST_S = params.RESISTANCE_REST.value
_CABLE_OHM = params.CABLE_RESISTANCE.value
_NEAR_CUTOFF_V = 0.25
_NEWTON_TURNS = 12
_COLDEST_C, _HOTTEST_C = JAR_RAW.valid("temperature_c")[0], params.JAR_TEMPERATURE_LIMIT.value
_LOWEST_V, _HIGHEST_V = JAR_RAW.valid("voltage_v")
_HIGHEST_A = STRING_RAW.valid("current_a")[1]
_CHARGE_LIMIT = params.CHARGE_LIMIT.value * (1.0 + 1e-6)
_TEST_RATE = params.TEST_RATE.value
_OPEN_JAR_V = params.OPEN_JAR_V.value
_TRIP_C = params.TRIP_TEMPERATURE.value
_TRIP_RISE_K = params.TRIP_RISE.value
_TRIP_RATE = params.TRIP_CURRENT.value
_TRIP_CLIMB_K = params.TRIP_CLIMB.value
_TRIP_DELAY_S = params.TRIP_DELAY.value
_TRIP_ROOM_S = params.TRIP_ROOM_TIME.value
_VISIT_SOONEST_H = params.VISIT_SOONEST.value
_VISIT_SPAN_H = params.VISIT_LATEST.value - params.VISIT_SOONEST.value
_VISIT_DRAWS = 2**41


class SystemConstants(NamedTuple):
    """What does not change in a run; arrays lead with (string,) and, where said, (string, jar).

    `new_mohm`, `dead_cell_s` and `open_s` are of the units, and overwritten when these change.
    """

    cells: float
    rated_ah: Floats
    family: Floats  # (string, 5)
    cabinet_rise_k: Floats  # (string, jar)
    new_mohm: Floats  # (string, jar)
    reading_offset_s: Ints
    reading_gain: Floats  # (string, jar)
    reading_noise: Floats  # (string,)
    reading_key: NDArray[np.uint64]  # (string, jar, 2)
    visit_key: NDArray[np.uint64]  # (string, 2)
    dead_cell_s: Ints  # (string, jar): instant of a hard short
    open_s: Ints  # (string, jar): from then on open under load


LN_I0, SOH, GROWTH, CELLS, LEAK, ACCEPTANCE = range(6)
"""Rows of `DayConstants.knots`, and of the work space where they are interpolated."""

JAR_V, MAIN_A, HEAT_W, DECAY, SPARE, OPEN_V, CHARGE_OHM, GAS_V = range(6, 14)
"""Further rows of a string's work space (14, jar)."""
WORK_ROWS = 14

HEAT, K_PER_W, J_PER_K = range(3)
"""Rows of `DayConstants.thermal`."""


class Turns(NamedTuple):
    """Changes of units in the midst of a day, each leading with (turn,).

    `at` (turn, 3) are string, jar and instant; the successor has `knots` (turn, 2, 6), `thermal`
    (turn, 3), `decay` (turn, step), its new resistance [mOhm] and instants of a dead cell and of
    its opening (turn, 2). `reading` (turn, 2) takes what was held before and read at installation
    [uOhm].
    """

    at: Ints
    knots: Floats
    thermal: Floats
    decay: Floats
    new_mohm: Floats
    terminal_s: Ints
    reading: Floats


NO_TURNS = Turns(
    np.zeros((0, 3), np.int64),
    np.zeros((0, 2, 6)),
    np.zeros((0, 3)),
    np.zeros((0, len(STEPS_S))),
    np.zeros(0),
    np.zeros((0, 2), np.int64),
    np.zeros((0, 2)),
)


class DayConstants(NamedTuple):
    """Slow quantities of a day.

    `knots` (6, string, 2, jar) at its two midnights, linear between them; heat [W], thermal
    resistance [K/W] and heat capacity [J/K] of the day in `thermal`, (3, string, jar); decays of
    temperature over each of `STEPS_S`, (string, step, jar). They are overwritten when units change.
    """

    knots: Floats
    thermal: Floats
    decay: Floats
    turns: Turns


OUTAGE, EQUALIZING, DEVIATION, TEST, OFF = range(5)
"""Kinds of events in `Inputs.events`: the load is on the battery, the charger equalises, the
charger deviates from its set-point, a string's capacity is tested, a string is off the bus."""

ALL_STRINGS = -1


class Inputs(NamedTuple):
    """What the outside does to a system in a day.

    `events` (event, 4) are kind, string or `ALL_STRINGS`, start and end [s]; `deviation_v` (event,)
    goes with them [V/cell]. A row must begin at each of `edge_s`; at those of `jump_s` something
    jumps without a change of mode.
    """

    midnight_s: int
    room_c: Floats  # (288,) slot means
    load_w: Floats  # (289,) slot edges
    regulation: Floats  # (289,) relative deviation of the set-point
    compensated: bool
    events: Ints
    deviation_v: Floats
    edge_s: Ints
    jump_s: Ints


class Trace(NamedTuple):
    """Rows of the grid: instant, step [s] (0 closes), the bus set-point in charge [V], and the mode
    of each string (string, row).
    """  # noqa: D205

    t_s: Ints
    dt_s: Ints
    bus_v: Floats
    mode: Ints


class Row(NamedTuple):
    """One row of a trace, as one string sees it."""

    t: int
    dt: int
    mode: int
    bus_v: float


class Replay(NamedTuple):
    """What there is to sample of one string: (jar, row) and (row,)."""

    jar_v: Floats
    jar_c: Floats
    jar_soc: Floats
    string_v: Floats
    current_a: Floats  # positive in charge


def scratch(jars: int) -> Floats:
    """Fresh work space for a string, (14, jar)."""
    return np.zeros((WORK_ROWS, jars))


@kernel
def seconds_to_visit(key: rng.Key, tripped_s: int) -> int:
    """Time for which a string that tripped at `tripped_s` is off [s]: 4 to 48 h."""
    hours = _VISIT_SOONEST_H + _VISIT_SPAN_H * rng.uniform(key, _VISIT_DRAWS + tripped_s)
    return int(hours * 3600.0)


@kernel
def _set_knot(day: DayConstants, which: int, s: int, frac: float, work: Floats) -> None:
    for j in range(work.shape[1]):
        low = day.knots[which, s, 0, j]
        work[which, j] = low + frac * (day.knots[which, s, 1, j] - low)


@kernel
def _set_float(
    constants: SystemConstants, day: DayConstants, s: int, t: int, frac: float, work: Floats
) -> None:
    _set_knot(day, LN_I0, s, frac, work)
    _set_knot(day, CELLS, s, frac, work)
    for j in range(work.shape[1]):
        if t >= constants.dead_cell_s[s, j]:
            work[CELLS, j] = constants.cells - 1.0


@kernel
def _set_age(day: DayConstants, s: int, frac: float, work: Floats) -> None:
    _set_knot(day, SOH, s, frac, work)
    _set_knot(day, GROWTH, s, frac, work)
    _set_knot(day, LEAK, s, frac, work)
    _set_knot(day, ACCEPTANCE, s, frac, work)


@kernel
def _fill(values: Floats, value: float) -> None:
    for i in range(values.size):  # compiles in a tenth of the time of a slice
        values[i] = value


@kernel
def _enter(state: Floats, jars: int, mode: int, t: int) -> None:
    """Keep the book of modes of one string."""
    before = state[3 * jars + MODE]
    if before == mode:
        return
    if mode == DISCHARGE:
        state[3 * jars + REST] = t - state[3 * jars + LAST_END]
        state[3 * jars + DRAWN] = 0.0
        state[3 * jars + FULL] = 0.0
    if before == DISCHARGE:
        state[3 * jars + LAST_END] = t
    state[3 * jars + MODE] = mode


@kernel
def _evaluate(
    constants: SystemConstants,
    s: int,
    state: Floats,
    row: Row,
    load_a: float,
    work: Floats,
) -> float:
    """Jar voltages of string `s` into `work[JAR_V]`; returns the current's magnitude [A]."""
    jars = work.shape[1]
    temperature_c = state[:jars]
    removed_ah = state[jars : 2 * jars]
    rated_ah = constants.rated_ah[s]
    if row.mode >= DISCHARGE:
        depleting = max(load_a, state[3 * jars + DEPLETING]) if row.mode == DISCHARGE else 0.0
        electrical.discharge_voltages(
            load_a,
            depleting,
            state[3 * jars + DRAWN],
            state[3 * jars + REST],
            work[CELLS],
            rated_ah,
            constants.family[s],
            removed_ah,
            work[SOH],
            work[GROWTH],
            temperature_c,
            work[JAR_V],
        )
        if row.mode == IDLE:
            for j in range(jars):
                if row.t >= constants.open_s[s, j]:
                    work[JAR_V, j] = _OPEN_JAR_V
        return load_a
    if state[3 * jars + FULL] > 0.0:
        return electrical.float_voltages(
            row.bus_v, work[CELLS], rated_ah, work[LN_I0], temperature_c, work[JAR_V]
        )
    return electrical.recharge_voltages(
        row.bus_v,
        work[CELLS],
        rated_ah,
        constants.family[s],
        work[LN_I0],
        removed_ah,
        work[LEAK],
        work[SOH],
        work[GROWTH],
        work[ACCEPTANCE],
        temperature_c,
        work[OPEN_V:],
        work[JAR_V],
        work[MAIN_A],
    )


@kernel
def _read_resistance(
    constants: SystemConstants, s: int, state: Floats, t: int, day: DayConstants, frac: float
) -> None:
    """Take the daily reading of each jar [uOhm] into the state."""
    for j in range(constants.new_mohm.shape[1]):
        _read_jar(constants, s, j, state, t, day, frac)


@kernel
def _read_jar(
    constants: SystemConstants,
    s: int,
    j: int,
    state: Floats,
    t: int,
    day: DayConstants,
    frac: float,
) -> None:
    """Take a reading of jar `j` [uOhm] into the state."""
    jars = constants.new_mohm.shape[1]
    growth = day.knots[GROWTH, s, 0, j]
    growth += frac * (day.knots[GROWTH, s, 1, j] - growth)
    soh = day.knots[SOH, s, 0, j]
    soh += frac * (day.knots[SOH, s, 1, j] - soh)
    soc = electrical.state_of_charge(state[jars + j], constants.rated_ah[s] * soh)
    true = electrical.resistance_ohmic_mohm(constants.new_mohm[s, j], growth, state[j], soc)
    noise = 1.0 + constants.reading_noise[s] * rng.normal(constants.reading_key[s, j], t)
    state[2 * jars + j] = np.floor(true * constants.reading_gain[s, j] * noise * 1000.0 + 0.5)


@kernel
def _renew(
    constants: SystemConstants,
    day: DayConstants,
    n: int,
    s: int,
    state: Floats,
    t: int,
    frac: float,
    room_c: float,
) -> None:
    """Put a new unit in its place: charged, as warm as the room, and read at once."""
    jars = constants.new_mohm.shape[1]
    turns = day.turns
    j = turns.at[n, 1]
    for which in range(6):
        day.knots[which, s, 0, j] = turns.knots[n, 0, which]
        day.knots[which, s, 1, j] = turns.knots[n, 1, which]
    for which in range(3):
        day.thermal[which, s, j] = turns.thermal[n, which]
    for step in range(day.decay.shape[1]):
        day.decay[s, step, j] = turns.decay[n, step]
    constants.new_mohm[s, j] = turns.new_mohm[n]
    constants.dead_cell_s[s, j] = turns.terminal_s[n, 0]
    constants.open_s[s, j] = turns.terminal_s[n, 1]
    turns.reading[n, 0] = state[2 * jars + j]
    state[j] = room_c
    state[jars + j] = 0.0
    _read_jar(constants, s, j, state, t, day, frac)
    turns.reading[n, 1] = state[2 * jars + j]


@kernel
def _discharged(
    constants: SystemConstants, s: int, state: Floats, row: Row, current_a: float, work: Floats
) -> None:
    """Take charge out of string `s` over a row; its heat goes into `work`."""
    jars = work.shape[1]
    hours = row.dt / 3600.0
    for j in range(jars):
        acid = electrical.acid_fraction(state[jars + j], constants.rated_ah[s] * work[SOH, j])
        open_v = work[CELLS, j] * electrical.open_circuit_cell_v(acid, state[j])
        work[HEAT_W, j] = thermal.discharge_heat_w(
            current_a, work[JAR_V, j], open_v, state[j], work[CELLS, j]
        )
        state[jars + j] += current_a * hours
    state[3 * jars + DRAWN] += current_a * hours


@kernel
def _floated(
    constants: SystemConstants,
    day: DayConstants,
    s: int,
    state: Floats,
    row: Row,
    frac: float,
    current_a: float,
    work: Floats,
) -> None:
    """Heat of a full string on float into `work`; what was left to charge returns.

    A soft short keeps its jar from ever being full.
    """
    jars = work.shape[1]
    finish = -1.0
    for j in range(jars):
        work[HEAT_W, j] = current_a * work[JAR_V, j]
        leak = day.knots[LEAK, s, 0, j]
        leak += frac * (day.knots[LEAK, s, 1, j] - leak)
        if state[jars + j] > 0.0 or leak > 0.0:
            if finish < 0.0:
                finish = exponential(-row.dt / _FINISHING_S)
            soh = day.knots[SOH, s, 0, j]
            soh += frac * (day.knots[SOH, s, 1, j] - soh)
            floor_ah = leak * constants.rated_ah[s] * soh
            state[jars + j] = floor_ah + (state[jars + j] - floor_ah) * finish
            if state[jars + j] < 1e-6:
                state[jars + j] = 0.0


@kernel
def _recharged(
    constants: SystemConstants, s: int, state: Floats, row: Row, current_a: float, work: Floats
) -> None:
    """Put charge into string `s` over a row.

    It is full once all its jars are above 99.9 % and gas: then float is the same law, without a
    step.
    """
    jars = work.shape[1]
    charge_ah = _EFFICIENCY * row.dt / 3600.0
    charged = True
    for j in range(jars):
        full_ah = constants.rated_ah[s] * work[SOH, j]
        open_v = work[CELLS, j] * work[OPEN_V, j]
        work[HEAT_W, j] = thermal.charge_heat_w(
            current_a, work[MAIN_A, j], work[JAR_V, j], open_v, state[j], work[CELLS, j]
        )
        floor_ah = work[LEAK, j] * full_ah
        # What a step would put beyond full is gassed.
        state[jars + j] = max(floor_ah, state[jars + j] - work[MAIN_A, j] * charge_ah)
        soc = electrical.state_of_charge(state[jars + j] - floor_ah, full_ah)
        charged = charged and soc > _FULL_SOC and work[MAIN_A, j] < current_a
    if charged:
        state[3 * jars + FULL] = 1.0


@kernel
def _set_decay(day: DayConstants, s: int, dt: int, work: Floats) -> None:
    """Decay of each jar's temperature over a step."""
    for n in range(6):
        if dt == STEPS_S[n]:
            for j in range(work.shape[1]):
                work[DECAY, j] = day.decay[s, n, j]
            return
    for j in range(work.shape[1]):
        time_s = day.thermal[K_PER_W, s, j] * day.thermal[J_PER_K, s, j]
        work[DECAY, j] = exponential(-dt / time_s)


@kernel
def _advance(
    constants: SystemConstants,
    day: DayConstants,
    s: int,
    state: Floats,
    row: Row,
    frac: float,
    current_a: float,
    room_c: float,
    midnight_s: int,
    work: Floats,
) -> None:
    """Advance string `s` over a row at the voltages in `work`."""
    jars = work.shape[1]
    book = 3 * jars
    if (
        row.t - midnight_s == constants.reading_offset_s[s]
        and row.mode < DISCHARGE
        and row.t - state[book + LAST_END] >= _REST_S
    ):
        _read_resistance(constants, s, state, row.t, day, frac)
    if row.mode == DISCHARGE:
        _discharged(constants, s, state, row, current_a, work)
    elif row.mode == IDLE:
        _fill(work[HEAT_W], 0.0)
    elif state[book + FULL] > 0.0:
        _floated(constants, day, s, state, row, frac, current_a, work)
    else:
        _recharged(constants, s, state, row, current_a, work)
    for j in range(jars):
        work[HEAT_W, j] += day.thermal[HEAT, s, j]
    depleting = max(state[book + DEPLETING], current_a if row.mode == DISCHARGE else 0.0)
    if depleting > 0.0:
        depleting *= exponential(-row.dt / _DEPLETION_S)
        state[book + DEPLETING] = depleting if depleting > 1e-3 else 0.0
    _set_decay(day, s, row.dt, work)
    thermal.warm(
        state[:jars],
        room_c,
        constants.cabinet_rise_k[s],
        day.thermal[K_PER_W, s],
        work[DECAY],
        work[HEAT_W],
        work[SPARE],
    )


@kernel
def _discharge_step_s(since_s: int, margin_v: float, long_s: int) -> int:
    """Step in discharge: 1 s in the first minute and near the cut-off, 5 s to ten minutes."""
    if since_s < 60 or margin_v < _NEAR_CUTOFF_V:
        return 1
    return 5 if since_s < 600 else long_s


@kernel
def _at(edges: Floats, offset_s: int) -> float:
    slot = min(offset_s // SLOT_S, SLOTS - 1)
    w = (offset_s - slot * SLOT_S) / SLOT_S
    return float(edges[slot] + w * (edges[slot + 1] - edges[slot]))


@kernel
def _under_way(t: int, kind: int, s: int, x: Inputs) -> int:
    """Index of an event of a kind at `t`, or -1."""
    for i in range(x.events.shape[0]):
        if x.events[i, 0] == kind and x.events[i, 1] == s and x.events[i, 2] <= t < x.events[i, 3]:
            return i
    return -1


@kernel
def _bus_mode(t: int, bus: Floats, x: Inputs) -> int:
    if _under_way(t, OUTAGE, ALL_STRINGS, x) >= 0:
        return DISCHARGE
    if bus[BOOST_SINCE] != NEVER:
        return BOOST
    if _under_way(t, EQUALIZING, ALL_STRINGS, x) >= 0:
        return EQUALIZE
    return FLOAT


@kernel
def _entry(s: int, which: int) -> int:
    """Place of an entry of string `s` in the bus state."""
    return which + BUS_STATES_PER_STRING * s


@kernel
def _string_mode(
    t: int, s: int, bus_mode: int, constants: SystemConstants, bus: Floats, x: Inputs
) -> int:
    """Mode of one string: that of the bus, unless it is cut off, open or under test."""
    if t < bus[_entry(s, CUT_UNTIL)] or _under_way(t, OFF, s, x) >= 0:
        return IDLE
    testing = t >= bus[_entry(s, TESTED_UNTIL)] and _under_way(t, TEST, s, x) >= 0
    if bus_mode == DISCHARGE or testing:
        for j in range(constants.open_s.shape[1]):
            if t >= constants.open_s[s, j]:
                return IDLE
        return DISCHARGE
    return bus_mode


@kernel
def _bus_v(
    t: int,
    dt: int,
    bus_mode: int,
    constants: SystemConstants,
    jars: int,
    bus: Floats,
    x: Inputs,
) -> float:
    """Set-point of the charger [V] in a row; 0 without it.

    A closing row (`dt` 0) stands before the edge: the deviation is the one that ends.
    """
    if bus_mode >= DISCHARGE:
        return 0.0
    cell_v = _BOOST_SET
    if bus_mode == FLOAT:
        cell_v = electrical.float_set_cell_v(bus[CONTROL_C], x.compensated)
        at = t if dt > 0 else t - 1
        for i in range(x.events.shape[0]):
            if x.events[i, 0] == DEVIATION and x.events[i, 2] <= at < x.events[i, 3]:
                cell_v += x.deviation_v[i]
    return float(cell_v * constants.cells * jars * (1.0 + _at(x.regulation, t - x.midnight_s)))


@kernel
def _deficit(constants: SystemConstants, states: Floats) -> float:
    """Largest mean removed charge of a string over C10."""
    jars = constants.new_mohm.shape[1]
    largest = 0.0
    for s in range(states.shape[0]):
        total = 0.0
        for j in range(jars):
            total += states[s, jars + j]
        largest = max(largest, total / jars / constants.rated_ah[s])
    return largest


@kernel
def _loaded_v(
    constants: SystemConstants, s: int, state: Floats, t: int, current_a: float, work: Floats
) -> float:
    """Voltage of string `s` at its terminals on the bus when it carries `current_a`."""
    _evaluate(constants, s, state, Row(t, 0, int(DISCHARGE), 0.0), current_a, work)
    total = -_CABLE_OHM * current_a
    for j in range(work.shape[1]):
        total += work[JAR_V, j]
    return total


@kernel
def share_load(
    constants: SystemConstants,
    states: Floats,
    t: int,
    power_w: float,
    modes: Ints,
    load_a: Floats,
    works: Floats,
) -> bool:
    """Currents of discharging strings that carry `power_w`, into `load_a`; False if they cannot.

    Newton's method on the strings' voltages with their secant slopes, damped after a few rounds:
    near the knee a string's voltage falls much faster with its current than its resistance says.
    """
    strings = load_a.size
    active = np.empty(strings, np.int64)
    n = 0
    for s in range(strings):
        if modes[s] == DISCHARGE:
            active[n] = s
            n += 1
        else:
            load_a[s] = 0.0
    if n == 0:
        return True
    source_v = np.empty(n)
    slope_ohm = np.empty(n)
    found_a = np.empty(n)
    for turn in range(_NEWTON_TURNS):
        for i in range(n):
            s = active[i]
            work = works[s]
            more = 1.02 * load_a[s] + 0.01
            v = _loaded_v(constants, s, states[s], t, load_a[s], work)
            v_more = _loaded_v(constants, s, states[s], t, more, work)
            slope_ohm[i] = (v - v_more) / (more - load_a[s])
            source_v[i] = v + load_a[s] * slope_ohm[i]
        if electrical.shared_currents(power_w, source_v, slope_ohm, found_a) == 0.0:
            return False
        share = 1.0 if turn < 4 else 0.5
        change = 0.0
        for i in range(n):
            s = active[i]
            step = share * (found_a[i] - load_a[s])
            load_a[s] += step
            change = max(change, abs(step) / constants.rated_ah[s])
        if change < 1e-6:
            break
    return True


@kernel
def _set_all(
    constants: SystemConstants,
    day: DayConstants,
    states: Floats,
    t: int,
    frac: float,
    modes: Ints,
    works: Floats,
) -> bool:
    """Slow quantities at `frac` of the day into the works; whether no string is recharging."""
    book = 3 * works.shape[2]
    full = True
    for s in range(states.shape[0]):
        work = works[s]
        _set_float(constants, day, s, t, frac, work)
        if modes[s] >= DISCHARGE:
            _set_age(day, s, frac, work)
        elif states[s, book + FULL] == 0.0:
            _set_age(day, s, frac, work)
            full = False
    return full


@kernel
def _advance_all(
    constants: SystemConstants,
    day: DayConstants,
    x: Inputs,
    states: Floats,
    t: int,
    dt: int,
    bus_v: float,
    modes: Ints,
    load_a: Floats,
    works: Floats,
    bus: Floats,
    reached: Floats,
) -> int:
    """Advance all strings over a row; returns OK, or 1 + the index of an impossible jar.

    `reached` takes the pilot jars' mean temperature, the largest charging current over C10, the
    margin of the lowest voltage in discharge over its cut-off [V per jar], and what is impossible.
    """
    strings = states.shape[0]
    jars = works.shape[2]
    reached[0] = 0.0
    reached[1] = 0.0
    reached[2] = 1e9
    offset = t - x.midnight_s
    room_c = x.room_c[min(offset // SLOT_S, SLOTS - 1)]
    for s in range(strings):
        state = states[s]
        work = works[s]
        row = Row(t, dt, modes[s], bus_v)
        given = load_a[s] if modes[s] == DISCHARGE else 0.0
        current_a = _evaluate(constants, s, state, row, given, work)
        most_a = _HIGHEST_A
        most_ah = 0.0
        if modes[s] < DISCHARGE:
            reached[1] = max(reached[1], current_a / constants.rated_ah[s])
            most_a = _CHARGE_LIMIT * constants.rated_ah[s]
        elif modes[s] == DISCHARGE:
            most_ah = constants.family[s, 0] * constants.rated_ah[s]
            margin = _margin_v(constants, work)
            reached[2] = min(reached[2], margin)
            _watch(s, t, dt, margin, bus, x)
        _advance(
            constants, day, s, state, row, offset / DAY_S, current_a, room_c, x.midnight_s, work
        )
        reached[0] += state[jars // 2] / strings
        wrong = _impossible(state, work, current_a, most_a, most_ah, reached)
        if wrong != OK:
            return int(s * jars + wrong)
        for j in range(jars):
            if state[j] > _TRIP_C and modes[s] < DISCHARGE:
                visit_s = seconds_to_visit(constants.visit_key[s], t + dt)
                bus[_entry(s, CUT_UNTIL)] = t + dt + visit_s
    return OK


@kernel
def _impossible(
    state: Floats, work: Floats, current_a: float, most_a: float, most_ah: float, reached: Floats
) -> int:
    """1 + the first jar of a string of which no law allows what it is after a row; OK if none.

    `most_ah` bounds the charge removed over capacity. What it is goes into `reached[3]`. No
    comparison holds for NaN.
    """
    jars = work.shape[1]
    temperature_c, removed_ah, jar_v = state[:jars], state[jars : 2 * jars], work[JAR_V]
    fine = 0.0 <= current_a <= most_a
    for j in range(jars):  # the usual case, without a branch
        fine &= (temperature_c[j] >= _COLDEST_C) & (temperature_c[j] < _HOTTEST_C)
        fine &= (jar_v[j] >= _LOWEST_V) & (jar_v[j] <= _HIGHEST_V) & (removed_ah[j] >= 0.0)
    if fine and most_ah == 0.0:
        return OK
    for j in range(jars):
        charge = removed_ah[j] >= 0.0
        if most_ah > 0.0:
            most = most_ah * work[SOH, j] * electrical.capacity_at_temperature(temperature_c[j])
            charge = charge and removed_ah[j] <= most
        which = OK
        if not _COLDEST_C <= temperature_c[j] < _HOTTEST_C:
            which = TEMPERATURE
        elif not _LOWEST_V <= jar_v[j] <= _HIGHEST_V:
            which = VOLTAGE
        elif not charge:
            which = CHARGE
        elif not 0.0 <= current_a <= most_a:
            which = CURRENT
        if which != OK:
            reached[3] = which
            work[SPARE, j] = current_a
            return j + 1
    return OK


@kernel
def _margin_v(constants: SystemConstants, work: Floats) -> float:
    """Margin of a string's lowest voltage over its cut-off [V per jar]."""
    jars = work.shape[1]
    total = 0.0
    margin = 1e9
    for j in range(jars):
        total += work[JAR_V, j]
        margin = min(margin, work[JAR_V, j] - _JAR_CUTOFF_V)
    return float(min(margin, total / jars - _CELL_CUTOFF * constants.cells))


@kernel
def _watch(s: int, t: int, dt: int, margin_v: float, bus: Floats, x: Inputs) -> None:
    """Cut a string off, or end its test, when it has been below its cut-off for ten seconds."""
    low = _entry(s, LOW_FOR_S)
    bus[low] = bus[low] + dt if margin_v <= 0.0 else 0.0
    if bus[low] < _CUT_DELAY_S:
        return
    bus[low] = 0.0
    outage = _under_way(t, OUTAGE, ALL_STRINGS, x)
    if outage >= 0:
        bus[_entry(s, CUT_UNTIL)] = x.events[outage, 3]
    else:
        bus[_entry(s, TESTED_UNTIL)] = x.events[_under_way(t, TEST, s, x), 3]


@kernel
def _give_up_tests(t: int, bus: Floats, x: Inputs) -> None:
    """End the capacity tests that an outage interrupts: their strings carry the load."""
    for i in range(x.events.shape[0]):
        if x.events[i, 0] == TEST and x.events[i, 2] <= t < x.events[i, 3]:
            bus[_entry(x.events[i, 1], TESTED_UNTIL)] = x.events[i, 3]


@kernel
def _row_end(
    t: int, since: int, bus_mode: int, loaded: bool, full: bool, margin_v: float, x: Inputs
) -> int:
    """Where the row of the grid that begins at `t` ends [s]."""
    offset = t - x.midnight_s
    limit = x.midnight_s + (offset // SLOT_S + 1) * SLOT_S
    for edge in x.edge_s:
        if t < edge < limit:
            limit = edge
    if loaded:
        long_s = 10 if bus_mode == DISCHARGE else 30
        return min(limit, t + _discharge_step_s(t - since, margin_v, long_s))
    if not full:
        return min(limit, x.midnight_s + (offset // RECHARGE_STEP_S + 1) * RECHARGE_STEP_S)
    return limit


@kernel
def _is_one_of(t: int, times: Ints) -> bool:
    for each in times:  # noqa: SIM110 (compiled)
        if each == t:
            return True
    return False


@kernel
def _settle(t: int, dt: int, bus_mode: int, reached: Floats, bus: Floats) -> None:
    """Keep the bus's books after a row: control temperature, end of boost."""
    bus[CONTROL_C] += (reached[0] - bus[CONTROL_C]) * (1.0 - exponential(-dt / _CONTROL_S))
    if bus_mode == BOOST:
        spent = t + dt - bus[BOOST_SINCE] >= _BOOST_LIMIT_S
        if reached[1] < _BOOST_END or spent:
            bus[BOOST_SINCE] = NEVER


@kernel
def _set_modes(
    t: int, bus_mode: int, constants: SystemConstants, bus: Floats, x: Inputs, modes: Ints
) -> None:
    for s in range(modes.size):
        modes[s] = _string_mode(t, s, bus_mode, constants, bus, x)


@kernel
def _record(
    trace: Trace,
    rows: int,
    t: int,
    dt: int,
    bus_v: float,
    modes: Ints,
    load_a: Floats,
    currents: Floats,
    loads: Ints,
) -> None:
    """Write a row, and the currents of the strings that discharge."""
    trace.t_s[rows] = t
    trace.dt_s[rows] = dt
    trace.bus_v[rows] = bus_v
    for s in range(modes.size):
        trace.mode[s, rows] = modes[s]
        if modes[s] == DISCHARGE:
            currents[s, loads[s]] = load_a[s]
            loads[s] += 1


@kernel
def walk_day(  # noqa: C901, PLR0915 (one loop, one page)
    constants: SystemConstants,
    day: DayConstants,
    x: Inputs,
    states: Floats,
    bus: Floats,
    works: Floats,
    trace: Trace,
    currents: Floats,
    loads: Ints,
) -> tuple[int, int, int]:
    """Advance a whole system by one day; returns (status, rows, instant).

    `states` (string, 3 jar + 6) and `bus` (2 + 3 string,) are advanced in place; the trace and the
    discharge currents (string, row), of which `loads` counts those of each string, are filled from
    their start. When something of a jar is impossible, that is the status, and in place of the rows
    stands the jar's index over all strings.
    """
    strings = states.shape[0]
    jars = works.shape[2]
    book = 3 * jars
    t = x.midnight_s
    rows = 0
    load_a = np.zeros(strings)
    reached = np.zeros(4)
    reached[2] = 1e9
    before = np.empty(strings, np.int64)
    modes = np.empty(strings, np.int64)
    for s in range(strings):
        before[s] = int(states[s, book + MODE])
        loads[s] = 0
    bus_before = _bus_mode(t - 1, bus, x)
    entered = t - 1  # when the modes began, if on this day
    since = t - 3600  # a discharge from the day before goes on at the long step
    while rows + 2 < trace.t_s.size:
        offset = t - x.midnight_s
        bus_mode = _bus_mode(t, bus, x)
        _set_modes(t, bus_mode, constants, bus, x, modes)
        returned = False
        changed = bus_mode != bus_before
        for s in range(strings):
            # Straight from its load, or after it was cut off.
            drained = states[s, book + FULL] == 0.0 and before[s] >= DISCHARGE
            returned = returned or (drained and modes[s] < DISCHARGE)
            changed = changed or before[s] != modes[s]
        if returned and bus_mode != DISCHARGE:
            bus[BOOST_SINCE] = t if _deficit(constants, states) > _BOOST_DEFICIT else NEVER
            bus_mode = _bus_mode(t, bus, x)
            _set_modes(t, bus_mode, constants, bus, x, modes)
        begun = offset > 0 or entered == t
        if offset == DAY_S or ((changed or _is_one_of(t, x.jump_s)) and begun):
            last_v = _bus_v(t, 0, bus_before, constants, jars, bus, x)
            _record(trace, rows, t, 0, last_v, before, load_a, currents, loads)
            rows += 1
            if offset == DAY_S:
                return OK, rows, t
        loaded = False
        for s in range(strings):
            loaded = loaded or modes[s] == DISCHARGE
            if modes[s] == DISCHARGE and (before[s] != DISCHARGE or offset == 0):
                load_a[s] = _at(x.load_w, offset) / strings / (2.0 * constants.cells * jars)
                if before[s] != DISCHARGE:
                    since = t
                    reached[2] = 1e9
                    bus[_entry(s, LOW_FOR_S)] = 0.0
            if bus_mode != DISCHARGE:
                load_a[s] = _TEST_RATE * constants.rated_ah[s] if modes[s] == DISCHARGE else 0.0
            _enter(states[s], jars, modes[s], t)
        if changed:
            if bus_mode == DISCHARGE:
                bus[BOOST_SINCE] = NEVER
            for s in range(strings):
                before[s] = modes[s]
            bus_before = bus_mode
            entered = t
        for n in range(day.turns.new_mohm.size):
            if day.turns.at[n, 2] == t:
                s = day.turns.at[n, 0]
                room_c = x.room_c[min(offset // SLOT_S, SLOTS - 1)]
                _renew(constants, day, n, s, states[s], t, offset / DAY_S, room_c)
        full = _set_all(constants, day, states, t, offset / DAY_S, modes, works)
        power_w = _at(x.load_w, offset)
        if bus_mode == DISCHARGE:
            _give_up_tests(t, bus, x)
        if bus_mode == DISCHARGE and not share_load(
            constants, states, t, power_w, modes, load_a, works
        ):
            for s in range(strings):
                bus[_entry(s, CUT_UNTIL)] = x.events[_under_way(t, OUTAGE, ALL_STRINGS, x), 3]
            _fill(load_a, 0.0)
            continue
        dt = _row_end(t, since, bus_mode, loaded, full, reached[2], x) - t
        bus_v = _bus_v(t, dt, bus_mode, constants, jars, bus, x)
        _record(trace, rows, t, dt, bus_v, modes, load_a, currents, loads)
        rows += 1
        where = _advance_all(
            constants, day, x, states, t, dt, bus_v, modes, load_a, works, bus, reached
        )
        if where != OK:
            return int(reached[3]), where - 1, t
        _settle(t, dt, bus_mode, reached, bus)
        t += dt
    return TOO_MANY_ROWS, rows, t


@kernel
def replay_day(
    constants: SystemConstants,
    day: DayConstants,
    s: int,
    room_c: Floats,
    midnight_s: int,
    trace: Trace,
    currents: Floats,
    state: Floats,
    work: Floats,
    first_row: int,
    out: Replay,
) -> None:
    """Take string `s` through the rows of one day's trace from its checkpoint `state`.

    `trace.mode` has the string's own modes alone, (1, row); `currents` are its currents in
    discharge rows, (discharge row,). Rows of `out` are filled from `first_row` on; `state` ends as
    the next day's checkpoint.
    """
    jars = work.shape[1]
    loads = 0
    for r in range(trace.t_s.size):
        row = Row(trace.t_s[r], trace.dt_s[r], trace.mode[0, r], trace.bus_v[r])
        _enter(state, jars, row.mode, row.t)
        offset = row.t - midnight_s
        frac = offset / DAY_S
        for n in range(day.turns.new_mohm.size):
            if day.turns.at[n, 2] == row.t and row.dt > 0:
                room = room_c[min(offset // SLOT_S, SLOTS - 1)]
                _renew(constants, day, n, s, state, row.t, frac, room)
        # A closing row stands before the edge: what dies at it still lives.
        _set_float(constants, day, s, row.t if row.dt > 0 else row.t - 1, frac, work)
        _set_age(day, s, frac, work)
        load_a = 0.0
        if row.mode == DISCHARGE:
            load_a = currents[loads]
            loads += 1
        current_a = _evaluate(constants, s, state, row, load_a, work)
        k = first_row + r
        total = 0.0
        for j in range(jars):
            out.jar_v[j, k] = work[JAR_V, j]
            out.jar_c[j, k] = state[j]
            out.jar_soc[j, k] = electrical.state_of_charge(
                state[jars + j], constants.rated_ah[s] * work[SOH, j]
            )
            total += work[JAR_V, j]
        out.string_v[k] = total
        out.current_a[k] = -current_a if row.mode == DISCHARGE else current_a
        if row.dt > 0:
            room = room_c[min(offset // SLOT_S, SLOTS - 1)]
            _advance(constants, day, s, state, row, frac, current_a, room, midnight_s, work)


@kernel
def float_day(
    constants: SystemConstants,
    day: DayConstants,
    s: int,
    x: Inputs,
    state: Floats,
    books: Floats,
    work: Floats,
) -> int:
    """Advance string `s` alone through a day of float; returns when its protection trips, or -1.

    C&D: not more than 10 K over the room (low-passed over 6 h) with more than 3 mA/Ah, for half an
    hour, and still climbing; never above 50 degC. `books` (4,) keeps the control temperature, the
    room's low pass, how long the limit was passed [s] and the low pass of the hottest jar.
    """
    jars = work.shape[1]
    for slot in range(SLOTS):
        offset = slot * SLOT_S
        t = x.midnight_s + offset
        frac = offset / DAY_S
        _set_float(constants, day, s, t, frac, work)
        bus = books[:1]
        bus_v = _bus_v(t, SLOT_S, int(FLOAT), constants, jars, bus, x)
        row = Row(t, SLOT_S, int(FLOAT), bus_v)
        current_a = _evaluate(constants, s, state, row, 0.0, work)
        room_c = x.room_c[slot]
        _advance(constants, day, s, state, row, frac, current_a, room_c, -1, work)
        books[0] += (state[jars // 2] - books[0]) * (1.0 - exponential(-SLOT_S / _CONTROL_S))
        books[1] += (room_c - books[1]) * (1.0 - exponential(-SLOT_S / _TRIP_ROOM_S))
        hottest = state[0]
        for j in range(jars):
            hottest = max(hottest, state[j])
        books[3] += (hottest - books[3]) * (1.0 - exponential(-SLOT_S / _TRIP_ROOM_S))
        over = (
            hottest - books[1] > _TRIP_RISE_K
            and hottest - books[3] > _TRIP_CLIMB_K
            and current_a > _TRIP_RATE * constants.rated_ah[s]
        )
        books[2] = books[2] + SLOT_S if over else 0.0
        if books[2] >= _TRIP_DELAY_S or hottest > _TRIP_C:
            return int(t + SLOT_S)
    return -1
