"""What every part of the package keeps to."""

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

PRESETS = sorted((ROOT / "configs").rglob("*.toml"))
ROWS = {
    "test": 13_824,
    "development": 241_920,
    "training": 111_974_400,
    "production": 3_023_308_800,
    "clean": 13_824,
    "ideal-sensors": 13_824,
}
"""Batteries x duration / sampling interval, for the guide's four commands and two scenarios."""

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
    before = ""
    for line in path.read_text().splitlines():
        if re.match(r"\w+ =", line):
            assert before.startswith("#"), line
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


def named_parameters() -> list[tuple[str, params.Parameter]]:
    return [(n, p) for n, p in vars(params).items() if isinstance(p, params.Parameter)]


def test_every_parameter_has_a_unit_and_a_source() -> None:
    assert len(named_parameters()) > 80
    for name, parameter in named_parameters():
        assert parameter.unit, name
        assert len(parameter.source) >= 3, name
        if parameter.source == params.ASSUMED:
            assert parameter.note, f"{name} is an assumption and does not say why"


def test_every_discharge_family_and_profile_has_its_source() -> None:
    assert all(family.source for family in params.DISCHARGE_FAMILIES.values())
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
