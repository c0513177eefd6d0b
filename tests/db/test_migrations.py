"""Migrations: up and down, empty and populated, several at once, and in step with the models."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from pathlib import Path
from subprocess import PIPE

import pytest
from alembic import command
from sqlalchemy import func, insert, inspect, select, text
from sqlalchemy.exc import SQLAlchemyError

from tests.support.clock import START
from tests.support.example_rows import EVENT, RECEIPT, RECONCILIATION, TRANSACTION
from tests.support.python_processes import start_python
from tests.support.uncounted import Uncounted
from webhook_app.db.database import Database
from webhook_app.db.migrate import alembic_config, current_revision, downgrade, head_revision, upgrade
from webhook_app.models import (
    ApiToken,
    Base,
    Boot,
    Event,
    Heartbeat,
    LogInSession,
    Receipt,
    Reconciliation,
    Rejection,
    StoredGate,
    Transaction,
)
from webhook_app.models.audit import AuditAction
from webhook_app.models.role import Role
from webhook_app.usecases.access.accounts import create_account, find_person_by_name
from webhook_app.usecases.access.sessions import Browser, Lifetime, log_in
from webhook_app.usecases.audit import Actor, record
from webhook_app.usecases.receive.ingest import RequestOrigin
from webhook_app.usecases.receive.rejections import RefusedRequest, Rejections

#: Waits for a line on standard input, so that all processes migrate at one moment.
UPGRADE_WHEN_TOLD = """
import sys
from webhook_app.db.migrate import upgrade
print("ready", flush=True)
sys.stdin.readline()
upgrade(sys.argv[1])
"""


def test_up_down_and_up_again_populated(empty_url: str) -> None:
    database = Database(empty_url)
    assert current_revision(database) is None
    upgrade(empty_url)
    made = _tables(database)
    assert made == {*Base.metadata.tables, "alembic_version"}
    assert current_revision(database) == head_revision()
    with database.write() as session:
        for table, row in [(Event, EVENT), (Receipt, RECEIPT), (Reconciliation, RECONCILIATION)]:
            session.execute(insert(table).values(**row))
        session.execute(insert(Transaction).values(**TRANSACTION))
    _fill_access(database)
    downgrade(empty_url, "base")
    assert _tables(database) == {"alembic_version"}
    assert current_revision(database) is None
    upgrade(empty_url)
    assert _tables(database) == made
    with database.read() as session:
        assert session.scalars(select(StoredGate.id)).all() == [1]
        assert session.scalar(select(func.count()).select_from(Event)) == 0
    database.close()


def test_what_0006_knew_goes_down_to_it_and_up_and_is_kept(database_url: str) -> None:
    """Accounts, tokens, rejections and the audit log; and boot times, which stay among the heartbeats for the release
    before."""
    boot_time = "boot a1b2-c3"
    database = Database(database_url)
    _fill_access(database)
    with database.write() as session:
        record(session, Actor("ada", "page"), AuditAction.LOG_IN, "ada", "", {}, START)
        session.add(Boot(boot_id="a1b2-c3", booted_at=START))
        session.add_all(Heartbeat(name=name, beat_at=START) for name in (boot_time, "clock"))
    downgrade(database_url, "0006")
    assert "boots" not in _tables(database)
    with database.read() as session:
        assert sorted(session.scalars(select(Heartbeat.name))) == [boot_time, "clock"]
        assert session.execute(text("SELECT action FROM audit_log")).scalars().all() == ["create_account", "log_in"]
        assert session.execute(text("SELECT name FROM api_tokens")).scalars().all() == ["robot"]
        assert session.execute(text("SELECT code FROM rejections")).scalars().all() == ["forbidden_origin"]
    upgrade(database_url)
    with database.read() as session:
        assert [(one.boot_id, one.booted_at) for one in session.scalars(select(Boot))] == [("a1b2-c3", START)]
        assert sorted(session.scalars(select(Heartbeat.name))) == [boot_time, "clock"]
        assert session.scalars(select(Rejection.count)).one() == 1
        assert session.scalars(select(ApiToken.expires_at)).one() is None
        assert session.scalars(select(LogInSession)).all() == []
    with database.write() as session:
        record(session, Actor("ada", "page"), AuditAction.REVOKE_TOKEN, "robot", "", {}, START)
    database.close()


def test_older_process_goes_on_beside_the_newer_schema(database_url: str) -> None:
    """What 0008 and 0009 have added it knows nothing of: it names its own columns alone."""
    database = Database(database_url)
    now = {"now": "2026-04-01 12:00:00.000000" if database.is_sqlite else "2026-04-01 12:00:00+00:00"}
    with database.write() as session:
        for digest in ("a" * 64, "b" * 64):
            session.execute(
                text("INSERT INTO api_tokens (name, role, token_sha256, created_at) VALUES ('a', 'admin', :d, :now)"),
                {"d": digest, **now},
            )
            session.execute(
                text(
                    "INSERT INTO rejections (received_at, http_status, error, code, message, headers, body, body_size)"
                    " VALUES (:now, 404, 'not_found', 'not_found', 'm', '{}', :body, 0)"
                ),
                {"body": b"", **now},
            )
    with database.read() as session:
        assert session.scalars(select(Rejection.count)).all() == [1, 1]
        assert [token.last_used_at for token in session.scalars(select(ApiToken))] == [None, None]
    database.close()


def _fill_access(database: Database) -> None:
    create_account(database, "ada", "correct horse battery", Role.ADMIN, Actor("tester", "shell"), START)
    ada = find_person_by_name(database, "ada")
    assert ada is not None
    log_in_from = Browser("203.0.113.9", "a browser")
    lifetime = Lifetime(timedelta(hours=12), timedelta(hours=1))
    log_in(database, ada, log_in_from, START, lifetime)
    with database.write() as session:
        session.execute(text("DELETE FROM audit_log WHERE action = 'log_in'"))
        session.add(ApiToken(name="robot", role="admin", token_sha256="a" * 64, created_at=START, expires_at=START))
        record(session, Actor("ada", "page"), AuditAction.END_SESSION, "ada", "", {}, START)
    with closing(Rejections(database, Uncounted(database))) as rejections:
        request = RequestOrigin(START, "203.0.113.9", {})
        code = "forbidden_origin"
        rejections.note(
            RefusedRequest(request, "POST", "/webhooks/proof", 403, "forbidden", code, code, "not from there")
        )
        rejections.flush()


def test_upgrade_of_an_upgraded_database_changes_nothing(database_url: str) -> None:
    database = Database(database_url)
    with database.write() as session:
        session.execute(insert(Heartbeat).values(name="a", beat_at=START))
    upgrade(database_url)
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Heartbeat)) == 1
    database.close()


def test_models_and_migrations_agree(database_url: str) -> None:
    command.check(alembic_config(database_url))


def test_constraints_are_the_same_in_models_and_migrations(database_url: str, tmp_path: Path) -> None:
    """`alembic check` does not look at check constraints."""
    database = Database(database_url)
    inspector = inspect(database.engine)
    for table in Base.metadata.sorted_tables:
        migrated = {constraint["name"] for constraint in inspector.get_check_constraints(table.name)}
        modelled = {c.name for c in table.constraints if type(c).__name__ == "CheckConstraint"}
        assert migrated == modelled, table.name
    database.close()


@pytest.mark.parametrize("processes", [3])
def test_several_processes_upgrade_one_fresh_database(empty_url: str, processes: int) -> None:
    started = [
        start_python("-c", UPGRADE_WHEN_TOLD, empty_url, stdin=PIPE, stdout=PIPE, stderr=PIPE) for _ in range(processes)
    ]
    for process in started:
        assert process.stdout is not None
        process.stdout.readline()
    for process in started:
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        process.stdin.flush()
    for process in started:
        _, errors = process.communicate(timeout=30)
        assert process.returncode == 0, errors
    database = Database(empty_url)
    assert current_revision(database) == head_revision()
    with database.read() as session:
        assert session.scalars(select(StoredGate.id)).all() == [1]
    database.close()


def test_migration_that_fails_leaves_nothing_half_made(empty_url: str) -> None:
    database = Database(empty_url)
    with database.write() as session:
        session.execute(text("CREATE TABLE status_changes (x INTEGER)"))  # the last one that the migration makes
    with pytest.raises(SQLAlchemyError):
        upgrade(empty_url)
    assert _tables(database) - {"alembic_version"} == {"status_changes"}
    with database.write() as session:
        session.execute(text("DROP TABLE status_changes"))
    upgrade(empty_url)
    assert current_revision(database) == head_revision()
    database.close()


def _tables(database: Database) -> set[str]:
    return set(inspect(database.engine).get_table_names())
