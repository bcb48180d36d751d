"""`fleetgen estimate` against the run that follows; it writes nothing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fleetgen.calibrate import Told, estimated, measured, told
from fleetgen.cli import main
from fleetgen.config import RunConfig
from fleetgen.execute import ExecutionSettings
from fleetgen.io import manifest
from fleetgen.io.store import open_store
from fleetgen.pipeline import generate
from fleetgen.plan import Plan, make_plan
from tests import tiny
from tests.fault_proxy import FaultProxy

SIZES = {
    "two days": {"run__sampling_seconds": 300},
    "two blocks, two systems": {
        "run__sampling_seconds": 600,
        "run__start_date": "2025-01-25",
        "run__duration_days": 14,
    },
    "csv.gz": {"run__sampling_seconds": 600, "output__format": "csv.gz"},
}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fleetgen.calibrate.ENOUGH_S", 0.1)


def config(place: Path | str, **changes: object) -> RunConfig:
    return tiny.config(tiny.TWO_SYSTEMS, output__directory=str(place), **changes)


@pytest.mark.parametrize("size", SIZES)
def test_rows_and_files_are_exact_and_bytes_near(tmp_path: Path, size: str) -> None:
    here = config(tmp_path / "set", **SIZES[size])
    before = estimated(here)
    assert not (tmp_path / "set").exists()
    generate(here)
    files = manifest.read_manifest(open_store(str(tmp_path / "set"))).files
    rows: Counter[str] = Counter()
    parts = 0
    for entry in files:
        if entry.path.startswith(f"{entry.table}/") and entry.table in before.estimate.rows:
            rows[entry.table] += entry.rows
            parts += 1
    assert rows == before.estimate.rows
    assert parts == before.estimate.files
    size_bytes = sum(p.stat().st_size for p in (tmp_path / "set").rglob("*") if p.is_file())
    assert before.estimate.bytes == pytest.approx(size_bytes, rel=0.2)


def test_requests_are_near(
    s3_url: str, proxy: FaultProxy, as_identity: Callable[[str], None]
) -> None:
    """As a proxy in front of a store counts them."""
    as_identity("writer")
    here = config(
        s3_url,
        run__sampling_seconds=3600,
        run__start_date="2025-01-25",
        run__duration_days=14,
        output__storage_options={"endpoint_url": proxy.endpoint},
    )
    expected = estimated(here).requests
    assert proxy.seen == []
    generate(here)
    seen: Counter[str] = Counter()
    for request, _ in proxy.seen:
        listed = "list-type" in request.query or request.query.startswith("uploads")
        seen["LIST" if listed and request.method == "GET" else request.method] += 1
    for method, count in expected.items():
        assert count == pytest.approx(seen[method], rel=0.2), method


def test_time_follows_from_what_the_machine_took(tmp_path: Path) -> None:
    """Twice the time of a part is twice the time of the run, less what does not depend on it."""
    plan: Plan = make_plan(config(tmp_path, run__duration_days=30), str(tmp_path))
    speed = measured(plan)
    slow = replace(
        speed,
        walk_s=2 * speed.walk_s,
        walk_s_per_day=2 * speed.walk_s_per_day,
        part_s_per_row=2 * speed.part_s_per_row,
        room_s_per_row=2 * speed.room_s_per_row,
    )
    none = replace(speed, walk_s=0.0, walk_s_per_day=0.0, part_s_per_row=0.0, room_s_per_row=0.0)
    serial = ExecutionSettings("serial", 1)
    seconds = [told(plan, serial, each).seconds for each in (none, speed, slow)]
    assert seconds[2] - seconds[0] == pytest.approx(2 * (seconds[1] - seconds[0]))
    assert seconds[1] > seconds[0] > 0
    assert speed.crowding >= 1


def test_a_plan_stops_scaling_at_a_quarter_of_its_parts(tmp_path: Path) -> None:
    here = config(tmp_path, run__duration_days=20, execution__block_days=1)
    found = estimated(here)
    assert found.parts == 4 * 20
    assert found.scales_to == 20


def test_without_files_there_are_no_bytes_and_no_requests(tmp_path: Path) -> None:
    found = estimated(config(tmp_path, output__format="none"))
    assert (found.estimate.bytes, found.estimate.files, found.requests) == (0, 0, {})


def test_the_command_takes_the_flags_of_generate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--limit-batteries", "24", "--duration-days", "1", "--output-dir", str(tmp_path / "x")]
    assert main(["estimate", *flags]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "telemetry_jar_raw                   6,912 rows" in lines
    assert [line for line in lines if line.endswith(" s with 1 worker")]
    assert [line for line in lines if line.endswith("no faster with more than 1 worker")]
    assert main(["estimate", "--json", *flags]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["estimate"]["rows"]["telemetry_jar_raw"] == 24 * 288
    assert found.keys() == set(Told.__dataclass_fields__)
    assert [*tmp_path.iterdir()] == []
    assert main(["estimate", "--sampling-seconds", "0"]) == 2
    assert "sampling" in capsys.readouterr().err
