"""Incidents as people and programs read them, newest first, with what came of each in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from webhook_app.db.database import Database
from webhook_app.db.keyset_page import Page, read_page
from webhook_app.domain.durations import write_longest
from webhook_app.domain.incidents import NATURES, IncidentKind
from webhook_app.domain.severity import Severity
from webhook_app.models import Incident
from webhook_app.usecases.incidents.held_up import tell_outcome


class IncidentState(StrEnum):
    OPEN = "open"
    RESOLVED = "resolved"


@dataclass(frozen=True)
class IncidentFilter:
    """What a list is narrowed to; None means any."""

    state: str | None = None
    kind: str | None = None


@dataclass(frozen=True)
class IncidentReport:
    id: int
    kind: str
    name: str
    """What it is called."""
    key: str
    severity: Severity
    state: IncidentState
    cause: str
    advice: str
    began_at: datetime
    ended_at: datetime | None
    duration: float
    """Seconds, until now where it is open."""
    lasted: str
    """The same in words."""
    held: int
    held_reconciled: int
    held_failed: int
    held_longest: float
    outcome: str
    """What it held up and what came of that; empty for kinds that hold nothing up."""

    @property
    def held_waiting(self) -> int:
        return self.held - self.held_reconciled - self.held_failed


@dataclass(frozen=True)
class RecentIncidents:
    """For the overview: what is open, the worst first, and how many are over that began lately."""

    open: Sequence[IncidentReport] = ()
    over: int = 0


def list_incidents(
    database: Database, wanted: IncidentFilter, limit: int, now: datetime, after: int | None = None
) -> Page[IncidentReport, int]:
    """Those entered last first."""
    query = select(Incident)
    if wanted.kind is not None:
        query = query.where(Incident.kind == wanted.kind)
    if wanted.state is not None:
        is_open = Incident.ended_at.is_(None)
        query = query.where(is_open if wanted.state == IncidentState.OPEN else ~is_open)
    with database.read() as session:
        return read_page(session, query, Incident.id, limit, after, lambda row: report(row, now))


def find_recent(session: Session, now: datetime, within: timedelta) -> RecentIncidents:
    """Those of mere information are left out: they need nobody."""
    needs_somebody = Incident.severity != Severity.INFO.value
    rows = session.scalars(select(Incident).where(Incident.ended_at.is_(None), needs_somebody)).all()
    over = session.scalar(
        select(func.count())
        .select_from(Incident)
        .where(Incident.began_at > now - within, Incident.ended_at.is_not(None), needs_somebody)
    )
    order = list(Severity)
    reports = sorted((report(row, now) for row in rows), key=lambda one: (order.index(one.severity), one.began_at))
    return RecentIncidents(reports, over or 0)


def report(row: Incident, now: datetime) -> IncidentReport:
    """Of a kind that only a later release knows, its own words are missing."""
    nature = NATURES[IncidentKind(row.kind)] if row.kind in set(IncidentKind) else None
    duration = max(((row.ended_at or now) - row.began_at).total_seconds(), 0.0)
    return IncidentReport(
        id=row.id,
        kind=row.kind,
        name=nature.name if nature else row.kind,
        key=row.key,
        severity=Severity(row.severity),
        state=IncidentState.OPEN if row.ended_at is None else IncidentState.RESOLVED,
        cause=row.cause,
        advice=nature.advice if nature else "",
        began_at=row.began_at,
        ended_at=row.ended_at,
        duration=duration,
        lasted=write_longest(duration),
        held=row.held,
        held_reconciled=row.held_reconciled,
        held_failed=row.held_failed,
        held_longest=row.held_longest,
        outcome=tell_outcome(row),
    )
