"""The numbers of a run as DATA_GENERATION_REPORT.md."""

from __future__ import annotations

from fleetgen import __version__
from fleetgen.report.summary import Summary
from fleetgen.spec import Run
from fleetgen.units import SECONDS_PER_DAY


def markdown(summary: Summary, expected_rows: dict[str, int], run: Run) -> str:
    """Write the report; each tick is the outcome of a comparison of two numbers."""
    grid = run.grid
    days = grid.duration_s / SECONDS_PER_DAY
    lines = [
        "# Data generation report",
        "",
        f"{summary.batteries - summary.replaced:,} batteries, {days:g} days from {grid.start}, a "
        f"sample every {grid.interval_s} s, seed {run.seed}.",
        "",
        f"fleetgen {__version__}, plan digest `{run.plan_digest}`.",
        "",
        "## Rows",
        "",
        "| table | rows | expected | complete | files | bytes | bytes/row |",
        "|---|--:|--:|:-:|--:|--:|--:|",
    ]
    for name, expected in expected_rows.items():
        rows, size = summary.rows[name], summary.bytes[name]
        per_row = f"{size / rows:.3f}" if rows else ""
        lines.append(
            f"| {name} | {rows:,} | {expected:,} | {_tick(rows == expected)} | "
            f"{summary.files[name]:,} | {size:,} | {per_row} |"
        )
    lines += [
        "",
        "Expected rows are batteries (or strings, or sensors) x duration / sampling interval.",
        "",
        "## Measured values",
        "",
        "| column | unit | mean | lowest | highest |",
        "|---|---|--:|--:|--:|",
    ]
    for name, (unit, mean, low, high) in summary.column_values().items():
        lines.append(f"| {name} | {unit} | {mean:.3f} | {low:g} | {high:g} |")
    lines += [
        "",
        "## Batteries at the end of the run, or when they were replaced",
        "",
        "| profile | batteries | share | drawn with | worn out (SOH 80 % or less) |",
        "|---|--:|--:|--:|--:|",
    ]
    for profile in run.scenario.profiles:
        count = summary.profiles[profile.name]
        share = count / summary.batteries if summary.batteries else 0.0
        lines.append(
            f"| {profile.name} | {count:,} | {share:.1%} | {profile.share:.0%} | "
            f"{summary.failed[profile.name]:,} |"
        )
    mean, low, high = summary.soh_pct()
    lines += [
        "",
        f"Replaced in the run: {summary.replaced:,}.",
        "",
        f"State of health: mean {mean:.2f} %, lowest {low:.2f} %, highest {high:.2f} %.",
        "",
        "| discharges in the run | batteries |",
        "|--:|--:|",
        *(f"| {n} | {count:,} |" for n, count in sorted(summary.cycles.items())),
        "",
    ]
    return "\n".join(lines)


def _tick(holds: bool) -> str:
    return "yes" if holds else "NO"
