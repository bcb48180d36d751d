"""Damage of every kind is found, told in one line, and repaired to what it was."""

import gzip
import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fleetgen import reread, task
from fleetgen.cli import main
from fleetgen.errors import ConfigError
from fleetgen.io import csv, dataset
from fleetgen.pipeline import generate
from fleetgen.plan import make_plan
from fleetgen.schema import JAR_CALC, JAR_RAW, RECORDS, TABLES
from fleetgen.verify import Findings, verify
from tests import tiny

RUN = "_fleetgen/run.json"
MANIFEST = "_fleetgen/manifest.json"
PART = (
    "telemetry_jar_raw/location=DC-T-01/string=DC-T-01-UPS-01-S1/month=2025-01/"
    "part-2025-01-02-1.parquet"
)
JOB = "DC-T-01-UPS-01-S1-2025-01-02-1"
RECEIPT = f"_fleetgen/receipts/{JOB}.json"
FEATURES = PART.replace("telemetry_jar_raw", "feature_store")
CONDITIONS = PART.replace("telemetry_jar_raw", "alert_condition")
JARS, INSTANTS = 3, 288


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three strings and a room, two blocks of a day; alarming are jars of ten years."""
    place = tmp_path_factory.mktemp("verify") / "set"
    early = {"warning": 20.0}
    return tiny.generate(
        place, tiny.TWO_SYSTEMS, execution__block_days=1, alerts__resistance_increase=early
    )


@pytest.fixture
def place(made: Path, tmp_path: Path) -> Path:
    """A copy to be damaged."""
    return Path(shutil.copytree(made, tmp_path / "set", symlinks=True))


def tree(path: Path) -> dict[str, str]:
    """Every file's SHA-256, but of those that say how long the parts took."""
    return {
        p.relative_to(path).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(path.rglob("*"))
        if p.is_file() and p.parent.name != "timings"
    }


def told(found: Findings) -> list[str]:
    return [f"{each.path}: {each.what}" for each in found.bad]


def edit(path: Path, change: Callable[[Any], None]) -> None:
    """Change a control file's JSON, which stays valid."""
    document = json.loads(path.read_bytes())
    change(document)
    path.write_text(json.dumps(document) + "\n")


def entry_of(document: dict[str, Any], path: str) -> dict[str, Any]:
    (entry,) = [each for each in document["files"] if each["path"] == path]
    return entry  # type: ignore[no-any-return]


def agreed(place: Path, path: str) -> None:
    """Let receipt and manifest say of a file what it is: bytes, SHA-256 and rows."""
    data = (place / path).read_bytes()
    rows = pq.read_metadata(place / path).num_rows
    facts = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), "rows": rows}
    for file in (RECEIPT, MANIFEST):
        edit(place / file, lambda document: entry_of(document, path).update(facts))


def rewritten(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    """Write other rows by another writer, with the metadata of the file."""
    table = change(pq.read_table(path, partitioning=None))
    pq.write_table(table, path)


# --- a whole set ----------------------------------------------------------------------------------


def test_a_whole_set_is_whole(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = tree(made)
    arguments = ["verify", str(made), "--values", "all", "--rederive", "all", "--progress", "none"]
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    assert err == ""
    # By hand: 3 strings and a room, 2 blocks; 7 files of a string (telemetry 4, features, truth,
    # alert conditions, for each has readings beyond a level on each day), 1 of a room that has
    # none; 11 tables, features, jar samples, jar values, states, two reports and two for catalogues
    # at the end.
    assert out.splitlines() == [
        "check            checked       bad",
        "control files          3         0",
        "receipts               8         0",
        "files                 63         0",
        "rows                  59         0",
        "values                44         0",
        "strangers             44         0",
        "made again             8         0",
        "the data set is whole",
    ]
    assert tree(made) == before


@pytest.mark.parametrize("writer", ["direct", "pyarrow"])
def test_either_writers_files_are_read_back(tmp_path: Path, writer: str) -> None:
    place = tiny.generate(tmp_path / "set", tiny.ONE_STRING, output__writer=writer)
    found = verify(str(place), values="all", rederive="all")
    assert told(found) == []
    assert found.checked["values"] == 8  # 7 of the string, 1 of the room


def test_a_block_that_ends_within_a_day_and_one_without_an_hour(tmp_path: Path) -> None:
    for days in (1.3, 0.01):
        place = tiny.generate(tmp_path / f"set-{days}", run__duration_days=days)
        found = verify(str(place), values="all", rederive="1")
        assert told(found) == []
    assert found.checked["files"] == 6 + 1 + 19  # no features, no conditions


def test_amounts(made: Path) -> None:
    def checked(**amounts: str) -> tuple[int, int]:
        found = verify(str(made), **amounts)  # type: ignore[arg-type]
        return found.checked["values"], found.checked["made again"]

    assert checked() == (1, 0)
    assert checked(values="0", rederive="1%") == (0, 1)
    assert checked(values="50%", rederive="3") == (22, 3)
    assert checked(values="99", rederive="0") == (44, 0)
    for wrong in ("", "-1", "101%", "1.5", "some", "1e3", "%"):
        with pytest.raises(ConfigError, match="--rederive = "):
            verify(str(made), rederive=wrong or "x")


def test_progress_is_told(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(made), "--progress", "json", "--rederive", "1"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert lines[-1] == {"stage": "made again", "done": 1, "total": 1}
    assert {"stage": "files", "done": 63, "total": 63} in lines


# --- damage ---------------------------------------------------------------------------------------


def shorter(place: Path) -> None:
    """A valid file of fewer rows, as an interrupted streaming writer leaves it."""
    rewritten(place / PART, lambda table: table.slice(0, 2 * INSTANTS))


def flipped(place: Path) -> None:
    data = bytearray((place / PART).read_bytes())
    data[len(data) // 2] ^= 0x10
    (place / PART).write_bytes(data)


def truncated(place: Path) -> None:
    (place / PART).write_bytes((place / PART).read_bytes()[:1000])


def empty(place: Path) -> None:
    (place / PART).write_bytes(b"")


def missing(place: Path) -> None:
    (place / PART).unlink()


def of_another_run(place: Path) -> None:
    other = tiny.generate(
        place.with_name("other"), tiny.TWO_SYSTEMS, execution__block_days=1, run__seed=7
    )
    shutil.copy(other / PART, place / PART)


def receipt_missing(place: Path) -> None:
    (place / RECEIPT).unlink()


def receipt_damaged(place: Path) -> None:
    (place / RECEIPT).write_bytes((place / RECEIPT).read_bytes()[:100])


def receipt_of_another(place: Path) -> None:
    shutil.copy(place / RECEIPT.replace("UPS-01-S1", "UPS-01-S2"), place / RECEIPT)


def receipt_lies(place: Path) -> None:
    edit(place / RECEIPT, lambda d: entry_of(d, PART).update(sha256="0f" * 32))


def receipt_lies_of_values(place: Path) -> None:
    edit(place / RECEIPT, lambda d: entry_of(d, PART)["digests"].update({"2025-01-02": "0" * 32}))


def receipt_short(place: Path) -> None:
    edit(place / RECEIPT, lambda d: d["files"].pop())


def receipt_greedy(place: Path) -> None:
    edit(place / RECEIPT, lambda d: entry_of(d, PART).update(path="battery.csv"))


def manifest_lies(place: Path) -> None:
    edit(place / MANIFEST, lambda d: entry_of(d, PART).update(rows=5))


def manifest_forgets(place: Path) -> None:
    edit(place / MANIFEST, lambda d: d["files"].remove(entry_of(d, PART)))


def manifest_adds(place: Path) -> None:
    edit(
        place / MANIFEST,
        lambda d: d["files"].append(entry_of(d, PART) | {"path": "telemetry_jar_raw/more"}),
    )


def manifest_repeats(place: Path) -> None:
    edit(place / MANIFEST, lambda d: d["files"].append(entry_of(d, "location.csv")))


def manifest_of_another_plan(place: Path) -> None:
    edit(place / MANIFEST, lambda d: d["header"].update(seed=7, plan_digest="0" * 64))


def manifest_miscounts(place: Path) -> None:
    edit(place / MANIFEST, lambda d: d["header"]["rows"].update(telemetry_env=1))


def manifest_truncated(place: Path) -> None:
    (place / MANIFEST).write_bytes((place / MANIFEST).read_bytes()[:500])


def manifest_missing(place: Path) -> None:
    (place / MANIFEST).unlink()


def marker_missing(place: Path) -> None:
    (place / "_SUCCESS").unlink()


def table_damaged(place: Path) -> None:
    (place / "battery.csv").write_bytes(b"mine\n")


def table_missing(place: Path) -> None:
    (place / "anomaly.csv").unlink()


def features_damaged(place: Path) -> None:
    """A valid, shorter gzip file: one member is gone."""
    text = gzip.decompress((place / "feature_store.csv.gz").read_bytes()).splitlines(True)
    (place / "feature_store.csv.gz").write_bytes(gzip.compress(b"".join(text[:49])))


def both_damaged(place: Path) -> None:
    features_damaged(place)
    (place / FEATURES).unlink()


DAMAGE = {
    shorter: [f"{PART}: ", " bytes instead of ", "; 576 rows instead of 864"],
    flipped: [f"{PART}: its SHA-256 is ", "... instead of "],
    truncated: [f"{PART}: 1,000 bytes instead of ", "; no whole Parquet file"],
    empty: [f"{PART}: 0 bytes instead of ", "; no whole Parquet file"],
    missing: [f"{PART}: is missing"],
    of_another_run: [f"{PART}: ", "; of plan "],
    receipt_missing: [f"{RECEIPT}: is missing"],
    receipt_damaged: [f"{RECEIPT}: cannot be used: line 1, column "],
    receipt_of_another: [f"{RECEIPT}: cannot be used: it is the receipt of "],
    receipt_lies: [f"{RECEIPT}: its sha256 of {PART} is not that of the file"],
    receipt_lies_of_values: [f"{RECEIPT}: its digests of {PART} is not that of the file"],
    receipt_short: [f"{RECEIPT}: names 5 files of 6"],
    receipt_greedy: [f"{RECEIPT}: names battery.csv, which is not of its part"],
    manifest_lies: [f"{MANIFEST}: its rows of {PART} is not that of the file"],
    manifest_forgets: [f"{MANIFEST}: does not name {PART}"],
    manifest_adds: [f"{MANIFEST}: names telemetry_jar_raw/more, which is no file of the plan"],
    manifest_repeats: [f"{MANIFEST}: names a file twice"],
    manifest_of_another_plan: [f"{MANIFEST}: its plan_digest and seed are not those of {RUN}"],
    manifest_miscounts: [f"{MANIFEST}: its rows are not the sums of those of the receipts"],
    manifest_truncated: [f"{MANIFEST}: cannot be used: line 3, column "],
    manifest_missing: [f"{MANIFEST}: is missing: the data set is not finished"],
    marker_missing: ["_SUCCESS: is missing"],
    table_damaged: ["battery.csv: 5 bytes instead of ", "; 0 rows instead of 8"],
    table_missing: ["anomaly.csv: is missing"],
    features_damaged: ["feature_store.csv.gz: ", "; 48 rows instead of 384"],
}
"""Each damage, and words of the one line that tells it."""


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_damage_is_told_and_repaired(
    made: Path,
    place: Path,
    capsys: pytest.CaptureFixture[str],
    damage: Callable[[Path], None],
) -> None:
    damage(place)
    damaged = tree(place)
    assert main(["verify", str(place), "--progress", "none"]) == 1
    out, err = capsys.readouterr()
    assert err == ""
    *table, line, verdict = out.splitlines()
    assert verdict == "the data set is not whole; fleetgen verify --repair makes bad files again"
    assert len(table) == 8
    for words in DAMAGE[damage]:
        assert words in line
    assert tree(place) == damaged  # nothing is touched unasked

    assert main(["verify", str(place), "--progress", "none", "--repair"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    part_is_bad = DAMAGE[damage][0].startswith((PART, RECEIPT))
    assert f"parts made again: {int(part_is_bad)}" in out.splitlines()
    assert out.endswith("the data set is whole\n")
    assert tree(place) == tree(made)


@pytest.mark.parametrize(
    ("who", "line"),
    [
        (RECEIPT, f"{RECEIPT}: does not name {CONDITIONS}"),
        (MANIFEST, f"{MANIFEST}: does not name {CONDITIONS}"),
    ],
)
def test_records_that_one_alone_names_are_told(
    made: Path, place: Path, who: str, line: str
) -> None:
    """Of tables of which a part may have no file."""
    edit(place / who, lambda d: d["files"].remove(entry_of(d, CONDITIONS)))
    assert line in told(verify(str(place)))
    assert told(verify(str(place), repair=True)) == []
    assert tree(place) == tree(made)


def test_records_that_nobody_names_are_strangers(place: Path) -> None:
    other = place / CONDITIONS.replace("alert_condition", RECORDS[1].name)
    other.parent.mkdir(parents=True)
    shutil.copy(place / CONDITIONS, other)
    shutil.copy(place / CONDITIONS, place / CONDITIONS.replace("01-02-1", "01-03-1"))
    assert [(each.check, each.path.partition("/")[0]) for each in verify(str(place)).bad] == [
        ("strangers", "alert_condition"),
        ("strangers", RECORDS[1].name),
    ]


def test_several_damages_at_once(made: Path, place: Path) -> None:
    for damage in (both_damaged, truncated, receipt_lies, manifest_truncated, marker_missing):
        damage(place)
    found = verify(str(place), repair=True)
    assert told(found) == []
    assert found.remade == 1
    assert tree(place) == tree(made)


def test_only_bad_parts_are_replaced(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shorter(place)
    features_damaged(place)
    kept = {p: p.stat().st_mtime_ns for p in place.rglob("part-*") if "UPS-01-S1" not in str(p)}
    ran: list[str] = []
    make = task.make_part
    monkeypatch.setattr(task, "make_part", lambda job: (ran.append(job.key), make(job))[1])
    assert told(verify(str(place), repair=True)) == []
    assert ran == [JOB]
    assert len(kept) == 44 - 14
    assert {p: p.stat().st_mtime_ns for p in kept} == kept


def test_an_unfinished_set_is_told_and_finished(made: Path, place: Path) -> None:
    for key in ("_SUCCESS", MANIFEST, RECEIPT, PART, FEATURES, "battery_states.json"):
        (place / key).unlink()
    found = verify(str(place))
    assert sorted(told(found)) == sorted(
        [
            f"{MANIFEST}: is missing: the data set is not finished",
            f"{RECEIPT}: is missing",
            f"{PART}: is missing",
            f"{FEATURES}: is missing",
        ]
    )
    assert told(verify(str(place), repair=True)) == []
    assert tree(place) == tree(made)


def test_the_first_twenty_are_told(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in place.rglob("part-*"):
        path.write_bytes(b"")
    assert main(["verify", str(place), "--progress", "none"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "files                 63        44" in lines
    assert len(lines) == 8 + 20 + 1 + 1
    assert lines[-2] == "and 24 more"


# --- what lies agree on ---------------------------------------------------------------------------


def shifted(table: pa.Table) -> pa.Table:
    """One voltage is a count higher."""
    volts = table["voltage_v"].to_numpy().copy()
    volts[10] += np.float32(0.001)
    return table.set_column(2, table.schema.field(2), pa.array(volts, from_pandas=True))


def test_values_are_read_back(place: Path) -> None:
    """Only the values tell that a file was exchanged, where all say that its bytes are right."""
    rewritten(place / PART, shifted)
    agreed(place, PART)
    assert told(verify(str(place), values="0")) == []
    (line,) = told(verify(str(place), values="all"))
    assert line.startswith(f"{PART}: the digest of 2025-01-02 is ")
    assert told(verify(str(place), values="all", repair=True)) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.take([1, 0, *range(2, t.num_rows)]), "out of order"),
        (lambda t: t.take([0, 0, *range(2, t.num_rows)]), "there twice"),
        (lambda t: t.slice(0, t.num_rows - 1), "DC-T-01-UPS-01-S1-J03: 287 instants instead of"),
        (lambda t: pa.concat_tables([t, t.slice(0, 1)]), "there twice"),
        (lambda t: t.drop_columns(["conductance_s"]), "its columns are not those of telemetry_jar"),
        (
            lambda t: t.set_column(1, "battery_id", pa.array(["X"] * t.num_rows)),
            "'X' is not of this part",
        ),
    ],
)
def test_keys_are_unique_and_complete(
    place: Path, change: Callable[[pa.Table], pa.Table], words: str
) -> None:
    rewritten(place / PART, change)
    agreed(place, PART)
    found = [line for line in told(verify(str(place), values="all")) if line.startswith(PART)]
    assert len(found) == 1
    assert words in found[0]


def test_parts_are_made_again_where_all_lie(made: Path, place: Path) -> None:
    """Bytes, rows and digests of a changed file are consistent; the plan knows better."""
    rewritten(place / PART, shifted)
    agreed(place, PART)
    wrong = told(verify(str(place), values="all"))[0]
    digest = wrong.split("the digest of 2025-01-02 is ")[1].split(" ")[0]
    for file in (RECEIPT, MANIFEST):
        edit(place / file, lambda d: entry_of(d, PART)["digests"].update({"2025-01-02": digest}))
    assert told(verify(str(place), values="all")) == []
    assert told(verify(str(place), rederive="all")) == [
        f"{PART}: its values are not those of the plan (2025-01-02)"
    ]
    assert told(verify(str(place), rederive="all", repair=True)) == []
    assert tree(place) == tree(made)


def test_what_a_receipt_says_of_states_is_made_again(made: Path, place: Path) -> None:
    def healed(document: dict[str, Any]) -> None:
        document["states"]["DC-T-01-UPS-01-S1-J01"]["soh_pct"] = 100.0

    edit(place / RECEIPT, healed)
    assert told(verify(str(place))) == []
    assert told(verify(str(place), rederive="all")) == [
        f"{RECEIPT}: its states are not those of the plan"
    ]
    assert told(verify(str(place), rederive="all", repair=True)) == []
    assert tree(place) == tree(made)


def test_a_planted_checkpoint_is_not_trusted(made: Path, place: Path) -> None:
    """Checkpoints are a cache of a run at work; a finished set has none."""
    other = tiny.config(
        tiny.TWO_SYSTEMS,
        output__directory=str(place.with_name("other")),
        execution__block_days=1,
        run__seed=7,
    )
    for job in make_plan(other, str(place.with_name("other"))).slow_paths:
        task.begin_job(job)()
    shutil.copytree(place.with_name("other") / "_fleetgen", place / "_fleetgen", dirs_exist_ok=True)
    assert len(list((place / "_fleetgen/checkpoints").iterdir())) == 2
    assert told(verify(str(place), rederive="all")) == []
    missing(place)
    assert told(verify(str(place), repair=True)) == []
    assert tree(place) == tree(made)


def test_other_bytes_of_equal_values_are_a_note(place: Path) -> None:
    rewritten(place / PART, lambda table: table)
    agreed(place, PART)
    found = verify(str(place), values="all", rederive="all")
    assert told(found) == []
    assert found.notes == [
        "1 file made again: equal values in other bytes, for another version of a library "
        "encoded them"
    ]


# --- strangers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "telemetry_jar_raw/extra.parquet",
        "telemetry_jar_raw/my file.parquet",
        PART.replace("01-02-1", "01-03-1"),
        "feature_store/location=DC-T-01/notes.csv",
        "telemetry_env/location=DC-X/month=2025-01/part-2025-01-01-1.parquet",
    ],
)
def test_strangers_among_the_parts_are_told_and_left(
    place: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (place / name).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(place / PART, place / name)
    for more in ([], ["--repair"]):
        assert main(["verify", str(place), "--progress", "none", *more]) == 1
        lines = capsys.readouterr().out.splitlines()
        told = f"{name}: is not of this data set, and readers would take it in"
        assert lines[-2:] == [
            told,
            "the data set is whole, but for the strangers in it: move or clean them away",
        ]
        assert (place / name).exists()


def test_what_readers_skip_is_no_stranger(place: Path) -> None:
    (place / "notes.txt").write_text("mine")
    (place / "telemetry_jar_raw" / "_notes").write_text("mine")
    (place / "telemetry_jar_raw" / ".tmp-0123456789abcdef").write_text("left")
    assert told(verify(str(place))) == []


def test_a_receipt_of_no_part_is_told(place: Path) -> None:
    stray = RECEIPT.replace("01-02-1", "01-03-1")
    shutil.copy(place / RECEIPT, place / stray)
    assert told(verify(str(place))) == [f"{stray}: is the receipt of no part of the plan"]


# --- no data set ----------------------------------------------------------------------------------


def refused(place: Path, capsys: pytest.CaptureFixture[str], *more: str) -> str:
    before = tree(place)
    assert main(["verify", str(place), "--progress", "none", *more]) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    assert tree(place) == before
    return err


def test_a_place_without_a_data_set_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for place in (tmp_path, tmp_path / "absent"):
        assert "run.json" in refused(place, capsys, "--repair")
    assert not (tmp_path / "absent").exists()


def identity_changed(place: Path) -> None:
    edit(place / RUN, lambda d: d["identity"]["run"].update(seed=7))


def identity_infinite(place: Path) -> None:
    text = (place / RUN).read_text().replace('"hazard_scale":1.0', '"hazard_scale":1e999')
    (place / RUN).write_text(text)


def identity_deep(place: Path) -> None:
    text = (place / RUN).read_text().replace('"hazard_scale":1.0', '"x":' + "[" * 900 + "]" * 900)
    (place / RUN).write_text(text)


@pytest.mark.parametrize("damage", [identity_changed, identity_infinite, identity_deep])
def test_a_damaged_identity_ends_it(
    place: Path, capsys: pytest.CaptureFixture[str], damage: Callable[[Path], None]
) -> None:
    damage(place)
    assert f"{RUN} cannot be used:" in refused(place, capsys)
    assert f"{RUN} cannot be used:" in refused(place, capsys, "--repair")


def forged(place: Path, change: Callable[[Any], None]) -> None:
    """Change the identity, and let its digest be that of the changed one."""

    def sign(document: dict[str, Any]) -> None:
        change(document["identity"])
        text = json.dumps(document["identity"], sort_keys=True, separators=(",", ":"))
        document["digest"] = hashlib.sha256(text.encode()).hexdigest()

    edit(place / RUN, sign)


def test_a_set_of_another_version_is_looked_at_and_not_made_again(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    forged(place, lambda identity: identity.update(version={"data": 1, "schema": 1}))
    found = verify(str(place), values="all")
    assert found.checked["files"] == 63
    assert found.checked["values"] == 0
    assert "values are not read back, for it is of data version 1" in found.notes[0]
    for more in (["--rederive", "1%"], ["--repair"]):
        err = refused(place, capsys, *more)
        assert "no part can be made again, for it is of data version 1 and schema version 1" in err


def test_a_memory_store_is_verified_too() -> None:
    generate(tiny.config(output__directory="memory://verified"))
    assert told(verify("memory://verified", values="all", rederive="1")) == []


# --- values ---------------------------------------------------------------------------------------


def test_row_groups_come_back_as_counts(made: Path) -> None:
    """Against pyarrow's own reading, column by column."""
    for table in (JAR_RAW, JAR_CALC):
        path = made / PART.replace(JAR_RAW.name, table.name)
        plain = pq.read_table(path, partitioning=None).to_pylist()
        at = 0
        for group in dataset.iter_groups(table, path):
            rows = group["ts"].rows
            codes: Any = group["battery_id"]
            names = [codes.levels[code] for code in codes.codes]
            assert names == [row["battery_id"] for row in plain[at : at + rows]]
            for column in table.columns[2:]:
                counts: Any = group[column.name]
                values = [row[column.name] for row in plain[at : at + rows]]
                expected = [-(2**63) if v is None else round(v * column.per_unit) for v in values]
                assert counts.counts.tolist() == expected
            at += rows
        assert at == len(plain) == JARS * INSTANTS


@pytest.mark.parametrize("block_bytes", [1 << 23, 5000])
def test_csv_reads_back_to_the_same_digests(
    made: Path, monkeypatch: pytest.MonkeyPatch, block_bytes: int
) -> None:
    """What Parquet and CSV hold of a part is the same by the digests of its receipt."""
    monkeypatch.setattr(dataset, "_CSV_BLOCK_BYTES", block_bytes)
    config = tiny.config(tiny.TWO_SYSTEMS, execution__block_days=1)
    jobs = make_plan(config, str(made)).parts
    assert {job.key for job in jobs} >= {JOB}
    for job in (job for job in jobs if job.key in (JOB, "DC-T-01-ENV-01-2025-01-01-1")):
        entries = json.loads((made / f"_fleetgen/receipts/{job.key}.json").read_bytes())["files"]
        for entry in entries:
            table = TABLES[entry["table"]]
            groups = list(dataset.iter_groups(table, made / entry["path"]))
            packed = csv.header_member(table) + csv.csv_gz_member(table, groups, 7 * 3600)
            read = dataset.iter_csv_groups(table, io.BytesIO(packed))
            assert reread.row_digests(job, table, read) == entry["digests"]
            cut = dataset.iter_csv_groups(table, io.BytesIO(packed[: len(packed) // 2]))
            with pytest.raises(ValueError, match=r"no whole gzip file of CSV|instants instead of"):
                reread.row_digests(job, table, cut)


def test_a_part_that_is_a_link_out_is_not_read(made: Path, place: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.parquet"
    shutil.copy(place / PART, outside)
    (place / PART).unlink()
    os.symlink(outside, place / PART)
    (line,) = told(verify(str(place)))
    assert line.startswith(f"{PART}: will not touch ")
    assert "a link leads out" in line
    before = outside.read_bytes()
    assert told(verify(str(place), repair=True)) == []
    assert outside.read_bytes() == before
    assert not (place / PART).is_symlink()
    assert tree(place) == tree(made)
