"""Answers that are sent while they are made: by a thread, at the pace at which the client takes them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from webhook_app.server.asgi import Receive, Send
from webhook_app.server.responses import Headers


class ClientGone(Exception):
    """The client has hung up, or has taken nothing for too long; nothing that is made for it counts any more."""


class Stream:
    """One answer's way out. `start`, `send` and `finish` are for the thread, and return when the server has taken it.

    An answer that was started and not finished is broken off: when the bridge returns without its end, the server
    (granian 2.8) closes the connection before the last chunk, so that it never looks whole.
    """

    def __init__(self, receive: Receive, send: Send, longest_stall: float) -> None:
        self._receive = receive
        self._send = send
        self._longest_stall = longest_stall
        self._loop = asyncio.get_running_loop()
        self._gone: asyncio.Task[None] | None = None
        self.is_started = False
        self.is_finished = False

    def start(self, status: int, headers: Headers) -> None:
        self.is_started = True
        self._wait_for(self._start(status, headers))

    def send(self, chunk: bytes) -> None:
        """Raises ClientGone."""
        self._wait_for(self._hand_over({"type": "http.response.body", "body": chunk, "more_body": True}))

    def finish(self) -> None:
        self._wait_for(self._send({"type": "http.response.body", "body": b"", "more_body": False}))
        self.is_finished = True

    def close(self) -> None:
        """On the event loop, when the request is over."""
        if self._gone is not None:
            self._gone.cancel()

    def _wait_for(self, step: Awaitable[None]) -> None:
        async def run() -> None:
            await step

        asyncio.run_coroutine_threadsafe(run(), self._loop).result()

    async def _start(self, status: int, headers: Headers) -> None:
        self._gone = asyncio.create_task(self._watch())
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def _hand_over(self, message: dict[str, object]) -> None:
        assert self._gone is not None, "it was started"
        sending = asyncio.ensure_future(self._send(message))
        done, _ = await asyncio.wait(
            {sending, self._gone}, timeout=self._longest_stall, return_when=asyncio.FIRST_COMPLETED
        )
        if sending not in done or self._gone.done():
            sending.cancel()
            raise ClientGone
        await sending

    async def _watch(self) -> None:
        """Ends when the client has hung up."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
