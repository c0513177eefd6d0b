"""What migrations call for changes that would otherwise stop readers and writers of a large table for long.

On PostgreSQL each of these commits by itself, so it must come before everything else in its migration; and each may be
repeated, for a migration that fails is tried again from its beginning. On SQLite they are plain statements.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import sqlalchemy as sa
from alembic import op

#: Seconds that a migration waits for a lock. Statements that ask for the table meanwhile wait behind it, so this is
#: less than the time that a webhook may take (`INGEST_BUDGET`).
LOCK_TIMEOUT = 1.0
#: Building an index stops nobody, but waits for every transaction that is older than it; seconds.
_BUILD_TIMEOUT = 900.0


def create_index(
    name: str, table: str, columns: Sequence[str | sa.TextClause], *, unique: bool = False, where: str | None = None
) -> None:
    """An index of columns, or of expressions as SQL; built while others write. One that an earlier try has left
    half-built is built anew."""
    condition = None if where is None else sa.text(where)
    if _is_sqlite():
        op.create_index(name, table, list(columns), unique=unique, sqlite_where=condition)
        return
    with _outside_transaction(_BUILD_TIMEOUT):
        if _is_invalid(name):
            op.drop_index(name, table, postgresql_concurrently=True)
        op.create_index(
            name,
            table,
            list(columns),
            unique=unique,
            postgresql_where=condition,
            postgresql_concurrently=True,
            if_not_exists=True,
        )


def drop_index(name: str, table: str) -> None:
    """Drops an index while others read and write."""
    if _is_sqlite():
        op.drop_index(name, table)
        return
    with _outside_transaction(_BUILD_TIMEOUT):
        op.drop_index(name, table, postgresql_concurrently=True, if_exists=True)


def replace_check(name: str, table: str, condition: str) -> None:
    """A CHECK constraint in place of the one of that name, if there is one. The rows that are there are checked while
    others write. SQLite copies the table for it, and drops its triggers."""
    if _is_sqlite():
        _replace_sqlite_check(name, table, condition)
        return
    new = f"{name}_new"
    with _outside_transaction(LOCK_TIMEOUT):
        op.execute(f"-- squawk-ignore ban-drop-constraint\nALTER TABLE {table} DROP CONSTRAINT IF EXISTS {new}")
        op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {new} CHECK ({condition}) NOT VALID")
        op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {new}")
        # Sent together they are one transaction: the table is never without its constraint, nor without its name.
        op.execute(
            "-- squawk-ignore ban-drop-constraint\n"
            f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name};\n"
            "-- squawk-ignore renaming-object, prefer-robust-stmts\n"
            f"ALTER TABLE {table} RENAME CONSTRAINT {new} TO {name}"
        )


def _is_sqlite() -> bool:
    return op.get_context().dialect.name == "sqlite"


@contextmanager
def _outside_transaction(lock_timeout: float) -> Iterator[None]:
    context = op.get_context()
    if not context.as_sql and op.get_bind().scalar(sa.text("SELECT pg_current_xact_id_if_assigned() IS NOT NULL")):
        raise RuntimeError("this ends the transaction, so it must come before everything else in its migration")
    with context.autocommit_block():
        op.execute(f"SET lock_timeout = '{lock_timeout}s'")
        yield
        op.execute(f"SET lock_timeout = '{LOCK_TIMEOUT}s'")


def _is_invalid(index: str) -> bool:
    """Whether building it was broken off. Written as SQL for people to read, there is no database to ask."""
    if op.get_context().as_sql:
        return False
    query = sa.text("SELECT NOT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)")
    return bool(op.get_bind().scalar(query, {"name": index}))


def _replace_sqlite_check(name: str, table: str, condition: str) -> None:
    there = {check["name"] for check in sa.inspect(op.get_bind()).get_check_constraints(table)}
    with op.batch_alter_table(table) as batch:
        if name in there:
            batch.drop_constraint(op.f(name), type_="check")
        batch.create_check_constraint(op.f(name), sa.text(condition))
