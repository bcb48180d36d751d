"""One job on a worker: slow path or part, from the job alone to files and a receipt."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from fleetgen import records, sample, simulate, truth
from fleetgen.derive.features import JAR_COLUMNS
from fleetgen.errors import StorageError
from fleetgen.io import csv, manifest, tables
from fleetgen.io.store import Store, open_store
from fleetgen.sample import BlockClock, Tally
from fleetgen.schema import (
    ALERT_CONDITION,
    ENV,
    FEATURE_STORE,
    PARTED,
    RUL_TRUTH,
    SCHEMA_VERSION,
    TELEMETRY,
    THROUGHPUT_ERROR,
    THROUGHPUT_TRUE,
    Table,
)
from fleetgen.simulate import SlowPath
from fleetgen.spec import (
    Codes,
    Done,
    FileEntry,
    Job,
    PartJob,
    Plain,
    Receipt,
    RoomJob,
    RowGroup,
    Run,
    Sketch,
    SlowPathJob,
    StringJob,
)
from fleetgen.system import system_model
from fleetgen.units import day_date
from fleetgen.world import world

MEMBERS = "_fleetgen/members"
CHECKPOINTS = "_fleetgen/checkpoints"

NOWHERE = ""
"""URL of a run without an output, hence without checkpoints that anybody could have altered."""


def begin_job(job: Job) -> Callable[[], Done]:
    """Compute one job; the call that is returned stores it, most of which is waiting."""
    store = open_store(job.run.output_url, job.run.storage_options)
    if isinstance(job, SlowPathJob):
        return partial(_store_checkpoints, job, store, tables.encode_arrays(walk(job).arrays()))
    part = make_part(job)
    part.close()
    return partial(part.commit, store)


def _store_checkpoints(job: SlowPathJob, store: Store, data: bytes) -> Done:
    store.put(_checkpoints(job), data)
    return Done(job.key, 0, len(data))


def make_part(job: PartJob) -> Part:
    """All of a part in memory; nothing is stored yet."""
    return _string_part(job) if isinstance(job, StringJob) else _room_part(job)


def begin_rederiving(job: PartJob) -> Callable[[], Receipt]:
    """Make a part again from its job alone; the call gives its receipt, and stores nothing."""
    part = make_part(replace(job, run=replace(job.run, output_url=NOWHERE)))
    part.close()
    return part.receipt


def _checkpoints(job: SlowPathJob) -> str:
    return f"{CHECKPOINTS}/{job.system.system_id}.arrow"


def walk(job: SlowPathJob) -> SlowPath:
    """Slow path of a system, from the start of the run to its end."""
    run = job.run
    model = system_model(run.seed, job.location, job.system, run.grid, run.scenario)
    return simulate.slow_path(model)


def slow_path_of(job: StringJob) -> SlowPath:
    """Slow path of the system of a part: the stored one, or made again."""
    return _slow_path(SlowPathJob(job.run, job.location, job.system))


@lru_cache(maxsize=2)
def _slow_path(job: SlowPathJob) -> SlowPath:
    """Slow path of a system: the stored one is a cache of what a part can always make again."""
    if job.run.output_url == NOWHERE:
        return walk(job)
    try:
        store = open_store(job.run.output_url, job.run.storage_options)
        path = SlowPath(**tables.decode_arrays(store.get(_checkpoints(job))))
    except (StorageError, OSError, ValueError, LookupError, TypeError):  # absent, or damaged
        return walk(job)
    return path if path.covers(job.run.grid.end_day) else walk(job)


class Part:
    """Files of one part in the making: nothing is stored before all of them are whole."""

    def __init__(self, job: PartJob) -> None:
        self.job = job
        self._writers: dict[str, tables.PartWriter] = {}
        self._files: list[tuple[FileEntry, bytes]] = []
        self._rows: dict[str, int] = defaultdict(int)
        self._tables: dict[str, Table] = {}
        self.tally = Tally(job.block, job.run.grid.utc_offset_s)
        self.receipt_states: dict[str, dict[str, object]] = {}
        self.receipt_swaps: dict[str, int] = {}
        self.receipt_events: tuple[dict[str, object], ...] = ()
        self.member: bytes | None = None

    def add(self, table: Table, row_group: RowGroup) -> None:
        """Append a row group to the part's file of `table`."""
        if table.name not in self._writers:
            self._tables[table.name] = table
            self._writers[table.name] = _writer(self.job.run, table)
        self._writers[table.name].add(row_group)
        self._rows[table.name] += next(iter(row_group.values())).rows

    def add_records(self, table: Table, row_group: RowGroup) -> None:
        """Append rows of things that happened, if there are any, each in a day of the block."""
        if next(iter(row_group.values())).rows:
            self.tally.records(table, row_group, midnights_ms(self.job))
            self.add(table, row_group)

    def close(self) -> None:
        """Finish the files in memory."""
        for name, writer in self._writers.items():
            data = writer.close()
            entry = FileEntry(
                table=name,
                path=part_path(self.job, name),
                rows=self._rows[name],
                bytes=len(data),
                sha256=hashlib.sha256(data).hexdigest(),
                group=part_group(self.job),
                digests=self.tally.day_digests(self._tables[name]),
            )
            self._files.append((entry, data))
        self._writers.clear()

    def receipt(self) -> Receipt:
        """Proof of the closed files."""
        statistics = {
            name: {"rows": s.rows, "total": s.total, "low": s.low, "high": s.high}
            for name, s in sorted(self.tally.sketches.items())
        }
        entries = tuple(entry for entry, _ in self._files)
        return Receipt(
            job=self.job.key,
            files=entries,
            statistics=statistics,
            states=self.receipt_states,
            swaps=self.receipt_swaps,
            events=self.receipt_events,
            plan=self.job.run.plan_digest,
        )

    def commit(self, store: Store) -> Done:
        """Store the closed files, then the receipt."""
        if self.job.run.format != "none":
            puts = [(entry.path, data) for entry, data in self._files]
            if self.member is not None:
                puts.append((member_key(self.job.key), self.member))
            # Threads, for a file waits for the disk much longer than it takes to hand over.
            with ThreadPoolExecutor(len(puts)) as pool:
                for put in [pool.submit(store.put, *each) for each in puts]:
                    put.result()
        receipt = self.receipt()
        manifest.write_receipt(store, receipt)
        rows = sum(self._rows[table.name] for table in TELEMETRY)
        return Done(self.job.key, rows, sum(entry.bytes for entry in receipt.files))


def midnights_ms(job: PartJob) -> NDArray[np.int64]:
    """Local midnights at which the days of a part begin, and the end of the last, (day + 1,)."""
    days = range(job.block.first_day, job.block.end_day + 1)
    return np.array([1000 * job.run.grid.midnight_s(day) for day in days])


def part_group(job: PartJob) -> str:
    """Entity group that a part is of: its string, or the location of its sensor."""
    return job.string.string_id if isinstance(job, StringJob) else job.location.location_id


def part_path(job: PartJob, table: str) -> str:
    """Where a part's file of a table lies."""
    place = f"location={job.location.location_id}"
    if isinstance(job, StringJob):
        place += f"/string={job.string.string_id}"
    first = day_date(job.block.first_day)
    suffix = "csv.gz" if job.run.format == "csv.gz" else "parquet"
    return f"{table}/{place}/month={first:%Y-%m}/part-{first}-{job.block.days}.{suffix}"


def part_tables(job: PartJob) -> tuple[Table, ...]:
    """Tables of which a part may have a file."""
    group = "string" if isinstance(job, StringJob) else "location"
    return tuple(table for table in PARTED if table.group in (group, "part"))


def member_key(job: str) -> str:
    """Where a part's rows of the single feature file wait for the reduce."""
    return f"{MEMBERS}/{FEATURE_STORE.name}/{job}.csv.gz"


def _writer(run: Run, table: Table) -> tables.PartWriter:
    if run.format == "csv.gz":
        return csv.CsvPartWriter(table, run.grid.utc_offset_s)
    metadata = {"schema_version": str(SCHEMA_VERSION), "plan": run.plan_digest}
    return tables.open_writer(run.writer, table, run.grid.time_zone, metadata)


def _string_part(job: StringJob) -> Part:
    run, s = job.run, job.string_index
    part = Part(job)
    model = system_model(run.seed, job.location, job.system, run.grid, run.scenario)
    path = slow_path_of(job)
    around = world(run.seed, job.location, run.grid, job.block, run.scenario)
    clock = BlockClock(run.grid, job.block)
    played = simulate.replay(model, path, s, around, job.block)
    past = partial(sample.physics_of, model, path, s)
    samples = sample.sample_string(model, s, around, played, clock, past)
    for table, group in sample.string_groups(
        model, s, path.transfers_s(s, model.timeline.tests_s(s)), samples, clock, part.tally
    ):
        part.add(table, group)
    watch = sample.watch(model, path, s, run.alerts, samples, clock)
    jar_ids = job.string.jar_ids
    jars = len(jar_ids)
    hours = np.zeros((jars, clock.hours, JAR_COLUMNS), np.int64)
    for j, jar_id in enumerate(job.string.jar_ids):
        wanted = jar_id in job.jar_ids
        for table, group in sample.jar_groups(
            model, s, j, played, samples, clock, past, wanted, part.tally, hours[j], watch
        ):
            part.add(table, group)
    room = sample.room_hours(
        sample.sample_room(run.seed, job.location, job.sensor_id, around, clock, run.scenario),
        clock,
    )
    before = sample.room_hours_before(run.seed, job.location, job.sensor_id, clock, run.scenario)
    rooms = np.concatenate([before, room])
    alarming = sample.condition_group(
        model, s, played.service, job.jar_ids, samples, clock, hours, rooms, watch
    )
    part.add_records(ALERT_CONDITION, alarming)
    accounts, string_hours = sample.string_account(model, path, s, samples, clock)
    features = sample.feature_group(
        model,
        s,
        played.service,
        job.jar_ids,
        clock,
        run.window_hours,
        hours,
        accounts,
        string_hours,
        room,
        sample.jar_baselines(model, path, s, played.service, clock, past),
        part.tally,
    )
    if features is not None:
        part.add(FEATURE_STORE, features)
        part.member = csv.csv_gz_member(FEATURE_STORE, [features], run.grid.utc_offset_s)
    part.add(
        RUL_TRUTH,
        records.rul_group(model, path, s, played.service, job.jar_ids, clock, part.tally),
    )
    for table, group in records.measured_groups(model, path, s, played, job.jar_ids, clock):
        part.add_records(table, group)
    if job.block.end_day == run.grid.end_day:
        units = [unit for unit in truth.units(model, path, s) if jar_ids[unit.jar] in job.jar_ids]
        states = truth.final_states(model, path, s)
        part.receipt_states = {unit.unit_id: states[unit.unit_id] for unit in units}
        part.receipt_swaps = {unit.unit_id: unit.from_s for unit in units if unit.number > 1}
        part.receipt_events = records.events(model, path, s, job.jar_ids)
        if features is not None and clock.ends_with_window(run.window_hours):
            _compare_throughput(part, features)
    return part


def _compare_throughput(part: Part, group: RowGroup) -> None:
    """Take into the part's sketches what its last feature rows say of charge, less the truth."""
    ids, charge = group["battery_id"], group["ah_throughput"]
    if not isinstance(ids, Codes) or not isinstance(charge, Plain):
        return
    for code, jar_id in enumerate(ids.levels):
        state = part.receipt_states.get(str(jar_id))
        if state is not None:
            measured = int(charge.counts[np.flatnonzero(ids.codes == code)[-1]])
            true = round(1000 * float(str(state["ah_throughput"])))
            for name, count in ((THROUGHPUT_TRUE, true), (THROUGHPUT_ERROR, measured - true)):
                part.tally.sketches.setdefault(name, Sketch()).add(1, count, count, count)


def _room_part(job: RoomJob) -> Part:
    part = Part(job)
    run = job.run
    clock = BlockClock(run.grid, job.block)
    around = world(run.seed, job.location, run.grid, job.block, run.scenario)
    counts = sample.sample_room(run.seed, job.location, job.sensor_id, around, clock, run.scenario)
    for group in sample.room_groups(job.sensor_id, around, counts, clock, part.tally):
        part.add(ENV, group)
    alarming = sample.room_condition_group(job.sensor_id, run.alerts, counts, clock)
    part.add_records(ALERT_CONDITION, alarming)
    return part
