"""Picture the top of a data set's report.html into docs/figures; `python docs/make_report.py DIR`.

Wants Chromium; the picture in the README is of `fleetgen generate --duration-days 90`.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.chromium import browser, page_url  # noqa: E402

WIDTH, LAST = 1280, "#health"


def main(place: Path) -> None:
    """Picture the header and the sections up to `LAST`."""
    with browser() as shown:
        shown.open(page_url(place / "report.html"))
        shown.look(WIDTH, "light")
        section = f"document.querySelector('{LAST}').parentElement.getBoundingClientRect()"
        height = shown.value(f"Math.ceil({section}.bottom + scrollY)")
        png = shown.picture_of(0, 0, WIDTH, height + 30)
    (ROOT / "docs" / "figures" / "report.png").write_bytes(png)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
