"""The virtual Redis: what the clock and the web processes put there, and the workers take. It may lose all of it."""

from __future__ import annotations

from collections.abc import Iterable

from tests.simulate.schedule import Actor, Schedule
from webhook_app.adapters.queueing import MOST_DISPATCHED
from webhook_app.domain.waiting import Waiting

#: Seconds for which one wake-up stands for all.
_WAKE_SECONDS = 2.0


class VirtualQueues:
    """What `adapters.queueing.Queues` is to its callers."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._wake_until = 0.0
        self._has_wake_job = False
        self._slow: list[str] = []
        self._idle: dict[str, list[Actor]] = {"fast": [], "slow": []}

    def wake(self) -> None:
        if self._schedule.now >= self._wake_until:
            self._wake_until = self._schedule.now + _WAKE_SECONDS
            self._has_wake_job = True
            self._call("fast")

    def acknowledge_wake(self) -> None:
        self._wake_until = 0.0

    def dispatch(self, merchant_transaction_ids: Iterable[str]) -> int:
        waiting = set(self._slow)
        new = [one for one in merchant_transaction_ids if one not in waiting]
        taken = new[: max(MOST_DISPATCHED - len(self._slow), 0)]
        self._slow += taken
        self._call("slow")
        return len(taken)

    def show_waiting(self, waiting: Iterable[Waiting]) -> None:
        """Nobody looks."""

    def show_failed(self, failed: Iterable[Waiting]) -> None:
        """Nobody looks."""

    def flush(self) -> None:
        """All is lost."""
        self._wake_until, self._has_wake_job, self._slow = 0.0, False, []

    def take_wake_job(self) -> None:
        """The current actor sleeps until it has one."""
        while not self._has_wake_job:
            self._sleep("fast")
        self._has_wake_job = False

    def take_slow_job(self) -> str:
        """The current actor sleeps until it has the id of one."""
        while not self._slow:
            self._sleep("slow")
        return self._slow.pop(0)

    def _sleep(self, lane: str) -> None:
        actor = self._schedule.current
        self._idle[lane].append(actor)
        self._schedule.sleep(3600.0)
        if actor in self._idle[lane]:
            self._idle[lane].remove(actor)

    def _call(self, lane: str) -> None:
        """Redis gives a job to the worker that has waited longest; one that is gone takes none."""
        self._idle[lane] = [actor for actor in self._idle[lane] if not actor.is_dead]
        if self._idle[lane]:
            self._schedule.wake(self._idle[lane].pop(0), 0.001)
