"""An event and its request as one line of text, for the spool, and back, to the last digit and byte.

Each line says which version of this format it has, for processes of two releases may share a spool. Whoever changes
what a line holds counts VERSION up and adds a reader; the old one stays.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from typing import Any

from webhook_app.models.event import Channel
from webhook_app.usecases.receive.ingest import ReportedEvent, RequestOrigin
from webhook_app.usecases.reconcile.spooled_watch import VERSION as WATCH_VERSION
from webhook_app.usecases.reconcile.spooled_watch import decode_watch
from webhook_app.usecases.reconcile.watches import Watch, Watcher

#: What `encode_event` writes of a channel beside the webhook; version 3 is a watch.
VERSION = 4


class NewerFormat(Exception):
    """Only a later release can read the line."""


def encode_event(event: ReportedEvent, request: RequestOrigin) -> str:
    fields = asdict(event) | {"body": b64encode(event.body).decode()}
    del fields["drift"]  # which was counted when the event came
    # A line that a release before can read says so, for it may be the one that drains the spool.
    version = 2 if event.channel is Channel.WEBHOOK else VERSION
    line = {"version": version, "event": fields, "request": asdict(request)}
    return json.dumps(line, default=_encode, separators=(",", ":"))


def decode_line(text: str) -> tuple[ReportedEvent, RequestOrigin] | tuple[Watch, Watcher]:
    """An event, or a watch. Raises NewerFormat, and ValueError for a line that neither `encode_event` nor
    `encode_watch` has made."""
    try:
        line: dict[str, Any] = json.loads(text)
        version = line.get("version", 1)  # the first release wrote none
        newest = max(_READERS)
        if isinstance(version, int) and version > newest:
            raise NewerFormat(f"version {version} of the spool's lines, of which this release reads {newest}")
        read: tuple[ReportedEvent, RequestOrigin] | tuple[Watch, Watcher] = _READERS[version](line)
        return read
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise ValueError(f"not a spooled event: {_describe(error)}") from error


def _describe(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"no JSON, {error.msg[:1].lower()}{error.msg[1:]}"
    return f"it has no {error}" if isinstance(error, KeyError) else f"{error}"


def decode_event(text: str) -> tuple[ReportedEvent, RequestOrigin]:
    """The same of an event alone."""
    told, origin = decode_line(text)
    if isinstance(told, Watch) or isinstance(origin, Watcher):
        raise ValueError("a watch, not an event")
    return told, origin


def _read_1(line: dict[str, Any]) -> tuple[ReportedEvent, RequestOrigin]:
    """Version 1 does not say whether its sender was vouched for. It counts as vouched, as do the rows that the same
    release has written: where SQL was away, an event is worth no less than one that came a minute before."""
    return _read_2(line | {"request": line["request"] | {"is_vouched": True}})


def _read_2(line: dict[str, Any]) -> tuple[ReportedEvent, RequestOrigin]:
    event, request = line["event"], line["request"]
    return (
        ReportedEvent(
            **event
            | {name: _timestamp(event[name]) for name in ("updated_at", "created_at")}
            | {name: _amount(event[name]) for name in ("crypto_amount", "fiat_amount")}
            | {
                "warnings": tuple(event["warnings"]),
                "body": b64decode(event["body"], validate=True),
                "channel": Channel(event["channel"]),
            }
        ),
        RequestOrigin(
            **request
            | {
                "received_at": _aware(datetime.fromisoformat(request["received_at"])),
                "is_vouched": _flag(request["is_vouched"]),
            }
        ),
    )


_READERS: Mapping[int, Callable[[dict[str, Any]], Any]] = {
    1: _read_1,
    2: _read_2,
    WATCH_VERSION: decode_watch,
    VERSION: _read_2,  # which knows more than one channel
}


def _encode(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(type(value).__name__)


def _timestamp(text: str | None) -> datetime | None:
    return None if text is None else _aware(datetime.fromisoformat(text))


def _aware(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise ValueError("a timestamp without an offset from UTC")
    return at


def _amount(text: str | None) -> Decimal | None:
    amount = None if text is None else Decimal(text)
    if amount is not None and not amount.is_finite():
        raise ValueError("an amount that is no number")
    return amount


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("neither true nor false")
    return value
