"""Behind PgBouncer in transaction mode everything works as without it: nothing is kept in a session of the server."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient
from sqlalchemy import func, insert, literal, select, text, update
from sqlalchemy.exc import OperationalError

from tests.support.clock import START, FakeClock
from tests.support.databases import TestDatabase
from tests.support.events import webhook
from tests.support.pooler import SESSIONS, Pooler
from tests.support.sandbox import Sandbox
from tests.support.servers import PostgresServer
from tests.support.work import run_fast
from webhook_app.cli import cli
from webhook_app.db.database import IDLE_TIMEOUT, LOCK_TIMEOUT, Database
from webhook_app.db.migrate import current_revision, head_revision, upgrade
from webhook_app.db.migration_lock import MigrationFailed
from webhook_app.domain.status import Status
from webhook_app.models import Event, Heartbeat, StoredGate
from webhook_app.models.role import Role
from webhook_app.readiness import OK, run_checks
from webhook_app.services import Services
from webhook_app.usecases.access.tokens import create_token
from webhook_app.usecases.reconcile.reconciler import Reconciler
from workers.clock import run_once

pytestmark = pytest.mark.parametrize("engine", ["postgresql"], indirect=True)

#: More than the executions after which the driver prepares a statement.
OFTEN = 12


@pytest.fixture(scope="session")
def pooler(server_folder: Path, postgres: PostgresServer) -> Iterator[Pooler]:
    pooler = Pooler(server_folder / "pooler", postgres)
    yield pooler
    pooler.stop()


@pytest.fixture
def as_admin(database: Database, clock: FakeClock) -> dict[str, str]:
    return {"Authorization": f"Bearer {create_token(database, 'test', Role.ADMIN, clock())}"}


@pytest.fixture
def database_url(pooler: Pooler, own_database: TestDatabase) -> str:
    """In place of the one of all tests, so that all that is built on it goes by the pooler."""
    return pooler.url(own_database.url)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with closing(Database(database_url)) as database:
        yield database


def test_from_webhook_to_export_and_replay(
    client: FlaskClient,
    as_admin: dict[str, str],
    services: Services,
    reconciler: Reconciler,
    sandbox: Sandbox,
    clock: FakeClock,
) -> None:
    for number in range(OFTEN):
        answer = client.post("/webhooks/proof", json=webhook(merchant_transaction_id=f"t-{number}"))
        assert answer.status_code == 202
        assert "spooled" not in answer.json
        if number:
            sandbox.control.create(f"t-{number}", status=Status.COMPLETED)
    run_once(services)
    run_fast(reconciler)
    listed = client.get("/api/v1/transactions?status=completed", headers=as_admin).json["items"]
    assert len(listed) == OFTEN - 1
    exported = client.get("/api/v1/transactions/export?format=csv", headers=as_admin)
    assert len(list(csv.reader(io.StringIO(exported.text)))) == 1 + OFTEN
    failed = client.get("/api/v1/deliveries?state=failed", headers=as_admin).json["items"]
    assert [one["merchant_transaction_id"] for one in failed] == ["t-0"]
    sandbox.control.create("t-0", status=Status.COMPLETED)
    order = {"ids": [failed[0]["id"]], "reason": "Proof has it now"}
    assert client.post("/api/v1/deliveries/replay", json=order, headers=as_admin).json["replayed"] == 1
    clock.advance(1)
    run_once(services)
    run_fast(reconciler)
    assert client.get("/api/v1/transactions/t-0", headers=as_admin).json["status"] == "completed"
    assert run_checks(services) == dict.fromkeys(run_checks(services), OK)


def test_each_transaction_has_its_time_outs_and_isolation(database: Database) -> None:
    """Though the session that is lent to it has served any other."""
    for _ in range(OFTEN):
        with database.write() as session:
            assert session.scalar(text("SHOW lock_timeout")) == f"{LOCK_TIMEOUT}s"
            assert session.scalar(text("SHOW idle_in_transaction_session_timeout")) == f"{IDLE_TIMEOUT // 60}min"
            assert session.scalar(text("SHOW transaction_isolation")) == "read committed"
        with database.snapshot() as session:
            assert session.scalar(text("SHOW transaction_isolation")) == "repeatable read"
        with database.statement() as connection:
            assert connection.scalar(text("SHOW lock_timeout")) == f"{LOCK_TIMEOUT}s"


def test_statement_may_be_repeated_in_whatever_session_is_lent(database: Database, database_url: str) -> None:
    with ExitStack() as stack:  # so that the pooler has several
        for _ in range(SESSIONS):
            stack.enter_context(database.read()).execute(text("SELECT 1"))
    with closing(Database(database_url, pool_size=1)) as alone:
        sessions = set()
        for number in range(OFTEN * SESSIONS):
            with alone.write() as session:
                rows = [{"name": f"{number}-{name}", "beat_at": START} for name in ("a", "b")]
                session.execute(insert(Heartbeat.__table__), rows)  # type: ignore[arg-type]  # it is a Table
                sessions.add(session.scalar(select(func.pg_backend_pid()).where(literal(number) >= 0)))
        assert len(sessions) > 1


def test_sessions_are_left_as_they_were_found(database: Database) -> None:
    with database.write() as session:
        session.execute(text("SELECT 1"))
    with database.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        for _ in range(OFTEN):
            assert connection.scalar(text("SHOW lock_timeout")) == "0"


def test_many_threads_count_up_and_lose_nothing(database: Database) -> None:
    def count_up(_thread: int) -> None:
        for _ in range(OFTEN):
            with database.write() as session:
                probes = session.scalars(select(StoredGate.probes).where(StoredGate.id == 1).with_for_update()).one()
                session.execute(update(StoredGate).values(probes=probes + 1))
            with database.snapshot() as session:
                assert session.scalar(select(StoredGate.probes)) == session.scalar(select(StoredGate.probes))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(count_up, range(8)))
    with database.read() as session:
        assert session.scalar(select(StoredGate.probes)) == 8 * OFTEN


def test_error_in_a_transaction_does_not_reach_the_next(database: Database) -> None:
    def fail(number: int) -> None:
        with database.write() as session:
            session.execute(insert(Heartbeat).values(name=f"lost-{number}", beat_at=START))
            session.execute(text("SET LOCAL statement_timeout = '1ms'"))
            session.execute(text("SELECT pg_sleep(10)"))

    for number in range(OFTEN):
        with pytest.raises(OperationalError):
            fail(number)
        with database.write() as session:
            session.execute(insert(Heartbeat).values(name=f"kept-{number}", beat_at=START))
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Heartbeat)) == OFTEN
        assert session.scalar(select(func.count()).select_from(Event)) == 0


@pytest.mark.parametrize(
    ("asked_for", "threshold"), [("", None), ("&prepare_threshold=3", 3), ("&prepare_threshold=0", 0)]
)
def test_statements_are_prepared_only_where_the_address_says_that_the_pooler_can(
    database_url: str, asked_for: str, threshold: int | None
) -> None:
    with closing(Database(database_url + asked_for)) as database, database.read() as session:
        assert session.connection().connection.driver_connection.prepare_threshold == threshold
        assert session.scalar(select(func.count()).select_from(Heartbeat)) == 0


def test_migrations_refuse_the_pooler_and_go_by_their_own_address(
    engine: str, pooler: Pooler, postgres: PostgresServer, tmp_path: Path
) -> None:
    name = postgres.create_database()
    direct, pooled = postgres.url(name), pooler.url(postgres.url(name))
    with pytest.raises(MigrationFailed, match="set DATABASE_MIGRATION_URL"):
        upgrade(pooled)
    variables = {"DATABASE_URL": pooled, "DATABASE_MIGRATION_URL": direct, "WEBHOOK_APP_DATA_DIR": str(tmp_path)}
    done = CliRunner(env=variables).invoke(cli, ["db", "upgrade"])
    assert done.exit_code == 0, done.output
    with closing(Database(pooled)) as database:
        assert current_revision(database) == head_revision()
    upgrade(pooled)  # nothing is left to do, and no lock is needed for that
    postgres.drop_database(name)
