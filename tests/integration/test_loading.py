"""Features with the truth of their day: what a model is trained on."""

import gzip
import hashlib
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fleetgen
from fleetgen.errors import ConfigError, StorageError
from fleetgen.io import manifest
from fleetgen.io.store import Store, open_store
from fleetgen.pipeline import generate
from fleetgen.schema import TABLES, Column, Table
from fleetgen.spec import FileEntry
from tests import tiny
from tests.servers import ObjectServer

LABELS = ("soh_pct", "rul_days", "rul_censored", "eol_reason", "failure_mode")
DAYS = 3
START = pd.Timestamp("2025-01-01", tz="Asia/Bangkok")
JARS = [f"DC-T-01-REC-01-S1-J{n:02d}" for n in (1, 2, 3)]


def _truth() -> Table:
    return Table(
        "rul_truth",
        "truth",
        "jar, day",
        ("ts", "battery_id"),
        "string",
        (
            Column("ts", "instant", "local midnight"),
            Column("battery_id", "id", "the jar"),
            Column("soh_pct", "float", "state of health", "%", 1000),
            Column("rul_days", "float", "remaining life", "d", 1000, True),
            Column("rul_censored", "bool", "beyond the horizon"),
            Column("eol_reason", "category", "what ends it", nullable=True),
            Column("failure_mode", "category", "mode that has begun", nullable=True),
        ),
        "Truth for this test.",
    )


def labels() -> pd.DataFrame:
    """Labels that name their battery and day."""
    rows = [
        {
            "ts": START + pd.Timedelta(days=d),
            "battery_id": jar,
            "soh_pct": 100.0 - 10 * n - d,
            "rul_days": None if n == 2 else 1000.0 * n - d,
            "rul_censored": n == 2,
            "eol_reason": None if n == 2 else "wear_out",
            "failure_mode": "dry_out" if (n, d) == (1, 2) else None,
        }
        for n, jar in enumerate(JARS)
        for d in range(DAYS)
    ]
    return pd.DataFrame(rows).astype({"soh_pct": "float32", "rul_days": "float32"})


def add_labels(store: Store, form: str) -> None:
    """Put labels into a data set, in two parts, as a table of it."""
    there = manifest.read_manifest(store)
    entries = [entry for entry in there.files if entry.table != "rul_truth"]
    frame = labels()
    for number, part in enumerate((frame[frame.ts < START + pd.Timedelta(days=2)], frame)):
        part = part if number == 0 else frame[frame.ts >= START + pd.Timedelta(days=2)]
        path = f"rul_truth/location=DC-T-01/string=S1/month=2025-01/part-{number}.{form}"
        if form == "parquet":
            sink = pa.BufferOutputStream()
            rows = pa.Table.from_pandas(part, preserve_index=False)
            stamp = pa.timestamp("ms", "Asia/Bangkok")
            pq.write_table(rows.set_column(0, "ts", rows["ts"].cast(stamp)), sink)
            data = sink.getvalue().to_pybytes()
        else:
            stamps = part.ts.map(lambda t: t.isoformat())
            text = part.assign(ts=stamps, rul_censored=part.rul_censored.map(str).str.lower())
            data = gzip.compress(text.to_csv(index=False).encode())
        store.put(path, data)
        sha = hashlib.sha256(data).hexdigest()
        entries.append(FileEntry("rul_truth", path, len(part), len(data), sha, "S1"))
    manifest.write_manifest(store, there.header, entries)


@pytest.fixture(autouse=True)
def table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TABLES, "rul_truth", _truth())


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same three days in both formats, with labels."""
    found = {}
    for form in ("parquet", "csv.gz"):
        place = tmp_path_factory.mktemp("set") / "set"
        tiny.generate(
            place,
            run__duration_days=DAYS,
            run__sampling_seconds=600,
            output__format=form,
            execution__block_days=2,
        )
        add_labels(open_store(str(place)), form)
        found[form] = place
    return found


def test_each_row_has_the_label_of_its_day(places: dict[str, Path]) -> None:
    frame = fleetgen.open(str(places["parquet"])).training_frame()
    features = pd.read_csv(places["parquet"] / "feature_store.csv.gz", parse_dates=["feature_ts"])
    assert len(frame) == len(features) == len(JARS) * DAYS * 24
    assert frame.columns.tolist() == [*features.columns, "label_ts", *LABELS]
    for _, row in frame.iterrows():
        since = row.feature_ts - START
        day = min(since.days, DAYS - 1)  # the last window ends with the run
        assert row.label_ts == START + pd.Timedelta(days=day)
        n = JARS.index(row.battery_id)
        assert row.soh_pct == 100 - 10 * n - day
        assert pd.isna(row.rul_days) if n == 2 else row.rul_days == 1000 * n - day
        assert (row.failure_mode == "dry_out") == ((n, day) == (1, 2))
    assert frame.v_mean.notna().all()


def test_both_formats_give_the_same(places: dict[str, Path]) -> None:
    one, other = (fleetgen.open(str(place)).training_frame() for place in places.values())
    for name in LABELS[2:]:
        one[name], other[name] = (
            f[name].astype(object).where(f[name].notna()) for f in (one, other)
        )
    pd.testing.assert_frame_equal(one, other, check_dtype=False)
    assert one.feature_ts.dt.tz is not None
    assert one.dtypes["v_mean"] == other.dtypes["v_mean"]


def test_a_chosen_sample(places: dict[str, Path]) -> None:
    chosen = {"columns": ["v_mean"], "labels": ["soh_pct"], "batteries": JARS[:2], "at_hours": [0]}
    for place in places.values():
        data = fleetgen.open(str(place))
        frame, whole = data.training_frame(**chosen), data.training_frame()
        assert frame.columns.tolist() == [
            "feature_ts",
            "battery_id",
            "v_mean",
            "label_ts",
            "soh_pct",
        ]
        kept = whole[whole.battery_id.isin(JARS[:2]) & (whole.feature_ts.dt.hour == 0)]
        pd.testing.assert_frame_equal(frame, kept[frame.columns].reset_index(drop=True))
        assert len(frame) == 2 * DAYS


@pytest.mark.parametrize(
    ("chosen", "told"),
    [
        ({"columns": ["v_men"]}, "columns: feature_store has no column 'v_men'"),
        ({"labels": ["soh"]}, "labels: rul_truth has no column 'soh'"),
        ({"batteries": [*JARS, "DC-T-01-REC-01-S1-J04"]}, "batteries: 'DC-T-01-REC-01-S1-J04'"),
        ({"at_hours": [24]}, "at_hours = 24"),
    ],
)
def test_what_there_is_not_is_told(places: dict[str, Path], chosen: dict, told: str) -> None:
    with pytest.raises(ConfigError, match=told.replace("[", r"\[")):
        fleetgen.open(str(places["parquet"])).training_frame(**chosen)


def test_what_cannot_be_read_is_told(tmp_path: Path, places: dict[str, Path]) -> None:
    with pytest.raises(StorageError, match="no finished data set"):
        fleetgen.open(str(tmp_path))
    short = tiny.generate(tmp_path / "short", run__duration_days=0.03)
    add_labels(open_store(str(short)), "parquet")
    assert len(fleetgen.open(str(short)).training_frame()) == 0  # shorter than a window
    bare = tiny.generate(tmp_path / "bare", run__duration_days=0.5)
    store = open_store(str(bare))
    there = manifest.read_manifest(store)
    kept = [entry for entry in there.files if entry.table != "rul_truth"]
    manifest.write_manifest(store, there.header, kept)
    with pytest.raises(StorageError, match="no table rul_truth"):
        fleetgen.open(str(bare)).training_frame()
    add_labels(store, "parquet")
    next(iter(sorted((bare / "feature_store").rglob("*.parquet")))).write_bytes(b"PAR1")
    with pytest.raises(StorageError, match="cannot be read as feature_store"):
        fleetgen.open(str(bare)).training_frame()


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"
)
def test_on_an_object_store(
    s3_url: str, object_store: ObjectServer, places: dict[str, Path]
) -> None:
    endpoint = object_store.endpoint
    generate(
        tiny.config(
            output__directory=s3_url,
            output__storage_options={"endpoint_url": endpoint},
            run__duration_days=DAYS,
            run__sampling_seconds=600,
            execution__block_days=2,
        )
    )
    add_labels(open_store(s3_url, (("endpoint_url", endpoint),)), "parquet")
    remote = fleetgen.open(s3_url, [f"endpoint_url={endpoint}"]).training_frame()
    pd.testing.assert_frame_equal(remote, fleetgen.open(str(places["parquet"])).training_frame())
