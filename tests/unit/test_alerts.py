"""Alerts and their conditions against a recomputation from the written telemetry, row by row.

The recomputation walks over the samples in plain Python, one after the other, for the whole run at
once: it knows no blocks and no spans. It takes from fleetgen the names of columns and the levels.
"""

from __future__ import annotations

import csv
import itertools
from bisect import bisect_right
from collections import defaultdict
from dataclasses import replace
from datetime import datetime
from fractions import Fraction
from math import floor
from statistics import median

import pandas as pd
import pytest

from fleetgen import score
from fleetgen.derive import alerts, conditions
from fleetgen.errors import ConfigError
from fleetgen.spec import ALERT_RULES, NULL, TimeGrid
from tests import tiny

HOUR_S, DAY_S, OFFSET_S = 3600, 86_400, 7 * 3600
SYSTEMS = {
    "REC-01": {"kind": "REC", "jars_per_string": 5, "strings": {"S1": "GPL12-100"}},
    "UPS-01": {
        "kind": "UPS",
        "jars_per_string": 4,
        "strings": {"S1": "HX12-120", "S2": "HX12-120"},
    },
}
HERE = tiny.LOCATION
REC, UPS, UPS_2 = f"{HERE}-REC-01-S1", f"{HERE}-UPS-01-S1", f"{HERE}-UPS-01-S2"
SHORTED, WEAK = f"{UPS}-J02", f"{REC}-J05"


def injection(kind, target, at, value=None, channel=None, **length):
    keys = {"kind": kind, "target": target, "at": at, "value": value, "channel": channel, **length}
    return {key: value for key, value in keys.items() if value is not None}


EVENTS = [
    injection("outage", HERE, "2025-01-30T21:00:00", duration_minutes=60.0),
    injection("hvac_failure", HERE, "2025-02-05T10:00:00", duration_minutes=600.0),
    injection("capacity_test", REC, "2025-02-02T22:00:00", duration_minutes=360.0),
    injection("failure_mode", SHORTED, "2025-01-20T00:00:00", "internal_short", duration_days=12.0),
    injection("failure_mode", WEAK, "2024-05-01T00:00:00", "sulfation", duration_days=300.0),
    injection("sensor_fault", REC, "2025-02-06T20:00:00", "communication_loss", duration_days=0.4),
    injection(
        *("sensor_fault", f"{REC}-J03", "2025-02-01T23:30:00", "dropout", "voltage_v"),
        duration_minutes=90.0,
    ),
    injection(
        *("sensor_fault", f"{UPS_2}-J01", "2025-02-04T23:30:00", "dropout", "temperature_c"),
        duration_days=1.3,
    ),
    injection(
        *("sensor_fault", f"{REC}-J04", "2025-02-04T00:00:00", "drift", "temperature_c"),
        duration_days=4.0,
    ),
    injection(
        *("sensor_fault", f"{REC}-J02", "2025-01-31T00:00:00", "dropout", "resistance_mohm"),
        duration_days=1.5,
    ),
    injection(
        *("sensor_fault", f"{HERE}-ENV-01", "2025-02-05T12:00:00", "dropout", "temperature_c"),
        duration_days=0.2,
    ),
]
TIGHT = {  # so that much is beyond, and back, and beyond again
    "jar_voltage_low": {"warning": 13.55, "critical": 13.5, "clear": 0.02},
    "jar_voltage_high": {"warning": 13.6, "critical": 13.7, "clear": 0.02},
    "jar_voltage_deviation": {"warning": 0.03, "critical": 0.1, "clear": 0.01},
    "jar_voltage_deviation_first_year": {"warning": 0.03, "critical": 0.1},
    "discharge_voltage_low": {"warning": 11.4, "critical": 11.35, "persistence_seconds": 0},
    "jar_temperature": {"warning": 26.0, "critical": 28.0, "clear": 0.5},
    "jar_temperature_rise": {"warning": 2.0, "critical": 3.0, "clear": 0.3},
    "string_temperature_spread": {"warning": 1.0, "critical": 2.0, "clear": 0.2},
    "resistance_increase": {"warning": 10.0, "critical": 14.0, "clear": 2.0},
    "resistance_ahead_of_age": {
        **{"warning": -34.0, "critical": -30.0, "clear": 2.0},
        "persistence_seconds": 3 * 86_400,
    },
    "float_current": {"warning": 0.2, "critical": 0.4, "clear": 0.05},
    "ripple_current": {"warning": 0.8, "critical": 1.5, "clear": 0.1},
    "string_voltage": {"warning": 0.1, "critical": 0.4, "clear": 0.05},
    "room_temperature": {"warning": 24.0, "critical": 25.0, "clear": 0.5},
}


GONE, DARK = "gone", "dark"
"""Reading of a unit on a day on which it is not in service; and there is none of its string."""


# --- the recomputation ----------------------------------------------------------------------------


def read(place, table):
    paths = sorted((place / table).rglob("*.parquet"))
    frame = pd.concat([pd.read_parquet(p, partitioning=None) for p in paths], ignore_index=True)
    for name in frame.columns[frame.dtypes.astype(str).str.startswith("datetime")]:
        frame[name] = frame[name].dt.as_unit("s").astype("int64")
    return frame


def counts(values, per_unit):
    return [None if pd.isna(v) else round(float(v) * per_unit) for v in values]


def half_up(value):
    return floor(Fraction(value) + Fraction(1, 2))


def mean(values, scale):
    """Mean of what is known times `scale`, rounded half up; None of nothing."""
    known = [v for v in values if v is not None]
    return half_up(Fraction(scale * sum(known), len(known))) if known else None


class Source:
    """What a data set says, by asset."""

    def __init__(self, place, step_s, days):
        self.step_s = step_s
        self.jars, self.strings = read(place, "telemetry_jar_raw"), {}
        batteries = pd.read_csv(place / "battery.csv")
        events = pd.read_csv(place / "maintenance_event.csv").dropna(subset="replacement_id")
        came = pd.to_datetime(events.completed_at).dt.as_unit("s").astype("int64")
        self.from_s = dict(zip(events.replacement_id, came, strict=True))
        self.models = pd.read_csv(place / "battery_model.csv").set_index("model_id")
        for name, frame in read(place, "telemetry_string_raw").groupby("string_id"):
            mine = batteries[batteries.string_id == name]
            self.strings[name] = frame.sort_values("ts"), mine
        self.room = read(place, "telemetry_env").sort_values("ts")
        self.sensor = self.room.sensor_id.iloc[0]
        self.ts = self.room.ts.tolist()
        self.start_s, self.end_s = self.ts[0], self.ts[0] + round(days * DAY_S)

    def hours(self, values):
        """Values by complete hour."""
        found = [[] for _ in range((self.end_s - self.start_s) // HOUR_S)]
        for t, value in zip(self.ts, values, strict=True):
            if t < self.start_s + HOUR_S * len(found):
                found[(t - self.start_s) // HOUR_S].append(value)
        return found


def all_readings(source, rules):
    """Readings by (asset, rule): instants and whole thousandths, None where there are none.

    And, of a string, by the rules of its jars, whether its gate was open at each.
    """
    out, gate = {}, {}
    for string, (frame, batteries) in source.strings.items():
        readings_of_string(source, rules, string, frame, batteries, out, gate)
    room = counts(source.room.temperature_c, 10)
    dated = [(t, None if c is None else 100 * c) for t, c in zip(source.ts, room, strict=True)]
    out[source.sensor, "room_temperature"] = dated
    return out, gate


def settled(source, modes, seconds):
    """Whether each sample is one on float for that long."""
    found, last = [], source.start_s
    for t, mode in zip(source.ts, modes, strict=True):
        if mode is not None and mode != "float":
            last = t
        found.append(mode == "float" and t - last >= seconds)
    return found


def readings_of_string(source, rules, string, frame, batteries, out, gate):  # noqa: C901, PLR0915
    modes = [None if pd.isna(m) else m for m in frame["mode"]]
    model = source.models.loc[batteries.model_id.iloc[0]]
    positions = batteries.groupby("position_in_string", sort=True)
    rated, number = model.rated_capacity_ah, len(positions)
    string_cv = counts(frame.voltage_v, 100)
    start_s, ts = source.start_s, source.ts
    hour_s = [start_s + HOUR_S * h for h in range((source.end_s - start_s) // HOUR_S)]

    def open_samples(rule):
        if rule.gate == "float":
            return settled(source, modes, rule.settled_s)
        if rule.gate == "known":
            return [m is not None for m in modes]
        limit = number * (round(1000 * rule.warning) + 250)
        return [
            m is not None and not (m == "discharge" and v is not None and 10 * v < limit)
            for m, v in zip(modes, string_cv, strict=True)
        ]

    def open_hours(rule):
        by_hour = source.hours(zip(modes, open_samples(rule), strict=True))
        known = [[may for mode, may in hour if mode is not None] for hour in by_hour]
        return [bool(hour) and all(hour) for hour in known]

    jars, hourly_v, hourly_c = {}, {}, {}
    for jar, units in positions:
        rows = source.jars[source.jars.battery_id.isin(units.battery_id)].sort_values("ts")
        volts, degrees = counts(rows.voltage_v, 1000), counts(rows.temperature_c, 10)
        jars[jar] = volts, degrees, counts(rows.resistance_mohm, 1000)
        hourly_v[jar] = [mean(hour, 1) for hour in source.hours(volts)]
        hourly_c[jar] = [mean(hour, 100) for hour in source.hours(degrees)]
    middle = {}
    for name, hourly in (("v", hourly_v), ("c", hourly_c)):
        columns = zip(*hourly.values(), strict=True)
        known = [[v for v in column if v is not None] for column in columns]
        middle[name] = [Fraction(median(map(Fraction, k))) if k else None for k in known]

    def put(asset, name, instants, values, may):
        found = [v if o else None for v, o in zip(values, may, strict=True)]
        out[asset, name] = list(zip(instants, found, strict=True))

    def put_units(units, name, instants, values, may, length_s=0):
        """Readings of the units of a position: beyond its time a unit is well, or gone."""
        put(string, name, instants, values, may)
        dated = out.pop((string, name))
        well = 10**7 if rules[name, model.name].below else -(10**7)
        starts = [source.from_s[unit] for unit in units[1:]]
        owner = [bisect_right(starts, t + max(0, length_s - 1)) for t in instants]
        there = defaultdict(set)
        for t, n in zip(instants, owner, strict=True):
            there[(t + OFFSET_S) // DAY_S].add(n)
        for n, unit in enumerate(units):
            out[unit, name] = [
                (t, v if o == n else well)
                if n in there[(t + OFFSET_S) // DAY_S]
                else (t, GONE if open_ else DARK)
                for (t, v), o, open_ in zip(dated, owner, may, strict=True)
            ]

    def of_units(units, instants, values):
        """What is known of the unit that is there at each instant."""
        starts = [source.from_s[unit] for unit in units.battery_id[1:]]
        return [values.iloc[bisect_right(starts, t)] for t in instants]

    room_hours = source.hours(counts(source.room.temperature_c, 10))
    for jar, units in positions:
        names, (volts, degrees, ohms) = list(units.battery_id), jars[jar]
        for name, values, scale in (
            ("jar_voltage_low", volts, 1),
            ("jar_voltage_high", volts, 1),
            ("discharge_voltage_low", volts, 1),
            ("jar_temperature", degrees, 100),
        ):
            rule = rules[name, model.name]
            found = [None if v is None else scale * v for v in values]
            if rule.gate == "discharge":  # outside a discharge a jar is well, whatever it shows
                pairs = zip(found, modes, strict=True)
                found = [v if m in ("discharge", None) else 10**6 for v, m in pairs]
            may = open_samples(rule)
            put_units(names, name, ts, found, may)
            gate[string, name] = list(zip(ts, may, strict=True))
        dates = pd.to_datetime(units.installed_date).astype("datetime64[s]").astype("int64")
        installed = of_units(units, hour_s, dates - OFFSET_S)
        for name in ("jar_voltage_deviation", "jar_voltage_deviation_first_year"):
            rule, found = rules[name, model.name], []
            for t, v, m, installed_s in zip(
                hour_s, hourly_v[jar], middle["v"], installed, strict=True
            ):
                midnight_s = t - (t + OFFSET_S) % DAY_S
                young = (midnight_s - installed_s) / DAY_S < 365.25
                mine = young == name.endswith("first_year")
                found.append(None if v is None else half_up(abs(v - m)) if mine else 0)
            may = open_hours(rule)
            put_units(names, name, hour_s, found, may, HOUR_S)
            gate[string, name] = list(zip(hour_s, may, strict=True))
        rule, found = rules["jar_temperature_rise", model.name], []
        for h, c in enumerate(hourly_c[jar]):
            around = mean(list(itertools.chain(*room_hours[max(0, h - 5) : h + 1])), 100)
            found.append(None if c is None or around is None else c - around)
        may = open_hours(rule)
        put_units(names, rule.name, hour_s, found, may, HOUR_S)
        gate[string, rule.name] = list(zip(hour_s, may, strict=True))
        days = [source.start_s + DAY_S * d for d in range((source.end_s - start_s) // DAY_S)]
        initial = of_units(units, [t + DAY_S - 1 for t in days], units.initial_resistance_mohm)
        daily = daily_resistance(source, degrees, ohms, initial)
        values = [value for _, value in daily]
        put_units(names, "resistance_increase", days, values, [True] * len(days), DAY_S)
        since = of_units(units, [t + DAY_S - 1 for t in days], dates - OFFSET_S)
        ahead = [
            None if value is None else value - explained(t - from_s, model.design_life_years)
            for t, value, from_s in zip(days, values, since, strict=True)
        ]
        put_units(names, "resistance_ahead_of_age", days, ahead, [True] * len(days), DAY_S)
    for name in ("string_temperature_spread", "string_voltage", "ripple_current", "float_current"):
        if name == "float_current" and "-UPS-" in string:
            continue
        rule = rules[name, model.name]
        if name == "string_temperature_spread":
            known = [
                [c for c in column if c is not None]
                for column in zip(*hourly_c.values(), strict=True)
            ]
            found = [max(k) - min(k) if k else None for k in known]
        elif name == "string_voltage":
            found = []
            for hour, c in zip(source.hours(string_cv), middle["c"], strict=True):
                known = [v for v in hour if v is not None]
                if not known or c is None:
                    found.append(None)
                    continue
                cell_v = min(2.33, max(2.20, 2.27 - 0.003 * (float(c) / 1000 - 25)))
                v = sum(known) / len(known) / 100
                found.append(half_up(1e5 * abs(v / (6 * number * cell_v) - 1)))
        else:
            per, column = (
                (100, "ripple_current_rms_a") if name[0] == "r" else (1000, "float_current_a")
            )
            hourly = source.hours(counts(frame[column], per))
            # A per Ah in %, and mA per Ah, are both 100 counts of 0.01 A and 1 of 1 mA.
            found = [mean(hour, Fraction(1000) / round(rated)) for hour in hourly]
        put(string, name, hour_s, found, open_hours(rule))


def daily_resistance(source, degrees, ohms, initials):
    found = []
    for day in range((source.end_s - source.start_s) // DAY_S):
        start = source.start_s + day * DAY_S
        rows = [i for i, t in enumerate(source.ts) if start <= t < start + DAY_S]
        warm = mean([degrees[i] for i in rows], 100)
        by_hour = [[] for _ in range(24)]
        for i in rows:
            by_hour[(source.ts[i] - start) // HOUR_S].append(ohms[i])
        ends = [hour[-1] for hour in by_hour if hour and hour[-1] is not None]
        if not ends or warm is None:
            found.append((start, None))
            continue
        at_25 = ends[-1] / (1 - 0.006 * (warm / 1000 - 25))
        found.append((start, half_up(1e5 * (at_25 / round(1000 * initials[day]) - 1))))
    return found


def explained(age_s, design_life_years):
    """Growth [0.001 %] that an age explains: half as much again by the end of the design life."""
    life_s = Fraction(str(design_life_years)) * Fraction(1461, 4) * DAY_S
    return half_up(50_000 * max(Fraction(0), age_s / life_s))


def walked(readings, rule, utc_offset_s=OFFSET_S):
    """Alerts by walking over the readings: trigger, escalation, end, worst value and severity."""
    sign = -1 if rule.below else 1
    warning, critical = (sign * round(1000 * level) for level in (rule.warning, rule.critical))
    clear = warning - round(1000 * rule.clear)
    needed = max(0, rule.persistence_s - rule.window_s)
    found, now = [], None
    since = {}
    for t, value in readings:
        if value in (None, DARK) or (value == GONE and now is None):
            continue
        x = clear if value == GONE else sign * value
        if x <= clear:
            if now is not None and "at" in now:
                found.append({**now, "end": t + rule.window_s})
            now, since = None, {}
            continue
        now = now or {"worst": x}
        now["worst"] = max(now["worst"], x)
        for name, limit, key in (("warning", warning, "at"), ("critical", critical, "up")):
            if x <= limit:
                since.pop(name, None)
                continue
            since.setdefault(name, t)
            if t - since[name] >= needed:
                now.setdefault(key, t + rule.window_s)
    if now is not None and "at" in now:
        found.append({**now, "end": None})
    return [
        (
            1000 * each["at"],
            "critical" if "up" in each else "warning",
            1000 * each["up"] if each.get("up", 0) > each["at"] else None,
            each["end"] and 1000 * each["end"],
            sign * each["worst"] / 1000,
        )
        for each in found
    ]


def told(asset, rule, readings, end_s, gated=None):  # noqa: C901
    """Rows of `alert_condition` of an asset; `gated` says of a jar's string when it may be read."""
    sign = -1 if rule.below else 1
    warning, critical = (sign * round(1000 * level) for level in (rule.warning, rule.critical))
    limits = {"clear": warning - round(1000 * rule.clear), "warning": warning, "critical": critical}
    needed = max(0, rule.persistence_s - rule.window_s)
    days = defaultdict(list)
    for n, (t, _) in enumerate(readings):
        days[(t + OFFSET_S) // DAY_S].append(n)
    rows = []
    ordered = list(days.values())
    for d, numbers in enumerate(ordered):
        cut = readings[ordered[d + 1][0]][0] if d + 1 < len(ordered) else end_s
        first, state = readings[numbers[0]]
        if state in (GONE, DARK):
            continue
        known = [n for n in numbers if readings[n][1] is not None]
        begins = readings[known[0]][0] if known else cut
        if begins != first:
            of_all = first
            if gated is not None:
                may = [gated[n][0] for n in numbers if gated[n][1]]
                of_all = may[0] if may else cut
            if begins != of_all or gated is None:
                rows.append((first, asset, rule.name, "unknown", begins, 0, None))
        streaks = {}
        for level, limit in limits.items():
            streaks[level] = []
            for beyond, group in itertools.groupby(
                known, lambda n, z=limit: sign * readings[n][1] > z
            ):
                if beyond:
                    streaks[level].append(list(group))
        kept = set()
        for level in ("critical", "warning", "clear"):
            for streak in streaks[level]:
                edge = streak[0] == known[0] or streak[-1] == known[-1]
                long = readings[streak[-1]][0] - readings[streak[0]][0] >= needed
                if not (edge or (long and level != "clear") or kept & set(streak)):
                    continue
                if level == "clear" or edge or long:
                    kept |= set(streak)
                    rows += pieces(asset, rule, level, streak, known, readings, cut, sign)
    return rows


def pieces(asset, rule, level, streak, known, readings, cut, sign):
    rows, part = [], []
    for n in streak:
        part.append(n)
        at = known.index(n)
        following = known[at + 1] if at + 1 < len(known) else None
        if following is None or following != n + 1 or n == streak[-1]:
            worst = sign * max(sign * readings[k][1] for k in part)
            until = cut if following is None else readings[following][0]
            first = readings[part[0]][0]
            rows.append((first, asset, rule.name, level, until, len(part), worst))
            part = []
    return rows


# --- the comparison -------------------------------------------------------------------------------


def rules_by_model(source, rules):
    """Rules by name and model; a level that is not given is the model's."""
    found = {}
    for rule, (name, model) in itertools.product(rules, source.models.iterrows()):
        limits = model.temperature_warning_c, model.temperature_critical_c
        warning, critical = (
            b if a is None else a
            for a, b in zip((rule.warning, rule.critical), limits, strict=True)
        )
        found[rule.name, name] = replace(rule, warning=warning, critical=critical)
    return found


def compare(place, step_s, days, rules):
    """Want rows and alerts to be those of the recomputation; give the alerts."""
    source = Source(place, step_s, days)
    by_model = rules_by_model(source, rules)
    readings, gates = all_readings(source, by_model)
    model_of = {
        asset: batteries.model_id.iloc[0]
        for string, (_, batteries) in source.strings.items()
        for asset in (string, *batteries.battery_id)
    }
    last = source.ts[-1] + step_s
    want_rows, want = [], []
    for (asset, name), dated in readings.items():
        rule = by_model[name, model_of.get(asset, source.models.index[0])]
        end_s = {0: last, HOUR_S: source.end_s // HOUR_S * HOUR_S}.get(rule.window_s)
        if rule.window_s == DAY_S:
            end_s = source.start_s + len(dated) * DAY_S
        gated = gates.get((asset.rpartition("-J")[0], name))
        want_rows += told(asset, rule, dated, end_s, gated)
        want += [(asset, name, *each) for each in walked(dated, rule)]
    for (string, name), dated in gates.items():
        rule = by_model[name, model_of[string]]
        end_s = last if rule.window_s == 0 else source.end_s // HOUR_S * HOUR_S
        may = [(t, 0 if may else None) for t, may in dated]
        quiet = replace(rule, warning=9e9, critical=9e9, below=False)
        want_rows += told(string, quiet, may, end_s)
    have_rows = written(place)
    assert sorted(have_rows, key=str) == sorted(want_rows, key=str)
    grid = tiny.config(run__sampling_seconds=step_s, run__duration_days=days).grid()
    grid = replace(grid, start=pd.Timestamp(source.start_s + OFFSET_S, unit="s").date())
    found = derived(source, grid, by_model, have_rows)
    have = [
        (
            row["battery_id"] or row["string_id"] or row["sensor_id"],
            *(row[k] for k in ("alert_type", "triggered_at", "severity", "escalated_at")),
            *(row[k] for k in ("resolved_at", "value")),
        )
        for row in found
    ]
    assert sorted(have, key=str) == sorted(want, key=str)
    assert sorted(told_of(place), key=str) == sorted(want, key=str)
    return found


def told_of(place):
    """Alerts as `alert.csv` tells of them."""
    with (place / "alert.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        asset = row["battery_id"] or row["string_id"] or row["sensor_id"]
        assert asset.startswith(row["string_id"] or row["location_id"])
        assert row["alert_id"] == f"{asset}/{row['alert_type']}/{row['triggered_at']}"
        assert row["status"] == ("resolved" if row["resolved_at"] else "open")
    return [
        (
            row["battery_id"] or row["string_id"] or row["sensor_id"],
            row["alert_type"],
            in_ms(row["triggered_at"]),
            row["severity"],
            in_ms(row["escalated_at"]),
            in_ms(row["resolved_at"]),
            float(row["value"]),
        )
        for row in rows
    ]


def in_ms(text):
    """Instant of a text, None of an empty one."""
    return round(1000 * datetime.fromisoformat(text).timestamp()) if text else None


def written(place):
    frame = read(place, "alert_condition")
    return [
        (*each[:6], None if pd.isna(each[6]) else round(1000 * each[6]))
        for each in zip(
            *(frame[c].tolist() for c in ("start_ts", "asset_id", "rule", "level", "end_ts")),
            frame.readings.tolist(),
            frame.extreme.tolist(),
            strict=True,
        )
    ]


def derived(source, grid: TimeGrid, by_model, rows):
    """Alerts by `alerts.alerts`, of each string and of the room."""
    found = []
    rows = [conditions.Condition(*row[:6], NULL if row[6] is None else row[6]) for row in rows]
    any_model = source.models.index[0]
    places = [(alerts.Place(HERE, sensor_id=source.sensor), any_model)]
    for string, (_, batteries) in source.strings.items():
        place = alerts.Place(HERE, string.rpartition("-")[0], string)
        places.append((place, batteries.model_id.iloc[0]))
    for place, model in places:
        rules = {name: rule for (name, of), rule in by_model.items() if of == model}
        key = place.string_id or place.sensor_id
        mine = [row for row in rows if row.asset_id == key or row.asset_id.startswith(f"{key}-J")]
        found += alerts.alerts(place, rules, grid, reversed(mine))
    return found


def generated(path, step_s, days, commissioned="2016-03-15", **overrides):
    return tiny.generate(
        path / "set",
        SYSTEMS,
        {"outages_per_year": 0.0, "commissioned": commissioned},
        run__seed=20_250_129,
        run__start_date="2025-01-29",
        run__sampling_seconds=step_s,
        run__duration_days=days,
        **overrides,
    )


def tightened():
    return tiny.config(**{f"alerts__{name}": keys for name, keys in TIGHT.items()}).to_alert_rules()


TIGHTENED = {f"alerts__{name}": keys for name, keys in TIGHT.items()}


@pytest.fixture(scope="module")
def eventful(tmp_path_factory):
    """Eleven days over the end of a month, with much that befalls them."""
    path = tmp_path_factory.mktemp("eventful")
    return generated(path, 600, 11, inject=EVENTS, execution__block_days=4)


def test_every_row_and_alert_of_an_eventful_run(eventful):
    found = compare(eventful, 600, 11, ALERT_RULES)
    by_type = {(row["alert_type"], row["battery_id"] or row["string_id"]) for row in found}
    assert ("jar_voltage_low", SHORTED) in by_type
    assert ("room_temperature", None) in by_type


@pytest.mark.parametrize(
    ("step_s", "days", "block_days"), [(600, 11, 3), (70, 2.5, 1), (86_400, 11, 4), (5400, 8, 8)]
)
def test_every_row_and_alert_at_tight_levels(tmp_path, step_s, days, block_days):
    """Samples that divide neither hour nor day; fewer than an hour has; one a day."""
    start = pd.Timestamp("2025-01-29")
    end = start + pd.Timedelta(days=days)
    events = [e for e in EVENTS if pd.Timestamp(e["at"]) < end]
    place = generated(
        tmp_path, step_s, days, inject=events, execution__block_days=block_days, **TIGHTENED
    )
    found = compare(place, step_s, days, tightened())
    severities = {row["severity"] for row in found}
    assert severities == {"warning", "critical"}
    if step_s == 600:
        assert {row["status"] for row in found} == {"open", "resolved"}
        assert any(row["escalated_at"] for row in found)
        assert {row["alert_type"] for row in found} == set(TIGHT)  # the last of a new unit
        weak = {r["battery_id"] for r in found if r["alert_type"] == "discharge_voltage_low"}
        assert weak == {WEAK}


def test_a_jar_comes_of_age(tmp_path):
    """Strings of 0.997 years, which are judged as others from the third day on."""
    place = generated(tmp_path, 600, 5, "2024-01-31", **TIGHTENED)
    found = compare(place, 600, 5, tightened())
    spread = [row["alert_type"] for row in found if row["alert_type"].startswith("jar_voltage_dev")]
    assert set(spread) == {"jar_voltage_deviation", "jar_voltage_deviation_first_year"}


# --- what there is nothing of ---------------------------------------------------------------------


def test_no_sample_no_reading(tmp_path):
    """A string that is silent for all of a run: nothing is known of it, and nothing is alarming."""
    loss = injection("sensor_fault", REC, "2025-01-29T00:00:00", "communication_loss")
    place = generated(tmp_path, 600, 3, inject=[{**loss, "duration_days": 3.0}])
    assert [row for row in compare(place, 600, 3, ALERT_RULES) if row["string_id"] == REC] == []
    rows = read(place, "alert_condition")
    mine = rows[rows.asset_id.str.startswith(REC)]
    assert set(mine.level) == {"unknown"}
    assert (mine.end_ts - mine.start_ts == DAY_S).all()


def test_a_run_shorter_than_any_persistence(tmp_path):
    hot = {"alerts__room_temperature": {"warning": 1.0, "critical": 2.0}}
    place = generated(tmp_path, 60, 0.005, **hot)  # 432 s, and the room rule wants 600
    rules = tiny.config(**hot).to_alert_rules()
    assert compare(place, 60, 0.005, rules) == []
    assert set(read(place, "alert_condition").level) == {"unknown", "clear", "warning", "critical"}


def test_a_battery_of_its_own_deviates_from_nothing(tmp_path):
    one = {"REC-01": {"kind": "REC", "jars_per_string": 1, "strings": {"S1": "HX12-120"}}}
    rules = {"alerts__jar_voltage_deviation": {"warning": 0.0, "critical": 0.0, "clear": 0.0}}
    keys = {"run__sampling_seconds": 600, "run__duration_days": 4, "run__seed": 1}
    place = tiny.generate(tmp_path / "set", one, **keys, **rules)
    rows = read(place, "alert_condition")
    assert set(rows[rows.rule == "jar_voltage_deviation"].level) == {"unknown"}


# --- the automaton by hand ------------------------------------------------------------------------

GRID = TimeGrid(pd.Timestamp("2025-01-01").date(), 4 * DAY_S, 300, OFFSET_S, "Asia/Bangkok")
ROOM = alerts.Place("L", sensor_id="E")
RULE = next(rule for rule in ALERT_RULES if rule.name == "room_temperature")


def at(day, hour, minute=0):
    return GRID.start_s + (day - 1) * DAY_S + hour * HOUR_S + minute * 60


def of_room(*rows):
    """Alerts of rows (level, from, until, extreme [degC]), in readings of 5 min."""
    made = [
        conditions.Condition(a, "E", RULE.name, level, b, (b - a) // 300, round(1000 * extreme))
        for level, a, b, extreme in rows
    ]
    return alerts.alerts(ROOM, {RULE.name: RULE}, GRID, made)


def test_an_alert_by_hand():
    (row,) = of_room(
        ("clear", at(1, 9), at(1, 12), 33.0),
        ("warning", at(1, 10), at(1, 11, 30), 33.0),
        ("critical", at(1, 10, 30), at(1, 11), 33.0),
    )
    assert row == {
        "alert_id": "E/room_temperature/2025-01-01T10:10:00+07:00",
        "location_id": "L",
        "system_id": None,
        "string_id": None,
        "battery_id": None,
        "sensor_id": "E",
        "alert_type": "room_temperature",
        "severity": "critical",
        "triggered_at": 1000 * at(1, 10, 10),
        "escalated_at": 1000 * at(1, 10, 40),
        "resolved_at": 1000 * at(1, 12),
        "status": "resolved",
        "message": "E: room temperature 33 degC, above the critical level of 32 degC",
        "value": 33.0,
        "threshold": 32.0,
    }


def test_midnight_neither_ends_nor_begins_an_alert():
    midnight = at(2, 0)
    (row,) = of_room(
        ("clear", at(1, 23, 50), midnight, 29.0),
        ("warning", at(1, 23, 55), midnight, 29.0),
        ("clear", midnight, at(2, 3), 30.0),
        ("warning", midnight, at(2, 0, 15), 30.0),
    )
    assert row["triggered_at"] == 1000 * at(2, 0, 5)
    assert (row["resolved_at"], row["value"]) == (1000 * at(2, 3), 30.0)


def test_a_day_of_which_nothing_is_known_leaves_an_alert_open():
    first = (("clear", at(1, 9), at(2, 0), 30.0), ("warning", at(1, 9), at(2, 0), 30.0))
    (ended,) = of_room(*first)
    assert ended["resolved_at"] == 1000 * at(2, 0)
    silence = ("unknown", at(2, 0), at(3, 0), 0.0), ("unknown", at(3, 0), at(3, 7), 0.0)
    (held,) = of_room(*first, *silence)
    assert held["resolved_at"] == 1000 * at(3, 7)
    whole = ("unknown", at(3, 0), at(4, 0), 0.0), ("unknown", at(4, 0), at(5, 0), 0.0)
    (open_,) = of_room(*first, silence[0], *whole)
    assert (open_["resolved_at"], open_["status"]) == (None, "open")


def test_a_streak_at_the_edge_of_a_day_that_goes_no_further_is_no_alert():
    assert (
        of_room(
            ("clear", at(1, 23, 55), at(2, 0), 29.0), ("warning", at(1, 23, 55), at(2, 0), 29.0)
        )
        == []
    )


def test_no_second_alert_while_one_is_open():
    rows = [("clear", at(1, 9), at(1, 20), 29.0)]
    rows += [("warning", at(1, h), at(1, h, 30), 29.0) for h in (10, 12, 14)]
    assert [row["triggered_at"] for row in of_room(*rows)] == [1000 * at(1, 10, 10)]
    again = [("clear", at(1, 21), at(1, 22), 31.0), ("warning", at(1, 21), at(1, 21, 20), 31.0)]
    assert len(of_room(*rows, *again)) == 2


# --- the score ------------------------------------------------------------------------------------


def raised(day, severity="critical", until=None, kind="jar_voltage_low", jar="S-J1"):
    return {
        "alert_type": kind,
        "severity": severity,
        "battery_id": jar,
        "string_id": None if jar is None and kind == "room_temperature" else "S",
        "sensor_id": "E" if jar is None and kind == "room_temperature" else None,
        "triggered_at": 1000 * at(day, 0),
        "resolved_at": None if until is None else 1000 * at(until, 0),
    }


def test_the_score_by_hand():
    year = replace(GRID, duration_s=365 * DAY_S + DAY_S // 4)
    fails = score.Trouble("S-J1", "dry_out", at(100, 0), due_s=at(200, 0))
    out = score.Trouble("S", score.CHARGER, at(300, 0), at(310, 0))
    hot = score.Trouble("E", score.COOLING, at(20, 0), at(21, 0))
    rows = [
        raised(150),  # fails
        raised(60, until=69),  # 31 days before it begins to
        raised(60, until=71),  # 29 days before
        raised(150, until=160, jar="S-J2"),  # of another jar
        raised(305, jar="S-J2", severity="warning", until=306),  # the charger's
        raised(305, jar="S-J2", kind="resistance_increase"),  # which no charger explains
        raised(20, jar="S-J2", kind="jar_temperature", until=22),  # the room's
        raised(150, jar=None, kind="string_temperature_spread"),  # of the string, for a jar
    ]
    found = score.score(rows, [fails, out, hot], year)
    assert found == {
        "string_s": 31_557_600,
        "raised/jar_voltage_low/critical": 4,
        "true/jar_voltage_low/critical": 2,
        "false/jar_voltage_low/critical": 2,
        "raised/jar_voltage_low/warning": 1,
        "true/jar_voltage_low/warning": 1,
        "raised/resistance_increase/critical": 1,
        "false/resistance_increase/critical": 1,
        "raised/jar_temperature/critical": 1,
        "true/jar_temperature/critical": 1,
        "raised/string_temperature_spread/critical": 1,
        "true/string_temperature_spread/critical": 1,
        "foreseen/jar_voltage_low/critical": 3,  # also the one that was over too early
        "foreseen/jar_voltage_low/warning": 1,
        "foreseen/jar_temperature/critical": 1,
        "foreseen/string_temperature_spread/critical": 1,
        "due/dry_out": 1,
        "caught/dry_out": 1,
        "lead_s/dry_out": 50 * DAY_S,
        "announced/jar_voltage_low/critical": 1,
    }
    by_rule = {(r.alert_type, r.severity): tuple(r[2:]) for r in score.by_rule(found)}
    assert by_rule == {
        ("jar_temperature", "critical"): (1, 1, 1.0, 1.0, 0.0),
        ("jar_voltage_low", "critical"): (4, 2, 0.5, 0.75, 1.0),
        ("jar_voltage_low", "warning"): (1, 1, 1.0, 1.0, 0.0),
        ("resistance_increase", "critical"): (1, 0, 0.0, 0.0, 0.0),
        ("string_temperature_spread", "critical"): (1, 1, 1.0, 1.0, 0.0),
    }
    assert score.string_years(found) == 1.0
    assert score.few_false_criticals(found) is None  # one more or less would decide
    assert score.few_false_criticals({**found, "string_s": 3 * 31_557_600})  # 3 false ones in 3
    found_more = {**found, "false/ripple_current/critical": 1, "string_s": 3 * 31_557_600}
    assert score.few_false_criticals(found_more) is False
    rates = score.rates(found)
    assert (rates["precision_warning"], rates["recall"]) == (1.0, 1.0)
    assert rates["false_critical_per_string_year"] == 3.0
    assert rates["precision"] == 5 / 8
    assert rates["precision_critical"] == 4 / 7
    assert rates["recall/dry_out"] == 1.0


def test_what_ends_after_the_run_was_foreseen_within_a_year():
    later = [score.Trouble("S-J1", "worn", at(d, 0), due_s=at(d, 0)) for d in (365, 368)]
    (in_time,), (too_late,) = (
        score.by_rule(score.score([raised(2)], [trouble], GRID)) for trouble in later
    )
    assert (in_time.true, in_time.foreseen, in_time.recall) == (0, 1.0, None)
    assert (too_late.true, too_late.foreseen) == (0, 0.0)


def test_nothing_raised_has_no_precision():
    assert score.by_rule(score.score([], [], GRID)) == []
    found = score.rates(score.score([], [], GRID))
    assert (found["precision"], found["false_critical_per_string_year"]) == (None, 0.0)


def test_an_alert_that_was_over_when_the_end_came_caught_nothing():
    fails = score.Trouble("S-J1", "dry_out", at(1, 0), due_s=at(3, 0))
    found = score.score([raised(1, until=2)], [fails], GRID)
    assert ("caught/dry_out" in found, found["due/dry_out"]) == (False, 1)


# --- configuration --------------------------------------------------------------------------------


def test_all_faults_of_the_rules_at_once():
    with pytest.raises(ConfigError) as told:
        tiny.config(
            alerts__room_temperature={"warning": 200.0, "persistence_seconds": 1.5, "typo": 1},
            alerts__jar_voltage_low={"warning": 12.0},
            alerts__jar_temperature={"warning": 40.0},
            alerts__ripple_current=3,
            alerts__room={},
        )
    lines = str(told.value).splitlines()
    assert len(lines) == 7
    for part in (
        "room_temperature.warning = 200.0: must be a level from -20 to 70 degC",
        "room_temperature.persistence_seconds = 1.5: must be a whole number",
        "room_temperature.typo = 1: no such key; known: warning, critical, clear",
        "jar_voltage_low.critical = 12.9: must be at most warning, 12",
        "jar_temperature.critical = none: warning and critical are given together",
        "ripple_current = 3: must be a table of keys",
        "alerts.room = {}: no such key",
    ):
        assert any(part in line for line in lines), part


def test_levels_are_of_the_plan():
    usual, other = tiny.config(), tiny.config(alerts__room_temperature={"warning": 27.0})
    assert usual.to_alert_rules() == ALERT_RULES
    assert usual.digest() != other.digest()
    assert [r for r in other.to_alert_rules() if r not in ALERT_RULES] == [
        replace(RULE, warning=27.0)
    ]
