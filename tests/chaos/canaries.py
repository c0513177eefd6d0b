"""Canaries: single events, sent by the harness itself to see how long it takes until all is well again."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from sqlalchemy import func, select

from tests.chaos.compare import EventKey
from tests.chaos.rig import NotInTime, Rig, event_of
from webhook_app.domain.status import Status
from webhook_app.domain.timestamps import parse_timestamp
from webhook_app.models import Event, Reconciliation
from webhook_app.models.event import Delivery
from webhook_app.models.reconciliation import State

#: Seconds that the product has to recover from one fault.
RECOVERY_LIMIT = 45.0


class Canaries:
    """One after the other; `accepted` is what was answered with 2xx, and when."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._count = 0
        self.accepted: list[tuple[EventKey, datetime]] = []

    def fly(self) -> float:
        """Seconds until a new event was accepted and reconciled, and with it all that was accepted before. Raises
        NotInTime."""
        rig = self._rig
        self._count += 1
        transaction_id = f"canary-{self._count}"
        rig.control.create(transaction_id, status=Status.COMPLETED)
        payload = event_of(rig.control.transaction(transaction_id).answer())
        started, began = time.monotonic(), datetime.now(UTC)
        tries = 0
        while not rig.post(payload, tries, timeout=3).is_accepted:
            tries += 1
            if time.monotonic() - started > RECOVERY_LIMIT:
                raise NotInTime(f"{transaction_id} was not accepted")
            time.sleep(0.05)
        key = (transaction_id, payload["status"], parse_timestamp(payload["updated_at"]))
        self.accepted.append((key, datetime.now(UTC)))
        rig.until(lambda: self._is_done(transaction_id), f"{transaction_id} is reconciled", RECOVERY_LIMIT)
        rig.until(lambda: self._nothing_waits(began), "all that was accepted before is reconciled", RECOVERY_LIMIT)
        return time.monotonic() - started

    def _is_done(self, transaction_id: str) -> bool:
        with self._rig.database.read() as session:
            query = select(Reconciliation.state).where(Reconciliation.merchant_transaction_id == transaction_id)
            return session.scalar(query) == State.SUCCEEDED

    def _nothing_waits(self, before: datetime) -> bool:
        if self._rig.spool_size():
            return False
        with self._rig.database.read() as session:
            query = select(func.count()).where(
                Event.received_at < before,
                Event.delivery.in_((Delivery.PENDING, Delivery.RETRYING)),
                Event.merchant_transaction_id.not_like("poison-%"),
            )
            return session.scalar(query) == 0
