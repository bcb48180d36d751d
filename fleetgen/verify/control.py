"""The control files held against each other and against the plan."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from fleetgen import reduce
from fleetgen.config import same_version
from fleetgen.errors import StorageError
from fleetgen.export import in_order
from fleetgen.io import manifest
from fleetgen.io.store import Store
from fleetgen.plan import estimate
from fleetgen.sample import BlockClock
from fleetgen.schema import DATA_VERSION, FEATURE_STORE, SCHEMA_VERSION, TELEMETRY
from fleetgen.spec import FileEntry, PartJob, Receipt
from fleetgen.task import part_group, part_path, part_tables
from fleetgen.verify.findings import Findings
from fleetgen.verify.place import Place
from fleetgen.wording import many


@dataclass(frozen=True)
class File:
    """A file, the part that makes it (none closes with the run), and what is said of it by whom."""

    path: str
    job: PartJob | None
    said: dict[str, FileEntry]
    values: bool = False

    @property
    def key(self) -> str:
        """Name of the job of looking at it."""
        return self.path


def control_files(place: Place, found: Findings) -> manifest.Manifest | None:
    """Read the manifest and the marker; run.json has been read."""
    found.checked["control files"] = 3
    store = place.store
    marked, closed = store.exists(manifest.SUCCESS), store.exists(manifest.MANIFEST)
    if not closed:
        found.add("control files", manifest.MANIFEST, "is missing: the data set is not finished")
        return None
    if not marked:
        found.add("control files", manifest.SUCCESS, "is missing")
    try:
        there = manifest.read_manifest(store)
    except StorageError as error:
        found.add("control files", manifest.MANIFEST, _reason(store, manifest.MANIFEST, error))
        return None
    expected = {
        "plan_digest": place.record.digest,
        "plan": place.record.identity,
        "duration_seconds": place.plan.run.grid.duration_s,
        "seed": place.plan.run.seed,
    }
    if same_version(place.record.identity):
        expected |= {"data_version": DATA_VERSION, "schema_version": SCHEMA_VERSION}
    odd = [name for name, value in expected.items() if there.header.get(name) != value]
    if odd:
        told = f"its {' and '.join(odd)} are not those of {manifest.RUN}"
        found.add("control files", manifest.MANIFEST, told)
    return there


def listed_files(
    place: Place,
    there: manifest.Manifest | None,
    receipts: dict[str, Receipt],
    found: Findings,
) -> list[File]:
    """Each file of the data set once, in order of the plan, with what receipt and manifest say."""
    listed = {} if there is None else {entry.path: entry for entry in there.files}
    files: list[File] = []
    done = manifest.receipts_done(place.store)
    for job, read in zip(place.plan.parts, _receipts(place, done), strict=True):
        found.checked["receipts"] += 1
        receipt = _receipt(place, job, read, found)
        if receipt is not None:
            receipts[job.key] = receipt
        mine = {} if receipt is None else {entry.path: entry for entry in receipt.files}
        needed = tables_of(job)
        for table in (each.name for each in part_tables(job)):
            path = part_path(job, table)
            if table not in needed and path not in mine.keys() | listed.keys():
                continue
            said = {"receipt": mine.get(path), "manifest": listed.pop(path, None)}
            known = {who: entry for who, entry in said.items() if entry is not None}
            if receipt is not None and "receipt" not in known:
                key = manifest.receipt_key(job.key)
                found.add("receipts", key, f"does not name {path}", job.key)
            if there is not None and "manifest" not in known:
                found.add("control files", manifest.MANIFEST, f"does not name {path}")
            files.append(File(path, job, known))
    if there is not None:
        rows = estimate(place.plan, 1).rows
        files += _closing_files(there, listed, set(reduce.closing_names(rows)), found)
        if len(receipts) == len(place.plan.parts):
            _check_rows(there, receipts, found)
    strays = done - {job.key for job in place.plan.parts}
    for name in sorted(strays):
        told = "is the receipt of no part of the plan"
        found.add("strangers", manifest.receipt_key(name), told)
    return files


def _closing_files(
    there: manifest.Manifest, listed: dict[str, FileEntry], closing: set[str], found: Findings
) -> list[File]:
    """Files that close with the run, of those listed in the manifest that no part has."""
    for path in sorted(closing - listed.keys()):
        found.add("control files", manifest.MANIFEST, f"does not name {path}")
    for path in sorted(listed.keys() - closing):
        told = f"names {path}, which is no file of the plan"
        found.add("control files", manifest.MANIFEST, told)
    if len({entry.path for entry in there.files}) != len(there.files):
        found.add("control files", manifest.MANIFEST, "names a file twice")
    return [File(p, None, {"manifest": e}) for p, e in listed.items() if p in closing]


def _check_rows(there: manifest.Manifest, receipts: dict[str, Receipt], found: Findings) -> None:
    """Want the manifest's rows of each table to be the sum of those of all parts."""
    rows: dict[str, int] = {}
    for receipt in receipts.values():
        for entry in receipt.files:
            rows[entry.table] = rows.get(entry.table, 0) + entry.rows
    said = there.header.get("rows")
    if not isinstance(said, dict) or {name: n for name, n in said.items() if n} != rows:
        told = "its rows are not the sums of those of the receipts"
        found.add("control files", manifest.MANIFEST, told)


def _receipts(place: Place, done: set[str]) -> Iterator[Receipt | StorageError | None]:
    """Receipt of each part, or why it cannot be read; None where there is none."""

    def read(job: PartJob) -> Receipt | StorageError | None:
        if job.key not in done:
            return None
        try:
            return manifest.read_receipt(place.store, job.key, place.record.digest)
        except StorageError as error:
            return error

    with ThreadPoolExecutor(reduce.READERS) as pool:
        yield from in_order(pool, read, place.plan.parts, reduce.READERS)


def _receipt(
    place: Place, job: PartJob, receipt: Receipt | StorageError | None, found: Findings
) -> Receipt | None:
    """Receipt of a part if it is one; what it says of its files is looked at with them."""
    key = manifest.receipt_key(job.key)
    if receipt is None:
        found.add("receipts", key, "is missing", job.key)
        return None
    if isinstance(receipt, StorageError):
        found.add("receipts", key, _reason(place.store, key, receipt), job.key)
        return None
    expected = {part_path(job, table.name): table.name for table in part_tables(job)}
    for entry in receipt.files:
        if expected.get(entry.path) != entry.table or entry.group != part_group(job):
            found.add("receipts", key, f"names {entry.path}, which is not of its part", job.key)
            return None
    needed = tables_of(job)
    there = sum(entry.table in needed for entry in receipt.files)
    if there != len(needed) or len({e.path for e in receipt.files}) != len(receipt.files):
        found.add("receipts", key, f"names {many(there, 'file')} of {len(needed)}", job.key)
        return None
    return receipt


def tables_of(job: PartJob) -> list[str]:
    """Tables of which a part must have a file; features only where a window is complete."""
    windows = BlockClock(job.run.grid, job.block).windows(job.run.window_hours)
    needed = [table for table in part_tables(job) if table in TELEMETRY]
    return [table.name for table in needed if windows or table is not FEATURE_STORE]


def disputed(file: File) -> bool:
    """Whether those who tell of a file do not agree on its values."""
    return len({repr(entry.digests) for entry in file.said.values()}) > 1


def _reason(store: Store, key: str, error: StorageError) -> str:
    """What a fault says of a file, without the name of the file."""
    text = str(error).removeprefix(f"{store.url}/{key} ").partition(" Delete this file")[0]
    return text.partition("\n")[0]
