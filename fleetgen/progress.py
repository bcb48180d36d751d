"""A run's progress on the screen: a live bar, plain lines, JSON lines, or nothing."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TextIO

from fleetgen.pipeline import Notify, Progress, compiling
from fleetgen.units import SECONDS_PER_DAY
from fleetgen.wording import duration, many, size

PLAIN_EVERY_S = 10.0
FOUND = ("joined", "extended")


def reporter(style: str, stream: TextIO | None = None) -> tuple[Notify, Callable[[], None]]:
    """Give what to call at each step and at the end; `auto` is a bar on a terminal, else plain."""
    stream = stream or sys.stderr
    if style == "auto":
        style = "bar" if stream.isatty() else "plain"
    if style == "none":
        return lambda _: None, lambda: None
    if style == "json":
        return _json_lines(stream), lambda: None
    if style == "bar":
        return _bar()
    return _Plain(stream), lambda: None


def counter(style: str, stream: TextIO | None = None) -> Callable[[str, int, int], None]:
    """Give what to call with what is looked at, how much of it is done, and how much there is."""
    if style == "none":
        return lambda *_: None
    return _Counter(stream or sys.stderr, style == "json")


@dataclass
class _Counter:
    """Lines, each of them `PLAIN_EVERY_S` after the one before, and one at each end."""

    stream: TextIO
    json: bool
    told_s: float = field(default_factory=time.monotonic)

    def __call__(self, what: str, done: int, total: int) -> None:
        now_s = time.monotonic()
        if done < total and now_s - self.told_s < PLAIN_EVERY_S:
            return
        self.told_s = now_s
        line = f"{what}: {done:,} of {total:,}" if total else what
        if self.json:
            line = json.dumps({"stage": what, "done": done, "total": total})
        print(line, file=self.stream, flush=True)


def planned(now: Progress) -> str:
    """Say what a run will make and take, and what to beware of."""
    cost = now.estimate
    jars = sum(len(ids) for ids in now.plan.selected.values())
    files = many(cost.files, "file")
    disk = f"about {size(cost.bytes)} on disk in at least {files}" if cost.files else "no files"
    made = (
        f"{many(jars, 'battery', 'batteries')}, "
        f"{many(cost.rows['telemetry_jar_raw'], 'jar sample')}; {disk}, about "
        f"{size(cost.memory_bytes)} of memory on {many(now.workers, 'worker')} ({now.executor})"
    )
    return "\n".join([made, *(f"caution: {line}" for line in now.cautions)])


def found(now: Progress) -> str:
    """Say what lay at the output when a run was given to it."""
    if now.stage == "extended":
        days = many(now.plan.extents[-2] / SECONDS_PER_DAY, "day")
        head = f"extends a data set of this plan from {days}"
    else:
        head = "joins a data set of this plan"
    return f"{head}: {_receipts(now)}"


def share_made(now: Progress) -> str:
    """Say that a share of the parts is made, and what is to follow."""
    done = f"this share is made: {_receipts(now)}"
    return f"{done}; when all are: fleetgen finish {now.plan.run.output_url}"


def _receipts(now: Progress) -> str:
    return f"{now.jobs_done:,} of {many(now.jobs, 'part')} made"


def _took(seconds: float) -> str:
    """A length of time that was measured; below ten seconds with tenths."""
    return f"{seconds:.1f} s" if seconds < 10 else duration(seconds)


def _rows_rate(rows_per_s: float) -> str:
    if rows_per_s < 100_000:
        return f"{rows_per_s:,.0f} rows/s"
    return f"{rows_per_s / 1e6:,.1f} million rows/s"


@dataclass
class _Rate:
    """How long a stage lasts, how fast it is, and what is left at that rate."""

    stage: str = ""
    began_s: float = 0.0
    rows_before: int = 0
    jobs_before: int = 0

    def elapsed_s(self, now: Progress) -> float:
        """Time since the stage was first told of."""
        at_s = time.monotonic()
        if now.stage != self.stage:
            self.stage, self.began_s = now.stage, at_s
            self.rows_before, self.jobs_before = now.rows_done, now.jobs_done
        return at_s - self.began_s

    def measured(self, now: Progress) -> tuple[float, float] | None:
        """Rows per second, and seconds left; None where that cannot be told."""
        elapsed_s = self.elapsed_s(now)
        made = now.rows_done - self.rows_before
        if now.stage != "parts" or not made or not elapsed_s:
            return None
        rate = made / elapsed_s
        return rate, (now.rows - now.rows_done) / rate

    def state(self, now: Progress) -> str:
        """Say how far a stage is, or at its end how long it took."""
        elapsed_s, measured = self.elapsed_s(now), self.measured(now)
        if now.stage == "reduce":
            return "tables, features, report"
        text = f"{now.jobs_done:,} of {now.jobs:,}"
        if now.jobs_done == now.jobs:
            text += f" in {_took(elapsed_s)}"
            if measured:
                return f"{text}, {_rows_rate(measured[0])}"
            made = now.jobs - self.jobs_before
            return f"{text}, {made / elapsed_s:,.1f} per s" if elapsed_s else text
        if measured:
            return f"{text}, {_rows_rate(measured[0])}, {duration(measured[1])} left"
        return text


@dataclass
class _Plain:
    stream: TextIO
    started_s: float = field(default_factory=time.monotonic)
    told_s: float = 0.0
    stage: str = ""
    rate: _Rate = field(default_factory=_Rate)

    def __call__(self, now: Progress) -> None:
        elapsed = time.monotonic() - self.started_s
        if self.stage == "reduce" and now.stage != "reduce":
            self._say(f"reduce: done in {_took(elapsed - self.told_s)}")
        if now.stage == "planned":
            self._say(planned(now))
        elif now.stage == "compiling":
            self.told_s = elapsed
            self._say(compiling())
        elif now.stage == "compiled":
            self._say(f"compiled after {_took(elapsed - self.told_s)}")
        elif now.stage in FOUND:
            self._say(found(now))
            return
        elif now.stage == "share":
            self._say(share_made(now))
        elif now.stage == "complete":
            self._say(f"complete after {_took(elapsed)}")
        elif self._is_due(now, elapsed):
            self.told_s = elapsed
            new = now.dashboard_url and now.stage == "slow path" and not now.jobs_done
            where = f"; dashboard {now.dashboard_url}" if new else ""
            self._say(f"{now.stage}: {self.rate.state(now)}{where}")
        self.stage = now.stage

    def _is_due(self, now: Progress, elapsed_s: float) -> bool:
        """Whether a stage begins, ends, or has not been told of for long."""
        if not now.jobs and now.stage != "reduce":
            return False
        begins, ends = now.stage != self.stage, now.jobs_done == now.jobs
        return begins or ends or elapsed_s - self.told_s >= PLAIN_EVERY_S

    def _say(self, text: str) -> None:
        print(text, file=self.stream, flush=True)


def _json_lines(stream: TextIO) -> Notify:
    started, rate = time.monotonic(), _Rate()

    def tell(now: Progress) -> None:
        measured = rate.measured(now)
        rows_per_s, left_s = measured or (None, None)
        line: dict[str, object] = {
            "stage": now.stage,
            "jobs_done": now.jobs_done,
            "jobs": now.jobs,
            "rows_done": now.rows_done,
            "rows": now.rows,
            "bytes_done": now.bytes_done,
            "workers": now.workers,
            "executor": now.executor,
            "dashboard_url": now.dashboard_url,
            "seconds": round(time.monotonic() - started, 3),
            "rows_per_second": rows_per_s and round(rows_per_s),
            "seconds_left": left_s if left_s is None else round(left_s, 1),
        }
        if now.stage == "planned":
            cost = now.estimate
            line["estimate"] = {
                "rows": cost.rows,
                "bytes": cost.bytes,
                "files": cost.files,
                "memory_bytes": cost.memory_bytes,
            }
            line["cautions"] = now.cautions
        if now.stage == "compiling":
            line["told"] = compiling()
        if now.stage == "complete":
            line["data_bytes"] = now.data_bytes
        print(json.dumps(line), file=stream, flush=True)

    return tell


def _bar() -> tuple[Notify, Callable[[], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    bar = Bar(
        TextColumn("{task.description:<10}"),
        BarColumn(),
        TextColumn("{task.fields[state]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    )
    rate = _Rate()
    task = bar.add_task("", state="", total=None)

    def tell(now: Progress) -> None:
        if now.stage == "planned":
            console.print(planned(now), highlight=False)
            bar.start()
            return
        if now.stage in FOUND:
            console.print(found(now), highlight=False)
            return
        if now.stage in ("compiling", "compiled"):
            words = compiling() if now.stage == "compiling" else now.stage
            console.print(words, highlight=False, soft_wrap=True)
            bar.update(task, description=now.stage, state="")
            return
        if now.dashboard_url and now.stage == "slow path" and now.jobs_done == 0:
            console.print(f"dashboard {now.dashboard_url}", highlight=False)
        if now.stage == "share":
            bar.stop()
            console.print(share_made(now), highlight=False)
            return
        total = now.rows if now.stage == "parts" else None
        state = "" if now.stage == "complete" else rate.state(now)
        bar.update(task, description=now.stage, completed=now.rows_done, total=total, state=state)
        if now.stage == "complete":
            bar.stop()

    return tell, bar.stop
