"""Dimension tables of any size."""

import pytest

import fleetgen.fleet
import fleetgen.rows
from fleetgen.config import load
from fleetgen.fleet import dimension_tables
from fleetgen.io import csv


def test_tables_longer_than_a_code_is_wide_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    config = load(flags={"limit_batteries": 100})
    fleet, grid = config.to_fleet(), config.grid()

    def written() -> dict[str, bytes]:
        made = dimension_tables(fleet, config.selected(fleet), 42, grid)
        return {t.name: csv.csv_bytes(t, groups, grid.utc_offset_s) for t, groups in made.items()}

    whole = written()
    assert whole["battery"].count(b"\n") == 101
    monkeypatch.setattr(fleetgen.rows, "_ROW_GROUP_ROWS", 7)
    assert written() == whole


def test_codes_of_a_row_group_fit_sixteen_bits() -> None:
    assert fleetgen.rows._ROW_GROUP_ROWS < 2**16
