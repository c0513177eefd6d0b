"""Clocks: they sweep, and do by themselves what no worker takes."""

from __future__ import annotations

import threading
from collections.abc import Collection
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

from sqlalchemy.exc import DBAPIError

from tests.simulate.machinery import Machinery
from tests.simulate.plan import Process
from tests.simulate.schedule import Actor
from webhook_app.usecases.reconcile.clock_jump import follow_clock
from webhook_app.usecases.reconcile.standing_in import note_standing_in
from webhook_app.usecases.reconcile.work_classes import Lane
from workers.clock import INTERVAL, run_once
from workers.own_work import work_by_itself

#: Most seconds between two sweeps of a clock that finds nothing to do.
_LONGEST_GAP = 10.0


def run_clock(machinery: Machinery, process: Process) -> None:
    """As `workers.clock.run_clock`."""
    clock = machinery.wall_clock(process)
    services: Any = SimpleNamespace(
        database=machinery.database,
        queues=machinery.queues,
        clock=clock,
        settings=machinery.settings,
    )
    own_work = _OwnWork(machinery, services, process)
    swept_at = -_LONGEST_GAP
    step = machinery.clock_step
    while True:
        was_set, step = machinery.clock_step != step, machinery.clock_step
        if was_set:
            machinery.idle_until = 0.0  # plans move with it
        if machinery.schedule.now < machinery.idle_until:
            machinery.schedule.sleep(INTERVAL)
            continue
        # A sweep that finds nothing does nothing: most of those are left out, for they cost the most time.
        if was_set or machinery.schedule.now - swept_at >= _LONGEST_GAP or machinery.database.has_work(clock()):
            swept_at = machinery.schedule.now
            uptime = timedelta(days=1, seconds=machinery.schedule.now)
            try:
                follow_clock(machinery.database, f"host of {process.name}", clock(), uptime)
                run_once(services, own_work)  # type: ignore[arg-type]  # what it needs of one
            except DBAPIError:
                machinery.schedule.note("the clock waits for SQL")
        machinery.schedule.sleep(INTERVAL)


class _OwnWork:
    """What `workers.own_work.OwnWork` is to the clock, its thread an actor."""

    def __init__(self, machinery: Machinery, services: Any, process: Process) -> None:
        self._machinery, self._services, self._process = machinery, services, process
        self._leader = machinery.schedule.current
        self._thread: Actor | None = None

    def begin(self, lanes: Collection[Lane], *, stands_in: bool) -> None:  # noqa: ARG002 - it always does here
        if self._thread is not None and not self._thread.is_dead:
            return
        name = f"{self._leader.name}.own{next(self._machinery.starts)}"
        self._thread = self._machinery.schedule.spawn(
            name, lambda: self._run(lanes), role=self._process.name, leader=self._leader
        )

    def _run(self, lanes: Collection[Lane]) -> None:
        machinery = self._machinery
        try:
            reconciler = machinery.reconciler(self._process)
            for lane in work_by_itself(self._services, reconciler, lanes, threading.Event()):
                note_standing_in(machinery.database, lane, self._services.clock())
        except DBAPIError:
            machinery.schedule.note("the clock waits for SQL")
