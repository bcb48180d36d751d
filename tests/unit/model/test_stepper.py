"""The walk of a system through days, against a slow plain one."""

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from fleetgen import simulate, truth
from fleetgen import system as systems
from fleetgen.config import load
from fleetgen.model import events, failures, stepper
from fleetgen.schema import MODES
from fleetgen.spec import Block, Injection, Scenario
from fleetgen.world import world as make_world
from tests import oracles, tiny

SEED = 4711
NONE = np.array([], np.int64)


QUIET = Scenario(hazard_scale=0.0)


def system(
    kind="UPS",
    jars=4,
    strings=("HX12-120",),
    days=2,
    place=None,
    load=None,
    injections=(),
):
    """A model of one system without failures but those injected, with its world."""
    names = {f"S{i + 1}": model for i, model in enumerate(strings)}
    config = tiny.config(
        {"X-01": {"kind": kind, "jars_per_string": jars, "strings": names}},
        place,
        run__seed=SEED,
        run__duration_days=days,
    )
    site, grid = config.to_fleet().sites[0], config.grid()
    scenario = replace(QUIET, injections=tuple(injections))
    model = systems.system_model(SEED, site.location, site.systems[0], grid, scenario)
    if load is not None:
        model = replace(model, load_mean_frac=load)
    around = make_world(
        SEED, site.location, grid, Block(grid.first_day, grid.end_day), model.scenario
    )
    return model, around


def planned(model, outages=(), equalizing=(), charger=(), tests=(), off=()):
    """The model with events given in seconds from the start of the run."""
    start = model.grid.start_s

    def instants(spans, i):
        return np.array([start + span[i] for span in spans], np.int64)

    model = replace(
        model,
        timeline=events.Timeline(
            instants(outages, 0),
            instants(outages, 1),
            np.zeros(len(outages), np.bool_),
            instants(equalizing, 0),
            instants(equalizing, 1),
            instants(charger, 0),
            instants(charger, 1),
            np.array([span[2] for span in charger], np.float64),
            np.array([s for s, _ in tests], np.int64),
            instants(tests, 1),
            instants(tests, 1) + 6 * 3600,
        ),
    )
    if off:  # a precursor that has not begun, and trips nonetheless
        later = model.grid.end_s - 1
        jars = model.system.jars_per_string
        precursor = failures.Precursor(later, later + 10**9, np.zeros(jars))
        model = replace(model, precursors=(precursor,) * len(model.populations))
        spans = [
            tuple((start + a, start + b) for i, a, b in off if i == s)
            for s in range(len(model.populations))
        ]
        vars(model)["trips"] = tuple(spans)
    return model


def inputs(model, around, day):
    return systems.inputs(model, around, day, model.timeline, systems.offline(model))


def plain_walk(model, around):
    """The same days by the oracle."""
    grid, t = model.grid, model.timeline
    start = grid.start_s
    first, end = grid.first_day, grid.end_day
    initial = simulate.slow_path(model, first + 1).states[0]
    n = model.system.jars_per_string

    def knots(values, at):
        """Linear between the knots of a day."""
        day, second = divmod(at - start, 86_400)
        if day == len(values):
            day, second = day - 1, 86_400
        position = second / 86_400 * (len(values[day]) - 1)
        k = min(int(position), len(values[day]) - 2)
        return float(values[day][k] + (position - k) * (values[day][k + 1] - values[day][k]))

    strings = []
    for s, unit in enumerate(model.populations):
        slow = systems.slow_days(model, s, first, end)
        battery = model.system.strings[s].model
        jars = []
        for j in range(n):

            @lru_cache(maxsize=2)
            def at(instant, slow=slow, j=j):
                day, second = divmod(instant - start, 86_400)
                if day == end - first:
                    day, second = day - 1, 86_400
                w = second / 86_400
                linear = (float(x[day, j] + w * (x[day + 1, j] - x[day, j])) for x in slow[:6])
                return oracles.Slow(*linear, *(float(x[day, j]) for x in slow[6:8]))

            jars.append(
                oracles.Jar(
                    float(unit.cabinet_rise_k[j]),
                    battery.mass_kg * 800,
                    at,
                    float(initial[s, n + j]),
                    float(initial[s, j]),
                    float(model.constants.dead_cell_s[s, j]),
                    float(model.constants.open_s[s, j]),
                )
            )
        family = tuple(model.constants.family[s].tolist())
        strings.append(oracles.Cells(battery.rated_capacity_ah, family, jars))
    days = [inputs(model, around, day) for day in range(first, end)]
    off = systems.offline(model)

    def spans(*columns):
        return list(zip(*(column.tolist() for column in columns), strict=True))

    plan = oracles.Plan(
        start,
        end - first,
        lambda at: float(around.room_slot_c.ravel()[(at - start) // 300]),
        lru_cache(maxsize=2)(lambda at: knots([x.load_w for x in days], at)),
        lambda at: knots([x.regulation for x in days], at),
        model.location.temperature_compensated,
        spans(t.discharge_start_s, t.discharge_end_s),
        spans(t.equalize_start_s, t.equalize_end_s),
        spans(t.charger_start_s, t.charger_end_s, t.charger_v),
        spans(t.test_string, t.test_start_s, t.test_end_s),
        spans(off.string, off.start_s, off.end_s),
    )
    return oracles.walk(strings, plan)


def agree(model, around, *, volts=2e-6, amperes=2e-6):
    """Assert that both walks agree; returns the oracle's rows."""
    path = simulate.slow_path(model)
    grid = model.grid
    rows = plain_walk(model, around)
    assert path.t_s.tolist() == [row["t"] for row in rows]
    assert path.dt_s.tolist() == [row["dt"] for row in rows]
    assert path.bus_v == pytest.approx([row["bus_v"] for row in rows], rel=1e-7)
    for s in range(len(model.populations)):
        assert [MODES[m] for m in path.mode[s]] == [row["mode"][s] for row in rows]
        played = simulate.replay(model, path, s, around, Block(grid.first_day, grid.end_day))

        def column(name, s=s):
            return np.array([row[name][s] for row in rows]).T

        made = played.replay
        assert made.jar_v == pytest.approx(column("jar_v"), rel=volts)
        assert made.string_v == pytest.approx(column("jar_v").sum(axis=0), rel=volts)
        assert made.jar_c == pytest.approx(column("jar_c"), rel=1e-6)
        assert made.jar_soc == pytest.approx(column("jar_soc"), abs=1e-6)
        assert made.current_a == pytest.approx(column("current_a"), rel=amperes, abs=1e-7)
    return rows


def test_discharge_boost_equalize_and_float():
    """Ten minutes on battery, a minute more within two hours, then equalising."""
    model, around = system()
    model = planned(
        model,
        [(3 * 3600 + 17, 3 * 3600 + 617), (4 * 3600, 4 * 3600 + 61), (40 * 3600, 40 * 3600 + 20)],
        [(30 * 3600 + 100, 38 * 3600)],
    )
    rows = agree(model, around)
    assert {mode for row in rows for mode in row["mode"]} == {
        "float",
        "boost",
        "equalize",
        "discharge",
    }


@pytest.mark.slow
def test_discharge_to_the_cut_off_over_midnight():
    """A rectifier without generator, chargers without compensation."""
    model, around = system("REC", 3, ("GPL12-100",), place={"temperature_compensated": False})
    model = planned(model, [(20 * 3600 + 40, 33 * 3600 + 7)])
    rows = agree(model, around, volts=2e-5, amperes=2e-5)
    modes = [row["mode"][0] for row in rows]
    assert modes.count("idle") > 10
    cut = rows[modes.index("idle")]
    assert min(cut["jar_v"][0]) > 10.5  # relieved of its load
    before = [row for row in rows if row["mode"][0] == "discharge" and row["t"] <= cut["t"] - 10]
    assert min(before[-1]["jar_v"][0]) == pytest.approx(10.5, abs=0.1)
    assert before[0]["t"] < model.grid.start_s + 86_400 < cut["t"]


@pytest.mark.slow
def test_a_capacity_test_and_an_outage_around_it():
    """One of two strings is tested at 0.25 C10 while the other floats; the charger is off by
    60 mV/cell for a part of it; later both carry an outage."""
    model, around = system("UPS", 3, ("HX12-120", "GPL12-100"), load=0.3)
    model = planned(
        model,
        [(45 * 3600, 45 * 3600 + 300)],
        charger=[(3 * 3600 + 100, 3 * 3600 + 4000, 0.06), (46 * 3600, 47 * 3600, -0.05)],
        tests=[(1, 2 * 3600 + 7)],
    )
    rows = agree(model, around, volts=2e-5, amperes=2e-5)
    start = model.grid.start_s
    testing = [row for row in rows if row["mode"] == ["float", "discharge"]]
    assert testing[0]["t"] == start + 2 * 3600 + 7
    assert {row["current_a"][1] for row in testing} == {-25.0}
    hours = (testing[-1]["t"] - testing[0]["t"]) / 3600
    assert 1.5 < hours < 3.2  # type A delivers 25 A for 3.3 h when new, to 10.5 V
    lowest = min(min(row["jar_v"][1]) for row in testing)
    assert 10.3 < lowest <= 10.5 < 10.6 < min(min(row["jar_v"][0]) for row in rows[:-50])
    ended = next(row for row in rows if row["t"] >= testing[-1]["t"] and row["dt"])
    assert ended["mode"] == ["boost", "boost"]
    deviating = [row for row in testing if row["dt"] and 1 < (row["t"] - start) / 3600 - 2.03 < 2.1]
    sets = {round(row["bus_v"] / 18, 2) for row in deviating}
    assert max(sets) - min(sets) == pytest.approx(0.06, abs=0.011)


def test_a_cell_dies():
    """A hard short in the afternoon: 2.2 V less in one jar, at once, on float and in an outage."""
    start = system(days=1)[0].grid.start_s
    jar = system(days=1)[0].system.strings[0].jar_ids[1]
    died = 14 * 3600 + 11
    short = Injection(
        "failure_mode", jar, start - 20 * 86_400 + died, 20 * 86_400, "internal_short"
    )
    model, around = system("UPS", 4, ("HX12-120", "HX12-120"), days=2, injections=[short])
    model = planned(model, [(16 * 3600, 16 * 3600 + 400)])
    rows = agree(model, around)
    before, after = [row for row in rows if row["t"] == start + died]
    assert (before["dt"], after["dt"]) == (0, 300 - 11)
    drop = before["jar_v"][0][1] - after["jar_v"][0][1]
    share = 5.85 / 23.85 - 5 / 23  # of the cells of four jars, at the end of the soft short
    assert drop == pytest.approx(sum(before["jar_v"][0]) * share, abs=0.06)
    assert sum(before["jar_v"][0]) == pytest.approx(sum(after["jar_v"][0]), rel=1e-6)
    assert after["jar_soc"][0][1] < 0.9 < after["jar_soc"][0][0]  # a soft short keeps 15 % away


@pytest.mark.slow
def test_jars_half_way_through_their_failures():
    """Their heat, thermal and charging resistance, capacity and what a soft short keeps, through
    float, a discharge, its recharge and float again."""
    string, grid = system()[0].system.strings[0], system()[0].grid
    failing = [
        Injection("failure_mode", string.jar_ids[j], grid.start_s - days * 86_400, 2 * length, mode)
        for j, mode, days, length in (
            (0, "dry_out", 200, 200 * 86_400),
            (1, "sulfation", 100, 100 * 86_400),
            (2, "internal_short", 5, 4 * 86_400),
        )
    ]
    model, around = system(injections=failing)
    model = planned(model, [(2 * 3600 + 11, 2 * 3600 + 1511), (40 * 3600, 40 * 3600 + 30)])
    rows = agree(model, around, volts=5e-6, amperes=5e-6)
    first, last = rows[0], rows[-1]
    assert first["mode"] == last["mode"] == ["float"]
    warm, _, _, sound = first["jar_c"][0]
    assert warm > sound + 0.5
    volts = first["jar_v"][0]
    assert volts[1] > volts[3] > volts[0]
    assert first["jar_soc"][0][2] < 0.98 < first["jar_soc"][0][3]
    assert last["jar_soc"][0][2] < first["jar_soc"][0][2]


def test_an_open_jar():
    """Corroded through: its string carries nothing in an outage and shows 9.0 V at that jar."""
    start = system(days=1)[0].grid.start_s
    jar = system(days=1)[0].system.strings[0].jar_ids[2]
    opened = 5 * 3600
    corroded = Injection(
        "failure_mode", jar, start - 600 * 86_400 + opened, 600 * 86_400, "corrosion"
    )
    model, around = system(
        "UPS", 4, ("HX12-120", "HX12-120"), days=1, load=0.3, injections=[corroded]
    )
    model = planned(
        model,
        [(4 * 3600, 4 * 3600 + 60), (6 * 3600, 6 * 3600 + 90)],
        tests=[(0, 12 * 3600)],
    )
    rows = agree(model, around, amperes=2e-5, volts=2e-5)
    first = [row for row in rows if 4 * 3600 < row["t"] - start < 4 * 3600 + 60]
    second = [row for row in rows if 6 * 3600 < row["t"] - start < 6 * 3600 + 90]
    assert {tuple(row["mode"]) for row in first} == {("discharge", "discharge")}
    assert {tuple(row["mode"]) for row in second} == {("idle", "discharge")}
    assert {row["current_a"][0] for row in second} == {0.0}
    assert {row["jar_v"][0][2] for row in second} == {9.0}
    assert min(v for row in second for v in row["jar_v"][0][:2]) > 12
    doubled = second[-1]["current_a"][1] / sum(first[-1]["current_a"])
    assert doubled == pytest.approx(1, abs=0.1)  # the other carries it all


@pytest.mark.usefixtures("unkept")
def test_a_string_off_the_charger():
    """Idle from its trip to the visit, through an outage that the other carries alone."""
    model, around = system("UPS", 4, ("HX12-120", "HX12-120"), days=2, load=0.3)
    model = planned(
        model,
        [(8 * 3600, 8 * 3600 + 120), (30 * 3600, 30 * 3600 + 60)],
        off=[(0, 7 * 3600 + 30, 26 * 3600 + 30)],
    )
    rows = agree(model, around, amperes=2e-5, volts=2e-5)
    start = model.grid.start_s
    inside = [row for row in rows if 7 * 3600 + 30 < row["t"] - start < 26 * 3600 + 30]
    assert {row["mode"][0] for row in inside} == {"idle"}
    assert {row["current_a"][0] for row in inside} == {0.0}
    assert {row["mode"][1] for row in inside} == {"float", "discharge"}
    assert all(12.5 < v < 13 for row in inside for v in row["jar_v"][0])  # open circuit, full
    later = [row for row in rows if row["t"] - start > 26 * 3600 + 30]
    assert {row["mode"][0] for row in later} == {"float", "discharge"}


def test_strings_share_a_load():
    """Two models in parallel: the exact sharing, well above the knee."""
    model, around = system("UPS", 3, ("HX12-120", "GPL12-100"), days=1, load=0.4)
    model = planned(model, [(7200 + 13, 7200 + 13 + 900)])
    rows = agree(model, around, volts=2e-5, amperes=1e-4)
    loads = [row for row in rows if row["mode"][0] == "discharge"][:-1]
    for row in loads:
        volts = [sum(v) + 0.005 * a for v, a in zip(row["jar_v"], row["current_a"], strict=True)]
        assert volts[0] == pytest.approx(volts[1], rel=1e-6)  # one bus


def test_strings_share_a_load_at_the_knee():
    """Near the end the slope of a string's voltage is several times its resistance."""
    model, around = system("UPS", 2, ("HX12-120", "GPL12-100"), days=1, load=0.4)
    model = planned(model, [(23 * 3600 - 4213, 23 * 3600)])
    rows = agree(model, around, volts=1e-3, amperes=1e-2)
    assert "idle" in {mode for row in rows for mode in row["mode"]}


@pytest.mark.parametrize("seed", [42, 45])
def test_long_outages_end_at_the_cut_off(seed):
    """Rectifiers of the default fleet without grid for 8 h: power carried, one bus, no heat."""
    config = load(overrides={"run.duration_days": 1, "run.seed": seed})
    grid = config.grid()
    for site in config.to_fleet().sites:
        rectifier = site.systems[0]
        assert rectifier.kind == "REC"
        model = systems.system_model(seed, site.location, rectifier, grid, QUIET)
        model = planned(model, [(12 * 3600 + 17, 20 * 3600 + 17)])
        around = make_world(seed, site.location, grid, Block(grid.first_day, grid.end_day), QUIET)
        assert_power_is_carried(model, around)


def assert_power_is_carried(model, around):
    """By the strings that are not cut off yet, on one bus."""
    path = simulate.slow_path(model)
    grid = model.grid
    block = Block(grid.first_day, grid.end_day)
    load = inputs(model, around, grid.first_day).load_w
    played = [simulate.replay(model, path, s, around, block) for s in range(len(path.mode))]
    on = (path.mode == stepper.DISCHARGE) & (path.dt_s > 0)
    rows = on.any(axis=0)
    on = on[:, rows]
    amperes = np.where(on, [-p.replay.current_a[rows] for p in played], 0.0)
    buses = np.where(on, [p.replay.string_v[rows] for p in played] - 0.005 * amperes, np.nan)
    wanted = np.interp(path.t_s[rows] - grid.start_s, 300.0 * np.arange(289), load)
    assert np.nansum(buses * amperes, axis=0) == pytest.approx(wanted, rel=1e-3)
    assert (np.nanmax(buses, axis=0) - np.nanmin(buses, axis=0)).max() < 0.1
    # Currents drift; they do not swing from row to row.
    steady = on.all(axis=0)
    turns = np.diff(amperes[:, steady], axis=1)
    swing = np.where(turns[:, 1:] * turns[:, :-1] < 0, np.abs(turns[:, 1:]), 0)
    assert swing[:, 60:].max() < 0.05 * amperes.max()


def test_constant_power_draws_more_current_as_the_voltage_falls():
    """Over a full discharge the current rises by 8 to 20 %, the power stays."""
    model, around = system("UPS", 24, days=1, load=0.5)
    model = planned(model, [(3600, 5 * 3600)])
    assert_power_is_carried(model, around)
    amperes = simulate.slow_path(model).all_currents(0)
    assert 1.08 <= amperes[-2] / amperes[20] <= 1.20


# --- invariants -----------------------------------------------------------------------------------


def eventful(strings=("HX12-120", "HX12-120")):
    """Three days: a night on battery, equalising, a minute's test."""
    model, around = system("UPS", 24, strings, days=3, load=0.35)
    outages = [(23 * 3600 + 1800, 24 * 3600 + 900), (60 * 3600 + 5, 60 * 3600 + 65)]
    return planned(model, outages, [(52 * 3600, 61 * 3600)]), around


def test_jar_voltages_add_up():
    model, around = eventful()
    path = simulate.slow_path(model)
    for s in range(2):
        played = simulate.replay(
            model, path, s, around, Block(around.first_day, around.first_day + 3)
        )
        volts = played.replay.jar_v
        assert played.replay.string_v == pytest.approx(volts.sum(axis=0), abs=1e-9)
        charging = (path.bus_v > 0) & (played.replay.current_a < 0.0999 * 120)
        assert charging.sum() > 800
        gap = np.abs(volts.sum(axis=0) - path.bus_v)[charging]
        assert gap.max() < 1e-6  # in recharge by bisection
        full = charging & (played.replay.jar_soc.min(axis=0) == 1.0)
        assert np.abs(volts.sum(axis=0) - path.bus_v)[full].max() < 1e-9


def test_charge_is_conserved():
    """What the current takes out is what the jars lack, within a discharge and over it."""
    model, around = eventful()
    path = simulate.slow_path(model)
    for s in range(2):
        played = simulate.replay(
            model, path, s, around, Block(around.first_day, around.first_day + 3)
        )
        rows = np.flatnonzero(played.mode == stepper.DISCHARGE)
        first = rows[np.diff(rows, prepend=-5) > 1][0]
        last = rows[np.diff(rows, append=10**9) > 1][0]
        hours = path.dt_s[first:last] / 3600
        drawn = np.append(0, np.cumsum(-played.replay.current_a[first:last] * hours))
        soh = played.service.days.soh
        for j in (0, 11, 23):
            day = (played.t_s[first : last + 1] - model.grid.start_s) / 86_400
            present = 120 * np.interp(day, np.arange(4), soh[:, j])
            lacking = (1 - played.replay.jar_soc[j, first : last + 1]) * present
            assert lacking == pytest.approx(drawn, abs=1e-4)  # what was left to charge before


def test_charge_comes_back_at_97_percent():
    """All of the current charges while no jar gasses; over a recharge it takes 1.02 to 1.10 times
    what was taken, and what gasses besides is lost."""
    model, around = eventful()
    path = simulate.slow_path(model)
    first = around.first_day
    end = model.grid.start_s + 24 * 3600 + 900  # of the outage
    for s in range(2):
        played = simulate.replay(model, path, s, around, Block(first, first + 3))
        day = (played.t_s - model.grid.start_s) / 86_400
        present = 120 * np.stack(
            [np.interp(day, np.arange(4), played.service.days.soh[:, j]) for j in range(24)]
        )
        lacking = (1 - played.replay.jar_soc) * present
        amperes = played.replay.current_a
        moved = np.append(0, np.cumsum((amperes * path.dt_s)[:-1]) / 3600)  # Ah in, less out
        bulk = np.flatnonzero((played.t_s >= end) & (path.dt_s > 0) & (amperes > 0.0999 * 120))
        bulk = bulk[played.replay.jar_soc[:, bulk].max(axis=0) < 0.75]
        assert len(bulk) > 10
        a, b = bulk[0], bulk[-1]
        assert lacking[:, a] - lacking[:, b] == pytest.approx(
            np.full(24, 0.97 * (moved[b] - moved[a])), rel=1e-4
        )
        begun = np.flatnonzero(path.mode[s] == stepper.DISCHARGE)[0]
        empty = np.flatnonzero(played.t_s < end)[-1]
        full = np.flatnonzero((played.t_s > end) & (lacking.max(axis=0) < 0.12))[0]
        taken, given = moved[begun] - moved[empty], moved[full] - moved[empty]
        assert taken > 0.2 * 120
        assert (0.97 * given >= lacking[:, empty] - lacking[:, full] - 1e-6).all()
        assert 1.02 <= given / taken <= 1.10


def test_jar_voltages_add_up_with_dead_cells_and_soft_shorts():
    """To the set-point of the bus, within 1e-9 V on float."""
    string = system("UPS", 24)[0].system.strings[0]
    start = system("UPS", 24)[0].grid.start_s
    dead = Injection("failure_mode", string.jar_ids[3], start - 864_000, 900_000, "internal_short")
    soft = Injection(
        "failure_mode", string.jar_ids[9], start - 864_000, 1_300_000, "internal_short"
    )
    dry = Injection("failure_mode", string.jar_ids[15], start - 864_000, 1_300_000, "dry_out")
    model, around = system("UPS", 24, injections=[dead, soft, dry])
    path = simulate.slow_path(planned(model))
    played = simulate.replay(model, path, 0, around, Block(around.first_day, around.first_day + 2))
    volts = played.replay.jar_v
    assert np.abs(volts.sum(axis=0) - path.bus_v).max() < 1e-9
    assert volts[3].min() < 11.7  # 11.43 V, and what its own float constant makes of it
    assert volts[3].max() > 12.9
    assert set(path.mode[0]) == {stepper.FLOAT}


def test_any_block_ends_in_the_next_checkpoint():
    model, around = eventful()
    path = simulate.slow_path(model)
    first = model.grid.first_day
    whole = [simulate.replay(model, path, s, around, Block(first, first + 3)) for s in range(2)]
    for a, b in ((0, 1), (1, 2), (0, 2), (1, 3), (2, 3)):
        block = Block(first + a, first + b)
        world = make_world(SEED, model.location, model.grid, block, QUIET)
        for s in range(2):
            played = simulate.replay(model, path, s, world, block)
            assert played.end_state.tobytes() == path.states[b, s].tobytes()
            rows = np.isin(whole[s].t_s, played.t_s)
            rows = slice(path.day_rows(first + a).start, path.day_rows(first + b - 1).stop)
            assert played.t_s.tolist() == whole[s].t_s[rows].tolist()
            assert played.replay.jar_v.tobytes() == whole[s].replay.jar_v[:, rows].tobytes()


def test_a_longer_walk_is_the_same_walk():
    model, _ = eventful()
    short = simulate.slow_path(model, model.grid.first_day + 2)
    long = simulate.slow_path(model)
    assert short.states.tobytes() == long.states[:3].tobytes()
    assert short.bus_v.tobytes() == long.bus_v[: len(short.bus_v)].tobytes()


def test_the_grid_is_what_it_says():
    """Rows at midnights, slots and events; 1, 5 and 10 s in discharge, 60 s in recharge."""
    model, _ = eventful()
    path = simulate.slow_path(model)
    t, dt, mode = path.t_s - model.grid.start_s, path.dt_s, path.mode[0]
    assert (t[1:] == t[:-1] + dt[:-1]).all()
    assert (dt[t % 86_400 == 0][:1] == 300).all()
    closing = dt == 0
    changes = np.append(mode[1:] != mode[:-1], True)
    assert (closing == (changes | (t % 86_400 == 0) & np.append(t[1:] == t[:-1], True))).all()
    began = 23 * 3600 + 1800
    loads = (mode == stepper.DISCHARGE) & ~closing & (t < 86_400)
    since = t[loads] - began
    assert (dt[loads][since < 60] == 1).all()
    assert (dt[loads][(since >= 60) & (since < 600)] == 5).all()
    assert set(dt[loads][since >= 600]) == {10}
    charging = (mode == stepper.BOOST) & ~closing
    assert set(dt[charging]) <= {60, 300}
    assert (t[charging][1:] % 60 == 0).all()
    assert {int(m) for m in mode} == {stepper.FLOAT, stepper.BOOST, stepper.EQUALIZE, 3}


def test_readings_are_daily_and_wait_for_a_day_after_a_discharge():
    """New resistance x growth, temperature, the channel's error and 1 % noise, to the uOhm."""
    model, around = eventful()
    path = simulate.slow_path(model)
    grid = model.grid
    block = Block(grid.first_day, grid.end_day)
    for s, unit in enumerate(model.populations):
        played = simulate.replay(model, path, s, around, block)
        at = played.reading_offset_s
        assert 7200 <= at < 18_000
        assert at % 300 == 0
        # Day 1 reads; day 2 lies within a day of the discharge over its midnight; day 3 after it.
        changed = np.diff(played.readings, axis=0).any(axis=1)
        assert changed.tolist() == [True, False, True]
        jars = model.system.strings[s].jar_ids
        for day in (0, 2):
            instant = grid.start_s + 86_400 * day + at
            row = np.flatnonzero(played.t_s == instant)[-1]
            w = at / 86_400
            for j, jar in enumerate(jars):
                growth = (
                    played.service.days.growth[day, j] * (1 - w)
                    + played.service.days.growth[day + 1, j] * w
                )
                missing = 1 - played.replay.jar_soc[j, row]
                true = unit.new_mohm[j] * growth * (1 + 0.3 * missing + 0.5 * missing**3)
                true *= 1 - 0.006 * (played.replay.jar_c[j, row] - 25)
                gain = oracles.normal(oracles.key_words(SEED, "sensor.jar", jar), 2)
                noise = oracles.normal(oracles.key_words(SEED, "noise.resistance", jar), instant)
                count = 1000 * true * (1 + 0.01 * gain) * (1 + 0.01 * noise)
                assert played.readings[day + 1, j] == pytest.approx(count, abs=0.5 + 1e-6)


def test_final_states_add_up():
    model, _ = eventful()
    path = simulate.slow_path(model)
    for s, unit in enumerate(model.populations):
        states = truth.final_states(model, path, s)
        loads = path.mode[s] == stepper.DISCHARGE
        drawn = (path.all_currents(s) * path.dt_s[loads]).sum() / 3600
        slow = systems.slow_days(model, s, model.grid.first_day, model.grid.end_day)
        for j, jar in enumerate(model.system.strings[s].jar_ids):
            state = states[jar]
            assert state["cycle_count"] == 2
            assert state["ah_throughput"] == pytest.approx(drawn, abs=6e-4)
            assert state["soh_pct"] == pytest.approx(100 * slow.soh[-1, j], abs=6e-4)
            assert state["capacity_ah"] == pytest.approx(1.2 * state["soh_pct"], abs=2e-3)
            grown = float(unit.new_mohm[j] * slow.growth[-1, j])
            assert state["resistance_mohm"] == pytest.approx(grown, abs=6e-4)
            assert state["calendar_age_days"] == unit.age_days[j] + 3
            assert state["profile"] in {"healthy", "accelerated", "failing"}
            assert state["failed"] == (state["soh_pct"] <= 80)
            assert state["rul_days"] is None or state["rul_days"] >= 0


def test_remaining_life_falls_by_a_day_each_day():
    model, _ = eventful()
    lives = []
    for days in (1, 2, 3):
        grid = replace(model.grid, duration_s=86_400 * days)
        part = replace(model, grid=grid)
        states = truth.final_states(part, simulate.slow_path(part), 0)
        lives.append({jar: state["rul_days"] for jar, state in states.items()})
    known = [jar for jar in lives[0] if lives[0][jar]]
    assert len(known) == 24
    for jar in known:
        assert lives[0][jar] - lives[1][jar] == pytest.approx(1, abs=2e-3)
        assert lives[1][jar] - lives[2][jar] == pytest.approx(1, abs=2e-3)


PLAIN = """
import hashlib, sys, warnings
warnings.simplefilter("ignore")  # 64-bit products overflow on purpose
from tests.unit.model import test_stepper
sys.stdout.write(test_stepper.walked())
"""


def walked():
    """Hash of a day with a discharge, its readings and a replay."""
    model, around = system("UPS", 2, days=1)
    model = planned(model, [(3 * 3600 + 17, 3 * 3600 + 617)])
    path = simulate.slow_path(model)
    played = simulate.replay(model, path, 0, around, Block(around.first_day, around.first_day + 1))
    sha = hashlib.sha256()
    for array in (*path.arrays().values(), *played.replay, played.readings):
        sha.update(np.ascontiguousarray(array).tobytes())
    return sha.hexdigest()


def test_plain_python_walks_to_equal_bits():
    done = subprocess.run(
        [sys.executable, "-c", PLAIN],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == walked()
