"""Where a data set lies: objects by key under one URL; the interface, and what all stores share.

A key is a relative POSIX path of letters, digits, `._=-` and `/`, no part of which begins with a
point. An object appears whole under its key or not at all.
"""

from __future__ import annotations

import errno
import io
import os
import re
import secrets
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, ClassVar

from fleetgen.errors import StorageError
from fleetgen.places import SUPPORTED, Options, holds_login
from fleetgen.wording import many

Data = bytes | bytearray | memoryview

CHUNK_BYTES = 1 << 20
"""Most bytes in one piece of an object that is read."""

PROBE_S = 8.0
"""Patience with a store that is probed [s]."""

_KEY_CHARACTERS = 1024
_PART = re.compile(r"(?!\.)[A-Za-z0-9._=-]{1,255}")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]")
_PACKAGES = {"gs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}

_FULL = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
_IN_THE_WAY = (errno.ENOTDIR, errno.EEXIST, errno.EISDIR)


def is_key(text: str) -> bool:
    """Whether `text` may name an object of a store."""
    return len(text) <= _KEY_CHARACTERS and all(map(_PART.fullmatch, text.split("/")))


class ReadOnly(io.RawIOBase):
    """Bytes of known size as a file open for reading; `piece` gives those from a byte on."""

    def __init__(self, size: int) -> None:
        self._size, self._at = size, 0

    @abstractmethod
    def piece(self, first: int, length: int) -> Data:
        """At most `length` bytes, none of them beyond the end."""

    def readable(self) -> bool:
        """Say yes."""
        return True

    def seekable(self) -> bool:
        """Say yes."""
        return True

    def tell(self) -> int:
        """Where the next byte is read."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go somewhere; gives where that is."""
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Read as much as there is room for, if it is there."""
        length = min(len(buffer), self._size - self._at)
        if length <= 0:
            return 0
        piece = self.piece(self._at, length)
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)


@dataclass(frozen=True)
class Leftover:
    """What a write that was cut short left behind, which no reader sees.

    `age_s` is the time since it was begun or last written [s]; `bytes` is None where nobody counts.
    `upload_id` is that of a multipart upload.
    """

    name: str
    age_s: float
    bytes: int | None
    upload_id: str = ""


class Store(ABC):
    """Objects by key under one URL; small, frozen and picklable, so that a worker opens its own.

    Every method raises `StorageError` for a key outside the alphabet, before anything is touched,
    and for whatever the storage refuses.
    """

    url: str
    options: Options = ()
    """Those it was opened with (see `places.OPTIONS`), of which only `s3://` knows any."""
    remote: ClassVar[bool] = False
    """Whether reaching it can fail at any time, so that it is probed before every run."""

    @abstractmethod
    def put_stream(self, key: str, chunks: Iterable[Data], size: int | None = None) -> int:
        """Write an object from its pieces, never all in memory; give its size [bytes].

        Nothing appears under the key when `chunks` raises or yields other than `size` bytes.
        """

    @abstractmethod
    def put_if_absent(self, key: str, data: Data) -> bool:
        """Write an object unless the key is taken; of several callers exactly one gets True."""

    @abstractmethod
    def get_stream(self, key: str) -> Iterator[bytes]:
        """Yield an object in pieces of at most 1 MiB."""

    @abstractmethod
    def get_range(self, key: str, first: int, length: int) -> bytes:
        """Bytes of an object from the byte `first` on; fewer than `length` where it ends."""

    @abstractmethod
    def exists(self, key: str) -> bool:
        """Whether an object has this key."""

    @abstractmethod
    def names(self, prefix: str = "") -> list[str]:
        """Names of all that lies below the directory `prefix`, be they keys or not, sorted.

        Links are named and not followed.
        """

    @abstractmethod
    def sizes(self, prefix: str = "") -> dict[str, int]:
        """Size [bytes] of all that `names` names, without a look at each where there is a list."""

    @abstractmethod
    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects; a key that is not there is no fault."""

    @abstractmethod
    def free_bytes(self) -> int | None:
        """Room left for this user [bytes]; None where there is no such limit."""

    def keys(self, prefix: str = "") -> list[str]:
        """Keys below the directory `prefix` ("" is the whole store), sorted."""
        return list(filter(is_key, self.names(prefix)))

    @abstractmethod
    def leftovers(self, older_than_s: float = 0.0) -> list[Leftover]:
        """List what writes that were cut short left below the URL, at least `older_than_s` old."""

    @abstractmethod
    def remove_leftovers(self, found: Iterable[Leftover]) -> None:
        """Remove what `leftovers` found; what is gone by now is no fault."""

    def within(self, seconds: float) -> Store:
        """Give the same store for a user who waits no longer than that for an answer."""
        return self

    def put(self, key: str, data: Data) -> None:
        """Write an object, in place of an earlier one of this key."""
        self.put_stream(key, (data,))

    def get(self, key: str) -> bytes:
        """Bytes of an object."""
        return b"".join(self.get_stream(key))

    def preflight(self) -> None:
        """List, put, put again, read back and remove a small object, within 10 s on a remote store.

        Leaves nothing, not even a directory.
        """
        try:
            self.within(PROBE_S)._probe()
        except StorageError as error:
            raise StorageError(f"--output-dir {self.url!r} cannot be used: {error}") from error

    @contextmanager
    def mark(self) -> Iterator[str]:
        """Key of a small object that is there inside, for others to find; leaves nothing."""
        key = _probe_key()
        self.put(key, b"mark")
        try:
            yield key
        finally:
            with suppress(StorageError):
                self.delete([key])

    def _probe(self) -> None:
        key, first, second = _probe_key(), b"first", b"second"
        place = key.partition("/")[0]
        self.names(place)  # asked first, for whether there is a bucket
        try:
            taken = self.put_if_absent(key, first)
            again = self.put_if_absent(key, second)
            if not taken or again:
                raise StorageError(
                    "the store does not know conditional puts, which keep two runs apart. Choose "
                    "another one"
                )
            self.put(key, second)
            if self.names(place) != [key] or self.get(key) != second:
                raise StorageError("other bytes come back than were written. Choose another store")
        finally:
            with suppress(StorageError):
                self.delete([key])
        self.delete([key])
        if self.exists(key):
            raise StorageError("what is deleted stays there. Choose another store")


def _probe_key() -> str:
    return f"_probe-{secrets.token_hex(8)}/probe"


def open_store(url: str, options: Options = ()) -> Store:
    """Store at a URL; nothing is read or written yet.

    `options` (see `places.OPTIONS`) are for `s3://`; credentials are neither there nor in the URL.

    Raises
    ------
    StorageError
        The URL is empty, chained (`::`), of a scheme that is not supported or has no package here.
    """
    if not url or "\0" in url:
        raise StorageError(f"--output-dir {url!r} names no place; give {SUPPORTED}")
    scheme = _SCHEME.match(url)
    if "::" in url:
        shown = "..." if holds_login(url) else repr(url)
        raise StorageError(f"--output-dir {shown} is a chained URL; give {SUPPORTED}")
    if scheme is None:
        return _local(url)
    rest = url[scheme.end() :]
    match scheme[1]:
        case "file" if rest.startswith("/"):
            return _local(rest)
        case "memory" if is_key(rest):
            from fleetgen.io.objects import ObjectStore

            return ObjectStore(url)
        case "s3" if _is_prefix(rest):
            from fleetgen.io.s3 import S3Store

            return S3Store(url.rstrip("/"), options)
        case "gs" | "az" | "abfs" if _is_prefix(rest):
            package = _PACKAGES[scheme[1]]
            if find_spec(package) is None:
                raise StorageError(
                    f"--output-dir {scheme[0]}... needs the package {package}; "
                    f"pip install {package}, here and on every worker"
                )
            from fleetgen.io.objects import ObjectStore

            return ObjectStore(url.rstrip("/"))
    # Only the scheme is repeated: the rest of a URL may hold a password.
    if scheme[1] in ("s3", *_PACKAGES):
        raise StorageError(
            f"--output-dir {scheme[0]}... must name a bucket of 3 to 63 characters and a prefix in "
            f"it, for a data set never takes a whole bucket; give {scheme[0]}bucket/prefix"
        )
    raise StorageError(f"--output-dir {scheme[0]}... is not supported; give {SUPPORTED}")


def _local(path: str) -> Store:
    from fleetgen.io.local import LocalStore

    return LocalStore(os.path.abspath(os.path.expanduser(path)))


def _is_prefix(rest: str) -> bool:
    """Whether this is a bucket and a prefix: a data set never takes a whole bucket."""
    bucket, _, prefix = rest.rstrip("/").partition("/")
    return _BUCKET.fullmatch(bucket) is not None and is_key(prefix)


def checked(key: str) -> str:
    """Give a key back; StorageError if it is none."""
    if not is_key(key):
        raise StorageError(
            f"{key!r:.300} is no key: it must be a relative path of letters, digits and ._=- with "
            f"no part empty, over 255 characters or beginning with a point"
        )
    return key


def check_size(path: str, written: int, size: int | None) -> None:
    """Refuse a stream that came out with another size than was announced."""
    if size is not None and written != size:
        raise StorageError(
            f"{path!r} came out as {many(written, 'byte')} instead of {size:,}; "
            "it was not published"
        )


@contextmanager
def told(action: str, path: str) -> Iterator[None]:
    """Turn an `OSError` into a `StorageError` of one line with the way out."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"cannot {action} {path!r}: {_reason(error, action)}") from error


def _reason(error: OSError, action: str) -> str:
    text = error.strerror or str(error) or type(error).__name__
    if action == "read" and error.errno in _FORBIDDEN:
        return f"{text}. Ask whose it is for leave to read it"
    if action == "read" and error.errno in _IN_THE_WAY:
        return f"{text}. Check the path: a data set is a directory, or a prefix of a bucket"
    if error.errno in _FULL:
        return (
            f"{text}. Free some space, then run the same command again: finished parts are kept; "
            "or choose another --output-dir"
        )
    if error.errno in _FORBIDDEN:
        return f"{text}. Choose an --output-dir that you may write to"
    if error.errno in _IN_THE_WAY:
        place = f" at {error.filename!r}" if error.filename else ""
        return f"{text}{place}. Move what stands in the way, or choose another --output-dir"
    if error.errno == errno.ENOENT:
        return f"{text}. Check the path"
    return f"{text}. Try again, or choose another --output-dir"
