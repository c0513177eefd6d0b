"""A database that goes away during a call is nobody's fault: no answer is blamed for it, all are kept for a lease, and
what was claimed as it went is taken back when it is there again."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta

import psycopg
import pytest
from sqlalchemy import make_url, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session
from structlog.testing import capture_logs

from tests.support.clock import FakeClock
from tests.support.listening import listening
from tests.support.sandbox import Sandbox
from tests.support.servers import PostgresServer
from tests.support.waiting import wait_for
from tests.support.work import report, row, run_fast
from webhook_app.db.database import Database
from webhook_app.domain.status import Status
from webhook_app.models import Reconciliation
from webhook_app.sandbox.faults import Order
from webhook_app.usecases.reconcile.reconciler import Reconciler
from webhook_app.usecases.reconcile.work_classes import Lane

MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Switch:
    """Takes the database away: PostgreSQL lets nobody in any more; SQLite is locked by another process. And gives it
    back."""

    take_away: Callable[[], object]
    give_back: Callable[[], object]


@pytest.fixture
def switch(database: Database, request: pytest.FixtureRequest) -> Iterator[Switch]:
    url = make_url(database.engine.url)
    if not database.is_sqlite:
        postgres: PostgresServer = request.getfixturevalue("postgres")

        def let_in(is_allowed: bool) -> None:
            with psycopg.connect(postgres.plain_url("postgres"), autocommit=True) as connection:
                connection.execute(f'ALTER DATABASE "{url.database}" ALLOW_CONNECTIONS {is_allowed}'.encode())
                ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
                connection.execute(ended, [url.database])

        yield Switch(lambda: let_in(False), lambda: let_in(True))
        let_in(True)
        return
    other = sqlite3.connect(url.database or "", isolation_level=None, check_same_thread=False)
    # As long as the product waits for a lock, but shorter.
    with listening(database, "connect", lambda connection, _: connection.execute("PRAGMA busy_timeout = 50")):
        database.close()
        yield Switch(lambda: other.execute("BEGIN EXCLUSIVE"), lambda: other.execute("ROLLBACK"))
    other.close()
    database.close()


class UntoldDatabase(Database):
    """The first transaction that writes is committed, and who wrote it is not told: SQL went away just then, and stays
    away for so many more."""

    away_for = 2

    @contextmanager
    def write(self, *, by_index: bool = False) -> Iterator[Session]:
        is_away, self.away_for = self.away_for > 0, self.away_for - 1
        if is_away and self.away_for < 1:
            raise OperationalError("BEGIN", {}, ConnectionError("the server is away"))
        with super().write(by_index=by_index) as session:
            yield session
        if is_away:
            raise OperationalError("COMMIT", {}, ConnectionError("the server went away"))


@pytest.mark.parametrize("count", [1, 3])
def test_database_that_goes_away_during_the_calls_is_no_fault_of_their_answers(
    database: Database,
    reconciler: Reconciler,
    sandbox: Sandbox,
    clock: FakeClock,
    switch: Switch,
    count: int,
) -> None:
    names = [sandbox.control.create(status=Status.COMPLETED, updated_at=clock() - MINUTE) for _ in range(count)]
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
        switch.take_away()
        worker.join()
    late = [line for line in logs if line["event"] == "answer was not applied in time"]
    # SQLite does not tell a database that is locked for good from one that is busy.
    assert (len(errors), len(late)) == (0 if database.is_sqlite else 1, count)
    assert [line for line in logs if line["event"] == "answer cannot be applied"] == []


def test_answers_are_kept_while_the_database_is_away_and_written_when_it_is_back(
    database: Database, reconciler: Reconciler, sandbox: Sandbox, clock: FakeClock, switch: Switch
) -> None:
    """They had to wait for their leases, and Proof was asked again."""
    names = [sandbox.control.create(status=Status.COMPLETED, updated_at=clock() - MINUTE) for _ in range(3)]
    for name in names:
        sandbox.control.inject(Order("delay", seconds=0.5), transaction=name)
        report(database, name, clock())

    def work() -> None:
        with suppress(OperationalError):  # nothing more is claimed; the clock makes another job
            run_fast(replace(reconciler, lease=10 * MINUTE))

    with capture_logs() as logs:
        worker = threading.Thread(target=work)
        worker.start()
        wait_for(lambda: len(sandbox.control.calls()) == 3, "all are called")
        switch.take_away()
        wait_for(lambda: any(line["event"].startswith("answers wait for") for line in logs), "they cannot be written")
        switch.give_back()
        worker.join()
    assert [(row(database, name).state, row(database, name).claim_token) for name in names] == [("succeeded", None)] * 3
    assert sandbox.control.counters().gets == 3


@pytest.mark.parametrize("lane", Lane)
def test_claim_of_which_nobody_was_told_is_taken_back_when_the_database_is_back(
    database: Database, database_url: str, reconciler: Reconciler, sandbox: Sandbox, clock: FakeClock, lane: Lane
) -> None:
    """It was committed as the database went away: it had to wait for its lease."""
    name = sandbox.control.create(status=Status.COMPLETED, updated_at=clock() - MINUTE)
    report(database, name, clock())
    if lane is Lane.SLOW:
        with database.write() as session:
            session.execute(update(Reconciliation).values(state="retrying"))
    with closing(UntoldDatabase(database_url)) as untold, pytest.raises(OperationalError):
        run(replace(reconciler, database=untold), lane, name)
    assert untold.away_for < 0, "it was claimed, and could not be taken back at once"
    assert row(database, name).claim_token is None
    assert sandbox.control.counters().gets == 0, "nobody calls for what nobody was told of"
    run(reconciler, lane, name)
    assert (row(database, name).state, sandbox.control.counters().gets) == ("succeeded", 1)


def run(reconciler: Reconciler, lane: Lane, name: str) -> None:
    if lane is Lane.FAST:
        run_fast(reconciler)
    else:
        reconciler.reconcile_one(name)
