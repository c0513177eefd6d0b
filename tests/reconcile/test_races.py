"""Two transactions at once, each race held at the one place where it matters: what comes in between is never lost."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.support.answers import POLICY, UNAVAILABLE, answer, claim, confirmed
from tests.support.clock import FakeClock
from tests.support.interleave import after_statement, finish_or_block
from tests.support.work import events, report, row
from webhook_app.db.database import Database
from webhook_app.domain.status import Status
from webhook_app.models import Reconciliation, StoredGate
from webhook_app.usecases.reconcile.inbox import open_events
from webhook_app.usecases.reconcile.lifecycle.asking import ask_for_reconciliations
from webhook_app.usecases.reconcile.lifecycle.rows import lock
from webhook_app.usecases.reconcile.stored_gate import lock_gate, read_gate, store_gate

#: The statement with which an answer's reconciliation is read before it is decided on, locked or not.
READ_TO_DECIDE = "ORDER BY reconciliations.id"


def test_event_that_comes_while_an_answer_is_applied_is_asked_for_again(database: Database, clock: FakeClock) -> None:
    """It is taken in at once, waits to be opened until the answer is applied, and is never left `pending` under a
    reconciliation that has succeeded."""
    at = clock()
    report(database, "t", at, status="processing", updated_at=at)
    held = claim(database, clock)
    later: list[threading.Thread] = []

    def report_later() -> None:
        later.append(
            finish_or_block(
                database, lambda: report(database, "t", at, status="completed", updated_at=at + timedelta(seconds=1))
            )
        )

    with after_statement(database, READ_TO_DECIDE, report_later):
        (applied,) = answer(database, clock, held, confirmed(Status.CANCELLED, at))
    later[0].join()
    assert applied.state == "succeeded"
    open_events(database, 10, at)
    assert [event.delivery for event in events(database, "t")] == ["succeeded", "pending"]
    assert (row(database, "t").state, row(database, "t").generation) == ("pending", 2)
    answer(database, clock, claim(database, clock), confirmed(Status.CANCELLED, at))
    assert [event.delivery for event in events(database, "t")] == ["succeeded", "succeeded"]


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)  # SQLite has one writer at a time
def test_pause_that_another_worker_begins_meanwhile_is_begun_once(database: Database, clock: FakeClock) -> None:
    policy = replace(POLICY, limits=replace(POLICY.limits, pause_after=1))
    for name in ("t", "u"):
        report(database, name, clock())
    mine, theirs = claim(database, clock, "t"), claim(database, clock, "u")
    with after_statement(database, "FROM upstream", lambda: answer(database, clock, theirs, UNAVAILABLE, policy)):
        answer(database, clock, mine, UNAVAILABLE, policy)
    with database.read() as session:
        assert read_gate(session).epoch == 1
    assert [row(database, name).spent_attempts for name in ("t", "u")] == [0, 0]


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_worker_waits_for_another_that_holds_the_gate(database: Database) -> None:
    def tell() -> None:
        with database.write() as session:
            gate = lock_gate(session)
            store_gate(session, replace(gate, epoch=gate.epoch + 1))

    with database.write() as session:
        gate = lock_gate(session)
        other = finish_or_block(database, tell)
        store_gate(session, replace(gate, epoch=7))
    other.join()
    with database.read() as session:
        assert read_gate(session).epoch == 8


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_locked_gate_is_the_present_one_whatever_the_session_has_loaded_before(database: Database) -> None:
    with database.write() as session:
        loaded = session.get_one(StoredGate, 1)
        with database.write() as other:
            store_gate(other, replace(lock_gate(other), epoch=7))
        assert lock_gate(session).epoch == 7
        assert loaded.epoch == 0


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_requests_and_answers_lock_in_one_order(database: Database, clock: FakeClock) -> None:
    """The ids of the transactions sort the other way round than the ids of their rows: neither waits for the other."""
    for name in ("z", "a"):
        report(database, name, clock())
    claims = [claim(database, clock, "z"), claim(database, clock, "a")]
    threads: list[threading.Thread] = []

    def request_all() -> None:
        with database.write() as session:
            ask_for_reconciliations(session, {"a": clock(), "z": clock()})

    with database.write() as session:
        (first,) = lock(session, Reconciliation.id == claims[0].reconciliation_id)
        threads.append(finish_or_block(database, request_all))
        (second,) = lock(session, Reconciliation.id == claims[1].reconciliation_id)
    threads[0].join()
    assert (first.merchant_transaction_id, second.merchant_transaction_id) == ("z", "a")
    assert [row(database, name).generation for name in ("z", "a")] == [2, 2]
