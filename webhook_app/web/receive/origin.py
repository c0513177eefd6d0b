"""Where a webhook came from."""

from __future__ import annotations

from flask import request

from webhook_app.domain.text import storable
from webhook_app.usecases.receive.ingest import RequestOrigin
from webhook_app.web.requests import get_services

#: Request headers that are kept with an event: enough to find the sender's log line, no credentials.
_KEPT_HEADERS = ("User-Agent", "Content-Type", "X-Request-Id", "X-Forwarded-For", "Date", "Traceparent")


def describe_origin(*, is_vouched: bool = False) -> RequestOrigin:
    """When the present request came, from where, with which headers worth keeping; `is_vouched` is what the caller has
    found out about its sender."""
    headers = {name: storable(request.headers[name], 500) for name in _KEPT_HEADERS if name in request.headers}
    address = request.remote_addr and storable(request.remote_addr, 64)
    return RequestOrigin(get_services().clock(), address, headers, is_vouched)
