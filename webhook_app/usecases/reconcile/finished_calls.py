"""Finished calls on their way into SQL. An answer that cannot be written, because another transaction is in the way or
SQL is away, is kept and tried again; the others go on."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.exc import DBAPIError

from webhook_app.adapters.proof import Confirmed
from webhook_app.db.database import Database, is_away, was_in_the_way
from webhook_app.domain.failures import Failure
from webhook_app.domain.metrics import GIVEN_UP, PROOF_CALLS, RETRIES
from webhook_app.domain.outage import Outlook
from webhook_app.domain.retry_policy import KNOWN_ERRORS
from webhook_app.logs import first_line, get_logger
from webhook_app.models.reconciliation import State
from webhook_app.tracing import span
from webhook_app.usecases.reconcile.apply import Applied, write_calls
from webhook_app.usecases.reconcile.claim import Claim
from webhook_app.usecases.reconcile.decisions import FinishedCall, Policy
from webhook_app.usecases.reconcile.observe import observe_calls
from webhook_app.usecases.totals import Totals

log = get_logger()

#: Seconds before an answer is tried again: the first pause, which doubles, and the longest.
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0


@dataclass(eq=False)
class _Waiting:
    call: FinishedCall
    ends_at: float
    """Until when it is tried, on the monotonic clock, like `next_at`."""
    next_at: float = 0.0
    pause: float = _SHORTEST_PAUSE
    is_observed: bool = False
    """Whether the gate was told of it."""

    def put_off(self) -> None:
        self.next_at = time.monotonic() + self.pause
        self.pause = min(self.pause * 2, _LONGEST_PAUSE)


class FinishedCalls:
    """Of one run. `seconds` is how long an answer is tried, a lease: after that its claim may be somebody else's."""

    def __init__(
        self,
        database: Database,
        policy: Policy,
        rng: random.Random,
        clock: Callable[[], datetime],
        seconds: float,
        totals: Totals,
    ) -> None:
        self._database = database
        self._policy = policy
        self._rng = rng
        self._clock = clock
        self._seconds = seconds
        self._totals = totals
        self._waiting: list[_Waiting] = []

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def claims(self) -> list[Claim]:
        """Of what is not written yet."""
        return [one.call.claim for one in self._waiting]

    @property
    def unobserved(self) -> list[FinishedCall]:
        """Of these, those of which the gate was not told either."""
        return [one.call for one in self._waiting if not one.is_observed]

    def add(self, calls: Iterable[FinishedCall]) -> None:
        calls = list(calls)
        for call in calls:
            self._totals.observe(PROOF_CALLS, call.seconds, outcome=_outcome(call.result))
        ends_at = time.monotonic() + self._seconds
        self._waiting += [_Waiting(call, ends_at) for call in calls]

    def apply(self) -> list[Applied]:
        """Writes what is new, and what was put off long enough."""
        due = [one for one in self._waiting if one.next_at <= time.monotonic()]
        if not due:
            return []
        traced = [traceparent for one in due for traceparent in one.call.claim.traceparents]
        try:
            with span("apply answers", traced, answers=len(due)):
                applied, left = self._write(due, self._observe(due))
        except DBAPIError as error:
            if not (was_in_the_way(error) or is_away(error)):
                raise
            applied, left = [], due
            whom = "another transaction" if was_in_the_way(error) else "SQL"
            log.warning(f"answers wait for {whom}", count=len(due), why=first_line(error))
        for one in left:
            one.put_off()
        self._waiting = [one for one in self._waiting if one not in due or one in left]
        self._drop_late()
        self._count(applied)
        _log_applied(applied)
        return applied

    def _count(self, applied: Sequence[Applied]) -> None:
        for one in applied:
            if one.state == State.FAILED:
                self._totals.add(GIVEN_UP)
            elif one.failure:
                self._totals.add(RETRIES)

    def _observe(self, due: Sequence[_Waiting]) -> Outlook:
        """Tells the gate of each once."""
        new = [one for one in due if not one.is_observed]
        outlook = observe_calls(self._database, [one.call for one in new], self._clock(), self._policy.limits)
        for one in new:
            one.is_observed = True
        return outlook

    def _write(self, due: Sequence[_Waiting], outlook: Outlook) -> tuple[list[Applied], list[_Waiting]]:
        """Together, or, where one of them cannot be written, each by itself; and those whose reconciliation is locked.

        One that cannot be written keeps its claim until the lease runs out; the clock counts it as a crash and has it
        tried alone.
        """
        calls = [one.call for one in due]
        try:
            written = write_calls(
                self._database, calls, outlook, self._clock(), self._policy, self._rng, skip_locked=True
            )
        except Exception as error:
            if isinstance(error, DBAPIError) and (was_in_the_way(error) or is_away(error)):
                raise  # nobody's own fault
            if len(due) > 1:
                results = [self._write([one], outlook) for one in due]
                return [one for applied, _ in results for one in applied], [one for _, left in results for one in left]
            log.exception("answer cannot be applied", id=calls[0].claim.merchant_transaction_id)
            return [], []
        locked = {id(call) for call in written.locked}
        return written.applied, [one for one in due if id(one.call) in locked]

    def _drop_late(self) -> None:
        late = [one for one in self._waiting if one.ends_at <= time.monotonic()]
        for one in late:
            log.error("answer was not applied in time", id=one.call.claim.merchant_transaction_id)
        self._waiting = [one for one in self._waiting if one not in late]


def _outcome(result: Confirmed | Failure) -> str:
    """One of few words, whatever Proof answers."""
    if not isinstance(result, Failure):
        return "confirmed"
    return result.error if result.error in KNOWN_ERRORS else "other"


def _log_applied(applied: Sequence[Applied]) -> None:
    """One line for all that Proof has confirmed, for thousands a minute are; and one for each that failed."""
    confirmed = [_confirmed(one) for one in applied if one.failure is None]
    if confirmed:
        log.info("reconciled", transactions=confirmed)
    for one in applied:
        if one.failure is None:
            continue
        log.warning(
            "reconciliation failed" if one.state == "failed" else "call to Proof failed",
            id=one.merchant_transaction_id,
            state=one.state,
            failure=one.failure.name,
            request_id=one.failure.request_id,
            decision=one.decision,
            attempts=one.attempts,
            **_next_attempt(one),
        )


def _confirmed(one: Applied) -> dict[str, object]:
    return {"id": one.merchant_transaction_id, "state": one.state, "status": one.status, **_next_attempt(one)}


def _next_attempt(one: Applied) -> dict[str, str]:
    at = one.next_attempt_at
    return {"next_attempt_at": at.isoformat(timespec="seconds")} if at else {}
