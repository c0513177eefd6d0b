"""Who told us of a confirmed status change, and when: the first message of each channel, and our own look."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Select, String, and_, func, select
from sqlalchemy.orm import Session

from webhook_app.db.kept_statements import KeptStatement
from webhook_app.db.row_sets import RowSet
from webhook_app.models import Event, HistoryEntry, Receipt
from webhook_app.models.event import Channel

#: Our own look at Proof's API, beside the channels of messages.
POLLING = "polling"

_ASKED = RowSet("asked", {"id": String()})


@dataclass(frozen=True)
class Told:
    """One channel told of a change at that time, so many seconds after the first that did."""

    channel: str
    at: datetime
    seconds_later: float


@dataclass
class Telling:
    """How one confirmed status change was told. `first` is the first message of each channel, `webhooks` how many came
    by that one."""

    merchant_transaction_id: str
    status: str
    updated_at: datetime
    recorded_at: datetime
    first: dict[str, datetime] = field(default_factory=dict)
    webhooks: int = 0

    def note(self, channel: str, at: datetime, count: int = 1) -> None:
        self.first[channel] = min(at, self.first.get(channel, at))
        if channel == Channel.WEBHOOK:
            self.webhooks += count

    @property
    def order(self) -> list[Told]:
        """Who told, the first one first. Polling is among them where it did not merely follow a message."""
        told = dict(self.first)
        if not told or min(told.values()) > self.recorded_at:
            told[POLLING] = self.recorded_at
        ordered = sorted(told.items(), key=lambda one: one[1])
        return [Told(channel, at, (at - ordered[0][1]).total_seconds()) for channel, at in ordered]


#: A confirmed status change, by the id of its entry in the history.
Tellings = dict[int, Telling]


def find_tellings(session: Session, merchant_transaction_ids: Collection[str]) -> Tellings:
    """Of all confirmed status changes of these transactions, in the order of Proof's time."""
    tellings: dict[int, Telling] = {}
    for row in _tellings.rows(session, _ASKED.given(session, [(id,) for id in merchant_transaction_ids])):
        telling = tellings.get(row.id)
        if telling is None:
            telling = Telling(row.merchant_transaction_id, row.status, row.updated_at, row.recorded_at)
            tellings[row.id] = telling
            if row.channel is not None:
                telling.note(row.channel, row.received_at)
        if row.copied_by is not None:
            telling.note(row.copied_by, row.copied_at, row.copies)
    return tellings


@KeptStatement
def _tellings(dialect: str) -> Select[Any]:
    """A row for each change, and one more for each further channel of the receipts of the event that told of it: there
    is one event at most, for these three name it."""
    change: Any = HistoryEntry.__table__
    event: Any = Event.__table__
    receipt: Any = Receipt.__table__
    is_told = and_(*(event.c[name] == change.c[name] for name in ("merchant_transaction_id", "status", "updated_at")))
    names = ("id", "merchant_transaction_id", "status", "updated_at", "recorded_at")
    columns = [*(change.c[name] for name in names), event.c.channel, event.c.received_at]
    copied_by, copied_at = receipt.c.channel.label("copied_by"), func.min(receipt.c.received_at).label("copied_at")
    return (
        select(*columns, copied_by, copied_at, func.count(receipt.c.id).label("copies"))
        .select_from(change)
        .outerjoin(event, is_told)
        .outerjoin(receipt, receipt.c.event_id == event.c.id)
        .where(_ASKED.holds(dialect, "id", change.c.merchant_transaction_id))
        .group_by(*columns, event.c.id, receipt.c.channel)
        .order_by(change.c.updated_at, change.c.id)
    )
