"""Lanes: a bounded number of threads with a bounded queue for each kind of request (bulkheads).

A request that has to wait waits on the event loop, where it costs no thread. What is counted is counted there, too, so
that no lock is needed: a thread only takes what waits, and tells when it is done.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")


class LaneFull(Exception):
    """All threads are busy, and the queue is full, or no thread came free in time."""


class _Job(Generic[Result]):
    def __init__(self, work: Callable[[], Result], future: asyncio.Future[Result]) -> None:
        self.work = work
        self.future = future
        self.result: Result | None = None
        self.error: BaseException | None = None
        self._chance = [None]

    def claim(self) -> bool:
        """True for the first caller: the thread that begins it, or the event loop that gives it up."""
        try:
            self._chance.pop()
        except IndexError:
            return False
        return True

    def settle(self) -> None:
        if self.future.done():
            return
        if self.error is None:
            self.future.set_result(self.result)  # type: ignore[arg-type]  # what the work has returned
        else:
            self.future.set_exception(self.error)


class ThreadLane:
    """`threads` at work at once, `most_waiting` in the queue. For one event loop; it starts with the first request.

    A request that was given up stays in the queue until a thread finds it, so a lane that stands still refuses at once.
    """

    def __init__(self, name: str, threads: int, most_waiting: int) -> None:
        self.name = name
        self._threads = threads
        self._most_waiting = most_waiting
        self._waiting: SimpleQueue[_Job[Any]] = SimpleQueue()
        self._ended: deque[_Job[Any]] = deque()
        self._unfinished = 0
        self._moved_at = time.monotonic()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_told = False

    async def run(self, work: Callable[[], Result], patience: float) -> Result:
        """What `work` returns or raises, in a thread. Raises LaneFull when it is not begun within `patience` seconds;
        then it never is."""
        if self._loop is None:
            self._start()
        assert self._loop is not None, "it was started"
        if self._unfinished >= self._threads + self._most_waiting:
            raise LaneFull(self.name)
        job: _Job[Result] = _Job(work, self._loop.create_future())
        is_busy = self._unfinished >= self._threads
        self._unfinished += 1
        if self._unfinished == self._threads:
            self._moved_at = time.monotonic()
        self._waiting.put(job)
        timer = self._loop.call_later(patience, self._give_up, job) if is_busy else None
        try:
            return await job.future
        except asyncio.CancelledError:
            job.claim()
            raise
        finally:
            if timer is not None:
                timer.cancel()

    def stands_still(self, seconds: float) -> bool:
        """Whether all threads have work and none has finished anything for so long."""
        return self._unfinished >= self._threads and time.monotonic() - self._moved_at > seconds

    def _give_up(self, job: _Job[Any]) -> None:
        if job.claim():
            job.error = LaneFull(self.name)
            job.settle()

    def _start(self) -> None:
        self._loop = asyncio.get_running_loop()
        for number in range(self._threads):
            threading.Thread(target=self._work_for_ever, name=f"{self.name}-{number}", daemon=True).start()

    def _work_for_ever(self) -> None:
        assert self._loop is not None, "it was started"
        while True:
            job = self._waiting.get()
            if job.claim():
                try:
                    job.result = job.work()
                except BaseException as error:  # noqa: BLE001 - a thread's entry point: the caller that waits gets it
                    # SystemExit would end the event loop, and no future takes a StopIteration.
                    is_plain = isinstance(error, Exception) and not isinstance(error, StopIteration)
                    job.error = error if is_plain else RuntimeError(f"{type(error).__name__} in a request")
            self._ended.append(job)
            del job
            if not self._is_told:  # many that end at once wake the event loop once
                self._is_told = True
                with contextlib.suppress(RuntimeError):  # the event loop has ended, and nobody waits any longer
                    self._loop.call_soon_threadsafe(self._settle)

    def _settle(self) -> None:
        self._is_told = False
        self._moved_at = time.monotonic()
        while self._ended:
            self._unfinished -= 1
            self._ended.popleft().settle()
