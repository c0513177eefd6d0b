"""When the service itself was away, as its incidents tell: what comes of that is no incident of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from webhook_app.domain.incidents import IncidentKind
from webhook_app.models import Incident


@dataclass(frozen=True)
class Absence:
    """Until now, where it lasts."""

    begin: datetime
    end: datetime


def find_absences(session: Session, kinds: Sequence[IncidentKind], since: datetime, now: datetime) -> Sequence[Absence]:
    """Incidents of these kinds that are open, or ended after `since`."""
    rows = session.execute(
        select(Incident.began_at, Incident.ended_at).where(
            Incident.kind.in_(kinds), or_(Incident.ended_at.is_(None), Incident.ended_at > since)
        )
    )
    return [Absence(began_at, ended_at or now) for began_at, ended_at in rows]
