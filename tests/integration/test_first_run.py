"""What is told while the model is compiled, and of each stage; kernels are as they were."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fleetgen import compiler, progress, warm
from fleetgen.calibrate import estimated
from fleetgen.cli import main
from fleetgen.pipeline import generate
from fleetgen.progress import counter, reporter
from fleetgen.verify import verify
from tests import tiny
from tests.properties.plan import ROOT

Loads = Callable[[], int]


@pytest.fixture
def cold(monkeypatch: pytest.MonkeyPatch) -> Loads:
    """A process whose cache is empty, were it asked; gives how often it compiled."""
    loads: list[None] = []

    def load() -> None:
        loads.append(None)
        monkeypatch.setattr(compiler, "COLD", False)

    monkeypatch.setattr(compiler, "COLD", True)
    monkeypatch.setattr(compiler, "KEPT_IN", "/home/her/.cache/fleetgen/py3.12-ab")
    monkeypatch.setattr(warm, "load", load)
    return lambda: len(loads)


def told_by(style: str, place: Path) -> list[str]:
    stream = io.StringIO()
    tell, _ = reporter(style, stream)
    generate(tiny.config(output__directory=str(place), run__duration_days=1), tell)
    return stream.getvalue().splitlines()


def test_the_first_run_says_that_it_compiles_and_has_done_so(tmp_path: Path, cold: Loads) -> None:
    lines = told_by("plain", tmp_path / "one")
    assert "compiling the model once" in lines[1]
    assert lines[1].endswith("kept in /home/her/.cache/fleetgen/py3.12-ab")
    assert re.fullmatch(r"compiled after \d+\.\d s", lines[2])
    assert lines[3].startswith("slow path: ")
    assert cold() == 1
    assert not [line for line in told_by("plain", tmp_path / "two") if "compil" in line]
    assert cold() == 1


def test_programs_are_told_in_lines_of_json(tmp_path: Path, cold: Loads) -> None:
    lines = [json.loads(line) for line in told_by("json", tmp_path / "one")]
    stages = [line["stage"] for line in lines]
    assert stages[:4] == ["planned", "compiling", "compiled", "slow path"]
    assert "compiling the model once" in lines[1]["told"]
    assert [line for line in lines if "told" in line] == [lines[1]]


def test_a_bar_has_lines_above_it(
    tmp_path: Path, cold: Loads, capsys: pytest.CaptureFixture[str]
) -> None:
    tell, close = reporter("bar")
    try:
        generate(tiny.config(output__directory=str(tmp_path / "set"), run__duration_days=1), tell)
    finally:
        close()
    lines = capsys.readouterr().err.splitlines()
    at = next(n for n, line in enumerate(lines) if "compiling the model once" in line)
    assert lines[at].endswith("kept in /home/her/.cache/fleetgen/py3.12-ab")
    assert "compiled" in [line.strip() for line in lines[at:]]


def test_who_wants_no_progress_gets_none(
    tmp_path: Path, cold: Loads, capsys: pytest.CaptureFixture[str]
) -> None:
    tell, _ = reporter("none")
    generate(tiny.config(output__directory=str(tmp_path / "set"), run__duration_days=1), tell)
    assert capsys.readouterr() == ("", "")
    assert cold() == 1


def test_a_home_that_cannot_be_written_is_told_with_the_way_out(
    tmp_path: Path, cold: Loads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiler, "LASTS", False)
    line = told_by("plain", tmp_path / "one")[1]
    assert "as each run will" in line
    assert "set XDG_CACHE_HOME to a directory that can be written" in line


def test_a_complete_set_compiles_nothing(tmp_path: Path, cold: Loads) -> None:
    told_by("plain", tmp_path / "set")
    compiler.COLD = True  # another process
    assert not [line for line in told_by("plain", tmp_path / "set") if "compil" in line]
    assert cold() == 1


def test_estimate_and_rederive_say_it_too(
    tmp_path: Path, cold: Loads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fleetgen.calibrate.ENOUGH_S", 0.0)
    told: list[str] = []
    estimated(tiny.config(output__directory=str(tmp_path / "set")), told.append)
    assert [line.split()[0] for line in told] == ["compiling", "compiled"]
    place = tiny.generate(tmp_path / "set", run__duration_days=1)
    compiler.COLD = True
    stream = io.StringIO()
    found = verify(str(place), rederive="1", notify=counter("plain", stream))
    assert found.bad == []
    assert [line.split()[0] for line in stream.getvalue().splitlines()][-3:] == [
        "compiling",
        "compiled",
        "made",
    ]


def compiled_apart(place: Path, monkeypatch: pytest.MonkeyPatch, well: bool) -> list[str]:
    """Which stages a run on local workers comes to whose compilers end well, or do not."""
    stages: list[str] = []
    monkeypatch.setattr(compiler, "apart", lambda: stages.append("apart") or well)
    config = tiny.config(
        output__directory=str(place),
        run__duration_days=1,
        execution__executor="local",
        execution__workers=1,
    )
    generate(config, lambda now: stages.append(now.stage))
    return stages[: stages.index("slow path")]


def test_workers_are_compiled_for_in_processes_apart(
    tmp_path: Path, cold: Loads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a compiler takes of memory would stay with the client for the run."""
    stages = compiled_apart(tmp_path / "set", monkeypatch, well=True)
    assert stages == ["planned", "compiling", "apart", "compiled"]
    assert cold() == 0


def test_compilers_that_end_badly_leave_it_to_the_run(
    tmp_path: Path, cold: Loads, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled_apart(tmp_path / "set", monkeypatch, well=False)
    assert cold() == 1


def test_no_compiler_outlives_what_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does it hear the Ctrl-C of the terminal, which it would answer with a traceback."""
    started: list[subprocess.Popen[bytes]] = []

    class Noted(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            started.append(self)

    monkeypatch.setattr(compiler.subprocess, "Popen", Noted)

    def run() -> None:
        with compiler.beside("load; import time; time.sleep(60)"):
            (process,) = started
            lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
            blocked = int(next(x for x in lines if x.startswith("SigBlk:")).split()[1], 16)
            assert blocked >> (signal.SIGINT - 1) & 1
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
    assert [process.returncode for process in started] == [-signal.SIGKILL]


@pytest.mark.slow
def test_compilers_apart_compile_all_of_this_package(tmp_path: Path) -> None:
    """In any directory, without numba in the run's own process; who loads it misses nothing."""
    (tmp_path / "fleetgen").mkdir()  # another one, where the run is started
    (tmp_path / "fleetgen" / "__init__.py").write_text("raise ImportError")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(tmp_path)}
    environment.pop("NUMBA_CACHE_DIR", None)
    apart = "import sys; sys.path.remove(''); from fleetgen import compiler; "
    apart += "print(compiler.COLD, compiler.apart(), 'numba' in sys.modules)"
    load = "import sys; sys.path.remove(''); from fleetgen import compiler, warm; warm.load(); "
    load += "from numba.core.dispatcher import Dispatcher as D; import gc; "
    load += "kernels = [k for k in gc.get_objects() if isinstance(k, D)]; "
    load += "print(compiler.COLD, sum(len(k.stats.cache_misses) for k in kernels), "
    load += "any(k.stats.cache_hits for k in kernels))"
    told = [
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for code in (apart, load)
    ]
    assert told == [["True", "True", "False"], ["False", "0", "True"]]


@pytest.mark.slow
def test_what_is_compiled_first_is_all(tmp_path: Path) -> None:
    """No run compiles anything more: plain ones, and those in which all sorts of things happen."""
    done = subprocess.run(
        [sys.executable, "-c", LATER, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout.splitlines()[-1]) == []


LATER = """
import json
import sys

from fleetgen import warm  # before numba: it says where compiled code is kept
from numba.core.dispatcher import Dispatcher
from fleetgen.config import load
from fleetgen.pipeline import generate
from tests.properties.plan import PLAN

def known():
    # Those that other kernels call are compiled into these, and need no loading of their own.
    modules = [m for name, m in sys.modules.items() if name.startswith("fleetgen")]
    kernels = {k for m in modules for k in vars(m).values() if isinstance(k, Dispatcher)}
    return {f"{k.__module__}.{k.__name__}{each}" for k in kernels for each in k.overloads}

warm.load()
before = known()
CHANGES = {
    "plan": PLAN,
    "year of all modes": {
        "select.strings": ["DC-KKN-01-REC-01-S1"],
        "run.duration_days": 365,
        "run.sampling_seconds": 3600,
        "scenario.hazard_scale": 30.0,
        "execution.executor": "serial",
    },
    "fast": {
        "select.strings": ["DC-KKN-01-REC-01-S1"],
        "run.duration_days": 31,
        "run.sampling_seconds": 5,
        "execution.executor": "serial",
        "output.format": "none",
    },
    "text": {**PLAN, "run.duration_days": 2, "inject": (), "output.format": "csv.gz"},
}
for name, changes in CHANGES.items():
    generate(load(overrides={**changes, "output.directory": sys.argv[1] + "/" + name}))
print(json.dumps(sorted(known() - before)))
"""


@pytest.mark.parametrize(
    ("left", "disabled", "cold"),
    [("nothing", "0", True), ("a part", "0", True), ("all", "0", False), ("nothing", "1", False)],
)
def test_it_is_known_beforehand(tmp_path: Path, left: str, disabled: str, cold: bool) -> None:
    """Also that a run was interrupted while it compiled, and where nothing is compiled at all."""
    first = "from fleetgen import compiler; compiler.keep(); print(compiler.KEPT_IN)"
    second = "from fleetgen import compiler; print(compiler.COLD, compiler.KEPT_IN)"
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    environment |= {"NUMBA_DISABLE_JIT": disabled}
    environment.pop("NUMBA_CACHE_DIR", None)

    def run(code: str) -> list[str]:
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return done.stdout.split()

    if left == "all":
        run(first)
    elif left == "a part":
        (place,) = run("from fleetgen import compiler; print(compiler.KEPT_IN)")
        Path(place, "stepper.walk_day.nbi").write_bytes(b"")
    found, place = run(second)
    assert found == str(cold)
    assert Path(place).parent == tmp_path / "fleetgen"


# --- each stage to its end ------------------------------------------------------------------------


def test_a_plain_line_tells_the_end_of_each_stage(tmp_path: Path) -> None:
    """With total, time and rate, however soon it comes after the one before."""
    lines = told_by("plain", tmp_path / "set")
    ends = {line.partition(":")[0]: line for line in lines if " in " in line and ":" in line}
    assert re.fullmatch(r"slow path: 1 of 1 in \d+\.\d s, [\d,.]+ per s", ends["slow path"])
    assert re.fullmatch(r"parts: 2 of 2 in \d+\.\d s, [\d,.]+ (million )?rows/s", ends["parts"])
    assert re.fullmatch(r"histories: 2 of 2 in \d+\.\d s, [\d,.]+ per s", ends["histories"])
    assert re.fullmatch(r"reduce: done in \d+\.\d s", ends["reduce"])
    assert lines[-1].startswith("complete after ")
    assert lines.index(ends["parts"]) + 1 == lines.index("histories: 0 of 2")


def test_rate_and_time_are_those_of_the_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock that goes a second on each time it is looked at."""
    seconds = iter(range(10**6))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(seconds)))
    monkeypatch.setattr(progress, "PLAIN_EVERY_S", 1e9)
    rows = []
    stream = io.StringIO()
    tell, _ = reporter("plain", stream)

    def notify(now: progress.Progress) -> None:
        tell(now)
        rows.append((now.stage, now.rows_done))

    generate(tiny.config(output__directory=str(tmp_path / "set"), run__duration_days=1), notify)
    made = max(done for _, done in rows)
    (line,) = re.findall(r"^parts: 2 of 2 in (\d+).* s, ([\d,]+) rows/s$", stream.getvalue(), re.M)
    assert int(line[1].replace(",", "")) == pytest.approx(made / int(line[0]), rel=0.5)


def test_no_time_is_told_before_it_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`estimate` measures and tells a time; `generate` knows none, and tells what is left later."""
    flags = ["--limit-batteries", "1", "--duration-days", "1", "--output-dir", str(tmp_path / "x")]
    assert main(["generate", "--progress", "json", *flags]) == 0
    planned = json.loads(capsys.readouterr().err.splitlines()[0])
    assert planned["estimate"].keys() == {"rows", "bytes", "files", "memory_bytes"}
    assert not re.search(r"\d s\b", told_by("plain", tmp_path / "set")[0])
