"""Events move on with their reconciliations, in sets, and what has the value already is not rewritten."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from tests.support.clock import FakeClock
from tests.support.listening import listening
from tests.support.work import events, report
from webhook_app.db.database import Database
from webhook_app.models.event import Delivery
from webhook_app.usecases.reconcile.settle import Settled, move_events, settle_events


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
    settled = [Settled("t", 2, is_latest=True)]
    assert rewritten(database, lambda session: settle_events(session, settled, clock())) == 2
    clock.advance(60)
    assert rewritten(database, lambda session: settle_events(session, settled, clock())) == 0
    assert {one.settled_at for one in events(database, "t")} == {clock() - timedelta(seconds=60)}


def test_newest_event_fails_only_where_no_other_shows_that_its_transaction_gave_up(
    database: Database, clock: FakeClock
) -> None:
    for name in ("hidden", "shown"):
        report_two(database, name, clock())
    with database.write() as session:
        settle_events(session, [Settled("shown", 1, is_latest=False), Settled("hidden", 2, is_latest=True)], clock())
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
