"""`fleetgen generate` as a user starts it, observed from outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

import psutil

from fleetgen import execute
from fleetgen.config import load

ROOT = Path(__file__).resolve().parents[1]
SAMPLE_S = 0.1
CHILDREN_EVERY = 5

Watched = Literal["", "time", "memory"]
"""What is sampled of a run's processes: CPU time, which costs little, or memory, too."""

WORKER_ENVIRONMENT = execute._WORKER_ENVIRONMENT
"""What local Dask workers get, for processes that are compared with them."""


Flags = dict[str, object]
"""Flags of `fleetgen generate`, by name with underscores."""


@dataclass(frozen=True)
class Size:
    """Part of the production run: locations from the first on (or a string of each), and days."""

    locations: int
    days: int
    sampling_s: int = 5
    one_string: bool = False

    def flags(self, first_location: int = 0) -> Flags:
        """The size as flags."""
        sites = load().to_fleet().sites[first_location : first_location + self.locations]
        if self.one_string:
            chosen = {"strings": ",".join(s.systems[0].strings[0].string_id for s in sites)}
        else:
            chosen = {"locations": ",".join(s.location.location_id for s in sites)}
        return {**chosen, "duration_days": self.days, "sampling_seconds": self.sampling_s}


@dataclass(eq=False)
class _Process:
    """What has been seen of one process: CPU time, that of its main thread, and peak of its PSS."""

    cpu_s: float = 0.0
    main_cpu_s: float = 0.0
    peak_bytes: int = 0


@dataclass(frozen=True)
class Observed:
    """One run. `began_s` is when each stage began, by the run's own clock, and the end.

    `dask_cpu_s` is what Dask took at most: the client, which schedules, while jobs ran, and the
    main threads of the workers, whose jobs run in others.
    """

    flags: Flags
    wall_s: float
    rows: dict[str, int]
    began_s: dict[str, float]
    peak_bytes: int = 0
    worker_peak_bytes: list[int] = field(default_factory=list)
    worker_cpu_s: float = 0.0
    other_cpu_s: float = 0.0
    sampler_cpu_s: float = 0.0
    dask_cpu_s: float = 0.0

    @property
    def jar_rows(self) -> int:
        """Jar samples of the run."""
        return self.rows["telemetry_jar_raw"]

    @property
    def rate(self) -> float:
        """Jar samples per second of the whole command."""
        return self.jar_rows / self.wall_s

    @property
    def parts_s(self) -> float:
        """Time of the parts alone."""
        return self.began_s["reduce"] - self.began_s["parts"]


class Running:
    """A started `fleetgen generate`."""

    def __init__(self, flags: Flags, environment: dict[str, str]) -> None:
        self._flags = flags
        self._lines: IO[str] = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed by `wait`)
        arguments = [f"--{name.replace('_', '-')}={value}" for name, value in flags.items()]
        self._started_s = time.perf_counter()
        self.process = psutil.Popen(
            [sys.executable, "-m", "fleetgen", "generate", *arguments, "--progress", "json"],
            stdout=subprocess.DEVNULL,
            stderr=self._lines,
            cwd=ROOT,
            env=os.environ | environment,
        )

    def wait(self, *, watched: Watched = "") -> Observed:
        """Wait for the end; RuntimeError with what it said when it failed."""
        watch = _Watch(self.process, self._lines, watched == "memory") if watched else None
        code = self.process.wait()
        wall_s = time.perf_counter() - self._started_s
        with self._lines as file:
            file.seek(0)
            text = file.read()
        if code:
            raise RuntimeError(f"fleetgen generate with {self._flags}: exit {code}\n{text}")
        lines = [json.loads(line) for line in text.splitlines()]
        began_s: dict[str, float] = {}
        for line in lines:
            began_s.setdefault(line["stage"], line["seconds"])
        rows = lines[0]["estimate"]["rows"]
        workers = 0 if lines[0]["executor"] in ("serial", "threads") else lines[0]["workers"]
        usage = watch.usage(workers) if watch else {}
        # The output directory tells of the machine.
        shown = {name: value for name, value in self._flags.items() if name != "output_dir"}
        return Observed(shown, wall_s, rows, began_s, **usage)


def run(
    flags: Flags, *, watched: Watched = "", environment: dict[str, str] | None = None
) -> Observed:
    """Run `fleetgen generate` to its end."""
    return Running(flags, environment or {}).wait(watched=watched)


def run_together(
    requests: Sequence[Flags], environment: dict[str, str]
) -> tuple[float, list[Observed]]:
    """Run several at the same time; gives the time until the last has ended."""
    start = time.perf_counter()
    running = [Running(flags, environment) for flags in requests]
    observed = [each.wait() for each in running]
    return time.perf_counter() - start, observed


class _Watch:
    """Samples a process and its descendants until it ends."""

    def __init__(self, root: psutil.Popen, lines: IO[str], memory: bool) -> None:
        self._root = root
        self._lines = lines
        self._told = 0
        self._root_cpu_s: dict[str, float] = {}
        self._seen: dict[psutil.Process, _Process] = {root: _Process()}
        self._peak_bytes = count = 0
        started_s = time.thread_time()
        while root.poll() is None:
            due_s = time.monotonic() + SAMPLE_S
            if count % CHILDREN_EVERY == 0:
                self._meet()
            wanted = self._seen if memory or count % CHILDREN_EVERY == 0 else [root]
            total = sum(_look(process, self._seen[process], memory) for process in wanted)
            self._listen()
            count += 1
            self._peak_bytes = max(self._peak_bytes, total)
            time.sleep(max(0.0, due_s - time.monotonic()))
        self._cpu_s = time.thread_time() - started_s

    def usage(self, workers: int) -> dict[str, Any]:
        """What was seen; the workers are the descendants that were busiest."""
        children = [of for process, of in self._seen.items() if process != self._root]
        busiest = sorted(children, key=lambda of: of.cpu_s, reverse=True)[:workers]
        seen_s = self._root_cpu_s
        client_s = seen_s["reduce"] - seen_s["slow path"] if "slow path" in seen_s else 0.0
        return {
            "dask_cpu_s": client_s + sum(of.main_cpu_s for of in busiest),
            "peak_bytes": self._peak_bytes,
            "worker_peak_bytes": [of.peak_bytes for of in busiest],
            "worker_cpu_s": sum(of.cpu_s for of in busiest),
            "other_cpu_s": sum(of.cpu_s for of in self._seen.values() if of not in busiest),
            "sampler_cpu_s": self._cpu_s,
        }

    def _listen(self) -> None:
        """Note what the root had taken when it told of a stage."""
        text = os.pread(self._lines.fileno(), 1 << 20, self._told).decode()
        whole = text[: text.rfind("\n") + 1]
        self._told += len(whole.encode())
        for line in whole.splitlines():
            if not line.startswith("{"):  # a fault, which `wait` tells
                continue
            self._root_cpu_s.setdefault(json.loads(line)["stage"], self._seen[self._root].cpu_s)

    def _meet(self) -> None:
        """Take in descendants that are new."""
        try:
            for child in self._root.children(recursive=True):
                self._seen.setdefault(child, _Process())
        except psutil.Error:  # one of them is gone
            return


def _look(process: psutil.Process, of: _Process, memory: bool) -> int:
    """Note the times of a process; gives its PSS now, 0 when it is gone or not asked for."""
    try:
        held = process.memory_full_info().pss if memory else 0
        times = process.cpu_times()
        main = next(each for each in process.threads() if each.id == process.pid)
    except (psutil.Error, StopIteration):
        return 0
    of.cpu_s, of.main_cpu_s = times.user + times.system, main.user_time + main.system_time
    of.peak_bytes = max(of.peak_bytes, held)
    return int(held)
