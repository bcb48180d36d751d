"""Maintenance of a system: its calendar, its findings, and the new units that follow from them.

Decisions are taken in the slow path, day by day, from what instruments read there up to then, never
from sampled files: so they depend on no sampling, and those of a short run begin a longer one's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fleetgen import crew, measure, rng
from fleetgen.crew import Swap, local_day, unit_id
from fleetgen.model import electrical, events, params, sensors, stepper
from fleetgen.model.stepper import Replay, SystemConstants
from fleetgen.rng import Stream
from fleetgen.system import ServiceDays, SystemModel
from fleetgen.units import SECONDS_PER_DAY, SECONDS_PER_HOUR, day_date, day_number

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_WORK_S = int(params.REPLACEMENT_WORK.value * SECONDS_PER_HOUR)
_CONSECUTIVE = 2
"""Measurements in a row that make a finding."""

_MOST_TRIES = 2000

INSPECTION, SURVEY, ROUND, TORQUE = range(4)
PLANNED = ("inspection", "thermal_survey", "impedance_round", "torque_check")
"""Calendar work on a string; the position is the code."""

Played = Callable[[int, int, int], tuple[Ints, Replay, ServiceDays]]
"""Rows, physics and slow quantities of a string over local days [first, end) already walked."""


WHOLE, ABORTED, UNDER_WAY = range(3)
"""How a capacity test stands."""


class Test(NamedTuple):
    """A capacity test that has begun; only a whole one has a result, and an end while under way is
    the latest.
    """  # noqa: D205

    string: int
    start_s: int
    end_s: int
    state: int
    capacity: measure.Capacity | None


class Evening(NamedTuple):
    """A system at the end of a day: `t_s` is midnight, states (string, 3 jar + 6), and the closing
    row's set-point [V] and modes (string,).
    """  # noqa: D205

    t_s: int
    states: Floats
    bus: Floats
    bus_v: float
    modes: Ints


# --- the calendar ---------------------------------------------------------------------------------


def calendar(model: SystemModel) -> list[tuple[int, int, int, int]]:
    """Planned work on strings as (code, string, start, end) [s] that begins in the run, in order.

    Inspections with a check of voltages each month, thermal surveys each quarter, impedance rounds
    and torque checks each half-year, on working days drawn for string and period. An impedance
    round waits until the string has rested; one that cannot within its fortnight is left out.
    """
    grid = model.grid
    found = []
    for s, string in enumerate(model.system.strings):
        k = rng.key(model.seed, Stream.CALENDAR, string.string_id)
        for code, months, length_s in (
            (INSPECTION, 1, int(params.INSPECTION_LENGTH.value * SECONDS_PER_HOUR)),
            (SURVEY, 3, int(params.SURVEY_LENGTH.value * SECONDS_PER_HOUR)),
            (ROUND, 6, measure.round_length_s(len(string.jar_ids))),
            (TORQUE, 6, int(params.TORQUE_LENGTH.value * SECONDS_PER_HOUR)),
        ):
            for start in _visits(model, k, code, months):
                begins: int | None = start
                if code == ROUND:
                    begins = _rested(model, s, start, length_s)
                if begins is not None and grid.start_s <= begins < grid.end_s:
                    found.append((code, s, begins, begins + length_s))
    return sorted(found, key=lambda row: (row[2], row[1], row[0]))


def _visits(model: SystemModel, k: rng.Key, code: int, months: int) -> Iterator[int]:
    """Starts of planned work, one in each period of so many months that touches the run."""
    grid = model.grid
    periods = {
        (year, (month - 1) // months)
        for year, month in events.months(grid.first_day - 31, grid.end_day)
    }
    for year, number in sorted(periods):
        first = day_number(date(year, 1 + number * months, 1))
        last = 1 + (number + 1) * months
        end = day_number(date(year + last // 13, (last - 1) % 12 + 1, 1))
        days = [d for d in range(first, end) if day_date(d).weekday() < 5]
        at = 8 * (12 * year + number) + 2 * code
        day = days[int(rng.uniform(k, at) * len(days))]
        yield _hour_s(model, day, rng.uniform(k, at + 1))


def _hour_s(model: SystemModel, day: int, draw: float) -> int:
    """A whole local hour of a day at which planned work may begin."""
    low, high = int(params.WORK_FIRST_HOUR.value), int(params.WORK_LAST_HOUR.value)
    hour = low + int(draw * (high - low + 1))
    return day * SECONDS_PER_DAY - model.grid.utc_offset_s + hour * SECONDS_PER_HOUR


def _rested(model: SystemModel, s: int, start_s: int, length_s: int) -> int | None:
    t = model.timeline
    rest_s = int(params.METER_REST.value * SECONDS_PER_HOUR)
    mine = t.test_string == s
    begins = np.concatenate([t.discharge_start_s, t.test_start_s[mine], t.equalize_start_s])
    ends = np.concatenate([t.discharge_end_s, t.test_end_s[mine], t.equalize_end_s])
    for days in range(14):
        at = start_s + days * SECONDS_PER_DAY
        weekday = day_date(local_day(model.grid, at)).weekday()
        if weekday < 5 and not ((begins < at + length_s) & (ends > at - rest_s)).any():
            return at
    return None


# --- decisions ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Finding:
    string: int
    jar: int
    cause: int


class Upkeep:
    """What maintenance knows of a system and has planned, on the morning of a day of its run."""

    def __init__(self, model: SystemModel, states: Floats) -> None:
        self._model = model
        strings, jars = len(model.populations), model.system.jars_per_string
        self.swaps: list[Swap] = []
        self._tests: list[Test] = []
        self.rounds: list[tuple[int, int, Ints]] = []
        self._asked = list(_injected(model))
        self._pending: dict[tuple[int, int], Swap] = {}
        self._planned_rounds = [row for row in calendar(model) if row[0] == ROUND]
        self._open_tests = list(
            zip(
                model.timeline.test_string.tolist(),
                model.timeline.test_start_s.tolist(),
                model.timeline.test_end_s.tolist(),
                strict=True,
            )
        )
        self._high_r, self._high_v = (np.zeros((strings, jars), np.int64) for _ in range(2))
        self._gain_v, self._offset_c, self._keys = _monitor(model)
        self._decidegrees = np.stack(
            [self._read(s, states[s], None, model.grid.start_s)[1] for s in range(strings)]
        )
        t = model.timeline
        self._busy = np.concatenate(
            [
                np.stack([a, b], axis=1)
                for a, b in (
                    (t.discharge_start_s, t.discharge_end_s),
                    (t.test_start_s, t.test_end_s),
                    (t.equalize_start_s, t.equalize_end_s),
                )
            ]
        )

    @property
    def planned(self) -> list[Swap]:
        """All swaps, of which those that are still to come may be put off or forward."""
        return [*self.swaps, *sorted((*self._asked, *self._pending.values()))]

    def tests(self, until_s: int) -> list[Test]:
        """Tests that began before an instant, the end of what was walked."""
        open_ = [Test(*each, UNDER_WAY, None) for each in self._open_tests if each[1] < until_s]
        return [*self._tests, *open_]

    def begun(self, until_s: int) -> list[Swap]:
        """Swaps whose work began before an instant, the end of what was walked."""
        return [*self.swaps, *(w for w in self._numbered() if w.off_s < until_s)]

    def _numbered(self) -> list[Swap]:
        """Swaps that are still to come, as if they came next."""
        return [
            w._replace(number=2 + sum(d[:2] == w[:2] for d in self.swaps))
            for w in self.planned
            if not w.number
        ]

    def begin(self, day: int) -> list[Swap]:
        """Swaps of a local day, now for good."""
        start_s = self._model.grid.midnight_s(day)
        self._expect_trips(start_s)
        due = [w for w in self._numbered() if w.at_s < start_s + SECONDS_PER_DAY]
        self._asked = [w for w in self._asked if w.at_s >= start_s + SECONDS_PER_DAY]
        for swap in due:
            self._pending.pop(swap[:2], None)  # what was found of the unit goes with it
            self._high_r[swap.string, swap.jar] = self._high_v[swap.string, swap.jar] = 0
        self.swaps += due
        return due

    def end(
        self,
        day: int,
        before: Floats,
        evening: Evening,
        bus_before: Floats,
        constants: SystemConstants,
        services: list[ServiceDays],
        played: Played,
        modes: Callable[[int, int], Iterator[tuple[int, int, int]]],
    ) -> None:
        """Take in what was read on a local day, and plan what follows from it.

        `modes` gives the rows (instant, step, mode) of a string from an instant on.
        """
        found: list[_Finding] = []
        for s in range(len(services)):
            found += self._check_resistance(s, day, before[s], evening, services[s])
            found += self._check_voltage(s, evening, constants, services[s])
            self._check_trip(s, bus_before, evening)
        found += self._end_tests(evening.t_s, played, modes)
        found += self._end_rounds(evening.t_s, played, services)
        for finding in found:
            self._plan(finding, evening.t_s)

    # --- what instruments read

    def _read(self, s: int, state: Floats, volts: Floats | None, t_s: int) -> tuple[Ints, Ints]:
        """What the monitor reads at an instant: voltage [mV] and temperature [0.1 degC]."""
        jars = self._gain_v.shape[1]
        out = np.empty((2, jars), np.int64)
        sensors.read_jars(
            np.zeros(jars) if volts is None else volts,
            state[:jars],
            self._gain_v[s],
            self._offset_c[s],
            self._keys[s],
            t_s,
            float(self._model.scenario.sensor_errors),
            rng.normal_table(),
            out,
        )
        return out[0], out[1]

    def _check_resistance(
        self, s: int, day: int, before: Floats, evening: Evening, service: ServiceDays
    ) -> Iterator[_Finding]:
        """Resistance at 25 degC over that at commissioning, at the temperature of the midnight."""
        jars = self._gain_v.shape[1]
        held = slice(2 * jars, 3 * jars)
        changed = evening.states[s, held] != before[held]
        changed[[w.jar for w in self.swaps if w.string == s and _on(self._model, w, day)]] = False
        decidegrees = self._decidegrees[s]
        if changed.any():
            now = measure.at_reference(evening.states[s, held], decidegrees)
            baseline = service.crew_at(evening.t_s).units.acceptance_uohm
            high = now > params.RESISTANCE_CRITICAL.value * baseline
            self._high_r[s] = np.where(high, self._high_r[s] + 1, 0)
            for j in np.flatnonzero(self._high_r[s] >= _CONSECUTIVE).tolist():
                yield _Finding(s, j, crew.HIGH_RESISTANCE)

    def _check_voltage(
        self, s: int, evening: Evening, constants: SystemConstants, service: ServiceDays
    ) -> Iterator[_Finding]:
        """Float voltage against the string's median, once it has settled after a discharge."""
        jars = self._gain_v.shape[1]
        state = evening.states[s]
        book = 3 * jars
        volts = np.empty(jars)
        rested = evening.t_s - state[book + stepper.LAST_END]
        settled = rested >= params.CHECK_REST.value * SECONDS_PER_HOUR
        floats = evening.modes[s] == stepper.FLOAT and state[book + stepper.FULL] > 0.0
        if not floats:
            self._decidegrees[s] = self._read(s, state, None, evening.t_s)[1]
            return
        at = round((evening.t_s - service.start_s) / SECONDS_PER_DAY)
        cells = np.where(
            evening.t_s >= constants.dead_cell_s[s], constants.cells - 1.0, service.days.cells[at]
        )
        electrical.float_voltages(
            evening.bus_v,
            cells,
            constants.rated_ah[s],
            np.ascontiguousarray(service.days.ln_i0[at]),
            state[:jars],
            volts,
        )
        millivolts, self._decidegrees[s] = self._read(s, state, volts, evening.t_s)
        if not settled:
            return
        units = service.crew_at(evening.t_s).units
        age_days = units.age_days + (evening.t_s - self._model.grid.start_s) / SECONDS_PER_DAY
        limit_v = np.where(
            age_days < params.DEVIATION_SETTLED.value,
            params.DEVIATION_CRITICAL_NEW.value,
            params.DEVIATION_CRITICAL.value,
        )
        off = np.abs(millivolts - np.median(millivolts)) > 1000.0 * limit_v
        self._high_v[s] = np.where(off, self._high_v[s] + 1, 0)
        short = millivolts < 1000.0 * params.SHORT_CELL_V.value
        for j in range(jars):
            if short[j]:
                yield _Finding(s, j, crew.INTERNAL_SHORT)
            elif self._high_v[s, j] >= _CONSECUTIVE:
                yield _Finding(s, j, crew.VOLTAGE_DEVIATION)

    def _check_trip(self, s: int, bus_before: Floats, evening: Evening) -> None:
        """A protection that tripped in the walk itself, not by the end of an outage."""
        at = stepper.BUS_STATES_PER_STRING * s + stepper.CUT_UNTIL
        until = evening.bus[at]
        if until <= bus_before[at] or (self._model.timeline.discharge_end_s == until).any():
            return
        self._renew_string(s, int(until), evening.t_s)

    def _end_tests(
        self,
        t_s: int,
        played: Played,
        modes: Callable[[int, int], Iterator[tuple[int, int, int]]],
    ) -> Iterator[_Finding]:
        t = self._model.timeline
        for test in [each for each in self._open_tests if each[1] < t_s]:
            s, start_s, latest_s = test
            after = next(
                ((a, m) for a, dt, m in modes(s, start_s) if dt and m != stepper.DISCHARGE), None
            )
            end_s, mode = after or (t_s, stepper.DISCHARGE)
            cut = t.discharge_start_s[(t.discharge_start_s < end_s) & (t.discharge_end_s > start_s)]
            if not cut.size and after is None and latest_s > t_s:
                continue
            self._open_tests.remove(test)
            if cut.size or mode == stepper.IDLE or end_s == start_s:
                end_s = max(start_s, int(cut.min())) if cut.size else end_s
                self._tests.append(Test(s, start_s, end_s, ABORTED, None))
                continue
            days = local_day(self._model.grid, start_s), local_day(self._model.grid, end_s - 1) + 1
            rows, replay, _ = played(s, *days)
            log = measure.log_of_test(self._model, s, rows, replay, start_s, end_s)
            result = measure.capacity(self._model, s, log, end_s - start_s, end_s < latest_s)
            self._tests.append(Test(s, start_s, end_s, WHOLE, result))
            for j in np.flatnonzero(result.result == measure.FAIL).tolist():
                yield _Finding(s, j, crew.CAPACITY_TEST)

    def _end_rounds(
        self, t_s: int, played: Played, services: list[ServiceDays]
    ) -> Iterator[_Finding]:
        while self._planned_rounds and self._planned_rounds[0][3] <= t_s:
            _, s, start_s, _ = self._planned_rounds.pop(0)
            day = local_day(self._model.grid, start_s)
            rows, replay, service = played(s, day, day + 1)
            readings = measure.impedance_round(self._model, s, rows, replay, service, start_s)
            self.rounds.append((s, start_s, readings))
            corrected = measure.impedance(readings).corrected
            baseline = services[s].crew_at(t_s).units.acceptance_uohm
            high = corrected > params.RESISTANCE_CRITICAL.value * baseline
            for j in np.flatnonzero(high).tolist():
                yield _Finding(s, j, crew.IMPEDANCE)

    # --- what follows

    def _plan(self, finding: _Finding, found_s: int) -> None:
        """Plan the replacement that a finding asks for, unless one as urgent is planned."""
        s, j, cause = finding.string, finding.jar, finding.cause
        if any(w[:2] == (s, j) and w.at_s > found_s - SECONDS_PER_DAY for w in self.swaps):
            return  # what was found is gone
        number = 1 + sum(w[:2] == (s, j) for w in self.swaps)
        unit = unit_id(self._model.system.strings[s].jar_ids[j], number)
        k = rng.key(self._model.seed, Stream.VISIT, unit)
        low, high = _DELAYS_S[cause]
        earliest_s = found_s + low + int((high - low) * rng.uniform(k, 2 * found_s))
        planned = self._pending.get((s, j))
        if planned is not None and (
            planned.off_s < found_s
            or planned.at_s <= earliest_s
            or _DELAYS_S.get(planned.cause, _CORRECTIVE_S)[0] <= low
        ):
            return
        urgent = cause == crew.INTERNAL_SHORT
        draw = rng.uniform(k, 2 * found_s + 1)
        at_s = self._work_s(s, (j,), earliest_s, None if urgent else draw)
        if planned is not None and planned.at_s <= at_s:
            return
        self._pending[s, j] = Swap(s, j, at_s, at_s - _WORK_S, found_s, cause, 0)
        failing = [w for w in self._pending.values() if w.string == s]
        jars = self._gain_v.shape[1]
        if len(failing) > params.WHOLE_STRING_SHARE.value * jars and not any(
            w.cause in (crew.STRING_RENEWAL, crew.THERMAL_TRIP) for w in failing
        ):
            self._renew_string(s, at_s, found_s, crew.STRING_RENEWAL)

    def _expect_trips(self, start_s: int) -> None:
        """Plan the work after the trips of a day: the whole string, at the visit."""
        for s, trips in enumerate(self._model.trips):
            for tripped_s, visit_s in trips:
                gone = [w.jar for w in self.swaps if w.string == s and w.number == 2]
                if (
                    start_s <= tripped_s < start_s + SECONDS_PER_DAY
                    and len(gone) < self._gain_v.shape[1]
                ):
                    self._renew_string(s, visit_s, tripped_s)

    def _renew_string(
        self, s: int, earliest_s: int, found_s: int, cause: int = crew.THERMAL_TRIP
    ) -> None:
        """Plan new units for a whole string; it stays off from a visit on, or for the work."""
        jars = tuple(
            j
            for j in range(self._gain_v.shape[1])
            if (s, j) not in self._pending or self._pending[s, j].off_s > found_s
        )
        after_s = max(earliest_s, found_s + _WORK_S)
        at_s = self._work_s(s, jars, after_s, None)
        off_s = at_s - _WORK_S
        if cause == crew.THERMAL_TRIP:
            off_s = min(off_s, after_s)
        for j in jars:
            planned = self._pending.get((s, j))
            why, since_s = cause, found_s
            if planned is not None and cause == crew.STRING_RENEWAL:
                why, since_s = planned.cause, planned.found_s
            self._pending[s, j] = Swap(s, j, at_s, off_s, since_s, why, 0)

    def _work_s(self, s: int, jars: tuple[int, ...], earliest_s: int, draw: float | None) -> int:
        """First hour at or after an instant at which units can be changed.

        On a working day in working hours, if `draw` says at which of them to begin with; else at
        any hour but midnight, between the days. Neither an outage, a test, an equalising charge nor
        work on another string of the system lies in the hour of the work and the one after.
        """
        offset_s = self._model.grid.utc_offset_s
        if draw is not None:
            day = local_day(self._model.grid, earliest_s)
            at_s = _hour_s(self._model, day, draw)
            at_s += SECONDS_PER_DAY if at_s < earliest_s else 0
        else:
            at_s = -(-(earliest_s + offset_s) // SECONDS_PER_HOUR) * SECONDS_PER_HOUR - offset_s
        low, high = params.WORK_FIRST_HOUR.value, params.WORK_LAST_HOUR.value + 1
        for _ in range(_MOST_TRIES):
            hour = (at_s + offset_s) % SECONDS_PER_DAY // SECONDS_PER_HOUR
            weekday = day_date(local_day(self._model.grid, at_s)).weekday()
            works = hour > 0 if draw is None else low <= hour <= high and weekday < 5
            if works and self._is_free(s, jars, at_s):
                break
            at_s += SECONDS_PER_HOUR
        return at_s

    def _is_free(self, s: int, jars: tuple[int, ...], at_s: int) -> bool:
        off_s, until_s = at_s - _WORK_S, at_s + SECONDS_PER_HOUR
        if ((self._busy[:, 0] < until_s) & (self._busy[:, 1] > off_s)).any():
            return False
        day = local_day(self._model.grid, at_s)
        for w in self.planned:
            if w.string != s and w.off_s < at_s and w.at_s > off_s:
                return False
            fixed = w.cause == crew.INJECTED or w.number > 0
            if fixed and w.string == s and w.jar in jars and _on(self._model, w, day):
                return False
        return True


_DAY = SECONDS_PER_DAY
_CORRECTIVE_S = (
    int(params.CORRECTIVE_SOONEST.value * _DAY),
    int(params.CORRECTIVE_LATEST.value * _DAY),
)
_DELAYS_S = {
    crew.HIGH_RESISTANCE: _CORRECTIVE_S,
    crew.VOLTAGE_DEVIATION: _CORRECTIVE_S,
    crew.IMPEDANCE: _CORRECTIVE_S,
    crew.INTERNAL_SHORT: (
        int(params.VISIT_SOONEST.value * SECONDS_PER_HOUR),
        int(params.VISIT_LATEST.value * SECONDS_PER_HOUR),
    ),
    crew.CAPACITY_TEST: (
        int(params.RENEWAL_SOONEST.value * _DAY),
        int(params.RENEWAL_LATEST.value * _DAY),
    ),
}
"""From a finding to its work, at least and at most [s]."""


def _on(model: SystemModel, swap: Swap, day: int) -> bool:
    return local_day(model.grid, swap.at_s) == day


def _injected(model: SystemModel) -> Iterator[Swap]:
    """Replacements that are asked for."""
    for event in model.scenario.injections:
        if event.kind != "replacement":
            continue
        for s, string in enumerate(model.system.strings):
            if event.target in string.jar_ids:
                j = string.jar_ids.index(event.target)
                at_s = event.start_s
                yield Swap(s, j, at_s, at_s - _WORK_S, at_s - _WORK_S, crew.INJECTED, 0)


def _monitor(model: SystemModel) -> tuple[Floats, Floats, NDArray[np.uint64]]:
    """Gain of voltage, offset of temperature [K] and noise keys of each jar's channels."""
    errors = float(model.scenario.sensor_errors)
    ids = [string.jar_ids for string in model.system.strings]

    def fixed(number: int, sigma: float) -> Floats:
        return np.array(
            [
                [
                    errors * sensors.fixed_error(model.seed, Stream.JAR_SENSOR, jar, number, sigma)
                    for jar in jars
                ]
                for jars in ids
            ]
        )

    return (
        1.0 + fixed(0, params.JAR_VOLTAGE_GAIN.value),
        fixed(1, params.JAR_TEMPERATURE_OFFSET.value),
        np.stack([rng.keys(model.seed, Stream.JAR_NOISE, jars) for jars in ids]),
    )
