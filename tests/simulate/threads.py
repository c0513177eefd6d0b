"""Virtual threads and time for the worker's loop: it runs as it is, and each of its threads is an actor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.simulate.schedule import Schedule
from webhook_app.usecases.reconcile import reconciler


class VirtualFuture:
    """What `concurrent.futures.Future` is to the loop."""

    def __init__(self) -> None:
        self._value: Any = None
        self._error: BaseException | None = None
        self._is_done = False

    def done(self) -> bool:
        return self._is_done

    def result(self) -> Any:
        assert self._is_done
        if self._error is not None:
            raise self._error
        return self._value

    def settle(self, value: Any, error: BaseException | None = None) -> None:
        self._value, self._error, self._is_done = value, error, True


class VirtualExecutor:
    """What `ThreadPoolExecutor` is to the loop: at most `threads` of what is submitted run, the others wait."""

    def __init__(self, schedule: Schedule, threads: int) -> None:
        self._schedule = schedule
        self._leader = schedule.current.process
        self._free = threads
        self._waiting: list[tuple[VirtualFuture, Callable[..., Any], tuple[Any, ...]]] = []

    def submit(self, work: Callable[..., Any], *arguments: Any) -> VirtualFuture:
        future = VirtualFuture()
        self._waiting.append((future, work, arguments))
        self._start_what_fits()
        return future

    def shutdown(self, *, wait: bool, cancel_futures: bool) -> None:
        assert not wait
        if cancel_futures:
            self._waiting.clear()

    def _start_what_fits(self) -> None:
        while self._free and self._waiting:
            future, work, arguments = self._waiting.pop(0)
            self._free -= 1
            name = f"{self._leader.name}.{next(self._schedule.numbers)}"
            self._schedule.spawn(name, lambda f=future, w=work, a=arguments: self._run(f, w, a),
                                 role=self._leader.role, delay=0.0001, leader=self._leader)  # fmt: skip

    def _run(self, future: VirtualFuture, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        try:
            future.settle(work(*arguments))
        except Exception as error:
            future.settle(None, error)
        self._free += 1
        self._start_what_fits()
        if self._leader.is_listening:
            self._schedule.wake(self._leader)


class VirtualTime:
    """The functions of `time` that the loop uses."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule

    def monotonic(self) -> float:
        return self._schedule.now

    def sleep(self, seconds: float) -> None:
        self._schedule.sleep(seconds)


@contextmanager
def virtual_threads(schedule: Schedule) -> Iterator[None]:
    """Meanwhile the worker's loop has virtual threads and virtual time."""

    def wait(futures: Iterable[VirtualFuture], timeout: float, return_when: object) -> None:
        if not any(future.done() for future in futures):
            actor = schedule.current
            actor.is_listening = True
            schedule.sleep(timeout)
            actor.is_listening = False

    virtual = {
        "ThreadPoolExecutor": lambda threads, **_: VirtualExecutor(schedule, threads),
        "wait": wait,
        "time": VirtualTime(schedule),
    }
    real = {name: getattr(reconciler, name) for name in virtual}
    vars(reconciler).update(virtual)
    try:
        yield
    finally:
        vars(reconciler).update(real)
