"""Importing this module loads every kernel.

Local workers are forked from a process that has imported it: they start with all that a part
needs, and share its memory.
"""

import gc

from fleetgen import warm

warm.load()
gc.freeze()  # what is loaded by now is never collected: collecting would unshare it
