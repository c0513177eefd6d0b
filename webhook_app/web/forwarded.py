"""What our proxies say of a request: its sender, scheme, host and prefix, from their `X-Forwarded-…` headers.

WSGI middleware. A value is believed only as far as TRUSTED_PROXY_HOPS reaches; what cannot be read is not guessed at,
but kept as a sentence for the code that has to refuse the request.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from flask import Flask, request

from webhook_app.domain.networks import read_forwarded_address
from webhook_app.domain.text import storable
from webhook_app.web.content_negotiation import is_program_path
from webhook_app.web.errors import ApiError

WsgiApplication = Callable[[dict[str, Any], Any], Iterable[bytes]]

_KEY = "webhook_app.forwarded"
#: A path that stands before all of ours: segments of plain characters, none of them `.` or `..`.
_PREFIX = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~-]+)+")
#: Characters of a header that are shown to the person who has to correct it.
_MOST_SHOWN = 64


@dataclass(frozen=True)
class Forwarded:
    """`peer`: the address that the connection came from, which is our proxy's where one is in front."""

    peer: str
    senders: int
    """Entries of X-Forwarded-For."""
    sender_problem: str = ""
    prefix_problem: str = ""


def believe_proxies(app: Flask, hops: int) -> None:
    """Puts what `hops` proxies say in the place of what the server saw. With 0 nothing is believed."""
    wsgi: Any = _believing(Forwarding(hops), app.wsgi_app)
    app.wsgi_app = wsgi  # type: ignore[method-assign]  # Flask's documented way to add middleware
    app.before_request(_refuse_bad_prefix)


def get_forwarded() -> Forwarded:
    """Of the present request."""
    forwarded: Forwarded = request.environ[_KEY]
    return forwarded


def peer_address(environ: Mapping[str, Any]) -> str:
    """Where the connection of this WSGI environ came from."""
    forwarded: Forwarded | None = environ.get(_KEY)
    return forwarded.peer if forwarded else str(environ.get("REMOTE_ADDR"))


def _believing(forwarding: Forwarding, application: WsgiApplication) -> WsgiApplication:
    def handle(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        forwarding.believe(environ)
        return application(environ, start_response)

    return handle


class Forwarding:
    """What `hops` proxies, TRUSTED_PROXY_HOPS, are believed."""

    def __init__(self, hops: int) -> None:
        self._hops = hops

    def believe(self, environ: dict[str, Any]) -> None:
        """Puts it in the place of what the server saw, and keeps what is wrong with it for `get_forwarded`."""
        peer = str(environ.get("REMOTE_ADDR") or "")
        senders = _entries(environ, "FOR")
        sender_problem = self._read_sender(environ, senders)
        prefix_problem = self._read_rest(environ) if self._hops else ""
        environ[_KEY] = Forwarded(peer, len(senders), sender_problem, prefix_problem)

    def _read_sender(self, environ: dict[str, Any], senders: list[str]) -> str:
        """Sets REMOTE_ADDR, which is empty where it cannot be read; what is wrong with the header, if anything."""
        if not self._hops:
            return "X-Forwarded-For is there, but TRUSTED_PROXY_HOPS is 0, so it does not count." if senders else ""
        if len(senders) < self._hops:
            count = f"{len(senders)} address{'' if len(senders) == 1 else 'es'}"
            return (
                f"X-Forwarded-For has {count}, but TRUSTED_PROXY_HOPS is {self._hops}: each of these proxies must add "
                "the address that called it."
            )
        address = read_forwarded_address(senders[-self._hops])
        if address is None:
            environ["REMOTE_ADDR"] = ""
            return (
                f"X-Forwarded-For names `{_shown(senders[-self._hops])}` as the sender, which is no IP address "
                f"(TRUSTED_PROXY_HOPS is {self._hops})."
            )
        environ["REMOTE_ADDR"] = str(address)
        return ""

    def _read_rest(self, environ: dict[str, Any]) -> str:
        """Sets scheme, host and SCRIPT_NAME; what is wrong with the prefix, if anything."""
        scheme = self._believed(environ, "PROTO").lower()
        if scheme in ("http", "https"):
            environ["wsgi.url_scheme"] = scheme
        if host := self._believed(environ, "HOST"):
            environ["HTTP_HOST"] = host
        prefix = self._believed(environ, "PREFIX").rstrip("/")
        if not prefix:
            return ""
        if not _PREFIX.fullmatch(prefix):
            return f"X-Forwarded-Prefix is `{_shown(prefix)}`, but it must be a path, such as /proof."
        environ["SCRIPT_NAME"] = prefix
        return ""

    def _believed(self, environ: dict[str, Any], name: str) -> str:
        """The value of the outermost proxy that is ours; most proxies hand one value on and add none."""
        values = _entries(environ, name)
        return values[-min(self._hops, len(values))] if values else ""


def _entries(environ: dict[str, Any], name: str) -> list[str]:
    """A list header's values; empty ones do not count (RFC 9110, section 5.6.1.2)."""
    return [part.strip() for part in str(environ.get(f"HTTP_X_FORWARDED_{name}", "")).split(",") if part.strip()]


def _shown(text: str) -> str:
    return storable(text, _MOST_SHOWN)


def _refuse_bad_prefix() -> None:
    """Pages would lead nowhere under it. What programs call has no links."""
    problem = get_forwarded().prefix_problem
    if problem and not is_program_path():
        raise ApiError(400, "invalid_request", "validation_error", f"{problem} The proxy in front sends it.")
