"""A data set whose plan is known, and how many of its files are looked into."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from fleetgen import pipeline
from fleetgen.config import RunConfig, same_version
from fleetgen.errors import ConfigError, StorageError
from fleetgen.execute import available_cores
from fleetgen.export import open_at
from fleetgen.io import manifest
from fleetgen.io.store import Store
from fleetgen.plan import Plan, make_plan

_AMOUNT = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)(%?)", re.ASCII)

Amount = Callable[[int], int]
"""Takes how many there are, and gives how many of them are meant."""


@dataclass(frozen=True)
class Place:
    """A data set whose plan is known."""

    store: Store
    record: manifest.RunRecord
    config: RunConfig
    plan: Plan
    workers: int


def open_place(url: str, workers: int | None, storage_options: Sequence[str] = ()) -> Place:
    """Read the plan of the data set at a URL; StorageError where there is none."""
    store = open_at(url, storage_options)
    record, config, extents = pipeline.recorded(store, workers, storage_options)
    plan = make_plan(config, store.url, extents)
    return Place(store, record, config, plan, workers or available_cores())


def refuse_other_version(place: Place) -> None:
    """Raise StorageError where this code does not make the data set's values."""
    if not same_version(place.record.identity):
        raise StorageError(
            f"{place.store.url}: no part can be made again, for "
            f"{pipeline.other_version(place.record)}. Use the fleetgen that made it, or leave out "
            "--rederive and --repair"
        )


def amount(flag: str, text: str) -> Amount:
    """Turn `1%`, a number or `all` into how many of so many that is."""
    match = _AMOUNT.fullmatch(text)
    if text == "all":
        return lambda total: total
    if not match or (match[2] and float(match[1]) > 100) or (not match[2] and "." in match[1]):
        raise ConfigError(f"{flag} = {text!r:.40}: must be a share like 1%, a number, or all")
    number = float(match[1])
    if match[2]:
        return lambda total: math.ceil(number * total / 100)
    return lambda total: min(total, int(number))


def sampled(digest: str, names: Iterable[str], amount: Amount) -> set[str]:
    """Choose so many of `names`: of one plan the same ones, by the hash of its digest and each."""
    ranked = sorted(names, key=lambda name: hashlib.sha256(f"{digest}\n{name}".encode()).digest())
    return set(ranked[: amount(len(ranked))])
