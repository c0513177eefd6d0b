"""A transaction that PostgreSQL undoes in favour of another is run again as a whole, so often and no more."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from sqlalchemy import insert, select, text, update
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import Session

from tests.support.clock import START, FakeClock
from tests.support.servers import wait_for
from tests.support.work import report
from webhook_app.db.database import MOST_RUNS, Database
from webhook_app.models import Event, Heartbeat, Reconciliation


@pytest.fixture
def postgresql(postgresql_url: str) -> Iterator[Database]:
    with closing(Database(postgresql_url)) as database:
        with database.write() as session:
            session.execute(insert(Heartbeat), [{"name": name, "beat_at": START} for name in ("a", "b")])
        yield database


def lock(session: Session, name: str) -> None:
    session.execute(select(Heartbeat).where(Heartbeat.name == name).with_for_update())


def test_deadlock_is_run_again_and_both_succeed(postgresql: Database) -> None:
    together = threading.Barrier(2)
    runs: list[str] = []

    def work_in_order(first: str, second: str) -> str:
        is_first_run = True

        def work(session: Session) -> str:
            nonlocal is_first_run
            runs.append(first)
            lock(session, first)
            if is_first_run:
                is_first_run = False
                together.wait(30)
            lock(session, second)
            return first

        return postgresql.run(work)

    with ThreadPoolExecutor(2) as threads:
        done = [threads.submit(work_in_order, *names) for names in (("a", "b"), ("b", "a"))]
        assert [one.result(60) for one in done] == ["a", "b"]
    assert len(runs) == 3  # one of the two, twice


def test_serialization_failure_is_run_again_on_what_the_other_has_written(postgresql: Database) -> None:
    seen: list[int] = []

    def work(session: Session) -> int:
        session.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
        seen.append(len(session.scalars(select(Heartbeat.name)).all()))
        if len(seen) == 1:
            with postgresql.write() as other:
                other.execute(update(Heartbeat).values(beat_at=START))
                other.execute(insert(Heartbeat).values(name="c", beat_at=START))
        session.execute(update(Heartbeat).values(beat_at=START))
        return len(seen)

    assert postgresql.run(work) == 2
    assert seen == [2, 3]


def test_what_always_fails_is_given_up(postgresql: Database) -> None:
    runs: list[int] = []

    def work(session: Session) -> None:
        runs.append(1)
        session.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
        session.scalars(select(Heartbeat.name)).all()
        with postgresql.write() as other:
            other.execute(update(Heartbeat).values(beat_at=START))
        session.execute(update(Heartbeat).values(beat_at=START))

    with pytest.raises(OperationalError, match="could not serialize"):
        postgresql.run(work)
    assert len(runs) == MOST_RUNS


def test_other_errors_are_not_run_again(database: Database) -> None:
    runs: list[int] = []

    def work(session: Session) -> None:
        runs.append(1)
        for _ in range(2):
            session.execute(insert(Heartbeat).values(name="a", beat_at=START))

    with pytest.raises(IntegrityError):
        database.run(work)
    assert len(runs) == 1
    with database.read() as session:
        assert session.scalars(select(Heartbeat)).all() == []


def test_ingest_that_is_the_victim_of_a_deadlock_loses_nothing(postgresql: Database, clock: FakeClock) -> None:
    for id in ("t-1", "t-2"):
        report(postgresql, id, clock())
    row = select(Reconciliation.id).with_for_update()
    with postgresql.write() as other, ThreadPoolExecutor(1) as threads:
        other.execute(text("SET LOCAL deadlock_timeout = '60s'"))  # so it is the other one that finds the deadlock
        other.execute(row.where(Reconciliation.merchant_transaction_id == "t-2"))
        ingesting = threads.submit(ingest_both, postgresql, clock)
        wait_for(lambda: waiting(postgresql), "ingest holds the first and waits for the second")
        other.execute(row.where(Reconciliation.merchant_transaction_id == "t-1"))
        other.commit()
        assert ingesting.result(60) == 2
    with postgresql.read() as session:
        assert len(session.scalars(select(Event.id)).all()) == 4
        assert session.scalars(select(Reconciliation.generation)).all() == [2, 2]
