"""Which fault, if any, spoils the next call: queues per transaction and per call, rates, and periods."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from webhook_app.sandbox.faults import Order


class CallKind(StrEnum):
    """Which calls a fault without a transaction is for."""

    GET = "get"
    SESSION = "session"
    WEBSOCKET = "websocket"
    """The handshake."""
    ALL = "all"

    def covers(self, kind: CallKind) -> bool:
        return self in (CallKind.ALL, kind)


@dataclass(frozen=True)
class _Rate:
    fault: Order
    calls: CallKind
    rate: float


@dataclass(frozen=True)
class _Period:
    fault: Order
    calls: CallKind
    until: float


class FaultBook:
    """A period comes before everything, the token's check included, for in an outage nobody checks tokens. Then, for
    calls that got past the token, a transaction's own queue, the queue of the call's kind, and the rates."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._lock = threading.Lock()
        self._by_transaction: dict[str, deque[Order]] = {}
        self._by_kind: dict[CallKind, deque[Order]] = {kind: deque() for kind in CallKind if kind is not CallKind.ALL}
        self._rates: list[_Rate] = []
        self._periods: list[_Period] = []

    def inject(self, orders: Sequence[Order], transaction_id: str | None, calls: CallKind) -> None:
        """Behind those that wait already: for the GETs of one transaction, or for the next calls of one kind."""
        with self._lock:
            if transaction_id is not None:
                self._by_transaction.setdefault(transaction_id, deque()).extend(orders)
                return
            for kind, queue in self._by_kind.items():
                if calls.covers(kind):
                    queue.extend(orders)

    def set_rate(self, order: Order, calls: CallKind, rate: float) -> None:
        """Spoils that fraction of calls. Replaces the rate of the same fault for the same calls; 0 takes it away.
        Rates add up."""
        with self._lock:
            others = [one for one in self._rates if (one.fault.name, one.calls) != (order.name, calls)]
            self._rates = [*others, _Rate(order, calls, rate)] if rate else others

    def set_period(self, order: Order, calls: CallKind, seconds: float) -> None:
        """For the next `seconds` of the wall clock."""
        with self._lock:
            self._periods.append(_Period(order, calls, time.monotonic() + seconds))

    def clear(self, transaction_id: str | None = None) -> None:
        """Of one transaction, or all of them."""
        with self._lock:
            if transaction_id is not None:
                self._by_transaction.pop(transaction_id, None)
                return
            self._by_transaction.clear()
            for queue in self._by_kind.values():
                queue.clear()
            self._rates, self._periods = [], []

    def outage(self, kind: CallKind) -> Order | None:
        """The fault of a period that is on."""
        if not self._periods:
            return None
        with self._lock:
            self._end_periods()
            return next((period.fault for period in self._periods if period.calls.covers(kind)), None)

    def take(self, kind: CallKind, transaction_id: str | None) -> Order | None:
        """The next fault in the queues or by the rates; a queued one is used up by this."""
        with self._lock:
            own = self._by_transaction.get(transaction_id) if transaction_id is not None else None
            if queue := own or self._by_kind[kind]:
                return _pop(queue)
            if not self._rates:
                return None
            point = self._rng.random()
            for rate in self._rates:
                if rate.calls.covers(kind):
                    if point < rate.rate:
                        return rate.fault
                    point -= rate.rate
            return None

    def waiting(self, transaction_id: str) -> list[Order]:
        with self._lock:
            return list(self._by_transaction.get(transaction_id, ()))

    def injected(self) -> dict[str, Any]:
        """What is injected now, as the control API shows it."""
        now = time.monotonic()
        with self._lock:
            self._end_periods()
            return {
                "transactions": {one: list(queue) for one, queue in self._by_transaction.items() if queue},
                "calls": {kind: list(queue) for kind, queue in self._by_kind.items()},
                "rates": list(self._rates),
                "periods": [
                    {"fault": one.fault, "calls": one.calls, "for_seconds": round(one.until - now, 3)}
                    for one in self._periods
                ],
            }

    def _end_periods(self) -> None:
        now = time.monotonic()
        self._periods = [period for period in self._periods if period.until > now]


def _pop(queue: deque[Order]) -> Order:
    order = queue[0]
    if order.count > 1:
        queue[0] = replace(order, count=order.count - 1)
    elif order.count == 1:
        queue.popleft()
    return order
