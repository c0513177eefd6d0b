"""Ingest: an event is committed, once, and the reconciliation that it asks for with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import case, delete, insert, select
from sqlalchemy.orm import Session

from webhook_app.db.database import Database
from webhook_app.db.upsert import insert_into
from webhook_app.models import Event, Receipt, Reconciliation, Rejection
from webhook_app.models.event import Channel, Delivery
from webhook_app.models.reconciliation import State

#: The newest rejections that are kept; one more pushes the oldest out.
MAX_REJECTIONS = 1000
#: How much of a rejected body is kept, bytes.
MAX_REJECTED_BODY = 4096


@dataclass(frozen=True)
class ReportedEvent:
    """A status change as some channel reported it. What could not be read is None and named in `warnings`."""

    merchant_transaction_id: str
    status: str
    updated_at: datetime | None
    updated_at_key: str
    type: str | None
    currency: str | None
    network: str | None
    crypto_amount: Decimal | None
    fiat_currency: str | None
    fiat_amount: Decimal | None
    created_at: datetime | None
    warnings: tuple[str, ...]
    body: bytes
    channel: Channel = Channel.WEBHOOK


@dataclass(frozen=True)
class Request:
    """The HTTP request that carried something: when, from where, with which headers worth keeping."""

    received_at: datetime
    remote_addr: str | None
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Accepted:
    event_id: int
    duplicate: bool


def ingest_event(database: Database, event: ReportedEvent, request: Request) -> Accepted:
    """Commits the event, its receipt, and the reconciliation it asks for. A duplicate is one more receipt, no more."""
    with database.write() as session:
        event_id = _insert_event(session, event, request)
        duplicate = event_id is None
        if event_id is None:
            event_id, first_body = session.execute(
                select(Event.id, Event.body).where(
                    Event.merchant_transaction_id == event.merchant_transaction_id,
                    Event.status == event.status,
                    Event.updated_at_key == event.updated_at_key,
                )
            ).one()
            _insert_receipt(session, event_id, request, None if first_body == event.body else event.body)
        else:
            _insert_receipt(session, event_id, request, None)
            request_reconciliation(session, event.merchant_transaction_id, request.received_at)
    return Accepted(event_id, duplicate)


def request_reconciliation(session: Session, merchant_transaction_id: str, now: datetime) -> None:
    """Makes sure that the transaction is looked at (again): opens its reconciliation or reopens it with a full budget.

    One that is backing off keeps its next attempt's time. One that is being fetched right now sees the new generation
    when it is applied, and is fetched again.
    """
    table = Reconciliation
    backs_off = table.state == State.RETRYING
    statement = insert_into(session, table).values(
        merchant_transaction_id=merchant_transaction_id,
        state=State.PENDING,
        generation=1,
        created_at=now,
        next_attempt_at=now,
        crashes=0,
        attempts=0,
        spent_attempts=0,
        single_retries=0,
        paused_seconds_then=0.0,
    )
    session.execute(
        statement.on_conflict_do_update(
            index_elements=[table.merchant_transaction_id],
            set_={
                "generation": table.generation + 1,
                "state": case((backs_off, table.state), else_=State.PENDING.value),
                "next_attempt_at": case((backs_off, table.next_attempt_at), else_=statement.excluded.next_attempt_at),
                "spent_attempts": case((backs_off, table.spent_attempts), else_=0),
                "single_retries": case((backs_off, table.single_retries), else_=0),
                "first_failed_at": case((backs_off, table.first_failed_at), else_=None),
            },
        )
    )


def keep_rejection(
    database: Database, request: Request, *, http_status: int, error: str, code: str, message: str, body: bytes,
    body_size: int,
) -> None:  # fmt: skip
    """Keeps a refused request for operations to see, its body cut, the oldest one dropped when there are too many."""
    with database.write() as session:
        newest = session.scalar(
            insert(Rejection)
            .values(
                received_at=request.received_at,
                remote_addr=request.remote_addr,
                http_status=http_status,
                error=error,
                code=code,
                message=message,
                headers=dict(request.headers),
                body=body[:MAX_REJECTED_BODY],
                body_size=body_size,
            )
            .returning(Rejection.id)
        )
        assert newest is not None
        session.execute(delete(Rejection).where(Rejection.id <= newest - MAX_REJECTIONS))


def _insert_event(session: Session, event: ReportedEvent, request: Request) -> int | None:
    """The new event's id; None when the event was there already. The database's constraint decides."""
    event_id: int | None = session.scalar(
        insert_into(session, Event)
        .values(
            merchant_transaction_id=event.merchant_transaction_id,
            channel=event.channel,
            status=event.status,
            updated_at=event.updated_at,
            updated_at_key=event.updated_at_key,
            type=event.type,
            currency=event.currency,
            network=event.network,
            crypto_amount=event.crypto_amount,
            fiat_currency=event.fiat_currency,
            fiat_amount=event.fiat_amount,
            created_at=event.created_at,
            warnings=list(event.warnings),
            body=event.body,
            received_at=request.received_at,
            delivery=Delivery.PENDING,
        )
        .on_conflict_do_nothing()
        .returning(Event.id)
    )
    return event_id


def _insert_receipt(session: Session, event_id: int, request: Request, body: bytes | None) -> None:
    session.execute(
        insert(Receipt).values(
            event_id=event_id,
            received_at=request.received_at,
            remote_addr=request.remote_addr,
            headers=dict(request.headers),
            body=body,
        )
    )
