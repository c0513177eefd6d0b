"""Events that wait unopened, as taking in leaves them, and the opening of their work, whenever a test wants it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, insert, select

from tests.support.clock import START
from tests.support.example_rows import EVENT
from webhook_app.db.database import Database
from webhook_app.models import Event
from webhook_app.usecases.reconcile.lifecycle.asking import ask_for_reconciliations


def unopened_row(merchant_transaction_id: str, received_at: datetime = START, **changes: Any) -> dict[str, Any]:
    """A row of `events` that carries its first receipt and waits unopened."""
    told = {"merchant_transaction_id": merchant_transaction_id, "received_at": received_at, "is_opened": False}
    return EVENT | told | {"remote_addr": "203.0.113.7", "headers": {"User-Agent": "Proof-Webhooks/1.0"}} | changes


def add_all_unopened(database: Database, rows: Sequence[dict[str, Any]]) -> Sequence[int]:
    """Puts these rows in, in their order; their ids."""
    with database.write() as session:
        inserted = insert(Event).returning(Event.id, sort_by_parameter_order=True)
        return session.scalars(inserted, list(rows)).all()


def add_unopened(
    database: Database, merchant_transaction_id: str, received_at: datetime = START, **changes: Any
) -> int:
    """The same for one, made by `unopened_row`; its id."""
    return add_all_unopened(database, [unopened_row(merchant_transaction_id, received_at, **changes)])[0]


def open_work(database: Database, *merchant_transaction_ids: str) -> None:
    """Opens the work of the events of these transactions, or asks for it again: in the order that a test wants."""
    of_them = Event.merchant_transaction_id.in_(merchant_transaction_ids), ~Event.is_opened
    with database.write() as session:
        asked_at = session.execute(
            select(Event.merchant_transaction_id, func.min(Event.received_at))
            .where(*of_them)
            .group_by(Event.merchant_transaction_id)
        )
        generations = ask_for_reconciliations(session, dict(asked_at.all()))
        for event in session.scalars(select(Event).where(*of_them)):
            event.is_opened, event.opened_generation = True, generations[event.merchant_transaction_id]
