"""The simulation of a cluster, where its outcome follows by hand."""

import pytest

from benchmarks.scaling.simulation import Costs, Outcome, Place, simulate

NOTHING = Costs(0.0, 0.0, 0.0)


def test_equal_parts_come_in_rounds() -> None:
    outcome = simulate(Place(4, NOTHING), [0.5] * 10)
    assert outcome.seconds == pytest.approx(1.5)  # 4, 4 and 2 parts
    assert outcome.busy_s == pytest.approx(5.0)
    assert outcome.tail_s == pytest.approx(0.5)  # two workers had nothing to do in the last round
    assert outcome.efficiency(4) == pytest.approx(5.0 / 6.0)


@pytest.mark.parametrize("slowest", ["client_s", "scheduler_s"])
def test_one_process_limits_all_workers(slowest: str) -> None:
    costs = Costs(**{**vars(NOTHING), slowest: 0.01})
    outcome = simulate(Place(1000, costs), [0.1] * 5000)
    assert outcome.seconds == pytest.approx(50.0, rel=0.01)


def test_processes_share_the_cores() -> None:
    costs = Costs(0.01, 0.01, 0.01)
    free = simulate(Place(64, costs, hosts=4), [0.0] * 2000)
    shared = simulate(Place(64, costs, hosts=4, cores=1), [0.0] * 2000)
    # Client and scheduler side by side, once the first 256 parts have come through the client.
    assert free.seconds == pytest.approx(20.0 + 256 * 0.005, rel=0.03)
    assert shared.seconds == pytest.approx(60.0, rel=0.001)


def test_a_second_thread_stores_while_the_first_computes() -> None:
    place = {"requests": 1, "store_s": 0.4}
    alone = simulate(Place(2, NOTHING, **place), [0.5] * 40)
    both = simulate(Place(2, NOTHING, threads=2, **place), [0.5] * 40)
    assert alone.seconds == pytest.approx(20 * 0.9)
    assert both.seconds == pytest.approx(20 * 0.5 + 0.4)


def test_a_store_takes_so_many_requests() -> None:
    place = Place(100, NOTHING, requests=10, requests_per_s=100.0)
    assert simulate(place, [0.001] * 500).seconds == pytest.approx(50.0, rel=0.001)


def test_no_parts_take_no_time() -> None:
    assert simulate(Place(3, NOTHING), []) == Outcome(0.0, 0.0, 0.0)
