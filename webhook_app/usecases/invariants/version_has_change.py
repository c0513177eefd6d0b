"""A former version's status stands in the history. Otherwise the history lacks a step, and a payment seems to have gone
another way than it did."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from webhook_app.domain.timestamps import format_timestamp
from webhook_app.models import HistoryEntry, TransactionVersion
from webhook_app.usecases.invariants.rule import Portion, Rule, within


def _find(session: Session, portion: Portion) -> Sequence[str]:
    told = exists().where(
        HistoryEntry.merchant_transaction_id == TransactionVersion.merchant_transaction_id,
        HistoryEntry.status == TransactionVersion.status,
        HistoryEntry.updated_at == TransactionVersion.updated_at,
    )
    rows = session.execute(
        select(
            TransactionVersion.merchant_transaction_id, TransactionVersion.status, TransactionVersion.updated_at
        ).where(within(TransactionVersion.id, portion), TransactionVersion.superseded_at.is_not(None), ~told)
    )
    return [f"{transaction} was {status} from {format_timestamp(at)}" for transaction, status, at in rows]


RULE = Rule(
    "version_has_change",
    "Each former version's status stands in the history, or the history lacks a step.",
    TransactionVersion.id,
    _find,
)
