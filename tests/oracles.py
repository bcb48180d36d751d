"""Slow, plain rewrites of what the package computes: the other source of expected numbers.

Nothing here imports the package. Integers are Python's own, reduced by hand; floats go through the
`math` module; loops run over lists. The laws are those of the literature that the package cites.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any, NamedTuple

WORD = 2**64

# --- random numbers -------------------------------------------------------------------------------


def key_words(seed: int, stream: str, entity: str) -> tuple[int, int]:
    """First 16 bytes of the SHA-256 of "seed, stream, entity" on three lines, as two words."""
    digest = hashlib.sha256(f"{seed}\n{stream}\n{entity}".encode()).digest()
    return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:16], "little")


def mix_bits(key: tuple[int, int], counter: int) -> int:
    """SplitMix64 of a counter from a first key, with a second key between its rounds."""
    z = (key[0] + counter * 0x9E3779B97F4A7C15) % WORD
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % WORD
    z ^= key[1]
    z = (z ^ z >> 27) * 0x94D049BB133111EB % WORD
    return z ^ z >> 31


def uniform(key: tuple[int, int], counter: int) -> float:
    """Middle of the interval of length 2**-53 that the upper 53 bits name."""
    return ((mix_bits(key, counter) >> 11) + 0.5) / 2**53


def normal(key: tuple[int, int], counter: int) -> float:
    return NormalDist().inv_cdf(uniform(key, counter))


def fluctuation(
    key: tuple[int, int], first_s: int, step_s: int, count: int, time_s: float
) -> list[float]:
    """Ornstein-Uhlenbeck process of unit variance, begun at zero 12 correlation times before."""
    decay = math.exp(-step_s / time_s)
    kick = math.sqrt(1 - decay**2)
    before = int(12 * time_s) // step_s
    values = [0.0]
    for i in range(-before, count):
        values.append(decay * values[-1] + kick * normal(key, first_s + i * step_s))
    return values[-count:]


def chain(key: tuple[int, int], first_day: int, count: int, time_days: float) -> list[float]:
    """First-order autoregression of unit variance since 2000-01-01, day 10957."""
    decay = math.exp(-1 / time_days)
    values = [normal(key, 10_957)]
    for day in range(10_958, first_day + count):
        values.append(decay * values[-1] + math.sqrt(1 - decay**2) * normal(key, day))
    return values[-count:]


def wander(key: tuple[int, int], day: int, knot_days: int) -> float:
    """Between normal knots on the quarter circle, so that the variance stays 1."""
    knot, rest = divmod(day, knot_days)
    angle = rest / knot_days * math.pi / 2
    return normal(key, knot) * math.cos(angle) + normal(key, knot + 1) * math.sin(angle)


# --- logical digests ------------------------------------------------------------------------------

MISSING = -(2**63)
"""What stands for a missing value among counts."""


def words(text: str) -> tuple[int, int]:
    """First 16 bytes of the SHA-256 of a text, as two words."""
    digest = hashlib.sha256(text.encode()).digest()
    return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:16], "little")


def row_word(values: dict[str, int | str | None]) -> int:
    """Sum over the columns of a row of its mixed count; texts count by their own hash."""
    total = 0
    for column, value in values.items():
        count = MISSING if value is None else value
        if isinstance(count, str):
            count = words(f"text {count}")[0]
        total += mix_bits(words(f"column {column}"), count % WORD)
    return total % WORD


def digest(rows: list[tuple[str, int, dict[str, int | str | None]]]) -> str:
    """Digest of rows (id, instant in ms, values by column) in any order."""
    lanes = [0, 0]
    for entity, instant_ms, values in rows:
        x = row_word(values)
        for lane in range(2):
            a = words(f"id {entity}")[lane] | 1
            b = mix_bits(words(f"lane {lane}"), instant_ms) | 1
            lanes[lane] += a * b * x
    return "".join(f"{lane % WORD:016x}" for lane in lanes)


def record_digest(rows: list[tuple[dict[str, int | str], dict[str, int | str | None]]]) -> str:
    """Digest of records (keys by column, values by column) in any order."""
    lanes = [0, 0]
    for keys, values in rows:
        for lane in range(2):
            weight = 1 + row_word(values)
            for column, key in keys.items():
                if isinstance(key, str):
                    weight *= words(f"id {key}")[lane] | 1
                else:
                    weight *= mix_bits(words(f"column {column} {lane}"), key % WORD) | 1
            lanes[lane] += weight
    return "".join(f"{lane % WORD:016x}" for lane in lanes)


# --- the battery: laws ----------------------------------------------------------------------------
# Currents are magnitudes. `family` is (capacity factor, knee rate [1/h], exponent, mOhm and V/cell
# per 100 Ah), one row of the table of discharge families.

CELLS = 6


def open_circuit_cell_v(acid_frac: float, temperature_c: float) -> float:
    """Bode's polynomial in the logarithm of the molality, which runs from 1.3 to 6.2 mol/kg."""
    x = math.log10(1.3 + 4.9 * acid_frac)
    v = 1.9228 + 0.147519 * x + 0.063552 * x**2 + 0.073772 * x**3 + 0.033612 * x**4
    return v + 0.0002 * (temperature_c - 25)


def clipped(x: float) -> float:
    return min(1.0, max(0.0, x))


def cell_open_v(removed_ah: float, full_ah: float, temperature_c: float) -> float:
    return open_circuit_cell_v(clipped(1 - removed_ah / (1.2 * full_ah)), temperature_c)


def float_string(
    bus_v: float,
    rated_ah: float,
    ln_i0: list[float],
    temperature_c: list[float],
    cells: list[float] | None = None,
) -> tuple[list[float], float]:
    """Jar voltages and current of a full string: Tafel's law with one current for all.

    A jar of `cells` live ones has their sum; the common ln I is the mean over all that live.
    """
    alive = cells or [CELLS] * len(ln_i0)
    g = [ln + 0.06 * (t - 25) for ln, t in zip(ln_i0, temperature_c, strict=True)]
    mean = sum(n * one for n, one in zip(alive, g, strict=True)) / sum(alive)
    ln_rate = 11 * (bus_v / sum(alive) - 2.27) + mean
    volts = [n * (2.27 + (ln_rate - one) / 11) for n, one in zip(alive, g, strict=True)]
    return volts, rated_ah * math.exp(ln_rate)


def float_set_cell_v(control_c: float, compensated: bool) -> float:
    if not compensated:
        return 2.27
    return min(2.33, max(2.20, 2.27 - 0.003 * (control_c - 25)))


def discharge_jar_v(
    current_a: float,
    depleting_a: float,
    drawn_ah: float,
    rest_s: float,
    rated_ah: float,
    family: tuple[float, ...],
    removed_ah: float,
    soh: float,
    growth: float,
    temperature_c: float,
    cells: float = CELLS,
) -> float:
    """Voltage of one jar under load; dead cells give nothing, and conduct."""
    factor, knee, exponent, mohm, knee_v = family
    warm = 0.0056 if temperature_c < 25 else 0.0020
    derating = (depleting_a / rated_ah / knee) ** exponent if depleting_a > 0 else 0.0
    usable = rated_ah * soh * (1 + warm * (temperature_c - 25)) * factor / (1 + derating)
    x = min(removed_ah / usable, 0.9999)
    dip = 0.0
    if rest_s >= 7200 and drawn_ah > 0 and depleting_a > 0:
        depth = 20 + 14 * math.log10(depleting_a / rated_ah / 0.1)
        depth = 1e-3 * min(45.0, max(12.0, depth)) * (1 - math.exp(-rest_s / 43_200)) * growth**0.3
        y = drawn_ah / rated_ah
        dip = depth / 0.5824 * math.exp(-y / 0.015) * (1 - math.exp(-y / 0.003))
    cell = cell_open_v(removed_ah, rated_ah * soh, temperature_c) - knee_v * x / (1 - x) - dip
    ohm = mohm / 1000 * 100 / rated_ah * growth * (1 - 0.006 * (temperature_c - 25))
    return cells * cell - current_a * ohm


def recharge_jar(
    current_a: float,
    rated_ah: float,
    family: tuple[float, ...],
    ln_i0: float,
    removed_ah: float,
    soh: float,
    growth: float,
    temperature_c: float,
    cells: float = CELLS,
    leak: float = 0.0,
    acceptance: float = 1.0,
) -> tuple[float, float]:
    """Voltage of one jar at a charging current, and the part of it that charges.

    Of its capacity a soft short keeps `leak` from ever returning: full is where the rest has.
    """
    full = rated_ah * soh
    open_v = cell_open_v(removed_ah, full, temperature_c)
    missing = max(1 - clipped(1 - removed_ah / full + leak), 1e-6)
    ohm = family[3] / 1000 / 6 * growth * 100 / rated_ah
    cold = math.exp(-0.02 * (temperature_c - 25))
    ohm += 2.6e-3 * acceptance * 100 / rated_ah / missing * cold
    eta = 0.05 * (1 - math.exp(-current_a / (0.01 * rated_ah)))
    main_v = open_v + eta + current_a * ohm
    gas_v = 2.27 + (math.log(current_a / rated_ah) - ln_i0 - 0.06 * (temperature_c - 25)) / 11
    if main_v <= gas_v:
        return cells * main_v, current_a
    return cells * gas_v, min(current_a, max(0.0, (gas_v - open_v - eta) / ohm))


def root(function: Callable[[float], float], low: float, high: float) -> float:
    """Zero of a monotone function between `low` and `high`: false position, Illinois variant."""
    at_low, at_high = function(low), function(high)
    for _ in range(100):
        if at_low == at_high or abs(high - low) <= 1e-15 * abs(high):
            break
        middle = (low * at_high - high * at_low) / (at_high - at_low)
        at_middle = function(middle)
        if abs(at_middle) < 1e-12:
            return middle
        if at_middle * at_high < 0:
            low, at_low = high, at_high
        else:
            at_low /= 2
        high, at_high = middle, at_middle
    return high


# --- the battery: a system through days -----------------------------------------------------------


class Slow(NamedTuple):
    """Slow quantities of a jar at an instant; the last two are those of its day."""

    ln_i0: float
    soh: float
    growth: float
    cells: float = CELLS
    leak: float = 0.0
    acceptance: float = 1.0
    heat_w: float = 0.0
    k_per_w: float = 0.9


@dataclass
class Jar:
    """What is fixed of a jar, and its state; a cell dies at `dead_s`, it opens at `open_s`."""

    cabinet_rise_k: float
    heat_j_per_k: float
    slow: Callable[[int], Slow]
    removed_ah: float = 0.0
    temperature_c: float = 25.0
    dead_s: float = math.inf
    open_s: float = math.inf

    def cells(self, t: int, before: bool = False) -> float:
        """Live cells at an instant, or just before it."""
        dead = t > self.dead_s if before else t >= self.dead_s
        return CELLS - 1 if dead else self.slow(t).cells


@dataclass
class Cells:
    """A string: its jars and what they have been through."""

    rated_ah: float
    family: tuple[float, ...]
    jars: list[Jar]
    full: bool = True
    mode: str = "float"
    depleting_a: float = 0.0
    drawn_ah: float = 0.0
    rest_s: float = 0.0
    last_end_s: float = -1e12
    low_for_s: int = 0
    cut_until_s: int = -1

    def loaded(
        self, current_a: float, remembered_a: float, t: int, before: bool = False
    ) -> list[float]:
        return [
            discharge_jar_v(
                current_a,
                remembered_a,
                self.drawn_ah,
                self.rest_s,
                self.rated_ah,
                self.family,
                jar.removed_ah,
                jar.slow(t).soh,
                jar.slow(t).growth,
                jar.temperature_c,
                jar.cells(t, before),
            )
            for jar in self.jars
        ]

    def under_load(self, current_a: float, t: int, before: bool = False) -> list[float]:
        return self.loaded(current_a, max(current_a, self.depleting_a), t, before)

    def at_rest(self, t: int, before: bool = False) -> list[float]:
        """An idle string: depletion forgotten, no current; an open jar shows 9 V."""
        volts = self.loaded(0.0, 0.0, t, before)
        return [9.0 if t >= jar.open_s else v for v, jar in zip(volts, self.jars, strict=True)]

    def is_open(self, t: int) -> bool:
        return any(t >= jar.open_s for jar in self.jars)

    def charging(self, current_a: float, t: int, before: bool) -> list[tuple[float, float]]:
        return [
            recharge_jar(
                current_a,
                self.rated_ah,
                self.family,
                jar.slow(t).ln_i0,
                jar.removed_ah,
                jar.slow(t).soh,
                jar.slow(t).growth,
                jar.temperature_c,
                jar.cells(t, before),
                jar.slow(t).leak,
                jar.slow(t).acceptance,
            )
            for jar in self.jars
        ]

    def on_charger(
        self, bus_v: float, t: int, before: bool = False
    ) -> tuple[list[float], float, list[float]]:
        """Jar voltages, current and the jars' charging currents at a bus voltage."""
        if self.full:
            volts, current = float_string(
                bus_v,
                self.rated_ah,
                [jar.slow(t).ln_i0 for jar in self.jars],
                [jar.temperature_c for jar in self.jars],
                [jar.cells(t, before) for jar in self.jars],
            )
            return volts, current, [0.0] * len(volts)

        def at(ln_rate: float) -> list[tuple[float, float]]:
            return self.charging(self.rated_ah * math.exp(ln_rate), t, before)

        def excess(ln_rate: float) -> float:
            return sum(v for v, _ in at(ln_rate)) - bus_v

        limit = math.log(0.1)
        ln_rate = limit if excess(limit) <= 0 else root(excess, limit - 16, limit)
        volts, main = zip(*at(ln_rate), strict=True)
        return list(volts), self.rated_ah * math.exp(ln_rate), list(main)

    def electric(
        self, bus_v: float, current_a: float, t: int, before: bool = False
    ) -> tuple[list[float], float, list[float]]:
        """Jar voltages, the current's magnitude and the charging currents in its mode."""
        none = [0.0] * len(self.jars)
        if self.mode == "discharge":
            return self.under_load(current_a, t, before), current_a, none
        if self.mode == "idle":
            return self.at_rest(t, before), 0.0, none
        return self.on_charger(bus_v, t, before)

    def heat(self, volts: list[float], current: float, main: list[float], t: int) -> list[float]:
        """Heat in each jar [W], that of a failure in it included."""
        heats = []
        for jar, v, charging in zip(self.jars, volts, main, strict=True):
            full, alive = self.rated_ah * jar.slow(t).soh, jar.cells(t)
            open_v = alive * cell_open_v(jar.removed_ah, full, jar.temperature_c)
            entropy = alive * 2e-4 * (jar.temperature_c + 273.15)
            own = 0.0
            if self.mode == "discharge":
                own = current * (open_v - v) - current * entropy
            elif self.mode != "idle" and self.full:
                own = current * v
            elif self.mode != "idle":
                own = charging * (v - open_v) + charging * entropy + (current - charging) * v
            heats.append(own + jar.slow(t).heat_w)
        return heats

    def take(self, current: float, main: list[float], t: int, dt: int) -> None:
        """Move charge over a step: out in discharge, back in charge, at 97 %."""
        if self.mode == "discharge":
            self.drawn_ah += current * dt / 3600
            self.depleting_a = max(self.depleting_a, current)
            for jar in self.jars:
                jar.removed_ah += current * dt / 3600
        elif self.mode != "idle":
            floors = [j.slow(t).leak * self.rated_ah * j.slow(t).soh for j in self.jars]
            for jar, floor, charging in zip(self.jars, floors, main, strict=True):
                if self.full:
                    jar.removed_ah = floor + (jar.removed_ah - floor) * math.exp(-dt / 3600)
                else:
                    jar.removed_ah = max(floor, jar.removed_ah - 0.97 * charging * dt / 3600)
            self.full = self.full or all(
                1 - (jar.removed_ah - floor) / (self.rated_ah * jar.slow(t).soh) > 0.999
                and charging < current  # and gasses: then float is the same law
                for jar, floor, charging in zip(self.jars, floors, main, strict=True)
            )
        self.depleting_a *= math.exp(-dt / 600)

    def warm(self, room_c: float, heat_w: list[float], dt: int, t: int = 0) -> None:
        over = [jar.temperature_c - room_c for jar in self.jars]
        for j, jar in enumerate(self.jars):
            near = [over[k] for k in (j - 1, j + 1) if 0 <= k < len(over)]
            k_per_w = jar.slow(t).k_per_w
            goal = room_c + jar.cabinet_rise_k + k_per_w * heat_w[j]
            goal += 0.15 * sum(near) / len(near) if near else 0.0
            share = 1 - math.exp(-dt / (k_per_w * jar.heat_j_per_k))
            jar.temperature_c += (goal - jar.temperature_c) * share


def shared(strings: list[Cells], power_w: float, t: int) -> list[float] | None:
    """Currents of parallel strings that carry a power together, exactly; None if they cannot.

    The bus is the highest voltage at which they give the power; cables take 5 mOhm each.
    """

    def bus_v(string: Cells, current: float) -> float:
        return sum(string.under_load(current, t)) - 0.005 * current

    def currents(volts: float) -> list[float]:
        found = []
        for string in strings:
            if bus_v(string, 0.0) <= volts:
                found.append(0.0)
                continue
            found.append(root(lambda a, s=string: bus_v(s, a) - volts, 0.0, 4 * string.rated_ah))
        return found

    top = max(bus_v(string, 0.0) for string in strings)
    # The power rises as the bus falls, up to a maximum; look for the bus from the top.
    low = top
    while True:
        low -= 0.01 * top
        if low <= 0.4 * top:
            return None
        if sum(currents(low)) * low >= power_w:
            break
    volts = root(lambda v: sum(currents(v)) * v - power_w, low, low + 0.01 * top)
    return currents(volts)


@dataclass
class Plan:
    """What the outside does; functions of the instant, and intervals [start, end).

    `charger` deviates by V/cell in (start, end, deviation); `tests`, whose end is the latest, and
    `offline` are (string, start, end).
    """

    midnight_s: int
    days: int
    room_c: Callable[[int], float]
    load_w: Callable[[int], float]
    regulation: Callable[[int], float]
    compensated: bool
    outages: list[tuple[int, int]] = field(default_factory=list)
    equalizing: list[tuple[int, int]] = field(default_factory=list)
    charger: list[tuple[int, int, float]] = field(default_factory=list)
    tests: list[tuple[int, int, int]] = field(default_factory=list)
    offline: list[tuple[int, int, int]] = field(default_factory=list)

    def outage(self, t: int) -> tuple[int, int] | None:
        return next((o for o in self.outages if o[0] <= t < o[1]), None)

    def edges(self) -> set[int]:
        """Instants at which something begins or ends."""
        found = {e for pair in (*self.outages, *self.equalizing) for e in pair}
        found |= {e for *span, _ in self.charger for e in span}
        return found | {e for _, *span in (*self.tests, *self.offline) for e in span}


CHARGING = ("float", "boost", "equalize")


def walk(strings: list[Cells], plan: Plan) -> list[dict[str, Any]]:  # noqa: C901, PLR0915
    """The rows of the physical grid, each with what holds at its start, jars by string.

    A row ends at the next five minutes, whole minute in recharge, event, or step of a discharge;
    a row of no length closes each day, each mode and each jump.
    """
    rows: list[dict[str, Any]] = []
    pilot = len(strings[0].jars) // 2
    jars = [jar for string in strings for jar in string.jars]
    jumps = {e for *span, _ in plan.charger for e in span} | {jar.dead_s for jar in jars}
    edges = plan.edges() | {jar.dead_s for jar in jars}

    def pilots() -> float:
        return sum(s.jars[pilot].temperature_c for s in strings) / len(strings)

    control_c, bus, margin, began = pilots(), "float", 1e9, 0
    boost_since, tests_over = None, set()
    currents = [0.0] * len(strings)
    t, end = plan.midnight_s, plan.midnight_s + 86_400 * plan.days

    def bus_mode() -> str:
        if plan.outage(t):
            return "discharge"
        if boost_since is not None:
            return "boost"
        return "equalize" if any(a <= t < b for a, b in plan.equalizing) else "float"

    def tested(s: int) -> tuple[int, int, int] | None:
        runs = [x for x in plan.tests if x[0] == s and x[1] <= t < x[2]]
        return next((x for x in runs if x not in tests_over), None)

    def string_mode(s: int) -> str:
        off = any(i == s and a <= t < b for i, a, b in plan.offline)
        if t < strings[s].cut_until_s or off:
            return "idle"
        if plan.outage(t) or tested(s):
            return "idle" if strings[s].is_open(t) else "discharge"
        return bus_mode()

    def set_v(mode: str, before: bool = False) -> float:
        if mode == "discharge":
            return 0.0
        cell = 2.35
        if mode == "float":
            cell = float_set_cell_v(control_c, plan.compensated)
            for a, b, deviation in plan.charger:
                if a < t <= b if before else a <= t < b:
                    cell += deviation
        return cell * CELLS * len(strings[0].jars) * (1 + plan.regulation(t))

    def record(dt: int) -> list[tuple[list[float], float, list[float]]]:
        before = dt == 0
        volts = set_v(bus, before)
        here = [s.electric(volts, a, t, before) for s, a in zip(strings, currents, strict=True)]
        rows.append(
            {
                "t": t,
                "dt": dt,
                "mode": [s.mode for s in strings],
                "bus_v": volts,
                "jar_v": [list(v) for v, _, _ in here],
                "current_a": [
                    -a if s.mode == "discharge" else a
                    for (_, a, _), s in zip(here, strings, strict=True)
                ],
                "jar_c": [[jar.temperature_c for jar in s.jars] for s in strings],
                "jar_soc": [
                    [clipped(1 - j.removed_ah / (s.rated_ah * j.slow(t).soh)) for j in s.jars]
                    for s in strings
                ],
            }
        )
        return here

    while True:
        midnight = (t - plan.midnight_s) % 86_400 == 0
        if midnight and t > plan.midnight_s:
            record(0)
            if t == end:
                return rows
        modes = [string_mode(s) for s in range(len(strings))]
        back = any(
            s.mode in ("discharge", "idle") and now in CHARGING and not s.full
            for s, now in zip(strings, modes, strict=True)
        )
        if back and not plan.outage(t):
            lacking = [sum(j.removed_ah for j in s.jars) / len(s.jars) for s in strings]
            deepest = max(q / s.rated_ah for q, s in zip(lacking, strings, strict=True))
            boost_since = t if deepest > 0.05 else None
            modes = [string_mode(s) for s in range(len(strings))]
        changed = bus_mode() != bus or modes != [s.mode for s in strings]
        if (changed or t in jumps) and not midnight:
            record(0)
        for s, now in zip(strings, modes, strict=True):
            if s.mode == "discharge" != now:
                s.last_end_s = t
            if now == "discharge" != s.mode:
                s.rest_s, s.drawn_ah, s.full, s.low_for_s = t - s.last_end_s, 0.0, False, 0
                began, margin = t, 1e9
            s.mode = now
        bus = bus_mode()
        active = [s for s in strings if s.mode == "discharge"]
        if bus == "discharge":
            boost_since = None
            found = shared(active, plan.load_w(t), t) if active else []
            if found is None:
                for s in strings:
                    s.cut_until_s = plan.outage(t)[1]
                currents = [0.0] * len(strings)
                continue
            each = iter(found)
            currents = [next(each) if s.mode == "discharge" else 0.0 for s in strings]
        else:
            currents = [0.25 * s.rated_ah if s.mode == "discharge" else 0.0 for s in strings]
        next_slot = t + 300 - (t - plan.midnight_s) % 300
        stop = min([next_slot, *(int(e) for e in edges if t < e < math.inf)])
        if active:
            since = t - began
            longest = 10 if bus == "discharge" else 30
            step = 1 if since < 60 or margin < 0.25 else 5 if since < 600 else longest
            stop = min(stop, t + step)
        elif not all(s.full for s in strings if s.mode in CHARGING):
            stop = min(stop, t + 60 - (t - plan.midnight_s) % 60)
        dt = stop - t
        here = record(dt)
        margin = 1e9
        charged = [0.0]
        for string, (volts, amperes, main) in zip(strings, here, strict=True):
            if string.mode == "discharge":
                own = min(*volts, sum(volts) / len(volts)) - 10.5
                margin = min(margin, own)
                string.low_for_s = string.low_for_s + dt if own <= 0 else 0
            elif string.mode in CHARGING:
                charged.append(amperes / string.rated_ah)
            heat = string.heat(volts, amperes, main, t)
            string.take(amperes, main, t, dt)
            string.warm(plan.room_c(t), heat, dt, t)
        control_c += (pilots() - control_c) * (1 - math.exp(-dt / 1800))
        for s, string in enumerate(strings):
            if string.mode == "discharge" and string.low_for_s >= 10:
                string.low_for_s = 0
                if plan.outage(t):
                    string.cut_until_s = plan.outage(t)[1]
                else:
                    tests_over.add(tested(s))
        if bus == "boost" and (max(charged) < 0.01 or t + dt - boost_since >= 43_200):
            boost_since = None
        t += dt
