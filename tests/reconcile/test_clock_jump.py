"""A wall clock that was set is followed once: plans keep their distance, and what has no plan is left alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from sqlalchemy import insert, select, update

from tests.support.answers import LEASE, UNAVAILABLE, answer, claim, confirmed
from tests.support.clock import START, FakeClock
from tests.support.rows import make_known
from tests.support.work import report, row
from webhook_app.adapters.proof import Confirmed
from webhook_app.db.database import Database
from webhook_app.domain.failures import Failure
from webhook_app.domain.gate import Limits, pause
from webhook_app.domain.retry_policy import Blame
from webhook_app.domain.status import Status
from webhook_app.models import Boot, Heartbeat, Reconciliation
from webhook_app.models.reconciliation import State
from webhook_app.usecases.reconcile.claim import claim_due
from webhook_app.usecases.reconcile.clock_jump import follow_clock
from webhook_app.usecases.reconcile.look_soon import look_soon
from webhook_app.usecases.reconcile.stored_gate import lock_gate, read_gate, store_gate
from webhook_app.usecases.reconcile.sweep import recover_lost_claims

UPTIME = timedelta(hours=9)
HOUR = timedelta(hours=1)


def plan(database: Database, clock: FakeClock) -> None:
    report(database, "t", clock())
    with database.write() as session:
        session.execute(
            update(Reconciliation).values(
                state=State.RETRYING,
                next_attempt_at=clock() + timedelta(seconds=60),
                first_failed_at=clock() - timedelta(seconds=30),
            )
        )


def planned(database: Database) -> tuple[datetime | None, datetime | None]:
    return row(database, "t").next_attempt_at, row(database, "t").first_failed_at


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_jump_is_followed_once_however_many_sweeps_come_after_it(
    database: Database, clock: FakeClock, jump: timedelta
) -> None:
    plan(database, clock)
    start = clock()
    assert follow_clock(database, "boot", clock(), UPTIME) is None
    clock.now += jump
    assert follow_clock(database, "boot", clock(), UPTIME) == jump
    for second in range(5):
        assert follow_clock(database, "boot", clock(), UPTIME + timedelta(seconds=second)) is None
        assert planned(database) == (start + jump + timedelta(seconds=60), start + jump - timedelta(seconds=30))
        clock.advance(1)


def test_gate_moves_with_the_plans(database: Database, clock: FakeClock) -> None:
    follow_clock(database, "boot", clock(), UPTIME)
    with database.read() as session:
        before = read_gate(session).refilled_at
    clock.now += HOUR
    follow_clock(database, "boot", clock(), UPTIME)
    with database.read() as session:
        assert read_gate(session).refilled_at == before + HOUR


def test_what_has_no_plan_is_not_rewritten(database: Database, clock: FakeClock) -> None:
    make_known(database, "done", "succeeded", first_failed_at=clock())
    make_known(database, "failed", "failed", first_failed_at=clock())
    follow_clock(database, "boot", clock(), UPTIME)
    clock.now += HOUR
    assert follow_clock(database, "boot", clock(), UPTIME) == HOUR
    assert [row(database, name).first_failed_at for name in ("done", "failed")] == [clock() - HOUR] * 2


def test_drift_is_no_jump(database: Database, clock: FakeClock) -> None:
    plan(database, clock)
    before = planned(database)
    follow_clock(database, "boot", clock(), UPTIME)
    clock.advance(4)
    assert follow_clock(database, "boot", clock(), UPTIME) is None
    assert planned(database) == before


# Work that goes on between the moment at which the clock is set and the clock process's next look


def test_payment_that_comes_before_the_clock_process_has_looked_is_due_at_once(
    database: Database, clock: FakeClock
) -> None:
    plan(database, clock)
    follow_clock(database, "boot", clock(), UPTIME)
    clock.now += HOUR
    report(database, "new", clock())
    clock.advance(0.8)
    assert follow_clock(database, "boot", clock(), UPTIME + timedelta(seconds=0.8)) == HOUR
    assert planned(database)[0] == START + HOUR + timedelta(seconds=60)
    assert [one.merchant_transaction_id for one in claim_due(database, 10, clock(), LEASE, Limits())] == ["new"]


def test_known_payment_that_is_asked_for_again_meanwhile_is_due_at_once(database: Database, clock: FakeClock) -> None:
    report(database, "t", clock())
    answer(database, clock, claim(database, clock), confirmed(Status.COMPLETED, clock()))
    clock.advance(86_400)
    follow_clock(database, "boot", clock(), UPTIME)
    clock.now += HOUR
    report(database, "t", clock(), status="failed", updated_at=clock())
    clock.advance(0.8)
    follow_clock(database, "boot", clock(), UPTIME + timedelta(seconds=0.8))
    assert [one.merchant_transaction_id for one in claim_due(database, 10, clock(), LEASE, Limits())] == ["t"]


@pytest.mark.parametrize(
    "result", [replace(UNAVAILABLE, retry_after=60), confirmed(Status.PROCESSING, START)], ids=["failed", "confirmed"]
)
def test_call_that_ends_meanwhile_is_repeated_when_it_was_planned(
    database: Database, clock: FakeClock, result: Confirmed | Failure
) -> None:
    """Seed 120142: a retry of a minute came an hour later."""
    report(database, "t", clock())
    held = claim(database, clock)
    follow_clock(database, "boot", clock(), UPTIME)
    clock.now += HOUR
    answer(database, clock, held, result)
    before = planned(database)
    clock.advance(0.8)
    assert follow_clock(database, "boot", clock(), UPTIME + timedelta(seconds=0.8)) == HOUR
    assert planned(database) == before


def test_calls_go_on_where_some_began_before_the_clock_process_has_looked(database: Database, clock: FakeClock) -> None:
    """Seed 1127: the gate's tokens were last counted by the new time, and moved 8 s ahead; till then none was added."""
    for number in range(30):
        report(database, f"t{number}", clock())
    follow_clock(database, "boot", clock(), UPTIME)
    clock.now += timedelta(seconds=8)
    limits = Limits(calls_per_second=10)
    assert claim_due(database, 32, clock(), LEASE, limits)
    while claim_due(database, 32, clock(), LEASE, limits):
        pass
    clock.advance(0.8)
    assert follow_clock(database, "boot", clock(), UPTIME + timedelta(seconds=0.8)) == timedelta(seconds=8)
    assert claim_due(database, 32, clock(), LEASE, limits)


def test_calls_that_begin_after_a_clock_was_set_back_are_not_admitted_twice(
    database: Database, clock: FakeClock
) -> None:
    follow_clock(database, "boot", clock(), UPTIME)
    limits = Limits(calls_per_second=100, concurrency=1000)
    report(database, "before", clock())
    claim_due(database, 1000, clock(), LEASE, limits)
    clock.now -= HOUR
    for number in range(200):
        report(database, f"t{number}", clock())
    assert claim_due(database, 1000, clock(), LEASE, limits)
    clock.advance(0.1)
    assert follow_clock(database, "boot", clock(), UPTIME + timedelta(seconds=0.1)) == -HOUR
    assert len(claim_due(database, 1000, clock(), LEASE, limits)) <= 10, "a tenth of a second's"


def test_pause_that_begins_meanwhile_is_probed_when_it_was_planned(database: Database, clock: FakeClock) -> None:
    follow_clock(database, "boot", clock(), UPTIME)
    clock.now += HOUR
    with database.write() as session:
        paused = pause(lock_gate(session), Blame.PROOF, UNAVAILABLE, clock(), clock(), Limits())
        store_gate(session, paused)
    clock.advance(0.8)
    assert follow_clock(database, "boot", clock(), UPTIME + timedelta(seconds=0.8)) == HOUR
    with database.read() as session:
        assert read_gate(session).next_probe_at == paused.next_probe_at
        assert read_gate(session).paused_at == paused.paused_at


def test_claim_that_begins_after_a_clock_was_set_forward_keeps_its_lease(database: Database, clock: FakeClock) -> None:
    """Of a worker that dies with it the transaction would wait for an hour."""
    report(database, "t", clock())
    follow_clock(database, "boot", clock(), UPTIME)
    clock.now += HOUR
    claim(database, clock)
    before = row(database, "t").lease_until
    clock.advance(0.8)
    assert follow_clock(database, "boot", clock(), UPTIME + timedelta(seconds=0.8)) == HOUR
    assert row(database, "t").lease_until == before


def test_claim_that_begins_after_a_clock_was_set_back_keeps_its_lease(database: Database, clock: FakeClock) -> None:
    report(database, "t", clock() - 2 * HOUR)
    follow_clock(database, "boot", clock(), UPTIME)
    clock.now -= HOUR
    held = claim(database, clock)
    before = row(database, "t").lease_until
    clock.advance(0.8)
    assert follow_clock(database, "boot", clock(), UPTIME + timedelta(seconds=0.8)) == -HOUR
    assert row(database, "t").lease_until == before
    assert recover_lost_claims(database, clock()) == []
    (applied,) = answer(database, clock, held, confirmed(Status.COMPLETED, START))
    assert applied.status == "completed"


def test_what_is_worth_a_look_is_looked_at_though_its_last_answer_seems_to_come_later(
    database: Database, clock: FakeClock
) -> None:
    """A hint or a WebSocket that connects anew, of a payment that was confirmed in the hour before."""
    report(database, "t", clock())
    answer(database, clock, claim(database, clock), confirmed(Status.PENDING, clock() - timedelta(hours=10)))
    follow_clock(database, "boot", clock(), UPTIME)
    clock.now -= HOUR
    follow_clock(database, "boot", clock(), UPTIME)
    gap = timedelta(seconds=5)
    with database.write() as session:
        assert look_soon(session, ["t"], clock(), gap) == 1
    assert row(database, "t").next_attempt_at == clock() + gap


# Beside a clock process of the release before, which keeps the boot time in a heartbeat


def test_older_release_that_was_first_has_moved_the_plans(database: Database, clock: FakeClock) -> None:
    plan(database, clock)
    follow_clock(database, "boot", clock(), UPTIME)
    before = planned(database)
    clock.now += HOUR
    older_release_keeps(database, clock() - UPTIME)
    assert follow_clock(database, "boot", clock(), UPTIME) is None
    assert planned(database) == before, "not once more"


def test_older_release_that_comes_second_finds_it_done(database: Database, clock: FakeClock) -> None:
    plan(database, clock)
    follow_clock(database, "boot", clock(), UPTIME)
    older_release_keeps(database, clock() - UPTIME)
    clock.now += HOUR
    assert follow_clock(database, "boot", clock(), UPTIME) == HOUR
    with database.read() as session:
        assert session.scalars(select(Heartbeat.beat_at)).one() == clock() - UPTIME
        assert session.scalars(select(Boot.booted_at)).one() == clock() - UPTIME


def older_release_keeps(database: Database, booted_at: datetime) -> None:
    with database.write() as session:
        session.execute(insert(Heartbeat).values(name="boot boot", beat_at=booted_at))
