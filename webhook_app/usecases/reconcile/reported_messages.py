"""What was reported of transactions, in events and in copies of these, as far as it is compared with what Proof
confirms; for any number of transactions in a constant number of statements."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Alias, ColumnElement, Executable, FromClause, Select, and_, func, or_, select
from sqlalchemy.orm import Session

from webhook_app.db.planner_hints import computed_once, one_by_one, sorted_afterwards, unweighed
from webhook_app.db.row_sets import RowSet, for_each_dialect, id_set
from webhook_app.domain.reported_values import ReportedValues
from webhook_app.models import Event, Receipt
from webhook_app.models.event import Delivery

#: Anybody can post events, so a flood of forged ones must not make comparing them expensive.
_MOST_EVENTS_COMPARED = 100

AMOUNTS = ("crypto_amount", "fiat_amount")
VALUES = tuple(one.name for one in fields(ReportedValues))

_EVENTS: Any = Event.__table__
_RECEIPTS: Any = Receipt.__table__

#: What is asked of each transaction: its id, when it changed as Proof confirms it, and the generation.
Asked = tuple[str, datetime, int]
ASKED = RowSet(
    "given",
    {
        "name": _EVENTS.c.merchant_transaction_id.type,
        "updated_at": _EVENTS.c.updated_at.type,
        "generation": _EVENTS.c.opened_generation.type,
    },
)
_IDS = RowSet("ids", {"id": _EVENTS.c.id.type})
_READ = ("id", "merchant_transaction_id", "status", "updated_at", "received_at", *VALUES)


@dataclass(frozen=True)
class Message:
    """An event, as far as it is compared."""

    id: int
    merchant_transaction_id: str
    status: str
    updated_at: datetime | None
    received_at: datetime
    values: ReportedValues


@dataclass(frozen=True)
class Report:
    """What one message reported, and what of it is compared: amounts; of a copy also what differs from the event."""

    fingerprint: str
    values: ReportedValues
    compared: Collection[str]


def find_events(session: Session, given: Sequence[Asked]) -> list[Message]:
    """The events that are compared with these confirmed transactions, newest first."""
    return _read(session.execute(_events_compared(session), ASKED.given(session, given)))


@for_each_dialect
def _events_compared(dialect: str) -> Executable:
    """Of each transaction so many at most."""
    given, other = ASKED.table(dialect), _EVENTS.alias()
    oldest = (
        select(other.c.id)
        .where(_is_compared(other, given))
        .order_by(sorted_afterwards(other.c.id).desc())
        .offset(_MOST_EVENTS_COMPARED - 1)
        .limit(1)
        .correlate(given)
        .scalar_subquery()
    )
    asked = computed_once(select(*given.c, func.coalesce(oldest, 0).label("oldest")), "asked")
    return _messages().where(_is_compared(_EVENTS, asked), unweighed(_EVENTS.c.id >= asked.c.oldest))


def _is_compared(events: Alias | Any, given: FromClause) -> ColumnElement[bool]:
    asked_by_copy = (
        select(_RECEIPTS.c.id)
        .where(
            _RECEIPTS.c.event_id == events.c.id,
            _RECEIPTS.c.opened_generation == given.c.generation,
            _RECEIPTS.c.reported.is_not(None),
        )
        .limit(1)  # so that it is looked up, where EXISTS might be answered by a scan of all receipts
        .correlate(events, given)
        .scalar_subquery()
    )
    is_about_to_settle = (events.c.delivery != Delivery.SUCCEEDED.value) & (
        func.coalesce(events.c.opened_generation, given.c.generation) <= given.c.generation
    )
    return and_(
        events.c.merchant_transaction_id == one_by_one(given.c.name),
        events.c.is_opened,
        or_(
            events.c.updated_at >= given.c.updated_at,
            events.c.updated_at.is_(None) & or_(is_about_to_settle, asked_by_copy.is_not(None)),
        ),
    )


def _messages() -> Select[Any]:
    """In no order: for the sake of one PostgreSQL may go through all events and compare each with all of the batch."""
    return select(*(_EVENTS.c[name] for name in _READ))


def _read(rows: Iterable[Any]) -> list[Message]:
    """Newest first."""
    messages = [Message(row[0], row[1], row[2], row[3], row[4], ReportedValues(*row[5:])) for row in rows]
    return sorted(messages, key=lambda message: message.id, reverse=True)


def find_copies(
    session: Session, events: Sequence[Message], generations: Mapping[str, int]
) -> Mapping[int, list[Report]]:
    """What copies of these events reported that differs from all before, oldest first; without those for which Proof
    was not asked yet."""
    by_id = {event.id: event for event in events}
    copies: dict[int, list[Report]] = defaultdict(list)
    if by_id:
        rows = session.execute(_copies(session), _IDS.given(session, [(one,) for one in by_id]))
        for row in rows:
            event = by_id[row.event_id]
            if (row.opened_generation or 0) > generations[event.merchant_transaction_id]:
                continue
            values = ReportedValues.from_json(row.reported or {})
            differing = [name for name in VALUES if getattr(values, name) != getattr(event.values, name)]
            copies[row.event_id].append(Report(f"-{row.id}", values, {*AMOUNTS, *differing} - {"created_at"}))
    return copies


@for_each_dialect
def _copies(dialect: str) -> Executable:
    return (
        select(_RECEIPTS.c.id, _RECEIPTS.c.event_id, _RECEIPTS.c.opened_generation, _RECEIPTS.c.reported)
        .where(
            _IDS.holds(dialect, "id", _RECEIPTS.c.event_id),
            _RECEIPTS.c.body.is_not(None),  # as each has that reports something: an index holds these alone
            _RECEIPTS.c.reported.is_not(None),
            _RECEIPTS.c.is_opened,
        )
        .order_by(_RECEIPTS.c.id)
    )


def find_events_of(session: Session, fingerprints: Collection[int]) -> list[Message]:
    """The events that these name, newest first: by their own id, or, negative, by that of a copy's receipt."""
    of_copies = id_set(session, "copies", [-one for one in fingerprints if one < 0])
    of_events = id_set(session, "mismatches", [one for one in fingerprints if one > 0])
    of_receipts = select(_RECEIPTS.c.event_id).where(_RECEIPTS.c.id == of_copies.c.id)
    is_concerned = or_(_EVENTS.c.id.in_(select(of_events.c.id)), _EVENTS.c.id.in_(of_receipts))
    return _read(session.execute(_messages().where(is_concerned)))
