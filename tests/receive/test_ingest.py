"""Ingest: an event is committed once, as one row, and a copy of it is a receipt."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, insert, select, text
from sqlalchemy.exc import DBAPIError

from tests.support.clock import START
from tests.support.events import DOCUMENTED_ID, webhook
from tests.support.interleave import counted_statements
from tests.support.uncounted import Uncounted
from webhook_app.db.database import Database
from webhook_app.models import Event, Receipt, Reconciliation, Rejection
from webhook_app.usecases.receive.copies import MOST_REPORTS
from webhook_app.usecases.receive.ingest import (
    Accepted,
    RequestOrigin,
    ingest_event,
    ingest_events,
    ingest_in_turn,
)
from webhook_app.usecases.receive.rejections import MAX_REJECTED_BODY, MAX_REJECTIONS, RefusedRequest, Rejections
from webhook_app.web.receive.event_schema import parse_event

LATER = START + timedelta(minutes=5)


def ingest(database: Database, at: datetime = START, **changes: Any) -> Accepted:
    return ingest_event(database, read(**changes), RequestOrigin(at, "127.0.0.1", {"User-Agent": "Proof"}))


def read(**changes: Any) -> Any:
    return parse_event(json.dumps(webhook(**changes)).encode())


def count(database: Database, table: type[Event] | type[Receipt] | type[Reconciliation] | type[Rejection]) -> int:
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def test_new_event_is_one_row_with_its_first_receipt(database: Database) -> None:
    accepted = ingest(database)
    assert accepted.duplicate is False
    with database.read() as session:
        event = session.get_one(Event, accepted.event_id)
    assert (event.delivery, event.received_at, event.settled_at) == ("pending", START, None)
    assert (str(event.crypto_amount), str(event.fiat_amount)) == ("99.50", "100.00")
    assert (event.remote_addr, event.headers, event.is_vouched) == ("127.0.0.1", {"User-Agent": "Proof"}, False)
    assert (event.is_opened, event.opened_generation) == (False, None)
    assert (count(database, Receipt), count(database, Reconciliation)) == (0, 0)


@pytest.mark.parametrize("number", [1, 50])
def test_any_number_of_events_is_one_statement(database: Database, number: int) -> None:
    arrivals = [(read(merchant_transaction_id=f"id-{one}"), RequestOrigin(START, None, {})) for one in range(number)]
    with counted_statements(database) as statements:
        ingest_events(database, arrivals)
    assert [statement for statement in statements if not statement.startswith("BEGIN")] == [
        statement for statement in statements if statement.startswith("INSERT INTO events")
    ]
    assert count(database, Event) == number


def test_vouched_sender_is_kept_with_the_event(database: Database) -> None:
    ingest_event(database, read(), RequestOrigin(START, None, {}, is_vouched=True))
    with database.read() as session:
        assert session.scalars(select(Event.is_vouched)).all() == [True]


def test_duplicate_is_a_receipt_and_no_more(database: Database) -> None:
    first = ingest(database)
    second = ingest(database, LATER)
    assert (second.event_id, second.duplicate) == (first.event_id, True)
    assert (count(database, Event), count(database, Receipt), count(database, Reconciliation)) == (1, 1, 0)
    with database.read() as session:
        receipt = session.scalars(select(Receipt)).one()
    assert (receipt.event_id, receipt.received_at, receipt.remote_addr) == (first.event_id, LATER, "127.0.0.1")
    assert (receipt.headers, receipt.channel, receipt.body) == ({"User-Agent": "Proof"}, "webhook", None)


def test_duplicate_keeps_its_body_only_where_it_differs(database: Database) -> None:
    ingest(database)
    ingest(database)
    ingest(database, updated_at="2026-04-01T12:03:45+02:00")
    with database.read() as session:
        bodies = session.scalars(select(Receipt.body).order_by(Receipt.id)).all()
    assert bodies[0] is None
    assert b"12:03:45+02:00" in (bodies[1] or b"")


@pytest.mark.parametrize("together", [True, False], ids=["in-one-batch", "one-by-one"])
def test_only_so_many_bodies_of_copies_are_kept_of_one_event(database: Database, together: bool) -> None:
    copies = [
        (read(crypto_amount=f"{number}.50"), RequestOrigin(START, None, {})) for number in range(1, MOST_REPORTS + 5)
    ]
    for batch in [copies] if together else [[one] for one in copies]:
        ingest_events(database, batch)
    ingest(database, merchant_transaction_id="other")
    ingest(database, merchant_transaction_id="other", crypto_amount="1.50")
    with database.read() as session:
        bodies = session.scalars(select(Receipt.body).order_by(Receipt.id)).all()
    assert len(bodies) == len(copies)
    assert [body is not None for body in bodies] == [True] * MOST_REPORTS + [False] * 3 + [True]


def test_paid_again_in_the_widget_is_a_new_event(database: Database) -> None:
    """The trap: the same id and status with a later `updated_at`."""
    first = ingest(database, status="failed")
    second = ingest(database, status="failed", updated_at="2026-04-01T10:13:45Z")
    assert second.duplicate is False
    assert second.event_id != first.event_id
    assert count(database, Event) == 2


def test_other_transaction_with_the_same_status_and_moment_is_a_new_event(database: Database) -> None:
    ingest(database)
    assert ingest(database, merchant_transaction_id=DOCUMENTED_ID.upper()).duplicate is False
    assert count(database, Event) == 2


def test_copies_in_one_batch_are_one_event(database: Database) -> None:
    arrivals = [(read(), RequestOrigin(START, None, {})) for _ in range(5)]
    accepted = ingest_events(database, arrivals)
    assert [one.duplicate for one in accepted].count(False) == 1
    assert len({one.event_id for one in accepted}) == 1
    assert (count(database, Event), count(database, Receipt)) == (1, 4)


def test_batch_answers_each_arrival_in_its_place(database: Database) -> None:
    known = ingest(database, merchant_transaction_id="b")
    names = ["c", "b", "a", "c"]
    accepted = ingest_events(
        database, [(read(merchant_transaction_id=name), RequestOrigin(START, None, {})) for name in names]
    )
    assert [one.duplicate for one in accepted] == [False, True, False, True]
    assert accepted[1].event_id == known.event_id
    with database.read() as session:
        stored = {one: session.get_one(Event, one).merchant_transaction_id for one in (a.event_id for a in accepted)}
    assert [stored[one.event_id] for one in accepted] == names


def test_new_events_stay_where_the_copies_of_others_cannot_be_written(database: Database) -> None:
    """What was told is durable, and told before anything fails."""
    ingest(database, merchant_transaction_id="known")
    names = ["new", "known", "newer"]
    arrivals = [(read(merchant_transaction_id=name), RequestOrigin(START, None, {})) for name in names]
    with database.write() as session:
        session.execute(text("ALTER TABLE receipts RENAME TO receipts_away"))
    told: list[tuple[int, Accepted]] = []
    with pytest.raises(DBAPIError):
        told.extend(ingest_in_turn(database, arrivals))
    assert sorted(index for index, _ in told) == [0, 2]
    assert not any(accepted.duplicate for _, accepted in told)
    assert count(database, Event) == 3


def test_concurrent_batches_of_the_same_events_do_not_lock_each_other_out(database: Database) -> None:
    names = [f"id-{number}" for number in range(20)]
    together = threading.Barrier(4)

    def take(turn: int) -> list[bool]:
        order = names if turn % 2 else names[::-1]
        together.wait()
        arrivals = [(read(merchant_transaction_id=name), RequestOrigin(START, None, {})) for name in order]
        return [one.duplicate for one in ingest_events(database, arrivals)]

    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(take, range(4)))
    assert sum(answer.count(False) for answer in answers) == 20
    assert (count(database, Event), count(database, Receipt)) == (20, 60)


def test_rejected_body_is_cut_and_its_size_kept(database: Database) -> None:
    _reject(database, body=b"x" * (MAX_REJECTED_BODY + 1), body_size=MAX_REJECTED_BODY + 1)
    with database.read() as session:
        row = session.scalars(select(Rejection)).one()
    assert (row.body, row.body_size) == (b"x" * 4096, 4097)
    assert (row.code, row.message, row.remote_addr) == ("decode_error", "The body is not JSON.", "127.0.0.1")


def test_announced_size_beyond_any_column_is_kept_as_the_largest(database: Database) -> None:
    _reject(database, body_size=5_000_000_000)
    with database.read() as session:
        assert session.scalar(select(Rejection.body_size)) == 2**31 - 1


def test_oldest_rejection_goes_when_there_are_too_many(database: Database) -> None:
    row = {"received_at": START, "http_status": 400, "error": "e", "code": "c", "message": "m"}
    with database.write() as session:
        session.execute(
            insert(Rejection), [row | {"headers": {}, "body": b"", "body_size": 0} for _ in range(MAX_REJECTIONS)]
        )
        oldest = session.scalar(select(func.min(Rejection.id)))
    _reject(database)
    assert count(database, Rejection) == MAX_REJECTIONS == 1000
    with database.read() as session:
        assert session.scalar(select(func.min(Rejection.id))) == (oldest or 0) + 1


def _reject(database: Database, body: bytes = b"{", body_size: int = 1) -> None:
    with closing(Rejections(database, Uncounted(database))) as rejections:
        rejections.note(
            RefusedRequest(
                request=RequestOrigin(START, "127.0.0.1", {}),
                method="POST",
                path="/webhooks/proof",
                http_status=400,
                error="invalid_request",
                code="decode_error",
                reason="decode_error",
                message="The body is not JSON.",
                body=body,
                body_size=body_size,
            )
        )
        rejections.flush()
