"""A transaction that PostgreSQL undoes in favour of another is run again as a whole, so often and no more."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import insert, select, text, update
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import Session

from tests.support.clock import START
from webhook_app.db.database import MOST_RUNS, Database
from webhook_app.models import Heartbeat

on_postgresql = pytest.mark.parametrize("engine", ["postgresql"], indirect=True)


@pytest.fixture
def two_rows(database: Database) -> Database:
    with database.write() as session:
        session.execute(insert(Heartbeat), [{"name": name, "beat_at": START} for name in ("a", "b")])
    return database


def lock(session: Session, name: str) -> None:
    session.execute(select(Heartbeat).where(Heartbeat.name == name).with_for_update())


@on_postgresql
def test_deadlock_is_run_again_and_both_succeed(two_rows: Database) -> None:
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

        return two_rows.run(work)

    with ThreadPoolExecutor(2) as threads:
        done = [threads.submit(work_in_order, *names) for names in (("a", "b"), ("b", "a"))]
        assert [one.result(60) for one in done] == ["a", "b"]
    assert len(runs) == 3  # one of the two, twice


@on_postgresql
def test_serialization_failure_is_run_again_on_what_the_other_has_written(two_rows: Database) -> None:
    seen: list[int] = []

    def work(session: Session) -> int:
        session.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
        seen.append(len(session.scalars(select(Heartbeat.name)).all()))
        if len(seen) == 1:
            with two_rows.write() as other:
                other.execute(update(Heartbeat).values(beat_at=START))
                other.execute(insert(Heartbeat).values(name="c", beat_at=START))
        session.execute(update(Heartbeat).values(beat_at=START))
        return len(seen)

    assert two_rows.run(work) == 2
    assert seen == [2, 3]


@on_postgresql
def test_what_always_fails_is_given_up(two_rows: Database) -> None:
    runs: list[int] = []

    def work(session: Session) -> None:
        runs.append(1)
        session.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
        session.scalars(select(Heartbeat.name)).all()
        with two_rows.write() as other:
            other.execute(update(Heartbeat).values(beat_at=START))
        session.execute(update(Heartbeat).values(beat_at=START))

    with pytest.raises(OperationalError, match="could not serialize"):
        two_rows.run(work)
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
