"""Where a data set lies: put, get and list by key under one URL. The only door to fsspec.

A key is a relative POSIX path of letters, digits, `._=-` and `/`, no part of which begins with a
point. An object appears whole under its key or not at all: bytes go to a temporary name first.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from fleetgen.errors import StorageError

Data = bytes | bytearray | memoryview

_SUPPORTED = "a local path, file:///path or memory://name"
_CHUNK_BYTES = 1 << 20
_TRIES = 10
_KEY_CHARACTERS = 1024
_PART = re.compile(r"(?!\.)[A-Za-z0-9._=-]{1,255}")
_TEMPORARY = re.compile(r"\.tmp-[0-9a-f]{16}")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")

_FULL = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
_IN_THE_WAY = (errno.ENOTDIR, errno.EEXIST, errno.EISDIR)
_CANNOT_LINK = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS)
_CANNOT_SYNC = (errno.EINVAL, errno.ENOTSUP)


def is_key(text: str) -> bool:
    """Whether `text` may name an object of a store."""
    return len(text) <= _KEY_CHARACTERS and all(map(_PART.fullmatch, text.split("/")))


@dataclass(frozen=True)
class Leftover:
    """What a writer that was killed has left: a temporary file, or an upload that never ended.

    `bytes` is None where the storage does not say.
    """

    name: str
    age_s: float
    bytes: int | None = None


class Store(ABC):
    """Objects by key under one URL; small, frozen and picklable, so that a worker opens its own.

    Every method raises `StorageError` for a key outside the alphabet, before anything is touched,
    and for whatever the storage refuses.
    """

    url: str

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
    def exists(self, key: str) -> bool:
        """Whether an object has this key."""

    @abstractmethod
    def names(self, prefix: str = "") -> list[str]:
        """Names of all that lies below the directory `prefix`, be they keys or not, sorted.

        Links are named and not followed.
        """

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
    def leftovers(self, older_than_s: float) -> list[Leftover]:
        """What killed writers have left below this URL, of at least this age [s]."""

    @abstractmethod
    def remove_leftovers(self, leftovers: Iterable[Leftover]) -> None:
        """Remove what `leftovers` found."""

    def put(self, key: str, data: Data) -> None:
        """Write an object, in place of an earlier one of this key."""
        self.put_stream(key, (data,))

    def get(self, key: str) -> bytes:
        """Bytes of an object."""
        return b"".join(self.get_stream(key))

    def preflight(self) -> None:
        """Write, read back and remove a small object; leave nothing, not even a directory."""
        key = f"_probe-{secrets.token_hex(8)}"
        try:
            self.put(key, key.encode())
            if self.get(key) != key.encode():
                raise StorageError("other bytes come back than were written; choose another place")
        except StorageError as error:
            raise StorageError(f"--output-dir {self.url!r} cannot be used: {error}") from error
        finally:
            self.delete([key])


def open_store(url: str) -> Store:
    """Store at a URL; nothing is read or written yet.

    Raises
    ------
    StorageError
        The URL is empty, chained (`::`) or of a scheme that is not supported.
    """
    if not url or "\0" in url:
        raise StorageError(f"--output-dir {url!r} names no place; give {_SUPPORTED}")
    if "::" in url:
        raise StorageError(f"--output-dir {url!r} is a chained URL; give {_SUPPORTED}")
    scheme = _SCHEME.match(url)
    if scheme is None:
        return LocalStore(os.path.abspath(os.path.expanduser(url)))
    rest = url[scheme.end() :]
    if scheme[1] == "file" and rest.startswith("/"):
        return LocalStore(os.path.abspath(rest))
    if scheme[1] == "memory" and is_key(rest):
        return ObjectStore(url)
    # Only the scheme is repeated: the rest of a URL may hold a password.
    raise StorageError(f"--output-dir {scheme[0]}... is not supported; give {_SUPPORTED}")


@dataclass(frozen=True)
class LocalStore(Store):
    """A directory, made on the first put. `url` is its absolute path.

    Plain system calls, for fsspec's local file system never calls fsync.
    """

    url: str

    def put_stream(self, key: str, chunks: Iterable[Data], size: int | None = None) -> int:
        """Write to a hidden name beside the key, fsync, rename, fsync the directory."""
        path = self._path(key)
        with _told("write", path), self._staged(path, chunks, size) as (staged, written):
            os.replace(staged, path)
            _sync_directory(os.path.dirname(path))
        return written

    def put_if_absent(self, key: str, data: Data) -> bool:
        """Link a whole file to the name; where links are unknown, create the name itself."""
        path = self._path(key)
        with _told("write", path), self._staged(path, (data,), None) as (staged, _):
            try:
                os.link(staged, path)
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno not in _CANNOT_LINK:
                    raise
                try:
                    _write_new(path, (data,))
                except FileExistsError:
                    return False
            _sync_directory(os.path.dirname(path))
        return True

    def get_stream(self, key: str) -> Iterator[bytes]:
        """Yield a file in pieces of at most 1 MiB."""
        path = self._path(key)
        self._refuse_link_out(path)
        with _told("read", path), open(path, "rb", buffering=0) as file:
            while chunk := file.read(_CHUNK_BYTES):
                yield chunk

    def exists(self, key: str) -> bool:
        """Whether a file has this key; a link that leads out of the root is none."""
        path = self._path(key)
        return self._inside(path) and os.path.isfile(path)

    def names(self, prefix: str = "") -> list[str]:
        """Names of all files and links below `prefix`, which may be one itself."""
        top = self._path(prefix) if prefix else self.url
        if not self._inside(top):
            return [prefix]
        return sorted(os.path.relpath(path, self.url) for path in self._walk(top))

    def delete(self, keys: Iterable[str]) -> None:
        """Remove files, and the directories that this leaves empty; a link goes, not its target."""
        self._unlink([self._path(key) for key in keys])

    def leftovers(self, older_than_s: float) -> list[Leftover]:
        """Temporary files of `put` below the root."""
        found = []
        now_s = time.time()
        for path in self._walk(self.url):
            if _TEMPORARY.fullmatch(os.path.basename(path)):
                with suppress(FileNotFoundError):  # its writer has just ended
                    status = os.lstat(path)
                    age_s = now_s - status.st_mtime
                    if age_s >= older_than_s:
                        name = os.path.relpath(path, self.url)
                        found.append(Leftover(name, age_s, status.st_size))
        return sorted(found, key=lambda leftover: leftover.name)

    def remove_leftovers(self, leftovers: Iterable[Leftover]) -> None:
        """Remove temporary files, and the directories that this leaves empty."""
        paths = [os.path.join(self.url, leftover.name) for leftover in leftovers]
        self._unlink([path for path in paths if _TEMPORARY.fullmatch(os.path.basename(path))])

    def _walk(self, top: str) -> Iterator[str]:
        """Paths of files below `top`, and of links, which are not followed."""

        def told(error: OSError) -> None:
            if not isinstance(error, FileNotFoundError):
                raise error

        with _told("list", top):
            for directory, below, names in os.walk(top, onerror=told):
                for name in names:
                    yield os.path.join(directory, name)
                for name in below:
                    if os.path.islink(path := os.path.join(directory, name)):
                        yield path

    def _unlink(self, paths: list[str]) -> None:
        for path in paths:
            self._refuse_link_out(os.path.dirname(path))
            # Looked at first, for a read-only file system refuses even what is not there.
            if os.path.lexists(path):
                with _told("delete", path), suppress(FileNotFoundError):
                    os.unlink(path)
                _remove_empty(os.path.dirname(path), self.url)

    def _inside(self, path: str) -> bool:
        root = os.path.realpath(self.url)
        return os.path.commonpath([root, os.path.realpath(path)]) == root

    def _refuse_link_out(self, path: str) -> None:
        if not self._inside(path):
            raise StorageError(
                f"will not touch {path!r}: a link leads out of {self.url!r}; remove the link"
            )

    def free_bytes(self) -> int:
        """Room on the file system for this user [bytes]."""
        with _told("inspect", self.url):
            room = os.statvfs(self._standing())
        return room.f_bavail * room.f_frsize

    def preflight(self) -> None:
        """Probe the directory; directories made for it are removed again."""
        standing = self._standing()
        try:
            super().preflight()
        finally:
            _remove_empty(self.url, standing)

    def _path(self, key: str) -> str:
        return os.path.join(self.url, _checked(key))

    def _standing(self) -> str:
        """Return the root, or as much of its path as is there."""
        path = self.url
        while not os.path.lexists(path):
            path = os.path.dirname(path)
        return path

    @contextmanager
    def _staged(
        self, path: str, chunks: Iterable[Data], size: int | None
    ) -> Iterator[tuple[str, int]]:
        """Write the pieces to a new hidden file beside `path`, which is gone afterwards."""
        self._refuse_link_out(os.path.dirname(path))
        staged = os.path.join(os.path.dirname(path), f".tmp-{secrets.token_hex(8)}")
        try:
            written = _write_new(staged, chunks)
            _check_size(path, written, size)
            yield staged, written
        finally:
            with suppress(FileNotFoundError):
                os.unlink(staged)


@dataclass(frozen=True)
class ObjectStore(Store):
    """A prefix on any file system of fsspec that publishes an object by one call.

    `memory://` lives in one process: for the executors serial and threads.
    """

    url: str

    def put(self, key: str, data: Data) -> None:
        """Publish by one call."""
        files, path = self._open(key)
        with _told("write", path):
            files.pipe_file(path, bytes(data))

    def put_stream(self, key: str, chunks: Iterable[Data], size: int | None = None) -> int:
        """Gather the pieces in a local temporary file, then publish it by one call."""
        files, path = self._open(key)
        with _told("write", path), tempfile.NamedTemporaryFile(prefix="fleetgen-") as spool:
            written = sum(spool.write(chunk) for chunk in chunks)
            _check_size(path, written, size)
            spool.flush()
            files.put_file(spool.name, path)
        return written

    def put_if_absent(self, key: str, data: Data) -> bool:
        """Publish by an exclusive call."""
        files, path = self._open(key)
        with _told("write", path):
            try:
                files.pipe_file(path, bytes(data), mode="create")
            except FileExistsError:
                return False
        return True

    def get_stream(self, key: str) -> Iterator[bytes]:
        """Yield an object in pieces of at most 1 MiB."""
        files, path = self._open(key)
        with _told("read", path), files.open(path, "rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                yield chunk

    def exists(self, key: str) -> bool:
        """Whether an object has this key."""
        files, path = self._open(key)
        with _told("inspect", path):
            return bool(files.isfile(path))

    def names(self, prefix: str = "") -> list[str]:
        """Names of all objects below `prefix`."""
        files, root = self._open()
        top = f"{root}/{_checked(prefix)}" if prefix else root
        with _told("list", top):
            return sorted(path[len(root) + 1 :] for path in files.find(top))

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects."""
        files, root = self._open()
        for path in [f"{root}/{_checked(key)}" for key in keys]:
            with _told("delete", path), suppress(FileNotFoundError):
                files.rm_file(path)

    def free_bytes(self) -> None:
        """No limit is known."""
        return

    def leftovers(self, older_than_s: float) -> list[Leftover]:
        """None: an object is published by one call."""
        return []

    def remove_leftovers(self, leftovers: Iterable[Leftover]) -> None:
        """There are none."""
        return

    def _open(self, key: str | None = None) -> tuple[Any, str]:
        """File system and the path of the root or of a key on it."""
        import fsspec.core  # loaded only by those who need it

        files, root = fsspec.core.url_to_fs(self.url)
        return files, root if key is None else f"{root}/{_checked(key)}"


def _checked(key: str) -> str:
    if not is_key(key):
        raise StorageError(
            f"{key!r:.300} is no key: it must be a relative path of letters, digits and ._=- with "
            f"no part empty, over 255 characters or beginning with a point"
        )
    return key


def _check_size(path: str, written: int, size: int | None) -> None:
    if size is not None and written != size:
        raise StorageError(
            f"{path!r} came out as {written:,} bytes instead of {size:,}; it was not published"
        )


def _write_new(path: str, chunks: Iterable[Data]) -> int:
    """Write and fsync a file that must not exist; give its size [bytes]."""
    written = 0
    file = _create(path)
    try:
        for chunk in _gathered(chunks):
            view = memoryview(chunk).cast("B")
            written += len(view)
            while view:
                view = view[os.write(file, view) :]
        os.fsync(file)
    finally:
        os.close(file)
    return written


def _gathered(chunks: Iterable[Data]) -> Iterator[Data]:
    """Yield the same bytes with small pieces put together, for each write is a system call."""
    small = bytearray()
    for chunk in chunks:
        large = len(chunk) >= _CHUNK_BYTES
        if small and (large or len(small) >= _CHUNK_BYTES):
            yield small
            small = bytearray()
        if large:
            yield chunk
        else:
            small += chunk
    if small:
        yield small


def _create(path: str) -> int:
    """Descriptor of a new file; its directory is made if need be."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    for _ in range(_TRIES):
        # Another process may at this moment remove a directory that it finds empty.
        with suppress(FileNotFoundError):
            _make_directory(os.path.dirname(path))
            return os.open(path, flags, 0o666)
    return os.open(path, flags, 0o666)


def _make_directory(path: str) -> None:
    """Make a directory and those above it, each of them durable in its parent."""
    if os.path.isdir(path):
        return
    parent = os.path.dirname(path)
    _make_directory(parent)
    try:
        os.mkdir(path)
    except FileExistsError:
        if not os.path.isdir(path):
            raise
    _sync_directory(parent)


def _sync_directory(path: str) -> None:
    """Fsync a directory, where its file system knows how."""
    directory = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise
    finally:
        os.close(directory)


def _remove_empty(path: str, stop: str) -> None:
    """Remove `path` and the directories above it, up to `stop`, as long as they are empty."""
    while path != stop:
        try:
            os.rmdir(path)
        except FileNotFoundError:
            pass
        except OSError:
            return
        path = os.path.dirname(path)


@contextmanager
def _told(action: str, path: str) -> Iterator[None]:
    """Turn an `OSError` into a `StorageError` of one line with the way out."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"cannot {action} {path!r}: {_reason(error)}") from error


def _reason(error: OSError) -> str:
    text = error.strerror or str(error) or type(error).__name__
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
