"""What was seen of all parts, held against bands and budgets."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from fleetgen.model import params
from fleetgen.plan import Plan, estimate
from fleetgen.schema import (
    FEATURE_STORE,
    MODES,
    RECORDS,
    RUL_TRUTH,
    TELEMETRY,
    Table,
)
from fleetgen.units import SECONDS_PER_DAY, SECONDS_PER_HOUR
from fleetgen.validate import bands, budgets, queries
from fleetgen.validate.findings import Finding
from fleetgen.validate.look import Seen
from fleetgen.validate.place import Place
from fleetgen.validate.strings import merged


def judged(place: Place, seen: Seen) -> Iterator[Finding]:
    """Findings on all tables that lie in parts."""
    yield _files(seen)
    expected = estimate(place.plan, 1).rows
    for table in TELEMETRY:
        yield from _clock(place.plan, table, expected[table.name], seen)
    for table in RECORDS:
        for each in (_doubled(table, seen), _impossible(table, seen)):
            happened = seen.counts[f"{table.name} rows"] > 0
            nothing = replace(each, value=None, what=f"{each.what}: nothing happened")
            yield each if happened or not each.ok else nothing
    yield from _ranges(seen)
    yield from _consistent(seen)
    yield from _kirchhoff(place.plan, seen)
    yield from _balance(seen)
    yield from _health(place, seen)
    yield from _means(seen)


def _files(seen: Seen) -> Finding:
    bad = seen.counts["files missing"] + len(seen.unreadable)
    return Finding(
        "files",
        "files of parts that are missing or cannot be read",
        bad,
        0,
        0,
        "the files of the plan, each read whole",
        min(seen.unreadable, default=seen.examples.get("files", "")),
    )


def _clock(plan: Plan, table: Table, expected: int, seen: Seen) -> Iterator[Finding]:
    counts, name = seen.counts, table.name
    yield Finding(
        f"rows.{name}",
        "rows: positions x instants",
        counts[f"{name} seen_rows"] - counts[f"{name} strangers"],
        expected,
        expected,
        queries.rows(name),
        seen.examples.get(f"rows.{name}", ""),
    )
    yield Finding(
        f"complete.{name}",
        "instants that a position does not have",
        counts[f"{name} missing"],
        0,
        0,
        f"SELECT {expected} - count(DISTINCT ({', '.join(table.key)})) FROM {{{name}}}",
    )
    yield _doubled(table, seen)
    grid = plan.run.grid
    first_ms, step_ms, rows = 1000 * grid.start_s, 1000 * grid.interval_s, grid.instants
    if table is FEATURE_STORE:
        step_ms = 1000 * SECONDS_PER_HOUR * plan.run.window_hours
        first_ms, rows = first_ms + step_ms, 1000 * grid.duration_s // step_ms
    elif table is RUL_TRUTH:
        step_ms, rows = 1000 * SECONDS_PER_DAY, grid.end_day - grid.first_day
    yield Finding(
        f"time.{name}",
        "rows off the clock, or after a later one of their id",
        counts[f"{name} displaced"],
        0,
        0,
        queries.displaced(table, first_ms, step_ms, rows),
        seen.examples.get(f"time.{name}", ""),
    )
    yield _impossible(table, seen)


def _doubled(table: Table, seen: Seen) -> Finding:
    return Finding(
        f"keys.{table.name}",
        "rows with the key of another one",
        seen.counts[f"{table.name} doubled"],
        0,
        0,
        queries.doubled(table),
    )


def _impossible(table: Table, seen: Seen) -> Finding:
    return Finding(
        f"impossible.{table.name}",
        "values outside of their column's range, or null where none may be",
        seen.counts[f"{table.name} impossible"],
        0,
        0,
        queries.impossible(table),
        seen.examples.get(f"impossible.{table.name}", ""),
    )


# --- ranges ---------------------------------------------------------------------------------------


def _share(seen: Seen, name: str, what: str, query: str, least: float = bands.SHARE) -> Finding:
    inside, of = seen.counts[f"{name} inside"], seen.counts[f"{name} of"]
    if not of:
        return Finding(name, f"{what}: there is none", None, least, None, query)
    return Finding(name, what, inside / of, least, None, query)


def _ranges(seen: Seen) -> Iterator[Finding]:
    low, high = bands.GUIDE_VOLTAGE_V
    sound_v = f"{queries.sound(queries.POSITION, 'voltage_v')} AND {queries.UNTROUBLED}"
    jars = "FROM {telemetry_jar_raw} AS j"
    yield _share(
        seen,
        "voltage",
        f"share of jar voltages within {low:g} to {high:g} V (usage guide)",
        f"SELECT avg((voltage_v BETWEEN {low} AND {high})::INT) {jars} WHERE {sound_v}",
    )
    low, high = bands.GUIDE_TEMPERATURE_C
    sound_c = f"{queries.sound(queries.POSITION, 'temperature_c')} AND {queries.UNTROUBLED}"
    yield _share(
        seen,
        "temperature",
        f"share of jar temperatures within {low:g} to {high:g} degC (usage guide)",
        f"SELECT avg((temperature_c BETWEEN {low} AND {high})::INT) {jars} WHERE {sound_c}",
    )
    for mode in MODES:
        low, high = bands.MODE_VOLTAGE_V[mode]
        yield _share(
            seen,
            f"voltage.{mode}",
            f"share of jar voltages in mode {mode} within {low:g} to {high:g} V",
            "WITH s AS (SELECT ts, string_id, mode FROM {telemetry_string_raw} "
            f"WHERE mode = '{mode}') "
            f"SELECT avg((voltage_v BETWEEN {low} AND {high})::INT) {jars} "
            f"JOIN s USING (ts) WHERE s.string_id = {queries.STRING_OF_JAR} AND {sound_v}",
        )
    most = bands.DISCHARGE_CURRENT_A
    yield _share(
        seen,
        "current.discharge",
        f"share of string currents in mode discharge below {most:g} A",
        f"SELECT avg((current_a < {most})::INT) FROM {{telemetry_string_raw}} "
        f"WHERE mode = 'discharge' AND {queries.sound('string_id', 'current_a')}",
    )


# --- one row against another ----------------------------------------------------------------------


def _consistent(seen: Seen) -> Iterator[Finding]:
    yield Finding(
        "equalize_flag",
        "samples whose equalize_flag is not that of their mode",
        seen.counts["equalize_flag"],
        0,
        0,
        "SELECT count(*) FROM {telemetry_string_raw} WHERE equalize_flag <> (mode = 'equalize')",
    )
    yield Finding(
        "power",
        "samples whose power_w is not voltage_v x current_a",
        seen.counts["power"],
        0,
        0,
        "SELECT count(*) FROM {telemetry_string_calc} JOIN {telemetry_string_raw} "
        "USING (ts, string_id) WHERE abs(power_w - voltage_v::DOUBLE * current_a) > 0.51",
    )
    yield Finding(
        "conductance",
        "samples whose conductance_s is not 1000 / resistance_mohm, as far as both are rounded",
        seen.counts["conductance"],
        0,
        0,
        "SELECT count(*) FROM {telemetry_jar_raw} WHERE abs(resistance_mohm * conductance_s - 1000)"
        " > 1000 * (0.0005 / resistance_mohm + 0.005 / conductance_s + 0.000002)",
    )


def _kirchhoff(plan: Plan, seen: Seen) -> Iterator[Finding]:
    """Jar voltages add up to the string voltage."""
    fixed, rest = budgets.kirchhoff_terms(plan.run.scenario.sensor_errors)
    of_jar, of_string = (
        queries.sound(queries.POSITION, "voltage_v"),
        queries.sound("string_id", "voltage_v"),
    )
    gaps = (
        f"WITH j AS (SELECT ts, {queries.STRING_OF_JAR} AS string_id, sum(voltage_v) AS v, "
        f"count(voltage_v) AS jars FROM {{telemetry_jar_raw}} WHERE {of_jar} "
        "AND isfinite(voltage_v) GROUP BY ALL), "
        "g AS (SELECT s.filename, string_id, mode, s.voltage_v, v - s.voltage_v AS gap, d.jars "
        "FROM {telemetry_string_raw} AS s JOIN j USING (ts, string_id) JOIN {string} AS d "
        f"USING (string_id) WHERE j.jars = d.jars AND {of_string} AND isfinite(s.voltage_v))"
    )
    level = f"({fixed} * voltage_v + {rest})"
    yield _worst(
        seen,
        "kirchhoff.level",
        "jar voltages less string voltage, over the error budget; the worst instant"
        + (" (none where strings are not whole)" if not seen.counts["kirchhoff of"] else ""),
        f"{gaps} SELECT max(abs(gap) / {level}) FROM g",
    )
    change = f"({fixed} * abs(voltage_v - avg(voltage_v) OVER (PARTITION BY filename)) + {rest})"
    yield _worst(
        seen,
        "kirchhoff.change",
        "the same on float, less its mean of the part: what is not a gain",
        f"{gaps}, c AS (SELECT abs(gap - avg(gap) OVER (PARTITION BY filename)) / {change} AS x "
        "FROM g WHERE mode = 'float') SELECT max(x) FROM c",
    )


def _worst(seen: Seen, name: str, what: str, query: str) -> Finding:
    worst = seen.worst.get(name)
    value = None if worst is None else worst.value
    return Finding(name, what, value, None, 1.0, query, "" if worst is None else worst.where)


def _balance(seen: Seen) -> Iterator[Finding]:
    """Charge drawn is charge missing."""
    hall = params.HALL_GAIN
    yield _worst(
        seen,
        "charge",
        "charge drawn less charge missing, over the error budget; the worst discharge",
        "of each span of mode discharge: -(integral of current_a) against the median over jars of "
        "the fall of soc_pct x soh_pct x rated_capacity_ah / 1e4; budget "
        f"{budgets.FIXED * hall.value + 0.02:g} of it, the sensor's zero by the hour, rounding",
    )


# --- health ---------------------------------------------------------------------------------------


def _health(place: Place, seen: Seen) -> Iterator[Finding]:
    courses = {unit: merged(each) for unit, each in seen.courses.items()}
    rising = {unit: each.rises for unit, each in courses.items() if each.rises}
    yield Finding(
        "soh.rises",
        "samples at which the SOH of a unit rose",
        sum(rising.values()),
        0,
        0,
        "WITH s AS (SELECT battery_id, soh_pct - lag(soh_pct) OVER (PARTITION BY battery_id "
        "ORDER BY ts) AS rise FROM {telemetry_jar_calc}) SELECT count(*) FROM s WHERE rise > 0",
        min(rising, default=""),
    )
    days = place.plan.run.grid.duration_s / SECONDS_PER_DAY
    worn = "SELECT avg((a > b)::INT) FROM (SELECT arg_min(soh_pct, ts) AS a, arg_max(soh_pct, ts)"
    worn += (
        " AS b FROM {telemetry_jar_calc} GROUP BY battery_id HAVING epoch(max(ts) - min(ts)) >= "
        f"{round((bands.WEAR_AFTER_DAYS - 1) * SECONDS_PER_DAY)})"
    )
    least_ms = 1000 * (bands.WEAR_AFTER_DAYS - 1) * SECONDS_PER_DAY
    long = [each for each in courses.values() if each.last_ms - each.first_ms >= least_ms]
    what = "share of units whose SOH fell"
    if days < bands.WEAR_AFTER_DAYS or not long:
        what = f"{what}: not to be seen in less than {bands.WEAR_AFTER_DAYS:g} days"
        yield Finding("soh.worn", what, None, bands.WORN_SHARE, None, worn)
    else:
        share = sum(each.first_pct > each.last_pct for each in long) / len(long)
        yield Finding("soh.worn", what, share, bands.WORN_SHARE, None, worn)
    yield _states(place, {unit: each.last_pct for unit, each in courses.items()})
    yield Finding(
        "truth.countdown",
        "days on which a remaining life is not a day less than the day before",
        seen.counts["countdown"],
        0,
        0,
        "WITH s AS (SELECT rul_days, lag(rul_days) OVER (PARTITION BY battery_id ORDER BY ts) "
        "- rul_days AS fall FROM {rul_truth}) SELECT count(*) FROM s "
        "WHERE rul_days > 0 AND abs(fall - 1) > 0.01",
        seen.examples.get("truth.countdown", ""),
    )


def _states(place: Place, last: dict[str, float]) -> Finding:
    """States at the end are where the telemetry ends."""
    step_days = place.plan.run.grid.interval_s / SECONDS_PER_DAY
    apart = [
        (abs(float(state["soh_pct"]) - last[unit]), unit)
        for unit, state in place.states.items()
        if math.isfinite(last.get(unit, math.nan)) and isinstance(state.get("soh_pct"), float)
    ]
    worst = max(apart, default=None)
    return Finding(
        "soh.states",
        "SOH [%] of battery_states.json less that of the last sample, the worst unit",
        None if worst is None else worst[0],
        None,
        0.01 + step_days,
        "battery_states.json against arg_max(soh_pct, ts) of telemetry_jar_calc by battery_id",
        "" if worst is None else worst[1],
    )


# --- distributions --------------------------------------------------------------------------------


def _mean(
    seen: Seen, name: str, total: str, of: str, band: bands.Range, what: str, query: str
) -> Finding:
    number = seen.counts[of]
    value = seen.counts[total] / number / 1000 if number else None
    return Finding(name, what, value, band.low, band.high, query)


def _means(seen: Seen) -> Iterator[Finding]:
    sound_v = f"{queries.sound(queries.POSITION, 'voltage_v')} AND {queries.UNTROUBLED}"
    sound_v += " AND isfinite(voltage_v)"
    sound_c = f"{queries.sound(queries.POSITION, 'temperature_c')} AND {queries.UNTROUBLED}"
    sound_c += " AND isfinite(temperature_c)"
    yield _mean(
        seen,
        "mean.float_voltage",
        "float voltage mV",
        "voltage.float of",
        bands.FLOAT_MEAN_V,
        "mean jar voltage on float [V]",
        "WITH s AS (SELECT ts, string_id FROM {telemetry_string_raw} WHERE mode = 'float') "
        "SELECT avg(voltage_v) FROM {telemetry_jar_raw} JOIN s USING (ts) "
        f"WHERE s.string_id = {queries.STRING_OF_JAR} AND {sound_v}",
    )
    yield _mean(
        seen,
        "mean.jar_temperature",
        "jar temperature mK",
        "temperature of",
        bands.JAR_MEAN_C,
        "mean jar temperature [degC]",
        f"SELECT avg(temperature_c) FROM {{telemetry_jar_raw}} WHERE {sound_c}",
    )
    yield _mean(
        seen,
        "mean.room_temperature",
        "room mK",
        "room of",
        bands.ROOM_MEAN_C,
        "mean room temperature [degC]",
        "SELECT avg(temperature_c) FROM {telemetry_env} "
        f"WHERE isfinite(temperature_c) AND {queries.sound('sensor_id', 'temperature_c')}",
    )
    yield _mean(
        seen,
        "mean.temperature_rise",
        "rise mK",
        "rise of",
        bands.JAR_RISE_K,
        "mean jar temperature above the room [K]",
        "SELECT avg(t_delta_ambient_mean) FROM {feature_store} "
        "WHERE isfinite(t_delta_ambient_mean)",
    )
