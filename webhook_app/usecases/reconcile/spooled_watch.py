"""A watch as one line of text, for the spool, and back.

Its lines have a version of their own, higher than that of events: a release that does not know watches leaves them for
one that does.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from typing import Any

from webhook_app.models.watch import WatchSource
from webhook_app.usecases.reconcile.watches import Watch, Watcher

#: What `encode_watch` writes.
VERSION = 3


def encode_watch(watch: Watch, watcher: Watcher) -> str:
    line = {"version": VERSION, "watch": asdict(watch), "watcher": asdict(watcher)}
    return json.dumps(line, default=_encode, separators=(",", ":"))


def decode_watch(line: dict[str, Any]) -> tuple[Watch, Watcher]:
    """Of a line that is read as JSON. Raises ValueError, KeyError, TypeError or ArithmeticError for one that no
    `encode_watch` has made."""
    watch, watcher = line["watch"], line["watcher"]
    amounts = {name: _amount(watch[name]) for name in ("crypto_amount", "fiat_amount")}
    opened_at = watch["opened_at"] and _timestamp(watch["opened_at"])
    return (
        Watch(**watch | amounts | {"opened_at": opened_at}),
        Watcher(WatchSource(watcher["source"]), watcher["name"], _timestamp(watcher["at"])),
    )


def _encode(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(type(value).__name__)


def _timestamp(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError("a timestamp without an offset from UTC")
    return at


def _amount(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
