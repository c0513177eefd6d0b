"""Commits, awaited on the event loop: a webhook whose event is being committed holds no thread."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from webhook_app.server.deadlines import Deadlines
from webhook_app.server.lanes import Mailbox
from webhook_app.usecases.receive.ingest_faults import describe_error
from webhook_app.web.receive.deferral import Deferral


class NotCommitted(Exception):
    """SQL has not taken the event. The message says why."""


class Commits:
    """For one event loop; a batch that is committed wakes it once."""

    def __init__(self) -> None:
        self._arrived: Mailbox[Callable[[], None]] | None = None
        self._deadlines = Deadlines()

    async def wait(self, deferral: Deferral, due: float) -> tuple[int, bytes]:
        """Status and body of the answer. `due`: when it is given up, by `time.monotonic`. Raises NotCommitted."""
        loop = asyncio.get_running_loop()
        mailbox = self._arrived = self._arrived or Mailbox(loop, _call)
        began = time.monotonic()
        waiter: asyncio.Future[None] = loop.create_future()

        def end() -> None:
            if not waiter.done():
                waiter.set_result(None)

        self._deadlines.add(max(0.0, due - began), end)
        deferral.answer.add_done_callback(lambda _: mailbox.put(end))
        try:
            await waiter
        finally:
            self._deadlines.remove(end)
        if not deferral.answer.done():
            raise NotCommitted(deferral.give_up(deferral.answer, time.monotonic() - began))
        if (error := deferral.answer.exception()) is not None:
            raise NotCommitted(describe_error(error))
        return deferral.finish(deferral.answer.result())


def _call(step: Callable[[], None]) -> None:
    step()
