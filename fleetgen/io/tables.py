"""The door to pyarrow for writing: schemas, Parquet parts, CSV, and arrays for checkpoints."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fleetgen.io import parquet
from fleetgen.schema import Column, Table
from fleetgen.spec import NULL, Chunk, Codes, Constant, Instants, Plain, RowGroup
from fleetgen.units import SECONDS_PER_HOUR, SECONDS_PER_MINUTE

_deflate: Any = import_module("isal.isal_zlib" if find_spec("isal") else "zlib")
_ZSTD = pa.Codec("zstd", compression_level=1)
_GZIP_WINDOW_BITS = 31


def compress(buffer: Any) -> bytes:
    """Make one zstd frame, level 1, of a buffer of bytes."""
    packed: bytes = _ZSTD.compress(buffer, asbytes=True)
    return packed


# --- schema and values ----------------------------------------------------------------------------


def arrow_type(column: Column, time_zone: str) -> pa.DataType:
    """Give the Arrow type of a column's values."""
    match column.kind:
        case "instant":
            return pa.timestamp("ms", time_zone)
        case "id" | "category" | "text":
            return pa.string()
        case "float":
            return pa.float32()
        case "int":
            return pa.int32()
        case "bool":
            return pa.bool_()
        case "date":
            return pa.date32()


def arrow_schema(
    table: Table, time_zone: str, metadata: Mapping[str, str] | None = None
) -> pa.Schema:
    """Give the Arrow schema of a table, with what the table and its columns mean as metadata."""
    fields = [
        pa.field(c.name, arrow_type(c, time_zone), c.nullable, _meaning(c)) for c in table.columns
    ]
    described = {
        "name": table.name,
        "role": table.role,
        "grain": table.grain,
        "doc": table.doc,
        **(metadata or {}),
    }
    return pa.schema(fields, described)


def _meaning(column: Column) -> dict[str, str]:
    meaning = {"doc": column.doc, "unit": column.unit}
    if column.kind == "float":
        meaning["resolution"] = f"{column.resolution:.9g}"
    meaning |= {name: "true" for name in ("truth", "known_at_end") if getattr(column, name)}
    return {name: text for name, text in meaning.items() if text}


def to_arrow(table: Table, row_group: RowGroup, time_zone: str) -> pa.Table:
    """Decode a row group to values; ValueError when it is not one of `table`."""
    parquet.check_group(table, row_group)
    arrays = []
    for column in table.columns:
        with parquet.faults_named(table, column):
            arrays.append(_values(column, row_group[column.name], arrow_type(column, time_zone)))
            parquet.check_nulls(column, arrays[-1].null_count)
    return pa.table(arrays, schema=arrow_schema(table, time_zone))


def _values(column: Column, chunk: Chunk, dtype: pa.DataType) -> pa.Array:
    match chunk:
        case Constant(text, rows):
            return pa.repeat(pa.scalar(text, dtype), rows)
        case Codes(codes, tuple(levels)):
            return pa.array(levels, dtype).take(pa.array(codes))
    counts, index = parquet.chunk_levels(chunk)
    missing = counts == NULL
    values = pa.array(parquet.physical(column, np.where(missing, 0, counts)), mask=missing)
    return _taken(values.cast(dtype), index)


def _taken(levels: pa.Array, index: NDArray[Any] | None) -> pa.Array:
    return levels if index is None else levels.take(pa.array(index))


# --- Parquet --------------------------------------------------------------------------------------


class PartWriter(Protocol):
    """A part's file in the making."""

    def add(self, row_group: RowGroup) -> None:
        """Append a row group; ValueError when it is not one of the table."""

    def close(self) -> bytes:
        """End the file and give its bytes."""


class ArrowPartWriter:
    """The same file as `parquet.DirectPartWriter` makes, by Arrow's own writer."""

    def __init__(self, table: Table, time_zone: str, metadata: Mapping[str, str]) -> None:
        self._table = table
        self._time_zone = time_zone
        self._sink = io.BytesIO()
        instants = [column.name for column in table.columns if column.kind == "instant"]
        self._writer = pq.ParquetWriter(
            self._sink,
            arrow_schema(table, time_zone, metadata),
            compression="zstd",
            compression_level=1,
            use_dictionary=[name for name in table.names if name not in instants],
            column_encoding=dict.fromkeys(instants, "DELTA_BINARY_PACKED"),
            data_page_size=1 << 16,
        )

    def add(self, row_group: RowGroup) -> None:
        """Append a row group; one without rows leaves no trace."""
        values = to_arrow(self._table, row_group, self._time_zone)
        if values.num_rows:
            self._writer.write_table(
                values.replace_schema_metadata(self._writer.schema.metadata), values.num_rows
            )

    def close(self) -> bytes:
        """End the file and give its bytes."""
        self._writer.close()
        return self._sink.getvalue()


def open_writer(
    kind: Literal["direct", "pyarrow"],
    table: Table,
    time_zone: str,
    metadata: Mapping[str, str],
) -> PartWriter:
    """Open a part of `table`; both kinds make files that read equally."""
    if kind == "pyarrow":
        return ArrowPartWriter(table, time_zone, metadata)
    entries = file_metadata(arrow_schema(table, time_zone, metadata))
    return parquet.DirectPartWriter(table, entries, compress)


def file_metadata(schema: pa.Schema) -> dict[str, str]:
    """Make the key-value metadata by which Arrow finds `schema` again in a Parquet file."""
    entries = {name.decode(): text.decode() for name, text in schema.metadata.items()}
    return entries | {"ARROW:schema": base64.b64encode(schema.serialize()).decode()}


# --- CSV ------------------------------------------------------------------------------------------


def csv_bytes(
    table: Table, row_groups: Iterable[RowGroup], utc_offset_s: int, header: bool = True
) -> bytes:
    """Write row groups as CSV.

    Instants are ISO 8601 in local time, whole seconds; a float is the shortest text that reads back
    as the value of the Parquet file, hence free of digits below the resolution; a null is empty.
    """
    return b"".join(_csv(table, row_groups, utc_offset_s, header))


def csv_gz_member(
    table: Table, row_groups: Iterable[RowGroup], utc_offset_s: int, header: bool
) -> bytes:
    """Write row groups as CSV in one gzip member, without time or name.

    Members may be joined end to end; the first alone should bear the header.
    """
    packer = _deflate.compressobj(1, _deflate.DEFLATED, _GZIP_WINDOW_BITS)
    pieces = [packer.compress(piece) for piece in _csv(table, row_groups, utc_offset_s, header)]
    return b"".join([*pieces, packer.flush()])


def _csv(
    table: Table, row_groups: Iterable[RowGroup], utc_offset_s: int, header: bool
) -> Iterable[Any]:
    if header:
        yield f"{','.join(table.names)}\n".encode()
    for group in row_groups:
        if not parquet.check_group(table, group):
            continue
        texts = []
        for column in table.columns:
            with parquet.faults_named(table, column):
                texts.append(_texts(column, group[column.name], utc_offset_s))
                parquet.check_nulls(column, texts[-1].null_count)
        texts[-1] = _joined(texts[-1], "", between="\n")
        lines = _joined(*texts, between=",")
        _, offsets, data = lines.buffers()
        yield memoryview(data)[: np.frombuffer(offsets, np.int32)[len(lines)]]


def _joined(*texts: Any, between: str) -> pa.Array:
    return pc.binary_join_element_wise(
        *texts, between, null_handling="replace", null_replacement=""
    )


def _texts(column: Column, chunk: Chunk, utc_offset_s: int) -> pa.Array:
    """Render the rows of a chunk, null for a missing value; each level is rendered once."""
    match chunk:
        case Constant(text, rows):
            return pa.repeat(_quoted(text), rows)
        case Instants(first_ms, step_ms, rows):
            return _instants(first_ms, step_ms, rows, utc_offset_s)
        case Codes(codes, tuple(texts)):
            return _taken(pa.array([_quoted(text) for text in texts], pa.string()), codes)
        case Plain(counts):
            coded = parquet.as_codes(counts)
            if coded is not None and 2 * len(coded.levels) < len(counts):
                chunk = coded
    levels, index = parquet.chunk_levels(chunk)
    return _taken(_rendered(column, levels, utc_offset_s), index)


@lru_cache(maxsize=8)
def _instants(first_ms: int, step_ms: int, rows: int, utc_offset_s: int) -> pa.Array:
    instants_ms, _ = parquet.chunk_levels(Instants(first_ms, step_ms, rows))
    return _local_iso(instants_ms, utc_offset_s)


def _rendered(column: Column, counts: NDArray[np.int64], utc_offset_s: int) -> pa.Array:
    missing = counts == NULL
    if column.kind != "instant":
        return _values(column, Plain(counts), arrow_type(column, "UTC")).cast(pa.string())
    texts = _local_iso(np.where(missing, 0, counts), utc_offset_s)
    return pc.if_else(pa.array(missing), None, texts)


def _local_iso(instants_ms: NDArray[np.int64], utc_offset_s: int) -> pa.Array:
    seconds, milliseconds = np.divmod(instants_ms, 1000)
    if milliseconds.any():
        raise ValueError("CSV holds instants to the whole second")
    local = pa.array(seconds + utc_offset_s).cast(pa.timestamp("s")).cast(pa.string())
    hours, rest_s = divmod(abs(utc_offset_s), SECONDS_PER_HOUR)
    sign = "-" if utc_offset_s < 0 else "+"
    offset = f"{sign}{hours:02d}:{rest_s // SECONDS_PER_MINUTE:02d}"
    return _joined(pc.replace_substring(local, " ", "T"), offset, between="")


def _quoted(text: str | None) -> str | None:
    if text is None or (text and not any(mark in text for mark in ',"\r\n')):
        return text
    return '"' + text.replace('"', '""') + '"'


# --- arrays ---------------------------------------------------------------------------------------


def encode_arrays(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Write arrays of numbers as an Arrow IPC file: one row, one list per array.

    Takes float64, int64, int32 and uint8 of any shape; a field's metadata hold the shape.
    """
    columns = []
    fields = []
    for name, array in arrays.items():
        flat = pa.array(array.reshape(-1))
        columns.append(pa.LargeListArray.from_arrays(pa.array([0, array.size]), flat))
        shape = json.dumps(array.shape)
        fields.append(pa.field(name, columns[-1].type, False, {"shape": shape}))
    batch = pa.record_batch(columns, schema=pa.schema(fields))
    sink = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_file(sink, batch.schema, options=options) as file:
        file.write_batch(batch)
    return sink.getvalue()


def decode_arrays(data: bytes) -> dict[str, NDArray[Any]]:
    """Read what `encode_arrays` wrote."""
    with pa.ipc.open_file(pa.BufferReader(data)) as file:
        batch = file.get_batch(0)
    arrays = {}
    for field, column in zip(batch.schema, batch.columns, strict=True):
        flat = column.values.to_numpy(zero_copy_only=False, writable=True)
        arrays[field.name] = flat.reshape(json.loads(field.metadata[b"shape"]))
    return arrays
