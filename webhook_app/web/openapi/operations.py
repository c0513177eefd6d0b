"""The OpenAPI document's part on routes that flask-smorest does not know: Proof's webhook and the health checks."""

from __future__ import annotations

from typing import Any

from apispec import APISpec
from flask import Flask
from marshmallow import Schema, fields, validate
from werkzeug.routing import Rule

from webhook_app.config import Settings
from webhook_app.readiness import CHECKS
from webhook_app.web.openapi.conventions import ErrorSchema
from webhook_app.web.receive.event_schema import WebhookEventSchema

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
    """What is on disk, because the database does not take it or did not."""

    records = fields.Integer(metadata={"description": "Events that wait for the database."})
    bytes = fields.Integer()
    set_aside = fields.Integer(metadata={"description": "What cannot be stored as it is, and waits for a person."})
    fault = fields.String(allow_none=True, metadata={"description": "Why events wait, where that was found out."})


ChecksSchema = Schema.from_dict({name: fields.String() for name in CHECKS}, name="ChecksSchema")


class ReadinessSchema(Schema):
    """Each check is `ok` or says what is wrong."""

    status = fields.String(validate=validate.OneOf(["ready", "not ready"]))
    checks = fields.Nested(ChecksSchema)
    spool = fields.Nested(SpoolSchema)


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
        "requestBody": {"required": True, "content": {"application/json": {"schema": WebhookEventSchema}}},
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
