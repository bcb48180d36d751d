"""A run straight to an object store: the local run's values, for every reader, and no secrets."""

import gzip
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack, nullcontext, suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from fleetgen.cli import main
from fleetgen.io import manifest
from fleetgen.io.store import open_store
from tests.fault_proxy import Fail, FaultProxy, at_rate
from tests.properties.plan import (
    HERE,
    DataSet,
    Digests,
    differing,
    environment,
    generated,
    run_python,
)
from tests.servers import ObjectServer, access_key, secret_key

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"
)

SMALL = {"run.start_date": "2024-02-28", "run.duration_days": 2, "inject": None}
ARGUMENTS = [
    *("--set", f"fleet.file={HERE / 'fleet.toml'}", "--set", "execution.block_days=1"),
    *("--seed", "109", "--start-date", "2024-02-28", "--duration-days", "2"),
]
COLUMNS = ["voltage_v", "temperature_c", "resistance_mohm", "conductance_s"]

Values = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    return generated(tmp_path_factory.mktemp("local") / "set", SMALL)


@pytest.fixture(scope="module")
def remote(
    object_store: ObjectServer, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, DataSet]:
    """The same run by the command line with two Dask workers; its URL, and a copy on disk."""
    url = "s3://fleet/whole/run"
    done = run_python(
        *("-m", "fleetgen", "generate", *ARGUMENTS, "--workers", "2", "--progress", "plain"),
        *("--output-dir", url, "--storage-option", f"endpoint_url={object_store.endpoint}"),
        env=object_store.environment("writer"),
        cwd=tmp_path_factory.mktemp("cwd"),
    )
    assert done.code == 0, done.err
    assert re.fullmatch(
        rf"data set in {url}: [\d.]+ [kM]B of data; open report.html there\n", done.out
    )
    copy = tmp_path_factory.mktemp("copy")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in object_store.environment("writer").items():
            patch.setenv(name, value)
        store = open_store(url, (("endpoint_url", object_store.endpoint),))
        for key in store.keys():  # noqa: SIM118 (a store is no mapping)
            (copy / key).parent.mkdir(parents=True, exist_ok=True)
            (copy / key).write_bytes(store.get(key))
    return url, DataSet(copy)


def test_the_object_store_holds_what_the_disk_holds(
    local: DataSet, remote: tuple[str, DataSet]
) -> None:
    there = remote[1]
    assert there.digests == local.digests
    entries = [{f["path"]: (f["rows"], f["sha256"]) for f in s.files} for s in (local, there)]
    assert entries[0] == entries[1]
    names = [
        sorted(p.relative_to(s.path).as_posix() for p in s.path.rglob("*") if p.is_file())
        for s in (local, there)
    ]
    assert names[0] == names[1]
    assert (there.path / manifest.SUCCESS).exists()


def by_pandas(place: str, options: dict[str, Any]) -> Values:
    import pandas as pd

    return from_pandas(pd.read_parquet(place, storage_options=options))


def by_dask(place: str, options: dict[str, Any]) -> Values:
    import dask
    import dask.dataframe as dd

    with dask.config.set(scheduler="synchronous"):
        return from_pandas(dd.read_parquet(place, storage_options=options).compute())


def by_pyarrow(place: str, options: dict[str, Any]) -> Values:
    import pyarrow as pa
    import pyarrow.dataset as ds
    from pyarrow.fs import S3FileSystem

    files = S3FileSystem(endpoint_override=options["endpoint_url"], region="us-east-1")
    source = place.removeprefix("s3://")
    table = ds.dataset(source, filesystem=files, partitioning="hive").to_table()
    table = table.set_column(0, "ts", table["ts"].cast(pa.int64()))
    return {name: table[name].to_numpy() for name in table.column_names}


def by_polars(place: str, options: dict[str, Any]) -> Values:
    import polars as pl

    frame = pl.scan_parquet(
        f"{place}/**/*.parquet",
        storage_options={"aws_endpoint_url": options["endpoint_url"], "aws_allow_http": "true"},
        hive_partitioning=True,
    ).collect()
    frame = frame.with_columns(pl.col("ts").dt.epoch("ms"))
    return {name: frame[name].to_numpy() for name in frame.columns}


def by_duckdb(place: str, options: dict[str, Any]) -> Values:
    """Through fsspec, for DuckDB's own extension is not in its package."""
    import duckdb
    import s3fs

    connection = duckdb.connect()
    connection.register_filesystem(s3fs.S3FileSystem(**options))
    query = (
        "SELECT epoch_ms(ts) AS ts, * EXCLUDE (ts) "
        f"FROM read_parquet('{place}/**/*.parquet', hive_partitioning = true)"
    )
    columns = connection.execute(query).fetchnumpy()
    return {
        name: values.filled(np.nan) if np.ma.is_masked(values) else values
        for name, values in columns.items()
    }


def from_pandas(frame: Any) -> Values:
    columns = {name: frame[name].to_numpy() for name in frame}
    instants = frame["ts"].dt.tz_convert("UTC").dt.tz_localize(None)
    return columns | {"ts": instants.astype("datetime64[ms]").astype("int64").to_numpy()}


@pytest.mark.usefixtures("as_identity")
@pytest.mark.parametrize("read", [by_pandas, by_dask, by_pyarrow, by_polars, by_duckdb])
def test_readers_see_the_values_of_the_local_run(
    local: DataSet,
    remote: tuple[str, DataSet],
    object_store: ObjectServer,
    read: Callable[[str, dict[str, Any]], Values],
) -> None:
    table = local.read("telemetry_jar_raw")
    found = read(f"{remote[0]}/telemetry_jar_raw", {"endpoint_url": object_store.endpoint})
    ids = np.array([str(i) for i in found["battery_id"]])
    order = np.lexsort((found["ts"], ids))
    assert (ids[order] == np.array(table["battery_id"].to_pylist())).all()
    expected = table["ts"].cast("int64").to_numpy()
    assert (np.asarray(found["ts"])[order] == expected).all()
    for name in COLUMNS:
        values = np.ma.getdata(found[name])[order].astype(np.float32)
        assert np.array_equal(values, table[name].to_numpy().astype(np.float32), equal_nan=True)


def test_the_same_command_joins_and_another_plan_is_refused(
    remote: tuple[str, DataSet], object_store: ObjectServer, tmp_path: Path
) -> None:
    def run(*more: str) -> tuple[int, str]:
        done = run_python(
            *("-m", "fleetgen", "generate", *ARGUMENTS, *more, "--output-dir", remote[0]),
            *("--progress", "json"),
            env={**object_store.environment("writer"), "AWS_ENDPOINT_URL": object_store.endpoint},
            cwd=tmp_path,
        )
        return done.code, done.err

    code, err = run()
    assert code == 0, err
    assert [json.loads(line)["stage"] for line in err.splitlines()] == [
        "planned",
        "joined",
        "complete",
    ]
    code, err = run("--set", "scenario.hazard_scale=2")
    assert code == 3
    assert "holds a data set of another plan" in err
    assert "scenario.hazard_scale: 1.0 -> 2.0" in err


def test_all_verbs_work_on_an_object_store(
    object_store: ObjectServer, s3_url: str, tmp_path: Path
) -> None:
    """Made, longer, damaged, found, repaired, exported, made again elsewhere, removed."""
    option = f"--storage-option=endpoint_url={object_store.endpoint}"
    url = f"{s3_url}/set"
    store = open_store(url, (("endpoint_url", object_store.endpoint),))

    def run(verb: str, *more: str) -> int:
        return main([verb, *more, option])

    make = ("generate", *ARGUMENTS[:-2], "--limit-batteries=1", "--progress=none")
    assert run(*make, "--duration-days=1", f"--output-dir={url}") == 0
    assert run(*make, "--duration-days=2", f"--output-dir={url}") == 0
    before = store.get(manifest.MANIFEST)
    part = next(key for key in store.keys("telemetry_jar_raw") if "/part-" in key)
    whole = store.get(part)
    store.put(part, whole[:-100])
    assert run("verify", url, "--progress=none") == 1
    assert run("verify", url, "--progress=none", "--values=all", "--repair") == 0
    assert (store.get(part), store.get(manifest.MANIFEST)) == (whole, before)
    single = ("--single-file=csv", "--table=telemetry_env", f"--output-dir={tmp_path / 'single'}")
    assert run("export", url, *single) == 0
    assert len((tmp_path / "single" / "telemetry_env.csv").read_text().splitlines()) == 1 + 2 * 288
    again = tmp_path / "again"
    assert run("generate", f"--from={url}", f"--output-dir={again}", "--progress=none") == 0
    assert differing(DataSet(again).digests, digests_of(json.loads(before))) == []
    assert run("clean", url, "--all") == 0
    assert store.names() == []


def digests_of(document: dict[str, Any]) -> Digests:
    return {
        (entry["table"], entry["group"], day): value
        for entry in document["files"]
        for day, value in entry["digests"].items()
    }


# --- secrets --------------------------------------------------------------------------------------


def everything_below(place: Path, fixed: bool = True) -> bytes:
    """Bytes of all files below a directory, packed ones unpacked unless they still change."""
    found = []
    for root, _, names in os.walk(place):  # one that is removed meanwhile has no files
        for path in (Path(root) / name for name in sorted(names)):
            found.append(path.name.encode())
            with nullcontext() if fixed else suppress(FileNotFoundError):
                if path.is_file():  # no socket
                    found.append(path.read_bytes())
    for path in sorted(place.rglob("*")) if fixed else ():
        if path.suffix == ".gz":
            found.append(gzip.decompress(path.read_bytes()))
        if path.suffix == ".parquet":
            import pyarrow.parquet as pq

            found.append(str(pq.ParquetFile(path).schema_arrow.metadata).encode())
    return b"\n".join(found)


def of_session(leader: int) -> list[psutil.Process]:
    """Processes that a process has started in its session, with itself."""
    found = []
    for process in psutil.process_iter():
        with suppress(OSError):
            if os.getsid(process.pid) == leader:
                found.append(process)
    return found


DASHBOARD = (
    *("status", "workers", "tasks", "system", "graph", "profile", "individual-plots"),
    *("info/main/workers.html", "info/main/logs.html", "info/main/tasks", "health", "metrics"),
    *("json/identity.json", "json/counts.json", "json/index.html", "sitemap.json", "sysmon"),
)


def test_no_secret_is_seen_anywhere(
    object_store: ObjectServer, session_proxy: FaultProxy, tmp_path: Path
) -> None:
    """The secret is in the environment alone, where the processes of its user may see it."""
    canary = secret_key("writer")
    url = "s3://fleet/canary/run"
    session_proxy.reset(at_rate(Fail("answer", 500, "InternalError"), 0.03))
    command = [
        *(sys.executable, "-m", "fleetgen", "generate", *ARGUMENTS, "--workers", "2"),
        *("--output-dir", url, "--storage-option", f"endpoint_url={session_proxy.endpoint}"),
        *("--progress", "json"),
    ]
    seen: list[bytes] = []
    pages: set[str] = set()
    with (tmp_path / "err").open("wb") as err, ExitStack() as ending:
        running = subprocess.Popen(
            command,
            cwd=tmp_path,
            env=environment(object_store.environment("writer") | {"TMPDIR": str(tmp_path)}),
            stdout=subprocess.PIPE,
            stderr=err,
            start_new_session=True,
        )
        ending.enter_context(running)
        ending.callback(running.kill)  # nothing of a test that fails stays behind
        processes = 0
        while running.poll() is None:
            alive = of_session(running.pid)
            processes = max(processes, len(alive))
            for process in alive:
                with suppress(psutil.Error):
                    seen.append(" ".join(process.cmdline()).encode())
            lines = (tmp_path / "err").read_text().splitlines()
            urls = [json.loads(line)["dashboard_url"] for line in lines if line.endswith("}")]
            if urls and urls[-1]:
                root = urls[-1].rpartition("/")[0]
                for page in DASHBOARD:
                    with (
                        suppress(OSError),
                        urllib.request.urlopen(f"{root}/{page}", timeout=2) as got,
                    ):
                        seen.append(got.read())
                        pages.add(page)
            seen.append(everything_below(tmp_path, fixed=False))  # workers' scratch, too
            time.sleep(0.05)
        out, _ = running.communicate()
    session_proxy.reset(lambda _: None)
    assert running.returncode == 0, (tmp_path / "err").read_text()
    assert processes >= 4  # this one, the server that forks, two workers
    assert {"info/main/workers.html", "json/identity.json", "health"} <= pages
    with pytest.MonkeyPatch.context() as patch:
        for name, value in object_store.environment("writer").items():
            patch.setenv(name, value)
        store = open_store(url, (("endpoint_url", object_store.endpoint),))
        for key in store.keys():  # noqa: SIM118 (a store is no mapping)
            (tmp_path / "copy" / key).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "copy" / key).write_bytes(store.get(key))
    assert (tmp_path / "copy/DATA_GENERATION_REPORT.md").exists()
    seen += [out, everything_below(tmp_path)]
    whole = b"\n".join(seen)
    assert b"DC-" in whole or b"NORTH" in whole
    assert canary.encode() not in whole
    assert access_key("writer").encode() not in whole
    assert canary.split("/")[-1].encode() not in whole


CANARY = "cAnArY-7f3b9e"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--storage-option", f"secret={CANARY}"],
        ["--storage-option", f"key={CANARY}"],
        ["--storage-option", f"token={CANARY}"],
        ["--storage-option", f"aws_secret_access_key={CANARY}"],
        ["--storage-option", f"aws_session_token={CANARY}"],
        ["--storage-option", f"password={CANARY}"],
        ["--storage-option", f"sig={CANARY}"],
        ["--storage-option", CANARY],
        ["--storage-option", f"endpoint_url=http://me:{CANARY}@127.0.0.1:1"],
        ["--storage-option", f"endpoint_url=http://127.0.0.1:1?X-Amz-Signature={CANARY}"],
        ["--storage-option", f"secret={CANARY}", "--storage-option", f"secret={CANARY}2"],
        ["--set", f"output.storage_options.secret={CANARY}"],
        ["--set", f'output.storage_options={{secret = "{CANARY}"}}'],
        ["--set", f'output.storage_options={{client_kwargs = {{k = "{CANARY}"}}}}'],
        ["--set", f"output.secret_key={CANARY}"],
        ["--set", f"output.storage_options.secret:{CANARY}"],
        ["--output-dir", f"s3://me:{CANARY}@bucket/prefix"],
        ["--output-dir", f"s3://bucket/prefix?X-Amz-Signature={CANARY}"],
        ["--output-dir", f"az://container/prefix?sig={CANARY}"],
        ["--output-dir", f"https://me:{CANARY}@host/prefix"],
        ["--output-dir", f"simplecache::s3://me:{CANARY}@bucket/prefix"],
        ["--secret-key", CANARY],
        [f"--aws-secret-access-key={CANARY}"],
    ],
)
def test_a_secret_where_it_does_not_belong_is_refused_and_not_repeated(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    place = [] if "--output-dir" in arguments else ["--output-dir", "s3://bucket/prefix"]
    assert main(["generate", *place, *arguments]) == 2
    out, err = capsys.readouterr()
    assert CANARY not in out + err
    assert err.startswith("fleetgen: ")
    assert list(tmp_path.iterdir()) == []


def test_a_secret_in_a_file_is_refused_and_not_repeated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "run.toml"
    file.write_text(
        '[output]\ndirectory = "s3://bucket/prefix"\n'
        f'[output.storage_options]\nsecret = "{CANARY}"\nregion = "eu-1"\n'
        f'[storage]\ntoken = "{CANARY}"\n'
    )
    assert main(["generate", "--config", str(file)]) == 2
    err = capsys.readouterr().err
    assert CANARY not in err
    assert "output.storage_options.secret = (not shown): must hold no user, password" in err
