"""Engine and sessions. Whoever opens a transaction commits it by leaving the `with` block."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import ConnectionPoolEntry

from webhook_app.db.sums import ExactSum

#: Seconds that a statement waits for another transaction's lock before it gives up.
LOCK_TIMEOUT = 5
#: Seconds to reach the PostgreSQL server.
CONNECT_TIMEOUT = 3


class Database:
    """One database. `read()`, `snapshot()` and `write()` give a session in a transaction of its own.

    On SQLite a write takes the lock when it begins: a transaction that reads first and writes later could otherwise be
    refused half-way, whatever the busy time-out.
    """

    def __init__(self, url: str, *, pool_size: int = 8) -> None:
        self.engine = _create_engine(url, pool_size)
        self._read = sessionmaker(self.engine, expire_on_commit=False)
        # A transaction of SQLite sees one state of the database by itself.
        isolated = self.engine if self.is_sqlite else self.engine.execution_options(isolation_level="REPEATABLE READ")
        self._snapshot = sessionmaker(isolated, expire_on_commit=False)
        self._write = sessionmaker(self.engine.execution_options(begins_writing=True), expire_on_commit=False)

    @property
    def is_sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session that only reads; its transaction is rolled back at the end."""
        with self._read() as session:
            yield session

    @contextmanager
    def snapshot(self) -> Iterator[Session]:
        """The same for several statements that must see the same."""
        with self._snapshot() as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session whose transaction commits at the end of the block, and rolls back if the block raises."""
        with self._write.begin() as session:
            yield session

    def close(self) -> None:
        self.engine.dispose()


def _create_engine(url: str, pool_size: int) -> Engine:
    if make_url(url).get_backend_name() == "sqlite":
        return _create_sqlite_engine(url, pool_size)
    return create_engine(
        url,
        hide_parameters=True,  # an error is logged, a payload is not
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=LOCK_TIMEOUT,
        pool_pre_ping=True,
        connect_args={
            "connect_timeout": CONNECT_TIMEOUT,
            # A server that vanished without a word is noticed within about ten seconds.
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "tcp_user_timeout": 10_000,
            "options": f"-c timezone=UTC -c lock_timeout={LOCK_TIMEOUT}s -c idle_in_transaction_session_timeout=60s",
            "application_name": "webhook-app",
        },
    )


def _create_sqlite_engine(url: str, pool_size: int) -> Engine:
    path = make_url(url).database
    if path:
        Path(path).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    engine = create_engine(
        url,
        hide_parameters=True,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=LOCK_TIMEOUT,
        connect_args={"timeout": LOCK_TIMEOUT, "check_same_thread": False},
    )
    if path and not path.startswith("file:"):
        event.listen(engine, "do_connect", lambda *_: _make_private(Path(path)))
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _make_private(path: Path) -> None:
    """A new file for its owner alone; SQLite gives the files beside it (-wal, -shm) the same mode."""
    with contextlib.suppress(OSError):  # it is there, or cannot be made, which SQLite tells better
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def _prepare_sqlite(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    sqlite: Any = connection
    sqlite.isolation_level = None  # the driver would begin transactions late and by itself; `_begin_sqlite` does
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")  # a 2xx means fsynced, in WAL mode too
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()
    sqlite.create_aggregate("exact_sum", 1, ExactSum)


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("begins_writing")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
