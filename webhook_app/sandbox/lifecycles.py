"""How a payment moves by itself: plans of timed status changes, and the engine that carries them out."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from itertools import count

from webhook_app.domain.status import Status
from webhook_app.sandbox.scheduler import Scheduler


class Ending(StrEnum):
    """How a payment ends."""

    ANY = "any"
    """One of the four below, as it happens with people."""
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    RETRIED = "retried"
    """Fails, is retried in the widget, and completes (proof/README.md, "The trap")."""
    MANUAL = "manual"
    """Stays `pending` until somebody moves it."""


@dataclass(frozen=True)
class LifecycleStep:
    """A status, and how many human seconds after the one before it comes."""

    after: float
    status: Status


Plan = tuple[LifecycleStep, ...]


def plan_lifecycle(ending: Ending, rng: random.Random) -> Plan:
    """What follows `pending`: 5 to 60 seconds a step, at speed 1. Buy and sell take the same statuses."""
    if ending is Ending.ANY:
        ending = rng.choices((Ending.COMPLETED, Ending.FAILED, Ending.CANCELLED, Ending.RETRIED), (70, 10, 10, 10))[0]
    if ending is Ending.MANUAL:
        return ()
    if ending is Ending.CANCELLED:
        return (_step(Status.CANCELLED, rng),)
    if ending is Ending.FAILED:
        return _failure(rng)
    failures: Plan = ()
    if ending is Ending.RETRIED:
        failures = _failure(rng)
        if rng.random() < 0.3:  # the retry fails too
            failures = (*failures, _step(Status.PROCESSING, rng), _step(Status.FAILED, rng))
    return (*failures, _step(Status.PROCESSING, rng), _step(Status.COMPLETED, rng))


def _failure(rng: random.Random) -> Plan:
    """The payment is refused, or it is captured and the crypto leg fails."""
    if rng.random() < 0.5:
        return (_step(Status.FAILED, rng),)
    return (_step(Status.PROCESSING, rng), _step(Status.FAILED, rng))


def _step(status: Status, rng: random.Random) -> LifecycleStep:
    return LifecycleStep(round(rng.uniform(5, 60 if status is Status.PROCESSING else 40), 3), status)


@dataclass(frozen=True)
class _Running:
    serial: int
    due: float
    steps: Plan


class Lifecycles:
    """Carries plans out, each transaction's own; `move(transaction_id, status)` is called as each step comes due."""

    def __init__(self, scheduler: Scheduler, move: Callable[[str, Status], None]) -> None:
        self._scheduler = scheduler
        self._move = move
        self._lock = threading.RLock()
        self._running: dict[str, _Running] = {}
        self._serial = count()
        self.finished = 0

    def start(self, transaction_id: str, plan: Plan) -> None:
        """Follows `plan` from now on, instead of whatever plan there was."""
        with self._lock:
            self._schedule(transaction_id, plan)

    def stop(self, transaction_id: str) -> None:
        """A person or a test has taken over."""
        with self._lock:
            self._running.pop(transaction_id, None)

    def in_progress(self) -> int:
        return len(self._running)

    def remaining(self) -> dict[str, Plan]:
        """What each transaction still has before it, the first step's wait shortened by what has passed of it."""
        now = self._scheduler.now()
        with self._lock:
            return {
                transaction_id: (
                    LifecycleStep(round(max(running.due - now, 0.0), 3), running.steps[0].status),
                    *running.steps[1:],
                )
                for transaction_id, running in self._running.items()
            }

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """No plan takes a step meanwhile, so that plans and transactions can be read together."""
        with self._lock:
            yield

    def plan_of(self, transaction_id: str) -> tuple[Status, ...]:
        """The statuses that are still to come."""
        running = self._running.get(transaction_id)
        return tuple(step.status for step in running.steps) if running else ()

    def clear(self) -> None:
        with self._lock:
            self._running.clear()
            self.finished = 0

    def _schedule(self, transaction_id: str, plan: Plan) -> None:
        self._running.pop(transaction_id, None)
        if not plan:
            return
        serial = next(self._serial)
        due = self._scheduler.after(plan[0].after, lambda: self._advance(transaction_id, serial))
        self._running[transaction_id] = _Running(serial, due, plan)

    def _advance(self, transaction_id: str, serial: int) -> None:
        with self._lock:
            running = self._running.get(transaction_id)
            if running is None or running.serial != serial:
                return  # another plan, or a person, came in between
            # Under the lock, so that nobody who stopped this plan sees it take one more step.
            self._move(transaction_id, running.steps[0].status)
            self._schedule(transaction_id, running.steps[1:])
            if len(running.steps) == 1:
                self.finished += 1
