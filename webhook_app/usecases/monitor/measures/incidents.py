"""Incidents that are open, by how bad they are: what a page or a person has been told of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from sqlalchemy import func, select

from webhook_app.domain.metrics import Sample
from webhook_app.domain.severity import Severity
from webhook_app.models import Incident
from webhook_app.usecases.monitor.measures.sources import Sources, gauge, sample

OPEN = gauge("incidents_open", "Incidents that have not ended, by kind.", "kind", "severity")
COUNT = gauge("incidents_open_by_severity", "The same by severity; 0 where there is none.", "severity")
FAMILIES = (OPEN, COUNT)


def measure(sources: Sources) -> Iterator[Sample]:
    with sources.database.read() as session:
        rows = session.execute(
            select(Incident.kind, Incident.severity, func.count())
            .where(Incident.ended_at.is_(None))
            .group_by(Incident.kind, Incident.severity)
        ).all()
    counts = Counter[str]()
    for kind, severity, count in rows:
        counts[severity] += count
        yield sample(OPEN, count, kind=kind, severity=severity)
    for severity in Severity:
        yield sample(COUNT, counts[severity], severity=severity)
