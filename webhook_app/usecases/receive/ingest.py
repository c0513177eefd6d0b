"""Ingest: an event is committed once, as one row. The reconciling side opens the work that it asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from webhook_app.db.database import Database
from webhook_app.db.row_sets import insert_rows
from webhook_app.domain.drift import Drift
from webhook_app.domain.reported_values import ReportedValues
from webhook_app.models import Event
from webhook_app.models.event import Channel, Delivery
from webhook_app.usecases.receive.copies import Copy, KnownEvent, insert_copies

_EVENTS: Any = Event.__table__
_VALUES = tuple(one.name for one in fields(ReportedValues))
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

    @property
    def values(self) -> ReportedValues:
        return ReportedValues(**{name: getattr(self, name) for name in _VALUES})


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
    keys = [_key(event) for event, _ in arrivals]
    first: dict[_Key, _Arrival] = {}
    for key, arrival in zip(keys, arrivals, strict=True):
        first.setdefault(key, arrival)
    inserted = _insert_events(session, [first[key] for key in sorted(first)])
    found = _find_events(session, [key for key in first if key not in inserted])
    accepted, copies = [], []
    for key, (event, request) in zip(keys, arrivals, strict=True):
        known = found.get(key)
        event_id = inserted[key] if known is None else known.id
        is_copy = known is not None or first[key][0] is not event
        accepted.append(Accepted(event_id, is_copy))
        if is_copy:
            copies.append(_copy(known or _known(event_id, first[key][0]), event, request))
    insert_copies(session, copies)
    return accepted


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


def _copy(known: KnownEvent, event: ReportedEvent, request: RequestOrigin) -> Copy:
    return Copy(
        event=known,
        values=event.values,
        body=event.body,
        channel=event.channel,
        received_at=request.received_at,
        remote_addr=request.remote_addr,
        headers=request.headers,
    )


def _known(event_id: int, event: ReportedEvent) -> KnownEvent:
    """A new one: its work is still to be opened, which answers for copies that came before."""
    return KnownEvent(event_id, event.body, event.values, event.channel, may_be_asked_again=False)


def _find_events(session: Session, keys: Sequence[_Key]) -> dict[_Key, KnownEvent]:
    """The events that are there, by key."""
    if not keys:
        return {}
    key = (Event.merchant_transaction_id, Event.status, Event.updated_at_key)
    values = [getattr(Event, name) for name in _VALUES]
    rows = session.execute(
        select(
            *key, Event.id, Event.body, Event.channel, Event.updated_at, Event.is_opened, Event.delivery, *values
        ).where(tuple_(*key).in_(keys))
    )
    return {
        (row.merchant_transaction_id, row.status, row.updated_at_key): KnownEvent(
            row.id,
            row.body,
            ReportedValues(**{name: getattr(row, name) for name in _VALUES}),
            row.channel,
            may_be_asked_again=row.is_opened and (row.updated_at is None or row.delivery != Delivery.SUCCEEDED),
        )
        for row in rows
    }
