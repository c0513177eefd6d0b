"""The WebSocket channel, which is optional: whether a listener runs, its connections, and when it last brought
something."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from webhook_app.models import Listening
from webhook_app.usecases.heartbeats import CHANNEL_UPDATE, IS_LATE, LISTENER, read_beats
from webhook_app.usecases.reconcile.listened import is_leased


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
    """None where no listener has heard of anything yet."""


def read_websocket(session: Session, now: datetime) -> WebSocketChannel | None:
    """None where no listener is meant to run."""
    beats = read_beats(session)
    beat_at, update_at = beats.get(LISTENER), beats.get(CHANNEL_UPDATE)
    if beat_at is None:
        return None
    if abs(now - beat_at) > IS_LATE:
        return WebSocketChannel(is_listening=False, last_update_at=update_at)
    wanted, standing, problem = session.execute(
        select(func.count(), func.count(Listening.connected_at), func.max(Listening.problem)).where(is_leased(now))
    ).one()
    return WebSocketChannel(True, wanted, standing, problem, update_at)
