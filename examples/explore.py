"""A first look at a data set: its tables, a healthy jar beside the weakest, an outage close up.

    python examples/explore.py URL [PICTURE.png]

URL is a directory or s3://. The truth chooses what is shown. The picture needs matplotlib, which
`pip install fleetgen[examples]` brings; without it the text is all there is.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from typing import NamedTuple

import pandas as pd
import pyarrow.compute as pc

import fleetgen
from fleetgen.errors import FleetgenError
from fleetgen.loading import DataSet

SHOWN = {
    "v_deviation_median": "voltage against its string's median [V]",
    "t_mean": "temperature [°C]",
    "r_internal_baseline_pct": "resistance, % of that at acceptance",
}
"""Hourly features that are drawn of a jar."""

BEFORE, AFTER = pd.Timedelta(minutes=15), pd.Timedelta(hours=1)

LONGEST_TEST = pd.Timedelta(days=1)
"""A capacity test, a full discharge, is over by then."""


class Outage(NamedTuple):
    """The samples around a string's longest discharge that is no test."""

    string_id: str
    start: pd.Timestamp
    end: pd.Timestamp
    string: pd.DataFrame
    jars: pd.DataFrame


def tell_tables(data: DataSet) -> None:
    """What there is and how large it is, from the manifest; no row is read."""
    print(f"{'table':28}{'rows':>14}{'columns':>9}{'files':>7}{'MB':>9}")
    for name in data.tables:
        each = data.table(name)
        rows, size = sum(f.rows for f in each.files), sum(f.bytes for f in each.files)
        print(f"{name:28}{rows:14,}{len(each.columns):9}{len(each.files):7}{size / 1e6:9.1f}")


def choose_jars(data: DataSet) -> pd.DataFrame:
    """The unit that ends with the least health, and that of its string with the most life left.

    A row for each, `healthy` first, with the truth of its last midnight.
    """
    truth = data.table("rul_truth").pandas().astype({"battery_id": str})
    if truth.empty:
        raise SystemExit("no midnight lies in the run, so there is no truth; make a longer one")
    from_the_start = truth.loc[truth["ts"] == truth["ts"].min(), "battery_id"]
    last = truth.groupby("battery_id", as_index=False).last()
    last = last[last["battery_id"].isin(from_the_start)]
    homes = data.table("battery", ["string_id"]).pandas().set_index("battery_id")["string_id"]
    last["string_id"] = last["battery_id"].map(homes)
    weakest = last.loc[last["soh_pct"].idxmin()]
    beside = last[last["string_id"] == weakest["string_id"]]
    life = beside["rul_days"].fillna(float("inf"))  # null: nothing ends it within 20 years
    return pd.DataFrame({"healthy": last.loc[life.idxmax()], "weakest": weakest}).T


def days_of(data: DataSet, battery_id: str) -> pd.DataFrame:
    """Daily means of a unit's features."""
    hours = data.table("feature_store", SHOWN, batteries=battery_id).pandas()
    # A window belongs to the day in which it began.
    days = (hours["feature_ts"] - pd.Timedelta(hours=1)).dt.normalize().rename("day")
    return hours.groupby(days)[[*SHOWN]].mean()


def find_outage(data: DataSet) -> Outage | None:
    """The longest discharge of a string that is neither self-test nor capacity test."""
    flow = data.table("telemetry_string_raw", ["mode", "generator_test_flag"]).dataset()
    # Only these rows are kept, however long the data set is.
    rows = flow.filter((pc.field("mode") == "discharge") & ~pc.field("generator_test_flag"))
    rows = rows.to_table(["ts", "string_id"]).to_pandas().astype({"string_id": str})
    work = data.table("maintenance_event").pandas()
    for test in work[work["event_type"] == "capacity_test"].itertuples():
        end = test.started_at + LONGEST_TEST
        rows = rows[
            (rows["string_id"] != test.string_id) | ~rows["ts"].between(test.started_at, end)
        ]
    if rows.empty:
        return None
    rows = rows.sort_values(["string_id", "ts"])
    gaps = rows.groupby("string_id")["ts"].diff()
    interval = sampling(data)
    runs = rows.groupby((gaps != interval).cumsum()).agg(
        string_id=("string_id", "first"), start=("ts", "first"), end=("ts", "last")
    )
    length = runs["end"] - runs["start"]
    string_id, start, end = runs.loc[length.idxmax()]
    span = {"strings": string_id, "start": start - BEFORE, "end": end + AFTER}
    string = data.table("telemetry_string_raw", ["voltage_v", "current_a"], **span).pandas()
    jars = data.table("telemetry_jar_raw", ["voltage_v"], **span).pandas()
    wide = jars.pivot(index="ts", columns="battery_id", values="voltage_v")
    return Outage(string_id, start, end + interval, string.set_index("ts"), wide)


def sampling(data: DataSet) -> pd.Timedelta:
    """Time between two samples."""
    first = data.table("rul_truth", []).pandas()["ts"].min()
    start = data.table("telemetry_env", [], start=first, end=first + pd.Timedelta(days=2)).pandas()
    instants = start["ts"].drop_duplicates().sort_values()
    if len(instants) < 2:
        raise SystemExit("two samples at least are needed; make a longer run")
    return instants.diff().iloc[1]


def tell(jars: pd.DataFrame, days: dict[str, pd.DataFrame], outage: Outage | None) -> None:
    """The same in words."""
    for role, jar in jars.iterrows():
        ends = f"{jar['rul_days']:.0f} d left" if pd.notna(jar["rul_days"]) else "over 20 a left"
        mode = jar["failure_mode"] if pd.notna(jar["failure_mode"]) else "no failure mode"
        print(f"\n{role}: {jar['battery_id']}, SOH {jar['soh_pct']:.1f} %, {ends}, {mode}")
        print(f"  {'':42}{'first day':>10}{'last day':>10}")
        for name, words in SHOWN.items():
            first, last = days[role][name].dropna().iloc[[0, -1]]
            print(f"  {words:42}{first:10.3f}{last:10.3f}")
    if outage is None:
        print("\nno outage in any sample")
        return
    during = outage.jars[(outage.jars.index >= outage.start) & (outage.jars.index < outage.end)]
    current, voltage = outage.string["current_a"].min(), outage.string["voltage_v"].min()
    print(f"\noutage: {outage.string_id}, {outage.start:%Y-%m-%d %H:%M} to {outage.end:%H:%M}")
    print(f"  deepest current {current:.1f} A, lowest string voltage {voltage:.1f} V")
    print(f"  lowest jar {during.min().idxmin()}, {during.min().min():.3f} V")


def draw(
    path: str, jars: pd.DataFrame, days: dict[str, pd.DataFrame], outage: Outage | None
) -> None:
    """A picture of both jars and, if there was one, of the outage."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    colours = {"healthy": "tab:blue", "weakest": "tab:red"}
    rows = len(SHOWN) if outage is None else len(SHOWN) + 2
    figure, axes = plt.subplots(rows, figsize=(9, 2.3 * rows), layout="constrained")
    for axis, (name, words) in zip(axes, SHOWN.items(), strict=False):
        for role, frame in days.items():
            axis.plot(frame.index, frame[name], ".-", color=colours[role], label=role)
        axis.set_title(words, loc="left", fontsize="medium")
    axes[0].legend(title=", ".join(jars["battery_id"]), ncols=2, fontsize="small")
    if outage is not None:
        weakest = outage.jars.min().idxmin()
        axes[-2].plot(outage.jars.index, outage.jars, color="0.8", linewidth=0.8)
        axes[-2].plot(outage.jars.index, outage.jars[weakest], color="tab:red")
        axes[-2].set_title(
            f"outage at {outage.string_id}: jars [V], {weakest} in red",
            loc="left",
            fontsize="medium",
        )
        axes[-1].plot(outage.string.index, outage.string["current_a"], color="tab:blue")
        axes[-1].set_title("string current [A]", loc="left", fontsize="medium")
        for axis in axes[-2:]:
            axis.axvspan(outage.start, outage.end, color="0.93")
    zone = days["weakest"].index.tz
    for axis in axes:
        locator = mpl.dates.AutoDateLocator(tz=zone)
        axis.xaxis.set_major_locator(locator)
        axis.xaxis.set_major_formatter(mpl.dates.ConciseDateFormatter(locator, tz=zone))
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=100)
    plt.close(figure)


def main(argv: Sequence[str] | None = None) -> None:
    """Tell, and draw where it can be drawn."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("url", metavar="URL", help="data set, a directory or s3://")
    parser.add_argument("picture", metavar="PICTURE.png", nargs="?", help="where the picture goes")
    parser.add_argument("--storage-option", metavar="NAME=VALUE", action="append", default=[])
    given = parser.parse_args(argv)
    data = fleetgen.open(given.url, given.storage_option)
    tell_tables(data)
    jars = choose_jars(data)
    days = {role: days_of(data, jar["battery_id"]) for role, jar in jars.iterrows()}
    outage = find_outage(data)
    tell(jars, days, outage)
    if given.picture and find_spec("matplotlib") is None:
        print("\nno picture: matplotlib is not installed; pip install matplotlib")
    elif given.picture:
        draw(given.picture, jars, days, outage)
        print(f"\npicture: {given.picture}")


if __name__ == "__main__":
    try:
        main()
    except FleetgenError as error:
        sys.exit(str(error))
