"""The plans of statements, for tests that a list or a batch finds its rows in an index."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.support.listening import listening
from webhook_app.db.database import Database


@dataclass(frozen=True)
class Explained:
    """A statement and what EXPLAIN says of it, one line for each step."""

    statement: str
    plan: str


@contextmanager
def explained(database: Database) -> Iterator[list[Explained]]:
    """The statements that are executed within the block, each explained just before it runs."""
    found: list[Explained] = []

    def explain(connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("BEGIN"):
            return  # what a transaction is begun with has no plan
        cursor = connection.connection.cursor()
        cursor.execute(f"{'EXPLAIN QUERY PLAN' if database.is_sqlite else 'EXPLAIN'} {statement}", parameters)
        found.append(Explained(statement, "\n".join(str(line[-1]) for line in cursor.fetchall())))

    with database.write():  # a connection is made, which takes statements of its own
        pass
    with listening(database, "before_cursor_execute", explain):
        yield found
