"""The lock under which one host migrates at a time, and who stands in a migration's way. PostgreSQL's alone: on SQLite
each migration takes the one writer's lock when it begins."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from webhook_app.db.database import Database, is_pooled
from webhook_app.logs import get_logger

log = get_logger()

#: Any number, the same for every run and release: PostgreSQL's advisory lock, which the process that migrates holds.
_LOCK = 0x57454248
#: Seconds between two looks at who stands in the way.
_LOOK_EVERY = 0.1
#: Others that are named.
_MOST_NAMED = 3

_HOLDER = """
    SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND classid = 0 AND objid = :lock AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_ACTIVITY = """
    SELECT pid, usename, application_name, host(client_addr), state, xact_start FROM pg_stat_activity
    WHERE pid = ANY(:pids) ORDER BY xact_start LIMIT :most
"""


class MigrationFailed(SQLAlchemyError):
    """One sentence on why the schema could not be changed, how far it has come, and what to do."""


class MigrationLock:
    """Held by a session of its own, in no transaction: an index that is built concurrently waits for all of those."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def check(self) -> None:
        """Raises SQLAlchemyError when the session that holds the lock has ended, and the lock with it."""
        self._connection.execute(text("SELECT 1"))

    @contextmanager
    def watch(self, connection: Connection) -> Iterator[list[str]]:
        """In the block, looks who blocks `connection`. The list holds whom it found last; each is logged once."""
        driver = connection.connection.driver_connection
        assert driver is not None
        found: list[str] = []
        ends = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(driver.info.backend_pid, found, ends), daemon=True)
        watcher.start()
        try:
            yield found
        finally:
            ends.set()
            watcher.join()

    def _watch(self, pid: int, found: list[str], ends: threading.Event) -> None:
        said: set[str] = set()
        try:
            while not ends.wait(_LOOK_EVERY):
                pids = self._connection.scalar(text("SELECT pg_blocking_pids(:pid)"), {"pid": pid})
                if pids:
                    found[:] = describe(self._connection, pids)
                    for one in found:
                        if one not in said:
                            log.warning("the migration waits", holder=one)
                            said.add(one)
        except SQLAlchemyError as error:
            log.warning("who holds the lock cannot be seen", error=str(error).splitlines()[0])


@contextmanager
def migration_lock(database: Database, patience: float) -> Iterator[MigrationLock]:
    """Tries for the lock and waits, up to `patience` seconds. Raises MigrationFailed, which names the holder."""
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        if is_pooled(driver):
            raise MigrationFailed(
                "A connection pooler answers here, and it would not keep the lock of a migration: set "
                "DATABASE_MIGRATION_URL to the address of PostgreSQL itself"
            )
        deadline = time.monotonic() + patience
        has_said = False
        while not connection.scalar(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": _LOCK}):
            pids = connection.scalars(text(_HOLDER), {"lock": _LOCK}).all()
            holders = "; ".join(describe(connection, pids)) or "it has just ended"
            if time.monotonic() > deadline:
                raise MigrationFailed(
                    f"Another upgrade has been under way for more than {patience:.0f} s: {holders}. Run this again "
                    "when that one has ended"
                )
            if not has_said:
                log.info("another upgrade is under way: this one waits for it", holder=holders)
                has_said = True
            time.sleep(random.uniform(0.1, 0.5))
        try:
            yield MigrationLock(connection)
        finally:
            connection.invalidate()  # ends the session, and so gives the lock back whatever the session's state


def describe(connection: Connection, pids: object) -> list[str]:
    """Sessions for a person to find, the one with the oldest transaction first. What they run is not told: it may hold
    personal data."""
    rows = connection.execute(text(_ACTIVITY), {"pids": list(pids), "most": _MOST_NAMED})  # type: ignore[call-overload]
    return [
        f"process {pid} ({application or 'no application name'}, user {user}"
        + (f", from {address}" if address else "")
        + (f", {state}" if state else "")
        + (f", in a transaction since {began:%Y-%m-%d %H:%M:%S %Z}" if began else "")
        + ")"
        for pid, user, application, address, state, began in rows
    ]
