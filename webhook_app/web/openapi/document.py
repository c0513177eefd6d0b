"""`/openapi.json`: flask-smorest, which makes the document from routes and schemas, set up for our errors and rules."""

from __future__ import annotations

from flask import Flask, Response, jsonify, request
from flask_smorest import Api
from werkzeug.exceptions import HTTPException

from webhook_app import __version__
from webhook_app.config import Settings
from webhook_app.web.api.fields import Amount, Timestamp
from webhook_app.web.errors import from_http_exception
from webhook_app.web.openapi.conventions import ERRORS, HEADERS, Conventions, ErrorSchema, describe_field
from webhook_app.web.openapi.operations import TAGS, describe_plain_routes

_DESCRIPTION = """\
Receives the payment webhooks of Proof, reconciles each transaction against Proof's API, and tells what is confirmed.

Every answer has an `X-Request-Id`. Every error is a JSON object with `error`, `code` and `message`; one that blames
values of the request names them in `fields`. A query parameter that is not listed here is a 400. An unexpected fault is
a 500 `internal_error` of the same shape. Timestamps are UTC; amounts are strings, exact to the digit.

Calls under `/api/v1` need an API token, which an administrator makes with `webhook-app tokens create NAME --role ROLE`.
"""

_TOKEN = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API token. Its role decides what it may do; `admin` may do everything.",
}


class DocumentedApi(Api):  # type: ignore[misc]  # flask-smorest is not typed
    """The API and its document. flask-smorest is made to be overridden in this way."""

    ERROR_SCHEMA = ErrorSchema
    #: Each operation lists its errors; there is no catch-all.
    DEFAULT_ERROR_RESPONSE_NAME = None

    def __init__(self, app: Flask, settings: Settings) -> None:
        app.config.update(
            API_TITLE="webhook-app",
            API_VERSION=__version__,
            OPENAPI_VERSION="3.1.0",
            OPENAPI_URL_PREFIX="/",
        )
        options = {"info": {"description": _DESCRIPTION}}
        super().__init__(app, spec_kwargs={"extra_plugins": [Conventions(app)], **options})
        self.register_field(Timestamp, "string", "date-time")
        self.register_field(Amount, "string", None)
        self.ma_plugin.converter.add_attribute_function(describe_field)
        self.spec.components.security_scheme("token", _TOKEN)
        for tag in TAGS:
            self.spec.tag(tag)
        describe_plain_routes(app, self.spec, settings)

    def handle_http_exception(self, error: HTTPException) -> Response:
        return from_http_exception(error)

    def _openapi_json(self) -> Response:
        """The document; its paths are below the proxy's prefix, where there is one."""
        return jsonify({**self.spec.to_dict(), "servers": [{"url": request.script_root or "/"}]})

    def _register_responses(self) -> None:
        """Our error answers, instead of one for each HTTP status there is."""
        for name, header in HEADERS.items():
            self.spec.components.header(name, header)
        for name, response in ERRORS.items():
            self.spec.components.response(name, response, lazy=True)

    def _register_pagination_header(self) -> None:
        """None: our pages have cursors."""
