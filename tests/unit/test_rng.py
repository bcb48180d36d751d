"""Random numbers: golden values, plain rewrites, and statistics of what the fleet draws."""

import itertools
import json
import os
import subprocess
import sys
from math import exp, sqrt
from pathlib import Path

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from fleetgen import rng
from fleetgen.jit import kernel
from fleetgen.rng import Stream
from tests import oracles
from tests.golden import make

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "rng.json").read_text("utf-8"))
START_S = 1_735_664_400  # 2025-01-01T00:00+07:00
JARS = tuple(f"DC-CNX-01-UPS-01-S{s}-J{j:02d}" for s in (1, 2) for j in range(1, 25))


@kernel
def bits_at(k, counters, out):
    for i in range(counters.size):
        out[i] = rng.bits(k[0], k[1], counters[i])


@kernel
def uniforms_at(k, counters, out):
    for i in range(counters.size):
        out[i] = rng.uniform(k, counters[i])


@kernel
def lanes_at(k, counters, out):
    for i in range(counters.size):
        word = rng.bits(k[0], k[1], counters[i])
        for lane in range(4):
            out[lane, i] = rng.lane(word, lane)


@kernel
def quantiles_at(p, out):
    for i in range(p.size):
        out[i] = rng.normal_quantile(p[i])


def bits(k, counters):
    out = np.empty(len(counters), np.uint64)
    bits_at(k, np.asarray(counters, np.int64), out)
    return out


def uniforms(k, counters):
    out = np.empty(len(counters))
    uniforms_at(k, np.asarray(counters, np.int64), out)
    return out


def noise(entity, counters, seed=42, stream=Stream.JAR_NOISE):
    """The four channels of noise that one draw per instant feeds, (4, instant)."""
    index = np.empty((4, len(counters)), np.int64)
    lanes_at(rng.key(seed, stream, entity), np.asarray(counters, np.int64), index)
    return rng.normal_table()[index].astype(np.float64)


def flips(a, b):
    return np.bitwise_count(a ^ b)


# --- golden values and plain integers -------------------------------------------------------------


@pytest.mark.parametrize("draw", GOLDEN["draws"], ids=lambda d: f"{d['seed']}-{d['stream']}")
class TestGolden:
    def test_key_and_bits(self, draw):
        words = oracles.key_words(draw["seed"], draw["stream"], draw["entity"])
        assert [f"{word:016x}" for word in words] == draw["key"]
        k = rng.key(draw["seed"], Stream(draw["stream"]), draw["entity"])
        assert k.dtype == np.uint64
        assert [int(word) for word in k] == list(words)
        plain = [oracles.mix_bits(words, c) for c in GOLDEN["counters"]]
        assert [f"{word:016x}" for word in plain] == draw["bits"]
        assert bits(k, GOLDEN["counters"]).tolist() == plain

    def test_uniform_and_normal(self, draw):
        words = tuple(int(word, 16) for word in draw["key"])
        k = np.array(words, np.uint64)
        for counter, u, z in zip(GOLDEN["counters"], draw["uniform"], draw["normal"], strict=True):
            assert rng.uniform(k, counter).hex() == u
            assert float.fromhex(u) == oracles.uniform(words, counter)
            assert rng.normal(k, counter).hex() == z
            assert float.fromhex(z) == pytest.approx(oracles.normal(words, counter), rel=1e-14)

    def test_processes(self, draw):
        words = tuple(int(word, 16) for word in draw["key"])
        k = np.array(words, np.uint64)
        made = {
            "fluctuation": rng.fluctuation(k, START_S, 300, 4, 3600.0),
            "chain": rng.chain(k, 20_089, 4, 3.476),
            "wander": rng.wander(k[np.newaxis], 20_089, 4, 30)[:, 0],
        }
        plain = {
            "fluctuation": oracles.fluctuation(words, START_S, 300, 4, 3600.0),
            "chain": oracles.chain(words, 20_089, 4, 3.476),
            "wander": [oracles.wander(words, 20_089 + i, 30) for i in range(4)],
        }
        for name, values in made.items():
            assert [v.hex() for v in values.tolist()] == draw[name]
            assert values == pytest.approx(plain[name], abs=1e-12)


def test_golden_table():
    table = rng.normal_table()
    assert table.dtype == np.float32
    assert len(table) == 65_536
    for lane, value in GOLDEN["table"].items():
        exact = mpmath.sqrt(2) * mpmath.erfinv(2 * (mpmath.mpf(int(lane)) + 0.5) / 65_536 - 1)
        assert table[int(lane)] == float.fromhex(value) == np.float32(float(exact))


def test_golden_file_is_what_the_package_makes():
    assert json.loads(make.text(make.random_numbers())) == GOLDEN


def test_no_stream_is_ever_renamed():
    now = {stream.name: stream.value for stream in Stream}
    assert {name: now.get(name) for name in GOLDEN["streams"]} == GOLDEN["streams"]
    assert len(set(now.values())) == len(now)


@settings(deadline=None)
@given(
    st.integers(0, 2**63 - 1),
    st.sampled_from(Stream),
    st.text(st.characters(codec="utf-8"), max_size=40),
    st.integers(0, 2**63 - 1),
)
def test_any_draw_by_plain_integers(seed, stream, entity, counter):
    words = oracles.key_words(seed, stream.value, entity)
    k = rng.key(seed, stream, entity)
    assert k.tolist() == list(words)
    assert int(rng.bits(k[0], k[1], counter)) == oracles.mix_bits(words, counter)
    assert rng.uniform(k, counter) == oracles.uniform(words, counter)


def test_keys_are_the_keys_of_each_entity():
    many = rng.keys(42, Stream.JAR, JARS)
    assert many.shape == (48, 2)
    assert many.tolist() == [rng.key(42, Stream.JAR, jar).tolist() for jar in JARS]


def test_lanes_are_the_four_quarters_of_a_word():
    word = np.uint64(0x1122_3344_5566_7788)
    assert [int(rng.lane(word, n)) for n in range(4)] == [0x7788, 0x5566, 0x3344, 0x1122]


def key_that_gives(word, counter):
    """A key whose draw at `counter` is `word`: the mixer undone."""

    def unshift(z, by):
        y = z
        for _ in range(64 // by + 1):
            y = z ^ y >> by
        return y

    z = unshift(word, 31) * pow(0x94D049BB133111EB, -1, 2**64) % 2**64
    y = counter * 0x9E3779B97F4A7C15 % 2**64
    y = (y ^ y >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    return np.array([0, unshift(z, 27) ^ y], np.uint64)


@pytest.mark.parametrize("word", [0, 2**11 - 1, 2**63, 2**64 - 2**12, 2**64 - 1])
def test_uniform_stays_inside_0_and_1(word):
    k = key_that_gives(word, 5)
    assert int(rng.bits(k[0], k[1], 5)) == word
    assert 0.0 < rng.uniform(k, 5) < 1.0
    assert abs(rng.normal(k, 5)) < 8.3


PLAIN = """
import json, sys, warnings
warnings.simplefilter("ignore")  # 64-bit products overflow on purpose
from tests.golden import make
from fleetgen import rng
assert not hasattr(rng.bits, "py_func"), "compiled all the same"
sys.stdout.write(make.text(make.random_numbers()))
"""


def test_plain_python_gives_equal_bits():
    done = subprocess.run(
        [sys.executable, "-c", PLAIN],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == GOLDEN


# --- quantiles ------------------------------------------------------------------------------------


def test_normal_quantile_against_scipy():
    p = np.concatenate(
        [
            np.linspace(1e-6, 1 - 1e-6, 20_001),
            10.0 ** -np.arange(1, 17, 0.25),
            1 - 10.0 ** -np.arange(1, 15, 0.25),
            0.5 + np.array([-0.425, 0.425]) + np.array([[-1e-12], [0], [1e-12]]).ravel()[1],
        ]
    )
    out = np.empty(len(p))
    quantiles_at(p, out)
    # scipy's own error reaches 1e-14 next to the median, where the quantile is small.
    assert out == pytest.approx(special.ndtri(p), rel=2e-14, abs=1e-15)


def test_normal_quantile_is_right_to_1e_15():
    draws = np.random.default_rng(5).uniform(size=300)
    with mpmath.workdps(50):
        for p in [*draws.tolist(), 1e-300, 1e-17, 2.0**-54, 1e-9, 0.075, 0.0749999, 0.925, 0.9999]:
            exact = mpmath.sqrt(2) * mpmath.erfinv(2 * mpmath.mpf(p) - 1)
            if p < 1e-40:  # there mpmath's inverse loses all digits
                exact = mpmath.findroot(
                    lambda x, p=p: mpmath.log(mpmath.erfc(-x / mpmath.sqrt(2)) / 2) - mpmath.log(p),
                    -37,
                )
            assert abs(rng.normal_quantile(p) - exact) < 2e-15 * abs(exact), p
    assert rng.normal_quantile(0.5) == 0.0


def test_normal_quantile_is_odd_and_rises():
    p = np.linspace(0.0005, 0.5, 5001)
    low, high = np.empty(len(p)), np.empty(len(p))
    quantiles_at(p, low)
    quantiles_at(1 - p, high)
    assert low == pytest.approx(-high, rel=1e-12, abs=1e-15)
    assert (np.diff(low) > 0).all()


def test_normal_table_moments():
    table = rng.normal_table().astype(np.float64)
    assert abs(table.mean()) < 1e-9
    exact = special.ndtri((np.arange(65_536) + 0.5) / 65_536)
    assert table.var() == pytest.approx(exact.var(), abs=1e-8)
    assert table.var() == pytest.approx(0.99998, abs=5e-6)
    assert table.max() == -table.min() == pytest.approx(4.33, abs=0.01)
    assert stats.kurtosis(table) == pytest.approx(0, abs=0.02)
    assert (np.diff(table) > 0).all()
    with pytest.raises(ValueError, match="read-only"):
        rng.normal_table()[0] = 0


# --- one channel of noise -------------------------------------------------------------------------

SAMPLES = 200_000


@pytest.mark.parametrize("step_s", [1, 5, 7, 60, 300, 86_400])
def test_noise_is_normal_and_white_at_any_sampling(step_s):
    for channel in noise(JARS[6], START_S + step_s * np.arange(SAMPLES)):
        assert stats.kstest(channel, "norm").pvalue > 1e-4
        assert channel.mean() == pytest.approx(0, abs=4.5 / sqrt(SAMPLES))
        assert channel.var() == pytest.approx(1, abs=4.5 * sqrt(2 / SAMPLES))
        for lag in (1, 2, 3, 5, 12, 60, 64, 720, 4096, 17_280):
            product = (channel[:-lag] * channel[lag:]).mean()
            assert abs(product) < 5 / sqrt(SAMPLES - lag), lag


def test_lanes_are_uniform():
    index = np.empty((4, SAMPLES), np.int64)
    lanes_at(rng.key(42, Stream.JAR_NOISE, JARS[0]), START_S + 5 * np.arange(SAMPLES), index)
    for lane in index:
        counts = np.bincount(lane // 64, minlength=1024)
        assert stats.chisquare(counts).pvalue > 1e-4


@pytest.mark.parametrize("step", [1, 5, 128 * 8, 2**20])
def test_uniform_is_uniform(step):
    u = uniforms(rng.key(42, Stream.OUTAGE, "DC-PKT-01"), step * np.arange(SAMPLES))
    assert stats.chisquare(np.bincount((u * 1000).astype(int), minlength=1000)).pvalue > 1e-4
    assert stats.kstest(u, "uniform").pvalue > 1e-4
    pairs = (u[:-1] * 30).astype(int) * 30 + (u[1:] * 30).astype(int)  # neighbours: serial test
    assert stats.chisquare(np.bincount(pairs[::2], minlength=900)).pvalue > 1e-4


# --- many channels --------------------------------------------------------------------------------


def worst_correlation(series):
    """Largest correlation between rows in units of its standard deviation."""
    r = np.corrcoef(series)
    return np.abs(r[np.triu_indices(len(r), 1)]).max() * sqrt(series.shape[1])


def test_channels_and_jars_do_not_correlate():
    """48 jars of 4 lanes: 18,336 pairs; the largest of so many normals is near 4.2."""
    instants = START_S + 5 * np.arange(20_000)
    channels = np.concatenate([noise(jar, instants) for jar in JARS])
    assert worst_correlation(channels) < 5.2
    assert worst_correlation(channels**2) < 5.5  # nor do their magnitudes


def test_streams_and_seeds_do_not_correlate():
    instants = START_S + 5 * np.arange(20_000)
    series = [noise("DC-CNX-01", instants, 42, stream)[0] for stream in Stream]
    series += [noise("DC-CNX-01", instants, seed)[0] for seed in range(43, 60)]
    assert worst_correlation(np.stack(series)) < 5.2


def test_a_channel_does_not_echo_in_another_later():
    """Noise of one jar, shifted by up to a minute, is not the next jar's."""
    instants = START_S + np.arange(50_000)
    a, b = noise(JARS[0], instants)[0], noise(JARS[1], instants)[0]
    for lag in range(1, 61):
        assert abs((a[lag:] * b[:-lag]).mean()) < 5 / sqrt(len(a) - lag)


def test_streams_share_no_draw():
    counters = np.arange(START_S, START_S + 4000)
    keys = [rng.key(seed, s, "DC-CNX-01") for seed in (0, 1, 42, 43) for s in Stream]
    drawn = np.concatenate([bits(k, counters) for k in keys])
    assert len(np.unique(drawn)) == drawn.size


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (lambda i: (i, "J01"), lambda i: (i + 1, "J01")),
        (lambda i: (2**40 + i, "J01"), lambda i: (2**41 + i, "J01")),
        (lambda i: (42, f"S1-J{i}"), lambda i: (42, f"S1-J{i + 1}")),
        (lambda i: (42, f"S{i}"), lambda i: (42, f"S{i} ")),
        (lambda i: (1, f"1-{i}"), lambda i: (11, f"-{i}")),
    ],
    ids=["seed + 1", "seed x 2", "next jar", "blank", "digits moved from id to seed"],
)
def test_half_the_bits_flip_between_neighbouring_seeds_and_ids(a, b):
    pairs = [
        (rng.key(s, Stream.JAR, t), rng.key(v, Stream.JAR, w))
        for (s, t), (v, w) in ((a(i), b(i)) for i in range(2000))
    ]
    flipped = np.concatenate([flips(bits(p, [START_S]), bits(q, [START_S])) for p, q in pairs])
    assert flipped.mean() == pytest.approx(32, abs=0.5)  # 5.6 standard deviations
    assert flipped.std() == pytest.approx(4, abs=0.4)


@pytest.mark.parametrize("step", [1, 2, 5, 60, 300, 86_400, 2**31])
def test_half_the_bits_flip_between_neighbouring_instants(step):
    k = rng.key(42, Stream.JAR_NOISE, JARS[3])
    instants = START_S + 13 * np.arange(4000)
    flipped = flips(bits(k, instants), bits(k, instants + step))
    assert flipped.mean() == pytest.approx(32, abs=0.4)
    assert flipped.std() == pytest.approx(4, abs=0.3)


def test_each_counter_bit_moves_each_output_bit_half_the_time():
    """The strict avalanche criterion, over all 64 x 64 pairs of bits."""
    k = rng.key(42, Stream.JAR_NOISE, JARS[3])
    counters = np.random.default_rng(1).integers(0, 2**40, 4000)
    base = bits(k, counters)
    for bit in range(40):
        changed = base ^ bits(k, counters ^ (1 << bit))
        share = [(changed >> np.uint64(out) & np.uint64(1)).mean() for out in range(64)]
        assert min(share) > 0.5 - 5.5 * 0.5 / sqrt(4000)
        assert max(share) < 0.5 + 5.5 * 0.5 / sqrt(4000)


# --- processes ------------------------------------------------------------------------------------


def many_keys(count, stream=Stream.LOAD_OU):
    return [rng.key(42, stream, f"unit {i}") for i in range(count)]


@pytest.mark.parametrize(("step_s", "time_s"), [(300, 3600.0), (60, 2400.0), (300, 7200.0)])
def test_fluctuation_is_stationary_with_its_correlation_time(step_s, time_s):
    count, paths = 49, 3000
    x = np.stack([rng.fluctuation(k, START_S, step_s, count, time_s) for k in many_keys(paths)])
    sigma = 1 / sqrt(paths)
    assert np.abs(x.mean(axis=0)).max() < 4.5 * sigma
    assert np.abs(x.var(axis=0) - 1).max() < 4.5 * sqrt(2) * sigma
    for lag in (1, 4, 12, 48):
        for at in range(0, count - lag, 12):
            r = (x[:, at] * x[:, at + lag]).mean()
            assert r == pytest.approx(exp(-lag * step_s / time_s), abs=4.5 * sqrt(2) * sigma)
    assert stats.kstest(x[:, 0], "norm").pvalue > 1e-4


@pytest.mark.parametrize(("step_s", "time_s"), [(300, 3600.0), (60, 2400.0)])
def test_fluctuation_made_day_by_day_closes(step_s, time_s):
    slots = 86_400 // step_s
    gaps = []
    for k in many_keys(200):
        days = [
            rng.fluctuation(k, START_S + 86_400 * d, step_s, slots + 1, time_s) for d in range(3)
        ]
        gaps += [abs(days[d][-1] - days[d + 1][0]) for d in range(2)]
        long = rng.fluctuation(k, START_S, step_s, 3 * slots + 1, time_s)
        assert np.abs(np.concatenate([d[:-1] for d in days]) - long[:-1]).max() < 4 * exp(-12)
    # The start at zero is forgotten to exp(-12) = 6.1e-6 of a unit normal.
    assert 0 < max(gaps) < 4 * exp(-12)
    assert sqrt(np.mean(np.square(gaps))) == pytest.approx(6.1e-6, rel=0.2)


def test_fluctuation_does_not_depend_on_how_much_is_asked_for():
    k = many_keys(1)[0]
    long = rng.fluctuation(k, START_S, 300, 289, 3600.0)
    assert rng.fluctuation(k, START_S, 300, 20, 3600.0).tolist() == long[:20].tolist()


def test_chain_is_a_stationary_autoregression():
    paths, days = 3000, 6
    for first in (rng.EPOCH_DAY, rng.EPOCH_DAY + 1, 20_089):
        keys = many_keys(paths if first < 20_000 else 300, Stream.DAILY_ANOMALY)
        x = np.stack([rng.chain(k, first, days, 3.476) for k in keys])
        sigma = 1 / sqrt(len(keys))
        assert np.abs(x.var(axis=0) - 1).max() < 4.5 * sqrt(2) * sigma
        assert (x[:, :-1] * x[:, 1:]).mean() == pytest.approx(0.75, abs=4.5 * sigma)
        assert (x[:, 0] * x[:, 3]).mean() == pytest.approx(0.75**3, abs=4.5 * sqrt(2) * sigma)


def test_chain_is_one_chain_wherever_it_is_entered():
    k = many_keys(1)[0]
    whole = rng.chain(k, 20_000, 120, 3.476)
    for first, count in ((20_000, 1), (20_031, 28), (20_119, 1)):
        part = rng.chain(k, first, count, 3.476)
        assert part.tolist() == whole[first - 20_000 :][:count].tolist()


def test_wander_has_unit_variance_between_its_knots():
    ks = np.stack(many_keys(4000, Stream.FLOAT_WANDER))
    x = rng.wander(ks, 20_100, 61, 30)  # day 20,100 is a knot: 670 x 30
    assert x.shape == (61, 4000)
    assert np.abs(x.var(axis=1) - 1).max() < 4.5 * sqrt(2 / 4000)
    assert np.abs(x.mean(axis=1)).max() < 4.5 / sqrt(4000)
    assert x[0] == pytest.approx([rng.normal(k, 670) for k in ks], abs=1e-12)
    assert x[30] == pytest.approx([rng.normal(k, 671) for k in ks], abs=1e-12)
    assert abs((x[0] * x[30]).mean()) < 4.5 / sqrt(4000)
    assert (x[0] * x[15]).mean() == pytest.approx(sqrt(0.5), abs=0.05)
    # Smooth: a day moves it by pi / 60 of a unit, knots included.
    steps = np.diff(x, axis=0)
    assert steps.std(axis=1) == pytest.approx(np.full(60, np.pi / 60), rel=0.1)


# --- weighted positions ---------------------------------------------------------------------------


def test_weighted_fills_each_place_by_its_weight():
    weights = [1.0, 0.0, 3.0]
    places = [rng.weighted(weights, (i + 0.5) / 4000) for i in range(4000)]
    counts = np.bincount([int(p) for p in places], minlength=3)
    assert counts.tolist() == [1000, 0, 3000]
    assert np.diff(places).min() > 0
    inside = [p - 2 for p in places if p >= 2]
    assert inside == pytest.approx((np.arange(3000) + 0.5) / 3000, abs=1e-9)


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=40), st.floats(0, 1, exclude_max=True))
def test_weighted_stays_in_range(weights, draw):
    position = rng.weighted(weights, draw)
    assert 0 <= position < len(weights)
    below = list(itertools.accumulate(weights, initial=0.0))[int(position)]
    assert below <= draw * sum(weights) * (1 + 1e-12) + 1e-12


def test_weighted_at_its_ends():
    assert rng.weighted([2.0, 3.0], 0.0) == 0.0
    assert rng.weighted([2.0, 3.0], 1.0) < 2.0
