"""A data set as its user finds it: views over the Parquet and CSV files, in DuckDB.

Nothing is read but files. Large tables stay on disk; what the checks share is one row per jar and
day (`jar_day`), made in a single pass. A `doctored` table shows rows other than those on disk, so
that a test can see a check fail.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa

UTC_OFFSET_MS = 7 * 3_600_000
"""Thailand's, all year."""

MEMORY = "1500MB"
THREADS = 2
DAY_MS = 86_400_000
LAST_READING_MS = 5 * 3_600_000
"""Local time by which the day's resistance has been read: between 02:00 and 05:00."""

QUIET_DAYS = 3
"""A string is settled on a day that ends so many days of nothing but float."""

TELEMETRY = (
    "telemetry_jar_raw",
    "telemetry_jar_calc",
    "telemetry_string_raw",
    "telemetry_string_calc",
    "telemetry_env",
)
DIMENSIONS = ("location", "battery_model", "battery_system", "string", "battery")
STATE = {
    "battery_id": pa.string(),
    "profile": pa.string(),
    "failure_mode": pa.string(),
    "failed": pa.bool_(),
    "failure_date": pa.string(),
    "rul_days": pa.float64(),
}
"""What the checks read of `battery_states.json`."""

CHARGING = ("float", "boost", "equalize")


@dataclass(frozen=True)
class Discharge:
    """A string on battery: first and last sample in mode discharge [s since 1970-01-01T00Z].

    `rest_s` is the time since the discharge before it, `free_s` that until the next, both to the
    edge of the data where there is none.
    """

    string_id: str
    system_id: str
    kind: str
    discharge_type: str
    rated_ah: float
    cells: int
    start_s: int
    last_s: int
    rest_s: int
    free_s: int

    @property
    def length_s(self) -> int:
        return self.last_s - self.start_s


class DataSet:
    """A finished data set; `doctored` maps a table to the select list that stands for `*`."""

    def __init__(
        self, path: Path | str, doctored: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self.path = Path(path)
        settings = {"memory_limit": MEMORY, "threads": THREADS, "preserve_insertion_order": False}
        self._con = duckdb.connect(config=settings)
        for table in TELEMETRY:
            files = f"{self.path}/{table}/**/*.parquet"
            self._con.execute(
                f"CREATE VIEW stored_{table} AS SELECT *, epoch_ms(ts) // 1000 AS t_s, "
                f"epoch_ms(ts) + {UTC_OFFSET_MS} AS local_ms FROM "
                f"read_parquet('{files}', hive_partitioning = true, hive_types_autocast = false)"
            )
            shown = doctored.get(table, "*")
            self._con.execute(f"CREATE VIEW {table} AS SELECT {shown} FROM stored_{table}")
        for table in (*DIMENSIONS, "maintenance_event"):
            name = f"{table}s" if table == "string" else table  # a type's name in SQL
            self._con.execute(
                f"CREATE TABLE {name} AS SELECT * FROM read_csv('{self.path}/{table}.csv')"
            )
        self.show("state", [{"battery_id": key} | state for key, state in self.states.items()])

    def show(self, name: str, states: Sequence[Mapping[str, Any]]) -> None:
        """Make a table of states, one row per battery."""
        columns = [(field, [s.get(field) for s in states]) for field in STATE]
        arrays = [pa.array(values, STATE[field]) for field, values in columns]
        self._con.register(name, pa.table(arrays, [*STATE]))

    def frame(self, query: str) -> pl.DataFrame:
        """Rows of a query."""
        return self._con.sql(query).pl()

    def number(self, query: str) -> float:
        """The single number that a query gives; NaN for null."""
        ((value,),) = self._con.execute(query).fetchall()
        return math.nan if value is None else float(value)

    @cached_property
    def states(self) -> dict[str, dict[str, Any]]:
        """The truth at the end, by battery."""
        states: dict[str, dict[str, Any]] = json.loads(
            (self.path / "battery_states.json").read_text("utf-8")
        )
        return states

    @cached_property
    def span_s(self) -> tuple[int, int]:
        """First and last sample."""
        first, last = self.frame(
            "SELECT min(t_s), max(t_s) FROM telemetry_env"  # the smallest table on this clock
        ).row(0)
        return int(first), int(last)

    @property
    def days(self) -> float:
        """Length of the run."""
        return (self.span_s[1] - self.span_s[0] + self.interval_s) / 86_400

    @cached_property
    def interval_s(self) -> int:
        """Time between samples."""
        first = self.span_s[0]
        second = self.number(f"SELECT min(t_s) FROM telemetry_env WHERE t_s > {first}")
        return int(second) - first

    @cached_property
    def jar_day(self) -> str:
        """Name of a table of one row per jar and local day.

        Mean voltage `v` and temperature `t_c`; `r_mohm` and `r_low_mohm`, the highest and lowest
        resistance shown after the day's reading; `soh_pct` at its first sample; `quiet`, whether
        the string is settled on float; `sound`, whether the unit has no failure mode.
        """
        self._con.execute(
            f"""
            CREATE TEMP TABLE string_day AS
            SELECT string_id, day, coalesce(
                bool_and(calm) OVER (PARTITION BY string_id ORDER BY day
                    ROWS BETWEEN {QUIET_DAYS - 1} PRECEDING AND CURRENT ROW)
                AND count(*) OVER (PARTITION BY string_id ORDER BY day
                    ROWS BETWEEN {QUIET_DAYS - 1} PRECEDING AND CURRENT ROW) = {QUIET_DAYS},
                false) AS quiet
            FROM (SELECT string_id, local_ms // {DAY_MS} AS day, bool_and(mode = 'float') AS calm
                  FROM telemetry_string_raw GROUP BY ALL);
            CREATE TEMP TABLE soh_day AS
            SELECT battery_id, local_ms // {DAY_MS} AS day, soh_pct
            FROM telemetry_jar_calc WHERE local_ms % {DAY_MS} = 0;
            CREATE TEMP TABLE raw_day AS
            SELECT battery_id, any_value("string") AS string_id, local_ms // {DAY_MS} AS day,
                avg(voltage_v) AS v, avg(temperature_c) AS t_c,
                max(resistance_mohm) FILTER (late) AS r_mohm,
                min(resistance_mohm) FILTER (late) AS r_low_mohm
            FROM (SELECT *, local_ms % {DAY_MS} >= {LAST_READING_MS} AS late
                  FROM telemetry_jar_raw)
            GROUP BY battery_id, local_ms // {DAY_MS};
            CREATE TEMP TABLE jar_day AS
            SELECT r.*, h.soh_pct, s.quiet,
                r.r_mohm / (1 - 0.006 * (r.t_c - 25)) AS r25_mohm,
                t.failure_mode IS NULL AS sound, t.profile
            FROM raw_day r LEFT JOIN soh_day h USING (battery_id, day)
            JOIN string_day s USING (string_id, day) JOIN state t USING (battery_id);
            DROP TABLE raw_day; DROP TABLE soh_day;
            """
        )
        return "jar_day"

    @cached_property
    def discharges(self) -> list[Discharge]:
        """All discharges, by string and start; of two samples at least."""
        first_s, last_s = self.span_s
        found = self.frame(
            f"""
            WITH load AS (
                SELECT string_id, t_s,
                    (t_s - lag(t_s) OVER w > {1.5 * self.interval_s}) IS NOT FALSE AS fresh
                FROM telemetry_string_raw WHERE mode = 'discharge'
                WINDOW w AS (PARTITION BY string_id ORDER BY t_s)),
            numbered AS (
                SELECT *, sum(fresh::INT) OVER (PARTITION BY string_id ORDER BY t_s) AS run
                FROM load),
            runs AS (
                SELECT string_id, min(t_s) AS start_s, max(t_s) AS last_s
                FROM numbered GROUP BY string_id, run),
            spaced AS (
                SELECT *, start_s - coalesce(lag(last_s) OVER w, {first_s}) AS rest_s,
                    coalesce(lead(start_s) OVER w, {last_s}) - last_s AS free_s
                FROM runs WINDOW w AS (PARTITION BY string_id ORDER BY start_s))
            SELECT string_id, system_id, y.kind, discharge_type, rated_capacity_ah AS rated_ah,
                s.jars * m.cells AS cells, start_s, last_s, rest_s, free_s
            FROM spaced JOIN strings s USING (string_id) JOIN battery_system y USING (system_id)
                JOIN battery_model m USING (model_id)
            WHERE last_s > start_s ORDER BY string_id, start_s
            """
        )
        return [Discharge(**row) for row in found.iter_rows(named=True)]

    def string_window(self, string_id: str, first_s: int, last_s: int) -> pl.DataFrame:
        """Samples of a string within [first_s, last_s], in order of time."""
        return self.frame(
            f"""
            SELECT t_s, voltage_v::DOUBLE AS voltage_v, current_a::DOUBLE AS current_a, mode,
                float_current_a::DOUBLE AS float_current_a
            FROM telemetry_string_raw
            WHERE "string" = '{string_id}' AND string_id = '{string_id}'
                AND ts BETWEEN to_timestamp({first_s}) AND to_timestamp({last_s})
            ORDER BY t_s
            """
        )

    def load(self, event: Discharge) -> tuple[float, float]:
        """Mean current over C10 [1/h] and lowest voltage per cell of a discharge."""
        row = self.frame(
            f"""
            SELECT -avg(current_a) / {event.rated_ah}, min(voltage_v) / {event.cells}
            FROM telemetry_string_raw WHERE "string" = '{event.string_id}'
                AND ts BETWEEN to_timestamp({event.start_s}) AND to_timestamp({event.last_s})
            """
        ).row(0)
        return row[0] or 0.0, row[1] or math.inf

    def jar_means(
        self, string_id: str, column: str, windows: Mapping[str, tuple[int, int]]
    ) -> pl.DataFrame:
        """Mean of a column of `telemetry_jar_raw` in each window [first_s, last_s], by jar."""
        within = [
            f"ts BETWEEN to_timestamp({first_s}) AND to_timestamp({last_s})"
            for first_s, last_s in windows.values()
        ]
        means = (
            f"avg({column}) FILTER ({condition}) AS {name}"
            for name, condition in zip(windows, within, strict=True)
        )
        return self.frame(
            f"""
            SELECT battery_id, {", ".join(means)} FROM telemetry_jar_raw
            WHERE "string" = '{string_id}' AND ({" OR ".join(within)}) GROUP BY battery_id
            """
        )

    def soc_pct(self, string_id: str, instant_s: int) -> float:
        """Mean true state of charge of a string's jars at a sample."""
        return self.number(
            f"""
            SELECT avg(soc_pct) FROM telemetry_jar_calc
            WHERE "string" = '{string_id}' AND ts = to_timestamp({instant_s})
            """
        )
