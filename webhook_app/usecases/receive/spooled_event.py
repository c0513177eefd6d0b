"""An event and its request as one line of text, for the spool, and back, to the last digit and byte."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from typing import Any

from webhook_app.models.event import Channel
from webhook_app.usecases.receive.ingest import ReportedEvent, RequestOrigin


def encode_event(event: ReportedEvent, request: RequestOrigin) -> str:
    fields = asdict(event) | {"body": b64encode(event.body).decode()}
    return json.dumps({"event": fields, "request": asdict(request)}, default=_encode, separators=(",", ":"))


def decode_event(text: str) -> tuple[ReportedEvent, RequestOrigin]:
    """Raises ValueError for a line that `encode_event` has not made."""
    try:
        line: dict[str, Any] = json.loads(text)
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
            RequestOrigin(**request | {"received_at": datetime.fromisoformat(request["received_at"])}),
        )
    except (KeyError, TypeError, ArithmeticError) as error:
        raise ValueError(f"not a spooled event: {error!r}") from error


def _encode(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(type(value).__name__)


def _timestamp(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _amount(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
