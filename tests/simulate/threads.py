"""Virtual threads and time for the worker's run: it goes as it is, and each of its threads is an actor."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.simulate.schedule import Schedule
from webhook_app.usecases.receive import spool_drain
from webhook_app.usecases.reconcile import finished_calls, reconciler, run
from webhook_app.usecases.reconcile.crew import Done


class VirtualCrew:
    """What `crew.Crew` is to the run, which never has more under way than its threads."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._owner = schedule.current
        self._leader = schedule.current.process
        self._done: list[Done] = []

    def submit(self, key: Hashable, work: Callable[..., Any], *arguments: Any) -> None:
        name = f"{self._leader.name}.{next(self._schedule.numbers)}"
        self._schedule.spawn(
            name, lambda: self._run(key, work, arguments), role=self._leader.role, delay=0.0001, leader=self._leader
        )

    def take(self, seconds: float) -> list[Done]:
        if not self._done:
            actor = self._schedule.current
            actor.is_listening = True
            self._schedule.sleep(seconds)
            actor.is_listening = False
        done, self._done = self._done, []
        return done

    def close(self) -> None:
        """Nothing waits to begin."""

    def _run(self, key: Hashable, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        result, raised = None, None
        try:
            result = work(*arguments)
        except Exception as error:
            raised = error
        self._done.append(Done(key, result, raised))
        if self._owner.is_listening:
            self._schedule.wake(self._owner)


class VirtualTime:
    """The functions of `time` that the run and the drain use."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule

    def monotonic(self) -> float:
        return self._schedule.now

    def sleep(self, seconds: float) -> None:
        self._schedule.sleep(seconds)


@contextmanager
def virtual_threads(schedule: Schedule) -> Iterator[None]:
    """Meanwhile the worker's run has virtual threads and virtual time, which the spool's drain has too."""
    virtual: list[tuple[Any, str, Any]] = [
        (run, "Crew", lambda _threads: VirtualCrew(schedule)),
        (run, "time", VirtualTime(schedule)),
        (reconciler, "time", VirtualTime(schedule)),
        (finished_calls, "time", VirtualTime(schedule)),
        (spool_drain, "time", VirtualTime(schedule)),
    ]
    real = [(module, name, getattr(module, name)) for module, name, _ in virtual]
    for module, name, value in virtual:
        setattr(module, name, value)
    try:
        yield
    finally:
        for module, name, value in real:
            setattr(module, name, value)
