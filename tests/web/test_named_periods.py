"""Periods by name are those of the reader's calendar, and a range is called by its name."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from webhook_app.web.layout.named_periods import describe_range, list_periods, write_day

PARIS, AUCKLAND = ZoneInfo("Europe/Paris"), ZoneInfo("Pacific/Auckland")


def test_periods_are_those_of_the_day_that_it_is_in_the_zone() -> None:
    """Half an hour before midnight in UTC it is the first of April in Paris: another month, and another quarter."""
    now = datetime(2026, 3, 31, 23, 30, tzinfo=UTC)
    in_utc, in_paris = ({one.name: (one.begin, one.end) for one in list_periods(now, zone)} for zone in (UTC, PARIS))
    assert in_utc["Today"] == (date(2026, 3, 31), date(2026, 4, 1))
    assert in_paris == {
        "Today": (date(2026, 4, 1), date(2026, 4, 2)),
        "Yesterday": (date(2026, 3, 31), date(2026, 4, 1)),
        "This month": (date(2026, 4, 1), date(2026, 5, 1)),
        "Last month": (date(2026, 3, 1), date(2026, 4, 1)),
        "This quarter": (date(2026, 4, 1), date(2026, 7, 1)),
        "Last quarter": (date(2026, 1, 1), date(2026, 4, 1)),
        "This year": (date(2026, 1, 1), date(2027, 1, 1)),
    }


def test_last_month_and_quarter_of_january_are_of_the_year_before() -> None:
    periods = {one.name: (one.begin, one.end) for one in list_periods(datetime(2026, 1, 15, tzinfo=UTC), AUCKLAND)}
    assert periods["Last month"] == (date(2025, 12, 1), date(2026, 1, 1))
    assert periods["Last quarter"] == (date(2025, 10, 1), date(2026, 1, 1))


@pytest.mark.parametrize(
    ("begin", "end", "name"),
    [
        ("2026-03-01", "2026-04-01", "March 2026"),
        ("2026-01-01", "2026-04-01", "Q1 2026"),
        ("2026-02-01", "2026-05-01", "1 Feb – 30 Apr 2026"),
        ("2025-01-01", "2026-01-01", "2025"),
        ("2026-03-03", "2026-03-04", "3 Mar 2026"),
        ("2026-03-03", None, "from 3 Mar 2026"),
        (None, "2026-03-03", "before 3 Mar 2026"),
    ],
)
def test_a_range_is_called_by_its_name(begin: str | None, end: str | None, name: str) -> None:
    start, stop = (datetime.fromisoformat(day).replace(tzinfo=PARIS) if day else None for day in (begin, end))
    assert describe_range(start, stop, PARIS) == name


@pytest.mark.parametrize(
    ("name", "written"), [("2026-03-30", "30 Mar 2026"), ("2026-03", "Mar 2026"), ("2026", "2026"), ("hour", "hour")]
)
def test_days_and_months_are_written_as_in_sentences(name: str, written: str) -> None:
    assert write_day(name) == written
