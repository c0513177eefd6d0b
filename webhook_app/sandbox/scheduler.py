"""The sandbox's clock: runs things later, on a time that passes `speed` times as fast as the wall clock's."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable
from itertools import count

from webhook_app.logs import get_logger


class Scheduler:
    """One thread. Seconds are human seconds: at speed 10, sixty of them pass in six."""

    def __init__(self, speed: float) -> None:
        self._condition = threading.Condition()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = count()
        self._speed = speed
        self._epoch = time.monotonic()
        self._passed = 0.0
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="sandbox-clock", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """What is due later never runs."""
        with self._condition:
            self._stopped = True
            self._condition.notify()
        self._thread.join(2)

    def now(self) -> float:
        """Human seconds since the start."""
        with self._condition:
            return self._now()

    def set_speed(self, speed: float) -> None:
        with self._condition:
            self._passed = self._now()
            self._epoch = time.monotonic()
            self._speed = speed
            self._condition.notify()

    def after(self, seconds: float, run: Callable[[], None]) -> float:
        """Runs `run` on the clock's thread in `seconds`; it must not block. Returns when, on `now`'s scale."""
        with self._condition:
            due = self._now() + seconds
            heapq.heappush(self._due, (due, next(self._serial), run))
            if self._due[0][0] == due:
                self._condition.notify()
            return due

    def clear(self) -> None:
        with self._condition:
            self._due.clear()

    def _now(self) -> float:
        return self._passed + (time.monotonic() - self._epoch) * self._speed

    def _run(self) -> None:
        while (run := self._next()) is not None:
            try:
                run()
            except Exception:  # noqa: BLE001 - the clock must go on whatever one thing did
                get_logger().exception("sandbox_clock_failed")

    def _next(self) -> Callable[[], None] | None:
        with self._condition:
            while not self._stopped:
                if not self._due:
                    self._condition.wait()
                    continue
                wait = (self._due[0][0] - self._now()) / self._speed
                if wait <= 0:
                    return heapq.heappop(self._due)[2]
                self._condition.wait(min(wait, 3600))
            return None
