"""The leak test: a sample of strings derived again from measured tables alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from datetime import date

from fleetgen.schema import ALERT, BATTERY, RUL_PREDICTION
from fleetgen.spec import HistoryJob, StringJob
from fleetgen.units import day_number
from fleetgen.validate.findings import Finding
from fleetgen.validate.place import Place, Row
from fleetgen.validate.recompute import Again, RecomputeJob

STRINGS = 1
"""Strings that are derived again: one takes as long as reading it, and the decoding to counts."""

_IN_WORDS = "derived again from the measured tables and battery.csv alone; strings: "


def sampled(place: Place) -> list[RecomputeJob]:
    """Strings to be derived again: of one plan the same ones, those with all their jars first."""
    histories = place.plan.histories
    rooms = {
        job.parts[0].location.location_id: job
        for job in histories
        if not isinstance(job.parts[0], StringJob)
    }
    rows: dict[str, list[Row]] = {}
    for row in place.rows(BATTERY.name):
        if not row.get("replacement_of"):
            rows.setdefault(row["string_id"], []).append(row)
    swapped = {row["string_id"] for row in place.rows(BATTERY.name) if row.get("replacement_of")}
    ranked = []
    for job in histories:
        first = job.parts[0]
        if isinstance(first, StringJob) and first.string.string_id in rows:
            string = first.string
            cut = len(first.jar_ids) < len(string.jar_ids)
            text = f"{place.record.digest}\n{string.string_id}".encode()
            rank = cut, string.string_id in swapped, hashlib.sha256(text).digest()
            ranked.append((rank, job, rooms[first.location.location_id]))
    return [
        _job(job, room, rows[job.key])
        for _, job, room in sorted(ranked, key=lambda each: each[0])[:STRINGS]
    ]


def _job(job: HistoryJob, room: HistoryJob, rows: list[Row]) -> RecomputeJob:
    per_unit = BATTERY.column("initial_resistance_mohm").per_unit
    return RecomputeJob(
        job,
        room,
        {r["battery_id"]: round(float(r["initial_resistance_mohm"]) * per_unit) for r in rows},
        {r["battery_id"]: day_number(date.fromisoformat(r["installed_date"])) for r in rows},
    )


def leaks(place: Place, found: Iterable[Again]) -> Iterator[Finding]:
    """Findings on the sample, by table."""
    again = list(found)
    fault = next((each.fault for each in again if each.fault), "")
    names = ", ".join(each.job for each in again)
    for table in ("feature_store", "alert_condition"):
        compared = sum(each.compared.get(table, 0) for each in again)
        differing = sum(each.differing.get(table, 0) for each in again)
        example = next((e.examples[table] for e in again if table in e.examples), "")
        yield _finding(table, differing, compared, fault, example, names)
    for name, rows in (
        (ALERT.name, {each.job: each.alerts for each in again}),
        (RUL_PREDICTION.name, {each.job: each.predictions for each in again}),
    ):
        made = {_key(row) for each in rows.values() for row in each}
        there = {_key(row) for row in place.rows(name) if _string_of(row) in rows}
        odd = sorted(made ^ there)
        example = " ".join(text for _, text in odd[0]) if odd else ""
        yield _finding(name, len(odd), len(made | there), fault, example, names)


def _finding(
    table: str, differing: int, compared: int, fault: str, example: str, names: str
) -> Finding:
    what = "rows that differ from what measured values alone give"
    bad = differing + bool(fault)
    nothing = not compared and not bad
    return Finding(
        f"leak.{table}",
        f"{what}: no rows to compare" if nothing else f"{what}, of {compared:,} in a sample",
        None if nothing else bad,
        0,
        0,
        f"{_IN_WORDS}{names}",
        fault or example,
    )


def _key(row: Row) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, text) for name, text in row.items() if isinstance(text, str)))


def _string_of(row: Row) -> str:
    return row.get("string_id") or row.get("battery_id", "").rpartition("-J")[0]
