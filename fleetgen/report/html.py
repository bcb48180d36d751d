"""The report as one page: no script, nothing from elsewhere, its style known by its digest.

Whatever comes from a configuration or from data goes through `_t`, into text or a quoted attribute,
and nowhere else: never into the style, a class or a link.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from html import escape as _t
from importlib import resources
from typing import Any

from fleetgen import __version__
from fleetgen.report import charts
from fleetgen.report.checks import Check, checks
from fleetgen.report.content import Content, Outage
from fleetgen.report.figures import DASH, MINUS, day_text, local_time
from fleetgen.report.summary import Summary
from fleetgen.score import by_rule, rates, told_false_criticals
from fleetgen.spec import Run
from fleetgen.units import SECONDS_PER_DAY, SECONDS_PER_HOUR, SECONDS_PER_MINUTE, iso_instant
from fleetgen.wording import many, size

MOST_ROWS = 30
"""Most rows of a table whose length a configuration decides."""


def page(
    content: Content,
    summary: Summary,
    expected_rows: Mapping[str, int],
    run: Run,
    identity: Mapping[str, Any],
) -> str:
    """Write the page; `identity` is the plan in readable form."""
    found = checks(summary, expected_rows, run)
    sections = (
        ("fleet", "The fleet", _fleet(content)),
        ("health", "State of health", _health(content, summary, run)),
        ("jars", "Jars over time", _jars(content, run)),
        ("outage", "An outage", _outage(content, run)),
        ("seasons", "Seasons", _seasons(content)),
        ("calendar", "Alerts and maintenance", _calendar(content, summary, run)),
        ("life", "Remaining life", _life(content, summary, run)),
        ("checks", "Checks", _checks(found)),
        ("made", "How it was made", _made(summary, run, identity)),
    )
    title = f"{many(_batteries(summary), 'battery', 'batteries')}, {_length(run.grid.duration_s)}"
    style = _style()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    links = "".join(f'<a href="#{name}">{head}</a>' for name, head, _ in sections)
    body = "\n".join(
        f'<section aria-labelledby="{name}"><h2 id="{name}">{head}</h2>\n{text}\n</section>'
        for name, head, text in sections
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<meta name="color-scheme" content="light dark">
<title>fleetgen: {_t(title)}</title>
<style>{style}</style>
</head>
<body>
<header>
<h1>{_t(title)}</h1>
<p class="lead-in">{_t(_subtitle(run))}</p>
{_tiles(content, summary, found, run)}
<nav aria-label="Sections">{links}</nav>
</header>
<main>
{body}
</main>
<footer>Made by fleetgen {_t(__version__)} from the data set beside it. The data are \
synthetic: none of these batteries exists.</footer>
</body>
</html>
"""


@cache
def _style() -> str:
    return resources.files("fleetgen.report").joinpath("style.css").read_text("utf-8")


def _batteries(summary: Summary) -> int:
    return summary.batteries - summary.replaced


_SPACE = "\N{NO-BREAK SPACE}"

_UNITS = (
    (SECONDS_PER_DAY, "day"),
    (SECONDS_PER_HOUR, "hour"),
    (SECONDS_PER_MINUTE, "minute"),
    (1, "second"),
)


def _length(seconds: int) -> str:
    """A length of time in whole units, its two largest."""
    words = []
    for unit, name in _UNITS:
        count, seconds = divmod(seconds, unit)
        if count:
            words.append(many(count, name))
    return " ".join(words[:2]) or "no time"


def _moment(instant_s: int, run: Run) -> str:
    """Local time of an instant, to be read."""
    moment = local_time(instant_s, run.grid.utc_offset_s)
    return f"{day_text(moment)} {moment:%Y, %H:%M:%S}"


def _subtitle(run: Run) -> str:
    grid = run.grid
    return (
        f"From {grid.start.isoformat()}, {grid.time_zone}; a sample every {grid.interval_s:,} s; "
        f"seed {run.seed}."
    )


def _tiles(content: Content, summary: Summary, found: Sequence[Check], run: Run) -> str:
    alerts = sum(counter.total() for counter in content.calendar.alerts.values())
    critical = sum(counter.total() for counter in content.calendar.critical.values())
    values = (
        _tile(_batteries(summary), "battery", "batteries"),
        _tile(len(content.places), "location"),
        _tile(summary.rows["telemetry_jar_raw"], "jar sample"),
        ("of data", size(summary.data_bytes)),
        _tile(alerts + critical, "alert"),
        ("of them critical", f"{critical:,}"),
        ("replaced", f"{summary.replaced:,}"),
    )
    held = f"{sum(c.holds for c in found)} of {len(found)}"
    tiles = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in values)
    kind = "" if all(c.holds for c in found) else ' class="no"'
    tiles += f"<div><dt>checks hold</dt><dd{kind}>{held}</dd></div>"
    return f'<dl class="tiles">{tiles}</dl>'


def _tile(count: int, one: str, more: str = "") -> tuple[str, str]:
    """What is counted, and how many there are."""
    return many(count, one, more).partition(" ")[2], _compact(count)


def _percent(share: float, digits: int = 1) -> str:
    return f"{100.0 * share:.{digits}f}{_SPACE}%"


def _compact(count: int) -> str:
    for scale, name in ((10**9, "bn"), (10**6, "M")):
        if count >= scale:
            return f"{count / scale:.3g} {name}"
    return f"{count:,}"


_KINDS = {
    name: f' class="{kind}"' for name, kind in (("n", "n"), ("w", "w"), ("m", "n w"), ("l", "long"))
}


def _table(
    heads: Sequence[str], rows: Iterable[Sequence[str]], columns: str, kind: str = "scroll"
) -> str:
    """A table of cells that are HTML.

    `columns` has a letter for each: `n` numbers, `w` texts and `m` numbers that a narrow screen
    leaves out, `l` long texts.
    """

    def cells(tag: str, values: Sequence[str]) -> str:
        kinds = (_KINDS.get(kind, "") for kind in columns)
        scope = ' scope="col"' if tag == "th" else ""
        return "".join(
            f"<{tag}{kind}{scope}>{value}</{tag}>"
            for kind, value in zip(kinds, values, strict=True)
        )

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return (
        f'<div class="{kind}"><table><thead><tr>{cells("th", heads)}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _figure(name: str, drawing: str, caption: str) -> str:
    return f'<figure id="figure-{name}">{drawing}<figcaption>{_t(caption)}</figcaption></figure>'


def _none(name: str, words: str) -> str:
    """What stands in the place of a figure that has nothing to show."""
    return f'<p class="none" id="figure-{name}">{_t(words)}</p>'


# --- sections -------------------------------------------------------------------------------------


def _fleet(content: Content) -> str:
    places = content.places
    rows = [
        (
            f"{_t(p.location_id)}<br><small>{_t(p.name)}</small>",
            _t(p.region),
            f"{p.jars:,}",
            f"{p.soh_milli_pct / p.units / 1000:.1f}" if p.units else "",
            f"{p.worn:,}",
            f"{p.alerts:,}",
            f"{p.replaced:,}",
        )
        for p in sorted(places, key=lambda p: (-p.latitude, p.location_id))[:MOST_ROWS]
    ]
    heads = ("location", "region", "jars", "SOH, %", "worn", "alerts", "replaced")
    more = len(places) - len(rows)
    tail = f'<p class="note-text">and {more:,} more</p>' if more else ""
    caption = (
        "Discs by number of jars. Outline: Natural Earth, public domain."
        if charts.in_thailand(places)
        else "Discs by number of jars; latitude and longitude."
    )
    figure = _figure("map", charts.fleet_map(places), caption)
    return f'<div class="two">{figure}<div>{_table(heads, rows, "-wmnnnn")}{tail}</div></div>'


def _health(content: Content, summary: Summary, run: Run) -> str:
    if not summary.batteries:
        return _none("health", "No battery has a state at the end of this run.")
    profiles = [p.name for p in run.scenario.profiles]
    colours = charts.kinds(profiles)
    mean, low, high = summary.soh_pct()
    worn = sum(summary.failed.values())
    rows = [
        (
            f'<i class="key {colours[p.name]}"></i>{_t(p.name)}',
            f"{summary.profiles[p.name]:,}",
            _percent(summary.profiles[p.name] / summary.batteries),
            _percent(p.share),
            f"{summary.failed[p.name]:,}",
        )
        for p in run.scenario.profiles
    ]
    caption = (
        f"At the end of the run, or when a unit was replaced: mean {mean:.1f}{_SPACE}%, from "
        f"{low:.1f} to {high:.1f}{_SPACE}%; {worn:,} of {summary.batteries:,} have ended their "
        "life."
    )
    table = _table(
        ("profile", "units", "share", "drawn with", "ended"), rows, "-nnnn", "scroll small"
    )
    return _figure("health", charts.health(content.soh_bins, profiles), caption) + table


def _jars(content: Content, run: Run) -> str:
    profiles = [p.name for p in run.scenario.profiles]
    colours = charts.kinds(profiles)
    if not any(each.channels for each in content.subjects):
        return _none("jars", "No jar has an hour of features in this run.")
    rows = [
        (
            f'<i class="key {colours.get(each.profile, "p0")}"></i>{_t(each.profile)}<br>'
            f"<small>{_t(each.battery_id)}</small>",
            f"{each.state['soh_pct']:.1f}",
            "over 20 years"
            if each.state["rul_days"] is None
            else f"{each.state['rul_days']:,.0f} d",
            _t(str(each.state["failure_mode"] or DASH).replace("_", " ")),
        )
        for each in content.subjects
    ]
    heads = ("jar", "final SOH, %", "remaining life", "failure mode")
    caption = (
        "Chosen by the truth: the least healthy unit of the worst profile, and of the others the "
        "one nearest to the mean of its profile. Means of the hours."
    )
    if not all(each.stays for each in content.subjects):
        caption += " A line that ends early is of a unit that was replaced."
    drawing = charts.tracks(content.subjects, run.grid, profiles)
    return _table(heads, rows, "-nn-") + _figure("jars", drawing, caption)


def _outage(content: Content, run: Run) -> str:
    shown, grid = content.outage, run.grid
    if shown is None:
        return _none("outage", "There is no outage on any battery in this run.")
    when = _moment(shown.start_s, run)
    length = _length(shown.end_s - shown.start_s)
    words = (
        f"{many(content.outages, 'outage')} of the grid in this run. "
        f"The one that lay longest on a battery: {length} from {when}."
    )
    if not shown.channels or not len(shown.channels["volts"].t_s):
        return f"<p>{_t(words)}</p>" + _none("outage", "Nothing was measured around it.")
    profiles = [p.name for p in run.scenario.profiles]
    drawing = charts.outage(shown, grid.utc_offset_s, profiles)
    return f"<p>{_t(words)}</p>" + _figure("outage", drawing, _outage_caption(shown, run))


def _outage_caption(shown: Outage, run: Run) -> str:
    seen = (
        f"{many(shown.samples, 'sample lies', 'samples lie')} in it"
        if shown.samples
        else f"No sample lies in it: they are {run.grid.interval_s:,} s apart"
    )
    words = f"{shown.string_id}: the range of its {many(shown.jars, 'jar')} and their mean."
    if shown.weakest:
        words += f" The coloured line is {shown.weakest} ({shown.profile}), the lowest in the mean."
    return f"{words} {seen}."


def _seasons(content: Content) -> str:
    if not any(both[1].rows for both in content.climate.values()):
        return _none("seasons", "No room was measured in this run.")
    legend = (
        '<p class="legend"><span><i class="key outdoors"></i>outdoors</span>'
        '<span><i class="key room"></i>room</span></p>'
    )
    caption = (
        "Temperature by month and region: the lowest to the highest sample, and the mean of all."
    )
    return _figure("seasons", legend + charts.seasons(content.climate), caption)


def _calendar(content: Content, summary: Summary, run: Run) -> str:
    found = content.calendar
    if not (found.work or found.alerts or found.critical):
        return _none("calendar", "There was no alert and no maintenance in this run.")
    bins = "a day" if found.bin_days == 1 else many(found.bin_days, "day")
    caption = f"A column is {bins}; the darker, the more. At the right the number in the run."
    figure = _figure("calendar", charts.calendar(found, run.grid), caption)
    return figure + _alert_scores(summary)


_ALERT_SCORES = {
    "precision": "alerts that are true",
    "precision_warning": "warnings that are true",
    "precision_critical": "critical alerts that are true",
    "false_critical_per_string_year": "false critical alerts, per string and year",
    "recall": "ends of life announced",
}


def _alert_scores(summary: Summary) -> str:
    """Alerts against the truth: by type and severity, and in all."""
    sketch = summary.alerts
    found = rates(sketch)
    rules = [
        (
            f"{_t(rule.alert_type.replace('_', ' '))} <small>{_t(rule.severity)}</small>",
            f"{rule.raised:,}",
            f"{rule.true:,}",
            _value(rule.precision),
            _value(rule.foreseen),
            _value(rule.recall),
        )
        for rule in by_rule(sketch)
    ]
    rows = []
    for name, value in found.items():
        words = _ALERT_SCORES.get(name, name.replace("recall/", "of these, ").replace("_", " "))
        rows.append((_t(words), _value(value)))
    verdict = ""
    if told := told_false_criticals(sketch):
        words, holds = told
        outcome = "too few years to judge" if holds is None else _verdict(holds)
        verdict = f"<p>{_t(words)}: {outcome}.</p>"
    words = (
        "An alert is true when something was wrong with its battery or string while it was open, "
        "or within 30 days: a failure under way, or a life that was over; for temperatures and "
        "voltages also cooling or a charger at fault. Precision is the share of alerts that are "
        "true; the one within a year takes as true, too, those whose battery ends its life within "
        "365 days, in the run or later. Recall is the share of the lives that ended in the run "
        "with such an alert open at their end: of one life it is 0 or 1."
    )
    by_type = ""
    if rules:
        heads = ("alert", "raised", "true", "precision", "within a year", "recall")
        by_type = _table(heads, rules, "lnmnnn")
    return (
        f"<h3>Held against the truth</h3>{verdict}<p>{words}</p>{by_type}"
        f"{_table(('score', 'value'), rows, 'ln', 'scroll small')}"
    )


def _verdict(holds: bool) -> str:
    return '<span class="yes">holds</span>' if holds else '<span class="no">FAILS</span>'


def _life(content: Content, summary: Summary, run: Run) -> str:
    found, scores = content.lives, summary.rul
    if not found.units or found.at_s is None:
        return _none(
            "life",
            "No prediction can be held against the truth: they are made on Mondays, of units that "
            "have been measured for three days.",
        )
    day = charts.day_of(found.at_s, run.grid.utc_offset_s)
    caption = (
        f"Predictions of {day} against the truth, {many(found.units, 'unit')}; a square is a "
        "year, the darker the more; on the dashed line they agree. "
        f"{_percent(found.within / found.units, 0)} of the lives lie within the 80 % interval."
    )
    values = {
        "predictions scored": f"{scores.rows:,}",
        "root of the mean squared error": _days(scores.rmse_days),
        "R\N{SUPERSCRIPT TWO}, below 0 worse than the mean life": _value(scores.r2),
        "PHM08 score, mean, by months": _value(scores.phm08),
        "lives within the 80 % interval": _value(scores.coverage),
        "AUC of an end within 90 days": _value(scores.auc),
    }
    table = _table(("score, of all weeks", "value"), list(values.items()), "ln")
    figure = _figure("life", charts.lives(found), caption)
    return f'<div class="two">{figure}<div>{table}</div></div>'


def _value(value: float | None) -> str:
    return "none to tell" if value is None else f"{value:,.3f}".replace("-", MINUS)


def _days(value: float | None) -> str:
    return "none to tell" if value is None else f"{value:,.0f} d"


def _name(text: str) -> str:
    """A name that may be broken behind an underscore, where a screen is narrow."""
    return _t(text).replace("_", "_<wbr>")


def _checks(found: Sequence[Check]) -> str:
    rows = [
        (
            f"{_name(c.name)} <small>{_name(c.of)}</small>",
            _t(c.found),
            _t(c.wanted),
            _verdict(c.holds),
        )
        for c in found
    ]
    table = _table(("what", "found", "band", ""), rows, "lnn-")
    words = (
        "Numbers that were counted while the data were written, and the band in which each must "
        "lie. These are a few: the full set, which reads every value again, is "
        "<code>fleetgen validate URL</code>. Whether the files are still those that were written "
        "tells <code>fleetgen verify URL</code>."
    )
    return f"<p>{words}</p>{table}"


def _made(summary: Summary, run: Run, identity: Mapping[str, Any]) -> str:
    grid = run.grid
    versions = identity.get("version", {})
    facts = {
        "first sample": iso_instant(grid.start_s, grid.utc_offset_s),
        "end": iso_instant(grid.end_s, grid.utc_offset_s),
        "sampling": f"every {grid.interval_s:,} s",
        "seed": str(run.seed),
        "fleetgen": f"{__version__}, data {versions['data']}, schema {versions['schema']}",
        "plan digest": run.plan_digest,
        "format": run.format,
        "profiles": ", ".join(f"{p.name} {_percent(p.share)}" for p in run.scenario.profiles),
        "hazards": f"{run.scenario.hazard_scale:g} \N{MULTIPLICATION SIGN} those of the model",
        "instruments": _instruments(run),
        "forced": many(len(run.scenario.injections), "event"),
    }
    listed = "".join(f"<dt>{_t(name)}</dt><dd>{_t(value)}</dd>" for name, value in facts.items())
    command = "fleetgen generate --from _fleetgen/manifest.json --output-dir ANOTHER"
    rows = [
        (
            _t(name),
            f"{count:,}",
            f"{summary.files[name]:,}",
            f"{summary.bytes[name] / 1e6:,.2f}",
            f"{summary.bytes[name] / count:.2f}" if count else "",
        )
        for name, count in sorted(summary.rows.items())
    ]
    heads = ("table in parts", "rows", "files", "MB", "bytes/row")
    plan = {name: part for name, part in identity.items() if name not in ("fleet", "select")}
    return (
        f'<dl class="facts">{listed}</dl>'
        "<p>The same command makes the same values on any machine. From this directory:</p>"
        f"<pre>{_t(command)}</pre>"
        f"{_forced(run)}"
        f"{_table(heads, rows, 'lnmnm')}"
        f'<p class="note-text">{_t(summary.told_size())}</p>'
        "<details><summary>The plan, without fleet and selection</summary>"
        f"<pre>{_t(json.dumps(plan, indent=2, ensure_ascii=False))}</pre></details>"
    )


def _instruments(run: Run) -> str:
    errors = "with" if run.scenario.sensor_errors else "without"
    faults = "with" if run.scenario.sensor_faults else "without"
    return f"{errors} noise and offsets, {faults} faults"


def _forced(run: Run) -> str:
    forced = run.scenario.injections
    if not forced:
        return ""
    offset_s = run.grid.utc_offset_s
    rows = [
        (
            _t(each.kind.replace("_", " ")),
            _t(f"{each.value} {each.channel}".strip().replace("_", " ")),
            f"<code>{_t(each.target)}</code>",
            f"{local_time(each.start_s, offset_s):%Y-%m-%d %H:%M}",
            _t(_length(each.duration_s)) if each.duration_s else "",
        )
        for each in forced[:MOST_ROWS]
    ]
    more = len(forced) - len(rows)
    tail = f'<p class="note-text">and {more:,} more</p>' if more else ""
    return (
        "<h3>Forced on the fleet</h3>"
        + _table(("what", "which", "on", "from", "for"), rows, "---nn")
        + tail
    )
