"""Time zones: which local day a timestamp belongs to, told as fixed offsets that any database can add.

The rules are those of one database of time zones, Python's, so that every engine draws the same line between two days.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

#: Outside of these years a zone keeps the offset of the nearest of them.
_FIRST_YEAR, _LAST_YEAR = 1970, 2100
#: Names in the database that are no zone's: that of the host, whichever it is, and the one before any is set.
_NO_ZONES = {"localtime", "Factory"}


@dataclass(frozen=True)
class Offset:
    """A zone's offset from UTC until a timestamp, which is not included any more; None for the last one."""

    until: datetime | None
    by: timedelta


def read_zone(name: str) -> ZoneInfo:
    """The zone of that IANA name, such as `Europe/Paris` or `utc`, in any letter case. Raises ValueError for any other
    text."""
    known = _names().get(name.casefold())
    if known is None:
        raise ValueError("not the name of a time zone")
    return ZoneInfo(known)


def offsets_between(zone: ZoneInfo, first: datetime, last: datetime) -> list[Offset]:
    """The zone's offsets from `first` to `last`, aware timestamps, in order; at least one."""
    earliest, latest = datetime(_FIRST_YEAR, 1, 1, tzinfo=UTC), datetime(_LAST_YEAR, 12, 31, tzinfo=UTC)
    first, last = (min(max(timestamp.astimezone(UTC), earliest), latest) for timestamp in (first, last))
    changes = [
        change for year in range(first.year, last.year + 1) for change in _changes(zone, year) if first < change <= last
    ]
    begins = [first, *changes]
    return [
        Offset(until, begin.astimezone(zone).utcoffset() or timedelta())
        for begin, until in zip(begins, [*changes, None], strict=True)
    ]


@lru_cache(maxsize=1)
def _names() -> Mapping[str, str]:
    return {name.casefold(): name for name in available_timezones() - _NO_ZONES}


@lru_cache(maxsize=1024)
def _changes(zone: ZoneInfo, year: int) -> tuple[datetime, ...]:
    """When in a year, in UTC, the zone's offset changes; two changes within one day would be taken for none."""
    begin = datetime(year, 1, 1, tzinfo=UTC)
    days = [begin + timedelta(days=number) for number in range((datetime(year + 1, 1, 1, tzinfo=UTC) - begin).days + 1)]
    return tuple(
        _find_change(zone, day, next_day)
        for day, next_day in pairwise(days)
        if _offset(zone, day) != _offset(zone, next_day)
    )


def _find_change(zone: ZoneInfo, before: datetime, after: datetime) -> datetime:
    """To the second, by halving."""
    while after - before > timedelta(seconds=1):
        middle = before + timedelta(seconds=int((after - before).total_seconds()) // 2)
        if _offset(zone, middle) == _offset(zone, before):
            before = middle
        else:
            after = middle
    return after


def _offset(zone: ZoneInfo, timestamp: datetime) -> timedelta | None:
    return timestamp.astimezone(zone).utcoffset()
