"""The examples compute what their page says."""

import importlib.util
import re
import runpy
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import fleetgen
from fleetgen.loading import DataSet as Opened
from fleetgen.schema import TABLES
from tests.properties.plan import ROOT, DataSet
from tests.servers import ObjectServer
from tests.tiny import TWO_SYSTEMS, config

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"
)
NEEDS_SKLEARN = pytest.mark.skipif(find_spec("sklearn") is None, reason="no scikit-learn")
NEEDS_DUCKDB = pytest.mark.skipif(find_spec("duckdb") is None, reason="no DuckDB")

EXAMPLES = sorted(path.stem for path in (ROOT / "examples").glob("*.py"))
STRINGS = {
    "UPS-01": {
        "kind": "UPS",
        "jars_per_string": 24,
        "strings": {f"S{i}": "HX12-120" for i in range(1, 7)},
    }
}
AILING = [f"DC-T-01-UPS-01-S{string}-J{jar:02d}" for string in (2, 4, 5) for jar in (3, 14)]
MODES = ("dry_out", "corrosion", "internal_short")
OFFSET = "DC-T-01-UPS-01-S1-J07"
INJECTED = [
    *(
        {
            "kind": "failure_mode",
            "value": MODES[i % 3],
            "target": jar,
            "at": "2024-09-01T00:00:00",
            "duration_days": 150.0,
        }
        for i, jar in enumerate(AILING)
    ),
    {
        "kind": "sensor_fault",
        "value": "loose_lead",
        "target": OFFSET,
        "at": "2025-01-03T00:00:00",
        "duration_days": 2.0,
    },
]


def example(name: str) -> ModuleType:
    """An example as a module; `examples` is no package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def generated(directory: Path | str, *systems: object, **overrides: object) -> str:
    """A small data set, and where it is."""
    from fleetgen import pipeline

    pipeline.generate(
        config(
            *systems,
            output__directory=str(directory),
            run__sampling_seconds=900,
            output__format="parquet",
            **overrides,
        )
    )
    return str(directory)


def measured(place: Path, name: str) -> pd.DataFrame:
    """A table by another reader."""
    return pd.concat(
        pq.read_table(f).to_pandas() for f in sorted((place / name).rglob("*.parquet"))
    )


@pytest.mark.parametrize("name", EXAMPLES)
def test_each_example_is_on_the_page_and_tells_how_to_use_it(
    name: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if name in {"train_rul", "detect_anomalies"}:
        pytest.importorskip("sklearn")
    if name == "load_test":
        pytest.importorskip("duckdb")
    assert f"\n## `{name}.py`: " in (ROOT / "examples" / "README.md").read_text("utf-8")
    with pytest.raises(SystemExit) as end:
        example(name).main([])
    assert end.value.code == 2
    assert "the following arguments are required" in capsys.readouterr().err
    script = ROOT / "examples" / f"{name}.py"
    monkeypatch.setattr("sys.argv", [str(script), *[str(tmp_path)] * (1 + (name == "train_rul"))])
    with pytest.raises(SystemExit, match="holds no finished data set; make it"):
        runpy.run_path(str(script), run_name="__main__")


# --- explore --------------------------------------------------------------------------------------


def test_explore_shows_the_jars_and_the_outage_that_the_files_hold(
    whole: DataSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "overview.png"
    example("explore").main([str(whole.path), str(picture)])
    told = capsys.readouterr().out
    # The least healthy unit of those there from the start, by the truth at the end of the run.
    health = measured(whole.path, "rul_truth").astype({"battery_id": str})
    first = health["ts"] == health["ts"].min()
    last = health.sort_values("ts").groupby("battery_id")["soh_pct"].last()
    last = last[health.loc[first, "battery_id"]]
    assert f"weakest: {last.idxmin()}, SOH {last.min():.1f} %" in told
    assert re.search(rf"^healthy: {last.idxmin().rpartition('-J')[0]}-J\d\d, ", told, re.MULTILINE)
    # The longest discharge, counted in samples in a row, less the injected capacity test.
    longest, where = 0, ""
    flow = measured(whole.path, "telemetry_string_raw").sort_values("ts")
    for string, rows in flow.groupby("string_id", observed=True):
        calm = (rows["mode"] != "discharge") | rows["generator_test_flag"]
        if string == "NORTH-UPS-01-S2":
            calm |= rows["ts"].between("2024-02-28T22:00+07:00", "2024-02-29T04:00+07:00")
        runs = re.findall("d+", "".join(np.where(calm, ".", "d")))
        if runs and len(max(runs, key=len)) > longest:
            longest, where = len(max(runs, key=len)), str(string)
    assert longest > 6
    string, start, end = re.findall(r"^outage: (\S+), (\S+ \S+) to (\S+)$", told, re.MULTILINE)[0]
    minutes = (pd.Timestamp(end) - pd.Timestamp(start[-5:])).total_seconds() / 60 % 1440
    assert (string, minutes) == (where, 5 * longest)
    rows = len(measured(whole.path, "telemetry_jar_raw"))
    assert re.search(rf"^telemetry_jar_raw +{rows:,} ", told, re.MULTILINE)
    if find_spec("matplotlib"):
        assert picture.read_bytes().startswith(b"\x89PNG")
        assert picture.stat().st_size > 20_000


def test_explore_does_without_matplotlib(
    whole: DataSet,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = example("explore")
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    module.main([str(whole.path), str(tmp_path / "none.png")])
    assert "matplotlib is not installed; pip install matplotlib" in capsys.readouterr().out
    assert not (tmp_path / "none.png").exists()


# --- detect_anomalies -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ailing(tmp_path_factory: pytest.TempPathFactory) -> Opened:
    """Six strings, six ailing jars in three of them, and a loose lead in a fourth."""
    place = tmp_path_factory.mktemp("ailing") / "set"
    return fleetgen.open(
        generated(place, STRINGS, run__duration_days=6, run__seed=3, inject=INJECTED)
    )


@NEEDS_SKLEARN
@pytest.mark.slow
def test_detectors_beat_chance_and_see_no_truth(
    ailing: Opened,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    module = example("detect_anomalies")
    table = Opened.table

    def only_measured(self: Opened, name: str, columns: object = None) -> object:
        assert TABLES[name].role != "truth"
        return table(self, name, columns)

    with monkeypatch.context() as patch:
        patch.setattr(Opened, "table", only_measured)
        scores = module.scored(module.daily(ailing))
    rows = module.with_truth(ailing, scores)
    assert set(AILING) <= set(rows.loc[rows["jar"].notna(), "battery_id"])
    chance = rows["jar"].notna().mean()
    assert 6 / 144 - 0.001 < chance < 0.1
    for name, found in module.judge(rows, "jar").iterrows():
        assert found["average precision"] > 4 * chance, name
        assert found["precision at k"] > 4 * chance, name
    # The loose lead is seen on its days, and before them on none.
    lead = rows[rows["battery_id"] == OFFSET]
    days = lead["day"].dt.strftime("%d").isin(["03", "04"])
    assert set(lead.loc[days, "sensor"]) == {"loose_lead"}
    score = rows["sensor: robust z"]
    assert (score[lead.index[days]] > score.quantile(0.95)).all()
    module.tell(rows, "jar", "ailing")
    assert "chance" in capsys.readouterr().out


@NEEDS_SKLEARN
def test_precision_is_counted_as_by_hand() -> None:
    module = example("detect_anomalies")
    rows = pd.DataFrame({"battery_id": list("abcde"), "jar": ["x", None, "y", None, None]})
    for name in module.DETECTORS:
        rows[f"jar: {name}"] = [5.0, 4.0, 3.0, 2.0, 1.0]
    found = module.judge(rows, "jar").loc["robust z"]
    # True ones at ranks 1 and 3: (1/1 + 2/3) / 2, and one of the first two.
    assert found.to_list() == pytest.approx([5 / 6, 1 / 2])
    alone = module.by_kind(rows, "jar", "robust z")
    # Of kind y, with x left out: rank 2 of 4.
    assert alone.loc["y", ["average precision", "chance"]].to_list() == pytest.approx(
        [1 / 2, 1 / 4]
    )


@NEEDS_SKLEARN
def test_a_string_is_judged_by_others_alone() -> None:
    """Other values in a string change no score but its own, and those it is learnt for."""
    module = example("detect_anomalies")
    draw = np.random.default_rng(1)
    days = pd.DataFrame(
        {
            "battery_id": [f"{s}-{j}" for s in "ab" for j in range(20)],
            "string_id": [s for s in "ab" for _ in range(20)],
            "location_id": "here",
            "day": pd.Timestamp("2025-01-01"),
            "over acceptance": 100.0,
            "missing": 0,
            **{f"{name} level": draw.normal(size=40) for name in module.LASTING},
            **{f"{name} range": draw.normal(size=40) for name in module.MOMENTARY},
        }
    )
    before = module.scored(days).set_index("battery_id")["jar: robust z"]
    changed = days["string_id"] == "a"
    after = module.scored(
        days.assign(**{c: days[c].where(~changed, days[c] * 3) for c in days if " level" in c})
    ).set_index("battery_id")["jar: robust z"]
    mine = before.index.str.startswith("a")
    # `a` is held against `b`, whose values are as they were: three times as far from about nought.
    assert (after[mine] > before[mine]).mean() > 0.9
    assert (after[~mine] < before[~mine]).mean() > 0.9
    with pytest.raises(SystemExit, match="one string alone"):
        module.scored(days[changed])


# --- load_test ------------------------------------------------------------------------------------


@NEEDS_DUCKDB
def test_lake_and_database_answer_alike(whole: DataSet, capsys: pytest.CaptureFixture[str]) -> None:
    module = example("load_test")
    module.main([str(whole.path), "--rounds", "2", "--replay", "1e9"])
    told = capsys.readouterr().out
    for name in module.TABLES:
        rows = len(measured(whole.path, name))
        for place in ("lake", "database"):
            assert re.search(rf"^{place} +all of {name} +{rows:,} rows ", told, re.MULTILINE)
    for query in module.QUERIES:
        assert re.search(rf"^{query.words} +([\d.]+ +){{3}}[\d.]+$", told, re.MULTILINE), told
    jars = 2 * 24 + 3 * 6 + 8
    assert f": {jars * 288:,} rows of 288 instants" in told


@NEEDS_DUCKDB
def test_the_farthest_jar_is_that_of_the_files(whole: DataSet) -> None:
    module = example("load_test")
    data = fleetgen.open(str(whole.path))
    asked = module.questions(data, 5)[-1]
    (query,) = [each for each in module.QUERIES if "farthest" in each.words]
    rows = measured(whole.path, "telemetry_jar_raw").astype({"battery_id": str})
    rows = rows[rows["battery_id"].str.startswith(f"{asked.string_id}-J")]
    rows = rows[(rows["ts"] >= asked.start) & (rows["ts"] < asked.end)]
    means = rows.astype({"voltage_v": "float64"}).groupby("battery_id")["voltage_v"].mean()
    apart = means - means.median()
    ((jar, value),) = module.ask_lake(data, query, asked)
    assert jar == apart.abs().idxmax()
    assert value == pytest.approx(apart[jar], abs=1e-5)


# --- train_rul ------------------------------------------------------------------------------------


@NEEDS_SKLEARN
@pytest.mark.slow
def test_a_model_of_one_seed_predicts_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Better than the mean life, and not so well that something must have leaked."""
    places = [
        generated(tmp_path / f"{seed}", STRINGS, run__seed=seed, run__duration_days=4)
        for seed in (1, 2)
    ]
    example("train_rul").main(places)
    told = capsys.readouterr().out
    mean, model = (float(x) for x in re.findall(r"^RMSE, .*?(\d+) d$", told, re.MULTILINE))
    assert 0.14 * mean < model < 0.95 * mean


@NEEDS_SKLEARN
@pytest.mark.slow
def test_an_object_store_gives_what_a_directory_gives(
    object_store: ObjectServer, s3_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module = example("train_rul")
    option = f"endpoint_url={object_store.endpoint}"
    here = generated(tmp_path / "set", TWO_SYSTEMS)
    there = generated(s3_url, TWO_SYSTEMS, output__storage_options={"endpoint_url": option[13:]})
    local, label = module.labelled(fleetgen.open(here))
    features, remote = module.labelled(fleetgen.open(there, [option]))
    assert len(local) == 2 * 8
    pd.testing.assert_frame_equal(features, local)
    pd.testing.assert_series_equal(remote, label)
    module.main([there, there, "--storage-option", option])
    assert "rows            16 to learn from, 16 to judge by" in capsys.readouterr().out
    for name in ("explore", "detect_anomalies"):
        example(name).main([here])
        expected = capsys.readouterr().out
        example(name).main([there, "--storage-option", option])
        assert capsys.readouterr().out == expected, name
    if find_spec("duckdb"):
        example("load_test").main([there, "--rounds", "1", "--storage-option", option])
        told = capsys.readouterr().out
        assert re.search(rf"^database +all of telemetry_jar_raw +{8 * 2 * 96:,} rows", told, re.M)
        assert "DIFFER" not in told


@NEEDS_SKLEARN
def test_labels_are_those_of_their_day(whole: DataSet) -> None:
    """By the states at the end, which fall by a day each day."""
    module = example("train_rul")
    data = fleetgen.open(str(whole.path))
    days = module.daily_features(data)
    label = module.remaining_days(data, days)
    end = days["day"].max() + pd.Timedelta(days=1)
    checked = 0
    for battery, state in whole.states.items():
        mine = days["battery_id"] == battery
        if state["rul_days"] and not state["failed"] and mine.sum() == 6:
            to_the_end = (end - days.loc[mine, "day"]).dt.days
            want = np.minimum(state["rul_days"] + to_the_end, module.LONGEST_DAYS)
            assert label[mine].to_numpy() == pytest.approx(want, abs=0.01)
            checked += 1
    assert checked > 50
    # A unit that came in the run has no truth at the midnight before.
    assert days.loc[label.isna(), "battery_id"].to_list() == ["NORTH-UPS-01-S1-J03-R2"]
