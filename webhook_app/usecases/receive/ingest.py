"""Ingest: an event is committed once, as one row. The reconciling side opens the work that it asks for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, select, tuple_
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
    """Commits all events: a new one is a row, a duplicate is a receipt, whether of an event that was there or of one in
    the same batch.

    The only thing that is waited for is an identical event that is being committed. Rows are written in the order of
    their keys, so that batches of several processes do not lock each other out.
    """
    answers = dict(ingest_in_turn(database, arrivals))
    return [answers[index] for index in range(len(arrivals))]


def ingest_in_turn(database: Database, arrivals: Sequence[_Arrival]) -> Iterator[tuple[int, Accepted]]:
    """The same, one by one as they become durable, with their places in `arrivals`: what has been told stays committed
    where the rest raises.

    Nearly all events are new. So one statement, which is its own transaction, inserts those that are; only for the
    others is there one with several.
    """
    first: dict[_Key, int] = {}
    for index, (event, _) in enumerate(arrivals):
        first.setdefault(_key(event), index)
    in_order = [arrivals[first[key]] for key in sorted(first)]
    inserted = database.run_statement(lambda connection: _insert_events(connection, in_order))
    for key, event_id in inserted.items():
        yield first[key], Accepted(event_id, duplicate=False)
    new = {first[key] for key in inserted}
    rest = [index for index in range(len(arrivals)) if index not in new]
    if rest:
        event_ids = database.run(lambda session: _add_copies(session, [arrivals[index] for index in rest]))
        yield from (
            (index, Accepted(event_id, duplicate=True)) for index, event_id in zip(rest, event_ids, strict=True)
        )


def check_ingest(database: Database, event: ReportedEvent, request: RequestOrigin) -> None:
    """Raises what keeps this event from being ingested; nothing of it stays."""

    def try_it(session: Session) -> None:
        arrivals = [(event, request)]
        if not _insert_events(session, arrivals):
            _add_copies(session, arrivals)
        session.rollback()

    database.run(try_it)


def _key(event: ReportedEvent) -> _Key:
    """What the database's constraint holds to be one event."""
    return event.merchant_transaction_id, event.status, event.updated_at_key


def _insert_events(on: Session | Connection, arrivals: Sequence[_Arrival]) -> dict[_Key, int]:
    """The ids of the new events by key; an event that was there already is left out. The constraint decides, that one
    alone: an id that is taken already is no known event, but a sequence behind its rows."""
    key = (_EVENTS.c.merchant_transaction_id, _EVENTS.c.status, _EVENTS.c.updated_at_key)
    rows = insert_rows(on, _EVENTS, [_event_row(*arrival) for arrival in arrivals], (_EVENTS.c.id, *key), unless=key)
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


def _add_copies(session: Session, arrivals: Sequence[_Arrival]) -> list[int]:
    """Their receipts; returns the ids of the events, all of which are there. Raises KeyError where one is not."""
    keys = [_key(event) for event, _ in arrivals]
    found = _find_events(session, sorted(set(keys)))
    events = [found[key] for key in keys]
    insert_copies(session, [_copy(event, *arrival) for event, arrival in zip(events, arrivals, strict=True)])
    return [event.id for event in events]


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


def _find_events(session: Session, keys: Sequence[_Key]) -> dict[_Key, KnownEvent]:
    """The events that are there, by key."""
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
