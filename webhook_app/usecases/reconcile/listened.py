"""Which transactions have a WebSocket connection that stands: their news comes by itself, so they are polled less."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from webhook_app.domain.websocket_address import TRANSACTION, USER
from webhook_app.models import Listening


def find_listened(session: Session, users: Mapping[str, str | None], now: datetime) -> set[str]:
    """Those of these transactions, of each of which the user is given where it is known: a connection is about a
    transaction, or in the older form about a user."""
    topics: dict[str, list[str]] = {}
    for name, user in users.items():
        topics.setdefault(TRANSACTION + name, []).append(name)
        if user is not None:
            topics.setdefault(USER + user, []).append(name)
    if not topics:
        return set()
    standing = session.scalars(
        select(Listening.topic).where(
            Listening.topic.in_(topics), Listening.connected_at.is_not(None), Listening.lease_until >= now
        )
    )
    return {name for topic in standing for name in topics[topic]}
