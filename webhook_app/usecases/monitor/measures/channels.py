"""Channels: when each last brought an event, and how many WebSocket connections stand."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import func, select

from webhook_app.domain.metrics import Sample
from webhook_app.models import Event, Listening
from webhook_app.models.event import Channel
from webhook_app.usecases.monitor.measures.sources import Sources, age, gauge, sample

#: The newest events among which a channel is looked for; one that brought none of them is left out.
MOST_LOOKED_AT = 1000

LAG = gauge("channel_lag_seconds", f"Since the channel brought an event, of the newest {MOST_LOOKED_AT}.", "channel")
LISTENING = gauge("websocket_connections", "WebSocket connections that are wanted, by whether they stand.", "state")
FAMILIES = (LAG, LISTENING)


def measure(sources: Sources) -> Iterator[Sample]:
    newest = select(Event.channel, Event.received_at).order_by(Event.id.desc()).limit(MOST_LOOKED_AT).subquery()
    with sources.database.read() as session:
        last = dict(
            session.execute(select(newest.c.channel, func.max(newest.c.received_at)).group_by(newest.c.channel)).all()
        )
        wanted = session.scalar(select(func.count()).select_from(Listening)) or 0
        standing = session.scalar(select(func.count()).where(Listening.connected_at.is_not(None))) or 0
    for channel in Channel:
        if channel in last:
            yield sample(LAG, age(last[channel], sources.now), channel=channel)
    yield sample(LISTENING, standing, state="standing")
    yield sample(LISTENING, wanted - standing, state="broken")
