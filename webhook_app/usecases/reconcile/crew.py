"""A crew: the threads of one run. What they have done comes to the run in one queue, in the order in which it ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any


@dataclass(frozen=True)
class _Task:
    key: Hashable
    work: Callable[..., Any]
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Done:
    """What has ended: with `result`, or with `error`."""

    key: Hashable
    result: Any
    error: BaseException | None


class Crew:
    """`threads` at most, each made when there is work for it. For one thread, which hands work out and takes results.

    Threads of the standard library's executors cost a fifth of a call to Proof: for a lock and a condition each time.
    """

    def __init__(self, threads: int) -> None:
        self._most = threads
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._done: SimpleQueue[Done] = SimpleQueue()
        self._threads = 0
        self._under_way = 0

    def submit(self, key: Hashable, work: Callable[..., Any], *arguments: Any) -> None:
        """`key` says what it was when it is taken."""
        self._under_way += 1
        if self._threads < min(self._under_way, self._most):
            self._threads += 1
            threading.Thread(target=self._work, name="crew", daemon=True).start()
        self._tasks.put(_Task(key, work, arguments))

    def take(self, seconds: float) -> list[Done]:
        """All that has ended; waits so long for the first."""
        found = []
        with suppress(Empty):
            found.append(self._done.get(timeout=max(seconds, 0.0)))
            while True:
                found.append(self._done.get_nowait())
        self._under_way -= len(found)
        return found

    def close(self) -> None:
        """What has not begun never does; the threads end with what they are at."""
        with suppress(Empty):
            while True:
                self._tasks.get_nowait()
        for _ in range(self._threads):
            self._tasks.put(None)

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            try:
                done = Done(task.key, task.work(*task.arguments), None)
            except BaseException as error:  # noqa: BLE001 - who takes it raises it
                done = Done(task.key, None, error)
            self._done.put(done)
