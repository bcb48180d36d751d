"""The figures of the report, each from the values that it shows."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from functools import cache
from html import escape
from importlib import resources
from itertools import pairwise

from fleetgen.elementary import cosine_of_half_turns
from fleetgen.report.content import (
    RUL_CELL_DAYS,
    RUL_CELLS,
    Calendar,
    Lives,
    Outage,
    Place,
    Subject,
)
from fleetgen.report.figures import (
    LINE_PX,
    Panel,
    Scale,
    day_text,
    from_zero,
    local_time,
    month_text,
    nice_step,
    number,
    scale_of,
    spread,
    text,
    tick_text,
)
from fleetgen.schema import ENV
from fleetgen.spec import Sketch, TimeGrid
from fleetgen.units import SECONDS_PER_DAY
from fleetgen.wording import many

MOST_LABELS = 12
"""Most places with a name beside the map."""

MOST_REGIONS = 8
"""Most regions with a panel of their own."""

LEAST_MONTHS = 3
"""Months for which there is room at least: one alone would be a wall."""

WORN_PCT = 80.0

_MAP_WIDTH, _MAP_HEIGHT = 360.0, 470.0


def kinds(profiles: Sequence[str]) -> dict[str, str]:
    """Class of each profile, from the mildest to the worst: its colour."""
    last = max(1, len(profiles) - 1)
    return {name: f"p{round(4 * i / last)}" for i, name in enumerate(profiles)}


def plot(title: str, panel: str, kind: str = "plot") -> str:
    """A panel under its title; of the kind "plot flush", without room for names at the right."""
    return f'<div class="{kind}"><p class="axis">{escape(title)}</p>{panel}</div>'


# --- the fleet on a map ---------------------------------------------------------------------------


@cache
def thailand() -> list[list[tuple[float, float]]]:
    """Outline of Thailand as rings of longitude and latitude."""
    source = resources.files("fleetgen.report").joinpath("thailand.json").read_text("utf-8")
    return [[(x, y) for x, y in ring] for ring in json.loads(source)["rings"]]


def in_thailand(places: Sequence[Place]) -> bool:
    """Whether all places lie within the bounds of the outline."""
    points = [point for ring in thailand() for point in ring]
    (west, south), (east, north) = ([f(p[i] for p in points) for i in (0, 1)] for f in (min, max))
    return all(west <= p.longitude <= east and south <= p.latitude <= north for p in places)


def fleet_map(places: Sequence[Place]) -> str:
    """Each location as a disc, its area by its jars; with the outline where all are in Thailand."""
    outline, inside = thailand(), in_thailand(places)
    east, north = ([point[i] for ring in outline for point in ring] for i in (0, 1))
    longitudes = east if inside else [p.longitude for p in places]
    latitudes = north if inside else [p.latitude for p in places]
    grid = _Graticule(longitudes, latitudes, margin=0.4 if inside else 2.0)
    marks = grid.rules()
    if inside:
        shape = "".join(
            "M" + "L".join(f"{number(x)} {number(y)}" for x, y in map(grid.at, ring)) + "Z"
            for ring in outline
        )
        marks.append(f'<path class="land" d="{shape}"/>')
    most = max(p.jars for p in places)
    for p in sorted(places, key=lambda p: (-p.jars, p.location_id)):
        x, y = grid.at((p.longitude, p.latitude))
        size = max(3.0, 8.0 * _root(p.jars / most))
        marks.append(f'<circle class="site" cx="{number(x)}" cy="{number(y)}" r="{number(size)}"/>')
    if len(places) <= MOST_LABELS:
        marks += _names(places, grid)
    shown = f"Map of {many(len(places), 'location')}" + (" in Thailand" if inside else "")
    return (
        f'<svg class="map" role="img" aria-label="{shown}" viewBox="0 0 {number(grid.width)} '
        f'{number(grid.height)}">{"".join(marks)}</svg>'
    )


def _names(places: Sequence[Place], grid: _Graticule) -> list[str]:
    """Names at the right edge, each with a line to its place, in order from north to south."""
    order = sorted(places, key=lambda p: (-p.latitude, p.longitude, p.location_id))
    wanted = [grid.at((p.longitude, p.latitude))[1] for p in order]
    heights = spread(wanted, 10.0, grid.height - 8.0, LINE_PX + 3.0)
    edge = grid.plot_width + 8.0
    found = []
    for p, y in zip(order, heights, strict=True):
        px, py = grid.at((p.longitude, p.latitude))
        bend = edge - 14.0
        found.append(
            f'<path class="lead" d="M{number(px)} {number(py)}L{number(bend)} {number(y)}'
            f'L{number(edge - 3.0)} {number(y)}"/>'
        )
        found.append(text(number(edge), y + 4.0, _short(p.location_id, 18), "label"))
    return found


def _short(words: str, most: int) -> str:
    return words if len(words) <= most else f"{words[: most - 1]}\N{HORIZONTAL ELLIPSIS}"


def _root(value: float) -> float:
    """Square root by Newton's steps, the same everywhere."""
    guess = 1.0
    for _ in range(40):
        guess = (guess + value / guess) / 2.0
    return guess


class _Graticule:
    """Equirectangular map, true at its middle latitude, with room for names at the right."""

    def __init__(self, longitudes: list[float], latitudes: list[float], margin: float) -> None:
        self.west, self.east = min(longitudes) - margin, max(longitudes) + margin
        self.south, self.north = min(latitudes) - margin, max(latitudes) + margin
        middle = (self.south + self.north) / 2.0
        self.narrow = max(0.1, cosine_of_half_turns(middle / 180.0))
        across = (self.east - self.west) * self.narrow
        down = self.north - self.south
        self.per_degree = min(_MAP_WIDTH * 0.68 / across, _MAP_HEIGHT / down)
        self.plot_width = across * self.per_degree
        self.height = max(120.0, down * self.per_degree) + 16.0
        self.width = self.plot_width + _MAP_WIDTH * 0.32

    def at(self, place: tuple[float, float]) -> tuple[float, float]:
        """Where a longitude and a latitude lie."""
        x = (place[0] - self.west) * self.narrow * self.per_degree
        return x, (self.north - place[1]) * self.per_degree

    def rules(self) -> list[str]:
        """Lines of the graticule, named at the bottom and at the left."""
        marks = []
        bottom = (self.north - self.south) * self.per_degree
        step = nice_step(max(self.east - self.west, self.north - self.south), 5)
        for value in Scale(self.west, self.east).ticks(max(1, int((self.east - self.west) / step))):
            x = number(self.at((value, 0.0))[0])
            marks.append(f'<line class="rule" x1="{x}" x2="{x}" y1="0" y2="{number(bottom)}"/>')
            marks.append(text(x, bottom + 13.0, _degrees(value, step, "E", "W"), "tick m"))
        for value in Scale(self.south, self.north).ticks(
            max(1, int((self.north - self.south) / step))
        ):
            y = self.at((0.0, value))[1]
            marks.append(
                f'<line class="rule" x1="0" x2="{number(self.plot_width)}" y1="{number(y)}" '
                f'y2="{number(y)}"/>'
            )
            marks.append(text("2", y - 3.0, _degrees(value, step, "N", "S"), "tick"))
        return marks


def _degrees(value: float, step: float, plus: str, minus: str) -> str:
    return f"{tick_text(abs(value), step)}\N{DEGREE SIGN}{plus if value >= 0 else minus}"


# --- health ---------------------------------------------------------------------------------------


def health(soh_bins: dict[str, Counter[int]], profiles: Sequence[str]) -> str:
    """Units by state of health, those of each profile above the milder ones."""
    colours = kinds(profiles)
    found = sorted({pct for counter in soh_bins.values() for pct in counter})
    low, high = min(found[0], 76), max(found[-1] + 1, 100)
    step = max(1, int(nice_step(float(high - low), 60)))
    low -= low % step
    rows: dict[int, list[tuple[str, int]]] = {}
    for name in reversed(profiles):  # the worst, of which there are few, on the ground
        for pct, count in soh_bins.get(name, Counter()).items():
            stack = rows.setdefault((pct - low) // step, [])
            stack.append((name, count))
    most = max(sum(count for _, count in stack) for stack in rows.values())
    units = many(sum(counter.total() for counter in soh_bins.values()), "unit")
    panel = Panel(
        f"Histogram of state of health of {units}",
        Scale(float(low), float(low + (high - low + step - 1) // step * step)),
        from_zero(float(most), 4.0),
        210,
    )
    panel.y_axis()
    for place, stack in sorted(rows.items()):
        gathered: Counter[str] = Counter()
        for name, count in stack:
            gathered[name] += count
        bottom = 0.0
        left = float(low + place * step)
        for name in reversed(profiles):
            if gathered[name]:
                top = bottom + gathered[name]
                panel.bar(left, left + 0.86 * step, bottom, top, f"fill {colours[name]}")
                bottom = top
    ticks = panel.x.ticks(6)
    panel.x_axis([(t, f"{t:.0f} %") for t in ticks])
    if panel.x.low < WORN_PCT < panel.x.high:
        x = panel.left(WORN_PCT)
        panel.marks.append(f'<line class="level" x1="{x}" x2="{x}" y1="0" y2="{panel.height}"/>')
        panel.marks.append(text(x, 11, "worn out", "note e", -5))
    return plot("Units by state of health", panel.svg(), "plot flush")


# --- three units ----------------------------------------------------------------------------------

_TRACKS = (
    ("v_deviation_median", "Voltage less the string's median, V", 0.04, 96),
    ("t_mean", "Temperature of the jar, \N{DEGREE SIGN}C", 2.0, 96),
    ("r_internal_baseline_pct", "Resistance, % of the acceptance test", 4.0, 96),
    ("soh_pct", "State of health (truth), %", 4.0, 96),
)


def tracks(subjects: Sequence[Subject], grid: TimeGrid, profiles: Sequence[str]) -> str:
    """Units side by side over the run: what is measured by the hour, and the truth by the day."""
    colours = kinds(profiles)
    x = Scale(float(grid.start_s), float(grid.end_s))
    plots = []
    for name, title, least, height in _TRACKS:
        lines = [
            (each, each.channels[name].means())
            for each in subjects
            if name in each.channels and len(each.channels[name].t_s)
        ]
        if not lines:
            plots.append(plot(title, '<p class="none">Nothing was measured in this run.</p>'))
            continue
        if name == "soh_pct":  # known at midnights, and at the end
            for each, line in lines:
                line += [(x.high, each.state["soh_pct"])] if each.stays else []
        values = [value for _, line in lines for _, value in line]
        name_of_it = f"{title}, of {many(len(lines), 'jar')} over the run"
        panel = Panel(name_of_it, x, scale_of(values, least), height)
        panel.y_axis()
        panel.time_axis(grid.utc_offset_s, named=name == _TRACKS[-1][0])
        if name == "soh_pct" and panel.y.low < WORN_PCT < panel.y.high:
            panel.level(WORN_PCT, "worn out")
        for each, line in lines:
            kind = colours.get(each.profile, "p0")
            if len(line) == 1:  # a point, as a line that can be seen
                line = [(x.low, line[0][1]), (x.high, line[0][1])]
            panel.line(_broken(line), kind, _short(each.profile, 12))
        plots.append(plot(title, panel.svg()))
    return "".join(plots)


def _broken(line: Sequence[tuple[float, float]]) -> list[tuple[float, float] | None]:
    """A line with a gap where more than three of its usual steps are missing."""
    if len(line) < 3:
        return list(line)
    steps = sorted(b[0] - a[0] for a, b in pairwise(line))
    usual = steps[len(steps) // 2]
    found: list[tuple[float, float] | None] = [line[0]]
    for a, b in pairwise(line):
        if b[0] - a[0] > 3.0 * usual:
            found.append(None)
        found.append(b)
    return found


# --- an outage ------------------------------------------------------------------------------------


def outage(shown: Outage, utc_offset_s: int, profiles: Sequence[str]) -> str:
    """Voltage of a string's jars and its current around an outage."""
    colours = kinds(profiles)
    x = Scale(float(shown.from_s), float(shown.to_s))
    volts = shown.channels["volts"].ranges()
    span = float(shown.start_s), float(shown.end_s)
    upper = Panel(
        f"Voltage of {many(shown.jars, 'jar')} of {shown.string_id} in an outage",
        x,
        scale_of([v for _, low, high in volts for v in (low, high)], 0.5),
        190,
    )
    upper.span(*span, "no supply")
    upper.y_axis()
    upper.band(volts, "quiet")
    upper.line(_broken(shown.channels["volts"].means()), "quiet", f"mean of {shown.jars}")
    if shown.weakest:
        weak = shown.channels["weak"].means()
        kind = colours.get(shown.profile, "p2")
        upper.line(_broken(weak), kind, f"J{shown.weakest.rpartition('-J')[2]}")
    upper.time_axis(utc_offset_s, named=False)
    current = shown.channels["current"]
    lower = Panel(
        f"Current of {shown.string_id} in an outage",
        x,
        scale_of([v for _, a, b in current.ranges() for v in (a, b)], 2.0, around=(0.0,)),
        110,
    )
    lower.span(*span)
    lower.y_axis()
    lower.line(_broken(current.means()), "accent")
    lower.time_axis(utc_offset_s)
    return plot("Jar voltage, V", upper.svg()) + plot(
        "String current, A (charge above zero)", lower.svg()
    )


# --- seasons --------------------------------------------------------------------------------------


def seasons(climate: dict[tuple[str, int, int], tuple[Sketch, Sketch]]) -> str:
    """Outdoor and room temperature of each region by month: lowest to highest, and the mean."""
    regions = list(dict.fromkeys(region for region, _, _ in climate))[:MOST_REGIONS]
    months = sorted({(year, month) for _, year, month in climate})
    scales = [ENV.column(name).per_unit for name in ("outdoor_temperature_c", "temperature_c")]
    ends = [
        end / per_unit
        for both in climate.values()
        for sketch, per_unit in zip(both, scales, strict=True)
        if sketch.rows
        for end in (sketch.low, sketch.high)
    ]
    y = scale_of(ends, 10.0)
    plots = []
    for region in regions:
        panel = Panel(
            f"Temperatures by month in the region {region}",
            Scale(0.0, float(max(len(months), LEAST_MONTHS))),
            y,
            120,
        )
        panel.y_axis(3)
        for at, (year, month) in enumerate(months):
            both = climate.get((region, year, month))
            for part, kind in enumerate(("outdoors", "room")):
                if both is None or not both[part].rows:
                    continue
                sketch, scale = both[part], scales[part]
                middle = at + 0.36 + 0.28 * part
                panel.bar(
                    middle - 0.09,
                    middle + 0.09,
                    sketch.low / scale,
                    sketch.high / scale,
                    f"range {kind}",
                )
                mean = sketch.total / (sketch.rows * scale)
                thick = (y.high - y.low) * 1.6 / panel.height
                panel.bar(middle - 0.13, middle + 0.13, mean - thick, mean + thick, f"mean {kind}")
        every = -(-len(months) // 12)
        panel.x_axis(
            (
                i + 0.5,
                (str(year) if month == 1 and len(months) > 12 else month_text(month))
                if i % every == 0
                else "",
            )
            for i, (year, month) in enumerate(months)
        )
        plots.append(plot(f"{region}, \N{DEGREE SIGN}C", panel.svg(), "plot flush"))
    return f'<div class="many">{"".join(plots)}</div>'


# --- alerts and maintenance -----------------------------------------------------------------------


def calendar(found: Calendar, grid: TimeGrid) -> str:
    """What was raised and what was done, day by day: the darker the more."""
    rows = [
        *(("critical", name, found.critical[name]) for name in sorted(found.critical)),
        *(("warning", name, found.alerts[name]) for name in sorted(found.alerts)),
        *(("work", name, found.work[name]) for name in sorted(found.work)),
    ]
    heads = {"critical": "Critical alerts", "warning": "Warnings", "work": "Maintenance"}
    lines, before = [], ""
    for kind, name, counter in rows:
        if kind != before:
            lines.append(f'<p class="axis group">{heads[kind]}</p>')
            before = kind
        lines.append(_strip(found, kind, name, counter))
    end_s = grid.start_s + found.bins * found.bin_days * SECONDS_PER_DAY
    axis = Panel("", Scale(float(grid.start_s), float(end_s)), Scale(0.0, 1.0), 1)
    axis.time_axis(grid.utc_offset_s)
    lines.append(f'<div class="strip"><span></span>{_bare(axis.marks, 22)}<span></span></div>')
    return f'<div class="calendar">{"".join(lines)}</div>'


def _strip(found: Calendar, kind: str, name: str, counter: Counter[int]) -> str:
    most = max(counter.values())
    cells = []
    for at, count in sorted(counter.items()):
        shade = min(4, 1 + 4 * (count - 1) // max(1, most))
        x, width = 100.0 * at / found.bins, 100.0 / found.bins
        cells.append(
            f'<rect class="{kind} s{shade}" x="{number(x, 2)}%" width="{number(0.86 * width, 2)}%" '
            'y="1" height="14"/>'
        )
    words = name.replace("_", " ")
    told = f"{words}: {counter.total():,}, most on one day or in one bin {most:,}"
    drawing = (
        f'<svg class="cells" role="img" aria-label="{escape(told)}" width="100%" height="16">'
        f'<line class="rule" x1="0" x2="100%" y1="15.5" y2="15.5"/>{"".join(cells)}</svg>'
    )
    return (
        f'<div class="strip"><span>{escape(words)}</span>{drawing}'
        f"<span>{counter.total():,}</span></div>"
    )


def _bare(marks: list[str], height: int) -> str:
    drawing = "".join(marks)
    return f'<svg class="cells" aria-hidden="true" width="100%" height="{height}">{drawing}</svg>'


# --- remaining life -------------------------------------------------------------------------------


def lives(found: Lives) -> str:
    """Predicted over true remaining life: how many units in each square of a year."""
    top = max((max(cell) for cell in found.cells), default=0) + 1
    years = min(RUL_CELLS, max(5, top))
    per_year = 365 / RUL_CELL_DAYS
    panel = Panel(
        f"Predicted over true remaining life of {many(found.units, 'unit')}",
        Scale(0.0, years * per_year),
        Scale(0.0, years * per_year),
        300,
    )
    panel.y_axis(5)
    most = max(found.cells.values(), default=1)
    for (true, predicted), count in sorted(found.cells.items()):
        if true < years and predicted < years:
            shade = 1 + sum(count * part > most for part in (64, 16, 4))
            panel.bar(
                true + 0.04, true + 0.96, predicted + 0.04, predicted + 0.96, f"cell s{shade}"
            )
    ends = 0.0, years * per_year
    panel.line([(ends[0], ends[0]), (ends[1], ends[1])], "even")
    ticks = panel.x.ticks(5)
    panel.x_axis([(t, f"{t:.0f}") for t in ticks])
    drawing = plot("Predicted, years", panel.svg(), "plot flush")
    return f'{drawing}<p class="axis below">True, years</p>'


def day_of(instant_s: int, utc_offset_s: int) -> str:
    """Local day of an instant, with its year."""
    moment = local_time(instant_s, utc_offset_s)
    return f"{day_text(moment)} {moment.year}"
