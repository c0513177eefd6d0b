"""Looking soon: somebody has seen something move, so the next look at a transaction comes before its time."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from webhook_app.models import Reconciliation
from webhook_app.models.reconciliation import State
from webhook_app.usecases.reconcile.lifecycle import changes
from webhook_app.usecases.reconcile.lifecycle.rows import lock, write_changes


def look_soon(session: Session, merchant_transaction_id: str, now: datetime, gap: timedelta) -> bool:
    """Makes the next look due now, or `gap` after the last one, so that no number of messages is more calls than
    polling at that gap. Whether it moved: what backs off keeps its backoff, what has no next look gets none, and what
    somebody has locked is being looked at."""
    named = Reconciliation.merchant_transaction_id == merchant_transaction_id
    for life in lock(session, named, skip_locked=True):
        if life.state not in (State.WATCHING, State.SUCCEEDED) or life.next_attempt_at is None:
            return False
        at = max(now, life.reconciled_at + gap) if life.reconciled_at else now
        if at < life.next_attempt_at:
            write_changes(session, [changes.bring_forward(life, at)])
            return True
    return False
