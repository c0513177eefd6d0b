"""Ingest: an event is committed once, with the reconciliation it asks for."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, insert, select, update

from tests.support.clock import START
from tests.support.events import DOCUMENTED_ID, webhook
from tests.support.example_rows import RECONCILIATION
from webhook_app.db.database import Database
from webhook_app.models import Event, Receipt, Reconciliation, Rejection
from webhook_app.usecases.receive.ingest import Accepted, RequestOrigin, ingest_event, ingest_events
from webhook_app.usecases.receive.rejections import MAX_REJECTED_BODY, MAX_REJECTIONS, RefusedRequest, Rejections
from webhook_app.web.receive.event_schema import parse_event

LATER = START + timedelta(minutes=5)


def ingest(database: Database, at: datetime = START, **changes: Any) -> Accepted:
    return ingest_event(database, read(**changes), RequestOrigin(at, "127.0.0.1", {"User-Agent": "Proof"}))


def read(**changes: Any) -> Any:
    return parse_event(json.dumps(webhook(**changes)).encode())


def reconciliation(database: Database, merchant_transaction_id: str = DOCUMENTED_ID) -> Reconciliation:
    with database.read() as session:
        return session.scalars(
            select(Reconciliation).where(Reconciliation.merchant_transaction_id == merchant_transaction_id)
        ).one()


def count(database: Database, table: type[Event] | type[Receipt] | type[Reconciliation] | type[Rejection]) -> int:
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def put(database: Database, **columns: Any) -> None:
    """A reconciliation as work has left it."""
    row = RECONCILIATION | {"merchant_transaction_id": DOCUMENTED_ID} | columns
    with database.write() as session:
        session.execute(insert(Reconciliation).values(**row))


def test_new_event_opens_a_reconciliation_that_is_due_at_once(database: Database) -> None:
    accepted = ingest(database)
    assert accepted.duplicate is False
    row = reconciliation(database)
    assert (row.state, row.generation, row.next_attempt_at, row.attempts) == ("pending", 1, START, 0)
    with database.read() as session:
        event = session.get_one(Event, accepted.event_id)
        receipt = session.scalars(select(Receipt)).one()
    assert (event.delivery, event.received_at, event.settled_at) == ("pending", START, None)
    assert (str(event.crypto_amount), str(event.fiat_amount)) == ("99.50", "100.00")
    assert (receipt.event_id, receipt.remote_addr, receipt.body) == (event.id, "127.0.0.1", None)
    assert receipt.headers == {"User-Agent": "Proof"}


def test_duplicate_is_one_more_receipt_and_no_more(database: Database) -> None:
    first = ingest(database)
    before = reconciliation(database)
    second = ingest(database, LATER)
    assert (second.event_id, second.duplicate) == (first.event_id, True)
    assert (count(database, Event), count(database, Receipt), count(database, Reconciliation)) == (1, 2, 1)
    after = reconciliation(database)
    assert (after.generation, after.next_attempt_at) == (before.generation, before.next_attempt_at)


def test_duplicate_keeps_its_body_only_where_it_differs(database: Database) -> None:
    ingest(database)
    ingest(database)
    ingest(database, updated_at="2026-04-01T12:03:45+02:00")
    with database.read() as session:
        bodies = session.scalars(select(Receipt.body).order_by(Receipt.id)).all()
    assert bodies[:2] == [None, None]
    assert b"12:03:45+02:00" in (bodies[2] or b"")


def test_paid_again_in_the_widget_is_a_new_event(database: Database) -> None:
    """The trap: the same id and status with a later `updated_at`."""
    first = ingest(database, status="failed")
    second = ingest(database, status="failed", updated_at="2026-04-01T10:13:45Z")
    assert second.duplicate is False
    assert second.event_id != first.event_id
    assert (count(database, Event), count(database, Reconciliation)) == (2, 1)
    assert reconciliation(database).generation == 2


def test_other_transaction_with_the_same_status_and_moment_is_a_new_event(database: Database) -> None:
    ingest(database)
    assert ingest(database, merchant_transaction_id=DOCUMENTED_ID.upper()).duplicate is False
    assert count(database, Reconciliation) == 2


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
    ingest(database, LATER)
    row = reconciliation(database)
    assert (row.state, row.next_attempt_at, row.generation) == ("pending", LATER, 2)
    assert (row.spent_attempts, row.single_retries, row.first_failed_at) == (0, 0, None)
    assert (row.attempts, row.reconciled_at) == (30, START)


def test_new_event_forgives_the_workers_that_died_with_one_that_failed(database: Database) -> None:
    put(database, state="failed", next_attempt_at=None, crashes=3)
    ingest(database)
    assert reconciliation(database).crashes == 0


def test_new_event_leaves_one_that_backs_off_its_time_and_budget(database: Database) -> None:
    then = LATER + timedelta(minutes=10)
    put(database, state="retrying", next_attempt_at=then, spent_attempts=7, single_retries=1, first_failed_at=START)
    ingest(database, LATER)
    row = reconciliation(database)
    assert (row.state, row.next_attempt_at, row.generation) == ("retrying", then, 2)
    assert (row.spent_attempts, row.single_retries, row.first_failed_at) == (7, 1, START)


def test_new_event_during_a_fetch_leaves_the_claim_and_raises_the_generation(database: Database) -> None:
    put(database, claim_token="t", lease_until=LATER, crashes=1)
    ingest(database)
    row = reconciliation(database)
    assert (row.claim_token, row.lease_until, row.generation, row.crashes) == ("t", LATER, 2, 1)


@pytest.mark.parametrize(
    "left",
    [
        {"state": "pending", "next_attempt_at": START},
        {"state": "pending", "next_attempt_at": START, "claim_token": "t", "lease_until": LATER},
        {"state": "retrying", "next_attempt_at": LATER, "spent_attempts": 3, "first_failed_at": START},
        {"state": "watching", "next_attempt_at": LATER},
        {"state": "failed", "next_attempt_at": None, "spent_attempts": 20, "first_failed_at": START},
    ],
    ids=["pending", "fetched", "retrying", "watching", "failed"],
)
def test_duplicate_of_an_unfinished_event_never_touches_its_work(database: Database, left: dict[str, Any]) -> None:
    ingest(database)
    with database.write() as session:
        session.execute(update(Reconciliation).values(**left))
    before = _columns(reconciliation(database))
    assert ingest(database, LATER).duplicate is True
    assert _columns(reconciliation(database)) == before


def test_copies_in_one_batch_are_one_event(database: Database) -> None:
    arrivals = [(read(), RequestOrigin(START, None, {})) for _ in range(5)]
    accepted = ingest_events(database, arrivals)
    assert [one.duplicate for one in accepted].count(False) == 1
    assert len({one.event_id for one in accepted}) == 1
    assert (count(database, Event), count(database, Receipt), count(database, Reconciliation)) == (1, 5, 1)
    assert reconciliation(database).generation == 1


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
    assert (count(database, Event), count(database, Receipt), count(database, Reconciliation)) == (20, 80, 20)


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
    with closing(Rejections(database)) as rejections:
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


def _columns(row: Reconciliation) -> dict[str, Any]:
    return {column.name: getattr(row, column.name) for column in Reconciliation.__table__.columns}
