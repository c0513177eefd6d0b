"""Activity: how many deliveries and attempts there were in even stretches of time, for the overview's plots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from sqlalchemy import ColumnElement, Select, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from webhook_app.db.kept_statements import KeptStatement
from webhook_app.db.row_sets import RowSet
from webhook_app.db.types import UtcDateTime
from webhook_app.domain.severity import Severity
from webhook_app.models import Attempt, Event, Incident

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HAS_FAILED = Attempt.error.is_not(None)
_BUCKETS = RowSet("buckets", {"begin": UtcDateTime(), "end": UtcDateTime()})


@dataclass(frozen=True)
class Span:
    """How far to look back, in buckets of which length."""

    length: timedelta
    bucket: timedelta


HOUR = Span(timedelta(hours=1), timedelta(minutes=2))
DAY = Span(timedelta(days=1), timedelta(minutes=30))
WEEK = Span(timedelta(days=7), timedelta(hours=4))
MONTH = Span(timedelta(days=30), timedelta(days=1))

#: Incidents that are shown beside the counts of one span; the newest.
_MOST_INCIDENTS = 50


@dataclass(frozen=True)
class Counts:
    """What happened in some time."""

    received: int = 0
    """Deliveries that came, duplicates not counted."""
    reconciled: int = 0
    """Deliveries that Proof's answer settled."""
    retried: int = 0
    """Attempts that failed and are followed by another."""
    given_up: int = 0
    """Attempts that failed and are followed by none."""

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.received + other.received,
            self.reconciled + other.reconciled,
            self.retried + other.retried,
            self.given_up + other.given_up,
        )


@dataclass(frozen=True)
class Bucket:
    """`begin` belongs to it, `end` to the next one."""

    begin: datetime
    end: datetime
    counts: Counts


@dataclass(frozen=True)
class IncidentTime:
    """`end` is None for one that is open."""

    cause: str
    begin: datetime
    end: datetime | None


@dataclass(frozen=True)
class Activity:
    """Oldest bucket first; the last one is not over yet."""

    span: Span
    buckets: Sequence[Bucket]
    incidents: Sequence[IncidentTime] = ()
    """Those that were under way in it, oldest first."""

    @property
    def total(self) -> Counts:
        return sum((bucket.counts for bucket in self.buckets), Counts())


def _count_all(dialect: str) -> Select[Any]:
    """Each count of each bucket is a range of an index, which needs no arithmetic on timestamps."""
    buckets = _BUCKETS.table(dialect)

    def counted(
        column: InstrumentedAttribute[datetime] | InstrumentedAttribute[datetime | None],
        *conditions: ColumnElement[bool],
    ) -> ColumnElement[int]:
        is_within = (column >= buckets.c.begin, column < buckets.c.end)
        return select(func.count()).select_from(column.class_).where(*is_within, *conditions).scalar_subquery()

    return select(
        buckets.c.begin,
        counted(Event.received_at),
        counted(Event.settled_at),
        counted(Attempt.finished_at, _HAS_FAILED, Attempt.next_attempt_at.is_not(None)),
        counted(Attempt.finished_at, _HAS_FAILED, Attempt.next_attempt_at.is_(None)),
    )


_COUNTED = KeptStatement(_count_all)


def count_activity(session: Session, now: datetime, span: Span) -> Activity:
    """What happened in the `span` up to the end of the bucket that `now` is in. Buckets begin at whole multiples of
    their length in UTC, so that a bucket that is over no longer moves."""
    edges = _edges(now, span)
    rows = _COUNTED.rows(session, _BUCKETS.given(session, list(pairwise(edges))))
    counts = {begin: Counts(*counted) for begin, *counted in rows}
    buckets = [Bucket(begin, end, counts[begin]) for begin, end in pairwise(edges)]
    return Activity(span, buckets, _find_incidents(session, edges[0], edges[-1]))


def _find_incidents(session: Session, begin: datetime, end: datetime) -> Sequence[IncidentTime]:
    """Those of mere information are left out."""
    rows = session.execute(
        select(Incident.cause, Incident.began_at, Incident.ended_at)
        .where(
            Incident.began_at < end,
            or_(Incident.ended_at.is_(None), Incident.ended_at > begin),
            Incident.severity != Severity.INFO.value,
        )
        .order_by(Incident.began_at.desc())
        .limit(_MOST_INCIDENTS)
    ).all()
    return [IncidentTime(*row) for row in reversed(rows)]


def _edges(now: datetime, span: Span) -> list[datetime]:
    end = _EPOCH + ((now - _EPOCH) // span.bucket + 1) * span.bucket
    count = span.length // span.bucket
    return [end - span.bucket * back for back in range(count, -1, -1)]
