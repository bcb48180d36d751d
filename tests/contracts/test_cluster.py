"""What `cluster/` ships: commands that exist, nothing open to a network, no secret on its way."""

import json
import re
import runpy
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from distributed.cli import dask_scheduler, dask_worker

from fleetgen import cli

CLUSTER = Path(__file__).resolve().parents[2] / "cluster"
MADE = [CLUSTER / "compose" / name for name in ("tls", "keys", "data")]
"""What the scripts make there, and the repository ignores."""

FILES = sorted(
    path
    for path in CLUSTER.rglob("*")
    if path.is_file()
    and "__pycache__" not in path.parts
    and not any(path.is_relative_to(made) for made in MADE)
)
PAGES = [path for path in FILES if path.suffix == ".md"]
MANIFESTS = [path for path in FILES if path.suffix == ".yaml"]
SCRIPTS = [path for path in FILES if path.suffix in {".sh", ".sbatch"}]

FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
COMMAND = re.compile(r"(?:^\s*|exec )(dask (?:scheduler|worker)|fleetgen [a-z]+)\b(.*)")
LOOPBACK = "--dashboard-address 127.0.0.1:"


def name(path: Path) -> str:
    return path.relative_to(CLUSTER).as_posix()


def flags_of(command: str) -> set[str]:
    """Flags that a command knows."""
    program, verb = command.split()
    if program == "dask":
        main = {"scheduler": dask_scheduler.main, "worker": dask_worker.main}[verb]
        return {flag for each in main.params for flag in (*each.opts, *each.secondary_opts)}
    verbs: Any = next(a for a in cli.parser()._actions if isinstance(a.choices, dict))
    return set(verbs.choices[verb]._option_string_actions)


def commands_of(path: Path) -> Iterator[tuple[str, str]]:
    """Commands of a page's code, a script or a manifest, as (program and verb, words)."""
    text = path.read_text("utf-8")
    if path.suffix == ".yaml":
        for words in lists(list(yaml.safe_load_all(text))):
            if words[0] in ("dask", "fleetgen"):
                yield " ".join(words[:2]), " ".join(words[2:])
        return
    if path.suffix == ".md":
        fenced = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        indented = re.findall(r"^(?: {4}.*\n?)+", text, re.MULTILINE)
        text = "\n".join([*fenced, *indented])
    # What ssh is to run is put together over lines, and has a test of its own.
    lines = [line for line in text.splitlines() if not re.match(r" *#|remote=", line)]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        for command, words in COMMAND.findall(line):
            yield command, words


def lists(value: Any) -> Iterator[list[str]]:
    """All lists of words in a document."""
    if isinstance(value, dict):
        for each in value.values():
            yield from lists(each)
    elif isinstance(value, list):
        if value and all(isinstance(each, str) for each in value):
            yield value
        for each in value:
            yield from lists(each)


COMMANDS = [
    pytest.param(command, words, id=f"{name(path)}-{number}")
    for path in (*PAGES, *SCRIPTS, *MANIFESTS)
    for number, (command, words) in enumerate(commands_of(path))
]


def test_commands_are_found_in_pages_scripts_and_manifests() -> None:
    found = {(str(each.id).rpartition("-")[0], each.values[0]) for each in COMMANDS}
    assert found >= {
        ("hand/README.md", "dask worker"),
        ("hand/README.md", "fleetgen generate"),
        ("ssh/run.sh", "dask scheduler"),
        ("slurm/cluster.sbatch", "dask worker"),
        ("slurm/array.sbatch", "fleetgen generate"),
        ("slurm/finish.sbatch", "fleetgen finish"),
        ("kubernetes/run.yaml", "dask worker"),
        ("kubernetes/run.yaml", "fleetgen generate"),
        ("compose/compose.yaml", "dask scheduler"),
        ("compose/compose.yaml", "fleetgen generate"),
    }


@pytest.mark.parametrize(("command", "words"), COMMANDS)
def test_flags_of_commands_exist(command: str, words: str) -> None:
    assert set(FLAG.findall(words)) <= flags_of(command)


@pytest.mark.parametrize(
    ("command", "words"), [each for each in COMMANDS if str(each.values[0]).startswith("dask")]
)
def test_dask_listens_with_certificates_or_on_loopback(command: str, words: str) -> None:
    assert "--protocol tls" in words or "--host 127.0.0.1" in words.split("#")[0]
    assert LOOPBACK in words, "a dashboard asks for no password"


def test_the_words_for_a_worker_behind_ssh_are_the_same() -> None:
    text = (CLUSTER / "ssh" / "run.sh").read_text("utf-8")
    remote = " ".join(re.findall(r"^remote\+?=['\"](.*)['\"]$", text, re.MULTILINE))
    assert remote.count("dask worker") == 1
    assert set(FLAG.findall(remote)) <= flags_of("dask worker")
    assert "--protocol tls" in remote
    assert LOOPBACK in remote
    assert "StrictHostKeyChecking=yes" in text
    assert "StrictHostKeyChecking=no" not in text


def test_the_script_of_dask_jobqueue_uses_flags_that_exist() -> None:
    text = (CLUSTER / "slurm" / "jobqueue.py").read_text("utf-8")
    code = text.split('"""', 2)[2]
    known = flags_of("dask worker") | {"--export", "--output", "--scheduler"}
    assert "--lifetime" in code
    assert set(FLAG.findall(code)) <= known
    assert "security=Security()" in code


def manifest(file: str) -> Any:
    return yaml.safe_load((CLUSTER / "kubernetes" / file).read_text("utf-8"))


@pytest.mark.parametrize("role", ["scheduler", "worker"])
def test_values_of_the_dask_chart_add_flags_that_exist(role: str) -> None:
    values = manifest("helm-dask.yaml")
    words = " ".join(values[role]["extraArgs"])
    assert set(FLAG.findall(words)) <= flags_of(f"dask {role}")
    assert "--protocol tls" in words
    assert LOOPBACK in words
    encrypted = {"name": "DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION", "value": "true"}
    assert encrypted in values[role]["env"]


@pytest.mark.parametrize("path", FILES, ids=name)
def test_nothing_is_published_on_all_interfaces(path: Path) -> None:
    for line in path.read_text("utf-8").splitlines():
        if "0.0.0.0" in line or "[::]" in line:
            assert line.strip() == "cidr: 0.0.0.0/0", "only as where something may go"
    if path.suffix == ".yaml":
        for document in yaml.safe_load_all(path.read_text("utf-8")):
            for service in (document or {}).get("services", {}).values():
                for port in service.get("ports", []):
                    assert port.startswith("127.0.0.1:")
            text = yaml.safe_dump(document)
            assert "hostNetwork" not in text
            assert "hostPort" not in text
            assert "LoadBalancer" not in text
            assert "NodePort" not in text


@pytest.mark.parametrize("path", [p for p in FILES if p.suffix == ".sbatch"], ids=name)
def test_sbatch_exports_two_paths(path: Path) -> None:
    text = path.read_text("utf-8")
    assert re.findall(r"--export\S*", text) == ["--export=HOME,FLEETGEN_ENVIRONMENT"]


def test_a_run_on_kubernetes_waits_for_the_workers_that_there_will_be() -> None:
    run = manifest("run.yaml")["spec"]
    (wait,) = run["job"]["spec"]["initContainers"]
    worker = run["cluster"]["spec"]["worker"]
    words = worker["spec"]["containers"][0]["args"]
    processes = int(words[words.index("--nworkers") + 1])
    assert int(wait["args"][3]) == worker["replicas"] * processes


def test_workers_of_the_dask_chart_are_those_of_a_run() -> None:
    ours = manifest("helm-dask.yaml")["worker"]
    run = manifest("run.yaml")["spec"]["cluster"]["spec"]["worker"]["spec"]["containers"][0]
    words = run["args"]
    assert str(ours["threads_per_worker"]) == words[words.index("--nthreads") + 1]
    assert ours["resources"] == run["resources"]
    assert "cpu" not in run["resources"]["limits"]


def test_every_service_of_compose_is_without_capabilities() -> None:
    document = yaml.safe_load((CLUSTER / "compose" / "compose.yaml").read_text("utf-8"))
    assert len(document["services"]) >= 5
    for service in document["services"].values():
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "user" in service


def test_each_file_is_on_a_page() -> None:
    pages = "".join(path.read_text("utf-8") for path in PAGES)
    unmentioned = {
        name(path)
        for path in FILES
        if not path.name.startswith(".")
        and path.suffix not in {".md", ".dockerignore"}
        and path.name not in pages
    }
    assert unmentioned == set()


def test_scripts_are_executable_and_stop_at_faults() -> None:
    for path in SCRIPTS:
        assert "set -euo pipefail" in path.read_text("utf-8"), name(path)
        if path.suffix == ".sh":
            assert path.stat().st_mode & 0o100, name(path)


def test_scripts_named_in_commands_exist() -> None:
    for path in PAGES:
        for line in path.read_text("utf-8").splitlines():
            for word in re.findall(r"(?<![\w./-])cluster/[\w./-]+", line):
                assert (CLUSTER.parent / word).exists(), f"{name(path)} names {word}"


@pytest.fixture(scope="module")
def wait() -> dict[str, Any]:
    return runpy.run_path(str(CLUSTER / "wait.py"))


@pytest.mark.parametrize("address", ["tls://10.0.0.1:8786", "node1:8786", "[::1]:8786"])
def test_an_address_to_wait_for_needs_no_scheme(wait: dict[str, Any], address: str) -> None:
    assert wait["address_of"](address, time.monotonic()) == address


def test_a_scheduler_file_may_come_later(wait: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "scheduler.json"
    file.write_text("{")  # as it is seen while it is being written
    whole = json.dumps({"address": "tls://10.0.0.1:8786"})
    later = threading.Timer(0.3, file.write_text, [whole])
    later.start()
    try:
        found = wait["address_of"](str(file), time.monotonic() + 30.0)
    finally:
        later.join()
    assert found == "tls://10.0.0.1:8786"


def test_a_file_whose_name_has_a_colon_is_a_file(wait: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "run:1.json"
    file.write_text(json.dumps({"address": "tcp://127.0.0.1:9"}))
    assert wait["address_of"](str(file), time.monotonic()) == "tcp://127.0.0.1:9"


def test_a_scheduler_that_never_comes_is_not_waited_for_for_ever(
    wait: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert wait["main"](str(tmp_path / "scheduler.json"), 2, 0.3) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "scheduler.json has not 2 workers after 0.3 s" in line
    assert "the scheduler file gives no address" in line
