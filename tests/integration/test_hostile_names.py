"""Names that lead out of a data set, in configurations and in its own files: no verb follows them.

Beside each data set lies a directory that nobody may touch; every test looks whether it is as it
was, and whether anything new lies around.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleetgen.cli import main
from fleetgen.config import RunConfig, load
from fleetgen.errors import ConfigError, StorageError
from fleetgen.io.store import is_key, open_store
from fleetgen.pipeline import generate
from tests import tiny
from tests.integration.test_verify import MANIFEST, PART, RECEIPT, RUN, edit, forged, tree

NAMES = {
    "parent": "../outside/precious.parquet",
    "far parent": "telemetry_jar_raw/../../outside/precious.parquet",
    "absolute": "{outside}/precious.parquet",
    "file scheme": "file://{outside}/precious.parquet",
    "other scheme": "s3://bucket/key.parquet",
    "chained": "simplecache::s3://bucket/key",
    "Thai": "telemetry_jar_raw/กรุงเทพ.parquet",
    "right to left": "telemetry_jar_raw/‮parquet.exe",
    "NUL": "telemetry_jar_raw/a\0b.parquet",
    "line break": "telemetry_jar_raw/a\nb.parquet",
    "long": "telemetry_jar_raw/" + "a" * 300,
    "longer": "/".join(["a" * 200] * 30),
    "leading point": "telemetry_jar_raw/.parquet",
    "home": "~/precious.parquet",
    "backslash": "..\\outside\\precious.parquet",
    "empty": "",
    "empty part": "telemetry_jar_raw//a.parquet",
    "lone surrogate": "telemetry_jar_raw/\ud800",
}
"""Paths of a file that are no keys."""

KEYS = {
    "device": "CON",
    "a link out": "link/precious.parquet",
    "control": RUN,
    "marker": "_SUCCESS",
}
"""Keys, but no part's."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("hostile") / "set"
    return tiny.generate(place, tiny.TWO_SYSTEMS, execution__block_days=1)


@pytest.fixture
def outside(made: Path, tmp_path: Path) -> Iterator[Path]:
    """What lies beside the data set, and is the same after the test."""
    outside = tmp_path / "outside"
    outside.mkdir()
    shutil.copy(made / PART, outside / "precious.parquet")
    shutil.copytree(made, outside / "copy")
    before = tree(outside)
    yield outside
    assert tree(outside) == before
    assert {path.name for path in tmp_path.iterdir()} <= {"outside", "set", "again", "run.yaml"}


@pytest.fixture
def place(made: Path, tmp_path: Path, outside: Path) -> Path:
    place = Path(shutil.copytree(made, tmp_path / "set"))
    (place / "link").symlink_to(outside)
    return place


Say = Callable[..., tuple[int, str]]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """Run a command; gives its exit code and all that it tells, of which nothing is a traceback."""

    def say(verb: str, *arguments: str | Path) -> tuple[int, str]:
        quiet = [] if verb == "clean" else ["--progress", "none"]
        code = main([verb, *map(str, arguments), *quiet])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        assert "bug of fleetgen" not in err
        return code, out + err

    return say


# --- control files --------------------------------------------------------------------------------


def spelled(name: str, outside: Path) -> str:
    return name.format(outside=outside) if "{outside}" in name else name


@pytest.mark.parametrize("name", [*NAMES.values(), *KEYS.values()], ids=[*NAMES, *KEYS])
def test_a_receipt_that_names_what_is_not_its_own(
    made: Path, place: Path, outside: Path, say: Say, name: str
) -> None:
    path = spelled(name, outside)
    edit(place / RECEIPT, lambda d: d["files"][0].update(path=path))
    shutil.copytree(place, place.with_name("again"), symlinks=True)
    code, told = say("verify", place, "--values", "all")
    assert code == 1
    assert f"{RECEIPT}: " in told
    assert ("is no path of a file" in told) == (not is_key(path))
    assert ("which is not of its part" in told) == is_key(path)
    assert say("clean", place)[0] == 0
    assert say("verify", place, "--repair")[0] == 0
    (place / "link").unlink()
    assert tree(place) == tree(made)
    assert say("clean", place.with_name("again"), "--all")[0] == 0
    assert os.listdir(place.with_name("again")) == ["link"]


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_an_unfinished_set_with_such_a_receipt_is_not_ended(
    place: Path, outside: Path, say: Say, name: str
) -> None:
    edit(place / RECEIPT, lambda d: d["files"][0].update(path=spelled(name, outside)))
    (place / "_SUCCESS").unlink()
    code, told = say("generate", "--from", place, "--output-dir", place)
    assert code == 3
    assert "is no path of a file. Delete this file" in told


@pytest.mark.parametrize("name", [*NAMES.values(), *KEYS.values()], ids=[*NAMES, *KEYS])
def test_a_manifest_that_names_what_is_not_its_own(
    made: Path, place: Path, outside: Path, say: Say, name: str
) -> None:
    path = spelled(name, outside)
    edit(place / MANIFEST, lambda d: d["files"][0].update(path=path))
    code, told = say("verify", place, "--values", "all")
    assert code == 1
    assert f"{MANIFEST}: " in told
    assert ("is no path of a file" in told) == (not is_key(path))
    assert ("which is no file of the plan" in told) == is_key(path)
    before = tree(place)
    assert say("clean", place) == (0, "nothing to remove\n")
    assert tree(place) == before
    again = place.with_name("again")
    code, told = say("generate", "--from", place / MANIFEST, "--output-dir", again)
    assert code == (0 if is_key(path) else 3)
    assert again.exists() == is_key(path)
    assert say("verify", place, "--repair")[0] == 0
    (place / "link").unlink()
    assert tree(place) == tree(made)


IDENTITIES: dict[str, Callable[[Any, Path], object]] = {
    "location": lambda i, o: i["fleet"]["locations"].update(
        {"../../outside": i["fleet"]["locations"].pop("DC-T-01")}
    ),
    "absolute location": lambda i, o: i["fleet"]["locations"].update(
        {f"{o}": i["fleet"]["locations"].pop("DC-T-01")}
    ),
    "system": lambda i, o: i["fleet"]["locations"]["DC-T-01"]["systems"].update(
        {"/..": i["fleet"]["locations"]["DC-T-01"]["systems"].pop("REC-01")}
    ),
    "string": lambda i, o: i["fleet"]["locations"]["DC-T-01"]["systems"]["REC-01"].update(
        strings={"../S1": "GPL12-100"}
    ),
    "model": lambda i, o: i["fleet"]["models"].update({"../m": i["fleet"]["models"]["GPL12-100"]}),
    "fleet file": lambda i, o: i.update(fleet={"file": f"{o}/fleet.toml"}),
    "selection": lambda i, o: i["select"].update(strings={"../S1": 8}),
    "directory": lambda i, o: i["output"].update(directory=f"{o}"),
    "zone": lambda i, o: i["fleet"].update(time_zone=f"../../../..{o}/precious.parquet"),
    "scheduler file": lambda i, o: i["execution"].update(scheduler_file=f"{o}/precious.parquet"),
}


@pytest.mark.parametrize("change", IDENTITIES.values(), ids=IDENTITIES)
def test_a_plan_that_leads_out(
    place: Path, outside: Path, say: Say, change: Callable[[Any, Path], object]
) -> None:
    forged(place, lambda identity: change(identity, outside))
    before = tree(place)
    for arguments in (["verify", place], ["verify", place, "--repair"], ["clean", place]):
        code, told = say(*arguments)
        assert code == 3
        assert f"{RUN} cannot be used:" in told
    for source in (place, place / RUN):
        code, told = say("generate", "--from", source, "--output-dir", place.with_name("again"))
        assert code == 2
        assert f"{RUN}: " in told
    assert tree(place) == before
    assert say("clean", place, "--all")[0] == 0
    assert os.listdir(place) == ["link"]


@pytest.mark.parametrize(
    "source",
    ["", "\0", "a\0.json", "../absent.json", "s3://b/run.json", "x::y/run.json", "/dev/zero"],
)
def test_from_takes_a_plan_alone(place: Path, say: Say, source: str) -> None:
    code, told = say("generate", "--from", source, "--output-dir", place.with_name("again"))
    assert code == (2 if not source or "\0" in source else 3)
    assert len(told.splitlines()) == 1


# --- links ----------------------------------------------------------------------------------------


def linked(place: Path, outside: Path, name: str) -> None:
    """Put a link to a true copy outside in the place of a directory."""
    shutil.rmtree(place / name)
    (place / name).symlink_to(outside / "copy" / name)


@pytest.mark.parametrize(
    "name",
    [
        "telemetry_jar_raw",
        "telemetry_jar_raw/location=DC-T-01",
        "telemetry_jar_raw/location=DC-T-01/string=DC-T-01-UPS-01-S1/month=2025-01",
    ],
)
def test_a_table_that_lies_behind_a_link_out(
    place: Path, outside: Path, say: Say, name: str
) -> None:
    linked(place, outside, name)
    code, told = say("verify", place, "--values", "all")
    assert code == 1
    assert f"{PART}: is missing" in told
    assert f"{name}: is not of this data set, and readers would take it in" in told
    code, told = say("verify", place, "--repair")
    assert code == 3
    assert "a link leads out of " in told
    assert "remove the link" in told
    assert say("clean", place)[0] == 0
    assert say("clean", place, "--all")[0] == 0
    assert (place / name).is_symlink()


@pytest.mark.parametrize("name", ["_fleetgen", "_fleetgen/receipts"])
def test_control_files_that_lie_behind_a_link_out(
    place: Path, outside: Path, say: Say, name: str
) -> None:
    linked(place, outside, name)
    code, told = say("verify", place)
    assert code == (3 if name == "_fleetgen" else 1)
    assert (
        "a link leads out of " in told or "receipts/DC-T-01-UPS-01-S1-2025-01-02-1.json: " in told
    )
    assert say("verify", place, "--repair")[0] == 3
    (place / "_SUCCESS").unlink(missing_ok=True)
    keys = {"fleet": tiny.config(tiny.TWO_SYSTEMS).fleet.model_dump(mode="json")}
    sets = ["run.start_date=2025-01-01", "run.duration_days=2", "execution.block_days=1"]
    sets.append(f"fleet={toml(keys['fleet'])}")
    more = [f"--set={each}" for each in sets]
    assert say("generate", "--output-dir", place, "--executor", "serial", *more)[0] == 3
    assert say("clean", place, "--all")[0] == (3 if name == "_fleetgen" else 0)


def toml(value: Any) -> str:
    """JSON as an inline value of TOML."""
    if isinstance(value, dict):
        inner = ", ".join(f"{json.dumps(k)} = {toml(v)}" for k, v in value.items())
        return f"{{{inner}}}"
    return f"[{', '.join(map(toml, value))}]" if isinstance(value, list) else json.dumps(value)


def test_a_store_goes_through_no_link_out(tmp_path: Path) -> None:
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.mkdir()
    (outside / "file").write_text("precious")
    store = open_store(str(root))
    store.put("a/b", b"mine")
    (root / "dir").symlink_to(outside)
    (root / "file").symlink_to(outside / "file")
    (root / "dangling").symlink_to(tmp_path / "nowhere")
    (root / "inside").symlink_to(root / "a")
    for key in ("dir/file", "dir/new", "dir/more/new", "dangling/new"):
        for act in (
            lambda key=key: store.put(key, b"x"),
            lambda key=key: store.put_if_absent(key, b"x"),
            lambda key=key: store.get(key),
            lambda key=key: store.delete([key]),
        ):
            with pytest.raises(StorageError, match=r"a link leads out of .*; remove the link"):
                act()
        assert not store.exists(key)
    with pytest.raises(StorageError, match="a link leads out"):
        store.get("file")
    assert not store.exists("file")
    assert store.names() == ["a/b", "dangling", "dir", "file", "inside"]
    assert store.names("dir") == ["dir"]
    assert store.get("inside/b") == b"mine"  # a link within is no way out
    store.put("file", b"mine now")
    assert store.get("file") == b"mine now"
    (root / "file").unlink()
    (root / "file").symlink_to(outside / "file")
    store.delete(["file", "dir"])
    assert sorted(os.listdir(root)) == ["a", "dangling", "inside"]
    assert tree(outside) == {"file": hashlib.sha256(b"precious").hexdigest()}
    assert not (tmp_path / "nowhere").exists()


def test_the_root_may_be_a_link(made: Path, tmp_path: Path, say: Say) -> None:
    shutil.copytree(made, tmp_path / "far")
    (tmp_path / "set").symlink_to(tmp_path / "far")
    assert say("verify", tmp_path / "set", "--values", "all")[0] == 0
    assert say("clean", tmp_path / "set", "--all")[0] == 0
    assert tree(tmp_path / "far") == {}


# --- configurations -------------------------------------------------------------------------------

HOSTILE = (
    *(
        "..",
        ".",
        "../x",
        "/etc",
        "a/b",
        "a\\b",
        "s3://x",
        "a::b",
        "~",
        "",
        " ",
        "a b",
        "a\0b",
        "a\nb",
    ),
    *("เชียงใหม่", "‮abc", "é", "Å", "😀", "a" * 65, "a" * 300, ".hidden", "-", "_", "%2e%2e"),
    *("CON", "con.txt", "NUL", "a=b", "$HOME", "`id`", "{}", "*", "...", "..a", "a.."),
)


def named(directory: Path, location: str, system: str, string: str, model: str) -> RunConfig:
    """One sample of one jar, of these names."""
    plain = tiny.config()
    models = {model: plain.fleet.models["HX12-120"].model_dump()}
    table = plain.fleet.locations[tiny.LOCATION].model_dump() | {
        "systems": {system: {"kind": "UPS", "jars_per_string": 1, "strings": {string: model}}}
    }
    return load(
        overrides={
            "fleet": {"models": models, "locations": {location: table}},
            "run.duration_days": 1 / 86_400,
            "run.sampling_seconds": 1,
            "output.directory": str(directory),
            "execution.executor": "serial",
        }
    )


NAME = (
    st.sampled_from(HOSTILE)
    | st.text(max_size=10)
    | st.text(alphabet="ab.-_AB1", min_size=1, max_size=10)
    | st.just("S1")
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(NAME, NAME, NAME, NAME)
def test_every_path_is_below_the_root_or_the_name_is_refused(
    tmp_path: Path, location: str, system: str, string: str, model: str
) -> None:
    try:
        config = named(tmp_path / "set", location, system, string, model)
    except ConfigError:
        assert list(tmp_path.iterdir()) == []
        return
    generate(config)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    there = [path.relative_to(tmp_path / "set").as_posix() for path in tree_of(tmp_path / "set")]
    assert all(map(is_key, there))
    made = [path for path in there if not path.startswith("alert_condition/")]  # at most one
    # control files and times, receipts, parts without features, the top
    assert len(made) == 5 + 2 + 6 + 19
    assert len(there) - len(made) <= 1
    assert main(["verify", str(tmp_path / "set"), "--progress", "none", "--values", "all"]) == 0
    assert main(["clean", str(tmp_path / "set"), "--all"]) == 0
    assert tree_of(tmp_path / "set") == []
    (tmp_path / "set").rmdir()


def tree_of(place: Path) -> list[Path]:
    return [path for path in place.rglob("*") if not path.is_dir()]


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("where", [0, 1, 2, 3])
def test_each_hostile_name_is_told_with_the_way_out(tmp_path: Path, name: str, where: int) -> None:
    names = ["DC-T-01", "UPS-01", "S1", "HX12-120"]
    names[where] = name
    harmless = {"-", "_", "CON", "con.txt", "NUL", "a.."}
    if name in harmless:
        assert named(tmp_path / "set", *names).run.sampling_seconds == 1
        return
    with pytest.raises(ConfigError) as caught:
        named(tmp_path / "set", *names)
    assert "must be 1 to 64 of A-Z a-z 0-9 . _ -" in str(caught.value)
    assert "rename it" in str(caught.value)
