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


class Mailbox(Generic[Result]):
    """What threads hand to the event loop, which takes it by `deliver`. Many that come at once wake it once."""

    def __init__(self, loop: asyncio.AbstractEventLoop, deliver: Callable[[Result], None]) -> None:
        self._loop = loop
        self._deliver = deliver
        self._arrived: deque[Result] = deque()
        self._is_told = False

    def put(self, one: Result) -> None:
        """In any thread."""
        self._arrived.append(one)
        if not self._is_told:
            self._is_told = True
            with contextlib.suppress(RuntimeError):  # the event loop has ended, and nobody waits any longer
                self._loop.call_soon_threadsafe(self._empty)

    def _empty(self) -> None:
        self._is_told = False
        while self._arrived:
            self._deliver(self._arrived.popleft())


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
        self._unfinished = 0
        self._moved_at = time.monotonic()
        self._ended: Mailbox[_Job[Any]] | None = None

    async def run(self, work: Callable[[], Result], patience: float) -> Result:
        """What `work` returns or raises, in a thread. Raises LaneFull when it is not begun within `patience` seconds;
        then it never is."""
        loop = asyncio.get_running_loop()
        if self._ended is None:
            self._start(loop)
        if self._unfinished >= self._threads + self._most_waiting:
            raise LaneFull(self.name)
        job: _Job[Result] = _Job(work, loop.create_future())
        is_busy = self._unfinished >= self._threads
        self._unfinished += 1
        if self._unfinished == self._threads:
            self._moved_at = time.monotonic()
        self._waiting.put(job)
        timer = loop.call_later(patience, self._give_up, job) if is_busy else None
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

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._ended = ended = Mailbox(loop, self._settle)
        for number in range(self._threads):
            name = f"{self.name}-{number}"
            threading.Thread(target=self._work_for_ever, args=(ended,), name=name, daemon=True).start()

    def _work_for_ever(self, ended: Mailbox[_Job[Any]]) -> None:
        while True:
            job = self._waiting.get()
            if job.claim():
                try:
                    job.result = job.work()
                except BaseException as error:  # noqa: BLE001 - a thread's entry point: the caller that waits gets it
                    # SystemExit would end the event loop, and no future takes a StopIteration.
                    is_plain = isinstance(error, Exception) and not isinstance(error, StopIteration)
                    job.error = error if is_plain else RuntimeError(f"{type(error).__name__} in a request")
            ended.put(job)
            del job

    def _settle(self, job: _Job[Any]) -> None:
        self._moved_at = time.monotonic()
        self._unfinished -= 1
        job.settle()
