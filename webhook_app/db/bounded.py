"""SQL that is not waited for longer than a budget: it runs on threads of its own, where it may hang."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
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

    def run(self, work: Callable[[], Result]) -> Result:
        """What `work` returns or raises; SqlTooSlow where it takes longer."""
        future = self._executor.submit(work)
        try:
            return future.result(self._seconds)
        except FutureTimeoutError:
            if future.done():  # its own
                raise
            future.cancel()
            raise SqlTooSlow("SQL did not answer in time") from None

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)
