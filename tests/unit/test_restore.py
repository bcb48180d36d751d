"""The way back from an identity to its configuration: exact, or told."""

import copy
import json
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetgen.config import RunConfig, from_identity, load, same_version
from fleetgen.errors import ConfigError
from tests import tiny

LENGTH_S = 86_400

DAYS = st.sampled_from([1.0, 2.0, 0.5, 1 / 86_400, 40.25, 18_262.5])
STRINGS = ("DC-T-01-REC-01-S1", "DC-T-01-UPS-01-S1", "DC-T-01-UPS-01-S2")
JARS = 2 + 3 + 3
SHARES = st.sampled_from([(1.0,), (0.25, 0.75), (0.1, 0.2, 0.7)])
INJECTIONS = (
    {"kind": "outage", "target": "DC-T-01", "at": "2025-01-01T00:00:00", "duration_minutes": 0.05},
    {"kind": "hvac_failure", "target": "DC-T-01", "at": "2025-01-01T00:00", "duration_days": 3.5},
    {"kind": "profile", "target": "DC-T-01-REC-01-S1-J01", "value": "p0"},
    {
        "kind": "failure_mode",
        "value": "dry_out",
        "target": "DC-T-01-UPS-01-S1-J02",
        "at": "2024-06-01T12:30:15",
        "duration_days": 400.0,
    },
    {
        "kind": "sensor_fault",
        "value": "stuck",
        "target": "DC-T-01-ENV-01",
        "channel": "humidity_pct",
        "at": "2025-01-01T00:00:00",
        "duration_minutes": 1 / 60,
    },
)


@st.composite
def configurations(draw: st.DrawFn) -> RunConfig:
    """Runs of small fleets, with all that an identity holds."""
    shares = draw(SHARES)
    profiles = {
        f"p{n}": {"share": share, "soh_per_year": 0.1 * (n + 1), "resistance_per_year": 0.1}
        for n, share in enumerate(shares)
    }
    overrides: dict[str, Any] = {
        "run__duration_days": draw(DAYS),
        "run__sampling_seconds": 1,
        "run__seed": draw(st.integers(0, 2**63 - 1)),
        "run__start_date": "2025-01-01",
        "output__format": draw(st.sampled_from(["parquet", "none"])),
        "output__writer": draw(st.sampled_from(["direct", "pyarrow"])),
        "execution__block_days": draw(st.none() | st.integers(1, 31)),
        "features__window_hours": draw(st.sampled_from([1, 2, 3, 4, 6, 8, 12, 24])),
        "scenario__hazard_scale": draw(st.floats(0, 100)),
        "scenario__sensor_errors": draw(st.booleans()),
        "scenario__sensor_faults": draw(st.booleans()),
        "scenario__profiles": profiles,
        "inject": draw(st.lists(st.sampled_from(INJECTIONS), unique_by=str)),
    }
    strings = draw(st.none() | st.lists(st.sampled_from(STRINGS), min_size=1, unique=True))
    if strings:
        overrides["select__strings"] = strings
    if draw(st.booleans()):
        overrides["select__locations"] = "DC-T-01"
    most = sum(2 if "REC" in name else 3 for name in strings or STRINGS)
    if draw(st.booleans()):
        overrides["select__limit_batteries"] = draw(st.integers(1, most))
    place = {
        "name": draw(st.sampled_from(["Test", "เชียงใหม่", "a,b", "'\"\\"])),
        "latitude": draw(st.floats(-90, 90)),
        "climate": draw(st.sampled_from(["hat-yai", "bangkok"])),
        "generator": draw(st.booleans()),
    }
    return tiny.config(tiny.TWO_SYSTEMS, place, **overrides)


@settings(max_examples=150, deadline=None)
@given(configurations(), st.booleans())
def test_an_identity_comes_back_as_it_was(config: RunConfig, through_json: bool) -> None:
    identity = config.identity()
    if through_json:
        identity = json.loads(json.dumps(identity))
    again = from_identity(identity, config.run.duration_s)
    assert again.identity() == config.identity()
    assert again.digest() == config.digest()
    assert again.grid() == config.grid()
    assert again.to_scenario() == config.to_scenario()
    assert again.to_fleet() == config.to_fleet()
    fleet = config.to_fleet()
    assert list(again.selected(fleet).items()) == list(config.selected(fleet).items())


@pytest.mark.parametrize(
    "flags",
    [
        {},
        {"--limit-batteries": 30},
        {"--locations": "DC-PKT-01,DC-KKN-01", "--limit-batteries": 220},
        {"--strings": "DC-HDY-01-UPS-01-S3,DC-CNX-01-REC-01-S1"},
        {"--duration-days": 90, "--sampling-seconds": 5, "--start-date": "2024-02-29"},
    ],
)
def test_the_default_fleet_comes_back_in_its_order(flags: dict[str, object]) -> None:
    config = load(flags=flags)
    again = from_identity(json.loads(json.dumps(config.identity())), config.run.duration_s)
    assert again.fleet == config.fleet
    assert list(again.fleet.locations) == list(config.fleet.locations)
    assert again.identity() == config.identity()


def test_a_zone_of_half_hours_and_one_of_the_west_come_back() -> None:
    for zone, hours in (("Asia/Kolkata", 5.5), ("Etc/GMT+3", -3.0)):
        config = load(
            overrides={
                "fleet": tiny.config().fleet.model_dump()
                | {"time_zone": zone, "utc_offset_hours": hours},
                "inject": [dict(INJECTIONS[0])],
            }
        )
        assert from_identity(config.identity(), LENGTH_S).identity() == config.identity()


def test_where_and_on_what_may_be_given_beside_it() -> None:
    identity = tiny.config().identity()
    flags = {"output_dir": "elsewhere", "workers": "3", "executor": "threads"}
    again = from_identity(identity, LENGTH_S, flags)
    assert again.output.directory == "elsewhere"
    assert (again.execution.workers, again.execution.executor) == (3, "threads")
    assert again.identity() == identity
    longer = from_identity(identity, flags={"--duration-days": "5"})
    assert longer.run.duration_s == 5 * 86_400
    longer = from_identity(identity, overrides=["run.duration_days=5"])
    assert longer.run.duration_s == 5 * 86_400


@pytest.mark.parametrize(
    ("flags", "overrides", "told"),
    [
        ({"seed": "7"}, [], ["--seed = 7", "the plan is that of here"]),
        ({"--sampling-seconds": 60}, [], ["--sampling-seconds = 60"]),
        ({"strings": "A"}, [], ["--strings = 'A'"]),
        ({"format": "none"}, [], ["--format = 'none'"]),
        ({}, ["fleet.catalogue=thailand"], ["--set fleet.catalogue", "the plan is that of here"]),
        ({}, ["inject=[]"], ["--set inject", "the plan is that of here"]),
        ({}, ["scenario.hazard_scale=2"], ["--set scenario.hazard_scale"]),
        ({"workers": "many"}, [], ["--workers = 'many'"]),
        ({"duration_days": "-1"}, [], ["--duration-days = -1"]),
    ],
)
def test_what_changes_the_plan_is_refused_beside_it(
    flags: dict[str, object], overrides: list[str], told: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        from_identity(tiny.config().identity(), LENGTH_S, flags, overrides, "here")
    (line,) = str(caught.value).splitlines()
    for words in told:
        assert words in line


def test_without_a_duration_one_must_be_given() -> None:
    identity = tiny.config().identity()
    with pytest.raises(ConfigError, match=r"here does not say how long .* --duration-days"):
        from_identity(identity, source="here")


# --- hostile --------------------------------------------------------------------------------------


def changed(*path: str | int, value: object) -> dict[str, Any]:
    identity: Any = copy.deepcopy(
        tiny.config(tiny.TWO_SYSTEMS, inject=[dict(each) for each in INJECTIONS[:2]]).identity()
    )
    node = identity
    for key in path[:-1]:
        node = node[key]
    if value is KeyError:
        del node[path[-1]]
    else:
        node[path[-1]] = value
    return identity


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (["run"], 7, "here: run = 7: must be a table"),
        (["run", "seed"], -1, "here: run.seed = -1"),
        (["run", "seed"], KeyError, "here: run.seed is missing"),
        (["run", "start_date"], "2025-02-30", "here: run.start_date = '2025-02-30'"),
        (["run", "colour"], "blue", "here: run.colour = 'blue': it means nothing"),
        (["colour"], "blue", "here: colour = 'blue': it means nothing"),
        (["output", "directory"], "/etc", "here: output.directory = '/etc': it means nothing"),
        (["output", "format"], "orc", "here: output.format = 'orc'"),
        (["execution", "executor"], "local", "here: execution.executor"),
        (["select", "strings"], {"../x": 2}, "here: select.strings = '../x': no such string"),
        (["select", "strings"], {}, "here: select.strings = []"),
        (["select", "strings"], ["A"], "here: select.strings = "),
        (["select", "batteries"], 99, "here: select.limit_batteries = 99: must be at most 8"),
        (["select", "batteries"], 7, "here: select.strings.DC-T-01-UPS-01-S2 = 3: it"),
        (["select", "strings", "DC-T-01-REC-01-S1"], 1, "here: select.strings.DC-T-01-REC-01-S1"),
        (["scenario"], [], "here: scenario = []: must be a table"),
        (["scenario", "injections"], 3, "here: inject = 3: must be a list"),
        (["scenario", "injections", 0], "x", "here: inject.0 = 'x': must be a table"),
        (["scenario", "injections", 0, "at"], "soon", "here: inject.0.at = 'soon'"),
        (
            ["scenario", "injections", 0, "at"],
            "2025-01-01T00:00:00+09:00",
            "here: scenario.injections = ",
        ),
        (["scenario", "injections", 0, "duration_seconds"], 10**400, "here: inject.0.duration_m"),
        (["scenario", "injections", 0, "target"], "../..", "here: inject.0.target = '../..'"),
        (["fleet"], {"file": "/etc/hosts"}, "here: fleet.file = '/etc/hosts': no such key"),
        (["fleet", "file"], "/etc/hosts", "here: fleet.file = '/etc/hosts': no such key"),
        (["fleet"], {"catalogue": "thailand"}, "here: fleet.catalogue = 'thailand'"),
        (["fleet", "locations"], {}, "here: fleet.locations"),
        (["fleet", "locations", "../x"], {}, "here: fleet.locations = '../x': must be 1 to 64"),
        (["fleet", "utc_offset_hours"], 7, "here: fleet.utc_offset_hours = 7: it comes out as 7.0"),
        (["fleet", "time_zone"], "../../etc/hosts", "here: fleet.time_zone"),
        (["fleet", "models", "SPARE"], {}, "here: fleet.models.SPARE.manufacturer is missing"),
    ],
)
def test_a_damaged_identity_is_told(path: list[str | int], value: object, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_identity(changed(*path, value=value), LENGTH_S, source="here")
    assert told in str(caught.value)
    assert all(line.strip() for line in str(caught.value).splitlines())


JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | st.sampled_from(["../x", "/etc/hosts", "s3://x", "CON", "\0", "‮", "ก", "." * 300]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


def paths(node: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = []
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        found.append((*above, key))
        if isinstance(value, dict | list):
            found += paths(value, (*above, key))
    return found


WHOLE = changed("version", "data", value=2)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(paths(WHOLE)), JUNK)
def test_any_damage_is_told_or_is_none(path: tuple[Any, ...], value: object) -> None:
    identity = changed(*path, value=value)
    try:
        again = from_identity(identity, LENGTH_S, source="here")
    except ConfigError:
        return
    rest = {name: part for name, part in identity.items() if name != "version"}
    assert {name: part for name, part in again.identity().items() if name != "version"} == rest


def test_the_version_is_looked_at_apart() -> None:
    config = load(flags={"start_date": date(2025, 1, 1)})
    assert same_version(config.identity())
    old = config.identity() | {"version": {"data": 1, "schema": 1}}
    assert not same_version(old)
    assert from_identity(old, LENGTH_S).digest() == config.digest()
    assert not same_version({})
    assert not same_version({"version": "x"})
