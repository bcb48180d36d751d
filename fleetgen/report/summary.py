"""Receipts to numbers: sums of what the parts counted, nothing assumed."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fleetgen.derive.scores import Scores
from fleetgen.schema import TABLES, THROUGHPUT_ERROR, THROUGHPUT_TRUE
from fleetgen.spec import FileEntry, Receipt, Sketch
from fleetgen.wording import many, size

ABOUT_DATA = frozenset({"report", "croissant", "datapackage"})
"""What the manifest calls files that tell of the data."""


def data_bytes(files: Iterable[FileEntry]) -> int:
    """Bytes of the files of a manifest that hold data, as `Summary.data_bytes` counts them."""
    return sum(entry.bytes for entry in files if entry.table not in ABOUT_DATA)


@dataclass
class Summary:
    """Numbers of a run; `take` adds a part at a time, in any order."""

    rows: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    bytes: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    files: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    columns: dict[str, Sketch] = field(default_factory=lambda: defaultdict(Sketch))
    profiles: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    soh_milli_pct: list[int] = field(default_factory=list)
    soh_of: Counter[str] = field(default_factory=Counter)
    """Sum of SOH [0.001 %] of the units of each profile."""
    cycles: Counter[int] = field(default_factory=Counter)
    alerts: Counter[str] = field(default_factory=Counter)
    rul: Scores = field(default_factory=Scores)
    events: Counter[str] = field(default_factory=Counter)
    replaced: int = 0
    single_bytes: int = 0
    single_files: int = 0

    def take_scores(self, scores: Mapping[str, Mapping[str, Any]]) -> None:
        """Add how alerts and predictions of one string or room did."""
        self.alerts.update(scores.get("alerts", {}))
        if "rul" in scores:
            self.rul.merge(Scores(**scores["rul"]))

    def scores(self) -> dict[str, dict[str, Any]]:
        """How alerts and predictions did in the whole run, as `take_scores` takes it."""
        return {"alerts": dict(sorted(self.alerts.items())), "rul": self.rul.counts()}

    def take(self, receipt: Receipt) -> None:
        """Add what one part wrote."""
        for entry in receipt.files:
            self.rows[entry.table] += entry.rows
            self.bytes[entry.table] += entry.bytes
            self.files[entry.table] += 1
        for name, sketch in receipt.statistics.items():
            self.columns[name].take(sketch)
        self.events.update(str(row["event_type"]) for row in receipt.events)
        self.replaced += len(receipt.swaps)
        for state in receipt.states.values():
            self.profiles[state["profile"]] += 1
            self.failed[state["profile"]] += int(state["failed"])
            self.soh_milli_pct.append(round(state["soh_pct"] * 1000))
            self.soh_of[state["profile"]] += self.soh_milli_pct[-1]
            self.cycles[state["cycle_count"]] += 1

    def take_closing(self, files: Iterable[FileEntry]) -> None:
        """Add the files at the top that hold data; others, and those of parts, are passed over."""
        for entry in files:
            if "/" not in entry.path and entry.table not in ABOUT_DATA:
                self.single_bytes += entry.bytes
                self.single_files += 1

    @property
    def data_bytes(self) -> int:
        """Bytes of all data: tables in parts, and single files at the top."""
        return sum(self.bytes.values()) + self.single_bytes

    def told_size(self) -> str:
        """Say how large the data are, and what is counted."""
        parts = many(sum(self.files.values()), "file")
        return (
            f"{size(self.data_bytes)} of data: {size(sum(self.bytes.values()))} in {parts} of "
            f"parts, {size(self.single_bytes)} in {many(self.single_files, 'single file')} at the "
            "top. Reports, catalogues and control files are not counted."
        )

    @property
    def batteries(self) -> int:
        """Units whose final state is known, with those that were replaced."""
        return len(self.soh_milli_pct)

    def soh_pct(self) -> tuple[float, float, float]:
        """Mean, lowest and highest SOH at the end [%]."""
        values = self.soh_milli_pct
        return sum(values) / len(values) / 1000, min(values) / 1000, max(values) / 1000

    def throughput(self) -> tuple[int, float, float, float, float] | None:
        """Batteries compared, their mean true discharged charge, and mean, lowest, highest error.

        In Ah; None where nothing could be compared.
        """
        if THROUGHPUT_ERROR not in self.columns:
            return None
        true, error = self.columns[THROUGHPUT_TRUE], self.columns[THROUGHPUT_ERROR]
        mean, off = (each.total / each.rows / 1000 for each in (true, error))
        return error.rows, mean, off, error.low / 1000, error.high / 1000

    def column_values(self) -> dict[str, tuple[str, float, float, float]]:
        """Unit, mean, lowest and highest value of each counted column."""
        found = {}
        for name, sketch in sorted(self.columns.items()):
            if name in (THROUGHPUT_TRUE, THROUGHPUT_ERROR):
                continue
            table, column_name = name.split(".")
            column = TABLES[table].column(column_name)
            scale = column.per_unit
            mean = sketch.total / sketch.rows / scale
            found[name] = (column.unit, mean, sketch.low / scale, sketch.high / scale)
        return found
