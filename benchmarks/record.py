"""What a measurement found, as raw JSON and as the tables of RESULTS.md."""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from fleetgen.execute import available_cores

PACKAGES = (
    "fleetgen",
    "numpy",
    "numba",
    "pyarrow",
    "pandas",
    "distributed",
    "duckdb",
    "polars",
    "isal",
)
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


@dataclass(frozen=True)
class Figure:
    """One number, and the bar that it should clear."""

    name: str
    value: float
    unit: str = ""
    at_least: float | None = None
    at_most: float | None = None

    @property
    def bar(self) -> str:
        """The limits in words, and whether they are kept."""
        limits = {"at least": self.at_least, "at most": self.at_most}
        texts = [f"{word} {limit:g}" for word, limit in limits.items() if limit is not None]
        if not texts:
            return ""
        low = self.at_least is None or self.value >= self.at_least
        high = self.at_most is None or self.value <= self.at_most
        return f"{' and '.join(texts)}: {'met' if low and high else '**missed**'}"


@dataclass(frozen=True)
class Grid:
    """A small table of a result."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Result:
    """Outcome of a measurement; `runs` are the single observations behind its figures."""

    figures: Sequence[Figure]
    runs: Sequence[Any]
    grids: Sequence[Grid] = ()
    notes: str = ""


@dataclass(frozen=True)
class Record:
    """A result with its circumstances, as it lies in `raw/`."""

    name: str
    command: str
    seconds: float
    load_before: float
    result: dict[str, Any]
    date: str = field(default_factory=lambda: datetime.now(UTC).date().isoformat())
    machine: dict[str, Any] = field(default_factory=lambda: machine())
    versions: dict[str, str] = field(default_factory=lambda: versions())


def machine() -> dict[str, Any]:
    """The machine in general terms."""
    return {
        "cpu": _cpu_model(),
        "cores": available_cores(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.machine()}",
    }


def versions() -> dict[str, str]:
    """Python and the libraries that matter for speed."""
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def _cpu_model() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        text = ""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1] if found else platform.processor()


def save(record: Record, raw: Path) -> None:
    """Write a record as `raw/<name>.json`."""
    raw.mkdir(parents=True, exist_ok=True)
    text = json.dumps(asdict(record), indent=1)
    (raw / f"{record.name}.json").write_text(f"{text}\n", encoding="utf-8")


def render(names: Sequence[str], raw: Path, page: Path) -> str:
    """Put the tables of all records in `raw` between the marks of `page`; give the tables."""
    files = [raw / f"{name}.json" for name in names]
    sections = [_section(json.loads(f.read_text(encoding="utf-8"))) for f in files if f.exists()]
    tables = "\n\n".join(sections)
    text = page.read_text(encoding="utf-8") if page.exists() else f"{BEGIN}\n{END}\n"
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    page.write_text(f"{before}{BEGIN}\n\n{tables}\n\n{END}{after}", encoding="utf-8")
    return tables


def _section(record: dict[str, Any]) -> str:
    result, place = record["result"], record["machine"]
    libraries = ", ".join(f"{name} {number}" for name, number in record["versions"].items())
    figures = [Figure(**figure) for figure in result["figures"]]
    lines = [(f.name, f"{_number(f.value)} {f.unit}".strip(), f.bar) for f in figures]
    parts = [
        f"### {record['name']}",
        f"`{record['command']}`, {record['date']}, {record['seconds']:.0f} s; {place['cpu']}, "
        f"{place['cores']} cores, {place['memory_bytes'] / 2**30:.1f} GiB, {place['system']}, load "
        f"before {record['load_before']:.2f}; {libraries}.",
        result["notes"],
        _table(("figure", "value", "bar"), lines) if lines else "",
    ]
    for grid in result["grids"]:
        parts += [f"{grid['title']}:", _table(grid["columns"], grid["rows"])]
    return "\n\n".join(part for part in parts if part)


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [columns, ["---"] * len(columns), *([_cell(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else _number(value)


def _number(value: float) -> str:
    """Three digits; whole numbers from 1,000 on."""
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.3g}"
