"""Train a model of remaining life on one seed's features, score it on another seed's.

    python examples/train_rul.py TRAIN TEST

TRAIN and TEST are data sets of the same fleet with different seeds, directories or s3:// (see
README.md here). The model sees daily means of the hourly features and each battery's age; labels
are joined by date. It needs scikit-learn: `pip install fleetgen[examples]`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.metrics import mean_squared_error, r2_score

import fleetgen
from fleetgen.errors import FleetgenError
from fleetgen.loading import DataSet

LONGEST_DAYS = 7305
"""A life that nothing ends within 20 years counts as this long."""

UNITS_IN_A_LEAF = 10
"""A leaf with the rows of so many batteries at least; one of fewer would know them by heart."""

MEASURED = [
    "r_internal_baseline_pct",
    "r_internal_latest",
    "v_balance_mean",
    "v_mean",
    "t_mean",
    "t_delta_ambient_mean",
    "time_above_float_max",
    "time_below_float_min",
]
FEATURES = ["age_years", *MEASURED]


def daily_features(data: DataSet) -> pd.DataFrame:
    """One row per battery and local day: means of its hours, and its age."""
    hours = data.table("feature_store", MEASURED).pandas()
    # A window belongs to the day in which it began.
    hours["day"] = (hours["feature_ts"] - pd.Timedelta(hours=1)).dt.normalize()
    days = hours.groupby(["battery_id", "day"], observed=True)[MEASURED].mean().reset_index()
    battery = data.table("battery", ["installed_date"]).pandas()
    installed = days["battery_id"].map(battery.set_index("battery_id")["installed_date"])
    age = days["day"].dt.tz_localize(None) - pd.to_datetime(installed)
    return days.assign(age_years=age.dt.days / 365.25)


def remaining_days(data: DataSet, days: pd.DataFrame) -> pd.Series:
    """True remaining life at the midnight with which each row's day begins; 0 once it has ended.

    Null on the day on which a unit came: at midnight it was not there.

    `battery_states.json` has it at the end of the run alone, and it falls by a day each day: that
    label on every row, as a plain merge would give, would be wrong by up to the run's length.
    """
    truth = data.table("rul_truth", ["rul_days"]).pandas().rename(columns={"ts": "day"})
    truth["left"] = truth["rul_days"].fillna(LONGEST_DAYS).clip(upper=LONGEST_DAYS)
    return days.merge(truth, "left", ["battery_id", "day"])["left"]


def labelled(data: DataSet) -> tuple[pd.DataFrame, pd.Series]:
    """Rows and labels of the units that are still alive."""
    days = daily_features(data)
    label = remaining_days(data, days)
    alive = label > 0
    return days[alive], label[alive]


def main(argv: Sequence[str] | None = None) -> None:
    """Train, predict, and tell the error beside that of a guess."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("train", metavar="TRAIN", help="data set to learn from")
    parser.add_argument("test", metavar="TEST", help="data set to judge by")
    parser.add_argument("--storage-option", metavar="NAME=VALUE", action="append", default=[])
    given = parser.parse_args(argv)
    train, test = (fleetgen.open(url, given.storage_option) for url in (given.train, given.test))
    seen, label = labelled(train)
    leaf = UNITS_IN_A_LEAF * seen["day"].nunique()
    model = HistGradientBoostingRegressor(min_samples_leaf=leaf, random_state=0)
    model.fit(seen[FEATURES], label)
    unseen, truth = labelled(test)
    found = model.predict(unseen[FEATURES])
    guess = np.full(len(truth), label.mean())
    print(f"rows            {len(label)} to learn from, {len(truth)} to judge by")
    print(f"RMSE, mean life {mean_squared_error(truth, guess) ** 0.5:.0f} d")
    print(f"RMSE, model     {mean_squared_error(truth, found) ** 0.5:.0f} d")
    print(f"R2, model       {(score := r2_score(truth, found)):.2f}")
    if score < 0:
        print("worse than the mean life: learn from longer runs, or from more jars")


if __name__ == "__main__":
    try:
        main()
    except FleetgenError as error:
        sys.exit(str(error))
