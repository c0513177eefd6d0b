"""What chaos runs have found, each held by a test of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import psutil
import psycopg
import pytest
from sqlalchemy import func, select, update

from tests.support.clock import FakeClock
from tests.support.event_loops import run_coroutine
from tests.support.events import webhook
from tests.support.processes import is_gone, started
from tests.support.servers import PostgresServer
from tests.support.waiting import wait_for
from tests.support.work import report
from webhook_app.app import create_app
from webhook_app.config import load_settings
from webhook_app.db.database import Database
from webhook_app.db.migrate import head_revision, is_older
from webhook_app.domain.gate import Limits
from webhook_app.models import Event, Reconciliation
from webhook_app.models.reconciliation import State
from webhook_app.run.web_server import load_served_application
from webhook_app.server.watchdog import Watchdog
from webhook_app.services import open_services
from webhook_app.usecases.reconcile.claim import claim_due
from webhook_app.usecases.reconcile.work_classes import OVERDUE

NOBODY_LISTENS = "postgresql://u:p@127.0.0.1:1/d"
URL = "/webhooks/proof"


def environment(folder: Path, database_url: str) -> dict[str, str]:
    return {
        "DATABASE_URL": database_url,
        "REDIS_URL": "redis://127.0.0.1:1",
        "SECRET_KEY": "a secret key for tests",
        "WEBHOOK_APP_DATA_DIR": str(folder),
        "INGEST_BUDGET": "0.5",
    }


def count_events(database: Database) -> int:
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(Event)) or 0


def spool_one(folder: Path) -> None:
    services = open_services(load_settings(environment(folder, NOBODY_LISTENS)))
    try:
        assert create_app(services).test_client().post(URL, json=webhook()).json["spooled"] is True
    finally:
        services.close()


def test_spool_of_a_process_that_died_is_drained_before_any_new_event(
    database: Database, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool_one(tmp_path)
    for name, value in environment(tmp_path, database_url).items():
        monkeypatch.setenv(name, value)
    run_coroutine(serve_until(lambda: count_events(database) == 1))


async def serve_until(condition: Callable[[], bool]) -> None:
    """The life of a web process, as its server calls it, without any request."""
    served = load_served_application(Watchdog(15).reporter)
    messages: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    answers: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    life = asyncio.create_task(served({"type": "lifespan"}, messages.get, answers.put))
    messages.put_nowait({"type": "lifespan.startup"})
    assert await answers.get() == {"type": "lifespan.startup.complete"}
    await asyncio.to_thread(wait_for, condition, "the condition is met")
    messages.put_nowait({"type": "lifespan.shutdown"})
    assert await answers.get() == {"type": "lifespan.shutdown.complete"}
    await life


@pytest.fixture
def standby(postgres: PostgresServer, postgres_template: str) -> Iterator[str]:
    """A database that can be read and not written, until `promote`."""
    name = postgres.create_database(postgres_template)
    set_read_only(postgres, name, True)
    yield name
    postgres.drop_database(name)


def set_read_only(postgres: PostgresServer, name: str, value: bool) -> None:
    with psycopg.connect(postgres.url("postgres").replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = {value}'.encode())
        connection.execute("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s", [name])


def test_read_only_standby_costs_no_spooled_event(postgres: PostgresServer, standby: str, tmp_path: Path) -> None:
    spool_one(tmp_path)
    services = open_services(load_settings(environment(tmp_path, postgres.url(standby))))
    try:
        with pytest.raises(Exception, match="read-only"):
            services.intake._resume()
        assert services.spool.depth().lines == 1
        set_read_only(postgres, standby, False)
        services.intake.start()
        wait_for(lambda: count_events(services.database) == 1, "the spooled event is in SQL")
        assert services.spool.depth().set_aside == 0
    finally:
        services.close()


def test_schema_of_a_later_version_is_not_older() -> None:
    assert is_older(None)
    assert is_older("0000")
    assert not is_older(head_revision())
    assert not is_older(f"{int(head_revision()) + 1:04}")


@pytest.mark.parametrize(("crashes", "claimed"), [(0, 1), (1, 1), (2, 0)])
def test_fast_lane_takes_a_retry_that_the_slow_lane_is_late_with_unless_workers_died_with_it(
    database: Database, clock: FakeClock, crashes: int, claimed: int
) -> None:
    report(database, "t", clock())
    with database.write() as session:
        session.execute(update(Reconciliation).values(state=State.RETRYING, next_attempt_at=clock(), crashes=crashes))
    lease, limits = timedelta(seconds=30), Limits()
    clock.advance(OVERDUE.total_seconds() - 0.5)
    assert claim_due(database, 10, clock(), lease, limits) == []
    clock.advance(1)
    assert len(claim_due(database, 10, clock(), lease, limits)) == claimed


def test_server_process_ends_with_the_one_that_started_it(sqlite_template: Path, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    database = tmp_path / "test.sqlite3"
    database.write_bytes(sqlite_template.read_bytes())
    env = {**os.environ, **environment(tmp_path, f"sqlite:///{database}"), "PORT": str(port)}
    argv = (sys.executable, "-m", "webhook_app.cli", "web")
    with started(argv, env, tmp_path) as running:
        main = psutil.Process(running.process.pid)
        wait_for(lambda: main.children(), "a server process is there", 30)
        served = main.children()[0].pid
        wait_for(lambda: _listens(port), "it answers", 30)
        running.send(signal.SIGKILL)
        wait_for(lambda: is_gone(served), "the server process is gone", 10)


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
