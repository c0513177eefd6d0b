"""The sweep: dead workers' claims come back, work is found, what waits and what failed is listed; and replays."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from sqlalchemy import insert, update

from tests.support.clock import FakeClock
from tests.support.work import attempts, events, report, row, shown
from webhook_app.db.database import Database
from webhook_app.domain.failures import Failure
from webhook_app.domain.gate import Limits
from webhook_app.domain.retry_policy import MOST_CRASHES, Blame
from webhook_app.models import Heartbeat, Reconciliation
from webhook_app.models.reconciliation import State
from webhook_app.usecases.audit import Actor
from webhook_app.usecases.heartbeats import beat
from webhook_app.usecases.reconcile.claim import Claim, claim_due, claim_one, hand_back
from webhook_app.usecases.reconcile.stored_gate import lock_gate, store_gate
from webhook_app.usecases.reconcile.sweep import find_failed, find_retrying, find_work, recover_lost_claims
from webhook_app.usecases.redeliver.replay import replay_from_rq

LEASE = timedelta(seconds=20)
WIDE = Limits(calls_per_second=10_000, concurrency=1000)


def claim(database: Database, clock: FakeClock) -> Claim:
    claims = claim_due(database, 1, clock(), LEASE, WIDE)
    found = claims[0] if claims else claim_one(database, "t", clock(), LEASE, WIDE)
    assert found is not None
    return found


def crash(database: Database, clock: FakeClock) -> None:
    """A worker claims it and never comes back."""
    claim(database, clock)
    clock.advance(LEASE.total_seconds() + 1)
    recover_lost_claims(database, clock())


def pause(database: Database, clock: FakeClock) -> None:
    with database.write() as session:
        store_gate(
            session,
            replace(
                lock_gate(session),
                blame=Blame.CONFIGURATION,
                failure=Failure(401, "unauthorised", "invalid_token", "no"),
                paused_at=clock(),
                next_probe_at=clock() + timedelta(seconds=5),
            ),
        )


def change(database: Database, merchant_transaction_id: str, **values: object) -> None:
    with database.write() as session:
        session.execute(
            update(Reconciliation)
            .where(Reconciliation.merchant_transaction_id == merchant_transaction_id)
            .values(**values)
        )


# Dead workers


def test_live_claim_is_left_alone(database: Database, clock: FakeClock) -> None:
    report(database, "t", clock())
    held = claim(database, clock)
    clock.advance(LEASE.total_seconds())
    assert recover_lost_claims(database, clock()) == []
    assert row(database, "t").claim_token == held.token


def test_lost_claim_is_taken_back_and_goes_on_alone(database: Database, clock: FakeClock) -> None:
    report(database, "t", clock())
    crash(database, clock)
    reconciliation = row(database, "t")
    assert (reconciliation.state, reconciliation.next_attempt_at) == ("retrying", clock())
    assert (reconciliation.claim_token, reconciliation.crashes, reconciliation.spent_attempts) == (None, 1, 0)
    assert find_work(database, clock(), 10).slow_due == ("t",)
    assert events(database, "t")[0].delivery == "retrying"
    assert attempts(database, "t")[-1].error == "worker_died"


def test_one_that_kills_every_worker_fails_with_that_reason(database: Database, clock: FakeClock) -> None:
    report(database, "t", clock())
    for _ in range(MOST_CRASHES):
        assert row(database, "t").state != "failed"
        crash(database, clock)
    report_ = shown(database, "t")
    assert report_.reconciliation.state == "failed"
    assert report_.reconciliation.last_error is not None
    assert report_.reconciliation.last_error.error == "worker_died"
    assert events(database, "t")[0].delivery == "failed"
    assert find_work(database, clock(), 10).slow_due == ()


def test_handed_back_claim_is_no_crash(database: Database, clock: FakeClock) -> None:
    report(database, "t", clock())
    for _ in range(MOST_CRASHES + 1):
        hand_back(database, [claim(database, clock)])
        clock.advance(100)
        assert recover_lost_claims(database, clock()) == []
    assert row(database, "t").crashes == 0


def test_new_event_sends_a_killer_of_workers_into_the_slow_lane(database: Database, clock: FakeClock) -> None:
    report(database, "t", clock())
    for _ in range(MOST_CRASHES):
        crash(database, clock)
    report(database, "t", clock(), updated_at=clock())
    work = find_work(database, clock(), 10)
    assert (work.fast_is_due, work.slow_due) == (False, ("t",))
    clock.advance(60)
    assert find_work(database, clock(), 10).fast_is_due is False, "however late the slow lane is, it is tried alone"
    crash(database, clock)
    assert row(database, "t").state == "retrying"


def test_new_event_keeps_one_whose_worker_died_in_the_slow_lane(database: Database, clock: FakeClock) -> None:
    report(database, "t", clock())
    crash(database, clock)
    report(database, "t", clock(), updated_at=clock())
    assert (row(database, "t").state, row(database, "t").crashes) == ("retrying", 1)


# Work


def test_nothing_is_due_before_its_time(database: Database, clock: FakeClock) -> None:
    report(database, "t", clock())
    change(database, "t", state=State.RETRYING, next_attempt_at=clock() + timedelta(seconds=1))
    work = find_work(database, clock(), 10)
    assert (work.fast_is_due, work.slow_due) == (False, ())
    clock.advance(1)
    assert find_work(database, clock(), 10).slow_due == ("t",)


def test_slow_lane_gets_the_longest_due_first_and_no_more_than_asked(database: Database, clock: FakeClock) -> None:
    for number in range(5):
        report(database, f"t{number}", clock())
        change(database, f"t{number}", state=State.RETRYING, next_attempt_at=clock() - timedelta(seconds=number))
    assert find_work(database, clock(), 3).slow_due == ("t4", "t3", "t2")


def test_while_paused_there_is_no_work_before_the_probe(database: Database, clock: FakeClock) -> None:
    report(database, "t", clock())
    pause(database, clock)
    clock.advance(4)
    assert not find_work(database, clock(), 10).fast_is_due
    clock.advance(1)
    assert find_work(database, clock(), 10).fast_is_due


def test_while_paused_the_fast_lane_probes_retries_too(database: Database, clock: FakeClock) -> None:
    """A slow lane that does not take them must not keep everything paused."""
    report(database, "t", clock())
    pause(database, clock)
    clock.advance(5)
    change(database, "t", state=State.RETRYING, next_attempt_at=clock())
    work = find_work(database, clock(), 10)
    assert (work.fast_is_due, work.slow_due) == (True, ())
    assert [one.merchant_transaction_id for one in claim_due(database, 8, clock(), LEASE, WIDE)] == ["t"]


def test_while_paused_what_may_kill_its_worker_is_probed_alone_and_last(database: Database, clock: FakeClock) -> None:
    report(database, "killer", clock())
    report(database, "t", clock())
    pause(database, clock)
    clock.advance(5)
    change(database, "killer", state=State.RETRYING, crashes=2)
    work = find_work(database, clock(), 10)
    assert (work.fast_is_due, work.slow_due) == (True, ())
    change(database, "t", next_attempt_at=clock() + timedelta(hours=1))
    assert claim_due(database, 8, clock(), LEASE, WIDE) == []
    work = find_work(database, clock(), 10)
    assert (work.fast_is_due, work.slow_due) == (False, ("killer",))
    assert claim_one(database, "killer", clock(), LEASE, WIDE) is not None
    assert find_work(database, clock(), 10).slow_due == ()


# Lists


def test_those_that_wait_are_listed_with_their_failure(database: Database, clock: FakeClock) -> None:
    report(database, "t", clock())
    at = clock() + timedelta(seconds=9)
    change(
        database,
        "t",
        state=State.RETRYING,
        next_attempt_at=at,
        last_http_status=502,
        last_error="upstream_error",
        last_code="provider_error",
        last_message="later",
        last_request_id="r-1",
    )
    (waiting,) = find_retrying(database, clock(), 10)
    assert (waiting.merchant_transaction_id, waiting.at) == ("t", at)
    assert waiting.failure == Failure(502, "upstream_error", "provider_error", "later", "r-1")
    assert find_retrying(database, at, 10) == []


def test_newest_failed_are_listed_first_and_no_more_than_asked(database: Database, clock: FakeClock) -> None:
    fail_many(database, clock, 5000)
    listed = find_failed(database, 1000)
    assert len(listed) == 1000
    assert (listed[0].merchant_transaction_id, listed[-1].merchant_transaction_id) == ("f4999", "f4000")


def test_heartbeat_is_kept_once_per_name(database: Database, clock: FakeClock) -> None:
    beat(database, "clock", clock())
    clock.advance(1)
    beat(database, "clock", clock())
    with database.read() as session:
        assert session.get_one(Heartbeat, "clock").beat_at == clock()


# Replay


def test_replay_gives_a_failed_one_its_full_budget_again(database: Database, clock: FakeClock) -> None:
    report(database, "t", clock())
    for _ in range(MOST_CRASHES):
        crash(database, clock)
    change(database, "t", spent_attempts=20, single_retries=2, first_failed_at=clock() - timedelta(days=3))
    generation = row(database, "t").generation
    assert replay_from_rq(database, "t", Actor("anna", "rq"), "requeued", clock())
    reconciliation = row(database, "t")
    assert (reconciliation.state, reconciliation.next_attempt_at) == ("retrying", clock())
    assert (reconciliation.crashes, reconciliation.spent_attempts, reconciliation.single_retries) == (2, 0, 0)
    assert find_work(database, clock() + timedelta(minutes=1), 10).fast_is_due is False, "it is still tried alone"
    assert (reconciliation.first_failed_at, reconciliation.generation) == (None, generation + 1)
    assert events(database, "t")[0].delivery == "retrying"


def test_replay_of_one_that_has_not_failed_does_nothing(database: Database, clock: FakeClock) -> None:
    report(database, "t", clock())
    assert not replay_from_rq(database, "t", Actor("anna", "rq"), "requeued", clock())
    assert not replay_from_rq(database, "unknown", Actor("anna", "rq"), "requeued", clock())
    assert row(database, "t").state == "pending"


def test_second_replay_of_one_failure_leads_to_one_attempt(database: Database, clock: FakeClock) -> None:
    report(database, "t", clock())
    change(database, "t", state=State.FAILED, next_attempt_at=None)
    assert replay_from_rq(database, "t", Actor("anna", "rq"), "requeued", clock())
    assert replay_from_rq(database, "t", Actor("ben", "rq"), "requeued", clock()), "what waits is brought forward"
    assert find_work(database, clock(), 10).slow_due == ("t",)


def fail_many(database: Database, clock: FakeClock, count: int) -> None:
    with database.write() as session:
        session.execute(
            insert(Reconciliation.__table__),  # type: ignore[arg-type]  # a mapped class's table is a Table
            [
                {
                    "merchant_transaction_id": f"f{number}",
                    "state": "failed",
                    "generation": 1,
                    "created_at": clock(),
                    "crashes": 0,
                    "attempts": 1,
                    "spent_attempts": 1,
                    "single_retries": 0,
                    "paused_seconds_then": 0.0,
                }
                for number in range(count)
            ],
        )
