"""Decisions: what follows a call to Proof, as a change of its reconciliation. Pure: no SQL is read or written here."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from webhook_app.adapters.proof import Confirmed
from webhook_app.domain.backoff import backoff_seconds
from webhook_app.domain.failures import Failure, worker_died
from webhook_app.domain.gate import Gate, Limits
from webhook_app.domain.outage import Outlook
from webhook_app.domain.polling import LAG_GRACE, Cadence, next_check_at
from webhook_app.domain.proof_values import SELL
from webhook_app.domain.retry_policy import (
    MOST_BROUGHT_FORWARD,
    MOST_UNCOUNTED,
    WAITS_AS_PROOF_SAYS,
    Action,
    Blame,
    Budget,
    Rule,
    Spent,
    decide,
    rule_for,
)
from webhook_app.domain.status import FINAL, TERMINAL, StatusChange
from webhook_app.models.reconciliation import State
from webhook_app.usecases.reconcile.claim import Claim
from webhook_app.usecases.reconcile.lifecycle.changes import (
    Change,
    Charge,
    Life,
    MadeAttempt,
    ask_by_copy,
    confirm,
    defer,
    give_up,
    retry,
    start_over,
    take_back,
)

#: Attempts beyond the retry budget for which copies may ask.
ATTEMPTS_FOR_COPIES = 10


@dataclass(frozen=True)
class Policy:
    """The numbers that decide what follows a call."""

    budget: Budget
    limits: Limits
    cadence: Cadence


@dataclass(frozen=True)
class FinishedCall:
    """One call to Proof, made under a claim."""

    claim: Claim
    started_at: datetime
    finished_at: datetime
    result: Confirmed | Failure

    @property
    def seconds(self) -> float:
        return max((self.finished_at - self.started_at).total_seconds(), 0.0)


def decide_after_confirmation(
    life: Life,
    call: FinishedCall,
    confirmed: Confirmed,
    held: StatusChange,
    newest_reported_at: datetime | None,
    now: datetime,
    cadence: Cadence,
    *,
    is_listened: bool = False,
) -> Change:
    """After an answer that `confirmed` the transaction, of which we now hold `held`: an older answer changes nothing.

    `newest_reported_at` is when the newest event came that is ahead of Proof's API; None where there is none.
    `is_listened`: a WebSocket connection tells of its changes.
    """
    polled = cadence.thinned_out() if is_listened else cadence
    next_check = next_check_at(held.status, held.updated_at, now, polled, is_sell=confirmed.type == SELL)
    lags = held.status not in FINAL and newest_reported_at is not None and newest_reported_at > now - LAG_GRACE
    state, next_attempt_at, decision = State.WATCHING, next_check, "confirmed, still moving"
    if life.generation != call.claim.generation:
        state, next_attempt_at, decision = State.PENDING, now, "confirmed; asked for again meanwhile"
    elif lags:
        soon = now + timedelta(seconds=cadence.shortest_seconds)
        next_attempt_at = min(next_check or soon, soon)
        decision = "confirmed; an event is newer than the API, asked again"
    elif held.status in TERMINAL:
        state, decision = State.SUCCEEDED, "confirmed, terminal"
    elif next_check is None:
        state, decision = State.SUCCEEDED, "confirmed; it has not moved for so long that polling ends"
    attempt = MadeAttempt(
        call.started_at, call.finished_at, decision, status=confirmed.status, request_id=confirmed.request_id
    )
    return confirm(life, attempt, state, next_attempt_at, now, call.claim.generation)


def decide_after_failure(
    life: Life,
    call: FinishedCall,
    failure: Failure,
    outlook: Outlook,
    now: datetime,
    policy: Policy,
    rng: random.Random,
    *,
    is_new: bool = False,
) -> Change:
    """After a call that failed: what the retry policy says, unless nobody is to be charged for it. `is_new`: the
    partner has just begun to watch the transaction."""
    rule = rule_for(failure)
    gate = outlook.gate
    if rule.blame is not Blame.TRANSACTION and (gate.is_paused or call.claim.epoch != gate.epoch):
        # The gate decides when the next call goes out. Behind all others that are due, so that probes take turns.
        why = f"all calls are paused ({gate.blame})" if gate.is_paused else "all calls were paused meanwhile"
        return defer(life, _failed_attempt(call, failure, why), now, life.charge.uncounted)
    unclear = rule.blame is Blame.CONFIGURATION and not outlook.is_own_fault(life.id)
    if (unclear or rule.blame is Blame.NOBODY) and life.charge.uncounted < MOST_UNCOUNTED:
        why = "not charged: " + ("Proof may refuse us as a whole" if unclear else "we call too fast")
        uncounted = life.charge.uncounted + 1
        wait = backoff_seconds(uncounted, policy.budget, failure.retry_after, rng)
        return defer(life, _failed_attempt(call, failure, why), now + timedelta(seconds=wait), uncounted)
    charge = _charge(life.charge, rule, gate, now)
    decision = decide(failure, replace(_spent(charge, gate, now), is_new=is_new), policy.budget)
    if decision.gives_up and life.generation != call.claim.generation:
        reason = "a new event came meanwhile: tried anew"
        return start_over(life, _failed_attempt(call, failure, reason, counted=True), now)
    attempt = _failed_attempt(call, failure, decision.reason, counted=True)
    if decision.gives_up:
        return give_up(life, attempt, charge)
    wait = backoff_seconds(charge.spent_attempts, policy.budget, failure.retry_after, rng)
    if _comes_forward(life, call, failure):
        wait = min(wait, policy.budget.base_seconds)
    return retry(life, attempt, charge, now + timedelta(seconds=wait))


def decide_after_death(life: Life, now: datetime) -> Change:
    """After a lease that ran out: the worker died, which costs nothing of the retry budget."""
    crashes = life.crashes + 1
    failure = worker_died(crashes)
    spent = Spent(life.charge.spent_attempts, life.charge.single_retries, age_seconds=0.0, crashes=crashes)
    decision = decide(failure, spent, Budget())
    attempt = MadeAttempt(now, now, decision.reason, failure=failure)
    return take_back(life, attempt, crashes, None if decision.gives_up else now)


def decide_after_copy(life: Life, now: datetime, budget: Budget, rng: random.Random) -> Change | None:
    """After a copy of an event of what gave up: Proof delivers again, so it may be well by now. None where so many
    attempts were made that a copy is no reason for another.

    The wait counts from the last failure and grows with what is spent, so that many copies are few calls. A death of
    the worker spends nothing by itself; here it does, or such a one would kill workers for ever. The one retry that
    Proof advises is made again rather than counted again: more of these tell that an outage gave it one (`_ONCE` in
    `bring_forward.py`).
    """
    spent = life.charge.spent_attempts + (life.crashes > 0)
    if spent >= budget.attempts + ATTEMPTS_FOR_COPIES:
        return None
    wait = timedelta(seconds=backoff_seconds(max(spent, 1), budget, None, rng))
    # Never later than that from now: the wall clock may have been set back since.
    at = min(max(now, (life.last_failed_at or now) + wait), now + wait)
    retries = life.charge.single_retries
    charge = replace(life.charge, spent_attempts=spent, single_retries=retries - (retries > 1))
    return ask_by_copy(life, charge, at)


def _comes_forward(life: Life, call: FinishedCall, failure: Failure) -> bool:
    """Whether an event came during the call, for which the next look is soon: as for one that comes after it."""
    is_asked_again = life.generation != call.claim.generation
    asked = life.generation - life.settled_generation
    return is_asked_again and asked <= MOST_BROUGHT_FORWARD and failure.http_status not in WAITS_AS_PROOF_SAYS


def _failed_attempt(call: FinishedCall, failure: Failure, decision: str, *, counted: bool = False) -> MadeAttempt:
    return MadeAttempt(call.started_at, call.finished_at, decision, counted=counted, failure=failure)


def _charge(charge: Charge, rule: Rule, gate: Gate, now: datetime) -> Charge:
    """The retry budget with one more failure."""
    if charge.first_failed_at is None:
        charge = replace(charge, first_failed_at=now, paused_seconds_then=gate.paused_seconds_until(now))
    return replace(
        charge,
        spent_attempts=charge.spent_attempts + 1,
        single_retries=charge.single_retries + (rule.action is Action.RETRY_ONCE),
    )


def _spent(charge: Charge, gate: Gate, now: datetime) -> Spent:
    first_failed_at = charge.first_failed_at or now
    paused = gate.paused_seconds_until(now) - charge.paused_seconds_then
    return Spent(charge.spent_attempts, charge.single_retries, (now - first_failed_at).total_seconds() - paused)
