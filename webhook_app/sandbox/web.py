"""The sandbox's Flask application, control API and pages, and the bridge from the HTTP server to it."""

from __future__ import annotations

import io
import ipaddress
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit
from wsgiref.util import setup_testing_defaults

from flask import Flask, Response, make_response, render_template, request
from flask.json.provider import DefaultJSONProvider
from marshmallow import ValidationError
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as WsgiResponse

from webhook_app.sandbox.answers import HttpAnswer, HttpRequest
from webhook_app.sandbox.api import PREFIX, WEBSOCKET, ProofApi
from webhook_app.sandbox.control_api import WORLD, control_api
from webhook_app.sandbox.fault_pages import fault_pages
from webhook_app.sandbox.json_values import jsonable
from webhook_app.sandbox.pages import pages
from webhook_app.sandbox.schemas import first_problem
from webhook_app.sandbox.transactions import TransactionExists, UnknownTransaction
from webhook_app.sandbox.world import NotPossible, World

#: Headers the server writes itself.
_SERVER_HEADERS = frozenset({"content-type", "content-length", "connection", "date", "transfer-encoding"})


class _JsonProvider(DefaultJSONProvider):
    default = staticmethod(jsonable)


@cache
def _application() -> Flask:
    """One for all sandboxes of a process; each request carries its own sandbox's world."""
    app = Flask(__name__)
    app.json = _JsonProvider(app)
    app.register_blueprint(control_api)
    app.register_blueprint(pages)
    app.register_blueprint(fault_pages)
    app.before_request(_refuse_other_origins)
    app.after_request(_add_headers)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(ValidationError, lambda error: _problem(400, first_problem(error)))
    app.register_error_handler(ValueError, lambda error: _problem(400, str(error)))
    app.register_error_handler(UnknownTransaction, lambda error: _problem(404, f"There is no transaction {error}."))
    app.register_error_handler(NotPossible, lambda error: _problem(409, str(error)))
    app.register_error_handler(TransactionExists, lambda error: _problem(409, f"{error} exists already."))
    return app


def responder(world: World) -> Callable[[HttpRequest, str], AbstractContextManager[HttpAnswer]]:
    """Answers every request that reaches the server: Proof's API itself, all the rest through Flask."""
    api = ProofApi(world)

    @contextmanager
    def respond(incoming: HttpRequest, request_id: str) -> Iterator[HttpAnswer]:
        if incoming.path == WEBSOCKET:
            yield api.answer(incoming, request_id)  # which lasts, and is no call under way
            return
        if not incoming.path.startswith(PREFIX):
            yield _through_flask(world, incoming)
            return
        with world.calls.under_way():
            yield api.answer(incoming, request_id)

    return respond


def _through_flask(world: World, incoming: HttpRequest) -> HttpAnswer:
    environ: dict[str, Any] = {
        "REQUEST_METHOD": incoming.method,
        "SCRIPT_NAME": "",
        # WSGI wants the bytes of the path as Latin-1 (PEP 3333).
        "PATH_INFO": incoming.path.encode().decode("latin-1"),
        "QUERY_STRING": incoming.query,
        "CONTENT_LENGTH": str(len(incoming.body)),
        "CONTENT_TYPE": incoming.headers.get("content-type", ""),
        "wsgi.input": io.BytesIO(incoming.body),
        WORLD: world,
        **{f"HTTP_{name.upper().replace('-', '_')}": value for name, value in incoming.headers.items()},
    }
    setup_testing_defaults(environ)  # what else PEP 3333 asks for
    response = WsgiResponse.from_app(_application(), environ, buffered=True)
    headers = tuple((name, value) for name, value in response.headers if name.lower() not in _SERVER_HEADERS)
    return HttpAnswer(response.status_code, response.get_data(), response.headers.get("Content-Type", ""), headers)


def _refuse_other_origins() -> Response | None:
    """The sandbox has no log-in, so a page of another site must not be able to press its buttons.

    Refuses writes that a browser marks as coming from elsewhere, and, against a name that somebody points at our
    address (DNS rebinding), hosts that are names; addresses and `localhost` cannot be pointed anywhere.
    """
    host = request.host.rpartition(":")[0] if request.host.rpartition(":")[2].isdigit() else request.host
    if not _is_address(host.strip("[]")) and "." in host and not host.endswith(".localhost"):
        return _problem(403, "The sandbox is reached by its address or as localhost.")
    if request.method in ("GET", "HEAD", "OPTIONS"):
        return None
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site not in (None, "same-origin", "none") or (origin is not None and urlsplit(origin).netloc != request.host):
        return _problem(403, "Requests from other sites are refused.")
    return None


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _add_headers(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = (
        "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    )
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["Cache-Control"] = "no-store"
    return response


def _http_error(error: HTTPException) -> Response:
    """In our words where nobody has put it in better ones."""
    words = _WORDS.get(error.code or 500) if error.description == type(error).description else None
    return _problem(error.code or 500, words or error.description or error.name)


_WORDS = {404: "The sandbox has no such page or route.", 405: "This route does not know this method."}


#: `error` and `code` by status; `invalid_request` for all others.
_ERRORS = {403: "forbidden", 404: "not_found", 409: "conflict", 500: "internal_error"}


def _problem(status: int, message: str) -> Response:
    """In Proof's shape below `/sandbox/`, else a page."""
    if request.path.startswith("/sandbox/"):
        error = _ERRORS.get(status, "invalid_request")
        return make_response({"error": error, "code": error, "message": message}, status)
    title = f"{status} {HTTPStatus(status).phrase}"
    return make_response(render_template("error.html", status=title, message=message), status)
