"""The JSON of `/api/v1/drift`."""

from __future__ import annotations

from marshmallow import RAISE, Schema, fields, validate

from webhook_app.domain.drift import DriftKind, DriftSource
from webhook_app.usecases.monitor.drift import DriftFilter, DriftState
from webhook_app.web.api.fields import Choice, Timestamp
from webhook_app.web.api.schemas import PageQuerySchema

#: As a filter: open and dismissed ones alike.
ALL = "all"


def make_filter(state: str) -> DriftFilter:
    """The filter that a checked query means."""
    return DriftFilter(state=None if state == ALL else state)


class DriftQuerySchema(PageQuerySchema):
    """The open ones, unless `state` says otherwise."""

    class Meta:
        unknown = RAISE

    make_filter = staticmethod(make_filter)

    state = Choice([*DriftState, ALL], load_default=str(DriftState.OPEN))


class DismissalSchema(Schema):
    """A person has looked at it."""

    class Meta:
        unknown = RAISE

    note = fields.String(
        required=True,
        validate=[validate.Length(1, 500), validate.Regexp(r"[\s\S]*\S", error="Must say something.")],
    )


class DriftSchema(Schema):
    """A word, a field or a form of a value that Proof sent and this release does not know. No values are kept. The
    message that had it last is named by its transaction and its request id."""

    id = fields.Integer()
    kind = Choice(DriftKind)
    source = Choice(DriftSource)
    word = fields.String()
    state = Choice(DriftState)
    count = fields.Integer()
    first_seen_at = Timestamp()
    last_seen_at = Timestamp()
    merchant_transaction_id = fields.String(allow_none=True)
    request_id = fields.String(allow_none=True)
    advice = fields.String()
    dismissed_at = Timestamp(allow_none=True)
    dismissed_by = fields.String(allow_none=True)
    note = fields.String(allow_none=True)


class DriftPageSchema(Schema):
    items = fields.List(fields.Nested(DriftSchema))
    next_cursor = fields.String(allow_none=True)
