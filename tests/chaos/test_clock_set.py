"""A clock that is set by an hour, in either direction: nothing stalls for an hour, nothing is retried in a burst."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from tests.support.clock import FakeClock
from tests.support.work import report
from webhook_app.db.database import Database
from webhook_app.domain.gate import Limits
from webhook_app.models import Reconciliation
from webhook_app.models.reconciliation import State
from webhook_app.usecases.reconcile.claim import claim_due
from webhook_app.usecases.reconcile.clock_jump import follow_clock
from webhook_app.usecases.reconcile.sweep import find_work, recover_lost_claims

UPTIME = timedelta(hours=9)
RETRIES = 20


@pytest.mark.parametrize("hours", [1, -1])
def test_plans_keep_their_distance_when_the_clock_is_set(database: Database, clock: FakeClock, hours: int) -> None:
    for number in range(RETRIES):
        report(database, f"retry-{number}", clock())
    with database.write() as session:
        rows = session.scalars(select(Reconciliation).order_by(Reconciliation.id)).all()
        for number, row in enumerate(rows):
            row.state = State.RETRYING
            row.next_attempt_at = clock() + timedelta(seconds=60 * (number + 1))
    assert follow_clock(database, "boot", clock(), UPTIME) is None
    clock.advance(3600 * hours)
    assert follow_clock(database, "boot", clock(), UPTIME) == timedelta(hours=hours)
    assert find_work(database, clock(), RETRIES).slow_due == ()
    clock.advance(61)
    assert find_work(database, clock(), RETRIES).slow_due == ("retry-0",)
    clock.advance(60)
    assert find_work(database, clock(), RETRIES).slow_due == ("retry-0", "retry-1")


@pytest.mark.parametrize("hours", [1, -1])
def test_claims_live_on_and_end_with_their_lease_when_the_clock_is_set(
    database: Database, clock: FakeClock, hours: int
) -> None:
    report(database, "t", clock())
    with database.write() as session:
        session.execute(update(Reconciliation).values(next_attempt_at=clock()))
    assert follow_clock(database, "boot", clock(), UPTIME) is None
    assert len(claim_due(database, 10, clock(), timedelta(seconds=28), Limits())) == 1
    clock.advance(3600 * hours)
    follow_clock(database, "boot", clock(), UPTIME)
    assert recover_lost_claims(database, clock()) == []
    clock.advance(29)
    assert recover_lost_claims(database, clock()) == ["t"]
