"""Schema migrations, run through Alembic: each in a transaction of its own, waiting for locks only so long that nobody
behind it in the queue has to wait for long, and tried again."""

from __future__ import annotations

import logging
import random
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext, RevisionStep
from alembic.script import ScriptDirectory
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from webhook_app.db.database import Database, was_broken_off
from webhook_app.db.migration_lock import MigrationFailed, MigrationLock, migration_lock
from webhook_app.db.schema_changes import LOCK_TIMEOUT
from webhook_app.logs import get_logger

log = get_logger()

_ROOT = Path(__file__).resolve().parents[2]
_LOCK_NOT_AVAILABLE = "55P03"

#: The steps that lead from the revision in the database to the one that is wanted.
_FindSteps = Callable[[ScriptDirectory, Any], Sequence[RevisionStep]]


@dataclass(frozen=True)
class Patience:
    """How an upgrade waits; times are seconds."""

    lock_timeout: float = LOCK_TIMEOUT
    """For a lock on a table or a row."""
    tries: int = 100
    """Of one migration."""
    longest_pause: float = 4.0
    """Between two of them; it takes a random part, at least a quarter."""
    other_upgrade: float = 900.0
    """For the upgrade of another host."""


def alembic_config(database_url: str) -> Config:
    """Alembic's configuration: the `[tool.alembic]` table of pyproject.toml and the database to work on."""
    config = Config(toml_file=_ROOT / "pyproject.toml")
    config.attributes["database_url"] = database_url
    return config


def upgrade(database_url: str, revision: str = "head", patience: Patience = Patience()) -> None:
    """Brings the schema up to `revision`; a schema of a later release is left as it is. Safe to run from several hosts
    at once. Raises MigrationFailed; what was applied before stays."""

    def find_steps(script: ScriptDirectory, current: Any) -> Sequence[RevisionStep]:
        return script._upgrade_revs(revision, current)

    with closing(Database(database_url, pool_size=2)) as database:
        current = current_revision(database)
        if revision == "head" and current is not None and current > head_revision():
            log.info("the schema is a later release's: nothing to do", schema=current, ours=head_revision())
            return
        _migrate(database, find_steps, patience)


def downgrade(database_url: str, revision: str, patience: Patience = Patience()) -> None:
    """Takes the schema back to `revision`, `base` for none at all, as `upgrade` brings it forward."""

    def find_steps(script: ScriptDirectory, current: Any) -> Sequence[RevisionStep]:
        return script._downgrade_revs(revision, current) if current else ()

    with closing(Database(database_url, pool_size=2)) as database:
        _migrate(database, find_steps, patience)


def head_revision() -> str:
    head = _migrations().get_current_head()
    assert head is not None, "migrations/ holds no migration"
    return head


def current_revision(database: Database) -> str | None:
    """The revision the database is at; None before the first migration."""
    logging.getLogger("alembic").setLevel(logging.WARNING)
    with database.engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def is_older(revision: str | None) -> bool:
    """Whether a database at `revision` lacks migrations of ours; revisions are numbered. One that is ahead belongs to a
    later version, which migrates first: migrations add before they take away, so we go on working beside it."""
    return revision is None or revision < head_revision()


@cache
def _migrations() -> ScriptDirectory:
    """Read once: to read all of them before each would take longer than most migrations do."""
    return ScriptDirectory.from_config(alembic_config(""))


def _migrate(database: Database, find_steps: _FindSteps, patience: Patience) -> None:
    if not find_steps(_migrations(), current_revision(database)):
        return
    config = alembic_config("")
    options = {"begins_writing": True, "lock_timeout": patience.lock_timeout}
    with _lock(database, patience) as lock, database.engine.execution_options(**options).connect() as connection:
        config.attributes["connection"] = connection
        applied: list[str] = []
        while True:
            if lock is not None:
                lock.check()
            step = _Step(config, find_steps)
            try:
                if not step.take(lock, patience):
                    return
            except SQLAlchemyError as error:
                raise MigrationFailed(_tell(step.revision, applied, error)) from error
            applied.append(step.revision)
            log.info("migration applied", revision=step.revision)


def _lock(database: Database, patience: Patience) -> AbstractContextManager[MigrationLock | None]:
    """On SQLite there is one writer, and each migration looks where the schema stands when it is that."""
    return nullcontext() if database.is_sqlite else migration_lock(database, patience.other_upgrade)


class _Step:
    """The next migration, whichever that is when its transaction has begun."""

    def __init__(self, config: Config, find_steps: _FindSteps) -> None:
        self._config = config
        self._find_steps = find_steps
        self.revision = ""

    def take(self, lock: MigrationLock | None, patience: Patience) -> bool:
        """Whether there was one, which is applied then. Raises SQLAlchemyError."""
        holders: list[str] = []
        for tries_left in reversed(range(patience.tries)):
            watch = nullcontext(holders) if lock is None else lock.watch(self._config.attributes["connection"])
            try:
                with watch as found:
                    return self._run()
            except DBAPIError as error:
                holders = found or holders
                if not _is_anothers_lock(error):
                    raise
                if not tries_left:
                    raise MigrationFailed(_blame(holders, patience.tries)) from error
            log.info("the migration lets others pass and is tried again", revision=self.revision, tries_left=tries_left)
            time.sleep(random.uniform(0.25, 1) * patience.longest_pause)
        return False

    def _run(self) -> bool:
        with EnvironmentContext(self._config, _migrations(), fn=self._first):
            _migrations().run_env()
        return bool(self.revision)

    def _first(self, heads: Any, _context: MigrationContext) -> Iterator[RevisionStep]:
        self.revision = ""
        for step in self._find_steps(_migrations(), heads)[:1]:
            self.revision = step.info.up_revision_id or ""
            yield step


def _is_anothers_lock(error: DBAPIError) -> bool:
    if isinstance(error.orig, sqlite3.OperationalError):
        return error.orig.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
    return was_broken_off(error) or getattr(error.orig, "sqlstate", None) == _LOCK_NOT_AVAILABLE


def _blame(holders: Sequence[str], tries: int) -> str:
    named = "; ".join(holders) or "another transaction, which could not be named"
    return f"its lock was not to be had in {tries} tries, for this stood in its way: {named}"


def _tell(revision: str, applied: Sequence[str], error: SQLAlchemyError) -> str:
    done = f"{', '.join(applied)} before it stay done" if applied else "nothing was done before it"
    return (
        f"migration {revision or 'of unknown number'} failed ({str(error).splitlines()[0]}); {done}. "
        "Run `webhook-app db upgrade` again when the cause is gone"
    )
