"""A transaction's present status stands in its history. Otherwise it lacks a change that finance has booked."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from webhook_app.models import HistoryEntry, Reconciliation, Transaction
from webhook_app.usecases.invariants.rule import Portion, Rule, within


def _find(session: Session, portion: Portion) -> Sequence[str]:
    told = exists().where(
        HistoryEntry.merchant_transaction_id == Transaction.merchant_transaction_id,
        HistoryEntry.status == Transaction.status,
        HistoryEntry.updated_at == Transaction.updated_at,
    )
    rows = session.execute(
        select(Transaction.merchant_transaction_id, Transaction.status)
        .join(Reconciliation, Reconciliation.merchant_transaction_id == Transaction.merchant_transaction_id)
        .where(within(Reconciliation.id, portion), ~told)
    )
    return [f"{transaction} is {status}" for transaction, status in rows]


RULE = Rule("status_is_in_history", "Each status that is held stands in the history.", Reconciliation.id, _find)
