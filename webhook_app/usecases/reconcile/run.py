"""One run of the fast lane: opens, claims, calls and applies side by side until nothing is due or its time is over.

The run's own thread decides and hands out, and waits for nothing but the crew. Of its threads one opens what came in,
one claims, one applies what was answered, one shows that the worker lives, all others call Proof. So no answer waits
for a claim, and no claim for a batch that is applied. An answer that waits to be applied is no call any more; where
more of them wait than there are threads for calls, they take their places, which bounds it. One that speaks against
Proof keeps its place until its batch is applied, or the gate at least was told: else, where SQL is slow, several times
as many calls as may be under way at once would go out in an outage before it is known for one.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from enum import Enum
from math import inf
from typing import Any, Protocol

from webhook_app.domain.failures import Failure
from webhook_app.domain.outage import speaks_against_proof
from webhook_app.usecases.reconcile.claim import Claim, Room
from webhook_app.usecases.reconcile.crew import Crew
from webhook_app.usecases.reconcile.decisions import FinishedCall
from webhook_app.usecases.reconcile.finished_calls import FinishedCalls
from webhook_app.usecases.reconcile.traces import linked_to_job

#: Seconds between two looks for work while more than half of the threads are busy; and whether the run is to stop.
_LOOK_SECONDS = 0.1
#: Seconds until the next look where the last one has not filled all threads: more has to come, or the rate has to allow
#: more. Each look locks the gate.
_CLAIM_SECONDS = 0.05
#: Seconds between two looks into the inbox.
_OPEN_SECONDS = 0.05
#: Seconds between two batches that are applied, and as much for each call under way, up to the longest: a batch costs
#: what some 30 answers cost, however small it is, so it is worth while to wait for what is about to come.
_APPLY_SECONDS, _APPLY_SECONDS_FOR_CALL, _LONGEST_APPLY_SECONDS = 0.03, 0.001, 0.1
#: Seconds for which a run goes on after its last claim, while more is due than the rate limit lets through.
_LINGER_SECONDS = 1.0
#: Seconds between two calls for other workers.
_WAKE_SECONDS = 1.0

#: Seconds that a run which breaks off waits for a claim under way, so that it can be handed back: as long as that waits
#: for the gate at most.
_REAP_SECONDS = 5.0


class _Task(Enum):
    """What the crew does beside calls, one of each at a time."""

    OPEN = "open"
    CLAIM = "claim"
    APPLY = "apply"
    SHOW = "show"


@dataclass(frozen=True)
class Bounds:
    """Of a run: `max_seconds` until it begins nothing that takes long, and ends; `grace` seconds for calls under way
    after `stopping()`. `wake` calls another worker, where more is due than this one can do; `show` is called after
    each claim, beside the calls that it has brought."""

    threads: int
    max_seconds: float
    stopping: Callable[[], bool]
    grace: float
    wake: Callable[[], None]
    show: Callable[[], None]


class Steps(Protocol):
    """What a run is made of."""

    def open_work(self) -> int: ...
    def claim_due(self, room: Room) -> list[Claim]: ...
    def fetch(self, claim: Claim) -> FinishedCall: ...
    def is_held_up(self) -> bool: ...
    def give_back(self, claims: Sequence[Claim]) -> None: ...


class Run:
    """One run; `go` once."""

    def __init__(self, steps: Steps, finished: FinishedCalls, bounds: Bounds) -> None:
        self._steps = steps
        self._finished = finished
        self._bounds = bounds
        self._crew = Crew(bounds.threads + len(_Task))
        self._under_way: set[_Task] = set()
        self._calling: dict[Hashable, Claim] = {}
        self._arrived: list[FinishedCall] = []
        self._applying: list[FinishedCall] = []
        """And of what is put off the answers that keep their places, for the gate was not told of them."""
        self._applied = 0
        self._broken_by: BaseException | None = None
        """Why nothing more is begun: as a rule because SQL is away. What is in hand comes to its end first."""
        self._ends_at = time.monotonic() + bounds.max_seconds
        self._stops_at: float | None = None
        self._claims_at = inf  # what came in is opened first
        self._has_opened = False
        self._opens_at = self._looks_at = self._applies_at = self._wakes_at = self._lingers_until = 0.0

    def go(self) -> int:
        """Returns how many answers were applied."""
        try:
            while self._goes_on():
                self._take(self._pause())
        finally:
            # Where this is not reached, the leases run out and the clock finds them.
            self._give_back()
        return self._applied

    def _goes_on(self) -> bool:
        now = time.monotonic()
        if self._stops_at is None and self._bounds.stopping():
            self._stops_at = now + self._bounds.grace
        if not self._is_over(now):
            self._open(now)
            self._claim(now)
        self._apply(now)
        if self._stops_at is not None and now >= self._stops_at and self._under_way <= {_Task.OPEN, _Task.SHOW}:
            return False
        if self._calling or self._arrived or self._under_way or self._finished:
            return True
        if self._broken_by is not None:
            raise self._broken_by
        if self._is_over(now):
            if self._stops_at is None:
                self._bounds.wake()  # there may be more, and no clock looks before the next second
            return False
        return now < self._lingers_until and self._steps.is_held_up()

    def _give_back(self) -> None:
        """Also what is claimed at this very moment, where something else has broken the run off."""
        reap_until = time.monotonic() + _REAP_SECONDS
        while _Task.CLAIM in self._under_way and (seconds := reap_until - time.monotonic()) > 0:
            for done in self._crew.take(seconds):
                if done.key is _Task.CLAIM:
                    self._under_way.discard(_Task.CLAIM)
                    self._calling.update((_key(claim), claim) for claim in done.result or ())
        self._crew.close()
        waiting = [call.claim for call in self._arrived]
        self._steps.give_back([*self._calling.values(), *waiting, *self._finished.claims])

    def _is_over(self, now: float) -> bool:
        """Whether nothing more is begun. After `max_seconds` work goes on beside the calls that take long, with such as
        are over soon, until those are."""
        has_to_end = self._stops_at is not None or self._broken_by is not None
        return has_to_end or (self._is_hurried(now) and not self._has_patient())

    def _is_hurried(self, now: float) -> bool:
        return now >= self._ends_at

    def _has_patient(self) -> bool:
        return any(claim.patience is None for claim in self._calling.values())

    def _has_room(self) -> bool:
        free = self._bounds.threads - self._held()
        return free * 2 >= self._bounds.threads or (free > 0 and time.monotonic() >= self._looks_at)

    def _held(self) -> int:
        """Places that are taken: by calls, by answers that keep theirs, and by what else waits beyond a batch."""
        others = sum(1 for call in self._arrived if not _counts_as_call(call))
        return len(self._calling) + len(self._kept()) + max(others - self._bounds.threads, 0)

    def _kept(self) -> list[Claim]:
        """Of answers that speak against Proof and wait to be applied."""
        return [call.claim for call in (*self._applying, *self._arrived) if _counts_as_call(call)]

    def _open(self, now: float) -> None:
        if _Task.OPEN not in self._under_way and now >= self._opens_at:
            self._begin(_Task.OPEN, self._steps.open_work)

    def _claim(self, now: float) -> None:
        if _Task.CLAIM in self._under_way or now < self._claims_at or not self._has_room():
            return
        self._claims_at = now + _CLAIM_SECONDS
        in_use = Counter(claim.work_class for claim in (*self._calling.values(), *self._kept()))
        ended = [call.claim for call in (*self._applying, *self._arrived) if not _counts_as_call(call)]
        room = Room(self._bounds.threads, in_use, ended, self._is_hurried(now), self._has_opened)
        self._has_opened = False
        self._begin(_Task.CLAIM, self._steps.claim_due, room)

    def _show(self) -> None:
        if _Task.SHOW not in self._under_way:
            self._begin(_Task.SHOW, self._bounds.show)

    def _apply(self, now: float) -> None:
        """Begins to apply what has arrived; only then is `finished` in the hands of another thread."""
        is_early = now < self._applies_at and self._stops_at is None
        if _Task.APPLY in self._under_way or is_early or not (self._arrived or self._finished):
            return
        pause = min(_APPLY_SECONDS + len(self._calling) * _APPLY_SECONDS_FOR_CALL, _LONGEST_APPLY_SECONDS)
        self._applies_at = now + (pause if self._arrived else _LOOK_SECONDS)
        self._finished.add(self._arrived)
        self._applying += self._arrived
        self._arrived = []
        self._begin(_Task.APPLY, self._finished.apply)

    def _begin(self, task: _Task, work: Callable[..., Any], *arguments: Any) -> None:
        self._under_way.add(task)
        self._crew.submit(task, work, *arguments)

    def _take(self, seconds: float) -> None:
        """Takes all that has ended, and only then raises what one of it has raised: claims that were made with that are
        to be handed back. Where nothing can be opened or claimed, what is in hand goes on."""
        ended = self._crew.take(seconds)
        now = time.monotonic()
        for done in ended:
            if isinstance(done.key, _Task):
                self._under_way.discard(done.key)
            if done.error is not None:
                continue
            if done.key is _Task.OPEN:
                self._note_opened(done.result, now)
            elif done.key is _Task.CLAIM:
                self._hand_out(done.result, now)
            elif done.key is _Task.APPLY:
                self._applying = [call for call in self._finished.unobserved if _counts_as_call(call)]
                self._applied += len(done.result)
            elif done.key is not _Task.SHOW:
                del self._calling[done.key]
                self._arrived.append(done.result)
        for done in ended:
            if done.error is not None and done.key in (_Task.OPEN, _Task.CLAIM, _Task.SHOW):
                self._broken_by = self._broken_by or done.error
            elif done.error is not None:
                raise done.error

    def _note_opened(self, opened: int, now: float) -> None:
        self._opens_at = now + _OPEN_SECONDS
        self._has_opened = self._has_opened or opened > 0
        if opened or self._claims_at == inf:
            self._claims_at = now

    def _hand_out(self, claims: Sequence[Claim], now: float) -> None:
        for claim in linked_to_job(claims):
            self._calling[_key(claim)] = claim
            self._crew.submit(_key(claim), self._steps.fetch, claim)
        is_full = self._held() >= self._bounds.threads
        # What was opened while this was claimed is asked for at once: then it is earlier already.
        self._claims_at = min(self._claims_at, now) if is_full else min(self._claims_at, now + _CLAIM_SECONDS)
        self._looks_at = now + _LOOK_SECONDS
        self._show()
        if claims:
            self._lingers_until = now + _LINGER_SECONDS
        if is_full and now >= self._wakes_at:
            self._wakes_at = now + _WAKE_SECONDS
            self._bounds.wake()

    def _pause(self) -> float:
        """Seconds until there is something to do, unless something ends before."""
        now = time.monotonic()
        ends = [now + _LOOK_SECONDS]
        if self._arrived and _Task.APPLY not in self._under_way:
            ends.append(self._applies_at)
        if not self._is_over(now):
            if _Task.OPEN not in self._under_way:
                ends.append(self._opens_at)
            if _Task.CLAIM not in self._under_way and self._has_room():
                ends.append(self._claims_at)
        return max(min(ends) - now, 0.0)


def _counts_as_call(call: FinishedCall) -> bool:
    return isinstance(call.result, Failure) and speaks_against_proof(call.result)


def _key(claim: Claim) -> Hashable:
    """Not the transaction alone: a claim that was lost may be made again while the call of the first one goes on."""
    return claim.reconciliation_id, claim.token
