"""Releasing replays: the clock sends round, second by second, what each running replay's rate allows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from webhook_app.db.database import Database
from webhook_app.domain.failures import WORKER_DIED
from webhook_app.models import Event, Reconciliation, Replay, ReplayItem
from webhook_app.models.event import Delivery
from webhook_app.models.reconciliation import State

#: States in which a replay makes a difference: given up, or waiting for a later attempt.
REPLAYABLE = (State.FAILED, State.RETRYING)


def release_replays(database: Database, now: datetime) -> int:
    """Releases what the running replays' rates allow now; returns how many items. Any number of clocks may call it."""
    with database.read() as session:
        running = session.scalars(select(Replay.id).where(Replay.finished_at.is_(None)).order_by(Replay.id)).all()
    return sum(release(database, replay_id, now) for replay_id in running)


def release(database: Database, replay_id: int, now: datetime) -> int:
    """Releases what this replay's rate allows now; returns how many items."""
    with database.write() as session:
        replay = session.scalars(
            select(Replay).where(Replay.id == replay_id, Replay.finished_at.is_(None)).with_for_update(skip_locked=True)
        ).one_or_none()
        if replay is None:
            return 0  # finished, cancelled, or in another clock's hands
        just_released = session.scalar(
            select(func.count()).where(
                ReplayItem.replay_id == replay_id, ReplayItem.released_at > now - timedelta(seconds=1)
            )
        )
        allowed = max(int(replay.per_second), 1) - (just_released or 0)
        items = session.scalars(
            select(ReplayItem)
            .where(ReplayItem.replay_id == replay_id, ReplayItem.released_at.is_(None), ReplayItem.skipped.is_(None))
            .order_by(ReplayItem.id)
            .limit(max(allowed, 0) + 1)
        ).all()
        if len(items) <= allowed:
            replay.finished_at = now
        released = items[: max(allowed, 0)]
        rows = {
            row.id: row
            for row in session.scalars(
                select(Reconciliation)
                .where(Reconciliation.id.in_([item.reconciliation_id for item in released]))
                .order_by(Reconciliation.id)
                .with_for_update()
            )
        }
        reopened: dict[State, list[Reconciliation]] = {State.RETRYING: [], State.PENDING: []}
        for item in released:
            row = rows[item.reconciliation_id]
            if row.state in REPLAYABLE:
                # One whose worker died is tried alone; the others many at once.
                is_dangerous = row.crashes > 0 or row.last_error == WORKER_DIED
                reopened[State.RETRYING if is_dangerous else State.PENDING].append(row)
                item.released_at = now
            else:
                item.skipped = _why_not(row)
        for state, together in reopened.items():
            reopen(session, together, now, state)
        return len(released)


def reopen(session: Session, rows: Sequence[Reconciliation], now: datetime, state: State) -> None:
    """Gives them a full budget and makes them due now: one by one where `state` is retrying, else many at once."""
    for row in rows:
        row.state = state
        row.next_attempt_at = now
        row.generation += 1
        row.crashes = row.spent_attempts = row.single_retries = 0
        row.first_failed_at = None
    session.execute(
        update(Event)
        .where(
            Event.merchant_transaction_id.in_([row.merchant_transaction_id for row in rows]),
            Event.delivery.in_((Delivery.FAILED, Delivery.RETRYING)),
        )
        .values(delivery=Delivery.RETRYING if state == State.RETRYING else Delivery.PENDING)
        .execution_options(synchronize_session=False)
    )


def _why_not(row: Reconciliation) -> str:
    if row.state == State.SUCCEEDED:
        return "it had succeeded meanwhile"
    return "it was about to be tried anyway" if row.state == State.PENDING else "it was being reconciled meanwhile"
