"""The report as Chromium shows it: nothing said, nothing asked for, all of it there, at any width.

Wants Debian's `chromium`; without it nothing here is looked at.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import tiny
from tests.chromium import BINARY, Browser, browser, page_url
from tests.integration.test_report import FIGURES, HOSTILE, INJECT, REGION

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BINARY is None, reason="no chromium here: apt-get install chromium"),
]

WIDTHS = (390, 1280)
SCHEMES = ("light", "dark")


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    place = tiny.generate(
        tmp_path_factory.mktemp("page") / "set",
        tiny.TWO_SYSTEMS,
        {"name": HOSTILE, "city": HOSTILE, "region": REGION},
        run__duration_days=9,
        inject=INJECT,
    )
    with browser() as found:
        found.open(page_url(place / "report.html"))
        yield found


def test_it_says_nothing_and_asks_for_nothing_but_itself(shown: Browser) -> None:
    shown.value("document.title")  # all that was said before has come by now
    assert shown.said == []
    assert [url for url in shown.asked if not url.endswith("/set/report.html")] == []
    assert len(shown.asked) == 1
    assert shown.value("performance.getEntriesByType('resource').length") == 0
    assert shown.value("document.scripts.length + document.images.length") == 0


def test_the_policy_holds(shown: Browser) -> None:
    """What a name might try is refused by the page itself, were it ever to get out of its text."""
    tried = (
        "(() => { let refused = []; document.addEventListener('securitypolicyviolation',"
        "e => refused.push(e.effectiveDirective)); window.__refused = refused;"
        "const s = document.createElement('style'); s.textContent = 'body{color:red}';"
        "document.head.append(s); const i = document.createElement('img');"
        "i.src = 'https://example.invalid/x.png'; document.body.append(i);"
        "const j = document.createElement('script'); j.textContent = 'window.__ran = 1';"
        "document.body.append(j); s.remove(); i.remove(); j.remove() })()"
    )
    shown.call("Runtime.evaluate", expression=tried)
    waited = "new Promise(r => setTimeout(() => r([...window.__refused].sort().join()), 200))"
    answer = shown.call(
        "Runtime.evaluate", expression=waited, awaitPromise=True, returnByValue=True
    )
    assert answer["result"]["value"] == "img-src,script-src-elem,style-src-elem"
    assert shown.value("typeof window.__ran") == "undefined"
    shown.said.clear()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_all_figures_are_there(shown: Browser, width: int, scheme: str) -> None:
    shown.look(width, scheme)
    assert shown.value("document.documentElement.scrollWidth") == width
    for name in FIGURES:
        box = json.loads(shown.value(_BOX.replace("NAME", name)))
        assert box["height"] > 100, name
        assert 0 <= box["left"] < box["right"] <= width, name
        assert box["drawings"] > 0, name
        assert box["outside"] == [], name
        assert box["small"] == [], name


_BOX = """(() => {
  const f = document.getElementById('figure-NAME'), b = f.getBoundingClientRect();
  const drawings = [...f.querySelectorAll('svg[role=img]')];
  const left = t => t.classList.contains('spare') && getComputedStyle(t).display === 'none';
  const texts = [...f.querySelectorAll('svg text')].filter(t => !left(t))
    .map(t => [t, t.getBoundingClientRect()]);
  const name = t => t.textContent;
  return JSON.stringify({height: b.height, left: b.left, right: b.right,
    drawings: drawings.filter(d => d.getBoundingClientRect().height > 5
      && d.querySelectorAll('path, rect, circle').length).length,
    outside: texts.filter(([t, r]) => r.left < -1 || r.right > innerWidth + 1)
      .map(([t]) => name(t)),
    small: texts.filter(([t, r]) => r.height < 9).map(([t]) => name(t))});
})()"""
"""Where a figure is, how many drawings in it show something, and what text cannot be read."""


@pytest.mark.parametrize("scheme", SCHEMES)
def test_texts_have_contrast(shown: Browser, scheme: str) -> None:
    """At least 4.5 to 1, as WCAG 2.1 has it in 1.4.3, and 3 to 1 for bold labels of lines."""
    shown.look(1280, scheme)
    paper = luminance(shown.value("getComputedStyle(document.body).backgroundColor"))
    assert (paper > 0.5) == (scheme == "light")
    found: list[list[Any]] = json.loads(shown.value(_INKS))
    assert len(found) > 100
    for words, colour, weight in found:
        ink = luminance(colour)
        ratio = (max(paper, ink) + 0.05) / (min(paper, ink) + 0.05)
        assert ratio >= (3.0 if int(weight) >= 600 else 4.5), (words, colour, ratio)


_INKS = """JSON.stringify(
  [...document.querySelectorAll('h1, h2, h3, p, td, th, dt, dd, a, small, span, svg text')]
    .filter(e => e.textContent.trim())
    .map(e => [e, getComputedStyle(e)])
    .map(([e, s]) => [e.textContent, e instanceof SVGElement ? s.fill : s.color, s.fontWeight]))
"""


def luminance(colour: str) -> float:
    """Relative luminance of `rgb(r, g, b)`: WCAG 2.1."""
    parts = [int(n) / 255 for n in colour.removeprefix("rgb(").removesuffix(")").split(",")]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_it_can_be_pictured(shown: Browser, tmp_path: Path, width: int, scheme: str) -> None:
    shown.look(width, scheme)
    size, corner = picture(shown.picture())
    assert size[0] == width
    assert size[1] > 3000
    assert (corner > 128) == (scheme == "light")


def picture(png: bytes) -> tuple[tuple[int, int], int]:
    """Width and height of a PNG, and how bright its first pixel is."""
    assert png.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", png[16:24])
    at, data = 8, b""
    while at < len(png):
        length, kind = struct.unpack(">I4s", png[at : at + 8])
        data += png[at + 8 : at + 8 + length] if kind == b"IDAT" else b""
        at += 12 + length
    return (width, height), zlib.decompressobj().decompress(data, 2)[1]


def test_a_reader_of_the_screen_gets_headings_and_names(shown: Browser) -> None:
    nodes = shown.call("Accessibility.getFullAXTree")["nodes"]
    roles = [(n["role"]["value"], n.get("name", {}).get("value", "")) for n in nodes]
    heads = [name for role, name in roles if role == "heading"]
    assert {"The fleet", "State of health", "Checks", "How it was made"} <= {*heads}
    images = [name for role, name in roles if role in ("image", "img")]
    assert len(images) >= len(FIGURES)
    assert all(images)
