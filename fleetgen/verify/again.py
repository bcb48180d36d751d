"""Parts made again from the plan: some to compare with, or the bad ones to put in their place."""

from __future__ import annotations

from fleetgen import pipeline, reduce
from fleetgen.io import manifest
from fleetgen.plan import estimate
from fleetgen.spec import Receipt
from fleetgen.verify.findings import Findings, Notify
from fleetgen.verify.place import Amount, Place, sampled
from fleetgen.wording import many


def make_again(
    place: Place,
    receipts: dict[str, Receipt],
    amount: Amount,
    found: Findings,
    notify: Notify,
) -> None:
    """Make a sample of the parts from the plan, and compare them with their receipts."""
    chosen = sampled(place.record.digest, receipts, amount)
    jobs = [job for job in place.plan.parts if job.key in chosen]
    if not jobs:
        return
    notify("made again", 0, len(jobs))
    others = 0
    made = pipeline.rederived(place.config, place.plan, jobs, lambda line: notify(line, 0, 0))
    for number, receipt in enumerate(made, 1):
        found.checked["made again"] += 1
        others += _compare(receipts[receipt.job], receipt, found)
        notify("made again", number, len(jobs))
    if others:
        found.notes.append(
            f"{many(others, 'file')} made again: equal values in other bytes, for "
            "another version of a library encoded them"
        )


def _compare(there: Receipt, made: Receipt, found: Findings) -> int:
    """Compare a receipt with that of the part made again; give the files that differ in bytes."""
    others = 0
    by_path = {entry.path: entry for entry in there.files}
    for entry in made.files:
        said = by_path.get(entry.path)
        if said is None:
            continue  # told with the receipts
        if (said.rows, said.digests) != (entry.rows, entry.digests):
            days = {*said.digests, *entry.digests}
            odd = sorted(d for d in days if said.digests.get(d) != entry.digests.get(d))
            told = f"its values are not those of the plan ({', '.join(odd[:3]) or 'its rows'})"
            found.add("made again", entry.path, told, made.job)
        elif said.sha256 != entry.sha256:
            others += 1
    for name in ("statistics", "states", "swaps", "events"):
        wanted = getattr(made, name)  # states are those of the run's end: of no other part
        if wanted and wanted != getattr(there, name):
            told = f"its {name} are not those of the plan"
            found.add("made again", manifest.receipt_key(made.job), told, made.job)
    return others


def make_bad_again(place: Place, found: Findings, notify: Notify) -> int:
    """Make bad parts again, and what closes with the run if it is not what it would be."""
    store, plan = place.store, place.plan
    parts = {each.part for each in found.bad if each.part}
    # A crash from here on leaves an unfinished set, which the same command finishes.
    manifest.reopen(store)
    store.delete([manifest.receipt_key(job) for job in sorted(parts)])

    def tell(now: pipeline.Progress) -> None:
        if now.stage in ("parts", "histories"):
            notify("repair", now.jobs_done, now.jobs)
        elif now.stage == "compiling":
            notify(pipeline.compiling(), 0, 0)
        elif now.stage == "compiled":
            notify("compiled", 0, 0)

    if parts:
        pipeline.remake(place.config, plan, parts, tell)
    closing_bad = any(
        not each.part and each.check != "strangers" and each.path != manifest.SUCCESS
        for each in found.bad
    )
    if closing_bad or not _closes(place):
        pipeline.derive_histories(place.config, plan, tell)
        reduce.reduce(place.config, plan, estimate(plan, place.workers), store)
    else:
        store.put(manifest.SUCCESS, b"")
    reduce.clean(store)
    return len(parts)


def _closes(place: Place) -> bool:
    """Whether the manifest names the files of all receipts as they are, in order of the plan."""
    listed = manifest.read_files(place.store)
    return all(
        next(listed, None) == entry
        for job in place.plan.parts
        for entry in manifest.read_receipt(place.store, job.key).files
    )
