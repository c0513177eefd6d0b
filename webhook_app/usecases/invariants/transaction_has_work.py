"""A confirmed transaction has its reconciliation. Without one it is never asked for again, and stands in no list."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import exists, false, or_, select
from sqlalchemy.orm import Session

from webhook_app.models import Reconciliation, Transaction
from webhook_app.usecases.invariants.rule import Portion, Rule, within


def _find(session: Session, portion: Portion) -> Sequence[str]:
    work = exists().where(Reconciliation.merchant_transaction_id == Transaction.merchant_transaction_id)
    # One that had none when it was confirmed has no place in the lists' order.
    unplaced = Transaction.reconciliation_id.is_(None) if portion.after == 0 else false()
    return session.scalars(
        select(Transaction.merchant_transaction_id).where(
            or_(within(Transaction.reconciliation_id, portion), unplaced), ~work
        )
    ).all()


RULE = Rule(
    "transaction_has_work",
    "Each confirmed transaction has its reconciliation, or it stands in no list.",
    Transaction.reconciliation_id,
    _find,
)
