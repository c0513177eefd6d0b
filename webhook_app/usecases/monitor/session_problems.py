"""Problems of sessions as the overview shows them: what Proof has to enable, and what the partner leaves out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from webhook_app.models import SessionProblem

#: One that nobody has met for so long is shown no more.
_SHOWN_FOR = timedelta(days=7)
_MOST = 20


def list_session_problems(session: Session, now: datetime) -> Sequence[SessionProblem]:
    """Those that are not resolved, the most frequent first."""
    return session.scalars(
        select(SessionProblem)
        .where(SessionProblem.resolved_at.is_(None), SessionProblem.last_at > now - _SHOWN_FOR)
        .order_by(SessionProblem.count.desc(), SessionProblem.id)
        .limit(_MOST)
    ).all()
