"""Faults of channels: how often, how long, how large, and what they do, against plain rewrites."""

import math
from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np
import pytest
from scipy import stats

from fleetgen import rng
from fleetgen.errors import ConfigError
from fleetgen.model import faults
from fleetgen.model.faults import KINDS, Fault, Ticks
from fleetgen.spec import Injection, Scenario
from tests import oracles

SEED = 42
OFFSET_S = 7 * 3600
START_S = 1_735_664_400  # 2025-01-01T00:00+07:00
DAY_S = 86_400
YEAR_S = 31_557_600

FAMILIES = {"jar": faults.JAR, "string": faults.RECTIFIER_STRING, "room": faults.ROOM}
RATES = {  # beginnings in 365.25 days, by kind and channel
    "jar": {
        ("spike", 0): 0.007 * 24 * 365.25,
        ("drift", 1): 0.05,
        ("offset", 1): 0.05,
        ("loose_lead", 0): 0.02,
        ("loose_lead", 2): 0.02,
        **{(kind, c): n for kind, n in (("stuck", 0.2), ("dropout", 12.0)) for c in range(3)},
    },
    "string": {
        ("communication_loss", -1): 2.0,
        **{(kind, c): n for kind, n in (("stuck", 0.2), ("dropout", 12.0)) for c in range(5)},
    },
    "room": {
        ("offset", 0): 0.05,
        **{(kind, c): n for kind, n in (("stuck", 0.2), ("dropout", 12.0)) for c in range(2)},
    },
}
LENGTHS_S = {
    "spike": (1, 1),
    "drift": (10 * DAY_S, 60 * DAY_S),
    "offset": (30 * DAY_S, 90 * DAY_S),
    "loose_lead": (5 * DAY_S, 30 * DAY_S),
    "stuck": (3600, 72 * 3600),
    "communication_loss": (600, 8 * 3600),
}


def episodes(entity, first_s, end_s, family="jar", injections=(), seed=SEED):
    scenario = Scenario(injections=injections)
    return faults.episodes(seed, scenario, FAMILIES[family], entity, OFFSET_S, first_s, end_s)


def rows(found):
    """Episodes as tuples (kind, channel, start, end, magnitude), NaN as None."""
    return [
        (KINDS[k], c, a, b, None if math.isnan(m) else m)
        for k, c, a, b, m, _ in zip(*(x.tolist() for x in found), strict=True)
    ]


@cache
def begun(family, years=20, entities=100):
    """What begins in many years of many entities, with the entity's number before."""
    end_s = START_S + years * YEAR_S
    return [
        (n, *row)
        for n in range(entities)
        for row in rows(episodes(f"E{n}", START_S, end_s, family))
        if row[2] >= START_S
    ]


# --- draws ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_rates(family):
    found = begun(family)
    assert {row[1:3] for row in found} == set(RATES[family])
    for what, per_year in RATES[family].items():
        expected = 2000 * per_year
        count = sum(row[1:3] == what for row in found)
        assert abs(count - expected) < 5 * math.sqrt(expected), (what, count, expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_lengths(family):
    found = begun(family)
    for kind in {row[1] for row in found}:
        lengths = np.array([end - start for _, k, _, start, end, _ in found if k == kind])
        if kind == "dropout":
            assert lengths.min() == 1
            assert lengths.max() < 600
            # Rounded to whole seconds, at least one.
            wanted = stats.expon(scale=15)
            for s in (1, 5, 15, 40):
                share = (lengths <= s).mean()
                assert share == pytest.approx(wanted.cdf(s + 0.5), abs=0.01)
            continue
        low, high = LENGTHS_S[kind]
        assert low <= lengths.min() <= lengths.max() <= high
        if low < high:
            u = np.log(lengths / low) / np.log(high / low)
            assert stats.kstest(u, "uniform").pvalue > 1e-4, kind


def test_magnitudes():
    sizes = {
        kind: np.array([m for _, k, _, _, _, m in begun("jar") if k == kind], float)
        for kind in KINDS[:4]
    }
    for kind in ("spike", "drift"):
        size = sizes[kind]
        assert 0.5 <= np.abs(size).min() <= np.abs(size).max() <= 2.0
        assert stats.kstest(np.abs(size), "uniform", (0.5, 1.5)).pvalue > 1e-4
        assert abs((size > 0).mean() - 0.5) < 2.5 / math.sqrt(len(size))
    assert stats.kstest(sizes["offset"], "norm", (0, 2)).pvalue > 1e-4
    for _, kind, channel, _, _, size in begun("jar"):
        if kind == "loose_lead":
            assert size == {0: 10.0, 2: 1.2}[channel]
        assert (size is None) == (kind in ("stuck", "dropout"))


def test_a_loose_lead_falsifies_voltage_and_resistance_together():
    leads = [row for row in begun("jar") if row[1] == "loose_lead"]
    volts = [(n, start, end) for n, _, c, start, end, _ in leads if c == 0]
    ohms = [(n, start, end) for n, _, c, start, end, _ in leads if c == 2]
    assert volts == ohms
    assert volts


def test_times_of_year_and_day_are_even():
    instants = np.array([row[3] for row in begun("jar") if row[1] == "spike"])
    year = (instants - START_S) % YEAR_S / YEAR_S
    day = (instants - START_S) % DAY_S / DAY_S
    for share in (year, day):
        counts = np.histogram(share, 48, (0, 1))[0]
        assert stats.chisquare(counts).pvalue > 1e-4


def test_entities_channels_and_seeds_share_nothing():
    end_s = START_S + 10 * YEAR_S
    starts = {
        (seed, entity, kind, channel): {
            row[2] for row in rows(episodes(entity, START_S, end_s, seed=seed)) if row[:2] == what
        }
        for seed in (1, 2)
        for entity in ("A", "B")
        for what in [("dropout", 0), ("dropout", 1), ("dropout", 2), ("spike", 0)]
        for kind, channel in [what]
    }
    for one, found in starts.items():
        assert len(found) > 60
        for other, also in starts.items():
            # 600 spikes among 3e8 seconds: one in a thousand pairs has one in common.
            assert one == other or len(found & also) <= 1, (one, other)


def month_edges(instant_s):
    """Number of the local month of an instant, its first second, and the next one's."""
    local = datetime.fromtimestamp(instant_s, UTC) + timedelta(seconds=OFFSET_S)
    edges = [
        datetime(y + m // 12, m % 12 + 1, 1, tzinfo=UTC) - timedelta(seconds=OFFSET_S)
        for y, m in [(local.year, local.month - 1), (local.year, local.month)]
    ]
    return 12 * local.year + local.month - 1, *(int(e.timestamp()) for e in edges)


def drawn_plainly(entity, instant_s, kind, channel, drawn_as, per_year):
    """Starts and lengths of one kind in the month of an instant, by plain Python."""
    month, first_s, end_s = month_edges(instant_s)
    key = oracles.key_words(SEED, "fault.channel", entity)
    counter = ((month * 16 + drawn_as % 16) * 16 + KINDS.index(kind)) * 1024
    found, since = [], 0.0
    for i in range(341):
        since -= YEAR_S / per_year * math.log(oracles.uniform(key, counter + 3 * i))
        if since >= end_s - first_s:
            return found
        u = oracles.uniform(key, counter + 3 * i + 1)
        low, high = LENGTHS_S.get(kind, (None, None))
        length = -15 * math.log(u) if low is None else low * (high / low) ** u
        u = oracles.uniform(key, counter + 3 * i + 2)
        size = 0.5 + 1.5 * abs(2 * u - 1)
        size = {
            "spike": size if u < 0.5 else -size,
            "drift": size if u < 0.5 else -size,
            "offset": 2 * oracles.NormalDist().inv_cdf(u),
            "loose_lead": {0: 10.0, 2: 1.2}.get(channel),
        }.get(kind)
        start = first_s + int(since)
        found.append((kind, channel, start, start + max(1, int(length + 0.5)), size))
    raise AssertionError("more than 340 in a month")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("day", [0, 58, 180, 364])
def test_a_month_is_that_of_a_plain_rewrite(family, day):
    _, first_s, end_s = month_edges(START_S + day * DAY_S)
    for entity in ("DC-BKK-01-UPS-01-S3-J07", "X"):
        made = [r for r in rows(episodes(entity, first_s, end_s, family)) if r[2] >= first_s]
        plain = []
        for (kind, channel), rate in RATES[family].items():
            rate = 61.4 if kind == "spike" else rate
            drawn_as = 0 if kind == "loose_lead" else channel
            plain += drawn_plainly(entity, first_s, kind, channel, drawn_as, rate)
        order = [order_of(r) for r in made]
        assert order == sorted(order)
        for a, b in zip(made, sorted(plain, key=order_of), strict=True):
            assert a[:4] == b[:4]
            assert a[4] == (b[4] if b[4] is None else pytest.approx(b[4], rel=1e-9))


def order_of(row):
    return KINDS.index(row[0]), row[1], row[2]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_window_shows_what_touches_it_whenever_it_began(family):
    """Ninety days back, over the edges of months and of the year."""
    whole = {n: rows(episodes(f"E{n}", START_S, START_S + 3 * YEAR_S, family)) for n in range(100)}
    edges = [month_edges(START_S + day * DAY_S)[1] for day in range(31, 1000, 92)]
    windows = [(e, e + 1) for e in edges] + [(e - 1, e) for e in edges]
    windows += [(e + 5 * DAY_S, e + 6 * DAY_S) for e in edges]
    windows += [(edges[0] + 100, edges[3] - 70)]
    began_before = 0
    for n, everything in whole.items():
        for first_s, end_s in windows:
            wanted = [r for r in everything if r[2] < end_s and r[3] > first_s]
            assert rows(episodes(f"E{n}", first_s, end_s, family)) == wanted
            began_before += sum(first_s - r[2] > 40 * DAY_S for r in wanted)
    assert began_before > 0 or family == "string"  # else the test shows little


def test_none_in_a_clean_scenario_but_what_is_injected():
    injected = Injection("sensor_fault", "X", START_S, 60, "stuck", "voltage_v")
    for injections, wanted in (((), []), ((injected,), [(START_S, START_S + 60)])):
        clean = Scenario(sensor_faults=False, injections=injections)
        found = faults.episodes(SEED, clean, faults.JAR, "X", OFFSET_S, START_S, START_S + YEAR_S)
        assert list(zip(found.start_s, found.end_s, strict=True)) == wanted
        assert found.injected.all()


# --- injections -----------------------------------------------------------------------------------


def injected(kind, channel, start_s=START_S + 1000, duration_s=500, target="X"):
    return Injection("sensor_fault", target, start_s, duration_s, kind, channel)


@pytest.mark.parametrize(
    ("family", "kind", "channel", "codes"),
    [
        ("jar", "stuck", "temperature_c", [1]),
        ("jar", "spike", "voltage_v", [0]),
        ("jar", "loose_lead", "voltage_v", [0, 2]),
        ("jar", "loose_lead", "", [0, 2]),  # as a configuration has it
        ("jar", "offset", "temperature_c", [1]),
        ("string", "dropout", "float_current_a", [4]),
        ("string", "communication_loss", "", [-1]),
        ("room", "dropout", "humidity_pct", [1]),
    ],
)
def test_an_injected_fault_joins_the_drawn_ones(family, kind, channel, codes):
    window = START_S, START_S + 30 * DAY_S
    drawn = rows(episodes("X", *window, family))
    forced = injected(kind, channel)
    found = episodes("X", *window, family, (forced, injected(kind, channel, target="Y")))
    new = [r for r, own in zip(rows(found), found.injected, strict=True) if own]
    assert [r for r in rows(found) if r not in new] == drawn
    assert [r[:4] for r in new] == [(kind, c, START_S + 1000, START_S + 1500) for c in codes]
    order = [order_of(r) for r in rows(found)]
    assert order == sorted(order)
    if kind == "spike":
        assert 0.5 <= abs(new[0][4]) <= 2.0
    again = episodes("X", START_S + 1499, START_S + 1500, family, (forced,))
    assert [r for r, own in zip(rows(again), again.injected, strict=True) if own] == new
    for first_s in (START_S + 999, START_S + 1500):
        assert not episodes("X", first_s, first_s + 1, family, (forced,)).injected.any()


@pytest.mark.parametrize(
    ("family", "kind", "channel"),
    [
        ("jar", "communication_loss", ""),
        ("jar", "drift", "voltage_v"),
        ("jar", "stuck", "power_w"),
        ("string", "spike", "voltage_v"),
        ("room", "burnt", "temperature_c"),
    ],
)
def test_an_impossible_injection_is_refused_with_what_is_possible(family, kind, channel):
    with pytest.raises(ConfigError, match=f"X: cannot inject .*{kind}.* possible are .*dropout"):
        episodes("X", START_S, START_S + 1, family, (injected(kind, channel),))


# --- effects --------------------------------------------------------------------------------------

KEY = rng.key(SEED, rng.Stream.JAR_NOISE, "J01")


@pytest.mark.parametrize("step_s", [1, 5, 7, 3600])
def test_rows_are_those_of_the_instants_within(step_s):
    ticks = Ticks(START_S + 3, step_s, 200)
    found = episodes("X", ticks.first_s, ticks.end_s, injections=(
        injected("dropout", "voltage_v", START_S, 1003),
        injected("dropout", "voltage_v", START_S + 17, 1),
        injected("stuck", "temperature_c", START_S + 199 * step_s + 3, 10 * DAY_S),
    ))  # fmt: skip
    instants = [ticks.first_s + i * step_s for i in range(200)]
    shown = faults.seen(found, ticks)
    wanted = []
    for kind, channel, start, end, _ in rows(found):
        inside = [i for i, t in enumerate(instants) if start <= t < end]
        if inside:
            wanted.append((KINDS.index(kind), channel, inside[0], inside[-1] + 1, start, end))
    assert [f[:6] for f in shown] == wanted
    assert len(wanted) >= 2
    assert ticks.end_s == instants[-1] + 1


@pytest.mark.parametrize("step_s", [1, 60])
@pytest.mark.parametrize(
    ("kind", "size", "per_unit"),
    [
        (faults.SPIKE, -1.2345, 1000),
        (faults.OFFSET, 0.77, 10),
        (faults.DRIFT, 1.9, 10),
        (faults.DRIFT, -0.6, 10),
        (faults.LOOSE_LEAD, 10.0, 1000),
    ],
)
def test_falsified_counts_are_those_of_a_plain_rewrite(kind, size, per_unit, step_s):
    ticks = Ticks(START_S, step_s, 500)
    start_s, end_s = START_S - 7000, START_S + 400 * step_s
    fault = Fault(kind, 0, 20, 400, start_s, end_s, size)
    counts = np.arange(500, dtype=np.int32)
    faults.falsify(fault, counts, ticks, per_unit, KEY)
    table = rng.normal_table()
    for i in range(500):
        t = START_S + i * step_s
        change = size * per_unit
        if kind == faults.DRIFT:
            change *= (t - start_s) / (end_s - start_s)
        elif kind == faults.LOOSE_LEAD:  # nine times the noise of 2 mV that is there already
            word = oracles.mix_bits(tuple(KEY.tolist()), t)
            change = 9 * 2.0 * float(table[word & 0xFFFF])
        change = math.floor(change + 0.5) if 20 <= i < 400 else 0
        assert counts[i] == i + change, i
