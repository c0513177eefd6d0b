"""The two SQL engines as chaos sees them: a database, and the ways in which it can be taken away and given back."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import psycopg

from tests.support.servers import PostgresServer
from webhook_app.db.migrate import upgrade


class Engine(Protocol):
    """A migrated database of one's own."""

    name: str
    url: str

    @property
    def outages(self) -> dict[str, tuple[Callable[[], None], Callable[[], None]]]:
        """How it can be away, by name: what takes it away, and what brings it back."""

    @property
    def blows(self) -> dict[str, Callable[[], None]]:
        """What else befalls a database, by name; each is over when it returns."""

    def take_away(self) -> None:
        """In the plainest way: no statement that writes succeeds until `bring_back`."""

    def bring_back(self) -> None: ...

    def bring_back_if_away(self) -> None: ...

    def stop(self) -> None: ...


class Sqlite:
    """A file. It is away when another process holds its write lock."""

    name = "SQLite"

    def __init__(self, folder: Path) -> None:
        self.path = folder / "chaos.sqlite3"
        self.url = f"sqlite:///{self.path}"
        self._lock: sqlite3.Connection | None = None
        upgrade(self.url)

    @property
    def outages(self) -> dict[str, tuple[Callable[[], None], Callable[[], None]]]:
        return {"SQL locked": (self.take_away, self.bring_back)}

    @property
    def blows(self) -> dict[str, Callable[[], None]]:
        return {}

    def take_away(self) -> None:
        self._lock = sqlite3.connect(self.path, timeout=30, isolation_level=None, check_same_thread=False)
        self._lock.execute("BEGIN EXCLUSIVE")

    def bring_back(self) -> None:
        if self._lock is not None:
            self._lock.rollback()
            self._lock.close()
            self._lock = None

    def bring_back_if_away(self) -> None:
        self.bring_back()

    def stop(self) -> None:
        self.bring_back()


class Postgres:
    """A server of its own: killed and recovered, frozen, or with its tables locked."""

    name = "PostgreSQL"

    def __init__(self, folder: Path) -> None:
        self._server = PostgresServer(folder / "pg", survives_crashes=True)
        try:
            self.url = self._server.url(self._server.create_database())
            upgrade(self.url)
        except BaseException:
            self._server.stop()
            raise
        self._lock: psycopg.Connection | None = None
        self._is_away = False

    @property
    def outages(self) -> dict[str, tuple[Callable[[], None], Callable[[], None]]]:
        return {
            "SQL killed, started again": (self.take_away, self.bring_back),
            "SQL frozen": (self._server.freeze, self._server.thaw),
            "SQL locked": (self._lock_tables, self._unlock_tables),
        }

    @property
    def blows(self) -> dict[str, Callable[[], None]]:
        return {
            "database restarted": self._restart,
            "back ends killed once": self._kill_back_ends,
            "back ends killed ten times": self._kill_back_ends_again_and_again,
            "pool exhausted for 5 s": self._exhaust_pool,
        }

    def take_away(self) -> None:
        self._server.crash()
        self._is_away = True

    def bring_back(self) -> None:
        self._server.start()
        self._is_away = False

    def bring_back_if_away(self) -> None:
        if self._is_away:
            self.bring_back()

    def stop(self) -> None:
        self._unlock_tables()
        self._server.thaw()
        self._server.stop()

    def _restart(self) -> None:
        self.take_away()
        self.bring_back()

    def _kill_back_ends(self) -> None:
        with psycopg.connect(self._address, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )

    def _kill_back_ends_again_and_again(self) -> None:
        for _ in range(10):
            self._kill_back_ends()
            time.sleep(0.5)

    def _exhaust_pool(self) -> None:
        """Somebody else takes all connections there are, those of ours too."""
        taken: list[psycopg.Connection] = []
        deadline = time.monotonic() + 5.0
        self._kill_back_ends()
        try:
            while time.monotonic() < deadline:
                try:
                    taken.append(psycopg.connect(self._address))
                except psycopg.OperationalError:
                    time.sleep(0.05)  # none is left
        finally:
            for connection in taken:
                connection.close()

    @property
    def _address(self) -> str:
        return self.url.replace("+psycopg", "")

    def _lock_tables(self) -> None:
        # One table that ingest, claim and apply all need: taking several, we could deadlock with them ourselves.
        self._lock = psycopg.connect(self._address)
        self._lock.execute("LOCK TABLE reconciliations IN ACCESS EXCLUSIVE MODE")

    def _unlock_tables(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None


ENGINES: dict[str, Callable[[Path], Engine]] = {"sqlite": Sqlite, "postgresql": Postgres}
