"""A database that goes away during a call is nobody's fault: the worker says so, and no answer is blamed for it.

SQLite does not tell a database that is locked for good from one that is busy: answers are kept there for a lease."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

import psycopg
import pytest
from sqlalchemy import make_url
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from tests.support.clock import FakeClock
from tests.support.listening import listening
from tests.support.sandbox import Sandbox
from tests.support.servers import PostgresServer
from tests.support.waiting import wait_for
from tests.support.work import report, run_fast
from webhook_app.db.database import Database
from webhook_app.domain.status import Status
from webhook_app.sandbox.faults import Order
from webhook_app.usecases.reconcile.reconciler import Reconciler


@pytest.fixture
def take_away(database: Database, request: pytest.FixtureRequest) -> Iterator[Callable[[], None]]:
    """Takes the database away: PostgreSQL lets nobody in any more; SQLite is locked by another process for good."""
    url = make_url(database.engine.url)
    if not database.is_sqlite:
        postgres: PostgresServer = request.getfixturevalue("postgres")

        def let_in(is_allowed: bool) -> None:
            with psycopg.connect(postgres.plain_url("postgres"), autocommit=True) as connection:
                connection.execute(f'ALTER DATABASE "{url.database}" ALLOW_CONNECTIONS {is_allowed}'.encode())
                ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
                connection.execute(ended, [url.database])

        yield lambda: let_in(False)
        let_in(True)
        return
    other = sqlite3.connect(url.database or "", isolation_level=None, check_same_thread=False)
    # As long as the product waits for a lock, but shorter.
    with listening(database, "connect", lambda connection, _: connection.execute("PRAGMA busy_timeout = 50")):
        database.close()
        yield lambda: other.execute("BEGIN EXCLUSIVE") and None
    other.close()
    database.close()


@pytest.mark.parametrize("count", [1, 3])
def test_database_that_goes_away_during_the_calls_is_no_fault_of_their_answers(
    database: Database,
    reconciler: Reconciler,
    sandbox: Sandbox,
    clock: FakeClock,
    take_away: Callable[[], None],
    count: int,
) -> None:
    names = [
        sandbox.control.create(status=Status.COMPLETED, updated_at=clock() - timedelta(minutes=1)) for _ in range(count)
    ]
    for name in names:
        sandbox.control.inject(Order("delay", seconds=0.5), transaction=name)
        report(database, name, clock())
    errors: list[Exception] = []

    def work() -> None:
        try:
            run_fast(replace(reconciler, lease=timedelta(seconds=2)))
        except OperationalError as error:
            errors.append(error)

    with capture_logs() as logs:
        worker = threading.Thread(target=work)
        worker.start()
        wait_for(lambda: len(sandbox.control.calls()) == count, "all are called")
        take_away()
        worker.join()
    late = [line for line in logs if line["event"] == "answer was not applied in time"]
    assert (len(errors), len(late)) == ((0, count) if database.is_sqlite else (1, 0))
    assert [line for line in logs if line["event"] == "answer cannot be applied"] == []
