"""Failure modes: hidden onset, individual precursors, terminal event.

A mode begins once in a unit's life, drawn by years from the start of the run; from its onset to its
end runs the progress p from 0 to 1, and each mode shows it in its own way (`params.FAILURE_LAWS`).
A thermal runaway begins as the drying out of a whole string; whether it runs away follows from the
heat balance (`system._trips`), not from a draw.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fleetgen import rng
from fleetgen.elementary import exponential, power
from fleetgen.jit import kernel
from fleetgen.model import params
from fleetgen.rng import Key, Stream
from fleetgen.spec import Injection, Scenario
from fleetgen.units import DAYS_PER_YEAR, SECONDS_PER_DAY

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MODES = tuple(params.FAILURE_LAWS)
NONE, DRY_OUT, CORROSION, SULFATION, SHORT, RUNAWAY = range(-1, 5)
"""Codes of the failure modes; -1 is none."""

_NEVER_S = 2**62
_DRAWS_PER_YEAR = 16
_STEP_BLOCK_S = 5 * SECONDS_PER_DAY

_LAWS = np.array(
    [
        (
            *law.soh,
            *law.resistance,
            *law.ln_i0,
            *law.heat_w,
            *law.cells,
            *law.leak,
            law.thermal,
            law.acceptance,
        )
        for law in params.FAILURE_LAWS.values()
    ]
)
_FLOOR = params.FLOAT_FLOOR.value - params.FLOAT_FLOOR_MARGIN.value
_CELLS_LIMIT = params.FAILED_CELLS_LIMIT.value
_LEAK_LIMIT = params.LEAK_LIMIT.value
_BEYOND = params.PROGRESS_BEYOND.value
_STEPS_FROM = params.CORROSION_STEPS_FROM.value
_STEP_SHARE = params.CORROSION_STEP_SHARE.value
_STEP_SHORTEST = params.CORROSION_STEP_SHORTEST.value
_STEP_MINIMUM = params.CORROSION_STEP_MINIMUM.value
_STEP_SPAN = params.CORROSION_STEP_SPAN.value
_STEP_UP = params.CORROSION_STEP_UP.value


@dataclass(frozen=True, eq=False)
class Failures:
    """Failure of each jar of a string, all (jar,); `mode` is -1, and times far away, without one.

    `amplitude` multiplies the effects of the mode's law, `exponent` its powers of p; `resistance`
    adds to the growth of resistance at p = 1.
    """

    mode: Ints
    onset_s: Ints
    end_s: Ints
    amplitude: Floats
    exponent: Floats
    resistance: Floats
    step_key: NDArray[np.uint64]


@dataclass(frozen=True, eq=False)
class Precursor:
    """The drying out of a whole string: from `onset_s` to `end_s`, with the rise of each jar."""

    onset_s: int
    end_s: int
    ln_rise: Floats


class Effects(NamedTuple):
    """What failures do to the jars at midnights, each (midnight, jar).

    Loss of capacity [fraction of rated], growth of resistance over new, rise of ln I0, heat [W],
    live cells, removed charge that cannot be returned [fraction of capacity], and factors of the
    thermal and of the charging resistance.
    """

    loss: Floats
    growth: Floats
    ln_i0: Floats
    heat_w: Floats
    cells: Floats
    leak: Floats
    thermal: Floats
    acceptance: Floats


def hazard_per_year(soh_per_year: float) -> float:
    """Failure modes begun per jar and year at 25 degC, by the profile's rate of ageing."""
    ratio = max(soh_per_year, 1e-6) / params.HAZARD_REFERENCE.value
    return params.HAZARD_HEALTHY.value * power(ratio, params.HAZARD_EXPONENT.value)


def draw(
    seed: int,
    jar_ids: tuple[str, ...],
    start_s: int,
    start_year: int,
    age_days: Floats,
    rate_per_year: Floats,
    factor: Floats,
    headroom: Floats,
    scenario: Scenario,
) -> Failures:
    """Draw the failures of the units in service at `start_s`.

    `rate_per_year` is the profiles' loss of capacity, `factor` the jar's yearly rate of ageing over
    that at 25 degC, `headroom` the capacity (fraction of rated) that a failure may have cost
    before the start: a unit worn or failed by then would have been replaced.
    """
    jars = len(jar_ids)
    found = Failures(
        np.full(jars, NONE),
        np.full(jars, _NEVER_S),
        np.full(jars, _NEVER_S),
        np.ones(jars),
        np.ones(jars),
        np.zeros(jars),
        rng.keys(seed, Stream.CORROSION_STEP, jar_ids),
    )
    forced = {i.target: i for i in scenario.injections if i.kind == "failure_mode"}
    for j, jar_id in enumerate(jar_ids):
        if jar_id in forced:
            _force(found, j, forced[jar_id])
            continue
        yearly = hazard_per_year(float(rate_per_year[j])) * float(factor[j]) * scenario.hazard_scale
        k = rng.key(seed, Stream.FAILURE, jar_id)
        begun = start_s - int(age_days[j]) * SECONDS_PER_DAY
        _draw_one(found, j, k, start_s, start_year, begun, 1.0 - exponential(-yearly), headroom[j])
    return found


def _force(found: Failures, j: int, injection: Injection) -> None:
    found.mode[j] = MODES.index(injection.value)
    found.onset_s[j] = injection.start_s
    found.end_s[j] = injection.start_s + injection.duration_s


def _draw_one(
    found: Failures,
    j: int,
    k: Key,
    start_s: int,
    start_year: int,
    begun_s: int,
    chance: float,
    headroom: float,
) -> None:
    year_s = DAYS_PER_YEAR * SECONDS_PER_DAY
    back = int(params.HAZARD_LOOKBACK.value)
    last = start_year + int(params.RUL_HORIZON.value)
    after = start_year - back
    while True:
        year = _first_year(k, after, last, chance)
        if year > last:
            return
        after = year + 1
        u = [rng.uniform(k, year * _DRAWS_PER_YEAR + n) for n in range(1, 8)]
        onset = start_s + int((year - start_year + u[0]) * year_s)
        mode = int(rng.weighted([law.share for law in params.FAILURE_LAWS.values()], u[1]))
        law = params.FAILURE_LAWS[MODES[mode]]
        days = law.shortest_d + (law.longest_d - law.shortest_d) * u[2]
        if u[3] < params.EARLY_SHARE.value:
            days *= params.EARLY_LEAD.value
        end = onset + int(days * SECONDS_PER_DAY)
        amplitude = exponential(params.AMPLITUDE_SPREAD.value * rng.normal_quantile(u[4]))
        low, high = params.EXPONENT_MINIMUM.value, params.EXPONENT_MAXIMUM.value
        exponent = low + (high - low) * u[5]
        so_far = min(1.0, max(0.0, (start_s - onset) / (end - onset)))
        lost = law.soh[0] * amplitude * power(max(so_far, 1e-9), law.soh[1] * exponent)
        if onset < begun_s or end <= start_s or lost > headroom:
            continue
        found.mode[j], found.onset_s[j], found.end_s[j] = mode, onset, end
        found.amplitude[j], found.exponent[j] = amplitude, exponent
        if mode == SHORT:
            low = params.SHORT_RESISTANCE_MINIMUM.value
            high = params.SHORT_RESISTANCE_MAXIMUM.value
            found.resistance[j] = low + (high - low) * u[6]
        return


@kernel
def _first_year(k: Key, first: int, last: int, chance: float) -> int:
    """First year from `first` to `last` in which a mode begins; after `last` if none does."""
    for year in range(first, last + 1):
        if rng.uniform(k, year * _DRAWS_PER_YEAR) < chance:
            return year
    return last + 1


def precursor(
    seed: int,
    string_id: str,
    jars: int,
    start_s: int,
    start_year: int,
    compensated: bool,
    scenario: Scenario,
) -> Precursor | None:
    """First drying out of a string that ends after `start_s`; None without one in 20 years.

    Strings whose charger compensates for temperature have none, unless one is injected.
    """
    k = rng.key(seed, Stream.RUNAWAY, string_id)
    z = np.array([rng.normal(k, 2**40 + j) for j in range(jars)])
    low, high = params.RUNAWAY_RISE_MINIMUM.value, params.RUNAWAY_RISE_MAXIMUM.value
    for injection in scenario.injections:
        if injection.kind == "failure_mode" and injection.target == string_id:
            end_s = injection.start_s + injection.duration_s
            return Precursor(injection.start_s, end_s, high + params.RUNAWAY_SPREAD.value * z)
    if compensated:
        return None
    chance = 1.0 - exponential(-params.RUNAWAY_HAZARD.value * scenario.hazard_scale)
    last = start_year + int(params.RUL_HORIZON.value)
    year = _first_year(k, start_year - 1, last, chance)
    while year <= last:
        u = [rng.uniform(k, year * _DRAWS_PER_YEAR + n) for n in range(1, 4)]
        onset = start_s + int((year - start_year + u[0]) * DAYS_PER_YEAR * SECONDS_PER_DAY)
        shortest, longest = params.RUNAWAY_SHORTEST.value, params.RUNAWAY_LONGEST.value
        end = onset + int((shortest + (longest - shortest) * u[1]) * SECONDS_PER_DAY)
        if end > start_s:
            return Precursor(
                onset, end, low + (high - low) * u[2] + params.RUNAWAY_SPREAD.value * z
            )
        year = _first_year(k, year + 1, last, chance)
    return None


@kernel
def _progress(p: float) -> float:
    """What has begun goes on after the terminal event, at a rate that fades: to p = 1.2."""
    if p <= 1.0:
        return p
    return 1.0 + _BEYOND * (1.0 - exponential(-(p - 1.0) / _BEYOND))


@kernel
def _raised(p: float, exponent: float) -> float:
    return 0.0 if p <= 0.0 else power(p, exponent)


@kernel
def _corrosion_step(k: Key, instant_s: int, p: float) -> float:
    """Intermittent contact: 10 to 30 % for 1 to 5 days, once p > 0.7.

    Upwards of the resistance, downwards of what corrosion has added to it.
    """
    if p <= _STEPS_FROM:
        return 0.0
    block = instant_s // _STEP_BLOCK_S
    if rng.uniform(k, 4 * block) > _STEP_SHARE:
        return 0.0
    inside = (instant_s - block * _STEP_BLOCK_S) / _STEP_BLOCK_S
    if inside > _STEP_SHORTEST + (1.0 - _STEP_SHORTEST) * rng.uniform(k, 4 * block + 1):
        return 0.0
    size = _STEP_MINIMUM + _STEP_SPAN * rng.uniform(k, 4 * block + 2)
    return size if rng.uniform(k, 4 * block + 3) < _STEP_UP else -size


@kernel
def _effects(
    midnights_s: Ints,
    mode: Ints,
    onset_s: Ints,
    end_s: Ints,
    amplitude: Floats,
    exponent: Floats,
    resistance: Floats,
    step_key: NDArray[np.uint64],
    laws: Floats,
    out: Effects,
) -> None:
    for d in range(midnights_s.size):
        for j in range(mode.size):
            if mode[j] < 0 or midnights_s[d] <= onset_s[j]:
                continue
            law = laws[mode[j]]
            a = amplitude[j]
            e = exponent[j]
            p = _progress((midnights_s[d] - onset_s[j]) / (end_s[j] - onset_s[j]))
            if mode[j] == SHORT:  # then the cell is dead
                p = min(p, 1.0)
            out.loss[d, j] += a * law[0] * _raised(p, e * law[1])
            grown = a * law[2] * _raised(p, e * law[3]) + resistance[j] * p
            if mode[j] == CORROSION:
                step = _corrosion_step(step_key[j], midnights_s[d], p)
                grown += step * (1.0 + grown if step > 0.0 else grown)
            out.growth[d, j] += grown
            rise = a * law[4] * _raised(p, e * law[5])
            out.ln_i0[d, j] += min(rise, _FLOOR)
            out.heat_w[d, j] += a * law[6] * _raised(p, e * law[7])
            out.cells[d, j] -= min(_CELLS_LIMIT, a * law[8] * _raised(p, e * law[9]))
            out.leak[d, j] += min(_LEAK_LIMIT, a * law[10] * _raised(p, e * law[11]))
            out.thermal[d, j] *= 1.0 + a * law[12] * p
            out.acceptance[d, j] *= 1.0 + a * law[13] * p


def effects(
    failures: Failures,
    precursor: Precursor | None,
    midnights_s: Ints,
    cells: float,
    dries: NDArray[np.bool_] | bool = True,
) -> Effects:
    """What failures do to the units of a string at each midnight.

    The drying out of a string befalls those of its units that `dries` tells, (jar,) or all.
    """
    shape = (len(midnights_s), len(failures.mode))
    out = Effects._make(
        [
            *(np.zeros(shape) for _ in range(4)),
            np.full(shape, cells),
            np.zeros(shape),
            np.ones(shape),
            np.ones(shape),
        ]
    )
    if (failures.mode >= 0).any():
        _effects(
            midnights_s,
            failures.mode,
            failures.onset_s,
            failures.end_s,
            failures.amplitude,
            failures.exponent,
            failures.resistance,
            failures.step_key,
            _LAWS,
            out,
        )
    if precursor is not None and midnights_s[-1] > precursor.onset_s:
        law = params.FAILURE_LAWS["thermal_runaway"]
        span = precursor.end_s - precursor.onset_s
        p = np.clip((midnights_s - precursor.onset_s) / span, 0.0, 1.0)[:, np.newaxis] * dries
        out.loss[:] += law.soh[0] * p
        out.growth[:] += law.resistance[0] * p
        out.ln_i0[:] += precursor.ln_rise * p
        out.thermal[:] *= 1.0 + law.thermal * p
    return out
