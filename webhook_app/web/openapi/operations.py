"""The OpenAPI document's part on routes that flask-smorest does not know: Proof's webhook and the health checks."""

from __future__ import annotations

from typing import Any

from apispec import APISpec
from flask import Flask
from marshmallow import Schema, fields, validate
from werkzeug.routing import Rule

from webhook_app.config import Settings
from webhook_app.domain.text import USABLE_ID
from webhook_app.readiness import CHECKS
from webhook_app.web.openapi.conventions import STORABLE, ErrorSchema
from webhook_app.web.receive.event_schema import MAX_STATUS

TAGS = (
    {"name": "webhooks", "description": "What Proof calls"},
    {"name": "health", "description": "For load balancers and operators"},
)


class AcceptedSchema(Schema):
    """The event is stored."""

    event_id = fields.Integer()
    duplicate = fields.Boolean(metadata={"description": "It had come before."})
    warnings = fields.List(fields.String(), metadata={"description": "What could not be read, and was left out."})


class SpooledSchema(Schema):
    """The database is away; the event is kept on disk until it is back."""

    spooled = fields.Boolean(validate=validate.Equal(True))
    warnings = fields.List(fields.String())


class AliveSchema(Schema):
    status = fields.String(validate=validate.Equal("alive"))


class SpoolSchema(Schema):
    """What waits on disk for the database."""

    records = fields.Integer()
    bytes = fields.Integer()


ChecksSchema = Schema.from_dict({name: fields.String() for name in CHECKS}, name="ChecksSchema")


class ReadinessSchema(Schema):
    """Each check is `ok` or says what is wrong."""

    status = fields.String(validate=validate.OneOf(["ready", "not ready"]))
    checks = fields.Nested(ChecksSchema)
    spool = fields.Nested(SpoolSchema)


#: Only these two fields can make it refused.
_EVENT_NEEDS = {
    "merchant_transaction_id": {"type": "string", "pattern": f"^{USABLE_ID.pattern}$"},
    "status": {"type": "string", "maxLength": MAX_STATUS, "allOf": [{"pattern": STORABLE}, {"pattern": r"\S"}]},
}
_EVENT_EXAMPLE = {
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
_EVENT = {
    "type": "object",
    "description": "Whatever else it holds is kept. Of the fields that are known, one that cannot be read is a warning "
    "in the answer, never a refusal.",
    "required": list(_EVENT_NEEDS),
    "properties": {name: _EVENT_NEEDS.get(name, {"examples": [value]}) for name, value in _EVENT_EXAMPLE.items()},
    "examples": [_EVENT_EXAMPLE],
}


def describe_plain_routes(app: Flask, spec: APISpec, settings: Settings) -> None:
    """Adds the routes of the plain blueprints, with the webhook's path as these settings have it."""
    receive = next(
        rule
        for rule in app.url_map.iter_rules("webhooks.receive")
        if bool(rule.arguments) == bool(settings.webhook_secrets)
    )
    _describe(spec, receive, _webhook_operation(settings))
    _describe(spec, _only_rule(app, "health.healthz"), _HEALTHZ)
    _describe(spec, _only_rule(app, "health.readyz"), _READYZ)


def _only_rule(app: Flask, endpoint: str) -> Rule:
    (rule,) = app.url_map.iter_rules(endpoint)
    return rule


def _describe(spec: APISpec, rule: Rule, operation: dict[str, Any]) -> None:
    method = "post" if "POST" in (rule.methods or ()) else "get"
    spec.path(rule=rule, operations={method: operation | {"tags": [rule.endpoint.split(".")[0]]}})


def _webhook_operation(settings: Settings) -> dict[str, Any]:
    answers: dict[str, Any] = {
        "200": _json("It had come before; nothing changes.", AcceptedSchema),
        "202": _json("It is stored, in the database or on disk.", {"oneOf": [AcceptedSchema, SpooledSchema]}),
        "400": "InvalidRequest",
        "408": "Timeout",
        "413": "TooLarge",
        "503": "Unavailable",
    }
    if settings.webhook_secrets:
        answers["404"] = "NotFound"
    if settings.webhook_allowed_networks:
        answers["403"] = "Forbidden"
    return {
        "summary": "Takes in a status change that Proof reports.",
        "description": "It is advisory: what is true, Proof's API is asked. Any media type is taken for JSON.",
        "requestBody": {"required": True, "content": {"application/json": {"schema": _EVENT}}},
        "responses": answers,
    }


def _json(description: str, schema: object) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


_HEALTHZ = {"summary": "The process answers.", "responses": {"200": _json("It does.", AliveSchema)}}
_READYZ = {
    "summary": "Everything that the service needs works.",
    "responses": {
        "200": _json("Each check is `ok`.", ReadinessSchema),
        "503": _json("A check fails; or too many requests wait already.", {"anyOf": [ReadinessSchema, ErrorSchema]}),
    },
}
