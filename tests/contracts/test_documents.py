"""The documents are true: links, flags, modules, layers, row counts, what is said to be absent.

And no recipe opens a door to everybody.
"""

import importlib.util
import re
import tomllib
from pathlib import Path
from types import ModuleType
from typing import get_args

import pytest

from fleetgen import cli
from fleetgen.config import load
from fleetgen.config.sections import SensorFault
from fleetgen.model import params
from fleetgen.schema import DATA_VERSION, TABLES
from fleetgen.spec import FailureMode, InjectionKind

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "fleetgen"
TOP = ("benchmarks", "cluster", "configs", "docs", "examples", "fleetgen", "tests")
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *(page for place in TOP for page in (ROOT / place).rglob("*.md"))]
)
README = (ROOT / "README.md").read_text("utf-8")
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text("utf-8")

FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]*")


def name(document: Path) -> str:
    return document.relative_to(ROOT).as_posix()


def prose(document: Path) -> str:
    return FENCE.sub("", document.read_text("utf-8"))


def anchors(document: Path) -> set[str]:
    """Headings as a forge links to them."""
    heads = re.findall(r"^#+ (.+)$", prose(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in heads}


def test_all_documents_are_looked_at() -> None:
    found = {name(document) for document in DOCUMENTS}
    expected = {"README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"}
    assert found >= expected | {"cluster/README.md", "docs/data-dictionary.md"}


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in LINK.findall(prose(document)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        there = (document.parent / path).resolve() if path else document
        assert there.exists(), f"{name(document)} links to {target}"
        assert there.is_relative_to(ROOT), f"{name(document)} links out of the project: {target}"
        assert not anchor or anchor in anchors(there), f"{name(document)} links to {target}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_paths_in_code_type_exist(document: Path) -> None:
    for text in CODE.findall(prose(document)):
        for word in text.split():
            if re.fullmatch(rf"({'|'.join(TOP)})/[\w./-]+", word):
                assert (ROOT / word).exists(), f"{name(document)} names {word}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_no_document_names_a_machine(document: Path) -> None:
    text = document.read_text("utf-8")
    homes = re.findall(r"(?<![\w.])/(?:home|root|Users|tmp)/[\w.-]+", text)
    assert not homes


# --- pages made from declarations -----------------------------------------------------------------


def maker(script: str) -> ModuleType:
    """The script that writes a page; `docs` is no package."""
    path = ROOT / "docs" / f"{script}.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("page", "script"),
    [("data-dictionary", "make_data_dictionary"), ("parameters", "make_parameters")],
)
def test_a_made_page_is_up_to_date(page: str, script: str) -> None:
    written = (ROOT / "docs" / f"{page}.md").read_text("utf-8")
    assert maker(script).page() == written, f"run python docs/{script}.py"


def test_the_data_dictionary_has_every_column() -> None:
    written = (ROOT / "docs" / "data-dictionary.md").read_text("utf-8")
    sections = {part.split("\n", 1)[0]: part for part in written.split("\n### ")[1:]}
    assert set(sections) == set(TABLES)
    for title, section in sections.items():
        rows = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
        assert rows == list(TABLES[title].names), title


def test_the_parameters_have_each_name_once() -> None:
    written = (ROOT / "docs" / "parameters.md").read_text("utf-8")
    rows = re.findall(r"^\| `([\w.]+)` \|", written, re.MULTILINE)
    assert rows == [name for name, _ in params.catalogue()]
    cells = [line.count("|") for line in written.splitlines() if line.startswith("|")]
    assert set(cells) == {7}


def test_the_physics_lead_to_the_parameters() -> None:
    assert "(parameters.md)" in (ROOT / "docs" / "physics.md").read_text("utf-8")


# --- the README -----------------------------------------------------------------------------------


def help_of(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as end:
        cli.main([*words, "--help"])
    assert end.value.code == 0
    return capsys.readouterr().out


def flags_of_all_verbs(capsys: pytest.CaptureFixture[str]) -> list[str]:
    verbs = re.findall(r"^    ([a-z]+)(?:  |$)", help_of(capsys), re.MULTILINE)
    words = [(), *((verb,) for verb in verbs if verb != "config")]
    return FLAG.findall("".join(help_of(capsys, *each) for each in words))


def test_flags_are_those_of_the_parser(capsys: pytest.CaptureFixture[str]) -> None:
    parsed = flags_of_all_verbs(capsys)
    assert {"--seed", "--help", "--version", "--repair", "--older-than"} <= set(parsed)
    ours = re.sub(r"^ +dask .*$|`--host .*`", "", README, flags=re.MULTILINE)
    assert set(FLAG.findall(ours)) == set(parsed)


def test_each_flag_has_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    rows = re.findall(r"^\| (`--.+?) \|", README, re.MULTILINE)
    parsed = flags_of_all_verbs(capsys)
    assert sorted(FLAG.findall(" ".join(rows))) == sorted(set(parsed))


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_verbs_are_those_of_the_parser(document: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known = re.findall(r"^    ([a-z]+)(?:  |$)", help_of(capsys), re.MULTILINE)
    assert "generate" in known
    text = document.read_text("utf-8")
    assert set(re.findall(r"(?:^ +|`)fleetgen ([a-z]+)\b", text, re.MULTILINE)) <= set(known)


@pytest.mark.parametrize("preset", ["test", "development", "training", "production"])
def test_row_counts_are_those_of_the_presets(preset: str) -> None:
    """Counted here from the text of the configuration, not by the planner."""
    keys = tomllib.loads((ROOT / "configs" / f"{preset}.toml").read_text("utf-8"))
    run, batteries = keys["run"], keys.get("select", {}).get("limit_batteries", 9 * 9 * 24)
    rows = batteries * run["duration_days"] * 86_400 // run["sampling_seconds"]
    (line,) = [text for text in README.splitlines() if text.startswith(f"| {preset}:")]
    days, interval = run["duration_days"], run["sampling_seconds"]
    assert line.startswith(f"| {preset}: {days} days, {batteries:,} batteries, {interval} s |")
    assert f"(configs/{preset}.toml) | {rows:,} |" in line
    config = load(ROOT / "configs" / f"{preset}.toml")
    assert sum(map(len, config.selected(config.to_fleet()).values())) == batteries


def test_defaults_are_those_of_the_configuration() -> None:
    run = load().run
    defaults = dict(re.findall(r"^\| `(--[a-z-]+)` \| ([^|]*?) \|", README, re.MULTILINE))
    assert defaults["--duration-days"] == f"{run.duration_days:g}"
    assert defaults["--sampling-seconds"] == f"{run.sampling_seconds}"
    assert defaults["--seed"] == f"{run.seed}"
    assert defaults["--start-date"] == f"{run.start_date}"


def test_the_example_of_a_scenario_goes_with_the_test_run(tmp_path: Path) -> None:
    (example,) = re.findall(r"^```toml\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    file = tmp_path / "run.toml"
    file.write_text((ROOT / "configs" / "test.toml").read_text("utf-8") + example, "utf-8")
    assert [each.kind for each in load(file).inject] == ["failure_mode", "sensor_fault"]


def test_what_can_be_injected_has_a_row() -> None:
    table = re.findall(r"^\| kind \| target .*?\n\n", README, re.MULTILINE | re.DOTALL)[0]
    known = [*get_args(InjectionKind), *get_args(FailureMode), *get_args(SensorFault)]
    assert sorted({*CODE.findall(table)} - {"channel"}) == sorted(known)


def test_tables_are_all_named() -> None:
    assert set(TABLES) <= set(re.findall(r"\w+", README))


# --- the recipes ----------------------------------------------------------------------------------

SHIPPED = sorted(
    path
    for place in ("cluster", "configs", "docs", "examples")
    for path in (ROOT / place).rglob("*")
    if path.is_file() and path.suffix not in {".pyc", ".png", ".svg"}
)
_EVERYWHERE = re.compile(r"0\.0\.0\.0(?![.\d/])|\[::\](?!\d)|--host[ =](?:''|\"\"|tcp://:)")
_LISTENS = re.compile(r"^\W*(?:\w+=\S+ |srun .*?|exec )*dask[ -]scheduler .*--", re.MULTILINE)
_TLS = re.compile(
    r"--protocol[ =]tls|protocol: *[\"']?tls|--host[ =]tls://|require.encryption", re.I
)


def open_doors(text: str) -> list[str]:
    """Commands and settings that bind all interfaces, in a file that says nothing of TLS."""
    joined = re.sub(r"\\\n\s*", " ", text)
    found = [line for line in joined.splitlines() if _EVERYWHERE.search(line)]
    for command in _LISTENS.finditer(joined):
        line = joined[command.start() :].lstrip().partition("\n")[0]
        if not re.search(r"--(host|interface)\b", line):
            found.append(line)
    return [line for line in found if not _TLS.search(line)] if not _TLS.search(text) else []


@pytest.mark.parametrize("path", sorted({*SHIPPED, *DOCUMENTS}), ids=name)
def test_nothing_that_is_shipped_listens_to_everybody_without_tls(path: Path) -> None:
    assert open_doors(path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("    dask scheduler --port 8786\n", 1),
        ("    dask scheduler \\\n      --port 8786\n", 1),
        ("dask-scheduler --host 0.0.0.0\n", 1),
        ("srun -N 1 dask scheduler --scheduler-file s.json &\n", 1),
        ("host: 0.0.0.0\n", 1),
        ("listen = '[::]:8786'\n", 1),
        ("    dask scheduler --host 127.0.0.1 --port 8786\n", 0),
        ("    dask scheduler --interface ib0\n", 0),
        ("    dask scheduler --protocol tls --port 8786\n", 0),
        ("export DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION=true\ndask scheduler --port 1\n", 0),
        ("Start `dask scheduler` and `dask worker` there.\n", 0),
        ("route 10.0.0.0/8\n", 0),
    ],
)
def test_the_search_finds_open_doors(text: str, count: int) -> None:
    assert len(open_doors(text)) == count


# --- the architecture -----------------------------------------------------------------------------


def test_modules_named_exist_and_all_are_named() -> None:
    named = {text for text in CODE.findall(ARCHITECTURE) if re.fullmatch(r"[\w/]+(\.py|/)", text)}
    for text in named:
        assert (PACKAGE / text).exists() or (ROOT / text).exists(), text
    modules = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py")}
    whole = {m for m in modules if not Path(m).name.startswith("__")}
    unnamed = {m for m in whole if not m.startswith("config/")} - named
    assert unnamed == set()


def test_layers_are_those_that_are_enforced() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    (layers,) = [c["layers"] for c in contracts if c.get("containers") == ["fleetgen"]]
    (shown,) = re.findall(r"^```layers\n(.*?)^```$", ARCHITECTURE, re.MULTILINE | re.DOTALL)
    assert [part.strip() for part in shown.split(">")] == layers


def test_doors_are_those_that_are_enforced() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    (text,) = re.findall(r"^One door for each.*?\n\n", ARCHITECTURE, re.MULTILINE | re.DOTALL)
    for contract in (c for c in contracts if c["type"] == "protected"):
        for importer in contract["allowed_importers"]:
            place = importer.removeprefix("fleetgen.").replace(".", "/")
            where = f"{place}/" if (PACKAGE / place).is_dir() else f"{place}.py"
            assert f"`{where}`" in text
        assert contract["protected_modules"][0] in text


# --- decisions and changes ------------------------------------------------------------------------


def test_decisions_are_numbered_and_listed() -> None:
    home = ROOT / "docs" / "decisions"
    pages = sorted(path for path in home.glob("*.md") if path.name != "README.md")
    assert [int(path.name[:4]) for path in pages] == list(range(1, len(pages) + 1))
    index = (home / "README.md").read_text("utf-8")
    for path in pages:
        title = path.read_text("utf-8").split("\n", 1)[0].removeprefix(f"# {path.name[:4]} ")
        assert f"| [{path.name[:4]}]({path.name}) | {title} |" in index
        for part in ("Context.", "Choice", "Rejected.", "Consequence."):
            assert f"**{part}" in path.read_text("utf-8"), f"{path.name} has no {part}"


def test_the_changelog_tells_of_changed_data() -> None:
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    changes = re.findall(r"^### Data changes\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL)
    assert f"`DATA_VERSION` {DATA_VERSION}," in changes[0]
