"""Tables as each library has them: the chosen rows and columns, and no file or byte beyond."""

import re
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fleetgen
from fleetgen.config import load
from fleetgen.errors import ConfigError, StorageError
from fleetgen.io import manifest
from fleetgen.io.local import LocalStore
from fleetgen.pipeline import generate
from fleetgen.schema import RECORDS, TABLES
from fleetgen.selection import Selection
from tests import tiny
from tests.properties.plan import ROOT, DataSet, configured
from tests.readers import read_csv
from tests.servers import ObjectServer

# Libraries warn of each other: Dask uses what pandas will drop.
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"
)

ZONE = "Asia/Bangkok"
CHANGES = {"execution.block_days": 2, "run.sampling_seconds": 1800}
"""Six days from 2024-02-26 in parts of two, of six strings at two locations."""

DAYS = {"start": "2024-02-28", "end": "2024-03-01"}
"""The second of the three parts, by date."""

CHOICES: dict[str, dict[str, Any]] = {
    "all": {},
    "a battery": {"batteries": "NORTH-UPS-01-S1-J02"},
    "two batteries": {"batteries": ["NORTH-UPS-01-S1-J02", "SOUTH-UPS-01-S1-J08"]},
    "a location": {"locations": ["SOUTH"]},
    "a string": {"strings": "NORTH-UPS-01-S1", "columns": "voltage_v"},
    "days": DAYS,
    "a few hours": {"start": "2024-02-27T22:00", "end": datetime(2024, 2, 27, 19, tzinfo=UTC)},
    "all of it": {
        **DAYS,
        "locations": "NORTH",
        "batteries": ["NORTH-REC-01-S1-J01", "NORTH-UPS-01-S1-J02"],
        "columns": ["voltage_v", "temperature_c"],
    },
    "nothing": {"end": date(2024, 2, 26)},
}
FILES = {
    "all": 18,
    "a battery": 3,
    "two batteries": 6,
    "a location": 3,
    "a string": 3,
    "days": 6,
    "a few hours": 12,
    "all of it": 2,
    "nothing": 0,
}
"""Files of telemetry_jar_raw: strings x parts, by hand."""


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same data set in both formats."""
    found = {}
    for form in ("parquet", "csv.gz"):
        found[form] = tmp_path_factory.mktemp("set") / "set"
        generate(configured(found[form], {**CHANGES, "output.format": form}))
    return found


@pytest.fixture(scope="module")
def expected(places: dict[str, Path]) -> pd.DataFrame:
    """All rows of telemetry_jar_raw, read file by file without the package."""
    return frame_of(DataSet(places["parquet"]).read("telemetry_jar_raw"))


def frame_of(table: pa.Table | pd.DataFrame) -> pd.DataFrame:
    """Rows in an order of their own, texts as objects, instants in milliseconds."""
    frame = table.to_pandas() if isinstance(table, pa.Table) else table
    for name in frame.columns:
        if isinstance(frame[name].dtype, pd.DatetimeTZDtype):
            frame[name] = frame[name].dt.tz_convert("UTC").astype("datetime64[ms, UTC]")
        elif not pd.api.types.is_numeric_dtype(frame[name]):
            frame[name] = frame[name].astype(object)
    keys = [c for c in frame.columns if c in ("ts", "battery_id", "string_id")]
    return frame.sort_values(keys, ignore_index=True)


def chosen(frame: pd.DataFrame, **choice: Any) -> pd.DataFrame:
    """The same choice, made plainly on a frame."""
    keep = pd.Series(True, frame.index)
    ids = frame.battery_id.astype(str)
    for option, found in (
        ("batteries", ids),
        ("strings", ids.str.rpartition("-J")[0]),
        ("locations", ids.str.partition("-")[0]),
    ):
        if option in choice:
            wanted = choice[option]
            keep &= found.isin([wanted] if isinstance(wanted, str) else wanted)
    for option, sign in (("start", 1), ("end", -1)):
        if option in choice:
            at = pd.Timestamp(choice[option])
            at = at.tz_localize(ZONE) if at.tzinfo is None else at
            keep &= (frame.ts >= at) if sign > 0 else (frame.ts < at)
    names = choice.get("columns", frame.columns[2:])
    names = [names] if isinstance(names, str) else [*names]
    return frame.loc[keep, ["ts", "battery_id", *names]].reset_index(drop=True)


def by_polars(selection: Selection) -> Any:
    return selection.polars().collect().to_arrow()


def by_duckdb(selection: Selection) -> Any:
    import duckdb

    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return selection.duckdb(connection).to_arrow_table()


LIBRARIES: dict[str, Callable[[Selection], Any]] = {
    "pandas": lambda selection: selection.pandas(),
    "arrow": lambda selection: selection.arrow(),
    "dataset": lambda selection: selection.dataset().to_table(),
    "polars": by_polars,
    "duckdb": by_duckdb,
    "dask": lambda selection: selection.dask().compute(scheduler="synchronous"),
}


def same(found: Any, wanted: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(frame_of(found), wanted, check_dtype=False)


@pytest.mark.parametrize("form", ["parquet", "csv.gz"])
@pytest.mark.parametrize("choice", CHOICES)
def test_the_chosen_rows_and_files(
    places: dict[str, Path], expected: pd.DataFrame, form: str, choice: str
) -> None:
    selection = fleetgen.open(str(places[form])).table("telemetry_jar_raw", **CHOICES[choice])
    assert len(selection.files) == FILES[choice]
    same(selection.arrow(), chosen(expected, **CHOICES[choice]))


@pytest.mark.parametrize("form", ["parquet", "csv.gz"])
@pytest.mark.parametrize("library", LIBRARIES)
def test_every_library_has_the_same_rows(
    places: dict[str, Path], expected: pd.DataFrame, form: str, library: str
) -> None:
    data = fleetgen.open(str(places[form]))
    for choice in ("all of it", "nothing"):
        selection = data.table("telemetry_jar_raw", **CHOICES[choice])
        same(LIBRARIES[library](selection), chosen(expected, **CHOICES[choice]))
    battery = data.table("battery", "string_id", locations="SOUTH")
    whole = pd.read_csv(places[form] / "battery.csv")
    wanted = whole.loc[whole.location_id == "SOUTH", ["battery_id", "string_id"]]
    assert len(wanted) >= 8
    same(LIBRARIES[library](battery), wanted.astype(object).reset_index(drop=True))


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Keys of the data set that are read, each time anew."""
    found: list[str] = []
    for name in ("get_stream", "get_range"):
        before = getattr(LocalStore, name)

        def watched(self: LocalStore, key: str, *rest: Any, before: Any = before) -> Any:
            found.append(key)
            return before(self, key, *rest)

        monkeypatch.setattr(LocalStore, name, watched)
    return found


@pytest.mark.parametrize("form", ["parquet", "csv.gz"])
def test_no_other_file_is_opened(places: dict[str, Path], form: str, opened: list[str]) -> None:
    data = fleetgen.open(str(places[form]))
    selection = data.table("telemetry_jar_raw", **CHOICES["all of it"])
    control = {"_fleetgen/manifest.json", "_fleetgen/run.json", "battery.csv"}
    assert set(opened) == control
    opened.clear()
    selection.arrow()
    first = "month=2024-02/part-2024-02-28-2"
    suffix = "parquet" if form == "parquet" else "csv.gz"
    assert set(opened) == {
        f"telemetry_jar_raw/location=NORTH/string=NORTH-{name}/{first}.{suffix}"
        for name in ("REC-01-S1", "UPS-01-S1")
    }


def test_of_a_file_only_what_is_wanted_is_read(
    places: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []
    before = LocalStore.get_range

    def watched(self: LocalStore, key: str, first: int, length: int) -> bytes:
        data = before(self, key, first, length)
        taken.append(len(data))
        return data

    data = fleetgen.open(str(places["parquet"]))
    one = data.table("telemetry_jar_raw", "voltage_v", batteries="NORTH-REC-01-S1-J03", **DAYS)
    monkeypatch.setattr(LocalStore, "get_range", watched)
    assert one.arrow().num_rows == 96
    (file,) = one.files
    with pq.ParquetFile(places["parquet"] / file.path) as whole:
        footer = whole.metadata.serialized_size
        assert whole.num_row_groups == 24
    assert sum(taken) - max(footer, 1 << 16) < file.bytes / 8


def test_the_tables_that_close_with_the_run(places: dict[str, Path]) -> None:
    for place in places.values():
        data = fleetgen.open(str(place))
        assert set(TABLES) - set(data.tables) <= {table.name for table in RECORDS}
        for name in data.tables:
            path = place / f"{name}.csv"
            if not path.exists() or "/" in data.table(name).files[0].path:
                continue
            assert data.table(name).arrow().equals(read_csv(TABLES[name], path, ZONE)), name
        events = data.table("maintenance_event").pandas()
        late = data.table("maintenance_event", start="2024-02-28", strings="NORTH-UPS-01-S1")
        wanted = (events.started_at >= "2024-02-28") & (events.string_id == "NORTH-UPS-01-S1")
        assert late.pandas().event_id.tolist() == events[wanted].event_id.tolist()
        assert 0 < wanted.sum() < len(events)


def test_a_room_has_no_strings(places: dict[str, Path]) -> None:
    data = fleetgen.open(str(places["parquet"]))
    rooms = data.table("telemetry_env", locations="NORTH", **DAYS)
    assert rooms.pandas().sensor_id.unique().tolist() == ["NORTH-ENV-01"]
    with pytest.raises(ConfigError, match="strings: telemetry_env has no strings"):
        data.table("telemetry_env", strings="NORTH-UPS-01-S1")


def test_a_window_of_features_bears_its_end(places: dict[str, Path]) -> None:
    data = fleetgen.open(str(places["parquet"]))
    midnight = data.table("feature_store", start="2024-02-28", end="2024-02-28T00:30").pandas()
    assert len(midnight) == 2 * 24 + 3 * 6 + 8
    assert {f"{ts}" for ts in midnight.feature_ts} == {"2024-02-28 00:00:00+07:00"}


@pytest.mark.parametrize(
    ("name", "choice", "told"),
    [
        ("telemetry_jar", {}, "no such table 'telemetry_jar'; did you mean telemetry_jar_"),
        ("battery", {"columns": ["string"]}, "has no column 'string'; did you mean string_id"),
        ("alert", {"batteries": "NORTH-UPS-01-S1-J7"}, "did you mean NORTH-UPS-01-S1-J0"),
        ("alert", {"locations": "north"}, "locations: 'north' is not in this data set; known: "),
        ("rul_truth", {"strings": ["NORTH-UPS-01-S9"]}, "did you mean NORTH-UPS-01-S"),
        ("telemetry_env", {"batteries": "NORTH-UPS-01-S1-J01"}, "choose by strings or locations"),
        ("battery_model", {"locations": "NORTH"}, "locations: battery_model has no battery_id"),
        ("battery", {"start": "2024-02-26"}, "start, end: battery has no instants"),
        ("rul_truth", {"start": "yesterday"}, "start = 'yesterday': must be a date or an instant"),
        ("rul_truth", {"end": 20240226}, "end = 20240226: must be a date or an instant"),
        ("rul_truth", {"start": "2024-02-28", "end": "2024-02-28"}, "must lie before end"),
    ],
)
def test_what_there_is_not_is_told(
    places: dict[str, Path], name: str, choice: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        fleetgen.open(str(places["parquet"])).table(name, **choice)
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)


def test_damage_and_absence_are_told(tmp_path: Path) -> None:
    place = tiny.generate(tmp_path / "set", run__duration_days=0.5)
    store = LocalStore(str(place))
    there = manifest.read_manifest(store)
    few = [entry for entry in there.files if entry.table not in ("alert", "capacity_test_raw")]
    manifest.write_manifest(store, there.header, few)
    data = fleetgen.open(str(place))
    with pytest.raises(StorageError, match="has no table alert; it has telemetry_jar_raw"):
        data.table("alert")
    assert data.table("capacity_test_raw").pandas().empty  # a part without any has no file
    selection = data.table("telemetry_jar_raw")
    path = place / selection.files[0].path
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(StorageError, match="cannot be read as telemetry_jar_raw"):
        selection.pandas()
    path.unlink()
    with pytest.raises(StorageError, match="cannot read"):
        selection.pandas()
    with pytest.raises(StorageError, match="is missing, or behind a link"):
        selection.dataset()


@pytest.mark.parametrize("library", ["polars", "duckdb", "dask"])
def test_a_library_that_is_not_there(
    places: dict[str, Path], library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    selection = fleetgen.open(str(places["parquet"])).table("location")
    for name in [name for name in sys.modules if name.partition(".")[0] == library]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(
        ConfigError, match=rf"{library}.* is not installed here.*pip install '{library}"
    ):
        getattr(selection, library)()


def test_a_store_in_memory() -> None:
    generate(tiny.config(output__directory="memory://selection", run__duration_days=1))
    data = fleetgen.open("memory://selection")
    selection = data.table(
        "telemetry_jar_raw", "voltage_v", batteries=f"{tiny.LOCATION}-REC-01-S1-J02"
    )
    assert selection.pandas().voltage_v.tolist() == by_polars(selection)["voltage_v"].to_pylist()
    assert selection.arrow().num_rows == 288


@pytest.mark.slow
def test_the_example_of_the_documents_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "docs" / "loading.md").read_text("utf-8")
    example, *_ = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(tmp_path)
    generate(
        load(
            overrides={
                "run.duration_days": 1,
                "select.limit_batteries": 1,
                "execution.executor": "serial",
                "output.directory": "output/test",
            }
        )
    )
    seen: dict[str, Any] = {}
    exec(example, seen)
    assert seen["one"].pandas().ts.min().hour == 6
    assert seen["one"].columns == ("ts", "battery_id", "voltage_v", "temperature_c")


def test_a_selection_says_what_it_is(places: dict[str, Path]) -> None:
    data = fleetgen.open(str(places["parquet"]))
    assert repr(data).startswith(f"<data set at {places['parquet']}: telemetry_jar_raw, ")
    told = repr(data.table("telemetry_jar_raw", "voltage_v", locations="SOUTH"))
    assert told.startswith("<telemetry_jar_raw: at most 2,304 rows of 3 columns in 3 files, ")


@pytest.mark.slow
@pytest.mark.parametrize("form", ["parquet", "csv.gz"])
def test_on_an_object_store(s3_url: str, object_store: ObjectServer, form: str) -> None:
    option = f"endpoint_url={object_store.endpoint}"
    changes = {
        "output.storage_options": {"endpoint_url": object_store.endpoint},
        "output.format": form,
        "run.duration_days": 2,
        "run.sampling_seconds": 1800,
    }
    config = configured(s3_url, changes)
    generate(config)
    data = fleetgen.open(s3_url, [option])
    choice = {"batteries": "NORTH-UPS-01-S1-J02", "columns": "voltage_v", "start": "2024-02-27"}
    selection = data.table("telemetry_jar_raw", **choice)
    wanted = frame_of(selection.arrow())
    assert len(selection.files) == 1
    assert len(wanted) == 48
    for read in LIBRARIES.values():
        same(read(selection), wanted)


def test_duckdb_gives_instants_to_python(places: dict[str, Path]) -> None:
    """For which it wants a package that it does not bring."""
    import duckdb

    selection = fleetgen.open(places["parquet"]).table("telemetry_env", ["temperature_c"])
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        rows = selection.duckdb(connection).order("ts").limit(2).fetchall()
    wanted = selection.pandas().sort_values("ts")["ts"].iloc[:2]
    assert [row[0].timestamp() for row in rows] == [ts.timestamp() for ts in wanted]
