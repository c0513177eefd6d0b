"""A version begins where the one before it ended, and the first with the history. Otherwise there is a time for which
no answer *as of* can be given."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import exists, select
from sqlalchemy.orm import Session, aliased

from webhook_app.domain.timestamps import format_timestamp
from webhook_app.models import HistoryEntry, TransactionVersion
from webhook_app.usecases.invariants.rule import Portion, Rule, within


def _find(session: Session, portion: Portion) -> Sequence[str]:
    before = aliased(TransactionVersion)
    of_same = before.merchant_transaction_id == TransactionVersion.merchant_transaction_id
    joins = exists().where(
        of_same, before.superseded_at == TransactionVersion.recorded_at, before.id < TransactionVersion.id
    )
    first_change_at = (
        select(HistoryEntry.recorded_at)
        .where(HistoryEntry.merchant_transaction_id == TransactionVersion.merchant_transaction_id)
        .order_by(HistoryEntry.id)
        .limit(1)
        .scalar_subquery()
    )
    rows = session.execute(
        select(TransactionVersion.merchant_transaction_id, TransactionVersion.recorded_at).where(
            within(TransactionVersion.id, portion),
            ~joins,
            TransactionVersion.recorded_at != first_change_at,
        )
    )
    return [f"{transaction} has none until {format_timestamp(at)}" for transaction, at in rows]


RULE = Rule(
    "versions_join",
    "Each version begins where the one before it ended, or there is a time of which nothing is known.",
    TransactionVersion.id,
    _find,
)
