"""What is injected changes what it acts on, in the direction it should, and nothing else.

Pairs of runs, with and without. Whatever is not coupled by physics has equal digests: rooms and
strings of other locations; for what happens to one jar, other systems. Before an injection begins
nothing differs. Ageing goes by whole days, linear from midnight to midnight: what an event costs in
health begins to show at the midnight before it.
"""

from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from fleetgen.schema import TABLES
from tests.conftest import Make
from tests.properties.plan import CAPACITY_TEST, SAMPLED, Changes, DataSet, differing

STRINGS = tuple(
    f"NORTH-{name}" for name in ("REC-01-S1", "REC-01-S2", "UPS-01-S1", "UPS-01-S2", "UPS-01-S3")
)
JAR, ITS_STRING = "NORTH-REC-01-S1-J07", "NORTH-REC-01-S1"
OTHERS = tuple(f"{ITS_STRING}-J{n:02d}" for n in range(1, 25) if n != 7)
ELSEWHERE = ("SOUTH", "SOUTH-UPS-01-S1")
OTHER_SYSTEM = ("NORTH-UPS-01-S1", "NORTH-UPS-01-S2", "NORTH-UPS-01-S3")

OUTAGE = {
    "kind": "outage",
    "target": "NORTH",
    "at": "2024-02-27T10:00:00",
    "duration_minutes": 45.0,
}
HVAC_FAILURE = {
    "kind": "hvac_failure",
    "target": "NORTH",
    "at": "2024-02-27T12:00:00",
    "duration_minutes": 720.0,
}
DRY_OUT = {
    "kind": "failure_mode",
    "value": "dry_out",
    "target": JAR,
    "at": "2024-02-27T00:00:00",
    "duration_days": 4.0,
}
PROFILE = {"kind": "profile", "value": "failing", "target": JAR}


def local(text: str) -> pa.Scalar:
    return pa.scalar(datetime.fromisoformat(f"{text}+07:00"), pa.timestamp("ms", "Asia/Bangkok"))


@pytest.fixture(scope="module")
def plain(make: Make) -> DataSet:
    return make({"inject": None})


def injected(make: Make, *events: Changes) -> DataSet:
    return make({"inject": list(events)})


def groups(made: DataSet, plain: DataSet) -> set[str]:
    """Strings and locations that have days with other digests."""
    return {group for _, group, _ in differing(made.digests, plain.digests)}


def column(
    made: DataSet, table: str, name: str, ids: tuple[str, ...], start: str, end: str
) -> np.ndarray:
    """Values of a column from `start` to before `end`, (entity, instant)."""
    rows = made.read(table, ids)
    rows = rows.filter(
        pc.and_(pc.greater_equal(rows["ts"], local(start)), pc.less(rows["ts"], local(end)))
    )
    values: np.ndarray = np.array(rows[name].to_pylist()).reshape(len(ids), -1)
    return values


def number(*args: object) -> np.ndarray:
    return column(*args).astype(np.float64)  # type: ignore[arg-type]


def jars(*strings: str) -> tuple[str, ...]:
    size = {"REC": 24, "UPS": 6}
    return tuple(f"{s}-J{n:02d}" for s in strings for n in range(1, size[s[6:9]] + 1))


SLOW = (
    *("soh_pct", "soc_pct", "resistance_mohm", "conductance_s", "ripple_voltage_rms_v"),
    *("r_internal_latest", "r_internal_baseline_pct", "r_internal_25c", "r_change_pct"),
)
"""Columns that show what a day costs in health; a charge is a share of the present capacity."""


def assert_nothing_differs_before(made: DataSet, plain: DataSet, at: str) -> None:
    day = at[:10]
    # Of the future the truth of remaining life alone may tell.
    days = {d for table, _, d in differing(made.digests, plain.digests) if table != "rul_truth"}
    assert min(days) == day
    early = []
    for each in (made, plain):
        rows = each.read("rul_truth").select(["ts", "battery_id", "soh_pct", "failure_mode"])
        early.append(rows.filter(pc.less(rows["ts"], local(f"{day}T00:00:00"))))
    assert early[0].equals(early[1])
    for table in (*SAMPLED, "feature_store"):
        instant, _ = TABLES[table].key
        early = []
        for each in (made, plain):
            rows = each.read(table)
            end = pc.less if table in SAMPLED else pc.less_equal
            early.append(rows.filter(end(rows[instant], local(at))))
        for name in early[0].column_names:
            if name in SLOW:
                left, right = (
                    rows.filter(pc.less(rows[instant], local(f"{day}T00:00:00"))) for rows in early
                )
                assert left[name].equals(right[name]), (table, name)
                close = [rows[name].fill_null(0).to_numpy().astype(float) for rows in early]
                if name == "r_change_pct":  # of the baseline, like the others
                    close = [values + 100.0 for values in close]
                # A capacity test, the dearest, costs 0.15 % of health.
                assert np.abs((close[0] - close[1]) / np.maximum(close[1], 1)).max() < 0.003, name
            else:
                assert early[0][name].equals(early[1][name]), (table, name)


# --- of a location --------------------------------------------------------------------------------


def test_an_outage_is_of_all_strings_of_its_location(make: Make, plain: DataSet) -> None:
    made = injected(make, OUTAGE)
    assert_nothing_differs_before(made, plain, "2024-02-27T10:00:00")
    assert groups(made, plain) == {"NORTH", *STRINGS}
    span = "2024-02-27T10:00:00", "2024-02-27T10:45:00"
    table = "telemetry_string_raw"
    assert (column(plain, table, "mode", STRINGS, *span) == "float").all()
    modes = column(made, table, "mode", STRINGS, *span)
    assert (modes[:2] == "discharge").all()  # no generator backs the rectifiers
    assert (modes[2:, 0] == "discharge").all()
    assert (modes[2:, 1:] != "discharge").all()  # that of the UPS runs within minutes
    for each, none in zip(
        *(number(x, "telemetry_jar_calc", "soc_pct", jars(*STRINGS), *span) for x in (made, plain)),
        strict=True,
    ):
        assert each[-1] < none[-1]
    # Nothing cools the room meanwhile.
    warmer = number(made, "telemetry_env", "temperature_c", ("NORTH-ENV-01",), *span)
    warmer -= number(plain, "telemetry_env", "temperature_c", ("NORTH-ENV-01",), *span)
    assert np.nanmin(warmer) >= 0.0
    assert warmer[0, -1] > 0.5


def test_failed_cooling_warms_its_location_alone(make: Make, plain: DataSet) -> None:
    made = injected(make, HVAC_FAILURE)
    assert_nothing_differs_before(made, plain, "2024-02-27T12:00:00")
    assert groups(made, plain) == {"NORTH", *STRINGS}
    span = "2024-02-27T12:00:00", "2024-02-28T00:00:00"
    status = column(made, "telemetry_env", "hvac_status", ("NORTH-ENV-01",), *span)
    assert set(status[0]) == {"failed"}
    sensor = ("NORTH-ENV-01",)
    for table, ids, least_k in (
        ("telemetry_env", sensor, 4.0),
        ("telemetry_jar_raw", jars(*STRINGS), 2.0),
    ):
        warmer = number(made, table, "temperature_c", ids, *span)
        warmer -= number(plain, table, "temperature_c", ids, *span)
        assert np.nanmin(warmer) >= 0.0
        assert np.nanmin(np.nanmean(warmer[:, -12:], axis=1)) > least_k
    # Weather is no one's.
    for name in ("outdoor_temperature_c", "outdoor_humidity_pct"):
        whole = [x.read("telemetry_env", sensor)[name] for x in (made, plain)]
        assert whole[0].equals(whole[1])
    # Warm jars age faster.
    assert all(made.states[j]["soh_pct"] <= plain.states[j]["soh_pct"] for j in jars(*STRINGS))
    assert any(made.states[j]["soh_pct"] < plain.states[j]["soh_pct"] for j in jars(*STRINGS))


# --- of a string ----------------------------------------------------------------------------------


def test_a_capacity_test_is_of_one_string(make: Make, plain: DataSet) -> None:
    """The charger then charges all strings of the system; another system sees nothing."""
    made = injected(make, CAPACITY_TEST)
    tested = str(CAPACITY_TEST["target"])
    assert_nothing_differs_before(made, plain, str(CAPACITY_TEST["at"]))
    assert groups(made, plain) <= {*OTHER_SYSTEM}
    span = "2024-02-28T22:00:00", "2024-02-29T01:00:00"
    modes = column(made, "telemetry_string_raw", "mode", STRINGS, *span)
    for string, own in zip(STRINGS, modes, strict=True):
        assert (own == "discharge").all() == (string == tested)
    cost = {j: plain.states[j]["soh_pct"] - made.states[j]["soh_pct"] for j in plain.states}
    assert {j for j, lost in cost.items() if lost > 0.0} == {*jars(tested)}
    assert all(lost == 0.0 for j, lost in cost.items() if j not in jars(tested))


# --- of a jar -------------------------------------------------------------------------------------


def health(made: DataSet, ids: tuple[str, ...]) -> np.ndarray:
    return made.values("telemetry_jar_calc", "soh_pct", ids)


@pytest.mark.parametrize("event", [DRY_OUT, PROFILE], ids=lambda e: str(e["kind"]))
def test_what_happens_to_a_jar_ages_no_other(
    make: Make, plain: DataSet, event: dict[str, object]
) -> None:
    """Other jars of its string see it by the sum of the float voltages, a trace; none else does."""
    made = injected(make, event)
    changed = groups(made, plain)
    assert ITS_STRING in changed
    assert changed <= {ITS_STRING, "NORTH-REC-01-S2"}  # they share the load of an outage
    falls = [h[0, 0] - h[0, -1] for h in (health(x, (JAR,)) for x in (made, plain))]
    assert falls[0] > 2 * falls[1] > 0.0
    assert np.abs(health(made, OTHERS) - health(plain, OTHERS)).max() < 0.02
    neighbours = jars("NORTH-REC-01-S2")
    assert np.array_equal(health(made, neighbours), health(plain, neighbours))
    for other in (*OTHERS, *neighbours, "SOUTH-UPS-01-S1-J01"):
        for name in ("failure_mode", "failed", "profile", "cycle_count"):
            assert made.states[other][name] == plain.states[other][name], (other, name)


def test_a_failure_mode_begins_at_its_onset(make: Make, plain: DataSet) -> None:
    made = injected(make, DRY_OUT)
    assert_nothing_differs_before(made, plain, "2024-02-27T00:00:00")
    assert made.states[JAR]["failure_mode"] == "dry_out"
    # It takes more current at the common voltage, so it sits lower, and the others higher.
    span = "2024-02-29T06:00:00", "2024-02-29T09:00:00"
    of = "telemetry_jar_raw", "voltage_v"
    shift = [
        np.nanmean(number(made, *of, ids, *span)) - np.nanmean(number(plain, *of, ids, *span))
        for ids in ((JAR,), OTHERS)
    ]
    assert shift[0] < -0.1
    assert shift[0] + 23 * shift[1] == pytest.approx(0.0, abs=0.02)


def test_a_profile_holds_from_the_start(make: Make, plain: DataSet) -> None:
    made = injected(make, PROFILE)
    assert made.states[JAR]["profile"] == "failing" != plain.states[JAR]["profile"]
    assert min(day for *_, day in differing(made.digests, plain.digests)) == "2024-02-26"
    assert {*ELSEWHERE, *OTHER_SYSTEM, "NORTH"} & groups(made, plain) == set()
