"""The use case: look at all parts, then at what closed with the run, then judge."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from fleetgen import pipeline
from fleetgen.execute import open_engine
from fleetgen.spec import PartJob, StringJob
from fleetgen.task import part_path, part_tables
from fleetgen.validate import queries
from fleetgen.validate.findings import Finding
from fleetgen.validate.judge import judged
from fleetgen.validate.leak import leaks, sampled
from fleetgen.validate.look import Episode, LookJob, Seen
from fleetgen.validate.part import begin_look
from fleetgen.validate.place import Place, open_place
from fleetgen.validate.recompute import Again, begin_again
from fleetgen.validate.small import closed

Notify = Callable[[str, int, int], None]
"""Takes what is looked at, how many of them are done, and how many there are."""


_PRELOAD = ["fleetgen.validate.recompute"]
"""What workers import once, before they are forked."""


def run(
    url: str,
    *,
    workers: int | None = None,
    storage_options: Sequence[str] = (),
    notify: Notify = lambda *_: None,
) -> list[Finding]:
    """Check that the values of a finished data set are sound; nothing is written.

    A part's files are read one after the other, each held as it was packed and unpacked a row group
    (of csv.gz a block) at a time; those of the leak test's string are read again. What `verify`
    looks at, whether the files are those that were written, is not repeated. This process holds the
    closing tables and a course of SOH for each jar and part.

    Parameters
    ----------
    url
        A directory, or `s3://bucket/prefix`.
    workers
        Processes; one per core by default, and none for a small set.
    storage_options
        Texts `name=value`, for `s3://` alone.

    Raises
    ------
    ConfigError
        The URL or an option is none.
    StorageError
        No finished data set lies there, or its plan cannot be read.
    """
    place = open_place(url, workers, storage_options)
    seen, again = _look(place, notify)
    findings = [*judged(place, seen), *closed(place, seen), *leaks(place, again)]
    return [replace(each, query=queries.read(each.query, place.plan.run)) for each in findings]


def _look(place: Place, notify: Notify) -> tuple[Seen, list[Again]]:
    """Look at all parts, then derive a sample again, on as many processes as a run would take."""
    jobs = [_job(place, part) for part in place.plan.parts]
    settings = pipeline.settings_for(place.config, place.plan, place.plan.parts)
    sample = sampled(place)
    seen = Seen()
    notify("parts", 0, len(jobs))
    with open_engine(settings, place.record.digest[:12], _PRELOAD) as engine:
        looks = engine.run(partial(begin_look, place.store), jobs)
        for number, each in enumerate(looks, 1):
            seen.merge(each)
            notify("parts", number, len(jobs))
        notify("leak test", 0, len(sample))
        again = list(engine.run(partial(begin_again, place.store), sample))
        notify("leak test", len(again), len(sample))
    return seen, again


def _job(place: Place, part: PartJob) -> LookJob:
    """What a look at a part needs to know of the rest."""
    grid = part.run.grid
    start_ms = 1000 * grid.midnight_s(part.block.first_day)
    end_ms = 1000 * grid.midnight_s(part.block.end_day)
    if isinstance(part, StringJob):
        entities = [part.string.string_id, *part.jar_ids]
    else:
        entities = [part.sensor_id]
    faults: dict[str, tuple[Episode, ...]] = {}
    for entity in entities:
        found = tuple(
            each
            for each in place.faults.get(entity, ())
            if each.start_ms < end_ms and each.end_ms > start_ms
        )
        if found:
            faults[entity] = found
    paths = {part_path(part, table.name) for table in part_tables(part)}
    units = place.troubled.get(part.string.string_id, ()) if isinstance(part, StringJob) else ()
    return LookJob(part, place.there & paths, faults, frozenset(units))
