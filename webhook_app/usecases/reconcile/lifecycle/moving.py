"""Plans move with a wall clock that was set."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, case, or_, update
from sqlalchemy.orm import Session

from webhook_app.db.timestamps import shifted
from webhook_app.models import Reconciliation
from webhook_app.usecases.reconcile.lifecycle.rows import lock_in_order

_TABLE: Any = Reconciliation.__table__

#: For so long a clock may be set before a clock process, which looks every second, has seen it.
_UNSEEN = timedelta(seconds=10)


def move_plans(session: Session, jump: timedelta, now: datetime) -> None:
    """The wall clock was set by `jump` and shows `now`: whatever is planned or leased by the old time keeps its
    distance from now. What is done has no plan.

    Work goes on between the moment at which the clock is set and this one. What was planned meanwhile is planned by the
    new time; moved, it would be late by the whole jump. Its row tells: it was asked for, confirmed, or has failed in
    the last seconds of the new time, which the old one never came to. Set back, a clock shows times that it
    has shown before, and only a lease can be told, which lasts for seconds; other plans come early then.
    """
    has_plan = _TABLE.c.next_attempt_at.is_not(None)
    lock_in_order(session, has_plan)
    moved = _move_forward(session, jump, now) if jump > timedelta() else _move_back(session, jump, now)
    session.execute(update(_TABLE).where(has_plan).values(moved))


def begins_by_new_time(jump: timedelta, now: datetime) -> datetime:
    """Of a clock that was set by `jump` and shows `now`: what was written since is later than this. Of one that was set
    forward nothing else is; of one that was set back the old times are too, and mostly later than `now`."""
    return now - min(abs(jump) / 2, _UNSEEN)  # set forward, the old time ended a whole jump before; hosts may differ


def _move_forward(session: Session, jump: timedelta, now: datetime) -> Mapping[Any, ColumnElement[Any]]:
    by_new_time = begins_by_new_time(jump, now)
    planned, failed = _TABLE.c.next_attempt_at, _TABLE.c.first_failed_at
    is_planned_anew = or_(
        planned.between(by_new_time, now),
        *(_TABLE.c[name] > by_new_time for name in ("reconciled_at", "last_failed_at")),
    )
    leases = (_TABLE.c.lease_until, _TABLE.c.slot_until)
    return {
        planned: case((is_planned_anew, planned), else_=shifted(session, planned, jump)),
        failed: case((failed > by_new_time, failed), else_=shifted(session, failed, jump)),
        **{column: shifted(session, column, jump) for column in leases},
    }


def _move_back(session: Session, jump: timedelta, now: datetime) -> Mapping[Any, ColumnElement[Any]]:
    by_old_time = now - jump / 2  # what has not run out by the old time lasts until a whole jump from now at least
    planned = (_TABLE.c.next_attempt_at, _TABLE.c.first_failed_at)
    leases = (_TABLE.c.lease_until, _TABLE.c.slot_until)
    return {
        **{column: shifted(session, column, jump) for column in planned},
        **{column: case((column <= by_old_time, column), else_=shifted(session, column, jump)) for column in leases},
    }
