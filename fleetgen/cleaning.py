"""What may be removed of a data set: what killed writers have left, what is of no part, or all.

Only names of fleetgen's own grammar are ever deleted, and only where a data set of fleetgen lies.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from fleetgen.errors import ConfigError
from fleetgen.export import open_at
from fleetgen.history import CLOSING
from fleetgen.io import manifest
from fleetgen.io.store import Leftover, Store
from fleetgen.pipeline import recorded
from fleetgen.plan import make_plan
from fleetgen.reduce import closing_names
from fleetgen.schema import PARTED
from fleetgen.task import CHECKPOINTS, MEMBERS, part_path, part_tables
from fleetgen.timings import TIMINGS
from fleetgen.units import SECONDS_PER_HOUR
from fleetgen.wording import many

_ID = r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}"
_SPAN = r"\d{4}-\d\d-\d\d-\d{1,2}"
_NAMES = "|".join(table.name for table in PARTED)
_MONTH = r"month=\d{4}-\d\d"
_PARTS = re.compile(
    rf"({_NAMES})/location={_ID}/(string={_ID}/)?{_MONTH}/"
    rf"part-{_SPAN}\.(parquet|csv\.gz)",
    re.ASCII,
)
_RECEIPTS = re.compile(rf"{manifest.RECEIPTS}/{_ID}-{_SPAN}\.json", re.ASCII)
_SCRATCH = re.compile(
    rf"({MEMBERS}/\w+/{_ID}-{_SPAN}\.csv\.gz|{CHECKPOINTS}/{_ID}\.arrow|"
    rf"{CLOSING}/{_ID}\.json|_probe-[0-9a-f]{{16}}(/probe)?)",
    re.ASCII,
)
_EXPORTS = re.compile(rf"({_NAMES})\.csv(\.gz)?", re.ASCII)
_TIMINGS = re.compile(rf"{TIMINGS}/\d{{4,}}\.csv", re.ASCII)
_EXTENTS = re.compile(r"_fleetgen/extents/\d{4}\.json", re.ASCII)
_SHOWN = 20


@dataclass(frozen=True)
class Cleaned:
    """What was removed, or would be: left by killed writers, and files; and what was not ours."""

    leftovers: tuple[Leftover, ...]
    keys: tuple[str, ...]
    strangers: tuple[str, ...] = ()
    dry_run: bool = False

    def lines(self) -> Iterator[str]:
        """Tell it: each name, and how many there were."""
        done = "would remove" if self.dry_run else "removed"
        for leftover in self.leftovers:
            hours = leftover.age_s / SECONDS_PER_HOUR
            yield f"{done} {ascii(leftover.name)[1:-1]}, left {hours:.1f} h ago"
        places: dict[str, list[str]] = {}
        for key in self.keys:
            places.setdefault(key.partition("/")[0], []).append(key)
        for place, keys in places.items():
            if len(keys) > _SHOWN:
                yield f"{done} {many(len(keys), 'file')} in {place}/"
            else:
                yield from (f"{done} {key}" for key in keys)
        rest = self.strangers
        mark = f"/{manifest.RUN}"
        for inner in [name.removesuffix(mark) for name in rest if name.endswith(mark)]:
            within = [name for name in rest if name.startswith(f"{inner}/")]
            if within:
                yield f"kept {ascii(inner)[1:-1]}/, another data set: {many(len(within), 'file')}"
                rest = tuple(name for name in rest if name not in {*within})
        yield from (f"kept {ascii(name)[1:-1]}, which is not ours" for name in rest)
        count = len(self.leftovers) + len(self.keys)
        yield f"{done} {many(count, 'file')}" if count else "nothing to remove"


def clean(
    url: str,
    *,
    older_than_hours: float = 24.0,
    everything: bool = False,
    dry_run: bool = False,
    storage_options: Sequence[str] = (),
) -> Cleaned:
    """Remove temporary files and stale uploads, and of a finished data set what belongs to nothing.

    Parameters
    ----------
    older_than_hours
        Age [h] at which a temporary file or an upload is taken to be left: a younger one may be
        that of a run that is at work.
    everything
        Remove the data set: the manifest first, its identity last.
    dry_run
        Remove nothing, and say what would be.

    Raises
    ------
    ConfigError
        The age is none.
    StorageError
        No data set of fleetgen lies there.
    """
    if not 0 <= older_than_hours < float("inf"):
        raise ConfigError(f"--older-than = {older_than_hours}: must be a number of hours from 0 on")
    store = open_at(url, storage_options)
    manifest.read_run(store)
    if everything:
        leftovers = store.leftovers(0.0)
        keys, strangers = _all(store)
    else:
        leftovers = store.leftovers(older_than_hours * SECONDS_PER_HOUR)
        keys, strangers = _orphans(store, storage_options), []
    if not dry_run:
        store.remove_leftovers(leftovers)
        store.delete(keys)
    return Cleaned(tuple(leftovers), tuple(keys), tuple(strangers), dry_run)


def _all(store: Store) -> tuple[list[str], list[str]]:
    """Keys of a data set in the order in which they go, and what else lies there."""
    first, last = (manifest.SUCCESS, manifest.MANIFEST), manifest.RUN
    there = store.keys()
    ours = [key for key in there if _is_ours(key) and key not in (*first, last)]
    ours.sort(key=lambda key: _EXTENTS.fullmatch(key) is not None)  # what they tell is needed
    keys = [*(key for key in first if key in there), *ours, last]
    temporary = {leftover.name for leftover in store.leftovers(0.0)}
    return keys, sorted(set(store.names()) - temporary - {*keys})


def _is_ours(key: str) -> bool:
    patterns = (_PARTS, _RECEIPTS, _SCRATCH, _TIMINGS, _EXTENTS, _EXPORTS)
    return key in closing_names() or any(pattern.fullmatch(key) for pattern in patterns)


def _orphans(store: Store, storage_options: Sequence[str]) -> list[str]:
    """Parts, receipts and scratch of our grammar that a finished data set does not have."""
    there = store.keys()  # first of all: what another run adds from now on is not looked at
    if not manifest.is_marked(store):
        return []
    _, config, extents = recorded(store, storage_options=storage_options)
    parts = make_plan(config, store.url, extents).parts
    if {job.key for job in parts} - manifest.receipts_done(store):  # it is being extended
        return []
    own = {part_path(job, table.name) for job in parts for table in part_tables(job)}
    own |= {manifest.receipt_key(job.key) for job in parts}
    return [key for key in _matching(there, _PARTS, _RECEIPTS, _SCRATCH) if key not in own]


def _matching(keys: Iterable[str], *patterns: re.Pattern[str]) -> list[str]:
    return [key for key in keys if any(pattern.fullmatch(key) for pattern in patterns)]
