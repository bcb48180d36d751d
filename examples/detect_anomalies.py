"""Find failing jars and lying sensors without labels, then hold the finds against the truth.

    python examples/detect_anomalies.py URL

URL is a directory or s3:// (see README.md here). Two detectors see the hourly features, which are
computed from measured data alone: robust z-scores of a jar against its string's median, and an
isolation forest on the same scores. What is usual they learn from other locations than the
one that they judge, of a single location from its other strings. The truth only counts the finds.
It needs scikit-learn: `pip install fleetgen[examples]`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score

import fleetgen
from fleetgen.errors import FleetgenError
from fleetgen.loading import DataSet

LASTING = ["v_deviation_median", "t_delta_ambient_mean", "r_internal_baseline_pct", "r_change_pct"]
"""Features in which an ailing jar leaves its string for good: a day counts by its median."""

MOMENTARY = ["v_mean", "v_std", "t_mean", "r_internal_latest"]
"""Features in which a bad sensor leaves it for hours: a day counts by its range and its step."""

WEEK_DAYS = 7

DETECTORS = ("resistance alone", "robust z", "isolation forest")
"""The first is what a maintenance manual says: reading over that at acceptance."""

SMALLEST = 1e-3
"""Added to a range, in its unit, so that one of nothing has a logarithm."""

FOUND, TIMES_CHANCE = 0.1, 2.0
"""A kind counts as found from this average precision on, if it is so many times chance."""


def daily(data: DataSet) -> pd.DataFrame:
    """Measured, by unit and local day: how it differs from its string's median of the same hour.

    `level` is the median of its hours, `gained` what was added since its first week, `range` and
    `step` how far it moved within the day and since the week before. No row looks ahead.
    """
    names = sorted({*LASTING, *MOMENTARY})
    hours = data.table("feature_store", names).pandas().astype({"battery_id": str})
    homes = data.table("battery", ["string_id", "location_id"]).pandas().set_index("battery_id")
    hours["string_id"] = hours["battery_id"].map(homes["string_id"].astype(str))
    # A window belongs to the day in which it began.
    hours["day"] = (hours["feature_ts"] - pd.Timedelta(hours=1)).dt.normalize()
    hours["missing"] = hours[["v_mean", "t_mean"]].isna().any(axis=1)
    hours["over acceptance"] = hours["r_internal_baseline_pct"]
    usual = hours.groupby(["string_id", "feature_ts"])[names].transform("median")
    hours[names] -= usual
    by_day = hours.groupby(["battery_id", "string_id", "day"])
    levels, most, least = (by_day[names].agg(how) for how in ("median", "max", "min"))
    days = by_day.agg({"missing": "sum", "over acceptance": "median"})
    of_unit = levels.groupby("battery_id")
    first = of_unit.transform(lambda x: x.iloc[:WEEK_DAYS].expanding().median()).groupby(
        "battery_id"
    )
    before = of_unit.transform(lambda x: x.rolling(WEEK_DAYS, 1).median().shift())
    days = days.join(levels[LASTING].add_suffix(" level"))
    days = days.join((levels - first.ffill())[LASTING].add_suffix(" gained"))
    days = days.join(np.log10(most - least + SMALLEST)[MOMENTARY].add_suffix(" range"))
    days = days.join((levels - before)[MOMENTARY].add_suffix(" step")).reset_index()
    days["location_id"] = days["battery_id"].map(homes["location_id"].astype(str))
    return days


def scored(days: pd.DataFrame) -> pd.DataFrame:
    """Scores of each row for both questions, by detectors that never saw its group.

    Raises
    ------
    SystemExit
        There is only one string, so nothing to learn from.
    """
    by = "location_id" if days["location_id"].nunique() > 1 else "string_id"
    if days[by].nunique() == 1:
        raise SystemExit("one string alone: there is no other to learn from; make two or more")
    columns = {
        "jar": [name for name in days if name.endswith((" level", " gained"))],
        "sensor": [name for name in days if name.endswith((" range", " step"))] + ["missing"],
    }
    judged = []
    for group in sorted(days[by].unique()):
        mine, others = days[days[by] == group].copy(), days[days[by] != group]
        for question, names in columns.items():
            centre = others[names].median()
            spread = 1.4826 * (others[names] - centre).abs().median()
            # What hardly ever moves, as missing hours, has no spread of this kind.
            spread = spread.where(spread > 0, others[names].std()).replace(0, 1).fillna(1)
            z = [((rows[names] - centre) / spread).fillna(0) for rows in (mine, others)]
            known, unknown = (np.sign(each) * np.log1p(each.abs()) for each in (z[1], z[0]))
            forest = IsolationForest(random_state=0).fit(known)
            # An ailing jar shows in many features, a bad sensor in one.
            strength = unknown.abs()
            total = strength.mean(axis=1) if question == "jar" else strength.max(axis=1)
            mine[f"{question}: robust z"] = total
            mine[f"{question}: isolation forest"] = -forest.score_samples(unknown)
            mine[f"{question}: resistance alone"] = mine["over acceptance"].fillna(0)
        judged.append(mine)
    rows = pd.concat(judged).sort_values(["battery_id", "day"], ignore_index=True)
    for name in DETECTORS:  # an ailing jar stays so: today and the days before
        past = rows.groupby("battery_id")[f"jar: {name}"]
        rows[f"jar: {name}"] = past.transform(lambda x: x.rolling(WEEK_DAYS, 1).median())
    return rows


def with_truth(data: DataSet, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with what was the matter: `jar` the failure mode, `sensor` the kind of its fault.

    A fault shorter than the time between two samples may leave nothing to be seen; only those with
    a sample in them count.
    """
    truth = data.table("rul_truth", ["failure_mode"]).pandas().astype({"battery_id": str})
    truth = truth.rename(columns={"ts": "day", "failure_mode": "jar"})
    rows = rows.merge(truth, "left", ["battery_id", "day"])
    faults = data.table("anomaly").pandas()
    faults = faults[faults["channel"].notna() | (faults["kind"] == "communication_loss")]
    start, step = sampling(data)
    past = (faults["start_ts"] - start).clip(lower=pd.Timedelta(0))
    first = start + -(-past // step) * step  # the first sample at or after its start
    seen = faults.assign(first=first)[first < faults["end_ts"]]
    last_day = rows["day"].max()
    marks = {}
    for each in seen.itertuples():
        until = min(each.end_ts, last_day + pd.Timedelta(days=1)) - pd.Timedelta(1, "ms")
        for day in pd.date_range(each.first.normalize(), until.normalize()):
            marks[each.entity_id, day] = each.kind
    position = rows["battery_id"].str.replace("-R[0-9]+$", "", regex=True)
    whole = list(zip(rows["string_id"], rows["day"], strict=True))
    alone = list(zip(position, rows["day"], strict=True))
    # Of a string's own channels only its silence is one of its jars.
    silent = {key for key, kind in marks.items() if kind == "communication_loss"}
    rows["sensor"] = [
        marks.get(jar) or ("communication_loss" if string in silent else None)
        for jar, string in zip(alone, whole, strict=True)
    ]
    return rows


def sampling(data: DataSet) -> tuple[pd.Timestamp, pd.Timedelta]:
    """The first sample, and the time between two."""
    first = data.table("rul_truth", []).pandas()["ts"].min()
    start = data.table("telemetry_env", [], start=first, end=first + pd.Timedelta(days=2)).pandas()
    instants = start["ts"].drop_duplicates().sort_values()
    if len(instants) < 2:
        raise SystemExit("two samples at least are needed; make a longer run")
    return instants.iloc[0], instants.iloc[1] - instants.iloc[0]


def judge(rows: pd.DataFrame, question: str) -> pd.DataFrame:
    """Average precision, and precision among as many as there are, of each detector."""
    true = rows[question].notna()
    found = {}
    for name in DETECTORS:
        score = rows[f"{question}: {name}"]
        top = score.sort_values(ascending=False, kind="stable").index[: true.sum()]
        found[name] = {
            "average precision": average_precision_score(true, score),
            "precision at k": true[top].mean(),
        }
    return pd.DataFrame(found).T


def by_kind(rows: pd.DataFrame, question: str, detector: str) -> pd.DataFrame:
    """How well a detector finds each kind among the sound rows, beside chance."""
    score, kinds = rows[f"{question}: {detector}"], rows[question]
    told = {}
    for kind in sorted(kinds.dropna().unique()):
        kept = kinds.isna() | (kinds == kind)
        true = kinds[kept] == kind
        told[kind] = {
            "jars": rows.loc[kinds == kind, "battery_id"].nunique(),
            "days": true.sum(),
            "average precision": average_precision_score(true, score[kept]),
            "chance": true.mean(),
        }
    return pd.DataFrame(told).T


def tell(rows: pd.DataFrame, question: str, words: str) -> None:
    """Print what was found, by which detector, and what was not."""
    true = rows[question].notna()
    jars = rows.loc[true, "battery_id"].nunique()
    print(f"\n{words}: {true.sum()} of {len(rows)} jar-days, {jars} jars")
    if not true.any():
        print("  nothing to find")
        return
    print(f"  {'':20}{'average precision':>18}{'precision at k':>16}   k = {true.sum()}")
    print(f"  {'chance':20}{true.mean():18.2f}{true.mean():16.2f}")
    found = judge(rows, question)
    for name, each in found.iterrows():
        print(f"  {name:20}{each.iloc[0]:18.2f}{each.iloc[1]:16.2f}")
    best = found.loc[list(DETECTORS[1:]), "average precision"].idxmax()
    print(f"  by kind, {best}:")
    for kind, each in by_kind(rows, question, best).iterrows():
        needed = max(FOUND, TIMES_CHANCE * each["chance"])
        verdict = "" if each["average precision"] >= needed else "   not found"
        print(
            f"  {kind:20}{each['average precision']:18.2f}{'chance':>10}{each['chance']:6.2f}"
            f"   {each['days']:.0f} days of {each['jars']:.0f} jars{verdict}"
        )


def main(argv: Sequence[str] | None = None) -> None:
    """Detect, then judge."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("url", metavar="URL", help="data set, a directory or s3://")
    parser.add_argument("--storage-option", metavar="NAME=VALUE", action="append", default=[])
    given = parser.parse_args(argv)
    data = fleetgen.open(given.url, given.storage_option)
    rows = with_truth(data, scored(daily(data)))
    tell(rows, "jar", "a failure mode under way")
    tell(rows, "sensor", "a sensor fault that a sample saw")


if __name__ == "__main__":
    try:
        main()
    except FleetgenError as error:
        sys.exit(str(error))
