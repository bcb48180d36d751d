"""Rows 16 and 23: limits of the jars' voltage, and how often resistance is read."""

from __future__ import annotations

import math

import polars as pl

from tests.fidelity.check import ANY, Check, deviation
from tests.fidelity.data import DataSet


def voltage_limits(data: DataSet) -> list[Check]:
    """Row 16, on jars without failure mode: only samples beyond the limits are looked at singly."""
    sound = "battery_id IN (SELECT battery_id FROM state WHERE failure_mode IS NULL)"
    beyond = data.frame(
        f"""
        SELECT mode, count(*) FILTER (v < 11.5 OR v > 14.5) AS outside,
            count(*) FILTER (v < 10.4) AS below
        FROM (SELECT "string" AS string_id, t_s, voltage_v AS v FROM telemetry_jar_raw
              WHERE (voltage_v < 11.5 OR voltage_v > 14.5) AND {sound})
        JOIN telemetry_string_raw USING (string_id, t_s) GROUP BY mode
        """
    )
    samples = data.frame(
        f"""
        SELECT mode, sum(n * jars) AS n FROM (
            SELECT string_id, mode, count(*) AS n FROM telemetry_string_raw GROUP BY ALL)
        JOIN (SELECT string_id, count(*) AS jars FROM battery WHERE {sound} GROUP BY ALL)
            USING (string_id)
        WHERE mode IS NOT NULL GROUP BY mode
        """
    )
    on_battery = pl.col("mode") == "discharge"

    def inside_pct(found: pl.DataFrame, of: pl.DataFrame, column: str) -> float:
        n = of["n"].sum()
        return 100 * (1 - float(found[column].sum()) / float(n)) if n else math.nan

    charged = pl.col("mode").is_in(["float", "boost", "equalize"])
    at_rest, carrying = samples.filter(charged), samples.filter(on_battery)
    return [
        Check(
            "16",
            "samples of jars not on battery within 11.5 to 14.5 V",
            inside_pct(beyond.filter(charged), at_rest, "outside"),
            99.9,
            ANY,
            "%",
            "design",
            f"{at_rest['n'].sum():.0f} samples",
        ),
        Check(
            "16",
            "samples of jars on battery at 10.4 V or above",
            inside_pct(beyond.filter(on_battery), carrying, "below"),
            99.9,
            ANY,
            "%",
            "design",
            f"{carrying['n'].sum():.0f} samples",
        ),
    ]


def resistance_readings(data: DataSet) -> list[Check]:
    """Row 23: one reading a day, held; how well readings a week apart repeat."""
    one_pct = data.number(
        f"SELECT 100 * avg((r_mohm = r_low_mohm)::INT) FROM {data.jar_day} WHERE r_mohm IS NOT NULL"
    )
    pairs = data.frame(
        f"""
        SELECT ln(a.r25_mohm / b.r25_mohm) AS change
        FROM {data.jar_day} a JOIN {data.jar_day} b
            ON a.battery_id = b.battery_id AND b.day = a.day - 7
        WHERE a.sound AND a.day % 7 = 0
        """
    )
    return [
        Check(
            "23",
            "days on which a jar shows one resistance from 05:00 to midnight",
            one_pct,
            99,
            100,
            "%",
            "monitors: a reading a day, held",
            f"{data.number(f'SELECT count(*) FROM {data.jar_day}'):.0f} jar-days",
        ),
        Check(
            "23",
            "repeatability of readings a week apart",
            100 * deviation(pairs["change"]) / math.sqrt(2),
            0.7,
            2,
            "%",
            "monitors: 1 %",
            f"{len(pairs)} pairs",
        ),
    ]
