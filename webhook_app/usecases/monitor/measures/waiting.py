"""What waits for nothing but a worker, by class, and for how long: the first sign that work stands still."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from webhook_app.domain.metrics import Sample
from webhook_app.domain.shares import WorkClass
from webhook_app.models import Event, Reconciliation
from webhook_app.models.event import IS_UNOPENED
from webhook_app.usecases.monitor.measures.sources import Sources, age, gauge, sample
from webhook_app.usecases.reconcile.work_classes import in_class, is_waiting

#: No more are counted of each class, so that looking costs the same however many wait.
MOST_COUNTED = 10_000
#: Events whose work is not opened yet have no class.
INBOX = "inbox"

WAITING = gauge("waiting", f"Due and in no worker's hands, by work class; at most {MOST_COUNTED}.", "work_class")
OLDEST = gauge("waiting_oldest_age_seconds", "How long the one that has waited longest is due.", "work_class")
FAMILIES = (WAITING, OLDEST)


def measure(sources: Sources) -> Iterator[Sample]:
    with sources.database.read() as session:
        for work_class in WorkClass:
            due = (in_class(work_class), is_waiting(sources.now))
            oldest = session.scalar(select(func.min(Reconciliation.next_attempt_at)).where(*due))
            ids = select(Reconciliation.id).where(*due).limit(MOST_COUNTED).subquery()
            count = session.scalar(select(func.count()).select_from(ids)) if oldest else 0
            yield sample(WAITING, count or 0, work_class=work_class)
            yield sample(OLDEST, age(oldest, sources.now), work_class=work_class)
        yield from _measure_inbox(session, sources)


def _measure_inbox(session: Session, sources: Sources) -> Iterator[Sample]:
    """Ids follow the order of arrival closely enough."""
    first = session.scalar(select(Event.received_at).where(IS_UNOPENED).order_by(Event.id).limit(1))
    ids = select(Event.id).where(IS_UNOPENED).limit(MOST_COUNTED).subquery()
    count = session.scalar(select(func.count()).select_from(ids)) if first else 0
    yield sample(WAITING, count or 0, work_class=INBOX)
    yield sample(OLDEST, age(first, sources.now), work_class=INBOX)
