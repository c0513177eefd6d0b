"""Time zones as fixed offsets: the same day as Python's own arithmetic gives, across every change of the clocks."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webhook_app.domain.time_zones import offsets_between, read_zone

ZONES = [
    "UTC",
    "Europe/Paris",
    "America/New_York",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Asia/Kathmandu",
]
ZONES += ["Africa/Casablanca", "America/St_Johns", "Pacific/Kiritimati"]


def day_of(moment: datetime, zone: ZoneInfo, first: datetime, last: datetime) -> date:
    for offset in offsets_between(zone, first, last):
        if offset.until is None or moment < offset.until:
            return (moment + offset.by).date()
    raise AssertionError("the last offset has no end")


@settings(max_examples=300, deadline=None)
@given(
    name=st.sampled_from(ZONES),
    moment=st.datetimes(datetime(1995, 1, 1), datetime(2037, 1, 1)).map(lambda at: at.replace(tzinfo=UTC)),  # noqa: DTZ001
)
def test_day_is_the_one_of_the_zones_own_calendar(name: str, moment: datetime) -> None:
    zone = read_zone(name)
    around = timedelta(days=400)
    assert day_of(moment, zone, moment - around, moment + around) == moment.astimezone(zone).date()


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        ("2026-03-28T22:59:59+00:00", date(2026, 3, 28)),
        ("2026-03-28T23:00:00+00:00", date(2026, 3, 29)),
        ("2026-03-29T21:59:59+00:00", date(2026, 3, 29)),  # the clocks have gone forward: this day has 23 hours
        ("2026-03-29T22:00:00+00:00", date(2026, 3, 30)),
        ("2026-10-25T22:59:59+00:00", date(2026, 10, 25)),  # and this one 25
        ("2026-10-25T23:00:00+00:00", date(2026, 10, 26)),
    ],
)
def test_days_on_which_clocks_change_in_paris(moment: str, day: date) -> None:
    year = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 12, 31, tzinfo=UTC)
    assert day_of(datetime.fromisoformat(moment), read_zone("Europe/Paris"), *year) == day


def test_zone_without_changes_has_one_offset() -> None:
    (only,) = offsets_between(read_zone("UTC"), datetime(1970, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC))
    assert (only.until, only.by) == (None, timedelta())


def test_moments_beyond_all_rules_still_have_an_offset() -> None:
    offsets = offsets_between(
        read_zone("Europe/Paris"), datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)
    )
    assert offsets[-1].until is None
    assert len(offsets) < 400


@pytest.mark.parametrize(
    "name", ["", "Europe/paris ", "../../etc/passwd", "+02:00", "Mars/Base", "localtime", "Factory", "\x00"]
)
def test_what_is_no_zone_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not the name"):
        read_zone(name)


@pytest.mark.parametrize("name", ["europe/paris", "EUROPE/PARIS", "Europe/Paris"])
def test_letter_case_of_a_zone_does_not_matter(name: str) -> None:
    assert read_zone(name).key == "Europe/Paris"
