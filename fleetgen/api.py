"""What a Python program calls; `fleetgen.generate` is this module's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fleetgen import pipeline
from fleetgen.config import load


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
    pipeline.generate(load(config, overrides or {}, flags))
