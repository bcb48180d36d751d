"""The checks that make sense on little: a location for 30 days, a day at 5 s, a few bad strings.

What needs a whole fleet or a year is in `make fidelity` alone.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fidelity import ageing, electrical, float_, laboratory, sensors, thermal, world
from tests.fidelity.check import Check, table
from tests.fidelity.data import DataSet
from tests.fidelity.suite import make

pytestmark = pytest.mark.slow

SEED = 2718
SITE = {"locations": "DC-NTB-01", "start_date": "2025-01-07"}
"""From a first Tuesday on: the day of the self-tests."""

Sets = Callable[..., DataSet]

SHORT = {
    "month": ("year", {**SITE, "duration_days": 30}),
    "day": ("week", {**SITE, "duration_days": 1}),
    "stress": ("stress", {"locations": "LAB-01", "duration_days": 25}),
    "ideal": ("ideal", {"duration_days": 5}),
}


@pytest.fixture(scope="session")
def short(tmp_path_factory: pytest.TempPathFactory) -> Sets:
    """Open a small data set, made once a session; `doctored` as `DataSet` takes it."""
    place = tmp_path_factory.mktemp("fidelity")
    made: dict[str, Path] = {}

    def open_set(name: str, doctored: dict[str, str] | None = None) -> DataSet:
        if name not in made:
            kind, changes = SHORT[name]
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("os.fsync", lambda _: None)  # no test pulls the plug
                made[name] = make(kind, SEED, place / name, executor="serial", **changes).path
        return DataSet(made[name], doctored or {})

    return open_set


def assert_inside(checks: list[Check]) -> None:
    outside = [c for c in checks if not c.ok]
    assert not outside, "\n" + table({SEED: outside})


# --- the model is inside the bands ----------------------------------------------------------------


def test_new_jars_discharge_as_vendors_say() -> None:
    assert_inside(laboratory.check())


def test_outages_are_negative_binomial() -> None:
    assert_inside(world.grid_outages(SEED))


@pytest.mark.parametrize(
    "check",
    [
        electrical.kirchhoff,
        thermal.places,
        thermal.runaway,
        ageing.static_columns,
        sensors.resistance_readings,
    ],
)
def test_a_month_on_float(short: Sets, check: Callable[[DataSet], list[Check]]) -> None:
    assert_inside(check(short("month")))


def test_jars_on_float(short: Sets) -> None:
    month = short("month")
    assert_inside([*float_.level(month)[:1], *float_.spread(month)[:1]])


def test_remaining_life_falls_by_a_day_each_day(short: Sets) -> None:
    assert_inside(ageing.remaining_life(short("day"), short("month"))[:2])


def test_a_self_test(short: Sets) -> None:
    day = short("day")
    assert_inside([*electrical.load_drop(day), *sensors.voltage_limits(day)])


@pytest.mark.parametrize(
    "check",
    [
        lambda data: electrical.coup_de_fouet(data)[:2],
        electrical.load_steps,
        lambda data: electrical.recharge(data)[:1],
        sensors.voltage_limits,
    ],
    ids=["coup_de_fouet", "load_steps", "recharge", "voltage_limits"],
)
def test_long_outages(short: Sets, check: Callable[[DataSet], list[Check]]) -> None:
    assert_inside(check(short("stress")))


def test_ideal_sensors_leave_nothing_but_rounding(short: Sets) -> None:
    assert_inside(electrical.kirchhoff_ideal(short("ideal")))


# --- each check can fail --------------------------------------------------------------------------

NOISE = "(hash(battery_id, ts) % 2001 / 1000.0 - 1)"
"""Of each sample, between -1 and 1."""

DOCTORED = {
    "discharge raises the voltage": (
        "stress",
        ("telemetry_string_raw", "* REPLACE (-current_a AS current_a)"),
        electrical.load_steps,
    ),
    "jars know nothing of their string": (
        "month",
        ("telemetry_jar_raw", f"* REPLACE (13.62 + 0.1 * {NOISE} AS voltage_v)"),
        electrical.kirchhoff,
    ),
    "resistance is measured at each sample": (
        "month",
        (
            "telemetry_jar_raw",
            f"* REPLACE (resistance_mohm * (1 + 0.02 * {NOISE}) AS resistance_mohm)",
        ),
        sensors.resistance_readings,
    ),
    "open-circuit voltage on float": (
        "month",
        ("telemetry_jar_raw", "* REPLACE (voltage_v - 0.87 AS voltage_v)"),
        float_.level,
    ),
    "jars differ by noise alone": (
        "month",
        ("telemetry_jar_raw", f"* REPLACE (13.62 + 0.1 * {NOISE} AS voltage_v)"),
        float_.spread,
    ),
    "all jars are as warm": (
        "month",
        (
            "telemetry_jar_raw",
            '* REPLACE (avg(temperature_c) OVER (PARTITION BY "string", ts) AS temperature_c)',
        ),
        thermal.places,
    ),
    "no coup de fouet": (
        "stress",
        (
            "telemetry_string_raw",
            "* REPLACE (if(mode = 'discharge', 295 - epoch(ts) % 86400 / 10000, voltage_v) "
            "AS voltage_v)",
        ),
        electrical.coup_de_fouet,
    ),
    "less charge returned than drawn": (
        "stress",
        (
            "telemetry_string_raw",
            "* REPLACE (if(mode = 'discharge', 1, 0.9) * current_a AS current_a)",
        ),
        electrical.recharge,
    ),
    "a discharge has no end": (
        "stress",
        ("telemetry_jar_raw", "* REPLACE (voltage_v - if(voltage_v < 12.5, 3, 0) AS voltage_v)"),
        sensors.voltage_limits,
    ),
    "the hottest hour is noon": (
        "month",
        ("telemetry_env", f"* REPLACE (local_ms - {150 * 60_000} AS local_ms)"),
        lambda data: world.climate(data)[2:3],
    ),
}


@pytest.mark.parametrize("fault", DOCTORED)
def test_a_check_notices(short: Sets, fault: str) -> None:
    name, (relation, shown), check = DOCTORED[fault]
    sound, ill = check(short(name)), check(short(name, {relation: shown}))
    newly = [b for a, b in zip(sound, ill, strict=True) if a.ok and not b.ok]
    assert newly, "\n" + table({SEED: [*sound, *ill]})


def test_chargers_without_compensation_are_noticed(short: Sets) -> None:
    flat = "* REPLACE (voltage_v + 0.018 * (temperature_c - 25) AS voltage_v)"
    assert not float_.level(short("month", {"telemetry_jar_raw": flat}))[1].ok


def test_remaining_life_by_bands_of_health_is_noticed(short: Sets) -> None:
    day, month = short("day"), short("month")
    for data in (day, month):
        for state in data.states.values():
            state["rul_days"] = 30.0 * (state["soh_pct"] // 1 - 79)
    assert not ageing.remaining_life(day, month)[0].ok


def test_remaining_life_that_follows_a_column_is_noticed(short: Sets) -> None:
    month = short("month")
    leak = month.frame("SELECT battery_id, initial_capacity_ah AS ah FROM battery")
    ah = dict(leak.iter_rows())
    rul = [{"battery_id": key, "rul_days": 100 * ah[key]} for key in month.states]
    month.show("state", rul)
    assert not ageing.static_columns(month)[0].ok


def test_outages_without_frailty_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    draws = np.random.default_rng(1)

    def plain(region: str, seed: int) -> np.ndarray:
        return draws.poisson(world.RATES[region] / 12, (200, 12))

    monkeypatch.setattr(world, "_outage_months", plain)
    (*_, variance) = world.grid_outages(SEED)
    assert not variance.ok


def test_a_straight_line_is_no_discharge_curve() -> None:
    line = laboratory.Curve(laboratory.NORMAL_TIME, 1 - laboratory.NORMAL_TIME)
    reference = laboratory.normalised(laboratory.reference_curve("Full_C20"))
    off = laboratory.normalised(line) - reference
    assert (off**2).mean() ** 0.5 > 0.04
