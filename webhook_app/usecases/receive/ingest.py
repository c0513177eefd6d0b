"""Ingest: an event is committed once, as one row. The reconciling side opens the work that it asks for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import func, select, tuple_
from sqlalchemy.orm import Session

from webhook_app.db.database import Database
from webhook_app.db.row_sets import insert_rows
from webhook_app.domain.drift import Drift
from webhook_app.models import Event, Receipt
from webhook_app.models.event import Channel, Delivery

#: Bodies of copies that are kept of one event; a copy beyond them is a receipt without one.
MOST_BODIES = 20

_EVENTS: Any = Event.__table__
_RECEIPTS: Any = Receipt.__table__
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
    is_vouched: bool = False
    """Whether a secret or an address list let it in, so that its sender is known."""


@dataclass(frozen=True)
class Accepted:
    event_id: int
    duplicate: bool


_Arrival = tuple[ReportedEvent, RequestOrigin]


def ingest_event(database: Database, event: ReportedEvent, request: RequestOrigin) -> Accepted:
    """`ingest_events` for one."""
    return ingest_events(database, [(event, request)])[0]


def ingest_events(database: Database, arrivals: Sequence[_Arrival]) -> list[Accepted]:
    """Commits all events in one transaction: a new one is a row, a duplicate is a receipt, whether of an event that was
    there or of one in the same batch.

    The only thing that is waited for is an identical event that is being committed. Rows are written in the order of
    their keys, so that batches of several processes do not lock each other out.
    """
    return database.run(lambda session: _ingest(session, arrivals))


def check_ingest(database: Database, event: ReportedEvent, request: RequestOrigin) -> None:
    """Raises what keeps this event from being ingested; nothing of it stays."""

    def try_it(session: Session) -> None:
        _ingest(session, [(event, request)])
        session.rollback()

    database.run(try_it)


def _ingest(session: Session, arrivals: Sequence[_Arrival]) -> list[Accepted]:
    first: dict[_Key, _Arrival] = {}
    for arrival in sorted(arrivals, key=lambda arrival: _key(arrival[0])):
        first.setdefault(_key(arrival[0]), arrival)
    inserted = _insert_events(session, list(first.values()))
    known = _find_events(session, [key for key in first if key not in inserted])
    ids = inserted | {key: event_id for key, (event_id, _) in known.items()}
    bodies = {key: first[key][0].body for key in inserted} | {key: body for key, (_, body) in known.items()}
    is_copy = [_key(event) not in inserted or first[_key(event)][0] is not event for event, _ in arrivals]
    copies = [arrival for arrival, copied in zip(arrivals, is_copy, strict=True) if copied]
    _insert_copies(session, copies, ids, bodies)
    return [Accepted(ids[_key(event)], copied) for (event, _), copied in zip(arrivals, is_copy, strict=True)]


def _key(event: ReportedEvent) -> _Key:
    """What the database's constraint holds to be one event."""
    return event.merchant_transaction_id, event.status, event.updated_at_key


def _insert_events(session: Session, arrivals: Sequence[_Arrival]) -> dict[_Key, int]:
    """The ids of the new events by key; an event that was there already is left out. The constraint decides, that one
    alone: an id that is taken already is no known event, but a sequence behind its rows."""
    key = (_EVENTS.c.merchant_transaction_id, _EVENTS.c.status, _EVENTS.c.updated_at_key)
    rows = insert_rows(
        session, _EVENTS, [_event_row(*arrival) for arrival in arrivals], (_EVENTS.c.id, *key), unless=key
    )
    return {(mtid, status, updated_at_key): event_id for event_id, mtid, status, updated_at_key in rows}


def _event_row(event: ReportedEvent, request: RequestOrigin) -> dict[str, Any]:
    return {
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
        "remote_addr": request.remote_addr,
        "headers": dict(request.headers),
        "is_vouched": request.is_vouched,
        "is_opened": False,
        "delivery": Delivery.PENDING,
    }


def _find_events(session: Session, keys: Sequence[_Key]) -> dict[_Key, tuple[int, bytes]]:
    """Id and body of events that are there, by key."""
    if not keys:
        return {}
    columns = (Event.merchant_transaction_id, Event.status, Event.updated_at_key)
    rows = session.execute(select(*columns, Event.id, Event.body).where(tuple_(*columns).in_(keys)))
    return {(mtid, status, updated_at_key): (event_id, body) for mtid, status, updated_at_key, event_id, body in rows}


def _insert_copies(
    session: Session, copies: Sequence[_Arrival], ids: Mapping[_Key, int], bodies: Mapping[_Key, bytes]
) -> None:
    differing = {ids[_key(event)] for event, _ in copies if event.body != bodies[_key(event)]}
    kept = _count_bodies(session, differing)
    rows = []
    for event, request in copies:
        event_id = ids[_key(event)]
        is_kept = event.body != bodies[_key(event)] and kept[event_id] < MOST_BODIES
        kept[event_id] += is_kept
        rows.append(
            {
                "event_id": event_id,
                "received_at": request.received_at,
                "remote_addr": request.remote_addr,
                "headers": dict(request.headers),
                "body": event.body if is_kept else None,
                "channel": event.channel,
            }
        )
    insert_rows(session, _RECEIPTS, rows, (_RECEIPTS.c.id,))


def _count_bodies(session: Session, event_ids: set[int]) -> Counter[int]:
    """How many bodies of copies are kept of each of these events."""
    if not event_ids:
        return Counter()
    rows = session.execute(
        select(Receipt.event_id, func.count().label("bodies"))
        .where(Receipt.event_id.in_(event_ids), Receipt.body.is_not(None))
        .group_by(Receipt.event_id)
    )
    return Counter({row.event_id: row.bodies for row in rows})
