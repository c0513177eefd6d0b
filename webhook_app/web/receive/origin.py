"""Where a webhook came from."""

from __future__ import annotations

from flask import request

from webhook_app.domain.text import storable
from webhook_app.tracing import TRACEPARENT, current_traceparent
from webhook_app.usecases.receive.ingest import RequestOrigin
from webhook_app.web.requests import get_services

#: Request headers that are kept with an event, with their keys in WSGI's environ: enough to find the sender's log line,
#: no credentials.
_KEPT_HEADERS = {
    "User-Agent": "HTTP_USER_AGENT",
    "Content-Type": "CONTENT_TYPE",
    "X-Request-Id": "HTTP_X_REQUEST_ID",
    "X-Forwarded-For": "HTTP_X_FORWARDED_FOR",
    "Date": "HTTP_DATE",
    TRACEPARENT: "HTTP_TRACEPARENT",
}


def describe_origin(*, is_vouched: bool = False) -> RequestOrigin:
    """When the present request came, from where, with which headers worth keeping; `is_vouched` is what the caller has
    found out about its sender."""
    environ = request.environ
    headers = {name: storable(environ[key], 500) for name, key in _KEPT_HEADERS.items() if key in environ}
    if traceparent := current_traceparent():  # ours, by which the trace goes on; else the sender's, for its log
        headers[TRACEPARENT] = traceparent
    address = environ.get("REMOTE_ADDR")
    address = address and storable(address, 64)
    return RequestOrigin(get_services().clock(), address, headers, is_vouched)
