"""A data set that is validated: its plan, what lies there, its small tables."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from typing import Any

from fleetgen import pipeline
from fleetgen.config import RunConfig
from fleetgen.errors import StorageError
from fleetgen.export import open_at
from fleetgen.io import manifest
from fleetgen.io.store import Store
from fleetgen.model.faults import KINDS
from fleetgen.plan import Plan, estimate, make_plan
from fleetgen.reduce import closing_names
from fleetgen.schema import ANOMALY, PARTED, STATES_FILE, TABLES, Table
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
        return self._small[table] or []

    @property
    def unreadable(self) -> list[str]:
        """Files that close with the run and cannot be read as what they are, or are missing."""
        damaged = [f"{name}.csv" for name, rows in self._small.items() if rows is None]
        missing = [*(set(closing_names(estimate(self.plan, 1).rows)) - self.there)]
        states = [STATES_FILE] if not self.states else []
        return sorted({*damaged, *missing, *states})

    @cached_property
    def _small(self) -> dict[str, list[Row] | None]:
        return {name: self._read(t) for name, t in TABLES.items() if t not in PARTED}

    def _read(self, table: Table) -> list[Row] | None:
        try:
            text = self.store.get(f"{table.name}.csv").decode()
            reader = csv.DictReader(io.StringIO(text, newline=""))
            rows = list(reader)
            if tuple(reader.fieldnames or ()) != table.names:
                return None
            for row in rows:
                _check(table, row)
        except (StorageError, ValueError, TypeError, csv.Error):
            return None
        return rows

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
            found = json.loads(
                self.store.get(STATES_FILE),
                parse_int=_finite,
                parse_float=_finite,
                parse_constant=_finite,
            )
        except (StorageError, ValueError):
            return {}
        if not isinstance(found, dict):
            return {}
        return {name: each for name, each in found.items() if isinstance(each, dict)}

    @cached_property
    def troubled(self) -> dict[str, list[str]]:
        """Units in which a failure mode is under way, or was, by string."""
        found: dict[str, list[str]] = {}
        for name, each in self.states.items():
            if each.get("failure_mode"):
                found.setdefault(name.rpartition("-J")[0], []).append(name)
        return found


def open_place(url: str, workers: int | None, storage_options: Sequence[str]) -> Place:
    """Read the plan of the finished data set at a URL; StorageError where there is none."""
    store = open_at(url, storage_options)
    record, config, extents = pipeline.recorded(store, workers, storage_options)
    if not manifest.is_marked(store):
        raise manifest.unfinished(store)
    if config.output.format == "none":
        raise StorageError(f"{store.url!r} has no files: its plan is of --format none")
    return Place(store, record, config, make_plan(config, store.url, extents))


def _check(table: Table, row: Row) -> None:
    """Raise ValueError or TypeError where a row's texts are not those of its columns."""
    if None in row:
        raise ValueError("a row has more values than there are columns")
    for column in table.columns:
        text = row[column.name]
        if text is None:
            raise ValueError("a row has fewer values than there are columns")
        if text == "" and column.nullable:
            continue
        if column.kind == "instant":
            if datetime.fromisoformat(text).tzinfo is None:
                raise ValueError(f"{text!r:.40} has no offset")
        elif column.kind == "date":
            date.fromisoformat(text)
        elif column.kind in ("float", "int"):
            _finite(text)


def _finite(text: str) -> float:
    """Give a finite number; ValueError where a text is none."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text!r:.40} is no finite number")
    return value


def _ms(text: str) -> int:
    return round(1000 * datetime.fromisoformat(text).timestamp())
