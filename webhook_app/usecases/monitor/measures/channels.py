"""Channels: when each last brought a message, and how many WebSocket connections stand."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from webhook_app.domain.metrics import Sample
from webhook_app.models import Event, Listening, Receipt
from webhook_app.models.event import Channel
from webhook_app.usecases.heartbeats import CHANNEL_UPDATE, read_beats
from webhook_app.usecases.monitor.measures.sources import Sources, age, gauge, sample

#: The newest events and receipts among which a webhook is looked for.
MOST_LOOKED_AT = 1000

LAG = gauge(
    "channel_lag_seconds", "Since the channel last brought a message; at least, where many others came.", "channel"
)
LISTENING = gauge("websocket_connections", "WebSocket connections that are wanted, by whether they stand.", "state")
FAMILIES = (LAG, LISTENING)


def measure(sources: Sources) -> Iterator[Sample]:
    with sources.database.read() as session:
        last = {
            Channel.WEBHOOK: _find_last_webhook(session),
            Channel.WEBSOCKET: read_beats(session).get(CHANNEL_UPDATE),
        }
        wanted = session.scalar(select(func.count()).select_from(Listening)) or 0
        standing = session.scalar(select(func.count()).where(Listening.connected_at.is_not(None))) or 0
    for channel, at in last.items():
        if at is not None:
            yield sample(LAG, age(at, sources.now), channel=channel)
    yield sample(LISTENING, standing, state="standing")
    yield sample(LISTENING, wanted - standing, state="broken")


def _find_last_webhook(session: Session) -> datetime | None:
    """When the last one came; where none is among the newest messages, a time after which none did. A webhook is a
    receipt where the WebSocket was quicker."""
    found, none_since = [], []
    for kind in (Event, Receipt):
        newest = select(kind.channel, kind.received_at).order_by(kind.id.desc()).limit(MOST_LOOKED_AT).subquery()
        at, count, oldest = session.execute(
            select(
                func.max(newest.c.received_at).filter(newest.c.channel == Channel.WEBHOOK),
                func.count(),
                func.min(newest.c.received_at),
            )
        ).one()
        if at is not None:
            found.append(at)
        elif count == MOST_LOOKED_AT:
            none_since.append(oldest)
    return max(found or none_since, default=None)
