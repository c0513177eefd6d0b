"""Heartbeats: which process was last seen alive, and when."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from webhook_app.db.database import Database
from webhook_app.db.upsert import insert_into
from webhook_app.models import Heartbeat

#: The name under which the clock notes that it is alive.
CLOCK = "clock"
#: The one under which web does, all its processes together.
WEB = "web"
#: The one under which `listen` processes do, all together, while there are some; who ends in order takes it away.
LISTENER = "listen"
#: The one under which stands when one of them last heard of a change; it outlives them.
CHANNEL_UPDATE = "listen: update"

#: Each does every few seconds; after this they are held to be dead.
IS_LATE = timedelta(seconds=15)


def beat(database: Database, name: str, now: datetime) -> None:
    """Notes that the process `name` is alive."""
    database.run(lambda session: write_beat(session, name, now))


def stop_beating(session: Session, name: str) -> None:
    """Nobody of that name is to be missed."""
    session.execute(delete(Heartbeat).where(Heartbeat.name == name))


def read_beats(session: Session) -> Mapping[str, datetime]:
    """When each was last seen alive, by its name."""
    return {one.name: one.beat_at for one in session.scalars(select(Heartbeat))}


def write_beat(session: Session, name: str, now: datetime) -> None:
    """The same, in the caller's transaction."""
    statement = insert_into(session, Heartbeat).values(name=name, beat_at=now)
    session.execute(
        statement.on_conflict_do_update(index_elements=[Heartbeat.name], set_={"beat_at": statement.excluded.beat_at})
    )
