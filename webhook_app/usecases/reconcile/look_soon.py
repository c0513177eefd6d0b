"""To look soon: something makes it worth to ask Proof at once, and is no event that has to be settled."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from webhook_app.models import Reconciliation
from webhook_app.models.reconciliation import State
from webhook_app.usecases.reconcile.lifecycle import changes
from webhook_app.usecases.reconcile.lifecycle.changes import Life
from webhook_app.usecases.reconcile.lifecycle.rows import lock, write_changes

#: Those that are confirmed, and wait for nothing but the time of their next look.
_WAITING = (State.WATCHING, State.SUCCEEDED)


def look_soon(
    session: Session, merchant_transaction_ids: Collection[str], now: datetime, gap: timedelta = timedelta()
) -> int:
    """Brings the next look at each of them forward to now, but no sooner than `gap` after the last answer, so that no
    number of messages is more calls than polling at that gap. Returns how many. What backs off, is under way, or is
    over for good, stays as it is; what somebody has locked is being looked at anyway."""
    if not merchant_transaction_ids:
        return 0
    named = Reconciliation.merchant_transaction_id.in_(sorted(merchant_transaction_ids))
    brought = []
    for life in lock(session, named, skip_locked=True):
        # An answer that seems to come later is of a clock that was set back since.
        at = max(now, min(life.reconciled_at, now) + gap) if life.reconciled_at else now
        if _waits(life) and life.next_attempt_at is not None and life.next_attempt_at > at:
            brought.append(changes.bring_forward(life, at))
    write_changes(session, brought)
    return len(brought)


def _waits(life: Life) -> bool:
    return life.state in _WAITING and life.claim_token is None
