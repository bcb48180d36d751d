"""Conversions between units, and the calendar's constants. Nothing else converts."""

from datetime import UTC, date, datetime, timedelta

SECONDS_PER_MINUTE = 60
SECONDS_PER_HOUR = 3_600
SECONDS_PER_DAY = 86_400
HOURS_PER_DAY = 24
DAYS_PER_YEAR = 365.25

_EPOCH = date(1970, 1, 1)


def day_number(day: date) -> int:
    """Days from 1970-01-01 to `day`."""
    return (day - _EPOCH).days


def day_date(number: int) -> date:
    """The date that lies `number` days after 1970-01-01."""
    return _EPOCH + timedelta(days=number)


def local_midnight_s(day: date, utc_offset_s: int) -> int:
    """Instant [s since 1970-01-01T00Z] of local midnight at the start of `day`."""
    return day_number(day) * SECONDS_PER_DAY - utc_offset_s


def local_instant_s(local: datetime, utc_offset_s: int) -> int:
    """Instant [s since 1970-01-01T00Z] of a local date and time without a zone."""
    return round(local.replace(tzinfo=UTC).timestamp()) - utc_offset_s


def iso_instant(instant_s: int, utc_offset_s: int) -> str:
    """ISO 8601 text of an instant in the fleet's fixed-offset local time."""
    local = datetime.fromtimestamp(instant_s + utc_offset_s, tz=UTC).replace(tzinfo=None)
    sign = "-" if utc_offset_s < 0 else "+"
    hours, minutes = divmod(abs(utc_offset_s) // SECONDS_PER_MINUTE, 60)
    return f"{local.isoformat()}{sign}{hours:02d}:{minutes:02d}"
