"""Which transactions have a WebSocket connection that stands: their news comes by itself, so they are polled less."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from webhook_app.domain.gate import MOST_SKEW
from webhook_app.domain.websocket_address import TRANSACTION, USER
from webhook_app.models import Listening

#: How long a lease on a connection lasts that nobody renews.
LISTENING_LEASE = timedelta(seconds=15)


def is_leased(now: datetime) -> ColumnElement[bool]:
    """The condition on a listening that somebody holds. A lease that ends later than one that begins now was taken
    before a clock was set back: who lives renews it within seconds, and who does not must not hold it for an hour."""
    return Listening.lease_until.between(now, now + LISTENING_LEASE + MOST_SKEW)


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
        select(Listening.topic).where(Listening.topic.in_(topics), Listening.connected_at.is_not(None), is_leased(now))
    )
    return {name for topic in standing for name in topics[topic]}
