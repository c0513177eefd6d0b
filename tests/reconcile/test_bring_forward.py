"""When an outage has ended, what backs off because of it is due at once; what failed before keeps its backoff."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import update

from tests.support.answers import (
    DB_ERROR,
    LEASE,
    NOT_FOUND,
    POLICY,
    UNAVAILABLE,
    answer,
    confirmed,
    report_and_answer,
)
from tests.support.class_rows import put
from tests.support.clock import FakeClock
from tests.support.plans import explained
from tests.support.work import events, report, row, rows
from webhook_app.db.database import Database
from webhook_app.domain.failures import Failure
from webhook_app.domain.gate import pause, resume
from webhook_app.domain.retry_policy import Blame
from webhook_app.domain.status import Status
from webhook_app.models import Reconciliation
from webhook_app.usecases.reconcile.bring_forward import BATCH, bring_forward
from webhook_app.usecases.reconcile.claim import Claim, claim_due
from webhook_app.usecases.reconcile.clock_jump import follow_clock
from webhook_app.usecases.reconcile.stored_gate import forget_outage, lock_gate, read_gate, store_gate

REFUSED = Failure(401, "unauthorised", "invalid_token", "m", "r-401")


def claims(database: Database, clock: FakeClock) -> dict[str, Claim]:
    return {one.merchant_transaction_id: one for one in claim_due(database, 1000, clock(), LEASE, POLICY.limits)}


def fail(
    database: Database, clock: FakeClock, *names: str, failure: Failure = UNAVAILABLE, first: Failure | None = None
) -> None:
    """All of them are asked for before the first is answered, with `first` if that is given."""
    for name in names:
        report(database, name, clock())
    held = claims(database, clock)
    for number, name in enumerate(names):
        answer(database, clock, held[name], first if first and number == 0 else failure)


def end_outage(database: Database, clock: FakeClock, name: str = "healthy") -> None:
    clock.advance(5)
    report(database, name, clock())
    answer(database, clock, claims(database, clock)[name], confirmed(Status.COMPLETED, clock(), id=name))
    with database.read() as session:
        assert not read_gate(session).is_paused


@pytest.mark.parametrize("failure", [UNAVAILABLE, REFUSED])
def test_what_backs_off_because_of_the_outage_is_due_when_it_ends(
    database: Database, clock: FakeClock, failure: Failure
) -> None:
    long = replace(failure, retry_after=600.0)
    fail(database, clock, "t0", "t1", "t2", "t3", "t4", failure=failure, first=long)
    planned = row(database, "t0").next_attempt_at
    assert planned is not None
    assert planned > clock() + timedelta(minutes=5)
    assert bring_forward(database, clock()) == 0, "while it lasts"
    end_outage(database, clock)
    before = row(database, "t0")
    assert bring_forward(database, clock()) >= 1
    after = row(database, "t0")
    assert (after.next_attempt_at, after.state, after.spent_attempts) == (clock(), before.state, before.spent_attempts)
    assert bring_forward(database, clock()) == 0


def test_what_failed_before_the_outage_keeps_its_backoff(database: Database, clock: FakeClock) -> None:
    fail(database, clock, "old", failure=replace(UNAVAILABLE, retry_after=600.0))
    fail(database, clock, "gone", failure=NOT_FOUND)
    clock.advance(10)
    fail(database, clock, "t0", "t1", "t2", "t3", "t4", first=replace(UNAVAILABLE, retry_after=600.0))
    planned = row(database, "old").next_attempt_at
    end_outage(database, clock)
    assert bring_forward(database, clock()) > 0
    assert row(database, "old").next_attempt_at == planned


def give_up(database: Database, clock: FakeClock, name: str, failure: Failure = DB_ERROR) -> None:
    """It fails until it is given up: twice, where the failure is retried once."""
    fail(database, clock, name, failure=failure)
    while row(database, name).state != "failed":
        clock.advance(5)  # the fast lane takes what the slow one is late with
        answer(database, clock, claims(database, clock)[name], failure)


def test_what_gave_up_before_the_outage_was_known_has_one_more_attempt(database: Database, clock: FakeClock) -> None:
    """By Proof's advice a 500 is retried once, which is over before a fifth transaction has failed."""
    give_up(database, clock, "first")
    give_up(database, clock, "unknown", NOT_FOUND)  # by a fault of its own
    give_up(database, clock, "second")
    fail(database, clock, "t0", "t1", "t2", "t3", failure=DB_ERROR)
    fail(database, clock, "t4", failure=DB_ERROR)
    end_outage(database, clock)
    bring_forward(database, clock())
    assert row(database, "unknown").state == "failed"
    second = row(database, "second")
    assert (second.state, second.next_attempt_at, second.single_retries) == ("retrying", clock(), 2)
    assert [event.delivery for event in events(database, "second")] == ["retrying"]
    clock.advance(5)
    answer(database, clock, claims(database, clock)["second"], DB_ERROR)
    assert row(database, "second").state == "failed", "one more attempt"
    assert bring_forward(database, clock()) == 0, "and no more for that outage"
    assert [event.delivery for event in events(database, "second")] == ["failed"]


def test_what_copies_asked_for_in_vain_has_one_more_attempt_too_and_no_other(
    database: Database, clock: FakeClock
) -> None:
    """The simulator's seed 19, long: two copies came of what gave up, and it stayed failed when the outage was over."""
    give_up(database, clock, "copied")
    for _ in range(2):
        fail_for_copy(database, clock, "copied")
    fail(database, clock, "t0", "t1", "t2", "t3", "t4", failure=DB_ERROR)
    end_outage(database, clock)
    bring_forward(database, clock())
    assert row(database, "copied").state == "retrying"
    clock.advance(5)
    answer(database, clock, claims(database, clock)["copied"], DB_ERROR)
    assert row(database, "copied").state == "failed"
    fail_for_copy(database, clock, "copied")
    fail(database, clock, "t5", "t6", "t7", "t8", "t9", failure=DB_ERROR)
    end_outage(database, clock, "healthy too")
    bring_forward(database, clock())
    assert row(database, "copied").state == "failed", "it came back after an outage once, whatever copies ask"


def fail_for_copy(database: Database, clock: FakeClock, name: str) -> None:
    clock.advance(60)
    report(database, name, clock())
    assert row(database, name).state == "retrying"
    clock.advance(30)
    answer(database, clock, claims(database, clock)[name], DB_ERROR)
    assert row(database, name).state == "failed"


@pytest.mark.parametrize("hours", [1, -1])
def test_outage_in_which_the_clock_is_set_brings_all_back_that_it_made_fail(
    database: Database, clock: FakeClock, hours: int
) -> None:
    """Set forward by an hour, what had failed before seemed to have failed before the outage."""
    uptime = timedelta(hours=9)
    follow_clock(database, "boot", clock(), uptime)
    give_up(database, clock, "gave-up")
    fail(database, clock, "t0", "t1", "t2", "t3", failure=DB_ERROR)
    clock.advance(3600 * hours)
    follow_clock(database, "boot", clock(), uptime)
    end_outage(database, clock)
    assert row(database, "gave-up").state == "failed"
    bring_forward(database, clock())
    assert row(database, "gave-up").state == "retrying"


def test_outage_that_is_back_before_the_clock_has_looked_leaves_nothing_behind(
    database: Database, clock: FakeClock
) -> None:
    """One probe was answered, what had waited went out at once and failed, and all calls were paused again, within a
    second. What gave up in the first part seemed to have failed before the outage."""
    give_up(database, clock, "first")
    fail(database, clock, "t0", "t1", "t2", "t3", failure=DB_ERROR)
    clock.advance(60)
    end_outage(database, clock)
    clock.advance(14)  # the answer that ended it speaks for thirteen seconds
    fail(database, clock, "u0", "u1", "u2", "u3", "u4", failure=DB_ERROR)
    assert bring_forward(database, clock()) == 0, "while it lasts"
    clock.advance(60)
    end_outage(database, clock, "healthy too")
    bring_forward(database, clock())
    assert row(database, "first").state == "retrying"
    with database.read() as session:
        assert read_gate(session).outage_since is None


def test_outage_that_begins_while_all_is_brought_forward_is_not_forgotten(database: Database, clock: FakeClock) -> None:
    fail(database, clock, "t0", "t1", "t2", "t3", "t4")
    end_outage(database, clock)
    with database.read() as session:
        before = read_gate(session)
    with database.write() as session:
        again = pause(lock_gate(session), Blame.PROOF, UNAVAILABLE, clock(), clock(), POLICY.limits)
        store_gate(session, resume(again, clock()))
    database.run(lambda session: forget_outage(session, before.epoch))
    with database.read() as session:
        assert read_gate(session).outage_since == before.outage_since


def test_poll_that_was_told_to_wait_for_long_comes_forward_too(database: Database, clock: FakeClock) -> None:
    """For a 429 nobody is charged, so it stays a poll; its webhook may be lost."""
    report_and_answer(database, clock, confirmed(Status.PENDING, clock()))
    at = row(database, "t").next_attempt_at
    assert at is not None
    clock.advance((at - clock()).total_seconds())
    told_to_wait = Failure(429, "rate_limit_exceeded", "x", "m", "r-429", retry_after=3600.0)
    names = ("t", "u")
    report(database, "u", clock())
    held = claims(database, clock)
    for name in names:
        answer(database, clock, held[name], told_to_wait)
    planned = row(database, "t").next_attempt_at
    assert (row(database, "t").state, planned and planned > clock() + timedelta(minutes=30)) == ("watching", True)
    clock.advance(60)
    end_outage(database, clock)
    bring_forward(database, clock())
    assert row(database, "t").next_attempt_at == clock()


def test_ids_that_nobody_knows_are_not_looked_at_when_an_outage_ends(database: Database, clock: FakeClock) -> None:
    """Of a flood of forged ones there may be millions, and each flap of Proof is an outage that ends."""
    forged: dict[str, object] = {"last_error": "not_found", "last_http_status": 404, "last_failed_at": clock()}
    put(database, "forged", 2 * BATCH, state="failed", next_attempt_at=None, **forged)
    with database.write() as session:
        store_gate(session, replace(lock_gate(session), outage_since=clock()))
    with explained(database) as plans:
        assert bring_forward(database, clock()) == 0
    (of_failed,) = (one for one in plans if "last_error IN" in one.statement)
    if database.is_sqlite:  # PostgreSQL decides by statistics, and there are none of so few rows
        assert "ix_reconciliations_last_error" in of_failed.plan


def test_what_fails_always_is_not_brought_back_by_each_outage(database: Database, clock: FakeClock) -> None:
    """The simulator's seed 5007: poison that paused all calls came back after each pause, for hours."""
    for single_retries, spent, failure in ((3, 3, DB_ERROR), (0, 20, UNAVAILABLE)):
        name = f"always-{spent}"
        give_up(database, clock, name)
        with database.write() as session:
            wanted = Reconciliation.merchant_transaction_id == name
            values = {
                "single_retries": single_retries,
                "spent_attempts": spent,
                "last_http_status": failure.http_status,
            }
            values |= {"last_error": failure.error, "last_code": failure.code}
            session.execute(update(Reconciliation).where(wanted).values(values))
    fail(database, clock, "t0", "t1", "t2", "t3", "t4", failure=DB_ERROR)
    end_outage(database, clock)
    bring_forward(database, clock())
    assert {row(database, f"always-{spent}").state for spent in (3, 20)} == {"failed"}


def test_what_gave_up_before_others_were_answered_stays_failed(database: Database, clock: FakeClock) -> None:
    give_up(database, clock, "old")
    report(database, "well", clock())
    answer(database, clock, claims(database, clock)["well"], confirmed(Status.COMPLETED, clock(), id="well"))
    clock.advance(10)
    fail(database, clock, "t0", "t1", "t2", "t3", "t4", first=replace(UNAVAILABLE, retry_after=600.0))
    end_outage(database, clock)
    assert bring_forward(database, clock()) > 0
    assert row(database, "old").state == "failed"


def test_any_number_is_brought_forward(database: Database, clock: FakeClock) -> None:
    """In batches, whether they were charged, or not."""
    failed = {"last_http_status": 503, "last_error": "service_unavailable", "last_code": "x", "last_failed_at": clock()}
    later = -3600.0
    put(database, "charged", BATCH + 20, due=later, state="retrying", first_failed_at=clock(), **failed)
    put(database, "hung", 3, due=later, state="retrying", first_failed_at=clock(), **failed | {"last_code": "timeout"})
    put(database, "unclear", 3, due=later, uncounted=2, **failed)
    put(database, "poll", 3, due=later, state="watching")
    with database.write() as session:
        store_gate(session, replace(lock_gate(session), outage_since=clock()))
    clock.advance(60)
    assert bring_forward(database, clock()) == BATCH + 26
    due = [one for one in rows(database) if one.next_attempt_at == clock()]
    assert len(due) == BATCH + 26
    assert not any(one.merchant_transaction_id.startswith("poll") for one in due)
    assert bring_forward(database, clock()) == 0
