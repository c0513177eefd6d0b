"""What every answer gets on its way out: headers that keep browsers from doing what our pages never ask for, and no
character in a page that changes what is seen of others."""

from __future__ import annotations

from flask import Flask, Response, request

from webhook_app.domain.text import visible

#: Everything from here, nothing inline. `data:` is for the marks in Bootstrap's form controls.
STRICT = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def register_page_headers(app: Flask) -> None:
    app.after_request(_add_headers)
    app.after_request(_make_visible)


def _add_headers(response: Response) -> Response:
    headers = response.headers
    headers.setdefault("X-Content-Type-Options", "nosniff")
    if response.mimetype == "text/html":
        headers.setdefault("Content-Security-Policy", STRICT)
        headers.setdefault("Referrer-Policy", "same-origin")
        headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
        headers.setdefault("X-Frame-Options", "DENY")
    # What was shown to who was logged in is not to be had by "back" after the log-out, nor from a proxy in between.
    if request.path.startswith("/api/") or "Cache-Control" not in headers:
        headers["Cache-Control"] = "no-store"
    return response


def _make_visible(response: Response) -> Response:
    """Control and bidirectional characters of whatever text is in a page are spelled out, as in `\\u202e`: so they read
    in a script, too."""
    if response.mimetype == "text/html" and not response.is_streamed:
        page = response.get_data(as_text=True)
        shown = visible(page)
        if shown != page:
            response.set_data(shown)
    return response
