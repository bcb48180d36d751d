"""The past of a string's units against pandas and scipy, and what must not change it."""

import itertools
import pickle
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from fleetgen.derive import past
from fleetgen.schema import FEATURE_STORE, RUL_PREDICTION
from fleetgen.spec import NULL
from fleetgen.units import day_number

OFFSET_S = 7 * 3600
START = date(2025, 1, 1)  # a Wednesday
HOURS_A_WEEK = 168


def units(*ids, installed=date(2021, 1, 1)):
    return [past.Unit(each, day_number(installed), 4.0, 1.0) for each in ids]


def stamps(hours, start=START):
    first_ms = 1000 * (day_number(start) * 86_400 - OFFSET_S)
    return first_ms + 3_600_000 * np.arange(1, hours + 1)


def features(hours, jars=2, seed=1):
    """Counts as the feature store has them: readings at 03:00 that grow, with a noise."""
    draw = np.random.default_rng(seed)
    day = np.arange(hours) // 24
    late = np.arange(hours) % 24 >= 3
    at = np.where(late, day, day - 1)  # the reading that is held
    growth = 4000.0 * (1.15 + 0.10 * (at + 1) / 365.25)
    noise = draw.normal(0, 40, (jars, day[-1] + 2))
    reading = np.rint(growth + noise[:, at + 1]).astype(np.int64)
    return {
        "feature_window_hours": np.ones((jars, hours), np.int64),
        "v_mean": np.rint(draw.normal(136_300, 300, (jars, hours))).astype(np.int64),
        "v_balance_mean": np.rint(draw.normal(500, 200, (jars, hours))).astype(np.int64),
        "t_mean": np.rint(draw.normal(26_500, 700, (jars, hours))).astype(np.int64),
        "r_internal_latest": reading,
    }


def history(*ids, **kwargs):
    return past.StringPast(units(*(ids or ("A", "B")), **kwargs), 6.0, 13.65, OFFSET_S)


def rows(group):
    """Row group of predictions as a frame, nulls as NaN."""
    if group is None:
        return pd.DataFrame(columns=RUL_PREDICTION.names)
    codes = group["battery_id"]
    frame = {"battery_id": [codes.levels[code] for code in codes.codes]}
    for name in RUL_PREDICTION.names:
        if name != "battery_id":
            counts = group[name].counts
            frame[name] = np.where(counts == NULL, np.nan, counts.astype(float))
    return pd.DataFrame(frame)[list(RUL_PREDICTION.names)]


def taken(string, counts, cuts=(), start=START, first=0, **kwargs):
    """All predictions of hours taken in pieces that end at `cuts`."""
    hours = counts["v_mean"].shape[1]
    stamp = stamps(first + hours, start)[first:]
    edges = [0, *cuts, hours]
    parts = [
        rows(string.take(stamp[a:b], {n: c[:, a:b] for n, c in counts.items()}, **kwargs))
        for a, b in itertools.pairwise(edges)
    ]
    whole = [part for part in parts if len(part)]
    if not whole:
        return parts[0]
    return pd.concat(whole).sort_values(["battery_id", "predicted_at"], ignore_index=True)


def cut(counts, hours):
    return {name: values[:, :hours] for name, values in counts.items()}


def local(ms):
    return pd.to_datetime(ms, unit="ms") + pd.Timedelta(hours=7)


# --- statistics -----------------------------------------------------------------------------------


def test_medians_are_numpys():
    draw = np.random.default_rng(3)
    values = draw.normal(size=(50, 9))
    values[draw.random(values.shape) < 0.4] = np.nan
    values[0] = np.nan
    found = past.medians(values)
    assert np.isnan(found[0])
    np.testing.assert_array_equal(found[1:], np.nanmedian(values[1:], axis=1))
    assert np.isnan(past.medians(np.zeros((2, 0)))).all()


def test_trends_are_scipys():
    draw = np.random.default_rng(4)
    values = np.cumsum(draw.normal(size=(40, 13)), axis=1)
    values[draw.random(values.shape) < 0.3] = np.nan
    found = past.theil_sen(values)
    for series, slope in zip(values, found, strict=True):
        known = ~np.isnan(series)
        expected = stats.theilslopes(series[known], np.flatnonzero(known)).slope
        assert slope == pytest.approx(expected, rel=1e-12)


def test_a_trend_by_hand_survives_an_outlier():
    series = np.array([[1.0, 3.0, 5.0, 99.0, 9.0, 11.0]])
    assert past.theil_sen(series)[0] == 2.0
    assert np.isnan(past.theil_sen(np.array([[np.nan, 3.0, np.nan]]))[0])
    assert np.isnan(past.theil_sen(np.array([[3.0]]))[0])


# --- evidence -------------------------------------------------------------------------------------


def test_evidence_is_what_pandas_makes_of_the_features():
    """Twenty weeks, with gaps: every quantity again, from the columns alone."""
    hours = 20 * HOURS_A_WEEK
    counts = features(hours)
    draw = np.random.default_rng(8)
    for name in ("v_mean", "v_balance_mean", "t_mean", "r_internal_latest"):
        counts[name][1, draw.random(hours) < 0.2] = NULL
        counts[name][1, 900:1900] = NULL
    string = history("A", "B")
    found = string.weeks(stamps(hours), counts)
    day = np.arange(hours) // 24
    for u in range(2):
        column = {
            n: pd.Series(np.where(c[u] == NULL, np.nan, c[u].astype(float)))
            for n, c in counts.items()
        }
        held = column["r_internal_latest"].ffill()
        new = held.ne(held.shift()) & held.shift().notna() & held.notna()
        new &= column["r_internal_latest"].notna() & column["t_mean"].notna()
        warmer = column["t_mean"] / 1000 - 25
        growth = (held / 1000 / (1 - 0.006 * warmer) / 4.0 - 1)[new].groupby(day[new]).last()
        mean_k = warmer.groupby(day).mean()
        excess_v = (column["v_mean"].groupby(day).median() / 1e4 - 13.65 + 0.018 * mean_k) / 6
        daily = pd.DataFrame(
            {
                "growth": growth,
                "stress": 2 ** (mean_k / 9 + excess_v / 0.07),
                "deviation": column["v_balance_mean"].groupby(day).median() / 1e4,
            },
            index=range(day[-1] + 1),
        )
        week = np.where(daily.index < 5, 0, (daily.index - 5) // 7 + 1)
        weekly = daily.groupby(week).median().iloc[: len(found)]
        for w, (monday, served, known) in enumerate(found):
            assert local(1000 * (monday * 86_400 - OFFSET_S)).day_name() == "Monday"
            assert served[u]
            so_far = weekly.iloc[: w + 1]
            expected = {
                "age_years": (monday - day_number(date(2021, 1, 1))) / 365.25,
                "stress": so_far["stress"].mean(),
                "capacity": 1.0,
                "level": so_far["growth"][-4:].median(),
                "lag_years": (
                    np.mean(w - np.flatnonzero(so_far["growth"].notna())[-4:] + 0.5) * 7 / 365.25
                    if so_far["growth"][-4:].notna().all()
                    else known.lag_years[u]
                ),
                "trend": slope(so_far["growth"][-13:], 4),
                "deviation_v": so_far["deviation"][-2:].median(),
                "drift_v": slope(so_far["deviation"][-8:], 2),
            }
            for name, value in expected.items():
                assert getattr(known, name)[u] == pytest.approx(
                    value, rel=1e-9, abs=1e-12, nan_ok=True
                ), (name, w)


def slope(series, fewest):
    known = np.flatnonzero(series.notna())
    if len(known) < fewest:
        return np.nan
    return stats.theilslopes(series.to_numpy()[known], known).slope * 365.25 / 7


def test_a_days_reading_by_hand():
    """4.24 mOhm at 35 degC is 4.24 / 0.94 at 25 degC; a held reading is not a new one."""
    counts = cut(features(48, jars=1), 48)
    counts["r_internal_latest"][:] = 4100
    counts["r_internal_latest"][0, 27:] = 4240
    counts["t_mean"][0, 27] = 35_000
    counts["v_balance_mean"][0, :24] = 300
    first, days = history("A").days(stamps(48), counts)
    assert first == day_number(START)
    assert np.isnan(days.growth[0, 0])
    assert days.growth[0, 1] == pytest.approx(4.24 / 0.94 / 4.0 - 1, rel=1e-12)
    assert days.deviation_v[0, 0] == pytest.approx(0.03)
    assert days.in_service.tolist() == [[1.0, 1.0]]


def test_a_day_at_the_reference_ages_by_a_day():
    counts = features(24, jars=3)
    counts["t_mean"][:] = 25_000
    counts["v_mean"][:] = 136_500
    counts["t_mean"][1], counts["v_mean"][1] = 34_000, 136_500 - 9 * 180
    counts["v_mean"][2] += 4200
    stress = history("A", "B", "C").days(stamps(24), counts)[1].stress[:, 0]
    np.testing.assert_allclose(stress, [1, 2, 2], rtol=1e-12)


# --- weeks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "first"),
    [
        (date(2025, 1, 1), date(2025, 1, 6)),
        (date(2025, 1, 3), date(2025, 1, 6)),  # Friday: three days
        (date(2025, 1, 4), date(2025, 1, 13)),  # Saturday: two, and a week
        (date(2025, 1, 6), date(2025, 1, 13)),
    ],
)
def test_the_first_prediction_is_on_the_first_monday_after_three_days(start, first):
    found = taken(history(), features(15 * 24), start=start)
    days = [local(ms) for ms in sorted(set(found["predicted_at"]))]
    assert days[0] == pd.Timestamp(first)
    assert all(b - a == timedelta(days=7) for a, b in itertools.pairwise(days))
    assert found.groupby("predicted_at")["battery_id"].apply(list).tolist() == [["A", "B"]] * len(
        days
    )


@pytest.mark.parametrize("hours", [0, 1, 23, 24, 4 * 24, 5 * 24 - 1])
def test_less_than_a_week_predicts_nothing(hours):
    string = history()
    assert string.take(stamps(hours), cut(features(200), hours)) is None


def test_a_later_day_changes_nothing_earlier():
    counts = features(70 * 24)
    whole = taken(history(), counts)
    for days in (12, 30, 61):
        found = taken(history(), cut(counts, days * 24))
        end = 1000 * ((day_number(START) + days) * 86_400 - OFFSET_S)
        expected = whole[whole["predicted_at"] <= end].reset_index(drop=True)
        pd.testing.assert_frame_equal(found, expected)
        assert len(found)


@pytest.mark.parametrize(
    "cuts", [[24], [31 * 24, 59 * 24], list(range(1, 1400, 37)), [5 * 24, 5 * 24 + 1]]
)
def test_parts_may_be_cut_anywhere(cuts):
    counts = features(60 * 24)
    pd.testing.assert_frame_equal(taken(history(), counts, cuts), taken(history(), counts))


def test_a_jar_alone_is_as_among_others():
    counts = features(40 * 24, jars=3)
    whole = taken(history("A", "B", "C"), counts)
    alone = taken(history("B"), {n: c[1:2] for n, c in counts.items()})
    expected = whole[whole["battery_id"] == "B"].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone, expected)


def test_a_jar_without_any_reading_has_empty_predictions():
    counts = features(20 * 24)
    counts["r_internal_latest"][1] = NULL
    found = taken(history(), counts).set_index("battery_id")
    assert found.loc["A", "rul_days"].notna().all()
    empty = found.loc["B"].drop(columns="predicted_at")
    assert len(empty) == 3
    assert empty.isna().all(axis=None)


def test_dropouts_leave_a_prediction_until_four_weeks_are_silent():
    counts = features(12 * HOURS_A_WEEK)
    for name in past.COLUMNS[1:]:
        counts[name][1, 28 * 24 : 63 * 24] = NULL
    found = taken(history(), counts)
    silent = found[found["battery_id"] == "B"]
    gone = [local(ms).date() for ms in silent["predicted_at"][silent["rul_days"].isna()]]
    # Readings end on 28 January, a Tuesday, and begin again on 5 March, a Wednesday.
    assert gone == [date(2025, 3, 3)]
    assert found[found["battery_id"] == "A"]["rul_days"].notna().all()


def test_a_replaced_unit_begins_its_own_history():
    """What was before neither predicts for the new unit nor tells of it."""
    hours, change = 50 * 24, 17 * 24 + 10
    counts = features(hours, jars=1)
    both = {n: np.concatenate([c, c]) for n, c in counts.items()}
    for name in past.COLUMNS:
        both[name][0, change:] = NULL
        both[name][1, :change] = NULL
    new_day = date(2025, 1, 18)
    pair = [*units("J"), *units("J-R2", installed=new_day)]
    found = taken(past.StringPast(pair, 6.0, 13.65, OFFSET_S), both)
    old = [local(ms).date() for ms in found[found["battery_id"] == "J"]["predicted_at"]]
    new = found[found["battery_id"] == "J-R2"].reset_index(drop=True)
    assert old == [date(2025, 1, 6), date(2025, 1, 13)]
    assert local(new["predicted_at"][0]).date() == date(2025, 1, 27)  # two days at the 20th
    other = {n: c[1:2].copy() for n, c in both.items()}
    alone = past.StringPast(units("J-R2", installed=new_day), 6.0, 13.65, OFFSET_S)
    pd.testing.assert_frame_equal(taken(alone, other), new)


def test_a_capacity_test_counts_from_the_monday_after_it():
    counts = features(40 * 24)
    plain = taken(history(), counts)
    ended = day_number(date(2025, 1, 22)) * 86_400 - OFFSET_S + 3 * 3600
    bad = past.CapacityTest("B", ended, 0.83, False)
    tested = taken(history(), counts, tests=[bad])
    before = plain["predicted_at"] <= 1000 * ended
    other = plain["battery_id"] == "A"
    pd.testing.assert_frame_equal(tested[before | other], plain[before | other])
    after = ~before & ~other
    assert after.sum() == 3
    assert (tested[after]["rul_days"] < plain[after]["rul_days"]).all()


def test_the_past_is_bounded():
    counts = features(60 * HOURS_A_WEEK)
    string, sizes = history(), []
    for first in range(0, 60 * HOURS_A_WEEK, HOURS_A_WEEK):
        some = slice(first, first + HOURS_A_WEEK)
        string.take(stamps(60 * HOURS_A_WEEK)[some], {n: c[:, some] for n, c in counts.items()})
        sizes.append(len(pickle.dumps(string)))
    assert max(sizes) <= sizes[3] * 1.01


def test_predictions_are_declared_as_they_are():
    group = history().take(stamps(24 * 14), features(24 * 14))
    assert tuple(group) == RUL_PREDICTION.names
    assert all(chunk.rows == 4 for chunk in group.values())
    for name in RUL_PREDICTION.names[2:]:
        low, high = RUL_PREDICTION.valid(name)
        per_unit = RUL_PREDICTION.column(name).per_unit
        assert (
            (group[name].counts >= low * per_unit) & (group[name].counts <= high * per_unit)
        ).all()
    assert all(name in FEATURE_STORE.names for name in past.COLUMNS)


def test_a_day_without_rows_is_a_gap():
    """As any that is silent: nothing is known of it, and the week goes on without."""
    counts = features(12 * 24)
    kept = np.r_[0 : 7 * 24, 8 * 24 : 12 * 24]
    found = rows(history().take(stamps(12 * 24)[kept], {n: c[:, kept] for n, c in counts.items()}))
    for name in past.COLUMNS[1:]:
        counts[name][:, 7 * 24 : 8 * 24] = NULL
    pd.testing.assert_frame_equal(found, rows(history().take(stamps(12 * 24), counts)))
