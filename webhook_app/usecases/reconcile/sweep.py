"""The sweep: what SQL says is due, stuck, waiting or failed, for the clock to act on. SQL is the truth, not RQ."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Select, exists, select
from sqlalchemy.orm import Session

from webhook_app.db.database import Database
from webhook_app.domain.failures import Failure
from webhook_app.domain.gate import Gate, Limits
from webhook_app.domain.waiting import Waiting
from webhook_app.models import Reconciliation
from webhook_app.models.reconciliation import IS_OF_ITS_OWN, State
from webhook_app.usecases.reconcile.decisions import decide_after_death
from webhook_app.usecases.reconcile.inbox import has_unopened
from webhook_app.usecases.reconcile.lifecycle.rows import lock, write_changes
from webhook_app.usecases.reconcile.probes import find_suspect, has_probe
from webhook_app.usecases.reconcile.settle import show_failures
from webhook_app.usecases.reconcile.stored_gate import read_gate
from webhook_app.usecases.reconcile.work_classes import Lane, is_due

_USUAL_LIMITS = Limits()


@dataclass(frozen=True)
class Work:
    """What is to be done now. While all calls are paused that is probes."""

    fast_is_due: bool
    slow_due: tuple[str, ...]

    @property
    def is_due(self) -> bool:
        return self.fast_is_due or bool(self.slow_due)


def recover_lost_claims(database: Database, now: datetime) -> list[str]:
    """Takes back the claims whose lease ran out: their worker died. They go on alone, in the slow lane, so that one
    that kills its worker is found out and harms no other. Returns the transactions' ids."""
    lost = Reconciliation.lease_until < now
    with database.read() as session:
        if session.scalar(select(Reconciliation.id).where(lost).limit(1)) is None:
            return []
    return database.run(lambda session: _take_back(session, lost, now), by_index=True)


def _take_back(session: Session, lost: ColumnElement[bool], now: datetime) -> list[str]:
    changes = [decide_after_death(life, now) for life in lock(session, lost, skip_locked=True)]
    write_changes(session, changes)
    show_failures(session, changes, now)
    return [change.after.merchant_transaction_id for change in changes]


def find_work(database: Database, now: datetime, limit: int, limits: Limits = _USUAL_LIMITS) -> Work:
    """Whether the fast lane has something to do or to open, and up to `limit` ids for the slow lane."""
    with database.read(by_index=True) as session:
        gate = read_gate(session)
        if gate.is_paused:
            return _find_probe(session, gate, now, limits)
        fast_is_due = has_unopened(session) or bool(session.scalar(select(exists().where(is_due(now, Lane.FAST)))))
        return Work(fast_is_due, _find_slow(session, is_due(now, Lane.SLOW), limit))


def find_retrying(database: Database, now: datetime, limit: int) -> list[Waiting]:
    """Those that back off and are not due yet, the next one first."""
    return _waiting(
        database,
        select(Reconciliation)
        .where(Reconciliation.state == State.RETRYING, Reconciliation.next_attempt_at > now)
        .order_by(Reconciliation.next_attempt_at)
        .limit(limit),
    )


def find_failed(database: Database, limit: int) -> list[Waiting]:
    """Those that gave up, the newest first, without the old ids that the report of a backfill has."""
    return _waiting(
        database,
        select(Reconciliation)
        .where(Reconciliation.state == State.FAILED, IS_OF_ITS_OWN)
        .order_by(Reconciliation.id.desc())
        .limit(limit),
    )


def _find_probe(session: Session, gate: Gate, now: datetime, limits: Limits) -> Work:
    """Whoever is there may probe whatever is due; but what may have killed its workers is left to the slow lane, and
    comes after the others."""
    if has_unopened(session) or has_probe(session, gate, now, limits):
        return Work(True, ())
    suspect = find_suspect(session, gate, now, limits)
    return Work(False, (suspect,) if suspect else ())


def _find_slow(session: Session, condition: ColumnElement[bool], limit: int) -> tuple[str, ...]:
    """Longest due first."""
    return tuple(
        session.scalars(
            select(Reconciliation.merchant_transaction_id)
            .where(condition)
            .order_by(Reconciliation.next_attempt_at)
            .limit(limit)
        )
    )


def _waiting(database: Database, query: Select[Reconciliation]) -> list[Waiting]:
    with database.read() as session:
        return [_to_waiting(row) for row in session.scalars(query)]


def _to_waiting(row: Reconciliation) -> Waiting:
    failure = row.last_failure or Failure(None, "", "", "")
    at = row.next_attempt_at or row.last_failed_at or row.created_at
    return Waiting(row.merchant_transaction_id, at, failure)
