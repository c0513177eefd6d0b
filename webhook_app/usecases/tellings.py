"""Who told us of a confirmed status change, and when: the first message of each channel, and our own look."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from webhook_app.models import Event, HistoryEntry, Receipt
from webhook_app.models.event import Channel

#: Our own look at Proof's API, beside the channels of messages.
POLLING = "polling"

#: Messages of one transaction that are looked at: anybody may send some.
_MOST = 10_000


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
Tellings = Mapping[int, Telling]


def find_tellings(session: Session, merchant_transaction_ids: Collection[str]) -> Tellings:
    """Of all confirmed status changes of these transactions, in the order of Proof's time."""
    if not merchant_transaction_ids:
        return {}
    history = session.execute(
        select(HistoryEntry.id, HistoryEntry.status, HistoryEntry.updated_at, HistoryEntry.recorded_at)
        .where(HistoryEntry.merchant_transaction_id.in_(merchant_transaction_ids))
        .order_by(HistoryEntry.updated_at, HistoryEntry.id)
    )
    tellings = {row.id: Telling(row.status, row.updated_at, row.recorded_at) for row in history}
    of_change: dict[int, int] = {}
    events = session.execute(
        select(HistoryEntry.id.label("change_id"), Event.id, Event.channel, Event.received_at)
        .join(
            Event,
            (Event.merchant_transaction_id == HistoryEntry.merchant_transaction_id)
            & (Event.status == HistoryEntry.status)
            & (Event.updated_at == HistoryEntry.updated_at),
        )
        .where(HistoryEntry.merchant_transaction_id.in_(merchant_transaction_ids))
        .limit(_MOST)
    )
    for row in events:
        if row.change_id in tellings:
            tellings[row.change_id].note(row.channel, row.received_at)
            of_change[row.id] = row.change_id
    for event_id, channel, at, count in _receipts(session, of_change):
        tellings[of_change[event_id]].note(channel, at, count)
    return tellings


def _receipts(session: Session, event_ids: Collection[int]) -> list[tuple[int, str, datetime, int]]:
    if not event_ids:
        return []
    rows = session.execute(
        select(Receipt.event_id, Receipt.channel, func.min(Receipt.received_at), func.count())
        .where(Receipt.event_id.in_(event_ids))
        .group_by(Receipt.event_id, Receipt.channel)
    )
    return [(event_id, channel, at, count) for event_id, channel, at, count in rows]
