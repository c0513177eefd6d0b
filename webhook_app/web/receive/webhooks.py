"""`POST /webhooks/proof[/<secret>]`: Proof's partner webhook."""

from __future__ import annotations

import hmac
import ipaddress
import threading

from flask import Blueprint, Response, jsonify, request
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import ClientDisconnected, HTTPException, RequestEntityTooLarge

from webhook_app.domain.text import storable
from webhook_app.logs import first_line, get_logger
from webhook_app.usecases.receive.intake import IntakeOverloaded, IntakeUnavailable, Spooled
from webhook_app.usecases.receive.rejections import keep_rejection
from webhook_app.web.errors import ApiError, database_unavailable, overloaded
from webhook_app.web.receive.event_schema import parse_event
from webhook_app.web.receive.origin import describe_origin
from webhook_app.web.requests import get_services

log = get_logger()

#: Bytes; Proof's example has 319.
MAX_BODY = 64 * 1024

#: Where the server puts what is left of INGEST_BUDGET, seconds, in the WSGI environ: a request may have waited for its
#: thread. 0: no thread came free in time, so the event goes to the spool without a question to SQL.
BUDGET = "webhook_app.budget"

#: Refused requests that are being kept at once: it asks SQL without a budget, and the other threads are for webhooks.
MOST_KEEPERS = 4
_keepers = threading.BoundedSemaphore(MOST_KEEPERS)


webhooks_blueprint = Blueprint("webhooks", __name__)


@webhooks_blueprint.post("/webhooks/proof")
@webhooks_blueprint.post("/webhooks/proof/<secret>")
def receive(secret: str | None = None) -> tuple[Response, int]:
    """Answers when the event is durable: 202 for a new one, 200 for a duplicate, 202 `spooled` while SQL is away."""
    # One more than is taken: what comes in chunks is cut at this limit, not refused.
    request.max_content_length = MAX_BODY + 1
    try:
        _check_sender(secret)
        event = parse_event(_read_body())
    except ApiError as problem:
        _reject(problem)
        raise
    services = get_services()
    details = {"id": event.merchant_transaction_id, "status": event.status}
    try:
        accepted = services.intake.accept(event, describe_origin(), request.environ.get(BUDGET))
    except IntakeOverloaded as error:
        log.error("event not taken", why=str(error), **details)
        raise overloaded() from error
    except IntakeUnavailable as error:
        log.error("event not taken", why=str(error), **details)
        raise database_unavailable() from error
    if isinstance(accepted, Spooled):
        log.warning("event spooled", **details)
        return jsonify({"spooled": True, "warnings": list(event.warnings)}), 202
    if not accepted.duplicate:
        services.waker.wake()
    log.info("event duplicate" if accepted.duplicate else "event accepted", event_id=accepted.event_id, **details)
    answer = {"event_id": accepted.event_id, "duplicate": accepted.duplicate, "warnings": list(event.warnings)}
    return jsonify(answer), 200 if accepted.duplicate else 202


def _check_sender(secret: str | None) -> None:
    settings = get_services().settings
    if settings.webhook_secrets:
        given = (secret or "").encode("utf-8", "surrogatepass")
        # All are compared, in constant time, so that the time tells nothing.
        if not sum(hmac.compare_digest(given, known.encode()) for known in settings.webhook_secrets):
            raise ApiError(404, "not_found", "not_found", "There is nothing here.")
    elif secret is not None:
        raise ApiError(404, "not_found", "not_found", "There is nothing here.")
    networks = settings.webhook_allowed_networks
    if networks and not any(_sender_address() in network for network in networks):
        raise ApiError(
            403, "forbidden", "forbidden_origin", f"Webhooks are not taken from the address {request.remote_addr}."
        )


def _sender_address() -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        address = ipaddress.ip_address(request.remote_addr or "")
    except ValueError:
        raise ApiError(403, "forbidden", "forbidden_origin", "The sender's address is not known.") from None
    # A dual-stack socket shows IPv4 senders as ::ffff:a.b.c.d.
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address


def _read_body() -> bytes:
    if (request.content_length or 0) > MAX_BODY:
        raise _too_large()
    try:
        body = request.get_data(cache=True)
    except RequestEntityTooLarge:
        raise _too_large() from None
    except ClientDisconnected:
        raise ApiError(400, "invalid_request", "decode_error", "The body ended before its announced length.") from None
    if len(body) > MAX_BODY:
        raise _too_large()
    return body


def _too_large() -> ApiError:
    return ApiError(413, "invalid_request", "too_large", f"The body is larger than {MAX_BODY // 1024} KiB.")


def _reject(problem: ApiError) -> None:
    """Logs and keeps the refused request; that it is refused does not depend on whether it can be kept."""
    try:
        body = request.get_data(cache=True)
    except HTTPException:  # too large, or cut off
        body = b""
    log.warning("event rejected", code=problem.code, reason=problem.message, remote_addr=request.remote_addr)
    if request.environ.get(BUDGET) == 0 or not _keepers.acquire(blocking=False):
        log.warning("rejected request not kept", error="too many requests wait for the database")
        return
    try:
        keep_rejection(
            get_services().database,
            describe_origin(),
            http_status=problem.http_status,
            error=problem.error,
            code=problem.code,
            message=storable(problem.message, 500),
            body=body,
            body_size=request.content_length or len(body),
        )
    except SQLAlchemyError as error:
        log.warning("rejected request not kept", error=first_line(error))
    finally:
        _keepers.release()
