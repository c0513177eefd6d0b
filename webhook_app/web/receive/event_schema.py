"""Reading a webhook's body: strict about what identifies an event, lenient about the rest, for Proof does not retry."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any, ClassVar

from marshmallow import EXCLUDE, Schema, ValidationError, fields, missing

from webhook_app.domain.drift import MOST_OF_ONE_MESSAGE, drift_of_form, drift_of_transaction
from webhook_app.domain.money import parse_amount
from webhook_app.domain.proof_json import NotAnObject, NotJson, Repeated, read_object
from webhook_app.domain.proof_values import TYPES, read_status, read_type
from webhook_app.domain.status import Status
from webhook_app.domain.text import STORABLE_PATTERN, USABLE_ID, is_usable_id, storable
from webhook_app.domain.timestamps import read_timestamp
from webhook_app.models.event import Channel
from webhook_app.usecases.receive.ingest import ReportedEvent
from webhook_app.web.errors import ApiError

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


_REPEATED = "Comes twice, with different values."


class _Plain(fields.Field[Any]):
    """A field of which nothing is asked but to be read."""

    def deserialize(
        self, value: Any, attr: str | None = None, data: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> Any:
        """Without validators and hooks, of which there are none: to pass over them took longer than to read."""
        self._validate_missing(value)
        return value if value is missing or value is None else self._deserialize(value, attr, data, **kwargs)


class _UsableId(_Plain, fields.String):
    default_error_messages = {  # noqa: RUF012 - marshmallow declares it so
        "invalid": "Must be a string of 1 to 128 letters, digits and . _ : -",
        "repeated": _REPEATED,
    }

    def __init__(self) -> None:
        super().__init__(required=True, metadata={"pattern": f"^{USABLE_ID.pattern}$"})

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        if isinstance(value, Repeated):
            raise self.make_error("repeated")
        if not isinstance(value, str) or not is_usable_id(value):
            raise self.make_error("invalid")
        return value


class _UsableStatus(_Plain, fields.String):
    default_error_messages = {  # noqa: RUF012 - as above
        "invalid": "Must be a text of 1 to 64 characters.",
        "repeated": _REPEATED,
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


class _Lenient(_Plain):
    """What cannot be read is a warning, so any JSON value may be sent."""

    def __init__(self, name: str, read: Callable[[Any], Any], *, allow_none: bool = False) -> None:
        any_type = ["string", "number", "boolean", "object", "array"]
        if not allow_none:  # or apispec adds it
            any_type.append("null")
        super().__init__(allow_none=allow_none, metadata={"type": any_type, "examples": [_EXAMPLE[name]]})
        self._read = read

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        if isinstance(value, Repeated):
            raise ValidationError("comes twice, with different values; ignored")
        try:
            return self._read(value)
        except ValueError as error:
            raise ValidationError(f"{error}; ignored") from error


def _text(limit: int) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if not isinstance(value, str) or value != storable(value, limit):
            raise ValueError(f"not a text of at most {limit} characters")
        return value

    return read


def _type(value: Any) -> str:
    return read_type(_text(32)(value))


class WebhookEventSchema(Schema):
    """Only `merchant_transaction_id` and `status` can make it refused. Of the other fields that are known, one that
    cannot be read is a warning in the answer. Whatever else it holds is kept."""

    class Meta:
        unknown = EXCLUDE

    json_schema: ClassVar[Mapping[str, Any]] = {"examples": [_EXAMPLE]}

    merchant_transaction_id = _UsableId()
    status = _UsableStatus()
    type = _Lenient("type", _type, allow_none=True)
    currency = _Lenient("currency", _text(32), allow_none=True)
    network = _Lenient("network", _text(64), allow_none=True)
    crypto_amount = _Lenient("crypto_amount", parse_amount, allow_none=True)
    fiat_currency = _Lenient("fiat_currency", _text(32), allow_none=True)
    fiat_amount = _Lenient("fiat_amount", parse_amount, allow_none=True)
    created_at = _Lenient("created_at", read_timestamp)
    updated_at = _Lenient("updated_at", read_timestamp)


_STATUSES = frozenset(Status)

#: Without a usable value for each of these an event is refused.
_REQUIRED = ("merchant_transaction_id", "status")


def parse_event(body: bytes) -> ReportedEvent:
    """The event in a webhook's body. Raises ApiError, in Proof's shape, without JSON or a usable id and status."""
    return read_event(_decode(body), body)


def read_event(payload: Mapping[str, Any], body: bytes, channel: Channel = Channel.WEBHOOK) -> ReportedEvent:
    """The same of the object that a body holds, with the fields named as in a webhook."""
    values, unreadable = _load(payload)
    warnings = _lines(unreadable)
    if values["status"] not in _STATUSES:
        warnings.append("status: unknown; kept as it is, Proof's API decides")
    if values.get("type") not in (None, *TYPES):
        warnings.append("type: neither buy nor sell; kept as it is")
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


def _decode(body: bytes) -> dict[str, Any]:
    try:
        return read_object(body)
    except NotJson as error:
        raise ApiError(400, "invalid_request", "decode_error", "The body is not JSON.") from error
    except NotAnObject as error:
        raise ApiError(400, "invalid_request", "validation_error", "The body must be a JSON object.") from error


def _load(payload: Mapping[str, Any]) -> tuple[dict[str, Any], Mapping[str, list[str]]]:
    """The values that can be read, and why each other one cannot. Raises ApiError 400 for a required one."""
    try:
        return _schema().load(payload), {}
    except ValidationError as error:
        messages: Any = error.messages
        fatal = {name: messages[name] for name in _REQUIRED if name in messages}
        if fatal:
            code = "validation_error" if all(name in payload for name in fatal) else "missing_param"
            raise ApiError(400, "invalid_request", code, "; ".join(_lines(fatal)), fatal) from error
        readable: Any = error.valid_data
        return dict(readable), messages


@cache
def _schema() -> WebhookEventSchema:
    """One for all requests: to make it takes longer than to load with it."""
    return WebhookEventSchema()


def _lines(messages: Mapping[str, list[str]]) -> list[str]:
    return [f"{name}: {' '.join(texts)}" for name, texts in messages.items()]


def _updated_at_key(parsed: datetime | None, found: Any) -> str:
    """What distinguishes two events of one id and status; of an `updated_at` that cannot be read, how it is written."""
    if parsed is not None:
        return parsed.astimezone(UTC).isoformat(timespec="microseconds")
    if found is None:
        return ""
    return "?" + hashlib.sha256(repr(found).encode("utf-8", "surrogatepass")).hexdigest()
