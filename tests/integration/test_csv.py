"""Data sets in CSV.gz and single files: the same values as Parquet, for every reader."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from fleetgen import plan
from fleetgen.cli import main
from fleetgen.export import export, single_file
from fleetgen.io import manifest
from fleetgen.io.store import open_store
from fleetgen.schema import TABLES
from tests.conftest import Make
from tests.memory import peak_bytes
from tests.properties.plan import SAMPLED, DataSet, differing, generated
from tests.readers import read_csv

TELEMETRY = (*SAMPLED, "feature_store")
LONG = {"execution.block_days": 31}
CSV = {**LONG, "output.format": "csv.gz"}
ZONE = "Asia/Bangkok"
FILES = ["telemetry_jar_calc.csv", "telemetry_jar_raw.csv.gz"]

# Readers warn of each other and of themselves.
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"
)


@pytest.fixture(scope="module")
def packed(make: Make) -> DataSet:
    return make(CSV)


@pytest.fixture(scope="module")
def parquet(make: Make) -> DataSet:
    return make(LONG)


def by_key(table: pa.Table, name: str) -> pa.Table:
    instant, entity = TABLES[name].key
    return table.sort_by([(entity, "ascending"), (instant, "ascending")]).combine_chunks()


def text_of(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


# --- parts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TELEMETRY)
def test_each_column_of_a_part_is_that_of_the_parquet(
    packed: DataSet, parquet: DataSet, name: str
) -> None:
    paths = packed.paths(name)
    assert {path.name.partition(".")[2] for path in paths} == {"csv.gz"}
    found = by_key(read_csv(TABLES[name], paths, ZONE), name)
    expected = parquet.read(name).combine_chunks()
    assert found.schema.equals(expected.schema)
    for column in expected.column_names:
        assert found[column].equals(expected[column]), column
    for a, b in zip(paths, parquet.paths(name), strict=True):
        assert a.relative_to(packed.path).with_suffix("").with_suffix("") == b.relative_to(
            parquet.path
        ).with_suffix("")


def test_the_values_hold_nulls_and_both_flags(packed: DataSet) -> None:
    """So that their being equal says something."""
    raw = read_csv(TABLES["telemetry_string_raw"], packed.paths("telemetry_string_raw"), ZONE)
    assert min(raw[c].null_count for c in ("voltage_v", "mode", "float_current_a")) > 0
    assert {*raw["equalize_flag"].to_pylist()} == {False, True}


def test_digests_are_those_of_the_parquet_whatever_the_blocks(
    make: Make, packed: DataSet, whole: DataSet
) -> None:
    assert differing(packed.digests, whole.digests) == []
    days = make({"output.format": "csv.gz"})
    assert differing(days.digests, whole.digests) == []


def test_bytes_do_not_depend_on_the_executor(make: Make, packed: DataSet) -> None:
    again = make({**CSV, "execution.executor": "threads", "execution.workers": 2})
    assert again.unlike(packed) == []


def test_the_manifest_names_the_encoder(packed: DataSet) -> None:
    assert json.loads(packed.manifest)["header"]["csv_encoder"].startswith("zlib ")


def test_a_part_of_csv_is_shorter_than_one_of_parquet() -> None:
    grid = plan.TimeGrid(plan.date(2025, 1, 1), 59 * 86_400, 5, 25_200, ZONE)
    lengths = [block.days for block in plan.blocks(grid, 24, None, plan.ROWS_PER_PART["csv.gz"])]
    assert lengths == [8, 8, 8, 7, 8, 8, 8, 4]


# --- readers --------------------------------------------------------------------------------------


def by_pandas(paths: list[Path]) -> tuple[list[str], np.ndarray, np.ndarray]:
    import pandas as pd

    frame = pd.concat([pd.read_csv(path, parse_dates=["ts"]) for path in paths])
    instants = frame["ts"].dt.tz_convert("UTC").dt.tz_localize(None).astype("datetime64[ms]")
    return list(frame["battery_id"]), instants.astype("int64"), frame["voltage_v"]


def by_pyarrow(paths: list[Path]) -> tuple[list[str], np.ndarray, np.ndarray]:
    import pyarrow.dataset as ds

    table = ds.dataset([str(path) for path in paths], format="csv").to_table()
    instants = table["ts"].cast(pa.timestamp("ms", "UTC")).cast(pa.int64())
    return table["battery_id"].to_pylist(), instants.to_numpy(), table["voltage_v"].to_numpy()


def by_duckdb(paths: list[Path]) -> tuple[list[str], np.ndarray, np.ndarray]:
    import duckdb

    query = "SELECT battery_id, epoch_ms(ts) AS ts, voltage_v FROM read_csv(?)"
    rows = duckdb.connect().execute(query, [[str(path) for path in paths]]).fetchnumpy()
    return list(rows["battery_id"]), rows["ts"], np.ma.filled(rows["voltage_v"], np.nan)


def by_polars(paths: list[Path]) -> tuple[list[str], np.ndarray, np.ndarray]:
    import polars as pl

    frame = pl.scan_csv(paths, try_parse_dates=True, infer_schema_length=None).collect()
    instants = frame["ts"]
    if instants.dtype == pl.String:
        instants = instants.str.to_datetime(time_zone="UTC")
    return frame["battery_id"].to_list(), instants.dt.epoch("ms").to_numpy(), frame["voltage_v"]


def by_dask(paths: list[Path]) -> tuple[list[str], np.ndarray, np.ndarray]:
    import dask
    import dask.dataframe as dd

    with dask.config.set(scheduler="synchronous"):
        options = {"blocksize": None, "compression": "gzip"}
        frame = dd.read_csv([str(path) for path in paths], **options).compute()
    import pandas as pd

    stamps = pd.to_datetime(frame["ts"]).dt.tz_convert("UTC").dt.tz_localize(None)
    instants = stamps.astype("datetime64[ms]").astype("int64")
    return list(frame["battery_id"]), instants, frame["voltage_v"]


READERS = (by_pandas, by_pyarrow, by_duckdb, by_polars, by_dask)


@pytest.mark.parametrize("single", [False, True], ids=["parts", "single"])
@pytest.mark.parametrize("read", READERS, ids=lambda read: read.__name__)
def test_a_reader_sees_all_rows(
    packed: DataSet, parquet: DataSet, read: Callable[..., object], single: bool
) -> None:
    parts = sorted((packed.path / "telemetry_jar_raw").glob("**/*.csv.gz"))
    ids, instants, volts = read([packed.path / FILES[1]] if single else parts)
    order = np.lexsort((np.asarray(instants), np.array(ids, str)))
    expected = parquet.read("telemetry_jar_raw")
    assert np.array(ids)[order].tolist() == expected["battery_id"].to_pylist()
    assert (np.asarray(instants)[order] == expected["ts"].cast(pa.int64()).to_numpy()).all()
    found = np.asarray(volts, np.float64)[order].astype(np.float32)
    assert np.array_equal(found, expected["voltage_v"].to_numpy(), equal_nan=True)


# --- single files ---------------------------------------------------------------------------------


@pytest.mark.parametrize("file", FILES)
def test_a_single_file_is_all_parts_behind_one_header(
    packed: DataSet, parquet: DataSet, file: str
) -> None:
    name = file.partition(".")[0]
    text = text_of(packed.path / file)
    assert text == text_of(parquet.path / file)
    head, *rest = [text_of(path).partition(b"\n") for path in packed.paths(name)]
    assert text == b"\n".join([head[0], head[2] + b"".join(body for _, _, body in rest)])
    entry = next(e for e in packed.files if e["path"] == file)
    assert entry["rows"] == text.count(b"\n") - 1 == (2 * 24 + 3 * 6 + 8) * 6 * 288
    assert (entry["group"], entry["digests"]) == ("run", {})


def test_a_single_file_lies_by_string_block_jar_and_instant(whole: DataSet) -> None:
    lines = text_of(whole.path / FILES[1]).decode().splitlines()[1:]
    keys = [line.split(",")[:2] for line in lines]
    strings = list(dict.fromkeys(battery.rpartition("-J")[0] for _, battery in keys))
    order = [
        (strings.index(battery.rpartition("-J")[0]), ts[:10], battery, ts) for ts, battery in keys
    ]
    assert order == sorted(order)
    assert len({*order}) == len(order)


def test_a_large_run_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parquet: DataSet
) -> None:
    rows = (2 * 24 + 3 * 6 + 8) * 288
    for most, expected in ((rows, FILES), (rows - 1, [])):
        monkeypatch.setattr(plan, "SINGLE_FILE_ROWS", most)
        made = generated(tmp_path / str(most), {"run.duration_days": 1})
        assert sorted(path.name for path in made.path.glob("telemetry_*.csv*")) == expected
        assert [f["path"] for f in made.files if f["path"] in FILES] == expected[::-1]


def test_what_a_shorter_run_left_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what was exported from it, when a longer run has no single files."""
    changes = {"run.duration_days": 1, "select.limit_batteries": 1, "inject": None}
    made = generated(tmp_path, changes)
    assert (tmp_path / FILES[0]).exists()
    list(export(str(tmp_path), "csv", ["telemetry_env"]))
    monkeypatch.setattr(plan, "SINGLE_FILE_ROWS", 0)
    generated(tmp_path, changes)
    assert (tmp_path / "telemetry_env.csv").exists()
    generated(tmp_path, {**changes, "run.duration_days": 2})
    assert not any((made.path / name).exists() for name in (*FILES, "telemetry_env.csv"))
    assert (made.path / "feature_store.csv.gz").exists()


# --- export ---------------------------------------------------------------------------------------

Say = Callable[..., tuple[int, list[str], list[str]]]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    def say(*arguments: str | Path) -> tuple[int, list[str], list[str]]:
        code = main(["export", *map(str, arguments)])
        out, err = capsys.readouterr()
        return code, out.splitlines(), err.splitlines()

    return say


@pytest.fixture(params=["parquet", "csv.gz"])
def made(request: pytest.FixtureRequest, tmp_path: Path) -> DataSet:
    changes = {"run.duration_days": 2, "select.limit_batteries": 3, "output.format": request.param}
    return generated(tmp_path / "set", changes)


@pytest.mark.parametrize("form", ["csv.gz", "csv"])
def test_an_export_holds_what_the_parts_hold(
    packed: DataSet, parquet: DataSet, tmp_path: Path, say: Say, form: str
) -> None:
    tables = [word for name in TELEMETRY for word in ("--table", name)]
    for made in (packed, parquet):
        place = tmp_path / made.path.parent.name
        code, out, err = say(made.path, "--single-file", form, "--output-dir", place, *tables)
        assert (code, len(out), err) == (0, len(TELEMETRY), [])
        assert {p.name for p in place.iterdir()} == {f"{name}.{form}" for name in TELEMETRY}
        for name in TELEMETRY:
            found = by_key(read_csv(TABLES[name], place / f"{name}.{form}", ZONE), name)
            assert found.equals(parquet.read(name).combine_chunks()), name


def test_an_export_takes_the_guides_tables_and_may_be_made_again(made: DataSet, say: Say) -> None:
    before = {name: text_of(made.path / name) for name in FILES}
    for _ in range(2):
        code, out, err = say(made.path, "--single-file", "csv.gz")
        assert (code, err) == (0, [])
        assert [line.split(",")[0] for line in out] == [
            f"{name}.csv.gz in {made.path}: 1"
            for name in ("telemetry_jar_raw", "telemetry_jar_calc")
        ]
        assert text_of(made.path / "telemetry_jar_calc.csv.gz") == before[FILES[0]]
        assert text_of(made.path / FILES[1]) == before[FILES[1]]
    (made.path / FILES[0]).unlink()
    assert say(made.path, "--single-file", "csv", "--table", "telemetry_jar_calc")[0] == 0
    assert text_of(made.path / FILES[0]) == before[FILES[0]]


@pytest.mark.parametrize(
    "content",
    [b"", b"ts,battery_id\n", b"mine", gzip.compress(b"ts,battery_id,voltage_v\n1,2,3\n", mtime=0)],
)
def test_a_file_of_others_stays(made: DataSet, say: Say, content: bytes) -> None:
    for form in ("csv", "csv.gz"):
        stranger = made.path / f"telemetry_env.{form}"
        stranger.write_bytes(content)
        code, out, (line,) = say(
            *(made.path, "--single-file", form, "--table", "telemetry_jar_raw"),
            *("--table", "telemetry_env"),
        )
        assert (code, out) == (3, [])
        assert f"telemetry_env.{form} is there" in line
        assert "--output-dir" in line
        assert stranger.read_bytes() == content
        assert not (made.path / "telemetry_jar_raw.csv").exists()


def test_an_unfinished_set_is_refused(made: DataSet, tmp_path: Path, say: Say) -> None:
    (made.path / "_SUCCESS").unlink()
    for place in (made.path, tmp_path / "nowhere"):
        code, out, (line,) = say(place, "--single-file", "csv.gz", "--output-dir", tmp_path / "out")
        assert (code, out) == (3, [])
        assert "no finished data set" in line
    assert not (tmp_path / "out").exists()


def test_a_table_that_is_not_there_is_told(made: DataSet, say: Say) -> None:
    code, out, (line,) = say(made.path, "--single-file", "csv", "--table", "battery")
    assert (code, out) == (2, [])
    assert "--table battery: it is a single file already, battery.csv" in line
    code, out, (line,) = say(made.path, "--single-file", "csv", "--table", "jars")
    assert (code, out) == (2, [])
    assert "--table jars: no such table; known: telemetry_jar_raw, " in line
    assert say(made.path)[0] == 2
    assert say(made.path, "--single-file", "xml")[0] == 2


@pytest.mark.parametrize("harm", ["changed", "shorter", "empty", "other"])
def test_a_damaged_part_is_told_and_nothing_is_written(
    made: DataSet, tmp_path: Path, say: Say, harm: str
) -> None:
    path = made.paths("telemetry_jar_raw")[-1]
    data = path.read_bytes()
    middle = len(data) // 2
    harmed = {
        "changed": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :],
        "shorter": data[:-10],
        "empty": b"",
        "other": made.paths("telemetry_jar_calc")[-1].read_bytes(),
    }
    path.write_bytes(harmed[harm])
    for form in ("csv", "csv.gz"):
        code, out, (line,) = say(
            made.path, "--single-file", form, "--output-dir", tmp_path / "out",
            "--table", "telemetry_jar_raw",
        )  # fmt: skip
        assert (code, out) == (3, [])
        assert str(path.relative_to(made.path)) in line
    assert [p for p in (tmp_path / "out").rglob("*") if p.is_file()] == []


@pytest.mark.parametrize("form", ["csv.gz", "csv"])
def test_memory_does_not_grow_with_the_number_of_parts(made: DataSet, form: str) -> None:
    table = TABLES["telemetry_jar_raw"]
    store = open_store(str(made.path))
    files = manifest.read_manifest(store).files
    part = next(entry for entry in files if entry.path.startswith(f"{table.name}/"))

    def peak(parts: int) -> int:
        def read() -> None:
            size = sum(map(len, single_file(table, store, [part] * parts, 25_200, form)))
            assert size > parts * 4000

        return peak_bytes(read)

    peak(2)
    assert peak(60) < 2 * peak(4)
