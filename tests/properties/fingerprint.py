"""Make a data set in a process of its own and say what it is, as JSON.

`python fingerprint.py KEYS` with the keys of a configuration as JSON. Beside the logical digests,
which see values rounded to a sensor's resolution, it gives a hash of every bit of the state behind
them, and of what the C library and NumPy make of transcendental functions here.
"""

import hashlib
import json
import math
import sys

import numpy as np

from fleetgen import simulate, system
from fleetgen.config import load
from fleetgen.life import lives
from fleetgen.pipeline import generate
from fleetgen.plan import make_plan
from fleetgen.world import world


def bits(*arrays: np.ndarray) -> str:
    sha = hashlib.sha256()
    for array in arrays:
        sha.update(np.ascontiguousarray(array).tobytes())
    return sha.hexdigest()


def units_of(model: system.SystemModel) -> list[np.ndarray]:
    """All that is known of the jars of a system at the start, and of what will befall it."""
    nouns = (*model.populations, *model.failures, *filter(None, model.precursors), model.timeline)
    arrays = [a for noun in nouns for a in vars(noun).values()]
    return [a for a in (*arrays, *model.constants[1:]) if isinstance(a, np.ndarray)]


def main() -> None:
    config = load(overrides=json.loads(sys.argv[1]))
    plan = generate(config).plan
    state = {}
    for job in plan.slow_paths:
        model = system.system_model(
            plan.run.seed, job.location, job.system, plan.run.grid, plan.run.scenario
        )
        path = simulate.slow_path(model)
        grid = plan.run.grid
        days = [
            array
            for s in range(len(job.system.strings))
            for array in (
                *system.slow_days(model, s, grid.first_day, grid.end_day),
                lives(model, s).end_days,
            )
        ]
        state[job.system.system_id] = bits(*path.arrays().values(), *days, *units_of(model))
    for job in make_plan(config, plan.run.output_url).rooms:
        around = world(plan.run.seed, job.location, plan.run.grid, job.block, plan.run.scenario)
        state[job.key] = bits(
            around.outdoor_c,
            around.outdoor_pct,
            around.room_c,
            around.room_slot_c,
            around.room_pct,
            *around.cooling,
        )
    for job in make_plan(load(), plan.run.output_url).slow_paths:  # the fleet of the package, too
        model = system.system_model(42, job.location, job.system, job.run.grid, job.run.scenario)
        state[job.system.system_id] = bits(*units_of(model))
    x = np.linspace(-20.0, 20.0, 20_001)
    libm = [f(float(v)) for v in x for f in (math.exp, math.sin)]
    print(
        json.dumps(
            {
                "python": sys.version_info[:2],
                "state": state,
                "libm": bits(np.array(libm)),
                "numpy": bits(np.tanh(x), np.exp(x), np.sin(x)),
            }
        )
    )


if __name__ == "__main__":
    main()
