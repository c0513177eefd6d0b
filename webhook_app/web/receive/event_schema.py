"""Reading a webhook's body: strict about what identifies an event, lenient about the rest, for Proof does not retry."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any, ClassVar

from marshmallow import EXCLUDE, Schema, fields

from webhook_app.domain.drift import MOST_OF_ONE_MESSAGE, drift_of_form, drift_of_transaction
from webhook_app.domain.money import parse_amount
from webhook_app.domain.proof_json import Repeated
from webhook_app.domain.proof_values import TYPES, read_status, read_type
from webhook_app.domain.status import Status
from webhook_app.domain.text import STORABLE_PATTERN, storable
from webhook_app.domain.timestamps import read_timestamp
from webhook_app.models.event import Channel
from webhook_app.usecases.receive.ingest import ReportedEvent
from webhook_app.web.api.lenient import REPEATED, Lenient, Plain, UsableId, decode_object, lines, load, text_of

MAX_STATUS = 64
_MAX_WARNINGS = 20

#: Proof's own, but for the id.
_EXAMPLE = {
    "merchant_transaction_id": "550e8400-e29b-41d4-a716-446655440000",
    "type": "buy",
    "status": "completed",
    "currency": "USDT",
    "network": "TRC20",
    "crypto_amount": "99.50",
    "fiat_currency": "EUR",
    "fiat_amount": "100.00",
    "created_at": "2026-04-01T10:00:00Z",
    "updated_at": "2026-04-01T10:03:45Z",
}


class _UsableStatus(Plain, fields.String):
    default_error_messages = {  # noqa: RUF012 - marshmallow declares it so
        "invalid": "Must be a text of 1 to 64 characters.",
        "repeated": REPEATED,
    }

    def __init__(self) -> None:
        patterns = [{"pattern": STORABLE_PATTERN}, {"pattern": r"\S"}]
        super().__init__(required=True, metadata={"maxLength": MAX_STATUS, "allOf": patterns})

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        if isinstance(value, Repeated):
            raise self.make_error("repeated")
        if not isinstance(value, str) or not value.strip() or value != storable(value, MAX_STATUS):
            raise self.make_error("invalid")
        return read_status(value) or value


def _lenient(name: str, read: Callable[[Any], Any], *, allow_none: bool = False) -> Lenient:
    return Lenient(read, _EXAMPLE[name], allow_none=allow_none)


def _type(value: Any) -> str:
    return read_type(text_of(32)(value))


class WebhookEventSchema(Schema):
    """Only `merchant_transaction_id` and `status` can make it refused. Of the other fields that are known, one that
    cannot be read is a warning in the answer. Whatever else it holds is kept."""

    class Meta:
        unknown = EXCLUDE

    json_schema: ClassVar[Mapping[str, Any]] = {"examples": [_EXAMPLE]}

    merchant_transaction_id = UsableId()
    status = _UsableStatus()
    type = _lenient("type", _type, allow_none=True)
    currency = _lenient("currency", text_of(32), allow_none=True)
    network = _lenient("network", text_of(64), allow_none=True)
    crypto_amount = _lenient("crypto_amount", parse_amount, allow_none=True)
    fiat_currency = _lenient("fiat_currency", text_of(32), allow_none=True)
    fiat_amount = _lenient("fiat_amount", parse_amount, allow_none=True)
    created_at = _lenient("created_at", read_timestamp)
    updated_at = _lenient("updated_at", read_timestamp)


_STATUSES = frozenset(Status)

#: Without a usable value for each of these an event is refused.
_REQUIRED = ("merchant_transaction_id", "status")


def parse_event(body: bytes) -> ReportedEvent:
    """The event in a webhook's body. Raises ApiError, in Proof's shape, without JSON or a usable id and status."""
    return read_event(decode_object(body), body)


def read_event(payload: Mapping[str, Any], body: bytes, channel: Channel = Channel.WEBHOOK) -> ReportedEvent:
    """The same of the object that a body holds, with the fields named as in a webhook."""
    values, unreadable = load(_schema(), payload, _REQUIRED)
    doubts = {}
    if values["status"] not in _STATUSES:
        doubts["status"] = ["Unknown; kept as it is, Proof's API decides."]
    if values.get("type") not in (None, *TYPES):
        doubts["type"] = ["Neither buy nor sell; kept as it is."]
    warnings = [*lines(unreadable), *lines(doubts)]
    forms = (drift_of_form(name, payload[name]) for name in unreadable)
    return ReportedEvent(
        merchant_transaction_id=values["merchant_transaction_id"],
        status=values["status"],
        updated_at=values.get("updated_at"),
        updated_at_key=_updated_at_key(values.get("updated_at"), payload.get("updated_at")),
        type=values.get("type"),
        currency=values.get("currency"),
        network=values.get("network"),
        crypto_amount=values.get("crypto_amount"),
        fiat_currency=values.get("fiat_currency"),
        fiat_amount=values.get("fiat_amount"),
        created_at=values.get("created_at"),
        warnings=tuple(warnings[:_MAX_WARNINGS]),
        body=body,
        channel=channel,
        drift=(*drift_of_transaction(payload), *forms)[:MOST_OF_ONE_MESSAGE],
    )


@cache
def _schema() -> WebhookEventSchema:
    """One for all requests: to make it takes longer than to load with it."""
    return WebhookEventSchema()


def _updated_at_key(parsed: datetime | None, found: Any) -> str:
    """What distinguishes two events of one id and status; of an `updated_at` that cannot be read, how it is written."""
    if parsed is not None:
        return parsed.astimezone(UTC).isoformat(timespec="microseconds")
    if found is None:
        return ""
    return "?" + hashlib.sha256(repr(found).encode("utf-8", "surrogatepass")).hexdigest()
