"""Figures of hours and days: counted while the events are there, kept when they are not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from webhook_app.db.database import Database
from webhook_app.db.upsert import insert_into
from webhook_app.models import Attempt, Event, Figures, Incident

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
#: Events may come late, out of a spool: an hour is counted again for so long.
_COUNTED_AGAIN = timedelta(hours=48)
#: Seconds between two counts of the present hour.
_GAP = timedelta(seconds=60)
_NAMES = ("received", "reconciled", "retried", "given_up", "incidents")


@dataclass(frozen=True)
class Period:
    """What happened in some stretch of time, as far as it is counted."""

    begin: datetime
    end: datetime
    received: int = 0
    reconciled: int = 0
    retried: int = 0
    given_up: int = 0
    incidents: int = 0


class FiguresKeeper:
    """Of one process: counts the present hour and the one before each minute, and one earlier hour beside them, the
    latest first."""

    def __init__(self) -> None:
        self._counted_at: datetime | None = None
        self._back = 2

    def step(self, database: Database, now: datetime) -> None:
        if self._counted_at is not None and timedelta() <= now - self._counted_at < _GAP:
            return
        this_hour = _floor(now, HOUR)
        hours = [this_hour, this_hour - HOUR, this_hour - self._back * HOUR]
        counted = []
        with database.read() as session:
            for hour in hours:
                counted.append((hour, _count(session, hour, hour + HOUR)))
        database.run(lambda session: _store(session, counted))
        self._counted_at = now
        self._back = self._back % (_COUNTED_AGAIN // HOUR) + 2


def read_hours(database: Database, since: datetime, until: datetime) -> Sequence[Period]:
    """Oldest first, without those of which nothing is known."""
    return _read(database, "hour", HOUR, since, until)


def read_days(database: Database, since: datetime, until: datetime) -> Sequence[Period]:
    return _read(database, "day", DAY, since, until)


def add_up(periods: Sequence[Period], begin: datetime, end: datetime) -> Period:
    return Period(begin, end, **{name: sum(getattr(one, name) for one in periods) for name in _NAMES})


def _read(database: Database, span: str, length: timedelta, since: datetime, until: datetime) -> Sequence[Period]:
    query = (
        select(Figures)
        .where(Figures.span == span, Figures.begin >= _floor(since, length), Figures.begin < until)
        .order_by(Figures.begin)
    )
    with database.read() as session:
        return [
            Period(one.begin, one.begin + length, **{name: getattr(one, name) for name in _NAMES})
            for one in session.scalars(query)
        ]


def _count(session: Session, begin: datetime, end: datetime) -> dict[str, int]:
    has_failed = Attempt.error.is_not(None)
    counts = (
        _between(Event.received_at, begin, end),
        _between(Event.settled_at, begin, end),
        _between(Attempt.finished_at, begin, end, has_failed, Attempt.next_attempt_at.is_not(None)),
        _between(Attempt.finished_at, begin, end, has_failed, Attempt.next_attempt_at.is_(None)),
        _between(Incident.began_at, begin, end),
    )
    row = session.execute(select(*(count.scalar_subquery() for count in counts))).one()
    return dict(zip(_NAMES, map(int, row), strict=True))


def _between(
    column: InstrumentedAttribute[Any], begin: datetime, end: datetime, *conditions: ColumnElement[bool]
) -> Select[int]:
    return select(func.count()).select_from(column.class_).where(column >= begin, column < end, *conditions)


def _store(session: Session, counted: Sequence[tuple[datetime, dict[str, int]]]) -> None:
    for hour, counts in counted:
        if any(counts.values()):
            _put(session, "hour", hour, counts)
    for day in sorted({_floor(hour, DAY) for hour, _ in counted}):
        sums = session.execute(
            select(*(func.coalesce(func.sum(getattr(Figures, name)), 0) for name in _NAMES)).where(
                Figures.span == "hour", Figures.begin >= day, Figures.begin < day + DAY
            )
        ).one()
        if any(sums):
            _put(session, "day", day, dict(zip(_NAMES, map(int, sums), strict=True)))


def _put(session: Session, span: str, begin: datetime, counts: dict[str, int]) -> None:
    """Never less than before: what is pruned meanwhile stays counted."""
    statement = insert_into(session, Figures).values(span=span, begin=begin, **counts)
    greatest = func.max if session.get_bind().dialect.name == "sqlite" else func.greatest
    session.execute(
        statement.on_conflict_do_update(
            index_elements=[Figures.span, Figures.begin],
            set_={name: greatest(getattr(Figures, name), statement.excluded[name]) for name in _NAMES},
        )
    )


def _floor(at: datetime, length: timedelta) -> datetime:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return epoch + (at - epoch) // length * length
