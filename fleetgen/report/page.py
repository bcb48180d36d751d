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
        f"{summary.batteries:,} batteries, {days:g} days from {grid.start}, a sample every "
        f"{grid.interval_s} s, seed {run.seed}.",
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
        "## Batteries at the end of the run",
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
        f"State of health: mean {mean:.2f} %, lowest {low:.2f} %, highest {high:.2f} %.",
        "",
        "| discharges in the run | batteries |",
        "|--:|--:|",
        *(f"| {n} | {count:,} |" for n, count in sorted(summary.cycles.items())),
        "",
        *_throughput(summary),
    ]
    return "\n".join(lines)


def _throughput(summary: Summary) -> list[str]:
    """What the feature `ah_throughput` is off by."""
    lines = ["## Discharged charge, measured and true", ""]
    found = summary.throughput()
    if found is None:
        return [*lines, "Nothing to compare: the run does not end with a feature window.", ""]
    batteries, true, error, low, high = found
    share = f"{error / true:+.2%}" if true else ""
    return [
        *lines,
        "| batteries | true, mean | error, mean | of the true | lowest | highest |",
        "|--:|--:|--:|--:|--:|--:|",
        f"| {batteries:,} | {true:.3f} Ah | {error:+.3f} Ah | {share} | {low:+.3f} Ah | "
        f"{high:+.3f} Ah |",
        "",
        "The error is `ah_throughput` of a battery's last feature row less that of its state at "
        "the end: what the Hall sensor, its zero and the sampling make of the charge.",
        "",
    ]


def _tick(holds: bool) -> str:
    return "yes" if holds else "NO"
