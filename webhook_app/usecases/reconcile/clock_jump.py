"""A wall clock that was set, forward or back: what was planned by the old time is moved to the new.

Otherwise a clock set back by an hour would stall every retry for an hour, and one set forward would let all fall due at
once. The time at which the machine booted, reckoned back from now, stays the same however long it runs, and moves by
just as much as its clock is set; so it is kept in SQL, and whichever clock process first sees it move does the work.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Select, select, update
from sqlalchemy.orm import Session

from webhook_app.db.database import Database
from webhook_app.db.upsert import insert_into
from webhook_app.models import Boot, Heartbeat
from webhook_app.usecases.reconcile.lifecycle.rows import move_plans
from webhook_app.usecases.reconcile.stored_gate import move_gate

#: Less than this is the drift that time synchronisation smooths out.
SMALLEST_JUMP = timedelta(seconds=5)


def follow_clock(database: Database, boot_id: str, now: datetime, uptime: timedelta) -> timedelta | None:
    """Moves all plans if this machine's clock was set since the last call; returns by how much, None if it was not."""
    booted_at = now - uptime
    with database.read() as session:
        known = session.scalar(_kept(boot_id))
    if known is not None and abs(booted_at - known) < SMALLEST_JUMP:
        return None
    return database.run(lambda session: _move(session, boot_id, booted_at))


def _kept(boot_id: str) -> Select[datetime]:
    return select(Boot.booted_at).where(Boot.boot_id == boot_id)


def _move(session: Session, boot_id: str, booted_at: datetime) -> timedelta | None:
    known = session.scalar(_kept(boot_id).with_for_update())
    if known is None:
        statement = insert_into(session, Boot).values(boot_id=boot_id, booted_at=booted_at)
        session.execute(statement.on_conflict_do_nothing(index_elements=[Boot.boot_id]))
        return None
    jump = booted_at - known
    if abs(jump) < SMALLEST_JUMP:
        return None  # another process has seen to it
    session.execute(update(Boot).where(Boot.boot_id == boot_id).values(booted_at=booted_at))
    if _was_moved_by_older_release(session, boot_id, booted_at):
        return None
    move_gate(session, jump)
    move_plans(session, jump)
    return jump


def _was_moved_by_older_release(session: Session, boot_id: str, booted_at: datetime) -> bool:
    """A clock process of the release before keeps the same in a heartbeat. Whoever is first moves the plans; if that is
    not the older one, it finds here that it was done."""
    heartbeat = Heartbeat.name == f"boot {boot_id}"
    known = session.scalar(select(Heartbeat.beat_at).where(heartbeat).with_for_update())
    if known is None:
        return False
    session.execute(update(Heartbeat).where(heartbeat).values(beat_at=booted_at))
    return abs(booted_at - known) < SMALLEST_JUMP
