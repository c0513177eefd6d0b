"""The crash matrix: in each gap of an event's life its process dies, Redis is flushed, or SQL goes away. No chance."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import select

from tests.chaos.compare import EventKey, compare, open_work, read_held
from tests.chaos.rig import Answered, NotInTime, Rig, event_of
from tests.chaos.steps import BOUNDARIES, StepNotReached, Steps
from tests.chaos.table import Row
from webhook_app.domain.status import Status
from webhook_app.domain.timestamps import parse_timestamp
from webhook_app.models import Event, Reconciliation
from webhook_app.models.event import Delivery
from webhook_app.models.reconciliation import State

#: Seconds that one cell may take to recover: a restart, a lease, a retry.
_LIMIT = 30.0
#: How often a step is tried to be reached.
_ATTEMPTS = 3
#: How long SQL stays away.
_AWAY = 0.5


class Mishap(StrEnum):
    DIES = "process dies"
    FLUSHED = "Redis flushed"
    AWAY = "SQL goes away"


#: Steps that hold SQLite's write lock: nobody else can, so SQL cannot be locked there.
_IN_TRANSACTION = ("row written", "opened", "copy looked at", "applied", "retry applied")
#: SQL is away already.
_WITHOUT_SQL = ("spool written", "spool fsynced")
#: What is sent is a copy of what is settled, with another amount: Proof has to be asked again.
_OF_COPY = "copy looked at"
_DRAIN = ("spool rotated", "spool ingested", "spool unlinked")
#: The web process is held before it wakes a worker, and the worker stands still, so that the clock has to.
_CLOCK_WAKES = ("clock opened", "clock found work", "clock woke")
_RETRIES = ("clock took off schedule", "clock dispatched", "clock showed waiting")


@dataclass(frozen=True)
class Cell:
    step: str
    mishap: Mishap

    def is_possible(self, engine: str) -> bool:
        if self.mishap is not Mishap.AWAY:
            return True
        return self.step not in _WITHOUT_SQL and not (engine == "SQLite" and self.step in _IN_TRANSACTION)


ALL_CELLS = tuple(Cell(step, mishap) for step in BOUNDARIES for mishap in Mishap)


@dataclass(frozen=True)
class Result:
    """What came of one cell; `trouble` is empty when all promises held."""

    cell: Cell
    answer: str
    seconds: float
    trouble: str


def run_matrix(rig: Rig, cells: Sequence[Cell] = ALL_CELLS) -> tuple[list[Row], list[Result]]:
    rig.start_all(fast=1, slow=1, clocks=1)
    steps = Steps(rig.steps)
    rows = {mishap: Row(rig.engine.name, f"at each step: {mishap}") for mishap in Mishap}
    results: list[Result] = []
    accepted: set[EventKey] = set()
    for cell in cells:
        if not cell.is_possible(rig.engine.name):
            continue
        row = rows[cell.mishap]
        try:
            result = _try_cell(rig, steps, cell, accepted)
        except (NotInTime, StepNotReached) as error:
            result = Result(cell, "?", _LIMIT, f"{type(error).__name__}: {error}")
            row.late += 1
        row.times += 1
        row.accepted += result.answer.startswith("2")
        row.recoveries.append(result.seconds)
        results.append(result)
        rig.say(f"{cell.step} | {cell.mishap}: answered {result.answer}, {result.seconds:.1f} s {result.trouble}")
    _judge(rig, rows[Mishap.DIES], accepted)
    return [row for row in rows.values() if row.times], results


def _try_cell(rig: Rig, steps: Steps, cell: Cell, accepted: set[EventKey]) -> Result:
    """Up to three times: another process may have taken the work before the one of the step came to it."""
    for attempt in range(_ATTEMPTS):
        try:
            rig.wait_until_up()
            return _run_cell(rig, steps, cell, f"{cell.step}.{cell.mishap}.{attempt}".replace(" ", "-"), accepted)
        except StepNotReached:
            if attempt == _ATTEMPTS - 1:
                raise
        finally:
            steps.clear()
            rig.engine.bring_back_if_away()
    raise AssertionError("not reached")


def _run_cell(rig: Rig, steps: Steps, cell: Cell, transaction_id: str, accepted: set[EventKey]) -> Result:
    rig.control.create(transaction_id, status=Status.COMPLETED)
    payload = event_of(rig.control.transaction(transaction_id).answer())
    if cell.step.startswith("retry") or cell.step in _RETRIES:
        rig.control.inject("publish_failed", transaction=transaction_id)
    try:
        sender = _prepare(rig, steps, cell, payload)
        pid = steps.wait(cell.step)
    finally:
        _signal_fast(rig, signal.SIGCONT)
    if cell.step == "answered":
        sender.join()
    started = time.monotonic()
    _strike(rig, steps, cell, pid, sender)
    sender.join()
    steps.clear()
    if not sender.answer.is_accepted:  # Proof's internal retry
        _post_until_accepted(rig, payload)
    accepted.add((transaction_id, payload["status"], parse_timestamp(payload["updated_at"])))
    requests = 2 if cell.step == _OF_COPY else 1
    rig.until(lambda: _is_settled(rig, transaction_id, requests), f"{transaction_id} is settled", _LIMIT)
    rig.until(lambda: not rig.spool_size() and not open_work(rig.database), "all is at rest", _LIMIT)
    return Result(cell, _in_words(sender.answer), time.monotonic() - started, "")


def _prepare(rig: Rig, steps: Steps, cell: Cell, payload: dict[str, Any]) -> _Sender:
    """Sends the event so that the step is reached."""
    if cell.step in _DRAIN:
        rig.engine.take_away()
        _Sender(rig, payload).join()
        steps.arm(cell.step)
        rig.engine.bring_back()
        return _Sender(rig, None)
    if cell.step in _WITHOUT_SQL:
        rig.engine.take_away()
    if cell.step in _CLOCK_WAKES:
        # Else a job that was made before may come to it first, such as that of the web process that the last cell held.
        _signal_fast(rig, signal.SIGSTOP)
        steps.arm("answered")
        sender = _Sender(rig, payload)
        sender.join()
        steps.arm(cell.step)
        return sender
    if cell.step == _OF_COPY:
        _post_until_accepted(rig, payload)
        rig.until(lambda: _is_settled(rig, payload["merchant_transaction_id"]), "what is copied is settled", _LIMIT)
        payload = {**payload, "fiat_amount": "0.01"}
    steps.arm(cell.step)
    return _Sender(rig, payload)


def _signal_fast(rig: Rig, number: signal.Signals) -> None:
    for name in rig.keeper.names("fast"):
        rig.keeper.signal(name, number)


def _strike(rig: Rig, steps: Steps, cell: Cell, pid: int, sender: _Sender) -> None:
    if cell.mishap is Mishap.DIES:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    elif cell.mishap is Mishap.FLUSHED:
        rig.redis.flush()
        steps.let_go(cell.step)
    else:
        rig.engine.take_away()
        steps.let_go(cell.step)
        sender.join(_AWAY)
        time.sleep(_AWAY)
    rig.engine.bring_back_if_away()


class _Sender(threading.Thread):
    """Posts one event, and does not hold up whoever watches the step; without a payload, the answer is a 2xx."""

    def __init__(self, rig: Rig, payload: dict[str, Any] | None) -> None:
        super().__init__(daemon=True)
        self._rig = rig
        self._payload = payload
        self.answer = Answered(202, {"spooled": True})
        self.start()

    def run(self) -> None:
        if self._payload is not None:
            self.answer = self._rig.post(self._payload)


def _post_until_accepted(rig: Rig, payload: dict[str, Any]) -> None:
    rig.until(lambda: rig.post(payload, timeout=5).is_accepted, "the redelivery is accepted", _LIMIT)


def _is_settled(rig: Rig, transaction_id: str, requests: int = 1) -> bool:
    """Whether all is done for it, and Proof was asked for so many requests at least."""
    with rig.database.read() as session:
        state = session.scalar(
            select(Reconciliation.state).where(
                Reconciliation.merchant_transaction_id == transaction_id, Reconciliation.generation >= requests
            )
        )
        deliveries = session.scalars(
            select(Event.delivery).where(Event.merchant_transaction_id == transaction_id)
        ).all()
    return state == State.SUCCEEDED and list(deliveries) == [Delivery.SUCCEEDED]


def _judge(rig: Rig, row: Row, accepted: set[EventKey]) -> None:
    verdict = compare(read_held(rig.database), rig.control.transactions(), accepted)
    row.lost = len(verdict.lost) + len(verdict.failed)
    row.duplicated = len(verdict.duplicated)
    row.backwards = len(verdict.backwards)
    for transaction_id, why in {**verdict.lost, **verdict.failed, **verdict.duplicated, **verdict.backwards}.items():
        rig.say(f"{transaction_id}: {why}")


def _in_words(answer: Answered) -> str:
    if answer.status is None:
        return "nothing"
    return f"{answer.status} spooled" if answer.body.get("spooled") else str(answer.status)
