"""Logical digests against plain integers, from row groups and from files."""

import json
import random
from collections import defaultdict
from itertools import groupby, pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fleetgen import digest, sample
from fleetgen.config import load
from fleetgen.model import events
from fleetgen.schema import FEATURE_STORE, TABLES, TELEMETRY, Column, Table
from fleetgen.schema import RECORDS as RECORD_TABLES
from fleetgen.spec import (
    DEFAULT_SCENARIO,
    NULL,
    Block,
    Codes,
    Constant,
    Instants,
    Plain,
    Runs,
)
from fleetgen.world import world
from tests import oracles, readers, tiny
from tests.golden import make

FIRST_MS, STEP_MS = 1_735_664_400_000, 5_000


def table(*columns):
    return Table(
        "sample",
        "measured",
        "row",
        ("ts", "unit_id"),
        "table",
        (Column("ts", "instant", "instant"), Column("unit_id", "id", "unit"), *columns),
        "For tests.",
    )


ABC = table(
    Column("a_v", "float", "a", per_unit=1000, nullable=True),
    Column("b_c", "float", "b", per_unit=10, nullable=True),
    Column("c", "category", "c", nullable=True),
)
COUNTS = st.one_of(st.none(), st.integers(-3, 3), st.integers(-(2**31), 2**31))
TEXTS = st.one_of(st.none(), st.sampled_from(["float", "boost", "ไฟฟ้า", ""]))
ROWS = st.lists(st.tuples(COUNTS, COUNTS, TEXTS), min_size=1, max_size=24)


class Digest:
    """Sum over ids of their lanes, each times its multipliers."""

    def __init__(self):
        self.lanes = np.zeros(2, np.uint64)

    def add(self, unit, lanes):
        self.lanes += digest.identity(unit) * lanes

    def hex(self):
        return digest.hexadecimal(self.lanes)


# --- chunks of given values -----------------------------------------------------------------------


def as_counts(values):
    return np.array([NULL if v is None else v for v in values], np.int64)


def as_codes(values, dtype, shuffled):
    levels = list(dict.fromkeys(values))
    shuffled.shuffle(levels)
    if None in levels:
        levels.append(levels.pop(levels.index(None)))
    codes = np.array([levels.index(v) for v in values], dtype)
    texts = any(isinstance(v, str) for v in levels) or levels == [None]
    return Codes(codes, tuple(levels) if texts else as_counts(levels))


def as_runs(values):
    runs = [(len(list(run)), value) for value, run in groupby(values)]
    return Runs(np.array([n for n, _ in runs], np.int64), as_counts([v for _, v in runs]))


def chunk(values, shape, shuffled):
    if any(isinstance(v, str) for v in values) or all(v is None for v in values):
        shape = shape if shape.startswith("codes") else "codes8"
    match shape:
        case "plain":
            return Plain(as_counts(values))
        case "runs":
            return as_runs(values)
        case "codes8":
            return as_codes(values, np.uint8, shuffled)
        case _:
            return as_codes(values, np.uint16, shuffled)


def row_group(schema, rows, shapes, unit="u", first_ms=FIRST_MS, seed=0):
    """The rows as chunks of the given shapes."""
    shuffled = random.Random(seed)
    columns = list(zip(*rows, strict=True))
    names = schema.names[2:]
    return {
        "ts": Instants(first_ms, STEP_MS, len(rows)),
        "unit_id": Constant(unit, len(rows)),
        **{
            name: chunk(values, shape, shuffled)
            for name, values, shape in zip(names, columns, shapes, strict=True)
        },
    }


def plain_digest(schema, rows, unit="u", first=0):
    names = schema.names[2:]
    return oracles.digest(
        [
            (unit, FIRST_MS + (first + i) * STEP_MS, dict(zip(names, row, strict=True)))
            for i, row in enumerate(rows)
        ]
    )


def made_digest(schema, rows, shapes, unit="u", seed=0):
    """Digest of rows that are one row group and one day."""
    prefix = digest.instant_prefix(FIRST_MS, STEP_MS, len(rows))
    group = row_group(schema, rows, shapes, unit, seed=seed)
    lanes = digest.lanes(schema, group, prefix, 0, np.array([0, len(rows)]))
    assert lanes.shape == (1, 2)
    total = Digest()
    total.add(unit, lanes[0])
    return total.hex()


# --- records --------------------------------------------------------------------------------------

RECORDS = Table(
    "records",
    "event",
    "row",
    ("start_ts", "unit_id", "number"),
    "string",
    (
        Column("start_ts", "instant", "instant"),
        Column("unit_id", "id", "unit"),
        Column("number", "int", "number"),
        Column("a_v", "float", "a", per_unit=1000, nullable=True),
        Column("c", "text", "c", nullable=True),
    ),
    "For tests.",
)
DAY_MS = 86_400_000


def record_group(rows, shuffled):
    shuffled.shuffle(rows)
    starts, units, numbers, volts, texts = (list(each) for each in zip(*rows, strict=True))
    return {
        "start_ts": Plain(as_counts(starts)),
        "unit_id": as_codes(units, np.uint8, shuffled),
        "number": Plain(as_counts(numbers)),
        "a_v": chunk(volts, "plain", shuffled),
        "c": as_codes(texts, np.uint8, shuffled),
    }


RECORD_ROWS = st.lists(
    st.tuples(
        st.integers(FIRST_MS, FIRST_MS + 3 * DAY_MS - 1),
        st.sampled_from(["J01", "J02-R2", "สตริง"]),
        st.integers(-3, 3),
        st.one_of(st.none(), st.integers(-(2**31), 2**31)),
        TEXTS,
    ),
    min_size=1,
    max_size=20,
)


@settings(max_examples=100, deadline=None)
@given(RECORD_ROWS, st.randoms(use_true_random=False))
def test_records_digest_by_day_whatever_their_order(rows, shuffled):
    edges = FIRST_MS + DAY_MS * np.arange(4)
    lanes = digest.record_lanes(RECORDS, record_group(list(rows), shuffled), edges)
    for day in range(3):
        expected = oracles.record_digest(
            [
                (dict(zip(RECORDS.key, row[:3], strict=True)), {"a_v": row[3], "c": row[4]})
                for row in rows
                if edges[day] <= row[0] < edges[day + 1]
            ]
        )
        assert digest.hexadecimal(lanes[day]) == expected


# --- equality with plain integers -----------------------------------------------------------------

SHAPES = st.sampled_from(["plain", "runs", "codes8", "codes16"])


@settings(max_examples=150, deadline=None)
@given(ROWS, st.tuples(SHAPES, SHAPES, SHAPES), st.integers(0, 9))
def test_digest_of_any_chunks_by_plain_integers(rows, shapes, seed):
    assert made_digest(ABC, rows, shapes, seed=seed) == plain_digest(ABC, rows)


@pytest.mark.parametrize(
    "shapes",
    [
        ("runs", "runs"),  # no pass over the rows
        ("codes8", "codes8"),  # the jars' measured table
        ("codes16", "codes16"),
        ("codes8", "codes16"),
        ("codes16", "codes8"),
        ("plain", "runs"),
        ("codes8", "runs"),
        ("plain", "codes16"),
        ("plain", "plain"),
    ],
)
def test_each_path_through_the_rows(shapes):
    schema = table(*ABC.columns[2:4])
    draw = random.Random(3)
    rows = [(draw.choice([None, 0, 1, 13_620]), draw.choice([250, 251])) for _ in range(500)]
    rows += [(7, 7)] * 100
    assert made_digest(schema, rows, shapes) == plain_digest(schema, rows)


@pytest.mark.parametrize("shapes", [("codes8", "codes8", "runs"), ("codes16", "codes16", "runs")])
def test_measured_jar_columns_with_a_held_reading(shapes):
    schema = table(*ABC.columns[2:4], Column("r", "float", "r", nullable=True))
    rows = [(13_600 + i % 5, 250 + i % 3, 3400 + (i // 100)) for i in range(450)]
    assert made_digest(schema, rows, shapes) == plain_digest(schema, rows)


def test_key_columns_are_no_values():
    with pytest.raises(ValueError, match=r"sample\.a_v: Constant is no value column"):
        digest.lanes(
            table(ABC.columns[2]),
            {
                "ts": Instants(FIRST_MS, STEP_MS, 1),
                "unit_id": Constant("u", 1),
                "a_v": Constant("u", 1),
            },
            digest.instant_prefix(FIRST_MS, STEP_MS, 1),
            0,
            np.array([0, 1]),
        )


def test_empty_digest_and_hex():
    assert Digest().hex() == "0" * 32
    total = Digest()
    total.add("u", np.array([0, 1], np.uint64))
    assert total.hex() == f"{0:016x}{oracles.words('id u')[1] | 1:016x}"


# --- sums -----------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    ROWS,
    st.lists(st.integers(0, 24), max_size=5),
    st.lists(st.integers(0, 24), max_size=4),
    st.tuples(SHAPES, SHAPES, SHAPES),
)
def test_row_groups_and_days_add_up(rows, cuts, midnights, shapes):
    """However rows are cut into groups, each day's digest is that of its rows."""
    n = len(rows)
    cuts = sorted({0, n, *(c for c in cuts if c < n)})
    days = [0, *sorted(min(m, n) for m in midnights), n]  # days without rows among them
    prefix = digest.instant_prefix(FIRST_MS, STEP_MS, n)
    sums = [Digest() for _ in days[1:]]
    for a, b in pairwise(cuts):
        group = row_group(ABC, rows[a:b], shapes, first_ms=FIRST_MS + a * STEP_MS)
        for day, lanes in enumerate(digest.lanes(ABC, group, prefix, a, np.array(days))):
            sums[day].add("u", lanes)
    for day, total in enumerate(sums):
        a, b = days[day], days[day + 1]
        assert total.hex() == (plain_digest(ABC, rows[a:b], first=a) if b > a else "0" * 32)


@settings(max_examples=30, deadline=None)
@given(st.lists(ROWS, min_size=2, max_size=4), st.randoms(use_true_random=False))
def test_order_does_not_matter(units, order):
    named = [(f"unit {i}", rows) for i, rows in enumerate(units)]
    lanes = []
    for unit, rows in named:
        prefix = digest.instant_prefix(FIRST_MS, STEP_MS, len(rows))
        group = row_group(ABC, rows, ("codes8", "plain", "codes8"), unit)
        lanes.append((unit, digest.lanes(ABC, group, prefix, 0, np.array([0, len(rows)]))[0]))
    values = set()
    for _ in range(3):
        order.shuffle(lanes)
        total = Digest()
        for unit, words in lanes:
            total.add(unit, words)
        values.add(total.hex())
    flat = [
        (unit, FIRST_MS + i * STEP_MS, dict(zip(ABC.names[2:], row, strict=True)))
        for unit, rows in named
        for i, row in enumerate(rows)
    ]
    order.shuffle(flat)
    assert values == {oracles.digest(flat)}


# --- sensitivity ----------------------------------------------------------------------------------


def test_any_single_change_shows():  # noqa: C901 (one list of changes)
    """Each cell changed by one count, to null or from null; each pair of cells and rows swapped."""
    rows = [(13_600 + i, 250 + 7 * i, "float") for i in range(12)]
    rows[3] = (None, 271, "boost")
    rows[5] = (0, None, None)
    shapes = ("codes16", "codes16", "codes8")

    def changed(at, column, value):
        return [
            tuple(value if (i, c) == (at, column) else cell for c, cell in enumerate(row))
            for i, row in enumerate(rows)
        ]

    seen = {made_digest(ABC, rows, shapes): "the rows"}

    def new(variant, what, unit="u"):
        value = made_digest(ABC, variant, shapes, unit)
        assert value not in seen, f"{what} looks like {seen.get(value)}"
        seen[value] = what

    for at, row in enumerate(rows):
        for column, cell in enumerate(row):
            for value in ("boost", "Float", "") if column == 2 else (0, -1, 1, 2**40):
                if value != cell:
                    new(changed(at, column, value), f"cell {at}, {column} = {value}")
            if cell is not None:
                new(changed(at, column, None), f"cell {at}, {column} null")
            if isinstance(cell, int) and cell:
                new(changed(at, column, cell + 1), f"cell {at}, {column} + 1")
                new(changed(at, column, -cell), f"cell {at}, {column} negative")
    for a in range(len(rows)):
        for b in range(a):
            swapped = rows.copy()
            swapped[a], swapped[b] = rows[b], rows[a]
            new(swapped, f"rows {a} and {b} swapped")
        crossed = [(r[1], r[0], r[2]) if i == a else r for i, r in enumerate(rows)]
        new(crossed, f"columns of row {a} swapped")
    for end in range(1, len(rows)):
        new(rows[:end], f"the first {end} rows")
    new(rows, "another id", "v")


@settings(deadline=None)
@given(st.integers(-(2**62), 2**62), st.integers(-(2**62), 2**62))
def test_null_is_no_count(a, b):
    assume(a != b)
    schema = table(ABC.columns[2])
    values = {made_digest(schema, [(v,)], ("plain",)) for v in (a, b, None)}
    assert len(values) == 3


def test_a_missing_row_shows_even_when_it_is_all_null():
    rows = [(None, None, None)] * 4
    digests = {made_digest(ABC, rows[:n], ("plain", "plain", "codes8")) for n in range(1, 5)}
    assert len(digests) == 4
    assert "0" * 32 not in digests


def test_ids_and_rows_do_not_trade_places():
    """Two ids that exchange their values, whole or in one row, differ from what they were."""
    a, b = [(1, 2, "float"), (3, 4, "float")], [(5, 6, "float"), (7, 8, "float")]

    def both(x, y):
        total = Digest()
        for unit, rows in (("u", x), ("v", y)):
            prefix = digest.instant_prefix(FIRST_MS, STEP_MS, 2)
            group = row_group(ABC, rows, ("plain", "plain", "codes8"), unit)
            total.add(unit, digest.lanes(ABC, group, prefix, 0, np.array([0, 2]))[0])
        return total.hex()

    variants = [both(a, b), both(b, a), both([a[0], b[1]], [b[0], a[1]]), both(a[::-1], b[::-1])]
    assert len(set(variants)) == 4


def test_the_same_values_later_differ():
    values = {digest.instant_prefix(FIRST_MS + d, STEP_MS, 1)[:, 1].tobytes() for d in range(100)}
    assert len(values) == 100


# --- from files -----------------------------------------------------------------------------------


def digests_of_file(path, schema):
    """Digest of each local day of a file, by a reader and plain integers.

    A feature row belongs to the day in which its window began.
    """
    if schema in RECORD_TABLES:
        return record_digests_of_file(path, schema)
    stamp, entity = schema.key
    days = defaultdict(list)
    window_ms = 3_600_000 if schema is FEATURE_STORE else 0
    for group in readers.iter_counts(schema, path):
        names = [name for name in group if name not in schema.key]
        columns = {name: group[name].tolist() for name in group}
        for i, (instant, unit) in enumerate(zip(columns[stamp], columns[entity], strict=True)):
            day = (instant - window_ms + 7 * 3_600_000) // 86_400_000
            values = {n: None if columns[n][i] == NULL else columns[n][i] for n in names}
            days[str(np.datetime64(day, "D"))].append((unit, instant, values))
    return {day: oracles.digest(rows) for day, rows in days.items()}


def record_digests_of_file(path, schema):
    days = defaultdict(list)
    for group in readers.iter_counts(schema, path):
        columns = {name: counts.tolist() for name, counts in group.items()}
        for row in zip(*columns.values(), strict=True):
            values = {n: None if v == NULL else v for n, v in zip(columns, row, strict=True)}
            keys = {name: values.pop(name) for name in schema.key}
            day = (keys[schema.key[0]] + 7 * 3_600_000) // 86_400_000
            days[str(np.datetime64(day, "D"))].append((keys, values))
    return {day: oracles.record_digest(rows) for day, rows in days.items()}


@pytest.mark.parametrize("writer", ["direct", "pyarrow"])
def test_files_hold_what_their_receipts_say(tmp_path, writer):
    """Two days over the edge of a month, several systems, outages; every table."""
    place = tiny.generate(
        tmp_path / "set",
        tiny.TWO_SYSTEMS,
        run__start_date="2025-01-31",
        run__sampling_seconds=900,
        output__writer=writer,
    )
    seen = set()
    for receipt in tiny.receipts(place):
        for entry in receipt["files"]:
            path = place / entry["path"]
            schema = TABLES[entry["table"]]
            assert digests_of_file(path, schema) == entry["digests"], entry["path"]
            assert readers.read_table(str(path)).num_rows == entry["rows"]
            seen.add(entry["table"])
    assert seen >= {schema.name for schema in TELEMETRY} | {"alert_condition"}


def test_both_writers_have_equal_digests(tmp_path):
    digests = []
    for writer in ("direct", "pyarrow"):
        place = tiny.generate(
            tmp_path / writer, run__sampling_seconds=600, run__seed=9, output__writer=writer
        )
        digests.append({e["path"]: e["digests"] for r in tiny.receipts(place) for e in r["files"]})
    assert digests[0] == digests[1]
    assert len(digests[0]) == 8  # a part in which nothing is alarming has no file of it


def test_golden_digests():
    """The values of a run, pinned: another Python, CPU or NumPy must not move a count."""
    golden = json.loads((Path(make.__file__).parent / "digests.json").read_text("utf-8"))
    assert make.digests() == golden


# --- blocks ---------------------------------------------------------------------------------------


def test_digests_do_not_depend_on_block_days(tmp_path):
    """Ten days in blocks of one and of ten: long enough for slow quantities to move a count."""
    digests = []
    for days in (1, 10):
        found = {}
        place = tiny.generate(
            tmp_path / str(days),
            {"UPS-01": {"kind": "UPS", "jars_per_string": 24, "strings": {"S1": "HX12-120"}}},
            run__duration_days=10,
            run__sampling_seconds=600,
            execution__block_days=days,
        )
        for receipt in tiny.receipts(place):
            for entry in receipt["files"]:
                for day, value in entry["digests"].items():
                    found[entry["table"], entry["group"], day] = value
        digests.append(found)
    assert digests[0].keys() == digests[1].keys()
    assert [key for key in digests[0] if digests[0][key] != digests[1][key]] == []


@pytest.mark.parametrize("begins", [-5, 0])
def test_flags_do_not_depend_on_blocks(tmp_path, monkeypatch, begins):
    """A transfer just before midnight, or at it, is flagged for 10 s in any block."""
    midnight = 1_735_664_400 + 86_400

    def timeline(*_):
        none = np.array([], np.int64)
        start = np.array([midnight + begins])
        return events.Timeline(
            start, start + 60, np.array([False]), *(none,) * 4, none / 1.0, *(none,) * 3
        )

    monkeypatch.setattr("fleetgen.system.events.timeline", timeline)
    flagged = []
    for days in (1, 2):
        place = tiny.generate(
            tmp_path / str(days),
            run__sampling_seconds=1,
            run__seed=1000 + begins,
            execution__block_days=days,
        )
        parts = sorted((place / "telemetry_string_raw").rglob("*.parquet"))
        names = ("ts", "transfer_event_flag")
        table = readers.read_table([str(path) for path in parts], names).to_pandas()
        flagged.append(table.ts[table.transfer_event_flag].astype("int64").tolist())
    assert len(flagged[1]) == 20
    assert flagged[0] == flagged[1]


def test_rooms_do_not_depend_on_blocks():
    """The two ends of a midnight differ by 6e-6 of a sigma: a block must not choose between them.

    A month each second of nine rooms: about ten counts in 48 million differ.
    """
    config = load(overrides={"run.duration_days": 31, "run.sampling_seconds": 1})
    grid = config.grid()
    month = Block(grid.first_day, grid.end_day)
    moved = 0
    for site in config.to_fleet().sites:

        def sampled(block, site=site):
            around = world(2, site.location, grid, block, DEFAULT_SCENARIO)
            clock = sample.BlockClock(grid, block)
            return sample.sample_room(
                2, site.location, site.sensor_id, around, clock, DEFAULT_SCENARIO
            )

        days = [sampled(Block(d, d + 1)) for d in range(month.first_day, month.end_day)]
        moved += int((np.concatenate(days, axis=1) != sampled(month)).sum())
    assert moved == 0
