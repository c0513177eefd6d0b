"""The JSON of `/api/v1/incidents`."""

from __future__ import annotations

from marshmallow import RAISE, Schema, fields

from webhook_app.domain.incidents import IncidentKind
from webhook_app.domain.severity import Severity
from webhook_app.usecases.incidents.reports import IncidentFilter, IncidentState
from webhook_app.web.api.fields import Choice, Timestamp
from webhook_app.web.api.schemas import PageQuerySchema


class IncidentQuerySchema(PageQuerySchema):
    """All of them, unless `state` or `kind` says otherwise."""

    class Meta:
        unknown = RAISE

    make_filter = IncidentFilter

    state = Choice(IncidentState)
    kind = Choice(IncidentKind)


class IncidentSchema(Schema):
    """One incident. `held` counts the payments that waited because of it or while it lasted; each of them is
    reconciled, has failed and waits for a person, or still waits: none is lost."""

    id = fields.Integer()
    kind = fields.String()
    name = fields.String()
    key = fields.String(metadata={"description": "Which one, where there may be several of a kind at once."})
    severity = Choice(Severity)
    state = Choice(IncidentState)
    cause = fields.String()
    advice = fields.String()
    began_at = Timestamp()
    ended_at = Timestamp(allow_none=True)
    duration = fields.Float(metadata={"description": "Seconds, until now where it is open."})
    held = fields.Integer()
    held_reconciled = fields.Integer()
    held_failed = fields.Integer()
    held_waiting = fields.Integer()
    held_longest = fields.Float(metadata={"description": "Seconds that one of them waited at most."})
    outcome = fields.String()


class IncidentPageSchema(Schema):
    items = fields.List(fields.Nested(IncidentSchema))
    next_cursor = fields.String(allow_none=True)
