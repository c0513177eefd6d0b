"""Settling: how events, seen as deliveries, move on with their reconciliations; in sets, like these.

The caller holds the reconciliation of these events locked. An event that already has the value is not rewritten.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import FromClause, func, select, update
from sqlalchemy.orm import Session

from webhook_app.db.planner_hints import unindexed
from webhook_app.db.row_sets import id_set, row_set
from webhook_app.models import Event
from webhook_app.models.event import Delivery
from webhook_app.models.reconciliation import State
from webhook_app.usecases.reconcile.discrepancies import note_failure
from webhook_app.usecases.reconcile.lifecycle.changes import Change

_TABLE: Any = Event.__table__
_UNSETTLED = tuple(delivery for delivery in Delivery if delivery is not Delivery.SUCCEEDED)


def settle_events(session: Session, event_ids: Sequence[int], now: datetime) -> None:
    """Proof's answer is newer than these events: they have succeeded."""
    if not event_ids:
        return
    settled = id_set(session, "settled", event_ids)
    session.execute(
        update(_TABLE)
        .where(_TABLE.c.id == settled.c.id, _TABLE.c.delivery != Delivery.SUCCEEDED)
        .values(delivery=Delivery.SUCCEEDED, settled_at=now)
    )


def show_failures(session: Session, changes: Sequence[Change], now: datetime) -> None:
    """Shows what failed: its events become deliveries that are retried or failed, and what gave up is a discrepancy."""
    failed = [change for change in changes if change.after.last_failure is not None]
    deliveries = {State.RETRYING: Delivery.RETRYING, State.FAILED: Delivery.FAILED}
    move_events(
        session,
        {
            change.after.merchant_transaction_id: deliveries[change.after.state]
            for change in failed
            if change.after.state in deliveries
        },
    )
    for change in failed:
        if change.after.state is State.FAILED and change.after.last_failure is not None:
            note_failure(
                session,
                change.after.merchant_transaction_id,
                change.after.last_failure,
                attempts=change.after.attempts,
                now=now,
            )


def move_events(session: Session, moves: Mapping[str, Delivery], *, moved: Sequence[Delivery] = _UNSETTLED) -> None:
    """The events of each transaction that are in one of the states `moved` become what `moves` gives for its id.

    A late look at a transaction may fail when all its events have long been settled. What gave up must be seen, so its
    newest event is a failed delivery again.
    """
    if not moves:
        return
    given = _moves(session, moves)
    session.execute(
        update(_TABLE)
        .where(
            _TABLE.c.merchant_transaction_id == given.c.merchant_transaction_id,
            unindexed(_TABLE.c.delivery).in_(moved),
            _TABLE.c.delivery != given.c.delivery,
        )
        .values(delivery=given.c.delivery)
    )
    failed = {name: delivery for name, delivery in moves.items() if delivery is Delivery.FAILED}
    if failed:
        _unsettle_newest(session, _moves(session, failed))


def _unsettle_newest(session: Session, failed: FromClause) -> None:
    """Of those that have no event that is not settled."""
    of_transaction = _TABLE.c.merchant_transaction_id == failed.c.merchant_transaction_id
    newest = select(func.max(_TABLE.c.id)).where(of_transaction).correlate(failed).scalar_subquery()
    unsettled = select(_TABLE.c.id).where(of_transaction, _TABLE.c.delivery != Delivery.SUCCEEDED).correlate(failed)
    session.execute(
        update(_TABLE)
        .where(_TABLE.c.id.in_(select(newest).select_from(failed).where(~unsettled.exists())))
        .values(delivery=Delivery.FAILED, settled_at=None)
    )


def _moves(session: Session, moves: Mapping[str, Delivery]) -> FromClause:
    columns = {name: _TABLE.c[name].type for name in ("merchant_transaction_id", "delivery")}
    return row_set(session, "moves", columns, [(name, delivery.value) for name, delivery in moves.items()])
