"""`INSERT … ON CONFLICT`, which both databases have and SQLAlchemy spells per dialect."""

from __future__ import annotations

from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

Insert = postgresql.Insert | sqlite.Insert


def insert_into(session: Session, table: Any) -> Any:
    """The dialect's `insert()`, with `on_conflict_do_nothing` and `on_conflict_do_update`."""
    return insert_on(session.get_bind().dialect.name, table)


def insert_on(dialect: str, table: Any) -> Any:
    """The same for the dialect of that name."""
    return (sqlite.insert if dialect == "sqlite" else postgresql.insert)(table)
