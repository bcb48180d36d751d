"""Which jars a model may learn from and which judge it, and until when.

Jars of one string share current and charger, strings of one location room and weather: a row of one
tells of the others. So a string is on one side, and, for the stricter question, a location is.
Members are ordered by a draw of their own and cut at even steps from a drawn offset (systematic
sampling): so each location has its share on each side, also where a share is less than a string.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from fleetgen import rng
from fleetgen.rng import Stream
from fleetgen.rows import texts
from fleetgen.schema import SPLIT, SPLITS
from fleetgen.spec import NULL, Fleet, Plain, RowGroup, TimeGrid
from fleetgen.units import SECONDS_PER_DAY

VALIDATION_FRAC, TEST_FRAC = 0.2, 0.2
TRAIN_TENTHS, EMBARGO_TENTHS = 7, 8
"""Tenths of the run after which training ends, and after which judging begins."""

SHORTEST_DAYS = 10
"""Days of the shortest run that is split by time: an embargo of one."""

_ROWS = 50_000


def sides(seed: int, members: Sequence[str], group: str) -> dict[str, str]:
    """Side of each of `members`, all that `group` has, whichever of them are written."""
    train, validation, test = SPLITS
    drawn = sorted(members, key=lambda m: (rng.uniform(rng.key(seed, Stream.SPLIT, m), 0), m))
    offset = rng.uniform(rng.key(seed, Stream.SPLIT, group), 1)
    found = {}
    for rank, member in enumerate(drawn):
        at = (rank + offset) / len(drawn)
        of_test = at < TEST_FRAC
        found[member] = (
            test if of_test else validation if at < TEST_FRAC + VALIDATION_FRAC else train
        )
    return found


def limits_ms(grid: TimeGrid) -> tuple[int, int]:
    """Instants [ms] at which training ends and judging begins; `NULL` in a short run."""
    days = grid.duration_s // SECONDS_PER_DAY
    if days < SHORTEST_DAYS:
        return NULL, NULL
    train, test = (grid.first_day + days * n // 10 for n in (TRAIN_TENTHS, EMBARGO_TENTHS))
    return 1000 * grid.midnight_s(train), 1000 * grid.midnight_s(test)


def split_groups(
    fleet: Fleet, units: Sequence[tuple[str, str, str]], seed: int, grid: TimeGrid
) -> Iterator[RowGroup]:
    """Row groups of `split`.

    Parameters
    ----------
    fleet
        All that is configured: a side does not depend on what is selected.
    units
        Battery, string and location id of each row, in the order of the table `battery`.
    """
    places = [site.location for site in fleet.sites]
    of_place = sides(seed, [place.location_id for place in places], "")
    of_string: dict[str, str] = {}
    for place in places:
        of_string |= sides(seed, place.string_ids, place.location_id)
    until = limits_ms(grid)
    for first in range(0, len(units), _ROWS):
        rows = units[first : first + _ROWS]
        columns = [*zip(*rows, strict=True)]
        columns += [tuple(of_string[s] for _, s, _ in rows), tuple(of_place[p] for *_, p in rows)]
        yield {
            **{n: texts(c) for n, c in zip(SPLIT.names, columns, strict=False)},
            **{
                n: Plain(np.full(len(rows), ms, np.int64))
                for n, ms in zip(SPLIT.names[-2:], until, strict=True)
            },
        }
