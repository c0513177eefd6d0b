"""An event that waits has a reconciliation with a next attempt. Otherwise it waits for ever, and nobody is told."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from webhook_app.models import Event, Reconciliation
from webhook_app.models.event import Delivery
from webhook_app.models.reconciliation import State
from webhook_app.usecases.invariants.rule import Portion, Rule, within


def _find(session: Session, portion: Portion) -> Sequence[str]:
    rows = session.execute(
        select(Event.id, Event.merchant_transaction_id, Reconciliation.state)
        .join(Reconciliation, Reconciliation.merchant_transaction_id == Event.merchant_transaction_id)
        .where(
            within(Event.id, portion),
            Event.is_opened,
            Event.delivery.in_((Delivery.PENDING, Delivery.RETRYING)),
            ~Reconciliation.has_events_behind,
            or_(Reconciliation.state == State.FAILED, Reconciliation.next_attempt_at.is_(None)),
        )
    )
    return [f"event {id} of {transaction} waits, its reconciliation is {state}" for id, transaction, state in rows]


RULE = Rule("event_is_waited_for", "Each event that waits will be tried again, or it waits for ever.", Event.id, _find)
