"""What closes with the run, held against the plan and against what was seen of all parts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime, timedelta

from fleetgen.schema import PARTED, STATES_FILE, TABLES
from fleetgen.units import SECONDS_PER_DAY, day_date, iso_instant
from fleetgen.validate import bands, queries
from fleetgen.validate.findings import Finding
from fleetgen.validate.look import Seen
from fleetgen.validate.place import Place

_IN_WORDS = f"{STATES_FILE}, as the usage guide reads it"


def closed(place: Place, seen: Seen) -> Iterator[Finding]:
    """Findings on the tables that close with the run."""
    yield from _tables(place, seen)
    yield from _profiles(place)
    yield from _batteries(place, seen)
    yield from _alerts(place, seen)
    yield from _maintenance(place)


def _tables(place: Place, seen: Seen) -> Iterator[Finding]:
    bad = place.unreadable
    yield Finding(
        "files.closing",
        "files at the top that are missing or cannot be read as their table",
        len(bad),
        0,
        0,
        "the files of the plan at the top of the data set",
        ", ".join(bad),
    )
    for table in TABLES.values():
        if table not in PARTED:
            rows = place.rows(table.name)
            doubled = len(rows) - len({tuple(row.get(k) for k in table.key) for row in rows})
            yield Finding(
                f"keys.{table.name}",
                "rows with the key of another one",
                doubled,
                0,
                0,
                queries.keys(table.name),
            )
    units = {row["battery_id"] for row in place.rows("battery") if "battery_id" in row}
    jars = {u for u in seen.units if "-J" in u}
    strange = sorted(jars - units)
    yield Finding(
        "units",
        "units in the telemetry that battery.csv does not have",
        len(strange),
        0,
        0,
        "SELECT count(DISTINCT battery_id) FROM {telemetry_jar_raw} "
        "WHERE battery_id NOT IN (SELECT battery_id FROM {battery})",
        ", ".join(strange[:3]),
    )
    odd = sorted(units ^ place.states.keys())
    yield Finding(
        "units.states",
        "units of battery.csv without a final state, and final states of no unit",
        len(odd),
        0,
        0,
        f"battery_id of battery.csv against {_IN_WORDS}",
        ", ".join(odd[:3]),
    )


def _profiles(place: Place) -> Iterator[Finding]:
    """Shares of the degradation profiles: a binomial of so many batteries, four deviations wide."""
    forced = sum(each.kind == "profile" for each in place.plan.run.scenario.injections)
    first = [each.get("profile") for name, each in place.states.items() if "-R" not in name[-4:]]
    number = len(first)
    judged = number >= bands.FEW_BATTERIES
    for profile in place.plan.run.scenario.profiles:
        share = profile.share
        wide = bands.PROFILE_SIGMA * math.sqrt(share * (1 - share) / max(1, number))
        wide += (0.5 + forced) / max(1, number)
        yield Finding(
            f"profile.{profile.name}",
            f"share of batteries, drawn with {share:.0%}"
            + ("" if judged else ": too few batteries"),
            first.count(profile.name) / number if judged else None,
            round(max(0.0, share - wide), 4),
            round(min(1.0, share + wide), 4),
            f"share of `profile` in {_IN_WORDS}, of units in service at the start",
        )


def _batteries(place: Place, seen: Seen) -> Iterator[Finding]:
    found = [each for each in place.states.values() if isinstance(each.get("soh_pct"), float)]
    days = place.plan.run.grid.duration_s / SECONDS_PER_DAY
    short = days <= bands.SHORT_RUN_DAYS and len(found) >= bands.FEW_BATTERIES
    low, high = bands.GUIDE_MEAN_SOH_PCT if short else (bands.LEAST_MEAN_SOH_PCT, 100.0)
    few = len(found) < bands.FEW_BATTERIES
    yield Finding(
        "mean.soh",
        "mean SOH at the end [%] (usage guide: 90 to 100 for short runs)"
        + (": too few batteries" if few else ""),
        None if few else sum(round(1000 * e["soh_pct"]) for e in found) / len(found) / 1000,
        low,
        high,
        f"mean of `soh_pct` in {_IN_WORDS}",
    )
    failed = [each for each in place.states.values() if each.get("failed")]
    yield Finding(
        "failed.grows",
        "failed batteries at the end less those at the start",
        len(failed) - seen.counts["failed at first"],
        0,
        None,
        f"`failed` in {_IN_WORDS}, less SELECT count(*) FROM {{rul_truth}} WHERE rul_days = 0 "
        "AND ts = (SELECT min(ts) FROM {rul_truth})",
    )
    undated = [
        n for n, e in place.states.items() if bool(e.get("failed")) != bool(e.get("failure_date"))
    ]
    yield Finding(
        "failed.dates",
        "final states that have failed without a date, or the other way round",
        len(undated),
        0,
        0,
        f"`failed` against `failure_date` in {_IN_WORDS}",
        ", ".join(undated[:3]),
    )


def _alerts(place: Place, seen: Seen) -> Iterator[Finding]:
    raised: set[tuple[str, str]] = set()
    by_unit: Counter[str] = Counter()
    for row in place.rows("alert"):
        asset = row["battery_id"] or row["string_id"] or row["sensor_id"]
        raised.add((asset, row["alert_type"]))
        by_unit[row["battery_id"]] += bool(row["battery_id"])
    silent = sorted(seen.due - raised)
    yield Finding(
        "alerts.raised",
        "assets and rules that were beyond the warning level for long enough without an alert",
        len(silent),
        0,
        0,
        "alert_condition, spans of level warning or critical as long as the rule's persistence, "
        "against asset and alert_type of alert.csv",
        "; ".join(" ".join(each) for each in silent[:3]),
    )
    unfounded = sorted(raised - seen.beyond)
    yield Finding(
        "alerts.founded",
        "assets and rules with an alert that were never beyond the warning level",
        len(unfounded),
        0,
        0,
        "asset and alert_type of alert.csv against alert_condition",
        "; ".join(" ".join(each) for each in unfounded[:3]),
    )
    mildest = place.plan.run.scenario.profiles[0].name
    worse = {
        name
        for name, each in place.states.items()
        if each.get("profile") != mildest or each.get("failure_mode") or each.get("failed")
    }
    sound = place.states.keys() - worse
    number = sum(by_unit.values())
    enough = number >= bands.FEW_ALERTS and bool(worse) and bool(sound)
    what = "alerts of a degraded jar over those of another one, means"
    value = None
    if enough:
        many = sum(by_unit[unit] for unit in worse) / len(worse)
        few = sum(by_unit[unit] for unit in sound) / len(sound)
        value = min(1000.0, many / few) if few else 1000.0
    yield Finding(
        "alerts.degraded",
        what if enough else f"{what}: too few alerts",
        value,
        1.0,
        None,
        "alerts by battery_id of alert.csv; degraded: another profile than the mildest, or a "
        f"failure, in {_IN_WORDS}",
    )


def _maintenance(place: Place) -> Iterator[Finding]:
    grid = place.plan.run.grid
    events = place.rows("maintenance_event")
    begin, end = (iso_instant(t, grid.utc_offset_s) for t in (grid.start_s, grid.end_s))
    span = datetime.fromisoformat(begin), datetime.fromisoformat(end)
    outside = [
        e["event_id"]
        for e in events
        if not span[0] <= datetime.fromisoformat(e["started_at"]) < span[1]
    ]
    yield Finding(
        "maintenance.within",
        "maintenance events that began outside of the run",
        len(outside),
        0,
        0,
        "SELECT count(*) FROM {maintenance_event} "
        f"WHERE started_at < '{begin}' OR started_at >= '{end}'",
        ", ".join(outside[:3]),
    )
    whole_days = grid.duration_s // SECONDS_PER_DAY
    months = [*_whole_months(grid.first_day, grid.first_day + whole_days)]
    held = Counter(
        (e["string_id"], e["started_at"][:7]) for e in events if e["event_type"] == "inspection"
    )
    wanted = [(string, month) for string in place.plan.selected for month in months]
    odd = [f"{string} {month}" for string, month in wanted if held[string, month] != 1]
    what = "strings and whole months without exactly one inspection"
    yield Finding(
        "maintenance.inspections",
        what if months else f"{what}: no whole month",
        len(odd) if months else None,
        0,
        0,
        "WITH m AS (SELECT unnest([" + ", ".join(f"'{m}'" for m in months) + "]) AS month), "
        "e AS (SELECT string_id, strftime(started_at::TIMESTAMPTZ AT TIME ZONE "
        f"'{grid.time_zone}', '%Y-%m') AS month FROM {{maintenance_event}} "
        "WHERE event_type = 'inspection'), n AS (SELECT s.string_id, m.month, "
        "count(e.string_id) AS n FROM {string} AS s CROSS JOIN m LEFT JOIN e ON "
        "e.string_id = s.string_id AND e.month = m.month GROUP BY ALL) "
        "SELECT count(*) FROM n WHERE n.n <> 1",
        ", ".join(odd[:3]),
    )


def _whole_months(first_day: int, end_day: int) -> Iterator[str]:
    """Months all of whose days lie in [first_day, end_day)."""
    first, end = day_date(first_day), day_date(end_day)
    month = date(first.year, first.month, 1)
    while True:
        following = (month + timedelta(days=32)).replace(day=1)
        if following > end:
            return
        if month >= first:
            yield f"{month:%Y-%m}"
        month = following
