"""The cooling of rooms: how often it fails, what the room does then, and what jars feel of it."""

from dataclasses import replace
from datetime import UTC, date, datetime
from functools import lru_cache
from itertools import pairwise
from math import exp, sqrt

import numpy as np
import pytest
from scipy import stats

from fleetgen.config import load
from fleetgen.model import cooling, room
from fleetgen.model.cooling import DEGRADED, FAILED, OK, Episodes
from fleetgen.spec import DEFAULT_SCENARIO, Block, Injection, Scenario
from fleetgen.units import day_number
from fleetgen.world import room_ages, world

FLEET = load().to_fleet()
LOCATION = FLEET.sites[0].location
OFFSET_S = 7 * 3600
START_S = 1_735_664_400  # 2025-01-01T00:00+07:00
DAY_S = 86_400
NONE = np.zeros(0, np.int64)


def episodes_of(*spans):
    """Episodes of (start, end, status) in hours from the start."""
    columns = [
        np.array([int(START_S + 3600 * s[0]) for s in spans], np.int64),
        np.array([int(START_S + 3600 * s[1]) for s in spans], np.int64),
        np.array([s[2] for s in spans], np.int64),
    ]
    return Episodes(*columns)


def instants(year):
    return day_number(date(year, 1, 1)) * DAY_S - OFFSET_S


@lru_cache(maxsize=2)
def drawn(commissioned, first, end, seeds):
    """Failures that begin by themselves (start, hours), degraded ones (start, days), and failures
    that end one, of `seeds` sites over some years."""
    place = replace(LOCATION, commissioned=commissioned)
    alone, degraded, follow = [], [], 0
    for seed in range(seeds):
        found = cooling.episodes(
            place, seed, instants(first), instants(end), OFFSET_S, [], DEFAULT_SCENARIO
        )
        spans = list(zip(*(column.tolist() for column in found), strict=True))
        assert spans == sorted(spans)
        ends = {b for _, b, status in spans if status == DEGRADED}
        for a, b, status in spans:
            if not instants(first) <= a < instants(end):
                continue
            if status == DEGRADED:
                degraded.append((a, (b - a) / DAY_S))
            elif a in ends:
                follow += 1
            else:
                alone.append((a, (b - a) / 3600))
    return alone, degraded, follow


# --- how often ------------------------------------------------------------------------------------


def test_old_cooling_fails_032_times_a_year():
    alone, degraded, follow = drawn(date(2000, 1, 1), 2020, 2030, 250)
    years = 2500
    assert len(alone) == pytest.approx(0.32 * years, abs=4 * sqrt(0.32 * years))
    assert len(degraded) == pytest.approx(0.4 * years, abs=4 * sqrt(0.4 * years))
    expected = 0.15 * len(degraded)
    assert follow == pytest.approx(expected, abs=4 * sqrt(expected))


def test_new_cooling_fails_008_times_a_year():
    """And a little more towards the end of its first years: a tenth of the way in one."""
    alone, _, _ = drawn(date(2025, 1, 1), 2025, 2026, 2500)
    expected = (0.08 + 0.24 * 0.05) * 2500
    assert len(alone) == pytest.approx(expected, abs=4 * sqrt(expected))


def test_seasons():
    """x 1.5 in March to May, x 0.7 in November to February, of the same yearly rate."""
    alone, _, _ = drawn(date(2000, 1, 1), 2020, 2030, 250)
    month = [(datetime.fromtimestamp(a + OFFSET_S, UTC)).month for a, _ in alone]
    days = {1: 31, 2: 28.3, 3: 31, 4: 30, 5: 31, 6: 30, 7: 31, 8: 31, 9: 30, 10: 31, 11: 30, 12: 31}
    weight = {m: 1.5 if m in (3, 4, 5) else 0.7 if m in (11, 12, 1, 2) else 1.0 for m in days}
    expected = np.array([days[m] * weight[m] for m in days])
    observed = np.bincount(month, minlength=13)[1:]
    assert stats.chisquare(observed, expected * len(month) / expected.sum()).pvalue > 1e-3


def test_repairs_and_degraded_days():
    """Lognormal about 5 h, sigma 0.7; 2 to 15 days."""
    alone, degraded, _ = drawn(date(2000, 1, 1), 2020, 2030, 250)
    z = np.log(np.array([hours for _, hours in alone]) / 5) / 0.7
    assert stats.kstest(z, "norm").pvalue > 1e-3
    days = [length for _, length in degraded]
    assert stats.kstest(days, stats.uniform(2, 13).cdf).pvalue > 1e-3


def test_injected_failures_and_stops_come_to_the_drawn_ones():
    begin, end = instants(2025), instants(2026)
    injected = Injection("hvac_failure", LOCATION.location_id, begin + 5000, 7200)
    elsewhere = Injection("hvac_failure", "DC-ELSEWHERE", begin + 6000, 7200)
    scenario = Scenario(injections=(injected, elsewhere))
    stops = [(begin + 100, begin + 200)]
    plain = cooling.episodes(LOCATION, 3, begin, end, OFFSET_S, [], DEFAULT_SCENARIO)
    made = cooling.episodes(LOCATION, 3, begin, end, OFFSET_S, stops, scenario)
    spans, before = (set(zip(*(c.tolist() for c in x), strict=True)) for x in (made, plain))
    added = {(begin + 100, begin + 200, FAILED), (begin + 5000, begin + 12_200, FAILED)}
    assert spans == before | added
    assert (np.diff(made.start_s) >= 0).all()


def test_any_span_finds_what_touches_it():
    """A month of a longer span, and what began before it."""
    place = replace(LOCATION, commissioned=date(2000, 1, 1))
    for seed in range(40):
        whole = cooling.episodes(
            place, seed, instants(2020), instants(2022), OFFSET_S, [], DEFAULT_SCENARIO
        )
        for days in (200, 230, 371):
            a = instants(2020) + days * DAY_S
            b = a + 30 * DAY_S
            part = cooling.episodes(place, seed, a, b, OFFSET_S, [], DEFAULT_SCENARIO)
            touching = (whole.start_s < b) & (whole.end_s > a)
            for wide, narrow in zip(whole, part, strict=True):
                assert narrow.tolist() == wide[touching].tolist()


# --- the room -------------------------------------------------------------------------------------


def minutes(episodes, days, normal_c=24.0, outdoor_c=35.0):
    """Excess, status and share of outdoor air at each minute of some days, constant outdoors."""
    excess, status, drift = [], [], []
    for day in range(days):
        out = np.zeros(1441), np.zeros(1441, np.int64), np.zeros(289)
        cooling.excess_and_drift(
            START_S + day * DAY_S,
            np.full(2881, normal_c),
            np.full(2881, outdoor_c),
            *episodes,
            *out,
        )
        for series, values in zip((excess, status, drift), out, strict=True):
            series.append(values)
    return excess, status, drift


def test_a_failed_room_warms_with_an_hour_and_a_half_and_cools_with_one():
    """To 6 K over outdoors: 41 degC at 35; after a repair back with 1 h."""
    (excess,), (status,), (drift,) = minutes(episodes_of((2, 8, FAILED)), 1)
    hours = np.arange(1441) / 60
    rise = 17 * (1 - np.exp(-(hours - 2) / 1.5))
    at_repair = 17 * (1 - exp(-6 / 1.5))
    plain = np.where(hours < 2, 0, np.where(hours < 8, rise, at_repair * np.exp(-(hours - 8))))
    assert excess == pytest.approx(plain, abs=1e-9)
    assert status.tolist() == [FAILED if 2 <= h < 8 else OK for h in hours]
    hours = np.arange(289) / 12
    mixed = 1 - np.exp(-(hours - 2) / 3)
    plain = np.where(hours < 2, 0, np.where(hours < 8, mixed, 0))
    assert drift[hours <= 8] == pytest.approx(
        np.where(hours == 8, 1 - exp(-2), plain)[hours <= 8], abs=1e-9
    )
    assert (np.diff(drift[hours > 8]) < 0).all()


def test_a_failed_room_ends_at_46_degrees():
    (excess,), _, _ = minutes(episodes_of((0, 24, FAILED)), 1, outdoor_c=43.0)
    assert 24 + excess[-1] == pytest.approx(46, abs=1e-5)


def test_a_room_without_cooling_in_a_cool_night_is_not_cooled():
    """Outdoors far below the room: it stays where it is."""
    (excess,), _, _ = minutes(episodes_of((0, 24, FAILED)), 1, outdoor_c=12.0)
    assert not excess.any()


def test_a_degraded_room():
    """2 K and 0.35 of what it is hotter outdoors than 24 degC: 29.85 at 35 degC."""
    (excess,), (status,), _ = minutes(episodes_of((0, 240, DEGRADED)), 1)
    assert 24 + excess[-1] == pytest.approx(24 + 0.35 * 11 + 2, abs=1e-5)
    assert excess[90] == pytest.approx(5.85 * (1 - exp(-1)), rel=1e-9)
    assert set(status) == {DEGRADED}
    (excess,), _, _ = minutes(episodes_of((0, 240, DEGRADED)), 1, outdoor_c=18.0)
    assert excess[-1] == pytest.approx(2, abs=1e-5)


def test_the_worst_status_holds():
    both = episodes_of((1, 10, DEGRADED), (2, 5, FAILED))
    found = [cooling.status_at(int(START_S + 3600 * h), *both) for h in (0, 1, 2, 4.9, 5, 9, 10)]
    assert found == [OK, DEGRADED, FAILED, FAILED, DEGRADED, DEGRADED, OK]


def test_nothing_steps_at_midnight_in_a_long_episode():
    """Each day is made alone, from a day before: what it forgets is nothing."""
    spans = episodes_of((5, 60, FAILED), (70, 120, DEGRADED))
    excess, _, drift = minutes(spans, 6)
    for series in (excess, drift):
        gaps = [abs(a[-1] - b[0]) for a, b in pairwise(series)]
        assert max(gaps) < 17 * exp(-24 / 3) + 1e-9 if series is drift else max(gaps) < 1e-5


def test_a_failed_room_by_its_days():
    """The room of the world: its normal one without compressor, and the excess; outdoor humidity
    at the room's temperature."""
    midnights = START_S + DAY_S * np.arange(3)
    outdoor, wet = np.full((4, 289), 33.0), np.full((4, 289), 80.0)
    spans = episodes_of((30, 54, FAILED))
    plain, made = (
        room.room_days(LOCATION, 42, midnights, outdoor, wet, each)
        for each in (Episodes(NONE, NONE, NONE), spans)
    )
    assert made.temperature_c[0].tolist() == plain.temperature_c[0].tolist()
    target = room.target_c(LOCATION, 42) + 0.05 * 5
    hours = np.arange(1441) / 60
    rise = (39 - target) * (1 - np.exp(-(hours - 6) / 1.5))
    failed = hours >= 6
    gap = (made.temperature_c - plain.temperature_c)[1, failed]
    assert gap == pytest.approx(rise[failed], abs=0.2 + 1e-6)  # the compressor stands still
    assert (made.temperature_c - plain.temperature_c)[2, -1] == pytest.approx(0, abs=1e-5)

    def saturated(t):
        return 6.112 * exp(17.62 * t / (243.12 + t))

    free = 80 * saturated(33) / saturated(made.temperature_c[1, -1])
    inside = plain.humidity_pct[1, -1]
    share = 1 - exp(-18 / 3)
    expected = inside + share * (free - inside)
    assert made.humidity_pct[1, -1] == pytest.approx(expected, abs=0.05)
    assert free == pytest.approx(58, abs=2)  # 80 % at 33 degC, warmed to 39


def test_blocks_and_days_agree():
    """Days of a world alone and in a block, with failures over their midnights, bit for bit."""
    grid = load(overrides={"run.duration_days": 6}).grid()
    name = LOCATION.location_id
    scenario = Scenario(
        injections=(
            Injection("hvac_failure", name, grid.start_s + 20 * 3600, 9 * 3600),
            Injection("hvac_failure", name, grid.start_s + 70 * 3600, 3 * DAY_S),
        )
    )
    first = grid.first_day
    whole = world(1, LOCATION, grid, Block(first, first + 6), scenario)
    assert whole.room_c.max() > 28
    for a, b in ((0, 1), (1, 2), (2, 5), (5, 6)):
        part = world(1, LOCATION, grid, Block(first + a, first + b), scenario)
        for field in ("outdoor_c", "outdoor_pct", "room_c", "room_slot_c", "room_pct"):
            assert getattr(part, field).tobytes() == getattr(whole, field)[a:b].tobytes()


# --- what jars feel -------------------------------------------------------------------------------

JAR_S = 21_600.0
PER_K = 0.60 / 8.617e-5 / 303.15**2


def felt(excess, jar_s=JAR_S):
    """Daily means of a jar that follows minutes of the room's excess, and of exp(b (e - mean))."""
    jar, share, mean, factor = 0.0, 1 - exp(-60 / jar_s), [], []
    for day in excess:
        course = []
        for value in day[:-1]:
            jar += (value - jar) * share
            course.append(jar)
        mean.append(np.mean(course))
        factor.append(np.mean(np.exp(PER_K * (np.array(course) - mean[-1]))))
    return np.array(mean), np.array(factor)


def hourly(spans, normal, outdoor):
    mean, factor = np.empty(len(normal)), np.empty(len(normal))
    cooling.hourly_excess(START_S, normal, outdoor, *spans, JAR_S, PER_K, mean, factor)
    return mean, factor


@pytest.mark.parametrize(
    "spans",
    [
        [(30, 36, FAILED)],
        [(30.4, 33.7, FAILED)],
        [(22.5, 29.2, FAILED), (60, 90, FAILED)],
        [(12, 100, DEGRADED), (100, 106.5, FAILED)],
    ],
)
def test_hours_agree_with_minutes(spans):
    """At constant weather: each day's mean and its convexity within a few percent."""
    each = episodes_of(*spans)
    excess, _, _ = minutes(each, 7)
    mean, factor = felt(excess)
    made, made_factor = hourly(each, np.full(7, 24.0), np.full(7, 35.0))
    much = mean > 0.5
    assert much.any()
    assert made[much] == pytest.approx(mean[much], rel=0.06)
    assert made.sum() == pytest.approx(mean.sum(), rel=0.04)
    assert made_factor == pytest.approx(factor, abs=0.03)
    assert (made_factor >= 1).all()


def test_quiet_days_have_no_excess():
    mean, factor = hourly(episodes_of((30, 36, FAILED)), np.full(9, 24.0), np.full(9, 35.0))
    assert (mean[0], factor[0]) == (0.0, 1.0)
    assert mean[8] < 1e-6
    assert mean[1] > 1


def test_short_stops_count_by_their_share():
    """Half an hour without grid, wherever in the hour: not nothing, and not an hour."""
    for begin in (30.0, 30.25, 30.75):
        excess, _, _ = minutes(episodes_of((begin, begin + 0.5, FAILED)), 3)
        mean, _ = felt(excess)
        made, _ = hourly(
            episodes_of((begin, begin + 0.5, FAILED)), np.full(3, 24.0), np.full(3, 35.0)
        )
        assert made.sum() == pytest.approx(mean.sum(), rel=0.25)


def test_hours_agree_with_minutes_of_real_weather():
    """Over a season of failures at all hours, though hours know the days' means alone."""
    grid = load(overrides={"run.duration_days": 60}).grid()
    begins = [grid.start_s + int((1.3 + 2.37 * n) * DAY_S) for n in range(24)]
    name = LOCATION.location_id
    scenario = Scenario(
        injections=tuple(Injection("hvac_failure", name, at, 5 * 3600) for at in begins)
    )
    first, end = grid.first_day, grid.end_day
    ages = room_ages(1, LOCATION, first, end, OFFSET_S, scenario)
    rooms, plain = [], []
    for day in range(first, end):
        for found, each in ((rooms, scenario), (plain, Scenario())):
            found.append(world(1, LOCATION, grid, Block(day, day + 1), each).room_c[0])
    excess = [a - b for a, b in zip(rooms, plain, strict=True)]
    mean, _ = felt(excess)
    calm = room_ages(1, LOCATION, first, end, OFFSET_S, Scenario())
    added = ages.jar_excess_k - calm.jar_excess_k
    assert added.sum() == pytest.approx(mean.sum(), rel=0.08)
    assert np.corrcoef(added, mean)[0, 1] > 0.5  # a night is not an afternoon


def test_ages_of_a_room_are_those_of_any_span():
    """A day's conditions do not depend on where the walk began."""
    grid = load().grid()
    first = grid.first_day
    long = room_ages(7, LOCATION, first, first + 400, OFFSET_S, DEFAULT_SCENARIO)
    short = room_ages(7, LOCATION, first, first + 90, OFFSET_S, DEFAULT_SCENARIO)
    later = room_ages(7, LOCATION, first + 30, first + 90, OFFSET_S, DEFAULT_SCENARIO)
    assert long.jar_excess_k.max() > 0.5
    for a, b, c in zip(*(vars(x).values() for x in (long, short, later)), strict=True):
        assert a[:90].tobytes() == b.tobytes()
        assert c == pytest.approx(b[30:], abs=1e-6)
