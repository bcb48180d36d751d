"""Importing this module loads every kernel, or compiles it on the first run of a version.

Local workers are forked from a process that has imported it: they start with all that a part
needs, and share its memory. It makes the parts of an hour of one small string and drops them.
"""

import gc
from datetime import date

from fleetgen import task
from fleetgen.spec import (
    BatteryModel,
    BatteryString,
    BatterySystem,
    Block,
    Climate,
    Location,
    RoomJob,
    Run,
    StringJob,
    TimeGrid,
)

_MODEL = BatteryModel("M", "", "B", 100, 12, 6, 30, 10, 13.5, 13.8, 14.1, 14.4, 35, 45, 50)
_CLIMATE = Climate("C", (20,) * 12, (25,) * 12, (30,) * 12, (70,) * 12, (9,) * 12, 1, 1)
_PLACE = Location("W", "", "", "", 0, 0, date(2020, 1, 1), _CLIMATE, 3, 30, True, True)
_STRING = BatteryString("W-REC-01-S1", _MODEL, ("W-REC-01-S1-J01", "W-REC-01-S1-J02"))
_SYSTEM = BatterySystem("W-REC-01", "REC", (_STRING,))


def _make_parts() -> None:
    grid = TimeGrid(date(2025, 1, 1), 3600, 60, 0, "UTC")
    run = Run(0, grid, "/nonexistent", "none", "direct", "")
    block = Block(grid.first_day, grid.end_day)
    for job in (
        StringJob(run, _PLACE, _SYSTEM, "W-ENV-01", 0, _STRING.jar_ids, block),
        RoomJob(run, _PLACE, "W-ENV-01", block),
    ):
        task.make_part(job)


_make_parts()
gc.freeze()  # what is loaded by now is never collected: collecting would unshare it
