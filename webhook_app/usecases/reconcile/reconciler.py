"""Reconciliation: claim what is due, ask Proof, apply. Many at once in the fast lane, one in the slow."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.exc import DBAPIError

from webhook_app.adapters.proof import ProofClient
from webhook_app.db.database import Database, was_in_the_way
from webhook_app.domain.shares import Counts
from webhook_app.logs import first_line, get_logger
from webhook_app.usecases.reconcile.apply import Applied
from webhook_app.usecases.reconcile.claim import Claim, Room, claim_due, claim_one, hand_back
from webhook_app.usecases.reconcile.decisions import FinishedCall, Policy
from webhook_app.usecases.reconcile.finished_calls import FinishedCalls
from webhook_app.usecases.reconcile.inbox import open_work
from webhook_app.usecases.reconcile.settle import follow_up
from webhook_app.usecases.reconcile.sweep import find_work
from webhook_app.usecases.totals import Totals

log = get_logger()

#: Seconds to collect answers that come at about the same time into one SQL transaction.
_GATHER_SECONDS = 0.005
#: Events whose work is opened before each claim at most.
_MOST_OPENED = 500
#: Seconds between two looks for work while more than half of the threads are busy.
_CLAIM_SECONDS = 0.1
#: Seconds for which a run goes on after its last claim, while more is due than the rate limit lets through.
_LINGER_SECONDS = 1.0


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

    def reconcile_due(self, *, threads: int, max_seconds: float, stopping: Callable[[], bool], grace: float) -> int:
        """Works until nothing is due, `max_seconds` have passed or `stopping()`; returns how many were applied.

        Before each claim the work of what came in meanwhile is opened. Calls run on `threads` threads, which the
        classes of work share, and each is applied when it comes: one that hangs holds up its thread alone. After
        `max_seconds` work goes on beside the calls that are under way, with such as are over soon, until those are;
        after `stopping()` they are waited for `grace` seconds, and the rest is handed back.
        """
        under_way: dict[Future[FinishedCall], Claim] = {}
        finished = self._finished_calls()
        applied = 0
        ends_at = time.monotonic() + max_seconds
        claims_at = lingers_until = 0.0
        stops_at: float | None = None
        executor = ThreadPoolExecutor(threads, thread_name_prefix="proof")
        try:
            while True:
                if stops_at is None and stopping():
                    stops_at = time.monotonic() + grace
                is_hurried = time.monotonic() >= ends_at
                is_over = stops_at is not None or (is_hurried and not _has_patient(under_way.values()))
                free = threads - len(under_way)
                if not is_over and free and (free * 2 >= threads or time.monotonic() >= claims_at):
                    claims = self._take_work(Room(threads, _count(under_way.values()), is_hurried))
                    for claim in claims:
                        under_way[executor.submit(self.fetch, claim)] = claim
                    claims_at = time.monotonic() + _CLAIM_SECONDS
                    if claims:
                        lingers_until = time.monotonic() + _LINGER_SECONDS
                if stops_at is not None and time.monotonic() >= stops_at:
                    break
                if under_way:
                    wait(under_way, timeout=_CLAIM_SECONDS, return_when=FIRST_COMPLETED)
                    time.sleep(_GATHER_SECONDS)
                    done = [future for future in under_way if future.done()]
                    finished.add(future.result() for future in done)
                    for future in done:
                        del under_way[future]
                    applied += len(finished.apply())
                elif finished:
                    time.sleep(_CLAIM_SECONDS)
                    applied += len(finished.apply())
                elif is_over or time.monotonic() >= lingers_until or not self._is_held_up():
                    break
                else:
                    time.sleep(_CLAIM_SECONDS)
        finally:
            # Where this is not reached, the leases run out and the clock finds them.
            executor.shutdown(wait=False, cancel_futures=True)
            self._hand_back([*under_way.values(), *finished.claims])
        return applied

    def reconcile_one(self, merchant_transaction_id: str) -> Applied | None:
        """One attempt at this transaction; None when it is not due, somebody else has it, or the gate is shut."""
        claim = claim_one(self.database, merchant_transaction_id, self.clock(), self.lease, self.policy.limits)
        if claim is None:
            return None
        finished = self._finished_calls()
        finished.add([self.fetch(claim)])
        while finished:
            if applied := finished.apply():
                return applied[0]
            time.sleep(_CLAIM_SECONDS)
        return None

    def claim_due(self, room: Room) -> list[Claim]:
        """The first step: what is due and admitted, for the free threads of `room`."""
        return claim_due(self.database, room, self.clock(), self.lease, self.policy.limits)

    def fetch(self, claim: Claim) -> FinishedCall:
        """The second step: one call to Proof. Never raises."""
        started_at = self.clock()
        result = self.proof.get_transaction(claim.merchant_transaction_id, patience=claim.patience)
        return FinishedCall(claim, started_at, self.clock(), result)

    def _is_held_up(self) -> bool:
        """Whether something is due that only the rate limit holds up, so that it is soon admitted."""
        work = find_work(self.database, self.clock(), 0, self.policy.limits)
        return work.fast_is_due

    def _take_work(self, room: Room) -> list[Claim]:
        """Opens what came in and claims what is due; nothing where another transaction is in the way, for what is under
        way goes on."""
        try:
            open_work(self.database, _MOST_OPENED, self.clock(), self.policy.budget)
            follow_up(self.database, 1)
            return self.claim_due(room)
        except DBAPIError as error:
            if not was_in_the_way(error):
                raise
            log.warning("work waits for another transaction", why=first_line(error))
            return []

    def _hand_back(self, claims: Sequence[Claim]) -> None:
        """Where another transaction is in the way, the leases run out."""
        try:
            hand_back(self.database, claims)
        except DBAPIError as error:
            if not was_in_the_way(error):
                raise
            log.warning("claims cannot be handed back", count=len(claims), why=first_line(error))

    def _finished_calls(self) -> FinishedCalls:
        return FinishedCalls(self.database, self.policy, self.rng, self.clock, self.lease.total_seconds(), self.totals)


def _has_patient(claims: Iterable[Claim]) -> bool:
    return any(claim.patience is None for claim in claims)


def _count(claims: Iterable[Claim]) -> Counts:
    return Counter(claim.work_class for claim in claims)
