"""Which fault, if any, spoils the next call: queues per transaction and per call, rates, and periods."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from webhook_app.sandbox.faults import Order


class Calls(StrEnum):
    """Which calls a fault without a transaction is for."""

    GET = "get"
    SESSION = "session"
    ALL = "all"

    def covers(self, call: Calls) -> bool:
        return self in (Calls.ALL, call)


@dataclass(frozen=True)
class _Rate:
    order: Order
    calls: Calls
    fraction: float


@dataclass(frozen=True)
class _Period:
    order: Order
    calls: Calls
    until: float


class FaultBook:
    """A period comes before everything, the token's check included, for in an outage nobody checks tokens. Then, for
    calls that got past the token, a transaction's own queue, the queue of the call, and the rates, in this order."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._lock = threading.Lock()
        self._by_transaction: dict[str, deque[Order]] = {}
        self._by_call: dict[Calls, deque[Order]] = {Calls.GET: deque(), Calls.SESSION: deque()}
        self._rates: tuple[_Rate, ...] = ()
        self._periods: tuple[_Period, ...] = ()

    def inject(self, orders: Iterable[Order], transaction_id: str | None, calls: Calls) -> None:
        """Behind those that wait already: for the GETs of one transaction, or for the next calls of one kind."""
        with self._lock:
            if transaction_id is not None:
                self._by_transaction.setdefault(transaction_id, deque()).extend(orders)
                return
            orders = list(orders)
            for call, queue in self._by_call.items():
                if calls.covers(call):
                    queue.extend(orders)

    def set_rate(self, order: Order, calls: Calls, fraction: float) -> None:
        """Replaces the rate of the same fault for the same calls; 0 takes it away. Rates add up."""
        if not 0 <= fraction <= 1:
            raise ValueError("rate: must be a fraction from 0 to 1")
        with self._lock:
            others = (rate for rate in self._rates if (rate.order.name, rate.calls) != (order.name, calls))
            self._rates = (*others, _Rate(order, calls, fraction)) if fraction else tuple(others)

    def set_period(self, order: Order, calls: Calls, seconds: float) -> None:
        """For the next `seconds` of the wall clock."""
        if not 0 < seconds <= 86_400:
            raise ValueError("for_seconds: must be more than 0 and at most 86400")
        with self._lock:
            self._periods = (*self._periods, _Period(order, calls, time.monotonic() + seconds))

    def clear(self, transaction_id: str | None = None) -> None:
        """Of one transaction, or all of them."""
        with self._lock:
            if transaction_id is not None:
                self._by_transaction.pop(transaction_id, None)
                return
            self._by_transaction.clear()
            for queue in self._by_call.values():
                queue.clear()
            self._rates = self._periods = ()

    def outage(self, call: Calls) -> Order | None:
        """The fault of a period that is on."""
        if not self._periods:
            return None
        now = time.monotonic()
        with self._lock:
            self._periods = tuple(period for period in self._periods if period.until > now)
            return next((period.order for period in self._periods if period.calls.covers(call)), None)

    def take(self, call: Calls, transaction_id: str | None) -> Order | None:
        """The next fault in the queues or by the rates; a queued one is used up by this."""
        with self._lock:
            if transaction_id is not None and (queue := self._by_transaction.get(transaction_id)):
                return _pop(queue)
            if queue := self._by_call[call]:
                return _pop(queue)
            if not self._rates:
                return None
            point = self._rng.random()
            for rate in self._rates:
                if rate.calls.covers(call):
                    if point < rate.fraction:
                        return rate.order
                    point -= rate.fraction
            return None

    def waiting(self, transaction_id: str) -> list[Order]:
        with self._lock:
            return list(self._by_transaction.get(transaction_id, ()))

    def to_json(self) -> dict[str, Any]:
        """What is injected now."""
        now = time.monotonic()
        with self._lock:
            return {
                "transactions": {
                    transaction_id: [order.to_json() for order in queue]
                    for transaction_id, queue in self._by_transaction.items()
                    if queue
                },
                "calls": {call.value: [order.to_json() for order in queue] for call, queue in self._by_call.items()},
                "rates": [
                    {"fault": rate.order.to_json(), "calls": rate.calls.value, "rate": rate.fraction}
                    for rate in self._rates
                ],
                "periods": [
                    {
                        "fault": period.order.to_json(),
                        "calls": period.calls.value,
                        "for_seconds": round(period.until - now, 3),
                    }
                    for period in self._periods
                    if period.until > now
                ],
            }


def _pop(queue: deque[Order]) -> Order:
    order = queue[0]
    if order.count > 1:
        queue[0] = replace(order, count=order.count - 1)
    elif order.count == 1:
        queue.popleft()
    return order
