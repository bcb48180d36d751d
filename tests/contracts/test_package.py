"""What every part of the package keeps to."""

import ast
import importlib
import pkgutil
import re
import tomllib
from pathlib import Path

import pytest

import fleetgen
from fleetgen.config import load
from fleetgen.model import params
from fleetgen.plan import estimate, make_plan
from fleetgen.schema import TABLES, TELEMETRY
from fleetgen.spec import PROFILES, Scenario
from tests.properties.plan import ROOT, run_python

PRESETS = sorted((*ROOT.glob("configs/*.toml"), *ROOT.glob("configs/scenarios/*.toml")))
ROWS = {
    "test": 13_824,
    "development": 241_920,
    "training": 111_974_400,
    "production": 3_023_308_800,
    "clean": 13_824,
    "ideal-sensors": 13_824,
    "hot-season": 1_658_880,
    "flood-outages": 193_536,
    "bad-batch": 155_520,
    "dirty-clock": 103_680,
    "fleet-of-100000": 2_400_000,
}
"""Batteries x duration / sampling interval, for the guide's four commands and the scenarios."""

HEAVY = [
    "numba",
    "numpy",
    "pyarrow",
    "dask",
    "distributed",
    "pandas",
    "pydantic",
    "fsspec",
    "s3fs",
    "rich",
    "psutil",
]


def modules() -> list[str]:
    found = pkgutil.walk_packages(fleetgen.__path__, "fleetgen.")
    return [m.name for m in found if m.name != "fleetgen.__main__"]


# --- configs --------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_every_preset_loads_and_is_planned(path: Path) -> None:
    plan = make_plan(load(path), "unused")
    rows = estimate(plan, 2).rows["telemetry_jar_raw"]
    assert rows == ROWS[path.stem]


def test_there_is_a_preset_for_each_of_the_guides_runs_and_scenarios() -> None:
    assert {path.stem for path in PRESETS} == set(ROWS)


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_the_rows_that_a_preset_tells_of_are_its_rows(path: Path) -> None:
    head = " ".join(re.findall(r"^#(.*)", path.read_text().partition("\n\n")[0], re.MULTILINE))
    told = re.findall(r"([\d,]+)\s+jar\s+samples", head)
    assert [int(number.replace(",", "")) for number in told] == [ROWS[path.stem]]


def test_the_large_fleet_is_that_of_its_script() -> None:
    done = run_python(ROOT / "configs" / "fleets" / "make_fleet.py")
    assert done.out == (ROOT / "configs" / "fleets" / "hundred-thousand.toml").read_text("utf-8")
    fleet = load(ROOT / "configs" / "scenarios" / "fleet-of-100000.toml").to_fleet()
    jars = sum(len(s.jar_ids) for each in fleet.sites for y in each.systems for s in y.strings)
    assert jars == 100_000


def test_scenarios_are_the_test_run_but_for_the_instruments() -> None:
    plain = load(ROOT / "configs" / "test.toml")
    for name, errors in (("clean", True), ("ideal-sensors", False)):
        other = load(ROOT / "configs" / f"{name}.toml")
        assert (other.run, other.select, other.fleet) == (plain.run, plain.select, plain.fleet)
        assert other.output.directory != plain.output.directory
        assert other.to_scenario() == Scenario(sensor_errors=errors, sensor_faults=False)


def test_the_production_preset_has_every_key_of_the_scenario() -> None:
    keys = tomllib.loads((ROOT / "configs" / "production.toml").read_text())["scenario"]
    assert keys == load().scenario.model_dump()


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_every_key_of_a_preset_has_a_comment(path: Path) -> None:
    before, header, seen = "", "", set()
    for line in path.read_text().splitlines():
        if line.startswith("["):
            header = line
        if found := re.match(r"(\w+) =", line):
            again = header == "[[inject]]" and found[1] in seen
            assert before.startswith("#") or again, line
            seen.add(found[1])
        before = line


def test_every_commented_key_of_the_production_preset_can_be_used() -> None:
    text = (ROOT / "configs" / "production.toml").read_text()
    keys = re.findall(r"^# (\w+ = .*)$", text, re.MULTILINE)
    assert len(keys) >= 5
    for key in keys:
        alone = re.sub(rf"^# {re.escape(key)}$", key, text, flags=re.MULTILINE)
        tomllib.loads(alone)
        section = re.findall(r"^\[(\w+)\]", text[: text.index(key)], re.MULTILINE)[-1]
        load(ROOT / "configs" / "production.toml", [f"{section}.{key}"])


# --- modules --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", modules())
def test_every_module_can_be_imported_and_says_what_it_is(name: str) -> None:
    assert (importlib.import_module(name).__doc__ or "").strip()


@pytest.mark.parametrize("name", ["fleetgen", "fleetgen.cli", "fleetgen.errors", "fleetgen.units"])
def test_the_front_loads_no_heavy_library(name: str) -> None:
    code = f"import sys, {name}\nprint([n for n in {HEAVY!r} if n in sys.modules])"
    assert run_python("-c", code).out.strip() == "[]"


def test_what_a_worker_loads_is_neither_dask_nor_pydantic_nor_pandas() -> None:
    code = (
        "import sys, fleetgen.task\n"
        "heavy = ('dask', 'distributed', 'pydantic', 'pandas', 'rich')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    assert run_python("-c", code).out.strip() == "[]"


# --- parameters and schema ------------------------------------------------------------------------


LITERALS: dict[str, set[float]] = {
    "model/ageing.py": {24.0},
    "model/climate.py": {12.0, 24.0, 28.25, 300.0, 86_400.0},
    "model/cooling.py": {1e-6, 24.0, 60.0, 3600.0},
    "model/electrical.py": {
        *(1e-3, 1e-6, 4.0, 16.0),  # milli, least missing charge, discriminant, span of a bisection
        *(1.9228, 0.147519, 0.063552, 0.073772, 0.033612),  # Bode's polynomial
    },
    "model/events.py": set(),
    "model/failures.py": {1e-6, 1e-9},
    "model/faults.py": {40.0, 1e9},  # the longest dropout in means, no bound
    "model/load.py": set(),
    "model/population.py": {12.0, 1e3},
    "model/room.py": {5.0},
    "model/sensors.py": {10.0, 1e3, 1e4},
    "model/stepper.py": {
        *(1e3, 3600.0, 1e9),
        *(0.25, 0.01, 1.02, 1e-3, 1e-6),  # of the grid and of convergence
    },
    "model/thermal.py": set(),
    "system.py": {12.0, 24.0, 2.718281828},
    "truth.py": {3600.0},
    "world.py": set(),
}
"""Numbers that a law may hold itself: calendar, scales, numerics; all others are parameters."""

PLAIN = {0.0, 0.5, 1.0, 2.0, 100.0}
"""Halves, wholes and percent: in any law."""


def floats_of(path: Path) -> set[float]:
    tree = ast.parse(path.read_text("utf-8"))
    values = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    return {value for value in values if isinstance(value, float)}


def test_every_law_is_looked_at() -> None:
    package = Path(fleetgen.__file__).parent
    laws = {f"model/{path.name}" for path in (package / "model").glob("*.py")}
    assert laws - {"model/__init__.py", "model/params.py"} == {
        name for name in LITERALS if name.startswith("model/")
    }


@pytest.mark.parametrize("name", LITERALS)
def test_a_law_holds_no_number_without_a_source(name: str) -> None:
    found = floats_of(Path(fleetgen.__file__).parent / name) - PLAIN
    unknown, unused = found - LITERALS[name], LITERALS[name] - found
    assert not unknown, f"{name}: move to model/params.py, with unit, range and source: {unknown}"
    assert not unused, f"{name} does not hold {unused}"


def test_every_parameter_is_used() -> None:
    package = Path(fleetgen.__file__).parent
    words = {
        word
        for path in package.rglob("*.py")
        if path.name != "params.py"
        for word in re.findall(r"\bparams\.([A-Z][A-Z_0-9]+)\b", path.read_text("utf-8"))
    }
    declared = {name for name in vars(params) if re.fullmatch(r"[A-Z][A-Z_0-9]+", name)}
    assert declared - words == {"ASSUMED", "DERIVED"}


def test_every_parameter_has_a_source() -> None:
    assert [name for name, each in params.catalogue() if len(each.source) < 3] == []


def test_shares_of_the_profiles_are_one() -> None:
    assert sum(profile.share for profile in PROFILES) == pytest.approx(1.0)


def test_every_column_is_described() -> None:
    for table in TABLES.values():
        assert table.doc
        assert set(table.key) <= set(table.names)
        for column in table.columns:
            assert column.doc, f"{table.name}.{column.name}"
            if column.kind == "float" and column.name not in ("latitude", "longitude"):
                assert column.unit, f"{table.name}.{column.name}"


def test_truth_and_measurement_share_no_table() -> None:
    for table in TELEMETRY:
        assert {column.truth for column in table.columns if column.name not in table.key} == {
            table.role == "truth"
        }
