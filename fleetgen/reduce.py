"""The last step: what closes a data set once every part has its receipt.

Receipts are read one at a time in the order of the plan, so that neither memory nor the result
depends on how the parts came about. All of it can be made again: the manifest comes last.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable, Iterator
from dataclasses import replace

from fleetgen import __version__, fleet
from fleetgen.config import RunConfig
from fleetgen.io import manifest, tables
from fleetgen.io.store import Store
from fleetgen.plan import Estimate, Plan
from fleetgen.report import page
from fleetgen.report.summary import Summary
from fleetgen.schema import (
    ANOMALY,
    DATA_VERSION,
    FEATURE_STORE,
    REPORT_FILE,
    SCHEMA_VERSION,
    STATES_FILE,
    TABLES,
    TELEMETRY,
)
from fleetgen.spec import FileEntry, Receipt
from fleetgen.task import CHECKPOINTS, MEMBERS, member_key


def reduce(config: RunConfig, plan: Plan, cost: Estimate, store: Store) -> None:
    """Write dimension tables, anomalies, single files, states and report, then the manifest."""
    summary = Summary()
    for receipt in _receipts(plan, store):
        summary.take(receipt)
    closing: list[FileEntry] = []
    if plan.run.format != "none":
        closing = [
            *_dimensions(config, plan, store),
            _anomalies(plan, store),
            _feature_file(plan, store, summary.rows[FEATURE_STORE.name]),
            _states(plan, store, summary.batteries),
            _report(plan, cost, store, summary),
        ]
    header = {
        "fleetgen": __version__,
        "python": platform.python_version(),
        "data_version": DATA_VERSION,
        "schema_version": SCHEMA_VERSION,
        "plan_digest": plan.run.plan_digest,
        "plan": config.identity(),
        "duration_seconds": plan.run.grid.duration_s,
        "seed": plan.run.seed,
        "injections": config.injections(),
        "rows": dict(sorted(summary.rows.items())),
    }
    parts = (entry for receipt in _receipts(plan, store) for entry in receipt.files)
    manifest.write_manifest(store, header, _chain(parts, closing))


def closing_names() -> Iterator[str]:
    """Files that a data set has at its top, all of them made by the reduce."""
    for table in TABLES.values():
        if table not in TELEMETRY:
            yield f"{table.name}.csv"
    yield from (f"{FEATURE_STORE.name}.csv.gz", STATES_FILE, REPORT_FILE)


def clean(store: Store) -> None:
    """Delete what only the run needed."""
    store.delete([*store.keys(MEMBERS), *store.keys(CHECKPOINTS)])


def done_parts(plan: Plan, store: Store) -> set[str]:
    """Jobs that have a receipt, and all else that the reduce will need of them."""
    done = manifest.receipts_done(store)
    if plan.run.format == "none":
        return done
    present = set(store.keys(MEMBERS))
    return {
        job
        for job in done
        if member_key(job) in present or not has_member(manifest.read_receipt(store, job))
    }


def has_member(receipt: Receipt) -> bool:
    """Whether the part has rows of the single feature file."""
    return any(entry.table == FEATURE_STORE.name for entry in receipt.files)


def _receipts(plan: Plan, store: Store) -> Iterator[Receipt]:
    for job in plan.parts:
        yield manifest.read_receipt(store, job.key)


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


def _dimensions(config: RunConfig, plan: Plan, store: Store) -> Iterator[FileEntry]:
    grid = plan.run.grid
    run = plan.run
    groups = fleet.dimension_tables(plan.fleet, plan.selected, run.seed, grid, run.scenario)
    for table, row_groups in groups.items():
        rows = sum(next(iter(group.values())).rows for group in row_groups)
        data = tables.csv_bytes(table, row_groups, grid.utc_offset_s)
        yield _put(store, table.name, f"{table.name}.csv", rows, [data])


def _anomalies(plan: Plan, store: Store) -> FileEntry:
    """What went wrong in the run, as CSV."""
    offset_s = plan.run.grid.utc_offset_s
    rows = 0

    def pieces() -> Iterator[bytes]:
        nonlocal rows
        yield tables.csv_bytes(ANOMALY, [], offset_s)
        for group in fleet.anomaly_groups(plan.fleet, plan.selected, plan.run):
            rows += group[ANOMALY.names[0]].rows
            yield tables.csv_bytes(ANOMALY, [group], offset_s, header=False)

    entry = _put(store, ANOMALY.name, f"{ANOMALY.name}.csv", 0, pieces())
    return replace(entry, rows=rows)


def _feature_file(plan: Plan, store: Store, rows: int) -> FileEntry:
    """One CSV of all features: the parts' gzip members behind a member with the header."""

    def pieces() -> Iterator[bytes]:
        yield tables.csv_gz_member(FEATURE_STORE, [], plan.run.grid.utc_offset_s, True)
        for receipt in _receipts(plan, store):
            if has_member(receipt):
                yield from store.get_stream(member_key(receipt.job))

    return _put(store, FEATURE_STORE.name, f"{FEATURE_STORE.name}.csv.gz", rows, pieces())


def _states(plan: Plan, store: Store, batteries: int) -> FileEntry:
    def pieces() -> Iterator[bytes]:
        before = "{\n"
        for receipt in _receipts(plan, store):
            for jar_id, state in receipt.states.items():
                yield f"{before}{json.dumps(jar_id)}: {json.dumps(state)}".encode()
                before = ",\n"
        yield b"\n}\n"

    return _put(store, "battery_states", STATES_FILE, batteries, pieces())


def _report(plan: Plan, cost: Estimate, store: Store, summary: Summary) -> FileEntry:
    text = page.markdown(summary, cost.rows, plan.run)
    return _put(store, "report", REPORT_FILE, 0, [text.encode()])
