"""An object store that fails in every known way: what is told, what is left, who waits for whom."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fleetgen.errors import StorageError
from fleetgen.io import s3
from fleetgen.io import store as store_module
from fleetgen.io.s3 import S3Store
from fleetgen.io.store import open_store
from tests import fault_proxy as faults
from tests.fault_proxy import FaultProxy
from tests.properties.plan import HERE, environment, run_python
from tests.servers import BUCKET, ObjectServer, free_ports

HASTY = {"read_timeout_s": "1", "connect_timeout_s": "1"}
Become = Callable[[str], None]


def store_at(url: str, endpoint: str, **options: str) -> S3Store:
    given = {"endpoint_url": endpoint, **options}
    store = open_store(url, tuple(sorted(given.items())))
    assert isinstance(store, S3Store)
    return store


@pytest.fixture
def direct(s3_url: str, object_store: ObjectServer) -> S3Store:
    """The test's prefix without a proxy."""
    return store_at(s3_url, object_store.endpoint, part_mib="5")


@pytest.fixture
def store(s3_url: str, proxy: FaultProxy) -> S3Store:
    """The test's prefix through the proxy, with little patience for silence."""
    return store_at(s3_url, proxy.endpoint, part_mib="5", **HASTY)


def long_stream(breaks: bool = False) -> Iterator[bytes]:
    for number in range(12):
        yield bytes([number]) * (1 << 20)
    if breaks:
        raise ValueError("the encoder failed")


# --- nothing by halves ----------------------------------------------------------------------------


def test_a_long_stream_is_one_object(direct: S3Store) -> None:
    assert direct.put_stream("a/long", long_stream(), size=12 << 20) == 12 << 20
    assert direct.get("a/long") == b"".join(long_stream())
    assert direct.leftovers() == []


@pytest.mark.parametrize("earlier", [None, b"earlier"])
def test_a_long_stream_that_breaks_publishes_nothing(
    direct: S3Store, earlier: bytes | None
) -> None:
    """The writers of s3fs and Arrow publish a valid, shorter file here."""
    if earlier is not None:
        direct.put("a/long", earlier)
    with pytest.raises(ValueError, match="the encoder failed"):
        direct.put_stream("a/long", long_stream(breaks=True))
    with pytest.raises(StorageError, match="it was not published"):
        direct.put_stream("a/long", long_stream(), size=5)
    assert direct.leftovers() == []
    assert direct.exists("a/long") == (earlier is not None)
    assert earlier is None or direct.get("a/long") == earlier


def test_a_read_is_of_one_object(direct: S3Store) -> None:
    direct.put("a/long", b"1" * (9 << 20))
    pieces = direct.get_stream("a/long")
    assert next(pieces) == b"1" * (1 << 20)
    direct.put("a/long", b"2" * (9 << 20))
    with pytest.raises(StorageError, match="another one was put there meanwhile"):
        list(pieces)


KILLED = """
import os, signal, sys
from fleetgen.io.store import open_store

def chunks():
    for number in range(12):
        yield bytes(1 << 20)
    os.kill(os.getpid(), signal.SIGKILL)

options = (("endpoint_url", sys.argv[2]), ("part_mib", "5"))
open_store(sys.argv[1], options).put_stream("a/killed", chunks())
"""


def test_what_a_killed_writer_leaves_is_found_and_removed(
    direct: S3Store, object_store: ObjectServer
) -> None:
    arguments = [sys.executable, "-c", KILLED, direct.url, object_store.endpoint]
    done = subprocess.run(arguments, env=environment(), check=False)
    assert done.returncode == -signal.SIGKILL
    beside = store_at(direct.url + "-beside", object_store.endpoint)
    assert not direct.exists("a/killed")
    assert beside.leftovers() == []
    (left,) = direct.leftovers()
    assert (left.name, left.bytes) == ("a/killed", None)
    assert 0 <= left.age_s < 60
    assert direct.leftovers(older_than_s=60) == []
    beside.remove_leftovers([left])  # whose prefix it is not under
    assert direct.leftovers() == [left] or direct.leftovers()[0].upload_id == left.upload_id
    direct.remove_leftovers([left, left])
    assert direct.leftovers() == []


def test_exactly_one_of_many_gets_an_absent_key(direct: S3Store) -> None:
    for round_ in range(5):
        winners: list[int] = []
        start = threading.Barrier(4)

        def claim(number: int, key: str, start: threading.Barrier, winners: list[int]) -> None:
            start.wait()
            if direct.put_if_absent(key, str(number).encode()):
                winners.append(number)

        threads = [
            threading.Thread(target=claim, args=(number, f"k/{round_}", start, winners))
            for number in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [str(number).encode() for number in winners] == [direct.get(f"k/{round_}")]


# --- faults that pass -----------------------------------------------------------------------------


def test_a_busy_store_is_asked_less_often(store: S3Store, proxy: FaultProxy) -> None:
    """All requests of the process slow down: eight writers make no storm."""
    proxy.reset(faults.for_seconds(faults.SLOW_DOWN, 4))
    begun = time.monotonic()
    threads = [
        threading.Thread(target=store.put, args=(f"a/{number}", b"x")) for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - begun > 4
    assert len(store.keys("a")) == 8
    # Without a common pause each of the eight would ask about seven times in four seconds.
    assert 8 <= len(proxy.failed) <= 32
    late = [r for r in proxy.failed if r.instant_s - proxy.failed[0].instant_s > 1]
    assert len(late) <= 16


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [8, pytest.param(60, marks=pytest.mark.faults)])
def test_nothing_but_slow_down_is_waited_out(s3_url: str, proxy: FaultProxy, seconds: int) -> None:
    store = store_at(s3_url, proxy.endpoint)
    proxy.reset(faults.for_seconds(faults.SLOW_DOWN, seconds))
    begun = time.monotonic()
    store.put("a", b"x")
    assert seconds <= time.monotonic() - begun < seconds + 30
    assert len(proxy.failed) < 60
    gaps = [b.instant_s - a.instant_s for a, b in zip(proxy.failed, proxy.failed[1:], strict=False)]
    assert max(gaps) > seconds / 30


@pytest.mark.parametrize("rate", [0.01, 0.3])
@pytest.mark.parametrize("fail", [faults.SLOW_DOWN, faults.INTERNAL, faults.RESET, faults.DROP])
def test_some_faults_cost_nothing_but_time(
    store: S3Store, proxy: FaultProxy, fail: faults.Fail, rate: float
) -> None:
    proxy.reset(faults.at_rate(fail, rate))
    data = {f"a/{number}": bytes([number]) * 1000 for number in range(12)}
    for key, value in data.items():
        store.put(key, value)
    assert store.put_if_absent("first", b"first")
    assert not store.put_if_absent("first", b"second")
    assert store.put_stream("long", long_stream()) == 12 << 20
    proxy.reset(lambda _: None)
    assert {key: store.get(key) for key in store.keys("a")} == data
    assert store.get("first") == b"first"
    assert store.get("long") == b"".join(long_stream())
    assert store.leftovers() == []


@pytest.mark.parametrize("fail", [faults.STALL, faults.DEAF, faults.TRICKLE])
@pytest.mark.parametrize("method", ["PUT", "GET"])
def test_a_stall_is_cut_and_tried_again(
    store: S3Store, proxy: FaultProxy, fail: faults.Fail, method: str
) -> None:
    data = bytes(300_000)
    proxy.reset(faults.first(fail, 1, method, key="a/stalled"))
    begun = time.monotonic()
    store.put("a/stalled", data)
    assert store.get("a/stalled") == data
    assert len(proxy.failed) == 1
    assert 1 <= time.monotonic() - begun < 15


@pytest.mark.parametrize(
    ("fail", "query"),
    [
        *((faults.YES_BUT, "uploadId"), (faults.DROP, "uploadId"), (faults.INTERNAL, "uploadId")),
        *((faults.INTERNAL, "uploads"), (faults.SLOW_DOWN, "uploads")),
    ],
)
def test_a_multipart_upload_survives_its_last_answer(
    store: S3Store, proxy: FaultProxy, fail: faults.Fail, query: str
) -> None:
    proxy.reset(faults.first(fail, 1, "POST", query=query))
    assert store.put_stream("long", long_stream()) == 12 << 20
    assert len(proxy.failed) == 1
    assert store.get("long") == b"".join(long_stream())
    assert store.leftovers() == []


def test_a_put_that_says_yes_and_stores_nothing_is_found_out(
    store: S3Store, proxy: FaultProxy
) -> None:
    store.put("a", b"older")
    proxy.reset(faults.first(faults.YES_BUT, 1, "PUT"))
    store.put("a", b"newer")
    assert store.get("a") == b"newer"
    proxy.reset(faults.first(faults.YES_BUT, 1000, "PUT"))
    hasty = store_at(store.url, proxy.endpoint, retry_budget_s="1")
    with pytest.raises(StorageError, match=r"2 tries|3 tries|4 tries|5 tries"):
        hasty.put("b", b"newer")
    assert not store.exists("b")


@pytest.mark.parametrize("times", [1, 2])
def test_a_lost_answer_does_not_make_a_winner_a_loser(
    store: S3Store, proxy: FaultProxy, times: int
) -> None:
    proxy.reset(faults.first(faults.DROP, times, "PUT"))
    assert store.put_if_absent("run.json", b"mine")
    assert len(proxy.failed) == times
    assert not store.put_if_absent("run.json", b"mine")  # another run with the same bytes
    assert store.get("run.json") == b"mine"


def test_patience_ends(s3_url: str, proxy: FaultProxy) -> None:
    store = store_at(s3_url, proxy.endpoint, retry_budget_s="2")
    proxy.reset(faults.at_rate(faults.SLOW_DOWN, 1.1))
    begun = time.monotonic()
    with pytest.raises(StorageError) as caught:
        store.put("a", b"x")
    assert time.monotonic() - begun < 4
    text = str(caught.value)
    assert "the store asks to slow down" in text
    assert "retry_budget_s" in text
    assert "run the same command again" in text
    assert "\n" not in text


# --- faults that stay -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "status", "words"),
    [
        ("AccessDenied", 403, "access denied"),
        ("InvalidAccessKeyId", 403, "the access key is not known there"),
        ("SignatureDoesNotMatch", 403, "the secret key does not fit"),
        ("ExpiredToken", 400, "have expired. Renew them, then run the same command again"),
        ("NoSuchBucket", 404, "there is no such bucket"),
        ("IllegalLocationConstraintException", 400, "another region. Set --storage-option region"),
        ("EntityTooLarge", 400, "EntityTooLarge"),
        ("<script>", 400, "refused"),
    ],
)
def test_what_does_not_pass_is_told_at_once(
    store: S3Store, proxy: FaultProxy, code: str, status: int, words: str
) -> None:
    proxy.reset(faults.at_rate(faults.Fail("answer", status, code), 1.1))
    begun = time.monotonic()
    with pytest.raises(StorageError, match=r"cannot write 's3://.*/a'") as caught:
        store.put("a", b"x")
    assert words in str(caught.value)
    assert "as told" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [r.method for r, _ in proxy.seen if r.method != "HEAD"] == ["PUT"]
    assert len(proxy.seen) <= 2  # the library asks for the region of a bucket
    assert time.monotonic() - begun < 2


def test_credentials_that_a_file_renews_are_read_again(
    s3_url: str,
    proxy: FaultProxy,
    object_store: ObjectServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    known = object_store.environment("writer")
    file = tmp_path / "credentials"
    lines = [f"{name.lower()} = {known[name]}" for name in sorted(known)[:1]]
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
        lines.append(f"{name.lower()} = {known[name]}")
    file.write_text("\n".join(["[rotated]", *lines[1:]]) + "\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    store = store_at(s3_url, proxy.endpoint, profile="rotated")
    store.put("a", b"x")
    proxy.reset(faults.first(faults.EXPIRED, 1, "PUT"))
    store.put("a", b"y")
    assert store.get("a") == b"y"
    proxy.reset(faults.after(faults.EXPIRED, 0))
    with pytest.raises(StorageError, match="have expired"):
        store.put("a", b"z")
    assert len(proxy.seen) == 2


# --- before anything is simulated -----------------------------------------------------------------


@pytest.fixture
def fresh() -> Iterator[None]:
    """No file system of this process knows its credentials yet, nor after the test."""
    s3._files.cache_clear()
    yield
    s3._files.cache_clear()


def nowhere() -> str:
    return f"http://127.0.0.1:{free_ports(1)[0]}"


def test_sizes_are_those_of_the_names(direct: S3Store) -> None:
    direct.put("a/1", b"1")
    direct.put("b", b"22")
    assert direct.sizes() == {"a/1": 1, "b": 2}
    assert direct.sizes("a") == {"a/1": 1}


def test_preflight_leaves_nothing_and_passes_within_a_second_or_two(direct: S3Store) -> None:
    direct.preflight()
    assert direct.keys() == []
    assert direct.leftovers() == []


PROBED = {
    "silent": faults.STALL,
    "unimplemented": faults.Fail("answer", 501, "NotImplemented"),
    "expired": faults.EXPIRED,
    "redirected": faults.Fail("answer", 301, "PermanentRedirect"),
}
UNKNOWN = {
    "key": {"AWS_ACCESS_KEY_ID": "AKSOMEBODY"},
    "secret": {"AWS_SECRET_ACCESS_KEY": "other"},
}


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("dead", "no answer from the store. Check --storage-option endpoint_url"),
        ("silent", "no answer from the store"),
        ("key", "the access key is not known there"),
        ("secret", "the secret key does not fit"),
        ("none", "no credentials are found"),
        ("bucket", "there is no such bucket"),
        ("reader", "access denied"),
        ("unconditional", "does not know conditional puts"),
        ("unimplemented", "the store does not know this request"),
        ("redirected", "Set --storage-option region"),
        ("expired", "the credentials have expired"),
        ("profile", "Check the profile"),
    ],
)
@pytest.mark.usefixtures("fresh")
def test_preflight_says_why_within_ten_seconds(
    s3_url: str,
    object_store: ObjectServer,
    proxy: FaultProxy,
    as_identity: Become,
    monkeypatch: pytest.MonkeyPatch,
    case: str,
    words: str,
) -> None:
    if case == "silent":
        assert store_module.PROBE_S < 10
        monkeypatch.setattr(store_module, "PROBE_S", 3.0)
    endpoint = nowhere() if case == "dead" else proxy.endpoint
    if case in PROBED:
        proxy.reset(faults.at_rate(PROBED[case], 1.1))
    for name, value in UNKNOWN.get(case, {}).items():
        monkeypatch.setenv(name, value)
    if case == "none":
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    if case == "bucket":
        s3_url = s3_url.replace(BUCKET, "nobodys-bucket")
    if case == "reader":
        as_identity("reader")
    if case == "unconditional":
        monkeypatch.setattr(S3Store, "put_if_absent", lambda self, k, d: not self.put(k, d))
    options = {"profile": "nobody"} if case == "profile" else {}
    store = store_at(s3_url, endpoint, **options)
    begun = time.monotonic()
    with pytest.raises(StorageError, match=r"--output-dir 's3://.*' cannot be used: ") as caught:
        store.preflight()
    assert time.monotonic() - begun < 20  # ten, on a busy machine
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_run_is_refused_before_it_simulates(
    object_store: ObjectServer, s3_url: str, tmp_path: Path
) -> None:
    begun = time.monotonic()
    done = run_python(
        *("-m", "fleetgen", "generate", "--set", f"fleet.file={HERE / 'fleet.toml'}"),
        *("--duration-days", "30", "--sampling-seconds", "5", "--output-dir", s3_url),
        *("--storage-option", f"endpoint_url={nowhere()}", "--progress", "plain"),
        env=object_store.environment("writer"),
        cwd=tmp_path,
    )
    assert time.monotonic() - begun < 20  # with the start of Python on a busy machine
    assert done.code == 3
    (line,) = done.err.splitlines()
    assert "no answer from the store" in line


def test_the_same_command_ends_a_run_whose_credentials_expired(
    object_store: ObjectServer, proxy: FaultProxy, s3_url: str, tmp_path: Path
) -> None:
    def run(endpoint: str) -> tuple[int, str]:
        done = run_python(
            *("-m", "fleetgen", "generate", "--set", f"fleet.file={HERE / 'fleet.toml'}"),
            *("--duration-days", "1", "--output-dir", s3_url, "--progress", "none"),
            *("--storage-option", f"endpoint_url={endpoint}"),
            env=object_store.environment("writer"),
            cwd=tmp_path,
        )
        return done.code, done.err

    proxy.reset(faults.after(faults.EXPIRED, 120))
    code, err = run(proxy.endpoint)
    assert code == 3
    assert "the credentials have expired. Renew them, then run the same command again" in err
    assert len(err.splitlines()) == 1
    # Files of a part are under way side by side, and the library looks at the bucket for each that
    # fails; none is tried again and again.
    asked = Counter((r.method, r.key) for r in proxy.failed if r.key != f"/{BUCKET}")
    assert max(asked.values()) <= 2, asked
    store = store_at(s3_url, object_store.endpoint)
    assert not store.exists("_SUCCESS")
    assert store.keys("_fleetgen/receipts")
    assert run(object_store.endpoint) == (0, "")
    assert store.exists("_SUCCESS")


def test_file_systems_are_not_shared_with_a_child(direct: S3Store) -> None:
    """A fork after first use hangs with most libraries."""
    direct.put("a", b"x")
    child = os.fork()
    if not child:
        code = 1
        try:
            code = 0 if direct.get("a") == b"x" else 2
        finally:
            os._exit(code)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            assert os.waitstatus_to_exitcode(status) == 0
            return
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    pytest.fail("the child hangs")
