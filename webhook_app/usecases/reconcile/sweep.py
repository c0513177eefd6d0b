"""The sweep: what SQL says is due, stuck, waiting or failed, for the clock to act on. SQL is the truth, not RQ."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, exists, or_, select
from sqlalchemy.orm import Session

from webhook_app.db.database import Database
from webhook_app.domain.failures import Failure, worker_died
from webhook_app.domain.retry_policy import Budget, Spent, decide
from webhook_app.models import Attempt, Reconciliation
from webhook_app.models.event import Delivery
from webhook_app.models.reconciliation import State
from webhook_app.usecases.reconcile.claim import Lane, is_due
from webhook_app.usecases.reconcile.discrepancies import note_failure
from webhook_app.usecases.reconcile.settle import move_unsettled_events
from webhook_app.usecases.reconcile.stored_gate import read_gate


@dataclass(frozen=True)
class Waiting:
    """A reconciliation that waits: for its next attempt, or, failed, for a person."""

    merchant_transaction_id: str
    at: datetime
    failure: Failure


@dataclass(frozen=True)
class Work:
    """What is to be done now. While all calls are paused that is one probe at most."""

    fast_is_due: bool
    slow_due: tuple[str, ...]


def recover_lost_claims(database: Database, now: datetime) -> list[str]:
    """Takes back the claims whose lease ran out: their worker died. They go on alone, in the slow lane, so that one
    that kills its worker is found out and harms no other. Returns the transactions' ids."""
    with database.read() as session:
        lost = Reconciliation.lease_until < now
        if session.scalar(select(Reconciliation.id).where(lost).limit(1)) is None:
            return []
    with database.write() as session:
        rows = session.scalars(
            select(Reconciliation).where(lost).order_by(Reconciliation.id).with_for_update(skip_locked=True)
        ).all()
        for row in rows:
            _take_back(session, row, now)
        return [row.merchant_transaction_id for row in rows]


def find_work(database: Database, now: datetime, limit: int) -> Work:
    """Whether the fast lane has something due, and up to `limit` ids for the slow lane."""
    with database.read() as session:
        gate = read_gate(session)
        if gate.is_paused and gate.next_probe_at and now < gate.next_probe_at:
            return Work(False, ())
        if gate.is_paused:
            return _find_probe(session, now)
        fast_is_due = bool(session.scalar(select(exists().where(is_due(now, Lane.FAST)))))
        slow_due = session.scalars(
            select(Reconciliation.merchant_transaction_id)
            .where(is_due(now, Lane.SLOW))
            .order_by(Reconciliation.next_attempt_at)
            .limit(limit)
        ).all()
        return Work(fast_is_due, tuple(slow_due))


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
    """Those that gave up, the newest first."""
    return _waiting(
        database,
        select(Reconciliation)
        .where(Reconciliation.state == State.FAILED)
        .order_by(Reconciliation.id.desc())
        .limit(limit),
    )


def _find_probe(session: Session, now: datetime) -> Work:
    """The lane whose work has been due longest, so that the lanes take turns too."""
    first = session.scalars(
        select(Reconciliation)
        .where(or_(is_due(now, Lane.FAST), is_due(now, Lane.SLOW)))
        .order_by(Reconciliation.next_attempt_at)
        .limit(1)
    ).first()
    if first is None:
        return Work(False, ())
    if first.state == State.RETRYING:
        return Work(False, (first.merchant_transaction_id,))
    return Work(True, ())


def _take_back(session: Session, row: Reconciliation, now: datetime) -> None:
    row.claim_token = None
    row.lease_until = None
    row.crashes += 1
    row.last_http_status = None
    failure = worker_died(row.crashes)
    row.last_error = failure.error
    row.last_code = failure.code
    row.last_message = failure.message
    row.last_request_id = None
    row.last_failed_at = now
    decision = decide(failure, Spent(row.spent_attempts, row.single_retries, 0.0, row.crashes), Budget())
    if decision.gives_up:
        row.state, row.next_attempt_at = State.FAILED, None
        delivery = Delivery.FAILED
        note_failure(session, row, is_unknown=False, now=now)
    else:
        row.state, row.next_attempt_at = State.RETRYING, now
        delivery = Delivery.RETRYING
    move_unsettled_events(session, row.merchant_transaction_id, delivery)
    session.add(
        Attempt(
            reconciliation_id=row.id,
            started_at=now,
            finished_at=now,
            error=row.last_error,
            code=row.last_code,
            message=row.last_message,
            decision=decision.reason,
            counted=False,
            next_attempt_at=row.next_attempt_at,
        )
    )


def _waiting(database: Database, query: Select[Reconciliation]) -> list[Waiting]:
    with database.read() as session:
        return [_to_waiting(row) for row in session.scalars(query)]


def _to_waiting(row: Reconciliation) -> Waiting:
    failure = row.last_failure or Failure(None, "", "", "")
    at = row.next_attempt_at or row.last_failed_at or row.created_at
    return Waiting(row.merchant_transaction_id, at, failure)
