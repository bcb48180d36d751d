"""What a check found: a value, the band in which it must lie, and the query that gives it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

_SHOWN_WHY = 160


@dataclass(frozen=True)
class Finding:
    """Outcome of one check.

    `value` lies within [`low`, `high`], either of which may be open, if all is well; None: the data
    set holds nothing to judge, and `what` says why. `query` is DuckDB's SQL for the value, or says
    in words where it comes from. `example` is one of the rows that fell short.
    """

    name: str
    what: str
    value: float | None
    low: float | None
    high: float | None
    query: str
    example: str = ""

    @property
    def ok(self) -> bool | None:
        """Whether the value lies within its band; None where there is nothing to judge."""
        if self.value is None:
            return None
        above = self.low is None or self.value >= self.low
        return above and (self.high is None or self.value <= self.high)

    @property
    def band(self) -> str:
        """The band in words."""
        if self.low is not None and self.low == self.high:
            return f"= {number(self.low)}"
        if self.low is None:
            return "any" if self.high is None else f"<= {number(self.high)}"
        if self.high is None:
            return f">= {number(self.low)}"
        return f"{number(self.low)} to {number(self.high)}"

    def as_json(self) -> dict[str, Any]:
        """All of it as JSON has it, which has no infinity: it is a text."""
        value = self.value
        told = value if value is None or math.isfinite(value) else number(value)
        return {**asdict(self), "value": told, "band": self.band, "ok": self.ok}


def number(value: float) -> str:
    """Give a number as people read it."""
    if math.isfinite(value) and value == int(value):
        return f"{int(value):,}"
    return f"{value:.4g}"


def lines(findings: Iterable[Finding], url: str) -> Iterator[str]:
    """Tell it: a line for each check, what fell short with its query, and the verdict."""
    found = list(findings)
    width = max((len(each.name) for each in found), default=0)
    for each in found:
        mark = {True: "ok", False: "NO", None: "-"}[each.ok]
        value = "nothing to judge" if each.value is None else number(each.value)
        yield f"{mark:<2} {each.name:<{width}} {value:>16}  {each.band:<18} {each.what}"
    bad = fallen_short(found)
    for each in bad:
        yield ""
        yield f"{each.name}: {number(each.value or 0)}, must be {each.band}: {each.what}"
        if each.example:
            yield f"  {each.example[:_SHOWN_WHY]}"
        yield f"  {each.query}"
    judged = sum(each.ok is not None for each in found)
    yield ""
    if bad:
        yield f"{url}: {len(bad)} of {judged} checks fell short"
    else:
        idle = len(found) - judged
        yield f"{url}: all {judged} checks hold" + f"; {idle} had nothing to judge" * bool(idle)


def fallen_short(findings: Iterable[Finding]) -> Sequence[Finding]:
    """Findings whose value lies outside its band."""
    return [each for each in findings if each.ok is False]
