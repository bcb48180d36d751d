"""A block replayed from its checkpoint ends bit for bit in the next one, whatever its length."""

from functools import cache

import numpy as np
import pytest

from fleetgen import simulate
from fleetgen.plan import make_plan
from fleetgen.simulate import SlowPath
from fleetgen.spec import Block
from fleetgen.system import SystemModel, system_model
from fleetgen.world import World, world
from tests.properties.plan import configured


@cache
def systems() -> dict[str, tuple[SystemModel, SlowPath]]:
    """Model and slow path of each system of the plan."""
    found = {}
    for job in make_plan(configured("unused"), "unused").slow_paths:
        model = system_model(job.run.seed, job.location, job.system, job.run.grid, job.run.scenario)
        found[job.system.system_id] = model, simulate.slow_path(model)
    return found


def around(model: SystemModel, block: Block) -> World:
    return world(model.seed, model.location, model.grid, block, model.scenario)


def bits(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array).view(np.uint64)


@pytest.mark.parametrize("length", [1, 2, 5, 6])
@pytest.mark.parametrize("system", ["NORTH-REC-01", "NORTH-UPS-01", "SOUTH-UPS-01"])
def test_a_block_ends_in_the_next_checkpoint(system: str, length: int) -> None:
    model, path = systems()[system]
    first, end = model.grid.first_day, model.grid.end_day
    for s in range(len(model.system.strings)):
        for day in range(first, end - length + 1):
            block = Block(day, day + length)
            played = simulate.replay(model, path, s, around(model, block), block)
            expected = path.states[block.end_day - first, s]
            assert np.array_equal(bits(played.end_state), bits(expected)), (s, block)


def test_states_change_from_day_to_day() -> None:
    """Else the test above could not fail."""
    for _, path in systems().values():
        for earlier, later in zip(path.states[:-1], path.states[1:], strict=True):
            assert not np.array_equal(bits(earlier), bits(later))


@pytest.mark.parametrize("system", ["NORTH-REC-01", "NORTH-UPS-01", "SOUTH-UPS-01"])
def test_a_block_is_its_days_one_by_one(system: str) -> None:
    model, path = systems()[system]
    first, end = model.grid.first_day, model.grid.end_day
    for s in range(len(model.system.strings)):
        whole, *days = (
            simulate.replay(model, path, s, around(model, block), block)
            for block in [Block(first, end), *(Block(d, d + 1) for d in range(first, end))]
        )
        for name in whole.replay._fields:
            joined = np.concatenate([getattr(d.replay, name) for d in days], axis=-1)
            assert np.array_equal(bits(getattr(whole.replay, name)), bits(joined)), name
        assert np.array_equal(whole.t_s, np.concatenate([d.t_s for d in days]))
        assert np.array_equal(whole.mode, np.concatenate([d.mode for d in days]))
        assert np.array_equal(whole.readings[1:], np.concatenate([d.readings[1:] for d in days]))


def test_a_shorter_walk_is_the_beginning_of_a_longer_one() -> None:
    for model, path in systems().values():
        short = simulate.slow_path(model, model.grid.first_day + 3)
        assert np.array_equal(bits(short.states), bits(path.states[:4]))
        assert np.array_equal(bits(short.bus), bits(path.bus[:4]))
        assert np.array_equal(short.t_s, path.t_s[: len(short.t_s)])
        assert np.array_equal(bits(short.bus_v), bits(path.bus_v[: len(short.bus_v)]))
