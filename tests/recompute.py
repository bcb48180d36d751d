"""The feature store made again from the files of a data set, plainly.

Nothing here imports the package: pandas reads the files, Python adds up whole counts of the data
dictionary's steps, fractions are rounded half up.
"""

import statistics
from fractions import Fraction
from math import floor, isqrt

import numpy as np
import pandas as pd

HOUR_S = 3600


def read(place, table, per_unit=None):
    """A table of the data set, floats as whole counts."""
    parts = [
        pd.read_parquet(p, partitioning=None) for p in sorted((place / table).rglob("*.parquet"))
    ]
    frame = pd.concat(parts, ignore_index=True)
    stamp = "feature_ts" if table == "feature_store" else "ts"
    frame[stamp] = frame[stamp].astype("int64") // (10**9 if frame[stamp].dt.unit == "ns" else 1000)
    for name, units in (per_unit or {}).items():
        frame[name] = np.rint(frame[name].astype(float) * units).astype("Int64")
    return frame


def half_up(value):
    return floor(Fraction(value) + Fraction(1, 2))


def mean(values, scale):
    """Mean in counts of 1/scale, None of nothing."""
    return half_up(Fraction(scale * sum(values), len(values))) if values else None


def deviation(values, scale):
    """Population standard deviation in counts of 1/scale, rounded half up, exactly."""
    if not values:
        return None
    n = len(values)
    spread = n * sum(v * v for v in values) - sum(values) ** 2  # (n sigma)^2
    return (isqrt(4 * scale * scale * spread) // n + 1) // 2 if spread else 0


def known(values):
    return [v for v in values if not pd.isna(v)]


def modes_before(mode, step_s):
    """Per sample: the last mode known in the half day before, or None."""
    reach = max(1, 12 * HOUR_S // step_s)
    found = []
    for i in range(len(mode)):
        back = (k for k in range(i - 1, max(0, i - reach) - 1, -1) if not pd.isna(mode[k]))
        nearest = next(back, None)
        found.append(None if nearest is None else mode[nearest])
    return found


def on_battery_charge(mode, current, step_s):
    """Per sample: discharged charge [0.01 A s], whether a discharge begins, the sensor's zero."""
    charge, begins, zeros, zero, last = [], [], [], 0, None
    for i, (m, before) in enumerate(zip(mode, modes_before(mode, step_s), strict=True)):
        begins.append(m == "discharge" and before != "discharge")
        if begins[-1]:
            hour = range(max(0, i - HOUR_S // step_s), i)
            back = known(current[k] for k in hour if mode[k] == "float")
            zero, last = statistics.median_low(back) if back else 0, None
        charge.append(0)
        zeros.append(zero)
        if m == "discharge" and not pd.isna(current[i]):
            missing = range(last + 1, i) if last is not None else ()
            mean_a = Fraction(current[i] + current[last], 2) if missing else 0
            hidden_s = len(missing) * step_s
            charge[-1] = (zero - current[i]) * step_s + floor(hidden_s * (zero - mean_a))
            last = i
    return charge, begins, zeros


def surges(mode, current, step_s, rated_ah):
    """Per sample: whether it is a transfer or a step of current of 0.05 C10 within 10 s."""
    found = []
    earlier = zip(modes_before(mode, step_s), [None, *current], strict=False)
    for (before, a), after, b in zip(earlier, mode, current, strict=True):
        told = before is not None and not pd.isna(after)
        transfer = told and (before == "discharge") != (after == "discharge")
        step = a is not None and not pd.isna(a) and not pd.isna(b) and step_s <= 10
        found.append(transfer or (step and abs(b - a) >= 0.05 * rated_ah * 100))
    return found


def discharges(mode, current, step_s):
    """Per sample: charge [0.01 A s] of the last discharge so far, and of what came back after it.

    The second is a pair, mean current less the zero [0.01 A] of the first hour after it and its
    samples, None until the hour is over; both are None before the first discharge.
    """
    charge, begins, zeros = on_battery_charge(mode, current, step_s)
    found, removed, after = [], None, []
    for i, m in enumerate(mode):
        if begins[i]:
            removed, after = 0, []
        if removed is not None:
            removed += charge[i]
            if after or not (pd.isna(m) or m == "discharge"):
                after.append(current[i])
        hour = -(-HOUR_S // step_s)
        returned = None
        if len(after) >= hour and step_s <= HOUR_S:
            amperes = [a - zeros[i] for a in known(after[:hour])]
            returned = (sum(amperes), len(amperes))
        found.append((removed, returned))
    return found


def baselines(jar, since_s, days, initial):
    """By local day: what a jar's resistance at 25 degC is compared with [uOhm], as documented."""
    at_midnight = {}
    for ts, ohm, warm in zip(jar.ts, jar.resistance_mohm, jar.temperature_c, strict=True):
        day, second = divmod(ts - since_s, 24 * HOUR_S)
        if second == 0 and not pd.isna(ohm) and not pd.isna(warm):
            at_midnight[day] = at_25c(ohm, Fraction(int(warm), 10))
    found = []
    for day in range(days):
        values = [v for d, v in at_midnight.items() if day - 182 < d <= day]
        enough = day >= 28 and len(values) >= 4
        found.append(half_up(Fraction(statistics.median(values))) if enough else initial)
    return found


def at_25c(ohm, degrees):
    """Resistance count at 25 degC of one at some degrees."""
    return half_up(ohm / (1 - Fraction(6, 1000) * (degrees - 25)))


def windows_of(frame, column, start_s, length_s):
    """Values of a column by number of the window, in order of time."""
    return frame[column].groupby((frame.ts - start_s) // length_s).apply(list).to_dict()


def difference(one, other, scale):
    """Mean less another one in counts of 1/scale, None where there is no value of one of them."""
    if not one or not other:
        return None
    return half_up(scale * (Fraction(sum(one), len(one)) - Fraction(sum(other), len(other))))


def jar_columns(unit, volts, temps, reading, modes, around, initial, base, model, step_s):
    """What is of one jar alone in one window; `volts` by jar and `temps` with their nulls."""
    low, high = (round(10_000 * model[f"float_{end}_v"]) for end in ("min", "max"))
    floating = [
        10 * a + 18 * (b - 250)
        for a, b, m in zip(volts[unit], temps, modes, strict=True)
        if m == "float" and not pd.isna(a) and not pd.isna(b)
    ]
    volts = {u: known(each) for u, each in volts.items()}
    v, t = volts[unit], known(temps)
    v_mean, t_mean = mean(v, 10), mean(t, 100)
    middle = statistics.median([mean(each, 10) for each in volts.values() if each] or [0])
    reading = None if pd.isna(reading) else reading
    corrected = None
    if reading is not None and t_mean is not None:
        corrected = at_25c(reading, Fraction(t_mean, 1000))
    return {
        "v_mean": v_mean,
        "v_std": deviation(v, 10),
        "v_min": min(v, default=None),
        "v_max": max(v, default=None),
        "v_balance_mean": difference(v, [x for each in volts.values() for x in each], 10),
        "v_deviation_median": None if v_mean is None else half_up(v_mean - Fraction(middle)),
        "t_mean": t_mean,
        "t_max": max(t, default=None),
        "t_delta_ambient_mean": difference(t, known(around), 100),
        "r_internal_latest": reading,
        "r_internal_baseline_pct": reading and half_up(Fraction(10_000 * reading, initial)),
        "r_internal_25c": corrected,
        "r_change_pct": corrected and half_up(Fraction(10_000 * (corrected - base), base)),
        "time_below_float_min": sum(o < low for o in floating) * step_s,
        "time_above_float_max": sum(o > high for o in floating) * step_s,
    }


def string_columns(mode, channels, start_s, step_s, windows, length_s, rated_ah):
    """By window: the modes of its samples, and the columns that the jars of a string share."""
    rated = Fraction(str(rated_ah)) * 100 * HOUR_S
    current = channels.current_a.tolist()
    charge, begins, _ = on_battery_charge(mode, current, step_s)
    last = discharges(mode, current, step_s)
    surge = surges(mode, current, step_s, rated_ah)
    window = ((channels.ts - start_s) // length_s).tolist()
    cycles = drawn = 0
    removed = returned = None
    found = []
    for n in range(windows):
        here = [i for i, w in enumerate(window) if w == n]
        cycles += sum(begins[i] for i in here)
        drawn += sum(charge[i] for i in here)
        if here:
            removed, returned = last[here[-1]]
        back = None
        if returned is not None and returned[1] and removed >= rated / 100:
            back = half_up(Fraction(1000 * HOUR_S * returned[0], returned[1] * removed))
        columns = {
            "discharge_cycles_count": cycles,
            "ah_throughput": half_up(Fraction(drawn * 1000, 100 * HOUR_S)),
            "last_discharge_depth_pct": (
                None if removed is None else half_up(10_000 * removed / rated)
            ),
            "recharge_acceptance_pct": back,
            "surge_events_count": sum(surge[i] for i in here),
            "ripple_rms_mean": mean(known(channels.ripple_current_rms_a[i] for i in here), 10),
            "thd_mean": mean(known(channels.thd_pct[i] for i in here), 10),
        }
        found.append(([mode[i] for i in here], columns))
    return found


def features(place, start_s, step_s, hours, window):
    """All rows of the feature store, as counts: windows of so many hours from the first instant."""
    jar_units = {"voltage_v": 1000, "temperature_c": 10, "resistance_mohm": 1000}
    jars = read(place, "telemetry_jar_raw", jar_units).sort_values("ts")
    strings = read(place, "telemetry_string_raw", {"current_a": 100, "ripple_current_rms_a": 100})
    strings = strings.merge(read(place, "telemetry_string_calc", {"thd_pct": 10}))
    room = read(place, "telemetry_env", {"temperature_c": 10}).sort_values("ts")
    length_s, windows = window * HOUR_S, hours // window
    around = windows_of(room, "temperature_c", start_s, length_s)
    battery = pd.read_csv(place / "battery.csv").set_index("battery_id")
    models = pd.read_csv(place / "battery_model.csv").set_index("model_id")
    rows = []
    for string_id, string in strings.groupby("string_id"):
        string = string.sort_values("ts").reset_index(drop=True)
        units = battery.index[battery.string_id == string_id]
        model = models.loc[battery.model_id[units[0]]]
        rated_ah = model.rated_capacity_ah
        mode = string["mode"].tolist()
        shared = string_columns(mode, string, start_s, step_s, windows, length_s, rated_ah)
        frames = {unit: jars[jars.battery_id == unit] for unit in units}
        volts, temps, ohms = (
            {unit: windows_of(jar, name, start_s, length_s) for unit, jar in frames.items()}
            for name in jar_units
        )
        for unit, jar in frames.items():
            initial = round(battery.initial_resistance_mohm[unit] * 1000)
            baseline = baselines(jar, start_s, -(-hours // 24), initial)
            for n, (modes, columns) in enumerate(shared):
                own = jar_columns(
                    unit,
                    {each: volts[each].get(n, []) for each in units},
                    temps[unit].get(n, []),
                    ohms[unit].get(n, [None])[-1],
                    modes,
                    around.get(n, []),
                    initial,
                    baseline[n * window // 24],
                    model,
                    step_s,
                )
                keys = {"feature_ts": start_s + length_s * (n + 1), "battery_id": unit}
                rows.append({**keys, "feature_window_hours": window, **columns, **own})
    return rows
