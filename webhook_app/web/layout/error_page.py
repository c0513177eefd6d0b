"""Errors as pages, in the layout of all pages: what happened, and what to do."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Response, g, make_response, render_template

_TITLES: Mapping[int, str] = {
    400: "That request cannot be used",
    401: "Please log in",
    403: "You may not do that",
    404: "There is no such page",
    405: "That cannot be done here",
    413: "That is too large",
    429: "Too many attempts",
    500: "Something went wrong here",
    503: "Not available right now",
}

#: What to do where the message itself does not say it: Werkzeug's own sentences for these.
_ADVICE: Mapping[int, str] = {
    404: "Nothing is at this address. Check it, or begin at one of the pages above.",
    405: "This address does not take that kind of request. Begin at one of the pages above.",
}


def error_page(status: int, message: str, *, is_ours: bool) -> Response:
    """The page for this HTTP status. `is_ours`: the message was written for this very case."""
    title = _TITLES.get(status, "Something went wrong here" if status >= 500 else "That did not work")
    advice = message if is_ours else _ADVICE.get(status, message)
    page = render_template("error.html", title=title, status=status, message=advice, request_id=g.get("request_id"))
    return make_response(page, status)
