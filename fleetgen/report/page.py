"""The numbers of a run as DATA_GENERATION_REPORT.md."""

from __future__ import annotations

from collections.abc import Sequence

from fleetgen import __version__
from fleetgen.report.checks import Check, checks
from fleetgen.report.summary import Summary
from fleetgen.score import by_rule, rates, told_false_criticals
from fleetgen.spec import Run
from fleetgen.units import SECONDS_PER_DAY
from fleetgen.wording import many


def markdown(summary: Summary, expected_rows: dict[str, int], run: Run) -> str:
    """Write the report; each tick is the outcome of a comparison of two numbers."""
    grid = run.grid
    days = grid.duration_s / SECONDS_PER_DAY
    lines = [
        "# Data generation report",
        "",
        f"{many(summary.batteries - summary.replaced, 'battery', 'batteries')}, "
        f"{many(days, 'day')} from {grid.start}, a "
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
        summary.told_size(),
        "",
        *_checks(checks(summary, expected_rows, run)),
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
        *_throughput(summary),
        *_maintenance(summary),
        *_alerts(summary),
        *_predictions(summary),
    ]
    return "\n".join(lines)


def _checks(found: Sequence[Check]) -> list[str]:
    """Each check with its value and its band."""
    return [
        "## Checks",
        "",
        "| what | of | found | band | holds |",
        "|---|---|--:|--:|:-:|",
        *(f"| {c.name} | {c.of} | {c.found} | {c.wanted} | {_tick(c.holds)} |" for c in found),
        "",
        "These are a few, of numbers that were counted while the data were written; the full set, "
        "which reads every value again, is `fleetgen validate URL`.",
        "",
    ]


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


def _maintenance(summary: Summary) -> list[str]:
    """What was done."""
    return [
        "## Maintenance",
        "",
        "| work | begun in the run |",
        "|---|--:|",
        *(f"| {name} | {count:,} |" for name, count in sorted(summary.events.items())),
        "",
    ]


def _alerts(summary: Summary) -> list[str]:
    """How many alerts there were, how many of them were true, and what they announced."""
    sketch = summary.alerts
    lines = [
        "## Alerts, held against the truth",
        "",
        "| alert | severity | raised | true | precision | within a year | recall |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    for rule in by_rule(sketch):
        lines.append(
            f"| {rule.alert_type} | {rule.severity} | {rule.raised:,} | {rule.true:,} | "
            f"{_number(rule.precision)} | {_number(rule.foreseen)} | {_number(rule.recall)} |"
        )
    found = rates(sketch)
    lines += ["", "| score | value |", "|---|--:|"]
    lines += [f"| {name} | {_number(value)} |" for name, value in found.items()]
    lines += [
        "",
        "An alert is true if during it, or within 30 days of it, a failure mode was in progress in "
        "its battery or string, a life was over (state of health below 80 %), or, of a temperature "
        "or a voltage, the cooling or the charger was at fault. Precision is their share. An early "
        "warning of wear that ends a life after the run counts as false there; within a year are "
        "those, too, whose battery comes to its end within 365 days of the alert, run or not.",
        "",
        "Recall is of the lives that ended in the run: those at whose end an alert of the battery "
        "was open, of any type, or of that type and severity; by what ended them in the second "
        "table.",
    ]
    if told := told_false_criticals(sketch):
        words, holds = told
        verdict = "too few years to judge" if holds is None else _tick(holds)
        lines += ["", f"{words}: {verdict}."]
    return [*lines, ""]


def _predictions(summary: Summary) -> list[str]:
    """How well remaining lives were predicted."""
    found = summary.rul
    if not found.rows:
        return ["## Remaining life, predicted and true", "", "No prediction to compare.", ""]
    scores = {
        "predictions": f"{found.rows:,}",
        "root of the mean squared error": _days(found.rmse_days),
        "R2": _number(found.r2),
        "PHM08 score, mean, by months": _number(found.phm08),
        "lives within the 80 % interval": _number(found.coverage),
        "AUC of an end within 90 days": _number(found.auc),
    }
    return [
        "## Remaining life, predicted and true",
        "",
        "| score | value |",
        "|---|--:|",
        *(f"| {name} | {value} |" for name, value in scores.items()),
        "",
    ]


def _number(value: float | None) -> str:
    return "none to tell" if value is None else f"{value:.3f}"


def _days(value: float | None) -> str:
    return "none to tell" if value is None else f"{value:,.0f} d"


def _tick(holds: bool) -> str:
    return "yes" if holds else "NO"
