"""Recipients: since when each is to be told of incidents, so that nobody is told the end of what began before."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from webhook_app.db.database import Database
from webhook_app.db.upsert import insert_into
from webhook_app.models import Recipient


def note_recipients(database: Database, names: Collection[str], now: datetime, *, forgets_others: bool) -> None:
    """Notes those that are new. With `forgets_others` one that is not among them begins anew when it comes back."""
    with database.read() as session:
        known = read_recipients(session)
    new, gone = set(names) - known.keys(), known.keys() - set(names) if forgets_others else set()
    if not (new or gone):
        return

    def write(session: Session) -> None:
        session.execute(delete(Recipient).where(Recipient.name.in_(gone)))
        for name in sorted(new):
            values = insert_into(session, Recipient).values(name=name, since=now)
            session.execute(values.on_conflict_do_nothing(index_elements=[Recipient.name]))

    database.run(write)


def read_recipients(session: Session) -> Mapping[str, datetime]:
    """Since when each is to be told, by its name."""
    return {one.name: one.since for one in session.scalars(select(Recipient))}
