"""The present address, changed: what links within a list lead to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from flask import request, url_for

from webhook_app.web.local_path import outer_path


def url_of(endpoint: str, query: Mapping[str, str], **arguments: Any) -> str:
    """The address of a page with that query; `arguments` are those in its path."""
    path = url_for(endpoint, **arguments)
    return f"{path}?{urlencode(query)}" if query else path


def url_with(**changes: object) -> str:
    """The present address with these query parameters set; None takes one away."""
    query = {**request.args.to_dict(), **changes}
    kept = {name: value for name, value in query.items() if value not in (None, "")}
    path = outer_path(request.path)
    return f"{path}?{urlencode(kept)}" if kept else path
