"""An event that was opened under a generation that Proof's answer has settled is settled. Otherwise operators see as
waiting or failed what finance sees as done."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from webhook_app.models import Event, Reconciliation
from webhook_app.usecases.invariants.rule import Portion, Rule, within


def _find(session: Session, portion: Portion) -> Sequence[str]:
    rows = session.execute(
        select(Event.id, Event.merchant_transaction_id, Event.delivery)
        .join(Reconciliation, Reconciliation.merchant_transaction_id == Event.merchant_transaction_id)
        .where(
            within(Event.id, portion),
            Event.settled_at.is_(None),
            Event.opened_generation <= Reconciliation.settled_generation,
            ~Reconciliation.has_events_behind,
        )
    )
    return [f"event {id} of {transaction} is {delivery}, though answered" for id, transaction, delivery in rows]


RULE = Rule("event_follows_answer", "Each event that Proof's answer settles is shown as settled.", Event.id, _find)
