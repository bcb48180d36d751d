"""The door to pyarrow for writing: schemas, Parquet parts, and arrays for checkpoints."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping
from typing import Any, Literal, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fleetgen.io import parquet
from fleetgen.schema import Column, Table
from fleetgen.spec import NULL, Chunk, Codes, Constant, RowGroup

_ZSTD = pa.Codec("zstd", compression_level=1)


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
