"""Load every kernel, or compile it on the first run of a version, by a short run of a small string.

The kernels fall into two halves, the physics and the sampling. The first time, another process
compiles the sampling meanwhile (see `compiler`).
"""

from __future__ import annotations

from datetime import date

import numpy as np
from numpy.typing import NDArray

from fleetgen import compiler, digest, measure, sample, simulate, truth
from fleetgen.derive import features, rul
from fleetgen.derive.conditions import Gates, rules_of
from fleetgen.elementary import cosine_of_half_turns
from fleetgen.io import csv
from fleetgen.model import electrical, faults, sensors, stepper
from fleetgen.model.failures import SHORT, Failures, effects
from fleetgen.model.stepper import DayConstants, Inputs, Replay, SystemConstants, Trace
from fleetgen.sample import BlockClock, Tally
from fleetgen.schema import ENV, JAR_RAW
from fleetgen.simulate import BlockReplay
from fleetgen.spec import (
    ALERT_RULES,
    DEFAULT_SCENARIO,
    BatteryModel,
    BatteryString,
    BatterySystem,
    Block,
    Climate,
    Constant,
    Injection,
    Instants,
    Location,
    RowGroup,
    Scenario,
    TimeGrid,
)
from fleetgen.system import SystemModel, service_days, system_model
from fleetgen.world import World, world

Floats = NDArray[np.float64]

_UNIT = BatteryModel(
    "M", "", "B", 100.0, 12.0, 6, 30.0, 10.0, 13.5, 13.8, 14.1, 14.4, 35.0, 45.0, 50.0
)
_CLIMATE = Climate(
    "C", (20.0,) * 12, (25.0,) * 12, (30.0,) * 12, (70.0,) * 12, (9.0,) * 12, 1.0, 1.0
)
_PLACE = Location(
    "W", "", "", "", 0, 0, date(2020, 1, 1), _CLIMATE, 3, 30, True, True, ("W-REC-01-S1",)
)
_STRING = BatteryString("W-REC-01-S1", _UNIT, ("W-REC-01-S1-J01", "W-REC-01-S1-J02"))
_SYSTEM = BatterySystem("W-REC-01", "REC", (_STRING,))
_GRID = TimeGrid(date(2025, 1, 1), 2 * 3600, 60, 0, "UTC")
_BLOCK = Block(_GRID.first_day, _GRID.end_day)


def load() -> None:
    """Load all kernels into this process."""
    if compiler.COLD:
        with compiler.beside(compiler.SAMPLING):
            physics()
    else:
        physics()
    sampling()
    rare()
    compiler.keep()


def _model() -> tuple[SystemModel, World]:
    model = system_model(0, _PLACE, _SYSTEM, _GRID, DEFAULT_SCENARIO)
    return model, world(0, _PLACE, _GRID, _BLOCK, DEFAULT_SCENARIO)


def _one_jar() -> tuple[SystemConstants, Floats, Floats]:
    """Give a system of one jar: constants, states, works."""
    one, never = np.ones((1, 1)), np.full((1, 1), 2**62)
    constants = SystemConstants(
        6.0, one[0], np.ones((1, 5)), one, one, np.zeros(1, np.int64), one, one[0],
        np.zeros((1, 1, 2), np.uint64), np.zeros((1, 2), np.uint64), never, never,
    )  # fmt: skip
    states = np.ones((1, 3 + stepper.STRING_STATES))
    return constants, states, np.zeros((1, stepper.WORK_ROWS, 1))


def sharing() -> None:
    """Load how strings share a load, on a string that carries none."""
    constants, states, works = _one_jar()
    modes = np.zeros(1, np.int64)
    stepper.share_load(constants, states, 0, 1.0, modes, np.zeros(1), works)


def _walk() -> None:
    """Load the walk by a day of one jar in an empty world: the costliest kernels, first."""
    constants, states, works = _one_jar()
    one, never = np.ones((1, 1)), np.full((1, 1), 2**62)
    day = DayConstants(
        np.ones((6, 1, 2, 1)),
        np.ones((3, 1, 1)),
        np.ones((1, len(stepper.STEPS_S), 1)),
        stepper.NO_TURNS,
    )
    edges, none = np.ones(289), np.zeros(0, np.int64)
    outside = Inputs(
        0, edges[:288], edges, edges, True, np.zeros((0, 4), np.int64), np.zeros(0), none, none
    )
    most = stepper.MOST_ROWS
    stamps = np.zeros(most, np.int64)
    trace = Trace(stamps, stamps.copy(), np.zeros(most), never.repeat(most, 1))
    bus, loads = np.zeros(5), np.zeros(1, np.int64)
    stepper.walk_day(constants, day, outside, states, bus, works, trace, one, loads)
    replayed = Replay._make([*(np.zeros((1, 1)) for _ in range(3)), np.zeros(1), np.zeros(1)])
    closing = Trace(none[:0], none[:0], np.zeros(0), np.zeros((1, 0), np.int64))
    stepper.replay_day(
        constants, day, 0, edges[:288], 0, closing, np.zeros(0), states[0], works[0], 0, replayed
    )


def physics() -> None:
    """Load what walks and replays a system."""
    _walk()
    model, around = _model()
    simulate.replay(model, simulate.slow_path(model), 0, around, _BLOCK)
    truth.final_states(model, simulate.slow_path(model), 0)


def sampling() -> None:
    """Load what samples a block, on a string that stands still."""
    model, around = _model()
    jars = len(_STRING.jar_ids)
    t_s = np.array([_GRID.start_s, _GRID.start_s + 86_400], np.int64)
    still = Replay._make([*(np.full((jars, 2), 13.5) for _ in range(3)), np.ones(2), np.ones(2)])
    midnights = np.ones((2, jars))
    played = BlockReplay(
        _BLOCK,
        t_s,
        np.zeros(2, np.uint8),
        still,
        3000 * midnights,
        7200,
        service_days(model, 0, _BLOCK.first_day, _BLOCK.end_day, ()),
        np.zeros((0, 2)),
        np.zeros(0),
    )
    clock, tally = BlockClock(_GRID, _BLOCK), Tally(_BLOCK, _GRID.utc_offset_s)

    def past(_: int) -> tuple[World, BlockReplay]:
        return around, played

    samples = sample.sample_string(model, 0, around, played, clock, past)
    list(sample.string_groups(model, 0, t_s[:0], samples, clock, tally))
    hours = np.zeros((jars, clock.hours, features.JAR_COLUMNS), np.int64)
    gates = Gates(
        _GRID,
        _BLOCK,
        samples.mode,
        samples.counts[0],
        jars,
        clock.hour_bounds,
        _GRID.start_s,
    )
    watch = sample.Watch(rules_of(ALERT_RULES, _STRING.model), gates)
    for j in range(jars):
        list(
            sample.jar_groups(
                model, 0, j, played, samples, clock, past, True, tally, hours[j], watch
            )
        )
    room = sample.sample_room(0, _PLACE, "W-ENV-01", around, clock, model.scenario)
    for group in sample.room_groups("W-ENV-01", around, room, clock, tally):
        csv.csv_bytes(ENV, [group], 0)
    string_hours = sample.string_hours(
        model, 0, samples.mode, samples.counts, clock, clock.hour_bounds
    )
    room_hours = sample.room_hours(room, clock)
    sample.feature_group(
        model,
        0,
        played.service,
        _STRING.jar_ids,
        clock,
        1,
        hours,
        {_GRID.start_s: features.Account()},
        string_hours,
        room_hours,
        [[np.ones(_BLOCK.days, np.int64)]] * jars,
        tally,
    )


def rare() -> None:
    """Load what only some strings come to: failures, tests, faults of sensors, wide ranges."""
    start_s, one, key = _GRID.start_s, np.ones(1), np.zeros(2, np.uint64)
    year_s = 365 * 86_400
    troubles = (
        Injection("hvac_failure", _PLACE.location_id, start_s, 3600),
        Injection("failure_mode", _STRING.string_id, start_s - year_s, year_s, "thermal_runaway"),
    )
    scenario = Scenario(injections=troubles)
    simulate.slow_path(system_model(0, _PLACE, _SYSTEM, _GRID, scenario))
    now = np.array([start_s])
    sick = Failures(np.array([SHORT]), now - 1, now + 1, one, one, one, key[np.newaxis])
    effects(sick, None, now, 6.0)
    measure.rated_seconds(_UNIT)
    electrical.capacity_at_temperature(25.0)
    sensors.row_at(now, start_s)
    stepper.seconds_to_visit(key, start_s)
    cosine_of_half_turns(0.5)
    rul.exponentials(one)
    many = np.arange(300, dtype=np.int32)
    ticks = faults.Ticks(start_s, 60, many.size)
    for kind in map(faults.KINDS.index, ("drift", "loose_lead")):
        fault = faults.Fault(kind, 0, 0, many.size, start_s, ticks.end_s, 2.0)
        faults.falsify(fault, many.copy(), ticks, 10.0, key)
    tally, stamps = Tally(_BLOCK, 0), Instants(1000 * start_s, 60_000, many.size)
    jar, column = Constant("J", many.size), "voltage_v"
    wide = tally.coded(JAR_RAW, column, many + 12_000, jar, stamps)
    few = tally.coded(JAR_RAW, column, 400 * (many % 2) + 12_000, jar, stamps)
    names = [each.name for each in JAR_RAW.columns if each.name not in JAR_RAW.key]
    prefix = digest.instant_prefix(0, 60_000, many.size)
    for chunks in ([wide, wide, few, few], [wide, few, few, few]):
        group: RowGroup = dict(zip(names, chunks, strict=True))
        digest.lanes(JAR_RAW, group, prefix, 0, np.array([0, many.size]))
