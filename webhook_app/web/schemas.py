"""The API's JSON, as marshmallow schemas: what it checks, what it answers, and what OpenAPI says of both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, post_load, validate, validates_schema

from webhook_app.domain.status import Status
from webhook_app.models.anomaly import AnomalyKind
from webhook_app.models.event import Channel, Delivery
from webhook_app.models.reconciliation import State
from webhook_app.usecases.reports import PAUSED, TransactionFilter
from webhook_app.web.fields import Amount, Choice, Moment, Term

MAX_LIMIT = 200


class TransactionQuerySchema(Schema):
    """Filters and paging of the list."""

    class Meta:
        unknown = RAISE

    status = Choice(Status)
    type = Choice(["buy", "sell"])
    currency = Term()
    network = Term()
    fiat_currency = Term()
    partner_user_id = Term()
    state = Choice([*State, PAUSED])
    anomaly = Choice(AnomalyKind)
    created_from = Moment()
    created_to = Moment()
    updated_from = Moment()
    updated_to = Moment()
    limit = fields.Integer(load_default=50, validate=validate.Range(1, MAX_LIMIT))
    cursor = fields.String()

    @validates_schema
    def _check_ranges(self, data: Mapping[str, Any], **_: Any) -> None:
        for name in ("created", "updated"):
            start, end = data.get(f"{name}_from"), data.get(f"{name}_to")
            if start and end and start >= end:
                raise ValidationError(f"Must be before {name}_to.", f"{name}_from")

    @post_load
    def _to_filter(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        limit, cursor = data.pop("limit"), data.pop("cursor", None)
        return {"limit": limit, "cursor": cursor, "wanted": TransactionFilter(**data)}


class LastErrorSchema(Schema):
    http_status = fields.Integer(allow_none=True)
    error = fields.String()
    code = fields.String(allow_none=True)
    message = fields.String(allow_none=True)
    request_id = fields.String(allow_none=True)
    at = Moment(allow_none=True)


class ReconciliationSchema(Schema):
    state = Choice([*State, PAUSED])
    attempts = fields.Integer()
    next_attempt_at = Moment(allow_none=True)
    reconciled_at = Moment(allow_none=True)
    last_error = fields.Nested(LastErrorSchema, allow_none=True)


class AnomalySchema(Schema):
    kind = Choice(AnomalyKind)
    at = Moment(attribute="detected_at")
    detail = fields.String()


class StatusChangeSchema(Schema):
    status = Choice(Status)
    updated_at = Moment()
    recorded_at = Moment()


class EventSchema(Schema):
    id = fields.Integer()
    channel = Choice(Channel)
    status = fields.String()
    updated_at = Moment(allow_none=True)
    received_at = Moment()
    receipts = fields.Integer()
    delivery = Choice(Delivery)
    warnings = fields.List(fields.String())


class AttemptSchema(Schema):
    started_at = Moment()
    finished_at = Moment()
    status = Choice(Status, allow_none=True)
    http_status = fields.Integer(allow_none=True)
    error = fields.String(allow_none=True)
    code = fields.String(allow_none=True)
    message = fields.String(allow_none=True)
    request_id = fields.String(allow_none=True)
    decision = fields.String()
    counted = fields.Boolean()
    next_attempt_at = Moment(allow_none=True)


class TransactionSchema(Schema):
    """Confirmed values are null before Proof's API confirmed them; amounts are strings."""

    merchant_transaction_id = fields.String()
    partner_user_id = fields.String(allow_none=True)
    type = fields.String(allow_none=True)
    status = Choice(Status, allow_none=True)
    currency = fields.String(allow_none=True)
    network = fields.String(allow_none=True)
    crypto_amount = Amount(allow_none=True)
    fiat_currency = fields.String(allow_none=True)
    fiat_amount = Amount(allow_none=True)
    created_at = Moment(allow_none=True)
    updated_at = Moment(allow_none=True)
    reported_status = fields.String(allow_none=True)
    reconciliation = fields.Nested(ReconciliationSchema)
    anomalies = fields.List(fields.Nested(AnomalySchema))
    history = fields.List(fields.Nested(StatusChangeSchema))
    events = fields.List(fields.Nested(EventSchema))


class TransactionDetailSchema(TransactionSchema):
    attempts = fields.List(fields.Nested(AttemptSchema))


class TransactionPageSchema(Schema):
    items = fields.List(fields.Nested(TransactionSchema))
    next_cursor = fields.String(allow_none=True)
