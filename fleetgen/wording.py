"""What is told, in one wording: counts, lengths of time, sizes, and the names nearest to one."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_FEW = 12


def many(count: float, one: str, more: str = "") -> str:
    """A number with what it counts: `1 day`, `0.5 days`, `1,944 batteries`.

    `more` is the plural, where it is not `one` with an s.
    """
    shown = f"{count:,}" if isinstance(count, int) else f"{count:.10g}"
    return f"{shown} {one if count == 1 else more or one + 's'}"


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def size(count: float) -> str:
    """Bytes as people say them, with three digits."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.3g} TB"


def nearest(word: object, words: Iterable[str]) -> str:
    """Offer the names nearest to one that is not known, or else the first few of all."""
    known = list(words)
    close = get_close_matches(word, known) if isinstance(word, str) else []
    if close:
        return f"did you mean {' or '.join(close)}?"
    return "known: " + ", ".join(known[:_FEW]) + (", ..." if len(known) > _FEW else "")
