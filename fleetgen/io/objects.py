"""A data set on any file system of fsspec that publishes an object by one call: the door to it."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import fsspec.core

from fleetgen.errors import StorageError
from fleetgen.io.store import (
    CHUNK_BYTES,
    PROBE_S,
    Data,
    Leftover,
    Store,
    check_size,
    checked,
    told,
)

_SPOOL_BYTES = 16 << 20


@dataclass(frozen=True)
class ObjectStore(Store):
    """A prefix on `memory://`, `gs://`, `az://` or `abfs://`, with the library's own patience.

    `memory://` lives in one process: for the executors serial and threads.
    """

    url: str

    @property
    def remote(self) -> bool:  # type: ignore[override]
        """Whether reaching it can fail at any time."""
        return not self.url.startswith("memory:")

    def put(self, key: str, data: Data) -> None:
        """Publish by one call."""
        files, path = self._open(key)
        with _told("write", path):
            files.pipe_file(path, bytes(data))

    def put_stream(self, key: str, chunks: Iterable[Data], size: int | None = None) -> int:
        """Gather the pieces in a local temporary file, then publish it by one call."""
        files, path = self._open(key)
        with tempfile.NamedTemporaryFile(prefix="fleetgen-", buffering=_SPOOL_BYTES) as spool:
            with told("write", path):
                written = sum(spool.write(chunk) for chunk in chunks)
                spool.flush()
            check_size(path, written, size)
            with _told("write", path):
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
            while chunk := file.read(CHUNK_BYTES):
                yield chunk

    def get_range(self, key: str, first: int, length: int) -> bytes:
        """Bytes of an object from the byte `first` on."""
        files, path = self._open(key)
        with _told("read", path):
            return bytes(files.cat_file(path, start=first, end=first + length))

    def exists(self, key: str) -> bool:
        """Whether an object has this key."""
        files, path = self._open(key)
        with _told("inspect", path):
            return bool(files.isfile(path))

    def names(self, prefix: str = "") -> list[str]:
        """Names of all objects below `prefix`."""
        return sorted(self.sizes(prefix))

    def sizes(self, prefix: str = "") -> dict[str, int]:
        """Size of each object by name."""
        files, root = self._open()
        top = f"{root}/{checked(prefix)}" if prefix else root
        with _told("list", top):
            found = files.find(top, detail=True)
            return {path[len(root) + 1 :]: about["size"] for path, about in found.items()}

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects."""
        files, root = self._open()
        for path in [f"{root}/{checked(key)}" for key in keys]:
            with _told("delete", path), suppress(FileNotFoundError):
                files.rm_file(path)

    def preflight(self) -> None:
        """Probe on a thread, for the libraries may wait for minutes."""
        faults: list[StorageError] = []

        def probe() -> None:
            try:
                super(ObjectStore, self).preflight()
            except StorageError as error:
                faults.append(error)

        probing = threading.Thread(target=probe, daemon=True)
        probing.start()
        probing.join(PROBE_S)
        if probing.is_alive():
            raise StorageError(
                f"--output-dir {self.url!r} cannot be used: no answer within {PROBE_S:g} s. Check "
                "the network and the credentials"
            )
        for error in faults:
            raise error

    def free_bytes(self) -> None:
        """No limit is known."""
        return

    def leftovers(self, older_than_s: float = 0.0) -> list[Leftover]:
        """None that could be seen."""
        return []

    def remove_leftovers(self, found: Iterable[Leftover]) -> None:
        """Do nothing, for there are none."""

    def _open(self, key: str | None = None) -> tuple[Any, str]:
        """File system and the path of the root or of a key on it."""
        files, root = fsspec.core.url_to_fs(self.url, use_listings_cache=False)
        return files, root if key is None else f"{root}/{checked(key)}"


@contextmanager
def _told(action: str, path: str) -> Iterator[None]:
    """Turn any fault into a `StorageError`: each cloud's library has its own kinds of them."""
    try:
        with told(action, path):
            yield
    except (StorageError, GeneratorExit):
        raise
    except Exception as error:
        raise StorageError(f"cannot {action} {path!r}: {type(error).__name__}") from error
