"""One transaction held between two of its statements, while something else happens: races, one way and every time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import text

from tests.support.listening import listening
from tests.support.waiting import wait_for
from webhook_app.db.database import Database


@contextmanager
def after_statement(database: Database, part: str, action: Callable[[], None]) -> Iterator[None]:
    """Calls `action` once, just after the next statement that contains `part`, before its transaction goes on."""
    done = threading.Event()

    def meanwhile(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if part in statement and not done.is_set():
            done.set()
            action()

    with listening(database, "after_cursor_execute", meanwhile):
        yield
    assert done.is_set(), f"no statement contained {part!r}"


def finish_or_block(database: Database, work: Callable[[], object]) -> threading.Thread:
    """Starts `work` in a thread; returns when it has ended or waits for a lock. The caller joins the thread.

    SQLite does not say who waits; there only one transaction writes at a time anyway.
    """
    thread = threading.Thread(target=work)
    thread.start()
    if not database.is_sqlite:
        wait_for(lambda: not thread.is_alive() or _waits_for_a_lock(database), "it has ended or waits for a lock")
    return thread


@contextmanager
def counted_statements(database: Database) -> Iterator[list[str]]:
    """The statements that are executed meanwhile. One statement with many sets of parameters counts as many."""
    statements: list[str] = []

    def count(
        _connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, executemany: bool
    ) -> None:
        statements.extend([statement] * (len(parameters) if executemany else 1))

    with listening(database, "before_cursor_execute", count):
        yield statements


def _waits_for_a_lock(database: Database) -> bool:
    with database.read() as session:
        waiting = text(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return bool(session.scalar(waiting))
