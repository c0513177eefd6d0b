"""The JSON of `/api/v1/deliveries` and `/api/v1/replays`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from marshmallow import RAISE, Schema, ValidationError, fields, post_load, validate, validates_schema

from webhook_app.db.types import MAX_ID
from webhook_app.models.event import Channel, Delivery
from webhook_app.usecases.redeliver.deliveries import DeliveryFilter
from webhook_app.usecases.redeliver.replay import DEFAULT_PER_SECOND, MOST_IDS, Selection
from webhook_app.web.api.fields import Choice, Term, Timestamp, WholeNumber
from webhook_app.web.api.schemas import LastErrorSchema, PageQuerySchema, check_ranges

_EventId = WholeNumber(validate.Range(1, MAX_ID))


class DeliveryFilterSchema(Schema):
    """What deliveries are narrowed to; `error` and `code` are those of the last failure."""

    class Meta:
        unknown = RAISE

    #: In a body, where there is no paging: all that match would be all there are.
    json_schema: ClassVar[Mapping[str, Any]] = {"minProperties": 1}

    state = Choice(Delivery)
    error = Term()
    code = Term()
    merchant_transaction_id = Term()
    received_from = Timestamp()
    received_to = Timestamp()

    @validates_schema
    def _check_range(self, data: Mapping[str, Any], **_: Any) -> None:
        check_ranges(data, "received")


class DeliveryQuerySchema(DeliveryFilterSchema, PageQuerySchema):
    """Filters and paging of the list."""

    make_filter = DeliveryFilter


class ReplayOrderSchema(Schema):
    """Either `ids` or `filter`."""

    class Meta:
        unknown = RAISE

    #: `_check_selection`, as JSON Schema puts it.
    json_schema: ClassVar[Mapping[str, Any]] = {
        "oneOf": [{"required": ["ids"]}, {"required": ["filter"]}],
        "anyOf": [
            {"required": ["dry_run"], "properties": {"dry_run": {"const": True}}},
            {"required": ["reason"], "properties": {"reason": {"pattern": r"\S"}}},
        ],
    }

    ids = fields.List(_EventId, validate=validate.Length(1, MOST_IDS))
    filter = fields.Nested(DeliveryFilterSchema)
    reason = fields.String(validate=validate.Length(1, 500), metadata={"description": "Required unless dry_run."})
    dry_run = fields.Boolean(load_default=False)
    per_second = fields.Float(load_default=DEFAULT_PER_SECOND, validate=validate.Range(1, 1000))

    @validates_schema
    def _check_selection(self, data: Mapping[str, Any], **_: Any) -> None:
        if ("ids" in data) == ("filter" in data):
            raise ValidationError("Give either ids or filter.", "ids")
        if not data["dry_run"] and not data.get("reason", "").strip():
            raise ValidationError("Give a reason: it goes into the audit log.", "reason")
        if "filter" in data and not data["filter"]:
            raise ValidationError("An empty filter would mean every delivery there is; narrow it.", "filter")

    @post_load
    def _to_selection(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        wanted = data.pop("filter", None)
        ids = tuple(dict.fromkeys(data.pop("ids", ())))
        return (
            {"reason": ""} | data | {"selection": Selection(ids, None if wanted is None else DeliveryFilter(**wanted))}
        )


class DeliverySchema(Schema):
    """One event on its way through reconciliation."""

    id = fields.Integer()
    merchant_transaction_id = fields.String()
    channel = Choice(Channel)
    status = fields.String()
    updated_at = Timestamp(allow_none=True)
    received_at = Timestamp()
    state = Choice(Delivery)
    settled_at = Timestamp(allow_none=True)
    warnings = fields.List(fields.String())
    attempts = fields.Integer()
    next_attempt_at = Timestamp(allow_none=True)
    last_error = fields.Nested(LastErrorSchema, allow_none=True)


class DeliveryPageSchema(Schema):
    items = fields.List(fields.Nested(DeliverySchema))
    next_cursor = fields.String(allow_none=True)


class SkippedSchema(Schema):
    id = fields.Integer()
    why = fields.String()


class WhilePausedSchema(Schema):
    """All calls to Proof are paused: what is sent round goes out when a probe is answered. Null while they go on."""

    since = Timestamp()
    next_probe_at = Timestamp(allow_none=True)


class OrderedSchema(Schema):
    """What the order covers, in deliveries, and of how many transactions those are that are replayed: each is asked for
    once. `skipped` lists the first hundred; the counts are whole."""

    replay_id = fields.Integer(allow_none=True)
    matched = fields.Integer()
    replayed = fields.Integer()
    transactions = fields.Integer()
    skipped = fields.List(fields.Nested(SkippedSchema))
    paused = fields.Nested(WhilePausedSchema, allow_none=True)


class ReplaySchema(Schema):
    id = fields.Integer()
    created_at = Timestamp()
    actor = fields.String()
    via = fields.String()
    reason = fields.String()
    wanted = fields.Dict()
    matched = fields.Integer()
    per_second = fields.Float()
    released_at = Timestamp(
        allow_none=True, metadata={"description": "When the last of it was sent round, or when it was cancelled."}
    )
    finished_at = Timestamp(
        allow_none=True, metadata={"description": "When the last of it was settled; null while anything is under way."}
    )
    cancelled_at = Timestamp(allow_none=True)
    cancelled_by = fields.String(allow_none=True)


class ProgressSchema(Schema):
    """How a replay stands, in reconciliations."""

    replay = fields.Nested(ReplaySchema)
    paused = fields.Nested(WhilePausedSchema, allow_none=True)
    waiting = fields.Integer()
    under_way = fields.Integer()
    succeeded = fields.Integer()
    failed = fields.Integer()
    skipped = fields.Integer()
    is_settled = fields.Boolean()
