"""Rows as the service writes them, put in directly: for pages and reports of states that take long to come about."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from redis import Redis
from rq import Queue, SimpleWorker
from rq.serializers import JSONSerializer
from sqlalchemy import insert, update

from tests.support.clock import START
from tests.support.example_rows import ATTEMPT, DISCREPANCY, EVENT, RECONCILIATION, TRANSACTION
from webhook_app.adapters.rq_jobs import FAST_QUEUE, SLOW_QUEUE
from webhook_app.db.database import Database
from webhook_app.models import Attempt, Discrepancy, Event, Reconciliation, StoredGate, Transaction
from webhook_app.services import Services
from webhook_app.usecases.heartbeats import CLOCK, beat

WALLET = (400, "wallet_not_supported", "wallet_not_supported")
CURRENCY = (400, "invalid_request", "currency_not_allowed")


#: A row of `events` and one of `reconciliations`.
Delivery = tuple[dict[str, Any], dict[str, Any]]


def delivery_rows(
    merchant_transaction_id: str,
    delivery: str = "pending",
    *,
    failure: tuple[int | None, str, str | None] | None = None,
    received_at: datetime = START,
    settled_at: datetime | None = None,
    failed_at: datetime = START,
    state: str | None = None,
    **event: Any,
) -> Delivery:
    """An event and its reconciliation, as they stand in that state."""
    http_status, error, code = failure or (None, None, None)
    state = state or delivery
    told = {
        "merchant_transaction_id": merchant_transaction_id,
        "delivery": delivery,
        "received_at": received_at,
        "settled_at": settled_at,
    }
    work = {
        "merchant_transaction_id": merchant_transaction_id,
        "state": state,
        "next_attempt_at": None if state in ("failed", "succeeded") else START,
        "last_http_status": http_status,
        "last_error": error,
        "last_code": code,
        "last_failed_at": failed_at if error else None,
    }
    return EVENT | told | event, RECONCILIATION | work


def seed_all(database: Database, deliveries: Sequence[Delivery]) -> list[int]:
    """Puts them in together; the ids of their reconciliations."""
    with database.write() as session:
        session.execute(insert(Event), [event for event, _ in deliveries])
        inserted = session.scalars(
            insert(Reconciliation).returning(Reconciliation.id, sort_by_parameter_order=True),
            [reconciliation for _, reconciliation in deliveries],
        )
        return list(inserted)


def seed(database: Database, merchant_transaction_id: str, delivery: str = "pending", **changes: Any) -> int:
    """The same for one, made by `delivery_rows`."""
    return seed_all(database, [delivery_rows(merchant_transaction_id, delivery, **changes)])[0]


def attempt(database: Database, reconciliation_id: int, finished_at: datetime, **changes: Any) -> None:
    """One call to Proof, made for that reconciliation."""
    with database.write() as session:
        session.execute(
            insert(Attempt).values(
                ATTEMPT | {"reconciliation_id": reconciliation_id, "finished_at": finished_at} | changes
            )
        )


def make_known(database: Database, merchant_transaction_id: str, state: str = "succeeded", **changes: Any) -> int:
    """A reconciliation in that state, of which nothing is confirmed; its id."""
    is_done = state in ("succeeded", "failed")
    row = {"merchant_transaction_id": merchant_transaction_id, "state": state}
    with database.write() as session:
        inserted = session.execute(
            insert(Reconciliation)
            .values(RECONCILIATION | row | {"next_attempt_at": None if is_done else START} | changes)
            .returning(Reconciliation.id)
        )
        return int(inserted.scalar_one())


def confirm(
    database: Database,
    merchant_transaction_id: str,
    state: str = "succeeded",
    confirmed_at: datetime = START,
    **values: Any,
) -> int:
    """A reconciliation in that state and the transaction with these confirmed values; the reconciliation's id."""
    row = {"merchant_transaction_id": merchant_transaction_id, "confirmed_at": confirmed_at}
    known_at = min(confirmed_at, START)
    id = make_known(database, merchant_transaction_id, state, created_at=known_at, reconciled_at=confirmed_at)
    with database.write() as session:
        session.execute(insert(Transaction).values(TRANSACTION | row | values))
    return id


def note(database: Database, merchant_transaction_id: str, kind: str, **changes: Any) -> int:
    """A discrepancy of that kind; its id."""
    row = {"merchant_transaction_id": merchant_transaction_id, "kind": kind, "detail": "reported x, confirmed y"}
    with database.write() as session:
        inserted = session.execute(insert(Discrepancy).values(DISCREPANCY | row | changes).returning(Discrepancy.id))
        return int(inserted.scalar_one())


def pause(database: Database, blame: str, paused_at: datetime, **changes: Any) -> None:
    """Pauses all calls to Proof, as that failure would have."""
    with database.write() as session:
        session.execute(update(StoredGate).values(blame=blame, paused_at=paused_at, **changes))


def start_workers(redis: Redis, *queues: str) -> None:
    """Registers a worker for each queue with RQ, as one that has just started does."""
    for queue in queues:
        worker = SimpleWorker([Queue(queue, connection=redis)], connection=redis, serializer=JSONSerializer)
        worker.register_birth()


def make_well(services: Services) -> None:
    """The clock has just beaten, and each lane has a worker."""
    beat(services.database, CLOCK, services.clock())
    start_workers(services.queues.redis, FAST_QUEUE, SLOW_QUEUE)
