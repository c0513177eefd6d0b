"""Reconciliation: claim what is due, ask Proof, apply. Many at once in the fast lane, one in the slow."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.exc import InterfaceError, OperationalError

from webhook_app.adapters.proof import ProofClient
from webhook_app.db.database import Database
from webhook_app.domain.failures import Failure
from webhook_app.domain.shares import Counts
from webhook_app.logs import get_logger
from webhook_app.usecases.reconcile.apply import Applied, apply_calls
from webhook_app.usecases.reconcile.claim import Claim, Room, claim_due, claim_one, hand_back
from webhook_app.usecases.reconcile.decisions import FinishedCall, Policy
from webhook_app.usecases.reconcile.inbox import open_events
from webhook_app.usecases.reconcile.sweep import find_work

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

    def reconcile_due(self, *, threads: int, max_seconds: float, stopping: Callable[[], bool], grace: float) -> int:
        """Works until nothing is due, `max_seconds` have passed or `stopping()`; returns how many were applied.

        Before each claim the work of what came in meanwhile is opened. Calls run on `threads` threads, which the
        classes of work share, and each is applied when it comes: one that hangs holds up its thread alone. After
        `max_seconds` work goes on beside the calls that are under way, with such as are over soon, until those are;
        after `stopping()` they are waited for `grace` seconds, and the rest is handed back.
        """
        under_way: dict[Future[FinishedCall], Claim] = {}
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
                    open_events(self.database, _MOST_OPENED, self.clock())
                    claims = self.claim_due(Room(threads, _count(under_way.values()), is_hurried))
                    for claim in claims:
                        under_way[executor.submit(self.fetch, claim)] = claim
                    claims_at = time.monotonic() + _CLAIM_SECONDS
                    if claims:
                        lingers_until = time.monotonic() + _LINGER_SECONDS
                if stops_at is not None and time.monotonic() >= stops_at:
                    break
                if under_way:
                    applied += self._apply_finished(under_way)
                elif is_over or time.monotonic() >= lingers_until or not self._is_held_up():
                    break
                else:
                    time.sleep(_CLAIM_SECONDS)
        finally:
            # Where this is not reached, the leases run out and the clock finds them.
            executor.shutdown(wait=False, cancel_futures=True)
            if under_way:
                hand_back(self.database, list(under_way.values()))
        return applied

    def reconcile_one(self, merchant_transaction_id: str) -> Applied | None:
        """One attempt at this transaction; None when it is not due, somebody else has it, or the gate is shut."""
        claim = claim_one(self.database, merchant_transaction_id, self.clock(), self.lease, self.policy.limits)
        if claim is None:
            return None
        return next(iter(self.apply([self.fetch(claim)])), None)

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

    def _apply_finished(self, under_way: dict[Future[FinishedCall], Claim]) -> int:
        wait(under_way, timeout=_CLAIM_SECONDS, return_when=FIRST_COMPLETED)
        time.sleep(_GATHER_SECONDS)
        finished = [future for future in under_way if future.done()]
        applied = self.apply([future.result() for future in finished])
        for future in finished:
            del under_way[future]
        return len(applied)

    def apply(self, calls: list[FinishedCall]) -> list[Applied]:
        """The third step. Applies them together, or, where one of them cannot be written, each by itself.

        That one keeps its claim until the lease runs out; the clock counts it as a crash and has it tried alone.
        """
        if not calls:
            return []
        try:
            applied = apply_calls(self.database, calls, self.clock(), self.policy, self.rng)
        except (OperationalError, InterfaceError):
            raise  # the database is away or busy: nobody's own fault
        except Exception:
            if len(calls) > 1:
                return [one for call in calls for one in self.apply([call])]
            log.exception("answer cannot be applied", id=calls[0].claim.merchant_transaction_id)
            return []
        for one in applied:
            _log_applied(one)
        return applied


def _has_patient(claims: Iterable[Claim]) -> bool:
    return any(claim.patience is None for claim in claims)


def _count(claims: Iterable[Claim]) -> Counts:
    return Counter(claim.work_class for claim in claims)


def _log_applied(applied: Applied) -> None:
    details: dict[str, object] = {"id": applied.merchant_transaction_id, "state": applied.state}
    if isinstance(applied.failure, Failure):
        details |= {
            "failure": applied.failure.name,
            "request_id": applied.failure.request_id,
            "decision": applied.decision,
            "attempts": applied.attempts,
        }
    else:
        details["status"] = applied.status
    if applied.next_attempt_at:
        details["next_attempt_at"] = applied.next_attempt_at.isoformat(timespec="seconds")
    level = log.warning if applied.failure else log.info
    level("reconciliation failed" if applied.state == "failed" else "reconciled", **details)
