"""Synthetic telemetry of a stationary battery fleet, with the truth beside the measurement."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

__version__ = "0.1.0"


def generate(
    config: str | Path | None = None, overrides: Mapping[str, object] | None = None, **flags: object
) -> None:
    """Make a data set, as `fleetgen generate` does.

    Parameters
    ----------
    config
        Configuration file, TOML or YAML.
    overrides
        From dotted key to value, as `--set`.
    flags
        The command line's, with underscores: `duration_days=2, limit_batteries=24, ...`.

    Raises
    ------
    fleetgen.errors.FleetgenError
        With one message for all that is wrong.
    """
    from fleetgen import pipeline
    from fleetgen.config import load

    pipeline.generate(load(config, overrides or {}, flags))
