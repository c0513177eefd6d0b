"""Marks on reconciliations beside how they stand: events that follow in portions, and unknown ids to be gathered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from webhook_app.models import Reconciliation
from webhook_app.models.reconciliation import IS_UNGATHERED

_TABLE: Any = Reconciliation.__table__


def note_events_behind(session: Session, names: Sequence[str], *, are_behind: bool) -> None:
    """Notes of these transactions, which the caller holds locked, whether events of theirs are behind."""
    named = _TABLE.c.merchant_transaction_id.in_(names)
    session.execute(
        update(_TABLE).where(named, _TABLE.c.has_events_behind != are_behind).values(has_events_behind=are_behind)
    )


@dataclass(frozen=True)
class UnknownId:
    merchant_transaction_id: str
    failed_at: datetime | None


def mark_unknown(session: Session, ids: Sequence[int]) -> None:
    """Notes of these reconciliations, which the caller holds locked, that they are about ids to be gathered; one that
    is gathered stays so."""
    if ids:
        session.execute(
            update(_TABLE).where(_TABLE.c.id.in_(ids), _TABLE.c.is_gathered.is_(None)).values(is_gathered=False)
        )


def take_ungathered(session: Session, limit: int) -> Sequence[UnknownId]:
    """The ids that are marked and not gathered yet, in the order of their reconciliations, without those that somebody
    has locked; now they are gathered."""
    rows = session.execute(
        select(_TABLE.c.id, _TABLE.c.merchant_transaction_id, _TABLE.c.last_failed_at)
        .where(IS_UNGATHERED)
        .order_by(_TABLE.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    if rows:
        session.execute(update(_TABLE).where(_TABLE.c.id.in_([row.id for row in rows])).values(is_gathered=True))
    return [UnknownId(row.merchant_transaction_id, row.last_failed_at) for row in rows]
