"""Rows 20 to 22 and 27: how fast jars age, what shows it, and how long they have."""

from __future__ import annotations

import math

import numpy as np
import polars as pl

from tests.fidelity.check import ANY, Check, both_known, correlation, median, quantile, slope
from tests.fidelity.data import DataSet

BOLTZMANN_EV_PER_K = 8.617e-5
YEAR_DAYS = 365.25

ACTIVATION_EV = 0.60
"""Middle of C&D and IEEE 1188/450 (section 4.1)."""

CLASSES = {
    "healthy": (85, (1.7, 2.3), (4, 6)),
    "accelerated": (12, (7, 9), (13, 17)),
    "failing": (3, (22, 28), (35, 45)),
}
"""Share [%], fall of SOH and rise of resistance [% of new per year]."""


def _jars(data: DataSet) -> pl.DataFrame:
    """Rates of each jar without failure mode while its SOH is above 80 %, and its conditions."""
    return data.frame(
        f"""
        SELECT battery_id, d.profile, temperature_compensated AS compensated, avg(t_c) AS t_c,
            -regr_slope(d.soh_pct, day) * {YEAR_DAYS} AS soh_pct_per_year,
            regr_slope(r25_mohm, day) * {YEAR_DAYS} / any_value(initial_resistance_mohm) * 100
                AS r_pct_per_year,
            avg(least(6, greatest(0.7, exp(10 * (v / 6 - 2.27 + 0.003 * (t_c - 25))))))
                FILTER (quiet) AS f_v,
            count(*) AS days
        FROM {data.jar_day} d JOIN battery USING (battery_id) JOIN location USING (location_id)
        WHERE sound AND d.soh_pct >= 80 GROUP BY ALL HAVING count(*) >= 20
        """
    )


def arrhenius(data: DataSet) -> list[Check]:
    """Row 20, across healthy jars: ln(rate of SOH / f_V) over 1 / T, within strings.

    Deviations from the string's mean are taken together by place in the cabinet: the temperature
    sensors' own offsets, half of what jars differ by, would flatten the slope.
    """
    jars = _jars(data).filter((pl.col("profile") == "healthy") & (pl.col("soh_pct_per_year") > 0))
    places = data.frame(
        """
        SELECT battery_id, string_id, kind, position_in_string
        FROM battery JOIN battery_system USING (system_id)
        """
    )
    inverse = 1 / (BOLTZMANN_EV_PER_K * (pl.col("t_c") + 273.15))
    rate = (pl.col("soh_pct_per_year") / pl.col("f_v")).log()
    groups = (
        jars.join(places, on="battery_id")
        .with_columns(inverse=inverse, rate=rate)
        .with_columns(
            pl.col(name) - pl.col(name).mean().over("string_id") for name in ("inverse", "rate")
        )
        .group_by("kind", "position_in_string")
        .agg(pl.col("inverse").mean(), pl.col("rate").mean())
    )
    return [
        Check(
            "20",
            "activation energy of ageing",
            -slope(groups["inverse"], groups["rate"]),
            0.52,
            0.70,
            "eV",
            "C&D, IEEE 1188/450",
            f"{len(jars)} healthy jars in {len(groups)} places",
        )
    ]


def rates(data: DataSet) -> list[Check]:
    """Row 21: rates on compensated float, brought to 25 degC.

    Medians, for jars that die slowly are watched longer.
    """
    inverse = 1 / 298.15 - 1 / (pl.col("t_c") + 273.15)
    faster = pl.col("f_v") * (ACTIVATION_EV / BOLTZMANN_EV_PER_K * inverse).exp()
    near = (
        _jars(data)
        .filter(pl.col("t_c").is_between(22, 30) & pl.col("compensated"))
        .with_columns(pl.col("soh_pct_per_year") / faster, pl.col("r_pct_per_year") / faster)
    )
    checks = []
    for name, (_, soh, resistance) in CLASSES.items():
        jars = near.filter(pl.col("profile") == name)
        for what, column, band in (
            ("fall of SOH", "soh_pct_per_year", soh),
            ("rise of resistance", "r_pct_per_year", resistance),
        ):
            value, basis = median(jars[column]), f"{len(jars)} jars"
            checks.append(Check("21", f"{name}: {what}", value, *band, "%/year", "design", basis))
    return checks


def shares(data: DataSet) -> list[Check]:
    """Row 21: shares of the profiles among the units in service at the start."""
    first = [s["profile"] for key, s in data.states.items() if "-R" not in key.split("-J")[-1]]
    return [
        Check(
            "21",
            f"{name}: share",
            100 * first.count(name) / len(first),
            share_pct - 2,
            share_pct + 2,
            "%",
            "design",
            f"{len(first)} jars in service at the start",
        )
        for name, (share_pct, _, _) in CLASSES.items()
    ]


def resistance(data: DataSet) -> list[Check]:
    """Row 22: resistance over that of the acceptance test, against SOH."""
    last = data.frame(
        f"""
        SELECT arg_max(r25_mohm, day) / any_value(initial_resistance_mohm) AS ratio,
            arg_max(d.soh_pct, day) AS soh_pct
        FROM {data.jar_day} d JOIN battery USING (battery_id)
        WHERE r25_mohm IS NOT NULL AND d.soh_pct IS NOT NULL GROUP BY battery_id
        """
    )
    worn = data.frame(
        f"""
        SELECT median(r25_mohm / initial_resistance_mohm) AS ratio
        FROM {data.jar_day} d JOIN battery USING (battery_id)
        WHERE d.soh_pct BETWEEN 79 AND 81 GROUP BY battery_id
        """
    )
    return [
        Check(
            "22",
            "correlation of resistance and SOH over the fleet",
            correlation(last["ratio"], last["soh_pct"]),
            -0.95,
            -0.75,
            "1",
            "pectecth, Hioki 3554",
            f"{len(last)} jars",
        ),
        Check(
            "22",
            "rise of resistance at SOH 80 % +-1",
            100 * (median(worn["ratio"]) - 1),
            25,
            60,
            "%",
            "pectecth, Hioki 3554",
            f"{len(worn)} jars",
        ),
    ]


def remaining_life(short: DataSet, long: DataSet) -> list[Check]:
    """Row 27, from two runs of the same fleet, seed and start: `rul_days` at the end of each."""
    apart_days = long.days - short.days
    slopes, wrong = [], 0
    for key in sorted(short.states.keys() & long.states.keys()):
        before, after = short.states[key]["rul_days"], long.states[key]["rul_days"]
        lived = long.states[key]["calendar_age_days"] - short.states[key]["calendar_age_days"]
        stayed = abs(lived - apart_days) < 0.5  # until it was replaced
        if before is not None and after and stayed:
            slopes.append((after - before) / apart_days)
        wrong += (after == 0) != long.states[key]["failed"]
    off = np.abs(np.array(slopes) + 1)
    checks = [
        Check(
            "27",
            "fall of the remaining life per day, less 1: largest",
            float(off.max()) if off.size else math.nan,
            0,
            0.002,
            "d/d",
            "definition",
            f"{off.size} jars, {apart_days:.0f} days apart",
        ),
        Check(
            "27",
            "jars without remaining life that have not failed, or the reverse",
            wrong,
            0,
            0,
            "jars",
            "definition",
            f"{len(long.states)} jars",
        ),
        *_end_of_life(short, long),
    ]
    return checks


def _end_of_life(short: DataSet, long: DataSet) -> list[Check]:
    """When SOH fell to 80 %, against the remaining life told before."""
    crossed = long.frame(
        f"""
        SELECT battery_id, day - 1 + (before - 80) / (before - soh_pct) AS end_day FROM (
            SELECT battery_id, day, soh_pct,
                lag(soh_pct) OVER (PARTITION BY battery_id ORDER BY day) AS before
            FROM {long.jar_day} WHERE sound AND soh_pct IS NOT NULL)
        WHERE soh_pct < 80 AND before >= 80
        """
    )
    told_day = (short.span_s[0] + 7 * 3600) / 86_400 + short.days
    off = [
        abs(told_day + short.states[key]["rul_days"] - end_day)
        for key, end_day in crossed.iter_rows()
        if end_day > told_day and short.states.get(key, {}).get("rul_days") is not None
    ]
    return [
        Check(
            "27",
            "day on which SOH falls to 80 %, off the day told before",
            quantile(off, 0.95),
            0,
            1,
            "d",
            "definition",
            f"{len(off)} jars, 95 % quantile",
        )
    ]


def static_columns(data: DataSet) -> list[Check]:
    """Row 27: what the dimension tables alone say about the remaining life."""
    jars = data.frame(
        """
        SELECT rul_days, epoch(installed_date) AS installed, epoch(manufacture_date) AS made,
            initial_capacity_ah, initial_resistance_mohm, position_in_string,
            right(serial_number, 6)::DOUBLE AS serial, model_id, location_id
        FROM battery JOIN state USING (battery_id) WHERE rul_days IS NOT NULL
        """
    )
    known = jars.drop("rul_days").to_dummies(["model_id", "location_id"]).to_numpy()
    known = known.astype(np.float64)
    scaled = (known - known.mean(axis=0)) / np.maximum(known.std(axis=0), 1e-9)
    rank = jars["rul_days"].rank().to_numpy()
    rank = rank - rank.mean()
    design = np.column_stack([scaled, scaled[:, :6] ** 2])
    fitted = design @ np.linalg.lstsq(design, rank, rcond=None)[0]
    a, b = both_known(fitted, rank)
    return [
        Check(
            "27",
            "remaining life explained by the columns of battery.csv: share of variance",
            1 - float(((b - a) ** 2).sum() / (b**2).sum()),
            -ANY,
            0.6,
            "1",
            "no leak",
            f"{len(jars)} jars",
        )
    ]
