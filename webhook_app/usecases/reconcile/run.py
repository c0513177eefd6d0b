"""One run of the fast lane: claims, calls and applying side by side, until nothing is due or its time is over.

The run's own thread claims and hands out. Calls are made on threads of a crew, and one more applies what they have
brought, so that calls go on meanwhile. What waits to be applied is no call any more; where more of it waits than there
are threads, it takes their places, which bounds it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from webhook_app.usecases.reconcile.claim import Claim, Room
from webhook_app.usecases.reconcile.crew import Crew
from webhook_app.usecases.reconcile.decisions import FinishedCall
from webhook_app.usecases.reconcile.finished_calls import FinishedCalls

#: Seconds between two looks for work while more than half of the threads are busy; and whether the run is to stop.
_LOOK_SECONDS = 0.1
#: Seconds until the next look where the last one has not filled all threads: more has to come, or the rate has to allow
#: more. Each look locks the gate.
_CLAIM_SECONDS = 0.05
#: Seconds between two batches that are applied: each costs what some 30 answers cost, however small it is.
_APPLY_SECONDS = 0.03
#: Seconds for which a run goes on after its last claim, while more is due than the rate limit lets through.
_LINGER_SECONDS = 1.0
#: Seconds between two calls for other workers.
_WAKE_SECONDS = 1.0

_APPLIED = "applied"


@dataclass(frozen=True)
class Bounds:
    """Of a run: `max_seconds` until it begins nothing that takes long, and ends; `grace` seconds for calls under way
    after `stopping()`. `wake` calls another worker, where more is due than this one can do."""

    threads: int
    max_seconds: float
    stopping: Callable[[], bool]
    grace: float
    wake: Callable[[], None]


class Steps(Protocol):
    """What a run is made of."""

    def take_work(self, room: Room) -> list[Claim]: ...
    def fetch(self, claim: Claim) -> FinishedCall: ...
    def is_held_up(self) -> bool: ...
    def give_back(self, claims: Sequence[Claim]) -> None: ...


class Run:
    """One run; `go` once."""

    def __init__(self, steps: Steps, finished: FinishedCalls, bounds: Bounds) -> None:
        self._steps = steps
        self._finished = finished
        self._bounds = bounds
        self._crew = Crew(bounds.threads + 1)
        self._calling: dict[str, Claim] = {}
        """By transaction."""
        self._arrived: list[FinishedCall] = []
        self._ended: list[Claim] = []
        """Of what is being applied."""
        self._is_applying = False
        self._applied = 0
        self._ends_at = time.monotonic() + bounds.max_seconds
        self._stops_at: float | None = None
        self._claims_at = self._looks_at = self._applies_at = self._wakes_at = self._lingers_until = 0.0

    def go(self) -> int:
        """Returns how many answers were applied."""
        try:
            while self._goes_on():
                self._take(self._pause())
        finally:
            # Where this is not reached, the leases run out and the clock finds them.
            self._crew.close()
            waiting = [call.claim for call in self._arrived]
            self._steps.give_back([*self._calling.values(), *waiting, *self._finished.claims])
        return self._applied

    def _goes_on(self) -> bool:
        now = time.monotonic()
        if self._stops_at is None and self._bounds.stopping():
            self._stops_at = now + self._bounds.grace
        if not self._is_over(now) and self._has_room() and now >= self._claims_at:
            self._claim(now)
        self._apply(now)
        if self._stops_at is not None and now >= self._stops_at and not self._is_applying:
            return False
        if self._calling or self._arrived or self._is_applying or self._finished:
            return True
        if self._is_over(now):
            if self._stops_at is None:
                self._bounds.wake()  # there may be more, and no clock looks before the next second
            return False
        return now < self._lingers_until and self._steps.is_held_up()

    def _is_over(self, now: float) -> bool:
        """Whether nothing more is begun. After `max_seconds` work goes on beside the calls that take long, with such as
        are over soon, until those are."""
        return self._stops_at is not None or (self._is_hurried(now) and not self._has_patient())

    def _is_hurried(self, now: float) -> bool:
        return now >= self._ends_at

    def _has_patient(self) -> bool:
        return any(claim.patience is None for claim in self._calling.values())

    def _has_room(self) -> bool:
        free = self._bounds.threads - self._held()
        return free * 2 >= self._bounds.threads or (free > 0 and time.monotonic() >= self._looks_at)

    def _held(self) -> int:
        """Places that are taken: by calls, and by what waits to be applied beyond a batch."""
        return len(self._calling) + max(len(self._arrived) - self._bounds.threads, 0)

    def _claim(self, now: float) -> None:
        in_use = Counter(claim.work_class for claim in self._calling.values())
        ended = [*self._ended, *(call.claim for call in self._arrived)]
        claims = self._steps.take_work(Room(self._bounds.threads, in_use, ended, self._is_hurried(now)))
        for claim in claims:
            self._calling[claim.merchant_transaction_id] = claim
            self._crew.submit(claim.merchant_transaction_id, self._steps.fetch, claim)
        now = time.monotonic()
        is_full = self._held() >= self._bounds.threads
        self._claims_at = now if is_full else now + _CLAIM_SECONDS
        self._looks_at = now + _LOOK_SECONDS
        if claims:
            self._lingers_until = now + _LINGER_SECONDS
        if is_full and now >= self._wakes_at:
            self._wakes_at = now + _WAKE_SECONDS
            self._bounds.wake()

    def _apply(self, now: float) -> None:
        """Begins to apply what has arrived; only then is `finished` in the hands of another thread."""
        is_early = now < self._applies_at and self._stops_at is None
        if self._is_applying or is_early or not (self._arrived or self._finished):
            return
        self._applies_at = now + (_APPLY_SECONDS if self._arrived else _LOOK_SECONDS)
        self._finished.add(self._arrived)
        self._ended = [call.claim for call in self._arrived]
        self._arrived = []
        self._is_applying = True
        self._crew.submit(_APPLIED, self._finished.apply)

    def _take(self, seconds: float) -> None:
        for key, result in self._crew.take(seconds):
            if key is _APPLIED:
                self._is_applying = False
                self._ended = []
                self._applied += len(result)
            else:
                del self._calling[str(key)]
                self._arrived.append(result)

    def _pause(self) -> float:
        """Seconds until there is something to do, unless something ends before."""
        now = time.monotonic()
        ends = [now + _LOOK_SECONDS]
        if self._arrived and not self._is_applying:
            ends.append(self._applies_at)
        if not self._is_over(now) and self._has_room():
            ends.append(self._claims_at)
        return max(min(ends) - now, 0.0)
