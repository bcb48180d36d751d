"""One data set around another, as the default ./output is around the test run's output/test."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from fleetgen.cli import main
from tests.properties.plan import HERE

FLAGS = ("generate", "--progress", "json", "--duration-days", "1", "--limit-batteries", "1")
FLEET = ("--set", f"fleet.file={HERE / 'fleet.toml'}")


def cautions(capsys: pytest.CaptureFixture[str], *where: str) -> list[str]:
    """What is told before a run."""
    assert main([*FLAGS, *FLEET, *where]) == 0
    found: list[str] = json.loads(capsys.readouterr().err.splitlines()[0])["cautions"]
    return found


def tree(place: Path) -> dict[str, bytes]:
    return {str(p.relative_to(place)): p.read_bytes() for p in place.rglob("*") if p.is_file()}


def test_a_data_set_around_another_is_told_and_harms_neither(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cautions(capsys, "--output-dir", "./output/test") == []
    before = tree(tmp_path / "output" / "test")
    (told,) = cautions(capsys)  # at ./output
    assert "has a data set inside it, 'test'. Both stay as they are" in told
    assert "--output-dir" in told
    assert tree(tmp_path / "output" / "test") == before
    assert cautions(capsys) == []  # it has been said
    (told,) = cautions(capsys, "--output-dir", "./output/b")
    assert f"lies inside the data set in {str(tmp_path / 'output')!r}" in told
    for place in ("output", "output/test", "output/b"):
        assert main(["verify", place, "--progress", "none"]) == 0
    capsys.readouterr()
    assert main(["clean", "output", "--all"]) == 0
    kept = [line for line in capsys.readouterr().out.splitlines() if line.startswith("kept")]
    assert kept == [
        f"kept {name}/, another data set: {len(tree(tmp_path / 'output' / name))} files"
        for name in ("b", "test")
    ]
    assert tree(tmp_path / "output" / "test") == before
    assert not (tmp_path / "output" / "_fleetgen").exists()


def test_of_many_the_first_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b", "c d"):
        (tmp_path / name / "_fleetgen").mkdir(parents=True)
        (tmp_path / name / "_fleetgen" / "run.json").write_text("{}")
    (told,) = cautions(capsys, "--output-dir", str(tmp_path))
    assert "inside it, 'a' and 2 more." in told


def test_a_new_file_system_may_be_the_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its `lost+found` is closed to all but root."""
    (tmp_path / "lost+found").mkdir()
    scandir = os.scandir

    def closed(path: str) -> object:
        if str(path).endswith("lost+found"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    assert cautions(capsys, "--output-dir", str(tmp_path)) == []
    assert main(["verify", str(tmp_path), "--progress", "none"]) == 0
