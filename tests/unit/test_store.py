"""The store: whole or absent, under its root, and never a traceback."""

import errno
import os
import pickle
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fleetgen.errors import StorageError
from fleetgen.io import local as module
from fleetgen.io import objects
from fleetgen.io.local import LocalStore
from fleetgen.io.store import Leftover, Store, is_key, open_store


@pytest.fixture(params=["local", "memory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "local":
        yield open_store(str(tmp_path / "out"))
        return
    if request.param == "memory":
        opened = open_store(f"memory://{tmp_path.name}")
    else:
        server = request.getfixturevalue("object_store")
        url = request.getfixturevalue("s3_url")
        opened = open_store(url, (("endpoint_url", server.endpoint),))
    yield opened
    opened.delete(opened.keys())


def contents(root: Path) -> dict[str, bytes]:
    """All that is below a directory, hidden or not; directories have no bytes."""
    return {
        str(path.relative_to(root)): path.read_bytes() if path.is_file() else b""
        for path in root.rglob("*")
    }


# --- all kinds of store --------------------------------------------------------------------------


def test_what_is_put_is_got(store: Store) -> None:
    assert not store.exists("a/b=1/part-0.parquet")
    store.put("a/b=1/part-0.parquet", b"first")
    store.put("a/b=1/part-0.parquet", memoryview(b"second, longer"))
    assert store.get("a/b=1/part-0.parquet") == b"second, longer"
    assert store.exists("a/b=1/part-0.parquet")
    assert not store.exists("a/b=1")
    store.put("empty", b"")
    assert store.get("empty") == b""


def test_streams_are_joined_in_order_and_got_in_small_pieces(store: Store) -> None:
    pieces = [random.Random(seed).randbytes(700_000) for seed in range(5)]
    for number, piece in enumerate(pieces):
        store.put(f"pieces/{number}", piece)
    chunks = (chunk for number in range(5) for chunk in store.get_stream(f"pieces/{number}"))
    assert store.put_stream("joined", chunks, size=3_500_000) == 3_500_000
    assert store.get("joined") == b"".join(pieces)
    sizes = [len(chunk) for chunk in store.get_stream("joined")]
    assert max(sizes) <= 1 << 20 < sum(sizes)


@pytest.mark.parametrize("earlier", [None, b"earlier"])
def test_a_stream_that_breaks_publishes_nothing(store: Store, earlier: bytes | None) -> None:
    def broken() -> Iterator[bytes]:
        yield b"valid so far"
        raise ValueError("the encoder failed")

    if earlier is not None:
        store.put("table/part", earlier)
    with pytest.raises(ValueError, match="the encoder failed"):
        store.put_stream("table/part", broken())
    with pytest.raises(StorageError, match=r"12 bytes instead of 13; it was not published"):
        store.put_stream("table/part", [b"valid so far"], size=13)
    assert store.exists("table/part") == (earlier is not None)
    assert earlier is None or store.get("table/part") == earlier


def test_put_if_absent_takes_the_first(store: Store) -> None:
    assert store.put_if_absent("run.json", b"one")
    assert not store.put_if_absent("run.json", b"two")
    assert store.get("run.json") == b"one"


def test_keys_are_sorted_and_below_the_prefix(store: Store) -> None:
    assert store.keys() == []
    for key in ("t/b", "t/a/2", "t/a/10", "_SUCCESS", "ta"):
        store.put(key, b"x")
    assert store.keys() == ["_SUCCESS", "t/a/10", "t/a/2", "t/b", "ta"]
    assert store.keys("t") == ["t/a/10", "t/a/2", "t/b"]
    assert store.keys("nothing/here") == []


def test_delete_removes_what_is_there(store: Store) -> None:
    store.put("a/1", b"x")
    store.put("a/2", b"x")
    store.delete(["a/1", "a/3", "b/c/d"])
    assert store.keys() == ["a/2"]


def test_a_missing_object_is_told(store: Store) -> None:
    with pytest.raises(StorageError, match=r"cannot read .*gone"):
        store.get("gone")


def test_a_store_travels_by_pickle(store: Store) -> None:
    store.put("a", b"x")
    other = pickle.loads(pickle.dumps(store))
    assert other == store
    assert other.get("a") == b"x"


def test_sizes_are_those_of_the_names(store: Store) -> None:
    for number, key in enumerate(("a/1", "a/2", "b")):
        store.put(key, bytes(number))
    assert store.sizes() == {"a/1": 0, "a/2": 1, "b": 2}
    assert store.sizes("a") == {"a/1": 0, "a/2": 1}
    assert store.sizes("c") == {}


def test_preflight_leaves_nothing(store: Store, tmp_path: Path) -> None:
    store.preflight()
    assert store.keys() == []
    assert contents(tmp_path) == {}


BAD_KEYS = [
    "",
    "/etc/passwd",
    "a//b",
    "a/",
    "..",
    "a/../b",
    ".hidden",
    "a/./b",
    "a\\b",
    "a b",
    "a\nb",
    "a\n",
    "ä",
    "a\0",
    "s3://b",
    "~",
    "*",
    "x" * 256,
    "/".join(["x" * 250] * 5),
]


@pytest.mark.parametrize("key", BAD_KEYS)
def test_other_keys_are_refused_before_anything_is_touched(
    store: Store, key: str, tmp_path: Path
) -> None:
    calls = [
        lambda: store.put(key, b"x"),
        lambda: store.put_stream(key, [b"x"]),
        lambda: store.put_if_absent(key, b"x"),
        lambda: store.get(key),
        lambda: store.exists(key),
        lambda: store.delete(["fine", key]),
        lambda: store.keys(key or "."),
    ]
    for call in calls:
        with pytest.raises(StorageError, match="is no key"):
            call()
    assert contents(tmp_path) == {}


@given(st.text(max_size=40) | st.from_regex(r"[A-Za-z0-9._=/-]{1,30}", fullmatch=True))
@example("a/.tmp-1")
@example("a" * 255 + "/b")
def test_a_key_is_a_path_below_the_root(key: str) -> None:
    root = "/data/set"
    alphabet = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._=-")
    fits = all(part and part[0] != "." and set(part) <= alphabet for part in key.split("/"))
    assert is_key(key) == (fits and all(len(part) <= 255 for part in key.split("/")))
    if is_key(key):
        path = f"{root}/{key}"
        assert os.path.normpath(path) == path


# --- URLs -----------------------------------------------------------------------------------------


def test_local_paths_are_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/somebody")
    assert open_store("out/x/../y").url == str(tmp_path / "out" / "y")
    assert open_store(f"file://{tmp_path}/out").url == str(tmp_path / "out")
    assert open_store("~/out").url == "/home/somebody/out"


@pytest.mark.parametrize(
    "url",
    [
        *("", "a\0b", "simplecache::s3://b/k", "/tmp/a::b", "ftp://u:secret@host/x"),
        *("file://host/x", "memory://", "memory://../x", "S3://b", "http://x", "github://o:r@/"),
    ],
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(
        StorageError, match="a local path, file:///path, s3://bucket/prefix"
    ) as caught:
        open_store(url)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


# --- the local store ------------------------------------------------------------------------------


def test_files_are_readable_as_the_umask_says_and_directories_are_removed_when_empty(
    tmp_path: Path,
) -> None:
    store = open_store(str(tmp_path / "out"))
    before = os.umask(0o027)
    try:
        store.put("a/b/c", b"x")
    finally:
        os.umask(before)
    assert (tmp_path / "out/a/b/c").stat().st_mode & 0o777 == 0o640
    store.put("a/d", b"x")
    store.delete(["a/b/c"])
    assert contents(tmp_path) == {"out": b"", "out/a": b"", "out/a/d": b"x"}
    store.delete(["a/d"])
    assert contents(tmp_path) == {"out": b""}


def test_every_put_is_made_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """File before its name, name before the return: the order that survives a power cut."""
    log: list[str] = []
    real_fsync, real_replace = os.fsync, os.replace

    def fsync(descriptor: int) -> None:
        log.append("fsync " + os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}"))[:5])
        real_fsync(descriptor)

    def replace(source: str, target: str) -> None:
        log.append("replace")
        real_replace(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    (tmp_path / "out").mkdir()
    open_store(str(tmp_path / "out")).put("table/part", b"x")
    assert log == ["fsync out", "fsync .tmp-", "replace", "fsync table"]


def test_a_table_never_holds_what_is_not_whole(tmp_path: Path) -> None:
    """Some readers look at every name in a directory, hidden or not."""
    store = open_store(str(tmp_path / "out"))

    def pieces() -> Iterator[bytes]:
        yield b"x" * (1 << 20)
        assert list((tmp_path / "out" / "table" / "month").iterdir()) == []
        assert [p.name[:5] for p in (tmp_path / "out").iterdir() if p.is_file()] == [".tmp-"]
        yield b"y"

    store.put_stream("table/month/part", pieces())
    assert list(contents(tmp_path / "out")) == ["table", "table/month", "table/month/part"]


def test_a_directory_may_vanish_before_its_file_gets_its_name(tmp_path: Path) -> None:
    """As when another process removes one that it finds empty."""
    store = open_store(str(tmp_path / "out"))

    def pieces() -> Iterator[bytes]:
        yield b"x"
        (tmp_path / "out" / "table").rmdir()

    store.put_stream("table/part", pieces())
    assert store.get("table/part") == b"x"


def test_strangers_are_not_listed(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    store.put("a", b"x")
    for name in (".tmp-0123", ".DS_Store", "my notes.txt"):
        (tmp_path / name).touch()
    assert store.keys() == ["a"]


def failing_write(code: int, after: int) -> object:
    """An `os.write` that fails once `after` bytes are out."""
    real, written = os.write, [0]

    def write(descriptor: int, data: bytes) -> int:
        if written[0] >= after:
            raise OSError(code, os.strerror(code))
        count = real(descriptor, bytes(data)[: after - written[0]])
        written[0] += count
        return count

    return write


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOSPC, "No space left on device. Free some space"),
        (errno.EDQUOT, "Free some space"),
        (errno.EIO, "Input/output error. Try again"),
    ],
)
@pytest.mark.parametrize("call", ["put", "put_if_absent"])
def test_a_full_disk_leaves_the_earlier_object(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, words: str, call: str
) -> None:
    store = open_store(str(tmp_path))
    store.put("a/earlier", b"whole")
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", failing_write(code, after=1000))
        with pytest.raises(StorageError, match=words) as caught:
            getattr(store, call)("a/new", bytes(5000))
        patch.setattr(os, "write", failing_write(code, after=1000))
        with pytest.raises(StorageError):
            store.put("a/earlier", bytes(5000))
    assert "\n" not in str(caught.value)
    assert contents(tmp_path) == {"a": b"", "a/earlier": b"whole"}


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = random.Random(1).randbytes(10_000)
    real = os.write
    monkeypatch.setattr(os, "write", lambda file, data: real(file, bytes(data[:999])))
    open_store(str(tmp_path)).put("a", data)
    assert (tmp_path / "a").read_bytes() == data


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from([0, 1, 7, 1 << 20, 1 << 21]))))
def test_pieces_of_any_size_keep_their_order(pieces: list[tuple[int, int]]) -> None:
    chunks = [bytes([digit]) * size for digit, size in pieces]
    gathered = list(module._gathered(chunks))
    assert b"".join(gathered) == b"".join(chunks)
    assert len(gathered) <= len(chunks)


def test_small_pieces_are_written_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = os.write, []
    monkeypatch.setattr(os, "write", lambda file, data: calls.append(1) or real(file, data))
    size = open_store(str(tmp_path)).put_stream("a", (b"x" * 10 for _ in range(300_000)))
    assert size == 3_000_000
    assert len(calls) == 3


@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOTSUP])
def test_put_if_absent_without_hard_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def link(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", link)
    store = open_store(str(tmp_path))
    assert store.put_if_absent("a", b"one")
    assert not store.put_if_absent("a", b"two")
    assert contents(tmp_path) == {"a": b"one"}


def test_directories_that_cannot_sync_are_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, code = os.fsync, [errno.EINVAL]

    def fsync(descriptor: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(code[0], os.strerror(code[0]))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    store = open_store(str(tmp_path))
    store.put("a", b"x")
    assert store.get("a") == b"x"
    code[0] = errno.EIO
    with pytest.raises(StorageError, match="Input/output error"):
        store.put("a", b"y")


def test_exactly_one_of_many_gets_an_absent_key(tmp_path: Path) -> None:
    for round_ in range(20):
        winners: list[int] = []
        start = threading.Barrier(4)

        def claim(number: int, key: str, start: threading.Barrier, winners: list[int]) -> None:
            start.wait()
            if open_store(str(tmp_path / "out")).put_if_absent(key, str(number).encode()):
                winners.append(number)

        threads = [
            threading.Thread(target=claim, args=(number, f"k/{round_}", start, winners))
            for number in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [str(number).encode() for number in winners] == [
            open_store(str(tmp_path / "out")).get(f"k/{round_}")
        ]


def test_a_directory_may_vanish_between_its_making_and_its_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As another process does that deletes the last file in it."""
    real, times = os.open, [3]

    def open_late(path: str, flags: int, *mode: int) -> int:
        if flags & os.O_CREAT and times[0]:
            times[0] -= 1
            os.removedirs(os.path.dirname(path))
        return real(path, flags, *mode)

    (tmp_path / "keep").touch()
    monkeypatch.setattr(os, "open", open_late)
    open_store(str(tmp_path / "a")).put("b", b"x")
    assert contents(tmp_path) == {"keep": b"", "a": b"", "a/b": b"x"}


KILLED = """
import os, signal, sys
from fleetgen.io.store import open_store

def chunks():
    yield b"x" * 3_000_000
    {inside}
    yield b"y"

store = open_store(sys.argv[1])
{before}
store.put_stream("a/part", chunks())
"""


@pytest.mark.parametrize(
    ("inside", "before"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", ""),
        ("", "os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)"),
    ],
)
def test_a_killed_put_leaves_the_final_name_alone(tmp_path: Path, inside: str, before: str) -> None:
    store = open_store(str(tmp_path))
    store.put("a/part", b"earlier")
    code = KILLED.format(inside=inside, before=before)
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert store.get("a/part") == b"earlier"
    assert store.keys() == ["a/part"]
    store.put("a/part", b"again")
    assert store.get("a/part") == b"again"


def test_delete_does_not_follow_a_link_out(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious/file").write_text("x")
    store = open_store(str(tmp_path / "out"))
    store.put("a", b"x")
    (tmp_path / "out/link").symlink_to(tmp_path / "precious")
    with pytest.raises(StorageError, match="a link leads out"):
        store.delete(["link/file"])
    assert (tmp_path / "precious/file").exists()


def test_free_bytes_is_that_of_the_file_system_to_be(tmp_path: Path) -> None:
    room = os.statvfs(tmp_path)
    free = open_store(str(tmp_path / "not/yet/there")).free_bytes()
    assert free == pytest.approx(room.f_bavail * room.f_frsize, rel=0.1)
    assert open_store("memory://x").free_bytes() is None


@pytest.mark.parametrize("below", ["", "sub", "sub/sub"])
def test_preflight_tells_of_a_file_in_the_way(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match=r"cannot be used: .*in the way") as caught:
        open_store(str(tmp_path / "file" / below)).preflight()
    assert "\n" not in str(caught.value)
    assert contents(tmp_path) == {"file": b"x"}


@pytest.mark.parametrize(
    ("function", "code", "words"),
    [
        ("open", errno.EROFS, "Read-only file system. Choose an --output-dir that you may"),
        ("open", errno.EACCES, "Permission denied. Choose an --output-dir that you may"),
        ("mkdir", errno.EACCES, "Permission denied. Choose an --output-dir that you may"),
        ("write", errno.ENOSPC, "No space left on device. Free some space"),
    ],
)
def test_preflight_tells_why_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str, code: int, words: str
) -> None:
    real = getattr(os, function)

    def refuse(path: object, *args: int) -> object:
        if function != "open" or args[0] & os.O_CREAT:
            raise OSError(code, os.strerror(code))
        return real(path, *args)

    store = open_store(str(tmp_path / "new/er/out"))
    with monkeypatch.context() as patch:
        patch.setattr(os, function, refuse)
        with pytest.raises(StorageError, match=words) as caught:
            store.preflight()
    assert "\n" not in str(caught.value)
    assert contents(tmp_path) == {}


def test_preflight_on_a_file_system_that_takes_no_files() -> None:
    with pytest.raises(StorageError, match="cannot be used"):
        open_store("/proc/fleetgen/out").preflight()


def test_preflight_keeps_a_directory_that_was_there(tmp_path: Path) -> None:
    open_store(str(tmp_path)).preflight()
    assert tmp_path.is_dir()


def test_preflight_does_not_wait_for_a_library(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()
    monkeypatch.setattr(objects, "PROBE_S", 0.1)
    monkeypatch.setattr(objects.ObjectStore, "names", lambda *_: answered.wait(60))
    with pytest.raises(StorageError, match=r"memory://hangs.* no answer within 0\.1 s"):
        open_store("memory://hangs").preflight()
    answered.set()


def test_preflight_wants_conditional_puts(monkeypatch: pytest.MonkeyPatch) -> None:
    def put(self: objects.ObjectStore, key: str, data: bytes) -> bool:
        self.put(key, data)
        return True

    monkeypatch.setattr(objects.ObjectStore, "put_if_absent", put)
    with pytest.raises(StorageError, match="does not know conditional puts"):
        open_store("memory://unconditional").preflight()
    assert open_store("memory://unconditional").names() == []


def test_preflight_notices_storage_that_forgets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LocalStore, "get", lambda *_: b"something else")
    with pytest.raises(StorageError, match="other bytes come back"):
        open_store(str(tmp_path / "out")).preflight()
    assert contents(tmp_path) == {}


def test_the_local_store_does_without_fsspec(tmp_path: Path) -> None:
    code = (
        "import sys; from fleetgen.io.store import open_store; "
        f"open_store({str(tmp_path)!r}).put('a', b'x'); sys.exit('fsspec' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_temporary_files_of_a_crash_are_found_and_nothing_else(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "out"))
    store.put("a/whole", b"x")
    left, late = tmp_path / "out/a/.tmp-0123456789abcdef", tmp_path / "out/.tmp-fedcba9876543210"
    left.write_bytes(b"half")
    late.write_bytes(b"")
    os.utime(left, (1, 1))
    for name in (".tmp-0123", ".tmp-0123456789abcdeg", "a/.tmp-0123456789abcdef.txt"):
        (tmp_path / "out" / name).touch()
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious/.tmp-0123456789abcdef").touch()
    (tmp_path / "out/link").symlink_to(tmp_path / "precious")
    (tmp_path / "out/.tmp-aaaaaaaaaaaaaaaa").symlink_to(tmp_path / "precious")
    found = store.leftovers()
    assert [(each.name, each.bytes) for each in found] == [
        (".tmp-fedcba9876543210", 0),
        ("a/.tmp-0123456789abcdef", 4),
    ]
    (old,) = store.leftovers(older_than_s=3600)
    assert old.name == "a/.tmp-0123456789abcdef"
    store.remove_leftovers([old, old])
    assert not left.exists()
    assert late.exists()
    for name in ("a/whole", "../precious/.tmp-0123456789abcdef", "link/.tmp-0123456789abcdef"):
        with pytest.raises(StorageError, match=r"will not (delete|touch)"):
            store.remove_leftovers([Leftover(name, 0, 0)])
    assert (tmp_path / "precious/.tmp-0123456789abcdef").exists()
    assert store.keys() == ["a/whole", "link"]
