"""Predictions of remaining life and splits made again from the files of a data set, plainly.

Nothing here imports the package: pandas reads the files, docs/rul.md says what is done with them,
and the constants are read as the numbers of a TOML file. Where the package has closed forms, this
takes densities of scipy.
"""

import hashlib
from datetime import timedelta
from math import exp, pi, sqrt

import numpy as np
import pandas as pd
from scipy import stats

from tests.recompute import HOUR_S, read

DAY_S, YEAR_D = 24 * HOUR_S, 365.25
WEEKS_A_YEAR = YEAR_D / 7
HORIZON_D = 7305


# --- evidence -------------------------------------------------------------------------------------


def known_median(values):
    """Median of what is known, NaN of nothing."""
    values = pd.Series(values, dtype=float).dropna()
    return values.median() if len(values) else np.nan


def slope(values, fewest):
    """Theil-Sen slope a year of weekly values, the last being this week's."""
    weeks = np.flatnonzero(~np.isnan(values))
    if len(weeks) < fewest:
        return np.nan
    return stats.theilslopes(np.asarray(values)[weeks], weeks).slope * WEEKS_A_YEAR


def days_of(unit, initial_mohm, model, offset_s):
    """Growth, rate of ageing and deviation of a unit by local day, from its hourly features."""
    unit = unit.sort_values("feature_ts")
    unit = unit.assign(day=(unit.feature_ts + offset_s - 1) // DAY_S)
    growth, last = {}, None
    for day, reading, degrees in zip(unit.day, unit.r_internal_latest, unit.t_mean, strict=True):
        if pd.isna(reading):
            continue
        if last is not None and reading != last and not pd.isna(degrees):
            at_25 = reading / 1000 / (1 - 0.006 * (degrees / 1000 - 25))
            growth[day] = at_25 / initial_mohm - 1
        last = reading
    nominal_v = (model.float_min_v + model.float_max_v) / 2
    rows = {}
    for day, hours in unit.groupby("day"):
        warm = hours.t_mean.astype(float).mean() / 1000
        excess = known_median(hours.v_mean) / 1e4 - (nominal_v - 0.018 * (warm - 25))
        power = (warm - 25) / 9 + excess / model.cells / 0.07
        rows[day] = {
            "growth": growth.get(day, np.nan),
            "stress": 2 ** min(max(power, -3), 3),
            "deviation": known_median(hours.v_balance_mean) / 1e4,
            "hours": set((hours.feature_ts + offset_s) % DAY_S),
        }
    return rows


def evidence(days, monday, first_monday, installed_day, capacity, test):
    """What is known of a unit on a Monday."""
    weekly = []
    for end in range(first_monday, monday + 1, 7):
        week = [days[d] for d in range(end - 7, end) if d in days]
        weekly.append(
            {
                name: known_median([d[name] for d in week])
                for name in ("growth", "stress", "deviation")
            }
        )
    column = {name: [week[name] for week in weekly] for name in weekly[0]}
    back = [n for n, value in enumerate(column["growth"][:-5:-1]) if not np.isnan(value)]
    found = {
        "age": (monday - installed_day) / YEAR_D,
        "stress": pd.Series(column["stress"]).mean(),
        "capacity": capacity,
        "level": known_median(column["growth"][-4:]),
        "lag": (np.mean(back) + 0.5) / WEEKS_A_YEAR if back else np.nan,
        "trend": slope(column["growth"][-13:], 4),
        "deviation": known_median(column["deviation"][-2:]),
        "drift": slope(column["deviation"][-8:], 2),
        "test": None,
    }
    if test is not None:
        found["test"] = (test[0] - installed_day) / YEAR_D, test[1], test[2]
    return found


# --- from evidence to a prediction ----------------------------------------------------------------


def classes(known, c):
    """Weight, end of life [d] and scale of its logistic distribution [d], of each class of pace."""
    reserve = max(0.02, 0.20 + c["capacity_weight"] * (known["capacity"] - 1))
    years = known["stress"] * max(0.0, known["age"] - known["lag"])
    found = []
    for pace, odds, kappa in zip(c["pace"], c["odds"], c["growth_per_loss"], strict=True):
        # Readings linear in the pace: (factor, reading, error).
        readings = [(years, known["level"], c["level_error"])]
        if known["test"] is not None and known["test"][0] > 0:
            test_age, capacity, censored = known["test"]
            reading = (
                known["stress"] * test_age / kappa,
                reserve + 0.80 - capacity,
                c["test_error"],
            )
            _, mean, _ = conditioned(pace, c["pace_spread"] * pace, readings)
            if not censored or mean * reading[0] > reading[1]:
                readings.append(reading)
        likelihood, mean, deviation = conditioned(pace, c["pace_spread"] * pace, readings)
        for *_, error in readings[1:]:  # of a test relative to the density at its mean
            likelihood *= sqrt(2 * pi) * error
        slow = max(mean, 0.2 * pace)
        life = YEAR_D * kappa * reserve / (slow * known["stress"])
        sigma = sqrt((life * deviation / slow) ** 2 + c["life_error"] ** 2)
        found.append((odds * likelihood, life - YEAR_D * known["age"], sigma * sqrt(3) / pi))
    whole = sum(weight for weight, *_ in found)
    return [(weight / whole, end, scale) for weight, end, scale in found]


def conditioned(mean, deviation, readings):
    """Density of readings f x + noise of a normal x, and its mean and deviation given them."""
    f, y, e = (np.array(each) for each in zip(*readings, strict=True))
    covariance = deviation**2 * np.outer(f, f) + np.diag(e**2)
    density = stats.multivariate_normal(mean * f, covariance).pdf(y)
    gain = deviation**2 * f @ np.linalg.inv(covariance)
    variance = deviation**2 * (1 - gain @ f)
    return density, mean + gain @ (y - mean * f), sqrt(variance)


def prediction(known, c):
    """Columns of a row of `rul_prediction`, not yet rounded; None where nothing can be said."""
    if np.isnan(known["level"]) or np.isnan(known["stress"]):
        return None
    deviation, drift, trend = (
        0.0 if np.isnan(known[name]) else known[name] for name in ("deviation", "drift", "trend")
    )
    outward = -drift if deviation < 0 else drift
    odds = c["failing"] + c["failing_trend"] * trend
    odds += c["failing_deviation"] * abs(deviation) + c["failing_drift"] * outward
    q = 1 / (1 + exp(-odds))
    worn = classes(known, c)
    hazard = c["hazard"] / YEAR_D * known["stress"]

    def alive(t):
        t = np.asarray(t, float)
        sound = sum(w * stats.logistic.sf(t, end, scale) for w, end, scale in worn)
        return (1 - q) * sound * np.exp(-hazard * t) + q * np.exp(-t / c["failing_days"])

    nodes = [0]
    while nodes[-1] < HORIZON_D:
        nodes.append(min(HORIZON_D, nodes[-1] + max(5, nodes[-1] // 32)))
    s = alive(nodes) / alive(0)
    # np.interp wants ascending abscissae; a survival falls.
    lower, upper = (
        float(HORIZON_D if s[-1] >= p else np.interp(-p, -s, nodes)) for p in (0.9, 0.1)
    )
    return {
        "rul_days": min(max(float(np.trapezoid(s, nodes)), lower), upper),
        "rul_lower_ci_days": lower,
        "rul_upper_ci_days": upper,
        "failure_probability_30d": 1 - alive(30) / alive(0),
        "failure_probability_90d": 1 - alive(90) / alive(0),
        "confidence_score": 1 - (upper - lower) / max(upper + lower, 1),
    }


def predictions(place, c, offset_s, end_s):
    """Rows of `rul_prediction` by local day and battery, in a run that ends at `end_s`."""
    battery = pd.read_csv(place / "battery.csv").set_index("battery_id")
    models = pd.read_csv(place / "battery_model.csv").set_index("model_id")
    features = read(
        place,
        "feature_store",
        {"r_internal_latest": 1000, "t_mean": 1000, "v_mean": 10_000, "v_balance_mean": 10_000},
    )
    tests = {}
    for path in sorted((place / "capacity_test_calc").rglob("*.parquet")):
        for row in pd.read_parquet(path, partitioning=None).itertuples():
            result = row.ended_at.timestamp(), row.capacity_pct / 100, row.capacity_censored
            tests.setdefault(row.battery_id, []).append(result)
    first_day = (int(features.feature_ts.min()) + offset_s - 1) // DAY_S
    first_monday = first_day + (4 - first_day - 1) % 7 + 1  # 1970-01-05 was a Monday
    whole_days = (end_s + offset_s) // DAY_S
    found = {}
    for unit, hours in features.groupby("battery_id"):
        model = models.loc[battery.model_id[unit]]
        installed = pd.Timestamp(battery.installed_date[unit])
        installed_day = (installed - pd.Timestamp(0)).days
        days = days_of(hours, battery.initial_resistance_mohm[unit], model, offset_s)
        capacity = battery.initial_capacity_ah[unit] / model.rated_capacity_ah
        for monday in range(first_monday, whole_days + 1, 7):
            served = [d for d, each in days.items() if d < monday and 0 in each["hours"]]
            if len(served) < 3 or monday - 1 not in served:
                continue
            over = [t for t in tests.get(unit, []) if t[0] + offset_s <= monday * DAY_S]
            last = max(over, default=None)
            test = last and ((last[0] + offset_s) / DAY_S, *last[1:])
            known = evidence(days, monday, first_monday, installed_day, capacity, test)
            found[monday, unit] = known, prediction(known, c)
    return found


# --- who learns and who judges --------------------------------------------------------------------

_WORD = 2**64


def draw(seed, entity, counter):
    """Uniform draw of the stream `split`: SHA-256 of what it is for, mixed with a counter."""
    digest = hashlib.sha256(f"{seed}\nsplit\n{entity}".encode()).digest()
    k0, k1 = (int.from_bytes(digest[n : n + 8], "little") for n in (0, 8))
    z = (counter * 0x9E3779B97F4A7C15 + k0) % _WORD
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % _WORD ^ k1
    z = (z ^ z >> 27) * 0x94D049BB133111EB % _WORD
    return ((z ^ z >> 31) // 2048 + 0.5) / 2**53


def sides(seed, members, group):
    """Each member's side: a fifth tests, a fifth validates, in the order of their draws."""
    drawn = sorted(members, key=lambda member: draw(seed, member, 0))
    found = {}
    for rank, member in enumerate(drawn):
        share = (rank + draw(seed, group, 1)) / len(drawn)
        found[member] = "test" if share < 0.2 else "validation" if share < 0.4 else "train"
    return found


def split(place, seed, days, start):
    """Rows of `split` by battery, of a run that starts at the local midnight `start`."""
    battery = pd.read_csv(place / "battery.csv")
    of_place = sides(seed, battery.location_id.unique(), "")
    of_string = {}
    for name, rows in battery.groupby("location_id"):
        of_string |= sides(seed, rows.string_id.unique(), name)
    until = [(start + timedelta(days * tenths // 10)).isoformat() for tenths in (7, 8)]
    return {
        row.battery_id: (
            *(row.string_id, row.location_id, of_string[row.string_id], of_place[row.location_id]),
            *until,
        )
        for row in battery.itertuples()
    }
