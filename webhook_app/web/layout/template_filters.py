"""Template filters: how pages write timestamps, amounts, states and counts."""

from __future__ import annotations

import re
from datetime import UTC, datetime, tzinfo
from datetime import date as CalendarDay
from decimal import Decimal

from flask import Flask
from markupsafe import Markup

from webhook_app.domain.durations import write_duration
from webhook_app.domain.timestamps import format_timestamp, parse_timestamp
from webhook_app.web.layout.amounts import most_decimals, write_amount
from webhook_app.web.layout.named_periods import write_day
from webhook_app.web.requests import get_services

#: Seconds from which on a time is told by its date.
_FAR = 86_400

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
#: As `format_timestamp` writes it, within a sentence.
_ISO = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z)")

#: The kind of badge for each state and status; anything else is `neutral`.
_KINDS = {
    "succeeded": "good",
    "completed": "good",
    "failed": "bad",
    "retrying": "warn",
    "paused": "warn",
    "pending": "busy",
    "processing": "busy",
    "watching": "busy",
    "running": "busy",
    "finished": "good",
    "open": "warn",
    "resolved": "good",
    "critical": "bad",
    "warning": "warn",
    "active": "good",
    "this one": "good",
    "expired": "warn",
}

_WAYS = {"page": "on a page", "api": "over the API", "rq": "through RQ", "shell": "in a shell"}


def register_template_filters(app: Flask) -> None:
    app.add_template_filter(when)
    app.add_template_filter(when_or_day)
    app.add_template_filter(exactly)
    app.add_template_filter(write_duration, "duration")
    app.add_template_filter(dated)
    app.add_template_filter(readable)
    app.add_template_filter(day)
    app.add_template_filter(write_amount, "amount")
    app.add_template_filter(most_decimals)
    app.add_template_filter(badge_kind)
    app.add_template_filter(grouped)
    app.add_template_filter(times)
    app.add_template_filter(through)


def when(timestamp: datetime | None, empty: str = "—", zone: tzinfo = UTC) -> str | Markup:
    """`3 min ago` with the exact time on hover and for programs; `empty` for None. What is far off is told as it is in
    that zone; on hover all is UTC, and says so."""
    if timestamp is None:
        return empty
    return write_when(timestamp, get_services().clock(), zone)


def write_when(timestamp: datetime, now: datetime, zone: tzinfo = UTC) -> Markup:
    """The same, as of that time."""
    timestamp = _utc(timestamp)
    return _time(timestamp, ago(timestamp, now, zone))


def when_or_day(timestamp: datetime) -> Markup:
    """`3 min ago`, or `30 Oct 2026` of what is more than a day off: where its time of day stands beside it."""
    timestamp, now = _utc(timestamp), get_services().clock()
    is_far = abs((now - timestamp).total_seconds()) > _FAR
    return _time(timestamp, date(timestamp).strip() if is_far else ago(timestamp, now))


def exactly(timestamp: datetime | None) -> str:
    """`2026-04-01 10:03:45 UTC`, with milliseconds where there are some."""
    if timestamp is None:
        return "—"
    timestamp = _utc(timestamp)
    fraction = f".{timestamp.microsecond // 1000:03d}" if timestamp.microsecond >= 1000 else ""
    return f"{timestamp.isoformat(' ', 'seconds')[:19]}{fraction} UTC"


def dated(timestamp: datetime | None, empty: str = "—", zone: tzinfo = UTC) -> str | Markup:
    """`30 Oct 2026 13:28:05`, with the exact time on hover and for programs; `empty` for None."""
    if timestamp is None:
        return empty
    local = timestamp.astimezone(zone)
    return _time(timestamp, f"{_write_date(local)}{local:%H:%M:%S}")


def _time(timestamp: datetime, text: str) -> Markup:
    """Nothing of it has to be escaped, which would take longer than all the rest: a list has a hundred."""
    written = f'<time datetime="{format_timestamp(timestamp)}" title="{exactly(timestamp)}">{text}</time>'
    return Markup(written)  # noqa: S704 - digits and words of ours


def _utc(timestamp: datetime) -> datetime:
    """As it is, mostly: all that comes from SQL is UTC, and to change a zone takes longer than to write a time."""
    return timestamp if timestamp.tzinfo is UTC else timestamp.astimezone(UTC)


def date(timestamp: datetime) -> str:
    """`30 Oct 2026 `, whatever the locale: what follows is a time of day."""
    return _write_date(_utc(timestamp))


def _write_date(local: datetime) -> str:
    return f"{local.day} {_MONTHS[local.month - 1]} {local.year} "


def readable(text: str, zone: tzinfo | None = None) -> Markup:
    """A sentence whose ISO timestamps are written as `dated` writes them, in that zone, else UTC."""
    parts = _ISO.split(text)
    written = Markup("")
    for number, part in enumerate(parts):
        written += _read_and_date(part, zone or UTC) if number % 2 else part
    return written


def readable_words(text: str) -> str:
    """The same as plain text, for a hover or a sentence that others go on with."""
    return _ISO.sub(lambda found: _word_of(found[0]), text)


def _word_of(text: str) -> str:
    try:
        timestamp = parse_timestamp(text)
    except ValueError:  # no such day
        return text
    return f"{date(timestamp)}{timestamp:%H:%M:%S} UTC"


def day(found: CalendarDay) -> str:
    """`30 Mar 2026`."""
    return write_day(found.isoformat())


def _read_and_date(text: str, zone: tzinfo) -> str | Markup:
    try:
        return dated(parse_timestamp(text), zone=zone)
    except ValueError:  # no such day
        return text


def ago(timestamp: datetime, now: datetime, zone: tzinfo = UTC) -> str:
    """`just now`, `3 min ago`, `in 2 h`; `30 Oct 2026 13:28` for what is more than a day off."""
    seconds = (now - timestamp).total_seconds()
    if abs(seconds) > _FAR:
        local = _utc(timestamp) if zone is UTC else timestamp.astimezone(zone)
        return f"{_write_date(local)}{local.isoformat()[11:16]}"
    if abs(seconds) < 1:
        return "just now"
    return f"{write_duration(seconds)} ago" if seconds > 0 else f"in {write_duration(-seconds)}"


def badge_kind(state: str | None) -> str:
    """`good`, `bad`, `warn`, `busy` or `neutral`."""
    return _KINDS.get(str(state), "neutral")


def times(count: int) -> str:
    """`once`, `1 234 times`."""
    return "once" if count == 1 else f"{grouped(count)} times"


def through(via: str) -> str:
    """By which way somebody ordered something, as the end of a sentence."""
    return _WAYS.get(via, f"through {via}")


def grouped(number: int | Decimal) -> str:
    """A count that can be read: `1 234 567`, with narrow spaces that do not break."""
    return f"{number:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
