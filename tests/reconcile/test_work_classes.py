"""Work classes: who belongs to which, each found by its own index, and none takes another's share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select, text, update

from tests.support.answers import NOT_FOUND, answer, confirmed
from tests.support.class_rows import OF_CLASS, put
from tests.support.clock import START, FakeClock
from tests.support.plans import explained
from tests.support.work import report, row
from webhook_app.db.database import Database
from webhook_app.domain.gate import SHORT_CALL_SECONDS, Limits
from webhook_app.domain.shares import SHARES, WorkClass
from webhook_app.domain.status import Status
from webhook_app.models import Reconciliation
from webhook_app.models.reconciliation import AskedBy, State
from webhook_app.usecases.audit import Actor
from webhook_app.usecases.reconcile.claim import Claim, Room, claim_due
from webhook_app.usecases.reconcile.lifecycle.asking import ask_for_reconciliations
from webhook_app.usecases.reconcile.work_classes import class_of, in_class
from webhook_app.usecases.redeliver.replay import replay_from_rq

LEASE = timedelta(seconds=28)
WIDE = Limits(calls_per_second=100_000, concurrency=1000)
FIRST, RETRY, POLL, HANGING, STRANGER, BACKFILL = WorkClass


def ask(database: Database, *ids: str, unvouched: Sequence[str] = ()) -> None:
    with database.write() as session:
        ask_for_reconciliations(session, dict.fromkeys(ids, START), unvouched)


def by_class(claims: Sequence[Claim]) -> Counter[WorkClass]:
    return Counter(claim.work_class for claim in claims)


# Who belongs to which


def test_sql_and_python_agree_on_the_class_of_every_row(database: Database) -> None:
    cases = [
        (state, asked_by, last_code)
        for state in (State.PENDING, State.RETRYING, State.WATCHING, State.SUCCEEDED)
        for asked_by in (*AskedBy, "later_release")
        for last_code in (None, "timeout", "provider_error", "")
    ]
    for number, (state, asked_by, last_code) in enumerate(cases):
        put(database, f"{number}-", 1, state=state, asked_by=asked_by, last_code=last_code)
    for work_class in WorkClass:
        with database.read() as session:
            found = session.execute(
                select(Reconciliation.state, Reconciliation.asked_by, Reconciliation.last_code).where(
                    in_class(work_class)
                )
            ).all()
        assert {tuple(one) for one in found} == {case for case in cases if class_of(*case) is work_class}


def test_id_that_nobody_vouches_for_is_a_stranger_until_it_is_known(database: Database, clock: FakeClock) -> None:
    ask(database, "t", unvouched=["t"])
    assert row(database, "t").asked_by == AskedBy.STRANGER
    ask(database, "t", unvouched=["t"])
    assert row(database, "t").asked_by == AskedBy.STRANGER
    (held,) = claim_due(database, 8, clock(), LEASE, WIDE)
    assert held.work_class is STRANGER
    answer(database, clock, held, confirmed(Status.PENDING, clock()))
    assert row(database, "t").asked_by == AskedBy.EVENT, "Proof has confirmed it"
    ask(database, "t", unvouched=["t"])
    assert row(database, "t").asked_by == AskedBy.EVENT


def test_stranger_of_which_a_vouched_event_comes_is_known(database: Database, clock: FakeClock) -> None:
    ask(database, "t", unvouched=["t"])
    report(database, "t", clock())
    assert row(database, "t").asked_by == AskedBy.EVENT
    ask(database, "t", unvouched=["t"])
    assert row(database, "t").asked_by == AskedBy.EVENT


def test_replay_is_no_first_look(database: Database, clock: FakeClock) -> None:
    report(database, "t", clock())
    (held,) = claim_due(database, 8, clock(), LEASE, WIDE)
    answer(database, clock, held, NOT_FOUND)
    assert replay_from_rq(database, "t", Actor("anna", "rq"), "again", clock())
    with database.write() as session:
        session.execute(update(Reconciliation).values(state=State.PENDING))
    (held,) = claim_due(database, 8, clock(), LEASE, WIDE)
    assert (held.work_class, row(database, "t").asked_by) == (RETRY, AskedBy.PERSON)
    answer(database, clock, held, confirmed(Status.COMPLETED, clock()))
    assert row(database, "t").asked_by == AskedBy.EVENT


# Shares


@pytest.mark.parametrize("greedy", WorkClass)
def test_no_class_takes_anothers_share_of_calls_a_second(
    database: Database, clock: FakeClock, greedy: WorkClass
) -> None:
    limits = Limits(calls_per_second=20, concurrency=1000)
    put(database, "greedy", 100, due=3600, **OF_CLASS[greedy])
    claim_due(database, 1000, clock(), LEASE, limits)
    for work_class in WorkClass:
        put(database, f"{work_class}-", 2, due=4, **OF_CLASS[work_class])
    claimed = by_class(claim_due(database, 1000, clock(), LEASE, limits))
    kept = {one: min(2, max(1, int(SHARES[one].rate * 20))) for one in WorkClass}
    assert claimed == {one: count for one, count in kept.items() if one is not greedy}


def test_class_that_is_alone_gets_all_that_comes(database: Database, clock: FakeClock) -> None:
    limits = Limits(calls_per_second=20, concurrency=1000)
    put(database, "poll", 200, state=State.WATCHING)
    claimed = len(claim_due(database, 1000, clock(), LEASE, limits))
    for _ in range(20):
        clock.advance(0.1)
        claimed += len(claim_due(database, 1000, clock(), LEASE, limits))
    assert 40 <= claimed <= 60


def test_where_first_looks_are_behind_some_of_the_newest_are_called(database: Database, clock: FakeClock) -> None:
    put(database, "old-", 100, due=60, **OF_CLASS[FIRST])
    put(database, "new-", 1, due=0, **OF_CLASS[FIRST])
    called = [one.merchant_transaction_id for one in claim_due(database, 8, clock(), LEASE, WIDE)]
    assert "new-0" in called
    assert sum(id.startswith("old-") for id in called) == len(called) - 1, "the others keep most of the places"
    clock.advance(0.000001)  # in turns, for as few as one may be admitted
    assert len(claim_due(database, 1, clock(), LEASE, WIDE)) == 1


@pytest.mark.parametrize("microseconds", [0, 1])
def test_where_first_looks_hang_what_has_just_come_needs_one_place_that_is_given_back(
    database: Database, clock: FakeClock, microseconds: int
) -> None:
    """The simulator's seed 13, long: of eight places six may be held by first looks, and three are given back soon."""
    limits = Limits(calls_per_second=100_000, concurrency=8, call_seconds=13)
    clock.advance(microseconds / 1_000_000)
    for number in range(20):
        put(database, f"hangs-{number}-", 1, due=3 - number / 100, **OF_CLASS[FIRST])
    assert Counter(one.patience for one in claim_due(database, 8, clock(), LEASE, limits)) == {
        None: 3,
        SHORT_CALL_SECONDS: 3,
    }
    for number in range(3):  # several have come since
        put(database, f"well-{number}-", 1, due=-0.5 * number, **OF_CLASS[FIRST])
    clock.advance(SHORT_CALL_SECONDS)
    called = claim_due(database, 8, clock(), LEASE, limits)
    assert {one.merchant_transaction_id for one in called} == {"well-0-0", "well-1-0", "well-2-0"}
    clock.advance(limits.call_seconds - SHORT_CALL_SECONDS)
    patient = [
        one.merchant_transaction_id for one in claim_due(database, 8, clock(), LEASE, limits) if not one.patience
    ]
    assert sum(id in {f"hangs-{number}-0" for number in range(2, 6)} for id in patient) >= 2, "longest due first"


@pytest.mark.parametrize("greedy", [HANGING, RETRY, POLL, STRANGER])
def test_calls_that_hang_leave_places_to_first_looks(database: Database, clock: FakeClock, greedy: WorkClass) -> None:
    """In the gate, for all workers together, and in the threads of each."""
    limits = Limits(calls_per_second=100_000, concurrency=32, call_seconds=13)
    put(database, "hangs", 100, due=3600, **OF_CLASS[greedy])
    hanging = claim_due(database, 100, clock(), LEASE, limits)
    assert len(hanging) < 32
    put(database, "healthy", 8)
    assert by_class(claim_due(database, 100, clock(), LEASE, limits))[FIRST] == 8


def test_threads_of_a_worker_are_shared_like_the_gate(database: Database, clock: FakeClock) -> None:
    put(database, "hangs", 100, due=3600, **OF_CLASS[HANGING])
    hanging = claim_due(database, 8, clock(), LEASE, WIDE)
    put(database, "healthy", 3)
    claimed = claim_due(database, Room(8, {HANGING: len(hanging)}), clock(), LEASE, WIDE)
    assert by_class(claimed)[FIRST] >= 2


def test_calls_that_hang_at_first_sight_give_their_places_back_soon(database: Database, clock: FakeClock) -> None:
    limits = Limits(calls_per_second=100_000, concurrency=32, call_seconds=13)
    put(database, "hangs", 40)
    first = claim_due(database, 100, clock(), LEASE, limits)
    assert len(first) == 19
    assert Counter(claim.patience for claim in first) == {None: 10, SHORT_CALL_SECONDS: 9}
    clock.advance(SHORT_CALL_SECONDS)
    assert Counter(claim.patience for claim in claim_due(database, 100, clock(), LEASE, limits)) == {
        SHORT_CALL_SECONDS: 9
    }


@pytest.mark.parametrize("work_class", [FIRST, POLL])
def test_what_has_hung_while_all_calls_were_paused_gives_its_place_back_soon(
    database: Database, clock: FakeClock, work_class: WorkClass
) -> None:
    """The simulator's seed 120, long: nobody was charged, so that it stayed of the class and hung for 13 s again."""
    put(database, "hung-", 1, **OF_CLASS[work_class] | {"last_code": "timeout"})
    put(database, "failed-", 1, **OF_CLASS[work_class] | {"last_code": "provider_error"})
    put(database, "retried-", 1, **OF_CLASS[HANGING])
    claimed = {one.merchant_transaction_id: one.patience for one in claim_due(database, 8, clock(), LEASE, WIDE)}
    assert claimed == {"hung-0": SHORT_CALL_SECONDS, "failed-0": None, "retried-0": None}


def test_place_of_a_dead_workers_call_is_free_when_the_call_is_over(database: Database, clock: FakeClock) -> None:
    limits = Limits(calls_per_second=100_000, concurrency=4, call_seconds=13)
    put(database, "t", 12)
    claimed = claim_due(database, 8, clock(), LEASE, limits)
    assert len(claimed) == 4
    clock.advance(12.9)
    assert len(claim_due(database, 8, clock(), LEASE, limits)) == 2, "of those that were not to take long"
    clock.advance(2)
    assert len(claim_due(database, 8, clock(), LEASE, limits)) == 4
    assert row(database, "t0").claim_token is not None, "its lease is longer"


def test_call_that_has_ended_holds_no_place_while_its_answer_is_applied(database: Database, clock: FakeClock) -> None:
    limits = Limits(calls_per_second=100_000, concurrency=4)
    put(database, "t", 12)
    first = claim_due(database, Room(8, {}), clock(), LEASE, limits)
    assert len(first) == 4
    lost = [replace(claim, token="of an earlier claim") for claim in first]
    assert claim_due(database, Room(8, {}, ended=lost), clock(), LEASE, limits) == []
    second = claim_due(database, Room(8, {}, ended=first[:3]), clock(), LEASE, limits)
    assert len(second) == 3
    assert [claim.patience for claim in second] == [SHORT_CALL_SECONDS] * 3, "were the worker to die, all were held"
    assert claim_due(database, Room(8, {}, ended=first[:3]), clock(), LEASE, limits) == []


def test_worker_that_is_about_to_end_its_run_begins_nothing_that_takes_long(
    database: Database, clock: FakeClock
) -> None:
    put(database, "hung", 3, **OF_CLASS[HANGING])
    put(database, "t", 3)
    claimed = claim_due(database, Room(8, {}, is_hurried=True), clock(), LEASE, WIDE)
    assert {(claim.work_class, claim.patience) for claim in claimed} == {(FIRST, SHORT_CALL_SECONDS)}


# Indexes


def test_claims_find_each_class_in_its_own_index(database: Database, clock: FakeClock) -> None:
    for work_class in WorkClass:
        put(database, f"{work_class}-", 1500, **OF_CLASS[work_class])
    if not database.is_sqlite:
        with database.write() as session:
            session.execute(text("ANALYZE"))
    with explained(database) as found:
        claimed = claim_due(database, 100, clock(), LEASE, Limits(calls_per_second=100, concurrency=100))
    assert by_class(claimed).keys() == set(WorkClass)
    plans = "\n".join(one.plan for one in found)
    for work_class in WorkClass:
        assert f"ix_reconciliations_due_{work_class}" in plans
    for one in found:
        if "ORDER BY" in one.statement:
            assert not any(scan in one.plan for scan in ("Seq Scan on reconciliations", "SCAN reconciliations")), one
            assert not any(sort in one.plan for sort in ("TEMP B-TREE", "Sort")), one
