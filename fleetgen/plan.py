"""From a configuration to the ordered jobs of a run, and what they will cost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from datetime import date
from typing import Literal

from fleetgen.config import RunConfig
from fleetgen.schema import (
    CATALOGUE_FILES,
    HTML_REPORT_FILE,
    REPORT_FILE,
    SINGLE_FILES,
    STATES_FILE,
    TABLES,
    SingleForm,
)
from fleetgen.spec import (
    Block,
    Fleet,
    HistoryJob,
    PartJob,
    RoomJob,
    Run,
    SlowPathJob,
    StringJob,
    TimeGrid,
)
from fleetgen.units import SECONDS_PER_DAY, SECONDS_PER_HOUR, day_date, day_number

ROWS_PER_PART = {"parquet": 13_500_000, "csv.gz": 3_400_000}
"""Most jar samples in one part: of 24 jars at 5 s a month in 12 MB of Parquet, 8 days in 27 MB of
CSV.gz, both tables of jars together."""

BYTES_PER_ROW = {
    "parquet": {
        "telemetry_jar_raw": 1.0,
        "telemetry_jar_calc": 0.011,
        "telemetry_string_raw": 2.8,
        "telemetry_string_calc": 1.3,
        "telemetry_env": 3.6,
        "feature_store": 52.0,
        "rul_truth": 9.0,
    },
    "csv.gz": {
        "telemetry_jar_raw": 5.4,
        "telemetry_jar_calc": 2.8,
        "telemetry_string_raw": 11.0,
        "telemetry_string_calc": 5.6,
        "telemetry_env": 9.0,
        "feature_store": 66.0,
        "rul_truth": 8.0,
    },
}
"""Measured on the production run; the feature store counts its CSV copy, too."""

SINGLE_FILE_ROWS = 20_000_000
"""Most rows of a table of which a run makes a single file, too."""

SINGLE_BYTES_PER_ROW: dict[SingleForm, float] = {"csv.gz": 5.4, "csv": 64.0}

WORKER_BYTES = 260_000_000
"""What a worker process holds at most: its share of the libraries, and one part."""

CLIENT_BYTES = 250_000_000
"""What the client holds beside its workers, with the scheduler and the process that they are forked
of. When they have ended, these hold 360 MB at most, for the reduce: less than with one at work."""


@dataclass(frozen=True)
class Plan:
    """A run's jobs in the order in which they are started.

    `extents` are the durations [s] that the data set has had, ascending, with that of this run.
    Blocks end where an extent does, so that the parts of a shorter run are parts of the longer.
    """

    run: Run
    extents: tuple[int, ...]
    fleet: Fleet
    selected: dict[str, tuple[str, ...]]
    slow_paths: tuple[SlowPathJob, ...]
    strings: tuple[StringJob, ...]
    rooms: tuple[RoomJob, ...]

    @property
    def parts(self) -> tuple[PartJob, ...]:
        """All jobs that leave files."""
        return (*self.strings, *self.rooms)

    def share(self, number: int, count: int) -> tuple[PartJob, ...]:
        """Share `number`, from 1 to `count`, of the parts; neighbours, which share slow paths."""
        parts = self.parts
        return parts[len(parts) * (number - 1) // count : len(parts) * number // count]

    @property
    def histories(self) -> tuple[HistoryJob, ...]:
        """A job for each string, then for each room, over all of its parts."""
        whose: dict[str, list[PartJob]] = {}
        for job in self.parts:
            name = job.string.string_id if isinstance(job, StringJob) else job.sensor_id
            whose.setdefault(name, []).append(job)
        return tuple(HistoryJob(tuple(parts)) for parts in whose.values())

    @property
    def names(self) -> Iterator[str]:
        """Files and directories that a run makes at the top of its output."""
        for table in TABLES.values():
            yield from (table.name, f"{table.name}.csv", f"{table.name}.csv.gz")
        yield from (STATES_FILE, REPORT_FILE, HTML_REPORT_FILE, *CATALOGUE_FILES)

    def missing(self, receipts: Set[str]) -> list[PartJob]:
        """Parts without a receipt."""
        return [job for job in self.parts if job.key not in receipts]


@dataclass(frozen=True)
class Estimate:
    """What a run will take.

    `rows` by table of telemetry and truth are exact; `files` are those of parts in these tables,
    and what closes with the run and the few files of things that happen (`schema.RECORDS`) come on
    top. `bytes` of all output and `memory_bytes` are from rates measured elsewhere. How long
    it takes only the machine itself can tell: see `calibrate`.
    """

    rows: dict[str, int]
    bytes: int
    files: int
    memory_bytes: int


def blocks(
    grid: TimeGrid,
    jars: int,
    most_days: int | None,
    rows: int = ROWS_PER_PART["parquet"],
    extents: Iterable[int] = (),
) -> Iterator[Block]:
    """Blocks of local days of a run, each in a month and an extent, of at most `rows` samples."""
    cuts = {grid.end_day, *(grid.first_day + -(-s // SECONDS_PER_DAY) for s in extents)}
    per_day = jars * -(-SECONDS_PER_DAY // grid.interval_s)
    longest = max(1, min(rows // per_day, most_days or 31))
    first = grid.first_day
    while first < grid.end_day:
        day = day_date(first)
        month = day_number(date(day.year + day.month // 12, day.month % 12 + 1, 1))
        end = min(first + longest, month, *(day for day in cuts if day > first))
        yield Block(first, end)
        first = end


def single_files(rows: Mapping[str, int]) -> dict[str, SingleForm]:
    """Tables of which a run of that many rows makes a single file, with its form."""
    return {name: form for name, form in SINGLE_FILES.items() if rows[name] <= SINGLE_FILE_ROWS}


def rows_of(job: PartJob) -> int:
    """Rows of samples, hours and days that a part will hold, in all its tables."""
    grid = job.run.grid
    start, end = grid.midnight_s(job.block.first_day), grid.midnight_s(job.block.end_day)
    samples = grid.first_index(end) - grid.first_index(start)
    if isinstance(job, RoomJob):
        return samples
    jars = len(job.jar_ids)
    return 2 * samples * (jars + 1) + (_windows(job) + job.block.days) * jars


def _windows(job: PartJob) -> int:
    """Complete feature windows in a part's block."""
    grid = job.run.grid
    start, end = grid.midnight_s(job.block.first_day), grid.midnight_s(job.block.end_day)
    return max(0, min(grid.end_s, end) - start) // (SECONDS_PER_HOUR * job.run.window_hours)


def make_plan(config: RunConfig, output_url: str, extents: tuple[int, ...] = ()) -> Plan:
    """The jobs of `config`, writing to `output_url`.

    `extents` are those of `Plan`; without any, the run is all there is. A system is walked when one
    of its jars is selected; string, room and slow path jobs follow in order of configuration.
    """
    fleet, grid = config.to_fleet(), config.grid()
    selected = config.selected(fleet)
    run = Run(
        seed=config.run.seed,
        grid=grid,
        output_url=output_url,
        format=config.output.format,
        writer=config.output.writer,
        plan_digest=config.digest(),
        scenario=config.to_scenario(),
        storage_options=config.output.to_options(),
        alerts=config.to_alert_rules(),
        window_hours=config.features.window_hours,
    )
    extents, most_days = extents or (grid.duration_s,), config.execution.block_days
    rows = ROWS_PER_PART[_encoding(run)]
    slow, strings, rooms = [], [], []
    for site in fleet.sites:
        wanted_here = False
        for system in site.systems:
            wanted = [selected.get(string.string_id, ()) for string in system.strings]
            if not any(wanted):
                continue
            wanted_here = True
            slow.append(SlowPathJob(run, site.location, system))
            jars = system.jars_per_string
            for index, jar_ids in enumerate(wanted):
                if jar_ids:
                    strings += [
                        StringJob(run, site.location, system, site.sensor_id, index, jar_ids, block)
                        for block in blocks(grid, jars, most_days, rows, extents)
                    ]
        if wanted_here:
            rooms += [
                RoomJob(run, site.location, site.sensor_id, block)
                for block in blocks(grid, 24, most_days, rows, extents)
            ]
    return Plan(run, extents, fleet, selected, tuple(slow), tuple(strings), tuple(rooms))


def estimate(plan: Plan, workers: int) -> Estimate:
    """What a run of this plan will take."""
    grid = plan.run.grid
    jars = sum(len(jar_ids) for jar_ids in plan.selected.values())
    strings = len({job.string.string_id for job in plan.strings})
    sensors = len({job.sensor_id for job in plan.rooms})
    windows = grid.duration_s // (SECONDS_PER_HOUR * plan.run.window_hours)
    rows = {
        "telemetry_jar_raw": jars * grid.instants,
        "telemetry_jar_calc": jars * grid.instants,
        "telemetry_string_raw": strings * grid.instants,
        "telemetry_string_calc": strings * grid.instants,
        "telemetry_env": sensors * grid.instants,
        "feature_store": jars * windows,
        "rul_truth": jars * (grid.end_day - grid.first_day),
    }
    files = sum(5 + (_windows(job) > 0) for job in plan.strings) + len(plan.rooms)
    written = plan.run.format != "none"
    encoding = _encoding(plan.run)
    per_row = BYTES_PER_ROW[encoding]
    size = sum(int(count * per_row[name]) for name, count in rows.items())
    for name, form in single_files(rows).items():
        size += int(rows[name] * SINGLE_BYTES_PER_ROW[form])
    return Estimate(
        rows=rows,
        bytes=size if written else 0,
        files=files if written else 0,
        memory_bytes=CLIENT_BYTES + workers * WORKER_BYTES,
    )


def _encoding(run: Run) -> Literal["parquet", "csv.gz"]:
    """What parts are encoded as; those that nobody writes, as Parquet."""
    return "csv.gz" if run.format == "csv.gz" else "parquet"
