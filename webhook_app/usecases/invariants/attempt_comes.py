"""A next attempt is never further ahead than any wait can be. Otherwise a transaction stands still, and looks as if it
were under way."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from webhook_app.domain.timestamps import format_timestamp
from webhook_app.models import Reconciliation
from webhook_app.usecases.invariants.rule import Portion, Rule, within

#: RETRY_CAP and POLL_LONGEST are a day at most.
_LONGEST = timedelta(days=7)


def _find(session: Session, portion: Portion) -> Sequence[str]:
    rows = session.execute(
        select(Reconciliation.merchant_transaction_id, Reconciliation.next_attempt_at).where(
            within(Reconciliation.id, portion), Reconciliation.next_attempt_at > portion.now + _LONGEST
        )
    )
    return [f"{transaction} is next asked for at {format_timestamp(at)}" for transaction, at in rows]


RULE = Rule(
    "attempt_comes", "Each next attempt comes within days, or its transaction stands still.", Reconciliation.id, _find
)
