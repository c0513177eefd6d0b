"""A status change of the history has a version. Otherwise answers *as of* a time when it held lack it."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from webhook_app.domain.timestamps import format_timestamp
from webhook_app.models import HistoryEntry, TransactionVersion
from webhook_app.usecases.invariants.rule import Portion, Rule, within


def _find(session: Session, portion: Portion) -> Sequence[str]:
    kept = exists().where(
        TransactionVersion.merchant_transaction_id == HistoryEntry.merchant_transaction_id,
        TransactionVersion.status == HistoryEntry.status,
        TransactionVersion.updated_at == HistoryEntry.updated_at,
    )
    rows = session.execute(
        select(HistoryEntry.merchant_transaction_id, HistoryEntry.status, HistoryEntry.updated_at).where(
            within(HistoryEntry.id, portion), ~kept
        )
    )
    return [f"{transaction} was {status} from {format_timestamp(at)}" for transaction, status, at in rows]


RULE = Rule(
    "change_has_version",
    "Each status change has a version, or a past month cannot be looked up.",
    HistoryEntry.id,
    _find,
)
