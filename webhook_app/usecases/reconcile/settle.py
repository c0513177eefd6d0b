"""Settling: how the events of a transaction move on with its reconciliation, seen as deliveries."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from webhook_app.models import Event
from webhook_app.models.event import Delivery

#: A statement has room for 32,766 values on SQLite and 65,535 on PostgreSQL; anybody may send more events than that.
_MOST_IDS = 10_000


def settle_events(session: Session, event_ids: Sequence[int], now: datetime) -> None:
    """Proof's answer is newer than these events: they have succeeded."""
    for start in range(0, len(event_ids), _MOST_IDS):
        session.execute(
            update(Event)
            .where(Event.id.in_(event_ids[start : start + _MOST_IDS]), Event.delivery != Delivery.SUCCEEDED)
            .values(delivery=Delivery.SUCCEEDED, settled_at=now)
            .execution_options(synchronize_session=False)
        )


def move_unsettled_events(session: Session, merchant_transaction_id: str, delivery: Delivery) -> None:
    """All events of the transaction that are not settled become `delivery`.

    A late look at a transaction may fail when all its events have long been settled. What gave up must be seen, so its
    newest event is a failed delivery again.
    """
    of_transaction = Event.merchant_transaction_id == merchant_transaction_id
    moved = session.execute(
        update(Event)
        .where(of_transaction, Event.delivery != Delivery.SUCCEEDED)
        .values(delivery=delivery)
        .returning(Event.id)
        .execution_options(synchronize_session=False)
    ).all()
    if delivery is Delivery.FAILED and not moved:
        newest = select(func.max(Event.id)).where(of_transaction).scalar_subquery()
        session.execute(
            update(Event)
            .where(Event.id == newest)
            .values(delivery=delivery, settled_at=None)
            .execution_options(synchronize_session=False)
        )
