"""The pages as a site: all of them are there, and what leads nowhere stops the build."""

import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.properties.plan import ROOT, environment

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        find_spec("sphinx") is None or find_spec("myst_parser") is None,
        reason="no Sphinx with MyST: pip install '.[docs]'",
    ),
]
(FLAGS,) = re.findall(
    r"-m sphinx (--.*?) \\\n", (ROOT / "Makefile").read_text("utf-8")
)  # those of `make docs`


def build(source: Path, site: Path) -> tuple[int, str]:
    """Exit code and complaints of `make docs`, for the pages of a directory."""
    command = [sys.executable, "-m", "sphinx", *FLAGS.split(), "-c", str(ROOT / "docs")]
    done = subprocess.run(
        [*command, "-d", str(site.with_name("doctrees")), str(source), str(site)],
        env=environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return done.returncode, done.stderr


class Page(HTMLParser):
    """Anchors of a page, what it links to, and what it fetches."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.anchors.add(values.get("id", ""))
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        elif tag == "link" or "src" in values:
            self.fetched.append(values.get("src", values.get("href", "")))


def test_each_page_is_there_and_its_links_hold(tmp_path: Path) -> None:
    """Looked at in the pages that were made, by a reader of HTML alone."""
    site = tmp_path / "site"
    assert build(ROOT, site) == (0, "")
    places = [ROOT, *(ROOT / name for name in ("benchmarks", "cluster", "docs", "examples"))]
    found = [p for at in places for p in (at.glob("*.md") if at == ROOT else at.rglob("*.md"))]
    assert len(found) > 40
    pages = {path: Page(path.read_text("utf-8")) for path in site.rglob("*.html")}
    for document in found:
        assert site / document.relative_to(ROOT).with_suffix(".html") in pages
    assert (site / "index.html").read_text("utf-8").count("README.html") == 1
    for path, page in pages.items():
        for link in [*page.links, *page.fetched]:
            if re.match(r"https?:|mailto:", link):
                assert link in page.links, f"{path} fetches {link}"
                continue
            target, _, anchor = unquote(link).partition("#")
            there = (path.parent / target.partition("?")[0]).resolve() if target else path
            assert there.exists(), f"{path} leads to {link}"
            assert not anchor or anchor in pages[there].anchors, f"{path} leads to {link}"


@pytest.mark.parametrize(
    ("link", "complaint"),
    [
        ("[x](no-such-page.md)", "no-such-page"),
        ("[x](no-such-file.toml)", "no-such-file.toml"),
        ("[x](docs/other.md#no-such-heading)", "no-such-heading"),
        ("[x](#no-such-heading)", "no-such-heading"),
        ("![x](no-such-picture.png)", "no-such-picture.png"),
    ],
)
def test_what_leads_nowhere_stops_the_build(tmp_path: Path, link: str, complaint: str) -> None:
    source = tmp_path / "source"
    (source / "docs").mkdir(parents=True)
    shutil.copy(ROOT / "docs" / "loading.md", source / "docs" / "other.md")
    (source / "README.md").write_text(f"# Front\n\nSee {link}.\n", "utf-8")
    code, told = build(source, tmp_path / "site")
    assert code != 0
    assert re.search(rf"README\.md.*WARNING: .*{re.escape(complaint)}", told), told
