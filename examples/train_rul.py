"""Train a model of remaining life on one seed's features, score it on another seed's.

    python examples/train_rul.py TRAIN TEST

TRAIN and TEST are data sets of the same fleet with different seeds (see README.md here). The model
sees daily means of the hourly features and each battery's age; labels are joined by date. It needs
scikit-learn: `pip install fleetgen[examples]`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.metrics import mean_squared_error, r2_score

LONGEST_DAYS = 7305
"""A life that nothing ends within 20 years counts as this long."""

FEATURES = [
    "age_years",
    "r_internal_baseline_pct",
    "r_internal_latest",
    "v_balance_mean",
    "v_mean",
    "t_mean",
    "t_delta_ambient_mean",
    "time_above_float_max",
    "time_below_float_min",
]


def daily_features(place: Path) -> pd.DataFrame:
    """One row per battery and local day: means of its hours, and its age."""
    hours = pd.read_csv(place / "feature_store.csv.gz", parse_dates=["feature_ts"])
    # A window belongs to the day in which it began.
    hours["day"] = (hours["feature_ts"] - pd.Timedelta(hours=1)).dt.normalize()
    measured = [name for name in FEATURES if name in hours]
    days = hours.groupby(["battery_id", "day"])[measured].mean().reset_index()
    battery = pd.read_csv(place / "battery.csv", parse_dates=["installed_date"])
    days = days.merge(battery[["battery_id", "installed_date"]], on="battery_id")
    age = days["day"].dt.tz_localize(None) - days["installed_date"]
    days["age_years"] = age.dt.days / 365.25
    return days


def remaining_days(place: Path, days: pd.DataFrame) -> pd.Series:
    """True remaining life at the end of each row's day, by date; negative once it has ended.

    `battery_states.json` has it at the end of the run, and it falls by a day each day: a label of
    the end of the run on every row, as a plain merge would give, would be wrong by up to the
    run's length.
    """
    states = pd.DataFrame(json.loads((place / "battery_states.json").read_text())).T
    end = days["day"].max() + pd.Timedelta(days=1)
    left = pd.to_numeric(states["rul_days"]).fillna(LONGEST_DAYS)
    failed = pd.to_datetime(states["failure_date"]).dt.tz_localize(end.tz)
    left = left.mask(failed.notna(), (failed - end).dt.days)
    to_the_end = (end - days["day"]).dt.days - 1
    return np.minimum(days["battery_id"].map(left) + to_the_end, LONGEST_DAYS)


def labelled(place: Path) -> tuple[pd.DataFrame, pd.Series]:
    """Features and labels of the units that are still alive."""
    days = daily_features(place)
    label = remaining_days(place, days)
    alive = label > 0
    return days.loc[alive, FEATURES], label[alive]


def main(train: str, test: str) -> None:
    """Train, predict, and tell the error beside that of a guess."""
    features, label = labelled(Path(train))
    model = HistGradientBoostingRegressor(max_iter=150, min_samples_leaf=200, random_state=0)
    model.fit(features, label)
    unseen, truth = labelled(Path(test))
    found = model.predict(unseen)
    guess = np.full(len(truth), label.mean())
    print(f"rows            {len(label)} to learn from, {len(truth)} to judge by")
    print(f"RMSE, mean life {mean_squared_error(truth, guess) ** 0.5:.0f} d")
    print(f"RMSE, model     {mean_squared_error(truth, found) ** 0.5:.0f} d")
    print(f"R2, model       {r2_score(truth, found):.2f}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
