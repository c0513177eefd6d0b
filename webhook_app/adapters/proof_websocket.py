"""The client of Proof's WebSocket: one connection in, its messages out; why there is none, as one sentence."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidStatus, InvalidURI, WebSocketException
from websockets.http11 import Response
from websockets.typing import Origin

from webhook_app import __version__
from webhook_app.adapters.client_tokens import ClientTokens
from webhook_app.domain.causes import name_cause
from webhook_app.domain.text import storable
from webhook_app.domain.websocket_address import WebSocketAddress

#: Bytes of one message; Proof's example has 310. A larger one ends its connection.
MAX_MESSAGE = 64 * 1024
#: Messages that wait to be taken in before nothing more is read.
_MAX_QUEUE = 16
#: Seconds that the other side is given to answer that the connection closes.
_CLOSE_TIMEOUT = 2.0
_MAX_REASON = 200


class NotOpened(Exception):
    """There is no connection. The message says why, with no token in it."""

    def __init__(self, message: str, http_status: int | None = None) -> None:
        super().__init__(message)
        self.http_status = http_status
        """Proof's refusal; None where there was no answer."""


class _Connect(connect):
    def process_redirect(self, exc: Exception) -> Exception | str:
        """None is followed: it would take the token elsewhere."""
        return exc


class ProofWebSocket:
    """Opens connections to Proof's WebSocket, safe to share among tasks of one event loop.

    Opening takes at most `open_timeout` seconds, whatever is on the way. A connection that answers no ping within
    `ping_seconds`, sent as often, counts as dead.
    """

    def __init__(
        self,
        address: WebSocketAddress,
        tokens: Sequence[str],
        *,
        origin: str | None,
        open_timeout: float,
        ping_seconds: float,
    ) -> None:
        self.address = address
        self._tokens = ClientTokens(tokens)
        self._origin = origin
        self._open_timeout = open_timeout
        self._ping_seconds = ping_seconds
        self._tls = ssl.create_default_context() if address.template.startswith("wss:") else None

    @asynccontextmanager
    async def open(self, topic: str) -> AsyncIterator[ClientConnection]:
        """A connection about that topic, closed at the end of the block. Raises NotOpened."""
        connection = await self._open(topic)
        try:
            yield connection
        finally:
            await connection.close()

    def hide(self, text: str) -> str:
        """The text with no token in it."""
        return self._tokens.hide(text)

    async def _open(self, topic: str) -> ClientConnection:
        """A token that is refused with 401 is followed by the next, as with any call to Proof."""
        refused: NotOpened | None = None
        for token in self._tokens.in_order():
            try:
                connection = await self._open_with(topic, token)
            except NotOpened as error:
                if error.http_status != 401:
                    raise
                refused = error
            else:
                self._tokens.accept(token)
                return connection
        assert refused is not None, "there is at least one token"
        raise refused

    async def _open_with(self, topic: str, token: str) -> ClientConnection:
        headers = {} if self.address.carries_token else {"Authorization": f"Bearer {token}"}
        options: dict[str, Any] = {} if self._tls is None else {"ssl": self._tls}
        try:
            # What the library bounds begins with the handshake; a search for the host's address may hang before it.
            async with asyncio.timeout(self._open_timeout):
                return await _Connect(
                    self.address.url(topic, token),
                    origin=None if self._origin is None else Origin(self._origin),
                    additional_headers=headers,
                    user_agent_header=f"webhook-app/{__version__}",
                    compression=None,
                    proxy=None,
                    open_timeout=None,
                    ping_interval=self._ping_seconds,
                    ping_timeout=self._ping_seconds,
                    close_timeout=_CLOSE_TIMEOUT,
                    max_size=MAX_MESSAGE,
                    max_queue=_MAX_QUEUE,
                    **options,
                )
        except InvalidStatus as error:
            raise NotOpened(self._words(_describe(error.response)), error.response.status_code) from None
        except TimeoutError:
            raise NotOpened(f"no connection within {self._open_timeout:g} s") from None
        except (InvalidHandshake, InvalidURI, WebSocketException, OSError, ValueError) as error:
            raise NotOpened(self._words(f"no connection: {str(error) or name_cause(error)}")) from None

    def _words(self, text: str) -> str:
        return storable(self.hide(text), _MAX_REASON)


def _describe(response: Response) -> str:
    """What Proof answered instead of a connection: its status, and its own words for it where there are some."""
    request_id = response.headers.get("X-Request-Id")
    try:
        body = json.loads(response.body or b"")
        named = "/".join(str(body[name]) for name in ("error", "code") if body.get(name))
    except (ValueError, AttributeError, RecursionError):
        named = ""
    words = f"Proof answered {response.status_code} {named}".rstrip()
    return f"{words}, request id {request_id}" if request_id else words
