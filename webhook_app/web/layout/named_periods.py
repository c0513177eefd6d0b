"""Periods by name, as the reader's calendar has them: today, this month, last quarter; and what a range is called."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_LONG_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July", "August", "September"),
    *("October", "November", "December"),
)


@dataclass(frozen=True)
class NamedPeriod:
    """From the first day to the one before `end`."""

    name: str
    begin: date
    end: date


def list_periods(now: datetime, zone: tzinfo) -> Sequence[NamedPeriod]:
    """Those that contain the day that it is in the zone, and the ones before them."""
    today = now.astimezone(zone).date()
    month = today.replace(day=1)
    quarter = _add_months(month, -((month.month - 1) % 3))
    year = date(today.year, 1, 1)
    return [
        NamedPeriod("Today", today, today + timedelta(days=1)),
        NamedPeriod("Yesterday", today - timedelta(days=1), today),
        NamedPeriod("This month", month, _add_months(month, 1)),
        NamedPeriod("Last month", _add_months(month, -1), month),
        NamedPeriod("This quarter", quarter, _add_months(quarter, 3)),
        NamedPeriod("Last quarter", _add_months(quarter, -3), quarter),
        NamedPeriod("This year", year, _add_months(year, 12)),
    ]


def describe_range(start: datetime | None, end: datetime | None, zone: tzinfo) -> str:
    """`March 2026`, `Q1 2026`, `2026`, `3 Mar 2026`, `3 Mar – 9 Mar 2026`, `from 3 Mar 2026`; with times of day where
    they are no midnights."""
    if start is None or end is None:
        return f"from {_written(start, zone)}" if start is not None else f"before {_written(end, zone)}" if end else ""
    first, after = start.astimezone(zone), end.astimezone(zone)
    if not (_is_midnight(first) and _is_midnight(after)):
        return f"{_written(start, zone)} – {_written(end, zone)}"
    begin, last = first.date(), after.date() - timedelta(days=1)
    if begin == last:
        return _day(begin)
    if begin.day == 1 and after.day == 1:
        months = (after.year - begin.year) * 12 + after.month - begin.month
        if months == 1:
            return f"{_LONG_MONTHS[begin.month - 1]} {begin.year}"
        if months == 3 and begin.month % 3 == 1:
            return f"Q{begin.month // 3 + 1} {begin.year}"
        if months == 12 and begin.month == 1:
            return f"{begin.year}"
    since = f"{begin.day} {_MONTHS[begin.month - 1]}" if begin.year == last.year else _day(begin)
    return f"{since} – {_day(last)}"


def describe_time(timestamp: datetime, zone: tzinfo) -> str:
    """`20 Mar 2026 13:28:05`; of midnight the day alone."""
    return _written(timestamp, zone)


def _add_months(first_day: date, months: int) -> date:
    year, month = divmod(first_day.year * 12 + first_day.month - 1 + months, 12)
    return date(year, month + 1, 1)


def _is_midnight(local: datetime) -> bool:
    return (local.hour, local.minute, local.second, local.microsecond) == (0, 0, 0, 0)


def _written(timestamp: datetime | None, zone: tzinfo) -> str:
    if timestamp is None:
        return ""
    local = timestamp.astimezone(zone)
    return _day(local.date()) if _is_midnight(local) else f"{_day(local.date())} {local:%H:%M:%S}"


def write_day(name: str) -> str:
    """`30 Mar 2026` of a day that is named `2026-03-30`, `Mar 2026` of `2026-03`; any other name as it is."""
    if re.fullmatch(r"\d{4}-\d\d", name):
        return _day(date.fromisoformat(f"{name}-01")).removeprefix("1 ")
    return _day(date.fromisoformat(name)) if re.fullmatch(r"\d{4}-\d\d-\d\d", name) else name


def _day(day: date) -> str:
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"
