"""What was reconciled has its transaction. Otherwise finance lacks a payment that operators see as done."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from webhook_app.models import Reconciliation, Transaction
from webhook_app.usecases.invariants.rule import Portion, Rule, within


def _find(session: Session, portion: Portion) -> Sequence[str]:
    confirmed = exists().where(Transaction.merchant_transaction_id == Reconciliation.merchant_transaction_id)
    return session.scalars(
        select(Reconciliation.merchant_transaction_id).where(
            within(Reconciliation.id, portion), Reconciliation.reconciled_at.is_not(None), ~confirmed
        )
    ).all()


RULE = Rule(
    "confirmed_is_there", "What Proof has confirmed is there for finance, or books lack it.", Reconciliation.id, _find
)
