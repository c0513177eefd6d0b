"""What a person may have copied from somewhere, found by its whole text: a transaction, a user, a request of ours to
Proof."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select

from webhook_app.db.database import Database
from webhook_app.models import Attempt, Event, Reconciliation, Transaction


@dataclass(frozen=True)
class Found:
    """One of the two is set."""

    merchant_transaction_id: str | None = None
    partner_user_id: str | None = None


def find_exactly(database: Database, text: str) -> Found | None:
    """The transaction with this id; else the one of the newest failed attempt with this `X-Request-Id`; else the user
    with this id. Each is one look into an index."""
    by_id = select(Reconciliation.merchant_transaction_id).where(Reconciliation.merchant_transaction_id == text)
    # What has just been reported has no reconciliation yet.
    by_event = select(Event.merchant_transaction_id).where(Event.merchant_transaction_id == text).limit(1)
    by_request = (
        select(Reconciliation.merchant_transaction_id)
        .join(Attempt, Attempt.reconciliation_id == Reconciliation.id)
        .where(Attempt.request_id == text, Attempt.error.is_not(None))
        .order_by(Attempt.id.desc())
        .limit(1)
    )
    by_user = select(Transaction.partner_user_id).where(Transaction.partner_user_id == text).limit(1)
    with database.read() as session:
        for query in (by_id, by_event, by_request):
            if (transaction := session.scalar(query)) is not None:
                return Found(merchant_transaction_id=transaction)
        user = session.scalar(by_user)
    return None if user is None else Found(partner_user_id=user)
