"""Write `data-dictionary.md` from the declarations in `fleetgen/schema.py`.

`python docs/make_data_dictionary.py` after a change of the schema; a test compares the two.
"""

from pathlib import Path

from fleetgen.io.tables import arrow_type
from fleetgen.plan import SINGLE_FILE_ROWS
from fleetgen.schema import (
    DATA_VERSION,
    DIMENSIONS,
    EPISODES,
    HISTORIES,
    MODES,
    RECORDS,
    SCHEMA_VERSION,
    SINGLE_FILES,
    TELEMETRY,
    Column,
    Table,
)

PAGE = Path(__file__).with_name("data-dictionary.md")

HEAD = f"""\
# Data dictionary

Made by `docs/make_data_dictionary.py` from `fleetgen/schema.py`; do not edit.
Schema version {SCHEMA_VERSION}, data version {DATA_VERSION}.

**Role** says what a table may be used for: *dimension* (what there is), *measured* (what
instruments report), *derived* (computed from measured data alone), *truth* (what the simulation
knows: labels, never features). A column's **step** is its resolution: a value is a whole multiple
of it, as the nearest `float32`. The **range** bounds a column's values, inclusive. Currents are
positive in charge. Instants are stored in UTC with the fleet's time zone (here Asia/Bangkok), so
that they read as local time. Modes are {", ".join(f"`{mode}`" for mode in MODES)}.

The same words are in the metadata of each Parquet file: `role`, `grain` and `doc` of the table,
`doc`, `unit` and `resolution` of the column, and `truth` where a column is a label."""

SINGLE = " and ".join(f"`{name}.{form}`" for name, form in SINGLE_FILES.items())

SERIES = f"""\
## Series

Parquet, one file per part: `TABLE/location=.../string=.../month=YYYY-MM/part-DAY-DAYS.parquet`
(without `string=` for a location's sensor). A part in which nothing was tested or measured by
hand has no file of those tables. The features are in `feature_store.csv.gz`, too, and
the tables of jars, up to {SINGLE_FILE_ROWS:,} rows, in {SINGLE}.

In CSV (`--format csv.gz`, `fleetgen export`, all single files) an instant is ISO 8601 in local
time with its offset, `2025-01-01T00:00:05+07:00`; a number has no digit below its step, and as
`float32` it is the value of the Parquet file; booleans are `true` and `false`; a null is empty, an
empty text is `""`."""

OCCASIONS = """\
## Records

In parts, too, with a row for each thing that happens; a part in which nothing does has no file."""

ENTITIES = """\
## Entities

One CSV file each, `TABLE.csv`; an entity appears when a selected battery belongs to it."""


WHAT_HAPPENED = """\
## What happened

One CSV file each; made again when a run is extended. Columns that are marked *known at end* may
change then: never join them to earlier rows."""


def page() -> str:
    """The whole page."""
    chapters = (
        (SERIES, TELEMETRY),
        (OCCASIONS, RECORDS),
        (ENTITIES, DIMENSIONS),
        (WHAT_HAPPENED, (*EPISODES, *HISTORIES)),
    )
    parts = [HEAD]
    for head, tables in chapters:
        parts += [head, *map(_section, tables)]
    return "\n\n".join(parts) + "\n"


def _section(table: Table) -> str:
    key = ", ".join(f"`{name}`" for name in table.key)
    return "\n".join(
        [
            f"### {table.name}",
            "",
            f"{table.doc} Role **{table.role}**; grain {table.grain}; key {key}.",
            "",
            "| column | type | unit | step | range | meaning |",
            "|---|---|---|--:|---|---|",
            *map(_row, table.columns),
        ]
    )


def _row(column: Column) -> str:
    kind = str(arrow_type(column, "Asia/Bangkok")).replace("float", "float32")
    kind += ", nullable" if column.nullable else ""
    unit = "" if column.kind == "instant" else column.unit
    step = f"{column.resolution:.6g}" if column.kind == "float" else ""
    span = f"{column.valid[0]:g} to {column.valid[1]:g}" if column.valid else ""
    marks = [name for name in ("truth", "known_at_end") if getattr(column, name)]
    meaning = column.doc + "".join(f" (**{mark.replace('_', ' ')}**)" for mark in marks)
    return f"| `{column.name}` | {kind} | {unit} | {step} | {span} | {meaning} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
