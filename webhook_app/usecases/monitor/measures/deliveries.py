"""Deliveries that are not settled, by state: what failed waits for a person."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import func, select

from webhook_app.domain.metrics import Sample
from webhook_app.models import Event
from webhook_app.models.event import Delivery
from webhook_app.usecases.monitor.measures.sources import Sources, age, gauge, sample
from webhook_app.usecases.monitor.measures.waiting import MOST_COUNTED

DELIVERIES = gauge("deliveries", f"Deliveries that are not settled, by state; at most {MOST_COUNTED}.", "state")
OLDEST = gauge("delivery_oldest_age_seconds", "How long ago the oldest of them came.", "state")
FAMILIES = (DELIVERIES, OLDEST)


def measure(sources: Sources) -> Iterator[Sample]:
    with sources.database.read() as session:
        for state in (Delivery.PENDING, Delivery.RETRYING, Delivery.FAILED):
            of_state = (Event.settled_at.is_(None), Event.delivery == state)
            oldest = session.scalar(select(func.min(Event.received_at)).where(*of_state))
            rows = select(Event.delivery).where(*of_state).limit(MOST_COUNTED).subquery()
            count = session.scalar(select(func.count()).select_from(rows)) if oldest else 0
            yield sample(DELIVERIES, count or 0, state=state)
            yield sample(OLDEST, age(oldest, sources.now), state=state)
