"""Lanes: a bounded number of threads with a bounded queue for each kind of request (bulkheads).

A request that has to wait waits on the event loop, where it costs no thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")


class LaneFull(Exception):
    """All threads are busy, and so are all places in the queue, or none of them came free in time."""


class _Job(Generic[Result]):
    def __init__(self, work: Callable[[], Result], loop: asyncio.AbstractEventLoop) -> None:
        self.work = work
        self.future: asyncio.Future[Result] = loop.create_future()
        self._loop = loop

    def run(self) -> None:
        result, error = None, None
        try:
            result = self.work()
        except BaseException as problem:  # noqa: BLE001 - a thread's entry point: whoever waits gets it
            error = problem
        with contextlib.suppress(RuntimeError):  # the event loop has ended, and nobody waits any longer
            self._loop.call_soon_threadsafe(self._finish, result, error)

    def _finish(self, result: Any, error: BaseException | None) -> None:
        if self.future.done():
            return
        if error is None:
            self.future.set_result(result)
        else:
            self.future.set_exception(error)


class ThreadLane:
    """`threads` at work at once and `places` to wait in. Its threads start with the first request."""

    def __init__(self, name: str, threads: int, places: int) -> None:
        self.name = name
        self._threads = threads
        self._places = places
        self._queue: deque[_Job[Any]] = deque()
        self._has_work = threading.Condition()
        self._started = False
        self._running = 0
        self._moved_at = time.monotonic()

    async def run(self, work: Callable[[], Result], patience: float) -> Result:
        """What `work` returns or raises, in a thread. Raises LaneFull when it is not begun within `patience` seconds;
        then it never is."""
        loop = asyncio.get_running_loop()
        job = _Job(work, loop)
        with self._has_work:
            is_busy = self._running + len(self._queue) >= self._threads
            if is_busy and len(self._queue) >= self._places:
                raise LaneFull(self.name)
            self._queue.append(job)
            self._has_work.notify()
        if not self._started:
            self._start()
        if not is_busy:
            return await self._result(job)
        timer = loop.call_later(patience, self._give_up, job)
        try:
            return await self._result(job)
        finally:
            timer.cancel()

    def stands_still(self, seconds: float) -> bool:
        """Whether all threads are at work and none has begun or finished anything for so long."""
        with self._has_work:
            return self._running == self._threads and time.monotonic() - self._moved_at > seconds

    async def _result(self, job: _Job[Result]) -> Result:
        try:
            return await job.future
        except asyncio.CancelledError:
            self._give_up(job)
            raise

    def _give_up(self, job: _Job[Any]) -> None:
        with self._has_work:
            try:
                self._queue.remove(job)
            except ValueError:
                return  # it has begun
        if not job.future.done():
            job.future.set_exception(LaneFull(self.name))

    def _start(self) -> None:
        self._started = True
        for number in range(self._threads):
            threading.Thread(target=self._work_for_ever, name=f"{self.name}-{number}", daemon=True).start()

    def _work_for_ever(self) -> None:
        while True:
            with self._has_work:
                while not self._queue:
                    self._has_work.wait()
                job = self._queue.popleft()
                self._running += 1
                self._moved_at = time.monotonic()
            job.run()
            with self._has_work:
                self._running -= 1
                self._moved_at = time.monotonic()
            del job
