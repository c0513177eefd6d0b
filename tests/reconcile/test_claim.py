"""Claiming: never the same row twice, no more than the gate admits, and nothing without the token."""

from __future__ import annotations

import random
import threading
from dataclasses import replace
from datetime import timedelta

from sqlalchemy import update

from tests.support.clock import FakeClock
from tests.support.work import events, report, row, rows
from webhook_app.db.database import Database
from webhook_app.domain.failures import Failure
from webhook_app.domain.gate import Gate, Limits
from webhook_app.domain.retry_policy import Blame
from webhook_app.models import Reconciliation
from webhook_app.models.reconciliation import State
from webhook_app.usecases.reconcile.claim import Claim, claim_due, claim_one, hand_back
from webhook_app.usecases.reconcile.inbox import open_events
from webhook_app.usecases.reconcile.stored_gate import lock_gate, read_gate, store_gate

LEASE = timedelta(seconds=20)
WIDE = Limits(calls_per_second=10_000, concurrency=1000)


def open_many(database: Database, count: int, clock: FakeClock) -> None:
    for number in range(count):
        report(database, f"t{number}", clock())


def pause(database: Database, clock: FakeClock) -> None:
    with database.write() as session:
        gate = lock_gate(session)
        store_gate(
            session,
            replace(
                gate,
                blame=Blame.CONFIGURATION,
                failure=Failure(401, "unauthorised", "invalid_token", "no"),
                paused_at=clock(),
                next_probe_at=clock() + timedelta(seconds=5),
            ),
        )


def gate_of(database: Database) -> Gate:
    with database.read() as session:
        return read_gate(session)


def test_rows_are_never_claimed_by_two_claimers(database: Database, clock: FakeClock) -> None:
    open_many(database, 60, clock)
    claimed: list[Claim] = []
    start = threading.Barrier(6)

    def claim(seed: int) -> None:
        rng = random.Random(seed)
        start.wait()
        while batch := claim_due(database, rng.randint(1, 4), clock(), LEASE, WIDE):
            claimed.extend(batch)

    claimers = [threading.Thread(target=claim, args=(seed,)) for seed in range(6)]
    for claimer in claimers:
        claimer.start()
    for claimer in claimers:
        claimer.join()
    assert sorted(claim.reconciliation_id for claim in claimed) == [one.id for one in rows(database)]


def test_one_row_goes_to_one_of_many_claimers_round_after_round(database: Database, clock: FakeClock) -> None:
    report(database, "t", clock())
    for _ in range(25):
        got: list[Claim] = []
        start = threading.Barrier(4)

        def claim(got: list[Claim] = got, start: threading.Barrier = start) -> None:
            start.wait()
            got.extend(claim_due(database, 8, clock(), LEASE, WIDE))

        claimers = [threading.Thread(target=claim) for _ in range(4)]
        for claimer in claimers:
            claimer.start()
        for claimer in claimers:
            claimer.join()
        assert len(got) == 1
        hand_back(database, got)


def test_claims_race_with_ingest_without_deadlock_or_lost_event(database: Database, clock: FakeClock) -> None:
    """Whatever event was opened after a claim has a later generation, so that the answer does not settle it."""
    known: dict[int, list[int]] = {}
    done = threading.Event()

    def opened_by(generation: int) -> list[int]:
        return [one.id for one in events(database, "t") if 0 < (one.opened_generation or 0) <= generation]

    def claim() -> None:
        while not done.is_set():
            claims = claim_due(database, 4, clock(), LEASE, WIDE)
            known.update({one.generation: opened_by(one.generation) for one in claims})
            hand_back(database, claims)

    claimer = threading.Thread(target=claim)
    claimer.start()
    for number in range(60):
        report(database, "t", clock(), updated_at=clock() + timedelta(seconds=number))
    done.set()
    claimer.join()
    open_events(database, 60, clock())
    assert len(opened_by(row(database, "t").generation)) == 60
    assert known, "nothing was claimed meanwhile"
    assert {generation: opened_by(generation) for generation in known} == known


def test_claim_lasts_for_the_lease_and_names_its_generation(database: Database, clock: FakeClock) -> None:
    for number in range(2):
        report(database, "t", clock(), updated_at=clock() + timedelta(seconds=number))
    (claim,) = claim_due(database, 8, clock(), LEASE, WIDE)
    assert claim.generation == 2
    assert row(database, "t").lease_until == clock() + LEASE
    clock.advance(3600)
    assert claim_due(database, 8, clock(), LEASE, WIDE) == []  # the sweep takes it back, no claimer does


def test_longest_due_come_first(database: Database, clock: FakeClock) -> None:
    for name in ("third", "first", "second"):
        report(database, name, clock())
    for seconds, name in enumerate(("first", "second", "third")):
        with database.write() as session:
            session.execute(
                update(Reconciliation)
                .where(Reconciliation.merchant_transaction_id == name)
                .values(next_attempt_at=clock() - timedelta(seconds=10 - seconds))
            )
    claimed = [claim_due(database, 1, clock(), LEASE, WIDE)[0].merchant_transaction_id for _ in range(3)]
    assert claimed == ["first", "second", "third"]


def test_slow_lane_is_claimed_by_id_alone(database: Database, clock: FakeClock) -> None:
    open_many(database, 2, clock)
    with database.write() as session:
        session.execute(
            update(Reconciliation).where(Reconciliation.merchant_transaction_id == "t0").values(state=State.RETRYING)
        )
    assert [one.merchant_transaction_id for one in claim_due(database, 8, clock(), LEASE, WIDE)] == ["t1"]
    assert claim_one(database, "t1", clock(), LEASE, WIDE) is None
    claim = claim_one(database, "t0", clock(), LEASE, WIDE)
    assert claim is not None
    assert claim_one(database, "t0", clock(), LEASE, WIDE) is None


def test_released_claim_is_due_again_and_keeps_its_place(database: Database, clock: FakeClock) -> None:
    report(database, "t", clock())
    due_since = row(database, "t").next_attempt_at
    claims = claim_due(database, 8, clock(), LEASE, WIDE)
    clock.advance(7)
    hand_back(database, claims)
    released = row(database, "t")
    assert (released.claim_token, released.lease_until, released.next_attempt_at) == (None, None, due_since)


def test_release_of_a_claim_that_was_taken_over_does_nothing(database: Database, clock: FakeClock) -> None:
    report(database, "t", clock())
    (lost,) = claim_due(database, 8, clock(), LEASE, WIDE)
    hand_back(database, [lost])
    (held,) = claim_due(database, 8, clock(), LEASE, WIDE)
    hand_back(database, [lost])
    assert row(database, "t").claim_token == held.token


# The gate


def test_calls_per_second_hold_across_claimers(database: Database, clock: FakeClock) -> None:
    open_many(database, 40, clock)
    limits = Limits(calls_per_second=10, concurrency=1000)
    claimed: list[Claim] = []

    def claim() -> None:
        claimed.extend(claim_due(database, 8, clock(), LEASE, limits))

    # One second is worth 4 first looks: what is kept for the other classes is not theirs.
    for expected in (4, 8, 12):
        claimers = [threading.Thread(target=claim) for _ in range(5)]
        for claimer in claimers:
            claimer.start()
        for claimer in claimers:
            claimer.join()
        assert len(claimed) == expected
        clock.advance(0.5 if expected == 4 else 100)


def test_concurrency_holds_across_claimers(database: Database, clock: FakeClock) -> None:
    open_many(database, 20, clock)
    limits = Limits(calls_per_second=10_000, concurrency=6)
    first = claim_due(database, 4, clock(), LEASE, limits)
    second = claim_due(database, 4, clock(), LEASE, limits)
    assert (len(first), len(second)) == (4, 2)
    assert claim_due(database, 4, clock(), LEASE, limits) == []
    hand_back(database, first)
    assert len(claim_due(database, 8, clock(), LEASE, limits)) == 4


def test_admitted_calls_that_found_no_row_are_given_back(database: Database, clock: FakeClock) -> None:
    report(database, "t", clock())
    claim_due(database, 8, clock(), LEASE, Limits(calls_per_second=10, concurrency=100))
    assert gate_of(database).tokens == 10  # of 11: at so low a rate each class has a whole call put by


def test_while_paused_nobody_calls_before_the_probe_is_due(database: Database, clock: FakeClock) -> None:
    open_many(database, 5, clock)
    pause(database, clock)
    clock.advance(4.9)
    assert claim_due(database, 8, clock(), LEASE, WIDE) == []


def test_while_paused_one_probe_goes_out_however_many_ask(database: Database, clock: FakeClock) -> None:
    open_many(database, 20, clock)
    pause(database, clock)
    for gap in (5, 10, 20, 40, 60, 60, 60):  # doubles, up to the cap
        clock.advance(gap)
        probes: list[Claim] = []

        def claim(probes: list[Claim] = probes) -> None:
            probes.extend(claim_due(database, 8, clock(), LEASE, WIDE))

        claimers = [threading.Thread(target=claim) for _ in range(4)]
        for claimer in claimers:
            claimer.start()
        for claimer in claimers:
            claimer.join()
        assert len(probes) == 1
        clock.advance(-0.1)
        assert claim_due(database, 8, clock(), LEASE, WIDE) == []
        clock.advance(0.1)


def test_probe_that_found_no_row_is_not_used_up(database: Database, clock: FakeClock) -> None:
    report(database, "t", clock())
    pause(database, clock)
    clock.advance(5)
    assert claim_one(database, "another", clock(), LEASE, WIDE) is None
    assert len(claim_due(database, 8, clock(), LEASE, WIDE)) == 1
