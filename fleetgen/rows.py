"""Rows of values, for tables that are small, as row groups of counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fleetgen.schema import Column, Table
from fleetgen.spec import NULL, Chunk, Codes, Plain, RowGroup
from fleetgen.units import day_number

Row = dict[str, Any]
"""Values by column, in the column's unit; instants in ms."""

_ROW_GROUP_ROWS = 50_000
"""Most rows whose texts fit 16-bit codes, with room to spare."""


def row_groups(table: Table, rows: list[Row]) -> list[RowGroup]:
    """Rows as row groups of which the texts fit 16-bit codes."""
    return [
        _row_group(table, rows[first : first + _ROW_GROUP_ROWS])
        for first in range(0, len(rows), _ROW_GROUP_ROWS)
    ]


def texts(values: Sequence[str | None]) -> Codes:
    """Texts as codes into those that there are, by their first place."""
    levels = tuple(dict.fromkeys(values))
    code = {text: i for i, text in enumerate(levels)}
    return Codes(np.array([code[v] for v in values], np.uint16), levels)


def _row_group(table: Table, rows: list[Row]) -> RowGroup:
    return {c.name: _chunk(c, [row[c.name] for row in rows]) for c in table.columns}


def _chunk(column: Column, values: list[Any]) -> Chunk:
    if column.kind in ("id", "text", "category"):
        return texts(values)
    if column.kind == "date":
        days = [NULL if v is None else day_number(v) for v in values]
        return Plain(np.array(days, np.int64))
    counts = [NULL if v is None else round(v * column.per_unit) for v in values]
    return Plain(np.array(counts, np.int64))
