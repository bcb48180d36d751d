"""Every benchmark works, on a tiny plan; its numbers mean nothing here."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOGETHER = (
    ("production", "baseline", "startup", "readers", "csv", "validate"),
    ("overhead", "scaling", "scheduler", "study", "doubling", "storage", "estimate"),
)
"""Names by call: two calls at a time, for most of a tiny run is the start of one process."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, ...], Path]:
    """Directories of results by the names measured."""
    running = {}
    for names in TOGETHER:
        into = tmp_path_factory.mktemp("benchmarks")
        (into / "RESULTS.md").write_text(
            "# Before\n<!-- measured: begin -->\nold\n<!-- measured: end -->\nAfter.\n"
        )
        command = [sys.executable, "-m", "benchmarks.run", *names, "--quick", "--into", str(into)]
        running[names] = into, subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE)
    for _, process in running.values():
        _, errors = process.communicate()
        assert process.returncode == 0, errors.decode()
    return {names: into for names, (into, _) in running.items()}


@pytest.mark.parametrize("names", TOGETHER)
def test_they_leave_raw_output_and_tables(
    measured: dict[tuple[str, ...], Path], names: tuple[str, ...]
) -> None:
    into = measured[names]
    text = (into / "RESULTS.md").read_text()
    assert text.startswith("# Before\n")
    assert text.endswith("\nAfter.\n")
    assert "\nold\n" not in text
    sections = {part.split("\n", 1)[0]: part for part in text.split("\n### ")[1:]}
    assert list(sections) == list(names)
    assert {path.stem for path in (into / "raw").glob("*.json")} == set(names)
    for name in names:
        record = json.loads((into / "raw" / f"{name}.json").read_text())
        assert record["command"] == f"python -m benchmarks.run {name} --quick"
        assert record["result"]["runs"]
        for figure in record["result"]["figures"]:
            lines = sections[name].splitlines()
            line = next(line for line in lines if line.startswith(f"| {figure['name']} |"))
            assert line.endswith(verdict(figure))


def verdict(figure: dict[str, Any]) -> str:
    low, high = figure["at_least"], figure["at_most"]
    if low is None and high is None:
        return "|  |"
    too_low = low is not None and figure["value"] < low
    too_high = high is not None and figure["value"] > high
    return ": **missed** |" if too_low or too_high else ": met |"


@pytest.mark.parametrize("names", TOGETHER)
def test_they_leave_nothing_else_and_tell_no_paths(
    measured: dict[tuple[str, ...], Path], names: tuple[str, ...]
) -> None:
    into = measured[names]
    assert [*(into / "raw" / "tmp").iterdir()] == []
    for path in (into / "RESULTS.md", *(into / "raw").glob("*.json")):
        for place in (ROOT, Path.home(), into, Path(sys.prefix)):
            assert f"{place}/" not in path.read_text(), f"{path.name} names {place}"
