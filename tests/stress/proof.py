"""A Proof in memory, for a clock of its own: what each transaction is now, and events and answers that tell of it."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from tests.support.answers import DB_ERROR, NOT_FOUND, UNAVAILABLE, confirmed
from tests.support.clock import START
from webhook_app.adapters.proof import Confirmed
from webhook_app.domain.failures import Failure
from webhook_app.domain.status import FINAL, Status
from webhook_app.usecases.receive.ingest import ReportedEvent

EventKey = tuple[str, str, str]

_NEXT = {
    Status.PENDING: (Status.PROCESSING, Status.CANCELLED),
    Status.PROCESSING: (Status.COMPLETED, Status.COMPLETED, Status.FAILED),
    Status.FAILED: (Status.PROCESSING,),
}
_AMOUNT = "2.50"


@dataclass(frozen=True)
class Moment:
    status: Status
    updated_at: datetime


class VirtualProof:
    """Every failure is of one call alone; `is_well` ends them all."""

    def __init__(self, transactions: int) -> None:
        self.ids = [f"t-{number:04}" for number in range(transactions)]
        self.is_well = False
        self._guard = threading.Lock()
        self._history = {id: [Moment(Status.PENDING, START)] for id in self.ids}

    def was(self, id: str, status: str, updated_at: datetime) -> bool:
        """Whether the transaction was ever so."""
        return Moment(Status(status), updated_at) in self._history[id]

    def advance(self, rng: random.Random, at: datetime) -> None:
        """Some transactions go on, if they can."""
        with self._guard:
            for id in rng.choices(self.ids, k=10):
                last = self._history[id][-1]
                if last.status not in FINAL and at >= last.updated_at + timedelta(seconds=1):
                    self._history[id].append(Moment(rng.choice(_NEXT[last.status]), at.replace(microsecond=0)))

    def events(self, rng: random.Random, most: int) -> Sequence[ReportedEvent]:
        """New ones and copies, of any moment; some copies have other values."""
        return [self._event(id, rng) for id in rng.choices(self.ids, k=rng.randint(1, most))]

    def answer(self, rng: random.Random, id: str) -> Confirmed | Failure:
        chance = 1.0 if self.is_well else rng.random()
        if chance < 0.1:
            return NOT_FOUND
        if chance < 0.2:
            return rng.choice((DB_ERROR, UNAVAILABLE))
        now = self._history[id][-1]
        return confirmed(now.status, now.updated_at, id=id, fiat_amount=_AMOUNT)

    def _event(self, id: str, rng: random.Random) -> ReportedEvent:
        moment = rng.choice(self._history[id])
        amount = rng.choice((_AMOUNT, _AMOUNT, "9.99"))
        return ReportedEvent(
            merchant_transaction_id=id,
            status=moment.status,
            updated_at=moment.updated_at,
            updated_at_key=moment.updated_at.isoformat(),
            type="buy",
            currency="USDT",
            network="TRC20",
            crypto_amount=Decimal(1),
            fiat_currency="EUR",
            fiat_amount=Decimal(amount),
            created_at=START,
            warnings=(),
            body=amount.encode(),
        )


def key_of(event: ReportedEvent) -> EventKey:
    return event.merchant_transaction_id, event.status, event.updated_at_key
