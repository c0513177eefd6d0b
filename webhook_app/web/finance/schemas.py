"""The API's JSON, as marshmallow schemas: what it checks, what it answers, and what OpenAPI says of both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, post_load, validate, validates_schema
from webargs import fields

from webhook_app.domain.proof_values import TYPES
from webhook_app.domain.severity import Severity
from webhook_app.domain.status import Status
from webhook_app.domain.time_zones import read_zone
from webhook_app.models.discrepancy import DiscrepancyKind
from webhook_app.models.event import Channel, Delivery
from webhook_app.models.reconciliation import State
from webhook_app.usecases.finance.cross_field_validation import find_contradictions
from webhook_app.usecases.finance.freshness import MEANINGS
from webhook_app.usecases.finance.summary import DayOf, Dimension, Grouping
from webhook_app.usecases.finance.transaction_filter import ANY_DISCREPANCY, Sort, TransactionFilter
from webhook_app.usecases.reconcile.report import PAUSED
from webhook_app.usecases.tellings import POLLING
from webhook_app.web.api.fields import Amount, Choice, LocalTimestamp, Term, Timestamp, TimeZone, Word
from webhook_app.web.api.schemas import LastErrorSchema, PageQuerySchema, ReportSchema
from webhook_app.web.requests import get_services


class TransactionFilterSchema(Schema):
    """What transactions are narrowed to. `*_from` is inclusive, `*_to` exclusive. Letter case matters in ids and users
    alone."""

    class Meta:
        unknown = RAISE

    q = Term(metadata={"description": "The id or a part of it, whatever its case; or a partner user, exactly."})
    status = Word(Status)
    type = Word(TYPES)
    currency = Term()
    network = Term()
    fiat_currency = Term()
    partner_user_id = Term()
    state = Choice([*State, PAUSED])
    anomaly = Choice([ANY_DISCREPANCY, *DiscrepancyKind], description="Has an unresolved discrepancy of that kind.")
    created_from = LocalTimestamp()
    created_to = LocalTimestamp()
    updated_from = LocalTimestamp()
    updated_to = LocalTimestamp()
    as_of = LocalTimestamp(
        metadata={
            "description": "Answers with what was confirmed at that time, a past one; the same for ever. "
            "Goes with neither state nor anomaly."
        }
    )
    tz = TimeZone(
        metadata={
            "description": "The time zone, by its IANA name, of dates and of times without an offset; else UTC. "
            "March in Paris: created_from=2026-03-01&created_to=2026-04-01&tz=Europe/Paris."
        }
    )

    @validates_schema
    def _check_together(self, data: Mapping[str, Any], **_: Any) -> None:
        problems = {name: [problem] for name, problem in find_contradictions(data, get_services().clock())}
        if problems:
            raise ValidationError(problems)


class TransactionQuerySchema(TransactionFilterSchema, PageQuerySchema):
    """Filters, order and paging of the list."""

    sort = Choice(
        Sort,
        description="Confirmed transactions alone, by that time, `-` latest first; not with state or anomaly, and by "
        "updated_at with nothing but updated_from, updated_to and q. Without it the newest come first.",
    )

    make_filter = TransactionFilter


class SummaryQuerySchema(TransactionFilterSchema):
    """Filters and grouping of the summary."""

    by = fields.DelimitedList(
        Choice(Dimension),
        validate=validate.Length(1),
        metadata={"description": "What is grouped by, separated by commas; all of it unless some are named."},
    )
    day_of = Choice(
        DayOf,
        load_default=str(DayOf.CREATED),
        description="The day of which timestamp: created_at, or updated_at, when the status began.",
    )
    tz = TimeZone(
        load_default="UTC",
        metadata={"description": "Where days begin, in the filter and in the groups: a time zone's IANA name."},
    )

    @post_load
    def _to_order(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        by, day_of, zone = data.pop("by", Dimension), data.pop("day_of"), data["tz"]
        grouping = Grouping(tuple(dict.fromkeys(map(Dimension, by))), read_zone(zone), DayOf(day_of))
        return {"grouping": grouping, "wanted": TransactionFilter(**data)}


class ReconciliationSchema(ReportSchema):
    """Where the work on a transaction stands: `pending` from its first event on, and again from each later one until
    Proof was asked; `retrying` while calls for it fail, `paused` while all calls are."""

    state = Choice([*State, PAUSED])
    attempts = fields.Integer()
    next_attempt_at = Timestamp(allow_none=True)
    reconciled_at = Timestamp(allow_none=True)
    last_error = fields.Nested(LastErrorSchema, allow_none=True)


class AnomalySchema(ReportSchema):
    """A discrepancy that is not resolved."""

    kind = Choice(DiscrepancyKind)
    severity = Choice(Severity)
    at = Timestamp(attribute="detected_at")
    detail = fields.String()
    acknowledged_at = Timestamp(allow_none=True)
    acknowledged_by = fields.String(allow_none=True)
    note = fields.String(allow_none=True)


class StatusChangeSchema(ReportSchema):
    status = Choice(Status)
    updated_at = Timestamp()
    recorded_at = Timestamp()


class EventSchema(ReportSchema):
    id = fields.Integer()
    channel = Choice(Channel)
    status = fields.String()
    updated_at = Timestamp(allow_none=True)
    received_at = Timestamp()
    receipts = fields.Integer(metadata={"description": "How many messages carried the event, the first included."})
    delivery = Choice(Delivery)
    warnings = fields.List(fields.String())


class AttemptSchema(ReportSchema):
    started_at = Timestamp()
    finished_at = Timestamp()
    status = Choice(Status, allow_none=True)
    http_status = fields.Integer(allow_none=True)
    error = fields.String(allow_none=True)
    code = fields.String(allow_none=True)
    message = fields.String(allow_none=True)
    request_id = fields.String(allow_none=True)
    answer_headers = fields.String(
        allow_none=True,
        metadata={"description": "Of a failed attempt: headers of the answer that matter, a line each."},
    )
    answer_body = fields.String(
        allow_none=True, metadata={"description": "The answer's beginning, with personal fields masked as `***`."}
    )
    decision = fields.String()
    counted = fields.Boolean()
    next_attempt_at = Timestamp(allow_none=True)


class TransactionSchema(ReportSchema):
    """Confirmed values are null before Proof's API confirmed them; amounts are strings. As of a past time there are
    confirmed values and history alone: `reconciliation` and `reported_status` are null, `events` and `anomalies` empty.
    """

    merchant_transaction_id = fields.String()
    partner_user_id = fields.String(allow_none=True)
    type = fields.String(allow_none=True)
    status = Choice(Status, allow_none=True)
    currency = fields.String(allow_none=True)
    network = fields.String(allow_none=True)
    crypto_amount = Amount(allow_none=True)
    fiat_currency = fields.String(allow_none=True)
    fiat_amount = Amount(allow_none=True)
    created_at = Timestamp(allow_none=True)
    updated_at = Timestamp(allow_none=True)
    first_known_at = Timestamp(allow_none=True, metadata={"description": "When it was named for the first time."})
    confirmed_at = Timestamp(allow_none=True)
    reported_status = fields.String(allow_none=True)
    reconciliation = fields.Nested(ReconciliationSchema, allow_none=True)
    anomalies = fields.List(fields.Nested(AnomalySchema), attribute="discrepancies")
    history = fields.List(fields.Nested(StatusChangeSchema))
    events = fields.List(fields.Nested(EventSchema))


class ToldSchema(ReportSchema):
    channel = Choice([*Channel, POLLING])
    at = Timestamp()
    seconds_later = fields.Float(metadata={"description": "After the channel that told first."})


class ToldChangeSchema(ReportSchema):
    """A confirmed status change, and which channels told of it, the first one first. `polling` is among them where our
    own look was not brought about by a message."""

    status = Choice(Status)
    updated_at = Timestamp()
    channels = fields.List(fields.Nested(ToldSchema))


class TransactionDetailSchema(TransactionSchema):
    told = fields.List(fields.Nested(ToldChangeSchema))
    attempts = fields.List(fields.Nested(AttemptSchema))


class FreshnessSchema(ReportSchema):
    """Transactions in the filter whose state at Proof may be another than the one told here. A count that has reached
    `most_counted` may be larger. Null where it says nothing: what was confirmed at a past time cannot get stale."""

    pending = fields.Integer(allow_none=True, metadata={"description": MEANINGS["pending"]})
    failed = fields.Integer(allow_none=True, metadata={"description": MEANINGS["failed"]})
    unconfirmed = fields.Integer(allow_none=True, metadata={"description": MEANINGS["unconfirmed"]})
    most_counted = fields.Integer()


class TransactionPageSchema(Schema):
    items = fields.List(fields.Nested(TransactionSchema))
    next_cursor = fields.String(allow_none=True)
    freshness = fields.Nested(FreshnessSchema)


class SummaryRowSchema(Schema):
    """One group. What is not grouped by is null, and so is a sum over more than one currency."""

    day = fields.String(allow_none=True, metadata={"format": "date"})
    type = fields.String(allow_none=True)
    status = Choice(Status, allow_none=True)
    currency = fields.String(allow_none=True)
    network = fields.String(allow_none=True)
    fiat_currency = fields.String(allow_none=True)
    count = fields.Integer()
    crypto_amount = Amount(allow_none=True)
    fiat_amount = Amount(allow_none=True)


class SummarySchema(Schema):
    """Confirmed transactions alone, in groups; those that wait for Proof's word are counted in `freshness`."""

    by = fields.List(Choice(Dimension))
    day_of = Choice(DayOf)
    tz = fields.String()
    count = fields.Integer()
    last_confirmed_at = Timestamp(allow_none=True)
    items = fields.List(fields.Nested(SummaryRowSchema))
    freshness = fields.Nested(FreshnessSchema)
