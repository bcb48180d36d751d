"""What catalogues read of a data set: Croissant (`croissant.json`) and a Frictionless data package.

Both follow from the schema, the plan and what is in the manifest, so that their bytes are those of
the plan. They claim nothing but that: the data are simulated.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fleetgen import __version__
from fleetgen.report.citation import AUTHORS, TITLE, citation
from fleetgen.schema import PARTED, TABLES, Column, Kind, Table
from fleetgen.spec import FileEntry, Run
from fleetgen.units import SECONDS_PER_DAY
from fleetgen.wording import many

Json = dict[str, Any]

_SCHEMA_ORG: dict[Kind, str] = {
    "instant": "sc:DateTime",
    "date": "sc:Date",
    "float": "sc:Float",
    "int": "sc:Integer",
    "bool": "sc:Boolean",
    "id": "sc:Text",
    "category": "sc:Text",
    "text": "sc:Text",
}
_FRICTIONLESS: dict[Kind, str] = {
    "instant": "datetime",
    "date": "date",
    "float": "number",
    "int": "integer",
    "bool": "boolean",
    "id": "string",
    "category": "string",
    "text": "string",
}
_MEDIA = {
    "csv": "text/csv",
    "gz": "text/csv",
    "json": "application/json",
    "md": "text/markdown",
    "parquet": "application/x-parquet",
}

_CONTEXT: Json = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""The vocabulary of Croissant 1.0, as its specification has it."""


@dataclass(frozen=True)
class Contents:
    """A data set as catalogues are told of it.

    `files` are those that close with the run, `paths` gives the parts of a table, `bytes` their
    sizes by table.
    """

    run: Run
    batteries: int
    files: tuple[FileEntry, ...]
    bytes: Mapping[str, int]
    paths: Callable[[str], Iterator[str]]

    @property
    def name(self) -> str:
        """Name by the plan, in the characters that both catalogues take."""
        return f"fleetgen-{self.run.plan_digest[:12]}"

    @property
    def description(self) -> str:
        """What it is, in three sentences."""
        grid = self.run.grid
        days = grid.duration_s / SECONDS_PER_DAY
        return (
            f"{TITLE}: {many(self.batteries, 'lead-acid battery', 'lead-acid batteries')}, "
            f"{many(days, 'day')} from {grid.start}, a "
            f"sample every {grid.interval_s} s. All values are simulated; none was measured in the "
            "field. Tables and columns that are simulated truth are labels, never features."
        )

    def tables(self) -> Iterator[tuple[Table, FileEntry | None]]:
        """Each table that has files; the file of one that does not lie in parts."""
        single = {entry.table: entry for entry in self.files}
        for table in TABLES.values():
            if table in PARTED:
                if self.bytes.get(table.name):
                    yield table, None
            elif table.name in single:
                yield table, single[table.name]


def croissant(contents: Contents) -> bytes:
    """Croissant 1.0, JSON-LD: files with digests, and a record set for each table."""
    files: list[Json] = [
        {
            "@type": "cr:FileObject",
            "@id": entry.path,
            "name": entry.path,
            "contentUrl": entry.path,
            "contentSize": f"{entry.bytes} B",
            "encodingFormat": _media(entry.path),
            "sha256": entry.sha256,
        }
        for entry in contents.files
    ]
    sets: list[Json] = []
    records = []
    suffix = "csv.gz" if contents.run.format == "csv.gz" else "parquet"
    for table, entry in contents.tables():
        if entry is None:
            source = {"fileSet": {"@id": f"{table.name}-parts"}}
            sets.append(
                {
                    "@type": "cr:FileSet",
                    "@id": f"{table.name}-parts",
                    "name": f"{table.name}-parts",
                    "description": "Parts by location, string and month.",
                    "encodingFormat": _media(suffix),
                    "includes": f"{table.name}/**/*.{suffix}",
                }
            )
        else:
            source = {"fileObject": {"@id": entry.path}}
        records.append(_record_set(table, source))
    return _text(
        {
            "@context": _CONTEXT,
            "@type": "sc:Dataset",
            "conformsTo": "http://mlcommons.org/croissant/1.0",
            "name": contents.name,
            "description": contents.description,
            "version": __version__,
            "citeAs": citation(contents.run),
            "creator": {"@type": "sc:Organization", "name": AUTHORS},
            "keywords": ["battery", "lead-acid", "predictive maintenance", "synthetic data"],
            "isLiveDataset": False,
            "distribution": files + sets,
            "recordSet": records,
        }
    )


def _record_set(table: Table, source: Json) -> Json:
    return {
        "@type": "cr:RecordSet",
        "@id": table.name,
        "name": table.name,
        "description": _table_doc(table),
        "key": [{"@id": f"{table.name}/{name}"} for name in table.key],
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"{table.name}/{column.name}",
                "name": column.name,
                "description": _column_doc(column),
                "dataType": _SCHEMA_ORG[column.kind],
                "source": {**source, "extract": {"column": column.name}},
            }
            for column in table.columns
        ],
    }


def datapackage(contents: Contents) -> Iterator[bytes]:
    """A Frictionless data package, in pieces: a resource for each table, with its parts."""
    head = {
        "name": contents.name,
        "title": TITLE,
        "description": contents.description,
        "version": __version__,
        "contributors": [{"title": AUTHORS, "role": "author"}],
        "citation": citation(contents.run),
        "keywords": ["battery", "lead-acid", "predictive-maintenance", "synthetic-data"],
    }
    yield _text(head).removesuffix(b"}\n") + b',"resources":['
    before = b"\n"
    for table, entry in contents.tables():
        yield before + _text(_resource(table, entry, contents)).removesuffix(b"}\n") + b',"path":'
        if entry is None:
            yield from _listed(contents.paths(table.name))
        else:
            yield json.dumps(entry.path).encode()
        yield b"}"
        before = b",\n"
    yield b"\n]}\n"


def _listed(paths: Iterable[str]) -> Iterator[bytes]:
    before = b"["
    for path in paths:
        yield before + json.dumps(path).encode()
        before = b","
    yield b"]"


def _resource(table: Table, entry: FileEntry | None, contents: Contents) -> Json:
    """A table but for its path, which comes behind."""
    about: Json = {"name": table.name, "description": _table_doc(table)}
    packed = contents.run.format == "csv.gz"
    if entry is not None:
        about |= {"bytes": entry.bytes, "hash": f"sha256:{entry.sha256}"}
    if entry is not None or packed:
        about |= {"type": "table", "format": "csv", "mediatype": "text/csv", "encoding": "utf-8"}
        about |= {"compression": "gz"} if entry is None else {}
    else:
        about |= {"type": "table", "format": "parquet", "mediatype": _media("parquet")}
    fields = [_field(column) for column in table.columns]
    return about | {"schema": {"fields": fields, "primaryKey": list(table.key)}}


def _field(column: Column) -> Json:
    about: Json = {
        "name": column.name,
        "type": _FRICTIONLESS[column.kind],
        "description": _column_doc(column),
    }
    if column.unit and column.kind != "instant":
        about["unit"] = column.unit
    limits: Json = {} if column.nullable else {"required": True}
    if column.valid is not None:
        limits |= {"minimum": column.valid[0], "maximum": column.valid[1]}
    return about | ({"constraints": limits} if limits else {})


def _table_doc(table: Table) -> str:
    return f"{table.doc} Role: {table.role}. A row for each {table.grain}."


def _column_doc(column: Column) -> str:
    unit = f" [{column.unit}]" if column.unit and column.kind != "instant" else ""
    label = "; simulated truth: a label, never a feature" if column.truth else ""
    late = "; known at the end of the run" if column.known_at_end else ""
    return f"{column.doc}{unit}{label}{late}"


def _media(path: str) -> str:
    return _MEDIA[path.rpartition(".")[2]]


def _text(value: Json) -> bytes:
    """JSON in ASCII, in the order in which it was made, with a line end."""
    return f"{json.dumps(value, separators=(',', ':'), allow_nan=False)}\n".encode()
