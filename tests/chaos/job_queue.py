"""The scenarios that others publish for job queues, with the throughput after each by the throughput before it: the
database is restarted, back ends are killed once and again and again, the pool is exhausted, a worker is killed.

Throughput is transactions reconciled a second by two fast workers from a backlog that never ends.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from tests.chaos.outage import count_duplicated, count_wrong, insert_events
from tests.chaos.rig import NotInTime, Rig
from tests.chaos.table import Row
from webhook_app.domain.status import Status
from webhook_app.models import Event
from webhook_app.models.event import Delivery

#: Calls per second that are allowed, high, so that the product and not Proof's limit decides.
_RATE = 2000
#: Transactions that wait at least, and that are added at a time.
_LOW_WATER, _PORTION = 2000, 1000
#: Seconds that reconciling has to begin again, and to reach what it was.
_RECOVERY = 45.0


def run_job_queue(rig: Rig, *, seconds: float) -> list[Row]:
    """Each scenario between two windows of `seconds`."""
    scenarios: dict[str, Callable[[], None]] = {
        **rig.engine.blows,
        "worker killed": lambda: rig.keeper.kill("fast-0"),
    }
    for name in ("fast-0", "fast-1"):
        rig.start(name, "worker", "--lane", "fast", PROOF_MAX_CALLS_PER_SECOND=str(_RATE))
    rig.start("slow-0", "worker", "--lane", "slow", PROOF_MAX_CALLS_PER_SECOND=str(_RATE))
    rig.start("clock-0", "clock", PROOF_MAX_CALLS_PER_SECOND=str(_RATE))
    backlog = _Backlog(rig)
    rows = []
    try:
        rig.until(lambda: _settled(rig) > 100, "the workers are at work", _RECOVERY)
        rows += [_try(rig, name, blow, seconds) for name, blow in scenarios.items()]
    finally:
        backlog.end()
    _judge(rig, rows, backlog.count)
    return rows


def _try(rig: Rig, name: str, blow: Callable[[], None], seconds: float) -> Row:
    row = Row(rig.engine.name, f"job queue: {name}", times=1)
    before = _measure(rig, seconds)
    blow()
    began, then = time.monotonic(), _settled(rig)
    try:
        rig.until(lambda: _settled(rig) > then, "something is reconciled again", _RECOVERY)
        row.recoveries.append(time.monotonic() - began)
        after = _measure(rig, seconds)
        row.rates.append((before, after))
        rig.say(f"{name}: {before:.0f}/s before, {after:.0f}/s after, again after {row.recoveries[-1]:.1f} s")
    except NotInTime as error:
        row.late += 1
        rig.say(f"{name}: {error}")
    return row


def _judge(rig: Rig, rows: list[Row], count: int) -> None:
    """All that was put in is there, nothing failed, and nothing was recorded twice; laid to the last scenario, for
    it cannot be told which did it."""
    rows[-1].accepted = count
    rows[-1].lost = count_wrong(rig, count)
    rows[-1].duplicated = count_duplicated(rig)


class _Backlog:
    """Puts events into the inbox, so that some always wait."""

    def __init__(self, rig: Rig) -> None:
        self.count = 0
        self._rig = rig
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._feed, name="backlog", daemon=True)
        self._thread.start()

    def end(self) -> None:
        self._over.set()
        self._thread.join()

    def _feed(self) -> None:
        rig = self._rig
        ids: list[str] = []
        while not self._over.wait(0.05):
            with suppress(SQLAlchemyError):  # SQL is away: the same ones once more, for an event is one however often
                if not ids and self.count - _settled(rig) < _LOW_WATER:
                    ids = rig.control.create_many(_PORTION, status=Status.COMPLETED)
                if ids:
                    insert_events(rig, ids)
                    self.count += len(ids)
                    ids = []


def _measure(rig: Rig, seconds: float) -> float:
    """Transactions reconciled a second."""
    began, then = time.monotonic(), _settled(rig)
    time.sleep(seconds)
    return (_settled(rig) - then) / (time.monotonic() - began)


def _settled(rig: Rig) -> int:
    """Waits where SQL is away."""
    deadline = time.monotonic() + _RECOVERY
    while True:
        try:
            with rig.database.read() as session:
                return session.scalar(select(func.count()).where(Event.delivery == Delivery.SUCCEEDED)) or 0
        except SQLAlchemyError as error:
            if time.monotonic() > deadline:
                raise NotInTime(f"SQL is away: {error}") from error
            time.sleep(0.05)
