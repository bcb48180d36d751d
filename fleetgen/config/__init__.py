"""Defaults, a file, flags and `--set` become a `RunConfig`. The only door to pydantic.

`load` returns a `RunConfig` or raises one `ConfigError` with a line for each fault. Every key is
declared once, in `sections`, with what is allowed in words, an example and its limits. Faults that
concern several keys are looked for in whatever could be read, so that a user meets them all at
once.
"""

from fleetgen.config.restore import from_identity, same_version
from fleetgen.config.run import RunConfig, identity_digest, load, output_at
from fleetgen.config.sources import FLAGS

__all__ = [
    "FLAGS",
    "RunConfig",
    "from_identity",
    "identity_digest",
    "load",
    "output_at",
    "same_version",
]
