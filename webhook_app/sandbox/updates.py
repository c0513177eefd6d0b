"""Who listens to status changes over WebSocket, and what each is told: `tx.update`, with faults at a set rate."""

from __future__ import annotations

import json
import random
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from webhook_app.domain.money import format_amount
from webhook_app.domain.timestamps import format_timestamp
from webhook_app.sandbox.behaviour import Behaviour
from webhook_app.sandbox.dialects import Dialect
from webhook_app.sandbox.scheduler import Scheduler
from webhook_app.sandbox.transactions import Change, Transaction
from webhook_app.sandbox.update_faults import UpdateFault, spoil


@dataclass(frozen=True)
class Message:
    """What goes out instead of, or as, one `tx.update`."""

    data: bytes
    is_text: bool = True
    fault: UpdateFault | None = None


Tell = Callable[[Message], None]


class Updates:
    """`tell` of a listener is called from any thread and must not block."""

    def __init__(self, scheduler: Scheduler, behaviour: Callable[[], Behaviour], rng: random.Random) -> None:
        self._scheduler = scheduler
        self._behaviour = behaviour
        self._rng = rng
        self._lock = threading.Lock()
        self._listeners: dict[str, dict[object, Tell]] = defaultdict(dict)
        self._sent = self._opened = 0

    def subscribe(self, topic: str, key: object, tell: Tell) -> None:
        """`topic` is what `topics_of` gives of the transactions that are wanted."""
        with self._lock:
            self._listeners[topic][key] = tell
            self._opened += 1

    def unsubscribe(self, topic: str, key: object) -> None:
        with self._lock:
            self._listeners[topic].pop(key, None)
            if not self._listeners[topic]:
                del self._listeners[topic]

    def announce(self, transaction: Transaction) -> None:
        """Tells those who listen of its last status change. Never blocks."""
        topics = topics_of(transaction)
        with self._lock:
            tells = [tell for topic in topics if topic in self._listeners for tell in self._listeners[topic].values()]
        if not tells:
            return
        behaviour = self._behaviour()
        data = json.dumps(update_of(transaction, transaction.history[-1], behaviour.dialect)).encode()
        for tell in tells:
            fault = behaviour.update_fault
            if fault is not None and self._rng.random() >= behaviour.update_fault_rate:
                fault = None
            if fault is UpdateFault.DROP:
                continue
            if fault is UpdateFault.SLOW:
                self._scheduler.after(behaviour.update_delay, partial(self._tell, tell, Message(data)))
            elif fault is None:
                self._tell(tell, Message(data))
            else:
                for spoiled, is_text in spoil(fault, data):
                    self._tell(tell, Message(spoiled, is_text, fault))

    def _tell(self, tell: Tell, message: Message) -> None:
        with self._lock:
            self._sent += 1
        tell(message)

    def counts(self) -> dict[str, int]:
        """`websockets_open` now, `websockets_opened` ever, and `updates_sent`."""
        with self._lock:
            return {
                "websockets_open": sum(len(listeners) for listeners in self._listeners.values()),
                "websockets_opened": self._opened,
                "updates_sent": self._sent,
            }

    def clear(self) -> None:
        """Forgets the counts; who listens goes on listening."""
        with self._lock:
            self._sent = self._opened = 0


def topics_of(transaction: Transaction) -> tuple[str, str]:
    """Under which names its changes are told: today's form has one connection a transaction, the older one a user."""
    return transaction_topic(transaction.merchant_transaction_id), user_topic(transaction.partner_user_id)


def transaction_topic(merchant_transaction_id: str) -> str:
    return f"tx_id={merchant_transaction_id}"


def user_topic(partner_user_id: str) -> str:
    return f"user_id={partner_user_id}"


def update_of(transaction: Transaction, change: Change, dialect: Dialect) -> dict[str, Any]:
    """`tx-update.json`'s fields, in its order; in the older dialect the user's id with them."""
    older = {"partner_user_id": transaction.partner_user_id} if dialect is Dialect.OLDER else {}
    method = {"payment_method": "card"} if transaction.type == "buy" else {}
    return {
        "event": "tx.update",
        "merchant_transaction_id": transaction.merchant_transaction_id,
        **older,
        "type": transaction.type,
        "status": change.status.value,
        **method,
        "currency": transaction.currency,
        "fiat_currency": transaction.fiat_currency,
        "fiat_amount": format_amount(transaction.fiat_amount),
        "crypto_amount": format_amount(change.crypto_amount) or "",
        "occurred_at": format_timestamp(change.updated_at),
    }
