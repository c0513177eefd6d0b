"""To look soon: something makes it worth to ask Proof at once, and is no event that has to be settled."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy.orm import Session

from webhook_app.models import Reconciliation
from webhook_app.models.reconciliation import State
from webhook_app.usecases.reconcile.lifecycle import changes
from webhook_app.usecases.reconcile.lifecycle.rows import lock, write_changes

#: Those that are confirmed, and wait for nothing but the time of their next look.
_WAITING = (State.WATCHING, State.SUCCEEDED)


def look_soon(session: Session, merchant_transaction_ids: Collection[str], now: datetime) -> int:
    """Brings the next look at each of them forward to now; returns how many. What backs off, is under way, or is over
    for good, stays as it is; what somebody has locked is being looked at anyway."""
    if not merchant_transaction_ids:
        return 0
    named = Reconciliation.merchant_transaction_id.in_(sorted(merchant_transaction_ids))
    brought = [
        changes.bring_forward(life, now)
        for life in lock(session, named, skip_locked=True)
        if life.state in _WAITING
        and life.claim_token is None
        and life.next_attempt_at is not None
        and life.next_attempt_at > now
    ]
    write_changes(session, brought)
    return len(brought)
