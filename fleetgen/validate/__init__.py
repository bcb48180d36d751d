"""Whether the values of a data set are sound: the usage guide's checklist, and the promises.

Every check gives a value, the band in which it must lie, and the query behind it. Files are read
part by part, on as many processes as a run would take, those of the leak test's string once more;
what is seen of a part are small sums that add up.
"""

from fleetgen.validate.check import run
from fleetgen.validate.findings import Finding, lines

__all__ = ["Finding", "lines", "run"]
