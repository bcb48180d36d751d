"""The use case: look at everything, repair it if that is asked for, and look again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fleetgen import pipeline
from fleetgen.config import same_version
from fleetgen.spec import Receipt
from fleetgen.verify.again import make_again, make_bad_again
from fleetgen.verify.control import control_files, disputed, listed_files
from fleetgen.verify.files import look_at_files, look_for_strangers
from fleetgen.verify.findings import Findings, Notify
from fleetgen.verify.place import Amount, Place, amount, open_place, refuse_other_version, sampled


def verify(
    url: str,
    *,
    values: str = "1%",
    rederive: str | None = None,
    repair: bool = False,
    workers: int | None = None,
    storage_options: Sequence[str] = (),
    notify: Notify = lambda *_: None,
) -> Findings:
    """Look at all files of a data set.

    Parameters
    ----------
    values, rederive
        Of how many files the values are read back, and how many parts are made again and compared:
        `1%`, a number, or `all`. Which ones follows from the plan.
    repair
        Make again what is bad, and look again.

    Raises
    ------
    ConfigError
        An amount is none.
    StorageError
        There is no data set, or its plan is damaged or, where parts are to be made, of another
        version.
    """
    share, again = amount("--values", values), amount("--rederive", rederive or "0")
    place = open_place(url, workers, storage_options)
    if rederive or repair:
        refuse_other_version(place)
    found = _look(place, share, again, notify)
    if repair and any(each.check != "strangers" for each in found.bad):
        remade = make_bad_again(place, found, notify)
        found = _look(place, share, again, notify)
        found.remade = remade
    return found


def _look(place: Place, share: Amount, again: Amount, notify: Notify) -> Findings:
    found = Findings()
    there = control_files(place, found)
    receipts: dict[str, Receipt] = {}
    files = listed_files(place, there, receipts, found)
    if same_version(place.record.identity):
        chosen = sampled(place.record.digest, (f.path for f in files if f.job), share)
        files = [replace(f, values=f.path in chosen or disputed(f)) for f in files]
    else:
        found.notes.append(f"values are not read back, for {pipeline.other_version(place.record)}")
    look_at_files(place, files, found, notify)
    look_for_strangers(place, files, receipts, found)
    make_again(place, receipts, again, found, notify)
    return found
