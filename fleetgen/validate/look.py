"""What a look at one part's files gives: small sums and extremes, which add up over parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fleetgen.schema import ALERT_LEVELS, COOLING, MODES, Column, Table
from fleetgen.spec import PartJob, Values

_KNOWN_TEXTS = {"mode": MODES, "hvac_status": COOLING, "level": ALERT_LEVELS}


class Episode(NamedTuple):
    """A sensor fault of `anomaly`: of a channel, or of all if it is None."""

    channel: str | None
    start_ms: int
    end_ms: int


@dataclass(frozen=True)
class LookJob:
    """A part that is looked at, the sensor faults in it by entity, and units that may be odd.

    Those in `troubled` have a failure mode. `there` are the files that the store has.
    """

    part: PartJob
    there: frozenset[str]
    faults: Mapping[str, tuple[Episode, ...]]
    troubled: frozenset[str]

    @property
    def key(self) -> str:
        """Name of the job."""
        return self.part.key


@dataclass
class Worst:
    """The largest of a value, and where it was."""

    value: float
    where: str = ""


class Course(NamedTuple):
    """SOH of a unit in a part [%], how often it rose, and the first and last instant [ms]."""

    first_ms: int
    last_ms: int
    first_pct: float
    last_pct: float
    rises: int


@dataclass
class Seen:
    """What was seen of one part, or of many.

    `counts` and `sums` add up (sums are whole numbers of a small unit), of `worst` the largest
    stays. `courses` are those of units by part; `unreadable` are files; `beyond` are assets and
    alert rules beyond whose warning level they were, `due` those who were for long enough.
    """

    counts: Counter[str] = field(default_factory=Counter)
    worst: dict[str, Worst] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)
    courses: dict[str, list[Course]] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)
    units: set[str] = field(default_factory=set)
    beyond: set[tuple[str, str]] = field(default_factory=set)
    due: set[tuple[str, str]] = field(default_factory=set)

    def merge(self, other: Seen) -> None:
        """Add what was seen elsewhere."""
        self.counts.update(other.counts)
        for name, worst in other.worst.items():
            self.peak(name, worst.value, worst.where)
        for name, text in other.examples.items():
            self.example(name, min(text, self.examples.get(name, text)))
        for unit, courses in other.courses.items():
            self.courses.setdefault(unit, []).extend(courses)
        self.unreadable += other.unreadable
        self.units |= other.units
        self.beyond |= other.beyond
        self.due |= other.due

    def peak(self, name: str, value: float, where: str) -> None:
        """Take a value in that may be the largest."""
        there = self.worst.get(name)
        if there is None or (value, where) > (there.value, there.where):
            self.worst[name] = Worst(value, where)

    def example(self, name: str, text: str) -> None:
        """Say what fell short."""
        if text:
            self.examples[name] = text

    def within(self, name: str, inside: int, of: int) -> None:
        """Count values that lie inside of something, and all of them."""
        self.counts[f"{name} inside"] += inside
        self.counts[f"{name} of"] += of


def fault_spans(
    episodes: tuple[Episode, ...], channel: str, first_ms: int, step_ms: int, rows: int
) -> list[slice]:
    """Rows of a clock in which a channel is at fault."""
    found = []
    for name, start_ms, end_ms in episodes:
        if name in (channel, None):
            a, b = (min(rows, max(0, -((first_ms - t) // step_ms))) for t in (start_ms, end_ms))
            if b > a:
                found.append(slice(a, b))
    return found


def milli(values: NDArray[np.float32]) -> int:
    """Sum of values in thousandths; what is not finite is told of elsewhere."""
    total = float(np.sum(values, dtype=np.float64))
    if not np.isfinite(total):
        total = float(np.sum(values[np.isfinite(values)], dtype=np.float64))
    return round(1000 * total)


def impossible(table: Table, columns: Mapping[str, Values]) -> Counter[str]:
    """Number of impossible values by column: outside of its range, null, no number, unknown."""
    found: Counter[str] = Counter()
    for column in table.columns:
        odd = _impossible(column, columns[column.name])
        if odd:
            found[column.name] += odd
    return found


def _impossible(column: Column, each: Values) -> int:
    odd = 0 if column.nullable else each.nulls
    if column.name in _KNOWN_TEXTS:
        known = {*_KNOWN_TEXTS[column.name], None}
        strange = [n for n, level in enumerate(each.levels) if level not in known]
        return odd + (int(np.count_nonzero(np.isin(each.values, strange))) if strange else 0)
    if column.kind != "float" or not each.values.size:
        return odd
    values = each.values
    low, high = values.min(), values.max()
    if low != low:  # a null, or no number
        values = values[values == values]
        odd += int(each.values.size - each.nulls - values.size)
        if not values.size:
            return odd
        low, high = values.min(), values.max()
    least, most = column.valid or (-np.inf, np.inf)
    slack = 1e-6 * max(abs(least), abs(most)) if column.valid else 0.0
    if low < least - slack or high > most + slack or np.isinf(low) or np.isinf(high):
        within = (values >= least - slack) & (values <= most + slack) & np.isfinite(values)
        odd += int(values.size - np.count_nonzero(within))
    return odd
