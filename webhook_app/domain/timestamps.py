"""ISO 8601 timestamps in and out, always aware and UTC."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

_SPACE_FOR_T = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}) +(?=[0-9])")
_SPACE_BEFORE_OFFSET = re.compile(r"(?<=[0-9]) +(?=Z$|[+-][0-9])")
_LEAP_SECOND = re.compile(r"(.+T(?:[0-9]{2}:[0-9]{2}:|[0-9]{4}))60((?:[.,][0-9]+)?(?:Z|[+-].+)?)")


def utc_now() -> datetime:
    return datetime.now(UTC)


def parse_timestamp(value: object, zone: tzinfo = UTC) -> datetime:
    """An aware UTC datetime; a timestamp without an offset is of that zone: of UTC, as Proof documents, unless a person
    says another one. Raises ValueError."""
    # isprintable: CPython's parser takes a NUL at the end for the end of the string.
    if not isinstance(value, str) or len(value) > 64 or not value.isprintable() or "T" not in value.upper():
        raise ValueError("not an ISO 8601 timestamp")
    try:
        timestamp = datetime.fromisoformat(value)
        return (timestamp.replace(tzinfo=zone) if timestamp.tzinfo is None else timestamp).astimezone(UTC)
    except OverflowError as error:  # within an offset of year 1 or 9999
        raise ValueError("out of range") from error
    except ValueError as error:  # its own words are about Python
        raise ValueError("not an ISO 8601 timestamp") from error


def read_timestamp(value: object) -> datetime:
    """The same of what Proof sent, in any form that cannot be misread: letters in either case, blanks around it or
    before the offset, a blank for the `T`; a 60th second is the next one. Raises ValueError."""
    if not isinstance(value, str) or len(value) > 64:
        raise ValueError("not an ISO 8601 timestamp")
    text = value.strip(" ").upper()
    if " " in text:
        text = _SPACE_BEFORE_OFFSET.sub("", _SPACE_FOR_T.sub(r"\1T", text))
    leap = _LEAP_SECOND.fullmatch(text) if "60" in text else None
    if leap is None:
        return parse_timestamp(text)
    try:
        return parse_timestamp(f"{leap[1]}59{leap[2]}") + timedelta(seconds=1)
    except OverflowError as error:
        raise ValueError("out of range") from error


def parse_date_or_timestamp(value: object, zone: tzinfo = UTC) -> datetime:
    """The same; a date alone is its midnight in the zone, or, where its clocks leave that out, the moment at which they
    go forward. Raises ValueError."""
    return parse_timestamp(f"{value}T00:00:00" if isinstance(value, str) and len(value) == 10 else value, zone)


def find_empty_ranges(values: Mapping[str, Any], names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """For each name whose `…_from` is not before its `…_to`: the field that is wrong, and what is wrong with it."""
    for name in names:
        start, end = values.get(f"{name}_from"), values.get(f"{name}_to")
        if start and end and start >= end:
            yield f"{name}_from", f"Must be before {name}_to."


def format_timestamp(timestamp: datetime | None) -> str | None:
    """`2026-04-01T10:03:45Z`, with microseconds only where there are some."""
    if timestamp is None:
        return None
    utc = timestamp if timestamp.tzinfo is UTC else timestamp.astimezone(UTC)
    return f"{utc.isoformat()[:-6]}Z"


def format_date_or_timestamp(timestamp: datetime, zone: tzinfo = UTC) -> str:
    """`2026-04-01` for a midnight in the zone; what is none as `format_timestamp`."""
    local = timestamp.astimezone(zone)
    is_midnight = (local.hour, local.minute, local.second, local.microsecond) == (0, 0, 0, 0)
    return local.date().isoformat() if is_midnight else str(format_timestamp(timestamp))
