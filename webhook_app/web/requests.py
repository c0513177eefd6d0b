"""What every request gets: an `X-Request-Id`, and the services of this process."""

from __future__ import annotations

import uuid

import structlog
from flask import Flask, Response, current_app, g, request

from webhook_app.domain.text import storable
from webhook_app.services import Services
from webhook_app.usecases.ingest import Request

#: Request headers that are kept with an event: enough to find the sender's log line, no credentials.
_KEPT_HEADERS = ("User-Agent", "Content-Type", "X-Request-Id", "X-Forwarded-For", "Date", "Traceparent")

_EXTENSION = "webhook-app"


def bind_services(app: Flask, services: Services) -> None:
    app.extensions[_EXTENSION] = services
    app.before_request(_name_request)
    app.after_request(_show_request_id)


def get_services() -> Services:
    services: Services = current_app.extensions[_EXTENSION]
    return services


def describe_request() -> Request:
    """When the present request came, from where, with which headers worth keeping."""
    headers = {name: storable(request.headers[name], 500) for name in _KEPT_HEADERS if name in request.headers}
    return Request(get_services().clock(), request.remote_addr and storable(request.remote_addr, 64), headers)


def _name_request() -> None:
    g.request_id = uuid.uuid4().hex
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=g.request_id)


def _show_request_id(response: Response) -> Response:
    response.headers["X-Request-Id"] = g.get("request_id") or uuid.uuid4().hex
    return response
