"""The transactions that the sandbox holds, each a frozen value with the full history of its status changes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any

from webhook_app.domain.money import format_amount, parse_amount
from webhook_app.domain.status import Status
from webhook_app.domain.timestamps import format_timestamp, parse_timestamp


@dataclass(frozen=True)
class Change:
    """One status change, as its webhook reports it."""

    status: Status
    updated_at: datetime
    crypto_amount: Decimal | None
    """None is sent as an empty string."""


@dataclass(frozen=True)
class Transaction:
    merchant_transaction_id: str
    partner_user_id: str
    type: str
    currency: str
    network: str
    fiat_currency: str
    fiat_amount: Decimal
    quoted_crypto: Decimal
    """What `crypto_amount` is from `processing` on."""
    created_at: datetime
    history: tuple[Change, ...]
    """Oldest first, never empty."""
    origin: str = "control"
    """`example`, `session`, `lifecycle`, `traffic` or `control`: who made it."""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """JSON fields laid over the API's answer, so that a test can make it say anything."""

    @property
    def status(self) -> Status:
        return self.history[-1].status

    @property
    def updated_at(self) -> datetime:
        return self.history[-1].updated_at

    @property
    def crypto_amount(self) -> Decimal | None:
        return self.history[-1].crypto_amount

    def moved(self, status: Status, updated_at: datetime | None = None) -> Transaction:
        """With one more status change. Unless `updated_at` is given it is now, and always later than the one before."""
        previous = self.history[-1]
        at = updated_at or max(datetime.now(UTC), previous.updated_at + timedelta(microseconds=1))
        has_crypto = status in (Status.PROCESSING, Status.COMPLETED)
        crypto = self.quoted_crypto if has_crypto else previous.crypto_amount
        return replace(self, history=(*self.history, Change(status, at, crypto)))

    def answer(self) -> dict[str, Any]:
        """The body of `GET /widget/transactions/{id}`: `transaction.json`'s fields, in its order."""
        body: dict[str, Any] = {
            "merchant_transaction_id": self.merchant_transaction_id,
            "partner_user_id": self.partner_user_id,
            **self._payment(self.history[-1]),
        }
        return {**body, **self.overrides} if self.overrides else body

    def webhook(self, change: Change) -> dict[str, Any]:
        """The partner webhook of one change: `partner-webhook.json`'s fields, in its order."""
        return {"merchant_transaction_id": self.merchant_transaction_id, **self._payment(change)}

    def _payment(self, change: Change) -> dict[str, Any]:
        return {
            "type": self.type,
            "status": change.status.value,
            "currency": self.currency,
            "network": self.network,
            "crypto_amount": format_amount(change.crypto_amount) or "",
            "fiat_currency": self.fiat_currency,
            "fiat_amount": format_amount(self.fiat_amount),
            "created_at": format_timestamp(self.created_at),
            "updated_at": format_timestamp(change.updated_at),
        }

    def to_json(self) -> dict[str, Any]:
        """The whole of it, for the control API and the state file (json_values.py); `from_json` reads it back."""
        return {**vars(self), "status": self.status}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Transaction:
        """Raises KeyError, TypeError or ValueError where `record` did not come from `to_json`."""
        known = {one.name: record[one.name] for one in fields(cls)}
        known["history"] = tuple(
            Change(Status(one["status"]), parse_timestamp(one["updated_at"]), parse_amount(one["crypto_amount"]))
            for one in record["history"]
        )
        known["created_at"] = parse_timestamp(record["created_at"])
        for name in ("fiat_amount", "quoted_crypto"):
            known[name] = parse_amount(record[name])
        if not known["history"] or None in known.values():
            raise ValueError("a transaction without a history or without amounts")
        return cls(**known)


def _at(hour: int, minute: int, second: int) -> datetime:
    return datetime(2026, 4, 1, hour, minute, second, tzinfo=UTC)


#: Proof's documented example (`transaction.json`), which the sandbox always holds. Only its last change is documented.
EXAMPLE = Transaction(
    merchant_transaction_id="550e8400-e29b-41d4-a716-446655440000",
    partner_user_id="user-123",
    type="buy",
    currency="USDT",
    network="TRC20",
    fiat_currency="EUR",
    fiat_amount=Decimal("100.00"),
    quoted_crypto=Decimal("99.50"),
    created_at=_at(10, 0, 0),
    history=(
        Change(Status.PENDING, _at(10, 0, 0), None),
        Change(Status.PROCESSING, _at(10, 1, 30), Decimal("99.50")),
        Change(Status.COMPLETED, _at(10, 3, 45), Decimal("99.50")),
    ),
    origin="example",
)

#: Finished transactions of the sandbox's own traffic that are kept; a demo that runs for months must not fill memory.
TRAFFIC_KEPT = 20_000


class TransactionExists(Exception):
    """There is a transaction of that id already."""


class UnknownTransaction(Exception):
    """There is no transaction of that id."""


class Store:
    """All transactions, oldest first. Reading takes no lock: values are frozen and swapped whole."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_id: dict[str, Transaction] = {}
        self._traffic: dict[str, None] = {}
        self.revision = 0
        """Grows with every change, so that a snapshot knows whether it is out of date."""
        self.clear()

    def get(self, transaction_id: str) -> Transaction | None:
        return self._by_id.get(transaction_id)

    def find(self, transaction_id: str) -> Transaction:
        """Raises UnknownTransaction."""
        transaction = self._by_id.get(transaction_id)
        if transaction is None:
            raise UnknownTransaction(transaction_id)
        return transaction

    def add(self, transaction: Transaction) -> None:
        """Raises TransactionExists."""
        with self._lock:
            if transaction.merchant_transaction_id in self._by_id:
                raise TransactionExists(transaction.merchant_transaction_id)
            self._put(transaction)

    def put(self, transaction: Transaction) -> None:
        """Adds it, or takes the place of the one of the same id."""
        with self._lock:
            self._put(transaction)

    def change(self, transaction_id: str, how: Callable[[Transaction], Transaction]) -> Transaction:
        """Replaces a transaction by `how` of it, and returns that. Raises UnknownTransaction."""
        with self._lock:
            changed = how(self.find(transaction_id))
            self._put(changed)
            return changed

    def page(self, offset: int, limit: int, newest_first: bool = False) -> list[Transaction]:
        with self._lock:
            values = reversed(self._by_id.values()) if newest_first else iter(self._by_id.values())
            return list(islice(values, offset, offset + limit))

    def all(self) -> list[Transaction]:
        with self._lock:
            return list(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)

    def touch(self) -> None:
        """Something that belongs to the transactions changed elsewhere."""
        with self._lock:
            self.revision += 1

    def clear(self) -> None:
        """Back to Proof's example alone."""
        with self._lock:
            self._by_id.clear()
            self._traffic.clear()
            self._put(EXAMPLE)

    def _put(self, transaction: Transaction) -> None:
        self._by_id[transaction.merchant_transaction_id] = transaction
        self.revision += 1
        if transaction.origin == "traffic":
            self._traffic[transaction.merchant_transaction_id] = None
            self._forget_old_traffic()

    def _forget_old_traffic(self) -> None:
        while len(self._traffic) > TRAFFIC_KEPT:
            oldest = next(iter(self._traffic))
            del self._traffic[oldest]
            self._by_id.pop(oldest, None)
