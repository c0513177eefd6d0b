"""What follows `completed` or `cancelled` has a discrepancy. Otherwise books that are closed are wrong, and nobody is
told."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import exists, select
from sqlalchemy.orm import Session, aliased

from webhook_app.domain.status import FINAL
from webhook_app.models import Discrepancy, HistoryEntry
from webhook_app.models.discrepancy import DiscrepancyKind
from webhook_app.usecases.invariants.rule import Portion, Rule, within

_KINDS = (DiscrepancyKind.TERMINAL_CHANGED, DiscrepancyKind.IMPOSSIBLE_STEP)


def _find(session: Session, portion: Portion) -> Sequence[str]:
    later = aliased(HistoryEntry)
    told = exists().where(
        Discrepancy.merchant_transaction_id == HistoryEntry.merchant_transaction_id, Discrepancy.kind.in_(_KINDS)
    )
    rows = session.execute(
        select(HistoryEntry.merchant_transaction_id, HistoryEntry.status, later.status)
        .join(later, later.merchant_transaction_id == HistoryEntry.merchant_transaction_id)
        .where(
            within(HistoryEntry.id, portion),
            HistoryEntry.status.in_(sorted(FINAL)),
            later.updated_at > HistoryEntry.updated_at,
            ~told,
        )
    )
    return [f"{transaction} went from {before} to {after}" for transaction, before, after in rows]


RULE = Rule(
    "final_change_is_told",
    "Each change of what was final has a discrepancy, or closed books are wrong and nobody is told.",
    HistoryEntry.id,
    _find,
)
