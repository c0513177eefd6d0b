"""What migrations call to change large tables: beside writers, and again after a try that was broken off."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic import op
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, text
from sqlalchemy.exc import IntegrityError, OperationalError

from tests.support.waiting import wait_for
from webhook_app.db.database import Database
from webhook_app.db.schema_changes import create_index, drop_index, replace_check

ROOT = Path(__file__).parents[2]


#: SQLite has one writer, and makes an index or a constraint in a transaction.
on_postgresql = pytest.mark.parametrize("engine", ["postgresql"], indirect=True)


@pytest.fixture
def changed(database: Database) -> Database:
    """Has the table `changed`, with two rows."""
    execute(
        database,
        "CREATE TABLE changed (name TEXT NOT NULL, size INTEGER NOT NULL)",
        "INSERT INTO changed VALUES ('a', 1), ('b', 2)",
    )
    return database


def execute(database: Database, *statements: str) -> None:
    with database.write() as session:
        for statement in statements:
            session.execute(text(statement))


def migrate(database: Database, *changes: Callable[[], None]) -> None:
    """As the runner runs a migration that calls these."""
    with database.engine.execution_options(begins_writing=True, lock_timeout=0.5).connect() as connection:
        context = MigrationContext.configure(connection, opts={"transactional_ddl": True})
        with Operations.context(context), context.begin_transaction():
            for change in changes:
                change()


def indexes(database: Database) -> dict[str | None, bool]:
    """Whether each is unique, by name."""
    return {index["name"]: bool(index["unique"]) for index in inspect(database.engine).get_indexes("changed")}


def add_index() -> None:
    create_index("ix_changed_size", "changed", ["size"], where="size > 1")


def add_unique_index() -> None:
    create_index("uq_changed_name", "changed", ["name"], unique=True)


def check_size() -> None:
    replace_check("ck_changed_size", "changed", "size < 10")


def test_index_is_made_and_dropped(changed: Database) -> None:
    migrate(changed, add_index, add_unique_index)
    assert indexes(changed) == {"ix_changed_size": False, "uq_changed_name": True}
    migrate(changed, lambda: drop_index("ix_changed_size", "changed"))
    assert indexes(changed) == {"uq_changed_name": True}


def test_check_is_added_then_replaced(changed: Database) -> None:
    migrate(changed, check_size)
    with pytest.raises(IntegrityError):
        execute(changed, "INSERT INTO changed VALUES ('c', 10)")
    migrate(changed, lambda: replace_check("ck_changed_size", "changed", "size < 100"))
    execute(changed, "INSERT INTO changed VALUES ('c', 10)")
    assert [check["name"] for check in inspect(changed.engine).get_check_constraints("changed")] == ["ck_changed_size"]


def test_check_that_rows_fail_leaves_the_former_one_and_may_be_tried_again(changed: Database) -> None:
    migrate(changed, check_size)
    with pytest.raises(IntegrityError):
        migrate(changed, lambda: replace_check("ck_changed_size", "changed", "size < 2"))
    with pytest.raises(IntegrityError):
        execute(changed, "INSERT INTO changed VALUES ('c', 10)")
    execute(changed, "DELETE FROM changed WHERE size = 2")
    migrate(changed, lambda: replace_check("ck_changed_size", "changed", "size < 2"))
    with pytest.raises(IntegrityError):
        execute(changed, "INSERT INTO changed VALUES ('c', 2)")


@on_postgresql
def test_each_may_be_repeated(changed: Database) -> None:
    for _ in range(2):
        migrate(changed, add_index, check_size)
    for _ in range(2):
        migrate(changed, lambda: drop_index("ix_changed_size", "changed"))
    assert indexes(changed) == {}


@on_postgresql
def test_index_is_built_while_others_write(changed: Database) -> None:
    def waits() -> bool:
        query = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' "
            "AND query LIKE 'CREATE INDEX CONCURRENTLY%'"
        )
        with changed.read() as session:
            return session.scalar(text(query)) == 1

    with ThreadPoolExecutor(1) as threads, changed.write() as writer:
        writer.execute(text("INSERT INTO changed VALUES ('c', 3)"))
        building = threads.submit(migrate, changed, add_index)
        wait_for(waits, "the index waits for the writer")
        execute(changed, "INSERT INTO changed VALUES ('d', 4)")
        assert not building.done()
        writer.commit()
        building.result(60)
    assert indexes(changed) == {"ix_changed_size": False}


@on_postgresql
def test_index_whose_building_was_broken_off_is_built_anew(changed: Database) -> None:
    execute(changed, "INSERT INTO changed VALUES ('a', 3)")
    with pytest.raises(IntegrityError):
        migrate(changed, add_unique_index)
    is_valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'uq_changed_name'::regclass"
    with changed.read() as session:
        assert session.scalar(text(is_valid)) is False  # PostgreSQL leaves it behind
    execute(changed, "DELETE FROM changed WHERE size = 3")
    migrate(changed, add_unique_index)
    with changed.read() as session:
        assert session.scalar(text(is_valid)) is True


@on_postgresql
def test_check_waits_for_its_lock_no_longer_than_the_time_out(changed: Database) -> None:
    with changed.read() as reader:
        reader.execute(text("SELECT * FROM changed"))
        with pytest.raises(OperationalError, match="lock timeout"):
            migrate(changed, check_size)
    migrate(changed, check_size)


@on_postgresql
def test_what_ends_the_transaction_must_come_first(changed: Database) -> None:
    with pytest.raises(RuntimeError, match="before everything else"):
        migrate(changed, lambda: op.execute("DELETE FROM changed"), add_index)
    with changed.read() as session:
        assert session.scalar(text("SELECT count(*) FROM changed")) == 2


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (add_index, None),
        (lambda: drop_index("ix_changed_size", "changed"), None),
        (check_size, None),
        (lambda: op.create_index("ix_changed_size", "changed", ["size"]), "require-concurrent-index-creation"),
        (lambda: op.execute("ALTER TABLE changed ADD CHECK (size < 10)"), "constraint-missing-not-valid"),
        (lambda: op.execute("ALTER TABLE changed RENAME COLUMN size TO length"), "renaming-column"),
    ],
)
def test_linter_lets_these_pass_and_nothing_that_stops_others(
    change: Callable[[], None], complaint: str | None
) -> None:
    sql = io.StringIO("SET lock_timeout = '1s';\n")
    sql.seek(0, io.SEEK_END)
    context = MigrationContext.configure(
        dialect_name="postgresql", opts={"as_sql": True, "output_buffer": sql, "transactional_ddl": True}
    )
    with Operations.context(context), context.begin_transaction():
        change()
    linter = [str(Path(sys.executable).parent / "squawk"), "--config", str(ROOT / "migrations" / "squawk.toml")]
    found = subprocess.run([*linter, "--reporter", "gcc"], input=sql.getvalue(), capture_output=True, text=True)
    assert (found.returncode == 0) == (complaint is None), found.stdout + sql.getvalue()
    assert complaint is None or complaint in found.stdout
