"""The last step: what closes a data set once every part has its receipt.

Receipts are read once, a few at a time, and taken in the order of the plan, so that neither memory
nor the result depends on how the parts came about. All of it can be made again: the manifest comes
last.
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any, TypeGuard

from fleetgen import __version__, excerpts, export, fleet, history
from fleetgen.config import RunConfig
from fleetgen.derive.scores import Scores
from fleetgen.derive.split import split_groups
from fleetgen.errors import StorageError
from fleetgen.io import csv, manifest
from fleetgen.io.store import Store, told
from fleetgen.plan import Estimate, Plan, single_files
from fleetgen.report import catalogue, html, page
from fleetgen.report.summary import Summary
from fleetgen.rows import row_groups
from fleetgen.schema import (
    ANOMALY,
    BATTERY,
    CATALOGUE_FILES,
    CROISSANT_FILE,
    DATA_VERSION,
    FEATURE_STORE,
    HISTORIES,
    HTML_REPORT_FILE,
    MAINTENANCE_EVENT,
    PACKAGE_FILE,
    PARTED,
    REPORT_FILE,
    SCHEMA_VERSION,
    SINGLE_FILES,
    SPLIT,
    STATES_FILE,
    TABLES,
    THROUGHPUT_ERROR,
    THROUGHPUT_TRUE,
    Table,
)
from fleetgen.spec import Codes, FileEntry, PartJob, Receipt, RowGroup, StringJob
from fleetgen.task import CHECKPOINTS, MEMBERS, member_key, part_path, part_tables

Receipts = Callable[[], Iterator[Receipt]]
"""Gives all receipts of a plan in its order, each time it is called."""

READERS = 8
"""Receipts, or other small objects, that are read at the same time."""


def reduce(config: RunConfig, plan: Plan, cost: Estimate, store: Store) -> None:
    """Write dimension tables, anomalies, single files, states and report, then the manifest."""
    with _gathered(plan, store) as receipts:
        _close(config, plan, cost, store, receipts)


def _close(config: RunConfig, plan: Plan, cost: Estimate, store: Store, receipts: Receipts) -> None:
    summary = Summary()
    swaps: dict[str, int] = {}
    there = {table.name: bytearray(len(plan.parts)) for table in PARTED}
    for number, receipt in enumerate(receipts()):
        summary.take(receipt)
        for entry in receipt.files:
            there[entry.table][number] = 1
        swaps |= receipt.swaps
    closing: list[FileEntry] = []
    if plan.run.format != "none":
        for derived in _histories(plan, store):
            summary.take_scores(derived.scores)
        closing = [
            *_dimensions(plan, store, swaps),
            _anomalies(plan, store),
            _maintenance(plan, store, receipts),
            *(_of_histories(plan, store, table) for table in HISTORIES),
            _feature_file(plan, store, receipts, summary.rows[FEATURE_STORE.name]),
            *_single_files(plan, store, receipts, summary.rows),
            _states(store, receipts, summary.batteries),
        ]

        def paths(table: str) -> Iterator[str]:
            marked = zip(plan.parts, there[table], strict=True)
            return (part_path(job, table) for job, is_there in marked if is_there)

        contents = catalogue.Contents(
            plan.run, summary.batteries - summary.replaced, tuple(closing), summary.bytes, paths
        )
        summary.take_closing(closing)
        closing += _catalogues(store, contents)
        texts = _report_texts(config, plan, cost, store, receipts, summary)
        closing += [_put(store, "report", name, 0, [text]) for name, text in texts.items()]
    header = {
        "fleetgen": __version__,
        "python": platform.python_version(),
        "data_version": DATA_VERSION,
        "schema_version": SCHEMA_VERSION,
        "plan_digest": plan.run.plan_digest,
        "plan": config.identity(),
        "duration_seconds": plan.run.grid.duration_s,
        "seed": plan.run.seed,
        "csv_encoder": csv.encoder(),
        "injections": config.injections(),
        "rows": dict(sorted(summary.rows.items())),
        "scores": summary.scores(),
    }
    parts = (entry for receipt in receipts() for entry in receipt.files)
    manifest.write_manifest(store, header, _chain(parts, closing))


def report(config: RunConfig, plan: Plan, cost: Estimate, store: Store) -> None:
    """Make the reports of a complete data set again, and the manifest if they are others.

    Raises
    ------
    StorageError
        Its manifest has no scores, or a file that they are made from is damaged.
    """
    header = manifest.read_header(store)
    with _gathered(plan, store) as receipts:
        summary = Summary()
        for receipt in receipts():
            summary.take(receipt)
        if not _are_scores(scores := header.get("scores")):
            raise StorageError(
                f"{store.url}/{manifest.MANIFEST} has no scores of alerts and predictions. "
                "Delete this file and _SUCCESS, then run the same command again."
            )
        summary.take_scores(scores)
        summary.take_closing(manifest.read_files(store))
        texts = _report_texts(config, plan, cost, store, receipts, summary)
    made = {name: _entry("report", name, text) for name, text in texts.items()}
    other = any(made.get(entry.path, entry) != entry for entry in manifest.read_files(store))
    if other:
        manifest.reopen(store)
    for name, text in texts.items():
        store.put(name, text)
    if other:
        files = (made.get(entry.path, entry) for entry in manifest.read_files(store))
        manifest.write_manifest(store, header, files)


def _are_scores(found: object) -> TypeGuard[dict[str, dict[str, Any]]]:
    """Whether this is what `Summary.scores` gives: nobody vouches for what lies in a store."""
    if not isinstance(found, dict) or found.keys() != {"alerts", "rul"}:
        return False
    alerts, rul, known = found["alerts"], found["rul"], Scores().counts()
    return (
        isinstance(alerts, dict)
        and all(map(_SKETCH_NAME.fullmatch, alerts))
        and all(type(count) is int for count in alerts.values())
        and isinstance(rul, dict)
        and rul.keys() == known.keys()
        and all(_is_like(rul[name], example) for name, example in known.items())
    )


_SKETCH_NAME = re.compile(r"[a-z0-9_]+(/[a-z0-9_]+)*")


def _is_like(found: object, example: object) -> bool:
    if not isinstance(example, list):
        return type(found) is int
    if not isinstance(found, list) or len(found) != len(example):
        return False
    return all(type(each) is int for each in found)


def closing_names(rows: Mapping[str, int] | None = None) -> Iterator[str]:
    """Files that a data set of so many rows by table, or any, has at its top.

    All of them are made by the reduce.
    """
    for table in TABLES.values():
        if table not in PARTED:
            yield f"{table.name}.csv"
    reports = REPORT_FILE, HTML_REPORT_FILE
    yield from (f"{FEATURE_STORE.name}.csv.gz", STATES_FILE, *reports, *CATALOGUE_FILES)
    single = SINGLE_FILES if rows is None else single_files(rows)
    yield from (f"{name}.{form}" for name, form in single.items())


def clean(store: Store) -> None:
    """Delete what only the run needed."""
    store.delete([*store.keys(MEMBERS), *store.keys(CHECKPOINTS), *store.keys(history.CLOSING)])


@contextmanager
def _gathered(plan: Plan, store: Store) -> Iterator[Receipts]:
    """Read all receipts into a temporary file here, from which they can be taken again."""
    with tempfile.TemporaryFile(prefix="fleetgen-") as file:
        with told("write", tempfile.gettempdir()):
            for receipt in _receipts(plan, store):
                file.write(_line(receipt))

        def take() -> Iterator[Receipt]:
            at = 0
            for _ in plan.parts:
                file.seek(at)  # for another may read, too
                line = file.readline()
                at = file.tell()
                yield _again(line)

        yield take


def _line(receipt: Receipt) -> bytes:
    files = [vars(entry) for entry in receipt.files]
    return json.dumps({**vars(receipt), "files": files}).encode() + b"\n"


def _again(line: bytes) -> Receipt:
    """Receipt out of a line that `_line` made: here, nothing has to be looked at again."""
    told = json.loads(line)
    files = tuple(FileEntry(**entry) for entry in told["files"])
    return Receipt(**{**told, "files": files, "events": tuple(told["events"])})


def _receipts(plan: Plan, store: Store) -> Iterator[Receipt]:
    """Receipts in the order of the plan; what is of an end is of its end, not of an earlier one."""

    def read(job: PartJob) -> Receipt:
        receipt = manifest.read_receipt(store, job.key, plan.run.plan_digest)
        at_end = job.block.end_day == plan.run.grid.end_day
        _check(store, job, receipt, at_end)
        return receipt if at_end else _without_end(receipt)

    with ThreadPoolExecutor(READERS) as pool:
        yield from export.in_order(pool, read, plan.parts, READERS)


def _without_end(receipt: Receipt) -> Receipt:
    """Leave out of a receipt what it tells of the end of a run."""
    of_end = (THROUGHPUT_TRUE, THROUGHPUT_ERROR)
    kept = {name: each for name, each in receipt.statistics.items() if name not in of_end}
    return replace(receipt, states={}, swaps={}, events=(), statistics=kept)


def _check(store: Store, job: PartJob, receipt: Receipt, at_end: bool) -> None:
    """Want a receipt to tell of its own part: nobody vouches for what lies in a store."""
    paths = {part_path(job, table.name): table.name for table in part_tables(job)}
    jars = set(job.jar_ids) if at_end and isinstance(job, StringJob) else set()
    came = {name.rpartition("-R")[0] for name in receipt.swaps}
    reason = ""
    if any(paths.get(entry.path) != entry.table for entry in receipt.files):
        reason = "it names a file of another part"
    elif at_end and (jars | receipt.swaps.keys() != receipt.states.keys() or not came <= jars):
        reason = "its states are not those of its batteries"
    elif any(not sketch.keys() >= _SKETCH for sketch in receipt.statistics.values()):
        reason = "its statistics are not whole"
    elif not all(map(_is_event, receipt.events)):
        reason = "its events are not whole"
    if reason:
        raise StorageError(
            f"{store.url}/{manifest.receipt_key(job.key)} cannot be used: {reason}. Delete this "
            "file, then run the same command again: its part alone is made anew."
        )


_SKETCH = {"rows", "total", "low", "high"}


def _is_event(row: Mapping[str, object]) -> bool:
    """Whether a row of a receipt is one of `maintenance_event`."""
    columns = MAINTENANCE_EVENT.columns
    return row.keys() == {c.name for c in columns} and all(
        c.nullable if row[c.name] is None else type(row[c.name]) is _TYPES.get(c.kind, str)
        for c in columns
    )


_TYPES: dict[str, type] = {"instant": int}


def _chain(parts: Iterable[FileEntry], closing: Iterable[FileEntry]) -> Iterator[FileEntry]:
    yield from parts
    yield from closing


def _put(store: Store, table: str, key: str, rows: int, pieces: Iterable[bytes]) -> FileEntry:
    """Write an object from its pieces; what is told of it is what went through."""
    sha = hashlib.sha256()

    def hashed() -> Iterator[bytes]:
        for piece in pieces:
            sha.update(piece)
            yield piece

    size = store.put_stream(key, hashed())
    return FileEntry(table, key, rows, size, sha.hexdigest(), "run")


def _entry(table: str, key: str, data: bytes) -> FileEntry:
    """What `_put` tells of an object in one piece without rows."""
    return FileEntry(table, key, 0, len(data), hashlib.sha256(data).hexdigest(), "run")


def _dimensions(plan: Plan, store: Store, swaps: Mapping[str, int]) -> Iterator[FileEntry]:
    grid = plan.run.grid
    run = plan.run
    groups = fleet.dimension_tables(plan.fleet, plan.selected, run.seed, grid, run.scenario, swaps)
    units = [unit for group in groups[BATTERY] for unit in _units(group)]
    groups[SPLIT] = list(split_groups(plan.fleet, units, run.seed, grid))
    for table, each in groups.items():
        rows = sum(next(iter(group.values())).rows for group in each)
        data = csv.csv_bytes(table, each, grid.utc_offset_s)
        yield _put(store, table.name, f"{table.name}.csv", rows, [data])


def _units(group: RowGroup) -> Iterator[tuple[str, str, str]]:
    """Battery, string and location id of each row of `battery`."""
    texts = []
    for name in ("battery_id", "string_id", "location_id"):
        chunk = group[name]
        if isinstance(chunk, Codes):
            texts.append([str(chunk.levels[code]) for code in chunk.codes])
    battery, string, location = texts
    yield from zip(battery, string, location, strict=True)


def _anomalies(plan: Plan, store: Store) -> FileEntry:
    """What went wrong in the run, as CSV."""
    offset_s = plan.run.grid.utc_offset_s
    rows = 0

    def pieces() -> Iterator[bytes]:
        nonlocal rows
        yield csv.header_line(ANOMALY)
        for group in fleet.anomaly_groups(plan.fleet, plan.selected, plan.run):
            rows += group[ANOMALY.names[0]].rows
            yield csv.csv_bytes(ANOMALY, [group], offset_s, header=False)

    entry = _put(store, ANOMALY.name, f"{ANOMALY.name}.csv", 0, pieces())
    return replace(entry, rows=rows)


def _maintenance(plan: Plan, store: Store, receipts: Receipts) -> FileEntry:
    """What maintenance did, as CSV, string by string."""
    offset_s, table = plan.run.grid.utc_offset_s, MAINTENANCE_EVENT
    rows = 0

    def pieces() -> Iterator[bytes]:
        nonlocal rows
        yield csv.header_line(table)
        for receipt in receipts():
            rows += len(receipt.events)
            for group in row_groups(table, list(receipt.events)):
                yield csv.csv_bytes(table, [group], offset_s, header=False)

    entry = _put(store, table.name, f"{table.name}.csv", 0, pieces())
    return replace(entry, rows=rows)


def _histories(plan: Plan, store: Store) -> Iterator[history.Derived]:
    """What follows from each string and room, in order of the plan: as left, or derived again."""
    jobs = plan.histories
    with ThreadPoolExecutor(READERS) as pool:
        found = export.in_order(pool, partial(history.left, store=store), jobs, READERS)
        for job, derived in zip(jobs, found, strict=True):
            yield derived or history.derive(job, store)


def _of_histories(plan: Plan, store: Store, table: Table) -> FileEntry:
    """What follows from the histories of strings and rooms, as CSV."""
    rows = 0

    def pieces() -> Iterator[bytes]:
        nonlocal rows
        yield csv.header_line(table)
        for derived in _histories(plan, store):
            text = derived.rows[table.name].encode()
            rows += text.count(b"\n")
            yield text

    entry = _put(store, table.name, f"{table.name}.csv", 0, pieces())
    return replace(entry, rows=rows)


def _feature_file(plan: Plan, store: Store, receipts: Receipts, rows: int) -> FileEntry:
    """One CSV of all features: the parts' gzip members behind a member with the header."""
    offset_s = plan.run.grid.utc_offset_s
    parts = (
        (receipt.job, entry)
        for receipt in receipts()
        for entry in receipt.files
        if entry.table == FEATURE_STORE.name
    )

    def pieces() -> Iterator[bytes]:
        yield csv.header_member(FEATURE_STORE)
        with ThreadPoolExecutor(READERS) as pool:
            for entry, member in export.in_order(pool, partial(_member, store), parts, READERS):
                if member is None:
                    yield from export.rows(FEATURE_STORE, store, [entry], offset_s, "csv.gz")
                else:
                    yield member

    return _put(store, FEATURE_STORE.name, f"{FEATURE_STORE.name}.csv.gz", rows, pieces())


def _member(store: Store, part: tuple[str, FileEntry]) -> tuple[FileEntry, bytes | None]:
    """A part's file of features, and its piece of the single one if the part's is still there.

    Pieces are gone once a data set is complete, and may go while another run completes it.
    """
    job, entry = part
    with suppress(StorageError):
        return entry, store.get(member_key(job))
    return entry, None


def _single_files(
    plan: Plan, store: Store, receipts: Receipts, rows: Mapping[str, int]
) -> Iterator[FileEntry]:
    """Telemetry as single files as the usage guide has it, where the tables are small enough.

    Those of a shorter run, and what was exported from it, are removed.
    """
    small = single_files(rows)
    if len(plan.extents) > 1:
        made = {f"{name}.{form}" for name, form in small.items()}
        exports = {f"{table.name}.{form}" for table in PARTED for form in ("csv", "csv.gz")}
        kept = {f"{FEATURE_STORE.name}.csv.gz", *made}
        store.delete(sorted(exports - kept))
    for name, form in small.items():
        table = TABLES[name]
        parts = (e for receipt in receipts() for e in receipt.files if e.table == name)
        pieces = export.single_file(table, store, parts, plan.run.grid.utc_offset_s, form)
        yield _put(store, name, f"{name}.{form}", rows[name], pieces)


def _catalogues(store: Store, contents: catalogue.Contents) -> Iterator[FileEntry]:
    yield _put(store, "croissant", CROISSANT_FILE, 0, [catalogue.croissant(contents)])
    yield _put(store, "datapackage", PACKAGE_FILE, 0, catalogue.datapackage(contents))


def _states(store: Store, receipts: Receipts, batteries: int) -> FileEntry:
    def pieces() -> Iterator[bytes]:
        before = "{\n"
        for receipt in receipts():
            for jar_id, state in receipt.states.items():
                yield f"{before}{json.dumps(jar_id)}: {json.dumps(state)}".encode()
                before = ",\n"
        yield b"\n}\n"

    return _put(store, "battery_states", STATES_FILE, batteries, pieces())


def _report_texts(
    config: RunConfig,
    plan: Plan,
    cost: Estimate,
    store: Store,
    receipts: Receipts,
    summary: Summary,
) -> dict[str, bytes]:
    """The two reports of a data set in which all else is in place, by name."""
    content = excerpts.gather(plan, store, receipts, summary)
    texts = {
        REPORT_FILE: page.markdown(summary, cost.rows, plan.run),
        HTML_REPORT_FILE: html.page(content, summary, cost.rows, plan.run, config.identity()),
    }
    return {name: text.encode() for name, text in texts.items()}
