"""The use cases: they join the layers and decide nothing."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from fleetgen.config import RunConfig, from_identity, identity_digest, output_at, same_version
from fleetgen.errors import ConfigError, StorageError
from fleetgen.execute import (
    ExecutionSettings,
    available_cores,
    available_memory,
    open_engine,
    reach_scheduler,
)
from fleetgen.plan import Estimate, Plan, estimate, make_plan, rows_of
from fleetgen.schema import DATA_VERSION, SCHEMA_VERSION
from fleetgen.spec import Done, HistoryJob, Job, PartJob, Receipt, SlowPathJob, StringJob
from fleetgen.wording import many

if TYPE_CHECKING:
    from fleetgen.io.manifest import RunRecord
    from fleetgen.io.store import Store
    from fleetgen.timings import Timing

Stage = Literal[
    "planned",
    "joined",
    "extended",
    "compiling",
    "compiled",
    "slow path",
    "parts",
    "histories",
    "reduce",
    "share",
    "complete",
]
"""`joined` and `extended` say what was found, `compiling` and `compiled` that a first run compiles
the model and has done so, `share` that one share of the parts is made; the jobs
done are then the parts that have a receipt."""

SMALL_RUN_ROWS = 4_000_000
"""Jar samples below which the start of worker processes takes longer than the run."""


@dataclass(frozen=True)
class Progress:
    """State of a run, told at each step; `cautions` say of what to beware.

    `bytes_done` are those of parts so far, `data_bytes` those of all data of a complete set.
    """

    stage: Stage
    plan: Plan
    estimate: Estimate
    workers: int
    executor: str
    jobs_done: int = 0
    jobs: int = 0
    rows_done: int = 0
    rows: int = 0
    bytes_done: int = 0
    dashboard_url: str | None = None
    cautions: tuple[str, ...] = ()
    data_bytes: int = 0


_HERE = ExecutionSettings("serial", 1)
_HASTE_S = 5.0  # that one who has interrupted a run waits for the last line

Notify = Callable[[Progress], None]


def generate(config: RunConfig, notify: Notify = lambda _: None) -> Progress:
    """Make the data set of `config`, or finish the one that lies at its output.

    Raises
    ------
    StorageError
        The output cannot be written, has no room, or holds another plan.
    SimulationError, ClusterError
        See `execute`.
    """
    with ExitStack() as stack:
        url = config.output.directory
        if config.output.format == "none":  # control files alone, and not for long
            url = tempfile.mkdtemp(prefix="fleetgen-")
            stack.callback(shutil.rmtree, url, ignore_errors=True)
        return _generate(config, url, notify)


def _generate(config: RunConfig, url: str, notify: Notify) -> Progress:
    # pyarrow and fsspec: a refused command line must not wait for them
    from fleetgen.io import manifest
    from fleetgen.io.store import open_store

    store = open_store(url, config.output.to_options())
    if store.remote:  # a probe fails soon, while a look would be patient
        store.preflight()
    there = _look(config, store)
    plan = make_plan(config, store.url, there.extents)
    _refuse_unknown_parts(plan, there.done)
    todo = plan.missing(there.done)
    whole = there.closed and not todo
    asked = config.execution
    mine = plan.share(asked.part, asked.parts) if asked.part and asked.parts else None
    if mine is not None:
        todo = [job for job in mine if job.key not in there.done]
    settings = settings_of(config, plan)
    workers = settings.workers or 1
    cost = estimate(plan, workers)
    cautions = (*config.cautions(), *there.cautions)
    now = Progress("planned", plan, cost, workers, settings.executor, cautions=cautions)
    notify(now)
    if not whole and not store.remote:
        store.preflight()
        share = sum(map(rows_of, todo)) / sum(map(rows_of, plan.parts))
        _refuse_what_has_no_room(store.free_bytes(), round(share * cost.bytes), url)
    if settings.executor != "scheduler":
        _refuse_what_has_no_memory(cost)
    elif todo:
        reach_scheduler(settings)
    claimed = manifest.claim(store, config.identity(), plan.run.plan_digest, plan.names)
    grown = manifest.extend(store, plan.extents)
    if there.known or claimed == "joined":  # a run that began at the same moment was quicker
        stage: Stage = "extended" if grown and len(plan.extents) > 1 else "joined"
        notify(replace(now, stage=stage, jobs=len(plan.parts), jobs_done=len(there.done)))
    if whole:
        _refuse_damage(store)
    else:
        manifest.reopen(store)
    if mine is not None:
        now = _run_jobs(plan, todo, settings, now, notify, store=store) if todo else now
        done = len(manifest.receipts_done(store) & {job.key for job in plan.parts})
        now = replace(now, stage="share", jobs=len(plan.parts), jobs_done=done)
        notify(now)
        return now
    if not whole:
        where = settings if todo else settings_for(config, plan, plan.parts)
        now = _run_jobs(plan, todo, where, now, notify, store=store, histories=True)
        now = _close(config, plan, cost, store, now, notify)
    return _complete(store, now, notify)


def _complete(store: Store, now: Progress, notify: Notify) -> Progress:
    """Clear up, and tell how much there is."""
    from fleetgen import reduce
    from fleetgen.io import manifest
    from fleetgen.report import summary

    reduce.clean(store)
    data_bytes = summary.data_bytes(manifest.read_files(store))
    now = replace(now, stage="complete", data_bytes=data_bytes)
    notify(now)
    return now


@dataclass(frozen=True)
class _There:
    """What lies at an output: a plan, whether it is complete, and parts with a receipt."""

    known: bool = False
    closed: bool = False
    done: frozenset[str] = frozenset()
    extents: tuple[int, ...] = ()
    cautions: tuple[str, ...] = ()


def _look(config: RunConfig, store: Store) -> _There:
    """See what lies at the output, and refuse what this run cannot go on with; writes nothing."""
    from fleetgen.io import manifest

    if not store.exists(manifest.RUN):
        return _There(cautions=tuple(_neighbours(store)))
    manifest.check_identity(store, config.identity(), config.digest())
    # In this order, so that no more is seen as done than is, should another run be at work.
    closed = manifest.is_closed(store, config.digest(), config.run.duration_s)
    done = frozenset(manifest.receipts_done(store))
    return _There(True, closed, done, manifest.next_extents(store, config.run.duration_s))


def _neighbours(store: Store) -> Iterator[str]:
    """Say which data sets lie within a place that has none yet, or around it."""
    from fleetgen.io import manifest

    apart = "Both stay as they are; --output-dir keeps them apart"
    mark = f"/{manifest.RUN}"
    names: list[str] = []
    if not store.remote:  # a list of a prefix may be of millions
        with suppress(StorageError):  # no caution refuses a run
            names = store.names()
    if inside := [name.removesuffix(mark) for name in names if name.endswith(mark)]:
        more = f" and {len(inside) - 1:,} more" if inside[1:] else ""
        yield f"{store.url!r} has a data set inside it, {inside[0]!a}{more}. {apart}"
    if "://" not in store.url:
        for place in Path(os.path.abspath(store.url)).parents:
            if os.path.isfile(place / manifest.RUN):
                yield f"{store.url!r} lies inside the data set in {str(place)!r}. {apart}"


def _close(
    config: RunConfig, plan: Plan, cost: Estimate, store: Store, now: Progress, notify: Notify
) -> Progress:
    """Make what closes with the run, unless another run of the same plan has done so."""
    from fleetgen import reduce
    from fleetgen.io import manifest

    if manifest.is_closed(store, plan.run.plan_digest, plan.run.grid.duration_s):
        return now
    manifest.check_extents(store, plan.extents)
    now = replace(now, stage="reduce")
    notify(now)
    reduce.reduce(config, plan, cost, store)
    try:
        manifest.check_extents(store, plan.extents)
    except StorageError:  # what was written may be over what the longer run has closed
        manifest.reopen(store)
        raise
    return now


def finish(
    url: str,
    *,
    workers: int | None = None,
    storage_options: Sequence[str] = (),
    notify: Notify = lambda _: None,
) -> Progress:
    """Make what closes a data set of which all parts are made, be it by array jobs.

    Raises
    ------
    StorageError
        There is no data set, it is damaged, or parts are missing.
    ConfigError
        It is of another version.
    """
    from fleetgen.io import manifest
    from fleetgen.io.store import open_store

    place = output_at(url, storage_options if url.startswith("s3:") else ())
    store = open_store(place.directory, place.to_options())
    if store.remote:
        store.preflight()
    record, config, extents = recorded(store, workers, storage_options)
    if not same_version(record.identity):
        raise ConfigError(f"{url}: {other_version(record)}; use that fleetgen")
    plan = make_plan(config, store.url, extents)
    if missing := plan.missing(manifest.receipts_done(store)):
        raise StorageError(
            f"{url!r}: {len(missing):,} of {many(len(plan.parts), 'part')} missing, the first of "
            f"{missing[0].key}; run the command of the data set, or its jobs with --parts, again"
        )
    return generate(config, notify)


def report(url: str, *, storage_options: Sequence[str] = ()) -> None:
    """Make the reports of a complete data set again; equal bytes where nothing has changed.

    Raises
    ------
    StorageError
        There is no complete data set, or it is damaged.
    ConfigError
        It is of another version.
    """
    from fleetgen import reduce
    from fleetgen.io import manifest
    from fleetgen.io.store import open_store

    place = output_at(url, storage_options if url.startswith("s3:") else ())
    store = open_store(place.directory, place.to_options())
    record, config, extents = recorded(store, storage_options=storage_options)
    if not same_version(record.identity):
        raise ConfigError(f"{url}: {other_version(record)}; use that fleetgen")
    plan = make_plan(config, store.url, extents)
    if not manifest.is_closed(store, plan.run.plan_digest, plan.run.grid.duration_s):
        raise manifest.unfinished(store)
    reduce.report(config, plan, estimate(plan, 1), store)


def safe_parts(now: Progress) -> int:
    """Parts of the plan that a run would not have to make again, as far as can soon be told."""
    from fleetgen.io import manifest
    from fleetgen.io.store import open_store

    run = now.plan.run
    try:
        done = manifest.receipts_done(
            open_store(run.output_url, run.storage_options).within(_HASTE_S)
        )
    except StorageError:
        return 0
    return len(done & {job.key for job in now.plan.parts})


def recorded(
    store: Store, workers: int | None = None, storage_options: Sequence[str] = ()
) -> tuple[RunRecord, RunConfig, tuple[int, ...]]:
    """Identity of the data set in a store, the configuration that it comes from, its extents [s].

    Raises
    ------
    StorageError
        There is no data set, or its identity or length is damaged.
    """
    from fleetgen.io import manifest

    record = manifest.read_run(store)
    extents = manifest.read_extents(store)
    if not extents:
        raise StorageError(
            f"{store.url}/{manifest.EXTENTS} has no extent, so that nobody knows how long the data "
            "set is to be. Run the command that began it again"
        )
    options = list(storage_options) or None
    flags = {"output_dir": store.url, "workers": workers, "storage_option": options}
    try:
        return record, _restored(record, extents[-1], manifest.RUN, flags), extents
    except ConfigError as error:
        what = "" if same_version(record.identity) else f" {other_version(record)}"
        raise StorageError(f"{store.url}/{manifest.RUN} cannot be used:{what}\n{error}") from error


def repeated(
    place: str,
    flags: Mapping[str, object],
    overrides: Mapping[str, object] | Sequence[str] = (),
) -> RunConfig:
    """Configuration that makes the data set of a run.json, manifest or URL again.

    `flags` and `overrides` say where and on what. ConfigError where they change the plan, or where
    this version does not make its values; StorageError where it cannot be read.
    """
    from fleetgen.io import manifest

    options = flags.get("storage_option") if place.startswith("s3:") else None
    source = output_at(place, options if isinstance(options, list) else ())
    plan = manifest.read_plan(source.directory, source.to_options())
    if not str(flags.get("output_dir") or "").startswith("s3:"):  # they were for the source
        flags = {**flags, "storage_option": None}
    if not same_version(plan.record.identity):
        raise ConfigError(f"--from {plan.name}: {other_version(plan.record)}; use that fleetgen")
    return _restored(plan.record, plan.duration_s, plan.name, flags, overrides)


def other_version(record: RunRecord) -> str:
    """Say of which versions a data set is, and which this code makes."""
    version = record.identity.get("version")
    known = version if isinstance(version, dict) else {}
    data, schema = (known.get(name) for name in ("data", "schema"))
    return (
        f"it is of data version {data!r:.9} and schema version {schema!r:.9}, and this fleetgen "
        f"makes {DATA_VERSION} and {SCHEMA_VERSION}"
    )


def _restored(
    record: RunRecord,
    duration_s: int | None,
    source: str,
    flags: Mapping[str, object],
    overrides: Mapping[str, object] | Sequence[str] = (),
) -> RunConfig:
    """Configuration of a record; ConfigError where it is damaged, or what is beside it wrong."""
    try:
        if identity_digest(record.identity) != record.digest:
            raise ConfigError(f"{source}: its digest is not that of its plan")
        return from_identity(record.identity, duration_s, flags, overrides, source)
    except (ValueError, RecursionError) as error:  # numbers or nesting beyond JSON's
        raise ConfigError(f"{source}: {error}") from error


def remake(config: RunConfig, plan: Plan, parts: set[str], notify: Notify) -> None:
    """Make these parts of a plan and store them, be they there or not."""
    todo = [job for job in plan.parts if job.key in parts]
    settings = settings_for(config, plan, todo)
    cost = estimate(plan, settings.workers or 1)
    now = Progress("planned", plan, cost, settings.workers or 1, settings.executor)
    _run_jobs(plan, todo, settings, now, notify)


def derive_histories(config: RunConfig, plan: Plan, notify: Notify) -> None:
    """Derive what follows from the histories of a plan's strings and rooms, for the reduce."""
    settings = settings_for(config, plan, plan.parts)
    cost = estimate(plan, settings.workers or 1)
    now = Progress("planned", plan, cost, settings.workers or 1, settings.executor)
    _run_jobs(plan, [], settings, now, notify, histories=True)


def rederived(
    config: RunConfig,
    plan: Plan,
    parts: Sequence[PartJob],
    tell: Callable[[str], None] = lambda _: None,
) -> Iterator[Receipt]:
    """Make these parts of a plan from the plan alone; gives their receipts and stores nothing.

    `tell` is told when the model must be compiled before.
    """
    from fleetgen.task import begin_rederiving

    settings = settings_for(config, plan, parts)
    if settings.executor != "scheduler":  # workers that compile would be late
        compiled(tell, apart=settings.executor == "local")
    with open_engine(settings, plan.run.plan_digest[:12], preload=["fleetgen.warmed"]) as engine:
        yield from engine.run(begin_rederiving, parts)


def compiling() -> str:
    """Say that the model is being compiled, how long that may take, and where it is kept."""
    from fleetgen import compiler

    if compiler.LASTS:
        return f"compiling the model once (half a minute or so); kept in {compiler.KEPT_IN}"
    return (
        "compiling the model (half a minute or so), as each run will: set XDG_CACHE_HOME to a "
        "directory that can be written"
    )


def compiled(tell: Callable[[str], None], *, apart: bool = False) -> None:
    """Compile the model if it is not, and say so before and after; `apart` as `_load`."""
    from fleetgen import compiler

    if compiler.COLD:
        tell(compiling())
        _load(apart=apart)
        tell("compiled")


def settings_for(config: RunConfig, plan: Plan, parts: Sequence[PartJob]) -> ExecutionSettings:
    """Where to make some parts: as `settings_of`, but in this process if they are few."""
    few = sum(rows_of(job) for job in parts) < 2 * SMALL_RUN_ROWS
    if few and config.execution.executor is None:
        return _HERE
    return settings_of(config, plan)


def settings_of(config: RunConfig, plan: Plan) -> ExecutionSettings:
    """Where to run: as asked, else a local cluster, or in this process if the run is small."""
    asked = config.execution
    executor = asked.executor
    if executor is None and (asked.scheduler or asked.scheduler_file):
        executor = "scheduler"
    in_memory = config.output.directory.startswith("memory:")
    if in_memory and executor in ("local", "scheduler"):
        raise ConfigError(
            f"--output-dir {config.output.directory!r} is this process's memory, which workers of "
            f"--executor {executor} cannot reach; use --executor serial or threads"
        )
    if executor is None:
        jars = sum(len(jar_ids) for jar_ids in plan.selected.values())
        small = jars * plan.run.grid.instants < SMALL_RUN_ROWS and asked.workers is None
        executor = "serial" if small or in_memory else "local"
    workers = asked.workers or available_cores()
    return ExecutionSettings(
        executor=executor,
        workers=1 if executor == "serial" else min(workers, len(plan.parts)),
        scheduler=asked.scheduler,
        scheduler_file=asked.scheduler_file,
        performance_report=_report_file(asked.performance_report, executor),
    )


def _report_file(file: str | None, executor: str) -> str | None:
    """Refuse Dask's account of a run without Dask, or where it could not be drawn or written."""
    if file is None:
        return None
    if executor in ("serial", "threads"):
        raise ConfigError(
            f"--performance-report {file!r} is Dask's, and this run is made by --executor "
            f"{executor}; give --executor local, or leave it out"
        )
    if find_spec("bokeh") is None:
        raise ConfigError(
            f"--performance-report {file!r} is drawn by bokeh, which is not here; "
            "pip install 'fleetgen[dashboard]', also where the scheduler runs"
        )
    if not os.access(os.path.dirname(os.path.abspath(file)), os.W_OK) or os.path.isdir(file):
        raise ConfigError(f"--performance-report {file!r} cannot be written; choose another place")
    return file


class _Agenda:
    """Which jobs of a run wait for which, and how far it is.

    Slow paths first, the longest before the others; then parts, likewise, those of a system when it
    was walked; the history of a string or room when its own parts are made. So no worker is idle
    for long while another ends the last job of a kind.
    """

    def __init__(
        self, slow: Sequence[SlowPathJob], todo: Sequence[PartJob], histories: Sequence[HistoryJob]
    ) -> None:
        made_now = {job.key for job in todo}
        self._histories = {history.key: history for history in histories}
        self._of = {
            key: name
            for name, history in self._histories.items()
            for key in (job.key for job in history.parts)
            if key in made_now
        }
        self._left = Counter(self._of.values())
        self._of_system: dict[str, list[PartJob]] = {job.system.system_id: [] for job in slow}
        self._walks = {job.key: job.system.system_id for job in slow}
        walked: list[Job | HistoryJob] = []
        for job in sorted(todo, key=rows_of, reverse=True):
            system = job.system.system_id if isinstance(job, StringJob) else ""
            self._of_system.get(system, walked).append(job)
        walked += [history for history in histories if not self._left[history.key]]
        self._jobs: dict[Stage, int] = {
            "slow path": len(slow),
            "parts": len(todo),
            "histories": len(histories),
        }
        self._ended = Counter[Stage]()
        self._rows = self._bytes = 0
        self.first: Sequence[Job | HistoryJob] = [
            *sorted(slow, key=lambda job: len(job.system.strings), reverse=True),
            *walked,
        ]

    def after(self, ended: tuple[Done, object]) -> Sequence[Job | HistoryJob]:
        """Jobs that wait no more when one has ended."""
        key = ended[0].job
        if key in self._walks:
            return self._of_system.pop(self._walks[key])
        if key not in self._of:
            return []
        name = self._of.pop(key)
        self._left[name] -= 1
        return [] if self._left[name] else [self._histories[name]]

    def began(self, now: Progress) -> Progress:
        """State in the first stage that has jobs left."""
        stage = next(each for each, jobs in self._jobs.items() if self._ended[each] < jobs)
        return replace(now, stage=stage, jobs=self._jobs[stage], jobs_done=self._ended[stage])

    def took(self, now: Progress, done: Done) -> Iterator[Progress]:
        """States after a job: of its stage, and of the next if that is over."""
        stage: Stage = "parts"
        if done.job in self._walks:
            stage = "slow path"
        elif done.job in self._histories:
            stage = "histories"
        else:
            self._rows, self._bytes = self._rows + done.rows, self._bytes + done.bytes
        self._ended[stage] += 1
        if stage != now.stage:  # it is told when that stage is come to
            return
        ended = self._ended[stage]
        now = replace(now, jobs_done=ended, rows_done=self._rows, bytes_done=self._bytes)
        yield now
        if ended == self._jobs[stage] and self._ended.total() < sum(self._jobs.values()):
            yield self.began(now)


def _run_jobs(
    plan: Plan,
    todo: list[PartJob],
    settings: ExecutionSettings,
    now: Progress,
    notify: Notify,
    *,
    store: Store | None = None,
    histories: bool = False,
) -> Progress:
    """On one engine: slow paths of the systems concerned, their parts, and all histories.

    The times of the jobs are left in `store`.
    """
    from fleetgen import timings, workers
    from fleetgen.work import begin

    _compile(settings, now, notify)
    systems = {job.system.system_id for job in todo if isinstance(job, StringJob)}
    slow = [job for job in plan.slow_paths if job.system.system_id in systems]
    last = plan.histories if histories and plan.run.format != "none" else ()
    agenda = _Agenda(slow, todo, last)
    made = f"{plan.run.plan_digest} {plan.run.output_url} {plan.extents}"
    run_id = hashlib.sha256(made.encode()).hexdigest()[:12]
    preload = ["fleetgen.warmed"]
    if plan.run.output_url.startswith("s3:"):
        preload.append("fleetgen.io.s3")  # 1 s and 60 MB, once
    taken: list[timings.Timing] = []
    with ExitStack() as stack:
        if store is not None and plan.run.format != "none":
            stack.callback(_keep_timings, store, taken)
        engine = stack.enter_context(open_engine(settings, run_id, preload))
        if store is not None:
            workers.refuse_unfit(engine, store)
        now = replace(now, rows=sum(map(rows_of, todo)), dashboard_url=engine.dashboard_url)
        if agenda.first:
            now = agenda.began(replace(now, workers=engine.workers))
            notify(now)
        for done, timing in engine.run(timings.Timed(begin), agenda.first, agenda.after):
            taken.append(timing)
            for state in agenda.took(replace(now, workers=engine.workers), done):
                now = state
                notify(now)
    return now


def _compile(settings: ExecutionSettings, now: Progress, notify: Notify) -> None:
    """Compile what is not compiled yet: workers of this machine that compile would be late."""
    from fleetgen import compiler

    if compiler.COLD and settings.executor != "scheduler":
        notify(replace(now, stage="compiling"))
        _load(apart=settings.executor == "local")
        notify(replace(now, stage="compiled"))


def _load(*, apart: bool) -> None:
    """Compile the kernels, in processes apart where this one has no need of them."""
    from fleetgen import compiler

    if not (apart and compiler.apart()):
        from fleetgen import warm

        warm.load()


def _keep_timings(store: Store, taken: list[Timing]) -> None:
    """Leave the times of a run, whatever its end; the run is none the worse without."""
    from fleetgen import timings

    if taken:
        with suppress(StorageError):
            timings.write(store.within(_HASTE_S), taken)


def _refuse_unknown_parts(plan: Plan, done: frozenset[str]) -> None:
    """Refuse to go on where readers would find parts that the plan does not have."""
    if unknown := sorted(done.difference(job.key for job in plan.parts)):
        raise StorageError(
            f"{plan.run.output_url!r} holds {many(len(unknown), 'receipt')} of parts that this "
            f"plan does not have, the first of {unknown[0]!a}. Give the --duration-days that it "
            "had, remove them by `fleetgen clean` if the data set was complete, or choose another "
            "--output-dir."
        )


def _refuse_damage(store: Store) -> None:
    """Refuse to call a data set complete that has lost files, or has them in other sizes."""
    from fleetgen.io import manifest

    sizes = store.sizes()
    bad = [e.path for e in manifest.read_files(store) if sizes.get(e.path) != e.bytes]
    if bad:
        raise StorageError(
            f"{store.url!r} is not whole: {many(len(bad), 'file')} missing or of another size, the "
            f"first of them {bad[0]}. `fleetgen verify {store.url} --repair` makes them "
            "again"
        )


def _refuse_what_has_no_room(free_bytes: int | None, needed_bytes: int, place: str) -> None:
    if free_bytes is not None and needed_bytes > free_bytes:
        raise StorageError(
            f"--output-dir {place!r}: about {needed_bytes / 1e9:.1f} GB are needed and "
            f"{free_bytes / 1e9:.1f} GB are free; free some room, choose another place, a longer "
            "--sampling-seconds or fewer batteries"
        )


def _refuse_what_has_no_memory(cost: Estimate) -> None:
    """Refuse more workers on this machine than it has memory for."""
    available = available_memory()
    if cost.memory_bytes > available:
        raise ConfigError(
            f"--workers: about {cost.memory_bytes / 1e9:.1f} GB of memory are needed and "
            f"{available / 1e9:.1f} GB are available; use fewer --workers"
        )
