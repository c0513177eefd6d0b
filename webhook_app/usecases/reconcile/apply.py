"""Applying: what Proof answered goes into SQL in one short transaction, if the claim still holds."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from webhook_app.db.database import Database
from webhook_app.domain.drift import DriftSource
from webhook_app.domain.failures import Failure
from webhook_app.domain.outage import Outlook
from webhook_app.domain.retry_policy import Action, rule_for
from webhook_app.domain.status import TERMINAL
from webhook_app.models import Reconciliation
from webhook_app.models.reconciliation import State
from webhook_app.usecases.drift import Sighting, count_drift
from webhook_app.usecases.reconcile.compare import compare_with_events
from webhook_app.usecases.reconcile.confirm import confirm_transactions
from webhook_app.usecases.reconcile.decisions import (
    FinishedCall,
    Policy,
    decide_after_confirmation,
    decide_after_failure,
)
from webhook_app.usecases.reconcile.discrepancies import note_ends_of_polling
from webhook_app.usecases.reconcile.lifecycle.changes import Change, Life
from webhook_app.usecases.reconcile.lifecycle.rows import lock_ids, write_changes
from webhook_app.usecases.reconcile.lifecycle.transitions import CONFIRMED
from webhook_app.usecases.reconcile.listened import find_listened
from webhook_app.usecases.reconcile.observe import observe_calls
from webhook_app.usecases.reconcile.settle import settle_events, show_failures
from webhook_app.usecases.reconcile.stored_gate import read_gate
from webhook_app.usecases.reconcile.transaction_rows import Held
from webhook_app.usecases.reconcile.watches import find_new


@dataclass(frozen=True)
class Applied:
    """The result of applying one answer, for the log."""

    merchant_transaction_id: str
    state: State
    status: str | None
    failure: Failure | None
    decision: str
    attempts: int
    next_attempt_at: datetime | None


@dataclass(frozen=True)
class Written:
    applied: list[Applied]
    locked: list[FinishedCall]
    """Not written, for somebody else has locked their reconciliations."""


def apply_calls(
    database: Database, calls: Sequence[FinishedCall], now: datetime, policy: Policy, rng: random.Random
) -> list[Applied]:
    """Tells the gate how Proof answered, then writes all calls whose claim still holds; the others were taken over by
    somebody else and are dropped."""
    outlook = observe_calls(database, calls, now, policy.limits)
    return write_calls(database, calls, outlook, now, policy, rng).applied


def write_calls(
    database: Database,
    calls: Sequence[FinishedCall],
    outlook: Outlook,
    now: datetime,
    policy: Policy,
    rng: random.Random,
    *,
    skip_locked: bool = False,
) -> Written:
    """Writes all calls whose claim still holds; `outlook` is what the gate says after they were observed. It waits for
    reconciliations that somebody else has locked, or, where `skip_locked`, leaves those.

    What in their answers this release does not know is counted afterwards: a word that all answers have would else be
    a row that all who apply wait for while they hold their reconciliations.
    """

    def write(session: Session) -> Written:
        lives = lock_ids(session, _ids(calls), skip_locked=skip_locked)
        locked = _find_locked(session, calls, lives) if skip_locked else []
        return Written(_apply(session, _held(calls, lives), outlook, now, policy, rng), locked)

    written = database.run(write, by_index=True)
    if sightings := _find_drift(calls, written.applied):
        count_drift(database, sightings)
    return written


def _apply(
    session: Session,
    held: Sequence[tuple[Life, FinishedCall]],
    outlook: Outlook,
    now: datetime,
    policy: Policy,
    rng: random.Random,
) -> list[Applied]:
    outlook = replace(outlook, gate=read_gate(session))
    confirmed = {life.id: call.result for life, call in held if not isinstance(call.result, Failure)}
    transactions = confirm_transactions(session, list(confirmed.values()), now)
    generations = {life.merchant_transaction_id: call.claim.generation for life, call in held if life.id in confirmed}
    reported_at = compare_with_events(session, transactions, generations, now)
    new = find_new(session, _unknown(held), now)
    users = {one.merchant_transaction_id: one.partner_user_id for one in confirmed.values()}
    listened = find_listened(session, users, now)
    changes = []
    for life, call in held:
        name = life.merchant_transaction_id
        if isinstance(call.result, Failure):
            is_new = name in new
            changes.append(decide_after_failure(life, call, call.result, outlook, now, policy, rng, is_new=is_new))
        else:
            newest, after = reported_at.get(name), transactions[name].change
            is_listened = name in listened
            changes.append(
                decide_after_confirmation(
                    life, call, call.result, after, newest, now, policy.cadence, is_listened=is_listened
                )
            )
    write_changes(session, changes)
    _note_ends_of_polling(session, changes, transactions, now)
    show_failures(session, changes, now)
    settle_events(session, list(generations))
    return [_report(change, transactions) for change in changes]


def _unknown(held: Sequence[tuple[Life, FinishedCall]]) -> list[str]:
    """Those that failed in a way that is no last word on what is new."""
    return [
        life.merchant_transaction_id
        for life, call in held
        if isinstance(call.result, Failure) and rule_for(call.result).action is Action.PERMANENT_UNLESS_NEW
    ]


def _ids(calls: Sequence[FinishedCall]) -> list[int]:
    return [call.claim.reconciliation_id for call in calls]


def _held(calls: Sequence[FinishedCall], lives: Sequence[Life]) -> list[tuple[Life, FinishedCall]]:
    """Those whose claim still holds. A reconciliation may have several: one that is lost, and the one after it."""
    by_claim = {(call.claim.reconciliation_id, call.claim.token): call for call in calls}
    held = ((life, by_claim.get((life.id, life.claim_token or ""))) for life in lives)
    return [(life, call) for life, call in held if call is not None]


def _find_locked(session: Session, calls: Sequence[FinishedCall], lives: Sequence[Life]) -> list[FinishedCall]:
    missing = set(_ids(calls)).difference(life.id for life in lives)
    if not missing:
        return []
    there = set(session.scalars(select(Reconciliation.id).where(Reconciliation.id.in_(missing))))
    return [call for call in calls if call.claim.reconciliation_id in there]


def _find_drift(calls: Sequence[FinishedCall], applied: Sequence[Applied]) -> list[Sighting]:
    ids = {one.merchant_transaction_id for one in applied}
    return [
        Sighting(
            call.result.drift,
            DriftSource.API,
            call.finished_at,
            call.claim.merchant_transaction_id,
            call.result.request_id,
        )
        for call in calls
        if call.result.drift and call.claim.merchant_transaction_id in ids
    ]


def _note_ends_of_polling(
    session: Session, changes: Sequence[Change], transactions: Mapping[str, Held], now: datetime
) -> None:
    """What was confirmed, is done, and yet is not terminal."""
    ended = [
        change.after for change in changes if change.transition is CONFIRMED and change.after.state is State.SUCCEEDED
    ]
    held = [transactions[life.merchant_transaction_id] for life in ended]
    note_ends_of_polling(session, [one for one in held if one.status not in TERMINAL], now)


def _report(change: Change, transactions: Mapping[str, Held]) -> Applied:
    assert change.attempt is not None
    after, failure = change.after, change.attempt.failure
    return Applied(
        merchant_transaction_id=after.merchant_transaction_id,
        state=after.state,
        status=None if failure else transactions[after.merchant_transaction_id].status,
        failure=failure,
        decision=change.attempt.decision,
        attempts=after.attempts,
        next_attempt_at=after.next_attempt_at,
    )
