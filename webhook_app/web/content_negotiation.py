"""Content negotiation: HTML for a person's browser, JSON for a program."""

from __future__ import annotations

from flask import request

#: What programs call. Here errors are JSON whatever is asked for, and a bearer token, never a cookie, says who calls.
PROGRAM_PATHS = ("/api/", "/webhooks/", "/healthz", "/readyz", "/metrics", "/openapi.json")
#: Where there is an answer for both, or none at all.
_SHARED_ENDPOINTS = (None, "overview.show")


def is_program_path() -> bool:
    return request.path.startswith(PROGRAM_PATHS)


def wants_page() -> bool:
    """Whether to answer with HTML: on our pages unless JSON is preferred, elsewhere only where HTML is preferred."""
    if is_program_path():
        return False
    html = request.accept_mimetypes.quality("text/html")
    json = request.accept_mimetypes.quality("application/json")
    return html > json if request.endpoint in _SHARED_ENDPOINTS else html >= json
