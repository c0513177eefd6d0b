"""Reading a webhook's body: strict about what identifies an event, lenient about the rest, for Proof does not retry."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

from marshmallow import EXCLUDE, Schema, ValidationError, fields

from webhook_app.domain.money import parse_amount
from webhook_app.domain.status import Status
from webhook_app.domain.text import is_usable_id, storable
from webhook_app.domain.timestamps import parse_timestamp
from webhook_app.usecases.receive.ingest import ReportedEvent
from webhook_app.web.errors import ApiError

MAX_STATUS = 64
_MAX_WARNINGS = 20


class _UsableId(fields.String):
    default_error_messages = {  # noqa: RUF012 - marshmallow declares it so
        "invalid": "Must be a string of 1 to 128 letters, digits and . _ : -"
    }

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        if not isinstance(value, str) or not is_usable_id(value):
            raise self.make_error("invalid")
        return value


class _UsableStatus(fields.String):
    default_error_messages = {"invalid": "Must be a text of 1 to 64 characters."}  # noqa: RUF012 - as above

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        if not isinstance(value, str) or not value.strip() or value != storable(value, MAX_STATUS):
            raise self.make_error("invalid")
        return value


class _Amount(fields.Field[Decimal | None]):
    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> Decimal | None:
        try:
            return parse_amount(value)
        except ValueError as error:
            raise ValidationError(f"{error}; ignored") from error


class _Timestamp(fields.Field[datetime]):
    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> datetime:
        try:
            return parse_timestamp(value)
        except ValueError as error:
            raise ValidationError(f"{error}; ignored") from error


class _Text(fields.Field[str]):
    def __init__(self, limit: int) -> None:
        super().__init__(allow_none=True)
        self._limit = limit

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        if not isinstance(value, str) or value != storable(value, self._limit):
            raise ValidationError(f"not a text of at most {self._limit} characters; ignored")
        return value


class EventKeySchema(Schema):
    """What an event must have."""

    class Meta:
        unknown = EXCLUDE

    merchant_transaction_id = _UsableId(required=True)
    status = _UsableStatus(required=True)


class EventDetailSchema(Schema):
    """What an event should have; a field that cannot be read is a warning. Unknown ones stay in the raw body."""

    class Meta:
        unknown = EXCLUDE

    type = _Text(32)
    currency = _Text(32)
    network = _Text(64)
    crypto_amount = _Amount(allow_none=True)
    fiat_currency = _Text(32)
    fiat_amount = _Amount(allow_none=True)
    created_at = _Timestamp()
    updated_at = _Timestamp()


def parse_event(body: bytes) -> ReportedEvent:
    """The event in a webhook's body. Raises ApiError, in Proof's shape, without JSON or a usable id and status."""
    payload = _decode(body)
    try:
        key = EventKeySchema().load(payload)
    except ValidationError as error:
        _refuse(payload, error)
    details, warnings = _load_details(payload)
    if key["status"] not in set(Status):
        warnings.append("status: unknown; kept as it is, Proof's API decides")
    if details.get("type") not in (None, "buy", "sell"):
        warnings.append("type: neither buy nor sell; kept as it is")
    return ReportedEvent(
        merchant_transaction_id=key["merchant_transaction_id"],
        status=key["status"],
        updated_at=details.get("updated_at"),
        updated_at_key=_updated_at_key(details.get("updated_at"), payload.get("updated_at")),
        type=details.get("type"),
        currency=details.get("currency"),
        network=details.get("network"),
        crypto_amount=details.get("crypto_amount"),
        fiat_currency=details.get("fiat_currency"),
        fiat_amount=details.get("fiat_amount"),
        created_at=details.get("created_at"),
        warnings=tuple(warnings[:_MAX_WARNINGS]),
        body=body,
    )


def _decode(body: bytes) -> dict[str, Any]:
    try:
        # Numbers become Decimal, never float: an amount sent as a number stays exact.
        payload = json.loads(body, parse_float=_number, parse_int=_number, parse_constant=_no_constant)
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise ApiError(400, "invalid_request", "decode_error", "The body is not JSON.") from error
    if not isinstance(payload, dict):
        raise ApiError(400, "invalid_request", "validation_error", "The body must be a JSON object.")
    return payload


def _number(text: str) -> Decimal:
    """The exact number; infinity, which is no amount, where its exponent is beyond any decimal: that is JSON still."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return Decimal("Infinity")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _refuse(payload: Mapping[str, Any], error: ValidationError) -> NoReturn:
    messages: Any = error.messages
    missing = [name for name in messages if name not in payload]
    code = "missing_param" if missing else "validation_error"
    text = "; ".join(f"{name}: {' '.join(texts)}" for name, texts in messages.items())
    raise ApiError(400, "invalid_request", code, text, messages) from error


def _load_details(payload: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    try:
        return EventDetailSchema().load(payload), []
    except ValidationError as error:
        messages: Any = error.messages
        readable: Any = error.valid_data
        return dict(readable), [f"{name}: {' '.join(texts)}" for name, texts in messages.items()]


def _updated_at_key(parsed: datetime | None, found: Any) -> str:
    """What tells apart two events of one id and status. An unparseable moment is told apart by how it was written."""
    if parsed is not None:
        return parsed.astimezone(UTC).isoformat(timespec="microseconds")
    if found is None:
        return ""
    return "?" + hashlib.sha256(repr(found).encode("utf-8", "surrogatepass")).hexdigest()
