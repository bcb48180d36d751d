"""The loop that couples the laws: one system over a day of its physical grid.

Two passes share it. `walk_day` advances all strings of a system, decides modes and writes the
**trace**: the rows of the grid with mode, step and what drives the strings. `replay_day` takes one
string through the same rows from its checkpoint and keeps what there is to sample. Both call
`_evaluate` and `_advance`, so a replayed day ends bit for bit in the next day's checkpoint.

The grid has a row at each local midnight and every 300 s on float; it is refined to 1, 5 and 10 s
in discharge and to 60 s in recharge, whatever the sampling. Each day closes with a row of zero
length, and so does each mode before a change: nothing is interpolated across an edge.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fleetgen import rng
from fleetgen.elementary import exponential
from fleetgen.jit import kernel
from fleetgen.model import electrical, params, thermal

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

# Columns of a string's state: (3 x jar) temperature, removed charge, held reading; then these.
DEPLETING, DRAWN, THROUGHPUT, CYCLES, FULL, LAST_END, REST, MODE = range(8)
STRING_STATES = 8

# Entries of the bus state.
CONTROL_C, BOOST_SINCE, CUT_UNTIL, LOW_FOR_S = range(4)
BUS_STATES = 4
NEVER = -1.0

OK, TOO_HOT, TOO_MANY_ROWS = range(3)

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
_JAR_CUTOFF_CELL = params.JAR_CUTOFF.value / 6.0
_CUT_DELAY_S = params.CUTOFF_DELAY.value
_REST_S = params.RESISTANCE_REST.value
_CABLE_OHM = params.CABLE_RESISTANCE.value
_NEAR_CUTOFF_V = 0.25
_NEWTON_TURNS = 12
_HOTTEST_C = params.JAR_TEMPERATURE_LIMIT.value


class SystemConstants(NamedTuple):
    """What does not change in a run; arrays lead with (string,) and, where said, (string, jar)."""

    cells: float
    rated_ah: Floats
    family: Floats  # (string, 5)
    cabinet_rise_k: Floats  # (string, jar)
    thermal_k_per_w: Floats  # (string, jar)
    time_constant_s: Floats  # (string, jar)
    slot_decay: Floats  # (string, jar): exp(-300 s / RC)
    recharge_decay: Floats  # (string, jar): exp(-60 s / RC)
    new_mohm: Floats  # (string, jar)
    reading_offset_s: Ints
    reading_gain: Floats  # (string, jar)
    reading_noise: Floats  # (string,)
    reading_key: NDArray[np.uint64]  # (string, jar, 2)


class DayConstants(NamedTuple):
    """Slow quantities at the two midnights of a day, (string, 2, jar), linear between them."""

    ln_i0: Floats
    soh: Floats
    growth: Floats


class Inputs(NamedTuple):
    """What the outside does to a system in a day."""

    midnight_s: int
    room_c: Floats  # (288,) slot means
    load_w: Floats  # (289,) slot edges
    regulation: Floats  # (289,) relative deviation of the set-point
    compensated: bool
    discharge_start_s: Ints
    discharge_end_s: Ints
    equalize_start_s: Ints
    equalize_end_s: Ints


class Scratch(NamedTuple):
    """Work space of one string."""

    jar_v: Floats
    main_a: Floats
    heat_w: Floats
    ln_i0: Floats
    soh: Floats
    growth: Floats
    decay: Floats
    work: Floats  # (3, jar)


class SystemScratch(NamedTuple):
    """`Scratch` of each string of a system, with a leading axis (string,)."""

    jar_v: Floats
    main_a: Floats
    heat_w: Floats
    ln_i0: Floats
    soh: Floats
    growth: Floats
    decay: Floats
    work: Floats


class Trace(NamedTuple):
    """Rows of the grid: instant, step [s] (0 closes), mode, and the bus set-point in charge [V]."""

    t_s: Ints
    dt_s: Ints
    mode: Ints
    bus_v: Floats


class Row(NamedTuple):
    """One row of a trace."""

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


def scratch(jars: int) -> Scratch:
    """Fresh work space for a string of `jars`."""
    return Scratch._make([*(np.zeros(jars) for _ in range(7)), np.zeros((3, jars))])


def system_scratch(strings: int, jars: int) -> SystemScratch:
    """Fresh work space for a system."""
    flat = [np.zeros((strings, jars)) for _ in range(7)]
    return SystemScratch._make([*flat, np.zeros((strings, 3, jars))])


@kernel
def _of(works: SystemScratch, s: int) -> Scratch:
    return Scratch(
        works.jar_v[s],
        works.main_a[s],
        works.heat_w[s],
        works.ln_i0[s],
        works.soh[s],
        works.growth[s],
        works.decay[s],
        works.work[s],
    )


@kernel
def _set_float(day: DayConstants, s: int, frac: float, work: Scratch) -> None:
    for j in range(work.ln_i0.size):
        work.ln_i0[j] = day.ln_i0[s, 0, j] + frac * (day.ln_i0[s, 1, j] - day.ln_i0[s, 0, j])


@kernel
def _set_age(day: DayConstants, s: int, frac: float, work: Scratch) -> None:
    for j in range(work.ln_i0.size):
        work.soh[j] = day.soh[s, 0, j] + frac * (day.soh[s, 1, j] - day.soh[s, 0, j])
        work.growth[j] = day.growth[s, 0, j] + frac * (day.growth[s, 1, j] - day.growth[s, 0, j])


@kernel
def _fill(values: Floats, value: float) -> None:
    for i in range(values.size):  # compiles in a tenth of the time of a slice
        values[i] = value


@kernel
def _copy(values: Floats, table: Floats, column: int) -> None:
    for i in range(values.size):
        table[i, column] = values[i]


@kernel
def _enter(state: Floats, jars: int, mode: int, t: int) -> None:
    """Keep the book of modes of one string."""
    before = state[3 * jars + MODE]
    if before == mode:
        return
    if mode == DISCHARGE:
        state[3 * jars + REST] = t - state[3 * jars + LAST_END]
        state[3 * jars + DRAWN] = 0.0
        state[3 * jars + CYCLES] += 1.0
        state[3 * jars + FULL] = 0.0
    if before == DISCHARGE:
        state[3 * jars + LAST_END] = t
    state[3 * jars + MODE] = mode


@kernel
def _evaluate(
    constants: SystemConstants,
    s: int,
    state: Floats,
    mode: int,
    bus_v: float,
    load_a: float,
    work: Scratch,
) -> float:
    """Jar voltages of string `s` into `work.jar_v`; returns the current's magnitude [A]."""
    jars = work.jar_v.size
    temperature_c = state[:jars]
    removed_ah = state[jars : 2 * jars]
    rated_ah = constants.rated_ah[s]
    if mode >= DISCHARGE:
        depleting = max(load_a, state[3 * jars + DEPLETING]) if mode == DISCHARGE else 0.0
        electrical.discharge_voltages(
            load_a,
            depleting,
            state[3 * jars + DRAWN],
            state[3 * jars + REST],
            constants.cells,
            rated_ah,
            constants.family[s],
            removed_ah,
            work.soh,
            work.growth,
            temperature_c,
            work.jar_v,
        )
        return load_a
    if state[3 * jars + FULL] > 0.0:
        return electrical.float_voltages(
            bus_v, constants.cells, rated_ah, work.ln_i0, temperature_c, work.jar_v
        )
    return electrical.recharge_voltages(
        bus_v,
        constants.cells,
        rated_ah,
        constants.family[s],
        work.ln_i0,
        removed_ah,
        work.soh,
        work.growth,
        temperature_c,
        work.work,
        work.jar_v,
        work.main_a,
    )


@kernel
def _read_resistance(
    constants: SystemConstants, s: int, state: Floats, t: int, day: DayConstants, frac: float
) -> None:
    """Take the daily reading of each jar [uOhm] into the state."""
    jars = constants.new_mohm.shape[1]
    for j in range(jars):
        growth = day.growth[s, 0, j] + frac * (day.growth[s, 1, j] - day.growth[s, 0, j])
        soh = day.soh[s, 0, j] + frac * (day.soh[s, 1, j] - day.soh[s, 0, j])
        soc = electrical.state_of_charge(state[jars + j], constants.rated_ah[s] * soh)
        true = electrical.resistance_ohmic_mohm(constants.new_mohm[s, j], growth, state[j], soc)
        noise = 1.0 + constants.reading_noise[s] * rng.normal(constants.reading_key[s, j], t)
        state[2 * jars + j] = np.floor(true * constants.reading_gain[s, j] * noise * 1000.0 + 0.5)


@kernel
def _discharged(
    constants: SystemConstants, s: int, state: Floats, row: Row, current_a: float, work: Scratch
) -> None:
    """Take charge out of string `s` over a row; its heat goes into `work`."""
    jars = work.jar_v.size
    hours = row.dt / 3600.0
    for j in range(jars):
        acid = electrical.acid_fraction(state[jars + j], constants.rated_ah[s] * work.soh[j])
        open_v = constants.cells * electrical.open_circuit_cell_v(acid, state[j])
        work.heat_w[j] = thermal.discharge_heat_w(
            current_a, work.jar_v[j], open_v, state[j], constants.cells
        )
        state[jars + j] += current_a * hours
    state[3 * jars + DRAWN] += current_a * hours
    state[3 * jars + THROUGHPUT] += current_a * hours


@kernel
def _floated(state: Floats, row: Row, current_a: float, work: Scratch) -> None:
    """Heat of a full string on float into `work`; what was left to charge returns."""
    jars = work.jar_v.size
    finish = -1.0
    for j in range(jars):
        work.heat_w[j] = current_a * work.jar_v[j]
        if state[jars + j] > 0.0:
            if finish < 0.0:
                finish = exponential(-row.dt / _FINISHING_S)
            state[jars + j] *= finish
            if state[jars + j] < 1e-6:
                state[jars + j] = 0.0


@kernel
def _recharged(
    constants: SystemConstants, s: int, state: Floats, row: Row, current_a: float, work: Scratch
) -> None:
    """Put charge into string `s` over a row.

    It is full once all its jars are above 99.9 % and gas: then float is the same law, without a
    step.
    """
    jars = work.jar_v.size
    charge_ah = _EFFICIENCY * row.dt / 3600.0
    charged = True
    for j in range(jars):
        open_v = constants.cells * work.work[0, j]
        work.heat_w[j] = thermal.charge_heat_w(
            current_a, work.main_a[j], work.jar_v[j], open_v, state[j], constants.cells
        )
        state[jars + j] = max(0.0, state[jars + j] - work.main_a[j] * charge_ah)
        soc = electrical.state_of_charge(state[jars + j], constants.rated_ah[s] * work.soh[j])
        charged = charged and soc > _FULL_SOC and work.main_a[j] < current_a
    if charged:
        state[3 * jars + FULL] = 1.0


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
    work: Scratch,
) -> None:
    """Advance string `s` over a row at the voltages in `work`."""
    jars = work.jar_v.size
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
        _fill(work.heat_w, 0.0)
    elif state[book + FULL] > 0.0:
        _floated(state, row, current_a, work)
    else:
        _recharged(constants, s, state, row, current_a, work)
    depleting = max(state[book + DEPLETING], current_a if row.mode == DISCHARGE else 0.0)
    if depleting > 0.0:
        depleting *= exponential(-row.dt / _DEPLETION_S)
        state[book + DEPLETING] = depleting if depleting > 1e-3 else 0.0
    if row.dt == SLOT_S:
        decay = constants.slot_decay[s]
    elif row.dt == RECHARGE_STEP_S:
        decay = constants.recharge_decay[s]
    else:
        decay = work.decay
        for j in range(jars):
            decay[j] = exponential(-row.dt / constants.time_constant_s[s, j])
    thermal.warm(
        state[:jars],
        room_c,
        constants.cabinet_rise_k[s],
        constants.thermal_k_per_w[s],
        decay,
        work.heat_w,
        work.work[1],
    )


@kernel
def _discharge_step_s(since_s: int, margin_v: float) -> int:
    """Step in discharge: 1 s in the first minute and near the cut-off, 5 s to ten minutes, 10 s."""
    if since_s < 60 or margin_v < _NEAR_CUTOFF_V:
        return 1
    return 5 if since_s < 600 else 10


@kernel
def _next_edge(t: int, times: Ints, limit: int) -> int:
    for edge in times:
        if t < edge < limit:
            limit = edge
    return limit


@kernel
def _at(edges: Floats, offset_s: int) -> float:
    slot = min(offset_s // SLOT_S, SLOTS - 1)
    w = (offset_s - slot * SLOT_S) / SLOT_S
    return float(edges[slot] + w * (edges[slot + 1] - edges[slot]))


@kernel
def _outage(t: int, x: Inputs) -> int:
    """Index of the event that puts the load on the battery at `t`, or -1."""
    for i in range(x.discharge_start_s.size):
        if x.discharge_start_s[i] <= t < x.discharge_end_s[i]:
            return i
    return -1


@kernel
def _mode_at(t: int, bus: Floats, x: Inputs) -> int:
    if _outage(t, x) >= 0:
        return IDLE if t < bus[CUT_UNTIL] else DISCHARGE
    if bus[BOOST_SINCE] != NEVER:
        return BOOST
    for i in range(x.equalize_start_s.size):
        if x.equalize_start_s[i] <= t < x.equalize_end_s[i]:
            return EQUALIZE
    return FLOAT


@kernel
def _bus_v(mode: int, offset: int, constants: SystemConstants, bus: Floats, x: Inputs) -> float:
    """Set-point of the charger [V]; 0 in modes without it."""
    if mode >= DISCHARGE:
        return 0.0
    cell_v = _BOOST_SET
    if mode == FLOAT:
        cell_v = electrical.float_set_cell_v(bus[CONTROL_C], x.compensated)
    jars = constants.new_mohm.shape[1]
    return float(cell_v * constants.cells * jars * (1.0 + _at(x.regulation, offset)))


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
    constants: SystemConstants, s: int, state: Floats, current_a: float, work: Scratch
) -> float:
    """Voltage of string `s` at its terminals on the bus when it carries `current_a`."""
    _evaluate(constants, s, state, int(DISCHARGE), 0.0, current_a, work)
    total = -_CABLE_OHM * current_a
    for j in range(work.jar_v.size):
        total += work.jar_v[j]
    return total


@kernel
def _share_load(
    constants: SystemConstants,
    states: Floats,
    power_w: float,
    load_a: Floats,
    works: SystemScratch,
) -> bool:
    """Currents of the strings that carry `power_w`, into `load_a`; False when they cannot.

    Newton's method on the strings' voltages with their secant slopes, damped after a few rounds:
    near the knee a string's voltage falls much faster with its current than its resistance says.
    """
    strings = load_a.size
    source_v = np.empty(strings)
    slope_ohm = np.empty(strings)
    found_a = np.empty(strings)
    for turn in range(_NEWTON_TURNS):
        for s in range(strings):
            work = _of(works, s)
            more = 1.02 * load_a[s] + 0.01
            v = _loaded_v(constants, s, states[s], load_a[s], work)
            v_more = _loaded_v(constants, s, states[s], more, work)
            slope_ohm[s] = (v - v_more) / (more - load_a[s])
            source_v[s] = v + load_a[s] * slope_ohm[s]
        if electrical.shared_currents(power_w, source_v, slope_ohm, found_a) == 0.0:
            return False
        share = 1.0 if turn < 4 else 0.5
        change = 0.0
        for s in range(strings):
            step = share * (found_a[s] - load_a[s])
            load_a[s] += step
            change = max(change, abs(step) / constants.rated_ah[s])
        if change < 1e-6:
            break
    return True


@kernel
def _set_all(
    day: DayConstants, states: Floats, frac: float, mode: int, works: SystemScratch
) -> bool:
    """Slow quantities at `frac` of the day into the works; whether all strings are full."""
    book = 3 * works.jar_v.shape[1]
    full = mode < DISCHARGE
    for s in range(states.shape[0]):
        work = _of(works, s)
        _set_float(day, s, frac, work)
        if states[s, book + FULL] == 0.0 or mode >= DISCHARGE:
            _set_age(day, s, frac, work)
            full = False
    return full


@kernel
def _advance_all(
    constants: SystemConstants,
    day: DayConstants,
    x: Inputs,
    states: Floats,
    row: Row,
    load_a: Floats,
    works: SystemScratch,
    reached: Floats,
) -> int:
    """Advance all strings over a row; returns OK, or 1 + the index of a jar that is too hot.

    `reached` takes the pilot jars' mean temperature, the largest current over C10 and the margin
    of the lowest voltage over its cut-off [V per jar].
    """
    strings = states.shape[0]
    jars = works.jar_v.shape[1]
    reached[0] = 0.0
    reached[1] = 0.0
    reached[2] = 1e9
    offset = row.t - x.midnight_s
    room_c = x.room_c[min(offset // SLOT_S, SLOTS - 1)]
    for s in range(strings):
        state = states[s]
        work = _of(works, s)
        given = load_a[s] if row.mode == DISCHARGE else 0.0
        current_a = _evaluate(constants, s, state, row.mode, row.bus_v, given, work)
        reached[1] = max(reached[1], current_a / constants.rated_ah[s])
        total = 0.0
        for j in range(jars):
            total += work.jar_v[j]
            reached[2] = min(reached[2], work.jar_v[j] - _JAR_CUTOFF_CELL * constants.cells)
        reached[2] = min(reached[2], total / jars - _CELL_CUTOFF * constants.cells)
        _advance(
            constants, day, s, state, row, offset / DAY_S, current_a, room_c, x.midnight_s, work
        )
        reached[0] += state[jars // 2] / strings
        for j in range(jars):
            if not state[j] < _HOTTEST_C:
                return int(1 + s * jars + j)
    return OK


@kernel
def _row_end(t: int, since: int, mode: int, full: bool, margin_v: float, x: Inputs) -> int:
    """Where the row of the grid that begins at `t` ends [s]."""
    offset = t - x.midnight_s
    limit = x.midnight_s + (offset // SLOT_S + 1) * SLOT_S
    limit = _next_edge(t, x.discharge_start_s, limit)
    limit = _next_edge(t, x.discharge_end_s, limit)
    limit = _next_edge(t, x.equalize_start_s, limit)
    limit = _next_edge(t, x.equalize_end_s, limit)
    if mode == DISCHARGE:
        return min(limit, t + _discharge_step_s(t - since, margin_v))
    if mode != IDLE and not full:
        return min(limit, x.midnight_s + (offset // RECHARGE_STEP_S + 1) * RECHARGE_STEP_S)
    return limit


@kernel
def _settle(mode: int, row: Row, reached: Floats, bus: Floats, x: Inputs) -> None:
    """Keep the bus's books after a row: control temperature, cut-off, end of boost."""
    bus[CONTROL_C] += (reached[0] - bus[CONTROL_C]) * (1.0 - exponential(-row.dt / _CONTROL_S))
    if mode == DISCHARGE:
        bus[LOW_FOR_S] = bus[LOW_FOR_S] + row.dt if reached[2] <= 0.0 else 0.0
        if bus[LOW_FOR_S] >= _CUT_DELAY_S:
            bus[CUT_UNTIL] = x.discharge_end_s[_outage(row.t, x)]
    elif mode == BOOST:
        spent = row.t + row.dt - bus[BOOST_SINCE] >= _BOOST_LIMIT_S
        if reached[1] < _BOOST_END or spent:
            bus[BOOST_SINCE] = NEVER


@kernel
def _record(trace: Trace, rows: int, row: Row) -> None:
    trace.t_s[rows] = row.t
    trace.dt_s[rows] = row.dt
    trace.mode[rows] = row.mode
    trace.bus_v[rows] = row.bus_v


@kernel
def walk_day(  # noqa: C901, PLR0915 (one loop, one page)
    constants: SystemConstants,
    day: DayConstants,
    x: Inputs,
    states: Floats,
    bus: Floats,
    works: SystemScratch,
    trace: Trace,
    currents: Floats,
) -> tuple[int, int, int]:
    """Advance a whole system by one day; returns (status, rows, discharge rows).

    `states` (string, 3 jar + 8) and `bus` (4,) are advanced in place; the trace and the discharge
    currents (string, row) are filled from their start. When a jar is too hot the status is
    TOO_HOT, with the jar's index (over all strings) and the instant.
    """
    strings = states.shape[0]
    jars = works.jar_v.shape[1]
    book = 3 * jars
    t = x.midnight_s
    rows = 0
    loads = 0
    load_a = np.zeros(strings)
    reached = np.zeros(3)
    reached[2] = 1e9
    before = int(states[0, book + MODE])
    entered = t - 1  # when the mode began, if on this day
    since = t - 3600  # a discharge from the day before goes on at the long step
    while rows + 2 < trace.t_s.size:
        offset = t - x.midnight_s
        mode = before if offset == DAY_S else _mode_at(t, bus, x)
        if mode < DISCHARGE <= before:
            bus[BOOST_SINCE] = t if _deficit(constants, states) > _BOOST_DEFICIT else NEVER
            mode = _mode_at(t, bus, x)
        begun = offset > 0 or entered == t
        if offset == DAY_S or (mode != before and begun):  # close what ends here
            _record(trace, rows, Row(t, 0, before, _bus_v(before, offset, constants, bus, x)))
            rows += 1
            if before == DISCHARGE:
                _copy(load_a, currents, loads)
                loads += 1
            if offset == DAY_S:
                return OK, rows, loads
        if mode == DISCHARGE and (mode != before or offset == 0):
            _fill(load_a, _at(x.load_w, offset) / strings / (2.0 * constants.cells * jars))
        if mode != before:
            if mode == DISCHARGE:
                since = t
                bus[LOW_FOR_S] = 0.0
                bus[BOOST_SINCE] = NEVER
            for s in range(strings):
                _enter(states[s], jars, mode, t)
            before = mode
            entered = t
        full = _set_all(day, states, offset / DAY_S, mode, works)
        if mode == DISCHARGE and not _share_load(
            constants, states, _at(x.load_w, offset), load_a, works
        ):
            bus[CUT_UNTIL] = x.discharge_end_s[_outage(t, x)]
            _fill(load_a, 0.0)
            continue
        dt = _row_end(t, since, mode, full, reached[2], x) - t
        row = Row(t, dt, mode, _bus_v(mode, offset, constants, bus, x))
        _record(trace, rows, row)
        rows += 1
        if mode == DISCHARGE:
            _copy(load_a, currents, loads)
            loads += 1
        hot = _advance_all(constants, day, x, states, row, load_a, works, reached)
        if hot != OK:
            return TOO_HOT, hot - 1, t
        _settle(mode, row, reached, bus, x)
        t += dt
    return TOO_MANY_ROWS, rows, loads


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
    work: Scratch,
    first_row: int,
    out: Replay,
) -> None:
    """Take string `s` through the rows of one day's trace from its checkpoint `state`.

    `currents` are the string's own in discharge rows, (discharge row,). Rows of `out` are filled
    from `first_row` on; `state` ends as the next day's checkpoint.
    """
    jars = work.jar_v.size
    loads = 0
    for r in range(trace.t_s.size):
        row = Row(trace.t_s[r], trace.dt_s[r], trace.mode[r], trace.bus_v[r])
        _enter(state, jars, row.mode, row.t)
        offset = row.t - midnight_s
        frac = offset / DAY_S
        _set_float(day, s, frac, work)
        _set_age(day, s, frac, work)
        load_a = 0.0
        if row.mode == DISCHARGE:
            load_a = currents[loads]
            loads += 1
        current_a = _evaluate(constants, s, state, row.mode, row.bus_v, load_a, work)
        k = first_row + r
        total = 0.0
        for j in range(jars):
            out.jar_v[j, k] = work.jar_v[j]
            out.jar_c[j, k] = state[j]
            out.jar_soc[j, k] = electrical.state_of_charge(
                state[jars + j], constants.rated_ah[s] * work.soh[j]
            )
            total += work.jar_v[j]
        out.string_v[k] = total
        out.current_a[k] = -current_a if row.mode == DISCHARGE else current_a
        if row.dt > 0:
            room = room_c[min(offset // SLOT_S, SLOTS - 1)]
            _advance(constants, day, s, state, row, frac, current_a, room, midnight_s, work)
