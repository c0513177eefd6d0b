"""What a person may have copied from somewhere, found by its whole text: a transaction, a user, a request to Proof, or
one of Proof's."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import select

from webhook_app.db.database import Database
from webhook_app.models import Attempt, Event, Reconciliation, SessionProblem, StoredDrift, StoredGate, Transaction


class ShownBeside(StrEnum):
    """Where a request is shown that belongs to no transaction."""

    DRIFT = "drift"
    SESSION_PROBLEMS = "session_problems"
    PAUSE = "pause"


@dataclass(frozen=True)
class Found:
    """One of these is set."""

    merchant_transaction_id: str | None = None
    partner_user_id: str | None = None
    shown_beside: ShownBeside | None = None


def find_exactly(database: Database, text: str) -> Found | None:
    """The transaction with this id; else that of the newest failed attempt with this `X-Request-Id`; else the user with
    this id; else what a request with this id is shown beside. Each is one look into an index, or into a table of a few
    hundred rows at most."""
    by_id = select(Reconciliation.merchant_transaction_id).where(Reconciliation.merchant_transaction_id == text)
    # What has just been reported has no reconciliation yet.
    by_event = select(Event.merchant_transaction_id).where(Event.merchant_transaction_id == text).limit(1)
    by_request = (
        select(Reconciliation.merchant_transaction_id)
        .join(Attempt, Attempt.reconciliation_id == Reconciliation.id)
        .where(Attempt.request_id == text, Attempt.error.is_not(None))
        .order_by(Attempt.id.desc())
        .limit(1)
    )
    by_user = select(Transaction.partner_user_id).where(Transaction.partner_user_id == text).limit(1)
    # Of Proof's answers, and of its webhooks; an attempt that succeeded is found by it alone.
    by_drift = (
        select(StoredDrift.merchant_transaction_id)
        .where(StoredDrift.request_id == text)
        .order_by(StoredDrift.last_seen_at.desc())
        .limit(1)
    )
    by_session = select(SessionProblem.id).where(
        SessionProblem.request_id == text, SessionProblem.resolved_at.is_(None)
    )
    by_pause = select(StoredGate.id).where(StoredGate.request_id == text, StoredGate.paused_at.is_not(None))
    with database.read() as session:
        for query in (by_id, by_event, by_request):
            if (transaction := session.scalar(query)) is not None:
                return Found(merchant_transaction_id=transaction)
        if (user := session.scalar(by_user)) is not None:
            return Found(partner_user_id=user)
        if (drift := session.execute(by_drift).first()) is not None:
            return (
                Found(shown_beside=ShownBeside.DRIFT) if drift[0] is None else Found(merchant_transaction_id=drift[0])
            )
        for shown_beside, query_beside in ((ShownBeside.SESSION_PROBLEMS, by_session), (ShownBeside.PAUSE, by_pause)):
            if session.scalar(query_beside.limit(1)) is not None:
                return Found(shown_beside=shown_beside)
    return None
