"""ISO 8601 timestamps in and out, always aware and UTC."""

from __future__ import annotations

from datetime import UTC, datetime


def parse_timestamp(value: object) -> datetime:
    """An aware UTC datetime; a timestamp without an offset is UTC, as Proof documents. Raises ValueError."""
    # isprintable: CPython's parser takes a NUL at the end for the end of the string.
    if not isinstance(value, str) or len(value) > 64 or not value.isprintable() or "T" not in value.upper():
        raise ValueError("not an ISO 8601 timestamp")
    try:
        moment = datetime.fromisoformat(value)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError as error:  # within an offset of year 1 or 9999
        raise ValueError("out of range") from error


def format_timestamp(moment: datetime | None) -> str | None:
    """`2026-04-01T10:03:45Z`, with microseconds only where there are some."""
    return None if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
