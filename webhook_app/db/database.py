"""Engine and sessions. The code that opens a transaction commits it by leaving the `with` block.

Where a pooler may give each transaction another session of PostgreSQL, nothing is kept in it: what holds for a
transaction is sent with its BEGIN, in the same message. A session of our own is told once, when it is opened.
"""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import psycopg
from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import ConnectionPoolEntry

from webhook_app.db.idle_connections import check_before_use
from webhook_app.db.kept_statements import execute_on_driver
from webhook_app.db.sums import ExactSum

#: Seconds that a statement waits for another transaction's lock before it gives up.
LOCK_TIMEOUT = 5
#: Seconds to reach the PostgreSQL server.
CONNECT_TIMEOUT = 3
#: Seconds after which PostgreSQL ends a session that holds a transaction open and does nothing.
IDLE_TIMEOUT = 60
#: How often `Database.run` runs its work at most, and the longest wait before the second time, seconds; it doubles.
MOST_RUNS = 6
FIRST_WAIT = 0.02

#: PostgreSQL's `serialization_failure` and `deadlock_detected` (appendix A of its manual).
_BROKEN_OFF = ("40001", "40P01")
#: Its `lock_not_available`.
_LOCK_TIMED_OUT = "55P03"
_DISK_FULL = "53100"
#: Its `read_only_sql_transaction`: a standby, or a server that its keeper lets nobody write to, as on a full disk.
_READ_ONLY = "25006"

#: In the info of a connection: its session is ours alone, and keeps our isolation and time-outs.
_KEEPS_OURS = "keeps_ours"

#: Leaves the planner nothing but indexes; `jit`, because an estimate that is far too high would have code made.
_BY_INDEX = tuple(
    f"SET LOCAL {setting} = off"
    for setting in ("enable_seqscan", "enable_bitmapscan", "enable_hashjoin", "enable_mergejoin", "jit")
)

Result = TypeVar("Result")


class Database:
    """One database. `read()`, `snapshot()` and `write()` give a session in a transaction of its own; `run()` hands one
    to a function. `statement()` and `run_statement()` are for a write of one statement.

    On SQLite a write takes the lock when it begins: a transaction that reads first and writes later could otherwise be
    refused half-way, whatever the busy time-out.
    """

    def __init__(self, url: str, *, pool_size: int = 8) -> None:
        self.engine = _create_engine(url, pool_size)
        by_index = self.engine.execution_options(by_index=True)
        self._read = {
            False: sessionmaker(self.engine, expire_on_commit=False),
            True: sessionmaker(by_index, expire_on_commit=False),
        }
        # A transaction of SQLite sees one state of the database by itself.
        isolation = {} if self.is_sqlite else {"isolation_level": "REPEATABLE READ"}
        self._snapshot = {
            hint: sessionmaker(engine.execution_options(**isolation), expire_on_commit=False)
            for hint, engine in ((False, self.engine), (True, by_index))
        }
        self._write = {
            hint: sessionmaker(engine.execution_options(begins_writing=True), expire_on_commit=False)
            for hint, engine in ((False, self.engine), (True, by_index))
        }
        self._single = self.engine.execution_options(begins_writing=True, is_single=True)

    @property
    def is_sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def read(self, *, by_index: bool = False) -> Iterator[Session]:
        """A session that only reads; its transaction is rolled back at the end. `by_index` as in `run`."""
        with self._read[by_index]() as session:
            yield session

    @contextmanager
    def snapshot(self, *, by_index: bool = False) -> Iterator[Session]:
        """The same for several statements that must see the same."""
        with self._snapshot[by_index]() as session:
            yield session

    @contextmanager
    def write(self, *, by_index: bool = False) -> Iterator[Session]:
        """A session whose transaction commits at the end of the block, and rolls back if the block raises."""
        with self._write[by_index].begin() as session:
            yield session

    @contextmanager
    def statement(self) -> Iterator[Connection]:
        """A connection for one statement, no more, which is a transaction by itself: PostgreSQL need not be told where
        that begins and ends. So a short write is one message and its answer in place of three."""
        with self._single.begin() as connection:
            yield connection

    def run(self, work: Callable[[Session], Result], *, by_index: bool = False) -> Result:
        """What `work` returns, after its transaction has committed.

        The database may break a transaction off in favour of another (a deadlock, a serialization failure). Then `work`
        runs again from its beginning, MOST_RUNS times in all, so it must change nothing but rows of its session.

        `by_index`: PostgreSQL finds rows by an index, one by one, as is right for a batch out of a large table. Of one
        that has grown since its last ANALYZE, as on the first day or with a sudden backlog, it believes that hardly a
        row is claimed, or that almost each is still to be opened; then it reads all of the table for each batch.
        """
        return _run_until_done(lambda: self._run_once(work, by_index))

    def run_statement(self, work: Callable[[Connection], Result]) -> Result:
        """What `work` returns, which executes one statement on its connection; again, as in `run`, where the database
        breaks it off."""
        return _run_until_done(lambda: self._run_statement_once(work))

    def _run_once(self, work: Callable[[Session], Result], by_index: bool) -> Result:
        with self.write(by_index=by_index) as session:
            return work(session)

    def _run_statement_once(self, work: Callable[[Connection], Result]) -> Result:
        with self.statement() as connection:
            return work(connection)

    def close(self) -> None:
        self.engine.dispose()


def _run_until_done(once: Callable[[], Result]) -> Result:
    for wait in (FIRST_WAIT * 2**run for run in range(MOST_RUNS - 1)):
        try:
            return once()
        except DBAPIError as error:
            if not was_broken_off(error):
                raise
        time.sleep(random.uniform(0, wait))
    return once()


def missing_file(url: str) -> Path | None:
    """The SQLite file that the URL names, where it is not there; None for all others."""
    address = make_url(url)
    if address.get_backend_name() != "sqlite" or not address.database or address.database.startswith("file:"):
        return None
    path = Path(address.database)
    return None if path.exists() else path


def was_broken_off(error: DBAPIError) -> bool:
    """Whether the database has undone the transaction in favour of another: run again, it may well succeed."""
    return getattr(error.orig, "sqlstate", None) in _BROKEN_OFF


def waited_too_long(error: DBAPIError) -> bool:
    """Whether a statement has given up on a lock that another transaction holds. SQLite knows one lock for all, and
    says that the database is busy."""
    return getattr(error.orig, "sqlstate", None) == _LOCK_TIMED_OUT


def was_in_the_way(error: DBAPIError) -> bool:
    """Whether another transaction was in the way, which the database has waited for or has broken this one off for: it
    may well succeed later. On SQLite that is any writer (SQLITE_BUSY, SQLITE_LOCKED)."""
    primary = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
    return was_broken_off(error) or waited_too_long(error) or primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def is_away(error: BaseException) -> bool:
    """Whether the database itself is at fault, and nothing that was to be written: it cannot be reached, has ended the
    connection, or takes nothing. It may have committed what it was told to, and not have said so."""
    if getattr(getattr(error, "orig", None), "sqlstate", None) == _READ_ONLY:
        return True
    return isinstance(error, (OperationalError, InterfaceError)) and not was_in_the_way(error)


def found_disk_full(error: BaseException) -> bool:
    """Whether the database itself says that there is no room on its disk (SQLITE_FULL; PostgreSQL's `disk_full`)."""
    driver = getattr(error, "orig", None)
    is_full = getattr(driver, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL
    return is_full or getattr(driver, "sqlstate", None) == _DISK_FULL


def is_pooled(connection: psycopg.Connection[Any]) -> bool:
    """Whether a pooler answers in place of PostgreSQL: it gives its clients process numbers of its own."""
    row = connection.execute("SELECT pg_backend_pid()", prepare=False).fetchone()
    return row is not None and row[0] != connection.info.backend_pid


def _create_engine(url: str, pool_size: int) -> Engine:
    if make_url(url).get_backend_name() == "sqlite":
        return _create_sqlite_engine(url, pool_size)
    address = make_url(url)
    threshold = address.query.get("prepare_threshold")
    engine = create_engine(
        address.difference_update_query(["prepare_threshold"]),
        hide_parameters=True,  # an error is logged, a payload is not
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=LOCK_TIMEOUT,
        connect_args={
            "connect_timeout": CONNECT_TIMEOUT,
            # A server that vanished without a word is noticed within about ten seconds.
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "tcp_user_timeout": 10_000,
            "application_name": "webhook-app",
            # The driver would begin transactions by itself, bare; `_begin_postgresql` does.
            "autocommit": True,
        },
    )

    def prepare(connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
        record.info[_KEEPS_OURS] = _prepare_postgresql(connection, None if threshold is None else int(str(threshold)))

    event.listen(engine, "connect", prepare)
    event.listen(engine, "begin", _begin_postgresql)
    check_before_use(engine)
    return engine


def _prepare_postgresql(connection: DBAPIConnection, prepare_threshold: int | None) -> bool:
    """Whether its session keeps our isolation and time-outs, as it does where PostgreSQL itself answers: a pooler may
    give the next transaction another one. There statements are prepared, too (psycopg does it at their sixth
    execution). `prepare_threshold` is that of the address: who gives one knows what answers, and is not asked."""
    postgresql: Any = connection
    if prepare_threshold is not None:
        postgresql.prepare_threshold = prepare_threshold
        return False
    try:
        if is_pooled(postgresql):
            postgresql.prepare_threshold = None
            return False
        postgresql.execute(
            "SET default_transaction_isolation = 'read committed'; "
            f"SET lock_timeout = '{LOCK_TIMEOUT}s'; "
            f"SET idle_in_transaction_session_timeout = '{IDLE_TIMEOUT}s'",
            prepare=False,
        )
    except psycopg.Error:
        connection.close()
        raise
    return True


def _begin_postgresql(connection: Connection) -> None:
    """Begins a transaction whose isolation and time-outs are ours, whatever the defaults of database and role are.

    Execution options: `isolation_level`, READ COMMITTED unless it is given, `lock_timeout`, seconds, `by_index`, and
    `is_single`: one statement follows, and is to be its own transaction where the session keeps what is ours.
    """
    options = connection.get_execution_options()
    isolation = options.get("isolation_level", "READ COMMITTED")
    if isolation == "AUTOCOMMIT":
        return
    driver: Any = connection.connection.driver_connection
    if not driver.autocommit:  # SQLAlchemy turns it off where it sets an isolation level
        driver.autocommit = True
    keeps_ours = connection.info.get(_KEEPS_OURS, False)
    if keeps_ours and options.get("is_single"):
        return
    commands = [f"BEGIN ISOLATION LEVEL {isolation}"]
    if not keeps_ours:
        commands.append(f"SET LOCAL idle_in_transaction_session_timeout = '{IDLE_TIMEOUT}s'")
    if not keeps_ours or "lock_timeout" in options:
        commands.append(f"SET LOCAL lock_timeout = '{options.get('lock_timeout', LOCK_TIMEOUT)}s'")
    if options.get("by_index"):
        commands.extend(_BY_INDEX)
    # Several commands cannot be prepared together, whatever the address asks for.
    execute_on_driver(connection, "; ".join(commands), prepare=False)


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
    """Execution options: `begins_writing`, and `lock_timeout`, seconds."""
    options = connection.get_execution_options()
    if "lock_timeout" in options:
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {options['lock_timeout'] * 1000:.0f}")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("begins_writing") else "BEGIN")
