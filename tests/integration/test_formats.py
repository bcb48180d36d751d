"""What lies on disk: layout, schema, resolution, order; and that each form says the same."""

import csv
import gzip
import math
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from fleetgen.schema import DIMENSIONS, TABLES, Table
from tests.conftest import Make
from tests.properties.plan import SAMPLED, DataSet

TELEMETRY = (*SAMPLED, "feature_store")
BANGKOK = timezone(timedelta(hours=7))


@pytest.fixture(scope="module")
def months(make: Make) -> DataSet:
    """Blocks as long as they may be: four days of February and two of March."""
    return make({"execution.block_days": 31})


@pytest.mark.parametrize("name", TELEMETRY)
def test_a_path_says_what_a_file_holds(months: DataSet, name: str) -> None:
    for path in months.paths(name):
        table, *levels, part = path.relative_to(months.path).parts
        keys = dict(level.split("=") for level in levels)
        wanted = (
            ["location", "month"] if name == "telemetry_env" else ["location", "string", "month"]
        )
        assert (table, list(keys)) == (name, wanted)
        first, days = date.fromisoformat(part[5:15]), int(part[16:].removesuffix(".parquet"))
        assert part.startswith("part-")
        assert f"{first:%Y-%m}" == keys["month"]
        file = pq.read_table(path, partitioning=None)
        assert not {*keys} & {*file.column_names}
        instants = file[TABLES[name].key[0]].to_pylist()
        end = datetime.combine(first + timedelta(days=days), datetime.min.time(), BANGKOK)
        start = datetime.combine(first, datetime.min.time(), BANGKOK)
        window = timedelta(hours=1) if name == "feature_store" else timedelta(seconds=300)
        assert (min(instants), max(instants)) == (
            (start + window, end) if name == "feature_store" else (start, end - window)
        )
        owner = keys.get("string", keys["location"])
        assert all(
            i.startswith(f"{owner}-") or i == owner for i in file[TABLES[name].key[1]].to_pylist()
        )
    assert {p.parent.name for p in months.paths(name)} == {"month=2024-02", "month=2024-03"}


@pytest.mark.parametrize("name", TELEMETRY)
def test_keys_are_unique_and_sorted_within_a_file(months: DataSet, name: str) -> None:
    """One battery's series and one window of time are both contiguous."""
    instant, entity = TABLES[name].key
    for path in months.paths(name):
        rows = pq.read_table(path, partitioning=None, columns=[entity, instant])
        keys = list(zip(rows[entity].to_pylist(), rows[instant].to_pylist(), strict=True))
        assert len({*keys}) == len(keys)
        groups = pq.ParquetFile(path)
        for n in range(groups.num_row_groups):
            group = groups.read_row_group(n, columns=[entity, instant])
            pairs = list(zip(group[entity].to_pylist(), group[instant].to_pylist(), strict=True))
            assert pairs == sorted(pairs)


@pytest.mark.parametrize("name", TELEMETRY)
@pytest.mark.parametrize("writer", ["direct", "pyarrow"])
def test_files_have_the_schema_and_its_words(make: Make, name: str, writer: str) -> None:
    made = make({"execution.block_days": 31, "output.writer": writer})
    declared = TABLES[name]
    schema = pq.read_schema(made.paths(name)[0])
    assert tuple(schema.names) == declared.names
    assert schema.field(declared.key[0]).type == pa.timestamp("ms", "Asia/Bangkok")
    assert schema.metadata[b"role"].decode() == declared.role
    for column in declared.columns:
        field = schema.field(column.name)
        words = {k.decode(): v.decode() for k, v in field.metadata.items()}
        assert words["doc"] == column.doc
        if column.unit:
            assert words["unit"] == column.unit
        if column.kind == "float":
            assert field.type == pa.float32()
            assert math.isclose(float(words["resolution"]), 1 / column.per_unit, rel_tol=1e-8)
        assert field.nullable == column.nullable
        assert ("truth" in words) == column.truth


def test_no_column_is_empty_or_constant(whole: DataSet) -> None:
    """A column whose law is not there yet is absent.

    No self-test falls into the six days, and no sample of 300 s into the 10 s after a transfer.
    """
    resting = {"feature_window_hours", "generator_test_flag", "transfer_event_flag"}
    for name in TELEMETRY:
        rows = whole.read(name)
        for column in rows.column_names:
            values = pc.unique(rows[column].drop_null())
            assert len(values) > (1 if column not in resting else 0), f"{name}.{column}"


@pytest.mark.parametrize("name", TELEMETRY)
def test_values_are_whole_steps_of_the_resolution_within_their_range(
    whole: DataSet, name: str
) -> None:
    rows = whole.read(name)
    for column in TABLES[name].columns:
        if column.kind != "float":
            continue
        values = rows[column.name].drop_null().to_numpy().astype(np.float64)
        counts = values * column.per_unit
        # float32 holds 24 bits: half a step is far off for every count below 2**22.
        assert np.abs(counts - np.rint(counts)).max() < 0.3, column.name
        assert (np.float32(np.rint(counts) / column.per_unit) == np.float32(values)).all()
        if column.valid:
            low, high = column.valid
            assert low <= values.min() <= values.max() <= high, column.name
        if not column.nullable:
            assert rows[column.name].null_count == 0


@pytest.mark.parametrize("name", TELEMETRY)
def test_statistics_of_a_row_group_are_its_extremes(months: DataSet, name: str) -> None:
    for path in months.paths(name):
        file = pq.ParquetFile(path)
        for n in range(file.num_row_groups):
            rows = file.read_row_group(n)
            for c, column in enumerate(rows.column_names):
                told = file.metadata.row_group(n).column(c).statistics
                values = rows[column]
                if pa.types.is_boolean(values.type) or values.null_count == len(values):
                    continue
                assert told is not None, column
                assert told.null_count == values.null_count
                assert (told.min, told.max) == tuple(pc.min_max(values).as_py().values()), column


def test_the_single_feature_file_says_what_parquet_says(whole: DataSet) -> None:
    path = whole.path / "feature_store.csv.gz"
    with gzip.open(path, "rt", newline="") as file:
        header, *lines = csv.reader(file)
    assert tuple(header) == TABLES["feature_store"].names
    expected = whole.read("feature_store")
    assert len(lines) == expected.num_rows
    assert {line[0][-6:] for line in lines} == {"+07:00"}
    found = pyarrow.csv.read_csv(
        path,
        convert_options=pyarrow.csv.ConvertOptions(
            column_types={f.name: f.type for f in expected.schema if f.name != "feature_ts"}
            | {"feature_ts": pa.timestamp("ms", "UTC")},
            strings_can_be_null=False,
        ),
    )
    found = found.set_column(0, "feature_ts", found["feature_ts"].cast(expected.schema[0].type))
    found = found.sort_by([("battery_id", "ascending"), ("feature_ts", "ascending")])
    for column in expected.column_names:
        assert found[column].combine_chunks().equals(expected[column].combine_chunks()), column


@pytest.mark.parametrize("table", DIMENSIONS, ids=lambda table: table.name)
def test_dimension_tables_have_their_columns_and_keys(whole: DataSet, table: Table) -> None:
    with (whole.path / f"{table.name}.csv").open(newline="") as file:
        header, *lines = csv.reader(file)
    assert tuple(header) == table.names
    keys = [tuple(line[header.index(k)] for k in table.key) for line in lines]
    assert len({*keys}) == len(keys) > 0


def test_ids_join_over_all_tables(whole: DataSet) -> None:
    def column(name: str, key: str) -> set[str]:
        with (whole.path / f"{name}.csv").open(newline="") as file:
            return {row[key] for row in csv.DictReader(file)}

    batteries = column("battery", "battery_id")
    assert batteries == set(whole.states)
    for name in ("telemetry_jar_raw", "telemetry_jar_calc", "feature_store"):
        assert set(pc.unique(whole.read(name)["battery_id"]).to_pylist()) == batteries
    for name in ("telemetry_string_raw", "telemetry_string_calc"):
        ids = pc.unique(whole.read(name)["string_id"]).to_pylist()
        assert {*ids} == column("string", "string_id") == column("battery", "string_id")
    sensors = set(pc.unique(whole.read("telemetry_env")["sensor_id"]).to_pylist())
    assert sensors == column("environmental_sensor", "sensor_id")
    assert column("battery", "model_id") == column("battery_model", "model_id")
    assert column("string", "system_id") == column("battery_system", "system_id")
    assert column("battery_system", "location_id") == column("location", "location_id")


def test_the_report_holds_the_numbers_of_the_files(whole: DataSet) -> None:
    text = (whole.path / "DATA_GENERATION_REPORT.md").read_text()
    assert "NO" not in text.split()
    for name in TELEMETRY:
        rows = whole.read(name).num_rows
        assert f"| {name} | {rows:,} | {rows:,} | yes |" in text
    volts = whole.values("telemetry_jar_raw", "voltage_v")
    line = next(x for x in text.splitlines() if x.startswith("| telemetry_jar_raw.voltage_v |"))
    mean, low, high = (float(cell) for cell in line.split("|")[3:6])
    assert mean == pytest.approx(np.nanmean(volts), abs=6e-4)
    assert (low, high) == (pytest.approx(np.nanmin(volts)), pytest.approx(np.nanmax(volts)))


def test_nothing_names_this_machine(whole: DataSet) -> None:
    """No path, host or user in any file: data sets are published."""
    import getpass
    import socket

    words = {str(Path.home()), str(whole.path), socket.gethostname()}
    words |= {getpass.getuser()} - {"root"}
    for path in whole.path.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            data = gzip.decompress(data) if path.suffix == ".gz" else data
            for word in words:
                assert len(word) < 5 or word.encode() not in data, (path, word)
