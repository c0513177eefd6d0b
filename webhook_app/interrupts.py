"""Ctrl-C between two queries, not in one: a driver that is interrupted while it reads loses its connection."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupts:
    """Holds Ctrl-C back until `check` or `wait`, which raise KeyboardInterrupt; the second one is not held back."""

    def __init__(self) -> None:
        self._asked = False
        self._waits = False

    def check(self) -> None:
        if self._asked:
            raise KeyboardInterrupt

    def wait(self, seconds: float) -> None:
        self._waits = True
        try:
            self.check()
            time.sleep(seconds)
        finally:
            self._waits = False

    def on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self._asked or self._waits:
            raise KeyboardInterrupt
        self._asked = True


@contextmanager
def held_interrupts() -> Iterator[Interrupts]:
    """For the main thread. One that came in the block and met no `check` is raised at its end."""
    interrupts = Interrupts()
    former = signal.signal(signal.SIGINT, interrupts.on_signal)
    try:
        yield interrupts
        interrupts.check()
    finally:
        signal.signal(signal.SIGINT, former)
