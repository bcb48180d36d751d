"""A longer run over a shorter one: parts are added, what closes with the run is made again."""

import gzip
import hashlib
import json
from collections.abc import Iterator
from datetime import date, timedelta
from io import StringIO
from itertools import pairwise
from pathlib import Path

import pytest

from fleetgen.cli import main
from fleetgen.errors import StorageError
from fleetgen.io import manifest
from fleetgen.io.store import open_store
from fleetgen.pipeline import Progress, generate
from fleetgen.progress import reporter
from fleetgen.schema import PARTED
from tests.conftest import Make
from tests.integration.test_generate import command, tree
from tests.properties.plan import PLAN, Changes, DataSet, configured, differing, generated

FIRST = date.fromisoformat(str(PLAN["run.start_date"]))
ENTITIES = ("location", "battery_model", "battery_system", "string", "battery", "split")
DERIVED = ("anomaly", "maintenance_event", "alert", "rul_prediction")
JOINED = ("feature_store.csv.gz", "telemetry_jar_raw.csv.gz", "telemetry_jar_calc.csv")
CLOSING = ("battery_states.json", *JOINED, *(f"{name}.csv" for name in (*ENTITIES, *DERIVED)))
"""What closes with a run, but for the report, which counts files."""

QUIET: Changes = {"inject": None}
"""Without injections, which a shorter plan would have to leave out."""

BY_MONTH: Changes = {**QUIET, "execution.block_days": 31}
"""Blocks as long as months and extents let them be."""


def extended(path: Path, *days: float, changes: Changes | None = None) -> DataSet:
    """A data set made and extended to each duration in turn, its parts left alone each time."""
    made, before = DataSet(path), {}
    for duration in days:
        made = generated(path, {**(changes or {}), "run.duration_days": duration})
        after = tree(path)
        assert {name: after[name] for name in before} == before
        before = {name: state for name, state in after.items() if is_of_a_part(name)}
    return made


def is_of_a_part(name: str) -> bool:
    kept = ("_fleetgen/receipts/", "_fleetgen/extents/", "_fleetgen/run.json")
    return name.startswith((*(f"{table.name}/" for table in PARTED), *kept))


def lines_of(made: DataSet, name: str) -> list[bytes]:
    """Lines of a file that closes with the run; sorted where parts are joined in their order."""
    data = (made.path / name).read_bytes()
    found = (gzip.decompress(data) if name.endswith(".gz") else data).splitlines()
    return sorted(found) if name in JOINED else found


def assert_equal(made: DataSet, undisturbed: DataSet) -> None:
    """Equal values, part by part, and equal files of what closes with the run."""
    assert differing(made.digests, undisturbed.digests) == []
    for name in CLOSING:
        assert lines_of(made, name) == lines_of(undisturbed, name), name
    assert {f["path"] for f in made.files} == {
        p.relative_to(made.path).as_posix()
        for p in made.path.rglob("*")
        if p.is_file() and not p.relative_to(made.path).as_posix().startswith("_")
    }
    for entry in made.files:
        data = (made.path / entry["path"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == entry["sha256"], entry["path"]


# --- longer ---------------------------------------------------------------------------------------


def test_three_days_extended_to_six_are_the_six(tmp_path: Path, whole: DataSet) -> None:
    made = extended(tmp_path / "set", 3, 6)
    assert_equal(made, whole)
    assert made.unlike(whole) == []  # blocks of a day end where the extent did
    # Pieces of the feature file are made again from the old parts' own files.
    for name in ("DATA_GENERATION_REPORT.md", "feature_store.csv.gz"):
        assert (made.path / name).read_bytes() == (whole.path / name).read_bytes()
    assert manifest.read_extents(open_store(str(made.path))) == (3 * 86_400, 6 * 86_400)


@pytest.mark.parametrize("days", [(3, 4, 6), (1, 5, 6)])
def test_blocks_are_cut_at_every_extent(tmp_path: Path, make: Make, days: tuple[int, ...]) -> None:
    """February ends within both: 26 to 29 is cut, as March is."""
    made = extended(tmp_path / "set", *days, changes=BY_MONTH)
    assert_equal(made, make(BY_MONTH))
    edges = sorted({0, 4, *days})
    blocks = {f"part-{FIRST + timedelta(a)}-{b - a}" for a, b in pairwise(edges)}
    assert {p.stem for p in made.paths("telemetry_jar_raw")} == blocks


@pytest.mark.slow
def test_samples_that_divide_no_day_and_an_end_within_one(tmp_path: Path, make: Make) -> None:
    changes: Changes = {**BY_MONTH, "run.sampling_seconds": 70}
    made = extended(tmp_path / "set", 1, 4, 5.3, changes=changes)
    assert_equal(made, make({**changes, "run.duration_days": 5.3}))


def test_a_shorter_run_that_did_not_end_may_be_extended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: DataSet
) -> None:
    place, put = tmp_path / "set", manifest.write_receipt

    def some(store: object, receipt: object) -> None:
        if manifest.receipts_done(store).__len__() == 7:
            raise StorageError("no more")
        put(store, receipt)

    with monkeypatch.context() as patch:
        patch.setattr(manifest, "write_receipt", some)
        with pytest.raises(StorageError, match="no more"):
            generated(place, {"run.duration_days": 3})
    assert len(manifest.receipts_done(open_store(str(place)))) == 7
    made = extended(place, 6)
    assert made.unlike(whole) == []


def test_only_new_parts_are_computed_and_the_run_says_so(tmp_path: Path) -> None:
    place = tmp_path / "set"
    generated(place, {**QUIET, "run.duration_days": 1})
    seen: list[Progress] = []
    generate(configured(place, {**QUIET, "run.duration_days": 2}), seen.append)
    stages = {now.stage: now for now in seen}
    work = ["slow path", "parts", "histories", "reduce"]
    assert list(stages) == ["planned", "extended", *work, "complete"]
    assert (stages["extended"].jobs_done, stages["extended"].jobs) == (8, 16)
    assert (stages["parts"].jobs_done, stages["parts"].jobs) == (8, 8)
    assert stages["parts"].rows_done == stages["parts"].rows
    assert (stages["histories"].jobs_done, stages["histories"].jobs) == (8, 8)
    for said in (
        "extends a data set of this plan from 2 days: 16 of 24 parts made\n",
        "joins a data set of this plan: 24 of 24 parts made\n",
    ):
        tell, _ = reporter("plain", told := StringIO())
        generate(configured(place, {**QUIET, "run.duration_days": 3}), tell)
        assert said in told.getvalue()


# --- the mark of completeness ---------------------------------------------------------------------


def test_the_mark_goes_before_the_first_new_part_and_comes_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In whatever state it stops, the marked set is whole, and the manifest names what is there."""
    from fleetgen.io.local import LocalStore

    place = tmp_path / "set"
    short = generated(place, {"run.duration_days": 1})
    before, marked = tree(place), []
    put = LocalStore.put_stream

    def watched(self: LocalStore, key: str, chunks: Iterator[bytes], size: object = None) -> int:
        if not key.startswith("_probe"):
            marked.append((key, (place / "_SUCCESS").exists()))
        if not any(name == manifest.MANIFEST for name, _ in marked):
            assert short.manifest == (place / manifest.MANIFEST).read_bytes()
            names = {f["path"] for f in json.loads(short.manifest)["files"] if f["digests"]}
            now = {name: (place / name).stat().st_mtime_ns for name in names}
            assert now == {name: before[name][0] for name in names}
        return put(self, key, chunks, size)

    monkeypatch.setattr(LocalStore, "put_stream", watched)
    generated(place, {"run.duration_days": 2})
    assert [key for key, there in marked if there] == []
    assert [key for key, _ in marked][-2:] == [manifest.MANIFEST, "_SUCCESS"]


def test_a_mark_of_the_shorter_run_is_not_believed(tmp_path: Path) -> None:
    """As when a run was cut short between its extent and the mark."""
    place = tmp_path / "set"
    generated(place, {"run.duration_days": 1})
    manifest.extend(open_store(str(place)), (86_400, 2 * 86_400))
    made = generated(place, {"run.duration_days": 2})
    assert {day for _, _, day in made.digests} == {"2024-02-26", "2024-02-27"}


# --- refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("there", "asked", "reason"),
    [
        (2, 1, "holds 2 days of this plan, not 1 day: no part is taken away"),
        (1.5, 2, "only whole days can be extended"),
        (1.5, 1, "no part is taken away"),
    ],
)
def test_what_would_take_away_or_rewrite_is_refused(
    make: Make, capsys: pytest.CaptureFixture[str], there: float, asked: float, reason: str
) -> None:
    made = make({"run.duration_days": there})
    before = tree(made.path)
    assert main(command(made.path, changes={"run.duration_days": asked})) == 3
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert reason in err
    assert f"Give --duration-days {there:g}" in err
    assert tree(made.path) == before


def test_another_plan_of_another_duration_is_refused_with_the_plan(
    make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    made = make({"run.duration_days": 1})
    assert main(command(made.path, changes={"run.duration_days": 2, "run.seed": 5})) == 3
    err = capsys.readouterr().err
    assert "run.seed: 109 -> 5" in err
    assert "duration" not in err


@pytest.mark.slow
def test_a_run_that_is_outgrown_does_not_close(tmp_path: Path, whole: DataSet) -> None:
    """Whatever the moment: before it closes, or when it has just closed."""
    for stage in ("parts", "histories", "reduce"):
        place = tmp_path / stage

        def outgrown(now: Progress, stage: str = stage, place: Path = place) -> None:
            if now.stage == stage and now.jobs_done in (0, now.jobs):
                manifest.extend(open_store(str(place)), (3 * 86_400, 6 * 86_400))

        with pytest.raises(StorageError, match="was given 6 days by another run, while this one"):
            generate(configured(place, {"run.duration_days": 3}), outgrown)
        assert not (place / "_SUCCESS").exists()
        assert generated(place).unlike(whole) == []


def test_receipts_of_unknown_parts_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As when the extent was lost, and another duration is given."""
    place = tmp_path / "set"
    generated(place, {**BY_MONTH, "run.duration_days": 2})
    (place / "_fleetgen" / "extents" / "0000.json").unlink()
    before = tree(place)
    assert main(command(place, changes={**BY_MONTH, "run.duration_days": 3})) == 3
    err = capsys.readouterr().err
    assert "holds 8 receipts of parts that this plan does not have, the first of 'NORTH" in err
    assert "Give the --duration-days that it had" in err
    assert tree(place) == before
    assert main(command(place, changes={**BY_MONTH, "run.duration_days": 2})) == 0
    assert tree(place).keys() == before.keys() | {"_fleetgen/extents/0000.json"}
