"""`POST /api/v1/sessions`: opens a widget session at Proof for the partner's backend, and watches its transaction."""

from __future__ import annotations

from typing import Any, ClassVar

from flask import Response, request
from flask_smorest import Blueprint
from marshmallow import INCLUDE, Schema, fields, validate

from webhook_app.config import ConfigurationError
from webhook_app.domain.failures import INVALID_RESPONSE, TIMEOUT, UNRECOGNISED, Failure
from webhook_app.domain.money import parse_amount
from webhook_app.domain.proof_values import TYPES
from webhook_app.domain.text import storable
from webhook_app.usecases.channels.idempotency import KeyTaken, OutcomeUnknown
from webhook_app.usecases.channels.sessions import OpenedSession, SessionOrder, SqlAway
from webhook_app.usecases.reconcile.watches import Watch
from webhook_app.web.api.auth import PARTNERS, calling_actor, token_auth
from webhook_app.web.errors import RETRY_AFTER, ApiError, database_unavailable
from webhook_app.web.requests import get_services

#: What of Proof's answer goes into headers of ours.
PROOF_REQUEST_ID = "X-Proof-Request-Id"
WARNING = "X-Warning"

_NO_CLIENT_IP = (
    "client_ip is missing: send the end user's address, for it is part of Proof's signature and fraud checks"
)
_NOT_WATCHED = "the transaction is not watched, for neither SQL nor the spool took it: watch it yourself"

sessions_blueprint = Blueprint(
    "sessions", __name__, url_prefix="/api/v1/sessions", description="Widget sessions, opened through us"
)


def _told(example: str, description: str = "") -> fields.Raw:
    """A field that Proof judges, not we."""
    described = {"description": description} if description else {}
    return fields.Raw(metadata={"type": "string", "examples": [example]} | described)


class SessionOrderSchema(Schema):
    """What Proof's `POST /widget/session` takes; it goes there as it is, other fields too, and Proof judges it."""

    class Meta:
        unknown = INCLUDE

    json_schema: ClassVar[dict[str, Any]] = {
        "additionalProperties": True,
        "required": ["partner_user_id", "user_email", "network", "currency", "amount"],
    }

    partner_user_id = _told("user-123")
    user_email = _told("user@example.com")
    currency = _told("USDT")
    network = _told("TRC20")
    amount = _told("100", "A decimal number: of fiat for a buy, of crypto for a sell.")
    type = _told("buy", "`buy` or `sell`.")
    client_ip = _told("203.0.113.42", "The end user's address. Without it the answer has a warning.")
    redirect_url = _told("https://partner.example/back")
    address = _told("TQ5NMqJjhpQGK7YJbESKvnnH94nBeMGwQf")


class SessionHeadersSchema(Schema):
    """A key of the caller's: the same one with the same body opens no second session."""

    key = fields.String(
        data_key="Idempotency-Key",
        # With a comma it may be two headers (RFC 9110, 5.3): which of them counts cannot be told.
        validate=validate.Regexp(
            r"\A[!-+\--~]{1,255}\Z", error="Must be one, of 1 to 255 visible ASCII characters, no blanks or commas."
        ),
        metadata={"description": "Made anew for each session, such as a UUID. Its answer is kept for an hour."},
    )


_ANSWER = {
    "description": "Proof's answer, byte for byte.",
    "headers": {
        PROOF_REQUEST_ID: {"description": "Proof's `X-Request-Id`.", "schema": {"type": "string"}},
        WARNING: {"description": "What is amiss, such as a missing `client_ip`.", "schema": {"type": "string"}},
    },
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["merchant_transaction_id"],
                "properties": {"merchant_transaction_id": {"type": "string"}},
            }
        }
    },
}


@sessions_blueprint.post("")
@token_auth.login_required(role=PARTNERS)
@sessions_blueprint.arguments(SessionHeadersSchema, location="headers")
@sessions_blueprint.arguments(SessionOrderSchema)
@sessions_blueprint.doc(responses={"200": _ANSWER})
@sessions_blueprint.alt_response(400, response="InvalidRequest")
@sessions_blueprint.alt_response(404, response="ProofRefuses")
@sessions_blueprint.alt_response(409, response="Conflict")
@sessions_blueprint.alt_response(422, response="ProofRefuses")
@sessions_blueprint.alt_response(429, response="ProofRefuses")
@sessions_blueprint.alt_response(500, response="ProofRefuses")
@sessions_blueprint.alt_response(502, response="ProofRefuses")
@sessions_blueprint.alt_response(504, response="ProofRefuses")
def open_session(headers: dict[str, Any], told: dict[str, Any]) -> Response:
    """Opens a session at Proof and passes its answer back; the transaction is watched before that.

    What Proof asks its clients to retry is retried. Proof's errors come with their status, `error`, `code` and
    `X-Proof-Request-Id`; a 401 or 403 of Proof's, which is about our token or address, becomes a 502.
    """
    body = request.get_data()
    if not body.strip():
        raise ApiError(400, "invalid_request", "decode_error", "The body is empty: send a JSON object.")
    order = SessionOrder(body, calling_actor().name, _read_watch(told), _has_text(told, "client_ip"))
    try:
        result = get_services().sessions.open(order, headers.get("key"))
    except KeyTaken as refused:
        raise ApiError(409, "invalid_request", "key_taken", str(refused)) from refused
    except OutcomeUnknown as refused:
        raise ApiError(409, "invalid_request", "outcome_unknown", str(refused)) from refused
    except SqlAway as away:
        raise database_unavailable() from away
    except ConfigurationError as problem:
        raise ApiError(500, "internal_error", "not_configured", str(problem)) from problem
    if isinstance(result, Failure):
        raise _pass_on(result)
    return _answer(result, has_client_ip=order.has_client_ip)


def _answer(opened: OpenedSession, *, has_client_ip: bool) -> Response:
    response = Response(opened.body, mimetype="application/json")
    response.headers["Cache-Control"] = "no-store"
    if opened.request_id:
        response.headers[PROOF_REQUEST_ID] = opened.request_id
    warnings = [*([] if has_client_ip else [_NO_CLIENT_IP]), *([] if opened.is_watched else [_NOT_WATCHED])]
    if warnings:
        response.headers[WARNING] = "; ".join(warnings)
    return response


def _pass_on(failure: Failure) -> ApiError:
    """Proof's error as ours. Its status is passed on where it says something of the request; one about our token or
    address, or that is no answer of Proof's at all, says that we are a bad gateway (RFC 9110, 15.6.3)."""
    status = failure.http_status or (504 if failure.code == TIMEOUT else 502)
    is_word_of_proof = failure.error != UNRECOGNISED and failure.code != INVALID_RESPONSE
    if not is_word_of_proof or status < 400 or status in (401, 403):
        status = 502
    elif status not in (400, 404, 409, 422, 429, 500, 502, 503, 504):
        status = 400 if status < 500 else 502
    headers = {PROOF_REQUEST_ID: failure.request_id} if failure.request_id else {}
    if status in (429, 503) or failure.retry_after:
        headers["Retry-After"] = str(max(1, round(failure.retry_after or RETRY_AFTER)))
    return ApiError(status, failure.error, failure.code, failure.message or "Proof refused it.", headers=headers)


def _read_watch(told: dict[str, Any]) -> Watch:
    """What of the request is known of the transaction, as far as it can be stored: Proof judges it, not we."""
    kind = _text(told, "type", 32) or "buy"
    try:
        amount = parse_amount(told.get("amount"))
    except ValueError:
        amount = None
    is_sell = kind == "sell"
    return Watch(
        "",
        partner_user_id=_text(told, "partner_user_id", 128),
        type=kind if kind in TYPES else None,
        currency=_text(told, "currency", 32),
        network=_text(told, "network", 64),
        crypto_amount=amount if is_sell else None,
        fiat_amount=None if is_sell else amount,
    )


def _text(told: dict[str, Any], name: str, limit: int) -> str | None:
    value = told.get(name)
    return storable(value, limit) if isinstance(value, str) and value else None


def _has_text(told: dict[str, Any], name: str) -> bool:
    value = told.get(name)
    return isinstance(value, str) and bool(value.strip())
