"""The sandbox's Flask application, control API and pages, and the bridge from the HTTP server to it."""

from __future__ import annotations

import io
import ipaddress
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from urllib.parse import urlsplit

from flask import Flask, Response, jsonify, make_response, render_template, request
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as WsgiResponse

from webhook_app.sandbox.answers import Answer, Request
from webhook_app.sandbox.api import PREFIX, ProofApi
from webhook_app.sandbox.control_api import control_api
from webhook_app.sandbox.pages import pages
from webhook_app.sandbox.transactions import TransactionExists
from webhook_app.sandbox.world import NotPossible, World

#: Headers the server writes itself.
_SERVER_HEADERS = frozenset({"content-type", "content-length", "connection", "date", "transfer-encoding"})


def create_app(world: World) -> Flask:
    app = Flask(__name__)
    app.extensions["world"] = world
    app.register_blueprint(control_api)
    app.register_blueprint(pages)
    app.before_request(_refuse_other_origins)
    app.after_request(_add_headers)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(ValueError, lambda error: _error(400, "invalid_request", str(error)))
    app.register_error_handler(KeyError, lambda error: _error(404, "not_found", f"there is no {error}"))
    app.register_error_handler(NotPossible, lambda error: _error(409, "conflict", str(error)))
    app.register_error_handler(TransactionExists, lambda error: _error(409, "conflict", f"{error} exists already"))
    return app


def responder(world: World) -> Callable[[Request, str], Answer]:
    """Answers every request that reaches the server: Proof's API itself, all the rest through Flask."""
    api, app = ProofApi(world), create_app(world)

    def respond(incoming: Request, request_id: str) -> Answer:
        if not incoming.path.startswith(PREFIX):
            return _through_flask(app, incoming)
        return api.answer(incoming, request_id)

    return respond


def call_counter(world: World) -> Callable[[Request], AbstractContextManager[None]]:
    """Counts a call of Proof's API as under way until its answer has left."""

    def around(incoming: Request) -> AbstractContextManager[None]:
        return world.calls.under_way() if incoming.path.startswith(PREFIX) else nullcontext()

    return around


def _through_flask(app: Flask, incoming: Request) -> Answer:
    environ = {
        "REQUEST_METHOD": incoming.method,
        "SCRIPT_NAME": "",
        # WSGI wants the bytes of the path as Latin-1 (PEP 3333).
        "PATH_INFO": incoming.path.encode().decode("latin-1"),
        "QUERY_STRING": incoming.query,
        "SERVER_NAME": "sandbox",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_LENGTH": str(len(incoming.body)),
        "CONTENT_TYPE": incoming.headers.get("content-type", ""),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(incoming.body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in incoming.headers.items():
        environ.setdefault("HTTP_" + name.upper().replace("-", "_"), value)
    response = WsgiResponse.from_app(app, environ, buffered=True)
    headers = tuple((name, value) for name, value in response.headers if name.lower() not in _SERVER_HEADERS)
    return Answer(response.status_code, response.get_data(), response.headers.get("Content-Type", ""), headers)


def _refuse_other_origins() -> Response | None:
    """The sandbox has no log-in, so a page of another site must not be able to press its buttons.

    Refuses writes that a browser marks as coming from elsewhere, and, against a name that somebody points at our
    address (DNS rebinding), hosts that are names; addresses and `localhost` cannot be pointed anywhere.
    """
    host = request.host.rpartition(":")[0] if request.host.rpartition(":")[2].isdigit() else request.host
    if not _is_address(host.strip("[]")) and "." in host and not host.endswith(".localhost"):
        return _error(403, "forbidden", "the sandbox is reached by its address or as localhost")
    if request.method in ("GET", "HEAD", "OPTIONS"):
        return None
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site not in (None, "same-origin", "none") or (origin is not None and urlsplit(origin).netloc != request.host):
        return _error(403, "forbidden", "requests from other sites are refused")
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
    status, message = error.code or 500, error.description or error.name
    if request.path.startswith("/sandbox/"):
        return _error(status, "not_found" if status == 404 else "invalid_request", message)
    return make_response(render_template("error.html", status=f"{status} {error.name}", message=message), status)


def _error(status: int, error: str, message: str) -> Response:
    response = jsonify({"error": error, "code": error, "message": message})
    response.status_code = status
    return response
