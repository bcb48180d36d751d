"""The direct writer against Arrow's own, other readers, and values written down beforehand."""

import datetime
import io
from dataclasses import replace
from itertools import groupby

import duckdb
import fastparquet
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetgen.io import tables
from fleetgen.io.parquet import DirectPartWriter, as_codes
from fleetgen.schema import Column, Table
from fleetgen.spec import NULL, Codes, Constant, Instants, Plain, Runs
from tests.readers import iter_counts

ZONE = "Asia/Bangkok"
START_MS = 1_735_664_400_000  # 2025-01-01T00:00+07:00

SAMPLE = Table(
    "sample",
    "measured",
    "row",
    ("ts", "unit_id"),
    "table",
    (
        Column("ts", "instant", "instant", unit="ms"),
        Column("unit_id", "id", "the unit"),
        Column("seen", "instant", "another instant", nullable=True),
        Column("mode", "category", "mode", nullable=True),
        Column("voltage_v", "float", "voltage", "V", 1000, True),
        Column("power_w", "float", "power", "W", 60),
        Column("cells", "int", "cells", nullable=True),
        Column("flag", "bool", "flag", nullable=True),
        Column("day", "date", "day", nullable=True),
    ),
    "One column of each kind.",
)
TEXT_KINDS = ("id", "category")
TEXTS = ("ไฟฟ้า", "a", 'b,"c"', "🔋", "É")


# --- row groups whose values are known before they are chunks -------------------------------------


def counts_of(values):
    return np.array([NULL if value is None else value for value in values], np.int64)


def runs_of(values, empty_runs):
    """Runs of `values`, perhaps with an empty one of another count before each."""
    runs = [(len(list(run)), value) for value, run in groupby(values)]
    if empty_runs:
        runs = [pair for run in runs for pair in ((0, 1), run)]
    return Runs(np.array([length for length, _ in runs]), counts_of([value for _, value in runs]))


def codes_of(values, order, dtype=np.uint8):
    """Codes into `order`, which may hold more levels than occur."""
    position = {level: code for code, level in enumerate(order)}
    codes = np.array([position[value] for value in values], dtype)
    texts = any(isinstance(level, str) for level in order)
    return Codes(codes, tuple(order) if texts else counts_of(order))


def drawn(rng, column, rows):
    """Values of a column, None for a missing one, and a chunk that holds them."""
    if column.kind == "instant" and (column.name == "ts" or rng.random() < 0.3):
        first = int(rng.integers(-(2**45), 2**45))
        step = int(rng.choice([5000, 1, 0, -60_000, 3_600_000]))
        return [first + step * row for row in range(rows)], Instants(first, step, rows)
    if column.kind in TEXT_KINDS:
        pool = list(rng.permutation(TEXTS)[: rng.integers(1, 6)])
    elif column.kind == "bool":
        pool = [1, 0][: rng.integers(1, 3)]
    else:
        size = int(rng.choice([7, 100, 1000, 2**24, 2**31 - 1]))
        pool = list(dict.fromkeys(rng.integers(-size, size, rng.integers(1, 40)).tolist()))
    if column.nullable and rng.random() < 0.5:
        pool.insert(rng.integers(0, len(pool) + 1), None)
    values = [pool[i] for i in np.minimum(rng.geometric(0.2, rows), len(pool)) - 1]
    if column.kind in TEXT_KINDS:
        if len(set(values)) == 1 and values[0] is not None:
            return values, Constant(values[0], rows)
        return values, codes_of(values, [*pool, "never"])
    match rng.choice(["plain", "runs", "codes"]):
        case "plain":
            return values, Plain(counts_of(values))
        case "runs":
            values.sort(key=pool.index)
            return values, runs_of(values, rng.random() < 0.5)
        case _:
            return values, codes_of(values, pool, rng.choice([np.uint8, np.uint16]))


@st.composite
def parts(draw):
    """Row groups, each as values and as chunks."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    groups = []
    for rows in draw(st.lists(st.integers(1, 70), min_size=1, max_size=3)):
        columns = {column.name: drawn(rng, column, rows) for column in SAMPLE.columns}
        values = {name: values for name, (values, _) in columns.items()}
        groups.append((values, {name: chunk for name, (_, chunk) in columns.items()}))
    return groups


def direct(groups, table=SAMPLE, page_rows=16, compress=tables.compress):
    schema = tables.arrow_schema(table, ZONE, {"version": "1"})
    writer = DirectPartWriter(table, tables.file_metadata(schema), compress, page_rows)
    for group in groups:
        writer.add(group)
    return writer.close()


def by_arrow(groups, table=SAMPLE):
    writer = tables.open_writer("pyarrow", table, ZONE, {"version": "1"})
    for group in groups:
        writer.add(group)
    return writer.close()


def read(data):
    return pq.read_table(io.BytesIO(data))


# --- equal to Arrow's writer, equal to the values -------------------------------------------------


@settings(deadline=None, max_examples=200)
@given(parts())
def test_reads_as_the_oracle_writes_and_as_the_values_are(part):
    data = direct([chunks for _, chunks in part])
    oracle = by_arrow([chunks for _, chunks in part])

    found, wanted = read(data), read(oracle)
    assert found.schema.equals(wanted.schema, check_metadata=True)
    assert found.equals(wanted)
    assert statistics(data) == statistics(oracle)
    for (values, _), group in zip(part, iter_counts(SAMPLE, io.BytesIO(data)), strict=True):
        for column in SAMPLE.columns:
            if column.kind in TEXT_KINDS:
                assert group[column.name].tolist() == values[column.name]
            elif column.kind != "float":
                assert np.array_equal(group[column.name], counts_of(values[column.name]))
    for column in ("voltage_v", "power_w"):
        per_unit = SAMPLE.column(column).per_unit
        values = [value for values, _ in part for value in values[column]]
        wanted = [None if v is None else float(np.float32(v / per_unit)) for v in values]
        assert found[column].to_pylist() == wanted


@settings(deadline=None, max_examples=40)
@given(parts())
def test_polars_reads_the_same(part):
    groups = [chunks for _, chunks in part]
    found = pl.read_parquet(io.BytesIO(direct(groups)))
    assert found.equals(pl.read_parquet(io.BytesIO(by_arrow(groups))))


def statistics(data):
    """Bounds and null counts of each column chunk; zero has no sign here."""
    metadata = pq.read_metadata(io.BytesIO(data))
    found = []
    for group in range(metadata.num_row_groups):
        for index in range(metadata.num_columns):
            s = metadata.row_group(group).column(index).statistics
            bounds = (s.min_raw, s.max_raw) if s.has_min_max else None
            found.append((bounds, s.null_count, s.num_values))
    return found


def one(name, chunk, **others):
    """A row group in which only column `name` matters."""
    rows = chunk.rows
    plain = {
        "ts": Instants(START_MS, 5000, rows),
        "unit_id": Constant("a", rows),
        "mode": Constant("float", rows),
    }
    zeros = Runs(np.array([rows]), np.array([0]))
    return {n: plain.get(n, zeros) for n in SAMPLE.names} | {name: chunk} | others


def test_codes_are_packed_to_the_narrowest_of_4_8_16_bits():
    rows = 4099
    sizes = {}
    for span in (15, 16, 255, 256):
        codes = (np.arange(rows) % (span + 1) + 300).astype(np.uint16)
        values = np.arange(1000)[codes]
        data = direct([one("voltage_v", Codes(codes, np.arange(1000)))], page_rows=1024)
        assert np.array_equal(read(data)["voltage_v"], (values / 1000).astype(np.float32))
        chunk = pq.read_metadata(io.BytesIO(data)).row_group(0).column(4)
        sizes[span] = chunk.total_uncompressed_size - 4 * (span + 1)
    overhead = 5 * 40
    assert rows // 2 < sizes[15] < rows // 2 + overhead
    assert rows < sizes[16] <= sizes[255] < rows + overhead
    assert 2 * rows < sizes[256] < 2 * rows + overhead


ALL_NINE = "02000000 1201"  # definition levels of 9 rows: size, run header 9 << 1, level 1


@pytest.mark.parametrize(("chunk", "body"), [
    # width 4, header 2 groups << 1 | 1, two codes to a byte, padded to 16 codes
    (Codes(np.arange(9, dtype=np.uint8), np.arange(9)), "04 05 10 32 54 76 08 00 00 00"),
    # width 8, the codes themselves
    (Codes(np.arange(0, 27, 3, dtype=np.uint8), np.arange(27)),
     "08 05 00 03 06 09 0c 0f 12 15 18 00 00 00 00 00 00 00"),
    # width 2, for each run its header (length << 1) and its code
    (Runs(np.array([3, 0, 2, 4]), np.array([5, 1, 7, 6])), "02 06 00 04 02 08 01"),
    # width 1, one run
    (Codes(np.full(9, 3, np.uint8), np.arange(9)), "01 12 00"),
])  # fmt: skip
def test_page_bodies_as_derived_from_the_format(chunk, body):
    assert bytes.fromhex(ALL_NINE + body) in direct([one("cells", chunk)])


def test_the_footer_tells_where_pages_lie():
    groups = [
        one("voltage_v", Codes((np.arange(rows) % 200).astype(np.uint8), np.arange(200)))
        for rows in (900, 1000)
    ]
    data = direct([one("cells", Plain(np.array([4, 5]))), *groups])
    metadata = pq.read_metadata(io.BytesIO(data))
    with io.BytesIO(data) as file:
        row_groups = fastparquet.ParquetFile(file).row_groups
    end = 4
    for index, row_group in enumerate(row_groups):
        assert row_group.file_offset == end
        for chunk in (metadata.row_group(index).column(n) for n in range(len(SAMPLE.columns))):
            first = chunk.data_page_offset
            assert data[first : first + 2] == b"\x15\x00"  # field 1, type DATA_PAGE
            has_dictionary = "RLE_DICTIONARY" in chunk.encodings
            assert has_dictionary == (chunk.dictionary_page_offset is not None)
            if has_dictionary:
                first = chunk.dictionary_page_offset
                assert data[first : first + 2] == b"\x15\x04"  # field 1, type DICTIONARY_PAGE
            assert first == end
            end += chunk.total_compressed_size
            if chunk.compression == "UNCOMPRESSED":
                assert chunk.total_uncompressed_size == chunk.total_compressed_size
        assert row_group.total_compressed_size == end - row_group.file_offset


@pytest.mark.parametrize(
    "counts",
    [
        np.arange(70_000) * 3,
        np.arange(66_000),
        np.append(np.arange(65_535), NULL),
        np.append(np.arange(65_536), NULL),
        np.array([2**31 - 1, -(2**31)]),
        np.array([NULL, NULL, NULL]),
        np.array([5]),
    ],
)
def test_plain_chunks_of_any_spread(counts):
    data = direct([one("cells", Plain(counts))], page_rows=1 << 15)
    found = next(iter_counts(SAMPLE, io.BytesIO(data), ["cells"]))["cells"]
    assert np.array_equal(found, counts)


def test_plain_counts_take_a_dictionary_where_it_is_smaller():
    for counts, wanted in (
        (np.tile(np.array([7, 9, 60_000]), 1000), True),
        (np.arange(3000), False),
    ):
        data = direct([one("cells", Plain(counts))])
        chunk = pq.read_metadata(io.BytesIO(data)).row_group(0).column(6)
        assert chunk.has_dictionary_page == wanted


def test_as_codes_spans_65536_counts():
    assert as_codes(np.array([-1, 65_534])).levels.tolist() == [-1, 65_534]
    assert as_codes(np.array([-1, 65_535])) is None


@given(st.lists(st.one_of(st.none(), st.integers(-40_000, 40_000)), max_size=50))
def test_as_codes_keeps_the_counts(values):
    counts = counts_of(values)
    coded = as_codes(counts)
    present = [value for value in values if value is not None]
    if present and max(present) - min(present) > 65_535:
        assert coded is None
    else:
        assert np.array_equal(coded.levels[coded.codes], counts)
        levels = coded.levels.tolist()
        assert levels == sorted(set(present)) + [NULL] * (len(present) < len(values) or not values)


def test_a_row_group_without_rows_leaves_no_trace():
    empty = one("cells", Plain(np.array([], np.int64)))
    full = one("cells", Plain(np.array([1, 2])))
    assert direct([empty, full, empty]) == direct([full])
    for data in (direct([empty]), by_arrow([empty])):
        assert pq.read_metadata(io.BytesIO(data)).num_row_groups == 0
        assert read(data).schema.equals(tables.arrow_schema(SAMPLE, ZONE, {"version": "1"}), True)


def test_same_row_groups_make_the_same_bytes():
    rng = np.random.default_rng(7)
    codes = rng.integers(0, 200, 5000).astype(np.uint8)
    groups = [one("voltage_v", Codes(codes, np.arange(200))), one("cells", Plain(np.arange(9)))]
    assert direct(groups) == direct(groups)


def test_shared_instants_are_compressed_once():
    calls = []

    def compress(buffer):
        calls.append(len(buffer))
        return tables.compress(buffer)

    table = replace(SAMPLE, columns=SAMPLE.columns[:2])
    group = {"ts": Instants(START_MS, 5000, 100_000), "unit_id": Constant("a", 100_000)}
    data = direct([group] * 3, table, compress=compress)
    assert len(calls) == 1
    assert read(data)["ts"].cast("int64").to_pylist()[-1] == START_MS + 99_999 * 5000


# --- statistics -----------------------------------------------------------------------------------


def bounds(data, column):
    s = (
        pq.read_metadata(io.BytesIO(data))
        .row_group(0)
        .column(SAMPLE.names.index(column))
        .statistics
    )
    return s.min, s.max, s.null_count


@pytest.mark.parametrize("levels", [[10, 20, 30, 40], [40, 20, 30, 10], [40, 30, 20, 10]])
def test_bounds_are_of_the_levels_that_occur(levels):
    wanted = [levels[1], levels[2]]
    codes = np.array([1, 2, 2, 1, 2], np.uint8)
    data = direct([one("cells", Codes(codes, np.array(levels)))])
    assert bounds(data, "cells") == (min(wanted), max(wanted), 0)


def test_bounds_of_every_kind():
    codes = np.array([2, 1, 3, 1], np.uint8)
    group = one(
        "voltage_v",
        Codes(codes, np.array([-9000, 1500, 1250, NULL])),
        unit_id=Codes(codes, ("0", "🔋", "ไฟฟ้า", "zz")),
        flag=Codes(codes, np.array([0, 1, 1, 1])),
        day=Codes(codes, np.array([0, 19723, 19724, 1])),
    )
    data = direct([group])
    assert bounds(data, "voltage_v") == (1.25, 1.5, 1)
    assert bounds(data, "unit_id") == ("zz", "🔋", 0)
    assert bounds(data, "flag") == (True, True, 0)
    assert bounds(data, "day") == (datetime.date(1970, 1, 2), datetime.date(2024, 1, 2), 0)
    start = datetime.datetime(2024, 12, 31, 17, tzinfo=datetime.UTC)
    assert bounds(data, "ts") == (start, start + datetime.timedelta(seconds=15), 0)


def test_a_bound_of_zero_bears_the_sign_that_the_format_asks_for():
    data = direct([one("voltage_v", Plain(np.array([0, 0])))])
    low, high, _ = bounds(data, "voltage_v")
    assert (np.signbit(low), np.signbit(high)) == (True, False)


@pytest.fixture
def ruined(tmp_path):
    """A file with three row groups, of which the pages of all but the second are zeros."""
    groups = [
        one(
            "cells",
            Plain(np.arange(1000) + 1000 * n),
            ts=Instants(START_MS + n * 5_000_000, 5000, 1000),
            unit_id=Constant(f"J{n}", 1000),
        )
        for n in range(3)
    ]
    data = bytearray(direct(groups))
    metadata = pq.read_metadata(io.BytesIO(data))
    for group in (0, 2):
        for index in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(index)
            first = chunk.dictionary_page_offset or chunk.data_page_offset
            data[first : first + chunk.total_compressed_size] = bytes(chunk.total_compressed_size)
    path = tmp_path / "ruined.parquet"
    path.write_bytes(data)
    return str(path)


def test_pyarrow_skips_row_groups_by_their_statistics(ruined):
    with pytest.raises(OSError, match="page"):
        pq.read_table(ruined)
    start = pa.scalar(START_MS + 5_000_000, pa.timestamp("ms", ZONE))
    end = pa.scalar(START_MS + 10_000_000, pa.timestamp("ms", ZONE))
    for condition in (
        ds.field("unit_id") == "J1",
        (ds.field("ts") >= start) & (ds.field("ts") < end),
        (ds.field("cells") >= 1000) & (ds.field("cells") < 2000),
    ):
        assert ds.dataset(ruined).to_table(filter=condition).num_rows == 1000


@pytest.mark.parametrize(
    "condition",
    [
        "unit_id = 'J1'",
        "cells between 1000 and 1999",
        "ts >= '2025-01-01T01:23:20+07' and ts < '2025-01-01T02:46:40+07'",
    ],
)
def test_duckdb_skips_row_groups_by_their_statistics(ruined, condition):
    with duckdb.connect() as connection:
        with pytest.raises(duckdb.Error):
            connection.execute(f"select sum(cells), max(unit_id) from '{ruined}'").fetchall()
        query = f"select count(*), sum(cells) from '{ruined}' where {condition}"
        assert connection.execute(query).fetchall() == [(1000, sum(range(1000, 2000)))]


# --- every reader ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """A file with every encoding, and the same by Arrow's writer."""
    rng = np.random.default_rng(5)
    rows = 1003
    wide = rng.integers(0, 300, rows).astype(np.uint16)
    spotted = rng.integers(0, 40, rows).astype(np.uint8)
    spotted[100:300] = 20  # a page of nulls
    some_null = np.where(rng.random(rows) < 0.1, NULL, rng.integers(-(10**9), 10**9, rows))
    groups = [
        one("voltage_v", Codes(wide, np.arange(13_500, 13_800))),
        one(
            "voltage_v",
            Codes(spotted, np.where(np.arange(40) == 20, NULL, np.arange(40) * 7)),
            unit_id=Codes((spotted % 5).astype(np.uint8), TEXTS),
            mode=Codes((spotted % 3).astype(np.uint8), ("float", None, "ไฟ")),
            power_w=Plain(rng.integers(-(10**8), 10**8, rows)),
            cells=Plain(some_null),
            flag=Codes((spotted % 2).astype(np.uint8), np.array([0, 1])),
            seen=Plain(START_MS + 1000 * rng.integers(0, 10**6, rows)),
            day=Plain(rng.integers(10_000, 20_000, rows)),
        ),
        one(
            "voltage_v",
            Codes((wide % 11).astype(np.uint8), np.arange(11)),
            mode=Codes(np.zeros(rows, np.uint8), (None,)),
            cells=Runs(np.array([500, 0, 3, 500]), np.array([6, 1, NULL, -7])),
            flag=Plain(np.where(some_null == NULL, NULL, 1)),
            seen=Plain(np.where(some_null == NULL, NULL, START_MS)),
            day=Runs(np.array([rows]), np.array([NULL])),
        ),
        one("cells", Plain(np.array([4]))),
    ]
    folder = tmp_path_factory.mktemp("mixed")
    paths = str(folder / "direct.parquet"), str(folder / "arrow.parquet")
    for path, data in zip(paths, (direct(groups, page_rows=96), by_arrow(groups)), strict=True):
        with open(path, "wb") as file:
            file.write(data)
    return paths


def by_duckdb(path, schema):
    with duckdb.connect() as connection:
        return connection.sql(f"select * from '{path}'").to_arrow_table().cast(schema)


def by_fastparquet(path, schema):
    with open(path, "rb") as file:
        frame = fastparquet.ParquetFile(file).to_pandas()
    for name in ("ts", "seen"):
        frame[name] = frame[name].dt.tz_localize("UTC")
    return pa.Table.from_pandas(frame, schema, preserve_index=False)


READERS = {
    "pyarrow": lambda path, schema: pq.read_table(path),
    "pyarrow-dictionary": lambda path, schema: pq.read_table(
        path, read_dictionary=["unit_id", "mode"]
    ).cast(schema),
    "pandas": lambda path, schema: pa.Table.from_pandas(pd.read_parquet(path), schema),
    "polars": lambda path, schema: pl.read_parquet(path).to_arrow().cast(schema),
    "duckdb": by_duckdb,
    "fastparquet": by_fastparquet,
}


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_sees_the_values(mixed, reader):
    ours, arrows = mixed
    wanted = pq.read_table(arrows)
    assert wanted.num_rows == 3 * 1003 + 1
    found = READERS[reader](ours, wanted.schema)
    for name in SAMPLE.names:
        assert found[name].equals(wanted[name]), name


# --- faults ---------------------------------------------------------------------------------------


TWO = Plain(np.array([1, 2]))


@pytest.mark.parametrize(
    ("group", "message"),
    [
        ({"ts": TWO}, r"sample: missing columns \['unit_id', .*unknown columns \[\]"),
        (one("cells", TWO, soc_pct=TWO), r"sample: .*unknown columns \['soc_pct'\]"),
        (one("cells", Plain(np.array([1, 2, 3])), day=TWO), "sample.day: 2 rows, but 3 in ts"),
        (one("unit_id", TWO), "sample.unit_id: a column of kind id cannot hold Plain"),
        (
            one("cells", Constant("six", 2)),
            "sample.cells: a column of kind int cannot hold Constant",
        ),
        (
            one("cells", Instants(0, 1, 2)),
            "sample.cells: a column of kind int cannot hold Instants",
        ),
        (one("power_w", Plain(np.array([1, NULL]))), "sample.power_w: 1 nulls in a column"),
        (one("cells", Plain(np.array([1, 2**31]))), "sample.cells: counts from 1 to 2147483648"),
        (one("flag", Plain(np.array([1, 2]))), "sample.flag: counts from 1 to 2 exceed bool"),
        (one("cells", Codes(np.array([0, 9], np.uint8), np.arange(3))), "sample.cells: .*9"),
        (one("flag", Codes(np.array([0, 9], np.uint8), np.arange(2))), "sample.flag: .*9"),
        (one("cells", Runs(np.array([3, -1]), np.array([1, 2]))), "sample.cells: .*negative"),
    ],
)
@pytest.mark.parametrize("write", [direct, by_arrow])
def test_a_row_group_that_does_not_fit_is_refused(write, group, message):
    with pytest.raises(ValueError, match=message):
        write([group])


def test_two_nulls_among_the_levels_are_refused():
    levels = np.array([NULL, 1, NULL])
    with pytest.raises(ValueError, match=r"sample.cells: null is at 2 levels"):
        direct([one("cells", Codes(np.array([0, 2], np.uint8), levels))])


@pytest.mark.parametrize("page_rows", [0, -8, 17_281])
def test_a_page_holds_whole_groups_of_eight(page_rows):
    with pytest.raises(ValueError, match=f"page_rows = {page_rows} is not"):
        direct([], page_rows=page_rows)
