"""What catalogues read of a data set, by their own readers and against the manifest."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from fleetgen import __version__
from fleetgen.schema import TABLES
from tests import tiny
from tests.properties.plan import ROOT

# Readers warn of themselves and of what they use.
ignoring = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A day and a half of two systems in both formats, in parts of a day."""
    found = {}
    for form in ("parquet", "csv.gz"):
        place = tmp_path_factory.mktemp("set") / "set"
        plan = {"run__duration_days": 1.5, "execution__block_days": 1}
        found[form] = tiny.generate(place, tiny.TWO_SYSTEMS, output__format=form, **plan)
    return found


@pytest.fixture(scope="module", params=["parquet", "csv.gz"])
def place(places: dict[str, Path], request: pytest.FixtureRequest) -> Path:
    return places[request.param]


def told(place: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((place / name).read_text("ascii"))
    return found


def manifest(place: Path) -> dict[str, Any]:
    return told(place, "_fleetgen/manifest.json")


def rows_of(place: Path, table: str) -> int:
    """Rows by the manifest: of the parts, or else of the single file."""
    entries = [each for each in manifest(place)["files"] if each["table"] == table]
    parts = [each for each in entries if "/" in each["path"]]
    return sum(each["rows"] for each in parts or entries)


def test_croissant_has_each_file_and_column(place: Path) -> None:
    found = told(place, "croissant.json")
    entries = {each["path"]: each for each in manifest(place)["files"]}
    objects = [each for each in found["distribution"] if each["@type"] == "cr:FileObject"]
    closing = {path for path in entries if "/" not in path}
    assert {each["contentUrl"] for each in objects} == closing - {
        *("croissant.json", "datapackage.json"),
        *("DATA_GENERATION_REPORT.md", "report.html"),  # which are no data
    }
    for each in objects:
        data = (place / each["contentUrl"]).read_bytes()
        assert each["sha256"] == hashlib.sha256(data).hexdigest()
        assert each["contentSize"] == f"{len(data)} B"
    for each in found["distribution"]:
        if each["@type"] == "cr:FileSet":
            table = each["name"].removesuffix("-parts")
            paths = {path.relative_to(place).as_posix() for path in place.glob(each["includes"])}
            parts = {p for p, e in entries.items() if e["table"] == table and "/" in p}
            assert paths == parts != set(), table
    there = {entry["table"] for entry in entries.values()} & TABLES.keys()
    assert {each["name"] for each in found["recordSet"]} == there
    for each in found["recordSet"]:
        table = TABLES[each["name"]]
        assert [field["name"] for field in each["field"]] == list(table.names)
        for field in each["field"]:
            column = table.column(field["name"])
            assert field["description"].startswith(column.doc)
            assert ("never a feature" in field["description"]) == column.truth
            assert column.kind == "instant" or f"[{column.unit}]" in field["description"] + "[]"


def test_the_package_has_each_table_with_its_parts(place: Path) -> None:
    entries = manifest(place)["files"]
    resources = told(place, "datapackage.json")["resources"]
    assert {each["name"] for each in resources} == {e["table"] for e in entries} & TABLES.keys()
    for each in resources:
        mine = [e["path"] for e in entries if e["table"] == each["name"]]
        parts = [path for path in mine if "/" in path]
        assert each["path"] == (parts or mine[0]), each["name"]
        table = TABLES[each["name"]]
        assert each["schema"]["primaryKey"] == list(table.key)
        for field in each["schema"]["fields"]:
            column = table.column(field["name"])
            limits = field.get("constraints", {})
            assert limits.get("required", False) is not column.nullable
            assert (limits.get("minimum"), limits.get("maximum")) == (column.valid or (None, None))
            assert field.get("unit", "") == ("" if column.kind == "instant" else column.unit)


def test_they_tell_how_to_cite_and_claim_nothing(place: Path) -> None:
    header = manifest(place)["header"]
    croissant, package = told(place, "croissant.json"), told(place, "datapackage.json")
    assert croissant["citeAs"] == package["citation"]
    for word in (f"fleetgen {__version__}", "seed 42,", header["plan_digest"]):
        assert word in croissant["citeAs"]
    for each in (croissant, package):
        assert "All values are simulated; none was measured in the field." in each["description"]
        assert "datePublished" not in each
        assert "license" not in each  # the data are whoever's generated them
        assert "8 lead-acid batteries" in each["description"]


def test_their_bytes_are_those_of_the_plan(places: dict[str, Path], tmp_path: Path) -> None:
    plan = {"run__duration_days": 1.5, "execution__block_days": 1}
    again = tiny.generate(tmp_path / "again", tiny.TWO_SYSTEMS, **plan)
    for name in ("croissant.json", "datapackage.json"):
        assert (again / name).read_bytes() == (places["parquet"] / name).read_bytes()


@pytest.mark.slow
@ignoring
def test_croissant_reads_it(place: Path) -> None:
    mlcroissant = pytest.importorskip("mlcroissant")
    found = mlcroissant.Dataset(jsonld=place / "croissant.json")
    assert not found.metadata.ctx.issues.errors
    missing = {
        text.partition('"')[2].partition('"')[0] for text in found.metadata.ctx.issues.warnings
    }
    assert missing == {"https://schema.org/datePublished", "https://schema.org/license"}
    for table in ("telemetry_jar_raw", "telemetry_env", "feature_store", "battery", "anomaly"):
        records = list(found.records(table))
        assert len(records) == rows_of(place, table)
    ids = {record["battery/battery_id"].decode() for record in found.records("battery")}
    assert ids == set(pd.read_csv(place / "battery.csv").battery_id)


@pytest.mark.slow
@ignoring
def test_frictionless_reads_it(place: Path) -> None:
    frictionless = pytest.importorskip("frictionless")
    package = frictionless.Package(str(place / "datapackage.json"))
    assert frictionless.Package.validate_descriptor(str(place / "datapackage.json")).valid
    for resource in package.resources:
        found = resource.validate().flatten(["fieldName", "cell", "note"])
        table = TABLES[resource.name]
        # A null of Parquet is NaN to it, which lies in no range.
        wrong = [each for each in found if each[1] != "nan" or not table.column(each[0]).nullable]
        assert wrong == [], resource.name
    rows = package.get_resource("telemetry_jar_raw").read_rows()
    parts = [e["path"] for e in manifest(place)["files"] if e["table"] == "telemetry_jar_raw"]
    first = next(path for path in parts if "/" in path)
    if first.endswith(".csv.gz"):
        assert len(rows) == rows_of(place, "telemetry_jar_raw")
    else:  # of Parquet it reads no second part
        assert float(rows[0]["voltage_v"]) == pytest.approx(
            pq.ParquetFile(place / first).read()["voltage_v"][0].as_py()
        )


@pytest.mark.slow
@ignoring
def test_frictionless_finds_what_is_wrong(places: dict[str, Path], tmp_path: Path) -> None:
    """So that the test above can fail."""
    frictionless = pytest.importorskip("frictionless")
    place = tiny.generate(tmp_path / "set", run__duration_days=0.5)
    path = place / "battery.csv"
    path.write_text(path.read_text().replace(",REC-01-S1", ",", 1).replace("DC-T-01", "", 1))
    package = frictionless.Package(str(place / "datapackage.json"))
    assert not package.get_resource("battery").validate().valid


def test_the_repository_says_how_to_cite_it() -> None:
    yaml = pytest.importorskip("yaml")
    found = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert found["cff-version"] == "1.2.0"
    assert found["version"] == __version__
    assert found["license"] == "Apache-2.0"
    assert found["authors"] == [{"name": "fleetgen contributors"}]
    assert {"message", "title", "type"} <= found.keys()
