"""Saved views: each person keeps filters of transactions under names of their own ("Close October")."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, delete, func, select
from sqlalchemy.orm import Session

from webhook_app.db.database import Database
from webhook_app.db.kept_statements import keep
from webhook_app.db.types import MAX_ID
from webhook_app.db.upsert import insert_into
from webhook_app.domain.text import storable
from webhook_app.models import SavedView
from webhook_app.usecases.refusals import Refused

LONGEST_NAME = 60
LONGEST_QUERY = 2000
MOST_VIEWS = 30
#: What puts several emoji together to one.
_JOINER = "\N{ZERO WIDTH JOINER}"

#: Read with each list: made once.
_VIEWS = keep(
    select(SavedView.id, SavedView.name, SavedView.query)
    .where(SavedView.account_id == bindparam("account_id"))
    .order_by(SavedView.name)
    .limit(MOST_VIEWS)
)


@dataclass(frozen=True)
class View:
    id: int
    name: str
    query: str


def list_views(database: Database, account_id: int) -> Sequence[View]:
    """By name."""
    with database.read() as session:
        return [View(*row) for row in _VIEWS.rows(session, {"account_id": account_id})]


def save_view(database: Database, account_id: int, name: str, query: str, now: datetime) -> None:
    """Keeps the filter under that name, in place of what the person kept under it before. Raises Refused for an
    unusable name, and beyond MOST_VIEWS."""
    name = _read_name(name)
    if len(query) > LONGEST_QUERY:
        raise Refused("This filter is too long to be kept.", "query")
    of_person = SavedView.account_id == account_id

    def save(session: Session) -> None:
        others = select(func.count()).select_from(SavedView).where(of_person, SavedView.name != name)
        if (session.scalar(others) or 0) >= MOST_VIEWS:
            raise Refused(f"There are {MOST_VIEWS} views already: delete one first.", "name")
        row = {"account_id": account_id, "name": name, "query": query, "created_at": now}
        session.execute(
            insert_into(session, SavedView)
            .values(row)
            .on_conflict_do_update(index_elements=["account_id", "name"], set_={"query": query, "created_at": now})
        )

    database.run(save)


def _read_name(text: str) -> str:
    """One spelling of what looks the same, so that it replaces what it looks like. Raises Refused."""
    name = unicodedata.normalize("NFC", " ".join(text.split()))
    if not 1 <= len(name) <= LONGEST_NAME:
        raise Refused(f"A view needs a name of 1 to {LONGEST_NAME} characters.", "name")
    if name != storable(name, LONGEST_NAME) or not name.replace(_JOINER, "").isprintable():
        raise Refused("The name of a view must have no characters that cannot be seen.", "name")
    return name


def delete_view(database: Database, account_id: int, id: int) -> None:
    """One's own alone; one that is gone already is none."""
    if id > MAX_ID:
        return
    mine = delete(SavedView).where(SavedView.account_id == account_id, SavedView.id == id)
    database.run(lambda session: session.execute(mine))
