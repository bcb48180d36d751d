"""Promise 2: a short run is the beginning of a long one."""

from datetime import date, timedelta

import pyarrow.compute as pc
import pytest

from fleetgen.schema import TABLES
from tests.conftest import Make
from tests.properties.plan import PLAN, SAMPLED, SERIES, Changes, DataSet, differing

START_MS = 1_708_880_400_000  # 2024-02-26T00:00+07:00
FIRST = date.fromisoformat(str(PLAN["run.start_date"]))


def days(count: int) -> set[str]:
    return {(FIRST + timedelta(days=n)).isoformat() for n in range(count)}


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5])
def test_days_of_a_short_run_are_those_of_the_long_run(
    make: Make, whole: DataSet, length: int
) -> None:
    """Two days end in the equalising charge, three in the capacity test and the failure of the
    cooling, four in the outage and with the month.
    """
    short = make({"run.duration_days": length})
    assert {day for _, _, day in short.digests} == days(length)
    assert {table for table, _, _ in short.digests} >= {*SERIES}
    assert short.digests.keys() == {k for k in whole.digests if k[2] in days(length)}
    # Without the injections of its third day, the future of a location is another.
    other = {k for k in short.digests if k[0] == "rul_truth" and k[1] < "SOUTH" and length < 3}
    same = short.digests.keys() - other
    assert differing(short.digests, whole.digests, same) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("length", "changes"),
    [
        (1.8125, {}),  # ends in the equalising charge
        (2.95, {}),  # ends in the capacity test and the failure of the cooling
        (3.99, {}),  # ends in the outage
        (3.99, {"run.sampling_seconds": 70}),  # no whole number of samples a day, none a run
        (0.03, {}),  # ends before the first hour does
        (1.5, {"execution.block_days": None}),
    ],
)
def test_rows_of_a_run_that_ends_within_a_day_are_those_of_the_long_run(
    make: Make, length: float, changes: Changes
) -> None:
    short, long = make({"run.duration_days": length, **changes}), make(changes)
    interval = int(str(changes.get("run.sampling_seconds", 300)))
    for name in (*SAMPLED, "feature_store"):
        instant, _ = TABLES[name].key
        rows = long.read(name)
        since = pc.subtract(
            pc.cast(rows[instant], "int64"), pc.min(pc.cast(rows[instant], "int64"))
        )
        if name == "feature_store":
            hours = int(length * 24)
            if not hours:
                assert short.paths(name) == []
                continue
            kept = pc.less(since, 3_600_000 * hours)
        else:
            kept = pc.less(since, -(-round(length * 86_400) // interval) * interval * 1000)
        assert short.read(name).equals(rows.filter(kept)), name
    # What is alarming on the last day may go on beyond it.
    whole_ms = int(length) * 86_400_000
    both = []
    for made in (short, long):
        rows = made.read("alert_condition")
        since = pc.subtract(pc.cast(rows["start_ts"], "int64"), START_MS)
        both.append(rows.filter(pc.less(since, whole_ms)))
    assert both[0].equals(both[1])


def test_a_longer_run_rewrites_no_part(make: Make, whole: DataSet) -> None:
    """Parts of full blocks are the same files, byte for byte."""
    short = make({"run.duration_days": 5})
    assert [f for f in short.files if f["digests"]] == [
        f for f in whole.files if f["digests"] and max(f["digests"]) in days(5)
    ]


def test_another_start_shares_weather_but_not_state(make: Make, whole: DataSet) -> None:
    later = make({"run.start_date": "2024-02-27", "run.duration_days": 5})
    other = differing(later.digests, whole.digests, later.digests)
    assert {table for table, _, _ in other} >= {"telemetry_jar_raw", "telemetry_jar_calc"}
    assert "telemetry_env" not in {table for table, _, _ in other}
