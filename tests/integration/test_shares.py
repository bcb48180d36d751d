"""A data set made in shares by commands that know nothing of each other, and finished by a last."""

from pathlib import Path

import pytest

from fleetgen.cli import main
from tests.properties.plan import DataSet, differing, keys

SMALL = [
    "--duration-days=2",
    "--limit-batteries=48",
    "--executor=serial",
    "--progress=none",
    "--set=execution.block_days=1",
]


def command(place: Path, *more: str) -> list[str]:
    return ["generate", f"--output-dir={place}", *SMALL, *more]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    place = tmp_path_factory.mktemp("one") / "set"
    assert main(command(place)) == 0
    return DataSet(place)


def test_shares_in_any_order_and_a_finish_make_the_same_data_set(
    tmp_path: Path, undisturbed: DataSet, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "set"
    counts = []
    for part in (3, 1, 2):
        assert main(command(place, "--parts=3", f"--part={part}")) == 0
        assert not (place / "_SUCCESS").exists()
        counts.append(len(list((place / "_fleetgen" / "receipts").iterdir())))
        if part != 2:
            assert main(["finish", str(place), "--progress=none"]) == 3
            line = capsys.readouterr().err
            assert f"{6 - counts[-1]} of 6 parts missing, the first of " in line
            assert line.count("\n") == 1
    assert counts == [2, 4, 6]
    assert main(["finish", str(place), "--progress=none"]) == 0
    made = DataSet(place)
    assert differing(made.digests, undisturbed.digests) == []
    assert {f["path"]: f["sha256"] for f in made.files if f["table"] != "report"} == {
        f["path"]: f["sha256"] for f in undisturbed.files if f["table"] != "report"
    }
    assert main(["finish", str(place), "--progress=none"]) == 0  # again, and nothing to do


def test_a_share_of_more_shares_than_parts_may_be_empty(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--parts=100", "--part=1"]
    place = tmp_path / "set"
    words = [w for w in command(place, *arguments) if w != "--progress=none"]
    assert main([*words, "--progress=plain"]) == 0
    said = capsys.readouterr().err.splitlines()[-1]
    expected = "this share is made: 0 of 6 parts made; when all are: fleetgen finish "
    assert said == expected + str(place)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--parts=3"], "given alone; give both"),
        (["--part=3"], "given alone; give both"),
        (["--parts=3", "--part=4"], "must be from 1 to 3"),
        (["--parts=3", "--part=0"], "from 1"),
        (["--parts=many", "--part=1"], "from 1 to 100000"),
    ],
)
def test_wrong_shares_are_refused(
    arguments: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "set"
    assert main(command(place, *arguments)) == 2
    assert told in capsys.readouterr().err
    assert not place.exists()


def test_nothing_to_finish_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["finish", str(tmp_path)]) == 3
    assert capsys.readouterr().err.count("\n") == 1


def test_the_shares_of_a_plan_are_all_its_parts_once() -> None:
    from fleetgen.config import load
    from fleetgen.plan import make_plan

    plan = make_plan(load(overrides=keys("unused")), "unused")
    for count in (1, 2, 7, 1000):
        shares = [plan.share(number, count) for number in range(1, count + 1)]
        assert [job for share in shares for job in share] == list(plan.parts)
        assert max(map(len, shares)) - min(map(len, shares)) <= 1
