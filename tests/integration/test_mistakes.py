"""Mistakes of a new user: each answer says what, where and the way out, and is no traceback."""

import shutil
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

import fleetgen
from fleetgen import cli
from fleetgen.cli import main
from fleetgen.errors import FleetgenError, StorageError
from fleetgen.io import s3_faults
from tests.properties.plan import ROOT

USAGE, STORAGE, CLUSTER = 2, 3, 5
SMALL = ("generate", "--progress", "none", "--executor", "serial", "--limit-batteries", "1")
NOWHERE = "http://127.0.0.1:9"  # the port of nobody

Mistake = tuple[str, list[str], int, list[str]]

MISTAKES: list[Mistake] = [
    # the command line
    (
        "a word too many",
        ["report", "output/test", "output/other"],
        USAGE,
        ["'output/other'", "fleetgen report takes URL and flags"],
    ),
    (
        "a word without its flag",
        ["generate", "output/test"],
        USAGE,
        ["'output/test'", "takes flags alone", "--output-dir"],
    ),
    ("a word for doctor", ["doctor", "here"], USAGE, ["'here'", "fleetgen doctor takes flags"]),
    ("a login that stands alone", ["doctor", "s3://me:word@x/y"], USAGE, ["(not shown)"]),
    ("no verb", [], USAGE, ["VERB", "fleetgen --help"]),
    ("a verb mistyped", ["genrate"], USAGE, ["'genrate'", "did you mean generate?"]),
    ("a verb of a verb", ["config", "chek"], USAGE, ["'chek'", "did you mean check?"]),
    (
        "a flag mistyped",
        ["generate", "--duration-day", "3"],
        USAGE,
        ["--duration-day;", "did you mean --duration-days?"],
    ),
    (
        "a flag cut short",
        ["generate", "--sampling", "5"],
        USAGE,
        ["did you mean --sampling-seconds?"],
    ),
    (
        "a flag of another verb",
        ["verify", "SET", "--seed", "7"],
        USAGE,
        ["--seed", "fleetgen verify --help"],
    ),
    (
        "a value without its flag",
        ["generate", "DC-PKT-01"],
        USAGE,
        ["without its flag", "--locations", "--output-dir"],
    ),
    ("a flag without its value", ["generate", "--seed"], USAGE, ["--seed", "one argument"]),
    ("no data set named", ["verify"], USAGE, ["URL", "fleetgen verify --help"]),
    (
        "a shell that is not known",
        ["completion", "csh"],
        USAGE,
        ["'csh'", "bash", "zsh", "fish"],
    ),
    # values
    (
        "a unit behind a number",
        [*SMALL, "--duration-days", "30days"],
        USAGE,
        ["--duration-days = '30days'", "a number of days", "for example 7.0"],
    ),
    (
        "a typo in a location",
        [*SMALL, "--locations", "DC-PKT-1"],
        USAGE,
        ["--locations = 'DC-PKT-1'", "did you mean DC-PKT-01"],
    ),
    (
        "a city for a location",
        [*SMALL, "--locations", "phuket"],
        USAGE,
        ["no such location", "did you mean DC-PKT-01?"],
    ),
    (
        "a location for a string",
        [*SMALL, "--strings", "DC-PKT-01"],
        USAGE,
        ["--strings = 'DC-PKT-01'", "no such string"],
    ),
    (
        "a string of another location",
        [*SMALL, "--locations", "DC-PKT-01", "--strings", "DC-CNX-01-REC-01-S1"],
        USAGE,
        ["none of them is at the selected locations", "widen"],
    ),
    (
        "a day the other way round",
        [*SMALL, "--start-date", "31.12.2024"],
        USAGE,
        ["--start-date = '31.12.2024'", "YYYY-MM-DD"],
    ),
    (
        "the format of a file's name",
        [*SMALL, "--format", "csv"],
        USAGE,
        ["--format = 'csv'", "did you mean csv.gz?"],
    ),
    (
        "more batteries than there are",
        [*SMALL[:-1], "5000"],
        USAGE,
        ["--limit-batteries = 5000", "at most 1944"],
    ),
    (
        "a key without its section",
        [*SMALL, "--set", "seed=7"],
        USAGE,
        ["--set seed = 7", "did you mean run.seed?"],
    ),
    (
        "a key given twice",
        [*SMALL, "--seed", "7", "--set", "run.seed=8"],
        USAGE,
        ["given by --seed, too", "keep one"],
    ),
    ("workers for one", [*SMALL, "--workers", "2"], USAGE, ["serial", "--executor local"]),
    ("a share without its number", [*SMALL, "--part", "2"], USAGE, ["--part = 2", "give both"]),
    # files
    (
        "no such configuration",
        [*SMALL, "--config", "tests.toml"],
        USAGE,
        ["'tests.toml'", "cannot be read", "check the path"],
    ),
    (
        "a configuration of another kind",
        [*SMALL, "--config", "config.json"],
        USAGE,
        ["'config.json'", "must be a file named .toml, .yaml or .yml"],
    ),
    (
        "a configuration with a typo",
        ["config", "check", "typo.toml"],
        USAGE,
        ["run.sampling_second", "did you mean sampling_seconds"],
    ),
    ("a table mistyped", ["schema", "batery"], USAGE, ["'batery'", "did you mean battery"]),
    # places
    (
        "a bucket without a prefix",
        [*SMALL, "--output-dir", "s3://my-bucket"],
        STORAGE,
        ["s3://...", "never takes a whole bucket", "give s3://bucket/prefix"],
    ),
    (
        "a place of the web",
        [*SMALL, "--output-dir", "https://example.org/set"],
        STORAGE,
        ["https://... is not supported", "s3://bucket/prefix"],
    ),
    (
        "a secret on the command line",
        [*SMALL, "--output-dir", "s3://my-bucket/set", "--storage-option", "secret_key=hunter2"],
        USAGE,
        ["secret_key = (not shown)", "AWS_SECRET_ACCESS_KEY"],
    ),
    (
        "a blank in place of the = before a secret",
        [
            *(*SMALL, "--output-dir", "s3://my-bucket/set"),
            *("--storage-option", "secret_access_key", "hunter2"),
        ],
        USAGE,
        ["(not shown): a word without its flag"],
    ),
    (
        "no credentials",
        [
            *(*SMALL, "--output-dir", "s3://my-bucket/set"),
            *("--storage-option", f"endpoint_url={NOWHERE}"),
        ],
        STORAGE,
        ["s3://my-bucket/set", "no credentials are found", "Set AWS_ACCESS_KEY_ID"],
    ),
    (
        "a file where a directory should be",
        [*SMALL, "--output-dir", "file"],
        STORAGE,
        ["file", "Move what stands in the way"],
    ),
    (
        "another plan in the directory",
        [*SMALL, "--duration-days", "0.5", "--seed", "1", "--output-dir", "SET"],
        STORAGE,
        [
            "another plan",
            "run.seed: 42 -> 1",
            "choose another --output-dir",
            "fleetgen clean ",
            " --all",
        ],
    ),
    ("a data set that is not there", ["verify", "nowhere"], STORAGE, ["nowhere", "Check where it"]),
    (
        "a file of a data set",
        ["verify", "SET/battery.csv"],
        STORAGE,
        ["battery.csv", "a data set is a directory"],
    ),
    (
        "a directory that is no data set, to be removed",
        ["clean", ".", "--all"],
        STORAGE,
        ["no data set of fleetgen", "Check where it lies"],
    ),
    (
        "half a data set",
        ["export", "HALF", "--single-file", "csv"],
        STORAGE,
        ["HALF", "no finished data set", "finish it with the command that began it"],
    ),
    (
        "a table that is a file already",
        ["export", "SET", "--single-file", "csv", "--table", "battery"],
        USAGE,
        ["--table battery", "battery.csv"],
    ),
    (
        "a table mistyped for export",
        ["export", "SET", "--single-file", "csv", "--table", "telemetry_jar"],
        USAGE,
        ["--table telemetry_jar", "did you mean telemetry_jar_"],
    ),
    (
        "no manifest to repeat",
        ["generate", "--from", "nowhere", "--output-dir", "again"],
        STORAGE,
        ["nowhere", "Check the path"],
    ),
    ("nowhere to repeat to", ["generate", "--from", "SET"], USAGE, ["give --output-dir"]),
    (
        "no scheduler",
        [
            *("generate", "--progress", "none", "--limit-batteries", "1"),
            *("--scheduler-file", "absent.json"),
        ],
        CLUSTER,
        ["'absent.json'", "dask scheduler --scheduler-file"],
    ),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished data set of half a day."""
    place = tmp_path_factory.mktemp("made") / "SET"
    assert main([*SMALL, "--duration-days", "0.5", "--output-dir", str(place)]) == 0
    return place


@pytest.fixture
def place(tmp_path: Path, made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a data set, half a data set and files, as the current one."""
    shutil.copytree(made, tmp_path / "SET")
    shutil.copytree(made, tmp_path / "HALF")
    for name in ("_SUCCESS", "_fleetgen/manifest.json"):
        (tmp_path / "HALF" / name).unlink()
    (tmp_path / "file").write_text("mine")
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "typo.toml").write_text("[run]\nsampling_second = 5\n")
    monkeypatch.chdir(tmp_path)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "no-such-file"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return tmp_path


def names(place: Path) -> list[str]:
    return sorted(path.relative_to(place).as_posix() for path in place.rglob("*"))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [row[1:] for row in MISTAKES],
    ids=[row[0].replace(" ", "-") for row in MISTAKES],
)
def test_a_mistake_is_answered(
    place: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    told: list[str],
) -> None:
    before = names(place)
    assert main(arguments) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("fleetgen: ")
    for word in told:
        assert word in err
    assert "Traceback" not in err
    assert "hunter2" not in err
    assert len(err.splitlines()) <= 12
    assert names(place) == before


def test_there_are_enough() -> None:
    assert len({name for name, *_ in MISTAKES}) == len(MISTAKES) >= 30


def test_a_python_too_old(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 2, "final", 0))
    assert main(["--version"]) == USAGE
    told = capsys.readouterr().err
    assert "this is Python 3.9" in told
    assert "needs 3.11 to 3.13; make an environment" in told


def test_the_pythons_told_are_those_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    (low, high) = ((major, minor) for major, minor in (cli.OLDEST, cli.NEWEST))
    assert project["requires-python"] == f">={low[0]}.{low[1]},<{high[0]}.{high[1] + 1}"


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("NoSuchBucket", "bucket"),
        ("AccessDenied", "credentials"),
        ("InvalidAccessKeyId", "AWS_ACCESS_KEY_ID"),
        ("SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY"),
    ],
)
def test_what_a_store_says_has_a_way_out(code: str, told: str) -> None:
    """Against a real store: test_s3.py."""
    assert told.casefold() in s3_faults.reason_of(code).casefold()


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (
            lambda place: fleetgen.open(str(place / "HALF")),
            ["HALF", "no finished data set", "finish"],
        ),
        (lambda place: fleetgen.open(str(place / "nowhere")), ["nowhere", "no finished data set"]),
        (lambda place: fleetgen.open("s3://my-bucket"), ["s3://bucket/prefix"]),
        (
            lambda place: fleetgen.open(str(place / "SET")).table("battery_states"),
            ["no such table", "battery"],
        ),
        (
            lambda place: fleetgen.generate(seeds=3, output_dir=str(place / "new")),
            ["--seeds", "did you mean --seed"],
        ),
    ],
)
def test_mistakes_in_python(place: Path, ask: Callable[[Path], object], told: list[str]) -> None:
    before = names(place)
    with pytest.raises(FleetgenError) as raised:
        ask(place)
    for word in told:
        assert word in str(raised.value)
    assert names(place) == before


def test_a_lost_file_is_told_with_the_way_out(place: Path) -> None:
    data = fleetgen.open(str(place / "SET")).table("telemetry_env")
    (place / "SET" / data.files[0].path).unlink()
    with pytest.raises(StorageError, match=r"cannot read .*telemetry_env.*Check the path"):
        data.pandas()
