"""Marks of the report's figures: scales, ticks, axes, lines, bars and labels as text of SVG.

A panel is as wide as its column and has a height in pixels: x runs in percent, y in pixels, so that
text keeps its size at any width. Lines lie in an inner drawing of 1,000 units, which is stretched;
their strokes are not. Colours are classes, for the style of the page knows light and dark. Nothing
here calls a library of mathematics: the same data give the same text on any machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from html import escape

from fleetgen.units import SECONDS_PER_DAY, SECONDS_PER_HOUR, SECONDS_PER_MINUTE

WIDTH = 1000
"""Units across an inner drawing."""

LINE_PX = 14
"""Least distance of two labels, one above the other."""

_MOST_ON_A_PHONE = 4
"""Names below an axis that a narrow page has room for."""

MINUS, DASH = "\N{MINUS SIGN}", "\N{EN DASH}"

_STEPS_S = (
    *(SECONDS_PER_MINUTE * n for n in (1, 2, 5, 10, 15, 30)),
    *(SECONDS_PER_HOUR * n for n in (1, 2, 3, 6, 12)),
    *(SECONDS_PER_DAY * n for n in (1, 2, 5, 10)),
)
_STEPS_MONTHS = (1, 2, 3, 6, 12, 24, 60, 120, 240)

Point = tuple[float, float]


def number(value: float, digits: int = 1) -> str:
    """Shortest text of a coordinate."""
    text = f"{value:.{digits}f}".rstrip("0").rstrip(".") if digits else f"{value:.0f}"
    return "0" if text in ("-0", "") else text


def nice_step(span: float, most: int) -> float:
    """Smallest of 1, 2 or 5 times a power of ten that divides `span` into at most `most`."""
    step = 1.0
    while step * most < span:
        step *= 10.0
    while step / 10.0 * most >= span:
        step /= 10.0
    return next(step / part for part in (5.0, 2.0, 1.0) if step / part * most >= span)


@dataclass(frozen=True)
class Scale:
    """A linear scale over [low, high], which is not empty."""

    low: float
    high: float

    def at(self, value: float) -> float:
        """Where a value lies, as a fraction of the scale."""
        return (value - self.low) / (self.high - self.low)

    def ticks(self, most: int = 5) -> list[float]:
        """Round values within the scale."""
        step = nice_step(self.high - self.low, most)
        first = -int(-self.low // step)  # the ceiling
        count = int(((self.high - first * step) / step + 1e-9) // 1) + 1
        return [(first + n) * step for n in range(count)]


def scale_of(values: Iterable[float], least: float, around: Iterable[float] = ()) -> Scale:
    """Scale over values and what lies around them, at least `least` long, with round ends."""
    found = [*values, *around]
    low, high = (min(found), max(found)) if found else (0.0, least)
    if high - low < least:
        middle = (low + high) / 2.0
        low, high = middle - least / 2.0, middle + least / 2.0
    step = nice_step(high - low, 8)
    first, last = low // step, -(-high // step)
    return Scale(first * step, last * step)


def from_zero(high: float, least: float) -> Scale:
    """Scale of counts, from zero to a round end that is at least `least`."""
    high = max(high, least)
    step = nice_step(high, 4)
    return Scale(0.0, -(-high // step) * step)


def tick_text(value: float, step: float) -> str:
    """Text of a tick: as many digits as its step needs."""
    digits = 0
    while step < 0.999 and digits < 6:
        step *= 10.0
        digits += 1
    return f"{value:,.{digits}f}".replace("-", MINUS) if abs(value) > 1e-12 else f"{0:.{digits}f}"


def local_time(instant_s: int, utc_offset_s: int) -> datetime:
    """Local wall-clock time of an instant, as a moment that says it is UTC."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=instant_s + utc_offset_s)


def day_text(moment: datetime) -> str:
    """Day and month, in words that fit an axis."""
    return f"{moment.day} {_MONTHS[moment.month - 1]}"


_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def month_text(month: int) -> str:
    """Name of a month, 1 to 12."""
    return _MONTHS[month - 1]


def time_ticks(start_s: int, end_s: int, utc_offset_s: int, most: int = 6) -> list[tuple[int, str]]:
    """Round local instants in [start_s, end_s], and their names."""
    span = end_s - start_s
    for step in _STEPS_S:
        if span <= most * step:
            first = -(-(start_s + utc_offset_s) // step) * step
            locals_s = range(first, end_s + utc_offset_s + 1, step)
            clock = step < SECONDS_PER_DAY
            return [(s - utc_offset_s, _time_text(s, clock)) for s in locals_s]
    ticks: list[tuple[int, str]] = []
    for months in _STEPS_MONTHS:
        ticks = _month_ticks(start_s, end_s, utc_offset_s, months)
        if len(ticks) <= most:
            break
    return ticks


def _time_text(local_s: int, clock: bool) -> str:
    moment = local_time(local_s, 0)
    return f"{moment:%H:%M}" if clock and local_s % SECONDS_PER_DAY else day_text(moment)


def _month_ticks(start_s: int, end_s: int, utc_offset_s: int, step: int) -> list[tuple[int, str]]:
    first, last = local_time(start_s, utc_offset_s), local_time(end_s, utc_offset_s)
    found = []
    for month in range(first.year * 12, last.year * 12 + 12, step):
        moment = datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC)
        if first <= moment <= last:
            instant_s = int(moment.timestamp()) - utc_offset_s
            new_year = moment.month == 1 or step >= 12
            found.append((instant_s, str(moment.year) if new_year else month_text(moment.month)))
    return found


def spread(wanted: Sequence[float], low: float, high: float, apart: float = LINE_PX) -> list[float]:
    """Places for labels as near as can be to those wanted, `apart`, within [low, high]."""
    order = sorted(range(len(wanted)), key=lambda i: (wanted[i], i))
    placed = [0.0] * len(wanted)
    floor = low
    for i in order:
        placed[i] = max(wanted[i], floor)
        floor = placed[i] + apart
    ceiling = high
    for i in reversed(order):
        placed[i] = min(placed[i], ceiling)
        ceiling = placed[i] - apart
    return placed


def text(x: str, y: float, words: str, kind: str = "", dx: int = 0) -> str:
    """A label; `x` with its unit."""
    more = f' class="{kind}"' if kind else ""
    shift = f' dx="{dx}"' if dx else ""
    return f'<text x="{x}"{shift} y="{number(y)}"{more}>{escape(words)}</text>'


@dataclass
class Panel:
    """One pair of axes; marks are added from the back to the front.

    `x` and `y` are the scales of its data, `height` that of the drawing [px], `name` what it says
    to those who cannot see it.
    """

    name: str
    x: Scale
    y: Scale
    height: int
    marks: list[str] = field(default_factory=list)
    labels: list[tuple[float, str, str]] = field(default_factory=list)

    def left(self, value: float) -> str:
        """Where a value lies across the panel, in percent."""
        return f"{number(100.0 * self.x.at(value), 2)}%"

    def top(self, value: float) -> float:
        """Where a value lies down the panel [px]."""
        return self.height * (1.0 - self.y.at(value))

    def y_axis(self, most: int = 4, suffix: str = "") -> None:
        """Rule a line at each round value, with its number to the left."""
        step = nice_step(self.y.high - self.y.low, most)
        for value in self.y.ticks(most):
            y = number(self.top(value))
            self.marks.append(f'<line class="rule" x1="0" x2="100%" y1="{y}" y2="{y}"/>')
            words = tick_text(value, step) + suffix
            self.marks.append(text("0", self.top(value) + 4, words, "tick e", -6))

    def time_axis(self, utc_offset_s: int, named: bool = True, most: int = 6) -> None:
        """Mark round instants at the bottom, with their names or without."""
        ticks = time_ticks(int(self.x.low), int(self.x.high), utc_offset_s, most)
        self.x_axis([(float(at), words if named else "") for at, words in ticks])

    def x_axis(self, ticks: Iterable[tuple[float, str]]) -> None:
        """Mark values at the bottom, with their names; a narrow page leaves out every other."""
        ticks = list(ticks)
        crowded = sum(bool(words) for _, words in ticks) > _MOST_ON_A_PHONE
        for n, (value, words) in enumerate(ticks):
            x = self.left(value)
            y = number(self.height)
            self.marks.append(
                f'<line class="tic" x1="{x}" x2="{x}" y1="{y}" y2="{number(self.height + 4)}"/>'
            )
            if words:
                kind = "tick m spare" if crowded and n % 2 else "tick m"
                self.marks.append(text(x, self.height + 17, words, kind))

    def level(self, value: float, words: str) -> None:
        """A dashed line at a value that means something, and what it means."""
        y = self.top(value)
        self.marks.append(
            f'<line class="level" x1="0" x2="100%" y1="{number(y)}" y2="{number(y)}"/>'
            + text("0", y + 13, words, "note", 4)
        )

    def span(self, low: float, high: float, words: str = "") -> None:
        """A shaded stretch of x, and what it is."""
        low, high = max(low, self.x.low), min(high, self.x.high)
        width = number(100.0 * (self.x.at(high) - self.x.at(low)), 2)
        self.marks.append(
            f'<rect class="span" x="{self.left(low)}" width="{width}%" y="0" '
            f'height="{self.height}"/>'
        )
        if words:
            self.marks.append(text(self.left(low), 11, words, "note", 4))

    def line(self, points: Sequence[Point | None], kind: str, label: str = "") -> None:
        """A line through values; None breaks it. Its label stands at its end."""
        drawn = [p and (WIDTH * self.x.at(p[0]), self.top(p[1])) for p in points]
        if any(drawn):
            self.marks.append(self._inner(f'<path class="line {kind}" d="{_joined(drawn)}"/>'))
        known = [p for p in points if p]
        if label and known:
            self.labels.append((self.top(known[-1][1]), label, kind))

    def band(self, points: Sequence[tuple[float, float, float]], kind: str) -> None:
        """The area between two lines: x, low and high."""
        there = [(WIDTH * self.x.at(x), self.top(high)) for x, _, high in points]
        back = [(WIDTH * self.x.at(x), self.top(low)) for x, low, _ in reversed(points)]
        if there:
            shape = f'<path class="area {kind}" d="{_joined([*there, *back])}Z"/>'
            self.marks.append(self._inner(shape))

    def bar(self, low: float, high: float, bottom: float, top: float, kind: str) -> None:
        """A rectangle from `low` to `high` across and from `bottom` to `top`."""
        y = self.top(top)
        tall = self.top(bottom) - y
        width = number(100.0 * (self.x.at(high) - self.x.at(low)), 3)
        self.marks.append(
            f'<rect class="{kind}" x="{self.left(low)}" width="{width}%" y="{number(y, 2)}" '
            f'height="{number(tall, 2)}"/>'
        )

    def _inner(self, shape: str) -> str:
        return (
            f'<svg viewBox="0 0 {WIDTH} {self.height}" preserveAspectRatio="none" '
            f'width="100%" height="{self.height}">{shape}</svg>'
        )

    def svg(self, below: int = 24) -> str:
        """Text of the panel, with room for what stands below the axis [px]."""
        places = spread([y for y, _, _ in self.labels], 6.0, self.height + 4.0)
        ends = [
            text("100%", y + 4, words, f"label {kind}", 8)
            for y, (_, words, kind) in zip(places, self.labels, strict=True)
        ]
        return (
            f'<svg class="panel" role="img" aria-label="{escape(self.name)}" width="100%" '
            f'height="{self.height + below}">{"".join([*self.marks, *ends])}</svg>'
        )


def _joined(points: Iterable[Point | None]) -> str:
    """Path data through points; None lifts the pen."""
    pieces: list[str] = []
    pen = "M"
    for point in points:
        if point is None:
            pen = "M"
        else:
            pieces.append(f"{pen}{number(point[0])} {number(point[1])}")
            pen = "L"
    return "".join(pieces)
