"""Load every kernel, or compile it on the first run of a version, by a short run of a small string.

The kernels fall into two halves that know nothing of each other, the physics and the sampling; the
first time, a second process compiles the other half meanwhile.
"""

from __future__ import annotations

import subprocess
import sys
from datetime import date

import numpy as np

from fleetgen import jit, sample, simulate
from fleetgen.derive import features
from fleetgen.model.stepper import Replay
from fleetgen.sample import BlockClock, Tally
from fleetgen.simulate import BlockReplay, SystemModel, World
from fleetgen.spec import (
    BatteryModel,
    BatteryString,
    BatterySystem,
    Block,
    Climate,
    Location,
    TimeGrid,
)

_UNIT = BatteryModel(
    "M", "", "B", 100.0, 12.0, 6, 30.0, 10.0, 13.5, 13.8, 14.1, 14.4, 35.0, 45.0, 50.0
)
_CLIMATE = Climate(
    "C", (20.0,) * 12, (25.0,) * 12, (30.0,) * 12, (70.0,) * 12, (9.0,) * 12, 1.0, 1.0
)
_PLACE = Location("W", "", "", "", 0, 0, date(2020, 1, 1), _CLIMATE, 3, 30, True, True)
_STRING = BatteryString("W-REC-01-S1", _UNIT, ("W-REC-01-S1-J01", "W-REC-01-S1-J02"))
_SYSTEM = BatterySystem("W-REC-01", "REC", (_STRING,))
_GRID = TimeGrid(date(2025, 1, 1), 2 * 3600, 60, 0, "UTC")
_BLOCK = Block(_GRID.first_day, _GRID.end_day)


def load() -> None:
    """Load all kernels into this process."""
    if jit.COLD:
        other = subprocess.Popen(
            [sys.executable, "-c", "from fleetgen import warm; warm.sampling()"]
        )
        physics()
        other.wait()
    else:
        physics()
    sampling()


def _model() -> tuple[SystemModel, World]:
    model = simulate.system_model(0, _PLACE, _SYSTEM, _GRID)
    return model, simulate.world(0, _PLACE, _GRID, _BLOCK)


def physics() -> None:
    """Load what walks and replays a system."""
    model, around = _model()
    simulate.replay(model, simulate.slow_path(model), 0, around, _BLOCK)
    simulate.final_states(model, simulate.slow_path(model), 0)


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
        midnights,
        midnights,
        np.zeros(0),
    )
    clock, tally = BlockClock(_GRID, _BLOCK), Tally(_BLOCK)

    def past(_: int) -> tuple[World, BlockReplay]:
        return around, played

    samples = sample.sample_string(model, 0, around, played, clock, past)
    list(sample.string_groups(model, 0, t_s[:0], samples, clock, tally))
    hours = np.zeros((jars, clock.hours, features.JAR_COLUMNS), np.int64)
    for j in range(jars):
        groups = sample.jar_groups(model, 0, j, played, samples, clock, past, True, tally, hours[j])
        list(groups)
    room = sample.sample_room(0, _PLACE, "W-ENV-01", around, clock, model.scenario)
    list(sample.room_groups("W-ENV-01", room, clock, tally))
    string_hours = sample.string_hours(
        model, 0, samples.mode, samples.counts, clock, clock.hour_bounds
    )
    room_hours = sample.room_hours(room, clock)
    sample.feature_group(
        model,
        0,
        _STRING.jar_ids,
        clock,
        hours,
        features.Account(),
        string_hours,
        room_hours,
        tally,
    )
