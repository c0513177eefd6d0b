"""Each event whose work was opened has its reconciliation. Without one, what was accepted is never asked for."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from webhook_app.models import Event, Reconciliation
from webhook_app.usecases.invariants.rule import Portion, Rule, within


def _find(session: Session, portion: Portion) -> Sequence[str]:
    work = exists().where(Reconciliation.merchant_transaction_id == Event.merchant_transaction_id)
    return [
        f"event {id} of {transaction}"
        for id, transaction in session.execute(
            select(Event.id, Event.merchant_transaction_id).where(within(Event.id, portion), Event.is_opened, ~work)
        )
    ]


RULE = Rule(
    "event_has_work", "Each event that was accepted is worked on, or its report is never asked for.", Event.id, _find
)
