"""Deadlines of which nearly none is ever reached: one timer for all of them, in place of one for each request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf

Expire = Callable[[], None]


class Deadlines:
    """For one event loop."""

    def __init__(self) -> None:
        self._all: dict[Expire, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at = inf

    def add(self, seconds: float, expire: Expire) -> None:
        """`expire` is called once so many seconds from now, unless it is removed before."""
        loop = asyncio.get_running_loop()
        due = loop.time() + seconds
        self._all[expire] = due
        if due < self._rings_at:
            self._set_timer(loop, due)

    def remove(self, expire: Expire) -> None:
        """Also one that has expired. The timer stays: it rings for nothing once, and is set for those that are left."""
        self._all.pop(expire, None)

    def _set_timer(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._rings_at = due
        self._timer = loop.call_at(due, self._ring, loop)

    def _ring(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer, self._rings_at = None, inf
        now = loop.time()
        for expire in [expire for expire, due in self._all.items() if due <= now]:
            del self._all[expire]
            expire()
        if self._all:
            self._set_timer(loop, min(self._all.values()))
