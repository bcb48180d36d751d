"""Plurals, lengths of time, suggestions: by hand."""

import pytest

from fleetgen.wording import duration, many, nearest, size


@pytest.mark.parametrize(
    ("count", "words", "told"),
    [
        (0, ("day",), "0 days"),
        (1, ("day",), "1 day"),
        (1.0, ("day",), "1 day"),
        (0.5, ("day",), "0.5 days"),
        (1944, ("battery", "batteries"), "1,944 batteries"),
        (1, ("battery", "batteries"), "1 battery"),
    ],
)
def test_a_number_has_the_plural_of_what_it_counts(
    count: float, words: tuple[str, ...], told: str
) -> None:
    assert many(count, *words) == told


def test_durations_are_told_as_people_say_them() -> None:
    assert [duration(s) for s in (5, 119, 600, 9000)] == ["5 s", "119 s", "10 min", "2.5 h"]


def test_sizes_have_three_digits() -> None:
    counts = (0, 999, 1_056_000, 999_600_000, 3_760_000_000, 2.5e12)
    assert [size(n) for n in counts] == ["0 B", "999 B", "1.06 MB", "1 GB", "3.76 GB", "2.5 TB"]


def test_the_nearest_names_or_the_first_few() -> None:
    assert nearest("battry", ["battery", "string"]) == "did you mean battery?"
    assert nearest("xyz", ["battery", "string"]) == "known: battery, string"
    assert nearest(3, map(str, range(100, 120))).endswith("110, 111, ...")
