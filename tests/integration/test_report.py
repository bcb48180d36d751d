"""The report as a page: its figures hold what the files hold, and no name gets out of its text."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections import Counter
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest

from fleetgen import excerpts
from fleetgen.cli import main
from fleetgen.io.store import open_store
from fleetgen.pipeline import recorded
from fleetgen.plan import make_plan
from fleetgen.reduce import _gathered
from fleetgen.report.checks import checks
from fleetgen.report.content import Content
from fleetgen.report.summary import Summary
from tests import tiny

HOSTILE = "</small><script>alert('x')</script><img src=x onerror=\"alert(1)\">&amp;|`"
REGION = "</style><svg onload=alert(2)>"
JAR = "DC-T-01-UPS-01-S1-J02"
FIGURES = ("map", "health", "jars", "outage", "seasons", "calendar", "life")
REPORTS = ("DATA_GENERATION_REPORT.md", "report.html")

INJECT: list[dict[str, Any]] = [
    {"kind": "profile", "target": JAR, "value": "failing"},
    {"kind": "profile", "target": "DC-T-01-REC-01-S1-J01", "value": "failing"},
    {"kind": "profile", "target": "DC-T-01-UPS-01-S1-J01", "value": "failing"},
    {"kind": "profile", "target": "DC-T-01-UPS-01-S2-J01", "value": "accelerated"},
    {
        "kind": "outage",
        "target": tiny.LOCATION,
        "at": "2025-01-04T10:00:00",
        "duration_minutes": 90.0,
    },
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("report") / "set"
    return tiny.generate(
        place,
        tiny.TWO_SYSTEMS,
        {"name": HOSTILE, "city": HOSTILE, "region": REGION, "outages_per_year": 5.0},
        run__duration_days=9,
        inject=INJECT,
    )


@pytest.fixture(scope="module")
def content(made: Path) -> Content:
    return gathered(made)


def gathered(made: Path) -> Content:
    store = open_store(str(made))
    _, config, extents = recorded(store)
    plan = make_plan(config, store.url, extents)
    with _gathered(plan, store) as receipts:
        summary = Summary()
        for receipt in receipts():
            summary.take(receipt)
        return excerpts.gather(plan, store, receipts, summary)


def rows(place: Path, table: str) -> list[dict[str, str]]:
    with (place / f"{table}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def states(place: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads((place / "battery_states.json").read_text())
    return found


class Page(HTMLParser):
    """Elements and attributes of a page, as a browser would find them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in ("meta", "br", "wbr"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture(scope="module")
def page(made: Path) -> Page:
    return Page((made / "report.html").read_text("utf-8"))


# --- the page -------------------------------------------------------------------------------------


def test_it_is_one_whole_page_with_all_its_figures(page: Page) -> None:
    assert page.open == []
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) == len({*ids})
    assert {f"figure-{name}" for name in FIGURES} <= {*ids}
    links = [value for _, name, value in page.attributes if name == "href"]
    assert {*links} <= {f"#{name}" for name in ids}
    assert page.tags["h1"] == 1
    numbers = re.compile(r"\b(nan|inf|None)\b")
    assert not [v for _, name, v in page.attributes if name != "aria-label" and numbers.search(v)]


def test_it_runs_nothing_and_asks_for_nothing(page: Page) -> None:
    assert not {*page.tags} & {"script", "img", "iframe", "object", "link", "use", "image", "form"}
    names = {name for _, name, _ in page.attributes}
    assert not {name for name in names if name.startswith("on")}
    assert not names & {"style", "src", "srcset", "xlink:href", "action"}
    policy = next(v for t, n, v in page.attributes if t == "meta" and v.startswith("default-src"))
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert page.tags["style"] == 1


def test_the_policy_allows_the_style_that_is_there(made: Path) -> None:
    import base64
    import hashlib

    text = (made / "report.html").read_text("utf-8")
    style = text.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in text
    assert "url(" not in style
    assert "@import" not in style


def test_names_are_texts(made: Path, page: Page) -> None:
    words = "".join(page.words)
    assert HOSTILE in words
    assert REGION in words
    labels = [value for _, name, value in page.attributes if name == "aria-label"]
    assert any(REGION in label for label in labels)
    classes = {c for _, name, v in page.attributes if name == "class" for c in v.split()}
    assert all(re.fullmatch(r"[a-z][a-z0-9-]*", each) for each in classes)
    assert "<script" not in (made / "DATA_GENERATION_REPORT.md").read_text("utf-8")


def test_each_drawing_says_what_it_is(page: Page) -> None:
    drawings = sum(1 for t, n, v in page.attributes if (t, n, v) == ("svg", "role", "img"))
    labels = [v for t, n, v in page.attributes if t == "svg" and n == "aria-label"]
    assert drawings == len(labels) > len(FIGURES)
    assert all(labels)


# --- what it shows --------------------------------------------------------------------------------


def test_units_are_those_of_the_states(made: Path, content: Content) -> None:
    found = states(made)
    for profile, counter in content.soh_bins.items():
        mine = [int(s["soh_pct"]) for s in found.values() if s["profile"] == profile]
        assert counter == Counter(mine)
    assert sum(c.total() for c in content.soh_bins.values()) == len(found)
    assert [p.location_id for p in content.places] == [tiny.LOCATION]
    assert content.places[0].jars == 8


def test_the_jars_that_are_shown_are_chosen_by_the_truth(made: Path, content: Content) -> None:
    shown = {each.profile: each for each in content.subjects}
    assert [*shown] == ["healthy", "accelerated", "failing"]
    failing = {n: s["soh_pct"] for n, s in states(made).items() if s["profile"] == "failing"}
    assert len(failing) >= 3
    assert shown["failing"].battery_id == min(failing, key=lambda name: failing[name])
    found = {n: s for n, s in states(made).items() if s["profile"] == "healthy"}
    mean = sum(s["soh_pct"] for s in found.values()) / len(found)
    sound = {n: s["soh_pct"] for n, s in found.items() if s["failure_mode"] is None}
    nearest = min(sound, key=lambda name: abs(sound[name] - mean))
    assert shown["healthy"].battery_id == nearest


def test_lines_of_a_jar_are_its_hours_and_days(made: Path, content: Content) -> None:
    subject = content.subjects[-1]
    mine = ds.field("battery_id") == subject.battery_id
    hours = ds.dataset(made / "feature_store").to_table(filter=mine)
    channel = subject.channels["t_mean"]
    assert channel.rows.sum() == hours.num_rows == 9 * 24
    values = [v for v in hours["t_mean"].to_pylist() if v is not None]
    assert max(high for _, _, high in channel.ranges()) == pytest.approx(max(values), abs=1e-4)
    days = ds.dataset(made / "rul_truth").to_table(filter=mine)
    assert [v for _, v in subject.channels["soh_pct"].means()] == pytest.approx(
        days["soh_pct"].to_pylist(), abs=1e-4
    )


def test_the_outage_is_the_longest_and_as_measured(made: Path, content: Content) -> None:
    shown = content.outage
    assert shown is not None
    start = datetime.fromisoformat("2025-01-04T10:00:00+07:00")
    assert shown.start_s == start.timestamp()
    assert shown.end_s - shown.start_s == 90 * 60
    assert content.outages >= 1
    raw = ds.dataset(made / "telemetry_jar_raw").to_table().to_pylist()
    own = [
        row
        for row in raw
        if row["battery_id"].startswith(f"{shown.string_id}-")
        and shown.start_s <= row["ts"].timestamp() < shown.end_s
        and row["voltage_v"] is not None
    ]
    assert shown.samples == len({row["ts"] for row in own}) == 18
    of_jar: dict[str, list[float]] = {}
    for row in own:
        of_jar.setdefault(row["battery_id"], []).append(row["voltage_v"])
    assert shown.weakest == min(of_jar, key=lambda jar: sum(of_jar[jar]) / len(of_jar[jar]))
    low = min(low for _, low, _ in shown.channels["volts"].ranges())
    assert low == pytest.approx(min(row["voltage_v"] for row in own), abs=1e-4)
    assert min(v for _, v in shown.channels["current"].means()) < -1.0


def test_the_calendar_counts_what_the_tables_hold(made: Path, content: Content) -> None:
    calendar = content.calendar
    assert (calendar.bin_days, calendar.bins) == (1, 9)
    first = datetime.fromisoformat("2025-01-01T00:00:00+07:00")

    def by_day(table: str, name: str, at: str, **where: str) -> dict[str, Counter[int]]:
        found: dict[str, Counter[int]] = {}
        for row in rows(made, table):
            if all(row[key] == value for key, value in where.items()):
                day = min(8, (datetime.fromisoformat(row[at]) - first).days)
                found.setdefault(row[name], Counter())[day] += 1
        return found

    assert calendar.work == by_day("maintenance_event", "event_type", "started_at")
    alerts = "alert", "alert_type", "triggered_at"
    assert calendar.alerts == by_day(*alerts, severity="warning")
    assert calendar.critical == by_day(*alerts, severity="critical")


def test_lives_are_held_against_the_truth_of_that_monday(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In cells of a day, that a day's error shows."""
    monkeypatch.setattr(excerpts, "RUL_CELL_DAYS", 1)
    monkeypatch.setattr(excerpts, "RUL_CELLS", 10_000)
    content = gathered(made)
    monday = datetime.fromisoformat("2025-01-06T00:00:00+07:00")
    assert content.lives.at_s == monday.timestamp()
    truth = {
        row["battery_id"]: row["rul_days"]
        for row in ds.dataset(made / "rul_truth").to_table().to_pylist()
        if row["ts"] == monday
    }
    cells: Counter[tuple[int, int]] = Counter()
    within = 0
    for row in rows(made, "rul_prediction"):
        if datetime.fromisoformat(row["predicted_at"]) != monday or not row["rul_days"]:
            continue
        true = truth[row["battery_id"]]
        true = 7305.0 if true is None else min(true, 7305.0)
        if not true:
            continue
        both = (true, float(row["rul_days"]))
        cells[int(both[0]), int(both[1])] += 1
        within += float(row["rul_lower_ci_days"]) <= true <= float(row["rul_upper_ci_days"])
    assert content.lives.cells == cells
    assert content.lives.units == cells.total() > 0
    assert content.lives.within == within


def test_seasons_are_those_of_the_rooms(made: Path, content: Content) -> None:
    outdoors, room = content.climate[REGION, 2025, 1]
    env = ds.dataset(made / "telemetry_env").to_table().to_pylist()
    for sketch, name in ((outdoors, "outdoor_temperature_c"), (room, "temperature_c")):
        values = [row[name] for row in env if row[name] is not None]
        assert sketch.rows == len(values)
        assert sketch.low / 10 == pytest.approx(min(values))
        assert sketch.total / sketch.rows / 10 == pytest.approx(sum(values) / len(values))


def test_either_format_gives_the_same_figures(tmp_path: Path) -> None:
    shown = []
    for form in ("parquet", "csv.gz"):
        place = tiny.generate(
            tmp_path / form, run__duration_days=2, output__format=form, execution__block_days=1
        )
        text = (place / "report.html").read_text("utf-8")
        shown.append(re.findall(r'<figure id="figure-.*?</figure>', text, re.DOTALL))
    assert shown[0] == shown[1]
    assert len(shown[0]) >= 5


# --- made again -----------------------------------------------------------------------------------


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "set"))


def tree(place: Path) -> dict[str, bytes]:
    return {str(p.relative_to(place)): p.read_bytes() for p in place.rglob("*") if p.is_file()}


def test_reports_made_again_are_the_same_bytes(
    made: Path, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in REPORTS:
        (copy / name).unlink()
    assert main(["report", str(copy)]) == 0
    told = capsys.readouterr().out
    assert told == f"DATA_GENERATION_REPORT.md and report.html in {copy}\n"
    assert tree(copy) == tree(made)


def test_other_reports_are_entered_in_the_manifest(
    made: Path, copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a later fleetgen may write them; the data set is whole, and complete."""
    monkeypatch.setattr("fleetgen.report.html.__version__", "9.9.9")
    assert main(["report", str(copy)]) == 0
    before, after = tree(made), tree(copy)
    assert {n for n in after if after[n] != before[n]} == {
        "report.html",
        "_fleetgen/manifest.json",
    }
    assert after.keys() == before.keys()
    assert main(["verify", str(copy), "--progress", "none"]) == 0


ODD = {
    "no scores": ('"scores":', '"marks":'),
    "a score of text": ('"string_s":', '"<b>":'),
    "a score of another kind": ('"covered":', '"covered":"","was":'),
    "a score that is a name": ('"covered":', '"<script>":0,"covered":'),
}
"""What stands in the manifest, and what is put there instead."""


@pytest.mark.parametrize("damage", ["unfinished", "nothing", *ODD])
def test_what_is_no_complete_data_set_gets_no_report(
    copy: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = copy / "_fleetgen" / "manifest.json"
    if damage == "unfinished":
        (copy / "_SUCCESS").unlink()
    elif damage in ODD:
        text = manifest.read_text()
        assert ODD[damage][0] in text
        manifest.write_text(text.replace(*ODD[damage]))
    else:
        shutil.rmtree(copy / "_fleetgen")
    before = tree(copy)
    assert main(["report", str(copy)]) == 3
    told = capsys.readouterr().err
    assert {
        "unfinished": "holds no finished data set; make it, or finish it",
        "nothing": "is no data set of fleetgen",
    }.get(damage, "has no scores of alerts and predictions") in told
    assert len(told.splitlines()) == 1
    assert tree(copy) == before


# --- one number, one meaning ----------------------------------------------------------------------


def test_the_size_is_that_of_parts_and_single_files_everywhere(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Counted on the disk; reports, catalogues and control files are none of it."""
    of_parts = [p.stat().st_size for p in copy.glob("*/*=*/**/*") if p.is_file()]
    about = (*REPORTS, "croissant.json", "datapackage.json", "_SUCCESS")
    single = [p.stat().st_size for p in copy.iterdir() if p.is_file() and p.name not in about]
    data, parts, rest = (
        f"{sum(each) / 1e6:.3g} MB" if sum(each) > 999_500 else f"{sum(each) / 1e3:.3g} kB"
        for each in (of_parts + single, of_parts, single)
    )
    words = (
        f"{data} of data: {parts} in {len(of_parts)} files of parts, {rest} in {len(single)} "
        "single files at the top."
    )
    for name in REPORTS:
        assert words in (copy / name).read_text("utf-8")
    assert f"<dt>of data</dt><dd>{data}</dd>" in (copy / "report.html").read_text("utf-8")
    assert main(["finish", str(copy), "--progress", "json"]) == 0
    told = capsys.readouterr()
    assert told.out == f"data set in {copy}: {data} of data; open report.html there\n"
    last = json.loads(told.err.splitlines()[-1])
    assert (last["stage"], last["data_bytes"]) == ("complete", sum(of_parts) + sum(single))


def test_each_check_has_its_value_and_its_band_in_both_reports(made: Path, page: Page) -> None:
    """The bands of the shares by hand: four deviations of a draw, or one unit."""
    text = (made / "DATA_GENERATION_REPORT.md").read_text("utf-8")
    section = text.partition("## Checks")[2].partition("\n## ")[0]
    found = [[cell.strip() for cell in line.split("|")[1:-1]] for line in section.splitlines()[4:]]
    found = [cells for cells in found if cells]
    assert ["rows", "telemetry_jar_raw", "20,736", "20,736", "yes"] in found
    named = {tuple(cells[:2]): cells for cells in found}
    assert named["voltage_v, V", "telemetry_jar_raw"][3] == "0 to 20"
    shown = "".join(page.words)
    for words in ("fleetgen validate", "fleetgen verify"):
        assert words in shown
    assert "`fleetgen validate URL`" in section
    for _, _, value, band, holds in found:
        assert value in shown
        assert band in shown
        assert holds == "yes"


@pytest.mark.parametrize(
    ("units", "share", "band"),
    [(1944, 0.85, "1,590 to 1,715"), (24, 0.03, "0 to 4"), (1, 0.5, "0 to 1")],
)
def test_a_share_has_a_band_of_four_deviations(units: int, share: float, band: str) -> None:
    """1944 * 0.85 = 1652.4, off by 4 * sqrt(247.86) = 62.97; 0.72 by 3.49; 0.5 by 2.24."""
    run = tiny.config(
        scenario__profiles={
            "a": {"share": share, "soh_per_year": 0.02, "resistance_per_year": 0.02},
            "b": {"share": 1.0 - share, "soh_per_year": 0.02, "resistance_per_year": 0.02},
        }
    )
    summary = Summary()
    summary.soh_milli_pct = [100_000] * units
    found = checks(summary, {}, make_plan(run, "").run)
    (check,) = [each for each in found if each.of == "profile a"]
    assert check.wanted == band
    assert check.holds == (units == 1 or units == 24)  # none has it


# --- runs that have little to show ----------------------------------------------------------------


@pytest.mark.parametrize("form", ["parquet", "csv.gz"])
def test_an_hour_of_one_battery(tmp_path: Path, form: str) -> None:
    place = tiny.generate(
        tmp_path / "set",
        place={"outages_per_year": 0.0},
        run__duration_days=1 / 24,
        select__limit_batteries=1,
        output__format=form,
    )
    text = (place / "report.html").read_text("utf-8")
    assert Page(text).open == []
    assert "1 battery, 1 hour" in text
    assert "<dt>battery</dt><dd>1</dd>" in text
    assert "<dt>location</dt><dd>1</dd>" in text
    for words in (
        "There is no outage on any battery in this run.",
        "There was no alert and no maintenance in this run.",
        "No prediction can be held against the truth",
    ):
        assert words in text
    assert 'id="figure-jars"' in text


def test_a_second_has_no_hour_to_show(tmp_path: Path) -> None:
    place = tiny.generate(tmp_path / "set", run__duration_days=1 / 86_400, run__sampling_seconds=1)
    text = (place / "report.html").read_text("utf-8")
    assert Page(text).open == []
    assert "3 batteries, 1 second" in text


def test_an_outage_between_two_samples(tmp_path: Path) -> None:
    outage = {"kind": "outage", "target": tiny.LOCATION, "at": "2025-01-01T10:10:00"}
    place = tiny.generate(
        tmp_path / "set",
        place={"outages_per_year": 0.0},
        run__duration_days=1,
        run__sampling_seconds=3600,
        inject=[{**outage, "duration_minutes": 5.0}],
    )
    text = (place / "report.html").read_text("utf-8")
    assert "No sample lies in it: they are 3,600 s apart." in text
    assert "1 outage of the grid in this run." in text
