"""Features with the truth of their day: what a model is trained on."""

from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

import fleetgen
from fleetgen.errors import ConfigError, StorageError
from fleetgen.io import manifest
from fleetgen.io.store import open_store
from fleetgen.pipeline import generate
from tests import tiny
from tests.servers import ObjectServer

LABELS = ("soh_pct", "rul_days", "eol_reason", "rul_censored", "failure_mode")
DAYS = 3
START = pd.Timestamp("2025-01-01", tz="Asia/Bangkok")
JARS = [f"DC-T-01-REC-01-S1-J{n:02d}" for n in (1, 2, 3)]

PLAN = {
    "run__duration_days": DAYS,
    "run__sampling_seconds": 600,
    "execution__block_days": 2,
    "scenario__profiles": {
        "usual": {"share": 1.0, "soh_per_year": 0.02, "resistance_per_year": 0.02},
        "lasting": {"share": 0.0, "soh_per_year": 0.001, "resistance_per_year": 0.0},
    },
    "inject": [
        {
            "kind": "failure_mode",
            "target": JARS[0],
            "at": "2025-01-02T00:00:00",
            "duration_days": 60,
            "value": "dry_out",
        },
        {"kind": "profile", "target": JARS[1], "value": "lasting"},
    ],
}
"""One jar fails from the second day on, one outlives the horizon, one wears out."""

MANY_STRINGS = {
    "UPS-01": {
        "kind": "UPS",
        "jars_per_string": 2,
        "strings": {f"S{n}": "HX12-120" for n in range(1, 7)},
    }
}
"""Enough of them that each side of the split has one."""


def truth_of(place: Path) -> pd.DataFrame:
    """The labels as they lie in the files."""
    paths = sorted((place / "rul_truth").rglob("*.parquet"))
    assert len(paths) == 2
    return pd.concat(pq.ParquetFile(path).read().to_pandas() for path in paths)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same three days in both formats."""
    found = {}
    for form in ("parquet", "csv.gz"):
        place = tmp_path_factory.mktemp("set") / "set"
        found[form] = tiny.generate(place, output__format=form, **PLAN)
    return found


def test_each_row_has_the_label_of_its_day(places: dict[str, Path]) -> None:
    frame = fleetgen.open(str(places["parquet"])).training_frame()
    features = pd.read_csv(places["parquet"] / "feature_store.csv.gz", parse_dates=["feature_ts"])
    assert len(frame) == len(features) == len(JARS) * DAYS * 24
    assert frame.columns.tolist() == [*features.columns, "label_ts", *LABELS]
    truth = truth_of(places["parquet"]).set_index(["battery_id", "ts"]).sort_index()
    assert len(truth) == len(JARS) * DAYS
    for _, row in frame.iterrows():
        since = row.feature_ts - START
        day = min(since.days, DAYS - 1)  # the last window ends with the run
        assert row.label_ts == START + pd.Timedelta(days=day)
        expected = truth.loc[row.battery_id, row.label_ts]
        for name in LABELS:
            assert row[name] == expected[name] or pd.isna([row[name], expected[name]]).all()
        # By hand, from the plan.
        n = JARS.index(row.battery_id)
        assert row.eol_reason == "mode" if n == 0 else n == 1 or row.eol_reason == "wear_out"
        assert (pd.isna(row.rul_days), pd.isna(row.eol_reason), row.rul_censored) == (n == 1,) * 3
        assert (row.failure_mode == "dry_out") == (n == 0 and day >= 1)
        assert pd.notna(row.failure_mode) == (n == 0 and day >= 1)
        if n != 1:
            first = truth.loc[row.battery_id, START].rul_days
            assert row.rul_days == pytest.approx(first - day, abs=2e-3)
    assert frame.v_mean.notna().all()


def test_both_formats_give_the_same(places: dict[str, Path]) -> None:
    one, other = (fleetgen.open(str(place)).training_frame() for place in places.values())
    for name in ("eol_reason", "failure_mode"):
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


def test_one_hour_or_label_needs_no_list(places: dict[str, Path]) -> None:
    data = fleetgen.open(str(places["parquet"]))
    one = data.training_frame("v_mean", "soh_pct", JARS[0], 0)
    many = data.training_frame(["v_mean"], ["soh_pct"], [JARS[0]], [0])
    pd.testing.assert_frame_equal(one, many)
    assert len(one) == DAYS
    assert (one.feature_ts.dt.hour == 0).all()


def test_a_side_of_the_split_comes_in_one_call(tmp_path: Path) -> None:
    """Held against `split.csv` as pandas reads it; the three sides are all there is."""
    place = tiny.generate(tmp_path / "set", MANY_STRINGS, run__sampling_seconds=3600)
    data = fleetgen.open(str(place))
    table = pd.read_csv(place / "split.csv")
    assert {*table["split"]} == {"train", "validation", "test"}
    whole = data.training_frame()
    rows = 0
    for side in ("train", "validation", "test"):
        frame = data.training_frame(split=side)
        kept = whole[whole.battery_id.isin(table.battery_id[table["split"] == side])]
        pd.testing.assert_frame_equal(frame, kept.reset_index(drop=True))
        rows += len(frame)
        chosen = [table.battery_id[0], table.battery_id.iloc[-1]]
        some = data.training_frame(batteries=chosen, split=side, at_hours=0)
        kept = frame[frame.battery_id.isin(chosen) & (frame.feature_ts.dt.hour == 0)]
        pd.testing.assert_frame_equal(some, kept.reset_index(drop=True), check_dtype=len(kept) > 0)
    assert rows == len(whole) > 0


def test_a_side_without_a_string_is_empty(places: dict[str, Path]) -> None:
    """Of one string two sides are empty, and say so by having no row."""
    data = fleetgen.open(str(places["parquet"]))
    frames = [data.training_frame(split=side) for side in ("train", "validation", "test")]
    assert sorted(map(len, frames)) == [0, 0, len(JARS) * DAYS * 24]
    assert len({tuple(frame.columns) for frame in frames}) == 1


@pytest.mark.parametrize(
    ("chosen", "told"),
    [
        ({"columns": ["v_men"]}, "columns: feature_store has no column 'v_men'"),
        ({"labels": ["soh"]}, "labels: rul_truth has no column 'soh'"),
        ({"batteries": [*JARS, "DC-T-01-REC-01-S1-J04"]}, "batteries: 'DC-T-01-REC-01-S1-J04'"),
        ({"labels": "soh"}, "labels: rul_truth has no column 'soh'"),
        ({"at_hours": [24]}, "at_hours = 24: no hour of the day; give whole numbers from 0 to 23"),
        ({"at_hours": -1}, "at_hours = -1"),
        ({"at_hours": "midnight"}, "at_hours = 'm'"),
        ({"at_hours": [None, "0"]}, "at_hours = None"),
        ({"batteries": 3}, "batteries = 3: must be a name or a list of names"),
        ({"columns": 3}, "columns = 3: must be a name or a list of names"),
        ({"split": "tests"}, "split = 'tests': no such split; did you mean test?"),
    ],
)
def test_what_there_is_not_is_told(places: dict[str, Path], chosen: dict, told: str) -> None:
    with pytest.raises(ConfigError, match=told.replace("[", r"\[")):
        fleetgen.open(str(places["parquet"])).training_frame(**chosen)


def test_what_cannot_be_read_is_told(tmp_path: Path, places: dict[str, Path]) -> None:
    with pytest.raises(StorageError, match="no finished data set"):
        fleetgen.open(tmp_path)
    with pytest.raises(ConfigError, match="url = None: must be a directory or s3://"):
        fleetgen.open(None)  # type: ignore[arg-type]
    short = tiny.generate(tmp_path / "short", run__duration_days=0.03)
    assert len(fleetgen.open(str(short)).training_frame()) == 0  # shorter than a window
    bare = tiny.generate(tmp_path / "bare", run__duration_days=0.5)
    store = open_store(str(bare))
    there = manifest.read_manifest(store)
    kept = [entry for entry in there.files if entry.table != "rul_truth"]
    manifest.write_manifest(store, there.header, kept)
    with pytest.raises(StorageError, match="no table rul_truth"):
        fleetgen.open(str(bare)).training_frame()
    manifest.write_manifest(store, there.header, there.files)
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
            **PLAN,
        )
    )
    remote = fleetgen.open(s3_url, [f"endpoint_url={endpoint}"]).training_frame()
    pd.testing.assert_frame_equal(remote, fleetgen.open(str(places["parquet"])).training_frame())
