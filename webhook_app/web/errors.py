"""Errors as answers, for every way a request can fail: a page for people, and for programs JSON in Proof's own shape,
`{"error", "code", "message"}`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, jsonify
from flask_wtf.csrf import CSRFError
from marshmallow.exceptions import SCHEMA
from sqlalchemy.exc import InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from werkzeug.exceptions import HTTPException

from webhook_app.domain.text import as_sentence
from webhook_app.logs import first_line, get_logger
from webhook_app.usecases.refusals import Conflict, Missing, Refused
from webhook_app.web.content_negotiation import wants_page
from webhook_app.web.layout.error_page import error_page

log = get_logger()

#: What SQLAlchemy raises when the database cannot be reached, has become a read-only standby (InternalError), or a lock
#: is not to be had in time.
DATABASE_UNAVAILABLE = (OperationalError, InterfaceError, InternalError, PoolTimeoutError)

#: Seconds after which a caller may try again when the database is away.
RETRY_AFTER = 5

_SLUGS: Mapping[int, tuple[str, str]] = {
    400: ("invalid_request", "validation_error"),
    401: ("unauthorised", "invalid_token"),
    403: ("forbidden", "forbidden"),
    404: ("not_found", "not_found"),
    405: ("invalid_request", "method_not_allowed"),
    409: ("invalid_request", "conflict"),
    413: ("invalid_request", "too_large"),
    415: ("invalid_request", "unsupported_media_type"),
    422: ("invalid_request", "validation_error"),
}


@dataclass
class ApiError(Exception):
    """Raised anywhere in `web/` to end the request with this answer."""

    http_status: int
    error: str
    code: str
    message: str
    fields: Mapping[str, list[str]] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    is_ours: bool = True
    """Whether the message was written for this case, rather than taken from a library."""


def error_response(problem: ApiError) -> Response:
    """A page where a person asked for one, else JSON."""
    response = _as_page(problem) if wants_page() else _as_json(problem)
    response.headers.update(problem.headers)
    return response


def _as_page(problem: ApiError) -> Response:
    return error_page(problem.http_status, problem.message, is_ours=problem.is_ours)


def _as_json(problem: ApiError) -> Response:
    payload: dict[str, Any] = {"error": problem.error, "code": problem.code, "message": problem.message}
    if problem.fields:
        payload["fields"] = problem.fields
    response = jsonify(payload)
    response.status_code = problem.http_status
    return response


#: What webargs says of a body that it cannot parse.
_NO_JSON = {"json": ["Invalid JSON body."]}


def register_error_handlers(app: Flask) -> None:
    app.register_error_handler(ApiError, error_response)
    app.register_error_handler(HTTPException, from_http_exception)
    app.register_error_handler(CSRFError, _from_csrf_error)
    app.register_error_handler(Refused, _from_refusal)
    for database_error in DATABASE_UNAVAILABLE:
        app.register_error_handler(database_error, _from_database_error)
    app.register_error_handler(Exception, _unexpected)


def from_http_exception(error: HTTPException) -> Response:
    """Flask's, Werkzeug's and webargs' exceptions in our shape; invalid arguments are a 400 that names each field."""
    status = error.code or 500
    messages = getattr(error, "data", {}).get("messages")
    if status == 400 and messages == _NO_JSON:
        return error_response(
            ApiError(400, "invalid_request", "decode_error", "The body is no JSON: send a JSON object, in UTF-8.")
        )
    fields = _flat_messages(messages)
    status = 400 if status == 422 else status
    slug, code = _SLUGS.get(status, ("invalid_request", "http_error") if status < 500 else ("internal_error", "fault"))
    if fields:
        message = " ".join(f"{name}: {' '.join(texts)}" for name, texts in fields.items())
    else:
        message = (error.description or HTTPStatus(status).phrase).strip()
    headers = {name: value for name, value in error.get_headers() if name.lower() in ("allow", "retry-after")}
    return error_response(ApiError(status, slug, code, message, fields or None, headers, is_ours=bool(fields)))


def database_unavailable() -> ApiError:
    return ApiError(
        503,
        "internal_error",
        "db_error",
        f"The database cannot be reached right now. Try again in {RETRY_AFTER} seconds.",
        headers={"Retry-After": str(RETRY_AFTER)},
    )


def _from_refusal(refused: Refused) -> Response:
    """For every use case; a page that keeps what was typed into its form catches the refusal itself."""
    status = 404 if isinstance(refused, Missing) else 409 if isinstance(refused, Conflict) else 400
    message, fields = str(refused), None
    if refused.field is not None:
        message, fields = f"{refused.field}: {message}", {refused.field: [message]}
    return error_response(ApiError(status, *_SLUGS[status], message, fields))


def overloaded() -> ApiError:
    return ApiError(
        503,
        "internal_error",
        "overload",
        f"There is too much to do right now. Try again in {RETRY_AFTER} seconds.",
        headers={"Retry-After": str(RETRY_AFTER)},
    )


def _from_csrf_error(error: CSRFError) -> Response:
    log.warning("form refused", reason=error.description)
    return error_response(
        ApiError(
            400,
            "invalid_request",
            "csrf_failed",
            "This form has expired, or it did not come from this site. Nothing was changed. "
            "Go back, load the page again, and send it once more.",
        )
    )


def _from_database_error(error: Exception) -> Response:
    log.error("database unavailable", error=first_line(error))
    return error_response(database_unavailable())


def _unexpected(error: Exception) -> Response:
    log.error("unexpected error", exc_info=error)
    return error_response(
        ApiError(500, "internal_error", "fault", "Something went wrong here. Tell us the X-Request-Id of this answer.")
    )


def _flat_messages(messages: Any) -> dict[str, list[str]]:
    """marshmallow's nested messages as `{"filter.state": ["what is wrong"]}`; webargs puts the location around them."""
    flat: dict[str, list[str]] = {}
    if not isinstance(messages, dict):
        return flat
    for inner in messages.values():
        if not isinstance(inner, dict):
            return {}
        for name, texts in _by_path(inner):
            flat.setdefault(name, []).extend(texts)
    return flat


def _by_path(messages: dict[Any, Any], above: str = "") -> Iterator[tuple[str, list[str]]]:
    for name, inner in messages.items():
        path = above if name == SCHEMA and above else f"{above}.{name}" if above else str(name)
        if isinstance(inner, dict):
            yield from _by_path(inner, path)
        else:
            yield path, [as_sentence(str(text)) for text in (inner if isinstance(inner, list) else [inner])]
