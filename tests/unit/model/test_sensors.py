"""Instruments: resolution, error, noise and edges, against plain rewrites sample by sample."""

from bisect import bisect_right
from math import floor, sqrt

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fleetgen import rng, simulate
from fleetgen.model import sensors
from fleetgen.rng import Stream
from fleetgen.spec import DEFAULT_SCENARIO, Block
from fleetgen.system import load_frac, system_model
from fleetgen.world import world as make_world
from tests import oracles, tiny

START_S = 1_735_664_400
KEY = rng.key(42, Stream.JAR_NOISE, "J01")
KEY_2 = rng.key(42, Stream.STRING_NOISE_2, "S1")
TABLE = rng.normal_table()

# A grid with an edge: rows at 0, 300, 600 (closing), 600 (opening), 605, 900 (closing).
ROWS = START_S + np.array([0, 300, 600, 600, 605, 900])


def value_at(t_row, values, instant):
    """Linear within a row; of rows at one instant, the last holds."""
    row = min(bisect_right(t_row.tolist(), instant) - 1, len(t_row) - 2)
    t0, t1 = int(t_row[row]), int(t_row[row + 1])
    return values[row] + (values[row + 1] - values[row]) * (instant - t0) / (t1 - t0), row


def noise_at(key, instant, lane):
    """Noise in units of sigma, by plain integers."""
    word = oracles.mix_bits(tuple(key.tolist()), instant)
    return float(TABLE[word >> 16 * lane & 0xFFFF])


def rounded(x):
    return floor(x + 0.5)


# --- a jar ----------------------------------------------------------------------------------------


def sample_jar(volts, temps, first_s, step_s, n, gain=1.0, offset=0.0, noise=1.0, rows=ROWS):
    v, c = np.empty(n, np.int32), np.empty(n, np.int32)
    args = (first_s, step_s, gain, offset, KEY, noise, TABLE, v, c)
    sensors.sample_jar(rows, np.array(volts, float), np.array(temps, float), *args)
    return v.tolist(), c.tolist()


VOLTS = [13.62, 13.60, 13.61, 12.4, 12.2, 12.1]
TEMPS = [25.0, 25.3, 25.2, 25.2, 25.4, 26.0]


@pytest.mark.parametrize("noise", [0.0, 1.0])
@pytest.mark.parametrize(
    ("first", "step", "n"), [(0, 5, 180), (3, 7, 128), (0, 1, 900), (150, 300, 3), (0, 3600, 1)]
)
def test_jar_samples_by_plain_interpolation(first, step, n, noise):
    v, c = sample_jar(VOLTS, TEMPS, START_S + first, step, n, 1.0012, -0.31, noise)
    for i in range(n):
        instant = START_S + first + i * step
        true_v, _ = value_at(ROWS, VOLTS, instant)
        true_c, _ = value_at(ROWS, TEMPS, instant)
        plain_v = true_v * 1.0012 * 1000 + noise * 2 * noise_at(KEY, instant, 0)
        plain_c = (true_c - 0.31) * 10 + noise * 1 * noise_at(KEY, instant, 1)
        assert v[i] == rounded(plain_v)
        assert c[i] == rounded(plain_c)


def test_an_ideal_jar_reads_its_voltage_to_the_millivolt():
    v, c = sample_jar(VOLTS, TEMPS, START_S, 300, 3, noise=0.0)
    assert v == [13_620, 13_600, 12_400]  # at an edge what begins there
    assert c == [250, 253, 252]


def test_noise_is_two_millivolts_and_a_tenth_of_a_kelvin():
    n = 100_000
    rows = START_S + np.array([0, 10**6])
    v, c = sample_jar([13.6] * 2, [25.0] * 2, START_S, 5, n, rows=rows)
    assert np.mean(v) == pytest.approx(13_600, abs=4.5 * 2 / sqrt(n))
    assert np.std(v) == pytest.approx(sqrt(4 + 1 / 12), rel=0.01)
    assert np.mean(c) == pytest.approx(250, abs=4.5 / sqrt(n))
    assert np.std(c) == pytest.approx(sqrt(1 + 1 / 12), rel=0.01)
    assert abs(np.corrcoef(v, c)[0, 1]) < 4.5 / sqrt(n)


def test_samples_do_not_depend_on_the_interval():
    each = sample_jar(VOLTS, TEMPS, START_S, 1, 900)
    for step in (5, 7, 60, 300):
        some = sample_jar(VOLTS, TEMPS, START_S, step, -(-900 // step))
        assert some == tuple(channel[::step] for channel in each)
    late = sample_jar(VOLTS, TEMPS, START_S + 602, 1, 298)
    assert late == tuple(channel[602:] for channel in each)


@settings(deadline=None)
@given(st.integers(0, 899))
def test_row_at_an_instant(second):
    row = sensors.row_at(ROWS, START_S + second)
    assert row == value_at(ROWS, VOLTS, START_S + second)[1]
    assert ROWS[row] <= START_S + second < ROWS[row + 1]


# --- runs -----------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=150)
@given(
    st.lists(
        st.tuples(st.sampled_from([0, 1, 7, 60, 300]), st.floats(-1, 1)), min_size=2, max_size=12
    ),
    st.sampled_from([1, 5, 7, 60]),
    st.integers(0, 30),
    st.sampled_from([1.0, 100.0]),
)
def test_runs_are_the_counts_of_each_sample(pieces, step, first, per_unit):
    times = np.cumsum([0, *(dt for dt, _ in pieces)])
    values = np.array([0.5, *(v for _, v in pieces)])
    if times[-1] <= first or times[0] == times[-1]:
        return
    rows = START_S + times
    n = -(-(int(times[-1]) - first) // step)
    lengths, counts = np.empty(n, np.int64), np.empty(n, np.int64)
    runs = sensors.runs_of(rows, values, per_unit, START_S + first, step, n, lengths, counts)
    made = np.repeat(counts[:runs], lengths[:runs])
    assert len(made) == n
    assert (np.diff(counts[:runs]) != 0).all()
    for i in range(n):
        exact, _ = value_at(rows, values, START_S + first + i * step)
        near = {rounded(exact * per_unit + e) for e in (-1e-9, 1e-9)}  # a tie may fall either way
        assert made[i] in near


def test_runs_do_not_depend_on_where_a_block_begins():
    rows = START_S + np.arange(0, 3001, 300)
    values = 100 - np.linspace(0, 3, 11) ** 2

    def expanded(first):
        n = 3000 - first
        lengths, counts = np.empty(n, np.int64), np.empty(n, np.int64)
        k = sensors.runs_of(rows, values, 100.0, START_S + first, 1, n, lengths, counts)
        return np.repeat(counts[:k], lengths[:k]).tolist()

    whole = expanded(0)
    for first in (1, 299, 300, 301, 2999):
        assert expanded(first) == whole[first:]


# --- modes, intervals, edges ----------------------------------------------------------------------


def test_modes_hold_until_the_next_row():
    modes = np.array([0, 0, 0, 3, 3, 3], np.uint8)
    out = np.empty(900, np.uint8)
    sensors.sample_modes(ROWS, modes, START_S, 1, out)
    assert out.tolist() == [0] * 600 + [3] * 300
    coarse = np.empty(3, np.uint8)
    sensors.sample_modes(ROWS, modes, START_S + 1, 300, coarse)
    assert coarse.tolist() == [0, 0, 3]


def test_a_mode_shorter_than_the_interval_is_not_seen():
    rows = START_S + np.array([0, 10, 10, 12, 12, 100])
    modes = np.array([0, 0, 3, 3, 1, 1], np.uint8)
    out = np.empty(20, np.uint8)
    sensors.sample_modes(rows, modes, START_S, 5, out)
    assert out.tolist() == [0, 0, 3] + [1] * 17


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(-50, 400), st.integers(0, 60)), max_size=5),
    st.sampled_from([1, 5, 7, 300]),
)
def test_within_intervals(pairs, step):
    starts = np.array([START_S + a for a, _ in pairs], np.int64)
    ends = np.array([START_S + a + n for a, n in pairs], np.int64)
    out = np.empty(60, np.uint8)
    sensors.within(starts, ends, START_S, step, out)
    instants = START_S + step * np.arange(60)
    plain = [any(a <= t < b for a, b in zip(starts, ends, strict=True)) for t in instants]
    assert out.tolist() == [int(x) for x in plain]


@settings(deadline=None)
@given(st.sampled_from([1800, 7001, 21_600, 21_601]), st.integers(0, 100_000))
def test_interpolated_edges(step, first):
    # Two days, every six hours; the first ends elsewhere than the second begins.
    edges = np.array([[0.0, 6.0, -3.0, 12.0, 1.0], [2.0, 5.0, 5.0, -7.0, 0.0]])
    at = first + step * np.arange((2 * 86_400 - 1 - first) // step + 1)
    out = np.empty(len(at))
    sensors.interpolated(edges, 21_600, START_S, START_S + first, step, out)
    hours = 21_600 * np.arange(5)
    plain = [np.interp(t % 86_400, hours, edges[t // 86_400]) for t in at]
    assert out == pytest.approx(plain, abs=1e-12)


@settings(deadline=None)
@given(
    st.lists(
        st.one_of(st.just(-(2**31)), st.integers(-(2**31) + 1, 2**31 - 1)), min_size=0, max_size=30
    )
)
def test_extent_leaves_nulls_out(values):
    known, total, low, high = sensors.extent(np.array(values, np.int32))
    kept = [v for v in values if v != -(2**31)]
    assert (known, total) == (len(kept), sum(kept))
    if kept:
        assert (low, high) == (min(kept), max(kept))


# --- a string -------------------------------------------------------------------------------------

N = 180
STRING_V = [326.9, 326.8, 326.8, 300.0, 298.0, 297.0]
CURRENT = [0.05, 0.051, 0.05, -60.0, -61.0, -60.5]
OHM = np.linspace(0.1, 0.12, N).tolist()
MODE = np.array([0] * 120 + [3] * 60, np.uint8)


def sample_string(noise=1.0, mode=MODE, **changes):
    """Seven channels at 5 s."""
    settings_ = {
        "string_v": STRING_V,
        "current": CURRENT,
        "room": np.full(N, 27.0),
        "load": np.full(N, 0.5),
        "hall": np.full(N, 0.2),
        "ohm": np.array(OHM),
        "ripple": 1.8,
        "ripple_load": 2.4,
        "gain_v": 1.002,
        "gain_a": 0.99,
        "shunt": 0.003,
        **changes,
    }
    out = np.empty((7, N), np.int32)
    s = settings_
    sensors.sample_string(
        ROWS,
        np.array(s["string_v"], float),
        np.array(s["current"], float),
        mode,
        s["room"],
        s["load"],
        s["hall"],
        s["ohm"],
        s["ripple"],
        s["ripple_load"],
        START_S,
        5,
        s["gain_v"],
        s["gain_a"],
        s["shunt"],
        KEY,
        KEY_2,
        noise,
        TABLE,
        out,
    )
    return out


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_string_samples_by_the_table_of_sensors(noise):
    out = sample_string(noise)
    for i in range(N):
        t = START_S + 5 * i
        z = [noise * noise_at(KEY, t, lane) for lane in range(4)]
        y = [noise * noise_at(KEY_2, t, lane) for lane in range(2)]
        volts, amps = value_at(ROWS, STRING_V, t)[0], value_at(ROWS, CURRENT, t)[0]
        zero = 0.2 + noise * 0.005 * (27 - 25)
        counts = [
            rounded(volts * 1.002 * 100 + 5 * z[0]),
            rounded((amps * 0.99 + zero) * 100 + 5 * z[1]),
        ]
        ripple = (1.8 + 2.4 * 0.5) * (1.5 if MODE[i] == 3 else 1.0)
        counts.append(rounded(ripple * (1 + 0.02 * z[2]) * 100))
        counts.append(rounded(ripple * OHM[i] * (1 + 0.02 * z[3]) * 1000))
        shunt = (amps + 0.003) * 1000 + 2 * y[0]
        counts.append(rounded(shunt) if abs(shunt) <= 5000 else -(2**31))
        counts.append(rounded(counts[0] * counts[1] / 1e4))
        thd = 3 + 5 / 3 * (1 / 0.5 - 1) + 0.2 * y[1]
        counts.append(-(2**31) if MODE[i] == 3 else rounded(thd * 10))
        assert out[:, i].tolist() == counts, i


def test_distortion_over_load():
    """3 % at full load, 8 % at a quarter."""
    for load, pct in ((1.0, 3.0), (0.25, 8.0)):
        out = sample_string(0.0, load=np.full(N, load))
        assert out[6, 0] == 10 * pct


def test_an_idle_string_has_no_ripple_and_no_distortion():
    out = sample_string(mode=np.full(N, 4, np.uint8))
    assert (out[2] == 0).all()
    assert (out[3] == 0).all()
    assert (out[6] == -(2**31)).all()


def test_power_is_that_of_the_reported_values():
    out = sample_string().astype(np.int64)
    product = out[0] * out[1] / 10_000
    assert np.abs(out[5] - product).max() <= 0.5


def test_noise_of_string_channels():
    """0.05 V, 0.05 A, 2 % of the ripple: over many keys, at one instant."""
    outs = []
    for i in range(400):
        out = np.empty((7, N), np.int32)
        sensors.sample_string(
            START_S + np.array([0, 900]),
            np.full(2, 326.9),
            np.full(2, 0.05),
            np.zeros(N, np.uint8),
            np.full(N, 25.0),
            np.full(N, 0.5),
            np.zeros(N),
            np.full(N, 0.1),
            3.0,
            0.0,
            START_S,
            5,
            1.0,
            1.0,
            0.0,
            rng.key(42, Stream.STRING_NOISE, f"S{i}"),
            rng.key(42, Stream.STRING_NOISE_2, f"S{i}"),
            1.0,
            TABLE,
            out,
        )
        outs.append(out)
    made = np.concatenate(outs, axis=1)
    sigmas = [5, 5, 6, 6, 2]
    means = [32_690, 5, 300, 300, 50]
    for channel, mean, sigma in zip(made[:5], means, sigmas, strict=True):
        assert channel.mean() == pytest.approx(mean, abs=4.5 * sigma / sqrt(made.shape[1]))
        assert channel.std() == pytest.approx(sqrt(sigma**2 + 1 / 12), rel=0.02)
    r = np.corrcoef(made[[0, 1, 2, 3, 4, 6]])
    assert np.abs(r[np.triu_indices(6, 1)]).max() < 5 / sqrt(made.shape[1])


# --- a room ---------------------------------------------------------------------------------------


def sample_room(values, n=1, noise=1.0, offsets=(0.0, 0.0, 0.0, 0.0)):
    out = np.empty((4, n), np.int32)
    series = [np.full(n, float(v)) for v in values]
    sensors.sample_room(*series, START_S, 60, *offsets, KEY, noise, TABLE, out)
    return out


def test_room_samples_by_the_table_of_sensors():
    out = sample_room((24.0, 50.0, 31.0, 70.0), 50, 1.0, (0.1, -1.0, 0.2, 2.0))
    for i in range(50):
        z = [noise_at(KEY, START_S + 60 * i, lane) for lane in range(4)]
        assert out[:, i].tolist() == [
            rounded(241 + z[0]),
            rounded(490 + 5 * z[1]),
            rounded(312 + z[2]),
            rounded(720 + 5 * z[3]),
        ]


def test_an_ideal_sensor_reads_to_a_tenth():
    assert sample_room((24.04, 50.06, -0.06, 99.99), noise=0.0)[:, 0].tolist() == [
        240,
        501,
        -1,
        1000,
    ]


def test_a_hygrometer_stays_within_its_scale():
    out = sample_room((24.0, 100.0, 30.0, 100.0), 500, 1.0, (0.0, 3.0, 0.0, 3.0))
    assert out[1].max() == out[3].max() == 1000
    assert sample_room((24.0, 0.0, 30.0, 0.0), 200)[[1, 3]].min() == 0


def test_room_noise():
    out = sample_room((24.0, 50.0, 30.0, 60.0), 50_000)
    for channel, sigma in zip(out, (1, 5, 1, 5), strict=True):
        assert channel.std() == pytest.approx(sqrt(sigma**2 + 1 / 12), rel=0.02)
    z = (out[1] - 500) / 5
    assert (
        stats.kstest(z + np.random.default_rng(1).uniform(-0.1, 0.1, 50_000), "norm").pvalue > 1e-4
    )


# --- from the physical grid to the files ----------------------------------------------------------

SEED = 77
FLEET = {
    "REC-01": {"kind": "REC", "jars_per_string": 2, "strings": {"S1": "GPL12-100"}},
    "UPS-01": {"kind": "UPS", "jars_per_string": 3, "strings": {"S1": "HX12-120"}},
}


def drawn(stream, entity, number):
    """A fixed error of a channel, in units of sigma."""
    return oracles.normal(oracles.key_words(SEED, stream, entity), number)


def read(place, table, entity, column):
    """One channel of one entity, in order of time, null as NaN."""
    key = "battery_id" if "jar" in table else "sensor_id" if "env" in table else "string_id"
    parts = sorted((place / table).rglob("*.parquet"))
    frame = pd.concat([pd.read_parquet(path, partitioning=None) for path in parts])
    return frame[frame[key] == entity].sort_values("ts")[column].to_numpy(dtype=float)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The first Tuesday of a month, with its self-tests, each minute; and the physics beneath."""
    options = {
        "run__seed": SEED,
        "run__start_date": "2025-01-07",
        "run__duration_days": 1,
        "run__sampling_seconds": 60,
    }
    place = tiny.generate(tmp_path_factory.mktemp("run") / "set", FLEET, **options)
    config = tiny.config(FLEET, **options)
    site, grid = config.to_fleet().sites[0], config.grid()
    block = Block(grid.first_day, grid.end_day)
    around = make_world(SEED, site.location, grid, block, DEFAULT_SCENARIO)
    strings = []
    for system in site.systems:
        model = system_model(SEED, site.location, system, grid, DEFAULT_SCENARIO)
        path = simulate.slow_path(model)
        strings.append((model, simulate.replay(model, path, 0, around, block)))
    return place, site, grid, around, strings


def instants(grid):
    return [grid.start_s + 60 * i for i in range(1440)]


def sampled(played, values, grid):
    return [value_at(played.t_s, values, t)[0] for t in instants(grid)]


def counts(values, per_unit):
    return [None if np.isnan(v) else round(v * per_unit) for v in values]


def test_written_jars(written):
    place, _, grid, _, strings = written
    for model, played in strings:
        for j, jar in enumerate(model.system.strings[0].jar_ids):
            key = np.array(oracles.key_words(SEED, "noise.jar", jar), np.uint64)
            gain = 1 + 0.0007 * drawn("sensor.jar", jar, 0)
            offset = 0.25 * drawn("sensor.jar", jar, 1)
            volts = sampled(played, played.replay.jar_v[j], grid)
            temps = sampled(played, played.replay.jar_c[j], grid)
            noise = [[noise_at(key, t, lane) for t in instants(grid)] for lane in (0, 1)]
            plain_v = [
                rounded(1000 * v * gain + 2 * z) for v, z in zip(volts, noise[0], strict=True)
            ]
            plain_c = [rounded(10 * (c + offset) + z) for c, z in zip(temps, noise[1], strict=True)]
            assert counts(read(place, "telemetry_jar_raw", jar, "voltage_v"), 1000) == plain_v
            assert counts(read(place, "telemetry_jar_raw", jar, "temperature_c"), 10) == plain_c
            held = [
                int(played.readings[int(t - grid.start_s >= played.reading_offset_s), j])
                for t in instants(grid)
            ]
            ohms = counts(read(place, "telemetry_jar_raw", jar, "resistance_mohm"), 1000)
            assert ohms == held
            siemens = counts(read(place, "telemetry_jar_raw", jar, "conductance_s"), 100)
            assert siemens == [rounded(1e8 / count) for count in held]


def test_written_truth(written):
    place, _, grid, _, strings = written
    for model, played in strings:
        for j, jar in enumerate(model.system.strings[0].jar_ids):
            soc = 100 * np.array(sampled(played, played.replay.jar_soc[j], grid))
            made = read(place, "telemetry_jar_calc", jar, "soc_pct")
            assert np.abs(made - soc).max() <= 0.005 + 1e-5
            soh = 100 * np.interp(np.arange(1440) / 1440, [0, 1], played.service.days.soh[:, j])
            made = read(place, "telemetry_jar_calc", jar, "soh_pct")
            assert np.abs(made - soh).max() <= 0.0005 + 1e-5


def test_written_strings(written):
    place, _, grid, around, strings = written
    table = "telemetry_string_raw"
    for model, played in strings:
        name, ups = model.system.strings[0].string_id, model.system.kind == "UPS"
        keys = [
            np.array(oracles.key_words(SEED, stream, name), np.uint64)
            for stream in ("noise.string", "noise.string-2")
        ]
        error = {n: drawn("sensor.string", name, n) for n in range(4)}
        wander = [
            0.05 * oracles.wander(oracles.key_words(SEED, "sensor.hall-wander", name), day, 30)
            for day in (grid.first_day, grid.first_day + 1)
        ]
        load = load_frac(model, grid.start_s)
        modes = [int(played.mode[value_at(played.t_s, played.mode, t)[1]]) for t in instants(grid)]
        assert set(modes) == {0, 3}
        volts = sampled(played, played.replay.string_v, grid)
        amps = sampled(played, played.replay.current_a, grid)
        ah = model.system.strings[0].model.rated_capacity_ah / 100
        ripple = ah * np.exp(0.15 * drawn("string.manufacture", name, 3))
        ohms = (model.populations[0].new_mohm * played.service.days.growth).sum(axis=1) / 1000
        made = {
            column: read(place, table, name, column)
            for column in (
                "voltage_v",
                "current_a",
                "ripple_current_rms_a",
                "ripple_voltage_rms_v",
                "float_current_a",
            )
        }
        thd = read(place, "telemetry_string_calc", name, "thd_pct")
        power = read(place, "telemetry_string_calc", name, "power_w")
        for i, t in enumerate(instants(grid)):
            z = [noise_at(keys[0], t, lane) for lane in range(4)]
            y = [noise_at(keys[1], t, lane) for lane in range(2)]
            v = rounded(100 * volts[i] * (1 + 0.002 * error[0]) + 5 * z[0])
            zero = 0.15 * error[2] + wander[0] + (wander[1] - wander[0]) * i / 1440
            zero += 0.005 * (around.room_c[0, i] - 25)
            a = rounded(100 * (amps[i] * (1 + 0.01 * error[1]) + zero) + 5 * z[1])
            frac = np.interp(i / 5, np.arange(289), load)
            ohm = ohms[0] + (ohms[1] - ohms[0]) * i / 1440
            rms = ripple * (1.5 + 2.0 * frac if ups else 0.3)
            rms *= {3: 1.5, 4: 0.0}.get(modes[i], 1.0)
            shunt = 1000 * (amps[i] + 0.003 * error[3]) + 2 * y[0]
            want = {
                "voltage_v": v / 100,
                "current_a": a / 100,
                "ripple_current_rms_a": rounded(100 * rms * (1 + 0.02 * z[2])) / 100,
                "ripple_voltage_rms_v": rounded(1000 * rms * ohm * (1 + 0.02 * z[3])) / 1000,
                "float_current_a": np.nan if ups or abs(shunt) > 5000 else rounded(shunt) / 1000,
            }
            for column, value in want.items():
                assert made[column][i] == pytest.approx(value, abs=1e-5, nan_ok=True), (column, i)
            pct = 3 + 5 / 3 * (1 / frac - 1) + 0.2 * y[1]
            pct = np.nan if modes[i] >= 3 else rounded(10 * pct) / 10
            assert thd[i] == pytest.approx(pct, abs=1e-5, nan_ok=True)
            assert power[i] == rounded(v * a / 1e4)


def test_written_room(written):
    place, site, grid, around, _ = written
    name = site.sensor_id
    key = np.array(oracles.key_words(SEED, "noise.environment", name), np.uint64)
    error = [drawn("sensor.environment", name, n) for n in range(4)]
    slots = np.arange(1440) / 5
    channels = [
        ("temperature_c", around.room_c[0, :1440], 0.25, 1.0),
        ("humidity_pct", np.interp(slots, np.arange(289), around.room_pct[0]), 1.5, 5.0),
        ("outdoor_temperature_c", np.interp(slots, np.arange(289), around.outdoor_c[0]), 0.25, 1.0),
        ("outdoor_humidity_pct", np.interp(slots, np.arange(289), around.outdoor_pct[0]), 1.5, 5.0),
    ]
    for lane, (column, true, sigma, noise) in enumerate(channels):
        made = counts(read(place, "telemetry_env", name, column), 10)
        plain = [
            rounded(10 * (x + sigma * error[lane]) + noise * noise_at(key, t, lane))
            for x, t in zip(true.tolist(), instants(grid), strict=True)
        ]
        if "humidity" in column:
            plain = [min(1000, max(0, count)) for count in plain]
        assert made == plain, column
