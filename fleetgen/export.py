"""Single files of a table, joined from the parts of a data set: the use case `export`.

Rows lie by string, block of days, jar and instant: in the order of the manifest. Parts in CSV.gz
are joined as they are, for a part's header is a gzip member of its own; row groups of Parquet are
read back as counts and become a member each.
"""

from __future__ import annotations

import io
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from fleetgen.config import output_at
from fleetgen.errors import ConfigError, StorageError
from fleetgen.execute import available_cores
from fleetgen.io import csv, manifest
from fleetgen.io.dataset import iter_groups
from fleetgen.io.store import Store, open_store
from fleetgen.schema import PARTED, SINGLE_FILES, TABLES, SingleForm, Table
from fleetgen.spec import FileEntry, RowGroup
from fleetgen.units import SECONDS_PER_HOUR
from fleetgen.wording import nearest

COMPARED_BYTES = 4096
"""Text at the beginning of a file by which it is known as an earlier export."""

_LOOK_S = 8.0

_T = TypeVar("_T")
_R = TypeVar("_R")


@dataclass(frozen=True)
class Exported:
    """A file that was written."""

    name: str
    rows: int
    bytes: int


def export(
    url: str,
    form: SingleForm,
    names: Sequence[str] = (),
    output_dir: str | None = None,
    storage_options: Sequence[str] = (),
) -> Iterator[Exported]:
    """Make a single file of each table of a finished data set, one after the other.

    Parameters
    ----------
    url
        Where the data set lies.
    form
        Also the suffix of the files.
    names
        Tables; by default those of which the guide has single files.
    output_dir
        Where the files go; by default beside the data set's own.
    storage_options
        Texts `name=value`, of whichever of the two places is on s3://.

    Raises
    ------
    ConfigError
        A table is not one that lies in parts.
    StorageError
        The data set is unfinished or damaged, or a file is in the way that no export made.
    """
    series = {table.name: table for table in PARTED}
    if unknown := [name for name in names if name not in series]:
        name = unknown[0]
        if name in TABLES:
            raise ConfigError(f"--table {name}: it is a single file already, {name}.csv")
        raise ConfigError(f"--table {name:.60}: no such table; {nearest(name, series)}")
    source = open_at(url, storage_options)
    if not manifest.is_marked(source):
        raise manifest.unfinished(source)
    offset_s = utc_offset_s(source)
    rows = _rows_by_table(source)
    target = open_at(output_dir, storage_options) if output_dir else source
    made = []
    for name in dict.fromkeys(names or SINGLE_FILES):
        pieces = partial(_listed_file, series[name], source, offset_s, form)
        _refuse_a_stranger(target, f"{name}.{form}", form, pieces)
        made.append((f"{name}.{form}", rows.get(name, 0), pieces))
    for key, count, pieces in made:
        yield Exported(key, count, target.put_stream(key, pieces()))


def _rows_by_table(source: Store) -> dict[str, int]:
    """Rows of the tables that lie in parts, by the manifest."""
    rows: dict[str, int] = defaultdict(int)
    for entry in manifest.read_files(source):
        table, below, _ = entry.path.partition("/")
        if below:
            rows[table] += entry.rows
    return rows


def _listed_file(
    table: Table, source: Store, utc_offset_s: int, form: SingleForm
) -> Iterator[bytes]:
    """`single_file` of the parts in the manifest, one entry of which is in memory."""
    parts = (e for e in manifest.read_files(source) if e.path.startswith(f"{table.name}/"))
    return single_file(table, source, parts, utc_offset_s, form)


def open_at(url: str, storage_options: Sequence[str] = ()) -> Store:
    """Open what lies at a URL; options, texts `name=value`, are for `s3://` alone.

    Raises
    ------
    ConfigError
        The URL or an option is none.
    StorageError
        A store elsewhere gives no answer within seconds.
    """
    place = output_at(url, storage_options if url.startswith("s3:") else ())
    store = open_store(place.directory, place.to_options())
    if store.remote:  # a look fails soon, while reading would be patient
        store.within(_LOOK_S).exists(manifest.RUN)
    return store


def single_file(
    table: Table, store: Store, parts: Iterable[FileEntry], utc_offset_s: int, form: SingleForm
) -> Iterator[bytes]:
    """Yield a table as one file, never more than a part and a few row groups in memory."""
    yield csv.header_member(table) if form == "csv.gz" else csv.header_line(table)
    yield from rows(table, store, parts, utc_offset_s, form)


def rows(
    table: Table, store: Store, parts: Iterable[FileEntry], utc_offset_s: int, form: SingleForm
) -> Iterator[bytes]:
    """Yield the rows of a table's parts, without a header."""
    packed = form == "csv.gz"

    def encoded(group: RowGroup) -> bytes:
        if packed:
            return csv.csv_gz_member(table, [group], utc_offset_s)
        return csv.csv_bytes(table, [group], utc_offset_s, header=False)

    cores = available_cores()
    with ThreadPoolExecutor(cores) as pool:
        for part in parts:
            try:
                if part.path.endswith(".csv.gz"):
                    body = csv.without_header(table, manifest.stream_file(store, part))
                    yield from body if packed else csv.unpacked(body)
                else:
                    data = io.BytesIO(b"".join(manifest.stream_file(store, part)))
                    yield from in_order(pool, encoded, iter_groups(table, data), cores)
            except ValueError as error:
                raise manifest.damaged_file(store, part, str(error)) from error


def in_order(
    pool: ThreadPoolExecutor, function: Callable[[_T], _R], items: Iterable[_T], ahead: int
) -> Iterator[_R]:
    """Map on threads, at most `ahead` results before they are taken."""
    waiting: deque[Future[_R]] = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def utc_offset_s(store: Store) -> int:
    """Offset of the local time of a data set from UTC [s]."""
    fleet = manifest.read_run(store).identity.get("fleet")
    hours = fleet.get("utc_offset_hours") if isinstance(fleet, dict) else None
    if not isinstance(hours, int | float):
        raise StorageError(f"{store.url}/{manifest.RUN} names no utc_offset_hours of its fleet")
    return round(hours * SECONDS_PER_HOUR)


def _refuse_a_stranger(
    store: Store, key: str, form: SingleForm, pieces: Callable[[], Iterator[bytes]]
) -> None:
    """Raise StorageError when the file that is there does not begin as the new one will."""
    if not store.exists(key):
        return
    try:
        there = _beginning(store.get_stream(key), form)
    except ValueError:
        there = b""
    here = _beginning(pieces(), form)
    length = min(len(there), len(here))
    if not there or there[:length] != here[:length]:
        raise StorageError(
            f"{store.url}/{key} is there and no earlier export of this data set; remove it, or "
            "choose another --output-dir"
        )


def _beginning(pieces: Iterator[bytes], form: SingleForm) -> bytes:
    text = b""
    for piece in csv.unpacked(pieces) if form == "csv.gz" else pieces:
        text += piece[:COMPARED_BYTES]
        if len(text) >= COMPARED_BYTES:
            break
    return text[:COMPARED_BYTES]
