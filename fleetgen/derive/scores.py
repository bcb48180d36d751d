"""How well remaining lives were predicted, as sketches that add up over strings.

All sums are integers, so that no order can change a bit. Conventions: a life that nothing ends
within 20 years counts as 20 years; predictions of what had ended by then, and empty ones, are not
scored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleetgen.derive.rul import exponentials
from fleetgen.schema import RUL_HORIZON_DAYS, RUL_PREDICTION
from fleetgen.spec import NULL

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SOON_DAYS = 90
"""Lives that end within these are what a warning is for."""

PHM_UNIT_DAYS = 30
"""A cycle of the PHM08 score: its engines lived some 200 cycles, a jar lives some 100 months."""

PHM_EARLY, PHM_LATE = 13.0, 10.0
"""Cycles by which a prediction is early or late to be charged e - 1: Saxena et al., PHM 2008."""

_MILLIONTHS = 1_000_000


def _edges() -> Ints:
    edges = [1]
    while edges[-1] < RUL_PREDICTION.column("failure_probability_90d").per_unit:
        edges.append(edges[-1] + max(1, edges[-1] // 8))
    return np.array(edges, np.int64)


_EDGES = _edges()
"""Counts of probability at which the next bin begins: steps of an eighth."""

BINS = len(_EDGES) + 1


@dataclass
class Scores:
    """Sums over predictions; of the two histograms over bins of the failure probability."""

    rows: int = 0
    squared_error: int = 0
    truth: int = 0
    squared_truth: int = 0
    phm08_millionths: int = 0
    covered: int = 0
    failing: list[int] = field(default_factory=lambda: [0] * BINS)
    surviving: list[int] = field(default_factory=lambda: [0] * BINS)

    def add(self, predicted: Mapping[str, Ints], true_days: Floats) -> None:
        """Take in predictions: columns of `rul_prediction` as counts, and what was true, (row,).

        `true_days` is NaN where nothing ends a life within 20 years, and 0 or less where it has
        ended.
        """
        true = np.where(np.isnan(true_days), float(RUL_HORIZON_DAYS), true_days)
        scored = (predicted["rul_days"] != NULL) & (true > 0.0)
        days = np.floor(np.minimum(true[scored], RUL_HORIZON_DAYS) + 0.5).astype(np.int64)
        error = predicted["rul_days"][scored] - days
        low = predicted["rul_lower_ci_days"][scored]
        high = predicted["rul_upper_ci_days"][scored]
        bins = np.searchsorted(_EDGES, predicted["failure_probability_90d"][scored], side="right")
        soon = true[scored] <= SOON_DAYS
        self.rows += len(days)
        self.squared_error += int((error * error).sum())
        self.truth += int(days.sum())
        self.squared_truth += int((days * days).sum())
        self.phm08_millionths += int(phm08_millionths(error).sum())
        self.covered += int(((low <= days) & (days <= high)).sum())
        for histogram, of in ((self.failing, soon), (self.surviving, ~soon)):
            for i, n in enumerate(np.bincount(bins[of], minlength=BINS).tolist()):
                histogram[i] += n

    def merge(self, other: Scores) -> None:
        """Take in what another sketch counted."""
        for f in fields(self):
            mine, theirs = getattr(self, f.name), getattr(other, f.name)
            both = (
                [a + b for a, b in zip(mine, theirs, strict=True)]
                if f.name in ("failing", "surviving")
                else mine + theirs
            )
            setattr(self, f.name, both)

    def counts(self) -> dict[str, Any]:
        """The sketch as JSON has it; `Scores(**counts)` is it again."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @property
    def rmse_days(self) -> float | None:
        """Root of the mean squared error [d]; None without rows."""
        return float(np.sqrt(self.squared_error / self.rows)) if self.rows else None

    @property
    def r2(self) -> float | None:
        """1 - mean squared error over the truth's variance; None where it does not vary."""
        spread = self.rows * self.squared_truth - self.truth * self.truth
        return 1.0 - self.rows * self.squared_error / spread if spread else None

    @property
    def phm08(self) -> float | None:
        """Mean of the PHM08 score over predictions; None without rows."""
        return self.phm08_millionths / _MILLIONTHS / self.rows if self.rows else None

    @property
    def coverage(self) -> float | None:
        """Share of lives within their 80 % interval; None without rows."""
        return self.covered / self.rows if self.rows else None

    @property
    def auc(self) -> float | None:
        """Chance that of a life that ends within 90 days and one that does not, the first has the
        higher probability, equal ones counting half; None without both.
        """  # noqa: D205
        fail, live, twice = 0, 0, 0
        for f, s in zip(self.failing, self.surviving, strict=True):
            twice += f * (2 * live + s)
            fail, live = fail + f, live + s
        return twice / (2 * fail * live) if fail and live else None


def phm08_millionths(error_days: Ints) -> Ints:
    """PHM08 score of each error (predicted less true), in millionths, (row,).

    exp(-d / 13) - 1 of an early prediction, exp(d / 10) - 1 of a late one, d in months of 30 days.
    """
    months = error_days / PHM_UNIT_DAYS
    late = np.where(months < 0, -months / PHM_EARLY, months / PHM_LATE)
    return np.floor(_MILLIONTHS * (exponentials(late) - 1.0) + 0.5).astype(np.int64)
