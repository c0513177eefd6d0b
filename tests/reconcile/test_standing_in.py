"""When the clock stands in for workers: what is due for long is taken by nobody, and until a worker shows itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import update
from structlog.testing import capture_logs

from tests.support.answers import LEASE, POLICY, claim
from tests.support.clock import FakeClock
from tests.support.work import report, row
from webhook_app.db.database import Database
from webhook_app.domain.gate import note_newcomer, pause
from webhook_app.domain.retry_policy import Blame
from webhook_app.models import Reconciliation
from webhook_app.usecases.heartbeats import beat
from webhook_app.usecases.reconcile.claim import claim_one
from webhook_app.usecases.reconcile.reconciler import Reconciler
from webhook_app.usecases.reconcile.standing_in import (
    SignOfLife,
    find_stood_in,
    find_untaken,
    note_standing_in,
    show_worker,
)
from webhook_app.usecases.reconcile.stored_gate import lock_gate, store_gate
from webhook_app.usecases.reconcile.work_classes import Lane


def untaken(database: Database, clock: FakeClock) -> list[Lane]:
    return list(find_untaken(database, clock(), POLICY.limits))


def test_what_is_due_for_ten_seconds_is_the_clocks_until_a_worker_shows_itself(
    database: Database, clock: FakeClock
) -> None:
    report(database, "t", clock())
    clock.advance(9)
    assert untaken(database, clock) == []
    clock.advance(2)
    assert untaken(database, clock) == [Lane.FAST]
    note_standing_in(database, Lane.FAST, clock())
    claim(database, clock)  # it is done; what comes next does not wait again
    clock.advance(3600)
    assert untaken(database, clock) == find_stood_in(database, clock()) == [Lane.FAST]
    show_worker(database, Lane.FAST, clock())
    assert untaken(database, clock) == find_stood_in(database, clock()) == []


def test_what_is_reported_again_and_again_is_due_since_the_first_time(database: Database, clock: FakeClock) -> None:
    """The simulator's seed 5655: each new event put its payment's call off, and so the clock's standing in."""
    for _ in range(4):
        report(database, "t", clock(), updated_at=clock())
        clock.advance(4)
    assert row(database, "t").next_attempt_at == clock() - timedelta(seconds=16)
    assert untaken(database, clock) == [Lane.FAST]


def test_a_worker_that_was_just_seen_is_left_alone(database: Database, clock: FakeClock) -> None:
    report(database, "t", clock())
    clock.advance(60)
    show_worker(database, Lane.FAST, clock())
    assert untaken(database, clock) == []
    clock.advance(11)
    assert untaken(database, clock) == [Lane.FAST]
    beat(database, "worker-fast", clock() + timedelta(hours=1))  # before its clock was set back
    assert untaken(database, clock) == [Lane.FAST]


def test_a_run_that_lasts_shows_its_worker_whenever_it_claims(
    database: Database, reconciler: Reconciler, clock: FakeClock
) -> None:
    for number in range(6):  # more than its threads can take at once, so it claims again
        report(database, f"t-{number}", clock())
    clock.advance(11)
    assert untaken(database, clock) == [Lane.FAST]
    sign = SignOfLife(database, Lane.FAST)
    seen: list[list[Lane]] = []

    def show() -> None:
        sign.show(clock())
        seen.append(untaken(database, clock))

    reconciler.reconcile_due(threads=2, max_seconds=30.0, stopping=lambda: False, grace=5.0, show=show)
    assert len(seen) > 1
    assert not any(seen), "it was shown with the first claim already"


def test_what_the_slow_lane_claims_says_nothing_of_the_fast_one(database: Database, clock: FakeClock) -> None:
    """The simulator's seed 5265: retries that the slow lane made kept the clock from standing in for a fast worker that
    stood still."""
    for id in ("waits", "backs-off"):
        report(database, id, clock())
    with database.write() as session:
        retrying = Reconciliation.merchant_transaction_id == "backs-off"
        session.execute(update(Reconciliation).where(retrying).values(state="retrying"))
    clock.advance(11)
    assert claim_one(database, "backs-off", clock(), LEASE, POLICY.limits) is not None
    assert untaken(database, clock) == [Lane.FAST]


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)  # SQLite has one writer at a time
def test_a_sign_of_life_that_somebody_holds_up_ends_no_job(database: Database, clock: FakeClock) -> None:
    with database.write() as session:
        session.connection().exec_driver_sql("""
            CREATE FUNCTION time_out() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION 'in the way' USING ERRCODE = '55P03'; END $$;
            CREATE TRIGGER time_out BEFORE INSERT ON heartbeats FOR EACH STATEMENT EXECUTE FUNCTION time_out();
        """)
    with capture_logs() as logs:
        SignOfLife(database, Lane.FAST).show(clock())
    assert [line["event"] for line in logs] == ["a sign of life waits for another transaction"]


def test_while_all_calls_are_paused_only_a_probe_that_is_late_is_untaken(database: Database, clock: FakeClock) -> None:
    report(database, "t", clock())
    clock.advance(60)
    with database.write() as session:
        probe_at = clock() + timedelta(seconds=30)
        gate = replace(lock_gate(session), blame=Blame.PROOF, paused_at=clock(), next_probe_at=probe_at)
        store_gate(session, gate)
    assert untaken(database, clock) == []
    clock.advance(39)
    assert untaken(database, clock) == []
    clock.advance(2)
    assert untaken(database, clock) == [Lane.FAST]


def test_while_all_calls_are_paused_what_has_come_is_untaken_after_ten_seconds(
    database: Database, clock: FakeClock
) -> None:
    """It would end a pause that poison made; no worker was there, and the next round a minute away."""
    with database.write() as session:
        gate = pause(lock_gate(session), Blame.PROOF, None, clock(), clock(), POLICY.limits)
        store_gate(session, replace(gate, next_probe_at=clock() + timedelta(seconds=60), probes=6))
    clock.advance(5)
    report(database, "t", clock())
    clock.advance(9.9)
    assert untaken(database, clock) == []
    clock.advance(0.2)
    assert untaken(database, clock) == [Lane.FAST]


def test_while_all_calls_are_paused_what_may_kill_its_worker_is_not_the_clocks_because_others_are_probed(
    database: Database, clock: FakeClock
) -> None:
    """It has its turn when nothing else is called. A call that has just been made is no clock that was set back."""
    report(database, "t", clock())
    with database.write() as session:
        session.execute(update(Reconciliation).values(state="retrying", crashes=2))
        gate = pause(lock_gate(session), Blame.PROOF, None, clock(), clock(), POLICY.limits)
        store_gate(session, replace(gate, next_probe_at=clock() + timedelta(seconds=60), probes=6))
    for _ in range(50):
        clock.advance(1)
        with database.write() as session:
            store_gate(session, note_newcomer(lock_gate(session), clock()))
        assert untaken(database, clock) == []
    clock.advance(31)
    assert untaken(database, clock) == []
    clock.advance(2)
    assert untaken(database, clock) == [Lane.SLOW]


def test_what_may_kill_its_worker_is_of_the_slow_lane(database: Database, clock: FakeClock) -> None:
    report(database, "t", clock())
    with database.write() as session:
        session.execute(update(Reconciliation).values(state="retrying", crashes=2))
    clock.advance(29)
    assert untaken(database, clock) == []
    clock.advance(2)
    assert untaken(database, clock) == [Lane.SLOW]
    note_standing_in(database, Lane.SLOW, clock())
    show_worker(database, Lane.FAST, clock())
    assert find_stood_in(database, clock()) == [Lane.SLOW]
    clock.advance(600)  # its worker shows itself only when there is a retry
    assert find_stood_in(database, clock()) == []
