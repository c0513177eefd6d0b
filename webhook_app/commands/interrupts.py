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
    """For the main thread. One that came in the block and met no `check` is raised at its end. SIGTERM, and SIGHUP of a
    terminal that is closed, mean the same, but for whoever was told to ignore them."""
    interrupts = Interrupts()
    former = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    heeded = [number for number, handler in former.items() if handler is not signal.SIG_IGN]
    for number in heeded:
        signal.signal(number, interrupts.on_signal)
    try:
        yield interrupts
        interrupts.check()
    finally:
        for number in heeded:
            signal.signal(number, former[number])
