"""A delivery whose work is not opened yet is listed, shown and told of in a replay like any other that is pending."""

from __future__ import annotations

from datetime import timedelta

from flask.testing import FlaskClient
from sqlalchemy import select

from tests.support.clock import START, FakeClock
from tests.support.page_text import in_words
from tests.support.rows import WALLET, seed
from tests.support.unopened import add_unopened, open_work
from webhook_app.db.database import Database
from webhook_app.models import Receipt, ReplayItem
from webhook_app.models.role import Role
from webhook_app.usecases.access.tokens import create_token
from webhook_app.usecases.audit import Actor
from webhook_app.usecases.redeliver.deliveries import DeliveryFilter, find_delivery_story, list_deliveries
from webhook_app.usecases.redeliver.replay import Selection, order_replay, preview_replay

ANNA = Actor("anna", "page")
LATER = START + timedelta(minutes=3)


def test_it_is_in_the_list_without_a_reconciliation(client: FlaskClient, database: Database, clock: FakeClock) -> None:
    seed(database, "known", "failed", failure=WALLET)
    event_id = add_unopened(database, "new", LATER)
    headers = {"Authorization": f"Bearer {create_token(database, 'ops', Role.ADMIN, clock())}"}
    told = client.get("/api/v1/deliveries", headers=headers).json["items"]
    assert [(one["merchant_transaction_id"], one["state"]) for one in told] == [("new", "pending"), ("known", "failed")]
    assert told[0]["id"] == event_id
    assert (told[0]["attempts"], told[0]["next_attempt_at"], told[0]["last_error"]) == (0, "2026-04-01T12:03:00Z", None)
    for query, names in [
        ("state=pending", ["new"]),
        ("error=wallet_not_supported", ["known"]),
        ("merchant_transaction_id=new", ["new"]),
        ("received_from=2026-04-01T12:01:00Z", ["new"]),
    ]:
        listed = client.get(f"/api/v1/deliveries?{query}", headers=headers).json["items"]
        assert [one["merchant_transaction_id"] for one in listed] == names, query


def test_pages_of_deliveries_have_it_and_stay_while_it_is_opened(database: Database) -> None:
    ids = [add_unopened(database, f"t-{number}") for number in range(5)]
    first = list_deliveries(database, DeliveryFilter(state="pending"), 2)
    open_work(database, "t-0", "t-3", "t-4")
    add_unopened(database, "t-9")
    second = list_deliveries(database, DeliveryFilter(state="pending"), 9, first.next_after)
    assert [one.id for one in (*first.items, *second.items)] == ids[::-1]


def test_page_tells_its_story_with_the_receipt_in_its_row(admin_client: FlaskClient, database: Database) -> None:
    event_id = add_unopened(database, "new")
    with database.write() as session:
        for body in (None, b"[]"):
            session.add(
                Receipt(event_id=event_id, received_at=LATER, headers={}, remote_addr="198.51.100.1", body=body)
            )
    words = in_words(admin_client.get(f"/deliveries/{event_id}").text)
    assert "by webhook, 3 times" in words
    assert "Received from 203.0.113.7 Proof-Webhooks/1.0" in words
    assert words.count("Received again from 198.51.100.1") == 2
    assert words.count("with other bytes in the body") == 1
    assert words.index("Received from") < words.index("Received again")
    assert "State pending Attempts 0 Next attempt" in words
    assert "A replay would change nothing now: it is about to be tried anyway." in words
    assert "of them are in SQL" not in words


def test_receipts_of_a_former_release_stand_in_their_own_rows(database: Database) -> None:
    event_id = add_unopened(database, "old", headers=None, remote_addr=None)
    with database.write() as session:
        for minutes in (0, 1):
            at = START + timedelta(minutes=minutes)
            session.add(Receipt(event_id=event_id, received_at=at, headers={}, remote_addr=f"198.51.100.{minutes}"))
    story = find_delivery_story(database, event_id)
    assert story is not None
    assert story.receipt_count == 2
    assert [(one.remote_addr, one.is_first) for one in story.receipts] == [
        ("198.51.100.0", True),
        ("198.51.100.1", False),
    ]


def test_of_many_receipts_the_first_and_the_newest_are_shown(database: Database) -> None:
    event_id = add_unopened(database, "new")
    with database.write() as session:
        session.add_all(
            Receipt(event_id=event_id, received_at=LATER, headers={}, remote_addr=f"::{number}")
            for number in range(300)
        )
    story = find_delivery_story(database, event_id)
    assert story is not None
    assert (story.receipt_count, len(story.receipts)) == (301, 200)
    assert [one.remote_addr for one in (story.receipts[0], *story.receipts[-1:])] == ["203.0.113.7", "::299"]
    assert [one.is_first for one in story.receipts[:2]] == [True, False]


def test_story_tells_the_state_that_is_shown_of_its_transaction(database: Database) -> None:
    seed(database, "known", "failed", failure=WALLET)
    (delivery,) = list_deliveries(database, DeliveryFilter(), 9).items
    add_unopened(database, "known", LATER, status="completed")
    story = find_delivery_story(database, delivery.id)
    assert story is not None
    assert (story.reconciliation.state, story.reconciliation.next_attempt_at) == ("pending", LATER)
    assert story.delivery.state == "failed", "until its work is opened"


def test_replay_says_that_it_is_about_to_be_tried_anyway(database: Database, clock: FakeClock) -> None:
    new = add_unopened(database, "new")
    seed(database, "failed", "failed", failure=WALLET)
    of_failed = add_unopened(database, "failed", status="completed")
    seed(database, "retrying", "retrying", failure=WALLET)
    of_retrying = add_unopened(database, "retrying", status="completed")
    selection = Selection((new, of_failed, of_retrying))
    preview = preview_replay(database, selection)
    assert (preview.matched, preview.replayed) == (3, 1)
    assert {one.id: one.why for one in preview.skipped} == dict.fromkeys(
        (new, of_failed), "it is about to be tried anyway"
    )
    ordered = order_replay(database, selection, ANNA, "now", clock())
    assert (ordered.matched, ordered.replayed) == (3, 1)
    with database.read() as session:
        assert len(session.scalars(select(ReplayItem)).all()) == 1
    nothing = order_replay(database, Selection(wanted=DeliveryFilter(state="pending")), ANNA, "again", clock())
    assert (nothing.replayed, nothing.replay_id) == (0, None)


def test_failed_delivery_is_replayed_though_another_event_waits(database: Database, clock: FakeClock) -> None:
    seed(database, "t", "failed", failure=WALLET)
    add_unopened(database, "t", status="completed")
    ordered = order_replay(database, Selection(wanted=DeliveryFilter(state="failed")), ANNA, "mended", clock())
    assert (ordered.matched, ordered.replayed) == (1, 1)
    assert [one.state for one in list_deliveries(database, DeliveryFilter(), 9).items] == ["pending", "pending"]
