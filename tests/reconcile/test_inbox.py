"""The inbox: the work that events ask for is opened once, in batches, and nobody waits for anybody."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select, text, update

from tests.support.answers import LEASE, NOT_FOUND, POLICY, answer, claim, confirmed
from tests.support.clock import START, FakeClock
from tests.support.example_rows import EVENT, RECONCILIATION
from tests.support.interleave import after_statement, counted_statements
from tests.support.work import events, report, row, rows, run_fast, take_in
from webhook_app.db.database import Database
from webhook_app.domain.status import Status
from webhook_app.models import Event, Reconciliation
from webhook_app.usecases.reconcile import inbox
from webhook_app.usecases.reconcile.apply import apply_calls
from webhook_app.usecases.reconcile.claim import claim_due
from webhook_app.usecases.reconcile.decisions import FinishedCall
from webhook_app.usecases.reconcile.inbox import open_events
from webhook_app.usecases.reconcile.lifecycle.rows import lock
from webhook_app.usecases.reconcile.reconciler import Reconciler
from webhook_app.usecases.reconcile.sweep import find_work

LATER = START + timedelta(minutes=5)


def put(database: Database, **columns: Any) -> None:
    """A reconciliation as work has left it."""
    with database.write() as session:
        session.execute(insert(Reconciliation).values(RECONCILIATION | {"merchant_transaction_id": "t"} | columns))


def opened(database: Database, name: str) -> list[int | None]:
    """The generations under which the events of that transaction were opened."""
    return [event.opened_generation for event in events(database, name)]


def columns_of(row: Reconciliation) -> dict[str, Any]:
    return {column.name: getattr(row, column.name) for column in Reconciliation.__table__.columns}


# What opening does


def test_new_event_opens_a_reconciliation_that_was_due_when_it_came(database: Database) -> None:
    take_in(database, "t", START)
    assert rows(database) == []
    assert open_events(database, 10, LATER) == 1
    reconciliation = row(database, "t")
    assert (reconciliation.state, reconciliation.generation, reconciliation.attempts) == ("pending", 1, 0)
    assert (reconciliation.created_at, reconciliation.next_attempt_at) == (START, START)
    (event,) = events(database, "t")
    assert (event.is_opened, event.opened_generation, event.delivery) == (True, 1, "pending")


def test_events_of_one_transaction_ask_once_and_from_the_first_of_them(database: Database) -> None:
    for minutes in (4, 2, 3):
        at = START + timedelta(minutes=minutes)
        take_in(database, "t", at, updated_at=at)
    assert open_events(database, 10, LATER) == 3
    assert (row(database, "t").created_at, row(database, "t").generation) == (START + timedelta(minutes=2), 1)
    take_in(database, "t", LATER, updated_at=LATER)
    assert open_events(database, 10, LATER) == 1
    assert opened(database, "t") == [1, 1, 1, 2]


def test_work_is_opened_once(database: Database) -> None:
    report(database, "t", START)
    before = columns_of(row(database, "t"))
    assert open_events(database, 10, LATER) == 0
    assert columns_of(row(database, "t")) == before


def test_event_of_a_wall_clock_that_was_set_back_since_is_due_at_once(database: Database) -> None:
    take_in(database, "t", LATER)
    open_events(database, 10, START)
    assert row(database, "t").next_attempt_at == START


def test_oldest_come_first_and_no_more_than_the_limit(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "BATCH", 4)
    for number in range(10):
        take_in(database, f"t{number}", START)
    assert open_events(database, 6, START) == 6
    assert [one.merchant_transaction_id for one in rows(database)] == [f"t{number}" for number in range(6)]
    assert open_events(database, 100, START) == 4


@pytest.mark.parametrize(
    "left",
    [
        {"state": "succeeded", "next_attempt_at": None},
        {"state": "succeeded", "next_attempt_at": LATER + timedelta(hours=1)},
        {"state": "failed", "next_attempt_at": None},
        {"state": "watching", "next_attempt_at": LATER + timedelta(hours=1)},
    ],
    ids=["succeeded", "succeeded-with-a-late-check", "failed", "watching"],
)
def test_new_event_reopens_with_a_full_budget(database: Database, left: dict[str, Any]) -> None:
    put(database, spent_attempts=19, single_retries=1, first_failed_at=START, attempts=30, reconciled_at=START, **left)
    report(database, "t", LATER)
    reconciliation = row(database, "t")
    assert (reconciliation.state, reconciliation.next_attempt_at, reconciliation.generation) == ("pending", LATER, 2)
    assert (reconciliation.spent_attempts, reconciliation.single_retries) == (0, 0)
    assert reconciliation.first_failed_at is None
    assert (reconciliation.attempts, reconciliation.reconciled_at) == (30, START)


@pytest.mark.parametrize(("crashes", "left"), [(5, 2), (1, 1), (0, 0)])
def test_new_event_has_one_that_failed_with_its_workers_tried_alone(
    database: Database, crashes: int, left: int
) -> None:
    put(database, state="failed", next_attempt_at=None, crashes=crashes)
    report(database, "t", START)
    assert row(database, "t").crashes == left


def test_new_event_brings_one_that_backs_off_forward_with_the_budget_that_is_left(database: Database) -> None:
    then = LATER + timedelta(minutes=10)
    backs_off = {"state": "retrying", "next_attempt_at": then, "generation": 4, "settled_generation": 1}
    put(database, **backs_off, spent_attempts=7, single_retries=1, first_failed_at=START)
    report(database, "t", LATER)
    reconciliation = row(database, "t")
    assert (reconciliation.state, reconciliation.next_attempt_at, reconciliation.generation) == ("retrying", LATER, 5)
    assert (reconciliation.spent_attempts, reconciliation.single_retries) == (7, 1)
    assert reconciliation.first_failed_at == START
    report(database, "t", LATER + timedelta(seconds=1), updated_at=START)
    assert row(database, "t").next_attempt_at == LATER, "it is due already"


@pytest.mark.parametrize("why", [{"generation": 6, "settled_generation": 1}, {"last_http_status": 503}])
def test_after_five_events_or_where_proof_has_named_it_one_that_backs_off_keeps_its_time(
    database: Database, why: dict[str, Any]
) -> None:
    then = LATER + timedelta(minutes=10)
    put(database, state="retrying", next_attempt_at=then, spent_attempts=7, first_failed_at=START, **why)
    report(database, "t", LATER)
    assert (row(database, "t").next_attempt_at, row(database, "t").spent_attempts) == (then, 7)


def test_new_event_during_a_fetch_leaves_the_claim_and_raises_the_generation(database: Database) -> None:
    put(database, claim_token="t", lease_until=LATER, crashes=1)
    report(database, "t", START)
    reconciliation = row(database, "t")
    assert (reconciliation.claim_token, reconciliation.lease_until) == ("t", LATER)
    assert (reconciliation.generation, reconciliation.crashes) == (2, 1)


@pytest.mark.parametrize(
    "left",
    [
        {"state": "pending", "next_attempt_at": START},
        {"state": "pending", "next_attempt_at": START, "claim_token": "t", "lease_until": LATER},
        {"state": "retrying", "next_attempt_at": LATER, "spent_attempts": 3, "first_failed_at": START},
        {"state": "watching", "next_attempt_at": LATER},
    ],
    ids=["pending", "fetched", "retrying", "watching"],
)
def test_duplicate_of_an_unfinished_event_never_touches_its_work(database: Database, left: dict[str, Any]) -> None:
    report(database, "t", START)
    with database.write() as session:
        session.execute(update(Reconciliation).values(**left))
    before = columns_of(row(database, "t"))
    assert report(database, "t", LATER).duplicate is True
    assert columns_of(row(database, "t")) == before


# Who sees it


def test_inbox_is_work_for_the_fast_lane(database: Database, clock: FakeClock) -> None:
    assert not find_work(database, clock(), 10).fast_is_due
    take_in(database, "t", clock())
    assert find_work(database, clock(), 10).fast_is_due


def test_worker_opens_what_came_in_and_asks_for_it(
    database: Database, reconciler: Reconciler, clock: FakeClock
) -> None:
    take_in(database, "t", clock())
    assert run_fast(reconciler) == 1
    assert [event.is_opened for event in events(database, "t")] == [True]


def test_worker_opens_what_comes_in_while_it_runs(database: Database, reconciler: Reconciler, clock: FakeClock) -> None:
    take_in(database, "t", clock())
    with after_statement(database, "INSERT INTO attempts", lambda: later.start()):
        later = threading.Thread(target=lambda: take_in(database, "later", clock()))
        run_fast(reconciler, threads=1)
    later.join()
    run_fast(reconciler)
    assert [one.attempts for one in rows(database)] == [1, 1]


# What is settled by an answer


def test_answer_settles_no_event_that_is_not_opened(database: Database, clock: FakeClock) -> None:
    report(database, "t", clock(), updated_at=clock())
    take_in(database, "t", clock(), updated_at=clock() + timedelta(seconds=1))
    answer(database, clock, claim(database, clock), confirmed(Status.COMPLETED, clock()))
    assert [event.delivery for event in events(database, "t")] == ["succeeded", "pending"]


def test_event_with_a_lower_id_that_is_opened_after_the_claim_waits_for_the_next_answer(
    database: Database, clock: FakeClock
) -> None:
    """It was committed late, or somebody had it locked: ids say nothing about the order."""
    with database.write() as session:
        session.execute(
            insert(Event),
            [
                EVENT | {"merchant_transaction_id": "t", "status": status, "is_opened": is_opened}
                for status, is_opened in (("completed", True), ("pending", False))
            ],
        )
    open_events(database, 10, clock())
    held = claim(database, clock)
    with database.write() as session:
        session.execute(update(Event).where(Event.status == "completed").values(is_opened=False))
    open_events(database, 10, clock())
    assert opened(database, "t") == [2, 1]
    (applied,) = answer(database, clock, held, confirmed(Status.PENDING, clock()))
    assert [event.delivery for event in events(database, "t")] == ["pending", "succeeded"]
    assert (applied.state, applied.next_attempt_at) == ("pending", clock())
    answer(database, clock, claim(database, clock), confirmed(Status.COMPLETED, clock()))
    assert [event.delivery for event in events(database, "t")] == ["succeeded", "succeeded"]


def test_failure_moves_no_event_that_is_not_opened(database: Database, clock: FakeClock) -> None:
    report(database, "t", clock(), updated_at=clock())
    take_in(database, "t", clock(), updated_at=clock() + timedelta(seconds=1))
    answer(database, clock, claim(database, clock), NOT_FOUND)
    assert [event.delivery for event in events(database, "t")] == ["failed", "pending"]


def test_late_look_that_gives_up_shows_on_the_newest_event_that_is_opened(database: Database, clock: FakeClock) -> None:
    report(database, "t", clock(), updated_at=clock())
    answer(database, clock, claim(database, clock), confirmed(Status.FAILED, clock()))
    take_in(database, "t", clock(), updated_at=clock() + timedelta(seconds=1))
    clock.advance(700)
    answer(database, clock, claim(database, clock), NOT_FOUND)
    assert [event.delivery for event in events(database, "t")] == ["failed", "pending"]


@pytest.mark.parametrize("asked_again", [False, True])
def test_event_that_a_former_release_has_opened_is_settled_where_nothing_was_asked_since(
    database: Database, clock: FakeClock, asked_again: bool
) -> None:
    """That release counts the generation up with the event's row, and does not say which one it was."""
    put(database, merchant_transaction_id="t")
    with database.write() as session:
        session.execute(insert(Event).values(EVENT | {"merchant_transaction_id": "t"}))
    held = claim(database, clock)
    if asked_again:
        with database.write() as session:
            session.execute(insert(Event).values(EVENT | {"merchant_transaction_id": "t", "updated_at_key": "later"}))
            session.execute(update(Reconciliation).values(generation=2))
    answer(database, clock, held, confirmed(Status.PENDING, clock()))
    assert {event.delivery for event in events(database, "t")} == {"pending" if asked_again else "succeeded"}
    if asked_again:
        answer(database, clock, claim(database, clock), confirmed(Status.PENDING, clock()))
        assert {event.delivery for event in events(database, "t")} == {"succeeded"}


def test_claim_costs_the_same_however_many_events_wait(database: Database, clock: FakeClock) -> None:
    with database.write() as session:
        values = [EVENT | {"merchant_transaction_id": "t", "updated_at_key": str(n)} for n in range(3000)]
        session.execute(insert(Event), [one | {"is_opened": False} for one in values])
    open_events(database, 5000, clock())
    with counted_statements(database) as statements:
        held = claim(database, clock)
    assert not any("FROM events" in statement for statement in statements)
    assert held.generation == row(database, "t").generation


# Locks


def test_any_number_of_events_is_opened_by_as_many_statements_as_one(database: Database) -> None:
    taken = []
    for number in (1, 60):
        for one in range(number):
            take_in(database, f"{number}-{one}", START)
        with counted_statements(database) as statements:
            assert open_events(database, number, START) == number
        taken.append(len(statements))
    assert taken[0] == taken[1]


def test_nothing_is_locked_where_the_inbox_is_empty(database: Database) -> None:
    with counted_statements(database) as statements:
        assert open_events(database, 10, START) == 0
    (look,) = [statement for statement in statements if not statement.startswith("BEGIN")]
    assert "FOR" not in look


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)  # SQLite has one writer at a time
def test_reconciliation_that_somebody_holds_holds_up_no_other(database: Database) -> None:
    put(database, merchant_transaction_id="held")
    for name in ("a", "held", "b"):
        take_in(database, name, START)
    with database.write() as session:
        lock(session, Reconciliation.merchant_transaction_id == "held")
        assert open_events(database, 10, START) == 2
    assert {one.merchant_transaction_id: one.generation for one in rows(database)} == {"a": 1, "b": 1, "held": 1}
    assert open_events(database, 10, START) == 1
    assert row(database, "held").generation == 2


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_event_that_another_process_is_opening_is_left_to_it(database: Database) -> None:
    for name in ("a", "b", "c"):
        take_in(database, name, START)
    with database.write() as session:
        session.execute(text("SELECT 1 FROM events WHERE merchant_transaction_id = 'b' FOR NO KEY UPDATE"))
        assert open_events(database, 10, START) == 2
    assert [one.merchant_transaction_id for one in rows(database)] == ["a", "c"]


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_transaction_that_another_process_is_making_known_holds_up_no_other(database: Database) -> None:
    for name in ("a", "b", "c"):
        take_in(database, name, START)
    with database.write() as session:
        session.execute(insert(Reconciliation).values(RECONCILIATION | {"merchant_transaction_id": "b"}))
        assert open_events(database, 10, START) == 2
    assert open_events(database, 10, START) == 1
    assert {one.merchant_transaction_id: one.generation for one in rows(database)} == {"a": 1, "b": 2, "c": 1}


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_opening_waits_for_no_answer_that_is_applied_and_no_answer_for_it(database: Database, clock: FakeClock) -> None:
    """Each is held where it has its locks, in either order."""
    report(database, "t", clock(), updated_at=clock())
    later = clock() + timedelta(seconds=1)
    take_in(database, "t", clock(), updated_at=later)
    held = claim(database, clock)
    found: list[int] = []
    with after_statement(database, "UPDATE events", lambda: found.append(open_events(database, 10, clock()))):
        answer(database, clock, held, confirmed(Status.PENDING, clock()))
    assert found == [0], "it was not waited for"
    take_in(database, "u", clock())

    def apply() -> None:
        answer(database, clock, claim(database, clock), confirmed(Status.PENDING, clock()))

    with database.write() as session:
        session.execute(
            select(Event.id).where(Event.merchant_transaction_id == "t", ~Event.is_opened).with_for_update()
        )
        clock.advance(60)
        apply()
    open_events(database, 10, clock())
    assert [event.is_opened for event in events(database, "t")] == [True, True]


def test_many_at_once_open_everything_once_and_lose_nothing(database: Database, clock: FakeClock) -> None:
    """Webhooks come in, several processes open, claim and apply, all at the same time."""
    policy = replace(POLICY, limits=replace(POLICY.limits, pause_after=10_000))
    names = [f"t{number}" for number in range(12)]
    moments = [START + timedelta(seconds=number) for number in range(15)]
    come_in = threading.Event()

    def send(part: int) -> None:
        for at in moments[part::2]:
            for name in names:
                take_in(database, name, START, updated_at=at)

    def until_all_came(step: Callable[[], object]) -> None:
        while not come_in.wait(0.002):  # SQLite does not queue its writers: each must let the others in
            step()

    def work(seed: int) -> None:
        rng = random.Random(seed)
        claims = claim_due(database, rng.randint(1, 5), START, LEASE, policy.limits)
        calls = [
            FinishedCall(one, START, START, confirmed(Status.COMPLETED, START, id=one.merchant_transaction_id))
            for one in claims
        ]
        apply_calls(database, calls, START, policy, rng)

    with ThreadPoolExecutor(6) as threads:
        senders = [threads.submit(send, part) for part in range(2)]
        others = [threads.submit(until_all_came, lambda: open_events(database, 50, START)) for _ in range(2)]
        others += [threads.submit(until_all_came, lambda seed=seed: work(seed)) for seed in range(2)]
        for sender in senders:
            sender.result()
        come_in.set()
        for other in others:
            other.result()
    open_events(database, 10_000, START)
    for seed in range(30):
        work(seed)
    assert {one.state for one in rows(database)} == {"succeeded"}
    for name in names:
        found = events(database, name)
        assert [(one.is_opened, one.delivery) for one in found] == [(True, "succeeded")] * len(moments)
        assert max(one.opened_generation or 0 for one in found) == row(database, name).generation
