"""Plans move with a wall clock that was set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, case, or_, update
from sqlalchemy.orm import Session

from webhook_app.db.planner_hints import one_by_one
from webhook_app.db.row_sets import row_set
from webhook_app.db.timestamps import shifted
from webhook_app.models import Reconciliation
from webhook_app.usecases.reconcile.lifecycle.rows import lock_in_order

_TABLE: Any = Reconciliation.__table__

#: For so long a clock may be set before a clock process, which looks every second, has seen it.
_UNSEEN = timedelta(seconds=10)
#: By default a lease is half as long. Where it is set to be longer than a jump, that may shorten it.
_LONGEST_LEASE = timedelta(minutes=1)


@dataclass(frozen=True)
class Plan:
    """When the next attempt is to be made, and from now on."""

    before: datetime
    after: datetime


def move_each(session: Session, plans: Mapping[int, Plan]) -> int:
    """Moves the plan of each of these reconciliations, unless it has become another; returns how many."""
    if not plans:
        return 0
    lock_in_order(session, _TABLE.c.id.in_(list(plans)))
    planned = _TABLE.c.next_attempt_at
    moved = row_set(
        session,
        "moved",
        {"id": _TABLE.c.id.type, "before": planned.type, "after": planned.type},
        [(one, plan.before, plan.after) for one, plan in plans.items()],
    )
    result: Any = session.execute(
        update(_TABLE)
        .where(_TABLE.c.id == one_by_one(moved.c.id), planned == moved.c.before)
        .values(next_attempt_at=moved.c.after)
    )
    return int(result.rowcount)


def end_leases(session: Session, condition: ColumnElement[bool], at: datetime) -> int:
    """The claims that meet the condition last until then, and so does what Proof may take for their calls; returns how
    many."""
    lock_in_order(session, condition)
    result: Any = session.execute(update(_TABLE).where(condition).values(lease_until=at, slot_until=at))
    return int(result.rowcount)


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


def move_failures(session: Session, jump: timedelta, now: datetime, since: datetime) -> None:
    """The same of when what failed since then, by the old time, has failed last: an outage began then, which moves, and
    whatever failed in it is brought forward when it ends."""
    failed = _TABLE.c.last_failed_at
    is_forward = jump > timedelta()
    is_moved = failed.between(since, begins_by_new_time(jump, now)) if is_forward else failed >= since
    lock_in_order(session, is_moved)
    session.execute(update(_TABLE).where(is_moved).values(last_failed_at=shifted(session, failed, jump)))


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
    # After so long a jump those that were claimed by the old time have all run out by the new one.
    leased_anew = now if jump > _LONGEST_LEASE else datetime.max.replace(tzinfo=UTC)
    leases = (_TABLE.c.lease_until, _TABLE.c.slot_until)
    return {
        planned: case((is_planned_anew, planned), else_=shifted(session, planned, jump)),
        failed: case((failed > by_new_time, failed), else_=shifted(session, failed, jump)),
        **{column: case((column > leased_anew, column), else_=shifted(session, column, jump)) for column in leases},
    }


def _move_back(session: Session, jump: timedelta, now: datetime) -> Mapping[Any, ColumnElement[Any]]:
    by_old_time = now - jump / 2  # what has not run out by the old time lasts until a whole jump from now at least
    planned = (_TABLE.c.next_attempt_at, _TABLE.c.first_failed_at)
    leases = (_TABLE.c.lease_until, _TABLE.c.slot_until)
    return {
        **{column: shifted(session, column, jump) for column in planned},
        **{column: case((column <= by_old_time, column), else_=shifted(session, column, jump)) for column in leases},
    }
