"""Units that are replaced: in the physics from a second on, for reasons that instruments saw."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise

import numpy as np
import pytest

from fleetgen import maintenance, measure, simulate, system, truth
from fleetgen.config import load
from fleetgen.crew import CAUSES, unit_id
from fleetgen.life import lives
from fleetgen.model import failures, params
from fleetgen.schema import MODES
from fleetgen.spec import Block, Injection, Scenario
from fleetgen.world import world

SEED = 42
DAY_S, HOUR_S = 86_400, 3600
OFFSET_S = 7 * HOUR_S
COMPENSATED = "DC-CNX-01"


def model_of(injections=(), days=4, name=COMPENSATED, kind="REC", start="2025-03-01", errors=True):
    """A system of the package's fleet; `injections` are (kind, target, day, days, value)."""
    config = load(overrides={"run.duration_days": days, "run.start_date": start})
    site = next(s for s in config.to_fleet().sites if s.location.location_id == name)
    grid = config.grid()
    each = next(s for s in site.systems if s.kind == kind)
    forced = [
        Injection(what, target, grid.start_s + round(at * DAY_S), round(length * DAY_S), value)
        for what, target, at, length, value in injections
    ]
    scenario = Scenario(hazard_scale=0.0, injections=tuple(forced), sensor_errors=errors)
    return system.system_model(SEED, site.location, each, grid, scenario)


def jar(number, string=0, name=COMPENSATED, kind="REC"):
    return model_of(name=name, kind=kind).system.strings[string].jar_ids[number - 1]


def swap_at(hour, number, string=0):
    """A replacement `hour` hours after the start."""
    return ("replacement", jar(number, string), hour / 24, 0, "")


def bits(array):
    return np.ascontiguousarray(array).view(np.uint64)


def replayed(model, path, s, first, end):
    start = model.grid.first_day
    block = Block(start + first, start + end)
    around = world(model.seed, model.location, model.grid, block, model.scenario)
    return simulate.replay(model, path, s, around, block)


def local(instant_s):
    return datetime.fromtimestamp(instant_s + OFFSET_S, UTC)


# --- a new unit in the physics --------------------------------------------------------------------

SEVERAL = (
    swap_at(26, 3),  # before the daily reading
    swap_at(34, 7),
    swap_at(34, 8),  # at the same time
    swap_at(38, 12),  # later on that day
    swap_at(58, 3),  # the second one, a day later
    swap_at(62, 24, string=1),
)


@lru_cache(maxsize=2)
def several():
    model = model_of(SEVERAL)
    return model, simulate.slow_path(model)


def test_each_injected_replacement_takes_place_at_its_second():
    model, path = several()
    assert [(w.string, w.jar + 1, (w.at_s - model.grid.start_s) // HOUR_S) for w in path.swaps] == [
        (0, 3, 26),
        (0, 7, 34),
        (0, 8, 34),
        (0, 12, 38),
        (0, 3, 58),
        (1, 24, 62),
    ]
    assert [w.number for w in path.swaps] == [2, 2, 2, 2, 3, 2]
    assert {CAUSES[w.cause] for w in path.swaps} == {"injected"}


def test_blocks_end_in_the_next_checkpoint_across_replacements():
    model, path = several()
    for s in range(3):
        for first in range(4):
            for end in range(first + 1, 5):
                played = replayed(model, path, s, first, end)
                assert np.array_equal(bits(played.end_state), bits(path.states[end, s]))


def test_the_new_unit_is_new_from_that_second_on():
    """SOH of a unit of age 0, as warm as the room, at its own float voltage by Tafel's law."""
    model, path = several()
    played = replayed(model, path, 0, 0, 4)
    at_s = model.grid.start_s + 34 * HOUR_S
    rows = np.flatnonzero(played.t_s == at_s)
    closing, first = rows[0], rows[-1]
    assert len(rows) == 2
    crew = played.service.crew_at(at_s)
    assert crew.unit_ids[6] == jar(7) + "-R2"
    assert crew.unit_ids[5] == jar(6)
    soh = played.service.at("soh", 6, at_s)
    assert soh == pytest.approx(float(crew.units.soh_new[6]), abs=5e-4)
    assert 0.93 < soh < 1.07
    assert abs(played.service.at("soh", 6, at_s, before=True) - soh) > 5e-4
    room = world(model.seed, model.location, model.grid, played.block, model.scenario).room_slot_c[
        1, 10 * 12
    ]
    assert played.replay.jar_c[6, first] == room
    assert played.replay.jar_c[6, closing] > room + 0.3
    assert played.replay.jar_soc[6, first] == 1.0
    mode = [MODES[m] for m in played.mode]
    assert (mode[closing], mode[first]) == ("idle", "float")
    # Kirchhoff, and the deviation from the others by the constants of the units alone.
    volts, degrees = played.replay.jar_v[:, first], played.replay.jar_c[:, first]
    assert volts.sum() == pytest.approx(played.replay.string_v[first], abs=1e-9)
    ln_i0 = np.array([played.service.at("ln_i0", j, at_s) for j in range(24)])
    drive = ln_i0 + 0.06 * (degrees - 25.0)
    assert volts - volts.mean() == pytest.approx(6 / 11 * (drive.mean() - drive), abs=1e-9)
    early = 0.20 * float(crew.units.ln_i0_unit[6])
    assert ln_i0[6] == pytest.approx(float(crew.units.ln_i0[6]) + early, abs=0.15)


def test_the_string_is_off_for_the_hour_of_the_work_and_no_longer():
    model, path = several()
    off = [
        ((int(t) - model.grid.start_s) // HOUR_S)
        for t, dt, m in zip(path.t_s, path.dt_s, path.mode[0], strict=True)
        if MODES[m] == "idle" and dt
    ]
    assert set(off) == {25, 33, 37, 57}


def test_a_reading_is_taken_at_installation_and_held():
    """Its own new resistance at the room's temperature, within the monitor's noise and gain."""
    model, path = several()
    played = replayed(model, path, 0, 0, 4)
    for n, turn in enumerate(played.service.turns):
        assert turn.jar in (2, 6, 7, 11)
        old, new = played.turn_readings[n]
        crew = played.service.crew_at(turn.at_s)
        at_s = turn.at_s - model.grid.start_s
        room = played.replay.jar_c[turn.jar, np.flatnonzero(played.t_s == turn.at_s)[-1]]
        growth = played.service.at("growth", turn.jar, turn.at_s)
        true = 1000 * crew.units.new_mohm[turn.jar] * growth * (1 - 0.006 * (room - 25))
        gain = model.constants.reading_gain[0, turn.jar]
        assert new == pytest.approx(true * gain, rel=0.05)
        assert new != old
        if at_s > 5 * HOUR_S + DAY_S and turn.jar != 2:  # after the day's reading
            assert path.states[2, 0, 48 + turn.jar] == new


def test_only_the_position_itself_changes_hands():
    """Place, instruments and the other units are what they were; nothing hangs on other swaps."""
    model, _ = several()
    plain = model_of()
    alone = model_of(SEVERAL[1:2])
    crews = [
        system.services(m, 0, simulate.slow_path(m).swaps)[-1].crew for m in (model, plain, alone)
    ]
    for name in ("cabinet_rise_k", "thermal_k_per_w", "heat_j_per_k", "rise_k"):
        values = [getattr(crew.units, name) for crew in crews]
        assert np.array_equal(values[0], values[1])
    for name in ("soh_new", "new_mohm", "ln_i0", "acceptance_uohm", "ageing_spread"):
        many, none, one = (getattr(crew.units, name) for crew in crews)
        kept = np.array([j not in (2, 6, 7, 11) for j in range(24)])
        assert np.array_equal(many[kept], none[kept])
        assert many[6] == one[6] != none[6]
    assert len(set(crews[0].units.serial_number)) == 24
    assert crews[0].units.serial_number[6] == crews[2].units.serial_number[6]
    assert crews[0].units.installed[6].isoformat() == "2025-03-02"
    assert crews[0].units.manufactured[6] < crews[0].units.installed[6]


# --- remaining life -------------------------------------------------------------------------------


def test_the_life_of_a_unit_is_as_if_nobody_replaced_it_or_others():
    model, path = several()
    plain = lives(model_of(), 0)
    first = path.end_days[:24]
    assert first.tobytes() == plain.end_days.tobytes()
    state = truth.final_states(model, path, 0)
    assert len(state) == 24 + 5
    gone = state[jar(7)]
    assert gone["rul_days"] == pytest.approx(float(plain.end_days[6]) - 34 / 24, abs=1e-3)
    assert gone["calendar_age_days"] == pytest.approx(
        float(model.populations[0].age_days[6]) + 34 / 24, abs=1e-3
    )
    new = state[jar(7) + "-R2"]
    assert new["calendar_age_days"] == 3.0  # from midnight of the day of its installation
    crew = system.services(model, 0, path.swaps)[-1].crew
    assert new["soh_pct"] == pytest.approx(100 * float(crew.units.soh_new[6]), abs=0.5)


def test_the_life_of_a_new_unit_does_not_depend_on_the_duration():
    short, long = (simulate.slow_path(model_of(SEVERAL, days)) for days in (4, 6))
    assert short.swap.tolist() == long.swap.tolist()
    for name in ("end_days", "onset_days", "by_mode", "failure"):
        assert getattr(short, name).tobytes() == getattr(long, name).tobytes()


def test_a_new_unit_wears_by_the_law_of_ageing_from_zero():
    """A day at the reference rate: rate x spread x f_T x f_V / 365.25, within f_V's bounds."""
    model, path = several()
    service = system.services(model, 0, path.swaps)[-1]
    days = system.capacity_days(model, 0, model.grid.end_day + 100, service)
    j, units = 2, service.crew.units
    assert days.wear.loss[0, j] == 0.0
    lost = np.diff(days.wear.loss[:, j])
    reference = units.rate_per_year[j] * units.ageing_spread[j] / 365.25
    assert (lost > 0.5 * reference).all()
    assert (lost < 4 * reference).all()


# --- what is found --------------------------------------------------------------------------------


def corrected(path, day, s, j):
    """Resistance at 25 degC of the reading held after a day, at the midnight before it [mOhm]."""
    jars = 24
    degrees = path.states[day, s, j]
    return path.states[day + 1, s, 2 * jars + j] / 1000 / (1 - 0.006 * (degrees - 25))


@lru_cache(maxsize=1)
def dried():
    """A jar far into a dry-out; 40 days."""
    model = model_of([("failure_mode", jar(5), -300, 400, "dry_out")], days=40)
    return model, simulate.slow_path(model)


def test_a_high_resistance_is_replaced_after_two_readings_and_three_to_21_days():
    model, path = dried()
    (swap,) = path.swaps
    assert (swap.string, swap.jar, CAUSES[swap.cause]) == (0, 4, "high_resistance")
    baseline = model.populations[0].acceptance_uohm[4] / 1000
    days = (swap.found_s - model.grid.start_s) // DAY_S
    taken = [
        corrected(path, day, 0, 4) / baseline
        for day in range(days)
        if not np.array_equal(path.states[day, 0, 48:72], path.states[day + 1, 0, 48:72])
    ]
    assert taken[-1] > 1.48  # the sensor's offset and noise of temperature are in the finding
    assert taken[-2] > 1.48
    assert not any(a > 1.52 and b > 1.52 for a, b in pairwise(taken[:-1]))
    delay = swap.at_s - swap.found_s
    assert 3 * DAY_S <= delay <= 21 * DAY_S + 4 * DAY_S  # a weekend or an event may be in the way
    when = local(swap.at_s)
    assert (when.minute, when.second) == (0, 0)
    assert 9 <= when.hour <= 15
    assert when.weekday() < 5
    assert swap.off_s == swap.at_s - HOUR_S
    after = (swap.at_s - model.grid.start_s) // DAY_S + 2
    assert corrected(path, after, 0, 4) / baseline < 1.3


def test_a_short_run_makes_the_first_decisions_of_a_longer_one():
    model, path = dried()
    at = (path.swaps[0].at_s - model.grid.start_s) // DAY_S
    shorter = simulate.slow_path(replace(model, grid=replace(model.grid, duration_s=at * DAY_S)))
    assert not shorter.swaps
    longer = simulate.slow_path(
        replace(model, grid=replace(model.grid, duration_s=(at + 1) * DAY_S))
    )
    assert longer.swaps == path.swaps
    assert np.array_equal(bits(longer.states), bits(path.states[: at + 2]))


def test_a_shorted_cell_brings_a_visit_within_two_days():
    model = model_of([("failure_mode", jar(9), -20, 25.5, "internal_short")], days=10)
    path = simulate.slow_path(model)
    (swap,) = path.swaps
    assert (swap.jar, CAUSES[swap.cause]) == (8, "internal_short")
    assert swap.found_s == model.grid.start_s + 6 * DAY_S  # the midnight after the terminal event
    assert 4 * HOUR_S <= swap.at_s - swap.found_s <= 49 * HOUR_S + 12 * HOUR_S


def test_a_deviating_voltage_is_found_against_the_median():
    """A sulfated jar floats higher by 6/11 x 0.7 p V and more: beyond 0.6 V with its own place."""
    model = model_of(
        [("failure_mode", jar(n), -170, 180, "sulfation") for n in range(1, 5)], days=12
    )
    path = simulate.slow_path(model)
    crew = system.services(model, 0, ())[0].crew
    age = crew.units.age_days
    for swap in path.swaps:
        if CAUSES[swap.cause] != "voltage_deviation":
            continue
        day = (swap.found_s - model.grid.start_s) // DAY_S
        slow = system.slow_days(model, 0, model.grid.first_day, model.grid.end_day)
        drive = slow.ln_i0[day] + 0.06 * path.states[day, 0, :24]
        off = 6 / 11 * np.abs(np.median(drive) - drive[swap.jar])
        assert off > (0.6 if age[swap.jar] >= 365 else 0.9) - 0.05


def test_a_whole_string_is_renewed_when_a_fifth_of_it_fails():
    modes = [("failure_mode", jar(n), -300, 330, "dry_out") for n in range(1, 8)]
    model = model_of(modes, days=30)
    path = simulate.slow_path(model)
    gone = {w.jar for w in path.swaps if w.string == 0}
    assert gone == set(range(24))
    causes = {CAUSES[w.cause] for w in path.swaps}
    assert causes == {"high_resistance", "string_renewal"}
    renewal = [w for w in path.swaps if CAUSES[w.cause] == "string_renewal"]
    assert len({w.at_s for w in renewal}) == 1
    assert len(renewal) >= 16


def test_a_string_that_trips_is_renewed_at_the_visit():
    """Off from the trip to the new units; its later trips do not happen."""
    model = model_of(days=8)
    start = model.grid.start_s
    spans = (
        (start + 30 * HOUR_S, start + 50 * HOUR_S),
        (start + 150 * HOUR_S, start + 160 * HOUR_S),
    )
    precursor = failures.Precursor(model.grid.end_s - 1, model.grid.end_s + 10**9, np.zeros(24))
    model = replace(model, precursors=(precursor, None, None))
    vars(model)["trips"] = (spans, (), ())
    path = simulate.slow_path(model)
    assert {(w.string, CAUSES[w.cause]) for w in path.swaps} == {(0, "thermal_trip")}
    assert len(path.swaps) == 24
    at_s = path.swaps[0].at_s
    assert spans[0][1] <= at_s <= spans[0][1] + 24 * HOUR_S
    idle = (path.mode[0] == MODES.index("idle")) & (path.dt_s > 0)
    assert path.t_s[idle].min() == spans[0][0]
    ends = path.t_s[idle] + path.dt_s[idle]
    assert ends.max() == at_s


def test_work_keeps_clear_of_events_and_of_other_strings():
    model, path = dried()
    t = model.timeline
    for w in path.swaps:
        for a, b in (
            *zip(t.discharge_start_s, t.discharge_end_s, strict=True),
            *zip(t.test_start_s, t.test_end_s, strict=True),
            *zip(t.equalize_start_s, t.equalize_end_s, strict=True),
        ):
            assert not (a < w.at_s + HOUR_S and b > w.off_s)


# --- capacity tests and impedance rounds ----------------------------------------------------------


def test_the_time_of_a_rated_jar_is_that_of_the_law():
    """V = 6 (OCV(s_o) - K x/(1-x)) - I R_dc 100/C10 at 0.25 C10 and 25 degC, down to 10.5 V."""

    def voltage(hours, c10, cm, ik, d, r_dc, k):
        amperes = 0.25 * c10
        charge = amperes * hours
        capacity = c10 * cm / (1 + (0.25 / ik) ** d)
        x = charge / capacity
        molality = 1.3 + 4.9 * max(0.0, 1 - charge / (1.2 * c10))
        log = np.log10(molality)
        ocv = 1.9228 + 0.147519 * log + 0.063552 * log**2 + 0.073772 * log**3 + 0.033612 * log**4
        return 6 * (ocv - k * x / (1 - x)) - amperes * r_dc * 1e-3 * 100 / c10

    laws = {"A": (2.009, 0.196, 0.446, 5.91, 0.0380), "B": (1.428, 1.665, 0.821, 4.72, 0.0313)}
    for string in model_of().system.strings + model_of(kind="UPS").system.strings:
        low, high = 1.0, 4.5
        for _ in range(60):
            middle = (low + high) / 2
            law = laws[string.model.discharge_type]
            if voltage(middle, string.model.rated_capacity_ah, *law) > 10.5:
                low = middle
            else:
                high = middle
        assert measure.rated_seconds(string.model) == pytest.approx(3600 * low, abs=2.0)


def with_test(injections=(), minutes=360, days=3):
    string = model_of().system.strings[0].string_id
    test = ("capacity_test", string, 1.9, minutes / 1440, "")
    model = model_of([test, *injections], days=days)
    path = simulate.slow_path(model)
    return model, path, path.test[path.test[:, 0] == 0].tolist()


def test_a_weak_jar_ends_a_test_fails_and_is_replaced():
    weak = ("failure_mode", jar(10), -200, 230, "sulfation")
    model, path, tests = with_test([weak], days=100)
    (_, start, end, state), *_ = tests
    assert state == 0
    result = measure.Capacity(*path.test_jar[path.test[:, 1].tolist().index(start)].T)
    assert result.censored.tolist() == [int(j != 9) for j in range(24)]
    assert measure.RESULTS[result.result[9]] == "fail"
    assert (result.result[result.censored == 1] == measure.UNDECIDED).all()
    assert result.end_mv[9] <= 10_520
    assert (np.delete(result.end_mv, 9) > 10_600).all()
    seconds = end - start
    kt = 1 + np.where(result.start_dc < 250, 0.0056, 0.0020) * (result.start_dc / 10 - 25)
    expected = 100 * seconds / (measure.rated_seconds(model.system.strings[0].model) * kt)
    assert result.capacity / 100 == pytest.approx(expected, abs=0.006)
    found = [w for w in path.swaps if w.jar == 9 and w.string == 0]
    assert found
    delay = (found[0].at_s - found[0].found_s) / DAY_S
    if CAUSES[found[0].cause] == "capacity_test":
        assert 30 <= delay <= 94
    else:  # its voltage gave it away sooner
        assert delay < 25


def test_a_test_cut_short_by_an_outage_has_no_result():
    outage = ("outage", COMPENSATED, 1.95, 0.01, "")
    _, path, tests = with_test([outage])
    (_, start, end, state), *_ = tests
    assert state == 1
    assert end - start == round(0.05 * DAY_S)
    assert not path.test_jar[0].any()


def test_a_test_that_no_cut_off_ends_is_a_lower_bound_for_all():
    _, path, tests = with_test(minutes=60)
    (_, start, end, state), *_ = tests
    assert (state, end - start) == (0, 3600)
    result = measure.Capacity(*path.test_jar[0].T)
    assert result.censored.all()
    assert (result.result == measure.UNDECIDED).all()
    assert not path.swaps


def test_a_test_under_way_at_the_end_has_none():
    _, path, tests = with_test(days=2)
    assert tests[0][3] == 2
    assert not path.test_jar[0].any()


def test_an_impedance_round_reads_the_units_with_its_own_meter():
    """The meter's gain is common to a location, its readings scatter by 1.5 %."""
    model = model_of(days=120, start="2025-01-01")
    path = simulate.slow_path(model)
    assert len(path.round)
    gains = []
    for (s, start), readings in zip(path.round.tolist(), path.round_jar, strict=True):
        when = local(start)
        assert 9 <= when.hour <= 15
        assert when.weekday() < 5
        day = (start - model.grid.start_s) // DAY_S
        played = replayed(model, path, s, day, day + 1)
        for j in range(24):
            at = measure.jar_read_s(start, j, 24)
            growth = played.service.at("growth", j, at)
            row = np.searchsorted(played.t_s, at, side="right") - 1
            degrees = played.replay.jar_c[j, row]
            true = 1000 * played.service.crew_at(at).units.new_mohm[j] * growth
            true *= 1 - 0.006 * (degrees - 25)
            gains += (readings[j, :3] / true).tolist()
            assert readings[j, 3] / 10 == pytest.approx(degrees, abs=3.0)
    assert np.std(gains) == pytest.approx(params.METER_NOISE.value, rel=0.25)
    assert abs(np.mean(gains) - 1) < 4 * params.METER_GAIN.value
    ideal = measure.impedance(np.array([[3100, 3000, 3200, 350]]))
    assert ideal.median.tolist() == [3100]
    assert ideal.corrected.tolist() == [round(3100 / 0.94)]


# --- the calendar ---------------------------------------------------------------------------------


def test_the_calendar_of_a_year():
    model = model_of(days=365, start="2025-01-01")
    rows = maintenance.calendar(model)
    for s in range(3):
        counts = [sum(1 for code, each, *_ in rows if (code, each) == (c, s)) for c in range(4)]
        assert counts[0] in (12, 13)
        assert counts[1] == 4
        assert counts[2] <= 2
        assert counts[3] == 2
    months = {local(a).month for code, s, a, _ in rows if (code, s) == (0, 0)}
    assert months == set(range(1, 13))
    half = maintenance.calendar(model_of(days=181, start="2025-01-01"))
    end = model.grid.start_s + 181 * DAY_S
    assert half == [row for row in rows if row[2] < end]
    for _, _, a, _ in rows:
        assert local(a).weekday() < 5
        assert 9 <= local(a).hour <= 15


def test_ids_of_units():
    assert [unit_id("A-J07", n) for n in (1, 2, 3)] == ["A-J07", "A-J07-R2", "A-J07-R3"]
    assert timedelta(hours=1).total_seconds() == params.REPLACEMENT_WORK.value * HOUR_S
