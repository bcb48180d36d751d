"""What was measured of one string and its room, read back from its files as counts."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fleetgen.derive.features import NO_MODE
from fleetgen.io import dataset
from fleetgen.io.store import Store
from fleetgen.schema import ENV, JAR_RAW, MODES, STRING_CALC, STRING_RAW, Table
from fleetgen.spec import PartJob, StringJob, Values
from fleetgen.task import part_path
from fleetgen.validate.clock import position_of
from fleetgen.validate.part import clock_of
from fleetgen.wording import many

Counts = NDArray[np.int32]
_NULL32 = np.iinfo(np.int32).min

STRING_CHANNELS = ("voltage_v", "current_a", "ripple_current_rms_a", "float_current_a")
JAR_CHANNELS = ("voltage_v", "temperature_c", "resistance_mohm")


@dataclass(frozen=True, eq=False)
class Measured:
    """Counts of a part, (row,): of the string and of the room."""

    mode: NDArray[np.uint8]
    string: Mapping[str, Counts]
    room: Counts


def read_jars(store: Store, part: StringJob) -> Iterator[tuple[str, frozenset[str], Counts]]:
    """Yield each position of a part, its units and counts (channel, row), one in memory at a time.

    ValueError or StorageError where the file cannot be read, or an instant is missing.
    """
    rows, positions = clock_of(part, STRING_RAW).rows, dict.fromkeys(part.jar_ids, 0)
    units: set[str] = set()
    counts = np.empty((len(JAR_CHANNELS), rows), np.int32)
    for unit, there, columns in _stretches(store, part, JAR_RAW):
        units.add(unit)
        for n, name in enumerate(JAR_CHANNELS):
            counts[n, there] = _counts(JAR_RAW, name, columns)
        position = position_of(unit, positions)
        positions[position] = there.stop
        if len({position_of(each, positions) for each in units}) > 1:
            raise ValueError(f"{part.key}: the rows of {unit} are not together")
        if there.stop == rows:
            yield position, frozenset(units), counts
            units = set()


def read_string(store: Store, part: StringJob, room: tuple[PartJob, ...]) -> Measured:
    """Read a string's part and what its room's sensor measured meanwhile; no truth is touched.

    ValueError or StorageError where a file cannot be read, or an instant is missing.
    """
    rows = clock_of(part, STRING_RAW).rows
    mode = np.full(rows, NO_MODE, np.uint8)
    string = {name: np.full(rows, _NULL32, np.int32) for name in (*STRING_CHANNELS, "thd_pct")}
    for _, there, columns in _stretches(store, part, STRING_RAW):
        text = columns["mode"]
        codes = [MODES.index(level) if level in MODES else NO_MODE for level in text.levels]
        mode[there] = np.array(codes, np.uint8)[text.values]
        for name in STRING_CHANNELS:
            string[name][there] = _counts(STRING_RAW, name, columns)
    for _, there, columns in _stretches(store, part, STRING_CALC):
        string["thd_pct"][there] = _counts(STRING_CALC, "thd_pct", columns)
    around = np.full(rows, _NULL32, np.int32)
    first_ms, step_ms = clock_of(part, JAR_RAW).first_ms, 1000 * part.run.grid.interval_s
    for each in room:
        offset = (clock_of(each, ENV).first_ms - first_ms) // step_ms
        for _, there, columns in _stretches(store, each, ENV):
            counts = _counts(ENV, "temperature_c", columns)
            row = offset + np.arange(there.start, there.stop)
            own = (row >= 0) & (row < rows)
            around[row[own]] = counts[own]
    return Measured(mode, string, around)


def _stretches(
    store: Store, part: PartJob, table: Table
) -> Iterator[tuple[str, slice, dict[str, Values]]]:
    """Unit, rows of the clock and columns of each stretch of a measured or derived table."""
    if table.role == "truth":
        raise ValueError(f"{table.name} is truth")
    path = part_path(part, table.name)
    clock = clock_of(part, table)
    data = io.BytesIO(store.get(path))
    for columns in dataset.iter_values(table, data, path.endswith(".csv.gz")):
        for stretch in clock.take(columns[table.key[0]], columns[table.key[1]]):
            if stretch.at is None:
                raise ValueError(f"{path}: {stretch.unit} has not each instant once, in order")
            cut = slice(stretch.a, stretch.b)
            yield (
                stretch.unit,
                slice(stretch.at, stretch.at + stretch.b - stretch.a),
                {n: Values(v.values[cut], v.nulls, v.levels) for n, v in columns.items()},
            )
    if clock.missing:
        raise ValueError(f"{path}: {many(clock.missing, 'instant is', 'instants are')} missing")


def _counts(table: Table, name: str, columns: Mapping[str, Values]) -> Counts:
    values = columns[name].values.astype(np.float64) * table.column(name).per_unit
    known = np.abs(values) < -_NULL32  # neither null nor beyond all counts
    counts: Counts = np.where(known, np.rint(values), float(_NULL32)).astype(np.int32)
    return counts
