"""When the clock stands in for workers: what is due for long is taken by nobody, and until a worker shows itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from sqlalchemy import update

from tests.support.answers import LEASE, POLICY, claim
from tests.support.clock import FakeClock
from tests.support.work import report
from webhook_app.db.database import Database
from webhook_app.domain.retry_policy import Blame
from webhook_app.models import Reconciliation
from webhook_app.usecases.heartbeats import beat
from webhook_app.usecases.reconcile.claim import claim_due
from webhook_app.usecases.reconcile.standing_in import (
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


def test_a_worker_that_was_just_seen_or_still_claims_is_left_alone(database: Database, clock: FakeClock) -> None:
    for id in ("a", "b"):
        report(database, id, clock())
    clock.advance(60)
    show_worker(database, Lane.FAST, clock())
    assert untaken(database, clock) == []
    clock.advance(11)
    assert untaken(database, clock) == [Lane.FAST]
    assert len(claim_due(database, 1, clock(), LEASE, POLICY.limits)) == 1  # as in a run that lasts
    assert untaken(database, clock) == []
    clock.advance(11)
    beat(database, "worker-fast", clock() + timedelta(hours=1))  # before its clock was set back
    assert untaken(database, clock) == [Lane.FAST]


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
