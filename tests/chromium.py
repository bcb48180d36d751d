"""A real Chromium without a window, over its own pipe: what it says, asks for and shows."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

BINARY = shutil.which("chromium") or shutil.which("chromium-browser")
_PATIENCE_S = 60.0


class Browser:
    """DevTools over the pipe of one process: messages are JSON, each ended by a NUL."""

    def __init__(self, into: int, out: int) -> None:
        self._into, self._out = into, out
        self._rest = b""
        self._number = 0
        self._session: str | None = None
        self.said: list[str] = []
        self.asked: list[str] = []

    def open(self, url: str) -> None:
        """Open a page in a tab of its own, and listen to it from the beginning."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Page.navigate", url=url)
        self._wait("Page.loadEventFired")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Ask for something, and give the answer."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._into, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer)
                result: dict[str, Any] = answer["result"]
                return result

    def value(self, expression: str) -> Any:
        """Value of an expression in the page, asked from outside its policy."""
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"][
            "value"
        ]

    def look(self, width: int, scheme: str) -> None:
        """Show the page at a width, in light or dark."""
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        self.call("Emulation.setDeviceMetricsOverride", **metrics)
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.call("Emulation.setEmulatedMedia", features=[feature])

    def picture(self) -> bytes:
        """PNG of the whole page."""
        page = "document.documentElement"
        sides = (self.value(f"{page}.{side}") for side in ("scrollWidth", "scrollHeight"))
        return self.picture_of(0, 0, *sides)

    def picture_of(self, x: int, y: int, width: int, height: int) -> bytes:
        """PNG of a rectangle of the page."""
        clip = {"x": x, "y": y, "width": width, "height": height, "scale": 1}
        shot = self.call("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        return base64.b64decode(shot["data"])

    def _wait(self, method: str) -> None:
        while self._next().get("method") != method:
            pass

    def _next(self) -> dict[str, Any]:
        end = time.monotonic() + _PATIENCE_S
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._out], [], [], max(0.0, end - time.monotonic()))
            assert ready, "Chromium does not answer"
            piece = os.read(self._out, 1 << 20)
            assert piece, "Chromium has ended"
            self._rest += piece
        line, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        told = message.get("params", {})
        match message.get("method"):
            case "Runtime.consoleAPICalled" | "Runtime.exceptionThrown":
                self.said.append(json.dumps(told))
            case "Log.entryAdded":
                self.said.append(told["entry"]["text"])
            case "Network.requestWillBeSent":
                self.asked.append(told["request"]["url"])
        return message


@contextmanager
def browser() -> Iterator[Browser]:
    """Start a Chromium with a profile of its own, and end it."""
    assert BINARY is not None
    theirs, into = os.pipe()
    out, ours = os.pipe()
    with tempfile.TemporaryDirectory() as home:
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        flags += ["--no-first-run"]
        flags += ["--disable-dev-shm-usage", "--disable-background-networking", "--mute-audio"]
        command = [BINARY, *flags, f"--user-data-dir={home}", "--remote-debugging-pipe"]
        shell = f'exec "$@" 3<&{theirs} 4>&{ours} 2>/dev/null'
        process = subprocess.Popen(
            ["bash", "-c", shell, "bash", *command],
            pass_fds=(theirs, ours),
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, "HOME": home},
        )
        os.close(theirs)
        os.close(ours)
        try:
            yield Browser(into, out)
        finally:
            os.close(into)
            os.close(out)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(30)


def page_url(path: Path) -> str:
    """URL of a file."""
    return path.resolve().as_uri()
