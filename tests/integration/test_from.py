"""A manifest, a run.json or a data set is enough to make the same data set elsewhere."""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest

from fleetgen.cli import main
from fleetgen.config import load
from fleetgen.pipeline import generate, repeated
from fleetgen.verify import verify
from tests import tiny
from tests.integration.test_verify import MANIFEST, RUN, forged, told, tree
from tests.properties.plan import SERIES, DataSet, differing

OUTAGE = {
    "kind": "outage",
    "target": "DC-T-01",
    "at": "2025-01-01T06:00:00",
    "duration_minutes": 90.0,
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cut selection, an injection and a profile of one's own; blocks of a day."""
    return tiny.generate(
        tmp_path_factory.mktemp("from") / "set",
        tiny.TWO_SYSTEMS,
        execution__block_days=1,
        run__seed=11,
        run__sampling_seconds=600,
        select__limit_batteries=4,
        inject=[OUTAGE],
        scenario__profiles={
            "mine": {"share": 1.0, "soh_per_year": 0.2, "resistance_per_year": 0.3}
        },
    )


def run(source: Path | str, place: Path | str, *more: str) -> int:
    return main(
        ["generate", "--from", str(source), "--output-dir", str(place), "--progress", "none", *more]
    )


@pytest.mark.parametrize("source", [RUN, MANIFEST, ""])
def test_the_same_set_is_made_elsewhere(made: Path, tmp_path: Path, source: str) -> None:
    assert run(made / source, tmp_path / "set", "--executor", "threads", "--workers", "2") == 0
    assert tree(tmp_path / "set") == tree(made)
    assert told(verify(str(tmp_path / "set"), values="all")) == []


def test_a_plan_that_was_moved_away_is_enough(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, length in ((MANIFEST, ()), (RUN, ("--duration-days", "2"))):
        shutil.copy(made / name, tmp_path / "kept.json")
        monkeypatch.chdir(tmp_path)
        assert run("kept.json", "set", *length) == 0
        assert tree(tmp_path / "set") == tree(made)
        shutil.rmtree(tmp_path / "set")


def test_a_plan_pretty_printed_by_another_hand_is_enough(made: Path, tmp_path: Path) -> None:
    for name in (MANIFEST, RUN):
        text = json.dumps(json.loads((made / name).read_bytes()), indent=2)
        (tmp_path / "kept.json").write_text(text)
        flags = {"duration_days": None if name == MANIFEST else "2"}
        assert repeated(str(tmp_path / "kept.json"), flags).run.seed == 11


def test_a_place_of_its_own_is_continued(made: Path, tmp_path: Path) -> None:
    place = Path(shutil.copytree(made, tmp_path / "set"))
    before = tree(place)
    assert run(place, place) == 0
    (place / "_SUCCESS").unlink()
    assert run(place, place) == 0
    assert tree(place) == before


def test_the_order_of_a_fleet_is_kept(tmp_path: Path) -> None:
    """Locations, and the string that a limit cuts, stand in the order of the configuration."""
    keys = {
        "select.locations": ["DC-CNX-01", "DC-BKK-01"],
        "select.limit_batteries": 9 * 24 + 1,
        "run.duration_days": 1 / 86_400,
        "run.sampling_seconds": 1,
        "execution.executor": "serial",
    }
    generate(load(overrides=keys | {"output.directory": str(tmp_path / "set")}))
    lines = (tmp_path / "set" / "location.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines[1:]] == ["DC-CNX-01", "DC-BKK-01"]
    for source in (RUN, MANIFEST):
        assert run(tmp_path / "set" / source, tmp_path / "again") == 0
        assert tree(tmp_path / "again") == tree(tmp_path / "set")
        shutil.rmtree(tmp_path / "again")


def of_each_day(digests: Iterable[tuple[str, str, str]]) -> set[tuple[str, str]]:
    """Tables and strings or rooms of which each day has rows."""
    return {(table, group) for table, group, _ in digests if table in SERIES}


def test_a_longer_set_begins_as_this_one(made: Path, tmp_path: Path) -> None:
    assert run(made / MANIFEST, tmp_path / "set", "--duration-days", "3") == 0
    longer, there = DataSet(tmp_path / "set"), DataSet(made)
    third = {key for key in longer.digests if key[2] == "2025-01-03"}
    assert longer.digests.keys() - third == there.digests.keys()
    assert of_each_day(third) == of_each_day(there.digests)
    # The last feature hour and the truth of the end are those of the run, not of the day.
    assert differing(longer.digests, there.digests, there.digests) == []


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (["--seed", "7"], "--seed = 7: the plan is that of "),
        (["--sampling-seconds", "60"], "--sampling-seconds = 60: the plan is that of "),
        (["--start-date", "2025-01-02"], "--start-date = '2025-01-02': the plan is that of "),
        (["--limit-batteries", "1"], "--limit-batteries = 1: the plan is that of "),
        (["--locations", "DC-T-01"], "--locations = 'DC-T-01': the plan is that of "),
        (["--strings", "X"], "--strings = 'X': the plan is that of "),
        (["--format", "none"], "--format = 'none': the plan is that of "),
        (["--set", "scenario.hazard_scale=3"], "--set scenario.hazard_scale = 3: the plan is "),
        (["--set", "execution.block_days=3"], "--set execution.block_days = 3: the plan is "),
        (["--config", "run.toml"], "--config 'run.toml': the plan is that of --from"),
        (["--workers", "none"], "--workers = 'none': must be "),
    ],
)
def test_nothing_else_may_change_the_plan(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], line: str
) -> None:
    assert run(made / MANIFEST, tmp_path / "set", *more) == 2
    (told,) = capsys.readouterr().err.splitlines()
    assert line in told
    assert not (tmp_path / "set").exists()


def test_the_plan_of_another_version_is_refused(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = Path(shutil.copytree(made, tmp_path / "old"))
    forged(place, lambda identity: identity.update(version={"data": 1, "schema": 2}))
    assert run(place / RUN, tmp_path / "set") == 2
    err = capsys.readouterr().err
    assert "it is of data version 1 and schema version 2, and this fleetgen makes " in err
    assert "use that fleetgen" in err
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff\xfe", b'{"kind":"manifest"}'])
def test_what_is_no_plan_is_refused(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    (tmp_path / "x.json").write_bytes(content)
    assert run(tmp_path / "x.json", tmp_path / "set") == 3
    err = capsys.readouterr().err
    assert "cannot be used: " in err
    assert "Give the run.json or manifest.json of a data set as fleetgen left it." in err
    assert not (tmp_path / "set").exists()


def test_a_manifest_whose_plan_was_altered_is_refused(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (made / MANIFEST).read_text()
    assert text.count('"seed":11') == 2
    (tmp_path / "m.json").write_text(text.replace('"seed":11', '"seed":12'))
    assert run(tmp_path / "m.json", tmp_path / "set") == 2
    assert "its digest is not that of its plan" in capsys.readouterr().err
