"""Whether each id of a part has each instant of its clock once, in order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fleetgen.spec import Values

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Stretch:
    """Rows [a, b) of a piece of a file, all of `unit`, that are those of its position from `at` on.

    `at` is None where they are not what the clock has next.
    """

    unit: str
    position: str
    a: int
    b: int
    at: int | None


@dataclass
class Clock:
    """Instants `first_ms` + n x `step_ms`, n < `rows`, that each position has in a part."""

    first_ms: int
    step_ms: int
    rows: int
    positions: tuple[str, ...]
    seen_rows: int = 0
    doubled: int = 0
    displaced: int = 0
    strangers: int = 0
    example: str = ""
    _next: dict[str, int] = field(default_factory=dict)
    _last_ms: dict[str, int] = field(default_factory=dict)
    _odd: dict[str, NDArray[np.uint8]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Build the ticks that rows are held against."""
        self._next = dict.fromkeys(self.positions, 0)
        self._ticks = self.first_ms + self.step_ms * np.arange(self.rows, dtype=np.int64)

    def take(self, instants: Values, ids: Values) -> Iterator[Stretch]:
        """Hold the rows of a piece against the clock, and give them by unit."""
        stamps, codes = instants.values, ids.values
        self.seen_rows += len(stamps)
        if len(stamps) == 0:
            return
        edges = [0, len(codes)]
        if len(ids.levels) > 2 or ids.nulls:
            edges = [0, *(np.flatnonzero(np.diff(codes)) + 1).tolist(), len(codes)]
        for a, b in pairwise(edges):
            unit = str(ids.levels[codes[a]])
            position = position_of(unit, self._next)
            if position not in self._next:
                self.strangers += b - a
                self._say(f"{unit!r:.80} is not of this part")
                continue
            at = self._next[position]
            self._next[position] = at + b - a
            own = stamps[a:b]
            in_turn = at + b - a <= self.rows and bool((own == self._ticks[at : at + b - a]).all())
            if not in_turn or position in self._odd:
                self._look(position, own, at)
            if len(own):
                self._last_ms[position] = int(own[-1])
            yield Stretch(unit, position, a, b, at if in_turn else None)

    def _look(self, position: str, stamps: Ints, at: int) -> None:
        """Look closer at rows that are not what comes next."""
        there = self._odd.get(position)
        if there is None:
            there = self._odd[position] = np.zeros(self.rows, np.uint8)
            there[: min(at, self.rows)] = 1
        index, rest = np.divmod(stamps - self.first_ms, self.step_ms)
        off = (rest != 0) | (index < 0) | (index >= self.rows)
        on = index[~off]
        times = np.bincount(on, minlength=self.rows)[: self.rows]
        self.doubled += int(np.maximum(times + there - 1, 0)[times > 0].sum())
        there[on] = 1
        before = np.concatenate([[self._last_ms.get(position, -(2**62))], stamps[:-1]])
        back = stamps < before  # an equal one is doubled
        self.displaced += int(np.count_nonzero(off | back))
        odd = np.flatnonzero(off | back)
        if odd.size:
            self._say(f"{position}: {int(stamps[odd[0]])} ms is off the clock or out of order")

    def _say(self, what: str) -> None:
        self.example = self.example or what

    @property
    def missing(self) -> int:
        """Instants that some position does not have; a doubled one counts for none."""
        lacking = 0
        for position, rows in self._next.items():
            if position in self._odd:
                lacking += self.rows - int(np.count_nonzero(self._odd[position]))
            else:
                lacking += self.rows - rows
        return lacking


def position_of(unit: str, positions: dict[str, int] | None = None) -> str:
    """Position of a unit, which the id of a unit that came in the run continues by -R and digits.

    Of known positions; any other id as it is.
    """
    first, _, number = unit.rpartition("-R")
    if number.isdecimal() and (positions is None or first in positions):
        return first
    return unit
