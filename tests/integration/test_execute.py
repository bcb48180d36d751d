"""Every executor gives the same results, the same faults, and leaves nothing behind."""

import ast
import asyncio
import itertools
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial, wraps
from pathlib import Path
from typing import TypeVar

import dask
import psutil
import pytest
from distributed.core import rpc

import fleetgen.execute
from fleetgen import versions
from fleetgen.errors import ClusterError, ConfigError, SimulationError
from fleetgen.execute import Engine, ExecutionSettings, Interrupted, open_engine

ROOT = Path(__file__).resolve().parents[2]
RUN_ID = "0123456789ab"
WINDOW = 4 * 2

R = TypeVar("R")


@dataclass(frozen=True)
class Job:
    number: int
    text: str = ""

    @property
    def key(self) -> str:
        return f"part-{self.number:03d}"


def begun(function: Callable[[Job], R]) -> Callable[[Job], Callable[[], R]]:
    """Leave all of `function` to the call that ends a job."""

    @wraps(function)
    def begin(job: Job) -> Callable[[], R]:
        return partial(function, job)

    return begin


@begun
def square(job: Job) -> tuple[str, int]:
    return job.key, job.number**2


@begun
def nap(job: Job) -> str:
    time.sleep(0.05)
    return job.key


@begun
def misconfigured(job: Job) -> None:
    raise ConfigError(f"{job.key} is not to be had")


@begun
def buggy(job: Job) -> int:
    return 1 // (job.number - 3)


@begun
def suicidal(job: Job) -> str:
    if job.number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.05)
    return job.key


@begun
def greedy(job: Job) -> str:
    if job.number == 1:
        held = b"x" * 600_000_000
        time.sleep(60)
        del held
    return job.key


@begun
def touch_and_fail(job: Job) -> None:
    (Path(job.text) / job.key).touch()
    raise ConfigError("enough")


@begun
def environment(job: Job) -> str:
    return os.environ["OMP_NUM_THREADS"] + "," + ("json.tool" in sys.modules) * "preloaded"


@pytest.fixture(scope="module")
def importable() -> Iterator[None]:
    """Worker processes take over `sys.path`, and must find the functions of this module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        yield


@pytest.fixture(scope="module")
def local(importable: None) -> Iterator[Engine]:
    settings = ExecutionSettings(executor="local", workers=2, memory_limit_bytes=500_000_000)
    with open_engine(settings, RUN_ID, preload=["json.tool"]) as engine:
        yield engine


@pytest.fixture(params=["serial", "threads", "local"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    if request.param == "local":
        yield request.getfixturevalue("local")
    else:
        with open_engine(ExecutionSettings(executor=request.param, workers=2), RUN_ID) as opened:
            yield opened


def test_every_job_is_run_once_and_its_result_comes_back(engine: Engine) -> None:
    results = list(engine.run(square, [Job(number) for number in range(40)]))
    assert sorted(results) == [(f"part-{number:03d}", number * number) for number in range(40)]


def test_a_second_phase_runs_on_the_same_engine_and_no_jobs_are_no_fault(engine: Engine) -> None:
    assert list(engine.run(square, [])) == []
    assert list(engine.run(square, iter([Job(7)]))) == [("part-007", 49)]


def test_own_faults_keep_type_and_message(engine: Engine) -> None:
    with pytest.raises(ConfigError, match=r"^part-000 is not to be had$"):
        list(engine.run(misconfigured, [Job(0)]))


def test_other_faults_name_the_job(engine: Engine) -> None:
    with pytest.raises(SimulationError, match=r"^part-003: ZeroDivisionError: .*serial"):
        list(engine.run(buggy, [Job(number) for number in range(6)]))


def test_nothing_is_started_after_a_fault(engine: Engine, tmp_path: Path) -> None:
    jobs = [Job(number, str(tmp_path)) for number in range(100)]
    with pytest.raises(ConfigError):
        list(engine.run(touch_and_fail, jobs))
    assert 1 <= len(list(tmp_path.iterdir())) <= 2 * WINDOW


def test_jobs_are_started_in_order(engine: Engine) -> None:
    taken: list[int] = []

    def jobs() -> Iterator[Job]:
        for number in range(30):
            taken.append(number)
            yield Job(number)

    results = engine.run(square, jobs())
    next(results)
    assert len(taken) <= 2 * WINDOW  # the window slides; jobs are not taken all at once
    list(results)
    assert taken == list(range(30))


def test_what_a_result_makes_possible_comes_after_all_jobs(engine: Engine) -> None:
    def then(result: tuple[str, int]) -> list[Job]:
        number = int(result[0][-3:])
        return [Job(100 + number)] if number < 20 and number % 2 else []

    names = [name for name, _ in engine.run(square, map(Job, range(20)), then)]
    assert sorted(names) == sorted(
        f"part-{number:03d}" for number in (*range(20), *range(101, 120, 2))
    )
    first = min(names.index(name) for name in names if name >= "part-100")
    assert first >= 20 - WINDOW


def test_what_is_submitted_later_ranks_behind(local: Engine) -> None:
    """By default Dask has the first of each submission go before the others of all."""
    scheduler = local._client.cluster.scheduler
    ranks: dict[int, tuple[int, ...]] = {}
    for _ in local.run(nap, [Job(number) for number in range(30)]):
        there = list(scheduler.tasks.values())
        ranks |= {int(task.key[-3:]): task.priority for task in there if task.priority}
    later = [rank for number, rank in ranks.items() if number >= WINDOW]
    assert len(later) > WINDOW
    assert max(rank for number, rank in ranks.items() if number < WINDOW) < min(later)


def test_dask_holds_no_finished_future(local: Engine) -> None:
    scheduler = local._client.cluster.scheduler
    most = 0
    for _ in local.run(nap, [Job(number) for number in range(60)]):
        most = max(most, len(scheduler.tasks))
    assert most <= 2 * WINDOW
    deadline = time.monotonic() + 5
    while scheduler.tasks and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not scheduler.tasks


def test_dask_keeps_few_jobs_that_are_done(local: Engine) -> None:
    """By default both ends of a line keep their last thousand messages, with the jobs in them."""
    client = local._client
    list(local.run(square, [Job(number, 10_000 * "x") for number in range(100)]))
    ends = [client.scheduler_comm, *client.cluster.scheduler.stream_comms.values()]
    assert len(ends) == 1 + 2
    assert {end.recent_message_log.maxlen for end in ends} == {20}
    assert client.scheduler_comm.recent_message_log


def test_dask_keys_name_run_and_job(local: Engine) -> None:
    scheduler = local._client.cluster.scheduler
    results = local.run(nap, [Job(number) for number in range(30)])
    next(results)
    keys = set(scheduler.tasks)
    list(results)
    assert keys
    assert all(key.startswith(f"nap-{RUN_ID}-part-0") for key in keys)


def test_workers_are_prepared(local: Engine) -> None:
    assert list(local.run(environment, [Job(0)])) == ["1,preloaded"]
    (limit,) = {worker.memory_limit for worker in local._client.cluster.scheduler.workers.values()}
    assert limit == 500_000_000
    assert local.workers == 2
    assert local.dashboard_url.startswith("http://127.0.0.1:")


def test_workers_are_deaf_to_ctrl_c(local: Engine) -> None:
    pids = set(local._client.run(os.getpid).values())
    for pid in pids:
        os.kill(pid, signal.SIGINT)
    assert len(list(local.run(nap, [Job(number) for number in range(8)]))) == 8
    assert set(local._client.run(os.getpid).values()) == pids


def test_a_stranger_is_refused_by_scheduler_and_workers(local: Engine) -> None:
    """Whoever has no certificate of this run, or one of another run."""
    workers = list(local._client.scheduler_info()["workers"])
    own = local._client.security.get_connection_args("client")
    others = fleetgen.execute._own_security().get_connection_args("client")

    async def identity(address: str, arguments: dict[str, object]) -> object:
        connection = rpc(address, timeout=5, connection_args=arguments)
        async with connection as there:
            return await there.identity()

    for address in (local._client.scheduler.address, *workers):
        assert address.startswith("tls://127.0.0.1:")
        assert asyncio.run(identity(address, own))
        with pytest.raises(OSError, match="before comm was established"):
            asyncio.run(identity(address, others))
        with pytest.raises(OSError, match="before comm was established"):
            asyncio.run(identity(address.replace("tls:", "tcp:"), {}))


def test_nothing_of_a_local_cluster_listens_beyond_loopback(local: Engine) -> None:
    this = psutil.Process()
    pids = set(local._client.run(os.getpid).values())
    listening = [
        (connection.laddr.ip, connection.laddr.port)
        for process in (this, *map(psutil.Process, pids))
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) >= 4  # scheduler, dashboard, and each worker
    assert {ip for ip, _ in listening} == {"127.0.0.1"}


def test_the_environment_is_given_back(importable: None) -> None:
    before = dict(os.environ)
    with open_engine(ExecutionSettings(executor="local", workers=1), RUN_ID) as engine:
        list(engine.run(square, [Job(0)]))
    assert dict(os.environ) == before


def test_workers_that_cannot_be_started_are_told_with_the_way_out(tmp_path: Path) -> None:
    """A socket's path is of 107 characters at most: a long TMPDIR is enough."""
    place = tmp_path / ("x" * 100)
    place.mkdir()
    code = (
        "from fleetgen.errors import ClusterError\n"
        "from fleetgen.execute import ExecutionSettings, open_engine\n"
        "try:\n"
        "    with open_engine(ExecutionSettings('local', workers=1), 'run'): pass\n"
        "except ClusterError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(place)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("the local cluster did not start: ")
    assert done.stdout.endswith("Try --executor threads\n")


@pytest.mark.slow
def test_a_part_that_takes_too_much_memory_is_named(importable: None) -> None:
    """The nanny ends its worker, again and again."""
    settings = ExecutionSettings("local", workers=1, memory_limit_bytes=400_000_000)
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        pytest.raises(ClusterError, match=r"^(part-\d+ or )*part-001\b.*: 2 worker .*400 MB"),
        open_engine(settings, RUN_ID) as engine,
    ):
        list(engine.run(greedy, [Job(number) for number in range(4)]))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_part_that_kills_its_worker_is_named(importable: None, workers: int) -> None:
    settings = ExecutionSettings("local", workers=workers, memory_limit_bytes=400_000_000)
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        pytest.raises(ClusterError, match=r"^(part-\d+ or )*part-001\b.*: 2 worker .*400 MB"),
        open_engine(settings, RUN_ID) as engine,
    ):
        list(engine.run(suicidal, [Job(number) for number in range(12)]))


def test_a_lost_worker_costs_no_result(local: Engine) -> None:
    results = []
    for number, result in enumerate(local.run(nap, [Job(number) for number in range(30)])):
        if number == 5:
            os.kill(min(local._client.run(os.getpid).values()), signal.SIGKILL)
        results.append(result)
    assert sorted(results) == [f"part-{number:03d}" for number in range(30)]


# --- a given scheduler ----------------------------------------------------------------------------


@pytest.fixture
def cluster(
    importable: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, subprocess.Popen[bytes], subprocess.Popen[bytes]]]:
    """Scheduler file, scheduler and a worker of two threads, started by hand as on a cluster."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    file = str(tmp_path / "scheduler.json")
    scheduler, worker = (
        subprocess.Popen(
            [
                *(sys.executable, "-m", f"distributed.cli.dask_{command}", *arguments),
                *("--no-dashboard", "--scheduler-file", file),
            ],
            cwd=tmp_path,
            stderr=subprocess.DEVNULL,
        )
        for command, arguments in (
            ("scheduler", ["--host", "127.0.0.1", "--port", "0"]),
            ("worker", ["--no-nanny", "--nthreads", "2"]),
        )
    )
    yield file, scheduler, worker
    for process in (worker, scheduler):
        process.kill()
        process.wait()


def test_a_given_scheduler_serves_two_runs_and_its_loss_is_told(
    cluster: tuple[str, subprocess.Popen[bytes], subprocess.Popen[bytes]],
) -> None:
    file, scheduler, _ = cluster
    settings = ExecutionSettings(executor="scheduler", scheduler_file=file)
    with open_engine(settings, "one") as one, open_engine(settings, "two") as two:
        assert (one.workers, two.workers) == (1, 1)  # of two threads, one computes
        jobs = [Job(number) for number in range(20)]
        pairs = list(zip(one.run(nap, jobs), two.run(square, jobs), strict=True))
        assert sorted(name for name, _ in pairs) == [job.key for job in jobs]
        assert sorted(square for _, (_, square) in pairs) == [number**2 for number in range(20)]
        naps = one.run(nap, [Job(number) for number in range(100)])
        next(naps)
        scheduler.kill()
        with pytest.raises(ClusterError, match="the scheduler or the worker is gone"):
            list(naps)


def two_naps(job: Job) -> Callable[[], tuple[float, float, float]]:
    """When a job began to compute, ended that, and was stored."""
    began_s = time.monotonic()
    time.sleep(0.2)
    computed_s = time.monotonic()

    def end() -> tuple[float, float, float]:
        time.sleep(0.2)
        return began_s, computed_s, time.monotonic()

    return end


def test_of_a_workers_two_threads_one_computes_and_one_stores(
    cluster: tuple[str, subprocess.Popen[bytes], subprocess.Popen[bytes]],
) -> None:
    settings = ExecutionSettings(executor="scheduler", scheduler_file=cluster[0])
    with open_engine(settings, "turns") as engine:
        times = sorted(engine.run(two_naps, [Job(number) for number in range(8)]))
    following = list(itertools.pairwise(times))
    assert all(before[1] <= after[0] for before, after in following)  # they compute in turn
    assert sum(after[0] < before[2] for before, after in following) >= 4  # beside the storing


def test_workers_that_stay_away_are_told(
    cluster: tuple[str, subprocess.Popen[bytes], subprocess.Popen[bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file, _, worker = cluster
    settings = ExecutionSettings(executor="scheduler", scheduler_file=file)
    monkeypatch.setattr(fleetgen.execute, "_POLL_S", 0.1)
    with open_engine(settings, RUN_ID) as engine:
        monkeypatch.setattr(fleetgen.execute, "_NO_WORKERS_S", 1)
        jobs = engine.run(nap, [Job(number) for number in range(100)])
        next(jobs)
        worker.kill()
        with pytest.raises(ClusterError, match=r"no (workers|result)"):
            list(jobs)
    with pytest.raises(ClusterError, match="no workers"), open_engine(settings, RUN_ID):
        pass


def test_mixed_versions_are_refused_with_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    here = {"python": "3.12", "numpy": "2.4.6", "numba": "0.68.1", "fleetgen": "0.1.0+0a"}
    monkeypatch.setattr("fleetgen.versions.here", lambda: here)
    same: dict[str, dict[str, str] | Exception] = {"tcp://10.0.0.1:1": dict(here)}
    fleetgen.execute._refuse_mixed(same)
    with pytest.raises(ClusterError) as caught:
        fleetgen.execute._refuse_mixed(
            {
                **same,
                "tcp://10.0.0.2:1": {**here, "numpy": "2.5.0"},
                "tcp://10.0.0.3:1": ModuleNotFoundError("No module named 'fleetgen'"),
                "tcp://10.0.0.4:1": {**here, "fleetgen": "0.1.0+0b"},
            }
        )
    lines = [line.split() for line in str(caught.value).splitlines()[1:]]
    assert lines == [
        ["worker", "package", "there", "here"],
        ["tcp://10.0.0.2:1", "numpy", "2.5.0", "2.4.6"],
        ["tcp://10.0.0.3:1", "fleetgen", "absent", "0.1.0+0a"],
        ["tcp://10.0.0.4:1", "fleetgen", "0.1.0+0b", "0.1.0+0a"],
    ]
    with pytest.raises(ClusterError, match=r"^worker tcp://10\.0\.0\.5:1 does not answer: timed"):
        fleetgen.execute._refuse_mixed({"tcp://10.0.0.5:1": TimeoutError("timed out")})


def test_a_source_file_that_differs_is_another_version(tmp_path: Path) -> None:
    package = tmp_path / "fleetgen"
    shutil.copytree(ROOT / "fleetgen", package, ignore=shutil.ignore_patterns("__pycache__"))
    ask = [sys.executable, "-c", "from fleetgen import versions; print(versions.here())"]

    def told() -> str:
        env = {**os.environ, "PYTHONPATH": str(tmp_path)}
        return subprocess.run(ask, env=env, cwd=tmp_path, capture_output=True, text=True).stdout

    assert told() == f"{versions.here()}\n"
    with (package / "units.py").open("a") as file:
        file.write("# another\n")
    changed = ast.literal_eval(told())
    assert [row.split()[0] for row in versions.differing(changed, versions.here())] == ["fleetgen"]


def test_a_worker_of_another_version_takes_no_part() -> None:
    """Whenever it joins: each part says what it is to be made with."""
    call = pickle.dumps((square, Job(3)))
    ours = versions.here()
    function, job = fleetgen.execute._unpacked(pickle.dumps((ours, call)))
    assert function(job)() == ("part-003", 9)
    with pytest.raises(ClusterError, match=r"same everywhere(.|\n)*:\d+ +numba +\S+ +0\.0\.1$"):
        fleetgen.execute._perform(pickle.dumps(({**ours, "numba": "0.0.1"}, b"unreadable")))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scheduler": "tcp://127.0.0.1:9"}, "no scheduler answers at 'tcp://127.0.0.1:9'"),
        ({"scheduler": "localhost"}, "no scheduler answers at 'localhost' .*missing port"),
        ({"scheduler_file": "/nowhere/scheduler.json"}, "'/nowhere/scheduler.json' gives no"),
        ({}, "needs --scheduler"),
    ],
)
def test_an_absent_scheduler_is_told(
    settings: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleetgen.execute, "_CONNECT_S", 0.5)
    with (
        pytest.raises(ClusterError, match=message) as caught,
        open_engine(ExecutionSettings(executor="scheduler", **settings), RUN_ID),
    ):
        pass
    assert "\n" not in str(caught.value)


# --- signals --------------------------------------------------------------------------------------

SCRIPT = """
import sys
from fleetgen.execute import ExecutionSettings, open_engine
from tests.integration.test_execute import Job, nap

if __name__ == "__main__":
    try:
        with open_engine(ExecutionSettings(executor=sys.argv[1], workers=2), "run") as engine:
            print("open", flush=True)
            for _ in engine.run(nap, [Job(number) for number in range(100_000)]):
                print("done", flush=True)
    except KeyboardInterrupt as interrupt:
        print("interrupted", flush=True)
        sys.exit(128 + interrupt.signum)
"""


def runs(process: psutil.Process) -> bool:
    """Whether a process still runs; a zombie only waits for somebody to ask for its exit code."""
    try:
        process.wait(timeout=1)
    except psutil.TimeoutExpired:
        return process.status() != psutil.STATUS_ZOMBIE
    return False


@pytest.mark.parametrize(
    ("executor", "stage", "signum", "whole_group"),
    [
        ("local", "done", signal.SIGINT, True),
        ("local", "open", signal.SIGINT, True),
        ("local", "done", signal.SIGTERM, False),
        ("local", "done", signal.SIGTERM, True),
        ("threads", "done", signal.SIGINT, True),
        ("serial", "done", signal.SIGTERM, True),
    ],
)
def test_a_signal_ends_everything_quietly(
    executor: str, stage: str, signum: int, whole_group: bool, tmp_path: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    process = subprocess.Popen(
        [sys.executable, str(script), executor],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    while stage not in process.stdout.readline():
        assert process.poll() is None
    children = psutil.Process(process.pid).children(recursive=True)
    (os.killpg if whole_group else os.kill)(process.pid, signum)
    output, errors = process.communicate(timeout=30)
    assert process.returncode == 128 + signum
    assert output.split()[-1] == "interrupted"
    assert output.count("interrupted") == 1
    assert errors == ""
    assert not [child for child in children if runs(child)]
    assert list(tmp_path.iterdir()) == [script]


def test_a_signal_while_closing_waits_for_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def pressed_twice(*_: object, **__: object) -> None:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        closed.append(True)

    closed: list[bool] = []
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with (  # noqa: PT012
        pytest.raises(Interrupted) as caught,
        open_engine(ExecutionSettings(executor="threads", workers=1), RUN_ID) as engine,
    ):
        list(engine.run(square, [Job(1)]))
        monkeypatch.setattr(engine._pool, "shutdown", pressed_twice)
    assert closed == [True]
    assert caught.value.signum == signal.SIGTERM
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_a_signal_in_a_finalizer_is_raised_after_it(capfd: pytest.CaptureFixture[str]) -> None:
    class Finalized:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    hook = sys.unraisablehook
    with (  # noqa: PT012
        pytest.raises(Interrupted) as caught,
        open_engine(ExecutionSettings(executor="serial"), RUN_ID),
    ):
        assert Finalized()
        threading.Event().wait(10)
        raise AssertionError("the signal was lost")
    assert caught.value.signum == signal.SIGTERM
    assert sys.unraisablehook is hook
    assert capfd.readouterr().err == ""


def test_ignored_signals_stay_ignored_and_other_threads_set_none() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with open_engine(ExecutionSettings(executor="serial"), RUN_ID):
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)

    def elsewhere() -> None:
        with open_engine(ExecutionSettings(executor="serial"), RUN_ID) as engine:
            results.extend(engine.run(square, [Job(2)]))

    results: list[tuple[str, int]] = []
    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert results == [("part-002", 4)]
