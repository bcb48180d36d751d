"""An HTTP proxy in front of an object store that fails as told, and remembers who asked when.

Requests pass unchanged, with their Host, which the signature covers.
"""

import asyncio
import random
import re
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

_LINGER = 13  # SO_LINGER
_SOL_SOCKET = 1


@dataclass(frozen=True)
class Request:
    """A request as it came; `key` is the path without the query."""

    number: int
    instant_s: float
    method: str
    key: str
    query: str


@dataclass(frozen=True)
class Fail:
    """What happens instead of the answer.

    `how` is "answer" (a status and the code of an S3 error), "reset", "stall" (no answer),
    "deaf" (the body is not read), "trickle" (a byte a second), or "drop" (reset after the server
    has done what it was asked).
    """

    how: str
    status: int = 0
    code: str = ""


SLOW_DOWN = Fail("answer", 503, "SlowDown")
INTERNAL = Fail("answer", 500, "InternalError")
YES_BUT = Fail("answer", 200, "InternalError")
EXPIRED = Fail("answer", 400, "ExpiredToken")
RESET, STALL, DEAF, TRICKLE, DROP = map(Fail, ("reset", "stall", "deaf", "trickle", "drop"))

Rule = Callable[[Request], Fail | None]


def at_rate(fail: Fail, rate: float, methods: str = "GET|HEAD|PUT|POST|DELETE") -> Rule:
    """Fail that share of requests, the same ones each time."""
    draw = random.Random(7).random
    return lambda r: fail if re.fullmatch(methods, r.method) and draw() < rate else None


def first(fail: Fail, times: int, method: str, key: str = "", query: str = "") -> Rule:
    """Fail the first so many requests of a method whose key and query hold these texts."""
    left = [times]

    def rule(request: Request) -> Fail | None:
        fits = (request.method, key in request.key, query in request.query) == (method, True, True)
        if fits and left[0]:
            left[0] -= 1
            return fail
        return None

    return rule


def for_seconds(fail: Fail, seconds: float) -> Rule:
    """Fail everything for a time from the first request on."""
    begun: list[float] = []

    def rule(request: Request) -> Fail | None:
        begun.append(request.instant_s)
        return fail if request.instant_s - begun[0] < seconds else None

    return rule


def after(fail: Fail, count: int) -> Rule:
    """Fail everything after so many requests."""
    return lambda request: fail if request.number >= count else None


class FaultProxy:
    """A running proxy: its `rule` may change at any time, `seen` is each request and its fate."""

    def __init__(self, upstream: str) -> None:
        parts = urlsplit(upstream)
        self._upstream = (parts.hostname, parts.port)
        self.endpoint = ""
        self.rule: Rule = lambda _: None
        self.seen: list[tuple[Request, Fail | None]] = []

    def reset(self, rule: Rule) -> None:
        """Begin anew."""
        self.seen = []
        self.rule = rule

    @property
    def failed(self) -> list[Request]:
        """Requests that were made to fail."""
        return [request for request, fail in self.seen if fail]

    async def serve(self, started: threading.Event, stop: asyncio.Event) -> None:
        server = await asyncio.start_server(self._client, "127.0.0.1", 0, limit=1 << 20)
        self.endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        started.set()
        await stop.wait()
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while await self._exchange(reader, writer):
                    pass
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Pass on one request; False when the connection is at its end."""
        head = await reader.readuntil(b"\r\n\r\n")
        method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
        key, _, query = target.partition("?")
        request = Request(len(self.seen), time.monotonic(), method, key, query)
        fail = self.rule(request)
        self.seen.append((request, fail))
        how = fail.how if fail else ""
        if how == "reset":
            return _abort(writer)
        if how == "deaf":
            await asyncio.sleep(3600)
        if re.search(rb"\r\nexpect: *100-continue", head, re.IGNORECASE):
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await _body(head, reader)
        if how == "stall":
            await asyncio.sleep(3600)
        if fail and how == "answer":
            xml = f"<Error><Code>{fail.code}</Code><Message>as told</Message></Error>".encode()
            xml = b"" if method == "HEAD" else b'<?xml version="1.0" encoding="UTF-8"?>' + xml
            writer.write(
                f"HTTP/1.1 {fail.status} As Told\r\nContent-Type: application/xml\r\n"
                f"Content-Length: {len(xml)}\r\n\r\n".encode()
                + xml
            )
            await writer.drain()
            return True
        answer = await self._ask(method, head, body)
        if how == "drop":
            return _abort(writer)
        if how == "trickle":
            for place in range(len(answer)):
                writer.write(answer[place : place + 1])
                await writer.drain()
                await asyncio.sleep(1)
        writer.write(answer)
        await writer.drain()
        return True

    async def _ask(self, method: str, head: bytes, body: bytes) -> bytes:
        """Give the server's whole answer."""
        reader, writer = await asyncio.open_connection(*self._upstream, limit=1 << 20)
        try:
            writer.write(head + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            while answer.startswith(b"HTTP/1.1 1"):  # go on, it says
                answer = await reader.readuntil(b"\r\n\r\n")
            if method != "HEAD":
                answer += await _body(answer, reader)
            return answer
        finally:
            writer.close()


async def _body(head: bytes, reader: asyncio.StreamReader) -> bytes:
    """Read a body as it is on the wire."""
    if re.search(rb"\r\ntransfer-encoding: *chunked", head, re.IGNORECASE):
        body = b""
        while True:
            line = await reader.readuntil(b"\r\n")
            size = int(line.split(b";")[0], 16)
            body += line + await reader.readexactly(size + 2)
            if not size:
                return body
    found = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
    return await reader.readexactly(int(found[1]) if found else 0)


def _abort(writer: asyncio.StreamWriter) -> bool:
    """Cut a connection by RST."""
    writer.get_extra_info("socket").setsockopt(_SOL_SOCKET, _LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    return False


@contextmanager
def fault_proxy(upstream: str) -> Iterator[FaultProxy]:
    """Run a proxy in a thread of its own."""
    proxy = FaultProxy(upstream)
    loop = asyncio.new_event_loop()
    stop, started = asyncio.Event(), threading.Event()
    thread = threading.Thread(
        target=lambda: loop.run_until_complete(proxy.serve(started, stop)), daemon=True
    )
    thread.start()
    started.wait(10)
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
