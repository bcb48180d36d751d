"""Patience with a store that is busy or out of reach; shared by all of a process."""

from __future__ import annotations

import enum
import math
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

_FIRST_WAIT_S = 0.2
_LONGEST_WAIT_S = 10.0
_LEAST_TRIES = 2  # however long the first one took

_T = TypeVar("_T")
_uniform = secrets.SystemRandom().uniform


class Fault(enum.Enum):
    """What a failed request asks for: nothing more, another try, or another try and less haste."""

    FINAL = enum.auto()
    AGAIN = enum.auto()
    BUSY = enum.auto()


class GaveUp(Exception):
    """The time for further tries has run out; the last fault is the cause."""

    def __init__(self, tries: int, seconds: float) -> None:
        super().__init__(tries, seconds)
        self.tries, self.seconds = tries, seconds


class Gate:
    """What all requests of this process to one store pass through.

    At most `most` are under way at the same time. When the store is busy, their number is halved
    and none starts before a pause, which grows until one succeeds; each success adds a little.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._limit = float(most)
        self._running = 0
        self._pauses = 0
        self._resume_s = -math.inf
        self._changed = threading.Condition()

    @property
    def limit(self) -> int:
        """Requests that may now be under way at the same time."""
        return max(1, int(self._limit))

    @contextmanager
    def passed(self, deadline_s: float) -> Iterator[None]:
        """Wait for a place and hold it; TimeoutError after an instant on the monotonic clock."""
        with self._changed:
            while (wait_s := self._wait_s()) > 0:
                left_s = deadline_s - time.monotonic()
                if left_s <= 0:
                    raise TimeoutError
                self._changed.wait(min(wait_s, left_s))
            self._running += 1
        try:
            yield
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify()

    def _wait_s(self) -> float:
        if self._running >= self.limit:
            return threading.TIMEOUT_MAX
        return self._resume_s - time.monotonic()

    def succeeded(self) -> None:
        """Note that a request went well."""
        with self._changed:
            self._pauses = 0
            self._limit = min(self._most, self._limit + 1 / self._limit)
            self._changed.notify_all()

    def was_busy(self) -> None:
        """Note that the store asked for less; faults during a pause are the same news."""
        with self._changed:
            now = time.monotonic()
            if now >= self._resume_s:
                self._limit = max(1.0, self._limit / 2)
                self._resume_s = now + wait_s(self._pauses)
                self._pauses += 1


def wait_s(failures: int) -> float:
    """Draw a wait after so many failures in a row, from 0 to a bound that doubles [s]."""
    return _uniform(0, min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2 ** min(failures, 16)))


def persist(
    attempt: Callable[[], _T],
    judge: Callable[[Exception], Fault],
    gate: Gate,
    budget_s: float,
    deadline_s: float = math.inf,
) -> _T:
    """Result of an attempt that may be made again until `budget_s` have passed.

    After `deadline_s`, an instant on the monotonic clock, nothing is waited for.

    Raises
    ------
    GaveUp
        From the last fault, which was worth another try.
    Exception
        A final fault, as it is.
    """
    began_s = time.monotonic()
    tries = 0
    while True:
        try:
            with gate.passed(deadline_s):
                result = attempt()
        except Exception as error:
            fault, tries = judge(error), tries + 1
            if fault is Fault.FINAL:
                raise
            pause_s = wait_s(tries)
            if fault is Fault.BUSY:
                gate.was_busy()
            spent_s = time.monotonic() - began_s
            late = spent_s + pause_s > budget_s and tries >= _LEAST_TRIES
            if late or time.monotonic() + pause_s > deadline_s:
                raise GaveUp(tries, spent_s) from error
        else:
            gate.succeeded()
            return result
        time.sleep(pause_s)
