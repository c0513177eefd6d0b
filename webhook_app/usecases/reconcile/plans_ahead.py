"""Plans that were made by a time which has not come: a clock was set back, and all plans with it, while somebody who
had read the time before was still at work, and wrote one afterwards.

However long that took, the row tells. What has never failed is due when it was asked for, so a plan that lies ahead is
of such a time. What follows a call is planned as its attempt says, which does not move, and the attempt tells when the
call ended. A lease is as long as each. What is later than the time before ever was, a host has written whose clock was
not set, and is right for that one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, select
from sqlalchemy.orm import Session

from webhook_app.db.database import Database
from webhook_app.domain.gate import MOST_SKEW
from webhook_app.domain.shares import WorkClass
from webhook_app.models import Attempt, Heartbeat, Reconciliation
from webhook_app.usecases.heartbeats import write_beat
from webhook_app.usecases.reconcile.lifecycle.moving import Plan, end_leases, move_each
from webhook_app.usecases.reconcile.quiet import has_any
from webhook_app.usecases.reconcile.work_classes import in_class

#: Of each class so many are looked at, those planned furthest ahead, and so many of the newest attempts: more than are
#: made between two sweeps. What is not seen among so many comes later than it should, and is not lost.
_MOST = 5000
#: What waits for a poll has been called.
_CLASSES = tuple(work_class for work_class in WorkClass if work_class is not WorkClass.POLL)
#: The heartbeat that says to which time a clock had come when it was set back.
_TIME_BEFORE = "time before the clock was set back"


def note_set_back(session: Session, time_before: datetime) -> None:
    """A clock was set back that had come to `time_before`."""
    write_beat(session, _TIME_BEFORE, time_before)


def bring_back_plans(database: Database, now: datetime, lease: timedelta) -> int:
    """Lets each such plan lie as far from `now` as from the time by which it was made, and such a claim last for a
    `lease` at most; returns how many."""
    with database.read(by_index=True) as session:
        time_before = session.scalar(select(Heartbeat.beat_at).where(Heartbeat.name == _TIME_BEFORE))
        if time_before is None or time_before <= now:
            return 0
        ahead = _Times(now + MOST_SKEW, time_before + MOST_SKEW)
        is_leased_by_it = _Times(ahead.begins + lease, ahead.ends + lease).hold(Reconciliation.lease_until)
        plans = _find_called(session, ahead, now) | _find_untried(session, ahead, now)
        is_any_leased = session.scalar(select(has_any(Reconciliation.lease_until, is_leased_by_it)))
    if not plans and not is_any_leased:
        return 0
    return database.run(
        lambda session: move_each(session, plans) + end_leases(session, is_leased_by_it, now + lease), by_index=True
    )


@dataclass(frozen=True)
class _Times:
    """Those that have not come, up to the latest that a clock had shown before it was set back."""

    begins: datetime
    ends: datetime

    def hold(self, column: Any) -> ColumnElement[bool]:
        return and_(column > self.begins, column <= self.ends)


def _find_untried(session: Session, ahead: _Times, now: datetime) -> dict[int, Plan]:
    """Those that no failure has charged, nor made wait."""
    planned_at = Reconciliation.next_attempt_at
    columns = (Reconciliation.id, planned_at, Reconciliation.spent_attempts, Reconciliation.uncounted)
    found: dict[int, Plan] = {}
    for work_class in _CLASSES:
        furthest = (
            select(*columns)
            .where(in_class(work_class), ahead.hold(planned_at))
            .order_by(planned_at.desc())
            .limit(_MOST)
            .subquery()
        )
        untried = (furthest.c.spent_attempts == 0) & (furthest.c.uncounted == 0)
        rows = session.execute(select(furthest.c.id, furthest.c.next_attempt_at).where(untried))
        found |= {one: Plan(before=before, after=now) for one, before in rows}
    return found


def _find_called(session: Session, ahead: _Times, now: datetime) -> dict[int, Plan]:
    """Those whose last call seems to end in the future, and whose plan has not moved since."""
    columns = (Attempt.id, Attempt.reconciliation_id, Attempt.finished_at, Attempt.next_attempt_at)
    newest = select(*columns).order_by(Attempt.id.desc()).limit(_MOST).subquery()
    rows = session.execute(
        select(Reconciliation.id, newest.c.finished_at, newest.c.next_attempt_at)
        .join(newest, Reconciliation.id == newest.c.reconciliation_id)
        .where(
            ahead.hold(newest.c.finished_at),
            newest.c.next_attempt_at == Reconciliation.next_attempt_at,
        )
        .order_by(newest.c.id.desc())
    )
    return {
        one: Plan(before=before, after=now + max(before - finished_at, timedelta()))
        for one, finished_at, before in rows
    }
