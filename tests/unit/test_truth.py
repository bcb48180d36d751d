"""The truth: remaining life, failures and their dates, and strings that run away thermally."""

from datetime import date, timedelta
from functools import lru_cache
from math import log

import numpy as np
import pytest

from fleetgen import simulate, system, truth
from fleetgen.config import load
from fleetgen.life import lives
from fleetgen.model import failures, stepper
from fleetgen.spec import Injection, Scenario

SEED = 42
DAY_S = 86_400
UNCOMPENSATED = ("DC-KKN-01", "DC-BKK-01", "DC-HDY-01")


def place(name, days, start="2025-01-01"):
    config = load(overrides={"run.duration_days": days, "run.start_date": start})
    site = next(s for s in config.to_fleet().sites if s.location.location_id == name)
    return site, config.grid()


def model_of(name="DC-BKK-01", days=30, kind="UPS", scale=0.0, injections=(), start="2025-01-01"):
    """A system of the package's fleet; `injections` are (kind, target, day, days, value)."""
    site, grid = place(name, days, start)
    each = next(s for s in site.systems if s.kind == kind)
    forced = [
        Injection(what, target, grid.start_s + int(at * DAY_S), int(length * DAY_S), value)
        for what, target, at, length, value in injections
    ]
    scenario = Scenario(hazard_scale=scale, injections=tuple(forced))
    return system.system_model(SEED, site.location, each, grid, scenario)


def ids(name="DC-BKK-01", kind="UPS"):
    site, _ = place(name, 1)
    return next(s for s in site.systems if s.kind == kind).strings[0]


@lru_cache(maxsize=4)
def many(days):
    """A system that suffers all that there is."""
    return model_of(days=days, scale=8.0)


# --- remaining life -------------------------------------------------------------------------------


def test_a_longer_run_has_the_same_truth():
    """Ends of life, modes and trips, bit for bit, of 30 days and of 90."""
    short, long = many(30), many(90)
    assert short.trips == long.trips
    modes = set()
    for s in range(len(short.populations)):
        a, b = lives(short, s), lives(long, s)
        assert a.end_days.tobytes() == b.end_days.tobytes()
        assert a.mode.tolist() == b.mode.tolist()
        assert a.by_mode.tolist() == b.by_mode.tolist()
        modes |= {failures.MODES[mode] for mode in a.mode if mode >= 0}
    assert modes >= {"dry_out", "corrosion", "sulfation", "internal_short"}


def test_a_longer_run_has_the_same_slow_days():
    short, long = many(30), many(90)
    first = short.grid.first_day
    for s in range(2):
        a, b, c = (
            system.slow_days(model, s, first, first + days)
            for model, days in ((short, 30), (long, 90), (long, 2000))
        )
        for x, y, z in zip(a, b, c, strict=True):
            assert x.tobytes() == y[:31].tobytes() == z[:31].tobytes()


def test_remaining_life_falls_by_a_day_each_day():
    left = {}
    for days in (1, 2, 31):
        model = many(days)
        states = truth.final_states(model, simulate.slow_path(model), 0)
        left[days] = {jar: state["rul_days"] for jar, state in states.items()}
    alive = [jar for jar, rul in left[31].items() if rul]
    assert len(alive) > 10
    for jar in alive:
        assert left[1][jar] - left[2][jar] == pytest.approx(1, abs=2e-3)
        assert left[2][jar] - left[31][jar] == pytest.approx(29, abs=2e-3)
    dead = [jar for jar, rul in left[31].items() if rul == 0]
    assert all(left[1][jar] < 30.001 for jar in dead)


def test_life_ends_at_80_percent_or_at_the_terminal_event():
    """Interpolated between midnights; whichever comes first."""
    model = many(30)
    first, horizon = model.grid.first_day, int(20 * 365.25)
    ended = set()
    for s in range(len(model.populations)):
        life = lives(model, s)
        soh = system.slow_days(model, s, first, first + horizon).soh
        failed = model.failures[s]
        for j in range(soh.shape[1]):
            worn = np.inf
            below = np.flatnonzero(soh[:, j] <= 0.80)
            if below.size:
                d = int(below[0])
                step = (soh[d - 1, j] - 0.80) / (soh[d - 1, j] - soh[d, j]) if d else 0.0
                worn = d - 1 + step if d else 0.0
            terminal = np.inf
            if failed.mode[j] >= 0:
                terminal = (failed.end_s[j] - model.grid.start_s) / DAY_S
            if life.mode[j] == failures.RUNAWAY:
                terminal = (model.trips[s][0][0] - model.grid.start_s) / DAY_S
            expected = min(worn, terminal)
            assert life.end_days[j] == pytest.approx(expected, abs=1e-6), (s, j)
            ended.add("terminal" if terminal < worn else "worn")
            if terminal < worn:
                assert life.by_mode[j]
            elif failed.mode[j] < 0 and model.precursors[s] is None:
                assert not life.by_mode[j]
    assert "worn" in ended


def test_a_failure_has_its_date_and_mode():
    """A hard short in the run: failed from then on, on the local day of it."""
    string = ids()
    forced = ("failure_mode", string.jar_ids[3], -1.75, 14, "internal_short")
    other = ("failure_mode", string.jar_ids[5], 25, 300, "dry_out")  # begins late in the run
    model = model_of(days=28, injections=[forced, other])
    unit = model.populations[0]
    states = truth.final_states(model, simulate.slow_path(model), 0)
    state = states[string.jar_ids[3]]
    life = float(lives(model, 0).end_days[3])
    assert 0 < life <= 12.25
    if unit.soh_new[3] - unit.loss[3] > 0.97:
        assert life == 12.25
    assert state["failed"]
    assert state["has_failed"]
    assert state["failure_mode"] == "internal_short"
    day = date(2025, 1, 1) + timedelta(days=int(life))
    assert state["failure_date"] == day.isoformat()
    assert state["rul_days"] == 0
    late = states[string.jar_ids[5]]
    assert late["failure_mode"] == "dry_out"
    assert not late["failed"]
    assert late["failure_date"] is None
    assert 0 < late["rul_days"] < 297
    quiet = states[string.jar_ids[7]]
    assert quiet["failure_mode"] is None
    assert quiet["rul_days"] is None or quiet["rul_days"] > 100


def test_a_mode_that_has_not_begun_is_not_told():
    string = ids()
    model = model_of(
        days=5, injections=[("failure_mode", string.jar_ids[3], 4.5, 300, "sulfation")]
    )
    at_end = truth.final_states(model, simulate.slow_path(model), 0)
    before = model_of(
        days=4, injections=[("failure_mode", string.jar_ids[3], 4.5, 300, "sulfation")]
    )
    earlier = truth.final_states(before, simulate.slow_path(before), 0)
    assert at_end[string.jar_ids[3]]["failure_mode"] == "sulfation"
    assert earlier[string.jar_ids[3]]["failure_mode"] is None


def test_health_never_rises():
    """Whatever befalls a jar, over twelve years."""
    model = many(30)
    first = model.grid.first_day
    for s in range(2):
        slow = system.slow_days(model, s, first, first + 12 * 365)
        assert (np.diff(slow.soh, axis=0) <= 0).all()
        assert slow.soh.min() > 0
        assert (slow.growth > 0.5).all()


def test_nothing_fails_without_hazard():
    model = model_of(days=30)
    assert not any(model.precursors)
    assert all((f.mode == -1).all() for f in model.failures)
    assert not any(model.trips)
    assert not lives(model, 0).by_mode.any()


# --- thermal runaway ------------------------------------------------------------------------------


def lone_string(rise, room_c, compensated, *, over_v=0.0, shorted=0, k_per_w=0.9 * 1.3):
    """Hours from a fault (24 h, the room warming with 1.5 h from 24 degC) or a charger's deviation
    until a string of 24 like jars of 100 Ah trips, or None; its highest temperature and current."""
    jars = 24

    def each(x, *shape):
        return np.full((1, *shape, jars), float(x))

    never, none = np.full((1, jars), 2**62), np.zeros(0, np.int64)
    constants = stepper.SystemConstants(
        6.0,
        np.array([100.0]),
        np.zeros((1, 5)),
        each(1.0),  # in a cabinet
        each(3.4),
        np.array([-2]),
        each(1),
        np.zeros(1),
        np.zeros((1, jars, 2), np.uint64),
        np.zeros((1, 2), np.uint64),
        never,
        never,
    )
    cells = each(6, 2)
    cells[:, :, :shorted] = 5.0
    thermal, heat = each(k_per_w), each(24_000)
    steps = np.array(stepper.STEPS_S)[np.newaxis, :, np.newaxis]
    ln_i0 = each(log(0.5e-3) + rise, 2)
    day = stepper.DayConstants(
        np.stack([ln_i0, each(1, 2), each(1, 2), cells, each(0, 2), each(1, 2)]),
        np.stack([each(0), thermal, heat]),
        np.exp(-steps / (thermal * heat)[:, np.newaxis]),
        stepper.NO_TURNS,
    )
    state = np.zeros(3 * jars + stepper.STRING_STATES)
    state[:jars] = 25.0
    state[3 * jars + stepper.FULL] = 1.0
    books, room = np.array([25.0, 24.0, 0.0, 25.0]), 24.0
    work, hottest = stepper.scratch(jars), 0.0
    for n in range(-5, 4):  # five days to settle
        course = np.empty(288)
        for slot in range(288):
            failed = 0 <= n * 24 + slot / 12 < 24
            goal, hours = (room_c, 1.5) if failed else (24.0, 1.0)
            room += (goal - room) * (1 - np.exp(-1 / 12 / hours))
            course[slot] = room
        deviation = over_v if n >= 0 else 0.0
        x = stepper.Inputs(
            n * DAY_S,
            course,
            np.zeros(289),
            np.zeros(289),
            compensated,
            np.array([[stepper.DEVIATION, stepper.ALL_STRINGS, -(10**9), 10**9]]),
            np.array([deviation]),
            none,
            none,
        )
        tripped = stepper.float_day(constants, day, 0, x, state, books, work)
        hottest = max(hottest, float(state[:jars].max()))
        if tripped != -1:
            return tripped / 3600, hottest
    return None, hottest


@pytest.mark.parametrize("compensated", [True, False])
@pytest.mark.parametrize("room_c", [37.0, 42.0])
def test_a_healthy_string_never_trips(room_c, compensated):
    """At 44 degC it carries 0.16 A."""
    hours, hottest = lone_string(0.0, room_c, compensated, k_per_w=0.9)
    assert hours is None
    assert hottest < 45


def test_a_dried_string_runs_away_where_the_balance_has_no_solution():
    """+1.5 in ln I0: never at 24 degC; not at 37 compensated; uncompensated after about 18 h."""
    assert lone_string(1.5, 24.0, False)[0] is None
    hours, hottest = lone_string(1.5, 37.0, True)
    assert hours is None
    assert hottest < 44
    hours, hottest = lone_string(1.5, 37.0, False)
    assert hours == pytest.approx(18, abs=4)
    assert hottest == pytest.approx(46, abs=1)


def test_overvoltage_and_shorted_cells_trip_it_too():
    """+0.08 V/cell at 24 degC in about 8 h; two shorted cells and +1.2 at 30 degC."""
    hours, _ = lone_string(1.5, 24.0, True, over_v=0.08)
    assert hours == pytest.approx(8, abs=3)
    assert lone_string(1.2, 30.0, False, shorted=2)[0] is not None
    assert lone_string(1.2, 30.0, False)[0] is None


def dried(name, kind, hvac, progress_at_failure, start="2025-04-01"):
    """A system whose first string dries out so far by day 18, when its room may lose cooling."""
    lead = 110.0
    begins = 18 - progress_at_failure * lead
    forced = [("failure_mode", ids(name, kind).string_id, begins, lead, "thermal_runaway")]
    if hvac:
        forced.append(("hvac_failure", name, 18, 1.5, ""))
    return model_of(name, 22, kind, injections=forced, start=start)


@pytest.mark.usefixtures("unkept")
@pytest.mark.parametrize("name", UNCOMPENSATED)
def test_a_dried_string_trips_when_its_room_loses_cooling(name):
    """Nine tenths of the way in ln I0; then it is off until the visit, 4 to 48 h later."""
    assert not any(a < 22 * DAY_S for a in relative(dried(name, "UPS", False, 0.72)))
    model = dried(name, "UPS", True, 0.72)
    tripped = relative(model)[0]
    assert 18.2 < tripped / DAY_S < 19.7
    (start, end), *_ = model.trips[0]
    assert 4 <= (end - start) / 3600 <= 48
    assert not any(model.trips[1:])
    path = simulate.slow_path(model)
    off = (path.t_s >= start) & (path.t_s < end) & (path.dt_s > 0)
    assert set(path.mode[0, off]) == {stepper.IDLE}
    assert stepper.IDLE not in path.mode[1:, off]
    before = (path.t_s < start) & (path.t_s > start - DAY_S)
    assert stepper.IDLE not in path.mode[0, before]
    life = lives(model, 0)
    taken = [j for j, mode in enumerate(life.mode) if mode == failures.RUNAWAY]
    assert 1 <= len(taken) <= 4
    for j in taken:
        assert life.end_days[j] <= (start - model.grid.start_s) / DAY_S + 1e-9


def relative(model):
    return [start - model.grid.start_s for start, _ in model.trips[0]]


@pytest.mark.parametrize(
    ("name", "kind"), [*((name, "UPS") for name in UNCOMPENSATED), ("DC-KKN-01", "REC")]
)
def test_a_dried_string_does_not_trip_in_a_cool_room(name, kind):
    """To the end of its precursor, with working cooling."""
    assert not dried(name, kind, False, 0.98).trips[0]


@pytest.mark.usefixtures("unkept")
def test_a_precursor_without_a_trip_ends_as_a_dry_out():
    """It costs 20 points of capacity: who fails by it has failed in a mode."""
    model = dried("DC-KKN-01", "REC", False, 0.98)
    assert not model.trips[0]
    states = truth.final_states(model, simulate.slow_path(model), 0)
    life = lives(model, 0)
    ended = [j for j in range(24) if life.by_mode[j] and life.end_days[j] <= 22]
    assert len(ended) > 12
    string = model.system.strings[0]
    assert {states[string.jar_ids[j]]["failure_mode"] for j in ended} == {"dry_out"}


def test_compensated_strings_do_not_dry_out_by_themselves():
    model = model_of("DC-CNX-01", scale=20.0)
    assert model.location.temperature_compensated
    assert not any(model.precursors)
