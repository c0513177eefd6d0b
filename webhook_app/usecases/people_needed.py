"""How much waits for a person: what the menu of every page counts, in one query that is remembered for some seconds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock
from typing import Any

from sqlalchemy import ScalarSelect, Select, func, select

from webhook_app.db.database import Database
from webhook_app.models import Discrepancy, Event
from webhook_app.models.event import Delivery

#: No more are counted of each, so that the query costs the same however many there are.
MOST_COUNTED = 1000
REMEMBERED = timedelta(seconds=5)


@dataclass(frozen=True)
class PeopleNeeded:
    """Open discrepancies, and deliveries that failed; each at most MOST_COUNTED."""

    discrepancies: int = 0
    failed_deliveries: int = 0


class PeopleNeededCount:
    """Counts anew when what is remembered is older than REMEMBERED; meanwhile one thread counts for all."""

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock
        self._counting = Lock()
        self._known: tuple[datetime, PeopleNeeded] | None = None

    def get(self) -> PeopleNeeded:
        """Raises what the database raises."""
        known, now = self._known, self._clock()
        if known is not None and abs(now - known[0]) < REMEMBERED:
            return known[1]
        if not self._counting.acquire(blocking=known is None):
            assert known is not None
            return known[1]
        try:
            counted = count_people_needed(self._database)
            self._known = now, counted
            return counted
        finally:
            self._counting.release()

    def forget(self) -> None:
        """What was remembered: somebody has just done something about it."""
        self._known = None


def count_people_needed(database: Database) -> PeopleNeeded:
    """One query, answered from indexes."""
    is_open = select(Discrepancy.id).where(Discrepancy.resolved_at.is_(None), Discrepancy.acknowledged_at.is_(None))
    has_failed = select(Event.id).where(Event.delivery == Delivery.FAILED)
    with database.read() as session:
        return PeopleNeeded(*session.execute(select(_count(is_open), _count(has_failed))).one())


def _count(query: Select[Any]) -> ScalarSelect[int]:
    return select(func.count()).select_from(query.limit(MOST_COUNTED).subquery()).scalar_subquery()
