"""Slow, plain rewrites of what the package computes: the other source of expected numbers.

Nothing here imports the package. Integers are Python's own, reduced by hand; floats go through the
`math` module; loops run over lists. The laws are those of the literature that the package cites.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

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
    bus_v: float, rated_ah: float, ln_i0: list[float], temperature_c: list[float]
) -> tuple[list[float], float]:
    """Jar voltages and current of a full string: Tafel's law with one current for all."""
    n = len(ln_i0)
    g = [ln + 0.06 * (t - 25) for ln, t in zip(ln_i0, temperature_c, strict=True)]
    ln_rate = 11 * (bus_v / (CELLS * n) - 2.27) + sum(g) / n
    return [CELLS * (2.27 + (ln_rate - one) / 11) for one in g], rated_ah * math.exp(ln_rate)


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
) -> float:
    """Voltage of one jar under load."""
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
    return CELLS * cell - current_a * ohm


def recharge_jar(
    current_a: float,
    rated_ah: float,
    family: tuple[float, ...],
    ln_i0: float,
    removed_ah: float,
    soh: float,
    growth: float,
    temperature_c: float,
) -> tuple[float, float]:
    """Voltage of one jar at a charging current, and the part of it that charges."""
    full = rated_ah * soh
    open_v = cell_open_v(removed_ah, full, temperature_c)
    missing = max(1 - clipped(1 - removed_ah / full), 1e-6)
    ohm = family[3] / 1000 / 6 * growth * 100 / rated_ah
    ohm += 2.6e-3 * 100 / rated_ah / missing * math.exp(-0.02 * (temperature_c - 25))
    eta = 0.05 * (1 - math.exp(-current_a / (0.01 * rated_ah)))
    main_v = open_v + eta + current_a * ohm
    gas_v = 2.27 + (math.log(current_a / rated_ah) - ln_i0 - 0.06 * (temperature_c - 25)) / 11
    if main_v <= gas_v:
        return CELLS * main_v, current_a
    return CELLS * gas_v, min(current_a, max(0.0, (gas_v - open_v - eta) / ohm))


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


@dataclass
class Jar:
    """What is fixed of a jar; `slow` gives (ln I0, SOH, resistance growth) at an instant."""

    cabinet_rise_k: float
    k_per_w: float
    time_constant_s: float
    new_mohm: float
    slow: Callable[[int], tuple[float, float, float]]
    removed_ah: float = 0.0
    temperature_c: float = 25.0


@dataclass
class Cells:
    """A string: its jars and what they have been through."""

    rated_ah: float
    family: tuple[float, ...]
    jars: list[Jar]
    full: bool = True
    depleting_a: float = 0.0
    drawn_ah: float = 0.0
    rest_s: float = 0.0
    last_end_s: float = -1e12

    def under_load(self, current_a: float, t: int) -> list[float]:
        remembered = max(current_a, self.depleting_a)
        return [
            discharge_jar_v(
                current_a,
                remembered,
                self.drawn_ah,
                self.rest_s,
                self.rated_ah,
                self.family,
                jar.removed_ah,
                jar.slow(t)[1],
                jar.slow(t)[2],
                jar.temperature_c,
            )
            for jar in self.jars
        ]

    def at_rest(self, t: int) -> list[float]:
        """An idle string: depletion forgotten, no current."""
        return [
            discharge_jar_v(
                0.0,
                0.0,
                self.drawn_ah,
                self.rest_s,
                self.rated_ah,
                self.family,
                jar.removed_ah,
                jar.slow(t)[1],
                jar.slow(t)[2],
                jar.temperature_c,
            )
            for jar in self.jars
        ]

    def charging(self, current_a: float, t: int) -> list[tuple[float, float]]:
        found = []
        for jar in self.jars:
            ln_i0, soh, growth = jar.slow(t)
            found.append(
                recharge_jar(
                    current_a,
                    self.rated_ah,
                    self.family,
                    ln_i0,
                    jar.removed_ah,
                    soh,
                    growth,
                    jar.temperature_c,
                )
            )
        return found

    def on_charger(self, bus_v: float, t: int) -> tuple[list[float], float, list[float]]:
        """Jar voltages, current and the jars' charging currents at a bus voltage."""
        if self.full:
            volts, current = float_string(
                bus_v,
                self.rated_ah,
                [jar.slow(t)[0] for jar in self.jars],
                [jar.temperature_c for jar in self.jars],
            )
            return volts, current, [0.0] * len(volts)

        def excess(ln_rate: float) -> float:
            return sum(v for v, _ in self.charging(self.rated_ah * math.exp(ln_rate), t)) - bus_v

        limit = math.log(0.1)
        ln_rate = limit if excess(limit) <= 0 else root(excess, limit - 16, limit)
        current = self.rated_ah * math.exp(ln_rate)
        volts, main = zip(*self.charging(current, t), strict=True)
        return list(volts), current, list(main)

    def warm(self, room_c: float, heat_w: list[float], dt: int) -> None:
        over = [jar.temperature_c - room_c for jar in self.jars]
        for j, jar in enumerate(self.jars):
            near = [over[k] for k in (j - 1, j + 1) if 0 <= k < len(over)]
            goal = room_c + jar.cabinet_rise_k + jar.k_per_w * heat_w[j]
            goal += 0.15 * sum(near) / len(near) if near else 0.0
            share = 1 - math.exp(-dt / jar.time_constant_s)
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
    """What the outside does; functions of the instant, and intervals [start, end)."""

    midnight_s: int
    days: int
    room_c: Callable[[int], float]
    load_w: Callable[[int], float]
    regulation: Callable[[int], float]
    compensated: bool
    outages: list[tuple[int, int]]
    equalizing: list[tuple[int, int]]


def heat_of(string: Cells, mode: str, volts, current: float, main, t: int) -> list[float]:
    """Heat in each jar [W]."""
    heats = []
    for jar, v, charging in zip(string.jars, volts, main, strict=True):
        full = string.rated_ah * jar.slow(t)[1]
        open_v = CELLS * cell_open_v(jar.removed_ah, full, jar.temperature_c)
        entropy = CELLS * 2e-4 * (jar.temperature_c + 273.15)
        if mode == "idle":
            heats.append(0.0)
        elif mode == "discharge":
            heats.append(current * (open_v - v) - current * entropy)
        elif string.full:
            heats.append(current * v)
        else:
            heats.append(charging * (v - open_v) + charging * entropy + (current - charging) * v)
    return heats


def walk(strings: list[Cells], plan: Plan) -> list[dict[str, Any]]:  # noqa: C901, PLR0915
    """The rows of the physical grid, each with what holds at its start, jars by string.

    A row ends at the next five minutes, whole minute in recharge, event, or step of a discharge;
    a row of no length closes each day and each mode.
    """
    rows: list[dict[str, Any]] = []
    pilot = len(strings[0].jars) // 2

    def pilots() -> float:
        return sum(s.jars[pilot].temperature_c for s in strings) / len(strings)

    control_c, mode, margin = pilots(), "float", 1e9
    boost_since, cut_until, low_for, began, currents = None, -1, 0, 0, [0.0] * len(strings)
    t, end = plan.midnight_s, plan.midnight_s + 86_400 * plan.days

    def outage_at(t: int) -> tuple[int, int] | None:
        return next((o for o in plan.outages if o[0] <= t < o[1]), None)

    def mode_at(t: int) -> str:
        if outage_at(t):
            return "idle" if t < cut_until else "discharge"
        if boost_since is not None:
            return "boost"
        return "equalize" if any(a <= t < b for a, b in plan.equalizing) else "float"

    def set_v(mode: str) -> float:
        if mode in ("discharge", "idle"):
            return 0.0
        cell = 2.35 if mode != "float" else float_set_cell_v(control_c, plan.compensated)
        return cell * CELLS * len(strings[0].jars) * (1 + plan.regulation(t))

    def record(dt: int) -> list[tuple[list[float], float, list[float]]]:
        bus = set_v(mode)
        here = []
        for string, amperes in zip(strings, currents, strict=True):
            none = [0.0] * len(string.jars)
            if mode == "discharge":
                here.append((string.under_load(amperes, t), amperes, none))
            elif mode == "idle":
                here.append((string.at_rest(t), 0.0, none))
            else:
                here.append(string.on_charger(bus, t))
        rows.append(
            {
                "t": t,
                "dt": dt,
                "mode": mode,
                "bus_v": bus,
                "jar_v": [list(volts) for volts, _, _ in here],
                "current_a": [-a if mode == "discharge" else a for _, a, _ in here],
                "jar_c": [[jar.temperature_c for jar in s.jars] for s in strings],
                "jar_soc": [
                    [clipped(1 - j.removed_ah / (s.rated_ah * j.slow(t)[1])) for j in s.jars]
                    for s in strings
                ],
            }
        )
        return here

    while True:
        if (t - plan.midnight_s) % 86_400 == 0 and t > plan.midnight_s:
            record(0)
            if t == end:
                return rows
        now = mode_at(t)
        if mode in ("discharge", "idle") and now not in ("discharge", "idle"):
            deepest = max(
                sum(j.removed_ah for j in s.jars) / len(s.jars) / s.rated_ah for s in strings
            )
            boost_since = t if deepest > 0.05 else None
            now = mode_at(t)
        if now != mode:
            if (t - plan.midnight_s) % 86_400:
                record(0)
            for s in strings:
                if mode == "discharge":
                    s.last_end_s = t
                if now == "discharge":
                    s.rest_s, s.drawn_ah, s.full = t - s.last_end_s, 0.0, False
            if now == "discharge":
                began, low_for, boost_since = t, 0, None
            mode = now
        if mode == "discharge":
            found = shared(strings, plan.load_w(t), t)
            if found is None:
                cut_until = outage_at(t)[1]
                continue
            currents = found
        next_slot = t + 300 - (t - plan.midnight_s) % 300
        edges = [e for pair in (*plan.outages, *plan.equalizing) for e in pair if e > t]
        stop = min([next_slot, *edges])
        if mode == "discharge":
            since = t - began
            step = 1 if since < 60 or margin < 0.25 else 5 if since < 600 else 10
            stop = min(stop, t + step)
        elif mode != "idle" and not all(s.full for s in strings):
            stop = min(stop, t + 60 - (t - plan.midnight_s) % 60)
        dt = stop - t
        here = record(dt)
        margin = min(min(*volts, sum(volts) / len(volts)) - 10.5 for volts, _, _ in here)
        most = max(a / s.rated_ah for (_, a, _), s in zip(here, strings, strict=True))
        for string, (volts, amperes, main) in zip(strings, here, strict=True):
            heat = heat_of(string, mode, volts, amperes, main, t)
            if mode == "discharge":
                string.drawn_ah += amperes * dt / 3600
                string.depleting_a = max(string.depleting_a, amperes)
                for jar in string.jars:
                    jar.removed_ah += amperes * dt / 3600
            elif mode != "idle" and string.full:
                for jar in string.jars:
                    jar.removed_ah *= math.exp(-dt / 3600)
            elif mode != "idle":
                for jar, charging in zip(string.jars, main, strict=True):
                    jar.removed_ah = max(0.0, jar.removed_ah - 0.97 * charging * dt / 3600)
                string.full = all(
                    1 - jar.removed_ah / (string.rated_ah * jar.slow(t)[1]) > 0.999
                    and charging < amperes  # and gasses: then float is the same law
                    for jar, charging in zip(string.jars, main, strict=True)
                )
            string.depleting_a *= math.exp(-dt / 600)
            string.warm(plan.room_c(t), heat, dt)
        control_c += (pilots() - control_c) * (1 - math.exp(-dt / 1800))
        if mode == "discharge":
            low_for = low_for + dt if margin <= 0 else 0
            if low_for >= 10:
                cut_until = outage_at(t)[1]
        elif mode == "boost" and (most < 0.01 or t + dt - boost_since >= 43_200):
            boost_since = None
        t += dt
