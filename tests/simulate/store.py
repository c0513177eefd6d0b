"""The store: a real database whose transactions are steps of the schedule, and a log of what each of them changed.

Transactions are never interleaved with each other: actors take turns at their beginnings and ends. So one connection
serves all. The log is written by triggers, so it misses nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from tests.simulate.kept import KeptConnection
from tests.simulate.plan import Absence
from tests.simulate.schedule import Schedule
from webhook_app.db.database import Database


class Logged(NamedTuple):
    """One changed row. `before` and `after` are its logged columns, '' for none; `before` is None of a new row."""

    what: str
    id: str
    before: tuple[str, ...] | None
    after: tuple[str, ...]


#: The logged columns of each table, the one that names its row first.
LOGGED = {
    "reconciliations": ("merchant_transaction_id", "state", "claim_token", "generation", "next_attempt_at",
                        "lease_until", "slot_until", "attempts"),
    "events": ("merchant_transaction_id", "id", "status", "updated_at_key", "delivery"),
    "transactions": ("merchant_transaction_id", "status", "updated_at", "fiat_amount"),
    "status_changes": ("merchant_transaction_id", "status", "updated_at"),
    "attempts": ("reconciliation_id", "http_status", "error", "code"),
    "upstream": ("id", "paused_at", "outage_since"),
}  # fmt: skip


_LOG = "SELECT what, id, before, after FROM simulated_log ORDER BY n"
_EMPTY_LOG = "DELETE FROM simulated_log"
_OPEN = """
    SELECT EXISTS (SELECT 1 FROM events WHERE NOT is_opened) OR EXISTS (SELECT 1 FROM receipts WHERE NOT is_opened)
        OR EXISTS (SELECT 1 FROM replays WHERE finished_at IS NULL)
"""
#: Never called yet, or its worker died: while all calls are paused, such a one is called beside the rounds.
_IS_NEWCOMER = """
    AND claim_token IS NULL AND (state = 'pending' AND last_error IS NULL
        OR state = 'retrying' AND last_error = 'worker_died' AND spent_attempts + uncounted = 0 AND crashes = 1)
"""


class SimulatedDatabase(Database):
    """Give it a schedule with `begin` before each simulation."""

    schedule: Schedule | None = None
    absences: Sequence[Absence] = ()

    def __init__(self, url: str, folder: Path | None = None) -> None:
        super().__init__(url, pool_size=1)
        self.folder = folder
        self._kept = KeptConnection(self.engine) if self.is_sqlite else None

    @contextmanager
    def read(self, *, by_index: bool = False) -> Iterator[Session]:
        self._pause("reads")
        with self._kept.read() if self._kept else super().read(by_index=by_index) as session:
            yield session

    @contextmanager
    def snapshot(self, *, by_index: bool = False) -> Iterator[Session]:
        self._pause("reads")
        with self._kept.read() if self._kept else super().snapshot(by_index=by_index) as session:
            yield session

    @contextmanager
    def write(self, *, by_index: bool = False) -> Iterator[Session]:
        self._pause("writes")
        with self._kept.write() if self._kept else super().write(by_index=by_index) as session:
            yield session
        if self.schedule is not None and self.schedule.is_inside:
            self.on_commit()
            self._pause("has written", told=True)

    @contextmanager
    def statement(self) -> Iterator[Connection]:
        with self.write() as session:
            yield session.connection()

    def on_commit(self) -> None:
        """Replaced by whoever looks at each commit."""

    def drain_log(self) -> list[Logged]:
        """What was changed since the last call, in its order."""
        if self._kept:
            rows = self._kept.driver.execute(_LOG).fetchall()
            if rows:
                self._kept.driver.execute(_EMPTY_LOG)
        else:
            with self.engine.begin() as connection:
                rows = connection.exec_driver_sql(_LOG).all()
                if rows:
                    connection.exec_driver_sql(_EMPTY_LOG)
        return [
            Logged(what, id, None if before is None else tuple(before.split("|")), tuple(after.split("|")))
            for what, id, before, after in rows
        ]

    def query(self, statement: str, **values: Any) -> list[Any]:
        """All rows, for who looks on: no step. SQLite gives its own types."""
        if self._kept:
            return self._kept.query(statement, values)
        with self.engine.connect() as connection:
            return list(connection.execute(text(statement), values))

    def has_work(self, now: datetime) -> bool:
        """Whether a sweep would find something then."""
        if self.query(_OPEN)[0][0] or self._first("lease_until", now):
            return True
        closed_until = self.gate_closed_until(now)
        return (closed_until is None or closed_until <= now) and self._first("next_attempt_at", now)

    def gate_closed_until(self, now: datetime) -> datetime | None:
        """While all calls are paused, when the next probe may go out: a round, or what has just come."""
        paused_at, round_at = self._only("SELECT paused_at, next_probe_at FROM upstream")
        if paused_at is None:
            return None
        if round_at is None or self._first("next_attempt_at", now, _IS_NEWCOMER):
            return now
        return self._kept.read_moment(round_at) if self._kept else round_at

    def _first(self, column: str, now: datetime, further: str = "") -> bool:
        rows = f"SELECT 1 FROM reconciliations WHERE {column} <= :now {further}"
        return bool(self._only(f"SELECT EXISTS ({rows})", now=now)[0])

    def _only(self, statement: str, **values: Any) -> Any:
        [row] = self.query(statement, **values)
        return row

    def execute(self, statement: str, **values: Any) -> None:
        """For who sets the simulation up: no step."""
        if self._kept:
            self._kept.query(statement, values)
            return
        with self.engine.begin() as connection:
            connection.execute(text(statement), values)

    def restore(self, template: Path) -> None:
        """The database, of SQLite, becomes a copy of the template; its connection stays open."""
        assert self._kept is not None
        source = sqlite3.connect(template)
        source.backup(self._kept.driver)
        source.close()

    def close(self) -> None:
        if self._kept:
            self._kept.close()
        super().close()

    def _pause(self, what: str, *, told: bool = False) -> None:
        """A step, unless nobody is inside. Raises OperationalError where SQL is away after it; `told`: so that what was
        committed is not confirmed to whoever wrote it."""
        schedule = self.schedule
        if schedule is not None and schedule.is_inside:
            rng = schedule.current.rng
            slow = rng.random() < 0.01
            schedule.step(what, rng.uniform(0.02, 0.3) if slow else rng.uniform(0.0003, 0.003))
            if any(absence.begins <= schedule.now < absence.ends for absence in self.absences):
                schedule.note("SQL is away" + (", after it has committed" if told else ""))
                raise OperationalError(what, {}, ConnectionError("the server is away"))


def add_log(database: Database) -> None:
    """Makes the log and its triggers in a database that has the schema."""
    is_sqlite = database.is_sqlite
    key = "INTEGER PRIMARY KEY" if is_sqlite else "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"
    with database.engine.begin() as connection:
        run = connection.exec_driver_sql
        run(f"CREATE TABLE simulated_log (n {key}, what TEXT, id TEXT, before TEXT, after TEXT)")
        for table, columns in LOGGED.items():
            old, new = _joined(table, columns, "OLD"), _joined(table, columns, "NEW")
            insert = "INSERT INTO simulated_log (what, id, before, after) VALUES "
            name = f"CAST(NEW.{columns[0]} AS TEXT)"
            created = f"{insert}('{table}', {name}, NULL, {new});"
            changed = f"{insert}('{table}', {name}, {old}, {new});"
            for when, body in (("INSERT", created), ("UPDATE", changed)):
                trigger = f"simulated_{table}_{when.lower()}"
                if is_sqlite:
                    run(f"CREATE TRIGGER {trigger} AFTER {when} ON {table} BEGIN {body} END")
                else:
                    run(f"CREATE FUNCTION {trigger}() RETURNS trigger LANGUAGE plpgsql AS "
                        f"$$ BEGIN {body} RETURN NULL; END $$")  # fmt: skip
                    run(f"CREATE TRIGGER {trigger} AFTER {when} ON {table} FOR EACH ROW EXECUTE FUNCTION {trigger}()")


def _joined(table: str, columns: tuple[str, ...], row: str) -> str:
    parts = (f"coalesce(CAST({row}.{column} AS TEXT), '')" for column in columns[1:])
    return " || '|' || ".join(parts)
