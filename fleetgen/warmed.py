"""Importing this module loads every kernel.

Local workers are forked from a process that has imported it: they start with all that a part
needs, and share its memory.
"""

import gc

from fleetgen import versions, warm

warm.load()
versions.here()  # of the files as they are now: what is forked later has this code
gc.freeze()  # what is loaded by now is never collected: collecting would unshare it
