"""The verbs that tell: schema, config and completion; and the scenario examples, made small."""

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from fleetgen.cli import main
from fleetgen.config import load
from fleetgen.pipeline import generate
from fleetgen.schema import TABLES
from tests.properties.plan import HERE, ROOT, DataSet

PRESETS = sorted((*ROOT.glob("configs/*.toml"), *ROOT.glob("configs/scenarios/*.toml")))


def said(capsys: pytest.CaptureFixture[str], *arguments: str | Path, code: int = 0) -> str:
    """What a command says on its one stream."""
    assert main([str(each) for each in arguments]) == code
    out, err = capsys.readouterr()
    assert (err if code == 0 else out) == "" or code
    return out if code == 0 else err


# --- schema ---------------------------------------------------------------------------------------


def test_all_tables_in_short(capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(capsys, "schema").splitlines()
    found = [line.split()[:2] for line in lines[1 : lines.index("")]]
    assert found == [[table.name, table.role] for table in TABLES.values()]


@pytest.mark.parametrize("name", TABLES)
def test_a_table_with_each_column(capsys: pytest.CaptureFixture[str], name: str) -> None:
    text = said(capsys, "schema", name)
    assert text.startswith(f"{name}\n")
    assert max(map(len, text.splitlines())) <= 120
    flat = " ".join(text.split())
    for column in TABLES[name].columns:
        (row,) = re.findall(rf"^{column.name}  .*$", text, re.MULTILINE)
        assert row.split()[1] == column.kind
        assert column.kind == "instant" or all(word in row for word in column.unit.split())
        assert f"{column.name}: {' '.join(column.doc.split())}" in flat
    assert text.count("never a feature") == sum(column.truth for column in TABLES[name].columns)


def test_everything_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(said(capsys, "schema", "--json"))
    assert [table["name"] for table in found["tables"]] == list(TABLES)
    (one,) = json.loads(said(capsys, "schema", "telemetry_jar_raw", "--json"))["tables"]
    assert one in found["tables"]
    volts = {"name": "voltage_v", "kind": "float", "unit": "V", "step": 0.001, "range": [0.0, 20.0]}
    assert volts.items() <= one["columns"][2].items()


# --- config ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_what_is_shown_is_the_same_run(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = said(capsys, "config", "show", path, "--set", "run.seed=77")
    file = tmp_path / "shown.toml"
    file.write_text(text, "utf-8")
    assert load(file) == load(path, ["run.seed=77"])
    before = ""
    for line in text.splitlines():
        if re.match(r"\w+ =", line) and "[[inject]]" not in text[: text.index(line)]:
            assert before.startswith("#") or re.match(r"\w+ =", before), line
        before = line


def test_a_fleet_of_ones_own_is_shown_in_full(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "own.toml"
    text = (HERE / "fleet.toml").read_text().replace("[locations.", "[fleet.locations.")
    file.write_text('[run]\nseed = 3\n[output]\ndirectory = "a \\"b\\" é"\n' + text, "utf-8")
    again = tmp_path / "again.toml"
    again.write_text(said(capsys, "config", "show", file), "utf-8")
    assert load(again) == load(file)


def test_without_a_file_the_defaults_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    found = tomllib.loads(said(capsys, "config", "show"))
    assert found["run"]["duration_days"] == 7.0
    assert found["fleet"] == {"catalogue": "thailand"}


def test_a_commented_key_can_be_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "config", "show")
    keys = re.findall(r"^# (\w+ = .*)$", text, re.MULTILINE)
    assert len(keys) >= 8
    for key in keys:
        tomllib.loads(key)


def test_check_says_ok_or_all_faults_of_all_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = ROOT / "configs" / "test.toml"
    assert said(capsys, "config", "check", good) == (
        f"{good}: ok; 24 batteries, 2 days from 2025-01-01, a sample every 300 s\n"
    )
    one = ("--set", "run.duration_days=1", "--set", "select.limit_batteries=1")
    assert "ok; 1 battery, 1 day from " in said(capsys, "config", "check", good, *one)
    bad = tmp_path / "bad.toml"
    bad.write_text("[run]\nseed = -1\nsped = 3\n[outputs]\n")
    lines = said(capsys, "config", "check", bad, code=2).splitlines()
    assert len(lines) == 3
    assert main(["config", "check", str(bad), str(good)]) == 2
    out, err = capsys.readouterr()
    assert "test.toml: ok" in out
    assert f"{bad}: " in err


def test_editors_are_told_what_is_allowed(capsys: pytest.CaptureFixture[str]) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(said(capsys, "config", "schema"))
    judge = jsonschema.Draft202012Validator(schema)
    judge.check_schema(schema)

    def faults(text: str) -> list[str]:
        plain = json.loads(json.dumps(tomllib.loads(text), default=str))
        return [error.json_path for error in judge.iter_errors(plain)]

    for path in PRESETS:
        assert faults(path.read_text("utf-8")) == [], path
    fleet = (ROOT / "fleetgen" / "fleets" / "thailand.toml").read_text("utf-8")
    plain = json.loads(json.dumps({"fleet": tomllib.loads(fleet)}, default=str))
    assert [error.message for error in judge.iter_errors(plain)] == []
    assert faults("[run]\nseed = -1") == ["$.run.seed"]
    assert faults("[run]\nsed = 1") == ["$.run"]
    assert faults('[output]\nformat = "orc"') == ["$.output.format"]
    assert faults("[runs]\nseed = 1") == ["$"]
    assert faults('[[inject]]\nkind = "flood"\ntarget = "X"') == ["$.inject[0].kind"]


# --- completion -----------------------------------------------------------------------------------


def completions(script: Path, words: str) -> set[str]:
    """What bash offers for the last of some words."""
    program = (
        f"source {script}; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}}-1)); "
        "f=$(complete -p fleetgen | sed 's/.*-F \\([^ ]*\\).*/\\1/'); "
        '$f fleetgen "${COMP_WORDS[COMP_CWORD]}" ""; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    return {line.strip() for line in done.stdout.splitlines()}


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_bash_completes_verbs_and_flags(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "completion"
    script.write_text(said(capsys, "completion", "bash"))
    assert {"generate", "verify", "schema", "config"} <= completions(script, 'fleetgen ""')
    assert completions(script, "fleetgen gen") == {"generate"}
    assert completions(script, "fleetgen generate --samp") == {"--sampling-seconds"}
    assert completions(script, "fleetgen completion f") == {"fish"}


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_have_scripts(capsys: pytest.CaptureFixture[str], shell: str) -> None:
    text = said(capsys, "completion", shell)
    assert "sampling-seconds" in text
    assert "fleetgen" in text
    if program := shutil.which(shell):
        subprocess.run([program, "-n"], input=text, text=True, timeout=60, check=True)


# --- the scenario examples ------------------------------------------------------------------------

SMALL: dict[str, dict[str, Any]] = {
    "hot-season": {
        "run.start_date": "2025-04-12",
        "run.duration_days": 4,
        "select.limit_batteries": 2,
    },
    "flood-outages": {"run.duration_days": 7},
    "bad-batch": {"select.strings": "DC-SRC-01-REC-01-S2", "run.duration_days": 32},
    "dirty-clock": {"run.sampling_seconds": 600},
    "fleet-of-100000": {"select.limit_batteries": 41, "run.duration_days": 0.25},
}
"""Changes that keep what each is about, and its time short."""


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_an_example_shows_what_it_is_about(name: str, tmp_path: Path) -> None:
    path = ROOT / "configs" / "scenarios" / f"{name}.toml"
    changes = {"run.sampling_seconds": 3600, "execution.executor": "serial", **SMALL[name]}
    inject = tomllib.loads(path.read_text("utf-8")).get("inject", [])
    end = load(path, changes | {"inject": []}).grid().end_s
    kept = [each for each in inject if each["at"].timestamp() < end]
    generate(load(path, {**changes, "inject": kept, "output.directory": str(tmp_path / "set")}))
    made = DataSet(tmp_path / "set")
    header = json.loads(made.manifest)["header"]
    assert len(header["injections"]) == len(kept) >= (name != "fleet-of-100000")
    if name == "hot-season":
        assert float(made.read("telemetry_env")["temperature_c"].to_numpy().max()) > 30
        assert "room_temperature" in (made.path / "alert.csv").read_text()
    elif name == "flood-outages":
        modes = made.read("telemetry_string_raw")["mode"].to_pylist()
        assert modes.count("discharge") >= 2 * 4
    elif name == "bad-batch":
        failing = {state["failure_mode"] for state in made.states.values()}
        assert {"dry_out", "corrosion"} <= failing
        assert {state["degradation_profile"] for state in made.states.values()} == {
            "sound",
            "batch",
        }
    elif name == "dirty-clock":
        rows = (made.path / "anomaly.csv").read_text().splitlines()
        kinds = {row.split(",")[3] for row in rows if row.endswith(",true")}
        assert kinds == {each["value"] for each in inject}
        assert len(kinds) == 7
    else:
        assert len(made.states) == 41
