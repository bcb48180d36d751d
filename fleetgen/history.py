"""What follows from all that was measured of one string, or of one room: alerts, predictions.

A job reads the files of its parts in order of time and leaves one small object for the reduce. It
is a cache: who misses one makes it again.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleetgen import digest, fleet, task
from fleetgen.derive.alerts import Alert, Place, alerts
from fleetgen.derive.conditions import Condition, rules_of
from fleetgen.derive.past import COLUMNS, CapacityTest, StringPast, Unit
from fleetgen.derive.scores import Scores
from fleetgen.errors import StorageError
from fleetgen.io import csv, dataset, manifest
from fleetgen.io.store import Store, open_store
from fleetgen.rows import Row, row_groups
from fleetgen.schema import (
    ALERT,
    ALERT_CONDITION,
    BATTERY,
    CAPACITY_TEST_CALC,
    FEATURE_STORE,
    RUL_PREDICTION,
    RUL_TRUTH,
    Table,
)
from fleetgen.score import Trouble, room_troubles, score, string_troubles
from fleetgen.spec import (
    NULL,
    AlertRule,
    Codes,
    Done,
    FileEntry,
    HistoryJob,
    Job,
    PartJob,
    RowGroup,
    StringJob,
)
from fleetgen.system import system_model
from fleetgen.units import day_number

Ints = NDArray[np.int64]

CLOSING = "_fleetgen/closing"

_BLOCK_BYTES = 1 << 18
"""Text of CSV that is read at a time: little, for the client reads some of it, too."""


@dataclass(frozen=True)
class Derived:
    """CSV rows of tables that close with the run, without header, and scores against the truth.

    `scores` are the sketches of `score.score` (alerts) and `scores.Scores` (rul).
    """

    rows: Mapping[str, str]
    scores: Mapping[str, Mapping[str, Any]]


def begin(job: Job | HistoryJob) -> Callable[[], Done]:
    """Begin whatever job of a run."""
    return begin_history(job) if isinstance(job, HistoryJob) else task.begin_job(job)


def begin_history(job: HistoryJob) -> Callable[[], Done]:
    """Derive all of a string or room; the call that is returned stores it."""
    store = open_store(job.run.output_url, job.run.storage_options)
    derived = derive(job, store)
    body = {"plan": job.run.plan_digest, "until": _until_s(job), **vars(derived)}
    data = manifest.canonical_json(body)
    return partial(_store, store, job.key, data)


def _store(store: Store, key: str, data: bytes) -> Done:
    store.put(_where(key), data)
    return Done(key, 0, 0)


def left(job: HistoryJob, store: Store) -> Derived | None:
    """What a job left; None if that is not there, or not whole."""
    with suppress(StorageError, ValueError, LookupError, TypeError, AttributeError):
        found = json.loads(store.get(_where(job.key)))
        if (found["plan"], found["until"]) == (job.run.plan_digest, _until_s(job)):
            return Derived(dict(found["rows"]), dict(found["scores"]))
    return None


def _where(key: str) -> str:
    return f"{CLOSING}/{key}.json"


def _until_s(job: HistoryJob) -> int:
    return job.run.grid.end_s


def derive(job: HistoryJob, store: Store) -> Derived:
    """Read what was measured, derive what follows from it, and hold that against the truth."""
    found, predicted = conclusions(job, store)
    first, run = job.parts[0], job.run
    if not isinstance(first, StringJob):
        marks = {"alerts": score(found, _room_troubles(first), run.grid, strings=0)}
        return _derived(job, found, predicted, marks)
    system = system_model(run.seed, first.location, first.system, run.grid, run.scenario)
    of_string = task.slow_path_of(first), first.string_index
    troubles = string_troubles(system, *of_string, _room_troubles(first))
    marks = {
        "alerts": score(found, troubles, run.grid),
        "rul": _scored(job, predicted, store).counts(),
    }
    return _derived(job, found, predicted, marks)


def conclusions(job: HistoryJob, store: Store) -> tuple[list[Alert], list[RowGroup]]:
    """Alerts and predictions of a string or room, from what was measured alone."""
    first, rules = job.parts[0], job.run.alerts
    if not isinstance(first, StringJob):
        place = Place(first.location.location_id, sensor_id=first.sensor_id)
        return _alerts(job, place, {rule.name: rule for rule in rules}, store), []
    place = Place(first.location.location_id, first.system.system_id, first.string.string_id)
    found = _alerts(job, place, rules_of(rules, first.string.model), store)
    return found, _predictions(job, first, store)


def _room_troubles(part: PartJob) -> list[Trouble]:
    run = part.run
    return room_troubles(run.seed, part.location, part.sensor_id, run.grid, run.scenario)


def _derived(
    job: HistoryJob,
    found: list[Alert],
    predicted: list[RowGroup],
    scores: Mapping[str, Mapping[str, Any]],
) -> Derived:
    offset_s = job.run.grid.utc_offset_s
    groups = {ALERT: row_groups(ALERT, found), RUL_PREDICTION: predicted}
    rows = {
        table.name: csv.csv_bytes(table, each, offset_s, header=False).decode()
        for table, each in groups.items()
    }
    return Derived(rows, scores)


def _alerts(
    job: HistoryJob, place: Place, rules: Mapping[str, AlertRule], store: Store
) -> list[Alert]:
    """Alerts of all conditions of a string or room."""
    rows = (
        Condition(*row)
        for group in groups_of(job, store, ALERT_CONDITION)
        for row in rows_in(group, ALERT_CONDITION)
    )
    return alerts(place, rules, job.run.grid, rows)


def rows_in(group: RowGroup, table: Table) -> Iterator[tuple[Any, ...]]:
    """Rows of a row group: texts, counts, and instants in seconds."""
    columns = []
    for column in (c for c in table.columns if c.name in group):
        chunk = group[column.name]
        if isinstance(chunk, Codes):
            columns.append([chunk.levels[code] for code in chunk.codes])
        else:
            counts = digest.instants_ms(chunk)
            columns.append((counts // 1000 if column.kind == "instant" else counts).tolist())
    return zip(*columns, strict=True)


def _predictions(job: HistoryJob, first: StringJob, store: Store) -> list[RowGroup]:
    """Weekly predictions from the features of a string, part after part."""
    swaps = manifest.read_receipt(store, job.parts[-1].key, job.run.plan_digest).swaps
    past = past_of(first, swaps)
    tests = [test for group in groups_of(job, store, CAPACITY_TEST_CALC) for test in results(group)]
    names = ("feature_ts", "battery_id", *COLUMNS)
    found = []
    for part in job.parts:
        groups = list(of_part(part, store, FEATURE_STORE, names))
        if not groups:
            continue
        predicted = past.take(*by_unit(groups, past.units), tests=tests)
        tests = []  # they wait for their time
        if predicted is not None:
            found.append(predicted)
    return found


def past_of(first: StringJob, swaps: Mapping[str, int]) -> StringPast:
    """Past of a string, of which nothing is taken in yet.

    `swaps` are the units that came in the run, and when [s], as the last part's receipt has them.
    """
    run, model = first.run, first.string.model
    rows = fleet.battery_rows(
        first.location,
        first.system,
        first.string_index,
        {*first.jar_ids},
        run.seed,
        run.grid,
        run.scenario,
        swaps,
    )
    units = [
        Unit(
            row["battery_id"],
            day_number(row["installed_date"]),
            _as_written("initial_resistance_mohm", row),
            _as_written("initial_capacity_ah", row) / model.rated_capacity_ah,
        )
        for row in rows
    ]
    float_v = 0.5 * (model.float_min_v + model.float_max_v)
    return StringPast(units, float(model.cells), float_v, run.grid.utc_offset_s)


def results(group: RowGroup) -> Iterator[CapacityTest]:
    """Capacity tests of a row group of `capacity_test_calc`."""
    names = CAPACITY_TEST_CALC.names
    per_unit = 100 * CAPACITY_TEST_CALC.column("capacity_pct").per_unit
    for row in rows_in(group, CAPACITY_TEST_CALC):
        values = dict(zip(names, row, strict=True))
        yield CapacityTest(
            values["battery_id"],
            values["ended_at"],
            values["capacity_pct"] / per_unit,
            bool(values["capacity_censored"]),
        )


def _scored(job: HistoryJob, predicted: list[RowGroup], store: Store) -> Scores:
    """Predictions held against the truth of their Mondays."""
    names = ("ts", "battery_id", "rul_days")
    mondays = {row[0] for group in predicted for row in rows_in(group, RUL_PREDICTION)}
    per_unit = RUL_TRUTH.column("rul_days").per_unit
    true = {
        (at_s, name): np.nan if count == NULL else count / per_unit
        for group in groups_of(job, store, RUL_TRUTH, names)
        for at_s, name, count in rows_in(group, RUL_TRUTH)
        if at_s in mondays
    }
    scores = Scores()
    for group in predicted:
        keys = [row[:2] for row in rows_in(group, RUL_PREDICTION)]
        counts = {name: digest.instants_ms(group[name]) for name in RUL_PREDICTION.names[2:]}
        known = [key in true for key in keys]  # not of a Monday on which the run ends
        days = np.array([true[key] for key in keys if key in true])
        scores.add({name: counts[name][known] for name in counts}, days)
    return scores


def _as_written(name: str, row: Row) -> float:
    """A value of `battery` as readers find it."""
    per_unit = BATTERY.column(name).per_unit
    return round(float(row[name]) * per_unit) / per_unit


def by_unit(groups: Sequence[RowGroup], units: Sequence[Unit]) -> tuple[Ints, dict[str, Ints]]:
    """Instants of a part's features, (hour,), and the columns of predictions, (unit, hour)."""
    ids = [unit.battery_id for unit in units]

    def joined(name: str) -> Ints:
        return np.concatenate([digest.instants_ms(group[name]) for group in groups])

    rows = []
    for group in groups:
        names = group["battery_id"]
        if not isinstance(names, Codes):
            raise ValueError("no ids")
        rows.append(np.array([ids.index(str(name)) for name in names.levels])[names.codes])
    hours, column = np.unique(joined("feature_ts"), return_inverse=True)
    row = np.concatenate(rows)
    found = {}
    for name in COLUMNS:
        found[name] = np.full((len(ids), len(hours)), NULL)
        found[name][row, column] = joined(name)
    return hours, found


def groups_of(
    job: HistoryJob, store: Store, table: Table, columns: Sequence[str] | None = None
) -> Iterator[RowGroup]:
    """Row groups of a table, or of some of its columns, in all parts of a job, in order of time."""
    for part in job.parts:
        yield from of_part(part, store, table, columns)


def of_part(
    part: PartJob,
    store: Store,
    table: Table,
    columns: Sequence[str] | None = None,
    span_ms: tuple[int, int] | None = None,
) -> Iterator[RowGroup]:
    """Row groups of a table, or of some of its columns, in a part.

    With a span [ms], row groups of Parquet that have no row in it are left out.
    """
    receipt = manifest.read_receipt(store, part.key, part.run.plan_digest)
    for entry in receipt.files:
        if entry.table == table.name:
            yield from _groups(store, table, entry, columns, span_ms)


def _groups(
    store: Store,
    table: Table,
    entry: FileEntry,
    columns: Sequence[str] | None,
    span_ms: tuple[int, int] | None,
) -> Iterator[RowGroup]:
    read = partial(dataset.iter_groups, span_ms=span_ms)
    if entry.path.endswith(".csv.gz"):
        read = partial(dataset.iter_csv_groups, block_bytes=_BLOCK_BYTES)
    try:
        yield from read(table, io.BytesIO(b"".join(manifest.stream_file(store, entry))), columns)
    except ValueError as error:
        raise manifest.damaged_file(store, entry, str(error)) from error
