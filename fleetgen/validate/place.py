"""A data set that is validated: its plan, what lies there, its small tables."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from fleetgen import pipeline
from fleetgen.config import RunConfig
from fleetgen.errors import StorageError
from fleetgen.export import open_at
from fleetgen.io import manifest
from fleetgen.io.store import Store
from fleetgen.model.faults import KINDS
from fleetgen.plan import Plan, make_plan
from fleetgen.reduce import closing_names
from fleetgen.schema import ANOMALY, PARTED, STATES_FILE
from fleetgen.validate.look import Episode

Row = dict[str, str]


@dataclass(frozen=True)
class Place:
    """A finished data set whose plan is known."""

    store: Store
    record: manifest.RunRecord
    config: RunConfig
    plan: Plan

    @cached_property
    def there(self) -> frozenset[str]:
        """Files of tables, in parts and at the top."""
        parts = (n for table in PARTED for n in self.store.names(table.name))
        return frozenset([*parts, *(n for n in closing_names() if self.store.exists(n))])

    def rows(self, table: str) -> list[Row]:
        """Rows of a table that closes with the run, as texts; none where it cannot be read."""
        name = f"{table}.csv"
        if name not in self.there:
            return []
        try:
            text = self.store.get(name).decode()
        except (StorageError, UnicodeDecodeError):
            return []
        return [row for row in csv.DictReader(io.StringIO(text, newline="")) if None not in row]

    @cached_property
    def faults(self) -> dict[str, tuple[Episode, ...]]:
        """Sensor faults by entity; of a jar, by its position."""
        found: dict[str, list[Episode]] = {}
        for row in self.rows(ANOMALY.name):
            if row["kind"] in KINDS:
                span = (_ms(row[name]) for name in ("start_ts", "end_ts"))
                found.setdefault(row["entity_id"], []).append(
                    Episode(row["channel"] or None, *span)
                )
        return {entity: tuple(each) for entity, each in found.items()}

    @cached_property
    def states(self) -> dict[str, dict[str, Any]]:
        """Truth at the end by battery; none where it cannot be read."""
        if STATES_FILE not in self.there:
            return {}
        try:
            found = json.loads(self.store.get(STATES_FILE))
        except (StorageError, ValueError):
            return {}
        if not isinstance(found, dict):
            return {}
        return {name: each for name, each in found.items() if isinstance(each, dict)}

    @cached_property
    def troubled(self) -> frozenset[str]:
        """Units in which a failure mode is under way, or was."""
        return frozenset(n for n, each in self.states.items() if each.get("failure_mode"))


def open_place(url: str, workers: int | None, storage_options: Sequence[str]) -> Place:
    """Read the plan of the finished data set at a URL; StorageError where there is none."""
    store = open_at(url, storage_options)
    record, config, extents = pipeline.recorded(store, workers, storage_options)
    if not manifest.is_marked(store):
        raise StorageError(
            f"{store.url!r} is not finished: run the command that began it again, then validate"
        )
    if config.output.format == "none":
        raise StorageError(f"{store.url!r} has no files: its plan is of --format none")
    return Place(store, record, config, make_plan(config, store.url, extents))


def _ms(text: str) -> int:
    return round(1000 * datetime.fromisoformat(text).timestamp())
