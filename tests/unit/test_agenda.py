"""Which jobs of a run wait for which."""

from dataclasses import replace

import pytest

from fleetgen.pipeline import Progress, _Agenda
from fleetgen.plan import Plan, estimate, make_plan, rows_of
from fleetgen.progress import _Rate
from fleetgen.spec import Done, SlowPathJob, StringJob
from tests.properties.plan import configured


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """Eight strings and rooms, of 4 days and of 2 in blocks."""
    place = tmp_path_factory.mktemp("set")
    return make_plan(configured(place, {"execution.block_days": 4}), str(place))


def done(key: str) -> tuple[Done, None]:
    return Done(key, 1, 1), None


def test_parts_wait_for_their_own_system_and_come_longest_first(plan: Plan) -> None:
    agenda = _Agenda(plan.slow_paths, plan.parts, plan.histories)
    slow, rooms = agenda.first[: len(plan.slow_paths)], agenda.first[len(plan.slow_paths) :]
    assert sorted(job.key for job in slow) == sorted(job.key for job in plan.slow_paths)
    assert len(slow) > 1
    assert sorted(job.key for job in rooms) == sorted(job.key for job in plan.rooms)
    strings = [len(job.system.strings) for job in slow if isinstance(job, SlowPathJob)]
    assert strings == sorted(strings, reverse=True)
    for walk in plan.slow_paths:
        parts = [*agenda.after(done(walk.key))]
        own = [job.key for job in plan.strings if job.system == walk.system]
        assert sorted(job.key for job in parts) == sorted(own)
        rows = [rows_of(job) for job in parts if isinstance(job, StringJob)]
        assert rows == sorted(rows, reverse=True)
        assert len(set(rows)) > 1


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
    """Also when a part is made before the last walk, and a history derived before the last part."""
    agenda = _Agenda(plan.slow_paths, plan.parts, plan.histories)
    early, *rest = plan.histories
    parts = sorted(plan.parts, key=lambda job: job not in early.parts)
    order = [*plan.slow_paths[:-1], parts[0], plan.slow_paths[-1], *parts[1:-1], early, parts[-1]]
    now = Progress("planned", plan, estimate(plan, 1), 1, "serial")
    told = [now := agenda.began(now)]
    for job in [*order, *rest]:
        for state in agenda.took(now, Done(job.key, 3 * (job in parts), 1)):
            told.append(now := state)
    counts = {
        "slow path": range(len(plan.slow_paths) + 1),
        "parts": range(1, len(plan.parts) + 1),
        "histories": range(1, len(plan.histories) + 1),
    }
    assert [(each.stage, each.jobs_done) for each in told] == [
        (stage, number) for stage, numbers in counts.items() for number in numbers
    ]
    assert now.jobs == len(plan.histories)
    assert (now.rows_done, now.bytes_done) == (3 * len(plan.parts), len(plan.parts))


def test_without_histories_a_share_ends_with_its_parts(plan: Plan) -> None:
    agenda = _Agenda((), plan.parts[:1], ())
    now = agenda.began(Progress("planned", plan, estimate(plan, 1), 1, "serial"))
    (end,) = agenda.took(now, Done(plan.parts[0].key, 5, 7))
    assert (end.stage, end.jobs_done, end.jobs) == ("parts", 1, 1)
    assert (end.rows_done, end.bytes_done) == (5, 7)


def test_a_rate_is_of_what_was_left_when_its_stage_came(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock_s = iter([100.0, 104.0, 104.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock_s))
    begun = Progress(
        "histories", plan, estimate(plan, 1), 1, "serial", jobs=10, jobs_done=8, rows_done=7
    )
    rate = _Rate()
    assert rate.elapsed_s(begun) == 0.0
    assert rate.state(replace(begun, jobs_done=10)) == "10 of 10 in 4.0 s, 0.5 per s"
