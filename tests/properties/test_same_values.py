"""Promise 1: the same values, whatever the machine and the cluster."""

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import psutil
import pytest

from fleetgen.io import manifest
from fleetgen.io.store import open_store
from fleetgen.plan import estimate, make_plan
from fleetgen.reduce import reduce
from fleetgen.schema import PARTED, STATES_FILE, TABLES
from fleetgen.spec import Job
from fleetgen.task import begin_job
from tests.conftest import Make
from tests.properties.plan import (
    HERE,
    SAMPLED,
    SERIES,
    Changes,
    DataSet,
    configured,
    differing,
    environment,
    keys,
    run_python,
)

# --- the cluster ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("executor", "workers"),
    [
        ("threads", 2),
        pytest.param("local", 1, marks=pytest.mark.slow),
        pytest.param("local", 2, marks=pytest.mark.slow),
        pytest.param("local", 3, marks=pytest.mark.slow),
    ],
)
def test_executors_give_the_same(make: Make, whole: DataSet, executor: str, workers: int) -> None:
    other = make({"execution.executor": executor, "execution.workers": workers})
    assert differing(whole.digests, other.digests) == []
    assert other.unlike(whole) == []  # every file, byte by byte


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Path]:
    """A scheduler and two workers as an operator starts them; gives the scheduler file."""
    file = tmp_path / "scheduler.json"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": environment()}
    place = ["--scheduler-file", str(file), "--no-dashboard"]
    dask = [sys.executable, "-m", "dask"]
    here = ["--host", "127.0.0.1", "--port", "0"]
    worker = ["--nthreads", "1", "--local-directory", str(tmp_path), "--death-timeout", "60"]
    started = [
        subprocess.Popen([*dask, "scheduler", *place, *here], **quiet),
        *(subprocess.Popen([*dask, "worker", *place, *worker], **quiet) for _ in range(2)),
    ]
    yield file
    nannied = [c for p in started for c in psutil.Process(p.pid).children(recursive=True)]
    for process in (*started, *nannied):
        process.kill()
    for process in started:
        process.wait()


@pytest.mark.slow
def test_a_given_scheduler_gives_the_same(make: Make, whole: DataSet, cluster: Path) -> None:
    other = make({"execution.executor": "scheduler", "execution.scheduler_file": str(cluster)})
    assert differing(whole.digests, other.digests) == []
    assert other.unlike(whole) == []


# --- blocks, order, writer ------------------------------------------------------------------------


@pytest.mark.parametrize("days", [3, 31, None])
def test_block_sizes_give_the_same(make: Make, whole: DataSet, days: int | None) -> None:
    other = make({"execution.block_days": days})
    assert len(other.files) < len(whole.files)
    assert differing(whole.digests, other.digests) == []
    assert other.states == whole.states
    assert closing(other) == closing(whole)


def closing(made: DataSet) -> dict[str, str]:
    """Hashes of the tables that close with the run, and of the states: no block may change them."""
    names = {STATES_FILE, *(f"{t.name}.csv" for t in TABLES.values() if t not in PARTED)}
    found = {f["path"]: f["sha256"] for f in made.files if f["path"] in names}
    assert found.keys() == names
    return found


def by_hand(path: Path, order: Callable[[Sequence[Job]], Sequence[Job]]) -> DataSet:
    """Run the jobs in an order of one's own."""
    config = configured(path)
    store = open_store(str(path))
    plan = make_plan(config, store.url)
    manifest.claim(store, config.identity(), plan.run.plan_digest)
    manifest.extend(store, plan.extents)
    for job in order([*plan.slow_paths, *plan.parts]):
        begin_job(job)()
    reduce(config, plan, estimate(plan, 1), store)
    return DataSet(path)


def shuffled(jobs: Sequence[Job]) -> Sequence[Job]:
    return random.Random(5).sample(jobs, len(jobs))


def twice(jobs: Sequence[Job]) -> Sequence[Job]:
    return [*jobs, *jobs]


def without_slow_paths(jobs: Sequence[Job]) -> Sequence[Job]:
    return [job for job in jobs if not job.key.startswith("slow-")]


@pytest.mark.slow
@pytest.mark.parametrize("order", [lambda jobs: jobs[::-1], shuffled, twice, without_slow_paths])
def test_any_order_of_jobs_gives_the_same(
    tmp_path: Path, whole: DataSet, order: Callable[[Sequence[Job]], Sequence[Job]]
) -> None:
    other = by_hand(tmp_path / "set", order)
    assert differing(whole.digests, other.digests) == []
    assert other.unlike(whole) == []


def test_writers_give_the_same(make: Make, whole: DataSet) -> None:
    other = make({"output.writer": "pyarrow"})
    assert differing(whole.digests, other.digests) == []
    assert [f["sha256"] for f in other.files] != [f["sha256"] for f in whole.files]
    for name in (*SAMPLED, "feature_store"):
        assert other.read(name).equals(whole.read(name)), name


def test_a_second_run_gives_the_same_bytes(make: Make, whole: DataSet) -> None:
    assert make(again=True).unlike(whole) == []


def test_another_seed_gives_other_values(make: Make, whole: DataSet) -> None:
    """The comparison of digests can fail."""
    other = make({"run.seed": 110})
    always = {k for k in whole.digests if k[0] in SERIES}
    assert {k for k in other.digests if k[0] in SERIES} == always
    assert not {*other.digests.values()} & {*whole.digests.values()}


# --- the machine ----------------------------------------------------------------------------------

Prints = dict[str, object]


def fingerprint(
    path: Path,
    changes: Changes | None = None,
    env: dict[str, str] | None = None,
    python: str = sys.executable,
) -> tuple[DataSet, Prints]:
    """A data set made in a process of its own, and what that process says of the bits behind it."""
    text = json.dumps(keys(path, changes))
    done = run_python("-W", "ignore", HERE / "fingerprint.py", text, python=python, env=env)
    assert done.code == 0, done.err[-4000:]
    return DataSet(path), json.loads(done.out)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Prints:
    return fingerprint(tmp_path_factory.mktemp("here") / "set")[1]


@pytest.mark.slow
def test_a_foreign_environment_gives_the_same(tmp_path: Path, whole: DataSet, here: Prints) -> None:
    env = {
        "TZ": "America/New_York",
        "LC_ALL": "tr_TR.UTF-8",
        "LANG": "tr_TR.UTF-8",
        "PYTHONHASHSEED": "4321",
        "PYTHONUTF8": "0",
        "OMP_NUM_THREADS": "3",
        "COLUMNS": "40",
    }
    other, prints = fingerprint(tmp_path / "set", env=env)
    assert differing(whole.digests, other.digests) == []
    assert other.unlike(whole) == []
    assert prints == here


def older_cpu(cache: Path) -> dict[str, str]:
    """Variables under which this CPU passes for one without AVX, FMA or AVX-512."""
    from numpy._core import _multiarray_umath as core

    features = [name for name in core.__cpu_dispatch__ if core.__cpu_features__.get(name)]
    return {
        "NPY_DISABLE_CPU_FEATURES": " ".join(features),
        "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX512F,-AVX2,-FMA,-AVX",
        "NUMBA_CPU_NAME": "generic",
        "NUMBA_CPU_FEATURES": "",
        "NUMBA_CACHE_DIR": str(cache),
    }


@pytest.mark.slow
def test_an_older_cpu_gives_the_same(tmp_path: Path, whole: DataSet, here: Prints) -> None:
    other, prints = fingerprint(tmp_path / "set", env=older_cpu(tmp_path / "cache"))
    assert differing(whole.digests, other.digests) == []
    assert other.unlike(whole) == []
    assert prints["state"] == here["state"]
    if "fma" not in cpu_flags():
        pytest.skip("this CPU is itself of the older kind: equal, but nothing was emulated")
    # Else the test could not fail: the C library and NumPy do differ between the two.
    assert (prints["libm"], prints["numpy"]) != (here["libm"], here["numpy"])


def cpu_flags() -> set[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    return {flag for line in lines if line.startswith("flags") for flag in line.split()}


def usable_python(version: str) -> str:
    """A Python of that version with the package's dependencies, or the test is skipped.

    FLEETGEN_TEST_PYTHONS may name interpreters, as PATH names directories.
    """
    named = os.environ.get("FLEETGEN_TEST_PYTHONS", "").split(os.pathsep)
    found = [p for p in (*named, shutil.which(f"python{version}")) if p]
    reason = "there is none"
    for python in found:
        code = (
            "import sys; assert '%d.%d' % sys.version_info[:2] == sys.argv[1], sys.version\n"
            "import numba, numpy, pandas, psutil, pyarrow, pydantic, distributed, fsspec, isal\n"
        )
        done = run_python("-c", code, version, python=python)
        if done.code == 0:
            return python
        reason = f"{python}: {(done.err.strip() or 'does not run').splitlines()[-1]}"
    pytest.skip(f"Python {version} with the package's dependencies: {reason}")


@pytest.mark.slow
@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_other_pythons_give_the_same(
    tmp_path: Path, whole: DataSet, here: Prints, version: str
) -> None:
    if version == "{}.{}".format(*sys.version_info):
        pytest.skip("the tests run on it")
    other, prints = fingerprint(tmp_path / "set", python=usable_python(version))
    assert prints["python"] == [int(n) for n in version.split(".")]
    assert differing(whole.digests, other.digests) == []
    assert prints["state"] == here["state"]


TINY: Changes = {
    "fleet.file": None,
    "inject": None,
    "fleet.locations": {
        "TINY": {
            "name": "Tiny",
            "city": "Hat Yai",
            "region": "southern",
            "latitude": 7.0,
            "longitude": 100.5,
            "commissioned": "2001-01-01",
            "climate": "hat-yai",
            "outages_per_year": 100.0,
            "outage_median_min": 30.0,
            "systems": {
                "REC-01": {"kind": "REC", "jars_per_string": 3, "strings": {"S1": "GPL12-100"}}
            },
        }
    },
    "run.start_date": "2001-10-02",
    "run.duration_days": 0.5,
    "run.sampling_seconds": 60,
    "run.seed": 1,
}
"""Half a day of one string of three jars, with the self-test that the month's first Tuesday has."""


@pytest.mark.slow
def test_plain_python_gives_the_bits_of_compiled_kernels(tmp_path: Path) -> None:
    compiled, prints = fingerprint(tmp_path / "compiled", TINY)
    plain, plain_prints = fingerprint(tmp_path / "plain", TINY, {"NUMBA_DISABLE_JIT": "1"})
    assert "discharge" in compiled.read("telemetry_string_raw")["mode"].to_pylist()
    assert differing(compiled.digests, plain.digests) == []
    assert plain.unlike(compiled) == []
    assert plain_prints["state"] == prints["state"]


# --- spot checks ----------------------------------------------------------------------------------


def test_equal_digests_are_equal_values(make: Make, whole: DataSet) -> None:
    """Read from the files of two runs whose layouts have nothing in common."""
    other = make({"execution.block_days": 31})
    for name in (*SAMPLED, "feature_store"):
        assert other.read(name).equals(whole.read(name)), name
    volts = whole.values("telemetry_jar_raw", "voltage_v")
    assert volts.shape == (2 * 24 + 3 * 6 + 8, 6 * 288)
    assert np.isfinite(volts).mean() > 0.99  # faults leave nulls
