"""When an outage has ended, what backs off because of it is due at once; what failed before keeps its backoff."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import update

from tests.support.answers import DB_ERROR, LEASE, NOT_FOUND, POLICY, UNAVAILABLE, answer, confirmed
from tests.support.class_rows import put
from tests.support.clock import FakeClock
from tests.support.work import events, report, row, rows
from webhook_app.db.database import Database
from webhook_app.domain.failures import Failure
from webhook_app.domain.status import Status
from webhook_app.models import Reconciliation
from webhook_app.usecases.reconcile.bring_forward import BATCH, bring_forward
from webhook_app.usecases.reconcile.claim import Claim, claim_due
from webhook_app.usecases.reconcile.clock_jump import follow_clock
from webhook_app.usecases.reconcile.stored_gate import lock_gate, read_gate, store_gate

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
