"""What counts as reconciled was confirmed, and is not asked for any more only where its status is terminal, or where it
was told that it never came to an end. Otherwise a payment that nobody looks after passes for done."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import exists, or_, select
from sqlalchemy.orm import Session

from webhook_app.domain.status import TERMINAL
from webhook_app.models import Discrepancy, Reconciliation, Transaction
from webhook_app.models.discrepancy import DiscrepancyKind
from webhook_app.models.reconciliation import State
from webhook_app.usecases.invariants.rule import Portion, Rule, within


def _find(session: Session, portion: Portion) -> Sequence[str]:
    id = Reconciliation.merchant_transaction_id
    still_moves = exists().where(Transaction.merchant_transaction_id == id, Transaction.status.not_in(sorted(TERMINAL)))
    told = exists().where(
        Discrepancy.merchant_transaction_id == id, Discrepancy.kind == DiscrepancyKind.PENDING_TOO_LONG
    )
    left_alone = (Reconciliation.state == State.SUCCEEDED) & Reconciliation.next_attempt_at.is_(None)
    rows = session.execute(
        select(id, Reconciliation.state).where(
            within(Reconciliation.id, portion),
            Reconciliation.state.in_((State.SUCCEEDED, State.WATCHING)),
            or_(Reconciliation.reconciled_at.is_(None), left_alone & still_moves & ~told),
        )
    )
    return [f"{transaction} is {state}" for transaction, state in rows]


RULE = Rule(
    "succeeded_is_confirmed",
    "What counts as reconciled is confirmed and terminal, or is looked at again, or nobody looks after it.",
    Reconciliation.id,
    _find,
)
