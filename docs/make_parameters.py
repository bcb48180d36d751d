"""Write `parameters.md` from the declarations in `fleetgen/model/params.py`.

`python docs/make_parameters.py` after a change of a parameter; a test compares the two.
"""

from pathlib import Path

from fleetgen.model import params
from fleetgen.model.params import ASSUMED, DERIVED, Parameter

PAGE = Path(__file__).with_name("parameters.md")

HEAD = f"""\
# Parameters of the model

Made by `docs/make_parameters.py` from `fleetgen/model/params.py`; do not edit.

**Valid** is the range in which the law that uses a number is meant to hold, inclusive; a value
outside of its own range cannot be declared. The source **{ASSUMED}** marks an engineering
assumption, and the note says why; **{DERIVED}** follows from other parameters. Temperature
differences are in K, logarithms in "ln", shares and factors in "1"; C10 is the rated ten-hour
capacity. Of a failure law, `.power` is the exponent of the progress p in the amplitude above it.

Not here are what a run can set (profiles, hazard, locations, battery models; the configuration
checks them), calendars (office hours, seasons), Bode's polynomial of the open-circuit voltage (Bode
1977, in `fleetgen/model/electrical.py`) and the relative frequency of storms by local hour,
{ASSUMED}: {" ".join(map(str, params.STORM_HOUR_WEIGHTS))}.

| name | value | unit | valid | source | note |
|---|--:|---|---|---|---|"""


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *(_row(name, each) for name, each in params.catalogue())]) + "\n"


def _row(name: str, each: Parameter) -> str:
    low, high = each.valid
    value, span = f"{each.value:.10g}", f"{low:.10g} to {high:.10g}"
    return f"| `{name}` | {value} | {each.unit} | {span} | {each.source} | {each.note} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
