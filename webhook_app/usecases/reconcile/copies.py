"""Copies that may ask for a reconciliation again: here it is decided whether they do.

A copy is a copy only of what is settled. Where the reconciliation gave up, Proof's redelivery is a reason to try again.
One that reports other values asks Proof which are right. One without an `updated_at` may tell of another change.

Locks are taken in the order of the inbox: copies that nobody has looked at, then reconciliations.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import BigInteger, Executable, Integer, bindparam, func, select, true, update
from sqlalchemy.orm import Session

from webhook_app.db.database import Database
from webhook_app.db.kept_statements import keep
from webhook_app.db.planner_hints import one_by_one, sorted_afterwards
from webhook_app.db.row_sets import RowSet, for_each_dialect
from webhook_app.domain.retry_policy import Budget
from webhook_app.models import Event, HistoryEntry, Receipt, Reconciliation
from webhook_app.models.event import RECEIPT_IS_UNOPENED, Delivery
from webhook_app.models.reconciliation import State
from webhook_app.usecases.reconcile.decisions import decide_after_copy
from webhook_app.usecases.reconcile.lifecycle.asking import ask_for_reconciliations
from webhook_app.usecases.reconcile.lifecycle.changes import Life
from webhook_app.usecases.reconcile.lifecycle.rows import lock, write_changes
from webhook_app.usecases.reconcile.settle import move_events

#: Copies that are looked at together.
BATCH = 500

_TABLE: Any = Receipt.__table__
_RNG = random.Random()
_OPENED = RowSet("opened", {"id": BigInteger(), "generation": Integer()})
_OLDEST = keep(
    select(_TABLE.c.id)
    .where(RECEIPT_IS_UNOPENED, _TABLE.c.id > bindparam("after", type_=BigInteger()))
    .order_by(_TABLE.c.id)
    .limit(bindparam("most", type_=Integer()))
)


@dataclass(frozen=True)
class _Copy:
    """A receipt that nobody has looked at, and its event."""

    id: int
    received_at: datetime
    is_report: bool
    """Whether it reports other values than the event and the copies before it."""
    event_id: int
    merchant_transaction_id: str
    status: str
    has_timestamp: bool
    is_opened: bool
    is_settled: bool
    first_received_at: datetime
    first_generation: int
    """Under which the event was opened; 0 where a former release has done it."""


def open_copies(database: Database, limit: int, now: datetime, budget: Budget) -> int:
    """Looks at the oldest copies that nobody has looked at, up to `limit` of them; returns how many. Those whose
    reconciliation is locked, or under way for an event that is not settled, are left for the next time."""
    opened, after = 0, 0
    while opened < limit:
        most = min(BATCH, limit - opened)
        with database.read(by_index=True) as session:
            ids = [row.id for row in _OLDEST.rows(session, {"after": after, "most": most})]
        if ids:
            opened += database.run(partial(_open_batch, ids=ids, now=now, budget=budget), by_index=True)
            after = ids[-1]
        if len(ids) < most:
            break
    return opened


def _open_batch(session: Session, ids: Sequence[int], now: datetime, budget: Budget) -> int:
    copies = _lock_copies(session, ids)
    names = sorted({copy.merchant_transaction_id for copy in copies})
    lives = {
        life.merchant_transaction_id: life
        for life in lock(session, Reconciliation.merchant_transaction_id.in_(names), skip_locked=True)
    }
    seen = [(copy, lives[copy.merchant_transaction_id]) for copy in copies if copy.merchant_transaction_id in lives]
    seen = [(copy, life) for copy, life in seen if not _is_under_way(copy, life)]
    failed = {copy.id: life for copy, life in seen if life.state is State.FAILED and not copy.is_settled}
    asking = _find_asking(session, [one for one in seen if one[0].id not in failed])
    generations = _ask(session, asking, now)
    # One that is asked for like by a new event needs no copy.
    gave_up = [life for life in failed.values() if life.merchant_transaction_id not in generations]
    generations = {**generations, **_try_again(session, gave_up, now, budget)}
    asked = {copy.id for copy in asking}.union(failed)
    _note_opened(
        session,
        [(copy.id, generations.get(copy.merchant_transaction_id) if copy.id in asked else None) for copy, _ in seen],
    )
    return len(seen)


def _is_under_way(copy: _Copy, life: Life) -> bool:
    """Whether Proof was asked before the copy came, and may fail to know what the copy tells of: that has to be waited
    for. A report asks anyway."""
    return life.claim_token is not None and not copy.is_settled and not copy.is_report


def _find_asking(session: Session, seen: Sequence[tuple[_Copy, Life]]) -> list[_Copy]:
    """The copies that ask for their reconciliation like a new event."""
    reports = [copy for copy, _ in seen if copy.is_report and copy.is_opened]
    repeats = [(copy, life) for copy, life in seen if not copy.is_report and not copy.has_timestamp and copy.is_opened]
    last = _find_last_asked(session, [copy for copy, _ in repeats])
    changes = _find_changes(session, [copy.merchant_transaction_id for copy, _ in repeats])
    for copy, life in repeats:
        asked_at, generation = last[copy.event_id]
        others = [at for status, at in changes.get(copy.merchant_transaction_id, ()) if status != copy.status]
        if life.generation > generation or any(at > asked_at for at in others):
            reports.append(copy)
    return reports


def _find_last_asked(session: Session, copies: Sequence[_Copy]) -> Mapping[int, tuple[datetime, int]]:
    """When each of these events, or a copy of it, has last asked, and under which generation."""
    last = {copy.event_id: (copy.first_received_at, copy.first_generation) for copy in copies}
    if last:
        of_event = select(func.max(sorted_afterwards(Receipt.id))).where(
            Receipt.event_id == Event.id, Receipt.opened_generation.is_not(None)
        )
        rows = session.execute(
            select(Receipt.event_id, Receipt.received_at, Receipt.opened_generation)
            .select_from(Event)
            .join(Receipt, Receipt.id == one_by_one(of_event.correlate(Event).scalar_subquery()))
            .where(Event.id.in_(last))
        )
        last |= {row.event_id: (row.received_at, row.opened_generation or 0) for row in rows}
    return last


def _find_changes(session: Session, names: Sequence[str]) -> Mapping[str, list[tuple[str, datetime]]]:
    """The confirmed status changes of these transactions, and when each was recorded."""
    changes: dict[str, list[tuple[str, datetime]]] = {}
    if names:
        for name, status, at in session.execute(
            select(HistoryEntry.merchant_transaction_id, HistoryEntry.status, HistoryEntry.recorded_at).where(
                HistoryEntry.merchant_transaction_id.in_(set(names))
            )
        ):
            changes.setdefault(name, []).append((status, at))
    return changes


def _ask(session: Session, copies: Iterable[_Copy], now: datetime) -> Mapping[str, int]:
    """Asks like a new event; the generation of each transaction that was asked for."""
    asked_at: dict[str, datetime] = {}
    for copy in copies:
        at = min(copy.received_at, now)
        asked_at[copy.merchant_transaction_id] = min(at, asked_at.get(copy.merchant_transaction_id, at))
    return ask_for_reconciliations(session, asked_at, skip_locked=True)


def _try_again(session: Session, failed: Iterable[Life], now: datetime, budget: Budget) -> Mapping[str, int]:
    """Tries what gave up again, each once however many copies there are; the generation of each."""
    lives = {life.id: life for life in failed}
    changes = [change for life in lives.values() if (change := decide_after_copy(life, now, budget, _RNG)) is not None]
    write_changes(session, changes)
    names = [change.after.merchant_transaction_id for change in changes]
    move_events(session, dict.fromkeys(names, Delivery.RETRYING), moved=(Delivery.FAILED,))
    return {change.after.merchant_transaction_id: change.after.generation for change in changes}


def _note_opened(session: Session, rows: Sequence[tuple[int, int | None]]) -> None:
    if rows:
        session.execute(_mark_opened(session), _OPENED.given(session, rows))


@for_each_dialect
def _mark_opened(dialect: str) -> Executable:
    opened = _OPENED.table(dialect)
    return (
        update(_TABLE)
        .where(_TABLE.c.id == one_by_one(opened.c.id))
        .values(is_opened=true(), opened_generation=opened.c.generation)
    )


def _lock_copies(session: Session, ids: Sequence[int]) -> list[_Copy]:
    """Those that still nobody has looked at, or looks at now."""
    rows = session.execute(
        select(
            Receipt.id,
            Receipt.received_at,
            Receipt.reported.is_not(None).label("is_report"),
            Receipt.event_id,
            Event.merchant_transaction_id,
            Event.status,
            Event.updated_at,
            Event.is_opened,
            Event.delivery,
            Event.received_at.label("first_received_at"),
            Event.opened_generation,
        )
        .join(Event, Event.id == one_by_one(Receipt.event_id))
        .where(Receipt.id.in_(ids), RECEIPT_IS_UNOPENED)
        .order_by(Receipt.id)
        .with_for_update(of=Receipt, skip_locked=True)
    )
    return [
        _Copy(
            id=row.id,
            received_at=row.received_at,
            is_report=row.is_report,
            event_id=row.event_id,
            merchant_transaction_id=row.merchant_transaction_id,
            status=row.status,
            has_timestamp=row.updated_at is not None,
            is_opened=row.is_opened,
            is_settled=row.delivery == Delivery.SUCCEEDED,
            first_received_at=row.first_received_at,
            first_generation=row.opened_generation or 0,
        )
        for row in rows
    ]
