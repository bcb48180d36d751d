"""Who learns and who judges: no string on two sides, whatever is selected."""

from collections import Counter
from datetime import date, datetime

import pytest

from fleetgen.config import load
from fleetgen.derive import split
from fleetgen.io import csv
from fleetgen.schema import SPLIT, SPLITS
from fleetgen.spec import NULL
from tests.tiny import config

SEED = 42


def fleet_of(**overrides):
    found = load(overrides=overrides)
    return found.to_fleet(), found.grid()


def units(fleet):
    return [
        (jar, string.string_id, site.location.location_id)
        for site in fleet.sites
        for system in site.systems
        for string in system.strings
        for jar in string.jar_ids
    ]


def rows(fleet, grid, some=None, seed=SEED):
    some = units(fleet) if some is None else some
    groups = list(split.split_groups(fleet, some, seed, grid))
    head, *lines = csv.csv_bytes(SPLIT, groups, grid.utc_offset_s).decode().splitlines()
    assert head.split(",") == list(SPLIT.names)
    return [dict(zip(SPLIT.names, line.split(","), strict=True)) for line in lines]


def test_no_string_crosses_and_every_location_is_on_each_side():
    found = rows(*fleet_of())
    assert [row["battery_id"] for row in found] == [jar for jar, *_ in units(fleet_of()[0])]
    sides = {}
    for row in found:
        assert row["split"] in SPLITS
        assert sides.setdefault(row["string_id"], row["split"]) == row["split"]
        assert sides.setdefault(row["location_id"], row["location_split"]) == row["location_split"]
    for place in {row["location_id"] for row in found}:
        strings = {row["string_id"]: row["split"] for row in found if row["location_id"] == place}
        counts = Counter(strings.values())
        # 9 strings at a fifth each: 1.8, so one or two.
        assert counts["test"] in (1, 2)
        assert counts["validation"] in (1, 2)
    places = Counter({row["location_id"]: row["location_split"] for row in found}.values())
    assert places["test"] in (1, 2)
    assert places["validation"] in (1, 2)


def test_a_selection_and_another_order_change_nothing():
    fleet, grid = fleet_of()
    whole = {row["battery_id"]: row for row in rows(fleet, grid)}
    some = units(fleet)[::7][::-1]
    assert rows(fleet, grid, some) == [whole[jar] for jar, *_ in some]
    members = [f"S{i}" for i in range(9)]
    assert split.sides(SEED, members, "L") == split.sides(SEED, members[::-1], "L")


def test_a_replacement_is_on_the_side_of_its_string():
    fleet, grid = fleet_of()
    jar, string, place = units(fleet)[30]
    old, new = rows(fleet, grid, [(jar, string, place), (f"{jar}-R2", string, place)])
    assert {**old, "battery_id": f"{jar}-R2"} == new


def test_another_seed_is_split_otherwise():
    fleet, grid = fleet_of()
    assert rows(fleet, grid) != rows(fleet, grid, seed=SEED + 1)


def test_single_strings_fall_on_each_side_in_their_share():
    """One string per location: 60, 20, 20 % over many."""
    found = Counter(split.sides(7, [f"S{i}"], f"L{i}")[f"S{i}"] for i in range(4000))
    for side, share in zip(SPLITS, (0.6, 0.2, 0.2), strict=True):
        assert found[side] / 4000 == pytest.approx(share, abs=0.025)


@pytest.mark.parametrize(("days", "train", "test"), [(10, 7, 8), (30, 21, 24), (365, 255, 292)])
def test_time_is_cut_at_local_midnights_with_an_embargo(days, train, test):
    fleet, grid = fleet_of(**{"run.duration_days": days})
    (row,) = rows(fleet, grid, units(fleet)[:1])
    start = date(2025, 1, 1).toordinal()
    for name, expected in (("train_until", train), ("embargo_until", test)):
        at = datetime.fromisoformat(row[name])
        assert at.date().toordinal() - start == expected
        assert (at.hour, at.minute, at.utcoffset().total_seconds()) == (0, 0, 7 * 3600)


def test_a_short_run_is_not_cut():
    fleet, grid = fleet_of(**{"run.duration_days": 9})
    assert split.limits_ms(grid) == (NULL, NULL)
    (row,) = rows(fleet, grid, units(fleet)[:1])
    assert row["train_until"] == row["embargo_until"] == ""


def test_a_fleet_of_one_string():
    found = config()
    fleet, grid = found.to_fleet(), found.grid()
    assert len({row["split"] for row in rows(fleet, grid)}) == 1
