"""The one connection of a simulation on SQLite. It stays out of its pool, nothing listens to it, and what looks on from
outside reads through the driver alone: SQLAlchemy's part of a short transaction takes more time than SQLite's.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, StaticPool, create_engine
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.orm import Session

from webhook_app.db.types import UtcDateTime


class KeptConnection:
    """Give it an engine of `Database`: its connection is made and prepared as all are, and then kept."""

    def __init__(self, engine: Engine) -> None:
        self._lent = engine.raw_connection()
        driver = self._lent.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        self.driver = driver
        _relax(driver)
        self._begin = "BEGIN"
        # An engine of its own, because the other one has a listener at `begin`; so it looks for some at each statement.
        own = create_engine("sqlite://", creator=lambda: driver, poolclass=StaticPool, hide_parameters=True)
        # A listener is what is to be saved, and a class of dialect would have to be registered for every engine.
        own.dialect.do_begin = self._do_begin  # type: ignore[method-assign]  # of this engine's own dialect alone
        self._connection = own.connect()
        at = UtcDateTime().dialect_impl(own.dialect)
        self._write_moment, self._read_moment = at.bind_processor(own.dialect), at.result_processor(own.dialect, None)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """As `Database.read`, and, as SQLite has it, `Database.snapshot`."""
        self._begin = "BEGIN"
        with Session(self._connection, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """As `Database.write`."""
        self._begin = "BEGIN IMMEDIATE"
        with Session(self._connection, expire_on_commit=False) as session, session.begin():
            yield session

    def query(self, statement: str, values: Mapping[str, Any]) -> list[Any]:
        """All rows, in SQLite's own types; a moment among the values is written as a column of moments is."""
        given = {
            name: self._write_moment(value) if isinstance(value, datetime) else value for name, value in values.items()
        }
        return self.driver.execute(statement, given).fetchall()

    def read_moment(self, value: Any) -> datetime | None:
        """Of a column of moments."""
        return self._read_moment(value)

    def close(self) -> None:
        self._connection.close()
        self._lent.close()

    def _do_begin(self, _connection: DBAPIConnection) -> None:
        self.driver.execute(self._begin)


def _relax(connection: sqlite3.Connection) -> None:
    for pragma in ("synchronous = OFF", "journal_mode = MEMORY", "locking_mode = EXCLUSIVE", "temp_store = MEMORY"):
        connection.execute(f"PRAGMA {pragma}")
