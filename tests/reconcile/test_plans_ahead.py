"""A clock is set back and the plans with it, while somebody who had read the time before is still at work: what it
writes afterwards lies as far from now as from the time by which it was planned, and nothing else moves."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import update

from tests.support.answers import LEASE, NOT_FOUND, UNAVAILABLE, answer, claim, confirmed
from tests.support.clock import START, FakeClock
from tests.support.work import report, row
from webhook_app.adapters.proof import Confirmed
from webhook_app.db.database import Database
from webhook_app.domain.failures import Failure
from webhook_app.domain.gate import MOST_SKEW, Limits
from webhook_app.domain.status import Status
from webhook_app.models import Reconciliation
from webhook_app.models.reconciliation import AskedBy
from webhook_app.usecases.reconcile.claim import claim_due
from webhook_app.usecases.reconcile.clock_jump import follow_clock
from webhook_app.usecases.reconcile.plans_ahead import bring_back_plans
from webhook_app.usecases.reconcile.sweep import recover_lost_claims

UPTIME = timedelta(hours=9)
HOUR = timedelta(hours=1)
LIMITED = Failure(429, "rate_limited", "rate_limited", "slow down", "r-429", retry_after=60.0)


def set_back(database: Database, clock: FakeClock) -> FakeClock:
    """The clock of whoever has read the time before."""
    follow_clock(database, "boot", clock(), UPTIME)
    before = FakeClock(clock())
    clock.now -= HOUR
    assert follow_clock(database, "boot", clock(), UPTIME) == -HOUR
    return before


def bring_back(database: Database, clock: FakeClock) -> int:
    return bring_back_plans(database, clock(), LEASE)


def due(database: Database, clock: FakeClock) -> list[str]:
    return [one.merchant_transaction_id for one in claim_due(database, 10, clock(), LEASE, Limits())]


@pytest.mark.parametrize("asked_by", [AskedBy.EVENT, AskedBy.STRANGER, AskedBy.BACKFILL, AskedBy.PERSON])
def test_what_is_asked_for_by_the_old_time_is_due_at_once(
    database: Database, clock: FakeClock, asked_by: AskedBy
) -> None:
    before = set_back(database, clock)
    report(database, "t", before())
    with database.write() as session:
        session.execute(update(Reconciliation).values(asked_by=asked_by))
    assert due(database, clock) == []
    assert bring_back(database, clock) == 1
    assert due(database, clock) == ["t"]


def test_payment_that_is_asked_for_again_during_its_call_is_called_again_at_once(
    database: Database, clock: FakeClock
) -> None:
    """Seed 1999: the answer was written two seconds after the clock had been set, and the next call came in an hour."""
    report(database, "t", clock())
    held = claim(database, clock)
    report(database, "t", clock(), status="processing", updated_at=clock())
    before = set_back(database, clock)
    answer(database, before, held, confirmed(Status.PENDING, START))
    assert due(database, clock) == []
    assert bring_back(database, clock) == 1
    assert due(database, clock) == ["t"]


@pytest.mark.parametrize(
    "result",
    [
        confirmed(Status.PROCESSING, START),
        confirmed(Status.FAILED, START),
        replace(UNAVAILABLE, retry_after=60),
        LIMITED,
    ],
    ids=["poll", "late look", "retry", "429"],
)
def test_what_is_planned_by_the_old_time_keeps_its_distance(
    database: Database, clock: FakeClock, result: Confirmed | Failure
) -> None:
    report(database, "t", clock())
    held = claim(database, clock)
    before = set_back(database, clock)
    answer(database, before, held, result)
    planned = row(database, "t").next_attempt_at
    assert planned is not None
    assert bring_back(database, clock) == 1
    assert row(database, "t").next_attempt_at == planned - HOUR
    assert bring_back(database, clock) == 0, "once"


def test_claim_that_begins_by_the_old_time_ends_with_its_lease(database: Database, clock: FakeClock) -> None:
    report(database, "t", clock() - 2 * HOUR)
    before = set_back(database, clock)
    claim(database, before)
    assert bring_back(database, clock) == 1
    clock.advance(LEASE.total_seconds() - 1)
    assert recover_lost_claims(database, clock()) == []
    clock.advance(2)
    assert recover_lost_claims(database, clock()) == ["t"]


@pytest.mark.parametrize(
    "result",
    [
        *(confirmed(Status.PROCESSING, START), confirmed(Status.PENDING, START - timedelta(days=3))),
        *(confirmed(Status.FAILED, START - HOUR / 2), replace(UNAVAILABLE, retry_after=3600.0), LIMITED, NOT_FOUND),
    ],
    ids=["poll", "late poll", "late look", "retry", "429", "given up"],
)
def test_what_was_moved_with_the_clock_stays_where_it_is(
    database: Database, clock: FakeClock, result: Confirmed | Failure
) -> None:
    """Its call seems to end in the future, too, and some of it is planned for hours ahead."""
    report(database, "t", clock())
    answer(database, clock, claim(database, clock), result)
    planned = row(database, "t").next_attempt_at
    set_back(database, clock)
    assert bring_back(database, clock) == 0
    assert row(database, "t").next_attempt_at == (planned and planned - HOUR)


def plan_and_claim(database: Database, clock: FakeClock) -> None:
    """By this clock one transaction is planned after a 429, and another is claimed."""
    for name in ("planned", "claimed"):
        report(database, name, clock())
    answer(database, clock, claim(database, clock, "planned"), LIMITED)
    claim(database, clock, "claimed")


def test_host_whose_clock_is_ahead_by_as_much_as_clocks_may_differ_keeps_its_plans(
    database: Database, clock: FakeClock
) -> None:
    set_back(database, clock)
    plan_and_claim(database, FakeClock(clock() + MOST_SKEW))
    assert bring_back(database, clock) == 0


def test_host_whose_clock_was_not_set_keeps_its_plans(database: Database, clock: FakeClock) -> None:
    """By its time they are right, and it would call anew whenever they were brought back."""
    other = set_back(database, clock)
    other.advance(MOST_SKEW.total_seconds() + 1)
    plan_and_claim(database, other)
    assert bring_back(database, clock) == 0


def test_plan_that_became_another_meanwhile_is_left_alone(database: Database, clock: FakeClock) -> None:
    before = set_back(database, clock)
    report(database, "t", before())
    report(database, "t", clock(), status="processing", updated_at=clock())
    assert row(database, "t").next_attempt_at == clock()
    assert bring_back(database, clock) == 0


def test_host_that_is_set_back_minutes_after_another_takes_along_what_it_has_planned_meanwhile(
    database: Database, clock: FakeClock
) -> None:
    follow_clock(database, "late boot", clock(), UPTIME)
    late = set_back(database, clock)
    for one in (late, clock):
        one.advance(300)
    report(database, "t", late())
    answer(database, late, claim(database, late), replace(UNAVAILABLE, retry_after=60))
    planned = row(database, "t").next_attempt_at
    assert planned is not None
    assert bring_back(database, clock) == 0, "by the late one's time it is right"
    assert follow_clock(database, "late boot", clock(), UPTIME + timedelta(seconds=300)) == timedelta()
    assert bring_back(database, clock) == 1
    assert row(database, "t").next_attempt_at == planned - HOUR
