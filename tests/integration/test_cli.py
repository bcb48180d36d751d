"""The command line: what it refuses and how, and that it does not keep anybody waiting."""

import io
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fleetgen.cli import main
from fleetgen.config import load
from fleetgen.pipeline import Progress, generate
from fleetgen.progress import reporter
from tests.properties.plan import HERE, ROOT, run_python

HEAVY = ("numba", "numpy", "pyarrow", "dask", "distributed", "pandas", "pydantic", "fsspec", "rich")

Say = Callable[..., tuple[int, list[str]]]


@pytest.fixture
def say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
    """Run `fleetgen generate` in an empty directory; gives exit code and lines of stderr."""
    monkeypatch.chdir(tmp_path)

    def say(*arguments: str) -> tuple[int, list[str]]:
        code = main(["generate", "--progress", "none", "--executor", "serial", *arguments])
        out, err = capsys.readouterr()
        assert out == ""
        return code, err.splitlines()

    return say


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--duration-days", "0"], ["--duration-days = 0", "above 0"]),
        (["--duration-days", "-3"], ["--duration-days = -3", "above 0"]),
        (["--duration-days", "two"], ["--duration-days = 'two'"]),
        (["--duration-days", "nan"], ["--duration-days"]),
        (["--duration-days", "0.00001"], ["--duration-days", "whole seconds"]),
        (["--duration-days", "1e12"], ["--duration-days", "18262.5"]),
        (["--sampling-seconds", "0"], ["--sampling-seconds = 0", "at least 1"]),
        (["--sampling-seconds", "-5"], ["--sampling-seconds = -5", "at least 1"]),
        (["--sampling-seconds", "2.5"], ["--sampling-seconds = 2.5", "whole number"]),
        (
            ["--duration-days", "2", "--sampling-seconds", "172801"],
            ["--sampling-seconds = 172801", "172800 s"],
        ),
        (["--seed", "-1"], ["--seed = -1", "0 to 9223372036854775807"]),
        (["--seed", "1.5"], ["--seed = 1.5", "whole number"]),
        (["--start-date", "2025-02-30"], ["--start-date = '2025-02-30'", "YYYY-MM-DD"]),
        (["--start-date", "yesterday"], ["--start-date = 'yesterday'", "YYYY-MM-DD"]),
        (
            ["--start-date", "2018-03-14", "--locations", "DC-CNX-01"],
            ["--start-date = 2018-03-14", "DC-CNX-01", "2018-03-15"],
        ),
        (["--locations", "DC-XXX-01"], ["--locations = 'DC-XXX-01'", "no such location"]),
        (["--locations", ","], ["--locations"]),
        (["--strings", "DC-CNX-01-REC-01-S9"], ["--strings", "no such string"]),
        (["--limit-batteries", "1945"], ["--limit-batteries = 1945", "at most 1944"]),
        (["--limit-batteries", "0"], ["--limit-batteries = 0"]),
        (["--format", "orc"], ["--format = 'orc'", "parquet"]),
        (["--workers", "0"], ["--workers = 0"]),
        (["--scheduler", "tcp://127.0.0.1:1"], ["--scheduler", "executor scheduler"]),
        (["--set", "run.sed=7"], ["run.sed", "did you mean seed"]),
        (["--set", "nonsense"], ["--set", "section.key=value"]),
        (["--set", "runs.seed=7"], ["runs", "run"]),
        (["--set", "fleet.catalogue=mars"], ["fleet.catalogue", "thailand"]),
        (["--config", "absent.toml"], ["--config = 'absent.toml'", "cannot be read"]),
        (["--nonsense"], ["--nonsense", "--help"]),
        (["--duration-days"], ["--duration-days", "--help"]),
        (["--progress", "loud"], ["--progress", "loud"]),
        (["--dur", "3"], ["--dur", "--help"]),
        (["--days=3"], ["--days; did you mean --duration-days?"]),
        (["--duraton-days=3"], ["--duraton-days; did you mean --duration-days?"]),
        (["--from", "elsewhere"], ["--from 'elsewhere'", "give --output-dir"]),
    ],
)
def test_a_wrong_value_is_told_and_nothing_is_written(
    say: Say, tmp_path: Path, arguments: list[str], told: list[str]
) -> None:
    code, lines = say(*arguments)
    assert code == 2
    assert lines[0].startswith("fleetgen: ")
    assert len(lines) == 1
    for words in told:
        assert words in lines[0]
    assert list(tmp_path.iterdir()) == []


def test_all_faults_are_told_at_once(say: Say, tmp_path: Path) -> None:
    code, lines = say(
        *("--duration-days", "-1", "--sampling-seconds", "0.5", "--seed", "many"),
        *("--start-date", "2025-13-01", "--locations", "DC-BKK-03", "--limit-batteries", "-4"),
        *("--format", "parket", "--workers", "none", "--set", "run.colour=blue"),
    )
    assert code == 2
    assert len(lines) == 9
    assert lines[0].startswith("fleetgen: ")
    assert all(line.startswith("  ") for line in lines[1:])
    text = "\n".join(lines)
    for flag in ("duration-days", "sampling-seconds", "seed", "start-date", "locations", "workers"):
        assert f"--{flag} = " in text
    assert "did you mean parquet?" in text
    assert "did you mean DC-BKK-02" in text
    assert list(tmp_path.iterdir()) == []


def test_faults_of_a_file_name_their_key(say: Say, tmp_path: Path) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text("[run]\nduration_days = true\nspeed = 3\n[outputs]\n[select]\nstrings = 5\n")
    code, lines = say("--config", str(file))
    assert code == 2
    text = "\n".join(lines)
    for words in ("run.duration_days = true", "run.speed", "outputs", "select.strings = 5"):
        assert words in text
    assert len(lines) == 4
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("content", ["[run", "run = 3", "\x00", "[run]\nseed = 1\nseed = 2\n"])
def test_a_file_that_is_no_configuration(say: Say, tmp_path: Path, content: str) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(content)
    code, lines = say("--config", str(file))
    assert code == 2
    assert lines[0].startswith("fleetgen: ")
    assert list(tmp_path.iterdir()) == [file]


def test_what_the_storage_refuses(say: Say, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("not a directory")
    places = [str(file), str(file / "below"), "s3://bucket", "ftp://x/y"]
    places += ["s3://bucket/../set", "simplecache::s3://bucket/set", "reference://x", "s3a://b/set"]
    places += ["/proc/fleetgen"] if sys.platform == "linux" else []
    for place in places:
        code, lines = say("--limit-batteries", "1", "--output-dir", place)
        assert code == 3, place
        assert len(lines) == 1
        assert lines[0].startswith("fleetgen: ")
        assert "--output-dir" in lines[0] or place in lines[0]
    assert list(tmp_path.iterdir()) == [file]
    assert file.read_text() == "not a directory"


@pytest.mark.skipif(os.geteuid() == 0, reason="no permission stops root")
def test_a_directory_without_permission(say: Say, tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    code, lines = say("--limit-batteries", "1", "--output-dir", "set")
    tmp_path.chmod(0o755)
    assert (code, len(lines)) == (3, 1)


def test_a_run_that_cannot_fit_is_refused(
    say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fleetgen.io.local import LocalStore

    monkeypatch.setattr(LocalStore, "free_bytes", lambda _: 1_000_000_000)
    code, lines = say("--duration-days", "90", "--sampling-seconds", "5")
    assert (code, len(lines)) == (3, 1)
    assert "1.0 GB are free" in lines[0]
    assert list(tmp_path.iterdir()) == []


def test_more_workers_than_memory_are_refused(say: Say, tmp_path: Path) -> None:
    code = main(
        [
            *("generate", "--progress", "none", "--executor", "threads", "--workers", "4096"),
            *("--duration-days", "365", "--set", "execution.block_days=1"),
        ]
    )
    assert code == 2
    assert list(tmp_path.iterdir()) == []


# --- the process ----------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [["--duration-days", "0"], ["--set", "fleet.locations=3"]])
def test_a_users_mistake_is_no_traceback(tmp_path: Path, arguments: list[str]) -> None:
    done = run_python("-m", "fleetgen", "generate", *arguments, cwd=tmp_path)
    assert (done.code, done.out) == (2, "")
    assert "Traceback" not in done.err
    assert list(tmp_path.iterdir()) == []


def test_no_verb_or_an_unknown_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert main(["make"]) == 2
    assert "VERB" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--help"], ["generate", "--help"], ["--version"]])
def test_help_is_quick_and_loads_no_heavy_library(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom fleetgen.cli import main\n"
        f"try: main({arguments!r})\nexcept SystemExit as e: assert not e.code\n"
        f"print('LOADED', [n for n in {HEAVY!r} if n in sys.modules])"
    )
    assert run_python("-c", code).out.splitlines()[-1] == "LOADED []"
    seconds = []
    for _ in range(3):
        begin = time.monotonic()
        done = run_python("-m", "fleetgen", *arguments)
        seconds.append(time.monotonic() - begin)
        assert done.code == 0
        assert "fleetgen" in done.out
    assert min(seconds) < 0.5


def test_help_names_every_flag_of_the_guide() -> None:
    text = run_python("-m", "fleetgen", "generate", "--help").out
    for flag in ("--duration-days", "--sampling-seconds", "--seed", "--start-date"):
        assert flag in text
    for flag in ("--output-dir", "--limit-batteries", "--locations", "--strings", "--format"):
        assert flag in text


def test_the_old_script_is_the_verb_generate(tmp_path: Path) -> None:
    script = ROOT / "generate_battery_data.py"
    done = run_python(script, "--duration-days", "0", "--seed", "x", cwd=tmp_path)
    assert done.code == 2
    assert len(done.err.splitlines()) == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("style", ["plain", "json"])
def test_cautions_are_told_with_the_estimate(tmp_path: Path, style: str) -> None:
    outage = {"kind": "outage", "target": "NORTH", "at": "2025-01-01T06:00", "duration_days": 2}
    keys = {"fleet.file": str(HERE / "fleet.toml"), "output.directory": str(tmp_path / "set")}
    config = load(overrides={**keys, "inject": [outage]})
    stream = io.StringIO()
    tell, _ = reporter(style, stream)

    def once(now: Progress) -> None:
        tell(now)
        raise InterruptedError

    with pytest.raises(InterruptedError):
        generate(config, once)
    if style == "plain":
        estimate, caution = stream.getvalue().splitlines()
        assert "jar samples" in estimate
        assert caution.startswith("caution: inject.0: an outage of 2 days")
    else:
        assert json.loads(stream.getvalue())["cautions"] == list(config.cautions())


@pytest.mark.parametrize("style", ["plain", "json", "none"])
def test_progress_is_on_stderr_in_each_style(tmp_path: Path, style: str) -> None:
    done = run_python(
        *("-m", "fleetgen", "generate", "--set", f"fleet.file={HERE / 'fleet.toml'}"),
        *("--duration-days", "1", "--limit-batteries", "1", "--progress", style),
        cwd=tmp_path,
    )
    assert done.code == 0, done.err
    assert ("data set in ./output" in done.out) == (style != "none")
    assert bool(done.err) == (style != "none")
    if style == "plain":
        assert "1 battery, 288 jar samples" in done.err
