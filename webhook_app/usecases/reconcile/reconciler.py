"""Reconciliation: claim what is due, ask Proof, apply. Many at once in the fast lane, one in the slow."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.exc import InterfaceError, OperationalError

from webhook_app.adapters.proof import ProofClient
from webhook_app.db.database import Database
from webhook_app.domain.failures import Failure
from webhook_app.logs import get_logger
from webhook_app.usecases.reconcile.apply import Applied, apply_calls
from webhook_app.usecases.reconcile.claim import Claim, claim_due, claim_one, hand_back
from webhook_app.usecases.reconcile.decisions import FinishedCall, Policy
from webhook_app.usecases.reconcile.inbox import open_work
from webhook_app.usecases.reconcile.settle import follow_up

log = get_logger()

#: Seconds to collect answers that come at about the same time into one SQL transaction.
_GATHER_SECONDS = 0.005
#: Events whose work is opened before each claim at most.
_MOST_OPENED = 500


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

        Before each claim the work of what came in meanwhile is opened.
        Calls run on `threads` threads and each is applied when it comes, so one that hangs holds up its thread alone.
        Those under way at the end are waited for; after `stopping()` for `grace` seconds, and the rest is handed back.
        """
        under_way: dict[Future[FinishedCall], Claim] = {}
        applied = 0
        ends_at = time.monotonic() + max_seconds
        stops_at: float | None = None
        executor = ThreadPoolExecutor(threads, thread_name_prefix="proof")
        try:
            while True:
                if stops_at is None and stopping():
                    stops_at = time.monotonic() + grace
                is_over = stops_at is not None or time.monotonic() >= ends_at
                free = threads - len(under_way)
                if not is_over and free * 2 >= threads:
                    open_work(self.database, _MOST_OPENED, self.clock(), self.policy.budget)
                    follow_up(self.database, 1)
                    for claim in self._claim_due(free):
                        under_way[executor.submit(self._fetch, claim)] = claim
                if not under_way or (stops_at is not None and time.monotonic() >= stops_at):
                    break
                applied += self._apply_finished(under_way)
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
        return next(iter(self._apply([self._fetch(claim)])), None)

    def _claim_due(self, limit: int) -> list[Claim]:
        return claim_due(self.database, limit, self.clock(), self.lease, self.policy.limits)

    def _fetch(self, claim: Claim) -> FinishedCall:
        started_at = self.clock()
        result = self.proof.get_transaction(claim.merchant_transaction_id)
        return FinishedCall(claim, started_at, self.clock(), result)

    def _apply_finished(self, under_way: dict[Future[FinishedCall], Claim]) -> int:
        wait(under_way, timeout=0.2, return_when=FIRST_COMPLETED)
        time.sleep(_GATHER_SECONDS)
        finished = [future for future in under_way if future.done()]
        applied = self._apply([future.result() for future in finished])
        for future in finished:
            del under_way[future]
        return len(applied)

    def _apply(self, calls: list[FinishedCall]) -> list[Applied]:
        """Applies them together, or, where one of them cannot be written, each by itself.

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
                return [one for call in calls for one in self._apply([call])]
            log.exception("answer cannot be applied", id=calls[0].claim.merchant_transaction_id)
            return []
        for one in applied:
            _log_applied(one)
        return applied


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
