"""Every file held against what the manifest and its receipt say of it, some down to the values."""

from __future__ import annotations

import gzip
import hashlib
import tempfile
import zlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import IO

from fleetgen import reread
from fleetgen.errors import StorageError
from fleetgen.execute import ExecutionSettings, open_engine
from fleetgen.io import dataset, manifest
from fleetgen.io.store import Store
from fleetgen.schema import PARTED, STATES_FILE, Table
from fleetgen.spec import FileEntry, PartJob, RowGroup
from fleetgen.task import part_path, part_tables
from fleetgen.verify.control import File
from fleetgen.verify.findings import Bad, CheckName, Findings, Notify
from fleetgen.verify.place import Place
from fleetgen.wording import many

SPOOL_BYTES = 1 << 25
"""Most of a file that is held in memory; the rest of a larger one waits on the local disk."""

_SHOWN_DIGITS = 12
_RECORDED = ("bytes", "sha256", "rows", "digests")
"""Fields of a file entry that the file itself tells, in the order in which they are told."""


@dataclass(frozen=True)
class Seen:
    """What a file is; `fault` is why it could not be read that far."""

    file: File
    bytes: int | None = None
    sha256: str = ""
    rows: int | None = None
    digests: dict[str, str] | None = None
    plan: str = ""
    fault: str = ""


def look_at_files(place: Place, files: list[File], found: Findings, notify: Notify) -> None:
    """Read every file once, several at a time, and note what is wrong."""
    present = {name for table in PARTED for name in place.store.names(table.name)}
    settings = ExecutionSettings("threads", place.workers)
    notify("files", 0, len(files))
    with open_engine(settings, place.record.digest) as engine:
        seen = engine.run(partial(_begin_seeing, place.store, present), files)
        for number, each in enumerate(seen, 1):
            found.checked["files"] += 1
            found.checked["rows"] += each.rows is not None
            found.checked["values"] += each.digests is not None
            for bad in _judged(place, each):
                found.bad.append(bad)
            notify("files", number, len(files))


def _begin_seeing(store: Store, present: set[str], file: File) -> Callable[[], Seen]:
    return partial(_seen, store, present, file)


def _seen(store: Store, present: set[str], file: File) -> Seen:
    if not (file.path in present if file.job else store.exists(file.path)):
        return Seen(file, fault="is missing")
    sha = hashlib.sha256()
    with tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES) as spool:
        try:
            size = 0
            for chunk in store.get_stream(file.path):
                sha.update(chunk)
                size += len(chunk)
                spool.write(chunk)
        except StorageError as error:
            return Seen(file, fault=str(error).partition("\n")[0])
        spool.seek(0)
        seen = Seen(file, size, sha.hexdigest())
        return _closing_rows(seen, spool) if file.job is None else _part_rows(seen, file.job, spool)


def _part_rows(seen: Seen, job: PartJob, spool: IO[bytes]) -> Seen:
    """Rows of a part by its footer or lines; its values if they are wanted and its bytes right."""
    read: Callable[[Table, IO[bytes]], Iterator[RowGroup]]
    try:
        if seen.file.path.endswith(".csv.gz"):
            seen, read = _closing_rows(seen, spool), dataset.iter_csv_groups
        else:
            footer, read = dataset.read_footer(spool), dataset.iter_groups
            seen = replace(seen, rows=footer.rows, plan=footer.plan)
        if seen.file.values and any(e.sha256 == seen.sha256 for e in seen.file.said.values()):
            table = next(t for t in part_tables(job) if part_path(job, t.name) == seen.file.path)
            spool.seek(0)
            seen = replace(seen, digests=reread.row_digests(job, table, read(table, spool)))
    except ValueError as error:
        return replace(seen, fault=f"{error}")
    return seen


def _closing_rows(seen: Seen, spool: IO[bytes]) -> Seen:
    """Rows of a file that closes with the run: lines but the header's, or entries of an object."""
    path = seen.file.path
    if path == STATES_FILE:
        return replace(seen, rows=_lines(spool) - 2)
    if not path.endswith((".csv", ".csv.gz")):
        return seen
    try:
        with gzip.GzipFile(fileobj=spool, mode="rb") if path.endswith(".gz") else spool as file:
            lines = _lines(file)
    except (OSError, EOFError, zlib.error) as error:
        return replace(seen, fault=f"no whole gzip file ({error})")
    return replace(seen, rows=lines - 1)


def _lines(file: IO[bytes] | gzip.GzipFile) -> int:
    return sum(chunk.count(b"\n") for chunk in iter(partial(file.read, 1 << 20), b""))


def _judged(place: Place, seen: Seen) -> Iterator[Bad]:
    """What is wrong with a file, or with those who tell of it if one of them is right."""
    file = seen.file
    part = file.job.key if file.job else ""
    if seen.bytes is None:
        yield Bad("files", file.path, seen.fault, part)
        return
    odd = {who: _differing(seen, entry) for who, entry in file.said.items()}
    right = [who for who, names in odd.items() if not names]
    if right:
        for who, names in odd.items():
            if names:
                yield _liar(place, seen, who, names)
    elif odd:
        names = next(iter(odd.values()))
        entry = next(iter(file.said.values()))
        check: CheckName = "files"
        if names[0] in ("rows", "digests"):
            check = "rows" if names[0] == "rows" else "values"
        yield Bad(check, file.path, _told(seen, entry, names[0], place.record.digest), part)
        return
    if seen.fault:
        yield Bad("values" if seen.rows is not None else "rows", file.path, seen.fault, part)


def _differing(seen: Seen, entry: FileEntry) -> list[str]:
    """Fields in which a file is not what is said of it; what was not looked at differs not."""
    return [
        name
        for name in _RECORDED
        if getattr(seen, name) is not None and getattr(seen, name) != getattr(entry, name)
    ]


def _liar(place: Place, seen: Seen, who: str, names: list[str]) -> Bad:
    """One who tells of a file what is not so, where the other is right."""
    what = f"its {names[0]} of {seen.file.path} is not that of the file"
    if who == "manifest":
        return Bad("control files", manifest.MANIFEST, what)
    job = seen.file.job.key if seen.file.job else ""
    return Bad("receipts", manifest.receipt_key(job), what, job)


def _told(seen: Seen, entry: FileEntry, name: str, plan: str) -> str:
    """Say in which way a file is not what is said of it."""
    if name == "digests":
        is_, said = seen.digests or {}, entry.digests
        day = min(d for d in {*is_, *said} if is_.get(d) != said.get(d))
        return f"the digest of {day} is {is_.get(day)} by its values, not {said.get(day)}"
    texts = {
        "bytes": f"{many(seen.bytes or 0, 'byte')} instead of {entry.bytes:,}",
        "rows": f"{many(seen.rows or 0, 'row')} instead of {entry.rows:,}",
        "sha256": (
            f"its SHA-256 is {seen.sha256[:_SHOWN_DIGITS]}... instead of "
            f"{entry.sha256[:_SHOWN_DIGITS]}..."
        ),
    }
    told = [texts[name]]
    if name != "rows" and seen.rows is not None and seen.rows != entry.rows:
        told.append(texts["rows"])
    if seen.fault:
        told.append(seen.fault)
    if seen.plan and seen.plan != plan:
        told.append(f"of plan {seen.plan[:_SHOWN_DIGITS]!r} instead of {plan[:_SHOWN_DIGITS]!r}")
    return "; ".join(told)


def look_for_strangers(
    place: Place, files: list[File], receipts: Collection[str], found: Findings
) -> None:
    """Files in the tables' directories that are not the data set's: readers would take them in.

    A part without a receipt may have a file of each of its tables.
    """
    own = {file.path for file in files}
    for job in place.plan.parts:
        if job.key not in receipts:
            own |= {part_path(job, table.name) for table in part_tables(job)}
    for table in PARTED:
        for name in place.store.names(table.name):
            hidden = any(part.startswith(("_", ".")) for part in name.split("/"))
            if not hidden:
                found.checked["strangers"] += 1
            if not hidden and name not in own:
                told = "is not of this data set, and readers would take it in"
                found.add("strangers", ascii(name)[1:-1], told)
