"""The physics of a string and its jars in one part, as their files show it."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fleetgen.schema import JAR_RAW, MODES
from fleetgen.spec import StringJob, Values
from fleetgen.units import SECONDS_PER_HOUR, iso_instant
from fleetgen.validate import bands, budgets
from fleetgen.validate.clock import Stretch
from fleetgen.validate.look import Course, LookJob, Seen, fault_spans, milli

Floats = NDArray[np.float32]
Columns = Mapping[str, Values]

_FLOAT, _DISCHARGE, _EQUALIZE = (MODES.index(name) for name in ("float", "discharge", "equalize"))
_NO_MODE = len(MODES)
_NOT_JUDGED = _NO_MODE + 1
_LEAST_SAMPLES = 3
"""Samples of a discharge at least, to take the integral of its current."""

_MILLI = 1000
_MILLI_VOLT_OHM = JAR_RAW.column("resistance_mohm")
_SIEMENS = JAR_RAW.column("conductance_s")


class StringLook:
    """A string's part: its own channels first, then its jars', then their truth."""

    def __init__(self, job: LookJob, part: StringJob, rows: int, first_ms: int, seen: Seen) -> None:
        self._job, self._part, self._seen = job, part, seen
        self._rows, self._first_ms = rows, first_ms
        self._step_ms = 1000 * part.run.grid.interval_s
        self._errors = part.run.scenario.sensor_errors
        self._mode = np.full(rows, _NO_MODE, np.uint8)
        self._voltage, self._current = (np.full(rows, np.nan, np.float32) for _ in range(2))
        self._jars_v = np.zeros(rows)
        self._jars = np.zeros(rows, np.uint8)
        self._edges = np.zeros(0, np.int64)
        self._charge: dict[str, NDArray[np.float64]] = {}

    def _faulty(self, entity: str, channel: str, first: int = 0, rows: int = 0) -> list[slice]:
        """Where a channel is at fault, of `rows` rows from the part's row `first` on."""
        episodes = self._job.faults.get(entity, ())
        first_ms = self._first_ms + first * self._step_ms
        return fault_spans(episodes, channel, first_ms, self._step_ms, rows or self._rows)

    def _when(self, row: int) -> str:
        ms = self._first_ms + row * self._step_ms
        return iso_instant(ms // 1000, self._part.run.grid.utc_offset_s)

    # --- the string -------------------------------------------------------------------------------

    def string_raw(self, stretch: Stretch, columns: Columns) -> None:
        """Take in a stretch of the string's samples."""
        cut = slice(stretch.a, stretch.b)
        mode = columns["mode"]
        codes = np.array([*map(_code, mode.levels)], np.uint8)[mode.values[cut]]
        flag = columns["equalize_flag"].values[cut]
        unlike = (codes != _NO_MODE) & (flag != (codes == _EQUALIZE))
        self._seen.counts["equalize_flag"] += int(np.count_nonzero(unlike))
        if stretch.at is None:
            return
        there = slice(stretch.at, stretch.at + stretch.b - stretch.a)
        self._mode[there] = codes
        self._voltage[there] = columns["voltage_v"].values[cut]
        self._current[there] = columns["current_a"].values[cut]

    def string_end(self) -> None:
        """Look at the string's channels once all of them are known."""
        string_id = self._part.string.string_id
        self._power_v, self._power_a = self._voltage.copy(), self._current.copy()
        for channel, values in (("voltage_v", self._voltage), ("current_a", self._current)):
            for odd in self._faulty(string_id, channel):
                values[odd] = np.nan
        on_battery = self._mode == _DISCHARGE
        drawn = self._current[on_battery]
        drawn = drawn[drawn == drawn]
        for values in (self._voltage, self._current):
            values[np.isinf(values)] = np.nan  # impossible, and told so: no sum holds it
        inside = int(np.count_nonzero(drawn < bands.DISCHARGE_CURRENT_A))
        self._seen.within("current.discharge", inside, drawn.size)
        edges = np.flatnonzero(np.diff(np.concatenate([[False], on_battery, [False]])))
        spans = [
            (a, b - 1)
            for a, b in edges.reshape(-1, 2).tolist()
            if b - a >= _LEAST_SAMPLES and not np.isnan(self._current[a:b]).any()
        ]
        self._edges = np.array(spans, np.int64).ravel()

    def string_calc(self, stretch: Stretch, columns: Columns) -> None:
        """Hold power against voltage x current of the same row."""
        if stretch.at is None:
            return
        there = slice(stretch.at, stretch.at + stretch.b - stretch.a)
        watts = columns["power_w"].values[stretch.a : stretch.b].astype(np.float64)
        product = self._power_v[there].astype(np.float64) * self._power_a[there]
        # Half a watt of rounding, and what 32 bits make of the factors.
        off = np.abs(watts - product) > 0.5 + 1e-6 * np.abs(product) + 1e-3
        self._seen.counts["power"] += int(
            np.count_nonzero(off | np.isinf(product) | (np.isnan(watts) & ~np.isnan(product)))
        )

    # --- its jars ---------------------------------------------------------------------------------

    def jar_raw(self, stretch: Stretch, columns: Columns) -> None:
        """Take in a stretch of a jar's samples."""
        cut = slice(stretch.a, stretch.b)
        volts, degrees = (columns[n].values[cut] for n in ("voltage_v", "temperature_c"))
        self._ohmic(columns["resistance_mohm"].values[cut], columns["conductance_s"].values[cut])
        if stretch.at is None:
            return
        first, end = stretch.at, stretch.at + stretch.b - stretch.a
        there = slice(first, end)
        odd_v = self._faulty(stretch.position, "voltage_v", first, end - first)
        odd_c = self._faulty(stretch.position, "temperature_c", first, end - first)
        total = self._jars_v[there]
        total += volts
        for odd in odd_v:
            total[odd] = np.nan
        self._jars[there] += 1
        if stretch.unit in self._job.troubled:
            return
        self._temperatures(degrees, odd_c)
        self._voltages(volts, self._mode[there], odd_v)

    def _ohmic(self, mohm: Floats, siemens: Floats) -> None:
        """Hold conductance against resistance of the same reading."""
        product = mohm * siemens
        low, high = product.min(), product.max()
        if low != low:
            unlike = int(np.count_nonzero(np.isnan(mohm) != np.isnan(siemens)))
            known = product == product
            product, mohm, siemens = product[known], mohm[known], siemens[known]
            self._seen.counts["conductance"] += unlike
            if not product.size:
                return
            low, high = product.min(), product.max()
        least = max(float(mohm.min()), 1e-9), max(float(siemens.min()), 1e-9)
        share = (
            0.5 * (_MILLI_VOLT_OHM.resolution / least[0] + _SIEMENS.resolution / least[1]) + 1e-6
        )
        if low < 1000 * (1 - share) or high > 1000 * (1 + share):
            off = np.abs(product - 1000) > 1000 * share
            self._seen.counts["conductance"] += int(np.count_nonzero(off))

    def _temperatures(self, degrees: Floats, faulty: list[slice]) -> None:
        if faulty or np.isnan(degrees.min()):
            kept = degrees == degrees
            for odd in faulty:
                kept[odd] = False
            degrees = degrees[kept]
        if not degrees.size:
            return
        least, most = bands.GUIDE_TEMPERATURE_C
        self._seen.within("temperature", _inside(degrees, least, most), degrees.size)
        self._seen.counts["jar temperature mK"] += milli(degrees)

    def _voltages(self, volts: Floats, mode: NDArray[np.uint8], faulty: list[slice]) -> None:
        """Count plausible voltages by mode: most are on float, others are few."""
        if faulty or np.isnan(volts.min()):
            mode = mode.copy()
            for odd in faulty:
                mode[odd] = _NOT_JUDGED
            mode[np.isnan(volts)] = _NOT_JUDGED
            judged = volts[mode != _NOT_JUDGED]
        else:
            judged = volts
        if not judged.size:
            return
        least, most = bands.GUIDE_VOLTAGE_V
        self._seen.within("voltage", _inside(judged, least, most), judged.size)
        floating = judged
        others = np.flatnonzero(mode != _FLOAT)
        if others.size:
            there = mode[others]
            floating = volts[mode == _FLOAT]
            for code, name in enumerate(MODES):
                if code != _FLOAT:
                    some = volts[others[there == code]]
                    inside = _inside(some, *bands.MODE_VOLTAGE_V[name]) if some.size else 0
                    self._seen.within(f"voltage.{name}", inside, some.size)
        if floating.size:
            inside = _inside(floating, *bands.MODE_VOLTAGE_V["float"])
            self._seen.within("voltage.float", inside, floating.size)
            self._seen.counts["float voltage mV"] += milli(floating)

    def jars_end(self) -> None:
        """Kirchhoff's voltage law, where all jars of the string are known."""
        jars = len(self._part.string.jar_ids)
        if len(self._part.jar_ids) < jars:
            return
        gap = self._jars_v - self._voltage
        gap[(self._jars != jars) | np.isinf(gap)] = np.nan
        known = ~np.isnan(gap)
        if not known.any():
            return
        string_id = self._part.string.string_id
        budget = budgets.kirchhoff(jars, self._errors)
        self._seen.counts["kirchhoff of"] += int(np.count_nonzero(known))
        allowed = budget.fixed_frac * self._voltage + budget.rest_v
        self._peak("kirchhoff.level", np.abs(gap) / allowed, string_id)
        floating = known & (self._mode == _FLOAT)
        if np.count_nonzero(floating) > 1:
            volts, gaps = self._voltage[floating].astype(np.float64), gap[floating]
            mean_v = float(np.mean(volts))
            # The gains' share of what the voltage moves by, and no more.
            allowed = budget.fixed_frac * np.abs(self._voltage - mean_v) + budget.rest_v
            moved = np.abs(gap - float(np.mean(gaps))) / allowed
            moved[~floating] = np.nan
            self._peak("kirchhoff.change", moved, string_id)

    def _peak(self, name: str, values: NDArray[np.float64], entity: str) -> None:
        row = int(np.nanargmax(values))
        self._seen.peak(name, float(values[row]), f"{entity} at {self._when(row)}")

    # --- their truth ------------------------------------------------------------------------------

    def jar_calc(self, stretch: Stretch, columns: Columns) -> None:
        """Take in a stretch of a jar's truth."""
        soc, soh = (columns[n].values[stretch.a : stretch.b] for n in ("soc_pct", "soh_pct"))
        if not soh.size:
            return
        stamps = columns["ts"].values
        rises = int(np.count_nonzero(np.diff(soh) > 0))
        first_ms, last_ms = int(stamps[stretch.a]), int(stamps[stretch.b - 1])
        course = Course(first_ms, last_ms, float(soh[0]), float(soh[-1]), rises)
        self._seen.courses.setdefault(stretch.unit, []).append(course)
        if stretch.at is None or not self._edges.size:
            return
        at, end = stretch.at, stretch.at + stretch.b - stretch.a
        a, b = np.searchsorted(self._edges, [at, end])
        mine = self._charge.setdefault(stretch.position, np.full(self._edges.size, np.nan))
        rows = self._edges[a:b] - at
        mine[a:b] = soc[rows].astype(np.float64) * soh[rows] / 1e4

    def calc_end(self) -> None:
        """Balance of charge: what the Hall sensor says was drawn is what the jars miss."""
        if not self._charge:
            return
        string = self._part.string
        rated_ah = string.model.rated_capacity_ah
        allowed = budgets.charge(rated_ah, self._errors)
        each = np.stack([*self._charge.values()])
        each[np.isinf(each)] = np.nan
        known = ~np.isnan(each).all(axis=0)
        held = np.full(known.size, np.nan)
        held[known] = rated_ah * np.nanmedian(each[:, known], axis=0)
        step_h = self._step_ms / 1000 / SECONDS_PER_HOUR
        for n, (a, b) in enumerate(self._edges.reshape(-1, 2).tolist()):
            missing_ah = float(held[2 * n] - held[2 * n + 1])
            if missing_ah != missing_ah:
                continue
            current = self._current[a : b + 1].astype(np.float64)
            drawn_ah = -float(np.trapezoid(current, dx=step_h))
            budget_ah = (
                allowed.drawn_frac * abs(drawn_ah)
                + allowed.per_hour_a * (b - a) * step_h
                + allowed.rest_ah
            )
            self._seen.counts["charge of"] += 1
            where = f"{string.string_id} from {self._when(a)} to {self._when(b)}"
            told = f"{where}: {drawn_ah:.3f} Ah drawn, {missing_ah:.3f} Ah missing"
            self._seen.peak("charge", abs(drawn_ah - missing_ah) / budget_ah, told)


def merged(courses: list[Course]) -> Course:
    """Course of a unit over all of its parts."""
    ordered = sorted(courses)
    between = sum(b.first_pct > a.last_pct for a, b in pairwise(ordered))
    rises = between + sum(each.rises for each in ordered)
    first, last = ordered[0], ordered[-1]
    return Course(first.first_ms, last.last_ms, first.first_pct, last.last_pct, rises)


def _code(level: str | None) -> int:
    return MODES.index(level) if level in MODES else _NO_MODE


def _inside(values: Floats, least: float, most: float) -> int:
    """Number of values within two bounds, none of them null."""
    if values.min() >= least and values.max() <= most:
        return int(values.size)
    return int(np.count_nonzero((values >= least) & (values <= most)))
