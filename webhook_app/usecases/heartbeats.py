"""Heartbeats: which process was last seen alive, and when."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select
from sqlalchemy.orm import Session

from webhook_app.db.database import Database
from webhook_app.db.kept_statements import KeptStatement, keep
from webhook_app.db.upsert import insert_on
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

_TABLE: Any = Heartbeat.__table__
_BEATS = keep(select(_TABLE.c.name, _TABLE.c.beat_at))


def beat(database: Database, name: str, now: datetime) -> None:
    """Notes that the process `name` is alive."""
    database.run_statement(lambda connection: write_beat(connection, name, now))


def stop_beating(session: Session, name: str) -> None:
    """Nobody of that name is to be missed."""
    session.execute(delete(Heartbeat).where(Heartbeat.name == name))


def read_beats(session: Session) -> Mapping[str, datetime]:
    """When each was last seen alive, by its name."""
    return {one.name: one.beat_at for one in _BEATS.rows(session)}


def write_beat(on: Session | Connection, name: str, now: datetime) -> None:
    """The same, in the caller's transaction; one statement."""
    _WRITE.rows(on, {"beating": name, "at": now})


def _write(dialect: str) -> Any:
    given = {
        "name": bindparam("beating", type_=_TABLE.c.name.type),
        "beat_at": bindparam("at", type_=_TABLE.c.beat_at.type),
    }
    statement = insert_on(dialect, _TABLE).values(given)
    return statement.on_conflict_do_update(
        index_elements=[_TABLE.c.name], set_={"beat_at": statement.excluded.beat_at}
    ).returning(_TABLE.c.name)


_WRITE = KeptStatement(_write)
