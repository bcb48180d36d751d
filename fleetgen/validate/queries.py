"""The queries behind the checks, in DuckDB's SQL, over the data set's own files.

A table in braces is read from its files; `read` fills them in.
"""

from __future__ import annotations

import re

from fleetgen.model.faults import KINDS
from fleetgen.schema import PARTED, TABLES, Table
from fleetgen.spec import Run

_IN_BRACES = re.compile(r"\{(\w+)\}")
_NAMES = {table.name for table in PARTED}

POSITION = "regexp_replace(battery_id, '-R[0-9]+$', '')"
STRING_OF_JAR = "regexp_replace(battery_id, '-J[0-9]+(-R[0-9]+)?$', '')"
_FAULTS = ", ".join(f"'{kind}'" for kind in KINDS)


def read(query: str, run: Run) -> str:
    """Fill in where tables are read from."""
    suffix = "csv.gz" if run.format == "csv.gz" else "parquet"

    def source(match: re.Match[str]) -> str:
        name = match[1]
        if name not in _NAMES:
            return f"read_csv('{run.output_url}/{name}.csv')"
        files = f"'{run.output_url}/{name}/**/*.{suffix}'"
        if suffix == "parquet":
            return f"read_parquet({files}, filename = true, hive_partitioning = false)"
        return f"read_csv({files}, filename = true, hive_partitioning = false)"

    return " ".join(_IN_BRACES.sub(source, query).split())


def sound(entity: str, channel: str) -> str:
    """Condition: no sensor fault that `anomaly` lists holds a channel of an entity at `ts`."""
    return (
        "NOT EXISTS (SELECT 1 FROM {anomaly} AS a "
        f"WHERE a.entity_id = {entity} AND a.kind IN ({_FAULTS}) "
        f"AND coalesce(a.channel, '{channel}') = '{channel}' "
        "AND ts >= a.start_ts::TIMESTAMPTZ AND ts < a.end_ts::TIMESTAMPTZ)"
    )


UNTROUBLED = "battery_id NOT IN (SELECT battery_id FROM {rul_truth} WHERE failure_mode IS NOT NULL)"
"""Condition: no failure mode is under way in the unit, or was."""


def rows(table: str) -> str:
    """Rows of a table."""
    return f"SELECT count(*) FROM {{{table}}}"


def doubled(table: Table) -> str:
    """Rows with the key of another one."""
    instant, entity, *others = table.key
    position = POSITION if entity == "battery_id" and not others else entity
    key = ", ".join([instant, position, *others])
    return f"SELECT count(*) - count(DISTINCT ({key})) FROM {{{table.name}}}"


def displaced(table: Table, first_ms: int, step_ms: int, rows: int) -> str:
    """Rows that are off the clock, or come after a later one in their file."""
    instant, entity = table.key
    position = POSITION if entity == "battery_id" else entity
    return (
        "WITH r AS (SELECT *, row_number() OVER () AS n FROM {" + table.name + "}), "
        f"s AS (SELECT epoch_ms({instant}) AS ms, lag(epoch_ms({instant})) OVER "
        f"(PARTITION BY filename, {position} ORDER BY n) AS before FROM r) "
        f"SELECT count(*) FROM s WHERE (ms - {first_ms}) % {step_ms} <> 0 "
        f"OR ms NOT BETWEEN {first_ms} AND {first_ms + step_ms * (rows - 1)} OR ms < before"
    )


def impossible(table: Table) -> str:
    """Values outside of their column's range, and nulls where there is none."""
    terms = []
    for column in table.columns:
        if column.valid is not None:
            low, high = column.valid
            terms.append(f"count(*) FILTER (WHERE {column.name} NOT BETWEEN {low} AND {high})")
        if not column.nullable:
            terms.append(f"count(*) FILTER (WHERE {column.name} IS NULL)")
    return f"SELECT {' + '.join(terms)} FROM {{{table.name}}}"


def keys(name: str) -> str:
    """Rows of a table that closes with the run with the key of another one."""
    key = ", ".join(TABLES[name].key)
    return f"SELECT count(*) - count(DISTINCT ({key})) FROM {{{name}}}"
