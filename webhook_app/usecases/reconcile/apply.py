"""Applying: what Proof answered goes into SQL in one short transaction, if the claim still holds."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from webhook_app.adapters.proof import Confirmed
from webhook_app.db.database import Database
from webhook_app.domain.backoff import backoff_seconds
from webhook_app.domain.failures import Failure
from webhook_app.domain.gate import Gate, Limits, Observation, observe
from webhook_app.domain.polling import Cadence, next_check_at
from webhook_app.domain.retry_policy import Action, Blame, Budget, Spent, decide, rule_for
from webhook_app.domain.status import FINAL, TERMINAL, Status
from webhook_app.models import Attempt, Reconciliation, Transaction
from webhook_app.models.event import Delivery
from webhook_app.models.reconciliation import State
from webhook_app.usecases.reconcile.claim import Claim
from webhook_app.usecases.reconcile.confirm import confirm_transaction
from webhook_app.usecases.reconcile.discrepancies import compare_with_events, note_failure
from webhook_app.usecases.reconcile.settle import move_unsettled_events, settle_events
from webhook_app.usecases.reconcile.stored_gate import lock_gate, read_gate, store_gate

#: How long after an event that is newer than Proof's API we keep asking whether the API only lags behind.
LAG_GRACE = timedelta(minutes=10)


@dataclass(frozen=True)
class Policy:
    """The numbers that decide what follows an answer."""

    budget: Budget
    limits: Limits
    cadence: Cadence


@dataclass(frozen=True)
class Outcome:
    """One call to Proof, made under a claim."""

    claim: Claim
    started_at: datetime
    finished_at: datetime
    result: Confirmed | Failure


@dataclass(frozen=True)
class Applied:
    """What became of one reconciliation, for the log."""

    merchant_transaction_id: str
    state: str
    status: str | None
    failure: Failure | None
    decision: str
    attempts: int
    next_attempt_at: datetime | None


def apply_outcomes(
    database: Database, outcomes: Sequence[Outcome], now: datetime, policy: Policy, rng: random.Random
) -> list[Applied]:
    """Writes all outcomes whose claim still holds; the others were taken over by somebody else and are dropped."""
    with database.write() as session:
        gate = _pass_gate(session, outcomes, now, policy.limits)
        rows = {
            row.id: row
            for row in session.scalars(
                select(Reconciliation)
                .where(Reconciliation.id.in_([outcome.claim.reconciliation_id for outcome in outcomes]))
                .order_by(Reconciliation.id)
                .with_for_update()
            )
        }
        held = [
            (outcome, row)
            for outcome in outcomes
            if (row := rows.get(outcome.claim.reconciliation_id)) and row.claim_token == outcome.claim.token
        ]
        transactions = _load_transactions(session, [row.merchant_transaction_id for _, row in held])
        applied = []
        for outcome, row in held:
            row.claim_token = None
            row.lease_until = None
            row.crashes = 0
            row.attempts += 1
            if isinstance(outcome.result, Failure):
                applied.append(_apply_failure(session, row, outcome, outcome.result, gate, now, policy, rng))
            else:
                transaction = transactions.get(row.merchant_transaction_id)
                applied.append(_apply_confirmed(session, row, outcome, outcome.result, transaction, now, policy))
        return applied


def _pass_gate(session: Session, outcomes: Sequence[Outcome], now: datetime, limits: Limits) -> Gate:
    """Tells the gate how Proof answered; it is locked only when that changes something."""
    answers = [
        Observation(
            outcome.claim.merchant_transaction_id,
            outcome.started_at,
            outcome.result if isinstance(outcome.result, Failure) else None,
        )
        for outcome in outcomes
    ]
    gate = read_gate(session)
    if observe(gate, answers, now, limits) == gate:
        return gate
    gate = observe(lock_gate(session), answers, now, limits)
    store_gate(session, gate)
    return gate


def _load_transactions(session: Session, merchant_transaction_ids: Sequence[str]) -> Mapping[str, Transaction]:
    return {
        row.merchant_transaction_id: row
        for row in session.scalars(
            select(Transaction).where(Transaction.merchant_transaction_id.in_(merchant_transaction_ids))
        )
    }


def _apply_confirmed(
    session: Session,
    row: Reconciliation,
    outcome: Outcome,
    confirmed: Confirmed,
    transaction: Transaction | None,
    now: datetime,
    policy: Policy,
) -> Applied:
    transaction = confirm_transaction(session, transaction, confirmed, now)
    newest_reported = compare_with_events(session, transaction, outcome.claim.event_ids, now)

    row.reconciled_at = now
    row.spent_attempts = 0
    row.single_retries = 0
    row.first_failed_at = None
    row.last_http_status = row.last_error = row.last_code = row.last_message = row.last_request_id = None
    row.last_failed_at = None
    status = Status(transaction.status)
    next_check = next_check_at(status, transaction.updated_at, now, policy.cadence)
    lags = status not in FINAL and newest_reported is not None and newest_reported > now - LAG_GRACE
    if row.generation != outcome.claim.generation:
        row.state, row.next_attempt_at, decision = State.PENDING, now, "confirmed; asked for again meanwhile"
    elif status in TERMINAL and not lags:
        row.state, row.next_attempt_at, decision = State.SUCCEEDED, next_check, "confirmed, terminal"
    else:
        soon = now + timedelta(seconds=policy.cadence.shortest_seconds)
        row.state = State.WATCHING
        row.next_attempt_at = min(next_check or soon, soon) if lags else next_check
        decision = "confirmed; an event is newer than the API, asked again" if lags else "confirmed, still moving"
    settle_events(session, outcome.claim.event_ids, now)
    session.add(
        Attempt(
            reconciliation_id=row.id,
            started_at=outcome.started_at,
            finished_at=outcome.finished_at,
            status=confirmed.status,
            http_status=200,
            request_id=confirmed.request_id,
            decision=decision,
            counted=False,
            next_attempt_at=row.next_attempt_at,
        )
    )
    return Applied(
        row.merchant_transaction_id, row.state, transaction.status, None, decision, row.attempts, row.next_attempt_at
    )


def _apply_failure(
    session: Session,
    row: Reconciliation,
    outcome: Outcome,
    failure: Failure,
    gate: Gate,
    now: datetime,
    policy: Policy,
    rng: random.Random,
) -> Applied:
    rule = rule_for(failure)
    counted = not (gate.is_paused and rule.blame in (Blame.UPSTREAM, Blame.CONFIGURATION))
    if not counted:
        # The gate decides when the next call goes out. Behind all others that are due, so that probes take turns.
        decision = f"all calls are paused ({gate.blame})"
        row.next_attempt_at = now
    else:
        decision = _spend_attempt(row, outcome, failure, gate, now, policy, rng, rule.action)
    row.last_http_status = failure.http_status
    row.last_error = failure.error
    row.last_code = failure.code
    row.last_message = failure.message
    row.last_request_id = failure.request_id
    row.last_failed_at = outcome.finished_at
    if row.state in (State.RETRYING, State.FAILED):
        delivery = Delivery.FAILED if row.state == State.FAILED else Delivery.RETRYING
        move_unsettled_events(session, row.merchant_transaction_id, delivery)
    if row.state == State.FAILED:
        note_failure(session, row, is_unknown=failure.http_status == 404, now=now)
    session.add(
        Attempt(
            reconciliation_id=row.id,
            started_at=outcome.started_at,
            finished_at=outcome.finished_at,
            http_status=failure.http_status,
            error=failure.error,
            code=failure.code,
            message=failure.message,
            request_id=failure.request_id,
            decision=decision,
            counted=counted,
            next_attempt_at=row.next_attempt_at,
        )
    )
    return Applied(row.merchant_transaction_id, row.state, None, failure, decision, row.attempts, row.next_attempt_at)


def _spend_attempt(
    row: Reconciliation,
    outcome: Outcome,
    failure: Failure,
    gate: Gate,
    now: datetime,
    policy: Policy,
    rng: random.Random,
    action: Action,
) -> str:
    """Charges one failure to the budget, sets state and next attempt, and says in words what follows."""
    paused_seconds = gate.paused_seconds_until(now)
    if row.first_failed_at is None:
        row.first_failed_at = now
        row.paused_seconds_then = paused_seconds
    row.spent_attempts += 1
    row.single_retries += action is Action.RETRY_ONCE
    age = (now - row.first_failed_at).total_seconds() - (paused_seconds - row.paused_seconds_then)
    decision = decide(failure, Spent(row.spent_attempts, row.single_retries, age), policy.budget)
    if decision.gives_up and row.generation == outcome.claim.generation:
        row.state, row.next_attempt_at = State.FAILED, None
        return decision.reason
    if decision.gives_up:
        row.state, row.next_attempt_at = State.PENDING, now
        row.spent_attempts = row.single_retries = 0
        row.first_failed_at = None
        return "a new event came meanwhile: tried anew"
    wait = backoff_seconds(row.spent_attempts, policy.budget, failure.retry_after, rng)
    row.state, row.next_attempt_at = State.RETRYING, now + timedelta(seconds=wait)
    return decision.reason
