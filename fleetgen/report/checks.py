"""Checks of a run by the numbers of its receipts: each a comparison, with what it was held to."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from fleetgen.report.content import SIGMAS
from fleetgen.report.figures import MINUS
from fleetgen.report.summary import Summary
from fleetgen.schema import JAR_CALC, TABLES
from fleetgen.spec import Run

DEGREES = "\N{DEGREE SIGN}C"


@dataclass(frozen=True)
class Check:
    """Something of `of` that was looked at: what it is, what it should be, and whether it is."""

    name: str
    of: str
    found: str
    wanted: str
    holds: bool


def checks(summary: Summary, expected_rows: Mapping[str, int], run: Run) -> list[Check]:
    """All checks, in the order in which they are read."""
    return [
        *_rows(summary, expected_rows),
        *_ranges(summary),
        *_states(summary),
        *_shares(summary, run),
    ]


def _rows(summary: Summary, expected_rows: Mapping[str, int]) -> Iterator[Check]:
    for name, expected in expected_rows.items():
        rows = summary.rows[name]
        yield Check("rows", name, f"{rows:,}", f"{expected:,}", rows == expected)


def _ranges(summary: Summary) -> Iterator[Check]:
    for name, (unit, _, low, high) in summary.column_values().items():
        table, column = name.split(".")
        valid = TABLES[table].column(column).valid
        if valid is not None:
            yield Check(
                f"{column}, {unit.replace('degC', DEGREES)}",
                table,
                _span(low, high),
                _span(*valid),
                valid[0] <= low <= high <= valid[1],
            )


def _states(summary: Summary) -> Iterator[Check]:
    if summary.batteries:
        _, low, high = summary.soh_pct()
        least, most = JAR_CALC.valid("soh_pct")
        yield Check(
            "state of health, %",
            "all units",
            _span(round(low, 2), round(high, 2)),
            _span(least, most),
            least <= low <= high <= most,
        )


def _shares(summary: Summary, run: Run) -> Iterator[Check]:
    """Profiles are drawn, so that their shares are those wanted within a few deviations.

    Not where a profile is forced on a unit, which is not drawn.
    """
    if any(each.kind == "profile" for each in run.scenario.injections):
        return
    units = summary.batteries
    for profile in run.scenario.profiles:
        count, share = summary.profiles[profile.name], profile.share
        # One unit is no share.
        off = math.sqrt(SIGMAS**2 * units * share * (1.0 - share) + 1.0)
        low, high = max(0, math.ceil(share * units - off)), min(units, int(share * units + off))
        yield Check(
            "units",
            f"profile {profile.name}",
            f"{count:,} of {units:,}",
            _span(low, high),
            low <= count <= high,
        )


def _span(low: float, high: float) -> str:
    """A range of values, in which a dash would be read as a sign."""
    return f"{low:,.10g} to {high:,.10g}".replace("-", MINUS)
