"""The data dictionary on a terminal and for programs, from the declarations in `schema`."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from fleetgen.errors import ConfigError
from fleetgen.schema import DATA_VERSION, SCHEMA_VERSION, TABLES, Column, Table
from fleetgen.wording import nearest

_WIDTH = 100


def chosen(name: str | None) -> list[Table]:
    """The table called `name`, or all.

    Raises
    ------
    ConfigError
        There is no such table.
    """
    if name is None:
        return [*TABLES.values()]
    if name not in TABLES:
        raise ConfigError(f"no such table {name!r:.60}; {nearest(name, TABLES)}")
    return [TABLES[name]]


def as_json(tables: Iterable[Table]) -> dict[str, Any]:
    """Tables and columns as JSON has them."""
    return {
        "schema_version": SCHEMA_VERSION,
        "data_version": DATA_VERSION,
        "tables": [
            {
                "name": table.name,
                "role": table.role,
                "grain": table.grain,
                "key": list(table.key),
                "doc": table.doc,
                "columns": [_column(column) for column in table.columns],
            }
            for table in tables
        ],
    }


def _column(column: Column) -> dict[str, Any]:
    return {
        "name": column.name,
        "kind": column.kind,
        "unit": column.unit,
        "step": column.resolution if column.kind == "float" else None,
        "range": None if column.valid is None else list(column.valid),
        "nullable": column.nullable,
        "truth": column.truth,
        "known_at_end": column.known_at_end,
        "doc": column.doc,
    }


def overview(tables: Sequence[Table]) -> str:
    """A line for each table: its role, and what a row is."""
    rows = [(table.name, table.role, f"a row for each {table.grain}") for table in tables]
    return "\n".join(
        [
            *_aligned([("table", "role", "grain"), *rows]),
            "",
            "measured, derived: for features; truth: labels, never features; dimension: what there "
            "is",
            "fleetgen schema TABLE tells its columns",
        ]
    )


def page(table: Table) -> str:
    """A table with its columns, their kinds, units, steps, ranges and meanings."""
    about = f"{table.doc} Role: {table.role}. A row for each {table.grain}."
    rows = [("column", "kind", "unit", "step", "range", "null")]
    rows += [(c.name, c.kind, _unit(c), _step(c), _range(c), _null(c)) for c in table.columns]
    return "\n".join(
        [
            table.name,
            *textwrap.wrap(about, _WIDTH, initial_indent="  ", subsequent_indent="  "),
            f"  Key: {', '.join(table.key)}.",
            "",
            *_aligned(rows),
            "",
            *(line for column in table.columns for line in _meaning(column)),
        ]
    )


def _unit(column: Column) -> str:
    return "" if column.kind == "instant" else column.unit


def _step(column: Column) -> str:
    return f"{column.resolution:g}" if column.kind == "float" else ""


def _range(column: Column) -> str:
    return "" if column.valid is None else f"{column.valid[0]:g}..{column.valid[1]:g}"


def _null(column: Column) -> str:
    return "yes" if column.nullable else ""


def _meaning(column: Column) -> list[str]:
    notes = [column.doc]
    if column.truth:
        notes.append("simulated truth: a label, never a feature")
    if column.known_at_end:
        notes.append("known at the end of the run")
    text = f"{column.name}: {'; '.join(notes)}"
    return textwrap.wrap(text, _WIDTH, subsequent_indent="    ", break_on_hyphens=False)


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
