"""Patience: how often, how long, and all requests of a process together."""

import threading
import time

import pytest

from fleetgen.io import retry
from fleetgen.io.retry import Fault, Gate, GaveUp, persist, wait_s


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "_FIRST_WAIT_S", 0.001)
    monkeypatch.setattr(retry, "_LONGEST_WAIT_S", 0.02)


def failing(times: int) -> tuple[list[float], object]:
    tries: list[float] = []

    def attempt() -> str:
        tries.append(time.monotonic())
        if len(tries) <= times:
            raise ConnectionError(str(len(tries)))
        return "done"

    return tries, attempt


def test_a_fault_that_passes_costs_tries_alone() -> None:
    tries, attempt = failing(5)
    assert persist(attempt, lambda _: Fault.AGAIN, Gate(4), budget_s=10) == "done"
    assert len(tries) == 6


def test_a_final_fault_is_raised_as_it_is() -> None:
    tries, attempt = failing(5)
    with pytest.raises(ConnectionError, match="1"):
        persist(attempt, lambda _: Fault.FINAL, Gate(4), budget_s=10)
    assert len(tries) == 1


@pytest.mark.parametrize("fault", [Fault.AGAIN, Fault.BUSY])
def test_the_budget_ends_the_tries(fault: Fault) -> None:
    tries, attempt = failing(10**9)
    begun = time.monotonic()
    with pytest.raises(GaveUp) as caught:
        persist(attempt, lambda _: fault, Gate(4), budget_s=0.2)
    assert 0.1 < time.monotonic() - begun < 1
    assert caught.value.tries == len(tries) > 3
    assert isinstance(caught.value.__cause__, ConnectionError)


def test_one_slow_failure_is_tried_once_more() -> None:
    tries, attempt = failing(10**9)
    with pytest.raises(GaveUp):
        persist(attempt, lambda _: Fault.AGAIN, Gate(4), budget_s=0)
    assert len(tries) == 2


def test_nothing_is_waited_for_after_the_deadline() -> None:
    _, attempt = failing(10**9)
    deadline = time.monotonic() + 0.1
    with pytest.raises(GaveUp):
        persist(attempt, lambda _: Fault.BUSY, Gate(4), 100, deadline_s=deadline)
    assert time.monotonic() - deadline < 0.5


def test_waits_are_drawn_below_a_bound_that_doubles() -> None:
    draws = {n: [wait_s(n) for _ in range(400)] for n in (0, 2, 30)}
    for n, bound in ((0, 0.001), (2, 0.004), (30, 0.02)):
        assert 0 <= min(draws[n]) < 0.1 * bound
        assert 0.9 * bound < max(draws[n]) <= bound


def test_a_busy_store_halves_the_gate_once_a_pause_and_success_opens_it_slowly() -> None:
    gate = Gate(8)
    retry._LONGEST_WAIT_S = retry._FIRST_WAIT_S = 0.5  # undone by the fixture
    while time.monotonic() >= gate._resume_s:
        gate.was_busy()
    halved = gate.limit
    assert halved <= 4
    for _ in range(7):  # the other seven say the same
        gate.was_busy()
    assert gate.limit == halved
    limits = []
    for _ in range(60):
        gate.succeeded()
        limits.append(gate.limit)
    assert limits[0] <= halved + 1
    assert limits == sorted(limits)
    assert limits[-1] == 8


def test_no_more_pass_the_gate_than_it_has_places() -> None:
    gate, lock = Gate(3), threading.Lock()
    inside, most = [0], [0]

    def attempt() -> None:
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        time.sleep(0.01)
        with lock:
            inside[0] -= 1

    def work() -> None:
        persist(attempt, lambda _: Fault.FINAL, gate, 1)

    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [3]
