"""Rows 7 to 10, 14 and 15: strings on battery and in recharge, and Kirchhoff's law.

What happens within seconds is looked for where samples are at most 10 s apart.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from tests.fidelity.check import ANY, Check, mean, median, quantile
from tests.fidelity.data import CHARGING, DataSet, Discharge

HOUR_S = 3600
DAY_S = 86_400

FULL_JAR_V = 12.777
"""Open-circuit voltage of a full jar at 25 degC: Bode's polynomial at 6.2 mol/kg, six cells."""

FULL_CELL_V = 1.86
"""A string whose weakest jar has ended stands at about so much: 1.75 is its own end."""

DC_OVER_OHMIC = {"A": 5.91 / 4.9, "B": 4.72 / 3.4}
"""Slope of a jar's voltage over load current, over what a monitor calls its resistance."""


def amperes(window: pl.DataFrame) -> np.ndarray:
    return window["current_a"].to_numpy()


def seconds(window: pl.DataFrame) -> np.ndarray:
    return window["t_s"].to_numpy().astype(np.float64)


def charge_ah(t_s: np.ndarray, current_a: np.ndarray) -> np.ndarray:
    """Charge since the first sample [Ah] by trapezoids; a missing reading is bridged."""
    there = np.isfinite(current_a)
    filled = np.interp(t_s, t_s[there], current_a[there])
    steps = np.diff(t_s) * (filled[1:] + filled[:-1]) / 2 / HOUR_S
    return np.concatenate([[0.0], np.cumsum(steps)])


# --- the first minutes ----------------------------------------------------------------------------


def coup_de_fouet(data: DataSet) -> list[Check]:
    """Row 7, at 0.1 to 0.35 C10: the trough after a day on float."""
    rested = (_dip(data, event) for event in data.discharges if event.rest_s >= DAY_S)
    found = [dip for dip in rested if dip is not None]
    depth_mv, place_pct = (np.array([d[i] for d in found]) for i in range(2))
    basis = f"{len(found)} discharges"
    source = "Rys et al. 2021"
    return [
        Check("7", "coup de fouet: depth", median(depth_mv), 8, 50, "mV/cell", source, basis),
        Check(
            "7", "coup de fouet: its place", median(place_pct), 0.2, 2, "% of C10", source, basis
        ),
    ]


def no_coup_de_fouet(data: DataSet) -> list[Check]:
    """Row 7: none within two hours of the last discharge."""
    early = [e for e in data.discharges if e.rest_s <= 2 * HOUR_S - 60]
    found = [dip for event in early if (dip := _dip(data, event)) is not None]
    return [
        Check(
            "7",
            "rise after the first minutes of a discharge within 2 h of the last",
            quantile(np.array([d[0] for d in found]), 0.9),
            0,
            4,
            "mV/cell",
            "Rys et al. 2021",
            f"{len(found)} discharges",
        )
    ]


def _dip(data: DataSet, event: Discharge) -> tuple[float, float] | None:
    """Rise from the trough to the next maximum [mV/cell] and its charge [% of C10]."""
    if event.length_s < 180:
        return None
    end_s = min(event.last_s, event.start_s + HOUR_S)
    window = data.string_window(event.string_id, event.start_s, end_s)
    drawn = -charge_ah(seconds(window), amperes(window)) / event.rated_ah * 100
    rate_per_h = -np.nanmedian(amperes(window)) / event.rated_ah
    if not 0.1 <= rate_per_h <= 0.35 or drawn[-1] < 2.5:
        return None
    volts = np.convolve(window["voltage_v"].to_numpy(), np.full(5, 0.2), "same")
    first, end = np.searchsorted(drawn, [0.05, 2.5])
    first = max(first, 5)  # before it, the mean of five samples reaches over the edge
    if end - first < 10 or not np.isfinite(volts[first:end]).all():
        return None
    trough = first + int(np.argmin(volts[first:end]))
    last = min(int(np.searchsorted(drawn, 5)), len(volts) - 5)
    if last <= trough:
        return 0.0, float(drawn[trough])
    rise_v = float(np.nanmax(volts[trough : last + 1]) - volts[trough])
    return 1000 * rise_v / event.cells, float(drawn[trough])


def load_steps(data: DataSet) -> list[Check]:
    """Row 8: discharge lowers the voltage, charge raises it; where strings often change."""
    rows = data.frame(
        """
        SELECT corr(dv, di) AS r, count(*) AS steps FROM (
            SELECT string_id, voltage_v - lag(voltage_v) OVER w AS dv,
                current_a - lag(current_a) OVER w AS di, t_s - lag(t_s) OVER w AS dt
            FROM telemetry_string_raw WINDOW w AS (PARTITION BY string_id ORDER BY t_s))
        JOIN strings USING (string_id) JOIN battery_model m USING (model_id)
        WHERE dt <= 10 AND abs(di) >= 0.05 * m.rated_capacity_ah
        GROUP BY string_id HAVING count(*) >= 4
        """
    )
    return [
        Check(
            "8",
            "correlation of a string's steps of voltage and of current (positive in charge)",
            median(rows["r"]),
            0.9,
            1.0,
            "1",
            "physics",
            f"{rows['steps'].sum()} steps of {len(rows)} strings, their median",
        )
    ]


def load_drop(data: DataSet) -> list[Check]:
    """Row 8: the step at the start of a discharge is current times resistance."""
    starts = [e for e in data.discharges if e.rest_s >= 2 * HOUR_S]
    ratios = [_step_over_resistance(data, e) for e in starts]
    found = np.concatenate([np.empty(0), *ratios])
    return [
        Check(
            "8",
            "drop of a full jar at the start of a discharge, over I x its resistance",
            median(found),
            0.8,
            1.2,
            "1",
            "physics",
            f"{found.size} jars",
        )
    ]


def _step_over_resistance(data: DataSet, event: Discharge) -> np.ndarray:
    """Per jar, at the first sample, if that came before 0.03 % of the charge was drawn."""
    ratio = DC_OVER_OHMIC[event.discharge_type]
    rows = data.frame(
        f"""
        SELECT ({FULL_JAR_V} + 0.0012 * (r.temperature_c - 25) - r.voltage_v)
            / (-s.current_a * r.resistance_mohm * {ratio} / 1000) AS ratio
        FROM telemetry_jar_raw r JOIN telemetry_jar_calc c USING (battery_id, ts)
            JOIN telemetry_string_raw s USING (ts) JOIN state t USING (battery_id)
        WHERE r."string" = '{event.string_id}' AND c."string" = '{event.string_id}'
            AND s."string" = '{event.string_id}' AND ts = to_timestamp({event.start_s})
            AND c.soc_pct BETWEEN 99.97 AND 99.995
            AND -s.current_a > 0.2 * {event.rated_ah} AND t.failure_mode IS NULL
        """
    )
    return rows["ratio"].to_numpy()


# --- power ----------------------------------------------------------------------------------------


TEST_RATE = 0.3
"""Current over C10 [1/h] above that of a capacity test; a UPS at 30 % load takes 0.5."""


def constant_power(data: DataSet) -> list[Check]:
    """Row 9, in discharges of UPS systems of at least a minute."""
    spread_pct, rise_pct = [], []
    together: dict[tuple[str, int], list[Discharge]] = {}
    for event in data.discharges:
        if event.kind == "UPS" and event.length_s >= 45 and data.load(event)[0] > TEST_RATE:
            together.setdefault((event.system_id, event.start_s // 60), []).append(event)
    for events in together.values():
        first_s = max(e.start_s for e in events) + data.interval_s
        last_s = min(e.last_s for e in events)
        windows = [data.string_window(e.string_id, first_s, last_s) for e in events]
        if min(map(len, windows)) < 5:
            continue
        power_w = sum(amperes(w) * w["voltage_v"].to_numpy() for w in windows)
        current_a = sum(amperes(w) for w in windows)
        spread_pct.append(100 * np.nanstd(power_w) / abs(np.nanmean(power_w)))
        end_v = max(
            w["voltage_v"].to_numpy()[-1] / e.cells for w, e in zip(windows, events, strict=True)
        )
        if end_v <= FULL_CELL_V:
            rise_pct.append(100 * (np.nanmean(current_a[-3:]) / np.nanmean(current_a[:3]) - 1))
    return [
        Check(
            "9",
            "power of a UPS system on battery: deviation over mean",
            quantile(spread_pct, 0.9),
            -ANY,
            2,
            "%",
            "physics",
            f"{len(spread_pct)} discharges, 90 % quantile",
        ),
        Check(
            "9",
            "rise of the current over a full discharge",
            median(rise_pct),
            8,
            20,
            "%",
            "physics",
            f"{len(rise_pct)} discharges to {FULL_CELL_V} V/cell or less",
        ),
    ]


# --- Kirchhoff ------------------------------------------------------------------------------------


def _sums(data: DataSet) -> pl.DataFrame:
    """Sum of the jars and the string's voltage, at about a thousand instants of each string."""
    first_s, last_s = data.span_s
    step_s = max(1, int((last_s - first_s) / data.interval_s / 1000)) * data.interval_s
    return data.frame(
        f"""
        SELECT string_id, s.voltage_v::DOUBLE AS string_v, sums.jars_v
        FROM (SELECT "string" AS string_id, t_s, sum(voltage_v) AS jars_v,
                  count(voltage_v) AS known, min(voltage_v) AS lowest_v
              FROM telemetry_jar_raw WHERE (t_s - {first_s}) % {step_s} = 0 GROUP BY ALL) sums
        JOIN telemetry_string_raw s USING (string_id, t_s) JOIN strings g USING (string_id)
        WHERE known = g.jars AND s.voltage_v IS NOT NULL AND lowest_v > 9.01
        """
    )


def kirchhoff(data: DataSet) -> list[Check]:
    """Row 10, with sensors: each string's constant gain, and what is left beside it."""
    rows = _sums(data).with_columns(ratio=pl.col("jars_v") / pl.col("string_v") - 1)
    rows = rows.with_columns(gain=pl.col("ratio").median().over("string_id"))
    by_string = rows.group_by("string_id").agg(pl.col("gain").first())
    left_pct = 100 * (rows["ratio"] - rows["gain"]).abs().to_numpy()
    return [
        Check(
            "10",
            "sum of the jars' voltages off the string's",
            100 * quantile(by_string["gain"].abs(), 0.95),
            -ANY,
            0.6,
            "%",
            "accuracy of the sensors",
            f"{len(by_string)} strings, 95 % quantile",
        ),
        Check(
            "10",
            "the same without the string's constant gain",
            quantile(left_pct, 0.99),
            -ANY,
            0.1,
            "%",
            "noise of the sensors, six deviations",
            f"{len(rows)} instants, 99 % quantile",
        ),
    ]


def kirchhoff_ideal(data: DataSet) -> list[Check]:
    """Row 10, with ideal sensors: nothing but rounding."""
    rows = _sums(data)
    off_v = np.abs((rows["jars_v"] - rows["string_v"]).to_numpy())
    return [
        Check(
            "10",
            "sum of the jars' voltages off the string's, ideal sensors",
            1000 * float(off_v.max()) if off_v.size else float("nan"),
            -ANY,
            24 * 0.5 + 5 + 0.1,
            "mV",
            "rounding of 24 jars and of the string",
            f"{len(rows)} instants",
        )
    ]


# --- recharge -------------------------------------------------------------------------------------


def recharge(data: DataSet) -> list[Check]:
    """Rows 14 and 15, on strings with a float current channel (the Hall zero is no help there)."""
    ratio, back_h, full_pct = [], [], []
    for event in data.discharges:
        if event.kind != "REC" or event.free_s < 26 * HOUR_S or event.length_s < HOUR_S:
            continue
        window = data.string_window(
            event.string_id, event.start_s - HOUR_S, event.last_s + 36 * HOUR_S
        )
        found = _recharge(data, event, window)
        if found is None:
            continue
        drawn_ah, returned_ah, hours, soc_pct = found
        if drawn_ah > 0.5 * event.rated_ah:
            ratio.append(returned_ah / drawn_ah)
        if drawn_ah > 0.85 * event.rated_ah:
            back_h.append(hours * event.rated_ah / drawn_ah)  # as of a whole discharge
            full_pct.append(soc_pct)
    deep = f"{len(back_h)} discharges of 85 % of C10"
    return [
        Check(
            "14",
            "charge returned 24 h after a discharge of more than half, over charge drawn",
            mean(ratio),
            1.02,
            1.10,
            "1",
            "headway: 100 to 120 %",
            f"{len(ratio)} discharges",
        ),
        Check("15", "95 % of C10 returned", median(back_h), 9, 14, "h", "derived", deep),
        Check(
            "15",
            "SOC when the current leaves its limit",
            median(full_pct),
            70,
            90,
            "%",
            "derived at 2.27 V/cell; the boost is at 2.35",
            deep,
        ),
    ]


def _recharge(
    data: DataSet, event: Discharge, window: pl.DataFrame
) -> tuple[float, float, float, float] | None:
    """Charge drawn and returned in 24 h [Ah], hours to 95 % of it, SOC [%] at the end of CC."""
    t_s, hall_a = seconds(window), amperes(window)
    shunt_a = window["float_current_a"].to_numpy()
    before = t_s < event.start_s
    zero_a = median((hall_a - shunt_a)[before])
    current_a = np.where(np.isfinite(shunt_a), shunt_a, hall_a - zero_a)
    charging = window["mode"].is_in(CHARGING).fill_null(False).to_numpy() & (t_s > event.last_s)
    if not charging.any() or not np.isfinite(zero_a):
        return None
    begin_s = t_s[charging][0]
    if t_s[-1] < begin_s + 24 * HOUR_S or begin_s > event.last_s + 2 * HOUR_S:
        return None
    out = (t_s >= event.start_s) & (t_s < begin_s)
    into = (t_s >= begin_s) & (t_s <= begin_s + 24 * HOUR_S)
    drawn_ah = -charge_ah(t_s[out], current_a[out])[-1]
    returned_ah = charge_ah(t_s[into], current_a[into])
    enough = returned_ah >= 0.95 * drawn_ah
    hours = float(np.argmax(enough) * data.interval_s / HOUR_S) if enough.any() else np.nan
    limit_a = np.nanmedian(current_a[into][: max(1, 1800 // data.interval_s)])
    smooth = max(1, 600 // data.interval_s)  # ten minutes: the Hall sensor's noise is 0.05 A
    mean_a = np.convolve(np.nan_to_num(current_a[into], nan=limit_a), np.ones(smooth) / smooth)
    freed = smooth + np.argmax(mean_a[smooth:] < 0.99 * limit_a)
    return (
        drawn_ah,
        float(returned_ah[-1]),
        hours,
        data.soc_pct(event.string_id, int(t_s[into][freed])),
    )
