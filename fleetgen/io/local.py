"""A data set in a directory, by plain system calls, for fsspec never calls fsync."""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial

from fleetgen.errors import StorageError
from fleetgen.io.store import (
    CHUNK_BYTES,
    Data,
    Leftover,
    Store,
    check_size,
    checked,
    is_key,
    told,
)

_TRIES = 10
_STAGED = re.compile(r"\.tmp-[0-9a-f]{16}")
_CANNOT_LINK = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS)
_CANNOT_SYNC = (errno.EINVAL, errno.ENOTSUP)


@dataclass(frozen=True)
class LocalStore(Store):
    """A directory, made on the first put. `url` is its absolute path."""

    url: str

    def put_stream(self, key: str, chunks: Iterable[Data], size: int | None = None) -> int:
        """Write to a hidden name outside the tables, fsync, rename, fsync the directory."""
        path = self._path(key)
        with told("write", path), self._staged(path, chunks, size) as (staged, written):
            _named(os.replace, staged, path)
            _sync_named(path)
        return written

    def put_if_absent(self, key: str, data: Data) -> bool:
        """Link a whole file to the name; where links are unknown, create the name itself."""
        path = self._path(key)
        with told("write", path), self._staged(path, (data,), None) as (staged, _):
            try:
                _named(os.link, staged, path)
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno not in _CANNOT_LINK:
                    raise
                try:
                    _write_new(path, (data,))
                except FileExistsError:
                    return False
            _sync_named(path)
        return True

    def get_stream(self, key: str) -> Iterator[bytes]:
        """Yield a file in pieces of at most 1 MiB."""
        path = self._path(key)
        self._refuse_link_out(path)
        with told("read", path), open(path, "rb", buffering=0) as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk

    def get_range(self, key: str, first: int, length: int) -> bytes:
        """Bytes of a file from the byte `first` on."""
        path = self._path(key)
        self._refuse_link_out(path)
        with told("read", path), open(path, "rb") as file:
            file.seek(first)
            return file.read(length)

    def exists(self, key: str) -> bool:
        """Whether a file has this key; a link that leads out of the root is none."""
        path = self._path(key)
        return self._inside(path) and os.path.isfile(path)

    def names(self, prefix: str = "") -> list[str]:
        """Names of all files and links below `prefix`, which may be one itself."""
        top = self._path(prefix) if prefix else self.url
        return sorted(self._names(top)) if self._inside(top) else [prefix]

    def sizes(self, prefix: str = "") -> dict[str, int]:
        """Size of each file by name; one that goes meanwhile is left out."""
        sizes = {}
        for name in self.names(prefix):
            path = os.path.join(self.url, name)
            with told("inspect", path), suppress(FileNotFoundError):
                sizes[name] = os.lstat(path).st_size
        return sizes

    def delete(self, keys: Iterable[str]) -> None:
        """Remove files, and the directories that this leaves empty; a link goes, not its target."""
        self._remove([self._path(key) for key in keys])

    def leftovers(self, older_than_s: float = 0.0) -> list[Leftover]:
        """List hidden files of `put_stream` that a crash left, by name."""
        found = []
        for name in sorted(filter(_is_staged, self._names(self.url))):
            path = os.path.join(self.url, name)
            with told("inspect", path), suppress(FileNotFoundError):
                state = os.lstat(path)
                age_s = max(0.0, time.time() - state.st_mtime)
                if stat.S_ISREG(state.st_mode) and age_s >= older_than_s:
                    found.append(Leftover(name, age_s, state.st_size))
        return found

    def remove_leftovers(self, found: Iterable[Leftover]) -> None:
        """Remove hidden files of `put_stream`; any other name is refused."""
        names = [each.name for each in found]
        for name in names:
            if not _is_staged(name):
                raise StorageError(
                    f"will not delete {name!r:.300}: it is no temporary file of ours"
                )
        self._remove([os.path.join(self.url, name) for name in names])

    def _remove(self, paths: list[str]) -> None:
        """Remove files below the root, and the directories that this leaves empty."""
        for path in paths:
            directory = os.path.dirname(path)
            self._refuse_link_out(directory)
            # Looked at first, for a read-only file system refuses even what is not there.
            if os.path.lexists(path):
                with told("delete", path), suppress(FileNotFoundError):
                    os.unlink(path)
            _remove_empty(directory, self.url)

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
        with told("inspect", self.url):
            room = os.statvfs(self._standing())
        return room.f_bavail * room.f_frsize

    def preflight(self) -> None:
        """Probe the directory; directories made for it are removed again."""
        standing = self._standing()
        try:
            super().preflight()
        finally:
            _remove_empty(self.url, standing)

    @contextmanager
    def mark(self) -> Iterator[str]:
        """Key of a small file; directories made for it are removed again."""
        standing = self._standing()
        try:
            with super().mark() as key:
                yield key
        finally:
            _remove_empty(self.url, standing)

    def _path(self, key: str) -> str:
        return os.path.join(self.url, checked(key))

    def _names(self, top: str) -> list[str]:
        """Paths of all files and links below a directory, from the root; links are not followed."""

        def failed(error: OSError) -> None:
            of_the_disk = os.path.basename(error.filename or "") == "lost+found"
            if not (of_the_disk or isinstance(error, FileNotFoundError)):
                raise error

        with told("list", top):
            return [
                os.path.relpath(os.path.join(directory, name), self.url)
                for directory, below, names in os.walk(top, onerror=failed)
                for name in (*names, *filter(partial(_is_link, directory), below))
            ]

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
        """Write the pieces for `path` to a new hidden file, which is gone afterwards.

        It lies at the root, for some readers look at every name in a table's directory.
        """
        self._refuse_link_out(os.path.dirname(path))
        staged = os.path.join(self.url, f".tmp-{secrets.token_hex(8)}")
        try:
            with suppress(FileNotFoundError):  # if it vanishes, it is made again for the name
                _make_directory(os.path.dirname(path))
            written = _write_new(staged, chunks)
            check_size(path, written, size)
            yield staged, written
        finally:
            with suppress(FileNotFoundError):
                os.unlink(staged)


def _is_link(directory: str, name: str) -> bool:
    return os.path.islink(os.path.join(directory, name))


def _is_staged(name: str) -> bool:
    """Whether a path from the root is that of a temporary file of `put_stream`."""
    directory, _, last = name.rpartition("/")
    return (not directory or is_key(directory)) and _STAGED.fullmatch(last) is not None


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
        large = len(chunk) >= CHUNK_BYTES
        if small and (large or len(small) >= CHUNK_BYTES):
            yield small
            small = bytearray()
        if large:
            yield chunk
        else:
            small += chunk
    if small:
        yield small


def _named(how: Callable[[str, str], None], staged: str, path: str) -> None:
    """Give a file its name in a directory that another process may remove when it is empty."""
    for _ in range(_TRIES):
        with suppress(FileNotFoundError):
            _make_directory(os.path.dirname(path))
            return how(staged, path)
    return how(staged, path)


def _sync_named(path: str) -> None:
    """Make a new name durable, unless another process has removed it with its directory."""
    with suppress(FileNotFoundError):
        _sync_directory(os.path.dirname(path))


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
