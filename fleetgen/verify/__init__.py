"""Whether a data set is what its plan and manifest say, to the last bit, and its repair.

A file is held against what the manifest and its part's receipt say of it: its bytes, its SHA-256,
its rows by its own footer, and, for a sample or for all, its keys and the logical digests of the
values that lie in it. Nothing is written unless a repair is asked for, and that makes again what is
bad, from the plan.
"""

from fleetgen.verify.check import verify
from fleetgen.verify.findings import Findings

__all__ = ["Findings", "verify"]
