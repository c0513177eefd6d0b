"""The query and the JSON of `/api/v1/scorecard`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, post_load, validate, validates_schema

from webhook_app.usecases.channels.scorecard import ScorecardFilter
from webhook_app.web.api.fields import Term, Timestamp
from webhook_app.web.requests import get_services

#: Days of one scorecard, unless others are asked for; and most of them.
USUAL_DAYS, MOST_DAYS = 30, 400
#: Next to the ends of the calendar there is no day before, or after.
_EXISTS = validate.Range(date(1970, 1, 1), date(9998, 12, 31), error="Must be a day from 1970 to 9998.")
#: The same for who reads the schema: JSON Schema has no bounds of days.
_PATTERN = r"^(19[7-9][0-9]|[2-8][0-9]{3}|9[0-8][0-9]{2}|99[0-8][0-9]|999[0-8])-[0-9]{2}-[0-9]{2}$"


class ScorecardQuerySchema(Schema):
    """The last thirty days, today included, unless others are asked for. It loads as a `ScorecardFilter`."""

    class Meta:
        unknown = RAISE

    first_day = fields.Date(validate=_EXISTS, metadata={"description": "In UTC.", "pattern": _PATTERN})
    last_day = fields.Date(validate=_EXISTS, metadata={"description": "In UTC, included.", "pattern": _PATTERN})
    type = Term(validate=validate.Length(max=32))
    currency = Term(validate=validate.Length(max=32))
    network = Term(validate=validate.Length(max=64))

    @validates_schema
    def _check_days(self, data: Mapping[str, Any], **_: Any) -> None:
        first, last = _days(data)
        if first > last:
            raise ValidationError("Must not be after the last day.", "first_day")
        if (last - first).days >= MOST_DAYS:
            raise ValidationError(f"A scorecard has {MOST_DAYS} days at most.", "first_day")

    @post_load
    def _to_filter(self, data: dict[str, Any], **_: Any) -> ScorecardFilter:
        first, last = _days(data)
        rest = {name: value for name, value in data.items() if name not in ("first_day", "last_day")}
        return ScorecardFilter(first, last, **rest)


def _days(data: Mapping[str, Any]) -> tuple[date, date]:
    last: date = data.get("last_day") or get_services().clock().astimezone(UTC).date()
    first: date = data.get("first_day") or date.fromordinal(last.toordinal() - USUAL_DAYS + 1)
    return first, last


class ScorecardRowSchema(Schema):
    """One group. What it is not grouped by is null. Seconds of lateness are exact within a tenth, the worst exactly."""

    day = fields.Date(allow_none=True)
    type = fields.String(allow_none=True)
    currency = fields.String(allow_none=True)
    network = fields.String(allow_none=True)
    finals = fields.Integer(attribute="counts.finals", metadata={"description": "Confirmed terminal statuses."})
    finals_by_webhook = fields.Integer(attribute="counts.finals_by_webhook")
    finals_by_websocket = fields.Integer(attribute="counts.finals_by_websocket")
    finals_by_polling_only = fields.Integer(attribute="counts.finals_by_polling")
    finals_lost = fields.Integer(
        attribute="counts.finals_lost", metadata={"description": "Of which no webhook came within an hour."}
    )
    changes = fields.Integer(attribute="counts.changes", metadata={"description": "Confirmed status changes."})
    webhooks_lost = fields.Integer(attribute="counts.lost")
    webhooks_repeated = fields.Integer(attribute="counts.repeated")
    webhooks_out_of_order = fields.Integer(attribute="counts.out_of_order")
    late_p50 = fields.Float(allow_none=True)
    late_p95 = fields.Float(allow_none=True)
    late_worst = fields.Float(allow_none=True)


class ScorecardErrorSchema(Schema):
    http_status = fields.Integer(allow_none=True)
    error = fields.String()
    code = fields.String(allow_none=True)
    count = fields.Integer()
    request_ids = fields.List(fields.String(), metadata={"description": "Of the latest ones, five at most."})


class OutageSchema(Schema):
    """All calls to Proof were paused."""

    began_at = Timestamp()
    ended_at = Timestamp(allow_none=True)
    cause = fields.String()


class ScorecardSchema(Schema):
    """How Proof's messages and its API behaved. `items` are by type, currency and network; there is one page."""

    first_day = fields.Date(attribute="wanted.first_day")
    last_day = fields.Date(attribute="wanted.last_day")
    is_complete = fields.Boolean(metadata={"description": "False while what came last is still being counted."})
    total = fields.Nested(ScorecardRowSchema)
    items = fields.List(fields.Nested(ScorecardRowSchema), attribute="pairs")
    next_cursor = fields.String(allow_none=True, dump_default=None)
    days = fields.List(fields.Nested(ScorecardRowSchema))
    errors = fields.List(fields.Nested(ScorecardErrorSchema))
    outages = fields.List(fields.Nested(OutageSchema))
