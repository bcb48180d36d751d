"""Synthetic telemetry of a stationary battery fleet, with the truth beside the measurement."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import what is public when it is first asked for: `import fleetgen` alone stays light."""
    if name == "generate":
        return import_module("fleetgen.api").generate
    if name == "open":
        return import_module("fleetgen.loading").open
    raise AttributeError(f"module 'fleetgen' has no attribute {name!r}")
