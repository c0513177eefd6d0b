"""Durations in words: one unit, cut, or rounded up to the minute where it says how long something took at most."""

from __future__ import annotations

import pytest

from webhook_app.domain.durations import write_duration, write_longest


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0.25, "250 ms"),
        (1, "1 s"),
        (59.9, "59 s"),
        (61, "1 min"),
        (7199, "1 h"),
        (86_400, "1 day"),
        (273_600, "3 days"),
    ],
)
def test_the_largest_unit_that_fills(seconds: float, told: str) -> None:
    assert write_duration(seconds) == told


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.2, "1 s"), (89, "89 s"), (91, "2 min"), (240, "4 min"), (7500, "2 h 05 min"), (273_600, "3 days 4 h")],
)
def test_the_longest_is_rounded_up(seconds: float, told: str) -> None:
    assert write_longest(seconds) == told
