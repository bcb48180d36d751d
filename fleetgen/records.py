"""What a part tells of maintenance and of remaining life: row groups, and rows of events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleetgen import digest, maintenance, measure, system
from fleetgen.crew import CAUSES, Crew, Swap, unit_id
from fleetgen.life import EOL_REASONS
from fleetgen.model import electrical, failures, params, stepper
from fleetgen.rows import texts
from fleetgen.sample import BlockClock, Tally
from fleetgen.schema import (
    CAPACITY_TEST_CALC,
    CAPACITY_TEST_RAW,
    EVENT_TYPES,
    IMPEDANCE_MEASUREMENT_CALC,
    IMPEDANCE_MEASUREMENT_RAW,
    RUL_TRUTH,
    Table,
)
from fleetgen.simulate import BlockReplay, SlowPath
from fleetgen.spec import NULL, Codes, Instants, Plain, RowGroup
from fleetgen.system import ServiceDays, SystemModel
from fleetgen.units import SECONDS_PER_DAY, SECONDS_PER_HOUR, iso_instant

Ints = NDArray[np.int64]
Row = dict[str, Any]

_ROUND, (_EQUALIZE, _CAPACITY_TEST, _REPLACEMENT) = EVENT_TYPES[2], EVENT_TYPES[-3:]


# --- remaining life -------------------------------------------------------------------------------


def rul_group(
    model: SystemModel,
    path: SlowPath,
    s: int,
    service: ServiceDays,
    wanted: tuple[str, ...],
    clock: BlockClock,
    tally: Tally,
) -> RowGroup:
    """Remaining life of all wanted jars at each local midnight of the block."""
    grid, block = clock.grid, clock.block
    midnights = np.array([grid.midnight_s(d) for d in range(block.first_day, block.end_day)])
    days = (midnights - grid.start_s) / SECONDS_PER_DAY
    numbers = _numbers(path, s, midnights, len(model.system.strings[s].jar_ids))
    stamp = Instants(1000 * int(midnights[0]), 1000 * SECONDS_PER_DAY, len(midnights))
    prefix = digest.instant_prefix(stamp.first_ms, stamp.step_ms, stamp.rows)
    bounds = np.arange(block.days + 1)
    ids: list[str] = []
    groups: list[RowGroup] = []
    for j, jar_id in enumerate(model.system.strings[s].jar_ids):
        if jar_id not in wanted:
            continue
        at = np.array([path.unit_index(s, j, number) for number in numbers[j].tolist()])
        left, mode = path.end_days[at] - days, path.failure[at]
        ends = np.isfinite(left)
        begun = path.onset_days[at] <= days
        soh = service.days.soh[: len(days), j]
        group: RowGroup = {
            "soh_pct": Plain(np.floor(soh * 100_000.0 + 0.5).astype(np.int64)),
            "rul_days": Plain(
                np.where(ends, np.floor(1000.0 * np.fmax(left, 0.0) + 0.5), NULL).astype(np.int64)
            ),
            "eol_reason": Codes(
                np.where(ends, path.by_mode[at], len(EOL_REASONS)).astype(np.uint8),
                (*EOL_REASONS, None),
            ),
            "rul_censored": Plain((~ends).astype(np.int64)),
            "failure_mode": Codes(
                np.where(begun, mode, len(failures.MODES)).astype(np.uint8),
                (*failures.MODES, None),
            ),
        }
        names = [unit_id(jar_id, number) for number in numbers[j].tolist()]
        for name in dict.fromkeys(names):
            first, end = names.index(name), len(names) - names[::-1].index(name)
            part: RowGroup = {c: _cut(chunk, first, end) for c, chunk in group.items()}
            tally.digest(RUL_TRUTH, name, part, prefix, first, bounds)
        ids += names
        groups.append(group)
    keys: RowGroup = {
        "ts": Plain(1000 * np.tile(midnights, len(groups))),
        "battery_id": texts(ids),
    }
    return {**keys, **{name: _joined([g[name] for g in groups]) for name in RUL_TRUTH.names[2:]}}


def _numbers(path: SlowPath, s: int, instants_s: Ints, jars: int) -> Ints:
    """Which unit of each position is in service at instants, (jar, instant)."""
    numbers = np.ones((jars, len(instants_s)), np.int64)
    for w in path.swaps:
        if w.string == s:
            numbers[w.jar, instants_s >= w.at_s] = w.number
    return numbers


def _unit_at(model: SystemModel, path: SlowPath, s: int, j: int, instant_s: int) -> str:
    number = _numbers(path, s, np.array([instant_s]), len(model.system.strings[s].jar_ids))[j, 0]
    return unit_id(model.system.strings[s].jar_ids[j], int(number))


# --- capacity tests and impedance rounds ----------------------------------------------------------


def measured_groups(
    model: SystemModel,
    path: SlowPath,
    s: int,
    played: BlockReplay,
    wanted: tuple[str, ...],
    clock: BlockClock,
) -> Iterator[tuple[Table, RowGroup]]:
    """Row groups of the capacity tests and impedance rounds of the block, in order of tables."""
    jars = [j for j, name in enumerate(model.system.strings[s].jar_ids) if name in wanted]
    rows = [
        *_tests(model, path, s, played, jars, clock),
        *_rounds(model, path, s, played, jars, clock),
    ]
    for table in (
        CAPACITY_TEST_RAW,
        CAPACITY_TEST_CALC,
        IMPEDANCE_MEASUREMENT_RAW,
        IMPEDANCE_MEASUREMENT_CALC,
    ):
        mine = [row for each, row in rows if each is table]
        if mine:
            yield table, _group(table, mine)


def _tests(
    model: SystemModel,
    path: SlowPath,
    s: int,
    played: BlockReplay,
    jars: list[int],
    clock: BlockClock,
) -> Iterator[tuple[Table, Row]]:
    grid, block, string_id = clock.grid, clock.block, model.system.strings[s].string_id
    first_s, until_s = grid.midnight_s(block.first_day), _until_s(clock)
    for (string, start, end, state), result in zip(path.test.tolist(), path.test_jar, strict=True):
        if string != s or start >= until_s or end < first_s:
            continue
        name = event_id(model, string_id, _CAPACITY_TEST, start)
        log = measure.log_of_test(model, s, played.t_s, played.replay, start, end)
        for j in jars:
            unit = _unit_at(model, path, s, j, start)
            for row in _log_rows(log, j, unit, name, until_s):
                yield CAPACITY_TEST_RAW, row
            if state == maintenance.WHOLE and first_s <= end < until_s:
                capacity = measure.Capacity(*result.T)
                yield CAPACITY_TEST_CALC, _test_row(unit, name, start, end, capacity, j)


def _rounds(
    model: SystemModel,
    path: SlowPath,
    s: int,
    played: BlockReplay,
    jars: list[int],
    clock: BlockClock,
) -> Iterator[tuple[Table, Row]]:
    first_s, until_s = clock.grid.midnight_s(clock.block.first_day), _until_s(clock)
    for (string, start), readings in zip(path.round.tolist(), path.round_jar, strict=True):
        if string != s or not first_s <= start < until_s:
            continue
        name = event_id(model, model.system.strings[s].string_id, _ROUND, start)
        for j in jars:
            at_s = measure.jar_read_s(start, j, len(readings))
            crew = played.service.crew_at(at_s)
            unit, baseline = crew.unit_ids[j], int(crew.units.acceptance_uohm[j])
            rows = _reading_rows(unit, name, at_s, readings[j], until_s)
            for row in rows:
                yield IMPEDANCE_MEASUREMENT_RAW, row
            if len(rows) == measure.READINGS:
                result = _impedance_row(unit, name, at_s, readings[j], baseline)
                yield IMPEDANCE_MEASUREMENT_CALC, result


def _until_s(clock: BlockClock) -> int:
    """End of the block, or of the run within it."""
    return min(clock.grid.midnight_s(clock.block.end_day), clock.grid.end_s)


def _log_rows(log: measure.TestLog, j: int, unit: str, test_id: str, until_s: int) -> Iterator[Row]:
    columns = log.t_s, log.voltage[j], log.temperature[j], log.current
    for t, volts, degrees, amperes in zip(*(c.tolist() for c in columns), strict=True):
        if t < until_s:
            yield {
                "ts": 1000 * t,
                "battery_id": unit,
                "test_id": test_id,
                "voltage_v": volts,
                "temperature_c": degrees,
                "current_a": amperes,
            }


def _test_row(
    unit: str, test_id: str, start: int, end: int, result: measure.Capacity, j: int
) -> Row:
    code = int(result.result[j])
    factor = electrical.capacity_at_temperature(int(result.start_dc[j]) / 10.0)
    return {
        "ts": 1000 * end,
        "battery_id": unit,
        "test_id": test_id,
        "started_at": 1000 * start,
        "ended_at": 1000 * end,
        "discharge_min": end - start,
        "end_voltage_v": int(result.end_mv[j]),
        "start_temperature_c": int(result.start_dc[j]),
        "temperature_factor": int(10_000.0 * factor + 0.5),
        "capacity_pct": int(result.capacity[j]),
        "capacity_censored": int(result.censored[j]),
        "result": None if code == measure.UNDECIDED else measure.RESULTS[code],
    }


def _reading_rows(unit: str, name: str, at_s: int, readings: Ints, until_s: int) -> list[Row]:
    return [
        {
            "ts": 1000 * t,
            "battery_id": unit,
            "round_id": name,
            "reading": n + 1,
            "resistance_mohm": int(readings[n]),
            "temperature_c": int(readings[measure.READINGS]),
        }
        for n in range(measure.READINGS)
        if (t := at_s + n * int(params.METER_READING_TIME.value)) < until_s
    ]


def _impedance_row(unit: str, name: str, at_s: int, readings: Ints, baseline: int) -> Row:
    result = measure.impedance(readings[np.newaxis])
    corrected = int(result.corrected[0])
    return {
        "ts": 1000 * at_s,
        "battery_id": unit,
        "round_id": name,
        "resistance_mohm": int(result.median[0]),
        "temperature_c": int(readings[measure.READINGS]),
        "resistance_25c_mohm": corrected,
        "baseline_change_pct": (2 * 10_000 * (corrected - baseline) + baseline) // (2 * baseline),
    }


def _group(table: Table, rows: list[Row]) -> RowGroup:
    group: RowGroup = {}
    for column in table.columns:
        values = [row[column.name] for row in rows]
        told = column.kind in ("id", "category", "text")
        group[column.name] = texts(values) if told else Plain(np.array(values, np.int64))
    return group


def _cut(chunk: Any, first: int, end: int) -> Codes | Plain:
    if isinstance(chunk, Codes):
        return Codes(chunk.codes[first:end], chunk.levels)
    return Plain(chunk.counts[first:end])


def _joined(chunks: list[Any]) -> Codes | Plain:
    if isinstance(chunks[0], Codes):
        return Codes(np.concatenate([c.codes for c in chunks]), chunks[0].levels)
    return Plain(np.concatenate([c.counts for c in chunks]))


# --- events ---------------------------------------------------------------------------------------


def event_id(model: SystemModel, entity: str, kind: str, start_s: int) -> str:
    """Id of a piece of work, by what it is on, its type and its start."""
    return f"{entity}/{kind}/{iso_instant(start_s, model.grid.utc_offset_s)}"


def events(model: SystemModel, path: SlowPath, s: int, wanted: Iterable[str]) -> tuple[Row, ...]:
    """Rows of maintenance on string `s` and its wanted positions that began in the run, in order.

    As the schema has them, instants [ms].
    """
    string = model.system.strings[s]
    start_s, end_s = model.grid.start_s, model.grid.end_s
    rows = [
        _event(model, s, maintenance.PLANNED[code], a, b, _planned_finding(model, path, s, code, a))
        for code, each, a, b in maintenance.calendar(model)
        if each == s
    ]
    t = model.timeline
    for a, b in zip(t.equalize_start_s.tolist(), t.equalize_end_s.tolist(), strict=True):
        if start_s <= a < end_s:
            rows.append(_event(model, s, _EQUALIZE, a, b, _equalized(path, s, a, b)))
    over = {
        row[1]: (row, jars)
        for row, jars in zip(path.test.tolist(), path.test_jar, strict=True)
        if row[0] == s
    }
    for a in t.tests_s(s).tolist():
        if start_s <= a < end_s:
            b, finding = _tested(over.get(a))
            rows.append(_event(model, s, _CAPACITY_TEST, a, b, finding))
    positions = set(wanted)
    for w in path.swaps:
        if w.string == s and w.off_s < end_s and string.jar_ids[w.jar] in positions:
            rows.append(_replacement(model, w))
    return tuple(sorted(rows, key=lambda row: (row["started_at"], row["event_id"])))


def _event(
    model: SystemModel, s: int, kind: str, start_s: int, end_s: int | None, finding: str | None
) -> Row:
    string_id = model.system.strings[s].string_id
    complete = end_s is not None and end_s < model.grid.end_s
    return {
        "event_id": event_id(model, string_id, kind, start_s),
        "event_type": kind,
        "location_id": model.location.location_id,
        "system_id": model.system.system_id,
        "string_id": string_id,
        "battery_id": None,
        "started_at": 1000 * start_s,
        "completed_at": 1000 * end_s if complete and end_s is not None else None,
        "finding": finding if complete else None,
        "cause": None,
        "found_at": None,
        "replacement_id": None,
    }


def _replacement(model: SystemModel, w: Swap) -> Row:
    jar_id = model.system.strings[w.string].jar_ids[w.jar]
    old, new = unit_id(jar_id, w.number - 1), unit_id(jar_id, w.number)
    row = _event(model, w.string, _REPLACEMENT, w.off_s, w.at_s, "new unit")
    complete = row["completed_at"] is not None
    return {
        **row,
        "event_id": event_id(model, old, _REPLACEMENT, w.off_s),
        "battery_id": old,
        "cause": CAUSES[w.cause],
        "found_at": 1000 * w.found_s,
        "replacement_id": new if complete else None,
    }


def _planned_finding(model: SystemModel, path: SlowPath, s: int, code: int, start_s: int) -> str:
    if code != maintenance.ROUND:
        return "done"
    at = np.flatnonzero((path.round == (s, start_s)).all(axis=1))
    if not at.size:
        return "done"
    corrected = measure.impedance(path.round_jar[at[0]]).corrected
    service = _crew_before(model, path, s, start_s)
    ratio = corrected / service.units.acceptance_uohm
    high = int((ratio > params.RESISTANCE_WARNING.value).sum())
    share = round(100.0 * (params.RESISTANCE_WARNING.value - 1.0))
    return f"{high} of {len(ratio)} jars above +{share} %"


def _crew_before(model: SystemModel, path: SlowPath, s: int, instant_s: int) -> Crew:
    return [e.crew for e in system.services(model, s, path.swaps) if e.at_s <= instant_s][-1]


def _equalized(path: SlowPath, s: int, start_s: int, end_s: int) -> str:
    inside = (path.t_s >= start_s) & (path.t_s < end_s) & (path.mode[s] == stepper.EQUALIZE)
    hours = float(path.dt_s[inside].sum()) / SECONDS_PER_HOUR
    return f"{hours:.1f} h"


def _tested(over: tuple[list[int], Ints] | None) -> tuple[int | None, str | None]:
    if over is None:
        return None, None
    (_, _, end, state), jars = over
    if state != maintenance.WHOLE:
        return (end, "aborted") if state == maintenance.ABORTED else (None, None)
    result = measure.Capacity(*jars.T)
    lowest = int(result.capacity.min()) / 100.0
    worst = int(result.result[result.censored == 0].min(initial=measure.PASS))
    return end, f"{measure.RESULTS[worst]}, {lowest:.2f} %"
