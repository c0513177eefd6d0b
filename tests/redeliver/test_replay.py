"""Replays: what an order covers, how it is released, what comes of it, and that it can be seen who gave it."""

from __future__ import annotations

import json
import threading
from datetime import timedelta

import pytest
from sqlalchemy import select

from tests.support.clock import FakeClock
from tests.support.events import webhook
from tests.support.sandbox import Sandbox
from webhook_app.db.database import Database
from webhook_app.models import AuditEntry, Event, Reconciliation, Replay
from webhook_app.services import Services
from webhook_app.usecases.audit import Actor
from webhook_app.usecases.receive.ingest import RequestOrigin, ingest_events
from webhook_app.usecases.reconcile.inbox import open_events
from webhook_app.usecases.reconcile.reconciler import Reconciler
from webhook_app.usecases.redeliver.deliveries import DeliveryFilter, find_delivery_story, list_deliveries
from webhook_app.usecases.redeliver.replay import (
    Ordered,
    Selection,
    cancel_replay,
    order_replay,
    preview_replay,
    replay_from_rq,
)
from webhook_app.usecases.redeliver.replay_release import release_replays
from webhook_app.usecases.redeliver.replay_reports import list_items, report_progress
from webhook_app.usecases.refusals import Conflict, Refused
from webhook_app.web.receive.event_schema import parse_event

ANNA = Actor("anna", "page")
FAILED = Selection(wanted=DeliveryFilter(state="failed"))


def _ingest(services: Services, merchant_transaction_id: str) -> int:
    event = parse_event(_body(merchant_transaction_id))
    (accepted,) = ingest_events(services.database, [(event, RequestOrigin(services.clock(), None, {}))])
    open_events(services.database, 1000, services.clock())
    return accepted.event_id


def _body(merchant_transaction_id: str) -> bytes:
    return json.dumps(webhook(merchant_transaction_id=merchant_transaction_id)).encode()


def _reconcile(reconciler: Reconciler) -> None:
    reconciler.reconcile_due(threads=8, max_seconds=10, stopping=lambda: False, grace=1)


@pytest.fixture
def failed(services: Services, reconciler: Reconciler, sandbox: Sandbox) -> list[int]:
    """Three deliveries that failed, for Proof did not know their ids; now it does."""
    ids = [_ingest(services, f"t-{number}") for number in range(3)]
    _reconcile(reconciler)
    for number in range(3):
        sandbox.control.create(f"t-{number}")
    return ids


def test_replay_of_all_that_match_succeeds_and_is_audited(
    services: Services, reconciler: Reconciler, failed: list[int], clock: FakeClock
) -> None:
    clock.advance(60)
    ordered = order_replay(services.database, FAILED, ANNA, "Proof has them now", clock())
    assert (ordered.matched, ordered.replayed, ordered.skipped) == (3, 3, ())
    clock.advance(1)
    _reconcile(reconciler)
    assert ordered.replay_id is not None
    progress = report_progress(services.database, ordered.replay_id)
    assert progress is not None
    assert (progress.succeeded, progress.failed, progress.waiting, progress.under_way) == (3, 0, 0, 0)
    assert progress.is_settled
    with services.database.read() as session:
        entry = session.scalars(select(AuditEntry)).one()
        assert (entry.actor, entry.via, entry.reason) == ("anna", "page", "Proof has them now")
        assert entry.details["filter"] == {"state": "failed"}


def test_replay_that_fails_again_can_be_replayed_again(
    services: Services, reconciler: Reconciler, clock: FakeClock
) -> None:
    event_id = _ingest(services, "nobody")
    _reconcile(reconciler)
    for _ in range(3):
        clock.advance(60)
        ordered = order_replay(services.database, Selection((event_id,)), ANNA, "again", clock())
        assert ordered.replayed == 1
        clock.advance(1)
        _reconcile(reconciler)
        items = list_items(services.database, ordered.replay_id or 0, 10).items
        assert [(item.state, item.detail) for item in items] == [("failed", "404 not_found")]
    story = find_delivery_story(services.database, event_id)
    assert story is not None
    assert len(story.attempts) == 4
    assert len(story.replays) == 3


def test_preview_changes_nothing_and_says_why_not(
    services: Services, reconciler: Reconciler, failed: list[int], clock: FakeClock
) -> None:
    succeeded = _ingest(services, "550e8400-e29b-41d4-a716-446655440000")
    _reconcile(reconciler)
    pending = _ingest(services, "t-new")
    ordered = preview_replay(services.database, Selection((*failed, succeeded, pending, 999)))
    assert (ordered.matched, ordered.replayed) == (5, 3)
    why = {skipped.id: skipped.why for skipped in ordered.skipped}
    assert why.keys() == {succeeded, pending, 999}
    assert "succeeded" in why[succeeded]
    assert "about to be tried" in why[pending]
    assert "no such" in why[999]
    with services.database.read() as session:
        assert session.scalars(select(Replay)).all() == []


def test_release_keeps_to_its_rate_and_can_be_cancelled(
    services: Services, reconciler: Reconciler, clock: FakeClock
) -> None:
    for number in range(10):
        _ingest(services, f"gone-{number}")
    _reconcile(reconciler)
    clock.advance(60)
    ordered = order_replay(services.database, FAILED, ANNA, "slowly", clock(), per_second=3)
    assert ordered.replay_id is not None
    assert release_replays(services.database, clock()) == 0, "this second's share has gone out with the order"
    clock.advance(1)
    assert release_replays(services.database, clock()) == 3
    clock.advance(1)
    assert cancel_replay(services.database, ordered.replay_id, Actor("ben", "api"), clock()) == 4
    progress = report_progress(services.database, ordered.replay_id)
    assert progress is not None
    assert (progress.under_way, progress.skipped, progress.waiting) == (6, 4, 0)
    assert release_replays(services.database, clock() + timedelta(seconds=5)) == 0
    with pytest.raises(Conflict, match="nothing to cancel"):
        cancel_replay(services.database, ordered.replay_id, ANNA, clock())


def test_a_clock_that_is_set_back_does_not_stop_a_replay(
    services: Services, reconciler: Reconciler, clock: FakeClock
) -> None:
    for number in range(6):
        _ingest(services, f"gone-{number}")
    _reconcile(reconciler)
    clock.advance(60)
    order_replay(services.database, FAILED, ANNA, "slowly", clock(), per_second=3)
    clock.advance(-3600)
    assert release_replays(services.database, clock()) == 3
    assert release_replays(services.database, clock()) == 0, "the rate holds by the clock as it is now"


def test_transaction_that_succeeded_before_its_release_is_skipped(
    services: Services, reconciler: Reconciler, failed: list[int], clock: FakeClock
) -> None:
    clock.advance(60)
    ordered = order_replay(services.database, FAILED, ANNA, "slowly", clock(), per_second=1)
    with services.database.write() as session:
        for row in session.scalars(select(Reconciliation).where(Reconciliation.state == "failed")):
            row.state = "succeeded"
    clock.advance(1)
    release_replays(services.database, clock())
    clock.advance(1)
    release_replays(services.database, clock())
    progress = report_progress(services.database, ordered.replay_id or 0)
    assert progress is not None
    assert (progress.skipped, progress.waiting) == (2, 0)
    assert progress.replay.released_at is not None
    assert progress.finished_at is None  # the first one is under way


@pytest.mark.parametrize(
    ("selection", "why"),
    [
        (Selection(), "ids"),
        (Selection(wanted=DeliveryFilter()), "every delivery"),
        (Selection(tuple(range(1, 1002))), "At most"),
    ],
)
def test_order_that_makes_no_sense_is_refused(database: Database, selection: Selection, why: str) -> None:
    with pytest.raises(Refused, match=why):
        preview_replay(database, selection)


def test_requeue_in_rq_is_a_replay_like_any_other(
    services: Services, reconciler: Reconciler, failed: list[int], clock: FakeClock
) -> None:
    clock.advance(60)
    assert replay_from_rq(services.database, "t-0", Actor("anna", "rq"), "requeued", clock())
    applied = reconciler.reconcile_one("t-0")
    assert applied is not None
    assert applied.failure is None
    assert not replay_from_rq(services.database, "t-0", Actor("anna", "rq"), "requeued", clock())


def test_retrying_one_is_brought_forward_with_a_full_budget(
    services: Services, reconciler: Reconciler, sandbox: Sandbox, clock: FakeClock
) -> None:
    sandbox.control.create("slow")
    sandbox.control.inject("publish_failed", transaction="slow")
    event_id = _ingest(services, "slow")
    _reconcile(reconciler)
    ordered = order_replay(services.database, Selection((event_id,)), ANNA, "now, please", clock())
    assert ordered.replayed == 1
    _reconcile(reconciler)
    with services.database.read() as session:
        event = session.get_one(Event, event_id)
        assert event.delivery == "succeeded"


def test_deliveries_are_listed_by_their_last_error(
    services: Services, reconciler: Reconciler, failed: list[int]
) -> None:
    _ingest(services, "550e8400-e29b-41d4-a716-446655440000")
    page = list_deliveries(services.database, DeliveryFilter(error="not_found"), 2)
    assert [item.id for item in page.items] == failed[:0:-1]
    assert page.next_after == failed[1]
    rest = list_deliveries(services.database, DeliveryFilter(error="not_found"), 2, page.next_after)
    assert [item.id for item in rest.items] == failed[:1]
    assert rest.next_after is None


def test_state_of_a_replays_item_stays_when_a_later_one_succeeds(
    services: Services, reconciler: Reconciler, sandbox: Sandbox, clock: FakeClock
) -> None:
    event_id = _ingest(services, "late")
    _reconcile(reconciler)
    clock.advance(60)
    first = order_replay(services.database, Selection((event_id,)), ANNA, "too early", clock())
    clock.advance(1)
    _reconcile(reconciler)
    sandbox.control.create("late")
    clock.advance(60)
    second = order_replay(services.database, Selection((event_id,)), ANNA, "now", clock())
    before = report_progress(services.database, first.replay_id or 0)
    assert before is not None
    assert (before.failed, before.is_settled) == (1, True), "while the second one is under way"
    _reconcile(reconciler)
    states = [list_items(services.database, one.replay_id or 0, 10).items[0].state for one in (first, second)]
    assert states == ["failed", "succeeded"]


def test_order_given_twice_covers_nothing_twice(services: Services, reconciler: Reconciler, clock: FakeClock) -> None:
    for number in range(5):
        _ingest(services, f"twice-{number}")
    _reconcile(reconciler)
    orders: list[Ordered] = []

    def order() -> None:
        orders.append(order_replay(services.database, FAILED, ANNA, "impatient", clock(), per_second=1))

    threads = [threading.Thread(target=order) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ordered.replayed for ordered in orders) == [0, 0, 0, 5]
    why = preview_replay(services.database, FAILED).skipped
    assert len(why) == 4, "one has been released"
    assert all("waits in replay" in skipped.why for skipped in why)
