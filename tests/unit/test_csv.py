"""CSV by values worked out by hand, and by Python's own csv, Decimal, datetime and gzip."""

import csv as plain
import datetime
import gzip
import io
import zlib
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetgen.io import csv, tables
from fleetgen.schema import JAR_RAW, TABLES, Column, Table
from fleetgen.spec import NULL, Codes, Constant, Instants, Plain, Runs
from tests.readers import read_table
from tests.unit.test_tables import BANGKOK_S, GROUP, SAMPLE, START_MS, ZONE, jar_groups, written

CSV = '''\
at,unit_id,note,mode,voltage_v,below_min,cells,flag,day,seen
2025-01-01T00:00:00+07:00,DC-CNX-01,ไฟ,float,14,0.016666668,6,false,1970-01-01,
2025-01-01T00:00:05+07:00,DC-CNX-01,"a ""b""",,13.62,1,,true,,2025-01-01T00:00:00+07:00
2025-01-01T00:00:10+07:00,DC-CNX-01,"c,d",,,0,,,2024-01-01,1970-01-01T07:00:00+07:00
2025-01-01T00:00:15+07:00,DC-CNX-01,"",float,14,-1.5,-3,true,1969-12-31,1970-01-01T06:59:59+07:00
'''


# --- by hand --------------------------------------------------------------------------------------


def test_csv_as_written_by_hand():
    assert csv.csv_bytes(SAMPLE, [GROUP], BANGKOK_S).decode() == CSV


def test_csv_without_header_and_with_many_row_groups():
    head, _, body = CSV.encode().partition(b"\n")
    assert csv.csv_bytes(SAMPLE, [GROUP, GROUP], BANGKOK_S, header=False) == body + body
    assert csv.csv_bytes(SAMPLE, [], BANGKOK_S) == head + b"\n"
    empty = dict.fromkeys(SAMPLE.names, Plain(np.array([], np.int64)))
    empty |= {name: Constant("a", 0) for name in ("unit_id", "note", "mode")}
    assert csv.csv_bytes(SAMPLE, [empty, GROUP], BANGKOK_S, header=False) == body


@pytest.mark.parametrize(
    ("offset_s", "text"),
    [
        (0, "2024-12-31T17:00:00+00:00"),
        (-12_600, "2024-12-31T13:30:00-03:30"),
        (20_700, "2024-12-31T22:45:00+05:45"),
    ],
)
def test_csv_instants_are_local(offset_s, text):
    data = csv.csv_bytes(SAMPLE, [GROUP], offset_s, header=False)
    assert data.decode().startswith(text + ",")
    assert datetime.datetime.fromisoformat(text).timestamp() * 1000 == START_MS


@given(st.integers(-8_000_000, 8_000_000), st.sampled_from([1, 10, 100, 1000, 10_000]))
def test_csv_floats_show_no_digit_below_the_resolution(count, per_unit):
    column = Column("x", "float", "x", per_unit=per_unit)
    table = Table("t", "event", "row", ("x",), "table", (column,), "t")
    text = csv.csv_bytes(table, [{"x": Plain(np.array([count]))}], 0, header=False)
    whole, part = divmod(abs(count), per_unit)
    decimals = f"{part:0{len(str(per_unit)) - 1}d}".rstrip("0") if part else ""
    sign = "-" if count < 0 else ""
    assert text.decode() == f"{sign}{whole}{'.' if decimals else ''}{decimals}\n"


@given(st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1), st.sampled_from([1, 60, 1000]))
def test_csv_floats_read_back_as_the_parquet_values(counts, per_unit):
    column = Column("x", "float", "x", per_unit=per_unit)
    table = Table("t", "event", "row", ("x",), "table", (column,), "t")
    group = {"x": Plain(np.array(counts))}
    text = csv.csv_bytes(table, [group], 0, header=False).decode().split()
    found = np.array([float(value) for value in text]).astype(np.float32)
    assert np.array_equal(found, tables.to_arrow(table, group, ZONE)["x"].to_numpy())


@pytest.mark.parametrize(
    ("name", "chunk", "message"),
    [
        (
            "at",
            Instants(START_MS + 500, 1000, 4),
            "sample.at: CSV holds instants to the whole second",
        ),
        ("below_min", Plain(np.array([1, 2, 3, NULL])), "sample.below_min: 1 nulls"),
        ("cells", Constant("6", 4), "sample.cells: a column of kind int cannot hold Constant"),
        ("cells", Plain(np.array([1, 2**31, 0, 0])), "sample.cells: counts .* exceed int32"),
        ("flag", Runs(np.array([4]), np.array([2])), "sample.flag: counts .* exceed bool"),
        ("voltage_v", Codes(np.full(4, 3, np.uint8), np.arange(3)), "sample.voltage_v: .*3"),
    ],
)
def test_csv_refuses_what_does_not_fit(name, chunk, message):
    with pytest.raises(ValueError, match=message):
        csv.csv_bytes(SAMPLE, [GROUP | {name: chunk}], BANGKOK_S)


# --- by Python's csv and Decimal ------------------------------------------------------------------


NUMBERS = sorted(
    {(c.kind, c.per_unit) for table in TABLES.values() for c in table.columns}
    & {(kind, n) for kind in ("int", "float") for n in range(1, 100_001)}
)
"""Kinds of numbers that the schema has, with their counts per unit."""

COUNTS = st.one_of(
    st.none(),
    st.sampled_from([0, 1, -1, 9, 10, -10, 99, 100, 2**31 - 1, -(2**31)]),
    st.integers(-(2**31), 2**31 - 1),
    st.integers(-300, 300),
)


def decimal(count, per_unit):
    """The exact value without zeros at the end, or the shortest text of the float32."""
    if count is None:
        return ""
    if per_unit == 60:
        return np.format_float_positional(np.float32(count / 60), unique=True, trim="-")
    text = f"{Decimal(count) / Decimal(per_unit):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def forms(counts):
    """The same counts as each chunk that may hold them."""
    array = np.array([NULL if count is None else count for count in counts], np.int64)
    levels, codes = np.unique(array, return_inverse=True)
    yield Plain(array)
    yield Codes(codes.astype(np.uint16), levels)
    yield Runs(np.ones(len(array), np.int64), array)


def test_the_schema_has_numbers_of_several_resolutions():
    assert {60, 1, 10, 100, 1000, 10_000} <= {n for _, n in NUMBERS}


@pytest.mark.parametrize(("kind", "per_unit"), NUMBERS)
@given(counts=st.lists(COUNTS, min_size=1, max_size=40))
def test_numbers_of_each_resolution(kind, per_unit, counts):
    columns = tuple(Column(name, kind, "", per_unit=per_unit, nullable=True) for name in "ab")
    table = Table("t", "event", "row", ("a",), "table", columns, "t")
    expected = io.StringIO()
    lines = plain.writer(expected, lineterminator="\n")
    lines.writerows(
        [decimal(a, per_unit), decimal(b, per_unit)]
        for a, b in zip(counts, counts[::-1], strict=True)
    )
    for a, b in zip(forms(counts), forms(counts[::-1]), strict=True):
        group = {"a": a, "b": b}
        text = csv.csv_bytes(table, [group], 0, header=False).decode()
        assert text == expected.getvalue()
        if kind == "float":
            found = [[float(x) if x else np.nan for x in line.split(",")] for line in text.split()]
            wanted = tables.to_arrow(table, group, "UTC").to_pandas().to_numpy()
            assert np.array_equal(np.array(found).astype(np.float32), wanted, equal_nan=True)


@given(
    st.lists(
        st.none()
        | st.text(st.characters(exclude_categories=["Cs", "Cc"]))
        | st.sampled_from(['"', ",", "a\nb", "\r", "", " "]),
        min_size=1,
        max_size=20,
    )
)
def test_texts_come_back_and_an_empty_one_is_no_null(texts):
    column = Column("x", "text", "x", nullable=True)
    table = Table("t", "event", "row", ("x",), "table", (column, Column("n", "int", "n")), "t")
    levels = (*dict.fromkeys(texts),)
    codes = np.array([levels.index(text) for text in texts], np.uint8)
    group = {"x": Codes(codes, levels), "n": Plain(np.arange(len(texts)))}
    data = csv.csv_bytes(table, [group], 0).decode()
    found = [*plain.reader(io.StringIO(data, newline=""))]
    assert found == [["x", "n"], *([text or "", str(n)] for n, text in enumerate(texts))]
    options = {"keep_default_na": False, "na_values": [], "lineterminator": "\n"}
    assert pd.read_csv(io.StringIO(data, newline=""), **options)["n"].tolist() == [
        *range(len(texts))
    ]
    if not any("\r" in text or "\n" in text for text in texts if text):
        lines = [line for line in data.split("\n")[1:-1]]
        nulls = [line.startswith(",") for line in lines]
        assert nulls == [text is None for text in texts]


@given(
    st.lists(st.integers(-2_208_988_800, 5_000_000_000) | st.none(), min_size=1, max_size=30),
    st.integers(-48, 56),
)
def test_instants_as_datetime_writes_them(seconds, quarters):
    zone = datetime.timezone(datetime.timedelta(minutes=15 * quarters))
    column = Column("x", "instant", "x", nullable=True)
    table = Table("t", "event", "row", ("x",), "table", (column, column_of_ones()), "t")
    counts = np.array([NULL if s is None else 1000 * s for s in seconds])
    group = {"x": Plain(counts), "one": Plain(np.ones(len(counts), np.int64))}
    text = csv.csv_bytes(table, [group], 900 * quarters, header=False).decode()
    expected = [
        "" if s is None else datetime.datetime.fromtimestamp(s, zone).isoformat() for s in seconds
    ]
    assert text == "".join(f"{stamp},1\n" for stamp in expected)


def test_each_day_of_four_centuries():
    start = datetime.date(1850, 1, 1)
    days = [start + datetime.timedelta(days=n) for n in range(365 * 400)]
    column = Column("x", "instant", "x")
    table = Table("t", "event", "row", ("x",), "table", (column,), "t")
    first = (start - datetime.date(1970, 1, 1)).days
    group = {"x": Plain(86_400_000 * np.arange(first, first + len(days)))}
    text = csv.csv_bytes(table, [group], 0, header=False).decode().split()
    assert text == [f"{day}T00:00:00+00:00" for day in days]


def column_of_ones():
    return Column("one", "int", "one")


def test_rows_of_many_pieces_are_those_of_one(monkeypatch):
    groups = jar_groups()
    whole = csv.csv_bytes(JAR_RAW, groups, BANGKOK_S)
    for rows in (1, 7, 499, 500):
        monkeypatch.setattr(csv, "PIECE_ROWS", rows)
        assert csv.csv_bytes(JAR_RAW, groups, BANGKOK_S) == whole


# --- gzip -----------------------------------------------------------------------------------------


@pytest.fixture(params=["isal", "zlib"])
def deflate(request, monkeypatch):
    if request.param == "zlib":
        monkeypatch.setattr(csv, "_inflate", zlib)
    return request.param


def part(groups, table=JAR_RAW):
    writer = csv.CsvPartWriter(table, BANGKOK_S)
    for group in groups:
        writer.add(group)
    return writer.close()


def test_a_part_is_a_file_of_two_members_without_time_or_name(deflate):
    groups = jar_groups()
    data = part(groups)
    head = zlib.decompressobj(31)
    assert head.decompress(data) == ",".join(JAR_RAW.names).encode() + b"\n"
    body = zlib.decompressobj(31)
    text = body.decompress(head.unused_data)
    assert body.eof
    assert body.unused_data == b""
    assert text == csv.csv_bytes(JAR_RAW, groups, BANGKOK_S, header=False)
    for member in (data, head.unused_data):
        assert member[:8] == bytes.fromhex("1f8b080000000000")
    assert part(groups) == data
    assert csv.encoder() == f"zlib {zlib.ZLIB_RUNTIME_VERSION} level 1"


def test_a_part_reads_as_the_parquet(deflate):
    groups = jar_groups()
    frame = pd.read_csv(io.BytesIO(part(groups)), compression="gzip", parse_dates=["ts"])
    wanted = read_table(written(groups, JAR_RAW))
    assert pa.Table.from_pandas(frame, wanted.schema, preserve_index=False).equals(wanted)


def test_a_part_without_rows_is_its_header(deflate):
    assert gzip.decompress(part([])) == csv.header_line(JAR_RAW)


def pieces(data, size):
    return [data[n : n + size] for n in range(0, len(data), size)]


@pytest.mark.parametrize("size", [1, 10, 61, 100_000])
def test_parts_are_joined_without_their_headers(deflate, size):
    groups = jar_groups()
    first, second = part(groups[:1]), part(groups[1:])
    bodies = [b"".join(csv.without_header(JAR_RAW, pieces(p, size))) for p in (first, second)]
    joined = csv.header_member(JAR_RAW) + b"".join(bodies)
    text = csv.csv_bytes(JAR_RAW, groups, BANGKOK_S)
    assert gzip.decompress(joined) == text
    assert b"".join(csv.unpacked(pieces(joined, size))) == text


def test_what_is_unpacked_comes_in_small_pieces(deflate):
    blank = gzip.compress(bytes(20_000_000))
    found = [len(piece) for piece in csv.unpacked([blank])]
    assert sum(found) == 20_000_000
    assert max(found) <= 1 << 20


@pytest.mark.parametrize("cut", [1, 9, 30, 200, -1])
def test_a_part_that_ends_early_is_refused(deflate, cut):
    data = part(jar_groups())[:cut]
    with pytest.raises(ValueError, match="ends early"):
        b"".join(csv.unpacked([data]))


@pytest.mark.parametrize(
    "data", [b"", b"PAR1", gzip.compress(b"a,b\n1,2\n", mtime=0), gzip.compress(b"", mtime=0)]
)
def test_what_is_no_part_of_the_table_is_refused(deflate, data):
    with pytest.raises(ValueError, match="header of telemetry_jar_raw"):
        b"".join(csv.without_header(JAR_RAW, [data]))


@pytest.mark.parametrize("harm", [b"ts,battery_id\n", b"\x1f\x8b\x08\x07" + bytes(20)])
def test_what_is_no_gzip_is_refused(deflate, harm):
    with pytest.raises(ValueError, match=r"cannot be unpacked|ends early"):
        b"".join(csv.unpacked([harm]))


def test_a_flipped_bit_is_found(deflate):
    data = bytearray(part(jar_groups()))
    data[len(data) // 2] ^= 1
    with pytest.raises(ValueError, match=r"cannot be unpacked|ends early"):
        b"".join(csv.unpacked([bytes(data)]))
