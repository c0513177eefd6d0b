"""`POST /webhooks/proof[/<secret>]`: Proof's partner webhook."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence
from functools import partial
from io import BytesIO

from flask import Blueprint, Response, g, request
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from webhook_app.adapters.content_coding import TooLarge, UnreadableCoding, decode_content
from webhook_app.domain.drift import DriftSource
from webhook_app.domain.networks import read_address
from webhook_app.domain.text import storable
from webhook_app.logs import get_logger
from webhook_app.usecases.drift import Sighting
from webhook_app.usecases.receive.ingest import Accepted, ReportedEvent, RequestOrigin
from webhook_app.usecases.receive.intake import IntakeOverloaded, IntakeUnavailable, Spooled
from webhook_app.web.errors import ApiError, database_unavailable, overloaded
from webhook_app.web.forwarded import get_forwarded
from webhook_app.web.receive.deferral import BUDGET, DEFER, NOT_IN_SQL, Deferral, Unfinished, to_json
from webhook_app.web.receive.event_schema import parse_event
from webhook_app.web.receive.origin import describe_origin
from webhook_app.web.receive.traces import NO_SECRETS, WRONG_SECRET, admit, explain
from webhook_app.web.requests import get_services

log = get_logger()

#: Bytes; Proof's example has 319.
MAX_BODY = 64 * 1024

#: Where webhooks are taken.
ADDRESSES = ("/webhooks/proof", "/webhooks/proof/<secret>")

webhooks_blueprint = Blueprint("webhooks", __name__)


@webhooks_blueprint.post(ADDRESSES[0], provide_automatic_options=False)
@webhooks_blueprint.post(ADDRESSES[1], provide_automatic_options=False)
def receive(secret: str | None = None) -> Response:
    """Answers when the event is durable: 202 for a new one, 200 for a duplicate, 202 `spooled` while SQL is away.

    A server that waits for the commit itself gets its answer at once, without status and body (`deferral.py`)."""
    event, origin = read_webhook(secret, lambda: _decode_body(_read_body()))
    if NOT_IN_SQL not in request.environ:
        if DEFER in request.environ and (deferral := hand_over(event, origin)):
            request.environ[DEFER].append(deferral)
            return Unfinished()
        _note_drift(event)
    status, content = _finish(event.warnings, _take_in(event, origin))
    return Response(content, status, mimetype="application/json")


def read_webhook(secret: str | None, read_body: Callable[[], bytes]) -> tuple[ReportedEvent, RequestOrigin]:
    """What the present request reports, and where it comes from. Raises ApiError where it is refused: a sender whose
    body is not even read."""
    is_vouched = _check_sender(secret)
    return parse_event(read_body()), describe_origin(is_vouched=is_vouched)


def hand_over(event: ReportedEvent, origin: RequestOrigin) -> Deferral | None:
    """The answer to it, which waits for the commit; None while SQL is away. Waits for nothing."""
    intake = get_services().intake
    answer = intake.submit(event, origin, g.request_id)
    if answer is None:
        return None
    _note_drift(event)
    return Deferral(answer, partial(_finish, event.warnings), intake.give_up)


def _take_in(event: ReportedEvent, origin: RequestOrigin) -> Accepted | Spooled:
    """Waits until the event is durable. Raises ApiError where it cannot be."""
    intake, environ = get_services().intake, request.environ
    details = {"id": event.merchant_transaction_id, "status": event.status}
    try:
        if why := environ.get(NOT_IN_SQL):
            accepted: Accepted | Spooled = intake.spool(event, origin, why)
        else:
            accepted = intake.accept(event, origin, environ.get(BUDGET), g.request_id)
    except IntakeOverloaded as error:
        log.error("event not taken", why=str(error), **details)
        raise overloaded() from error
    except IntakeUnavailable as error:
        log.error("event not taken", why=str(error), **details)
        raise database_unavailable() from error
    if isinstance(accepted, Spooled):
        log.warning("event spooled", **details)
    return accepted


def _finish(warnings: Sequence[str], accepted: Accepted | Spooled) -> tuple[int, bytes]:
    """Status and body of the answer."""
    if isinstance(accepted, Spooled):
        return 202, to_json({"spooled": True, "warnings": list(warnings)})
    answer = {"event_id": accepted.event_id, "duplicate": accepted.duplicate, "warnings": list(warnings)}
    return 200 if accepted.duplicate else 202, to_json(answer)


def _check_sender(secret: str | None) -> bool:
    """Whether a secret or an address list vouches for the sender; without either anybody may send. Raises ApiError for
    one who may not."""
    settings = get_services().settings
    if settings.webhook_secrets:
        given = (secret or "").encode("utf-8", "surrogatepass")
        # All are compared, in constant time, so that the time tells nothing.
        if not sum(hmac.compare_digest(given, known.encode()) for known in settings.webhook_secrets):
            explain(*WRONG_SECRET)
            raise ApiError(404, "not_found", "not_found", "There is nothing here.")
    elif secret is not None:
        explain(*NO_SECRETS)
        raise ApiError(404, "not_found", "not_found", "There is nothing here.")
    if networks := settings.webhook_allowed_networks:
        address = read_address(request.remote_addr)
        if address is None or not any(address in network for network in networks):
            raise _not_from_here(address)
    return bool(settings.webhook_secrets or networks)


def _not_from_here(address: object) -> ApiError:
    who = f"the address {address}" if address else "a sender whose address is not known"
    problem = get_forwarded().sender_problem
    return ApiError(403, "forbidden", "forbidden_origin", f"Webhooks are not taken from {who}. {problem}".rstrip())


def _read_body() -> bytes:
    if (request.content_length or 0) > MAX_BODY:
        raise _too_large()
    if isinstance(whole := request.environ["wsgi.input"], BytesIO):  # our server has all of it, and so do tests
        body = whole.read(MAX_BODY + 1)
        if len(body) > MAX_BODY:
            raise _too_large()
        return body
    # One more than is taken: what comes in chunks is cut at this limit, not refused.
    request.max_content_length = MAX_BODY + 1
    try:
        body = request.get_data(cache=True)
    except RequestEntityTooLarge:
        raise _too_large() from None
    except ClientDisconnected:
        raise ApiError(400, "invalid_request", "decode_error", "The body ended before its announced length.") from None
    if len(body) > MAX_BODY:
        raise _too_large()
    return body


def _decode_body(sent: bytes) -> bytes:
    """Without the compression that nobody asked for."""
    admit(sent)
    try:
        body = decode_content(sent, request.headers.get("Content-Encoding"), MAX_BODY)
    except TooLarge:
        raise _too_large() from None
    except UnreadableCoding:
        raise ApiError(400, "invalid_request", "decode_error", "The body is compressed and cannot be read.") from None
    admit(body)
    return body


def _note_drift(event: ReportedEvent) -> None:
    if event.drift:
        services = get_services()
        request_id = storable(request.headers.get("X-Request-Id", ""), 128) or None
        seen = Sighting(event.drift, DriftSource.WEBHOOK, services.clock(), event.merchant_transaction_id, request_id)
        services.drift.note(seen)


def _too_large() -> ApiError:
    return ApiError(413, "invalid_request", "too_large", f"The body is larger than {MAX_BODY // 1024} KiB.")
