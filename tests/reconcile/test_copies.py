"""Copies: a copy is a copy only of what is settled. What it asks for is bounded, however many there are."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import insert, select, update

from tests.support.answers import LEASE, NOT_FOUND, POLICY, answer, claim, confirmed
from tests.support.clock import START, FakeClock
from tests.support.example_rows import RECEIPT
from tests.support.interleave import counted_statements
from tests.support.work import attempts, events, report, row, shown, take_in
from webhook_app.db.database import Database
from webhook_app.domain.retry_policy import Budget
from webhook_app.domain.status import Status
from webhook_app.models import Discrepancy, Receipt, Reconciliation, TransactionVersion
from webhook_app.usecases.reconcile.claim import claim_due
from webhook_app.usecases.reconcile.copies import open_copies
from webhook_app.usecases.reconcile.inbox import has_unopened, open_work
from webhook_app.usecases.reconcile.lifecycle.rows import lock
from webhook_app.usecases.reconcile.sweep import find_work, recover_lost_claims

BUDGET = Budget()


def receipts(database: Database) -> list[tuple[bool, int | None]]:
    """Of each: whether it was looked at, and the generation under which it asked."""
    with database.read() as session:
        return [(one.is_opened, one.opened_generation) for one in session.scalars(select(Receipt).order_by(Receipt.id))]


def copy(database: Database, clock: FakeClock, **reported: object) -> None:
    """One more message about the event of `updated_at` START, unless it says otherwise, and a look at it."""
    accepted = report(database, "t", clock(), **{"updated_at": START, "body": b"{ }", **reported})
    assert accepted.duplicate is True


def open_mismatches(database: Database) -> list[str]:
    with database.read() as session:
        query = select(Discrepancy.detail).where(
            Discrepancy.kind == "amount_mismatch", Discrepancy.resolved_at.is_(None)
        )
        return list(session.scalars(query.order_by(Discrepancy.id)))


def fail(database: Database, clock: FakeClock) -> None:
    """The event of START comes, and Proof does not know it yet."""
    report(database, "t", clock(), updated_at=START)
    answer(database, clock, claim(database, clock), NOT_FOUND)
    assert row(database, "t").state == "failed"


# Of what gave up


def test_copy_of_what_gave_up_asks_proof_again(database: Database, clock: FakeClock) -> None:
    fail(database, clock)
    clock.advance(60)
    copy(database, clock)
    after = row(database, "t")
    assert (after.state, after.generation, after.next_attempt_at) == ("retrying", 2, clock())
    assert after.spent_attempts == 1
    assert [event.delivery for event in events(database, "t")] == ["retrying"]
    assert receipts(database) == [(True, 2)]
    answer(database, clock, claim(database, clock), confirmed(Status.COMPLETED, START))
    assert row(database, "t").state == "succeeded"
    assert [event.delivery for event in events(database, "t")] == ["succeeded"]
    assert shown(database, "t").discrepancies == ()


def test_copy_that_comes_right_after_the_failure_waits(database: Database, clock: FakeClock) -> None:
    fail(database, clock)
    copy(database, clock)
    at = row(database, "t").next_attempt_at
    assert at is not None
    assert clock() <= at <= clock() + timedelta(seconds=BUDGET.base_seconds)


def test_flood_of_copies_is_no_flood_of_calls(database: Database, clock: FakeClock) -> None:
    """Copies come all the time, and Proof never knows the id."""
    fail(database, clock)
    gaps = []
    for _ in range(60):
        for _ in range(3):
            copy(database, clock)
        at = row(database, "t").next_attempt_at
        if at is None:
            break
        gaps.append((at - clock()).total_seconds())
        clock.now = max(at, clock())
        answer(database, clock, claim(database, clock), NOT_FOUND)
    assert len(gaps) == 29, "as often as the retry budget and ten more, the first attempt included"
    assert sum(gaps) > 3600
    assert gaps[-1] >= BUDGET.cap_seconds / 2
    assert len(attempts(database, "t")) == 30
    assert (row(database, "t").state, has_unopened_copy(database)) == ("failed", False)


def has_unopened_copy(database: Database) -> bool:
    with database.read() as session:
        return has_unopened(session)


def test_copies_of_what_kills_workers_end_too(database: Database, clock: FakeClock) -> None:
    report(database, "t", clock(), updated_at=START)
    deaths = 0
    for _ in range(200):
        if row(database, "t").next_attempt_at is None:
            copy(database, clock)
        at = row(database, "t").next_attempt_at
        if at is None:
            break
        clock.now = max(clock(), at)
        claim(database, clock)
        clock.now += LEASE * 2
        deaths += len(recover_lost_claims(database, clock()))
    assert 5 <= deaths <= 40
    assert row(database, "t").state == "failed"


def test_wall_clock_that_was_set_back_puts_no_retry_off(database: Database, clock: FakeClock) -> None:
    fail(database, clock)
    clock.advance(-7200)
    copy(database, clock)
    at = row(database, "t").next_attempt_at
    assert at is not None
    assert at <= clock() + timedelta(seconds=BUDGET.base_seconds)


@pytest.mark.parametrize("state", ["pending", "retrying"])
def test_copy_of_what_is_tried_anyway_asks_for_nothing(database: Database, clock: FakeClock, state: str) -> None:
    report(database, "t", clock(), updated_at=START)
    with database.write() as session:
        session.execute(update(Reconciliation).values(state=state))
    copy(database, clock)
    assert (row(database, "t").generation, row(database, "t").state) == (1, state)
    assert receipts(database) == [(True, None)]


def test_copy_that_comes_during_the_call_that_fails_asks_again(database: Database, clock: FakeClock) -> None:
    """Proof was asked before it came."""
    report(database, "t", clock(), updated_at=START)
    held = claim(database, clock)
    copy(database, clock)
    copy(database, clock)
    assert receipts(database) == [(False, None), (True, None)], "one look is for both"
    answer(database, clock, held, NOT_FOUND)
    assert find_work(database, clock(), 10).fast_is_due
    open_work(database, 10, clock(), BUDGET)
    assert row(database, "t").state == "retrying"


def test_copy_that_comes_during_the_call_that_succeeds_asks_for_nothing(database: Database, clock: FakeClock) -> None:
    report(database, "t", clock(), updated_at=START)
    held = claim(database, clock)
    copy(database, clock)
    answer(database, clock, held, confirmed(Status.COMPLETED, START))
    open_work(database, 10, clock(), BUDGET)
    assert (row(database, "t").state, receipts(database)) == ("succeeded", [(True, None)])


# Of what has succeeded


def succeed(database: Database, clock: FakeClock, **values: str) -> None:
    """The event of START comes, with a fiat amount of 100, and Proof confirms it."""
    report(database, "t", clock(), updated_at=START, fiat_amount=Decimal(100))
    answer(database, clock, claim(database, clock), confirmed(Status.COMPLETED, START, **{"fiat_amount": "100.00"}))
    assert open_mismatches(database) == []
    clock.advance(60)


@pytest.mark.parametrize("amount", ["100", "100.00"])
def test_copy_that_reports_the_same_asks_for_nothing(database: Database, clock: FakeClock, amount: str) -> None:
    succeed(database, clock)
    with counted_statements(database) as statements:
        copy(database, clock, fiat_amount=Decimal(amount), body=b'{"in": "another spelling"}')
    naming = [statement for statement in statements if "reconciliations" in statement]
    assert [statement.count("reconciliations.has_events_behind") for statement in naming] == [1], "the look alone does"
    assert (row(database, "t").state, row(database, "t").generation) == ("succeeded", 1)
    assert receipts(database) == [(True, None)]


def test_corrected_amount_reaches_finance(database: Database, clock: FakeClock) -> None:
    """For the same moment: Proof's is that of the status."""
    succeed(database, clock)
    copy(database, clock, fiat_amount=Decimal("90.00"))
    assert (row(database, "t").state, row(database, "t").generation) == ("pending", 2)
    assert receipts(database) == [(True, 2)]
    answer(database, clock, claim(database, clock), confirmed(Status.COMPLETED, START, fiat_amount="90.00"))
    assert str(shown(database, "t").fiat_amount) == "90.00"
    assert shown(database, "t").updated_at == START
    assert open_mismatches(database) == [], "the copy has corrected the event"
    assert [one.kind for one in shown(database, "t").discrepancies] == ["terminal_changed"]
    with database.read() as session:
        versions = session.scalars(select(TransactionVersion).order_by(TransactionVersion.id)).all()
    assert [str(one.fiat_amount) for one in versions] == ["100.00", "90.00"]


def test_false_amount_becomes_a_discrepancy(database: Database, clock: FakeClock) -> None:
    succeed(database, clock)
    copy(database, clock, fiat_amount=Decimal("90.00"))
    answer(database, clock, claim(database, clock), confirmed(Status.COMPLETED, START, fiat_amount="100.00"))
    assert str(shown(database, "t").fiat_amount) == "100.00"
    assert open_mismatches(database) == ["reported fiat_amount 90.00, but Proof confirms 100.00"]
    copy(database, clock, fiat_amount=Decimal("90.0"))
    assert row(database, "t").state == "succeeded", "it was asked for, and is reported no other"
    report(database, "t", clock(), updated_at=START + timedelta(seconds=1), status="failed")
    answer(database, clock, claim(database, clock), confirmed(Status.COMPLETED, START, fiat_amount="90"))
    assert open_mismatches(database) == [], "Proof says so too now"


def test_false_currency_becomes_a_discrepancy(database: Database, clock: FakeClock) -> None:
    succeed(database, clock)
    copy(database, clock, fiat_amount=Decimal("100.00"), currency="BTC")
    answer(database, clock, claim(database, clock), confirmed(Status.COMPLETED, START, fiat_amount="100.00"))
    assert open_mismatches(database) == ["reported currency BTC, but Proof confirms USDT"]


def test_copy_that_reports_less_corrects_nothing(database: Database, clock: FakeClock) -> None:
    succeed(database, clock)
    copy(database, clock, fiat_amount=Decimal(90))
    copy(database, clock, fiat_amount=None)
    answer(database, clock, claim(database, clock), confirmed(Status.COMPLETED, START, fiat_amount="100.00"))
    assert open_mismatches(database) == ["reported fiat_amount 90, but Proof confirms 100.00"]


def test_report_during_a_call_is_not_compared_with_its_answer(database: Database, clock: FakeClock) -> None:
    report(database, "t", clock(), updated_at=START, fiat_amount=Decimal(100))
    held = claim(database, clock)
    copy(database, clock, fiat_amount=Decimal(90))
    answer(database, clock, held, confirmed(Status.COMPLETED, START, fiat_amount="100.00"))
    assert open_mismatches(database) == []
    assert row(database, "t").state == "pending"
    answer(database, clock, claim(database, clock), confirmed(Status.COMPLETED, START, fiat_amount="90.00"))
    assert open_mismatches(database) == []


def test_flood_of_reports_asks_so_many_times(database: Database, clock: FakeClock) -> None:
    succeed(database, clock)
    for number in range(30):
        copy(database, clock, fiat_amount=Decimal(number))
    assert row(database, "t").generation == 21


def test_copy_of_an_event_that_is_not_opened_asks_for_nothing_of_its_own(database: Database, clock: FakeClock) -> None:
    take_in(database, "t", clock(), updated_at=START, fiat_amount=Decimal(100))
    take_in(database, "t", clock(), updated_at=START, fiat_amount=Decimal(90))
    take_in(database, "t", clock(), updated_at=START, fiat_amount=Decimal(100))
    open_work(database, 10, clock(), BUDGET)
    assert row(database, "t").generation in (1, 2)
    answer(database, clock, claim(database, clock), confirmed(Status.COMPLETED, START, fiat_amount="100.00"))
    assert open_mismatches(database) == ["reported fiat_amount 90, but Proof confirms 100.00"]
    assert not has_unopened_copy(database)


# Without a moment


def test_status_that_comes_again_without_a_moment_starts_work_each_time(database: Database, clock: FakeClock) -> None:
    for number, status in enumerate(("processing", "failed", "processing", "failed", "processing")):
        report(database, "t", clock(), status=status)
        held = claim(database, clock)
        assert held.generation == number + 1, status
        answer(database, clock, held, confirmed(Status(status), clock()))
        clock.advance(1)
    assert [event.status for event in events(database, "t")] == ["processing", "failed"]


def test_status_that_comes_again_after_another_was_confirmed_starts_work(database: Database, clock: FakeClock) -> None:
    """That other one came by polling alone."""
    report(database, "t", clock(), status="processing")
    answer(database, clock, claim(database, clock), confirmed(Status.PROCESSING, clock()))
    clock.advance(10)
    answer(database, clock, claim(database, clock), confirmed(Status.FAILED, clock()))
    assert row(database, "t").state == "succeeded"
    clock.advance(10)
    report(database, "t", clock(), status="processing")
    assert (row(database, "t").state, row(database, "t").generation) == ("pending", 2)


def test_repeats_without_a_moment_are_no_flood_of_calls(database: Database, clock: FakeClock) -> None:
    report(database, "t", clock(), status="failed")
    answer(database, clock, claim(database, clock), confirmed(Status.FAILED, clock()))
    clock.advance(10)
    for _ in range(5):
        report(database, "t", clock(), status="processing")
    answer(database, clock, claim(database, clock), confirmed(Status.FAILED, clock() - timedelta(seconds=10)))
    for _ in range(5):
        clock.advance(1)
        report(database, "t", clock(), status="processing")
    assert row(database, "t").generation == 2
    assert row(database, "t").state == "succeeded"


# Two statuses of one second


@pytest.mark.parametrize(
    ("held", "reported", "is_ahead"),
    [("pending", "processing", True), ("processing", "completed", True), ("failed", "processing", True),
     ("processing", "pending", False), ("completed", "processing", False)],
)  # fmt: skip
def test_status_of_the_same_second_that_can_follow_is_asked_for_soon(
    database: Database, clock: FakeClock, held: str, reported: str, is_ahead: bool
) -> None:
    report(database, "t", clock(), status=held, updated_at=START)
    report(database, "t", clock(), status=reported, updated_at=START)
    answer(database, clock, claim(database, clock), confirmed(Status(held), START))
    decision = attempts(database, "t")[-1].decision
    assert decision.endswith("asked again") == is_ahead, decision


def test_status_of_the_same_second_that_was_reported_before_is_not_ahead(database: Database, clock: FakeClock) -> None:
    """A payment fails at once: `processing` came first."""
    for status in ("processing", "failed"):
        report(database, "t", clock(), status=status, updated_at=START)
    answer(database, clock, claim(database, clock), confirmed(Status.FAILED, START))
    assert row(database, "t").state == "succeeded"


# Sets and locks


def test_any_number_of_copies_takes_as_many_statements_as_one(database: Database, clock: FakeClock) -> None:
    taken = []
    for number in (1, 40):
        for one in range(number):
            report(database, f"{number}-{one}", clock(), updated_at=START)
        for claimed in claim_due(database, 1000, clock(), LEASE, POLICY.limits):
            answer(database, clock, claimed, NOT_FOUND)
        for one in range(number):
            take_in(database, f"{number}-{one}", clock(), updated_at=START)
        with counted_statements(database) as statements:
            assert open_copies(database, number, clock(), BUDGET) == number
        taken.append(len(statements))
        clock.advance(3600)
    assert taken[0] == taken[1]


def test_copies_of_one_transaction_that_ask_differently_ask_once(database: Database, clock: FakeClock) -> None:
    """One reports another amount of an event that is settled, one repeats an event that failed."""
    succeed(database, clock)
    report(database, "t", clock(), status="failed", updated_at=START + timedelta(seconds=1))
    answer(database, clock, claim(database, clock), NOT_FOUND)
    take_in(database, "t", clock(), status="failed", updated_at=START + timedelta(seconds=1))
    take_in(database, "t", clock(), updated_at=START, fiat_amount=Decimal(90))
    assert open_copies(database, 10, clock(), BUDGET) == 2
    assert (row(database, "t").state, row(database, "t").generation) == ("pending", 3)
    assert receipts(database) == [(True, 3), (True, 3)]


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)  # SQLite has one writer at a time
def test_copy_whose_reconciliation_is_locked_is_left_for_later(database: Database, clock: FakeClock) -> None:
    fail(database, clock)
    take_in(database, "t", clock(), updated_at=START)
    with database.write() as session:
        lock(session, Reconciliation.merchant_transaction_id == "t")
        assert open_copies(database, 10, clock(), BUDGET) == 0
    assert open_copies(database, 10, clock(), BUDGET) == 1


def test_receipt_of_a_former_release_is_not_looked_at(database: Database, clock: FakeClock) -> None:
    fail(database, clock)
    with database.write() as session:
        session.execute(insert(Receipt).values(RECEIPT))
    assert open_copies(database, 10, clock(), BUDGET) == 0
    assert row(database, "t").state == "failed"
