"""SQL that is not waited for longer than a budget: it runs on threads of its own, where it may hang."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import TypeVar

Result = TypeVar("Result")


class SqlTooSlow(Exception):
    """It was not done in time; nobody knows whether it still will be."""


class BoundedSql:
    """`threads` at once, each for `seconds` at most. It makes no thread before it is used, so a server may fork."""

    def __init__(self, threads: int, seconds: float) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="bounded-sql")
        self._seconds = seconds

    def run(self, work: Callable[[], Result], take_back: Callable[[Result], None] | None = None) -> Result:
        """What `work` returns or raises; SqlTooSlow where it takes longer. What it returns after that goes to
        `take_back`, on a thread of these too."""
        future = self._executor.submit(work)
        try:
            return future.result(self._seconds)
        except FutureTimeoutError:
            if future.done():  # its own, or it came just now
                return future.result()
            if not future.cancel() and take_back is not None:
                future.add_done_callback(lambda late: self._take_back(late, take_back))
            raise SqlTooSlow("SQL did not answer in time") from None

    def _take_back(self, late: Future[Result], take_back: Callable[[Result], None]) -> None:
        if late.exception() is None:
            with contextlib.suppress(RuntimeError):  # the process ends
                self._executor.submit(take_back, late.result())

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)
