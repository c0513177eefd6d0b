"""Rows of earlier schemas, read off the database itself: the models know the latest alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

from sqlalchemy import MetaData, Table, insert, select

from webhook_app.db.database import Database


def insert_rows(database_url: str, table: str, *rows: Mapping[str, Any]) -> None:
    """Puts rows into a table as it is at that revision, whatever the models say."""
    with closing(Database(database_url)) as database, database.write() as session:
        reflected = Table(table, MetaData(), autoload_with=session.connection())
        for row in rows:
            session.execute(insert(reflected).values(**row))


def read_rows(database_url: str, table: str, *columns: str) -> Sequence[tuple[Any, ...]]:
    """In the order of the first column."""
    with closing(Database(database_url)) as database, database.read() as session:
        reflected = Table(table, MetaData(), autoload_with=session.connection())
        query = select(*(reflected.c[name] for name in columns)).order_by(reflected.c[columns[0]])
        return [tuple(row) for row in session.execute(query)]
