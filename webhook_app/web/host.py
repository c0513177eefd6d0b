"""The name under which a request was sent, which its sender made up: checked, and never part of a redirect."""

from __future__ import annotations

import re
from urllib.parse import urlsplit, urlunsplit

from flask import Flask, Response, request

from webhook_app.domain.text import visible_line
from webhook_app.web.errors import ApiError

#: A name or an address, IPv6 in brackets, with a port or without. Networks of containers have names with `_`.
_HOST = re.compile(r"([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?")


def register_host_rules(app: Flask) -> None:
    app.before_request(check_host)
    app.after_request(_redirect_within)


def check_host() -> None:
    """Raises ApiError for the present request without one valid Host, but for HTTP/1.0 (RFC 9112, 3.2). Of two a server
    makes one with a comma, which is not valid."""
    environ = request.environ
    value = environ.get("HTTP_HOST")
    if value is None and environ.get("SERVER_PROTOCOL") == "HTTP/1.0":
        return
    if value is None or not _HOST.fullmatch(value):
        forwarded = [part.strip() for part in request.headers.get("X-Forwarded-Host", "").split(",")]
        header = "X-Forwarded-Host" if value and value in forwarded else "Host"
        found = "missing" if value is None else visible_line(repr(value[:200]))
        raise ApiError(
            400,
            "invalid_request",
            "invalid_host",
            f"The header {header} is {found}; it must be one name or address, with or without a port.",
        )


def _redirect_within(response: Response) -> Response:
    """No redirect of ours leads to another host, and Werkzeug's own would name the one that the sender made up."""
    location = response.headers.get("Location")
    if location is not None and re.match(r"[A-Za-z][A-Za-z0-9+.-]*:|//", location):
        parts = urlsplit(location)
        response.headers["Location"] = urlunsplit(("", "", "/" + parts.path.lstrip("/"), parts.query, parts.fragment))
    return response
