"""The WebSocket channel, which is optional: whether a listener runs, its connections, and when it last brought
something."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from webhook_app.models import Event, Heartbeat, Listening, Receipt
from webhook_app.models.event import Channel
from webhook_app.usecases.heartbeats import IS_LATE, LISTENER

#: The newest events and receipts among which one of this channel is looked for.
MOST_LOOKED_AT = 1000


@dataclass(frozen=True)
class WebSocketChannel:
    """As it stands; it has been in use, and was not ended in order."""

    is_listening: bool
    """Whether a `listen` process lives."""
    wanted: int = 0
    standing: int = 0
    """Connections, of those that are wanted."""
    problem: str | None = None
    """Why one of the others does not stand."""
    last_update_at: datetime | None = None
    """None where none of the newest events came by it."""


def read_websocket(session: Session, now: datetime) -> WebSocketChannel | None:
    """None where no listener is meant to run."""
    beat_at = session.scalar(select(Heartbeat.beat_at).where(Heartbeat.name == LISTENER))
    if beat_at is None:
        return None
    if abs(now - beat_at) > IS_LATE:
        return WebSocketChannel(is_listening=False, last_update_at=_find_last_update(session))
    wanted, standing, problem = session.execute(
        select(func.count(), func.count(Listening.connected_at), func.max(Listening.problem)).where(
            Listening.lease_until >= now
        )
    ).one()
    return WebSocketChannel(True, wanted, standing, problem, _find_last_update(session))


def _find_last_update(session: Session) -> datetime | None:
    found = []
    for kind in (Event, Receipt):
        newest = select(kind.channel, kind.received_at).order_by(kind.id.desc()).limit(MOST_LOOKED_AT).subquery()
        at = session.scalar(select(func.max(newest.c.received_at)).where(newest.c.channel == Channel.WEBSOCKET))
        found += [at] if at is not None else []
    return max(found, default=None)
