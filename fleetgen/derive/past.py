"""What predictions need of the past of a string's units, taken in hour by hour.

Hourly features become a value of each day, days a value of each week; weeks that lie back further
than any trend reaches are forgotten, so that memory is bounded whatever a run's length.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fleetgen.derive.features import FLOAT_SLOPE_MV_PER_K
from fleetgen.derive.rul import Constants, Evidence, constants, exponentials, predict
from fleetgen.schema import FEATURE_STORE, RUL_PREDICTION
from fleetgen.spec import NULL, Codes, Plain, RowGroup
from fleetgen.units import DAYS_PER_YEAR, SECONDS_PER_DAY

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Served = NDArray[np.bool_]

COLUMNS = (
    "feature_window_hours",
    "v_mean",
    "v_balance_mean",
    "t_mean",
    "r_internal_latest",
)
"""What predictions need of the feature store; the first column tells that there is a row."""

FIRST_DAYS = 3
"""Days of a unit before its first prediction: as many daily readings, two with a gap."""

WEEKS = 13
"""Weeks over which the growth's trend is taken."""

LEVEL_WEEKS = 4
"""Weeks of which the growth's present level is the median."""

DRIFT_WEEKS = 8
"""Weeks over which the trend of the voltage's deviation is taken."""

TREND_WEEKS = 4
"""Fewest weeks with readings that make a trend of the growth."""

_MONDAY = 4
"""1970-01-05 was one."""

_LN2 = 0.6931471805599453
LIFE_HALVES_K = 9.0
"""Rise of temperature that halves a life: 8.3 K in IEEE 1188, 10 K in C&D's manuals."""

LIFE_HALVES_V = 0.07
"""Voltage over the compensated one, per cell, that halves a life: GNB 92.30."""

REFERENCE_C = 25.0
RESISTANCE_PER_K = 0.006
"""Fall of resistance with temperature: of the electrolyte's conductivity."""

_MOST = 3.0
"""A day ages at most 8 times as fast as the reference, and at least an eighth."""


@dataclass(frozen=True)
class Unit:
    """What is known of a unit when it enters service.

    `installed_day` is its local day (days since 1970-01-01), `initial_mohm` and `initial_capacity`
    (over rated) are the acceptance test's readings.
    """

    battery_id: str
    installed_day: int
    initial_mohm: float
    initial_capacity: float


@dataclass(frozen=True)
class CapacityTest:
    """Result of a capacity test: `capacity` over rated, or, if `censored`, at least that."""

    battery_id: str
    ended_s: int
    capacity: float
    censored: bool


def medians(values: Floats) -> Floats:
    """Median along the last axis of what is not NaN; NaN where nothing is."""
    if values.shape[-1] == 0:
        return np.full(values.shape[:-1], np.nan)
    ordered = np.sort(values, axis=-1)
    known = np.count_nonzero(~np.isnan(values), axis=-1)
    low = np.maximum(known - 1, 0) // 2
    high = np.minimum(known // 2, np.maximum(known - 1, 0))
    pair = np.take_along_axis(ordered, np.stack([low, high], axis=-1), axis=-1)
    return 0.5 * (pair[..., 0] + pair[..., 1])


def theil_sen(values: Floats) -> Floats:
    """Median of the slopes between all pairs along the last axis, per step; NaN without a pair.

    Sen, J. Amer. Statist. Assoc. 63 (1968) 1379: up to 29 % of the values may be anything.
    """
    first, second = np.triu_indices(values.shape[-1], 1)
    if first.size == 0:
        return np.full(values.shape[:-1], np.nan)
    return medians((values[..., second] - values[..., first]) / (second - first))


class Days(NamedTuple):
    """Daily values of a string's units, each (unit, day); NaN is unknown.

    Growth of resistance over the acceptance test's, at 25 degC; rate of ageing over that at 25 degC
    and nominal float; deviation of voltage from the string's mean [V]; and whether the unit was in
    service to the day's end (1) or not (0).
    """

    growth: Floats
    stress: Floats
    deviation_v: Floats
    in_service: Floats


def _no_days(units: int) -> Days:
    return Days._make(np.zeros((units, 0)) for _ in Days._fields)


def _middle(counts: Ints) -> Floats:
    """Median along the last axis of counts that are known, as float; NaN without any."""
    return medians(_known(counts))


def _known(counts: Ints) -> Floats:
    return np.where(counts == NULL, np.nan, counts.astype(np.float64))


def _mean(counts: Ints) -> Floats:
    """Mean along the last axis of counts that are known; NaN without any."""
    missing = counts == NULL
    number = np.count_nonzero(~missing, axis=-1)
    total = np.where(missing, 0, counts).sum(axis=-1)
    return np.where(number == 0, np.nan, total / np.maximum(number, 1))


def _unit(name: str) -> float:
    return float(FEATURE_STORE.column(name).per_unit)


class StringPast:
    """What predictions need of the past of a string's units: bounded, whatever a run's length.

    Parameters
    ----------
    units
        Those that are in service at some time of the run.
    cells
        2 V cells of a jar.
    float_v
        Nominal float voltage of a jar at 25 degC: the middle of the model's limits.
    utc_offset_s
        Of the fleet's local time.
    """

    def __init__(
        self, units: Sequence[Unit], cells: float, float_v: float, utc_offset_s: int
    ) -> None:
        self.units = tuple(units)
        self._cells, self._float_v, self._offset_s = cells, float_v, utc_offset_s
        n = len(self.units)
        self._initial_mohm = np.array([u.initial_mohm for u in self.units])[:, np.newaxis]
        self._installed = np.array([u.installed_day for u in self.units], np.float64)
        self._capacity = np.array([u.initial_capacity for u in self.units])
        self._reading = np.full(n, NULL)
        self._open_ts = np.zeros(0, np.int64)
        self._open = {name: np.zeros((n, 0), np.int64) for name in COLUMNS}
        self._week = _no_days(n)
        self._growth = np.full((n, WEEKS), np.nan)
        self._deviation = np.full((n, DRIFT_WEEKS), np.nan)
        self._stress_sum, self._stress_weeks = np.zeros(n), np.zeros(n)
        self._served = np.zeros(n, np.int64)
        self._test_day, self._test_capacity = np.full(n, np.nan), np.full(n, np.nan)
        self._test_censored = np.zeros(n)
        self._waiting: list[CapacityTest] = []

    def take(
        self,
        feature_ts: Ints,
        columns: Mapping[str, Ints],
        tests: Sequence[CapacityTest] = (),
        c: Constants | None = None,
    ) -> RowGroup | None:
        """Take in hours that follow on the last, and predict on each Monday that they reach.

        Parameters
        ----------
        feature_ts
            Ends of the windows [ms], (hour,), ascending.
        columns
            `COLUMNS` of the feature store as counts, each (unit, hour); NULL where a unit has no
            row.
        tests
            Capacity tests that ended in these hours; results of others wait for their time.
        c
            Constants other than the package's.

        Returns
        -------
        RowGroup or None
            Rows of `rul_prediction`, unit after unit for week after week; None without any.
        """
        self.expect(tests)
        weeks = [
            (monday, served, predict(known, c or constants()))
            for monday, served, known in self.weeks(feature_ts, columns)
        ]
        rows = [
            (u, monday, values)
            for monday, served, values in weeks
            for u in range(len(self.units))
            if served[u]
        ]
        if not rows:
            return None
        ids = tuple(unit.battery_id for unit in self.units)
        at_ms = [1000 * (monday * SECONDS_PER_DAY - self._offset_s) for _, monday, _ in rows]
        group: RowGroup = {
            "predicted_at": Plain(np.array(at_ms, np.int64)),
            "battery_id": Codes(np.array([u for u, _, _ in rows], np.uint16), ids),
        }
        for name in RUL_PREDICTION.names[2:]:
            group[name] = Plain(np.array([values[name][u] for u, _, values in rows], np.int64))
        return group

    def expect(self, tests: Iterable[CapacityTest]) -> None:
        """Take in each test's result when its time has come."""
        self._waiting.extend(tests)

    def weeks(
        self, feature_ts: Ints, columns: Mapping[str, Ints]
    ) -> list[tuple[int, Served, Evidence]]:
        """Mondays that hours reach: local day, which units a prediction is made of, evidence."""
        first_day, days = self.days(feature_ts, columns)
        return self.mondays(first_day, days)

    def days(self, feature_ts: Ints, columns: Mapping[str, Ints]) -> tuple[int, Days]:
        """Local day of the first of the days that hours complete, and their values."""
        stamps = np.concatenate([self._open_ts, feature_ts])
        counts = {n: np.concatenate([self._open[n], columns[n]], axis=1) for n in COLUMNS}
        local_s = stamps // 1000 + self._offset_s
        day_of = (local_s - 1) // SECONDS_PER_DAY  # an hour that ends at midnight is the day's last
        whole = len(stamps) if len(stamps) and local_s[-1] % SECONDS_PER_DAY == 0 else 0
        if not whole and len(stamps):
            whole = int(np.searchsorted(day_of, day_of[-1]))
        self._open_ts = stamps[whole:]
        self._open = {n: a[:, whole:] for n, a in counts.items()}
        if not whole:
            return 0, _no_days(len(self.units))
        first = int(day_of[0])
        bounds = np.searchsorted(day_of[:whole], np.arange(first, int(day_of[whole - 1]) + 2))
        parts = [
            self._day({n: a[:, i:j] for n, a in counts.items()}) if i < j else self._silent_day()
            for i, j in pairwise(bounds.tolist())
        ]
        return first, Days._make(np.stack(each, axis=1) for each in zip(*parts, strict=True))

    def _day(self, hours: dict[str, Ints]) -> Days:
        """Values of a day, each (unit,)."""
        mohm, degrees = self._new_reading(hours["r_internal_latest"], hours["t_mean"])
        at_25 = mohm / (1.0 - RESISTANCE_PER_K * (degrees - REFERENCE_C))
        mean_c = _mean(hours["t_mean"]) / _unit("t_mean")
        cell_v = _middle(hours["v_mean"]) / _unit("v_mean") / self._cells
        warmer = mean_c - REFERENCE_C
        nominal = (self._float_v - FLOAT_SLOPE_MV_PER_K / 1000.0 * warmer) / self._cells
        power = warmer / LIFE_HALVES_K + (cell_v - nominal) / LIFE_HALVES_V
        there = hours["feature_window_hours"] != NULL
        return Days(
            at_25 / self._initial_mohm[:, 0] - 1.0,
            exponentials(_LN2 * np.minimum(np.maximum(power, -_MOST), _MOST)),
            _middle(hours["v_balance_mean"]) / _unit("v_balance_mean"),
            there[:, -1].astype(np.float64),
        )

    def _silent_day(self) -> Days:
        nothing = np.full(len(self.units), np.nan)
        return Days(nothing, nothing, nothing, np.zeros(len(self.units)))

    def _new_reading(self, readings: Ints, degrees: Ints) -> tuple[Floats, Floats]:
        """The day's new reading [mOhm] and the jar's temperature then, (unit,); NaN without one.

        A reading is held until the next: it is new when the count changes.
        """
        held = np.concatenate([self._reading[:, np.newaxis], readings], axis=1)
        at = np.where(held == NULL, 0, np.arange(held.shape[1]))
        held = np.take_along_axis(held, np.maximum.accumulate(at, axis=1), axis=1)
        before, self._reading = held[:, :-1], held[:, -1]
        new = (readings != NULL) & (readings != before) & (before != NULL) & (degrees != NULL)
        any_new = new.any(axis=1)
        last = np.where(any_new, new.shape[1] - 1 - np.argmax(new[:, ::-1], axis=1), 0)
        row = np.arange(len(self.units))
        mohm = readings[row, last] / _unit("r_internal_latest")
        celsius = degrees[row, last] / _unit("t_mean")
        return np.where(any_new, mohm, np.nan), np.where(any_new, celsius, np.nan)

    def mondays(self, first_day: int, days: Days) -> list[tuple[int, Served, Evidence]]:
        """Close the weeks that end within `days`, the first of which is local day `first_day`."""
        found = []
        for d in range(days.growth.shape[1]):
            today = Days._make(a[:, d : d + 1] for a in days)
            self._week = Days._make(
                np.concatenate(pair, axis=1) for pair in zip(self._week, today, strict=True)
            )
            self._served += today.in_service[:, 0] > 0.0
            monday = first_day + d + 1
            if monday % 7 == _MONDAY:
                found.append(self._close_week(monday))
        return found

    def _close_week(self, monday: int) -> tuple[int, Served, Evidence]:
        week = self._week
        self._week = Days._make(a[:, :0] for a in week)

        def push(kept: Floats, value: Floats) -> Floats:
            return np.concatenate([kept[:, 1:], value[:, np.newaxis]], axis=1)

        self._growth = push(self._growth, medians(week.growth))
        self._deviation = push(self._deviation, medians(week.deviation_v))
        stress = medians(week.stress)
        known = ~np.isnan(stress)
        self._stress_sum = self._stress_sum + np.where(known, stress, 0.0)
        self._stress_weeks = self._stress_weeks + known
        self._take_tests(monday)
        weeks_per_year = DAYS_PER_YEAR / 7.0
        recent = ~np.isnan(self._growth[:, -LEVEL_WEEKS:])
        back = np.zeros(len(self.units))
        for week_back in range(LEVEL_WEEKS):
            back = back + week_back * recent[:, -1 - week_back]
        lag = (back / np.maximum(np.count_nonzero(recent, axis=1), 1) + 0.5) / weeks_per_year
        evidence = Evidence(
            age_years=(monday - self._installed) / DAYS_PER_YEAR,
            stress=np.where(
                self._stress_weeks > 0,
                self._stress_sum / np.maximum(self._stress_weeks, 1.0),
                np.nan,
            ),
            capacity=self._capacity,
            level=medians(self._growth[:, -LEVEL_WEEKS:]),
            lag_years=lag,
            trend=np.where(
                np.count_nonzero(~np.isnan(self._growth), axis=1) >= TREND_WEEKS,
                theil_sen(self._growth) * weeks_per_year,
                np.nan,
            ),
            deviation_v=medians(self._deviation[:, -2:]),
            drift_v=theil_sen(self._deviation) * weeks_per_year,
            test_capacity=self._test_capacity,
            test_age_years=(self._test_day - self._installed) / DAYS_PER_YEAR,
            test_censored=self._test_censored,
        )
        return monday, (week.in_service[:, -1] > 0.0) & (self._served >= FIRST_DAYS), evidence

    def _take_tests(self, monday: int) -> None:
        """Take in results that are there by local midnight of `monday`; the last one counts."""
        end_s = monday * SECONDS_PER_DAY - self._offset_s
        ids = [unit.battery_id for unit in self.units]
        for test in sorted(self._waiting, key=lambda t: t.ended_s):
            if test.ended_s <= end_s and test.battery_id in ids:
                u = ids.index(test.battery_id)
                day = (test.ended_s + self._offset_s) / SECONDS_PER_DAY
                for array, value in (
                    (self._test_day, day),
                    (self._test_capacity, test.capacity),
                    (self._test_censored, float(test.censored)),
                ):
                    array[u] = value
        self._waiting = [t for t in self._waiting if t.ended_s > end_s]
