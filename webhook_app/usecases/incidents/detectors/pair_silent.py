"""Webhooks have stopped for one currency and network, while others come, and Proof's API shows that its payments go on.
That none comes at all is `channel_silent`'s to say."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from sqlalchemy import exists, select

from webhook_app.domain.incidents import IncidentKind
from webhook_app.domain.silence import SeenChange, find_silences
from webhook_app.domain.timestamps import format_timestamp
from webhook_app.models import Event, HistoryEntry, Receipt, Transaction
from webhook_app.models.event import Channel
from webhook_app.usecases.incidents.finding import Finding, Look

#: The latest changes that are looked at, and how far back.
_MOST, _WITHIN = 300, timedelta(hours=24)
#: How long after a change was recorded its webhook is waited for.
_PATIENCE = timedelta(minutes=2)
#: What had happened so long before we looked is from a file of old ids.
_OLD = timedelta(hours=1)


def find(look: Look) -> Iterator[Finding]:
    for silence in find_silences(_load(look)):
        if silence.pair:
            since = format_timestamp(silence.since.replace(microsecond=0))
            yield Finding(
                IncidentKind.CHANNEL_SILENT,
                f"Webhooks for {silence.pair} stopped at {since}; {silence.changes} changes since came without one.",
                silence.pair,
                silence.since,
            )


def _load(look: Look) -> list[SeenChange]:
    """Oldest first."""
    event = (
        (Event.merchant_transaction_id == HistoryEntry.merchant_transaction_id)
        & (Event.status == HistoryEntry.status)
        & (Event.updated_at == HistoryEntry.updated_at)
    )
    first = exists().where(event, Event.channel == Channel.WEBHOOK)
    later = exists().where(event, Receipt.event_id == Event.id, Receipt.channel == Channel.WEBHOOK)
    rows = look.session.execute(
        select(
            Transaction.currency,
            Transaction.network,
            HistoryEntry.recorded_at,
            HistoryEntry.updated_at,
            (first | later).label("is_told"),
        )
        .join(Transaction, Transaction.merchant_transaction_id == HistoryEntry.merchant_transaction_id)
        .order_by(HistoryEntry.id.desc())
        .limit(_MOST)
    ).all()
    return [
        SeenChange(f"{row.currency}/{row.network or '?'}", row.recorded_at, bool(row.is_told))
        for row in reversed(rows)
        if look.now - _WITHIN < row.recorded_at <= look.now - _PATIENCE
        and (row.is_told or row.updated_at > row.recorded_at - _OLD)
    ]
