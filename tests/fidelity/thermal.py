"""Rows 18, 19 and 30: heat of a discharge, places in the cabinet, thermal runaway."""

from __future__ import annotations

import math

import polars as pl

from tests.fidelity.check import ANY, Check, correlation, mean, median
from tests.fidelity.data import DAY_MS, DataSet, Discharge
from tests.fidelity.electrical import FULL_CELL_V

HOUR_S = 3600
DAY_S = 86_400
THERMAL_K_PER_W = 1.1
"""Largest of a healthy jar: the middle of a shelf in a cabinet."""

CURRENT_PER_K = 0.06
"""The float current rises by 6 % per kelvin."""


def fast_heat(data: DataSet) -> list[Check]:
    """Row 18: a UPS string whose 12 to 40 min on battery at 0.9 C10 or more ended it."""
    rises_k = []
    for event in data.discharges:
        if event.kind == "UPS" and 720 <= event.length_s <= 2400 and event.rest_s >= DAY_S / 2:
            rate_per_h, lowest_v = data.load(event)
            if rate_per_h >= 0.9 and lowest_v <= FULL_CELL_V:
                rises_k.append(_rise_k(data, event))
    return [
        Check(
            "18",
            "warming in a full discharge of 12 to 40 min",
            median(rises_k),
            3,
            9,
            "K",
            "derived: 6.0 K in 20 min",
            f"{len(rises_k)} discharges, their median jar",
        )
    ]


def slow_heat(data: DataSet) -> list[Check]:
    """Row 18: 3 to 5.5 h on battery while the room stays as it is: capacity tests above all.

    Reversible cooling may outweigh the rest. Outages that stop the cooling, too, are left out.
    """
    rises_k = [
        _rise_k(data, event)
        for event in data.discharges
        if 10_800 <= event.length_s <= 19_800
        and event.rest_s >= DAY_S
        and abs(_room_rise_k(data, event)) < 1
    ]
    return [
        Check(
            "18",
            "warming in a discharge of 3 to 5.5 h",
            median(rises_k),
            -ANY,
            2,
            "K",
            "derived: 0.4 to 0.7 K in 4 h",
            f"{len(rises_k)} discharges, their median jar",
        )
    ]


def _room_rise_k(data: DataSet, event: Discharge) -> float:
    """Rise of the room from the half hour before a discharge to its last half hour."""
    before, after = (
        data.number(
            f"""
            SELECT avg(temperature_c) FROM telemetry_env JOIN strings ON location_id = "location"
            WHERE string_id = '{event.string_id}' AND t_s BETWEEN {end_s - 1800} AND {end_s}
            """
        )
        for end_s in (event.start_s, event.last_s)
    )
    return after - before


def _rise_k(data: DataSet, event: Discharge) -> float:
    """Rise of the median jar from ten minutes before a discharge to its end."""
    near_s = max(60, data.interval_s)
    means = data.jar_means(
        event.string_id,
        "temperature_c",
        {
            "before_c": (event.start_s - 600, event.start_s),
            "after_c": (event.last_s - near_s, event.last_s + near_s),
        },
    )
    return median(means["after_c"] - means["before_c"])


def places(data: DataSet) -> list[Check]:
    """Row 19, in UPS cabinets of four shelves of six: top middle over bottom ends."""
    jars = data.frame(
        f"""
        SELECT *, t_c - avg(t_c) OVER (PARTITION BY string_id, half) AS off_k FROM (
            SELECT battery_id, b.string_id, position_in_string, avg(t_c) AS t_c,
                day >= (SELECT median(day) FROM {data.jar_day} WHERE quiet) AS half
            FROM {data.jar_day} JOIN battery b USING (battery_id)
                JOIN battery_system USING (system_id) JOIN strings s ON s.string_id = b.string_id
            WHERE quiet AND sound AND kind = 'UPS' AND s.jars = 24 GROUP BY ALL)
        """
    )
    place = pl.col("position_in_string")
    top = jars.filter(place.is_between(20, 23)).group_by("string_id").agg(pl.col("off_k").mean())
    bottom = jars.filter(place.is_in([1, 6])).group_by("string_id").agg(pl.col("off_k").mean())
    both = top.join(bottom, on="string_id", suffix="_bottom")
    halves = jars.filter("half").join(
        jars.filter(~pl.col("half")), on="battery_id", suffix="_before"
    )
    return [
        Check(
            "19",
            "top middle jars over bottom end jars",
            mean(both["off_k"] - both["off_k_bottom"]),
            0.5,
            2.5,
            "K",
            "assumed",
            f"{len(both)} UPS strings",
        ),
        Check(
            "19",
            "correlation of a jar's excess over its string in both halves of the run",
            correlation(halves["off_k"], halves["off_k_before"]),
            0.8,
            ANY,
            "1",
            "assumed: a constant fingerprint",
            f"{len(halves)} jars",
        ),
    ]


def runaway(data: DataSet) -> list[Check]:
    """Row 30: how often."""
    labelled = data.number(
        "SELECT count(*) FROM state WHERE failure_mode = 'thermal_runaway' AND failed"
    )
    return [
        Check(
            "30",
            "jars lost to thermal runaway",
            100 * labelled / len(data.states) * 365.25 / data.days,
            0,
            0.5,
            "% a year",
            "heat balance, section 3.3",
            f"{len(data.states)} jars, {data.days:.0f} days",
        )
    ]


def fold(data: DataSet) -> list[Check]:
    """Row 30: whether the heat balance of a tripped string allowed for it."""
    tripped = data.frame(
        f"""
        SELECT "string" AS string_id, min(local_ms) // {DAY_MS} AS day FROM telemetry_string_raw
        JOIN (SELECT DISTINCT string_id AS "string" FROM state JOIN battery USING (battery_id)
            WHERE failure_mode = 'thermal_runaway') USING ("string")
        WHERE mode = 'idle' AND NOT EXISTS (
            SELECT 1 FROM maintenance_event e WHERE e.string_id = "string"
            AND e.event_type = 'replacement' AND t_s >= epoch_ms(e.started_at) // 1000
            AND t_s < epoch_ms(coalesce(e.completed_at, e.started_at + INTERVAL 1 HOUR)) // 1000)
        GROUP BY ALL
        """
    )
    criteria = [_criterion(data, *row) for row in tripped.iter_rows()]
    return [
        Check(
            "30",
            "e x 0.06/K x R_th x V x I0' before a trip",
            min(criteria, default=math.nan),
            0.7,
            ANY,
            "1",
            "heat balance, section 3.3",
            f"{len(criteria)} strings, the least",
        )
    ]


def _criterion(data: DataSet, string_id: str, day: int) -> float:
    """Largest e c R V I0' of the hours from two days before a trip to the end of its day."""
    days = f"""local_ms // {DAY_MS} BETWEEN {day - 2} AND {day}"""
    return data.number(
        f"""
        WITH string_hour AS (
            SELECT t_s // {HOUR_S} AS hour, avg(voltage_v) / any_value(jars) AS v,
                avg(coalesce(float_current_a, current_a)) AS current_a
            FROM telemetry_string_raw JOIN strings USING (string_id)
            WHERE "string" = '{string_id}' AND mode = 'float' AND {days} GROUP BY ALL),
        jar_hour AS (
            SELECT t_s // {HOUR_S} AS hour, max(temperature_c) AS jar_c FROM telemetry_jar_raw
            WHERE "string" = '{string_id}' AND {days} GROUP BY ALL),
        room_hour AS (
            SELECT t_s // {HOUR_S} AS hour, avg(temperature_c) AS room_c FROM telemetry_env
            JOIN strings ON location_id = "location"
            WHERE string_id = '{string_id}' AND {days} GROUP BY ALL)
        SELECT max({math.e * CURRENT_PER_K * THERMAL_K_PER_W} * v * current_a
            * exp(-{CURRENT_PER_K} * (jar_c - room_c)))
        FROM string_hour JOIN jar_hour USING (hour) JOIN room_hour USING (hour)
        """
    )
