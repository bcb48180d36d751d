"""Small fleets and runs for tests: one location, any systems, through the package's own doors."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fleetgen.config import RunConfig, load

LOCATION = "DC-T-01"
ONE_STRING = {"REC-01": {"kind": "REC", "jars_per_string": 3, "strings": {"S1": "HX12-120"}}}
TWO_SYSTEMS = {
    "REC-01": {"kind": "REC", "jars_per_string": 2, "strings": {"S1": "GPL12-100"}},
    "UPS-01": {
        "kind": "UPS",
        "jars_per_string": 3,
        "strings": {"S1": "HX12-120", "S2": "GPL12-100"},
    },
}


def config(
    systems: Mapping[str, Any] = ONE_STRING,
    place: Mapping[str, Any] | None = None,
    climates: Mapping[str, Any] | None = None,
    **overrides: Any,
) -> RunConfig:
    """A run of one location; `overrides` are keys with __ for the dot."""
    location = {
        "name": "Test Data Center",
        "city": "Hat Yai",
        "region": "southern",
        "latitude": 7.0,
        "longitude": 100.5,
        "commissioned": "2015-03-15",
        "climate": "hat-yai",
        "outages_per_year": 100.0,
        "outage_median_min": 20.0,
        "temperature_compensated": True,
        "generator": False,
        **(place or {}),
        "systems": dict(systems),
    }
    fleet = {
        "time_zone": "Asia/Bangkok",
        "utc_offset_hours": 7.0,
        "locations": {LOCATION: location},
        **({"climates": dict(climates)} if climates else {}),
    }
    return load(
        overrides={
            "fleet": fleet,
            "run.start_date": "2025-01-01",
            "run.duration_days": 2,
            "execution.executor": "serial",
            **{key.replace("__", "."): value for key, value in overrides.items()},
        }
    )


def generate(directory: Path, *args: Any, **overrides: Any) -> Path:
    """The data set of `config` in `directory`."""
    from fleetgen.pipeline import generate as run

    run(config(*args, output__directory=str(directory), **overrides))
    return directory


def receipts(directory: Path) -> Iterator[dict[str, Any]]:
    """The receipts of a data set, as JSON has them."""
    for path in sorted((directory / "_fleetgen" / "receipts").glob("*.json")):
        yield json.loads(path.read_text("utf-8"))
