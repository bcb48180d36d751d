"""The plan that the promises are tested on, and data sets as tests look at them.

Six days of a small fleet (`fleet.toml`), chosen so that a long outage crosses the edge of two days,
of two months and of two blocks, and an equalising charge crosses another; a failure of the cooling
and a capacity test, which are injected, cross a third. The work of a replacement begins at an edge,
and its unit is in service an hour later. `test_plan.py` says so.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from fleetgen.config import RunConfig, load
from fleetgen.pipeline import generate
from fleetgen.schema import TABLES
from fleetgen.spec import Scenario

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent

Changes = Mapping[str, object]
"""Keys of a configuration by dotted path; None takes one out."""

HVAC_FAILURE = {
    "kind": "hvac_failure",
    "target": "NORTH",
    "at": "2024-02-28T18:00:00",
    "duration_minutes": 600.0,
}
CAPACITY_TEST = {
    "kind": "capacity_test",
    "target": "NORTH-UPS-01-S2",
    "at": "2024-02-28T22:00:00",
    "duration_minutes": 360.0,
}
REPLACEMENT = {
    "kind": "replacement",
    "target": "NORTH-UPS-01-S1-J03",
    "at": "2024-02-28T01:00:00",
}

PLAN: Changes = {
    "fleet.file": str(HERE / "fleet.toml"),
    "run.seed": 109,
    "run.start_date": "2024-02-26",
    "run.duration_days": 6,
    "run.sampling_seconds": 300,
    "execution.executor": "serial",
    "execution.block_days": 1,
    "inject": (HVAC_FAILURE, CAPACITY_TEST, REPLACEMENT),
}

SAMPLED = (
    "telemetry_jar_raw",
    "telemetry_jar_calc",
    "telemetry_string_raw",
    "telemetry_string_calc",
    "telemetry_env",
)
"""Tables with a row for each sample."""

SERIES = (*SAMPLED, "feature_store", "rul_truth")
"""Tables of which each part has a file."""

UNIT = "-R[0-9]+$"
"""What the id of a unit that came in the run has after that of its position."""


def position(unit: str) -> str:
    """Position of a unit; any other id as it is."""
    return re.sub(UNIT, "", unit)


Key = tuple[str, str, str]
Digests = dict[Key, str]
"""Logical digest by table, entity group and local day."""


def keys(directory: Path | str, changes: Changes | None = None) -> dict[str, object]:
    """Keys of the plan with changes, as `load` takes them: its own injections if within the run."""
    found = {**PLAN, **(changes or {}), "output.directory": str(directory)}
    if found["inject"] is PLAN["inject"]:
        start = datetime.fromisoformat(str(found["run.start_date"]))
        end = start + timedelta(days=float(str(found["run.duration_days"])))
        planned = (HVAC_FAILURE, CAPACITY_TEST, REPLACEMENT)
        found["inject"] = [
            e for e in planned if start <= datetime.fromisoformat(str(e["at"])) < end
        ]
    return {name: value for name, value in found.items() if value is not None}


def configured(directory: Path | str, changes: Changes | None = None) -> RunConfig:
    """The plan with changes."""
    return load(overrides=keys(directory, changes))


PLANNED = configured("unused").to_scenario()
CLEAN = replace(PLANNED, sensor_faults=False)
IDEAL = replace(CLEAN, sensor_errors=False)


def generated(
    path: Path, changes: Changes | None = None, scenario: Scenario | None = None
) -> DataSet:
    """A data set of the plan with changes in this process, under its scenario or another."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda _: None)  # no test pulls the plug
        if scenario is not None:
            patch.setattr(RunConfig, "to_scenario", lambda _: scenario)
        generate(configured(path, changes))
    return DataSet(path)


@dataclass(frozen=True)
class DataSet:
    """A finished data set on disk."""

    path: Path

    @property
    def manifest(self) -> bytes:
        return (self.path / "_fleetgen" / "manifest.json").read_bytes()

    @cached_property
    def files(self) -> list[dict[str, Any]]:
        """The manifest's file entries."""
        files: list[dict[str, Any]] = json.loads(self.manifest)["files"]
        return files

    @cached_property
    def digests(self) -> Digests:
        found: Digests = {}
        for entry in self.files:
            for day, value in entry["digests"].items():
                key = (entry["table"], entry["group"], day)
                assert key not in found, f"two files hold {key}"
                found[key] = value
        return found

    @property
    def states(self) -> dict[str, dict[str, Any]]:
        """The truth at the end, by battery."""
        states: dict[str, dict[str, Any]] = json.loads(
            (self.path / "battery_states.json").read_text()
        )
        return states

    def paths(self, name: str) -> list[Path]:
        """Parquet files of a table."""
        return [self.path / f["path"] for f in self.files if f["table"] == name and f["digests"]]

    def read(self, name: str, ids: Iterable[str] | None = None) -> pa.Table:
        """Rows of a table in parts, of some positions or of all, sorted by these and instant."""
        instant, entity, *others = TABLES[name].key
        table = pa.concat_tables(
            pq.read_table(path, partitioning=None) for path in self.paths(name)
        )
        positions = pc.replace_substring_regex(table[entity], UNIT, "")
        if ids is not None:
            wanted = pc.is_in(positions, pa.array(sorted({position(each) for each in ids})))
            table, positions = table.filter(wanted), positions.filter(wanted)
        columns = [positions, table[instant], *(table[key].cast(pa.string()) for key in others)]
        names = ["position", instant, *others]
        sorting = pa.table(columns, names)
        return table.take(pc.sort_indices(sorting, [(key, "ascending") for key in names]))

    def values(self, name: str, column: str, ids: Iterable[str] | None = None) -> np.ndarray:
        """One column as float64, (position, instant)."""
        table = self.read(name, ids)
        entities = len({position(each) for each in table[TABLES[name].key[1]].unique().to_pylist()})
        values: np.ndarray = table[column].to_numpy().astype(np.float64).reshape(entities, -1)
        return values

    def unlike(self, other: DataSet) -> list[str]:
        """What is not byte by byte as in another, told so that a sporadic difference is known."""
        if self.manifest == other.manifest:
            return []
        mine, its = (json.loads(each.manifest) for each in (self, other))
        told = [
            f"{name}: {mine['header'].get(name)} against {its['header'].get(name)}"
            for name in sorted({*mine["header"], *its["header"]})
            if mine["header"].get(name) != its["header"].get(name)
        ]
        listed = [{f["path"]: f for f in each["files"]} for each in (mine, its)]
        for path in sorted({*listed[0], *listed[1]}):
            a, b = (each.get(path) for each in listed)
            if a is None or b is None:
                told.append(f"{path}: only in one")
            elif a != b:
                digests = "equal" if a["digests"] == b["digests"] else "other"
                told.append(f"{path}: {digests} digests, {_apart(self.path, other.path, path)}")
        return told or ["the order of the files"]


def _apart(a: Path, b: Path, path: str) -> str:
    """The first place at which two files differ."""
    one, two = ((each / path).read_bytes() for each in (a, b))
    if path.endswith(".gz"):
        one, two = gzip.decompress(one), gzip.decompress(two)
    at = next((i for i, (x, y) in enumerate(zip(one, two, strict=False)) if x != y), None)
    if at is None:
        return f"{len(one)} and {len(two)} bytes that begin alike"
    first = max(0, at - 60)
    return f"at {at}: {one[first : at + 60]!r} against {two[first : at + 60]!r}"


def differing(a: Digests, b: Digests, wanted: Iterable[Key] | None = None) -> list[Key]:
    """Keys whose digests differ, of those wanted or of all."""
    return sorted(k for k in (wanted or {*a, *b}) if a.get(k) != b.get(k))


@dataclass(frozen=True)
class Finished:
    """A process that has ended."""

    code: int
    out: str
    err: str


def environment(changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """This environment without what steers numba, this checkout first, with changes."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA_")}
    return {**kept, "PYTHONPATH": str(ROOT), **(changes or {})}


def run_python(
    *arguments: str | Path,
    python: str = sys.executable,
    cwd: Path = ROOT,
    env: Mapping[str, str] | None = None,
) -> Finished:
    """Run this Python, or another, on this checkout."""
    done = subprocess.run(
        [python, *map(str, arguments)],
        cwd=cwd,
        env=environment(env),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return Finished(done.returncode, done.stdout, done.stderr)
