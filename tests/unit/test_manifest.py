"""Control files: canonical, whole, and read with suspicion."""

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleetgen.errors import StorageError
from fleetgen.io import manifest
from fleetgen.io.store import Store, open_store
from fleetgen.spec import FileEntry, Receipt
from tests.memory import peak_bytes

IDENTITY = {
    "seed": 42,
    "grid": {"start": "2025-01-01", "interval_s": 300},
    "strings": ["S1", "S2"],
    "name": "เชียงใหม่",
}
ENTRY = FileEntry(
    table="telemetry_jar_raw",
    path="telemetry_jar_raw/location=DC-CNX-01/part-2025-01-01-31.parquet",
    rows=24 * 288,
    bytes=1000,
    sha256="0f" * 32,
    group="DC-CNX-01-UPS-01-S1",
    digests={"2025-01-01": "ab12", "2025-01-02": "cd34"},
)
RECEIPT = Receipt(
    job="DC-CNX-01-UPS-01-S1-2025-01-01-31",
    files=(ENTRY, replace(ENTRY, table="feature_store", path="feature_store/part-1.parquet")),
    statistics={"telemetry_jar_raw.voltage_v": {"count": 6912, "sum": -3, "min": -(2**40)}},
    states={"DC-CNX-01-UPS-01-S1-J01": {"soh_pct": 98.5, "failed": False, "failure_date": None}},
    plan="d1",
)
DAY_S = 86_400


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "out"))


# --- identity -------------------------------------------------------------------------------------


def test_a_directory_is_claimed_once_and_joined_after(store: Store) -> None:
    assert manifest.claim(store, IDENTITY, "d1") == "created"
    first = store.get("_fleetgen/run.json")
    assert manifest.claim(store, IDENTITY, "d1") == "joined"
    assert store.get("_fleetgen/run.json") == first
    assert manifest.read_run(store) == manifest.RunRecord("d1", IDENTITY)


def test_another_plan_is_refused_with_what_differs(store: Store) -> None:
    manifest.claim(store, IDENTITY, "d1")
    before = store.get("_fleetgen/run.json")
    other = {
        "seed": 43,
        "grid": {"start": "2025-01-01", "interval_s": 300},
        "strings": ["S1", "S3", "S4"],
        "parts": {},
    }
    with pytest.raises(StorageError) as caught:
        manifest.claim(store, other, "d2")
    head, *lines = str(caught.value).split("\n  ")
    assert "another plan" in head
    assert "--output-dir" in head
    assert lines == [
        r'name: "\u0e40\u0e0a\u0e35\u0e22\u0e07\u0e43\u0e2b\u0e21\u0e48" -> absent',
        "parts: absent -> {}",
        "seed: 42 -> 43",
        'strings[1]: "S2" -> "S3"',
        'strings[2]: absent -> "S4"',
    ]
    assert store.get("_fleetgen/run.json") == before


def test_strangers_of_our_names_are_not_overwritten(store: Store) -> None:
    store.put("battery.csv", b"mine")
    with pytest.raises(StorageError, match=r"holds 'battery.csv', which .* would overwrite"):
        manifest.claim(store, IDENTITY, "d1", ["location.csv", "battery.csv"])
    assert store.keys() == ["battery.csv"]
    assert manifest.claim(store, IDENTITY, "d1", ["location.csv"]) == "created"
    assert manifest.claim(store, IDENTITY, "d1", ["battery.csv"]) == "joined"


def test_a_long_difference_is_cut(store: Store) -> None:
    manifest.claim(store, {f"k{number:02d}": 0 for number in range(50)}, "d1")
    with pytest.raises(StorageError) as caught:
        manifest.claim(store, {f"k{number:02d}": "x" * 500 for number in range(50)}, "d2")
    lines = str(caught.value).splitlines()
    assert len(lines) == 1 + 20 + 1
    assert lines[-1].strip() == "and 30 more"
    assert max(map(len, lines[1:])) < 120


def test_one_of_two_plans_wins_a_race(store: Store) -> None:
    outcomes: list[str] = []
    start = threading.Barrier(4)

    def claim(digest: str) -> None:
        start.wait()
        try:
            outcomes.append(manifest.claim(store, {"plan": digest}, digest))
        except StorageError:
            outcomes.append("refused")

    threads = [threading.Thread(target=claim, args=(digest,)) for digest in "aabb"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["created", "joined", "refused", "refused"]


@pytest.mark.parametrize(
    "left",
    [
        "_SUCCESS",
        "_fleetgen/manifest.json",
        "_fleetgen/receipts/part-1.json",
        "_fleetgen/extents/0000.json",
    ],
)
def test_parts_that_lost_their_identity_are_not_adopted(store: Store, left: str) -> None:
    store.put(left, b"{}")
    with pytest.raises(StorageError, match=r"but no _fleetgen/run\.json"):
        manifest.claim(store, IDENTITY, "d1")
    assert store.keys() == [left]


# --- extents --------------------------------------------------------------------------------------


def lengthened(store: Store, *days: float) -> tuple[int, ...]:
    """Give a data set these durations, one run after the other."""
    extents: tuple[int, ...] = ()
    for each in days:
        extents = manifest.next_extents(store, round(each * DAY_S))
        manifest.extend(store, extents)
    return extents


def test_extents_are_numbered_and_none_is_written_twice(store: Store) -> None:
    assert manifest.read_extents(store) == ()
    assert lengthened(store, 3, 4, 4, 6) == (3 * DAY_S, 4 * DAY_S, 6 * DAY_S)
    assert manifest.read_extents(store) == (3 * DAY_S, 4 * DAY_S, 6 * DAY_S)
    assert store.keys() == [f"_fleetgen/extents/000{n}.json" for n in range(3)]
    assert store.get("_fleetgen/extents/0001.json") == (
        b'{"durations_seconds":[259200,345600],"format":1,"kind":"extent"}\n'
    )


def test_extending_says_whether_it_did(store: Store) -> None:
    assert manifest.extend(store, (3 * DAY_S,)) is True
    assert manifest.extend(store, (3 * DAY_S,)) is False
    assert manifest.next_extents(store, 3 * DAY_S) == (3 * DAY_S,)
    assert manifest.next_extents(store, 4 * DAY_S + 1) == (3 * DAY_S, 4 * DAY_S + 1)
    assert manifest.read_extents(store) == (3 * DAY_S,)


@pytest.mark.parametrize(
    ("there", "asked", "reason"),
    [
        (3, 2, "holds 3 days of this plan, not 2 days: no part is taken away"),
        (3, 2.5, "holds 3 days of this plan, not 2.5 days"),
        (1, 1 / DAY_S, "holds 1 day of this plan, not"),
        (2.5, 3, "holds 2.5 days of this plan, not 3 days: only whole days can be"),
    ],
)
def test_what_cannot_be_extended_is_refused(
    store: Store, there: float, asked: float, reason: str
) -> None:
    lengthened(store, there)
    before = store.keys()
    with pytest.raises(StorageError) as caught:
        manifest.next_extents(store, round(asked * DAY_S))
    assert reason in str(caught.value)
    assert f"Give --duration-days {there:g}, or choose another --output-dir" in str(caught.value)
    assert store.keys() == before


@pytest.mark.parametrize("before", [(), (DAY_S,)])
def test_one_of_two_durations_wins_a_race(store: Store, before: tuple[int, ...]) -> None:
    lengthened(store, *(each / DAY_S for each in before))
    outcomes: dict[int, str] = {}
    start = threading.Barrier(4)

    def extend(index: int, days: int) -> None:
        extents = manifest.next_extents(store, days * DAY_S)
        start.wait()
        try:
            outcomes[index] = f"{days} {manifest.extend(store, extents)}"
        except StorageError as error:
            outcomes[index] = str(error)

    threads = [threading.Thread(target=extend, args=pair) for pair in enumerate((3, 3, 6, 6))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    days = manifest.read_extents(store)[-1] // DAY_S
    kept = [text for text in outcomes.values() if len(text) < 10]
    assert sorted(kept) == [f"{days} False", f"{days} True"]
    for text in outcomes.values():
        if text not in kept:
            assert f"was given {days} days by another run, while this one makes {9 - days}" in text


@pytest.mark.parametrize(
    ("durations", "reason"),
    [
        ([], "the durations [] are not its"),
        ([0], "the durations [0] are not its"),
        ([-DAY_S], "are not its"),
        ([DAY_S, 2 * DAY_S], "are not its"),
        ([DAY_S / 2], "durations_seconds[0] = 43200.0 is of the wrong type"),
        ({}, "durations_seconds = {} is of the wrong type"),
        (None, "is of the wrong type"),
    ],
)
def test_a_damaged_extent_is_refused(store: Store, durations: object, reason: str) -> None:
    document = {"format": 1, "kind": "extent", "durations_seconds": durations}
    store.put("_fleetgen/extents/0000.json", json.dumps(document).encode())
    with pytest.raises(StorageError) as caught:
        manifest.read_extents(store)
    assert f"{store.url}/_fleetgen/extents/0000.json cannot be used: " in str(caught.value)
    assert reason in str(caught.value)
    assert "Delete this file, then run the command of the longest" in str(caught.value)


def test_extents_that_do_not_rise_or_count_are_refused(store: Store) -> None:
    lengthened(store, 3, 4)
    document = {"format": 1, "kind": "extent", "durations_seconds": [4, 3]}
    store.put("_fleetgen/extents/0001.json", json.dumps(document).encode())
    with pytest.raises(StorageError, match=r"0001\.json cannot .* \[4,3\] are not its"):
        manifest.read_extents(store)
    store.put("_fleetgen/extents/0002.json", store.get("_fleetgen/extents/0000.json"))
    with pytest.raises(StorageError, match=r"0002\.json cannot .* \[259200\] are not its"):
        manifest.read_extents(store)
    store.put("_fleetgen/extents/note.txt", b"a stranger")
    store.delete(["_fleetgen/extents/0001.json", "_fleetgen/extents/0002.json"])
    assert manifest.read_extents(store) == (3 * DAY_S,)


# --- receipts and manifest ------------------------------------------------------------------------


def test_a_receipt_comes_back(store: Store) -> None:
    assert manifest.receipts_done(store) == set()
    manifest.write_receipt(store, RECEIPT)
    assert manifest.receipts_done(store) == {RECEIPT.job}
    assert manifest.read_receipt(store, RECEIPT.job) == RECEIPT
    assert manifest.read_receipt(store, RECEIPT.job, "d1") == RECEIPT
    with pytest.raises(StorageError, match=r'it is of another plan, "d1"\. Delete this file'):
        manifest.read_receipt(store, RECEIPT.job, "d2")


def test_control_files_are_canonical(store: Store) -> None:
    manifest.claim(store, IDENTITY, "d1")
    manifest.write_receipt(store, RECEIPT)
    manifest.write_manifest(store, {"b": 1, "a": [True, None]}, iter(RECEIPT.files))
    for key in store.keys("_fleetgen"):
        raw = store.get(key)
        document = json.loads(raw)
        assert document["format"] == 1
        if key == manifest.RUN:  # its keys stand in the order of the configuration
            assert list(document["identity"]) == list(IDENTITY)
            assert raw == (json.dumps(document, separators=(",", ":")) + "\n").encode("ascii")
            continue
        canonical = json.dumps(document, sort_keys=True, separators=(",", ":")) + "\n"
        assert raw.replace(b"[\n{", b"[{").replace(b"},\n{", b"},{").replace(b"}\n]", b"}]") == (
            canonical.encode("ascii")
        )


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_manifest_comes_back_and_success_is_last(
    store: Store, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = tuple(replace(ENTRY, path=f"t/part-{number}.parquet") for number in range(count))
    header = {"plan_digest": "d1", "versions": {"numpy": "2.4.6"}, "rows": 3_023_308_800}
    manifest.write_manifest(store, header, iter(files))
    assert manifest.read_manifest(store) == manifest.Manifest(header, files)
    assert store.keys() == ["_SUCCESS", "_fleetgen/manifest.json"]
    assert store.get("_fleetgen/manifest.json").count(b"\n") == (count + 2 if count else 1)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_header_is_read_without_the_files(store: Store, count: int) -> None:
    header = {"plan_digest": "d1", "rows": 3_023_308_800, "files": [1, 2]}
    manifest.write_manifest(store, header, [ENTRY] * count)
    assert manifest.read_header(store) == header == manifest.read_manifest(store).header


def test_a_header_is_read_in_little_memory(store: Store) -> None:
    digests = {f"2025-01-{day:02d}": "ab" * 16 for day in range(1, 32)}
    manifest.write_manifest(store, {"rows": 1}, (replace(ENTRY, digests=digests),) * 10_000)
    most = peak_bytes(lambda: manifest.read_header(store))
    assert len(store.get(manifest.MANIFEST)) > 10_000_000
    assert most < 6_000_000


@pytest.mark.parametrize("count", [0, 3])
@given(data=st.data())
@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_manifest_cut_short_anywhere_is_refused(
    store: Store, count: int, data: st.DataObject
) -> None:
    manifest.write_manifest(store, {"plan_digest": "d1"}, [ENTRY] * count)
    raw = store.get(manifest.MANIFEST)
    store.put(manifest.MANIFEST, raw[: data.draw(st.integers(0, len(raw) - 2))])
    with pytest.raises(StorageError, match=r"manifest\.json cannot be used: line \d+.*Delete"):
        manifest.read_header(store)
    store.put(manifest.MANIFEST, raw.replace(b'"rows":6912', b'"rows":-1', 1))
    if count:
        with pytest.raises(StorageError, match=r"line 2: .* are impossible"):
            manifest.read_header(store)


def test_closed_is_what_is_marked_and_of_the_duration(store: Store) -> None:
    assert manifest.is_closed(store, "d1", 5) is False
    manifest.write_manifest(store, {"plan_digest": "d1", "duration_seconds": 5}, [ENTRY])
    assert manifest.is_closed(store, "d1", 5) is True
    assert manifest.is_closed(store, "d1", 6) is False
    with pytest.raises(StorageError, match=r"manifest\.json cannot be used: it is of another plan"):
        manifest.is_closed(store, "d2", 5)
    manifest.reopen(store)
    assert manifest.is_closed(store, "d1", 5) is False
    assert store.keys() == ["_fleetgen/manifest.json"]


def test_an_interrupted_manifest_is_absent(store: Store) -> None:
    def files() -> Iterator[FileEntry]:
        yield ENTRY
        raise StorageError("a receipt cannot be read")

    with pytest.raises(StorageError, match="a receipt cannot be read"):
        manifest.write_manifest(store, {}, files())
    assert store.keys() == []


def test_a_manifest_is_never_all_in_memory(store: Store) -> None:
    digests = {f"2025-01-{day:02d}": "ab" * 16 for day in range(1, 32)}
    names = (f"t/part-{number}.parquet" for number in range(4000))
    files = (replace(ENTRY, path=name, digests=digests) for name in names)
    most = peak_bytes(lambda: manifest.write_manifest(store, {}, files))
    assert len(store.get(manifest.MANIFEST)) > 6_000_000
    assert most < 3_000_000


def test_numbers_that_are_none_are_never_written(store: Store) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        manifest.write_receipt(store, replace(RECEIPT, states={"J01": {"soh_pct": float("nan")}}))
    assert store.keys() == []


# --- damage ---------------------------------------------------------------------------------------


def damaged(store: Store, raw: bytes) -> str:
    store.put(manifest.receipt_key(RECEIPT.job), raw)
    with pytest.raises(StorageError) as caught:
        manifest.read_receipt(store, RECEIPT.job)
    message = str(caught.value)
    assert message.isascii()
    assert "\n" not in message
    assert message.startswith(f"{store.url}/_fleetgen/receipts/{RECEIPT.job}.json ")
    return message


def changed(**fields: object) -> bytes:
    document = {"format": 1, "kind": "receipt", "job": RECEIPT.job, "files": [], "statistics": {}}
    rest = {"states": {}, "swaps": {}, "events": [], "plan": "d1"}
    return json.dumps({**document, **rest, **fields}).encode()


def with_file(**fields: object) -> bytes:
    entry = {"table": "t", "path": "t/p", "rows": 1, "bytes": 1, "sha256": "0" * 64, "group": "g"}
    return changed(files=[{**entry, "digests": {}, **fields}])


def test_the_undamaged_documents_of_these_tests_are_read(store: Store) -> None:
    for raw in (changed(), with_file()):
        store.put(manifest.receipt_key(RECEIPT.job), raw)
        assert manifest.read_receipt(store, RECEIPT.job).job == RECEIPT.job


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "line 1, column 1: Expecting value"),
        (b'{\n"format": 1,\n"kind": }', "line 3, column 9: Expecting value"),
        (b"\xff\xfe{}", "can't decode byte 0xff"),
        (b"[" * 100_000, "recursion"),
        (b"[1]", "no receipt file of fleetgen"),
        (b"{}", "no receipt file of fleetgen"),
        (changed(kind="manifest"), "no receipt file of fleetgen"),
        (changed(format=None), "format = null"),
        (changed(format=True), "format = true"),
        (changed(format=0), "format = 0"),
        (changed(job="DC-CNX-01-UPS-01-S2-2025-01-01-31"), 'the receipt of "DC-CNX-01-UPS-01-S2'),
        (changed(job=7), "receipt.job = 7 is of the wrong type"),
        (changed(more=1), r'fields missing or unknown: ["more"]'),
        (changed(files={}), "receipt.files = {} is of the wrong type"),
        (changed(files=[{"path": "x"}]), r"receipt.files[0]: fields missing"),
        (changed(statistics={"t.c": {"count": 1.5}}), "receipt.statistics.t.c.count = 1.5"),
        (changed(statistics={"t.c": {"count": True}}), "receipt.statistics.t.c.count = true"),
        (changed(states={"x\n\ud800": 1}), r"receipt.states.x\n\ud800 = 1"),
        (changed(states={"x": {"soh_pct": float("inf")}}), "Infinity is no number"),
        (with_file(rows=-1), "receipt.files[0]: rows, bytes or sha256 of t/p are impossible"),
        (with_file(rows=True), "receipt.files[0].rows = true"),
        (with_file(bytes=-1), "impossible"),
        (with_file(sha256="0" * 63), "impossible"),
        (with_file(sha256="G" * 64), "impossible"),
        (with_file(path="../../etc/passwd"), 'path = "../../etc/passwd" is no path'),
        (with_file(path="/etc/passwd"), "is no path"),
        (with_file(path="s3://bucket/key"), "is no path"),
        (with_file(path=""), "is no path"),
        (with_file(path="t/" + "x" * 5000), "... is no path"),
    ],
)
def test_damage_is_told_with_the_way_out(store: Store, raw: bytes, reason: str) -> None:
    message = damaged(store, raw)
    assert reason in message
    assert "Delete this file, then run the same command again" in message


def test_a_newer_file_asks_for_a_newer_fleetgen(store: Store) -> None:
    message = damaged(store, changed(format=2, files="whatever comes then"))
    assert "has format 2, and this fleetgen knows formats up to 1. Use a newer fleetgen" in message


@given(data=st.data())
@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_damage_is_a_storage_error_or_no_damage(store: Store, data: st.DataObject) -> None:
    manifest.write_receipt(store, RECEIPT)
    key = manifest.receipt_key(RECEIPT.job)
    raw = bytearray(store.get(key))
    if data.draw(st.booleans()):
        del raw[data.draw(st.integers(0, len(raw) - 2)) :]
        whole = False
    else:
        position = data.draw(st.integers(0, len(raw) - 1))
        raw[position] = data.draw(st.integers(0, 255))
        whole = True
    store.put(key, bytes(raw))
    try:
        receipt = manifest.read_receipt(store, RECEIPT.job)
    except StorageError:
        return
    assert whole
    assert receipt.job == RECEIPT.job


def test_run_and_manifest_are_read_with_the_same_suspicion(store: Store) -> None:
    store.put("_fleetgen/run.json", b'{"format":1,"kind":"run","digest":"d1"}')
    with pytest.raises(StorageError, match=r"run\.json cannot be used: .*identity.*Choose another"):
        manifest.claim(store, IDENTITY, "d1")
    manifest.write_manifest(store, {}, [ENTRY])
    store.put("_fleetgen/manifest.json", store.get("_fleetgen/manifest.json")[:-20])
    with pytest.raises(StorageError, match=r"manifest\.json cannot be used: line 3, column"):
        manifest.read_manifest(store)
