"""Replay: a person sends failed reconciliations round again, with a full retry budget."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select, update

from webhook_app.db.database import Database
from webhook_app.models import Event, Reconciliation
from webhook_app.models.event import Delivery
from webhook_app.models.reconciliation import State


def replay_reconciliation(database: Database, merchant_transaction_id: str, now: datetime) -> bool:
    """Reopens a failed reconciliation, due at once; False when it is not failed (any more), so nothing was done."""
    with database.write() as session:
        row = session.scalars(
            select(Reconciliation)
            .where(
                Reconciliation.merchant_transaction_id == merchant_transaction_id,
                Reconciliation.state == State.FAILED,
            )
            .with_for_update()
        ).one_or_none()
        if row is None:
            return False
        row.state = State.RETRYING
        row.next_attempt_at = now
        row.generation += 1
        row.crashes = row.spent_attempts = row.single_retries = 0
        row.first_failed_at = None
        session.execute(
            update(Event)
            .where(
                Event.merchant_transaction_id == merchant_transaction_id,
                Event.delivery == Delivery.FAILED,
            )
            .values(delivery=Delivery.RETRYING)
        )
        return True
