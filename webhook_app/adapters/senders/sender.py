"""What all senders share."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from typing import Any, Protocol
from urllib.parse import unquote

from urllib3.util import make_headers, parse_url

from webhook_app.adapters.bounded_http import Server, call_until
from webhook_app.domain.causes import name_cause
from webhook_app.domain.notices import Notice

#: Seconds that one notice may take over HTTP, the search for the address included.
PATIENCE = 10.0
#: Over any way: many a mail server makes a stranger wait before it greets.
LONGEST_PATIENCE = 30.0


class NotSent(Exception):
    """Why a notice did not go out, in words without any secret."""


class Sender(Protocol):
    @property
    def name(self) -> str: ...

    def send(self, notice: Notice) -> None: ...


def send_to_all(senders: Mapping[str, Sender], notice: Notice) -> Mapping[str, str | None]:
    """The same notice to all at the same time. Why it did not arrive, by the recipient's name; None where it did."""

    def send(sender: Sender) -> str | None:
        try:
            sender.send(notice)
        except NotSent as error:
            return str(error)
        return None

    with ThreadPoolExecutor(max(len(senders), 1)) as pool:
        return dict(zip(senders, pool.map(send, senders.values()), strict=True))


def post_json(
    url: str,
    body: Mapping[str, Any] | bytes,
    *,
    may_be_private: bool,
    headers: Mapping[str, str] | None = None,
) -> None:
    """Any 2xx will do. Raises NotSent; never says the address, which may hold a secret."""
    encoded = body if isinstance(body, bytes) else json.dumps(body).encode()
    ask(url, "POST", encoded, {"Content-Type": "application/json", **(headers or {})}, may_be_private)


def ask(
    url: str,
    method: str,
    body: bytes | None,
    headers: Mapping[str, str],
    may_be_private: bool,
    patience: float = PATIENCE,
) -> None:
    """One request, without redirects, on a connection of its own. Raises NotSent where the answer is no 2xx."""
    parts = parse_url(url)
    assert parts.scheme is not None, "checked with the configuration"
    assert parts.host is not None
    server = Server(parts.scheme, parts.host, parts.port, 0, may_be_private=may_be_private)
    try:
        more = make_headers(basic_auth=unquote(parts.auth)) if parts.auth else {}
        with (
            call_until(time.monotonic() + patience),
            server.call(
                method,
                parts.request_uri,
                {"User-Agent": "webhook-app", **headers, **more},
                body,
                connect_timeout=patience,
                read_timeout=patience,
            ) as answer,
        ):
            status = answer.status
    except (HTTPException, OSError, ValueError) as error:
        raise NotSent(_why(error)) from error
    if not 200 <= status < 300:
        raise NotSent(f"HTTP {status}")


def _why(error: Exception) -> str:
    """The system's words where there are some. What cannot be sent may hold a secret."""
    if isinstance(error, ValueError) and not isinstance(error, OSError):
        return "the address cannot be asked for"
    is_named = isinstance(error, TimeoutError) or (isinstance(error, OSError) and error.strerror)
    return name_cause(error) if is_named else str(error)[:100] or name_cause(error)
