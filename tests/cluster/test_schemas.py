"""What cannot run on one machine, against the schemas of those who would run it."""

import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.conftest import CLUSTER

pytestmark = pytest.mark.cluster

PROGRAMS = Path(sys.executable).parent
OPERATOR = "dask_kubernetes/operator/deployment/helm/dask-kubernetes-operator"

# Keys of the chart `dask` for 2025.11, of those that its values set here.
CHART = {
    "fullnameOverride": None,
    "scheduler": {"image", "extraArgs", "env", "resources", "securityContext"},
    "worker": {
        *("image", "custom_scheduler_url", "replicas", "threads_per_worker", "extraArgs", "env"),
        *("resources", "securityContext"),
    },
    "webUI": {"ingress"},
    "jupyter": {"enabled"},
}


def run(*command: str | Path) -> None:
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def documents(file: str) -> list[Any]:
    return list(yaml.safe_load_all((CLUSTER / file).read_text("utf-8")))


def in_the_operator(path: str) -> Any:
    """A file of the operator's chart, from the wheel that `make test-cluster` fetches."""
    wheels = sorted(Path(sys.prefix, "wheels").glob("dask_kubernetes-*.whl"))
    assert wheels, "make test-cluster fetches the wheel of dask-kubernetes"
    with zipfile.ZipFile(wheels[-1]) as wheel:
        return yaml.safe_load(wheel.read(f"{OPERATOR}/{path}"))


def test_scripts_pass_shellcheck() -> None:
    scripts = [p for p in CLUSTER.rglob("*") if p.suffix in {".sh", ".sbatch"}]
    assert len(scripts) >= 7
    run(PROGRAMS / "shellcheck", *scripts)


def test_compose_is_of_its_schema() -> None:
    file = CLUSTER / "compose" / "compose.yaml"
    run(PROGRAMS / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", file)


@pytest.mark.parametrize("file", ["namespace.yaml", "network.yaml"])
def test_manifests_are_of_their_schema(file: str) -> None:
    run(PROGRAMS / "kubernetes-validate", "--strict", CLUSTER / "kubernetes" / file)


def pods() -> list[tuple[str, Any]]:
    (run,) = documents("kubernetes/run.yaml")
    cluster = run["spec"]["cluster"]["spec"]
    return [
        ("run", run["spec"]["job"]["spec"]),
        ("scheduler", cluster["scheduler"]["spec"]),
        ("worker", cluster["worker"]["spec"]),
    ]


@pytest.mark.parametrize(("role", "pod"), pods())
def test_pods_are_of_their_schema_and_bounded(role: str, pod: Any, tmp_path: Path) -> None:
    """The operator's schema knows less of a pod than Kubernetes does."""
    whole = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": role}, "spec": pod}
    service = documents("kubernetes/run.yaml")[0]["spec"]["cluster"]["spec"]["scheduler"]["service"]
    reached = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": role}, "spec": service}
    for made in (whole, reached):
        (tmp_path / "made.json").write_text(json.dumps(made))
        run(PROGRAMS / "kubernetes-validate", "--strict", tmp_path / "made.json")
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    for container in [*pod["containers"], *pod.get("initContainers", [])]:
        assert container["resources"]["limits"]["memory"]
        assert container["resources"]["requests"]["cpu"]
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        named = {mount["name"] for mount in container["volumeMounts"]}
        assert named <= {volume["name"] for volume in pod["volumes"]}


def schema_of(kind: str) -> Any:
    definition = in_the_operator(f"crds/{kind.lower()}.yaml")
    (version,) = definition["spec"]["versions"]
    assert definition["spec"]["names"]["kind"] == kind
    return version["schema"]["openAPIV3Schema"]


def unknown(value: Any, schema: Any, path: str = "") -> Iterator[str]:
    """Keys that a cluster would drop without a word."""
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return
    if isinstance(value, dict) and "additionalProperties" not in schema:
        for key, each in value.items():
            if key in schema.get("properties", {}):
                yield from unknown(each, schema["properties"][key], f"{path}.{key}")
            else:
                yield f"{path}.{key}"
    elif isinstance(value, list):
        for each in value:
            yield from unknown(each, schema["items"], f"{path}[]")


def test_the_run_is_of_the_operators_schema() -> None:
    import jsonschema  # which only `make test-cluster` installs

    (run,) = documents("kubernetes/run.yaml")
    for kind, document in (("DaskJob", run), ("DaskCluster", run["spec"]["cluster"])):
        schema = schema_of(kind)
        jsonschema.validate(document, schema)
        spec = {"spec": document["spec"]}
        assert list(unknown(spec, schema)) == []
        broken = {"spec": {**document["spec"], "replicas": 3}}
        assert list(unknown(broken, schema)) == [".spec.replicas"]


def test_values_of_the_operator_are_those_of_its_chart() -> None:
    def names(values: Any, path: str = "") -> Iterator[str]:
        for key, value in values.items():
            yield f"{path}.{key}"
            if isinstance(value, dict) and known.get(f"{path}.{key}"):
                yield from names(value, f"{path}.{key}")

    def walked(values: Any, path: str = "") -> Iterator[tuple[str, Any]]:
        for key, value in values.items():
            yield f"{path}.{key}", value
            if isinstance(value, dict):
                yield from walked(value, f"{path}.{key}")

    known = dict(walked(in_the_operator("values.yaml")))
    (ours,) = documents("kubernetes/helm-operator.yaml")
    assert set(names(ours)) <= set(known)


def test_values_of_the_dask_chart_are_known() -> None:
    (ours,) = documents("kubernetes/helm-dask.yaml")
    assert set(ours) <= set(CHART)
    for key, known in CHART.items():
        assert known is None or set(ours[key]) <= known, key
