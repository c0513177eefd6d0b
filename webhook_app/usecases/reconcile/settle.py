"""Settling: how events, seen as deliveries, move on with their reconciliations; in sets, like these.

The caller holds the reconciliation of these events locked. An event that already has the value is not rewritten, nor is
one whose work is not opened: that is `pending`, and may be locked by whoever opens it.

One transaction moves so many events at most. Where there are more, which only a flood brings about, their
reconciliations are marked, and the others follow in portions, so that no lock is held for long.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Executable, Integer, bindparam, case, func, select, update
from sqlalchemy.orm import Session

from webhook_app.db.database import Database
from webhook_app.db.planner_hints import is_chosen, one_by_one, sorted_afterwards, unindexed, unweighed
from webhook_app.db.row_sets import RowSet, for_each_dialect
from webhook_app.models import Event, Reconciliation
from webhook_app.models.event import Delivery
from webhook_app.models.reconciliation import HAS_EVENTS_BEHIND, AskedBy, State
from webhook_app.usecases.reconcile.discrepancies import GivenUp, note_failures
from webhook_app.usecases.reconcile.lifecycle.changes import Change, Life
from webhook_app.usecases.reconcile.lifecycle.marks import mark_unknown, note_events_behind
from webhook_app.usecases.reconcile.quiet import has_any
from webhook_app.usecases.reconcile.unknown_ids import find_unknown

#: Events that one transaction moves at most.
PORTION = 5000

_TABLE: Any = Event.__table__
_WORK: Any = Reconciliation.__table__
_NAMES = RowSet("names", {"name": _TABLE.c.merchant_transaction_id.type})
_MOVES = RowSet("moves", {name: _TABLE.c[name].type for name in ("merchant_transaction_id", "delivery")})
_UNSETTLED = tuple(delivery for delivery in Delivery if delivery is not Delivery.SUCCEEDED)
#: What an event becomes that Proof's answer has not settled.
_SHOWN = {State.PENDING: Delivery.PENDING, State.RETRYING: Delivery.RETRYING, State.FAILED: Delivery.FAILED}


def settle_events(session: Session, names: Sequence[str]) -> None:
    """Proof's answer is newer than events of these transactions: those have succeeded when it was applied."""
    if names and _settle(session, names, PORTION) == PORTION:
        note_events_behind(session, names, are_behind=True)


def show_failures(session: Session, changes: Sequence[Change], now: datetime) -> None:
    """Shows what failed: its events become deliveries that are retried or failed, and what gave up is a discrepancy,
    but for unknown ids, which are gathered or are in the report of a backfill."""
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
    given_up = [change.after for change in failed if change.after.state is State.FAILED]
    unknown = {life.id for life in find_unknown(session, given_up)}
    mark_unknown(session, sorted(unknown))
    noted = [
        GivenUp(life.merchant_transaction_id, life.last_failure, life.attempts)
        for life in given_up
        if life.last_failure is not None and life.id not in unknown and not _is_of_report(life)
    ]
    note_failures(session, noted, now)


def _is_of_report(life: Life) -> bool:
    """Whether Proof does not know an old id: a backfill reports these together, and none is a discrepancy."""
    return life.asked_by == AskedBy.BACKFILL and life.last_failure is not None and life.last_failure.http_status == 404


def move_events(session: Session, moves: Mapping[str, Delivery], *, moved: Sequence[Delivery] = _UNSETTLED) -> None:
    """The events of each transaction that are in one of the states `moved` become what `moves` gives for its id.

    A late look at a transaction may fail when all its events have long been settled. What gave up must be seen, so its
    newest event is a failed delivery again.
    """
    if not moves:
        return
    if _move(session, moves, moved, PORTION) == PORTION:
        note_events_behind(session, list(moves), are_behind=True)
    failed = {name: delivery for name, delivery in moves.items() if delivery is Delivery.FAILED}
    if failed:
        session.execute(_unsettle_newest(session), _given(session, failed))


def follow_up(database: Database, portions: int) -> int:
    """Lets events that are behind show how their reconciliation stands, up to that many portions of them; returns how
    many events."""
    moved = 0
    for _ in range(portions):
        with database.read(by_index=True) as session:  # mostly there are none, and no lock is needed for that
            if not session.scalar(select(has_any(Reconciliation.id, HAS_EVENTS_BEHIND))):
                break
        moved += database.run(_follow_up, by_index=True)
    return moved


def _follow_up(session: Session) -> int:
    row = session.execute(
        select(Reconciliation.merchant_transaction_id, Reconciliation.state)
        .where(HAS_EVENTS_BEHIND)
        .order_by(Reconciliation.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    ).one_or_none()
    if row is None:
        return 0  # in other hands
    name = row.merchant_transaction_id
    moved = _settle(session, [name], PORTION)
    if moved < PORTION and row.state in _SHOWN:
        moved += _move(session, {name: _SHOWN[row.state]}, _UNSETTLED, PORTION - moved)
    if moved < PORTION:
        note_events_behind(session, [name], are_behind=False)
    return moved


def _settle(session: Session, names: Sequence[str], most: int) -> int:
    """How many."""
    result: Any = session.execute(
        _settle_named(session), _NAMES.given(session, [(name,) for name in names]) | {"most": most}
    )
    return int(result.rowcount)


@for_each_dialect
def _settle_named(dialect: str) -> Executable:
    """An event that a former release has opened names no generation: it was opened with its row, before the last time
    that its reconciliation was asked for, or then. What gave up settles nothing: it must be seen."""
    settled = (
        select(_TABLE.c.id)
        .join(_WORK, _TABLE.c.merchant_transaction_id == one_by_one(_WORK.c.merchant_transaction_id))
        .where(
            _NAMES.holds(dialect, "name", _WORK.c.merchant_transaction_id),
            unweighed(
                unindexed(_WORK.c.state) != State.FAILED,
                unindexed(_TABLE.c.delivery) != Delivery.SUCCEEDED,
                _TABLE.c.is_opened,
                func.coalesce(_TABLE.c.opened_generation, _WORK.c.generation) <= _WORK.c.settled_generation,
            ),
        )
        .limit(bindparam("most", type_=Integer()))
    )
    of_transaction = _WORK.c.merchant_transaction_id == _TABLE.c.merchant_transaction_id
    settled_at = select(_WORK.c.reconciled_at).where(of_transaction).correlate(_TABLE).scalar_subquery()
    return (
        update(_TABLE)
        .where(is_chosen(dialect, _TABLE.c.id, settled))
        .values(delivery=Delivery.SUCCEEDED, settled_at=settled_at)
    )


def _move(session: Session, moves: Mapping[str, Delivery], moved: Sequence[Delivery], most: int) -> int:
    """How many."""
    statement = _move_named(session.get_bind().dialect.name, tuple(moved))
    result: Any = session.execute(statement, _given(session, moves) | {"most": most})
    return int(result.rowcount)


@functools.cache
def _move_named(dialect: str, moved: tuple[Delivery, ...]) -> Executable:
    """What each becomes is found in a set for each kind: looked up among the moves for each event, it would take as
    long as there are of both."""
    moves = _MOVES.table(dialect)
    name = _TABLE.c.merchant_transaction_id
    chosen = (
        select(_TABLE.c.id)
        .where(
            name == one_by_one(moves.c.merchant_transaction_id),
            unweighed(
                unindexed(_TABLE.c.delivery).in_(moved), _TABLE.c.is_opened, _TABLE.c.delivery != moves.c.delivery
            ),
        )
        .limit(bindparam("most", type_=Integer()))
    )
    become = (
        (name.in_(select(moves.c.merchant_transaction_id).where(moves.c.delivery == one)), one.value)
        for one in (Delivery.RETRYING, Delivery.FAILED)
    )
    return (
        update(_TABLE)
        .where(is_chosen(dialect, _TABLE.c.id, chosen))
        .values(delivery=case(*become, else_=Delivery.PENDING.value))
    )


@for_each_dialect
def _unsettle_newest(dialect: str) -> Executable:
    """Of those that have no event that is not settled."""
    failed = _MOVES.table(dialect)
    of_transaction = _TABLE.c.merchant_transaction_id == one_by_one(failed.c.merchant_transaction_id)
    opened = select(_TABLE).where(of_transaction, unweighed(_TABLE.c.is_opened)).correlate(failed)
    newest = opened.with_only_columns(func.max(sorted_afterwards(_TABLE.c.id))).scalar_subquery()
    unsettled = opened.where(unweighed(_TABLE.c.delivery != Delivery.SUCCEEDED))
    return (
        update(_TABLE)
        .where(is_chosen(dialect, _TABLE.c.id, select(newest).select_from(failed).where(~unsettled.exists())))
        .values(delivery=Delivery.FAILED, settled_at=None)
    )


def _given(session: Session, moves: Mapping[str, Delivery]) -> dict[str, Any]:
    return _MOVES.given(session, [(name, delivery.value) for name, delivery in moves.items()])
