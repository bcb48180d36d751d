"""Configuration: precedence, faults and their way out, the default fleet, the plan's identity."""

import contextlib
import copy
import json
import shutil
import subprocess
import sys
import tomllib
from dataclasses import fields
from datetime import UTC, date, datetime
from importlib import resources
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fleetgen
from fleetgen import config, plan, rng, spec, units
from fleetgen.config import sections
from fleetgen.errors import ConfigError

CONFIGS = Path(__file__).parents[2] / "configs"
CATALOGUE = resources.files("fleetgen").joinpath("fleets", "thailand.toml").read_text("utf-8")

# Typed by hand from the product's table of the fleet.
LOCATIONS = """
DC-CNX-01 | Chiangmai Data Center   | northern     | 18.7883 |  98.9853 | 2018-03-15
DC-KKN-01 | Khon Kaen Data Center   | northeastern | 16.4322 | 102.8236 | 2019-07-01
DC-NTB-01 | Nonthaburi Data Center  | central      | 13.8598 | 100.5254 | 2017-01-20
DC-BKK-01 | Bangrak Data Center     | central      | 13.7248 | 100.5310 | 2016-11-10
DC-BKK-02 | Phrakhanong Data Center | central      | 13.7051 | 100.6040 | 2020-02-15
DC-SRC-01 | Sriracha Data Center    | eastern      | 13.1664 | 100.9308 | 2019-05-20
DC-URT-01 | Surat Thani Data Center | southern     |  9.1355 |  99.3331 | 2020-08-01
DC-PKT-01 | Phuket Data Center      | southern     |  7.8804 |  98.3923 | 2018-12-01
DC-HDY-01 | Hat Yai Data Center     | southern     |  7.0061 | 100.4667 | 2021-03-15
"""
CENTRAL = {"DC-NTB-01", "DC-BKK-01", "DC-BKK-02"}
UNCOMPENSATED = {"DC-KKN-01", "DC-BKK-01", "DC-HDY-01"}
OUTAGES = {  # a year, and median minutes
    "northern": (4, 40),
    "northeastern": (6, 50),
    "central": (2, 25),
    "eastern": (3, 35),
    "southern": (8, 70),
}
ANNUAL_MEAN_C = {  # of the normals
    "DC-CNX-01": 26.1,
    "DC-BKK-01": 29.05,
    "DC-BKK-02": 29.05,
    "DC-NTB-01": 28.65,
}
RAINY_DAYS = {  # a year, summed by hand
    "DC-CNX-01": 118,
    "DC-KKN-01": 118,
    "DC-NTB-01": 107,
    "DC-BKK-01": 107,
    "DC-BKK-02": 107,
    "DC-SRC-01": 107,
    "DC-URT-01": 148,
    "DC-PKT-01": 170,
    "DC-HDY-01": 148,
}


def small(**location):
    """Describe a fleet of one location: two strings of three jars on a UPS, one on a rectifier."""
    return {
        "locations": {
            "DC-X-01": {
                "name": "X Data Center",
                "city": "X",
                "region": "north",
                "latitude": 10.0,
                "longitude": 100.0,
                "commissioned": date(2020, 1, 1),
                "climate": "bangkok",
                "outages_per_year": 2.0,
                "outage_median_min": 25.0,
                "systems": {
                    "REC-01": {
                        "kind": "REC",
                        "jars_per_string": 3,
                        "strings": {"S1": "GPL12-100"},
                    },
                    "UPS-01": {
                        "kind": "UPS",
                        "jars_per_string": 3,
                        "strings": {"S1": "HX12-120", "S2": "HX12-120"},
                    },
                },
            }
            | location
        }
    }


def climate(**table):
    return {
        "minimum_c": [20.0] * 12,
        "mean_c": [25.0] * 12,
        "maximum_c": [30.0] * 12,
        "humidity_pct": [70.0] * 12,
        "rainy_days": [10.0] * 12,
    } | table


def faults(file=None, overrides=(), flags=()):
    with pytest.raises(ConfigError) as caught:
        config.load(file, overrides, dict(flags))
    return str(caught.value).splitlines()


def fleet_faults(**location):
    return faults(overrides={"fleet": small(**location)})


def only(lines, *parts):
    """Want one line, with all the parts."""
    assert len(lines) == 1, lines
    for part in parts:
        assert part in lines[0]


# --- the default fleet ----------------------------------------------------------------------------


def test_the_default_fleet_is_the_products_table():
    fleet = config.load().to_fleet()
    rows = [[cell.strip() for cell in line.split("|")] for line in LOCATIONS.strip().splitlines()]
    assert [
        [
            site.location.location_id,
            site.location.name,
            site.location.region,
            site.location.latitude,
            site.location.longitude,
            site.location.commissioned,
        ]
        for site in fleet.sites
    ] == [[*row[:3], float(row[3]), float(row[4]), date.fromisoformat(row[5])] for row in rows]
    assert (fleet.time_zone, fleet.utc_offset_s) == ("Asia/Bangkok", 25_200)


def test_the_default_fleet_has_81_strings_and_1944_jars():
    fleet = config.load().to_fleet()
    systems = [system for site in fleet.sites for system in site.systems]
    strings = [string for system in systems for string in system.strings]
    jars = [jar for string in strings for jar in string.jar_ids]
    assert (len(fleet.sites), len(strings), len(jars), len(set(jars))) == (9, 81, 1944, 1944)
    assert {len(string.jar_ids) for string in strings} == {24}
    for site in fleet.sites:
        place = site.location.location_id
        shape = {system.system_id: (system.kind, len(system.strings)) for system in site.systems}
        ups = {"01": 3, "02": 3} if place in CENTRAL else {"01": 6}
        assert shape == {f"{place}-REC-01": ("REC", 3)} | {
            f"{place}-UPS-{n}": ("UPS", count) for n, count in ups.items()
        }
        assert site.sensor_id == f"{place}-ENV-01"


def test_sixteen_strings_of_gpl_are_spread_over_places_and_kinds():
    gpl = [
        (site.location.location_id, system.kind)
        for site in config.load().to_fleet().sites
        for system in site.systems
        for string in system.strings
        if string.model.model_id == "GPL12-100"
    ]
    assert len(gpl) == 16
    assert len({place for place, _ in gpl}) == 9
    assert sorted(kind for _, kind in gpl) == ["REC"] * 8 + ["UPS"] * 8


def test_ids_are_readable_and_number_from_one():
    site = config.load().to_fleet().sites[0]
    bank, ups = site.systems
    assert bank.strings[0].string_id == "DC-CNX-01-REC-01-S1"
    assert bank.strings[0].jar_ids[:2] == ("DC-CNX-01-REC-01-S1-J01", "DC-CNX-01-REC-01-S1-J02")
    assert ups.strings[5].jar_ids[-1] == "DC-CNX-01-UPS-01-S6-J24"


def test_models_have_the_products_limits():
    fleet = config.load().to_fleet()
    models = {
        string.model.model_id: string.model
        for site in fleet.sites
        for system in site.systems
        for string in system.strings
    }
    assert set(models) == {"HX12-120", "GPL12-100"}
    hx, gpl = models["HX12-120"], models["GPL12-100"]
    assert (hx.rated_capacity_ah, hx.design_life_years, hx.discharge_type) == (120, 10, "B")
    assert (gpl.rated_capacity_ah, gpl.design_life_years, gpl.discharge_type) == (100, 8, "A")
    assert (hx.mass_kg, gpl.mass_kg) == (36, 30)
    for model in models.values():
        assert (model.nominal_voltage_v, model.cells) == (12, 6)
        assert (model.float_min_v, model.float_max_v) == (13.5, 13.8)
        assert (model.boost_min_v, model.boost_max_v) == (14.1, 14.4)
        assert (
            model.temperature_info_c,
            model.temperature_warning_c,
            model.temperature_critical_c,
        ) == (35, 45, 50)


def test_climate_and_grid_of_each_location():
    sites = config.load().to_fleet().sites
    places = {site.location.location_id: site.location for site in sites}
    assert {p for p, at in places.items() if not at.temperature_compensated} == UNCOMPENSATED
    assert sum(at.generator for at in places.values()) in (4, 5)
    for place, at in places.items():
        assert (at.outages_per_year, at.outage_median_min) == OUTAGES[at.region]
        cold = {"northern": 2.2, "northeastern": 2.2, "southern": 0.8}.get(at.region, 1.3)
        warm = 0.8 if at.region == "southern" else 1.3
        assert (at.climate.warm_sigma_c, at.climate.cool_sigma_c) == (warm, cold)
        assert sum(at.climate.rainy_days) == RAINY_DAYS[place]
        assert all(
            low < mean < high
            for low, mean, high in zip(
                at.climate.minimum_c, at.climate.mean_c, at.climate.maximum_c, strict=True
            )
        )
    for place, mean_c in ANNUAL_MEAN_C.items():
        assert sum(places[place].climate.mean_c) / 12 == pytest.approx(mean_c, abs=0.06)
    for name in ("minimum_c", "mean_c", "maximum_c"):
        bangkok = getattr(places["DC-BKK-01"].climate, name)
        nonthaburi = getattr(places["DC-NTB-01"].climate, name)
        assert nonthaburi == pytest.approx([value - 0.4 for value in bangkok], abs=1e-9)


def test_every_key_of_the_catalogue_has_a_comment():
    lines = CATALOGUE.splitlines()
    keys = [line.split(" = ")[0] for line in lines]
    first = {key: keys.index(key) for key, line in zip(keys, lines, strict=True) if " = " in line}
    tables = (
        sections.FleetSection,
        sections.ModelTable,
        sections.ClimateTable,
        sections.LocationTable,
        sections.SystemTable,
    )
    nested = {"models", "climates", "locations", "systems"}
    assert first.keys() == {key for table in tables for key in table.model_fields} - nested
    assert [key for key, n in first.items() if not lines[n - 1].startswith("# ")] == []


def test_config_tables_have_the_keys_of_the_spec():
    """A key that a worker's noun lacks, or the reverse, would be a value that goes nowhere."""
    for table, noun, own in (
        (sections.ModelTable, spec.BatteryModel, "model_id"),
        (sections.ClimateTable, spec.Climate, "climate_id"),
    ):
        assert [own, *table.model_fields] == [field.name for field in fields(noun)]
    own = {"location_id", "string_ids"}
    assert {*sections.LocationTable.model_fields, *own} - {"systems"} == {
        field.name for field in fields(spec.Location)
    }


def test_package_data_are_found_inside_an_archive(tmp_path):
    """Resources are asked of the import system, as in a wheel that is not unpacked."""
    package = Path(fleetgen.__file__).parent
    tree = tmp_path / "tree" / "fleetgen"
    for folder in ("config", "fleets"):
        shutil.copytree(package / folder, tree / folder)
    (tree / "model").mkdir()
    front = ("__init__", "errors", "places", "schema", "spec", "units", "wording")
    for name in (*front, "model/__init__", "model/load", "model/params"):
        shutil.copy(package / f"{name}.py", tree / f"{name}.py")
    archive = shutil.make_archive(str(tmp_path / "package"), "zip", tree.parent)
    code = (
        f"import sys; sys.path.insert(0, {archive!r}); from fleetgen import config; "
        f"assert config.__file__.startswith({archive!r}); print(config.load().digest())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == config.load().digest()


# --- presets, precedence --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("test", 13_824),
        ("development", 241_920),
        ("training", 111_974_400),
        ("production", 3_023_308_800),
    ],
)
def test_presets_are_the_guides_runs(name, rows):
    run = config.load(CONFIGS / f"{name}.toml")
    jars = sum(len(ids) for ids in run.selected(run.to_fleet()).values())
    assert jars * run.grid().instants == rows


def test_defaults_are_those_of_the_command_line():
    run = config.load()
    assert run.run.model_dump() == {
        "duration_days": 7.0,
        "sampling_seconds": 300,
        "seed": 42,
        "start_date": date(2025, 1, 1),
    }
    assert run.output.model_dump() == {
        "directory": "./output",
        "format": "parquet",
        "writer": "direct",
        "storage_options": {},
    }
    assert set(run.execution.model_dump().values()) == {None}  # the pipeline chooses
    assert run.grid() == spec.TimeGrid(date(2025, 1, 1), 604_800, 300, 25_200, "Asia/Bangkok")


def test_flags_and_sets_stand_over_the_file_and_the_file_over_defaults(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text("[run]\nduration_days = 3\nseed = 5\nsampling_seconds = 60\n")
    run = config.load(file, ["run.seed=6"], {"--sampling-seconds": "30", "start_date": None}).run
    assert (run.duration_days, run.seed, run.sampling_seconds) == (3.0, 6, 30)
    assert run.start_date == date(2025, 1, 1)


@pytest.mark.parametrize("value", ["30", 30])
@pytest.mark.parametrize("name", ["--limit-batteries", "limit_batteries"])
def test_a_flag_may_be_text_or_typed_and_be_named_as_an_attribute(name, value):
    assert config.load(flags={name: value}).select.limit_batteries == 30


def test_every_flag_reaches_its_key():
    given = {
        "--duration-days": "0.5",
        "--sampling-seconds": "60",
        "--seed": "7",
        "--start-date": "2025-02-03",
        "--output-dir": "s3://fleet/2025",
        "--storage-option": {"region": "eu-1"},
        "--format": "none",
        "--writer": "pyarrow",
        "--limit-batteries": "3",
        "--locations": "DC-PKT-01, DC-CNX-01",
        "--strings": "DC-CNX-01-REC-01-S2",
        "--executor": "threads",
        "--workers": "2",
        "--block-days": "1",
    }
    run = config.load(flags=given)
    for flag, path in config.FLAGS.items():
        section, key = path.split(".")
        value = getattr(getattr(run, section), key)
        shown = ", ".join(value) if isinstance(value, tuple) else str(value)
        assert shown == str(given.get(flag, "None")), flag


def test_set_takes_toml_values_bare_text_and_quoted_keys():
    sets = [
        "select.locations=DC-CNX-01,DC-PKT-01",
        'output.directory="./a b"',
        'run."seed" = 9',
        "run.start_date=2025-03-01",
        "output.format=none",
    ]
    run = config.load(overrides=sets)
    assert run.select.locations == ("DC-CNX-01", "DC-PKT-01")
    assert run.output.directory == "./a b"
    assert (run.run.seed, run.run.start_date, run.output.format) == (9, date(2025, 3, 1), "none")


def test_yaml_says_the_same_as_toml(tmp_path):
    pytest.importorskip("yaml")
    text = "run:\n  duration_days: 2\n  start_date: 2025-03-01\nselect: {locations: [DC-PKT-01]}\n"
    (tmp_path / "run.yml").write_text(text)
    toml = "run.duration_days = 2\nrun.start_date = 2025-03-01\nselect.locations = ['DC-PKT-01']\n"
    (tmp_path / "run.toml").write_text(toml)
    assert config.load(tmp_path / "run.yml") == config.load(tmp_path / "run.toml")


def test_yaml_without_its_extra_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "yaml", None)
    (tmp_path / "run.yaml").write_text("run: {seed: 1}\n")
    only(faults(tmp_path / "run.yaml"), "run.yaml", 'pip install "fleetgen[yaml]"', "TOML")


def test_a_duration_of_a_fraction_of_a_day_is_a_whole_number_of_seconds():
    assert config.load(flags={"--duration-days": "0.7"}).grid().duration_s == 60_480
    assert config.load(flags={"--duration-days": "0.333333333333"}).grid().duration_s == 28_800


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flag", "value", "parts"),
    [
        ("--duration-days", "0", ["= 0:", "above 0", "for example 7.0"]),
        ("--duration-days", "-1", ["= -1:", "above 0"]),
        ("--duration-days", "nan", ["'nan'"]),
        ("--duration-days", "inf", ["'inf'"]),
        ("--duration-days", "1e308", ["1e+308", "50 years"]),
        ("--duration-days", "18263", ["50 years"]),
        ("--duration-days", "0.33333", ["whole seconds"]),
        ("--duration-days", True, ["true"]),
        ("--duration-days", "two", ["'two'"]),
        ("--duration-days", 10**400, ["50 years"]),
        ("--sampling-seconds", "0", ["= 0:", "at least 1"]),
        ("--sampling-seconds", "-5", ["= -5:", "at least 1"]),
        ("--sampling-seconds", "0.5", ["= 0.5:", "whole number"]),
        ("--sampling-seconds", "604801", ["604801", "604800 s", "--duration-days|run.duration"]),
        ("--sampling-seconds", True, ["whole number"]),
        ("--sampling-seconds", "9" * 400, ["604800 s"]),
        ("--seed", "-1", ["from 0 to 9223372036854775807"]),
        ("--seed", str(2**63), ["from 0 to 9223372036854775807"]),
        ("--seed", "1.5", ["whole number"]),
        ("--start-date", "2025-02-30", ["YYYY-MM-DD"]),
        ("--start-date", "20250101", ["YYYY-MM-DD"]),
        ("--start-date", datetime(2025, 1, 1), ["YYYY-MM-DD"]),  # noqa: DTZ001
        ("--start-date", "1999-01-01", ["2001-01-01"]),
        ("--start-date", "9999-12-31", ["2100-12-31"]),
        ("--output-dir", "", ["directory"]),
        ("--output-dir", "a\0b", ["printable"]),
        ("--format", "orc", ["parquet, csv.gz or none"]),
        ("--format", "parqet", ["did you mean parquet?"]),
        ("--writer", "fast", ["direct or pyarrow"]),
        ("--executor", "serail", ["did you mean serial?"]),
        ("--workers", "0", ["from 1 to 4096"]),
        ("--block-days", "32", ["from 1 to 31"]),
        ("--limit-batteries", "0", ["from 1"]),
        ("--limit-batteries", "-24", ["from 1"]),
        ("--limit-batteries", "1945", ["at most 1944"]),
        ("--locations", "DC-CNX-1", ["no such location", "did you mean DC-CNX-01"]),
        ("--locations", "", ["one or more"]),
        ("--strings", "DC-CNX-01-REC-01-S4", ["no such string", "DC-CNX-01-REC-01-S"]),
    ],
)
def test_each_bad_value_is_told_with_its_flag_the_limit_and_the_way_out(flag, value, parts):
    lines = faults(flags={flag: value})
    only(lines)
    assert lines[0].startswith(f"{flag} = ")
    for part in parts:
        assert any(choice in lines[0] for choice in part.split("|"))


@pytest.mark.parametrize("hours", [1, 2, 3, 4, 6, 8, 12, 24])
def test_feature_windows_divide_the_day(hours):
    run = config.load(overrides={"features.window_hours": hours})
    assert run.features.window_hours == hours
    same = run.digest() == config.load().digest()
    assert same == (hours == 1)  # it is of the plan


@pytest.mark.parametrize("hours", [0, -1, 5, 7, 16, 25, 48, 1.0, 1.5, True, "1", "hourly", [1]])
def test_windows_that_do_not_are_told_in_one_line(hours):
    lines = faults(overrides={"features.window_hours": hours})
    only(lines, "--set features.window_hours = ")
    assert "1, 2, 3, 4, 6, 8, 12 or 24" in lines[0]


def test_a_writer_of_parquet_is_told_when_the_format_is_another():
    lines = faults(flags={"--format": "csv.gz"}, overrides={"output.writer": "pyarrow"})
    only(lines, "--set output.writer = 'pyarrow': is a writer of Parquet")
    config.load(overrides={"output.writer": "pyarrow", "output.format": "none"})


def test_a_number_too_long_to_be_printed_is_told():
    for name in ("run.duration_days", "run.seed", "run.sampling_seconds", "output.directory"):
        lines = faults(overrides={name: 10**5000})
        only(lines, f"--set {name} = a number of thousands of digits: must be")


def test_all_faults_of_all_sections_are_told_at_once(tmp_path):
    file = tmp_path / "bad.toml"
    file.write_text(
        "[run]\nsede = 7\n[outptu]\ndirectory = 'x'\n[select]\nlimit_batteries = true\n"
    )
    lines = faults(
        file,
        ["execution.workers=none", "fleet.catalogue=thialand"],
        {"--duration-days": "-1", "--sampling-seconds": "0.5", "--format": "csv"},
    )
    starts = [line.split(": must")[0].split(": no such")[0] for line in lines]
    assert starts == [
        "outptu = {'directory': 'x'}",
        "--set fleet.catalogue = 'thialand'",
        "--duration-days = -1",
        "--sampling-seconds = 0.5",
        "run.sede = 7",
        "--format = 'csv'",
        "select.limit_batteries = true",
        "--set execution.workers = 'none'",
    ]
    assert "did you mean output?" in lines[0]
    assert "did you mean thailand?" in lines[1]
    assert "did you mean seed?" in lines[4]


def test_faults_across_keys_are_told_beside_those_of_single_keys():
    lines = faults(
        flags={
            "--duration-days": "1",
            "--sampling-seconds": "86401",
            "--seed": "x",
            "--locations": "DC-XXX-01,DC-HDY-01",
            "--start-date": "2021-03-14",
            "--executor": "threads",
            "--scheduler": "tcp://a:1",
        },
        overrides={"output.directory": 5},
    )
    assert [line.split(" = ")[0] for line in lines] == [
        "--seed",
        "--set output.directory",
        "--sampling-seconds",
        "--scheduler",
        "--locations",
        "--start-date",
    ]
    assert "DC-HDY-01 went into service on 2021-03-15" in lines[-1]


def test_a_key_at_the_top_is_sent_to_its_section():
    only(faults(overrides=["seed=3"]), "--set seed = 3", "did you mean run.seed?")


def test_a_key_is_given_once():
    lines = faults(overrides=["run.seed=1"], flags={"--seed": "2"})
    only(lines, "--set run.seed = 1", "--seed", "keep one")
    only(faults(overrides=["run.seed=1", "run.seed=2"]), "keep one")


@pytest.mark.parametrize("text", ["x", "=3", "a b=3", "run..seed=1", ""])
def test_a_set_that_is_no_assignment_is_told(text):
    only(faults(overrides=[text]), "--set", "for example run.seed")


def test_a_section_that_is_no_table_is_told():
    only(faults(overrides=["run=5"], flags={}), "--set run = 5", "table of keys")
    only(faults(overrides={"fleet": [1]}), "--set fleet", "table of keys")


def test_an_unknown_flag_is_told():
    only(faults(flags={"--sampling-second": "5"}), "did you mean --sampling-seconds")


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("none.toml", None, "cannot be read (No such file"),
        ("run.json", b"{}", ".toml, .yaml or .yml"),
        ("run.toml", b"[run\n", "line 1"),
        ("run.toml", b"[run]\nseed = 1\nseed = 2\n", "line 3"),
        ("run.toml", b"\xff\xfe", "decode"),
        ("run.toml", b"a = " + b"[" * 100_000, "nested"),
        ("run.yaml", b"- 1\n- 2\n", "tables of keys"),
        ("run.yaml", b"a: [\n", "line"),
        ("run.yaml", b"run:\n  seed: 1\n  seed: 2\n", "line 3: key 'seed' is there twice"),
        ("run.yaml", b"run: {seed: !!bool 7}\n", "type of its tag"),
        ("run.yaml", b"run: {seed: !!python/object:os.system x}\n", "constructor"),
        ("run.yaml", b"\0", "unacceptable character"),
        ("run.yaml", b"7: 8\n", "no such section"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_by_name(tmp_path, name, content, part):
    if name.endswith("yaml"):
        pytest.importorskip("yaml")
    if content is not None:
        (tmp_path / name).write_bytes(content)
    lines = faults(tmp_path / name)
    only(lines, part)
    assert "no such section" in part or name in lines[0]


def test_a_file_that_cannot_be_used_does_not_hide_other_faults(tmp_path):
    assert len(faults(tmp_path / "none.toml", flags={"--seed": "x"})) == 2


def test_an_alias_bomb_in_yaml_is_refused_quickly(tmp_path):
    pytest.importorskip("yaml")
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    (tmp_path / "bomb.yaml").write_text("\n".join([*lines, "run: {seed: *a11}"]) + "\n")
    told = faults(tmp_path / "bomb.yaml")
    assert len(told) == 13
    assert max(map(len, told)) < 200


@pytest.mark.parametrize(
    ("flags", "part"),
    [
        ({"--executor": "local", "--scheduler": "tcp://a:1"}, "leave one of them out"),
        ({"--executor": "serial", "--scheduler-file": "a.json"}, "leave one of them out"),
        ({"--executor": "scheduler"}, "give --scheduler or --scheduler-file"),
        (
            {"--executor": "scheduler", "--scheduler": "a", "--scheduler-file": "b"},
            "keep one",
        ),
        ({"--executor": "scheduler", "--scheduler": "a", "--workers": 2}, "its own workers"),
        ({"--executor": "serial", "--workers": 2}, "one worker"),
        (
            {"--locations": "DC-CNX-01", "--strings": "DC-KKN-01-REC-01-S1"},
            "none of them is at the selected locations",
        ),
        ({"--locations": "DC-CNX-01", "--limit-batteries": 217}, "at most 216"),
    ],
)
def test_contradictions_are_told(flags, part):
    only(faults(flags=flags), part)


def test_a_given_scheduler_and_a_serial_run_are_accepted():
    config.load(flags={"--executor": "scheduler", "--scheduler": "tcp://a:1"})
    config.load(flags={"--scheduler": "tcp://a:1"})
    config.load(flags={"--executor": "scheduler", "--scheduler-file": "s.json"})
    config.load(flags={"--executor": "serial", "--workers": 1})


def test_only_selected_locations_must_be_in_service():
    early = {"--start-date": "2018-03-15"}
    config.load(flags=early | {"--limit-batteries": "216"})
    lines = faults(flags=early | {"--limit-batteries": "217"})
    only(lines, "--start-date = 2018-03-15", "DC-KKN-01 went into service on 2019-07-01")
    later = [line.split(": ")[1].split(" went")[0] for line in faults(flags=early)]
    assert later == [
        "DC-KKN-01",
        "DC-BKK-02",
        "DC-SRC-01",
        "DC-URT-01",
        "DC-PKT-01",
        "DC-HDY-01",
    ]


def test_a_wrong_limit_does_not_hide_an_early_start_nor_blame_later_locations():
    lines = faults(flags={"--start-date": "2018-03-14", "--limit-batteries": "0"})
    assert [line.split(": ")[0] for line in lines] == [
        "--limit-batteries = 0",
        "--start-date = 2018-03-14",
    ]
    assert "DC-CNX-01 went into service" in lines[1]


def test_no_run_starts_before_the_weather_does():
    early = {"--start-date": "2001-01-01", "--duration-days": "1"}
    fleet = small(commissioned=date(1950, 1, 1))
    grid = config.load(overrides={"fleet": fleet}, flags=early).grid()
    assert grid.first_day > rng.EPOCH_DAY


# --- bad fleets -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("location", "parts"),
    [
        ({"latitude": 90.1}, ["latitude = 90.1", "from -90 to 90"]),
        ({"longitude": -180.5}, ["longitude = -180.5", "from -180 to 180"]),
        ({"latitude": float("nan")}, ["latitude = nan"]),
        ({"latitude": "10"}, ["latitude = '10'"]),
        ({"name": "a\nb"}, ["name = 'a\\nb'", "printable"]),
        ({"generator": 1}, ["generator = 1", "true or false"]),
        ({"generater": True}, ["no such key", "did you mean generator?"]),
        ({"outages_per_year": -1.0}, ["outages_per_year = -1.0", "from 0"]),
        ({"climate": "bankok"}, ["no such climate station", "did you mean bangkok?"]),
        ({"climate": climate(mean_c=[25.0] * 11)}, ["climate.mean_c = [", "(11 values)", "twelve"]),
        ({"climate": climate(mean_c=[25.0] * 13)}, ["climate.mean_c = [", "(13 values)", "twelve"]),
        ({"climate": climate(mean_c=25.0)}, ["climate.mean_c = 25.0", "twelve"]),
        (
            {"climate": climate(mean_c=[25.0] * 11 + ["x"])},
            ["climate.mean_c.11 = 'x'", "twelve"],
        ),
        (
            {"climate": climate(mean_c=[25.0] * 11 + [31.0])},
            ["climate.mean_c.11 = 31.0", "between minimum_c and maximum_c"],
        ),
        (
            {"climate": climate(rainy_days=[31.0, 29.0, *[0.0] * 10])},
            ["climate.rainy_days.1 = 29.0", "28 days"],
        ),
        ({"commissioned": "2020-13-01"}, ["commissioned = '2020-13-01'", "YYYY-MM-DD"]),
        ({"systems": {}}, ["systems = {}", "at least one battery system"]),
        ({"systems": 5}, ["systems = 5", "table of keys"]),
    ],
)
def test_each_fault_of_a_location_is_told_by_its_path(location, parts):
    lines = fleet_faults(**location)
    only(lines, "--set fleet.locations.DC-X-01.", *parts)


def system(strings, jars=3, kind="UPS"):
    return {"kind": kind, "jars_per_string": jars, "strings": strings}


@pytest.mark.parametrize(
    ("systems", "parts"),
    [
        ({"U": system({"S1": "HX"})}, ["strings.S1 = 'HX'", "no such battery model", "HX12-120"]),
        ({"U": system({})}, ["strings = {}", "at least one string"]),
        ({"U": system({"S1": 5})}, ["strings.S1 = 5"]),
        ({"U": system({"S1": "HX12-120"}, jars=0)}, ["jars_per_string = 0", "from 1"]),
        ({"U": system({"S1": "HX12-120"}, jars=70)}, ["jars_per_string = 70", "at most 69"]),
        ({"U": system({"S1": "HX12-120"}, kind="USP")}, ["kind = 'USP'", "UPS"]),
        ({"U": system({"a/b": "HX12-120"})}, ["strings = 'a/b'", "rename"]),
        ({"..": system({"S1": "HX12-120"})}, ["systems = '..'", "rename"]),
        ({"U": system({"S" * 60: "HX12-120"})}, ["longer than 64"]),
        ({"U": system({"S1": "HX12-120", "s1": "HX12-120"})}, ["'DC-X-01-U-s1'", "letter case"]),
        (
            {"U": system({"V-1": "HX12-120"}), "U-V": system({"1": "HX12-120"})},
            ["'DC-X-01-U-V-1'", "is the id of"],
        ),
        ({"ENV-01": system({"S1": "HX12-120"})}, ["'DC-X-01-ENV-01'", "is the id of"]),
    ],
)
def test_each_fault_of_a_system_is_told_by_its_path(systems, parts):
    only(fleet_faults(systems=systems), "--set fleet.locations.DC-X-01", *parts)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "ö", "x" * 65, "a\nb", "a=b"])
def test_ids_are_safe_path_segments(name):
    fleet = small()
    fleet["locations"][name] = fleet["locations"].pop("DC-X-01")
    only(faults(overrides={"fleet": fleet}), "fleet.locations = ", "A-Z a-z 0-9 . _ -")


@pytest.mark.parametrize(
    ("key", "value", "part"),
    [
        ("nominal_voltage_v", 11.0, "must be 12 V"),
        ("nominal_voltage_v", 6.0, "must be 12 V"),
        ("float_max_v", 13.5, "above float_min_v, which is 13.5"),
        ("boost_max_v", 13.9, "above boost_min_v, which is 14.1"),
        ("temperature_critical_c", 45.0, "above temperature_warning_c"),
        ("boost_max_v", 20.5, "at most 20 V"),
        ("rated_capacity_ah", float("inf"), "1 to 10000 Ah"),
        ("cells", 6.0, "the whole number 6"),
        ("cells", 5, "the whole number 6"),
        ("cells", 7, "the whole number 6"),
    ],
)
def test_each_fault_of_a_model_is_told_by_its_path(key, value, part):
    model = tomllib.loads(CATALOGUE)["models"]["HX12-120"] | {key: value}
    fleet = small() | {"models": {"HX12-120": model}}
    only(faults(overrides={"fleet": fleet}), f"fleet.models.HX12-120.{key} = ", part)


def test_faults_of_one_location_do_not_hide_those_of_another():
    fleet = small(latitude=91.0)
    fleet["locations"]["DC-Y-01"] = small(climate="bankok", generator="no")["locations"]["DC-X-01"]
    lines = faults(overrides={"fleet": fleet}, flags={"--locations": "DC-X-01,DC-Z-01"})
    assert [line.split(" = ")[0].removeprefix("--set fleet.locations.") for line in lines] == [
        "DC-X-01.latitude",
        "DC-Y-01.generator",
        "DC-Y-01.climate",
        "--locations",
    ]
    assert "'DC-Z-01'" in lines[3]


def test_a_fleet_has_one_source(tmp_path):
    lines = faults(overrides={"fleet": small() | {"catalogue": "thailand"}})
    only(lines, "exclude each other")
    only(faults(overrides={"fleet.file": "x.toml", "fleet.catalogue": "thailand"}), "exclude")
    only(faults(overrides={"fleet": {"catalog": "thailand"}}), "did you mean catalogue?")
    only(faults(overrides={"fleet": {"time_zone": "Asia/Bangkok"}}), "locations is missing")


def test_faults_in_a_fleet_file_name_that_file(tmp_path):
    (tmp_path / "run.toml").write_text('fleet.file = "sub/fleet.toml"\n')
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "fleet.toml").write_text("[locations.A]\nlatitude = 99\n")
    lines = faults(tmp_path / "run.toml")
    assert lines[0].startswith(f"{tmp_path / 'sub' / 'fleet.toml'}: locations.A.name is missing")
    assert any("locations.A.latitude = 99: must be" in line for line in lines)
    (tmp_path / "sub" / "fleet.toml").unlink()
    only(faults(tmp_path / "run.toml"), "fleet.file", "No such file")


@pytest.mark.parametrize(
    ("zone", "hours", "part"),
    [
        ("Asia/Bangkok", 8.0, "its offset is 7 h"),
        ("Europe/Berlin", 1.0, "its offset is 1, 2 h"),
        ("Asia/Bankok", 7.0, "did you mean Asia/Bangkok"),
        ("../etc/passwd", 7.0, "no such time zone"),
        ("", 7.0, "no such time zone"),
        ("a\0b", 7.0, "no such time zone"),
    ],
)
def test_a_zone_must_keep_the_fleets_offset(zone, hours, part):
    fleet = small() | {"time_zone": zone, "utc_offset_hours": hours}
    only(faults(overrides={"fleet": fleet}), "fleet.time_zone", part)


def test_a_zone_of_half_hours_is_accepted():
    fleet = small() | {"time_zone": "Asia/Kolkata", "utc_offset_hours": 5.5}
    run = config.load(overrides={"fleet": fleet})
    assert run.to_fleet().utc_offset_s == run.grid().utc_offset_s == 19_800


# --- another fleet --------------------------------------------------------------------------------


def test_a_fleet_may_use_stations_and_models_of_the_catalogue_by_name():
    location = config.load(overrides={"fleet": small()}).to_fleet().sites[0].location
    assert location.climate.climate_id == "bangkok"
    assert location.climate.mean_c[3] == 30.8
    assert location.generator
    assert location.temperature_compensated


def test_a_location_may_carry_its_own_months():
    months = [20.0 + m / 10 for m in range(12)]
    fleet = small(climate=climate(mean_c=months))
    own = config.load(overrides={"fleet": fleet}).to_fleet().sites[0].location.climate
    assert own.climate_id == "DC-X-01"
    assert list(own.mean_c) == months


def test_a_checked_configuration_can_be_written_down_and_read_again(tmp_path):
    first = config.load(overrides={"fleet": small(climate=climate())})
    dump = first.model_dump(mode="json")
    again = config.load(overrides=dump)
    assert again == first
    assert again.digest() == first.digest()


def test_a_large_fleet_is_read():
    fleet = small()
    (location,) = fleet["locations"].values()
    location["systems"] = {
        f"UPS-{n:03d}": system({f"S{s}": "HX12-120" for s in range(1, 11)}, jars=24)
        for n in range(42)
    }
    fleet["locations"] = {f"DC-{n}": location for n in range(10)}
    run = config.load(overrides={"fleet": fleet})
    assert sum(len(ids) for ids in run.selected(run.to_fleet()).values()) == 100_800


# --- the scenario ---------------------------------------------------------------------------------

JAR, STRING, SENSOR = "DC-X-01-REC-01-S1-J02", "DC-X-01-UPS-01-S1", "DC-X-01-ENV-01"
START_S = 1_735_664_400  # 2024-12-31T17:00Z, by `date -u -d`

OUTAGE = {
    "kind": "outage",
    "target": "DC-X-01",
    "at": "2025-01-02T03:00:00",
    "duration_minutes": 90.0,
}
STUCK = {
    "kind": "sensor_fault",
    "value": "stuck",
    "target": JAR,
    "channel": "voltage_v",
    "at": "2025-01-02T03:00:00",
    "duration_days": 1.0,
}
DRY_OUT = {
    "kind": "failure_mode",
    "value": "dry_out",
    "target": JAR,
    "at": "2024-06-01T00:00:00",
    "duration_days": 400.0,
}
TEST = {
    "kind": "capacity_test",
    "target": STRING,
    "at": "2025-01-02T22:00:00",
    "duration_minutes": 360.0,
}
NEW_UNIT = {"kind": "replacement", "target": JAR, "at": "2025-01-02T10:00:00"}
FAILING = {"kind": "profile", "value": "failing", "target": JAR}
PROFILE = {"share": 1.0, "soh_per_year": 0.05, "resistance_per_year": 0.1}


def without(table, *names):
    return {key: value for key, value in table.items() if key not in names}


def injecting(*injections, **overrides):
    """Load a week of the small fleet with injections."""
    return config.load(overrides={"fleet": small(), "inject": list(injections)} | overrides)


def inject_faults(*injections, **overrides):
    return faults(overrides={"fleet": small(), "inject": list(injections)} | overrides)


def test_the_default_scenario_is_the_specs():
    assert config.load().to_scenario() == spec.DEFAULT_SCENARIO
    names = [*sections.ScenarioSection.model_fields, "injections"]
    assert sorted(names) == sorted(field.name for field in fields(spec.Scenario))
    assert ["name", *sections.ProfileTable.model_fields] == [f.name for f in fields(spec.Profile)]


def test_a_scenario_from_a_file_reaches_every_job(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text(
        """
[select]
limit_batteries = 1
[scenario]
hazard_scale = 3
sensor_errors = false
[scenario.profiles]
worn = { share = 0.25, soh_per_year = 0.1, resistance_per_year = 0.2 }
new = { share = 0.75, soh_per_year = 0.01, resistance_per_year = 0 }
[[inject]]
kind = "failure_mode"
value = "thermal_runaway"
target = "DC-KKN-01-UPS-01-S1"
at = 2024-12-01T00:00:00
duration_days = 45
[[inject]]
kind = "sensor_fault"
value = "communication_loss"
target = "DC-KKN-01-UPS-01-S1"
at = 2025-01-07T23:59:59
duration_minutes = 0.5
[[inject]]
kind = "profile"
value = "worn"
target = "DC-CNX-01-REC-01-S1-J24"
[[inject]]
kind = "outage"
target = "DC-CNX-01"
at = "2025-01-01 00:00"
duration_days = 0.25
"""
    )
    run = config.load(file)
    wanted = spec.Scenario(
        profiles=(spec.Profile("new", 0.75, 0.01, 0.0), spec.Profile("worn", 0.25, 0.1, 0.2)),
        hazard_scale=3.0,
        sensor_errors=False,
        sensor_faults=True,
        injections=(
            spec.Injection(
                "failure_mode",
                "DC-KKN-01-UPS-01-S1",
                START_S - 31 * 86_400,
                45 * 86_400,
                "thermal_runaway",
            ),
            spec.Injection("outage", "DC-CNX-01", START_S, 21_600),
            spec.Injection("profile", "DC-CNX-01-REC-01-S1-J24", START_S, 0, "worn"),
            spec.Injection(
                "sensor_fault",
                "DC-KKN-01-UPS-01-S1",
                START_S + 7 * 86_400 - 1,
                30,
                "communication_loss",
            ),
        ),
    )
    assert run.to_scenario() == wanted
    made = plan.make_plan(run, "unused")
    jobs = (*made.slow_paths, *made.parts)
    assert len(jobs) == 3
    assert all(job.run.scenario == wanted for job in jobs)
    assert made.run.plan_digest == run.digest() != config.load().digest()


def test_an_instant_is_local_time_of_the_fleet():
    fleet = small() | {"time_zone": "Asia/Kolkata", "utc_offset_hours": 5.5}
    (injection,) = (
        config.load(overrides={"fleet": fleet, "inject": [OUTAGE]}).to_scenario().injections
    )
    assert injection.start_s == 1_735_767_000  # 2025-01-01T21:30Z, by `date -u -d`


def test_a_scenario_written_another_way_is_the_same_plan():
    one = injecting(
        OUTAGE,
        STUCK,
        FAILING,
        **{
            "scenario.profiles": {
                "failing": PROFILE | {"share": 0.4},
                "b": PROFILE | {"share": 0.6},
            }
        },
    )
    other = injecting(
        FAILING | {"at": "2025-01-01 00:00"},
        without(STUCK, "duration_days") | {"duration_minutes": 1440, "channel": "voltage_v"},
        without(OUTAGE, "duration_minutes")
        | {"duration_days": 0.0625, "at": datetime(2025, 1, 2, 3)},  # noqa: DTZ001
        **{
            "scenario.profiles": {
                "b": PROFILE | {"share": 0.6},
                "failing": PROFILE | {"share": 0.4},
            },
            "scenario.hazard_scale": 1,
            "scenario.sensor_faults": True,
        },
    )
    assert other.to_scenario() == one.to_scenario()
    assert [profile.name for profile in one.to_scenario().profiles] == ["b", "failing"]
    assert other.identity() == one.identity()
    assert other.digest() == one.digest()


@pytest.mark.parametrize(
    "change",
    [
        {"scenario.hazard_scale": 2.0},
        {"scenario.sensor_errors": False},
        {"scenario.sensor_faults": False},
        {"scenario.profiles": {"healthy": PROFILE}},
        {"inject": [OUTAGE | {"duration_minutes": 91.0}, STUCK]},
        {"inject": [OUTAGE | {"at": "2025-01-02T03:00:01"}, STUCK]},
        {"inject": [OUTAGE, STUCK | {"value": "spike"}]},
        {"inject": [OUTAGE, STUCK | {"channel": "temperature_c"}]},
        {"inject": [OUTAGE, STUCK | {"target": "DC-X-01-REC-01-S1-J03"}]},
        {"inject": [OUTAGE | {"kind": "hvac_failure"}, STUCK]},
        {"inject": [OUTAGE]},
        {"inject": []},
    ],
)
def test_another_scenario_is_another_plan(change):
    assert injecting(OUTAGE, STUCK, **change).digest() != injecting(OUTAGE, STUCK).digest()


def test_a_scenario_can_be_written_down_and_read_again():
    first = injecting(
        OUTAGE, STUCK, DRY_OUT, FAILING, **{"scenario.profiles": {"failing": PROFILE}}
    )
    again = config.load(overrides=first.model_dump(mode="json"))
    assert again == first
    assert again.digest() == first.digest()
    assert json.loads(json.dumps(first.identity(), allow_nan=False)) == first.identity()
    assert first.injections()[1] == {
        "kind": "profile",
        "target": JAR,
        "at": "2025-01-01T00:00:00+07:00",
        "duration_seconds": 0,
        "value": "failing",
        "channel": "",
    }


@pytest.mark.parametrize(
    ("table", "parts"),
    [
        ({"hazard_scale": -0.1}, [".hazard_scale = -0.1", "from 0 to 100"]),
        ({"hazard_scale": 101}, [".hazard_scale = 101", "from 0 to 100"]),
        ({"hazard_scale": float("nan")}, [".hazard_scale = nan"]),
        ({"sensor_errors": 0}, [".sensor_errors = 0", "true or false"]),
        ({"sensor_fault": True}, ["no such key", "did you mean sensor_faults"]),
        ({"profiles": {}}, [".profiles = {}", "at least one", "leave it out"]),
        ({"profiles": [1]}, [".profiles = [1]", "table of keys"]),
        ({"profiles": {"a/b": PROFILE}}, [".profiles = 'a/b'", "rename"]),
        ({"profiles": {"a": without(PROFILE, "share")}}, ["a.share is missing", "from 0 to 1"]),
        ({"profiles": {"a": PROFILE | {"share": 1.1}}}, ["a.share = 1.1", "from 0 to 1"]),
        (
            {"profiles": {"a": PROFILE | {"soh_per_year": 0.0009}}},
            ["a.soh_per_year = 0.0009", "0.001 to 0.6"],
        ),
        (
            {"profiles": {"a": PROFILE | {"soh_per_year": 0.61}}},
            ["a.soh_per_year = 0.61", "0.001 to 0.6"],
        ),
        (
            {"profiles": {"a": PROFILE | {"resistance_per_year": 2.1}}},
            ["a.resistance_per_year = 2.1", "0 to 2"],
        ),
        (
            {"profiles": {"a": PROFILE | {"share": 0.5}, "b": PROFILE | {"share": 0.49}}},
            [".profiles = {", "'a': 0.5", "add up to 0.99;", "change one"],
        ),
        (
            {"profiles": {"a": PROFILE | {"share": 0.999999998}}},
            ["must add up to 1", "add up to 0.999999998"],
        ),
    ],
)
def test_each_fault_of_a_scenario_is_told_by_its_path(table, parts):
    only(faults(overrides={"scenario": table}), "--set scenario.", *parts)


def test_shares_may_be_rounded():
    third = {name: PROFILE | {"share": 0.3333333333} for name in "abc"}
    assert len(config.load(overrides={"scenario.profiles": third}).to_scenario().profiles) == 3


@pytest.mark.parametrize(
    ("injection", "parts"),
    [
        # what it is
        (without(OUTAGE, "kind"), [".kind is missing", "outage, hvac_failure"]),
        (OUTAGE | {"kind": "outtage"}, [".kind = 'outtage'", "did you mean outage?"]),
        (OUTAGE | {"knid": 1}, [".knid = 1", "did you mean kind?"]),
        (5, ["inject.0 = 5", "table of keys"]),
        # value
        (OUTAGE | {"value": "long"}, [".value = 'long'", "outage has none"]),
        (without(FAILING, "value"), [".value is missing", "healthy, accelerated, failing"]),
        (FAILING | {"value": "faling"}, [".value = 'faling'", "did you mean failing?"]),
        (DRY_OUT | {"value": "dryout"}, [".value = 'dryout'", "did you mean dry_out?"]),
        (DRY_OUT | {"value": 7}, [".value = 7", "as text"]),
        (STUCK | {"value": "stick"}, [".value = 'stick'", "did you mean stuck or spike?"]),
        (without(STUCK, "value"), [".value is missing", "dropout", "communication_loss"]),
        # target
        (without(OUTAGE, "target"), [".target is missing", "the id of a location"]),
        (OUTAGE | {"target": "DC-X-1"}, ["= 'DC-X-1'", "no such location", "mean DC-X-01?"]),
        (OUTAGE | {"target": STRING}, ["is a string, and outage is for a location"]),
        (FAILING | {"target": STRING}, ["is a string, and profile is for a jar", "S1-J01 to"]),
        (
            DRY_OUT | {"target": "DC-X-01-REC-01-S1-J04"},
            ["no such jar", "run from DC-X-01-REC-01-S1-J01 to DC-X-01-REC-01-S1-J03"],
        ),
        (
            DRY_OUT | {"target": "DC-X-01-UPS-1-S2-J01"},
            ["no such jar", "those of DC-X-01-UPS-01-S2 run from"],
        ),
        (
            DRY_OUT | {"value": "thermal_runaway"},
            ["is a jar, and thermal_runaway is for a string", "did you mean DC-X-01-REC-01-S1"],
        ),
        (
            STUCK | {"target": "DC-X-01-ENV-1"},
            ["no such jar or string or environmental sensor", "did you mean DC-X-01-ENV-01"],
        ),
        (STUCK | {"target": "DC-X-01"}, ["is a location, and stuck is for a jar or string or"]),
        (
            without(STUCK, "channel") | {"value": "loose_lead", "target": STRING},
            ["is a string, and loose_lead is for a jar"],
        ),
        (TEST | {"target": JAR}, ["is a jar, and capacity_test is for a string"]),
        # channel
        (OUTAGE | {"channel": "voltage_v"}, [".channel = 'voltage_v'", "outage", "leave it out"]),
        (DRY_OUT | {"channel": "voltage_v"}, ["failure_mode is not of one channel"]),
        (without(STUCK, "channel"), [".channel is missing", "stuck needs a measured column"]),
        (
            STUCK | {"value": "offset", "channel": "voltage_v"},
            ["the model knows offset only in temperature_c of a jar"],
        ),
        (STUCK | {"channel": "voltage"}, ["no such channel", "did you mean voltage_v?"]),
        (STUCK | {"channel": "soc_pct"}, ["no such channel", "known: voltage_v, temperature_c"]),
        (STUCK | {"channel": "conductance_s"}, ["no such channel", "resistance_mohm"]),
        (STUCK | {"target": STRING, "channel": "temperature_c"}, ["no such channel"]),
        (
            STUCK | {"target": STRING, "channel": "float_current_a"},
            [f"{STRING} has no such channel"],
        ),
        (STUCK | {"target": SENSOR, "channel": "humidity_pc"}, ["did you mean humidity_pct"]),
        (
            STUCK | {"value": "communication_loss", "target": STRING},
            ["communication_loss is not of one channel; leave it out"],
        ),
        (STUCK | {"value": "loose_lead"}, ["loose_lead is not of one channel; leave it out"]),
        # at
        (without(OUTAGE, "at"), [".at is missing", "outage needs", "2025-01-01T00:00:00"]),
        (without(DRY_OUT, "at"), [".at is missing", "failure_mode needs"]),
        (OUTAGE | {"at": "2025-01-02"}, [".at = '2025-01-02'", "YYYY-MM-DDTHH:MM:SS"]),
        (OUTAGE | {"at": date(2025, 1, 2)}, [".at = 2025-01-02:", "YYYY-MM-DDTHH:MM:SS"]),
        (OUTAGE | {"at": "2025-02-30T00:00:00"}, [".at = '2025-02-30T00:00:00'"]),
        (OUTAGE | {"at": "2025-01-02T03:00:00+07:00"}, ["without an offset"]),
        (
            OUTAGE | {"at": datetime(2025, 1, 2, 3, tzinfo=UTC)},
            [".at = 2025-01-02T03:00:00+00:00", "without an offset"],
        ),
        (
            OUTAGE | {"at": "2024-12-31T23:59:59"},
            ["not be before the start of the run, 2025-01-01T00:00:00"],
        ),
        (
            OUTAGE | {"at": "2025-01-08T00:00:00"},
            ["before the end of the run, 2025-01-08T00:00:00", "lengthen"],
        ),
        (STUCK | {"at": "2026-01-01T00:00:00"}, ["before the end of the run"]),
        (DRY_OUT | {"at": "2025-01-08T00:00:00"}, ["before the end of the run"]),
        (
            DRY_OUT | {"at": "2021-12-31T23:59:59", "duration_days": 2000},
            ["at most 3 years before the run, 2022-01-01T00:00:00"],
        ),
        (
            DRY_OUT | {"duration_days": 214},  # June to December
            ["over before the run starts at 2025-01-01T00:00:00", "replaced"],
        ),
        (FAILING | {"at": "2025-01-02T00:00:00"}, [".at = 2025-01-02T", "from the start"]),
        # duration
        (without(OUTAGE, "duration_minutes"), [".duration_minutes is missing", "duration_days"]),
        (OUTAGE | {"duration_days": 1.0}, [".duration_days = 1.0", "keep one"]),
        (OUTAGE | {"duration_minutes": 0}, [".duration_minutes = 0", "above 0"]),
        (OUTAGE | {"duration_minutes": 0.33}, ["= 0.33", "whole seconds"]),
        (STUCK | {"duration_days": -1.0}, [".duration_days = -1.0", "above 0"]),
        (STUCK | {"duration_days": 18_263}, ["at most 18262.5"]),
        (STUCK | {"duration_days": 1e308}, ["at most 18262.5"]),
        (OUTAGE | {"duration_minutes": 1e308}, ["at most 26298000"]),
        (FAILING | {"duration_days": 1.0}, ["holds to the end", "leave it out"]),
        (
            DRY_OUT | {"at": "2025-01-01T00:00:00", "duration_days": 0.5},
            [".duration_days = 0.5", "at least a day"],
        ),
        (without(TEST, "duration_minutes"), ["capacity_test needs it"]),
        (TEST | {"duration_minutes": 361.0}, ["= 361.0", "at most 6 hours"]),
        # replacements
        (NEW_UNIT | {"at": "2025-01-02T00:00:00"}, ["on the hour, from 01:00 to 23:00"]),
        (NEW_UNIT | {"at": "2025-01-02T10:00:01"}, ["on the hour"]),
        (NEW_UNIT | {"duration_minutes": 60.0}, ["takes an hour", "leave it out"]),
        (NEW_UNIT | {"target": STRING}, ["is a string, and replacement is for a jar"]),
        (NEW_UNIT | {"value": "failing"}, ["replacement has none"]),
    ],
)
def test_each_fault_of_an_injection_is_told_by_its_path(injection, parts):
    only(inject_faults(injection), "--set inject.0", *parts)


def test_injections_are_a_list_of_tables(tmp_path):
    only(faults(overrides={"inject": OUTAGE}), "--set inject = {", "each headed [[inject]]")
    only(faults(overrides={"injection": [OUTAGE]}), "injection = [", "did you mean inject or")
    file = tmp_path / "run.toml"
    file.write_text("[[inject]]\nkind = 'profile'\nvalue = 'failing'\ntarget = 'X'\n")
    only(faults(file), "inject.0.target = 'X': no such jar")
    (line, _) = faults(file, ["inject.kind=outage"])
    assert "--set inject.kind = 'outage': lies in a list" in line


def test_all_faults_of_all_injections_are_told_at_once():
    lines = inject_faults(
        OUTAGE | {"target": "DC-Y-01", "at": "2026-01-01T00:00:00", "value": "x"},
        FAILING,
        STUCK | {"value": "stick", "target": "DC-X-01", "duration_days": 0},
        5,
        without(DRY_OUT, "duration_days") | {"value": "rot", "target": "DC-X-01-REC-01-S1-J9"},
        **{"scenario.hazard_scale": "high", "run.seed": -1},
    )
    assert [line.removeprefix("--set ").split(" = ")[0].split(" is")[0] for line in lines] == [
        "run.seed",
        "scenario.hazard_scale",
        "inject.2.duration_days",
        "inject.3",
        "inject.0.value",
        "inject.0.target",
        "inject.0.at",
        "inject.2.value",
        "inject.2.target",
        "inject.4.value",
        "inject.4.target",
        "inject.4.duration_minutes",
    ]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (NEW_UNIT, NEW_UNIT | {"at": "2025-01-02T15:00:00"}),  # on one day
        (OUTAGE, without(OUTAGE, "duration_minutes") | {"duration_days": 0.0625}),
        (FAILING, FAILING | {"value": "healthy"}),
        (DRY_OUT, DRY_OUT | {"value": "corrosion"}),
    ],
)
def test_what_can_be_only_once_is_told(first, second):
    only(inject_faults(first, STUCK, second), "inject.2 = ", "inject.0 says the same", "keep one")


def test_injections_that_go_together_are_accepted():
    injecting(OUTAGE, OUTAGE | {"at": "2025-01-02T04:00:00"}, OUTAGE | {"kind": "hvac_failure"})
    injecting(STUCK, STUCK | {"value": "spike"}, STUCK | {"channel": "temperature_c"})
    injecting(DRY_OUT, FAILING, DRY_OUT | {"target": STRING, "value": "thermal_runaway"})
    injecting(TEST, TEST | {"at": "2025-01-04T22:00:00"}, OUTAGE)
    rectifier = {"target": "DC-X-01-REC-01-S1", "channel": "float_current_a"}
    injecting(STUCK | rectifier, **{"scenario.sensor_faults": False})
    injecting(DRY_OUT | {"at": "2022-01-01T00:00:00", "duration_days": 1096.01})


def test_a_profile_of_ones_own_can_be_injected():
    run = injecting(FAILING | {"value": "mine"}, **{"scenario.profiles": {"mine": PROFILE}})
    assert run.to_scenario().injections[0].value == "mine"
    only(inject_faults(FAILING, **{"scenario.profiles": {"mine": PROFILE}}), "known: mine")


# --- where laws and instruments end ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "key", "part"),
    [
        # 6 cells x 2.35 V and 2.27 V, by hand
        ({"boost_min_v": 14.2}, "boost_min_v = 14.2", "at most the chargers' set-point, 14.1 V"),
        ({"boost_min_v": 13.9, "boost_max_v": 14.05}, "boost_max_v = 14.05", "2.35 V/cell"),
        ({"float_min_v": 13.65}, "float_min_v = 13.65", "13.62 V (2.27 V/cell, EnerSys"),
        ({"float_min_v": 13.2, "float_max_v": 13.6}, "float_max_v = 13.6", "at least the chargers"),
        # 3.4 mOhm of 100 Ah are 0.1 mOhm, or 10,000 S, of 3,400 Ah
        ({"rated_capacity_ah": 3401.0}, "rated_capacity_ah = 3401.0", "at most 3400"),
    ],
)
def test_a_model_that_the_chargers_or_the_monitor_do_not_fit_is_told(change, key, part):
    model = tomllib.loads(CATALOGUE)["models"]["HX12-120"] | change
    fleet = small() | {"models": {"SPARE": model}}
    only(faults(overrides={"fleet": fleet}), f"fleet.models.SPARE.{key}", part)


def test_set_points_may_be_limits():
    model = tomllib.loads(CATALOGUE)["models"]["HX12-120"]
    model |= {"float_min_v": 13.62, "boost_min_v": 13.8, "boost_max_v": 14.1}
    config.load(overrides={"fleet": small() | {"models": {"HX12-120": model}}})


def of_capacity(rated_ah, **location):
    model = tomllib.loads(CATALOGUE)["models"]["HX12-120"] | {"rated_capacity_ah": rated_ah}
    return small(**location) | {"models": {"BIG": model}}


def test_a_load_that_no_monitor_shows_is_told():
    # By hand, a UPS at its fullest: 380 W/cell x 6 cells x 24 jars x 24 (of 2,400 Ah over 100 Ah)
    # = 1,313,280 W; x 0.65 / 0.95 x (1 + 0.05 + 4 x 0.01) = 979,430 W.
    systems = {"U": system({"S1": "BIG"}, jars=24)}
    fitting = of_capacity(2400.0, systems=systems)
    assert config.load(overrides={"fleet": fitting}).cautions() == ()
    lines = faults(overrides={"fleet": of_capacity(2460.0, systems=systems)})
    only(lines, "systems.U.strings.S1 = 'BIG'", "may reach 1,004 kW", "ends at 1,000 kW")
    # 3 jars: 380 x 6 x 3 x 31 x 0.65 / 0.95 x 1.09 = 158,140 W at 1.75 x 18 = 31.5 V: 5,020 A
    lines = faults(overrides={"fleet": of_capacity(3100.0, systems={"U": system({"S1": "BIG"})})})
    only(lines, "strings.S1 = 'BIG'", "may reach 5,020 A", "ends at 5,000 A")


def test_a_string_that_may_be_left_alone_with_the_load_is_a_caution():
    systems = {"U": system({"S1": "BIG", "S2": "BIG"}, jars=24)}
    (line,) = config.load(overrides={"fleet": of_capacity(1230.0, systems=systems)}).cautions()
    assert line.startswith("fleet.locations.DC-X-01.systems.U: a string that is left alone")
    assert "1,004 kW" in line
    assert config.load(overrides={"fleet": of_capacity(1200.0, systems=systems)}).cautions() == ()


def test_a_climate_beyond_the_sensors_is_told():
    cold = climate(minimum_c=[-21.0, *[20.0] * 11])
    only(fleet_faults(climate=cold), "climate.minimum_c.0 = -21.0", "within -20 to 60 degC")


def test_a_climate_whose_weather_may_leave_the_sensors_range_is_a_caution():
    def cautions(lowest_c, highest_c):
        table = climate(minimum_c=[lowest_c] * 12, maximum_c=[highest_c] * 12, warm_sigma_c=1.0)
        return config.load(overrides={"fleet": small(climate=table)}).cautions()

    assert cautions(-14.8, 54.8) == ()  # 4 x 1.3 K further
    (line,) = cautions(-15.0, 40.0)
    assert line.startswith("fleet.climates.DC-X-01: the weather may reach -20.2 to 45.2 degC")
    (line,) = cautions(10.0, 55.0)
    assert "60.2 degC" in line


def test_injections_that_stretch_a_law_are_cautions():
    runaway = DRY_OUT | {"value": "thermal_runaway", "target": STRING}
    flood = without(OUTAGE, "duration_minutes") | {"duration_days": 1.5}
    first, second = injecting(runaway, STUCK, flood).cautions()
    assert first.startswith(f"inject.0: {STRING} has temperature-compensated chargers")
    assert second.startswith("inject.2: an outage of 1.5 days")
    plain = {"fleet": small(temperature_compensated=False), "inject": [runaway, OUTAGE]}
    assert config.load(overrides=plain).cautions() == ()


def test_the_default_fleet_needs_no_caution():
    assert config.load().cautions() == ()


# --- selection and identity -----------------------------------------------------------------------


def ids(run):
    return [jar for jars in run.selected(run.to_fleet()).values() for jar in jars]


def test_the_limit_cuts_a_string_after_the_other_filters():
    all_ids = ids(config.load())
    assert ids(config.load(flags={"--limit-batteries": 30})) == all_ids[:30]
    assert all_ids[24] == "DC-CNX-01-REC-01-S2-J01"
    chosen = config.load(flags={"--locations": "DC-PKT-01,DC-KKN-01", "--limit-batteries": 220})
    assert ids(chosen)[0] == "DC-KKN-01-REC-01-S1-J01"  # in the order of the configuration
    assert ids(chosen)[-1] == "DC-PKT-01-REC-01-S1-J04"
    named = config.load(flags={"--strings": "DC-HDY-01-UPS-01-S3,DC-CNX-01-REC-01-S1"})
    assert list(named.selected(named.to_fleet())) == [
        "DC-CNX-01-REC-01-S1",
        "DC-HDY-01-UPS-01-S3",
    ]


def reordered(table):
    if isinstance(table, dict):
        return {key: reordered(table[key]) for key in reversed(table)}
    return table


def test_the_order_of_the_configuration_changes_no_id_and_no_bus():
    described = tomllib.loads(CATALOGUE)
    plain = config.load(overrides={"fleet": described})
    turned = config.load(overrides={"fleet": reordered(described)})
    assert sorted(ids(plain)) == sorted(ids(turned))
    assert ids(turned)[0] == "DC-HDY-01-UPS-01-S6-J01"
    sites = {site.location.location_id: site for site in plain.to_fleet().sites}
    assert {site.location.location_id: site for site in turned.to_fleet().sites} == sites
    assert turned.digest() == plain.digest()
    first = {"--limit-batteries": 24}
    cut = config.load(overrides={"fleet": reordered(described)}, flags=first)
    assert cut.digest() != config.load(overrides={"fleet": described}, flags=first).digest()


def test_strings_stand_in_order_of_their_number():
    fleet = small(systems={"U": system({f"S{n}": "HX12-120" for n in (10, 2, 1)})})
    (ups,) = config.load(overrides={"fleet": fleet}).to_fleet().sites[0].systems
    assert [string.string_id[-3:].lstrip("-") for string in ups.strings] == ["S1", "S2", "S10"]


def test_an_inline_fleet_equal_to_the_catalogues_is_the_same_plan(tmp_path):
    (tmp_path / "fleet.toml").write_text(CATALOGUE)
    plain = config.load()
    assert config.load(overrides={"fleet": tomllib.loads(CATALOGUE)}).digest() == plain.digest()
    from_file = config.load(overrides={"fleet.file": str(tmp_path / "fleet.toml")})
    assert from_file.identity() == plain.identity()


def test_models_and_stations_that_are_not_used_are_no_part_of_the_plan():
    described = small() | {"climates": {"spare": climate()}}
    described["models"] = {"SPARE": tomllib.loads(CATALOGUE)["models"]["HX12-120"]}
    plain = config.load(overrides={"fleet": small()})
    assert config.load(overrides={"fleet": described}).digest() == plain.digest()
    assert list(plain.identity()["fleet"]["climates"]) == ["bangkok"]


def test_identity_is_json_and_differs_in_what_changes_values_or_layout():
    plain = config.load().identity()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    same = {
        "--output-dir": "elsewhere",
        "--executor": "threads",
        "--workers": 3,
        "--limit-batteries": 1944,
        "--locations": ",".join(line.split()[0] for line in LOCATIONS.strip().splitlines()),
    }
    assert config.load(flags=same).digest() == config.load().digest()
    for flag, value in {
        "--sampling-seconds": 60,
        "--seed": 43,
        "--start-date": "2025-01-02",
        "--format": "none",
        "--writer": "pyarrow",
        "--locations": "DC-CNX-01",
        "--strings": "DC-CNX-01-REC-01-S1",
        "--limit-batteries": 30,
        "--block-days": 3,
    }.items():
        assert config.load(flags={flag: value}).digest() != config.load().digest(), flag


def test_a_longer_run_is_of_the_same_plan() -> None:
    longer = config.load(flags={"--duration-days": 8})
    assert longer.identity() == config.load().identity()
    assert longer.digest() == config.load().digest()


# --- fuzz: a configuration or a ConfigError, never another error ----------------------------------

JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([0, -1, 2**63, 10**4000, -(10**4000), 1e308, -0.0, 5e-324, 0.1, 1e-9]),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(["DC-X-01", "bangkok", "2025-01-01", "../x", "\udcff", "a\nb", "HX12-120"]),
    st.dates(),
    st.datetimes(),
    st.lists(st.one_of(st.floats(), st.text(max_size=3), st.none()), max_size=13),
    st.dictionaries(
        st.one_of(st.text(max_size=4), st.integers(), st.none()), st.integers(), max_size=3
    ),
    st.binary(max_size=4),
)


def whole():
    """Describe a run with every key that there is."""
    return {
        "run": {
            "duration_days": 2.0,
            "sampling_seconds": 60,
            "seed": 1,
            "start_date": date(2025, 1, 1),
        },
        "output": {"directory": "./o", "format": "none", "writer": "direct"},
        "select": {
            "locations": ["DC-X-01"],
            "strings": ["DC-X-01-REC-01-S1"],
            "limit_batteries": 2,
        },
        "execution": {
            "executor": "threads",
            "workers": 2,
            "scheduler": None,
            "scheduler_file": None,
            "block_days": 2,
        },
        "features": {"window_hours": 6},
        "scenario": {
            "hazard_scale": 2.0,
            "sensor_errors": False,
            "sensor_faults": False,
            "profiles": {"failing": dict(PROFILE)},
        },
        "inject": [dict(OUTAGE), dict(STUCK), dict(DRY_OUT), dict(FAILING)],
        "fleet": {
            "time_zone": "Asia/Bangkok",
            "utc_offset_hours": 7.0,
            "models": copy.deepcopy(tomllib.loads(CATALOGUE)["models"]),
            "climates": {"here": climate(warm_sigma_c=1.0, cool_sigma_c=2.0)},
            **small(climate=climate(), generator=True, temperature_compensated=True),
        },
    }


def paths(node, above=()):
    """List every key and item of nested tables and lists."""
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in items:
        yield (*above, key)
        if isinstance(value, dict | list):
            yield from paths(value, (*above, key))


def accepted_or_told(**arguments):
    try:
        run = config.load(**arguments)
    except ConfigError as error:
        lines = str(error).splitlines()
        assert lines
        assert all(line.strip() for line in lines)
        return
    fleet = run.to_fleet()
    assert run.grid().instants >= 1
    assert run.selected(fleet)
    assert len(run.to_scenario().injections) == len(run.injections()) == len(run.inject)
    assert all(run.cautions())
    assert json.loads(json.dumps(run.identity(), allow_nan=False)) == run.identity()


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(list(paths(whole()))), JUNK), min_size=1, max_size=3))
def test_fuzz_of_every_key(changes):
    described = whole()
    for path, value in changes:
        with contextlib.suppress(LookupError, TypeError):  # an earlier change took the way
            node = described
            for key in path[:-1]:
                node = node[key]
            node[path[-1]] = value
    accepted_or_told(overrides=described)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(list(config.FLAGS)), JUNK | st.text(), max_size=5))
def test_fuzz_of_flags(flags):
    accepted_or_told(flags=flags)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.text(max_size=30),
            st.builds(
                "{}={}".format,
                st.sampled_from([*config.FLAGS.values(), "fleet", "fleet.locations.A", 'a."b"']),
                st.text(max_size=12) | st.sampled_from(["[" * 5000, "{a=1}", "1 # x", "0x" + "f"]),
            ),
        ),
        max_size=3,
    )
)
def test_fuzz_of_sets(sets):
    accepted_or_told(overrides=sets)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([".toml", ".yaml"]),
    st.binary(max_size=60)
    | st.text(alphabet="run:seed=[]{}&*!#-\n \"'0129", max_size=60).map(str.encode),
)
def test_fuzz_of_files(tmp_path_factory, suffix, content):
    file = tmp_path_factory.getbasetemp() / f"fuzz{suffix}"
    file.write_bytes(content)
    accepted_or_told(file=file)


def test_midnights_follow_the_offset():
    grid = config.load().grid()
    assert grid.start_s == 1_735_664_400  # 2024-12-31T17:00Z, by `date -u -d`
    assert units.iso_instant(grid.start_s, grid.utc_offset_s) == "2025-01-01T00:00:00+07:00"
