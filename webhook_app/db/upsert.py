"""`INSERT … ON CONFLICT`, which both databases have and SQLAlchemy spells per dialect."""

from __future__ import annotations

from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

Insert = postgresql.Insert | sqlite.Insert


def insert_into(session: Session, table: Any) -> Any:
    """The dialect's `insert()`, with `on_conflict_do_nothing` and `on_conflict_do_update`."""
    return (sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert)(table)
