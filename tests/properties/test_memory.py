"""Promise 5: memory does not grow with duration, sampling rate or fleet.

A run in one process holds client and worker together. The second of several parts of full size is
the first to find the caches filled, so that a run of two parts is what others are compared with.
"""

import gc
import json
import shutil
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

import fleetgen.excerpts
import fleetgen.history
import fleetgen.io.local
import fleetgen.plan
import fleetgen.reduce
import fleetgen.task
from fleetgen.history import Derived
from fleetgen.io import csv, manifest
from fleetgen.io.store import open_store
from fleetgen.pipeline import generate
from fleetgen.schema import FEATURE_STORE, HISTORIES
from fleetgen.spec import Done, FileEntry, Job, Receipt, SlowPathJob
from tests.properties.plan import HERE, Changes, configured, keys, run_python

GROWTH = 1.10
"""Most by which a peak may rise when a run becomes four times as large: the allocator's slack."""

CLIENT_BYTES_PER_PART = 1000

STRINGS = [f"DC-CNX-01-REC-01-S{n}" for n in (1, 2, 3)] + [
    f"DC-CNX-01-UPS-01-S{n}" for n in range(1, 6)
]
BASE: Changes = {
    "fleet.file": None,
    "run.start_date": "2025-01-01",
    "run.duration_days": 59,
    "run.sampling_seconds": 10,
    "select.strings": STRINGS[:1],
    "execution.block_days": None,
}
"""January and February of one string: two parts of about 6 million jar samples."""


@pytest.fixture(scope="module")
def peak_bytes(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Changes], int]:
    known: dict[str, int] = {}

    def peak(changes: Changes) -> int:
        if repr(changes) not in known:
            place = tmp_path_factory.mktemp("peak")
            text = json.dumps(keys(place / "set", {**BASE, **changes}))
            done = run_python(HERE / "peak.py", text)
            assert done.code == 0, done.err[-2000:]
            shutil.rmtree(place)
            known[repr(changes)] = int(done.out)
        return known[repr(changes)]

    return peak


pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="peak memory is read from /proc"
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("small", "large"),
    [
        pytest.param({}, {"run.duration_days": 4 * 59}, id="duration"),
        pytest.param({}, {"select.strings": STRINGS}, id="fleet"),
        pytest.param(
            {"output.format": "csv.gz", "run.sampling_seconds": 20},
            {"output.format": "csv.gz", "run.sampling_seconds": 20, "run.duration_days": 4 * 59},
            id="csv.gz",
        ),
        pytest.param(
            {"run.sampling_seconds": 4, "run.duration_days": 31},
            {"run.sampling_seconds": 1, "run.duration_days": 31},
            id="sampling",
        ),
    ],
)
def test_a_worker_does_not_grow(
    peak_bytes: Callable[[Changes], int], small: Changes, large: Changes
) -> None:
    before, after = peak_bytes(small), peak_bytes(large)
    assert before > 100e6  # it is a peak, and not a count of something else
    assert after < GROWTH * before, f"{before / 1e6:.0f} MB grew to {after / 1e6:.0f} MB"


def dry(job: Job) -> Done:
    """What a client sees of a job, without its work."""
    store = open_store(job.run.output_url)
    if isinstance(job, SlowPathJob):
        return Done(job.key, 0, 0)
    days = {f"2025-01-{job.block.first_day % 28 + 1:02d}": "0" * 32}
    names = [table.name for table in fleetgen.task.part_tables(job)]
    entries = [
        FileEntry(name, fleetgen.task.part_path(job, name), 1, 1, "0" * 64, job.key, days)
        for name in names
    ]
    store.put(fleetgen.task.member_key(job.key), csv.csv_gz_member(FEATURE_STORE, [], 0))
    statistics = {"telemetry_jar_raw.voltage_v": {"rows": 1, "total": 1, "low": 1, "high": 1}}
    unknown = {"failure_mode": None, "rul_days": None}
    states = {
        jar: {"profile": "healthy", "failed": False, "soh_pct": 95.0, "cycle_count": 0, **unknown}
        for jar in getattr(job, "jar_ids", ())
        if job.block.end_day == job.run.grid.end_day
    }
    plan = job.run.plan_digest
    manifest.write_receipt(store, Receipt(job.key, tuple(entries), statistics, states, plan=plan))
    return Done(job.key, 1, 1)


def nothing(*_: object) -> Derived:
    """What follows for a client from a string or room, without the files of its parts."""
    return Derived({table.name: "" for table in HISTORIES}, {})


@pytest.fixture
def prompt_collection() -> Iterator[None]:
    """Garbage goes at once: when else it goes differs from run to run, by hundreds of kilobytes."""
    usual = gc.get_threshold()
    gc.set_threshold(200, 2, 2)
    yield
    gc.set_threshold(*usual)


@pytest.mark.slow
@pytest.mark.usefixtures("prompt_collection")
def test_the_client_grows_by_less_than_a_kilobyte_a_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleetgen.plan, "SINGLE_FILE_ROWS", 0)  # there are no parts to read
    monkeypatch.setattr(fleetgen.task, "begin_job", lambda job: partial(dry, job))
    monkeypatch.setattr(fleetgen.history, "derive", nothing)
    monkeypatch.setattr(fleetgen.excerpts, "of_part", lambda *_: iter(()))
    monkeypatch.setattr("os.fsync", lambda _: None)
    # How much is under way at the same time is of a fixed size, too, and of chance.
    monkeypatch.setattr(fleetgen.reduce, "READERS", 1)
    # Buffers of a fixed size would hide what grows in a run as short as a test's.
    monkeypatch.setattr(fleetgen.io.local, "CHUNK_BYTES", 1 << 14)

    def peak(days: int) -> tuple[int, int]:
        changes = {
            "fleet.file": None,
            "run.start_date": "2025-01-01",
            "run.duration_days": days,
            "select.locations": "DC-CNX-01",
        }
        tracemalloc.start()
        parts = len(generate(configured(tmp_path / str(days), changes)).plan.parts)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return parts, most

    peak(1)  # imports and caches
    (few, small), (many, large) = peak(10), peak(40)
    assert many == 4 * few == 40 * 10
    assert large - small < CLIENT_BYTES_PER_PART * (many - few)
