"""What waits in the inbox, for all who read: events that were taken in, and for which the reconciliation of their
transaction was not opened, or asked for again, yet.

Such a transaction waits: it is shown as `pending` at once (`report.py`). One that only unopened events have named is
unopened itself: it has no reconciliation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, ScalarSelect, Select, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from webhook_app.models import Event, Reconciliation
from webhook_app.models.event import IS_UNOPENED


def find_first_unopened(session: Session) -> int | None:
    """The lowest id of an unopened event; None where there is none, as is the case nearly always."""
    return session.scalar(select(first_unopened()))


def first_unopened() -> ScalarSelect[int]:
    """The same as a value in SQL."""
    event: Any = Event.__table__
    return select(func.min(event.c.id)).where(IS_UNOPENED).scalar_subquery()


def find_waiting(session: Session, ids: Sequence[str]) -> Mapping[str, datetime]:
    """Those of the transactions `ids` that have unopened events, with when the first of these was received."""
    rows = session.execute(
        select(Event.merchant_transaction_id, func.min(Event.received_at))
        .where(IS_UNOPENED, Event.merchant_transaction_id.in_(ids))
        .group_by(Event.merchant_transaction_id)
    )
    return dict(rows.all())


def is_waiting(*, is_walk: bool = False) -> ColumnElement[bool]:
    """Whether the transaction of a reconciliation has unopened events: found from the events, or, for a walk along the
    reconciliations, looked up for each."""
    if is_walk:
        return ~is_not_waiting()
    return Reconciliation.merchant_transaction_id.in_(waiting_transactions().correlate(None))


def is_not_waiting() -> ColumnElement[bool]:
    """Whether it has none; looked up for each."""
    of_transaction = Event.merchant_transaction_id == Reconciliation.merchant_transaction_id
    return ~select(Event.id).where(of_transaction, IS_UNOPENED).correlate(Reconciliation).exists()


def waiting_transactions() -> Select[str]:
    """The transactions that have unopened events, each once."""
    return select(Event.merchant_transaction_id).where(IS_UNOPENED).distinct()


def unopened_transactions() -> Select[str]:
    """Those of them that nothing else has named, so that they have no reconciliation."""
    of_event = Reconciliation.merchant_transaction_id == Event.merchant_transaction_id
    return waiting_transactions().where(~select(Reconciliation.id).where(of_event).correlate(Event).exists())


def first_event_id(
    merchant_transaction_id: InstrumentedAttribute[str],
) -> ScalarSelect[int]:
    """The id of the event that has named the transaction first; NULL where none has. It never changes."""
    other = aliased(Event)
    return (
        select(other.id)
        .where(other.merchant_transaction_id == merchant_transaction_id)
        .order_by(other.merchant_transaction_id, other.id)
        .limit(1)
        .correlate(merchant_transaction_id.class_)
        .scalar_subquery()
    )
