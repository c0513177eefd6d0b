"""Problems of sessions that people have to know of: what Proof has to enable, and a `client_ip` that is not sent."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import case, or_, update
from sqlalchemy.orm import Session

from webhook_app.db.upsert import insert_into
from webhook_app.domain.failures import Failure
from webhook_app.models import SessionProblem
from webhook_app.models.session_call import SessionProblemKind

#: By what Proof answers; its older dialect's names have become today's by then.
_BY_NAME = {
    "wallet_not_supported": SessionProblemKind.WALLET_NOT_SUPPORTED,
    "currency_not_allowed": SessionProblemKind.CURRENCY_NOT_ALLOWED,
    "unsupported_currency": SessionProblemKind.CURRENCY_NOT_ALLOWED,
}


def find_problem(failure: Failure) -> SessionProblemKind | None:
    """What Proof alone can mend; None for any other failure."""
    return _BY_NAME.get(failure.error) or _BY_NAME.get(failure.code)


def note_problem(
    session: Session, kind: SessionProblemKind, currency: str, network: str, request_id: str | None, now: datetime
) -> None:
    """Counts it; one that was resolved is open again."""
    statement = insert_into(session, SessionProblem).values(
        kind=kind, currency=currency, network=network, count=1, first_at=now, last_at=now, request_id=request_id
    )
    was_resolved = SessionProblem.resolved_at.is_not(None)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=[SessionProblem.kind, SessionProblem.currency, SessionProblem.network],
            set_={
                "count": case((was_resolved, 1), else_=SessionProblem.count + 1),
                "first_at": case((was_resolved, now), else_=SessionProblem.first_at),
                "last_at": now,
                "request_id": request_id,
                "resolved_at": None,
            },
        )
    )


def resolve_problems(session: Session, currency: str, network: str, *, has_client_ip: bool, now: datetime) -> None:
    """A session was opened for that currency and network, so Proof supports them."""
    of_pair = (SessionProblem.currency == currency) & (SessionProblem.network == network)
    is_mended = or_(of_pair, SessionProblem.kind == SessionProblemKind.CLIENT_IP_MISSING) if has_client_ip else of_pair
    session.execute(
        update(SessionProblem).where(SessionProblem.resolved_at.is_(None), is_mended).values(resolved_at=now)
    )
