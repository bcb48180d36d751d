"""Outages, self-tests and equalising charges: rates, shares, calendar, order."""

import calendar
from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from math import sqrt

import numpy as np
import pytest
from scipy import stats

from fleetgen.config import load
from fleetgen.errors import SimulationError
from fleetgen.model import climate, events
from fleetgen.spec import DEFAULT_SCENARIO, Injection, Scenario, TimeGrid
from fleetgen.units import day_number

FLEET = load().to_fleet()
SITES = {site.location.location_id: site for site in FLEET.sites}
RATES = {  # outages a year and location, and the median of the longer ones [min]
    "DC-CNX-01": (4, 40),
    "DC-KKN-01": (6, 50),
    "DC-BKK-01": (2, 25),
    "DC-SRC-01": (3, 35),
    "DC-URT-01": (8, 70),
}
OFFSET_S = 7 * 3600
YEARS = range(2001, 2021)
SEEDS = range(42, 52)


@lru_cache(maxsize=8)
def site_years(name):
    """Outages (start, end) by (seed, year) of 200 site-years."""
    location = SITES[name].location
    found = {}
    for seed in SEEDS:
        first = day_number(date(YEARS[0], 1, 1))
        rain = climate.rain_days(location, seed, first, day_number(date(YEARS[-1] + 1, 1, 1)))
        for year in YEARS:
            found[seed, year] = []
            for month in range(1, 13):
                a = day_number(date(year, month, 1)) - first
                wet = rain[a : a + calendar.monthrange(year, month)[1]]
                found[seed, year] += events.outages(location, seed, year, month, wet, OFFSET_S)
    return found


def all_outages(name):
    return [outage for year in site_years(name).values() for outage in year]


def local(instant_s):
    return datetime.fromtimestamp(instant_s, UTC) + timedelta(seconds=OFFSET_S)


# --- outages --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RATES)
def test_counts_are_negative_binomial(name):
    """200 site-years: Poisson under a gamma frailty of shape 8; mean and spread within 95 %."""
    rate, median = RATES[name]
    location = SITES[name].location
    assert (location.outages_per_year, location.outage_median_min) == (rate, median)
    counts = np.array([len(year) for year in site_years(name).values()])
    assert len(counts) == 200
    whole = stats.nbinom(200 * 8, 8 / (8 + rate))  # the sum over years of a negative binomial
    low, high = whole.ppf([0.025, 0.975])
    assert low <= counts.sum() <= high
    one = stats.nbinom(8, 8 / (8 + rate))
    observed = np.bincount(np.minimum(counts, rate + 4), minlength=rate + 5)
    p = np.append(one.pmf(np.arange(rate + 4)), one.sf(rate + 3))
    assert stats.chisquare(observed, 200 * p).pvalue > 0.005


def test_years_differ_more_than_poisson():
    counts = np.array([len(year) for year in site_years("DC-URT-01").values()])
    assert counts.var() / counts.mean() == pytest.approx(1 + 8 / 8, abs=0.45)


@pytest.mark.parametrize("name", RATES)
def test_durations(name):
    """30 % momentary of 5 to 60 s, the rest lognormal about the median, 480 min at the most."""
    median = RATES[name][1] * 60
    lengths = np.array([end - start for start, end in all_outages(name)])
    n = len(lengths)
    long = lengths[lengths > 60]
    share = 1 - len(long) / n
    # A few of the lognormal ones fall below a minute, too.
    below = 0.7 * stats.norm.cdf(np.log(60 / median) / 0.9)
    assert share == pytest.approx(0.30 + below, abs=3 * sqrt(0.21 / n))
    assert lengths.min() >= 5
    if SITES[name].location.region != "southern":  # whose floods are longer
        assert lengths.max() <= 480 * 60
    z = np.log(long / median) / 0.9
    kept = (long < 480 * 60) & (long > 120)
    low, high = np.log(120 / median) / 0.9, np.log(480 * 60 / median) / 0.9
    truncated = stats.truncnorm(low, high)
    assert stats.kstest(z[kept], truncated.cdf).pvalue > 0.005


def test_floods():
    """0.1 a year in the south, October to December, uniformly 6 to 24 h."""
    place = SITES["DC-URT-01"].location
    assert place.region == "southern"
    floods = [(a, b - a) for a, b in all_outages("DC-URT-01") if b - a > 480 * 60]
    assert {local(a).month for a, _ in floods} == {10, 11, 12}
    low, high = stats.poisson(200 * 0.1 * 16 / 18).ppf([0.005, 0.995])
    assert low <= len(floods) <= high
    hours = np.array([length for _, length in floods]) / 3600
    assert stats.kstest(hours, stats.uniform(8, 16).cdf).pvalue > 0.005


def test_momentary_outages_are_uniform():
    lengths = np.array([b - a for name in RATES for a, b in all_outages(name)])
    short = lengths[lengths <= 60]
    counts = np.bincount(short, minlength=61)[5:61]
    assert counts.min() > 0
    assert stats.chisquare(counts).pvalue > 0.005


@pytest.mark.parametrize(
    ("name", "months", "low", "high"),
    [
        ("DC-CNX-01", range(5, 11), 0.60, 0.80),
        ("DC-KKN-01", range(5, 11), 0.60, 0.80),
        ("DC-BKK-01", range(5, 11), 0.60, 0.80),
        ("DC-URT-01", range(10, 13), 0.30, 0.50),
    ],
)
def test_seasons(name, months, low, high):
    """Monsoon months have most outages; the Gulf coast from October on."""
    share = np.mean([local(start).month in months for start, _ in all_outages(name)])
    n = len(all_outages(name))
    assert low - 2 * 0.5 / sqrt(n) <= share <= high + 2 * 0.5 / sqrt(n)


def test_rain_days_draw_outages():
    """Three times as many on a rain day as on a dry day of the same month."""
    location = SITES["DC-URT-01"].location
    wet = dry = expected_wet = 0.0
    for (seed, _), found in site_years("DC-URT-01").items():
        for start, _ in found:
            day = local(start).date()
            first = day_number(day.replace(day=1))
            length = calendar.monthrange(day.year, day.month)[1]
            rain = climate.rain_days(location, seed, first, first + length)
            wet += rain[day.day - 1]
            dry += not rain[day.day - 1]
            expected_wet += 3 * rain.sum() / (3 * rain.sum() + (~rain).sum())
    assert wet == pytest.approx(expected_wet, abs=4 * sqrt(expected_wet))
    assert wet > dry


def test_hours():
    """Afternoons on rain days; else evenly, half as many again from 8 to 17 h."""
    hours = Counter(local(start).hour for name in RATES for start, _ in all_outages(name))
    total = sum(hours.values())
    afternoon = sum(hours[h] for h in range(12, 19)) / total
    night = sum(hours[h] for h in range(7)) / total
    assert afternoon > 0.38
    assert night < 7 / 24 * 0.85
    assert all(hours[h] > 0 for h in range(24))


def test_outages_are_sorted_and_in_their_month():
    location = SITES["DC-URT-01"].location
    for month in range(1, 13):
        days = calendar.monthrange(2024, month)[1]
        found = events.outages(location, 5, 2024, month, np.zeros(days, np.bool_), OFFSET_S)
        assert found == sorted(found)
        assert all(local(a).strftime("%Y-%m") == f"2024-{month:02d}" for a, _ in found)
        assert all(b > a for a, b in found)


def test_no_rate_no_outage():
    location = replace(SITES["DC-URT-01"].location, outages_per_year=0.0)
    dry = np.zeros(31, np.bool_)
    found = [events.outages(location, s, 2024, 1, dry, OFFSET_S) for s in range(200)]
    assert not any(found)


# --- timelines ------------------------------------------------------------------------------------


def timeline(
    name="DC-URT-01",
    system=0,
    seed=3,
    start=date(2024, 1, 1),
    days=366,
    scenario=DEFAULT_SCENARIO,
):
    site = SITES[name]
    grid = TimeGrid(start, days * 86_400, 300, OFFSET_S, "Asia/Bangkok")
    rain = lambda first, end: climate.rain_days(site.location, seed, first, end)  # noqa: E731
    found = events.timeline(
        site.location,
        site.systems[system],
        seed,
        grid.first_day,
        grid.end_day,
        OFFSET_S,
        rain,
        scenario,
    )
    return found, grid


@lru_cache(maxsize=1)
def many():
    return [
        timeline(name, system, seed)[0] for name in SITES for system in (0, 1) for seed in range(4)
    ]


def test_discharges_are_sorted_and_do_not_overlap():
    for t in many():
        assert (t.discharge_end_s > t.discharge_start_s).all()
        assert (t.discharge_start_s[1:] > t.discharge_end_s[:-1]).all()
        assert len(t.self_test) == len(t.discharge_start_s) == len(t.discharge_end_s)
        assert (t.equalize_start_s[1:] > t.equalize_end_s[:-1]).all()


def test_events_lie_in_the_run():
    t, grid = timeline(start=date(2024, 2, 10), days=20)
    assert (t.discharge_start_s > grid.start_s).all()
    assert (t.equalize_start_s > grid.start_s).all()


def test_self_tests_are_on_first_tuesdays_at_ten():
    for t in many():
        tests = [local(s) for s in t.discharge_start_s[t.self_test]]
        for begins in tests:
            assert begins.weekday() == calendar.TUESDAY
            assert begins.day <= 7
            assert begins.hour * 3600 + begins.minute * 60 + begins.second >= 9.5 * 3600
            assert begins.hour * 3600 + begins.minute * 60 + begins.second <= 10.5 * 3600
        assert len({(b.year, b.month) for b in tests}) == len(tests)
        assert 11 <= len(tests) <= 12  # one may fall into an outage
        length = (t.discharge_end_s - t.discharge_start_s)[t.self_test]
        assert (length == 60).all()


def test_each_quarter_has_its_equalising_charge():
    for t in many():
        starts, ends = t.equalize_start_s, t.equalize_end_s
        assert [(local(s).month - 1) // 3 for s in starts] == [0, 1, 2, 3]
        hours = (ends - starts) / 3600
        assert ((hours >= 8) & (hours <= 12)).all()
        assert all(18 <= local(s).hour < 22 for s in starts)


def test_systems_have_their_own_days():
    times = {tuple(t.equalize_start_s.tolist()) for t in many()}
    assert len(times) == len(many())


def test_generators_shorten_outages_of_ups_systems():
    """3 % of starts fail; else the battery carries about 20 s."""
    lengths = []
    for seed in range(60):
        t, _ = timeline("DC-URT-01", 1, seed)
        on_battery = t.discharge_end_s - t.discharge_start_s
        lengths += on_battery[~t.self_test].tolist()
    rectifier, _ = timeline("DC-URT-01", 0)  # without generator
    assert (rectifier.discharge_end_s - rectifier.discharge_start_s).max() > 3600
    lengths = np.array(lengths)
    outages_s = np.array([b - a for a, b in all_outages("DC-URT-01")])
    long = (outages_s > 120).mean()
    # 3 % of the outages beyond two minutes stay on battery; a start takes less than that.
    failed = (lengths > 120).mean()
    assert failed == pytest.approx(0.03 * long, abs=0.012)
    started = lengths[(lengths <= 120)]
    assert np.median(started[started > 12]) == pytest.approx(20, abs=3)


def test_rectifiers_with_a_generator_are_relieved_too():
    whole, _ = timeline("DC-URT-01", 0)
    system = SITES["DC-URT-01"].systems[0]
    assert system.kind == "REC"
    relieved, _ = timeline("DC-PKT-01", 0)
    assert SITES["DC-PKT-01"].location.generator
    with_, without = (
        np.median((t.discharge_end_s - t.discharge_start_s)[~t.self_test])
        for t in (relieved, whole)
    )
    assert with_ < 60 < without


def test_a_longer_run_changes_nothing_earlier():
    for seed in range(6):
        short, _ = timeline(seed=seed, start=date(2024, 1, 15), days=30)
        long, _ = timeline(seed=seed, start=date(2024, 1, 15), days=90)
        end = 86_400 * (day_number(date(2024, 2, 14))) - OFFSET_S
        for name in (
            "discharge_start_s",
            "discharge_end_s",
            "equalize_start_s",
            "charger_start_s",
            "test_start_s",
            "test_end_s",
        ):
            a, b = getattr(short, name), getattr(long, name)
            assert a[a < end].tolist() == b[b < end].tolist()


def test_runs_over_new_year_meet_every_month():
    t, _ = timeline(start=date(2024, 11, 20), days=80)
    tests = [local(s).strftime("%Y-%m") for s in t.discharge_start_s[t.self_test]]
    assert tests == ["2024-12", "2025-01", "2025-02"]
    assert len(t.equalize_start_s) in (1, 2)


def fixed(found):
    """A month's outages in place of the drawn ones."""

    def outages(location, seed, year, month, rain, utc_offset_s):
        return found if (year, month) == (2024, 1) else []

    return outages


def test_an_outage_within_an_outage_prolongs_it_and_a_test_gives_way(monkeypatch):
    start = 1_704_042_000  # 2024-01-01T00:00+07:00
    site = SITES["DC-URT-01"]
    plain, _ = timeline(days=31)
    test = int(plain.discharge_start_s[plain.self_test][0])
    found = [
        (start + 1000, start + 2000),
        (start + 1500, start + 1700),  # inside
        (start + 5000, start + 6000),
        (start + 5900, start + 7000),  # goes on
        (start + 9000, start + 9100),
        (start + 9100, start + 9200),  # follows at once
        (test - 100, test + 10),  # the test begins in it
    ]
    monkeypatch.setattr(events, "outages", fixed(found))
    made, _ = timeline(days=31)
    assert site.systems[0].kind == "REC"
    pairs = list(zip(made.discharge_start_s - start, made.discharge_end_s - start, strict=True))
    assert pairs[:3] == [(1000, 2000), (5000, 7000), (9000, 9200)]
    assert pairs[3] == (test - 100 - start, test + 10 - start)
    assert not made.self_test.any()


def test_an_outage_that_begins_in_a_test_is_an_outage(monkeypatch):
    plain, _ = timeline(days=31)
    test = int(plain.discharge_start_s[plain.self_test][0])
    monkeypatch.setattr(events, "outages", fixed([(test + 30, test + 600)]))
    made, _ = timeline(days=31)
    assert made.discharge_start_s.tolist() == [test]
    assert made.discharge_end_s.tolist() == [test + 600]
    assert made.self_test.tolist() == [False]


def test_an_injected_outage_comes_to_the_drawn_ones():
    """A rectifier without generator carries it whole, a system with one until that runs."""
    start = 1_704_042_000 + 3 * 86_400 + 5
    injected = Injection("outage", "DC-URT-01", start, 4 * 3600)
    scenario = Scenario(injections=(injected,))
    for system, longest in ((0, 4 * 3600), (1, 120)):
        plain, _ = timeline(system=system, days=31)
        made, _ = timeline(system=system, days=31, scenario=scenario)
        where = made.discharge_start_s.tolist().index(start)
        length = int(made.discharge_end_s[where]) - start
        assert length == longest if system == 0 else 5 <= length <= longest
        kept = np.delete(made.discharge_start_s, where)
        assert kept.tolist() == plain.discharge_start_s.tolist()
    elsewhere, _ = timeline("DC-PKT-01", days=31, scenario=scenario)
    assert start not in elsewhere.discharge_start_s


def test_more_outages_than_a_month_holds_stop_the_run():
    """No configuration comes near: 100 a year are its most."""
    place = replace(SITES["DC-URT-01"].location, outages_per_year=4000.0)
    with pytest.raises(SimulationError, match=r"outages in 2024-11, and a month .* at most 127"):
        events.outages(place, 1, 2024, 11, np.ones(30, np.bool_), OFFSET_S)


def test_cooling_stops_where_no_generator_drives_it():
    """3 % of the outages with a generator, all of them without."""
    location = SITES["DC-URT-01"].location
    outages = all_outages("DC-URT-01")
    alone = replace(location, generator=False)
    assert events.cooling_stops(alone, 5, outages) == outages
    driven = replace(location, generator=True)
    stopped = events.cooling_stops(driven, 5, outages)
    assert set(stopped) < set(outages)
    n = len(outages)
    assert len(stopped) / n == pytest.approx(0.03, abs=3 * sqrt(0.03 * 0.97 / n))


# --- chargers -------------------------------------------------------------------------------------


def test_charger_episodes():
    """3 % of the systems a year, 10 to 60 days, +30 to +80 or -40 to -80 mV/cell."""
    place = replace(SITES["DC-CNX-01"].location, outages_per_year=0.0)
    first, end = (day_number(date(year, 1, 1)) for year in (2024, 2044))
    drawn = []
    for seed in range(60):
        for system in SITES["DC-CNX-01"].systems:
            dry = lambda a, b: np.zeros(b - a, np.bool_)  # noqa: E731
            t = events.timeline(place, system, seed, first, end, OFFSET_S, dry, DEFAULT_SCENARIO)
            episodes = zip(t.charger_start_s, t.charger_end_s, t.charger_v, strict=True)
            drawn += [each for each in episodes if each[0] >= first * 86_400 - OFFSET_S]
    years = 60 * 2 * 20
    assert len(drawn) == pytest.approx(0.03 * years, abs=4 * sqrt(0.03 * years))
    days = np.array([(b - a) / 86_400 for *_, a, b, _ in drawn])
    volts = np.array([v for *_, v in drawn])
    assert stats.kstest(days, stats.uniform(10, 50).cdf).pvalue > 0.005
    assert stats.kstest(volts[volts > 0], stats.uniform(0.03, 0.05).cdf).pvalue > 0.005
    assert stats.kstest(-volts[volts < 0], stats.uniform(0.04, 0.04).cdf).pvalue > 0.005
    assert 0.35 < (volts > 0).mean() < 0.65


def test_a_charger_may_be_out_of_adjustment_before_the_start():
    """An episode that began earlier is still there in a run that begins within it."""
    for seed in range(300):
        whole, _ = timeline(seed=seed, days=366)
        if len(whole.charger_start_s) and whole.charger_start_s[0] > 1_704_042_000 + 86_400:
            break
    began, ends = int(whole.charger_start_s[0]), int(whole.charger_end_s[0])
    day = local(began).date() + timedelta(days=3)
    later, grid = timeline(seed=seed, start=day, days=5)
    assert grid.start_s > began
    assert (int(later.charger_start_s[0]), int(later.charger_end_s[0])) == (began, ends)
    after, _ = timeline(seed=seed, start=local(ends).date() + timedelta(days=1), days=5)
    assert began not in after.charger_start_s


# --- capacity tests -------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def capacity_tests():
    """Local starts (location, seed, string, time) in two years, and outages by location, seed."""
    found, outages = [], {}
    for name, site in SITES.items():
        for seed in range(3):

            def rain(a, b, place=site.location, seed=seed):
                return climate.rain_days(place, seed, a, b)

            first, end = (day_number(date(year, 1, 1)) for year in (2023, 2026))
            outages[name, seed] = events.location_outages(
                site.location, seed, first, end, OFFSET_S, rain, DEFAULT_SCENARIO
            )
            for number, system in enumerate(site.systems):
                t, _ = timeline(name, number, seed, date(2023, 12, 1), days=3 * 365)
                for s, string in enumerate(system.strings):
                    for start in t.tests_s(s).tolist():
                        if 2024 <= local(start).year <= 2025:
                            found.append((name, seed, string.string_id, start))
    return found, outages


def test_each_string_is_tested_once_a_year():
    counts = Counter((n, seed, s, local(t).year) for n, seed, s, t in capacity_tests()[0])
    strings = sum(len(site.location.string_ids) for site in SITES.values())
    assert len(counts) == 2 * 3 * strings
    assert set(counts.values()) == {1}


def test_one_string_of_a_location_a_day():
    days = Counter((name, seed, local(t).date()) for name, seed, _, t in capacity_tests()[0])
    assert set(days.values()) == {1}


def test_capacity_tests_are_on_weekend_nights_outside_the_storms():
    """Not in August to October, in the south not in October to December."""
    for name, _, _, start in capacity_tests()[0]:
        begins = local(start)
        south = SITES[name].location.region == "southern"
        assert begins.month not in ((10, 11, 12) if south else (8, 9, 10))
        assert begins.weekday() >= calendar.SATURDAY
        assert 20 <= begins.hour < 22
    months = Counter(local(start).month for _, _, _, start in capacity_tests()[0])
    assert set(months) == set(range(1, 13)) - {10}


def test_capacity_tests_wait_for_72_hours_without_an_outage():
    tests, outages = capacity_tests()
    for name, seed, _, start in tests:
        assert not any(0 <= start - a < 72 * 3600 for a, _ in outages[name, seed])


def test_an_outage_puts_a_test_off_by_a_week(monkeypatch):
    plain, _ = timeline("DC-CNX-01", 1, days=366)
    test = int(plain.test_start_s[0])
    day = local(test).date()

    def outages(location, seed, year, month, rain, utc_offset_s):
        return [(test - 71 * 3600, test - 71 * 3600 + 9)] if (year, month) == (2024, month0) else []

    month0 = (day - timedelta(days=3)).month
    monkeypatch.setattr(events, "outages", outages)
    made, _ = timeline("DC-CNX-01", 1, days=366)
    assert test + 7 * 86_400 in made.test_start_s
    assert test not in made.test_start_s


def test_a_test_is_ended_after_six_hours():
    t, _ = timeline("DC-CNX-01", 1, days=366)
    assert len(t.test_start_s) > 1
    assert (t.test_end_s - t.test_start_s == 6 * 3600).all()


def test_injected_tests_come_to_those_of_the_calendar():
    plain, _ = timeline("DC-CNX-01", 1, days=366)
    string = SITES["DC-CNX-01"].systems[1].strings[1].string_id
    own = int(plain.tests_s(1)[0])
    injections = (
        Injection("capacity_test", string, own - 5 * 86_400, 1800),
        Injection("capacity_test", string, own - 600, 3600),  # the calendar's begins in it
        Injection("capacity_test", "DC-CNX-01-UPS-01-S9", own, 3600),
    )
    made, _ = timeline("DC-CNX-01", 1, days=366, scenario=Scenario(injections=injections))
    pairs = dict(
        zip(made.tests_s(1).tolist(), made.test_end_s[made.test_string == 1].tolist(), strict=True)
    )
    assert pairs == {
        own - 5 * 86_400: own - 5 * 86_400 + 1800,
        own - 600: own + 6 * 3600,
    }
    others = plain.test_string != 1
    assert made.test_start_s[made.test_string != 1].tolist() == plain.test_start_s[others].tolist()
    assert made.discharge_start_s.tolist() == plain.discharge_start_s.tolist()


def test_what_is_injected_at_the_start_of_the_run_takes_place():
    start = 1_704_042_000
    system = SITES["DC-URT-01"].systems[0]
    injections = (
        Injection("outage", "DC-URT-01", start, 3600),
        Injection("capacity_test", system.strings[0].string_id, start, 3600),
    )
    made, grid = timeline(days=31, scenario=Scenario(injections=injections))
    assert grid.start_s == start
    assert made.discharge_start_s[0] == start
    assert made.tests_s(0)[0] == start
