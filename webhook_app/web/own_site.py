"""Whether a form or a script of ours sent a request, as far as its browser tells."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import request


def foreign_site() -> str | None:
    """The host that the browser says the request came from, where that is not ours; None where it is, or where the
    browser does not tell.

    A host counts without its port: proxies hand it on with and without one.
    """
    origin = request.headers.get("Origin")
    source = origin if origin not in (None, "null") else request.headers.get("Referer")
    if not source:
        return None
    host = _host_of(source)
    return None if host == _host_of(f"//{request.host}") else host


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
