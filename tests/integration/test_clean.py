"""What is removed is ours: temporary files, what belongs to nothing, or the whole data set."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from fleetgen.cleaning import clean
from fleetgen.cli import main
from fleetgen.errors import StorageError
from fleetgen.io.store import open_store
from fleetgen.verify import verify
from tests import tiny
from tests.integration.test_verify import MANIFEST, PART, RECEIPT, RUN, forged, tree

TEMPORARY = "telemetry_jar_raw/location=DC-T-01/.tmp-0123456789abcdef"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("clean") / "set"
    return tiny.generate(place, tiny.TWO_SYSTEMS, execution__block_days=1)


@pytest.fixture
def place(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "set"))


def aged(path: Path, hours: float) -> Path:
    path.write_text("left")
    at_s = path.stat().st_mtime - 3600 * hours
    os.utime(path, (at_s, at_s))
    return path


def test_nothing_is_removed_of_a_whole_set(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = tree(place)
    assert main(["clean", str(place)]) == 0
    assert capsys.readouterr().out == "nothing to remove\n"
    assert tree(place) == before


def test_old_temporary_files_are_removed_and_young_ones_stay(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = aged(place / TEMPORARY, 25)
    young = aged(place / "_fleetgen" / ".tmp-00000000000000ff", 23)
    others = [
        aged(place / name, 1000)
        for name in (".tmp-0123", ".tmp-0123456789abcdeF", "tmp-0123456789abcdef", ".bashrc")
    ]
    assert main(["clean", str(place), "--dry-run"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"would remove {TEMPORARY}, left 25.0 h ago",
        "would remove 1 file",
    ]
    assert old.exists()
    assert main(["clean", str(place)]) == 0
    assert capsys.readouterr().out.startswith(f"removed {TEMPORARY}, left 25.0 h ago\n")
    assert not old.exists()
    assert young.exists()
    assert main(["clean", str(place), "--older-than", "22.5"]) == 0
    assert not young.exists()
    assert all(path.exists() for path in others)
    assert [each for each in verify(str(place)).bad if each.check != "strangers"] == []


STRAYS = (
    PART.replace("01-02-1", "01-03-1"),
    "telemetry_env/location=DC-X/month=2025-01/part-2025-01-01-1.csv.gz",
    RECEIPT.replace("01-02-1", "01-03-1"),
    "_fleetgen/members/feature_store/DC-T-01-REC-01-S1-2025-01-01-1.csv.gz",
    "_fleetgen/checkpoints/DC-T-01-REC-01.arrow",
)
FOREIGN = (
    "notes.txt",
    "telemetry_jar_raw/notes.parquet",
    "telemetry_jar_raw/location=DC-T-01/month=2025-01/part-2025-01-01-1.parquet.bak",
    "_fleetgen/receipts/notes.json",
    "_fleetgen/notes.arrow",
    "elsewhere/location=DC-T-01/month=2025-01/part-2025-01-01-1.parquet",
)


def planted(place: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text("x")


def test_what_belongs_to_nothing_is_removed_from_a_finished_set(made: Path, place: Path) -> None:
    planted(place, STRAYS)
    planted(place, FOREIGN)
    done = clean(str(place))
    assert sorted(done.keys) == sorted(STRAYS)
    there = tree(place)
    assert [name for name in STRAYS if name in there] == []
    assert {name: there[name] for name in tree(made)} == tree(made)
    assert set(there) - set(tree(made)) == set(FOREIGN)


@pytest.mark.parametrize("gone", ["_SUCCESS", MANIFEST, RECEIPT])
def test_nothing_but_leftovers_goes_from_a_set_that_is_not_finished(place: Path, gone: str) -> None:
    """Another run may be at work there: a part without a receipt may be about to get one."""
    (place / gone).unlink()
    planted(place, STRAYS)
    aged(place / TEMPORARY, 30)
    before = tree(place)
    done = clean(str(place))
    assert [each.name for each in done.leftovers] == [TEMPORARY]
    assert done.keys == ()
    del before[TEMPORARY]
    assert tree(place) == before


def test_all_removes_the_set_and_nothing_else(
    made: Path, place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    planted(place, STRAYS)
    planted(place, FOREIGN)
    aged(place / TEMPORARY, 0)
    before = tree(place)
    assert main(["clean", str(place), "--all", "--dry-run"]) == 0
    dry = capsys.readouterr().out
    assert tree(place) == before
    gone: list[str] = []
    unlink = os.unlink

    def noted(path: str, *args: object, **kwargs: object) -> None:
        gone.append(os.path.relpath(path, place))
        unlink(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", noted)
        assert main(["clean", str(place), "--all"]) == 0
    out = capsys.readouterr().out
    assert out == dry.replace("would remove", "removed")
    assert set(tree(place)) == set(FOREIGN)
    assert all(f"kept {name}, which is not ours" in out for name in FOREIGN)
    alone = 2  # the temporary file, and that of the times
    assert f"removed {len(made_names(made)) + len(STRAYS) + alone} files" in out
    # The marker and the manifest go first and the identity last: what is left is never a set.
    assert gone[0] == TEMPORARY
    assert gone[1:3] == ["_SUCCESS", MANIFEST]
    assert gone[-1] == RUN


def made_names(made: Path) -> set[str]:
    return set(tree(made))


def test_a_removal_that_was_cut_short_can_be_ended_or_made_whole(
    made: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlink, left = os.unlink, [20]

    def dying(path: str, *args: object, **kwargs: object) -> None:
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        unlink(path)

    for again in (
        lambda: clean(str(place), everything=True),
        lambda: verify(str(place), repair=True),
    ):
        left[0] = 20
        with monkeypatch.context() as patch:
            patch.setattr(os, "unlink", dying)
            with pytest.raises(KeyboardInterrupt):
                clean(str(place), everything=True)
        again()
        if not tree(place):
            shutil.copytree(made, place, dirs_exist_ok=True)
    assert tree(place) == tree(made)


def test_all_goes_also_where_the_plan_is_of_another_version(place: Path) -> None:
    forged(place, lambda identity: identity.update(version={"data": 99}, colour="blue"))
    clean(str(place), everything=True)
    assert tree(place) == {}


@pytest.mark.parametrize("more", [[], ["--all"], ["--dry-run"], ["--all", "--dry-run"]])
def test_a_place_that_is_no_data_set_is_refused(
    made: Path, place: Path, capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    aged(place / TEMPORARY, 100)
    for content in (None, b"{}", b"\xff", (made / MANIFEST).read_bytes()):
        (place / RUN).unlink(missing_ok=True)
        if content is not None:
            (place / RUN).write_bytes(content)
        before = tree(place)
        assert main(["clean", str(place), *more]) == 3
        out, err = capsys.readouterr()
        assert out == ""
        assert "run.json" in err
        if content is None:
            assert f"generate --from {place}/{MANIFEST} --output-dir ANOTHER" in err
        assert "Traceback" not in err
        assert tree(place) == before


@pytest.mark.parametrize("hours", ["-1", "nan", "inf", "soon", ""])
def test_an_age_is_a_number(place: Path, capsys: pytest.CaptureFixture[str], hours: str) -> None:
    assert main(["clean", str(place), "--older-than", hours]) == 2
    assert "--older-than = " in capsys.readouterr().err


def test_only_temporary_files_are_leftovers(place: Path) -> None:
    """Even of names that a caller makes up."""
    store = open_store(str(place))
    aged(place / TEMPORARY, 5)
    (leftover,) = store.leftovers(3600)
    assert (leftover.name, leftover.bytes) == (TEMPORARY, 4)
    assert 5 * 3600 <= leftover.age_s < 5 * 3600 + 60
    before = tree(place)
    with pytest.raises(StorageError, match=r"will not delete 'battery\.csv': it is no temporary"):
        store.remove_leftovers([replace(leftover, name="battery.csv")])
    assert tree(place) == before
    assert open_store("memory://none").leftovers(0) == []
    open_store("memory://none").remove_leftovers([leftover])
