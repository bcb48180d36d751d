"""Whole runs: the guide's commands, and what happens when one is cut short or begun again."""

import gzip
import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pyarrow.dataset as ds
import pytest

from fleetgen.cli import main
from fleetgen.pipeline import generate
from tests.conftest import Make
from tests.properties.plan import (
    ROOT,
    SAMPLED,
    Changes,
    DataSet,
    configured,
    differing,
    environment,
    keys,
    run_python,
)

TEST_RUN = """\
python generate_battery_data.py \\
    --duration-days 2 \\
    --limit-batteries 24 \\
    --sampling-seconds 300 \\
    --output-dir ./output/test
"""
DEVELOPMENT = """\
python generate_battery_data.py \\
    --duration-days 7 \\
    --limit-batteries 24 \\
    --sampling-seconds 60 \\
    --output-dir ./output/dev_7days
"""
GUIDE = (ROOT / "tests" / "data" / "usage_guide.md").read_text(encoding="utf-8")
LOADING = (
    GUIDE.partition("## Loading Data for ML Training")[2].split("```python\n")[1].split("```")[0]
)
"""The usage guide's words."""


# --- the guide ------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "place", "instants", "hours"),
    [(TEST_RUN, "output/test", 576, 48), (DEVELOPMENT, "output/dev_7days", 10_080, 168)],
)
def test_the_guides_commands_run_as_printed(
    tmp_path: Path, command: str, place: str, instants: int, hours: int
) -> None:
    (tmp_path / "generate_battery_data.py").symlink_to(ROOT / "generate_battery_data.py")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(command, shell=True, cwd=tmp_path, env=environment({"PATH": path}), check=True)
    made = tmp_path / place
    rows = {name: ds.dataset(made / name, partitioning="hive").count_rows() for name in SAMPLED}
    assert rows == {
        "telemetry_jar_raw": 24 * instants,
        "telemetry_jar_calc": 24 * instants,
        "telemetry_string_raw": instants,
        "telemetry_string_calc": instants,
        "telemetry_env": instants,
    }
    with gzip.open(made / "feature_store.csv.gz", "rt") as file:
        assert sum(1 for _ in file) == 1 + 24 * hours
    with gzip.open(made / "telemetry_jar_raw.csv.gz", "rt") as file:
        assert sum(1 for _ in file) == 1 + 24 * instants
    with (made / "telemetry_jar_calc.csv").open() as file:
        assert sum(1 for _ in file) == 1 + 24 * instants
    assert len((made / "battery.csv").read_text().splitlines()) == 1 + 24
    assert len(json.loads((made / "battery_states.json").read_text())) == 24
    assert f"{24 * instants:,}" in (made / "DATA_GENERATION_REPORT.md").read_text()


def test_the_guides_loading_example_runs_unchanged(tmp_path: Path, make: Make) -> None:
    """Where its relative paths hold."""
    assert "pd.read_csv('output/feature_store.csv.gz')" in LOADING
    made = make({"run.duration_days": 2})
    (tmp_path / "output").symlink_to(made.path)
    checks = (
        "print(len(X), X.shape[1], y.astype(float).between(0, 120).all(), X.isna().sum().sum())"
    )
    done = run_python("-W", "error", "-c", LOADING + checks, cwd=tmp_path)
    assert done.code == 0, done.err
    assert done.out.split() == [str((2 * 24 + 3 * 6 + 8) * 48), "4", "True", "0"]


def test_states_hold_what_the_guide_names(whole: DataSet) -> None:
    for battery, state in whole.states.items():
        assert "battery_id" not in state, battery
        assert state.keys() >= {"soh_pct", "rul_days", "failed", "capacity_ah", "resistance_mohm"}
        assert state["profile"] == state["degradation_profile"]
        assert 0 < state["soh_pct"] < 120


def test_the_manifest_lists_injections_and_a_profile_reaches_its_battery(make: Make) -> None:
    jar = "NORTH-REC-01-S1-J01"
    made = make(
        {
            "run.duration_days": 1,
            "select.limit_batteries": 2,
            "scenario.profiles": {
                "new": {"share": 1.0, "soh_per_year": 0.01, "resistance_per_year": 0.02},
                "mine": {"share": 0.0, "soh_per_year": 0.3, "resistance_per_year": 0.5},
            },
            "inject": [{"kind": "profile", "target": jar, "value": "mine"}],
        }
    )
    injection = {
        "kind": "profile",
        "target": jar,
        "at": "2024-02-26T00:00:00+07:00",
        "duration_seconds": 0,
        "value": "mine",
        "channel": "",
    }
    assert json.loads(made.manifest)["header"]["injections"] == [injection]
    profiles = {name: state["profile"] for name, state in made.states.items()}
    assert profiles == {jar: "mine", "NORTH-REC-01-S1-J02": "new"}


def test_the_manifest_names_every_file_and_no_other(whole: DataSet) -> None:
    names = ("run", "extents/0000", "manifest")
    control = {"_SUCCESS", *(f"_fleetgen/{name}.json" for name in names)}
    control.add("_fleetgen/timings/0000.csv")
    found = {p.relative_to(whole.path).as_posix(): p for p in whole.path.rglob("*") if p.is_file()}
    receipts = {name for name in found if name.startswith("_fleetgen/receipts/")}
    assert found.keys() - control - receipts == {f["path"] for f in whole.files}
    assert len(receipts) == 48
    for entry in whole.files:
        data = found[entry["path"]].read_bytes()
        assert len(data) == entry["bytes"]
        assert hashlib.sha256(data).hexdigest() == entry["sha256"]


def test_format_none_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, temporary = tmp_path / "set", tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    done = generate(configured(place, {"output.format": "none"}))
    assert (done.stage, done.jobs_done, done.jobs) == ("complete", 48, 48)
    assert list(tmp_path.iterdir()) == [temporary]
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"select.strings": "SOUTH-UPS-01-S1"},  # no string has a float current channel
        {"select.strings": "NORTH-REC-01-S1", "select.limit_batteries": 1},
        {"run.duration_days": 0.01},  # less than an hour: no feature is complete
        {"run.duration_days": 1 / 86_400, "run.sampling_seconds": 1},  # one sample
        {"run.duration_days": 1, "run.sampling_seconds": 86_400},
    ],
)
def test_the_smallest_runs(make: Make, changes: Changes) -> None:
    made = make(changes)
    days = float(str(changes.get("run.duration_days", 6)))
    interval = int(str(changes.get("run.sampling_seconds", 300)))
    instants = -(-round(days * 86_400) // interval)
    jars = len(made.states)
    assert made.read("telemetry_jar_raw").num_rows == jars * instants
    features = sum(f["rows"] for f in made.files if f["path"].startswith("feature_store/"))
    assert features == jars * int(days * 24)
    with gzip.open(made.path / "feature_store.csv.gz", "rt") as file:
        assert sum(1 for _ in file) == 1 + features


# --- again ----------------------------------------------------------------------------------------


def tree(path: Path) -> dict[str, tuple[int, str]]:
    """Every file with its time of change and content, but for how long the parts took."""
    return {
        p.relative_to(path).as_posix(): (
            p.stat().st_mtime_ns,
            hashlib.sha256(p.read_bytes()).hexdigest(),
        )
        for p in path.rglob("*")
        if p.is_file() and p.parent.name != "timings"
    }


def toml(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{name} = {toml(each)}' for name, each in value.items())}}}"
    return json.dumps(value)


def command(path: Path, *more: str, changes: Changes | None = None) -> list[str]:
    """The plan as a command line."""
    sets = [f"--set={name}={toml(value)}" for name, value in keys(path, changes).items()]
    return ["generate", "--progress", "none", *sets, *more]


def test_a_complete_set_is_left_alone(tmp_path: Path) -> None:
    place = tmp_path / "set"
    short: Changes = {"run.duration_days": 1}
    assert main(command(place, changes=short)) == 0
    before = tree(place)
    assert main(command(place, changes=short)) == 0
    assert tree(place) == before


@pytest.mark.parametrize(
    ("other", "line"),
    [
        ({"run.seed": 5}, "run.seed: 109 -> 5"),
        ({"run.sampling_seconds": 60}, "run.sampling_seconds: 300 -> 60"),
        ({"select.limit_batteries": 30}, "select.batteries: 74 -> 30"),
        ({"output.writer": "pyarrow"}, 'output.writer: "direct" -> "pyarrow"'),
        ({"execution.block_days": 2}, "execution.block_days: 1 -> 2"),
    ],
)
def test_another_plan_is_refused_with_the_difference(
    make: Make, capsys: pytest.CaptureFixture[str], other: Changes, line: str
) -> None:
    made = make({"run.duration_days": 1})
    before = tree(made.path)
    assert main(command(made.path, changes={"run.duration_days": 1, **other})) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    assert line in err
    assert tree(made.path) == before


def test_other_workers_are_no_other_plan(make: Make) -> None:
    made = make({"run.duration_days": 1})
    before = tree(made.path)
    threads: Changes = {"run.duration_days": 1, "execution.executor": "threads"}
    assert main(command(made.path, "--workers", "3", changes=threads)) == 0
    assert tree(made.path) == before


# --- cut short ------------------------------------------------------------------------------------

SLOW: Changes = {"run.sampling_seconds": 20}
"""The plan, for long enough to be met at work."""


MAIN = """\
import signal, sys
from fleetgen import cli
parser = cli.parser
def up():  # and a signal from then on finds main at work
    print("up", flush=True)
    return parser()
cli.parser = up
# A shell's background job ignores the signal, and so does all that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)
if __name__ == "__main__":
    sys.exit(cli.main())
"""


@pytest.fixture(scope="module")
def undisturbed(make: Make) -> DataSet:
    return make(SLOW)


@contextmanager
def started(path: Path, *more: str) -> Iterator[subprocess.Popen[str]]:
    """A run of its own process group; whatever is left of it is killed at the end."""
    keys = {k: v for k, v in SLOW.items()}
    arguments = command(path, *more, changes=keys)
    if "--executor" in more:
        arguments = [a for a in arguments if not a.startswith("--set=execution.executor=")]
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN, *arguments],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        for member in group(process.pid):
            member.kill()
        process.communicate()


def group(leader: int) -> list[psutil.Process]:
    """Living processes of a session."""
    found = []
    for process in psutil.process_iter():
        try:
            same = os.getsid(process.pid) == leader
            if same and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def wait_for(found: Callable[[], bool], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < deadline, f"no {what} after {seconds:g} s"
        time.sleep(0.005)


def receipts(path: Path) -> int:
    return len(list((path / "_fleetgen" / "receipts").glob("*.json")))


def assert_goes_on(path: Path, undisturbed: DataSet) -> None:
    """The same command completes the set, to what it would have been, and repeats no part."""
    kept = {name: state for name, state in tree(path).items() if "/receipts/" in name}
    assert main(command(path, changes=SLOW)) == 0
    after = tree(path)
    assert {name: after[name] for name in kept} == kept
    made = DataSet(path)
    assert differing(made.digests, undisturbed.digests) == []
    assert [entry for entry in made.files if entry not in undisturbed.files] == []
    assert made.unlike(undisturbed) == []
    # What a killed writer or probe leaves is nobody's, and swept by hand.
    names = {name for name in after if not name.startswith((".tmp-", "_probe-"))}
    assert names == set(tree(undisturbed.path))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("executor", "signum", "code"),
    [
        ("serial", signal.SIGINT, 130),
        ("serial", signal.SIGTERM, 143),
        ("threads", signal.SIGINT, 130),
        ("local", signal.SIGINT, 130),
    ],
)
def test_a_signal_ends_a_run_in_one_line(
    tmp_path: Path, undisturbed: DataSet, executor: str, signum: int, code: int
) -> None:
    place = tmp_path / "set"
    with started(place, "--executor", executor) as run:
        wait_for(lambda: receipts(place) >= 5, "parts")
        os.killpg(run.pid, signum)  # as a terminal does
        out, err = run.communicate(timeout=30)
        assert run.returncode == code
        assert out == "up\n"
        assert len(err.splitlines()) == 1, err
        assert err.startswith("fleetgen: interrupted; ")
        assert "of 48 parts safe; resume with the same command" in err
        wait_for(lambda: group(run.pid) == [], "end of its processes", 5)
    assert 5 <= receipts(place) < 48
    assert int(err.split()[2]) == receipts(place)
    assert_goes_on(place, undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["serial", "local"])
def test_a_signal_among_the_histories_ends_a_run_in_one_line(
    tmp_path: Path, undisturbed: DataSet, executor: str
) -> None:
    place = tmp_path / "set"
    closing = place / "_fleetgen" / "closing"
    with started(place, "--executor", executor) as run:
        wait_for(lambda: any(closing.glob("*.json")), "histories")
        os.killpg(run.pid, signal.SIGINT)
        _, err = run.communicate(timeout=30)
    assert run.returncode == 130
    assert len(err.splitlines()) == 1, err
    assert err.startswith("fleetgen: interrupted; ")
    assert " of 48 parts safe; resume with the same command" in err
    assert not (place / "_SUCCESS").exists()
    assert_goes_on(place, undisturbed)
    assert not closing.exists() or not any(closing.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.0, 0.3, 0.9])
def test_a_signal_at_the_start_leaves_no_traceback(tmp_path: Path, seconds: float) -> None:
    """While libraries are imported, or worker processes start."""
    with started(tmp_path / "set", "--executor", "local") as run:
        assert run.stdout.readline() == "up\n"
        time.sleep(seconds)
        os.killpg(run.pid, signal.SIGINT)
        _, err = run.communicate(timeout=30)
    assert run.returncode == 130
    assert len(err.splitlines()) <= 1, err


EXPORT = """\
import signal, sys, time
from fleetgen import cli, export

def endless(*_):
    print("up", flush=True)
    while True:
        yield b""
        time.sleep(0.01)

signal.signal(signal.SIGINT, signal.default_int_handler)
export.single_file = endless
sys.exit(cli.main(["export", sys.argv[1], "--single-file", "csv.gz", "--output-dir", sys.argv[2]]))
"""


@pytest.mark.slow
@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_an_export_in_one_line(
    whole: DataSet, tmp_path: Path, signum: int, code: int
) -> None:
    run = subprocess.Popen(
        [sys.executable, "-c", EXPORT, str(whole.path), str(tmp_path / "out")],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert run.stdout is not None
    assert run.stdout.readline() == "up\n"
    run.send_signal(signum)
    _, err = run.communicate(timeout=30)
    assert run.returncode == code
    assert err == "fleetgen: interrupted; run the same command again\n"
    assert list((tmp_path / "out").glob("**/*")) == []


@pytest.mark.slow
@pytest.mark.parametrize("parts", [1, 20, 48])
def test_a_killed_run_goes_on(tmp_path: Path, undisturbed: DataSet, parts: int) -> None:
    place = tmp_path / "set"
    with started(place) as run:
        wait_for(lambda: receipts(place) >= parts, "parts")
        run.kill()
        run.wait()
    assert parts == 48 or not (place / "_SUCCESS").exists()
    # Whatever has a receipt is whole.
    for path in (place / "_fleetgen" / "receipts").glob("*.json"):
        for entry in json.loads(path.read_bytes())["files"]:
            data = (place / entry["path"]).read_bytes()
            assert hashlib.sha256(data).hexdigest() == entry["sha256"]
    assert_goes_on(place, undisturbed)


@pytest.mark.slow
def test_a_killed_client_takes_its_workers_with_it(tmp_path: Path, undisturbed: DataSet) -> None:
    place = tmp_path / "set"
    with started(place, "--executor", "local", "--workers", "2") as run:
        wait_for(lambda: receipts(place) >= 3, "parts")
        run.kill()
        run.wait()
        wait_for(lambda: group(run.pid) == [], "end of its workers", 15)
    assert_goes_on(place, undisturbed)


@pytest.mark.slow
def test_a_full_disk_ends_a_run_and_not_the_data(
    tmp_path: Path, undisturbed: DataSet, capsys: pytest.CaptureFixture[str]
) -> None:
    """A limit on the size of a file stands for it: some parts fit, a larger one does not."""
    place = tmp_path / "set"
    largest = max(f["bytes"] for f in undisturbed.files if f["digests"])
    done = subprocess.run(
        [sys.executable, "-m", "fleetgen", *command(place, changes=SLOW)],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (largest - 1, largest - 1)),
    )
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "cannot write" in done.stderr
    assert not (place / "_SUCCESS").exists()
    assert not [p for p in place.rglob("*") if p.is_file() and p.name.startswith(".")]
    assert_goes_on(place, undisturbed)


def test_a_damaged_receipt_is_refused_with_the_way_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "set"
    short: Changes = {"run.duration_days": 1}
    assert main(command(place, changes=short)) == 0
    digests = dict(DataSet(place).digests)
    single = gzip.decompress((place / "feature_store.csv.gz").read_bytes())
    (place / "_SUCCESS").unlink()
    receipt = sorted((place / "_fleetgen" / "receipts").glob("*.json"))[0]
    receipt.write_bytes(receipt.read_bytes()[:100])
    capsys.readouterr()
    assert main(command(place, changes=short)) == 3
    err = capsys.readouterr().err
    assert receipt.name in err
    assert "Delete this file" in err
    receipt.unlink()
    assert main(command(place, changes=short)) == 0
    assert differing(DataSet(place).digests, digests) == []
    # Its pieces are gone since the first end: they are made again.
    assert gzip.decompress((place / "feature_store.csv.gz").read_bytes()) == single
