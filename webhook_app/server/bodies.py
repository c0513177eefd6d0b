"""Bodies of requests, awaited on the event loop before any thread is taken: how long, how large and how many at once.

One body too many never keeps a newcomer out. It displaces the body that has been under way for longest: a sender that
has something to send is done in milliseconds, and what has lasted longer is most likely never to come.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict

from webhook_app.server.asgi import Receive
from webhook_app.server.deadlines import Deadlines
from webhook_app.server.responses import RequestError, overload

#: Bytes of all bodies under way in one process.
MOST_BYTES = 64 * 1024 * 1024

#: Bytes above the limit that are read and dropped, so that a sender who writes all before it reads learns why.
_SLACK = 256 * 1024

#: Pieces in which a body may come: each costs the event loop as much as a small request.
_MOST_PIECES = 4096


class BodyTooLarge(Exception):
    """`size`: bytes, as announced or as far as they were read."""

    def __init__(self, size: int) -> None:
        self.size = size


class _MadeRoom(Exception):
    """The body has displaced itself."""


class _UnderWay:
    """A body, and the task that reads it, which is cancelled where that has to end (as by `asyncio.timeout`)."""

    def __init__(self) -> None:
        task = asyncio.current_task()
        assert task is not None, "the server makes one for each request"
        self.task = task
        self.size = 0
        self.is_late = self.is_displaced = False

    def expire(self) -> None:
        self.is_late = True
        self.task.cancel()

    def displace(self) -> None:
        if not self.is_late:
            self.is_displaced = True
            if self.task is not asyncio.current_task():  # that one would be cancelled whatever it awaits next
                self.task.cancel()


class Bodies:
    """Those under way in this process: `most` of them, `most_per_client` for one client, `seconds` for each."""

    def __init__(self, seconds: float, most: int, most_per_client: int) -> None:
        self._seconds = seconds
        self._most = most
        self._most_per_client = most_per_client
        # In the order in which they began.
        self._all: dict[_UnderWay, str | None] = {}
        self._by_client: dict[str, dict[_UnderWay, None]] = defaultdict(dict)
        self._bytes = 0
        self._deadlines = Deadlines()

    def __len__(self) -> int:
        return len(self._all)

    async def read(
        self, receive: Receive, *, limit: int, announced: int | None, awaits_continue: bool, client: str | None
    ) -> bytes:
        """The whole body. `client`: for whom it counts; None: for nobody.

        Raises BodyTooLarge; RequestError when it does not arrive in time (408 `timeout`), ends too early (400
        `decode_error`), or had to make room (503 `overload`).
        """
        if announced == 0:
            return b""
        if announced is not None and announced > limit + (0 if awaits_continue else _SLACK):
            raise BodyTooLarge(announced)
        body = _UnderWay()
        self._begin(body, client)
        try:
            return await self._collect(receive, body, limit)
        except _MadeRoom:
            pass
        except asyncio.CancelledError:
            if not (body.is_late or body.is_displaced) or body.task.uncancel():
                raise  # by somebody else
        finally:
            self._end(body)
        if body.is_displaced:
            raise overload("Too many bodies are under way, and this one took longest.", closes=True)
        late = f"The body did not arrive within {self._seconds:g} seconds."
        raise RequestError(408, "invalid_request", "timeout", late, closes=True)

    async def _collect(self, receive: Receive, body: _UnderWay, limit: int) -> bytes:
        parts: list[bytes] = []
        size, pieces, is_more = 0, 0, True
        while is_more:
            message = await receive()
            if message["type"] != "http.request":
                early = "The body ended before its announced length."
                raise RequestError(400, "invalid_request", "decode_error", early, closes=True)
            part, is_more = message.get("body", b""), message.get("more_body", False)
            size += len(part)
            pieces += 1
            if pieces > _MOST_PIECES:
                words = f"The body comes in more than {_MOST_PIECES} pieces."
                raise RequestError(400, "invalid_request", "validation_error", words, closes=True)
            if size > limit + _SLACK:
                raise BodyTooLarge(size)
            if size <= limit:
                parts.append(part)
                self._count(body, len(part))
                if body.is_displaced:
                    raise _MadeRoom
        if size > limit:
            raise BodyTooLarge(size)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _begin(self, body: _UnderWay, client: str | None) -> None:
        self._all[body] = client
        self._deadlines.add(self._seconds, body.expire)
        if client is not None:
            of_client = self._by_client[client]
            of_client[body] = None
            if len(of_client) > self._most_per_client:
                self._displace(next(iter(of_client)))
        if len(self._all) > self._most:
            self._displace(next(iter(self._all)))

    def _count(self, body: _UnderWay, size: int) -> None:
        if body.is_displaced:
            return
        body.size += size
        self._bytes += size
        while self._bytes > MOST_BYTES:
            self._displace(next(iter(self._all)))

    def _displace(self, body: _UnderWay) -> None:
        body.displace()
        self._end(body)

    def _end(self, body: _UnderWay) -> None:
        """A second time it does nothing."""
        if body not in self._all:
            return
        client = self._all.pop(body)
        self._deadlines.remove(body.expire)
        self._bytes -= body.size
        if client is not None:
            of_client = self._by_client[client]
            del of_client[body]
            if not of_client:
                del self._by_client[client]
