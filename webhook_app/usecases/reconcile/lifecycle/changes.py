"""What happens to one reconciliation, as a value: how it stands before and after, and the attempt that goes with it.

Pure. Each function checks the table of transitions; `rows.write_changes` writes any number of them together.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from webhook_app.domain.failures import Failure
from webhook_app.domain.retry_policy import MOST_SHARED_CRASHES
from webhook_app.models.reconciliation import AskedBy, State
from webhook_app.usecases.reconcile.lifecycle.transitions import (
    ASKED_BY_COPY,
    BROUGHT_FORWARD,
    CONFIRMED,
    DEFERRED,
    GIVEN_UP,
    REPLAYED,
    RETRIED,
    STARTED_OVER,
    TAKEN_BACK,
    ClaimRule,
    Transition,
    TransitionRefused,
)


@dataclass(frozen=True)
class Charge:
    """What of its retry budget a reconciliation has used; the columns are explained in `models/reconciliation.py`."""

    spent_attempts: int = 0
    single_retries: int = 0
    first_failed_at: datetime | None = None
    paused_seconds_then: float = 0.0
    uncounted: int = 0


@dataclass(frozen=True)
class Life:
    """How a reconciliation stands: its state, claim, plan, retry budget and last failure."""

    id: int
    merchant_transaction_id: str
    state: State
    generation: int
    settled_generation: int
    next_attempt_at: datetime | None
    reconciled_at: datetime | None
    asked_by: str
    claim_token: str | None
    lease_until: datetime | None
    crashes: int
    attempts: int
    charge: Charge
    last_failure: Failure | None
    last_failed_at: datetime | None


@dataclass(frozen=True)
class MadeAttempt:
    """One call to Proof that is over, or the death of the worker that was to make it, and what was decided."""

    started_at: datetime
    finished_at: datetime
    decision: str
    counted: bool = False
    """Whether it was charged to the retry budget."""
    failure: Failure | None = None
    status: str | None = None
    """The status that Proof confirmed; None when the call failed."""
    request_id: str | None = None
    """Proof's, of a call that it answered; a failure carries its own."""


@dataclass(frozen=True)
class Change:
    transition: Transition
    before: Life
    after: Life
    attempt: MadeAttempt | None = None


def confirm(
    life: Life,
    attempt: MadeAttempt,
    state: State,
    next_attempt_at: datetime | None,
    reconciled_at: datetime,
    generation: int,
) -> Change:
    """Proof has confirmed the transaction, so it is known, there is no last failure and the retry budget is full.
    `generation` is that of the claim under which Proof was asked: it settles what was opened before."""
    return _change(
        CONFIRMED,
        life,
        attempt,
        state=state,
        next_attempt_at=next_attempt_at,
        reconciled_at=reconciled_at,
        settled_generation=generation,
        asked_by=AskedBy.EVENT.value,
        attempts=life.attempts + 1,
        crashes=0,
        charge=_full(life),
        last_failure=None,
        last_failed_at=None,
    )


def retry(life: Life, attempt: MadeAttempt, charge: Charge, next_attempt_at: datetime) -> Change:
    """The call failed and is tried again at `next_attempt_at`."""
    return _fail(RETRIED, life, attempt, state=State.RETRYING, next_attempt_at=next_attempt_at, charge=charge)


def defer(life: Life, attempt: MadeAttempt, next_attempt_at: datetime, uncounted: int) -> Change:
    """The call failed and nobody is charged: the state stays. `uncounted` are such failures while calls went on."""
    charge = replace(life.charge, uncounted=uncounted)
    return _fail(DEFERRED, life, attempt, next_attempt_at=next_attempt_at, charge=charge)


def bring_forward(life: Life, now: datetime) -> Change:
    """The outage is over because of which it backs off or gave up, or something makes a look worth it."""
    state = State.RETRYING if life.state is State.FAILED else life.state
    return _change(BROUGHT_FORWARD, life, None, state=state, next_attempt_at=now)


def start_over(life: Life, attempt: MadeAttempt, next_attempt_at: datetime) -> Change:
    """The call failed for good, but it has been asked for again since the claim."""
    return _fail(STARTED_OVER, life, attempt, state=State.PENDING, next_attempt_at=next_attempt_at, charge=_full(life))


def give_up(life: Life, attempt: MadeAttempt, charge: Charge) -> Change:
    """The call failed and nothing more is tried before a person has looked."""
    return _fail(GIVEN_UP, life, attempt, state=State.FAILED, next_attempt_at=None, charge=charge)


def take_back(life: Life, attempt: MadeAttempt, crashes: int, next_attempt_at: datetime | None) -> Change:
    """The worker died, `crashes` times in a row: tried alone at `next_attempt_at`, or given up where that is None."""
    return _change(
        TAKEN_BACK,
        life,
        attempt,
        state=State.FAILED if next_attempt_at is None else State.RETRYING,
        next_attempt_at=next_attempt_at,
        crashes=crashes,
        last_failure=attempt.failure,
        last_failed_at=attempt.finished_at,
    )


def ask_by_copy(life: Life, charge: Charge, next_attempt_at: datetime) -> Change:
    """A copy came of an event of what gave up: tried again at `next_attempt_at`, with what is spent of its budget."""
    return _change(
        ASKED_BY_COPY,
        life,
        None,
        state=State.RETRYING,
        next_attempt_at=next_attempt_at,
        generation=life.generation + 1,
        charge=charge,
    )


def replay(life: Life, now: datetime, *, alone: bool) -> Change:
    """A person sends it round again: `alone`, in the slow lane, or many at once. One with which workers have died is
    tried alone still, until as many have died again as are left to `MOST_CRASHES`."""
    return _change(
        REPLAYED,
        life,
        None,
        state=State.RETRYING if alone else State.PENDING,
        next_attempt_at=now,
        generation=life.generation + 1,
        asked_by=AskedBy.PERSON.value,
        crashes=min(life.crashes, MOST_SHARED_CRASHES),
        charge=_full(life),
    )


def _fail(transition: Transition, life: Life, attempt: MadeAttempt, **values: Any) -> Change:
    return _change(
        transition,
        life,
        attempt,
        attempts=life.attempts + 1,
        crashes=0,
        last_failure=attempt.failure,
        last_failed_at=attempt.finished_at,
        **values,
    )


def _change(transition: Transition, life: Life, attempt: MadeAttempt | None, **values: Any) -> Change:
    """Raises TransitionRefused where the table has no such step."""
    if transition.claim is ClaimRule.ENDS:
        if life.claim_token is None:
            raise TransitionRefused(f"{transition.name} needs a claim, and reconciliation {life.id} has none")
        values |= {"claim_token": None, "lease_until": None}
    after = replace(life, **values)
    if after.state not in transition.leads_to.get(life.state, ()):
        raise TransitionRefused(f"{transition.name} does not lead from {life.state} to {after.state}")
    return Change(transition, life, after, attempt)


def _full(life: Life) -> Charge:
    """The time spent paused is read only beside `first_failed_at`, so it may stay."""
    return Charge(paused_seconds_then=life.charge.paused_seconds_then)
