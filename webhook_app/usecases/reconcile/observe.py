"""Observing: what finished calls say of Proof as a whole goes into the gate, in a short transaction of its own."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import exists, or_, select
from sqlalchemy.orm import Session

from webhook_app.db.database import Database
from webhook_app.domain.failures import Failure
from webhook_app.domain.gate import MOST_SKEW, Gate, Limits
from webhook_app.domain.outage import (
    MOST_ATTEMPTS,
    Evidence,
    Observation,
    Outlook,
    Witness,
    failed_since_usable,
    needs_evidence,
    observe,
    shows_that_proof_works,
)
from webhook_app.models import Attempt, Reconciliation
from webhook_app.usecases.reconcile.decisions import FinishedCall
from webhook_app.usecases.reconcile.stored_gate import lock_gate, read_gate, store_gate

#: What is due later is not there to tell whether others are answered.
_SOON = timedelta(seconds=10)


def observe_calls(database: Database, calls: Sequence[FinishedCall], now: datetime, limits: Limits) -> Outlook:
    """Tells the gate how Proof answered; it is locked only when that changes something."""
    answers = [_observation(call) for call in calls]
    with database.read() as session:
        gate = read_gate(session)
        outlook = _look(session, gate, answers, now, limits)
    if outlook.gate == gate:
        return outlook
    return database.run(lambda session: _store(session, answers, now, limits))


def count_failing(session: Session, gate: Gate, now: datetime) -> int:
    """Transactions that failed by Proof's fault since its last usable answer, as far as the evidence goes back."""
    return len(failed_since_usable(_find_witnesses(session, gate, now), now))


def _store(session: Session, answers: Sequence[Observation], now: datetime, limits: Limits) -> Outlook:
    gate = lock_gate(session)
    outlook = _look(session, gate, answers, now, limits)
    if outlook.gate != gate:
        store_gate(session, outlook.gate)
    return outlook


def _look(session: Session, gate: Gate, answers: Sequence[Observation], now: datetime, limits: Limits) -> Outlook:
    evidence = _find_evidence(session, gate, answers, now) if needs_evidence(gate, answers) else Evidence()
    return observe(gate, answers, evidence, now, limits)


def _find_evidence(session: Session, gate: Gate, answers: Sequence[Observation], now: datetime) -> Evidence:
    answered = [answer.transaction for answer in answers]
    others = exists().where(
        or_(Reconciliation.next_attempt_at <= now + _SOON, Reconciliation.lease_until > now),
        Reconciliation.id.not_in(answered),
    )
    return Evidence(_find_witnesses(session, gate, now), is_alone=not session.scalar(select(others)))


def _find_witnesses(session: Session, gate: Gate, now: datetime) -> list[Witness]:
    """The latest attempts that were begun since calls last went on, whether they were charged or not; and the usable
    answers before, for they tell whose fault it is that the next call is refused."""
    rows = session.execute(
        select(
            Attempt.reconciliation_id,
            Attempt.started_at,
            Attempt.finished_at,
            Attempt.http_status,
            Attempt.error,
            Attempt.code,
        )
        .order_by(Attempt.id.desc())
        .limit(MOST_ATTEMPTS)
    )
    since = gate.resumed_at if gate.resumed_at and gate.resumed_at - now <= MOST_SKEW else None
    witnesses = []
    for row in rows:
        failure = None if row.error is None else Failure(row.http_status, row.error, row.code or "", "")
        if since is None or row.started_at >= since or shows_that_proof_works(failure):
            witnesses.append(Witness(row.reconciliation_id, row.finished_at, failure))
    return witnesses


def _observation(call: FinishedCall) -> Observation:
    failure = call.result if isinstance(call.result, Failure) else None
    return Observation(call.claim.reconciliation_id, call.claim.epoch, failure, call.claim.was_charged)
