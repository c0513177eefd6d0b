"""A wall clock that was set, forward or back: what was planned by the old time is moved to the new.

Otherwise a clock set back by an hour would stall every retry for an hour, and one set forward would let all fall due at
once. The moment at which the machine booted, reckoned back from now, stays the same however long it runs, and moves by
just as much as its clock is set; so it is kept in SQL, and whichever clock process first sees it move does the work.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from webhook_app.db.database import Database
from webhook_app.db.timestamps import shifted
from webhook_app.db.upsert import insert_into
from webhook_app.models import Heartbeat, Reconciliation, StoredGate

#: Less than this is the drift that time synchronisation smooths out.
SMALLEST_JUMP = timedelta(seconds=5)


def follow_clock(database: Database, boot_id: str, now: datetime, uptime: timedelta) -> timedelta | None:
    """Moves all plans if this machine's clock was set since the last call; returns by how much, None if it was not."""
    name = f"boot {boot_id}"
    booted_at = now - uptime
    with database.read() as session:
        known = session.scalar(select(Heartbeat.beat_at).where(Heartbeat.name == name))
    if known is not None and abs(booted_at - known) < SMALLEST_JUMP:
        return None
    with database.write() as session:
        known = session.scalar(select(Heartbeat.beat_at).where(Heartbeat.name == name).with_for_update())
        if known is None:
            statement = insert_into(session, Heartbeat).values(name=name, beat_at=booted_at)
            session.execute(statement.on_conflict_do_nothing())
            return None
        jump = booted_at - known
        if abs(jump) < SMALLEST_JUMP:
            return None  # another process has seen to it
        session.execute(update(Heartbeat).where(Heartbeat.name == name).values(beat_at=booted_at))
        _move_plans(session, jump)
        return jump


def _move_plans(session: Session, jump: timedelta) -> None:
    for table, columns in (
        (StoredGate, (StoredGate.next_probe_at, StoredGate.paused_at, StoredGate.refilled_at)),
        (Reconciliation, (Reconciliation.next_attempt_at, Reconciliation.lease_until, Reconciliation.first_failed_at)),
    ):
        session.execute(
            update(table)
            .values({column: shifted(session, column, jump) for column in columns})
            .execution_options(synchronize_session=False)
        )
