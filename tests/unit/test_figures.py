"""Scales, ticks and labels of the report's figures, by hand; bins against plain Python."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetgen.report import charts, figures
from fleetgen.report.content import Place, binned
from fleetgen.report.figures import Panel, Scale
from fleetgen.spec import NULL

BANGKOK_S = 7 * 3600


def instant_s(text: str) -> int:
    """Local time of Bangkok."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) - BANGKOK_S


@pytest.mark.parametrize(
    ("span", "most", "step"),
    [(10, 5, 2), (10, 10, 1), (11, 5, 5), (0.3, 5, 0.1), (90, 4, 50), (1, 1, 1), (1001, 5, 500)],
)
def test_a_step_is_the_least_round_one(span: float, most: int, step: float) -> None:
    assert figures.nice_step(span, most) == pytest.approx(step)


@pytest.mark.parametrize(
    ("scale", "ticks"),
    [
        (Scale(0, 10), [0, 2, 4, 6, 8, 10]),
        (Scale(-0.1, 0.11), [-0.1, -0.05, 0, 0.05, 0.1]),
        (Scale(13.4, 14.3), [13.4, 13.6, 13.8, 14.0, 14.2]),
    ],
)
def test_ticks_are_round_and_within(scale: Scale, ticks: list[float]) -> None:
    assert scale.ticks(5) == pytest.approx(ticks, abs=1e-12)


@given(
    st.floats(-1e6, 1e6),
    st.floats(1e-3, 1e6),
    st.integers(1, 9),
)
def test_ticks_never_leave_their_scale(low: float, span: float, most: int) -> None:
    scale = Scale(low, low + span)
    ticks = scale.ticks(most)
    assert len(ticks) <= most + 1
    slack = 1e-6 * (abs(low) + span)
    assert all(scale.low - slack <= tick <= scale.high + slack for tick in ticks)


def test_a_scale_is_never_empty() -> None:
    assert figures.scale_of([], 4.0) == Scale(0.0, 4.0)
    scale = figures.scale_of([25.0, 25.0], 2.0)
    assert scale.low <= 24.0 < 26.0 <= scale.high
    assert figures.from_zero(1.0, 4.0) == Scale(0.0, 4.0)
    assert figures.from_zero(187.0, 4.0) == Scale(0.0, 200.0)


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [
        ("2025-01-01T00:00", "2025-01-01T01:00", "1 Jan|00:10|00:20|00:30|00:40|00:50|01:00"),
        ("2025-03-12T14:20", "2025-03-13T02:30", "15:00|18:00|21:00|13 Mar"),
        ("2025-01-01T00:00", "2025-01-10T00:00", "2 Jan|4 Jan|6 Jan|8 Jan|10 Jan"),
        ("2025-01-01T00:00", "2025-04-01T00:00", "2025|Feb|Mar|Apr"),
        ("2024-12-15T00:00", "2025-06-15T00:00", "2025|Feb|Mar|Apr|May|Jun"),
        ("2025-01-01T00:00", "2030-01-01T00:00", "2025|2026|2027|2028|2029|2030"),
    ],
)
def test_time_is_told_in_round_local_instants(start: str, end: str, words: str) -> None:
    ticks = figures.time_ticks(instant_s(start), instant_s(end), BANGKOK_S)
    assert "|".join(text for _, text in ticks) == words
    assert all(instant_s(start) <= at <= instant_s(end) for at, _ in ticks)


@given(st.lists(st.floats(-50, 400), max_size=12))
def test_labels_keep_their_distance_and_their_order(wanted: list[float]) -> None:
    places = figures.spread(wanted, 0.0, 300.0, 14.0)
    ordered = sorted(range(len(wanted)), key=lambda i: (wanted[i], i))
    for a, b in pairwise(ordered):
        assert places[b] - places[a] >= 14.0 - 1e-9
    assert all(place <= 300.0 for place in places)
    apart = all(abs(a - b) >= 14.0 for i, a in enumerate(wanted) for b in wanted[:i])
    if apart and all(0.0 <= w <= 300.0 for w in wanted):
        assert places == wanted


def test_numbers_of_coordinates_are_short() -> None:
    values = (0.0, -0.01, 3.0, 2.25, -7.04)
    assert [figures.number(v) for v in values] == ["0", "0", "3", "2.2", "-7"]
    assert figures.tick_text(-0.5, 0.05) == "\N{MINUS SIGN}0.50"
    assert figures.tick_text(12_000, 5_000) == "12,000"


def test_a_panel_escapes_what_it_is_told() -> None:
    hostile = '"><script>alert(1)</script>'
    panel = Panel(hostile, Scale(0, 1), Scale(0, 1), 100)
    panel.line([(0.0, 0.0), None, (0.5, 1.0), (1.0, 0.5)], "p0", hostile)
    panel.span(0.2, 3.0, hostile)
    drawn = panel.svg()
    assert "<script" not in drawn
    assert drawn.count("&lt;script&gt;") == 3
    assert 'd="M0 100M500 0L1000 50"' in drawn
    assert 'x="20%" width="80%"' in drawn


@given(
    st.lists(st.tuples(st.integers(0, 999), st.integers(-500, 500) | st.just(NULL)), max_size=60),
    st.integers(1, 200),
)
def test_bins_are_those_of_plain_python(rows: list[tuple[int, int]], width: int) -> None:
    found: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for t, count in rows:
        if count != NULL:
            found[t // width].append((t, count))
    t_s = np.array([t for t, _ in rows], np.int64)
    made = binned(t_s, np.array([c for _, c in rows], np.int64), 10, 0, width)
    bins = [found[key] for key in sorted(found)]
    assert made.t_s.tolist() == [sum(t for t, _ in b) // len(b) for b in bins]
    means = [sum(c for _, c in b) / (10 * len(b)) for b in bins]
    assert [value for _, value in made.means()] == pytest.approx(means)
    assert [(low, high) for _, low, high in made.ranges()] == [
        (min(c for _, c in b) / 10, max(c for _, c in b) / 10) for b in bins
    ]


# --- the map --------------------------------------------------------------------------------------


def inside(x: float, y: float) -> bool:
    """Whether a point lies in the outline, by crossings of a ray."""
    crossings = 0
    for ring in charts.thailand():
        for (x1, y1), (x2, y2) in zip(ring, [*ring[1:], ring[0]], strict=True):
            if (y1 > y) != (y2 > y) and x < x1 + (y - y1) / (y2 - y1) * (x2 - x1):
                crossings += 1
    return crossings % 2 == 1


@pytest.mark.parametrize(
    ("name", "north", "east", "within"),
    [
        ("Chiang Mai", 18.79, 98.99, True),
        ("Khon Kaen", 16.43, 102.82, True),
        ("Bangkok", 13.72, 100.53, True),
        ("Phuket", 7.95, 98.34, True),
        ("Hat Yai", 7.01, 100.47, True),
        ("Yangon", 16.87, 96.20, False),
        ("Vientiane", 18.10, 102.75, False),
        ("Phnom Penh", 11.56, 104.92, False),
        ("Gulf of Thailand", 10.5, 101.2, False),
        ("Kota Bharu", 6.0, 102.3, False),
    ],
)
def test_the_outline_is_that_of_thailand(
    name: str, north: float, east: float, within: bool
) -> None:
    assert inside(east, north) == within, name
    assert 100 <= sum(map(len, charts.thailand())) <= 200


def place(name: str, north: float, east: float, jars: int = 24) -> Place:
    return Place(name, name, "here", north, east, 1, jars)


def test_a_fleet_elsewhere_gets_a_graticule_and_no_outline() -> None:
    at_home = charts.fleet_map([place("a", 13.7, 100.5), place("b", 7.9, 98.4)])
    away = charts.fleet_map([place("a", 13.7, 100.5), place("b", 51.5, -0.1)])
    assert 'class="land"' in at_home
    assert "in Thailand" in at_home
    assert 'class="land"' not in away
    assert "Thailand" not in away
    assert away.count("<circle") == at_home.count("<circle") == 2


def test_many_places_are_dots_without_names() -> None:
    places = [place(f"DC-{i}", 10.0 + 0.01 * i, 100.0) for i in range(charts.MOST_LABELS + 1)]
    assert "DC-3<" in charts.fleet_map(places[:-1])
    assert "DC-3<" not in charts.fleet_map(places)


@pytest.mark.parametrize(("north", "east"), [(0.0, 0.0), (89.9, 180.0), (-89.9, -180.0)])
def test_a_place_at_an_end_of_the_world(north: float, east: float) -> None:
    drawn = charts.fleet_map([place("end", north, east)])
    assert "nan" not in drawn
    assert drawn.count("<circle") == 1
