"""A claim's lease ends soon. Otherwise no worker ever takes its transaction again when the one that has it died."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from webhook_app.domain.timestamps import format_timestamp
from webhook_app.models import Reconciliation
from webhook_app.usecases.invariants.rule import Portion, Rule, within

#: A call takes 180 s at most, LEASE_MARGIN is an hour at most.
_LONGEST = timedelta(hours=6)


def _find(session: Session, portion: Portion) -> Sequence[str]:
    rows = session.execute(
        select(Reconciliation.merchant_transaction_id, Reconciliation.lease_until).where(
            within(Reconciliation.id, portion), Reconciliation.lease_until > portion.now + _LONGEST
        )
    )
    return [f"{transaction} is claimed until {format_timestamp(until)}" for transaction, until in rows]


RULE = Rule("claim_ends", "Each claim ends, or no worker takes its transaction again.", Reconciliation.id, _find)
