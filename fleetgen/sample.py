"""The measured side of a block: instruments and their faults, row groups, digests, features.

Pure: takes replayed physics and yields row groups table by table, so that a writer holds one row
group at a time. Blocks are cut into row groups of whole local days.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fleetgen import digest, limits, rng, simulate
from fleetgen.crew import Crew
from fleetgen.derive import conditions, features
from fleetgen.derive.conditions import Bank, Condition, Gates, Watched
from fleetgen.elementary import exponential, total
from fleetgen.model import faults, params, sensors, stepper
from fleetgen.model.faults import Ticks
from fleetgen.model.population import Population
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
    AlertRule,
    Block,
    Codes,
    Constant,
    Instants,
    Location,
    Plain,
    RowGroup,
    Runs,
    Scenario,
    Sketch,
    TimeGrid,
)
from fleetgen.system import ServiceDays, SlowDays, SystemModel, Turn, load_frac
from fleetgen.units import HOURS_PER_DAY, SECONDS_PER_DAY, SECONDS_PER_HOUR, day_date, day_number
from fleetgen.world import World, world

Ints = NDArray[np.int64]
Counts = NDArray[np.int32]
Floats = NDArray[np.float64]
Past = Callable[[int], tuple[World, BlockReplay]]
"""Physics of the day that holds an instant before the block: where a reading got stuck."""

ROW_GROUP_DAYS = 8
TRANSFER_S = 10

_FLOAT = MODES.index("float")
_DISCHARGE = MODES.index("discharge")
_EQUALIZE = MODES.index("equalize")
_NULL32 = sensors.NULL_COUNT
_JAR_UNITS = tuple(JAR_RAW.column(name).per_unit for name in faults.JAR.channels)
_DEGREES = faults.JAR.channels.index("temperature_c")
_OHMIC = faults.JAR.channels.index("resistance_mohm")
_ROOM_UNIT = ENV.column("temperature_c").per_unit


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

    @property
    def ticks(self) -> Ticks:
        """Instants of the samples."""
        return Ticks(self.first_s, self.grid.interval_s, self.rows)

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

    def windows(self, length: int) -> int:
        """Complete windows of `length` hours in the block; they divide a day."""
        return self.hours // length

    def window_ends(self, length: int) -> Instants:
        """Instants at which the block's complete windows of `length` hours end."""
        step_ms = 1000 * SECONDS_PER_HOUR * length
        start_ms = 1000 * self.grid.midnight_s(self.block.first_day)
        return Instants(start_ms + step_ms, step_ms, self.windows(length))

    def ends_with_window(self, length: int) -> bool:
        """Whether the run is a whole number of windows of `length` hours."""
        return self.grid.duration_s % (SECONDS_PER_HOUR * length) == 0

    def window_bounds(self, length: int) -> Ints:
        """Numbers of the windows at which the block's days begin, and the end, (day + 1,)."""
        days = np.arange(self.block.days + 1)
        return np.minimum(HOURS_PER_DAY // length * days, self.windows(length))

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
class Tally:
    """Digest lanes by table, (day, 2), and statistics by "table.column" of one part."""

    block: Block
    utc_offset_s: int
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

    def records(self, table: Table, group: RowGroup, edges_ms: Ints) -> None:
        """Add a row group of records to the table's digests; `edges_ms` are the days' midnights."""
        lanes = digest.record_lanes(table, group, edges_ms)
        lanes_sum = self.digests.setdefault(table.name, np.zeros_like(lanes))
        lanes_sum += lanes

    def day_digests(self, table: Table) -> dict[str, str]:
        """Digest of each local day of the block that holds rows."""
        return {
            day_date(self.block.first_day + day).isoformat(): digest.hexadecimal(lanes)
            for day, lanes in enumerate(self.digests[table.name])
            if lanes.any()
        }

    def coded(
        self, table: Table, column: str, counts: Counts, name: Constant, stamp: Instants
    ) -> Codes | Plain:
        """Chunk of a column's counts, which are taken into its sketch; nulls are left out there.

        Codes into their range of levels; plain where that exceeds 65,536. `name` and `stamp` say
        whose counts they are, and of when.
        """
        known, total, low, high = sensors.extent(counts)
        if not known:
            return Codes(np.zeros(counts.size, np.uint8), np.array([NULL]))
        limits.check_counts(table, column, counts, (low, high), name.text, stamp, self.utc_offset_s)
        self.sketches.setdefault(f"{table.name}.{column}", Sketch()).add(known, total, low, high)
        span, nulls = high - low + 1, known < counts.size
        if 256 < span + nulls <= 65_536:
            used = np.zeros(span, np.bool_)
            sensors.mark(counts, low, used)
            present = np.flatnonzero(used)
            if len(present) + nulls <= 256:  # a spike, and a byte is enough
                ranks = (np.cumsum(used) - 1).astype(np.uint8)
                ranked = np.full(counts.size, nulls * len(present), np.uint8)
                sensors.rank(counts, low, ranks, ranked)
                levels = np.append(low + present, np.full(int(nulls), NULL))
                return Codes(ranked, levels)
        if span + nulls > 65_536:
            return Plain(np.where(counts == _NULL32, NULL, counts.astype(np.int64)))
        levels = np.arange(low, high + 1 + nulls, dtype=np.int64)
        if nulls:
            levels[-1] = NULL
        narrow = len(levels) <= 256
        codes = np.empty(counts.size, np.uint8) if narrow else np.empty(counts.size, np.uint16)
        sensors.code(counts, low, span, codes)
        return Codes(codes, levels)


def _local_day_of(instants_ms: Ints, utc_offset_s: int) -> Ints:
    return (instants_ms // 1000 + utc_offset_s) // SECONDS_PER_DAY


Stuck = Callable[[faults.Fault], int]


def _silence(fault: faults.Fault, counts: Counts, stuck: Stuck) -> None:
    """Let a channel of counts (channel, row) be stuck or null, in place."""
    is_stuck = fault.kind == faults.STUCK
    counts[fault.channel, fault.rows] = stuck(fault) if is_stuck else _NULL32


def physics_of(
    model: SystemModel, path: SlowPath, s: int, instant_s: int
) -> tuple[World, BlockReplay]:
    """World and replay of string `s` on the local day that holds an instant of the run."""
    day = _local_day(model.grid, instant_s)
    block = Block(day, day + 1)
    around = world(model.seed, model.location, model.grid, block, model.scenario)
    return around, simulate.replay(model, path, s, around, block)


def _local_day(grid: TimeGrid, instant_s: int) -> int:
    return (instant_s + grid.utc_offset_s) // SECONDS_PER_DAY


# --- strings --------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class StringSamples:
    """Channels of one string in a block: `mode` uint8 (row,) and counts int32 (7, row).

    `equalizing` is 1 in that mode, known or not, uint8 (row,); `lost` are the rows of communication
    losses.
    """

    mode: NDArray[np.uint8]
    counts: Counts
    equalizing: NDArray[np.uint8]
    lost: tuple[slice, ...] = ()


def sample_string(
    model: SystemModel, s: int, around: World, played: BlockReplay, clock: BlockClock, past: Past
) -> StringSamples:
    """What the string's monitor reports in the block.

    Without sensor errors, values are still rounded to the columns' resolution.
    """
    ticks = clock.ticks
    samples = _read_string(model, s, around, played, ticks)
    mode, counts, lost = samples.mode, samples.counts, []

    def stuck(fault: faults.Fault) -> int:
        then_s = max(fault.start_s, clock.grid.start_s)
        here = then_s >= around.midnights_s[0]
        physics = (around, played) if here else past(then_s)
        return int(_read_string(model, s, *physics, Ticks(then_s, 1, 1)).counts[fault.channel, 0])

    for fault in _string_faults(model, s, ticks):
        rows = fault.rows
        if fault.kind == faults.COMMUNICATION_LOSS:
            mode[rows] = features.NO_MODE
            counts[:, rows] = _NULL32
            lost.append(rows)
        else:
            _silence(fault, counts, stuck)
            counts[5, rows] = _power(counts[0, rows], counts[1, rows])
    return replace(samples, lost=tuple(lost))


def _string_faults(model: SystemModel, s: int, ticks: Ticks) -> list[faults.Fault]:
    """Faults of string `s` that hold at one of the instants."""
    family = faults.UPS_STRING if model.system.kind == "UPS" else faults.RECTIFIER_STRING
    return faults.seen(_faults(model, family, model.system.strings[s].string_id, ticks), ticks)


def _faults(
    model: SystemModel, family: faults.Family, entity: str, ticks: Ticks
) -> faults.Episodes:
    """Faults of an entity that touch a range of instants."""
    offset_s = model.grid.utc_offset_s
    span = ticks.first_s, ticks.end_s
    return faults.episodes(model.seed, model.scenario, family, entity, offset_s, *span)


def _power(volts: Counts, amperes: Counts) -> Counts:
    """Power [W] of counts of 0.01 V and 0.01 A, null where one is."""
    watts = np.floor(volts.astype(np.float64) * amperes / 10_000.0 + 0.5)
    null = (volts == _NULL32) | (amperes == _NULL32)
    return np.where(null, float(_NULL32), watts).astype(np.int32)


def _read_string(
    model: SystemModel, s: int, around: World, played: BlockReplay, ticks: Ticks
) -> StringSamples:
    """What the string's instruments measure at the instants."""
    string = model.system.strings[s]
    seed, place, errors = model.seed, string.string_id, float(model.scenario.sensor_errors)
    first_s, step_s, rows = ticks
    start_s = int(around.midnights_s[0])

    def error(number: int, sigma: params.Parameter) -> float:
        return errors * sensors.fixed_error(seed, Stream.STRING_SENSOR, place, number, sigma.value)

    room_c, frac, hall, ohm = (np.empty(rows) for _ in range(4))
    sensors.interpolated(around.room_c, 60, start_s, first_s, step_s, room_c)
    loads = np.stack([load_frac(model, int(m)) for m in around.midnights_s])
    sensors.interpolated(loads, stepper.SLOT_S, start_s, first_s, step_s, frac)
    wander = rng.wander(
        rng.keys(seed, Stream.HALL_WANDER, (place,)),
        around.first_day,
        len(around.midnights_s) + 1,
        int(params.HALL_WANDER_KNOT.value),
    )
    zero = error(2, params.HALL_OFFSET) + errors * params.HALL_WANDER.value * wander[:, 0]
    sensors.interpolated(_day_edges(zero), SECONDS_PER_DAY, start_s, first_s, step_s, hall)
    mode = np.empty(rows, np.uint8)
    sensors.sample_modes(played.t_s, played.mode, first_s, step_s, mode)
    per_100_ah = string.model.rated_capacity_ah / 100.0
    ripple_z = rng.normal(rng.key(seed, Stream.STRING, place), 3)
    sigma = params.RIPPLE_SPREAD.value
    ripple = per_100_ah * exponential(sigma * ripple_z)
    ups = model.system.kind == "UPS"
    _string_ohm(played, start_s, ticks, ohm)
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
        1.0 + error(0, params.STRING_VOLTAGE_GAIN),
        1.0 + error(1, params.HALL_GAIN),
        error(3, params.SHUNT_OFFSET),
        rng.key(seed, Stream.STRING_NOISE, place),
        rng.key(seed, Stream.STRING_NOISE_2, place),
        errors,
        rng.normal_table(),
        counts,
    )
    if ups:  # no float current channel
        counts[4] = _NULL32
    return StringSamples(mode, counts, (mode == _EQUALIZE).astype(np.uint8))


def _day_edges(midnights: Floats) -> Floats:
    """Values at midnights as edges of each day, (midnight,) to (day, 2)."""
    return np.stack([midnights[:-1], midnights[1:]], axis=1)


def _string_ohm(played: BlockReplay, start_s: int, ticks: Ticks, out: Floats) -> None:
    """Resistance of a whole string at the instants, which jumps when units change [ohm]."""
    service, first_s, step_s = played.service, ticks.first_s, ticks.step_s

    def ohms(growth: Floats, crew: Crew) -> float:
        return total((crew.units.new_mohm * growth).tolist()) * 1e-3

    def edges(day: int, turned: Iterable[Turn], crew: Crew) -> tuple[float, float]:
        """Of one day at its midnights, as if the units after some changes had it whole."""
        low, high = (service.days.growth[day + i].copy() for i in range(2))
        gone = {turn.jar: turn for turn in turned}
        for turn in service.turns_on(start_s + day * SECONDS_PER_DAY):
            if turn.jar in gone:
                low[turn.jar] = turn.new[_GROWTH]
            else:
                high[turn.jar] = turn.old[_GROWTH]
        return ohms(low, crew), ohms(high, crew)

    days = len(service.days.growth) - 1
    whole = [
        edges(day, (), service.crew_at(start_s + day * SECONDS_PER_DAY)) for day in range(days)
    ]
    sensors.interpolated(np.array(whole), SECONDS_PER_DAY, start_s, first_s, step_s, out)
    for at_s in sorted({turn.at_s for turn in service.turns}):
        day = (at_s - start_s) // SECONDS_PER_DAY
        midnight_s = start_s + day * SECONDS_PER_DAY
        first, end = (
            min(max(0, -(-(t - first_s) // step_s)), ticks.rows)
            for t in (at_s, midnight_s + SECONDS_PER_DAY)
        )
        rows = slice(first, end)
        turned = [turn for turn in service.turns_on(midnight_s) if turn.at_s <= at_s]
        after = np.array([edges(day, turned, service.crew_at(at_s))])
        begin_s = first_s + first * step_s
        sensors.interpolated(after, SECONDS_PER_DAY, midnight_s, begin_s, step_s, out[rows])


_GROWTH = SlowDays._fields.index("growth")


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
        stamp, name = clock.instants(first, end), Constant(string_id, end - first)
        chunks = {
            n: tally.coded(STRING_RAW, n, c[rows], name, stamp)
            for n, c in zip(names, samples.counts[:5], strict=True)
        }
        raw: RowGroup = {
            "ts": stamp,
            "string_id": name,
            "mode": Codes(samples.mode[rows], (*MODES, None)),
            "equalize_flag": Codes(samples.equalizing[rows], flags),
            "generator_test_flag": Codes(test[rows], flags),
            "transfer_event_flag": Codes(transfer[rows], flags),
            **chunks,
        }
        calc: RowGroup = {
            "ts": stamp,
            "string_id": name,
            **{
                n: tally.coded(STRING_CALC, n, c[rows], name, stamp)
                for n, c in zip(("power_w", "thd_pct"), samples.counts[5:], strict=True)
            },
        }
        for table, group in ((STRING_RAW, raw), (STRING_CALC, calc)):
            ordered = {column: group[column] for column in table.names}
            tally.digest(table, string_id, ordered, clock.prefix, first, clock.day_bounds)
            yield table, ordered


def string_account(
    model: SystemModel, path: SlowPath, s: int, samples: StringSamples, clock: BlockClock
) -> tuple[dict[int, features.Account], Ints]:
    """What ran up before the block, and the string's hourly sums in it, (hour, 11).

    The former by the instant since which it counts, the start of the run and each at which units
    came; of one in the block it is below zero by what runs up until then.

    `samples` are those of the block. Of the days before, those without time on battery add
    nothing; the others are replayed and sampled again, each group of neighbouring ones with the
    day before it, which holds the sensor's zero, and what of the recharge lies in days after it.
    """
    grid, block = clock.grid, clock.block
    taken: list[tuple[int, Ints]] = []
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
    for n, span in enumerate(spans):
        later = spans[n + 1] if n + 1 < len(spans) else halo
        sums = _span_hours(model, path, s, grid, span)
        while features.pending(sums) and span.end_day < later.first_day:
            span = Block(span.first_day, span.end_day + 1)
            sums = _span_hours(model, path, s, grid, span)
        if not features.pending(sums):
            taken.append((grid.midnight_s(span.first_day), sums))
        elif n + 1 < len(spans):
            spans[n + 1] = Block(span.first_day, later.end_day)
        else:
            halo = Block(span.first_day, halo.end_day)
    if not halo.days:
        hours = string_hours(model, s, samples.mode, samples.counts, clock, clock.hour_bounds)
        return _accounts(path, s, clock, taken, hours), hours
    before = BlockClock(grid, halo)
    earlier = _again(model, path, s, before)
    mode = np.concatenate([earlier.mode, samples.mode])
    counts = np.concatenate([earlier.counts, samples.counts], axis=1)
    bounds = np.concatenate([before.hour_bounds[:-1], before.rows + clock.hour_bounds])
    sums = string_hours(model, s, mode, counts, before, bounds)
    taken.append((grid.midnight_s(halo.first_day), sums[: before.hours]))
    hours = sums[before.hours :]
    return _accounts(path, s, clock, taken, hours), hours


def _accounts(
    path: SlowPath, s: int, clock: BlockClock, taken: list[tuple[int, Ints]], hours: Ints
) -> dict[int, features.Account]:
    """Accounts before the block by the instant since which they count.

    `taken` are hourly sums of spans before the block, in order, and their first instants; `hours`
    are those of the block.
    """
    account = features.Account()
    for _, sums in taken:
        account.take(sums)
    found = {clock.grid.start_s: account}
    spans = [*taken, (clock.grid.midnight_s(clock.block.first_day), hours)]
    for at_s in sorted({w.at_s for w in path.swaps if w.string == s}):
        past = features.Account()
        for first_s, sums in spans:
            if at_s > first_s and len(sums):
                past.take(sums[: (at_s - first_s) // SECONDS_PER_HOUR])
        cycles, charge = account.cycles - past.cycles, account.charge - past.charge
        found[at_s] = replace(account, cycles=cycles, charge=charge)
    return found


def _span_hours(model: SystemModel, path: SlowPath, s: int, grid: TimeGrid, span: Block) -> Ints:
    """Hourly sums of a span of days before the block, sampled again."""
    clock = BlockClock(grid, span)
    samples = _again(model, path, s, clock)
    return string_hours(model, s, samples.mode, samples.counts, clock, clock.hour_bounds)


def _again(model: SystemModel, path: SlowPath, s: int, clock: BlockClock) -> StringSamples:
    around = world(model.seed, model.location, clock.grid, clock.block, model.scenario)
    played = simulate.replay(model, path, s, around, clock.block)
    return sample_string(model, s, around, played, clock, partial(physics_of, model, path, s))


def string_hours(
    model: SystemModel,
    s: int,
    mode: NDArray[np.uint8],
    counts: Counts,
    clock: BlockClock,
    bounds: Ints,
) -> Ints:
    """Hourly sums of samples that begin where `clock` does, (hour, 11)."""
    rated_ah = model.system.strings[s].model.rated_capacity_ah
    channels = counts[[1, 2, 6]]
    return features.string_hours(mode, channels, bounds, clock.grid.interval_s, rated_ah)


# --- jars -----------------------------------------------------------------------------------------


def sample_jar(
    model: SystemModel,
    s: int,
    j: int,
    played: BlockReplay,
    lost: tuple[slice, ...],
    clock: BlockClock,
    past: Past,
) -> tuple[Counts, Runs]:
    """What the monitor reports of jar `j`: voltage and temperature (2, row), and resistance.

    `lost` are the rows of the string's communication losses.
    """

    def at(_: int, then_s: int) -> BlockReplay:
        here = then_s >= clock.grid.midnight_s(played.block.first_day)
        return played if here else past(then_s)[1]

    readings = _reading_runs(played, j, clock)
    return _reported_jar(model, s, j, played, readings, lost, clock, at)


def _reported_jar(
    model: SystemModel,
    s: int,
    j: int,
    played: BlockReplay,
    readings: Runs,
    lost: Sequence[slice],
    clock: BlockClock,
    at: Callable[[int, int], BlockReplay],
) -> tuple[Counts, Runs]:
    """What `sample_jar` gives, of `readings` that nothing has falsified.

    `at` gives the physics of the day that holds an instant at which a channel got stuck.
    """
    ticks = clock.ticks
    found = _faults(model, faults.JAR, model.system.strings[s].jar_ids[j], ticks)
    shown = faults.seen(found, ticks)
    counts = _read_jar(model, s, j, played, ticks, shown)
    edits: list[tuple[slice, Callable[[Ints], Ints | int]]] = []

    def stuck(fault: faults.Fault) -> int:
        then_s = max(fault.start_s, clock.grid.start_s)
        return _stuck_jar(model, s, j, at(fault.channel, then_s), then_s)[fault.channel]

    for fault in shown:
        if fault.channel < _OHMIC:
            if fault.kind >= faults.STUCK:
                _silence(fault, counts, stuck)
        elif fault.kind == faults.LOOSE_LEAD:
            edits.append((fault.rows, partial(_times, fault.magnitude)))
        else:
            value = stuck(fault) if fault.kind == faults.STUCK else NULL
            edits.append((fault.rows, partial(_always, value)))
    for rows in lost:
        counts[:, rows] = _NULL32
        edits.append((rows, partial(_always, NULL)))
    return counts, _edited(readings, edits)


def _always(count: int, _: Ints) -> int:
    return count


def _times(factor: float, counts: Ints) -> Ints:
    scaled: Ints = np.floor(factor * counts + 0.5).astype(np.int64)
    return scaled


def _read_jar(
    model: SystemModel,
    s: int,
    j: int,
    played: BlockReplay,
    ticks: Ticks,
    shown: list[faults.Fault],
) -> Counts:
    """Voltage and temperature of a jar at the instants, as its instruments make them (2, row)."""
    seed, jar_id = model.seed, model.system.strings[s].jar_ids[j]
    errors = float(model.scenario.sensor_errors)
    counts = np.empty((2, ticks.rows), np.int32)
    key = rng.key(seed, Stream.JAR_NOISE, jar_id)
    gain = sensors.fixed_error(seed, Stream.JAR_SENSOR, jar_id, 0, params.JAR_VOLTAGE_GAIN.value)
    offset = sensors.fixed_error(
        seed, Stream.JAR_SENSOR, jar_id, 1, params.JAR_TEMPERATURE_OFFSET.value
    )
    sensors.sample_jar(
        played.t_s,
        played.replay.jar_v[j],
        played.replay.jar_c[j],
        ticks.first_s,
        ticks.step_s,
        1.0 + errors * gain,
        errors * offset,
        key,
        errors,
        rng.normal_table(),
        counts[0],
        counts[1],
    )
    for fault in shown:
        if fault.kind < faults.STUCK and fault.channel < _OHMIC:
            faults.falsify(fault, counts[fault.channel], ticks, _JAR_UNITS[fault.channel], key)
    return counts


def _stuck_jar(
    model: SystemModel, s: int, j: int, played: BlockReplay, then_s: int
) -> tuple[int, int, int]:
    """Readings of all channels of a jar at an instant, but for those that are stuck or null."""
    ticks, grid = Ticks(then_s, 1, 1), model.grid
    found = _faults(model, faults.JAR, model.system.strings[s].jar_ids[j], ticks)
    shown = faults.seen(found, ticks)
    volts, degrees = _read_jar(model, s, j, played, ticks, shown)[:, 0].tolist()
    block = played.block
    midnights_s = [grid.midnight_s(d) for d in range(block.first_day, block.end_day)]
    held = [r for at_s, r in _reading_steps(played, j, midnights_s) if at_s <= then_s]
    reading = np.array(held[-1:], np.int64)
    for fault in shown:
        if fault.kind == faults.LOOSE_LEAD and fault.channel == _OHMIC:
            reading = _times(fault.magnitude, reading)
    return volts, degrees, int(reading[0])


def jar_groups(
    model: SystemModel,
    s: int,
    j: int,
    played: BlockReplay,
    samples: StringSamples,
    clock: BlockClock,
    past: Past,
    wanted: bool,
    tally: Tally,
    hours: Ints,
    watch: Watch,
) -> Iterator[tuple[Table, RowGroup]]:
    """Row groups of both jar tables for jar `j`, none if it is not `wanted`.

    Its hourly sums go into `hours` (hour, 11) either way: its string's features need them. What is
    alarming in its samples goes to `watch`.
    """
    string = model.system.strings[s]
    jar_id = string.jar_ids[j]
    (voltage, temperature), resistance = sample_jar(model, s, j, played, samples.lost, clock, past)
    features.jar_hours(
        voltage,
        temperature,
        samples.mode,
        clock.hour_bounds,
        clock.grid.interval_s,
        round(string.model.float_min_v * 1000),
        round(string.model.float_max_v * 1000),
        hours,
    )
    hours[:, features.READING] = _at_ends(resistance, clock.hour_bounds)
    if not wanted:
        return
    watch.rows += conditions.jar_samples(
        _under_watch(played.service, j, clock),
        watch.rules,
        watch.gates,
        voltage,
        temperature,
        hours,
    )
    whole = clock.instants(0, clock.rows)
    limits.check_runs(JAR_RAW, "resistance_mohm", resistance, jar_id, whole, tally.utc_offset_s)
    names = unit_rows(played.service, j, clock)
    soc = _runs(clock, played.t_s, played.replay.jar_soc[j], 100.0 * 100.0)
    hourly_s, hourly = _hourly_soh(played, j, clock)
    soh = _runs(clock, hourly_s, hourly, 100.0 * 1000.0)
    for unit, first, end in _by_unit(names, clock.row_groups()):
        reading = _cut(resistance, first, end)
        stamp, name = clock.instants(first, end), Constant(unit, end - first)
        raw: RowGroup = {
            "ts": stamp,
            "battery_id": name,
            "voltage_v": tally.coded(JAR_RAW, "voltage_v", voltage[first:end], name, stamp),
            "temperature_c": tally.coded(
                JAR_RAW, "temperature_c", temperature[first:end], name, stamp
            ),
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
            tally.digest(table, unit, group, clock.prefix, first, clock.day_bounds)
            yield table, group


def unit_rows(service: ServiceDays, j: int, clock: BlockClock) -> list[tuple[str, int]]:
    """Units of position `j` in a block, each with its first row, if it has one."""
    found = [(service.crew_at(service.start_s).unit_ids[j], 0)]
    for turn in service.turns:
        row = int(clock.bounds(np.array([turn.at_s]))[0])
        if turn.jar == j and row < clock.rows:
            found.append((service.crew_at(turn.at_s).unit_ids[j], row))
    return found


def _by_unit(
    names: list[tuple[str, int]], groups: Iterable[tuple[int, int]]
) -> Iterator[tuple[str, int, int]]:
    """Row groups, cut where units change, with the unit."""
    ends = [row for _, row in names[1:]]
    for first, end in groups:
        for (name, a), b in zip(names, [*ends, end], strict=True):
            if max(first, a) < min(end, b):
                yield name, max(first, a), min(end, b)


def conductance_counts(resistance: Ints) -> Ints:
    """Conductance [0.01 S] of resistance counts [uOhm]: 1000 / mOhm, rounded half up."""
    missing = resistance == NULL
    known = np.where(missing, 1, resistance)
    return np.where(missing, NULL, (2 * 10**8 + known) // (2 * known))


def _runs(clock: BlockClock, t_s: Ints, values: Floats, per_unit: float) -> Runs:
    lengths, counts = np.empty(clock.rows, np.int64), np.empty(clock.rows, np.int64)
    n = sensors.runs_of(
        t_s, values, per_unit, clock.first_s, clock.grid.interval_s, clock.rows, lengths, counts
    )
    return Runs(lengths[:n].copy(), counts[:n].copy())


def _hourly_soh(played: BlockReplay, j: int, clock: BlockClock) -> tuple[Ints, Floats]:
    """SOH at whole hours of the block (it is linear within a day), so that most rows are runs.

    An hour at which units change stands twice, for the unit before and for the one after.
    """
    start = clock.grid.midnight_s(clock.block.first_day)
    hours = np.arange(24 * clock.block.days + 1)
    day, hour = np.minimum(hours // 24, clock.block.days - 1), hours - 24 * (hours // 24)
    hour = np.where(hours == 24 * clock.block.days, 24, hour)
    soh = played.service.days.soh
    low, high = soh[day, j], soh[day + 1, j]
    t_s, values = start + SECONDS_PER_HOUR * hours, low + (high - low) * (hour / 24.0)
    for turn in played.service.turns:
        if turn.jar == j:
            values = np.array([played.service.at("soh", j, t) for t in t_s.tolist()])
            values[-1] = soh[-1, j]
    for turn in played.service.turns:
        if turn.jar == j:
            at = int(np.searchsorted(t_s, turn.at_s))
            t_s = np.insert(t_s, at, turn.at_s)
            values = np.insert(values, at, played.service.at("soh", j, turn.at_s, before=True))
    return t_s, values


def _reading_steps(
    played: BlockReplay, j: int, midnights_s: Sequence[int]
) -> list[tuple[int, int]]:
    """Instants from which a reading of jar `j` is held, and the reading [uOhm].

    `midnights_s` are those at which the days of the replay begin.
    """
    steps = [(midnights_s[0], int(played.readings[0, j]))]
    turns = [
        (turn.at_s, *(int(r) for r in readings))
        for turn, readings in zip(played.service.turns, played.turn_readings, strict=True)
        if turn.jar == j
    ]
    for day, midnight_s in enumerate(midnights_s):
        taken_s = midnight_s + played.reading_offset_s
        today = [t for t in turns if midnight_s <= t[0] < midnight_s + SECONDS_PER_DAY]
        # What is held at the next midnight was read then, unless a unit came after.
        later = [before for at_s, before, _ in today if at_s > taken_s]
        steps.append((taken_s, later[0] if later else int(played.readings[day + 1, j])))
        steps += [(at_s, new) for at_s, _, new in today if at_s != taken_s]
    return sorted(steps)


def _midnights(clock: BlockClock) -> list[int]:
    days = range(clock.block.first_day, clock.block.end_day)
    return [clock.grid.midnight_s(d) for d in days]


def _reading_runs(played: BlockReplay, j: int, clock: BlockClock) -> Runs:
    instants, counts = zip(*_reading_steps(played, j, _midnights(clock)), strict=True)
    edges = np.append(clock.bounds(np.array(instants)), clock.rows)
    lengths = np.diff(edges)
    kept = lengths > 0
    return Runs(lengths[kept], np.array(counts, np.int64)[kept])


def _edited(runs: Runs, edits: list[tuple[slice, Callable[[Ints], Ints | int]]]) -> Runs:
    """Runs whose counts in some rows are made anew from those that were there."""
    if not edits:
        return runs
    ends = np.cumsum(runs.lengths)
    edges = np.unique([0, *ends, *(edge for rows, _ in edits for edge in (rows.start, rows.stop))])
    counts = runs.counts[np.searchsorted(ends, edges[:-1], side="right")]
    for rows, edit in edits:
        part = slice(*np.searchsorted(edges, (rows.start, rows.stop)))
        counts[part] = edit(counts[part])
    return Runs(np.diff(edges), counts)


def _at_ends(runs: Runs, bounds: Ints) -> Ints:
    """Count in the last row of each [bounds[n], bounds[n + 1]), NULL in one without rows."""
    run = np.searchsorted(np.cumsum(runs.lengths), bounds[1:] - 1, side="right")
    return np.where(bounds[1:] > bounds[:-1], np.append(runs.counts, NULL)[run], NULL)


def _cut(runs: Runs, first: int, end: int) -> Runs:
    """Rows [first, end) of runs."""
    ends = np.cumsum(runs.lengths)
    a = int(np.searchsorted(ends, first, side="right"))
    b = int(np.searchsorted(ends, end, side="left")) + 1
    lengths = np.minimum(ends[a:b], end)
    return Runs(np.diff(lengths, prepend=first), runs.counts[a:b])


class Held(NamedTuple):
    """A unit at a position of a string from `from_s` on, and the string's units then."""

    unit_id: str
    from_s: int
    units: Population


def held(service: ServiceDays, j: int) -> list[Held]:
    """Units at position `j` from the first of a service's days on, in order."""
    found = [
        Held(each.crew.unit_ids[j], each.at_s, each.crew.units)
        for each in service.services
        if j in each.jars
    ]
    later = [unit.from_s for unit in found[1:]]
    return found[int(np.searchsorted(later, service.start_s, side="right")) :]


def jar_baselines(
    model: SystemModel,
    path: SlowPath,
    s: int,
    service: ServiceDays,
    clock: BlockClock,
    past: Past,
) -> list[list[Ints]]:
    """Resistance [uOhm] at 25 degC that each unit is compared with on each local day, (day,).

    By position, of each of its units in the block (`held`). Readings and temperatures of earlier
    days are what the monitor reported at local midnights, where the checkpoints stand, so that
    nothing is replayed for them.
    """
    grid, block, jars = clock.grid, clock.block, model.system.jars_per_string
    elapsed = block.first_day - grid.first_day
    if elapsed + block.days <= features.BASELINE_AFTER_DAYS:
        return [
            [np.full(block.days, unit.units.acceptance_uohm[j]) for unit in held(service, j)]
            for j in range(jars)
        ]
    first = max(grid.first_day, block.first_day - features.BASELINE_DAYS + 1)
    daily = BlockClock(replace(grid, interval_s=SECONDS_PER_DAY), Block(first, block.end_day))
    midnights = _at_midnights(model, path, s, daily.block, service)
    lost = [
        fault.rows
        for fault in _string_faults(model, s, daily.ticks)
        if fault.kind == faults.COMMUNICATION_LOSS
    ]
    since_s = SECONDS_PER_DAY * np.arange(first - grid.first_day, block.end_day - grid.first_day)
    unsampled = since_s % grid.interval_s != 0

    def at(channel: int, then_s: int) -> BlockReplay:
        if channel == _DEGREES:
            return past(then_s)[1]
        day = _local_day(grid, then_s)
        return _at_midnights(model, path, s, Block(day, day + 1), service)

    out: list[list[Ints]] = []
    for j in range(jars):
        readings = Runs(np.ones(daily.rows, np.int64), midnights.readings[:-1, j].astype(np.int64))
        (_, degrees), runs = _reported_jar(model, s, j, midnights, readings, lost, daily, at)
        dark = unsampled | (degrees == _NULL32)
        temperature_mc = np.where(dark, NULL, 100 * degrees.astype(np.int64))
        values = features.at_25c(np.repeat(runs.counts, runs.lengths), temperature_mc)
        mine = []
        for unit in held(service, j):
            own = values[: daily.rows].copy()
            begins = -(-(unit.from_s - grid.start_s) // SECONDS_PER_DAY)  # its first midnight
            own[: max(0, begins - (first - grid.first_day))] = NULL
            initial = int(unit.units.acceptance_uohm[j])
            mine.append(features.baselines(own, block.days, elapsed - begins, initial))
        out.append(mine)
    return out


def _at_midnights(
    model: SystemModel, path: SlowPath, s: int, block: Block, service: ServiceDays
) -> BlockReplay:
    """Temperatures and readings of string `s` at the midnights of a block, from its checkpoints.

    Voltages and charge are not known there.
    """
    jars, first = model.system.jars_per_string, int(path.first_day[0])
    states = path.states[block.first_day - first : block.end_day - first + 1, s]
    midnights = [model.grid.midnight_s(d) for d in range(block.first_day, block.end_day + 1)]
    none = np.zeros((jars, len(states)))
    return BlockReplay(
        block=block,
        t_s=np.array(midnights),
        mode=np.zeros(len(states), np.uint8),
        replay=stepper.Replay(none, states[:, :jars].T.copy(), none, none[0], none[0]),
        readings=states[:, 2 * jars : 3 * jars],
        reading_offset_s=int(model.string_constants(s).reading_offset_s[0]),
        service=replace(service, turns=()),
        turn_readings=np.zeros((0, 2)),
        end_state=states[-1],
    )


def feature_group(
    model: SystemModel,
    s: int,
    service: ServiceDays,
    wanted: tuple[str, ...],
    clock: BlockClock,
    window_hours: int,
    jar_hours: Ints,
    accounts: dict[int, features.Account],
    string_hours: Ints,
    room_hours: Ints,
    baselines: list[list[Ints]],
    tally: Tally,
) -> RowGroup | None:
    """Row group of the feature store, all wanted jars in it; None without a complete window.

    `jar_hours`, `string_hours` and `room_hours` are sums by hour, `accounts` those of
    `string_account`, `baselines` the `jar_baselines`.
    """
    string = model.system.strings[s]
    windows = clock.windows(window_hours)
    if windows == 0:
        return None
    stamp = clock.window_ends(window_hours)
    prefix = digest.instant_prefix(stamp.first_ms, stamp.step_ms, windows)
    jars = features.jar_windows(jar_hours, np.diff(clock.hour_bounds), window_hours)
    all_jars = features.whole_sum(jars[:, :, [features.V_SAMPLES, features.V_SUM]], 0)
    _, twice_median = features.medians(features.mean_volts(jars).T)
    room = features.room_windows(room_hours, window_hours)
    of_string = features.string_windows(string_hours, window_hours)
    shared = {
        since_s: features.string_features(of_string, account, string.model.rated_capacity_ah)
        | {"feature_window_hours": np.full(windows, window_hours)}
        for since_s, account in accounts.items()
    }
    day = np.arange(windows) * window_hours // HOURS_PER_DAY
    bounds = clock.window_bounds(window_hours)
    instants = stamp.first_ms + stamp.step_ms * np.arange(windows)
    names, stamps, parts = [], [], []
    for j, jar_id in enumerate(string.jar_ids):
        if jar_id not in wanted:
            continue
        units = held(service, j)
        firsts = [_first_hour(clock, unit) for unit in units]
        for unit, a, b, baseline in zip(
            units, firsts, [*firsts[1:], clock.hours], baselines[j], strict=True
        ):
            # A window in which a unit came is that unit's, with what was measured of it.
            rows = slice(a // window_hours, windows if b == clock.hours else b // window_hours)
            if rows.start >= rows.stop:
                continue
            mine = jars[j]
            if len(units) > 1:
                hours = jar_hours[j : j + 1].copy()
                hours[0, :a] = hours[0, b:] = features.no_hour()
                (mine,) = features.jar_windows(hours, np.diff(clock.hour_bounds), window_hours)
            columns = shared[unit.from_s] | features.jar_features(
                mine,
                all_jars,
                twice_median,
                room,
                int(unit.units.acceptance_uohm[j]),
                baseline[day],
            )
            columns = {name: counts[rows] for name, counts in columns.items()}
            group: RowGroup = {name: Plain(columns[name]) for name in FEATURE_STORE.names[2:]}
            tally.digest(FEATURE_STORE, unit.unit_id, group, prefix, rows.start, bounds)
            names.append(unit.unit_id)
            stamps.append(instants[rows])
            parts.append(columns)
    lengths = [len(each) for each in stamps]
    keys: RowGroup = {
        "feature_ts": Plain(np.concatenate(stamps)),
        "battery_id": Codes(np.repeat(np.arange(len(names)), lengths).astype(np.uint16), (*names,)),
    }
    values: RowGroup = {
        name: Plain(np.concatenate([columns[name] for columns in parts]))
        for name in FEATURE_STORE.names[2:]
    }
    return {**keys, **values}


def _first_hour(clock: BlockClock, unit: Held) -> int:
    """Hour of the block, 0 to its number of hours, with which a unit begins."""
    since_s = unit.from_s - clock.grid.midnight_s(clock.block.first_day)
    return min(max(0, since_s // SECONDS_PER_HOUR), clock.hours)


# --- what is alarming -----------------------------------------------------------------------------


@dataclass(eq=False)
class Watch:
    """Who looks at a string in a block: by which rules, when, and what was found so far."""

    rules: dict[str, AlertRule]
    gates: Gates
    rows: list[Condition] = field(default_factory=list)


def watch(
    model: SystemModel,
    path: SlowPath,
    s: int,
    rules: tuple[AlertRule, ...],
    samples: StringSamples,
    clock: BlockClock,
) -> Watch:
    """A watch over string `s`, whose `samples` of the block decide on its gates."""
    unsettled_s = _unsettled_s(model, path, s, clock)
    gates = Gates(
        clock.grid,
        clock.block,
        samples.mode,
        samples.counts[0],
        model.system.jars_per_string,
        clock.hour_bounds,
        unsettled_s,
    )
    return Watch(conditions.rules_of(rules, model.system.strings[s].model), gates)


def _unsettled_s(model: SystemModel, path: SlowPath, s: int, clock: BlockClock) -> int:
    """Last known sample before the block in another mode than float, at most the look-back ago.

    The start of the run counts as one, and an earlier one as the look-back's beginning.
    """
    grid, end = clock.grid, clock.block.first_day
    first = max(grid.first_day, end - conditions.LOOK_BACK_DAYS)
    begins_s = grid.midnight_s(first)
    if first == end:
        return begins_s
    before = BlockClock(grid, Block(first, end))
    rows = slice(path.day_rows(first).start, path.day_rows(end - 1).stop)
    mode = np.empty(before.rows, np.uint8)
    sensors.sample_modes(path.t_s[rows], path.mode[s, rows], before.first_s, grid.interval_s, mode)
    family = faults.UPS_STRING if model.system.kind == "UPS" else faults.RECTIFIER_STRING
    found = _faults(model, family, model.system.strings[s].string_id, before.ticks)
    for fault in faults.seen(found, before.ticks):
        if fault.kind == faults.COMMUNICATION_LOSS:
            mode[fault.rows] = _FLOAT
    other = np.flatnonzero(mode != _FLOAT)
    return before.first_s + int(other[-1]) * grid.interval_s if other.size else begins_s


def _under_watch(service: ServiceDays, j: int, clock: BlockClock) -> tuple[Watched, ...]:
    return tuple(
        Watched(
            unit.unit_id,
            unit.from_s,
            clock.block.first_day - day_number(unit.units.installed[j]),
            int(unit.units.acceptance_uohm[j]),
        )
        for unit in held(service, j)
    )


def condition_group(
    model: SystemModel,
    s: int,
    service: ServiceDays,
    wanted: tuple[str, ...],
    samples: StringSamples,
    clock: BlockClock,
    jar_hours: Ints,
    room: Ints,
    watch: Watch,
) -> RowGroup:
    """Row group of `alert_condition`, the string's and its wanted jars' rows.

    `room` are the `room_hours` from 5 h before the block on, as far as the run goes back.
    """
    string, bounds = model.system.strings[s], clock.hour_bounds
    bank = Bank(
        string_id=string.string_id,
        jars=tuple(_under_watch(service, j, clock) for j in range(len(string.jar_ids))),
        wanted=tuple(jar_id in wanted for jar_id in string.jar_ids),
        cells=string.model.cells,
        rated_ah=string.model.rated_capacity_ah,
        design_life_years=string.model.design_life_years,
        compensated=model.location.temperature_compensated,
        float_current=model.system.kind != "UPS",
    )
    lacking = conditions.ROOM_HOURS - 1 + clock.hours - len(room)
    found = conditions.StringHours(
        *(conditions.hourly(samples.counts[row], bounds) for row in (0, 2, 4))
    )
    rows = watch.rows + conditions.string_conditions(
        bank, watch.rules, watch.gates, jar_hours, found, np.pad(room, ((lacking, 0), (0, 0)))
    )
    return conditions.row_group(rows)


def room_condition_group(
    sensor_id: str,
    rules: tuple[AlertRule, ...],
    counts: Counts,
    clock: BlockClock,
) -> RowGroup:
    """Row group of `alert_condition` of a room from its `sample_room`."""
    (rule,) = (rule for rule in rules if rule.name == "room_temperature")
    rows = conditions.room_conditions(sensor_id, rule, clock.grid, clock.block, counts[0])
    return conditions.row_group(rows)


# --- rooms ----------------------------------------------------------------------------------------


def sample_room(
    seed: int,
    location: Location,
    sensor_id: str,
    around: World,
    clock: BlockClock,
    scenario: Scenario,
) -> Counts:
    """What the environmental sensor reports in the block, counts (4, row)."""
    grid = clock.grid

    def read(around: World, ticks: Ticks) -> tuple[Counts, list[faults.Fault]]:
        span = ticks.first_s, ticks.end_s
        found = faults.episodes(seed, scenario, faults.ROOM, sensor_id, grid.utc_offset_s, *span)
        shown = faults.seen(found, ticks)
        return _read_room(seed, sensor_id, around, ticks, scenario, shown), shown

    def stuck(fault: faults.Fault) -> int:
        then_s = max(fault.start_s, grid.start_s)
        there, day = around, _local_day(grid, then_s)
        if day < around.first_day:
            there = world(seed, location, grid, Block(day, day + 1), scenario)
        return int(read(there, Ticks(then_s, 1, 1))[0][fault.channel, 0])

    counts, shown = read(around, clock.ticks)
    for fault in shown:
        if fault.kind >= faults.STUCK:
            _silence(fault, counts, stuck)
    return counts


def _read_room(
    seed: int,
    sensor_id: str,
    around: World,
    ticks: Ticks,
    scenario: Scenario,
    shown: list[faults.Fault],
) -> Counts:
    """What the sensor makes of room and weather at the instants, (4, row)."""
    first_s, step_s, rows = ticks
    start_s, errors = int(around.midnights_s[0]), float(scenario.sensor_errors)

    def series(values: Floats, edge_s: int) -> Floats:
        out = np.empty(rows)
        sensors.interpolated(values, edge_s, start_s, first_s, step_s, out)
        return out

    def error(number: int, sigma: params.Parameter) -> float:
        return errors * sensors.fixed_error(seed, Stream.ENV_SENSOR, sensor_id, number, sigma.value)

    counts = np.empty((4, rows), np.int32)
    key = rng.key(seed, Stream.ENV_NOISE, sensor_id)
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
        key,
        errors,
        rng.normal_table(),
        counts,
    )
    for fault in shown:
        if fault.kind < faults.STUCK:
            faults.falsify(fault, counts[fault.channel], ticks, _ROOM_UNIT, key)
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
        stamp, name = clock.instants(first, end), Constant(sensor_id, end - first)
        group: RowGroup = {
            "ts": stamp,
            "sensor_id": name,
            **{
                n: tally.coded(ENV, n, c[first:end], name, stamp)
                for n, c in zip(names, counts, strict=True)
            },
            "hvac_status": Codes(status[first:end], COOLING),
        }
        group = {column: group[column] for column in ENV.names}
        tally.digest(ENV, sensor_id, group, clock.prefix, first, clock.day_bounds)
        yield group


def room_hours_before(
    seed: int, location: Location, sensor_id: str, clock: BlockClock, scenario: Scenario
) -> Ints:
    """`room_hours` of the hours before the block that its first hours look back to."""
    first = clock.block.first_day
    if first == clock.grid.first_day:
        return np.zeros((0, 2), np.int64)
    before = BlockClock(clock.grid, Block(first - 1, first))
    around = world(seed, location, clock.grid, before.block, scenario)
    counts = sample_room(seed, location, sensor_id, around, before, scenario)
    return room_hours(counts, before)[1 - conditions.ROOM_HOURS :]


def room_hours(counts: Counts, clock: BlockClock) -> Ints:
    """Number and sum of the room's temperature counts in each complete hour, int64 (hour, 2)."""
    known = counts[0] != _NULL32
    sums = np.zeros((clock.rows + 1, 2), np.int64)
    np.cumsum(known, out=sums[1:, 0])
    np.cumsum(np.where(known, counts[0], 0), out=sums[1:, 1])
    return np.diff(sums[clock.hour_bounds], axis=0)
