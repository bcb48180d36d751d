"""Faults: the lines that tell them, and what their keys are called where the user wrote them."""

from __future__ import annotations

import re
import reprlib
from datetime import date

from fleetgen.places import OPTIONS, holds_login, names_secret

Keys = tuple[str, ...]
"""Path of a key from the top of the configuration."""

MISSING = object()
"""Stands for the value of a key that is not there."""

ID_RULE = "must be 1 to 64 of A-Z a-z 0-9 . _ - and not begin with a point; rename it"

_KNOWN_OPTIONS = {(name,) for name in OPTIONS}
_ID = re.compile(r"(?!\.)[A-Za-z0-9._-]{1,64}")
_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = _repr.maxlong = 60
_repr.maxlist = _repr.maxdict = 12
_repr.maxlevel = 2


def usable(name: str) -> bool:
    """Whether a name may be an id: it is a safe segment of a path, see `ID_RULE`."""
    return _ID.fullmatch(name) is not None


def show(value: object) -> str:
    """Write a value on one short line."""
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "none"
    if isinstance(value, date):
        return value.isoformat()
    try:
        text = " ".join(_repr.repr(list(value) if isinstance(value, tuple) else value).split())
        count = len(value) if isinstance(value, list | tuple) else 0
        return (text if len(text) <= 80 else f"{text[:76]} ...") + (
            f" ({count} values)" if count > 4 else ""
        )
    except ValueError:  # Python refuses to print integers beyond a few thousand digits
        return "a number of thousands of digits"


def _shown(keys: Keys, value: object) -> str:
    """Write a value as `show` does, unless it is a secret or may hold one."""
    shown = show(value)
    text = value if isinstance(value, str) else shown
    unknown = keys[:2] == ("output", "storage_options") and keys[2:] not in _KNOWN_OPTIONS
    secret = unknown or any(map(names_secret, (*keys, text))) or holds_login(text)
    return "(not shown)" if secret else shown


def related(a: Keys, b: Keys) -> bool:
    """Whether one path is the other or lies above it."""
    n = min(len(a), len(b))
    return a[:n] == b[:n]


class Faults:
    """Faults found so far, in `lines`, and their `keys`.

    `labels` maps keys to the flag, `--set` or file that gave them.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.keys: set[Keys] = set()
        self.labels: dict[Keys, str] = {}

    def add(self, keys: Keys, value: object, rule: str) -> None:
        """Note that the value at `keys` breaks a rule."""
        self.keys.add(keys)
        shown = " is missing" if value is MISSING else f" = {_shown(keys, value)}"
        self.lines.append(f"{self.where(keys)}{shown}: {rule}")

    def given(self, keys: Keys, value: object, label: str) -> bool:
        """Note that `label` gives the value at `keys`; False, and a fault, if another did."""
        earlier = [text for other, text in self.labels.items() if related(other, keys)]
        if earlier:
            self.keys.add(keys)
            self.lines.append(
                f"{label} = {_shown(keys, value)}: given by {earlier[0]}, too; keep one"
            )
            return False
        self.labels[keys] = label
        return True

    def clean(self, *paths: Keys) -> bool:
        """Whether no fault lies at, above or below any of `paths`."""
        return not any(related(keys, path) for keys in self.keys for path in paths)

    def where(self, keys: Keys) -> str:
        """Name of a key: the flag or file that it came from, and the dotted rest."""
        known = next((n for n in range(len(keys), 0, -1) if keys[:n] in self.labels), 0)
        label = self.labels.get(keys[:known], "")
        rest = ".".join(k if usable(k) else show(k) for k in keys[known:])
        return label + (" " if label.endswith(":") else "." if label and rest else "") + rest
