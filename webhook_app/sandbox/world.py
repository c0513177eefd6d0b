"""Everything the sandbox holds, wired together, and what can be done to it."""

from __future__ import annotations

import random
import threading
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from webhook_app.domain.status import Status
from webhook_app.domain.timestamps import utc_now
from webhook_app.logs import get_logger
from webhook_app.sandbox.behaviour import Behaviour
from webhook_app.sandbox.calls import CallLog
from webhook_app.sandbox.catalogue import Purchase, Quote, invent_purchase
from webhook_app.sandbox.injection import FaultBook
from webhook_app.sandbox.lifecycles import Ending, Lifecycles, LifecycleStep, Plan, plan_lifecycle
from webhook_app.sandbox.scheduler import Scheduler
from webhook_app.sandbox.transactions import Change, Store, Transaction, UnknownTransaction
from webhook_app.sandbox.updates import Updates
from webhook_app.sandbox.webhooks import Webhooks


class WidgetAction(StrEnum):
    """What a person does to a payment on the sandbox's page."""

    PAY = "pay"
    FAIL = "fail"
    CANCEL = "cancel"
    RETRY = "retry"


#: The statuses from which each makes sense, and the one that follows.
WIDGET_ACTIONS: dict[WidgetAction, tuple[frozenset[Status], Status]] = {
    WidgetAction.PAY: (frozenset({Status.PENDING}), Status.PROCESSING),
    WidgetAction.FAIL: (frozenset({Status.PENDING, Status.PROCESSING}), Status.FAILED),
    WidgetAction.CANCEL: (frozenset({Status.PENDING}), Status.CANCELLED),
    WidgetAction.RETRY: (frozenset({Status.FAILED}), Status.PROCESSING),
}


class NotPossible(Exception):
    """The transaction's status does not allow the action."""


@dataclass(frozen=True)
class NewTransaction:
    """What a test or a person wants to have; None is invented."""

    merchant_transaction_id: str | None = None
    status: Status = Status.PENDING
    partner_user_id: str | None = None
    type: str | None = None
    currency: str | None = None
    network: str | None = None
    fiat_currency: str | None = None
    fiat_amount: Decimal | None = None
    crypto_amount: Decimal | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


class World:
    """`start` and `stop` are called once each."""

    def __init__(self, behaviour: Behaviour, seed: int | None) -> None:
        self.rng = random.Random(seed)
        self._seeded = seed is not None
        self._lock = threading.Lock()
        self._behaviour = behaviour
        self._traffic_serial = 0
        self.store = Store()
        self.calls = CallLog()
        self.faults = FaultBook(random.Random(f"{seed}/faults") if self._seeded else random.Random())
        self.scheduler = Scheduler(behaviour.speed)
        self.lifecycles = Lifecycles(self.scheduler, self._move)
        self.webhooks = Webhooks(self.scheduler, lambda: self._behaviour, seed)
        self.updates = Updates(
            self.scheduler,
            lambda: self._behaviour,
            random.Random(f"{seed}/updates") if self._seeded else random.Random(),
        )

    @property
    def behaviour(self) -> Behaviour:
        return self._behaviour

    def start(self) -> None:
        self.scheduler.start()
        self.webhooks.start()
        self._restart_traffic()

    def stop(self) -> None:
        self.scheduler.stop()
        self.webhooks.stop()

    def configure(self, changes: Mapping[str, Any]) -> Behaviour:
        """Replaces fields of Behaviour. Raises ValueError that names the field."""
        with self._lock:
            previous, self._behaviour = self._behaviour, replace(self._behaviour, **changes)
            now = self._behaviour
        if now.speed != previous.speed:
            self.scheduler.set_speed(now.speed)
        if (now.speed, now.traffic) != (previous.speed, previous.traffic):
            self._restart_traffic()
        return now

    def reset(self) -> None:
        """Example transaction alone, no faults, no counts; the behaviour stays."""
        self.scheduler.clear()
        self.lifecycles.clear()
        self.webhooks.clear()
        self.updates.clear()
        self.store.clear()
        self.faults.clear()
        self.calls.clear()
        self._restart_traffic()

    def create(self, wanted: NewTransaction, webhook: bool = False) -> Transaction:
        """A transaction in the state that is asked for, which nothing moves. Raises TransactionExists."""
        with self._lock:
            invented = invent_purchase(self.rng, wanted.type)
        purchase = Purchase(
            invented.transaction_type,
            wanted.currency or invented.currency,
            wanted.network or invented.network,
            wanted.fiat_currency or invented.fiat_currency,
            invented.amount,
            wanted.partner_user_id or invented.partner_user_id,
        )
        quoted = purchase.quote()
        if wanted.fiat_amount is not None:
            bought = replace(purchase, transaction_type="buy", amount=wanted.fiat_amount).quote()
            quoted = replace(bought, fiat_amount=wanted.fiat_amount)
        if wanted.crypto_amount is not None:
            quoted = replace(quoted, crypto_amount=wanted.crypto_amount)
        created_at = wanted.created_at or wanted.updated_at or utc_now()
        crypto = quoted.crypto_amount if wanted.status in (Status.PROCESSING, Status.COMPLETED) else None
        first = Change(wanted.status, wanted.updated_at or created_at, crypto)
        transaction = self._add(purchase, quoted, first, "control", wanted.merchant_transaction_id, created_at)
        if webhook:
            self.webhooks.announce(transaction)
        return transaction

    def open_session(self, purchase: Purchase, ending: Ending, origin: str) -> Transaction:
        """A pending transaction, its webhook, and the statuses that follow."""
        first = Change(Status.PENDING, utc_now(), None)
        transaction = self._add(purchase, purchase.quote(), first, origin)
        self.webhooks.announce(transaction)
        with self._lock:
            plan = plan_lifecycle(ending, self.rng)
        self._follow(transaction.merchant_transaction_id, plan)
        return transaction

    def start_lifecycle(self, ending: Ending, transaction_type: str | None, origin: str = "lifecycle") -> Transaction:
        """An invented customer's payment that moves by itself."""
        with self._lock:
            purchase = invent_purchase(self.rng, transaction_type)
        return self.open_session(purchase, ending, origin)

    def set_status(
        self, transaction_id: str, status: Status, updated_at: datetime | None = None, webhook: bool = True
    ) -> Transaction:
        """Changes the status now, impossible steps included, and ends the lifecycle. Raises UnknownTransaction."""
        self.lifecycles.stop(transaction_id)
        return self._change(transaction_id, lambda held: held.moved(status, updated_at), webhook)

    def act(self, transaction_id: str, action: WidgetAction) -> Transaction:
        """What a person does in the widget. Raises UnknownTransaction, or NotPossible where the status does not allow
        it."""
        possible_from, following = WIDGET_ACTIONS[action]

        def move(held: Transaction) -> Transaction:
            if held.status not in possible_from:
                raise NotPossible(f"A transaction that is {held.status} cannot {action}.")
            return held.moved(following)

        self.lifecycles.stop(transaction_id)
        changed = self._change(transaction_id, move)
        if following is Status.PROCESSING:
            with self._lock:
                wait = self.rng.uniform(5, 20)
            self._follow(transaction_id, (LifecycleStep(round(wait, 3), Status.COMPLETED),))
        return changed

    def change_fields(self, transaction_id: str, changes: Mapping[str, Any]) -> Transaction:
        """Replaces fields of Transaction, without a status change. Raises UnknownTransaction."""
        return self.store.change(transaction_id, lambda held: replace(held, **changes))

    def counts(self) -> dict[str, int]:
        """All counters there are, by name."""
        return {
            "transactions": len(self.store),
            "lifecycles_in_progress": self.lifecycles.in_progress(),
            "lifecycles_finished": self.lifecycles.finished,
            **self.calls.counts(),
            **self.webhooks.counts(),
            **self.updates.counts(),
        }

    def snapshot(self) -> dict[str, Any]:
        """What survives a restart: transactions, and what their lifecycles still have before them."""
        with self.lifecycles.standing_still():
            remaining = self.lifecycles.remaining()
            transactions = self.store.all()
        return {
            "version": 1,
            "transactions": [transaction.to_json() for transaction in transactions],
            "plans": {
                transaction_id: [[step.after, step.status.value] for step in plan]
                for transaction_id, plan in remaining.items()
            },
        }

    def restore(self, snapshot: Mapping[str, Any]) -> int:
        """Takes a snapshot up, before `start`, and returns how many transactions it had. Raises KeyError, TypeError or
        ValueError."""
        if snapshot["version"] != 1:
            raise ValueError("a snapshot of another version")
        transactions = [Transaction.from_json(record) for record in snapshot["transactions"]]
        plans: dict[str, Plan] = {
            transaction_id: tuple(LifecycleStep(float(after), Status(status)) for after, status in steps)
            for transaction_id, steps in snapshot["plans"].items()
        }
        for transaction in transactions:
            self.store.put(transaction)
        for transaction_id, plan in plans.items():
            if self.store.get(transaction_id) is not None:
                self.lifecycles.start(transaction_id, plan)
        return len(transactions)

    def _follow(self, transaction_id: str, plan: Plan) -> None:
        self.lifecycles.start(transaction_id, plan)
        self.store.touch()  # a snapshot taken just before knows nothing of the plan

    def _move(self, transaction_id: str, status: Status) -> None:
        with suppress(UnknownTransaction):  # forgotten, or reset, in between
            self._change(transaction_id, lambda held: held.moved(status))

    def _change(
        self, transaction_id: str, how: Callable[[Transaction], Transaction], webhook: bool = True
    ) -> Transaction:
        """With one more status change, told over WebSocket and by its webhook. Raises UnknownTransaction."""
        changed = self.store.change(transaction_id, how)
        self.updates.announce(changed)
        if webhook:
            self.webhooks.announce(changed)
        return changed

    def _add(
        self,
        purchase: Purchase,
        quoted: Quote,
        first: Change,
        origin: str,
        transaction_id: str | None = None,
        created_at: datetime | None = None,
    ) -> Transaction:
        """`created_at` is that of the first change unless it is given. Raises TransactionExists."""
        with self._lock:
            chosen_id = transaction_id or self._new_id()
        transaction = Transaction(
            merchant_transaction_id=chosen_id,
            partner_user_id=purchase.partner_user_id,
            type=purchase.transaction_type,
            currency=purchase.currency,
            network=purchase.network,
            fiat_currency=purchase.fiat_currency,
            fiat_amount=quoted.fiat_amount,
            quoted_crypto=quoted.crypto_amount,
            created_at=created_at or first.updated_at,
            history=(first,),
            origin=origin,
        )
        self.store.add(transaction)
        return transaction

    def _new_id(self) -> str:
        """A UUID no transaction has; after a restart the seed would give the same ones again."""
        while True:
            number = uuid.UUID(int=self.rng.getrandbits(128), version=4) if self._seeded else uuid.uuid4()
            if self.store.get(str(number)) is None:
                return str(number)

    def _restart_traffic(self) -> None:
        with self._lock:
            self._traffic_serial += 1
            serial = self._traffic_serial
        self._plan_traffic(serial, first=True)

    def _plan_traffic(self, serial: int, first: bool = False) -> None:
        behaviour = self._behaviour
        if behaviour.traffic <= 0:
            return
        # On the wall clock, hence times the speed. The first comes soon, so that a newcomer sees something happen.
        wall_seconds = 60 / behaviour.traffic
        if first:
            wall_seconds = min(wall_seconds, 1.0)
        self.scheduler.after(wall_seconds * behaviour.speed, lambda: self._start_traffic(serial))

    def _start_traffic(self, serial: int) -> None:
        if serial != self._traffic_serial:
            return  # the settings have changed since
        transaction = self.start_lifecycle(Ending.ANY, None, origin="traffic")
        get_logger().debug("sandbox_payment_started", merchant_transaction_id=transaction.merchant_transaction_id)
        self._plan_traffic(serial)
