"""Ingest: an event is committed, once, and the reconciliation that it asks for with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from sqlalchemy import insert, select, tuple_
from sqlalchemy.orm import Session

from webhook_app.db.database import Database
from webhook_app.db.upsert import insert_into
from webhook_app.domain.drift import Drift
from webhook_app.models import Event, Receipt
from webhook_app.models.event import Channel, Delivery
from webhook_app.usecases.reconcile.lifecycle.rows import ask_for_reconciliations

_Key = tuple[str, str, str]


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
    drift: tuple[Drift, ...] = field(default=(), compare=False)
    """What in it this release does not know: counted when it comes, and not stored with it."""


@dataclass(frozen=True)
class RequestOrigin:
    """The HTTP request that carried something: when, from where, with which headers worth keeping."""

    received_at: datetime
    remote_addr: str | None
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Accepted:
    event_id: int
    duplicate: bool


def ingest_event(database: Database, event: ReportedEvent, request: RequestOrigin) -> Accepted:
    """`ingest_events` for one."""
    return ingest_events(database, [(event, request)])[0]


def ingest_events(database: Database, arrivals: Sequence[tuple[ReportedEvent, RequestOrigin]]) -> list[Accepted]:
    """Commits all events, their receipts, and the reconciliations they ask for, in one transaction.

    A duplicate is one more receipt, no more, whether of an event that was there or of one in the same batch. Rows are
    written in the order of their keys, so that batches of several processes do not lock each other out.
    """
    return database.run(lambda session: _ingest(session, arrivals))


def check_ingest(database: Database, event: ReportedEvent, request: RequestOrigin) -> None:
    """Raises what keeps this event from being ingested; nothing of it stays."""

    def try_it(session: Session) -> None:
        _ingest(session, [(event, request)])
        session.rollback()

    database.run(try_it)


def _ingest(session: Session, arrivals: Sequence[tuple[ReportedEvent, RequestOrigin]]) -> list[Accepted]:
    first: dict[_Key, tuple[ReportedEvent, RequestOrigin]] = {}
    for event, request in sorted(arrivals, key=lambda arrival: _key(arrival[0])):
        first.setdefault(_key(event), (event, request))
    inserted = _insert_events(session, list(first.values()))
    known = _find_events(session, [key for key in first if key not in inserted])
    ids = inserted | {key: event_id for key, (event_id, _) in known.items()}
    bodies = {key: event.body for key, (event, _) in first.items()} | {key: body for key, (_, body) in known.items()}
    _insert_receipts(
        session,
        [
            (ids[_key(event)], request, None if bodies[_key(event)] == event.body else event.body)
            for event, request in arrivals
        ],
    )
    asked_at = {key[0]: first[key][1].received_at for key in sorted(inserted)}
    ask_for_reconciliations(session, asked_at)
    return [
        Accepted(ids[_key(event)], _key(event) not in inserted or first[_key(event)][0] is not event)
        for event, _ in arrivals
    ]


def _key(event: ReportedEvent) -> _Key:
    """What the database's constraint holds to be one event."""
    return event.merchant_transaction_id, event.status, event.updated_at_key


def _insert_events(session: Session, arrivals: Sequence[tuple[ReportedEvent, RequestOrigin]]) -> dict[_Key, int]:
    """The ids of the new events by key; an event that was there already is left out. The constraint decides, that one
    alone: an id that is taken already is no known event, but a sequence behind its rows."""
    rows = session.execute(
        insert_into(session, Event.__table__)
        .on_conflict_do_nothing(index_elements=[Event.merchant_transaction_id, Event.status, Event.updated_at_key])
        .returning(Event.id, Event.merchant_transaction_id, Event.status, Event.updated_at_key),
        [
            {
                "merchant_transaction_id": event.merchant_transaction_id,
                "channel": event.channel,
                "status": event.status,
                "updated_at": event.updated_at,
                "updated_at_key": event.updated_at_key,
                "type": event.type,
                "currency": event.currency,
                "network": event.network,
                "crypto_amount": event.crypto_amount,
                "fiat_currency": event.fiat_currency,
                "fiat_amount": event.fiat_amount,
                "created_at": event.created_at,
                "warnings": list(event.warnings),
                "body": event.body,
                "received_at": request.received_at,
                "delivery": Delivery.PENDING,
            }
            for event, request in arrivals
        ],
    )
    return {(mtid, status, updated_at_key): event_id for event_id, mtid, status, updated_at_key in rows}


def _find_events(session: Session, keys: Sequence[_Key]) -> dict[_Key, tuple[int, bytes]]:
    """Id and body of events that are there, by key."""
    if not keys:
        return {}
    columns = (Event.merchant_transaction_id, Event.status, Event.updated_at_key)
    rows = session.execute(select(*columns, Event.id, Event.body).where(tuple_(*columns).in_(keys)))
    return {(mtid, status, updated_at_key): (event_id, body) for mtid, status, updated_at_key, event_id, body in rows}


def _insert_receipts(session: Session, receipts: Sequence[tuple[int, RequestOrigin, bytes | None]]) -> None:
    session.execute(
        insert(Receipt.__table__),  # type: ignore[arg-type]  # a mapped class's table is a Table
        [
            {
                "event_id": event_id,
                "received_at": request.received_at,
                "remote_addr": request.remote_addr,
                "headers": dict(request.headers),
                "body": body,
            }
            for event_id, request, body in receipts
        ],
    )
