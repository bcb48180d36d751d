"""What was looked at, what was found, and how it is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

CheckName = Literal[
    "control files", "receipts", "files", "rows", "values", "strangers", "made again"
]
CHECKS: tuple[CheckName, ...] = (
    "control files",
    "receipts",
    "files",
    "rows",
    "values",
    "strangers",
    "made again",
)

_SHOWN_BAD = 20

Notify = Callable[[str, int, int], None]
"""Takes what is looked at, how many of them are done, and how many there are; or a line alone, and
twice 0."""


@dataclass(frozen=True)
class Bad:
    """Something that is not as it should be. `part` is the job that would make it again."""

    check: CheckName
    path: str
    what: str
    part: str = ""


@dataclass
class Findings:
    """What was looked at, by check, and what was found; `remade` parts were made again before."""

    checked: dict[CheckName, int] = field(default_factory=lambda: dict.fromkeys(CHECKS, 0))
    bad: list[Bad] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    remade: int | None = None

    def add(self, check: CheckName, path: str, what: str, part: str = "") -> None:
        """Note what is wrong with a file."""
        self.bad.append(Bad(check, path, what, part))

    def lines(self) -> Iterator[str]:
        """Tell it: a table of the checks, what is bad, and the verdict."""
        yield f"{'check':<14} {'checked':>9} {'bad':>9}"
        for name, checked in self.checked.items():
            bad = sum(each.check == name for each in self.bad)
            yield f"{name:<14} {checked:>9,} {bad:>9,}"
        for each in self.bad[:_SHOWN_BAD]:
            yield f"{each.path}: {each.what}"
        if len(self.bad) > _SHOWN_BAD:
            yield f"and {len(self.bad) - _SHOWN_BAD:,} more"
        yield from self.notes
        if self.remade is not None:
            yield f"parts made again: {self.remade:,}"
        yield self._verdict()

    def _verdict(self) -> str:
        if not self.bad:
            return "the data set is whole"
        if all(each.check == "strangers" for each in self.bad):
            return "the data set is whole, but for the strangers in it: move or clean them away"
        return "the data set is not whole; fleetgen verify --repair makes bad files again"
