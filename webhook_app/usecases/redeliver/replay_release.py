"""Releasing replays: the clock sends round, second by second, what each running replay's rate allows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from webhook_app.db.database import Database
from webhook_app.domain.failures import WORKER_DIED
from webhook_app.domain.gate import MOST_SKEW
from webhook_app.models import Reconciliation, Replay, ReplayItem
from webhook_app.models.event import Delivery
from webhook_app.models.reconciliation import State
from webhook_app.models.replay import IS_WAITING
from webhook_app.usecases.reconcile.lifecycle import changes
from webhook_app.usecases.reconcile.lifecycle.changes import Change, Life
from webhook_app.usecases.reconcile.lifecycle.rows import lock, write_changes
from webhook_app.usecases.reconcile.lifecycle.transitions import REPLAYED
from webhook_app.usecases.reconcile.settle import move_events

#: States in which a replay makes a difference: given up, or waiting for a later attempt.
REPLAYABLE = tuple(state for state in State if REPLAYED.may_follow(state))


def release_replays(database: Database, now: datetime) -> int:
    """Releases what the running replays' rates allow now; returns how many items. Any number of clocks may call it."""
    with database.read() as session:
        running = session.scalars(select(Replay.id).where(Replay.released_at.is_(None)).order_by(Replay.id)).all()
    return sum(release(database, replay_id, now) for replay_id in running)


def release(database: Database, replay_id: int, now: datetime) -> int:
    """Releases what this replay's rate allows now; returns how many items."""

    def release_items(session: Session) -> int:
        order = session.scalars(
            select(Replay).where(Replay.id == replay_id, Replay.released_at.is_(None)).with_for_update(skip_locked=True)
        ).one_or_none()
        if order is None:
            return 0  # finished, cancelled, or in another clock's hands
        just_released = session.scalar(
            select(func.count()).where(
                ReplayItem.replay_id == replay_id,
                ReplayItem.released_at > now - timedelta(seconds=1),
                ReplayItem.released_at
                <= now + MOST_SKEW,  # what is further ahead was released before a clock was set back
            )
        )
        allowed = max(int(order.per_second), 1) - (just_released or 0)
        items = session.scalars(
            select(ReplayItem)
            .where(ReplayItem.replay_id == replay_id, IS_WAITING)
            .order_by(ReplayItem.id)
            .limit(max(allowed, 0) + 1)
        ).all()
        if len(items) <= allowed:
            order.released_at = now
        released = items[: max(allowed, 0)]
        lives = lock(session, Reconciliation.id.in_([item.reconciliation_id for item in released]))
        # One whose worker died is tried alone; the others many at once.
        replayed = {
            life.id: changes.replay(life, now, alone=_took_worker_down(life))
            for life in lives
            if life.state in REPLAYABLE
        }
        skipped = {life.id: _why_not(life.state) for life in lives if life.id not in replayed}
        for item in released:
            if item.reconciliation_id in replayed:
                item.released_at = now
            else:
                item.skipped = skipped[item.reconciliation_id]
        write_replays(session, list(replayed.values()))
        return len(released)

    return database.run(release_items, by_index=True)


def write_replays(session: Session, replays: Sequence[Change]) -> None:
    """Writes them, and takes the deliveries that failed or are retried along."""
    write_changes(session, replays)
    move_events(
        session,
        {
            change.after.merchant_transaction_id: (
                Delivery.RETRYING if change.after.state is State.RETRYING else Delivery.PENDING
            )
            for change in replays
        },
        moved=(Delivery.FAILED, Delivery.RETRYING),
    )


def _took_worker_down(life: Life) -> bool:
    return life.crashes > 0 or (life.last_failure is not None and life.last_failure.error == WORKER_DIED)


def _why_not(state: State) -> str:
    if state is State.SUCCEEDED:
        return "it had succeeded meanwhile"
    return "it was about to be tried anyway" if state is State.PENDING else "it was being reconciled meanwhile"
