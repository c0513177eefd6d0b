"""Events move on with their reconciliations, in sets, and what has the value already is not rewritten."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, update
from sqlalchemy.orm import Session

from tests.support.answers import NOT_FOUND, answer, claim, confirmed
from tests.support.clock import START, FakeClock
from tests.support.example_rows import EVENT
from tests.support.listening import listening
from tests.support.work import events, report, row, run_fast
from webhook_app.db.database import Database
from webhook_app.domain.status import Status
from webhook_app.models import Event, Reconciliation
from webhook_app.models.event import Delivery
from webhook_app.usecases.reconcile import settle
from webhook_app.usecases.reconcile.inbox import open_events
from webhook_app.usecases.reconcile.reconciler import Reconciler
from webhook_app.usecases.reconcile.settle import follow_up, move_events, settle_events


def rewritten(database: Database, work: Callable[[Session], None]) -> int:
    """How many rows the statements of `work` have changed."""
    counts = []

    def count(_connection: Any, cursor: Any, _statement: str, *_: Any) -> None:
        counts.append(max(cursor.rowcount, 0))  # SQLite gives -1 where nothing can be counted

    with listening(database, "after_cursor_execute", count), database.write() as session:
        work(session)
    return sum(counts)


def deliveries(database: Database, name: str) -> list[str]:
    return [one.delivery for one in events(database, name)]


def settle_up_to(database: Database, name: str, generation: int, now: datetime) -> None:
    """As if Proof had confirmed the transaction to a claim of that generation."""
    with database.write() as session:
        session.execute(
            update(Reconciliation)
            .where(Reconciliation.merchant_transaction_id == name)
            .values(settled_generation=generation, reconciled_at=now)
        )


def flood(database: Database, name: str, count: int) -> None:
    """So many events of one transaction, as anybody may post them."""
    values = EVENT | {"merchant_transaction_id": name, "is_opened": False}
    with database.write() as session:
        session.execute(insert(Event), [values | {"updated_at_key": f"forged {number}"} for number in range(count)])
    open_events(database, count, START)


def report_two(database: Database, name: str, now: datetime) -> list[int]:
    return [report(database, name, now, updated_at=now + timedelta(seconds=number)).event_id for number in range(2)]


def test_each_transaction_gets_its_own_state_and_what_has_it_is_left_alone(
    database: Database, clock: FakeClock
) -> None:
    for name in ("a", "b", "other"):
        report_two(database, name, clock())
    moves = {"a": Delivery.RETRYING, "b": Delivery.FAILED}
    assert rewritten(database, lambda session: move_events(session, moves)) == 4
    assert [deliveries(database, name) for name in ("a", "b", "other")] == [
        ["retrying"] * 2,
        ["failed"] * 2,
        ["pending"] * 2,
    ]
    report(database, "a", clock())
    assert rewritten(database, lambda session: move_events(session, moves)) == 1
    assert rewritten(database, lambda session: move_events(session, moves)) == 0


def test_settled_events_are_settled_once_and_stay_so(database: Database, clock: FakeClock) -> None:
    report_two(database, "t", clock())
    settle_up_to(database, "t", 2, clock())
    assert rewritten(database, lambda session: settle_events(session, ["t"])) == 2
    settle_up_to(database, "t", 2, clock() + timedelta(seconds=60))
    assert rewritten(database, lambda session: settle_events(session, ["t"])) == 0
    assert {one.settled_at for one in events(database, "t")} == {clock()}


def test_newest_event_fails_only_where_no_other_shows_that_its_transaction_gave_up(
    database: Database, clock: FakeClock
) -> None:
    for name in ("hidden", "shown"):
        report_two(database, name, clock())
    settle_up_to(database, "shown", 1, clock())
    settle_up_to(database, "hidden", 2, clock())
    with database.write() as session:
        settle_events(session, ["shown", "hidden"])
        move_events(session, {"shown": Delivery.FAILED, "hidden": Delivery.FAILED, "unknown": Delivery.FAILED})
    assert deliveries(database, "shown") == ["succeeded", "failed"]
    assert deliveries(database, "hidden") == ["succeeded", "failed"]
    assert events(database, "hidden")[1].settled_at is None


def test_only_those_in_the_named_states_move(database: Database, clock: FakeClock) -> None:
    report_two(database, "t", clock())
    with database.write() as session:
        move_events(session, {"t": Delivery.FAILED})
    report(database, "t", clock())
    with database.write() as session:
        move_events(session, {"t": Delivery.RETRYING}, moved=(Delivery.FAILED,))
    assert deliveries(database, "t") == ["retrying", "retrying", "pending"]


@pytest.mark.parametrize("fails", [False, True])
def test_flood_of_events_of_one_transaction_follows_in_portions(
    database: Database, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    """No answer holds its locks until all of them are written; a process that dies in between loses nothing."""
    monkeypatch.setattr(settle, "PORTION", 40)
    flood(database, "t", 100)
    report(database, "u", clock())
    result = NOT_FOUND if fails else confirmed(Status.COMPLETED, clock())
    moved = [rewritten_events(database, lambda: answer(database, clock, claim(database, clock), result))]
    while row(database, "t").has_events_behind:
        moved.append(rewritten_events(database, lambda: follow_up(database, 1)))
    assert moved == [40, 40, 20]
    assert set(deliveries(database, "t")) == {"failed" if fails else "succeeded"}
    assert deliveries(database, "u") == ["pending"]
    assert follow_up(database, 10) == 0


def test_event_that_comes_while_others_follow_is_not_settled_with_them(
    database: Database, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settle, "PORTION", 40)
    flood(database, "t", 100)
    answer(database, clock, claim(database, clock), confirmed(Status.COMPLETED, clock()))
    report(database, "t", clock(), status="failed")
    assert follow_up(database, 10) == 60
    assert deliveries(database, "t") == ["succeeded"] * 100 + ["pending"]


def test_what_gave_up_while_others_follow_stays_seen(
    database: Database, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settle, "PORTION", 40)
    flood(database, "t", 100)
    answer(database, clock, claim(database, clock), confirmed(Status.PENDING, clock()))
    clock.advance(60)
    answer(database, clock, claim(database, clock), NOT_FOUND)
    follow_up(database, 10)
    assert "failed" in deliveries(database, "t")
    assert set(deliveries(database, "t")) == {"succeeded", "failed"}


def test_worker_lets_events_follow(
    database: Database, reconciler: Reconciler, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settle, "PORTION", 40)
    flood(database, "t", 70)
    answer(database, clock, claim(database, clock), confirmed(Status.COMPLETED, clock()))
    run_fast(reconciler)
    assert set(deliveries(database, "t")) == {"succeeded"}


def rewritten_events(database: Database, work: Callable[[], object]) -> int:
    """How many events the statements of `work` have changed."""
    counts = []

    def count(_connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("UPDATE events SET delivery"):
            counts.append(max(cursor.rowcount, 0))

    with listening(database, "after_cursor_execute", count):
        work()
    return sum(counts)
