"""A data set on S3 and what speaks like it: single calls, each with our own patience.

The only door to s3fs. Retries of the libraries below are switched off. A file system belongs to
one process: it is made there on first use, never before a fork. Credentials are found by the
libraries, in the environment, `~/.aws` or a role.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeVar

import s3fs
from s3fs.core import sync

from fleetgen.errors import StorageError
from fleetgen.io.retry import Fault, Gate, persist
from fleetgen.io.s3_faults import (
    ABSENT,
    EXPIRED,
    UNTOLD,
    NoSuchUpload,
    PastTheEnd,
    Unfinished,
    code_of,
    judge_fault,
    reason_of,
    told_fault,
)
from fleetgen.io.store import (
    CHUNK_BYTES,
    PROBE_S,
    Data,
    Leftover,
    ReadOnly,
    Store,
    check_size,
    checked,
    is_key,
)
from fleetgen.places import Options, option

_RANGE_BYTES = 8 << 20
_DELETE_KEYS = 1000
_SLOWEST_BYTES_PER_S = 1_000_000
_MARK = "fleetgen-put"
"""Metadata of an object by which a writer knows its own after a lost response."""

_T = TypeVar("_T")


@dataclass(frozen=True)
class S3Store(Store):
    """A prefix of a bucket. `deadline_s` is an instant of the monotonic clock, for the hasty."""

    url: str
    options: Options = ()
    deadline_s: float = field(default=float("inf"), compare=False)

    remote = True

    # --- the interface ---

    def put(self, key: str, data: Data) -> None:
        """Publish by one PUT, and look at the result."""
        self._put("write", key, data)

    def put_stream(self, key: str, chunks: Iterable[Data], size: int | None = None) -> int:
        """Publish a stream that fits into one part by one PUT, a longer one as multipart upload.

        Parts are sent as they are full; nothing appears before the last call.
        """
        checked(key)
        upload = _Upload(self, key, int(option(self.options, "part_mib")) << 20)
        try:
            for chunk in chunks:
                upload.add(chunk)
            check_size(self._place(key), upload.written, size)
            upload.finish()
        except BaseException:
            upload.abort()
            raise
        return upload.written

    def put_if_absent(self, key: str, data: Data) -> bool:
        """Publish by a conditional PUT.

        Whether an object that stands in the way is our own, of which the answer was lost, its
        mark tells.
        """
        try:
            self._put("write", key, data, IfNoneMatch="*")
        except FileExistsError:
            return False
        return True

    def get_stream(self, key: str) -> Iterator[bytes]:
        """Yield an object in pieces of at most 1 MiB, read in ranges."""
        name, start, tag = self._key(key), 0, ""
        while True:

            def read(files: Any, wait_s: float, first: int = start, tag: str = tag) -> Any:
                asked = {"Range": f"bytes={first}-{first + _RANGE_BYTES - 1}"}
                if tag:  # of the object that was begun, and no other one in its place
                    asked["IfMatch"] = tag
                where = {"Bucket": self._bucket, "Key": name}
                return sync(files.loop, _read, files, {**where, **asked}, timeout=wait_s)

            try:
                tag, data = self._call("read", key, read, _RANGE_BYTES)
            except PastTheEnd:
                return
            view = memoryview(data)
            for first in range(0, len(data), CHUNK_BYTES):
                yield bytes(view[first : first + CHUNK_BYTES])
            start += len(data)
            if len(data) < _RANGE_BYTES:
                return

    def get_range(self, key: str, first: int, length: int) -> bytes:
        """Bytes of an object from the byte `first` on, by one request."""
        name, last = self._key(key), first + length - 1

        def read(files: Any, wait_s: float) -> bytes:
            asked = {"Bucket": self._bucket, "Key": name, "Range": f"bytes={first}-{last}"}
            _, data = sync(files.loop, _read, files, asked, timeout=wait_s)
            return bytes(data)

        try:
            return self._call("read", key, read, length)
        except PastTheEnd:
            return b""

    def exists(self, key: str) -> bool:
        """Whether an object has this key."""
        return self._head(key) is not None

    def names(self, prefix: str = "") -> list[str]:
        """Names of all objects below `prefix`."""
        return sorted(self.sizes(prefix))

    def sizes(self, prefix: str = "") -> dict[str, int]:
        """Size of each object by name."""
        top = f"{self._root}{checked(prefix)}/" if prefix else self._root
        pages = self._pages("list_objects_v2", ("ContinuationToken",), Prefix=top)
        return {
            each["Key"][len(self._root) :]: each["Size"]
            for page in pages
            for each in page.get("Contents", [])
        }

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects, a thousand by one call."""
        names = [self._key(key) for key in keys]
        for first in range(0, len(names), _DELETE_KEYS):
            batch = [{"Key": name} for name in names[first : first + _DELETE_KEYS]]
            answer = self._ask(
                "delete", "", "delete_objects", Delete={"Objects": batch, "Quiet": True}
            )
            for fault in answer.get("Errors", []):
                if fault.get("Code") not in ABSENT:
                    raise StorageError(
                        f"cannot delete {self._place(fault['Key'][len(self._root) :])!r}: "
                        f"{reason_of(str(fault.get('Code')))}"
                    )

    def free_bytes(self) -> None:
        """No limit is known."""
        return

    def within(self, seconds: float) -> S3Store:
        """Give the same store for a user who waits no longer than that for an answer."""
        return replace(self, deadline_s=time.monotonic() + seconds)

    def leftovers(self, older_than_s: float = 0.0) -> list[Leftover]:
        """List multipart uploads below the prefix that nobody has completed."""
        markers = ("KeyMarker", "UploadIdMarker")
        found = []
        for page in self._pages("list_multipart_uploads", markers, Prefix=self._root):
            for each in page.get("Uploads", []):
                name, begun = each["Key"][len(self._root) :], each["Initiated"]
                age_s = max(0.0, (datetime.now(begun.tzinfo) - begun).total_seconds())
                ours = each["Key"].startswith(self._root) and is_key(name)
                if ours and age_s >= older_than_s:
                    found.append(Leftover(name, age_s, None, each["UploadId"]))
        return sorted(found, key=lambda each: (each.name, each.upload_id))

    def remove_leftovers(self, found: Iterable[Leftover]) -> None:
        """Abort multipart uploads."""
        for each in found:
            self._abort(each.name, each.upload_id)

    # --- single requests ---

    @property
    def _bucket(self) -> str:
        return self.url.removeprefix("s3://").partition("/")[0]

    @property
    def _root(self) -> str:
        return self.url.removeprefix("s3://").partition("/")[2] + "/"

    def _key(self, key: str) -> str:
        return self._root + checked(key)

    def _place(self, key: str) -> str:
        return f"{self.url}/{key}" if key else self.url

    def _put(self, action: str, key: str, data: Data, **condition: str) -> None:
        """Put and look; FileExistsError where a condition does not hold."""
        name, body, mark = self._key(key), bytes(data), secrets.token_hex(8)

        def attempt(files: Any, wait_s: float) -> None:
            where = {"Bucket": self._bucket, "Key": name, "timeout": wait_s}
            try:
                answer = files.call_s3(
                    "put_object", Body=_Body(body), Metadata={_MARK: mark}, **where, **condition
                )
            except OSError as error:
                if code_of(error) not in ("PreconditionFailed", "412"):
                    raise
                if _stored(files, where)["Metadata"].get(_MARK) != mark:
                    raise FileExistsError from error
                return
            seen = _stored(files, where)
            if (seen["ContentLength"], seen["ETag"]) != (len(body), answer.get("ETag")):
                raise Unfinished

        self._call(action, key, attempt, size=len(body))

    def _head(self, key: str) -> dict[str, Any] | None:
        name = self._key(key)

        def attempt(files: Any, wait_s: float) -> dict[str, Any] | None:
            try:
                return _look(files, {"Bucket": self._bucket, "Key": name, "timeout": wait_s})
            except FileNotFoundError:
                return None

        return self._call("inspect", key, attempt)

    def _ask(self, action: str, key: str, method: str, size: int = 0, **arguments: Any) -> Any:
        return self._call(
            action,
            key,
            lambda files, wait_s: files.call_s3(
                method, Bucket=self._bucket, timeout=wait_s, **arguments
            ),
            size,
        )

    def _pages(self, method: str, markers: tuple[str, ...], **arguments: Any) -> Iterator[Any]:
        page: Mapping[str, Any] = {"IsTruncated": True}
        while page.get("IsTruncated"):
            onward = {name: page[f"Next{name}"] for name in markers if page.get(f"Next{name}")}
            page = self._ask("list", "", method, **arguments, **onward)
            yield page

    def _abort(self, key: str, upload_id: str) -> None:
        with suppress(NoSuchUpload):
            self._ask(
                "abort", key, "abort_multipart_upload", Key=self._key(key), UploadId=upload_id
            )

    def _call(
        self, action: str, key: str, attempt: Callable[[Any, float], _T], size: int = 0
    ) -> _T:
        """Make a request until it succeeds, is refused or has taken too long.

        `attempt` takes the file system and the most seconds that a request may last.
        """
        files, gate = _files(os.getpid(), self.options), _gate(os.getpid(), self.options)
        longest_s = _seconds(self.options, "read_timeout_s") + size / _SLOWEST_BYTES_PER_S
        renewed = False

        def once() -> _T:
            left_s = self.deadline_s - time.monotonic()
            if left_s <= 0:
                raise TimeoutError
            return attempt(files, min(longest_s, left_s))

        def judge(error: Exception) -> Fault:
            nonlocal renewed
            if code_of(error) in EXPIRED and not renewed and not _fixed(self.options):
                renewed = True
                files.connect(refresh=True)
                return Fault.AGAIN
            return judge_fault(error)

        budget_s = _seconds(self.options, "retry_budget_s")
        hasty = self.deadline_s < float("inf")
        with told_fault(action, self._place(key), hasty):
            return persist(once, judge, gate, budget_s, self.deadline_s)


class _Body(ReadOnly):
    """Bytes to be sent as a file, for of bytes the library makes a copy while it sends them."""

    def __init__(self, data: Data) -> None:
        self._data = memoryview(data)
        super().__init__(len(self._data))

    def piece(self, first: int, length: int) -> Data:
        """Give a view of them."""
        return self._data[first : first + length]


class _Upload:
    """An object in the making, of which at most one part is in memory."""

    def __init__(self, store: S3Store, key: str, part_bytes: int) -> None:
        self._store, self._key, self._part_bytes = store, key, part_bytes
        self._buffer = bytearray()
        self._id = ""
        self._mark = secrets.token_hex(8)
        self._parts: list[dict[str, Any]] = []
        self.written = 0

    def add(self, chunk: Data) -> None:
        """Take a piece, and send what makes a full part when more is to come."""
        view = memoryview(chunk).cast("B")
        self.written += len(view)
        while view:
            if len(self._buffer) == self._part_bytes:
                self._send()
            room = self._part_bytes - len(self._buffer)
            self._buffer += view[:room]
            view = view[room:]

    def finish(self) -> None:
        """Publish."""
        if not self._id:
            self._store.put(self._key, self._buffer)
            return
        self._send()
        self._store._call("write", self._key, self._complete)
        self._id = ""

    def abort(self) -> None:
        """Give up what was sent; if that fails, too, it is left to `leftovers`."""
        if self._id:
            with suppress(StorageError):
                self._store.within(PROBE_S)._abort(self._key, self._id)

    def _send(self) -> None:
        name = self._store._key(self._key)
        ask = self._store._ask
        if not self._id:
            metadata = {_MARK: self._mark}
            made = ask("write", self._key, "create_multipart_upload", Key=name, Metadata=metadata)
            self._id = made["UploadId"]
        number = len(self._parts) + 1
        body = bytes(self._buffer)
        self._buffer.clear()
        sent = ask(
            *("write", self._key, "upload_part", len(body)),
            Key=name,
            UploadId=self._id,
            PartNumber=number,
            Body=body,
        )
        self._parts.append({"PartNumber": number, "ETag": sent["ETag"]})

    def _complete(self, files: Any, wait_s: float) -> None:
        store = self._store
        where = {"Bucket": store._bucket, "Key": store._key(self._key), "timeout": wait_s}
        parts = {"Parts": self._parts}
        try:
            files.call_s3(
                "complete_multipart_upload", UploadId=self._id, MultipartUpload=parts, **where
            )
        except FileNotFoundError:  # completed before, and the answer was lost?
            if _look(files, where)["Metadata"].get(_MARK) != self._mark:
                raise
        if _look(files, where)["ContentLength"] != self.written:
            raise Unfinished


# --- what a process holds -------------------------------------------------------------------------


@lru_cache(maxsize=8)
def _files(process: int, options: Options) -> Any:
    """File system of this process, without caches and retries of its own."""

    def given(name: str) -> Any:
        return option(options, name) or None

    client = {"region_name": given("region"), "verify": given("ca_bundle")}
    files = s3fs.S3FileSystem(
        anon=given("anon") == "true",
        endpoint_url=given("endpoint_url"),
        client_kwargs={name: value for name, value in client.items() if value},
        config_kwargs={
            "retries": {"total_max_attempts": 1},
            "connect_timeout": _seconds(options, "connect_timeout_s"),
            "read_timeout": _seconds(options, "read_timeout_s"),
            "max_pool_connections": int(option(options, "max_concurrency")),
            "s3": {"addressing_style": given("addressing_style")},
        },
        skip_instance_cache=True,
        use_listings_cache=False,
        **({"profile": given("profile")} if given("profile") else {}),
    )
    files.retries = 1
    return files


@lru_cache(maxsize=8)
def _gate(process: int, options: Options) -> Gate:
    return Gate(int(option(options, "max_concurrency")))


async def _read(files: Any, asked: Mapping[str, Any]) -> tuple[str, bytes]:
    """ETag of an object and its bytes in a range."""
    answer = await files._call_s3("get_object", **asked)
    try:
        return answer["ETag"], await answer["Body"].read()
    finally:
        answer["Body"].close()


def _stored(files: Any, where: Mapping[str, Any]) -> dict[str, Any]:
    """Head of an object that was just put; another run may have removed it."""
    try:
        return _look(files, where)
    except FileNotFoundError:
        raise Unfinished from None


def _look(files: Any, where: Mapping[str, Any]) -> dict[str, Any]:
    """Head of an object; where that is refused without a word, a GET is asked for the reason."""
    try:
        found: dict[str, Any] = files.call_s3("head_object", **where)
    except OSError as error:
        if code_of(error) in UNTOLD:
            files.call_s3("get_object", Range="bytes=0-0", **where)["Body"].close()
        raise
    return found


def _seconds(options: Options, name: str) -> float:
    return float(option(options, name))


def _fixed(options: Options) -> bool:
    """Whether the credentials are those of the environment, which never change."""
    return "AWS_ACCESS_KEY_ID" in os.environ and not option(options, "profile")
