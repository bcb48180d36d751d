"""Runs that are killed, race, or find the disk full: the same command goes on to the same digests.

Long series are marked `faults` and run by `make test-faults`; `make test` has one of each kind.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import polars
import pyarrow.parquet as pq
import pytest

from fleetgen.cli import main
from tests.conftest import Make
from tests.integration.test_generate import SLOW, assert_goes_on, command, group, started, tree
from tests.integration.test_readers import READERS
from tests.properties.plan import Changes, DataSet, differing, environment

PARTS = 48
HISTORIES = 8
"""Strings and rooms of the plan."""


@pytest.fixture(autouse=True)
def _no_plug_is_pulled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs in this process, which end what was killed, need not wait for the disk."""
    monkeypatch.setattr("os.fsync", lambda _: None)


@pytest.fixture(scope="module")
def undisturbed(make: Make) -> DataSet:
    return make(SLOW)


# --- killed ---------------------------------------------------------------------------------------

STAGES = ("slow path", "encode", "put", "histories", "reduce")


def parts_of(place: Path) -> dict[str, list[str]]:
    """Paths that a receipt of the finished run names, by job in order of its parts."""
    receipts = sorted((place / "_fleetgen" / "receipts").glob("*.json"))
    return {r.stem: [f["path"] for f in json.loads(r.read_bytes())["files"]] for r in receipts}


def stage_of(place: Path, parts: dict[str, list[str]]) -> str:
    """How far a killed run had come, by what it left."""
    done = {path.stem for path in (place / "_fleetgen" / "receipts").glob("*.json")}
    if (place / "_SUCCESS").exists():
        return "complete"
    if len(done) == len(parts):
        derived = there(place / "_fleetgen" / "closing")
        return "reduce" if derived == HISTORIES else "histories"
    if any((place / path).exists() for job in parts.keys() - done for path in parts[job]):
        return "put"
    return "encode" if done else "slow path" if (place / "_fleetgen").exists() else "start"


def moment(stage: str, place: Path, parts: dict[str, list[str]], draw: random.Random) -> float:
    """Wait until a run enters a stage at a random place of it; give what to wait beyond [s]."""
    control = place / "_fleetgen"
    strings = sorted(job for job, paths in parts.items() if len(paths) > 1)
    walked = draw.randrange(3)
    wanted, count, longest_s = {
        # Kernels are loaded, then system after system is walked.
        "slow path": (control / "checkpoints", walked, 0.05)
        if walked
        else (control / "extents", 1, 2.5),
        # Strings come first, and take most of the time.
        "encode": (control / "receipts", draw.randrange(1, len(strings) - 2), 0.05),
        "put": (place / draw.choice(parts[draw.choice(strings)]), 1, 0.0),
        "histories": (control / "closing", draw.randrange(1, HISTORIES), 0.0),
        "reduce": (control / "closing", HISTORIES, 0.03),
    }[stage]
    deadline = time.monotonic() + 60
    while there(wanted) < count:
        assert time.monotonic() < deadline, f"no {stage} after 60 s"
    return draw.uniform(0, longest_s)


def there(path: Path) -> int:
    """Names in a directory, or whether there is a file."""
    try:
        return len(os.listdir(path))
    except NotADirectoryError:
        return 1
    except FileNotFoundError:
        return 0


def killed(place: Path, stage: str, undisturbed: DataSet, seed: int, *more: str) -> None:
    """A run killed, with all its processes, at a random moment of a stage."""
    draw, parts = random.Random(seed), parts_of(undisturbed.path)
    met = []
    for _ in range(12):
        shutil.rmtree(place, ignore_errors=True)
        with started(place, *more) as run:
            time.sleep(moment(stage, place, parts, draw))
            os.killpg(run.pid, signal.SIGKILL)
            run.wait()
            while group(run.pid):
                time.sleep(0.01)
        met.append(stage_of(place, parts))
        if met[-1] == stage:
            return
    pytest.fail(f"never killed in {stage}, but in {met}")


def assert_readers_see_whole_parts(place: Path, undisturbed: DataSet) -> None:
    """Whoever lists the directory reads the rows of whole parts, whatever else lies there."""
    rows = {f["path"]: f["rows"] for f in undisturbed.files}
    table = place / "telemetry_jar_raw"
    found = [p.relative_to(place).as_posix() for p in table.rglob("*.parquet")]
    if not found:
        return
    assert {p.suffix for p in place.rglob("*.*") if "telemetry" in str(p) and p.is_file()} == {
        ".parquet"
    }
    assert polars.read_parquet(table).height == sum(rows[path] for path in found)
    for read in READERS:
        assert len(read(table)["ts"]) == sum(rows[path] for path in found), read.__name__


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_run_killed_in_any_stage_goes_on(
    tmp_path: Path, undisturbed: DataSet, stage: str
) -> None:
    place = tmp_path / "set"
    killed(place, stage, undisturbed, 1)
    assert_readers_see_whole_parts(place, undisturbed)
    assert_goes_on(place, undisturbed)


@pytest.mark.parametrize("seed", range(25), ids=lambda n: f"{STAGES[n % 5]}-{n}")
@pytest.mark.slow
@pytest.mark.faults
def test_twenty_five_kills(tmp_path: Path, undisturbed: DataSet, seed: int) -> None:
    """Five in each stage; the last of them on a cluster of two worker processes."""
    place, stage = tmp_path / "set", STAGES[seed % 5]
    cluster = ("--executor", "local", "--workers", "2") if seed >= 20 else ()
    killed(place, stage, undisturbed, seed, *cluster)
    assert_goes_on(place, undisturbed)


@pytest.mark.slow
@pytest.mark.faults
@pytest.mark.parametrize("seed", range(3))
def test_a_run_killed_again_and_again_goes_on(
    tmp_path: Path, undisturbed: DataSet, seed: int
) -> None:
    place, draw = tmp_path / "set", random.Random(seed)
    for _ in range(6):
        with started(place) as run:
            assert run.stdout.readline() == "up\n"
            time.sleep(draw.uniform(0.2, 3.0))
            os.killpg(run.pid, signal.SIGKILL)
            run.wait()
    assert_goes_on(place, undisturbed)


@pytest.mark.slow
@pytest.mark.faults
@pytest.mark.parametrize("seed", range(4))
def test_an_extension_killed_goes_on(tmp_path: Path, undisturbed: DataSet, seed: int) -> None:
    place, draw = tmp_path / "set", random.Random(seed)
    assert main(command(place, changes={**SLOW, "run.duration_days": 3})) == 0
    kept = {n: s for n, s in tree(place).items() if "/part-" in n or "/receipts/" in n}
    receipts = place / "_fleetgen" / "receipts"
    count = (25, 30, 40, PARTS)[seed]
    with started(place) as run:
        while len(os.listdir(receipts)) < count:
            assert run.poll() is None
        time.sleep(draw.uniform(0, 0.05))
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
    assert main(command(place, changes=SLOW)) == 0
    made = DataSet(place)
    assert made.unlike(undisturbed) == []
    after = tree(place)
    assert {name: after[name] for name in kept} == kept


# --- races ----------------------------------------------------------------------------------------

RACER = """\
import sys, time
from fleetgen import jit, pipeline, reduce, task, warm
from fleetgen.cli import main
if __name__ == "__main__":
    print("ready", flush=True)
    time.sleep(float(sys.stdin.readline()))
    sys.exit(main())
"""


def raced(*runs: tuple[list[str], float]) -> list[tuple[int, str]]:
    """Exit code and last line of runs that start together, each after its delay [s]."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, *arguments],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for arguments, _ in runs
    ]
    try:
        for process in processes:
            assert process.stdout.readline() == "ready\n"
        for process, (_, delay_s) in zip(processes, runs, strict=True):
            process.stdin.write(f"{delay_s}\n")
            process.stdin.flush()
        ended = [process.communicate(timeout=120) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert not any("Traceback" in err for _, err in ended), ended
    return [(p.returncode, err.strip()) for p, (_, err) in zip(processes, ended, strict=True)]


QUIET: Changes = {"inject": None}
"""Without injections, which a shorter plan would have to leave out."""

RACED: Changes = {**QUIET, "run.duration_days": 2}


def race_of_equals(place: Path, undisturbed: DataSet, seed: int) -> None:
    draw = random.Random(seed)
    run = command(place, changes=RACED)
    if seed % 4 == 3:  # one comes to a set that is already there, in part
        shutil.copytree(undisturbed.path, place)
        (place / "_SUCCESS").unlink()
        for path in sorted((place / "_fleetgen" / "receipts").glob("*.json"))[::2]:
            path.unlink()
    delays = (0.0, draw.choice([0.0, 0.01, 0.1, 1.0]) * draw.random())
    assert raced(*((run, delay_s) for delay_s in delays)) == [(0, ""), (0, "")]
    made = DataSet(place)
    assert differing(made.digests, undisturbed.digests) == []
    assert made.unlike(undisturbed) == []
    assert tree(place).keys() == tree(undisturbed.path).keys()
    contents = {name: sha for name, (_, sha) in tree(place).items()}
    assert contents == {name: sha for name, (_, sha) in tree(undisturbed.path).items()}


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 3])
def test_two_runs_of_one_plan_both_end_well(tmp_path: Path, make: Make, seed: int) -> None:
    race_of_equals(tmp_path / "set", make(RACED), seed)


@pytest.mark.slow
@pytest.mark.faults
@pytest.mark.parametrize("seed", range(100, 120))
def test_twenty_races_of_one_plan(tmp_path: Path, make: Make, seed: int) -> None:
    race_of_equals(tmp_path / "set", make(RACED), seed)


def race_of_durations(place: Path, undisturbed: DataSet, seed: int) -> None:
    """Of two and six days one comes to its end; the six then hold whatever the two had made."""
    draw = random.Random(seed)
    runs = [command(place, changes=RACED), command(place, changes=QUIET)]
    delays = draw.choice([(0.0, 0.0), (0.0, 0.02 * draw.random()), (0.02 * draw.random(), 0.0)])
    (two, two_err), (six, six_err) = raced(*zip(runs, delays, strict=True))
    assert sorted((two, six)) == [0, 3], (two_err, six_err)
    told = two_err or six_err
    assert len(told.splitlines()) == 1
    winner, loser = (2, 6) if two == 0 else (6, 2)
    assert f" {winner} days" in told
    assert f" {loser} days" in told
    made = DataSet(place)
    assert len({day for _, _, day in made.digests}) == winner
    assert differing(made.digests, undisturbed.digests, made.digests) == []
    assert (place / "_SUCCESS").exists()
    if winner == 2:
        assert main(command(place, changes=QUIET)) == 0
    assert DataSet(place).unlike(undisturbed) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_one_of_two_durations_wins(tmp_path: Path, make: Make, seed: int) -> None:
    race_of_durations(tmp_path / "set", make(QUIET), seed)


@pytest.mark.slow
@pytest.mark.faults
@pytest.mark.parametrize("seed", range(100, 110))
def test_ten_races_of_durations(tmp_path: Path, make: Make, seed: int) -> None:
    race_of_durations(tmp_path / "set", make(QUIET), seed)


# --- the disk -------------------------------------------------------------------------------------


@contextmanager
def mounted(place: Path, *options: str) -> Iterator[None]:
    """Something mounted at a new directory, for those who may."""
    place.mkdir(exist_ok=True)
    if os.geteuid() or shutil.which("mount") is None:
        pytest.skip("needs root, to mount a small disk")
    done = subprocess.run(["mount", *options, str(place)], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"cannot mount here: {done.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)


def remount(place: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(place)], check=True)


def run_cli(arguments: list[str]) -> tuple[int, str]:
    """Exit code and what a run in a process of its own says."""
    done = subprocess.run(
        [sys.executable, "-m", "fleetgen", *arguments],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr.strip()


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["serial", "local"])
def test_a_full_disk_is_told_and_the_run_goes_on_when_there_is_room(
    tmp_path: Path, whole: DataSet, executor: str
) -> None:
    disk = tmp_path / "disk"
    place = disk / "set"
    run = command(place, changes={"execution.executor": executor, "execution.workers": 2})
    if executor == "serial":
        run = [each for each in run if "workers" not in each]
    with mounted(disk, "-t", "tmpfs", "-o", "size=100m,nr_inodes=150", "tmpfs"):
        code, err = run_cli(run)
        assert code == 3, err
        assert len(err.splitlines()) == 1
        assert "No space left on device. Free some space, then run the same command again" in err
        assert not (place / "_SUCCESS").exists()
        assert [p for p in place.rglob(".*") if p.is_file()] == []
        assert 0 < len(os.listdir(place / "_fleetgen" / "receipts")) < PARTS
        remount(disk, "nr_inodes=100k")
        assert main(run) == 0
        assert differing(DataSet(place).digests, whole.digests) == []
        assert DataSet(place).unlike(whole) == []


def test_a_disk_without_room_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with mounted(disk, "-t", "tmpfs", "-o", "size=64k", "tmpfs"):
        code, err = run_cli(command(disk / "set"))
        assert code == 3
        assert "are needed and 0.0 GB are free" in err
        assert list(disk.iterdir()) == []


@pytest.mark.slow
def test_a_read_only_directory(tmp_path: Path, make: Make) -> None:
    """Nothing new is begun there; what is complete is found to be so."""
    disk = tmp_path / "disk"
    made = make(RACED)
    with mounted(disk, "-t", "tmpfs", "-o", "size=20m", "tmpfs"):
        shutil.copytree(made.path, disk / "complete")
        shutil.copytree(made.path, disk / "cut")
        (disk / "cut" / "_SUCCESS").unlink()
        remount(disk, "ro")
        before = tree(disk)
        assert main(command(disk / "complete", changes=RACED)) == 0
        for name, changes in [("new", RACED), ("cut", RACED), ("complete", QUIET)]:
            code, err = run_cli(command(disk / name, changes=changes))
            assert code == 3
            assert len(err.splitlines()) == 1
            assert "Read-only file system. Choose an --output-dir that you may write to" in err
        assert tree(disk) == before


# --- damage ---------------------------------------------------------------------------------------


@pytest.fixture
def copied(tmp_path: Path, make: Make) -> DataSet:
    """A complete set, to be damaged."""
    shutil.copytree(make(RACED).path, tmp_path / "set")
    return DataSet(tmp_path / "set")


def shortened(path: Path) -> None:
    """A valid Parquet file of the same columns, with fewer rows."""
    table = pq.read_table(path, partitioning=None)
    pq.write_table(table.slice(0, table.num_rows // 2), path)
    assert pq.read_table(path, partitioning=None).num_rows == table.num_rows // 2


@pytest.mark.parametrize("marked", [True, False])
@pytest.mark.parametrize("table", ["telemetry_jar_raw", "feature_store"])
def test_a_shorter_valid_part_without_receipt_is_made_again(
    copied: DataSet, make: Make, table: str, marked: bool
) -> None:
    before = tree(copied.path)
    path = copied.paths(table)[3]
    job = next(j for j, names in parts_of(copied.path).items() for n in names if path.match(n))
    shortened(path)
    (copied.path / "_fleetgen" / "receipts" / f"{job}.json").unlink()
    if not marked:
        (copied.path / "_SUCCESS").unlink()
    assert main(command(copied.path, changes=RACED)) == 0
    after = tree(copied.path)
    assert {name: sha for name, (_, sha) in after.items()} == {
        name: sha for name, (_, sha) in before.items()
    }
    changed = {name for name in after if after[name] != before[name]}
    assert {name for name in changed if "/part-" in name} == set(parts_of(copied.path)[job])


@pytest.mark.parametrize("damage", [shortened, Path.unlink])
def test_damage_of_a_complete_set_is_told(
    copied: DataSet, capsys: pytest.CaptureFixture[str], damage: Callable[[Path], None]
) -> None:
    path = copied.paths("telemetry_env")[1]
    damage(path)
    assert main(command(copied.path, changes=RACED)) == 3
    err = capsys.readouterr().err
    assert "is not whole: 1 file missing or of another size" in err
    assert f"telemetry_env/{path.relative_to(copied.path / 'telemetry_env')}" in err
    assert f"`fleetgen verify {copied.path} --repair`" in err


@pytest.mark.parametrize("table", ["feature_store", "alert_condition", "rul_truth"])
def test_nothing_is_gathered_from_a_part_that_is_not_its_receipts(
    copied: DataSet, capsys: pytest.CaptureFixture[str], table: str
) -> None:
    path = copied.paths(table)[3]
    shortened(path)
    assert main(command(copied.path, changes={**QUIET, "run.duration_days": 3})) == 3
    err = capsys.readouterr().err
    assert f"{path} cannot be used: it is not the file that was written" in err
    assert not (copied.path / "_SUCCESS").exists()
    job = next(j for j, names in parts_of(copied.path).items() for n in names if path.match(n))
    (copied.path / "_fleetgen" / "receipts" / f"{job}.json").unlink()
    assert main(command(copied.path, changes={**QUIET, "run.duration_days": 3})) == 0


def other_plan(raw: bytes) -> bytes:
    document = json.loads(raw)
    header = document.get("header", document)
    for name in {"plan", "plan_digest"} & header.keys():
        header[name] = "0" * 64
    return json.dumps(document).encode()


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda raw: b"",
    "truncated": lambda raw: raw[: len(raw) // 2],
    "last byte lost": lambda raw: raw[:-2],
    "zeros": lambda raw: bytes(len(raw)),
    "another kind": lambda raw: b'{"format":1,"kind":"stranger"}\n',
    "newer": lambda raw: raw.replace(b'"format":1', b'"format":9'),
    "another plan": other_plan,
}


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        (kind, how)
        for kind in ("run", "extents/0000", "receipts/*", "manifest")
        for how in DAMAGE
        if how != "another plan" or kind in ("receipts/*", "manifest")
    ],
)
def test_damaged_control_files_are_refused_with_the_way_out(
    copied: DataSet, capsys: pytest.CaptureFixture[str], kind: str, how: str
) -> None:
    control = copied.path / "_fleetgen"
    path = sorted(control.glob(f"{kind}.json"))[0]
    undamaged = tree(copied.path)
    if kind.startswith("receipts"):  # which are read when a set is closed
        (copied.path / "_SUCCESS").unlink()
    path.write_bytes(DAMAGE[how](path.read_bytes()))
    before = tree(copied.path)
    assert main(command(copied.path, changes=RACED)) == 3
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert str(path) in err
    if how == "newer":
        assert "has format 9" in err
        return
    assert "cannot be used: " in err
    assert {n: s for n, s in tree(copied.path).items() if "/part-" in n} == {
        n: s for n, s in before.items() if "/part-" in n
    }
    if kind == "run":
        assert "Choose another --output-dir, or remove this one" in err
        return
    assert "Delete this file" in err
    path.unlink()
    if kind == "manifest":
        assert "Delete this file and _SUCCESS" in err
        (copied.path / "_SUCCESS").unlink()
    assert main(command(copied.path, changes=RACED)) == 0
    assert {name: sha for name, (_, sha) in tree(copied.path).items()} == {
        name: sha for name, (_, sha) in undamaged.items()
    }
