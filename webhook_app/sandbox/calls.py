"""What was called, when, and what was answered: so that a test can count attempts and measure rates."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

#: CallKind that are remembered, the newest; the counts go on beyond.
REMEMBERED = 500_000
REMEMBERED_PER_TRANSACTION = 2_000


@dataclass(frozen=True, slots=True)
class Call:
    """One API call."""

    at: datetime
    """When it came."""
    call: str
    """`get`, `session` or `websocket`."""
    merchant_transaction_id: str | None
    status: int | None
    """None where no answer was sent."""
    fault: str | None
    """The injected one."""
    request_id: str
    """The `X-Request-Id` of the answer."""


class CallLog:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way = 0
        self.clear()

    def clear(self) -> None:
        """Forgets the calls; those under way stay so."""
        with self._lock:
            self._calls: deque[Call] = deque(maxlen=REMEMBERED)
            self._by_transaction: dict[str, deque[Call]] = {}
            self._counts = {"get": 0, "session": 0, "websocket": 0}
            self._most_under_way = self._under_way

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """Around one call, from its arrival until its answer is there: the caller may call again with the last byte."""
        with self._lock:
            self._under_way += 1
            self._most_under_way = max(self._most_under_way, self._under_way)
        try:
            yield
        finally:
            with self._lock:
                self._under_way -= 1

    def add(self, call: Call) -> None:
        with self._lock:
            self._calls.append(call)
            self._counts[call.call] += 1
            if call.merchant_transaction_id is not None:
                own = self._by_transaction.get(call.merchant_transaction_id)
                if own is None:
                    own = self._by_transaction[call.merchant_transaction_id] = deque(maxlen=REMEMBERED_PER_TRANSACTION)
                own.append(call)

    def of(self, transaction_id: str) -> list[Call]:
        with self._lock:
            return list(self._by_transaction.get(transaction_id, ()))

    def all(self) -> list[Call]:
        with self._lock:
            return list(self._calls)

    def counts(self) -> dict[str, int]:
        """`gets`, `sessions`, and how many calls are and at most were under way at once."""
        with self._lock:
            return {
                "gets": self._counts["get"],
                "sessions": self._counts["session"],
                "calls_under_way": self._under_way,
                "most_calls_under_way": self._most_under_way,
            }
