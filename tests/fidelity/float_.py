"""Rows 11 and 12: strings on float, settled for two days."""

from __future__ import annotations

import polars as pl

from tests.fidelity.check import ANY, Check, correlation, mean, median, slope
from tests.fidelity.data import DataSet

BLOCK_DAYS = 30
"""A month, whatever the calendar says: short runs have none."""


def level(data: DataSet) -> list[Check]:
    """Row 11, on compensated sites: mean at 25 degC, and how it follows the temperature."""
    days = data.frame(
        f"""
        SELECT string_id, day, avg(v) AS v, avg(t_c) AS t_c, bool_and(sound) AS sound
        FROM {data.jar_day} JOIN strings USING (string_id) JOIN location USING (location_id)
        WHERE quiet AND temperature_compensated GROUP BY ALL ORDER BY string_id, day
        """
    ).with_columns(
        dv=pl.col("v").diff().over("string_id"),
        dt=pl.col("t_c").diff().over("string_id"),
        dd=pl.col("day").diff().over("string_id"),
    )
    at_25_v = (days["v"] + 0.018 * (days["t_c"] - 25)).to_numpy()
    next_days = days.filter(pl.col("dd") == 1)
    return [
        Check(
            "11",
            "jar voltage on float at 25 degC, compensated sites",
            mean(at_25_v),
            13.50,
            13.75,
            "V",
            "EnerSys HX, C&D",
            f"{len(days)} string-days",
        ),
        Check(
            "11",
            "jar voltage over temperature, from day to day",
            1000 * slope(next_days["dt"], next_days["dv"]),
            -21,
            -15,
            "mV/K",
            "EnerSys HX, C&D",
            f"{len(next_days)} pairs of days",
        ),
    ]


def _monthly(data: DataSet) -> pl.DataFrame:
    """Mean deviation of each sound jar from its string in each month on float [V]."""
    first_day = int(data.number(f"SELECT min(day) FROM {data.jar_day}"))
    return data.frame(
        f"""
        SELECT *, v - avg(v) OVER (PARTITION BY string_id, block) AS off_v,
            epoch(installed_date) / 86400 AS installed_day, FROM (
            SELECT battery_id, string_id, (day - {first_day}) // {BLOCK_DAYS} AS block, avg(v) AS v,
                min(day) AS first_day, count(*) AS days
            FROM {data.jar_day} WHERE quiet AND sound GROUP BY ALL)
        JOIN battery USING (battery_id, string_id) WHERE days >= 10
        """
    )


def spread(data: DataSet) -> list[Check]:
    """Row 12: how far jars of a string lie apart, by age, and whether they stay there."""
    months = _monthly(data)
    strings = _strings(months)
    settled = strings.filter(pl.col("age_days") > 2 * 365)
    pairs = months.join(
        months.with_columns(block=pl.col("block") + 1), on=["battery_id", "block"], suffix="_before"
    )
    return [
        Check(
            "12",
            "deviation between the jars of a settled string, monthly means",
            median(settled["spread_v"]),
            0.05,
            0.12,
            "V",
            SPREAD_SOURCE,
            f"{len(settled)} string-months older than 2 years",
        ),
        Check(
            "12",
            "correlation of a jar's deviation with that of the month before",
            correlation(pairs["off_v"], pairs["off_v_before"]),
            0.8,
            ANY,
            "1",
            SPREAD_SOURCE,
            f"{len(pairs)} jar-months",
        ),
    ]


def new_spread(data: DataSet) -> list[Check]:
    """Row 12, of new strings."""
    strings = _strings(_monthly(data))
    young = strings.filter(pl.col("age_days") < 182)
    return [
        Check(
            "12",
            "the same in the first half year",
            median(young["spread_v"]),
            0.12,
            0.25,
            "V",
            SPREAD_SOURCE,
            f"{len(young)} string-months",
        )
    ]


SPREAD_SOURCE = "EnerSys: 2 % of a jar, 5 % early in its life"


def _strings(months: pl.DataFrame) -> pl.DataFrame:
    """Deviation between the jars of each string in each month [V]."""
    strings = months.group_by("string_id", "block").agg(
        spread_v=pl.col("off_v").std(),
        age_days=(pl.col("first_day") - pl.col("installed_day")).median(),
        jars=pl.len(),
    )
    return strings.filter(pl.col("jars") >= 12)
