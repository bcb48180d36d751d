"""What the report shows: few values, gathered from a data set, in whole counts and seconds."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleetgen.spec import NULL, Sketch

Ints = NDArray[np.int64]

BINS = 360
"""Most points of a line: more than a screen shows."""

RUL_CELLS, RUL_CELL_DAYS = 20, 365
"""Cells of the picture of predictions, along each side, and their width."""

SIGMAS = 4
"""Standard deviations within which a number drawn at random is expected."""


@dataclass(frozen=True)
class Binned:
    """A channel by bins of time: int64 (bin,) mean instant [s], rows, sum, lowest and highest.

    Bins without a known value are left out; values are counts, `per_unit` to the unit.
    """

    t_s: Ints
    rows: Ints
    total: Ints
    low: Ints
    high: Ints
    per_unit: int

    def means(self) -> list[tuple[float, float]]:
        """Instants and mean values."""
        return [
            (float(t), total / (rows * self.per_unit))
            for t, rows, total in zip(
                self.t_s.tolist(), self.rows.tolist(), self.total.tolist(), strict=True
            )
        ]

    def ranges(self) -> list[tuple[float, float, float]]:
        """Instants, lowest and highest values."""
        return [
            (float(t), low / self.per_unit, high / self.per_unit)
            for t, low, high in zip(
                self.t_s.tolist(), self.low.tolist(), self.high.tolist(), strict=True
            )
        ]


def binned(t_s: Ints, counts: Ints, per_unit: int, start_s: int, width_s: int) -> Binned:
    """Bin a channel: instants and counts (row,), `NULL` where there is no value."""
    known = counts != NULL
    t_s, values = t_s[known], counts[known]
    number = (t_s - start_s) // width_s
    order = np.argsort(number, kind="stable")
    number, values, t_s = number[order], values[order], t_s[order]
    edges = np.flatnonzero(np.diff(number, prepend=-1))
    if not len(edges):
        none = np.zeros(0, np.int64)
        return Binned(none, none, none, none, none, per_unit)
    rows = np.diff(edges, append=len(number))
    return Binned(
        t_s=np.add.reduceat(t_s, edges) // rows,
        rows=rows,
        total=np.add.reduceat(values, edges),
        low=np.minimum.reduceat(values, edges),
        high=np.maximum.reduceat(values, edges),
        per_unit=per_unit,
    )


@dataclass
class Place:
    """A location, and what became of it. `soh_milli_pct` is a sum over `units`."""

    location_id: str
    name: str
    region: str
    latitude: float
    longitude: float
    strings: int
    jars: int
    units: int = 0
    soh_milli_pct: int = 0
    worn: int = 0
    alerts: int = 0
    replaced: int = 0


@dataclass(frozen=True)
class Subject:
    """A unit that is shown. `state` is its entry in `battery_states.json`.

    `stays` says that it is in service to the end of the run.
    """

    battery_id: str
    profile: str
    state: dict[str, Any]
    stays: bool
    channels: dict[str, Binned]


@dataclass(frozen=True)
class Outage:
    """An outage on the battery of one string, from [start_s, end_s), shown over [from_s, to_s).

    `samples` of the string lie in it. Channels: `volts` of all jars, `weak` of the jar `weakest`
    (by its mean in the outage), and the string's `current`.
    """

    string_id: str
    start_s: int
    end_s: int
    from_s: int
    to_s: int
    samples: int
    jars: int
    weakest: str = ""
    profile: str = ""
    channels: dict[str, Binned] = field(default_factory=dict)


@dataclass
class Calendar:
    """What happened when: by name, how often in each bin of days."""

    bin_days: int
    bins: int
    work: dict[str, Counter[int]] = field(default_factory=dict)
    alerts: dict[str, Counter[int]] = field(default_factory=dict)
    critical: dict[str, Counter[int]] = field(default_factory=dict)


@dataclass
class Lives:
    """Predictions of one Monday against the truth: how many in each cell (true, predicted)."""

    at_s: int | None = None
    cells: Counter[tuple[int, int]] = field(default_factory=Counter)
    within: int = 0
    units: int = 0


@dataclass
class Content:
    """All that the figures show, beside the summary."""

    places: list[Place] = field(default_factory=list)
    soh_bins: dict[str, Counter[int]] = field(default_factory=dict)
    climate: dict[tuple[str, int, int], tuple[Sketch, Sketch]] = field(default_factory=dict)
    subjects: list[Subject] = field(default_factory=list)
    outage: Outage | None = None
    outages: int = 0
    calendar: Calendar = field(default_factory=lambda: Calendar(1, 1))
    lives: Lives = field(default_factory=Lives)
