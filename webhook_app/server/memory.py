"""An answer that is remembered for a moment, for a question that everybody asks alike."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from webhook_app.server.responses import Response


class Memory:
    """Asks once, however many ask at once, and not again for `seconds`."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._asking: asyncio.Task[Response] | None = None
        self._known: Response | None = None
        self._known_until = 0.0

    async def get(self, ask: Callable[[], Awaitable[Response]], patience: float) -> Response:
        """Raises what `ask` raises, and TimeoutError after `patience` seconds; the question stays asked then."""
        if self._known is not None and time.monotonic() < self._known_until:
            return self._known
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask(ask))
            self._asking.add_done_callback(_note_outcome)
        return await asyncio.wait_for(asyncio.shield(self._asking), patience)

    async def _ask(self, ask: Callable[[], Awaitable[Response]]) -> Response:
        try:
            self._known = await ask()
            self._known_until = time.monotonic() + self._seconds
            return self._known
        finally:
            self._asking = None


def _note_outcome(asking: asyncio.Task[Response]) -> None:
    """Where nobody waits any longer, its error is nobody's."""
    if not asking.cancelled():
        asking.exception()
