"""The measured side of a block: instruments, row groups, digests, features, statistics.

Pure: takes replayed physics and yields row groups table by table, so that a writer holds one row
group at a time. Blocks are cut into row groups of whole local days.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fleetgen import digest, rng, simulate
from fleetgen.derive import features
from fleetgen.elementary import exponential, total
from fleetgen.model import params, sensors, stepper
from fleetgen.rng import Stream
from fleetgen.schema import (
    COOLING,
    ENV,
    FEATURE_STORE,
    JAR_CALC,
    JAR_RAW,
    MODES,
    STRING_CALC,
    STRING_RAW,
    Table,
)
from fleetgen.simulate import BlockReplay, SlowPath
from fleetgen.spec import (
    NULL,
    Block,
    Codes,
    Constant,
    Instants,
    Location,
    Plain,
    RowGroup,
    Runs,
    TimeGrid,
)
from fleetgen.system import SystemModel, load_frac
from fleetgen.units import SECONDS_PER_DAY, SECONDS_PER_HOUR, day_date
from fleetgen.world import World, world

Ints = NDArray[np.int64]
Counts = NDArray[np.int32]
Floats = NDArray[np.float64]

ROW_GROUP_DAYS = 8
TRANSFER_S = 10

_DISCHARGE = MODES.index("discharge")
_EQUALIZE = MODES.index("equalize")
_NULL32 = sensors.NULL_COUNT


@dataclass(frozen=True)
class BlockClock:
    """The sample clock within one block of days."""

    grid: TimeGrid
    block: Block

    @cached_property
    def first_index(self) -> int:
        """Index of the block's first sample in the run."""
        return self.grid.first_index(self.grid.midnight_s(self.block.first_day))

    @cached_property
    def rows(self) -> int:
        """Samples of one channel in the block."""
        return self.grid.first_index(self.grid.midnight_s(self.block.end_day)) - self.first_index

    @property
    def first_s(self) -> int:
        """Instant of the first sample."""
        return self.grid.start_s + self.first_index * self.grid.interval_s

    def bounds(self, instants_s: Ints) -> Ints:
        """Row of the first sample at or after each instant, int64 (instant,)."""
        step = self.grid.interval_s
        return np.clip(-(-(instants_s - self.first_s) // step), 0, self.rows)

    @cached_property
    def day_bounds(self) -> Ints:
        """Rows at which the block's local days begin, and the end, int64 (day + 1,)."""
        days = range(self.block.first_day, self.block.end_day + 1)
        return self.bounds(np.array([self.grid.midnight_s(d) for d in days]))

    @cached_property
    def hours(self) -> int:
        """Complete hours in the block."""
        start = self.grid.midnight_s(self.block.first_day)
        end = min(self.grid.end_s, self.grid.midnight_s(self.block.end_day))
        return max(0, (end - start) // SECONDS_PER_HOUR)

    @cached_property
    def hour_bounds(self) -> Ints:
        """Rows at which the block's complete hours begin, and the end, int64 (hour + 1,)."""
        start = self.grid.midnight_s(self.block.first_day)
        return self.bounds(start + SECONDS_PER_HOUR * np.arange(self.hours + 1))

    @cached_property
    def prefix(self) -> NDArray[np.uint64]:
        """Digest multipliers of the block's instants."""
        return digest.instant_prefix(1000 * self.first_s, 1000 * self.grid.interval_s, self.rows)

    def row_groups(self) -> list[tuple[int, int]]:
        """Rows [first, end) of each row group."""
        edges = [*self.day_bounds[:-1:ROW_GROUP_DAYS].tolist(), self.rows]
        return [(a, b) for a, b in pairwise(edges) if b > a]

    def instants(self, first: int, end: int) -> Instants:
        """The `ts` chunk of rows [first, end)."""
        step_ms = 1000 * self.grid.interval_s
        return Instants(1000 * self.first_s + first * step_ms, step_ms, end - first)


@dataclass
class Sketch:
    """Statistics of a column as integers: they add up to the same whatever the order."""

    rows: int = 0
    total: int = 0
    low: int = 2**62
    high: int = -(2**62)

    def add(self, rows: int, total: int, low: int, high: int) -> None:
        """Take in `rows` counts with their total and extremes."""
        self.rows += rows
        self.total += total
        self.low = min(self.low, low)
        self.high = max(self.high, high)


@dataclass
class Tally:
    """Digest lanes by table, (day, 2), and statistics by "table.column" of one part."""

    block: Block
    digests: dict[str, NDArray[np.uint64]] = field(default_factory=dict)
    sketches: dict[str, Sketch] = field(default_factory=dict)

    def digest(
        self,
        table: Table,
        entity: str,
        group: RowGroup,
        prefix: NDArray[np.uint64],
        first: int,
        bounds: Ints,
    ) -> None:
        """Add a row group of one id to the table's digests by local day."""
        lanes = digest.lanes(table, group, prefix, first, bounds)
        lanes_sum = self.digests.setdefault(table.name, np.zeros_like(lanes))
        lanes_sum += digest.identity(entity) * lanes

    def day_digests(self, table: Table) -> dict[str, str]:
        """Digest of each local day of the block that holds rows."""
        return {
            day_date(self.block.first_day + day).isoformat(): digest.hexadecimal(lanes)
            for day, lanes in enumerate(self.digests[table.name])
            if lanes.any()
        }

    def coded(self, table: Table, column: str, counts: Counts) -> Codes | Plain:
        """Chunk of a column's counts, which are taken into its sketch; nulls are left out there.

        Codes into their range of levels; plain where that exceeds 65,536.
        """
        known, total, low, high = sensors.extent(counts)
        if not known:
            return Codes(np.zeros(counts.size, np.uint8), np.array([NULL]))
        self.sketches.setdefault(f"{table.name}.{column}", Sketch()).add(known, total, low, high)
        span, nulls = high - low + 1, known < counts.size
        if span + nulls > 65_536:
            return Plain(np.where(counts == _NULL32, NULL, counts.astype(np.int64)))
        levels = np.arange(low, high + 1 + nulls, dtype=np.int64)
        codes = counts - np.int32(low)
        if nulls:
            levels[-1] = NULL
            codes[counts == _NULL32] = span
        narrow = len(levels) <= 256
        return Codes(codes.astype(np.uint8) if narrow else codes.astype(np.uint16), levels)


def _channel(seed: int, stream: Stream, entity: str, number: int, sigma: float) -> float:
    """Fixed error of a sensor channel."""
    return sigma * rng.normal(rng.key(seed, stream, entity), number)


# --- strings --------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class StringSamples:
    """Channels of one string in a block: `mode` uint8 (row,) and counts int32 (7, row)."""

    mode: NDArray[np.uint8]
    counts: Counts


def sample_string(
    model: SystemModel, s: int, around: World, played: BlockReplay, clock: BlockClock
) -> StringSamples:
    """What the string's instruments report in the block."""
    string = model.system.strings[s]
    seed, grid, place = model.seed, clock.grid, string.string_id
    first_s, step_s, rows = clock.first_s, grid.interval_s, clock.rows
    start_s = int(around.midnights_s[0])
    room_c, frac, hall, ohm = (np.empty(rows) for _ in range(4))
    sensors.interpolated(around.room_c, 60, start_s, first_s, step_s, room_c)
    loads = np.stack([load_frac(model, int(m)) for m in around.midnights_s])
    sensors.interpolated(loads, stepper.SLOT_S, start_s, first_s, step_s, frac)
    wander = rng.wander(
        rng.keys(seed, Stream.HALL_WANDER, (place,)),
        clock.block.first_day,
        clock.block.days + 1,
        int(params.HALL_WANDER_KNOT.value),
    )
    offset = _channel(seed, Stream.STRING_SENSOR, place, 2, params.HALL_OFFSET.value)
    zero = offset + params.HALL_WANDER.value * wander[:, 0]
    sensors.interpolated(_day_edges(zero), SECONDS_PER_DAY, start_s, first_s, step_s, hall)
    mode = np.empty(rows, np.uint8)
    sensors.sample_modes(played.t_s, played.mode, first_s, step_s, mode)
    per_100_ah = string.model.rated_capacity_ah / 100.0
    ripple_z = rng.normal(rng.key(seed, Stream.STRING, place), 3)
    sigma = params.RIPPLE_SPREAD.value
    ripple = per_100_ah * exponential(sigma * ripple_z)
    ups = model.system.kind == "UPS"
    mohm = model.populations[s].new_mohm * played.growth
    string_ohm = np.array([total(row) for row in mohm.tolist()]) * 1e-3
    sensors.interpolated(_day_edges(string_ohm), SECONDS_PER_DAY, start_s, first_s, step_s, ohm)
    counts = np.empty((7, rows), np.int32)
    sensors.sample_string(
        played.t_s,
        played.replay.string_v,
        played.replay.current_a,
        mode,
        room_c,
        frac,
        hall,
        ohm,
        ripple * (params.RIPPLE_BASE.value if ups else params.RIPPLE_RECTIFIER.value),
        ripple * params.RIPPLE_LOAD.value if ups else 0.0,
        first_s,
        step_s,
        1.0 + _channel(seed, Stream.STRING_SENSOR, place, 0, params.STRING_VOLTAGE_GAIN.value),
        1.0 + _channel(seed, Stream.STRING_SENSOR, place, 1, params.HALL_GAIN.value),
        _channel(seed, Stream.STRING_SENSOR, place, 3, params.SHUNT_OFFSET.value),
        rng.key(seed, Stream.STRING_NOISE, place),
        rng.key(seed, Stream.STRING_NOISE_2, place),
        1.0,
        rng.normal_table(),
        counts,
    )
    if ups:  # no float current channel
        counts[4] = _NULL32
    return StringSamples(mode, counts)


def _day_edges(midnights: Floats) -> Floats:
    """Values at midnights as edges of each day, (midnight,) to (day, 2)."""
    return np.stack([midnights[:-1], midnights[1:]], axis=1)


def string_groups(
    model: SystemModel,
    s: int,
    transfers_s: Ints,
    samples: StringSamples,
    clock: BlockClock,
    tally: Tally,
) -> Iterator[tuple[Table, RowGroup]]:
    """Row groups of both string tables; `transfers_s` are the instants of the run's transfers."""
    string_id = model.system.strings[s].string_id
    t = model.timeline
    step_s = clock.grid.interval_s
    test, transfer = np.empty(clock.rows, np.uint8), np.empty(clock.rows, np.uint8)
    sensors.within(
        t.discharge_start_s[t.self_test],
        t.discharge_end_s[t.self_test],
        clock.first_s,
        step_s,
        test,
    )
    sensors.within(transfers_s, transfers_s + TRANSFER_S, clock.first_s, step_s, transfer)
    flags = np.array([0, 1], np.int64)
    names = (
        "voltage_v",
        "current_a",
        "ripple_current_rms_a",
        "ripple_voltage_rms_v",
        "float_current_a",
    )
    for first, end in clock.row_groups():
        rows = slice(first, end)
        chunks = {
            n: tally.coded(STRING_RAW, n, c[rows])
            for n, c in zip(names, samples.counts[:5], strict=True)
        }
        raw: RowGroup = {
            "ts": clock.instants(first, end),
            "string_id": Constant(string_id, end - first),
            "mode": Codes(samples.mode[rows], MODES),
            "equalize_flag": Codes((samples.mode[rows] == _EQUALIZE).astype(np.uint8), flags),
            "generator_test_flag": Codes(test[rows], flags),
            "transfer_event_flag": Codes(transfer[rows], flags),
            **chunks,
        }
        calc: RowGroup = {
            "ts": clock.instants(first, end),
            "string_id": Constant(string_id, end - first),
            "power_w": tally.coded(STRING_CALC, "power_w", samples.counts[5, rows]),
            "thd_pct": tally.coded(STRING_CALC, "thd_pct", samples.counts[6, rows]),
        }
        for table, group in ((STRING_RAW, raw), (STRING_CALC, calc)):
            ordered = {name: group[name] for name in table.names}
            tally.digest(table, string_id, ordered, clock.prefix, first, clock.day_bounds)
            yield table, ordered


def string_account(
    model: SystemModel, path: SlowPath, s: int, samples: StringSamples, clock: BlockClock
) -> tuple[features.Account, Ints]:
    """What ran up before the block, and the string's hourly sums in it, (hour, 6).

    `samples` are those of the block. Of the days before, those without time on battery add
    nothing; the others are replayed and sampled again, each group of neighbouring ones with the
    day before it, which holds the sensor's zero.
    """
    grid, block = clock.grid, clock.block
    account = features.Account()

    def take(sums: Ints) -> None:
        account.cycles += int(sums[:, features.CYCLES].sum())
        account.charge += int(sums[:, features.CHARGE].sum())

    spans: list[Block] = []
    for day in path.discharge_days(s, grid.first_day, block.first_day):
        first = max(day - 1, grid.first_day)
        if spans and first < spans[-1].end_day:
            first = spans.pop().first_day
        spans.append(Block(first, day + 1))
    # The day before the block always: a discharge may span midnight, or follow it within the hour.
    halo = Block(max(block.first_day - 1, grid.first_day), block.first_day)
    if spans and spans[-1].end_day >= halo.first_day:
        halo = Block(min(spans.pop().first_day, halo.first_day), block.first_day)
    for span in spans:
        before = BlockClock(grid, span)
        take(string_hours(model, s, _again(model, path, s, before), before, before.hour_bounds))
    if not halo.days:
        return account, string_hours(model, s, samples, clock, clock.hour_bounds)
    before = BlockClock(grid, halo)
    earlier = _again(model, path, s, before)
    joined = StringSamples(
        np.concatenate([earlier.mode, samples.mode]),
        np.concatenate([earlier.counts, samples.counts], axis=1),
    )
    bounds = np.concatenate([before.hour_bounds[:-1], before.rows + clock.hour_bounds])
    sums = string_hours(model, s, joined, before, bounds)
    take(sums[: before.hours])
    return account, sums[before.hours :]


def _again(model: SystemModel, path: SlowPath, s: int, clock: BlockClock) -> StringSamples:
    around = world(model.seed, model.location, clock.grid, clock.block, model.scenario)
    played = simulate.replay(model, path, s, around, clock.block)
    return sample_string(model, s, around, played, clock)


def string_hours(
    model: SystemModel, s: int, samples: StringSamples, clock: BlockClock, bounds: Ints
) -> Ints:
    """Hourly sums of samples that begin where `clock` does, (hour, 6)."""
    rated_ah = model.system.strings[s].model.rated_capacity_ah
    channels = samples.counts[[1, 2, 6]]
    return features.string_hours(samples.mode, channels, bounds, clock.grid.interval_s, rated_ah)


# --- jars -----------------------------------------------------------------------------------------


def jar_groups(
    model: SystemModel,
    s: int,
    j: int,
    played: BlockReplay,
    mode: NDArray[np.uint8],
    clock: BlockClock,
    wanted: bool,
    tally: Tally,
    hours: Ints,
) -> Iterator[tuple[Table, RowGroup]]:
    """Row groups of both jar tables for jar `j`, none if it is not `wanted`.

    Its hourly sums go into `hours` (hour, 9) either way: its string's features need them.
    """
    string = model.system.strings[s]
    jar_id, seed, step_s = string.jar_ids[j], model.seed, clock.grid.interval_s
    voltage, temperature = np.empty(clock.rows, np.int32), np.empty(clock.rows, np.int32)
    sensors.sample_jar(
        played.t_s,
        played.replay.jar_v[j],
        played.replay.jar_c[j],
        clock.first_s,
        step_s,
        1.0 + _channel(seed, Stream.JAR_SENSOR, jar_id, 0, params.JAR_VOLTAGE_GAIN.value),
        _channel(seed, Stream.JAR_SENSOR, jar_id, 1, params.JAR_TEMPERATURE_OFFSET.value),
        rng.key(seed, Stream.JAR_NOISE, jar_id),
        1.0,
        rng.normal_table(),
        voltage,
        temperature,
    )
    features.jar_hours(
        voltage,
        temperature,
        mode,
        clock.hour_bounds,
        step_s,
        round(string.model.float_min_v * 1000),
        round(string.model.float_max_v * 1000),
        hours,
    )
    if not wanted:
        return
    resistance = _reading_runs(played, j, clock)
    soc = _runs(clock, played.t_s, played.replay.jar_soc[j], 100.0 * 100.0)
    hourly_s, hourly = _hourly_soh(played, j, clock)
    soh = _runs(clock, hourly_s, hourly, 100.0 * 1000.0)
    for first, end in clock.row_groups():
        reading = _cut(resistance, first, end)
        stamp, name = clock.instants(first, end), Constant(jar_id, end - first)
        raw: RowGroup = {
            "ts": stamp,
            "battery_id": name,
            "voltage_v": tally.coded(JAR_RAW, "voltage_v", voltage[first:end]),
            "temperature_c": tally.coded(JAR_RAW, "temperature_c", temperature[first:end]),
            "resistance_mohm": reading,
            "conductance_s": Runs(reading.lengths, conductance_counts(reading.counts)),
        }
        calc: RowGroup = {
            "ts": stamp,
            "battery_id": name,
            "soc_pct": _cut(soc, first, end),
            "soh_pct": _cut(soh, first, end),
        }
        for table, group in ((JAR_RAW, raw), (JAR_CALC, calc)):
            tally.digest(table, jar_id, group, clock.prefix, first, clock.day_bounds)
            yield table, group


def conductance_counts(resistance: Ints) -> Ints:
    """Conductance [0.01 S] of resistance counts [uOhm]: 1000 / mOhm, rounded half up."""
    return (2 * 10**8 + resistance) // (2 * resistance)


def _runs(clock: BlockClock, t_s: Ints, values: Floats, per_unit: float) -> Runs:
    lengths, counts = np.empty(clock.rows, np.int64), np.empty(clock.rows, np.int64)
    n = sensors.runs_of(
        t_s, values, per_unit, clock.first_s, clock.grid.interval_s, clock.rows, lengths, counts
    )
    return Runs(lengths[:n].copy(), counts[:n].copy())


def _hourly_soh(played: BlockReplay, j: int, clock: BlockClock) -> tuple[Ints, Floats]:
    """SOH at whole hours of the block (it is linear within a day), so that most rows are runs."""
    start = clock.grid.midnight_s(clock.block.first_day)
    hours = np.arange(24 * clock.block.days + 1)
    day, hour = np.minimum(hours // 24, clock.block.days - 1), hours - 24 * (hours // 24)
    hour = np.where(hours == 24 * clock.block.days, 24, hour)
    low, high = played.soh[day, j], played.soh[day + 1, j]
    return start + SECONDS_PER_HOUR * hours, low + (high - low) * (hour / 24.0)


def _reading_edges(played: BlockReplay, clock: BlockClock) -> Ints:
    """Rows at which the daily reading of each day takes effect, int64 (day,)."""
    days = range(clock.block.first_day, clock.block.end_day)
    return clock.bounds(
        np.array([clock.grid.midnight_s(d) + played.reading_offset_s for d in days])
    )


def _reading_runs(played: BlockReplay, j: int, clock: BlockClock) -> Runs:
    edges = np.concatenate([[0], _reading_edges(played, clock), [clock.rows]])
    lengths = np.diff(edges)
    kept = lengths > 0
    return Runs(lengths[kept], played.readings[:, j].astype(np.int64)[kept])


def _cut(runs: Runs, first: int, end: int) -> Runs:
    """Rows [first, end) of runs."""
    ends = np.cumsum(runs.lengths)
    a = int(np.searchsorted(ends, first, side="right"))
    b = int(np.searchsorted(ends, end, side="left")) + 1
    lengths = np.minimum(ends[a:b], end)
    return Runs(np.diff(lengths, prepend=first), runs.counts[a:b])


def feature_group(
    model: SystemModel,
    s: int,
    wanted: tuple[str, ...],
    played: BlockReplay,
    clock: BlockClock,
    jar_hours: Ints,
    account: features.Account,
    string_hours: Ints,
    room_sum: Ints,
    tally: Tally,
) -> RowGroup | None:
    """Row group of the feature store, all wanted jars in it; None without a complete hour."""
    string = model.system.strings[s]
    hours = clock.hours
    if hours == 0:
        return None
    window_ms = 1000 * SECONDS_PER_HOUR * features.WINDOW_HOURS
    start_ms = 1000 * clock.grid.midnight_s(clock.block.first_day)
    stamp = Instants(start_ms + window_ms, window_ms, hours)
    prefix = digest.instant_prefix(stamp.first_ms, stamp.step_ms, hours)
    bounds = np.minimum(24 * np.arange(clock.block.days + 1), hours)
    string_v = jar_hours[:, :, features.V_SUM].sum(axis=0)
    days = np.arange(clock.block.first_day, clock.block.end_day)
    taken_s = np.array([clock.grid.midnight_s(int(d)) for d in days]) + played.reading_offset_s
    last_s = clock.first_s + clock.grid.interval_s * (clock.hour_bounds[1:] - 1)
    last = np.searchsorted(taken_s, last_s, side="right")
    parts: dict[str, dict[str, Ints]] = {}
    for j, jar_id in enumerate(string.jar_ids):
        if jar_id not in wanted:
            continue
        columns = features.jar_features(
            jar_hours[j],
            string_v,
            len(string.jar_ids),
            room_sum,
            string_hours,
            account,
            played.readings[last, j].astype(np.int64),
            int(model.populations[s].acceptance_uohm[j]),
        )
        group: RowGroup = {name: Plain(counts) for name, counts in columns.items()}
        tally.digest(FEATURE_STORE, jar_id, group, prefix, 0, bounds)
        parts[jar_id] = columns
    instants = stamp.first_ms + stamp.step_ms * np.arange(hours)
    keys: RowGroup = {
        "feature_ts": Plain(np.tile(instants, len(parts))),
        "battery_id": Codes(np.repeat(np.arange(len(parts)), hours).astype(np.uint16), (*parts,)),
    }
    values: RowGroup = {
        name: Plain(np.concatenate([columns[name] for columns in parts.values()]))
        for name in FEATURE_STORE.names[2:]
    }
    return {**keys, **values}


# --- rooms ----------------------------------------------------------------------------------------


def sample_room(
    seed: int, location: Location, sensor_id: str, around: World, clock: BlockClock
) -> Counts:
    """What the environmental sensor reports in the block, counts (4, row)."""
    first_s, step_s, rows = clock.first_s, clock.grid.interval_s, clock.rows
    start_s = int(around.midnights_s[0])

    def series(values: Floats, edge_s: int) -> Floats:
        out = np.empty(rows)
        sensors.interpolated(values, edge_s, start_s, first_s, step_s, out)
        return out

    def error(number: int, sigma: params.Parameter) -> float:
        return _channel(seed, Stream.ENV_SENSOR, sensor_id, number, sigma.value)

    counts = np.empty((4, rows), np.int32)
    sensors.sample_room(
        series(around.room_c, 60),
        series(around.room_pct, stepper.SLOT_S),
        series(around.outdoor_c, stepper.SLOT_S),
        series(around.outdoor_pct, stepper.SLOT_S),
        first_s,
        step_s,
        error(0, params.AMBIENT_TEMPERATURE_OFFSET),
        error(1, params.AMBIENT_HUMIDITY_OFFSET),
        error(2, params.AMBIENT_TEMPERATURE_OFFSET),
        error(3, params.AMBIENT_HUMIDITY_OFFSET),
        rng.key(seed, Stream.ENV_NOISE, sensor_id),
        1.0,
        rng.normal_table(),
        counts,
    )
    return counts


def room_groups(
    sensor_id: str, around: World, counts: Counts, clock: BlockClock, tally: Tally
) -> Iterator[RowGroup]:
    """Row groups of the environmental table."""
    names = [name for name in ENV.names[2:] if name != "hvac_status"]
    status = np.zeros(clock.rows, np.uint8)
    step_s = clock.grid.interval_s
    sensors.overlay(*around.cooling, clock.first_s, step_s, status)
    for first, end in clock.row_groups():
        group: RowGroup = {
            "ts": clock.instants(first, end),
            "sensor_id": Constant(sensor_id, end - first),
            **{n: tally.coded(ENV, n, c[first:end]) for n, c in zip(names, counts, strict=True)},
            "hvac_status": Codes(status[first:end], COOLING),
        }
        group = {name: group[name] for name in ENV.names}
        tally.digest(ENV, sensor_id, group, clock.prefix, first, clock.day_bounds)
        yield group


def room_hour_sums(counts: Counts, clock: BlockClock) -> Ints:
    """Sum of the room's temperature counts in each complete hour, int64 (hour,)."""
    running = np.concatenate([[0], np.cumsum(counts[0], dtype=np.int64)])
    sums: Ints = np.diff(running[clock.hour_bounds])
    return sums
