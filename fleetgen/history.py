"""What follows from all that was measured of one string, or of one room: alerts, predictions.

A job reads the files of its parts in order of time and leaves one small object for the reduce. It
is a cache: who misses one makes it again.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from fleetgen.errors import StorageError
from fleetgen.io import dataset, manifest
from fleetgen.io.store import Store, open_store
from fleetgen.schema import Table
from fleetgen.spec import Done, FileEntry, HistoryJob, RowGroup

CLOSING = "_fleetgen/closing"


@dataclass(frozen=True)
class Derived:
    """CSV rows of tables that close with the run, without header, and sums for its report."""

    rows: Mapping[str, str]
    sums: Mapping[str, float]


def begin_history(job: HistoryJob) -> Callable[[], Done]:
    """Derive all of a string or room; the call that is returned stores it."""
    store = open_store(job.run.output_url, job.run.storage_options)
    derived = derive(job, store)
    body = {"plan": job.run.plan_digest, "until": _until_s(job), **vars(derived)}
    data = manifest.canonical_json(body)
    return partial(_store, store, job.key, data)


def _store(store: Store, key: str, data: bytes) -> Done:
    store.put(_where(key), data)
    return Done(key, 0, 0)


def read(job: HistoryJob, store: Store) -> Derived:
    """What a job left, or else would have left."""
    with suppress(StorageError, ValueError, LookupError, TypeError, AttributeError):
        found = json.loads(store.get(_where(job.key)))
        if (found["plan"], found["until"]) == (job.run.plan_digest, _until_s(job)):
            return Derived(dict(found["rows"]), dict(found["sums"]))
    return derive(job, store)


def _where(key: str) -> str:
    return f"{CLOSING}/{key}.json"


def _until_s(job: HistoryJob) -> int:
    return job.run.grid.end_s


def derive(job: HistoryJob, store: Store) -> Derived:
    """Read what was measured, and derive what follows from it."""
    raise NotImplementedError


def groups_of(job: HistoryJob, store: Store, table: Table) -> Iterator[RowGroup]:
    """Row groups of a table in all parts of a job, in order of time."""
    for part in job.parts:
        receipt = manifest.read_receipt(store, part.key, job.run.plan_digest)
        for entry in receipt.files:
            if entry.table == table.name:
                yield from _groups(store, table, entry)


def _groups(store: Store, table: Table, entry: FileEntry) -> Iterator[RowGroup]:
    data = io.BytesIO(store.get(entry.path))
    packed = entry.path.endswith(".csv.gz")
    read = dataset.iter_csv_groups if packed else dataset.iter_groups
    try:
        yield from read(table, data)
    except ValueError as error:
        raise StorageError(
            f"{store.url}/{entry.path} cannot be used: {error}. `fleetgen verify URL --repair` "
            "makes this part alone anew"
        ) from error
