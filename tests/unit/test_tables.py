"""Schemas, CSV, checkpoint arrays, and reading back, by values worked out by hand."""

import datetime
import io

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from fleetgen.io import csv, tables
from fleetgen.schema import BATTERY, JAR_CALC, JAR_RAW, TABLES, Column, Table
from fleetgen.spec import NULL, Codes, Constant, Instants, Plain, Runs
from tests.readers import iter_counts, read_counts, read_table

ZONE = "Asia/Bangkok"
BANGKOK_S = 7 * 3600
START_MS = 1_735_664_400_000  # 2025-01-01T00:00+07:00

SAMPLE = Table(
    "sample",
    "event",
    "row",
    ("at", "unit_id"),
    "table",
    (
        Column("at", "instant", "instant", unit="ms"),
        Column("unit_id", "id", "the unit"),
        Column("note", "text", "a note"),
        Column("mode", "category", "mode", nullable=True),
        Column("voltage_v", "float", "voltage", "V", 1000, True, truth=True),
        Column("below_min", "float", "time", "min", 60),
        Column("cells", "int", "cells", nullable=True, known_at_end=True),
        Column("flag", "bool", "flag", nullable=True),
        Column("day", "date", "day", nullable=True),
        Column("seen", "instant", "another instant", nullable=True),
    ),
    "One column of each kind.",
)
GROUP = {
    "at": Instants(START_MS, 5000, 4),
    "unit_id": Constant("DC-CNX-01", 4),
    "note": Codes(np.array([0, 1, 2, 3], np.uint8), ("ไฟ", 'a "b"', "c,d", "")),
    "mode": Codes(np.array([0, 1, 1, 0], np.uint8), ("float", None)),
    "voltage_v": Codes(np.array([1, 0, 2, 1], np.uint8), np.array([13_620, 14_000, NULL])),
    "below_min": Plain(np.array([1, 60, 0, -90])),
    "cells": Runs(np.array([1, 0, 2, 1]), np.array([6, 9, NULL, -3])),
    "flag": Codes(np.array([0, 1, 2, 1], np.uint8), np.array([0, 1, NULL])),
    "day": Plain(np.array([0, NULL, 19_723, -1])),
    "seen": Plain(np.array([NULL, START_MS, 0, -1000])),
}


def written(groups, table=SAMPLE, kind="direct"):
    writer = tables.open_writer(kind, table, ZONE, {})
    for group in groups:
        writer.add(group)
    return io.BytesIO(writer.close())


# --- schema and values ----------------------------------------------------------------------------


def test_schema_follows_the_declaration():
    schema = tables.arrow_schema(SAMPLE, ZONE, {"data_version": "3"})
    instant = pa.timestamp("ms", "Asia/Bangkok")
    text = pa.string()
    assert schema.types == [
        *(instant, text, text, text, pa.float32(), pa.float32()),
        *(pa.int32(), pa.bool_(), pa.date32(), instant),
    ]
    assert [field.nullable for field in schema] == [c.nullable for c in SAMPLE.columns]
    assert schema.metadata == {
        b"name": b"sample",
        b"role": b"event",
        b"grain": b"row",
        b"doc": b"One column of each kind.",
        b"data_version": b"3",
    }
    assert schema.field("voltage_v").metadata == {
        b"doc": b"voltage",
        b"unit": b"V",
        b"resolution": b"0.001",
        b"truth": b"true",
    }
    assert schema.field("cells").metadata == {b"doc": b"cells", b"known_at_end": b"true"}


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("kind", ["direct", "pyarrow"])
def test_a_file_of_each_table_bears_its_schema(name, kind):
    table = TABLES[name]
    schema = pq.read_schema(written([], table, kind))
    assert schema.equals(tables.arrow_schema(table, ZONE), check_metadata=True)


def test_values_are_counts_over_per_unit_in_float64_rounded_once():
    values = tables.to_arrow(SAMPLE, GROUP, ZONE).to_pydict()
    bangkok = datetime.timezone(datetime.timedelta(hours=7))
    start = datetime.datetime(2025, 1, 1, tzinfo=bangkok)
    assert values["at"] == [start + datetime.timedelta(seconds=5 * n) for n in range(4)]
    assert values["unit_id"] == ["DC-CNX-01"] * 4
    assert values["note"] == ["ไฟ", 'a "b"', "c,d", ""]
    assert values["mode"] == ["float", None, None, "float"]
    assert values["voltage_v"] == [14.0, float(np.float32(13.62)), None, 14.0]
    assert values["below_min"] == [float(np.float32(1 / 60)), 1.0, 0.0, -1.5]
    assert values["cells"] == [6, None, None, -3]
    assert values["flag"] == [False, True, None, True]
    day = datetime.date
    assert values["day"] == [day(1970, 1, 1), None, day(2024, 1, 1), day(1969, 12, 31)]
    utc = datetime.UTC
    assert values["seen"][:3] == [None, start, datetime.datetime(1970, 1, 1, tzinfo=utc)]


def test_compressed_bytes_are_a_zstd_frame():
    packed = tables.compress(np.zeros(1000, np.uint8))
    assert packed[:4] == bytes.fromhex("28b52ffd")
    assert pa.Codec("zstd").decompress(packed, 1000, asbytes=True) == bytes(1000)


# --- arrays ---------------------------------------------------------------------------------------


@given(
    st.dictionaries(
        st.text(min_size=1),
        arrays_of.arrays(
            st.sampled_from([np.float64, np.int64, np.int32, np.uint8]),
            arrays_of.array_shapes(min_dims=0, min_side=0),
        ),
        max_size=4,
    )
)
def test_arrays_come_back_as_they_were(arrays):
    data = tables.encode_arrays(arrays)
    assert data == tables.encode_arrays(arrays)
    found = tables.decode_arrays(data)
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert found[name].tobytes() == array.tobytes()
        assert found[name].flags.writeable
        assert found[name].flags.c_contiguous


def test_arrays_in_another_memory_order():
    array = np.arange(12.0).reshape(3, 4).T
    assert np.array_equal(tables.decode_arrays(tables.encode_arrays({"a": array}))["a"], array)


def test_arrays_are_an_arrow_file_for_others():
    data = tables.encode_arrays({"soc": np.array([[0.5, 1.0]])})
    with pa.ipc.open_file(io.BytesIO(data)) as file:
        assert file.read_all().to_pydict() == {"soc": [[0.5, 1.0]]}


# --- reading back ---------------------------------------------------------------------------------


def jar_groups():
    rng = np.random.default_rng(3)
    rows = 500
    codes = np.clip(rng.normal(128, 8, rows), 0, 255).astype(np.uint8)
    return [
        {
            "ts": Instants(START_MS, 5000, rows),
            "battery_id": Constant(f"DC-CNX-01-UPS-01-S1-J{jar:02d}", rows),
            "voltage_v": Codes(codes, np.append(np.arange(13_500, 13_755), NULL)),
            "temperature_c": Codes(codes // 20, np.arange(240, 256)),
            "resistance_mohm": Runs(np.array([200, 300]), np.array([4300, NULL])),
            "conductance_s": Plain(rng.integers(20_000, 30_000, rows)),
        }
        for jar in (1, 2, 3)
    ]


WANTED = {
    "at": [START_MS + 5000 * n for n in range(4)],
    "unit_id": ["DC-CNX-01"] * 4,
    "note": ["ไฟ", 'a "b"', "c,d", ""],
    "mode": ["float", None, None, "float"],
    "voltage_v": [14_000, 13_620, NULL, 14_000],
    "below_min": [1, 60, 0, -90],
    "cells": [6, NULL, NULL, -3],
    "flag": [0, 1, NULL, 1],
    "day": [0, NULL, 19_723, -1],
    "seen": [NULL, START_MS, 0, -1000],
}


@pytest.mark.parametrize("kind", ["direct", "pyarrow"])
def test_counts_come_back_row_group_by_row_group(kind):
    found = list(iter_counts(SAMPLE, written([GROUP, GROUP], kind=kind)))
    assert len(found) == 2
    for group in found:
        assert {name: column.tolist() for name, column in group.items()} == WANTED
        assert group["voltage_v"].dtype == np.int64


@pytest.mark.parametrize("kind", ["direct", "pyarrow"])
def test_counts_of_whole_files(kind, tmp_path):
    path = tmp_path / "part.parquet"
    path.write_bytes(written([GROUP], kind=kind).getvalue())
    found = read_counts(SAMPLE, [path, written([GROUP], kind=kind)], ["mode", "cells"])
    assert {name: column.tolist() for name, column in found.items()} == {
        "mode": WANTED["mode"] * 2,
        "cells": WANTED["cells"] * 2,
    }
    assert read_counts(SAMPLE, written([], kind=kind))["cells"].shape == (0,)


@pytest.mark.parametrize("per_unit", [1, 10, 60, 100, 1000, 10_000])
def test_counts_below_8_million_survive_float32(per_unit):
    column = Column("x", "float", "x", per_unit=per_unit)
    table = Table("t", "event", "row", ("x",), "table", (column,), "t")
    counts = np.linspace(-(2**23), 2**23, 100_001).astype(np.int64)
    found = read_counts(table, written([{"x": Plain(counts)}], table))["x"]
    assert np.array_equal(found, counts)


def test_read_table_selects_columns_and_rows(tmp_path):
    folder = tmp_path / "month=2025-01"  # a partition key is not a column of the file
    folder.mkdir()
    path = folder / "part.parquet"
    path.write_bytes(written(jar_groups(), JAR_RAW).getvalue())
    jar = "DC-CNX-01-UPS-01-S1-J02"
    for source in (str(path), path, io.BytesIO(path.read_bytes())):
        found = read_table(source, ["ts", "battery_id"], [("battery_id", "==", jar)])
        assert found.column_names == ["ts", "battery_id"]
        assert found["battery_id"].to_pylist() == [jar] * 500
    found = read_table([path, path])
    assert (found.num_rows, found.column_names) == (3000, list(JAR_RAW.names))


def test_truth_and_dimension_tables_write():
    rows = 3
    soc = {
        "ts": Instants(START_MS, 5000, rows),
        "battery_id": Constant("J01", rows),
        "soc_pct": Runs(np.array([rows]), np.array([10_000])),
        "soh_pct": Plain(np.array([99_999, 99_998, 99_998])),
    }
    assert read_table(written([soc], JAR_CALC))["soc_pct"].to_pylist() == [100.0] * 3
    texts = Codes(np.arange(rows, dtype=np.uint8), ("ก", "ข", "ค"))
    battery = {
        c.name: texts if c.kind in ("id", "text", "category") else Plain(np.arange(rows) + 20_000)
        for c in BATTERY.columns
    }
    frame = pd.read_csv(io.BytesIO(csv.csv_bytes(BATTERY, [battery], BANGKOK_S)))
    assert frame["serial_number"].tolist() == ["ก", "ข", "ค"]
    assert frame["installed_date"].tolist() == ["2024-10-04", "2024-10-05", "2024-10-06"]
    assert frame["initial_capacity_ah"].tolist() == [2000.0, 2000.1, 2000.2]
