"""Heartbeats: which process was last seen alive, and when."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from webhook_app.db.database import Database
from webhook_app.db.upsert import insert_into
from webhook_app.models import Heartbeat

#: The name under which the clock notes that it is alive.
CLOCK = "clock"


def beat(database: Database, name: str, now: datetime) -> None:
    """Notes that the process `name` is alive."""
    database.run(lambda session: write_beat(session, name, now))


def write_beat(session: Session, name: str, now: datetime) -> None:
    """The same, in the caller's transaction."""
    statement = insert_into(session, Heartbeat).values(name=name, beat_at=now)
    session.execute(
        statement.on_conflict_do_update(index_elements=[Heartbeat.name], set_={"beat_at": statement.excluded.beat_at})
    )
