"""Reconciliation: claim what is due, ask Proof, apply. Many at once in the fast lane, one in the slow."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy.exc import DBAPIError

from webhook_app.adapters.proof import ProofClient
from webhook_app.db.database import Database, is_away, was_in_the_way
from webhook_app.domain.failures import Failure
from webhook_app.logs import first_line, get_logger
from webhook_app.tracing import span
from webhook_app.usecases.reconcile.apply import Applied
from webhook_app.usecases.reconcile.claim import (
    Claim,
    Room,
    claim_due,
    claim_one,
    hand_back,
    new_token,
    take_back_unknown,
)
from webhook_app.usecases.reconcile.decisions import FinishedCall, Policy
from webhook_app.usecases.reconcile.finished_calls import FinishedCalls
from webhook_app.usecases.reconcile.inbox import look, open_work
from webhook_app.usecases.reconcile.run import Bounds, Run
from webhook_app.usecases.reconcile.settle import follow_up
from webhook_app.usecases.reconcile.sweep import find_work
from webhook_app.usecases.reconcile.traces import linked_to_job, with_traces
from webhook_app.usecases.totals import Totals

log = get_logger()

#: Events whose work is opened at a time at most.
_MOST_OPENED = 500
#: Seconds between two attempts of the slow lane to write its answer.
_WRITE_SECONDS = 0.1
#: Seconds between two attempts to reach SQL, which is away.
_AWAY_SECONDS = 0.5


@dataclass(frozen=True)
class Reconciler:
    """What reconciling needs. `lease` must outlast the slowest call to Proof."""

    database: Database
    proof: ProofClient
    policy: Policy
    lease: timedelta
    clock: Callable[[], datetime]
    rng: random.Random
    totals: Totals
    unknown: set[str] = field(default_factory=set)
    """Tokens of claims that may have been committed as SQL went away; whoever has made them was not told."""

    def reconcile_due(
        self,
        *,
        threads: int,
        max_seconds: float,
        stopping: Callable[[], bool],
        grace: float,
        wake: Callable[[], None] = lambda: None,
        show: Callable[[], None] = lambda: None,
    ) -> int:
        """Works until nothing is due, `max_seconds` have passed or `stopping()`; returns how many were applied.

        What comes in meanwhile is opened and claimed soon after. Calls run on `threads` threads, which the
        classes of work share, and each is applied when it comes: one that hangs holds up its thread alone. After
        `max_seconds` work goes on beside the calls that are under way, with such as are over soon, until those are;
        after `stopping()` they are waited for `grace` seconds, and the rest is handed back. `wake` is called where more
        is due than these threads can do, and where the time is over; `show` again and again, for as long as work is
        claimed.
        """
        try:
            return Run(self, self._finished_calls(), Bounds(threads, max_seconds, stopping, grace, wake, show)).go()
        except DBAPIError:
            self._take_back_unknown(stopping)
            raise

    def reconcile_one(self, merchant_transaction_id: str) -> Applied | None:
        """One attempt at this transaction; None when it is not due, somebody else has it, or the gate is shut."""
        token = new_token()
        try:
            claim = claim_one(
                self.database, merchant_transaction_id, self.clock(), self.lease, self.policy.limits, token
            )
            if claim is None:
                return None
            (claim,) = linked_to_job(with_traces(self.database, [claim]))
        except DBAPIError as error:
            if is_away(error):
                self.unknown.add(token)
                self._take_back_unknown(lambda: False)
            raise
        finished = self._finished_calls()
        finished.add([self.fetch(claim)])
        while finished:
            if applied := finished.apply():
                return applied[0]
            time.sleep(_WRITE_SECONDS)
        return None

    def open_work(self) -> int:
        """The first step: opens what came in; returns how much. Nothing where another transaction is in the way, for
        what is under way goes on."""
        try:
            waiting = look(self.database)
            opened = open_work(self.database, _MOST_OPENED, self.clock(), self.policy.budget, waiting)
            if waiting.has_followers:
                follow_up(self.database, 1)
        except DBAPIError as error:
            _pass_over(error, "what came in waits for another transaction")
            return 0
        return opened

    def claim_due(self, room: Room) -> list[Claim]:
        """The second step: what is due and admitted, for the free threads of `room`; nothing where another transaction
        is in the way."""
        token = new_token()
        try:
            claims = claim_due(self.database, room, self.clock(), self.lease, self.policy.limits, token)
            return with_traces(self.database, claims)
        except DBAPIError as error:
            if is_away(error):
                self.unknown.add(token)
            _pass_over(error, "work waits for another transaction")
            return []

    def fetch(self, claim: Claim) -> FinishedCall:
        """The third step: one call to Proof. Never raises."""
        started_at = self.clock()
        with span("ask Proof", claim.traceparents, transaction=claim.merchant_transaction_id) as asked:
            result = self.proof.get_transaction(claim.merchant_transaction_id, patience=claim.patience)
            asked.note(proof_request_id=result.request_id, failure=result.name if isinstance(result, Failure) else None)
        return FinishedCall(claim, started_at, self.clock(), result)

    def is_held_up(self) -> bool:
        """Whether something is due that only the rate limit holds up, so that it is soon admitted."""
        work = find_work(self.database, self.clock(), 0, self.policy.limits)
        return work.fast_is_due

    def give_back(self, claims: Sequence[Claim]) -> None:
        """Where another transaction is in the way, the leases run out."""
        try:
            hand_back(self.database, claims)
        except DBAPIError as error:
            _pass_over(error, "claims cannot be handed back", count=len(claims))

    def _take_back_unknown(self, stopping: Callable[[], bool]) -> None:
        """Waits for SQL, for as long as a lease; after that the clock has taken back what was claimed."""
        ends_at = time.monotonic() + self.lease.total_seconds()
        while self.unknown and not stopping() and time.monotonic() < ends_at:
            try:
                take_back_unknown(self.database, self.unknown)
                break
            except DBAPIError:
                time.sleep(_AWAY_SECONDS)
        self.unknown.clear()

    def _finished_calls(self) -> FinishedCalls:
        return FinishedCalls(self.database, self.policy, self.rng, self.clock, self.lease.total_seconds(), self.totals)


def _pass_over(error: DBAPIError, what: str, **details: object) -> None:
    """Says so, where another transaction was in the way. Raises any other error."""
    if not was_in_the_way(error):
        raise error
    log.warning(what, why=first_line(error), **details)
