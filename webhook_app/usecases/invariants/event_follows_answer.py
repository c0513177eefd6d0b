"""An event is settled by Proof's answer to what it asked for, and by nothing else. Otherwise operators see as waiting
what finance sees as done, or as done what was never asked for."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from webhook_app.models import Event, Reconciliation
from webhook_app.models.reconciliation import State
from webhook_app.usecases.invariants.rule import Portion, Rule, within


def _find(session: Session, portion: Portion) -> Sequence[str]:
    is_answered = Event.opened_generation <= Reconciliation.settled_generation
    # What gave up at a late look, and is tried again, has an event that is not settled any more.
    is_done = and_(Reconciliation.state.in_((State.SUCCEEDED, State.WATCHING)), ~Reconciliation.has_events_behind)
    left_behind = and_(Event.settled_at.is_(None), is_answered, is_done)
    # Until migration 0022 it was not noted what an answer had settled.
    is_noted = or_(Reconciliation.settled_generation > 0, Reconciliation.reconciled_at.is_(None))
    ahead = and_(Event.settled_at.is_not(None), ~is_answered, is_noted)
    rows = session.execute(
        select(Event.id, Event.merchant_transaction_id, Event.delivery, is_answered)
        .join(Reconciliation, Reconciliation.merchant_transaction_id == Event.merchant_transaction_id)
        .where(within(Event.id, portion), or_(left_behind, ahead))
    )
    return [
        f"event {id} of {transaction} is {delivery}, {'though' if answered else 'though not'} answered"
        for id, transaction, delivery, answered in rows
    ]


RULE = Rule("event_follows_answer", "Each event that Proof's answer settles is shown as settled.", Event.id, _find)
