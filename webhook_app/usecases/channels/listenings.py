"""Leases on WebSocket connections: any number of `listen` processes share the young open transactions among them.

A topic is what one connection is about: a transaction, or in the older form a user. Who holds its lease connects; a
lease that ran out is anybody's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, delete, exists, func, literal, not_, select, update
from sqlalchemy.orm import Session

from webhook_app.db.database import Database
from webhook_app.db.upsert import insert_into
from webhook_app.domain.text import storable
from webhook_app.domain.websocket_address import TRANSACTION, USER
from webhook_app.models import Heartbeat, Listening, Reconciliation, Transaction
from webhook_app.models.reconciliation import AskedBy
from webhook_app.usecases.heartbeats import CHANNEL_UPDATE, LISTENER, stop_beating, write_beat
from webhook_app.usecases.reconcile.listened import LISTENING_LEASE, is_leased
from webhook_app.usecases.reconcile.look_soon import look_soon

#: How often a listener that has nothing to do says that it is alive.
BEAT_EVERY = timedelta(seconds=5)
#: Topics that are claimed in one turn.
BATCH = 200

_PROBLEM = 200
#: A flood of forged ids must take no connection from those that are known.
_NOT_LISTENED = (AskedBy.STRANGER.value,)


@dataclass(frozen=True)
class Listener:
    """One `listen` process: its name, how many connections it may have, and what they are about."""

    name: str
    most_connections: int
    listen_for: timedelta
    """How long after a transaction was first known it has a connection."""
    is_by_user: bool = False


@dataclass(frozen=True)
class Progress:
    """What became of a listener's connections since its last turn."""

    held: Collection[str] = ()
    connected: Collection[str] = ()
    """Topics whose connection stands anew: something may have been missed before."""
    broken: Mapping[str, str] = field(default_factory=dict)
    """Topics whose connection does not stand, and why."""
    update_at: datetime | None = None
    """When the latest update came, where one has."""


@dataclass(frozen=True)
class Turn:
    """What a listener has to do: connect to what is new to it, and leave what it no longer holds."""

    claimed: tuple[str, ...]
    over: tuple[str, ...]


def take_turn(database: Database, listener: Listener, progress: Progress, now: datetime) -> Turn:
    """Renews the leases, notes what became of the connections, and claims topics up to the listener's limit. The next
    look at what is connected anew is brought forward, so that nothing is missed in between."""
    with database.read() as session:
        last_beat_at = session.scalar(select(Heartbeat.beat_at).where(Heartbeat.name == LISTENER))
        wanted = set(session.scalars(_wanted(listener, now).where(_topic(listener).in_(progress.held))))
        room = listener.most_connections - len(wanted)
        free = _find_free(session, listener, now, min(room, BATCH)) if room > 0 else []
    is_due = last_beat_at is None or abs(now - last_beat_at) >= BEAT_EVERY
    if not (progress.held or free or is_due or progress.update_at):
        return Turn((), ())

    def write(session: Session) -> Turn:
        turn = _take(session, listener, progress, wanted, free, now)
        if is_due:
            write_beat(session, LISTENER, now)
        if progress.update_at is not None:
            write_beat(session, CHANNEL_UPDATE, progress.update_at)
        return turn

    return database.run(write)


def give_back(database: Database, listener: Listener, held: Collection[str], now: datetime) -> None:
    """Gives the leases back, brings the next look at what they were about forward, and is missed by nobody."""

    def write(session: Session) -> None:
        if held:
            session.execute(delete(Listening).where(Listening.topic.in_(held), Listening.holder == listener.name))
            look_soon(session, _transactions_of(session, listener, held, now), now)
        stop_beating(session, LISTENER)  # others that still run beat again at once

    database.run(write)


def _take(
    session: Session,
    listener: Listener,
    progress: Progress,
    wanted: Collection[str],
    free: Sequence[str],
    now: datetime,
) -> Turn:
    own = Listening.holder == listener.name
    kept = set(
        session.scalars(
            update(Listening)
            .where(Listening.topic.in_(wanted), own)
            .values(lease_until=now + LISTENING_LEASE)
            .returning(Listening.topic)
        )
    )
    over = [topic for topic in progress.held if topic not in kept]
    session.execute(delete(Listening).where(Listening.topic.in_(over), own))
    for topic, problem in progress.broken.items():
        session.execute(
            update(Listening)
            .where(Listening.topic == topic, own)
            .values(connected_at=None, problem=storable(problem, _PROBLEM))
        )
    standing = kept.intersection(progress.connected)
    session.execute(update(Listening).where(Listening.topic.in_(standing), own).values(connected_at=now, problem=None))
    look_soon(session, _transactions_of(session, listener, standing, now), now)
    return Turn(_claim(session, listener, free, now), tuple(over))


def _claim(session: Session, listener: Listener, free: Sequence[str], now: datetime) -> tuple[str, ...]:
    """Those that no other process was quicker to take."""
    if not free:
        return ()
    table: Any = Listening.__table__
    insert = insert_into(session, table).values(
        [
            {
                "topic": topic,
                "holder": listener.name,
                "lease_until": now + LISTENING_LEASE,
                "connected_at": None,
                "problem": None,
            }
            for topic in sorted(free)
        ]
    )
    taken = insert.on_conflict_do_update(
        index_elements=[table.c.topic],
        set_={name: insert.excluded[name] for name in ("holder", "lease_until", "connected_at", "problem")},
        where=not_(is_leased(now)),
    )
    return tuple(session.scalars(taken.returning(table.c.topic)))


def _find_free(session: Session, listener: Listener, now: datetime, limit: int) -> Sequence[str]:
    """Wanted topics that nobody holds, those first that were known last."""
    topic = _topic(listener)
    is_held = exists().where(Listening.topic == topic, is_leased(now))
    query = _wanted(listener, now).where(~is_held)
    if listener.is_by_user:
        query = query.group_by(Transaction.partner_user_id).order_by(func.max(Reconciliation.created_at).desc())
    else:
        query = query.order_by(Reconciliation.created_at.desc(), Reconciliation.id.desc())
    return session.scalars(query.limit(limit)).all()


def _wanted(listener: Listener, now: datetime) -> Select[str]:
    """The topics of young transactions of which something may still be heard: of a failed one too, for it may be tried
    again."""
    query = select(_topic(listener)).select_from(Reconciliation)
    if listener.is_by_user:
        query = query.join(
            Transaction, Transaction.merchant_transaction_id == Reconciliation.merchant_transaction_id
        ).where(Transaction.partner_user_id.is_not(None))
    return query.where(
        Reconciliation.created_at > now - listener.listen_for,
        Reconciliation.next_attempt_at.is_not(None),
        Reconciliation.asked_by.not_in(_NOT_LISTENED),
    )


def _topic(listener: Listener) -> ColumnElement[str]:
    if listener.is_by_user:
        return literal(USER) + Transaction.partner_user_id
    return literal(TRANSACTION) + Reconciliation.merchant_transaction_id


def _transactions_of(session: Session, listener: Listener, topics: Collection[str], now: datetime) -> Collection[str]:
    """The transactions that these topics are about."""
    if not listener.is_by_user or not topics:
        return [topic.removeprefix(TRANSACTION) for topic in topics]
    query = _wanted(listener, now).where(_topic(listener).in_(topics))
    return session.scalars(query.with_only_columns(Reconciliation.merchant_transaction_id)).all()
