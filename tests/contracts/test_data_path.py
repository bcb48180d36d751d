"""What no module that makes data may do, found in its syntax tree.

The C library's and NumPy's transcendental functions give other bits on other CPUs; sums of floats
depend on the order in which they are taken (and, since Python 3.12, on how `sum` rounds); clocks,
hashes and sets depend on the process.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "fleetgen"

PURE = sorted(
    [
        *(PACKAGE / "model").glob("*.py"),
        *(PACKAGE / "derive").glob("*.py"),
        *(
            PACKAGE / f"{n}.py"
            for n in ("rng", "digest", "elementary", "sample", "simulate", "fleet")
        ),
    ]
)
"""Modules from which values come."""

CLOCKED = {
    *("calibrate.py", "progress.py", "execute.py", "workers.py", "timings.py", "credentials.py"),
    *("io/local.py", "io/retry.py", "io/s3.py"),
}
"""Modules that may look at the clock: what they tell is not data."""

TRANSCENDENTAL = [
    "exp",
    "exp2",
    "expm1",
    "log",
    "log2",
    "log10",
    "log1p",
    "sin",
    "cos",
    "tan",
    "arcsin",
    "arccos",
    "arctan",
    "arctan2",
    "sinh",
    "cosh",
    "tanh",
    "arcsinh",
    "arccosh",
    "arctanh",
    "power",
    "float_power",
    "cbrt",
    "hypot",
    "logaddexp",
    "logaddexp2",
    "sinc",
    "i0",
    "deg2rad",
]
IN_SOME_ORDER = [
    "sum",
    "nansum",
    "mean",
    "nanmean",
    "average",
    "std",
    "var",
    "nanstd",
    "nanvar",
    "dot",
    "vdot",
    "inner",
    "matmul",
    "einsum",
    "tensordot",
    "trapezoid",
    "convolve",
    "correlate",
    "polyfit",
    "cov",
    "corrcoef",
]

WHOLE_NUMBERS = {
    ("derive/features.py", "counts.sum(axis=axis)"),
    ("derive/past.py", "np.where(missing, 0, counts).sum(axis=-1)"),
}
"""Sums of arrays of integers that are not turned into an `int` at once."""


def dotted(node: ast.expr, names: dict[str, str]) -> str:
    """Full name of `a.b.c` under a module's imports; empty where it is none."""
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        inside = dotted(node.value, names)
        return f"{inside}.{node.attr}" if inside else ""
    return ""


def imported(tree: ast.Module) -> dict[str, str]:
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


def forbidden_name(name: str) -> bool:
    top, _, rest = name.partition(".")
    if top == "numpy":
        return rest in TRANSCENDENTAL + IN_SOME_ORDER or rest.startswith(("random.", "linalg."))
    return top in {"math", "cmath", "random", "statistics", "scipy"}


def faults(source: str, where: str) -> Iterator[str]:  # noqa: C901 (one walk of the tree)
    """Each fault with its line and text."""
    tree = ast.parse(source)
    names = imported(tree)
    inside_int = {
        id(node.args[0])
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and dotted(node.func, names) == "int" and node.args
    }
    for node in ast.walk(tree):
        told = ""
        match node:
            case ast.Import(modules):
                bad = [a.name for a in modules if forbidden_name(f"{a.name}.x")]
                told = f"imports {bad[0]}" if bad else ""
            case ast.ImportFrom(module=str(module), names=found):
                bad = [a.name for a in found if forbidden_name(f"{module}.{a.name}")]
                told = f"imports {bad[0]}" if bad else ""
            case ast.Attribute() | ast.Name() if forbidden_name(dotted(node, names)):
                told = f"uses {dotted(node, names)}"
            case ast.Call(func=ast.Name("sum")):
                told = "adds with sum()"
            case ast.Call(func=ast.Attribute(_, method)) if method in IN_SOME_ORDER:
                whole = id(node) in inside_int or (where, ast.unparse(node)) in WHOLE_NUMBERS
                told = "" if whole else f"adds with .{method}()"
            case ast.BinOp(op=ast.MatMult()):
                told = "adds with @"
            case ast.BinOp(op=ast.Pow(), right=power) | ast.AugAssign(op=ast.Pow(), value=power):
                whole = isinstance(power, ast.Constant) and isinstance(power.value, int)
                told = "" if whole else "raises to a power that is no whole number"
            case ast.For(iter=over) | ast.comprehension(iter=over):
                unordered = isinstance(over, ast.Set | ast.SetComp) or (
                    isinstance(over, ast.Call) and dotted(over.func, names) in {"set", "frozenset"}
                )
                told = "iterates over a set" if unordered else ""
            case ast.keyword(arg="fastmath" | "parallel", value=value):
                told = "" if ast.unparse(value) == "False" else f"compiles with {ast.unparse(node)}"
        if told:
            line = getattr(node, "lineno", None) or node.iter.lineno
            yield f"{where}:{line}: {told}: {ast.unparse(node)[:80]}"


def clocks(source: str, where: str) -> Iterator[str]:
    """Uses of what differs from one process to the next."""
    tree = ast.parse(source)
    names = imported(tree)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute | ast.Name):
            continue
        name = dotted(node, names)
        parts = name.split(".")
        changing = (
            parts[0] in {"time", "uuid", "random"}
            or (parts[0] == "datetime" and parts[-1] in {"now", "utcnow", "today"})
            or name in {"hash", "os.getpid", "os.urandom", "os.times", "numpy.random"}
            or name.startswith("numpy.random.")
        )
        if changing and isinstance(node.ctx, ast.Load):
            yield f"{where}:{node.lineno}: {name}"


def relative(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def in_pure_modules() -> list[str]:
    return [fault for path in PURE for fault in faults(path.read_text(), relative(path))]


def test_values_come_from_exact_arithmetic_alone() -> None:
    assert [fault for fault in in_pure_modules() if ": adds with " not in fault] == []


def test_floats_are_added_in_one_order_alone() -> None:
    assert [fault for fault in in_pure_modules() if ": adds with " in fault] == []


def test_kernels_are_compiled_without_liberties() -> None:
    source = (PACKAGE / "jit.py").read_text()
    assert [f for f in faults(source, "jit.py") if "compiles" in f] == []
    assert "fastmath=False" in source


def test_no_module_looks_at_a_clock_or_draws_at_random() -> None:
    paths = [path for path in sorted(PACKAGE.rglob("*.py")) if relative(path) not in CLOCKED]
    found = [c for path in paths for c in clocks(path.read_text(), relative(path))]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "import numpy as np\ny = np.exp(x)",
        "import numpy\ny = numpy.tanh(x)",
        "from numpy import log as ln",
        "import math",
        "from math import exp",
        "import numpy as np\nf = np.sin",
        "y = x ** 0.5",
        "y = x ** n",
        "x **= 1.5",
        "y = sum(values)",
        "y = values.sum()",
        "y = values.mean(axis=1)",
        "y = a @ b",
        "import numpy as np\ny = np.random.default_rng(1)",
        "import numpy as np\ny = np.linalg.norm(x)",
        "for x in {1, 2}: pass",
        "y = [x for x in set(names)]",
        "f = njit(fastmath=True)",
        "f = njit(parallel=True)",
        "def f():\n    import scipy.special",
    ],
)
def test_the_search_finds(source: str) -> None:
    assert len(list(faults(source, "x.py"))) >= 1


@pytest.mark.parametrize(
    "source",
    [
        "import numpy as np\ny = np.sqrt(x) + np.floor(x) * np.cumsum(x)",
        "y = x ** 2 + 2 ** 62",
        "y = int(lengths.sum())",
        "from fleetgen.elementary import exponential\ny = exponential(x)",
        "f = njit(fastmath=False)",
        "for x in sorted({1, 2}): pass",
    ],
)
def test_the_search_lets_pass(source: str) -> None:
    assert list(faults(source, "x.py")) == []


@pytest.mark.parametrize(
    "source",
    [
        "import time\ny = time.time()",
        "from time import perf_counter\ny = perf_counter()",
        "from datetime import datetime\ny = datetime.now()",
        "import datetime\ny = datetime.date.today()",
        "import uuid\ny = uuid.uuid4()",
        "y = hash('a')",
        "import os\ny = os.getpid()",
        "import numpy as np\ny = np.random.normal()",
    ],
)
def test_the_search_finds_clocks(source: str) -> None:
    assert len(list(clocks(source, "x.py"))) >= 1
