"""Receipts of an event: the first stands in the event's own row, where that has headers; with those of former releases
it has a row of its own, like all later ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, case, func, select
from sqlalchemy.orm import Session

from webhook_app.db.keyset_page import newest
from webhook_app.models import Event, Receipt


@dataclass(frozen=True)
class ReceiptReport:
    received_at: datetime
    remote_addr: str | None
    headers: Mapping[str, Any]
    is_first: bool
    has_other_body: bool
    """Whether its body differs from that of the first one."""


def count_receipts() -> ColumnElement[int]:
    """How many an event has, for a query that selects from events."""
    event: Any = Event.__table__
    receipt: Any = Receipt.__table__
    later = select(func.count()).select_from(receipt).where(receipt.c.event_id == event.c.id)
    count: ColumnElement[int] = later.correlate(event).scalar_subquery()
    return count + case((event.c.headers.is_not(None), 1), else_=0)


def list_receipts(session: Session, event: Event, count: int, most: int) -> Sequence[ReceiptReport]:
    """Oldest first; of more than `most` the newest, and the first where the event's row has it. `count` is how many it
    has."""
    first = []
    if event.headers is not None:
        first = [ReceiptReport(event.received_at, event.remote_addr, event.headers, True, False)]
    rows = newest(session, select(Receipt).where(Receipt.event_id == event.id), Receipt.id, most - len(first))
    has_first = not first and len(rows) == count
    return first + [
        ReceiptReport(row.received_at, row.remote_addr, row.headers, has_first and number == 0, row.body is not None)
        for number, row in enumerate(rows)
    ]
