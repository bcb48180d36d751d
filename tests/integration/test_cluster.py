"""Runs by the command line on a scheduler that was started by hand, and what can be wrong there."""

import csv
import functools
import itertools
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import dask
import psutil
import pytest
from distributed import Client
from distributed.chaos import KillWorker

from fleetgen import doctor, execute
from fleetgen.cli import main
from fleetgen.execute import ExecutionSettings, open_engine, reach_scheduler
from fleetgen.workers import Worker
from tests.conftest import Make
from tests.integration.test_execute import Job, nap
from tests.integration.test_generate import SLOW, assert_goes_on, command
from tests.properties.plan import ROOT, Changes, DataSet, differing, environment, run_python
from tests.servers import BUCKET, ObjectServer

QUICK: Changes = {"inject": None, "run.duration_days": 1}
WITHIN_S = 60.0


@dataclass
class ByHand:
    """A scheduler on loopback, and workers as they are asked for."""

    place: Path
    scheduler: subprocess.Popen[bytes]
    stack: ExitStack
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def file(self) -> str:
        return str(self.place / "scheduler.json")

    def worker(
        self, *arguments: str, env: Mapping[str, str] | None = None, threads: int = 1
    ) -> None:
        """Start a worker, of one thread and without a nanny if not told otherwise."""
        log = self.place / "worker.log"
        words = arguments or ("--no-nanny",)
        process = started("worker", self.file, *words, "--nthreads", str(threads), log=log, env=env)
        self.stack.callback(end, process)
        self.workers.append(process)


def started(
    verb: str, file: str, *arguments: str, log: Path, env: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(
            [
                *(sys.executable, "-m", f"distributed.cli.dask_{verb}", *arguments),
                *("--no-dashboard", "--scheduler-file", file),
            ],
            cwd=log.parent,
            env=environment(env),
            stdout=output,
            stderr=output,
        )


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and all that it has started."""
    children = psutil.Process(process.pid).children(True) if process.poll() is None else []
    for each in (process, *children):
        each.kill()
    process.wait()


@pytest.fixture
def by_hand(tmp_path: Path) -> Iterator[ByHand]:
    with ExitStack() as stack:
        place = tmp_path / "cluster"
        place.mkdir()
        arguments = ("--host", "127.0.0.1", "--port", "0")
        file, log = str(place / "scheduler.json"), place / "scheduler.log"
        patient = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "30"}
        scheduler = started("scheduler", file, *arguments, log=log, env=patient)
        stack.callback(end, scheduler)
        yield ByHand(place, scheduler, stack)


def generating(by_hand: ByHand, place: Path, *more: str, changes: Changes = QUICK) -> list[str]:
    """The plan on that scheduler, as a command line."""
    sets = command(place, *more, "--scheduler-file", by_hand.file, changes=changes)
    return [word for word in sets if not word.startswith("--set=execution.executor=")]


def refused(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> tuple[int, str]:
    """Exit code and message of a run that does not come about; soon, on one line or a table."""
    began = time.monotonic()
    code = main(arguments)
    assert time.monotonic() - began < WITHIN_S
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    return code, captured.err


@pytest.mark.slow
def test_a_lost_scheduler_ends_the_run_and_the_same_command_goes_on(
    by_hand: ByHand, tmp_path: Path, make: Make
) -> None:
    undisturbed, place = make(SLOW), tmp_path / "set"
    by_hand.worker()
    arguments = generating(by_hand, place, changes=SLOW)
    with subprocess.Popen(
        [sys.executable, "-m", "fleetgen", *arguments],
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        receipts = place / "_fleetgen" / "receipts"
        while not receipts.exists() or len(list(receipts.iterdir())) < 3:
            assert run.poll() is None
            time.sleep(0.02)
        by_hand.scheduler.kill()
        _, err = run.communicate(timeout=WITHIN_S)
    assert run.returncode == 5, err
    assert len(err.splitlines()) == 1
    assert "the scheduler or the worker is gone. Start them again, then run the same" in err
    (timings,) = (place / "_fleetgen" / "timings").iterdir()
    assert len(timings.read_text().splitlines()) > 3
    assert_goes_on(place, undisturbed)


@pytest.mark.slow
def test_workers_that_are_killed_at_random_lose_no_job(by_hand: ByHand) -> None:
    """Again and again, by Dask's own means."""
    for _ in range(2):
        by_hand.worker("--nanny")
    jobs = [Job(number) for number in range(60)]
    settings = ExecutionSettings("scheduler", scheduler_file=by_hand.file)
    with Client(scheduler_file=by_hand.file, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=WITHIN_S)
        first = set(client.nthreads())
        client.register_plugin(KillWorker("2 s", mode="segfault"))
        deadline = time.monotonic() + WITHIN_S
        with open_engine(settings, "run") as engine:
            while first & set(client.nthreads()) and time.monotonic() < deadline:
                assert sorted(engine.run(nap, jobs)) == [job.key for job in jobs]
        assert not first & set(client.nthreads())


@pytest.mark.slow
@pytest.mark.faults
def test_workers_that_are_killed_at_random_change_nothing(
    by_hand: ByHand, tmp_path: Path, make: Make
) -> None:
    undisturbed, place = make(SLOW), tmp_path / "set"
    for _ in range(2):
        by_hand.worker("--nanny", "--preload", "fleetgen.warmed")
    with Client(scheduler_file=by_hand.file, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=WITHIN_S)
        first = set(client.nthreads())
        client.register_plugin(KillWorker("5 s", mode="segfault"))
        assert main(generating(by_hand, place, changes=SLOW)) == 0
        assert first - set(client.nthreads())
    made = DataSet(place)
    assert differing(made.digests, undisturbed.digests) == []
    assert made.unlike(undisturbed) == []


def test_no_workers_are_told(
    by_hand: ByHand,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert execute._CONNECT_S + execute._NO_WORKERS_S < WITHIN_S
    monkeypatch.setattr(execute, "_NO_WORKERS_S", 1)
    code, err = refused(capsys, generating(by_hand, tmp_path / "set"))
    assert (code, len(err.splitlines())) == (5, 1)
    assert "no workers for 1 s. Start some with `dask worker`" in err


def noted(job: Job) -> Callable[[], str]:
    """Leave a file when a job begins and one when it has ended, with the process in the name."""
    place, name = Path(job.text), f"{job.key}.{os.getpid()}.{time.monotonic_ns()}"
    (place / f"{name}.begun").touch()
    time.sleep(0.1)

    def end() -> str:
        time.sleep(0.1)
        (place / f"{name}.ended").touch()
        return job.key

    return end


def until_it_works(place: Path, pid: int) -> None:
    """Wait until a process is within a job."""
    deadline_s = time.monotonic() + WITHIN_S
    while len([*place.glob(f"*.{pid}.*.begun")]) == len([*place.glob(f"*.{pid}.*.ended")]):
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


@pytest.mark.slow
def test_a_killed_worker_costs_at_most_the_jobs_that_it_had_begun(
    by_hand: ByHand, tmp_path: Path
) -> None:
    """One computes and one is stored on each worker; four and more wait for it."""
    for _ in range(2):
        by_hand.worker(threads=2)
    with Client(scheduler_file=by_hand.file, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=WITHIN_S)
    jobs = [Job(number, str(tmp_path)) for number in range(60)]
    killed = by_hand.workers[0]
    taken = []
    with open_engine(ExecutionSettings("scheduler", scheduler_file=by_hand.file), "run") as engine:
        for key in engine.run(noted, jobs):
            taken.append(key)
            if len(taken) == 20:
                until_it_works(tmp_path, killed.pid)
                killed.kill()
                killed.wait()
                before = set(taken)
    notes = [file.name.split(".") for file in tmp_path.glob("part-*")]
    begun = Counter(key for key, _, _, what in notes if what == "begun")
    ended = {key for key, pid, _, what in notes if what == "ended" and int(pid) == killed.pid}
    lost = {key for key, pid, _, _ in notes if int(pid) == killed.pid} - ended
    again = {key for key, times in begun.items() if times > 1}
    assert sorted(taken) == [job.key for job in jobs]
    assert lost
    assert len(lost) <= 2
    assert max(begun.values()) == 2
    assert lost <= again <= lost | (ended - before)  # a result is with the worker until it is taken


BLOCKED = "import sys; sys.modules['fleetgen'] = None"
OTHER = "import numba; import importlib.metadata as m; old = m.version\n"
OTHER += "m.version = lambda name: '0.0.1' if name == 'numba' else old(name)"


@pytest.mark.parametrize(
    ("site", "row"),
    [(BLOCKED, ["fleetgen", "absent"]), (OTHER, ["numba", "0.0.1"])],
    ids=["without the package", "of another version"],
)
def test_other_workers_are_refused(
    by_hand: ByHand, tmp_path: Path, capsys: pytest.CaptureFixture[str], site: str, row: list[str]
) -> None:
    (by_hand.place / "sitecustomize.py").write_text(site)
    by_hand.worker(env={"PYTHONPATH": f"{by_hand.place}{os.pathsep}{ROOT}"})
    code, err = refused(capsys, generating(by_hand, tmp_path / "set"))
    assert code == 5
    first, _, *rows = err.splitlines()
    assert first.endswith("workers with other versions; install the same everywhere:")
    assert [line.split()[1:3] for line in rows] == [row]


def test_a_worker_that_joins_without_the_package_makes_no_part_and_the_others_do(
    by_hand: ByHand, tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if it had not been there at the start."""
    (by_hand.place / "sitecustomize.py").write_text(BLOCKED)
    by_hand.worker()
    by_hand.worker(env={"PYTHONPATH": str(by_hand.place)})
    with Client(scheduler_file=by_hand.file, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=WITHIN_S)
        monkeypatch.setattr("fleetgen.execute._refuse_mixed", lambda _: None)
        monkeypatch.setattr("fleetgen.workers.refuse_unfit", lambda *_: None)
        assert main(generating(by_hand, tmp_path / "set")) == 0
        assert len(client.nthreads()) == 1
    assert DataSet(tmp_path / "set").unlike(make(QUICK)) == []


def test_a_worker_with_too_little_memory_is_refused(
    by_hand: ByHand, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    by_hand.worker("--no-nanny", "--memory-limit", "200MB")
    code, err = refused(capsys, generating(by_hand, tmp_path / "set"))
    assert (code, len(err.splitlines())) == (5, 1)
    assert "may hold 200 MB and a part needs about 260 MB; start it with `dask worker" in err
    assert not list((tmp_path / "set").glob("telemetry*"))


@pytest.mark.slow
def test_a_worker_of_many_threads_needs_memory_for_all_that_it_computes_at_a_time(
    by_hand: ByHand, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    by_hand.worker("--no-nanny", "--memory-limit", "600MB", threads=5)
    code, err = refused(capsys, generating(by_hand, tmp_path / "set"))
    assert (code, len(err.splitlines())) == (5, 1)
    told = "may hold 600 MB and a part needs about 260 MB, the 3 that it computes at a time 780 MB"
    assert f"{told}; start it with `dask worker --nthreads 6 --memory-limit 1GB` or more" in err


@pytest.mark.slow
def test_the_window_follows_workers_that_come_and_go(
    by_hand: ByHand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execute, "_LOOK_S", 0.1)
    monkeypatch.setattr(execute, "_POLL_S", 0.1)
    settings = ExecutionSettings("scheduler", scheduler_file=by_hand.file)
    each = execute._JOBS_PER_WORKER
    taken = done = 0

    def jobs() -> Iterator[Job]:
        nonlocal taken
        for taken in itertools.count(1):
            yield Job(taken)

    def under_way(wanted: Callable[[int], bool]) -> None:
        """Go on until so many jobs are taken of which the result has not come back."""
        nonlocal done
        deadline = time.monotonic() + WITHIN_S
        while not wanted(taken - done):
            assert time.monotonic() < deadline, taken - done
            next(results)
            done += 1

    by_hand.worker()
    with open_engine(settings, "run") as engine:
        results = engine.run(nap, jobs())
        for done in range(1, 21):
            next(results)
            assert taken - done < 2 * each
        by_hand.worker()
        under_way(lambda jobs: jobs >= 2 * each)
        assert engine.workers == 2
        end(by_hand.workers[0])
        under_way(lambda jobs: jobs == each)
        assert engine.workers == 1


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_worker_that_cannot_write_is_refused_before_the_start(
    by_hand: ByHand,
    s3_url: str,
    object_store: ObjectServer,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for identity in ("writer", "reader", "reader"):
        by_hand.worker(env=object_store.environment(identity))
    with Client(scheduler_file=by_hand.file, set_as_default=False) as client:
        client.wait_for_workers(3, timeout=WITHIN_S)
    option = f"endpoint_url={object_store.endpoint}"
    arguments = generating(by_hand, Path("unused"), "--storage-option", option)
    arguments = [word for word in arguments if not word.startswith("--set=output.directory=")]
    code, err = refused(capsys, [*arguments, "--output-dir", s3_url])
    assert (code, len(err.splitlines())) == (3, 1)
    assert err.startswith("fleetgen: worker tcp://127.0.0.1:")
    assert "each with credentials of its own (and 1 more of 3 workers)" in err
    where = ["--scheduler-file", by_hand.file, "--output-dir", s3_url, "--storage-option", option]
    assert main(["doctor", *where]) == 1
    lines = [line.split()[:2] for line in capsys.readouterr().out.splitlines()]
    assert [level for level, what in lines if what == "worker:"].count("fail") == 2
    assert BUCKET in s3_url


def test_a_place_that_is_another_one_for_a_worker_is_refused(
    by_hand: ByHand, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    by_hand.worker()
    elsewhere = str(tmp_path / "elsewhere")
    from fleetgen import workers
    from fleetgen.io.store import open_store

    def asked_elsewhere(place: tuple[str, object, str]) -> object:
        return functools.partial(workers._answer, (elsewhere, *place[1:]))

    settings = ExecutionSettings("scheduler", scheduler_file=by_hand.file)
    with open_engine(settings, "run") as engine:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(workers, "partial", lambda _, place: asked_elsewhere(place))
            (found,) = workers.look_at(engine, open_store(str(tmp_path / "set")))
        assert "is another place there, without what is written here" in str(found.fault)
        (well,) = workers.look_at(engine, open_store(str(tmp_path / "set")))
        assert well.fault is None
        assert abs(well.ahead_s) < 1
    assert capsys.readouterr().err == ""
    assert not (tmp_path / "set").exists()


# --- watching -------------------------------------------------------------------------------------


def test_the_times_of_every_part_are_kept(tmp_path: Path, make: Make) -> None:
    made = make(QUICK)
    (file,) = (made.path / "_fleetgen" / "timings").iterdir()
    assert file.name == "0000.csv"
    rows = list(csv.DictReader(file.read_text().splitlines()))
    receipts = {path.stem for path in (made.path / "_fleetgen" / "receipts").iterdir()}
    assert receipts < {row["job"] for row in rows}
    assert len(rows) == len({row["job"] for row in rows})
    for row in rows:
        assert float(row["computing_seconds"]) >= 0
        assert float(row["storing_seconds"]) >= 0
        assert 0 <= float(row["began"]) < 600
    assert {row["worker"] for row in rows} == {"1"}
    assert "timings" not in made.manifest.decode()


@pytest.mark.skipif(find_spec("bokeh") is None, reason="needs bokeh: the extra `dashboard`")
@pytest.mark.parametrize("where", ["local", "given"])
@pytest.mark.slow
def test_dask_reports_a_run(by_hand: ByHand, tmp_path: Path, where: str) -> None:
    page, place = tmp_path / "report.html", tmp_path / "set"
    arguments = command(place, changes={**QUICK, "execution.executor": "local"})
    if where == "given":
        by_hand.worker()
        arguments = generating(by_hand, place)
    done = run_python("-m", "fleetgen", *arguments, "--performance-report", str(page))
    assert done.code == 0, done.err
    assert "Dask Performance Report" in page.read_text("utf-8")


@pytest.mark.parametrize(
    ("changes", "file", "told"),
    [
        ({}, "report.html", "is Dask's, and this run is made by --executor serial"),
        ({"execution.executor": "threads"}, "report.html", "by --executor threads"),
        ({"execution.executor": "local"}, "nowhere/report.html", "cannot be written|not here"),
    ],
)
def test_a_report_that_cannot_be_is_refused(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    changes: Changes,
    file: str,
    told: str,
) -> None:
    arguments = command(tmp_path / "set", changes={**QUICK, **changes})
    code, err = refused(capsys, [*arguments, "--performance-report", str(tmp_path / file)])
    assert (code, len(err.splitlines())) == (2, 1)
    assert any(each in err for each in told.split("|"))
    assert not (tmp_path / "set").exists()


def test_json_lines_say_how_fast_and_how_long(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [a for a in command(tmp_path / "set", changes=QUICK) if a != "none"]
    arguments.remove("--progress")
    assert main([*arguments, "--progress", "json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    parts = [line for line in lines if line["stage"] == "parts"]
    assert parts[0]["rows_per_second"] is None
    assert all(line["workers"] == 1 for line in parts)
    assert all(line["rows_per_second"] > 0 for line in parts[1:])
    left = [line["seconds_left"] for line in parts[1:]]
    assert left[-1] == 0
    assert all(seconds >= 0 for seconds in left)
    assert parts[-1]["bytes_done"] > 0


# --- doctor ---------------------------------------------------------------------------------------


def levels(out: str) -> dict[str, str]:
    """How each thing is, by its name."""
    rows = [line.split(None, 1) for line in out.splitlines()]
    return {text.partition(":")[0]: level for level, text in rows}


def test_the_doctor_finds_all_well(
    by_hand: ByHand, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    by_hand.worker()
    where = ["--output-dir", str(tmp_path / "set"), "--scheduler-file", by_hand.file]
    assert main(["doctor", *where]) == 0
    out = capsys.readouterr().out
    found = levels(out)
    assert {found[name] for name in ("fleetgen", "storage", "scheduler", "worker")} == {"ok"}
    assert found.keys() >= {"packages", "cores", "memory", "temporary files", "compiled code"}
    assert "has the same versions, can write the output" in out
    assert not (tmp_path / "set").exists()


def test_the_doctor_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    monkeypatch.setattr(execute, "_CONNECT_S", 0.5)
    monkeypatch.setattr(doctor, "_CPU_QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr(doctor, "available_cores", lambda: 8)
    monkeypatch.setattr(doctor, "available_memory", lambda: 1_000_000_000)
    monkeypatch.setattr("fleetgen.compiler.KEPT_IN", str(tmp_path / "nowhere"))
    where = ["--output-dir", str(tmp_path / "file"), "--scheduler", "tcp://127.0.0.1:9"]
    assert main(["doctor", *where]) == 1
    out = capsys.readouterr().out
    found = levels(out)
    assert (found["storage"], found["scheduler"]) == ("fail", "fail")
    assert (found["cores"], found["memory"], found["compiled code"]) == ("warn",) * 3
    assert "8, of which this container may use 1.5; give --workers 1" in out
    assert "Give --workers 2, or more memory" in out  # (1000 - 250) / 260
    assert "set XDG_CACHE_HOME" in out
    assert "Start one with `dask scheduler`" in out


@pytest.mark.parametrize(
    ("address", "mode", "level", "told"),
    [
        ("tcp://127.0.0.1:8786", 0o644, "warn", "others can read its key"),
        ("tls://10.0.0.1:8786", 0o644, "warn", "chmod 600"),
        ("tls://10.0.0.1:8786", 0o600, "ok", "answers"),
        ("tcp://127.0.0.1:8786", 0o600, "ok", "answers"),
        ("tcp://[::1]:8786", 0o600, "ok", "answers"),
        ("tcp://localhost:8786", 0o600, "ok", "answers"),
        ("tcp://10.0.0.1:8786", 0o600, "warn", "without TLS: whoever reaches it runs code"),
    ],
)
def test_the_doctor_looks_at_a_schedulers_door(
    tmp_path: Path, address: str, mode: int, level: str, told: str
) -> None:
    key = tmp_path / "key.pem"
    key.touch(mode)
    key.chmod(mode)
    with dask.config.set({"distributed.comm.tls.client.key": str(key)}):
        found = doctor._door(address)
    assert (found.level, found.what) == (level, "scheduler")
    assert told in found.told


@pytest.mark.parametrize(
    ("given", "scheme", "level"),
    [
        ("10.0.0.1:8786", "tls", "ok"),
        ("10.0.0.1:8786", "tcp", "warn"),
        ("tcp://10.0.0.1:8786", "tls", "warn"),
        ("localhost:8786", "tcp", "ok"),
    ],
)
def test_an_address_without_a_scheme_has_that_of_the_configuration(
    monkeypatch: pytest.MonkeyPatch, given: str, scheme: str, level: str
) -> None:
    async def answer(address: str) -> None:
        assert address == (given if "://" in given else f"{scheme}://{given}")

    monkeypatch.setattr("fleetgen.execute._answer", answer)
    with dask.config.set({"distributed.comm.default-scheme": scheme}):
        address = reach_scheduler(ExecutionSettings("scheduler", scheduler=given))
        assert doctor._door(address).level == level


def test_the_doctor_tells_the_memory_of_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    workers = [Worker("tcp://a:1", "one:1", 0), Worker("tcp://a:2", "two:2", 1 << 30)]
    monkeypatch.setattr(doctor, "reach_scheduler", lambda _: "tcp://127.0.0.1:8786")
    monkeypatch.setattr(doctor, "open_engine", lambda *_: nullcontext())
    monkeypatch.setattr(doctor, "look_at", lambda *_: workers)
    _, unlimited, limited = doctor._cluster(ExecutionSettings("scheduler"), None)
    assert unlimited.told == "tcp://a:1 (one:1), no memory limit, has the same versions"
    assert limited.told == "tcp://a:2 (two:2), memory 1.1 GB, has the same versions"


def test_a_container_s_memory_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit, used = tmp_path / "memory.max", tmp_path / "memory.current"
    monkeypatch.setattr(execute, "_CGROUP_MEMORY", ((str(limit), str(used)),))
    whole = execute.available_memory()
    limit.write_text("max\n")
    used.write_text("300000000\n")
    assert abs(execute.available_memory() - whole) < 4 << 30
    limit.write_text("500000000\n")
    assert execute.available_memory() == 200_000_000


@pytest.mark.parametrize(
    ("stat", "free"),
    [
        ("anon 90000000\nfile 200000000\ninactive_file 150000000\nactive_file 50000000\n", 350e6),
        # Version 1: the group alone, then with the groups below, which is what its usage counts.
        ("inactive_file 70000000\ntotal_inactive_file 120000000\n", 320e6),
        ("anon 90000000\n", 200e6),
        ("no such table\n", 200e6),
    ],
)
def test_files_that_a_container_has_written_are_not_memory_that_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stat: str, free: float
) -> None:
    limit, used = tmp_path / "memory.max", tmp_path / "memory.current"
    monkeypatch.setattr(execute, "_CGROUP_MEMORY", ((str(limit), str(used)),))
    limit.write_text("500000000\n")
    used.write_text("300000000\n")
    (tmp_path / "memory.stat").write_text(stat)
    assert execute.available_memory() == free
