"""A check of the specification: what was measured, and the band in which it should lie."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

ANY = math.inf


@dataclass(frozen=True)
class Check:
    """One number held against a band; `row` is that of the specification's table of checks.

    `basis` says on how much it was measured. NaN, nothing to measure, is outside.
    """

    row: str
    claim: str
    value: float
    low: float
    high: float
    unit: str
    source: str
    basis: str

    @property
    def ok(self) -> bool:
        return self.low <= self.value <= self.high

    @property
    def band(self) -> str:
        if self.high == ANY:
            return f"at least {self.low:g}"
        if self.low == -ANY:
            return f"at most {self.high:g}"
        return f"{self.low:g} to {self.high:g}"


def table(runs: Mapping[int, Sequence[Check]]) -> str:
    """Markdown table of the same checks on several seeds, one line for each check."""
    columns = ("row", "check", *map(str, runs), "band", "unit", "source", "measured on", "inside")
    rule = ["---"] * len(columns)
    rule[2 : 2 + len(runs)] = ["--:"] * len(runs)
    lines = [f"| {' | '.join(columns)} |", f"|{'|'.join(rule)}|"]
    for same in zip(*runs.values(), strict=True):
        first = same[0]
        values = ("nothing to measure" if math.isnan(c.value) else f"{c.value:.4g}" for c in same)
        inside = "yes" if all(c.ok for c in same) else "**no**"
        head = (first.row, first.claim)
        tail = (first.band, first.unit, first.source, first.basis, inside)
        lines.append(f"| {' | '.join((*head, *values, *tail))} |")
    return "\n".join(lines) + "\n"


# --- statistics that a few bad sensors do not move ------------------------------------------------


def median(values: ArrayLike) -> float:
    x = known(values)
    return float(np.median(x)) if x.size else math.nan


def mean(values: ArrayLike) -> float:
    x = known(values)
    return float(np.mean(x)) if x.size else math.nan


def quantile(values: ArrayLike, share: float) -> float:
    x = known(values)
    return float(np.quantile(x, share)) if x.size else math.nan


def deviation(values: ArrayLike) -> float:
    """Standard deviation by the median absolute deviation."""
    x = known(values)
    return 1.4826 * float(np.median(np.abs(x - np.median(x)))) if x.size else math.nan


def correlation(x: ArrayLike, y: ArrayLike) -> float:
    a, b = both_known(x, y)
    return float(np.corrcoef(a, b)[0, 1]) if a.size > 2 else math.nan


def slope(x: ArrayLike, y: ArrayLike) -> float:
    """Slope of y over x by least squares, after points beyond 5 deviations were dropped twice."""
    a, b = both_known(x, y)
    if a.size < 10:
        return math.nan
    for _ in range(2):
        gradient, offset = np.polyfit(a, b, 1)
        left = b - gradient * a - offset
        kept = np.abs(left - np.median(left)) <= 5 * deviation(left) + 1e-12
        a, b = a[kept], b[kept]
    return float(np.polyfit(a, b, 1)[0])


def known(values: ArrayLike) -> np.ndarray:
    x = np.asarray(values, np.float64)
    return x[np.isfinite(x)]


def both_known(x: ArrayLike, y: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(x, np.float64), np.asarray(y, np.float64)
    kept = np.isfinite(a) & np.isfinite(b)
    return a[kept], b[kept]
