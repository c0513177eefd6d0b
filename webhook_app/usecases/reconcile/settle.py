"""Settling: how events, seen as deliveries, move on with their reconciliations; in sets, like these.

The caller holds the reconciliation of these events locked. An event that already has the value is not rewritten, nor is
one whose work is not opened: that is `pending`, and may be locked by whoever opens it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Boolean, ColumnElement, FromClause, and_, case, func, select, update
from sqlalchemy.orm import Session

from webhook_app.db.planner_hints import unindexed
from webhook_app.db.row_sets import row_set
from webhook_app.models import Event
from webhook_app.models.event import Delivery
from webhook_app.models.reconciliation import State
from webhook_app.usecases.reconcile.discrepancies import note_failure
from webhook_app.usecases.reconcile.lifecycle.changes import Change

_TABLE: Any = Event.__table__
_UNSETTLED = tuple(delivery for delivery in Delivery if delivery is not Delivery.SUCCEEDED)


@dataclass(frozen=True)
class Settled:
    """Whose events Proof's answer settles, and up to which one."""

    merchant_transaction_id: str
    generation: int
    """That of the claim under which Proof was asked: later ones came when it may have answered already."""
    is_latest: bool
    """Whether it was not asked for since."""


def settle_events(session: Session, settled: Sequence[Settled], now: datetime) -> None:
    """Proof's answer is newer than these events: they have succeeded."""
    if not settled:
        return
    given = _settled_rows(session, settled)
    session.execute(
        update(_TABLE)
        .where(
            _TABLE.c.merchant_transaction_id == given.c.merchant_transaction_id,
            unindexed(_TABLE.c.delivery) != Delivery.SUCCEEDED,
            _is_settled(given),
        )
        .values(delivery=Delivery.SUCCEEDED, settled_at=now)
    )


def _settled_rows(session: Session, settled: Sequence[Settled]) -> FromClause:
    columns = {
        "merchant_transaction_id": _TABLE.c.merchant_transaction_id.type,
        "generation": _TABLE.c.opened_generation.type,
        "is_latest": Boolean(),
    }
    rows = [(one.merchant_transaction_id, one.generation, one.is_latest) for one in settled]
    return row_set(session, "settled", columns, rows)


def _is_settled(given: FromClause) -> ColumnElement[bool]:
    """An event that a former release has opened names no generation. It was opened with its row, before the last time
    that its reconciliation was asked for, or then."""
    return and_(
        _TABLE.c.is_opened,
        case(
            (_TABLE.c.opened_generation.is_(None), given.c.is_latest),
            else_=_TABLE.c.opened_generation <= given.c.generation,
        ),
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
            _TABLE.c.is_opened,
            _TABLE.c.delivery != given.c.delivery,
        )
        .values(delivery=given.c.delivery)
    )
    failed = {name: delivery for name, delivery in moves.items() if delivery is Delivery.FAILED}
    if failed:
        _unsettle_newest(session, _moves(session, failed))


def _unsettle_newest(session: Session, failed: FromClause) -> None:
    """Of those that have no event that is not settled."""
    of_transaction = (_TABLE.c.merchant_transaction_id == failed.c.merchant_transaction_id) & _TABLE.c.is_opened
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
