"""What holds for every operation of the API, put into the OpenAPI document in one place: who may call, how it fails,
which headers come back, and that an answer has all its fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from apispec import APISpec, BasePlugin
from flask import Flask
from marshmallow import Schema, fields
from marshmallow.validate import Length
from werkzeug.routing import Rule

from webhook_app.domain.money import MAX_INTEGER_DIGITS, MAX_SCALE
from webhook_app.domain.text import STORABLE_PATTERN, USABLE_ID
from webhook_app.web.api.auth import allowed_roles
from webhook_app.web.api.fields import Amount, Term

PATH_PARAMETERS: Mapping[str, Mapping[str, Any]] = {
    "merchant_transaction_id": {
        "description": "Proof's id of the transaction.",
        "schema": {"type": "string", "pattern": f"^{USABLE_ID.pattern}$"},
        "example": "550e8400-e29b-41d4-a716-446655440000",
    },
    "discrepancy_id": {"description": "The `id` of a discrepancy.", "example": 1},
    "replay_id": {"description": "The `replay_id` that the order was answered with.", "example": 1},
}

HEADERS: Mapping[str, dict[str, Any]] = {
    "RequestId": {
        "description": "Names this request in our log.",
        "required": True,
        "schema": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
    },
    "RetryAfter": {"description": "Seconds to wait.", "required": True, "schema": {"type": "integer", "minimum": 1}},
    "Challenge": {"description": "Asks for a token.", "required": True, "schema": {"type": "string"}},
}


class ErrorSchema(Schema):
    """Every error of ours, in the shape that Proof's own errors have."""

    error = fields.String(required=True, metadata={"description": "The kind of error, for programs."})
    code = fields.String(required=True, metadata={"description": "What exactly, for programs."})
    message = fields.String(required=True, metadata={"description": "What is wrong and what to do, for people."})
    problems = fields.Dict(
        data_key="fields",
        keys=fields.String(),
        values=fields.List(fields.String()),
        metadata={"description": "What is wrong with each value that the request was refused for."},
    )


def _error(description: str, example: tuple[str, str, str], **headers: str) -> dict[str, Any]:
    shown = dict(zip(("error", "code", "message"), example, strict=True))
    return {
        "description": description,
        "headers": {"X-Request-Id": "RequestId"} | {name.replace("_", "-"): header for name, header in headers.items()},
        "content": {"application/json": {"schema": ErrorSchema, "example": shown}},
    }


#: The errors that operations refer to by these names.
ERRORS: Mapping[str, dict[str, Any]] = {
    "InvalidRequest": _error(
        "A value cannot be used: see `fields`. Or the body is not JSON.",
        (
            "invalid_request",
            "validation_error",
            "limit: Must be greater than or equal to 1 and less than or equal to 200.",
        ),
    ),
    "Unauthorised": _error(
        "No API token, or an unknown one.",
        ("unauthorised", "missing_token", "Send `Authorization: Bearer <API token>`; …"),
        WWW_Authenticate="Challenge",
    ),
    "Forbidden": _error(
        "Whoever calls may not do that.",
        ("forbidden", "forbidden_role", "This token's role may not do that; use one that may."),
    ),
    "NotFound": _error("There is nothing of that name.", ("not_found", "not_found", "There is nothing here.")),
    "Conflict": _error(
        "That can no longer be done.",
        ("invalid_request", "conflict", "Replay 7 has released everything already: there is nothing to cancel."),
    ),
    "ProofRefuses": _error(
        "Proof refuses it, or cannot be reached: `error` and `code` are Proof's.",
        ("upstream_error", "provider_error", "an external service failed"),
    ),
    "Timeout": _error(
        "The body did not arrive in time.",
        ("invalid_request", "timeout", "The body did not arrive within 5 seconds."),
    ),
    "TooLarge": _error("The body is too large.", ("invalid_request", "too_large", "The body is larger than 64 KiB.")),
    "Unavailable": _error(
        "The database cannot be reached right now, or (`overload`) there is too much to do.",
        ("internal_error", "db_error", "The database cannot be reached right now. Try again in 5 seconds."),
        Retry_After="RetryAfter",
    ),
}


def describe_field(_converter: object, field: fields.Field[Any], **_: Any) -> dict[str, Any]:
    """What JSON Schema can say of our own fields beyond their type."""
    if isinstance(field, Amount):
        return {"pattern": f"^[0-9]{{1,{MAX_INTEGER_DIGITS}}}(\\.[0-9]{{1,{MAX_SCALE}}})?$", "examples": ["99.50"]}
    if isinstance(field, Term):
        longest = min([128, *(one.max for one in field.validators if isinstance(one, Length) and one.max)])
        return {"minLength": 1, "maxLength": longest, "pattern": STORABLE_PATTERN}
    return {}


class Conventions(BasePlugin):
    """Looks at each operation when the others are done with it."""

    def __init__(self, app: Flask) -> None:
        self._app = app

    def init_spec(self, spec: APISpec) -> None:
        self._spec = spec

    def schema_helper(self, name: str, definition: object, **kwargs: Any) -> dict[str, Any]:
        """A schema's docstring describes it; `json_schema` says what else holds beyond its fields, and marshmallow
        cannot say."""
        schema = kwargs["schema"]
        kind = schema if isinstance(schema, type) else type(schema)
        description = " ".join((kind.__doc__ or "").split())
        return ({"description": description} if description else {}) | getattr(schema, "json_schema", {})

    def path_helper(self, parameters: list[dict[str, Any]] | None = None, **_: Any) -> None:  # type: ignore[override]
        for parameter in parameters or ():
            parameter.update(PATH_PARAMETERS.get(parameter["name"], {}))

    def operation_helper(
        self, path: str | None = None, operations: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        rule: Rule = kwargs["rule"]
        for operation in (operations or {}).values():
            operation["operationId"] = rule.endpoint.replace(".", "_")
            operation["responses"] = {str(status): answer for status, answer in operation["responses"].items()}
            if rule.rule.startswith("/api/"):
                self._add_errors(operation, rule)
            self._complete_answers(operation)
            for schema in self._asked(operation):
                _accept_dates(schema)

    def _add_errors(self, operation: dict[str, Any], rule: Rule) -> None:
        answers = operation["responses"]
        takes_values = answers.pop("422", None)  # what flask-smorest notes for arguments; errors.py makes it a 400
        roles = allowed_roles(self._app.view_functions[rule.endpoint])
        if roles:
            operation["security"] = [{"token": []}]
            listed = " or ".join(f"`{role}`" for role in roles)
            operation["description"] = "\n\n".join(
                filter(None, [operation.get("description"), f"For tokens with the role {listed}."])
            )
        can_happen = {
            "400": takes_values,
            "401": roles,
            "403": roles,
            "404": rule.arguments,
            "408": "requestBody" in operation,
            "413": "requestBody" in operation,
            "503": True,
        }
        for status, name in zip(can_happen, _USUAL, strict=True):
            if can_happen[status]:
                answers.setdefault(status, name)

    def _complete_answers(self, operation: dict[str, Any]) -> None:
        for answer in operation["responses"].values():
            if isinstance(answer, dict):
                answer.setdefault("headers", {}).setdefault("X-Request-Id", "RequestId")
                for content in answer.get("content", {}).values():
                    for schema in self._reachable(content.get("schema", {})):
                        # marshmallow's `required` is about reading; what is written has all its fields.
                        if "properties" in schema:
                            schema.setdefault("required", sorted(schema["properties"]))

    def _asked(self, operation: dict[str, Any]) -> Iterator[dict[str, Any]]:
        for parameter in operation.get("parameters", ()):
            yield parameter.get("schema", {})
        for content in operation.get("requestBody", {}).get("content", {}).values():
            for schema in self._reachable(content["schema"]):
                yield from schema.get("properties", {}).values()

    def _reachable(self, schema: Any) -> Iterator[dict[str, Any]]:
        """This schema and all that it refers to or holds; none refers to itself."""
        if isinstance(schema, list):
            for part in schema:
                yield from self._reachable(part)
        elif isinstance(schema, dict):
            if "$ref" in schema:
                yield from self._reachable(self._spec.components.schemas[schema["$ref"].rsplit("/", 1)[1]])
            else:
                yield schema
                for part in schema.values():
                    yield from self._reachable(part)


_USUAL = ("InvalidRequest", "Unauthorised", "Forbidden", "NotFound", "Timeout", "TooLarge", "Unavailable")


def _accept_dates(schema: dict[str, Any]) -> None:
    """A timestamp that is asked for may be a date: its midnight."""
    if schema.get("format") == "date-time":
        del schema["format"]
        schema["anyOf"] = [{"format": "date"}, {"format": "date-time"}]
        schema["examples"] = ["2026-04-01", "2026-04-01T10:00:00Z"]
