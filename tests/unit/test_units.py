"""Conversions against the standard library's calendar."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetgen import units

DAYS = st.dates(date(1900, 1, 1), date(2200, 12, 31))
OFFSETS_S = st.integers(-14 * 60, 14 * 60).map(lambda minutes: 60 * minutes)


def test_constants():
    assert timedelta(minutes=1) == timedelta(seconds=units.SECONDS_PER_MINUTE)
    assert timedelta(hours=1) == timedelta(seconds=units.SECONDS_PER_HOUR)
    assert timedelta(days=1) == timedelta(seconds=units.SECONDS_PER_DAY)
    assert units.DAYS_PER_YEAR == 365.25


@given(DAYS)
def test_day_numbers_count_days(day):
    number = units.day_number(day)
    assert number == day.toordinal() - date(1970, 1, 1).toordinal()
    assert units.day_date(number) == day


@given(DAYS, OFFSETS_S)
def test_local_midnight(day, offset_s):
    zone = timezone(timedelta(seconds=offset_s))
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone)
    instant_s = units.local_midnight_s(day, offset_s)
    assert instant_s == midnight.timestamp()
    assert datetime.fromtimestamp(instant_s, UTC) == midnight


def test_midnight_in_bangkok():
    assert units.local_midnight_s(date(2025, 1, 1), 7 * 3600) == 1_735_664_400


@pytest.mark.parametrize(
    ("instant_s", "offset_s", "text"),
    [
        (1_735_664_400, 25_200, "2025-01-01T00:00:00+07:00"),
        (1_735_664_399, 25_200, "2024-12-31T23:59:59+07:00"),
        (0, 0, "1970-01-01T00:00:00+00:00"),
        (0, -12_600, "1969-12-31T20:30:00-03:30"),
        (1_709_164_800, 20_700, "2024-02-29T05:45:00+05:45"),
    ],
)
def test_iso_instant(instant_s, offset_s, text):
    assert units.iso_instant(instant_s, offset_s) == text


@given(st.integers(-(2**31), 2**33), OFFSETS_S)
def test_iso_instant_reads_back(instant_s, offset_s):
    read = datetime.fromisoformat(units.iso_instant(instant_s, offset_s))
    assert read.timestamp() == instant_s
    assert read.utcoffset() == timedelta(seconds=offset_s)
