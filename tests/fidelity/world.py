"""Rows 24 to 26: grid outages, outdoor climate, contrasts between sites."""

from __future__ import annotations

import csv
import math
from datetime import date

import numpy as np
import polars as pl

from fleetgen.config import load
from fleetgen.model.climate import rain_days
from fleetgen.model.events import outages
from fleetgen.units import day_number
from tests.fidelity.check import ANY, Check
from tests.fidelity.data import DataSet
from tests.fidelity.laboratory import REFERENCES

UTC_OFFSET_S = 7 * 3600
RATES = {"northern": 4, "northeastern": 6, "central": 2, "eastern": 3, "southern": 8}
"""Outages per site-year by region."""

FRAILTY_SHAPE = 8
YEARS = range(2001, 2021)
SEEDS = 10
FIVE_AT_95_PCT = 2.57
"""Deviations within which five normal numbers lie together in 95 % of all cases."""


def grid_outages(seed: int) -> list[Check]:
    """Row 24: 200 site-years of each region, from the generator of events itself."""
    checks, over = [], []
    for region, rate in RATES.items():
        months = _outage_months(region, seed)
        yearly = months.sum(axis=1)
        site_years = len(yearly)
        variance = rate + rate**2 / FRAILTY_SHAPE
        margin = FIVE_AT_95_PCT * math.sqrt(variance / site_years)
        over.append(yearly.var(ddof=1) / variance)
        basis = f"{site_years} site-years"
        claim = f"outages a year, {region}"
        checks.append(
            Check(
                "24",
                claim,
                float(yearly.mean()),
                round(rate - margin, 2),
                round(rate + margin, 2),
                "1/year",
                "negative binomial, section 5.3; five regions in 95 %",
                basis,
            )
        )
        share_pct = 100 * months.sum(axis=0) / max(1, months.sum())
        if region in ("northern", "northeastern", "central"):
            rainy = float(share_pct[4:10].sum())
            claim = f"share of outages from May to October, {region}"
            checks.append(Check("24", claim, rainy, 60, 80, "%", "section 5.3", basis))
        if region == "southern":
            late = float(share_pct[9:].sum())
            claim = "share of outages from October to December, Gulf coast"
            checks.append(Check("24", claim, late, 30, ANY, "%", "section 5.3", basis))
    checks.append(
        Check(
            "24",
            "variance of yearly outages over that of the negative binomial (Poisson: 0.67)",
            float(np.mean(over)),
            0.8,
            1.25,
            "1",
            "section 5.3",
            f"{len(RATES)} regions",
        )
    )
    return checks


def _outage_months(region: str, seed: int) -> np.ndarray:
    """Outages that begin in each month, (site-year, 12), at the first site of a region."""
    sites = [s.location for s in load().to_fleet().sites if s.location.region == region]
    location = sites[0]
    counts = np.zeros((SEEDS, len(YEARS), 12))
    for n in range(SEEDS):
        for i, year in enumerate(YEARS):
            for month in range(1, 13):
                first = day_number(date(year, month, 1))
                end = day_number(date(year + month // 12, month % 12 + 1, 1))
                rain = rain_days(location, seed + n, first, end)
                found = outages(location, seed + n, year, month, rain, UTC_OFFSET_S)
                counts[n, i, month - 1] = len(found)
    return counts.reshape(-1, 12)


def normals() -> pl.DataFrame:
    with (REFERENCES / "climate_normals.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    return pl.DataFrame(
        {
            "climate": [r["station"] for r in rows],
            "month": [int(r["month"]) for r in rows],
            "normal_c": [float(r["mean_c"]) for r in rows],
            "normal_pct": [float(r["humidity_pct"]) for r in rows],
        }
    )


def _months(data: DataSet) -> pl.DataFrame:
    """Outdoor means by site and calendar month."""
    return data.frame(
        """
        SELECT location_id, climate, region, city, month, avg(c) AS mean_c, avg(pct) AS mean_pct
        FROM (SELECT "location" AS location_id, outdoor_temperature_c AS c,
                outdoor_humidity_pct AS pct,
                month(DATE '1970-01-01' + (local_ms // 86400000)::INT) AS month
              FROM telemetry_env)
        JOIN location USING (location_id) GROUP BY ALL ORDER BY location_id, month
        """
    )


def climate(data: DataSet) -> list[Check]:
    """Row 25, over a year: a month of one year is no normal, so the deviations are taken together.

    The monthly mean of one year deviates by 0.4 (south) to 1.1 K (winter in the north).
    """
    months = _months(data).with_columns(pl.col("month").cast(pl.Int64))
    both = months.join(normals(), on=["climate", "month"])
    off_c = (both["mean_c"] - both["normal_c"]).to_numpy()
    off_pct = (both["mean_pct"] - both["normal_pct"]).to_numpy()
    basis = f"{len(both)} site-months"
    hours = data.frame(
        """
        SELECT "location" AS location_id, (local_ms % 86400000) // 60000 / 60 AS hour,
            avg(outdoor_temperature_c) AS c FROM telemetry_env
        WHERE (local_ms % 86400000) % 1800000 = 0 GROUP BY ALL
        """
    )
    hottest = hours.sort("c").group_by("location_id").last()["hour"].to_numpy()
    outside = float(np.sum((hottest < 13) | (hottest > 16)))
    yearly = months.group_by("month").agg(pl.col("mean_c").mean()).sort("mean_c")
    source = "normals of section 5.1"
    return [
        Check(
            "25",
            "monthly mean outdoors off the normals, RMS",
            _rms(off_c),
            0,
            0.8,
            "K",
            source,
            basis,
        ),
        Check("25", "the same, humidity", _rms(off_pct), 0, 6, "points", source, basis),
        Check(
            "25",
            "sites whose hottest hour is not within 13 to 16",
            outside,
            0,
            0,
            "sites",
            source,
            f"{len(hottest)} sites",
        ),
        Check(
            "25",
            "warmest month, mean of the sites",
            float(yearly["month"][-1]),
            3,
            5,
            "month",
            source,
            f"{len(hottest)} sites",
        ),
    ]


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2))) if values.size else math.nan


def contrasts(data: DataSet) -> list[Check]:
    """Row 26, over a year."""
    sites = (
        _months(data)
        .group_by("location_id", "climate", "region")
        .agg(pl.col("mean_c").mean(), pl.col("mean_pct").mean())
    )
    fleet_c = sites["mean_c"].mean()

    def mean_of(column: str, name: str, values: list[str]) -> float:
        found = sites.filter(pl.col(name).is_in(values))[column]
        return float(found.mean()) if len(found) else math.nan

    north_pct = mean_of("mean_pct", "region", ["northern", "northeastern"])
    source, basis = "design", f"{len(sites)} sites"
    cool = mean_of("mean_c", "climate", ["chiang-mai"]) - fleet_c
    warm = mean_of("mean_c", "climate", ["bangkok"]) - fleet_c
    moist = mean_of("mean_pct", "region", ["southern"]) - north_pct
    return [
        Check("26", "Chiang Mai over the mean of the sites", cool, -2.5, -1, "K", source, basis),
        Check("26", "Bangkok over the mean of the sites", warm, 0.8, 2, "K", source, basis),
        Check("26", "humidity: south over north", moist, 8, 16, "points", source, basis),
    ]
