"""Responses that are ready to be sent, and the errors of the bridge itself: in Proof's error shape, or, for a person,
as a small page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape
from http import HTTPStatus

from webhook_app.server.asgi import Send
from webhook_app.web.content_negotiation import PROGRAM_PATHS

Headers = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Response:
    """A whole response. With `path` its body is that file, which the server reads itself, at its client's pace."""

    status: int
    headers: Headers
    body: bytes = b""
    path: str | None = None

    async def send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        if self.path is None:
            await send({"type": "http.response.body", "body": self.body})
        else:
            await send({"type": "http.response.pathsend", "path": self.path})

    def named(self, request_id: str) -> Response:
        """The same under another `X-Request-Id`."""
        kept = [(name, value) for name, value in self.headers if name.lower() != b"x-request-id"]
        return replace(self, headers=[*kept, (b"x-request-id", request_id.encode())])


@dataclass
class RequestError(Exception):
    """Raised anywhere in `server/` to end the request with this error. `closes`: and its connection with it."""

    status: int
    error: str
    code: str
    message: str
    retry_after: int | None = None
    closes: bool = False

    def response(self, path: str = "/", accept: str = "") -> Response:
        """As a page where a person asked for one, else as JSON."""
        is_page = "text/html" in accept and not path.startswith(PROGRAM_PATHS)
        body, media_type = (self._page(), "text/html; charset=utf-8") if is_page else (self._json(), "application/json")
        headers = {"content-type": media_type, "content-length": str(len(body))}
        headers |= {"cache-control": "no-store", "x-content-type-options": "nosniff"}
        if self.retry_after is not None:
            headers["retry-after"] = str(self.retry_after)
        if self.closes:
            headers["connection"] = "close"
        return Response(self.status, [(name.encode(), value.encode()) for name, value in headers.items()], body)

    def _json(self) -> bytes:
        return json.dumps({"error": self.error, "code": self.code, "message": self.message}).encode() + b"\n"

    def _page(self) -> bytes:
        title = escape(HTTPStatus(self.status).phrase)
        head = f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>'
        return f"{head}<body><h1>{title}</h1><p>{escape(self.message)}</p></body></html>\n".encode()


def overload(message: str, retry_after: int = 5, *, closes: bool = False) -> RequestError:
    """503 `overload`: nothing is broken, there is too much at once."""
    return RequestError(503, "internal_error", "overload", message, retry_after, closes)
