"""The control files of a data set: whose it is, which parts are whole, what belongs to it.

`_fleetgen/run.json` is the identity, written first; then a numbered extent, which says how long the
data set is to be; a receipt per part is written after the part's files and is its commit; the
manifest names every file and comes last, before the marker `_SUCCESS`.
Readers of Parquet skip names that begin with `_`. All of them are JSON in ASCII with a line end
and sorted keys, but for the plan's, which stand in the order of the configuration; the manifest has
one file entry a line.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, is_dataclass
from functools import cache
from itertools import pairwise
from typing import Any, Literal, NoReturn, TypeVar, get_args, get_origin, get_type_hints

from fleetgen.errors import StorageError
from fleetgen.io.store import Store, is_key, open_store
from fleetgen.places import Options
from fleetgen.spec import FileEntry, Receipt
from fleetgen.units import SECONDS_PER_DAY
from fleetgen.wording import many

FORMAT = 1
"""Version of the control files; raised when an older fleetgen could not read them."""

RUN = "_fleetgen/run.json"
EXTENTS = "_fleetgen/extents"
RECEIPTS = "_fleetgen/receipts"
MANIFEST = "_fleetgen/manifest.json"
SUCCESS = "_SUCCESS"

_REMEDY = {
    "run": "Choose another --output-dir, or remove this one.",
    "extent": "Delete this file, then run the command of the longest duration again.",
    "receipt": "Delete this file, then run the same command again: its part alone is made anew.",
    "manifest": "Delete this file and _SUCCESS, then run the same command again.",
}
_EXTENT = re.compile(rf"{EXTENTS}/([0-9]{{4}})\.json")
_AS_SOURCE = "Give the run.json or manifest.json of a data set as fleetgen left it."
_IS_MANIFEST = re.compile(rb'"kind"\s*:\s*"manifest"')
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SHOWN_DIFFERENCES = 20
_SHOWN_CHARACTERS = 80

_T = TypeVar("_T")


@dataclass(frozen=True)
class RunRecord:
    """Identity of a data set: the digest of its plan, and the plan in readable form."""

    digest: str
    identity: dict[str, Any]


@dataclass(frozen=True)
class Extent:
    """How long a data set is to be, after how long it was, all in seconds."""

    durations_seconds: tuple[int, ...]


@dataclass(frozen=True)
class PlanSource:
    """A plan that was read to be made again, and the length [s] of what was made if it is known."""

    name: str
    record: RunRecord
    duration_s: int | None = None


@dataclass(frozen=True)
class Manifest:
    """What a data set consists of."""

    header: dict[str, Any]
    files: tuple[FileEntry, ...]


def receipt_key(job: str) -> str:
    """Where the receipt of a job lies."""
    return f"{RECEIPTS}/{job}.json"


def canonical_json(value: Any) -> bytes:
    """JSON with sorted keys, ASCII, no spaces and a line end; NaN and infinity raise ValueError."""
    return f"{_text(value)}\n".encode()


# --- identity -------------------------------------------------------------------------------------


def claim(
    store: Store, identity: Mapping[str, Any], digest: str, names: Iterable[str] = ()
) -> Literal["created", "joined"]:
    """Make the directory that of this plan, or find that it is already.

    `names` are the files and directories that the plan will make: strangers of these names in a
    directory without a plan would be overwritten, and are refused.

    Raises
    ------
    StorageError
        Another plan lives there, or parts without an identity or strangers do.
    """
    if not store.exists(RUN):
        there = store.keys()
        if not store.exists(RUN):  # what was there before another run's identity is nobody's
            _refuse_strangers(store, there, names)
        record = _document("run", digest=digest, identity=dict(identity))
        if store.put_if_absent(RUN, f"{_text(record, ordered=True)}\n".encode()):
            return "created"
    check_identity(store, identity, digest)
    return "joined"


def _refuse_strangers(store: Store, there: list[str], names: Iterable[str]) -> None:
    def found(name: str) -> list[str]:
        return [key for key in there if key == name or key.startswith(f"{name}/")]

    if strays := [key for name in (RECEIPTS, EXTENTS, MANIFEST, SUCCESS) for key in found(name)]:
        raise StorageError(
            f"{store.url!r} holds {strays[0]} but no {RUN}, so that nobody knows to which "
            f"plan it belongs. {_REMEDY['run']}"
        )
    for name in filter(found, names):
        raise StorageError(
            f"{store.url!r} holds {name!r}, which the data set would overwrite, and no "
            f"{RUN}. {_REMEDY['run']}"
        )


def check_identity(store: Store, identity: Mapping[str, Any], digest: str) -> None:
    """Refuse a data set of another plan with what differs."""
    there = read_run(store)
    if there.digest == digest:
        return
    lines = differences(there.identity, identity)
    if len(lines) > _SHOWN_DIFFERENCES:
        lines[_SHOWN_DIFFERENCES:] = [f"and {len(lines) - _SHOWN_DIFFERENCES} more"]
    raise StorageError(
        "\n  ".join(
            [
                f"{store.url!r} holds a data set of another plan: {_way_out(store)} Differences "
                "(there -> here):",
                *lines,
            ]
        )
    )


def _way_out(store: Store) -> str:
    """What to do where another data set lies."""
    removal = f"fleetgen clean {shlex.quote(store.url)} --all"
    return f"choose another --output-dir, or remove this one by `{removal}`."


def read_run(store: Store) -> RunRecord:
    """Identity of the data set."""
    try:
        return _load(store, RUN, "run", RunRecord)
    except StorageError as error:
        if not isinstance(error.__cause__, FileNotFoundError):
            raise
        way = "Check where it lies."
        if store.exists(MANIFEST):
            way = (
                f"Its plan is in the manifest, too: `fleetgen generate --from {store.url}/"
                f"{MANIFEST} --output-dir ANOTHER` makes it again."
            )
        raise StorageError(
            f"{store.url!r} is no data set of fleetgen: it has no {RUN}. {way}"
        ) from error


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """Lines `dotted.path: there -> here`, one for each leaf in which two JSON objects differ."""
    old, new = (dict(_leaves(json.loads(_text(value)), "")) for value in (there, here))
    return [
        f"{_ascii(name)}: {old.get(name, 'absent'):.{_SHOWN_CHARACTERS}} -> "
        f"{new.get(name, 'absent'):.{_SHOWN_CHARACTERS}}"
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    ]


def read_plan(place: str, options: Options = ()) -> PlanSource:
    """Plan of a data set, by its URL or by that of its run.json or manifest, wherever it lies.

    A run.json that was taken elsewhere does not say how long the data set is.
    """
    place = place.removesuffix(f"/{RUN}")
    head, _, name = place.rpartition("/")
    if not name.endswith(".json"):
        store = open_store(place, options)
        record = _load(store, RUN, "run", RunRecord, _AS_SOURCE)
        return PlanSource(f"{store.url}/{RUN}", record, *read_extents(store)[-1:])
    store = open_store(head or ("/" if place.startswith("/") else "."), options)
    source = f"{store.url}/{name}"
    if not _IS_MANIFEST.search(store.get(name)):
        return PlanSource(source, _load(store, name, "run", RunRecord, _AS_SOURCE))
    header = _load(store, name, "manifest", Manifest, _AS_SOURCE).header
    digest, identity, duration_s = map(header.get, ("plan_digest", "plan", "duration_seconds"))
    if not isinstance(digest, str) or not isinstance(identity, dict) or type(duration_s) is not int:
        _refuse(store, name, "it bears no plan", _AS_SOURCE)
    return PlanSource(source, RunRecord(digest, identity), duration_s)


# --- extents --------------------------------------------------------------------------------------


def read_extents(store: Store) -> tuple[int, ...]:
    """Durations [s] that the data set was given, ascending; none before the first."""
    numbers = [int(m[1]) for m in map(_EXTENT.fullmatch, store.keys(EXTENTS)) if m]
    if not numbers:
        return ()
    key = _extent_key(max(numbers))
    found = _load(store, key, "extent", Extent).durations_seconds
    if len(found) != max(numbers) + 1 or found[0] < 1 or any(a >= b for a, b in pairwise(found)):
        _refuse(store, key, f"the durations {_brief(list(found))} are not its", _REMEDY["extent"])
    return found


def next_extents(store: Store, duration_s: int) -> tuple[int, ...]:
    """Extents of the data set with a run of this duration; nothing is written.

    Raises
    ------
    StorageError
        The data set is longer, or ends within a day, the parts of which would change.
    """
    there = read_extents(store)
    if not there or duration_s == there[-1]:
        return there or (duration_s,)
    if duration_s < there[-1]:
        why = "no part is taken away"
    elif there[-1] % SECONDS_PER_DAY:
        why = "only whole days can be extended, for the parts of the last day would change"
    else:
        return (*there, duration_s)
    raise StorageError(
        f"{store.url!r} holds {_length(there[-1])} of this plan, not {_length(duration_s)}: {why}. "
        f"Give --duration-days {_days(there[-1])}, or {_way_out(store)}"
    )


def extend(store: Store, extents: tuple[int, ...]) -> bool:
    """Give the data set the last of `extents`; False when it has it already.

    Raises
    ------
    StorageError
        Another run was quicker to give it another.
    """
    document = _document("extent", durations_seconds=extents)
    if read_extents(store) == extents[:-1] and store.put_if_absent(
        _extent_key(len(extents) - 1), canonical_json(document)
    ):
        return True
    check_extents(store, extents)
    return False


def check_extents(store: Store, extents: tuple[int, ...]) -> None:
    """Refuse to go on when another run has given the data set another length meanwhile."""
    there = read_extents(store)
    if there != extents:
        length = _length(there[-1]) if there else "no length"
        raise StorageError(
            f"{store.url!r} was given {length} by another run, while this one makes "
            f"{_length(extents[-1])}. Whole parts are kept; wait for the other run, then repeat "
            "the command of the longer duration."
        )


def _extent_key(number: int) -> str:
    return f"{EXTENTS}/{number:04d}.json"


def _days(duration_s: int) -> str:
    return f"{duration_s / SECONDS_PER_DAY:.10g}"


def _length(duration_s: int) -> str:
    return many(duration_s / SECONDS_PER_DAY, "day")


# --- parts ----------------------------------------------------------------------------------------


def write_receipt(store: Store, receipt: Receipt) -> None:
    """Commit a part, all files of which are in place."""
    store.put(receipt_key(receipt.job), receipt_line(receipt))


def receipt_line(receipt: Receipt) -> bytes:
    """A receipt as it is stored, which is one line."""
    return canonical_json(_document("receipt", **asdict(receipt)))


def read_receipt(store: Store, job: str, plan: str | None = None) -> Receipt:
    """Receipt of a job, and of this plan if one is given by its digest."""
    key = receipt_key(job)
    receipt = _load(store, key, "receipt", Receipt)
    if receipt.job != job:
        _refuse(store, key, f"it is the receipt of {_brief(receipt.job)}", _REMEDY["receipt"])
    if plan is not None and receipt.plan != plan:
        what = f"it is of another plan, {_brief(receipt.plan)}"
        _refuse(store, key, what, _REMEDY["receipt"])
    return receipt


def receipts_done(store: Store) -> set[str]:
    """Jobs that have a receipt; the receipts themselves are not read."""
    start, end = len(RECEIPTS) + 1, len(".json")
    return {key[start:-end] for key in store.keys(RECEIPTS) if key.endswith(".json")}


def stream_file(store: Store, part: FileEntry) -> Iterator[bytes]:
    """Yield a part's bytes; at the end StorageError unless they are those that were written."""
    sha = hashlib.sha256()
    try:
        for piece in store.get_stream(part.path):
            sha.update(piece)
            yield piece
    except StorageError:
        if store.exists(part.path):
            raise
        raise damaged_file(store, part, "it is missing") from None
    if sha.hexdigest() != part.sha256:
        raise damaged_file(store, part, "it is not the file that was written")


def damaged_file(store: Store, part: FileEntry, reason: str) -> StorageError:
    """Say why a part's file cannot be used, and the way out."""
    return StorageError(
        f"{store.url}/{part.path} cannot be used: {reason}. `fleetgen verify URL --repair` makes "
        "this part alone anew"
    )


# --- the whole ------------------------------------------------------------------------------------


def write_manifest(store: Store, header: Mapping[str, Any], files: Iterable[FileEntry]) -> None:
    """Close the data set: the manifest, then `_SUCCESS`. `files` are taken one by one."""
    document = _document("manifest", header=dict(sorted(header.items())))
    store.put_stream(MANIFEST, _manifest_pieces(document, files))
    store.put(SUCCESS, b"")


def read_manifest(store: Store) -> Manifest:
    """Manifest of a closed data set."""
    return _load(store, MANIFEST, "manifest", Manifest)


def read_header(store: Store) -> dict[str, Any]:
    """Header of the manifest; its file entries are looked at, too, one in memory at a time."""
    rest = bytearray()
    for _ in _entries(store, rest):
        pass
    return _parse(store, MANIFEST, "manifest", Manifest, bytes(rest)).header


def read_files(store: Store) -> Iterator[FileEntry]:
    """File entries of the manifest, one in memory at a time; at the end, whether it is whole."""
    rest = bytearray()
    yield from _entries(store, rest)
    _parse(store, MANIFEST, "manifest", Manifest, bytes(rest))


def _entries(store: Store, rest: bytearray) -> Iterator[FileEntry]:
    """Yield the manifest's file entries, and gather what is around them."""
    inside = False
    for number, line in enumerate(_lines(store.get_stream(MANIFEST)), 1):
        inside = inside and not line.startswith(b"]")
        if inside:
            try:
                yield _decode(FileEntry, json.loads(line.rstrip(b",\n")), f"line {number}")
            except (ValueError, RecursionError) as error:
                _refuse(store, MANIFEST, f"line {number}: {error}", _REMEDY["manifest"])
        rest += b"\n" if inside else line
        inside = inside or line == b'{"files":[\n'


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (line + b"\n" for line in lines)
    yield rest


def is_marked(store: Store) -> bool:
    """Whether the data set is complete, at whatever duration."""
    return store.exists(SUCCESS) and store.exists(MANIFEST)


def unfinished(store: Store) -> StorageError:
    """What is said of a place without a finished data set."""
    return StorageError(
        f"{store.url!r} holds no finished data set; make it, or finish it with the command that "
        "began it (`fleetgen finish` after array jobs), or check where it lies"
    )


def is_closed(store: Store, plan: str, duration_s: int) -> bool:
    """Whether the data set is complete, at this duration."""
    if not is_marked(store):
        return False
    header = read_header(store)
    if header.get("plan_digest") != plan:
        _refuse(store, MANIFEST, "it is of another plan", _REMEDY["manifest"])
    return header.get("duration_seconds") == duration_s


def reopen(store: Store) -> None:
    """Take the mark of completeness away, before anything that it stands for changes."""
    store.delete([SUCCESS])


def _manifest_pieces(document: dict[str, Any], files: Iterable[FileEntry]) -> Iterator[bytes]:
    before = "{"
    for name in sorted({*document, "files"}):
        yield f"{before}{_text(name)}:".encode()
        if name == "files":
            before = "[\n"
            for entry in files:
                yield f"{before}{_text(vars(entry))}".encode()
                before = ",\n"
            yield b"[]" if before == "[\n" else b"\n]"
        else:
            yield _text(document[name], ordered=True).encode()
        before = ","
    yield b"}\n"


# --- JSON, out and in -----------------------------------------------------------------------------


def _document(kind: str, **content: Any) -> dict[str, Any]:
    return {"format": FORMAT, "kind": kind, **content}


_encoders = {
    ordered: json.JSONEncoder(sort_keys=not ordered, separators=(",", ":"), allow_nan=False)
    for ordered in (False, True)
}


def _text(value: Any, ordered: bool = False) -> str:
    return _encoders[ordered].encode(value)


def _ascii(text: str) -> str:
    """Text of a file that nobody vouches for, fit for one line on any terminal."""
    return ascii(text)[1:-1]


def _brief(value: Any) -> str:
    text = _text(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


def _leaves(value: Any, where: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _leaves(inner, f"{where}.{name}" if where else name)
    elif isinstance(value, list) and value:
        for index, inner in enumerate(value):
            yield from _leaves(inner, f"{where}[{index}]")
    else:
        yield where, _text(value)


def _load(store: Store, key: str, kind: str, content: type[_T], remedy: str | None = None) -> _T:
    """Read a control file that may be damaged, foreign or newer than this code."""
    return _parse(store, key, kind, content, store.get(key), remedy)


def _parse(
    store: Store, key: str, kind: str, content: type[_T], raw: bytes, remedy: str | None = None
) -> _T:
    remedy = remedy or _REMEDY[kind]
    try:
        document = json.loads(raw.decode(), parse_constant=_no_constant)
        if not isinstance(document, dict) or document.pop("kind", None) != kind:
            _refuse(store, key, f"it is no {kind} file of fleetgen", remedy)
        version = document.pop("format", None)
        if type(version) is int and version > FORMAT:
            raise StorageError(
                f"{store.url}/{key} has format {version}, and this fleetgen knows formats up to "
                f"{FORMAT}. Use a newer fleetgen, or choose another --output-dir."
            )
        if type(version) is not int or version != FORMAT:
            raise ValueError(f"format = {_brief(version)}")
        made: _T = _decode(content, document, kind)
    except json.JSONDecodeError as error:
        told = f"line {error.lineno}, column {error.colno}: {error.msg}"
        _refuse(store, key, told, remedy)
    except (ValueError, RecursionError) as error:
        _refuse(store, key, str(error), remedy)
    return made


def _refuse(store: Store, key: str, reason: str, remedy: str) -> NoReturn:
    raise StorageError(f"{store.url}/{key} cannot be used: {_ascii(reason)}. {remedy}") from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _decode(kind: Any, value: Any, where: str) -> Any:
    """Value of a declared type from parsed JSON; ValueError says which field does not fit."""
    if kind is Any:
        return value
    inner = get_args(kind)
    if isinstance(kind, type) and is_dataclass(kind) and isinstance(value, dict):
        hints = _hints(kind)
        if odd := hints.keys() ^ value.keys():
            raise ValueError(f"{where}: fields missing or unknown: {_brief(sorted(odd))}")
        made: Any = kind(
            **{name: _decode(hints[name], value[name], f"{where}.{name}") for name in hints}
        )
        if isinstance(made, FileEntry):
            _check_entry(made, where)
        return made
    if get_origin(kind) is tuple and isinstance(value, list):
        return tuple(_decode(inner[0], each, f"{where}[{i}]") for i, each in enumerate(value))
    if get_origin(kind) is dict and isinstance(value, dict):
        return {name: _decode(inner[1], each, f"{where}.{name}") for name, each in value.items()}
    if type(value) is kind:
        return value
    raise ValueError(f"{where} = {_brief(value)} is of the wrong type")


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _check_entry(entry: FileEntry, where: str) -> None:
    # A path goes on to readers and to delete: it must stay below the root.
    if not is_key(entry.path):
        raise ValueError(f"{where}.path = {_brief(entry.path)} is no path of a file")
    if min(entry.rows, entry.bytes) < 0 or not _SHA256.fullmatch(entry.sha256):
        raise ValueError(f"{where}: rows, bytes or sha256 of {entry.path} are impossible")
