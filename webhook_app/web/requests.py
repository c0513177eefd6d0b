"""What every request gets: an `X-Request-Id`, and the services of this process."""

from __future__ import annotations

import uuid

import structlog
from flask import Flask, Response, current_app, g, request

from webhook_app.services import Services

_EXTENSION = "webhook-app"

#: Where the server puts the name that it has given the request, in the WSGI environ.
REQUEST_ID = "webhook_app.request_id"


def bind_services(app: Flask, services: Services) -> None:
    """From now on these are what the application's requests work with."""
    app.extensions[_EXTENSION] = services


def name_requests(app: Flask) -> None:
    """Each answer has an `X-Request-Id`, which the request's log lines carry too."""
    app.before_request(_name_request)
    app.after_request(_show_request_id)


def get_services() -> Services:
    services: Services = current_app.extensions[_EXTENSION]
    return services


def _name_request() -> None:
    g.request_id = request.environ.get(REQUEST_ID) or uuid.uuid4().hex
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=g.request_id)


def _show_request_id(response: Response) -> Response:
    response.headers["X-Request-Id"] = g.get("request_id") or uuid.uuid4().hex
    return response
