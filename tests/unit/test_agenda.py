"""Which jobs of a run wait for which."""

from dataclasses import replace

import pytest

from fleetgen.pipeline import Progress, _Agenda
from fleetgen.plan import Plan, estimate, make_plan, rows_of
from fleetgen.spec import Done, HistoryJob, RoomJob
from tests.properties.plan import configured


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """Eight strings and rooms, of 4 days and of 2 in blocks."""
    place = tmp_path_factory.mktemp("set")
    return make_plan(configured(place, {"execution.block_days": 4}), str(place))


def done(key: str) -> tuple[Done, None]:
    return Done(key, 1, 1), None


def test_parts_wait_for_all_slow_paths_and_come_longest_first(plan: Plan) -> None:
    agenda = _Agenda(plan.slow_paths, plan.parts, plan.histories)
    assert agenda.first == plan.slow_paths
    *others, last = plan.slow_paths
    assert others
    assert not any(agenda.after(done(job.key)) for job in others)
    parts = agenda.after(done(last.key))
    assert sorted(job.key for job in parts) == sorted(job.key for job in plan.parts)
    rows = [rows_of(job) for job in parts if not isinstance(job, HistoryJob)]
    assert rows == sorted(rows, reverse=True)
    assert len(set(rows)) > 2
    assert all(isinstance(job, RoomJob) for job in parts[-len(plan.rooms) :])


def test_a_history_waits_for_its_own_parts_alone(plan: Plan) -> None:
    first = plan.histories[0]
    agenda = _Agenda((), plan.parts, plan.histories)
    *before, last = first.parts
    assert not any(agenda.after(done(job.key)) for job in before)
    assert agenda.after(done(last.key)) == [first]
    assert not agenda.after(done(first.key))


def test_of_parts_that_are_there_the_histories_come_after_the_parts(plan: Plan) -> None:
    todo = plan.histories[1].parts[-1:]
    agenda = _Agenda((), todo, plan.histories)
    assert agenda.first == [*todo, plan.histories[0], *plan.histories[2:]]
    assert agenda.after(done(todo[0].key)) == [plan.histories[1]]
    assert _Agenda((), [], plan.histories).first == [*plan.histories]
    assert _Agenda((), [], ()).first == []


def test_stages_are_told_one_after_the_other(plan: Plan) -> None:
    """Also when a history is derived before the last part is made."""
    agenda = _Agenda(plan.slow_paths, plan.parts, plan.histories)
    early, *rest = plan.histories
    parts = sorted(plan.parts, key=lambda job: job not in early.parts)
    order = [*plan.slow_paths, *parts[:-1], early, parts[-1], *rest]
    now = Progress("planned", plan, estimate(plan, 1), 1, "serial")
    told = [now := agenda.began(now)]
    for job in order:
        for state in agenda.took(now, Done(job.key, 1, 1)):
            told.append(now := state)
    counts = {
        "slow path": range(len(plan.slow_paths) + 1),
        "parts": range(len(plan.parts) + 1),
        "histories": range(1, len(plan.histories) + 1),
    }
    assert [(each.stage, each.jobs_done) for each in told] == [
        (stage, number) for stage, numbers in counts.items() for number in numbers
    ]
    assert now == replace(now, jobs=len(plan.histories), bytes_done=len(plan.parts))


def test_without_histories_a_share_ends_with_its_parts(plan: Plan) -> None:
    agenda = _Agenda((), plan.parts[:1], ())
    now = agenda.began(Progress("planned", plan, estimate(plan, 1), 1, "serial"))
    (end,) = agenda.took(now, Done(plan.parts[0].key, 5, 7))
    assert (end.stage, end.jobs_done, end.jobs) == ("parts", 1, 1)
    assert (end.rows_done, end.bytes_done) == (5, 7)
