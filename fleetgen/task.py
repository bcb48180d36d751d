"""One job on a worker: slow path or part, from the job alone to files and a receipt."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import lru_cache, partial

import numpy as np

from fleetgen import sample, simulate, truth
from fleetgen.derive.features import JAR_COLUMNS
from fleetgen.errors import StorageError
from fleetgen.io import csv, manifest, tables
from fleetgen.io.store import Store, open_store
from fleetgen.sample import BlockClock, Tally
from fleetgen.schema import (
    ENV,
    FEATURE_STORE,
    JAR_CALC,
    JAR_RAW,
    SCHEMA_VERSION,
    STRING_CALC,
    STRING_RAW,
    Table,
)
from fleetgen.simulate import SlowPath
from fleetgen.spec import (
    Done,
    FileEntry,
    Job,
    PartJob,
    Receipt,
    RoomJob,
    RowGroup,
    Run,
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
        return partial(_store_checkpoints, job, store, tables.encode_arrays(_walk(job).arrays()))
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


def _walk(job: SlowPathJob) -> SlowPath:
    run = job.run
    model = system_model(run.seed, job.location, job.system, run.grid, run.scenario)
    return simulate.slow_path(model)


@lru_cache(maxsize=2)
def _slow_path(job: SlowPathJob) -> SlowPath:
    """Slow path of a system: the stored one is a cache of what a part can always make again."""
    if job.run.output_url == NOWHERE:
        return _walk(job)
    try:
        store = open_store(job.run.output_url, job.run.storage_options)
        path = SlowPath(**tables.decode_arrays(store.get(_checkpoints(job))))
    except (StorageError, OSError, ValueError, LookupError, TypeError):  # absent, or damaged
        return _walk(job)
    return path if path.covers(job.run.grid.end_day) else _walk(job)


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
        self.member: bytes | None = None

    def add(self, table: Table, row_group: RowGroup) -> None:
        """Append a row group to the part's file of `table`."""
        if table.name not in self._writers:
            self._tables[table.name] = table
            self._writers[table.name] = _writer(self.job.run, table)
        self._writers[table.name].add(row_group)
        self._rows[table.name] += next(iter(row_group.values())).rows

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
        rows, size = sum(self._rows.values()), sum(entry.bytes for entry in receipt.files)
        return Done(self.job.key, rows, size)


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
    strings = (STRING_RAW, STRING_CALC, JAR_RAW, JAR_CALC, FEATURE_STORE)
    return strings if isinstance(job, StringJob) else (ENV,)


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
    path = _slow_path(SlowPathJob(run, job.location, job.system))
    around = world(run.seed, job.location, run.grid, job.block, run.scenario)
    clock = BlockClock(run.grid, job.block)
    played = simulate.replay(model, path, s, around, job.block)
    past = partial(sample.physics_of, model, path, s)
    samples = sample.sample_string(model, s, around, played, clock, past)
    for table, group in sample.string_groups(
        model, s, path.transfers_s(s, model.timeline.tests_s(s)), samples, clock, part.tally
    ):
        part.add(table, group)
    jars = len(job.string.jar_ids)
    hours = np.zeros((jars, clock.hours, JAR_COLUMNS), np.int64)
    for j, jar_id in enumerate(job.string.jar_ids):
        for table, group in sample.jar_groups(
            model, s, j, played, samples, clock, past, jar_id in job.jar_ids, part.tally, hours[j]
        ):
            part.add(table, group)
    room = sample.sample_room(run.seed, job.location, job.sensor_id, around, clock, run.scenario)
    account, string_hours = sample.string_account(model, path, s, samples, clock)
    features = sample.feature_group(
        model,
        s,
        job.jar_ids,
        clock,
        hours,
        account,
        string_hours,
        sample.room_hours(room, clock),
        part.tally,
    )
    if features is not None:
        part.add(FEATURE_STORE, features)
        part.member = csv.csv_gz_member(FEATURE_STORE, [features], run.grid.utc_offset_s)
    if job.block.end_day == run.grid.end_day:
        states = truth.final_states(model, path, s)
        part.receipt_states = {jar: states[jar] for jar in job.jar_ids}
    return part


def _room_part(job: RoomJob) -> Part:
    part = Part(job)
    run = job.run
    clock = BlockClock(run.grid, job.block)
    around = world(run.seed, job.location, run.grid, job.block, run.scenario)
    counts = sample.sample_room(run.seed, job.location, job.sensor_id, around, clock, run.scenario)
    for group in sample.room_groups(job.sensor_id, around, counts, clock, part.tally):
        part.add(ENV, group)
    return part
