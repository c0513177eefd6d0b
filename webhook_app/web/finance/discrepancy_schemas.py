"""The JSON of `/api/v1/discrepancies`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import RAISE, Schema, fields, validate, validates_schema

from webhook_app.domain.severity import Severity
from webhook_app.domain.status import Status
from webhook_app.models.discrepancy import DiscrepancyKind
from webhook_app.usecases.finance.discrepancies import DiscrepancyFilter, DiscrepancyState
from webhook_app.web.api.fields import Amount, Choice, LocalTimestamp, Term, Timestamp, TimeZone, WholeNumber
from webhook_app.web.api.schemas import PageQuerySchema, check_ranges

#: As a filter: open, acknowledged and resolved ones alike.
ALL = "all"

_SAYS_SOMETHING = [
    validate.Length(1, 500),
    validate.Regexp(r"[\s\S]*\S", error="Must say something."),
]


class DiscrepancyFilterSchema(Schema):
    """What discrepancies are narrowed to: the open ones, unless `state` says otherwise."""

    class Meta:
        unknown = RAISE

    kind = Choice(DiscrepancyKind)
    severity = Choice(Severity)
    state = Choice([*DiscrepancyState, ALL], load_default=str(DiscrepancyState.OPEN))
    merchant_transaction_id = Term()
    owner = Term()
    opened_from = LocalTimestamp()
    opened_to = LocalTimestamp(metadata={"description": "Older than that."})
    tz = TimeZone(
        metadata={
            "description": "The time zone, by its IANA name, of dates and of times without an offset; else UTC. "
            "Opened in March in Paris: opened_from=2026-03-01&opened_to=2026-04-01&tz=Europe/Paris."
        }
    )

    @validates_schema
    def _check_range(self, data: Mapping[str, Any], **_: Any) -> None:
        check_ranges(data, "opened")


def make_filter(state: str, **others: Any) -> DiscrepancyFilter:
    """The filter that a checked query means. Its times have been read in their zone, which is of no more use."""
    others.pop("tz", None)
    return DiscrepancyFilter(state=None if state == ALL else state, **others)


class DiscrepancyQuerySchema(DiscrepancyFilterSchema, PageQuerySchema):
    """Filters and paging of the list."""

    make_filter = staticmethod(make_filter)


class AcknowledgementSchema(Schema):
    """A person has looked at it. With `revision`, only if it is still the one that was seen."""

    class Meta:
        unknown = RAISE

    note = fields.String(required=True, validate=_SAYS_SOMETHING)
    revision = WholeNumber(validate.Range(1, 2**31 - 1))


class AssignmentSchema(Schema):
    """Who looks into it: an account's name, null for nobody any more."""

    class Meta:
        unknown = RAISE

    owner = fields.String(required=True, allow_none=True, validate=validate.Length(1, 64))


class ReopeningSchema(Schema):
    class Meta:
        unknown = RAISE

    reason = fields.String(required=True, validate=_SAYS_SOMETHING)


class DiscrepancySchema(Schema):
    """One discrepancy, with what is confirmed of its transaction (null before that). Its age is since `opened_at`."""

    id = fields.Integer()
    merchant_transaction_id = fields.String()
    kind = Choice(DiscrepancyKind)
    severity = Choice(Severity)
    state = Choice(DiscrepancyState)
    detail = fields.String()
    count = fields.Integer(metadata={"description": "How many ids it is about; unknown ones are gathered in one."})
    revision = fields.Integer()
    detected_at = Timestamp()
    opened_at = Timestamp()
    acknowledged_at = Timestamp(allow_none=True)
    acknowledged_by = fields.String(allow_none=True)
    note = fields.String(allow_none=True)
    resolved_at = Timestamp(allow_none=True)
    resolution = fields.String(
        allow_none=True, metadata={"description": "Why, where that was another reason than a later confirmation."}
    )
    owner = fields.String(allow_none=True, metadata={"description": "The person who looks into it."})
    status = Choice(Status, allow_none=True)
    currency = fields.String(allow_none=True)
    crypto_amount = Amount(allow_none=True)
    fiat_currency = fields.String(allow_none=True)
    fiat_amount = Amount(allow_none=True)


class DiscrepancyCountSchema(Schema):
    kind = Choice(DiscrepancyKind)
    severity = Choice(Severity)
    open = fields.Integer()
    acknowledged = fields.Integer()


class DiscrepancyPageSchema(Schema):
    """`counts` are of all that are not resolved, whatever the filter."""

    items = fields.List(fields.Nested(DiscrepancySchema))
    next_cursor = fields.String(allow_none=True)
    counts = fields.List(fields.Nested(DiscrepancyCountSchema))
