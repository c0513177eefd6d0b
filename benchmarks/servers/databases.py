"""Databases, each new or a copy: empty, or with a history. PostgreSQL is as durable as it is by default."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import NullPool, create_engine, make_url, text

from benchmarks.seed import seed_postgresql, seed_sqlite
from tests.support.servers import PostgresServer
from webhook_app.db.migrate import upgrade

ENGINES = ("postgresql", "sqlite")
_HISTORY = "history-"


class Databases:
    """In `folder`. One PostgreSQL server, which starts when the first database is asked for; `stop` ends it. Histories
    that are in `kept` are taken from there, and those that are not are left there."""

    def __init__(self, folder: Path, say: Callable[[str], None], kept: Path | None = None) -> None:
        self._folder = folder
        self._kept = kept
        self._say = say
        self._postgres: PostgresServer | None = None
        self._templates: dict[str, str] = {}
        self._count = 0

    @property
    def postgres(self) -> PostgresServer:
        if self._postgres is None:
            folder = self._kept or self._folder
            self._postgres = PostgresServer(folder / "postgresql", is_durable=True, is_kept=self._kept is not None)
            for name in self._postgres.list_databases():
                if not name.startswith(_HISTORY):  # of a run that was broken off
                    self._postgres.drop_database(name)
        return self._postgres

    def stop(self) -> None:
        if self._postgres is not None:
            self._postgres.stop()

    def pids(self, url: str) -> list[int]:
        """Of the server of this database; none for SQLite."""
        return [] if is_sqlite(url) else [self.postgres.pid]

    def migrated(self, engine: str) -> str:
        """The URL of a database with the service's tables and nothing in them."""
        return self.copy(self._template(engine, "migrated", upgrade))

    def history(self, engine: str, size: int) -> str:
        """The URL of one in which two years of so many transactions are stored. Nobody may write to it: `copy` it."""
        name = f"{_HISTORY}{size}"
        if self._kept is None:
            return self._template(engine, name, lambda url: self._seed(url, size))
        return self._kept_sqlite(name, size) if engine == "sqlite" else self._kept_postgresql(name, size)

    def copy(self, url: str) -> str:
        """A new database with the same in it. Nobody may be connected to that one."""
        if is_sqlite(url):
            copy = self._new_file()
            shutil.copyfile(_path(url), copy)
            return f"sqlite:///{copy}"
        return self.postgres.url(self.postgres.create_database(str(make_url(url).database)))

    def empty(self, engine: str) -> str:
        """The URL of a database without tables."""
        if engine == "sqlite":
            return f"sqlite:///{self._new_file()}"
        return self.postgres.url(self.postgres.create_database())

    def drop(self, url: str) -> None:
        if is_sqlite(url):
            for suffix in ("", "-wal", "-shm"):
                Path(_path(url) + suffix).unlink(missing_ok=True)
        else:
            self.postgres.drop_database(str(make_url(url).database))

    def settle(self) -> None:
        """Writes to disk what waits for it, so that no measurement pays for what was there before."""
        if self._postgres is not None:
            ask(self._postgres.url("postgres"), "CHECKPOINT")

    def _template(self, engine: str, name: str, fill: Callable[[str], None]) -> str:
        key = f"{engine}-{name}"
        if key not in self._templates:
            url = self.empty(engine)
            fill(url)
            self._templates[key] = url
        return self._templates[key]

    # What is kept may be of an earlier release: it is migrated each time.

    def _kept_sqlite(self, name: str, size: int) -> str:
        assert self._kept is not None
        file = self._kept / f"{name}.sqlite3"
        if not file.exists():
            unnamed = self.empty("sqlite")
            self._seed(unnamed, size)
            shutil.move(_path(unnamed), file)
        upgrade(f"sqlite:///{file}")
        return f"sqlite:///{file}"

    def _kept_postgresql(self, name: str, size: int) -> str:
        url = self.postgres.url(name)
        if name not in self.postgres.list_databases():
            unnamed = self.empty("postgresql")
            self._seed(unnamed, size)
            self.postgres.rename_database(str(make_url(unnamed).database), name)
        upgrade(url)
        return url

    def _seed(self, url: str, size: int) -> None:
        began = time.monotonic()
        upgrade(url)
        if is_sqlite(url):
            seed_sqlite(_path(url), size)
        else:
            seed_postgresql(url.replace("+psycopg", "", 1), size)
        self._say(f"{make_url(url).get_backend_name()}: {size:,} seeded in {time.monotonic() - began:.0f} s")

    def _new_file(self) -> Path:
        self._count += 1
        return self._folder / f"{self._count}.sqlite3"


def is_sqlite(url: str) -> bool:
    return make_url(url).get_backend_name() == "sqlite"


def ask(url: str, statement: str) -> int:
    """The one number that this statement gives, on a connection of its own; 0 where it gives none."""
    engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        result = connection.execute(text(statement))
        return int(result.scalar() or 0) if result.returns_rows else 0


def _path(url: str) -> str:
    return str(make_url(url).database)
