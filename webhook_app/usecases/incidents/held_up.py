"""What an incident held up, counted exactly from the events; and what came of it, in words."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Subquery, and_, case, false, func, literal, or_, select, union_all
from sqlalchemy.orm import Session

from webhook_app.db.database import Database
from webhook_app.db.planner_hints import unindexed
from webhook_app.db.timestamps import seconds_between
from webhook_app.domain.durations import write_longest
from webhook_app.domain.gate import MOST_SKEW
from webhook_app.domain.incidents import NATURES, IncidentKind
from webhook_app.models import Event, Incident, Reconciliation
from webhook_app.models.event import Delivery, is_settled_late
from webhook_app.models.incident import IS_UNSETTLED

#: Whoever is served within this time has not waited; so says the index of what was settled late.
_NO_WAIT = timedelta(seconds=5)
#: Seconds between two counts of one incident.
_GAP = timedelta(seconds=15)
#: What was held up is counted for so long after the end; what waits then waits for something else.
_LONGEST = timedelta(days=1)


def count_held_up(database: Database, now: datetime, *, most: int = 5) -> int:
    """Counts anew for incidents that are open or have just ended, `most` at a time, and settles those of which nothing
    waits any more. Returns how many were counted."""
    is_just_over = Incident.ended_at >= Incident.counted_at
    is_ahead = Incident.counted_at > now + MOST_SKEW  # it was counted before a clock was set back
    is_due = or_(Incident.counted_at.is_(None), Incident.counted_at <= now - _GAP, is_just_over, is_ahead)
    with database.read() as session:
        due = session.scalars(
            select(Incident).where(IS_UNSETTLED, is_due).order_by(Incident.counted_at, Incident.id).limit(most)
        ).all()
    for incident in due:
        with database.read() as session:
            values = _count(session, incident, now) if _holds_up(incident) else {}
        database.run(partial(_store, incident_id=incident.id, values=values, now=now))
    return len(due)


def tell_outcome(incident: Incident) -> str:
    """What it held up, and what came of that: `36 payments waited, up to 4 min; all are reconciled, none is lost.`"""
    if not _holds_up(incident):
        return ""
    if not incident.held:
        return "Nothing waited." if incident.ended_at else "Nothing waits yet."
    waiting = incident.held - incident.held_reconciled - incident.held_failed
    longest = write_longest(incident.held_longest)
    told = f"{_payments(incident.held)} waited, up to {longest}"
    if not waiting and not incident.held_failed:
        whole = "it is" if incident.held == 1 else "all are"
        return f"{told}; {whole} reconciled, none is lost."
    parts = [f"{incident.held_reconciled} reconciled"]
    if incident.held_failed:
        parts.append(f"{incident.held_failed} failed, shown under Deliveries, waiting for a person")
    if waiting:
        parts.append(f"{waiting} still waiting")
    return f"{told}; {', '.join(parts)}; none is lost."


def _payments(count: int) -> str:
    return "1 payment" if count == 1 else f"{count:,} payments".replace(",", " ")


def _holds_up(incident: Incident) -> bool:
    return incident.kind in set(IncidentKind) and NATURES[IncidentKind(incident.kind)].holds_up


def _count(session: Session, incident: Incident, now: datetime) -> dict[str, Any]:
    began_at, end = incident.began_at, incident.ended_at or now
    held_up = _find_held_up(session, began_at, end, now)
    transaction, unsettled = held_up.c.merchant_transaction_id, held_up.c.settled_at.is_(None)
    begin = literal(began_at, Event.received_at.type)
    came: ColumnElement[Any] = case((held_up.c.received_at > begin, held_up.c.received_at), else_=begin)
    left: ColumnElement[Any] = func.coalesce(held_up.c.settled_at, literal(now, Event.received_at.type))
    # What had given up before has not waited for this.
    gave_up_before = and_(held_up.c.delivery == Delivery.FAILED, Reconciliation.last_failed_at < began_at)

    def those(*conditions: ColumnElement[bool]) -> ColumnElement[int]:
        return func.count(case((and_(*conditions), transaction)).distinct())

    held, failed, waiting, longest = session.execute(
        select(
            func.count(transaction.distinct()),
            those(held_up.c.delivery == Delivery.FAILED),
            those(unsettled, held_up.c.delivery != Delivery.FAILED),
            func.max(seconds_between(session, came, left)),
        )
        .select_from(held_up)
        .outerjoin(Reconciliation, Reconciliation.merchant_transaction_id == transaction)
        .where(~func.coalesce(gave_up_before, false()))
    ).one()
    failed = min(failed, held)
    return {
        "held": held,
        "held_failed": failed,
        "held_reconciled": max(held - failed - waiting, 0),
        "held_longest": round(max(longest or 0.0, 0.0), 3),  # SQLite tells it with an error of microseconds
    }


def _find_held_up(session: Session, began_at: datetime, end: datetime, now: datetime) -> Subquery:
    """Events that came before the end and have waited: what was settled late, and what is not settled yet. Each half is
    found in an index that has nothing else, however much went well meanwhile."""
    columns = (Event.merchant_transaction_id, Event.received_at, Event.settled_at, Event.delivery)
    came = unindexed(Event.received_at) < end
    settled = Event.settled_at > began_at + _NO_WAIT, is_settled_late(session.get_bind().dialect.name)
    has_waited = unindexed(Event.received_at) < now - _NO_WAIT if now - began_at > _NO_WAIT else false()
    late = select(*columns).where(came, *settled)
    waiting = select(*columns).where(came, Event.settled_at.is_(None), has_waited)
    return union_all(late, waiting).subquery()


def _store(session: Session, incident_id: int, values: dict[str, Any], now: datetime) -> None:
    row = session.get(Incident, incident_id, with_for_update=True, populate_existing=True)
    if row is None:
        return
    for name, value in values.items():
        setattr(row, name, value)
    row.counted_at = now
    if row.ended_at is not None:
        waiting = row.held - row.held_reconciled - row.held_failed
        row.is_settled = not waiting or now - row.ended_at > _LONGEST
