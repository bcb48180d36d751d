"""What must be equal wherever parts are made, for the bytes of files might differ otherwise."""

from __future__ import annotations

import hashlib
import platform
import zlib
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from fleetgen import __version__

_PACKAGES = ("numpy", "numba", "pyarrow")
_SOURCES = {".py", ".toml", ".json", ".css"}
_DIGITS = 8

HEAD = f"{'package':<10} {'there':<16} here"
"""Head of the rows of `differing`."""


@cache
def here() -> dict[str, str]:
    """Versions of this process by package; that of fleetgen with a digest of its source files."""
    python = ".".join(platform.python_version_tuple()[:2])
    found = {name: _version(name) for name in _PACKAGES}
    packer = {"zlib": zlib.ZLIB_RUNTIME_VERSION}  # of gzip files
    return {"python": python, **found, **packer, "fleetgen": f"{__version__}+{_sources()}"}


def differing(there: dict[str, str], here: dict[str, str]) -> list[str]:
    """Rows of a table of what differs; none if all is equal."""
    return [
        f"{name:<10} {there.get(name, 'absent'):<16} {own}"
        for name, own in here.items()
        if there.get(name, "absent") != own
    ]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"


def _sources() -> str:
    """Beginning of a digest of the package's source files."""
    root = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(p for p in root.rglob("*") if p.suffix in _SOURCES):
        digest.update(f"{path.relative_to(root).as_posix()}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:_DIGITS]
