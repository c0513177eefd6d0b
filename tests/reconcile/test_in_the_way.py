"""Another transaction that is in the way: answers are kept and written later, others go on, and no run ends for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text, update
from sqlalchemy.exc import ProgrammingError
from structlog.testing import capture_logs

from tests.support.clock import FakeClock
from tests.support.sandbox import Sandbox
from tests.support.waiting import wait_for
from tests.support.work import attempts, events, report, row, run_fast, take_in
from webhook_app.db.database import Database
from webhook_app.domain.shares import WorkClass, most_slots
from webhook_app.domain.status import Status
from webhook_app.models import Reconciliation
from webhook_app.models.reconciliation import State
from webhook_app.sandbox.faults import Order
from webhook_app.usecases.reconcile.lifecycle.rows import lock
from webhook_app.usecases.reconcile.reconciler import Reconciler
from webhook_app.usecases.reconcile.stored_gate import lock_gate, read_gate

pytestmark = pytest.mark.parametrize("engine", ["postgresql"], indirect=True)  # SQLite has one writer at a time

#: Breaks the first so many attempts off that are to be inserted, as a deadlock, a lock time-out … would.
BREAK_OFF = """
    CREATE SEQUENCE broken_off;
    CREATE FUNCTION break_off() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF nextval('broken_off') <= {times} THEN RAISE EXCEPTION 'in the way' USING ERRCODE = '{code}'; END IF;
        RETURN NULL;
    END $$;
    CREATE TRIGGER break_off AFTER INSERT ON attempts FOR EACH STATEMENT EXECUTE FUNCTION break_off();
"""


@pytest.fixture
def names(database: Database, sandbox: Sandbox, clock: FakeClock) -> list[str]:
    """Transactions that Proof holds completed, each with an event that asks for it."""
    made = [sandbox.control.create(status=Status.COMPLETED, updated_at=clock() - timedelta(seconds=60)) for _ in "abc"]
    for name in made:
        report(database, name, clock())
    return made


@pytest.fixture
def reconciler(reconciler: Reconciler) -> Reconciler:
    """With a lease that no machine is too slow for."""
    return replace(reconciler, lease=timedelta(minutes=10))


@contextmanager
def run_in_thread(work: Callable[[], object]) -> Iterator[threading.Thread]:
    thread = threading.Thread(target=work)
    thread.start()
    yield thread
    thread.join()


def states(database: Database, names: list[str]) -> list[str]:
    return [row(database, name).state for name in names]


@pytest.mark.parametrize("code", ["40P01", "40001", "55P03"], ids=["deadlock", "serialization", "lock-time-out"])
def test_answers_are_kept_and_written_later(
    database: Database, reconciler: Reconciler, sandbox: Sandbox, names: list[str], code: str
) -> None:
    """More often than a transaction is run again by itself."""
    with database.write() as session:
        session.connection().exec_driver_sql(BREAK_OFF.format(times=8, code=code))
    assert run_fast(reconciler) == 3
    assert states(database, names) == ["succeeded"] * 3
    assert [len(attempts(database, name)) for name in names] == [1, 1, 1]
    assert sandbox.control.counters().gets == 3, "no answer was thrown away"


def test_answer_of_the_slow_lane_is_kept_too(
    database: Database, reconciler: Reconciler, sandbox: Sandbox, names: list[str]
) -> None:
    with database.write() as session:
        session.execute(text("UPDATE reconciliations SET state = 'retrying'"))
        session.connection().exec_driver_sql(BREAK_OFF.format(times=2, code="55P03"))
    applied = reconciler.reconcile_one(names[0])
    assert applied is not None
    assert applied.state is State.SUCCEEDED
    assert sandbox.control.counters().gets == 1


def test_reconciliation_that_somebody_holds_holds_up_no_other_answer(
    database: Database, reconciler: Reconciler, sandbox: Sandbox, names: list[str]
) -> None:
    for name in names:
        sandbox.control.inject(Order("delay", seconds=0.5), transaction=name)
    with run_in_thread(lambda: run_fast(reconciler)) as worker:
        wait_for(lambda: len(sandbox.control.calls()) == 3, "all are called")
        with database.write() as session:
            lock(session, Reconciliation.merchant_transaction_id == names[0])
            wait_for(lambda: states(database, names[1:]) == ["succeeded"] * 2, "the others are applied")
            assert worker.is_alive()
            assert states(database, names[:1]) == ["pending"]
    assert states(database, names) == ["succeeded"] * 3
    assert sandbox.control.counters().gets == 3


def test_calls_go_on_while_answers_are_applied(
    database: Database, reconciler: Reconciler, sandbox: Sandbox, clock: FakeClock, names: list[str]
) -> None:
    later = sandbox.control.create(status=Status.COMPLETED, updated_at=clock() - timedelta(seconds=60))
    with database.write() as session:
        session.execute(text("LOCK TABLE attempts IN EXCLUSIVE MODE"))
        with run_in_thread(lambda: run_fast(reconciler)) as worker:
            wait_for(lambda: len(sandbox.control.calls()) == 3, "the first are called")
            take_in(database, later, clock())
            wait_for(lambda: sandbox.control.calls(later), "another is called meanwhile")
            assert states(database, names) == ["pending"] * 3
            assert worker.is_alive()
            session.rollback()
    assert states(database, [*names, later]) == ["succeeded"] * 4


def test_answers_against_proof_keep_their_places_until_they_are_applied(
    database: Database, reconciler: Reconciler, sandbox: Sandbox, clock: FakeClock
) -> None:
    """However long that takes: else many more calls than may be under way at once go out before an outage is known."""
    threads = 8
    most = most_slots(WorkClass.FIRST_LOOK, threads)
    sandbox.control.inject_period("provider_error", 3600)
    for number in range(40):
        report(database, f"t{number}", clock())
    limits = replace(reconciler.policy.limits, concurrency=threads)
    reconciler = replace(reconciler, policy=replace(reconciler.policy, limits=limits))
    looks: list[None] = []

    def stopping() -> bool:
        looks.append(None)
        return False

    def run() -> None:
        reconciler.reconcile_due(threads=threads, max_seconds=600, stopping=stopping, grace=5.0)

    with database.write() as session:
        session.execute(text("LOCK TABLE attempts IN ACCESS EXCLUSIVE MODE"))
        with run_in_thread(run):
            wait_for(lambda: sandbox.control.counters().gets >= most, "as many as may are called")
            clock.advance(60)  # their calls would be over for any other worker, and for one that has died
            then = len(looks)
            wait_for(lambda: len(looks) > then + 20, "the run has looked for work again and again")
            assert sandbox.control.counters().gets == most
            session.rollback()
    with database.read() as session:
        assert read_gate(session).is_paused
    assert sandbox.control.counters().gets <= most + limits.pause_after


def test_answers_are_applied_while_a_claim_waits(
    database: Database, reconciler: Reconciler, sandbox: Sandbox, clock: FakeClock, names: list[str]
) -> None:
    for name in names:
        sandbox.control.inject(Order("delay", seconds=1.0), transaction=name)
    with capture_logs() as logs, run_in_thread(lambda: run_fast(reconciler)):
        wait_for(lambda: len(sandbox.control.calls()) == 3, "all are called")
        with database.write() as session:
            lock_gate(session)
            take_in(database, "later", clock())
            wait_for(lambda: events(database, "later")[0].is_opened, "another is due, and cannot be claimed")
            wait_for(lambda: states(database, names) == ["succeeded"] * 3, "the answers are applied")
            assert "work waits for another transaction" not in [line["event"] for line in logs]
            session.rollback()
    assert len(attempts(database, "later")) == 1


def test_claim_that_is_lost_and_made_again_ends_no_run(
    database: Database, reconciler: Reconciler, sandbox: Sandbox, clock: FakeClock, names: list[str]
) -> None:
    """A call outlives its lease; the run itself claims the transaction anew, so two calls of it are under way."""
    name = names[0]
    sandbox.control.inject(Order("delay", seconds=1.0), Order("delay", seconds=1.5), transaction=name)
    applied: list[int] = []
    with run_in_thread(lambda: applied.append(run_fast(reconciler))):
        wait_for(lambda: len(sandbox.control.calls()) == 3, "all are called")
        with database.write() as session:
            free = {"claim_token": None, "lease_until": None, "slot_until": None, "next_attempt_at": clock()}
            session.execute(update(Reconciliation).where(Reconciliation.merchant_transaction_id == name).values(free))
        wait_for(lambda: len(sandbox.control.calls(name)) == 2, "it is called again")
    assert applied == [3]
    assert states(database, names) == ["succeeded"] * 3
    assert len(attempts(database, name)) == 1


def test_claim_under_way_is_handed_back_where_the_run_breaks_off(
    database: Database, reconciler: Reconciler, sandbox: Sandbox, clock: FakeClock, names: list[str]
) -> None:
    """Who applies finds a table gone, while another of the run's threads waits for the gate."""
    for name in names:
        sandbox.control.inject(Order("db_error"), transaction=name)
    errors: list[Exception] = []

    def work() -> None:
        try:
            run_fast(reconciler)
        except ProgrammingError as error:
            errors.append(error)

    def count_waiting() -> int:
        with database.read() as session:
            waiting = "datname = current_database() AND wait_event_type = 'Lock'"
            return session.scalar(text(f"SELECT count(*) FROM pg_stat_activity WHERE {waiting}")) or 0

    with database.write() as session:
        session.execute(text("LOCK TABLE attempts IN ACCESS EXCLUSIVE MODE"))
        with run_in_thread(work):
            wait_for(lambda: len(sandbox.control.calls()) == 3, "all are called")
            lock_gate(session)
            take_in(database, "later", clock())
            wait_for(lambda: count_waiting() == 2, "one waits to apply, one to claim")
            session.execute(text("ALTER TABLE attempts RENAME TO attempts_gone"))
            session.commit()
    with database.write() as session:
        session.execute(text("ALTER TABLE attempts_gone RENAME TO attempts"))
    assert len(errors) == 1
    assert [row(database, name).claim_token for name in [*names, "later"]] == [None] * 4
    assert run_fast(reconciler) == 4


def test_connection_that_is_ended_loses_no_answer(
    database: Database, reconciler: Reconciler, sandbox: Sandbox, names: list[str]
) -> None:
    with database.write() as session:
        session.connection().exec_driver_sql(BREAK_OFF.format(times=2, code="57P01"))
    assert run_fast(reconciler) == 3
    assert states(database, names) == ["succeeded"] * 3
    assert sandbox.control.counters().gets == 3


def test_answer_that_is_in_the_way_for_too_long_is_said_and_asked_for_again_later(
    database: Database, reconciler: Reconciler, sandbox: Sandbox, names: list[str]
) -> None:
    with database.write() as session:
        session.connection().exec_driver_sql(BREAK_OFF.format(times=1_000_000, code="55P03"))
    with capture_logs() as logs:
        assert run_fast(replace(reconciler, lease=timedelta(seconds=1))) == 0
    late = [line["id"] for line in logs if line["event"] == "answer was not applied in time"]
    assert sorted(late) == sorted(names)
    assert {one.claim_token is None for one in (row(database, name) for name in names)} == {False}


def test_gate_that_somebody_holds_ends_no_run(
    database: Database,
    database_url: str,
    reconciler: Reconciler,
    clock: FakeClock,
    names: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is under way is applied all the same."""
    monkeypatch.setattr("webhook_app.db.database.LOCK_TIMEOUT", 0.3)
    later = "later"
    with closing(Database(database_url, pool_size=1)) as other:
        with other.write() as session:
            session.execute(text("SET LOCAL lock_timeout = '1ms'"))
            lock_gate(session)
            assert run_fast(reconciler, max_seconds=1.0) == 0
        take_in(database, later, clock())
        assert run_fast(reconciler) == 4
    assert [event.is_opened for event in events(database, later)] == [True]


def test_default_of_repeatable_read_does_no_harm(
    database: Database, database_url: str, reconciler: Reconciler, clock: FakeClock, names: list[str]
) -> None:
    """Each transaction says which isolation it needs: by that default a row that changed meanwhile would be refused."""
    name = database.engine.url.database
    with database.write() as session:
        session.execute(text(f"ALTER DATABASE \"{name}\" SET default_transaction_isolation = 'repeatable read'"))
    database.close()
    with database.read() as session:
        default = text("SELECT reset_val FROM pg_settings WHERE name = 'default_transaction_isolation'")
        assert session.scalar(default) == "repeatable read"

    def report_many(name: str) -> None:
        for number in range(20):
            report(database, name, clock(), status=f"status {number}")

    threads = [threading.Thread(target=report_many, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        run_fast(reconciler, threads=2)
    run_fast(reconciler)
    assert states(database, names) == ["succeeded"] * 3
    assert {event.delivery for name in names for event in events(database, name)} == {"succeeded"}
